"""Convert the colors of images with an ICC profile to sRGB, and mark the files that are written as sRGB.

The conversion is relative colorimetric with black point compensation. Images of 8 bits are converted by Little CMS,
which Pillow's ImageCms contains. Pillow has no RGB images with more bits, so those are converted here: by the profile's
own curves and matrix, or if it has tables instead, by interpolation between the colors of a grid, which Little CMS has
converted. The formats are those of the specification ICC.1:2022.
"""

import functools
import io
import itertools
import struct

import numpy as np
from PIL import Image, ImageCms

# Values of a setting of runs. Runs from before it existed count the numbers of every image as sRGB.
CONVERTED, IGNORED = 'converted', 'ignored'
COLOR_SPACES = {b'GRAY': ('L', 1), b'RGB ': ('RGB', 3), b'CMYK': ('CMYK', 4)}  # signature -> Pillow's mode, channels
MAX_SRGB_DIFFERENCE = 1  # of 255; a profile that moves no color further counts as sRGB
GRID_NODES = 33  # per channel
BLOCK_PIXELS = 1 << 20  # pixels that are converted at a time, to limit the memory
JPEG_SEGMENT_HEADER = b'ICC_PROFILE\0\1\1'  # of the only segment of a profile


def _srgb_profile():
    """Return the bytes of an sRGB profile; its creation date is 0, so that equal pictures are equal files."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes())
    profile[24:36] = bytes(12)
    return bytes(profile)


SRGB = _srgb_profile()


def to_srgb(pixels: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Convert an image without transparency to sRGB.

    Args:
        pixels: [H, W, 1] gray, [H, W, 3] RGB or [H, W, 4] CMYK; uint8, or float32 from 0 to 1 if not CMYK.
        profile: The ICC profile of the image, or None.

    Returns:
        [H, W, 3] of the same type. `pixels` itself if there is no profile, if it is sRGB's, or if it is damaged or
        belongs to another kind of image, because viewers ignore such a profile too.
    """
    if not is_needed(profile, pixels.shape[2]):
        return pixels
    mode, _ = COLOR_SPACES[profile[16:20]]
    try:
        convert = _convert_uint8 if pixels.dtype == np.uint8 else _convert_float
        rows = max(1, BLOCK_PIXELS // pixels.shape[1])
        blocks = (pixels[i:i + rows] for i in range(0, len(pixels), rows))
        return np.concatenate([convert(block, profile, mode) for block in blocks])
    except (ImageCms.PyCMSError, OSError, ValueError, LookupError, struct.error, np.linalg.LinAlgError):
        return pixels


def is_needed(profile: bytes | None, channels: int) -> bool:
    """Return whether an image has to be converted to sRGB.

    Args:
        profile: Its ICC profile, or None.
        channels: Its number of channels, without alpha: 1 for gray, 3 for RGB, 4 for CMYK.
    """
    mode, expected = COLOR_SPACES.get((profile or b'')[16:20], (None, None))
    if channels != expected:
        return False
    try:
        return bool(_transform(profile, mode)) and (mode == 'CMYK' or not _is_srgb(profile, mode))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return False


def tag_jpeg(jpeg: bytes) -> bytes:
    """Return the bytes of a JPEG file without a profile with the sRGB profile inserted."""
    place = 2  # after the start marker and, if there is one, the JFIF segment, which has to be the first
    if jpeg[2:4] == b'\xff\xe0':
        place += 2 + struct.unpack('>H', jpeg[4:6])[0]
    content = JPEG_SEGMENT_HEADER + SRGB
    return jpeg[:place] + b'\xff\xe2' + struct.pack('>H', len(content) + 2) + content + jpeg[place:]


@functools.lru_cache(8)
def _is_srgb(profile, mode):
    """Return whether a gray or RGB profile is sRGB's, up to rounding: many programs have their own version of it."""
    channels = COLOR_SPACES[profile[16:20]][1]
    levels = np.uint8(np.linspace(0, 255, 18))
    colors = np.stack(np.meshgrid(*[levels] * channels), axis=-1).reshape(-1, 1, channels)
    difference = np.int16(_convert_uint8(colors, profile, mode)) - colors
    return np.abs(difference).max() <= MAX_SRGB_DIFFERENCE


@functools.lru_cache(8)
def _transform(profile, mode):
    """Return Pillow's transform from a profile to sRGB, for images of a mode."""
    source, target = (ImageCms.ImageCmsProfile(io.BytesIO(content)) for content in (profile, SRGB))
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    if mode == 'L':  # For gray, the optimized transform is wrong by up to 10 of 255 where it is dark.
        flags |= ImageCms.Flags.NOOPTIMIZE
    return ImageCms.buildTransform(source, target, mode, 'RGB', ImageCms.Intent.RELATIVE_COLORIMETRIC, flags)


def _convert_uint8(pixels, profile, mode):
    """Convert uint8 [H, W, channels] to uint8 [H, W, 3]."""
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if mode == 'L' else pixels), mode)
    return np.asarray(ImageCms.applyTransform(image, _transform(profile, mode)))


def _convert_float(pixels, profile, mode):
    """Convert float32 [H, W, channels], 0 to 1, to float32 [H, W, 3], 0 to 1."""
    tags = _tags(profile)
    if tags.keys() & {b'A2B0', b'A2B1', b'D2B1'}:
        return _interpolate(pixels, *_grid(profile, mode))
    if mode == 'L':
        linear = _curve(tags[b'kTRC'])(pixels)
        if profile[20:24] == b'Lab ':  # Then the curve gives L*/100 instead of the luminance (CIE 15).
            linear = np.where(linear > 0.08, ((linear + 0.16) / 1.16) ** 3, linear * 2700 / 24389)
        return np.repeat(_encode_srgb(linear), 3, axis=2)
    curves = [_curve(tags[name]) for name in (b'rTRC', b'gTRC', b'bTRC')]
    linear = np.stack([curve(pixels[..., i]) for i, curve in enumerate(curves)], axis=2)
    matrix = np.linalg.inv(_colorants(_tags(SRGB))) @ _colorants(tags)
    return _encode_srgb(linear @ np.float32(matrix).T)


def _encode_srgb(linear):
    """Apply sRGB's transfer function (IEC 61966-2-1) to linear values, which are clipped to 0 to 1; float32."""
    linear = np.clip(linear, 0, 1)
    return np.float32(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))


def _tags(profile):
    """Return the tags of a profile, signature -> content."""
    count, = struct.unpack_from('>I', profile, 128)
    entries = [struct.unpack_from('>4sII', profile, 132 + 12 * i) for i in range(min(count, 100))]
    return {name: profile[start:start + size] for name, start, size in entries}


def _colorants(tags):
    """Return the matrix [3, 3] from linear RGB to XYZ (types XYZ, section 10.31)."""
    return np.array([struct.unpack_from('>3i', tags[name + b'XYZ'], 8) for name in (b'r', b'g', b'b')]).T / 65536


def _curve(tag):
    """Return the function from device values, 0 to 1, to linear values (types curv and para, sections 10.6, 10.18)."""
    if tag[:4] == b'para':
        return _parametric_curve(tag)
    if tag[:4] != b'curv':
        raise ValueError('unknown type of curve')
    count, = struct.unpack_from('>I', tag, 8)
    entries = np.frombuffer(tag, '>u2', count, 12)
    if count < 2:
        gamma = entries[0] / 256 if count else 1
        return lambda x: x ** np.float32(gamma)
    table, places = np.float32(entries / 65535), np.linspace(0, 1, count, dtype=np.float32)
    return lambda x: np.float32(np.interp(x, places, table))


def _parametric_curve(tag):
    """Return the function of a tag of type para."""
    kind, = struct.unpack_from('>H', tag, 8)
    count = (1, 3, 4, 5, 7)[kind]
    g, a, b, c, d, e, f = np.float32([*np.array(struct.unpack_from(f'>{count}i', tag, 12)) / 65536, *[0] * (7 - count)])
    if kind == 0:
        return lambda x: x ** g
    if kind < 3:  # Below −b/a the curve is constant; the power of 0 that is left there is 0.
        return lambda x: np.maximum(a * x + b, 0) ** g + c
    return lambda x: np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)


@functools.lru_cache(2)
def _grid(profile, mode):
    """Return the sRGB colors of a grid of device colors, float32 [GRID_NODES, ..., 3], 0 to 1.

    Returns a tuple, so that its contents are arguments of `_interpolate`.
    """
    channels = COLOR_SPACES[profile[16:20]][1]
    levels = np.uint8(np.rint(np.linspace(0, 255, GRID_NODES)))
    nodes = np.stack(np.meshgrid(*[levels] * channels, indexing='ij'), axis=-1)
    colors = _convert_uint8(nodes.reshape(-1, 1, channels), profile, mode)
    return np.float32(colors.reshape(*[GRID_NODES] * channels, 3) / 255), levels / np.float32(255)


def _interpolate(pixels, colors, levels):
    """Interpolate linearly between the colors of a grid.

    Args:
        pixels: float32 [H, W, channels], 0 to 1.
        colors: float32 [nodes, ..., 3], with one axis of nodes for each channel.
        levels: The positions of the nodes, [nodes].

    Returns:
        float32 [H, W, 3].
    """
    position = np.interp(pixels, levels, np.arange(len(levels)))
    lower = np.minimum(position.astype(int), len(levels) - 2)
    share = np.float32(position - lower)
    result = np.zeros((*pixels.shape[:2], 3), np.float32)
    for corner in itertools.product((0, 1), repeat=pixels.shape[2]):
        weight = np.prod(np.where(corner, share, 1 - share), axis=2, keepdims=True)
        result += weight * colors[tuple(np.moveaxis(lower + corner, 2, 0))]
    return result
