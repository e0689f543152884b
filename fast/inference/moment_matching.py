"""A style's statistics put on a photo's features: the affine map of a layer that gives them the style's moments.

Three ways: AdaIN, each channel's mean and deviation (Huang and Belongie 2017); whitening and coloring, mean and
covariance (Li et al. 2017); the one of those that moves the features least, optimal transport of normal distributions
(Lu et al. 2019). Colors are bent by `color_curves` then. NumPy alone: it is the same in training and where there is no
TensorFlow.
"""

from typing import NamedTuple

import numpy as np

from fast.inference import color_transfer

# of the mean variance of both, added to the photo's: bounds what is made of maps that show nothing
REGULARIZATION_SHARE = 0.01
DEVIATION_OFFSET = 0.05  # added to a deviation before its logarithm is taken
LOW_PASS_MAP = 'colors'  # the map that is given the style's distribution too
MAX_STRETCH = {'details': 1.5}  # that a map is stretched by: the edges of a blurred photo had halos


class Moments(NamedTuple):
    """mean [N] and covariance [N, N] of a layer's features, float64."""
    mean: np.ndarray
    covariance: np.ndarray


def moments(F):
    """The `Moments` of features [..., N]."""
    F = F.reshape(-1, F.shape[-1])
    mean = F.mean(axis=0, dtype=np.float64)
    F = F - np.float32(mean)
    return Moments(mean, np.float64(F.T @ F) / len(F))


class StyleStatistics(NamedTuple):
    """Of a style.

    moments: name of a map -> `Moments`; distributions: of LOW_PASS_MAP, see `color_curves`
    """
    moments: dict
    distributions: np.ndarray


def style_embedding(of_maps):
    """What tells a style, [D], of the `Moments` of each of its maps: means, logarithms of deviations."""
    return np.float32(np.concatenate([part for of_map in of_maps for part in (
        of_map.mean, np.log(np.sqrt(np.diag(of_map.covariance)) + DEVIATION_OFFSET))]))


def adain(C, S):
    """The matrix that gives features of covariance C the variances of S."""
    return np.diag(np.sqrt(np.diag(S) / np.diag(C)))


def wct(C, S):
    """The matrix that whitens features of covariance C and gives them covariance S."""
    return _matrix_power(S, 0.5) @ _matrix_power(C, -0.5)


def optimal_transport(C, S):
    """The matrix that gives features of covariance C covariance S and moves them least."""
    root = _matrix_power(C, 0.5)
    inverse = np.linalg.inv(root)  # in half of the time of a further decomposition
    return inverse @ _matrix_power(root @ S @ root, 0.5) @ inverse


def limit_stretch(transform, most):
    """A transform of covariances whose matrix stretches no direction by more than `most`."""
    def within(C, S):
        U, factors, V = np.linalg.svd(transform(C, S))
        return U * factors.clip(0, most) @ V
    return within


OPTIMAL_TRANSPORT = 'optimal_transport'
TRANSFORMS = {'adain': adain, 'wct': wct, OPTIMAL_TRANSPORT: optimal_transport}


def affine_map(content, style, transform=optimal_transport):
    """(A [N, N], b [N]), float32, so that F @ A + b has the style's `Moments` where F [..., N] has the content's."""
    N = len(content.mean)
    share = REGULARIZATION_SHARE * (np.trace(content.covariance) + np.trace(style.covariance)) / (2 * N) + 1e-9
    A = transform(content.covariance + share * np.eye(N), style.covariance).T
    return np.float32(A), np.float32(style.mean - content.mean @ A)


def compute_statistics(maps):
    """The `StyleStatistics` of a style's maps, name -> [..., N]."""
    return StyleStatistics(
        {name: moments(F) for name, F in maps.items()}, color_transfer.cumulative_distributions(maps[LOW_PASS_MAP])
    )


def affine_maps(maps, styles, weights, transform=optimal_transport):
    """What `apply` takes to give a photo's maps the statistics of a style: name -> (A, b), of LOW_PASS_MAP with curves.

    maps: name -> features [..., N]; styles: `StyleStatistics`; weights: of each, adding up to 1
    transform: one of the values of TRANSFORMS
    """
    found = {}
    for name, F in maps.items():
        content = moments(F)
        pairs = [affine_map(content, style.moments[name], transform_for_map(name, transform)) for style in styles]
        found[name] = tuple(np.float32(sum(weight * part for weight, part in zip(weights, parts)))
                            for parts in zip(*pairs))
    colors = apply(maps[LOW_PASS_MAP], *found[LOW_PASS_MAP])
    curves = color_transfer.fit_curves(colors, [style.distributions for style in styles], weights)
    found[LOW_PASS_MAP] = (*found[LOW_PASS_MAP], curves)
    return found


def transform_for_map(name, transform):
    """The transform of a map: of LOW_PASS_MAP by luminance and hue, of those in MAX_STRETCH within limits."""
    if name == LOW_PASS_MAP:
        return color_transfer.in_luminance_hue_basis(transform)
    return limit_stretch(transform, MAX_STRETCH[name]) if name in MAX_STRETCH else transform


def apply(F, A, b, curves=()):
    """Features [..., N] times A, plus b; LOW_PASS_MAP bent by curves then."""
    result = (F.reshape(-1, len(A)) @ A).reshape(F.shape)
    result += b
    return color_transfer.apply_curves(result, curves)


def _matrix_power(C, exponent):
    values, vectors = np.linalg.eigh(C)
    return vectors * values.clip(1e-12) ** exponent @ vectors.T
