"""Change what FFmpeg's muxers have written into the headers of AVI and WebM, where the package av has no setting."""

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

HEADER_BYTES = 1 << 16  # The fields are in the first part of the file.
PLACEHOLDER = b'aspect.'  # Title of the video stream of a WebM; `set_display_size` needs as many bytes as it takes.
MAX_RATE_ERROR = 0.05  # of the blocks of audio in an AVI, relative; the durations of some sources are rounded
MAX_ASPECT_ERROR = 0.002  # of a display size in whole pixels, relative
MAX_DISPLAY_SCALE = 16  # The display size is so many times the height if this makes it exact.


class StreamStart(NamedTuple):
    """The first packet of a stream."""

    time: Fraction  # in seconds
    size: int  # in bytes
    duration: Fraction  # in seconds, 0 if it is unknown


def set_avi_starts(path: Path, starts: Sequence[StreamStart]) -> None:
    """Complete the stream headers of an AVI (AVISTREAMHEADER), in the order of its streams.

    FFmpeg's muxer writes 0 as the start of each stream (dwStart). It also computes the duration of the blocks of ADPCM
    (dwScale / dwRate) from a rounded bit rate.
    """
    with open(path, 'r+b') as file:
        header, place = file.read(HEADER_BYTES), -1
        for start in starts:
            place = header.index(b'strh', place + 1)
            scale, rate, sample_size = (int.from_bytes(header[place + offset:place + offset + 4], 'little')
                                        for offset in (28, 32, 52))
            if sample_size == start.size and abs(start.duration * rate / scale - 1) > MAX_RATE_ERROR and start.duration:
                scale, rate = start.duration.as_integer_ratio()
            file.seek(place + 28)
            for number in (scale, rate, max(0, round(start.time * rate / scale))):
                file.write(number.to_bytes(4, 'little'))


def display_size(width: int, height: int, pixel_aspect: Fraction) -> tuple[int, int]:
    """Return a display size (width, height) in whole pixels that has the aspect ratio of a picture."""
    for scale in range(1, MAX_DISPLAY_SCALE + 1):
        exact = width * pixel_aspect * scale
        if abs(round(exact) / exact - 1) <= (MAX_ASPECT_ERROR if scale == 1 else 0):
            return round(exact), height * scale
    return max(1, round(width * pixel_aspect)), height


def set_display_size(path: Path, width: int, height: int) -> None:
    """Write the display size into the header of a WebM whose video stream has the title PLACEHOLDER.

    The elements DisplayWidth and DisplayHeight take the place of the title, so that no other element moves.
    """
    title = b'\x53\x6e' + bytes([0x80 | len(PLACEHOLDER)]) + PLACEHOLDER
    elements = b''.join(name + b'\x82' + min(side, 0xffff).to_bytes(2, 'big')
                        for name, side in ((b'\x54\xb0', width), (b'\x54\xba', height)))
    with open(path, 'r+b') as file:
        header = file.read(HEADER_BYTES)
        # The element Video: its size in one byte, then PixelWidth.
        video = re.compile(rb'\xe0([\x80-\xf0])\xb0[\x81\x82]', re.DOTALL).search(header, header.index(title))
        size = video[1][0] & 0x7f
        end = video.end(1) + size
        file.seek(header.index(title))
        file.write(header[header.index(title) + len(title):video.start(1)] + bytes([0x80 | size + len(elements)])
                   + header[video.end(1):end] + elements)
