"""The features of fixed images, and how a graph has them."""


import numpy as np

import load_vgg
from common.tf1 import tf


def extract_features(weights, images, layers, pooling='avg', padding='zeros', config=None, transform=lambda F: F):
    """The maps of `layers` of VGG-19 for images [B, H, W, 3] of 0-255: a list of arrays [B, H', W', N].

    weights: from `load_vgg.read_weights`; config: of the session, see `sessions.session_config`; of: what of each map
    is wanted, tensor -> tensors. It has a graph and a session of its own: nothing of it is left.
    """
    with tf.Graph().as_default(), tf.Session(config=config) as sess:
        pixels = tf.placeholder(tf.float32, np.shape(images))
        vgg = load_vgg.VGG(pixels - weights.mean_pixels, weights, pooling, padding)
        vgg.load(layers)
        wanted = [transform(F) for F in vgg.features(layers)]
        return sess.run(tf.nest.map_structure(tf.convert_to_tensor, wanted), {pixels: images})


def lazy_constant(array, like):
    """A tensor that is an array, which stays outside of the graph: of a large constant a session makes several.

    after: a map [B, H, W, N]; when it is there the array is copied, not before
    """
    tensor = tf.numpy_function(lambda _: array, [like[:, 0, 0, 0]], tf.float32)
    tensor.set_shape(array.shape)
    return tensor
