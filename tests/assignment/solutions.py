"""Solutions to grade: the real one with one mistake each, a half-done one, and one that is written differently."""

from assignment import check, regions
from assignment.grader import processes, verdicts
from common import paths

CONTENT_START = '        s = np.prod(P.shape[1:])\n'  # the first line of _content_loss

# Name: (file, text of the real solution, text of the wrong one, step, item, text that the grader's message contains).
WRONG = {
    'no ReLU': ('load_vgg.py', 'out = tf.nn.relu(conv2d)', 'out = conv2d', 1, 'conv2d_relu', 'is the ReLU missing?'),
    'no bias': (
        'load_vgg.py',
        "tf.nn.bias_add(tf.nn.conv2d(prev_layer, W, strides=[1, 1, 1, 1], padding=padding), b)",
        'tf.nn.conv2d(prev_layer, W, strides=[1, 1, 1, 1], padding=padding)',
        1,
        'conv2d_relu',
        'is the bias missing?',
    ),
    'weights are variables': (
        'load_vgg.py',
        "W = tf.constant(W, name='weights')",
        "W = tf.get_variable('weights', initializer=W)",
        1,
        'conv2d_relu',
        'trainable, so that the optimizer would change VGG',
    ),
    'valid padding': (
        'load_vgg.py',
        "strides=[1, 1, 1, 1], padding=padding), b)",
        "strides=[1, 1, 1, 1], padding='VALID'), b)",
        1,
        'conv2d_relu',
        "padding='SAME' keeps height and width",
    ),
    'stride 2': ('load_vgg.py', 'strides=[1, 1, 1, 1]', 'strides=[1, 2, 2, 1]', 1, 'conv2d_relu', 'stride must be 1'),
    'transposed filters': (
        'load_vgg.py',
        "W = tf.constant(W, name='weights')",
        "W = tf.constant(W.swapaxes(0, 1), name='weights')",
        1,
        'conv2d_relu',
        'height and width of the filters are exchanged',
    ),
    'another layer': (
        'load_vgg.py',
        'W, b = self._weights(layer_idx, layer_name)',
        'W, b = self._weights(layer_idx + 1, layer_name)',
        1,
        'conv2d_relu',
        'layer 1 is relu1_1',
    ),
    'maximum': ('load_vgg.py', 'tf.nn.avg_pool2d', 'tf.nn.max_pool2d', 1, 'avgpool', 'the paper has the average'),
    'pooling stride 1': (
        'load_vgg.py',
        "tf.nn.avg_pool2d(prev_layer, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1]",
        "tf.nn.avg_pool2d(prev_layer, ksize=[1, 2, 2, 1], strides=[1, 1, 1, 1]",
        1,
        'avgpool',
        'the stride must be 2',
    ),
    'pooling loses the edge': (
        'load_vgg.py',
        "tf.nn.avg_pool2d(prev_layer, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding='SAME')",
        "tf.nn.avg_pool2d(prev_layer, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding='VALID')",
        1,
        'avgpool',
        'keeps the odd row and column',
    ),
    "the paper's 1/2": (
        'style_transfer.py',
        'self.recipe.content_factor(s)',
        '0.5',
        2,
        '_content_loss',
        "did you use the paper's 1/2 instead of 1/(4s)?",
    ),
    'mean squared error': (
        'style_transfer.py',
        'self.recipe.content_factor(s)',
        '(1 / s)',
        2,
        '_content_loss',
        "4× the handout's: 1/s, a mean squared error, instead of 1/(4s)?",
    ),
    'differences not squared': (
        'style_transfer.py',
        'tf.square(F - P)',
        '(F - P)',
        2,
        '_content_loss',
        'are not squared',
    ),
    'F + P': (
        'style_transfer.py',
        'tf.square(F - P)',
        'tf.square(F + P)',
        2,
        '_content_loss',
        'where F − P was expected',
    ),
    'transposed Gram': (
        'style_transfer.py',
        'tf.matmul(F, F, transpose_a=True)',
        'tf.matmul(F, F, transpose_b=True)',
        2,
        '_gram_matrix',
        'F Fᵀ, [M, M]',
    ),
    'scrambled Gram': (
        'style_transfer.py',
        'F = tf.reshape(F, [-1, M, N])\n        return tf.matmul(F, F, transpose_a=True)',
        'F = tf.reshape(F, [-1, N, M])\n        return tf.matmul(F, F, transpose_b=True)',
        2,
        '_gram_matrix',
        'mixes channels and positions',
    ),
    'normalized Gram': (
        'style_transfer.py',
        'return tf.matmul(F, F, transpose_a=True)',
        'return tf.matmul(F, F, transpose_a=True) / (N * M)',
        2,
        '_gram_matrix',
        'divided by N·M',
    ),
    'the 4 of the style': (
        'style_transfer.py',
        'self.recipe.style_factor(N, M)',
        '1 / (N**2 * M**2)',
        2,
        '_single_style_loss',
        'the 4 of 1/(4N²M²) is missing',
    ),
    'N and M not squared': (
        'style_transfer.py',
        'self.recipe.style_factor(N, M)',
        '1 / (4 * N * M)',
        2,
        '_single_style_loss',
        '1/(4NM) instead of 1/(4N²M²)',
    ),
    'no style coefficient': (
        'style_transfer.py',
        'self.recipe.style_factor(N, M)',
        '1',
        2,
        '_single_style_loss',
        'the coefficient 1/(4N²M²) is missing',
    ),
    'unweighted layers': (
        'style_transfer.py',
        'sum(w * e for w, e in',
        'sum(e for w, e in',
        2,
        '_style_loss',
        'the layers are not weighted',
    ),
    'reversed weights': (
        'style_transfer.py',
        'zip(self.recipe.style_layer_weights, E)',
        'zip(self.recipe.style_layer_weights[::-1], E)',
        2,
        '_style_loss',
        'the weights are in reverse',
    ),
    'the first layer': (
        'style_transfer.py',
        'return sum(w * e for w, e in zip(self.recipe.style_layer_weights, E))',
        'for w, e in zip(self.recipe.style_layer_weights, E):\n            return w * e',
        2,
        '_style_loss',
        'is return inside the loop?',
    ),
    'α and β exchanged': (
        'style_transfer.py',
        '(recipe.content_weight, self.content_loss), (recipe.style_weight, self.style_loss)',
        '(recipe.style_weight, self.content_loss), (recipe.content_weight, self.style_loss)',
        2,
        'losses',
        'α and β are exchanged',
    ),
    'no α and β': (
        'style_transfer.py',
        'sum(weight * loss for weight, loss in',
        'sum(loss for weight, loss in',
        2,
        'losses',
        'α and β are missing',
    ),
    'no global step': (
        'style_transfer.py',
        'minimize(self.total_loss, global_step=self.gstep)',
        'minimize(self.total_loss)',
        3,
        'optimize',
        'the global step is 0',
    ),
    'maximized': (
        'style_transfer.py',
        'minimize(self.total_loss,',
        'minimize(-self.total_loss,',
        3,
        'optimize',
        'the loss grows',
    ),
    'default learning rate': (
        'style_transfer.py',
        'AdamOptimizer(recipe.learning_rate, recipe.beta1, recipe.beta2)',
        'AdamOptimizer()',
        3,
        'optimize',
        'default learning rate',
    ),
    'gradient descent': (
        'style_transfer.py',
        'AdamOptimizer(recipe.learning_rate, recipe.beta1, recipe.beta2)',
        'GradientDescentOptimizer(recipe.learning_rate)',
        3,
        'optimize',
        'plain gradient descent',
    ),
    'content loss alone': (
        'style_transfer.py',
        'minimize(self.total_loss,',
        'minimize(self.content_loss,',
        3,
        'optimize',
        'minimizes the content loss alone',
    ),
    'a scalar is missing': (
        'style_transfer.py',
        'for name, loss in self.loss_terms.items():\n                tf.summary',
        'for name, loss in list(self.loss_terms.items())[:2]:\n                tf.summary',
        4,
        'create_summary',
        'no scalar total_loss',
    ),
    'uncentered': (
        'style_transfer.py',
        'return (self.displayed_img + self.vgg.mean_pixels)[0]',
        'return self.input_img[0]',
        4,
        'create_summary',
        'the picture is still centered',
    ),
    'wraps around': (
        'style_transfer.py',
        'tf.saturate_cast(tf.round(self._image()), tf.uint8)',
        'tf.cast(tf.cast(tf.round(self._image()), tf.int32), tf.uint8)',
        4,
        'create_summary',
        'wrap around',
    ),
    'a batch of pictures': (
        'style_transfer.py',
        'return (self.displayed_img + self.vgg.mean_pixels)[0]',
        'return self.displayed_img + self.vgg.mean_pixels',
        4,
        'create_summary',
        'leave the batch axis out',
    ),
    'not initialized': (
        'style_transfer.py',
        '        sess.run(self.init)\n',
        '',
        5,
        'train',
        'a variable has no value yet',
    ),
    'from zeros': (
        'style_transfer.py',
        '        sess.run(self.assign_img, {self.new_img: self.centered_start})\n',
        '',
        5,
        'train',
        'training begins from zeros',
    ),
    'no restore': (
        'style_transfer.py',
        'initial_step = run.restore(self.saver, sess)',
        'initial_step = 0',
        5,
        'restore',
        'begins again from the starting image',
    ),
    'always initialized': (
        'style_transfer.py',
        'if initial_step == run.start_step:\n                self.initialize(sess)',
        'self.initialize(sess)',
        5,
        'restore',
        'begins again from the starting image',
    ),
    'the optimizer is not run': (
        'style_transfer.py',
        'losses, _ = sess.run([self.loss_terms, self.opt])',
        'losses = sess.run(self.loss_terms)',
        5,
        'train',
        'fetch self.opt as well',
    ),
    'two steps': (
        'style_transfer.py',
        'losses, _ = sess.run([self.loss_terms, self.opt])',
        'losses, _ = sess.run([self.loss_terms, self.opt])\n            sess.run(self.opt)',
        5,
        'train',
        'two steps',
    ),
    'an op in the loop': (
        'style_transfer.py',
        'losses, _ = sess.run([self.loss_terms, self.opt])',
        'losses, _ = sess.run([self.loss_terms, tf.group(self.opt)])',
        5,
        'train',
        'an op is added while training',
    ),
    'no checkpoint': (
        'style_transfer.py',
        '                            run.save(self.saver, sess, step, losses)\n',
        '',
        5,
        'checkpoints',
        'no checkpoint was written',
    ),
    'every summary of iteration 0': (
        'style_transfer.py',
        'run.write_step(writer, step, summary, jpeg)',
        'run.write_step(writer, 0, summary, jpeg)',
        5,
        'summaries',
        'expected 3, 6, 7',
    ),
    'the first layer is written in': (
        'load_vgg.py',
        'W, b = self._weights(layer_idx, layer_name)',
        "W, b = self._weights(0, 'conv1_1')",
        1,
        'conv2d_relu',
        'these are the filters of conv1_1',
    ),
    'a list': (
        'style_transfer.py',
        'return self.recipe.content_factor(s) * tf.reduce_mean(tf.reduce_sum(tf.square(F - P), axis=[1, 2, 3]))',
        'return [self.recipe.content_factor(s) * tf.reduce_sum(tf.square(F - P))]',
        2,
        '_content_loss',
        'in a list',
    ),
    'float64': (
        'style_transfer.py',
        'tf.square(F - P)',
        'tf.cast(tf.square(F - P), tf.float64)',
        2,
        '_content_loss',
        'float64: all else is float32',
    ),
    'nothing logged': (
        'style_transfer.py',
        '                            run.write_step(writer, step, summary, jpeg)\n',
        '                            pass\n',
        5,
        'summaries',
        'no summary was written',
    ),
}


def write_solution(folder, *changes):
    """Write the real solution into a student's folder, with changes: (file, text to replace, replacement)."""
    for name in regions.TODO:
        text = (paths.ROOT / name).read_text()
        for file, old, new in changes:
            if file == name:
                assert old in text, old
                text = text.replace(old, new, 1)
        (folder / name).write_text(text)
    return folder


def indentation(line):
    """Return the leading spaces of a line."""
    return line[:len(line) - len(line.lstrip())]


def solution_files(*changes):
    """Return the real solution with changes, (file, text to replace, replacement), as name -> bytes."""
    texts = {name: (paths.ROOT / name).read_text() for name in regions.TODO}
    for file, old, new in changes:
        assert old in texts[file], old
        texts[file] = texts[file].replace(old, new, 1)
    return {name: text.encode() for name, text in texts.items()}


def grade_solution(solution, item='_content_loss', seed=0, seconds=10):
    """Grade one item of a solution, name -> bytes; return what is wrong with it, or None."""
    inputs = verdicts.draw_inputs(item, seed)
    with processes.prober() as prober:
        answer, end_reason = prober.ask(item, inputs, solution, seconds)
    return check.grade_item(item, check.parse(answer), end_reason, inputs)


def fill_regions(name, *bodies):
    """Return the text of a file with the code of its regions replaced, in order, by bodies; None keeps a region."""
    lines = (paths.ROOT / name).read_text().splitlines()
    file_regions = regions.regions('\n'.join(lines))
    assert len(bodies) == len(file_regions)
    for region, body in reversed(list(zip(file_regions, bodies))):
        if body is not None:
            lines[region.first:region.last + 1] = [region.indent + line for line in body.strip('\n').splitlines()]
    return '\n'.join(lines) + '\n'


# File -> bodies of its regions, as a student who has read the handout might write them; None keeps the real one.
STUDENT_BODIES = {
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
initial_step = 0
if checkpoint is None:
    self.initialize(sess)
else:
    self.saver.restore(sess, checkpoint)
    initial_step = int(checkpoint.split('-')[-1])
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
self.assign_img.op.run({self.new_img: self.centered_start}, sess)
""", """
_, losses = sess.run((self.opt, self.loss_terms))
"""]}

# Changes after which six methods are still to do and max pooling computes averages.
HALF_DONE = (
    *(('style_transfer.py', line, f'{indentation(line)}raise NotImplementedError("step 2: do it")\n{line}')
      for line in (
          '        s = np.prod(P.shape[1:])', '        _, H, W, N = a.shape', '        E = [self._single_style_loss',
          '            self.total_loss = sum(', '            optimizer = tf.train', '            self.init = ')),
    ('load_vgg.py', 'tf.nn.max_pool2d', 'tf.nn.avg_pool2d'))
