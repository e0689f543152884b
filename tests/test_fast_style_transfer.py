"""Fast style transfer: losses against NumPy, training and exact resuming, and the inputs of `stylize`."""

import dataclasses
import io
import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

import load_vgg
import recipes
import utils
from common import cli, files, paths, process
from common.tf1 import tf
from fast.commands import stylize as stylize_command
from fast.data.crops import CropDataset
from fast.inference import arbitrary as arbitrary_inference
from fast.inference import multi_style as multi_style_inference
from fast.networks import export
from fast.networks import multi_style as multi_style_network
from fast.training import multi_style as multi_style_training
from fast.training import network_training
from fast.training.multi_style import MultiStyleTraining
from fast.training.network_training import NOISE_DEVIATION, SHIFT_PX
from fast_style_transfer import main
from tests import icc_profiles, reference
from tests.factories import block_photos, random_parameters

PROGRAM = paths.ROOT / 'fast_style_transfer.py'
SIDE = 32
# The style weight of FAST suits the real VGG-19; the tiny one needs another.
TINY_RECIPE = dataclasses.replace(recipes.FAST, style_weight=0.1, learning_rate=5e-3, log_schedule=((math.inf, 100),))
ONE_LAYER_RECIPE = dataclasses.replace(TINY_RECIPE, content_layers=('conv1_2',), style_layers=('conv1_1',),
                                       style_layer_weights=(1.,))


@pytest.fixture(scope='module', autouse=True)
def use_unoptimized_graphs(unoptimized_graphs):
    """Make all trainings here use `unoptimized_graphs`."""


@pytest.fixture(scope='module')
def photo_folder(tmp_path_factory):
    """Write eight photos of blocks and a file that is not an image; return their folder."""
    photo_folder = block_photos(tmp_path_factory.mktemp('photos'), 8)
    (photo_folder / 'notes.png').write_text('no picture')
    return photo_folder


@pytest.fixture(scope='module')
def model(model_folder):
    """Return the path, as text, of a model with random parameters and the styles a, b and c."""
    return str(model_folder)


@pytest.fixture
def one_block(model, monkeypatch):
    """Give networks one residual block during a test; `model`, which has five, is made before that."""
    monkeypatch.setattr(multi_style_network, 'RESIDUAL_BLOCKS', 1)


@pytest.fixture(scope='module')
def build(photo_folder, images, tiny_vgg):
    """Return a function that builds a small `MultiStyleTraining` of two styles."""
    def build_training(name='r', seed=0, recipe=ONE_LAYER_RECIPE, styles=images, **settings):
        photos = CropDataset([photo_folder], SIDE + 2 * SHIFT_PX, seed)
        machine = MultiStyleTraining(photos, 3, images, styles, 4, recipe=recipe, vgg=tiny_vgg, seed=seed,
                                    precision='float32', name=name, **{'consistency_weight': 2., **settings})
        machine.build()
        return machine
    return build_training


@pytest.fixture(scope='module')
def machine(build):
    """Build a training with one residual block whose learning rate soon decreases; it is not trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multi_style_network, 'RESIDUAL_BLOCKS', 1)
        patch.setattr(network_training, 'FULL_RATE_STEPS', 2)
        return build(recipe=TINY_RECIPE, content_weights=[0.5, 3.])


def write_photo(path, height=40, width=56, seed=0):
    """Write a photo of random pixels; return the pixels, uint8 [H, W, 3]."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    iio.imwrite(path, pixels)
    return pixels


def expected_picture(model, pixels):
    """Return the picture, uint8, that the model makes of a photo in style a."""
    return utils.to_uint8(multi_style_inference.MultiStyleModel(Path(model))(np.float32(pixels), [1, 0, 0]))


# ------------------------------------------------------------------------------------------------------------- training

def rel_error(f, p):
    """Return Σ (f − p)² / Σ p²."""
    return ((f - p) ** 2).sum() / (p ** 2).sum()


def test_the_losses_of_a_batch_are_means_over_its_photos(machine, tiny_vgg):
    """The total is the weighted sum of four losses.

    They are the relative content loss times the content weight of its style, the style loss of means and covariances,
    the total variation, and the consistency loss between two views.
    """
    weights = load_vgg.read_weights(tiny_vgg)
    with machine.open_session() as sess:
        machine.initialize(sess)
        tower = machine.towers[0]
        losses, pictures, views, shift, one_hot = sess.run(
            [machine.loss_terms, tower.input_img, tower.views, machine.shift, tower.styles],
            machine.display_feed,
        )
    assert (one_hot == np.eye(2)).all() and min(shift) < SHIFT_PX < max(shift)
    styles = [reference.vgg(utils.get_style_image(path, 512, 512, False)[0] - weights.mean_pixels, weights,
                            padding='symmetric') for path in machine.style_paths]

    def moments(F):
        F = F.reshape(-1, F.shape[-1])
        return F.mean(axis=0), np.cov(F.T, bias=True)
    photos = machine.held_out[:, SHIFT_PX:-SHIFT_PX, SHIFT_PX:-SHIFT_PX] - weights.mean_pixels
    features = [[reference.vgg(image, weights, padding='symmetric') for image in images]
                for images in (photos, pictures)]
    content = np.mean([factor * rel_error(F['conv3_1'], P['conv3_1']) for factor, P, F in zip([0.5, 3], *features)])
    style = np.mean([sum(rel_error(g, a) for layer in ('conv1_1', 'conv2_1', 'conv3_1', 'conv4_1')
                         for g, a in zip(moments(F[layer]), moments(A[layer]))) for F, A in zip(features[1], styles)])
    x = np.float64(pictures)
    variation = (np.diff(x, axis=1) ** 2).mean() + (np.diff(x, axis=2) ** 2).mean()
    top_left = np.maximum(SHIFT_PX, shift) + 8
    side = SIDE - SHIFT_PX - 16
    overlaps = [view[:, top_left[0] - y:top_left[0] - y + side, top_left[1] - x:top_left[1] - x + side]
                for view, (y, x) in zip(views, ((SHIFT_PX, SHIFT_PX), shift))]
    shift_loss = ((np.float64(overlaps[0]) - overlaps[1]) ** 2).mean() / 127.5 ** 2
    total = content + TINY_RECIPE.style_weight * style + TINY_RECIPE.tv_weight * variation + 2 * shift_loss
    assert losses.keys() == {'content_loss', 'style_loss', 'tv_loss', 'shift_loss', 'total_loss'} and shift_loss > 0
    for name, value in zip(('content', 'style', 'tv', 'shift', 'total'),
                           (content, style, variation, shift_loss, total)):
        assert losses[f'{name}_loss'] == pytest.approx(value, rel=1e-4 if name == 'shift' else 2e-3), name


def test_the_second_view_is_the_photo_shifted_with_noise(build, monkeypatch):
    """If the network is the identity, the two views differ only by the noise."""
    monkeypatch.setattr(multi_style_training.TransformNet, '__call__', lambda self, photos, weights: (
        photos + 0 * self._parameter('conv/weights', [1], tf.zeros_initializer()), None))
    machine = build()
    with machine.open_session() as sess:
        machine.initialize(sess)
        sess.run(machine.start_input, {machine.first: 0})
        shifts, noise = [], []
        for _ in range(30):
            view, shift, loss, _ = sess.run([
                machine.towers[0].views[1], machine.shift, machine.loss_terms['shift_loss'], machine.opt])
            shifts.append(tuple(shift))
            noise.append(loss)
    assert np.sqrt(np.mean(noise)) * 127.5 == pytest.approx(NOISE_DEVIATION, rel=0.05)
    assert len(set(shifts)) > 20 and np.min(shifts) == 0 and np.max(shifts) == 2 * SHIFT_PX


def test_without_consistency_weight_there_is_one_view_and_no_shift_loss(build, one_block, workdir):
    machine = build(consistency_weight=0.)
    with machine.open_session() as sess:
        machine.initialize(sess)
        losses = sess.run(machine.loss_terms, machine.display_feed)
    assert len(machine.towers[0].views) == 1
    assert losses.keys() == {'content_loss', 'style_loss', 'tv_loss', 'total_loss'}
    assert losses['total_loss'] == pytest.approx(losses['content_loss']
                                                 + TINY_RECIPE.style_weight * losses['style_loss']
                                                 + TINY_RECIPE.tv_weight * losses['tv_loss'], rel=1e-4)


def test_gradients_are_clipped_to_the_maximum_norm(build, one_block, workdir, monkeypatch):
    """Adam's first moment after one step is a tenth of the gradient, which shows its clipped norm."""
    monkeypatch.setattr(network_training, 'MAX_GRADIENT_NORM', 1e-3)
    machine = build()
    with machine.open_session() as sess:
        machine.initialize(sess)
        sess.run(machine.start_input, {machine.first: 0})
        sess.run(machine.opt)
        with machine.graph.as_default():
            moments = sess.run([v for v in tf.global_variables() if v.op.name.endswith('/Adam')])
    assert np.sqrt(sum(np.square(m).sum() for m in moments)) == pytest.approx(0.1 * 1e-3, rel=1e-3)


def test_only_the_network_is_trained_and_the_graph_is_finalized(machine):
    with machine.graph.as_default():
        assert ({v.op.name for v in tf.trainable_variables()}
                == {f'network/{name}' for name in machine.network.parameters})
    assert machine.graph.finalized


def test_every_batch_has_each_style(machine):
    with machine.open_session() as sess:
        machine.initialize(sess)
        sess.run(machine.start_input, {machine.first: 0})
        for _ in range(5):
            weights, _ = sess.run([machine.towers[0].styles, machine.opt])
            assert sorted(weights.argmax(axis=1)[:2]) == [0, 1] and (np.sort(weights) == [0, 1]).all()


def test_the_learning_rate_falls_with_the_square_root_of_the_steps(machine):
    rate, = [op.outputs[0] for op in machine.graph.get_operations() if op.name == 'optimizer/mul']
    with machine.open_session() as sess:
        machine.initialize(sess)
        sess.run(machine.start_input, {machine.first: 0})
        rates = []
        for _ in range(6):
            rates.append(sess.run(rate))
            sess.run(machine.opt)
    np.testing.assert_allclose(rates, 5e-3 * np.sqrt([1, 1, 2 / 3, 2 / 4, 2 / 5, 2 / 6]), rtol=1e-5)


def test_the_displayed_parameters_are_a_moving_average_of_the_trained_ones(machine):
    with machine.open_session() as sess:
        machine.initialize(sess)
        averages = trained = sess.run(machine.network.parameters)
        for step, _ in zip(range(1, 31), machine.optimizer_steps(sess, 0)):
            decay = min(0.998, step / (9 + step))
            before, trained = trained, sess.run(machine.network.parameters)
            averages = {name: decay * averages[name] + (1 - decay) * trained[name] for name in trained}
            assert any((before[name] != trained[name]).any() for name in trained)
        displayed = sess.run(machine.network.parameters, machine.display_feed)
    for name, average in averages.items():
        np.testing.assert_allclose(displayed[name], average, rtol=1e-3, atol=1e-5)
        assert np.abs(displayed[name] - trained[name]).max() > 1e-4


def test_100_steps_lower_the_loss_by_a_third_and_write_a_model(build, one_block, workdir):
    machine = build(recipe=dataclasses.replace(TINY_RECIPE, style_weight=2.))
    assert machine.train(100).step == 100
    total_losses = [losses['total_loss'] for losses in machine.run.history]
    # Medians, because the tiny VGG has features near zero for some crops, and the content loss is relative to them.
    assert np.median(total_losses[-20:]) < np.median(total_losses[:5]) * 2 / 3
    strip = iio.imread('outputs/r/final.png')
    assert strip.shape == (2 * SIDE, 2 * SIDE, 3)
    photos = machine.held_out[:, SHIFT_PX:-SHIFT_PX, SHIFT_PX:-SHIFT_PX]
    assert np.abs(strip[:SIDE].astype(float) - np.hstack(photos)).max() <= 1  # The upper row shows the photos.
    metadata = json.loads(Path('models/r/model.json').read_text())
    assert metadata['steps'] == 100
    assert metadata['styles'] == {path.stem: files.file_hash(path) for path in machine.style_paths}
    checkpoint = tf.train.load_checkpoint('checkpoints/r')
    averages = {name: checkpoint.get_tensor(f'network/{name}/average') for name in machine.network.parameters}
    trained = export.read_multi_style(Path('models/r'))
    assert all((trained.parameters[name] == value).all() for name, value in averages.items())
    model = multi_style_inference.MultiStyleModel(Path('models/r'))
    pictures = [model(image, weights) for image, weights in zip(photos, np.eye(2))]
    assert np.abs(np.hstack(utils.to_uint8(np.array(pictures))) - 1. * strip[SIDE:]).max() <= 1


def test_a_resumed_training_writes_the_same_bytes_as_an_uninterrupted_one(build, one_block, workdir):
    assert build('straight').train(14).step == 14
    machine = build()
    assert machine.train(5, write_results=False).step == 5  # This is not the end of an epoch.
    assert machine.train(14).step == 14
    for path in ('outputs/{}/final.png', 'models/{}/saved_model.pb', 'models/{}/model.tflite',
                 'checkpoints/{}/losses.csv'):
        assert Path(path.format('r')).read_bytes() == Path(path.format('straight')).read_bytes()


def test_adding_a_style_leaves_the_existing_parameters_unchanged(build, one_block, images, workdir):
    start = export.TrainedNetwork(random_parameters(1), {'content': 'a hash'}, 'another')
    machine = build('more', styles=images[1:], start=start, add=True)
    with machine.graph.as_default():
        assert all(v.op.name.endswith(('gamma', 'beta')) for v in tf.trainable_variables())
    machine.train(5)
    extended = export.read_multi_style(Path('models/more'))
    assert list(extended.styles) == ['content', 'style']
    for name, before in start.parameters.items():
        after = extended.parameters[name]
        if name.endswith(('gamma', 'beta')):
            assert after.shape[0] == 2 and (after[0] == before[0]).all() and (after[1] != before[0]).any()
        else:
            assert (after == before).all()


def test_a_training_that_starts_from_a_model_finds_its_styles_by_name(build, one_block, images):
    start = export.TrainedNetwork(random_parameters(2), {'content': 'a hash', 'style': 'another'}, 'a third')
    machine = build('next', styles=images[::-1], start=start)
    with machine.open_session() as sess:
        machine.initialize(sess)
        initial = sess.run(machine.network.parameters)
        with machine.graph.as_default():
            assert len(tf.trainable_variables()) == len(initial)
    for name, value in start.parameters.items():
        assert (initial[name] == (value[::-1] if name.endswith(('gamma', 'beta')) else value)).all()


def test_ctrl_c_leaves_a_checkpoint_and_no_model(machine, workdir, monkeypatch):
    monkeypatch.setattr(process.StopSignal, 'requested', True)
    assert machine.train(50) == (1, 'stopped', 0)
    assert Path('checkpoints/r/model-1.index').exists() and not Path('models').exists()


@pytest.mark.parametrize('command, package, requirements', [
    ('train', 'tensorflow', 'requirements.txt'), ('stylize', 'ai_edge_litert', 'requirements-stylize.txt')])
def test_a_missing_package_is_reported_with_its_requirements_file(command, package, requirements):
    program = ('import sys; sys.modules[sys.argv[2]] = None; import fast_style_transfer;'
               'sys.exit(fast_style_transfer.main([sys.argv[1]]))')
    result = subprocess.run([sys.executable, '-c', program, command, package], cwd=paths.ROOT, capture_output=True,
                            text=True)
    assert result.returncode == 2
    assert result.stderr.startswith(f'error: the package {package}')
    assert result.stderr.endswith(f' is missing: pip install -r {requirements}\n') and result.stderr.count('\n') == 1


def training_flags(photo_folder, images, tiny_vgg, *more_flags):
    """Return the command line of a training of two tiny steps, with more flags."""
    return ['train', '--style', str(images[1]), '--images', str(photo_folder), '--held-out', str(images[0]),
            '--vgg', str(tiny_vgg), '--side', '32', '--batch', '2', '--base', '4', '--iterations', '2',
            '--name', 'small', *more_flags]


def test_the_command_trains_reports_skipped_files_and_refuses_another_model(photo_folder, images, tiny_vgg, one_block,
                                                                            workdir, capsys, monkeypatch):
    flags = training_flags(photo_folder, images, tiny_vgg, '--content-layers', 'conv1_2', '--style-layers', 'conv1_1',
                           '--style-layer-weights', '1')
    assert main(flags) == 0
    out = capsys.readouterr().out
    assert 'models/small: 2 iterations' in out and 'as images, 1 in total: ' in out and 'notes.png' in out
    for folder_of_run in ('checkpoints', 'graphs', 'outputs'):
        (workdir / folder_of_run).rename(workdir / f'no {folder_of_run}')
    assert main([*flags, '--iterations', '1']) == 2
    assert 'a model of 2 steps, more than 1' in capsys.readouterr().err
    assert main([*flags, '--seed', '1']) == 2
    assert 'is a model with other settings: seed (now 1, was 0)' in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(process.StopSignal, 'requested', True)
        assert main([*flags, '--seed', '1', '--restart']) == 130
    assert 'run the same command without --restart to continue' in capsys.readouterr().out
    assert main([*flags, '--seed', '1']) == 0  # The restart allows it to replace the older model.
    assert json.loads(Path('models/small/model.json').read_text())['seed'] == 1


@pytest.mark.parametrize('bad_flags, message', [
    (('--images', 'nowhere'), 'nowhere: no such folder'), (('--learning-rate', '0'), '--learning-rate'),
    (('--content-weights', '1', '2', '3'), '--content-weights: 3 for '), (('--base', '3'), '--base'),
    (('--side', '31'), '--side'), (('--init', 'content'), '--init'),
    (('--scales', '2'), '--scales'), (('--add', 'x', '--start', 'y'), 'use only one of them'),
    (('--add', 'x'), 'error: x: no such model'),
    (('--add', 'MODEL', '--base', '8'), '--base 8: MODEL has 4 '), (('--start', 'MODEL', '--base', '8'), '--base 8'),
    (('--held-out', 'none.png'), 'none.png: '), (('--style', 'none.png'), 'none.png: ')])
def test_bad_training_flags_are_reported_in_one_line(photo_folder, images, tiny_vgg, model, workdir, capsys,
                                                         bad_flags, message):
    bad_flags, message = [text.replace('MODEL', model) for text in bad_flags], message.replace('MODEL', model)
    assert main(training_flags(photo_folder, images, tiny_vgg, *bad_flags)) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith('error: ') and error.count('\n') == 1
    assert not list(workdir.rglob('*.index'))


# ------------------------------------------------------------------------------------------------------------ stylizing

def stylize(*arguments, style='a'):
    """Run the command, with a style unless the arguments name one; return its exit status."""
    style_flags = () if {'--style', '--sheet'} & set(arguments) else ('--style', style)
    return main(['stylize', *map(str, arguments), *style_flags])


def test_a_picture_has_the_size_and_format_of_its_photo(model, workdir):
    sizes = {'a.png': (33, 57), 'b.JPG': (1, 1), 'c.jpeg': (130, 3), 'd.bmp': (8, 8)}
    for i, (name, size) in enumerate(sizes.items()):
        write_photo(workdir / name, *size, seed=i)
    assert stylize(*sizes, '--model', model) == 0
    written = {path.name: iio.imread(path) for path in Path('outputs').iterdir()}
    assert {name: image.shape[:2] for name, image in written.items()} == {
        'a-a.png': (33, 57), 'b-a.JPG': (1, 1), 'c-a.jpeg': (130, 3), 'd-a.png': (8, 8)}
    assert (written['a-a.png'] == expected_picture(model, iio.imread('a.png'))).all()
    assert (written['d-a.png'] == expected_picture(model, iio.imread('d.bmp'))).all()


def test_mixtures_of_styles_and_the_sheet_of_all_styles(model, workdir, capsys):
    pixels = write_photo(workdir / 'p.png', 24, 32)
    assert stylize('p.png', '--model', model, '--style', 'b:0.25,c:0.75') == 0
    network = multi_style_inference.MultiStyleModel(Path(model))
    mixture = utils.to_uint8(network(np.float32(pixels), [0, 0.25, 0.75]))
    assert (iio.imread('outputs/p-b0.25+c0.75.png') == mixture).all()
    capsys.readouterr()
    assert stylize('p.png', '--model', model, '--sheet') == 0
    assert 'outputs/p-sheet.png: the photo, a, b, c' in capsys.readouterr().out
    sheet = iio.imread('outputs/p-sheet.png')
    assert sheet.shape == (48, 64, 3) and (sheet[:24, :32] == pixels).all()
    for i, corner in enumerate(((0, 32), (24, 0), (24, 32))):
        part = sheet[corner[0]:corner[0] + 24, corner[1]:corner[1] + 32]
        assert (part == utils.to_uint8(network(np.float32(pixels), np.eye(3)[i]))).all()


def test_a_single_photo_may_have_an_output_file(model, workdir, capsys):
    pixels = write_photo(workdir / 'a.png')
    assert stylize('a.png', '--model', model, '--out', 'new/b.png') == 0
    assert (iio.imread('new/b.png') == expected_picture(model, pixels)).all()
    write_photo(workdir / 'c.png')
    assert stylize('a.png', 'c.png', '--model', model, '--out', 'b.png') == 2
    assert 'there are 2 photos; name a folder' in capsys.readouterr().err and not Path('b.png').exists()


def test_outputs_mirror_the_input_folder_and_bad_files_are_skipped(model, workdir, capsys):
    for i, name in enumerate(['in/a.png', 'in/deep/a.png', 'in/b.png', f'in/{"n" * 250}.png', 'in/d.png']):
        write_photo(workdir / name, seed=i)
    (workdir / 'in/notes.txt').write_text('no photo')
    (workdir / 'in/cut.png').write_bytes((workdir / 'in/a.png').read_bytes()[:100])
    (workdir / 'in/moves.gif').write_bytes(b'GIF89a')
    for name in '.ipynb_checkpoints/a.png', '@eaDir/a.png/x.jpg', '._b.png', '.part-c.png':
        write_photo(workdir / 'in' / name)  # Hidden files are no photos.
    (workdir / 'in/out/d-a.png').mkdir(parents=True)  # A folder has the name of an output.
    assert stylize('in', 'missing.png', '--model', model, '--out', 'in/out') == 1
    errors = capsys.readouterr().err
    assert '5 of 8 files could not be stylized' in errors and 'Traceback' not in errors
    assert all(f'error: {name}' in errors for name in ('in/cut.png', 'in/moves.gif', 'missing.png', 'in/out/d-a.png'))
    assert 'name too long' in errors
    written = sorted(str(path) for path in Path('in/out').rglob('*') if path.is_file())
    assert written == ['in/out/a-a.png', 'in/out/b-a.png', 'in/out/deep/a-a.png']
    assert stylize('in', '--model', model, '--out', 'in/out') == 1  # Pictures in the output folder are not photos.
    assert sorted(str(path) for path in Path('in/out').rglob('*') if path.is_file()) == written


@pytest.mark.skipif(sys.platform != 'linux', reason='names are bytes on Linux alone')
def test_file_names_may_have_invalid_utf8_or_escape_sequences(model, workdir, capsys):
    pixels = write_photo(workdir / 'a.png')
    names = os.fsdecode(b'in/\xff.png'), 'in/\x1b[31m.png'
    for name in names:
        write_photo(workdir / name)
    (workdir / 'in/\x1b[2J.png').write_text('no photo')
    result = subprocess.run([sys.executable, PROGRAM, 'stylize', 'in', '--model', model, '--style', 'a'],
                            capture_output=True)
    assert result.returncode == 1 and b'Traceback' not in result.stderr and b'\x1b' not in result.stdout + result.stderr
    assert len(list(Path('outputs').iterdir())) == 2
    assert (iio.imread(os.fsdecode(b'outputs/\xff-a.png')) == expected_picture(model, pixels)).all()


def test_two_photos_never_share_an_output_file(model, workdir, capsys):
    write_photo(workdir / 'x/a.png')
    write_photo(workdir / 'y/a.png')
    assert stylize('x/a.png', 'y/a.png', '--model', model) == 2
    assert 'would both become outputs/a-a.png' in capsys.readouterr().err and not Path('outputs').exists()
    iio.imwrite('x/b.bmp', write_photo(workdir / 'x/b.png', seed=3)[::-1])
    assert stylize('x', '--model', model) == 0  # Within a folder, names are made different.
    assert sorted(path.name for path in Path('outputs').iterdir()) == ['a-a.png', 'b-a.png', 'b-png-a.png']


def test_no_photo_is_overwritten_or_silently_skipped(model, workdir, capsys):
    before = write_photo(workdir / 'in/a.png')
    write_photo(workdir / 'in/a-a.png', seed=1)
    (workdir / 'empty').mkdir()
    for arguments, message in ((('in/a.png', '--out', 'in/a.png'), 'in/a.png: is one of the photos'),
                               (('in/a.png', 'in/a-a.png', '--out', 'in'), 'in/a-a.png: is one of the photos'),
                               (('in', '--out', 'in'), '--out in: is the folder of the photos'),
                               (('empty',), 'empty: no images in this folder')):
        assert stylize(*arguments, '--model', model) == 2
        assert message in capsys.readouterr().err
    assert (iio.imread('in/a.png') == before).all() and len(list(Path('in').iterdir())) == 2
    assert stylize('in', '--model', model, '--out', '.') == 0  # The parent of the photos' folder is allowed.
    assert Path('a-a-a.png').exists()
    capsys.readouterr()
    assert stylize('in/a.png', '--model', model, '--shard', '2/2') == 0
    assert 'nothing to do for --shard 2/2' in capsys.readouterr().out


def test_shards_divide_the_photos(model, workdir):
    for i in range(7):
        write_photo(workdir / f'in/{i}.png', 8, 8, seed=i)
    written = []
    for i in range(1, 4):
        assert stylize('in', '--model', model, '--out', f'out{i}', '--shard', f'{i}/3') == 0
        written.append([path.name[0] for path in sorted(Path(f'out{i}').iterdir())])
    assert written == [['0', '3', '6'], ['1', '4'], ['2', '5']]


def animation():
    """Return four frames, uint8 [24, 30, 3], and the settings of their playback."""
    frames = [np.random.default_rng(i).integers(0, 2, (24, 30, 1)).repeat(3, axis=2).astype(np.uint8) * 255
              for i in range(4)]
    return frames, {'duration': [50, 120, 1000, 70], 'loop': 3}


def test_an_animation_keeps_its_timing(model, workdir):
    frames, playback = animation()
    iio.imwrite('a.gif', frames, **playback)
    assert stylize('a.gif', '--model', model) == 0
    written, timing = utils.read_animation('outputs/a-a.gif')
    assert timing == playback
    for frame, picture in zip(frames, written, strict=True):
        expected_frame = expected_picture(model, frame).astype(float)
        # A frame of a GIF has only 256 colors.
        assert np.abs(picture - expected_frame).mean() < 12 < np.abs(picture - frame.astype(float)).mean()
    assert stylize('a.gif', '--model', model, '--out', 'a.jpg') == 1


@pytest.mark.parametrize('suffix, settings, limit', [('png', {}, 0), ('apng', {}, 0), ('webp', {'lossless': True}, 12),
                                                     ('png', {'default_image': True}, 0)])
def test_png_and_webp_animations_keep_all_frames_and_their_format(model, workdir, suffix, settings, limit):
    frames, playback = animation()
    pillow = [Image.fromarray(frame) for frame in frames]
    first, *rest = pillow if 'default_image' not in settings else [Image.fromarray(255 - frames[0]), *pillow]
    first.save(f'a.{suffix}', 'PNG' if suffix == 'apng' else None, save_all=True, append_images=rest, **playback,
               **settings)
    assert stylize(f'a.{suffix}', '--model', model) == 0
    written, timing = utils.read_animation(f'outputs/a-a.{suffix}')
    assert timing == playback and len(written) == 4
    assert Path(f'outputs/a-a.{suffix}').read_bytes()[:4] == Path(f'a.{suffix}').read_bytes()[:4]
    for frame, picture in zip(frames, written, strict=True):
        assert np.abs(picture - expected_picture(model, frame).astype(float)).mean() <= limit
    assert stylize(f'a.{suffix}', '--model', model, '--out', 'moving') == 0  # a file of a folder of this name


def test_stylize_reads_standard_input_and_writes_standard_output(model, workdir):
    pixels = write_photo(workdir / 'a.png')
    command = [sys.executable, PROGRAM, 'stylize', '-', '--model', model, '--style', 'a']
    result = subprocess.run(command, input=Path('a.png').read_bytes(), capture_output=True)
    assert result.returncode == 0 and result.stderr.count(b'\n') == 1, result.stderr
    assert (iio.imread(io.BytesIO(result.stdout), extension='.png') == expected_picture(model, pixels)).all()
    assert not Path('outputs').exists()
    result = subprocess.run([*command, '--out', 'there'], input=b'no picture', capture_output=True, text=False)
    assert result.returncode == 1 and result.stdout == b'' and result.stderr.startswith(b'error: standard input: ')
    frames, playback = animation()
    iio.imwrite('a.gif', frames, **playback)
    result = subprocess.run([*command, '--out', 'moving'], input=Path('a.gif').read_bytes(), capture_output=True)
    assert result.returncode == 0 and utils.read_animation('moving/stdin-a.gif')[1] == playback
    result = subprocess.run(['bash', '-c', '"$@" <(cat a.png)', 'bash', *command[:3], *command[4:]],
                            capture_output=True)
    assert result.returncode == 0, result.stderr
    written, = Path('outputs').iterdir()
    assert (iio.imread(written) == expected_picture(model, pixels)).all()
    for redirection, message in (('<&-', 'standard input: is closed'), ('>&- --out -', 'standard output: is closed')):
        source = 'a.png' if '>' in redirection else '-'
        result = subprocess.run(f'{sys.executable} {PROGRAM} stylize {source} --model {model} --style a {redirection}',
                                shell=True, capture_output=True)
        assert result.returncode in (1, 2) and message in result.stderr.decode() and b'Traceback' not in result.stderr


def test_the_flags_tile_strength_and_keep_colors(model, workdir):
    pixels = write_photo(workdir / 'a.png', 40, 700)
    assert stylize('a.png', '--model', model, '--strength', '0', '--tile', '640') == 0
    assert (iio.imread('outputs/a-a.png') == pixels).all()
    assert stylize('a.png', '--model', model, '--strength', '0.5') == 0
    half_stylized = (expected_picture(model, pixels).astype(float) + pixels) / 2
    assert np.abs(iio.imread('outputs/a-a.png') - half_stylized).max() <= 1
    assert stylize('a.png', '--model', model, '--keep-colors') == 0
    with_photo_colors = iio.imread('outputs/a-a.png').astype(float)
    inside = ((with_photo_colors > 0) & (with_photo_colors < 255)).all(axis=2)
    change = (with_photo_colors - pixels)[inside]
    assert inside.sum() > 100 and np.ptp(change, axis=1).max() <= 1 and np.abs(change).max() > 20


def test_a_photo_is_converted_to_srgb_and_its_picture_says_so(model, workdir):
    pixels = write_photo(workdir / 'plain.png')
    iio.imwrite('a.png', pixels, icc_profile=icc_profiles.EXCHANGED)
    assert stylize('a.png', 'plain.png', '--model', model, '--strength', '0') == 0
    assert stylize('a.png', '--model', model, '--sheet') == 0
    assert np.abs(iio.imread('outputs/a-a.png') - np.int16(pixels[..., [1, 0, 2]])).max() <= 1
    assert (iio.imread('outputs/plain-a.png') == pixels).all()
    assert len(list(Path('outputs').iterdir())) == 3
    assert all(icc_profiles.is_srgb(path.read_bytes()) for path in Path('outputs').iterdir())


@pytest.mark.parametrize('bad_flags, message', [
    (('--model', 'nothing'), 'no such'), (('--strength', '2'), '--strength'), (('--strength', 'nan'), '--strength'),
    (('--tile', '300'), '--tile'), (('--shard', '0/3'), '--shard'), (('--style', 'd'), 'which has a, b, c'),
    (('--style', 'a', '--sheet'), 'not allowed with'),
    (('--shard', '4/3'), '--shard'), (('--shard', 'x'), '--shard')])
def test_bad_flags_are_reported_in_one_line(model, workdir, capsys, bad_flags, message):
    write_photo(workdir / 'a.png')
    assert stylize('a.png', '--model', model, *bad_flags) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith('error: ') and error.count('\n') == 1
    assert not Path('outputs').exists()


@pytest.mark.parametrize('is_animated', [False, True])
def test_a_full_disk_leaves_the_old_picture_unchanged(model, workdir, capsys, monkeypatch, is_animated):
    frames, playback = animation()
    iio.imwrite('a.gif', frames, **playback) if is_animated else write_photo(workdir / 'a.gif')
    assert stylize('a.gif', '--model', model) == 0
    picture = next(Path('outputs').iterdir())
    before = picture.read_bytes()

    def fail(*args, **kwargs):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(utils.iio, 'imwrite', fail)
    assert stylize('a.gif', '--model', model, '--strength', '0.5') == 2
    assert 'No space left on device' in capsys.readouterr().err
    assert picture.read_bytes() == before and len(list(Path('outputs').iterdir())) == 1


# ---------------------------------------------------------------------------------------------------- arbitrary styles

@pytest.fixture
def any_workdir(any_folder, workdir):
    """Make a directory the current one whose only content is models/any, an arbitrary style transfer model."""
    (workdir / 'models').mkdir()
    (workdir / 'models/any').symlink_to(any_folder)
    return workdir


def painted(pixels, paintings, weights=None, scale=1.):
    """Return the picture, float32, that models/any makes of a photo and paintings, all arrays."""
    return arbitrary_inference.ArbitraryStyleModel(Path('models/any'))(
        np.float32(pixels), arbitrary_inference.Style(list(map(np.float32, paintings)), weights, scale))


def test_styles_may_be_paths_of_paintings(any_workdir, model, capsys):
    pixels, a, b = (write_photo(any_workdir / name, seed=i)
                    for i, name in enumerate(('p.png', 'in/a.png', 'b.jpg.png')))
    assert stylize('p.png', style='in/a.png') == 0
    in_style_a = painted(pixels, [a])
    assert np.abs(iio.imread('outputs/p-a.png') - in_style_a).max() < 0.501 and in_style_a.std() > 5
    assert stylize('p.png', '--model', 'models/any', '--style-scale', '0.5', style='in/a.png:3,b.jpg.png:1') == 0
    mixture = painted(pixels, [a, b], [0.75, 0.25], 0.5)
    assert np.abs(iio.imread('outputs/p-a3+b.jpg1.png') - mixture).max() < 0.501
    assert np.abs(mixture - in_style_a).mean() > 1
    assert stylize('p.png', '--model', 'models/any', '--strength', '0.5', style='in/a.png') == 0
    assert np.abs(iio.imread('outputs/p-a.png') - (in_style_a + pixels) / 2).max() < 1
    assert stylize('p.png', '--model', model, style='b') == 0  # Names of styles still work.


def test_paintings_may_have_any_pixel_format(any_workdir):
    pixels, rng = write_photo(any_workdir / 'p.png'), np.random.default_rng(0)
    gray, alpha = (rng.integers(0, 256, (20, 30, channels), dtype=np.uint8) for channels in (1, 4))
    iio.imwrite('gray.png', gray[..., 0])
    iio.imwrite('alpha.png', alpha)
    iio.imwrite('deep.png', np.uint16(gray[..., 0]) * 257)
    iio.imwrite('pixel.png', np.full([1, 1, 3], 200, np.uint8))
    iio.imwrite('cmyk.jpg', alpha, mode='CMYK')
    for name in ('gray', 'alpha', 'deep', 'pixel', 'cmyk'):
        path, = Path().glob(f'{name}.*')
        assert stylize('p.png', style=str(path)) == 0
        stylized = painted(pixels, [utils.read_image(path)])
        assert np.abs(iio.imread(f'outputs/p-{name}.png') - stylized).max() < 0.501
    assert (iio.imread('outputs/p-gray.png') == iio.imread('outputs/p-deep.png')).all()


def test_animations_and_standard_input_take_the_style_of_a_painting(any_workdir):
    painting = write_photo(any_workdir / 'a.png', seed=9)
    frames, playback = animation()
    iio.imwrite('m.gif', frames, **playback)
    assert stylize('m.gif', style='a.png') == 0
    written, timing = utils.read_animation('outputs/m-a.gif')
    assert timing == playback
    for frame, picture in zip(frames, written, strict=True):
        expected_frame = painted(frame, [painting])
        assert np.abs(picture - expected_frame).mean() < 12 < np.abs(picture - np.float32(frame)).mean()
    result = subprocess.run([sys.executable, PROGRAM, 'stylize', '-', '--style', 'a.png'],
                            input=Path('a.png').read_bytes(), capture_output=True)
    assert result.returncode == 0, result.stderr
    assert (iio.imread(io.BytesIO(result.stdout), extension='.png') == utils.to_uint8(
        painted(painting, [painting]))).all()


@pytest.mark.parametrize('is_arbitrary', [False, True])
def test_a_mask_selects_where_each_style_is_applied(any_workdir, model, is_arbitrary):
    """White selects the first style, black the second style or the photo, and gray mixes them.

    The mask has half the size of the photo and is enlarged.
    """
    pixels, a, b = (write_photo(any_workdir / name, seed=i) for i, name in enumerate(('p.png', 'a.png', 'b.png')))
    mask = np.uint8([255] * 10 + [51] * 8 + [0] * 10)[None].repeat(20, axis=0)
    iio.imwrite('mask.png', mask)
    network = multi_style_inference.MultiStyleModel(Path(model))
    first, second = ([painted(pixels, [x]) for x in (a, b)] if is_arbitrary else
                     [network(np.float32(pixels), weights) for weights in np.eye(3)[:2]])
    names, flags = (('a.png', 'b.png'), ()) if is_arbitrary else (('a', 'b'), ('--model', model))
    for style, other, name in ((f'{names[0]},{names[1]}', second, 'a+b'), (names[0], np.float32(pixels), 'a')):
        assert stylize('p.png', '--mask', 'mask.png', *flags, style=style) == 0
        picture = np.float32(iio.imread(f'outputs/p-{name}.png'))
        assert np.abs(first - other).mean() > 1
        for columns, share in ((slice(0, 19), 1), (slice(22, 35), 0.2), (slice(37, 56), 0)):
            mixture = share * first + (1 - share) * other
            np.testing.assert_allclose(picture[:, columns], mixture[:, columns], atol=0.51)


@pytest.mark.parametrize('arguments, message', [
    (('--style', 'none.png'), 'none.png: no such image'), (('--style', 'bad.png'), 'bad.png: cannot be read as'),
    (('--style', 'in/'), 'in/: is a folder'), (('--style', 'a.png,starry_night'), 'starry_night is not an image; '),
    (('--style', 'a.png:-1'), '0 or more'), (('--style', 'a.png:x'), 'x is not a number'),
    (('--style', 'a', '--model', 'models/any'), 'a: no such image'),
    (('--sheet', '--model', 'models/any'), '--sheet: the model any has no fixed styles; name paintings'),
    (('--style', 'a.png', '--tile', '500'), '--tile 500: must be from 700 to 4096 for the model any'),
    (('--style', 'a.png', '--style-scale', '3'), '--style-scale'),
    (('--style', 'a.png', '--mask', 'none.png'), 'none.png: '),
    (('--style', 'a.png,a.png,a.png', '--mask', 'a.png'), '--mask: works with one or two styles, but there are 3'),
    (('--style', 'a.png:1,a.png:2', '--mask', 'a.png'), 'weights have no effect with --mask'),
    (('--style', 'a', '--style-scale', '0.5', '--model', 'MODEL'), '--style-scale: applies only to paintings'),
    (('--style', 'a.png', '--model', 'MODEL'), 'a.png: is not a style of this model, which has a, b, c')])
def test_bad_paintings_are_reported_in_one_line(any_workdir, model, capsys, arguments, message):
    write_photo(any_workdir / 'a.png')
    (any_workdir / 'in').mkdir()
    (any_workdir / 'bad.png').write_bytes(Path('a.png').read_bytes()[:200])
    assert main(['stylize', 'a.png', *(text.replace('MODEL', model) for text in arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith('error: ') and error.count('\n') == 1
    assert not Path('outputs').exists()


def test_photos_with_another_aspect_ratio_than_the_mask_are_skipped(any_workdir, capsys):
    for name, size in (('a.png', (40, 56)), ('wide.png', (20, 56)), ('mask.png', (20, 28))):
        write_photo(any_workdir / name, *size)
    assert stylize('a.png', 'wide.png', '--mask', 'mask.png', style='a.png') == 1
    error = capsys.readouterr().err
    assert ('error: --mask: 28×20 has a different aspect ratio than the photo, 56×20; crop the mask to match; skipped'
            in error)
    assert [path.name for path in Path('outputs').iterdir()] == ['a-a.png']


def test_settings_identify_paintings_and_masks_by_their_pixels(any_workdir):
    """Outputs of the Beam pipeline and parts of clips store these settings; equal pixels give equal settings."""
    for i, name in enumerate(('a.png', 'b.png', 'mask.png')):
        write_photo(any_workdir / name, seed=i)
    iio.imwrite('again.bmp', iio.imread('a.png'))

    def settings(*arguments):
        parser = cli.Parser()
        stylize_command.add_flags(parser)
        return stylize_command.renderer_from_flags(parser.parse_args(['p.png', *arguments])).settings()
    first = settings('--style', 'a.png')
    assert first == settings('--style', 'again.bmp', '--tile', '700') == json.loads(json.dumps(first))
    others = [settings('--style', 'b.png'), settings('--style', 'a.png,b.png'), settings('--style', 'a.png:2,b.png:1'),
              settings('--style', 'a.png', '--style-scale', '0.5'), settings('--style', 'a.png', '--mask', 'mask.png'),
              settings('--style', 'a.png', '--mask', 'b.png'), settings('--style', 'a.png,b.png', '--mask', 'mask.png')]
    assert all(first != other for first, other in itertools.combinations([first, *others], 2))
