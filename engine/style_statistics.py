"""What of a layer's features is its style, and how far two are apart.

A statistic has `of(F)`, of features [B, H, W, N], and `distance(G, A)` between two of what `of` gives; for arrays and
tensors. The handout's, Gram matrices of one size, is `StyleTransfer._single_style_loss`; those here know sizes that
differ.
"""

from typing import NamedTuple

from engine import quiet  # before tensorflow

import numpy as np
import tensorflow.compat.v1 as tf


class GramMatrix(NamedTuple):
    """matrix [B, N, N], summed over `positions`, height × width."""
    matrix: object
    positions: int


class Gram:
    """The Gram matrix FᵀF, and Σ (G − A)² by a coefficient; a map of another size counts as if it had that of G."""

    def __init__(self, gram_matrix, factor):
        """gram_matrix: F, N, M -> [B, N, N]; factor: N, M -> the coefficient, M the number of positions."""
        self.gram_matrix, self.factor = gram_matrix, factor

    def of(self, F):
        """The `GramMatrix` of features [B, H, W, N] of one known size."""
        _, H, W, N = map(lambda length: length and int(length), F.shape)
        return GramMatrix(self.gram_matrix(F, N, H * W), H * W)

    def distance(self, G, A):
        """The mean over the batch of the distances of two `GramMatrix`."""
        difference = G.matrix - A.matrix * (G.positions / A.positions)
        squares = (np.square(difference).sum(axis=(1, 2)).mean() if isinstance(difference, np.ndarray)
                   else tf.reduce_mean(tf.reduce_sum(tf.square(difference), axis=[1, 2])))
        return self.factor(int(G.matrix.shape[-1]), G.positions) * squares


class Target(NamedTuple):
    """A style to be reached at one layer: a statistic and its value, of one image, a blend or a part of it."""
    statistic: object
    value: object

    def loss(self, F):
        """The distance of features F to it."""
        return self.statistic.distance(self.statistic.of(F), self.value)
