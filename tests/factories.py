"""Random weights, parameters of small networks, and photos for the tests."""

import contextlib

import imageio.v3 as iio
import numpy as np
import pytest

import load_vgg
from common import vgg_layers
from common.errors import UserError
from common.tf1 import tf
from engine.run import session
from fast.networks import arbitrary
from fast.networks.arbitrary import ArbitraryStyleNet
from fast.networks.multi_style import TransformNet

# Channels of the five blocks of the tiny VGG. They all differ, so that a confusion of blocks shows.
WIDTHS = {1: 4, 2: 5, 3: 6, 4: 7, 5: 8}


def _bfloat16_excluded():
    """Return why bfloat16 is not available here, or an empty string."""
    try:
        session.check_bfloat16()
        return ''
    except UserError as error:
        return str(error)


needs_bfloat16 = pytest.mark.skipif(bool(_bfloat16_excluded()), reason=_bfloat16_excluded())


def he_weights(widths=WIDTHS, seed=0, last='conv5_4'):
    """Return a `load_vgg.Weights` of random filters and biases, with the mean pixel of the public file.

    Args:
        widths: Block -> number of channels.
        seed: Seed of the random numbers.
        last: The last convolution.
    """
    rng = np.random.default_rng(seed)
    convolutions, in_channels = {}, 3
    for name in vgg_layers.CONVOLUTIONS[:vgg_layers.CONVOLUTIONS.index(last) + 1]:
        out_channels = widths[int(name[4])]
        convolutions[name] = (
            rng.normal(0, np.sqrt(2 / (9 * in_channels)), (3, 3, in_channels, out_channels)).astype(np.float32),
            rng.normal(0, 1, out_channels).astype(np.float32))
        in_channels = out_channels
    return load_vgg.Weights('he.mat', convolutions, np.float32([123.68, 116.779, 103.939]), 'He noise')


def random_parameters(styles=3, base=4, seed=0):
    """Return random parameters of a `TransformNet`: name -> array, all different from their initial values."""
    def build():
        network = TransformNet(styles, base, seed)
        network(tf.zeros([1, 16, 16, 3]), tf.zeros([1, styles]))
        return network
    return _perturbed_parameters(build, seed)


@contextlib.contextmanager
def few_blocks():
    """Give an `ArbitraryStyleNet` one residual block per resolution in this context, which halves its build time."""
    with pytest.MonkeyPatch.context() as patch:
        for blocks in ('BLOCKS_AT_CONV4', 'BLOCKS_AT_CONV3', 'BLOCKS_AT_CONV2'):
            patch.setattr(arbitrary, blocks, 1)
        yield


def random_arbitrary(seed=0, pca_components=3):
    """Return random parameters of an `ArbitraryStyleNet` with a narrow encoder: name -> array.

    Args:
        seed: Seed of the random numbers.
        pca_components: Number of entries of the PCA code.
    """
    rng = np.random.default_rng(seed)
    convolutions = he_weights(seed=seed, last='conv4_1').convolutions
    fixed = {f'{name}/{kind}': value / 4 if kind == 'biases' else value for name, pair in convolutions.items()
             for kind, value in zip(('weights', 'biases'), pair)}
    D = 2 * (3 + 3 + WIDTHS[2] + WIDTHS[3] + WIDTHS[4])
    fixed |= {'code/mean': rng.normal(0, 0.3, D).astype(np.float32),
              'code/components': rng.normal(0, D ** -0.5, (D, pca_components)).astype(np.float32)}

    def build():
        network = ArbitraryStyleNet(seed, fixed)
        network.decode(network.encode(tf.zeros([1, 16, 16, 3])), tf.zeros([1, D]))
        return network
    parameters = _perturbed_parameters(build, seed) | fixed
    parameters['decoder0/weights'] /= 4  # Otherwise nearly all pixels are black or white.
    return parameters


def _perturbed_parameters(build, seed):
    """Return the initial parameters of the network that `build` returns, each plus noise: name -> array."""
    with tf.Graph().as_default(), tf.Session() as sess:
        network = build()
        sess.run(tf.global_variables_initializer())
        parameters = sess.run(network.parameters)
    rng = np.random.default_rng(seed)
    return {name: value + rng.normal(0, 0.1, value.shape).astype(np.float32) for name, value in parameters.items()}


def block_photos(folder, n):
    """Write `n` photos of colored blocks, 108×72 pixels, to a folder; return the folder."""
    rng = np.random.default_rng(0)
    for i in range(n):
        blocks = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
        iio.imwrite(folder / f'{i}.png', blocks.repeat(12, axis=0).repeat(12, axis=1))
    return folder
