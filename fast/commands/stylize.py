"""The command `fast_style_transfer.py stylize`: stylize photos, animations and clips, without TensorFlow.

    python fast_style_transfer.py stylize photo.jpg --style starry_night

The Beam pipeline (`fast.beam`) uses the same flags and functions to create the renderer.
"""

import argparse
import errno
import re
import sys
import time
from pathlib import Path

import utils
from common import cli, images
from common.errors import UserError, one_line, print_error
from fast.inference import arbitrary, batch, models, multi_style, style_spec, tiled
from fast.kinds import KINDS, load_class

STYLE_FLAG = dict(metavar='NAME|IMAGE', help='a style of the model or the path of a painting; or several with weights, '
                  'for example starry_night:0.6,woodcut:0.4 or a.jpg:3,b.jpg')
STYLE_SCALE_RANGE = 0.1, 2  # factor on a painting's sides; above 2 the painting would need more memory than the photo


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command to an argument parser."""
    parser.add_argument('photos', type=Path, nargs='+', metavar='PHOTO',
                        help='images, animated GIFs, video clips, folders of images, or - for standard input')
    styles = parser.add_mutually_exclusive_group(required=True)
    styles.add_argument('--style', **STYLE_FLAG)
    styles.add_argument('--sheet', action='store_true', help='show the photo in every style of the model on one sheet')
    parser.add_argument('--out', type=Path, metavar='PATH',
                        help='output folder; for a single photo also a file, or - for standard output '
                        '(default: outputs, or - if the photo is -)')
    add_renderer_flags(parser)
    parser.add_argument('--steady', action='store_true', help='temporal smoothing for clips and animated GIFs: reduce '
                        'flicker by following the motion of the photos; several times slower')
    parser.add_argument('--shard', type=_parse_shard, default=(1, 1), metavar='i/n',
                        help='process every n-th photo, starting at the i-th; this lets n processes share the work')


def add_renderer_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that `renderer_from_flags` uses, except for --style, to an argument parser."""
    parser.add_argument('--model', metavar='NAME', help='a model in models/, or the path of a model folder (default: '
                        f'{models.ARBITRARY_NAME} for paintings, {models.MULTI_STYLE_NAME} for styles by name)')
    parser.add_argument(
        '--style-scale',
        type=cli.float_in_range(*STYLE_SCALE_RANGE),
        metavar='X',
        help='scale of the paintings, {:g} to {:g}: less than 1 for finer strokes, more for bolder ones '
        '(default: 1)'.format(*STYLE_SCALE_RANGE),
    )
    parser.add_argument('--mask', type=Path, metavar='IMAGE', help='image with the aspect ratio of the photo; the '
                        'first style applies where it is white, the second style (or the photo itself) where it is '
                        'black; gray blends the two')
    parser.add_argument('--strength', type=cli.float_in_range(0, 1), default=1., metavar='X',
                        help='strength of the style, from 0 (the photo) to 1 (default: %(default)g)')
    parser.add_argument('--keep-colors', action='store_true',
                        help='keep the photo\'s colors and take only the luminance of the picture')
    parser.add_argument(
        '--tile',
        type=cli.int_in_range(1, tiled.MAX_TILE_PX),
        metavar='W',
        help='process photos with a side of more than W pixels in tiles of this side; larger tiles are a little faster '
        f'and need more memory (default: {multi_style.MultiStyleModel.tile}, for paintings '
        f'{arbitrary.ArbitraryStyleModel.tile})',
    )
    parser.add_argument('--threads', type=cli.int_in_range(0, 1024), default=0, metavar='N',
                        help='number of threads, 0 to 1024; 0 uses one per core (default: %(default)s)')


def renderer_from_flags(args: argparse.Namespace) -> batch.Renderer:
    """Create the renderer that the flags describe; without --style, its style is None, for a sheet of all styles."""
    return make_renderer(model := find_model(args), args.threads, renderer_settings(args, model))


def make_renderer(model: models.ModelInfo, threads: int, settings: dict) -> batch.Renderer:
    """Create a renderer from a model, a number of threads, and the settings of `renderer_settings`."""
    return batch.Renderer(_model_class(model)(model, threads), **settings)


def find_model(args: argparse.Namespace) -> models.ModelInfo:
    """Return the model that --model names, or the default model for --style.

    Raises:
        UserError: there is no such model, or it is damaged.
    """
    has_paintings = args.style is not None and style_spec.names_paintings(args.style)
    return models.load(models.find(
        args.model or (models.ARBITRARY_NAME if has_paintings else models.MULTI_STYLE_NAME)))


def renderer_settings(args: argparse.Namespace, model: models.ModelInfo) -> dict:
    """Return the arguments of `batch.Renderer`, except for the model, that the flags describe.

    The dict can be pickled and sent to other processes.

    Args:
        args: parsed flags.
        model: the model.

    Raises:
        UserError: the model does not have the style, an image cannot be read, or a flag has no effect.
    """
    model_class, name = _model_class(model), model.folder.name
    if args.tile is not None and args.tile < model_class.min_tile():
        raise UserError(f'--tile {args.tile}: must be from {model_class.min_tile()} to {tiled.MAX_TILE_PX} for the '
                        f'model {name}')
    if model.kind == models.MULTI_STYLE and args.style_scale is not None:
        raise UserError(f'--style-scale: applies only to paintings, but the model {name} has fixed styles; '
                        'omit this flag')
    styles = (_named_styles if model.kind == models.MULTI_STYLE else _painting_styles)(args, model)
    mask = args.mask and utils.read_image(args.mask, convert_profiles=False).mean(axis=-1) / 255
    return dict(
        zip(('style', 'black_style'), styles),
        tile=args.tile,
        strength=args.strength,
        keep_colors=args.keep_colors,
        mask=mask,
    )


def _model_class(model):
    """Return the class that applies a model.

    Raises `UserError` if this program does not know the model's kind.
    """
    if model.kind not in KINDS:
        raise UserError(f'{model.folder}: is of a kind that this version does not know, {model.kind}')
    return load_class(KINDS[model.kind].inference)


def _named_styles(args, model):
    """Return the styles of a multi-style model that the flags name: one, or two with a mask; [None] for a sheet."""
    return (
        [None] if args.style is None else [
            multi_style.parse_style_weights(text, model.styles) for text in _style_texts(args)]
    )


def _painting_styles(args, model):
    """Return the styles of the paintings that the flags name: one, or two with a mask."""
    if args.style is None:
        raise UserError(
            f'--sheet: the model {model.folder.name} has no fixed styles; name paintings with --style instead'
        )
    parts = [zip(*style_spec.parse(text)) for text in _style_texts(args)]
    return [arbitrary.Style(list(map(utils.read_image, paths)), weights, args.style_scale or 1.)
            for paths, weights in parts]


def _style_texts(args):
    """Return [value of --style]; with a mask, the names of its one or two styles instead, the first for white."""
    if args.mask is None:
        return [args.style]
    names, weights = zip(*style_spec.parse(args.style))
    images.check_mask_styles(len(names))
    if len(set(weights)) > 1:
        raise UserError(f'--style {args.style}: weights have no effect with --mask; remove them')
    return names


def _parse_shard(text):
    """Parse a value of --shard, 'i/n', to (i, n)."""
    match = re.fullmatch(r'(\d{1,6})/(\d{1,6})', text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f'{text!r}: must be i/n, for example 2/8, with i from 1 to n')
    return int(match[1]), int(match[2])


def run(args: argparse.Namespace) -> int:
    """Stylize photos as the flags say; return the exit status, 1 if some of them could not be stylized."""
    renderer = renderer_from_flags(args)
    renderer.temporal_smoothing = args.steady
    out = args.out or (batch.PIPE if args.photos == [batch.PIPE] else Path('outputs'))
    shard, shards = args.shard
    name = 'sheet' if args.sheet else style_spec.slug(args.style)
    tasks = batch.plan_outputs(args.photos, out, name)[shard - 1::shards]
    log, failed = sys.stderr if out == batch.PIPE else sys.stdout, 0
    if not tasks:
        print(f'nothing to do for --shard {shard}/{shards}: there are fewer photos than shards', file=log)
    for source, target in tasks:
        start_time = time.time()
        try:
            with batch.open_pipes(source, target) as (file, picture):
                written = _sheet(renderer, file, picture) if args.sheet else renderer.stylize_file(file, picture)
        except (UserError, OSError) as error:
            # The disk is full or nobody reads standard output, so all others would fail too.
            if getattr(error, 'errno', None) in (errno.ENOSPC, errno.EPIPE):
                raise
            failed += 1
            message = error if isinstance(error, UserError) else f'{error.filename or target}: {error.strerror}'
            print_error(one_line(f'error: {message}; skipped'))
        else:
            print(one_line(f'{target}: {written}, {time.time() - start_time:.1f} s'), file=log)
    if failed:
        print_error(f'{failed} of {len(tasks)} files could not be stylized')
    return 1 if failed else 0


def _sheet(renderer, source, target):
    """Write a sheet of the photo, reduced to SHEET_SIDE_PX, and its pictures in all styles; return what it shows."""
    photo = tiled.limit_side(utils.read_image(source), multi_style.SHEET_SIDE_PX)
    utils.save_image(target, batch.sheet(renderer, photo))
    return ', '.join(['the photo', *renderer.model.styles])
