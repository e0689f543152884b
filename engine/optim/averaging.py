"""Adam's iterates: a projected step that keeps pixels in their range, and the exponential moving average to display."""

import numpy as np

from common.tf1 import tf

AVERAGE_NAME = 'average'
IMAGE_NAME = 'input/in_img'


def displayed_variable(recipe) -> str:
    """Return the name of the variable that people are shown, mean-centered."""
    return f'optimizer/{AVERAGE_NAME}' if recipe.averaging else IMAGE_NAME


def clip_to_gamut(step: tf.Operation, image: tf.Variable, mean_pixels: np.ndarray) -> tf.Operation:
    """Return an op that runs a step and then clips the mean-centered image to pixel values from 0 to 255."""
    with tf.control_dependencies([step]):
        return image.assign(tf.clip_by_value(image.read_value(), -mean_pixels, 255 - mean_pixels)).op


def exponential_moving_average(step: tf.Operation, image: tf.Variable, count: tf.Variable, decay: float) -> tuple:
    """Return an op that runs a step and updates the image's average, and the average, a variable.

    After t steps the average is Σ dᵗ⁻ⁱ xᵢ / Σ dᵗ⁻ⁱ of the iterates xᵢ: the exponential moving average, corrected for
    its start as Adam's own moments are (Kingma and Ba 2014, section 3).

    Args:
        count: the variable that counts the steps.
        decay: d, 0 to 1.
    """
    average = tf.get_variable(AVERAGE_NAME, image.shape, initializer=tf.zeros_initializer(), trainable=False)
    with tf.control_dependencies([step]):
        share = (1 - decay) / (1 - decay ** tf.cast(count.read_value(), tf.float32))
        return average.assign_add(share * (image.read_value() - average)).op, average
