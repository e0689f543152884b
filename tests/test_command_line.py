"""The command line of style_transfer.py: its flags, errors in one line with status 2, and reproducible pictures."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

import fast_style_transfer
import load_vgg
import reconstruct
import style_transfer
import utils
from common import paths
from engine.results import output
from fast.inference import models
from fast.inference.arbitrary import ArbitraryStyleModel, Style
from tests.factories import needs_bfloat16

PROGRAM = paths.ROOT / 'style_transfer.py'


@pytest.fixture
def call(images, tiny_vgg, workdir, capsys):
    """Return a function that runs the command in this process and returns (status, stdout, stderr)."""
    def run(*flags):
        status = style_transfer.main(['--content', str(images[0]), '--style', str(images[1]), '--vgg', str(tiny_vgg),
                                      '--width', '48', *map(str, flags)])
        return status, *capsys.readouterr()
    return run


@pytest.mark.parametrize('flags, message', [
    ('--content nowhere.png', 'nowhere.png: no such image'),
    ('--style .', 'is a folder, not an image'),
    ('--content empty.png', 'empty.png: cannot be read as an image'),
    ('--style text.jpg', 'text.jpg: cannot be read as an image'),
    ('--vgg nowhere.mat', 'nowhere.mat: no such weights file'),
    ('--vgg text.jpg', 'text.jpg: not a MatConvNet VGG-19 file'),
    ('--width 15', "'15': must be a whole number from 16 to 4096"),
    ('--width 1e3', 'from 16 to 4096'),
    ('--height 5000', 'from 16 to 4096'),
    ('--recipe cs21', 'cs20'),
    ('--iterations 0', 'a whole number from 1 to 100000'),
    ('--iterations 2.5', 'a whole number from 1 to 100000'),
    ('--content-weight -1', 'a number from 0 to 1e+09'),
    ('--style-weight nan', 'a number from 0 to 1e+09'),
    ('--style-weight inf', 'a number from 0 to 1e+09'),
    ('--learning-rate 0', 'a number from 0.0001 to 1000'),
    ('--learning-rate fast', 'a number from 0.0001 to 1000'),
    ('--noise-ratio 1.1', 'a number from 0 to 1'),
    ('--noise-amplitude 256', 'a number from 0 to 255'),
    ('--content-layers conv6_1', 'conv1_1 … conv5_4'),
    ('--style-layers conv1_1,,conv2_1', 'conv1_1 … conv5_4'),
    ('--style-layers conv1_1,conv2_1', '5 weights for 2 layers'),
    ('--style-layer-weights 1,2,3,4,x', 'numbers from 0 to 1e+06'),
    ('--content-layer-weights 1,2', '2 weights for 1 layers'),
    ('--seed -1', 'from 0 to 2147483647'),
    ('--precision float16', 'bfloat16'),
    ('--threads 2000', 'from 0 to 1024'),
    ('--name a/b', '--name'),
    ('--name holi*', '--name'),
    ('--style-weight 0 --style-layers conv1_1,conv1_2,conv2_1,conv2_2,conv3_1',
     '--style-layers does nothing with --style-weight 0'),
    ('--style-weight 0 --style-layer-weights 1,2,3,4,5', '--style-layer-weights does nothing with --style-weight 0'),
    ('--content-weight 0 --content-layers conv1_1', '--content-layers does nothing with --content-weight 0'),
    ('--recipe lbfgs --seed 3', '--seed does nothing with --init content'),
    ('--noise-ratio 0 --seed 3', '--seed does nothing with --noise-ratio 0'),
    ('--noise-ratio 0 --noise-amplitude 3', '--noise-amplitude does nothing with --noise-ratio 0'),
    ('--style-layer-weights 0,0,0,0,0', '--style-layer-weights are all 0; --style-weight 0 leaves the style out'),
    ('--content-layer-weights 0', '--content-layer-weights are all 0'),
    ('--mask wide.png', 'wide.png: 9×1 has a different aspect ratio than '),
    ('--style-weights 1 2', '--style-weights does nothing with one style'),
    ('--init wide.png --noise-ratio 0.3', '--noise-ratio does nothing with --init content'),
    ('--init nowhere.png', 'nowhere.png: no such image'),
    ('--output a.bmp', '--output a.bmp: must end in .png, .tif'),
    ('--quality 50', '--quality does nothing without --output'),
    ('--output a.jpg --depth 16', '.jpg has 8 bits'),
    ('--init wide.png --output ./wide.png', 'wide.png: is one of the input images, which it would overwrite'),
    ('--output wide.png/a.png', 'wide.png is not a writable folder'),
    ('--output a.png --alpha', 'content.png has no transparency'),
    ('--like wide.png', 'wide.png: does not say which command made it'),
    ('--like nowhere.png', 'nowhere.png: No such file or directory'),
    ('--recipe gatys --style-weight 0 --keep-colors luminance', '--keep-colors does nothing with --style-weight 0'),
    ('--nonsense', '--help lists the flags'),
    ('--width', 'expected one argument')])
def test_user_errors_are_one_line_and_write_nothing(call, workdir, flags, message):
    (workdir / 'empty.png').write_bytes(b'')
    (workdir / 'text.jpg').write_text('no picture')
    iio.imwrite('wide.png', np.zeros((1, 9), np.uint8))
    before = sorted(workdir.rglob('*'))
    status, out, err = call('--iterations', 1, *flags.split())
    assert (status, err.count('\n'), err.startswith('error: ')) == (2, 1, True), err
    assert message in err
    assert sorted(workdir.rglob('*')) == before


@needs_bfloat16
def test_every_flag_reaches_the_run(call):
    status, out, err = call('--height', 32, '--content-layers', 'conv3_1,conv4_1', '--content-layer-weights', '1,0.5',
                            '--content-weight', 3, '--style-layers', 'conv1_2', '--style-layer-weights', 2,
                            '--style-weight', 4, '--noise-ratio', 0.5, '--noise-amplitude', 30, '--learning-rate', 5,
                            '--seed', 9, '--precision', 'bfloat16', '--threads', 1, '--name', 'mine', '--iterations', 2)
    assert (status, err) == (0, '')
    saved = json.loads(Path('checkpoints/mine/run.json').read_text())
    expected = dict(width=48, height=32, seed=9, precision='bfloat16', content_layers=['conv3_1', 'conv4_1'],
                    content_layer_weights=[1, 0.5], content_weight=3, style_layers=['conv1_2'], style_layer_weights=[2],
                    style_weight=4, noise_ratio=0.5, noise_amplitude=30, learning_rate=5)
    assert {key: saved[key] for key in expected} == expected
    assert 'outputs/mine/final.png: 2 iterations' in out


def test_the_height_follows_from_the_width_and_the_content(call):
    assert call('--iterations', 1, '--name', 'r')[0] == 0  # The content has 48×32 pixels.
    assert iio.imread('outputs/r/final.png').shape == (32, 48, 3)


def test_without_a_size_the_picture_keeps_the_aspect_ratio_of_the_photo(images, tiny_vgg, workdir, capsys):
    iio.imwrite('tall.png', np.zeros((90, 30, 3), np.uint8) + 99)
    flags = ['--style', str(images[1]), '--vgg', str(tiny_vgg), '--iterations', '1']
    assert style_transfer.main(['--content', 'tall.png', *flags]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith(
        f'tall.png in the style of {images[1]}, 111×333 (the aspect ratio of the content), ')
    assert iio.imread('outputs/tall-style-cs20/final.png').shape == (333, 111, 3)
    assert style_transfer.main(flags) == 0  # The default content keeps CS20's size.
    assert f'{images[1]}, 333×250, ' in capsys.readouterr().out


def test_a_run_has_a_default_name_and_verbose_prints_its_steps(call):
    status, out, err = call('--iterations', 3, '--verbose')
    assert status == 0 and Path('outputs/content-style-cs20/final.png').exists()
    assert out.count('Step ') == out.count('Loss: ') == out.count('Took: ') == 3


def test_other_settings_under_the_same_name_are_refused(call):
    assert call('--iterations', 1)[0] == 0
    status, out, err = call('--iterations', 2, '--seed', 1)
    assert status == 2 and 'seed (now 1, was 0); --restart begins again, --name NEW keeps both' in err
    assert call('--iterations', 2, '--seed', 1, '--restart')[0] == 0


def test_help_shows_every_setting_with_its_default(capsys):
    with pytest.raises(SystemExit) as stop:
        style_transfer.main(['--help'])
    text = ' '.join(capsys.readouterr().out.split())
    assert stop.value.code == 0
    for part in ('--content-layers LAYER,...', 'conv1_1,conv2_1,conv3_1,conv4_1,conv5_1 in cs20',
                 '0.5,1,1.5,3,4 in cs20', '2 in cs20', '300 in cs20', '0.6 in cs20', '--restart',
                 '--precision {auto,float32,bfloat16}',
                 '(default: 333 by 250; with --content, 333 for the longer side; 512 in modern)'):
        assert part in text


@pytest.mark.parametrize('program', [reconstruct, fast_style_transfer])
def test_hints_name_only_flags_that_the_program_has(program, images, tiny_vgg, workdir, monkeypatch, capsys):
    flags = ['--style', str(images[1]), '--vgg', str(tiny_vgg), '--iterations', '1']
    if program is reconstruct:
        flags += ['--content', str(images[0]), '--width', '32', '--content-layers', 'conv1_2',
                  '--style-layers', 'conv1_1']
    else:
        Path('photos').mkdir()
        Path('photos/one.png').write_bytes(Path(images[0]).read_bytes())
        flags = ['train', *flags, '--images', 'photos', '--side', '32', '--base', '4', '--held-out', str(images[1])]
    name = 'reconstruction-content-content-conv1_2' if program is reconstruct else 'style'
    for path in (Path('checkpoints', name, 'run.json'), Path('models', name, 'model.json')):
        path.parent.mkdir(parents=True)
        path.write_text('5')
    Path('checkpoints', name, 'model-1.index').touch()
    assert program.main(flags) == 2
    error = capsys.readouterr().err
    assert (error.count('\n') == 1 and 'damaged; --restart' in error
            and ('--name' in error) == (program is fast_style_transfer))


def test_missing_weights_are_reported_with_instructions(images, workdir, monkeypatch, capsys):
    monkeypatch.setattr(load_vgg, 'WEIGHTS_SEARCH_PATHS', (workdir / 'none.mat',))
    assert style_transfer.main(['--content', str(images[0]), '--style', str(images[1])]) == 2
    error = capsys.readouterr().err
    assert 'python load_vgg.py' in error and '--vgg' in error and error.count('\n') == 1


def test_a_full_disk_is_reported_in_one_line(call, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(28, os.strerror(28), 'outputs/r/final.png')
    monkeypatch.setattr('utils.iio.imwrite', fail)
    status, out, err = call('--iterations', 2, '--name', 'r')
    assert (status, err) == (2, 'error: outputs/r/final.png: No space left on device\n')
    assert not [path for path in Path('outputs/r').iterdir() if path.name.startswith('.')]


def test_the_program_can_be_run_from_another_folder(workdir):
    """A new process prints only the error, no start-up messages of TensorFlow; one in test_runs.py also trains."""
    result = subprocess.run([sys.executable, PROGRAM, '--content', 'nowhere.png'], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (2, 'error: nowhere.png: no such image\n')


def test_slow_packages_are_imported_only_when_they_are_needed(server, workdir):
    program = ('import style_transfer\n'
               'print([name for name in ("keras", "matplotlib", "scipy.optimize") if name in sys.modules])\n'
               'import tensorflow\n'
               'print(tensorflow.keras.layers.Dense.__name__)')
    assert server.start([], program=program).wait() == 0 and Path('out.txt').read_text() == '[]\nDense\n'


def test_a_picture_stores_the_command_that_makes_it_again(call, images, workdir, capsys):
    """`--like` repeats the pixels of a picture that was resumed.

    It has two styles, a mask, preserved colors and an initial image.
    """
    iio.imwrite('mask.png', np.pad(np.full((32, 24), 255, np.uint8), ((0, 0), (0, 24))))
    flags = ['--style', images[1], images[0], '--mask', 'mask.png', '--keep-colors', 'luminance', '--init', images[1],
             '--recipe', 'modern', '--scales', 2, '--coarse-iterations', 2, '--width', 64, '--style-layers',
             'conv1_1,conv2_1', '--style-layer-weights', '1,1', '--content-layers', 'conv2_2']
    for iterations in 1, 4, 2:  # at the last pyramid level; the third call leaves the finished run as it is
        status, out, err = call(*flags, '--iterations', iterations, '--name', 'r', '--output', 'r.tiff', '--depth', 16)
        assert (status, err) == (0, '') and 'the newest picture is outputs/r/latest.jpg' in out
    picture = iio.imread('r.tiff', plugin='tifffile')
    assert picture.shape == (43, 64, 3) and picture.dtype == np.uint16
    assert (utils.to_uint8(picture / 257) == iio.imread('outputs/r/final.png')).all()
    assert Path('outputs/r/latest.jpg').read_bytes() == max(Path('outputs/r').glob('0*.jpg')).read_bytes()
    assert output.read_settings('r.tiff') == output.read_settings('outputs/r/final.png')
    assert style_transfer.main(['--like', 'r.tiff', '--name', 'again', '--output', 'again.png']) == 0
    assert 'settings that differ' not in capsys.readouterr().out
    assert (iio.imread('again.png') == iio.imread('outputs/r/final.png')).all()
    iio.imwrite('mask.png', np.full((32, 48), 99, np.uint8))
    assert style_transfer.main(['--like', 'r.tiff', '--name', 'other', '--iterations', '1']) == 0
    out = capsys.readouterr().out
    assert 'settings that differ from r.tiff: mask (now ' in out and 'width' not in out


def test_training_can_start_from_an_arbitrary_style_transfer(call, images, any_folder, workdir, monkeypatch):
    monkeypatch.setattr(models, 'find', {models.ARBITRARY_NAME: any_folder}.get)
    flags = ['--style', images[1], images[0], '--style-weights', 3, 1, '--init', 'any', '--recipe', 'modern', '--width',
             48, '--scales', 1, '--iterations', 1]
    assert call(*flags, '--name', 'r')[0] == 0
    initial_picture = ArbitraryStyleModel(any_folder)(
        utils.get_resized_image(images[0], 48, 32)[0],
        Style(list(map(utils.read_image, (images[1], images[0]))), [3, 1]))
    fingerprint = json.loads(Path('checkpoints/r/run.json').read_text())
    assert fingerprint['initial_img'] == hashlib.sha256(initial_picture[None].tobytes()).hexdigest()
    assert fingerprint['init'] == 'content'  # The recipe's own start does not matter.


def test_transparency_is_kept_only_with_the_alpha_flag(call, images, workdir):
    photo = np.dstack([iio.imread(images[0]), np.full((32, 48), 51, np.uint8)])
    iio.imwrite('clear.png', photo)
    assert call('--content', 'clear.png', '--width', 24, '--iterations', 1, '--alpha', '--output', 'a.webp')[0] == 0
    assert np.abs(np.int16(iio.imread('a.webp')[..., 3]) - 51).max() <= 1
    assert call('--content', 'clear.png', '--width', 24, '--iterations', 1, '--output', 'b.png')[0] == 0
    assert iio.imread('b.png').shape == (16, 24, 3)
