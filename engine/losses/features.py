"""Compute the features of fixed images, and expose them to a graph without storing them in it."""

from collections.abc import Callable, Sequence

import numpy as np

import load_vgg
from common.tf1 import tf


def extract_features(weights: load_vgg.Weights, images: np.ndarray, layers: Sequence[str], pooling: str = 'avg',
                     padding: str = 'zeros', config: tf.ConfigProto | None = None,
                     transform: Callable = lambda F: F) -> list:
    """Compute feature maps of VGG-19 for images, in a new graph and session.

    Args:
        weights: The weights of VGG-19.
        images: [B, H, W, 3], 0 to 255.
        layers: Names of the layers.
        pooling: As in `load_vgg.VGG`.
        padding: As in `load_vgg.VGG`.
        config: The configuration of the session, see `session.session_config`.
        transform: Function that is applied to each map, tensor -> tensor or named tuple of tensors.

    Returns:
        For each layer, the value of its transformed map; without `transform`, an array [B, H', W', N].
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
        array: float32; anything that is not an array is returned unchanged.
        like: A map [B, H, W, N]; the array is copied only after this map has been computed.
    """
    if not isinstance(array, np.ndarray):
        return array
    tensor = tf.numpy_function(lambda _: array, [like[:, 0, 0, 0]], tf.float32)
    tensor.set_shape(array.shape)
    return tensor
