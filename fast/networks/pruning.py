"""Channel pruning of VGG-19: keep some channels of each layer and fit their filters anew to the remaining inputs.

The filters are fitted layer by layer, by least squares on the maps of the pruned network itself; nothing is trained.
The channels that stay are those that span the others best (QR with pivoting), as in pruning by reconstruction (He,
Zhang and Sun 2017).
"""

from collections.abc import Mapping

import numpy as np
import scipy

from common.tf1 import tf
from common.vgg_layers import BEFORE_RELU
from engine.losses.features import extract_features

FIT_POSITIONS = 30_000  # positions in the maps of a layer that its filters are fitted to
RIDGE_SHARE = 1e-4  # strength of the ridge regularization, as a share of the mean variance of the inputs


def prune(weights, widths: Mapping[str, int], images: np.ndarray, seed: int = 0,
          config: tf.ConfigProto | None = None):
    """Prune the channels of VGG-19's first convolutions and remove the layers that come after these.

    Args:
        weights: `load_vgg.Weights` of VGG-19, from `load_vgg.read_weights`.
        widths: Name -> number of channels to keep, for the first convolutions in order.
        images: Images that the filters are fitted to, float32 [B, H, W, 3], 0 to 255, H and W multiples of 16.
        seed: Seed of the choice of positions.
        config: Configuration of the TensorFlow sessions.

    Returns:
        `load_vgg.Weights` of the pruned network.
    """
    rng = np.random.default_rng(seed)
    maps, convolutions = np.float32(images - weights.mean_pixels), {}
    for name, width in widths.items():
        if maps.shape[1] * 2 ** (int(name[4]) - 1) > images.shape[1]:
            maps = maps.reshape(len(maps), maps.shape[1] // 2, 2, maps.shape[2] // 2, 2, -1).mean((2, 4))
        B, H, W, _ = maps.shape
        places = rng.choice(B * H * W, min(FIT_POSITIONS, B * H * W), replace=False)
        targets, = extract_features(weights, images, [name + BEFORE_RELU], padding='mirror', config=config,
                                    transform=lambda Z: tf.gather(tf.reshape(Z, [-1, Z.shape[-1]]), places))
        kept = np.sort(scipy.linalg.qr(targets.clip(0), mode='r', pivoting=True)[1][:width])
        convolutions[name] = _least_squares(_patches(maps, places), targets[:, kept])
        maps = _layer(maps, *convolutions[name])
    return weights._replace(convolutions=convolutions, description='')


def normalize(narrow, images: np.ndarray, config: tf.ConfigProto | None = None) -> dict[str, np.ndarray]:
    """Rescale the channels of a pruned VGG-19 so that each has a root mean square of 1.

    The network computes the same up to these factors, but takes (image − 127.5) / 127.5 as input.

    Args:
        narrow: `load_vgg.Weights` of the pruned network, from `prune`.
        images: Images over which the mean squares are taken, [B, H, W, 3], 0 to 255.
        config: Configuration of the TensorFlow session.

    Returns:
        Parameters of an `ArbitraryStyleNet`, float32: 'conv1_1/weights' [3, 3, 3, out], 'conv1_1/biases' [out], ….
    """
    names = list(narrow.convolutions)
    squares = extract_features(narrow, images, names, padding='mirror', config=config,
                               transform=lambda F: tf.reduce_mean(tf.square(F), axis=[0, 1, 2]))
    parameters, input_size = {}, np.full(3, 127.5)
    for name, mean_square in zip(names, squares):
        (W, b), size = narrow.convolutions[name], np.sqrt(mean_square) + 1e-6
        if name == names[0]:
            b = b + W.sum((0, 1)).T @ (127.5 - narrow.mean_pixels)
        parameters |= {f'{name}/weights': np.float32(W * input_size[:, None] / size),
                       f'{name}/biases': np.float32(b / size)}
        input_size = size
    return parameters


def _patches(maps, places):
    """Return the 3×3 patches of maps [B, H, W, C] around the flat positions `places`, [n, 9·C]."""
    B, H, W, C = maps.shape
    padded = np.pad(maps, [(0, 0), (1, 1), (1, 1), (0, 0)], 'symmetric')
    image, y, x = np.unravel_index(places, (B, H, W))
    return np.concatenate([padded[image, y + i, x + j] for i in range(3) for j in range(3)], axis=1)


def _least_squares(inputs, outputs):
    """Fit filters [3, 3, in, out] and biases [out] from inputs [n, 9·in] to outputs [n, out] by ridge regression."""
    inputs, outputs = np.float64(inputs), np.float64(outputs)
    input_mean, output_mean = inputs.mean(0), outputs.mean(0)
    inputs = inputs - input_mean
    products = inputs.T @ inputs
    products.flat[::len(products) + 1] += RIDGE_SHARE * np.trace(products) / len(products)
    W = scipy.linalg.solve(products, inputs.T @ (outputs - output_mean), assume_a='pos')
    return np.float32(W.reshape(3, 3, -1, outputs.shape[1])), np.float32(output_mean - input_mean @ W)


def _layer(maps, W, b):
    """Apply a layer of the pruned network, convolution and ReLU, to maps [B, H, W, in] as NumPy arrays."""
    with tf.Graph().as_default(), tf.Session() as sess:
        x = tf.placeholder(tf.float32, [None, None, None, W.shape[2]])
        padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], 'SYMMETRIC')
        y = tf.nn.relu(tf.nn.conv2d(padded, W, 1, 'VALID') + b)
        return np.concatenate([sess.run(y, {x: maps[i:i + 8]}) for i in range(0, len(maps), 8)])
