"""A narrow VGG-19: some channels of each layer, their filters fitted anew to the channels that are left below.

Layer by layer, by least squares, on what the narrow network itself has below: nothing is trained. The channels that
stay are those that span the others best (QR with pivots), as in pruning by reconstruction (He, Zhang and Sun 2017).
"""


import numpy as np
import scipy

from common.tf1 import tf
from common.vgg_layers import BEFORE_RELU
from engine.losses.features import extract_features

FIT_POSITIONS = 30_000  # positions of a layer that its filters are fitted to
RIDGE_SHARE = 1e-4  # of the mean square of the inputs


def prune(weights, widths, images, seed=0, config=None):
    """A narrow VGG-19: `weights` with some channels of its first convolutions, and nothing below them.

    weights: from `load_vgg.read_weights`; widths: name -> channels, of its first convolutions
    images: [B, H, W, 3], 0-255, height and width multiples of 16
    """
    rng = np.random.default_rng(seed)
    maps, convolutions = np.float32(images - weights.mean_pixels), {}
    for name, width in widths.items():
        if maps.shape[1] * 2 ** (int(name[4]) - 1) > images.shape[1]:
            maps = maps.reshape(len(maps), maps.shape[1] // 2, 2, maps.shape[2] // 2, 2, -1).mean((2, 4))
        B, H, W, _ = maps.shape
        places = rng.choice(B * H * W, min(FIT_POSITIONS, B * H * W), replace=False)
        true, = extract_features(weights, images, [name + BEFORE_RELU], padding='mirror', config=config,
                            transform=lambda Z: tf.gather(tf.reshape(Z, [-1, Z.shape[-1]]), places))
        kept = np.sort(scipy.linalg.qr(true.clip(0), mode='r', pivoting=True)[1][:width])
        convolutions[name] = _least_squares(_patches(maps, places), true[:, kept])
        maps = _layer(maps, *convolutions[name])
    return weights._replace(convolutions=convolutions, description='')


def normalize(narrow, images, config=None):
    """The same network as 'conv1_1/weights' [3, 3, 3, out], 'conv1_1/biases' [out], …, for (image − 127.5) / 127.5.

    Each channel's root mean square over the images [B, H, W, 3], 0-255, is 1.
    """
    names = list(narrow.convolutions)
    squares = extract_features(narrow, images, names, padding='mirror', config=config,
                          transform=lambda F: tf.reduce_mean(tf.square(F), axis=[0, 1, 2]))
    parameters, below = {}, np.full(3, 127.5)
    for name, mean_square in zip(names, squares):
        (W, b), size = narrow.convolutions[name], np.sqrt(mean_square) + 1e-6
        if name == names[0]:
            b = b + W.sum((0, 1)).T @ (127.5 - narrow.mean_pixels)
        parameters |= {f'{name}/weights': np.float32(W * below[:, None] / size), f'{name}/biases': np.float32(b / size)}
        below = size
    return parameters


def _patches(maps, places):
    """The surroundings of some positions, by rows [n, 9·C]."""
    B, H, W, C = maps.shape
    around = np.pad(maps, [(0, 0), (1, 1), (1, 1), (0, 0)], 'symmetric')
    image, y, x = np.unravel_index(places, (B, H, W))
    return np.concatenate([around[image, y + i, x + j] for i in range(3) for j in range(3)], axis=1)


def _least_squares(inputs, outputs):
    """Filters [3, 3, in, out] and biases [out] that give the outputs [n, out] of the inputs [n, 9·in]."""
    inputs, outputs = np.float64(inputs), np.float64(outputs)
    center, middle = inputs.mean(0), outputs.mean(0)
    inputs = inputs - center
    products = inputs.T @ inputs
    products.flat[::len(products) + 1] += RIDGE_SHARE * np.trace(products) / len(products)
    W = scipy.linalg.solve(products, inputs.T @ (outputs - middle), assume_a='pos')
    return np.float32(W.reshape(3, 3, -1, outputs.shape[1])), np.float32(middle - center @ W)


def _layer(maps, W, b):
    """One layer of the narrow network on maps [B, H, W, in], arrays."""
    with tf.Graph().as_default(), tf.Session() as sess:
        x = tf.placeholder(tf.float32, [None, None, None, W.shape[2]])
        padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], 'SYMMETRIC')
        y = tf.nn.relu(tf.nn.conv2d(padded, W, 1, 'VALID') + b)
        return np.concatenate([sess.run(y, {x: maps[i:i + 8]}) for i in range(0, len(maps), 8)])
