"""A style's colors put on a photo's, against SciPy's normal distribution and its distance of Wasserstein."""

import numpy as np
import pytest

from fast.inference import color_transfer, moment_matching
from fast.inference.color_transfer import AXES, BIN_EDGES, DITHER_DEVIATION, LUMINANCE_HUE_BASIS

PAPER, INK, RED = np.array([0.9, 0.8, 0.7]), np.array([-0.9, -0.9, -0.8]), np.array([0.6, -0.4, -0.6])


def photo():
    """[60, 80, 3], normally distributed."""
    rng = np.random.default_rng(0)
    return np.float32(rng.normal(size=(60, 80, 3)) @ rng.uniform(-0.3, 0.3, (3, 3)))


def woodcut():
    """[40, 50, 3] of three colors: 60 % paper, 30 % ink, 10 % red."""
    shares = np.random.default_rng(1).uniform(size=(40, 50, 1))
    return np.float32(np.where(shares < 0.6, PAPER, np.where(shares < 0.9, INK, RED)))


def put(colors, style):
    return color_transfer.apply_curves(
        colors, color_transfer.fit_curves(colors, [color_transfer.cumulative_distributions(style)], [1.0])
    )


def test_axes_are_luminance_and_hues_and_turns_of_these():
    gray, red_blue, green = (np.array(color) @ AXES[0] for color in ([1, 1, 1], [1, 0, -1], [1, -2, 1]))
    np.testing.assert_allclose(gray, [3 ** 0.5, 0, 0], atol=1e-6)
    np.testing.assert_allclose(red_blue[1:], [2 ** 0.5, 0], atol=1e-6)
    np.testing.assert_allclose(green[1:], [0, 6 ** 0.5], atol=1e-6)
    turns = np.linalg.inv(AXES[0]) @ AXES
    np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.broadcast_to(np.eye(3), AXES.shape), atol=1e-6)


def test_distributions_are_normal_ones_around_each_color():
    stats = pytest.importorskip('scipy.stats')
    colors = np.stack([PAPER, INK, RED, RED])
    found = color_transfer.cumulative_distributions(np.tile(colors[:, None], (1, 2000, 1)))
    expected = [[np.mean([stats.norm.cdf(BIN_EDGES, color @ axis, DITHER_DEVIATION) for color in colors], axis=0)
                 for axis in axes.T] for axes in AXES]
    assert found.shape == np.shape(expected) == (len(AXES), 3, len(BIN_EDGES))
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_a_photo_has_the_styles_colors():
    """Where mean and covariance of the style give colors that the woodcut has not: between paper, ink and red."""
    stats = pytest.importorskip('scipy.stats')
    colors, style = photo(), woodcut()
    A, b = moment_matching.affine_map(moment_matching.moments(colors), moment_matching.moments(style))
    found, by_moments = put(colors, style), colors @ A + b
    assert found.dtype == np.float32 and found.shape == colors.shape
    for axis in stats.uniform_direction.rvs(3, size=5, random_state=2):  # such as no set has
        near, far = (stats.wasserstein_distance((x @ axis).ravel(), (style @ axis).ravel())
                     for x in (found, by_moments))
        assert near < 0.75 * far
    near, far = (np.linalg.norm(x.reshape(-1, 1, 3) - [PAPER, INK, RED], axis=2) for x in (found, by_moments))
    assert (near.min(axis=1) < 0.4).mean() > 0.9 and (far.min(axis=1) < 0.4).mean() < 0.2
    np.testing.assert_allclose(np.bincount(near.argmin(axis=1)) / len(near), [0.6, 0.3, 0.1], atol=0.02)


def test_a_photo_with_the_styles_colors_already_stays_as_it_is():
    colors = photo()
    np.testing.assert_allclose(put(colors, colors), colors, atol=1e-5)


def test_styles_are_mixed_by_the_means_of_equal_shares():
    """Of two that are one color each, by hand: the color between them."""
    styles = [color_transfer.cumulative_distributions(np.broadcast_to(color, (2000, 3))) for color in (PAPER, INK)]
    colors = np.float32(np.broadcast_to(RED, (40, 50, 3)))
    found = color_transfer.apply_curves(colors, color_transfer.fit_curves(colors, styles, [0.25, 0.75]))
    np.testing.assert_allclose(found, np.broadcast_to(0.25 * PAPER + 0.75 * INK, found.shape), atol=0.02)


def test_noise_of_a_flat_photo_grows_within_bounds():
    """GRAIN lies beneath it; by distributions alone noise of 0.5 of 255 would be all of a woodcut's colors."""
    flat = np.float32(0.2 + np.random.default_rng(3).normal(scale=0.004, size=(40, 40, 3)))
    assert woodcut().std(axis=(0, 1)).min() > 0.5
    assert put(flat, woodcut()).std(axis=(0, 1)).max() < 0.05
    assert np.abs(put(np.float32(np.full((3, 3, 3), 9)), woodcut())).max() < 2  # beyond the bins


@pytest.mark.parametrize('transform', moment_matching.TRANSFORMS.values(), ids=moment_matching.TRANSFORMS)
def test_a_transform_by_light_is_one_of_other_coordinates(transform):
    """Covariances are the style's; between luminance and hue AdaIN alone leaves correlations as they are."""
    C, S = (np.cov(x.reshape(-1, 3).T, bias=True) for x in (photo(), woodcut()))
    A = color_transfer.in_luminance_hue_basis(transform)(C, S)
    turned = LUMINANCE_HUE_BASIS.T @ A @ np.linalg.inv(LUMINANCE_HUE_BASIS.T)
    np.testing.assert_allclose(
        turned,
        transform(LUMINANCE_HUE_BASIS.T @ C @ LUMINANCE_HUE_BASIS, LUMINANCE_HUE_BASIS.T @ S @ LUMINANCE_HUE_BASIS),
        atol=1e-9,
    )
    if transform is not moment_matching.adain:
        np.testing.assert_allclose(A @ C @ A.T, S, atol=1e-9)
