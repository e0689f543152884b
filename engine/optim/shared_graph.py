"""One graph and one session for several levels of a pyramid.

TensorFlow takes seconds to build a graph and to plan its execution, longer than it then computes at a small size. In a
shared graph, the size of the picture and the targets of the losses are therefore no constants: they are set for each
level.
"""

import contextlib
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from common.tf1 import tf

SHARED_STATISTICS = 'gram_share', 'covariance'  # The targets of the others are arrays that shape the graph.


def of_levels(levels: Sequence, has_mask: bool) -> Iterator['SharedGraph | None']:
    """Yield the graph of each level of a picture: a `SharedGraph`, which several levels in a row share, or None.

    Args:
        levels: The `pyramid.Level`s.
        has_mask: Whether the picture has a mask.
    """
    for _, group in itertools.groupby(levels, _group_key):
        group = list(group)
        recipe = group[0].recipe
        can_share = (len(group) > 1 and not has_mask and recipe.optimizer == 'adam'
                     and recipe.style_statistic in SHARED_STATISTICS and recipe.keep_colors != 'luminance')
        yield from itertools.repeat(SharedGraph() if can_share else None, len(group))


def _group_key(level):
    """Return what levels of a picture must have in common to share a graph: all but the weights of the layers."""
    weights = {name: (1.,) * len(getattr(level.recipe, name))
               for name in ('content_layer_weights', 'style_layer_weights')}
    return level.network, level.recipe.with_settings(**weights)


class SharedGraph:
    """The graph, the session, and the values of the current level.

    Attributes:
        graph: The graph.
        values: The targets of the losses, name -> array.
        image_shape: The shape of the picture, [1, H, W, 3].
    """

    def __init__(self):
        self.graph, self.values, self.image_shape, self._session = tf.Graph(), {}, None, None

    @contextlib.contextmanager
    def open_session(self, config: tf.ConfigProto) -> Iterator[tf.Session]:
        """Context manager that yields the session, the default one meanwhile, and leaves it open at the end."""
        self._session = self._session or tf.Session(graph=self.graph, config=config)
        with self.graph.as_default(), self._session.as_default():
            yield self._session

    def image_variable(self, name: str) -> tf.Variable:
        """Return the variable of the picture, whose first value is zeros of the shape `image_shape`."""
        shape = [1, None, None, 3]
        zeros = tf.numpy_function(lambda: np.zeros(self.image_shape, np.float32), [], tf.float32)
        zeros.set_shape(shape)
        variable = tf.Variable(zeros, name=name, shape=shape, use_resource=True)
        # Other variables get the shape that the picture has or, if it is not initialized, will have.
        self._forget = tf.raw_ops.DestroyResourceOp(resource=variable.handle)
        return variable

    def tensors(self, values: dict[str, np.ndarray]) -> dict[str, tf.Tensor]:
        """Return tensors whose values are always the current `values`, name -> tensor.

        Args:
            values: The values of one level, name -> float32 array, for their names and ranks. Axes 1 and 2 of arrays
                [1, H, W, N] may have other lengths at other levels.
        """
        self.values = values
        tensors = tf.numpy_function(lambda: [self.values[name] for name in values], [], [tf.float32] * len(values))
        for tensor, array in zip(tensors, values.values()):
            tensor.set_shape([1, None, None, array.shape[3]] if array.ndim == 4 else array.shape)
        return dict(zip(values, tensors))

    def set_values(self, values: dict[str, np.ndarray]) -> None:
        """Set the targets of another level, whose `image_shape` is set; then the variables must be initialized."""
        self.values = values
        self._session.run(self._forget)
