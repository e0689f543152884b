"""The network of any style: a narrow VGG-19 down to conv4_1, and convolutions from its maps back up to a picture.

Between the two the maps are given the style's statistics, see `transforms`, which makes one network do for any
painting (Huang and Belongie 2017). How it paints is told by the same statistics: scales and shifts of the instance
norms are linear in a code of them (Ghiasi et al. 2017, whose code a network of its own finds).
"""


import numpy as np

from common.tf1 import tf
from fast.networks.multi_style import LAST_LAYER_GAIN, NOTCH_FILTER, ConditionalNet, conv2d, upsample_conv

# channels of the narrow VGG-19's convolutions
CHANNELS = {'conv1_1': 16, 'conv1_2': 16, 'conv2_1': 32, 'conv2_2': 32, 'conv3_1': 64, 'conv3_2': 64, 'conv3_3': 64,
          'conv3_4': 64, 'conv4_1': 192}
# what is given a style's statistics; colors: means of 4×4 pixels, details: what is left of the pixels without them
MAP_NAMES = 'details', 'colors', 'conv2_1', 'conv3_1', 'conv4_1'
FIXED_PREFIXES = 'conv', 'code'  # how the parameters begin that training leaves as they are
INITIAL_HIGH_PASS_SHARE = 0.5  # share of the details in a picture, at the beginning
# residual blocks at the resolution of conv4_1, of conv3_1, of conv2_1
BLOCKS_AT_CONV4, BLOCKS_AT_CONV3, BLOCKS_AT_CONV2 = 3, 4, 2
FINE_CHANNELS = 12  # channels at the picture's own resolution
RESIDUAL_SHARE = 0.85  # share of what is painted; the rest, the ground, calms skies and keeps faces
PCA_COMPONENTS = 96  # entries of the code
MAX_CODE_DEVIATIONS = 3.  # deviations from the mean that an entry of the code has at most


class ArbitraryStyleNet(ConditionalNet):
    """encode: photos -> maps; decode: maps with a style's statistics, and their description -> pictures.

    parameters, seed: see `ConditionalNet`; those of FIXED_PREFIXES are for `narrowing.narrowed` and `fit_pca` to find
    """

    def encode(self, photos):
        """MAPS of photos [B, H, W, 3] of 0-255, height and width multiples of 8: a list of [B, H', W', N]."""
        x = photos / 127.5 - 1
        colors, details = split_bands(x, 4)
        maps = {'colors': colors, 'details': details}
        for name, width in CHANNELS.items():
            if name.endswith('_1') and name != 'conv1_1':
                x = tf.nn.avg_pool2d(x, 2, 2, 'VALID')
            W = self._fixed_parameter(f'{name}/weights', [3, 3, int(x.shape[-1]), width])
            x = maps[name] = tf.nn.relu(conv2d(x, W) + self._fixed_parameter(f'{name}/biases', [width]))
        return [maps[name] for name in MAP_NAMES]

    def decode(self, maps, description, statistics=None, given=None):
        """The pictures [B, H, W, 3], 0-255 and somewhat beyond, of MAP_NAMES, and their own statistics [B, S].

        description: [B or 1, D], `transforms.description` of the style
        statistics, given: of the instance norms, see `ConditionalNet._set_condition`
        """
        details, colors, conv2_1, conv3_1, conv4_1 = maps
        self._set_condition(self._pca_code(description), statistics, given)
        x = self._layer(conv4_1, 'decoder4', 3, 128)
        for i in range(1, BLOCKS_AT_CONV4 + 1):
            x += self._residual(x, f'residual4_{i}')
        x = self._layer(x, 'up3', 3, 64, upsample_conv)
        x = self._layer(tf.concat([x, conv3_1, colors], axis=3), 'decoder3', 3, 64)
        for i in range(1, BLOCKS_AT_CONV3 + 1):
            x += self._residual(x, f'residual3_{i}')
        x = self._layer(x, 'up2', 3, 32, upsample_conv)
        x = self._layer(tf.concat([x, conv2_1], axis=3), 'decoder2', 3, 32)
        for i in range(1, BLOCKS_AT_CONV2 + 1):
            x += self._residual(x, f'residual2_{i}')
        fine = self._layer(x, 'decoder1', 3, FINE_CHANNELS, _upsample_conv_notched)
        x = self._output_layer(x, 'decoder0', 3, NOTCH_FILTER)
        share = tf.matmul(
            self._condition,
            self._norm_parameter('decoder0/share', [self._condition.shape[-1], 1], INITIAL_HIGH_PASS_SHARE),
        )
        x += upsample(colors, x) + share[:, None, None] * details
        # what is painted at half of the resolution is as if out of focus
        fine = self._layer(tf.concat([fine, x], axis=3), 'fine', 3, FINE_CHANNELS)
        x += conv2d(fine, self._filters('finest', 3, FINE_CHANNELS, 3, LAST_LAYER_GAIN))
        painted, below = 127.5 + 150 * tf.tanh(x), base_layer(details, colors)
        return below + RESIDUAL_SHARE * (painted - below), self._computed_stats()

    def _pca_code(self, description):
        """The style's code, whose entries have about deviation 1, and 1: [B or 1, K + 1]."""
        D = int(description.shape[-1])
        mean, components = (
            self._fixed_parameter('code/mean', [D]),
            self._fixed_parameter('code/components', [D, PCA_COMPONENTS]),
        )
        code = tf.clip_by_value(tf.matmul(description - mean, components), -MAX_CODE_DEVIATIONS, MAX_CODE_DEVIATIONS)
        return tf.pad(code, [[0, 0], [0, 1]], constant_values=1.)

    def _fixed_parameter(self, name, shape):
        """A parameter of FIXED_PREFIXES."""
        return self._parameter(name, shape, tf.zeros_initializer())

    def _norm_parameter(self, name, shape, first):
        """At the beginning it depends on nothing."""
        value = np.zeros([int(length) for length in shape], np.float32)
        value[-1] = first
        return self._parameter(name, shape, tf.constant_initializer(value))


def base_layer(details, colors):
    """The photo [B, H, W, 3], 0-255 and somewhat beyond, of its first two maps with a style's statistics."""
    return 127.5 + 127.5 * (details + upsample(colors, details))


def split_bands(images, side):
    """The means of side×side pixels of images [B, H, W, C], and what these leave of the images, [B, H, W, C]."""
    means = tf.nn.avg_pool2d(images, side, side, 'VALID')
    return means, images - upsample(means, images)


def upsample(means, like):
    """Means of pixels at the size of the map `like`, linear between them."""
    return tf.image.resize_bilinear(means, tf.shape(like)[1:3], half_pixel_centers=True)


def _upsample_conv_notched(x, W):
    return upsample_conv(x, W, NOTCH_FILTER)


def fit_pca(descriptions):
    """'code/mean' and 'code/components' of a network: the principal components of styles' descriptions [n, D].

    The code's entries have mean 0 and deviation 1 over them.
    """
    mean = descriptions.mean(axis=0)
    _, deviations, components = np.linalg.svd(descriptions - mean, full_matrices=False)
    scales = deviations[:PCA_COMPONENTS] / np.sqrt(len(descriptions))
    return {'code/mean': np.float32(mean), 'code/components': np.float32(components[:PCA_COMPONENTS].T / scales)}
