"""Read clips: upright frames with their times, and the packets of the first audio stream.

All times count from the start of the clip, so that the relation of video and audio is kept.
"""

import contextlib
import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.errors import UserError
from fast.inference import clip_pixels, clip_truncation

MAX_PRIMING_SECONDS = Fraction(1, 10)  # Audio encoders start with so much silence, before the start of the clip.
MAX_TICK_SECONDS = Fraction(1, 10_000)  # The start of a clip is rounded to ticks.
DEFAULT_RATE = Fraction(25)
MAX_RATE = 1000  # frames per second; a rate above is a unit of time
TRIAL_PACKETS = 50  # audio packets that `Scan` keeps
ALPHA_DECODERS = {'vp8': 'libvpx', 'vp9': 'libvpx-vp9'}  # FFmpeg's own decoders ignore the alpha channel.
DTS_FORMATS = 'avi',  # They have no presentation times; FFmpeg's guesses are wrong for reordered frames.
# Their times may start again in mid-clip. FFmpeg's program joins them by the same limits.
DISCONTINUOUS_FORMATS = 'mpegts', 'mpeg', 'ogg'
MAX_STEP_BACK_SECONDS, MAX_GAP_SECONDS = Fraction(1, 10), 10
PARTIAL_FORMATS = 'mpegts',  # Recordings of broadcasts may start and end anywhere.


class Frame(NamedTuple):
    """A frame of a clip."""

    pixels: np.ndarray  # upright, uint8 [H, W, 3], H and W even
    time: int  # in `Clip.time_base`, increasing from frame to frame
    duration: int  # in `Clip.time_base`; 0 if it is unknown
    pixel_aspect: Fraction  # width of a pixel divided by its height


class Scan(NamedTuple):
    """What reading the packets of a clip shows without decoding them."""

    frames: int
    audio_packets: list  # the first ones


def open_container(path: str | Path, mode: str = 'r', **options):
    """Open a clip with the package av, which only clips need; imageio's clip plugin, built on it, ignores audio.

    Raises:
        UserError: The package is not installed.
    """
    try:
        import av
    except ImportError:
        raise UserError(f'{path}: clips need the package av: pip install av') from None
    return av.open(f'file:{path}', mode, **options)  # FFmpeg would take a name with a colon for a URL.


@contextlib.contextmanager
def reading(source: Path) -> Iterator[None]:
    """Turn errors that occur while the clip at `source` is read into a `UserError`."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        raise UserError(f'{source}: cannot be read as a clip ({error})') from error


@contextlib.contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn errors of FFmpeg that occur while the clip at `target` is written into a `UserError`, except for OSError."""
    import av
    try:
        yield
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise UserError(f'{target}: cannot be written ({error}); try another format, such as --out clip.mkv') from error


@contextlib.contextmanager
def open_clip(source: Path) -> Iterator['Clip']:
    """Open a clip within a `with` block.

    Raises:
        UserError: The file does not exist, is no clip, is cut short, or has no video.
    """
    if not source.is_file():
        raise UserError(f'{source}: no such clip')
    if clip_truncation.is_cut_short(source):
        raise UserError(f'{source}: is cut short{_missing_share(source)}; copy or download it again')
    with contextlib.ExitStack() as stack:
        with reading(source):
            clip = Clip(source, stack.enter_context(open_container(source)))
        yield clip


class Clip:
    """A clip that is open for reading. It can be read once.

    Attributes:
        source: Path of the clip.
        container: The open container.
        video: The video stream.
        audio: The first audio stream, None without audio.
        origin: Time in the container at which the clip starts, in seconds.
        time_base: Unit of the times of its frames, in seconds.
        rate: Mean number of frames per second, as far as it is known before decoding.
        colors: `clip_pixels.Colors` of the clip; None before the first frame.
        pixel_aspect: Width of an upright pixel divided by its height; None before the first frame.
    """

    def __init__(self, source: Path, container) -> None:
        """Take the path and the open container; raise `UserError` if it has no video."""
        videos = [stream for stream in container.streams.video if not _is_cover(stream)]
        if not videos:
            raise UserError(f'{source}: contains no video')
        self.source, self.container, self.video = source, container, videos[0]
        self.audio = next(iter(container.streams.audio), None)
        self.origin, tick = self._origin(), self.video.time_base
        start = self.origin / tick
        self.time_base = tick if start.denominator == 1 else tick / math.ceil(tick / MAX_TICK_SECONDS)
        rate = self.video.average_rate or self.video.guessed_rate
        self.rate = rate if rate and rate <= MAX_RATE else DEFAULT_RATE
        self.colors = self.pixel_aspect = self._first_size = None

    def _origin(self):
        """Return the start of the container in seconds, or 0 if only the priming of the audio is before 0."""
        import av
        start = Fraction(self.container.start_time or 0, av.time_base)
        if -MAX_PRIMING_SECONDS <= start < 0:
            start = min(Fraction(0), (self.video.start_time or 0) * self.video.time_base)
        return start

    def scan(self) -> Scan:
        """Read all packets without decoding them.

        Raises:
            UserError: The clip is cut short.
        """
        frames, audio_packets, last = 0, [], {}
        with reading(self.source):
            for packet in self.container.demux():
                if packet.size:
                    frames += packet.stream_index == self.video.index
                    last[packet.stream_index] = packet
                    if self.audio and packet.stream_index == self.audio.index and len(audio_packets) < TRIAL_PACKETS:
                        audio_packets.append(packet)
        if self.container.format.name not in PARTIAL_FORMATS and any(packet.is_corrupt for packet in last.values()):
            raise UserError(f'{self.source}: is cut short; copy or download it again')
        return Scan(frames, audio_packets)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames of the clip in order.

        Raises:
            UserError: A frame is damaged or too small.
        """
        clock = _Clock(self)
        with reading(self.source):
            for frame in self._decode():
                time = clock.time(frame)
                matrix = clip_pixels.display_matrix(frame)
                height = frame.width if clip_pixels.is_transposed(matrix) else frame.height
                colors = clip_pixels.source_colors(frame, self.video.codec_context, height)
                aspect = self._pixel_aspect(frame, matrix)
                self.colors, self.pixel_aspect = self.colors or colors, self.pixel_aspect or aspect
                pixels = clip_pixels.to_rgb(frame, colors.matrix)
                pixels = pixels[:len(pixels) // 2 * 2, :pixels.shape[1] // 2 * 2]
                if not pixels.size:
                    raise UserError(f'{self.source}: frames of {frame.width}×{frame.height} are too small')
                yield Frame(pixels, time, clock.duration(frame), aspect)

    def _decode(self):
        """Yield the decoded frames. Packets before the first frame that are not decodable are skipped."""
        import av
        decoder, count, skipped = self._decoder(), 0, None
        packets = (packet for packet in self._packets() if packet.stream_index == self.video.index)
        for packet in itertools.chain(packets, [None]):  # None flushes the decoder.
            try:
                decoded = decoder.decode(packet)
            except av.error.InvalidDataError as error:
                if count:
                    raise
                decoded, skipped = [], error
            for frame in decoded:
                count += 1
                yield frame
        if skipped and not count:
            raise skipped

    def _decoder(self):
        """Return the decoder of the video stream."""
        import av
        context = self.video.codec_context
        metadata = {name.lower(): value for name, value in self.video.metadata.items()}
        if metadata.get('alpha_mode') == '1' and context.name in ALPHA_DECODERS:
            with contextlib.suppress(ValueError):  # This build of the package av has no such decoder.
                decoder = av.CodecContext.create(ALPHA_DECODERS[context.name], 'r')
                decoder.extradata = context.extradata
                return decoder
        context.thread_type = 'AUTO'
        return context

    def _pixel_aspect(self, frame, matrix):
        """Return the pixel aspect ratio of an upright frame."""
        context = self.video.codec_context
        size = frame.width, frame.height
        self._first_size = self._first_size or size
        aspect = self.video.sample_aspect_ratio if size == self._first_size else context.sample_aspect_ratio
        aspect = aspect if aspect and aspect > 0 else Fraction(1)
        return 1 / aspect if clip_pixels.is_transposed(matrix) else aspect

    def sound(self, keep_priming: bool) -> Iterator:
        """Yield the packets of the audio stream, with times that count from the start of the clip.

        Args:
            keep_priming: Whether packets before the start of the clip are yielded.

        Raises:
            UserError: The clip is damaged.
        """
        with reading(self.source):
            start, last, end = round(self.origin / self.audio.time_base), -math.inf, 0
            for packet in self._packets():
                if packet.stream_index != self.audio.index:
                    continue
                ticks, duration = packet.dts if packet.pts is None else packet.pts, packet.duration or 0
                time = end if ticks is None else ticks - start
                is_priming = time < 0 and time + duration <= 0
                # An edit list hides some packets; those after the start have the times of others.
                if not keep_priming if is_priming else packet.is_discard:
                    continue
                is_jump = last >= 0 and abs(time - end) > duration > 0
                if is_jump and self.container.format.name in DTS_FORMATS:
                    time = end  # An AVI has no times, and FFmpeg computes wrong ones for some codecs.
                # Where recordings are joined, the sound may overlap. Packets shorter than a tick may have equal times.
                if time < last + (max(1, duration // 2) if duration > 1 else 0):
                    time = max(end, last + 1)
                packet.pts = packet.dts = last = time
                end = last + duration
                yield packet

    def _packets(self):
        """Yield the packets of both streams, with continued times where those of a recording start again."""
        join = _Join() if self.container.format.name in DISCONTINUOUS_FORMATS else None
        for packet in self.container.demux([stream for stream in (self.video, self.audio) if stream]):
            if packet.size:
                if join:
                    join.shift(packet)
                yield packet


class _Join:
    """Continue the times of recordings that were joined to one file."""

    def __init__(self):
        """Start without an offset."""
        self.offset = Fraction(0)  # of the newest recording
        self.offsets, self.ends = {}, {}  # of each stream

    def shift(self, packet):
        """Add the offset of its recording to the times of a packet."""
        stream, unit = packet.stream_index, packet.time_base
        if packet.dts is not None:
            time, end = packet.dts * unit, self.ends.get(stream)
            # Near the joint, a stream may still be in the recording before.
            offsets = [offset for offset in (self.offsets.get(stream, self.offset), self.offset)
                       if end is None or -MAX_STEP_BACK_SECONDS <= time + offset - end <= MAX_GAP_SECONDS]
            if not offsets:
                self.offset = max(self.ends.values()) - time
            self.offsets[stream] = offsets[0] if offsets else self.offset
            self.ends[stream] = time + self.offsets[stream] + (packet.duration or 0) * unit
        shift = round(self.offsets.get(stream, self.offset) / unit)
        packet.pts, packet.dts = (None if ticks is None else ticks + shift for ticks in (packet.pts, packet.dts))


class _Clock:
    """The times of a clip's frames: strictly increasing, and complete where the container lacks some."""

    def __init__(self, clip):
        """Take the clip."""
        self.scale = round(clip.video.time_base / clip.time_base)
        self.start = round(clip.origin / clip.time_base)
        self.period = max(1, round(1 / clip.rate / clip.time_base))
        self.last, self.is_dts_only = None, clip.container.format.name in DTS_FORMATS

    def time(self, frame):
        """Return the time of the next frame."""
        ticks = frame.dts if frame.pts is None or self.is_dts_only else frame.pts
        if ticks is not None:
            time = ticks * self.scale - self.start
        else:
            time = 0 if self.last is None else self.last + self.period
        self.last = time if self.last is None else max(time, self.last + 1)
        return self.last

    def duration(self, frame):
        """Return the duration of a frame, 0 if it is unknown."""
        return (getattr(frame, 'duration', 0) or 0) * self.scale  # Old versions of the package av do not have it.


def _is_cover(stream):
    """Return whether a video stream is a picture of a title page."""
    disposition = getattr(stream, 'disposition', None)  # Old versions of the package av do not have it.
    return disposition is not None and bool(disposition & type(disposition).attached_pic)


def _missing_share(source):
    """Return how much of a clip can be read, as a part of an error message; nothing if this is unknown."""
    with contextlib.suppress(Exception), open_container(source) as container:
        ends = [(packet.pts + (packet.duration or 0)) * packet.time_base for packet in container.demux()
                if packet.pts is not None and not packet.is_corrupt]
        if container.duration and ends:
            import av
            start, total = (Fraction(value or 0, av.time_base) for value in (container.start_time, container.duration))
            if (found := max(ends) - start) < total:
                return f': {float(found):.1f} of {float(total):.1f} s are there'
    return ''
