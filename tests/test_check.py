"""The grader: wrong solutions by name, right ones however they are written, code that means harm."""

import json
import secrets
from pathlib import Path

import pytest

import load_vgg
from assignment import check, inputs, make_starter, probe

SECONDS = 60

# name: (file, what the real solution says, what the wrong one says, step, item, what the grader must say)
WRONG = {
    'no ReLU': ('load_vgg.py', 'out = tf.nn.relu(conv2d)', 'out = conv2d', 1, 'conv2d_relu', 'is the ReLU missing?'),
    'no bias': ('load_vgg.py', "tf.nn.bias_add(tf.nn.conv2d(prev_layer, W, strides=[1, 1, 1, 1], padding='SAME'), b)",
                "tf.nn.conv2d(prev_layer, W, strides=[1, 1, 1, 1], padding='SAME')", 1, 'conv2d_relu', 'is the bias missing?'),
    'weights are variables': ('load_vgg.py', "W = tf.constant(W, name='weights')", "W = tf.get_variable('weights', initializer=W)",
                              1, 'conv2d_relu', 'trainable, so that the optimizer would change VGG'),
    'valid padding': ('load_vgg.py', "strides=[1, 1, 1, 1], padding='SAME'), b)", "strides=[1, 1, 1, 1], padding='VALID'), b)",
                      1, 'conv2d_relu', "padding='SAME' keeps height and width"),
    'stride 2': ('load_vgg.py', 'strides=[1, 1, 1, 1]', 'strides=[1, 2, 2, 1]', 1, 'conv2d_relu', 'the stride is 1'),
    'transposed filters': ('load_vgg.py', "W = tf.constant(W, name='weights')", "W = tf.constant(W.swapaxes(0, 1), name='weights')",
                           1, 'conv2d_relu', 'height and width of the filters are exchanged'),
    'another layer': ('load_vgg.py', 'W, b = self._weights(layer_idx, layer_name)', 'W, b = self._weights(layer_idx + 1, layer_name)',
                      1, 'conv2d_relu', 'layer 1 is relu1_1'),
    'maximum': ('load_vgg.py', 'tf.nn.avg_pool2d', 'tf.nn.max_pool2d', 1, 'avgpool', 'the paper has the average'),
    'pooling stride 1': ('load_vgg.py', "tf.nn.avg_pool2d(prev_layer, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1]",
                         "tf.nn.avg_pool2d(prev_layer, ksize=[1, 2, 2, 1], strides=[1, 1, 1, 1]", 1, 'avgpool', 'the stride is 2'),
    'pooling loses the edge': ('load_vgg.py', "tf.nn.avg_pool2d(prev_layer, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding='SAME')",
                               "tf.nn.avg_pool2d(prev_layer, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding='VALID')",
                               1, 'avgpool', 'keeps the odd row and column'),
    "the paper's 1/2": ('style_transfer.py', 'self.recipe.content_factor(s)', '0.5', 2, '_content_loss',
                        "did you use the paper's 1/2 instead of 1/(4s)?"),
    'mean squared error': ('style_transfer.py', 'self.recipe.content_factor(s)', '(1 / s)', 2, '_content_loss',
                           "4× the handout's: 1/s, a mean squared error, instead of 1/(4s)?"),
    'differences not squared': ('style_transfer.py', 'tf.square(F - P)', '(F - P)', 2, '_content_loss', 'are not squared'),
    'F + P': ('style_transfer.py', 'tf.square(F - P)', 'tf.square(F + P)', 2, '_content_loss', 'where F − P was expected'),
    'transposed Gram': ('style_transfer.py', 'tf.matmul(F, F, transpose_a=True)', 'tf.matmul(F, F, transpose_b=True)',
                        2, '_gram_matrix', 'F Fᵀ, [M, M]'),
    'scrambled Gram': ('style_transfer.py', 'F = tf.reshape(F, [-1, M, N])\n        return tf.matmul(F, F, transpose_a=True)',
                       'F = tf.reshape(F, [-1, N, M])\n        return tf.matmul(F, F, transpose_b=True)', 2, '_gram_matrix',
                       'mixes channels and positions'),
    'normalised Gram': ('style_transfer.py', 'return tf.matmul(F, F, transpose_a=True)',
                        'return tf.matmul(F, F, transpose_a=True) / (N * M)', 2, '_gram_matrix', 'divided by N·M'),
    'the 4 of the style': ('style_transfer.py', 'self.recipe.style_factor(N, M)', '1 / (N**2 * M**2)', 2, '_single_style_loss',
                           'the 4 of 1/(4N²M²) is missing'),
    'N and M not squared': ('style_transfer.py', 'self.recipe.style_factor(N, M)', '1 / (4 * N * M)', 2, '_single_style_loss',
                            '1/(4NM) instead of 1/(4N²M²)'),
    'no style coefficient': ('style_transfer.py', 'self.recipe.style_factor(N, M)', '1', 2, '_single_style_loss',
                             'the coefficient 1/(4N²M²) is missing'),
    'unweighted layers': ('style_transfer.py', 'sum(w * e for w, e in', 'sum(e for w, e in', 2, '_style_loss', 'the layers are not weighted'),
    'reversed weights': ('style_transfer.py', 'zip(self.recipe.style_layer_weights, E)', 'zip(self.recipe.style_layer_weights[::-1], E)',
                         2, '_style_loss', 'the weights are in reverse'),
    'the first layer': ('style_transfer.py', 'return sum(w * e for w, e in zip(self.recipe.style_layer_weights, E))',
                        'for w, e in zip(self.recipe.style_layer_weights, E):\n            return w * e', 2, '_style_loss',
                        'does return stand in the loop?'),
    'α and β exchanged': ('style_transfer.py', '(recipe.content_weight, self.content_loss), (recipe.style_weight, self.style_loss)',
                          '(recipe.style_weight, self.content_loss), (recipe.content_weight, self.style_loss)', 2, 'losses',
                          'α and β are exchanged'),
    'no α and β': ('style_transfer.py', 'sum(weight * loss for weight, loss in', 'sum(loss for weight, loss in', 2, 'losses',
                   'α and β are missing'),
    'no global step': ('style_transfer.py', 'minimize(self.total_loss, global_step=self.gstep)', 'minimize(self.total_loss)',
                       3, 'optimize', 'the global step is 0'),
    'maximised': ('style_transfer.py', 'minimize(self.total_loss,', 'minimize(-self.total_loss,', 3, 'optimize', 'the loss grows'),
    'default learning rate': ('style_transfer.py', 'AdamOptimizer(recipe.learning_rate, recipe.beta1, recipe.beta2)', 'AdamOptimizer()',
                              3, 'optimize', 'default learning rate'),
    'gradient descent': ('style_transfer.py', 'AdamOptimizer(recipe.learning_rate, recipe.beta1, recipe.beta2)',
                         'GradientDescentOptimizer(recipe.learning_rate)', 3, 'optimize', 'plain gradient descent'),
    'content loss alone': ('style_transfer.py', 'minimize(self.total_loss,', 'minimize(self.content_loss,', 3, 'optimize',
                           'minimises the content loss alone'),
    'a scalar is missing': ('style_transfer.py', 'for name in self.run.columns:\n                tf.summary',
                            'for name in self.run.columns[:2]:\n                tf.summary', 4, 'create_summary', 'no scalar total_loss'),
    'uncentred': ('style_transfer.py', 'return (self.input_img + self.vgg.mean_pixels)[0]', 'return self.input_img[0]', 4,
                  'create_summary', 'the picture is still centred'),
    'wraps around': ('style_transfer.py', 'tf.saturate_cast(tf.round(self._image()), tf.uint8)',
                     'tf.cast(tf.cast(tf.round(self._image()), tf.int32), tf.uint8)', 4, 'create_summary', 'wrap around'),
    'a batch of pictures': ('style_transfer.py', 'return (self.input_img + self.vgg.mean_pixels)[0]',
                            'return self.input_img + self.vgg.mean_pixels', 4, 'create_summary', 'leave the batch axis out'),
    'not initialised': ('style_transfer.py', '        sess.run(self.init)\n', '', 5, 'train', 'a variable has no value yet'),
    'from zeros': ('style_transfer.py', '        sess.run(self.assign_img, {self.new_img: self.initial_img})\n', '', 5, 'train',
                   'training begins from zeros'),
    'no restore': ('style_transfer.py', 'initial_step = step = run.restore(self.saver, sess)', 'initial_step = step = 0', 5, 'train',
                   'begins again from the starting image'),
    'always initialised': ('style_transfer.py', 'if not initial_step:\n                self._initialise(sess)', 'self._initialise(sess)',
                           5, 'train', 'begins again from the starting image'),
    'the optimizer is not run': ('style_transfer.py', 'losses, _ = sess.run([self.loss_terms, self.opt])',
                                 'losses = sess.run(self.loss_terms)', 5, 'train', 'fetch self.opt as well'),
    'two steps': ('style_transfer.py', 'losses, _ = sess.run([self.loss_terms, self.opt])',
                  'losses, _ = sess.run([self.loss_terms, self.opt])\n                sess.run(self.opt)', 5, 'train', 'two steps'),
    'an op in the loop': ('style_transfer.py', 'losses, _ = sess.run([self.loss_terms, self.opt])',
                          'losses, _ = sess.run([self.loss_terms, tf.group(self.opt)])', 5, 'train', 'an op is added while training'),
    'no checkpoint': ('style_transfer.py', '                        run.save(self.saver, sess, step, losses)\n', '', 5, 'train',
                      'no checkpoint has come'),
    'nothing logged': ('style_transfer.py', '                        run.log(writer, step, summary, jpeg)\n',
                       '                        pass\n', 5, 'train', 'no summary has come'),
}


@pytest.fixture
def submission(tmp_path):
    """A function (file -> text to replace, by what) that makes a student's folder of the real solution, changed."""
    def make(*changes):
        folder = tmp_path / 'hw'
        folder.mkdir()
        for name in make_starter.TODO:
            text = (load_vgg.ROOT / name).read_text()
            for file, old, new in changes:
                if file == name:
                    assert old in text, old
                    text = text.replace(old, new, 1)
            (folder / name).write_text(text)
        return folder
    return make


def grade(folder, step, seconds=SECONDS):
    """item -> None or what is wrong, of one step."""
    seed = secrets.randbits(32)
    answers, ended = check.run_step(folder, step, seed, seconds)
    given = inputs.of_step(step, seed)
    return {item: check.judged(step, item, answers.get(item), given, ended) for item in probe.ITEMS[step]}


@pytest.mark.parametrize('name', WRONG)
def test_a_wrong_solution_is_told_what_is_wrong(submission, name):
    file, old, new, step, item, says = WRONG[name]
    grades = grade(submission((file, old, new)), step)
    wrong = grades.pop(item)
    assert wrong and says in wrong
    assert not any(grades.values())  # the others of the step do not suffer


def test_every_mistake_has_words_of_its_own():
    said = [(step, item, says) for *_, step, item, says in WRONG.values()]
    assert len(WRONG) >= 20 and len(set(said)) >= len(said) - 1  # two roads to the same restart
