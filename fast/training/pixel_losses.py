"""Losses on the pixels themselves: colors, fine details, local contrast and tone, which VGG features capture weakly.

They are added to the losses of the arbitrary style network. Pictures, styles and contents are float32 [B, H, W, 3], 0
to 255; a content is the photo in the style's colors.
"""


import numpy as np

from common.images import LUMINANCE_WEIGHTS
from common.tf1 import tf
from engine.losses import statistics
from fast.networks.arbitrary import split_bands

# Standard deviations (of 255) whose squares are added to the style's variances of colors, details and local contrast,
# so that the loss relative to these stays bounded for a style with few of them.
COLOR_DEVIATION_OFFSET = 10.
DETAIL_DEVIATION_OFFSET = 5.
CONTRAST_DEVIATION_OFFSET = 3.
BAND_SIDES_PX = 4, 2  # sides of the squares whose means are the low-pass band; the details are the high-pass band
CONTRAST_SCALES_PX = 2, 4  # factors by which images are downsampled before their local contrast is measured
TONE_SIDE_PX = 8  # spacing of the squares, twice as wide, whose mean colors are compared with those of the contents
LOSS_WEIGHTS = {'color_loss': 2., 'detail_loss': 3., 'contrast_loss': 1.5, 'tone_loss': 6.}


def compute_losses(pictures: tf.Tensor, styles: tf.Tensor, contents: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return the losses of the pixels of pictures, name -> scalar, before they are weighted by LOSS_WEIGHTS.

    Without the color loss, the pictures had 60 % of the styles' standard deviations between hues. Before the detail
    loss and the layers at full resolution were added, they had half of the standard deviation of the styles' finest
    details. The contrast loss prevents worm-like strokes in skies and spots on walls. The tone loss prevents spots too,
    and pictures that are paler than the photo in the style's colors.

    Args:
        pictures, styles, contents: [B, H, W, 3], 0 to 255.
    """
    contrasts = [
        [local_contrast(images, side) for images in (pictures, styles, contents)] for side in CONTRAST_SCALES_PX
    ]
    return {
        'color_loss': moments_loss(pictures, styles, COLOR_DEVIATION_OFFSET),
        'detail_loss': tf.add_n(
            [
                moments_loss(split_bands(pictures, side)[1], split_bands(styles, side)[1], DETAIL_DEVIATION_OFFSET)
                for side in BAND_SIDES_PX
            ]
        ),
        'contrast_loss': tf.add_n([rank_matched_loss(*maps, CONTRAST_DEVIATION_OFFSET) for maps in contrasts]),
        'tone_loss': tone_loss(pictures, contents),
    }


def moments_loss(pictures: tf.Tensor, styles: tf.Tensor, deviation_offset: float) -> tf.Tensor:
    """Return how far the mean and covariance of pixels are from the style's, in units of the style's deviations.

    The loss is ‖W (C − C_s) W‖² + ‖W (μ − μ_s)‖², where W = (C_s + deviation_offset² I)^(−½) whitens the style's
    pixels.

    Args:
        pictures, styles: [B, H, W, 3].
        deviation_offset: standard deviation whose square is added to the style's variances.

    Returns:
        The mean over the batch, float32.
    """
    # In float64, because TensorFlow's graph rewriter may round float32 to bfloat16, but never float64.
    (mean, covariance), (style_mean, style_covariance) = (statistics.moments(tf.cast(images, tf.float64))
                                                          for images in (pictures, styles))
    values, vectors = tf.linalg.eigh(style_covariance + deviation_offset ** 2 * np.eye(3))
    whitening = tf.matmul(vectors * tf.rsqrt(values)[:, None], vectors, transpose_b=True)
    difference = tf.matmul(tf.matmul(whitening, covariance - style_covariance), whitening)
    shift = tf.matmul(whitening, (mean - style_mean)[..., None])
    squares = tf.reduce_sum(tf.square(difference), [1, 2]) + tf.reduce_sum(tf.square(shift), [1, 2])
    return tf.cast(tf.reduce_mean(squares), tf.float32)


def rank_matched_loss(maps: tf.Tensor, styles: tf.Tensor, contents: tf.Tensor, deviation_offset: float) -> tf.Tensor:
    """Return how far maps are from a target between the contents' maps and the rank-matched values of the styles' maps.

    The smallest value of the content is matched with the smallest value of the style, and so on in the order of their
    ranks; the target is the geometric mean of the two. The loss is the mean squared difference from the target, divided
    by the variance of the style's values plus deviation_offset².

    Args:
        maps, styles, contents: [B, H, W, 1], not negative.
        deviation_offset: standard deviation whose square is added to the style's variance.

    Returns:
        The mean over the batch.
    """
    values, styles, contents = (tf.reshape(x, [tf.shape(x)[0], -1]) for x in (maps, styles, contents))
    ranks = tf.argsort(tf.argsort(contents, axis=1), axis=1)
    target = tf.sqrt(contents * tf.gather(tf.sort(styles, axis=1), ranks, batch_dims=1))
    variances = tf.math.reduce_variance(styles, axis=1) + deviation_offset ** 2
    return tf.reduce_mean(tf.reduce_mean(tf.squared_difference(values, target), axis=1) / variances)


def local_contrast(images: tf.Tensor, side: int) -> tf.Tensor:
    """Return the local contrast of images: the deviation of luminance details in windows of 8×8 pixels, every 4 pixels.

    The details are the high-pass band of the luminance, without the means of 4×4 pixels. All of these pixels are pixels
    of the downsampled images.

    Args:
        images: [B, H, W, 3], 0 to 255.
        side: factor by which the images are downsampled first.

    Returns:
        Root of the details' mean square plus 1, [B, H / (4 side) − 1, W / (4 side) − 1, 1].
    """
    luminance = tf.nn.avg_pool2d(tf.tensordot(images, LUMINANCE_WEIGHTS[:, None], 1), side, side, 'VALID')
    _, details = split_bands(luminance, 4)
    # The 1 keeps the gradient finite where there are no details: a square root has an infinite slope at 0.
    return tf.sqrt(tf.nn.avg_pool2d(tf.square(details), 8, 4, 'VALID') + 1)


def tone_loss(pictures: tf.Tensor, contents: tf.Tensor) -> tf.Tensor:
    """Return how far the mean colors of overlapping squares are from those of the contents.

    The side of a square is 2·TONE_SIDE_PX pixels, and a square begins every TONE_SIDE_PX pixels.

    The loss is the mean squared distance of the colors, divided by the variance of the mean colors within the content
    plus COLOR_DEVIATION_OFFSET².

    Args:
        pictures, contents: [B, H, W, 3], 0 to 255.

    Returns:
        The mean over the batch.
    """
    means, target = (tf.nn.avg_pool2d(tf.nn.avg_pool2d(images, TONE_SIDE_PX, TONE_SIDE_PX, 'VALID'), 2, 1, 'VALID')
                     for images in (pictures, contents))
    variances = tf.reduce_sum(tf.math.reduce_variance(target, axis=[1, 2]), axis=1) + COLOR_DEVIATION_OFFSET ** 2
    distances = tf.reduce_sum(tf.squared_difference(means, target), axis=3)
    return tf.reduce_mean(tf.reduce_mean(distances, axis=[1, 2]) / variances)
