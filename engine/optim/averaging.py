"""Projected steps that keep pixels in their range, and the exponential moving average of Adam's iterates."""

import numpy as np

from common.tf1 import tf

AVERAGE_NAME = 'average'  # in the variable scope optimizer
IMAGE_NAME = 'input/in_img'  # including its variable scope


def displayed_variable(recipe) -> str:
    """Return the name, in checkpoints, of the variable with the displayed image, which is mean-centered."""
    return f'optimizer/{AVERAGE_NAME}' if recipe.averaging and recipe.optimizer != 'lbfgs' else IMAGE_NAME


def clip_to_gamut(step: tf.Operation, image: tf.Variable, mean_pixels: np.ndarray) -> tf.Operation:
    """Return an op that runs a step and then clips the mean-centered image to pixel values from 0 to 255.

    Args:
        step: The op that moves the image.
        image: The image, [1, H, W, 3].
        mean_pixels: The mean that was subtracted from the image, [1, 1, 1, 3].
    """
    with tf.control_dependencies([step]):
        return image.assign(tf.clip_by_value(image.read_value(), -mean_pixels, 255 - mean_pixels)).op


def exponential_moving_average(step: tf.Operation, image: tf.Variable, count: tf.Variable, decay: float) -> tuple:
    """Add an exponential moving average of the image to a step.

    After t steps the average of the iterates xᵢ is Σ dᵗ⁻ⁱ xᵢ / Σ dᵗ⁻ⁱ. This has the same bias correction as the moments
    of Adam (Kingma and Ba 2014, section 3).

    Args:
        step: The op that moves the image and increments `count`.
        image: The image.
        count: The variable that counts the steps.
        decay: d, from 0 to less than 1.

    Returns:
        An op that runs the step and updates the average, and the average, a variable with the shape of the image.
    """
    average = tf.Variable(tf.zeros_like(image.initial_value), trainable=False, name=AVERAGE_NAME, shape=image.shape,
                          use_resource=True)
    with tf.control_dependencies([step]):
        share = (1 - decay) / (1 - decay ** tf.cast(count.read_value(), tf.float32))
        return average.assign_add(share * (image.read_value() - average)).op, average
