"""What tests compute with: weights and parameters of small networks."""

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

WIDTHS = {1: 4, 2: 5, 3: 6, 4: 7, 5: 8}  # channels of the tiny VGG's five blocks, all different


def _bfloat16_excluded():
    """Return why the environment excludes bfloat16, or ''."""
    try:
        session.check_bfloat16()
        return ''
    except UserError as error:
        return str(error)


needs_bfloat16 = pytest.mark.skipif(bool(_bfloat16_excluded()), reason=_bfloat16_excluded())


def he_weights(widths=WIDTHS, seed=0, last='conv5_4'):
    """A `Weights` of He noise: name -> (filters, biases) down to layer `last`, with the public file's mean."""
    rng = np.random.default_rng(seed)
    convolutions, n = {}, 3
    for name in vgg_layers.CONVOLUTIONS[:vgg_layers.CONVOLUTIONS.index(last) + 1]:
        out = widths[int(name[4])]
        convolutions[name] = (rng.normal(0, np.sqrt(2 / (9 * n)), (3, 3, n, out)).astype(np.float32),
                              rng.normal(0, 1, out).astype(np.float32))
        n = out
    return load_vgg.Weights('he.mat', convolutions, np.float32([123.68, 116.779, 103.939]), 'He noise')


def random_parameters(styles=3, base=4, seed=0):
    """Of a `TransformNet`: name -> array, every one away from its first value."""
    def build():
        network = TransformNet(styles, base, seed)
        network(tf.zeros([1, 16, 16, 3]), tf.zeros([1, styles]))
        return network
    return _away_from_first_values(build, seed)


@contextlib.contextmanager
def few_blocks():
    """Within this context an `AnyNet` has one residual block at each resolution: it is built in half the time."""
    with pytest.MonkeyPatch.context() as patch:
        for blocks in ('BLOCKS_AT_CONV4', 'BLOCKS_AT_CONV3', 'BLOCKS_AT_CONV2'):
            patch.setattr(arbitrary, blocks, 1)
        yield


def random_any(seed=0, entries=3):
    """Parameters of an `AnyNet` with a narrow encoder and a short code: name -> array."""
    rng = np.random.default_rng(seed)
    convolutions = he_weights(seed=seed, last='conv4_1').convolutions
    fixed = {f'{name}/{kind}': value / 4 if kind == 'biases' else value for name, pair in convolutions.items()
             for kind, value in zip(('weights', 'biases'), pair)}
    D = 2 * (3 + 3 + WIDTHS[2] + WIDTHS[3] + WIDTHS[4])
    fixed |= {'code/mean': rng.normal(0, 0.3, D).astype(np.float32),
              'code/components': rng.normal(0, D ** -0.5, (D, entries)).astype(np.float32)}

    def build():
        network = ArbitraryStyleNet(seed, fixed)
        network.decode(network.encode(tf.zeros([1, 16, 16, 3])), tf.zeros([1, D]))
        return network
    parameters = _away_from_first_values(build, seed) | fixed
    parameters['decoder0/weights'] /= 4  # for pictures that are not all black and white
    return parameters


def _away_from_first_values(build, seed):
    """The parameters of the network that `build` gives, every one away from its first value: name -> array."""
    with tf.Graph().as_default(), tf.Session() as sess:
        network = build()
        sess.run(tf.global_variables_initializer())
        parameters = sess.run(network.parameters)
    rng = np.random.default_rng(seed)
    return {name: value + rng.normal(0, 0.1, value.shape).astype(np.float32) for name, value in parameters.items()}


def block_photos(folder, n):
    """Write `n` photos of colored blocks, 108×72, into a folder; return it."""
    rng = np.random.default_rng(0)
    for i in range(n):
        blocks = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
        iio.imwrite(folder / f'{i}.png', blocks.repeat(12, axis=0).repeat(12, axis=1))
    return folder
