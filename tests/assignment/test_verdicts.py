"""The judging of numbers: whatever the seed, right ones pass, and every known mistake has its own words.

Right values are computed here, in float32, as TensorFlow would.
"""

import numpy as np
import pytest

from assignment import points
from assignment.grader import inputs, verdicts

SEEDS = range(40)  # the same functions have gone through 20,000; 35 and 89 were once judged wrongly
FIRST, LAST = inputs.ITERATIONS


def convolved(image, W, b):
    """Cross-correlation with zeros around, a pixel at a time, in float32."""
    padded = np.pad(image[0], ((1, 1), (1, 1), (0, 0)))
    return np.array([[[np.float32((padded[i:i + 3, j:j + 3, :, None] * W).sum(axis=(0, 1, 2))) + b
                       for j in range(image.shape[2])] for i in range(image.shape[1])]])[0][None]


def windows(image, kind):
    return np.array([[[kind(image[0, i:i + 2, j:j + 2], axis=(0, 1)) for j in range(0, image.shape[2], 2)]
                      for i in range(0, image.shape[1], 2)]])


def trained(start, target, steps, rate=2.):
    """Adam on Σ (x − target)², by the paper's corrected moments: the images, and the losses before each step."""
    x, m, v, images, losses = np.float64(start), 0, 0, [start], []
    for t in range(1, steps + 1):
        g = 2 * (x - target)
        losses.append(np.float32(((x - target) ** 2).sum()))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        x = x - rate * (m / (1 - 0.9 ** t)) / (np.sqrt(v / (1 - 0.999 ** t)) + 1e-8)
        images.append(np.float32(x))
    return images, losses


def one(x):
    return {'tries': [np.float32(x)], 'kinds': ['float32']}


def right(item, given):
    """What a right solution's probe would write."""
    if item == 'conv2d_relu':
        maps = {name: convolved(given['image'], *given[name]) for name in ('conv1_1', 'conv1_2')}
        return {'output': np.maximum(maps['conv1_1'], 0), 'before_relu': maps['conv1_1'],
                'second': np.maximum(maps['conv1_2'], 0), 'variables': []}
    if item in ('avgpool', 'maxpool'):
        return {'output': windows(given['image'], {'avgpool': np.mean, 'maxpool': np.max}[item])}
    if item == '_content_loss':
        return one(np.mean((given['F'] - given['P']) ** 2) / np.float32(4))
    if item == '_gram_matrix':
        return one(np.einsum('hwi,hwj->ij', given['F'][0], given['F'][0]))
    if item == '_single_style_loss':
        return one(((given['G'] - given['A']) ** 2).sum() / np.float32(4 * 5 ** 2 * 12 ** 2))
    if item == '_style_loss':
        return one(sum(np.float32(w) * (g - a) ** 2 for w, a, g in zip((0.5, 1, 1.5, 3, 4), given['a'], given['g'])))
    if item == 'losses':
        alpha, beta, content, style = np.float32(given['weights'])
        return one(alpha * content + beta * style)
    if item == 'optimize':
        return {'images': trained(given['start'], given['target'], 2, given['rate'])[0], 'gstep': 2}
    if item == 'create_summary':
        picture = np.clip(np.round(given['centered'] + given['mean_pixels']), 0, 255)[0]
        names = 'content_loss', 'style_loss', 'total_loss'
        return {'scalars': [[f's/{name}', float(x)] for name, x in zip(names, np.float32(given['losses']))],
                'picture': np.uint8(picture), 'dtype': 'uint8'}
    images, losses = trained(given['start'], given['target'], LAST)
    return {'straight_image': images[-1], 'straight_losses': losses, 'resumed_image': images[-1],
            'events': [3, 6, 7], 'checkpoints': [5, 7]}


@pytest.mark.parametrize('item', points.ITEMS)
def test_what_is_right_passes_whatever_the_seed(item):
    for seed in SEEDS:
        given = verdicts.draw_inputs(points.run_item(item), seed)
        assert verdicts.judge(item, right(points.run_item(item), given), given) is None, seed


def with_mistake(item, values, given, at, wrong):
    """The values, and in place of the case number `at` of `CASES` what a mistake gives."""
    if item == 'conv2d_relu':
        return values | {('output', 'before_relu', 'second')[at]: wrong}
    if item in ('avgpool', 'maxpool'):
        return {'output': wrong}
    if item == 'optimize':
        return values | {'images': [given['start'], given['start'] + wrong, given['start'] + 2 * wrong]}
    if item == 'train':
        losses = list(values['straight_losses'])
        return values | {'straight_image': given['start'], 'straight_losses': [*losses[:at], wrong, *losses[at + 1:]]}
    return one(wrong)


@pytest.mark.parametrize(
    'item', [item for item in points.ITEMS if item in verdicts.EXPECTED and item != 'create_summary']
)
def test_every_known_mistake_is_told_by_its_name_whatever_the_seed(item):
    for seed in SEEDS:
        given = verdicts.draw_inputs(item, seed)
        values = right(item, given)
        for at, case in enumerate(verdicts.EXPECTED[item](given)):
            for wrong, text in case.misconceptions:
                tried = with_mistake(item, values, given, at, wrong)
                assert text in verdicts.judge(item, tried, given), (seed, text)


def test_what_begins_from_zeros_never_passes():
    """Not even where the first loss is near by chance: the image ends elsewhere."""
    for seed in SEEDS:
        given = verdicts.draw_inputs('train', seed)
        images, losses = trained(np.zeros_like(given['start']), given['target'], LAST)
        values = right('train', given) | {'straight_image': images[-1], 'straight_losses': losses}
        assert 'begins from zeros' in verdicts.judge('train', values, given)


@pytest.mark.parametrize('change, says', [
    ({'tries': [[1.]]}, 'but of shape (1,)'), ({'kinds': ['list']}, 'but in a list'),
    ({'kinds': ['float64']}, 'but float64')])
def test_a_right_number_of_the_wrong_type_is_wrong(change, says):
    for item in ('_content_loss', '_single_style_loss', '_style_loss', 'losses'):
        given = verdicts.draw_inputs(item, 0)
        values = right(item, given)
        changed = {'tries': [[values['tries'][0]]]} if 'tries' in change else change
        assert says in verdicts.judge(item, values | changed, given)


def test_of_several_tries_one_has_to_be_right():
    given = verdicts.draw_inputs('_single_style_loss', 0)
    x = right('_single_style_loss', given)['tries'][0]
    for tries in ([x, 2 * x], [2 * x, x]):
        assert verdicts.judge('_single_style_loss', {'tries': tries, 'kinds': 2 * ['float32']}, given) is None
    assert '2× that' in verdicts.judge('_single_style_loss', {'tries': [2 * x, 3 * x], 'kinds': 2 * ['float32']}, given)


@pytest.mark.parametrize('item, change, says', [
    ('summaries', {'events': []}, 'no summary was written'),
    ('summaries', {'events': [0]}, 'iterations 0, expected 3, 6, 7'),
    ('checkpoints', {'checkpoints': []}, 'no checkpoint was written'),
    ('checkpoints', {'checkpoints': [5]}, 'the last iteration, 7, has no checkpoint: there are checkpoints of 5'),
    ('restore', {'resuming': 'KeyError: 1'}, 'when the run is resumed: KeyError: 1'),
    ('restore', {'resumed_image': []}, 'does not finish'),
    ('restore', {'resumed_image': np.zeros((1, 4, 5, 3))}, 'are all variables restored?')])
def test_what_a_training_leaves_is_judged_apart(item, change, says):
    given = verdicts.draw_inputs('train', 0)
    values = right('train', given) | change
    assert says in verdicts.judge(item, values, given)
    others = [other for other in points.SHOWN_BY_TRAINING if other != item]
    assert [verdicts.judge(other, values, given) for other in others] == [None, None]


def test_the_points_are_those_of_items_that_are_judged_and_make_a_hundred():
    assert set(points.ITEMS) == set(verdicts.JUDGES) and sum(points.ITEMS.values()) == 100
    assert {points.run_item(item) for item in points.ITEMS} == set(verdicts.EXPECTED) == set(inputs.ITEM_INPUTS)
