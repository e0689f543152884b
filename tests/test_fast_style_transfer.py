"""Fast style transfer: losses against NumPy, training that learns and resumes exactly, and all that `stylize` takes."""

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
from tests import reference
from tests.factories import block_photos, random_parameters

PROGRAM = paths.ROOT / 'fast_style_transfer.py'
SIDE = 32
# the balance of FAST is for the true VGG-19
QUIET = dataclasses.replace(recipes.FAST, style_weight=0.1, learning_rate=5e-3, log_schedule=((math.inf, 100),))
SHALLOW = dataclasses.replace(QUIET, content_layers=('conv1_2',), style_layers=('conv1_1',), style_layer_weights=(1.,))


@pytest.fixture(scope='module', autouse=True)
def plain(unoptimized_graphs):
    """All trainings here use `unoptimized_graphs`."""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Eight photos of blocks, and a file that is none."""
    folder = block_photos(tmp_path_factory.mktemp('photos'), 8)
    (folder / 'notes.png').write_text('no picture')
    return folder


@pytest.fixture(scope='module')
def model(model_folder):
    """The path of a model with random parameters and the styles a, b and c, as text."""
    return str(model_folder)


@pytest.fixture
def one_block(model, monkeypatch):
    """For the time of a test networks have one residual block; the model, which has five, is made before."""
    monkeypatch.setattr(multi_style_network, 'RESIDUAL_BLOCKS', 1)


@pytest.fixture(scope='module')
def build(folder, images, tiny_vgg):
    """A function that builds a small `FastStyleTransfer` of two styles, the run 'r'."""
    def built(name='r', seed=0, recipe=SHALLOW, styles=images, **more):
        photos = CropDataset([folder], SIDE + 2 * SHIFT_PX, seed)
        machine = MultiStyleTraining(photos, 3, images, styles, 4, recipe=recipe, vgg=tiny_vgg, seed=seed,
                                    precision='float32', name=name, **{'consistency_weight': 2., **more})
        machine.build()
        return machine
    return built


@pytest.fixture(scope='module')
def machine(build):
    """One of one residual block whose rate falls soon, not trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multi_style_network, 'RESIDUAL_BLOCKS', 1)
        patch.setattr(network_training, 'FULL_RATE_STEPS', 2)
        return build(recipe=QUIET, content_weights=[0.5, 3.])


def photo(path, height=40, width=56, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    iio.imwrite(path, pixels)
    return pixels


def expected(model, pixels):
    """The picture that the model makes of a photo in style a."""
    return utils.to_uint8(multi_style_inference.MultiStyleModel(Path(model))(np.float32(pixels), [1, 0, 0]))


# ------------------------------------------------------------------------------------------------------------- training

def share(f, p):
    return ((f - p) ** 2).sum() / (p ** 2).sum()


def test_the_losses_of_a_batch_are_the_means_of_its_photos_losses(machine, tiny_vgg):
    """Content as a share by its style's factor, covariance and mean of the style, smoothness, the second view."""
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
    content = np.mean([factor * share(F['conv3_1'], P['conv3_1']) for factor, P, F in zip([0.5, 3], *features)])
    style = np.mean([sum(share(g, a) for layer in ('conv1_1', 'conv2_1', 'conv3_1', 'conv4_1')
                         for g, a in zip(moments(F[layer]), moments(A[layer]))) for F, A in zip(features[1], styles)])
    x = np.float64(pictures)
    variation = (np.diff(x, axis=1) ** 2).mean() + (np.diff(x, axis=2) ** 2).mean()
    low = np.maximum(SHIFT_PX, shift) + 8
    side = SIDE - SHIFT_PX - 16
    seen = [view[:, low[0] - y:low[0] - y + side, low[1] - x:low[1] - x + side]
            for view, (y, x) in zip(views, ((SHIFT_PX, SHIFT_PX), shift))]
    moved = ((np.float64(seen[0]) - seen[1]) ** 2).mean() / 127.5 ** 2
    total = content + QUIET.style_weight * style + QUIET.tv_weight * variation + 2 * moved
    assert losses.keys() == {'content_loss', 'style_loss', 'tv_loss', 'shift_loss', 'total_loss'} and moved > 0
    for name, value in zip(('content', 'style', 'tv', 'shift', 'total'), (content, style, variation, moved, total)):
        assert losses[f'{name}_loss'] == pytest.approx(value, rel=1e-4 if name == 'shift' else 2e-3), name


def test_the_second_view_is_the_photo_shifted_with_noise(build, monkeypatch):
    """Where the network is the identity, the two views differ by the noise alone."""
    monkeypatch.setattr(multi_style_training.TransformNet, '__call__', lambda self, photos, weights: (
        photos + 0 * self._parameter('conv/weights', [1], tf.zeros_initializer()), None))
    machine = build()
    with machine.open_session() as sess:
        machine.initialize(sess)
        sess.run(machine.start_input, {machine.first: 0})
        shifts, noise = [], []
        for _ in range(30):
            moved, shift, loss, _ = sess.run([
                machine.towers[0].views[1], machine.shift, machine.loss_terms['shift_loss'], machine.opt])
            shifts.append(tuple(shift))
            noise.append(loss)
    assert np.sqrt(np.mean(noise)) * 127.5 == pytest.approx(NOISE_DEVIATION, rel=0.05)
    assert len(set(shifts)) > 20 and np.min(shifts) == 0 and np.max(shifts) == 2 * SHIFT_PX


def test_without_steadiness_there_is_one_view_and_no_loss_of_two(build, one_block, workdir):
    machine = build(consistency_weight=0.)
    with machine.open_session() as sess:
        machine.initialize(sess)
        losses = sess.run(machine.loss_terms, machine.display_feed)
    assert len(machine.towers[0].views) == 1
    assert losses.keys() == {'content_loss', 'style_loss', 'tv_loss', 'total_loss'}
    assert losses['total_loss'] == pytest.approx(losses['content_loss'] + QUIET.style_weight * losses['style_loss']
                                                 + QUIET.tv_weight * losses['tv_loss'], rel=1e-4)


def test_a_gradient_that_is_too_long_is_cut_to_its_length(build, one_block, workdir, monkeypatch):
    """Adam's first mean is a tenth of the first gradient."""
    monkeypatch.setattr(network_training, 'MAX_GRADIENT_NORM', 1e-3)
    machine = build()
    with machine.open_session() as sess:
        machine.initialize(sess)
        sess.run(machine.start_input, {machine.first: 0})
        sess.run(machine.opt)
        with machine.graph.as_default():
            moments = sess.run([v for v in tf.global_variables() if v.op.name.endswith('/Adam')])
    assert np.sqrt(sum(np.square(m).sum() for m in moments)) == pytest.approx(0.1 * 1e-3, rel=1e-3)


def test_only_the_network_is_trained_and_no_op_is_added(machine):
    with machine.graph.as_default():
        assert ({v.op.name for v in tf.trainable_variables()}
                == {f'network/{name}' for name in machine.network.parameters})
    assert machine.graph.finalized


def test_a_batch_has_each_style_once_and_all_come_in_turn(machine):
    with machine.open_session() as sess:
        machine.initialize(sess)
        sess.run(machine.start_input, {machine.first: 0})
        for _ in range(5):
            weights, _ = sess.run([machine.towers[0].styles, machine.opt])
            assert sorted(weights.argmax(axis=1)[:2]) == [0, 1] and (np.sort(weights) == [0, 1]).all()


def test_the_rate_falls_as_the_square_root_of_the_steps(machine):
    rate, = [op.outputs[0] for op in machine.graph.get_operations() if op.name == 'optimizer/mul']
    with machine.open_session() as sess:
        machine.initialize(sess)
        sess.run(machine.start_input, {machine.first: 0})
        rates = []
        for _ in range(6):
            rates.append(sess.run(rate))
            sess.run(machine.opt)
    np.testing.assert_allclose(rates, 5e-3 * np.sqrt([1, 1, 2 / 3, 2 / 4, 2 / 5, 2 / 6]), rtol=1e-5)


def test_what_is_shown_is_the_moving_average_of_what_is_trained(machine):
    with machine.open_session() as sess:
        machine.initialize(sess)
        averages = trained = sess.run(machine.network.parameters)
        for step, _ in zip(range(1, 31), machine.optimizer_steps(sess, 0)):
            decay = min(0.998, step / (9 + step))
            before, trained = trained, sess.run(machine.network.parameters)
            averages = {name: decay * averages[name] + (1 - decay) * trained[name] for name in trained}
            assert any((before[name] != trained[name]).any() for name in trained)
        shown = sess.run(machine.network.parameters, machine.display_feed)
    for name, average in averages.items():
        np.testing.assert_allclose(shown[name], average, rtol=1e-3, atol=1e-5)
        assert np.abs(shown[name] - trained[name]).max() > 1e-4


def test_100_steps_lower_the_loss_by_a_third_and_hand_in_a_model(build, one_block, workdir):
    machine = build(recipe=dataclasses.replace(QUIET, style_weight=2.))
    assert machine.train(100).step == 100
    total = [losses['total_loss'] for losses in machine.run.history]
    # medians: of some crops the tiny VGG sees next to nothing, and content is a share of that
    assert np.median(total[-20:]) < np.median(total[:5]) * 2 / 3
    strip = iio.imread('outputs/r/final.png')
    assert strip.shape == (2 * SIDE, 2 * SIDE, 3)
    photos = machine.held_out[:, SHIFT_PX:-SHIFT_PX, SHIFT_PX:-SHIFT_PX]
    assert np.abs(strip[:SIDE].astype(float) - np.hstack(photos)).max() <= 1  # above, the photos themselves
    about = json.loads(Path('models/r/model.json').read_text())
    assert about['steps'] == 100
    assert about['styles'] == {path.stem: files.file_hash(path) for path in machine.style_paths}
    checkpoint = tf.train.load_checkpoint('checkpoints/r')
    averages = {name: checkpoint.get_tensor(f'network/{name}/average') for name in machine.network.parameters}
    trained = export.read_multi_style(Path('models/r'))
    assert all((trained.parameters[name] == value).all() for name, value in averages.items())
    model = multi_style_inference.MultiStyleModel(Path('models/r'))
    pictures = [model(image, weights) for image, weights in zip(photos, np.eye(2))]
    assert np.abs(np.hstack(utils.to_uint8(np.array(pictures))) - 1. * strip[SIDE:]).max() <= 1


def test_a_resumed_training_is_the_same_to_the_bit(build, one_block, workdir):
    assert build('straight').train(14).step == 14
    machine = build()
    assert machine.train(5, write_results=False).step == 5  # not at the end of an epoch of photos
    assert machine.train(14).step == 14
    for path in ('outputs/{}/final.png', 'models/{}/saved_model.pb', 'models/{}/model.tflite',
                 'checkpoints/{}/losses.csv'):
        assert Path(path.format('r')).read_bytes() == Path(path.format('straight')).read_bytes()


def test_a_style_is_added_and_what_was_there_stays_to_the_bit(build, one_block, images, workdir):
    start = export.TrainedNetwork(random_parameters(1), {'content': 'a hash'}, 'another')
    machine = build('more', styles=images[1:], start=start, add=True)
    with machine.graph.as_default():
        assert all(v.op.name.endswith(('gamma', 'beta')) for v in tf.trainable_variables())
    machine.train(5)
    more = export.read_multi_style(Path('models/more'))
    assert list(more.styles) == ['content', 'style']
    for name, before in start.parameters.items():
        after = more.parameters[name]
        if name.endswith(('gamma', 'beta')):
            assert after.shape[0] == 2 and (after[0] == before[0]).all() and (after[1] != before[0]).any()
        else:
            assert (after == before).all()


def test_another_training_starts_from_a_model_with_its_styles_where_they_were(build, one_block, images):
    start = export.TrainedNetwork(random_parameters(2), {'content': 'a hash', 'style': 'another'}, 'a third')
    machine = build('next', styles=images[::-1], start=start)
    with machine.open_session() as sess:
        machine.initialize(sess)
        first = sess.run(machine.network.parameters)
        with machine.graph.as_default():
            assert len(tf.trainable_variables()) == len(first)
    for name, value in start.parameters.items():
        assert (first[name] == (value[::-1] if name.endswith(('gamma', 'beta')) else value)).all()


def test_ctrl_c_leaves_a_checkpoint_and_no_model(machine, workdir, monkeypatch):
    monkeypatch.setattr(process.StopSignal, 'requested', True)
    assert machine.train(50) == (1, 'stopped', 0)
    assert Path('checkpoints/r/model-1.index').exists() and not Path('models').exists()


@pytest.mark.parametrize('command, package, requirements', [
    ('train', 'tensorflow', 'requirements.txt'), ('stylize', 'ai_edge_litert', 'requirements-stylize.txt')])
def test_a_package_that_is_missing_is_named(command, package, requirements):
    program = ('import sys; sys.modules[sys.argv[2]] = None; import fast_style_transfer;'
               'sys.exit(fast_style_transfer.main([sys.argv[1]]))')
    done = subprocess.run([sys.executable, '-c', program, command, package], cwd=paths.ROOT, capture_output=True,
                          text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f'error: the package {package}')
    assert done.stderr.endswith(f' is missing: pip install -r {requirements}\n') and done.stderr.count('\n') == 1


def training_flags(folder, images, tiny_vgg, *more):
    return ['train', '--style', str(images[1]), '--images', str(folder), '--held-out', str(images[0]),
            '--vgg', str(tiny_vgg), '--side', '32', '--batch', '2', '--base', '4', '--iterations', '2',
            '--name', 'small', *more]


def test_the_command_trains_names_what_it_skipped_and_refuses_another_model(folder, images, tiny_vgg, one_block,
                                                                            workdir, capsys, monkeypatch):
    flags = training_flags(folder, images, tiny_vgg, '--content-layers', 'conv1_2', '--style-layers', 'conv1_1',
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
    assert main([*flags, '--seed', '1']) == 0  # over the older model, as was asked for
    assert json.loads(Path('models/small/model.json').read_text())['seed'] == 1


@pytest.mark.parametrize('more, says', [
    (('--images', 'nowhere'), 'nowhere: no such folder'), (('--learning-rate', '0'), '--learning-rate'),
    (('--content-weights', '1', '2', '3'), '--content-weights: 3 for '), (('--base', '3'), '--base'),
    (('--side', '31'), '--side'), (('--init', 'content'), '--init'),
    (('--scales', '2'), '--scales'), (('--add', 'x', '--start', 'y'), 'use only one of them'),
    (('--add', 'x'), 'error: x: no such model'),
    (('--add', 'MODEL', '--base', '8'), '--base 8: MODEL has 4 '), (('--start', 'MODEL', '--base', '8'), '--base 8'),
    (('--held-out', 'none.png'), 'none.png: '), (('--style', 'none.png'), 'none.png: ')])
def test_bad_training_flags_end_in_one_line(folder, images, tiny_vgg, model, workdir, capsys, more, says):
    more, says = [text.replace('MODEL', model) for text in more], says.replace('MODEL', model)
    assert main(training_flags(folder, images, tiny_vgg, *more)) == 2
    err = capsys.readouterr().err
    assert says in err and err.startswith('error: ') and err.count('\n') == 1
    assert not list(workdir.rglob('*.index'))


# ------------------------------------------------------------------------------------------------------------ stylizing

def stylize(*arguments, style='a'):
    """The exit status of the command, with a style where none is named."""
    named = () if {'--style', '--sheet'} & set(arguments) else ('--style', style)
    return main(['stylize', *map(str, arguments), *named])


def test_a_photo_keeps_its_size_and_its_kind(model, workdir):
    sizes = {'a.png': (33, 57), 'b.JPG': (1, 1), 'c.jpeg': (130, 3), 'd.bmp': (8, 8)}
    for i, (name, size) in enumerate(sizes.items()):
        photo(workdir / name, *size, seed=i)
    assert stylize(*sizes, '--model', model) == 0
    written = {path.name: iio.imread(path) for path in Path('outputs').iterdir()}
    assert {name: image.shape[:2] for name, image in written.items()} == {
        'a-a.png': (33, 57), 'b-a.JPG': (1, 1), 'c-a.jpeg': (130, 3), 'd-a.png': (8, 8)}
    assert (written['a-a.png'] == expected(model, iio.imread('a.png'))).all()
    assert (written['d-a.png'] == expected(model, iio.imread('d.bmp'))).all()


def test_styles_mixtures_and_the_sheet_of_all(model, workdir, capsys):
    pixels = photo(workdir / 'p.png', 24, 32)
    assert stylize('p.png', '--model', model, '--style', 'b:0.25,c:0.75') == 0
    network = multi_style_inference.MultiStyleModel(Path(model))
    mixture = utils.to_uint8(network(np.float32(pixels), [0, 0.25, 0.75]))
    assert (iio.imread('outputs/p-b0.25+c0.75.png') == mixture).all()
    capsys.readouterr()
    assert stylize('p.png', '--model', model, '--sheet') == 0
    assert 'outputs/p-sheet.png: the photo, a, b, c' in capsys.readouterr().out
    sheet = iio.imread('outputs/p-sheet.png')
    assert sheet.shape == (48, 64, 3) and (sheet[:24, :32] == pixels).all()
    for i, place in enumerate(((0, 32), (24, 0), (24, 32))):
        part = sheet[place[0]:place[0] + 24, place[1]:place[1] + 32]
        assert (part == utils.to_uint8(network(np.float32(pixels), np.eye(3)[i]))).all()


def test_one_photo_may_have_a_file_for_its_picture(model, workdir, capsys):
    pixels = photo(workdir / 'a.png')
    assert stylize('a.png', '--model', model, '--out', 'new/b.png') == 0
    assert (iio.imread('new/b.png') == expected(model, pixels)).all()
    photo(workdir / 'c.png')
    assert stylize('a.png', 'c.png', '--model', model, '--out', 'b.png') == 2
    assert 'there are 2 photos; name a folder' in capsys.readouterr().err and not Path('b.png').exists()


def test_a_folder_keeps_its_shape_and_bad_files_are_skipped(model, workdir, capsys):
    for i, name in enumerate(['in/a.png', 'in/deep/a.png', 'in/b.png', f'in/{"n" * 250}.png', 'in/d.png']):
        photo(workdir / name, seed=i)
    (workdir / 'in/notes.txt').write_text('no photo')
    (workdir / 'in/cut.png').write_bytes((workdir / 'in/a.png').read_bytes()[:100])
    (workdir / 'in/moves.gif').write_bytes(b'GIF89a')
    (workdir / 'in/out/d-a.png').mkdir(parents=True)  # where a picture goes
    assert stylize('in', 'missing.png', '--model', model, '--out', 'in/out') == 1
    err = capsys.readouterr().err
    assert '5 of 8 files could not be stylized' in err and 'Traceback' not in err
    assert all(f'error: {name}' in err for name in ('in/cut.png', 'in/moves.gif', 'missing.png', 'in/out/d-a.png'))
    assert 'name too long' in err
    written = sorted(str(path) for path in Path('in/out').rglob('*') if path.is_file())
    assert written == ['in/out/a-a.png', 'in/out/b-a.png', 'in/out/deep/a-a.png']
    assert stylize('in', '--model', model, '--out', 'in/out') == 1  # its own pictures are not photos
    assert sorted(str(path) for path in Path('in/out').rglob('*') if path.is_file()) == written


@pytest.mark.skipif(sys.platform != 'linux', reason='names are bytes on Linux alone')
def test_names_that_are_no_text_or_have_escapes(model, workdir, capsys):
    pixels = photo(workdir / 'a.png')
    names = os.fsdecode(b'in/\xff.png'), 'in/\x1b[31m.png'
    for name in names:
        photo(workdir / name)
    (workdir / 'in/\x1b[2J.png').write_text('no photo')
    done = subprocess.run([sys.executable, PROGRAM, 'stylize', 'in', '--model', model, '--style', 'a'],
                          capture_output=True)
    assert done.returncode == 1 and b'Traceback' not in done.stderr and b'\x1b' not in done.stdout + done.stderr
    assert len(list(Path('outputs').iterdir())) == 2
    assert (iio.imread(os.fsdecode(b'outputs/\xff-a.png')) == expected(model, pixels)).all()


def test_two_photos_never_become_one_picture(model, workdir, capsys):
    photo(workdir / 'x/a.png')
    photo(workdir / 'y/a.png')
    assert stylize('x/a.png', 'y/a.png', '--model', model) == 2
    assert 'would both become outputs/a-a.png' in capsys.readouterr().err and not Path('outputs').exists()
    iio.imwrite('x/b.bmp', photo(workdir / 'x/b.png', seed=3)[::-1])
    assert stylize('x', '--model', model) == 0  # of one folder both are kept
    assert sorted(path.name for path in Path('outputs').iterdir()) == ['a-a.png', 'b-a.png', 'b-png-a.png']


def test_no_photo_is_overwritten_or_silently_left_out(model, workdir, capsys):
    before = photo(workdir / 'in/a.png')
    photo(workdir / 'in/a-a.png', seed=1)
    (workdir / 'empty').mkdir()
    for arguments, says in ((('in/a.png', '--out', 'in/a.png'), 'in/a.png: is one of the photos'),
                            (('in/a.png', 'in/a-a.png', '--out', 'in'), 'in/a-a.png: is one of the photos'),
                            (('in', '--out', 'in'), '--out in: is the folder of the photos'),
                            (('empty',), 'empty: no images in this folder')):
        assert stylize(*arguments, '--model', model) == 2
        assert says in capsys.readouterr().err
    assert (iio.imread('in/a.png') == before).all() and len(list(Path('in').iterdir())) == 2
    assert stylize('in', '--model', model, '--out', '.') == 0  # a folder above is none of theirs
    assert Path('a-a-a.png').exists()
    capsys.readouterr()
    assert stylize('in/a.png', '--model', model, '--shard', '2/2') == 0
    assert 'nothing to do for --shard 2/2' in capsys.readouterr().out


def test_shards_share_the_work(model, workdir):
    for i in range(7):
        photo(workdir / f'in/{i}.png', 8, 8, seed=i)
    written = []
    for i in range(1, 4):
        assert stylize('in', '--model', model, '--out', f'out{i}', '--shard', f'{i}/3') == 0
        written.append([path.name[0] for path in sorted(Path(f'out{i}').iterdir())])
    assert written == [['0', '3', '6'], ['1', '4'], ['2', '5']]


def animation():
    """Four frames and how they play."""
    frames = [np.random.default_rng(i).integers(0, 2, (24, 30, 1)).repeat(3, axis=2).astype(np.uint8) * 255
              for i in range(4)]
    return frames, {'duration': [50, 120, 1000, 70], 'loop': 3}


def test_an_animation_keeps_its_timing(model, workdir):
    frames, plays = animation()
    iio.imwrite('a.gif', frames, **plays)
    assert stylize('a.gif', '--model', model) == 0
    written, timing = utils.read_animation('outputs/a-a.gif')
    assert timing == plays
    for frame, picture in zip(frames, written, strict=True):
        wanted = expected(model, frame).astype(float)
        # 256 colors a frame
        assert np.abs(picture - wanted).mean() < 12 < np.abs(picture - frame.astype(float)).mean()
    assert stylize('a.gif', '--model', model, '--out', 'a.png') == 1


def test_standard_input_and_output(model, workdir):
    pixels = photo(workdir / 'a.png')
    command = [sys.executable, PROGRAM, 'stylize', '-', '--model', model, '--style', 'a']
    done = subprocess.run(command, input=Path('a.png').read_bytes(), capture_output=True)
    assert done.returncode == 0 and done.stderr.count(b'\n') == 1, done.stderr
    assert (iio.imread(io.BytesIO(done.stdout), extension='.png') == expected(model, pixels)).all()
    assert not Path('outputs').exists()
    done = subprocess.run([*command, '--out', 'there'], input=b'no picture', capture_output=True, text=False)
    assert done.returncode == 1 and done.stdout == b'' and done.stderr.startswith(b'error: standard input: ')
    frames, plays = animation()
    iio.imwrite('a.gif', frames, **plays)
    done = subprocess.run([*command, '--out', 'moving'], input=Path('a.gif').read_bytes(), capture_output=True)
    assert done.returncode == 0 and utils.read_animation('moving/stdin-a.gif')[1] == plays
    done = subprocess.run(['bash', '-c', '"$@" <(cat a.png)', 'bash', *command[:3], *command[4:]], capture_output=True)
    assert done.returncode == 0, done.stderr
    written, = Path('outputs').iterdir()
    assert (iio.imread(written) == expected(model, pixels)).all()
    for closed, says in (('<&-', 'standard input: is closed'), ('>&- --out -', 'standard output: is closed')):
        source = 'a.png' if '>' in closed else '-'
        done = subprocess.run(f'{sys.executable} {PROGRAM} stylize {source} --model {model} --style a {closed}',
                              shell=True, capture_output=True)
        assert done.returncode in (1, 2) and says in done.stderr.decode() and b'Traceback' not in done.stderr


def test_tiles_strength_and_colors(model, workdir):
    pixels = photo(workdir / 'a.png', 40, 700)
    assert stylize('a.png', '--model', model, '--strength', '0', '--tile', '640') == 0
    assert (iio.imread('outputs/a-a.png') == pixels).all()
    assert stylize('a.png', '--model', model, '--strength', '0.5') == 0
    half = (expected(model, pixels).astype(float) + pixels) / 2
    assert np.abs(iio.imread('outputs/a-a.png') - half).max() <= 1
    assert stylize('a.png', '--model', model, '--keep-colors') == 0
    kept = iio.imread('outputs/a-a.png').astype(float)
    inside = ((kept > 0) & (kept < 255)).all(axis=2)
    change = (kept - pixels)[inside]
    assert inside.sum() > 100 and np.ptp(change, axis=1).max() <= 1 and np.abs(change).max() > 20


def test_a_picture_keeps_the_photos_color_profile(model, workdir):
    pixels = photo(workdir / 'plain.png')
    iio.imwrite('a.png', pixels, icc_profile=b'what a color means')
    iio.imwrite('a.jpg', pixels, icc_profile=b'what a color means')
    assert stylize('a.png', 'a.jpg', 'plain.png', '--model', model) == 0
    profiles = {path.name: iio.immeta(path).get('icc_profile') for path in Path('outputs').iterdir()}
    assert profiles == {'a-a.png': b'what a color means', 'a-a.jpg': b'what a color means', 'plain-a.png': None}


@pytest.mark.parametrize('more, says', [
    (('--model', 'nothing'), 'no such'), (('--strength', '2'), '--strength'), (('--strength', 'nan'), '--strength'),
    (('--tile', '300'), '--tile'), (('--shard', '0/3'), '--shard'), (('--style', 'd'), 'which has a, b, c'),
    (('--style', 'a', '--sheet'), 'not allowed with'),
    (('--shard', '4/3'), '--shard'), (('--shard', 'x'), '--shard')])
def test_bad_flags_end_in_one_line(model, workdir, capsys, more, says):
    photo(workdir / 'a.png')
    assert stylize('a.png', '--model', model, *more) == 2
    err = capsys.readouterr().err
    assert says in err and err.startswith('error: ') and err.count('\n') == 1
    assert not Path('outputs').exists()


@pytest.mark.parametrize('moves', [False, True])
def test_a_full_disk_loses_nothing(model, workdir, capsys, monkeypatch, moves):
    frames, plays = animation()
    iio.imwrite('a.gif', frames, **plays) if moves else photo(workdir / 'a.gif')
    assert stylize('a.gif', '--model', model) == 0
    picture = next(Path('outputs').iterdir())
    before = picture.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(utils.iio, 'imwrite', full)
    assert stylize('a.gif', '--model', model, '--strength', '0.5') == 2
    assert 'No space left on device' in capsys.readouterr().err
    assert picture.read_bytes() == before and len(list(Path('outputs').iterdir())) == 1


# ------------------------------------------------------------------------------------------------------ any painting

@pytest.fixture
def any_workdir(any_folder, workdir):
    """An empty current directory but for models/any, which takes any painting."""
    (workdir / 'models').mkdir()
    (workdir / 'models/any').symlink_to(any_folder)
    return workdir


def painted(pixels, paintings, weights=None, scale=1.):
    """The picture, float32, that models/any makes of a photo by arrays."""
    return arbitrary_inference.ArbitraryStyleModel(Path('models/any'))(
        np.float32(pixels), arbitrary_inference.Style(list(map(np.float32, paintings)), weights, scale))


def test_paintings_are_styles_by_their_paths(any_workdir, model, capsys):
    pixels, a, b = (photo(any_workdir / name, seed=i) for i, name in enumerate(('p.png', 'in/a.png', 'b.jpg.png')))
    assert stylize('p.png', style='in/a.png') == 0
    wanted = painted(pixels, [a])
    assert np.abs(iio.imread('outputs/p-a.png') - wanted).max() < 0.501 and wanted.std() > 5
    assert stylize('p.png', '--model', 'models/any', '--style-scale', '0.5', style='in/a.png:3,b.jpg.png:1') == 0
    mixture = painted(pixels, [a, b], [0.75, 0.25], 0.5)
    assert np.abs(iio.imread('outputs/p-a3+b.jpg1.png') - mixture).max() < 0.501
    assert np.abs(mixture - wanted).mean() > 1
    assert stylize('p.png', '--model', 'models/any', '--strength', '0.5', style='in/a.png') == 0
    assert np.abs(iio.imread('outputs/p-a.png') - (wanted + pixels) / 2).max() < 1
    assert stylize('p.png', '--model', model, style='b') == 0  # names are as they were


def test_paintings_of_every_kind(any_workdir):
    pixels, rng = photo(any_workdir / 'p.png'), np.random.default_rng(0)
    gray, alpha = (rng.integers(0, 256, (20, 30, channels), dtype=np.uint8) for channels in (1, 4))
    iio.imwrite('gray.png', gray[..., 0])
    iio.imwrite('alpha.png', alpha)
    iio.imwrite('deep.png', np.uint16(gray[..., 0]) * 257)
    iio.imwrite('pixel.png', np.full([1, 1, 3], 200, np.uint8))
    iio.imwrite('cmyk.jpg', alpha, mode='CMYK')
    for name in ('gray', 'alpha', 'deep', 'pixel', 'cmyk'):
        path, = Path().glob(f'{name}.*')
        assert stylize('p.png', style=str(path)) == 0
        wanted = painted(pixels, [utils.read_image(path)])
        assert np.abs(iio.imread(f'outputs/p-{name}.png') - wanted).max() < 0.501
    assert (iio.imread('outputs/p-gray.png') == iio.imread('outputs/p-deep.png')).all()


def test_an_animation_and_standard_input_in_the_style_of_a_painting(any_workdir):
    painting = photo(any_workdir / 'a.png', seed=9)
    frames, plays = animation()
    iio.imwrite('m.gif', frames, **plays)
    assert stylize('m.gif', style='a.png') == 0
    written, timing = utils.read_animation('outputs/m-a.gif')
    assert timing == plays
    for frame, picture in zip(frames, written, strict=True):
        wanted = painted(frame, [painting])
        assert np.abs(picture - wanted).mean() < 12 < np.abs(picture - np.float32(frame)).mean()
    done = subprocess.run([sys.executable, PROGRAM, 'stylize', '-', '--style', 'a.png'],
                          input=Path('a.png').read_bytes(), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (iio.imread(io.BytesIO(done.stdout), extension='.png') == utils.to_uint8(
        painted(painting, [painting]))).all()


@pytest.mark.parametrize('of_any', [False, True])
def test_a_mask_says_where_styles_go(any_workdir, model, of_any):
    """White the first, black the second, gray both; or the photo. Of half the photo's size it is enlarged."""
    pixels, a, b = (photo(any_workdir / name, seed=i) for i, name in enumerate(('p.png', 'a.png', 'b.png')))
    mask = np.uint8([255] * 10 + [51] * 8 + [0] * 10)[None].repeat(20, axis=0)
    iio.imwrite('mask.png', mask)
    network = multi_style_inference.MultiStyleModel(Path(model))
    first, second = ([painted(pixels, [x]) for x in (a, b)] if of_any else
                     [network(np.float32(pixels), weights) for weights in np.eye(3)[:2]])
    names, flags = (('a.png', 'b.png'), ()) if of_any else (('a', 'b'), ('--model', model))
    for style, other, name in ((f'{names[0]},{names[1]}', second, 'a+b'), (names[0], np.float32(pixels), 'a')):
        assert stylize('p.png', '--mask', 'mask.png', *flags, style=style) == 0
        picture = np.float32(iio.imread(f'outputs/p-{name}.png'))
        assert np.abs(first - other).mean() > 1
        for columns, share in ((slice(0, 19), 1), (slice(22, 35), 0.2), (slice(37, 56), 0)):
            wanted = share * first + (1 - share) * other
            np.testing.assert_allclose(picture[:, columns], wanted[:, columns], atol=0.51)


@pytest.mark.parametrize('arguments, says', [
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
def test_bad_paintings_end_in_one_line(any_workdir, model, capsys, arguments, says):
    photo(any_workdir / 'a.png')
    (any_workdir / 'in').mkdir()
    (any_workdir / 'bad.png').write_bytes(Path('a.png').read_bytes()[:200])
    assert main(['stylize', 'a.png', *(text.replace('MODEL', model) for text in arguments)]) == 2
    err = capsys.readouterr().err
    assert says in err and err.startswith('error: ') and err.count('\n') == 1
    assert not Path('outputs').exists()


def test_photos_of_another_shape_than_the_mask_are_skipped(any_workdir, capsys):
    for name, size in (('a.png', (40, 56)), ('wide.png', (20, 56)), ('mask.png', (20, 28))):
        photo(any_workdir / name, *size)
    assert stylize('a.png', 'wide.png', '--mask', 'mask.png', style='a.png') == 1
    err = capsys.readouterr().err
    assert ('error: --mask: 28×20 has a different aspect ratio than the photo, 56×20; crop the mask to match; skipped'
            in err)
    assert [path.name for path in Path('outputs').iterdir()] == ['a-a.png']


def test_settings_name_what_paintings_and_masks_show(any_workdir):
    """As a folder of the Beam pipeline or the parts of a clip keep them; they are the same for the same pixels."""
    for i, name in enumerate(('a.png', 'b.png', 'mask.png')):
        photo(any_workdir / name, seed=i)
    iio.imwrite('again.bmp', iio.imread('a.png'))

    def settings(*arguments):
        parser = cli.Parser()
        stylize_command.add_flags(parser)
        return stylize_command.renderer_from_flags(parser.parse_args(['p.png', *arguments])).settings()
    one = settings('--style', 'a.png')
    assert one == settings('--style', 'again.bmp', '--tile', '700') == json.loads(json.dumps(one))
    others = [settings('--style', 'b.png'), settings('--style', 'a.png,b.png'), settings('--style', 'a.png:2,b.png:1'),
              settings('--style', 'a.png', '--style-scale', '0.5'), settings('--style', 'a.png', '--mask', 'mask.png'),
              settings('--style', 'a.png', '--mask', 'b.png'), settings('--style', 'a.png,b.png', '--mask', 'mask.png')]
    assert all(one != other for one, other in itertools.combinations([one, *others], 2))
