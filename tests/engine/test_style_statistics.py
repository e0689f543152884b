"""Style statistics against NumPy: of one size the handout's loss, of others per position; blends."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import recipes
import reference
from engine.style_statistics import Gram, Target
from style_transfer import StyleTransfer


@pytest.fixture
def gram(images, tiny_vgg, workdir):
    machine = StyleTransfer(*images, 16, 16, vgg=tiny_vgg)
    return Gram(machine._gram_matrix, recipes.CS20.style_factor)


def features(*shape, seed=0):
    return np.random.default_rng(seed).normal(2, 3, (1, *shape)).astype(np.float32)


def of_tensors(function, *arrays):
    with tf.Graph().as_default(), tf.Session() as sess:
        return sess.run(function(*map(tf.constant, arrays)))


def test_of_one_size_the_distance_is_the_handouts(gram):
    a, g = features(4, 6, 5), features(4, 6, 5, seed=1)
    expected = reference.cs20_style_loss(g[0], a[0])
    assert gram.distance(gram.of(g), gram.of(a)) == pytest.approx(expected, rel=1e-5)
    assert of_tensors(lambda g, a: gram.distance(gram.of(g), gram.of(a)), g, a) == pytest.approx(expected, rel=1e-5)
    target = Target(gram, gram.of(a))
    assert of_tensors(target.loss, g) == pytest.approx(expected, rel=1e-5)


def test_a_style_twice_as_large_is_the_same_style(gram):
    a, g = features(4, 6, 5), features(4, 6, 5, seed=1)
    twice = np.concatenate([a, a], axis=1)  # every feature twice as often
    assert gram.distance(gram.of(g), gram.of(twice)) == pytest.approx(reference.cs20_style_loss(g[0], a[0]), rel=1e-5)


def test_of_a_batch_it_is_the_mean(gram):
    a, g = features(4, 6, 5), np.concatenate([features(4, 6, 5, seed=i) for i in (1, 2, 3)])
    expected = np.mean([reference.cs20_style_loss(one, a[0]) for one in g])
    assert gram.distance(gram.of(g), gram.of(a)) == pytest.approx(expected, rel=1e-5)
