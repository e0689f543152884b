"""Test `stylize` as a Beam pipeline against the pictures of a `batch.Renderer`.

File names, atomic writing and resuming are tested without Beam; the pipeline itself only where Beam is installed.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import imageio.v3 as iio
import numpy as np
import pytest

import utils
from common import paths
from common.errors import UserError
from fast.beam import remote
from fast.inference import arbitrary, batch, multi_style

BEAM = paths.ROOT / '.beam' / 'bin' / 'python'  # CI creates this environment; fast/README.md says how
PYTHON = BEAM if BEAM.exists() else sys.executable
needs_beam = pytest.mark.skipif(
    not BEAM.exists() and not importlib.util.find_spec('apache_beam'),
    reason='apache_beam is missing: python3 -m venv .beam && .beam/bin/pip install -r requirements-beam.txt')


class LocalFiles:
    """The methods of Beam's FileSystems that `remote` calls, for local files."""

    exists = staticmethod(os.path.exists)

    def open(self, path):
        return open(path, 'rb')

    def create(self, path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return open(path, 'wb')

    def rename(self, sources, targets):
        for source, target in zip(sources, targets, strict=True):
            os.rename(source, target)

    def delete(self, paths):
        for path in paths:
            os.remove(path)

    def match(self, patterns):
        return [SimpleNamespace(metadata_list=[
            SimpleNamespace(path=str(path)) for path in sorted(Path(remote.fixed_prefix(pattern)).rglob('*'))
            if path.is_file() and ('**' in pattern or PurePosixPath(path).match(pattern))]) for pattern in patterns]


@pytest.fixture(scope='module')
def renderer(model_folder):
    """A renderer of style a with one thread, as in the pipeline."""
    return batch.Renderer(multi_style.MultiStyleModel(model_folder, 1), np.float32([1, 0, 0]))


def photo(path, seed=0):
    """Write a random photo, 56×40, to a path; return its pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    iio.imwrite(path, pixels)
    return pixels


def expected_picture(renderer, pixels):
    """Return the picture, uint8, that a renderer makes of a photo's pixels."""
    return utils.to_uint8(renderer.model(np.float32(pixels), renderer.style))


def files_below(folder):
    """Return the paths of all files below a folder, relative to it."""
    return {str(path.relative_to(folder)) for path in Path(folder).rglob('*') if path.is_file()}


# -------------------------------------------------------------------------------------------------------- without Beam

@pytest.mark.parametrize('pattern, root', [
    ('/a/b/*.jpg', '/a/b/'), ('/a/b-*/c/*.jpg', '/a/'), ('gs://bucket/**.png', 'gs://bucket/'),
    ('s3://bucket/20[12]?/x.png', 's3://bucket/'), ('/a/b.jpg', '/a/'), ('hdfs://h/a/b?.jpg', 'hdfs://h/a/')])
def test_relative_paths_start_at_the_fixed_prefix_of_a_glob(pattern, root):
    assert remote.fixed_prefix(pattern) == root
    assert remote.keyed_photo(pattern, f'{root}deep/x.jpg')[1] == (f'{root}deep/x.jpg', 'deep/x.jpg')


def test_inputs_become_absolute_globs(workdir):
    (workdir / 'in').mkdir()
    for value, pattern in (('in', f'{workdir}/in/**'), ('in/', f'{workdir}/in/**'), ('in/*.jpg', f'{workdir}/in/*.jpg'),
                           ('gs://b/in/', 'gs://b/in/**'), ('gs://b/*.jpg', 'gs://b/*.jpg')):
        assert remote.glob(value) == pattern


def test_a_folder_yields_its_images_except_those_in_the_output_folder(workdir):
    for name in ('in/a.PNG', 'in/deep/b.jpg', 'in/notes.txt', 'in/out/a-a.png', 'in/outside.png'):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    photos = list(remote.photos(LocalFiles(), remote.glob('in'), f'{workdir}/in/out'))
    assert sorted(photos) == [f'{workdir}/in/{name}' for name in ('a.PNG', 'deep/b.jpg', 'outside.png')]
    assert list(remote.photos(LocalFiles(), remote.glob('in/*.txt'), f'{workdir}/out')) == [f'{workdir}/in/notes.txt']


def test_output_names_are_those_of_the_command_stylize(workdir):
    names = ['x.bmp', 'x.tif', 'x.png', 'y.tif', 'y.png', 'y-bmp.tif', 'a.b.bmp', 'a.b.png', 'a.b.webp',
             'deep/x.png', 'z-tif.jpg', '-png.png', 'w.gif', 'w.GIF', 'y-tif-tif.png', '-.tif', '-.bmp']
    for name in names:
        Path('in', name).parent.mkdir(parents=True, exist_ok=True)
        Path('in', name).touch()
    by_stylize = {str(source): str(target) for source, target in batch.plan_outputs([Path('in')], Path('out'), 's')}
    groups = {}
    for name in sorted(names, reverse=True):
        key, pair = remote.keyed_photo('in/**', f'in/{name}')
        groups.setdefault(key, []).append(pair)
    targets = [remote.plan_outputs(pairs, 'out', 's') for pairs in groups.values()]
    by_pipeline = {source: target for group in targets for target, source in group.items()}
    assert by_pipeline == by_stylize and len(groups) < len(names) and len(set(by_pipeline.values())) == len(by_pipeline)


def test_photos_whose_outputs_may_collide_have_the_same_key():
    """Otherwise x-tif-s.png, the picture of x.tif if x.bmp exists too, would be taken for the picture of x-tif.png."""
    pairs = [remote.keyed_photo('/in/**', f'/in/{name}') for name in ('x.bmp', 'x.tif', 'x-tif.png')]
    assert len({key for key, _ in pairs}) == 1
    with pytest.raises(UserError, match='/in/x-tif.png and /in/x.tif would both become x-tif-s.png'):
        remote.plan_outputs([pair for _, pair in pairs], '/out', 's')
    assert (
        len({remote.keyed_photo('/in/**', f'/in/{name}')[0] for name in ('x.bmp', 'x-tif.bmp', 'x-tif-tif.png')}) == 1
    )
    (key, first), (other_key, second) = remote.keyed_photo('/a/*', '/a/x.jpg'), remote.keyed_photo('/b/*', '/b/x.jpg')
    assert key == other_key
    with pytest.raises(UserError, match='would both become x-s.jpg'):
        remote.plan_outputs([first, second], '/out', 's')
    # Two globs may find the same photo.
    assert remote.plan_outputs([first, first], '/out', 's') == {'/out/x-s.jpg': '/a/x.jpg'}


def test_a_photo_is_stylized_once_and_its_picture_written_atomically(renderer, workdir, monkeypatch):
    pixels = photo(workdir / 'a.png')
    assert remote.stylize(renderer, LocalFiles(), 'a.png', 'out/deep/a-a.png') is True
    assert (iio.imread('out/deep/a-a.png') == expected_picture(renderer, pixels)).all()
    assert files_below('out') == {'deep/a-a.png'}
    Path('out/deep/a-a.png').write_text('mine')
    assert remote.stylize(renderer, LocalFiles(), 'a.png', 'out/deep/a-a.png') is False
    assert Path('out/deep/a-a.png').read_text() == 'mine'

    def fail(sources, targets):
        raise OSError(28, 'No space left on device')
    files = LocalFiles()
    files.rename = fail
    with pytest.raises(OSError, match='No space'):
        remote.stylize(renderer, files, 'a.png', 'out/b-a.png')
    assert files_below('out') == {'deep/a-a.png'}


def test_errors_of_bad_photos_name_no_temporary_paths(renderer, workdir):
    Path('notes.png').write_text('no picture')
    photo(workdir / 'a.png')
    Path('cut.png').write_bytes(Path('a.png').read_bytes()[:300])
    for name, reason in (('notes.png', '^cannot be read as an image'), ('cut.png', '^cannot be read as an image')):
        with pytest.raises(UserError, match=reason):
            remote.stylize(renderer, LocalFiles(), name, 'out/x.png')
    with pytest.raises(FileNotFoundError):
        remote.stylize(renderer, LocalFiles(), 'missing.png', 'out/x.png')
    assert not Path('out').exists()


def test_an_output_folder_has_the_same_settings_for_all_pictures_of_a_style(renderer, model_folder, workdir):
    remote.acquire(LocalFiles(), 'out', 'a', renderer.settings())
    remote.acquire(LocalFiles(), 'out', 'a', renderer.settings())
    remote.acquire(LocalFiles(), 'out', 'b', renderer.settings() | {'style_weights': [0, 1, 0]})
    half = batch.Renderer(renderer.model, renderer.style, strength=0.5)
    with pytest.raises(UserError, match=r'out/a.json: .* with other settings \(strength\); choose another --output'):
        remote.acquire(LocalFiles(), 'out', 'a', half.settings())
    assert json.loads(Path('out/a.json').read_text())['strength'] == 1


def test_without_beam_the_error_names_the_requirements():
    program = ('import sys; sys.modules["apache_beam"] = None; from fast.beam import __main__ as beam;'
               'sys.exit(beam.main(["--help"]))')
    done = subprocess.run([sys.executable, '-c', program], cwd=paths.ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == 'error: the package apache_beam is missing: pip install -r requirements-beam.txt\n'


def test_only_the_command_and_the_pipeline_import_beam():
    names = {path.name for path in [*paths.ROOT.glob('*.py'), *paths.ROOT.glob('fast/**/*.py')]
             if 'import apache_beam' in path.read_text(encoding='utf-8')}
    assert names == {'command.py', 'pipeline.py'}


# ----------------------------------------------------------------------------------------------------------- with Beam

def run(*arguments):
    """Run the command with two workers; return the finished process."""
    return subprocess.run([PYTHON, '-m', 'fast.beam', *map(str, arguments), '--direct_num_workers=2',
                           '--direct_running_mode=multi_processing'], cwd=paths.ROOT, capture_output=True, text=True)


@needs_beam
def test_two_workers_stylize_a_folder_list_bad_files_and_redo_nothing(renderer, model_folder, workdir):
    names = ['a.png', 'deep/a.png', 'deep/er/b.png', 'c.bmp', 'c.png']
    pixels = {name: photo(workdir / 'in' / name, seed) for seed, name in enumerate(names)}
    (workdir / 'in/notes.png').write_text('no picture')
    (workdir / 'in/readme.txt').write_text('not taken')
    flags = ('--input', workdir / 'in', '--output', workdir / 'in/out', '--style', 'a', '--model', model_folder)
    done = run(*flags)
    assert done.returncode == 1 and '5 made, 0 already there, 1 failed' in done.stdout, done.stderr
    failure, = Path('in/out/a-failed.txt').read_text().splitlines()
    path, reason = failure.split('\t')
    assert path == str(workdir / 'in/notes.png') and reason.startswith('cannot be read as an image')
    targets = ['a-a.png', 'deep/a-a.png', 'deep/er/b-a.png', 'c-a.png', 'c-png-a.png']
    assert files_below('in/out') == {*targets, 'a.json', 'a-failed.txt'}
    for name, target in zip(names, targets):
        assert (iio.imread(workdir / 'in/out' / target) == expected_picture(renderer, pixels[name])).all(), name
    times_before = {target: os.stat(workdir / 'in/out' / target).st_mtime_ns for target in targets}
    photo(workdir / 'in/notes.png')  # now it is an image
    (workdir / 'in/out/c-a.png').unlink()
    done = run(*flags)
    assert done.returncode == 0 and '2 made, 4 already there, 0 failed' in done.stdout, done.stderr
    assert files_below('in/out') == {*targets, 'notes-a.png', 'a.json'}
    del times_before['c-a.png']
    assert times_before == {target: os.stat(workdir / 'in/out' / target).st_mtime_ns for target in times_before}


@needs_beam
def test_paintings_and_masks_are_sent_with_the_pipeline(any_folder, workdir):
    names = 'in/p.png', 'a.png', 'mask.png'
    pixels, painting, mask = (photo(workdir / name, seed) for seed, name in enumerate(names))
    done = subprocess.run(
        [PYTHON, '-m', 'fast.beam', '--input', 'in', '--output', 'out', '--style', 'a.png', '--mask', 'mask.png',
         '--model', any_folder], capture_output=True, text=True, env=os.environ | {'PYTHONPATH': str(paths.ROOT)})
    assert done.returncode == 0, done.stderr
    style = arbitrary.Style([np.float32(painting)])
    expected_renderer = batch.Renderer(
        arbitrary.ArbitraryStyleModel(any_folder, 1), style, mask=np.float32(mask).mean(axis=-1) / 255
    )
    assert files_below('out') == {'p-a.png', 'a.json'}
    assert (iio.imread('out/p-a.png') == utils.to_uint8(expected_renderer.picture(np.float32(pixels)))).all()
    assert json.loads(Path('out/a.json').read_text()) == expected_renderer.settings()


IN_ONE_PROCESS = '''
import json, sys
from fast.beam import __main__ as beam
from fast.inference import multi_style
made = []
init = multi_style.MultiStyleModel.__init__
multi_style.MultiStyleModel.__init__ = lambda self, *args: made.append(self) or init(self, *args)
for arguments in json.load(sys.stdin):
    before = len(made)
    status = beam.main(arguments)
    sys.stdout.flush()
    print(status, len(made) - before, file=sys.stderr, flush=True)
'''


@needs_beam
def test_threads_share_a_model_and_bad_flags_stop_before_workers_start(model_folder, workdir):
    for seed in range(6):
        photo(workdir / f'in/{seed}.png', seed)
    (workdir / 'file').touch()
    good = {'--input': 'in/*.png', '--output': 'out', '--style': 'a', '--model': str(model_folder),
            '--runner': 'FnApiRunner', '--direct_num_workers': '2', '--direct_running_mode': 'multi_threading'}
    bad = [({'--input': 'in/*.jpg'}, '/in/*.jpg: no file matches'), ({'--style': 'd'}, '--style d: is not a style'),
           ({'--model': 'nowhere'}, 'nowhere: no such model'), ({'--output': 'file'}, '/file: '),
           ({'--output': 'in'}, '--output in: is the folder of the photos'), ({'--strength': '2'}, '--strength'),
           ({'--strenght': '0.5'}, '--strenght: neither a flag of this command nor one of Beam'),
           ({'--strength': '0.5'}, 'with other settings (strength)'), ({'--runner': 'Rynner'}, '--runner Rynner: '),
           ({'--runner': 'DataflowRunner'}, '--runner DataflowRunner: '),
           ({'--input': 'nowhere://bucket/*'}, 'nowhere://bucket/*: ')]
    commands = [[text for pair in (good | changes).items() for text in pair]
                for changes in ({}, *(changes for changes, _ in bad))]
    done = subprocess.run([PYTHON, '-c', IN_ONE_PROCESS], input=json.dumps(commands), capture_output=True, text=True,
                          env=os.environ | {'PYTHONPATH': str(paths.ROOT)})
    assert done.returncode == 0, done.stderr
    assert done.stdout == '6 made, 0 already there, 0 failed\n'
    first, *lines = done.stderr.splitlines()
    assert first == '0 2'  # one model to check the flags, one that all workers share
    lines = [line for line in lines if not line.startswith('WARNING:apache_beam')]
    assert len(lines) == 2 * len(bad), lines
    for line, status, (_, message) in zip(lines[::2], lines[1::2], bad):
        assert line.startswith('error: ') and message in line and status.startswith('2 ')
    assert len(files_below('out')) == 7
