"""Blend several styles by weights or by guidance masks, and keep the photo or its colors.

Spatial guidance is that of Gatys et al. (2017, Controlling Perceptual Factors in Neural Style Transfer), section 3.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import utils
from common import images
from common.errors import UserError
from common.images import LUMINANCE_WEIGHTS
from common.tf1 import tf
from engine.losses.features import lazy_constant


def blend_weights(styles: Sequence, weights: Sequence[float] | None, mask: Path | None) -> list[float]:
    """Return one weight for each style; they add up to 1, and are equal if none are given.

    Args:
        styles: The styles, of which only the number matters.
        weights: Numbers of at least 0, of which only the ratios matter, or None.
        mask: Path of the mask, or None.

    Raises:
        UserError: The weights do not fit the styles or have no effect, or there are too many styles for a mask.
    """
    if mask:
        images.check_mask_styles(len(styles))
    if weights is None:
        return [1 / len(styles) for _ in styles]
    if mask or len(styles) < 2:
        raise UserError(f'--style-weights does nothing with {"--mask" if mask else "one style"}')
    if len(weights) != len(styles):
        raise UserError(f'--style-weights: {len(weights)} for {len(styles)} styles')
    if not (np.isfinite(weights).all() and min(weights) >= 0 and sum(weights) > 0):
        raise UserError(f'--style-weights {" ".join(f"{weight:g}" for weight in weights)}: must be 0 or more, and '
                        'not all 0')
    return [weight / sum(weights) for weight in map(float, weights)]


def read_mask(path: Path, content_path: Path, width: int, height: int) -> np.ndarray:
    """Read a mask, and crop and resize it like the content image: float32 [height, width], 0 (black) to 1 (white).

    Raises:
        UserError: The mask cannot be read, or it has neither the content image's aspect ratio nor the picture's.
    """
    size = utils.image_size(path)
    if not images.have_same_shape(size, (width, height)):
        images.check_mask_shape(f'--mask {path}', size, content_path, utils.image_size(content_path))
    return utils.get_resized_image(path, width, height, convert_profiles=False)[0].mean(axis=-1) / 255


def guidance_masks(mask: np.ndarray, layers: Sequence[str], pooling: str, config: tf.ConfigProto | None = None) -> list:
    """Downsample a mask to the sizes of layers of VGG-19, with the pooling of the network.

    Args:
        mask: float32 [H, W], 0 to 1.
        layers: Names of the layers.
        pooling: 'avg' or 'max'.
        config: The configuration of the session, see `session.session_config`.

    Returns:
        An array [1, H', W', 1] for each layer.
    """
    pool = {'avg': tf.nn.avg_pool2d, 'max': tf.nn.max_pool2d}[pooling]
    blocks = [int(layer[len('conv')]) for layer in layers]
    with tf.Graph().as_default(), tf.Session(config=config) as sess:
        pixels = tf.placeholder(tf.float32, [1, *mask.shape, 1])
        pooled = [tf.identity(pixels)]
        for _ in range(max(blocks) - 1):
            pooled.append(pool(pooled[-1], 2, 2, 'SAME'))
        pooled = sess.run(pooled, {pixels: mask[None, :, :, None]})
    return [pooled[block - 1] for block in blocks]


def composite_with_photo(image: tf.Tensor, photo: np.ndarray, keep_colors: bool,
                         mask: np.ndarray | None = None) -> tf.Tensor:
    """Return an image with the photo's colors, with the photo itself where a mask is black, or with both.

    Args:
        image: [1, H, W, 3], mean-centered.
        photo: [1, H, W, 3], centered by the same mean.
        keep_colors: Whether to restore the photo's colors; then all channels of a pixel differ from the photo by the
            same amount.
        mask: [H, W], 0 to 1, or None.
    """
    photo = lazy_constant(photo, image)
    change = image - photo
    if keep_colors:
        change = tf.repeat(tf.reduce_sum(change * LUMINANCE_WEIGHTS, axis=-1, keepdims=True), 3, axis=-1)
    return photo + (change if mask is None else np.float32(mask[..., None]) * change)
