"""Test the color transfer against SciPy's normal distribution, its Wasserstein distance and a style of three colors."""

import numpy as np
import pytest

from fast.inference import color_transfer, moment_matching
from fast.inference.color_transfer import AXES, BIN_EDGES, DITHER_DEVIATION, LUMINANCE_HUE_BASIS

PAPER, INK, RED = np.array([0.9, 0.8, 0.7]), np.array([-0.9, -0.9, -0.8]), np.array([0.6, -0.4, -0.6])


def photo():
    """Return normally distributed colors [60, 80, 3], float32."""
    rng = np.random.default_rng(0)
    return np.float32(rng.normal(size=(60, 80, 3)) @ rng.uniform(-0.3, 0.3, (3, 3)))


def woodcut():
    """Return an image [40, 50, 3] of three colors: 60 % paper, 30 % ink and 10 % red."""
    shares = np.random.default_rng(1).uniform(size=(40, 50, 1))
    return np.float32(np.where(shares < 0.6, PAPER, np.where(shares < 0.9, INK, RED)))


def transfer(colors, style):
    """Give colors the distribution of a style."""
    return color_transfer.apply_curves(
        colors, color_transfer.fit_curves(colors, [color_transfer.cumulative_distributions(style)], [1.0])
    )


def test_axes_are_luminance_and_hues_and_rotations_of_these():
    gray, red_blue, green = (np.array(color) @ AXES[0] for color in ([1, 1, 1], [1, 0, -1], [1, -2, 1]))
    np.testing.assert_allclose(gray, [3 ** 0.5, 0, 0], atol=1e-6)
    np.testing.assert_allclose(red_blue[1:], [2 ** 0.5, 0], atol=1e-6)
    np.testing.assert_allclose(green[1:], [0, 6 ** 0.5], atol=1e-6)
    turns = np.linalg.inv(AXES[0]) @ AXES
    np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.broadcast_to(np.eye(3), AXES.shape), atol=1e-6)


def test_distributions_are_mixtures_of_normal_ones_around_each_color():
    stats = pytest.importorskip('scipy.stats')
    colors = np.stack([PAPER, INK, RED, RED])
    actual = color_transfer.cumulative_distributions(np.tile(colors[:, None], (1, 2000, 1)))
    expected = [[np.mean([stats.norm.cdf(BIN_EDGES, color @ axis, DITHER_DEVIATION) for color in colors], axis=0)
                 for axis in axes.T] for axes in AXES]
    assert actual.shape == np.shape(expected) == (len(AXES), 3, len(BIN_EDGES))
    np.testing.assert_allclose(actual, expected, atol=0.02)


def test_a_photo_gets_the_colors_of_the_style():
    """A match of mean and covariance gives colors between paper, ink and red, which the woodcut does not have."""
    stats = pytest.importorskip('scipy.stats')
    colors, style = photo(), woodcut()
    A, b = moment_matching.affine_map(moment_matching.moments(colors), moment_matching.moments(style))
    transferred, by_moments = transfer(colors, style), colors @ A + b
    assert transferred.dtype == np.float32 and transferred.shape == colors.shape
    for axis in stats.uniform_direction.rvs(3, size=5, random_state=2):  # axes that AXES does not contain
        distance, baseline = (stats.wasserstein_distance((x @ axis).ravel(), (style @ axis).ravel())
                              for x in (transferred, by_moments))
        assert distance < 0.75 * baseline
    distance, baseline = (np.linalg.norm(x.reshape(-1, 1, 3) - [PAPER, INK, RED], axis=2)
                          for x in (transferred, by_moments))
    assert (distance.min(axis=1) < 0.4).mean() > 0.9 and (baseline.min(axis=1) < 0.4).mean() < 0.2
    np.testing.assert_allclose(np.bincount(distance.argmin(axis=1)) / len(distance), [0.6, 0.3, 0.1], atol=0.02)


def test_a_photo_that_has_the_colors_of_the_style_is_unchanged():
    colors = photo()
    np.testing.assert_allclose(transfer(colors, colors), colors, atol=1e-5)


def test_styles_are_mixed_by_averaging_their_quantiles():
    """By hand: of two styles with one color each, the mixture is the color between them."""
    styles = [color_transfer.cumulative_distributions(np.broadcast_to(color, (2000, 3))) for color in (PAPER, INK)]
    colors = np.float32(np.broadcast_to(RED, (40, 50, 3)))
    mixed = color_transfer.apply_curves(colors, color_transfer.fit_curves(colors, styles, [0.25, 0.75]))
    np.testing.assert_allclose(mixed, np.broadcast_to(0.25 * PAPER + 0.75 * INK, mixed.shape), atol=0.02)


def test_the_noise_of_a_flat_photo_is_amplified_within_bounds():
    """Without DITHER_DEVIATION, noise of 0.5 of 255 would get all colors of a woodcut."""
    flat = np.float32(0.2 + np.random.default_rng(3).normal(scale=0.004, size=(40, 40, 3)))
    assert woodcut().std(axis=(0, 1)).min() > 0.5
    assert transfer(flat, woodcut()).std(axis=(0, 1)).max() < 0.05
    assert np.abs(transfer(np.float32(np.full((3, 3, 3), 9)), woodcut())).max() < 2  # colors outside of the histogram


@pytest.mark.parametrize('transform', moment_matching.TRANSFORMS.values(), ids=moment_matching.TRANSFORMS)
def test_the_luminance_hue_basis_is_a_change_of_coordinates(transform):
    """Transformed covariances are the style's, except with AdaIN, which keeps the correlations of luminance and hue."""
    C, S = (np.cov(x.reshape(-1, 3).T, bias=True) for x in (photo(), woodcut()))
    A = color_transfer.in_luminance_hue_basis(transform)(C, S)
    in_basis = LUMINANCE_HUE_BASIS.T @ A @ np.linalg.inv(LUMINANCE_HUE_BASIS.T)
    np.testing.assert_allclose(
        in_basis,
        transform(LUMINANCE_HUE_BASIS.T @ C @ LUMINANCE_HUE_BASIS, LUMINANCE_HUE_BASIS.T @ S @ LUMINANCE_HUE_BASIS),
        atol=1e-9,
    )
    if transform is not moment_matching.adain:
        np.testing.assert_allclose(A @ C @ A.T, S, atol=1e-9)
