"""The image transformation network: numbers against NumPy, styles and their mixtures, statistics that are given."""

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
    """A function photos, style weights, statistics or None -> pictures, statistics."""
    with tf.Graph().as_default(), tf.Session() as sess:
        photos, style_weights, statistics = (tf.placeholder(tf.float32, shape)
                                             for shape in ([None, None, None, 3], [None, 3], [1, None]))
        given = tf.placeholder(tf.float32, [])
        size = 2 * sum(value.shape[1] for name, value in PARAMETERS.items() if name.endswith('gamma'))
        statistics.set_shape([1, size])
        outputs = TransformNet(3, 4, parameters=PARAMETERS)(photos, style_weights, statistics, given)

        def function(images, weights, known=None):
            return sess.run(outputs, {photos: images, style_weights: weights, given: known is not None,
                                      statistics: np.zeros([1, size]) if known is None else known})
        yield function


def photo(height, width, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (height, width, 3)).astype(np.float32)


def test_the_pictures_are_those_of_numpy_each_in_its_style(run):
    images = np.stack([photo(24, 40), photo(24, 40, seed=1) / 3])
    weights = np.float32([[0, 1, 0], [0.5, 0, 0.5]])
    pictures, _ = run(images, weights)
    for image, w, picture in zip(images, weights, pictures):
        expected = reference.transform_net(image, PARAMETERS, w)
        assert expected.std() > 5
        np.testing.assert_allclose(picture, expected, atol=0.02)


def test_styles_differ_and_one_may_serve_all_photos(run):
    images = np.stack([photo(24, 40)] * 3)
    pictures, _ = run(images, np.eye(3))
    assert min(np.abs(pictures[i] - pictures[i - 1]).mean() for i in range(3)) > 1
    np.testing.assert_allclose(run(images, np.eye(3)[1:2])[0], pictures[[1, 1, 1]], atol=1e-3)


def test_linear_enlargement_by_phases():
    """Taps [2, n, k] of pixels at .25 and .75: two thirds of a step from one, a third from the next."""
    np.testing.assert_allclose(polyphase_filters(1)[:, 0], [[0.25, 0.75, 0], [0, 0.75, 0.25]])
    line = np.random.default_rng(0).normal(size=9)
    fine = np.interp((np.arange(18) + 0.5) / 2 - 0.5, np.arange(9), line)
    for n in (3, 5):
        taps = polyphase_filters(n)
        for i in range(3, 6):
            around = line[i - taps.shape[2] // 2:i + taps.shape[2] // 2 + 1]
            for phase in range(2):
                place = 2 * i + phase
                np.testing.assert_allclose(taps[phase] @ around, fine[place - n // 2:place + n // 2 + 1], atol=1e-6)


@pytest.mark.parametrize('length', [1, 2, 3, 5, 8, 9, 16, 21])
def test_photos_are_extended_by_reflection(length):
    image = photo(length, 7)
    with tf.Graph().as_default(), tf.Session() as sess:
        result = sess.run(pad_to_stride(tf.constant(image[None])))[0]
    after = [max(16, -(-side // 4) * 4) - side for side in (length, 7)]
    assert (result == np.pad(image, [(0, after[0]), (0, after[1]), (0, 0)], mode='reflect')).all()


def test_statistics_that_are_given_replace_those_of_the_photo(run):
    image, other = photo(40, 40), photo(40, 40, seed=1) ** 2 / 255
    picture, statistics = run(image[None], np.eye(3)[:1])
    np.testing.assert_allclose(run(image[None], np.eye(3)[:1], statistics)[0], picture, atol=1e-3)
    assert np.abs(run(other[None], np.eye(3)[:1], statistics)[0] - run(other[None], np.eye(3)[:1])[0]).max() > 1


def test_a_pixel_is_not_seen_beyond_the_reach(run):
    image = photo(16, 400)[None]
    _, fixed = run(image, np.eye(3)[:1])
    before, _ = run(image, np.eye(3)[:1], fixed)
    image[:, :, 200] += 50
    after, _ = run(image, np.eye(3)[:1], fixed)
    changed = np.flatnonzero(np.abs(after - before).max(axis=(0, 1, 3)) > 1e-4)
    for reach in (200 - changed.min(), changed.max() - 200):
        assert multi_style.MultiStyleModel.receptive_radius / 2 < reach <= multi_style.MultiStyleModel.receptive_radius


def test_a_photo_moved_by_the_stride_gives_a_picture_moved_by_it(run):
    wide = photo(48, 240, seed=2)
    _, fixed = run(wide[None], np.eye(3)[:1])
    one, other = (run(wide[None, :, x:x + 200], np.eye(3)[:1], fixed)[0][0, :, 64 - x:136 - x] for x in (8, 12))
    np.testing.assert_allclose(one, other, atol=1e-2)
