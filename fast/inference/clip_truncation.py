"""Find clips that are cut short, from the sizes that their containers store.

A container stores the size of each of its elements. If an element ends behind the end of the file, a part of the clip
is missing, for example because a download was interrupted. Only headers are read.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

HEADER_BYTES = 4096  # of a file, enough to recognize its container
TS_SYNC = b'\x47'
TS_PACKET_BYTES = {188: 0, 192: 4}  # of MPEG-TS and M2TS -> position of the sync byte in a packet
PADDING_TYPES = {b'free', b'skip', b'udta', b'uuid', b'wide'}  # Nothing is lost if such a box is too long.
BOX_TYPES = PADDING_TYPES | {b'ftyp', b'mdat', b'meta', b'mfra', b'moof', b'moov', b'pdin', b'prft', b'sidx',
                             b'styp'}  # at the top level of MP4 and MOV
EBML, SEGMENT, CLUSTER = b'\x1a\x45\xdf\xa3', b'\x18\x53\x80\x67', b'\x1f\x43\xb6\x75'  # elements of Matroska and WebM
ASF_HEADER = bytes.fromhex('3026b2758e66cf11a6d900aa0062ce6c')  # of WMV
ASF_FILE_PROPERTIES = bytes.fromhex('a1dcab8c47a9cf118ee400c00c205365')
ASF_BROADCAST_FLAG = 1  # The file size is not valid.
RIFF_SLACK_BYTES = 9  # Some recorders count the header of a RIFF chunk, or its padding, in its size.


def is_cut_short(path: Path) -> bool:
    """Return whether a clip lacks its end.

    The containers of MP4, MOV, Matroska, WebM, AVI, Ogg, WMV, MPEG-PS and MPEG-TS are known; the result for others is
    False.
    """
    with open(path, 'rb') as file:
        size, start = os.path.getsize(path), file.read(HEADER_BYTES)
        if start[4:8] in BOX_TYPES:
            ends = _box_ends(file)
        elif start.startswith(EBML):
            ends = _ebml_ends(file)
        elif start.startswith(b'RIFF'):
            ends = _riff_ends(file)
        elif start.startswith(b'OggS'):
            ends = _ogg_ends(file)
        elif start.startswith(ASF_HEADER):
            ends = _asf_end(start)
        elif start.startswith(b'\0\0\1\xba'):
            ends = _mpeg_ends(file)
        else:
            return _has_partial_packet(start, size)
        return any(end > size for end in ends)


def _box_ends(file: BinaryIO) -> Iterator[int]:
    """Yield the position behind each box at the top level of an MP4 or MOV file."""
    position = 0
    while header := _read(file, position, 16):
        length = int.from_bytes(header[:4], 'big')
        if length == 1:  # The length has 64 bits and follows the type.
            length = int.from_bytes(header[8:], 'big')
        if header[4:8] not in BOX_TYPES or length < 8:  # A box of length 0 continues to the end of the file.
            return
        position += length
        if header[4:8] not in PADDING_TYPES:
            yield position


def _ebml_ends(file: BinaryIO) -> Iterator[int]:
    """Yield the position behind each element of a Matroska file; elements of unknown size are entered."""
    position = 0
    while header := _read(file, position, 12):
        id_length = 9 - header[0].bit_length()  # Leading zero bits count the bytes that follow.
        if id_length > 4 or len(header) <= id_length:
            return
        length_length = 9 - header[id_length].bit_length()
        content = position + id_length + length_length
        mask = (1 << 7 * length_length) - 1
        length = int.from_bytes(header[id_length:id_length + length_length], 'big') & mask
        if length_length > 8:
            return
        yield content
        if length == mask:
            if header[:id_length] not in (SEGMENT, CLUSTER):
                return
            position = content
        else:
            position = content + length
            yield position
            if header[:id_length] == SEGMENT:
                return


def _riff_ends(file: BinaryIO) -> Iterator[int]:
    """Yield the position behind each RIFF chunk of an AVI file, less what recorders count too much."""
    position = 0
    while (header := _read(file, position, 12)).startswith(b'RIFF'):
        length = int.from_bytes(header[4:8], 'little')
        if length == 0xffffffff:  # unknown
            return
        position += 8 + length
        yield position - RIFF_SLACK_BYTES


def _ogg_ends(file: BinaryIO) -> Iterator[int]:
    """Yield the position behind each page of an Ogg file."""
    position = 0
    while (header := _read(file, position, 27 + 255)).startswith(b'OggS'):
        segments = header[26] if len(header) > 26 else 1
        position += 27 + segments + sum(header[27:27 + segments])
        yield position


def _asf_end(start: bytes) -> list[int]:
    """Return the file size that a WMV file stores in its header, alone in a list."""
    place = start.find(ASF_FILE_PROPERTIES)
    fields = start[place + 24:place + 104]
    if place < 0 or len(fields) < 80 or fields[64] & ASF_BROADCAST_FLAG:
        return []
    return [int.from_bytes(fields[16:24], 'little')]


def _mpeg_ends(file: BinaryIO) -> Iterator[int]:
    """Yield the position behind each packet of an MPEG program stream."""
    position = 0
    while (header := _read(file, position, 14)).startswith(b'\0\0\1') and len(header) > 3:
        if header[3] == 0xb9:  # end code
            return
        if header[3] == 0xba:  # pack header of MPEG-2 or MPEG-1
            is_mpeg2 = header[4:5] >= b'\x40'
            position += 14 + (header[13] & 7 if len(header) > 13 else 0) if is_mpeg2 else 12
        else:
            position += 6 + int.from_bytes(header[4:6], 'big')
        yield position


def _has_partial_packet(start: bytes, size: int) -> bool:
    """Return whether a file that starts with packets of MPEG-TS ends within one."""
    for length, offset in TS_PACKET_BYTES.items():
        if len(start) > 4 * length and all(start[i:i + 1] == TS_SYNC for i in range(offset, 4 * length, length)):
            return size % length > 0
    return False


def _read(file: BinaryIO, position: int, length: int) -> bytes:
    """Read some bytes at a position; fewer at the end of the file."""
    file.seek(position)
    return file.read(length)
