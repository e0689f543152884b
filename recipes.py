"""Recipes: every hyperparameter of a published system, as data. The command line is made from the fields."""

import dataclasses
import math

from common.errors import UserError
from common.vgg_layers import BEFORE_RELU, CONVOLUTIONS, FEATURES

MAX_ITERATIONS = 100_000  # iterations
MAX_STRENGTH_FACTOR = 5.  # times β, at strength 1
NOT_IN_FINGERPRINT = 'iterations', 'log_schedule', 'size'  # settings that do not decide what an iteration computes

# a content loss as a share of the content's own sum of squares: of any size, in any network
RELATIVE_TO_CONTENT = '1/ΣP²'

# The coefficients before the sums of squares. s: size of P; N: channels; M: height × width
CONTENT_COEFFICIENTS = {
    '1/(4s)': lambda s: 1 / (4 * s),  # CS20's handout
    '1/s': lambda s: 1 / s,  # a mean squared error
    '1/2': lambda s: 1 / 2,  # Gatys et al. 2015, equation 1
    RELATIVE_TO_CONTENT: lambda s: 1,  # of ΣP², by which each layer's weight is divided
}
STYLE_COEFFICIENTS = {
    '1/(4N²M²)': lambda N, M: 1 / (4 * N**2 * M**2),  # Gatys et al. 2015, equation 4; CS20
    '1/(N⁴M²)': lambda N, M: 1 / (N**4 * M**2),       # Gram / (N·M), then a mean squared error
}


def setting(default, help, choices=None, low=None, high=None, active_when=()):
    """A field of `Recipe` that the command line sets too: either from `choices`, or a number from `low` to `high`.

    only: pairs (another field, a test of the recipe): the setting does something where all of them hold
    """
    return dataclasses.field(default=default, metadata={'help': help, 'choices': choices, 'low': low, 'high': high,
                                                        'active_when': active_when})


WITH_ADAM = ('optimizer', lambda recipe: recipe.optimizer == 'adam'),
WITH_CONTENT = ('content_weight', lambda recipe: recipe.content_weight),
WITH_STYLE = ('style_weight', lambda recipe: recipe.style_weight),
WITH_BLEND = ('init', lambda recipe: recipe.init == 'uniform'),
WITH_SCALES = ('scales', lambda recipe: recipe.scales != 1),
WITH_OWN_SHAPE = ('style_fit', lambda recipe: recipe.style_fit == 'own'),
WITH_NOISE = (('init', lambda recipe: recipe.init != 'content'),
         ('noise_ratio', lambda recipe: recipe.init != 'uniform' or recipe.noise_ratio))


def flag_name(field):
    """The flag of a setting."""
    return '--' + field.name.replace('_', '-')


def describe_allowed(field):
    """The values that a setting may have, as text."""
    if choices := field.metadata['choices']:
        return f'of {choices[0]} … {choices[-1]}' if len(choices) > 3 else ' or '.join(choices)
    kind = ('a whole number' if isinstance(field.default, int)
            else 'each' if isinstance(field.default, tuple) else 'a number')
    return f'{kind} from {field.metadata["low"]:g} to {field.metadata["high"]:g}'


def check_value(field, value):
    """Raise `UserError` for a value that the setting may not have; of a tuple, one of its values."""
    choices, low, high = (field.metadata[key] for key in ('choices', 'low', 'high'))
    if not (value in choices if choices else low <= value <= high):
        raise UserError(f'{flag_name(field)} {value}: must be {describe_allowed(field)}')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every hyperparameter of a run. Raises `UserError` for a value out of its range."""
    name: str

    # content: what is kept of the content image, and how much it counts (α)
    content_layers: tuple = setting(('conv4_2',), 'layers whose features the picture keeps', choices=FEATURES,
                                    active_when=WITH_CONTENT)
    content_layer_weights: tuple = setting(
        (1.0,), 'weight of each content layer', low=0, high=1e6, active_when=WITH_CONTENT
    )
    content_weight: float = setting(0.05, 'α, the weight of the content loss', low=0, high=1e9)
    content_coefficient: str = '1/(4s)'

    # style: whose statistics are matched, and how much that counts (β); the coefficient is that of Gram matrices
    style_layers: tuple = setting(('conv1_1', 'conv2_1', 'conv3_1', 'conv4_1', 'conv5_1'),
                                  'layers whose Gram matrices the picture takes from the style', choices=FEATURES,
                                  active_when=WITH_STYLE)
    style_layer_weights: tuple = setting((0.5, 1., 1.5, 3., 4.), 'weight of each style layer', low=0, high=1e6,
                                         active_when=WITH_STYLE)
    style_weight: float = setting(1., 'β, the weight of the style loss', low=0, high=1e9)
    style_coefficient: str = '1/(4N²M²)'
    style_statistic: str = setting('gram', 'what of the features is style: Gram matrices as the paper has them, or '
                                   'as a share of the style\'s own; covariance and mean likewise, or by Wasserstein\'s '
                                   'distance',
                                   choices=('gram', 'gram_share', 'covariance', 'wasserstein'), active_when=WITH_STYLE)
    style_fit: str = setting('crop', 'the style image: cut to the picture\'s size, as CS20 has it, or of its own '
                             'shape, with as many pixels as the picture', choices=('crop', 'own'),
                             active_when=WITH_STYLE)
    style_scale: float = setting(1., 'how large the style image is, of that: less for finer strokes, more for bolder '
                                 'ones', low=0.1, high=4, active_when=WITH_STYLE + WITH_OWN_SHAPE)

    keep_colors: str = setting('none', 'the photo\'s colors: the style\'s luminance alone is taken, or the style '
                               'image is given the photo\'s colors first, their mean and covariance',
                               choices=('none', 'luminance', 'histogram'), active_when=WITH_STYLE)

    # smoothness: the mean squared difference of vertical neighbors, plus that of horizontal ones
    tv_weight: float = setting(0., 'weight of the total variation loss', low=0, high=1e9)

    # network
    padding: str = setting('zeros', 'what lies outside of the picture, and of every map: zeros, as VGG-19 was '
                           'trained, or its mirror image', choices=('zeros', 'mirror'))
    pooling: str = setting('avg', 'how VGG-19 pools: the average of 2×2, as the paper, or the maximum, '
                           'as it was trained', choices=('avg', 'max'))

    # start: uniform noise blended with the content image; normal noise; or the content image
    init: str = setting('uniform', 'the starting image: content blended with uniform noise, normal noise alone, '
                        'or content', choices=('uniform', 'normal', 'content'))
    noise_ratio: float = setting(0.6, 'share of noise in the blend', low=0, high=1, active_when=WITH_BLEND)
    noise_amplitude: float = setting(20., 'of 255: largest value of the uniform noise, deviation of the normal one',
                                     low=0, high=255, active_when=WITH_NOISE)

    # optimizer
    optimizer: str = setting('adam', 'Adam, or SciPy\'s L-BFGS-B with pixels kept in 0-255', choices=('adam', 'lbfgs'))
    learning_rate: float = setting(2., 'step of Adam, in units of what is trained: pixel values, '
                                   'or a network\'s parameters', low=1e-4, high=1000, active_when=WITH_ADAM)
    beta1: float = setting(0.9, 'decay of Adam\'s mean of the gradients', low=0, high=0.9999, active_when=WITH_ADAM)
    beta2: float = setting(0.999, 'decay of Adam\'s mean of their squares', low=0, high=0.999999,
                           active_when=WITH_ADAM)
    pixels: str = setting('free', 'with Adam they go where they want and are clipped when shown, or are kept in 0-255',
                          choices=('free', '0-255'), active_when=WITH_ADAM)
    averaging: float = setting(0., 'decay of the mean of Adam\'s iterates that is shown in place of the last one; 0 '
                               'for none', low=0, high=0.9999, active_when=WITH_ADAM)

    # length, and when a picture and summaries are written: (up to this iteration, every so many)
    iterations: int = setting(300, 'steps of Adam, evaluations of L-BFGS', low=1, high=MAX_ITERATIONS)
    # coarse to fine: sizes, each of half the next one's sides, and the steps at each but the last
    scales: int = setting(1, 'sizes to train at, smallest first; 0 for as many as it takes from 128 pixels on',
                          low=0, high=8, active_when=WITH_ADAM)
    coarse_iterations: int = setting(
        200, 'steps at the smallest size', low=1, high=MAX_ITERATIONS, active_when=WITH_SCALES
    )
    coarse_ratio: float = setting(1., 'steps at each further size but the last, as a share of those at the one before',
                                  low=0.1, high=2, active_when=WITH_SCALES)
    # what is left out at larger sizes, the smallest always has all: (from this longer side on, no layer deeper than
    # that one, times α)
    deepest: tuple = ()
    # width and height if nobody tells; of other photos than the bundled one the longer is that of the longer side
    size: tuple = (333, 250)
    log_schedule: tuple = ((5, 1), (20, 10), (math.inf, 20))

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if field.metadata:
                values = getattr(self, field.name)
                for value in values if isinstance(field.default, tuple) else [values]:
                    check_value(field, value)
        for kind in ('content', 'style'):
            layers, weights = getattr(self, f'{kind}_layers'), getattr(self, f'{kind}_layer_weights')
            if len(layers) != len(weights) or not layers:
                raise UserError(f'--{kind}-layer-weights: {len(weights)} weights for {len(layers)} layers; '
                                f'--{kind}-layers needs at least one layer and as many weights')
            if not any(weights):
                raise UserError(f'--{kind}-layer-weights are all 0; --{kind}-weight 0 leaves the {kind} out')
        if self.scales != 1 and self.optimizer != 'adam':
            raise UserError(f'--scales {self.scales}: for --optimizer adam alone')
        if not self.content_weight and not self.style_weight:
            raise UserError('--content-weight and --style-weight are both 0: nothing is left to look for')

    def inactive_because(self, name):
        """Why the setting `name` does nothing in this recipe, or None if it counts."""
        for other, counts in self.__dataclass_fields__[name].metadata['active_when']:
            if not counts(self):
                value = getattr(self, other)
                shown = f'{value:g}' if isinstance(value, float) else value
                return f'{flag_name(self.__dataclass_fields__[other])} {shown}'

    @property
    def has_random_start(self):
        """Whether the starting image has noise in it, so that the seed counts."""
        return self.inactive_because('noise_amplitude') is None

    def for_size(self, side):
        """This recipe for a picture whose longer side that is: without the layers too deep for it."""
        limits = [(layer, factor) for start, layer, factor in self.deepest if side >= start]
        if not limits:
            return self
        deepest, factor = limits[-1]
        kept = dict(content_weight=factor * self.content_weight)
        for kind in ('content', 'style'):
            layers, weights = f'{kind}_layers', f'{kind}_layer_weights'
            pairs = [pair for pair in zip(getattr(self, layers), getattr(self, weights))
                     if CONVOLUTIONS.index(pair[0].removesuffix(BEFORE_RELU)) <= CONVOLUTIONS.index(deepest)]
            if pairs:  # else all of the kind are too deep, and stay
                kept[layers], kept[weights] = zip(*pairs)
        return dataclasses.replace(self, **kept)

    def with_strength(self, strength):
        """This recipe with β times 1/MAX_STRENGTH_FACTOR, at 0, up to MAX_STRENGTH_FACTOR, at 1.

        0.5 leaves it as it is.
        """
        return dataclasses.replace(self, style_weight=self.style_weight * MAX_STRENGTH_FACTOR ** (2 * strength - 1))

    def content_factor(self, s):
        """What stands before Σ (F − P)²; s: the number of elements of P."""
        return CONTENT_COEFFICIENTS[self.content_coefficient](s)

    def style_factor(self, N, M):
        """What stands before Σ (G − A)²; N: channels, M: height × width."""
        return STYLE_COEFFICIENTS[self.style_coefficient](N, M)

    def fingerprint(self):
        """What decides the result, as a dict: every setting but the length, since a run can go on, and the
        log_schedule.
        """
        return {key: value for key, value in dataclasses.asdict(self).items() if key not in NOT_IN_FINGERPRINT}

    def should_log(self, step):
        """Whether the picture and the summaries of iteration `step` are written."""
        every = next(every for up_to, every in self.log_schedule if step <= up_to)
        return step % every == 0


def legacy_defaults():
    """Settings under which a run is the same that was made before they existed, as `runs.Run` takes them."""
    return {
        field.name: field.default
        for field in dataclasses.fields(Recipe)
        if field.default is not dataclasses.MISSING and field.name not in NOT_IN_FINGERPRINT
    } | {'precision': 'float32'}


FIELD_NAMES = tuple(field.name for field in dataclasses.fields(Recipe))
CS20 = Recipe(name='cs20')

# TensorFlow Machine Learning Cookbook's StyleNet, after anishathalye/neural-style
STYLENET = Recipe(
    name='stylenet',
    content_layers=('conv4_2', 'conv5_2'), content_layer_weights=(0.5, 0.5),
    content_weight=5., content_coefficient='1/s',
    style_layer_weights=(0.2,) * 5, style_weight=500., style_coefficient='1/(N⁴M²)',
    tv_weight=100., pooling='max', init='normal', noise_amplitude=0.256, learning_rate=10., iterations=100,
    log_schedule=((math.inf, 25),),
)

# PyTorch's tutorial. Its 10⁶ goes with inputs that are 57 times smaller, (0-1 less a mean) / 0.225, and with its own
# pictures: with 3000 the weighted style loss stands to the content loss as in its log (gallery/README.md).
LBFGS_TUTORIAL = Recipe(
    name='lbfgs',
    content_layers=('conv2_2_pre',), content_layer_weights=(1.,), content_weight=1., content_coefficient='1/s',
    style_layers=('conv1_1_pre', 'conv1_2_pre', 'conv2_1_pre', 'conv2_2_pre', 'conv3_1_pre'),
    style_layer_weights=(1.,) * 5, style_weight=3000., style_coefficient='1/(N⁴M²)',
    pooling='max', init='content', optimizer='lbfgs', log_schedule=((math.inf, 50),),
)

# Gatys, Ecker and Bethge (2015), equations 1 to 7
GATYS = Recipe(
    name='gatys',
    content_weight=1., content_coefficient='1/2', style_layer_weights=(0.2,) * 5, style_weight=1e4,
    init='normal', noise_amplitude=5., optimizer='lbfgs', iterations=300, log_schedule=((math.inf, 50),),
)

# Our own, from what came after: coarse to fine (Gatys et al. 2017), losses as shares of the targets' own, so that α
# and β mean the same at every size, no zeros beyond the border, from the content image. A shallower content layer
# keeps faces.
MODERN = Recipe(
    name='modern',
    content_layers=('conv3_1',), content_weight=1., content_coefficient=RELATIVE_TO_CONTENT,
    style_layer_weights=(1.,) * 5, style_statistic='covariance', style_weight=0.5, tv_weight=3e-4,
    style_fit='own', padding='mirror', init='content', learning_rate=5., pixels='0-255', averaging=0.9,
    scales=0, coarse_iterations=80, coarse_ratio=0.6, iterations=20,
    deepest=((400, 'conv4_1', 1.), (700, 'conv4_1', 0.5), (1400, 'conv3_1', 0.3)), size=(512, 512),
)

RECIPES = {recipe.name: recipe for recipe in (CS20, STYLENET, LBFGS_TUTORIAL, GATYS, MODERN)}

# Johnson, Alahi and Fei-Fei (2016) with the losses of MODERN; at their content layer, the third of its block, faces
# fade. The learning rate is of the network's parameters.
FAST = Recipe(
    name='fast',
    content_layers=('conv3_1',), content_weight=1., content_coefficient=RELATIVE_TO_CONTENT,
    style_layers=('conv1_1', 'conv2_1', 'conv3_1', 'conv4_1'), style_layer_weights=(1.,) * 4,
    style_statistic='covariance', style_fit='own', style_weight=2., tv_weight=1e-4, padding='mirror', init='content',
    learning_rate=2e-3, iterations=10_000, log_schedule=((math.inf, 200),),
)

# For any style, with all style layers of MODERN, the losses of which are then more together; conv2_1 keeps eyes
ARBITRARY = dataclasses.replace(
    FAST,
    name='any',
    content_layers=('conv2_1', 'conv3_1'),
    content_layer_weights=(0.8, 0.8),
    style_weight=2.5,
    style_layers=MODERN.style_layers,
    style_layer_weights=MODERN.style_layer_weights,
)
