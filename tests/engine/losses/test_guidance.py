"""Spatial guidance, blends of several styles, and compositing with the photo, against NumPy."""

import imageio.v3 as iio
import numpy as np
import pytest

import recipes
from common.errors import UserError
from common.tf1 import tf
from engine.losses import guidance, objective
from engine.losses.statistics import STATISTICS, GuidedStyleTarget, Moments
from tests import reference


@pytest.mark.parametrize('pooling, kind', [('avg', np.mean), ('max', np.max)])
def test_masks_are_pooled_like_the_feature_maps(pooling, kind):
    mask = np.random.default_rng(0).uniform(0, 1, (13, 22)).astype(np.float32)
    expected = [mask[..., None]]
    for _ in range(4):
        expected.append(reference.pool(expected[-1], kind))
    pooled_masks = guidance.guidance_masks(mask, ('conv1_2', 'conv4_2_pre', 'conv5_1', 'conv2_1'), pooling)
    for pooled, block in zip(pooled_masks, (0, 3, 4, 1), strict=True):
        np.testing.assert_allclose(pooled[0], expected[block], rtol=1e-5)


def repeated(F, mask):
    """Return features [1, H, W, N] with each position repeated as often as the mask says, [Σm, 1, N]."""
    return np.repeat(F.reshape(-1, F.shape[-1]), mask.ravel().astype(int), axis=0)[:, None]


@pytest.mark.parametrize('name', STATISTICS)
def test_the_statistics_of_a_region_are_those_of_its_positions(name):
    """A mask of whole numbers repeats positions, and each region counts by its share of the picture."""
    rng = np.random.default_rng(3)
    F, first, second = (np.maximum(rng.normal(1, 2, (1, H, W, 4)) @ rng.normal(size=(4, 4)), 0).astype(np.float32)
                        for H, W in ((6, 7), (5, 5), (8, 4)))
    masks = [rng.integers(0, 4, (1, 6, 7, 1)).astype(np.float32) for _ in range(2)]
    statistic = STATISTICS[name](recipes.CS20)

    def distance(g, a):
        if name != 'gram':
            return reference.STYLE_DISTANCES[name](g, a)
        G, A = (reference.gram(x) / x[..., 0].size for x in (g, a))
        return ((G - A) ** 2).sum() / (4 * len(G) ** 2)
    expected = sum(mask.mean() * distance(repeated(F, mask), a[0]) for mask, a in zip(masks, (first, second)))
    target = GuidedStyleTarget(statistic, [statistic.compute(a) for a in (first, second)], masks)
    with tf.Graph().as_default(), tf.Session() as sess:
        assert sess.run(target.loss(tf.constant(F))) == pytest.approx(expected, rel=2e-4)
        # An empty region has no loss and causes no division by zero.
        empty = GuidedStyleTarget(statistic, target.values, [masks[0], 0 * masks[1]])
        assert sess.run(empty.loss(tf.constant(F))) == pytest.approx(
            masks[0].mean() * distance(repeated(F, masks[0]), first[0]), rel=2e-4)


@pytest.mark.parametrize('name', STATISTICS)
def test_styles_are_blended_by_averaging_their_statistics(name):
    rng = np.random.default_rng(4)
    first, second = (rng.uniform(0, 3, (1, H, W, 4)).astype(np.float32) for H, W in ((6, 7), (5, 9)))
    statistic = STATISTICS[name](recipes.CS20)
    blend = statistic.blend([statistic.compute(first), statistic.compute(second)], [0.75, 0.25])
    flat = [np.float64(x).reshape(-1, 4) for x in (first, second)]
    products = 0.75 * flat[0].T @ flat[0] / 42 + 0.25 * flat[1].T @ flat[1] / 45
    if name == 'gram':
        np.testing.assert_allclose(blend.matrix[0] / blend.positions, products, rtol=1e-5)
        return
    for value, one, other in zip(blend, *map(statistic.compute, (first, second))):
        np.testing.assert_allclose(value, 0.75 * one + 0.25 * other, rtol=1e-6)
    if name == 'gram_share':
        np.testing.assert_allclose(blend[0][0], products, rtol=1e-5)
    elif isinstance(blend, Moments):
        np.testing.assert_allclose(blend.mean[0], 0.75 * flat[0].mean(axis=0) + 0.25 * flat[1].mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(blend.covariance[0], 0.75 * np.cov(flat[0].T, bias=True)
                                   + 0.25 * np.cov(flat[1].T, bias=True), rtol=1e-4, atol=1e-4)


def test_compositing_keeps_the_photos_colors_and_its_masked_part():
    rng = np.random.default_rng(5)
    image, photo = rng.uniform(-100, 150, (2, 1, 5, 6, 3)).astype(np.float32)
    mask = rng.uniform(0, 1, (5, 6))
    luminance = ((image - photo) * [0.2125, 0.7154, 0.0721]).sum(axis=-1, keepdims=True)
    with tf.Graph().as_default(), tf.Session() as sess:
        def run(*settings):
            return sess.run(guidance.composite_with_photo(tf.constant(image), photo, *settings))
        np.testing.assert_allclose(run(True), photo + luminance, atol=1e-3)
        np.testing.assert_allclose(run(True, mask), photo + mask[..., None] * luminance, atol=1e-3)
        np.testing.assert_allclose(run(False, mask), mask[..., None] * image + (1 - mask[..., None]) * photo, atol=1e-3)


def test_masks_are_resized_and_other_aspect_ratios_are_refused(images, tmp_path):
    left_half = np.zeros((100, 150), np.uint8)  # The content has 48×32 pixels.
    left_half[:, :75] = 255
    iio.imwrite(tmp_path / 'mask.png', left_half)
    mask = guidance.read_mask(tmp_path / 'mask.png', images[0], 24, 16)
    assert mask.shape == (16, 24) and (mask[:, :9] == 1).all() and (mask[:, 15:] == 0).all()
    iio.imwrite(tmp_path / 'tall.png', left_half[:, :60])
    with pytest.raises(UserError, match=r'60×100 has a different aspect ratio than .*content.png, 48×32'):
        guidance.read_mask(tmp_path / 'tall.png', images[0], 24, 16)
    mask = guidance.read_mask(tmp_path / 'tall.png', images[0], 18, 30)  # It has the shape of this picture.
    assert mask.shape == (30, 18) and (mask == 1).all()


def test_a_mask_that_is_black_everywhere_is_refused(images, tmp_path):
    iio.imwrite(tmp_path / 'mask.png', np.zeros((32, 48), np.uint8))
    with pytest.raises(UserError, match='is black everywhere'):
        objective.read_images(images[0], [images[1]], tmp_path / 'mask.png', None, 48, 32, recipes.CS20)
    assert not objective.read_images(*images[:1], list(images), tmp_path / 'mask.png', None, 48, 32,
                                     recipes.CS20).mask.any()


@pytest.mark.parametrize('count, weights, mask, message', [
    (2, [1.], None, '1 for 2 styles'), (1, [1.], None, 'does nothing with one style'),
    (2, [1., 2.], 'mask.png', 'does nothing with --mask'), (2, [0., 0.], None, '0 0: must be 0 or more, and not all 0'),
    (2, [float('nan'), 1.], None, 'must be'), (2, [-1., 2.], None, 'must be'),
    (3, None, 'mask.png', 'one or two styles, but there are 3')])
def test_weights_and_masks_that_do_not_fit_the_styles_are_refused(count, weights, mask, message):
    with pytest.raises(UserError, match=message):
        guidance.blend_weights(['a'] * count, weights, mask)


def test_blend_weights_add_up_to_1():
    assert guidance.blend_weights('ab', [3, 1], None) == [0.75, 0.25] and guidance.blend_weights('ab', None, None) == [
        0.5,
        0.5,
    ]
    assert guidance.blend_weights([], None, None) == []  # Pictures without a style have no weights.
