"""The L-BFGS search against direct calls of SciPy: its points, its end, and its thread."""

import threading

import numpy as np
import pytest
import scipy.optimize

from engine.optim import lbfgs


def rosenbrock(x):
    """Return the value and the gradient, float64, of the Rosenbrock function at a point of any shape."""
    return scipy.optimize.rosen(np.float64(x).ravel()), scipy.optimize.rosen_der(np.float64(x).ravel())


def test_the_search_evaluates_the_same_points_as_scipy():
    start = np.float32([[-1.2, 1.], [0.5, 1.5]])
    scale = np.abs(rosenbrock(start)[1]).mean()  # The search scales the loss so that the mean first step is 1.
    expected = []

    def record(x):
        # The search rounds points to float32, the type of images.
        expected.append(np.float32(x))
        value, gradient = rosenbrock(expected[-1])
        return value / scale, gradient / scale
    scipy.optimize.minimize(record, np.float64(start.ravel()), jac=True, method='L-BFGS-B', bounds=[(-2, 1.5)] * 4,
                            options=dict(maxcor=10, ftol=0, gtol=0, maxfun=40))
    points = []
    with lbfgs.Search(start, -2, 1.5) as search:
        for _ in expected:
            assert not search.has_converged
            points.append(search.point.ravel())
            search.tell(*rosenbrock(search.point))
    np.testing.assert_array_equal(points, expected)
    assert search.value == min(rosenbrock(point)[0] for point in points)
    np.testing.assert_array_equal(search.best.ravel(), min(points, key=lambda point: rosenbrock(point)[0]))


@pytest.mark.parametrize('factor', [2. ** -40, 1e-4, 3., 1e11])
def test_scaling_the_function_changes_no_point(factor):
    """Losses are 10⁶ to 10¹¹ and users choose their weights; a power of two as factor changes no bit."""
    def points(factor):
        with lbfgs.Search(np.float32([[-1.2, 1.], [0.5, 1.5]]), -2, 1.5) as search:
            for _ in range(40):
                assert not search.has_converged
                yield search.point
                value, gradient = rosenbrock(search.point)
                search.tell(factor * value, factor * gradient)
    np.testing.assert_allclose(list(points(factor)), list(points(1.)), atol=0 if factor == 2. ** -40 else 1e-3)


def test_a_start_with_zero_gradient_ends_the_search():
    with lbfgs.Search(np.zeros(3, np.float32), -1, 1) as search:
        while not search.has_converged:
            search.tell(0., np.zeros(3))
    assert search.value == 0 and (search.best == 0).all()


def test_points_stay_within_the_bounds():
    with lbfgs.Search(np.float32([5, -5]), np.float32([-1, -2]), 3) as search:
        for _ in range(20):
            if search.has_converged:
                break
            assert (search.point >= [-1, -2]).all() and (search.point <= 3).all()
            offset = search.point - [10, -10]
            search.tell((offset ** 2).sum(), 2 * offset)
    np.testing.assert_allclose(search.best, [3, -2])


def test_a_stalled_search_is_restarted_once_and_then_ends():
    points = []
    with lbfgs.Search(np.ones(3, np.float32), -10, 10) as search:
        while not search.has_converged:
            points.append(search.point.copy())
            search.tell(1., np.ones(3))  # The value contradicts the slope, so no step succeeds.
            assert len(points) < 1000
    starts = [i for i, point in enumerate(points) if (point == 1).all()]
    assert starts[0] == 0 and len([i for i in starts if i > 1]) >= 1
    assert (search.best == 1).all()


def test_leaving_the_search_ends_its_thread():
    before = threading.active_count()
    with lbfgs.Search(np.ones(3, np.float32), -10, 10) as search:
        search.tell(*rosenbrock(search.point))
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_an_error_in_scipy_reaches_the_caller(monkeypatch):
    def fail(*args, **kwargs):
        raise MemoryError('no room for the pairs')
    monkeypatch.setattr(scipy.optimize, 'minimize', fail)
    with pytest.raises(MemoryError, match='no room'):
        with lbfgs.Search(np.ones(3, np.float32), -10, 10):
            pass


def test_the_best_point_is_kept_if_a_line_search_overshoots():
    with lbfgs.Search(np.zeros(2, np.float32), -10, 10) as search:
        search.tell(3., np.ones(2))
        better = search.point.copy()
        search.tell(1., np.ones(2))
        assert (search.point != better).any()
        search.tell(2., -np.ones(2))
        assert search.value == 1 and (search.best == better).all()
