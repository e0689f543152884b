"""The losses of pixels against NumPy and SciPy."""

import numpy as np
import pytest
import scipy

from common.tf1 import tf
from fast.training import pixel_losses
from tests import reference


def pair(seed=0):
    """Pictures and styles [2, 48, 32, 3] of 0-255, of different colors."""
    rng = np.random.default_rng(seed)
    return [np.float32(rng.uniform(0, 255, (2, 48, 32, 3)) @ rng.uniform(0, 0.3, (2, 1, 3, 3))) for _ in range(2)]


def run(function, *arrays):
    with tf.Graph().as_default(), tf.Session() as sess:
        return sess.run(function(*map(tf.constant, arrays)))


def squares_in_deviations(picture, style, faint):
    """What the loss of moments is, of one [H, W, 3], by a matrix root of SciPy."""
    pixels = [np.float64(image).reshape(-1, 3) for image in (picture, style)]
    (mean, covariance), (wanted, own) = ((x.mean(axis=0), np.cov(x.T, bias=True)) for x in pixels)
    whitening = np.linalg.inv(scipy.linalg.sqrtm(own + faint ** 2 * np.eye(3)))
    return (np.square(whitening @ (covariance - own) @ whitening).sum() + np.square(whitening @ (mean - wanted)).sum())


def test_moments_are_counted_in_the_styles_deviations():
    pictures, styles = pair()
    found = run(lambda *both: pixel_losses.moments_loss(*both, 10.), pictures, styles)
    assert found == pytest.approx(np.mean([squares_in_deviations(*one, 10) for one in zip(pictures, styles)]), rel=1e-5)
    own, dull = (run(lambda *both: pixel_losses.moments_loss(*both, 10.), x, styles)
                 for x in (styles[:, ::-1], styles * np.float32([1, 0, 1])))
    assert own == pytest.approx(0, abs=1e-6) and dull > 0.3


def apart(maps, styles, contents, faint):
    """What the loss of values in the contents' order is."""
    losses = []
    for p, s, c in zip(maps, styles, contents):
        placed = np.empty(s.size)
        placed[np.argsort(c, axis=None)] = np.sort(s, axis=None)
        losses.append(np.square(p.ravel() - np.sqrt(placed * c.ravel())).mean() / (s.var() + faint ** 2))
    return np.mean(losses)


def test_values_are_wanted_between_the_contents_and_those_of_the_style_in_their_order():
    pictures, styles = (images[..., :1] for images in pair())
    contents = np.abs(np.roll(pictures, 1, axis=1) - styles)
    found = run(lambda *maps: pixel_losses.rank_matched_loss(*maps, 3.), pictures, styles, contents)
    assert found == pytest.approx(apart(pictures, styles, contents, 3), rel=1e-4)
    # by hand: with 10, 90 and 40 go 40, 90 and 50, whose variance is 466.7; √400, √8100 and √2000 are wanted
    three = [np.float32(values).reshape(1, 1, 3, 1) for values in ((20, 80, 5 ** 0.5 * 20), (50, 40, 90), (10, 90, 40))]
    found = run(lambda *maps: pixel_losses.rank_matched_loss(*maps, 0.), *three)
    assert found == pytest.approx(10 ** 2 / 3 / (1400 / 3), rel=1e-5)


def contrast(image, side):
    light = squares(image, side) @ [[0.2125], [0.7154], [0.0721]]
    details = light - reference.large(reference.pool(reference.pool(light, np.mean), np.mean))
    windows = np.lib.stride_tricks.sliding_window_view(details[..., 0], (8, 8))[::4, ::4]
    return np.sqrt(np.square(windows).mean(axis=(2, 3)) + 1)[..., None]


def test_contrast_is_that_of_numpy():
    pictures, _ = pair()
    for side, shape in ((2, (2, 5, 3, 1)), (4, (2, 2, 1, 1))):
        found = run(lambda images: pixel_losses.local_contrast(images, side), pictures)
        assert found.shape == shape and found.std() > 0.3
        np.testing.assert_allclose(found, [contrast(picture, side) for picture in pictures], rtol=1e-3)


def test_tones_are_apart_by_a_share_of_the_contents_own():
    pictures, contents = pair()
    expected = 0.
    for picture, content in zip(pictures, contents):
        means, wanted = (np.lib.stride_tricks.sliding_window_view(np.float64(image), (16, 16), axis=(0, 1))[::8, ::8]
                         .mean(axis=(3, 4)).reshape(-1, 3) for image in (picture, content))
        expected += np.square(means - wanted).sum(axis=1).mean() / (wanted.var(axis=0).sum() + 100) / 2
    assert run(pixel_losses.tone_loss, pictures, contents) == pytest.approx(expected, rel=1e-4)
    assert expected > 1
    # strokes within a square are no matter
    striped = contents + np.float32(30) * np.float32([1, -1] * 16)[:, None]
    assert run(pixel_losses.tone_loss, striped, contents) == pytest.approx(0, abs=1e-6)


def squares(image, side):
    """The means of side×side pixels."""
    H, W, C = image.shape
    return np.float64(image).reshape(H // side, side, W // side, side, C).mean(axis=(1, 3))


def rest(image, side):
    """What means of squares leave of an image, by SciPy's linear interpolation between their middles."""
    H, W, _ = image.shape
    means = squares(image, side)
    places = np.meshgrid(*((np.arange(n) + 0.5) / side - 0.5 for n in (H, W)), indexing='ij')
    return image - np.stack([scipy.ndimage.map_coordinates(means[..., c], places, order=1, mode='nearest')
                             for c in range(3)], axis=2)


def test_each_loss_is_of_what_its_name_says():
    (pictures, styles), (contents, _) = pair(), pair(seed=1)
    found = run(pixel_losses.losses, pictures, styles, contents)
    assert found.keys() == pixel_losses.LOSS_WEIGHTS.keys()
    expected = {'color_loss': 0., 'detail_loss': 0.}
    for picture, style in zip(pictures, styles):
        expected['color_loss'] += squares_in_deviations(picture, style, 10) / 2
        for side in (4, 2):
            expected['detail_loss'] += squares_in_deviations(rest(picture, side), rest(style, side), 5) / 2
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-3), name
    assert found['contrast_loss'] == pytest.approx(sum(
        apart(*(np.stack([contrast(image, side) for image in images]) for images in (pictures, styles, contents)), 3)
        for side in (2, 4)), rel=2e-3)
    assert found['tone_loss'] == pytest.approx(run(pixel_losses.tone_loss, pictures, contents))
