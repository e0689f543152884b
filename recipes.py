"""Recipes: every hyperparameter of a published system, as data. The command line is made from the fields."""

import argparse
import dataclasses
import math

from load_vgg import CONVOLUTIONS
from utils import UserError

# The coefficients before the sums of squares. s: size of P; N: channels; M: height × width
CONTENT_COEFFICIENTS = {
    '1/(4s)': lambda s: 1 / (4 * s),  # CS20's handout
    '1/s': lambda s: 1 / s,  # a mean squared error
    '1/2': lambda s: 1 / 2,  # Gatys et al. 2015, equation 1
}
STYLE_COEFFICIENTS = {
    '1/(4N²M²)': lambda N, M: 1 / (4 * N**2 * M**2),  # Gatys et al. 2015, equation 4; CS20
    '1/(N⁴M²)': lambda N, M: 1 / (N**4 * M**2),       # Gram / (N·M), then a mean squared error
}


def setting(default, help, choices=None, low=None, high=None):
    """A field of `Recipe` that the command line sets too: either from `choices`, or a number from `low` to `high`."""
    return dataclasses.field(default=default, metadata={'help': help, 'choices': choices, 'low': low, 'high': high})


def _flag(field):
    return '--' + field.name.replace('_', '-')


def _text(value):
    return ','.join(map(_text, value)) if isinstance(value, tuple) else f'{value:g}' if isinstance(value, float) else str(value)


def _metavar(field):
    item = 'LAYER' if field.metadata['choices'] else 'X'
    return f'{item},...' if isinstance(field.default, tuple) else item


def _allowed(field):
    if field.metadata['choices']:
        return f'of {field.metadata["choices"][0]} … {field.metadata["choices"][-1]}'
    kind = 'a whole number' if isinstance(field.default, int) else 'each' if isinstance(field.default, tuple) else 'a number'
    return f'{kind} from {field.metadata["low"]:g} to {field.metadata["high"]:g}'


def _check(field, value):
    choices, low, high = (field.metadata[key] for key in ('choices', 'low', 'high'))
    if not (value in choices if choices else low <= value <= high):
        raise UserError(f'{_flag(field)} {value}: must be {_allowed(field)}')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every hyperparameter of a run. Raises `utils.UserError` for a value out of its range."""
    name: str

    # content: what is kept of the content image, and how much it counts (α)
    content_layers: tuple = setting(('conv4_2',), 'layers whose features the picture keeps', choices=CONVOLUTIONS)
    content_layer_weights: tuple = setting((1.,), 'weight of each content layer', low=0, high=1e6)
    content_weight: float = setting(0.05, 'α, the weight of the content loss', low=0, high=1e9)
    content_coefficient: str = '1/(4s)'

    # style: whose Gram matrices are matched, and how much that counts (β)
    style_layers: tuple = setting(('conv1_1', 'conv2_1', 'conv3_1', 'conv4_1', 'conv5_1'),
                                  'layers whose Gram matrices the picture takes from the style', choices=CONVOLUTIONS)
    style_layer_weights: tuple = setting((0.5, 1., 1.5, 3., 4.), 'weight of each style layer', low=0, high=1e6)
    style_weight: float = setting(1., 'β, the weight of the style loss', low=0, high=1e9)
    style_coefficient: str = '1/(4N²M²)'

    # start: noise_ratio · uniform(−noise_amplitude, noise_amplitude) + (1 − noise_ratio) · content
    noise_ratio: float = setting(0.6, 'share of noise in the starting image', low=0, high=1)
    noise_amplitude: float = setting(20., 'largest value of that noise, of 255', low=0, high=255)

    # optimiser: Adam
    learning_rate: float = setting(2., 'step of Adam, in units of a pixel value', low=1e-4, high=1000)

    # length, and when a picture and summaries are written: (up to this iteration, every so many)
    iterations: int = setting(300, 'steps of the optimiser', low=1, high=100_000)
    cadence: tuple = ((5, 1), (20, 10), (math.inf, 20))

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if field.metadata:
                values = getattr(self, field.name)
                for value in values if isinstance(field.default, tuple) else [values]:
                    _check(field, value)
        for kind in ('content', 'style'):
            layers, weights = getattr(self, f'{kind}_layers'), getattr(self, f'{kind}_layer_weights')
            if len(layers) != len(weights) or not layers:
                raise UserError(f'--{kind}-layer-weights: {len(weights)} weights for {len(layers)} layers; '
                                f'--{kind}-layers needs at least one layer and as many weights')

    def content_factor(self, s):
        """What stands before Σ (F − P)²; s: the number of elements of P."""
        return CONTENT_COEFFICIENTS[self.content_coefficient](s)

    def style_factor(self, N, M):
        """What stands before Σ (G − A)²; N: channels, M: height × width."""
        return STYLE_COEFFICIENTS[self.style_coefficient](N, M)

    def identity(self):
        """What decides the result, as a dict: every setting but the length, since a run can go on."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key != 'iterations'}

    def logs(self, step):
        """Whether the picture and the summaries of iteration `step` are written."""
        every = next(every for up_to, every in self.cadence if step <= up_to)
        return step % every == 0


CS20 = Recipe(name='cs20')

RECIPES = {recipe.name: recipe for recipe in (CS20,)}


def add_flags(parser):
    """Give `parser` one flag a setting of `Recipe`, and --recipe."""
    parser.add_argument('--recipe', choices=RECIPES, default=CS20.name,
                        help='the published system whose settings are the defaults (default: %(default)s)')
    for field in dataclasses.fields(Recipe):
        if field.metadata:
            defaults = ', '.join(f'{_text(getattr(recipe, field.name))} in {name}' for name, recipe in RECIPES.items())
            parser.add_argument(_flag(field), type=_parser(field), metavar=_metavar(field),
                                help=f'{field.metadata["help"]}; {_allowed(field)} (default: {defaults})')


def from_flags(args):
    """The recipe that --recipe names, with what the other flags change in it."""
    changed = {field.name: getattr(args, field.name) for field in dataclasses.fields(Recipe)
               if field.metadata and getattr(args, field.name) is not None}
    return dataclasses.replace(RECIPES[args.recipe], **changed)


def _parser(field):
    """A type for argparse: reads one value, or a comma-separated tuple of them, and checks each."""
    listed = isinstance(field.default, tuple)
    kind = type(field.default[0] if listed else field.default)

    def parse(text):
        try:
            values = tuple(kind(item) for item in (text.split(',') if listed else [text]))
            for value in values:
                _check(field, value)
        except (UserError, ValueError):
            raise argparse.ArgumentTypeError(f'{text!r}: must be {_allowed(field)}') from None
        return values if listed else values[0]
    return parse
