"""Test the training of the arbitrary style transfer network: losses against NumPy, resuming, the command."""

import dataclasses
import json
import math

import imageio.v3 as iio
import numpy as np
import pytest

import load_vgg
import recipes
import utils
from common import paths
from common.errors import UserError
from common.tf1 import tf
from fast.data.crops import CropDataset
from fast.inference import color_transfer, moment_matching
from fast.inference.arbitrary import ArbitraryStyleModel, Style
from fast.networks import arbitrary as arbitrary_network
from fast.networks import export
from fast.networks.arbitrary import MAP_NAMES
from fast.training import arbitrary as arbitrary_training
from fast.training import pixel_losses
from fast.training.arbitrary import ArbitraryStyleTraining, fixed_parameters
from fast.training.network_training import SHIFT_PX
from fast_style_transfer import main
from tests import reference
from tests.factories import block_photos

SIDE, STEPS = 32, 10
RECIPE = dataclasses.replace(recipes.ARBITRARY, style_weight=0.1, learning_rate=1e-3, log_schedule=((math.inf, 100),),
                             # With these weights, style losses are in the quadratic part of the Huber loss.
                             style_layers=('conv1_1', 'conv2_1', 'conv3_1'), style_layer_weights=(0.25,) * 3)
PAINTINGS = [paths.ROOT / 'styles' / f'{name}.jpg' for name in ('starry_night', 'great_wave')]


@pytest.fixture(scope='module', autouse=True)
def small_network(unoptimized_graphs):
    """A network as narrow as the tiny VGG, with few residual blocks, that is fitted to few crops."""
    widths = {'conv1_1': 3, 'conv1_2': 3, 'conv2_1': 4, 'conv2_2': 4, 'conv3_1': 5, 'conv3_2': 5, 'conv3_3': 5,
              'conv3_4': 5, 'conv4_1': 6}
    with pytest.MonkeyPatch.context() as patch:
        for module in (arbitrary_network, arbitrary_training):
            patch.setattr(module, 'CHANNELS', widths)
        for name, value in (
                ('PCA_COMPONENTS', 4), ('BLOCKS_AT_CONV4', 1), ('BLOCKS_AT_CONV3', 1), ('BLOCKS_AT_CONV2', 1)):
            patch.setattr(arbitrary_network, name, value)
        for name, value in (('FIT_CROPS', 4), ('FIT_SIDE_PX', SIDE), ('PCA_CROPS', 16)):
            patch.setattr(arbitrary_training, name, value)
        yield


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """A folder of photos and a folder of paintings."""
    folders = [tmp_path_factory.mktemp(name) for name in ('photos', 'paintings')]
    block_photos(folders[0], 6)
    for i, path in enumerate(block_photos(folders[1], 5).glob('*.png')):
        iio.imwrite(path, np.roll(iio.imread(path), i + 1, axis=2)[::-1] // 2)
    return folders


@pytest.fixture(scope='module')
def fixed_values(folders, tiny_vgg, small_network):
    """The parameters that are not trained."""
    weights = load_vgg.read_weights(tiny_vgg)
    return fixed_parameters(weights, *(CropDataset([folder], SIDE, 0) for folder in folders))


@pytest.fixture(scope='module')
def build_training(folders, images, tiny_vgg, fixed_values):
    """Function that sets up a small training and builds its graph unless `build` is False."""
    def create(name='r', transform='optimal_transport', build=True, **options):
        photos, styles = (
            CropDataset([folders[0]], SIDE + 2 * SHIFT_PX, 0),
            CropDataset([folders[1]], SIDE, 1, gradients=False),
        )
        machine = ArbitraryStyleTraining(
            photos,
            styles,
            2,
            images[:1],
            PAINTINGS,
            transform=transform,
            compute_fixed=lambda: fixed_values,
            consistency_weight=2.0,
            recipe=RECIPE,
            vgg=tiny_vgg,
            precision='float32',
            name=name,
            **options,
        )
        if build:
            machine.build()
        return machine
    return create


@pytest.fixture(scope='module')
def uninterrupted(build_training, tmp_path_factory):
    """A training that ran STEPS steps without a stop, and the folder with its model."""
    machine, folder = build_training('whole'), tmp_path_factory.mktemp('whole')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        machine.train(STEPS)
    return machine, folder


def relative_distance(f, p):
    """Return ‖f − p‖² / ‖p‖²."""
    return ((f - p) ** 2).sum() / (p ** 2).sum()


def expected_huber(loss):
    """Hinged Huber loss: 0 up to 1.75, half the square of the excess up to 3.75, linear beyond."""
    excess = max(loss - 1.75, 0)
    return excess ** 2 / 2 if excess < 2 else 2 + 2 * (excess - 2)


def moments(F):
    """Return the mean [N] and covariance [N, N] of features [..., N]."""
    F = np.float64(F).reshape(-1, F.shape[-1])
    return F.mean(axis=0), np.cov(F.T, bias=True)


def expected_content(photo, style, parameters):
    """Return the photo with the moments of the style in its low-pass and high-pass bands, [H, W, 3], 0 to 255."""
    maps = [{name: np.float32(x) for name, x in zip(MAP_NAMES, reference.arbitrary_encode(image, parameters))}
            for image in (photo, style)]
    affine_maps = moment_matching.affine_maps(maps[0], [moment_matching.compute_statistics(maps[1])], [1.])
    high_pass, low_pass = (moment_matching.apply(maps[0][name], *affine_maps[name]) for name in MAP_NAMES[:2])
    return np.clip(127.5 + 127.5 * (high_pass + reference.upsample_low_pass(low_pass)), 0, 255)


def test_losses_match_numpy_for_each_crop_with_its_own_style(uninterrupted, tiny_vgg):
    machine, vgg = uninterrupted[0], load_vgg.read_weights(tiny_vgg)
    with machine.open_session() as sess:
        machine.initialize(sess)
        tower = machine.towers[0]
        losses, pictures, parameters = sess.run([machine.loss_terms, tower.input_img, machine.network.parameters],
                                                machine.display_feed)
    photos = machine.display_feed[tower.crops][:, SHIFT_PX:-SHIFT_PX, SHIFT_PX:-SHIFT_PX]
    styles = machine.display_feed[tower.styles]
    assert len(photos) == len(styles) == 2 and (photos[0] == photos[1]).all() and (styles[0] != styles[1]).any()
    contents = [expected_content(photo, style, parameters) for photo, style in zip(photos, styles)]
    assert np.abs(contents[0] - contents[1]).mean() > 5
    P, A = ([reference.vgg(image - vgg.mean_pixels, vgg, padding='symmetric') for image in images]
            for images in (contents, styles))
    F = [reference.vgg(image, vgg, padding='symmetric') for image in pictures]
    content = np.mean([sum(weight * relative_distance(f[layer], p[layer]) for layer, weight in
                           zip(RECIPE.content_layers, RECIPE.content_layer_weights)) for f, p in zip(F, P)])
    style = np.mean([expected_huber(sum(0.25 * relative_distance(g, a) for layer in RECIPE.style_layers
                                        for g, a in zip(moments(f[layer]), moments(s[layer]))))
                     for f, s in zip(F, A)])
    # The tolerance is wide because one of 64 colors may fall into another bin.
    assert losses['content_loss'] == pytest.approx(content, rel=5e-3)
    assert losses['style_loss'] == pytest.approx(style, rel=2e-3)
    with tf.Graph().as_default(), tf.Session() as sess:
        pixel_terms = sess.run(pixel_losses.compute_losses(*np.float32([pictures + vgg.mean_pixels, styles, contents])))
    for name, value in pixel_terms.items():
        assert losses[name] == pytest.approx(value, rel=5e-3), name
    weights = {'content_loss': 1, 'style_loss': 0.1, 'tv_loss': 1e-4, 'shift_loss': 2, 'color_loss': 2,
               'detail_loss': 3, 'contrast_loss': 1.5, 'tone_loss': 6}
    assert losses.keys() == weights.keys() | {'total_loss'}
    assert losses['total_loss'] == pytest.approx(sum(weights[name] * losses[name] for name in weights), rel=1e-5)


@pytest.mark.parametrize('transform', moment_matching.TRANSFORMS)
def test_each_view_gets_the_statistics_of_its_own_style(build_training, transform):
    """The decoder's maps have the moments of the style; the second view gets the same affine map as the first."""
    machine = build_training(transform=transform, build=False)
    rng = np.random.default_rng(0)
    views = [rng.gamma(2., 1., (4, 8, 8, n)).astype(np.float32) for n in (3, 3, 4, 5, 6)]
    styles = [rng.gamma(1., 3., (2, 6, 6, n)).astype(np.float32) for n in (3, 3, 4, 5, 6)]
    *matched, embeddings = machine._match_moments(*views, *styles)
    transform_function = moment_matching.TRANSFORMS[transform]
    for name, x, y, s in zip(MAP_NAMES, views, matched, styles):
        for i in range(2):
            if name == 'colors':
                A, b = moment_matching.affine_map(moment_matching.moments(x[i]), moment_matching.moments(s[i]),
                                         moment_matching.transform_for_map(name, transform_function))
                curves = color_transfer.fit_curves(x[i] @ A + b, [color_transfer.cumulative_distributions(s[i])], [1.])
                expected = color_transfer.apply_curves(x[i::2] @ A + b, curves)
            else:
                A, b = moment_matching.affine_map(moment_matching.moments(x[i]), moment_matching.moments(s[i]),
                                         moment_matching.transform_for_map(name, transform_function))
                expected = x[i::2] @ A + b
                mean, covariance = moments(s[i])
                np.testing.assert_allclose(y[i].reshape(-1, len(mean)).mean(axis=0), mean, rtol=1e-3)
                actual = moments(y[i])[1]
                error = actual - covariance if transform != 'adain' else np.diag(actual) - np.diag(covariance)
                assert name in moment_matching.MAX_STRETCH or np.abs(error).max() < 0.1 * np.abs(covariance).max()
            np.testing.assert_allclose(y[i::2], expected, rtol=1e-3, atol=1e-3)
    assert embeddings.shape == (2, 42)
    np.testing.assert_allclose(embeddings[1, :3], moments(styles[0][1])[0], rtol=1e-4)


def test_the_style_loss_is_a_hinged_huber_loss():
    losses = np.float32([0.5, 1.75, 2, 3.5, 3.75, 6])
    with tf.Session() as sess:
        values = tf.constant(losses)
        huber = arbitrary_training.hinged_huber(values)
        actual, slopes = sess.run([huber, tf.gradients(huber, values)[0]])
    np.testing.assert_allclose(actual, list(map(expected_huber, losses)), rtol=1e-6)
    np.testing.assert_allclose(slopes, [0, 0, 0.25, 1.75, 2, 2], rtol=1e-6)


def test_color_jitter_rotates_hues_around_the_gray_axis():
    """Compare with Rodrigues' rotation formula, on colors in the middle of the range, where nothing is clipped."""
    rng = np.random.default_rng(0)
    images, draws = rng.uniform(100, 150, (3, 4, 4, 3)), rng.uniform(0, 1, (5, 3, 1, 1, 1))
    axis = np.full(3, 3 ** -0.5)
    with tf.Session() as sess:
        jittered = sess.run(arbitrary_training.color_jitter(tf.constant(images), *draws))
        white = sess.run(arbitrary_training.color_jitter(tf.fill([1, 1, 1, 3], 255.), *np.float32(draws[:, :1])))
    for image, result, (angle, saturation, *shift) in zip(images, jittered, draws[..., 0, 0, 0].T):
        angle = 2 * np.pi * angle
        gray = image @ np.outer(axis, axis)
        color = (image - gray) * (0.7 + 0.8 * saturation)
        rotated = np.cos(angle) * color + np.sin(angle) * np.cross(axis, color)
        np.testing.assert_allclose(result, gray + rotated + 25 * (2 * np.array(shift) - 1), atol=1e-6)
    assert white.max() <= 255


def test_only_unfixed_parameters_are_trained_and_the_model_stylizes(uninterrupted, images, fixed_values):
    machine, folder = uninterrupted
    with machine.graph.as_default():
        trained = {v.op.name.partition('/')[2] for v in tf.trainable_variables()}
    fixed = {name for name in machine.network.parameters if name.startswith(('conv', 'code'))}
    assert len(fixed) == 20 and trained == machine.network.parameters.keys() - fixed
    with machine.open_session() as sess:
        machine.initialize(sess)
        before = sess.run(machine.loss_terms, machine.display_feed)['total_loss']
    model = export.read_arbitrary(folder / machine.model_folder)
    for name in fixed:
        np.testing.assert_array_equal(model.parameters[name], fixed_values[name])
    about = json.loads((folder / machine.model_folder / 'model.json').read_text())
    assert about['held_out']['total_loss'] < 0.9 * before and len(machine.run.history) == STEPS
    assert about['styles'] == 'any' and about['steps'] == STEPS and about['transform'] == 'optimal_transport'
    photo = utils.read_image(images[0])
    stylize = ArbitraryStyleModel(folder / machine.model_folder)
    pictures = [stylize(photo, Style([utils.read_image(path)])) for path in PAINTINGS]
    assert pictures[0].shape == photo.shape and np.abs(pictures[0] - pictures[1]).mean() > 3


def test_a_resumed_run_equals_an_uninterrupted_one(uninterrupted, fixed_values, workdir, monkeypatch):
    """The run is killed before its first checkpoint, then stopped after one step, and finally restarted."""
    machine, folder = uninterrupted  # the training has no run in this new current directory
    with machine.run.acquire():  # a kill before the first checkpoint leaves only this on disk
        pass
    machine.train(1, write_results=False)
    with monkeypatch.context() as patch:
        patch.setattr(machine, 'compute_fixed', None)  # the checkpoint has these values, so nothing is fitted
        assert machine.train(STEPS, write_results=False) == (STEPS, 'finished', 1)
    for name, value in export.read_arbitrary(folder / machine.model_folder).parameters.items():
        variable = f'network/{name}' if name in fixed_values else f'network/{name}/average'
        np.testing.assert_array_equal(value, machine.run.load_variable(STEPS, variable), err_msg=name)
    machine.train(1, restart=True, write_results=False)
    for name, value in fixed_values.items():
        np.testing.assert_array_equal(machine.run.load_variable(1, f'network/{name}'), value, err_msg=name)


def test_training_can_start_from_another_model(uninterrupted, build_training):
    start = export.read_arbitrary(uninterrupted[1] / uninterrupted[0].model_folder)
    machine = build_training('third', start=start, build=False)
    with machine.graph.as_default(), tf.Session() as sess:
        machine.create_input()
        sess.run(tf.global_variables_initializer())
        for name, value in sess.run(machine.network.parameters).items():
            np.testing.assert_allclose(value, start.parameters[name], atol=1e-7, err_msg=name)


def test_the_command_trains_a_model_and_refuses_bad_arguments(folders, images, tiny_vgg, workdir, capsys, monkeypatch):
    flags = ['train-any', '--styles', str(folders[1]), '--images', str(folders[0]), '--vgg', str(tiny_vgg), '--side',
             '32', '--batch', '2', '--iterations', '2', '--held-out', str(images[0]), '--precision', 'float32',
             '--steadiness', '0']
    assert main(flags) == 0
    assert 'styles: arbitrary, from 5 files; training photos: 6 files' in capsys.readouterr().out
    assert export.read_arbitrary(workdir / 'models' / 'any').parameters['code/components'].shape[1] == 4
    with monkeypatch.context() as patch:
        patch.setattr(ArbitraryStyleTraining, 'build', None)  # settings must be refused before the slow building
        (workdir / 'models').rename('no models')  # a run that has not ended has no model
        assert main([*flags, '--transform', 'wct']) == 2
        (workdir / 'no models').rename('models')
    assert 'transform (now wct, was optimal_transport)' in capsys.readouterr().err
    assert main([*flags[:2], str(folders[1] / 'none'), *flags[3:]]) == 2
    assert 'no such folder; name a folder that contains images' in capsys.readouterr().err
    for statistic in ('gram', 'wasserstein'):
        assert main([*flags, '--name', 'b', '--style-statistic', statistic]) == 2
        assert f'--style-statistic {statistic}: this network needs losses relative' in capsys.readouterr().err
    assert main([*flags, '--name', 'b', '--start', 'many']) == 2
    assert 'is a multi-style model' in capsys.readouterr().err
    about = workdir / 'models' / 'any' / 'model.json'
    about.write_text(about.read_text().replace('"details"', '"edges"'))
    assert main([*flags, '--name', 'b', '--start', 'any']) == 2
    assert 'has an older architecture; it can still stylize' in capsys.readouterr().err
    with pytest.raises(Exception, match='is a model for arbitrary styles'):
        export.read_multi_style(workdir / 'models' / 'any')


def test_a_model_without_residual_blocks_at_half_resolution_is_refused(uninterrupted, monkeypatch):
    folder, read = uninterrupted[1] / uninterrupted[0].model_folder, export.read_model
    export.read_arbitrary(folder)

    def older(*args):
        about, parameters = read(*args)
        return about, {name: value for name, value in parameters.items() if not name.startswith('residual2')}
    monkeypatch.setattr(export, 'read_model', older)
    with pytest.raises(UserError, match='has an older architecture'):
        export.read_arbitrary(folder)
