"""The grader: wrong solutions by name, right ones however they are written, code that means harm.

That the real solution passes is in test_make_starter.py.
"""

import concurrent.futures
import json
import os
from pathlib import Path

import pytest

from engine import shipped
from assignment import check, make_starter, probe

SECONDS = 60

# name: (file, what the real solution says, what the wrong one says, step, item, what the grader must say)
WRONG = {
    'no ReLU': ('load_vgg.py', 'out = tf.nn.relu(conv2d)', 'out = conv2d', 1, 'conv2d_relu', 'is the ReLU missing?'),
    'no bias': ('load_vgg.py', "tf.nn.bias_add(tf.nn.conv2d(prev_layer, W, strides=[1, 1, 1, 1], padding=padding), b)",
                'tf.nn.conv2d(prev_layer, W, strides=[1, 1, 1, 1], padding=padding)',
                1, 'conv2d_relu', 'is the bias missing?'),
    'weights are variables': ('load_vgg.py', "W = tf.constant(W, name='weights')",
                              "W = tf.get_variable('weights', initializer=W)",
                              1, 'conv2d_relu', 'trainable, so that the optimizer would change VGG'),
    'valid padding': ('load_vgg.py', "strides=[1, 1, 1, 1], padding=padding), b)",
                      "strides=[1, 1, 1, 1], padding='VALID'), b)",
                      1, 'conv2d_relu', "padding='SAME' keeps height and width"),
    'stride 2': ('load_vgg.py', 'strides=[1, 1, 1, 1]', 'strides=[1, 2, 2, 1]', 1, 'conv2d_relu', 'the stride is 1'),
    'transposed filters': ('load_vgg.py', "W = tf.constant(W, name='weights')",
                           "W = tf.constant(W.swapaxes(0, 1), name='weights')",
                           1, 'conv2d_relu', 'height and width of the filters are exchanged'),
    'another layer': ('load_vgg.py', 'W, b = self._weights(layer_idx, layer_name)',
                      'W, b = self._weights(layer_idx + 1, layer_name)',
                      1, 'conv2d_relu', 'layer 1 is relu1_1'),
    'maximum': ('load_vgg.py', 'tf.nn.avg_pool2d', 'tf.nn.max_pool2d', 1, 'avgpool', 'the paper has the average'),
    'pooling stride 1': ('load_vgg.py', "tf.nn.avg_pool2d(prev_layer, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1]",
                         "tf.nn.avg_pool2d(prev_layer, ksize=[1, 2, 2, 1], strides=[1, 1, 1, 1]",
                         1, 'avgpool', 'the stride is 2'),
    'pooling loses the edge': ('load_vgg.py',
                               "tf.nn.avg_pool2d(prev_layer, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding='SAME')",
                               "tf.nn.avg_pool2d(prev_layer, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], "
                               "padding='VALID')",
                               1, 'avgpool', 'keeps the odd row and column'),
    "the paper's 1/2": ('style_transfer.py', 'self.recipe.content_factor(s)', '0.5', 2, '_content_loss',
                        "did you use the paper's 1/2 instead of 1/(4s)?"),
    'mean squared error': ('style_transfer.py', 'self.recipe.content_factor(s)', '(1 / s)', 2, '_content_loss',
                           "4× the handout's: 1/s, a mean squared error, instead of 1/(4s)?"),
    'differences not squared': ('style_transfer.py', 'tf.square(F - P)', '(F - P)', 2, '_content_loss',
                                'are not squared'),
    'F + P': ('style_transfer.py', 'tf.square(F - P)', 'tf.square(F + P)', 2, '_content_loss',
              'where F − P was expected'),
    'transposed Gram': ('style_transfer.py', 'tf.matmul(F, F, transpose_a=True)', 'tf.matmul(F, F, transpose_b=True)',
                        2, '_gram_matrix', 'F Fᵀ, [M, M]'),
    'scrambled Gram': ('style_transfer.py',
                       'F = tf.reshape(F, [-1, M, N])\n        return tf.matmul(F, F, transpose_a=True)',
                       'F = tf.reshape(F, [-1, N, M])\n        return tf.matmul(F, F, transpose_b=True)',
                       2, '_gram_matrix', 'mixes channels and positions'),
    'normalised Gram': ('style_transfer.py', 'return tf.matmul(F, F, transpose_a=True)',
                        'return tf.matmul(F, F, transpose_a=True) / (N * M)', 2, '_gram_matrix', 'divided by N·M'),
    'the 4 of the style': ('style_transfer.py', 'self.recipe.style_factor(N, M)', '1 / (N**2 * M**2)',
                           2, '_single_style_loss', 'the 4 of 1/(4N²M²) is missing'),
    'N and M not squared': ('style_transfer.py', 'self.recipe.style_factor(N, M)', '1 / (4 * N * M)',
                            2, '_single_style_loss', '1/(4NM) instead of 1/(4N²M²)'),
    'no style coefficient': ('style_transfer.py', 'self.recipe.style_factor(N, M)', '1', 2, '_single_style_loss',
                             'the coefficient 1/(4N²M²) is missing'),
    'unweighted layers': ('style_transfer.py', 'sum(w * e for w, e in', 'sum(e for w, e in', 2, '_style_loss',
                          'the layers are not weighted'),
    'reversed weights': ('style_transfer.py', 'zip(self.recipe.style_layer_weights, E)',
                         'zip(self.recipe.style_layer_weights[::-1], E)',
                         2, '_style_loss', 'the weights are in reverse'),
    'the first layer': ('style_transfer.py', 'return sum(w * e for w, e in zip(self.recipe.style_layer_weights, E))',
                        'for w, e in zip(self.recipe.style_layer_weights, E):\n            return w * e',
                        2, '_style_loss', 'does return stand in the loop?'),
    'α and β exchanged': ('style_transfer.py',
                          '(recipe.content_weight, self.content_loss), (recipe.style_weight, self.style_loss)',
                          '(recipe.style_weight, self.content_loss), (recipe.content_weight, self.style_loss)',
                          2, 'losses', 'α and β are exchanged'),
    'no α and β': ('style_transfer.py', 'sum(weight * loss for weight, loss in', 'sum(loss for weight, loss in',
                   2, 'losses', 'α and β are missing'),
    'no global step': ('style_transfer.py', 'minimize(self.total_loss, global_step=self.gstep)',
                       'minimize(self.total_loss)',
                       3, 'optimize', 'the global step is 0'),
    'maximised': ('style_transfer.py', 'minimize(self.total_loss,', 'minimize(-self.total_loss,', 3, 'optimize',
                  'the loss grows'),
    'default learning rate': ('style_transfer.py', 'AdamOptimizer(recipe.learning_rate, recipe.beta1, recipe.beta2)',
                              'AdamOptimizer()', 3, 'optimize', 'default learning rate'),
    'gradient descent': ('style_transfer.py', 'AdamOptimizer(recipe.learning_rate, recipe.beta1, recipe.beta2)',
                         'GradientDescentOptimizer(recipe.learning_rate)', 3, 'optimize', 'plain gradient descent'),
    'content loss alone': ('style_transfer.py', 'minimize(self.total_loss,', 'minimize(self.content_loss,',
                           3, 'optimize', 'minimises the content loss alone'),
    'a scalar is missing': ('style_transfer.py',
                            'for name, loss in self.loss_terms.items():\n                tf.summary',
                            'for name, loss in list(self.loss_terms.items())[:2]:\n                tf.summary',
                            4, 'create_summary', 'no scalar total_loss'),
    'uncentred': ('style_transfer.py', 'return (self.shown_img + self.vgg.mean_pixels)[0]', 'return self.input_img[0]',
                  4, 'create_summary', 'the picture is still centred'),
    'wraps around': ('style_transfer.py', 'tf.saturate_cast(tf.round(self._image()), tf.uint8)',
                     'tf.cast(tf.cast(tf.round(self._image()), tf.int32), tf.uint8)',
                     4, 'create_summary', 'wrap around'),
    'a batch of pictures': ('style_transfer.py', 'return (self.shown_img + self.vgg.mean_pixels)[0]',
                            'return self.shown_img + self.vgg.mean_pixels',
                            4, 'create_summary', 'leave the batch axis out'),
    'not initialised': ('style_transfer.py', '        sess.run(self.init)\n', '', 5, 'train',
                        'a variable has no value yet'),
    'from zeros': ('style_transfer.py', '        sess.run(self.assign_img, {self.new_img: self.centred_start})\n', '',
                   5, 'train', 'training begins from zeros'),
    'no restore': ('style_transfer.py', 'initial_step = step = run.restore(self.saver, sess)',
                   'initial_step = step = 0', 5, 'train', 'begins again from the starting image'),
    'always initialised': ('style_transfer.py', 'if not initial_step:\n                self._initialise(sess)',
                           'self._initialise(sess)', 5, 'train', 'begins again from the starting image'),
    'the optimizer is not run': ('style_transfer.py', 'losses, _ = sess.run([self.loss_terms, self.opt])',
                                 'losses = sess.run(self.loss_terms)', 5, 'train', 'fetch self.opt as well'),
    'two steps': ('style_transfer.py', 'losses, _ = sess.run([self.loss_terms, self.opt])',
                  'losses, _ = sess.run([self.loss_terms, self.opt])\n                sess.run(self.opt)',
                  5, 'train', 'two steps'),
    'an op in the loop': ('style_transfer.py', 'losses, _ = sess.run([self.loss_terms, self.opt])',
                          'losses, _ = sess.run([self.loss_terms, tf.group(self.opt)])',
                          5, 'train', 'an op is added while training'),
    'no checkpoint': ('style_transfer.py', '                            run.save(self.saver, sess, step, losses)\n', '',
                      5, 'train', 'no checkpoint has come'),
    'nothing logged': ('style_transfer.py', '                            run.log(writer, step, summary, jpeg)\n',
                       '                            pass\n', 5, 'train', 'no summary has come'),
}


def changed(folder, *changes):
    """Fill a student's folder with the real solution, changed: (file, text to replace, by what)."""
    for name in make_starter.TODO:
        text = (shipped.ROOT / name).read_text()
        for file, old, new in changes:
            if file == name:
                assert old in text, old
                text = text.replace(old, new, 1)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def submission(tmp_path):
    """A function (file -> text to replace, by what) that makes a student's folder of the real solution, changed."""
    def make(*changes):
        (tmp_path / 'hw').mkdir()
        return changed(tmp_path / 'hw', *changes)
    return make


@pytest.fixture(scope='module')
def graded(tmp_path_factory):
    """A function (cases, step of each case, seconds) that grades solutions, some at a time: name -> its items."""
    def grade(cases, seconds):
        folders = [changed(tmp_path_factory.mktemp('hw'), *changes) for changes, _ in cases.values()]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            return dict(zip(cases, pool.map(check.check_step, folders, [step for _, step in cases.values()],
                                            [seconds] * len(cases))))
    return grade


def together():
    """The names in WRONG, those of one step and different items together: half as many submissions as cases."""
    groups = []
    for name, (*_, step, item, _) in WRONG.items():
        for group in groups:
            if all(WRONG[other][3] == step and WRONG[other][4] != item for other in group):
                group.append(name)
                break
        else:
            groups.append([name])
    return groups


@pytest.fixture(scope='module')
def wrong_ones(graded):
    """name -> (grades of a submission with that mistake, the items of all mistakes in it)."""
    groups = {tuple(group): ([WRONG[name][:3] for name in group], WRONG[group[0]][3]) for group in together()}
    return {name: (grades, {WRONG[other][4] for other in group})
            for group, grades in graded(groups, SECONDS).items() for name in group}


@pytest.mark.parametrize('name', WRONG)
def test_a_wrong_solution_is_told_what_is_wrong(wrong_ones, name):
    *_, item, says = WRONG[name]
    grades, wrong_items = wrong_ones[name]
    assert grades[item] and says in grades[item]
    assert {other for other, wrong in grades.items() if wrong} == wrong_items  # the others of the step do not suffer


def test_every_mistake_has_words_of_its_own():
    said = [(step, item, says) for *_, step, item, says in WRONG.values()]
    assert len(WRONG) >= 20 and len(set(said)) >= len(said) - 1  # two roads to the same restart


# ----------------------------------------------------------------------------------------- right, and written otherwise

def in_regions(name, *bodies):
    """The file with its regions' code replaced, in order, by the bodies; None keeps one."""
    lines = (shipped.ROOT / name).read_text().splitlines()
    regions = make_starter.regions('\n'.join(lines))
    assert len(bodies) == len(regions)
    for region, body in reversed(list(zip(regions, bodies))):
        if body is not None:
            lines[region.first:region.last + 1] = [region.indent + line for line in body.strip('\n').splitlines()]
    return '\n'.join(lines) + '\n'


PLAIN = {  # as a student who has read the handout might
    'load_vgg.py': ["""
W, b = self._weights(layer_idx, layer_name)
with tf.name_scope(layer_name):
    pre = tf.nn.conv2d(prev_layer, filters=W.copy(), strides=1, padding='SAME') + b
setattr(self, layer_name + BEFORE_RELU, pre)
setattr(self, layer_name, tf.maximum(pre, 0.))
""", """
out = tf.nn.pool(prev_layer, [2, 2], 'AVG', strides=[2, 2], padding='SAME')
setattr(self, layer_name, out)
""", """
setattr(self, layer_name, tf.nn.max_pool(prev_layer, 2, 2, 'SAME'))
"""],
    'style_transfer.py': ["""
return tf.nn.l2_loss(F - P) * 2 / (4 * P.size)
""", """
rows = tf.reshape(F, (M, N))
return tf.matmul(tf.transpose(rows), rows)
""", """
N = a.shape[3]
M = a.shape[1] * a.shape[2]
return tf.reduce_sum((self._gram_matrix(g, N, M) - self._gram_matrix(a, N, M)) ** 2) / (4. * N * N * M * M)
""", """
loss = 0
for i in range(len(A)):
    loss += self.recipe.style_layer_weights[i] * self._single_style_loss(A[i], \
getattr(self.vgg, self.recipe.style_layers[i]))
return loss
""", """
self.total_loss = recipe.content_weight * self.content_loss + recipe.style_weight * self.style_loss
""", """
adam = tf.train.AdamOptimizer(learning_rate=recipe.learning_rate)
self.opt = adam.apply_gradients(adam.compute_gradients(self.total_loss, [self.input_img]), global_step=self.gstep)
""", """
self.summary_op = tf.summary.merge([tf.summary.scalar(n, x) for n, x in self.loss_terms.items()])
self.picture = tf.cast(tf.clip_by_value(tf.round(self._image()), 0, 255), tf.uint8)
""", """
return tf.squeeze(self.input_img + self.vgg.mean_pixels, [0])
""", None, """
checkpoint = tf.train.latest_checkpoint(str(run.checkpoints))
initial_step = step = 0
if checkpoint is None:
    self._initialise(sess)
else:
    self.saver.restore(sess, checkpoint)
    initial_step = step = int(checkpoint.split('-')[-1])
""", """
writer = tf.summary.FileWriter(str(run.graphs), self.graph)
""", """
self.saver.save(sess, str(run.checkpoints / 'model'), global_step=step)
""", """
losses = sess.run(self.loss_terms)
return losses, *sess.run((self.summary_op, self.picture)), sess.run(self.jpeg)
""", """
sess.run(self.init)
sess.run(self.input_img.initializer)
self.assign_img.op.run({self.new_img: self.centred_start}, sess)
""", """
_, losses = sess.run((self.opt, self.loss_terms))
"""]}


def test_a_solution_in_other_words_passes(tmp_path):
    for name, bodies in PLAIN.items():
        (tmp_path / name).write_text(in_regions(name, *bodies))
    grades, = check.check([tmp_path])
    assert check.passed(grades) == [1, 2, 3, 4, 5], check.report(grades)


def test_a_solution_in_numpy_where_it_may_be_passes(tmp_path):
    """Gram matrices of arrays by NumPy, one that keeps the batch axis; helpers of the student's own."""
    bodies = list(PLAIN['style_transfer.py'])
    bodies[0] = "return sum([tf.reduce_sum((F - P) * (F - P))]) * 0.25 / float(np.prod(P.shape))"
    bodies[1] = """
if isinstance(F, np.ndarray):
    return np.tensordot(F, F, axes=([0, 1, 2], [0, 1, 2]))[None]
return tf.einsum('bhwi,bhwj->bij', F, F)
"""
    bodies[5] = ("self.opt = tf.train.AdamOptimizer(recipe.learning_rate).minimize(self.total_loss, self.gstep, "
                 "[self.input_img])")
    (tmp_path / 'load_vgg.py').write_text(in_regions('load_vgg.py', *PLAIN['load_vgg.py']))
    (tmp_path / 'style_transfer.py').write_text(in_regions('style_transfer.py', *bodies))
    for step in (2, 3):
        assert set(check.check_step(tmp_path, step).values()) == {None}


# ---------------------------------------------------------------------------------------------------------- ill will

CONTENT = '        s = np.prod(P.shape[1:])\n'
MISCHIEF = {
    'a loop without an end': ('while True: pass', 'not done after 12 s'),
    'the program is left': ("import sys; sys.exit(0)", 'leave sys.exit and exit out'),
    'the process is left': ('import os; os._exit(0)', 'there is no answer'),
    'the process is killed': ('import os, signal; os.kill(os.getpid(), signal.SIGKILL)', 'PermissionError'),
    'much is printed': ("print('passed\\n' * 10_000_000); return F", 'expected'),
    'NumPy is another': ('np.abs = np.max = np.allclose = lambda *args, **kwargs: 0; np.isfinite = lambda x: True; '
                         'return F * 0', 'expected'),
    'the grader is another': ('import json, inputs; json.dumps = lambda *args: "{}"; inputs.of_step = None; return F',
                              'expected'),
    'NaN': ('return tf.constant(float("nan"))', 'got nan'),
    'text': ('return "passed"', 'cannot be compared'),
    'an object': ('return object()', 'TypeError'),
    'too large an answer': ('return tf.zeros([3000, 3000])', 'there is no answer'),
}


@pytest.fixture(scope='module')
def mischievous(graded):
    return graded({name: ([('style_transfer.py', CONTENT, f'        {code}\n{CONTENT}')], 2)
                   for name, (code, _) in MISCHIEF.items()}, 12)


@pytest.mark.parametrize('name', MISCHIEF)
def test_mischief_does_not_pass(mischievous, name):
    wrong = mischievous[name]['_content_loss']
    assert wrong and MISCHIEF[name][1] in wrong


def test_nothing_is_written_outside(graded, tmp_path):
    target = tmp_path / 'outside'
    target.write_text('mine')
    codes = (f"open({str(target)!r}, 'w')", f"import os; os.remove({str(target)!r})",
                 f"import shutil; shutil.rmtree({str(tmp_path)!r})",
                 f"import subprocess; subprocess.run(['rm', {str(target)!r}])",
                 f"import pathlib; pathlib.Path({str(target)!r}).write_text('yours')")
    grades = graded({code: ([('style_transfer.py', CONTENT, f'        {code}\n{CONTENT}')], 2)
                     for code in codes}, SECONDS)
    assert all('PermissionError' in items['_content_loss'] for items in grades.values())
    assert target.read_text() == 'mine' and len(grades) == 5


def test_code_that_does_not_load_fails_everywhere_and_says_where(submission):
    grades = check.check_step(submission(('style_transfer.py', 'class StyleTransfer:', 'class StyleTransfer')), 2)
    assert all('SyntaxError' in wrong for wrong in grades.values())
    assert 'style_transfer.py' in grades['losses']


# ---------------------------------------------------------------------------------------------------------- the command

def test_a_class_is_graded_into_one_table(submission, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(check.probe, 'ITEMS', {step: probe.ITEMS[step] for step in (2, 3)})  # the others are as slow
    group = tmp_path / 'class'
    group.mkdir()
    submission().rename(group / 'ada')
    submission(('style_transfer.py', CONTENT, f'        while True: pass\n{CONTENT}')).rename(group / 'bob')
    (group / 'cyd').mkdir()
    assert check.main([str(group), '--seconds', '12']) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ['ada', 'bob', 'cyd']
    assert lines[1].count('✓') == 2
    assert 'step 2, _content_loss: not done after 12 s' in lines[2] and lines[2].count('✓') == 1
    assert 'style_transfer.py is missing' in lines[3]
    assert check.main([str(group / 'ada'), '--json']) == 0
    assert json.loads(capsys.readouterr().out)['ada']['2']['_content_loss'] is None


@pytest.mark.parametrize('flags, says', [(['nowhere'], 'no such folder'), (['empty'], 'has neither style_transfer.py'),
                                         (['empty', '--jobs', '0'], '--jobs')])
def test_bad_input_ends_in_one_line(workdir, capsys, flags, says):
    Path('empty').mkdir()
    assert check.main(flags) == 2
    err = capsys.readouterr().err
    assert says in err and err.count('\n') == 1
