"""Tests of `assert_close` with hand-worked numbers."""

import numpy as np
import pytest

from tests.assertions import assert_close


def test_the_error_is_measured_against_the_scale_and_not_against_the_value():
    assert_close(1e-7, 0., scale=1., rel=1e-6)
    assert_close([1., 1000.01], [1., 1000.], scale=1000., rel=2e-5)
    assert_close([[0.1, 10.1]], [[0., 10.]], scale=[[1., 1.]], rel=0.11)
    for actual, expected, message in ((1e-5, 0., 'the error is 1e-05 of the scale, and 1e-06 is allowed'),
                                      ([0., 3.], [0., 3.1], r'3 is not 3.1 at \(1,\)')):
        with pytest.raises(AssertionError, match=message):
            assert_close(actual, expected, scale=1., rel=1e-6)


@pytest.mark.parametrize('actual, expected, scale, message', [
    (np.zeros(3), 0., 1., 'shapes'), (np.nan, np.nan, 1., 'not finite'), (np.inf, np.inf, 1., 'not finite'),
    (1., 1., 0., 'not positive'), (1., 1., -1., 'not positive'), (1., 1., np.inf, 'not positive'),
    ([1., 1.], [1., 1.], [1., 0.], 'not positive')])
def test_values_that_cannot_be_compared_fail(actual, expected, scale, message):
    with pytest.raises(AssertionError, match=message):
        assert_close(actual, expected, scale=scale, rel=1.)
