"""What of a layer's features is its style, and how far two are apart.

A statistic has `of(F)`, of features [B, H, W, N], and `distance(G, A)` between two of what `compute` gives; for arrays
and
tensors. `of(F, guide)` is that of a region: a guide [1, H, W, 1], an array, is how much each position of a tensor F
counts (Gatys et al. 2017). The handout's, Gram matrices of one size, is `StyleTransfer._single_style_loss`; those here
know sizes that differ.
"""

import operator
from typing import NamedTuple

import numpy as np

from common.tf1 import tf

MIN_DIVISOR = 1e-12  # where a style has nothing of its own
MIN_EIGENVALUE_SHARE = 1e-12  # share of all eigenvalues together under which one counts for nothing


class GramMatrix(NamedTuple):
    """matrix [B, N, N], summed over `positions`, height × width."""
    matrix: object
    positions: int


class Gram:
    """The Gram matrix FᵀF, and Σ (G − A)² by a coefficient; a map of another size counts as one of that of G."""

    def __init__(self, gram_matrix, factor):
        """gram_matrix: F, N, M -> [B, N, N]; factor: N, M -> the coefficient, M the number of positions."""
        self.gram_matrix, self.factor = gram_matrix, factor

    def compute(self, F, guide=None):
        """The `GramMatrix` of features [B, H, W, N] of one known size."""
        _, H, W, N = map(lambda length: length and int(length), F.shape)
        if guide is None:
            return GramMatrix(self.gram_matrix(F, N, H * W), H * W)
        return GramMatrix(self.gram_matrix(F * np.sqrt(guide), N, H * W), float(guide.sum()))

    def blend(self, values, weights):
        """The `GramMatrix` of several styles, by weights that add up to 1."""
        positions = values[0].positions
        return GramMatrix(sum(weight * (positions / value.positions) * value.matrix
                              for weight, value in zip(weights, values)), positions)

    def distance(self, G, A):
        """The mean over the batch of the distances of two `GramMatrix`."""
        difference = G.matrix - A.matrix * (G.positions / A.positions)
        squares = (np.square(difference).sum(axis=(1, 2)).mean() if isinstance(difference, np.ndarray)
                   else tf.reduce_mean(tf.reduce_sum(tf.square(difference), axis=[1, 2])))
        return self.factor(int(G.matrix.shape[-1]), G.positions) * squares


class Moments(NamedTuple):
    """mean [B, N] of the features of a layer over its positions, and their covariance [B, N, N]."""
    mean: object
    covariance: object


def moments(F, guide=None):
    """The `Moments` of features [B, H, W, N], an array or a tensor, of any size."""
    mean, product = second_moments(F, guide)
    return Moments(mean, product - mean[:, :, None] * mean[:, None])


def second_moments(F, guide=None):
    """The mean [B, N] of features [B, H, W, N] over their positions, and that of their products, [B, N, N]."""
    N = int(F.shape[-1])
    if guide is not None:
        share = (guide / guide.sum()).reshape(1, -1, 1)
        rooted = tf.reshape(F, [1, -1, N]) * np.sqrt(share)
        return tf.reduce_sum(rooted * np.sqrt(share), axis=1), tf.matmul(rooted, rooted, transpose_a=True)
    if isinstance(F, np.ndarray):
        F = F.reshape(len(F), -1, N)
        return F.mean(axis=1), F.swapaxes(1, 2) @ F / F.shape[1]
    return _second_moments(tf.reshape(F, [tf.shape(F)[0], -1, N]))


@tf.custom_gradient
def _second_moments(F):
    """`second_moments` of features [B, M, N], a tensor.

    TensorFlow's own gradient has two products and a map of means beside them: a fifth more memory for a picture.
    """
    M = tf.cast(tf.shape(F)[1], F.dtype)

    def gradient(d_mean, d_product):
        both = tf.matmul(F, (d_product + tf.linalg.matrix_transpose(d_product)) / M)
        return both + (d_mean / M)[:, None]
    return (tf.reduce_mean(F, axis=1), tf.matmul(F, F, transpose_a=True) / M), gradient


class BlendableStatistic:
    """A statistic of arrays that mean the same for styles of any size."""

    @staticmethod
    def blend(values, weights):
        """What `compute` gives for several styles, by weights that add up to 1."""
        return tf.nest.map_structure(lambda *parts: sum(map(operator.mul, weights, parts)), *values)


class RelativeStatistic(BlendableStatistic):
    """Values of which each is compared as a share of the style's own: Σ (g − a)² / Σ a², added up over them.

    A common factor on the features does not change it, nor does the size of the map.
    """

    def __init__(self, compute):
        """of: features [B, H, W, N], and a guide or None -> a tuple of what is compared."""
        self.compute = compute

    def distance(self, G, A):
        """The mean over the batch of `distances`."""
        return tf.reduce_mean(self.distances(G, A))

    @staticmethod
    def distances(G, A):
        """The distance [B] of each entry of G, tensors, from A, arrays of one style or tensors, one each."""
        return sum(relative_errors(g, a) for g, a in zip(G, A))


def mean_relative_error(g, a, weights=1.):
    """The mean of `relative_errors` by weights [B]."""
    return tf.reduce_mean(weights * relative_errors(g, a))


def relative_errors(g, a):
    """Σ (g − a)² / Σ a² of each entry of a batch, [B]; g a tensor, a too or an array."""
    axes = tuple(range(1, len(a.shape)))
    squares = tf.reduce_sum(tf.square(g - a), axis=axes)
    own = np.square(a).sum(axis=axes) if isinstance(a, np.ndarray) else tf.reduce_sum(tf.square(a), axis=axes)
    return squares / tf.maximum(own, MIN_DIVISOR)


def gram_matrix(F, guide=None):
    """The Gram matrix of features [B, H, W, N] over their number of positions, alone in a tuple."""
    return second_moments(F, guide)[1],


class Wasserstein(BlendableStatistic):
    """The squared distance of two normal distributions, as much as it takes to move one onto the other.

    ‖μ − μ_s‖² + tr(C + C_s − 2 (C_s^½ C C_s^½)^½), as a share of ‖μ_s‖² + tr C_s, the mean square of the style's
    features (Olkin and Pukelsheim 1982; in style transfer crowsonkb's style-transfer-pytorch has it since 2023).
    In float64, which no graph rewriter rounds: small eigenvalues would be lost.
    """

    def compute(self, F, guide=None):
        """The `Moments` of features [B, H, W, N], an array or a tensor."""
        return moments(np.float64(F) if isinstance(F, np.ndarray) else tf.cast(F, tf.float64),
                       None if guide is None else np.float64(guide))

    def distance(self, G, A):
        """The mean over the batch of the distance of `Moments` G, tensors, from A, arrays."""
        root, own = _matrix_root(A.covariance[0]), np.trace(A.covariance[0])
        means = tf.reduce_sum(tf.square(G.mean - A.mean), axis=1)
        cross = trace_of_root(tf.matmul(tf.matmul(root[None], G.covariance), root[None]))
        squares = tf.reduce_mean(means + tf.linalg.trace(G.covariance) + own - 2 * cross)
        return tf.cast(squares / max(np.square(A.mean).sum() + own, MIN_DIVISOR), tf.float32)


def _matrix_root(C):
    """The root of a covariance matrix [N, N], an array."""
    values, vectors = np.linalg.eigh(C)
    return vectors * np.sqrt(values.clip(0)) @ vectors.T


def trace_of_root(S):
    """tr S^½ of symmetric matrices [B, N, N] without negative eigenvalues, a tensor, from their eigenvalues.

    For 512 channels in a sixth of the time of twenty steps of Newton and Schulz's iteration. Eigenvalues of less than
    MIN_EIGENVALUE_SHARE of all together are left out: their roots have gradients without bounds.
    """
    values = tf.linalg.eigvalsh((S + tf.linalg.matrix_transpose(S)) / 2)  # its gradient is symmetric then, too
    counts = values > MIN_EIGENVALUE_SHARE * tf.reduce_sum(tf.abs(values), axis=1, keepdims=True)
    return tf.reduce_sum(tf.sqrt(tf.where_v2(counts, values, 0.)), axis=1)


# What a recipe can name beside the handout's Gram matrices. Covariance and mean are in the line of Novak and Nikulin
# (2016), who shift Gram matrices, and of AdaIN (Huang and Belongie 2017), which has means and variances.
STATISTICS = {
    'gram_share': RelativeStatistic(gram_matrix),
    'covariance': RelativeStatistic(moments),
    'wasserstein': Wasserstein(),
}


class StyleTarget(NamedTuple):
    """A style to be reached at one layer: a statistic and its value, of one image or a blend."""
    statistic: object
    value: object

    def loss(self, F):
        """The distance of features F to it."""
        return self.statistic.distance(self.statistic.compute(F), self.value)


class GuidedStyleTarget(NamedTuple):
    """Styles to be reached at one layer, each in its own region: values of a statistic, and the guide of each."""
    statistic: object
    values: list
    masks: list

    def loss(self, F):
        """The distances of features F [1, H, W, N] to them, each by its region's share of the positions."""
        return sum(guide.mean() * self.statistic.distance(self.statistic.compute(F, guide), value)
                   for value, guide in zip(self.values, self.masks) if guide.any())


TARGET_TYPES = StyleTarget, GuidedStyleTarget


def make_targets(statistic, A):
    """A `StyleTarget` a layer of what are features, arrays; those that are targets already stay."""
    return [a if isinstance(a, TARGET_TYPES) else StyleTarget(statistic, statistic.compute(a)) for a in A]
