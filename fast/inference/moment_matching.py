"""Moment matching: affine maps that give a photo's feature maps the mean and covariance of a style's.

Three transforms are available: AdaIN matches the mean and standard deviation of each channel (Huang and Belongie 2017);
whitening and coloring (WCT) matches mean and covariance (Li et al. 2017); optimal transport between normal
distributions does the same and moves the features least (Lu et al. 2019). The low-pass band then gets the style's color
distribution too, see `color_transfer`. The module needs NumPy only, because training and inference without TensorFlow
share it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fast.inference import color_transfer

# This share of the mean variance of content and style is added to the content's variances. It bounds the map of
# features that are constant.
REGULARIZATION_SHARE = 0.01
DEVIATION_OFFSET = 0.05  # added to a standard deviation before its logarithm is taken
LOW_PASS_MAP = 'colors'  # the map that gets the style's color distribution too
MAX_STRETCH = {'details': 1.5}  # largest stretch of a map in any direction; without it, blurred photos had halos


class Moments(NamedTuple):
    """Mean [N] and covariance [N, N] of the features of a layer, float64."""
    mean: np.ndarray
    covariance: np.ndarray


def moments(F: np.ndarray) -> Moments:
    """Return the mean and covariance of features [..., N]."""
    F = F.reshape(-1, F.shape[-1])
    mean = F.mean(axis=0, dtype=np.float64)
    F = F - np.float32(mean)
    return Moments(mean, np.float64(F.T @ F) / len(F))


class StyleStatistics(NamedTuple):
    """Statistics of a style.

    Attributes:
        moments: Name of a map -> its `Moments`.
        distributions: `color_transfer.cumulative_distributions` of LOW_PASS_MAP.
    """
    moments: dict[str, Moments]
    distributions: np.ndarray


def style_embedding(of_maps: Iterable[Moments]) -> np.ndarray:
    """Return the style embedding, which describes a style to the decoder.

    Args:
        of_maps: The moments of each of the style's maps.

    Returns:
        float32 [D], for each map the means and then the logarithms of the standard deviations.
    """
    return np.float32(np.concatenate([part for of_map in of_maps for part in (
        of_map.mean, np.log(np.sqrt(np.diag(of_map.covariance)) + DEVIATION_OFFSET))]))


def adain(C: np.ndarray, S: np.ndarray) -> np.ndarray:
    """Return the diagonal matrix that gives features of covariance C the variances of covariance S (AdaIN)."""
    return np.diag(np.sqrt(np.diag(S) / np.diag(C)))


def wct(C: np.ndarray, S: np.ndarray) -> np.ndarray:
    """Return the matrix that whitens features of covariance C and colors them with covariance S (WCT)."""
    return _matrix_power(S, 0.5) @ _matrix_power(C, -0.5)


def optimal_transport(C: np.ndarray, S: np.ndarray) -> np.ndarray:
    """Return the matrix that gives features of covariance C covariance S and moves them least."""
    root = _matrix_power(C, 0.5)
    inverse = np.linalg.inv(root)  # An inversion takes half the time of another eigendecomposition.
    return inverse @ _matrix_power(root @ S @ root, 0.5) @ inverse


def limit_stretch(transform: Callable, most: float) -> Callable:
    """Return a transform of covariances whose matrix has no singular value above a limit.

    Args:
        transform: One of the values of TRANSFORMS.
        most: Upper limit of the singular values.

    Returns:
        A function with the same signature as `transform`.
    """
    def limited(C, S):
        U, factors, V = np.linalg.svd(transform(C, S))
        return U * factors.clip(0, most) @ V
    return limited


OPTIMAL_TRANSPORT = 'optimal_transport'
# Name -> function from the covariances [N, N] of content and style to the matrix [N, N] that is applied to features.
TRANSFORMS = {'adain': adain, 'wct': wct, OPTIMAL_TRANSPORT: optimal_transport}


def affine_map(content: Moments, style: Moments,
               transform: Callable = optimal_transport) -> tuple[np.ndarray, np.ndarray]:
    """Return the affine map that gives features with the content's moments those of the style.

    Args:
        content: Moments of the content's features [..., N].
        style: Moments of the style's features.
        transform: One of the values of TRANSFORMS.

    Returns:
        A [N, N] and b [N], float32: F @ A + b has the moments of the style where F has those of the content.
    """
    N = len(content.mean)
    share = REGULARIZATION_SHARE * (np.trace(content.covariance) + np.trace(style.covariance)) / (2 * N) + 1e-9
    A = transform(content.covariance + share * np.eye(N), style.covariance).T
    return np.float32(A), np.float32(style.mean - content.mean @ A)


def compute_statistics(maps: Mapping[str, np.ndarray]) -> StyleStatistics:
    """Return the statistics of a style from its feature maps, name -> [..., N]."""
    return StyleStatistics(
        {name: moments(F) for name, F in maps.items()}, color_transfer.cumulative_distributions(maps[LOW_PASS_MAP])
    )


def affine_maps(maps: Mapping[str, np.ndarray], styles: Sequence[StyleStatistics], weights: Sequence[float],
                transform: Callable = optimal_transport) -> dict[str, tuple[np.ndarray, ...]]:
    """Return the affine maps that give a photo's feature maps the statistics of a style or a mixture of styles.

    Args:
        maps: The photo's feature maps, name -> [..., N].
        styles: Statistics of each style. A mixture has the weighted mean of the styles' affine maps.
        weights: One per style, adding up to 1.
        transform: One of the values of TRANSFORMS.

    Returns:
        Name -> arguments of `apply` after the features: (A, b), for LOW_PASS_MAP (A, b, curves).
    """
    matched = {}
    for name, F in maps.items():
        content = moments(F)
        pairs = [affine_map(content, style.moments[name], transform_for_map(name, transform)) for style in styles]
        matched[name] = tuple(np.float32(sum(weight * part for weight, part in zip(weights, parts)))
                              for parts in zip(*pairs))
    colors = apply(maps[LOW_PASS_MAP], *matched[LOW_PASS_MAP])
    curves = color_transfer.fit_curves(colors, [style.distributions for style in styles], weights)
    matched[LOW_PASS_MAP] = (*matched[LOW_PASS_MAP], curves)
    return matched


def transform_for_map(name: str, transform: Callable) -> Callable:
    """Adapt a transform to a map: luminance and hue for LOW_PASS_MAP, limits for the maps of MAX_STRETCH.

    Args:
        name: Name of the map.
        transform: One of the values of TRANSFORMS.

    Returns:
        A function with the same signature as `transform`.
    """
    if name == LOW_PASS_MAP:
        return color_transfer.in_luminance_hue_basis(transform)
    return limit_stretch(transform, MAX_STRETCH[name]) if name in MAX_STRETCH else transform


def apply(F: np.ndarray, A: np.ndarray, b: np.ndarray, curves: Iterable[np.ndarray] = ()) -> np.ndarray:
    """Apply an affine map, and then the curves of a color transfer if there are any.

    Args:
        F: Features [..., N].
        A: Matrix [N, N].
        b: Offset [N].
        curves: From `color_transfer.fit_curves`, for LOW_PASS_MAP.

    Returns:
        Features, float32 [..., N].
    """
    result = (F.reshape(-1, len(A)) @ A).reshape(F.shape)
    result += b
    return color_transfer.apply_curves(result, curves)


def _matrix_power(C, exponent):
    """Return a power of a symmetric positive semidefinite matrix; eigenvalues below 1e-12 count as 1e-12."""
    values, vectors = np.linalg.eigh(C)
    return vectors * values.clip(1e-12) ** exponent @ vectors.T
