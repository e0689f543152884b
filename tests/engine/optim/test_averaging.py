"""Adam's iterates: their exponential moving average against NumPy, and clipping to the range of pixels."""

import dataclasses

import numpy as np
import pytest

import load_vgg
import recipes
import utils
from common.tf1 import tf
from engine.optim import averaging
from style_transfer import StyleTransfer


def test_the_average_weights_iterates_by_powers_of_the_decay():
    decay, iterates = 0.7, np.random.default_rng(0).normal(0, 50, (6, 2, 3)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as sess:
        image = tf.get_variable('image', [2, 3], initializer=tf.zeros_initializer())
        step = tf.get_variable('step', [], tf.int64, tf.zeros_initializer(), trainable=False)
        next_image = tf.placeholder(tf.float32, [2, 3])
        with tf.control_dependencies([image.assign(next_image)]):
            step_op = step.assign_add(1).op
        step_op, average = averaging.exponential_moving_average(step_op, image, step, decay)
        sess.run(tf.global_variables_initializer())
        for t in range(1, 7):
            sess.run(step_op, {next_image: iterates[t - 1]})
            weights = decay ** np.arange(t - 1, -1, -1.)
            expected = np.tensordot(weights, iterates[:t], 1) / weights.sum()
            np.testing.assert_allclose(sess.run(average), expected, rtol=1e-4, atol=1e-4)


def test_pictures_and_checkpoints_have_the_average_also_after_a_resume(images, tiny_vgg, workdir):
    recipe = dataclasses.replace(recipes.CS20, averaging=0.6, learning_rate=20., log_schedule=((np.inf, 1),))
    pictures = []
    for name, targets in (('straight', [30]), ('resumed', [20, 30])):
        for n_iters in targets:
            machine = StyleTransfer(*images, 48, 32, recipe=recipe, vgg=tiny_vgg, name=name, precision='float32')
            machine.build()
            machine.train(n_iters)
        checkpoint = tf.train.load_checkpoint(f'checkpoints/{name}/model-30')
        average = checkpoint.get_tensor(averaging.displayed_variable(recipe)) + machine.weights.mean_pixels
        pictures.append(np.float32(utils.read_image(f'outputs/{name}/final.png')))
        assert (utils.to_uint8(average[0]) == pictures[-1]).all()
        assert np.abs(checkpoint.get_tensor(averaging.IMAGE_NAME) + machine.weights.mean_pixels - average).max() > 1
    assert (pictures[0] == pictures[1]).all()


@pytest.mark.parametrize('pixels', ['free', '0-255'])
def test_pixels_stay_in_range_only_if_the_recipe_clips_them(images, tiny_vgg, workdir, pixels):
    recipe = dataclasses.replace(recipes.CS20, pixels=pixels, learning_rate=40., iterations=20)
    machine = StyleTransfer(*images, 48, 32, recipe=recipe, vgg=tiny_vgg, name='r', precision='float32')
    machine.build()
    machine.train(20)
    mean = load_vgg.read_weights(tiny_vgg).mean_pixels
    image = tf.train.load_checkpoint('checkpoints/r/model-20').get_tensor(averaging.IMAGE_NAME) + mean
    in_range = (-1e-3 <= image) & (image <= 255 + 1e-3)
    assert in_range.all() == (pixels == '0-255') and (np.abs(image - image.clip(1, 254)) > 0.5).any()
