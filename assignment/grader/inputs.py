"""The small random inputs that an item is tried on. Only the grader makes them: a submission sees those of one item."""

import numpy as np

ITERATIONS = 7, 12  # of the first training and of the resumed one, step 5
LOG_EVERY = 3  # iterations between its summaries


def draw(item, rng):
    """name -> array or number, for a key of `ITEM_INPUTS`.

    rng: a NumPy generator
    """
    def normal(*shape, deviation=1.):
        return rng.normal(0, deviation, shape).astype(np.float32)
    return ITEM_INPUTS[item](rng, normal)


def _image(normal):
    return {'image': normal(1, 5, 7, 3, deviation=40), 'mean_pixels': np.float32([120, 110, 100])}


def _layers(rng, normal):
    """Two layers of VGG, both over the image: one alone could be written in by its name."""
    return _image(normal) | {name: (normal(3, 3, 3, n, deviation=0.2), normal(n, deviation=20))
                             for name, n in (('conv1_1', 4), ('conv1_2', 6))}


def _maps(rng, normal):
    return {'P': np.abs(normal(1, 3, 4, 5, deviation=3)), 'F': np.abs(normal(1, 3, 4, 5, deviation=3))}


def _maps_and_grams(rng, normal):
    maps = _maps(rng, normal)
    rows = {name: x.reshape(-1, x.shape[-1]) for name, x in maps.items()}
    return maps | {'A': rows['P'].T @ rows['P'], 'G': rows['F'].T @ rows['F']}


def _values_of_layers(rng, normal):
    a = np.float32(rng.uniform(1, 9, 5))
    return {'a': a, 'g': a + np.float32(rng.uniform(1, 3, 5))}


def _losses_and_weights(rng, normal):
    return {'weights': rng.uniform([0.1, 2, 3, 5], [0.3, 3, 4, 9])}


def _start_and_target(rng, normal):
    return {'start': normal(1, 4, 5, 3, deviation=30), 'target': normal(1, 4, 5, 3, deviation=200)}


def _losses_and_image(rng, normal):
    mean = np.float32([123, 117, 104])
    shown = rng.uniform(-60, 320, (1, 4, 6, 3)).astype(np.float32)
    return {'losses': rng.uniform(1, 9, 3), 'mean_pixels': mean, 'centered': shown - mean}


ITEM_INPUTS = {
    'conv2d_relu': _layers,
    'avgpool': lambda rng, normal: _image(normal), 'maxpool': lambda rng, normal: _image(normal),
    '_content_loss': _maps, '_gram_matrix': lambda rng, normal: {'F': _maps(rng, normal)['F']},
    '_single_style_loss': _maps_and_grams, '_style_loss': _values_of_layers, 'losses': _losses_and_weights,
    'optimize': lambda rng, normal: _start_and_target(rng, normal) | {'rate': rng.uniform(3, 7)},
    'create_summary': _losses_and_image,
    'train': lambda rng, normal: _start_and_target(rng, normal) | {
        'other_start': normal(1, 4, 5, 3, deviation=300), 'iterations': ITERATIONS, 'log_schedule': LOG_EVERY},
}
