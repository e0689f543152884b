"""Test moment matching against NumPy's means and covariances, and optimal transport against SciPy."""

import numpy as np
import pytest

from fast.inference import moment_matching

N = 5


def features(seed, positions=(40, 50)):
    """Return random features [*positions, N] with correlated channels."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(N, N)) + 2 * np.eye(N)
    return np.float32(rng.normal(size=(*positions, N)) @ mix + rng.normal(size=N))


def match(transform):
    """Return features with the style's moments, the photo's features and the style's, all float64 [positions, N]."""
    F, S = features(0), features(1)
    A, b = moment_matching.affine_map(moment_matching.moments(F), moment_matching.moments(S), transform)
    assert A.dtype == b.dtype == np.float32
    return np.float64(F @ A + b).reshape(-1, N), *(np.float64(x).reshape(-1, N) for x in (F, S))


def covariance(F):
    """Return the covariance [N, N] of features [positions, N]."""
    return np.cov(F.T, bias=True)


@pytest.fixture
def exact(monkeypatch):
    """Disable the regularization that bounds the affine maps of constant features."""
    monkeypatch.setattr(moment_matching, 'REGULARIZATION_SHARE', 0)


def test_moments_match_numpy():
    F = features(2)
    mean, C = moment_matching.moments(F)
    flat = np.float64(F).reshape(-1, N)
    np.testing.assert_allclose(mean, flat.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(C, covariance(flat), rtol=1e-5)
    shifted = moment_matching.moments(np.float32(1000 + F))  # a difference of large numbers would be inexact
    np.testing.assert_allclose(shifted.covariance, C, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('transform', moment_matching.TRANSFORMS.values(), ids=moment_matching.TRANSFORMS)
def test_matched_features_have_the_mean_and_variances_of_the_style(exact, transform):
    matched, _, S = match(transform)
    np.testing.assert_allclose(matched.mean(axis=0), S.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(matched.var(axis=0), S.var(axis=0), rtol=1e-4)
    if transform is not moment_matching.adain:
        np.testing.assert_allclose(covariance(matched), covariance(S), rtol=1e-4, atol=1e-4)


def test_adain_scales_each_channel_and_keeps_correlations(exact):
    matched, F, S = match(moment_matching.adain)
    np.testing.assert_allclose(np.corrcoef(matched.T), np.corrcoef(F.T), atol=1e-5)
    A = moment_matching.adain(covariance(F), covariance(S))
    np.testing.assert_allclose(A, np.diag(S.std(axis=0) / F.std(axis=0)), rtol=1e-9)


def test_optimal_transport_moves_features_least(exact):
    """The mean squared move is the distance of two normal distributions: ‖μ − ν‖² + tr(C + S − 2 (C^½ S C^½)^½)."""
    linalg = pytest.importorskip('scipy.linalg')
    matched, F, S = match(moment_matching.optimal_transport)
    root = linalg.sqrtm(covariance(F)).real
    cross = linalg.sqrtm(root @ covariance(S) @ root).real
    least = (np.square(F.mean(axis=0) - S.mean(axis=0)).sum()
             + np.trace(covariance(F)) + np.trace(covariance(S)) - 2 * np.trace(cross))
    assert np.square(matched - F).sum(axis=1).mean() == pytest.approx(least, rel=1e-4)
    by_wct, *_ = match(moment_matching.wct)
    assert np.square(by_wct - F).sum(axis=1).mean() > 1.01 * least


def test_a_limited_transform_stretches_no_direction_beyond_the_limit():
    """By hand: from the deviations 1, 2, 4 to 10, 2, 1 the factors are 10, 1 and 1/4, along rotated axes."""
    rotation = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    C, S = (rotation @ np.diag(np.square(deviations)) @ rotation.T for deviations in ([1., 2, 4], [10., 2, 1]))
    A = moment_matching.limit_stretch(moment_matching.optimal_transport, 1.5)(C, S)
    np.testing.assert_allclose(A, rotation @ np.diag([1.5, 1, 0.25]) @ rotation.T, atol=1e-9)


def test_only_the_stretch_of_the_high_pass_map_is_limited():
    C, S = np.eye(3), 16 * np.eye(3)
    for name, stretch in (('colors', 4), ('details', 1.5), ('conv3_1', 4)):
        transform = moment_matching.transform_for_map(name, moment_matching.optimal_transport)
        np.testing.assert_allclose(transform(C, S), stretch * np.eye(3), atol=1e-9)
        np.testing.assert_allclose(transform(S, C), np.eye(3) / 4, atol=1e-9)


@pytest.mark.parametrize('transform', moment_matching.TRANSFORMS.values(), ids=moment_matching.TRANSFORMS)
def test_affine_maps_of_constant_features_are_bounded(transform):
    flat, S = np.full([4, 4, N], 3, np.float32), moment_matching.moments(features(1))
    A, b = moment_matching.affine_map(moment_matching.moments(flat), S, transform)
    np.testing.assert_allclose(flat @ A + b, np.broadcast_to(S.mean, flat.shape), atol=1e-4)
    # REGULARIZATION_SHARE, 0.01, of the mean of both variances is added to the photo's, which is 0. So the stretch is
    # √(1 / 0.005) for equal variances, and at most √(N / 0.005) if one direction has all of the style's variance.
    assert np.linalg.norm(A, 2) <= np.sqrt(N / 0.005 + 1)
    A, b = moment_matching.affine_map(S, moment_matching.moments(flat), transform)
    assert np.isfinite(A).all() and np.abs(features(1) @ A + b - 3).max() < 2


def test_a_style_embedding_has_means_and_logarithms_of_deviations():
    maps = [features(3), features(4)[..., :2]]
    expected = [part for x in maps for flat in [np.float64(x).reshape(-1, x.shape[-1])]
                for part in (flat.mean(axis=0), np.log(flat.std(axis=0) + 0.05))]
    embedding = moment_matching.style_embedding(list(map(moment_matching.moments, maps)))
    assert embedding.dtype == np.float32
    np.testing.assert_allclose(embedding, np.concatenate(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('transform', moment_matching.TRANSFORMS.values())
def test_the_regularization_limits_the_stretch_of_a_constant_map(transform):
    """By hand: 0.01 of the mean of the variances 0 and 4 is 0.02, and a factor √(4 / 0.02) turns 0.02 into 4."""
    flat, style = (moment_matching.Moments(np.zeros(1), np.full((1, 1), variance)) for variance in (0., 4.))
    A, b = moment_matching.affine_map(flat, style, transform)
    assert A[0, 0] == pytest.approx(200 ** 0.5, rel=1e-5) and b[0] == 0
