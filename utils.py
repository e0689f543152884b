"""Read, resize and save images and animations, and generate noise images."""

import contextlib
import math
import os
import struct
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image, ImageOps

from common import color_profiles, decoding, files
from common.decoding import image_errors
from common.errors import UserError

MIN_SIDE_PX = 16  # VGG-19 halves the sides of its input four times
SIDE_RANGE_PX = MIN_SIDE_PX, 4096  # of a stylized image
IMAGE_SUFFIXES = ('.apng', '.avif', '.bmp', '.gif', '.jfif', '.jpe', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif',
                  '.tiff', '.webp')
ANIMATED_SUFFIXES = '.apng', '.gif', '.png', '.webp'  # of the files that `save_animation` writes
# Pillow's names of the formats that `read_animation` reads -> the suffix of what is made of them
ANIMATED_FORMATS = {'AVIF': '.png', 'GIF': '.gif', 'PNG': '.png', 'WEBP': '.webp'}
LOSSY_SUFFIXES = '.jfif', '.jpe', '.jpeg', '.jpg', '.webp'
JPEG_QUALITY = 95  # of JPEG and WebP
MAX_FORMAT_SIDES_PX = {'.webp': 16383, '.gif': 65535, **dict.fromkeys(('.jfif', '.jpe', '.jpeg', '.jpg'), 65500)}
PNG_COMPRESSION = 1  # zlib level, 0 to 9; zlib's default takes twice the time for files that are 1 to 4 % smaller
MAX_ROW_ASPECT = 3  # width by height of an image in a row; a wider one would need too much memory
MIN_OVERSAMPLING = 5  # input pixels per output pixel that box downsampling must leave to the Gaussian


# ---------------------------------------------------------------------------------------------------------------- files

def find_images(folder: str | Path, excluded: str | Path) -> list[Path]:
    """Return the sorted paths of all images below a folder, recognized by their suffixes (`IMAGE_SUFFIXES`).

    Hidden files are left out, see `files.visible_files`.

    Args:
        folder: The folder to search.
        excluded: A folder whose images are left out if it lies inside `folder`.

    Raises:
        UserError: There are no images.
    """
    excluded = Path(excluded).resolve()
    inside = Path(folder).resolve() in excluded.parents
    images = [path for path in files.visible_files(folder) if path.suffix.lower() in IMAGE_SUFFIXES
              and not (inside and excluded in path.resolve().parents)]
    if not images:
        raise UserError(f'{folder}: no images in this folder; image files end in {", ".join(IMAGE_SUFFIXES)}')
    return images


# --------------------------------------------------------------------------------------------------------------- images

def read_image(path: str | Path, convert_profiles: bool = True) -> np.ndarray:
    """Read an image, or the first frame of an animation, as float32 RGB [H, W, 3], 0 to 255.

    The image is rotated as its Exif data says, its colors are converted to sRGB, and transparent areas are blended with
    white. 16-bit values range from 0 to 65535. Floating-point values range from 0 to 1, or from 0 to 255 if any is
    above 2; an image from 0 to 1 stays below 2 even if resampling overshoots. Values out of range are clipped.

    Args:
        path: An image in any format that imageio reads.
        convert_profiles: Whether the ICC profile of the image is used; otherwise its numbers count as sRGB.

    Raises:
        UserError: The file is missing, empty, a folder, damaged, truncated, larger than `decoding.MAX_PIXELS`, or not
            an image.
    """
    with image_errors(path):
        return decoding.to_rgb(decoding.decode(path, convert_profiles))


def image_size(path: str | Path) -> tuple[int, int]:
    """Return the (width, height) that `read_image` would return, from the file's header where possible.

    Raises:
        UserError: As for `read_image`.
    """
    with image_errors(path):
        try:
            file = decoding.open_image(path)
        except OSError:
            return read_image(path).shape[1::-1]
        with file:
            size = file.properties(index=0).shape[1::-1]
            orientation = file.metadata(index=0, exclude_applied=False).get('Orientation', 1)
        # Pillow already reports the size of a TIFF as it will be after the rotation.
        is_swapped = orientation in decoding.ROTATED_ORIENTATIONS and not decoding.is_tiff(path)
        return size[::-1] if is_swapped else size


def read_alpha(path: str | Path) -> np.ndarray | None:
    """Return the opacity of an image, float32 [H, W], 0 to 1, or None if the image has no alpha channel.

    Raises:
        UserError: As for `read_image`.
    """
    with image_errors(path):
        pixels = np.atleast_3d(decoding.decode(path, convert_profiles=False))
        return None if pixels.shape[2] in (1, 3) else decoding.normalize(pixels)[..., -1]


def read_animation(path: str | Path) -> tuple['Frames', dict] | None:
    """Read an animated GIF, PNG, WebP or AVIF.

    Returns:
        (frames, playback), with playback = {'duration': list of milliseconds, one per frame, 'loop': number of
        repetitions}, where 'loop' is absent if the file does not set it. None if the file is not of these formats or
        has only one frame.

    Raises:
        UserError: As for `read_image`.
    """
    with image_errors(path):
        try:
            decoding.open_image(path).close()
            image = Image.open(path)
        except OSError:  # Only tifffile knows the format.
            return None
        with image:
            start = int(image.info.get('default_image', False))  # That of an APNG is no frame of its animation.
            if image.format not in ANIMATED_FORMATS or image.n_frames < start + 2:
                return None
            frames = Frames(path, range(start, image.n_frames), ANIMATED_FORMATS[image.format])
            playback = {'duration': [_duration(image, i) for i in frames.indices]}
            return frames, playback | ({'loop': image.info['loop']} if 'loop' in image.info else {})


def _duration(image, index):
    """Return the duration of a frame of an open animation, in milliseconds."""
    image.seek(index)
    image.load()  # A WebP has it only then.
    return image.info.get('duration', 0)


class Frames:
    """Iterable over the frames of an animation, uint8 [H, W, 3]; each iteration reads them from the file one by one.

    Attributes:
        suffix: Suffix of a file in the format of the animation.
    """

    def __init__(self, path: str | Path, indices: range, suffix: str):
        """Create the iterable for the frames of the animation at `path` that have the numbers `indices`."""
        self.path, self.indices, self.suffix = path, indices, suffix

    def __len__(self):
        return len(self.indices)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the frames; raise `UserError` if one cannot be read."""
        with image_errors(self.path), decoding.open_image(self.path) as file:
            for i in self.indices:
                yield to_uint8(decoding.to_rgb(decoding.decode_frame(file, i)))


def get_resized_image(path: str | Path, width: int, height: int, convert_profiles: bool = True) -> np.ndarray:
    """Read an image, and crop and resize it to float32 RGB [1, height, width, 3], 0 to 255.

    The largest centered part with the aspect ratio width : height is resized with antialiasing, as CS20's ImageOps.fit
    did. `convert_profiles` is as in `read_image`.
    """
    return resize_and_crop(read_image(path, convert_profiles), width, height)[None]


def get_style_image(path: str | Path, width: int, height: int, crop: bool = True, scale: float = 1.,
                    convert_profiles: bool = True, resampling: str = 'linear') -> np.ndarray:
    """Read the style image for a stylized image of width × height as float32 RGB [1, H, W, 3], 0 to 255.

    Args:
        path: The style image.
        width: Width of the stylized image, in pixels.
        height: Height of the stylized image, in pixels.
        crop: Whether to crop and resize the style image to width × height. Otherwise it keeps its aspect ratio and is
            resized to as many pixels as the stylized image has, and then by `scale`.
        scale: Factor on both sides, if the style image is not cropped.
        convert_profiles: As in `read_image`.
        resampling: 'linear' for `resize_and_crop`, or 'lanczos' for `resize_and_crop_sharply`.
    """
    image = read_image(path, convert_profiles)
    resize = {'linear': resize_and_crop, 'lanczos': resize_and_crop_sharply}[resampling]
    if crop:
        return resize(image, width, height)[None]
    H, W = image.shape[:2]
    scale *= (width * height / (W * H)) ** 0.5
    return resize(image, *(max(MIN_SIDE_PX, round(scale * side)) for side in (W, H)))[None]


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


def resize_and_crop_sharply(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize as `resize_and_crop`, but with Lanczos's filter, which keeps more detail; values are clipped to 0 to 255.

    The arguments are those of `resize_and_crop`.
    """
    H, W = image.shape[:2]
    scale = min(H / height, W / width)
    left, top = (max(0., (side - scale * new) / 2) for side, new in ((W, width), (H, height)))  # not −1e-14
    box = left, top, min(W, left + scale * width), min(H, top + scale * height)
    channels = [Image.fromarray(np.float32(image[..., i])) for i in range(image.shape[-1])]  # Pillow has no float RGB.
    resized = [channel.resize((width, height), Image.Resampling.LANCZOS, box) for channel in channels]
    return np.dstack(resized).clip(0, 255)


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
    """Resize an image to a height, keeping its aspect ratio to the pixel, for a row of images.

    An image that is wider than `MAX_ROW_ASPECT` times the height becomes that wide, and is centered on white.

    Args:
        image: [H, W, 3], 0 to 255.
        height: New height, in pixels.

    Returns:
        float32 [height, at most MAX_ROW_ASPECT · height, 3].
    """
    H, W = image.shape[:2]
    scale = min(height / H, MAX_ROW_ASPECT * height / W)
    fitted = resize_and_crop(image, *(max(1, round(scale * side)) for side in (W, H)))
    above, below = (height - len(fitted)) // 2, (height - len(fitted) + 1) // 2
    return np.pad(fitted, ((above, below), (0, 0), (0, 0)), constant_values=255)


def check_finite(picture: np.ndarray) -> None:
    """Raise `UserError` if a picture has a value that is NaN or infinite; such a picture is never written."""
    if not np.isfinite(picture).all():
        raise UserError('the picture has values that are not finite (NaN or infinite), so it is not written')


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Round an image [..., H, W, 3] to uint8; values outside of 0 to 255 are clipped.

    Raises:
        UserError: A value is NaN or infinite.
    """
    check_finite(image)
    rounded = np.rint(image)
    return rounded.clip(0, 255, out=rounded).astype(np.uint8)


def encode_image(pixels: np.ndarray | Sequence[np.ndarray], extension: str, **settings) -> bytes:
    """Encode an image or an animation in memory, because Pillow silently truncates JPEGs on a full disk.

    The file says that its colors are sRGB, if its format can say it.

    Args:
        pixels: An image, uint8 [H, W, 3], or the frames of an animation as a list of images.
        extension: The format, for example '.png'.
        **settings: Options of Pillow's writer.

    Returns:
        The bytes of the file.

    Raises:
        UserError: The format cannot hold the picture, for example because it is too large.
    """
    height, width = np.shape(pixels)[-3:-1]
    problem = f'{width}×{height} cannot be written as {extension}'
    if max(height, width) > MAX_FORMAT_SIDES_PX.get(extension, math.inf):
        raise UserError(f'{problem}: a side may have {MAX_FORMAT_SIDES_PX[extension]} pixels; use .png')
    try:
        return iio.imwrite('<bytes>', pixels, extension=extension, plugin='pillow',
                           **{'icc_profile': color_profiles.SRGB} | settings)
    except Exception as error:  # Every format's writer raises its own types.
        if isinstance(error, MemoryError) or getattr(error, 'errno', None):
            raise
        raise UserError(f'{problem} ({error or type(error).__name__}); use .png') from error


def save_image(path: str | Path, image: np.ndarray, profile: bytes | None = color_profiles.SRGB) -> None:
    """Write an image atomically.

    Args:
        path: The file; its suffix names the format, which is PNG without a suffix.
        image: [H, W, 3] or [1, H, W, 3], 0 to 255.
        profile: The ICC profile that the file gets, or None.

    Raises:
        UserError: A value is NaN or infinite, or the format cannot hold the image.
    """
    extension = Path(path).suffix.lower() or '.png'
    settings = {'icc_profile': profile}
    if extension == '.png':
        settings['compress_level'] = PNG_COMPRESSION
    elif extension in LOSSY_SUFFIXES:
        settings['quality'] = JPEG_QUALITY
    with files.atomic_write(path) as part:
        part.write_bytes(encode_image(to_uint8(image), extension, **settings))


def as_file(image: np.ndarray | Image.Image | str | Path | None, folder: str | Path) -> Path | None:
    """Return an image as a path; an array or an image of Pillow is first written to a new file in `folder`.

    Args:
        image: A path, an image of Pillow, or an array [H, W], [H, W, 3], or with alpha [H, W, 2 or 4]. The type and the
            range of an array decide what white is: True; 1 of integers up to 1 and of floating-point numbers up to 2;
            255 of uint8, of other floating-point numbers, and of signed integers up to 255; else the largest value of
            the type, for signed integers 65535.
        folder: An existing folder.

    Raises:
        UserError: The array has another shape, or NaN.
    """
    if not isinstance(image, (np.ndarray, Image.Image)):
        return image and Path(image)
    try:
        return _write_pillow(image, folder) if isinstance(image, Image.Image) else _write_array(image, folder)
    except ValueError as error:
        raise UserError(f'an image from Python cannot be used: {error}') from error


def _write_array(array, folder):
    """Write an array to a new file, with as many bits as it has; return its path."""
    pixels = np.asarray(array)
    pixels = pixels[0] if pixels.ndim == 4 and len(pixels) == 1 else pixels
    if pixels.ndim not in (2, 3) or not pixels.size:
        raise ValueError(f'its array has the shape {array.shape}')
    if pixels.dtype.kind in 'iu':
        brightest = pixels.max()
        if brightest <= 1:
            pixels = pixels > 0
        elif pixels.dtype.kind == 'i' and brightest <= 255:
            pixels = pixels.clip(0).astype(np.uint8)
    rgb = decoding.to_rgb(pixels)
    if pixels.dtype == np.uint8 or decoding.white_value(pixels) == 255:
        # Without a profile it is the same file, and so the same run, as in versions before.
        save_image(path := _new_file(folder, '.png'), rgb, profile=None)
    else:
        iio.imwrite(path := _new_file(folder, '.tif'), rgb / np.float32(255), plugin='tifffile', photometric='rgb',
                    metadata=None)
    return path


def _write_pillow(image, folder):
    """Write an image of Pillow upright to a new file, with its profile if it has 8 bits; return its path."""
    with contextlib.suppress(SyntaxError, struct.error):  # Its Exif data may be damaged.
        image = ImageOps.exif_transpose(image)
    profile = image.info.get('icc_profile')
    if image.mode[0] in 'IF' or not profile and image.mode in ('1', 'L', 'LA', 'RGB', 'RGBA'):
        return _write_array(np.asarray(image), folder)
    if image.mode not in ('1', 'CMYK', 'L', 'LA', 'LAB', 'P', 'RGB', 'RGBA'):
        image = image.convert({'La': 'LA', 'PA': 'RGBA', 'RGBa': 'RGBA'}.get(image.mode, 'RGB'))
    path = _new_file(folder, '.tif' if image.mode in ('CMYK', 'LAB') else '.png')
    image.save(path, icc_profile=profile, exif=b'')
    return path


def _new_file(folder, suffix):
    """Return the path of a new, empty file."""
    handle, path = tempfile.mkstemp(suffix, dir=folder)
    os.close(handle)
    return Path(path)


def save_animation(path: str | Path, frames: Sequence[np.ndarray], playback: dict, suffix: str = '.gif') -> None:
    """Write frames as an animation.

    Args:
        path: The file; its suffix, one of `ANIMATED_SUFFIXES`, names the format.
        frames: The frames, each uint8 [H, W, 3].
        playback: The playback settings of `read_animation`.
        suffix: The suffix that names the format if `path` has none.
    """
    extension = Path(path).suffix.lower() or suffix
    settings = {'quality': JPEG_QUALITY} if extension in LOSSY_SUFFIXES else {}
    with files.atomic_write(path) as part:
        part.write_bytes(encode_image(frames, extension, **settings, **playback))
