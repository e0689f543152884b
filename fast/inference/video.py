"""Stylize clips frame by frame in constant memory, with their audio and optional temporal smoothing.

The frames are written in parts, and finished parts survive an interruption: the same call then continues after them.
"""

import contextlib
import heapq
import itertools
import json
import shutil
import tempfile
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from tqdm import tqdm

import utils
from common import files
from common.errors import UserError

CLIP_SUFFIXES = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.webm')
OUTPUT_SUFFIXES = CLIP_SUFFIXES[:-1]  # formats that can hold CODEC; other clips become FALLBACK_SUFFIX
FALLBACK_SUFFIX = '.mkv'
PART_FRAMES = 48  # frames per part
CODEC, PIXEL_FORMAT = 'libx264', 'yuv420p'  # every player supports these; the pixel format needs even sides
ENCODER_OPTIONS = {'crf': '18'}  # from 0, lossless, to 51; 18 has no visible loss
MAX_BLEND_SHARE = 0.8  # share of the previous picture in a clip with full temporal smoothing
# Mean difference (of 255) of a photo from the warped previous one at which the share falls to 1/e of its maximum.
AGREEMENT_SCALE = 12.
FLOW_SIDE_PX = 256  # longer side of the images that optical flow is computed from


class TemporalSmoothing:
    """Blend each picture of a sequence with the previous one, warped along the optical flow of the photos.

    The share of the previous picture decreases where the photo differs from the warped previous photo.

    Attributes:
        share: Largest share of the previous picture, 0 to 1.
        before: Photo and smoothed picture of the previous frame, None before the first one.
    """

    def __init__(self, strength: float) -> None:
        """Set the strength, 0 to 1; with 1, the share is at most MAX_BLEND_SHARE; 0 turns smoothing off."""
        self.share, self.before = MAX_BLEND_SHARE * strength, None

    def __call__(self, photo: np.ndarray, picture: np.ndarray) -> np.ndarray:
        """Return the smoothed picture of the next frame.

        Args:
            photo: The frame, float32 [H, W, 3], 0 to 255.
            picture: Its stylized picture, in the same form.
        """
        if self.share:
            if self.before:
                warped_photo, warped_picture = warp(photo, *self.before)
                difference = np.abs(photo - warped_photo).mean(axis=2, keepdims=True)
                share = self.share * np.exp(-(difference / AGREEMENT_SCALE) ** 2)
                mixed = picture + share * (warped_picture - picture)
                picture = np.where(np.isnan(mixed), picture, mixed)
            self.before = photo, picture
        return picture


def warp(photo: np.ndarray, before: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Warp the previous photo, and other images of its size, onto the current photo.

    The optical flow is that of the iterative Lucas-Kanade method (Le Besnerais and Champagnat 2005), computed on photos
    downsampled to FLOW_SIDE_PX.

    Args:
        photo: Current photo, [H, W, 3], 0 to 255.
        before: Previous photo, [H, W, 3], 0 to 255.
        *others: More images to warp in the same way, [H, W, 3].

    Returns:
        The warped images, `before` first, each float32 [H, W, 3], NaN where they do not cover the photo.

    Raises:
        UserError: scikit-image is not installed.
    """
    try:
        import skimage.color  # imported here because only temporal smoothing needs it
        import skimage.registration
        import skimage.transform
    except ImportError:
        raise UserError('--steady needs the package scikit-image: pip install scikit-image') from None
    H, W = photo.shape[:2]
    scale = min(1, FLOW_SIDE_PX / max(H, W))
    small = [skimage.transform.resize(skimage.color.rgb2gray(image / 255), (round(H * scale), round(W * scale)),
                                      anti_aliasing=True) for image in (photo, before)]
    flow = skimage.registration.optical_flow_ilk(*small, radius=7)
    flow = [skimage.transform.resize(part, (H, W)) * length / size
            for part, length, size in zip(flow, (H, W), small[0].shape)]
    places = np.meshgrid(np.arange(H), np.arange(W), indexing='ij') + np.array(flow)
    return [np.stack([skimage.transform.warp(image[..., i], places, order=1, mode='constant', cval=np.nan,
                                             preserve_range=True) for i in range(3)], axis=2).astype(np.float32)
            for image in (before, *others)]


def stylize(source: Path, target: Path, renderer) -> str:
    """Stylize a clip, keeping its frame rate and audio.

    Finished parts stay in a folder next to `target` until all are written, so that the same call continues after an
    interruption.

    Args:
        source: Path of the clip.
        target: Path of the result, ending in one of OUTPUT_SUFFIXES.
        renderer: A `batch.Renderer`.

    Returns:
        The number of frames as text, for example '100 frames'.

    Raises:
        UserError: The clip cannot be read, has no video, or `target` is a format that cannot hold the result.
    """
    if target.suffix.lower() not in OUTPUT_SUFFIXES:
        raise UserError(f'{source}: is a clip, but the name of its output, {target}, does not end in one of '
                        f'{", ".join(OUTPUT_SUFFIXES)}')
    if not source.is_file():
        raise UserError(f'{source}: no such clip')
    parts = target.with_name(f'.parts-{target.name}')
    with contextlib.ExitStack() as stack:
        with _reading(source):
            clip = stack.enter_context(_opened(source))
        if not clip.streams.video:
            raise UserError(f'{source}: contains no video')
        stream = clip.streams.video[0]
        stream.thread_type, rate = 'AUTO', stream.average_rate  # the rate is lost when the clip is closed
        _check_audio(clip, source, target)
        _acquire_parts(parts, source, renderer)
        bar = stack.enter_context(tqdm(total=stream.frames or None, unit='frame', disable=None))
        written = _write_parts(parts, _photos(clip, source), rate, renderer, bar)
    if not written:
        raise UserError(f'{source}: contains no video')
    with files.atomic_write(target) as part:
        _join([_part_path(parts, i) for i in range(-(-written // PART_FRAMES))], rate, source, part)
    shutil.rmtree(parts)
    return f'{written} frames'


def _check_audio(clip, source, target):
    """Raise `UserError` if a file like `target` cannot hold the audio of an open clip."""
    with tempfile.TemporaryDirectory() as folder, _opened(Path(folder, target.name), 'w') as trial:
        for sound in clip.streams.audio[:1]:
            try:
                trial.add_stream_from_template(sound)
            except ValueError as error:
                raise UserError(f'{source}: a file like {target} cannot hold its audio ({sound.codec_context.name}); '
                                f'use --out clip{FALLBACK_SUFFIX}, which can hold any') from error


def _photos(clip, source):
    """Yield the frames of an open clip in order, upright, each uint8 [H, W, 3]."""
    with _reading(source):
        for frame in clip.decode(clip.streams.video[0]):
            yield _upright(frame)


def _opened(path, *mode):
    """Open a clip with the package av, because imageio's clip plugin, which is built on it, ignores audio."""
    try:
        import av
    except ImportError:
        raise UserError(f'{path}: clips need the package av: pip install av') from None
    return av.open(str(path), *mode)


def _upright(frame):
    """Return the pixels of a frame, uint8 [H, W, 3], rotated upright, without an odd last row or column."""
    pixels = np.rot90(frame.to_ndarray(format='rgb24'), round(frame.rotation / 90))
    return pixels[:len(pixels) // 2 * 2, :pixels.shape[1] // 2 * 2]


@contextlib.contextmanager
def _reading(source):
    """Turn errors that occur while the clip at `source` is read into a `UserError`."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        raise UserError(f'{source}: cannot be read as a clip ({error})') from error


def _acquire_parts(parts, source, renderer):
    """Create the folder of parts; if it holds parts of another clip or with other settings, remove them."""
    now = dict(clip=[source.stat().st_size, source.stat().st_mtime_ns], tile=renderer.tile) | renderer.settings()
    with contextlib.suppress(OSError, ValueError):
        if json.loads((parts / 'about.json').read_text()) == now:
            return
    shutil.rmtree(parts, ignore_errors=True)
    with files.atomic_write(parts / 'about.json') as file:
        file.write_text(json.dumps(now))


def _part_path(parts, i):
    """Return the path of part `i` in the folder of parts."""
    return parts / f'{i:06d}.mp4'


def _write_parts(parts, photos, rate, renderer, bar):
    """Stylize the photos in parts of PART_FRAMES, skipping finished ones; return the number of frames of the clip."""
    smooth, written = TemporalSmoothing(renderer.temporal_smoothing), 0

    def stylize_frame(photo):
        picture = utils.to_uint8(smooth(np.float32(photo), renderer.picture(np.float32(photo))))
        # Continue from the rounded picture, because a resumed run reads it from a file.
        smooth.before = np.float32(photo), np.float32(picture)
        return picture
    for first in photos:
        part = _part_path(parts, written // PART_FRAMES)
        numbered = enumerate(itertools.chain([first], itertools.islice(photos, PART_FRAMES - 1)), written + 1)
        # A resumed run continues from the last picture of a part. This file is written after the part, so that it
        # exists only if the part is complete.
        last = part.with_suffix('.png')
        if last.exists():
            for written, photo in numbered:
                bar.update()
            smooth.before = np.float32(photo), np.float32(iio.imread(last))
        else:
            with _encoder(part, rate, *first.shape[:2]) as encode:
                for written, photo in numbered:
                    encode(picture := stylize_frame(photo))
                    bar.update()
            utils.save_image(last, picture)
    return written


@contextlib.contextmanager
def _encoder(path, rate, height, width):
    """Yield a function that encodes the pictures of a part, uint8 [height, width, 3], in order."""
    import av
    with files.atomic_write(path) as part, _opened(part, 'w') as file:
        stream = file.add_stream(CODEC, rate)
        stream.height, stream.width = height, width
        stream.pix_fmt, stream.options = PIXEL_FORMAT, ENCODER_OPTIONS
        places = itertools.count()

        def encode(picture):
            """Encode one picture."""
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24').reformat(format=PIXEL_FORMAT)
            frame.pts, frame.time_base = next(places), 1 / rate
            file.mux(stream.encode(frame))
        yield encode
        file.mux(stream.encode())


def _join(parts, rate, source, target):
    """Write a clip of the frames of `parts` and the audio of the clip at `source`, without encoding either again."""
    with contextlib.ExitStack() as stack:
        clips = [stack.enter_context(_opened(part)) for part in parts]
        original, joined = stack.enter_context(_opened(source)), stack.enter_context(_opened(target, 'w'))
        picture = joined.add_stream_from_template(clips[0].streams.video[0])
        streams = [_video_packets(clips, rate, picture)]
        if original.streams.audio:
            sound = original.streams.audio[0]
            streams.append(_audio_packets(original, sound, joined.add_stream_from_template(sound)))
        for packet in heapq.merge(*streams, key=lambda packet: packet.dts * packet.time_base):
            joined.mux(packet)


def _video_packets(clips, rate, stream):
    """Yield the video packets of the clips in order for `stream`, with their times shifted to follow each other."""
    start = 0
    for clip in clips:
        n = 0
        for packet in clip.demux(clip.streams.video[0]):
            if packet.dts is not None:
                shift = round(start / rate / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, stream
                n += 1
                yield packet
        start += n


def _audio_packets(original, sound, stream):
    """Yield the packets of the audio stream `sound` of a clip for `stream`."""
    for packet in original.demux(sound):
        if packet.dts is not None:
            packet.stream = stream
            yield packet
