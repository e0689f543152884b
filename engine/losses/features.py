"""Compute the features of fixed images, and expose them to a graph without storing them in it."""

from collections.abc import Callable, Sequence

import numpy as np

import load_vgg
from common.tf1 import tf


class FeatureExtractor:
    """VGG-19 in a graph and session of its own, for the features of fixed images of any size."""

    def __init__(self, weights: load_vgg.Weights, pooling: str = 'avg', padding: str = 'zeros',
                 config: tf.ConfigProto | None = None):
        """Prepare VGG-19, which is built when features are computed.

        Args:
            weights: The weights of VGG-19.
            pooling: As in `load_vgg.VGG`.
            padding: As in `load_vgg.VGG`.
            config: The configuration of the session, see `session.session_config`.
        """
        self.weights = weights._replace(convolutions=dict(weights.convolutions))  # Others may clear theirs.
        self.pooling, self.padding = pooling, padding
        self.config, self.depth = tf.ConfigProto(), -1
        self.config.CopyFrom(config or self.config)
        # For a few images, to optimize the graph takes longer than it saves, and bfloat16 would round the features.
        self.config.graph_options.rewrite_options.disable_meta_optimizer = True

    def _build(self, layers):
        """Build VGG-19 down to the deepest of some layers."""
        self.depth, self._fetches = load_vgg.deepest_index(layers), {}
        self.session = tf.Session(graph=tf.Graph(), config=self.config)
        with self.session.graph.as_default():
            self.pixels = tf.placeholder(tf.float32, [None, None, None, 3])
            self.vgg = load_vgg.VGG(self.pixels - self.weights.mean_pixels, self.weights, self.pooling, self.padding)
            self.vgg.load(layers)

    def __call__(self, images: np.ndarray, layers: Sequence[str], transform: Callable = lambda F: F) -> list:
        """Compute feature maps.

        Args:
            images: [B, H, W, 3], 0 to 255.
            layers: Names of the layers.
            transform: Function that is applied to each map, tensor -> tensor or named tuple of tensors.

        Returns:
            For each layer, the value of its transformed map; without `transform`, an array [B, H', W', N].
        """
        if load_vgg.deepest_index(layers) > self.depth:
            self._build(layers)
        key = tuple(layers), transform
        if key not in self._fetches:
            with self.session.graph.as_default():
                self._fetches[key] = tf.nest.map_structure(
                    tf.convert_to_tensor, [transform(F) for F in self.vgg.features(layers)])
        return self.session.run(self._fetches[key], {self.pixels: images})


def extract_features(weights: load_vgg.Weights, images: np.ndarray, layers: Sequence[str], pooling: str = 'avg',
                     padding: str = 'zeros', config: tf.ConfigProto | None = None,
                     transform: Callable = lambda F: F) -> list:
    """Compute feature maps of VGG-19 for images; arguments and result as in `FeatureExtractor`."""
    return FeatureExtractor(weights, pooling, padding, config)(images, layers, transform)


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
