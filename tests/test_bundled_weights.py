"""The network that ships: all of VGG-19, its losses against NumPy, in every layout; Gram matrices within float32."""

import csv
import dataclasses
import math

import numpy as np
import pytest

import load_vgg
import recipes
import utils
from common import paths, vgg_layers
from common.paths import CONTENT, STYLE
from common.tf1 import tf
from style_transfer import StyleTransfer
from tests import reference
from tests.assertions import assert_close
from tests.test_load_vgg import write_beta16, write_today

CHANNELS = {1: 64, 2: 128, 3: 256, 4: 512, 5: 512}


@pytest.fixture(scope='module')
def weights():
    return load_vgg.read_weights(paths.WEIGHTS)


def test_all_sixteen_convolutions_at_full_width_in_256_levels_a_layer(weights):
    assert list(weights.convolutions) == list(vgg_layers.CONVOLUTIONS)
    n = 3
    for name, (W, b) in weights.convolutions.items():
        out = CHANNELS[int(name[4])]
        assert W.shape == (3, 3, n, out) and b.shape == (out,) and W.dtype == b.dtype == np.float32
        assert np.isfinite(W).all() and np.isfinite(b).all() and len(np.unique(W)) == 256
        n = out
    np.testing.assert_allclose(weights.mean_pixels, [123.68, 116.779, 103.939])
    assert weights.description.startswith('VGG-19 (Simonyan and Zisserman 2014, CC BY 4.0), 16 convolutions')
    assert paths.WEIGHTS.stat().st_size < 19e6 and load_vgg.find_weights() == paths.WEIGHTS


def test_it_has_learned_what_filters_of_the_first_layer_learn(weights):
    """Edges and colors: most filters are smooth, and few let a constant gray pass, as no noise would."""
    W, _ = weights.convolutions['conv1_1']
    neighbors = [np.corrcoef(W[:2, :, :, i].ravel(), W[1:, :, :, i].ravel())[0, 1] for i in range(64)]
    to_gray = np.abs(W.sum(axis=(0, 1, 2))) / np.abs(W).sum(axis=(0, 1, 2))
    assert np.mean(neighbors) > 0.2 and np.median(to_gray) < 0.1


@pytest.fixture(scope='module')
def expected(weights):
    """The losses of CS20's start at 53×40, by NumPy."""
    machine = StyleTransfer(CONTENT, STYLE, 53, 40, precision='float32', name='r')
    with machine.graph.as_default():
        machine.create_input()
    return reference.cs20(machine.centered_start[0], machine.centered_content[0], machine.centered_style[0], weights)


@pytest.mark.parametrize('write', [None, write_today, write_beta16], ids=['bundled', 'today', 'beta16'])
def test_losses_are_numpys_in_every_layout(weights, expected, workdir, write):
    if write:
        write('vgg.mat', weights)
    machine = StyleTransfer(CONTENT, STYLE, 53, 40, vgg='vgg.mat' if write else None, precision='float32', name='r')
    with machine.graph.as_default():
        machine.create_input()
        machine.load_vgg()
        machine.losses()
        with tf.Session() as sess:
            sess.run(machine.assign_img, {machine.new_img: machine.centered_start})
            losses = list(sess.run(machine.loss_terms).values())
    np.testing.assert_allclose(losses, expected, rtol=1e-4)


def test_gram_matrices_of_saturated_noise_are_within_float32(workdir):
    """The largest features a picture can have; losses and gradient are finite, and Gram matrices near float64's."""
    noise = np.random.default_rng(0).choice([0., 255.], (180, 240, 3))
    utils.save_image('noise.png', noise)
    utils.save_image('black.png', np.zeros((8, 8, 3)))
    machine = StyleTransfer('noise.png', 'black.png', 240, 180, precision='float32', name='r')
    with machine.graph.as_default():
        machine.create_input()
        machine.load_vgg()
        machine.losses()
        gradient, = tf.gradients(machine.total_loss, machine.input_img)
        F = machine.vgg.conv3_1
        G = machine._gram_matrix(F, 256, 60 * 45)
        with machine.open_session() as sess:
            sess.run(machine.assign_img, {machine.new_img: machine.centered_content})
            losses, gradient, F, G = sess.run([list(machine.loss_terms.values()), gradient, F, G])
    assert np.isfinite(losses).all() and np.isfinite(gradient).all() and np.abs(gradient).max() > 0
    np.testing.assert_allclose(G[0], reference.gram(F[0]), rtol=1e-3)
    # float32 holds 3·10³⁸; this is for a picture of 3840×2880, which has 256 times the positions, and 64·64 to spare
    assert 64 * 64 * np.square(256 * np.float64(G)).max() < 3e38


def test_forty_iterations_lower_the_style_loss_by_nine_tenths(workdir):
    machine = StyleTransfer(CONTENT, STYLE, 80, 60, name='r')
    machine.build()
    machine.train(40)
    with open('checkpoints/r/losses.csv', newline='') as file:
        style_loss = [float(row['style_loss']) for row in csv.DictReader(file)]
    assert style_loss[40] <= 0.1 * style_loss[0]


def test_lbfgs_needs_two_fifths_of_adams_evaluations(workdir):
    """By the recipe `cs20` from the same start; the losses of processors differ by a tenth, hence not a third."""
    for name, settings, n in (('adam', {}, 75), ('lbfgs', {'optimizer': 'lbfgs'}, 30)):
        recipe = dataclasses.replace(recipes.CS20, log_schedule=((math.inf, 1000),), **settings)
        machine = StyleTransfer(CONTENT, STYLE, 48, 36, recipe=recipe, precision='float32', name=name)
        machine.build()
        machine.train(n)
    adam, lbfgs = (np.loadtxt(f'checkpoints/{name}/losses.csv', delimiter=',', skiprows=1)
                   for name in ('adam', 'lbfgs'))
    assert_close(lbfgs[0], adam[0], scale=np.maximum(adam[0], 1e-30), rel=1e-5)  # of another graph
    assert lbfgs[30, 3] <= adam[75, 3]
