"""Test the verdicts with many seeds: correct values pass, and every known mistake gets its message.

The correct values are computed here, in float32 as in TensorFlow.
"""

import numpy as np
import pytest

from assignment import points
from assignment.grader import inputs, verdicts

SEEDS = range(40)  # the functions once passed with 20,000 seeds; earlier versions failed with 35 and 89
FIRST, LAST = inputs.ITERATIONS


def convolve(image, W, b):
    """Cross-correlate an image [1, H, W, C] with filters, padded with zeros, one pixel at a time, in float32."""
    padded = np.pad(image[0], ((1, 1), (1, 1), (0, 0)))
    return np.array([[[np.float32((padded[i:i + 3, j:j + 3, :, None] * W).sum(axis=(0, 1, 2))) + b
                       for j in range(image.shape[2])] for i in range(image.shape[1])]])[0][None]


def pool(image, kind):
    """Apply `kind`, such as np.mean, to windows of 2×2 of an image [1, H, W, C]; windows at odd edges are smaller."""
    return np.array([[[kind(image[0, i:i + 2, j:j + 2], axis=(0, 1)) for j in range(0, image.shape[2], 2)]
                      for i in range(0, image.shape[1], 2)]])


def adam(start, target, steps, rate=2.):
    """Minimize Σ (x − target)² with Adam; return the images, and the losses before each step."""
    x, m, v, images, losses = np.float64(start), 0, 0, [start], []
    for t in range(1, steps + 1):
        gradient = 2 * (x - target)
        losses.append(np.float32(((x - target) ** 2).sum()))
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient * gradient
        x = x - rate * (m / (1 - 0.9 ** t)) / (np.sqrt(v / (1 - 0.999 ** t)) + 1e-8)
        images.append(np.float32(x))
    return images, losses


def single_try(x):
    """Return what the probe writes for a single float32 result."""
    return {'tries': [np.float32(x)], 'kinds': ['float32']}


def right_values(item, drawn):
    """Return what the probe would write for an item of a correct solution with the inputs that were drawn."""
    if item == 'conv2d_relu':
        maps = {name: convolve(drawn['image'], *drawn[name]) for name in ('conv1_1', 'conv1_2')}
        return {'output': np.maximum(maps['conv1_1'], 0), 'before_relu': maps['conv1_1'],
                'second': np.maximum(maps['conv1_2'], 0), 'variables': []}
    if item in ('avgpool', 'maxpool'):
        return {'output': pool(drawn['image'], {'avgpool': np.mean, 'maxpool': np.max}[item])}
    if item == '_content_loss':
        return single_try(np.mean((drawn['F'] - drawn['P']) ** 2) / np.float32(4))
    if item == '_gram_matrix':
        return single_try(np.einsum('hwi,hwj->ij', drawn['F'][0], drawn['F'][0]))
    if item == '_single_style_loss':
        return single_try(((drawn['G'] - drawn['A']) ** 2).sum() / np.float32(4 * 5 ** 2 * 12 ** 2))
    if item == '_style_loss':
        return single_try(
            sum(np.float32(w) * (g - a) ** 2 for w, a, g in zip((0.5, 1, 1.5, 3, 4), drawn['a'], drawn['g'])))
    if item == 'losses':
        alpha, beta, content, style = np.float32(drawn['weights'])
        return single_try(alpha * content + beta * style)
    if item == 'optimize':
        return {'images': adam(drawn['start'], drawn['target'], 2, drawn['rate'])[0], 'gstep': 2}
    if item == 'create_summary':
        picture = np.clip(np.round(drawn['centered'] + drawn['mean_pixels']), 0, 255)[0]
        names = 'content_loss', 'style_loss', 'total_loss'
        return {'scalars': [[f's/{name}', float(x)] for name, x in zip(names, np.float32(drawn['losses']))],
                'picture': np.uint8(picture), 'dtype': 'uint8'}
    images, losses = adam(drawn['start'], drawn['target'], LAST)
    return {'straight_image': images[-1], 'straight_losses': losses, 'resumed_image': images[-1],
            'events': [3, 6, 7], 'checkpoints': [5, 7]}


@pytest.mark.parametrize('item', points.ITEMS)
def test_right_values_pass_with_every_seed(item):
    for seed in SEEDS:
        drawn = verdicts.draw_inputs(points.run_item(item), seed)
        assert verdicts.judge(item, right_values(points.run_item(item), drawn), drawn) is None, seed


def insert_mistake(item, values, drawn, index, wrong):
    """Return the values with the value of a mistake in place of case number `index` of `verdicts.EXPECTED`."""
    if item == 'conv2d_relu':
        return values | {('output', 'before_relu', 'second')[index]: wrong}
    if item in ('avgpool', 'maxpool'):
        return {'output': wrong}
    if item == 'optimize':
        return values | {'images': [drawn['start'], drawn['start'] + wrong, drawn['start'] + 2 * wrong]}
    if item == 'train':
        losses = list(values['straight_losses'])
        return values | {'straight_image': drawn['start'],
                         'straight_losses': [*losses[:index], wrong, *losses[index + 1:]]}
    return single_try(wrong)


@pytest.mark.parametrize(
    'item', [item for item in points.ITEMS if item in verdicts.EXPECTED and item != 'create_summary']
)
def test_every_known_mistake_is_named_with_every_seed(item):
    for seed in SEEDS:
        drawn = verdicts.draw_inputs(item, seed)
        values = right_values(item, drawn)
        for index, case in enumerate(verdicts.EXPECTED[item](drawn)):
            for wrong, text in case.misconceptions:
                values_with_mistake = insert_mistake(item, values, drawn, index, wrong)
                assert text in verdicts.judge(item, values_with_mistake, drawn), (seed, text)


def test_training_from_zeros_never_passes():
    """Even if the first loss is close by chance, the last image differs."""
    for seed in SEEDS:
        drawn = verdicts.draw_inputs('train', seed)
        images, losses = adam(np.zeros_like(drawn['start']), drawn['target'], LAST)
        values = right_values('train', drawn) | {'straight_image': images[-1], 'straight_losses': losses}
        assert 'begins from zeros' in verdicts.judge('train', values, drawn)


@pytest.mark.parametrize('change, message', [
    ({'tries': [[1.]]}, 'but of shape (1,)'), ({'kinds': ['list']}, 'but in a list'),
    ({'kinds': ['float64']}, 'but float64')])
def test_a_right_number_of_the_wrong_type_is_wrong(change, message):
    for item in ('_content_loss', '_single_style_loss', '_style_loss', 'losses'):
        drawn = verdicts.draw_inputs(item, 0)
        values = right_values(item, drawn)
        changed = {'tries': [[values['tries'][0]]]} if 'tries' in change else change
        assert message in verdicts.judge(item, values | changed, drawn)


def test_one_right_try_of_several_is_enough():
    drawn = verdicts.draw_inputs('_single_style_loss', 0)
    x = right_values('_single_style_loss', drawn)['tries'][0]
    for tries in ([x, 2 * x], [2 * x, x]):
        assert verdicts.judge('_single_style_loss', {'tries': tries, 'kinds': 2 * ['float32']}, drawn) is None
    wrong = {'tries': [2 * x, 3 * x], 'kinds': 2 * ['float32']}
    assert '2× that' in verdicts.judge('_single_style_loss', wrong, drawn)


@pytest.mark.parametrize('item, change, message', [
    ('summaries', {'events': []}, 'no summary was written'),
    ('summaries', {'events': [0]}, 'iterations 0, expected 3, 6, 7'),
    ('checkpoints', {'checkpoints': []}, 'no checkpoint was written'),
    ('checkpoints', {'checkpoints': [5]}, 'the last iteration, 7, has no checkpoint: there are checkpoints of 5'),
    ('restore', {'resuming': 'KeyError: 1'}, 'when the run is resumed: KeyError: 1'),
    ('restore', {'resumed_image': []}, 'does not finish'),
    ('restore', {'resumed_image': np.zeros((1, 4, 5, 3))}, 'are all variables restored?')])
def test_summaries_checkpoints_and_resuming_are_graded_separately(item, change, message):
    drawn = verdicts.draw_inputs('train', 0)
    values = right_values('train', drawn) | change
    assert message in verdicts.judge(item, values, drawn)
    others = [other for other in points.SHOWN_BY_TRAINING if other != item]
    assert [verdicts.judge(other, values, drawn) for other in others] == [None, None]


def test_points_exist_for_exactly_the_graded_items_and_sum_to_100():
    assert set(points.ITEMS) == set(verdicts.JUDGES) and sum(points.ITEMS.values()) == 100
    assert {points.run_item(item) for item in points.ITEMS} == set(verdicts.EXPECTED) == set(inputs.ITEM_INPUTS)
