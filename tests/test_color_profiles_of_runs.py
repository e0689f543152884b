"""The setting of color profiles: new runs convert images to sRGB, older runs go on without, with the same bits."""

import json
import re
import shutil
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

import catalogue
import style_transfer
import utils
from common.files import file_hash
from engine.results import output
from fast.data import crops
from style_transfer import StyleTransfer
from tests import icc_profiles


@pytest.fixture
def profiled(images, workdir):
    """Write the content and the style image with the profile that exchanges red and green; return their paths."""
    for path, name in zip(images, ('content.png', 'style.png')):
        Image.open(path).save(name, icc_profile=icc_profiles.EXCHANGED)
    return Path('content.png'), Path('style.png')


def make_old(pattern='checkpoints/*/run.json'):
    """Remove the setting from the files of runs, as version 1.0 wrote them."""
    for path in Path().glob(pattern):
        path.write_text(re.sub(r',?\s*"color_profiles": "ignored"', '', path.read_text()))
        assert 'color_profiles' not in path.read_text() and json.loads(path.read_text())


@pytest.fixture
def command(profiled, tiny_vgg):
    """Return a function that runs style_transfer.py on the two images."""
    def run(*flags):
        return style_transfer.main(['--content', 'content.png', '--style', 'style.png', '--vgg', str(tiny_vgg),
                                    '--width', '48', '--threads', '1', *map(str, flags)])
    return run


def picture(name):
    """Return the final picture of a run."""
    return iio.imread(f'outputs/{name}/final.png')


def test_a_new_run_converts_and_an_old_one_goes_on_without(command, capsys):
    assert command('--name', 'old', '--iterations', 2, '--color-profiles', 'ignored') == 0
    make_old()
    assert command('--name', 'old', '--iterations', 3) == 0
    assert 'old: resuming at iteration 2' in capsys.readouterr().out
    assert command('--name', 'straight', '--iterations', 3, '--color-profiles', 'ignored') == 0
    assert command('--name', 'new', '--iterations', 3) == 0
    assert (picture('old') == picture('straight')).all() and (picture('old') != picture('new')).any()
    assert json.loads(Path('checkpoints/new/run.json').read_text())['color_profiles'] == 'converted'
    assert command('--name', 'old', '--iterations', 3, '--restart') == 0
    assert (picture('old') == picture('new')).all()
    assert command('--name', 'straight', '--iterations', 3, '--color-profiles', 'converted') == 2
    assert 'color_profiles (now converted, was ignored)' in capsys.readouterr().err


def test_images_are_converted_before_they_are_compared(profiled, images, tiny_vgg):
    machine = StyleTransfer(*profiled, 48, 32, vgg=tiny_vgg, initial_img=profiled[1])
    old = StyleTransfer(*profiled, 48, 32, vgg=tiny_vgg, initial_img=profiled[1], color_profiles='ignored')
    for read, path in (machine.content_img, images[0]), (machine.style_img, images[1]), (machine.initial_img,
                                                                                           images[1]):
        expected = utils.get_resized_image(path, 48, 32)[..., [1, 0, 2]]
        assert np.abs(read - expected).max() <= 1
    assert np.abs(old.initial_img[..., [1, 0, 2]] - machine.initial_img).max() <= 1
    assert machine.run.fingerprint['color_profiles'] == 'converted'


def test_like_an_old_picture_the_profiles_are_ignored(command):
    assert command('--name', 'old', '--iterations', 2, '--color-profiles', 'ignored') == 0
    about = output.read_settings('outputs/old/final.png')
    assert ['--color-profiles', 'ignored'] == about['command'][about['command'].index('--color-profiles'):][:2]
    del about['settings']['color_profiles']
    place = about['command'].index('--color-profiles')
    about['command'][place:place + 2] = []
    output.OutputFile('old.png').write(picture('old'), about)
    assert style_transfer.main(['--like', 'old.png', '--name', 'again']) == 0
    assert style_transfer.main(['--like', 'outputs/again/final.png', '--name', 'third']) == 0
    assert style_transfer.main(['--like', 'old.png', '--name', 'other', '--color-profiles', 'converted']) == 0
    assert (picture('again') == picture('old')).all() and (picture('third') == picture('old')).all()
    assert (picture('other') != picture('old')).any()


def test_an_old_catalog_goes_on_without(profiled, tiny_vgg, capsys):
    flags = ['--content', 'content.png', '--style', 'style.png', '--vgg', str(tiny_vgg), '--recipe', 'cs20', '--size',
             '48', '--iterations', '2']
    assert catalogue.main([*flags, '--color-profiles', 'ignored']) == 0
    first = picture('catalogue-content-in-style')
    make_old()
    make_old('checkpoints/*/catalogue.json')
    shutil.copy('style.png', 'second.png')
    assert catalogue.main([*flags, '--style', 'style.png', 'second.png']) == 0
    assert (picture('catalogue-content-in-second') == first).all()
    thumbnail, = Path('outputs/catalogue').glob('content-*x*.jpg')
    before = thumbnail.read_bytes()
    assert catalogue.main([*flags, '--restart']) == 0
    assert (picture('catalogue-content-in-style') != first).any() and thumbnail.read_bytes() != before


def test_photos_of_an_old_training_are_not_converted_and_may_be_hidden(profiled):
    Path('photos/.cache').mkdir(parents=True)
    Image.open('content.png').resize((64, 64)).save('photos/a.png', icc_profile=icc_profiles.EXCHANGED)
    shutil.copy('style.png', 'photos/.cache/b.png')
    old, new = (crops.CropDataset(['photos'], 48, 0, color_profiles=mode) for mode in ('ignored', 'converted'))
    assert len(old.paths) == 2 and new.paths == [Path('photos/a.png')]
    assert np.abs(old.load_photo(new.paths[0])[..., [1, 0, 2]] - np.int16(new.load_photo(new.paths[0]))).max() <= 1


def test_every_file_of_a_run_says_srgb(run_folder):
    files = {path.name: path.read_bytes() for path in (run_folder / 'outputs/r').iterdir() if path.suffix != '.gif'}
    assert {'final.png', 'losses.png', 'sheet.png', 'latest.jpg'} < files.keys() and len(files) > 6
    assert all(icc_profiles.is_srgb(content) for content in files.values())


def test_the_bits_of_pictures_without_profiles_do_not_depend_on_the_setting(command, images):
    for path, name in zip(images, ('content.png', 'style.png')):
        shutil.copy(path, name)
    for mode in 'ignored', 'converted':
        assert command('--name', mode, '--iterations', 2, '--color-profiles', mode) == 0
    assert (picture('ignored') == picture('converted')).all()
    assert len({file_hash(f'outputs/{mode}/latest.jpg') for mode in ('ignored', 'converted')}) == 1
