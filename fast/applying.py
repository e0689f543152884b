"""A trained network applied to files: images, folders of them, animations, standard input."""

import contextlib
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

import utils
from engine.messages import UserError
from fast import models

SUFFIXES = ('.bmp', '.gif', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')  # taken from a folder
WRITTEN = ('.gif', '.jpeg', '.jpg', '.png')  # a picture of another kind is written as PNG
PIPE = '-'  # standard input or output


def destinations(sources, out, name):
    """Pairs (source, target) for images, folders and PIPE: in the folder `out`, or `out` itself, an image or PIPE.

    What lies in a folder keeps its place below it. Raises `UserError` for two photos with one target.
    """
    found = [pair for source in sources for pair in _below(source, out)]
    if out == Path(PIPE) or out.suffix.lower() in SUFFIXES:
        if len(found) != 1:
            raise UserError(f'--out {out}: takes one picture, and there are {len(found)} photos; name a folder')
        return [(found[0][0], out)]
    targets = {}
    for source, place in found:
        suffix = place.suffix if place.suffix.lower() in WRITTEN else '.png'
        target = out / place.with_name(f'{place.stem}-{name}{suffix}')
        if target in targets:
            raise UserError(f'{targets[target]} and {source} would both become {target}; stylise them into two folders')
        targets[target] = source
    return [(source, target) for target, source in targets.items()]


def _below(source, out):
    """(path, its place below the output folder) of a photo, or of every one in a folder, those in `out` left out."""
    if not source.is_dir():
        return [(source, Path('stdin' if source == Path(PIPE) else source.name))]
    return [(path, path.relative_to(source)) for path in sorted(source.rglob('*'))
            if path.suffix.lower() in SUFFIXES and path.is_file() and out.resolve() not in path.resolve().parents]


@contextlib.contextmanager
def piped(source, target):
    """Yield two paths for `source` and `target`: a temporary file where one is PIPE."""
    with tempfile.TemporaryDirectory() as folder:
        file, picture = source, target
        if source == Path(PIPE):
            file = Path(folder, 'standard input')
            file.write_bytes(sys.stdin.buffer.read())
        if target == Path(PIPE):
            picture = Path(folder, 'picture')
        try:
            yield file, picture
        except UserError as error:
            raise UserError(str(error).replace(folder + os.sep, '')) from error
        if target == Path(PIPE):
            sys.stdout.buffer.write(picture.read_bytes())
            sys.stdout.buffer.flush()


def render(model, source, target, tile, strength=1., keep_colors=False):
    """Stylise the image or animation at `source`, write it to `target`; return its size as text.

    A target without a suffix becomes a PNG, or a GIF if it moves.
    """
    def picture(photo):
        return utils.to_uint8(models.mixed(photo, model(photo, tile), strength, keep_colors))
    animation = utils.read_animation(source)
    if not animation:
        photo = utils.read_image(source)
        utils.save_image(target, picture(photo))
        return f'{photo.shape[1]}×{photo.shape[0]}'
    frames, plays = animation
    if target.suffix.lower() not in ('', '.gif'):
        raise UserError(f'{source}: is an animation, and {target} no GIF')
    frames = [picture(np.float32(frame)) for frame in tqdm(frames, unit='frame', disable=None)]
    utils.save_animation(target, frames, plays)
    return f'{len(frames)} frames of {frames[0].shape[1]}×{frames[0].shape[0]}'
