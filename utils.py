"""Images in and out: reading, fitting, noise, saving; and files that appear whole."""

import contextlib
import logging
import warnings
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from imageio.core.request import InitializationError

from common import files
from common.errors import UserError

MAX_PIXELS = 90_000_000  # of an image read: a gigabyte, as float32
ROTATED_ORIENTATIONS = 5, 6, 7, 8  # Exif's orientations of images that lie on their side
MIN_SIDE_PX = 16  # pixels of a side of what goes through VGG-19, which halves it four times
SIDE_RANGE_PX = MIN_SIDE_PX, 4096  # of a picture
# taken from a folder
IMAGE_SUFFIXES = ('.bmp', '.gif', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')
JPEG_QUALITY = 95  # of a JPEG
PNG_COMPRESSION = 1  # of a PNG, of 9: as zlib has it by default a picture takes twice the time for 1 to 4 % fewer bytes
MIN_OVERSAMPLING = 5  # pixels of an image reduced by whole ones that make one of the fitted image, at least
for _reader in ('PIL', 'tifffile'):  # they log what they then raise
    logging.getLogger(_reader).addHandler(logging.NullHandler())


# ---------------------------------------------------------------------------------------------------------------- files

def find_images(folder, excluded):
    """The paths of all images below a folder, known by their IMAGE_SUFFIXES, without those in `excluded`, a folder in
    it.

    Raises `UserError` where there are none.
    """
    excluded = Path(excluded).resolve()
    inside = Path(folder).resolve() in excluded.parents
    found = [
        path
        for path in sorted(Path(folder).rglob('*'))
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not (inside and excluded in path.resolve().parents)
    ]
    if not found:
        raise UserError(f'{folder}: no images in this folder; they end in {", ".join(IMAGE_SUFFIXES)}')
    return found


# --------------------------------------------------------------------------------------------------------------- images

def read_image(path):
    """Read the first frame of any image that imageio reads as float32 [H, W, 3], RGB 0-255, upright, over white.

    16-bit values go from 0 to 65535; floating-point ones from 0 to 1, or to 255 if any is above 2, which is more than
    resampling a picture of 0 to 1 overshoots; what lies outside is clipped.
    Raises `UserError` for what is missing, empty, a folder, damaged, cut short, of over MAX_PIXELS, or no image.
    """
    with _image_errors(path):
        return _to_rgb(_decode(path))


def image_size(path):
    """(width, height) of what `read_image` would give, from the file's header. Raises `UserError` as it does."""
    with _image_errors(path):
        try:
            file = iio.imopen(path, 'r', plugin='pillow')
        except OSError:
            return read_image(path).shape[1::-1]
        with file:
            _check_size(file)
            size = file.properties(index=0).shape[1::-1]
            turned = file.metadata(index=0, exclude_applied=False).get('Orientation', 1) in ROTATED_ORIENTATIONS
        # of a TIFF Pillow gives the size that it will have
        return size[::-1] if turned and not _is_tiff(path) else size


def color_profile(path):
    """The ICC profile, bytes, of an RGB image that `read_image` has read; None where it has none."""
    try:
        with iio.imopen(path, 'r', plugin='pillow') as file:
            about = file.metadata(index=0)
            return about.get('icc_profile') if about['mode'].startswith('RGB') else None
    except OSError:
        return None


def read_alpha(path):
    """How opaque an image is that `read_image` has read, float32 [H, W] from 0 to 1; None where it says nothing."""
    with _image_errors(path):
        pixels = np.atleast_3d(_decode(path))
        return None if pixels.shape[2] in (1, 3) else np.float32(pixels[..., -1] / np.iinfo(pixels.dtype).max)


def read_animation(path):
    """The `Frames` of an animated GIF, and how it plays: {'duration': ms of each, 'loop': times}.

    None for a file that is no GIF or does not move. Raises `UserError` as `read_image`.
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
            about = [file.metadata(index=i) for i in range(length)]
        plays = {'duration': [frame.get('duration', 0) for frame in about]}
        return Frames(path, length), plays | ({'loop': about[0]['loop']} if 'loop' in about[0] else {})


class Frames:
    """The frames of an animation, uint8 [H, W, 3] each, read one after the other whenever they are gone through."""

    def __init__(self, path, length):
        self.path, self.length = path, length

    def __len__(self):
        return self.length

    def __iter__(self):
        """Raises `UserError` for a frame that cannot be read."""
        with _image_errors(self.path), iio.imopen(self.path, 'r', plugin='pillow') as file:
            for i in range(self.length):
                yield to_uint8(_to_rgb(file.read(index=i, mode='RGBA')))


@contextlib.contextmanager
def _image_errors(path):
    """What goes wrong with the image at `path` becomes a `UserError`."""
    try:
        if not Path(path).is_file():
            raise UserError(f'{path}: {"is a folder, not an image" if Path(path).is_dir() else "no such image"}')
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # odd metadata in a good picture; a bad picture is an exception
            yield
    except UserError:
        raise
    except Exception as error:  # every format's reader raises its own kinds
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f'{path}: cannot be read as an image ({reason})') from error


def _decode(path):
    """The first frame, upright: [H, W] or [H, W, channels] of integers or floating-point numbers."""
    try:
        file = iio.imopen(path, 'r', plugin='pillow')
    except OSError as error:
        if not _is_tiff(path):
            unknown = isinstance(error.__cause__, InitializationError)
            raise ValueError('of no format that is known' if unknown else error.__cause__) from error
        with iio.imopen(path, 'r', plugin='tifffile') as file:  # of floating-point numbers in color, say
            _check_size(file)
            return file.read(index=0)
    with file:
        _check_size(file)
        about = file.metadata(index=0)
        mode, transparent = about['mode'], 'transparency' in about
        if mode[0] in 'IF':  # gray of more than 8 bits
            target = None
        else:  # palettes, CMYK, a color that stands for transparency, and so on
            target = 'RGBA' if transparent or mode[-1] in 'Aa' else 'RGB'
        pixels = file.read(index=0, mode=target)
        # read's own rotate=True mirrors the channels where the mode changes; TIFF is upright, and says so, once read
        orientation = file.metadata(index=0, exclude_applied=False).get('Orientation', 1)
    if orientation in ROTATED_ORIENTATIONS:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _is_tiff(path):
    with open(path, 'rb') as file:
        return file.read(4) in (b'II*\0', b'MM\0*')


def _check_size(file):
    height, width = file.properties(index=0).shape[:2]
    if height * width > MAX_PIXELS:
        raise ValueError(f'{width}×{height} is more than {MAX_PIXELS} pixels')


def _to_rgb(pixels):
    """Gray, gray + alpha, RGB or RGBA of any depth -> float32 [H, W, 3] of 0-255, transparency over white."""
    pixels = np.atleast_3d(pixels)
    channels = pixels.shape[2]
    if pixels.ndim > 3 or channels > 4:
        raise ValueError(f'its shape is {pixels.shape}, neither gray nor RGB')
    if pixels.dtype.kind == 'f':
        brightest = pixels.max()
        if np.isnan(brightest):
            raise ValueError('it has pixels that are not numbers')
        white = 1 if brightest <= 2 else 255
    else:  # signed ones are 16 bits in Pillow's mode I
        white = 65535 if pixels.dtype.kind == 'i' else np.iinfo(pixels.dtype).max
    pixels = pixels.astype(np.float32)
    pixels *= 255 / white
    pixels.clip(0, 255, out=pixels)
    if channels in (2, 4):
        alpha = pixels[:, :, -1:] / 255
        pixels = pixels[:, :, :-1] * alpha + 255 * (1 - alpha)
    return pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)


def get_resized_image(path, width, height):
    """Read an image and fit it into [1, height, width, 3], float32, RGB 0-255.

    The largest centered part of the wanted shape is kept, and resized with antialiasing, as CS20's ImageOps.fit did.
    """
    return resize_and_crop(read_image(path), width, height)[None]


def get_style_image(path, width, height, crop=True, scale=1.):
    """Read an image and make it [1, H, W, 3], float32, RGB 0-255, the style of a picture of width × height.

    It has that very size; or, not cropped, its own shape, with as many pixels as the picture, and then `scale` times
    these sides.
    """
    image = read_image(path)
    if crop:
        return resize_and_crop(image, width, height)[None]
    H, W = image.shape[:2]
    scale *= (width * height / (W * H)) ** 0.5
    return resize_and_crop(image, *(max(MIN_SIDE_PX, round(scale * side)) for side in (W, H)))[None]


def resize_and_crop(image, width, height):
    """Resize the largest centered part of [H, W, 3] that has the shape width : height to float32 [height, width, 3].

    A Gaussian against aliasing, then linear interpolation; the part is cut to fractions of a pixel, so its center stays
    the center. Values stay within the range that they had, constant pictures stay what they are.
    """
    import skimage.filters  # networks that are trained stylize without
    import skimage.transform
    H, W = image.shape[:2]
    scale = min(H / height, W / width)  # input pixels an output pixel
    # centers of pixels lie at .5: output x is taken from (x + .5 − width / 2) · scale + W / 2 − .5
    corner = [(side - scale * new + scale - 1) / 2 for side, new in ((W, width), (H, height))]
    blur = max(0, (scale - 1) / 2)
    factor = int(scale // MIN_OVERSAMPLING)
    if factor > 1:  # first by whole pixels, which is quick; the blur that is then left is less by that of the means
        image = box_downsample(image, factor)
        blur = (blur ** 2 - (factor ** 2 - 1) / 12) ** 0.5 / factor
        corner = [(start - side % factor // 2 + 0.5) / factor - 0.5 for start, side in zip(corner, (W, H))]
        scale /= factor
    smooth = skimage.filters.gaussian(image, blur, mode='nearest', preserve_range=True, channel_axis=-1)
    to_input = skimage.transform.AffineTransform(scale=scale, translation=corner)
    return skimage.transform.warp(smooth, to_input, output_shape=(height, width), order=1, mode='edge',
                                  preserve_range=True).astype(np.float32)


def box_downsample(image, factor):
    """The mean of every factor × factor pixels: [H, W, 3] -> float32 [H // factor, W // factor, 3].

    What is left over lies outside of them, as much of it at one edge as at the other, to a pixel.
    """
    H, W = (side - side % factor for side in image.shape[:2])
    top, left = (side % factor // 2 for side in image.shape[:2])
    blocks = image[top:top + H, left:left + W]
    # whole rows are added, then columns of what is left: twice as fast as a mean over two more axes.
    # Sums of float32 are exact in float64, so a constant picture stays what it is
    rows = sum(blocks[i::factor].astype(np.float64) for i in range(factor))
    return (sum(rows[:, i::factor] for i in range(factor)) / factor ** 2).astype(np.float32)


def output_size(content, longer_side, width=None, height=None):
    """(width, height) of a picture in the shape of the image `content`, by one side or by the longer one."""
    W, H = image_size(content)
    scale = width / W if width else height / H if height else longer_side / max(W, H)
    return tuple(min(max(given or round(scale * side), SIDE_RANGE_PX[0]), SIDE_RANGE_PX[1])
                 for given, side in ((width, W), (height, H)))


def generate_noise_image(content_image, noise_ratio, amplitude, rng):
    """noise_ratio · uniform(−amplitude, amplitude) + (1 − noise_ratio) · content_image, of its shape and centering."""
    noise = rng.uniform(-amplitude, amplitude, content_image.shape).astype(np.float32)
    return noise_ratio * noise + (1 - noise_ratio) * content_image


def to_uint8(image):
    """Round [..., H, W, 3] of 0-255 to uint8, clipped, not wrapped."""
    rounded = np.rint(image)
    return rounded.clip(0, 255, out=rounded).astype(np.uint8)


def encode_image(pixels, extension, **settings):
    """The bytes of an image file: written by Pillow itself a JPEG is cut short on a full disk, and no error is raised.

    pixels: uint8, of an image, or of an animation a list of them; settings: of Pillow's writer
    """
    return iio.imwrite('<bytes>', pixels, extension=extension, **settings)


def save_image(path, image, profile=None):
    """Write [H, W, 3] or [1, H, W, 3] of 0-255, whole or not at all; profile: from `color_profile`.

    The suffix names the format, which is PNG without one.
    """
    extension = Path(path).suffix.lower() or '.png'
    settings = {'icc_profile': profile} if profile else {}
    if extension == '.png':
        settings['compress_level'] = PNG_COMPRESSION
    elif extension in ('.jpg', '.jpeg'):
        settings['quality'] = JPEG_QUALITY
    with files.atomic_write(path) as part:
        part.write_bytes(encode_image(to_uint8(image), extension, **settings))


def save_animation(path, frames, playback):
    """Write frames, uint8 [H, W, 3] each, as a GIF; plays: from `read_animation`."""
    with files.atomic_write(path) as part:
        part.write_bytes(encode_image(frames, '.gif', **playback))
