"""Losses of the pixels themselves: colours, sharpness and flat grounds, which features tell too little of."""

from engine import quiet  # before tensorflow

import numpy as np
import tensorflow.compat.v1 as tf

from engine import style_statistics
from engine.colors import LUMINANCE
from fast.any_network import parted

FAINT = 10.  # of 255: what adds to the styles' deviations, so that one of few colours counts within bounds
FAINT_DETAILS = 5.  # to those of details
FAINT_CONTRAST = 3.  # to that of contrast
SQUARES = 4, 2  # their sides, in pixels; details are what their means leave
WEIGHTS = {'color_loss': 2., 'detail_loss': 3., 'contrast_loss': 1.5}


def losses(pictures, styles, contents):
    """name -> loss, by WEIGHTS; pictures, styles, contents: [B, H, W, 3] of 0-255.

    Without the first pictures had 60 % of the styles' deviations between hues; before the second, and the layers at the
    picture's own size, half of that of their finest details. The third is against worms in skies: it asks for grounds
    as flat as the style's, where the content's are flattest.
    """
    return {'color_loss': moments_loss(pictures, styles, FAINT),
            'detail_loss': tf.add_n([moments_loss(parted(pictures, side)[1], parted(styles, side)[1], FAINT_DETAILS)
                                     for side in SQUARES]),
            'contrast_loss': ordered_loss(*map(contrast, (pictures, styles, contents)), FAINT_CONTRAST)}


def moments_loss(pictures, styles, faint):
    """How far mean and covariance of pixels are from those of the styles, both [B, H, W, 3], in the styles' deviations.

    ‖W (C − C_s) W‖² + ‖W (μ − μ_s)‖², the mean over the batch, where W whitens the style's pixels; faint: a deviation
    that adds to theirs
    """
    # float64, which no graph rewriter rounds
    (mean, covariance), (wanted, own) = (style_statistics.moments(tf.cast(images, tf.float64))
                                         for images in (pictures, styles))
    values, vectors = tf.linalg.eigh(own + faint ** 2 * np.eye(3))
    whitening = tf.matmul(vectors * tf.rsqrt(values)[:, None], vectors, transpose_b=True)
    difference = tf.matmul(tf.matmul(whitening, covariance - own), whitening)
    shift = tf.matmul(whitening, (mean - wanted)[..., None])
    squares = tf.reduce_sum(tf.square(difference), [1, 2]) + tf.reduce_sum(tf.square(shift), [1, 2])
    return tf.cast(tf.reduce_mean(squares), tf.float32)


def ordered_loss(maps, styles, order, faint):
    """How far the values of maps are from those of the styles in the order of other maps, all [B, H, W, 1].

    Where `order` is least the style's least value is wanted, and so on. The mean squared difference, as a share of the
    variance of the style's and faint²; the mean over the batch.
    """
    values, wanted, order = (tf.reshape(x, [tf.shape(x)[0], -1]) for x in (maps, styles, order))
    ranks = tf.argsort(tf.argsort(order, axis=1), axis=1)
    placed = tf.gather(tf.sort(wanted, axis=1), ranks, batch_dims=1)
    variances = tf.math.reduce_variance(wanted, axis=1) + faint ** 2
    return tf.reduce_mean(tf.reduce_mean(tf.squared_difference(values, placed), axis=1) / variances)


def contrast(images):
    """Of images [B, H, W, 3], the deviation of their luminance's details within 16 pixels, every 8.

    Returns [B, H / 8 - 1, W / 8 - 1, 1]
    """
    luminance = tf.nn.avg_pool2d(tf.tensordot(images, LUMINANCE[:, None], 1), 2, 2, 'VALID')
    _, details = parted(luminance, 4)
    return tf.sqrt(tf.nn.avg_pool2d(tf.square(details), 8, 4, 'VALID') + 1)  # a root has no slope at 0
