"""Images of every kind in, resizing against independent computations, files that appear whole."""

import struct
import zlib

import imageio.v3 as iio
import numpy as np
import pytest
import scipy.ndimage
from PIL import Image, ImageOps

import utils

# Four plain areas, so that chroma subsampling and palettes leave the middle of each as it is
PICTURE = np.zeros((32, 48, 3), np.uint8)
PICTURE[:16, :24], PICTURE[:16, 24:], PICTURE[16:, :24], PICTURE[16:, 24:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), (204, 153, 51)
GREY = np.arange(32 * 48).reshape(32, 48) * 42  # up to 64,470: 16 bits


def middles(image):
    """The colours in the middle of the four areas."""
    H, W = image.shape[:2]
    return image[[H // 4, H // 4, 3 * H // 4, 3 * H // 4], [W // 4, 3 * W // 4, W // 4, 3 * W // 4]]


def png16(path, pixels, colour_type):
    """A PNG of 16 bits a channel, which neither imageio nor Pillow writes in colour."""
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in pixels)
    header = struct.pack('>IIBBBBB', pixels.shape[1], pixels.shape[0], 16, colour_type, 0, 0, 0)
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


@pytest.mark.parametrize('name, mode, options', [
    ('rgb.png', 'RGB', {}), ('rgb.bmp', 'RGB', {}), ('rgb.jpg', 'RGB', dict(quality=98)), ('rgb.webp', 'RGB', dict(lossless=True)),
    ('palette.png', 'P', {}), ('palette.gif', 'P', {}), ('opaque.png', 'RGBA', {}), ('cmyk.jpg', 'CMYK', dict(quality=98)),
    ('cmyk.tiff', 'CMYK', {}), ('ycbcr.tiff', 'YCbCr', {}), ('lab.tiff', 'LAB', {})])
def test_colour(tmp_path, name, mode, options):
    Image.fromarray(PICTURE).convert(mode).save(tmp_path / name, **options)
    image = utils.read_image(tmp_path / name)
    assert image.dtype == np.float32 and image.shape == PICTURE.shape
    np.testing.assert_allclose(middles(image), middles(PICTURE), atol={'LAB': 25, 'P': 9}.get(mode, 3))


@pytest.mark.parametrize('frames', ['frames.gif', 'frames.png', 'frames.webp'])
def test_the_first_of_several_frames(tmp_path, frames):
    first = Image.fromarray(PICTURE)
    first.save(tmp_path / frames, save_all=True, append_images=[first.rotate(180)], lossless=True)
    np.testing.assert_allclose(middles(utils.read_image(tmp_path / frames)), middles(PICTURE), atol=3)


@pytest.mark.parametrize('suffix', ['png', 'tiff'])
def test_grey_of_16_bits(tmp_path, suffix):
    iio.imwrite(tmp_path / f'grey.{suffix}', GREY.astype(np.uint16))
    expected = np.repeat(GREY[:, :, None] * 255 / 65535, 3, axis=2)
    np.testing.assert_allclose(utils.read_image(tmp_path / f'grey.{suffix}'), expected, atol=1e-3)


def test_colour_of_16_bits(tmp_path):
    png16(tmp_path / 'rgb.png', PICTURE.astype(np.uint16) * 257, 2)
    iio.imwrite(tmp_path / 'rgb.tiff', PICTURE.astype(np.uint16) * 257)
    for name in ('rgb.png', 'rgb.tiff'):
        assert (utils.read_image(tmp_path / name) == PICTURE).all()


@pytest.mark.parametrize('white', [1, 255])
def test_floats(tmp_path, white):
    iio.imwrite(tmp_path / 'float.tiff', (PICTURE / 255 * white).astype(np.float32))
    np.testing.assert_allclose(utils.read_image(tmp_path / 'float.tiff'), PICTURE, atol=1e-3)


def test_grey_and_one_bit(tmp_path):
    grey = (GREY % 256).astype(np.uint8)
    iio.imwrite(tmp_path / 'grey.png', grey)
    assert (utils.read_image(tmp_path / 'grey.png') == grey[:, :, None]).all()
    Image.fromarray(grey > 99).save(tmp_path / 'bit.png')
    assert (utils.read_image(tmp_path / 'bit.png') == np.where(grey > 99, 255, 0)[:, :, None]).all()


def test_transparency_lies_over_white(tmp_path):
    alpha = np.full((32, 48, 1), 51, np.uint8)  # a fifth
    expected = PICTURE * 0.2 + 255 * 0.8
    iio.imwrite(tmp_path / 'rgba.png', np.concatenate([PICTURE, alpha], axis=2))
    png16(tmp_path / 'rgba16.png', np.concatenate([PICTURE, alpha], axis=2).astype(np.uint16) * 257, 6)
    for name in ('rgba.png', 'rgba16.png'):
        np.testing.assert_allclose(utils.read_image(tmp_path / name), expected, atol=0.01)
    Image.fromarray(np.concatenate([PICTURE[:, :, :1], alpha], axis=2)).save(tmp_path / 'la.png')
    np.testing.assert_allclose(utils.read_image(tmp_path / 'la.png'), np.repeat(expected[:, :, :1], 3, axis=2), atol=0.01)
    palette = Image.fromarray(PICTURE).convert('P', palette=Image.Palette.ADAPTIVE)
    palette.save(tmp_path / 'hole.png', transparency=palette.getpixel((0, 0)))
    assert (middles(utils.read_image(tmp_path / 'hole.png'))[0] == 255).all()


@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.fromarray(PICTURE).save(tmp_path / 'turned.jpg', exif=exif, quality=98)
    upright = {1: PICTURE, 2: PICTURE[:, ::-1], 3: PICTURE[::-1, ::-1], 4: PICTURE[::-1], 5: PICTURE.transpose(1, 0, 2),
               6: np.rot90(PICTURE, -1), 7: np.rot90(PICTURE, 2).transpose(1, 0, 2), 8: np.rot90(PICTURE)}[orientation]
    image = utils.read_image(tmp_path / 'turned.jpg')
    assert image.shape == upright.shape
    np.testing.assert_allclose(middles(image), middles(upright), atol=4)


def test_a_name_with_spaces_and_a_wrong_suffix(tmp_path):
    path = tmp_path / 'my ünïcode picture.jpg'
    path.write_bytes(iio.imwrite('<bytes>', PICTURE, extension='.png'))
    assert (utils.read_image(path) == PICTURE).all()


@pytest.mark.parametrize('shape', [(1, 1), (1, 9), (9, 1)])
def test_the_smallest_images(tmp_path, shape):
    iio.imwrite(tmp_path / 'small.png', np.full((*shape, 3), (10, 20, 30), np.uint8))
    image = utils.get_resized_image(tmp_path / 'small.png', 33, 25)
    assert image.shape == (1, 25, 33, 3) and image.dtype == np.float32
    np.testing.assert_allclose(image, np.broadcast_to([10, 20, 30], image.shape), atol=1e-3)


def test_what_is_no_image(tmp_path):
    whole = iio.imwrite('<bytes>', np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8), extension='.png')
    cases = {'missing.png': (None, 'no such image'), 'empty.png': (b'', 'cannot be read'), 'text.jpg': (b'words', 'cannot be read'),
             'cut.png': (whole[:len(whole) // 2], 'cannot be read')}
    for name, (content, says) in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(utils.UserError, match=f'{name}: .*{says}'):
            utils.read_image(tmp_path / name)
    with pytest.raises(utils.UserError, match='is a folder'):
        utils.read_image(tmp_path)


def test_an_absurd_size_is_refused_before_it_is_decoded(tmp_path):
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    header = struct.pack('>IIBBBBB', 60_000, 60_000, 8, 2, 0, 0, 0)
    (tmp_path / 'bomb.png').write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', b'') + chunk(b'IEND', b''))
    with pytest.raises(utils.UserError, match='bomb.png: cannot be read'):
        utils.read_image(tmp_path / 'bomb.png')


def test_resizing_agrees_with_a_gaussian_and_interpolation():
    """Antialiasing by a Gaussian of σ = (factor − 1) / 2, then linear interpolation at the pixels' centres."""
    image = np.random.default_rng(0).uniform(0, 255, (60, 90, 3)).astype(np.float32)
    factor = 3
    expected = np.empty((20, 30, 3))
    y, x = np.meshgrid((np.arange(20) + 0.5) * factor - 0.5, (np.arange(30) + 0.5) * factor - 0.5, indexing='ij')
    for c in range(3):
        smooth = scipy.ndimage.gaussian_filter(np.float64(image[:, :, c]), (factor - 1) / 2, mode='nearest')
        expected[:, :, c] = scipy.ndimage.map_coordinates(smooth, [y, x], order=1, mode='nearest')
    np.testing.assert_allclose(utils.fit(image, 30, 20), expected, atol=0.01)


@pytest.mark.parametrize('size', [(33, 25), (20, 60), (60, 20), (150, 100)])
def test_fit_crops_as_imageops_fit_does(size):
    y, x = np.mgrid[0:80, 0:100]
    image = np.stack([2 * x, 3 * y, np.full_like(x, 99)], axis=2).astype(np.uint8)  # colour tells where a pixel was
    expected = np.asarray(ImageOps.fit(Image.fromarray(image), size, Image.Resampling.BILINEAR), float)
    fitted = utils.fit(image.astype(np.float32), *size)
    assert fitted.shape == (size[1], size[0], 3)
    assert np.abs(fitted - expected).mean() < 1.5 and (np.abs(fitted[:, :, 2] - 99) < 1e-3).all()
    assert fitted[0, :, 0] + fitted[0, ::-1, 0] == pytest.approx(np.full(size[0], 2 * 99.), abs=3)  # the crop is centred


def test_noise_image():
    content = np.random.default_rng(0).normal(0, 60, (1, 20, 30, 3)).astype(np.float32)
    image, again = (utils.generate_noise_image(content, 0.6, 20, np.random.default_rng(5)) for _ in range(2))
    noise = np.random.default_rng(5).uniform(-20, 20, content.shape)
    np.testing.assert_allclose(image, 0.6 * noise + 0.4 * content, atol=1e-4)
    assert (image == again).all() and image.dtype == np.float32
    assert (utils.generate_noise_image(content, 0, 20, np.random.default_rng(5)) == content).all()


def test_save_clips_and_does_not_wrap(tmp_path):
    image = np.zeros((1, 4, 5, 3), np.float32)
    image[..., 0], image[..., 1], image[..., 2] = -30, 300, 127.6
    utils.save_image(tmp_path / 'new' / 'image.png', image)
    assert (iio.imread(tmp_path / 'new' / 'image.png') == [0, 255, 128]).all()


def test_a_file_is_whole_or_not_there(tmp_path, monkeypatch):
    path = tmp_path / 'image.png'
    path.write_bytes(b'old')

    def half(part, image):
        part.write_bytes(b'ha')
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(utils.iio, 'imwrite', half)
    with pytest.raises(OSError):
        utils.save_image(path, np.zeros((4, 5, 3)))
    assert path.read_bytes() == b'old' and list(tmp_path.iterdir()) == [path]
