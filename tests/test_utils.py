"""Image files of every kind against their pixels, resizing against SciPy and Pillow, and atomic writes."""

import contextlib
import os
import struct
import tempfile
import time
import tracemalloc
import zlib
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import scipy.ndimage
import skimage.filters
import skimage.transform
import tifffile
from PIL import Image, ImageOps

import utils
from common import paths
from common.errors import UserError
from tests import icc_profiles

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (4, 6, 3), dtype=np.uint8)
GRAY, ALPHA = COLOR[:, :, 0], RNG.integers(0, 256, (4, 6), dtype=np.uint8)
RGB16 = RNG.integers(0, 65536, (4, 6, 3), dtype=np.uint16)
FLOAT = RNG.uniform(-0.2, 1.2, (4, 6, 3)).astype(np.float32)
CMYK = RNG.integers(0, 256, (2, 3, 4), dtype=np.uint8)

FRAMES = [COLOR, 255 - COLOR, COLOR // 2]
INDICES = np.arange(24, dtype=np.uint8).reshape(4, 6) % 16
PALETTE = RNG.integers(0, 256, (16, 3), dtype=np.uint8)
OPACITY = np.r_[RNG.integers(0, 256, 10), [255] * 6].astype(np.uint8)  # The tRNS chunk may be shorter than the palette.
KEY_COLOR = COLOR[1, 2]  # the color that stands for transparency
IS_KEY = (COLOR == KEY_COLOR).all(axis=2, keepdims=True)
BITS = GRAY > 128
PALE_COLORS = COLOR // 4 + 96  # colors that Lab can represent

# ------------------------------------------------------------------------------------------------------- kinds of files

def png(pixels, depth, color_type, chunks=(), size=None):
    """Return the bytes of a PNG.

    Args:
        pixels: The rows, as the file stores them.
        depth, color_type: Fields of the header.
        chunks: More chunks, (name, data).
        size: The (width, height) that the header declares; by default that of the pixels.
    """
    def chunk(name, data):
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))
    width, height = size or (len(pixels[0]) * 8 // depth // {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color_type], len(pixels))
    rows = b''.join(b'\0' + bytes(row) for row in pixels)
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunk(name, data) for name, data in [
        (b'IHDR', struct.pack('>IIBBBBB', width, height, depth, color_type, 0, 0, 0)), *chunks,
        (b'IDAT', zlib.compress(rows)), (b'IEND', b'')])


def over_white(pixels, alpha):
    """Composite pixels [H, W, 3] over white by an alpha channel [H, W], 0 to 255."""
    return alpha[:, :, None] / 255. * pixels + 255 - alpha[:, :, None]


def gray(pixels):
    """Repeat a gray image [H, W] in three channels."""
    return np.dstack([pixels] * 3)


def from_cmyk(cmyk):
    """Convert CMYK pixels, 0 to 255, to RGB without a color profile."""
    cmyk = cmyk.astype(float)
    return (255 - cmyk[:, :, :3]) * (255 - cmyk[:, :, 3:]) / 255


def blocks(pixels):
    """Enlarge every pixel to a block of 16×16, which JPEG preserves."""
    return pixels.repeat(16, axis=0).repeat(16, axis=1)


def palette_image():
    """Return a Pillow image with a palette."""
    image = Image.fromarray(INDICES, 'P')
    image.putpalette(PALETTE.tobytes())
    return image


# File name: (function that writes the file, expected pixels, largest allowed difference).
FILE_KINDS = {
    'gray.png': (lambda path: iio.imwrite(path, GRAY), gray(GRAY), 0),
    'gray.jpg': (lambda path: iio.imwrite(path, blocks(GRAY), quality=100), blocks(gray(GRAY)), 2),
    '1 bit.png': (lambda path: path.write_bytes(png(np.packbits(BITS, axis=1), 1, 0, size=(6, 4))),
                  gray(BITS * 255), 0),
    '4 bits.png': (lambda path: path.write_bytes(png(INDICES[:, ::2] * 16 + INDICES[:, 1::2], 4, 0)),
                   gray(INDICES * 17.), 0),
    'gray and alpha.png': (lambda path: iio.imwrite(path, np.dstack([GRAY, ALPHA])),
                           over_white(gray(GRAY), ALPHA), 1e-3),
    'gray key.png': (lambda path: path.write_bytes(png(GRAY, 8, 0, [(b'tRNS', bytes([0, KEY_COLOR[0]]))])),
                     np.where(gray(GRAY) == KEY_COLOR[0], 255, gray(GRAY)), 0),
    'color.png': (lambda path: iio.imwrite(path, COLOR), COLOR, 0),
    'color key.png': (lambda path: path.write_bytes(png(COLOR.reshape(4, -1), 8, 2, [
        (b'tRNS', struct.pack('>HHH', *KEY_COLOR))])), np.where(IS_KEY, 255, COLOR), 0),
    'alpha.png': (lambda path: iio.imwrite(path, np.dstack([COLOR, ALPHA])), over_white(COLOR, ALPHA), 1e-3),
    'alpha.webp': (lambda path: iio.imwrite(path, np.dstack([COLOR, ALPHA]), lossless=True, exact=True),
                   over_white(COLOR, ALPHA), 1e-3),
    'palette.png': (lambda path: path.write_bytes(png(INDICES, 8, 3, [(b'PLTE', PALETTE.tobytes())])),
                    PALETTE[INDICES], 0),
    'palette and alpha.png': (lambda path: path.write_bytes(png(INDICES, 8, 3, [
        (b'PLTE', PALETTE.tobytes()), (b'tRNS', OPACITY[:10].tobytes())])),
        over_white(PALETTE[INDICES], OPACITY[INDICES]), 1e-3),
    'palette and hole.gif': (lambda path: palette_image().save(path, transparency=3),
                             np.where(INDICES[:, :, None] == 3, 255, PALETTE[INDICES]), 0),
    '16 bits.png': (lambda path: iio.imwrite(path, RGB16[:, :, 0]), gray(RGB16[:, :, 0] / 257), 1e-3),
    '16 bits.tif': (lambda path: iio.imwrite(path, RGB16[:, :, 0]), gray(RGB16[:, :, 0] / 257), 1e-3),
    '16 bits.pgm': (lambda path: path.write_bytes(b'P5 6 4 65535\n' + RGB16[:, :, 0].astype('>u2').tobytes()),
                    gray(RGB16[:, :, 0] / 257), 1e-3),
    '16 bits color.png': (lambda path: path.write_bytes(png(RGB16.astype('>u2').view(np.uint8).reshape(4, -1), 16, 2)),
                           RGB16 / 257, 1),
    '16 bits color.tif': (lambda path: iio.imwrite(path, RGB16), RGB16 / 257, 1),
    '16 bits and alpha.png': (lambda path: path.write_bytes(png(
        np.dstack([RGB16, ALPHA.astype(np.uint16) * 257]).astype('>u2').view(np.uint8).reshape(4, -1), 16, 6)),
        over_white(RGB16 / 257, ALPHA), 1),
    'float.tif': (lambda path: iio.imwrite(path, FLOAT[:, :, 0]), gray(FLOAT[:, :, 0].clip(0, 1) * 255), 1e-3),
    'float color.tif': (lambda path: iio.imwrite(path, FLOAT), FLOAT.clip(0, 1) * 255, 1e-3),
    'float to 255.tif': (lambda path: iio.imwrite(path, COLOR.astype(np.float32) + 0.25),
                         (COLOR + 0.25).clip(0, 255), 1e-3),
    'float and alpha.tif': (lambda path: iio.imwrite(path, FLOAT[:, :, :2], photometric='minisblack',
                                                     planarconfig='contig', extrasamples=['unassalpha']),
                            over_white(gray(FLOAT[:, :, 0].clip(0, 1) * 255), FLOAT[:, :, 1].clip(0, 1) * 255), 1e-3),
    'CMYK.tif': (lambda path: Image.fromarray(CMYK, 'CMYK').save(path), from_cmyk(CMYK), 1),
    # Pillow 12.3, which Python 3.10 gets, does not read uncompressed YCbCr files, which are rare.
    'YCbCr.tif': (lambda path: Image.fromarray(blocks(COLOR)).convert('YCbCr').save(
        path, compression='jpeg', quality=100),
        blocks(COLOR), 4),
    'Lab.tif': (lambda path: Image.fromarray(PALE_COLORS).convert('LAB').save(path), PALE_COLORS, 4),
    # Pillow, like Photoshop, stores inverted values and marks the file accordingly.
    'CMYK.jpg': (lambda path: Image.fromarray(blocks(CMYK), 'CMYK').save(path, quality=100),
                 blocks(from_cmyk(CMYK)), 4),
    'color.bmp': (lambda path: iio.imwrite(path, COLOR), COLOR, 0),
    'color.jpg': (lambda path: iio.imwrite(path, blocks(COLOR), quality=100, subsampling=0), blocks(COLOR), 3),
    'animated.gif': (lambda path: iio.imwrite(path, FRAMES, duration=100), COLOR, 0),
    'animated.png': (lambda path: iio.imwrite(path, FRAMES, duration=100), COLOR, 0),
    'animated.webp': (lambda path: iio.imwrite(path, FRAMES, duration=100, lossless=True), COLOR, 0),
    'pages.tif': (lambda path: iio.imwrite(path, FRAMES, is_batch=True), COLOR, 0),
    'a PNG.jpg': (lambda path: iio.imwrite(path, COLOR, extension='.png'), COLOR, 0),
    'a float TIFF.png': (lambda path: iio.imwrite(path, FLOAT, extension='.tif'), FLOAT.clip(0, 1) * 255, 1e-3),
    'no suffix': (lambda path: iio.imwrite(path, COLOR, extension='.png'), COLOR, 0),
    'Übermalung, 空 (1).png': (lambda path: iio.imwrite(path, COLOR), COLOR, 0),
    '1×1.png': (lambda path: iio.imwrite(path, COLOR[:1, :1]), COLOR[:1, :1], 0),
    '1×6.png': (lambda path: iio.imwrite(path, COLOR[:1]), COLOR[:1], 0),
    '4×1.bmp': (lambda path: iio.imwrite(path, COLOR[:, :1]), COLOR[:, :1], 0),
}


@pytest.mark.parametrize('name', FILE_KINDS)
def test_every_kind_of_file_is_read_as_rgb_over_white(tmp_path, name):
    write, expected, tolerance = FILE_KINDS[name]
    write(tmp_path / name)
    image = utils.read_image(tmp_path / name)
    assert image.dtype == np.float32 and image.shape == expected.shape
    assert np.abs(image - expected).max() <= tolerance
    assert image.min() >= 0 and image.max() <= 255


# EXIF orientation: the sides of the upright picture where the stored row 0 and column 0 are (EXIF 2.3, tag 274).
ORIENTATIONS = {1: ('top', 'left'), 2: ('top', 'right'), 3: ('bottom', 'right'), 4: ('bottom', 'left'),
                5: ('left', 'top'), 6: ('right', 'top'), 7: ('right', 'bottom'), 8: ('left', 'bottom')}


def stored_pixels(upright, orientation):
    """Return the stored pixels of a file whose EXIF orientation turns them into `upright` [H, W, ...]."""
    H, W = upright.shape[:2]
    away_from = {'top': lambda i: (i, 0), 'bottom': lambda i: (H - 1 - i, 0),
                 'left': lambda i: (0, i), 'right': lambda i: (0, W - 1 - i)}
    row_0, column_0 = ORIENTATIONS[orientation]
    rows, columns = (H, W) if row_0 in ('top', 'bottom') else (W, H)
    return np.array([[upright[tuple(np.add(away_from[row_0](r), away_from[column_0](c)))] for c in range(columns)]
                     for r in range(rows)])


@pytest.mark.parametrize('orientation', ORIENTATIONS)
@pytest.mark.parametrize('suffix, mode', [
    ('.jpg', 'RGB'), ('.jpg', 'L'), ('.png', 'RGB'), ('.png', 'L'), ('.png', 'LA'), ('.png', 'P'),
    ('.tif', 'RGB'), ('.tif', 'L'), ('.tif', 'P'), ('.webp', 'RGB')])
def test_the_exif_orientation_is_applied(tmp_path, suffix, mode, orientation):
    image, expected = {'RGB': (COLOR, COLOR), 'L': (GRAY, gray(GRAY)), 'P': (INDICES, PALETTE[INDICES]),
                       'LA': (np.dstack([GRAY, ALPHA]), over_white(gray(GRAY), ALPHA))}[mode]
    if suffix == '.jpg':
        image, expected = blocks(image), blocks(expected)
    image = Image.fromarray(stored_pixels(image, orientation), mode)
    if mode == 'P':
        image.putpalette(PALETTE.tobytes())
    exif = Image.Exif()
    exif[274] = orientation
    image.save(tmp_path / f'image{suffix}', exif=exif, lossless=True, exact=True, quality=100,
               subsampling=0)
    read = utils.read_image(tmp_path / f'image{suffix}')
    assert read.shape == expected.shape == (*utils.image_size(tmp_path / f'image{suffix}')[::-1], 3)
    assert np.abs(read - expected).max() <= (4 if suffix == '.jpg' else 1e-3)


# ---------------------------------------------------------------------------------------------------- unreadable files

def truncate(path, fraction):
    """Truncate a file to a fraction of its bytes."""
    path.write_bytes(path.read_bytes()[:int(path.stat().st_size * fraction)])


def write_noise(path, **kwargs):
    """Write an image of noise, 64×64 pixels."""
    iio.imwrite(path, RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8), **kwargs)


def write_corrupted_png(path):
    """Write an image of noise and invert the byte in the middle of the file."""
    write_noise(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


def write_huge_float_tiff(path):
    """Write a color TIFF of floats whose header declares too many pixels; Pillow cannot read it, but tifffile can."""
    iio.imwrite(path, FLOAT)
    with tifffile.TiffFile(path, mode='r+') as file:
        file.pages[0].tags['ImageWidth'].overwrite(50_000_000)


# File name: (function that makes the file, part of the error message).
BAD_FILES = {
    'missing.png': (lambda path: None, 'no such image'),
    'folder.png': (lambda path: path.mkdir(), 'is a folder, not an image'),
    'empty.png': (lambda path: path.touch(), 'unknown image format'),
    'text.jpg': (lambda path: path.write_text('no picture'), 'unknown image format'),
    'cut.jpg': (lambda path: (write_noise(path), truncate(path, 0.9)), 'truncated'),
    'cut.png': (lambda path: (write_noise(path), truncate(path, 0.9)), 'truncated'),
    'cut.tif': (lambda path: (write_noise(path), truncate(path, 0.5)), ''),
    'cut.webp': (lambda path: (write_noise(path), truncate(path, 0.5)), ''),
    'only a head.png': (lambda path: (write_noise(path), path.write_bytes(path.read_bytes()[:33])), ''),
    'flipped.png': (write_corrupted_png, 'broken'),
    'million by million.png': (lambda path: path.write_bytes(png([], 8, 2, size=(10**6, 10**6))),
                               '1000000000000 pixels'),
    '120 megapixels.png': (lambda path: path.write_bytes(png([], 8, 2, size=(12000, 10000))),
                           '12000×10000 is more than 90000000 pixels'),
    'huge floats.tif': (write_huge_float_tiff, '50000000×4 is more than 90000000 pixels'),
    'not a number.tif': (lambda path: iio.imwrite(path, FLOAT * np.float32('nan')), 'pixels that are not numbers'),
    'seven channels.tif': (lambda path: iio.imwrite(path, RGB16.repeat(7, axis=2)[:, :, ::3], photometric='minisblack',
                                                            planarconfig='contig'),
                           'neither gray nor RGB'),
}


@pytest.mark.filterwarnings('error::UserWarning', 'error::RuntimeWarning')  # A warning would be another line.
@pytest.mark.parametrize('name', BAD_FILES)
def test_an_unreadable_file_is_reported_in_one_line_with_its_name(tmp_path, name):
    make, message = BAD_FILES[name]
    make(tmp_path / name)
    with pytest.raises(UserError) as error:
        utils.read_image(tmp_path / name)
    line = str(error.value)
    assert line.startswith(f'{tmp_path / name}: ') and message in line and '\n' not in line


@contextlib.contextmanager
def without_superuser_rights():
    """Drop superuser rights within this context, because root may read every file."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_without_read_permission_is_reported():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = Path(folder, 'mine.png')
        iio.imwrite(path, COLOR)
        path.chmod(0)
        with without_superuser_rights(), pytest.raises(UserError, match='mine.png: .*Permission denied'):
            utils.read_image(path)


# ------------------------------------------------------------------------------------------------------------- resizing

def photo(name='chelsea.png'):
    """Return a photo of the folder content, float32 [H, W, 3]."""
    return utils.read_image(paths.ROOT / 'content' / name)


SIZES = [((40, 60), (30, 20)), ((41, 60), (30, 20)), ((60, 41), (33, 25)), ((97, 31), (16, 16)), ((20, 31), (100, 90)),
         ((20, 30), (30, 20)), ((1, 1), (5, 4)), ((1, 9), (4, 4)), ((200, 3), (16, 32))]  # (H, W) to (width, height)


@pytest.mark.parametrize('scale, size', [(1, (30, 20)), (0.5, (16, 16)), (2, (60, 40))])
def test_a_style_keeps_its_aspect_ratio_or_is_cropped_to_the_pictures(tmp_path, scale, size):
    image = np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    iio.imwrite(tmp_path / 'style.png', image)
    style = utils.get_style_image(tmp_path / 'style.png', 20, 30, crop=False, scale=scale)
    assert style.shape == (1, size[1], size[0], 3)
    np.testing.assert_array_equal(style[0], utils.resize_and_crop(np.float32(image), *size))
    assert utils.get_style_image(tmp_path / 'style.png', 20, 30).shape == (1, 30, 20, 3)
    assert utils.get_style_image(tmp_path / 'style.png', 9, 8, crop=False).shape[1:3] == (16, 16)


def lanczos_matrix(length, new, scale):
    """Return the matrix [new, length] of Lanczos's filter with three lobes, for the centered part of new · scale."""
    centers = (length - scale * new) / 2 + (np.arange(new) + 0.5) * scale
    x = (np.arange(length) + 0.5 - centers[:, None]) / max(scale, 1)
    weights = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize('old, new', [*SIZES, ((640, 480), (59, 44)), ((3, 7), (99, 41))])
def test_resize_and_crop_sharply_agrees_with_numpy(old, new):
    image = np.random.default_rng(0).uniform(0, 255, (*old, 3)).astype(np.float32)
    (H, W), (width, height) = old, new
    scale = min(H / height, W / width)
    rows, columns = lanczos_matrix(H, height, scale), lanczos_matrix(W, width, scale)
    expected = np.einsum('yh,hwc,xw->yxc', rows, np.float64(image), columns).clip(0, 255)
    resized = utils.resize_and_crop_sharply(image, width, height)
    assert resized.dtype == np.float32 and resized.shape == (height, width, 3)
    np.testing.assert_allclose(resized, expected, atol=0.01)


@pytest.mark.parametrize('old, new', SIZES)
def test_resize_and_crop_agrees_with_scipy(old, new):
    """Pixel (row, column) has its center at (row + ½, column + ½), and the centers of both images coincide."""
    image = RNG.uniform(0, 255, (*old, 3)).astype(np.float32)
    width, height = new
    step = min(old[0] / height, old[1] / width)
    sigma = max(0, (step - 1) / 2)
    smooth = scipy.ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0), mode='nearest')
    grid = [(np.arange(n) + 0.5 - n / 2) * step + side / 2 - 0.5 for n, side in zip((height, width), old)]
    expected = np.dstack([scipy.ndimage.map_coordinates(smooth[:, :, channel], np.meshgrid(*grid, indexing='ij'),
                                                        order=1, mode='nearest') for channel in range(3)])
    fitted = utils.resize_and_crop(image, width, height)
    assert fitted.dtype == np.float32 and fitted.shape == (height, width, 3)
    assert np.abs(fitted - expected).max() < 0.01


@pytest.mark.parametrize('old, new', SIZES + [((403, 611), (20, 31)), ((1000, 301), (33, 17)), ((640, 480), (16, 16)),
                                              ((161, 499), (16, 17))])
def test_resize_and_crop_keeps_the_aspect_ratio_and_the_center(old, new):
    """The test image has the column as its red channel and the row as its green channel."""
    H, W = old
    width, height = new
    row, column = np.mgrid[:H, :W].astype(np.float32)
    fitted = utils.resize_and_crop(np.dstack([column, row, column]), width, height)
    columns, rows = fitted[:, :, 0], fitted[:, :, 1]
    step = min(H / height, W / width)
    # Both sides are cropped equally. If the blocks leave an odd remainder, one border sees a pixel more than the other.
    inner = slice(2, -2) if step >= 2 * utils.MIN_OVERSAMPLING else slice(None)
    assert np.allclose((columns + columns[:, ::-1])[:, inner], W - 1, atol=1e-3)
    assert np.allclose((rows + rows[::-1])[inner], H - 1, atol=1e-3)
    column_steps, row_steps = np.diff(columns[height // 2]), np.diff(rows[:, width // 2])
    for steps, side in (column_steps, W), (row_steps, H):
        if side > 8 * step:  # The blur in the middle does not reach the border.
            assert steps[len(steps) // 2] == pytest.approx(step, rel=1e-3)


@pytest.mark.parametrize('factor, limit', [(2, 1.5), (4, 3), (8, 4)])
def test_resize_and_crop_is_close_to_area_averaging(factor, limit):
    """A Gaussian is not a box filter, so single pixels of a photo differ a little, but their mean does not."""
    image = photo('astronaut.png')[:, 64:448]
    means = image.reshape(512 // factor, factor, 384 // factor, factor, 3).mean(axis=(1, 3))
    fitted = utils.resize_and_crop(image, 384 // factor, 512 // factor)
    assert np.abs(fitted - means).mean() < limit
    assert np.abs(fitted.mean(axis=(0, 1)) - image.mean(axis=(0, 1))).max() < 0.2


@pytest.mark.parametrize('size, limit', [((333, 250), 1.2), ((100, 80), 2), ((900, 675), 1.3), ((451, 300), 0)])
def test_resize_and_crop_is_close_to_image_ops_fit_of_pillow(size, limit):
    """CS20 used the Lanczos filter; an offset of half a pixel would make a difference of 2.9 at 333×250."""
    with Image.open(paths.ROOT / 'content' / 'chelsea.png') as image:
        lanczos = np.asarray(ImageOps.fit(image, size, Image.Resampling.LANCZOS), dtype=float)
    assert np.abs(utils.resize_and_crop(photo(), *size) - lanczos).mean() <= limit


@pytest.mark.parametrize('size', [(40, 30), (33, 27), (23, 31)])
def test_box_downsampling_a_large_photo_changes_the_result_little(size):
    """Compare with a Gaussian filter over all pixels, which takes ten times as long."""
    large = photo().repeat(2, axis=0).repeat(2, axis=1)[3:, 1:]
    H, W = large.shape[:2]
    width, height = size
    step = min(H / height, W / width)
    smooth = scipy.ndimage.gaussian_filter(large.astype(float), ((step - 1) / 2, (step - 1) / 2, 0), mode='nearest')
    grid = [(np.arange(n) + 0.5 - n / 2) * step + side / 2 - 0.5 for n, side in ((height, H), (width, W))]
    expected = np.dstack([scipy.ndimage.map_coordinates(smooth[:, :, channel], np.meshgrid(*grid, indexing='ij'),
                                                        order=1, mode='nearest') for channel in range(3)])
    assert step > 2 * utils.MIN_OVERSAMPLING and np.abs(utils.resize_and_crop(large, *size) - expected).mean() < 0.5


@pytest.mark.parametrize('path', [paths.CONTENT, paths.STYLE], ids=lambda path: path.name)
def test_the_default_images_are_resized_exactly_as_by_scikit_image(path):
    image, (width, height) = utils.read_image(path), (333, 250)
    H, W = image.shape[:2]
    scale = min(H / height, W / width)
    smooth = skimage.filters.gaussian(image, (scale - 1) / 2, mode='nearest', preserve_range=True, channel_axis=-1)
    to_input = skimage.transform.AffineTransform(scale=scale, translation=[(W - scale * width + scale - 1) / 2,
                                                                           (H - scale * height + scale - 1) / 2])
    expected = skimage.transform.warp(smooth, to_input, output_shape=(height, width), order=1, mode='edge',
                                      preserve_range=True)
    assert (utils.resize_and_crop(image, width, height) == expected.astype(np.float32)).all()


@pytest.mark.parametrize('shape, factor, top, left', [((12, 18), 3, 0, 0), ((13, 20), 3, 0, 1), ((14, 19), 4, 1, 1),
                                                      ((7, 9), 7, 0, 1), ((5, 8), 1, 0, 0)])
def test_box_downsample_averages_centered_blocks(shape, factor, top, left):
    image = RNG.uniform(0, 255, (*shape, 3)).astype(np.float32)
    means = utils.box_downsample(image, factor)
    assert means.dtype == np.float32 and means.shape == (shape[0] // factor, shape[1] // factor, 3)
    for row, column in np.ndindex(means.shape[:2]):
        y, x = top + factor * row, left + factor * column
        block = image[y:y + factor, x:x + factor].astype(float)
        np.testing.assert_allclose(means[row, column], block.mean(axis=(0, 1)), rtol=1e-6)


def test_a_symmetric_image_stays_symmetric_up_to_its_borders():
    """Blocks of 3×3 pixels leave two pixels over in each direction, one at each border."""
    image = RNG.uniform(0, 255, (320, 482, 3)).astype(np.float32)
    image += image[::-1, ::-1]
    fitted = utils.resize_and_crop(image, 30, 20)
    assert np.abs(fitted - fitted[::-1, ::-1]).max() < 1e-3


def test_resize_and_crop_does_not_alias():
    checkerboard = np.indices((240, 240)).sum(axis=0) % 2 * 255.
    fitted = utils.resize_and_crop(gray(checkerboard), 31, 31)
    assert np.abs(fitted[1:-1, 1:-1] - 127.5).max() < 0.1
    assert np.abs(fitted - 127.5).max() < 4  # Pixels at the border count twice.


@pytest.mark.parametrize('value', [0, 77.3, 254.99998, 255])
@pytest.mark.parametrize('size', [(10, 8), (5, 3), (33, 25), (217, 123), (500, 300)])
def test_a_constant_image_stays_constant(value, size):
    """The values are exact, so borders are not darkened either."""
    image = np.full((123, 217, 3), value, np.float32)
    assert (utils.resize_and_crop(image, *size) == np.float32(value)).all()


def test_resize_and_crop_stays_in_the_range_of_the_image():
    image = RNG.choice(np.float32([0, 255]), (50, 70, 3))
    for size in (20, 20), (150, 120), (69, 50):
        fitted = utils.resize_and_crop(image, *size)
        assert fitted.min() >= 0 and fitted.max() <= 255


def test_a_large_photo_is_resized_within_time_and_memory_limits(tmp_path):
    """It has 24 megapixels; the limits are generous."""
    tiles = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    iio.imwrite(tmp_path / 'large.jpg', tiles.repeat(100, axis=0).repeat(100, axis=1))
    tracemalloc.start()
    start = time.time()
    try:
        image = utils.get_resized_image(tmp_path / 'large.jpg', 300, 200)
        seconds, peak = time.time() - start, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert image.shape == (1, 200, 300, 3) and np.abs(image[0, 2::5, 2::5] - tiles).max() < 8  # the middle of each tile
    assert peak < 1e9 and seconds < 30  # 0.7 GB and 4 s were measured; the machine may be busy.


# ----------------------------------------------------------------------------------------------- noise image and saving

def test_the_starting_image_is_a_reproducible_blend_of_noise_and_content():
    content = RNG.uniform(-120, 150, (1, 40, 60, 3)).astype(np.float32)
    image = utils.generate_noise_image(content, 0.6, 20, np.random.default_rng(5))
    noise = np.random.default_rng(5).uniform(-20, 20, content.shape)
    assert image.dtype == np.float32 and np.abs(image - (0.6 * noise + 0.4 * content)).max() < 1e-4
    again, other = (utils.generate_noise_image(content, 0.6, 20, np.random.default_rng(seed)) for seed in (5, 6))
    assert image.tobytes() == again.tobytes() != other.tobytes()


def test_noise_ratio_1_gives_noise_and_0_the_content():
    content = RNG.uniform(-120, 150, (1, 40, 60, 3)).astype(np.float32)
    noise = utils.generate_noise_image(content, 1, 20, np.random.default_rng(5))
    assert -20 <= noise.min() < -19.9 and 19.9 < noise.max() <= 20 and abs(noise.mean()) < 0.5
    assert (utils.generate_noise_image(content, 0, 20, np.random.default_rng(5)) == content).all()


def test_saving_rounds_and_clips(tmp_path):
    values = np.float32([[-1e6, -1, -0.4, 0.4], [0.6, 127.4, 127.6, 254.6], [255.4, 256, 300, 1e6]])
    expected = [[0, 0, 0, 0], [1, 127, 128, 255], [255, 255, 255, 255]]
    for image in gray(values), gray(values)[None]:
        utils.save_image(tmp_path / 'image.png', image)
        assert (iio.imread(tmp_path / 'image.png') == gray(np.array(expected))).all()


def test_images_in_folders_are_found_by_suffix_and_hidden_ones_are_not(tmp_path):
    photos = ['a.png', 'b.AVIF', 'c.jfif', 'd.jpe', 'deep/er/e.webp', 'deep/f.tiff']
    others = ['notes.txt', '.a.png', '._a.png', '.part-b.png', '.ipynb_checkpoints/a.png', '@eaDir/a.png/small.jpg',
              '__MACOSX/a.png', 'out/g.png']
    for name in photos + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / 'folder.png').mkdir()
    found = utils.find_images(tmp_path, tmp_path / 'out')
    assert [path.relative_to(tmp_path).as_posix() for path in found] == photos
    assert utils.find_images(tmp_path / '.ipynb_checkpoints', 'out')  # A folder that is named may be hidden itself.
    with pytest.raises(UserError, match='no images in this folder'):
        utils.find_images(tmp_path / 'folder.png', 'out')


@pytest.mark.parametrize('shape, height, expected, inner', [
    ((30, 60), 20, (20, 40), (20, 40)), ((30, 90), 20, (20, 60), (20, 60)), ((10, 400), 32, (32, 96), (2, 96)),
    ((400, 10), 32, (32, 1), (32, 1)), ((3, 1000), 16, (16, 48), (1, 48))])
def test_an_image_in_a_row_is_at_most_three_times_as_wide_as_high(shape, height, expected, inner):
    image = np.full((*shape, 3), 9, np.float32)
    scaled = utils.scale_to_height(image, height)
    assert scaled.shape == (*expected, 3)
    is_image = (scaled == 9).all(axis=2)
    above = (expected[0] - inner[0]) // 2
    assert is_image[above:above + inner[0]].all() and is_image.sum() == inner[0] * inner[1]
    assert (scaled[~is_image] == 255).all()


# --------------------------------------------------------------------------------------------- images from Python

ARRAYS = {  # Name: (array, expected pixels, largest difference)
    'uint8': (COLOR, COLOR, 0), 'gray': (GRAY, gray(GRAY), 0), 'bool': (BITS, gray(BITS * 255.), 0),
    'uint16': (RGB16, RGB16 / 257, 0.01), '0 to 1': (COLOR / 255, COLOR, 0.01),
    '0 to 1, float32, gray': (np.float32(GRAY / 255), gray(GRAY), 0.01), '0 to 255': (COLOR.astype(float), COLOR, 0),
    'int64': (COLOR.astype(int), COLOR, 0), 'int64 with 16 bits': (RGB16.astype(int), RGB16 / 257, 0.01),
    '0 and 1 as uint8': (np.uint8(BITS), gray(BITS * 255.), 0), '0 and 1 as int64': (BITS * 1, gray(BITS * 255.), 0),
    'RGBA': (np.dstack([COLOR, ALPHA]), over_white(COLOR, ALPHA), 0.51), 'batch': (COLOR[None], COLOR, 0),
    'one channel': (GRAY[..., None], gray(GRAY), 0),
    'out of range': (COLOR * 1.5 - 60., (COLOR * 1.5 - 60).clip(0, 255), 0.51)}


@pytest.mark.parametrize('name', ARRAYS)
def test_arrays_are_taken_by_their_type_and_range(tmp_path, name):
    array, expected, tolerance = ARRAYS[name]
    image = utils.read_image(utils.as_file(array, tmp_path))
    assert image.shape == expected.shape and np.abs(image - expected).max() <= tolerance


@pytest.mark.parametrize('mode', ['1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'CMYK', 'I;16', 'I', 'F', 'YCbCr', 'HSV'])
def test_images_of_pillow_are_taken_in_every_mode(tmp_path, mode):
    pixels = np.uint16(blocks(GRAY)) * 257 if mode in ('I;16', 'I') else blocks(GRAY)
    image = Image.fromarray(pixels)
    image = image.convert('RGB').convert(mode) if mode in ('CMYK', 'YCbCr', 'HSV') else image.convert(mode)
    expected = blocks(gray(GRAY))
    read = utils.read_image(utils.as_file(image, tmp_path))
    assert read.shape == expected.shape
    assert np.abs(read - expected).max() <= (255 if mode == '1' else 6) and np.abs(read - expected).mean() < 130


@pytest.mark.parametrize('mode', ['1', 'L', 'I', 'F'])
def test_an_image_of_pillow_with_values_up_to_1_is_black_and_white(tmp_path, mode):
    image = Image.fromarray(np.uint8(BITS)).convert('L')
    image = Image.fromarray(BITS) if mode == '1' else image.convert(mode)
    assert (utils.read_image(utils.as_file(image, tmp_path)) == gray(BITS * 255.)).all()


@pytest.mark.parametrize('name', ['a.tif', 'a.jpg'])
@pytest.mark.parametrize('mode', ['RGB', 'CMYK', 'F', 'I;16B'])
def test_turned_images_of_pillow_are_upright(tmp_path, name, mode):
    exif = Image.Exif()
    exif[274] = 6
    pixels = blocks(COLOR)
    if mode[0] in 'FI':
        image = Image.fromarray(np.float32(pixels[..., 0] / 255) if mode == 'F' else pixels[..., 0].astype('>u2') * 257)
        name = 'a.tif'
    else:
        image = Image.fromarray(pixels).convert(mode)
    # Pillow 13 itself loses the orientation of an uncompressed TIFF.
    image.save(tmp_path / name, exif=exif, **({'compression': 'tiff_lzw'} if name == 'a.tif' else {}))
    expected = utils.read_image(tmp_path / name)
    assert expected.shape == (*pixels.shape[1::-1], 3)
    with Image.open(tmp_path / name) as image:
        assert np.abs(utils.read_image(utils.as_file(image, tmp_path)) - expected).max() <= 1
    image = Image.fromarray(COLOR)
    image.info['exif'] = b'Exif\0\0garbage'
    assert (utils.read_image(utils.as_file(image, tmp_path)) == COLOR).all()


def test_an_image_of_pillow_keeps_its_profile_and_orientation(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(COLOR).save(tmp_path / 'a.png', exif=exif, icc_profile=icc_profiles.EXCHANGED)
    with Image.open(tmp_path / 'a.png') as image:
        read = utils.read_image(utils.as_file(image, tmp_path))
    assert np.abs(read - np.rot90(COLOR, -1)[..., [1, 0, 2]]).max() <= 1


@pytest.mark.parametrize('array', [np.zeros((4, 4, 7)), np.zeros(5), np.full((4, 4), np.nan), np.array('x'),
                                   np.zeros((2, 4, 4, 3)), np.zeros((0, 4, 3)), np.zeros((0, 4, 3), np.uint8),
                                   Image.new('RGB', (0, 3))])
def test_arrays_that_are_no_images_are_refused(tmp_path, array):
    with pytest.raises(UserError, match='an image from Python cannot be used'):
        utils.as_file(array, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_array_of_8_bits_becomes_the_file_that_version_1_0_wrote(tmp_path):
    """Otherwise a named run from Python would have other settings."""
    path = utils.as_file(COLOR, tmp_path)
    assert path.read_bytes() == iio.imwrite('<bytes>', COLOR, extension='.png', compress_level=1)


@pytest.mark.parametrize('size, suffix', [((17000, 1), '.webp'), ((66000, 1), '.jpg'), ((1, 66000), '.gif'),
                                          ((70000, 1), '.avif')])
def test_a_picture_that_is_too_large_for_a_format_is_refused(tmp_path, capfd, size, suffix):
    width, height = size
    with pytest.raises(UserError, match=f'{width}×{height} cannot be written as {suffix}.*; use .png'):
        utils.save_image(tmp_path / f'a{suffix}', np.zeros((height, width, 3), np.uint8))
    assert capfd.readouterr() == ('', '') and not list(tmp_path.iterdir())


@pytest.mark.parametrize('playback', [{'duration': [10, 70_000_000]}, {'loop': 70_000}])
def test_an_animation_whose_playback_a_format_lacks_is_refused(tmp_path, playback):
    with pytest.raises(UserError, match='cannot be written as .gif'):
        utils.save_animation(tmp_path / 'a.gif', FRAMES[:2], playback)
    assert not list(tmp_path.iterdir())


def test_a_file_with_the_longest_possible_name_is_written(tmp_path):
    path = tmp_path / ('x' * 251 + '.png')
    utils.save_image(path, COLOR)
    assert (utils.read_image(path) == COLOR).all() and list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match='File name too long') as error:
        utils.save_image(tmp_path / ('x' * 252 + '.png'), COLOR)
    assert error.value.filename == str(tmp_path / ('x' * 252 + '.png'))


def test_saving_chooses_the_format_by_suffix_and_creates_the_folder(tmp_path):
    for suffix, head in ('.png', b'\x89PNG'), ('.jpg', b'\xff\xd8'), ('.bmp', b'BM'):
        utils.save_image(tmp_path / 'new' / f'image{suffix}', COLOR)
        assert (tmp_path / 'new' / f'image{suffix}').read_bytes().startswith(head)


@pytest.mark.parametrize('existing', [True, False])
def test_saving_is_atomic(tmp_path, monkeypatch, existing):
    path = tmp_path / 'image.png'
    if existing:
        utils.save_image(path, COLOR)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    def full_disk(part, content):
        with open(part, 'wb') as file:
            file.write(content[:len(content) // 2])
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(Path, 'write_bytes', full_disk)
    with pytest.raises(OSError) as error:
        utils.save_image(path, 255 - COLOR)
    assert error.value.filename == str(path)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before
