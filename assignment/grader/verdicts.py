"""Judge the values that a student's code computed: compute the expected ones in NumPy and name common mistakes.

A value is first compared with the correct value, and only then with the values that known mistakes give. The random
inputs are drawn until every known mistake gives a clearly different value. So a correct solution never fails by chance,
and a known mistake never passes by chance.
"""

import itertools
import zlib
from typing import NamedTuple

import numpy as np

from assignment.grader import inputs
from assignment.grader.inputs import ITERATIONS, LOG_EVERY

STYLE_LAYER_WEIGHTS = 0.5, 1., 1.5, 3., 4.  # weights of CS20's style layers
LEARNING_RATE, BETA1, BETA2, EPSILON = 2., 0.9, 0.999, 1e-8  # Adam's parameters in the stand-in for step 5
TOLERANCE = 1e-3  # relative difference below which values count as equal
MIN_DIFFERENCE = 1e-2  # minimum relative difference between a mistake's value and the correct one


class Expected(NamedTuple):
    """The correct value of a result, and the values that known mistakes give.

    Attributes:
        value: the correct value.
        misconceptions: (value, text that explains the mistake) for each known mistake, the most likely one first.
    """
    value: np.ndarray
    misconceptions: list[tuple[np.ndarray, str]]


def judge(item: str, values: dict, inputs: dict) -> str | None:
    """Return one line that says what is wrong with an item, or None if it is correct.

    Args:
        item: a key of `JUDGES`.
        values: name -> list, as the probe wrote them.
        inputs: the inputs of the item, from `draw_inputs`.
    """
    with np.errstate(all='ignore'):
        return JUDGES[item]({name: _array(x) for name, x in values.items()}, inputs)


def draw_inputs(item: str, seed: int) -> dict:
    """Draw the inputs of an item for which the correct values and those of all known mistakes differ.

    Args:
        item: a key of `EXPECTED`.
        seed: the same seed gives the same inputs.

    Returns:
        Name -> array, number or pair of arrays.
    """
    rng = np.random.default_rng((seed, zlib.crc32(item.encode())))
    return next(drawn for drawn in (inputs.draw(item, rng) for _ in itertools.count())
                if all(map(_are_distinct, EXPECTED[item](drawn))))


def _are_distinct(expected):
    """Return whether all mistakes of an `Expected` differ clearly from the correct value, and from each other."""
    values = [mistake for mistake, _ in expected.misconceptions]
    return not (
        any(
            same(expected.value, mistake, MIN_DIFFERENCE) or same(mistake, expected.value, MIN_DIFFERENCE)
            for mistake in values
        )
        or any(same(one, other) for one, other in itertools.combinations(values, 2))
    )


def _array(x):
    """Convert a nested list to an array, of objects if it is ragged."""
    try:
        return np.array(x)
    except ValueError:
        return np.array(x, dtype=object)


def same(x: np.ndarray, y: np.ndarray, tolerance: float = TOLERANCE) -> bool:
    """Return whether x is finite and close to y; axes of length 1 are ignored.

    Args:
        x: array; one that does not hold numbers is never close.
        y: array of numbers.
        tolerance: largest allowed difference, as a fraction of the largest absolute value of y.
    """
    x, y = np.squeeze(x), np.squeeze(y)
    if x.shape != y.shape or x.dtype.kind not in 'fiub':
        return False
    return bool(np.isfinite(x).all() and np.abs(x - y).max() <= tolerance * max(1e-6, np.abs(y).max()))


def _comparison(x, correct):
    """Return a text that compares an array with the correct one: their shapes, or the entry that differs most."""
    if np.shape(np.squeeze(x)) != np.shape(np.squeeze(correct)):
        return f'expected shape {np.shape(correct)}, got {np.shape(x)}'
    x, correct = np.squeeze(x), np.squeeze(correct)
    if x.size == 1:
        ratio = f', {float(x / correct):.4g}× that' if np.isfinite(x) and correct else ''
        return f'expected {float(correct):.5g}, got {float(x):.5g}{ratio}'
    worst = np.unravel_index(np.argmax(np.abs(np.nan_to_num(x, nan=np.inf) - correct)), correct.shape)
    return f'expected {float(correct[worst]):.5g} at {tuple(map(int, worst))}, got {float(x[worst]):.5g}'


def misconception(x: np.ndarray, expected: Expected, tolerance: float = TOLERANCE) -> str | None:
    """Return the text of the known mistake that gives x, or None."""
    return next((text for mistake, text in expected.misconceptions if same(x, mistake, tolerance)), None)


def verdict(x: np.ndarray, expected: Expected) -> str | None:
    """Return None if x is correct; otherwise compare it with the correct value and name the mistake, if it is known."""
    if same(x, expected.value):
        return None
    text = misconception(x, expected)
    return f'{_comparison(x, expected.value)}' + (f': {text}' if text else '')


# --------------------------------------------------------------------------------------------------------------- step 1

def convolution(image: np.ndarray, W: np.ndarray, b: np.ndarray, padding: bool = True, stride: int = 1,
                flipped: bool = False) -> np.ndarray:
    """Convolve an image with 3×3 filters, before any ReLU.

    Like neural networks, this computes a cross-correlation.

    Args:
        image: [1, H, W, in].
        W: filters [3, 3, in, out].
        b: biases [out].
        padding: whether to pad with zeros, so that height and width stay the same.
        stride: distance between the positions of the filters, in pixels.
        flipped: whether to flip the filters, for a true convolution.

    Returns:
        float64 [1, H, W, out] with padding and stride 1.
    """
    x = np.pad(np.float64(image[0]), ((1, 1), (1, 1), (0, 0))) if padding else np.float64(image[0])
    W = np.float64(W)[::-1, ::-1] if flipped else np.float64(W)
    H, V = x.shape[0] - 2, x.shape[1] - 2
    out = sum(x[i:i + H, j:j + V] @ W[i, j] for i in range(3) for j in range(3)) + b
    return out[None, ::stride, ::stride]


def expected_convolutions(inputs: dict) -> list[Expected]:
    """Return the expected maps [1, H, W, out]: of the first layer after and before its ReLU, of the second after it."""
    image, (W, b) = inputs['image'], inputs['conv1_1']
    before = convolution(image, W, b)
    correct = np.maximum(before, 0)
    return [
        Expected(
            correct,
            [
                (before, 'is the ReLU missing?'),
                (np.maximum(before - b, 0), 'is the bias missing?'),
                (np.maximum(before - b, 0) + b, 'the bias must be added before the ReLU, not after it'),
                (np.maximum(before - 2 * b, 0), 'the bias must be added, not subtracted'),
                (np.maximum(convolution(image, W, b, padding=False), 0), "padding='SAME' keeps height and width"),
                (np.maximum(convolution(image, W, b, stride=2), 0), 'the stride must be 1: only pooling shrinks maps'),
                (
                    np.maximum(convolution(image, W.swapaxes(0, 1), b), 0),
                    'height and width of the filters are exchanged; use them as stored',
                ),
                (
                    np.maximum(convolution(image, W, b, flipped=True), 0),
                    'the filters are flipped; use them as stored',
                ),
                (1 / (1 + np.exp(-before)), 'that is a sigmoid, VGG has ReLU'),
                (np.tanh(before), 'that is tanh, VGG has ReLU'),
            ],
        ),
        Expected(before, [(correct, 'that is the map after the ReLU'), (before - b, 'is the bias missing?')]),
        Expected(
            np.maximum(convolution(image, *inputs['conv1_2']), 0),
            [(correct, 'these are the filters of conv1_1: pass the given layer_idx and layer_name to self._weights')],
        ),
    ]


def judge_conv2d_relu(values: dict, inputs: dict) -> str | None:
    """Step 1: judge the maps [1, H, W, out] of two layers after the ReLU and of one before it.

    No variable may be trainable.
    """
    after, before, second = expected_convolutions(inputs)
    if values['variables'].size:
        return (f'{", ".join(map(str, values["variables"]))}: trainable, so that the optimizer would change VGG; '
                'its weights must be constants (tf.constant), because only the image is trained')
    if mistake := verdict(values['output'], after):
        return mistake
    if 'before_relu' not in values:
        return 'the output is right; the map before its ReLU is missing: setattr(self, layer_name + BEFORE_RELU, …)'
    if mistake := verdict(values['before_relu'], before):
        return f'conv1_1_pre: {mistake}'
    return 'conv1_2: ' + mistake if (mistake := verdict(values['second'], second)) else None


def pool(image: np.ndarray, kind, stride: int = 2, same_padding: bool = True) -> np.ndarray:
    """Pool an image over windows of 2×2; pixels outside the image do not count.

    Args:
        image: [1, H, W, C].
        kind: function that reduces a window to one number, such as np.mean or np.max.
        stride: distance between windows, in pixels.
        same_padding: whether windows may reach over the edge, so that an odd last row and column count.
    """
    x = np.float64(image[0])
    H, W = x.shape[:2]
    last = 0 if same_padding else 1
    return np.array([[kind(x[i:i + 2, j:j + 2], axis=(0, 1)) for j in range(0, W - last, stride)]
                     for i in range(0, H - last, stride)])[None]


def expected_pool(kind, other_kind, other_text: str):
    """Return a function that maps inputs to the expected map of a pooling, [1, ⌈H/2⌉, ⌈W/2⌉, C].

    Args:
        kind: np.mean or np.max, the correct pooling.
        other_kind: the other one.
        other_text: text of the mistake of pooling by `other_kind`.
    """
    def expected(inputs):
        image = inputs['image']
        padded = np.pad(image, ((0, 0), (0, 1), (0, 1), (0, 0)))
        return [Expected(pool(image, kind), [
            (pool(image, other_kind), other_text),
            (pool(image, kind, same_padding=False), "padding='SAME' keeps the odd row and column"),
            (pool(image, kind, stride=1), 'the stride must be 2'),
            (pool(padded, kind, same_padding=False),
             'zeros outside the map must not count: use TensorFlow\'s pooling'),
            (image, 'nothing is pooled'), (pool(image, np.sum), 'that is the sum of each window')])]
    return expected


# --------------------------------------------------------------------------------------------------------------- step 2

def expected_content_loss(inputs: dict) -> list[Expected]:
    """Return the expected content loss, Σ (F − P)² / (4s), a number."""
    difference = np.float64(inputs['F']) - inputs['P']
    s, squares = difference.size, (difference ** 2).sum()
    return [Expected(squares / (4 * s), [
        (squares / 2, f'{2 * s}× the handout\'s, with s = {s}: did you use the paper\'s 1/2 instead of 1/(4s)?'),
        (squares / 4, f's× the handout\'s, with s = {s}: divide by 4s, not by 4'),
        (squares / s, '4× the handout\'s: 1/s, a mean squared error, instead of 1/(4s)?'),
        (squares / (2 * s), '2× the handout\'s: did you use 1/(2s) instead of 1/(4s)?'),
        (squares, 'the coefficient 1/(4s) is missing'),
        (difference ** 2 / (4 * s), 'the sum over all positions and channels is missing'),
        (np.abs(difference).sum() / (4 * s), 'absolute differences, where squares were expected'),
        (difference.sum() / (4 * s), 'the differences are not squared'),
        (difference.sum() ** 2 / (4 * s), 'the square must come before the sum'),
        (np.sqrt(squares) / (4 * s), 'the loss must have no square root: Σ (F − P)², not its root'),
        (((np.float64(inputs['F']) + inputs['P']) ** 2).sum() / (4 * s), 'F + P, where F − P was expected')])]


def gram(F: np.ndarray) -> np.ndarray:
    """Return the Gram matrix FᵀF, float64 [N, N], of features [1, H, W, N]."""
    F = np.float64(F).reshape(-1, F.shape[-1])
    return F.T @ F


def expected_gram_matrix(inputs: dict) -> list[Expected]:
    """Return the expected Gram matrix G = FᵀF, [N, N]."""
    F = np.float64(inputs['F'])
    N, M = F.shape[-1], F.shape[1] * F.shape[2]
    rows, scrambled, correct = F.reshape(M, N), F.reshape(N, M), gram(F)
    return [Expected(correct, [
        (rows @ rows.T, 'F Fᵀ, [M, M]: the Gram matrix is Fᵀ F, [N, N], products of channels summed over the positions '
                        '(transpose_a)'),
        (scrambled @ scrambled.T,
         'reshaping [1, H, W, N] to [N, M] mixes channels and positions: reshape to [M, N], then Fᵀ F'),
        (correct / M, 'divided by M: the coefficient belongs to the style loss'),
        (correct / (N * M), 'divided by N·M: the coefficient belongs to the style loss'),
        (correct / N, 'divided by N: the coefficient belongs to the style loss'),
        (rows, 'that is F, reshaped; the product is missing'),
        (correct - np.outer(rows.mean(axis=0), rows.mean(axis=0)) * M,
         'the means are subtracted: that is a covariance')])]


def expected_single_style_loss(inputs: dict) -> list[Expected]:
    """Return the expected style loss of one layer, E = Σ (G − A)² / (4 N² M²), a number."""
    F = inputs['F']
    N, M = F.shape[-1], F.shape[1] * F.shape[2]
    difference = gram(F) - gram(inputs['P'])
    squares = (difference ** 2).sum()
    correct = squares / (4 * N ** 2 * M ** 2)
    return [Expected(correct, [
        (squares, 'the coefficient 1/(4N²M²) is missing'),
        (squares / (N ** 2 * M ** 2), '4× the handout\'s: the 4 of 1/(4N²M²) is missing'),
        (squares / (4 * N * M), 'N·M× the handout\'s: 1/(4NM) instead of 1/(4N²M²)?'),
        (squares / (2 * N * M), 'is it 1/(2NM) instead of its square, 1/(4N²M²)?'),
        (squares / (2 * N ** 2 * M ** 2), '2× the handout\'s: 1/(2N²M²) instead of 1/(4N²M²)?'),
        (squares / (4 * N ** 2 * M), 'M× the handout\'s: M is not squared'),
        (squares / (4 * N * M ** 2), 'N× the handout\'s: N is not squared'),
        (squares / 4, 'N²M²× the handout\'s: divide by 4N²M², not by 4'),
        (correct / N ** 2, '1/N² of the handout\'s: a mean where a sum was expected'),
        (squares / (4 * N ** 4), 'is M the number of positions, H·W, or again that of channels?'),
        (difference.sum() / (4 * N ** 2 * M ** 2), 'the differences are not squared'),
        (np.abs(difference).sum() / (4 * N ** 2 * M ** 2), 'absolute differences, where squares were expected'),
        (((np.float64(F) - inputs['P']) ** 2).sum() / (4 * N ** 2 * M ** 2),
         'features are compared, where Gram matrices were expected')])]


def expected_style_loss(inputs: dict) -> list[Expected]:
    """Return the expected style loss Σ w_l E_l, a number.

    The features of a layer are one value here, and E_l is (g − a)².
    """
    E, w = (np.float64(inputs['g']) - inputs['a']) ** 2, np.array(STYLE_LAYER_WEIGHTS)
    return [Expected((w * E).sum(), [
        (E.sum(), 'the layers are not weighted: 0.5, 1, 1.5, 3, 4 in the recipe'),
        (E.mean(), 'the layers are averaged, without their weights'),
        ((w[::-1] * E).sum(), 'the weights are in reverse: deeper layers count more'),
        ((w * E).sum() / w.sum(), 'divided by the sum of the weights'),
        ((w * E).mean(), 'a mean over the layers, where a sum was expected'),
        ((w ** 2 * E).sum(), 'weighted twice'),
        (w[0] * E[0], 'only the first layer counts: is return inside the loop?'),
        (w[-1] * E[-1], 'only the last layer counts: is the sum overwritten in the loop?'),
        ((w * E)[:-1].sum(), 'the last layer is left out'), ((w * E)[1:].sum(), 'the first layer is left out'),
        (np.prod(w * E), 'a product, where a sum was expected')])]


def expected_total_loss(inputs: dict) -> list[Expected]:
    """Return the expected total loss, α · content + β · style, a number."""
    alpha, beta, content, style = inputs['weights']
    return [Expected(alpha * content + beta * style, [
        (content + style, 'α and β are missing: recipe.content_weight and recipe.style_weight'),
        (beta * content + alpha * style, 'α and β are exchanged: α goes with the content loss'),
        (alpha * content, 'the style loss is missing'), (beta * style, 'the content loss is missing'),
        (0.05 * content + style, 'α and β are hard-coded; use recipe.content_weight and recipe.style_weight'),
        (alpha * content + style, 'β is missing'), (content + beta * style, 'α is missing'),
        (alpha * content - beta * style, 'the style loss is subtracted'),
        (alpha * beta * content * style, 'a product, not a sum'),
        ((alpha + beta) * (content + style), 'the sum of the weights times the sum of the losses')])]


def judge_tensor(item: str, number: bool = True):
    """Return the judge of an item of step 2 whose result is one float32 tensor.

    Args:
        item: a key of `EXPECTED`.
        number: whether the tensor must be one number, of shape ().

    Returns:
        A function like `judge_train`. If the probe tried several set-ups, one correct value suffices.
    """
    def judge(values, inputs):
        expected, = EXPECTED[item](inputs)
        problems = [_tensor_problem(np.array(tried), kind, expected, number)
                    for tried, kind in zip(values['tries'].tolist(), values['kinds'].tolist())]
        return None if None in problems else problems[0]
    return judge


def _tensor_problem(x, kind, expected, number):
    """Return what is wrong with the value x of a tensor, or None; `kind` is its dtype, or 'list' or 'tuple'."""
    if mistake := verdict(x, expected):
        return mistake
    if kind in ('list', 'tuple'):
        return f'the value is right, but in a {kind}: return the tensor itself'
    if number and x.shape != ():
        return f'the value is right, but of shape {x.shape}: one number has shape ()'
    if kind != 'float32':
        return f'the value is right, but {kind}: all else is float32, and TensorFlow does not mix types'
    return None


# --------------------------------------------------------------------------------------------------------- steps 3 to 5

def adam(start: np.ndarray, target: np.ndarray, rate: float, steps: int) -> np.ndarray:
    """Minimize Σ (x − target)² with Adam.

    Args:
        start: starting image.
        target: image at the minimum, of the same shape.
        rate: learning rate.
        steps: number of steps.

    Returns:
        float64 [steps + 1, …], the starting image and the image after each step.
    """
    x, m, v, images = np.float64(start), 0., 0., [np.float64(start)]
    for t in range(1, steps + 1):
        g = 2 * (x - target)
        m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g ** 2
        x = x - rate * np.sqrt(1 - BETA2 ** t) / (1 - BETA1 ** t) * m / (np.sqrt(v) + EPSILON)
        images.append(x)
    return np.array(images)


def expected_optimize(inputs: dict) -> list[Expected]:
    """Return the expected change of the image in the first step of Adam."""
    start, target, rate = np.float64(inputs['start']), inputs['target'], float(inputs['rate'])
    sign = np.sign(start - target)
    return [Expected(-rate * sign, [
        (2. * -sign, 'a learning rate of 2 is hard-coded; use recipe.learning_rate'),
        (rate * sign, 'the loss grows: maximized, where it should be minimized'),
        (0.001 * -sign, 'Adam has its default learning rate, 0.001; give it recipe.learning_rate'),
        (-rate * 2 * (start - target), 'that is plain gradient descent; the recipe says Adam'),
        (-rate * np.sign(start + target + 100), 'it minimizes the content loss alone; give it self.total_loss')])]


def judge_optimize(values: dict, inputs: dict) -> str | None:
    """Step 3: judge the images [3, …] before, after one and after two steps of Adam, and the global step then."""
    start, images = np.float64(inputs['start']), values['images']
    if images.shape != (3, *start.shape):
        return f'expected images of shape {start.shape}, got {images.shape[1:]}'
    path = adam(start, inputs['target'], float(inputs['rate']), 2)
    if same(images, path):
        steps = int(values['gstep'])
        return None if steps == 2 else (f'after 2 steps the global step is {steps}: '
                                        'give minimize(…, global_step=self.gstep)')
    first = images[1] - start
    if np.abs(first).max() == 0:
        return 'the image does not move: is self.opt the operation that minimize returns?'
    expected, = expected_optimize(inputs)
    if text := misconception(first, expected, 0.01):
        return text
    if same(images[:2], path[:2]):
        return 'the first step is Adam\'s, the second is not: its decays are recipe.beta1 and recipe.beta2'
    return (f'after the first step a pixel should have moved by {expected.value.flat[0]:.4g}, '
            f'but it moved by {first.flat[0]:.4g}')


def expected_summaries(inputs: dict) -> list[Expected]:
    """Return the expected scalar summary of the content loss, with the other two losses as mistakes.

    `judge_create_summary` compares all three; this list makes `draw_inputs` choose losses that differ.
    """
    content, style, total = inputs['losses']
    return [Expected(content, [(style, 'that is style_loss'), (total, 'that is total_loss')])]


def judge_create_summary(values: dict, inputs: dict) -> str | None:
    """Step 4: judge the scalar summaries, pairs of tag and value, and the picture, uint8 [H, W, 3]."""
    wanted = dict(zip(('content_loss', 'style_loss', 'total_loss'), map(float, inputs['losses'])))
    scalars = {str(tag).rpartition('/')[2]: float(number) for tag, number in values['scalars'].reshape(-1, 2)}
    for name, loss in wanted.items():
        if name not in scalars:
            return f'no scalar {name}: there are {", ".join(scalars) or "none"}'
        if not same(np.array(scalars[name]), np.array(loss)):
            other = next((n for n, x in wanted.items() if same(np.array(scalars[name]), np.array(x))), None)
            return (f'the scalar {name} is {scalars[name]:.4g}, it should be {loss:.4g}'
                    + (f': that is {other}' if other else ''))
    unclipped = np.float64(inputs['centered'][0]) + inputs['mean_pixels']
    correct, picture, dtype = np.rint(unclipped).clip(0, 255), values['picture'], str(values['dtype'])
    if dtype != 'uint8':
        return f'the picture is {dtype}, it should be uint8: tf.saturate_cast'
    if picture.shape != correct.shape:
        return f'the picture has shape {picture.shape}, it should have {correct.shape}' + (
            ': leave the batch axis out' if picture.shape == (1, *correct.shape) else '')
    if np.abs(picture - correct).max() <= 1:
        return None
    inside = (unclipped > 1) & (unclipped < 254)
    if np.abs(picture - np.rint(inputs['centered'][0]).clip(0, 255)).max() <= 1:
        return 'the picture is still centered: add VGG\'s mean back'
    if np.abs(picture - np.rint(unclipped + inputs['mean_pixels']).clip(0, 255)).max() <= 1:
        return 'the mean is added twice'
    if np.abs(picture - correct)[inside].max() <= 1:
        return 'values beyond 0-255 wrap around: clip them, tf.saturate_cast does'
    return _comparison(picture, correct)


def expected_training(inputs: dict) -> list[Expected]:
    """Return the expected losses of the first two iterations of a run.

    The mistakes are a start from zeros, a loss computed after the step, no step at all and two steps in one iteration.
    """
    start, target = inputs['start'], np.float64(inputs['target'])
    first, second, third = ((adam(start, target, LEARNING_RATE, 2) - target) ** 2).reshape(3, -1).sum(axis=1)
    return [Expected(first, [
                ((target ** 2).sum(), 'training begins from zeros: run self.init, then assign self.centered_start'),
                (second, 'the losses of iteration 0 are those after a step: fetch them in the same run as self.opt')]),
            Expected(second, [(first, 'the loss stays what it was: fetch self.opt as well'),
                              (third, 'two steps of the optimizer in one iteration: is self.opt fetched twice?')])]


def judge_train(values: dict, inputs: dict) -> str | None:
    """Step 5: judge the losses before every step of an uninterrupted run, and the image after the last step."""
    target, last = np.float64(inputs['target']), ITERATIONS[1]
    path, losses = adam(inputs['start'], target, LEARNING_RATE, last), values['straight_losses']
    correct = ((path[:-1] - target) ** 2).reshape(last, -1).sum(axis=1)
    moved = same(values['straight_image'], path[-1], 1e-2)
    if moved and same(losses, correct):
        return None
    for x, expected in zip(losses, expected_training(inputs)):
        if text := misconception(x, expected, 1e-4):
            return text
    return (f'after {last} iterations the image is not where Adam\'s {last} steps lead' if not moved
            else 'the image is right, but the losses are not: fetch self.loss_terms in the same run as self.opt')


def judge_summaries(values: dict, inputs: dict) -> str | None:
    """Step 5: judge the iterations that have summaries, in a run that ends at the first of ITERATIONS."""
    first, steps = ITERATIONS[0], values['events'].tolist()
    wanted = [step for step in range(1, first + 1) if step % LOG_EVERY == 0 or step == first]
    if not steps:
        return 'no summary was written to graphs/<run>: fetch self.summary_op and pass its value to the writer'
    if set(wanted) - set(steps):
        return (f'summaries were written for iterations {_join_numbers(steps)}, expected {_join_numbers(wanted)}: '
                'write each summary with its step')
    return None


def judge_checkpoints(values: dict, inputs: dict) -> str | None:
    """Step 5: judge the iterations that have checkpoints, in the same run."""
    first, steps = ITERATIONS[0], values['checkpoints'].tolist()
    if not steps:
        return 'no checkpoint was written to checkpoints/<run>: save one whenever is_saved is true'
    return (
        None if first in steps else
        f'the last iteration, {first}, has no checkpoint: there are checkpoints of {_join_numbers(steps)}'
    )


def _join_numbers(numbers):
    """Join numbers with commas."""
    return ', '.join(map(str, numbers))


def judge_restore(values: dict, inputs: dict) -> str | None:
    """Step 5: judge the last image of a run that stopped at the first of ITERATIONS and was resumed to the second.

    It must be the last image of an uninterrupted run.
    """
    if 'resuming' in values:
        return f'when the run is resumed: {values["resuming"]}'
    resumed, (first, last) = values['resumed_image'], ITERATIONS
    if not resumed.size:
        return 'a resumed run does not finish'
    if same(resumed, values['straight_image'], 1e-2):
        return None
    again = adam(inputs['other_start'], inputs['target'], LEARNING_RATE, last)
    if any(same(resumed, again[steps], 1e-2) for steps in (last - first, last)):
        return 'a resumed run begins again from the starting image: initialize only if nothing was restored'
    return (f'a run of {first} iterations, resumed to {last}, does not end where one of {last} does: '
            'are all variables restored?')


EXPECTED = {  # has the keys of inputs.ITEM_INPUTS
    'conv2d_relu': expected_convolutions,
    'avgpool': expected_pool(np.mean, np.max, 'the maximum of each window; the paper has the average'),
    'maxpool': expected_pool(np.max, np.mean, 'the average of each window, where the maximum was expected'),
    '_content_loss': expected_content_loss, '_gram_matrix': expected_gram_matrix,
    '_single_style_loss': expected_single_style_loss, '_style_loss': expected_style_loss, 'losses': expected_total_loss,
    'optimize': expected_optimize, 'create_summary': expected_summaries, 'train': expected_training,
}
JUDGES = {  # has the items of points.POINTS
    'conv2d_relu': judge_conv2d_relu,
    **{item: lambda values, inputs, item=item: verdict(values['output'], *EXPECTED[item](inputs))
       for item in ('avgpool', 'maxpool')},
    '_gram_matrix': judge_tensor('_gram_matrix', number=False),
    **{item: judge_tensor(item) for item in ('_content_loss', '_single_style_loss', '_style_loss', 'losses')},
    'optimize': judge_optimize, 'create_summary': judge_create_summary,
    'train': judge_train, 'summaries': judge_summaries, 'checkpoints': judge_checkpoints, 'restore': judge_restore,
}
