"""Several styles in one picture: their weights, or a mask, and what it is at each layer; and the photo in a picture.

Regions: Gatys et al. (2017, Controlling Perceptual Factors in Neural Style Transfer), section 3.
"""


import numpy as np

import utils
from common import images
from common.errors import UserError
from common.images import LUMINANCE_WEIGHTS
from common.tf1 import tf
from engine.losses.features import lazy_constant


def blend_weights(styles, weights, mask):
    """The weights of some styles, adding up to 1; None for equal ones. Raises `UserError` for what does nothing."""
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


def read_mask(path, content_path, width, height):
    """The mask at `path` fitted as the content is: [height, width] from 0, black, to 1, white.

    Raises `UserError` for one of another shape than the content's.
    """
    images.check_mask_shape(f'--mask {path}', utils.image_size(path), content_path, utils.image_size(content_path))
    return utils.get_resized_image(path, width, height)[0].mean(axis=-1) / 255


def guidance_masks(mask, layers, pooling, config=None):
    """A mask [H, W] reduced to the size of each of `layers` of VGG-19, by its poolings: arrays [1, H', W', 1].

    pooling: 'avg' or 'max'; config: of the session, see `sessions.session_config`
    """
    pool = {'avg': tf.nn.avg_pool2d, 'max': tf.nn.max_pool2d}[pooling]
    blocks = [int(layer[len('conv')]) for layer in layers]
    with tf.Graph().as_default(), tf.Session(config=config) as sess:
        pixels = tf.placeholder(tf.float32, [1, *mask.shape, 1])
        reduced = [tf.identity(pixels)]
        for _ in range(max(blocks) - 1):
            reduced.append(pool(reduced[-1], 2, 2, 'SAME'))
        reduced = sess.run(reduced, {pixels: mask[None, :, :, None]})
    return [reduced[block - 1] for block in blocks]


def composite_with_photo(image, photo, keep_colors, mask=None):
    """A tensor [1, H, W, 3] with something of the photo, an array; both centered alike.

    luminance: the photo's colors come back, every channel of the image differs from the photo by the same
    mask: [H, W], where it is black the photo is
    """
    photo = lazy_constant(photo, image)
    change = image - photo
    if keep_colors:
        change = tf.repeat(tf.reduce_sum(change * LUMINANCE_WEIGHTS, axis=-1, keepdims=True), 3, axis=-1)
    return photo + (change if mask is None else np.float32(mask[..., None]) * change)
