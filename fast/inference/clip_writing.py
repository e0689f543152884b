"""Encode pictures as parts of a clip, and join the parts and the audio of the source without encoding them again."""

import contextlib
import errno
import heapq
import io
import itertools
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common import files
from common.errors import UserError
from fast.inference import clip_headers, clip_pixels
from fast.inference.clip_timeline import Timeline
from fast.inference.clips import Clip, open_container

FALLBACK_SUFFIX = '.mkv'  # of clips in formats that are only read
# Suffix -> name of the muxer. The first that can hold a codec is named in error messages.
MUXERS = {FALLBACK_SUFFIX: 'matroska', '.mov': 'mov', '.mp4': 'mp4', '.ts': 'mpegts', '.avi': 'avi', '.webm': 'webm',
          '.m4v': 'mp4'}
PRIMING_MUXERS = 'mov', 'mp4'  # Their edit lists hide audio from before the start of the clip.
PIXEL_FORMAT = 'yuv420p'  # Every player supports it; it needs even sides.
# Without reordered or hidden frames, each packet is one frame. The quality shows no loss.
H264 = 'libx264', {'crf': '18', 'bf': '0'}
# An AVI has no presentation times. Without the timing messages of a hypothetical decoder (HRD), which need a bit rate,
# FFmpeg from version 7 on shows each frame at the time of the next. The rate is that of level 4.1, in kbit/s.
H264_AVI = 'libx264', H264[1] | {'x264-params': 'nal-hrd=vbr:vbv-maxrate=62500:vbv-bufsize=62500'}
VP9 = 'libvpx-vp9', {'crf': '24', 'b': '0', 'deadline': 'good', 'cpu-used': '4', 'row-mt': '1', 'auto-alt-ref': '0',
                     'lag-in-frames': '0'}
# Their packets are frames of any number of bytes.
AVI_FRAME_CODECS = 'aac', 'ac3', 'flac', 'mp2', 'mp2float', 'mp3', 'mp3float'
AVI_VIDEO_FILTER = 'h264_mp4toannexb'  # The other muxers apply it themselves.
FULL_DISK_ERRORS = errno.ENOSPC, errno.EFBIG, errno.EDQUOT
MAX_TRIAL_ERROR_SECONDS = 0.1  # of the time between the first packets of an audio


class Encoding(NamedTuple):
    """How the pictures of a clip are encoded."""

    codec: tuple[str, dict[str, str]]  # H264, H264_AVI or VP9
    rate: Fraction  # a hint for the encoder; the times are set when the parts are joined
    colors: clip_pixels.Colors
    pixel_aspect: Fraction


class Sound(NamedTuple):
    """The audio of a clip."""

    stream: object  # an `av.AudioStream`
    packets: Iterable  # in order, with times that count from the start of the clip


def choose_codec(target: Path) -> tuple[str, dict[str, str]]:
    """Return the codec for a clip, H264, H264_AVI or VP9, by the suffix of its name."""
    return {'.avi': H264_AVI, '.webm': VP9}.get(target.suffix.lower(), H264)


@contextlib.contextmanager
def encoder(path: Path, encoding: Encoding, height: int, width: int) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that encodes the pictures of a part, uint8 [height, width, 3], in order."""
    with files.atomic_write(path) as part, open_container(part, 'w') as file:
        name, options = encoding.codec
        stream = file.add_stream(name, encoding.rate)
        context, colors = stream.codec_context, encoding.colors
        context.height, context.width, context.pix_fmt, context.options = height, width, PIXEL_FORMAT, options
        context.colorspace, context.color_range = colors.matrix, colors.range
        context.color_primaries, context.color_trc = colors.primaries, colors.transfer
        context.sample_aspect_ratio = encoding.pixel_aspect
        numbers = itertools.count()

        def encode(picture):
            """Encode one picture."""
            frame = clip_pixels.from_rgb(picture, PIXEL_FORMAT, colors)
            frame.pts, frame.time_base = next(numbers), 1 / encoding.rate
            file.mux(stream.encode(frame))
        yield encode
        file.mux(stream.encode())


def source_sound(clip: Clip, suffix: str) -> Sound | None:
    """Return the audio of a clip that was just opened, for a format of MUXERS; None if it has no audio."""
    return clip.audio and Sound(clip.audio, clip.sound(MUXERS[suffix] in PRIMING_MUXERS))


def join(parts: Sequence[Path], timeline: Timeline, rate: Fraction, sound: Sound | None, target: Path,
         suffix: str) -> None:
    """Write a clip of the frames of `parts` and the audio of the source, without encoding either again.

    Args:
        parts: Paths of the parts in order.
        timeline: The times of all frames.
        rate: Mean number of frames per second of the source.
        sound: The audio of the source, None without audio.
        target: Path of the result.
        suffix: Suffix of the clip's format, a key of MUXERS.

    Raises:
        UserError: The source cannot be read.
    """
    import av
    muxer = MUXERS[suffix]
    if muxer == 'avi':
        timeline = timeline.constant_rate(rate)
    starts = []
    with open_container(parts[0]) as template, open_container(target, 'w', format=muxer) as joined:
        picture = joined.add_stream_from_template(template.streams.video[0])
        if muxer == 'avi':
            av.bitstream.BitStreamFilterContext(AVI_VIDEO_FILTER, template.streams.video[0], picture)
            picture.codec_context.codec_tag = 'H264'
        if display_size := _webm_display_size(template.streams.video[0]) if muxer == 'webm' else None:
            picture.metadata['title'] = clip_headers.PLACEHOLDER.decode()
        picture.time_base = timeline.time_base
        streams = [_video_packets(parts, timeline, rate, picture, muxer)]
        if sound:
            streams.append(_audio_packets(joined, sound, template.streams.video[0], muxer))
        if muxer == 'avi':
            streams = [_from_zero(packets, starts) for packets in streams]
            joined.start_encoding()  # It sets the unit of time of each stream.
            streams = [_increasing(packets, stream) for packets, stream in zip(streams, joined.streams)]
        for packet in heapq.merge(*streams, key=lambda packet: packet.dts * packet.time_base):
            joined.mux(packet)
    if muxer == 'avi':
        clip_headers.set_avi_starts(target, starts)
    if display_size:
        clip_headers.set_display_size(target, *display_size)


def _webm_display_size(stream):
    """Return the display size of a video stream, None if its pixels are square."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    return None if aspect == 1 else clip_headers.display_size(stream.width, stream.height, aspect)


def _from_zero(packets, starts):
    """Return an iterator over packets, with times that count from the first one; append its `StreamStart`."""
    packets = iter(packets)
    first = next(packets, None)
    if first is None:
        return iter(())
    starts.append(clip_headers.StreamStart(first.dts * first.time_base, first.size,
                                           (first.duration or 0) * first.time_base))

    def shifted():
        """Yield the packets."""
        start = first.dts
        for packet in itertools.chain([first], packets):
            packet.dts -= start
            packet.pts = packet.dts
            yield packet
    return shifted()


def _increasing(packets, stream):
    """Yield packets with increasing times in the unit of a stream, which rounding may make equal."""
    last = -1
    for packet in packets:
        last = max(round(packet.dts * packet.time_base / stream.time_base), last + 1)
        packet.time_base, packet.pts, packet.dts, packet.duration = stream.time_base, last, last, 0
        yield packet


def _video_packets(parts, timeline, rate, stream, muxer):
    """Yield the video packets of the parts in order for `stream`, each with the time of its frame."""
    spans = timeline.spans(rate)
    for part in parts:
        with open_container(part) as clip:
            packets = (packet for packet in clip.demux(clip.streams.video[0]) if packet.size)
            if muxer == 'avi':
                packets = _filtered(packets, AVI_VIDEO_FILTER, clip.streams.video[0])
            for packet in packets:
                packet.time_base = timeline.time_base
                packet.pts, packet.duration = next(spans)
                packet.dts, packet.stream = packet.pts, stream
                yield packet


def _audio_packets(joined, sound, video_template, muxer):
    """Add the stream of an audio to an output container; return an iterator over its packets for this stream."""
    packets = iter(sound.packets)
    first = next(packets, None)
    if first is None:
        return iter(())
    packets, codec = itertools.chain([first], packets), sound.stream.codec_context.name
    with contextlib.ExitStack() as stack:
        template = sound.stream
        if muxer == 'avi' and codec in AVI_FRAME_CODECS:
            template = stack.enter_context(_without_block_size(template, first)).streams.audio[0]
        stream = _add_audio_stream(joined, template, video_template, muxer)
    if muxer == 'avi' and codec == 'aac' and (config := _aac_config(bytes(first))):
        stream.codec_context.extradata = config
        packets = _filtered(packets, 'aac_adtstoasc', sound.stream)
    return _sent_to(stream, packets)


def _add_audio_stream(joined, template, video_template, muxer):
    """Add an audio stream with the codec of another one; raise ValueError if the format cannot hold it."""
    import av
    try:
        return joined.add_stream_from_template(template)
    except ValueError:
        if muxer != 'matroska':
            raise
        # Matroska holds every codec that an AVI holds, but the package av does not know it. Make any stream, and set
        # its codec by a filter that does nothing else.
        stream = joined.add_stream_from_template(video_template)
        av.bitstream.BitStreamFilterContext('null', template, stream)
        stream.time_base = template.time_base
        return stream


def _without_block_size(stream, packet):
    """Return an open container with an audio stream like another, without the block size that it has from an AVI.

    With it, FFmpeg's muxer would write packets of a fixed number of bytes.
    """
    import av
    file = io.BytesIO()
    with av.open(file, 'w', format='matroska') as container:
        copy = next(_copied([packet]))
        copy.stream = container.add_stream_from_template(stream)
        container.mux(copy)
    file.seek(0)
    return av.open(file)


def _sent_to(stream, packets):
    """Yield packets for another stream."""
    for packet in packets:
        packet.stream = stream
        yield packet


def _filtered(packets, name, stream):
    """Yield packets that have passed a bitstream filter, which takes and gives one at a time."""
    import av
    context = av.bitstream.BitStreamFilterContext(name, stream)
    for packet in packets:
        yield from context.filter(packet)


def _aac_config(packet):
    """Return the AudioSpecificConfig (ISO 14496-3) of an AAC packet with an ADTS header; None without this header."""
    if len(packet) < 7 or packet[0] != 0xff or packet[1] & 0xf0 != 0xf0:
        return None
    profile, frequency, channels = packet[2] >> 6, packet[2] >> 2 & 15, (packet[2] & 1) << 2 | packet[3] >> 6
    return ((profile + 1) << 11 | frequency << 7 | channels << 3).to_bytes(2, 'big')


def check_audio(clip: Clip, packets: Sequence, target: Path) -> None:
    """Raise `UserError` if a file like `target` cannot hold the audio of a clip.

    Args:
        clip: The open clip.
        packets: The first packets of its audio.
        target: Path of the result.
    """
    if not packets or _can_hold(target.suffix.lower(), clip.audio, packets):
        return
    codec = clip.audio.codec_context.name if clip.audio.codec_context else 'an unknown codec'
    others = [suffix for suffix in MUXERS if _can_hold(suffix, clip.audio, packets)]
    advice = f'use --out clip{others[0]}' if others else 'and no other can; remove or convert the audio'
    raise UserError(f'{clip.source}: a file like {target} cannot hold its audio ({codec}); {advice}')


def _can_hold(suffix, stream, packets):
    """Return whether a format can hold an audio stream, by writing a short clip with it and reading the clip."""
    import av
    if stream.codec_context is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        part, path = Path(folder, 'part.mp4'), Path(folder, f'trial{suffix}')
        colors = clip_pixels.Colors(clip_pixels.BT709, clip_pixels.LIMITED, clip_pixels.BT709, clip_pixels.BT709)
        with encoder(part, Encoding(choose_codec(path), Fraction(25), colors, Fraction(1)), 64, 64) as encode:
            encode(np.zeros((64, 64, 3), np.uint8))
        try:
            join([part], Timeline(Fraction(1, 25), [0]), Fraction(25), Sound(stream, _copied(packets)), path, suffix)
            with open_container(path) as trial:
                codecs = [sound.codec_context and sound.codec_context.name for sound in trial.streams.audio]
                spans = [_span(trial.demux(audio=0) if trial.streams.audio else ()), _span(_copied(packets))]
        except (ValueError, av.error.FFmpegError) as error:
            if getattr(error, 'errno', None) in FULL_DISK_ERRORS:
                raise
            return False
        if abs(spans[0] - spans[1]) > MAX_TRIAL_ERROR_SECONDS:  # FFmpeg writes it at a wrong rate.
            return False
        # The layers of MPEG audio differ only in their packets.
        layers = re.compile(r'^mp[123](float)?$')
        return [layers.sub('mpeg', name or '') for name in codecs] == [layers.sub('mpeg', stream.codec_context.name)]


def _span(packets):
    """Return the time from the first to the last of some packets, in seconds."""
    times = [packet.pts * packet.time_base for packet in packets if packet.pts is not None]
    return max(times) - min(times) if times else 0


def _copied(packets):
    """Yield copies of packets, one after the other from time 0 on."""
    import av
    time = 0
    for packet in packets:
        copy = av.Packet(bytes(packet))
        copy.time_base, copy.pts, copy.dts, copy.duration = packet.time_base, time, time, packet.duration
        copy.is_keyframe = True
        time += packet.duration or 1
        yield copy
