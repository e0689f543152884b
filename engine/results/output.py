"""Pictures as files for people: PNG, JPEG, TIFF or WebP, and in each of them how it was made, to be made again.

The settings lie in the file as XMP_TEMPLATE, which programs for photos read, as JSON in its dc:description.
"""

import json
import os
import re
import struct
import zlib
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import imageio.v3 as iio
import numpy as np

import utils
from common import files
from common.errors import UserError
from common.tf1 import tf

FORMATS_16_BIT = '.png', '.tif', '.tiff'  # formats that hold 16 bits a channel
LOSSY_FORMATS = '.jpg', '.jpeg', '.webp'
OPAQUE_FORMATS = '.jpg', '.jpeg'  # formats without transparency
FORMATS = tuple(dict.fromkeys(FORMATS_16_BIT + LOSSY_FORMATS))
XMP_TEMPLATE = ('<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
       '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
       'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description><rdf:Alt><rdf:li xml:lang="x-default">{}</rdf:li>'
       '</rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>')
XMP_PACKET = re.compile(rb'<x:xmpmeta.*?</x:xmpmeta>', re.DOTALL)
XMP_ITEM_TAG = '{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li'
TIFF_XMP_TAG = 700  # its tag


class OutputFile:
    """A file that a picture is to be written to.

    path: ends in one of FORMATS; quality: 1 to 100; depth: bits a channel, 8 or 16
    alpha: [H, W] from 0, transparent, to 1; profile: ICC, bytes; both None for none
    Raises `UserError` for what the format does not have.
    """

    def __init__(self, path, quality=None, depth=8, alpha=None, profile=None):
        self.path, self.suffix = Path(path), Path(path).suffix.lower()
        if self.suffix not in FORMATS:
            raise UserError(f'--output {path}: must end in {", ".join(FORMATS)}')
        if depth == 16 and self.suffix not in FORMATS_16_BIT:
            raise UserError(f'--depth 16: {self.suffix} has 8 bits; {", ".join(FORMATS_16_BIT)} have 16')
        if quality and self.suffix not in LOSSY_FORMATS:
            raise UserError(f'--quality does nothing with {self.suffix}, which loses nothing')
        if alpha is not None and self.suffix in OPAQUE_FORMATS:
            raise UserError(f'--alpha: {self.suffix} has no transparency; .png, .tiff and .webp do')
        if self.path.is_dir():
            raise UserError(f'--output {path}: is a folder')
        above = next(folder for folder in self.path.absolute().parents if folder.exists())
        if not (above.is_dir() and os.access(above, os.W_OK)):
            raise UserError(f'--output {path}: {above} is no folder that can be written to')
        self.quality, self.depth, self.alpha, self.profile = quality or utils.JPEG_QUALITY, depth, alpha, profile

    def write(self, picture, about):
        """Write a picture [H, W, 3] of 0-255; about: what `read_settings` is to give back."""
        if self.alpha is not None:
            picture = np.concatenate([picture, 255 * self.alpha[..., None]], axis=-1)
        pixels = (utils.to_uint8(picture) if self.depth == 8
                  else np.rint(np.float64(picture) * 257).clip(0, 65535).astype(np.uint16))
        xmp = XMP_TEMPLATE.format(escape(json.dumps(about))).encode()
        with files.atomic_write(self.path) as part:
            if self.suffix == '.png':
                part.write_bytes(_encode_png(pixels, xmp, self.profile))
            elif self.suffix in LOSSY_FORMATS:
                profile = {'icc_profile': self.profile} if self.profile else {}
                part.write_bytes(utils.encode_image(pixels, self.suffix, quality=self.quality, xmp=xmp, **profile))
            else:
                iio.imwrite(part, pixels, plugin='tifffile', extension=self.suffix, photometric='rgb', metadata=None,
                            compression='zlib', predictor=True, iccprofile=self.profile,
                            extrasamples=['unassalpha'] if self.alpha is not None else None,
                            extratags=[(TIFF_XMP_TAG, 'B', len(xmp), xmp, True)])


def _encode_png(pixels, xmp, profile):
    """The bytes of a PNG of uint8 or uint16 [H, W, 3 or 4], with its metadata after the header's chunk."""
    with tf.Graph().as_default(), tf.Session() as sess:
        values = tf.placeholder(pixels.dtype)
        encoded = sess.run(tf.io.encode_png(values), {values: pixels})
    header = encoded.index(b'IHDR') + len('IHDR') + 13 + 4
    chunks = [(b'iTXt', b'XML:com.adobe.xmp\0\0\0\0\0' + xmp)]
    if profile:
        chunks.insert(0, (b'iCCP', b'ICC profile\0\0' + zlib.compress(profile)))
    more = b''.join(struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
                    for kind, data in chunks)
    return encoded[:header] + more + encoded[header:]


def read_settings(path):
    """What `OutputFile.write` was told about the picture at `path`. Raises `UserError` for any other file."""
    try:
        packet = XMP_PACKET.search(Path(path).read_bytes())
    except OSError as error:
        raise UserError(f'{path}: {error.strerror}') from error
    try:
        about = json.loads(next(ElementTree.fromstring(packet[0]).iter(XMP_ITEM_TAG)).text)
        return {'settings': dict(about['settings']), 'command': [str(part) for part in about['command']]}
    except (TypeError, ValueError, KeyError, StopIteration, ElementTree.ParseError) as error:
        raise UserError(f'{path}: does not say which command made it') from error
