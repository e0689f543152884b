"""The bundled VGG-19 weights: their shapes and levels, and their losses in every file layout against NumPy."""

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
from tests.test_load_vgg import write_beta16, write_current

CHANNELS = {1: 64, 2: 128, 3: 256, 4: 512, 5: 512}


@pytest.fixture(scope='module')
def weights():
    """Read the bundled weights."""
    return load_vgg.read_weights(paths.WEIGHTS)


def test_the_file_has_all_sixteen_convolutions_in_256_levels_per_layer(weights):
    assert list(weights.convolutions) == list(vgg_layers.CONVOLUTIONS)
    n_inputs = 3
    for name, (W, b) in weights.convolutions.items():
        n_outputs = CHANNELS[int(name[4])]
        assert W.shape == (3, 3, n_inputs, n_outputs) and b.shape == (n_outputs,) and W.dtype == b.dtype == np.float32
        assert np.isfinite(W).all() and np.isfinite(b).all() and len(np.unique(W)) == 256
        n_inputs = n_outputs
    np.testing.assert_allclose(weights.mean_pixels, [123.68, 116.779, 103.939])
    assert weights.description.startswith('VGG-19 (Simonyan and Zisserman 2014, CC BY 4.0), 16 convolutions')
    assert paths.WEIGHTS.stat().st_size < 19e6 and load_vgg.find_weights() == paths.WEIGHTS


def test_filters_of_the_first_layer_are_smooth_and_ignore_gray(weights):
    """The first layer detects edges and colors: its filters are smooth and ignore constant gray, unlike noise."""
    W, _ = weights.convolutions['conv1_1']
    correlations = [np.corrcoef(W[:2, :, :, i].ravel(), W[1:, :, :, i].ravel())[0, 1] for i in range(64)]
    gray_response = np.abs(W.sum(axis=(0, 1, 2))) / np.abs(W).sum(axis=(0, 1, 2))
    assert np.mean(correlations) > 0.2 and np.median(gray_response) < 0.1


@pytest.fixture(scope='module')
def expected(weights):
    """Return the losses of CS20's starting image at 53×40 pixels, computed by NumPy."""
    machine = StyleTransfer(CONTENT, STYLE, 53, 40, precision='float32', name='r')
    with machine.graph.as_default():
        machine.create_input()
    return reference.cs20(machine.centered_start[0], machine.centered_content[0], machine.centered_style[0], weights)


@pytest.mark.parametrize('write', [None, write_current, write_beta16], ids=['bundled', 'today', 'beta16'])
def test_losses_agree_with_numpy_in_every_file_layout(weights, expected, workdir, write):
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


def test_gram_matrices_of_saturated_noise_stay_within_float32(workdir):
    """Saturated noise has the largest features; losses and gradient are finite, Gram matrices near those in float64."""
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
    # float32 holds 3·10³⁸. A picture of 3840×2880 has 256 times as many positions; 64·64 is a safety factor.
    assert 64 * 64 * np.square(256 * np.float64(G)).max() < 3e38


def test_forty_iterations_lower_the_style_loss_by_nine_tenths(workdir):
    machine = StyleTransfer(CONTENT, STYLE, 80, 60, name='r')
    machine.build()
    machine.train(40)
    with open('checkpoints/r/losses.csv', newline='') as file:
        style_loss = [float(row['style_loss']) for row in csv.DictReader(file)]
    assert style_loss[40] <= 0.1 * style_loss[0]


def test_lbfgs_needs_two_fifths_of_adams_evaluations(workdir):
    """Both start from the same image, with recipe `cs20`.

    Losses differ by a tenth between processors, so the test allows two fifths of the evaluations instead of a third.
    """
    for name, settings, n_iters in (('adam', {}, 75), ('lbfgs', {'optimizer': 'lbfgs'}, 30)):
        recipe = dataclasses.replace(recipes.CS20, log_schedule=((math.inf, 1000),), **settings)
        machine = StyleTransfer(CONTENT, STYLE, 48, 36, recipe=recipe, precision='float32', name=name)
        machine.build()
        machine.train(n_iters)
    adam, lbfgs = (np.loadtxt(f'checkpoints/{name}/losses.csv', delimiter=',', skiprows=1)
                   for name in ('adam', 'lbfgs'))
    assert_close(lbfgs[0], adam[0], scale=np.maximum(adam[0], 1e-30), rel=1e-5)  # The graphs differ.
    assert lbfgs[30, 3] <= adam[75, 3]
