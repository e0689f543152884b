"""Style statistics against NumPy and SciPy: values, gradients, and maps of different sizes."""

import numpy as np
import pytest

import recipes
from common.tf1 import tf
from engine.losses.statistics import STATISTICS, Gram, StyleTarget
from tests import reference
from tests.assertions import assert_close

# Statistics that do not depend on the size of a map.
SIZE_FREE_STATISTICS = [name for name in STATISTICS if name != 'gram']


@pytest.fixture
def gram():
    """Return the Gram statistic of recipe `cs20`."""
    return Gram(recipes.CS20)


def features(*shape, seed=0):
    """Return random features [1, H, W, N] with independent channels."""
    return np.random.default_rng(seed).normal(2, 3, (1, *shape)).astype(np.float32)


def evaluate(function, *arrays):
    """Return the value of a function of tensors at some arrays."""
    with tf.Graph().as_default(), tf.Session() as sess:
        return sess.run(function(*map(tf.constant, arrays)))


def test_recipes_can_name_every_statistic():
    assert tuple(STATISTICS) == recipes.Recipe.__dataclass_fields__['style_statistic'].metadata['choices']


def test_for_maps_of_one_size_the_gram_distance_is_the_loss_of_the_handout(gram):
    a, g = features(4, 6, 5), features(4, 6, 5, seed=1)
    expected = reference.cs20_style_loss(g[0], a[0])
    assert gram.distance(gram.compute(g), gram.compute(a)) == pytest.approx(expected, rel=1e-5)
    assert evaluate(lambda g, a: gram.distance(gram.compute(g), gram.compute(a)), g, a) == pytest.approx(
        expected, rel=1e-5
    )
    target = StyleTarget(gram, gram.compute(a))
    assert evaluate(target.loss, g) == pytest.approx(expected, rel=1e-5)


def test_the_gram_distance_ignores_how_often_a_style_is_repeated(gram):
    a, g = features(4, 6, 5), features(4, 6, 5, seed=1)
    twice = np.concatenate([a, a], axis=1)  # Every feature occurs twice as often.
    assert gram.distance(gram.compute(g), gram.compute(twice)) == pytest.approx(
        reference.cs20_style_loss(g[0], a[0]), rel=1e-5
    )


def test_the_gram_distance_of_a_batch_is_the_mean(gram):
    a, g = features(4, 6, 5), np.concatenate([features(4, 6, 5, seed=i) for i in (1, 2, 3)])
    expected = np.mean([reference.cs20_style_loss(image, a[0]) for image in g])
    assert gram.distance(gram.compute(g), gram.compute(a)) == pytest.approx(expected, rel=1e-5)


# ------------------------------------------------------------------------------------------------- size-free statistics

def correlated_features(*shape, seed=0):
    """Return random features [1, H, W, N] after a ReLU, with correlated channels like those of a network."""
    rng = np.random.default_rng(seed)
    return np.maximum(rng.normal(1, 2, (1, *shape)) @ rng.normal(size=(shape[-1], shape[-1])), 0).astype(np.float32)


def loss_and_gradient(name, g, a):
    """Return the distance of features g from the style of features a, and its gradient with respect to g."""
    statistic = STATISTICS[name](recipes.CS20)
    with tf.Graph().as_default(), tf.Session() as sess:
        F = tf.constant(g)
        loss = StyleTarget(statistic, statistic.compute(a)).loss(F)
        return sess.run([loss, tf.gradients(loss, F)[0]])


@pytest.mark.parametrize('name', SIZE_FREE_STATISTICS)
def test_distances_and_gradients_agree_with_numpy_and_scipy(name):
    a, g = correlated_features(9, 8, 6), correlated_features(7, 10, 6, seed=1)  # The shapes differ.
    loss, gradient = loss_and_gradient(name, g, a)
    assert loss == pytest.approx(reference.STYLE_DISTANCES[name](g[0], a[0]), rel=1e-3)
    for seed in range(3):
        direction = np.random.default_rng(seed).normal(size=g.shape)
        up, down = (reference.STYLE_DISTANCES[name]((np.float64(g) + sign * 1e-4 * direction)[0], a[0])
                    for sign in (1, -1))
        assert_close((gradient * direction).sum(), (up - down) / 2e-4, rel=2e-4,
                     scale=np.linalg.norm(gradient) * np.linalg.norm(direction))


@pytest.mark.parametrize('name', SIZE_FREE_STATISTICS)
def test_distances_ignore_tiling_and_common_factors(name):
    a, g = correlated_features(6, 8, 5), correlated_features(6, 8, 5, seed=1)
    loss, _ = loss_and_gradient(name, g, a)
    tiled, _ = loss_and_gradient(name, np.tile(g, (1, 3, 2, 1)), np.tile(a, (1, 2, 2, 1)))
    scaled, _ = loss_and_gradient(name, 1000 * g, 1000 * a)
    assert tiled == pytest.approx(loss, rel=1e-3) and scaled == pytest.approx(loss, rel=1e-3)


@pytest.mark.parametrize('name', SIZE_FREE_STATISTICS)
@pytest.mark.parametrize('fill', [0, 7])
def test_distances_are_zero_for_equal_and_finite_for_constant_features(name, fill):
    a = correlated_features(6, 8, 5)
    loss, gradient = loss_and_gradient(name, a, a)
    assert abs(loss) < 1e-3
    for g, style in ((np.full_like(a, fill), a), (a, np.full_like(a, fill))):
        loss, gradient = loss_and_gradient(name, g, style)
        assert np.isfinite(loss) and np.isfinite(gradient).all()


@pytest.mark.parametrize('name', SIZE_FREE_STATISTICS)
def test_distances_work_for_dead_and_duplicated_channels(name):
    """Their covariance is singular: some eigenvalues are zero, and rounding may make them negative."""
    a, g = correlated_features(6, 8, 5), correlated_features(6, 8, 5, seed=1)
    for x in (a, g):
        x[..., 1], x[..., 2] = 0, x[..., 0]
    loss, gradient = loss_and_gradient(name, g, a)
    assert loss == pytest.approx(reference.STYLE_DISTANCES[name](g[0], a[0]), rel=1e-3)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


def test_the_wasserstein_distance_of_a_deep_layer_agrees_with_scipy():
    """With 256 channels at 500 positions, many eigenvalues are close to zero."""
    rng = np.random.default_rng(3)
    shared = rng.normal(size=(256, 256)) * 0.9 ** np.arange(256)[:, None]
    a, g = (np.maximum(rng.normal(size=(1, 20, 25, 256)) @ shared + 0.2, 0).astype(np.float32) for _ in range(2))
    loss, gradient = loss_and_gradient('wasserstein', g, a)
    assert loss == pytest.approx(reference.wasserstein_distance(g[0], a[0]), abs=0.01) and np.isfinite(gradient).all()
