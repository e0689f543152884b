"""Adam on the pixels at several scales at once.

Adam moves each pixel by about the learning rate, whatever the gradient is, so that it changes single pixels fast and
tones of large areas slowly. Here the step of the picture is the sum of the steps of small pictures that are enlarged to
its size, like the levels of a Laplacian pyramid, which Kolkin et al. (2019, STROTSS) train in place of the pixels.
"""

from common.tf1 import tf
from engine.optim.adam import Adam

SCALES = 1, 2, 4, 8  # side of a cell of the small pictures in pixels


class MultiscaleAdam(Adam):
    """Adam whose step is the sum of one step at each of `SCALES`; clipping and averaging are as in `Adam`."""

    in_handout = False
    bytes_per_pixel = 48  # the small pictures, their moments and gradients, each with 12 bytes and a third

    def build(self, machine) -> None:
        """Add the step to the graph of a `StyleTransfer` whose losses exist, as its `opt`."""
        image, recipe = machine.input_img, machine.recipe
        height, width = machine.img_height, machine.img_width
        gradient, = tf.gradients(machine.total_loss, [image])
        # The small pictures are zero between the steps; Adam moves them, and the image takes over what it has moved.
        moves = [tf.get_variable(f'move_{scale}', [1, -(-height // scale), -(-width // scale), 3], tf.float32,
                                 tf.zeros_initializer(), trainable=False) for scale in SCALES]

        def enlarged(move):
            return tf.image.resize_bilinear(move, [height, width], half_pixel_centers=True)
        adam = tf.train.AdamOptimizer(recipe.learning_rate, recipe.beta1, recipe.beta2)
        gradients = [tf.gradients(enlarged(move), [move], [gradient])[0] for move in moves]
        with tf.control_dependencies([adam.apply_gradients(zip(gradients, moves), machine.gstep)]):
            moved = image.assign_add(sum(enlarged(move.read_value()) for move in moves))
        with tf.control_dependencies([moved]):
            machine.opt = tf.group(*(move.assign(tf.zeros_like(move)) for move in moves))
        machine.opt, machine.displayed_img = self.constrain(machine)

    def steps(self, machine, sess):
        """Run the steps; see `Optimizer.steps`."""
        while True:
            yield sess.run([machine.loss_terms, machine.opt])[0]
