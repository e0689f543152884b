"""Read, resize and save images and animations, and generate noise images."""

import contextlib
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from imageio.core.request import InitializationError

from common import files
from common.errors import UserError

MAX_PIXELS = 90_000_000  # of an image that is read; as float32 RGB, this is a gigabyte
ROTATED_ORIENTATIONS = 5, 6, 7, 8  # Exif orientations that swap width and height
MIN_SIDE_PX = 16  # VGG-19 halves the sides of its input four times
SIDE_RANGE_PX = MIN_SIDE_PX, 4096  # of a stylized image
IMAGE_SUFFIXES = ('.bmp', '.gif', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')
JPEG_QUALITY = 95
PNG_COMPRESSION = 1  # zlib level, 0 to 9; zlib's default takes twice the time for files that are 1 to 4 % smaller
MIN_OVERSAMPLING = 5  # input pixels per output pixel that box downsampling must leave to the Gaussian
for _reader in ('PIL', 'tifffile'):  # These libraries log errors that they also raise.
    logging.getLogger(_reader).addHandler(logging.NullHandler())


# ---------------------------------------------------------------------------------------------------------------- files

def find_images(folder: str | Path, excluded: str | Path) -> list[Path]:
    """Return the sorted paths of all images below a folder, recognized by their suffixes (`IMAGE_SUFFIXES`).

    Args:
        folder: The folder to search.
        excluded: A folder whose images are left out if it lies inside `folder`.

    Raises:
        UserError: There are no images.
    """
    excluded = Path(excluded).resolve()
    inside = Path(folder).resolve() in excluded.parents
    images = [
        path
        for path in sorted(Path(folder).rglob('*'))
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not (inside and excluded in path.resolve().parents)
    ]
    if not images:
        raise UserError(f'{folder}: no images in this folder; image files end in {", ".join(IMAGE_SUFFIXES)}')
    return images


# --------------------------------------------------------------------------------------------------------------- images

def read_image(path: str | Path) -> np.ndarray:
    """Read an image, or the first frame of an animation, as float32 RGB [H, W, 3], 0 to 255.

    The image is rotated as its Exif data says, and transparent areas are blended with white. 16-bit values range from
    0 to 65535. Floating-point values range from 0 to 1, or from 0 to 255 if any is above 2; an image from 0 to 1 stays
    below 2 even if resampling overshoots. Values out of range are clipped.

    Args:
        path: An image in any format that imageio reads.

    Raises:
        UserError: The file is missing, empty, a folder, damaged, truncated, larger than `MAX_PIXELS`, or not an image.
    """
    with _image_errors(path):
        return _to_rgb(_decode(path))


def image_size(path: str | Path) -> tuple[int, int]:
    """Return the (width, height) that `read_image` would return, from the file's header where possible.

    Raises:
        UserError: As for `read_image`.
    """
    with _image_errors(path):
        try:
            file = iio.imopen(path, 'r', plugin='pillow')
        except OSError:
            return read_image(path).shape[1::-1]
        with file:
            _check_size(file)
            size = file.properties(index=0).shape[1::-1]
            is_rotated = file.metadata(index=0, exclude_applied=False).get('Orientation', 1) in ROTATED_ORIENTATIONS
        # Pillow already reports the size of a TIFF as it will be after the rotation.
        return size[::-1] if is_rotated and not _is_tiff(path) else size


def color_profile(path: str | Path) -> bytes | None:
    """Return the ICC profile of an RGB image that `read_image` can read, or None if it has no profile."""
    try:
        with iio.imopen(path, 'r', plugin='pillow') as file:
            metadata = file.metadata(index=0)
            return metadata.get('icc_profile') if metadata['mode'].startswith('RGB') else None
    except OSError:
        return None


def read_alpha(path: str | Path) -> np.ndarray | None:
    """Return the opacity of an image, float32 [H, W], 0 to 1, or None if the image has no alpha channel.

    Raises:
        UserError: As for `read_image`.
    """
    with _image_errors(path):
        pixels = np.atleast_3d(_decode(path))
        return None if pixels.shape[2] in (1, 3) else np.float32(pixels[..., -1] / np.iinfo(pixels.dtype).max)


def read_animation(path: str | Path) -> tuple['Frames', dict] | None:
    """Read an animated GIF.

    Returns:
        (frames, playback), with playback = {'duration': list of milliseconds, one per frame, 'loop': number of
        repetitions}, where 'loop' is absent if the file does not set it. None if the file is not a GIF or has only one
        frame.

    Raises:
        UserError: As for `read_image`.
    """
    with _image_errors(path):
        with open(path, 'rb') as file:
            if file.read(4) != b'GIF8':
                return None
        with iio.imopen(path, 'r', plugin='pillow') as file:
            _check_size(file)
            length = file.properties(index=...).shape[0]
            if length < 2:
                return None
            metadata = [file.metadata(index=i) for i in range(length)]
        playback = {'duration': [frame.get('duration', 0) for frame in metadata]}
        return Frames(path, length), playback | ({'loop': metadata[0]['loop']} if 'loop' in metadata[0] else {})


class Frames:
    """Iterable over the frames of an animation, uint8 [H, W, 3]; each iteration reads them from the file one by one."""

    def __init__(self, path: str | Path, length: int):
        """Create the iterable for the animation at `path`, which has `length` frames."""
        self.path, self.length = path, length

    def __len__(self):
        return self.length

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the frames; raise `UserError` if one cannot be read."""
        with _image_errors(self.path), iio.imopen(self.path, 'r', plugin='pillow') as file:
            for i in range(self.length):
                yield to_uint8(_to_rgb(file.read(index=i, mode='RGBA')))


@contextlib.contextmanager
def _image_errors(path):
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


def _decode(path):
    """Return the first frame, upright, as integers or floating-point numbers [H, W] or [H, W, channels]."""
    try:
        file = iio.imopen(path, 'r', plugin='pillow')
    except OSError as error:
        if not _is_tiff(path):
            is_unknown = isinstance(error.__cause__, InitializationError)
            raise ValueError('unknown image format' if is_unknown else error.__cause__) from error
        with iio.imopen(path, 'r', plugin='tifffile') as file:  # for example RGB as float32
            _check_size(file)
            return file.read(index=0)
    with file:
        _check_size(file)
        metadata = file.metadata(index=0)
        mode, has_transparency = metadata['mode'], 'transparency' in metadata
        if mode[0] in 'IF':  # gray with more than 8 bits
            target = None
        else:  # for example palettes, CMYK, or one color that stands for transparency
            target = 'RGBA' if has_transparency or mode[-1] in 'Aa' else 'RGB'
        pixels = file.read(index=0, mode=target)
        # `read(rotate=True)` would mirror the channels if the mode changes. Pillow rotates a TIFF while reading, and
        # reports it as upright afterwards.
        orientation = file.metadata(index=0, exclude_applied=False).get('Orientation', 1)
    if orientation in ROTATED_ORIENTATIONS:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _is_tiff(path):
    """Return whether a file begins like a TIFF."""
    with open(path, 'rb') as file:
        return file.read(4) in (b'II*\0', b'MM\0*')


def _check_size(file):
    """Raise ValueError if an opened image has more than `MAX_PIXELS` pixels."""
    height, width = file.properties(index=0).shape[:2]
    if height * width > MAX_PIXELS:
        raise ValueError(f'{width}×{height} is more than {MAX_PIXELS} pixels')


def _to_rgb(pixels):
    """Convert gray, gray + alpha, RGB or RGBA of any depth to float32 [H, W, 3], 0 to 255, over white."""
    pixels = np.atleast_3d(pixels)
    channels = pixels.shape[2]
    if pixels.ndim > 3 or channels > 4:
        raise ValueError(f'its array of shape {pixels.shape} is neither gray nor RGB')
    if pixels.dtype.kind == 'f':
        brightest = pixels.max()
        if np.isnan(brightest):
            raise ValueError('it has pixels that are not numbers (NaN)')
        white = 1 if brightest <= 2 else 255
    else:  # Signed integers are Pillow's mode I, which holds 16-bit images.
        white = 65535 if pixels.dtype.kind == 'i' else np.iinfo(pixels.dtype).max
    pixels = pixels.astype(np.float32)
    pixels *= 255 / white
    pixels.clip(0, 255, out=pixels)
    if channels in (2, 4):
        alpha = pixels[:, :, -1:] / 255
        pixels = pixels[:, :, :-1] * alpha + 255 * (1 - alpha)
    return pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)


def get_resized_image(path: str | Path, width: int, height: int) -> np.ndarray:
    """Read an image, and crop and resize it to float32 RGB [1, height, width, 3], 0 to 255.

    The largest centered part with the aspect ratio width : height is resized with antialiasing, as CS20's ImageOps.fit
    did.
    """
    return resize_and_crop(read_image(path), width, height)[None]


def get_style_image(path: str | Path, width: int, height: int, crop: bool = True, scale: float = 1.) -> np.ndarray:
    """Read the style image for a stylized image of width × height as float32 RGB [1, H, W, 3], 0 to 255.

    Args:
        path: The style image.
        width: Width of the stylized image, in pixels.
        height: Height of the stylized image, in pixels.
        crop: Whether to crop and resize the style image to width × height. Otherwise it keeps its aspect ratio and is
            resized to as many pixels as the stylized image has, and then by `scale`.
        scale: Factor on both sides, if the style image is not cropped.
    """
    image = read_image(path)
    if crop:
        return resize_and_crop(image, width, height)[None]
    H, W = image.shape[:2]
    scale *= (width * height / (W * H)) ** 0.5
    return resize_and_crop(image, *(max(MIN_SIDE_PX, round(scale * side)) for side in (W, H)))[None]


def resize_and_crop(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize the largest centered part with the aspect ratio width : height to float32 [height, width, C].

    A Gaussian filter prevents aliasing, then the image is interpolated linearly. The part is cut at fractions of a
    pixel, so that the centers of both images coincide. Values stay within their range, and constant images stay
    constant.

    Args:
        image: [H, W, C], for example an RGB image.
        width: New width, in pixels.
        height: New height, in pixels.
    """
    import skimage.filters  # Imported here, because stylizing with a trained network does not need scikit-image.
    import skimage.transform
    H, W = image.shape[:2]
    scale = min(H / height, W / width)  # input pixels per output pixel
    # The center of pixel x lies at x + .5, so output pixel x is sampled at (x + .5 − width / 2) · scale + W / 2 − .5.
    corner = [(side - scale * new + scale - 1) / 2 for side, new in ((W, width), (H, height))]
    blur = max(0, (scale - 1) / 2)
    factor = int(scale // MIN_OVERSAMPLING)
    # Downsample by a whole factor first, which is fast. The Gaussian's variance is reduced by that of the box filter.
    if factor > 1:
        image = box_downsample(image, factor)
        blur = (blur ** 2 - (factor ** 2 - 1) / 12) ** 0.5 / factor
        corner = [(start - side % factor // 2 + 0.5) / factor - 0.5 for start, side in zip(corner, (W, H))]
        scale /= factor
    smooth = skimage.filters.gaussian(image, blur, mode='nearest', preserve_range=True, channel_axis=-1)
    to_input = skimage.transform.AffineTransform(scale=scale, translation=corner)
    return skimage.transform.warp(smooth, to_input, output_shape=(height, width), order=1, mode='edge',
                                  preserve_range=True).astype(np.float32)


def box_downsample(image: np.ndarray, factor: int) -> np.ndarray:
    """Average blocks of factor × factor pixels: [H, W, C] -> float32 [H // factor, W // factor, C].

    The blocks are centered: the pixels left over are divided equally between opposite edges, up to one pixel.
    """
    H, W = (side - side % factor for side in image.shape[:2])
    top, left = (side % factor // 2 for side in image.shape[:2])
    blocks = image[top:top + H, left:left + W]
    # Adding whole rows and then columns is twice as fast as a mean over two additional axes. Sums of float32 are exact
    # in float64, so a constant image stays constant.
    rows = sum(blocks[i::factor].astype(np.float64) for i in range(factor))
    return (sum(rows[:, i::factor] for i in range(factor)) / factor ** 2).astype(np.float32)


def output_size(
    content: str | Path, longer_side: int, width: int | None = None, height: int | None = None
) -> tuple[int, int]:
    """Return the (width, height) of a stylized image that keeps the aspect ratio of the content image.

    Args:
        content: Path of the content image.
        longer_side: The longer side in pixels, if neither width nor height is given.
        width: The width in pixels, or None to derive it.
        height: The height in pixels, or None to derive it.

    Returns:
        Two sides within `SIDE_RANGE_PX`.
    """
    W, H = image_size(content)
    scale = width / W if width else height / H if height else longer_side / max(W, H)
    return tuple(min(max(fixed_side or round(scale * side), SIDE_RANGE_PX[0]), SIDE_RANGE_PX[1])
                 for fixed_side, side in ((width, W), (height, H)))


def generate_noise_image(
    content_image: np.ndarray, noise_ratio: float, amplitude: float, rng: np.random.Generator
) -> np.ndarray:
    """Blend noise and content: noise_ratio · uniform(−amplitude, amplitude) + (1 − noise_ratio) · content_image.

    The result is float32 and has the shape and the centering of `content_image`.
    """
    noise = rng.uniform(-amplitude, amplitude, content_image.shape).astype(np.float32)
    return noise_ratio * noise + (1 - noise_ratio) * content_image


def starting_image(centered_content: np.ndarray, recipe, rng: np.random.Generator) -> np.ndarray:
    """Return the image that training starts from as a recipe says, float32 [1, H, W, 3], mean-centered."""
    if recipe.init == 'content':
        return centered_content
    if recipe.init == 'normal':
        return rng.normal(0, recipe.noise_amplitude, centered_content.shape).astype(np.float32)
    return generate_noise_image(centered_content, recipe.noise_ratio, recipe.noise_amplitude, rng)


def scale_to_height(image: np.ndarray, height: int) -> np.ndarray:
    """Resize an image [H, W, 3] to a height, keeping its aspect ratio to the pixel."""
    return resize_and_crop(image, round(image.shape[1] * height / image.shape[0]), height)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Round an image [..., H, W, 3] to uint8; values outside of 0 to 255 are clipped."""
    rounded = np.rint(image)
    return rounded.clip(0, 255, out=rounded).astype(np.uint8)


def encode_image(pixels: np.ndarray | Sequence[np.ndarray], extension: str, **settings) -> bytes:
    """Encode an image or an animation in memory, because Pillow silently truncates JPEGs on a full disk.

    Args:
        pixels: An image, uint8 [H, W, 3], or the frames of an animation as a list of images.
        extension: The format, for example '.png'.
        **settings: Options of Pillow's writer.

    Returns:
        The bytes of the file.
    """
    return iio.imwrite('<bytes>', pixels, extension=extension, **settings)


def save_image(path: str | Path, image: np.ndarray, profile: bytes | None = None) -> None:
    """Write an image atomically.

    Args:
        path: The file; its suffix names the format, which is PNG without a suffix.
        image: [H, W, 3] or [1, H, W, 3], 0 to 255.
        profile: An ICC profile, as returned by `color_profile`.
    """
    extension = Path(path).suffix.lower() or '.png'
    settings = {'icc_profile': profile} if profile else {}
    if extension == '.png':
        settings['compress_level'] = PNG_COMPRESSION
    elif extension in ('.jpg', '.jpeg'):
        settings['quality'] = JPEG_QUALITY
    with files.atomic_write(path) as part:
        part.write_bytes(encode_image(to_uint8(image), extension, **settings))


def as_file(image: np.ndarray | str | Path | None, folder: str | Path) -> Path | None:
    """Return an image as a path; an array [H, W, 3], 0 to 255, is first written to a new PNG file in `folder`."""
    if not isinstance(image, np.ndarray):
        return image and Path(image)
    handle, path = tempfile.mkstemp('.png', dir=folder)
    os.close(handle)
    save_image(path, image)
    return Path(path)


def save_animation(path: str | Path, frames: Sequence[np.ndarray], playback: dict) -> None:
    """Write frames, each uint8 [H, W, 3], as an animated GIF with the playback settings of `read_animation`."""
    with files.atomic_write(path) as part:
        part.write_bytes(encode_image(frames, '.gif', **playback))
