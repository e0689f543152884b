"""The image transformation network: numbers against NumPy, every size, statistics that are given."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import reference
from conftest import random_parameters
from fast.network import reflected, TransformNet

# stride, last kernel, skips, fine blocks: for the reference
SHAPES = {'half': (2, 5, True, 2), 'johnson': (1, 9, False, 0)}


@pytest.fixture(params=SHAPES)
def network(request):
    """(name of the shape, its parameters, a function photos, statistics or None -> pictures, statistics)."""
    parameters = random_parameters(request.param)
    with tf.Graph().as_default(), tf.Session() as sess:
        net = TransformNet(request.param, 4, parameters=parameters)
        photos = tf.placeholder(tf.float32, [None, None, None, 3])
        own, bare = net(photos), net(photos, margin=0)
        given = tf.placeholder(tf.float32, own[1].shape)
        with_given = net(photos, given)

        def run(images, statistics=None, margin=True):
            feed = {photos: images} if statistics is None else {photos: images, given: statistics}
            return sess.run((own if margin else bare) if statistics is None else with_given, feed)
        yield request.param, parameters, run


def photo(height, width, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (height, width, 3)).astype(np.float32)


def test_the_picture_is_that_of_numpy(network):
    shape, parameters, run = network
    images = np.stack([photo(24, 40), photo(24, 40, seed=1) / 3])
    pictures, _ = run(images, margin=False)
    for image, picture in zip(images, pictures):
        expected = reference.transform_net(image, parameters, *SHAPES[shape])
        assert expected.std() > 5
        np.testing.assert_allclose(picture, expected, atol=0.02)


def test_every_size_comes_back_as_it_went_in(network):
    _, _, run = network
    for side in range(1, 131):
        for height, width in ((side, 131 - side), (side, side)):
            pictures, _ = run(photo(height, width)[None])
            assert pictures.shape == (1, height, width, 3) and np.isfinite(pictures).all()


@pytest.mark.parametrize('length', [1, 2, 3, 5, 8, 9, 16, 21])
def test_photos_are_extended_by_reflection(length):
    image = photo(length, 7)
    for margin in (0, 8):
        with tf.Graph().as_default(), tf.Session() as sess:
            extended = sess.run(reflected(tf.constant(image[None]), 8, 16, margin))[0]
        after = [max(16, -(-(side + 2 * margin) // 8) * 8) - side - margin for side in (length, 7)]
        assert (extended == np.pad(image, [(margin, after[0]), (margin, after[1]), (0, 0)], mode='reflect')).all()


def test_a_margin_goes_on_and_off_again():
    image, parameters = photo(24, 40), random_parameters('half')
    with tf.Graph().as_default(), tf.Session() as sess:
        net = TransformNet('half', 4, parameters=parameters)
        extended = np.pad(image, [(16, 16), (16, 16), (0, 0)], mode='reflect')
        with_margin, without = sess.run([net(tf.constant(image[None]), margin=16)[0],
                                         net(tf.constant(extended[None]), margin=0)[0][:, 16:-16, 16:-16]])
    assert with_margin.shape == (1, 24, 40, 3)
    np.testing.assert_allclose(with_margin, without, atol=1e-3)


def test_statistics_that_are_given_replace_those_of_the_photo(network):
    _, _, run = network
    image, other = photo(40, 40), photo(40, 40, seed=1) ** 2 / 255
    picture, statistics = run(image[None])
    np.testing.assert_allclose(run(image[None], statistics)[0], picture, atol=1e-3)
    assert np.abs(run(other[None], statistics)[0] - run(other[None])[0]).max() > 1


def test_a_pixel_is_not_seen_beyond_the_reach():
    parameters = random_parameters('johnson')
    with tf.Graph().as_default(), tf.Session() as sess:
        net = TransformNet('johnson', 4, parameters=parameters)
        photos = tf.placeholder(tf.float32, [None, None, None, 3])
        _, statistics = net(photos)
        given = tf.placeholder(tf.float32, statistics.shape)
        picture, _ = net(photos, given)
        image = photo(16, 400)[None]
        fixed = sess.run(statistics, {photos: image})
        before = sess.run(picture, {photos: image, given: fixed})
        image[:, :, 200] += 50
        after = sess.run(picture, {photos: image, given: fixed})
    changed = np.flatnonzero(np.abs(after - before).max(axis=(0, 1, 3)) > 1e-4)
    assert net.reach / 2 < 200 - changed.min() <= net.reach and net.reach / 2 < changed.max() - 200 <= net.reach
