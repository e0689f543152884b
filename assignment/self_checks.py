"""The checks in the notebook edition, with numbers small enough to be worked out by hand.

The body of each function becomes a cell of the notebook, and the first line of that cell is the docstring as a comment,
so the docstring must be a single line. The cell comes after the cells of the method that the function is named after
and of the methods that follow it, up to the next check. The helpers in `notebook.CHECK_HELPERS` are in the notebook's
first cell. A check that passes must print nothing, because otter counts output as a failure.
"""

import contextlib
import dataclasses
import io
import types
from pathlib import Path

import imageio.v3 as iio
import numpy as np

import recipes
from common import paths
from common.tf1 import tf
from load_vgg import VGG, Weights
from style_transfer import StyleTransfer

VGG_FILE = None  # as in the notebook's first cell


def small_vgg(image: list, filters: np.ndarray | None = None, biases: np.ndarray | None = None) -> VGG:
    """Return a VGG whose input is an image, [H, W], and that has these weights for conv1_1; no layer is built yet."""
    weights = Weights(Path('small'), {'conv1_1': (filters, biases)}, np.zeros(3, np.float32), 'small')
    return VGG(tf.constant(image, tf.float32)[None, :, :, None], weights)


def bare_machine(**attributes) -> StyleTransfer:
    """Return a StyleTransfer that has only these attributes, for the test of one method."""
    machine = StyleTransfer.__new__(StyleTransfer)
    vars(machine).update(attributes)
    return machine


def value_of(tensor):
    """Return the value of a tensor, or the values of a list of tensors, in a new session."""
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        return sess.run(tensor)


def conv2d_relu() -> None:
    """The first filter gives the pixel minus 2, the second 4 minus the pixel to its left (0 beyond the border)."""
    filters = np.zeros([3, 3, 1, 2], np.float32)
    filters[1, 1, 0, 0], filters[1, 0, 0, 1] = 1, -1
    with tf.Graph().as_default():
        vgg = small_vgg([[1, 2, 3], [4, 5, 6]], filters, np.float32([-2, 4]))
        vgg.conv2d_relu(vgg.input_img, 0, 'conv1_1')
        maps, before = value_of([vgg.conv1_1, vgg.conv1_1_pre])
        assert not tf.trainable_variables(), 'filters and biases must be constants: only the image is trained'
    np.testing.assert_allclose(maps, [np.dstack([[[0, 0, 1], [2, 3, 4]], [[4, 3, 2], [4, 0, 0]]])])
    np.testing.assert_allclose(before, [np.dstack([[[-1, 0, 1], [2, 3, 4]], [[4, 3, 2], [4, 0, -1]]])])


def avgpool() -> None:
    """In an image of 3×3 pixels, the odd row and column are averaged too, without zeros from beyond the border."""
    with tf.Graph().as_default():
        vgg = small_vgg([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
        vgg.avgpool(vgg.input_img, 'avgpool1')
        np.testing.assert_allclose(value_of(vgg.avgpool1)[0, :, :, 0], [[3, 4.5], [7.5, 9]])


def maxpool() -> None:
    """In an image of 3×3 pixels, the maximum of the odd row and column is taken too."""
    with tf.Graph().as_default():
        vgg = small_vgg([[-1, -2, -3], [-4, -5, -6], [-7, -8, -9]])
        vgg.maxpool(vgg.input_img, 'maxpool1')
        np.testing.assert_allclose(value_of(vgg.maxpool1)[0, :, :, 0], [[-1, -3], [-7, -9]])


def _content_loss() -> None:
    """The squares of the differences 1, 0, 0 and -3 add up to 10, and s is 4."""
    with tf.Graph().as_default():
        P, F = tf.constant([[[[1., 2.], [3., 4.]]]]), tf.constant([[[[2., 2.], [3., 1.]]]])
        loss = value_of(bare_machine()._content_loss(P, F))
    np.testing.assert_allclose([loss], [10 / 16], rtol=1e-5)


def _gram_matrix() -> None:
    """With three positions and two channels, 1·1 + 3·3 + 5·5 is 35, 1·2 + 3·4 + 5·6 is 44, and so on."""
    with tf.Graph().as_default():
        G = value_of(bare_machine()._gram_matrix(tf.constant([[[[1., 2.], [3., 4.], [5., 6.]]]]), 2, 3))
    np.testing.assert_allclose(np.squeeze(G), [[35, 44], [44, 56]], rtol=1e-5)


def _single_style_loss() -> None:
    """A is [[1, 0], [0, 1]] and G is [[1, 1], [1, 5]], so the squares of G - A add up to 18; N and M are 2."""
    a, g = np.float32([[[[1, 0], [0, 1]]]]), np.float32([[[[1, 1], [0, 2]]]])
    with tf.Graph().as_default():
        loss = value_of(bare_machine()._single_style_loss(a, tf.constant(g)))
    np.testing.assert_allclose([loss], [18 / (4 * 2 ** 2 * 2 ** 2)], rtol=1e-5)


def _style_loss() -> None:
    """If the losses of the layers are 1, 2, 3, 4 and 5, the result is 0.5·1 + 1·2 + 1.5·3 + 3·4 + 4·5."""
    with tf.Graph().as_default():
        maps = {layer: tf.constant(float(i)) for i, layer in enumerate(recipes.CS20.style_layers, start=1)}
        vgg = types.SimpleNamespace(features=lambda layers: [maps[layer] for layer in layers], **maps)
        loss = value_of(bare_machine(vgg=vgg, _single_style_loss=lambda a, g: a * g)._style_loss([1.] * 5))
    np.testing.assert_allclose([loss], [39], rtol=1e-5)


def losses() -> None:
    """With α = 3 and β = 10, a content loss of 2 and a style loss of 5 give 3·2 + 10·5."""
    with tf.Graph().as_default():
        vgg = types.SimpleNamespace(features=lambda layers: [tf.constant(0.) for _ in layers])
        machine = bare_machine(recipe=dataclasses.replace(recipes.CS20, content_weight=3., style_weight=10.), vgg=vgg,
                       target_features=lambda: ([0.], [0.] * 5), _content_loss=lambda P, F: tf.constant(2.),
                       _style_loss=lambda A: tf.constant(5.))
        machine.losses()
        np.testing.assert_allclose([value_of(machine.total_loss)], [56], rtol=1e-5)


def optimize() -> None:
    """Adam's first step is as long as the learning rate, whatever the gradient is; the second is almost as long."""
    with tf.Graph().as_default(), tf.Session() as sess:
        image = tf.get_variable('in_img', initializer=tf.zeros([1, 2, 2, 3]))
        machine = bare_machine(recipe=dataclasses.replace(recipes.CS20, learning_rate=5.), input_img=image,
                       total_loss=tf.reduce_sum(tf.square(image - 100)), gstep=tf.train.get_or_create_global_step())
        machine.optimize()
        sess.run(tf.global_variables_initializer())
        for step in (1, 2):
            sess.run(machine.opt)
            np.testing.assert_allclose(sess.run(image), np.full([1, 2, 2, 3], 5 * step), rtol=0.01)
            assert sess.run(machine.gstep) == step, 'self.gstep must count the steps'


def create_summary() -> None:
    """With a VGG mean of 120, 110, 100, values outside of 0 to 255 must be clipped and must not wrap around."""
    with tf.Graph().as_default():
        shown = tf.constant([[[[0., -10., 0.4], [-130., 200., 100.]]]])
        terms = {'content_loss': tf.constant(1.), 'style_loss': tf.constant(2.), 'total_loss': tf.constant(3.)}
        machine = bare_machine(vgg=types.SimpleNamespace(mean_pixels=np.float32([120, 110, 100]).reshape(1, 1, 1, 3)),
                       input_img=shown, displayed_img=shown, loss_terms=terms, **terms)
        machine.create_summary()
        picture, summary = value_of([machine.picture, machine.summary_op])
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, [[[120, 100, 100], [0, 255, 200]]])
    scalars = {entry.tag.split('/')[-1]: entry.simple_value for entry in tf.Summary.FromString(summary).value}
    assert scalars == {'content_loss': 1, 'style_loss': 2, 'total_loss': 3}, scalars


def build() -> None:
    """On small images, a run of 6 iterations and a run of 3 that is resumed to 6 must give the same result."""
    ends = {}
    for name, lengths in {'check-straight': [6], 'check-resumed': [3, 6]}.items():
        for n_iters in lengths:
            machine = StyleTransfer(paths.CONTENT, paths.STYLE, 48, 36, vgg=VGG_FILE, name=name)
            machine.build()
            with machine.open_session() as sess:
                machine.initialize(sess)
                np.testing.assert_allclose(sess.run(machine.input_img), machine.centered_start)
            with contextlib.redirect_stdout(io.StringIO()):
                outcome = machine.train(n_iters, restart=n_iters == lengths[0])
            assert outcome.step == n_iters and (machine.run.checkpoints / f'model-{n_iters}.index').exists()
            losses = [row['total_loss'] for row in machine.run.history]
            assert len(losses) == n_iters and losses[-1] < losses[0], f'the loss does not fall: {losses}'
        assert any(machine.run.graphs.iterdir()), 'no event file in graphs/'
        ends[name] = iio.imread(machine.run.outputs / 'final.png'), losses
    (picture, losses), (resumed, losses_resumed) = ends.values()
    np.testing.assert_allclose(losses_resumed, losses, rtol=1e-4)
    assert np.abs(np.int16(resumed) - picture).max() <= 1, 'the resumed run ends with a different picture'
