"""The file that every first user's picture is made with."""

import csv
import dataclasses
import math

import numpy as np
import pytest

import load_vgg
import recipes
import utils
import tensorflow.compat.v1 as tf
from style_transfer import CONTENT, STYLE, StyleTransfer, main

PATH = load_vgg.ROOT / 'weights' / 'vgg19-thin.mat'
CHANNELS = {1: 16, 2: 32, 3: 64, 4: 128, 5: 128}


@pytest.fixture(scope='module')
def weights():
    return load_vgg.read_weights(PATH)


@pytest.fixture(scope='module')
def features(weights):
    """The activations of every layer on the two held-out photos: photo -> layer -> [H, W, N]."""
    with tf.Graph().as_default(), tf.Session() as sess:
        image = tf.placeholder(tf.float32, [1, 192, 256, 3])
        vgg = load_vgg.VGG(image - weights.mean_pixels, weights)
        vgg.load()
        layers = {name: getattr(vgg, name)[0] for name in weights.convolutions}
        return {photo: sess.run(layers, {image: utils.get_resized_image(load_vgg.ROOT / 'content' / photo, 256, 192)})
                for photo in ('chelsea.png', 'coffee.png')}


def test_all_sixteen_convolutions_at_a_quarter_of_the_channels(weights):
    assert list(weights.convolutions) == list(load_vgg.CONVOLUTIONS)
    n = 3
    for name, (W, b) in weights.convolutions.items():
        out = CHANNELS[int(name[4])]
        assert W.shape == (3, 3, n, out) and b.shape == (out,) and W.dtype == b.dtype == np.float32
        assert np.isfinite(W).all() and np.isfinite(b).all()
        n = out
    np.testing.assert_allclose(weights.mean_pixels, [123.68, 116.779, 103.939])
    assert 'distilled quarter-width VGG-19' in weights.description
    assert PATH.stat().st_size <= 6e6


def test_no_channel_is_dead(features):
    for name in features['coffee.png']:
        alive = [features[photo][name].max(axis=(0, 1)) > 0 for photo in features]
        assert np.logical_or(*alive).all(), name


def test_every_layer_is_scaled_as_the_readme_says(features):
    for name in features['coffee.png']:
        wanted = 13.5 if name == 'conv1_1' else 4.5
        assert 2 / 3 < np.mean([features[photo][name].mean() for photo in features]) / wanted < 1.5, name


def test_sixty_iterations_lower_the_style_loss_by_nine_tenths(workdir):
    machine = StyleTransfer(CONTENT, STYLE, 160, 120, vgg=PATH, name='r')
    machine.build()
    machine.train(60)
    with open('checkpoints/r/losses.csv', newline='') as file:
        style_loss = [float(row['style_loss']) for row in csv.DictReader(file)]
    assert style_loss[60] <= 0.1 * style_loss[0]


def test_lbfgs_needs_a_fifth_of_adams_evaluations(workdir):
    """The CS20 recipe from the same start: Adam's loss after 300 iterations."""
    for name, settings, n in (('adam', {}, 300), ('lbfgs', {'optimizer': 'lbfgs'}, 60)):
        recipe = dataclasses.replace(recipes.CS20, cadence=((math.inf, 1000),), **settings)
        machine = StyleTransfer(CONTENT, STYLE, 160, 120, recipe, PATH, name=name)
        machine.build()
        machine.train(n)
    adam, lbfgs = (np.loadtxt(f'checkpoints/{name}/losses.csv', delimiter=',', skiprows=1) for name in ('adam', 'lbfgs'))
    assert (adam[0] == lbfgs[0]).all()
    assert lbfgs[60, 3] <= adam[300, 3]


@pytest.mark.parametrize('recipe, line', [('stylenet', '--tv-weight 0.5 in place of 100'),
                                          ('lbfgs', '--style-weight 10000 in place of 300')])
def test_what_the_weights_change_in_a_recipe_is_said(workdir, capsys, recipe, line):
    assert main(['--width', '48', '--recipe', recipe, '--iterations', '2', '--vgg', str(PATH)]) == 0
    assert line in capsys.readouterr().out
