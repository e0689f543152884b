"""Style statistics: functions of a layer's features that describe a style, and the distances between their values.

The handout's statistic, Gram matrices of maps of equal size, is in `style_transfer.StyleTransfer._single_style_loss`.
The statistics here also compare maps of different sizes, blends of styles and guided regions (Gatys et al. 2017).
"""

import abc
import operator
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

import recipes
from common.errors import UserError
from common.tf1 import tf

MIN_DIVISOR = 1e-12  # smallest divisor of a relative distance, for targets that are 0
MIN_EIGENVALUE_SHARE = 1e-12  # share of the sum of all eigenvalues below which an eigenvalue is left out


class Statistic(abc.ABC):
    """A statistic of the features [B, H, W, N] of a layer, arrays or tensors."""

    def __init__(self, recipe: recipes.Recipe):
        self.recipe = recipe

    @staticmethod
    @abc.abstractmethod
    def compute(F, mask: np.ndarray | None = None):
        """Return the statistic of features.

        Gradients must be finite for channels that are constant.

        Args:
            F: [B, H, W, N], an array or a tensor.
            mask: [1, H, W, 1], 0 to 1, the weights of the positions of a tensor F; None for equal weights.
        """

    @staticmethod
    @abc.abstractmethod
    def from_moments(mean, product, positions: float):
        """Return what `compute` returns for features of which the `second_moments` are known.

        Args:
            mean: The mean of the features, [B, N].
            product: The mean of their products, [B, N, N].
            positions: The number of positions, or the sum of the mask.
        """

    @abc.abstractmethod
    def distance(self, G, A) -> tf.Tensor:
        """Return the mean over the batch of the distances of the statistics G from the target A."""

    def blend(self, values: Sequence, weights: Sequence[float]):
        """Return the weighted mean of the statistics of several styles; the weights add up to 1."""
        return tf.nest.map_structure(lambda *parts: sum(map(operator.mul, weights, parts)), *values)


class GramMatrix(NamedTuple):
    """A Gram matrix [B, N, N] that was summed over a number of positions: height × width, or the sum of a mask."""
    matrix: object
    positions: int


class Gram(Statistic):
    """The Gram matrix FᵀF; the distance is Σ (G − A)² times the recipe's coefficient, A scaled to G's positions."""

    @staticmethod
    def compute(F, mask=None):
        """Return the `GramMatrix` of features; its number of positions is a tensor if their size is not static."""
        N, sides = int(F.shape[-1]), F.shape[1:3]
        if mask is None:
            sides = tf.shape(F)[1:3] if None in list(sides) else [int(side) for side in sides]
            return GramMatrix(_gram(F, N, sides[0] * sides[1]), sides[0] * sides[1])
        return GramMatrix(_gram(F * np.sqrt(mask), N, mask.size), float(mask.sum()))

    @staticmethod
    def from_moments(mean, product, positions):
        """Return the `GramMatrix` of features."""
        return GramMatrix(product * positions, positions)

    def blend(self, values, weights):
        """Return the weighted mean of `GramMatrix` values, each scaled to the number of positions of the first."""
        positions = values[0].positions
        return GramMatrix(sum(weight * (positions / value.positions) * value.matrix
                              for weight, value in zip(weights, values)), positions)

    def distance(self, G, A):
        """Return the mean over the batch of the distances between the `GramMatrix` values G and A."""
        difference = G.matrix - A.matrix * (G.positions / A.positions)
        squares = (np.square(difference).sum(axis=(1, 2)).mean() if isinstance(difference, np.ndarray)
                   else tf.reduce_mean(tf.reduce_sum(tf.square(difference), axis=[1, 2])))
        return self.recipe.style_factor(int(G.matrix.shape[-1]), G.positions) * squares


def _gram(F, N, M):
    """Return FᵀF, [B, N, N], of features with N channels and M positions."""
    if isinstance(F, np.ndarray):
        F = F.reshape(-1, M, N)
        with np.errstate(over='ignore'):  # A loss that is not finite is reported later, with its iteration.
            return F.swapaxes(1, 2) @ F
    F = tf.reshape(F, [-1, M, N])
    return tf.matmul(F, F, transpose_a=True)


class Moments(NamedTuple):
    """The mean [B, N] of the features of a layer over its positions, and their covariance [B, N, N]."""
    mean: object
    covariance: object


def moments(F, mask: np.ndarray | None = None) -> Moments:
    """Return the `Moments` of features [B, H, W, N], an array or a tensor, of any size."""
    return centered(*second_moments(F, mask))


def centered(mean, product) -> Moments:
    """Return the `Moments` of features of which the `second_moments` are known."""
    return Moments(mean, product - mean[:, :, None] * mean[:, None])


def second_moments(F, mask: np.ndarray | None = None) -> tuple:
    """Return the mean [B, N] of features [B, H, W, N] over their positions, and that of their products, [B, N, N]."""
    N = int(F.shape[-1])
    if mask is not None:
        share = (mask / mask.sum()).reshape(1, -1, 1)
        rooted = tf.reshape(F, [1, -1, N]) * np.sqrt(share)
        return tf.reduce_sum(rooted * np.sqrt(share), axis=1), tf.matmul(rooted, rooted, transpose_a=True)
    if isinstance(F, np.ndarray):
        F = F.reshape(len(F), -1, N)
        return F.mean(axis=1), F.swapaxes(1, 2) @ F / F.shape[1]
    return _second_moments(tf.reshape(F, [tf.shape(F)[0], -1, N]))


@tf.custom_gradient
def _second_moments(F):
    """Return the second moments of features [B, M, N], a tensor.

    TensorFlow's automatic gradient keeps two products and a map of means, which takes a fifth more memory per picture.
    """
    M = tf.cast(tf.shape(F)[1], F.dtype)

    def gradient(d_mean, d_product):
        both = tf.matmul(F, (d_product + tf.linalg.matrix_transpose(d_product)) / M)
        return both + (d_mean / M)[:, None]
    return (tf.reduce_mean(F, axis=1), tf.matmul(F, F, transpose_a=True) / M), gradient


class RelativeStatistic(Statistic):
    """A tuple of values, whose distance from the target is relative: Σ (g − a)² / Σ a², summed over the tuple.

    The distance depends neither on a common factor of all features nor on the size of the maps.
    """

    def distance(self, G, A):
        """Return the mean over the batch of `distances`."""
        return tf.reduce_mean(self.distances(G, A))

    @staticmethod
    def distances(G, A) -> tf.Tensor:
        """Return the distance [B] of each entry of G, tensors, from A, arrays of one style or tensors of B styles."""
        return sum(relative_errors(g, a) for g, a in zip(G, A))


class GramShare(RelativeStatistic):
    """The Gram matrix divided by the number of positions."""

    @staticmethod
    def compute(F, mask=None):
        """Return a tuple with one element, the mean products [B, N, N] of features."""
        return second_moments(F, mask)[1],

    @staticmethod
    def from_moments(mean, product, positions):
        """Return a tuple with one element, the mean products."""
        return product,


class Covariance(RelativeStatistic):
    """Mean and covariance of the features.

    This follows Novak and Nikulin (2016), who shift the features before computing Gram matrices, and AdaIN (2017).
    """

    @staticmethod
    def compute(F, mask=None):
        """Return the `Moments` of features."""
        return moments(F, mask)

    @staticmethod
    def from_moments(mean, product, positions):
        """Return the `Moments` of features."""
        return centered(mean, product)


def mean_relative_error(g: tf.Tensor, a, weights=1.) -> tf.Tensor:
    """Return the mean over a batch of the `relative_errors`, each multiplied by its weight; `weights` is [B] or 1."""
    return tf.reduce_mean(weights * relative_errors(g, a))


def relative_errors(g: tf.Tensor, a) -> tf.Tensor:
    """Return Σ (g − a)² / Σ a² of each entry of a batch, [B]; a is a tensor or an array."""
    axes = tuple(range(1, len(a.shape)))
    squares = tf.reduce_sum(tf.square(g - a), axis=axes)
    own = np.square(a).sum(axis=axes) if isinstance(a, np.ndarray) else tf.reduce_sum(tf.square(a), axis=axes)
    return squares / tf.maximum(own, MIN_DIVISOR)


class Wasserstein(Statistic):
    """The squared 2-Wasserstein distance of two normal distributions, relative to the style's mean square.

    ‖μ − μ_s‖² + tr(C + C_s − 2 (C_s^½ C C_s^½)^½), divided by ‖μ_s‖² + tr C_s (Olkin and Pukelsheim 1982; in style
    transfer, crowsonkb's style-transfer-pytorch has it since 2023). It is computed in float64, which TensorFlow's graph
    rewriter never rounds to bfloat16; rounding would lose small eigenvalues.
    """

    @staticmethod
    def compute(F, mask=None):
        """Return the `Moments` of features in float64."""
        return moments(np.float64(F) if isinstance(F, np.ndarray) else tf.cast(F, tf.float64),
                       None if mask is None else np.float64(mask))

    @staticmethod
    def from_moments(mean, product, positions):
        """Return the `Moments` of features, in float64."""
        cast = np.float64 if isinstance(mean, np.ndarray) else lambda tensor: tf.cast(tensor, tf.float64)
        return centered(cast(mean), cast(product))

    def distance(self, G, A):
        """Return the mean over the batch of the distances of the `Moments` G, tensors, from the `Moments` A, arrays."""
        root, own = _matrix_root(A.covariance[0]), np.trace(A.covariance[0])
        means = tf.reduce_sum(tf.square(G.mean - A.mean), axis=1)
        cross = trace_of_root(tf.matmul(tf.matmul(root[None], G.covariance), root[None]))
        squares = tf.reduce_mean(means + tf.linalg.trace(G.covariance) + own - 2 * cross)
        return tf.cast(squares / max(np.square(A.mean).sum() + own, MIN_DIVISOR), tf.float32)


def _matrix_root(C):
    """Return the square root of a covariance matrix [N, N], an array."""
    values, vectors = np.linalg.eigh(C)
    return vectors * np.sqrt(values.clip(0)) @ vectors.T


def trace_of_root(S: tf.Tensor) -> tf.Tensor:
    """Return tr S^½ of symmetric matrices [B, N, N] without negative eigenvalues, from their eigenvalues.

    For 512 channels this takes a sixth of the time of twenty steps of the Newton-Schulz iteration. Eigenvalues below
    MIN_EIGENVALUE_SHARE of their sum are left out, because their roots have unbounded gradients.
    """
    values = tf.linalg.eigvalsh((S + tf.linalg.matrix_transpose(S)) / 2)  # This makes its gradient symmetric, too.
    counts = values > MIN_EIGENVALUE_SHARE * tf.reduce_sum(tf.abs(values), axis=1, keepdims=True)
    return tf.reduce_sum(tf.sqrt(tf.where_v2(counts, values, 0.)), axis=1)


# Name in recipes -> class. To add a statistic, write a class, and add a line here and its name to `recipes.py`.
STATISTICS = {'gram': Gram, 'gram_share': GramShare, 'covariance': Covariance, 'wasserstein': Wasserstein}


def statistic_of(recipe: recipes.Recipe) -> Statistic:
    """Return the style statistic of a recipe."""
    return STATISTICS[recipe.style_statistic](recipe)


def check_statistic(recipe: recipes.Recipe, allowed: type | tuple[type, ...], reason: str) -> None:
    """Raise `UserError`, with the reason, if a recipe's statistic is not an instance of the allowed classes."""
    if not isinstance(statistic_of(recipe), allowed):
        names = [name for name, statistic in STATISTICS.items() if issubclass(statistic, allowed)]
        raise UserError(f'--style-statistic {recipe.style_statistic}: {reason}; use {" or ".join(names)}')


class StyleTarget(NamedTuple):
    """The target of one layer: a statistic, and its value for one style image or for a blend."""
    statistic: Statistic
    value: object

    def loss(self, F: tf.Tensor) -> tf.Tensor:
        """Return the distance of features [B, H, W, N] from the target, a scalar."""
        return self.statistic.distance(self.statistic.compute(F), self.value)


class GuidedStyleTarget(NamedTuple):
    """The targets of one layer for several regions: a statistic, and a value and a mask [1, H, W, 1] per region."""
    statistic: Statistic
    values: Sequence
    masks: Sequence[np.ndarray]

    def loss(self, F: tf.Tensor) -> tf.Tensor:
        """Return the sum of the regions' distances from their targets, each weighted by the region's share of the map.

        Args:
            F: [1, H, W, N].
        """
        return sum(mask.mean() * self.statistic.distance(self.statistic.compute(F, mask), value)
                   for value, mask in zip(self.values, self.masks) if mask.any())
