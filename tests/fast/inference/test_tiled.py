"""Test resampling with kernels against Pillow."""

import numpy as np
import pytest
from PIL import Image

from fast.inference import tiled

FILTERS = {tiled.cubic_kernel: Image.BICUBIC, tiled.hamming_kernel: Image.HAMMING}


@pytest.mark.parametrize('kernel', FILTERS, ids=lambda kernel: kernel.__name__)
@pytest.mark.parametrize('height, width', [(30, 47), (9, 12), (20, 31), (13, 50), (1, 1)])
def test_resampling_matches_pillow(kernel, height, width):
    image = np.random.default_rng(0).uniform(0, 255, (20, 31, 3)).astype(np.float32)
    actual = tiled.resample(image, height, width, kernel)
    expected = [Image.fromarray(np.ascontiguousarray(image[..., i])).resize((width, height), FILTERS[kernel])
                for i in range(3)]
    assert actual.dtype == np.float32 and actual.shape == (height, width, 3)
    np.testing.assert_allclose(actual, np.stack(expected, axis=2), atol=0.01)
