"""Test the command `stylize` with the shipped models, also where only requirements-stylize.txt is installed."""

import importlib.util
import os
import re
import subprocess
import sys

import imageio.v3 as iio
import numpy as np
import pytest

import utils
from common import paths
from fast.inference import arbitrary, models, multi_style
from fast_style_transfer import main
from tests.assertions import assert_close

PAINTING = paths.ROOT / 'styles' / 'woodcut.jpg'


@pytest.fixture(scope='module')
def multi_style_model():
    return multi_style.MultiStyleModel(paths.MODELS / 'many')


@pytest.fixture(scope='module')
def arbitrary_model():
    return arbitrary.ArbitraryStyleModel(paths.MODELS / models.ARBITRARY_NAME)


@pytest.fixture
def photo(workdir):
    """Write a detail of the astronaut, 64×48, to photo.png in the current directory; return its pixels."""
    pixels = iio.imread(paths.ROOT / 'content' / 'astronaut.png')[:48, 200:264]
    iio.imwrite('photo.png', pixels)
    return pixels


def stylize(*arguments):
    """Run the command; return its exit status."""
    return main(['stylize', *map(str, arguments)])


def test_a_style_name_uses_the_multi_style_network(photo, multi_style_model):
    assert stylize('photo.png', '--style', 'woodcut') == 0
    one_hot = np.eye(len(multi_style_model.styles), dtype=np.float32)[list(multi_style_model.styles).index('woodcut')]
    picture = iio.imread('outputs/photo-woodcut.png')
    assert (picture == utils.to_uint8(multi_style_model(np.float32(photo), one_hot))).all()
    assert np.abs(np.float32(picture) - photo).mean() > 10


def test_a_painting_uses_the_arbitrary_style_transfer_network(photo, arbitrary_model):
    assert stylize('photo.png', '--style', PAINTING) == 0
    picture = iio.imread('outputs/photo-woodcut.png')
    style = arbitrary.Style([utils.read_image(PAINTING)])
    assert (picture == utils.to_uint8(arbitrary_model(np.float32(photo), style))).all()
    assert np.abs(np.float32(picture) - photo).mean() > 10


@pytest.mark.parametrize('style', ['woodcut', PAINTING])
def test_strength_blends_the_photo_and_the_picture(photo, workdir, style):
    pictures = []
    for strength in (0, 0.5, 1):
        assert stylize('photo.png', '--style', style, '--strength', strength, '--out', f'{strength}.png') == 0
        pictures.append(np.float32(iio.imread(f'{strength}.png')))
    assert (pictures[0] == photo).all()
    assert_close(pictures[1], (pictures[0] + pictures[2]) / 2, rel=1.1 / 255, scale=255)


def test_the_photo_is_unchanged_where_the_mask_is_black(photo, workdir):
    iio.imwrite('mask.png', np.pad(np.full((48, 32), 255, np.uint8), ((0, 0), (0, 32))))
    for name, flags in (('masked', ['--mask', 'mask.png']), ('whole', [])):
        assert stylize('photo.png', '--style', 'woodcut', '--out', f'{name}.png', *flags) == 0
    masked, unmasked = iio.imread('masked.png'), iio.imread('whole.png')
    assert (masked[:, :31] == unmasked[:, :31]).all() and (masked[:, 33:] == photo[:, 33:]).all()


def test_the_sheet_shows_the_photo_in_all_styles(photo, multi_style_model, capsys):
    assert stylize('photo.png', '--sheet') == 0
    assert f'outputs/photo-sheet.png: the photo, {", ".join(multi_style_model.styles)}' in capsys.readouterr().out
    sheet = iio.imread('outputs/photo-sheet.png')
    assert (sheet[:48, :64] == photo).all() and sheet.shape[0] % 48 == sheet.shape[1] % 64 == 0


@pytest.mark.parametrize('size', [(1, 1), (1, 70), (33, 5)])
def test_a_picture_has_the_size_of_its_photo(workdir, size):
    iio.imwrite('p.png', np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    for style in ('woodcut', PAINTING):
        assert stylize('p.png', '--style', style, '--out', 'out.png') == 0
        assert iio.imread('out.png').shape == (*size, 3)


def test_tiled_and_untiled_pictures_agree(multi_style_model):
    photo = np.float32(iio.imread(paths.ROOT / 'content' / 'astronaut.png')[:301, :453])
    style = np.eye(len(multi_style_model.styles), dtype=np.float32)[0]
    untiled = multi_style_model(photo, style, 2000)
    assert untiled.std() > 5
    assert_close(multi_style_model(photo, style, multi_style_model.min_tile()), untiled, rel=2e-4, scale=255)


@pytest.mark.parametrize('arguments, status, message', [
    (['photo.png', '--style', 'nobody'], 2, 'nobody: is not a style of this model, which has '),
    (['photo.png', '--style', 'none.jpg'], 2, 'none.jpg: no such image'),
    (['none.png', '--style', 'woodcut'], 1, 'none.png: no such '),
    (['photo.png', '--style', 'woodcut', '--strength', '2'], 2, '--strength'),
    (['photo.png', '--style', 'woodcut', '--model', 'nobody'], 2, 'nobody: no such model'),
    (['photo.png', '--style', 'woodcut', '--style-scale', '2'], 2, '--style-scale: applies only to paintings')])
def test_mistakes_are_reported_in_one_line(photo, capsys, arguments, status, message):
    assert stylize(*arguments) == status
    error = capsys.readouterr().err
    assert message in error and error.startswith('error: ') and error.count('\n') == (1 if status == 2 else 2)


def test_stylize_imports_no_heavy_packages(photo):
    program = ('import sys; from fast_style_transfer import main\n'
               f'assert main(["stylize", "photo.png", "--style", {str(PAINTING)!r}]) == 0\n'
               'heavy = {"tensorflow", "scipy", "skimage", "matplotlib", "av"} & sys.modules.keys()\n'
               'assert not heavy, heavy')
    subprocess.run([sys.executable, '-c', program], env=os.environ | {'PYTHONPATH': str(paths.ROOT)}, check=True)


@pytest.mark.skipif(bool(importlib.util.find_spec('tensorflow')), reason='for an environment without TensorFlow')
def test_without_tensorflow_train_names_the_requirements(capsys):
    assert main(['train', '--style', str(PAINTING), '--images', 'photos']) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r'error: the package \w+ is missing: pip install -r requirements.txt\n', error)
