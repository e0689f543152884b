"""Convert between frames of a clip and upright RGB pixels, with the color matrix, range and alpha of the frame.

The numbers of matrices, ranges, primaries and transfer functions are those of ITU-T H.273, as in FFmpeg.
"""

from typing import NamedTuple

import numpy as np

UNSPECIFIED = 2  # matrix, primaries or transfer function
RGB, BT709, FCC, BT470BG, SMPTE170M, SMPTE240M, BT2020_NCL, BT2020_CL = 0, 1, 4, 5, 6, 7, 9, 10  # matrices
SRGB_TRANSFER = 13
LIMITED, FULL = 1, 2  # ranges: black to white is 16 to 235, or 0 to 255
# Matrix -> number of its coefficients in libswscale. BT.2020 with constant luminance is taken for the usual kind.
SCALER_MATRICES = {BT709: 1, FCC: 4, BT470BG: 5, SMPTE170M: 5, SMPTE240M: 7, BT2020_NCL: 9, BT2020_CL: 9}
MIN_HD_HEIGHT = 720  # Untagged clips of this height use BT.709, smaller ones BT.601. Players do the same.
PAL_HEIGHTS = 288, 576  # Untagged clips of these heights have the primaries of 625-line systems.
# Flags of libswscale: bilinear, exact rounding, and chroma at full horizontal resolution on the RGB side.
TO_RGB_FLAGS, FROM_RGB_FLAGS = 0x2 | 0x40000 | 0x2000, 0x2 | 0x40000 | 0x4000
WHITE = 255


class Colors(NamedTuple):
    """How the pixels of a clip encode colors."""

    matrix: int  # between RGB and YUV
    range: int  # LIMITED or FULL
    primaries: int
    transfer: int


def source_colors(frame, codec_context, height: int) -> Colors:
    """Return the colors in which a clip is read: those of its tags, or what players assume where tags are missing.

    Args:
        frame: A decoded frame (`av.VideoFrame`).
        codec_context: The decoder.
        height: Height of the upright frame.
    """
    matrix, primaries, transfer = frame.colorspace, codec_context.color_primaries, codec_context.color_trc
    is_hd = height >= MIN_HD_HEIGHT
    default = BT709 if is_hd else BT470BG if height in PAL_HEIGHTS else SMPTE170M
    if _is_rgb(frame):
        matrix = default
        primaries, transfer = (BT709 if primaries == UNSPECIFIED else primaries,
                               SRGB_TRANSFER if transfer == UNSPECIFIED else transfer)
        return Colors(matrix, LIMITED, primaries, transfer)
    if (matrix, primaries, transfer) == (UNSPECIFIED,) * 3:
        primaries, transfer = default, BT709 if is_hd else SMPTE170M
    if matrix not in SCALER_MATRICES:
        matrix = BT2020_NCL if primaries == BT2020_NCL else default
    return Colors(BT2020_NCL if matrix == BT2020_CL else matrix, _range(frame), primaries, transfer)


def to_rgb(frame, matrix: int) -> np.ndarray:
    """Return the upright pixels of a frame, uint8 [H, W, 3]; transparent areas are blended with white.

    Args:
        frame: A decoded frame (`av.VideoFrame`) of any pixel format.
        matrix: Matrix of frames that are not tagged with one.
    """
    has_alpha = frame.format.has_palette or any(component.is_alpha for component in frame.format.components)
    pixels = frame.reformat(
        format='rgba' if has_alpha else 'rgb24',
        src_colorspace=SCALER_MATRICES.get(frame.colorspace, SCALER_MATRICES[matrix]),
        src_color_range=_range(frame), dst_color_range=FULL, interpolation=TO_RGB_FLAGS,
    ).to_ndarray()
    if has_alpha:
        alpha = pixels[..., 3:] / np.float32(WHITE)
        pixels = np.uint8(np.rint(pixels[..., :3] * alpha + WHITE * (1 - alpha)))
    if frame.format.name.startswith('gray') and frame.color_range == LIMITED:  # libswscale takes gray for full range.
        pixels = np.uint8(np.rint(np.clip((np.float32(pixels) - 16) * WHITE / 219, 0, WHITE)))
    return turn_upright(pixels, display_matrix(frame))


def from_rgb(picture: np.ndarray, pixel_format: str, colors: Colors):
    """Return the `av.VideoFrame` of an image, uint8 [H, W, 3]."""
    import av
    return av.VideoFrame.from_ndarray(picture, format='rgb24').reformat(
        format=pixel_format, src_color_range=FULL, dst_colorspace=SCALER_MATRICES[colors.matrix],
        dst_color_range=colors.range, interpolation=FROM_RGB_FLAGS)


def display_matrix(frame) -> np.ndarray:
    """Return the directions of a frame's columns and rows on the screen, int [2, 2]; the identity if it has none.

    A pixel at (x, y) is shown at (x, y) @ matrix, apart from an offset and a scale.
    """
    try:
        data = frame.side_data['DISPLAYMATRIX']
    except KeyError:
        return np.eye(2, dtype=int)
    matrix = np.frombuffer(bytes(data), np.int32)[[0, 1, 3, 4]].reshape(2, 2).astype(int)
    return matrix if matrix.any() else np.eye(2, dtype=int)


def is_transposed(matrix: np.ndarray) -> bool:
    """Return whether rows become columns on the screen."""
    return abs(matrix[0, 1]) > abs(matrix[0, 0])


def turn_upright(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Turn and mirror pixels [H, W, 3] as a display matrix says, to the nearest of the eight orientations."""
    (xx, xy), (yx, yy) = matrix
    if is_transposed(matrix):
        pixels, xx, yy = pixels.swapaxes(0, 1), yx, xy
    return pixels[::-1 if yy < 0 else 1, ::-1 if xx < 0 else 1]


def letterbox(picture: np.ndarray, height: int, width: int, aspect: float = 1) -> np.ndarray:
    """Scale an image so that it fits into a size, and center it on black.

    Args:
        picture: uint8 [H, W, 3].
        height: Height of the result.
        width: Width of the result.
        aspect: Width of a pixel of `picture` in pixels of the result, if both have the same height.

    Returns:
        uint8 [height, width, 3].
    """
    import av
    H, W = picture.shape[:2]
    scale = min(height / H, width / (W * aspect))
    h, w = (max(1, min(round(length), limit))
            for length, limit in ((H * scale, height), (W * aspect * scale, width)))
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format='rgb24')
    scaled = frame.reformat(width=w, height=h, interpolation='AREA' if scale < 1 else 'BICUBIC').to_ndarray()
    result = np.zeros((height, width, 3), np.uint8)
    top, left = (height - h) // 2, (width - w) // 2
    result[top:top + h, left:left + w] = scaled
    return result


def _is_rgb(frame):
    """Return whether the pixels of a frame are RGB or a palette of RGB."""
    return frame.format.is_rgb or frame.format.has_palette or frame.colorspace == RGB


def _range(frame):
    """Return the range of a frame's pixels."""
    is_full = frame.color_range == FULL or frame.format.name.startswith('yuvj') or frame.format.is_rgb
    return FULL if is_full else LIMITED
