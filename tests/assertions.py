"""The comparison that tests share, whose tolerance holds on any processor."""

import numpy as np


def assert_close(actual, expected, *, scale, rel, note=''):
    """Check that |actual − expected| ≤ rel · scale, elementwise.

    Processors sum in different orders, so a float32 result has an error in proportion to what was summed, not to the
    sum, which may be near zero. Therefore the scale has to be named: the largest term, a norm, or a product of norms.

    Args:
        actual, expected: numbers, or arrays of one shape.
        scale: a positive number, or an array of the same shape; the size of what was summed.
        rel: the error that is allowed, as a fraction of `scale`.
        note: what the comparison is about, for the message.

    Raises:
        AssertionError: if the shapes differ, the scale is not positive and finite, a value is not finite, or the error
            is too large.
    """
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    scale = np.asarray(scale, np.float64)
    assert actual.shape == expected.shape, f'{note}: the shapes {actual.shape} and {expected.shape} differ'
    assert np.isfinite(scale).all() and (scale > 0).all(), f'{note}: the scale {scale} is not positive and finite'
    assert np.isfinite(actual).all() and np.isfinite(expected).all(), f'{note}: some values are not finite'
    error = np.abs(actual - expected) / scale
    worst = np.unravel_index(error.argmax(), error.shape) if error.size else ()
    assert error.size == 0 or error[worst] <= rel, (
        f'{note}: {actual[worst]:.9g} is not {expected[worst]:.9g} at {tuple(map(int, worst))}: '
        f'the error is {error[worst]:.3g} of the scale, and {rel:.3g} is allowed')
