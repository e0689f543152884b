"""Output files, read back by other libraries: Pillow and tifffile through the plugins of imageio."""

import json
import resource
from xml.etree import ElementTree

import imageio.v3 as iio
import numpy as np
import pytest

import utils
from common.errors import UserError
from engine.results import output
from tests import icc_profiles

INFO = {'command': ['--style', 'é <&>.png'], 'settings': {'width': 7}}


@pytest.fixture
def picture():
    """Return a smooth picture, float32 [12, 17, 3], with values slightly outside of 0 to 255."""
    y, x = np.mgrid[:12, :17]
    return np.float32(127.5 + 131 * np.stack([np.sin(y / 5 + x / 4), np.cos(y / 7), np.sin(x / 6)], axis=-1))


@pytest.mark.parametrize('name, depth', [('a.png', 8), ('a.PNG', 16), ('a.tif', 8), ('a.tiff', 16), ('a.webp', 8),
                                         ('a.jpg', 8)])
def test_pixels_settings_and_color_profile_can_be_read_back(tmp_path, picture, name, depth):
    path = tmp_path / name
    output.OutputFile(path, depth=depth).write(picture, INFO)
    assert output.read_settings(path) == INFO and icc_profiles.is_srgb(path.read_bytes())
    white = 2 ** depth - 1
    expected = np.rint(picture.astype(np.float64) * white / 255).clip(0, white)
    if path.suffix.startswith('.tif'):
        pixels = iio.imread(path, plugin='tifffile')
    else:
        pixels = iio.imread(path)
        xmp = iio.immeta(path, plugin='pillow', exclude_applied=False)
        packet = xmp.get('xmp') or xmp['XML:com.adobe.xmp'].encode()  # Pillow has two names for it.
        texts = [node.text for node in ElementTree.fromstring(packet[packet.index(b'<x:'):packet.rindex(b'<?')]).iter()
                 if node.text]
        assert json.loads(texts[0]) == INFO
    assert pixels.shape == (12, 17, 3)
    if path.suffix in ('.webp', '.jpg'):
        assert np.abs(utils.read_image(path) - expected).mean() < 6
    elif name == 'a.PNG':  # Pillow reads only the upper 8 bits.
        assert (pixels == expected // 256).all() and path.read_bytes()[24] == 16
    else:
        assert pixels.dtype == {8: np.uint8, 16: np.uint16}[depth] and (pixels == expected).all()


@pytest.mark.parametrize('name', ['a.png', 'a.tiff', 'a.webp'])
def test_transparency_can_be_read_back(tmp_path, picture, name):
    alpha = np.random.default_rng(1).uniform(0, 1, (12, 17)).astype(np.float32)
    output.OutputFile(tmp_path / name, alpha=alpha).write(picture, INFO)
    np.testing.assert_allclose(utils.read_alpha(tmp_path / name), alpha, atol=1 / 255)
    assert output.read_settings(tmp_path / name) == INFO


@pytest.mark.parametrize('name', ['a.png', 'a.tiff', 'a.webp', 'a.jpg'])
def test_an_incomplete_write_raises_an_error_and_leaves_no_file(tmp_path, name):
    noise = np.random.default_rng(2).uniform(0, 255, (60, 60, 3)).astype(np.float32)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
    try:
        for write in (lambda: output.OutputFile(tmp_path / name).write(noise, INFO),
                      lambda: utils.save_image(tmp_path / name, noise),
                      lambda: utils.save_animation(tmp_path / 'a.gif', [utils.to_uint8(noise)] * 2, {})):
            with pytest.raises(OSError):
                write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('name', ['a.png', 'a.tiff', 'a.jpg'])
@pytest.mark.parametrize('value', [np.nan, np.inf])
@pytest.mark.parametrize('depth', [8, 16])
def test_a_picture_that_is_not_finite_is_never_written(tmp_path, picture, name, value, depth):
    picture[3, 4, 1] = value
    file = output.OutputFile(tmp_path / name, depth=8 if name == 'a.jpg' else depth)
    for write in (lambda: utils.save_image(tmp_path / name, picture), lambda: file.write(picture, INFO)):
        with pytest.raises(UserError, match='not finite'):
            write()
    assert list(tmp_path.iterdir()) == []


def test_a_higher_quality_has_a_smaller_error(tmp_path, picture):
    for quality in 20, 95:
        output.OutputFile(tmp_path / f'{quality}.jpg', quality=quality).write(picture, INFO)
    errors = [np.abs(utils.read_image(tmp_path / f'{quality}.jpg') - picture).mean() for quality in (20, 95)]
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize('name, settings, message', [
    ('a.bmp', {}, 'must end in .png'), ('a', {}, 'must end in'), ('a.jpg', {'depth': 16}, '.jpg has 8 bits'),
    ('a.png', {'quality': 9}, '--quality does nothing with .png'),
    ('a.jpeg', {'alpha': np.ones((2, 2))}, '.jpeg has no transparency')])
def test_settings_that_a_format_lacks_are_refused(tmp_path, name, settings, message):
    with pytest.raises(UserError, match=message):
        output.OutputFile(tmp_path / name, **settings)
    (tmp_path / 'folder.png').mkdir()
    with pytest.raises(UserError, match='is a folder'):
        output.OutputFile(tmp_path / 'folder.png')


def test_files_without_stored_settings_are_reported(tmp_path, images):
    for path in images[0], tmp_path, tmp_path / 'none.png':
        with pytest.raises(UserError, match=path.name):
            output.read_settings(path)
    (tmp_path / 'odd.png').write_bytes(b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a></x:xmpmeta>')
    with pytest.raises(UserError, match='does not say which command made it'):
        output.read_settings(tmp_path / 'odd.png')
