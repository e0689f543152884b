"""python fast_style_transfer.py stylize: its flags, and what it does."""

import argparse
import errno
import re
import sys
import time
from pathlib import Path

import utils
from engine import parsing
from engine.messages import UserError, one_line
from fast import applying, models, rendering

MODEL = 'many'  # that ships
STYLE = dict(metavar='NAME', help='one of the model\'s, or a mixture: starry_night:0.6,woodcut:0.4')


def add_flags(parser):
    """Give `parser` the flags of stylize."""
    parser.add_argument('photos', type=Path, nargs='+', metavar='PHOTO',
                        help='images, animated GIFs, clips, folders of images, or - for standard input')
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--style', **STYLE)
    what.add_argument('--sheet', action='store_true', help='every style of the model on one sheet')
    parser.add_argument('--out', type=Path, metavar='PATH',
                        help='a folder; for one photo also a file, or - for standard output '
                        '(default: outputs, or - where the photo comes from -)')
    add_renderer_flags(parser)
    parser.add_argument('--steady', action='store_true', help='of clips and GIFs: what stays in the photo stays in the '
                        'picture, and moves with it; several times slower')
    parser.add_argument('--shard', type=_shard, default=(1, 1), metavar='i/n',
                        help='take every n-th photo, from the i-th on: n processes share the work')


def add_renderer_flags(parser):
    """Give `parser` the flags that `renderer_of` takes, --style apart."""
    parser.add_argument('--model', default=MODEL, metavar='NAME',
                        help='of models/, or the path of a model\'s folder (default: %(default)s)')
    parser.add_argument('--strength', type=parsing.number(0, 1), default=1., metavar='X',
                        help='from 0, the photo, to 1, the picture (default: %(default)g)')
    parser.add_argument('--keep-colors', action='store_true',
                        help='take the picture\'s light and shade, the photo\'s colours')
    parser.add_argument('--tile', type=parsing.whole_number(*rendering.TILES), default=rendering.TILE, metavar='W',
                        help='photos of more pixels than this either way go through in parts; larger ones are a '
                        'little faster and take more memory (default: %(default)s)')
    parser.add_argument('--threads', type=parsing.whole_number(0, 1024), default=0, metavar='N',
                        help='threads to compute with, 0 to 1024; 0 is one a core (default: %(default)s)')


def renderer_of(args):
    """The `applying.Renderer` of the flags; of every style on a sheet where --style is left out."""
    model = rendering.Model(models.find(args.model), args.threads)
    weights = None if args.style is None else rendering.style_weights(args.style, model.styles)
    return applying.Renderer(model, weights, args.tile, args.strength, args.keep_colors)


def in_names(style):
    """A style or mixture as it is in the names of pictures."""
    return style.replace(',', '+').replace(':', '')


def _shard(text):
    match = re.fullmatch(r'(\d{1,6})/(\d{1,6})', text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f'{text!r}: must be i/n with i from 1 to n')
    return int(match[1]), int(match[2])


def run(args):
    """Stylise photos as the flags say; return the exit status, 1 if some could not be."""
    renderer = renderer_of(args)
    renderer.steady = args.steady
    out = args.out or (applying.PIPE if args.photos == [applying.PIPE] else Path('outputs'))
    shard, shards = args.shard
    name = 'sheet' if args.sheet else in_names(args.style)
    tasks = applying.destinations(args.photos, out, name)[shard - 1::shards]
    log, failed = sys.stderr if out == applying.PIPE else sys.stdout, 0
    if not tasks:
        print(f'nothing to do for --shard {shard}/{shards}: there are fewer photos', file=log)
    for source, target in tasks:
        start_time = time.time()
        try:
            with applying.piped(source, target) as (file, picture):
                written = _sheet(renderer, file, picture) if args.sheet else renderer.file(file, picture)
        except (UserError, OSError) as error:
            if getattr(error, 'errno', None) == errno.ENOSPC:  # the next one would not fit either
                raise
            failed += 1
            message = error if isinstance(error, UserError) else f'{error.filename or target}: {error.strerror}'
            print(one_line(f'error: {message}; skipped'), file=sys.stderr)
        else:
            print(one_line(f'{target}: {written}, {time.time() - start_time:.1f} s'), file=log)
    if failed:
        print(f'{failed} of {len(tasks)} could not be stylised', file=sys.stderr)
    return 1 if failed else 0


def _sheet(renderer, source, target):
    """Write the photo in all styles, none larger than a tile; return their names."""
    photo = rendering.reduced(utils.read_image(source), rendering.SHEET_SIDE)
    utils.save_image(target, applying.sheet(renderer, photo))
    return ', '.join(['the photo', *renderer.model.styles])
