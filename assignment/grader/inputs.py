"""Small random inputs on which the items of the assignment are run.

Only the grader draws inputs. The process that runs a submission gets them for one item at a time.
"""

import numpy as np

ITERATIONS = 7, 12  # step 5: last iterations of the interrupted and of the resumed training
LOG_EVERY = 3  # iterations between summaries


def draw(item: str, rng: np.random.Generator) -> dict:
    """Draw the inputs of an item.

    Args:
        item: a key of `ITEM_INPUTS`.
        rng: random generator; it is advanced.

    Returns:
        Name -> array, number or pair; images, features, filters and biases are float32.
    """
    def normal(*shape, deviation=1.):
        return rng.normal(0, deviation, shape).astype(np.float32)
    return ITEM_INPUTS[item](rng, normal)


def _image(normal):
    """Draw a mean-centered image [1, 5, 7, 3], whose odd sides show how pooling treats the edge, and VGG's mean."""
    return {'image': normal(1, 5, 7, 3, deviation=40), 'mean_pixels': np.float32([120, 110, 100])}


def _layers(rng, normal):
    """Draw an image and the filters and biases of two VGG layers, both applied to the image.

    With one layer only, code that always uses the filters of that layer would pass.
    """
    return _image(normal) | {name: (normal(3, 3, 3, n, deviation=0.2), normal(n, deviation=20))
                             for name, n in (('conv1_1', 4), ('conv1_2', 6))}


def _maps(rng, normal):
    """Draw the features P and F of two images at one layer, [1, 3, 4, 5] and not negative."""
    return {'P': np.abs(normal(1, 3, 4, 5, deviation=3)), 'F': np.abs(normal(1, 3, 4, 5, deviation=3))}


def _maps_and_grams(rng, normal):
    """Draw the features P and F of two images, with their Gram matrices A and G, [5, 5]."""
    maps = _maps(rng, normal)
    rows = {name: x.reshape(-1, x.shape[-1]) for name, x in maps.items()}
    return maps | {'A': rows['P'].T @ rows['P'], 'G': rows['F'].T @ rows['F']}


def _layer_values(rng, normal):
    """Draw one value for each of the five style layers, of the style image (a) and of the trained image (g)."""
    a = np.float32(rng.uniform(1, 9, 5))
    return {'a': a, 'g': a + np.float32(rng.uniform(1, 3, 5))}


def _losses_and_weights(rng, normal):
    """Draw α, β, the content loss and the style loss."""
    return {'weights': rng.uniform([0.1, 2, 3, 5], [0.3, 3, 4, 9])}


def _start_and_target(rng, normal):
    """Draw a starting image and the image at which the stand-in for the loss has its minimum, [1, 4, 5, 3]."""
    return {'start': normal(1, 4, 5, 3, deviation=30), 'target': normal(1, 4, 5, 3, deviation=200)}


def _losses_and_image(rng, normal):
    """Draw three losses and a mean-centered image [1, 4, 6, 3]; some of its uncentered values are not in 0 to 255."""
    mean = np.float32([123, 117, 104])
    image = rng.uniform(-60, 320, (1, 4, 6, 3)).astype(np.float32)
    return {'losses': rng.uniform(1, 9, 3), 'mean_pixels': mean, 'centered': image - mean}


ITEM_INPUTS = {
    'conv2d_relu': _layers,
    'avgpool': lambda rng, normal: _image(normal), 'maxpool': lambda rng, normal: _image(normal),
    '_content_loss': _maps, '_gram_matrix': lambda rng, normal: {'F': _maps(rng, normal)['F']},
    '_single_style_loss': _maps_and_grams, '_style_loss': _layer_values, 'losses': _losses_and_weights,
    'optimize': lambda rng, normal: _start_and_target(rng, normal) | {'rate': rng.uniform(3, 7)},
    'create_summary': _losses_and_image,
    'train': lambda rng, normal: _start_and_target(rng, normal) | {
        'other_start': normal(1, 4, 5, 3, deviation=300), 'iterations': ITERATIONS, 'log_schedule': LOG_EVERY},
}
