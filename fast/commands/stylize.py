"""python fast_style_transfer.py stylize: its flags, and what it does."""

import argparse
import errno
import re
import sys
import time
from pathlib import Path

import utils
from common import cli, images
from common.errors import UserError, one_line
from fast.inference import arbitrary, batch, models, multi_style, style_spec, tiled

MULTI_STYLE_NAME, ARBITRARY_NAME = 'many', models.ARBITRARY  # that ship: of some styles, and of any
STYLE_FLAG = dict(metavar='NAME|IMAGE', help='a style of the model, or a painting; or a mixture: '
             'starry_night:0.6,woodcut:0.4, a.jpg:3,b.jpg')
STYLE_SCALE_RANGE = 0.1, 2  # of a painting's sides; with more the painting would take more memory than the photo


def add_flags(parser):
    """Give `parser` the flags of stylize."""
    parser.add_argument('photos', type=Path, nargs='+', metavar='PHOTO',
                        help='images, animated GIFs, clips, folders of images, or - for standard input')
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--style', **STYLE_FLAG)
    what.add_argument('--sheet', action='store_true', help='every style of the model on one sheet')
    parser.add_argument('--out', type=Path, metavar='PATH',
                        help='a folder; for one photo also a file, or - for standard output '
                        '(default: outputs, or - where the photo comes from -)')
    add_renderer_flags(parser)
    parser.add_argument('--steady', action='store_true', help='of clips and GIFs: what stays in the photo stays in the '
                        'picture, and moves with it; several times slower')
    parser.add_argument('--shard', type=_parse_shard, default=(1, 1), metavar='i/n',
                        help='take every n-th photo, from the i-th on: n processes share the work')


def add_renderer_flags(parser):
    """Give `parser` the flags that `renderer_from_flags` takes, --style apart."""
    parser.add_argument('--model', metavar='NAME', help='of models/, or the path of a model\'s folder (default: '
                        f'{ARBITRARY_NAME} for paintings, {MULTI_STYLE_NAME} for styles by name)')
    parser.add_argument(
        '--style-scale',
        type=cli.float_in_range(*STYLE_SCALE_RANGE),
        metavar='X',
        help='of paintings: less than 1 for finer strokes, more for bolder ones (default: 1)',
    )
    parser.add_argument('--mask', type=Path, metavar='IMAGE', help='of the photo\'s shape: the first style goes '
                        'where it is white; where black the second, or the photo stays; grays mix')
    parser.add_argument('--strength', type=cli.float_in_range(0, 1), default=1., metavar='X',
                        help='from 0, the photo, to 1, the picture (default: %(default)g)')
    parser.add_argument('--keep-colors', action='store_true',
                        help='take the picture\'s light and shade, the photo\'s colors')
    parser.add_argument(
        '--tile',
        type=cli.int_in_range(1, tiled.MAX_TILE_PX),
        metavar='W',
        help='photos of more pixels than this either way go through in parts; larger ones are a '
        f'little faster and take more memory (default: {multi_style.MultiStyleModel.tile}, of paintings '
        f'{arbitrary.ArbitraryStyleModel.tile})',
    )
    parser.add_argument('--threads', type=cli.int_in_range(0, 1024), default=0, metavar='N',
                        help='threads to compute with, 0 to 1024; 0 is one a core (default: %(default)s)')


def renderer_from_flags(args):
    """The `applying.Renderer` of the flags; of every style on a sheet where --style is left out."""
    return make_renderer(folder := model_folder(args), args.threads, renderer_settings(args, folder))


def make_renderer(folder, threads, settings):
    """The `applying.Renderer` of a model's folder, by what `renderer_settings` gives."""
    return batch.Renderer(_model_class(folder)(folder, threads), **settings)


def model_folder(args):
    """The folder of the model of the flags. Raises `UserError` where there is none."""
    return models.find(
        args.model
        or (ARBITRARY_NAME if args.style is not None and style_spec.names_paintings(args.style) else MULTI_STYLE_NAME)
    )


def renderer_settings(args, folder):
    """What an `applying.Renderer` takes beside the model in `folder`, by the flags; it can be sent to other processes.

    Raises `UserError` for a style that the model does not have, a painting that cannot be read, flags that do nothing.
    """
    kind = _model_class(folder)
    if args.tile is not None and args.tile < kind.min_tile():
        raise UserError(f'--tile {args.tile}: must be from {kind.min_tile()} to {tiled.MAX_TILE_PX} with {folder.name}')
    if kind is multi_style.MultiStyleModel and args.style_scale is not None:
        raise UserError(f'--style-scale: is for paintings, and {folder.name} has styles of its own')
    styles = (_painting_styles if kind is arbitrary.ArbitraryStyleModel else _named_styles)(args, folder)
    mask = args.mask and utils.read_image(args.mask).mean(axis=-1) / 255
    return dict(
        zip(('style', 'black_style'), styles),
        tile=args.tile,
        strength=args.strength,
        keep_colors=args.keep_colors,
        mask=mask,
    )


def _model_class(folder):
    """The class of the model in a folder."""
    of_any = models.read_model_json(folder, models.LITERT_FILE)['styles'] == models.ARBITRARY
    return arbitrary.ArbitraryStyleModel if of_any else multi_style.MultiStyleModel


def _named_styles(args, folder):
    """The styles of the flags, of those that a model has: one, or with a mask two; None on a sheet of all."""
    known = list(models.read_model_json(folder, models.LITERT_FILE)['styles'])
    return (
        [None] if args.style is None else [multi_style.parse_style_weights(text, known) for text in _style_texts(args)]
    )


def _painting_styles(args, folder):
    """The styles of the flags, of paintings: one, or with a mask two."""
    if args.style is None:
        raise UserError(f'--sheet: {folder.name} has no styles of its own; name paintings by --style')
    parts = [zip(*style_spec.parse(text)) for text in _style_texts(args)]
    return [arbitrary.Style(list(map(utils.read_image, paths)), weights, args.style_scale or 1.)
            for paths, weights in parts]


def _style_texts(args):
    """The texts of the styles: --style, or with a mask its one or two parts, where it is white and where black."""
    if args.mask is None:
        return [args.style]
    names, weights = zip(*style_spec.parse(args.style))
    images.check_mask_styles(len(names))
    if len(set(weights)) > 1:
        raise UserError(f'--style {args.style}: weights do nothing with --mask')
    return names


def _parse_shard(text):
    match = re.fullmatch(r'(\d{1,6})/(\d{1,6})', text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f'{text!r}: must be i/n with i from 1 to n')
    return int(match[1]), int(match[2])


def run(args):
    """Stylize photos as the flags say; return the exit status, 1 if some could not be."""
    renderer = renderer_from_flags(args)
    renderer.temporal_smoothing = args.steady
    out = args.out or (batch.PIPE if args.photos == [batch.PIPE] else Path('outputs'))
    shard, shards = args.shard
    name = 'sheet' if args.sheet else style_spec.slug(args.style)
    tasks = batch.plan_outputs(args.photos, out, name)[shard - 1::shards]
    log, failed = sys.stderr if out == batch.PIPE else sys.stdout, 0
    if not tasks:
        print(f'nothing to do for --shard {shard}/{shards}: there are fewer photos', file=log)
    for source, target in tasks:
        start_time = time.time()
        try:
            with batch.open_pipes(source, target) as (file, picture):
                written = _sheet(renderer, file, picture) if args.sheet else renderer.stylize_file(file, picture)
        except (UserError, OSError) as error:
            if getattr(error, 'errno', None) == errno.ENOSPC:  # the next one would not fit either
                raise
            failed += 1
            message = error if isinstance(error, UserError) else f'{error.filename or target}: {error.strerror}'
            print(one_line(f'error: {message}; skipped'), file=sys.stderr)
        else:
            print(one_line(f'{target}: {written}, {time.time() - start_time:.1f} s'), file=log)
    if failed:
        print(f'{failed} of {len(tasks)} could not be stylized', file=sys.stderr)
    return 1 if failed else 0


def _sheet(renderer, source, target):
    """Write the photo in all styles, none larger than a tile; return their names."""
    photo = tiled.limit_side(utils.read_image(source), multi_style.SHEET_SIDE_PX)
    utils.save_image(target, batch.sheet(renderer, photo))
    return ', '.join(['the photo', *renderer.model.styles])
