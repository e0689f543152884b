"""Fast style transfer: losses against NumPy, training that learns and resumes exactly, and all that `stylize` takes."""

import dataclasses
import io
import json
import math
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import load_vgg
import recipes
import reference
import utils
from engine import interrupts, shipped
from conftest import random_parameters
from fast import models
from fast.network import TransformNet
from fast.photos import Photos
from fast_style_transfer import FastStyleTransfer, main

PROGRAM = shipped.ROOT / 'fast_style_transfer.py'
SIDE = 32
# the balance of FAST is for the true VGG-19; features of the tiny one are small
QUIET = dataclasses.replace(recipes.FAST, content_weight=10., style_weight=1., tv_weight=0.1, learning_rate=5e-3,
                            cadence=((math.inf, 100),))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Eight photos of blocks, and a file that is none."""
    folder = tmp_path_factory.mktemp('photos')
    rng = np.random.default_rng(0)
    for i in range(8):
        blocks = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
        iio.imwrite(folder / f'{i}.png', blocks.repeat(12, axis=0).repeat(12, axis=1))
    (folder / 'notes.png').write_text('no picture')
    return folder


@pytest.fixture
def make(folder, images, tiny_vgg, workdir):
    """A function that builds a small `FastStyleTransfer`, the run 'r'."""
    def build(name='r', seed=0, recipe=QUIET):
        photos = Photos([folder], SIDE, seed)
        machine = FastStyleTransfer(photos, 2, images, images[1], 'half', 4, recipe=recipe, vgg=tiny_vgg, seed=seed,
                                    precision='float32', name=name)
        machine.build()
        return machine
    return build


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """The path of a model with random parameters, as text."""
    folder = tmp_path_factory.mktemp('models') / 'random'
    models.write(folder, random_parameters('half'), {'network': 'half', 'base': 4})
    return str(folder)


def photo(path, height=40, width=56, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    iio.imwrite(path, pixels)
    return pixels


def expected(model, pixels):
    """The picture that the model makes of a photo, by itself."""
    return utils.to_uint8(models.Model(model)(np.float32(pixels), 4096))


# ------------------------------------------------------------------------------------------------------------- training

def test_the_losses_of_a_batch_are_the_means_of_its_photos_losses(make, tiny_vgg):
    machine = make()
    weights = load_vgg.read_weights(tiny_vgg)
    with machine._session() as sess:
        machine._initialise(sess)
        losses, pictures = sess.run([machine.loss_terms, machine.input_img], machine.shown)
    style = reference.vgg(machine.style_img[0] - weights.mean_pixels, weights)
    terms = []
    for original, image in zip(machine.held_out - weights.mean_pixels, pictures):
        P, F = reference.vgg(original, weights), reference.vgg(image, weights)
        content = reference.cs20_content_loss(F['conv3_2'], P['conv3_2'])
        gram = sum(w * reference.cs20_style_loss(F[layer], style[layer]) for w, layer in
                   [(0.5, 'conv1_1'), (1, 'conv2_1'), (1.5, 'conv3_1'), (3, 'conv4_1'), (4, 'conv5_1')])
        x = np.float64(image)
        variation = (np.diff(x, axis=0) ** 2).mean() + (np.diff(x, axis=1) ** 2).mean()
        terms.append([content, gram, variation])
    content, gram, variation = np.mean(terms, axis=0)
    total = QUIET.content_weight * content + QUIET.style_weight * gram + QUIET.tv_weight * variation
    np.testing.assert_allclose(list(losses.values()), [content, gram, variation, total], rtol=1e-3)


def test_only_the_network_is_trained_and_no_op_is_added(make):
    machine = make()
    with machine.graph.as_default():
        assert ({v.op.name for v in tf.trainable_variables()}
                == {f'network/{name}' for name in machine.network.parameters})
    assert machine.graph.finalized


def test_what_is_shown_is_the_moving_average_of_what_is_trained(make):
    machine = make()
    with machine._session() as sess:
        machine._initialise(sess)
        averages = trained = sess.run(machine.network.parameters)
        for step, _ in zip(range(1, 31), machine._moves(sess, 0)):
            decay = min(0.995, step / (9 + step))
            before, trained = trained, sess.run(machine.network.parameters)
            averages = {name: decay * averages[name] + (1 - decay) * trained[name] for name in trained}
            assert any((before[name] != trained[name]).any() for name in trained)
        shown = sess.run(machine.network.parameters, machine.shown)
    for name, average in averages.items():
        np.testing.assert_allclose(shown[name], average, rtol=1e-3, atol=1e-5)
        assert np.abs(shown[name] - trained[name]).max() > 1e-4


def test_200_steps_halve_the_loss(make):
    machine = make()
    assert machine.train(200).step == 200
    total = np.array([losses['total_loss'] for losses in machine.run.history])
    assert total[-20:].mean() < total[:5].mean() / 2
    strip = iio.imread('outputs/r/final.png')
    assert strip.shape == (2 * SIDE, 2 * SIDE, 3)
    assert np.abs(strip[:SIDE].astype(float) - np.hstack(machine.held_out)).max() <= 1  # above, the photos themselves
    about = json.loads(Path('models/r/model.json').read_text())
    assert about['steps'] == 200 and about['style'] == utils.file_hash(machine.style_path)
    checkpoint = tf.train.load_checkpoint('checkpoints/r')
    averages = {name: checkpoint.get_tensor(f'network/{name}/average') for name in machine.network.parameters}
    with tf.Graph().as_default(), tf.Session() as sess:
        network = TransformNet('half', 4, parameters=averages)
        pictures = sess.run(network(machine.held_out)[0])
    assert np.abs(np.hstack(utils.to_uint8(pictures)) - 1. * strip[SIDE:]).max() <= 1
    model = models.Model('models/r')
    assert np.abs([model(image, 1000) for image in machine.held_out] - pictures).max() < 0.25


def test_a_resumed_training_is_the_same_to_the_bit(make):
    assert make('straight').train(24).step == 24
    for n in (7, 24):  # the first not at the end of an epoch of photos
        assert make().train(n).step == n
    for path in ('outputs/{}/final.png', 'models/{}/saved_model.pb'):
        assert Path(path.format('r')).read_bytes() == Path(path.format('straight')).read_bytes()
    histories = [Path(f'checkpoints/{name}/losses.csv').read_text().splitlines() for name in ('r', 'straight')]
    assert histories[0] == histories[1]
    assert make('other', seed=1).train(1).step == 1
    assert Path('checkpoints/other/losses.csv').read_text().splitlines()[1] != histories[0][1]


def test_ctrl_c_leaves_a_checkpoint_and_no_model(make, monkeypatch):
    monkeypatch.setattr(interrupts.StopSignal, 'requested', True)
    assert make().train(50) == (1, 'stopped', 0)
    assert Path('checkpoints/r/model-1.index').exists() and not Path('models').exists()


def training_flags(folder, images, tiny_vgg, *more):
    return ['train', '--style', str(images[1]), '--images', str(folder), '--held-out', str(images[0]),
            '--vgg', str(tiny_vgg), '--side', '32', '--batch', '2', '--base', '4', '--iterations', '3',
            '--name', 'small', *more]


def test_the_command_trains_names_what_it_skipped_and_refuses_another_model(folder, images, tiny_vgg, workdir, capsys):
    flags = training_flags(folder, images, tiny_vgg)
    assert main(flags) == 0
    out = capsys.readouterr().out
    assert 'models/small: 3 iterations' in out and '1 files are no images' in out and 'notes.png' in out
    for folder_of_run in ('checkpoints', 'graphs', 'outputs'):
        (workdir / folder_of_run).rename(workdir / f'no {folder_of_run}')
    assert main([*flags, '--seed', '1']) == 2
    assert 'is a model with other settings: seed (now 1, was 0)' in capsys.readouterr().err
    assert main([*flags, '--seed', '1', '--restart']) == 0
    assert json.loads(Path('models/small/model.json').read_text())['seed'] == 1


@pytest.mark.parametrize('more, says', [
    (('--images', 'nowhere'), 'nowhere: no such folder'), (('--learning-rate', '0'), '--learning-rate'),
    (('--base', '3'), '--base'), (('--network', 'vgg'), '--network'), (('--init', 'content'), '--init'),
    (('--scales', '2'), '--scales'),
    (('--held-out', 'none.png'), 'none.png: '), (('--style', 'none.png'), 'none.png: no such image')])
def test_bad_training_flags_end_in_one_line(folder, images, tiny_vgg, workdir, capsys, more, says):
    assert main(training_flags(folder, images, tiny_vgg, *more)) == 2
    err = capsys.readouterr().err
    assert says in err and err.startswith('error: ') and err.count('\n') == 1
    assert not list(workdir.rglob('*.index'))


# ------------------------------------------------------------------------------------------------------------ stylising

def test_a_photo_keeps_its_size_and_its_kind(model, workdir):
    sizes = {'a.png': (33, 57), 'b.JPG': (1, 1), 'c.jpeg': (130, 3), 'd.bmp': (8, 8)}
    for i, (name, size) in enumerate(sizes.items()):
        photo(workdir / name, *size, seed=i)
    assert main(['stylize', *sizes, '--model', model]) == 0
    written = {path.name: iio.imread(path) for path in Path('outputs').iterdir()}
    assert {name: image.shape[:2] for name, image in written.items()} == {
        'a-random.png': (33, 57), 'b-random.JPG': (1, 1), 'c-random.jpeg': (130, 3), 'd-random.png': (8, 8)}
    assert (written['a-random.png'] == expected(model, iio.imread('a.png'))).all()
    assert (written['d-random.png'] == expected(model, iio.imread('d.bmp'))).all()


def test_one_photo_may_have_a_file_for_its_picture(model, workdir, capsys):
    pixels = photo(workdir / 'a.png')
    assert main(['stylize', 'a.png', '--model', model, '--out', 'new/b.png']) == 0
    assert (iio.imread('new/b.png') == expected(model, pixels)).all()
    photo(workdir / 'c.png')
    assert main(['stylize', 'a.png', 'c.png', '--model', model, '--out', 'b.png']) == 2
    assert 'there are 2 photos; name a folder' in capsys.readouterr().err and not Path('b.png').exists()


def test_a_folder_keeps_its_shape_and_bad_files_are_skipped(model, workdir, capsys):
    for i, name in enumerate(['in/a.png', 'in/deep/a.png', 'in/b.png']):
        photo(workdir / name, seed=i)
    (workdir / 'in/notes.txt').write_text('no photo')
    (workdir / 'in/cut.png').write_bytes((workdir / 'in/a.png').read_bytes()[:100])
    (workdir / 'in/moves.gif').write_bytes(b'GIF89a')
    assert main(['stylize', 'in', 'missing.png', '--model', model, '--out', 'in/out']) == 1
    err = capsys.readouterr().err
    assert '3 of 6 could not be stylised' in err and 'Traceback' not in err
    assert all(f'error: {name}' in err for name in ('in/cut.png', 'in/moves.gif', 'missing.png'))
    written = sorted(str(path) for path in Path('in/out').rglob('*') if path.is_file())
    assert written == ['in/out/a-random.png', 'in/out/b-random.png', 'in/out/deep/a-random.png']
    assert main(['stylize', 'in', '--model', model, '--out', 'in/out']) == 1  # its own pictures are not photos
    assert sorted(str(path) for path in Path('in/out').rglob('*') if path.is_file()) == written


def test_two_photos_never_become_one_picture(model, workdir, capsys):
    photo(workdir / 'x/a.png')
    photo(workdir / 'y/a.png')
    assert main(['stylize', 'x/a.png', 'y/a.png', '--model', model]) == 2
    assert 'would both become outputs/a-random.png' in capsys.readouterr().err and not Path('outputs').exists()


def test_shards_share_the_work(model, workdir):
    for i in range(7):
        photo(workdir / f'in/{i}.png', 8, 8, seed=i)
    written = []
    for i in range(1, 4):
        assert main(['stylize', 'in', '--model', model, '--out', f'out{i}', '--shard', f'{i}/3']) == 0
        written.append([path.name[0] for path in sorted(Path(f'out{i}').iterdir())])
    assert written == [['0', '3', '6'], ['1', '4'], ['2', '5']]


def test_an_animation_keeps_its_timing(model, workdir):
    frames = [np.random.default_rng(i).integers(0, 2, (24, 30, 1)).repeat(3, axis=2).astype(np.uint8) * 255
              for i in range(4)]
    plays = {'duration': [50, 120, 1000, 70], 'loop': 3}
    iio.imwrite('a.gif', frames, **plays)
    assert main(['stylize', 'a.gif', '--model', model]) == 0
    written, timing = utils.read_animation('outputs/a-random.gif')
    assert timing == plays
    for frame, picture in zip(frames, written, strict=True):
        wanted = expected(model, frame).astype(float)
        # 256 colours a frame
        assert np.abs(picture - wanted).mean() < 12 < np.abs(picture - frame.astype(float)).mean()
    assert main(['stylize', 'a.gif', '--model', model, '--out', 'a.png']) == 1


def test_standard_input_and_output(model, workdir):
    pixels = photo(workdir / 'a.png')
    command = [sys.executable, PROGRAM, 'stylize', '-', '--model', model]
    done = subprocess.run(command, input=Path('a.png').read_bytes(), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (iio.imread(io.BytesIO(done.stdout), extension='.png') == expected(model, pixels)).all()
    assert not Path('outputs').exists()
    done = subprocess.run([*command, '--out', 'there'], input=b'no picture', capture_output=True, text=False)
    assert done.returncode == 1 and done.stdout == b'' and done.stderr.startswith(b'error: standard input: ')


def test_tiles_strength_and_colours(model, workdir):
    pixels = photo(workdir / 'a.png', 40, 700)
    assert main(['stylize', 'a.png', '--model', model, '--strength', '0', '--tile', '640']) == 0
    assert (iio.imread('outputs/a-random.png') == pixels).all()
    assert main(['stylize', 'a.png', '--model', model, '--strength', '0.5']) == 0
    half = (expected(model, pixels).astype(float) + pixels) / 2
    inside = (expected(model, pixels) > 0) & (expected(model, pixels) < 255)
    assert np.abs(iio.imread('outputs/a-random.png') - half)[inside].max() <= 1
    assert main(['stylize', 'a.png', '--model', model, '--keep-colors']) == 0
    kept = iio.imread('outputs/a-random.png').astype(float)
    inside = ((kept > 0) & (kept < 255)).all(axis=2)
    change = (kept - pixels)[inside]
    assert inside.sum() > 100 and np.ptp(change, axis=1).max() <= 1 and np.abs(change).max() > 20


@pytest.mark.parametrize('more, says', [
    (('--model', 'nothing'), 'there are '), (('--strength', '2'), '--strength'), (('--strength', 'nan'), '--strength'),
    (('--tile', '10'), '--tile'), (('--tile', '300'), 'at least 624'), (('--shard', '0/3'), '--shard'),
    (('--shard', '4/3'), '--shard'), (('--shard', 'x'), '--shard')])
def test_bad_flags_end_in_one_line(model, workdir, capsys, more, says):
    photo(workdir / 'a.png')
    assert main(['stylize', 'a.png', '--model', model, *more]) == 2
    err = capsys.readouterr().err
    assert says in err and err.startswith('error: ') and err.count('\n') == 1
    assert not Path('outputs').exists()


def test_a_full_disk_loses_nothing(model, workdir, capsys, monkeypatch):
    photo(workdir / 'a.png')
    assert main(['stylize', 'a.png', '--model', model]) == 0
    before = Path('outputs/a-random.png').read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, 'No space left on device', 'outputs/a-random.png')
    monkeypatch.setattr(utils.iio, 'imwrite', full)
    assert main(['stylize', 'a.png', '--model', model, '--strength', '0.5']) == 2
    assert 'No space left on device' in capsys.readouterr().err
    assert Path('outputs/a-random.png').read_bytes() == before and len(list(Path('outputs').iterdir())) == 1
