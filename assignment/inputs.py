"""The small random inputs that a step is tried on. Grader and probe make them from one seed, which no file holds."""

import numpy as np

ITERATIONS = 7, 12  # of the first training and of the resumed one, step 5


def of_step(step, seed):
    """name -> array, for step 1 to 5."""
    rng = np.random.default_rng((seed, step))

    def normal(*shape, deviation=1.):
        return rng.normal(0, deviation, shape).astype(np.float32)
    if step == 1:
        return {'image': normal(1, 5, 7, 3, deviation=40), 'mean_pixels': np.float32([120, 110, 100]),
                'conv1_1': (normal(3, 3, 3, 4, deviation=0.2), normal(4, deviation=20))}
    if step == 2:
        a, g = np.sort(rng.uniform(1, 9, 10)).astype(np.float32).reshape(5, 2).T
        return {'P': np.abs(normal(1, 3, 4, 5, deviation=3)), 'F': np.abs(normal(1, 3, 4, 5, deviation=3)),
                'a': a, 'g': g ** 2, 'weights': rng.uniform([0.1, 2, 3, 5], [0.3, 3, 4, 9])}
    if step == 3:
        return {'start': normal(1, 4, 5, 3, deviation=30), 'target': normal(1, 4, 5, 3, deviation=200),
                'rate': rng.uniform(3, 7)}
    if step == 4:
        mean = np.float32([123, 117, 104])
        shown = rng.uniform(-60, 320, (1, 4, 6, 3)).astype(np.float32)
        return {'losses': rng.uniform(1, 9, 3), 'mean_pixels': mean, 'centred': shown - mean}
    return {'start': normal(1, 4, 5, 3, deviation=30), 'target': normal(1, 4, 5, 3, deviation=200),
            'other_start': normal(1, 4, 5, 3, deviation=300)}
