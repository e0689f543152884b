"""Multi-style network: the image transformation network of Johnson, Alahi and Fei-Fei (2016) with several styles.

The styles share all filters and differ in the scales and shifts of the instance norms: conditional instance
normalization (Dumoulin, Shlens and Kudlur 2017).
"""

import numpy as np

from common.tf1 import tf
from fast.inference.models import MIN_SIDE_PX, STRIDE

EPSILON = 1e-3  # of the instance norms; with less, gradients are unbounded for photos of constant color
RESIDUAL_BLOCKS = 5
# Factor on He's standard deviation of the initial filters of the last layer. With 1, the first pictures are saturated,
# and training takes several times as long.
LAST_LAYER_GAIN = 0.2

BINOMIAL_FILTER = np.float32([1, 2, 1]) / 4
# Its frequency response is 0 at half a cycle per pixel, and 1 and flat at frequency 0. Two upsamplings make four pixels
# of one along each axis, and every second of these lies on a steeper slope; without this filter, ReLUs turn that into
# checkerboard artifacts.
NOTCH_FILTER = np.float32([-1, 4, 10, 4, -1]) / 16


class ConditionalNet:
    """Base class of networks whose instance norms are conditioned on the style of a picture.

    The scales and shifts of the norms are linear functions of a vector that describes the style, the condition.

    Attributes:
        seed: Seed of the initial values of the variables.
        fixed: Name -> array, the parameters that are constants.
        parameters: Name -> variable or constant, filled while the graph is built.
    """

    def __init__(self, seed: int = 0, parameters: dict[str, np.ndarray] | None = None) -> None:
        """Set the seed and the parameters.

        Args:
            seed: Seed of the initial values of the variables.
            parameters: Name -> array, the parameters that become constants; all others become variables.
        """
        self.seed, self.fixed = seed, parameters or {}
        self.parameters = {}

    def _set_condition(self, values, statistics=None, given=None):
        """Set the condition of the instance norms; call this before the layers are built.

        Args:
            values: The condition, which describes the style of each picture, [B or 1, conditions].
            statistics: Means and variances that the instance norms may use, [1, S].
            given: 1 to use `statistics`, 0 to use those of the photos. With None, the graph always uses the latter.
        """
        self._condition, self._norm_stats, self._use_given_stats, self._computed = values, statistics, given, []

    def _computed_stats(self):
        """Return the means and variances computed from the photos, [B, S]; call this after the layers are built."""
        return tf.concat([tf.reshape(value, [-1, value.shape[-1]]) for value in self._computed], axis=1)

    def _layer(self, x, name, kernel, channels, convolve=None, relu=True):
        """Apply a convolution, without a bias because the norm would cancel it, an instance norm and a ReLU."""
        with tf.name_scope(name):
            W = self._filters(name, kernel, x.shape[-1], channels)
            x = self._instance_norm((convolve or conv2d)(x, W), name)
            return tf.nn.relu(x) if relu else x

    def _residual(self, x, name):
        """Return what a residual block adds to its input."""
        y = self._layer(x, f'{name}_1', 3, x.shape[-1])
        return self._layer(y, f'{name}_2', 3, x.shape[-1], relu=False)

    def _instance_norm(self, x, name):
        """Normalize each channel of each image, then scale and shift it as the condition says."""
        channels, conditions = x.shape[-1], self._condition.shape[-1]
        gamma, beta = (tf.matmul(self._condition, self._norm_parameter(f'{name}/{kind}', [conditions, channels], first))
                       for kind, first in (('gamma', 1.), ('beta', 0.)))
        mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
        start = sum(int(value.shape[-1]) for value in self._computed)
        self._computed += [mean, variance]
        if self._use_given_stats is not None:
            mean, variance = (value + self._use_given_stats * (self._norm_stats[:, None, None, i:i + channels] - value)
                              for value, i in ((mean, start), (variance, start + channels)))
        scale = gamma[:, None, None] * tf.rsqrt(variance + EPSILON)
        return x * scale + (beta[:, None, None] - mean * scale)

    def _norm_parameter(self, name, shape, first):
        """Return a parameter [conditions, C] of the instance norms that yields the value `first` before training."""
        raise NotImplementedError

    def _output_layer(self, x, name, kernel, response):
        """Upsample and convolve to pixels [B, 2H, 2W, 3] before the tanh, with a bias and without a norm."""
        return (upsample_conv(x, self._filters(name, kernel, x.shape[-1], 3, LAST_LAYER_GAIN), response)
                + self._parameter(f'{name}/bias', [3], tf.zeros_initializer()))

    def _filters(self, name, kernel, channels, new, deviation=1.):
        """Return filters [kernel, kernel, channels, new].

        Their initial standard deviation is `deviation` times He's √(2 / inputs).
        """
        initializer = tf.initializers.variance_scaling(2 * deviation ** 2, 'fan_in', 'truncated_normal',
                                                       seed=self.seed + len(self.parameters))
        return self._parameter(f'{name}/weights', [kernel, kernel, channels, new], initializer)

    def _parameter(self, name, shape, initializer):
        """Return the parameter `name`, creating it at its first use: a constant if it is fixed, else a variable."""
        if name not in self.parameters:
            with tf.name_scope(None):  # an exported network is read again by these names, so no scope may change them
                self.parameters[name] = (tf.constant(self.fixed[name], name=name) if name in self.fixed
                                         else tf.get_variable(name, shape, initializer=initializer))
        return self.parameters[name]


class TransformNet(ConditionalNet):
    """Multi-style network: strided convolutions, five residual blocks at a quarter of the resolution, and upsampling.

    It differs from the published network in what later work improved: conditional instance norms, with a scale and a
    shift per style (Dumoulin, Shlens and Kudlur 2017), instead of batch norms; a blur before each stride (Zhang 2019);
    linear upsampling before a convolution (Odena et al. 2016) instead of transposed convolutions; padding by
    reflection. It also has no maps at the photo's full resolution, which take most of the time and memory: the first
    convolution has stride 2, and the last one computes four pixels at a time.

    Attributes:
        styles: Number of styles.
        base: Channels of the first convolution, at half the photo's resolution.
    """

    def __init__(self, styles: int, base: int = 32, seed: int = 0,
                 parameters: dict[str, np.ndarray] | None = None) -> None:
        """Set the size of the network.

        Args:
            styles: Number of styles.
            base: Channels of the first convolution.
            seed: Seed of the initial values of the variables.
            parameters: Name -> array, the parameters that become constants; all others become variables.
        """
        super().__init__(seed, parameters)
        self.styles, self.base = styles, base

    def __call__(self, photos: tf.Tensor, style_weights: tf.Tensor, statistics: tf.Tensor | None = None,
                 given: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Stylize photos.

        Args:
            photos: float32 [B, H, W, 3], 0 to 255; H and W are multiples of STRIDE and at least MIN_SIDE_PX.
            style_weights: [B, styles], or [1, styles] for all photos; several styles blend their scales and shifts.
            statistics: Means and variances for the instance norms, see `_set_condition`.
            given: Whether to use `statistics`, 1 or 0, see `_set_condition`.

        Returns:
            The pictures [B, H, W, 3], from 0 to 255 and slightly beyond, and the means and variances computed from the
            photos, [B, S].
        """
        self._set_condition(style_weights, statistics, given)
        pictures = 127.5 + 150 * tf.tanh(self._layers(photos / 127.5 - 1))
        return pictures, self._computed_stats()

    def _layers(self, photos):
        """Return the pictures before the tanh, [B, H, W, 3], for photos with channels from -1 to 1."""
        base = self.base
        x = self._layer(photos, 'conv1', 5, base, _downsample_conv)
        x = self._layer(x, 'conv2', 3, 2 * base, _downsample_conv)
        for i in range(1, RESIDUAL_BLOCKS + 1):
            x += self._residual(x, f'residual{i}')
        x = self._layer(x, 'conv3', 3, base, upsample_conv)
        return self._output_layer(x, 'conv4', 3, NOTCH_FILTER)

    def _norm_parameter(self, name, shape, first):
        """Return a parameter of the instance norms, `first` for every style and channel before training."""
        return self._parameter(name, shape, tf.constant_initializer(first))


def conv2d(x: tf.Tensor, W: tf.Tensor, stride: int = 1) -> tf.Tensor:
    """Convolve maps [B, H, W, in] with filters [k, k, in, out], with padding by reflection."""
    return tf.nn.conv2d(_reflect_pad(x, int(W.shape[0]) // 2), W, stride, 'VALID')


def _reflect_pad(x, side):
    """Pad maps [B, H, W, C] by reflection, with `side` pixels at each edge."""
    for axis in (1, 2):
        x = tf.concat([*(_row(x, i, axis) for i in range(side, 0, -1)), x,
                       *(_row(x, -1 - i, axis) for i in range(1, side + 1))], axis)
    return x


def _row(x, i, axis):
    """Return row or column `i`, negative from the end, as a slice: LiteRT runs slices in parallel, but not tf.pad."""
    part = slice(i, i + 1 or None)
    return x[:, part] if axis == 1 else x[:, :, part]


def _downsample_conv(x, W):
    """Blur with a binomial filter and convolve with stride 2, as one convolution whose filters are blurred."""
    n = int(W.shape[0])
    taps = np.float32([np.convolve(np.eye(n)[i], BINOMIAL_FILTER) for i in range(n)])
    return conv2d(x, tf.einsum('ty,sx,tsio->yxio', taps, taps, W), 2)


def upsample_conv(x: tf.Tensor, W: tf.Tensor, response: np.ndarray | None = None) -> tf.Tensor:
    """Upsample by 2 (bilinear) and convolve, computed as one convolution at low resolution with polyphase filters.

    This takes a quarter of the memory of an upsampling that a convolution follows.

    Args:
        x: Maps [B, H, W, in].
        W: Filters [k, k, in, out].
        response: Filter that is applied to the rows and columns of `x` first, None for none. It is computed after the
            convolution, which has the same result and fewer channels.

    Returns:
        Maps [B, 2H, 2W, out].
    """
    n, _, channels, out_channels = map(int, W.shape)
    taps = polyphase_filters(n)
    W = tf.reshape(tf.einsum('pty,qsx,tsio->yxipqo', taps, taps, W), [taps.shape[2]] * 2 + [channels, 4 * out_channels])
    margin = 0 if response is None else len(response) // 2
    x = tf.nn.conv2d(_reflect_pad(x, taps.shape[2] // 2 + margin), W, 1, 'VALID')
    if margin:
        response = np.tile(np.outer(response, response)[..., None, None], [1, 1, 4 * out_channels, 1])
        x = tf.nn.depthwise_conv2d(x, response, [1] * 4, 'VALID')
    return tf.nn.depth_to_space(x, 2)


def polyphase_filters(n: int) -> np.ndarray:
    """Return the polyphase filters of linear upsampling by 2 for a convolution along one axis.

    Args:
        n: Number of taps of the convolution, odd.

    Returns:
        float32 [2, n, k]: for the first and second of the two output pixels at an input pixel, and each tap, the
        weights of the k input pixels around that input pixel.
    """
    radius = n // 2
    k = 2 * ((radius + 2) // 2) + 1
    taps = np.zeros([2, n, k], np.float32)
    for phase in range(2):
        for tap in range(n):
            place = (phase + tap - radius + 0.5) / 2 - 0.5  # in input pixels, relative to the central one
            before = int(np.floor(place))
            for pixel, share in ((before, before + 1 - place), (before + 1, place - before)):
                taps[phase, tap, pixel + k // 2] += share
    return taps


def pad_to_stride(photos: tf.Tensor) -> tf.Tensor:
    """Pad photos [B, H, W, C] of any size by reflection, at the bottom and right, to a size that `TransformNet` takes.

    Height and width become multiples of STRIDE and at least MIN_SIDE_PX.
    """
    for axis in (1, 2):
        length = tf.shape(photos)[axis]
        wanted = tf.maximum(MIN_SIDE_PX, -(-length // STRIDE) * STRIDE)
        # The indices go 0 1 2 3 2 1 0 1 …, which also works where the padding is longer than tf.pad allows.
        period = tf.maximum(2 * (length - 1), 1)
        i = tf.range(wanted) % period
        photos = tf.gather(photos, tf.where(i < length, i, period - i), axis=axis)
    return photos
