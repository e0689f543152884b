"""Write small clips for tests, and read what a clip contains, with the package av alone."""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

AUDIO_RATE = 48000
MILLISECOND = Fraction(1, 1000)
# Each packet is a frame, and can be decoded without the header of the container.
ENCODER_OPTIONS = {'libx264': {'bf': '0', 'crf': '10', 'x264-params': 'annexb=1:repeat-headers=1'},
                   'libvpx': {'lag-in-frames': '0', 'auto-alt-ref': '0', 'b': '4M'},
                   'libvpx-vp9': {'lag-in-frames': '0', 'auto-alt-ref': '0', 'b': '4M'}}


def blocks(height, width, seed=0):
    """Return a random image of blocks of 6×6 pixels, [height, width, 3]."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (-(-height // 6), -(-width // 6), 3)).repeat(6, 0).repeat(6, 1)[:height, :width]


def video_packets(images, times, codec='libx264', pixel_format='yuv420p', options=None, aspect=1, tags=(), planes=None,
                  unit=MILLISECOND):
    """Encode images, uint8 [H, W, 3] or [H, W, 4], that are shown at `times`.

    Args:
        images: The images; None with `planes`.
        times: One time per image, increasing, in `unit`.
        codec: Name of the encoder.
        pixel_format: Pixel format of the encoder.
        options: Options of the encoder.
        aspect: Pixel aspect ratio.
        tags: (matrix, range, primaries, transfer), or nothing.
        planes: Values of the planes of all pixels, in place of images, with (height, width) as the first item.
        unit: Unit of time, in seconds.

    Returns:
        (encoder, packets).
    """
    height, width = planes[0] if planes else images[0].shape[:2]
    context = av.CodecContext.create(codec, 'w')
    context.width, context.height, context.pix_fmt = width, height, pixel_format
    context.time_base, context.framerate, context.options = unit, Fraction(25), dict(options or {})
    context.sample_aspect_ratio = Fraction(aspect)
    context.options |= ENCODER_OPTIONS.get(codec, {})
    if tags:
        context.colorspace, context.color_range, context.color_primaries, context.color_trc = tags
    packets = []
    for i, time in enumerate(times):
        if planes:
            frame = av.VideoFrame(width, height, pixel_format)
            for plane, value in zip(frame.planes, planes[1:]):
                dtype = np.uint8 if pixel_format[-2:] != 'le' else '<u2'
                plane.update(np.full(plane.buffer_size // np.dtype(dtype).itemsize, value, dtype).tobytes())
        else:
            kind = 'rgba' if images[i].shape[2] == 4 else 'rgb24'
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(images[i], np.uint8), format=kind)
            frame = frame.reformat(format=pixel_format)
        frame.pts, frame.time_base = time, unit
        packets += context.encode(frame)
    return context, packets + context.encode(None)


def audio_packets(codec, seconds, start=0, samples_per_packet=1024):
    """Encode a tone of 440 Hz that starts at `start`, in milliseconds; return (encoder, packets)."""
    context = av.CodecContext.create(codec, 'w')
    context.sample_rate, context.layout = AUDIO_RATE, 'mono'
    context.format, context.time_base = context.codec.audio_formats[0], Fraction(1, AUDIO_RATE)
    wave = 0.2 * np.sin(np.arange(round(AUDIO_RATE * seconds)) * 2 * np.pi * 440 / AUDIO_RATE)
    samples = av.AudioFrame.from_ndarray(np.float32(wave)[None], format='flt', layout='mono')
    samples.sample_rate = AUDIO_RATE
    if codec.startswith('wma'):
        context.bit_rate = 64000
    context.open()
    frame_size = context.frame_size or samples_per_packet
    resampler = av.AudioResampler(context.format, 'mono', AUDIO_RATE, frame_size=frame_size)
    packets, place = [], start * AUDIO_RATE // 1000
    for frame in (*resampler.resample(samples), *resampler.resample(None)):
        frame.pts, frame.time_base = place, Fraction(1, AUDIO_RATE)
        place += frame.samples
        packets += context.encode(frame)
    return context, packets + context.encode(None)


def write_clip(path, video, audio=None, file_format=None, offset=0, **options):
    """Write a clip of encoded packets.

    Args:
        path: The clip.
        video: As returned by `video_packets`, or several of them that follow each other.
        audio: As returned by `audio_packets`.
        file_format: Name of the muxer, if the suffix does not determine it.
        offset: Milliseconds that are added to all times.
        options: Options of the muxer.

    Returns:
        The path.
    """
    videos = video if isinstance(video, list) else [video]
    tracks = [(videos[0][0], [packet for _, packets in videos for packet in packets]), *([audio] if audio else [])]
    with av.open(str(path), 'w', format=file_format, container_options=options) as file:
        packets = []
        for context, encoded in tracks:
            if context.type == 'video':
                stream = file.add_stream(context.codec.name)
                stream.width, stream.height, stream.pix_fmt = context.width, context.height, context.pix_fmt
                stream.codec_context.options = dict(ENCODER_OPTIONS.get(context.codec.name, {}))
                stream.codec_context.sample_aspect_ratio = context.sample_aspect_ratio
                stream.codec_context.time_base = stream.time_base = context.time_base
                for name in ('colorspace', 'color_range', 'color_primaries', 'color_trc'):
                    setattr(stream.codec_context, name, getattr(context, name))
            else:
                stream = file.add_stream(context.codec.name, AUDIO_RATE, layout='mono', format=context.format)
                if context.bit_rate:
                    stream.bit_rate = context.bit_rate
            for packet in encoded:
                packet.stream = stream
                shift = round(offset * MILLISECOND / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packets.append(packet)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            file.mux(packet)
    return Path(path)


class Contents(NamedTuple):
    """What a clip contains."""

    times: np.ndarray  # of its frames, in seconds, from the start of the container on
    audio_times: np.ndarray  # of the audio packets, in the same way
    audio: list  # content of the audio packets
    tags: tuple  # (matrix, range, primaries, transfer)
    aspect: Fraction  # of a pixel
    codecs: list  # of all streams
    images: list  # the frames as stored, uint8 [H, W, 3]


def read_clip(path):
    """Return the `Contents` of a clip."""
    with av.open(f'file:{path}') as file:
        video, start = file.streams.video[0], Fraction(file.start_time or 0, av.time_base)
        frames = [(float(frame.pts * video.time_base - start), frame.to_ndarray(format='rgb24'))
                  for frame in file.decode(video)]
        context = video.codec_context
        tags = context.colorspace, context.color_range, context.color_primaries, context.color_trc
        aspect, codecs = video.sample_aspect_ratio, [stream.codec_context.name for stream in file.streams]
    audio = []
    with av.open(f'file:{path}') as file:
        if file.streams.audio:
            audio = [(float(packet.pts * packet.time_base - start), bytes(packet))
                     for packet in file.demux(audio=0) if packet.size]
    return Contents(np.array([time for time, _ in frames]), np.array([time for time, _ in audio]),
                    [content for _, content in audio], tuple(map(int, tags)), aspect, codecs,
                    [image for _, image in frames])
