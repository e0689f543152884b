"""A style's colors put on a photo's: curves along one set of axes after the other give them its distribution.

Sliced optimal transport (Pitié, Kokaram and Dahyot 2007): a woodcut's paper, ink and one red, where mean and covariance
would have a mixture of them.
"""

import numpy as np

from common.images import LUMINANCE_WEIGHTS

# colors, channels of -1 to 1, @ LUMINANCE_HUE_BASIS: luminance, and two of hue
LUMINANCE_HUE_BASIS = np.stack([3 ** 0.5 * LUMINANCE_WEIGHTS, *(np.array(axis) / np.linalg.norm(axis)
                                         for axis in ([1, 0, -1], [1, -2, 1]))], axis=1)
RANDOM_ROTATIONS = 13
# sets of axes, as columns: those of LUMINANCE_HUE_BASIS, then turns of them by chance, the same for ever
AXES = LUMINANCE_HUE_BASIS @ np.stack([np.eye(3), *(np.linalg.qr(np.random.default_rng(i).normal(size=(3, 3)))[0]
                                     for i in range(RANDOM_ROTATIONS))])
INVERSE_AXES = np.linalg.inv(AXES)
BIN_EDGES = np.linspace(-3, 3, 301)  # of the bins in which colors are counted along an axis
MAX_SAMPLES = 8192  # colors that are counted
DITHER_DEVIATION = 0.08  # deviation of the noise that is added to what is counted: bounds how steep curves are
MIN_BIN_COUNT = 1e-6  # colors in a bin at least, so that a share is one value's


def cumulative_distributions(colors):
    """Of colors [..., 3], with DITHER_DEVIATION, the shares [K, 3, E] below BIN_EDGES along AXES."""
    return np.stack([_cumulative_shares(values) for values in _dithered_samples(colors) @ AXES])


def fit_curves(colors, styles, weights):
    """What `apply_curves` takes to give colors [..., 3] the distributions of styles, [K, 3, E]: the values at
    BIN_EDGES.

    styles: `cumulative_distributions` of each, mixed by the means of equal shares; weights: adding up to 1
    """
    colors, found = _dithered_samples(colors), []
    for axes, inverse, *of_styles in zip(AXES, INVERSE_AXES, *styles):
        own = _cumulative_shares(colors @ axes)
        found.append(sum(weight * np.stack([np.interp(*shares, BIN_EDGES) for shares in zip(own, style)])
                         for weight, style in zip(weights, of_styles)))
        colors = _apply_curve(colors, axes, inverse, found[-1])
    return np.float32(found)


def in_luminance_hue_basis(transform):
    """A transform of covariances, see `transforms`, in the coordinates of LUMINANCE_HUE_BASIS."""
    def turned(C, S):
        return (
            np.linalg.inv(LUMINANCE_HUE_BASIS.T)
            @ transform(*(LUMINANCE_HUE_BASIS.T @ covariance @ LUMINANCE_HUE_BASIS for covariance in (C, S)))
            @ LUMINANCE_HUE_BASIS.T
        )

    return turned


def apply_curves(colors, curves):
    """Colors [..., 3] by `fit_curves`, float32; by none as they are."""
    for axes, inverse, curve in zip(AXES, INVERSE_AXES, curves):
        colors = _apply_curve(colors, axes, inverse, curve)
    return np.asarray(colors, np.float32)


def _apply_curve(colors, axes, inverse, curve):
    values = colors @ axes
    return np.stack([np.interp(values[..., i], BIN_EDGES, curve[i]) for i in range(3)], axis=-1) @ inverse


def _dithered_samples(colors):
    """SAMPLES of colors as [n, 3], with DITHER_DEVIATION: a flat ground is spread by that and not by the curves."""
    colors = colors.reshape(-1, 3)
    even = np.arange(MAX_SAMPLES) * (5 ** 0.5 - 1) / 2 % 1  # in no step with the rows
    noise = np.random.default_rng(0).normal(size=(MAX_SAMPLES, 3))
    return colors[(even * len(colors)).astype(int)] + DITHER_DEVIATION * noise @ INVERSE_AXES[0]


def _cumulative_shares(values):
    """Of values [n, 3] the shares [3, E] of each column."""
    bins = len(BIN_EDGES) - 1
    places = ((values - BIN_EDGES[0]) / (BIN_EDGES[1] - BIN_EDGES[0])).astype(int).clip(0, bins - 1)
    counts = MIN_BIN_COUNT + np.stack([np.bincount(column, minlength=bins) for column in places.T])
    return np.pad(np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True), [(0, 0), (1, 0)])
