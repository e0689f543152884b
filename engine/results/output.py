"""Write pictures as PNG, JPEG, TIFF or WebP files that contain the settings to reproduce them.

The settings are JSON in the dc:description of an XMP packet (XMP_TEMPLATE), which photo programs can read.
"""

import json
import os
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import imageio.v3 as iio
import numpy as np

import utils
from common import color_profiles, files
from common.errors import UserError
from common.tf1 import tf
from engine.run import old_settings
from engine.run.runs import Run

FORMATS_16_BIT = '.png', '.tif', '.tiff'  # formats with up to 16 bits per channel
LOSSY_FORMATS = '.jpg', '.jpeg', '.webp'
OPAQUE_FORMATS = '.jpg', '.jpeg'  # formats without transparency
FORMATS = tuple(dict.fromkeys(FORMATS_16_BIT + LOSSY_FORMATS))
XMP_TEMPLATE = ('<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
       '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
       'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description><rdf:Alt><rdf:li xml:lang="x-default">{}</rdf:li>'
       '</rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>')
XMP_PACKET = re.compile(rb'<x:xmpmeta.*?</x:xmpmeta>', re.DOTALL)
XMP_ITEM_TAG = '{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li'
TIFF_XMP_TAG = 700  # number of the TIFF tag that holds the XMP packet


class OutputFile:
    """An image file that a picture will be written to; the options are checked when the object is made.

    Args:
        path: The file; its suffix is one of FORMATS.
        quality: Quality of a lossy format, 1 to 100; None for `utils.JPEG_QUALITY`.
        depth: Bits per channel, 8 or 16.
        alpha: Opacity [H, W] from 0 (transparent) to 1, or None for an opaque picture.

    Raises:
        UserError: The format does not support an option, or the file cannot be written.
    """

    def __init__(self, path: Path | str, quality: int | None = None, depth: int = 8, alpha: np.ndarray | None = None):
        self.path, self.suffix = Path(path), Path(path).suffix.lower()
        if self.suffix not in FORMATS:
            raise UserError(f'--output {path}: must end in {", ".join(FORMATS)}')
        if depth == 16 and self.suffix not in FORMATS_16_BIT:
            raise UserError(f'--depth 16: {self.suffix} has 8 bits per channel; use one of {", ".join(FORMATS_16_BIT)}')
        if quality and self.suffix not in LOSSY_FORMATS:
            raise UserError(f'--quality does nothing with {self.suffix}, a lossless format; '
                            f'use one of {", ".join(LOSSY_FORMATS)}')
        if alpha is not None and self.suffix in OPAQUE_FORMATS:
            raise UserError(f'--alpha: {self.suffix} has no transparency; use .png, .tif, .tiff or .webp')
        if self.path.is_dir():
            raise UserError(f'--output {path}: is a folder; add a file name')
        parent = next(folder for folder in self.path.absolute().parents if folder.exists())
        if not (parent.is_dir() and os.access(parent, os.W_OK)):
            raise UserError(f'--output {path}: {parent} is not a writable folder')
        self.quality, self.depth, self.alpha = quality or utils.JPEG_QUALITY, depth, alpha

    def write(self, picture: np.ndarray, about: dict) -> None:
        """Write a picture and its settings.

        Args:
            picture: [H, W, 3], from 0 to 255, in sRGB.
            about: {'settings': name -> value, 'command': list of flags}, which `read_settings` returns.

        Raises:
            UserError: A value is NaN or infinite, or the file cannot be written.
        """
        utils.check_finite(picture)
        if self.alpha is not None:
            picture = np.concatenate([picture, 255 * self.alpha[..., None]], axis=-1)
        pixels = (utils.to_uint8(picture) if self.depth == 8
                  else np.rint(np.float64(picture) * 257).clip(0, 65535).astype(np.uint16))
        xmp = XMP_TEMPLATE.format(escape(json.dumps(about))).encode()
        with files.atomic_write(self.path) as part:
            if self.suffix == '.png':
                part.write_bytes(_encode_png(pixels, xmp))
            elif self.suffix in LOSSY_FORMATS:
                part.write_bytes(utils.encode_image(pixels, self.suffix, quality=self.quality, xmp=xmp))
            else:
                iio.imwrite(part, pixels, plugin='tifffile', extension=self.suffix, photometric='rgb', metadata=None,
                            compression='zlib', predictor=True, iccprofile=color_profiles.SRGB,
                            extrasamples=['unassalpha'] if self.alpha is not None else None,
                            extratags=[(TIFF_XMP_TAG, 'B', len(xmp), xmp, True)])


def _encode_png(pixels, xmp):
    """Encode uint8 or uint16 [H, W, 3 or 4] as a PNG, and insert the metadata after the header chunk."""
    with tf.Graph().as_default(), tf.Session() as sess:
        values = tf.placeholder(pixels.dtype)
        encoded = sess.run(tf.io.encode_png(values), {values: pixels})
    header = encoded.index(b'IHDR') + len('IHDR') + 13 + 4
    chunks = [(b'iCCP', b'ICC profile\0\0' + zlib.compress(color_profiles.SRGB)),
              (b'iTXt', b'XML:com.adobe.xmp\0\0\0\0\0' + xmp)]
    metadata = b''.join(struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
                        for kind, data in chunks)
    return encoded[:header] + metadata + encoded[header:]


def read_settings(path: Path | str) -> dict:
    """Read the settings that `OutputFile.write` has stored in a picture.

    Returns:
        {'settings': name -> value, 'command': list of flags}.

    Raises:
        UserError: The file cannot be read, or contains no such settings.
    """
    try:
        packet = XMP_PACKET.search(Path(path).read_bytes())
    except OSError as error:
        raise UserError(f'{path}: {error.strerror}') from error
    try:
        about = json.loads(next(ElementTree.fromstring(packet[0]).iter(XMP_ITEM_TAG)).text)
        return {'settings': old_settings.upgrade(dict(about['settings'])),
                'command': [str(part) for part in about['command']]}
    except (TypeError, ValueError, KeyError, StopIteration, ElementTree.ParseError) as error:
        raise UserError(f'{path}: does not say which command made it') from error


def reproduction_info(run: Run, command: Sequence[str]) -> dict:
    """Return the settings of a run and the flags that reproduce its picture, for `OutputFile.write`.

    Args:
        run: The run.
        command: The flags without --iterations, which is added: the number of iterations at the last size so far. Empty
            if no command made the picture.
    """
    iterations = ['--iterations', str(len(run.history) - run.start_step)] if command else []
    return {'command': [*command, *iterations], 'settings': run.fingerprint}


def write_results(run: Run, picture: np.ndarray, losses: dict, originals: Sequence[np.ndarray], info: dict) -> None:
    """Write the results of a finished run to its folder: final.png, losses.png, sheet.png and progress.gif.

    Args:
        run: The run.
        picture: uint8 [H, W, 3].
        losses: The losses of the picture, name -> value.
        originals: Images [H, W, 3], 0 to 255, of the same height, which the sheet shows to the left of the picture.
        info: The result of `reproduction_info`.
    """
    from engine.results import figures  # Importing Matplotlib takes time that should not be spent before training.
    OutputFile(run.outputs / 'final.png').write(picture, info)
    figures.loss_curves(run.outputs / 'losses.png', losses, [list(row.values()) for row in [*run.history, losses]])
    figures.sheet(run.outputs / 'sheet.png', [*originals, picture])
    numbered = [path for path in run.numbered_pictures() if int(path.stem) < len(run.history)]
    figures.progress_gif(run.outputs / 'progress.gif', numbered, picture)
