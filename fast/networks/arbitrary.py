"""Arbitrary style transfer network: a pruned VGG-19 up to conv4_1 as encoder, and a decoder from its maps to a picture.

Between the two, the maps get the style's statistics, see `fast.inference.moment_matching`, so that one network works
for any painting (Huang and Belongie 2017). The decoder is conditioned on the same statistics: the scales and shifts of
its instance norms are linear in a PCA code of them (Ghiasi et al. 2017, who compute their code with another network).
"""

from collections.abc import Sequence

import numpy as np

from common.tf1 import tf
from fast.networks.multi_style import LAST_LAYER_GAIN, NOTCH_FILTER, ConditionalNet, conv2d, upsample_conv

# channels of the convolutions of the pruned VGG-19
CHANNELS = {'conv1_1': 16, 'conv1_2': 16, 'conv2_1': 32, 'conv2_2': 32, 'conv3_1': 64, 'conv3_2': 64, 'conv3_3': 64,
          'conv3_4': 64, 'conv4_1': 192}
# The maps that get a style's statistics. 'colors' is the low-pass band, the means of 4×4 pixels; 'details' is the
# high-pass band, the pixels minus the upsampled means.
MAP_NAMES = 'details', 'colors', 'conv2_1', 'conv3_1', 'conv4_1'
FIXED_PREFIXES = 'conv', 'code'  # prefixes of the parameters that training does not change
INITIAL_HIGH_PASS_SHARE = 0.5  # factor of the high-pass band in the picture, before training
# residual blocks at the resolution of conv4_1, conv3_1 and conv2_1
BLOCKS_AT_CONV4, BLOCKS_AT_CONV3, BLOCKS_AT_CONV2 = 3, 4, 2
FINE_CHANNELS = 12  # channels at the resolution of the picture
# Share of the decoder's output in the picture; the rest is the base layer, which smooths skies and preserves faces.
RESIDUAL_SHARE = 0.85
PCA_COMPONENTS = 96  # entries of the PCA code
MAX_CODE_DEVIATIONS = 3.  # entries of the code are clipped to this many standard deviations from the mean


class ArbitraryStyleNet(ConditionalNet):
    """Arbitrary style transfer network as TensorFlow operations.

    `encode` maps photos to feature maps; `decode` maps feature maps with a style's statistics, and the style embedding,
    to pictures. The arguments of the constructor are those of `ConditionalNet`. Parameters whose names begin with
    FIXED_PREFIXES are not trained: they come from `pruning.prune` and `pruning.normalize`, and from `fit_pca`.
    """

    def encode(self, photos: tf.Tensor) -> list[tf.Tensor]:
        """Compute the feature maps of photos.

        Args:
            photos: float32 [B, H, W, 3], 0 to 255; H and W are multiples of 8.

        Returns:
            The maps of MAP_NAMES in order, each [B, H', W', N].
        """
        x = photos / 127.5 - 1
        colors, details = split_bands(x, 4)
        maps = {'colors': colors, 'details': details}
        for name, width in CHANNELS.items():
            if name.endswith('_1') and name != 'conv1_1':
                x = tf.nn.avg_pool2d(x, 2, 2, 'VALID')
            W = self._fixed_parameter(f'{name}/weights', [3, 3, int(x.shape[-1]), width])
            x = maps[name] = tf.nn.relu(conv2d(x, W) + self._fixed_parameter(f'{name}/biases', [width]))
        return [maps[name] for name in MAP_NAMES]

    def decode(self, maps: Sequence[tf.Tensor], description: tf.Tensor, statistics: tf.Tensor | None = None,
               given: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Compute pictures from feature maps that have a style's statistics.

        Args:
            maps: The maps of MAP_NAMES in order, each [B, H', W', N].
            description: Style embedding from `moment_matching.style_embedding`, [B, D], or [1, D] for all maps.
            statistics: Means and variances for the instance norms, see `ConditionalNet._set_condition`.
            given: Whether to use `statistics`, 1 or 0, see `ConditionalNet._set_condition`.

        Returns:
            The pictures [B, H, W, 3], from 0 to 255 and slightly beyond, and the means and variances computed from
            these maps, [B, S].
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
        # Add layers at full resolution, because what is painted at half the resolution looks out of focus.
        fine = self._layer(tf.concat([fine, x], axis=3), 'fine', 3, FINE_CHANNELS)
        x += conv2d(fine, self._filters('finest', 3, FINE_CHANNELS, 3, LAST_LAYER_GAIN))
        painted, base = 127.5 + 150 * tf.tanh(x), base_layer(details, colors)
        return base + RESIDUAL_SHARE * (painted - base), self._computed_stats()

    def _pca_code(self, description):
        """Return the PCA code of a style embedding and a constant 1: [B or 1, PCA_COMPONENTS + 1].

        The entries of the code have a standard deviation of about 1 over the styles; the constant gives the instance
        norms scales and shifts that do not depend on the style.
        """
        D = int(description.shape[-1])
        mean, components = (
            self._fixed_parameter('code/mean', [D]),
            self._fixed_parameter('code/components', [D, PCA_COMPONENTS]),
        )
        code = tf.clip_by_value(tf.matmul(description - mean, components), -MAX_CODE_DEVIATIONS, MAX_CODE_DEVIATIONS)
        return tf.pad(code, [[0, 0], [0, 1]], constant_values=1.)

    def _fixed_parameter(self, name, shape):
        """Return a parameter that training does not change, with zeros until its value is loaded."""
        return self._parameter(name, shape, tf.zeros_initializer())

    def _norm_parameter(self, name, shape, first):
        """Return a parameter of the instance norms, initialized so that it does not depend on the style."""
        value = np.zeros([int(length) for length in shape], np.float32)
        value[-1] = first
        return self._parameter(name, shape, tf.constant_initializer(value))


def base_layer(details: tf.Tensor, colors: tf.Tensor) -> tf.Tensor:
    """Compose the base layer, the photo with the style's colors, from the high-pass and the low-pass band.

    Args:
        details: High-pass band with the style's statistics, [B, H, W, 3].
        colors: Low-pass band with the style's statistics, [B, H / 4, W / 4, 3].

    Returns:
        [B, H, W, 3], from 0 to 255 and slightly beyond.
    """
    return 127.5 + 127.5 * (details + upsample(colors, details))


def split_bands(images: tf.Tensor, side: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Split images into a low-pass and a high-pass band.

    Args:
        images: [B, H, W, C].
        side: Side in pixels of the squares whose means make the low-pass band.

    Returns:
        The means [B, H / side, W / side, C], and the images minus the upsampled means, [B, H, W, C].
    """
    means = tf.nn.avg_pool2d(images, side, side, 'VALID')
    return means, images - upsample(means, images)


def upsample(means: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Upsample means of pixels [B, H', W', C] bilinearly to the height and width of the map `like`."""
    return tf.image.resize_bilinear(means, tf.shape(like)[1:3], half_pixel_centers=True)


def _upsample_conv_notched(x, W):
    """Upsample by 2 and convolve, with the notch filter against checkerboard artifacts."""
    return upsample_conv(x, W, NOTCH_FILTER)


def fit_pca(descriptions: np.ndarray) -> dict[str, np.ndarray]:
    """Fit the PCA code to style embeddings; the entries of the code have mean 0 and standard deviation 1 over them.

    Args:
        descriptions: Embeddings of the styles, [n, D].

    Returns:
        The parameters 'code/mean' [D] and 'code/components' [D, PCA_COMPONENTS] of an `ArbitraryStyleNet`, float32.
    """
    mean = descriptions.mean(axis=0)
    _, singular_values, components = np.linalg.svd(descriptions - mean, full_matrices=False)
    scales = singular_values[:PCA_COMPONENTS] / np.sqrt(len(descriptions))
    return {'code/mean': np.float32(mean), 'code/components': np.float32(components[:PCA_COMPONENTS].T / scales)}
