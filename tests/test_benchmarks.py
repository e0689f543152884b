"""Measures and comparisons of pictures in the benchmarks against NumPy and hand-worked cases."""

import numpy as np
import pytest

import recipes
from benchmarks import blind, measure, sweep
from engine.optim import pyramid


def test_distances_agree_with_numpy():
    """A layer's features are rows of a matrix; texture is the same of features without their mean."""
    rng = np.random.default_rng(0)
    pictures = [[rng.normal(1, 2, (30, N)) for N in (3, 4, 5)] for _ in range(2)]
    moments = [[(F.mean(axis=0)[None], (F.T @ F / len(F))[None]) for F in features] for features in pictures]
    F, P = rng.normal(size=(2, 1, 4, 5, 6))
    found = measure.distances(*moments, F, P)
    expected = []
    for of in (lambda F: F.T @ F / len(F), lambda F: np.cov(F, rowvar=False, bias=True)):
        errors = [np.linalg.norm(of(G) - of(A)) ** 2 / np.linalg.norm(of(A)) ** 2 for G, A in zip(*pictures)]
        expected.append(np.mean(np.log10(errors)))
    np.testing.assert_allclose(found, [*expected, np.linalg.norm(F - P) ** 2 / np.linalg.norm(P) ** 2], rtol=1e-9)


def test_more_of_the_painting_raises_the_content_distance_and_lowers_the_others(images, tiny_vgg):
    measured = measure.Measure(tiny_vgg)
    content, style = (measure.read(path, 48, 32) for path in images)
    blends = [measured(share * style + (1 - share) * content, *images) for share in (0, 0.5, 0.98)]
    assert blends[0].content == 0 < blends[1].content < blends[2].content
    assert blends[2].texture < blends[0].texture and blends[2].style < blends[0].style


def test_textures_are_compared_at_the_same_content():
    curve = np.float64([[-1, 2], [0, 1], [-1.5, 3]])  # (texture, content) at three strengths
    for content, texture in ((1.25, -0.25), (2.5, -1.25), (0, 1), (4, -2)):
        assert sweep.texture_at(curve, content) == pytest.approx(texture)


def test_every_variant_differs_from_modern_and_has_levels():
    for recipe in (*sweep.VARIANTS.values(), sweep.crowson(0.1)):
        assert recipe != recipes.MODERN and len(pyramid.levels(recipe, 512, 384)) > 2


@pytest.mark.parametrize('seed', range(3))
def test_a_blind_test_of_recipes_repeats_no_pair(seed):
    pairs = blind.recipe_pairs(np.random.default_rng(seed))
    assert len(set(pairs)) == len(pairs) == blind.RECIPE_PAIRS
    for found in zip(*pairs):
        counts = [found.count(path) for path in set(found)]
        assert len(counts) >= 12 and max(counts) - min(counts) <= 1
