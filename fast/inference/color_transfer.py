"""A style's colors put on a photo's: curves along one set of axes after the other give them its distribution.

Sliced optimal transport (Pitié, Kokaram and Dahyot 2007): a woodcut's paper, ink and one red, where mean and covariance
would have a mixture of them.
"""

import numpy as np

from common.images import LUMINANCE_WEIGHTS

# colors, channels of -1 to 1, @ LIGHT: luminance, and two of hue
LIGHT = np.stack([3 ** 0.5 * LUMINANCE_WEIGHTS, *(np.array(axis) / np.linalg.norm(axis)
                                         for axis in ([1, 0, -1], [1, -2, 1]))], axis=1)
TURNS = 13
# sets of axes, as columns: those of LIGHT, then turns of them by chance, the same for ever
AXES = LIGHT @ np.stack([np.eye(3), *(np.linalg.qr(np.random.default_rng(i).normal(size=(3, 3)))[0]
                                     for i in range(TURNS))])
INVERSES = np.linalg.inv(AXES)
EDGES = np.linspace(-3, 3, 301)  # of the bins in which colors are counted along an axis
SAMPLES = 8192  # colors that are counted
GRAIN = 0.08  # deviation of the noise that is added to what is counted: bounds how steep curves are
EMPTY = 1e-6  # colors in a bin at least, so that a share is one value's


def distributions(colors):
    """Of colors [..., 3], with GRAIN, the shares [K, 3, E] below EDGES along AXES."""
    return np.stack([_shares(values) for values in _grained(colors) @ AXES])


def curves(colors, styles, weights):
    """What `bent` takes to give colors [..., 3] the distributions of styles, [K, 3, E]: the values at EDGES.

    styles: `distributions` of each, mixed by the means of equal shares; weights: adding up to 1
    """
    colors, found = _grained(colors), []
    for axes, inverse, *of_styles in zip(AXES, INVERSES, *styles):
        own = _shares(colors @ axes)
        found.append(sum(weight * np.stack([np.interp(*shares, EDGES) for shares in zip(own, style)])
                         for weight, style in zip(weights, of_styles)))
        colors = _bent(colors, axes, inverse, found[-1])
    return np.float32(found)


def by_light(transform):
    """A transform of covariances, see `transforms`, in the coordinates of LIGHT."""
    def turned(C, S):
        return np.linalg.inv(LIGHT.T) @ transform(*(LIGHT.T @ covariance @ LIGHT for covariance in (C, S))) @ LIGHT.T
    return turned


def bent(colors, curves):
    """Colors [..., 3] by `curves`, float32; by none as they are."""
    for axes, inverse, curve in zip(AXES, INVERSES, curves):
        colors = _bent(colors, axes, inverse, curve)
    return np.asarray(colors, np.float32)


def _bent(colors, axes, inverse, curve):
    values = colors @ axes
    return np.stack([np.interp(values[..., i], EDGES, curve[i]) for i in range(3)], axis=-1) @ inverse


def _grained(colors):
    """SAMPLES of colors as [n, 3], with GRAIN: a flat ground is spread by that and not by the curves."""
    colors = colors.reshape(-1, 3)
    even = np.arange(SAMPLES) * (5 ** 0.5 - 1) / 2 % 1  # in no step with the rows
    noise = np.random.default_rng(0).normal(size=(SAMPLES, 3))
    return colors[(even * len(colors)).astype(int)] + GRAIN * noise @ INVERSES[0]


def _shares(values):
    """Of values [n, 3] the shares [3, E] of each column."""
    bins = len(EDGES) - 1
    places = ((values - EDGES[0]) / (EDGES[1] - EDGES[0])).astype(int).clip(0, bins - 1)
    counts = EMPTY + np.stack([np.bincount(column, minlength=bins) for column in places.T])
    return np.pad(np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True), [(0, 0), (1, 0)])
