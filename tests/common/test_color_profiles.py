"""Conversion from ICC profiles to sRGB against hand-worked curves and Little CMS, and the profile of written files."""

import io
import itertools

import imageio.v3 as iio
import numpy as np
import pytest
import skimage.color
import tifffile
from PIL import Image, ImageCms

import utils
from common import color_profiles, paths
from tests import icc_profiles

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (6, 8), dtype=np.uint8)
EXCHANGED_COLOR = COLOR[..., [1, 0, 2]]
COLOR_16_BITS = RNG.integers(0, 65536, (6, 8, 3), dtype=np.uint16)


def encode_srgb(linear):
    """Apply sRGB's transfer function to linear values, 0 to 1."""
    linear = np.float64(linear).clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def blocks(pixels):
    """Enlarge every pixel to a block of 16×16, which JPEG preserves."""
    return pixels.repeat(16, axis=0).repeat(16, axis=1)


def over_white(pixels):
    """Blend pixels with white by `ALPHA`."""
    share = ALPHA[..., None] / 255
    return share * pixels + 255 * (1 - share)


def palette(path, **settings):
    """Write an image with a palette."""
    Image.fromarray(COLOR).quantize(256).save(path, **settings)


def deep_tiff(path, pixels):
    """Write a TIFF that Pillow cannot read, with the profile."""
    tifffile.imwrite(path, pixels, photometric='rgb', iccprofile=icc_profiles.EXCHANGED)


# File name: (function of the path and of Pillow's settings for the profile, expected pixels, largest difference).
EXCHANGED_FILES = {
    'a.png': (lambda path, **profile: Image.fromarray(COLOR).save(path, **profile), EXCHANGED_COLOR, 1),
    'a.tif': (lambda path, **profile: Image.fromarray(COLOR).save(path, **profile), EXCHANGED_COLOR, 1),
    'a.webp': (lambda path, **profile: Image.fromarray(COLOR).save(path, lossless=True, **profile), EXCHANGED_COLOR, 1),
    'a.jpg': (lambda path, **profile: Image.fromarray(blocks(COLOR)).save(path, quality=100, subsampling=0, **profile),
              blocks(EXCHANGED_COLOR), 4),
    'alpha.png': (lambda path, **profile: Image.fromarray(np.dstack([COLOR, ALPHA])).save(path, **profile),
                  over_white(EXCHANGED_COLOR), 1),
    'palette.png': (palette, EXCHANGED_COLOR, 1),
    '16 bits.tif': (lambda path, **profile: deep_tiff(path, COLOR_16_BITS), COLOR_16_BITS[..., [1, 0, 2]] / 257, 0.3),
    'float.tif': (lambda path, **profile: deep_tiff(path, np.float32(COLOR_16_BITS / 65535)),
                  COLOR_16_BITS[..., [1, 0, 2]] / 257, 0.3),
}


@pytest.mark.parametrize('name', EXCHANGED_FILES)
def test_a_profile_that_exchanges_red_and_green_is_applied(tmp_path, name):
    write, expected, tolerance = EXCHANGED_FILES[name]
    write(tmp_path / name, icc_profile=icc_profiles.EXCHANGED)
    assert np.abs(utils.read_image(tmp_path / name) - expected).max() <= tolerance
    stored = utils.read_image(tmp_path / name, convert_profiles=False)
    assert np.abs(stored - expected[..., [1, 0, 2]]).max() <= max(1, tolerance)


def test_an_animation_and_the_cut_of_a_photo_are_converted(tmp_path):
    Image.fromarray(COLOR).save(tmp_path / 'a.png', save_all=True, append_images=[Image.fromarray(255 - COLOR)],
                                icc_profile=icc_profiles.EXCHANGED)
    frames, _ = utils.read_animation(tmp_path / 'a.png')
    first, second = frames
    assert np.abs(np.int16(first) - EXCHANGED_COLOR).max() <= 1
    assert np.abs(np.int16(second) - (255 - EXCHANGED_COLOR)).max() <= 1
    assert utils.read_alpha(tmp_path / 'a.png') is None


# Curves of the tags: (tag, function from device values to linear ones).
CURVES = {
    'identity': (icc_profiles.curv([]), lambda x: x),
    'gamma': (icc_profiles.curv([round(1.8 * 256)]), lambda x: x ** (round(1.8 * 256) / 256)),
    'table': (icc_profiles.curv([0, 10000, 30000, 65535]),
              lambda x: np.interp(x, [0, 1 / 3, 2 / 3, 1], np.array([0, 10000, 30000, 65535]) / 65535)),
    'para 0': (icc_profiles.para(0, 2.2), lambda x: x ** 2.2),
    'para 1': (icc_profiles.para(1, 2, 1.25, -0.25), lambda x: np.where(x >= 0.2, 1.25 * x - 0.25, 0) ** 2),
    'para 2': (icc_profiles.para(2, 2, 0.9, -0.1, 0.36),
               lambda x: np.where(x >= 1 / 9, 0.9 * x - 0.1, 0) ** 2 + 0.36),
    'para 3': (icc_profiles.para(*icc_profiles.SRGB_CURVE),
               lambda x: np.where(x >= 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92)),
    'para 4': (icc_profiles.para(4, 2, 0.9, 0.05, 0.1, 0.2, 0.0975, 0),
               lambda x: np.where(x >= 0.2, (0.9 * x + 0.05) ** 2 + 0.0975, 0.1 * x)),
}


@pytest.mark.parametrize('name', CURVES)
def test_gray_with_16_bits_is_converted_by_the_curve_of_its_profile(tmp_path, name):
    tag, curve = CURVES[name]
    values = np.uint16(np.linspace(0, 65535, 600)).reshape(20, 30)
    Image.fromarray(values).save(tmp_path / 'gray.png', icc_profile=icc_profiles.gray(tag))
    expected = 255 * encode_srgb(curve(values / 65535))
    image = utils.read_image(tmp_path / 'gray.png')
    assert np.abs(image - expected[..., None]).max() < 0.1
    assert len(np.unique(image)) > 400 or name in ('para 1', 'para 2')


def test_a_gray_profile_may_have_a_curve_of_lightness(tmp_path):
    profile = icc_profiles.gray(icc_profiles.curv([]), b'Lab ')
    values = np.uint16(np.linspace(0, 65535, 600)).reshape(20, 30)
    Image.fromarray(values).save(tmp_path / '16.png', icc_profile=profile)
    Image.fromarray(np.uint8(values // 257)).save(tmp_path / '8.png', icc_profile=profile)
    lightness = np.stack([values / 655.35, 0 * values, 0 * values], axis=-1)
    expected = 255 * skimage.color.lab2rgb(lightness)[..., 1:2]
    for name, levels in ('16.png', 65535), ('8.png', 255):
        assert np.abs(utils.read_image(tmp_path / name) - expected).max() < 0.1 + 400 / levels


@pytest.mark.parametrize('mode', ['L', 'LA'])
def test_gray_with_8_bits_is_converted(tmp_path, mode):
    image = Image.fromarray(COLOR[..., 0] if mode == 'L' else np.dstack([COLOR[..., 0], ALPHA]))
    image.save(tmp_path / 'gray.png', icc_profile=icc_profiles.gray(icc_profiles.curv([])))
    expected = np.repeat(255 * encode_srgb(COLOR[..., :1] / 255), 3, axis=2)
    expected = expected if mode == 'L' else over_white(expected)
    assert np.abs(utils.read_image(tmp_path / 'gray.png') - expected).max() <= 1


@pytest.mark.parametrize('gamma, colorants', [
    (2.2, {b'rXYZ': (0.6097, 0.3111, 0.0195), b'gXYZ': (0.2053, 0.6257, 0.0609), b'bXYZ': (0.1492, 0.0632, 0.7446)}),
    (1.8, {b'rXYZ': (0.7977, 0.2880, 0), b'gXYZ': (0.1352, 0.7119, 0), b'bXYZ': (0.0313, 0.0001, 0.8249)})],
    ids=['Adobe RGB', 'ProPhoto'])
def test_deep_and_8_bit_images_get_the_same_colors(tmp_path, gamma, colorants):
    profile = icc_profiles.rgb(icc_profiles.curv([round(256 * gamma)]), colorants)
    Image.fromarray(COLOR).save(tmp_path / '8.png', icc_profile=profile)
    tifffile.imwrite(tmp_path / '16.tif', np.uint16(COLOR) * 257, photometric='rgb', iccprofile=profile)
    shallow, deep = (utils.read_image(tmp_path / name) for name in ('8.png', '16.tif'))
    assert np.abs(shallow - deep).max() <= 1.5 and np.abs(shallow - COLOR).max() > 20


def table_profile():
    """Return an RGB profile with a table instead of a matrix, which makes all colors paler, and its function."""
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 17)] * 3, indexing='ij'), axis=-1)
    lab = skimage.color.rgb2lab(0.2 + 0.6 * grid)
    return icc_profiles.profile(b'RGB ', {b'A2B0': icc_profiles.lut8(3, lab)}, b'Lab ')


def test_a_deep_image_with_a_table_keeps_its_depth(tmp_path):
    profile, ramp = table_profile(), np.linspace(0, 65535, 4000)
    pixels = np.uint16(np.stack([ramp, 0.5 * ramp, 65535 - ramp], axis=-1)).reshape(40, 100, 3)
    tifffile.imwrite(tmp_path / 'deep.tif', pixels, photometric='rgb', iccprofile=profile)
    transform = ImageCms.buildTransform(ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile('sRGB'),
                                        'RGB', 'RGB', ImageCms.Intent.RELATIVE_COLORIMETRIC,
                                        ImageCms.Flags.BLACKPOINTCOMPENSATION)
    expected = np.asarray(ImageCms.applyTransform(Image.fromarray(np.uint8(np.rint(pixels / 257))), transform))
    image = utils.read_image(tmp_path / 'deep.tif')
    assert np.abs(image - expected).max() < 3 and np.abs(image - expected).mean() < 0.7
    assert len(np.unique(image[..., 0])) > 1000


@pytest.mark.parametrize('name', ['cmyk.tif', 'cmyk.jpg'])
def test_cmyk_is_converted_by_its_profile(tmp_path, name):
    """The profile's table has a color for each of the 16 mixtures of full inks: cyan and magenta are exchanged."""
    inks = np.array(list(itertools.product((0, 1), repeat=4)))
    colors = (1 - inks[:, [1, 0, 2]]) * (1 - inks[:, 3:]) * 0.8 + 0.1
    lab = skimage.color.rgb2lab(colors, illuminant='D65').reshape(2, 2, 2, 2, 3)
    profile = icc_profiles.profile(b'CMYK', {b'A2B0': icc_profiles.lut8(4, lab)}, b'Lab ')
    pixels = np.uint8(255 * inks.reshape(4, 4, 4))
    Image.fromarray(blocks(pixels), 'CMYK').save(tmp_path / name, icc_profile=profile, quality=100)
    image = utils.read_image(tmp_path / name)[8::16, 8::16].reshape(16, 3)
    # Black point compensation maps the darkest ink to 0, so compare the order of the channels, and not the values.
    for color, result in zip(colors, image):
        brighter = color[:, None] > color + 0.3
        assert (np.subtract.outer(result, result)[brighter] > 30).all()
    ignored = utils.read_image(tmp_path / name, convert_profiles=False)[8::16, 8::16].reshape(16, 3)
    assert np.abs(ignored - 255 * (1 - inks[:, :3]) * (1 - inks[:, 3:])).max() <= 4


def test_cmyk_with_a_profile_of_rgb_is_converted_without_it(tmp_path):
    pixels = np.dstack([COLOR, 255 - ALPHA])
    Image.fromarray(pixels, 'CMYK').save(tmp_path / 'a.tif', icc_profile=icc_profiles.EXCHANGED)
    assert (utils.read_image(tmp_path / 'a.tif') == utils.read_image(tmp_path / 'a.tif', False)).all()


def test_a_damaged_profile_of_cmyk_is_ignored(tmp_path):
    cmyk = Image.fromarray(blocks(COLOR)).convert('CMYK')
    profile = icc_profiles.profile(b'CMYK', {b'A2B0': icc_profiles.lut8(4, np.zeros((2, 2, 2, 2, 3)))}, b'Lab ')
    for name, length in ('a.jpg', 200), ('b.tif', 132), ('c.tif', len(profile) - 3000):
        cmyk.save(tmp_path / name, icc_profile=profile[:length])
        assert np.abs(utils.read_image(tmp_path / name) - blocks(COLOR)).mean() < 40
        assert (utils.read_image(tmp_path / name) == utils.read_image(tmp_path / name, False)).all()


@pytest.mark.parametrize('name', ['a.png', 'a.jpg', 'a.tif'])
def test_a_profile_of_another_kind_of_image_is_ignored(tmp_path, name):
    gray = icc_profiles.gray(icc_profiles.curv([]))
    for image, profile in (Image.fromarray(blocks(COLOR)), gray), (Image.fromarray(blocks(ALPHA)),
                                                                   icc_profiles.rgb(icc_profiles.curv([]))):
        image.save(tmp_path / name, icc_profile=profile)
        assert (utils.read_image(tmp_path / name) == utils.read_image(tmp_path / name, False)).all()
    for dtype in np.uint16, np.float32:
        pixels = (COLOR_16_BITS / (1 if dtype == np.uint16 else 65535)).astype(dtype)
        tifffile.imwrite(tmp_path / 'deep.tif', pixels, photometric='rgb', iccprofile=gray)
        assert (utils.read_image(tmp_path / 'deep.tif') == utils.read_image(tmp_path / 'deep.tif', False)).all()


DEEP_TIFFS = {
    'planar': dict(planarconfig='separate'), 'deflate': dict(compression='zlib', predictor=True),
    'two pages': dict(pages=2), 'tiles': dict(tile=(16, 16)), 'big': dict(bigtiff=True, byteorder='>'),
}


@pytest.mark.parametrize('name', DEEP_TIFFS)
def test_deep_tiffs_of_all_layouts_are_converted(tmp_path, name):
    settings = dict(DEEP_TIFFS[name])
    pixels = np.moveaxis(COLOR_16_BITS, -1, 0) if name == 'planar' else COLOR_16_BITS
    pixels = np.stack([pixels] * settings.pop('pages')) if 'pages' in settings else pixels
    tifffile.imwrite(tmp_path / 'a.tif', pixels, photometric='rgb', iccprofile=icc_profiles.EXCHANGED, **settings)
    assert np.abs(utils.read_image(tmp_path / 'a.tif') - COLOR_16_BITS[..., [1, 0, 2]] / 257).max() < 0.3


def test_a_deep_tiff_that_needs_another_package_is_converted_with_8_bits(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / 'a.tif', COLOR_16_BITS, photometric='rgb', iccprofile=icc_profiles.EXCHANGED)

    def fail(*arguments):
        raise ValueError("requires the 'imagecodecs' package")
    monkeypatch.setattr(tifffile.TiffPage, 'asarray', fail)
    assert np.abs(utils.read_image(tmp_path / 'a.tif') - COLOR_16_BITS[..., [1, 0, 2]] / 257).max() < 2


@pytest.mark.parametrize('kind', ['assocalpha', 'unspecified', 'unassalpha'])
def test_extra_samples_of_deep_tiffs_are_taken_by_their_kind(tmp_path, kind):
    share = np.maximum(ALPHA, 20)[..., None] / 255
    color = COLOR_16_BITS * share if kind == 'assocalpha' else COLOR_16_BITS
    tifffile.imwrite(tmp_path / 'a.tif', np.uint16(np.rint(np.dstack([color, 65535 * share]))), photometric='rgb',
                     extrasamples=[kind], iccprofile=icc_profiles.EXCHANGED)
    expected = COLOR_16_BITS[..., [1, 0, 2]] / 257
    if kind != 'unspecified':
        expected = expected * share + 255 * (1 - share)
    assert np.abs(utils.read_image(tmp_path / 'a.tif') - expected).max() < 0.4


UNUSED_PROFILES = {
    'none': None,
    'sRGB of Little CMS': color_profiles.SRGB,
    'sRGB made by hand': icc_profiles.rgb(),
    'damaged': icc_profiles.EXCHANGED[:200],
    'noise': bytes(range(256)),
    'for CMYK': icc_profiles.profile(b'CMYK', {}, b'Lab '),
    'without curves': icc_profiles.profile(b'RGB ', {name: icc_profiles.xyz(value) for name, value in
                                                     icc_profiles.SRGB_COLORANTS.items()}),
}


@pytest.mark.parametrize('name', UNUSED_PROFILES)
def test_images_without_another_usable_profile_keep_their_bits(tmp_path, name):
    profile = UNUSED_PROFILES[name]
    Image.fromarray(COLOR).save(tmp_path / 'a.png', icc_profile=profile)
    tifffile.imwrite(tmp_path / 'a.tif', COLOR_16_BITS, photometric='rgb', iccprofile=profile)
    assert (utils.read_image(tmp_path / 'a.png') == COLOR).all()
    assert (utils.read_image(tmp_path / 'a.tif') == COLOR_16_BITS // 256).all()  # Pillow reads 16-bit RGB as 8 bits.


def test_the_bundled_photo_with_a_profile_of_srgb_keeps_its_bits():
    with Image.open(paths.CONTENT) as image:
        assert image.info['icc_profile'] and (utils.read_image(paths.CONTENT) == np.asarray(image)).all()


# ------------------------------------------------------------------------------------------------------- written files

@pytest.mark.parametrize('name', ['a.png', 'a.jpg', 'a.jpeg', 'a.webp', 'a.tif', 'a'])
def test_written_images_say_srgb(tmp_path, name):
    utils.save_image(tmp_path / name, COLOR)
    profile = iio.immeta(tmp_path / name, plugin='pillow')['icc_profile']
    assert profile == color_profiles.SRGB and icc_profiles.is_srgb((tmp_path / name).read_bytes())
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    assert 'sRGB' in ImageCms.getProfileDescription(opened)
    same = ImageCms.profileToProfile(Image.fromarray(COLOR), opened, ImageCms.createProfile('sRGB'))
    assert np.abs(np.asarray(same) - np.int16(COLOR)).max() <= 1


@pytest.mark.parametrize('settings', [{}, {'exif': b'Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0'}, {'progressive': True}])
def test_a_jpeg_gets_the_profile_without_a_change_of_its_pixels(settings):
    file = io.BytesIO()
    Image.fromarray(blocks(COLOR)).save(file, 'JPEG', **settings)
    tagged = color_profiles.tag_jpeg(file.getvalue())
    with Image.open(io.BytesIO(tagged)) as image:
        assert image.info['icc_profile'] == color_profiles.SRGB and 'jfif' in image.info
        assert (np.asarray(image) == np.asarray(Image.open(file))).all()
