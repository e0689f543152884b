"""A catalogue: every photo in every style, a small picture each, and one page to look at them all.

    python catalogue.py --content PHOTOS --style PAINTINGS

Both are folders or images. The page is outputs/<name>/index.html, and needs nothing but its folder. The same command
goes on where it was, also after images were added.
"""

import argparse
import gc
import sys
import time
from pathlib import Path

from common import process

if __name__ == '__main__':
    process.while_loading()  # before the imports that take seconds

import load_vgg
import recipes
import utils
from common import cli, errors, files, progress
from common.errors import UserError
from engine.cli import flags
from engine.optim import pyramid
from engine.results import catalogue_page
from style_transfer import StyleTransfer

SIDE_PX = 384
RECIPE_CHOICES = {recipes.MODERN.name: recipes.MODERN, **recipes.RECIPES}


def find_images(sources):
    """The paths of the images that some files and folders are, each once. Raises `UserError` where one has none."""
    found = [path for source in sources
             for path in (utils.find_images(source, 'outputs') if source.is_dir() else [source])]
    if missing := [path for path in found if not path.exists()]:
        raise UserError(f'{missing[0]}: no such image or folder')
    return list({path.resolve(): path for path in found}.values())


def train_pair(catalogue, content, style, recipe, args, command):
    """Make the picture of a pair, or go on with it; return whether it was stopped. One that is there stays.

    command: a function that gives the flags of style_transfer.py for a `StyleTransfer`
    """
    width, height = utils.output_size(content, catalogue.size)
    sizes = pyramid.levels(recipe, width, height)
    n_iters = sizes[-1].end
    if catalogue.is_finished(content, style, n_iters):
        return False
    print(f'{content} in the style of {style}, {width}×{height}')
    start_time = time.time()
    machine = StyleTransfer(content, style, width, height, recipe=recipe, vgg=args.vgg, seed=flags.seed(args, recipe),
                            precision=flags.precision(args, recipe), threads=args.threads,
                            name=catalogue.run_name(content, style))
    machine.command = command(machine)
    machine.check_memory()
    # what lies under its name and is another run is of images that have changed since
    restart = args.restart or not machine.run.exists()
    with progress.ProgressBar(n_iters, pyramid.iteration_cost(sizes)) as bar:
        outcome = machine.train_pyramid(bar, restart)
    seconds = time.time() - start_time
    if not progress.report_ending(outcome, machine.run.name, args.restart):
        catalogue.note_progress(machine.run.name, outcome, seconds)
        return True
    catalogue.add_picture(machine, outcome, seconds, sizes)
    print(f'{machine.run.outputs / "final.png"}: {outcome.step} iterations, {seconds:.1f} s')
    return False


def _flags(argv):
    parser = cli.Parser(description=__doc__.split('\n')[0])
    for kind, what in (('content', 'photos'), ('style', 'styles')):
        parser.add_argument(f'--{kind}', type=Path, nargs='+', required=True, metavar='DIR',
                            help=f'folders of {what}, or images')
    parser.add_argument('--size', type=cli.int_in_range(*utils.SIDE_RANGE_PX), default=SIDE_PX, metavar='N',
                        help='the longer side of each picture, in pixels, '
                        f'{utils.SIDE_RANGE_PX[0]} to {utils.SIDE_RANGE_PX[1]} (default: %(default)s)')
    flags.add_training_flags(parser)
    flags.add_strength_flag(parser)
    flags.add_recipe_flags(parser, RECIPE_CHOICES)
    parser.add_argument('--name', default='catalogue', help='of the folder in outputs, and what the names of the runs '
                        'begin with (default: %(default)s)')
    return parser, parser.parse_args(argv)


def _command(parser, args, machine):
    """The flags of style_transfer.py that make the picture of a `StyleTransfer` again."""
    given = {name: value for name, value in vars(args).items() if name not in ('size', 'recipe')}
    longer = 'width' if machine.img_width >= machine.img_height else 'height'  # the other follows the photo's shape
    given |= {'content': machine.content_path, 'style': machine.style_paths, longer: args.size}
    return [
        '--recipe',
        args.recipe,
        *flags.reproduction_command(parser, argparse.Namespace(**given), machine.precision),
    ]


@errors.command_line
def main(argv=None):
    """Make the pictures, those that an earlier call has left unfinished too, and the page; return the exit status."""
    parser, args = _flags(argv)
    recipe = flags.recipe(args, RECIPE_CHOICES)
    weights = load_vgg.read_weights(load_vgg.find_weights(args.vgg))
    settings = {**recipe.fingerprint(), 'seed': flags.seed(args, recipe), 'vgg': files.file_hash(weights.path)}
    catalogue = catalogue_page.Catalog(
        args.name, find_images(args.content), find_images(args.style), args.size, settings, recipes.legacy_defaults()
    )
    print(f'{len(catalogue.contents)} × {len(catalogue.styles)} pictures, {recipe.name}; the page, which grows, is '
          f'{catalogue.page_path}\nweights {weights.path}: {weights.description}')
    with catalogue.acquire(args.restart):
        for content, style in catalogue.pairs:
            try:
                if train_pair(catalogue, content, style, recipe, args, lambda machine: _command(parser, args, machine)):
                    return 130
            except Exception as error:
                reason = errors.describe(error)
                if isinstance(error, OSError) or not reason:  # a full disk is one for all pairs
                    raise
                catalogue.add_failure(content, style, reason)
                print(f'{content} in the style of {style}: {reason}', file=sys.stderr)
            gc.collect()  # a graph refers to itself, and would stay beside the next one
        catalogue.write()
        failures = catalogue.failures()
    print(f'{catalogue.page_path}: {len(catalogue.pairs) - len(failures)} pictures, {len(failures)} failed')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
