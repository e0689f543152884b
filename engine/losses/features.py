"""The features of fixed images, and how a graph gets them without storing them."""

from collections.abc import Callable, Sequence

import numpy as np

import load_vgg
from common.tf1 import tf


def extract_features(weights: load_vgg.Weights, images: np.ndarray, layers: Sequence[str], pooling: str = 'avg',
                     padding: str = 'zeros', config: tf.ConfigProto | None = None,
                     transform: Callable = lambda F: F) -> list:
    """Return the maps of some layers of VGG-19 for images, in a graph and a session of their own.

    Args:
        images: [B, H, W, 3], 0 to 255.
        config: of the session, see `session.session_config`.
        transform: what of each map is wanted, tensor -> tensors.

    Returns:
        An array [B, H', W', N], or what `transform` makes of it, for each layer.
    """
    with tf.Graph().as_default(), tf.Session(config=config) as sess:
        pixels = tf.placeholder(tf.float32, np.shape(images))
        vgg = load_vgg.VGG(pixels - weights.mean_pixels, weights, pooling, padding)
        vgg.load(layers)
        wanted = [transform(F) for F in vgg.features(layers)]
        return sess.run(tf.nest.map_structure(tf.convert_to_tensor, wanted), {pixels: images})


def lazy_constant(array: np.ndarray, like: tf.Tensor) -> tf.Tensor:
    """Expose a NumPy array as a tensor without storing it in the graph, because sessions copy large constants.

    Args:
        array: float32; anything that is no array is returned as it is.
        like: a map [B, H, W, N]; the array is copied when the map has been computed, not before.
    """
    if not isinstance(array, np.ndarray):
        return array
    tensor = tf.numpy_function(lambda _: array, [like[:, 0, 0, 0]], tf.float32)
    tensor.set_shape(array.shape)
    return tensor
