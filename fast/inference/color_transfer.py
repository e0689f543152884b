"""Give a photo the color distribution of a style by sliced optimal transport (Pitié, Kokaram and Dahyot 2007).

One curve per axis is applied to the colors, along one set of three axes after the other. Unlike a match of mean and
covariance, this keeps separate colors separate: a photo in the style of a woodcut gets its paper, ink and one red
instead of mixtures of them.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from common.images import LUMINANCE_WEIGHTS

# The columns are axes. For colors [..., 3] with channels from -1 to 1, colors @ LUMINANCE_HUE_BASIS is the luminance
# (times √3) and two coordinates of hue: red against blue, and magenta against green.
LUMINANCE_HUE_BASIS = np.stack([3 ** 0.5 * LUMINANCE_WEIGHTS, *(np.array(axis) / np.linalg.norm(axis)
                                         for axis in ([1, 0, -1], [1, -2, 1]))], axis=1)
RANDOM_ROTATIONS = 13
# Sets of axes [K, 3, 3], axes as columns: LUMINANCE_HUE_BASIS and random rotations of it. The seeds are fixed, because
# training and inference need the same axes.
AXES = LUMINANCE_HUE_BASIS @ np.stack([np.eye(3), *(np.linalg.qr(np.random.default_rng(i).normal(size=(3, 3)))[0]
                                     for i in range(RANDOM_ROTATIONS))])
INVERSE_AXES = np.linalg.inv(AXES)
BIN_EDGES = np.linspace(-3, 3, 301)  # [E], edges of the histogram bins along an axis
MAX_SAMPLES = 8192  # colors that are sampled from an image
DITHER_DEVIATION = 0.08  # standard deviation of the noise added to sampled colors, which bounds the slope of the curves
MIN_BIN_COUNT = 1e-6  # added to the count of every bin, so that the cumulative distribution can be inverted


def cumulative_distributions(colors: np.ndarray) -> np.ndarray:
    """Return the cumulative distributions of an image's colors along all rotated axes, AXES.

    Args:
        colors: [..., 3], channels from -1 to 1. Noise of DITHER_DEVIATION is added to a sample of them.

    Returns:
        [K, 3, E], the share of the colors below each of BIN_EDGES along each axis of AXES.
    """
    return np.stack([_cumulative_shares(values) for values in _dithered_samples(colors) @ AXES])


def fit_curves(colors: np.ndarray, styles: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Fit the curves with which `apply_curves` gives colors the distribution of one style or a mixture of styles.

    Args:
        colors: Colors of the photo, [..., 3].
        styles: `cumulative_distributions` of each style. A mixture has the weighted mean of the styles' quantiles.
        weights: One per style, adding up to 1.

    Returns:
        float32 [K, 3, E], the values that the curve of each axis of AXES takes at BIN_EDGES.
    """
    colors, curves = _dithered_samples(colors), []
    for axes, inverse, *style_shares in zip(AXES, INVERSE_AXES, *styles):
        photo_shares = _cumulative_shares(colors @ axes)
        curves.append(sum(weight * np.stack([np.interp(*shares, BIN_EDGES) for shares in zip(photo_shares, style)])
                          for weight, style in zip(weights, style_shares)))
        colors = _apply_curve(colors, axes, inverse, curves[-1])
    return np.float32(curves)


def in_luminance_hue_basis(transform: Callable) -> Callable:
    """Return a transform of covariances that works in the coordinates of LUMINANCE_HUE_BASIS.

    Args:
        transform: A value of `moment_matching.TRANSFORMS`: covariances [3, 3] of content and style -> matrix [3, 3].

    Returns:
        A function with the same signature, for covariances and a matrix in RGB.
    """
    def transform_in_basis(C, S):
        return (
            np.linalg.inv(LUMINANCE_HUE_BASIS.T)
            @ transform(*(LUMINANCE_HUE_BASIS.T @ covariance @ LUMINANCE_HUE_BASIS for covariance in (C, S)))
            @ LUMINANCE_HUE_BASIS.T
        )

    return transform_in_basis


def apply_curves(colors: np.ndarray, curves: Iterable[np.ndarray]) -> np.ndarray:
    """Apply the curves of `fit_curves`, one set of axes after the other.

    Args:
        colors: [..., 3].
        curves: [K, 3, E]; an empty sequence leaves the colors as they are.

    Returns:
        float32 [..., 3].
    """
    for axes, inverse, curve in zip(AXES, INVERSE_AXES, curves):
        colors = _apply_curve(colors, axes, inverse, curve)
    return np.asarray(colors, np.float32)


def _apply_curve(colors, axes, inverse, curve):
    """Apply a curve [3, E] to colors [..., 3] along the three columns of `axes`; `inverse` is the inverse of `axes`."""
    values = colors @ axes
    return np.stack([np.interp(values[..., i], BIN_EDGES, curve[i]) for i in range(3)], axis=-1) @ inverse


def _dithered_samples(colors):
    """Sample MAX_SAMPLES colors and add noise of DITHER_DEVIATION: [MAX_SAMPLES, 3].

    The noise spreads the colors of a flat area. Without it, the curves would spread them, and would amplify the faint
    noise that the area has.
    """
    colors = colors.reshape(-1, 3)
    # The fractional parts of the golden ratio's multiples are spread evenly, but not in step with the image's rows.
    even = np.arange(MAX_SAMPLES) * (5 ** 0.5 - 1) / 2 % 1
    noise = np.random.default_rng(0).normal(size=(MAX_SAMPLES, 3))
    return colors[(even * len(colors)).astype(int)] + DITHER_DEVIATION * noise @ INVERSE_AXES[0]


def _cumulative_shares(values):
    """Return the cumulative distributions [3, E] at BIN_EDGES of the three columns of values [n, 3]."""
    bins = len(BIN_EDGES) - 1
    places = ((values - BIN_EDGES[0]) / (BIN_EDGES[1] - BIN_EDGES[0])).astype(int).clip(0, bins - 1)
    counts = MIN_BIN_COUNT + np.stack([np.bincount(column, minlength=bins) for column in places.T])
    return np.pad(np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True), [(0, 0), (1, 0)])
