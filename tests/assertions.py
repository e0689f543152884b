"""A comparison of floating-point numbers for tests, with a tolerance that holds on any processor."""

import numpy as np


def assert_close(actual, expected, *, scale, rel, note=''):
    """Check that |actual − expected| ≤ rel · scale, elementwise.

    Processors sum in different orders, so the error of a float32 result is proportional to the terms of the sum, not to
    the sum itself, which may be near zero. The caller therefore names the scale: the largest term, a norm, or a product
    of norms.

    Args:
        actual, expected: numbers, or arrays of the same shape.
        scale: a positive number, or an array of the same shape; the size of the summed terms.
        rel: the largest allowed error, as a fraction of `scale`.
        note: a description of the compared values, for the message.

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
