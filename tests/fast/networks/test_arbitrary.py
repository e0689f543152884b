"""The network of any style: its maps and pictures against NumPy, what it is told of a style, its reach."""

import numpy as np
import pytest

from common.tf1 import tf
from fast.inference.arbitrary import ArbitraryStyleModel
from fast.networks.arbitrary import ArbitraryStyleNet, fit_pca
from tests import reference
from tests.assertions import assert_close
from tests.factories import random_any

PARAMETERS = random_any()
D = len(PARAMETERS['code/mean'])


def photo(height, width, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (height, width, 3)).astype(np.float32)


@pytest.fixture(scope='module')
def net():
    """Two functions: photos -> maps; maps, description, statistics or None -> pictures, statistics."""
    with tf.Graph().as_default(), tf.Session() as sess:
        network = ArbitraryStyleNet(parameters=PARAMETERS)
        photos = tf.placeholder(tf.float32, [None, None, None, 3])
        maps = network.encode(photos)
        mapped = [tf.placeholder(tf.float32, [None, None, None, x.shape[-1]]) for x in maps]
        size = 2 * sum(value.shape[1] for name, value in PARAMETERS.items() if name.endswith('gamma'))
        description, statistics = (tf.placeholder(tf.float32, [None, length]) for length in (D, size))
        description.set_shape([None, D])
        given = tf.placeholder(tf.float32, [])
        outputs = network.decode(mapped, description, statistics, given)

        def encode(images):
            return sess.run(maps, {photos: images})

        def decode(values, style, known=None):
            return sess.run(outputs, dict(zip(mapped, values)) | {
                description: style, given: known is not None,
                statistics: np.zeros([1, size]) if known is None else known})
        yield encode, decode


def test_the_maps_are_those_of_numpy(net):
    images = np.stack([photo(16, 24), photo(16, 24, seed=1)])
    maps = net[0](images)
    assert [x.shape for x in maps] == [(2, 16, 24, 3), (2, 4, 6, 3), (2, 8, 12, 5), (2, 4, 6, 6), (2, 2, 3, 7)]
    for i, image in enumerate(images):
        for x, expected in zip(maps, reference.any_encode(image, PARAMETERS), strict=True):
            assert expected.std() > 0.1
            np.testing.assert_allclose(x[i], expected, rtol=1e-4, atol=1e-4)


def test_the_pictures_are_those_of_numpy_each_as_its_style_is_described(net):
    rng = np.random.default_rng(0)
    maps = net[0](np.stack([photo(24, 40), photo(24, 40, seed=1)]))
    styles = np.float32(PARAMETERS['code/mean'] + [[1], [4]] * rng.normal(size=(2, D)))  # the second's code is clipped
    assert np.abs((styles - PARAMETERS['code/mean']) @ PARAMETERS['code/components']).max() > 3
    pictures, _ = net[1](maps, styles)
    for i, picture in enumerate(pictures):
        expected = reference.any_decode(*(np.float64(x[i]) for x in maps), styles[i], PARAMETERS)
        assert picture.shape == (24, 40, 3) and expected.std() > 5
        assert_close(picture, expected, scale=255, rel=5e-4)
    same, _ = net[1](maps, styles[:1])  # one for all
    assert_close(same[0], pictures[0], scale=255, rel=2e-4)
    assert np.abs(same[1] - pictures[1]).mean() > 1


def test_statistics_that_are_given_replace_those_of_the_photo(net):
    maps, other = net[0](photo(32, 32)[None]), net[0](photo(32, 32, seed=1)[None] ** 2 / 255)
    style = PARAMETERS['code/mean'][None]
    picture, own = net[1](maps, style)
    assert_close(net[1](maps, style, own)[0], picture, scale=255, rel=2e-4)
    assert np.abs(net[1](other, style, own)[0] - net[1](other, style)[0]).max() > 1


def test_a_pixel_is_not_seen_beyond_the_reach(net):
    image = photo(16, 800)[None]
    style = PARAMETERS['code/mean'][None]
    _, own = net[1](net[0](image), style)
    before, _ = net[1](net[0](image), style, own)
    for place in range(400, 408):
        changed = image.copy()
        changed[:, :, place] = 255 - changed[:, :, place]
        after, _ = net[1](net[0](changed), style, own)
        seen = np.flatnonzero(np.abs(after - before).max(axis=(0, 1, 3)) > 1e-2)
        for reach in (place - seen.min(), seen.max() - place):
            assert ArbitraryStyleModel.receptive_radius / 2 < reach <= ArbitraryStyleModel.receptive_radius


def test_a_code_has_mean_0_and_deviation_1_over_its_styles_and_loses_least(monkeypatch):
    rng = np.random.default_rng(0)
    descriptions = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 9)) + rng.normal(0, 1e-3, (50, 9))
    monkeypatch.setattr('fast.networks.arbitrary.PCA_COMPONENTS', 3)
    made = fit_pca(descriptions)
    code = (descriptions - made['code/mean']) @ made['code/components']
    np.testing.assert_allclose(code.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.cov(code.T, bias=True), np.eye(3), atol=1e-4)
    guess = np.c_[code, np.ones(50)]
    rest = descriptions - guess @ np.linalg.lstsq(guess, descriptions)[0]
    assert np.abs(rest).max() < 0.01 < descriptions.std()
