"""Features of fixed images against NumPy."""

import numpy as np
import pytest

import load_vgg
import utils
from common.tf1 import tf
from engine.losses.features import extract_features
from tests import reference


@pytest.mark.parametrize('pooling', ['avg', 'max'])
@pytest.mark.parametrize('padding, np_mode', [('zeros', 'constant'), ('mirror', 'symmetric')])
def test_features_agree_with_numpy_and_leave_the_default_graph_unchanged(images, tiny_vgg, pooling, padding, np_mode):
    weights = load_vgg.read_weights(tiny_vgg)
    batch = np.concatenate([utils.get_resized_image(path, 22, 14) for path in images])
    ops = len(tf.get_default_graph().get_operations())
    features = extract_features(weights, batch, ['conv1_2', 'conv4_2_pre', 'conv3_1'], pooling, padding)
    assert len(tf.get_default_graph().get_operations()) == ops and len(weights.convolutions) == 16
    for i in range(2):
        expected = reference.vgg(batch[i] - weights.mean_pixels, weights, pooling, np_mode)
        for layer, array in zip(('conv1_2', 'conv4_2_pre', 'conv3_1'), features):
            np.testing.assert_allclose(array[i], expected[layer], rtol=1e-3, atol=1e-3)
