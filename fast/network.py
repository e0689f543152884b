"""The image transformation network of Johnson, Alahi and Fei-Fei (2016): a photo in, a picture out, in one pass."""

from typing import NamedTuple

from engine import quiet  # before tensorflow

import tensorflow.compat.v1 as tf

EPSILON = 1e-3  # of the instance norms; with less, photos that show nothing have gradients without bounds
RESIDUAL_BLOCKS = 5
MARGIN = 16  # pixels of reflection that go around a photo, and off again
FAINT = 0.2  # share of He's deviation in the last layer: from saturated pictures training takes several times as long


class Architecture(NamedTuple):
    """Where a network differs from another.

    stride: of the first convolution, and of a resize before the last one
    last_kernel: side of the last convolution
    skips: whether the maps of the first two convolutions are added again on the way up
    fine_blocks: residual blocks on the way up, at twice the resolution of the five
    """
    stride: int
    last_kernel: int
    skips: bool
    fine_blocks: int


# 'half' computes all but the first and the last layer at half the published resolution: a third of the time
ARCHITECTURES = {'half': Architecture(2, 5, True, 2), 'johnson': Architecture(1, 9, False, 0)}


class TransformNet:
    """Convolutions down to a quarter of the first one's resolution, five residual blocks, resize-convolutions up.

    As published but for two things that later work settled: instance norms in place of BatchNorms (Ulyanov et al.
    2016), and nearest-neighbour resizing with a 3×3 convolution in place of the transposed ones, which leave a
    checkerboard (Odena et al. 2016).

    architecture: of ARCHITECTURES; base: channels of the first convolution, 32 as published
    seed: of the variables' first values
    parameters: name -> array, for a network that is not trained; without it they are variables
    """

    def __init__(self, architecture='johnson', base=32, seed=0, parameters=None):
        self.architecture, self.base, self.seed = ARCHITECTURES[architecture], base, seed
        self.fixed = parameters
        self.parameters = {}  # name -> variable, or constant

    @property
    def multiple(self):
        """Photos are extended to multiples of this; tiles start at one, so that they are cut up as the whole is."""
        return 4 * self.architecture.stride

    @property
    def reach(self):
        """How many pixels away a pixel of the photo is still seen, the statistics of the instance norms apart."""
        stride, last_kernel, _, fine_blocks = self.architecture
        down = 4 + stride + 2 * stride
        blocks = 2 * RESIDUAL_BLOCKS * 4 * stride + 2 * fine_blocks * 2 * stride
        up = 4 * stride + 2 * stride + last_kernel // 2 + 7 * stride  # resizing rounds down
        return down + blocks + up

    def __call__(self, photos, statistics=None, margin=MARGIN):
        """Stylise photos [B, H, W, 3] of 0-255, of any size.

        statistics: [B, S] or [1, S], the means and variances that the instance norms use; None for those of the photos
        margin: how many pixels of reflection go around them, and off again, a multiple of `multiple`
        Returns the pictures, as the photos, and the statistics used.
        """
        _, H, W, _ = tf.unstack(tf.shape(photos))
        self._given, self._used = statistics, []
        pictures = self._layers(reflected(photos / 127.5 - 1, self.multiple, 2 * self.multiple, margin))
        pictures = 127.5 + 150 * tf.tanh(pictures[:, margin:margin + H, margin:margin + W])
        return pictures, tf.concat([tf.reshape(u, [-1, u.shape[-1]]) for u in self._used], axis=1)

    def _layers(self, photos):
        base, (stride, last_kernel, skips, fine_blocks) = self.base, self.architecture
        conv1 = self._layer(photos, 'conv1', 9, base, stride)
        conv2 = self._layer(conv1, 'conv2', 3, 2 * base, stride=2)
        x = self._layer(conv2, 'conv3', 3, 4 * base, stride=2)
        for i in range(1, RESIDUAL_BLOCKS + 1):
            x = self._residual_block(x, f'residual{i}')
        x = self._layer(self._doubled(x), 'conv4', 3, 2 * base)
        x = x + conv2 if skips else x
        for i in range(1, fine_blocks + 1):
            x = self._residual_block(x, f'fine{i}')
        x = self._layer(self._doubled(x), 'conv5', 3, base)
        x = x + conv1 if skips else x
        x = self._convolution(self._doubled(x) if stride == 2 else x, 'conv6', last_kernel, 3, deviation=FAINT)
        return x + self._parameter('conv6/bias', [3], tf.zeros_initializer())

    def _residual_block(self, x, name):
        channels = x.shape[-1]
        y = self._layer(x, f'{name}_1', 3, channels)
        return x + self._layer(y, f'{name}_2', 3, channels, relu=False)

    def _layer(self, x, name, kernel, channels, stride=1, relu=True):
        with tf.name_scope(name):
            x = self._instance_norm(self._convolution(x, name, kernel, channels, stride), name)
            return tf.nn.relu(x) if relu else x

    def _convolution(self, x, name, kernel, channels, stride=1, deviation=1.):
        """With reflection at the edges; without a bias, which an instance norm would take off again.

        deviation: of the first values, in He's √(2 / inputs)
        """
        initializer = tf.initializers.variance_scaling(2 * deviation ** 2, 'fan_in', 'truncated_normal',
                                                       seed=self.seed + len(self.parameters))
        W = self._parameter(f'{name}/weights', [kernel, kernel, x.shape[-1], channels], initializer)
        side = [kernel // 2] * 2
        return tf.nn.conv2d(tf.pad(x, [[0, 0], side, side, [0, 0]], 'REFLECT'), W, stride, 'VALID')

    def _instance_norm(self, x, name):
        channels = x.shape[-1]
        gamma = self._parameter(f'{name}/gamma', [channels], tf.ones_initializer())
        beta = self._parameter(f'{name}/beta', [channels], tf.zeros_initializer())
        if self._given is None:
            mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
        else:
            start = sum(int(used.shape[-1]) for used in self._used)
            mean, variance = (self._given[:, None, None, start + i * channels:start + (i + 1) * channels]
                              for i in (0, 1))
        self._used += [mean, variance]
        scale = gamma * tf.rsqrt(variance + EPSILON)
        return x * scale + (beta - mean * scale)

    def _doubled(self, x):
        """Twice the height and width, each value four times."""
        _, H, W, _ = tf.unstack(tf.shape(x))
        return tf.image.resize_nearest_neighbor(x, [2 * H, 2 * W])

    def _parameter(self, name, shape, initializer):
        if name not in self.parameters:
            self.parameters[name] = (tf.get_variable(name, shape, initializer=initializer) if self.fixed is None
                                     else tf.constant(self.fixed[name], name=name))
        return self.parameters[name]


def reflected(photos, multiple, least, margin):
    """Photos [B, H, W, C] of any size, extended by reflection: by `margin` each way, then down and right to multiples.

    least: height and width that there will be at least
    """
    for axis in (1, 2):
        length = tf.shape(photos)[axis]
        wanted = tf.maximum(least, -(-(length + 2 * margin) // multiple) * multiple)
        # 0 1 2 3 2 1 0 1 …, also for lengths that tf.pad cannot reflect
        period = tf.maximum(2 * (length - 1), 1)
        i = tf.range(-margin, wanted - margin) % period
        photos = tf.gather(photos, tf.where(i < length, i, period - i), axis=axis)
    return photos
