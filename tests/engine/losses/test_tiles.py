"""Losses and gradients in tiles, compared with those of the whole picture in float64 and in float32."""

import dataclasses

import numpy as np
import pytest

import load_vgg
import recipes
from common.tf1 import tf
from engine.losses import guidance, statistics, tiles
from engine.losses.objective import Images, content_weights
from tests.factories import he_weights

HEIGHT, WIDTH, TILE = 43, 59, 16  # odd sides, more than one tile in both directions, and smaller tiles at the edges
RECIPE = dataclasses.replace(recipes.MODERN_1_0, stages=(), content_layers=('conv4_2', 'conv2_1'),
                             content_layer_weights=(1., 0.5))
MASK = np.float32(np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)) > 45)


@pytest.fixture(scope='module')
def pictures():
    """Return a content image, two styles of other sizes, and a generated image, float32 [1, H, W, 3], 0 to 255."""
    rng = np.random.default_rng(0)
    return [np.float32(rng.uniform(low, 255, (1, height, width, 3)))
            for low, height, width in ((0, HEIGHT, WIDTH), (0, 60, 70), (90, 50, 93), (40, HEIGHT, WIDTH))]


def whole(recipe, images, image, weights, masks, dtype):
    """Compute content loss, style loss and gradient of the whole picture in one graph of the given dtype."""
    weights = weights._replace(convolutions={name: (W.astype(dtype), b.astype(dtype))
                                             for name, (W, b) in weights.convolutions.items()})
    statistic, mean = statistics.statistic_of(recipe), weights.mean_pixels.astype(dtype)
    with tf.Graph().as_default(), tf.Session() as sess:
        pixels = tf.placeholder(dtype, [1, None, None, 3])
        vgg = load_vgg.VGG(pixels, weights, recipe.pooling, recipe.padding)
        vgg.load(recipe.content_layers + recipe.style_layers)
        F, G = vgg.features(recipe.content_layers), vgg.features(recipe.style_layers)
        P = sess.run(F, {pixels: images.content - mean})
        values = [[statistic.compute(A) for A in sess.run(G, {pixels: style - mean})] for style in images.styles]
        if masks:
            targets = [statistics.GuidedStyleTarget(statistic, layer, [region[i].astype(dtype) for region in masks])
                       for i, layer in enumerate(zip(*values))]
        else:
            targets = [statistics.StyleTarget(statistic, statistic.blend(layer, images.style_weights))
                       for layer in zip(*values)]
        style = tf.cast(sum(w * target.loss(g) for w, target, g in zip(recipe.style_layer_weights, targets, G)), dtype)
        content = sum(w * recipe.content_factor(p.size) * tf.reduce_sum(tf.square(f - p))
                      for w, p, f in zip(content_weights(recipe, P), P, F))
        gradient, = tf.gradients(recipe.content_weight * content + recipe.style_weight * style, pixels)
        return sess.run([content, style, gradient], {pixels: image - mean})


@pytest.mark.parametrize('settings, n_styles, masked', [
    ({}, 1, False), ({}, 2, False), ({}, 2, True), ({}, 1, True), ({'padding': 'zeros'}, 1, False),
    ({'pooling': 'max'}, 1, False), ({'style_statistic': 'gram_share'}, 1, False),
    ({'style_statistic': 'gram', 'style_weight': 1e-6}, 2, True), ({'style_statistic': 'wasserstein'}, 1, False),
    *(({'content_layers': ('conv1_1',), 'style_layers': (layer,), 'content_layer_weights': (1.,),
        'style_layer_weights': (1.,)}, 1, False) for layer in ('conv2_1', 'conv4_1')),
])
def test_gradient_of_tiles_is_as_accurate_as_that_of_the_whole_picture(pictures, settings, n_styles, masked):
    recipe, weights = dataclasses.replace(RECIPE, **settings), he_weights()
    content, *styles, image = pictures
    styles = styles[:n_styles]
    images = Images(content, content, styles, [1 / n_styles] * n_styles, MASK if masked else None)
    masks = [guidance.guidance_masks(mask, recipe.style_layers, recipe.pooling)
             for mask in (MASK, 1 - MASK)[:n_styles]] if masked else []
    exact = whole(recipe, images, image, weights, masks, np.float64)
    once = whole(recipe, images, image, weights, masks, np.float32)
    features = tiles.TiledFeatures(weights, recipe, TILE, max(1, len(masks)))
    centered, *centered_styles, centered_image = (x - weights.mean_pixels for x in (content, *styles, image))
    tiled = tiles.TiledObjective(recipe, features, statistics.statistic_of(recipe), centered, centered_styles,
                                 images.style_weights, masks)
    found = tiled.evaluate(centered_image)
    np.testing.assert_allclose(found[:2], exact[:2], rtol=1e-4)
    scale = np.abs(exact[2]).max()
    error, whole_error = (np.abs(gradient - exact[2]).max() / scale for gradient in (found[2], once[2]))
    assert error < 2 * whole_error + 1e-6, (error, whole_error)


def test_gradient_reaches_the_variable_through_the_losses(pictures):
    weights, (content, style, _, image) = he_weights(), pictures
    centered, centered_style, start = (x - weights.mean_pixels for x in (content, style, image))
    tiled = tiles.TiledObjective(RECIPE, tiles.TiledFeatures(weights, RECIPE, TILE),
                                 statistics.statistic_of(RECIPE), centered, [centered_style], [1.])
    with tf.Graph().as_default(), tf.Session() as sess:
        variable = tf.get_variable('image', initializer=start)
        vgg = load_vgg.VGG(variable, weights, RECIPE.pooling, RECIPE.padding)
        losses = tiled.losses(vgg)
        total = RECIPE.content_weight * losses[0] + RECIPE.style_weight * losses[1]
        sess.run(tf.global_variables_initializer())
        *found, found_gradient = sess.run([*losses, *tf.gradients(total, variable)])
    content_loss, style_loss, gradient = tiled.evaluate(start)
    np.testing.assert_allclose(found, [content_loss, style_loss], rtol=1e-5)
    np.testing.assert_allclose(found_gradient, gradient, rtol=0, atol=1e-5 * np.abs(gradient).max())


@pytest.mark.parametrize('layer, margin, stride', [
    ('conv1_1', 1, 1), ('conv1_2', 2, 1), ('conv2_1', 4, 2), ('conv3_1', 12, 4), ('conv4_1', 32, 8),
    ('conv5_1', 80, 16),
])
def test_margin_is_the_receptive_field_rounded_up_to_the_stride(layer, margin, stride):
    assert tiles.margin_and_stride([layer]) == (margin, stride)
    first, weights = margin + stride, he_weights()
    with tf.Graph().as_default(), tf.Session() as sess:
        pixels = tf.constant(np.float32(np.random.default_rng(0).uniform(-100, 100, (1, *[2 * first + stride] * 2, 3))))
        vgg = load_vgg.VGG(pixels, weights)
        vgg.load([layer])
        position = first // stride
        before_relu = getattr(vgg, layer + load_vgg.BEFORE_RELU)[0, position, position]
        rows = np.flatnonzero(np.abs(sess.run(tf.gradients(before_relu, pixels)[0])).sum(axis=(0, 2, 3)))
    reach = first - rows.min()
    assert reach == rows.max() - (first + stride - 1) and margin - stride < reach <= margin


@pytest.mark.parametrize('height, width, side', [(75, 91, 32), (1, 1, 16), (16, 200, 50), (33, 16, 16)])
def test_tiles_cover_every_pixel_once(height, width, side):
    count = np.zeros((height, width), int)
    for tile in tiles.tiles_of(height, width, side, ['conv4_1']):
        count[tile.rows, tile.columns] += 1
        assert tile.margin_rows.start % 8 == tile.rows.start % 8 == tile.margin_columns.start % 8 == 0
    assert (count == 1).all()
