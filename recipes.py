"""Recipes: all hyperparameters of published systems and of our own, as data.

The flags of the commands are generated from the fields of `Recipe`, and the `help` of a field is the help of its flag.
"""

import dataclasses
import math
from collections.abc import Collection, Sequence

from common import color_profiles
from common.errors import UserError
from common.vgg_layers import BEFORE_RELU, CONVOLUTIONS, FEATURES

MAX_ITERATIONS = 100_000
MAX_LAYER_WEIGHT = 1e6
MAX_STRENGTH_FACTOR = 5.  # factor on β at strength 1; at strength 0 β is divided by it
NOT_IN_FINGERPRINT = 'iterations', 'log_schedule', 'size'  # settings that do not change what an iteration computes

# The content loss relative to the sum of squares of the content features. It is independent of the size of the image
# and of the network.
RELATIVE_TO_CONTENT = '1/ΣP²'

FULL, PRUNED = 'full', 'pruned'  # networks of a `Stage`
STAGE_SETTINGS = 'content_layers', 'content_layer_weights', 'style_layer_weights', 'optimizer', 'learning_rate'
MAX_SIZES = 8  # largest number of sizes at which a picture is trained

# Coefficients of the sums of squares. s: number of elements of P; N: channels; M: height × width
CONTENT_COEFFICIENTS = {
    '1/(4s)': lambda s: 1 / (4 * s),  # CS20's handout
    '1/s': lambda s: 1 / s,  # mean squared error
    '1/2': lambda s: 1 / 2,  # Gatys et al. 2015, equation 1
    RELATIVE_TO_CONTENT: lambda s: 1,  # The weight of each layer is divided by ΣP² instead.
}
STYLE_COEFFICIENTS = {
    '1/(4N²M²)': lambda N, M: 1 / (4 * N**2 * M**2),  # Gatys et al. 2015, equation 4; CS20
    '1/(N⁴M²)': lambda N, M: 1 / (N**4 * M**2),       # mean squared error of Gram / (N·M)
}


def setting(
    default: object, help: str, choices: Sequence[str] | None = None, low: float | None = None,
    high: float | None = None, active_when: tuple = ()
):
    """Define a field of `Recipe` that the command line can set.

    Args:
        default: The value in CS20's recipe. A tuple makes the flag accept values separated by commas.
        help: The help text of the flag.
        choices: The allowed values, for text.
        low: The smallest allowed number.
        high: The largest allowed number.
        active_when: Pairs (name of another field, function of the recipe). The setting has an effect only if all
            functions return a true value.

    Returns:
        A field for `dataclasses.dataclass`.
    """
    return dataclasses.field(default=default, metadata={'help': help, 'choices': choices, 'low': low, 'high': high,
                                                        'active_when': active_when})


WITH_ADAM = ('optimizer', lambda recipe: recipe.optimizer != 'lbfgs'),
WITH_CONTENT = ('content_weight', lambda recipe: recipe.content_weight),
WITH_STYLE = ('style_weight', lambda recipe: recipe.style_weight),
WITH_BLEND = ('init', lambda recipe: recipe.init == 'uniform'),
WITH_OWN_SHAPE = ('style_fit', lambda recipe: recipe.style_fit == 'own'),
WITH_NOISE = (('init', lambda recipe: recipe.init != 'content'),
         ('noise_ratio', lambda recipe: recipe.init != 'uniform' or recipe.noise_ratio))


def flag_name(field: dataclasses.Field) -> str:
    """Return the command-line flag of a setting, for example --style-weight."""
    return '--' + field.name.replace('_', '-')


def describe_allowed(field: dataclasses.Field) -> str:
    """Describe the allowed values of a setting, for help texts and after "must be" in error messages."""
    if choices := field.metadata['choices']:
        return f'among {choices[0]} … {choices[-1]}' if len(choices) > 5 else ' or '.join(choices)
    kind = ('a whole number' if isinstance(field.default, int)
            else 'numbers' if isinstance(field.default, tuple) else 'a number')
    return f'{kind} from {field.metadata["low"]:g} to {field.metadata["high"]:g}'


def check_value(field: dataclasses.Field, value: str | float) -> None:
    """Raise `UserError` if a setting does not allow a value; if the setting is a tuple, `value` is one element."""
    choices, low, high = (field.metadata[key] for key in ('choices', 'low', 'high'))
    if not (value in choices if choices else low <= value <= high):
        raise UserError(f'{flag_name(field)} {value}: must be {describe_allowed(field)}')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of a schedule: the picture is trained at one size, with one network and one set of weights.

    A picture is trained at its own size and, before that, at a half, a quarter … of it, as long as the longer side has
    at least as many pixels as the smallest `side` of the recipe's stages. Each size has the stages with the largest
    `side` that it reaches. What a stage does not set is as in its recipe.

    Attributes:
        side: The longer side in pixels from which on the stage is used.
        is_last_size: Whether the stage is for the size of the picture itself, or for smaller sizes.
        steps: Number of steps. The last stage of a picture has the `iterations` of its recipe instead, and if the
            picture has a single size, at least `steps`.
        network: 'full' for VGG-19, or 'pruned' for weights/vgg19-half.mat, which takes a quarter of the time. The
            pruned network is used only with the bundled weights, and never in the last stage of a picture.
        deepest: The deepest layer that is used; None for no limit. If all layers are deeper, they are kept.
        content_factor: Factor on the weights of the content layers.
        style_factor: Factor on the weights of the style layers.
        content_layers, content_layer_weights, style_layer_weights, optimizer, learning_rate: As in `Recipe`, or None.
    """
    side: float = 0
    is_last_size: bool = False
    steps: int | None = None
    network: str = FULL
    deepest: str | None = None
    content_factor: float = 1.
    style_factor: float = 1.
    content_layers: tuple | None = None
    content_layer_weights: tuple | None = None
    style_layer_weights: tuple | None = None
    optimizer: str | None = None
    learning_rate: float | None = None

    def apply(self, recipe: 'Recipe') -> 'Recipe':
        """Return a recipe with the settings of this stage, and without stages."""
        changed = {name: getattr(self, name) for name in STAGE_SETTINGS if getattr(self, name) is not None}
        recipe = dataclasses.replace(recipe, stages=(), **changed)
        recipe = recipe.without_layers_below(self.deepest) if self.deepest else recipe
        # The factors belong to the layers, so that α and β are the same in all stages.
        return dataclasses.replace(
            recipe, content_layer_weights=_scaled(recipe.content_layer_weights, self.content_factor),
            style_layer_weights=_scaled(recipe.style_layer_weights, self.style_factor))

    def without(self, names: Collection[str]) -> 'Stage':
        """Return this stage without its own values of the settings `names`; layers and their weights go together."""
        kinds = {name.partition('_layer')[0] for name in names if '_layer' in name}
        lost = {name for name in STAGE_SETTINGS if name in names or name.partition('_layer')[0] in kinds}
        # The limit of a stage belongs to its own weights. If it has none, as in version 1.0, it is for any layers.
        has_own_weights = any(getattr(self, name) is not None for name in lost)
        return dataclasses.replace(self, **dict.fromkeys(lost), deepest=None if has_own_weights else self.deepest)

    def fingerprint(self) -> dict:
        """Return the attributes that differ from their defaults, name -> value."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)
                if getattr(self, field.name) != field.default}


def _scaled(weights, factor):
    """Return weights times a factor, within the range that the setting allows."""
    return tuple(min(factor * weight, MAX_LAYER_WEIGHT) for weight in weights)


def halving_stages(side: float, steps: int, ratio: float = 1., limits: Sequence[tuple] = ()) -> tuple[Stage, ...]:
    """Return the stages of a schedule that is given by few numbers, as those of version 1.0.

    Args:
        side: The longer side of the smallest size, in pixels.
        steps: The steps at the smallest size; a picture that has no other size gets at least as many.
        ratio: The steps at each further size but the last, relative to those at the size before.
        limits: Entries (longer side in pixels from which on the entry applies, deepest layer that is used, factor on
            α), in ascending order, for all sizes but the smallest.
    """
    starts = {side * 2 ** k for k in range(MAX_SIZES)} | {start for start, _, _ in limits if start >= 2 * side}
    stages = [Stage(side=side, steps=steps), Stage(side=side, is_last_size=True, steps=steps)]
    for start in sorted(starts)[1:]:
        limit = [dict(deepest=deepest, content_factor=factor) for lowest, deepest, factor in limits if lowest <= start]
        settings = limit[-1] if limit else {}
        count = max(1, round(steps * ratio ** int(math.log2(start / side))))
        stages += [Stage(side=start, steps=count, **settings), Stage(side=start, is_last_size=True, **settings)]
    return tuple(stages)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """All hyperparameters of a run; the defaults are those of CS20.

    Raises:
        UserError: A value is not allowed, or values contradict each other.
    """
    name: str

    # Content: the features that are kept from the content image, and the weight of their loss (α).
    content_layers: tuple = setting(('conv4_2',), 'layers, separated by commas, at which the content loss compares '
                                    'features', choices=FEATURES, active_when=WITH_CONTENT)
    content_layer_weights: tuple = setting(
        (1.0,), 'weights of the content layers, separated by commas', low=0, high=MAX_LAYER_WEIGHT,
        active_when=WITH_CONTENT
    )
    content_weight: float = setting(0.05, 'α, the weight of the content loss', low=0, high=1e9)
    content_coefficient: str = '1/(4s)'

    # Style: the features whose statistics are matched, and the weight of their loss (β). The coefficient applies to the
    # loss of Gram matrices.
    style_layers: tuple = setting(('conv1_1', 'conv2_1', 'conv3_1', 'conv4_1', 'conv5_1'),
                                  'layers, separated by commas, at which the style loss compares statistics of the '
                                  'features', choices=FEATURES, active_when=WITH_STYLE)
    style_layer_weights: tuple = setting((0.5, 1., 1.5, 3., 4.), 'weights of the style layers, separated by commas',
                                         low=0, high=MAX_LAYER_WEIGHT, active_when=WITH_STYLE)
    style_weight: float = setting(1., 'β, the weight of the style loss', low=0, high=1e9)
    style_coefficient: str = '1/(4N²M²)'
    style_statistic: str = setting('gram', 'statistics that the style loss compares: gram (Gram matrices, as in the '
                                   'paper), gram_share (Gram matrices, errors relative to the style), covariance (mean '
                                   'and covariance, errors relative to the style) or wasserstein (Wasserstein distance '
                                   'of mean and covariance)',
                                   choices=('gram', 'gram_share', 'covariance', 'wasserstein'), active_when=WITH_STYLE)
    style_fit: str = setting('crop', 'how the style image is resized: crop (cropped to the size of the picture, as in '
                             'CS20) or own (its own aspect ratio, with as many pixels as the picture)',
                             choices=('crop', 'own'), active_when=WITH_STYLE)
    style_scale: float = setting(1., 'scale of the style image with --style-fit own: smaller for finer strokes, larger '
                                 'for bolder ones', low=0.1, high=4, active_when=WITH_STYLE + WITH_OWN_SHAPE)

    style_resampling: str = setting('linear', 'how the style image is resampled to its new size: linear (linear '
                                    'interpolation after a Gaussian filter) or lanczos (sharper)',
                                    choices=('linear', 'lanczos'), active_when=WITH_STYLE)

    keep_colors: str = setting('none', 'how the photo\'s colors are kept: none (they are not), luminance (only the '
                               'luminance is stylized) or histogram (the style image is first given the mean and '
                               'covariance of the photo\'s colors)',
                               choices=('none', 'luminance', 'histogram'), active_when=WITH_STYLE)

    # Smoothness: the mean squared difference of vertical neighbors plus that of horizontal neighbors.
    tv_weight: float = setting(0., 'weight of the total variation loss', low=0, high=1e9)

    # Network.
    padding: str = setting('zeros', 'padding of the picture and of every feature map: zeros (as VGG-19 was trained) or '
                           'mirror (reflection)', choices=('zeros', 'mirror'))
    pooling: str = setting('avg', 'pooling of VGG-19 over 2×2 values: avg (average, as in the paper) or max (maximum, '
                           'as VGG-19 was trained)', choices=('avg', 'max'))

    # Starting image.
    init: str = setting('uniform', 'the starting image (content blended with uniform noise, only normal noise, or '
                        'content)', choices=('uniform', 'normal', 'content'))
    noise_ratio: float = setting(0.6, 'share of uniform noise in the starting image', low=0, high=1,
                                 active_when=WITH_BLEND)
    noise_amplitude: float = setting(20., 'largest value of the uniform noise, or standard deviation of the normal '
                                     'noise, in pixel values', low=0, high=255, active_when=WITH_NOISE)

    # Optimizer.
    optimizer: str = setting('adam', 'Adam; Adam at several scales at once, which changes tones faster; or L-BFGS, '
                             'which keeps pixel values within 0 to 255', choices=('adam', 'multiscale-adam', 'lbfgs'))
    learning_rate: float = setting(2., 'learning rate of Adam, in units of what is trained: pixel values, '
                                   'or the parameters of a network', low=1e-4, high=1000, active_when=WITH_ADAM)
    beta1: float = setting(0.9, 'decay of Adam\'s moving average of the gradients', low=0, high=0.9999,
                           active_when=WITH_ADAM)
    beta2: float = setting(0.999, 'decay of Adam\'s moving average of the squared gradients', low=0, high=0.999999,
                           active_when=WITH_ADAM)
    pixels: str = setting('free', 'pixel values with Adam: free (unbounded, clipped only for display) or 0-255 '
                          '(clipped after every step)', choices=('free', '0-255'), active_when=WITH_ADAM)
    averaging: float = setting(0., 'decay of the exponential moving average of Adam\'s iterates, which is displayed '
                               'and saved instead of the last iterate; 0 turns it off', low=0, high=0.9999,
                               active_when=WITH_ADAM)

    # Number of iterations.
    iterations: int = setting(300, 'steps of Adam, or evaluations of L-BFGS, in the last stage', low=1,
                              high=MAX_ITERATIONS)
    # `Stage`s train the picture coarse to fine; those of the smallest size come first. The last stage of a picture
    # always uses the true network and has `iterations` steps.
    stages: tuple = ()
    # Default (width, height) for the bundled photo. For other photos the larger number is the longer side.
    size: tuple = (333, 250)
    # When a picture and summaries are written: (up to this iteration, every so many iterations), in ascending order.
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
                                'there must be at least one layer, and one weight per layer')
            if not any(weights):
                raise UserError(f'--{kind}-layer-weights are all 0; --{kind}-weight 0 leaves the {kind} out')
        for stage in self.stages:
            stage.apply(self)  # This checks the values.
        if not self.content_weight and not self.style_weight:
            raise UserError('--content-weight and --style-weight are both 0; at least one must be larger than 0')

    def inactive_because(self, name: str) -> str | None:
        """Return the flag and value that make the setting `name` have no effect, or None if it has one.

        The result completes the sentence "--beta1 does nothing with ...", for example '--optimizer lbfgs'.
        """
        for other, is_active in self.__dataclass_fields__[name].metadata['active_when']:
            if not is_active(self):
                value = getattr(self, other)
                shown = f'{value:g}' if isinstance(value, float) else value
                return f'{flag_name(self.__dataclass_fields__[other])} {shown}'

    @property
    def has_random_start(self) -> bool:
        """Whether the starting image contains noise, so that the seed has an effect."""
        return self.inactive_because('noise_amplitude') is None

    def with_settings(self, **changed) -> 'Recipe':
        """Return this recipe with other values of some settings, in all of its stages.

        Raises:
            UserError: A value is not allowed, or values contradict each other.
        """
        stages = tuple(stage.without(changed) for stage in self.stages)
        return dataclasses.replace(self, **{'stages': stages} | changed)

    def without_layers_below(self, deepest: str) -> 'Recipe':
        """Return this recipe without the layers that are deeper than `deepest`, or with all if none would remain."""
        kept = {}
        for kind in ('content', 'style'):
            layers, weights = f'{kind}_layers', f'{kind}_layer_weights'
            pairs = [pair for pair in zip(getattr(self, layers), getattr(self, weights))
                     if CONVOLUTIONS.index(pair[0].removesuffix(BEFORE_RELU)) <= CONVOLUTIONS.index(deepest)]
            if any(weight for _, weight in pairs):
                kept[layers], kept[weights] = zip(*pairs)
        return dataclasses.replace(self, **kept)

    def with_strength(self, strength: float) -> 'Recipe':
        """Return this recipe with β multiplied by MAX_STRENGTH_FACTOR ** (2 · strength − 1).

        Args:
            strength: 0 to 1; 0.5 leaves the recipe as it is.
        """
        return dataclasses.replace(self, style_weight=self.style_weight * MAX_STRENGTH_FACTOR ** (2 * strength - 1))

    def content_factor(self, s: int) -> float:
        """Return the coefficient of Σ (F − P)²; s is the number of elements of P."""
        return CONTENT_COEFFICIENTS[self.content_coefficient](s)

    def style_factor(self, N: int, M: int) -> float:
        """Return the coefficient of Σ (G − A)²; N is the number of channels, M is height × width."""
        return STYLE_COEFFICIENTS[self.style_coefficient](N, M)

    def fingerprint(self) -> dict:
        """Return the settings that decide the result, name -> value.

        The number of iterations, the logging schedule and the default size are left out, so that a run can be continued
        with other ones.
        """
        settings = {key: value for key, value in dataclasses.asdict(self).items() if key not in NOT_IN_FINGERPRINT}
        return settings | {'stages': [stage.fingerprint() for stage in self.stages]}

    def should_log(self, step: int) -> bool:
        """Return whether the picture and the summaries of iteration `step` are written."""
        every = next(every for up_to, every in self.log_schedule if step <= up_to)
        return step % every == 0


def legacy_defaults() -> dict:
    """Return the values (name -> value) that settings had in runs that were made before these settings existed."""
    return {
        field.name: field.default
        for field in dataclasses.fields(Recipe)
        if field.default is not dataclasses.MISSING and field.name not in NOT_IN_FINGERPRINT
    } | {'precision': 'float32', 'color_profiles': color_profiles.IGNORED}


FIELD_NAMES = tuple(field.name for field in dataclasses.fields(Recipe))
CS20 = Recipe(name='cs20')

# StyleNet of the TensorFlow Machine Learning Cookbook, after anishathalye/neural-style.
STYLENET = Recipe(
    name='stylenet',
    content_layers=('conv4_2', 'conv5_2'), content_layer_weights=(0.5, 0.5),
    content_weight=5., content_coefficient='1/s',
    style_layer_weights=(0.2,) * 5, style_weight=500., style_coefficient='1/(N⁴M²)',
    tv_weight=100., pooling='max', init='normal', noise_amplitude=0.256, learning_rate=10., iterations=100,
    log_schedule=((math.inf, 25),),
)

# PyTorch's tutorial. Its style weight of 10⁶ belongs to its own images and to inputs that are 57 times smaller,
# (0 to 1 minus a mean) / 0.225. With 3000, the ratio of weighted style loss to content loss develops as in
# the tutorial's log (gallery/README.md).
LBFGS_TUTORIAL = Recipe(
    name='lbfgs',
    content_layers=('conv2_2_pre',), content_layer_weights=(1.,), content_weight=1., content_coefficient='1/s',
    style_layers=('conv1_1_pre', 'conv1_2_pre', 'conv2_1_pre', 'conv2_2_pre', 'conv3_1_pre'),
    style_layer_weights=(1.,) * 5, style_weight=3000., style_coefficient='1/(N⁴M²)',
    pooling='max', init='content', optimizer='lbfgs', log_schedule=((math.inf, 50),),
)

# Gatys, Ecker and Bethge (2015), equations 1 to 7.
GATYS = Recipe(
    name='gatys',
    content_weight=1., content_coefficient='1/2', style_layer_weights=(0.2,) * 5, style_weight=1e4,
    init='normal', noise_amplitude=5., optimizer='lbfgs', iterations=300, log_schedule=((math.inf, 50),),
)

# Steps at the smallest size, their ratio, and the limits at larger sizes, for `halving_stages`.
SCHEDULE_1_0 = 80, 0.6, ((400, 'conv4_1', 1.), (700, 'conv4_1', 0.5), (1400, 'conv3_1', 0.3))
# The recipe `modern` of version 1.0, under which its runs go on, and with which `modern` is compared.
MODERN_1_0 = Recipe(
    name='modern-1.0',
    content_layers=('conv3_1',), content_weight=1., content_coefficient=RELATIVE_TO_CONTENT,
    style_layer_weights=(1.,) * 5, style_statistic='covariance', style_weight=0.5, tv_weight=3e-4,
    style_fit='own', padding='mirror', init='content', learning_rate=5., pixels='0-255', averaging=0.9,
    stages=halving_stages(128, *SCHEDULE_1_0), iterations=20, size=(512, 512),
)

# Our own recipe, from later work. It trains coarse to fine (Gatys et al. 2017) and starts from the content image. Its
# losses are relative to the targets, so that α and β mean the same at every size. It pads with reflections instead of
# zeros. The smallest size decides the tones of large areas, for which Adam alone would need twice the steps; what is
# unfinished there becomes dots and pebbles later. The next size weights the shallow style layers more, for pure colors,
# with the pruned network. At the size of the picture, deep layers join the dots to strokes.
_LAYOUT_STAGE = dict(content_layers=('conv4_2', 'conv3_1'), content_layer_weights=(1., 1.), optimizer='multiscale-adam',
                     learning_rate=3.5)
_COLOR_STAGE = dict(style_layer_weights=(1.8, 1.2, 0.9, 0.6, 0.5), content_factor=1.5, style_factor=1.5, network=PRUNED)
_STROKE_STAGE = dict(style_layer_weights=(1.5, 1., 1., 1., 1.), content_factor=1.25, style_factor=1.2)
_LAST_STAGE = _STROKE_STAGE | dict(deepest='conv4_1', is_last_size=True)
MODERN = dataclasses.replace(
    MODERN_1_0, name='modern', iterations=10, log_schedule=((math.inf, 20),),
    stages=(
        Stage(side=128, steps=40, **_LAYOUT_STAGE),
        Stage(side=256, steps=32, **_COLOR_STAGE),
        Stage(side=512, steps=12, network=PRUNED, **_STROKE_STAGE),
        # The size of the picture. Below 256 pixels it is the only one.
        Stage(side=0, is_last_size=True, steps=40, **_LAYOUT_STAGE),
        Stage(side=0, is_last_size=True, steps=32, **_COLOR_STAGE),
        Stage(side=0, **_LAST_STAGE),
        Stage(side=256, is_last_size=True, steps=24, **_COLOR_STAGE),
        Stage(side=256, **_LAST_STAGE),
        Stage(side=512, **_LAST_STAGE),
    ),
)

RECIPES = {recipe.name: recipe for recipe in (CS20, STYLENET, LBFGS_TUTORIAL, GATYS, MODERN, MODERN_1_0)}


def named(name: str) -> Recipe:
    """Return the recipe of a name; raise `UserError` if there is none."""
    if name not in RECIPES:
        raise UserError(f'{name}: no such recipe; choose one of {", ".join(RECIPES)}')
    return RECIPES[name]


# Johnson, Alahi and Fei-Fei (2016) with the losses of MODERN. Their content layer, the third of the same block, is
# deeper, and with it faces fade. The learning rate is that of the network's parameters.
FAST = Recipe(
    name='fast',
    content_layers=('conv3_1',), content_weight=1., content_coefficient=RELATIVE_TO_CONTENT,
    style_layers=('conv1_1', 'conv2_1', 'conv3_1', 'conv4_1'), style_layer_weights=(1.,) * 4,
    style_statistic='covariance', style_fit='own', style_weight=2., tv_weight=1e-4, padding='mirror', init='content',
    learning_rate=2e-3, iterations=10_000, log_schedule=((math.inf, 200),),
)

# Arbitrary style transfer, with one more style layer, whose losses add up to more than those of FAST. The content layer
# conv2_1 keeps eyes.
ARBITRARY = dataclasses.replace(
    FAST,
    name='any',
    content_layers=('conv2_1', 'conv3_1'),
    content_layer_weights=(0.8, 0.8),
    style_weight=2.5,
    style_layers=('conv1_1', 'conv2_1', 'conv3_1', 'conv4_1', 'conv5_1'),
    style_layer_weights=(1.,) * 5,
)
