"""The graph of StyleTransfer against NumPy: losses, gradient, starting image and optimizer; and the Python call."""

import contextlib
import dataclasses
import json
import re
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

import load_vgg
import recipes
import utils
from assignment.reporting import diagram
from common import files, paths, vgg_layers
from common.errors import UserError
from common.tf1 import tf
from engine.losses import objective, statistics
from engine.losses.features import extract_features
from engine.losses.statistics import Gram, GramMatrix, StyleTarget
from style_transfer import StyleTransfer, stylize
from tests import reference
from tests.assertions import assert_close
from tests.factories import he_weights

WIDTH, HEIGHT = 37, 26  # sides that are odd at most poolings


@pytest.fixture
def machine(images, tiny_vgg, workdir):
    """Return a `StyleTransfer` with recipe `cs20` and a tiny VGG, not built."""
    return StyleTransfer(*images, WIDTH, HEIGHT, vgg=tiny_vgg, precision='float32')


@contextlib.contextmanager
def evaluation(machine):
    """Build the losses of a machine; yield a function: mean-centered image [1, H, W, 3] -> (losses, gradient)."""
    with machine.graph.as_default():
        machine.create_input()
        machine.load_vgg()
        machine.losses()
        gradient, = tf.gradients(machine.total_loss, machine.input_img)
        with tf.Session() as sess:
            def run(image):
                sess.run(machine.assign_img, {machine.new_img: image})
                return sess.run([list(machine.loss_terms.values()), gradient])
            yield run


@pytest.fixture
def evaluate(machine):
    """Yield the function of `evaluation` for `machine`."""
    with evaluation(machine) as run:
        yield run


@pytest.mark.parametrize('recipe, reference_losses', [
    (recipes.CS20, reference.cs20), (recipes.STYLENET, reference.stylenet),
    (recipes.LBFGS_TUTORIAL, reference.lbfgs_tutorial), (recipes.GATYS, reference.gatys),
    (recipes.MODERN, reference.modern)],
    ids=lambda x: getattr(x, 'name', ''))
def test_losses_and_gradient_agree_with_the_published_formulas(images, tiny_vgg, workdir, recipe, reference_losses):
    machine = StyleTransfer(*images, WIDTH, HEIGHT, recipe=recipe, vgg=tiny_vgg, precision='float32')
    weights = load_vgg.read_weights(tiny_vgg)
    rng = np.random.default_rng(0)
    with evaluation(machine) as run:
        # An image between content and noise, so that no term is much smaller than the others.
        image = machine.centered_content / 2 + rng.normal(0, 20, machine.centered_content.shape).astype(np.float32)
        losses, gradient = run(image)

        def by_formula(image):
            return reference_losses(image[0], machine.centered_content[0], machine.centered_style[0], weights)
        np.testing.assert_allclose(losses, by_formula(image), rtol=1e-4)
        directions = gradient / np.sqrt(np.square(gradient).mean()), *rng.normal(size=(3, *gradient.shape))
        for direction in np.float64(directions):
            step = 1e-5 * direction  # Small, so that few ReLUs switch; the reference computes in float64.
            up, down = (by_formula(image + sign * step)[-1] for sign in (1, -1))
            assert_close((gradient * direction).sum(), (up - down) / 2e-5, rel=2e-5,
                         scale=np.linalg.norm(gradient) * np.linalg.norm(direction))


def test_losses_do_not_depend_on_earlier_evaluations(machine, evaluate):
    first, _ = evaluate(machine.centered_start)
    evaluate(machine.centered_style)
    again, _ = evaluate(machine.centered_start)
    assert first == again


def test_the_content_has_no_content_loss_and_the_style_no_style_loss(machine, evaluate):
    (content_loss, style_loss, total_loss), _ = evaluate(machine.centered_content)
    assert content_loss == 0 and style_loss > 0 and total_loss == pytest.approx(style_loss, rel=1e-6)
    style_loss_of_content = style_loss
    (content_loss, style_loss, _), _ = evaluate(machine.centered_style)
    assert content_loss > 0
    assert_close(style_loss, 0, scale=style_loss_of_content, rel=1e-9)


def test_the_gram_matrix_agrees_with_a_hand_worked_case(machine):
    F = np.float32([[[[1, 2], [3, 4]], [[5, 6], [0, 1]]]])  # four positions, two channels
    with machine.graph.as_default(), tf.Session() as sess:
        G = sess.run(machine._gram_matrix(tf.constant(F), 2, 4))
    for matrix in (G, machine._gram_matrix(F, 2, 4)):
        assert matrix[0].tolist() == [[1 + 9 + 25, 2 + 12 + 30], [2 + 12 + 30, 4 + 16 + 36 + 1]]


@pytest.mark.parametrize('name, factor', [('1/(4s)', 1 / 24), ('1/s', 1 / 6), ('1/2', 1 / 2)])
def test_the_content_coefficient_scales_the_content_loss(machine, name, factor):
    machine.recipe = dataclasses.replace(machine.recipe, content_coefficient=name)
    P, F = np.float32([[[[1, 2, 3], [4, 5, 6]]]]), np.float32([[[[2, 2, 3], [4, 5, 9]]]])
    with machine.graph.as_default(), tf.Session() as sess:
        assert sess.run(machine._content_loss(P, F)) == pytest.approx(10 * factor)


@pytest.mark.parametrize('name', recipes.STYLE_COEFFICIENTS)
def test_the_style_coefficient_scales_the_style_loss(machine, name):
    machine.recipe = dataclasses.replace(machine.recipe, style_coefficient=name)
    a, g = np.random.default_rng(0).normal(size=(2, 1, 3, 4, 5)).astype(np.float32)
    N, M, A, G = 5, 12, reference.gram(a[0]), reference.gram(g[0])
    expected = {'1/(4N²M²)': ((G - A) ** 2).sum() / (4 * N**2 * M**2),
                '1/(N⁴M²)': ((G / (N * M) - A / (N * M)) ** 2).mean()}[name]
    with machine.graph.as_default(), tf.Session() as sess:
        assert sess.run(machine._single_style_loss(a, tf.constant(g))) == pytest.approx(expected, rel=1e-5)


def test_the_starting_image_blends_the_centered_content_with_noise(machine):
    machine.build()
    content = utils.get_resized_image(machine.content_path, WIDTH, HEIGHT) - machine.weights.mean_pixels
    noise = (machine.centered_start - 0.4 * content) / 0.6
    assert np.abs(noise).max() <= 20.001 and np.abs(noise).max() > 19
    assert abs(noise.mean()) < 1 and noise.std() == pytest.approx(20 / np.sqrt(3), rel=0.05)


def test_other_recipes_start_from_normal_noise_or_the_content(images, tiny_vgg, workdir):
    normal = StyleTransfer(*images, WIDTH, HEIGHT, recipe=recipes.STYLENET, vgg=tiny_vgg)
    content = StyleTransfer(*images, WIDTH, HEIGHT, recipe=recipes.LBFGS_TUTORIAL, vgg=tiny_vgg)
    normal.build(), content.build()
    assert normal.centered_start.std() == pytest.approx(0.256, rel=0.05) and abs(normal.centered_start.mean()) < 0.02
    assert (content.centered_start == content.centered_content).all()


def test_adam_uses_the_settings_of_the_recipe(images, tiny_vgg, workdir):
    """Compare three steps with Algorithm 1 of Kingma and Ba in NumPy, at the same gradients."""
    rate, beta1, beta2 = 3., 0.5, 0.8
    recipe = dataclasses.replace(recipes.CS20, learning_rate=rate, beta1=beta1, beta2=beta2)
    machine = StyleTransfer(*images, WIDTH, HEIGHT, recipe=recipe, vgg=tiny_vgg, precision='float32')
    with evaluation(machine) as run, machine.graph.as_default():
        machine.optimize()
        with tf.Session() as sess:
            sess.run(tf.global_variables_initializer())
            sess.run(machine.assign_img, {machine.new_img: machine.centered_start})
            x, mean, square = np.float64(machine.centered_start), 0., 0.
            for t in range(1, 4):
                gradient = np.float64(run(sess.run(machine.input_img))[1])
                mean = beta1 * mean + (1 - beta1) * gradient
                square = beta2 * square + (1 - beta2) * gradient ** 2
                x -= rate * np.sqrt(1 - beta2 ** t) / (1 - beta1 ** t) * mean / (np.sqrt(square) + 1e-8)
                sess.run(machine.opt)
                np.testing.assert_allclose(sess.run(machine.input_img), x, atol=1e-2)


def train_plain_cs20(content, style, start, weights, steps):
    """Return the image after some steps of CS20's system, written in one function, without our classes."""
    with tf.Graph().as_default(), tf.Session() as sess:
        image, new = tf.get_variable('image', start.shape), tf.placeholder(tf.float32, start.shape)
        assign, F, x = image.assign(new), {}, image
        for name in vgg_layers.CONVOLUTIONS[:vgg_layers.CONVOLUTIONS.index('conv5_1') + 1]:
            if name[4:] in ('2_1', '3_1', '4_1', '5_1'):
                x = tf.nn.avg_pool2d(x, [1, 2, 2, 1], [1, 2, 2, 1], 'SAME')
            W, b = map(tf.constant, weights.convolutions[name])
            F[name] = x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, W, [1, 1, 1, 1], 'SAME'), b))
        sess.run(assign, {new: content})
        P = sess.run(F['conv4_2'])
        sess.run(assign, {new: style})
        A = {layer: sess.run(F[layer]) for layer in recipes.CS20.style_layers}
        content_loss = 1 / (4 * P.size) * tf.reduce_mean(tf.reduce_sum(tf.square(F['conv4_2'] - P), [1, 2, 3]))
        style_loss = 0
        for weight, (layer, a) in zip((0.5, 1, 1.5, 3, 4), A.items()):
            N, M = a.shape[-1], a[..., 0].size
            g, a = tf.reshape(F[layer], [-1, M, N]), a.reshape(-1, M, N)
            squares = tf.square(tf.matmul(g, g, transpose_a=True) - a.swapaxes(1, 2) @ a)
            style_loss += weight * (1 / (4 * N ** 2 * M ** 2) * tf.reduce_mean(tf.reduce_sum(squares, [1, 2])))
        step = tf.train.AdamOptimizer(2.).minimize(0.05 * content_loss + style_loss)
        sess.run(tf.global_variables_initializer())
        sess.run(assign, {new: start})
        for _ in range(steps):
            sess.run(step)
        return sess.run(image)


def test_forty_steps_of_cs20_equal_those_of_a_plain_implementation(machine):
    machine.build()
    weights = load_vgg.read_weights(machine.weights.path)
    expected = train_plain_cs20(machine.centered_content, machine.centered_style, machine.centered_start, weights, 40)
    machine.train(40)
    image = tf.train.load_checkpoint(str(machine.run.checkpoints / 'model-40')).get_tensor('input/in_img')
    np.testing.assert_array_equal(image, expected)


def test_scaling_all_loss_weights_gives_the_same_picture(images, tiny_vgg, workdir):
    """Without rescaling, L-BFGS depends on the scale of the loss: at 10⁻⁴ it found another picture, or stalled."""
    pictures = []
    for factor in (1, 2 ** -13, 1e4):
        recipe = dataclasses.replace(recipes.GATYS, content_weight=factor * 1.,
                                     style_weight=factor * recipes.GATYS.style_weight)
        machine = StyleTransfer(*images, WIDTH, HEIGHT, recipe=recipe, vgg=tiny_vgg, precision='float32',
                                name=f'{factor}')
        machine.build()
        assert machine.train(25).step == 25
        pictures.append(np.float32(utils.read_image(f'outputs/{factor}/final.png')))
    assert (pictures[1] == pictures[0]).all()
    assert np.abs(pictures[2] - pictures[0]).mean() < 1 < pictures[0].std()


def test_only_the_image_is_trained(machine):
    machine.build()
    with machine.graph.as_default():
        assert [v.op.name for v in tf.trainable_variables()] == ['input/in_img']


def test_the_graph_holds_no_features_of_the_style_image(machine):
    machine.build()
    largest = max(node.attr['value'].tensor.ByteSize()
                   for node in machine.graph.as_graph_def().node if node.op == 'Const')
    features = 4 * WIDTH * HEIGHT * 4  # bytes of the features of conv1_1, 4 channels in float32
    assert largest < features


def test_graphs_are_finalized_and_not_shared(images, tiny_vgg, workdir):
    machines = [StyleTransfer(*pair, WIDTH, HEIGHT, vgg=tiny_vgg, name=name)
                for pair, name in ((images, 'one'), (images[::-1], 'two'))]
    default_ops = len(tf.get_default_graph().get_operations())
    for machine in machines:
        machine.build()
    assert all(machine.graph.finalized for machine in machines) and machines[0].graph is not machines[1].graph
    assert len(tf.get_default_graph().get_operations()) == default_ops


def test_a_layer_that_the_weights_lack_is_reported(images, tmp_path, workdir):
    load_vgg.write_weights(tmp_path / 'short.mat', he_weights(last='conv4_1'))
    with pytest.raises(UserError, match='no layer conv4_2; it has conv1_1, .*conv4_1$'):
        StyleTransfer(*images, WIDTH, HEIGHT, vgg=tmp_path / 'short.mat').build()


def test_several_content_layers_give_a_weighted_sum(images, tiny_vgg, workdir):
    recipe = dataclasses.replace(recipes.CS20, content_layers=('conv1_2', 'conv5_2'), content_layer_weights=(0.5, 2.))
    machine = StyleTransfer(*images, WIDTH, HEIGHT, recipe=recipe, vgg=tiny_vgg, precision='float32')
    machine.build()
    weights = load_vgg.read_weights(tiny_vgg)
    F, P = (reference.vgg(image[0], weights) for image in (machine.centered_start, machine.centered_content))
    expected = sum(w * reference.cs20_content_loss(F[layer], P[layer])
                   for w, layer in [(0.5, 'conv1_2'), (2, 'conv5_2')])
    with tf.Session(graph=machine.graph) as sess:
        sess.run(machine.assign_img, {machine.new_img: machine.centered_start})
        assert sess.run(machine.content_loss) == pytest.approx(expected, rel=1e-4)


# ------------------------------------------------------------------------------------------------ inputs and callbacks

def build(images, tiny_vgg, **settings):
    """Return a `StyleTransfer` with some settings, built."""
    machine = StyleTransfer(*images, WIDTH, HEIGHT, vgg=tiny_vgg, precision='float32', **settings)
    machine.build()
    return machine


def test_training_starts_from_the_initial_image_which_is_in_the_fingerprint(images, tiny_vgg, workdir):
    start = np.random.default_rng(5).uniform(0, 255, (1, HEIGHT, WIDTH, 3)).astype(np.float32)
    machine = build(images, tiny_vgg, initial_img=start, name='r')
    machine.train(1)
    weights = load_vgg.read_weights(tiny_vgg)
    centered = [image[0] - weights.mean_pixels for image in (start, machine.content_img, machine.style_img)]
    np.testing.assert_allclose(list(machine.run.history[0].values()), reference.cs20(*centered, weights), rtol=1e-4)
    with pytest.raises(UserError, match='initial_img'):
        build(images, tiny_vgg, initial_img=start + 1, name='r').train(2)
    with pytest.raises(UserError, match=r'initial_img \(now null'):
        build(images, tiny_vgg, name='r').train(2)


def test_the_losses_use_the_targets_that_were_set(images, tiny_vgg, workdir):
    """The content target has features of one picture; the style targets blend two others, of other shapes."""
    weights = load_vgg.read_weights(tiny_vgg)
    recipe, rng = recipes.CS20, np.random.default_rng(6)
    gram = Gram(recipe)
    P = extract_features(weights, utils.get_resized_image(images[1], WIDTH, HEIGHT), recipe.content_layers)
    others = [rng.uniform(0, 255, (1, *size, 3)).astype(np.float32) for size in ((24, 40), (32, 32))]
    values = [[gram.compute(a) for a in extract_features(weights, other, recipe.style_layers)] for other in others]
    blend = [GramMatrix(first.matrix / first.positions * 0.25 + second.matrix / second.positions * 0.75, 1)
             for first, second in zip(*values)]
    machine = StyleTransfer(*images, WIDTH, HEIGHT, vgg=tiny_vgg, precision='float32', name='r',
                            initial_img=utils.get_resized_image(images[0], WIDTH, HEIGHT))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objective, 'objective_of', lambda *args: objective.Objective(
            recipe, [StyleTarget(gram, value) for value in blend], P))
        machine.build()
    machine.train(1)
    F = reference.vgg(utils.get_resized_image(images[0], WIDTH, HEIGHT)[0] - weights.mean_pixels, weights)
    style = 0
    for weight, layer in zip(recipe.style_layer_weights, recipe.style_layers):
        G = reference.gram(F[layer]) / F[layer][..., 0].size
        A = sum(share * reference.gram(x) / x[..., 0].size for share, x in zip((0.25, 0.75), (
            reference.vgg(other[0] - weights.mean_pixels, weights)[layer] for other in others)))
        style += weight * ((G - A) ** 2).sum() / (4 * len(G) ** 2)
    content = reference.cs20_content_loss(F['conv4_2'], P[0][0])
    np.testing.assert_allclose(list(machine.run.history[0].values()), [content, style, content / 20 + style], rtol=1e-3)


def test_a_callback_gets_every_iteration_and_train_returns_the_outcome(images, tiny_vgg, workdir):
    machine, calls, pictures = build(images, tiny_vgg, name='r'), [], {}

    def callback(iterate):
        calls.append((iterate.step, iterate.losses))
        if iterate.step in (7, 12):
            pictures[iterate.step] = iterate.picture()
    assert machine.train(12, callback) == (12, 'finished', 0)
    assert [step for step, _ in calls] == list(range(1, 13))
    for step, losses in calls:
        assert list(losses) == ['content_loss', 'style_loss', 'total_loss']
        logged_step = step if recipes.CS20.should_log(step) and step < 12 else step - 1
        if step < 12:
            assert losses == machine.run.history[logged_step]
    assert (pictures[12] == utils.read_image('outputs/r/final.png')).all() and (pictures[7] != pictures[12]).any()
    assert machine.train(12, callback) == (12, 'finished', 12) and len(calls) == 12


@pytest.mark.parametrize('name', [name for name in statistics.STATISTICS if name != 'gram'])
def test_training_with_another_style_statistic_lowers_its_loss(images, tiny_vgg, workdir, name):
    recipe = dataclasses.replace(recipes.CS20, style_statistic=name, style_weight=1000.)
    machine = build(images, tiny_vgg, recipe=recipe, name='r')
    machine.train(20)
    weights = load_vgg.read_weights(tiny_vgg)
    F, A = (reference.vgg(image[0], weights) for image in (machine.centered_start, machine.centered_style))
    expected = sum(weight * reference.STYLE_DISTANCES[name](F[layer], A[layer])
                   for weight, layer in zip(recipe.style_layer_weights, recipe.style_layers))
    losses = [row['style_loss'] for row in machine.run.history]
    assert losses[0] == pytest.approx(expected, rel=0.01) and losses[-1] < losses[0] / 3
    assert machine.run.fingerprint['style_statistic'] == name


def test_the_relative_content_loss_is_divided_by_the_square_of_the_target(images, tiny_vgg, workdir):
    recipe = dataclasses.replace(
        recipes.CS20,
        content_coefficient=recipes.RELATIVE_TO_CONTENT,
        content_layers=('conv1_2', 'conv3_1'),
        content_layer_weights=(1.0, 0.5),
    )
    machine = build(images, tiny_vgg, recipe=recipe, name='r')
    machine.train(1)
    weights = load_vgg.read_weights(tiny_vgg)
    F, P = (reference.vgg(image[0], weights) for image in (machine.centered_start, machine.centered_content))
    expected = sum(weight * ((F[layer] - P[layer]) ** 2).sum() / (P[layer] ** 2).sum()
                   for weight, layer in ((1, 'conv1_2'), (0.5, 'conv3_1')))
    assert machine.run.history[0]['content_loss'] == pytest.approx(expected, rel=1e-4)


def test_mirror_padding_keeps_the_structure_of_the_graph(images, tiny_vgg, workdir):
    structures = []
    for padding in ('zeros', 'mirror'):
        machine = build(images, tiny_vgg, recipe=dataclasses.replace(recipes.CS20, padding=padding), name=padding)
        names, edges = diagram.group_ops(machine.graph.as_graph_def())
        structures.append((names, {edge for edge in edges if 'optimizer' not in edge}))  # Gradients have other paths.
    assert structures[0] == structures[1] and ('vgg/conv1_1', 'vgg/conv1_2') in structures[0][1]


# ----------------------------------------------------------------------------------- masks, several styles, Python call

@pytest.fixture
def white_mask(workdir):
    """Write a white mask of 48×32 pixels; return its path."""
    iio.imwrite(workdir / 'white.png', np.full((32, 48), 255, np.uint8))
    return workdir / 'white.png'


@pytest.mark.parametrize('recipe', [recipes.CS20, recipes.MODERN], ids=lambda recipe: recipe.name)
def test_a_white_mask_selects_the_first_style_and_a_black_one_the_second(images, tiny_vgg, white_mask, recipe):
    def losses(*styles, **settings):
        machine = StyleTransfer(images[0], list(styles), WIDTH, HEIGHT, recipe=recipe, vgg=tiny_vgg,
                                precision='float32', **settings)
        with evaluation(machine) as run:
            return run(np.random.default_rng(0).normal(0, 40, (1, HEIGHT, WIDTH, 3)).astype(np.float32))
    for style in images:
        expected, gradient = losses(style)
        if style == images[0]:
            iio.imwrite('black.png', np.zeros((32, 48), np.uint8))
            masked = losses(images[1], style, mask='black.png')
        else:
            masked = losses(style, mask=white_mask)
        np.testing.assert_allclose(masked[0], expected, rtol=1e-4)
        assert_close(masked[1], gradient, scale=np.abs(gradient).max(), rel=2e-4)


def test_several_styles_are_blended_by_their_statistics(images, tiny_vgg, workdir):
    recipe = recipes.MODERN
    machine = StyleTransfer(images[0], [*images, images[1]], WIDTH, HEIGHT, style_weights=[2, 1, 1], recipe=recipe,
                            vgg=tiny_vgg, precision='float32')
    weights = load_vgg.read_weights(tiny_vgg)
    with evaluation(machine) as run:
        (_, style_loss, *_), _ = run(machine.centered_start)
        F, *A = (reference.vgg(image[0] - weights.mean_pixels, weights, padding='symmetric')
                 for image in (machine.content_img, *machine.images.styles[:2]))
    expected = 0
    for layer in recipe.style_layers:
        (m, C), *styles = ((x.mean(axis=0), np.cov(x.T, bias=True)) for x in (
            features[layer].reshape(-1, features[layer].shape[-1]) for features in (F, *A)))
        m_s, C_s = (sum(parts) / 2 for parts in zip(*styles))
        expected += ((C - C_s) ** 2).sum() / (C_s ** 2).sum() + ((m - m_s) ** 2).sum() / (m_s ** 2).sum()
    assert style_loss == pytest.approx(expected, rel=1e-3)
    settings = machine.run.fingerprint
    assert settings['style'] == [files.file_hash(path) for path in (*images, images[1])]
    assert settings['style_weights'] == [0.5, 0.25, 0.25] and machine.run.name == 'content-content+style+style-modern'


def test_stylize_takes_arrays_or_paths_and_leaves_no_files(images, tiny_vgg, workdir):
    photo, style = map(iio.imread, images)
    settings = dict(recipe='cs20', size=40, vgg=tiny_vgg, iterations=3, keep_colors='luminance', seed=4)
    steps = []
    picture = stylize(photo, [style, images[0]], style_weights=[3, 1], strength=0.7, **settings,
                      callback=lambda iterate: steps.append(iterate.step))
    assert picture.shape == (27, 40, 3) and picture.dtype == np.uint8 and steps == [1, 2, 3]
    assert list(workdir.iterdir()) == []
    kept = stylize(images[0], [images[1], photo], style_weights=[6, 2], strength=0.7, **settings, name='kept')
    assert (kept == picture).all() and (iio.imread('outputs/kept/final.png') == kept).all()
    saved = json.loads(Path('checkpoints/kept/run.json').read_text())
    assert saved['style_weights'] == [0.75, 0.25] and saved['style_weight'] == pytest.approx(5 ** 0.4)
    result = stylize(photo, style, **settings | dict(size=(32, 24), start=style, iterations=1, learning_rate=1e-3,
                                                     mask=np.full((32, 48), 255, np.uint8)))
    change = np.float32(result) - utils.get_resized_image(images[0], 32, 24)[0]  # It has the style's luminance.
    assert np.ptp(change, axis=-1)[(result > 0).all(axis=-1) & (result < 255).all(axis=-1)].max() <= 1.5
    gray = np.array([0.2125, 0.7154, 0.0721])
    inside = (result > 0).all(axis=-1) & (result < 255).all(axis=-1)
    np.testing.assert_allclose((result @ gray)[inside], (utils.get_resized_image(images[1], 32, 24)[0] @ gray)[inside],
                               atol=1.5)
    short = settings | dict(iterations=1, keep_colors='none')
    is_left = np.arange(48)[None].repeat(32, axis=0) < 24
    expected = stylize(photo, style, **short, mask=np.uint8(255 * is_left))
    same = stylize(Image.open(images[0]), style / 255, **short, mask=is_left * 1.)
    assert np.abs(np.int16(same) - expected).mean() < 0.1  # The style is rounded differently.
    with pytest.raises(UserError, match='no such image'):
        stylize('none.jpg', style, **settings)
    with pytest.raises(UserError, match='monet: no such recipe; choose one of cs20, stylenet, lbfgs, gatys, modern'):
        stylize(photo, style, recipe='monet')


def test_the_python_example_of_the_readme_runs(images, tiny_vgg, workdir, capsys):
    text = (paths.ROOT / 'README.md').read_text(encoding='utf-8')
    lines, = re.findall(r'```python\n(.*?)```', text, re.DOTALL)
    for name, path in zip(('photo.jpg', 'painting.jpg'), images):
        utils.save_image(name, utils.read_image(path))
    exec(lines.replace('size=512', f'size=32, vgg={str(tiny_vgg)!r}, coarse_iterations=1, iterations=2'), {})
    assert iio.imread('picture.png').shape == (21, 32, 3) and capsys.readouterr().out.count('\n') >= 2
    assert {path.name for path in workdir.iterdir()} == {'photo.jpg', 'painting.jpg', 'picture.png'}
