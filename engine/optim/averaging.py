"""What becomes of Adam's iterates: pixels kept in their range, and the mean that is shown in place of the last one."""


from common.tf1 import tf

AVERAGE_NAME = 'average'
IMAGE_NAME = 'input/in_img'


def displayed_variable(recipe):
    """The name of the variable that is the picture people are shown, centered."""
    return f'optimizer/{AVERAGE_NAME}' if recipe.averaging else IMAGE_NAME


def clip_to_gamut(move, image, mean_pixels):
    """An op that moves the image and then clips it to what pixels are; mean_pixels: what it is less than they."""
    with tf.control_dependencies([move]):
        return image.assign(tf.clip_by_value(image.read_value(), -mean_pixels, 255 - mean_pixels)).op


def exponential_moving_average(move, image, step, decay):
    """(an op that moves the image and its average, the average, a variable).

    step: the variable that counts the moves. After t of them the average is Σ dᵗ⁻ⁱ xᵢ / Σ dᵗ⁻ⁱ of the iterates xᵢ, the
    moving average corrected for its start as Adam's own (Kingma and Ba 2014, section 3).
    """
    average = tf.get_variable(AVERAGE_NAME, image.shape, initializer=tf.zeros_initializer(), trainable=False)
    with tf.control_dependencies([move]):
        share = (1 - decay) / (1 - decay ** tf.cast(step.read_value(), tf.float32))
        return average.assign_add(share * (image.read_value() - average)).op, average
