"""Test the arbitrary style transfer network against NumPy: maps, pictures, norm statistics and receptive field."""

import numpy as np
import pytest

from common.tf1 import tf
from fast.inference.arbitrary import ArbitraryStyleModel
from fast.networks.arbitrary import ArbitraryStyleNet, fit_pca
from tests import reference
from tests.assertions import assert_close
from tests.factories import random_arbitrary

PARAMETERS = random_arbitrary()
D = len(PARAMETERS['code/mean'])


def photo(height, width, seed=0):
    """Return a random photo [height, width, 3], 0 to 255."""
    return np.random.default_rng(seed).uniform(0, 255, (height, width, 3)).astype(np.float32)


@pytest.fixture(scope='module')
def net():
    """Two functions, `encode` and `decode`.

    `encode` takes photos [B, H, W, 3] and returns their maps. `decode` takes maps, style embeddings, and norm
    statistics or None to compute these; it returns pictures and norm statistics.
    """
    with tf.Graph().as_default(), tf.Session() as sess:
        network = ArbitraryStyleNet(parameters=PARAMETERS)
        photos = tf.placeholder(tf.float32, [None, None, None, 3])
        maps = network.encode(photos)
        map_inputs = [tf.placeholder(tf.float32, [None, None, None, x.shape[-1]]) for x in maps]
        size = 2 * sum(value.shape[1] for name, value in PARAMETERS.items() if name.endswith('gamma'))
        embedding, norm_stats = (tf.placeholder(tf.float32, [None, length]) for length in (D, size))
        embedding.set_shape([None, D])
        use_given_stats = tf.placeholder(tf.float32, [])
        outputs = network.decode(map_inputs, embedding, norm_stats, use_given_stats)

        def encode(images):
            return sess.run(maps, {photos: images})

        def decode(values, style, given_stats=None):
            return sess.run(outputs, dict(zip(map_inputs, values)) | {
                embedding: style, use_given_stats: given_stats is not None,
                norm_stats: np.zeros([1, size]) if given_stats is None else given_stats})
        yield encode, decode


def test_the_maps_match_numpy(net):
    images = np.stack([photo(16, 24), photo(16, 24, seed=1)])
    maps = net[0](images)
    assert [x.shape for x in maps] == [(2, 16, 24, 3), (2, 4, 6, 3), (2, 8, 12, 5), (2, 4, 6, 6), (2, 2, 3, 7)]
    for i, image in enumerate(images):
        for x, expected in zip(maps, reference.arbitrary_encode(image, PARAMETERS), strict=True):
            assert expected.std() > 0.1
            np.testing.assert_allclose(x[i], expected, rtol=1e-4, atol=1e-4)


def test_the_pictures_match_numpy_each_with_its_own_embedding(net):
    rng = np.random.default_rng(0)
    maps = net[0](np.stack([photo(24, 40), photo(24, 40, seed=1)]))
    # The factor 4 makes the PCA code of the second style so large that it is clipped.
    embeddings = np.float32(PARAMETERS['code/mean'] + [[1], [4]] * rng.normal(size=(2, D)))
    assert np.abs((embeddings - PARAMETERS['code/mean']) @ PARAMETERS['code/components']).max() > 3
    pictures, _ = net[1](maps, embeddings)
    for i, picture in enumerate(pictures):
        expected = reference.arbitrary_decode(*(np.float64(x[i]) for x in maps), embeddings[i], PARAMETERS)
        assert picture.shape == (24, 40, 3) and expected.std() > 5
        assert_close(picture, expected, scale=255, rel=5e-4)
    shared, _ = net[1](maps, embeddings[:1])  # one embedding for all maps
    assert_close(shared[0], pictures[0], scale=255, rel=2e-4)
    assert np.abs(shared[1] - pictures[1]).mean() > 1


def test_given_norm_statistics_replace_those_of_the_photo(net):
    maps, other_maps = net[0](photo(32, 32)[None]), net[0](photo(32, 32, seed=1)[None] ** 2 / 255)
    embedding = PARAMETERS['code/mean'][None]
    picture, norm_stats = net[1](maps, embedding)
    assert_close(net[1](maps, embedding, norm_stats)[0], picture, scale=255, rel=2e-4)
    assert np.abs(net[1](other_maps, embedding, norm_stats)[0] - net[1](other_maps, embedding)[0]).max() > 1


def test_a_pixel_has_no_effect_beyond_the_receptive_radius(net):
    image = photo(16, 800)[None]
    embedding = PARAMETERS['code/mean'][None]
    _, norm_stats = net[1](net[0](image), embedding)
    before, _ = net[1](net[0](image), embedding, norm_stats)
    for column in range(400, 408):
        changed = image.copy()
        changed[:, :, column] = 255 - changed[:, :, column]
        after, _ = net[1](net[0](changed), embedding, norm_stats)
        affected = np.flatnonzero(np.abs(after - before).max(axis=(0, 1, 3)) > 1e-2)
        for radius in (column - affected.min(), affected.max() - column):
            assert ArbitraryStyleModel.receptive_radius / 2 < radius <= ArbitraryStyleModel.receptive_radius


def test_the_pca_code_is_white_and_predicts_the_embeddings(monkeypatch):
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 9)) + rng.normal(0, 1e-3, (50, 9))
    monkeypatch.setattr('fast.networks.arbitrary.PCA_COMPONENTS', 3)
    parameters = fit_pca(embeddings)
    code = (embeddings - parameters['code/mean']) @ parameters['code/components']
    np.testing.assert_allclose(code.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.cov(code.T, bias=True), np.eye(3), atol=1e-4)
    inputs = np.c_[code, np.ones(50)]
    residuals = embeddings - inputs @ np.linalg.lstsq(inputs, embeddings)[0]
    assert np.abs(residuals).max() < 0.01 < embeddings.std()
