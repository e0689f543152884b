"""Images in and out, resizing, noise, files that appear whole, errors in one line, the download."""

import argparse
import contextlib
import errno
import functools
import hashlib
import http.client
import logging
import os
import re
import sys
import time
import urllib.error
import urllib.request
import warnings
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import skimage.filters
import skimage.transform
from tqdm import tqdm

MAX_PIXELS = 90_000_000  # of an image read: a gigabyte, as float32
TRIES = 6  # of a download that does not get on
RETRY_SECONDS = 1
TIMEOUT = 30  # seconds without a byte


@contextlib.contextmanager
def _no_stderr():
    sys.stderr.flush()
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


# TensorFlow greets with a page about GPUs that no log level stops. Every program imports this module before it.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
# It also loads Keras, and Keras Matplotlib, a quarter of the seconds: kept from it, they come when they are asked for
_early = 'keras' not in sys.modules
if _early:
    sys.modules['keras'] = None
with _no_stderr():
    import tensorflow
    tensorflow.config.list_physical_devices('GPU')
if _early:
    del sys.modules['keras']
tensorflow.get_logger().setLevel('ERROR')  # deprecations: compat.v1 is what this project is about
for _reader in ('PIL', 'tifffile'):  # they log what they then raise
    logging.getLogger(_reader).addHandler(logging.NullHandler())


class UserError(Exception):
    """Something the user can mend: shown as one line, exit status 2, no traceback."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line and that takes no abbreviated flags."""

    def __init__(self, **settings):
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message):
        raise UserError(f'{message}; --help lists the flags')


def whole_number(low, high):
    """A type for argparse: a whole number from low to high."""
    def parse(text):
        if not (text.lstrip('-').isdecimal() and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f'{text!r}: must be a whole number from {low} to {high}')
        return int(text)
    return parse


def number(low, high):
    """A type for argparse: a number from low to high."""
    def parse(text):
        with contextlib.suppress(ValueError):
            if low <= float(text) <= high:
                return float(text)
        raise argparse.ArgumentTypeError(f'{text!r}: must be a number from {low:g} to {high:g}')
    return parse


def command_line(main):
    """Decorate `main(argv)`: what the user can mend ends in one line on stderr and status 2."""
    @functools.wraps(main)
    def run(argv=None):
        try:
            return main(argv) or 0
        except UserError as error:
            message = str(error)
        except OSError as error:  # a full disk, a folder that may not be written
            message = f'{error.filename or "a file"}: {error.strerror or error}'
        except (MemoryError, tensorflow.errors.ResourceExhaustedError):
            message = 'the memory is too small for this: make the picture (--width) or its parts (--tile) smaller'
        except KeyboardInterrupt:
            return 130
        print('error: ' + ' '.join(message.split()), file=sys.stderr)
        return 2
    return run


# ---------------------------------------------------------------------------------------------------------------- files

@contextlib.contextmanager
def whole_file(path):
    """Yield a path beside `path` to write to; it becomes `path` if the block succeeds and vanishes if it does not."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name('.part-' + path.name)  # the same suffix: writers choose the format by it
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        if error.filename in (None, str(part)):  # what a full disk leaves out, and what nobody asked for
            error.filename = str(path)
        raise
    finally:
        part.unlink(missing_ok=True)


# --------------------------------------------------------------------------------------------------------------- images

def read_image(path):
    """Read the first frame of any image that imageio reads as float32 [H, W, 3], RGB 0-255, upright, over white.

    16-bit values go from 0 to 65535; floating-point ones from 0 to 1, or to 255 if any is above 2, which is more than
    resampling a picture of 0 to 1 overshoots; what lies outside is clipped.
    Raises `UserError` for what is missing, empty, a folder, damaged, cut short, of over MAX_PIXELS, or no image.
    """
    with _reading(path):
        return _to_rgb(_decode(path))


def read_animation(path):
    """The frames of an animated GIF, uint8 [H, W, 3] each, and how it plays: {'duration': ms of each, 'loop': times}.

    None for a file that is no GIF or does not move. Raises `UserError` as `read_image`.
    """
    with _reading(path):
        with open(path, 'rb') as file:
            if file.read(4) != b'GIF8':
                return None
        with iio.imopen(path, 'r', plugin='pillow') as file:
            _check_size(file)
            length = file.properties(index=...).shape[0]
            if length < 2:
                return None
            frames, about = [], []
            for i in range(length):
                frames.append(to_uint8(_to_rgb(file.read(index=i, mode='RGBA'))))
                about.append(file.metadata(index=i))
        plays = {'duration': [frame.get('duration', 0) for frame in about]}
        return frames, plays | ({'loop': about[0]['loop']} if 'loop' in about[0] else {})


@contextlib.contextmanager
def _reading(path):
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
    except OSError:
        with iio.imopen(path, 'r') as file:  # a colour TIFF of floating-point numbers, say
            _check_size(file)
            return file.read(index=0)
    with file:
        _check_size(file)
        about = file.metadata(index=0)
        mode, transparent = about['mode'], 'transparency' in about
        if mode[0] in 'IF':  # grey of more than 8 bits
            target = None
        else:  # palettes, CMYK, a colour that stands for transparency, and so on
            target = 'RGBA' if transparent or mode[-1] in 'Aa' else 'RGB'
        pixels = file.read(index=0, mode=target)
        # read's own rotate=True mirrors the channels where the mode changes; TIFF is upright, and says so, once read
        orientation = file.metadata(index=0, exclude_applied=False).get('Orientation', 1)
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _check_size(file):
    height, width = file.properties(index=0).shape[:2]
    if height * width > MAX_PIXELS:
        raise ValueError(f'{width}×{height} is more than {MAX_PIXELS} pixels')


def _to_rgb(pixels):
    """Grey, grey + alpha, RGB or RGBA of any depth -> float32 [H, W, 3] of 0-255, transparency over white."""
    pixels = np.atleast_3d(pixels)
    channels = pixels.shape[2]
    if pixels.ndim > 3 or channels > 4:
        raise ValueError(f'its shape is {pixels.shape}, neither grey nor RGB')
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

    The largest centred part of the wanted shape is kept, and resized with antialiasing, as CS20's ImageOps.fit did.
    """
    return fit(read_image(path), width, height)[None]


def fit(image, width, height):
    """Resize the largest centred part of [H, W, 3] that has the shape width : height to float32 [height, width, 3].

    A Gaussian against aliasing, then linear interpolation; the part is cut to fractions of a pixel, so its centre stays
    the centre. Values stay within the range that they had, constant pictures stay what they are.
    """
    H, W = image.shape[:2]
    scale = min(H / height, W / width)  # input pixels an output pixel
    smooth = skimage.filters.gaussian(image, max(0, (scale - 1) / 2), mode='nearest', preserve_range=True, channel_axis=-1)
    # centres of pixels lie at .5: output x is taken from (x + .5 − width / 2) · scale + W / 2 − .5
    corner = [(side - scale * new + scale - 1) / 2 for side, new in ((W, width), (H, height))]
    to_input = skimage.transform.AffineTransform(scale=scale, translation=corner)
    return skimage.transform.warp(smooth, to_input, output_shape=(height, width), order=1, mode='edge',
                                  preserve_range=True).astype(np.float32)


def generate_noise_image(content_image, noise_ratio, amplitude, rng):
    """noise_ratio · uniform(−amplitude, amplitude) + (1 − noise_ratio) · content_image, of the same shape and centring."""
    noise = rng.uniform(-amplitude, amplitude, content_image.shape).astype(np.float32)
    return noise_ratio * noise + (1 - noise_ratio) * content_image


def to_uint8(image):
    """Round [..., H, W, 3] of 0-255 to uint8, clipped, not wrapped."""
    rounded = np.rint(image)
    return rounded.clip(0, 255, out=rounded).astype(np.uint8)


def save_image(path, image):
    """Write [H, W, 3] or [1, H, W, 3] of 0-255, whole or not at all, as the format that the suffix names, PNG without one."""
    extension = Path(path).suffix.lower() or '.png'
    with whole_file(path) as part:
        iio.imwrite(part, to_uint8(image), extension=extension, **({'quality': 95} if extension in ('.jpg', '.jpeg') else {}))


def save_animation(path, frames, plays):
    """Write frames, uint8 [H, W, 3] each, as a GIF; plays: from `read_animation`."""
    with whole_file(path) as part:
        iio.imwrite(part, frames, extension='.gif', **plays)


# --------------------------------------------------------------------------------------------------------------- memory

def free_memory():
    """Bytes that a program could use without swapping; 4 GB on a system that does not say."""
    try:
        about = dict(line.split(':') for line in Path('/proc/meminfo').read_text().splitlines())
        return 1024 * int(about['MemAvailable'].split()[0])
    except (OSError, KeyError):
        return 4 << 30


# ------------------------------------------------------------------------------------------------------------- download

def download(url, path, size, sha256):
    """Fetch the file at `url` to `path`, which appears only when it has `size` bytes and that hash (hexadecimal).

    What has come is kept beside it as .part, and a later call goes on from there. An https address is also tried over
    http: the hash protects. Raises `UserError` when it cannot be had or written; a file with another hash is kept as .wrong.
    """
    path = Path(path)
    part, wrong = path.with_name(path.name + '.part'), path.with_name(path.name + '.wrong')
    path.parent.mkdir(parents=True, exist_ok=True)
    part.touch()
    urls, failures = [url, re.sub('^https:', 'http:', url)], []
    with tqdm(total=size, initial=part.stat().st_size, unit='B', unit_scale=True, desc=path.name, disable=None) as bar:
        while part.stat().st_size < size and len(failures) < TRIES:
            before = part.stat().st_size
            try:
                _append(urls[len(failures) % 2], part, size, bar)
            except (OSError, ValueError, http.client.HTTPException) as error:
                if getattr(error, 'errno', None) in (errno.ENOSPC, errno.EDQUOT):
                    raise UserError(f'{part}: {error.strerror}, {size} bytes are needed; with that much room the same '
                                    'command goes on') from error
                reason = error
            else:
                reason = 'the connection was closed'
            if part.stat().st_size <= before:
                failures.append(str(reason))
                time.sleep(RETRY_SECONDS)
    have = part.stat().st_size
    if have < size:
        if not have:
            part.unlink()
        raise UserError(f'{url}: {have} of {size} bytes have come ({"; ".join(dict.fromkeys(failures))}); '
                        'the same command goes on from there')
    if have != size or file_hash(part) != sha256:
        os.replace(part, wrong)
        raise UserError(f'{url}: not the expected file, its size or SHA-256 differs; kept as {wrong}, not used')
    os.replace(part, path)


def _append(url, part, size, bar):
    """Add to the file `part` what it lacks of `url`; from the beginning if the server does not know ranges.

    Raises ValueError, `part` untouched, when the server's file is not of `size` bytes: a page that asks to log in, say.
    """
    response, start = _open(url, part.stat().st_size)
    with response:
        told = response.headers.get('Content-Range' if start else 'Content-Length', '*').rpartition('/')[2]
        if told not in ('*', str(size)):
            raise ValueError(f'the file there has {told} bytes')
        with open(part, 'ab' if start else 'wb') as file:
            bar.n = start
            # read1 gives what has come, of which a break would lose up to a block; and a stream may have no end
            while file.tell() < size and (block := response.read1(1 << 16)):
                file.write(block)
                bar.update(len(block))


def _open(url, start):
    """Ask for `url` from byte `start` on; return the response and the byte that it does start from, `start` or 0."""
    request = urllib.request.Request(url, headers={'Range': f'bytes={start}-'} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _open(url, 0)
        raise
    if start and response.status == http.HTTPStatus.PARTIAL_CONTENT:
        if response.headers.get('Content-Range', '').startswith(f'bytes {start}-'):
            return response, start
        response.close()  # some other range
        return _open(url, 0)
    return response, 0


def file_hash(path):
    """SHA-256 of a file, as hexadecimal text."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
