"""Fast style transfer: a network is trained once for a style, then stylises any photo in one pass.

    python fast_style_transfer.py train --style painting.jpg --images PHOTOS --name painting
    python fast_style_transfer.py stylize photo.jpg --model starry_night

Johnson, Alahi and Fei-Fei (2016): the losses are those of `style_transfer.py`, but what is trained is a network, over
many photos, instead of the pixels of one picture.
"""

import argparse
import re
import sys
import time
from pathlib import Path

from engine import quiet  # before all that takes long to load

import recipes
from engine import flags, messages, parsing, progress, sessions, shipped
from engine.messages import UserError
from fast import applying, models
from fast.network import ARCHITECTURES
from fast.photos import Photos
from fast.training import FastStyleTransfer

SIDE, BATCH, NETWORK, BASE = 256, 4, 'half', 16
# settings that mean nothing for a network
OF_PIXELS = ('init', 'noise_ratio', 'noise_amplitude', 'optimizer', 'pixels', 'averaging', 'scales',
             'coarse_iterations', 'coarse_ratio', 'style_fit', 'style_scale')
LISTED = 5  # files named in a message
OFFERED = {recipes.FAST.name: recipes.FAST}


def train(args):
    """Train a network as the flags say, and export it; return the exit status."""
    recipe = flags.recipe(args, OFFERED)
    seed = flags.seed(args)
    collection = Photos(args.images, args.side, seed, args.held_out)
    machine = FastStyleTransfer(collection, args.batch, args.held_out, args.style, args.network, args.base,
                                recipe=recipe, vgg=args.vgg, seed=seed, precision=flags.precision(args, recipe),
                                threads=args.threads, name=args.name)
    if not args.restart:
        models.check_free(machine.model_folder, machine.run)
    print(f'{args.style}, {len(collection.paths)} files to train on, {sessions.described(machine.precision)}\n'
          f'weights {machine.weights.path}: {machine.weights.description}')
    machine.build()
    start_time = time.time()
    with progress.Lines(recipe, recipe.iterations) if args.verbose else progress.Bar(recipe.iterations) as shown:
        outcome = machine.train(recipe.iterations, shown, args.restart)
    if collection.skipped:
        names = [str(path) for path in sorted(collection.skipped)]
        more = ' …' if len(names) > LISTED else ''
        print(f'{len(names)} files are no images that can be read, and were skipped: {", ".join(names[:LISTED])}{more}')
    if not progress.ended(outcome, machine.run.name, args.restart):
        return 130
    print(f'{machine.model_folder}: {outcome.step} iterations, {time.time() - start_time:.1f} s')


def stylize(args):
    """Stylise photos as the flags say; return the exit status, 1 if some could not be."""
    folder = models.find(args.model)
    model = models.Model(folder, args.precision, args.threads)
    if args.tile and args.tile < model.smallest_tile():
        raise UserError(f'--tile {args.tile}: at least {model.smallest_tile()} with this model, '
                        'else tiles are mostly overlap')
    out = args.out or Path(applying.PIPE if args.photos == [Path(applying.PIPE)] else 'outputs')
    shard, shards = args.shard
    tasks = list(applying.destinations(args.photos, out, folder.resolve().name))[shard - 1::shards]
    log, failed = sys.stderr if out == Path(applying.PIPE) else sys.stdout, 0
    for source, target in tasks:
        start_time = time.time()
        try:
            with applying.piped(source, target) as (file, picture):
                written = applying.render(model, file, picture, args.tile or model.default_tile(),
                                          args.strength, args.keep_colors)
        except UserError as error:
            failed += 1
            print(f'error: {error}; skipped', file=sys.stderr)
        else:
            print(f'{target}: {written}, {time.time() - start_time:.1f} s', file=log)
    if failed:
        print(f'{failed} of {len(tasks)} could not be stylised', file=sys.stderr)
    return 1 if failed else 0


def _shard(text):
    match = re.fullmatch(r'(\d{1,6})/(\d{1,6})', text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f'{text!r}: must be i/n with i from 1 to n')
    return int(match[1]), int(match[2])


def _flags(argv):
    parser = parsing.Parser(description=__doc__.split('\n')[0])
    commands = parser.add_subparsers(metavar='train | stylize', required=True)
    _train_flags(commands.add_parser('train', description='Train a network for a style; export it to models/<name>/.'))
    _stylize_flags(commands.add_parser('stylize', description='Stylise photos in one pass each.'))
    return parser.parse_args(argv)


def _train_flags(parser):
    parser.set_defaults(command=train)
    parser.add_argument('--style', type=Path, required=True, metavar='IMAGE', help='the image whose style is learned')
    parser.add_argument('--images', type=Path, nargs='+', required=True, metavar='DIR',
                        help='folders of photos to train on')
    parser.add_argument('--name', help='of the model, and of the run\'s folders (default: that of the style image)')
    parser.add_argument('--held-out', type=Path, nargs='+', default=shipped.HELD_OUT, metavar='IMAGE',
                        help='photos to show on the way, left out of the training (default: chelsea.png, coffee.png)')
    parser.add_argument('--side', type=parsing.whole_number(32, 1024), default=SIDE, metavar='W',
                        help='of the crops, in pixels, 32 to 1024 (default: %(default)s)')
    parser.add_argument('--batch', type=parsing.whole_number(1, 64), default=BATCH, metavar='N',
                        help='crops a step, 1 to 64 (default: %(default)s)')
    parser.add_argument('--network', choices=ARCHITECTURES, default=NETWORK,
                        help='half the published resolution inside, or as published (default: %(default)s)')
    parser.add_argument('--base', type=parsing.whole_number(4, 64), default=BASE, metavar='N',
                        help='channels of the first convolution, 4 to 64; 32 as published (default: %(default)s)')
    flags.add_training(parser)
    parser.add_argument('--verbose', action='store_true', help='print step, loss and time in place of a bar')
    flags.add_recipe(parser, OFFERED, OF_PIXELS)


def _stylize_flags(parser):
    parser.set_defaults(command=stylize)
    parser.add_argument('photos', type=Path, nargs='+', metavar='PHOTO',
                        help='images, animated GIFs, folders of them, or - for standard input')
    parser.add_argument('--model', required=True, metavar='NAME', help='of models/, or the path of a model\'s folder')
    parser.add_argument('--out', type=Path, metavar='PATH',
                        help='a folder; for one photo also a file, or - for standard output '
                        '(default: outputs, or - where the photo comes from -)')
    parser.add_argument('--strength', type=parsing.number(0, 1), default=1., metavar='X',
                        help='from 0, the photo, to 1, the picture (default: %(default)g)')
    parser.add_argument('--keep-colors', action='store_true',
                        help='take the picture\'s light and shade, the photo\'s colours')
    parser.add_argument('--tile', type=parsing.whole_number(*models.TILES), metavar='W', help='photos of more pixels '
                        'than this either way go through in parts (default: from the free memory)')
    parser.add_argument('--shard', type=_shard, default=(1, 1), metavar='i/n',
                        help='take every n-th photo, from the i-th on: n processes share the work')
    parser.add_argument('--precision', choices=sessions.PRECISIONS, default='float32',
                        help='bfloat16 is faster on processors that have it, and a little less exact '
                        '(default: %(default)s)')
    flags.add_threads(parser)


@messages.command_line
def main(argv=None):
    """Train or stylise as the flags say; return the exit status."""
    args = _flags(argv)
    return args.command(args)


if __name__ == '__main__':
    sys.exit(main())
