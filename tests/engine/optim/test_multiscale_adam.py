"""Adam at several scales: a step against NumPy, and exact resume."""

import dataclasses

import numpy as np

import recipes
import utils
from common.tf1 import tf
from engine.optim import averaging
from engine.optim.multiscale_adam import SCALES
from style_transfer import StyleTransfer

RECIPE = dataclasses.replace(recipes.CS20, optimizer='multiscale-adam', learning_rate=3., iterations=30)


def enlarging_matrix(small, large):
    """Return the matrix [large, small] of linear interpolation between the centers of pixels."""
    centers = ((np.arange(large) + 0.5) * small / large - 0.5).clip(0, small - 1)
    return np.maximum(0, 1 - np.abs(centers[:, None] - np.arange(small)))


def test_a_step_is_the_sum_of_adams_first_steps_at_all_scales(images, tiny_vgg, workdir):
    machine = StyleTransfer(*images, 48, 36, recipe=RECIPE, vgg=tiny_vgg, name='r', precision='float32')
    with machine.graph.as_default(), tf.Session() as sess:
        machine.create_input()
        machine.load_vgg()
        machine.losses()
        gradient, = tf.gradients(machine.total_loss, [machine.input_img])
        machine.optimize()
        machine.init = tf.global_variables_initializer()
        machine.initialize(sess)
        gradient, before = (array[0] for array in sess.run([gradient, machine.input_img]))
        sess.run(machine.opt)
        moved = sess.run(machine.input_img)[0] - before
        moves = [variable for variable in tf.global_variables() if variable.op.name.split('/')[-1][:5] == 'move_']
        assert len(moves) == len(SCALES) and not any(move.any() for move in sess.run(moves))
    expected, is_clear = np.zeros_like(moved), np.ones(moved.shape, bool)
    for scale in SCALES:
        rows, columns = enlarging_matrix(-(-36 // scale), 36), enlarging_matrix(-(-48 // scale), 48)
        small = np.einsum('hi,wj,hwc->ijc', rows, columns, gradient.astype(float))
        # Adam's first step is the learning rate against the sign, except for gradients near its epsilon.
        expected -= 3 * np.einsum('hi,wj,ijc->hwc', rows, columns, np.sign(small))
        is_unclear = np.abs(small) < 1e-3 * np.abs(small).max()
        is_clear &= np.einsum('hi,wj,ijc->hwc', rows, columns, is_unclear) == 0
    assert is_clear.mean() > 0.5
    np.testing.assert_allclose(moved[is_clear], expected[is_clear], rtol=0, atol=1e-2)


def test_an_interrupted_run_goes_on_with_the_same_bits(images, tiny_vgg, workdir):
    recipe = dataclasses.replace(RECIPE, averaging=0.6, pixels='0-255', log_schedule=((np.inf, 10),))
    pictures = []
    for name, targets in (('straight', [30]), ('resumed', [20, 30])):
        for n_iters in targets:
            machine = StyleTransfer(*images, 48, 36, recipe=recipe, vgg=tiny_vgg, name=name, precision='float32')
            machine.build()
            machine.train(n_iters)
        pictures.append(utils.read_image(f'outputs/{name}/final.png'))
    assert (pictures[0] == pictures[1]).all()
    average = tf.train.load_checkpoint('checkpoints/resumed/model-30').get_tensor(averaging.displayed_variable(recipe))
    assert (utils.to_uint8((average + machine.weights.mean_pixels)[0]) == pictures[1]).all()
