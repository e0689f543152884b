"""Test the pixel losses of the arbitrary style transfer network against NumPy and SciPy."""

import numpy as np
import pytest
import scipy

from common.tf1 import tf
from fast.training import pixel_losses
from tests import reference


def pair(seed=0):
    """Return random pictures and styles of different colors, both [2, 48, 32, 3], 0 to 255."""
    rng = np.random.default_rng(seed)
    return [np.float32(rng.uniform(0, 255, (2, 48, 32, 3)) @ rng.uniform(0, 0.3, (2, 1, 3, 3))) for _ in range(2)]


def run(function, *arrays):
    """Return the value of a function of tensors for some arrays."""
    with tf.Graph().as_default(), tf.Session() as sess:
        return sess.run(function(*map(tf.constant, arrays)))


def expected_moments_loss(picture, style, deviation_offset):
    """Return the moments loss of one picture and style, both [H, W, 3], by SciPy's matrix square root."""
    pixels = [np.float64(image).reshape(-1, 3) for image in (picture, style)]
    (mean, covariance), (style_mean, style_covariance) = ((x.mean(axis=0), np.cov(x.T, bias=True)) for x in pixels)
    whitening = np.linalg.inv(scipy.linalg.sqrtm(style_covariance + deviation_offset ** 2 * np.eye(3)))
    return (np.square(whitening @ (covariance - style_covariance) @ whitening).sum()
            + np.square(whitening @ (mean - style_mean)).sum())


def test_the_moments_loss_is_relative_to_the_deviations_of_the_style():
    pictures, styles = pair()
    actual = run(lambda *both: pixel_losses.moments_loss(*both, 10.), pictures, styles)
    expected = np.mean([expected_moments_loss(*images, 10) for images in zip(pictures, styles)])
    assert actual == pytest.approx(expected, rel=1e-5)
    flipped, without_green = (run(lambda *both: pixel_losses.moments_loss(*both, 10.), x, styles)
                              for x in (styles[:, ::-1], styles * np.float32([1, 0, 1])))
    assert flipped == pytest.approx(0, abs=1e-6) and without_green > 0.3


def expected_rank_matched_loss(maps, styles, contents, deviation_offset):
    """Return the loss whose targets are the geometric means of content and style values of the same rank."""
    losses = []
    for p, s, c in zip(maps, styles, contents):
        matched = np.empty(s.size)
        matched[np.argsort(c, axis=None)] = np.sort(s, axis=None)
        losses.append(np.square(p.ravel() - np.sqrt(matched * c.ravel())).mean() / (s.var() + deviation_offset ** 2))
    return np.mean(losses)


def test_rank_matched_targets_lie_between_the_content_and_the_style():
    pictures, styles = (images[..., :1] for images in pair())
    contents = np.abs(np.roll(pictures, 1, axis=1) - styles)
    actual = run(lambda *maps: pixel_losses.rank_matched_loss(*maps, 3.), pictures, styles, contents)
    assert actual == pytest.approx(expected_rank_matched_loss(pictures, styles, contents, 3), rel=1e-4)
    # By hand: the contents 10, 90 and 40 are matched with the styles 40, 90 and 50, whose variance is 466.7; so the
    # targets are √400, √8100 and √2000.
    maps = [np.float32(values).reshape(1, 1, 3, 1) for values in ((20, 80, 5 ** 0.5 * 20), (50, 40, 90), (10, 90, 40))]
    actual = run(lambda *maps: pixel_losses.rank_matched_loss(*maps, 0.), *maps)
    assert actual == pytest.approx(10 ** 2 / 3 / (1400 / 3), rel=1e-5)


def expected_contrast(image, side):
    """Return the local contrast [H', W', 1] of an image [H, W, 3] that is first downsampled by `side`."""
    luminance = block_means(image, side) @ [[0.2125], [0.7154], [0.0721]]
    low_pass_band = reference.pool(reference.pool(luminance, np.mean), np.mean)
    high_pass_band = luminance - reference.upsample_low_pass(low_pass_band)
    windows = np.lib.stride_tricks.sliding_window_view(high_pass_band[..., 0], (8, 8))[::4, ::4]
    return np.sqrt(np.square(windows).mean(axis=(2, 3)) + 1)[..., None]


def test_local_contrast_matches_numpy():
    pictures, _ = pair()
    for side, shape in ((2, (2, 5, 3, 1)), (4, (2, 2, 1, 1))):
        actual = run(lambda images: pixel_losses.local_contrast(images, side), pictures)
        assert actual.shape == shape and actual.std() > 0.3
        np.testing.assert_allclose(actual, [expected_contrast(picture, side) for picture in pictures], rtol=1e-3)


def test_the_tone_loss_is_relative_to_the_variance_of_the_content():
    pictures, contents = pair()
    expected = 0.
    for picture, content in zip(pictures, contents):
        means, targets = (np.lib.stride_tricks.sliding_window_view(np.float64(image), (16, 16), axis=(0, 1))[::8, ::8]
                          .mean(axis=(3, 4)).reshape(-1, 3) for image in (picture, content))
        expected += np.square(means - targets).sum(axis=1).mean() / (targets.var(axis=0).sum() + 100) / 2
    assert run(pixel_losses.tone_loss, pictures, contents) == pytest.approx(expected, rel=1e-4)
    assert expected > 1
    # Stripes whose mean within a square is zero make no difference.
    striped = contents + np.float32(30) * np.float32([1, -1] * 16)[:, None]
    assert run(pixel_losses.tone_loss, striped, contents) == pytest.approx(0, abs=1e-6)


def block_means(image, side):
    """Return the means of blocks of side×side pixels of [H, W, C]."""
    H, W, C = image.shape
    return np.float64(image).reshape(H // side, side, W // side, side, C).mean(axis=(1, 3))


def high_pass(image, side):
    """Subtract the block means of an image [H, W, 3], which SciPy upsamples linearly between the block centers."""
    H, W, _ = image.shape
    means = block_means(image, side)
    coordinates = np.meshgrid(*((np.arange(n) + 0.5) / side - 0.5 for n in (H, W)), indexing='ij')
    return image - np.stack([scipy.ndimage.map_coordinates(means[..., c], coordinates, order=1, mode='nearest')
                             for c in range(3)], axis=2)


def test_every_pixel_loss_matches_its_definition():
    (pictures, styles), (contents, _) = pair(), pair(seed=1)
    actual = run(pixel_losses.compute_losses, pictures, styles, contents)
    assert actual.keys() == pixel_losses.LOSS_WEIGHTS.keys()
    expected = {'color_loss': 0., 'detail_loss': 0.}
    for picture, style in zip(pictures, styles):
        expected['color_loss'] += expected_moments_loss(picture, style, 10) / 2
        for side in (4, 2):
            expected['detail_loss'] += expected_moments_loss(high_pass(picture, side), high_pass(style, side), 5) / 2
    for name, value in expected.items():
        assert actual[name] == pytest.approx(value, rel=1e-3), name
    assert actual['contrast_loss'] == pytest.approx(sum(
        expected_rank_matched_loss(*(np.stack([expected_contrast(image, side) for image in images])
                                     for images in (pictures, styles, contents)), 3)
        for side in (2, 4)), rel=2e-3)
    assert actual['tone_loss'] == pytest.approx(run(pixel_losses.tone_loss, pictures, contents))
