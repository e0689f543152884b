"""The files of a run: schedule, exact resuming, fingerprint, damage, locking, and kills of real processes."""

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
    """Return a function that trains a run to `n_iters` and returns the last iteration."""
    def run(n_iters, *args, recipe=recipes.CS20, seed=0, name='r', **kwargs):
        machine = StyleTransfer(*images, 48, 32, recipe=recipe, vgg=tiny_vgg, seed=seed, name=name)
        machine.build()
        return machine.train(n_iters, *args, **kwargs).step
    return run


@pytest.fixture
def train_here(train, workdir):
    """Return the same function after changing to an empty directory."""
    return train


@pytest.fixture(scope='module')
def uninterrupted_folder(train, tmp_path_factory):
    """Return a function that trains a run without interruption and returns its folder, which tests must not change."""
    @functools.cache
    def until(n_iters):
        folder = tmp_path_factory.mktemp('trained')
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            assert train(n_iters) == n_iters
        return folder
    return until


@pytest.fixture
def copy_run(uninterrupted_folder, workdir):
    """Return a function that copies such a run to the current directory."""
    def copy(n_iters, name='r'):
        for folder in runs.OWN_FILES:
            shutil.copytree(uninterrupted_folder(n_iters) / folder / 'r', Path(folder, name))
    return copy


@pytest.fixture
def expected_files(uninterrupted_folder):
    """Return the contents of final.png and losses.csv of an uninterrupted run of N iterations."""
    return final_png(folder=uninterrupted_folder(N)), losses_csv(folder=uninterrupted_folder(N))


def final_png(name='r', folder=''):
    """Return the bytes of final.png."""
    return Path(folder, 'outputs', name, 'final.png').read_bytes()


def losses_csv(name='r', folder=''):
    """Return the text of losses.csv."""
    return Path(folder, 'checkpoints', name, 'losses.csv').read_text()


def checkpoint_steps(name='r'):
    """Return the iterations of the checkpoints."""
    return sorted(int(path.stem[6:]) for path in Path('checkpoints', name).glob('model-*.index'))


def test_pictures_and_checkpoints_follow_the_schedule_of_cs20(copy_run):
    """Pictures are written at 1 to 5, 10, and every 20; checkpoints every 20; both also at the end."""
    copy_run(N)
    assert [int(path.stem) for path in sorted(Path('outputs/r').glob('0*.jpg'))] == [1, 2, 3, 4, 5, 10, 20, 40, 60, 67]
    assert checkpoint_steps() == [60, 67]
    rows = list(csv.reader(losses_csv().splitlines()))
    assert rows[0] == ['iteration', 'content_loss', 'style_loss', 'total_loss']
    assert [int(row[0]) for row in rows[1:]] == list(range(N + 1))
    losses = np.array(rows[1:], float)
    np.testing.assert_allclose(losses[:, 3], losses[:, 1] / 20 + losses[:, 2], rtol=1e-5)
    assert losses[-1, 3] < losses[0, 3] / 2
    for name in ('final.png', 'losses.png', 'sheet.png', 'progress.gif'):
        assert Path('outputs/r', name).stat().st_size > 100


def test_an_extended_run_equals_an_uninterrupted_one(copy_run, train_here, expected_files):
    copy_run(20)
    for n_iters in (33, N):
        assert train_here(n_iters) == n_iters
    assert (final_png(), losses_csv()) == expected_files


def test_a_finished_run_is_reported_and_left_unchanged(images, tiny_vgg, workdir, capsys):
    flags = ['--content', str(images[0]), '--style', str(images[1]), '--width', '48', '--vgg', str(tiny_vgg),
             '--name', 'r']
    assert main([*flags, '--iterations', '20']) == 0
    before = final_png(), losses_csv()
    assert 'already finished' not in capsys.readouterr().out
    for n_iters in ('20', '7'):
        assert main([*flags, '--iterations', n_iters]) == 0
        assert 'r already finished at iteration 20; a larger --iterations continues it' in capsys.readouterr().out
        assert (final_png(), losses_csv()) == before


def total_losses(name='r'):
    """Return the total loss of every iteration."""
    return np.loadtxt(Path('checkpoints', name, 'losses.csv'), delimiter=',', skiprows=1)[:, -1]


def test_lbfgs_keeps_the_best_picture_also_after_a_resume(train_here, capsys):
    for n_iters in (30, 60):
        assert train_here(n_iters, recipe=recipes.LBFGS_TUTORIAL) == n_iters
        losses = total_losses()
        assert len(losses) == n_iters + 1 and losses[-1] == losses.min()
    assert losses[60] < losses[:31].min()
    assert 'resuming at iteration 30\n' in capsys.readouterr().out
    picture = iio.imread('outputs/r/final.png')
    assert (picture == iio.imread('outputs/r/sheet.png')[8:40, -56:-8]).all() and picture.std() > 10


def test_an_optimizer_that_has_converged_ends_the_run(images, tiny_vgg, workdir, capsys):
    flags = ['--content', str(images[0]), '--style', str(images[1]), '--width', '48', '--vgg', str(tiny_vgg)]
    # Without a style loss, the content image is the best picture.
    assert main([*flags, '--recipe', 'lbfgs', '--style-weight', '0', '--name', 'r']) == 0
    assert 'L-BFGS finds no better picture' in capsys.readouterr().out
    content = utils.get_resized_image(images[0], 48, 32)[0]
    assert np.abs(iio.imread('outputs/r/final.png') - content).max() <= 1
    assert 1 <= len(total_losses()) < 301


def test_a_restart_removes_only_the_files_of_its_run(copy_run, train_here):
    copy_run(20)
    copy_run(40, 'other')
    Path('outputs/r/notes.txt').write_text('mine')
    train_here(10, restart=True, seed=1)
    assert checkpoint_steps() == [10] and checkpoint_steps('other') == [20, 40]
    assert [int(path.stem) for path in sorted(Path('outputs/r').glob('0*.jpg'))] == [1, 2, 3, 4, 5, 10]
    assert Path('outputs/r/notes.txt').read_text() == 'mine'


@pytest.mark.parametrize('change, message', [
    (dict(seed=7), r'seed \(now 7, was 0\)'),
    (dict(recipe=dataclasses.replace(recipes.CS20, style_weight=3.)), r'style_weight \(now 3.0, was 1.0\)'),
    (dict(recipe=dataclasses.replace(recipes.CS20,
                                     style_layers=('conv1_1', 'conv2_1', 'conv3_1', 'conv4_1', 'conv5_2'))),
     r'style_layers \(now .*conv5_2.*, was .*conv5_1')])
def test_a_run_with_other_settings_is_refused_and_left_unchanged(copy_run, train_here, change, message):
    copy_run(20)
    before = final_png(), losses_csv()
    with pytest.raises(UserError, match=message) as error:
        train_here(40, **change)
    assert '--restart' in str(error.value) and '--name' in str(error.value)
    assert (final_png(), losses_csv()) == before


def test_the_fingerprint_depends_on_the_contents_of_images_and_weights(images, tiny_vgg, workdir):
    def fingerprint(content, vgg):
        return StyleTransfer(content, images[1], 48, 32, vgg=vgg).run.fingerprint
    (workdir / 'other.png').write_bytes(images[1].read_bytes())
    weights = load_vgg.read_weights(tiny_vgg)
    load_vgg.write_weights('other.mat', weights._replace(mean_pixels=weights.mean_pixels + 1))
    base = fingerprint(images[0], tiny_vgg)
    assert {key for key, value in fingerprint('other.png', tiny_vgg).items() if value != base[key]} == {'content'}
    assert {key for key, value in fingerprint(images[0], 'other.mat').items() if value != base[key]} == {'vgg'}
    assert json.loads(json.dumps(base)) == base


@needs_bfloat16
def test_the_default_precision_is_the_fastest_of_the_processor(images, tiny_vgg, workdir, monkeypatch):
    def precision(requested='auto', optimizer='adam', name='r'):
        recipe = dataclasses.replace(recipes.CS20, optimizer=optimizer)
        machine = StyleTransfer(*images, 48, 32, recipe=recipe, vgg=tiny_vgg, precision=requested, name=name)
        assert machine.run.fingerprint['precision'] == machine.precision
        return machine.precision
    monkeypatch.setattr(session, 'bfloat16_hardware', lambda: 'amx_bf16')
    assert (precision(), precision(optimizer='lbfgs'), precision('float32')) == ('bfloat16', 'float32', 'float32')
    assert session.describe('bfloat16') == 'bfloat16 by amx_bf16' and session.describe('float32') == 'float32'
    monkeypatch.setattr(session, 'bfloat16_hardware', lambda: None)
    assert (precision(), precision(optimizer='lbfgs'), precision('bfloat16')) == ('float32', 'float32', 'bfloat16')
    monkeypatch.setattr(session, 'bfloat16_hardware', lambda: 'avx512_bf16')
    for features, fastest in ((['avx512_bf16'], 'bfloat16'), (['avx512_bf16', 'avx512_fp16'], 'float32')):
        monkeypatch.setattr(session, '_cpu_features', lambda: features)
        assert precision() == fastest
    monkeypatch.setattr(session, 'bfloat16_hardware', lambda: 'amx_bf16')
    assert precision() == 'bfloat16'
    monkeypatch.setattr(session.tf2.config, 'list_physical_devices', lambda kind: ['one GPU'])
    assert precision() == 'float32'


@needs_bfloat16
def test_a_resumed_run_keeps_its_precision_or_reports_why_it_cannot(images, tiny_vgg, workdir, monkeypatch, capsys):
    flags = ['--content', str(images[0]), '--style', str(images[1]), '--width', '48', '--vgg', str(tiny_vgg),
             '--name', 'r']
    monkeypatch.setattr(session, 'bfloat16_hardware', lambda: None)
    monkeypatch.setattr(session, '_cpu_features', lambda: [])
    assert main([*flags, '--iterations', '3']) == 0
    monkeypatch.setattr(session, 'bfloat16_hardware', lambda: 'avx512_bf16')
    assert main([*flags, '--iterations', '5']) == 0
    out = capsys.readouterr().out
    assert out.count('48×32 (the aspect ratio of the content), float32; ') == 2 and 'resuming at iteration 3\n' in out
    assert main([*flags, '--iterations', '3', '--restart']) == 0  # A restart uses the fastest precision again.
    assert '48×32 (the aspect ratio of the content), bfloat16 by avx512_bf16; ' in capsys.readouterr().out
    monkeypatch.setattr(session, 'bfloat16_hardware', lambda: None)
    assert main([*flags, '--iterations', '5']) == 2
    error = capsys.readouterr().err
    assert 'checkpoints/r: this run was started in bfloat16, which' in error and error.count('\n') == 1
    assert '--precision bfloat16 continues it' in error and '--restart' in error
    assert main([*flags, '--iterations', '5', '--precision', 'bfloat16']) == 0
    assert main([*flags, '--iterations', '5', '--restart']) == 0


@pytest.mark.parametrize('content', ['', '{', '[]', '5', 'null', '[["seed", 0]]', '{}'])
def test_a_damaged_fingerprint_is_refused_and_left_unchanged(copy_run, train_here, content):
    copy_run(20)
    Path('checkpoints/r/run.json').write_text(content)
    before = final_png(), losses_csv()
    with pytest.raises(UserError, match='other settings' if content == '{}' else 'run.json: damaged'):
        train_here(40)
    assert (final_png(), losses_csv()) == before and Path('checkpoints/r/run.json').read_text() == content


@pytest.mark.parametrize('suffix', ['.data-00000-of-00001', '.index'])
@pytest.mark.parametrize('damage', [lambda data: data[:len(data) // 2], lambda data: b'',
                                    lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:]])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(copy_run, train_here, expected_files, capsys, suffix,
                                                           damage):
    copy_run(40)
    path = Path('checkpoints/r/model-40' + suffix)
    path.write_bytes(damage(path.read_bytes()))
    capsys.readouterr()
    train_here(N)
    out = capsys.readouterr().out
    assert 'model-40: damaged' in out and 'resuming at iteration 20' in out
    assert (final_png(), losses_csv()) == expected_files
    assert checkpoint_steps() == [60, N]


def test_a_run_whose_checkpoints_are_all_damaged_begins_again(copy_run, train_here, capsys):
    copy_run(40)
    before = final_png(), losses_csv()
    for path in Path('checkpoints/r').glob('model-*'):
        path.write_bytes(b'')
    train_here(40)
    assert (final_png(), losses_csv()) == before
    assert capsys.readouterr().out.count('damaged') == 2


def test_a_checkpoint_without_its_loss_history_counts_as_damaged(copy_run, train_here):
    copy_run(40)
    before = final_png(), losses_csv()
    Path('checkpoints/r/losses.csv').unlink()
    train_here(40)
    assert (final_png(), losses_csv()) == before


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(copy_run, images, tiny_vgg):
    copy_run(20)
    before = {path: path.read_bytes() for path in Path('checkpoints/r').glob('model-*')}
    machine = StyleTransfer(*images, 48, 32, vgg=tiny_vgg, name='r')
    machine.build()
    check_finite = machine.run.check_finite

    def check_with_nan(losses, step):
        return check_finite(losses | {'style_loss': np.float32('nan')} if step >= 33 else losses, step)
    machine.run.check_finite = check_with_nan
    with pytest.raises(UserError, match='style_loss is nan at iteration 33'):
        machine.train(N)
    assert {path: path.read_bytes() for path in Path('checkpoints/r').glob('model-*')} == before


def test_an_overflow_is_reported_with_its_loss_term_and_iteration(images, tiny_vgg, workdir):
    weights = load_vgg.read_weights(tiny_vgg)
    # This layer is above the content layer, because it depends on the processor whether a ReLU keeps a NaN.
    W, b = weights.convolutions['conv5_1']
    convolutions = weights.convolutions | {'conv5_1': (W * np.float32(1e30), b)}
    load_vgg.write_weights('large.mat', weights._replace(convolutions=convolutions))
    machine = StyleTransfer(*images, 48, 32, vgg='large.mat', name='r')
    machine.build()
    with pytest.raises(UserError, match='style_loss is (inf|nan) at iteration 0;'):
        machine.train(N)
    assert checkpoint_steps() == []


def test_a_full_disk_at_a_checkpoint_is_reported_and_the_run_can_resume(copy_run, train_here, images, tiny_vgg):
    copy_run(20)
    machine = StyleTransfer(*images, 48, 32, vgg=tiny_vgg, name='r')
    machine.build()

    class FullDiskSaver:
        restore, recover_last_checkpoints = machine.saver.restore, machine.saver.recover_last_checkpoints

        def save(self, *args, **kwargs):
            raise tf.errors.UnknownError(None, None, 'Graph execution error:\n\nDetected at node ...\n'
                                         'model-40.tempstate1; No space left on device\n\t [[{{node save/SaveV2}}]]')
    machine.saver = FullDiskSaver()
    with pytest.raises(UserError, match='checkpoint of iteration 40 could not be written: '
                                        'No space left on device; earl'):
        machine.train(40)
    assert train_here(40) == 40


@pytest.mark.parametrize('name', ['', '.', '..', 'a/b', '.hidden', 'x' * 101, '漢' * 34, 'a:b', 'a\\b', 'holi*', 'a?',
                                  'a[1]', 'a\nb', 'a\x7f'])
def test_names_that_cannot_be_a_folder_are_refused(train_here, name):
    if name:  # An empty name means the default.
        with pytest.raises(UserError, match='--name'):
            train_here(1, name=name)
    else:
        with pytest.raises(UserError, match='--name'):
            runs.Run(name, {})


# ---------------------------------------------------------------------------------------------- which files a run owns

def test_a_restart_removes_only_file_names_that_a_run_writes(copy_run, train_here):
    copy_run(20)
    other_files = ['outputs/r/2024 holiday.jpg', 'outputs/r/1.jpg', 'outputs/r/final.png.bak',
                   'checkpoints/r/model-notes/x.txt', 'checkpoints/r/model-20.txt', 'graphs/r/events.txt',
                   'graphs/r/events.out.tfevents.notes', 'outputs/r/00009.jpg/x']
    for path in map(Path, other_files):
        path.parent.mkdir(exist_ok=True)
        path.write_text('mine')
    train_here(3, restart=True, seed=1)
    assert all(Path(path).read_text() == 'mine' for path in other_files)
    assert checkpoint_steps() == [3] and len(list(Path('graphs/r').glob('events.out.tfevents.*'))) == 2


def count_frames(name='r'):
    """Return the number of frames of progress.gif."""
    with iio.imopen(Path('outputs', name, 'progress.gif'), 'r', plugin='pillow') as file:
        return file.properties(index=...).shape[0]


def test_pictures_of_an_older_run_are_not_in_the_animation(copy_run, train_here):
    copy_run(N)
    for path in Path('checkpoints/r').iterdir():
        path.unlink()
    train_here(10)
    assert ([int(path.stem) for path in sorted(Path('outputs/r').glob('0*.jpg'))] == [1, 2, 3, 4, 5, 10]
            and count_frames() == 6)


def test_checkpoints_without_a_fingerprint_are_refused_with_two_hints(copy_run, images, tiny_vgg, capsys):
    copy_run(20)
    Path('checkpoints/r/run.json').unlink()
    before = {path: path.read_bytes() for path in Path('checkpoints/r').iterdir()}
    flags = ['--content', str(images[0]), '--style', str(images[1]), '--vgg', str(tiny_vgg), '--width', '48',
             '--name', 'r', '--iterations']
    assert main([*flags, '21']) == 2
    error = capsys.readouterr().err
    assert 'run.json: missing' in error and '--restart' in error and '--name' in error and error.count('\n') == 1
    assert {path: path.read_bytes() for path in Path('checkpoints/r').iterdir()} == before
    assert main([*flags, '2', '--restart']) == 0 and checkpoint_steps() == [2]


def test_a_checkpoint_whose_loss_history_lacks_a_row_counts_as_damaged(copy_run, train_here, capsys):
    copy_run(40)
    before = final_png(), losses_csv()
    rows = losses_csv().splitlines(keepends=True)
    Path('checkpoints/r/losses.csv').write_text(''.join(rows[:31] + rows[32:]))
    train_here(40)
    out = capsys.readouterr().out
    assert 'model-40: damaged' in out and 'resuming at iteration 20' in out
    assert (final_png(), losses_csv()) == before


def test_a_converged_run_is_left_unchanged(images, tiny_vgg, workdir, capsys):
    flags = ['--content', str(images[0]), '--style', str(images[1]), '--width', '48', '--vgg', str(tiny_vgg),
             '--recipe', 'lbfgs', '--style-weight', '0', '--name', 'r']
    assert main(flags) == 0
    before = final_png(), losses_csv(), checkpoint_steps(), sorted(Path('graphs/r').iterdir())
    for more in ([], ['--iterations', '400']):
        assert main([*flags, *more]) == 0
        assert 'L-BFGS finds no better picture' in capsys.readouterr().out
        assert (final_png(), losses_csv(), checkpoint_steps(), sorted(Path('graphs/r').iterdir())) == before


def test_a_run_that_is_killed_before_the_checkpoint_of_its_end_converges_again(images, tiny_vgg, workdir, capsys):
    flags = ['--content', str(images[0]), '--style', str(images[1]), '--width', '48', '--vgg', str(tiny_vgg),
             '--recipe', 'lbfgs', '--style-weight', '0', '--name', 'r']
    assert main(flags) == 0
    before = final_png(), losses_csv(), checkpoint_steps()
    for path in Path('checkpoints/r').glob(f'model-{checkpoint_steps()[-1]}.*'):
        path.unlink()
    assert main(flags) == 0
    assert (final_png(), losses_csv(), checkpoint_steps()) == before
    assert capsys.readouterr().out.count('L-BFGS finds no better picture') == 2


def test_removed_outputs_are_written_again_without_another_event_file(copy_run, train_here):
    copy_run(20)
    before, events = final_png(), sorted(Path('graphs/r').iterdir())
    shutil.rmtree('outputs')
    train_here(20)
    assert final_png() == before and count_frames() == 1 and sorted(Path('graphs/r').iterdir()) == events


def test_a_file_or_folder_in_place_of_the_lock_is_reported(copy_run, train_here):
    copy_run(20)
    lock = Path('checkpoints/r/lock')
    lock.write_text('of somebody else, and rather longer than the header of a database, which has a hundred bytes, '
                    'or so I read')
    with pytest.raises(UserError, match='^checkpoints/r/lock: is not a lock file .*; remove it$'):
        train_here(21)
    lock.unlink()
    lock.mkdir()  # SQLite cannot open it, like a file in a read-only folder.
    with pytest.raises(UserError, match='^checkpoints/r/lock: cannot be opened for writing'):
        train_here(21)


def test_a_full_disk_while_events_are_written_is_reported(train_here, monkeypatch):
    writer = tf.io.TFRecordWriter
    monkeypatch.setattr(tf.io, 'TFRecordWriter', lambda path: writer('/dev/full'))
    with pytest.raises(UserError, match='^graphs/r: the event file cannot be written: No space left on device$'):
        train_here(1)


def test_an_event_file_that_cannot_be_created_is_reported(train_here, monkeypatch):
    monkeypatch.setattr('engine.run.events.socket.gethostname', lambda: 'no/such')
    with pytest.raises(UserError, match='^graphs/r: the event file cannot be written: No such file or directory$'):
        train_here(1)


def test_a_photo_whose_name_is_a_glob_pattern_can_be_resumed(images, tiny_vgg, workdir, capsys):
    Path('photo[1].png').write_bytes(images[0].read_bytes())
    flags = ['--content', 'photo[1].png', '--style', str(images[1]), '--vgg', str(tiny_vgg), '--width', '48',
             '--iterations']
    assert main([*flags, '2']) == 0 and main([*flags, '3']) == 0
    assert 'resuming at iteration 2' in capsys.readouterr().out
    folder, = Path('outputs').iterdir()
    assert re.fullmatch(r'photo_1_-style-cs20-[0-9a-f]{8}', folder.name)


def test_after_a_restart_the_continue_command_lacks_the_restart_flag(train_here, images, tiny_vgg, monkeypatch, capsys):
    flags = ['--content', str(images[0]), '--style', str(images[1]), '--vgg', str(tiny_vgg), '--width', '48',
             '--name', 'r']
    monkeypatch.setattr(process.StopSignal, 'requested', True)
    assert main(flags) == 130
    assert 'stopped at iteration 1; run the same command to continue' in capsys.readouterr().out
    assert main([*flags, '--restart']) == 130
    assert 'stopped at iteration 1; run the same command without --restart to continue' in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------------- real processes

def process_flags(images, tiny_vgg, optimizer='adam', n_iters=120):
    """Return the flags of a run at 120×80 pixels."""
    content, style = images
    return ['--content', content, '--style', style, '--vgg', tiny_vgg, '--name', 'r', '--width', '120', '--height',
            '80', '--optimizer', optimizer, '--iterations', str(n_iters), '--threads', '2']


@pytest.mark.parametrize('optimizer, n_iters, interruptions', [
    ('adam', 120, [('outputs/r/00003.jpg', signal.SIGKILL), ('checkpoints/r/model-20.index', signal.SIGKILL),
                   ('checkpoints/r/model-40.index', signal.SIGINT), ('checkpoints/r/model-80.index', signal.SIGTERM)]),
    ('lbfgs', 55, [('checkpoints/r/model-20.index', signal.SIGKILL), ('checkpoints/r/model-40.index', signal.SIGKILL)]),
])
def test_kills_and_stops_at_any_time_do_not_change_the_result(server, images, tiny_vgg, workdir, optimizer, n_iters,
                                                              interruptions):
    """The program, run in an empty folder, gives the same files and prints no start-up messages of TensorFlow."""
    flags = process_flags(images, tiny_vgg, optimizer, n_iters)
    (workdir / 'straight').mkdir()
    result = subprocess.run([sys.executable, PROGRAM, *flags], cwd=workdir / 'straight', capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, '') and f'weights {tiny_vgg}: He noise' in result.stdout
    for i, (path, number) in enumerate(interruptions):
        process, out = server.start(flags, f'{i}.txt'), Path(f'{i}.txt')
        while not Path(path).exists():
            assert process.poll() is None, out.read_text()
            time.sleep(0.005)
        process.send_signal(number)
        assert process.wait() == (-number if number == signal.SIGKILL else 130), out.read_text()
        if number != signal.SIGKILL:
            assert f'stopped at iteration {checkpoint_steps()[-1]}' in out.read_text()
    assert not Path('outputs/r/final.png').exists()
    assert server.start(flags).wait() == 0
    for path in ('outputs/r/final.png', 'checkpoints/r/losses.csv'):
        assert Path(path).read_bytes() == Path('straight', path).read_bytes()


def test_a_second_process_on_the_same_run_is_refused(server, images, tiny_vgg, workdir):
    with runs.Run('r', {}).acquire():
        assert server.start(process_flags(images, tiny_vgg), err='err.txt').wait() == 2
    error = Path('err.txt').read_text()
    assert error.startswith('error: ') and 'another process' in error and error.count('\n') == 1
    assert not list(Path('outputs/r').iterdir())
