"""Stylize clips frame by frame in constant memory, with their audio and optional temporal smoothing.

The frames are written in parts, and finished parts survive an interruption: the same call then continues after them.
"""

import contextlib
import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from tqdm import tqdm

import utils
from common import files
from common.errors import UserError
from fast.inference import clip_pixels, clip_timeline, clip_writing, clips
from fast.inference.temporal_smoothing import TemporalSmoothing

CLIP_SUFFIXES = ('.3gp', '.avi', '.flv', '.m2ts', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.mts', '.ogv',
                 '.ts', '.webm', '.wmv')
FALLBACK_SUFFIX = clip_writing.FALLBACK_SUFFIX
OUTPUT_SUFFIXES = tuple(sorted(clip_writing.MUXERS))  # clips in other formats become FALLBACK_SUFFIX
PART_FRAMES = 48  # frames per part
PARTS_FORMAT = 2  # Parts of another format are not continued.


def stylize(source: Path, target: Path, renderer) -> str:
    """Stylize a clip, keeping the times of its frames, its colors, its pixel aspect ratio and its audio.

    Finished parts stay in a folder next to `target` until all are written, so that the same call continues after an
    interruption.

    Args:
        source: Path of the clip.
        target: Path of the result, ending in one of OUTPUT_SUFFIXES.
        renderer: A `batch.Renderer`.

    Returns:
        The number of frames as text, for example '100 frames'.

    Raises:
        UserError: The clip cannot be read, is cut short or has no video, `target` is a format that cannot hold the
            result, or another process writes it.
    """
    suffix = target.suffix.lower()
    if suffix not in OUTPUT_SUFFIXES:
        raise UserError(f'{source}: is a clip, but the name of its output, {target}, does not end in one of '
                        f'{", ".join(OUTPUT_SUFFIXES)}')
    if target.is_dir():
        raise UserError(f'{target}: is a folder, so the clip cannot get this name')
    with clips.open_clip(source) as clip:
        scan = clip.scan()
        clip_writing.check_audio(clip, scan.audio_packets, target)
    with _acquire_parts(target, source, renderer) as parts:
        with clips.open_clip(source) as clip, tqdm(total=scan.frames or None, unit='frame', disable=None) as bar:
            timeline = clip_timeline.Timeline(clip.time_base)
            _write_parts(parts, clip, timeline, clip_writing.choose_codec(target), renderer, bar)
        count = len(timeline.times)
        if not count:
            raise UserError(f'{source}: contains no video')
        paths = [_part_path(parts, i) for i in range(-(-count // PART_FRAMES))]
        with files.atomic_write(target) as part, clips.open_clip(source) as clip, clips.writing(target):
            clip_writing.join(paths, timeline, clip.rate, clip_writing.source_sound(clip, suffix), part, suffix)
        shutil.rmtree(parts, ignore_errors=True)
    shutil.rmtree(parts, ignore_errors=True)  # Windows does not remove a lock file that is in use.
    return f'{count} frames'


@contextlib.contextmanager
def _acquire_parts(target: Path, source: Path, renderer) -> Iterator[Path]:
    """Create and lock the folder of parts; if it holds parts of another clip or with other settings, remove them."""
    parts = files.hidden_path(target, 'parts')
    parts.mkdir(parents=True, exist_ok=True)
    now = dict(format=PARTS_FORMAT, clip=[source.stat().st_size, source.stat().st_mtime_ns], tile=renderer.tile,
               **renderer.settings())
    with files.exclusive_lock(parts, f'{target}: another process is writing this clip; wait until it ends'):
        about = parts / 'about.json'
        try:
            is_known = json.loads(about.read_text()) == json.loads(json.dumps(now))
        except (OSError, ValueError):
            is_known = False
        if not is_known:
            for path in parts.glob('[0-9]*'):
                path.unlink()
            with files.atomic_write(about) as file:
                file.write_text(json.dumps(now))
        yield parts


def _part_path(parts, i):
    """Return the path of part `i` in the folder of parts."""
    return parts / f'{i:06d}.mp4'


def _write_parts(parts, clip, timeline, codec, renderer, bar):
    """Stylize the frames of a clip in parts of PART_FRAMES, skipping finished ones, and note their times."""
    smooth, frames = TemporalSmoothing(renderer.temporal_smoothing), _noted(clip.frames(), timeline, bar)
    size = None
    for i, first in enumerate(frames):
        size = size or first.pixels.shape[:2]
        part = _part_path(parts, i)
        numbered = itertools.chain([first], itertools.islice(frames, PART_FRAMES - 1))
        # A resumed run continues from the last picture of a part. This file is written after the part, so that it
        # exists only if the part is complete.
        last = part.with_suffix('.png')
        if last.exists():
            for frame in numbered:
                pass
            smooth.before = np.float32(frame.pixels), np.float32(iio.imread(last))
        else:
            encoding = clip_writing.Encoding(codec, clip.rate, clip.colors, clip.pixel_aspect)
            with clip_writing.encoder(part, encoding, *size) as encode:
                for frame in numbered:
                    picture = _stylize_frame(frame.pixels, renderer, smooth)
                    is_same_size = picture.shape[:2] == size
                    aspect = float(frame.pixel_aspect / clip.pixel_aspect)
                    encode(picture if is_same_size else clip_pixels.letterbox(picture, *size, aspect))
            utils.save_image(last, picture)


def _noted(frames, timeline, bar):
    """Yield frames, and note their times."""
    for frame in frames:
        timeline.add(frame.time, frame.duration)
        bar.update()
        yield frame


def _stylize_frame(photo, renderer, smooth):
    """Return the picture of a frame, uint8 [H, W, 3]; the smoothing starts anew if the size changes."""
    if smooth.before and smooth.before[0].shape != photo.shape:
        smooth.before = None
    picture = utils.to_uint8(smooth(np.float32(photo), renderer.picture(np.float32(photo))))
    # Continue from the rounded picture, because a resumed run reads it from a file.
    smooth.before = np.float32(photo), np.float32(picture)
    return picture
