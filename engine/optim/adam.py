"""Adam on the pixels (Kingma and Ba 2014); `style_transfer.StyleTransfer` has the step, which students write."""

from engine.optim import averaging
from engine.optim.optimizer import Optimizer


class Adam(Optimizer):
    """TensorFlow's Adam, as in CS20's handout."""

    in_handout = True
    hint = '--learning-rate', 'X, a lower one, may help'

    def build(self, machine) -> None:
        """Do nothing, because `StyleTransfer.optimize` builds the step."""

    def steps(self, machine, sess):
        """Raise NotImplementedError, because `StyleTransfer.optimizer_steps` has the loop."""
        raise NotImplementedError

    @staticmethod
    def constrain(machine) -> tuple:
        """Add clipping and averaging to the step of a `StyleTransfer`, as its recipe says.

        Returns:
            The op that moves the image, and the variable to display, mean-centered: the image or its moving average.
        """
        step, image, recipe = machine.opt, machine.input_img, machine.recipe
        if recipe.pixels == '0-255':
            step = averaging.clip_to_gamut(step, image, machine.vgg.mean_pixels)
        if recipe.averaging:
            return averaging.exponential_moving_average(step, image, machine.gstep, recipe.averaging)
        return step, image
