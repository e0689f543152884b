"""Test the multi-style network against NumPy: pictures, mixtures, upsampling, padding and given norm statistics."""

import numpy as np
import pytest

from common.tf1 import tf
from fast.inference import multi_style
from fast.networks.multi_style import TransformNet, pad_to_stride, polyphase_filters
from tests import reference
from tests.factories import random_parameters

PARAMETERS = random_parameters()


@pytest.fixture(scope='module')
def run():
    """Function that applies a network with random parameters.

    It takes photos [B, H, W, 3], style weights, and norm statistics or None to compute these; it returns pictures and
    norm statistics.
    """
    with tf.Graph().as_default(), tf.Session() as sess:
        photos, style_weights, norm_stats = (tf.placeholder(tf.float32, shape)
                                             for shape in ([None, None, None, 3], [None, 3], [1, None]))
        use_given_stats = tf.placeholder(tf.float32, [])
        size = 2 * sum(value.shape[1] for name, value in PARAMETERS.items() if name.endswith('gamma'))
        norm_stats.set_shape([1, size])
        outputs = TransformNet(3, 4, parameters=PARAMETERS)(photos, style_weights, norm_stats, use_given_stats)

        def run_network(images, weights, given_stats=None):
            return sess.run(outputs, {photos: images, style_weights: weights, use_given_stats: given_stats is not None,
                                      norm_stats: np.zeros([1, size]) if given_stats is None else given_stats})
        yield run_network


def photo(height, width, seed=0):
    """Return a random photo [height, width, 3], 0 to 255."""
    return np.random.default_rng(seed).uniform(0, 255, (height, width, 3)).astype(np.float32)


def test_the_pictures_match_numpy_each_in_its_own_style(run):
    images = np.stack([photo(24, 40), photo(24, 40, seed=1) / 3])
    weights = np.float32([[0, 1, 0], [0.5, 0, 0.5]])
    pictures, _ = run(images, weights)
    for image, w, picture in zip(images, weights, pictures):
        expected = reference.transform_net(image, PARAMETERS, w)
        assert expected.std() > 5
        np.testing.assert_allclose(picture, expected, atol=0.02)


def test_styles_differ_and_one_style_can_apply_to_all_photos(run):
    images = np.stack([photo(24, 40)] * 3)
    pictures, _ = run(images, np.eye(3))
    assert min(np.abs(pictures[i] - pictures[i - 1]).mean() for i in range(3)) > 1
    np.testing.assert_allclose(run(images, np.eye(3)[1:2])[0], pictures[[1, 1, 1]], atol=1e-3)


def test_polyphase_filters_upsample_linearly():
    """Compare the filters [2, n, k] with linear interpolation.

    The two new pixels are a quarter of a pixel before and after the old one, so its weight is three quarters.
    """
    np.testing.assert_allclose(polyphase_filters(1)[:, 0], [[0.25, 0.75, 0], [0, 0.75, 0.25]])
    values = np.random.default_rng(0).normal(size=9)
    fine = np.interp((np.arange(18) + 0.5) / 2 - 0.5, np.arange(9), values)
    for n in (3, 5):
        taps = polyphase_filters(n)
        for i in range(3, 6):
            window = values[i - taps.shape[2] // 2:i + taps.shape[2] // 2 + 1]
            for phase in range(2):
                index = 2 * i + phase
                np.testing.assert_allclose(taps[phase] @ window, fine[index - n // 2:index + n // 2 + 1], atol=1e-6)


@pytest.mark.parametrize('length', [1, 2, 3, 5, 8, 9, 16, 21])
def test_photos_are_padded_by_reflection(length):
    image = photo(length, 7)
    with tf.Graph().as_default(), tf.Session() as sess:
        result = sess.run(pad_to_stride(tf.constant(image[None])))[0]
    padding = [max(16, -(-side // 4) * 4) - side for side in (length, 7)]
    assert (result == np.pad(image, [(0, padding[0]), (0, padding[1]), (0, 0)], mode='reflect')).all()


def test_given_norm_statistics_replace_those_of_the_photo(run):
    image, other = photo(40, 40), photo(40, 40, seed=1) ** 2 / 255
    picture, norm_stats = run(image[None], np.eye(3)[:1])
    np.testing.assert_allclose(run(image[None], np.eye(3)[:1], norm_stats)[0], picture, atol=1e-3)
    assert np.abs(run(other[None], np.eye(3)[:1], norm_stats)[0] - run(other[None], np.eye(3)[:1])[0]).max() > 1


def test_a_pixel_has_no_effect_beyond_the_receptive_radius(run):
    image = photo(16, 400)[None]
    _, norm_stats = run(image, np.eye(3)[:1])
    before, _ = run(image, np.eye(3)[:1], norm_stats)
    image[:, :, 200] += 50
    after, _ = run(image, np.eye(3)[:1], norm_stats)
    affected = np.flatnonzero(np.abs(after - before).max(axis=(0, 1, 3)) > 1e-4)
    for radius in (200 - affected.min(), affected.max() - 200):
        assert multi_style.MultiStyleModel.receptive_radius / 2 < radius <= multi_style.MultiStyleModel.receptive_radius


def test_a_photo_shifted_by_the_stride_gives_a_shifted_picture(run):
    wide = photo(48, 240, seed=2)
    _, norm_stats = run(wide[None], np.eye(3)[:1])
    first, second = (run(wide[None, :, x:x + 200], np.eye(3)[:1], norm_stats)[0][0, :, 64 - x:136 - x] for x in (8, 12))
    np.testing.assert_allclose(first, second, atol=1e-2)
