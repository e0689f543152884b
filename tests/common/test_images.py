"""Color preservation against NumPy, SciPy and scikit-image."""

import numpy as np
import pytest
import scipy.linalg
import skimage.color

from common import images


@pytest.fixture
def pair():
    """Return a random photo and style image, float32 [1, H, W, 3]."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(3, 3))
    photo = rng.normal(size=(1, 20, 30, 3)) @ mixing * 30 + [90, 120, 60]
    style = rng.uniform(0, 255, (1, 25, 15, 3))
    return np.float32(photo), np.float32(style)


def test_histogram_gives_each_style_the_mean_and_covariance_of_the_photo(pair):
    photo, style = pair
    prepared, (first, second) = images.prepare_colors(photo, [style, style[:, ::2] / 2], 'histogram')
    assert prepared is photo
    for image in first, second:
        np.testing.assert_allclose(image.mean(axis=(0, 1, 2)), photo.mean(axis=(0, 1, 2)), rtol=1e-4)
        np.testing.assert_allclose(np.cov(image.reshape(-1, 3).T), np.cov(photo.reshape(-1, 3).T), rtol=5e-3, atol=1)
    # Of all affine maps that do so, it is the one of Image Analogies (Hertzmann 2001).
    roots = [scipy.linalg.sqrtm(np.cov(image.reshape(-1, 3).T, bias=True)) for image in pair]
    expected = (style[0, 3, 4] - style.mean(axis=(0, 1, 2))) @ (roots[0] @ np.linalg.inv(roots[1])).T
    np.testing.assert_allclose(first[0, 3, 4], expected + photo.mean(axis=(0, 1, 2)), rtol=1e-3)


def test_luminance_makes_images_gray_and_matches_mean_and_deviation(pair):
    photo, style = pair
    prepared, (image,) = images.prepare_colors(photo, [style], 'luminance')
    for channel in range(3):
        np.testing.assert_allclose(prepared[..., channel], skimage.color.rgb2gray(photo), rtol=1e-4)
        assert image[..., channel].mean() == pytest.approx(prepared.mean(), rel=1e-4)
        assert image[..., channel].std() == pytest.approx(prepared.std(), rel=1e-4)
    assert np.corrcoef(image[..., 0].flat, skimage.color.rgb2gray(style).flat)[0, 1] == pytest.approx(1)


@pytest.mark.parametrize('keep_colors', ['luminance', 'histogram'])
def test_images_of_one_color_give_finite_values(pair, keep_colors):
    photo, _ = pair
    flat = np.full_like(photo, 77)
    for content, style in (photo, flat), (flat, photo), (flat, flat):
        _, (image,) = images.prepare_colors(content, [style], keep_colors)
        np.testing.assert_allclose(image.mean(axis=(0, 1, 2)).mean(), content.mean(axis=(0, 1, 2)) @ (
            images.LUMINANCE_WEIGHTS if keep_colors == 'luminance' else np.full(3, 1 / 3)), rtol=1e-3)


def test_keep_colors_none_changes_nothing(pair):
    photo, style = pair
    prepared, (image,) = images.prepare_colors(photo, [style], 'none')
    assert prepared is photo and image is style
