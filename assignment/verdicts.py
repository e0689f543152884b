"""What should have come, by NumPy, and the common mistakes by name: values of a student's code -> what is wrong."""

import numpy as np

from assignment.inputs import ITERATIONS

WEIGHTS = 0.5, 1., 1.5, 3., 4.  # of CS20's style layers
RATE, BETA1, BETA2, EPSILON = 2., 0.9, 0.999, 1e-8  # of Adam, in the stand-in for step 5
TOLERANCE = 1e-3


def judge(item, values, given):
    """Return what is wrong with an item's values, one line, or None if they are right.

    values: name -> list, as the probe wrote them; given: from `inputs.of_step`
    """
    with np.errstate(all='ignore'):
        return JUDGES[item]({name: _array(x) for name, x in values.items()}, given)


def _array(x):
    try:
        return np.array(x)
    except ValueError:  # ragged
        return np.array(x, dtype=object)


def same(x, y, tolerance=TOLERANCE):
    """Whether two arrays agree, to a share of the larger one's largest value; a leading axis of 1 does not matter."""
    x, y = np.squeeze(x), np.squeeze(y)
    if x.shape != y.shape or x.dtype.kind not in 'fiub':
        return False
    return bool(np.isfinite(x).all() and np.abs(x - y).max() <= tolerance * max(1e-6, np.abs(y).max()))


def named(x, mistakes):
    """The first text of (value, text) pairs whose value x has."""
    return next((text for wrong, text in mistakes if same(x, wrong)), None)


def _compared(x, right):
    """What came and what was expected, of two arrays."""
    if np.shape(np.squeeze(x)) != np.shape(np.squeeze(right)):
        return f'expected shape {np.shape(right)}, got {np.shape(x)}'
    x, right = np.squeeze(x), np.squeeze(right)
    if x.size == 1:
        ratio = f', {float(x / right):.4g}× that' if np.isfinite(x) and right else ''
        return f'expected {float(right):.5g}, got {float(x):.5g}{ratio}'
    worst = np.unravel_index(np.argmax(np.abs(np.nan_to_num(x, nan=np.inf) - right)), right.shape)
    return f'expected {float(right[worst]):.5g} at {tuple(map(int, worst))}, got {float(x[worst]):.5g}'


def verdict(x, right, mistakes):
    """None if x is right; else what is wrong, by name where it is a known mistake."""
    if same(x, right):
        return None
    name = named(x, mistakes)
    return f'{_compared(x, right)}' + (f': {name}' if name else '')


# --------------------------------------------------------------------------------------------------------------- step 1

def convolution(image, W, b, padding=True, stride=1, flipped=False):
    """[1, H, W, in] by filters [3, 3, in, out], before any ReLU; cross-correlation, as networks have it."""
    x = np.pad(np.float64(image[0]), ((1, 1), (1, 1), (0, 0))) if padding else np.float64(image[0])
    W = np.float64(W)[::-1, ::-1] if flipped else np.float64(W)
    H, V = x.shape[0] - 2, x.shape[1] - 2
    out = sum(x[i:i + H, j:j + V] @ W[i, j] for i in range(3) for j in range(3)) + b
    return out[None, ::stride, ::stride]


def judge_conv2d_relu(values, given):
    """Step 1: the map [1, H, W, out] after the ReLU, the one before it, and no trainable variable."""
    image, (W, b) = given['image'], given['conv1_1']
    before = convolution(image, W, b)
    right = np.maximum(before, 0)
    if values['variables'].size:
        return (f'{", ".join(map(str, values["variables"]))}: trainable, so that the optimizer would change VGG; '
                'its weights are constants (tf.constant), the image is what is trained')
    wrong = verdict(values['output'], right, [
        (before, 'is the ReLU missing?'),
        (np.maximum(before - b, 0), 'is the bias missing?'),
        (np.maximum(before - b, 0) + b, 'the bias comes before the ReLU, not after it'),
        (np.maximum(before - 2 * b, 0), 'the bias is added, not subtracted'),
        (np.maximum(convolution(image, W, b, padding=False), 0), "padding='SAME' keeps height and width"),
        (np.maximum(convolution(image, W, b, stride=2), 0), 'the stride is 1: only poolings make maps smaller'),
        (np.maximum(convolution(image, W.swapaxes(0, 1), b), 0),
         'height and width of the filters are exchanged; use them as stored'),
        (np.maximum(convolution(image, W, b, flipped=True), 0), 'the filters are turned over; use them as stored'),
        (1 / (1 + np.exp(-before)), 'that is a sigmoid, VGG has ReLU'),
        (np.tanh(before), 'that is tanh, VGG has ReLU')])
    if wrong:
        return wrong
    if 'before_relu' not in values:
        return 'the output is right; the map before its ReLU is missing: setattr(self, layer_name + BEFORE_RELU, …)'
    return 'conv1_1_pre: ' + wrong if (wrong := verdict(values['before_relu'], before, [
        (right, 'that is the map after the ReLU'), (before - b, 'the bias belongs to it')])) else None


def pooled(image, kind, stride=2, same_padding=True):
    """`kind` of every window of 2×2 of [1, H, W, C], what lies outside left out."""
    x = np.float64(image[0])
    H, W = x.shape[:2]
    last = 0 if same_padding else 1
    return np.array([[kind(x[i:i + 2, j:j + 2], axis=(0, 1)) for j in range(0, W - last, stride)]
                     for i in range(0, H - last, stride)])[None]


def judge_pool(right_kind, other_kind, other_text):
    """Step 1: a judge of maps [1, ⌈H/2⌉, ⌈W/2⌉, C] of a pooling by `right_kind`, np.mean or np.max.

    other_text: what is wrong with a pooling by `other_kind`
    """
    def judge(values, given):
        image = given['image']
        padded = np.pad(image, ((0, 0), (0, 1), (0, 1), (0, 0)))
        return verdict(values['output'], pooled(image, right_kind), [
            (pooled(image, other_kind), other_text),
            (pooled(image, right_kind, same_padding=False), "padding='SAME' keeps the odd row and column"),
            (pooled(image, right_kind, stride=1), 'the stride is 2'),
            (pooled(padded, right_kind, same_padding=False),
             'zeros outside the map must not count: use TensorFlow\'s pooling'),
            (image, 'nothing is pooled'), (pooled(image, np.sum), 'the sum, where the mean was expected')])
    return judge


# --------------------------------------------------------------------------------------------------------------- step 2

def judge_content_loss(values, given):
    """Step 2: Σ (F − P)² / (4s), a number."""
    difference = np.float64(given['F']) - given['P']
    s, squares = difference.size, (difference ** 2).sum()
    return verdict(values['loss'], squares / (4 * s), [
        (squares / 2, f'{2 * s}× the handout\'s, with s = {s}: did you use the paper\'s 1/2 instead of 1/(4s)?'),
        (squares / 4, f's× the handout\'s, with s = {s}: divide by 4s, not by 4'),
        (squares / s, '4× the handout\'s: 1/s, a mean squared error, instead of 1/(4s)?'),
        (squares / (2 * s), '2× the handout\'s: did you use 1/(2s) instead of 1/(4s)?'),
        (squares, 'the coefficient 1/(4s) is missing'),
        (difference ** 2 / (4 * s), 'the sum over all positions and channels is missing'),
        (np.abs(difference).sum() / (4 * s), 'absolute differences, where squares were expected'),
        (difference.sum() / (4 * s), 'the differences are not squared'),
        (difference.sum() ** 2 / (4 * s), 'the square comes before the sum'),
        (np.sqrt(squares) / (4 * s), 'no root of the sum of squares: Σ (F − P)², not its root'),
        (((np.float64(given['F']) + given['P']) ** 2).sum() / (4 * s), 'F + P, where F − P was expected')])


def gram(F):
    """FᵀF of features [1, H, W, N]."""
    F = np.float64(F).reshape(-1, F.shape[-1])
    return F.T @ F


def judge_gram_matrix(values, given):
    """Step 2: G = FᵀF, [N, N]."""
    F = np.float64(given['F'])
    N, M = F.shape[-1], F.shape[1] * F.shape[2]
    rows, scrambled, right = F.reshape(M, N), F.reshape(N, M), gram(F)
    return verdict(values['gram'], right, [
        (rows @ rows.T, 'F Fᵀ, [M, M]: the Gram matrix is Fᵀ F, [N, N], products of channels summed over the positions '
                        '(transpose_a)'),
        (scrambled @ scrambled.T,
         'reshaping [1, H, W, N] to [N, M] mixes channels and positions: reshape to [M, N], then Fᵀ F'),
        (right / M, 'divided by M: the coefficient belongs to the style loss'),
        (right / (N * M), 'divided by N·M: the coefficient belongs to the style loss'),
        (right / N, 'divided by N: the coefficient belongs to the style loss'),
        (rows, 'that is F, reshaped; the product is missing'),
        (right - np.outer(rows.mean(axis=0), rows.mean(axis=0)) * M, 'the means are subtracted: that is a covariance')])


def judge_single_style_loss(values, given):
    """Step 2: E = Σ (G − A)² / (4 N² M²), a number."""
    F = given['F']
    N, M = F.shape[-1], F.shape[1] * F.shape[2]
    difference = gram(F) - gram(given['P'])
    squares = (difference ** 2).sum()
    right = squares / (4 * N ** 2 * M ** 2)
    return verdict(values['loss'], right, [
        (squares, 'the coefficient 1/(4N²M²) is missing'),
        (squares / (N ** 2 * M ** 2), '4× the handout\'s: the 4 of 1/(4N²M²) is missing'),
        (squares / (4 * N * M), 'N·M× the handout\'s: 1/(4NM) instead of 1/(4N²M²)?'),
        (squares / (2 * N * M), 'is it 1/(2NM) instead of its square, 1/(4N²M²)?'),
        (squares / (2 * N ** 2 * M ** 2), '2× the handout\'s: 1/(2N²M²) instead of 1/(4N²M²)?'),
        (squares / (4 * N ** 2 * M), 'M× the handout\'s: M is not squared'),
        (squares / (4 * N * M ** 2), 'N× the handout\'s: N is not squared'),
        (squares / 4, 'N²M²× the handout\'s: divide by 4N²M², not by 4'),
        (right / N ** 2, '1/N² of the handout\'s: a mean where a sum was expected'),
        (squares / (4 * N ** 4), 'is M the number of positions, H·W, or again that of channels?'),
        (difference.sum() / (4 * N ** 2 * M ** 2), 'the differences are not squared'),
        (np.abs(difference).sum() / (4 * N ** 2 * M ** 2), 'absolute differences, where squares were expected'),
        (((np.float64(F) - given['P']) ** 2).sum() / (4 * N ** 2 * M ** 2),
         'features are compared, where Gram matrices were expected')])


def judge_style_loss(values, given):
    """Step 2: Σ w_l E_l, a number; the features of a layer are one value, so that E_l is (g − a)²."""
    E, w = (np.float64(given['g']) - given['a']) ** 2, np.array(WEIGHTS)
    return verdict(values['loss'], (w * E).sum(), [
        (E.sum(), 'the layers are not weighted: 0.5, 1, 1.5, 3, 4 in the recipe'),
        (E.mean(), 'the layers are not weighted, and averaged'),
        ((w[::-1] * E).sum(), 'the weights are in reverse: deeper layers count more'),
        ((w * E).sum() / w.sum(), 'divided by the sum of the weights'),
        ((w * E).mean(), 'a mean over the layers, where a sum was expected'),
        ((w ** 2 * E).sum(), 'weighted twice'),
        (w[0] * E[0], 'only the first layer counts: does return stand in the loop?'),
        (w[-1] * E[-1], 'only the last layer counts: is the sum overwritten in the loop?'),
        ((w * E)[:-1].sum(), 'the last layer is left out'), ((w * E)[1:].sum(), 'the first layer is left out'),
        (np.prod(w * E), 'a product, where a sum was expected')])


def judge_total_loss(values, given):
    """Step 2: α · content + β · style, a number."""
    alpha, beta, content, style = given['weights']
    return verdict(values['loss'], alpha * content + beta * style, [
        (content + style, 'α and β are missing: recipe.content_weight and recipe.style_weight'),
        (beta * content + alpha * style, 'α and β are exchanged: α goes with the content loss'),
        (alpha * content, 'the style loss is missing'), (beta * style, 'the content loss is missing'),
        (0.05 * content + style, 'α and β are written out; they are recipe.content_weight and recipe.style_weight'),
        (alpha * content + style, 'β is missing'), (content + beta * style, 'α is missing'),
        (alpha * content - beta * style, 'the style loss is subtracted'),
        (alpha * beta * content * style, 'a product, not a sum'),
        ((alpha + beta) * (content + style), 'the sum of the weights times the sum of the losses')])


# --------------------------------------------------------------------------------------------------------- steps 3 to 5

def adam(start, target, rate, steps):
    """The images [steps + 1, …] that Adam goes through on Σ (x − target)²."""
    x, m, v, images = np.float64(start), 0., 0., [np.float64(start)]
    for t in range(1, steps + 1):
        g = 2 * (x - target)
        m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g ** 2
        x = x - rate * np.sqrt(1 - BETA2 ** t) / (1 - BETA1 ** t) * m / (np.sqrt(v) + EPSILON)
        images.append(x)
    return np.array(images)


def judge_optimize(values, given):
    """Step 3: the images [3, …] before, after one and after two steps of Adam, and the global step then."""
    start, target, rate = np.float64(given['start']), given['target'], float(given['rate'])
    images, sign = values['images'], np.sign(start - target)
    if images.shape != (3, *start.shape):
        return f'expected images of shape {start.shape}, got {images.shape[1:]}'
    first = images[1] - start
    if same(images, adam(start, target, rate, 2)[:, None] if images.ndim > 5 else adam(start, target, rate, 2)):
        steps = int(values['gstep'])
        return None if steps == 2 else (f'after 2 steps the global step is {steps}: '
                                        'give minimize(…, global_step=self.gstep)')
    if np.abs(first).max() == 0:
        return 'the image does not move: is self.opt the operation that minimize gives?'
    for move, text in ((2. * -sign, 'a learning rate of 2 is written out; it is recipe.learning_rate'),
                       (rate * sign, 'the loss grows: maximised, where it should be minimised'),
                       (0.001 * -sign, 'Adam has its default learning rate, 0.001; give it recipe.learning_rate'),
                       (-rate * 2 * (start - target), 'that is plain gradient descent; the recipe says Adam'),
                       (-rate * np.sign(start + target + 100),
                        'it minimises the content loss alone; give it self.total_loss')):
        if same(first, move, 0.01):
            return text
    if same(images[:2], adam(start, target, rate, 2)[:2]):
        return 'the first step is Adam\'s, the second is not: its decays are recipe.beta1 and recipe.beta2'
    expected = adam(start, target, rate, 1)[1] - start
    return f'after the first step a pixel should have moved by {expected.flat[0]:.4g}, it moved by {first.flat[0]:.4g}'


def judge_create_summary(values, given):
    """Step 4: scalars as pairs of tag and value, and the picture [H, W, 3], uint8."""
    wanted = dict(zip(('content_loss', 'style_loss', 'total_loss'), map(float, given['losses'])))
    scalars = {str(tag).rpartition('/')[2]: float(number) for tag, number in values['scalars'].reshape(-1, 2)}
    for name, loss in wanted.items():
        if name not in scalars:
            return f'no scalar {name}: there are {", ".join(scalars) or "none"}'
        if not same(np.array(scalars[name]), np.array(loss)):
            other = next((n for n, x in wanted.items() if same(np.array(scalars[name]), np.array(x))), None)
            return (f'the scalar {name} is {scalars[name]:.4g}, it should be {loss:.4g}'
                    + (f': that is {other}' if other else ''))
    shown = np.float64(given['centred'][0]) + given['mean_pixels']
    right, picture, dtype = np.rint(shown).clip(0, 255), values['picture'], str(values['dtype'])
    if dtype != 'uint8':
        return f'the picture is {dtype}, it should be uint8: tf.saturate_cast'
    if picture.shape != right.shape:
        return f'the picture has shape {picture.shape}, it should have {right.shape}' + (
            ': leave the batch axis out' if picture.shape == (1, *right.shape) else '')
    if np.abs(picture - right).max() <= 1:
        return None
    inside = (shown > 1) & (shown < 254)
    if np.abs(picture - np.rint(given['centred'][0]).clip(0, 255)).max() <= 1:
        return 'the picture is still centred: add VGG\'s mean back'
    if np.abs(picture - np.rint(shown + given['mean_pixels']).clip(0, 255)).max() <= 1:
        return 'the mean is added twice'
    if np.abs(picture - right)[inside].max() <= 1:
        return 'values beyond 0-255 wrap around: clip them, tf.saturate_cast does'
    return _compared(picture, right)


def judge_train(values, given):
    """Step 5: losses and image of a straight run, image of one resumed, and what was written on the way."""
    start, target, (first, last) = given['start'], given['target'], ITERATIONS
    path = adam(start, target, RATE, last)
    totals = ((path - target) ** 2).reshape(last + 1, -1).sum(axis=1)
    losses, from_zeros = values['straight_losses'], (np.float64(target) ** 2).sum()
    if len(losses) and same(losses[0], from_zeros) and not same(losses[0], totals[0], 1e-5):  # may be near by chance
        return 'training begins from zeros: run self.init, then assign self.centred_start'
    if len(losses) > 1 and same(losses[1], losses[0], 1e-6):
        return 'the loss stays what it was: fetch self.opt as well'
    if len(losses) > 1 and same(losses[1], totals[2]):
        return 'two steps of the optimizer in one iteration: is self.opt fetched twice?'
    if len(losses) > 1 and same(losses[0], totals[1]):
        return 'the losses of iteration 0 are those after a step: fetch them in the same run as self.opt'
    if not same(values['straight_image'], path[-1], 1e-2):
        return f'after {last} iterations the image is not where Adam\'s {last} steps lead'
    if not values['events'].size:
        return 'no summary has come into graphs/<run>: log what is fetched, with the writer'
    if not values['checkpoints'].size:
        return 'no checkpoint has come into checkpoints/<run>: save one where the loop says so'
    if first not in values['checkpoints']:
        return f'no checkpoint has the last iteration, {first}: there are {", ".join(map(str, values["checkpoints"]))}'
    if not same(values['resumed_image'], path[-1], 1e-2):
        again = adam(given['other_start'], target, RATE, last)
        if any(same(values['resumed_image'], again[steps], 1e-2) for steps in (last - first, last)):
            return 'a resumed run begins again from the starting image: initialise only where nothing was restored'
        return (f'a run of {first} iterations, resumed to {last}, does not end where one of {last} does: '
                'are all variables restored?')
    return None


JUDGES = {
    'conv2d_relu': judge_conv2d_relu,
    'avgpool': judge_pool(np.mean, np.max, 'the maximum of each window; the paper has the average'),
    'maxpool': judge_pool(np.max, np.mean, 'the average of each window, where the maximum was expected'),
    '_content_loss': judge_content_loss, '_gram_matrix': judge_gram_matrix,
    '_single_style_loss': judge_single_style_loss, '_style_loss': judge_style_loss, 'losses': judge_total_loss,
    'optimize': judge_optimize, 'create_summary': judge_create_summary, 'train': judge_train,
}
