"""A trained network applied to files: images, folders of them, animations, clips, standard input."""

import contextlib
import os
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

import utils
from common import files, images
from common.errors import UserError
from fast.inference import multi_style, tiled, video

OUTPUT_SUFFIXES = ('.gif', '.jpeg', '.jpg', '.png')  # a picture of another kind is written as PNG
PIPE = Path('-')  # standard input or output
# how a name may end that is made of one with a suffix
COLLISION_SUFFIX = re.compile(
    f'(-({"|".join(suffix[1:] for suffix in utils.IMAGE_SUFFIXES + video.CLIP_SUFFIXES)}))+$', re.IGNORECASE
)


def plan_outputs(sources, out, name):
    """Pairs (source, target) for images, folders and PIPE: in the folder `out`, or `out` itself, a file or PIPE.

    What lies in a folder keeps its place below it. Raises `UserError` for photos with one target, for a target that is
    one of the photos, and where there is nothing to do.
    """
    found = [pair for source in sources for pair in _photos_below(source, out)]
    if out == PIPE or out.suffix.lower() in utils.IMAGE_SUFFIXES + video.CLIP_SUFFIXES:
        if len(found) != 1:
            raise UserError(f'--out {out}: takes one picture, and there are {len(found)} photos; name a folder')
        targets = {out: found[0][0]}
    else:
        targets = name_outputs(found, out, name)
    originals = {source.resolve() for source in targets.values()}
    for target in targets:
        if target != PIPE and target.resolve() in originals:
            raise UserError(f'{target}: is one of the photos, and would be overwritten; name another --out')
    return [(source, target) for target, source in targets.items()]


def name_outputs(found, out, name):
    """Target -> source, of pairs (source, its place below the output folder `out`), in the style `name`.

    Raises `UserError` for photos with one target.
    """
    targets, kinds = {}, {}
    for source, place in found:
        target = out / _output_place(place, name)
        if target in targets and kinds[target] != place.suffix:  # x.bmp beside x.tif
            target = out / _output_place(place.with_name(place.name.replace('.', '-') + place.suffix), name)
        if target in targets:
            raise UserError(f'{targets[target]} and {source} would both become {target}; '
                            'stylize them into two folders')
        targets[target], kinds[target] = source, place.suffix
    return targets


def collision_key(place):
    """A place that photos share whose pictures could have one name: of x.bmp, x.tif and x-tif.png it is x."""
    return place.with_name(COLLISION_SUFFIX.sub('', place.stem.replace('.', '-')) or '-')


def _output_place(place, name):
    """The place of a picture in the style `name`, of that of its photo."""
    kind = place.suffix.lower()
    suffix = (
        place.suffix
        if kind in OUTPUT_SUFFIXES + video.OUTPUT_SUFFIXES
        else video.FALLBACK_SUFFIX
        if kind in video.CLIP_SUFFIXES
        else '.png'
    )
    return place.with_name(f'{place.stem}-{name}{suffix}')


def _photos_below(source, out):
    """(path, its place below the output folder) of a photo, or of every one in a folder, those in `out` left out."""
    if not source.is_dir():
        return [(source, Path(_stdin_name() if source == PIPE else source.name))]
    if out.resolve() == source.resolve():
        raise UserError(f'--out {out}: is the folder of the photos; name another, so that pictures are not taken for '
                        'photos the next time')
    return [(path, path.relative_to(source)) for path in utils.find_images(source, out)]


@contextlib.contextmanager
def open_pipes(source, target):
    """Yield two paths for `source` and `target`: a temporary file where one is PIPE, or a pipe with a name."""
    with _temporary_folder() as folder:
        file, picture = source, target
        if source == PIPE or source.is_fifo():
            file = Path(folder, 'standard input' if source == PIPE else source.name)
            file.write_bytes(_stream(sys.stdin, 'standard input').read() if source == PIPE else source.read_bytes())
        if target == PIPE:
            stream = _stream(sys.stdout, 'standard output')
            picture = Path(folder, 'picture')
        yield file, picture
        if target == PIPE:
            stream.write(picture.read_bytes())
            stream.flush()


@contextlib.contextmanager
def _temporary_folder(name=''):
    """Yield a folder for files that only pass through: what is said of them names neither it nor, at first, `name`."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield folder
        except UserError as error:
            raise UserError(str(error).replace(folder + os.sep, '').removeprefix(name)) from error


def _stdin_name():
    """A name for what comes from standard input."""
    return 'stdin.gif' if _stream(sys.stdin, 'standard input').peek(4)[:4] == b'GIF8' else 'stdin'


def _stream(stream, name):
    """The bytes of standard input or output. Raises `UserError` where it is closed."""
    if stream is None:
        raise UserError(f'{name}: is closed; name a file')
    return stream.buffer


class Renderer:
    """How photos become pictures: a `tiling.Tiled` model, a style of its, and what is made of the pictures."""

    def __init__(
        self,
        model,
        style,
        tile=None,
        strength=1.0,
        keep_colors=False,
        temporal_smoothing=0.0,
        mask=None,
        black_style=None,
    ):
        """tile: None for the model's; strength: share of the picture, the rest is the photo.

        keep_colors: take light and shade alone; steady: of clips and animations, see `video.TemporalSmoothing`
        mask: [H, W], of the photos' shape; where it is 0 and not 1 the picture is in the style `black_style`, None for
        the
        photo
        """
        self.model, self.style, self.tile = model, style, tile or model.tile
        self.mask, self.black_style = mask, black_style
        self.strength, self.keep_colors, self.temporal_smoothing = strength, keep_colors, temporal_smoothing

    def picture(self, photo):
        """Of a photo [H, W, 3], float32 of 0-255, the picture, likewise.

        Raises `UserError` for one of another shape than the mask.
        """
        picture = self.model(photo, self.style, self.tile)
        if self.mask is not None:
            H, W = photo.shape[:2]
            images.check_mask_shape('--mask', self.mask.shape[::-1], 'the photo', (W, H))
            other = photo if self.black_style is None else self.model(photo, self.black_style, self.tile)
            picture = multi_style.blend(other, picture, tiled.resize_linear(self.mask[..., None], H, W), False)
        return multi_style.blend(photo, picture, self.strength, self.keep_colors)

    def pictures(self, photos):
        """One after the other, of photos that follow each other, uint8 [H, W, 3]."""
        steady = video.TemporalSmoothing(self.temporal_smoothing)
        for photo in photos:
            yield utils.to_uint8(steady(np.float32(photo), self.picture(np.float32(photo))))

    def stylize_file(self, source, target):
        """Stylize the image, animation or clip at `source`, write it to `target`; return its size as text.

        A target without a suffix becomes a PNG, or a GIF if it moves.
        """
        if source.suffix.lower() in video.CLIP_SUFFIXES:
            return video.stylize(source, target, self)
        animation = utils.read_animation(source)
        if not animation:
            photo, profile = utils.read_image(source), utils.color_profile(source)
            utils.save_image(target, self.picture(photo), profile)
            return f'{photo.shape[1]}×{photo.shape[0]}'
        frames, plays = animation
        if target.suffix.lower() not in ('', '.gif'):
            raise UserError(f'{source}: is an animation, and {target} no GIF')
        frames = list(tqdm(self.pictures(frames), total=len(frames), unit='frame', disable=None))
        utils.save_animation(target, frames, plays)
        return f'{len(frames)} frames of {frames[0].shape[1]}×{frames[0].shape[0]}'

    def stylize_bytes(self, photo, suffix, target_suffix):
        """The bytes of a picture's file, of those of its photo's: what `stylize_file` does, without paths in its
        errors.
        """
        with _temporary_folder(f'photo{suffix}: ') as folder:
            source, target = Path(folder, f'photo{suffix}'), Path(folder, f'picture{target_suffix}')
            source.write_bytes(photo)
            self.stylize_file(source, target)
            return target.read_bytes()

    def settings(self):
        """What a picture depends on beside its photo, for JSON; the tile makes no difference but rounding."""
        other = self.black_style if self.black_style is None else self.model.style_settings(self.black_style)
        return dict(model=self.model.about['files'], **self.model.style_settings(self.style), strength=self.strength,
                    keep_colors=self.keep_colors, steady=self.temporal_smoothing, other=other,
                    mask=None if self.mask is None else files.array_hash(self.mask))


def sheet(renderer, photo):
    """The photo, then its picture in every style of the model, row by row, [H, W, 3]."""
    styles = len(renderer.model.styles)
    pictures = [photo]
    for renderer.style in np.eye(styles, dtype=np.float32):
        pictures.append(renderer.picture(photo))
    columns = int(np.ceil(len(pictures) ** 0.5))
    pictures += [np.full_like(photo, 255)] * (-len(pictures) % columns)
    return np.concatenate([np.concatenate(pictures[i:i + columns], axis=1) for i in range(0, len(pictures), columns)])
