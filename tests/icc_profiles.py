"""ICC profiles for the tests, made by hand (ICC.1:2022)."""

import struct
import zlib

import numpy as np

from common import color_profiles

D50 = (0.9642, 1, 0.8249)
SRGB_COLORANTS = {b'rXYZ': (0.4361, 0.2225, 0.0139), b'gXYZ': (0.3851, 0.7169, 0.0971),
                  b'bXYZ': (0.1431, 0.0606, 0.7141)}
SRGB_CURVE = (3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # function type and parameters


def xyz(values):
    """Return a tag of type XYZ."""
    return b'XYZ \0\0\0\0' + struct.pack('>3i', *(round(65536 * value) for value in values))


def para(kind, *parameters):
    """Return a tag of type para, a parametric curve."""
    return b'para\0\0\0\0' + struct.pack(f'>HH{len(parameters)}i', kind, 0, *(round(65536 * p) for p in parameters))


def curv(entries):
    """Return a tag of type curv: no entries for the identity, one for a gamma in 1/256, or a table of uint16."""
    return b'curv\0\0\0\0' + struct.pack(f'>I{len(entries)}H', len(entries), *entries)


def lut8(channels, colors):
    """Return a tag of type mft1: a table of Lab colors.

    Args:
        channels: Number of device channels.
        colors: Lab colors [nodes, ..., 3] with one axis of nodes for each channel; L from 0 to 100.
    """
    encoded = np.uint8(np.rint(np.clip(colors * [255 / 100, 1, 1] + [0, 128, 128], 0, 255)))
    ramp = bytes(range(256))
    matrix = struct.pack('>9i', *np.int64(np.eye(3).ravel() * 65536))
    return (b'mft1\0\0\0\0' + bytes([channels, 3, len(colors), 0]) + matrix + ramp * channels + encoded.tobytes()
            + ramp * 3)


def profile(space, tags, connection=b'XYZ '):
    """Return the bytes of a profile.

    Args:
        space: Signature of the color space, for example b'RGB '.
        tags: Signature -> tag.
        connection: Signature of the profile connection space.
    """
    tags = {b'wtpt': xyz(D50), b'desc': b'desc\0\0\0\0' + struct.pack('>I', 5) + b'test\0' + bytes(78),
            b'cprt': b'text\0\0\0\0none\0'} | tags
    place, table, body = 132 + 12 * len(tags), struct.pack('>I', len(tags)), b''
    for name, content in tags.items():
        table += name + struct.pack('>II', place + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack('>I4sI4s4s4s12s4s', place + len(body), b'test', 0x02400000,
                         b'prtr' if space == b'CMYK' else b'mntr', space, connection,
                         struct.pack('>6H', 2026, 1, 1, 0, 0, 0), b'acsp')
    header += bytes(68 - len(header)) + xyz(D50)[8:]
    return header + bytes(128 - len(header)) + table + body


def rgb(curve=SRGB_CURVE, colorants=None):
    """Return an RGB profile with a matrix; by default it is sRGB's."""
    curves = dict.fromkeys((b'rTRC', b'gTRC', b'bTRC'), curve if isinstance(curve, bytes) else para(*curve))
    return profile(b'RGB ', curves | {name: xyz(value) for name, value in (colorants or SRGB_COLORANTS).items()})


def gray(curve, connection=b'XYZ '):
    """Return a gray profile with a curve, which is a tag."""
    return profile(b'GRAY', {b'kTRC': curve}, connection)


# Red of this profile is green of sRGB, and the other way round.
EXCHANGED = rgb(colorants=SRGB_COLORANTS | {b'rXYZ': SRGB_COLORANTS[b'gXYZ'], b'gXYZ': SRGB_COLORANTS[b'rXYZ']})


def is_srgb(data):
    """Return whether the bytes of a file contain the project's sRGB profile, whole or compressed as in a PNG."""
    if data.startswith(b'\x89PNG') and (place := data.find(b'iCCP')) > 0:
        start = data.index(b'\0', place) + 2
        return zlib.decompressobj().decompress(data[start:]) == color_profiles.SRGB
    return color_profiles.SRGB in data
