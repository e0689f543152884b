"""Command-line flags that the training commands share, including one flag for each field of a recipe."""

import argparse
import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

import load_vgg
import recipes
import utils
from common import paths
from common.cli import float_in_range, int_in_range
from common.color_profiles import CONVERTED, IGNORED
from common.errors import UserError
from engine.optim import pyramid, takes_bfloat16
from engine.results import output
from engine.run import runs, session

FAST_INIT = 'any'  # value of --init that starts from the picture of the arbitrary style network
# Flags that `reproduction_command` leaves out, because they do not change the picture. The number of iterations is
# added later, when it is known how many were run.
NOT_REPRODUCED = 'like', 'name', 'output', 'quality', 'depth', 'alpha', 'restart', 'verbose', 'iterations'


def add_image_flags(parser: argparse.ArgumentParser, default: tuple[int, int], others: Iterable[recipes.Recipe] = (),
                    styles: str | None = None) -> None:
    """Add the flags of commands that train pictures: both images, the size, and those of `add_training_flags`.

    Args:
        parser: The parser of the command.
        default: Default (width, height) in pixels, as in `size`.
        others: Recipes whose sizes the help names where they differ from `default`.
        styles: '+' if --style takes one or more images, which makes its value a list; None if it takes one.
    """
    parser.add_argument('--content', type=Path, default=paths.CONTENT, metavar='IMAGE',
                        help=f'image whose content is kept (default: content/{paths.CONTENT.name})')
    parser.add_argument('--style', type=Path, nargs=styles, default=[paths.STYLE] if styles else paths.STYLE,
                        metavar='IMAGE', help=f'image whose style is used{"; several are blended" * bool(styles)} '
                        f'(default: styles/{paths.STYLE.name})')
    side = int_in_range(*utils.SIDE_RANGE_PX)
    default_text = f'{default[0]} by {default[1]}; with --content, {max(default)} for the longer side'
    default_text += ''.join(f'; {max(recipe.size)} in {recipe.name}' for recipe in others
                            if recipe.size != default and recipe is not recipes.MODERN_1_0)
    parser.add_argument('--width', type=side, metavar='W',
                        help=f'width of the picture in pixels, {utils.SIDE_RANGE_PX[0]} to {utils.SIDE_RANGE_PX[1]}; '
                        'if only one of --width and --height is given, the other one follows from the aspect ratio of '
                        f'the content image (default: {default_text})')
    parser.add_argument('--height', type=side, metavar='H', help='height of the picture in pixels, as --width')
    add_training_flags(parser)


def add_training_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every command that trains: weights, seed, precision, threads and restart."""
    add_weights_flag(parser)
    parser.add_argument('--seed', type=int_in_range(0, 2**31 - 1), metavar='N',
                        help='seed of all random numbers, 0 to 2147483647 (default: 0)')
    parser.add_argument('--precision', choices=('auto', *session.PRECISIONS), default='auto',
                        help='auto resumes a run in the precision in which it was started; a new run uses bfloat16 if '
                        'the processor is faster with it and the optimizer is Adam, else float32 '
                        '(default: %(default)s)')
    parser.add_argument('--color-profiles', choices=('auto', CONVERTED, IGNORED), default='auto',
                        help='whether the images are converted from their ICC profiles to sRGB; auto resumes a run as '
                        'it was started and converts them in a new run; ignored makes pictures as version 1.0 did '
                        '(default: %(default)s)')
    add_threads_flag(parser)
    parser.add_argument('--restart', action='store_true', help='start the run over instead of resuming it')


def add_weights_flag(parser: argparse.ArgumentParser) -> None:
    """Add --vgg, the file of the VGG-19 weights, which `load_vgg.find_weights` takes."""
    parser.add_argument('--vgg', type=Path, metavar='FILE', help='VGG-19 weights in MatConvNet\'s format (default: '
                        f'{load_vgg.VGG_FILENAME} if it exists, else the bundled weights/vgg19.mat)')


def add_threads_flag(parser: argparse.ArgumentParser) -> None:
    """Add --threads, the number of threads that `session.session_config` takes."""
    parser.add_argument('--threads', type=int_in_range(0, 1024), default=0, metavar='N',
                        help='number of threads, 0 to 1024; 0 for one per core (default: %(default)s)')


def size(args: argparse.Namespace, default: tuple[int, int]) -> tuple[tuple[int, int], str]:
    """Return the size of the picture, and a note for the user about its origin: ((width, height), text).

    If one side is given, the other one follows from the aspect ratio of the content image. If none is given, the size
    is `default` without --content; with --content, the image keeps its aspect ratio, and its longer side becomes that
    of `default`. The text is empty unless the size follows from the content image.
    """
    width, height = args.width, args.height
    if width and height:
        return (width, height), ''
    if not (width or height) and args.content is paths.CONTENT:
        return default, ''
    return utils.output_size(args.content, max(default), width, height), ' (the aspect ratio of the content)'


def seed(args: argparse.Namespace, recipe: recipes.Recipe | None = None) -> int:
    """Return the value of --seed, or 0 if it is not given.

    Raises:
        UserError: --seed is given, but `recipe` has nothing random.
    """
    if args.seed is not None and recipe and not recipe.has_random_start:
        raise UserError(f'--seed does nothing with {recipe.inactive_because("noise_amplitude")}')
    return args.seed or 0


def precision(args: argparse.Namespace, recipe: recipes.Recipe) -> str:
    """Return the precision for `StyleTransfer`: the value of --precision, which may be 'auto'.

    With --restart, 'auto' becomes the fastest precision, because the run that it would follow is removed.
    """
    if args.restart and args.precision == 'auto':
        return session.fastest_precision(takes_bfloat16(recipe))
    return args.precision


def color_profiles(args: argparse.Namespace, name: str) -> str:
    """Return whether images are converted to sRGB, as --color-profiles, --restart and the run `name` on disk say."""
    wanted = CONVERTED if args.restart and args.color_profiles == 'auto' else args.color_profiles
    return runs.Run(name, {}).choose_color_profiles(wanted)


def add_strength_flag(parser: argparse.ArgumentParser) -> None:
    """Add --strength, which sets the style weight on a scale from 0 to 1."""
    parser.add_argument(
        '--strength',
        type=float_in_range(0, 1),
        metavar='X',
        help='strength of the style, 0 to 1: multiplies the '
        f'recipe\'s --style-weight by 1/{recipes.MAX_STRENGTH_FACTOR:g} … {recipes.MAX_STRENGTH_FACTOR:g} (default: '
        '0.5, which leaves it unchanged)',
    )


def add_control_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags for blending styles, for the mask and for the starting image."""
    parser.add_argument('--style-weights', type=float_in_range(0, 1e6), nargs='+', metavar='X',
                        help='weights for blending several styles, one for each style (default: equal weights)')
    parser.add_argument('--mask', type=Path, metavar='IMAGE', help='mask with the aspect ratio of the content image: '
                        'the first style is applied where the mask is white; where it is black, the second style is '
                        'applied, or with one style the photo is kept; gray blends the two')
    field = recipes.Recipe.__dataclass_fields__['init']
    parser.add_argument('--init', type=_parse_init, metavar='NAME|IMAGE', help=f'{field.metadata["help"]}: '
                        f'{", ".join(field.metadata["choices"])}; or {FAST_INIT}, the picture that the arbitrary style '
                        'network makes in one pass; or an image file (default: set by the recipe)')


def _parse_init(text):
    """Return a value of --init as text if it is a name, else as a path."""
    choices = recipes.Recipe.__dataclass_fields__['init'].metadata['choices']
    return text if text in (*choices, FAST_INIT) else Path(text)


def initial_img(args: argparse.Namespace, width: int, height: int, fast_pass: Callable):
    """Return the starting image that --init names.

    Args:
        args: The parsed flags; --color-profiles is not auto any more.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        fast_pass: Function of a photo [H, W, 3], a list of styles [H, W, 3] and their weights (or None), which returns
            the arbitrary style network's picture [H, W, 3]; used for FAST_INIT.

    Returns:
        A path; or float32 [1, height, width, 3], from 0 to 255; or None if --init names no image.
    """
    if args.init == FAST_INIT:
        is_converted = args.color_profiles == CONVERTED
        photo = utils.get_resized_image(args.content, width, height, is_converted)[0]
        styles = [utils.read_image(path, is_converted) for path in args.style]
        return fast_pass(photo, styles, args.style_weights)[None]
    return args.init if isinstance(args.init, Path) else None


def add_output_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags for an additional output file, and --like, which reuses the settings of a picture."""
    parser.add_argument('--output', type=Path, metavar='FILE', help='also write the picture to this file, besides '
                        f'outputs/<run>: {", ".join(output.FORMATS)}')
    parser.add_argument('--quality', type=int_in_range(1, 100), metavar='N',
                        help=f'quality of a JPEG or WebP file, 1 to 100 (default: {utils.JPEG_QUALITY})')
    parser.add_argument('--depth', type=int, choices=(8, 16),
                        help='bits per channel of a PNG or TIFF file (default: 8)')
    parser.add_argument('--alpha', action='store_true', default=None,
                        help='keep the photo\'s transparency; otherwise transparent areas become white')
    parser.add_argument('--like', type=Path, metavar='PICTURE',
                        help='use the settings that are stored in this picture; other flags override them')


def reproduction_command(parser: argparse.ArgumentParser, args: argparse.Namespace, precision: str) -> list[str]:
    """Return the flags that make the same picture again, except for the number of iterations.

    Args:
        parser: The parser of the command, for the defaults.
        args: The parsed flags.
        precision: The precision that the run computes in.
    """
    changed = {name: value for name, value in vars(args).items()
               if name not in NOT_REPRODUCED and value != parser.get_default(name)} | {'precision': precision}
    if args.color_profiles == CONVERTED:  # This is what a new run does.
        del changed['color_profiles']
    flags = []
    for name, value in changed.items():
        flags += [
            '--' + name.replace('_', '-'),
            *(map(_format_exact, value) if isinstance(value, list) else [_format_exact(value)]),
        ]
    return flags


def _format_exact(value):
    """Return the value of a flag as text that parses to the same value."""
    return ','.join(map(str, value)) if isinstance(value, tuple) else str(value)


def settings_diff(args: argparse.Namespace, run: runs.Run) -> list[str]:
    """Return the settings in which a run differs from the run of the picture that --like names, one text each.

    The list is empty without --like.
    """
    if not args.like:
        return []
    return runs.settings_diff(run.fingerprint, output.read_settings(args.like)['settings'], run.defaults)


def output_file(args: argparse.Namespace, width: int, height: int) -> output.OutputFile | None:
    """Return the file that --output names, with the photo's transparency if --alpha is given.

    Args:
        args: The parsed flags.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.

    Returns:
        The output file, or None without --output.

    Raises:
        UserError: A flag has no effect, the file format does not support it, or an input image would be overwritten.
    """
    if not args.output:
        if unused := [flag for flag in ('quality', 'depth', 'alpha') if getattr(args, flag)]:
            raise UserError(f'--{unused[0]} does nothing without --output')
        return None
    inputs = [args.content, *args.style, args.mask, args.init if isinstance(args.init, Path) else None]
    if args.output.resolve() in [path.resolve() for path in inputs if path]:
        raise UserError(f'--output {args.output}: is one of the input images, which it would overwrite; name another '
                        'file')
    alpha = utils.read_alpha(args.content) if args.alpha else None
    if alpha is not None:
        alpha = utils.resize_and_crop(alpha[..., None], width, height)[..., 0]
    elif args.alpha:
        raise UserError(f'--alpha: {args.content} has no transparency')
    return output.OutputFile(args.output, args.quality, args.depth or 8, alpha)


def add_recipe_flags(parser: argparse.ArgumentParser, choices: Mapping[str, recipes.Recipe] = recipes.RECIPES,
                     without: Collection[str] = ()) -> None:
    """Add one flag for each setting of `recipes.Recipe`, and --recipe if there is more than one recipe.

    Args:
        parser: The parser of the command.
        choices: name -> recipe, the default recipe first.
        without: Names of settings that get no flag.
    """
    parser.set_defaults(recipe=next(iter(choices)))
    if len(choices) > 1:
        parser.add_argument('--recipe', choices=choices,
                            help='recipe whose settings are the defaults of the flags below '
                            '(default: %(default)s)')
    for field in dataclasses.fields(recipes.Recipe):
        if field.metadata and field.name not in without:
            defaults = ', '.join(
                _format_short(getattr(recipe, field.name)) + (f' in {name}' if len(choices) > 1 else '')
                for name, recipe in choices.items()
                if not recipe.inactive_because(field.name) and recipe is not recipes.MODERN_1_0
            )
            parser.add_argument(
                recipes.flag_name(field),
                type=_value_parser(field),
                metavar=_metavar(field),
                help=f'{field.metadata["help"]}; {recipes.describe_allowed(field)} (default: {defaults})',
            )


def reschedule(args: argparse.Namespace, recipe: recipes.Recipe, width: int, height: int) -> recipes.Recipe:
    """Return a recipe whose stages are changed as the flags say, see `pyramid.reschedule`."""
    return pyramid.reschedule(recipe, width, height, *(getattr(args, name) for name in pyramid.SCHEDULE_SETTINGS))


def recipe(args: argparse.Namespace, choices: Mapping[str, recipes.Recipe] = recipes.RECIPES) -> recipes.Recipe:
    """Return the recipe that --recipe names, changed by the other flags.

    Args:
        args: The parsed flags.
        choices: name -> recipe.

    Raises:
        UserError: A flag has no effect with the others, a value is out of its range, or flags contradict each other.
    """
    changed = {field.name: getattr(args, field.name) for field in dataclasses.fields(recipes.Recipe)
               if field.metadata and getattr(args, field.name, None) is not None}
    init = changed.get('init')
    if isinstance(init, Path) or init == FAST_INIT:  # The given image replaces the recipe's starting image.
        changed['init'] = 'content'
    recipe = choices[args.recipe].with_settings(**changed)
    if getattr(args, 'strength', None) is not None:
        if 'style_weight' in changed:
            raise UserError('--strength and --style-weight: give only one of the two, because both set β')
        if reason := recipe.inactive_because('style_statistic'):
            raise UserError(f'--strength does nothing with {reason}')
        recipe = recipe.with_strength(args.strength)
    for name in changed:
        if reason := recipe.inactive_because(name):
            raise UserError(f'{recipes.flag_name(recipe.__dataclass_fields__[name])} does nothing with {reason}')
    return recipe


def add_schedule_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that make or change the stages of a recipe, which `reschedule` takes."""
    steps = f'those of the recipe; {pyramid.COARSE_STEPS} if it has no stages'
    parser.add_argument('--scales', type=int_in_range(0, recipes.MAX_SIZES), metavar='N',
                        help='number of image sizes to train at, coarse to fine: each has half the sides of the next '
                        'one; 1 for only the settings of the recipe itself, without its stages; 0 for as many as '
                        f'possible with at least {pyramid.MIN_COARSE_SIDE_PX} pixels for the longer side (default: as '
                        'in the recipe, 1 if it has no stages)')
    parser.add_argument('--coarse-iterations', type=int_in_range(1, recipes.MAX_ITERATIONS), metavar='N',
                        help='steps of the first stage, at the smallest size; those of the other stages at smaller '
                        f'sizes than that of the picture change in proportion (default: {steps})')
    parser.add_argument('--coarse-ratio', type=float_in_range(0.1, 2), metavar='X',
                        help='steps at each further size but the last, relative to those at the size before '
                        '(default: as in the recipe; 1 if it has no stages)')


def _value_parser(field):
    """Return an argparse type that parses and checks the value of a setting, or a comma-separated tuple of values."""
    is_tuple = isinstance(field.default, tuple)
    kind = type(field.default[0] if is_tuple else field.default)

    def parse(text):
        try:
            values = tuple(kind(item) for item in (text.split(',') if is_tuple else [text]))
            for value in values:
                recipes.check_value(field, value)
        except (UserError, ValueError):
            raise argparse.ArgumentTypeError(f'{text!r}: must be {recipes.describe_allowed(field)}') from None
        return values if is_tuple else values[0]
    return parse


def _format_short(value):
    """Return the default value of a setting as short text for the help."""
    return (','.join(map(_format_short, value)) if isinstance(value, tuple)
            else f'{value:g}' if isinstance(value, float) else str(value))


def _metavar(field):
    """Return the placeholder of a setting's value in the help."""
    is_tuple = isinstance(field.default, tuple)
    if not field.metadata['choices']:
        return 'X,...' if is_tuple else 'X'
    return 'LAYER,...' if is_tuple else 'NAME'
