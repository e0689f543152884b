"""Parse the flags of the command `style_transfer.py`, and print what it will make."""

import argparse

import recipes
from common import cli
from common.color_profiles import IGNORED
from engine.cli import flags
from engine.results import output
from engine.run import runs, session


def parse(description: str, argv: list[str]) -> tuple[cli.Parser, argparse.Namespace]:
    """Parse the flags of `style_transfer.py`; with --like, the flags in `argv` override those stored in the picture.

    Args:
        description: The first line of the help.
        argv: The arguments.

    Returns:
        The parser and the parsed flags.
    """
    parser = cli.Parser(description=description)
    flags.add_image_flags(parser, recipes.CS20.size, recipes.RECIPES.values(), '+')
    flags.add_strength_flag(parser)
    flags.add_control_flags(parser)
    flags.add_recipe_flags(parser, without=['init'])
    flags.add_schedule_flags(parser)
    flags.add_output_flags(parser)
    parser.add_argument('--name', help='name of the run\'s folders in outputs, checkpoints and graphs '
                        '(default: content-style-recipe)')
    parser.add_argument('--verbose', action='store_true', help='print step, loss and time instead of a progress bar')
    args = parser.parse_args(argv)
    if args.like:
        about = output.read_settings(args.like)
        # Version 1.0, which did not record the setting, ignored color profiles.
        before = [] if 'color_profiles' in about['settings'] else ['--color-profiles', IGNORED]
        if about['settings'].get('name') == recipes.MODERN_1_0.name:
            about['command'] += ['--recipe', recipes.MODERN_1_0.name]
        args = parser.parse_args([*before, *about['command'], *argv])
    if not args.restart:
        _continue_recipe(args)
    return parser, args


def _continue_recipe(args):
    """Set `args.recipe` and `args.name` to those of the run on disk, if version 1.0 began it with its `modern`."""
    wanted = recipes.named(args.recipe)
    called = recipes.MODERN if wanted is recipes.MODERN_1_0 else wanted  # its name in version 1.0
    name = args.name or runs.picture_name(args.content, args.style, called)
    begun = runs.begun_recipe(name, called)
    if begun is not called:
        args.recipe, args.name = begun.name, name
    if begun is not called and begun is not wanted:
        print(f'{name}: goes on with the recipe {begun.name}, with which it was begun; --restart begins again')


def machine_settings(args: argparse.Namespace, recipe: recipes.Recipe, width: int, height: int) -> dict:
    """Return the keyword arguments of `StyleTransfer` that follow from the flags; set `args.color_profiles`."""
    args.color_profiles = flags.color_profiles(args, args.name or runs.picture_name(args.content, args.style, recipe))
    recipe = flags.reschedule(args, recipe, width, height)
    return dict(style_weights=args.style_weights, mask=args.mask, recipe=recipe, vgg=args.vgg,
                seed=flags.seed(args, recipe), precision=flags.precision(args, recipe), threads=args.threads,
                color_profiles=args.color_profiles, name=args.name,
                initial_img=flags.initial_img(args, width, height, _fast_pass))


def _fast_pass(*images):
    """Return the picture of the arbitrary style network, which is imported here because the starter lacks it."""
    return cli.load_module('fast.inference.arbitrary', 'requirements.txt').stylize(*images)


def print_settings(args: argparse.Namespace, machine, source: str) -> None:
    """Print what will be made, with which weights, and which settings differ from those of the picture of --like.

    Args:
        args: The parsed flags.
        machine: The `StyleTransfer`.
        source: The note about the origin of the size that `flags.size` returns.
    """
    styles = ' and '.join(map(str, args.style))
    print(f'{args.content} in the style of {styles}, {machine.img_width}×{machine.img_height}{source}, '
          f'{session.describe(machine.precision)}; the newest picture is {machine.run.outputs / runs.LATEST_PICTURE}\n'
          f'weights {machine.weights.path}: {machine.weights.description}')
    if diff := flags.settings_diff(args, machine.run):
        print(f'settings that differ from {args.like}: {", ".join(diff)}')
