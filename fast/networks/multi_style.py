"""The image transformation network of Johnson, Alahi and Fei-Fei (2016) with many styles: a photo in, a picture out."""


import numpy as np

from common.tf1 import tf
from fast.inference.models import MIN_SIDE_PX, STRIDE

EPSILON = 1e-3  # of the instance norms; with less, photos that show nothing have gradients without bounds
RESIDUAL_BLOCKS = 5
# share of He's deviation in the last layer: from saturated pictures training takes several times as long
LAST_LAYER_GAIN = 0.2

BINOMIAL_FILTER = np.float32([1, 2, 1]) / 4
# 0 at half a cycle a pixel, 1 at 0 and flat there. Of the four pixels that come from one after two enlargements every
# second has steeper surroundings, of which ReLUs make a grid
NOTCH_FILTER = np.float32([-1, 4, 10, 4, -1]) / 16


class ConditionalNet:
    """Convolutions with instance norms, whose scales and shifts are linear in what tells a picture's style.

    seed: of the variables' first values
    parameters: name -> array, of those that are not trained; the others are variables
    """

    def __init__(self, seed=0, parameters=None):
        self.seed, self.fixed = seed, parameters or {}
        self.parameters = {}  # name -> variable, or constant

    def _set_condition(self, values, statistics=None, given=None):
        """Before the layers: values [B or 1, conditions], the numbers that tell the style.

        statistics, given: [1, S] and a number; where it is 1 the instance norms take these means and variances, where
        0 those of the photos. None for the photos'
        """
        self._condition, self._norm_stats, self._use_given_stats, self._computed = values, statistics, given, []

    def _computed_stats(self):
        """After the layers: the means and variances of the photos, [B, S]."""
        return tf.concat([tf.reshape(own, [-1, own.shape[-1]]) for own in self._computed], axis=1)

    def _layer(self, x, name, kernel, channels, convolve=None, relu=True):
        """A convolution, which the norm needs no bias for, its instance norm, a ReLU."""
        with tf.name_scope(name):
            W = self._filters(name, kernel, x.shape[-1], channels)
            x = self._instance_norm((convolve or conv2d)(x, W), name)
            return tf.nn.relu(x) if relu else x

    def _residual(self, x, name):
        """What a residual block adds."""
        y = self._layer(x, f'{name}_1', 3, x.shape[-1])
        return self._layer(y, f'{name}_2', 3, x.shape[-1], relu=False)

    def _instance_norm(self, x, name):
        channels, conditions = x.shape[-1], self._condition.shape[-1]
        gamma, beta = (tf.matmul(self._condition, self._norm_parameter(f'{name}/{kind}', [conditions, channels], first))
                       for kind, first in (('gamma', 1.), ('beta', 0.)))
        mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
        start = sum(int(own.shape[-1]) for own in self._computed)
        self._computed += [mean, variance]
        if self._use_given_stats is not None:
            mean, variance = (own + self._use_given_stats * (self._norm_stats[:, None, None, i:i + channels] - own)
                              for own, i in ((mean, start), (variance, start + channels)))
        scale = gamma[:, None, None] * tf.rsqrt(variance + EPSILON)
        return x * scale + (beta[:, None, None] - mean * scale)

    def _norm_parameter(self, name, shape, first):
        """A parameter [conditions, C] of the instance norms; first: the value that it gives at the beginning."""
        raise NotImplementedError

    def _output_layer(self, x, name, kernel, response):
        """The pixels [B, 2H, 2W, 3] of a convolution without a norm, before the tanh."""
        return (upsample_conv(x, self._filters(name, kernel, x.shape[-1], 3, LAST_LAYER_GAIN), response)
                + self._parameter(f'{name}/bias', [3], tf.zeros_initializer()))

    def _filters(self, name, kernel, channels, new, deviation=1.):
        """deviation: of the first values, in He's √(2 / inputs)."""
        initializer = tf.initializers.variance_scaling(2 * deviation ** 2, 'fan_in', 'truncated_normal',
                                                       seed=self.seed + len(self.parameters))
        return self._parameter(f'{name}/weights', [kernel, kernel, channels, new], initializer)

    def _parameter(self, name, shape, initializer):
        if name not in self.parameters:
            with tf.name_scope(None):  # constants have these names too, by which an exported network is read again
                self.parameters[name] = (tf.constant(self.fixed[name], name=name) if name in self.fixed
                                         else tf.get_variable(name, shape, initializer=initializer))
        return self.parameters[name]


class TransformNet(ConditionalNet):
    """Convolutions down to a quarter of the resolution, five residual blocks, enlargement and convolutions up.

    As published but for what later work settled: conditional instance norms, a scale and a shift per style (Dumoulin,
    Shlens and Kudlur 2017), in place of BatchNorms; a blur before each stride (Zhang 2019); linear enlargement before
    a convolution (Odena et al. 2016) in place of transposed ones; reflection at the edges. And there are no maps of
    the photo's own size, which take most of the time and memory: the first convolution has the first stride, the last
    one gives four pixels at a time.

    styles: how many; base: channels of the first convolution, at half the photo's resolution
    """

    def __init__(self, styles, base=32, seed=0, parameters=None):
        super().__init__(seed, parameters)
        self.styles, self.base = styles, base

    def __call__(self, photos, style_weights, statistics=None, given=None):
        """Stylize photos [B, H, W, 3] of 0-255, height and width multiples of STRIDE and at least LEAST.

        style_weights: [B, styles] or [1, styles]; of several styles their scales and shifts are mixed
        statistics, given: see `ConditionalNet._set_condition`
        Returns the pictures, as the photos, and the means and variances of the photos, [B, S].
        """
        self._set_condition(style_weights, statistics, given)
        pictures = 127.5 + 150 * tf.tanh(self._layers(photos / 127.5 - 1))
        return pictures, self._computed_stats()

    def _layers(self, photos):
        base = self.base
        x = self._layer(photos, 'conv1', 5, base, _downsample_conv)
        x = self._layer(x, 'conv2', 3, 2 * base, _downsample_conv)
        for i in range(1, RESIDUAL_BLOCKS + 1):
            x += self._residual(x, f'residual{i}')
        x = self._layer(x, 'conv3', 3, base, upsample_conv)
        return self._output_layer(x, 'conv4', 3, NOTCH_FILTER)

    def _norm_parameter(self, name, shape, first):
        return self._parameter(name, shape, tf.constant_initializer(first))


def conv2d(x, W, stride=1):
    """With reflection at the edges."""
    return tf.nn.conv2d(_reflect_pad(x, int(W.shape[0]) // 2), W, stride, 'VALID')


def _reflect_pad(x, side):
    """With `side` more pixels at each edge."""
    for axis in (1, 2):
        x = tf.concat([*(_row(x, i, axis) for i in range(side, 0, -1)), x,
                       *(_row(x, -1 - i, axis) for i in range(1, side + 1))], axis)
    return x


def _row(x, i, axis):
    """Row or column i, of negative ones from the end, as a slice: LiteRT computes those in parallel, tf.pad not."""
    part = slice(i, i + 1 or None)
    return x[:, part] if axis == 1 else x[:, :, part]


def _downsample_conv(x, W):
    """Blurred by a binomial filter, then convolved with stride 2: the same as by filters that are blurred."""
    n = int(W.shape[0])
    taps = np.float32([np.convolve(np.eye(n)[i], BINOMIAL_FILTER) for i in range(n)])
    return conv2d(x, tf.einsum('ty,sx,tsio->yxio', taps, taps, W), 2)


def upsample_conv(x, W, response=None):
    """Enlarged twofold, linearly, then convolved, the same as by filters of the small map for each of four new pixels.

    That takes a fourth of the memory. response: a filter, of the small map's rows and columns alike, that goes first;
    it is applied to what the convolution gives, which is the same and has fewer channels.
    """
    n, _, channels, out_channels = map(int, W.shape)
    taps = polyphase_filters(n)
    W = tf.reshape(tf.einsum('pty,qsx,tsio->yxipqo', taps, taps, W), [taps.shape[2]] * 2 + [channels, 4 * out_channels])
    further = 0 if response is None else len(response) // 2
    x = tf.nn.conv2d(_reflect_pad(x, taps.shape[2] // 2 + further), W, 1, 'VALID')
    if further:
        response = np.tile(np.outer(response, response)[..., None, None], [1, 1, 4 * out_channels, 1])
        x = tf.nn.depthwise_conv2d(x, response, [1] * 4, 'VALID')
    return tf.nn.depth_to_space(x, 2)


def polyphase_filters(n):
    """[2, n, k]: of the first and second of two pixels that come from one, tap of n -> what k pixels around it give."""
    reach = n // 2
    k = 2 * ((reach + 2) // 2) + 1
    taps = np.zeros([2, n, k], np.float32)
    for phase in range(2):
        for tap in range(n):
            place = (phase + tap - reach + 0.5) / 2 - 0.5  # in small pixels from the one
            before = int(np.floor(place))
            for pixel, share in ((before, before + 1 - place), (before + 1, place - before)):
                taps[phase, tap, pixel + k // 2] += share
    return taps


def pad_to_stride(photos):
    """Photos [B, H, W, C] of any size, a tensor, reflected down and right to multiples of STRIDE, at least LEAST."""
    for axis in (1, 2):
        length = tf.shape(photos)[axis]
        wanted = tf.maximum(MIN_SIDE_PX, -(-length // STRIDE) * STRIDE)
        # 0 1 2 3 2 1 0 1 …, also for lengths that tf.pad cannot reflect
        period = tf.maximum(2 * (length - 1), 1)
        i = tf.range(wanted) % period
        photos = tf.gather(photos, tf.where(i < length, i, period - i), axis=axis)
    return photos
