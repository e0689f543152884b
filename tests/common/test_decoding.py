"""TIFFs of all kinds, camera raw files, large metadata, and what is said of files that are not images."""

import struct
import zlib

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

import utils
from common.errors import UserError

RNG = np.random.default_rng(0)
GRAY16 = RNG.integers(0, 65536, (4, 6), dtype=np.uint16)
COLOR = RNG.integers(0, 256, (4, 6, 3), dtype=np.uint8)
FLOAT = RNG.uniform(0, 1, (4, 6, 3)).astype(np.float32)


def message(path):
    """Return the error message for a file."""
    with pytest.raises(UserError) as error:
        utils.read_image(path)
    line = str(error.value)
    assert line.startswith(f'{path}: ') and '\n' not in line
    return line


# ---------------------------------------------------------------------------------------------------------- camera raw

def write_thumbnail_first(path, **settings):
    """Write a TIFF as cameras do: a reduced copy first, then the whole image."""
    with tifffile.TiffWriter(path) as file:
        file.write(COLOR[:2, :3], photometric='rgb', subfiletype=1, **settings)
        file.write(COLOR, photometric='rgb')


def write_cr2(path):
    """Write a TIFF with the mark of Canon's files after its header, before the directory of its first page."""
    tifffile.imwrite(path, COLOR, photometric='rgb')
    data = path.read_bytes()
    start, = struct.unpack('<I', data[4:8])
    path.write_bytes(data[:4] + struct.pack('<I', len(data) + 8) + b'CR\2\0' + data[12:] + bytes(8) + data[start:])


RAW_FILES = {
    'a.NEF': (lambda path: write_thumbnail_first(path), 'camera raw'),
    'a.dng': (lambda path: write_thumbnail_first(path, extratags=[(50706, 'B', 4, b'\1\4\0\0', True)]), 'camera raw'),
    'renamed dng.tif': (lambda path: tifffile.imwrite(path, COLOR, photometric='rgb', extratags=[
        (50706, 'B', 4, b'\1\4\0\0', True)]), 'camera raw'),
    'pyramid.tif': (lambda path: write_thumbnail_first(path), 'its first page is a reduced copy'),
    'big pyramid.tif': (lambda path: tifffile.imwrite(path, COLOR, photometric='rgb', bigtiff=True, subfiletype=1),
                        'its first page is a reduced copy'),
    'mosaic.tif': (lambda path: tifffile.imwrite(path, GRAY16, photometric=32803), 'camera raw'),
    'renamed cr2.tif': (write_cr2, 'camera raw'),
}


@pytest.mark.parametrize('name', RAW_FILES)
def test_camera_raw_is_refused_instead_of_its_thumbnail(tmp_path, name):
    write, expected = RAW_FILES[name]
    write(tmp_path / name)
    line = message(tmp_path / name)
    assert expected in line and 'export it as JPEG, PNG or TIFF' in line


def test_a_tiff_with_reduced_copies_after_the_image_is_read(tmp_path):
    with tifffile.TiffWriter(tmp_path / 'a.tif') as file:
        file.write(COLOR, photometric='rgb')
        file.write(COLOR[:2, :3], photometric='rgb', subfiletype=1)
    assert (utils.read_image(tmp_path / 'a.tif') == COLOR).all()


# ---------------------------------------------------------------------------------------------------------- large PNGs

def test_a_png_with_megabytes_of_text_and_profile_is_read(tmp_path):
    text = PngImagePlugin.PngInfo()
    for i in range(3):
        text.add_text(f'comment {i}', 'x' * 3_000_000, zip=bool(i % 2))
    noise = RNG.integers(0, 256, 2_000_000, dtype=np.uint8).tobytes()
    Image.fromarray(COLOR).save(tmp_path / 'a.png', pnginfo=text, icc_profile=noise)
    assert (utils.read_image(tmp_path / 'a.png') == COLOR).all()
    assert utils.image_size(tmp_path / 'a.png') == (6, 4) and utils.read_alpha(tmp_path / 'a.png') is None
    assert utils.read_animation(tmp_path / 'a.png') is None


def test_a_png_whose_text_expands_without_end_is_refused(tmp_path):
    path = tmp_path / 'bomb.png'
    Image.fromarray(COLOR).save(path)
    data = path.read_bytes()
    content = b'zTXt' + b'bomb\0\0' + zlib.compress(bytes(100_000_000))
    chunk = struct.pack('>I', len(content) - 4) + content + struct.pack('>I', zlib.crc32(content))
    path.write_bytes(data[:33] + chunk + data[33:])
    assert 'too large' in message(path).lower()


# --------------------------------------------------------------------------------------------------- TIFFs of all kinds

@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize('order', '<>')
@pytest.mark.parametrize('bigtiff', [False, True])
def test_white_is_zero_is_inverted_at_every_depth(tmp_path, dtype, order, bigtiff):
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    share = RNG.uniform(0, 1, (4, 6))
    share[0, 0] = 1
    pixels = (share * white).astype(dtype)
    tifffile.imwrite(tmp_path / 'a.tif', pixels, photometric='miniswhite', byteorder=order, bigtiff=bigtiff)
    expected = 255 * (1 - pixels.astype(float) / white)
    assert np.abs(utils.read_image(tmp_path / 'a.tif') - expected[..., None]).max() < 1e-3


def test_white_is_zero_with_alpha_is_inverted(tmp_path):
    tifffile.imwrite(tmp_path / 'a.tif', np.dstack([GRAY16, np.full_like(GRAY16, 65535)]), photometric='miniswhite',
                     planarconfig='contig', extrasamples=['unassalpha'])
    assert np.abs(utils.read_image(tmp_path / 'a.tif') - (255 - GRAY16 / 257)[..., None]).max() < 1e-3


@pytest.mark.parametrize('pixels', [COLOR, GRAY16, FLOAT, FLOAT[..., 0]], ids=['RGB', 'gray', 'float', 'gray float'])
@pytest.mark.parametrize('orientation, upright', [(1, lambda x: x), (3, lambda x: np.rot90(x, 2)),
                                                  (6, lambda x: np.rot90(x, -1)), (8, np.rot90),
                                                  (2, np.fliplr)])
@pytest.mark.parametrize('bigtiff', [False, True])
def test_a_turned_tiff_is_upright(tmp_path, pixels, orientation, upright, bigtiff):
    photometric = 'rgb' if pixels.ndim == 3 else 'minisblack'
    path = tmp_path / 'a.tif'
    tifffile.imwrite(path, pixels, photometric=photometric, bigtiff=bigtiff,
                     extratags=[(274, 'H', 1, orientation, True)])
    white = {np.uint8: 255, np.uint16: 65535, np.float32: 1}[pixels.dtype.type]
    expected = upright(np.float64(pixels)) * 255 / white
    image = utils.read_image(path)
    assert utils.image_size(path) == image.shape[1::-1] == expected.shape[1::-1]
    assert np.abs(image - (expected if pixels.ndim == 3 else expected[..., None])).max() < 1e-3


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_transparency_is_read_at_every_depth(tmp_path, dtype):
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    pixels = (RNG.uniform(0, 1, (4, 6, 4)) * white).astype(dtype)
    tifffile.imwrite(tmp_path / 'a.tif', pixels, photometric='rgb', extrasamples=['unassalpha'])
    np.testing.assert_allclose(utils.read_alpha(tmp_path / 'a.tif'), pixels[..., 3] / white, atol=1 / 255)


def test_deep_rgb_in_separate_planes_keeps_its_colors(tmp_path):
    pixels = RNG.integers(0, 65536, (3, 4, 6), dtype=np.uint16)
    tifffile.imwrite(tmp_path / 'a.tif', pixels, photometric='rgb', planarconfig='separate')
    assert np.abs(utils.read_image(tmp_path / 'a.tif') - np.moveaxis(pixels, 0, -1) / 257).max() < 1e-3


@pytest.mark.parametrize('photometric, samples', [('separated', 4), ('cielab', 3)])
def test_deep_tiffs_of_other_color_spaces_are_refused(tmp_path, photometric, samples):
    tifffile.imwrite(tmp_path / 'a.tif', RNG.uniform(0, 1, (4, 6, samples)).astype(np.float32), photometric=photometric)
    assert 'neither gray nor RGB' in message(tmp_path / 'a.tif')


def test_white_is_zero_with_signed_numbers_is_inverted(tmp_path):
    tifffile.imwrite(tmp_path / 'a.tif', GRAY16.astype(np.int16) // 2, photometric='miniswhite')
    assert utils.read_image(tmp_path / 'a.tif').shape == (4, 6, 3)


# ------------------------------------------------------------------------------------------------------- other contents

FOREIGN_FILES = {
    'photo.heic': (b'\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'HEIC; export it as JPEG, or pip install pillow-heif'),
    'photo.jpg': (b'\0\0\0\x18ftypmif1\0\0\0\0mif1heic', 'HEIC'),
    'photo.cr3': (b'\0\0\0\x18ftypcrx \0\0\0\1crx isom', 'camera raw'),
    'photo.rw2': (b'IIU\0\x18\0\0\0', 'camera raw'),
    'photo.jxl': (b'\0\0\0\x0cJXL \r\n\x87\n', 'JPEG XL'),
    'page.pdf': (b'%PDF-1.7\n', 'PDF; export the page as PNG'),
    'drawing.svg': (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', 'SVG; export it as PNG'),
    'illustrator.svg': (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN">', 'SVG'),
    'saved.png': (b'<!DOCTYPE html>\n<html>', 'a web page; download the image itself'),
    'clip.mp4': (b'\0\0\0\x20ftypisom\0\0\2\0isomiso2', 'a clip; fast_style_transfer.py stylize takes clips'),
    'clip.mpg': (b'\0\0\1\xba\x44\0\4\0', 'a clip'),
    'clip.ts': ((b'G' + bytes(187)) * 3, 'a clip'),
    'clip.mkv': (b'\x1aE\xdf\xa3\x93B\x82\x88matroska', 'a clip'),
    'notes.png': (b'These are notes.', 'unknown image format'),
    'words.png': (b'Getting started with style transfer', 'unknown image format'),
}


@pytest.mark.parametrize('name', FOREIGN_FILES)
def test_the_message_for_a_file_that_is_no_image_says_what_helps(tmp_path, name):
    content, expected = FOREIGN_FILES[name]
    (tmp_path / name).write_bytes(content)
    assert expected in message(tmp_path / name)


def test_a_real_avif_is_an_image(tmp_path):
    iio.imwrite(tmp_path / 'a.avif', COLOR.repeat(8, axis=0).repeat(8, axis=1))
    assert np.abs(utils.read_image(tmp_path / 'a.avif')[4::8, 4::8] - COLOR).mean() < 20
