"""Features of fixed images against NumPy."""

import numpy as np
import pytest

import load_vgg
import utils
from common.tf1 import tf
from engine.losses.features import extract_features
from tests import reference


@pytest.mark.parametrize('pooling', ['avg', 'max'])
@pytest.mark.parametrize('padding, by_numpy', [('zeros', 'constant'), ('mirror', 'symmetric')])
def test_features_are_numpys_and_nothing_is_left_behind(images, tiny_vgg, pooling, padding, by_numpy):
    weights = load_vgg.read_weights(tiny_vgg)
    batch = np.concatenate([utils.get_resized_image(path, 22, 14) for path in images])
    ops = len(tf.get_default_graph().get_operations())
    found = extract_features(weights, batch, ['conv1_2', 'conv4_2_pre', 'conv3_1'], pooling, padding)
    assert len(tf.get_default_graph().get_operations()) == ops and len(weights.convolutions) == 16
    for i in range(2):
        expected = reference.vgg(batch[i] - weights.mean_pixels, weights, pooling, by_numpy)
        for layer, array in zip(('conv1_2', 'conv4_2_pre', 'conv3_1'), found):
            np.testing.assert_allclose(array[i], expected[layer], rtol=1e-3, atol=1e-3)
