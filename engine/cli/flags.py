"""The flags of whatever trains, and those that are made from the fields of a recipe."""

import argparse
import dataclasses
from pathlib import Path

import load_vgg
import recipes
import utils
from common import paths
from common.cli import float_in_range, int_in_range
from common.errors import UserError
from engine.results import output
from engine.run import runs, session

# flags that do not decide what a command's picture is; its iterations are those that it had
FAST_INIT = 'any'  # what --init calls the picture of the network of any style
NOT_REPRODUCED = 'like', 'name', 'output', 'quality', 'depth', 'alpha', 'restart', 'verbose', 'iterations'


def add_image_flags(parser, default, others=(), styles=None):
    """Give `parser` the flags of whatever trains pictures: the two images, their size, and `add_training_flags`.

    default: (width, height) if neither is given, as `size` has it; others: recipes, of which some may have other ones
    styles: '+' for one style or more, as a list
    """
    parser.add_argument('--content', type=Path, default=paths.CONTENT, metavar='IMAGE',
                        help=f'the image whose content is kept (default: content/{paths.CONTENT.name})')
    parser.add_argument('--style', type=Path, nargs=styles, default=[paths.STYLE] if styles else paths.STYLE,
                        metavar='IMAGE', help=f'the image whose style is taken{"; several are blended" * bool(styles)} '
                        f'(default: styles/{paths.STYLE.name})')
    side = int_in_range(*utils.SIDE_RANGE_PX)
    usual = f'{default[0]} by {default[1]}, with --content {max(default)} for the longer side'
    usual += ''.join(f'; {max(recipe.size)} in {recipe.name}' for recipe in others if recipe.size != default)
    parser.add_argument('--width', type=side, metavar='W',
                        help=f'of the picture, in pixels, {utils.SIDE_RANGE_PX[0]} to {utils.SIDE_RANGE_PX[1]}; '
                        f'where one of the two is given the other follows the content (default: {usual})')
    parser.add_argument('--height', type=side, metavar='H', help='likewise')
    add_training_flags(parser)


def add_training_flags(parser):
    """Give `parser` the flags of whatever trains: weights, seed, precision, threads, restart."""
    add_weights_flag(parser)
    parser.add_argument('--seed', type=int_in_range(0, 2**31 - 1), metavar='N',
                        help='of everything random, 0 to 2147483647 (default: 0)')
    parser.add_argument('--precision', choices=('auto', *session.PRECISIONS), default='auto',
                        help='auto: what the run was begun in; for a new one bfloat16 if the processor has it in '
                        'hardware and the optimizer is Adam, else float32 (default: %(default)s)')
    add_threads_flag(parser)
    parser.add_argument('--restart', action='store_true', help='begin the run again instead of resuming it')


def add_weights_flag(parser):
    """Give `parser` the weights that `load_vgg.find_weights` takes."""
    parser.add_argument('--vgg', type=Path, metavar='FILE', help='VGG-19 weights in MatConvNet\'s layout (default: '
                        f'{load_vgg.VGG_FILENAME} if it is there, else the bundled weights/vgg19.mat)')


def add_threads_flag(parser):
    """Give `parser` the threads that `sessions.session_config` takes."""
    parser.add_argument('--threads', type=int_in_range(0, 1024), default=0, metavar='N',
                        help='threads to compute with, 0 to 1024; 0 is one a core (default: %(default)s)')


def size(args, default):
    """The width and height of the picture, and in words whence they are: ((width, height), text).

    What is missing follows the content's aspect: of one side given the other; of none both, the longer one as in the
    default. Without --content it is the default.
    """
    width, height = args.width, args.height
    if width and height:
        return (width, height), ''
    if not (width or height) and args.content is paths.CONTENT:
        return default, ''
    return utils.output_size(args.content, max(default), width, height), ' (the shape of the content)'


def seed(args, recipe=None):
    """--seed, or 0. Raises `UserError` for one given with a recipe of pictures in which nothing is random."""
    if args.seed is not None and recipe and not recipe.has_random_start:
        raise UserError(f'--seed does nothing with {recipe.inactive_because("noise_amplitude")}')
    return args.seed or 0


def precision(args, recipe):
    """--precision for `StyleTransfer`; 'auto' with --restart looks at no older run."""
    return session.fastest_precision(recipe.optimizer) if args.restart and args.precision == 'auto' else args.precision


def add_strength_flag(parser):
    """Give `parser` --strength, the one knob for people."""
    parser.add_argument(
        '--strength',
        type=float_in_range(0, 1),
        metavar='X',
        help='how much of the style, 0 to 1: multiplies '
        f'--style-weight by 1/{recipes.MAX_STRENGTH_FACTOR:g} … {recipes.MAX_STRENGTH_FACTOR:g} (default: 0.5, which '
        'leaves it as it is)',
    )


def add_control_flags(parser):
    """Give `parser` what says where the styles go and what the picture begins with."""
    parser.add_argument('--style-weights', type=float_in_range(0, 1e6), nargs='+', metavar='X',
                        help='of several styles, one each (default: equal ones)')
    parser.add_argument('--mask', type=Path, metavar='IMAGE', help='of the content\'s shape: the first style goes '
                        'where it is white; where black the second, or the photo stays; grays mix')
    field = recipes.Recipe.__dataclass_fields__['init']
    parser.add_argument('--init', type=_parse_init, metavar='NAME|IMAGE', help=f'{field.metadata["help"]}: '
                        f'{", ".join(field.metadata["choices"])}; or {FAST_INIT}, what the network of any style makes '
                        'of them in one pass; or an image (default: the recipe\'s)')


def _parse_init(text):
    choices = recipes.Recipe.__dataclass_fields__['init'].metadata['choices']
    return text if text in (*choices, FAST_INIT) else Path(text)


def initial_img(args, width, height, fast_pass):
    """The image that --init names, [1, height, width, 3] of 0-255, or None.

    one_pass: photo, styles as arrays [H, W, 3], weights -> the picture of FAST_INIT
    """
    if args.init == FAST_INIT:
        photo = utils.get_resized_image(args.content, width, height)[0]
        return fast_pass(photo, list(map(utils.read_image, args.style)), args.style_weights)[None]
    return utils.get_resized_image(args.init, width, height) if isinstance(args.init, Path) else None


def add_output_flags(parser):
    """Give `parser` the file that the picture is also written to, and a picture to be like."""
    parser.add_argument('--output', type=Path, metavar='FILE', help='where the picture goes beside outputs/<run>: '
                        f'{", ".join(output.FORMATS)}; it keeps the photo\'s ICC profile')
    parser.add_argument('--quality', type=int_in_range(1, 100), metavar='N',
                        help=f'of a JPEG or WebP (default: {utils.JPEG_QUALITY})')
    parser.add_argument('--depth', type=int, choices=(8, 16), help='bits a channel of a PNG or TIFF (default: 8)')
    parser.add_argument('--alpha', action='store_true', default=None,
                        help='the photo\'s transparency stays; else what is transparent is white')
    parser.add_argument('--like', type=Path, metavar='PICTURE',
                        help='run with the settings that made a picture; flags beside it change them')


def reproduction_command(parser, args, precision):
    """The flags that make the same picture again, but for its iterations: those given, and what was computed in."""
    given = {name: value for name, value in vars(args).items()
             if name not in NOT_REPRODUCED and value != parser.get_default(name)} | {'precision': precision}
    flags = []
    for name, value in given.items():
        flags += [
            '--' + name.replace('_', '-'),
            *(map(_format_exact, value) if isinstance(value, list) else [_format_exact(value)]),
        ]
    return flags


def _format_exact(value):
    return ','.join(map(str, value)) if isinstance(value, tuple) else str(value)


def settings_diff(args, run):
    """In what a run differs from the one that made the picture --like names, as lists of text."""
    if not args.like:
        return []
    return runs.settings_diff(run.fingerprint, output.read_settings(args.like)['settings'], run.defaults)


def output_file(args, width, height):
    """The `output.OutputFile` of the size that --output names, or None.

    Raises `UserError` for flags that do nothing.
    """
    if not args.output:
        if given := [flag for flag in ('quality', 'depth', 'alpha') if getattr(args, flag)]:
            raise UserError(f'--{given[0]} does nothing without --output')
        return None
    read = [args.content, *args.style, args.mask, args.init if isinstance(args.init, Path) else None]
    if args.output.resolve() in [path.resolve() for path in read if path]:
        raise UserError(f'--output {args.output}: is one of the images, and would be overwritten')
    alpha = utils.read_alpha(args.content) if args.alpha else None
    if alpha is not None:
        alpha = utils.resize_and_crop(alpha[..., None], width, height)[..., 0]
    elif args.alpha:
        raise UserError(f'--alpha: {args.content} has no transparency')
    return output.OutputFile(args.output, args.quality, args.depth or 8, alpha, utils.color_profile(args.content))


def add_recipe_flags(parser, choices=recipes.RECIPES, without=()):
    """Give `parser` one flag a setting of `Recipe`, and --recipe where there is a choice.

    offered: name -> recipe, the default first; without: names of settings that do nothing there
    """
    parser.set_defaults(recipe=next(iter(choices)))
    if len(choices) > 1:
        parser.add_argument('--recipe', choices=choices,
                            help='the published system whose settings are the defaults (default: %(default)s)')
    for field in dataclasses.fields(recipes.Recipe):
        if field.metadata and field.name not in without:
            defaults = ', '.join(
                _format_short(getattr(recipe, field.name)) + (f' in {name}' if len(choices) > 1 else '')
                for name, recipe in choices.items()
                if not recipe.inactive_because(field.name)
            )
            parser.add_argument(
                recipes.flag_name(field),
                type=_value_parser(field),
                metavar=_metavar(field),
                help=f'{field.metadata["help"]}; {recipes.describe_allowed(field)} (default: {defaults})',
            )


def recipe(args, choices=recipes.RECIPES):
    """The recipe that --recipe names, with what the other flags change in it."""
    changed = {field.name: getattr(args, field.name) for field in dataclasses.fields(recipes.Recipe)
               if field.metadata and getattr(args, field.name, None) is not None}
    init = changed.get('init')
    if isinstance(init, Path) or init == FAST_INIT:  # nothing of the recipe's own start is left
        changed['init'] = 'content'
    recipe = dataclasses.replace(choices[args.recipe], **changed)
    if getattr(args, 'strength', None) is not None:
        if 'style_weight' in changed:
            raise UserError('--strength and --style-weight: one of the two, both set β')
        if why := recipe.inactive_because('style_statistic'):
            raise UserError(f'--strength does nothing with {why}')
        recipe = recipe.with_strength(args.strength)
    for name in changed:
        if why := recipe.inactive_because(name):
            raise UserError(f'{recipes.flag_name(recipe.__dataclass_fields__[name])} does nothing with {why}')
    return recipe


def _value_parser(field):
    """A type for argparse: reads one value, or a comma-separated tuple of them, and checks each."""
    listed = isinstance(field.default, tuple)
    kind = type(field.default[0] if listed else field.default)

    def parse(text):
        try:
            values = tuple(kind(item) for item in (text.split(',') if listed else [text]))
            for value in values:
                recipes.check_value(field, value)
        except (UserError, ValueError):
            raise argparse.ArgumentTypeError(f'{text!r}: must be {recipes.describe_allowed(field)}') from None
        return values if listed else values[0]
    return parse


def _format_short(value):
    return (','.join(map(_format_short, value)) if isinstance(value, tuple)
            else f'{value:g}' if isinstance(value, float) else str(value))


def _metavar(field):
    listed = isinstance(field.default, tuple)
    if not field.metadata['choices']:
        return 'X,...' if listed else 'X'
    return 'LAYER,...' if listed else 'NAME'
