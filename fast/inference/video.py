"""Clips: frame by frame in constant memory, in parts that survive a kill, with the sound; steadier if asked for."""

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
OUTPUT_SUFFIXES = CLIP_SUFFIXES[:-1]  # those that hold the codec; of another kind becomes FALLBACK_SUFFIX
FALLBACK_SUFFIX = '.mkv'
PART_FRAMES = 48  # frames that are written at a time
CODEC, PIXEL_FORMAT = 'libx264', 'yuv420p'  # what every player takes; it has even sides alone
ENCODER_OPTIONS = {'crf': '18'}  # of 51, 0 the best: no loss that is seen
MAX_BLEND_SHARE = 0.8  # of the picture before, at most, in a steady one
AGREEMENT_SCALE = 12.  # of 255: by how much a photo may differ from the one before, warped, to count as the same
FLOW_SIDE_PX = 256  # longer side at which the flow is looked for


class TemporalSmoothing:
    """Mixes the picture before into a picture, where the photos show the same at the place where it has moved to.

    Call it with photo and picture of one frame after the other, float32 [H, W, 3]; share: at most, of the one before.
    """

    def __init__(self, share):
        self.share, self.before = share, None

    def __call__(self, photo, picture):
        """Return the picture, steadier."""
        if self.share:
            if self.before:
                warped_photo, warped_picture = warp(photo, *self.before)
                difference = np.abs(photo - warped_photo).mean(axis=2, keepdims=True)
                share = self.share * np.exp(-(difference / AGREEMENT_SCALE) ** 2)
                mixed = picture + share * (warped_picture - picture)
                picture = np.where(np.isnan(mixed), picture, mixed)
            self.before = photo, picture
        return picture


def warp(photo, before, *others):
    """The photo before, and others of its size, moved to where their things are in this photo, [H, W, 3] each.

    NaN where nothing of them is.
    By the optical flow of the iterative Lucas-Kanade method (Le Besnerais and Champagnat 2005), at a reduced size.
    """
    try:
        import skimage.color  # only steady clips need it
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


def stylize(source, target, renderer):
    """Stylize the clip at `source` with an `applying.Renderer`, write it to `target`; return its size as text.

    Finished parts of it are kept beside `target` until all are there: after a kill the same call goes on.
    """
    if target.suffix.lower() not in OUTPUT_SUFFIXES:
        raise UserError(f'{source}: is a clip, and {target} none that can be written; '
                        f'those end in {", ".join(OUTPUT_SUFFIXES)}')
    if not source.is_file():
        raise UserError(f'{source}: no such clip')
    parts = target.with_name(f'.parts-{target.name}')
    with contextlib.ExitStack() as stack:
        with _reading(source):
            clip = stack.enter_context(_opened(source))
        if not clip.streams.video:
            raise UserError(f'{source}: has no pictures')
        stream = clip.streams.video[0]
        stream.thread_type, rate = 'AUTO', stream.average_rate  # a closed clip has no rate
        _check_audio(clip, source, target)
        _acquire_parts(parts, source, renderer)
        bar = stack.enter_context(tqdm(total=stream.frames or None, unit='frame', disable=None))
        written = _write_parts(parts, _photos(clip, source), rate, renderer, bar)
    if not written:
        raise UserError(f'{source}: has no pictures')
    with files.atomic_write(target) as part:
        _join([_part_path(parts, i) for i in range(-(-written // PART_FRAMES))], rate, source, part)
    shutil.rmtree(parts)
    return f'{written} frames'


def _check_audio(clip, source, target):
    """Raise `UserError` for a sound that the kind of clip at `target` cannot hold."""
    with tempfile.TemporaryDirectory() as folder, _opened(Path(folder, target.name), 'w') as trial:
        for sound in clip.streams.audio[:1]:
            try:
                trial.add_stream_from_template(sound)
            except ValueError as error:
                raise UserError(f'{source}: its sound, {sound.codec_context.name}, does not go into a clip like '
                                f'{target}; --out clip{FALLBACK_SUFFIX} takes any') from error


def _photos(clip, source):
    """The frames of an open clip, uint8 [H, W, 3], one after the other, upright."""
    with _reading(source):
        for frame in clip.decode(clip.streams.video[0]):
            yield _upright(frame)


def _opened(path, *mode):
    """A container of the package av, which imageio's plugin for clips is made of: that one takes no sound."""
    try:
        import av
    except ImportError:
        raise UserError(f'{path}: clips need the package av: pip install av') from None
    return av.open(str(path), *mode)


def _upright(frame):
    """Its pixels, uint8 [H, W, 3], the way up that it is to be shown, without an odd last row or column."""
    pixels = np.rot90(frame.to_ndarray(format='rgb24'), round(frame.rotation / 90))
    return pixels[:len(pixels) // 2 * 2, :pixels.shape[1] // 2 * 2]


@contextlib.contextmanager
def _reading(source):
    """What goes wrong with the clip at `source` becomes a `UserError`."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        raise UserError(f'{source}: cannot be read as a clip ({error})') from error


def _acquire_parts(parts, source, renderer):
    """Make the folder of parts; parts of another clip, or of other settings, go."""
    now = dict(clip=[source.stat().st_size, source.stat().st_mtime_ns], tile=renderer.tile) | renderer.settings()
    with contextlib.suppress(OSError, ValueError):
        if json.loads((parts / 'about.json').read_text()) == now:
            return
    shutil.rmtree(parts, ignore_errors=True)
    with files.atomic_write(parts / 'about.json') as file:
        file.write_text(json.dumps(now))


def _part_path(parts, i):
    return parts / f'{i:06d}.mp4'


def _write_parts(parts, photos, rate, renderer, bar):
    """Stylize the photos, PART_FRAMES of them a file, those that are there left out; return how many there were."""
    steady, written = TemporalSmoothing(MAX_BLEND_SHARE * renderer.temporal_smoothing), 0

    def shown(photo):
        picture = utils.to_uint8(steady(np.float32(photo), renderer.picture(np.float32(photo))))
        steady.before = np.float32(photo), np.float32(picture)  # as it is read again after a kill
        return picture
    for first in photos:
        part = _part_path(parts, written // PART_FRAMES)
        numbered = enumerate(itertools.chain([first], itertools.islice(photos, PART_FRAMES - 1)), written + 1)
        last = part.with_suffix('.png')  # where a steady clip goes on; written after its part
        if last.exists():
            for written, photo in numbered:
                bar.update()
            steady.before = np.float32(photo), np.float32(iio.imread(last))
        else:
            with _encoder(part, rate, *first.shape[:2]) as encode:
                for written, photo in numbered:
                    encode(picture := shown(photo))
                    bar.update()
            utils.save_image(last, picture)
    return written


@contextlib.contextmanager
def _encoder(path, rate, height, width):
    """Yield a function that takes the pictures of a part, uint8 [height, width, 3], one after the other."""
    import av
    with files.atomic_write(path) as part, _opened(part, 'w') as file:
        stream = file.add_stream(CODEC, rate)
        stream.height, stream.width = height, width
        stream.pix_fmt, stream.options = PIXEL_FORMAT, ENCODER_OPTIONS
        places = itertools.count()

        def encode(picture):
            """Write one."""
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24').reformat(format=PIXEL_FORMAT)
            frame.pts, frame.time_base = next(places), 1 / rate
            file.mux(stream.encode(frame))
        yield encode
        file.mux(stream.encode())


def _join(parts, rate, source, target):
    """Write one clip of the frames of `parts` and of the sound of the clip at `source`, neither encoded again."""
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
    """The packets of the clips, one after the other."""
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
    """The packets of the sound."""
    for packet in original.demux(sound):
        if packet.dts is not None:
            packet.stream = stream
            yield packet
