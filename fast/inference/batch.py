"""Apply a trained network to files: images, folders of images, animations, clips and standard input."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath

import numpy as np
from tqdm import tqdm

import utils
from common import files, images
from common.errors import UserError
from fast.inference import multi_style, tiled, video

# An image in another format becomes a PNG.
OUTPUT_SUFFIXES = *utils.LOSSY_SUFFIXES, '.apng', '.gif', '.png'
PIPE = Path('-')  # standard input or standard output
# To avoid a collision, `name_outputs` may make the suffix a part of the name: x.tif becomes x-tif. This matches '-tif'.
COLLISION_SUFFIX = re.compile(
    f'(-({"|".join(suffix[1:] for suffix in utils.IMAGE_SUFFIXES + video.CLIP_SUFFIXES)}))+$', re.IGNORECASE
)


def plan_outputs(sources: Sequence[Path], out: Path, name: str) -> list[tuple[Path, Path]]:
    """Choose an output path for each photo of `sources`.

    Args:
        sources: Image files, folders of images, and PIPE for standard input.
        out: Output folder, or for a single photo an output file or PIPE. A photo in a folder keeps its subfolder.
        name: Name of the style, which becomes part of the file names.

    Returns:
        Pairs (source, target).

    Raises:
        UserError: Two photos would get the same output path, an output would overwrite a photo, a folder has no images,
            or `out` is a file and there are several photos.
    """
    pairs = [pair for source in sources for pair in _photos_below(source, out)]
    if out == PIPE or out.suffix.lower() in utils.IMAGE_SUFFIXES + video.CLIP_SUFFIXES:
        if len(pairs) != 1:
            raise UserError(f'--out {out}: holds a single picture, but there are {len(pairs)} photos; name a folder')
        targets = {out: pairs[0][0]}
    else:
        targets = name_outputs(pairs, out, name)
    originals = {source.resolve() for source in targets.values()}
    for target in targets:
        if target != PIPE and target.resolve() in originals:
            raise UserError(f'{target}: is one of the photos and would be overwritten; choose another --out')
    return [(source, target) for target, source in targets.items()]


def name_outputs(found: Iterable[tuple[Path | str, PurePath]], out: PurePath, name: str) -> dict[PurePath, Path | str]:
    """Map output paths to photos.

    Args:
        found: Pairs (photo, relative path of the photo below the output folder).
        out: Output folder.
        name: Name of the style, which becomes part of the file names.

    Returns:
        Output path -> photo.

    Raises:
        UserError: Two photos would get the same output path.
    """
    targets, kinds = {}, {}
    for source, place in found:
        target = out / _output_place(place, name)
        if target in targets and kinds[target] != place.suffix:  # x.bmp next to x.tif: both would become x-<name>.png
            target = out / _output_place(place.with_name(place.name.replace('.', '-') + place.suffix), name)
        if target in targets:
            raise UserError(f'{targets[target]} and {source} would both become {target}; '
                            'stylize them into two different folders')
        targets[target], kinds[target] = source, place.suffix
    return targets


def collision_key(place: PurePath) -> PurePath:
    """Return a key that photos share if their pictures could get the same name.

    The key of x.bmp, x.tif and x-tif.png is x.
    """
    return place.with_name(COLLISION_SUFFIX.sub('', place.stem.replace('.', '-')) or '-')


def _output_place(place, name):
    """Return the relative path of the picture in the style `name` for the relative path of a photo."""
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
    """Return pairs (path, relative path for the output) of a photo, or of all images in a folder except for `out`."""
    if not source.is_dir():
        return [(source, Path(_stdin_name() if source == PIPE else source.name))]
    if out.resolve() == source.resolve():
        raise UserError(f'--out {out}: is the folder of the photos; choose another, because the next run would take '
                        'the pictures for photos')
    return [(path, path.relative_to(source)) for path in utils.find_images(source, out)]


@contextlib.contextmanager
def open_pipes(source: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    """Yield two regular file paths to read from and to write to, in place of pipes.

    Args:
        source: File, PIPE for standard input, or a named pipe. The content of a pipe is copied to a temporary file.
        target: File, or PIPE for standard output. The content of a temporary file is copied to standard output when the
            block ends.

    Yields:
        Source and target as paths of regular files.

    Raises:
        UserError: Standard input or output is closed.
    """
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
    """Yield a temporary folder; remove its path, and a leading `name`, from the messages of a `UserError`."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield folder
        except UserError as error:
            raise UserError(str(error).replace(folder + os.sep, '').removeprefix(name)) from error


def _stdin_name():
    """Return a file name for the content of standard input."""
    head = _stream(sys.stdin, 'standard input').peek(12)
    return 'stdin.gif' if head[:4] == b'GIF8' else 'stdin.webp' if head[8:12] == b'WEBP' else 'stdin'


def _stream(stream, name):
    """Return the binary buffer of standard input or output; raise `UserError` if the stream is closed."""
    if stream is None:
        raise UserError(f'{name}: is closed; name a file')
    return stream.buffer


class Renderer:
    """Stylize photos, animations and clips with one model, one style and one set of options."""

    def __init__(
        self,
        model: tiled.TiledModel,
        style: object,
        tile: int | None = None,
        strength: float = 1.0,
        keep_colors: bool = False,
        temporal_smoothing: float = 0.0,
        mask: np.ndarray | None = None,
        black_style: object | None = None,
    ) -> None:
        """Set the model and the options.

        Args:
            model: The trained network.
            style: A style of this model.
            tile: Side of a tile in pixels, None for the model's default.
            strength: Share of the stylized picture in the result, 0 to 1; the rest is the photo.
            keep_colors: Whether to take only the luminance of the stylized picture and keep the photo's colors.
            temporal_smoothing: Strength of the smoothing of clips and animations, 0 for none, 1 for full strength, see
                `video.TemporalSmoothing`.
            mask: [H, W] with the photos' aspect ratio, 1 for `style`, 0 for `black_style`; values between them blend.
            black_style: Style of the model where the mask is 0, None to keep the photo there.
        """
        self.model, self.style, self.tile = model, style, tile or model.tile
        self.mask, self.black_style = mask, black_style
        self.strength, self.keep_colors, self.temporal_smoothing = strength, keep_colors, temporal_smoothing

    def picture(self, photo: np.ndarray) -> np.ndarray:
        """Stylize a photo.

        Args:
            photo: float32 [H, W, 3], 0 to 255.

        Returns:
            The picture, float32 [H, W, 3], 0 to 255.

        Raises:
            UserError: The photo and the mask differ in aspect ratio.
        """
        picture = self.model(photo, self.style, self.tile)
        if self.mask is not None:
            H, W = photo.shape[:2]
            images.check_mask_shape('--mask', self.mask.shape[::-1], 'the photo', (W, H))
            other = photo if self.black_style is None else self.model(photo, self.black_style, self.tile)
            picture = multi_style.blend(other, picture, tiled.resize_linear(self.mask[..., None], H, W), False)
        return multi_style.blend(photo, picture, self.strength, self.keep_colors)

    def pictures(self, photos: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Stylize the frames of an animation one after the other, with temporal smoothing.

        Args:
            photos: The frames in order, each uint8 [H, W, 3].

        Yields:
            The pictures, each uint8 [H, W, 3].
        """
        smooth = video.TemporalSmoothing(self.temporal_smoothing)
        for photo in photos:
            yield utils.to_uint8(smooth(np.float32(photo), self.picture(np.float32(photo))))

    def stylize_file(self, source: Path, target: Path) -> str:
        """Stylize an image, an animation or a clip and write the result.

        Args:
            source: Path of the image, animation or clip.
            target: Path of the result. Without a suffix, it becomes a PNG, or an animation in its own format.

        Returns:
            The size of the result as text, for example '640×480' or '48 frames of 640×480'.

        Raises:
            UserError: The source cannot be read, or `target` has a format that cannot hold the result.
        """
        if source.suffix.lower() in video.CLIP_SUFFIXES:
            return video.stylize(source, target, self)
        animation = utils.read_animation(source)
        if not animation:
            photo = utils.read_image(source)
            utils.save_image(target, self.picture(photo))
            return f'{photo.shape[1]}×{photo.shape[0]}'
        frames, playback = animation
        if target.suffix.lower() not in ('', *utils.ANIMATED_SUFFIXES):
            raise UserError(f'{source}: is an animation, but {target} does not end in '
                            f'{", ".join(utils.ANIMATED_SUFFIXES)}; change the name of the output')
        pictures = list(tqdm(self.pictures(frames), total=len(frames), unit='frame', disable=None))
        utils.save_animation(target, pictures, playback, frames.suffix)
        return f'{len(pictures)} frames of {pictures[0].shape[1]}×{pictures[0].shape[0]}'

    def stylize_bytes(self, photo: bytes, suffix: str, target_suffix: str) -> bytes:
        """Stylize a photo in memory: `stylize_file` on the contents of files, with no paths in its error messages.

        Args:
            photo: Content of the photo's file.
            suffix: Suffix of the photo's file name.
            target_suffix: Suffix of the picture's file name, which determines its format.

        Returns:
            Content of the picture's file.

        Raises:
            UserError: As `stylize_file` does.
        """
        with _temporary_folder(f'photo{suffix}: ') as folder:
            source, target = Path(folder, f'photo{suffix}'), Path(folder, f'picture{target_suffix}')
            source.write_bytes(photo)
            self.stylize_file(source, target)
            return target.read_bytes()

    def settings(self) -> dict:
        """Return everything that determines a picture, except for its photo, as a dict for JSON.

        The dict has no tile size, because this changes nothing but rounding.
        """
        other = self.black_style if self.black_style is None else self.model.style_settings(self.black_style)
        return dict(model=self.model.about['files'], **self.model.style_settings(self.style), strength=self.strength,
                    keep_colors=self.keep_colors, steady=self.temporal_smoothing, other=other,
                    mask=None if self.mask is None else files.array_hash(self.mask))


def sheet(renderer: Renderer, photo: np.ndarray) -> np.ndarray:
    """Arrange a photo and its picture in every style of a multi-style model in a grid, row by row.

    Args:
        renderer: Renderer of a `multi_style.MultiStyleModel`; its style is overwritten.
        photo: float32 [H, W, 3], 0 to 255.

    Returns:
        The grid, float32 [rows · H, columns · W, 3]; unused cells are white.
    """
    styles = len(renderer.model.styles)
    pictures = [photo]
    for renderer.style in np.eye(styles, dtype=np.float32):
        pictures.append(renderer.picture(photo))
    columns = int(np.ceil(len(pictures) ** 0.5))
    pictures += [np.full_like(photo, 255)] * (-len(pictures) % columns)
    return np.concatenate([np.concatenate(pictures[i:i + columns], axis=1) for i in range(0, len(pictures), columns)])
