"""Independent computations in NumPy and SciPy, float64, from the published formulas."""

import numpy as np
import scipy.signal


def vgg(image, weights):
    """The features of `image` [H, W, 3], centred, by direct convolution: name -> [H, W, N], after ReLU, average pooling."""
    features, x = {}, np.float64(image)
    block = '1'
    for name, (W, b) in weights.convolutions.items():
        if name[4] != block:
            x, block = average_pool(x), name[4]
        x = np.maximum(convolve(x, np.float64(W)) + b, 0)
        features[name] = x
    return features


def convolve(x, W):
    """Zero-padded cross-correlation of [H, W, in] with filters [3, 3, in, out], as networks call convolution."""
    return np.stack([sum(scipy.signal.correlate2d(x[..., i], W[..., i, o], mode='same') for i in range(W.shape[2]))
                     for o in range(W.shape[3])], axis=-1)


def average_pool(x):
    """2×2 means of [H, W, C], stride 2; an odd edge is averaged over the cells there are."""
    H, W, _ = x.shape
    return np.array([[x[i:i + 2, j:j + 2].mean(axis=(0, 1)) for j in range(0, W, 2)] for i in range(0, H, 2)])


def gram(F):
    """G_ij = Σ_k F_ik F_jk over the positions k, of features [H, W, N]."""
    return np.einsum('hwi,hwj->ij', np.float64(F), np.float64(F))


def cs20_content_loss(F, P):
    """Handout, step 2: Σ (F − P)² / (4s), s the number of elements of P."""
    return ((np.float64(F) - P) ** 2).sum() / (4 * P.size)


def cs20_style_loss(g, a):
    """Handout, step 2: E = Σ (G − A)² / (4 N² M²) of one layer's features [H, W, N]."""
    H, W, N = a.shape
    return ((gram(g) - gram(a)) ** 2).sum() / (4 * N ** 2 * (H * W) ** 2)
