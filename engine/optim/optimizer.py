"""Base class of the optimizers of the pixels; `engine.optim.OPTIMIZERS` lists them by name."""

import abc
from collections.abc import Iterator

from common.tf1 import tf


class Optimizer(abc.ABC):
    """An optimizer of the pixels, and its properties.

    Attributes:
        in_handout: Whether `StyleTransfer` has the step, because students write it; then `build` and `steps` are not
            called.
        bytes_per_pixel: Memory that this optimizer needs beyond that of Adam, in bytes per pixel of the picture.
        added_scopes: Variable scopes, each with a slash at its end, that checkpoints of version 1.0 lack. A run of that
            version continues with the initial values of these variables.
        takes_bfloat16: Whether the optimizer works with losses and gradients that are computed in bfloat16.
        hint: (flag, what the flag does) for a user whose loss is not finite, as in `UserError`; None for no hint.
    """

    in_handout = False
    bytes_per_pixel = 0
    added_scopes = ()
    takes_bfloat16 = True
    hint = None

    @abc.abstractmethod
    def build(self, machine) -> None:
        """Add what `steps` needs to the graph of a `StyleTransfer` whose losses exist.

        The optimizer may store tensors and ops as new attributes of the `StyleTransfer`.
        """

    @abc.abstractmethod
    def steps(self, machine, sess: tf.Session) -> Iterator[dict]:
        """Move the image step by step; yield the losses before each step, name -> value.

        At each yield, the variables of the graph must have everything that a restored run needs to continue exactly.
        The image is `machine.input_img`. If nothing better can be found, set `machine.has_converged` before the yield.
        """
