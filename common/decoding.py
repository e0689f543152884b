"""Decode image files to arrays: upright, converted to sRGB if their colors have another profile, gray or RGB.

Pillow decodes everything that it knows, and tifffile the TIFFs that Pillow does not know, such as RGB with 16 bits.
`utils` has the functions that the other modules use.
"""

import contextlib
import logging
import re
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from imageio.core.request import InitializationError
from PIL import PngImagePlugin

from common import color_profiles
from common.errors import UserError

MAX_PIXELS = 90_000_000  # of an image that is read; as float32 RGB, this is a gigabyte
MAX_METADATA_BYTES = 1 << 26  # of texts and profiles in a PNG; Pillow's limit of 1 MB refuses good files
ROTATED_ORIENTATIONS = 5, 6, 7, 8  # Exif orientations that swap width and height
TIFF_HEADERS = b'II*\0', b'MM\0*', b'II+\0', b'MM\0+'
# Numbers of TIFF tags
NEW_SUBFILE_TYPE, SUBFILE_TYPE, BITS_PER_SAMPLE, PHOTOMETRIC, ORIENTATION = 254, 255, 258, 262, 274
PLANAR_CONFIGURATION, EXTRA_SAMPLES, ICC_PROFILE, DNG_VERSION = 284, 338, 34675, 50706
SEPARATE_PLANES = 2  # value of PLANAR_CONFIGURATION
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, COLOR_FILTER_ARRAY, LINEAR_RAW = 0, 1, 2, 32803, 34892  # values of PHOTOMETRIC
UNSPECIFIED_SAMPLE, PREMULTIPLIED_ALPHA = 0, 1  # values of EXTRA_SAMPLES
GRAY_MODES = '1', 'F', 'I', 'I;16', 'I;16B', 'I;16L', 'I;16N', 'L', 'LA', 'La'  # of Pillow
RAW_SUFFIXES = ('.3fr', '.arw', '.cr2', '.dcr', '.dng', '.erf', '.iiq', '.kdc', '.mef', '.mos', '.nef', '.nrw', '.pef',
                '.sr2', '.srw')  # of camera raw files that are TIFFs
RAW_HINT = 'export it as JPEG, PNG or TIFF from the program that develops it'
CLIP_HINT = 'fast_style_transfer.py stylize takes clips, by their suffix'
# First bytes of files that are not images for Pillow, and what the user can do.
KNOWN_FILES = {
    rb'....ftyp(hei[cxms]|hev[cx]|mif1|msf1)': 'HEIC; export it as JPEG, or pip install pillow-heif',
    rb'....ftypavi[fs]': 'AVIF, which this version of Pillow cannot read; pip install -U pillow',
    rb'....ftypcrx |IIRO|IIRS|MMOR|IIU\0|FUJIFILMCCD-RAW|FOVb': f'camera raw; {RAW_HINT}',
    rb'\xff\x0a|\0\0\0\x0cJXL ': 'JPEG XL; export it as JPEG or PNG',
    rb'%PDF': 'PDF; export the page as PNG',
    rb'(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!DOCTYPE svg|<svg)': 'SVG; export it as PNG',
    rb'\s*<(!DOCTYPE|html)': 'a web page; download the image itself',
    rb'....ftyp|....moov|....mdat|\x1aE\xdf\xa3|RIFF....AVI |\0\0\x01[\xba\xb3]|FLV\x01|OggS|0&\xb2u|G.{187}G':
        f'a clip; {CLIP_HINT}',
}
for _reader in ('PIL', 'tifffile'):  # These libraries log errors that they also raise.
    logging.getLogger(_reader).addHandler(logging.NullHandler())


@contextlib.contextmanager
def image_errors(path: str | Path) -> Iterator[None]:
    """Context manager that turns any error about the image at `path` into a `UserError`."""
    try:
        if not Path(path).is_file():
            raise UserError(f'{path}: {"is a folder, not an image" if Path(path).is_dir() else "no such image"}')
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # They concern metadata; damaged pixels raise an exception.
            yield
    except UserError:
        raise
    except Exception as error:  # Every format's reader raises its own types.
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f'{path}: cannot be read as an image ({reason})') from error


def open_image(path: str | Path):
    """Open an image with Pillow: return imageio's file object, a context manager.

    Raises:
        ValueError: The image has too many pixels.
        OSError: Pillow does not know the format.
    """
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = MAX_METADATA_BYTES
    try:
        file = iio.imopen(path, 'r', plugin='pillow')
    except struct.error as error:  # Pillow does not know BigTIFFs with the most significant byte first.
        raise OSError(str(error)) from error
    try:
        _check_size(file)
    except BaseException:
        file.close()
        raise
    return file


def decode(path: str | Path, convert_profiles: bool) -> np.ndarray:
    """Return the first frame of an image, upright, [H, W] or [H, W, channels].

    Args:
        path: The image.
        convert_profiles: Whether colors with an ICC profile are converted to sRGB.

    Returns:
        Integers, or floating-point numbers, which may be in any range; see `to_rgb`. The channels are gray, gray and
        alpha, RGB, or RGB and alpha. Images of more than 8 bits that are converted become float32 from 0 to 1.
    """
    tags = _tiff_tags(path)
    if tags:
        _refuse_raw(path, tags)
    deep = _read_deep_rgb(path, tags) if convert_profiles else None
    file = None if deep is not None else _open_with_pillow(path, tags)
    if file:
        with file:
            pixels, profile = _read_frame(file, 0, convert_profiles)
            # Pillow rotates a TIFF while reading, and reports it as upright afterwards.
            orientation = file.metadata(index=0, exclude_applied=False).get('Orientation', 1)
    else:
        pixels, orientation = _read_with_tifffile(path, tags) if deep is None else deep, tags.get(ORIENTATION, 1)
        profile = _usable(tags.get(ICC_PROFILE), is_gray=np.ndim(pixels) < 3 or pixels.shape[2] < 3)
    # Pillow itself inverts gray with 8 bits.
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO and not (file and pixels.dtype == np.uint8):
        pixels = _inverted(pixels)
    if convert_profiles and profile:
        pixels = _convert(pixels, profile)
    return _upright(pixels, orientation)


def _read_deep_rgb(path, tags):
    """Return the pixels of a TIFF that Pillow would reduce to 8 bits before its colors are converted, or None.

    Pillow also mixes the colors of such a TIFF if they are stored in separate planes. The result is None too if
    tifffile cannot read the TIFF without other packages; then 8 bits are enough.
    """
    is_deep = tags.get(PHOTOMETRIC) == RGB and np.max(tags.get(BITS_PER_SAMPLE, 8)) > 8
    if is_deep and (color_profiles.is_needed(tags.get(ICC_PROFILE), 3)
                    or tags.get(PLANAR_CONFIGURATION) == SEPARATE_PLANES):
        with contextlib.suppress(Exception):  # Every method of compression has its own.
            return _read_with_tifffile(path, tags)


def _open_with_pillow(path, tags):
    """Open an image with Pillow; return None for a TIFF that Pillow does not know, such as RGB as float32."""
    try:
        return open_image(path)
    except OSError as error:
        if tags:
            return None
        is_unknown = isinstance(error.__cause__, InitializationError)
        raise ValueError(_describe_unknown(path) if is_unknown else error.__cause__) from error


def _read_with_tifffile(path, tags):
    """Return the pixels of the first page of a TIFF: gray or RGB, with or without alpha."""
    if tags.get(PHOTOMETRIC) not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
        raise ValueError('its pixels are neither gray nor RGB, and not of a usual kind; save it as RGB')
    import tifffile  # Imported here, because only TIFFs need it.
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        if page.imagewidth * page.imagelength > MAX_PIXELS:
            raise ValueError(f'{page.imagewidth}×{page.imagelength} is more than {MAX_PIXELS} pixels')
        pixels = page.asarray()
        if page.planarconfig == SEPARATE_PLANES and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
    colors = 3 if tags[PHOTOMETRIC] == RGB else 1
    if pixels.ndim == 3 and pixels.shape[2] == colors + 1:
        kind, *_ = np.atleast_1d(tags.get(EXTRA_SAMPLES, (UNSPECIFIED_SAMPLE,)))
        if kind == UNSPECIFIED_SAMPLE:
            return pixels[..., :colors]
        if kind == PREMULTIPLIED_ALPHA:
            values = normalize(pixels)
            color = values[..., :colors] / np.maximum(values[..., colors:colors + 1], 1e-6)
            return np.concatenate([color.clip(0, 1), values[..., colors:colors + 1]], axis=2)
    return pixels


def decode_frame(file, index: int) -> np.ndarray:
    """Return a frame of an open animation, converted to sRGB, uint8 [H, W, 4] with alpha."""
    metadata = file.metadata(index=index)
    profile = _usable(metadata.get('icc_profile'), metadata['mode'] in GRAY_MODES)
    pixels = file.read(index=index, mode='RGBA')
    return _convert(pixels, profile) if profile else pixels


def _usable(profile, is_gray):
    """Return the profile of a gray or RGB image, or None if it belongs to another kind of image."""
    return profile if (profile or b'')[16:20] == (b'GRAY' if is_gray else b'RGB ') else None


def _read_frame(file, index, convert_profiles):
    """Return the pixels of a frame and the profile that they are still to be converted from.

    CMYK is converted here, because its mode is needed.
    """
    metadata = file.metadata(index=index)
    mode, profile = metadata['mode'], metadata.get('icc_profile')
    if mode[0] in 'IF':  # gray with more than 8 bits
        return file.read(index=index), _usable(profile, is_gray=True)
    if mode == 'CMYK' and convert_profiles and color_profiles.is_needed(profile, 4):
        return color_profiles.to_srgb(file.read(index=index), profile), None
    # Other modes are for example palettes, CMYK, or one color that stands for transparency.
    target = 'RGBA' if 'transparency' in metadata or mode[-1] in 'Aa' else 'RGB'
    pixels = file.read(index=index, mode=target)
    return pixels, None if mode == 'CMYK' else _usable(profile, mode in GRAY_MODES)


def _convert(pixels, profile):
    """Convert gray or RGB of any depth, with or without alpha, to sRGB: to uint8, or to float32 from 0 to 1."""
    values = np.atleast_3d(pixels)
    values = values if values.dtype == np.uint8 else normalize(values)
    color, alpha = (values[..., :-1], values[..., -1:]) if values.shape[2] in (2, 4) else (values, None)
    if profile[16:20] == b'GRAY':
        color = color[..., :1]  # Pillow has repeated it.
    converted = color_profiles.to_srgb(color, profile)
    if converted is color:  # The file keeps its own numbers, without rounding.
        return pixels
    return converted if alpha is None else np.concatenate([converted, alpha], axis=2)


def _upright(pixels, orientation):
    """Rotate and mirror pixels [H, W, ...] as an Exif orientation says.

    imageio's `read(rotate=True)` would mirror the channels if the mode changes.
    """
    if orientation in ROTATED_ORIENTATIONS:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def is_tiff(path: str | Path) -> bool:
    """Return whether a file begins like a TIFF."""
    with open(path, 'rb') as file:
        return file.read(4) in TIFF_HEADERS


def _tiff_tags(path):
    """Return the tags of the first page of a TIFF, number -> value; an empty dict for other files."""
    if not is_tiff(path):
        return {}
    import tifffile  # Imported here, because only TIFFs need it.
    with tifffile.TiffFile(path) as file:
        return {tag.code: tag.value for tag in file.pages[0].tags}


def _refuse_raw(path, tags):
    """Raise ValueError if a TIFF is a camera raw file, or if its first page is a reduced copy of the image."""
    with open(path, 'rb') as file:
        is_cr2 = file.read(10)[8:] == b'CR'
    if (is_cr2 or DNG_VERSION in tags or tags.get(PHOTOMETRIC) in (COLOR_FILTER_ARRAY, LINEAR_RAW)
            or Path(path).suffix.lower() in RAW_SUFFIXES):
        raise ValueError(f'it is camera raw; {RAW_HINT}')
    if tags.get(NEW_SUBFILE_TYPE, 0) & 1 or tags.get(SUBFILE_TYPE) == 2:
        raise ValueError(f'its first page is a reduced copy of the image, as in camera raw files; {RAW_HINT}')


def _describe_unknown(path):
    """Return what a file is that Pillow does not know, and what the user can do."""
    with open(path, 'rb') as file:
        head = file.read(1024)
    return next((f'it is {text}' for pattern, text in KNOWN_FILES.items()
                 if re.match(pattern, head, re.DOTALL | re.IGNORECASE)), 'unknown image format')


def _check_size(file):
    """Raise ValueError if an opened image has more than `MAX_PIXELS` pixels."""
    height, width = file.properties(index=0).shape[:2]
    if height * width > MAX_PIXELS:
        raise ValueError(f'{width}×{height} is more than {MAX_PIXELS} pixels')


def white_value(pixels: np.ndarray) -> float:
    """Return the value of white in an array, by its dtype and, for floating-point and signed numbers, its range.

    Raises:
        ValueError: A number is NaN.
    """
    if pixels.dtype.kind == 'b':
        return 1
    if pixels.dtype.kind == 'f':
        brightest = pixels.max()
        if np.isnan(brightest):
            raise ValueError('it has pixels that are not numbers (NaN)')
        return 1 if brightest <= 2 else 255
    # Signed integers are Pillow's mode I, which holds 16-bit images.
    return 65535 if pixels.dtype.kind == 'i' else np.iinfo(pixels.dtype).max


def normalize(pixels: np.ndarray) -> np.ndarray:
    """Convert an array to float32 from 0 (black) to 1 (white); values out of range are clipped."""
    return np.clip(np.float32(pixels) / np.float32(white_value(pixels)), 0, 1)


def _inverted(pixels):
    """Return the negative of gray, or gray and alpha, with its own type."""
    pixels = np.atleast_3d(pixels).astype(np.int64 if pixels.dtype.kind == 'i' else pixels.dtype)
    pixels[..., 0] = white_value(pixels) - pixels[..., 0]
    return pixels


def to_rgb(pixels: np.ndarray) -> np.ndarray:
    """Convert gray, gray + alpha, RGB or RGBA of any depth to float32 [H, W, 3], 0 to 255, over white.

    Raises:
        ValueError: The array has another shape, or NaN.
    """
    pixels = np.atleast_3d(pixels)
    channels = pixels.shape[2]
    if pixels.ndim > 3 or channels > 4:
        raise ValueError(f'its array of shape {pixels.shape} is neither gray nor RGB')
    white = white_value(pixels)
    pixels = pixels.astype(np.float32)
    pixels *= 255 / white
    pixels.clip(0, 255, out=pixels)
    if channels in (2, 4):
        alpha = pixels[:, :, -1:] / 255
        pixels = pixels[:, :, :-1] * alpha + 255 * (1 - alpha)
    return pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)
