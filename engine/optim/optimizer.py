"""What every optimizer of the pixels declares; `engine.optim.OPTIMIZERS` lists them by their names."""

import abc
from collections.abc import Iterator

from common.tf1 import tf


class Optimizer(abc.ABC):
    """How pixels are moved, and what that costs.

    Attributes:
        in_handout: whether the step is the handout's own, which students write in `StyleTransfer`; then `build` and
            `steps` are not called.
        bytes_per_pixel: memory that it takes in addition to Adam's, which `engine.run.memory` counts for every picture.
        resumes_exactly: whether a resumed run has the bits of one that was never interrupted.
        takes_bfloat16: whether it works with losses and gradients that are computed in bfloat16.
        hint: (flag, what it does), advice to a user whose loss is not finite; None for no advice.
    """

    in_handout = False
    bytes_per_pixel = 0
    resumes_exactly = True
    takes_bfloat16 = True
    hint = None

    @abc.abstractmethod
    def build(self, machine) -> None:
        """Add what `steps` needs to the graph of a `StyleTransfer` whose losses exist; it may set attributes of it."""

    @abc.abstractmethod
    def steps(self, machine, sess: tf.Session) -> Iterator[dict]:
        """Move the image step by step; yield the losses before each step, name -> value.

        The image is `machine.input_img`. If nothing better can be found, set `machine.has_converged` before the yield.
        """
