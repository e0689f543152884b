"""Cadence, resume, identity, damage, two at once: what a run leaves on disk, bit by bit."""

import csv
import dataclasses
import functools
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

import load_vgg
import recipes
import utils
from common import paths, process
from common.errors import UserError
from common.tf1 import tf
from engine.run import runs, session
from style_transfer import StyleTransfer, main
from tests.factories import needs_bfloat16

PROGRAM = paths.ROOT / 'style_transfer.py'
N = 67


@pytest.fixture(scope='module')
def train(images, tiny_vgg):
    """A function that trains the run 'r' to `n_iters` and returns the iteration reached."""
    def run(n_iters, *args, recipe=recipes.CS20, seed=0, name='r', **kwargs):
        machine = StyleTransfer(*images, 48, 32, recipe=recipe, vgg=tiny_vgg, seed=seed, name=name)
        machine.build()
        return machine.train(n_iters, *args, **kwargs).step
    return run


@pytest.fixture
def transfer(train, workdir):
    """As `train`, in an empty current directory."""
    return train


@pytest.fixture(scope='module')
def trained(train, tmp_path_factory):
    """A function that gives the folder, to be left as it is, of a run 'r' of `n_iters` that was never stopped."""
    @functools.cache
    def until(n_iters):
        folder = tmp_path_factory.mktemp('trained')
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            assert train(n_iters) == n_iters
        return folder
    return until


@pytest.fixture
def begun(trained, workdir):
    """A function that copies such a run into the current directory."""
    def copy(n_iters, name='r'):
        for room in runs.OWN_FILES:
            shutil.copytree(trained(n_iters) / room / 'r', Path(room, name))
    return copy


@pytest.fixture
def straight(trained):
    """final.png and losses.csv of the run of N."""
    return final(folder=trained(N)), history(folder=trained(N))


def final(name='r', folder=''):
    return Path(folder, 'outputs', name, 'final.png').read_bytes()


def history(name='r', folder=''):
    return Path(folder, 'checkpoints', name, 'losses.csv').read_text()


def saved(name='r'):
    return sorted(int(path.stem[6:]) for path in Path('checkpoints', name).glob('model-*.index'))


def test_cadence_is_that_of_cs20(begun):
    """Pictures at 1-5, then every 10 to 20, then every 20; checkpoints every 20 and at the end; both of the end."""
    begun(N)
    assert [int(path.stem) for path in sorted(Path('outputs/r').glob('0*.jpg'))] == [1, 2, 3, 4, 5, 10, 20, 40, 60, 67]
    assert saved() == [60, 67]
    rows = list(csv.reader(history().splitlines()))
    assert rows[0] == ['iteration', 'content_loss', 'style_loss', 'total_loss']
    assert [int(row[0]) for row in rows[1:]] == list(range(N + 1))
    losses = np.array(rows[1:], float)
    np.testing.assert_allclose(losses[:, 3], losses[:, 1] / 20 + losses[:, 2], rtol=1e-5)
    assert losses[-1, 3] < losses[0, 3] / 2
    for name in ('final.png', 'losses.png', 'sheet.png', 'progress.gif'):
        assert Path('outputs/r', name).stat().st_size > 100


def test_a_longer_run_equals_one_never_stopped(begun, transfer, straight):
    begun(20)
    for n_iters in (33, N):
        assert transfer(n_iters) == n_iters
    assert (final(), history()) == straight


def test_a_finished_run_says_so_and_stays_as_it_is(images, tiny_vgg, workdir, capsys):
    flags = ['--content', str(images[0]), '--style', str(images[1]), '--width', '48', '--vgg', str(tiny_vgg),
             '--name', 'r']
    assert main([*flags, '--iterations', '20']) == 0
    before = final(), history()
    assert 'already finished' not in capsys.readouterr().out
    for n_iters in ('20', '7'):
        assert main([*flags, '--iterations', n_iters]) == 0
        assert 'r already finished at iteration 20; a larger --iterations continues it' in capsys.readouterr().out
        assert (final(), history()) == before


def losses_of(name='r'):
    return np.loadtxt(Path('checkpoints', name, 'losses.csv'), delimiter=',', skiprows=1)[:, -1]


def test_lbfgs_keeps_the_best_picture_also_over_a_resume(transfer):
    for n_iters in (30, 60):
        assert transfer(n_iters, recipe=recipes.LBFGS_TUTORIAL) == n_iters
        losses = losses_of()
        assert len(losses) == n_iters + 1 and losses[-1] == losses.min()
    assert losses[30] == losses[:31].min()  # a resume goes on from the best
    assert losses[60] < losses[30]
    picture = iio.imread('outputs/r/final.png')
    assert (picture == iio.imread('outputs/r/sheet.png')[8:40, -56:-8]).all() and picture.std() > 10


def test_an_optimizer_that_finds_nothing_better_ends_the_run(images, tiny_vgg, workdir, capsys):
    style = ['--content', str(images[0]), '--style', str(images[1]), '--width', '48', '--vgg', str(tiny_vgg)]
    # the content image is the best picture where style does not count
    assert main([*style, '--recipe', 'lbfgs', '--style-weight', '0', '--name', 'r']) == 0
    assert 'L-BFGS finds no better picture' in capsys.readouterr().out
    content = utils.get_resized_image(images[0], 48, 32)[0]
    assert np.abs(iio.imread('outputs/r/final.png') - content).max() <= 1
    assert 1 <= len(losses_of()) < 301


def test_restart_forgets_the_run_and_nothing_else(begun, transfer):
    begun(20)
    begun(40, 'other')
    Path('outputs/r/notes.txt').write_text('mine')
    transfer(10, restart=True, seed=1)
    assert saved() == [10] and saved('other') == [20, 40]
    assert [int(path.stem) for path in sorted(Path('outputs/r').glob('0*.jpg'))] == [1, 2, 3, 4, 5, 10]
    assert Path('outputs/r/notes.txt').read_text() == 'mine'


@pytest.mark.parametrize('change, says', [
    (dict(seed=7), r'seed \(now 7, was 0\)'),
    (dict(recipe=dataclasses.replace(recipes.CS20, style_weight=3.)), r'style_weight \(now 3.0, was 1.0\)'),
    (dict(recipe=dataclasses.replace(recipes.CS20,
                                     style_layers=('conv1_1', 'conv2_1', 'conv3_1', 'conv4_1', 'conv5_2'))),
     r'style_layers \(now .*conv5_2.*, was .*conv5_1')])
def test_never_the_wrong_state(begun, transfer, change, says):
    begun(20)
    before = final(), history()
    with pytest.raises(UserError, match=says) as error:
        transfer(40, **change)
    assert '--restart' in str(error.value) and '--name' in str(error.value)
    assert (final(), history()) == before


def test_images_and_weights_belong_to_the_identity(images, tiny_vgg, workdir):
    def identity(content, vgg):
        return StyleTransfer(content, images[1], 48, 32, vgg=vgg).run.fingerprint
    (workdir / 'other.png').write_bytes(images[1].read_bytes())
    weights = load_vgg.read_weights(tiny_vgg)
    load_vgg.write_weights('other.mat', weights._replace(mean_pixels=weights.mean_pixels + 1))
    base = identity(images[0], tiny_vgg)
    assert {key for key, value in identity('other.png', tiny_vgg).items() if value != base[key]} == {'content'}
    assert {key for key, value in identity(images[0], 'other.mat').items() if value != base[key]} == {'vgg'}
    assert json.loads(json.dumps(base)) == base


@needs_bfloat16
def test_precision_is_what_the_processor_is_fast_at(images, tiny_vgg, workdir, monkeypatch):
    def precision(wanted='auto', optimizer='adam', name='r'):
        recipe = dataclasses.replace(recipes.CS20, optimizer=optimizer)
        machine = StyleTransfer(*images, 48, 32, recipe=recipe, vgg=tiny_vgg, precision=wanted, name=name)
        assert machine.run.fingerprint['precision'] == machine.precision
        return machine.precision
    monkeypatch.setattr(session, 'bfloat16_hardware', lambda: 'amx_bf16')
    assert (precision(), precision(optimizer='lbfgs'), precision('float32')) == ('bfloat16', 'float32', 'float32')
    assert session.describe('bfloat16') == 'bfloat16 by amx_bf16' and session.describe('float32') == 'float32'
    monkeypatch.setattr(session, 'bfloat16_hardware', lambda: None)
    assert (precision(), precision(optimizer='lbfgs'), precision('bfloat16')) == ('float32', 'float32', 'bfloat16')
    monkeypatch.setattr(session, 'bfloat16_hardware', lambda: 'avx512_bf16')
    for features, fast in ((['avx512_bf16'], 'bfloat16'), (['avx512_bf16', 'avx512_fp16'], 'float32')):
        monkeypatch.setattr(session, '_cpu_features', lambda: features)
        assert precision() == fast
    monkeypatch.setattr(session, 'bfloat16_hardware', lambda: 'amx_bf16')
    assert precision() == 'bfloat16'
    monkeypatch.setattr(session.tf2.config, 'list_physical_devices', lambda kind: ['one GPU'])
    assert precision() == 'float32'


@needs_bfloat16
def test_a_resume_keeps_its_precision_or_says_why_it_cannot(images, tiny_vgg, workdir, monkeypatch, capsys):
    flags = ['--content', str(images[0]), '--style', str(images[1]), '--width', '48', '--vgg', str(tiny_vgg),
             '--name', 'r']
    monkeypatch.setattr(session, 'bfloat16_hardware', lambda: None)
    monkeypatch.setattr(session, '_cpu_features', lambda: [])
    assert main([*flags, '--iterations', '3']) == 0
    monkeypatch.setattr(session, 'bfloat16_hardware', lambda: 'avx512_bf16')
    assert main([*flags, '--iterations', '5']) == 0
    out = capsys.readouterr().out
    assert out.count('48×32 (the shape of the content), float32; ') == 2 and 'resuming at iteration 3' in out
    assert main([*flags, '--iterations', '3', '--restart']) == 0  # begins anew, so with what is fastest
    assert '48×32 (the shape of the content), bfloat16 by avx512_bf16; ' in capsys.readouterr().out
    monkeypatch.setattr(session, 'bfloat16_hardware', lambda: None)
    assert main([*flags, '--iterations', '5']) == 2
    error = capsys.readouterr().err
    assert 'checkpoints/r: this run was begun in bfloat16, which' in error and error.count('\n') == 1
    assert '--precision bfloat16 continues it' in error and '--restart' in error
    assert main([*flags, '--iterations', '5', '--precision', 'bfloat16']) == 0
    assert main([*flags, '--iterations', '5', '--restart']) == 0


@pytest.mark.parametrize('content', ['', '{', '[]', '5', 'null', '[["seed", 0]]', '{}'])
def test_an_identity_that_is_none_is_never_taken_for_this_run(begun, transfer, content):
    begun(20)
    Path('checkpoints/r/run.json').write_text(content)
    before = final(), history()
    with pytest.raises(UserError, match='other settings' if content == '{}' else 'run.json: damaged'):
        transfer(40)
    assert (final(), history()) == before and Path('checkpoints/r/run.json').read_text() == content


@pytest.mark.parametrize('suffix', ['.data-00000-of-00001', '.index'])
@pytest.mark.parametrize('damage', [lambda data: data[:len(data) // 2], lambda data: b'',
                                    lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:]])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(begun, transfer, straight, capsys, suffix, damage):
    begun(40)
    path = Path('checkpoints/r/model-40' + suffix)
    path.write_bytes(damage(path.read_bytes()))
    capsys.readouterr()
    transfer(N)
    out = capsys.readouterr().out
    assert 'model-40: damaged' in out and 'resuming at iteration 20' in out
    assert (final(), history()) == straight
    assert saved() == [60, N]


def test_all_checkpoints_damaged_begins_again(begun, transfer, capsys):
    begun(40)
    before = final(), history()
    for path in Path('checkpoints/r').glob('model-*'):
        path.write_bytes(b'')
    transfer(40)
    assert (final(), history()) == before
    assert capsys.readouterr().out.count('damaged') == 2


def test_a_lost_history_is_a_damaged_checkpoint(begun, transfer):
    begun(40)
    before = final(), history()
    Path('checkpoints/r/losses.csv').unlink()
    transfer(40)
    assert (final(), history()) == before


def test_a_loss_that_is_not_finite_stops_and_keeps_the_good_checkpoint(begun, images, tiny_vgg):
    begun(20)
    before = {path: path.read_bytes() for path in Path('checkpoints/r').glob('model-*')}
    machine = StyleTransfer(*images, 48, 32, vgg=tiny_vgg, name='r')
    machine.build()
    good = machine.run.check_finite

    def broken(losses, step):
        return good(losses | {'style_loss': np.float32('nan')} if step >= 33 else losses, step)
    machine.run.check_finite = broken
    with pytest.raises(UserError, match='style_loss is nan at iteration 33'):
        machine.train(N)
    assert {path: path.read_bytes() for path in Path('checkpoints/r').glob('model-*')} == before


def test_a_real_overflow_names_the_term_and_the_step(images, tiny_vgg, workdir):
    weights = load_vgg.read_weights(tiny_vgg)
    W, b = weights.convolutions['conv5_1']  # above the content layer: whether a ReLU keeps a NaN is the processor's
    convolutions = weights.convolutions | {'conv5_1': (W * np.float32(1e30), b)}
    load_vgg.write_weights('large.mat', weights._replace(convolutions=convolutions))
    machine = StyleTransfer(*images, 48, 32, vgg='large.mat', name='r')
    machine.build()
    with pytest.raises(UserError, match='style_loss is (inf|nan) at iteration 0;'):
        machine.train(N)
    assert saved() == []


def test_a_disk_that_is_full_at_a_checkpoint(begun, transfer, images, tiny_vgg):
    begun(20)
    machine = StyleTransfer(*images, 48, 32, vgg=tiny_vgg, name='r')
    machine.build()

    class Full:
        restore, recover_last_checkpoints = machine.saver.restore, machine.saver.recover_last_checkpoints

        def save(self, *args, **kwargs):
            raise tf.errors.UnknownError(None, None, 'Graph execution error:\n\nDetected at node ...\n'
                                         'model-40.tempstate1; No space left on device\n\t [[{{node save/SaveV2}}]]')
    machine.saver = Full()
    with pytest.raises(UserError, match='checkpoint of iteration 40 could not be written: '
                                        'No space left on device; earl'):
        machine.train(40)
    assert transfer(40) == 40


@pytest.mark.parametrize('name', ['', '.', '..', 'a/b', '.hidden', 'x' * 101, '漢' * 34, 'a:b', 'a\\b', 'holi*', 'a?',
                                  'a[1]', 'a\nb', 'a\x7f'])
def test_names_that_are_no_folder(transfer, name):
    if name:  # '' means the default
        with pytest.raises(UserError, match='--name'):
            transfer(1, name=name)
    else:
        with pytest.raises(UserError, match='--name'):
            runs.Run(name, {})


# ----------------------------------------------------------------------------------------- what is a run's and what not

def test_restart_removes_the_exact_names_that_a_run_writes(begun, transfer):
    begun(20)
    mine = ['outputs/r/2024 holiday.jpg', 'outputs/r/1.jpg', 'outputs/r/final.png.bak',
            'checkpoints/r/model-notes/x.txt', 'checkpoints/r/model-20.txt', 'graphs/r/events.txt',
            'graphs/r/events.out.tfevents.notes', 'outputs/r/00009.jpg/x']
    for path in map(Path, mine):
        path.parent.mkdir(exist_ok=True)
        path.write_text('mine')
    transfer(3, restart=True, seed=1)
    assert all(Path(path).read_text() == 'mine' for path in mine)
    assert saved() == [3] and len(list(Path('graphs/r').glob('events.out.tfevents.*'))) == 2


def frames(name='r'):
    with iio.imopen(Path('outputs', name, 'progress.gif'), 'r', plugin='pillow') as file:
        return file.properties(index=...).shape[0]


def test_pictures_of_an_older_run_do_not_get_into_the_animation(begun, transfer):
    begun(N)
    for path in Path('checkpoints/r').iterdir():
        path.unlink()
    transfer(10)
    assert ([int(path.stem) for path in sorted(Path('outputs/r').glob('0*.jpg'))] == [1, 2, 3, 4, 5, 10]
            and frames() == 6)


def test_checkpoints_without_their_settings_are_refused_with_two_ways_out(begun, images, tiny_vgg, capsys):
    begun(20)
    Path('checkpoints/r/run.json').unlink()
    before = {path: path.read_bytes() for path in Path('checkpoints/r').iterdir()}
    flags = ['--content', str(images[0]), '--style', str(images[1]), '--vgg', str(tiny_vgg), '--width', '48',
             '--name', 'r', '--iterations']
    assert main([*flags, '21']) == 2
    error = capsys.readouterr().err
    assert 'run.json: missing' in error and '--restart' in error and '--name' in error and error.count('\n') == 1
    assert {path: path.read_bytes() for path in Path('checkpoints/r').iterdir()} == before
    assert main([*flags, '2', '--restart']) == 0 and saved() == [2]


def test_a_history_that_lacks_a_row_is_a_damaged_checkpoint(begun, transfer, capsys):
    begun(40)
    before = final(), history()
    rows = history().splitlines(keepends=True)
    Path('checkpoints/r/losses.csv').write_text(''.join(rows[:31] + rows[32:]))
    transfer(40)
    out = capsys.readouterr().out
    assert 'model-40: damaged' in out and 'resuming at iteration 20' in out
    assert (final(), history()) == before


def test_a_converged_run_stays_as_it_is(images, tiny_vgg, workdir, capsys):
    flags = ['--content', str(images[0]), '--style', str(images[1]), '--width', '48', '--vgg', str(tiny_vgg),
             '--recipe', 'lbfgs', '--style-weight', '0', '--name', 'r']
    assert main(flags) == 0
    before = final(), history(), saved(), sorted(Path('graphs/r').iterdir())
    for more in ([], ['--iterations', '400']):
        assert main([*flags, *more]) == 0
        assert 'L-BFGS finds no better picture' in capsys.readouterr().out
        assert (final(), history(), saved(), sorted(Path('graphs/r').iterdir())) == before


def test_outputs_tidied_away_come_again_and_no_event_file_with_them(begun, transfer):
    begun(20)
    before, events = final(), sorted(Path('graphs/r').iterdir())
    shutil.rmtree('outputs')
    transfer(20)
    assert final() == before and frames() == 1 and sorted(Path('graphs/r').iterdir()) == events


def test_what_stands_in_the_way_of_the_lock_is_said(begun, transfer):
    begun(20)
    lock = Path('checkpoints/r/lock')
    lock.write_text('of somebody else, and rather longer than the header of a database, which has a hundred bytes, '
                    'or so I read')
    with pytest.raises(UserError, match='^checkpoints/r/lock: is not the lock file of a run .*; remove it$'):
        transfer(21)
    lock.unlink()
    lock.mkdir()  # as in a folder that may not be written, SQLite cannot open it
    with pytest.raises(UserError, match='^checkpoints/r/lock: cannot be opened for writing'):
        transfer(21)


def test_a_disk_that_is_full_while_events_are_written(transfer, monkeypatch):
    writer = tf.io.TFRecordWriter
    monkeypatch.setattr(tf.io, 'TFRecordWriter', lambda path: writer('/dev/full'))
    with pytest.raises(UserError, match='^graphs/r: the event file cannot be written: No space left on device$'):
        transfer(1)


def test_a_folder_of_events_that_may_not_be_written(transfer, monkeypatch):
    monkeypatch.setattr('engine.run.events.socket.gethostname', lambda: 'no/such')
    with pytest.raises(UserError, match='^graphs/r: the event file cannot be written: No such file or directory$'):
        transfer(1)


def test_a_file_with_a_pattern_for_a_name(images, tiny_vgg, workdir, capsys):
    Path('photo[1].png').write_bytes(images[0].read_bytes())
    flags = ['--content', 'photo[1].png', '--style', str(images[1]), '--vgg', str(tiny_vgg), '--width', '48',
             '--iterations']
    assert main([*flags, '2']) == 0 and main([*flags, '3']) == 0
    assert 'resuming at iteration 2' in capsys.readouterr().out
    folder, = Path('outputs').iterdir()
    assert re.fullmatch(r'photo_1_-style-cs20-[0-9a-f]{8}', folder.name)


def test_after_a_restart_it_is_another_command_that_goes_on(transfer, images, tiny_vgg, monkeypatch, capsys):
    flags = ['--content', str(images[0]), '--style', str(images[1]), '--vgg', str(tiny_vgg), '--width', '48',
             '--name', 'r']
    monkeypatch.setattr(process.StopSignal, 'requested', True)
    assert main(flags) == 130
    assert 'stopped at iteration 1; run the same command to continue' in capsys.readouterr().out
    assert main([*flags, '--restart']) == 130
    assert 'stopped at iteration 1; run the same command without --restart to continue' in capsys.readouterr().out


# --------------------------------------------------------------------------------------------------- in other processes

def flags(images, tiny_vgg):
    content, style = images
    return ['--content', content, '--style', style, '--vgg', tiny_vgg, '--name', 'r', '--width', '120', '--height',
            '80', '--iterations', '120', '--threads', '2']


def test_killed_or_stopped_at_any_time_ends_as_if_never_interrupted(server, images, tiny_vgg, workdir):
    """And the program itself does what `main` does, writes where it is called and has no greeting of TensorFlow's."""
    (workdir / 'straight').mkdir()
    done = subprocess.run([sys.executable, PROGRAM, *flags(images, tiny_vgg)], cwd=workdir / 'straight',
                          capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '') and f'weights {tiny_vgg}: He noise' in done.stdout
    for path, number, status in (('outputs/r/00003.jpg', signal.SIGKILL, -signal.SIGKILL),
                                 ('checkpoints/r/model-20.index', signal.SIGKILL, -signal.SIGKILL),
                                 ('checkpoints/r/model-40.index', signal.SIGINT, 130),
                                 ('checkpoints/r/model-80.index', signal.SIGTERM, 130)):
        process, out = server.start(flags(images, tiny_vgg), f'{number.name}.txt'), Path(f'{number.name}.txt')
        while not Path(path).exists():
            assert process.poll() is None, out.read_text()
            time.sleep(0.005)
        process.send_signal(number)
        assert process.wait() == status, out.read_text()
        if status == 130:
            assert f'stopped at iteration {saved()[-1]}' in out.read_text()
    assert not Path('outputs/r/final.png').exists()
    assert server.start(flags(images, tiny_vgg)).wait() == 0
    for path in ('outputs/r/final.png', 'checkpoints/r/losses.csv'):
        assert Path(path).read_bytes() == Path('straight', path).read_bytes()


def test_a_second_process_on_the_same_run_is_refused(server, images, tiny_vgg, workdir):
    with runs.Run('r', {}).acquire():
        assert server.start(flags(images, tiny_vgg), err='err.txt').wait() == 2
    error = Path('err.txt').read_text()
    assert error.startswith('error: ') and 'another process' in error and error.count('\n') == 1
    assert not list(Path('outputs/r').iterdir())
