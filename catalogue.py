"""Make a catalog: a small picture of every photo in every style, and a web page that shows all of them.

    python catalogue.py --content PHOTOS --style PAINTINGS

Both flags take folders or images. The page is outputs/<name>/index.html and needs only the files in its folder. Running
the same command again continues an unfinished catalog, also after images were added.
"""

import argparse
import gc
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from common import process

if __name__ == '__main__':
    process.while_loading()  # The imports below take seconds.

import load_vgg
import recipes
import utils
from common import cli, errors, files, progress
from common.color_profiles import CONVERTED
from common.errors import UserError
from engine.cli import flags
from engine.optim import pyramid
from engine.results import catalogue_page
from style_transfer import StyleTransfer

SIDE_PX = 384
RECIPE_CHOICES = {recipes.MODERN.name: recipes.MODERN, **recipes.RECIPES}


def find_images(sources: Sequence[Path]) -> list[Path]:
    """Return the paths of the given images and of all images in the given folders, without duplicates.

    Images in the folder outputs of the current directory are left out.

    Raises:
        UserError: An image or folder does not exist, or a folder has no images.
    """
    images = [path for source in sources
              for path in (utils.find_images(source, 'outputs') if source.is_dir() else [source])]
    if missing := [path for path in images if not path.exists()]:
        raise UserError(f'{missing[0]}: no such image or folder')
    return list({path.resolve(): path for path in images}.values())


def train_pair(
    catalog: catalogue_page.Catalog, content: Path, style: Path, recipe: recipes.Recipe, args: argparse.Namespace,
    command: Callable[[StyleTransfer], list[str]]
) -> bool:
    """Train the picture of one photo in one style, or resume its training; a finished picture is left as it is.

    Args:
        catalog: The catalog that the picture is added to.
        content: Path of the photo.
        style: Path of the style image.
        recipe: The recipe.
        args: The parsed flags of the command.
        command: Function that returns the flags with which style_transfer.py makes the picture of a `StyleTransfer`.

    Returns:
        Whether the training was stopped, by Ctrl-C or SIGTERM.
    """
    width, height = utils.output_size(content, catalog.size)
    sizes = pyramid.levels(recipe, width, height, load_vgg.find_weights(args.vgg))
    n_iters = sizes[-1].end_step
    if catalog.is_finished(content, style, n_iters):
        return False
    print(f'{content} in the style of {style}, {width}×{height}')
    start_time = time.time()
    machine = StyleTransfer(content, style, width, height, recipe=recipe, vgg=args.vgg, seed=flags.seed(args, recipe),
                            precision=flags.precision(args, recipe), threads=args.threads,
                            name=catalog.run_name(content, style), color_profiles=args.color_profiles)
    machine.command = command(machine)
    machine.check_memory()
    # If a run of this name has other settings, one of its images has changed since; start it over.
    restart = args.restart or not machine.run.exists()
    with progress.ProgressBar(n_iters, pyramid.iteration_cost(sizes)) as bar:
        outcome = machine.train_pyramid(bar, restart)
    seconds = time.time() - start_time
    if not progress.report_ending(outcome, machine.run.name, args.restart):
        catalog.note_progress(machine.run.name, outcome, seconds)
        return True
    catalog.add_picture(machine, outcome, seconds, sizes)
    print(f'{machine.run.outputs / "final.png"}: {outcome.step} iterations, {seconds:.1f} s')
    return False


def _parse_flags(argv):
    """Parse the command line; return the parser and the flags."""
    parser = cli.Parser(description=__doc__.split('\n')[0])
    for kind, plural in (('content', 'photos'), ('style', 'style images')):
        parser.add_argument(f'--{kind}', type=Path, nargs='+', required=True, metavar='DIR',
                            help=f'folders of {plural}, or single images')
    parser.add_argument('--size', type=cli.int_in_range(*utils.SIDE_RANGE_PX), default=SIDE_PX, metavar='N',
                        help='the longer side of each picture, in pixels, '
                        f'{utils.SIDE_RANGE_PX[0]} to {utils.SIDE_RANGE_PX[1]} (default: %(default)s)')
    flags.add_training_flags(parser)
    flags.add_strength_flag(parser)
    flags.add_recipe_flags(parser, RECIPE_CHOICES)
    flags.add_schedule_flags(parser)
    parser.add_argument('--name', default='catalogue', help='name of the folder in outputs, and prefix of the names '
                        'of the runs (default: %(default)s)')
    return parser, parser.parse_args(argv)


def _command(parser, args, machine):
    """Return the flags with which style_transfer.py makes the picture of a `StyleTransfer` again."""
    values = {name: value for name, value in vars(args).items() if name not in ('size', 'recipe')}
    # Set only the longer side; style_transfer.py derives the other one from the photo.
    longer_side = 'width' if machine.img_width >= machine.img_height else 'height'
    values |= {'content': machine.content_path, 'style': machine.style_paths, longer_side: args.size}
    return [
        '--recipe',
        args.recipe,
        *flags.reproduction_command(parser, argparse.Namespace(**values), machine.precision),
    ]


@errors.command_line
def main(argv: Sequence[str] | None = None) -> int:
    """Make the pictures, resuming those that an earlier call left unfinished, and the page; return the exit status."""
    parser, args = _parse_flags(argv)
    if not args.restart:
        args.recipe = catalogue_page.choose_recipe(args.name, RECIPE_CHOICES[args.recipe]).name
    recipe = flags.reschedule(args, flags.recipe(args, RECIPE_CHOICES), args.size, args.size)
    weights = load_vgg.read_weights(load_vgg.find_weights(args.vgg))
    args.color_profiles = catalogue_page.choose_color_profiles(
        args.name, CONVERTED if args.restart and args.color_profiles == 'auto' else args.color_profiles)
    settings = {**recipe.fingerprint(), 'seed': flags.seed(args, recipe), 'vgg': files.file_hash(weights.path),
                'color_profiles': args.color_profiles}
    catalog = catalogue_page.Catalog(
        args.name, find_images(args.content), find_images(args.style), args.size, settings, recipes.legacy_defaults()
    )
    print(f'{len(catalog.contents)} × {len(catalog.styles)} pictures, recipe {recipe.name}; '
          f'{catalog.page_path} is updated after each picture\nweights {weights.path}: {weights.description}')
    with catalog.acquire(args.restart):
        for content, style in catalog.pairs:
            try:
                if train_pair(catalog, content, style, recipe, args, lambda machine: _command(parser, args, machine)):
                    return 130
            except Exception as error:
                reason = errors.describe(error)
                if isinstance(error, OSError) or not reason:  # A full disk, for example, affects all other pairs too.
                    raise
                catalog.add_failure(content, style, reason)
                errors.print_error(f'{content} in the style of {style}: {reason}')
            gc.collect()  # Graphs have reference cycles; free this one before the next one is built.
        catalog.write()
        failures = catalog.failures()
    print(f'{catalog.page_path}: {len(catalog.pairs) - len(failures)} pictures, {len(failures)} failed')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
