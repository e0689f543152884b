"""Adam on the pixels (Kingma and Ba 2014). The step itself is the handout's, in `style_transfer.StyleTransfer`."""

from engine.optim import averaging
from engine.optim.optimizer import Optimizer


class Adam(Optimizer):
    """TensorFlow's Adam, as CS20's handout has it."""

    in_handout = True
    hint = '--learning-rate', 'X, a lower one, may help'

    def build(self, machine) -> None:
        """Nothing to build: `StyleTransfer.optimize` has the step."""

    def steps(self, machine, sess):
        """Nothing to run: `StyleTransfer.optimizer_steps` has the loop."""
        raise NotImplementedError

    @staticmethod
    def constrain(machine) -> tuple:
        """Add to the step of a `StyleTransfer` what its recipe asks for: pixels kept in their range, an average to
        display.

        Returns:
            The op that moves the image, and the tensor that people are shown: the image itself or its moving average.
        """
        step, image, recipe = machine.opt, machine.input_img, machine.recipe
        if recipe.pixels == '0-255':
            step = averaging.clip_to_gamut(step, image, machine.vgg.mean_pixels)
        if recipe.averaging:
            return averaging.exponential_moving_average(step, image, machine.gstep, recipe.averaging)
        return step, image
