"""Losses of the pixels themselves: colors, sharpness and flat grounds, which features tell too little of."""


import numpy as np

from common.images import LUMINANCE_WEIGHTS
from common.tf1 import tf
from engine.losses import statistics
from fast.networks.arbitrary import split_bands

# of 255: what adds to the styles' deviations, so that one of few colors counts within bounds
COLOR_DEVIATION_OFFSET = 10.
DETAIL_DEVIATION_OFFSET = 5.  # to those of details
CONTRAST_DEVIATION_OFFSET = 3.  # to that of contrast
BAND_SIDES_PX = 4, 2  # their sides, in pixels; details are what their means leave
CONTRAST_SCALES_PX = 2, 4  # pixels that are one where contrast is measured
TONE_SIDE_PX = 8  # pixels: what is within twice as many has the tone of the contents
LOSS_WEIGHTS = {'color_loss': 2., 'detail_loss': 3., 'contrast_loss': 1.5, 'tone_loss': 6.}


def losses(pictures, styles, contents):
    """name -> loss, by LOSS_WEIGHTS; pictures, styles, contents: [B, H, W, 3] of 0-255.

    Without the first pictures had 60 % of the styles' deviations between hues; before the second, and the layers at the
    picture's own size, half of that of their finest details. The third is against worms in skies and spots on walls,
    the fourth against spots too, and pictures paler than the photo in the style's colors.
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


def moments_loss(pictures, styles, deviation_offset):
    """How far mean and covariance of pixels are from those of the styles, both [B, H, W, 3], in the styles' deviations.

    ‖W (C − C_s) W‖² + ‖W (μ − μ_s)‖², the mean over the batch, where W whitens the style's pixels; faint: a deviation
    that adds to theirs
    """
    # float64, which no graph rewriter rounds
    (mean, covariance), (wanted, own) = (statistics.moments(tf.cast(images, tf.float64))
                                         for images in (pictures, styles))
    values, vectors = tf.linalg.eigh(own + deviation_offset ** 2 * np.eye(3))
    whitening = tf.matmul(vectors * tf.rsqrt(values)[:, None], vectors, transpose_b=True)
    difference = tf.matmul(tf.matmul(whitening, covariance - own), whitening)
    shift = tf.matmul(whitening, (mean - wanted)[..., None])
    squares = tf.reduce_sum(tf.square(difference), [1, 2]) + tf.reduce_sum(tf.square(shift), [1, 2])
    return tf.cast(tf.reduce_mean(squares), tf.float32)


def rank_matched_loss(maps, styles, contents, deviation_offset):
    """How far the values of maps are from such between the styles' and the contents', all [B, H, W, 1], none negative.

    Of the contents' values the least goes with the style's least, and so on; the root of the two's product is wanted.
    The mean squared difference, as a share of the variance of the style's and faint²; the mean over the batch.
    """
    values, styles, contents = (tf.reshape(x, [tf.shape(x)[0], -1]) for x in (maps, styles, contents))
    ranks = tf.argsort(tf.argsort(contents, axis=1), axis=1)
    wanted = tf.sqrt(contents * tf.gather(tf.sort(styles, axis=1), ranks, batch_dims=1))
    variances = tf.math.reduce_variance(styles, axis=1) + deviation_offset ** 2
    return tf.reduce_mean(tf.reduce_mean(tf.squared_difference(values, wanted), axis=1) / variances)


def local_contrast(images, side):
    """Of images [B, H, W, 3] reduced by `side`, the deviation of luminance's details within 8×8 pixels, every 4.

    Returns [B, H / (4 side) - 1, W / (4 side) - 1, 1]
    """
    luminance = tf.nn.avg_pool2d(tf.tensordot(images, LUMINANCE_WEIGHTS[:, None], 1), side, side, 'VALID')
    _, details = split_bands(luminance, 4)
    return tf.sqrt(tf.nn.avg_pool2d(tf.square(details), 8, 4, 'VALID') + 1)  # a root has no slope at 0


def tone_loss(pictures, contents):
    """How far means of 2·TONE_SIDE_PX pixels either way, every TONE_SIDE_PX, are from the contents', both [B, H, W, 3].

    The mean squared distance of colors, as a share of their variance among the contents' means and FAINT²; the mean
    over the batch.
    """
    means, wanted = (tf.nn.avg_pool2d(tf.nn.avg_pool2d(images, TONE_SIDE_PX, TONE_SIDE_PX, 'VALID'), 2, 1, 'VALID')
                     for images in (pictures, contents))
    variances = tf.reduce_sum(tf.math.reduce_variance(wanted, axis=[1, 2]), axis=1) + COLOR_DEVIATION_OFFSET ** 2
    distances = tf.reduce_sum(tf.squared_difference(means, wanted), axis=3)
    return tf.reduce_mean(tf.reduce_mean(distances, axis=[1, 2]) / variances)
