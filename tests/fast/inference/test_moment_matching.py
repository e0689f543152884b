"""A style's statistics put on features: means and covariances by NumPy, the least move by SciPy."""

import numpy as np
import pytest

from fast.inference import moment_matching

N = 5


def features(seed, positions=(40, 50)):
    """[40, 50, N] whose channels depend on each other."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(N, N)) + 2 * np.eye(N)
    return np.float32(rng.normal(size=(*positions, N)) @ mix + rng.normal(size=N))


def put(transform):
    """Features with the style's statistics by a transform; those of the photo and of the style."""
    F, S = features(0), features(1)
    A, b = moment_matching.affine_map(moment_matching.moments(F), moment_matching.moments(S), transform)
    assert A.dtype == b.dtype == np.float32
    return np.float64(F @ A + b).reshape(-1, N), *(np.float64(x).reshape(-1, N) for x in (F, S))


def covariance(F):
    return np.cov(F.T, bias=True)


@pytest.fixture
def exact(monkeypatch):
    """Without what bounds the maps of features that show nothing."""
    monkeypatch.setattr(moment_matching, 'REGULARIZATION_SHARE', 0)


def test_moments_are_those_of_numpy():
    F = features(2)
    mean, C = moment_matching.moments(F)
    flat = np.float64(F).reshape(-1, N)
    np.testing.assert_allclose(mean, flat.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(C, covariance(flat), rtol=1e-5)
    large = moment_matching.moments(np.float32(1000 + F))  # no difference of large numbers
    np.testing.assert_allclose(large.covariance, C, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('transform', moment_matching.TRANSFORMS.values(), ids=moment_matching.TRANSFORMS)
def test_the_mean_is_the_styles_and_so_are_variances(exact, transform):
    mapped, _, S = put(transform)
    np.testing.assert_allclose(mapped.mean(axis=0), S.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(mapped.var(axis=0), S.var(axis=0), rtol=1e-4)
    if transform is not moment_matching.adain:
        np.testing.assert_allclose(covariance(mapped), covariance(S), rtol=1e-4, atol=1e-4)


def test_adain_leaves_channels_apart_and_correlations_as_they_are(exact):
    mapped, F, S = put(moment_matching.adain)
    np.testing.assert_allclose(np.corrcoef(mapped.T), np.corrcoef(F.T), atol=1e-5)
    A = moment_matching.adain(covariance(F), covariance(S))
    np.testing.assert_allclose(A, np.diag(S.std(axis=0) / F.std(axis=0)), rtol=1e-9)


def test_optimal_transport_moves_least(exact):
    """By as much as two normal distributions are apart: ‖μ − ν‖² + tr(C + S − 2 (C^½ S C^½)^½)."""
    linalg = pytest.importorskip('scipy.linalg')
    mapped, F, S = put(moment_matching.optimal_transport)
    root = linalg.sqrtm(covariance(F)).real
    cross = linalg.sqrtm(root @ covariance(S) @ root).real
    least = (np.square(F.mean(axis=0) - S.mean(axis=0)).sum()
             + np.trace(covariance(F)) + np.trace(covariance(S)) - 2 * np.trace(cross))
    assert np.square(mapped - F).sum(axis=1).mean() == pytest.approx(least, rel=1e-4)
    by_wct, *_ = put(moment_matching.wct)
    assert np.square(by_wct - F).sum(axis=1).mean() > 1.01 * least


def test_a_limited_transform_stretches_no_direction_by_more():
    """By hand: deviations 1, 2, 4 to those of 10, 2, 1 are factors of 10, 1 and 1/4; the directions are turned."""
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    C, S = (turn @ np.diag(np.square(deviations)) @ turn.T for deviations in ([1., 2, 4], [10., 2, 1]))
    A = moment_matching.limit_stretch(moment_matching.optimal_transport, 1.5)(C, S)
    np.testing.assert_allclose(A, turn @ np.diag([1.5, 1, 0.25]) @ turn.T, atol=1e-9)


def test_details_grow_within_limits_and_other_maps_as_they_are_to():
    C, S = np.eye(3), 16 * np.eye(3)
    for name, to_more in (('colors', 4), ('details', 1.5), ('conv3_1', 4)):
        transform = moment_matching.transform_for_map(name, moment_matching.optimal_transport)
        np.testing.assert_allclose(transform(C, S), to_more * np.eye(3), atol=1e-9)
        np.testing.assert_allclose(transform(S, C), np.eye(3) / 4, atol=1e-9)


@pytest.mark.parametrize('transform', moment_matching.TRANSFORMS.values(), ids=moment_matching.TRANSFORMS)
def test_maps_that_show_nothing_stay_bounded(transform):
    flat, S = np.full([4, 4, N], 3, np.float32), moment_matching.moments(features(1))
    A, b = moment_matching.affine_map(moment_matching.moments(flat), S, transform)
    np.testing.assert_allclose(flat @ A + b, np.broadcast_to(S.mean, flat.shape), atol=1e-4)
    # a hundredth of the mean of both variances is added to the photo's: √(1 / 0.005), and of the style's largest share
    assert np.linalg.norm(A, 2) <= np.sqrt(N / 0.005 + 1)
    A, b = moment_matching.affine_map(S, moment_matching.moments(flat), transform)
    assert np.isfinite(A).all() and np.abs(features(1) @ A + b - 3).max() < 2


def test_a_description_has_means_and_logarithms_of_deviations():
    maps = [features(3), features(4)[..., :2]]
    expected = [part for x in maps for flat in [np.float64(x).reshape(-1, x.shape[-1])]
                for part in (flat.mean(axis=0), np.log(flat.std(axis=0) + 0.05))]
    found = moment_matching.style_embedding(list(map(moment_matching.moments, maps)))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('transform', moment_matching.TRANSFORMS.values())
def test_a_map_that_shows_nothing_is_enlarged_by_so_much_and_no_more(transform):
    """By hand: 0.01 of the mean of both variances, 0 and 4, is 0.02, which √(4 / 0.02) gives variance 4."""
    flat, style = (moment_matching.Moments(np.zeros(1), np.full((1, 1), variance)) for variance in (0., 4.))
    A, b = moment_matching.affine_map(flat, style, transform)
    assert A[0, 0] == pytest.approx(200 ** 0.5, rel=1e-5) and b[0] == 0
