"""The L-BFGS search against SciPy's L-BFGS-B and the explicit matrix, and its state in the checkpoints of runs."""

import math

import numpy as np
import pytest
import scipy.optimize

import recipes
from common.tf1 import tf
from engine.optim import lbfgs
from style_transfer import StyleTransfer
from tests.assertions import assert_close


def rosenbrock(x):
    """Return the value and the gradient, float64, of the Rosenbrock function at a point of any shape."""
    x = np.float64(x)
    return scipy.optimize.rosen(x.ravel()), scipy.optimize.rosen_der(x.ravel()).reshape(x.shape)


def quadratic(condition, rng, size=40):
    """Return a quadratic function with this condition number; a third of its minimum is outside of −1 to 1."""
    Q, _ = np.linalg.qr(rng.normal(size=(size, size)))
    A, center = Q * np.geomspace(1, condition, size) @ Q.T, rng.normal(size=size)

    def function(x):
        gradient = A @ (np.float64(x) - center)
        return (x - center) @ gradient / 2, gradient
    return function


def evaluate_search(function, search, limit):
    """Yield the points and the values of up to `limit` evaluations."""
    for _ in range(limit):
        if search.has_converged:
            return
        point = search.point
        value, gradient = function(point)
        search.tell(value, gradient)
        yield point, value


def our_values(function, start, lower, upper, limit):
    """Return the smallest value so far after each evaluation by our search."""
    search = lbfgs.Search(start, lower, upper)
    return np.minimum.accumulate([value for _, value in evaluate_search(function, search, limit)])


def scipy_values(function, start, lower, upper, limit):
    """Return the smallest value so far after each evaluation by SciPy, whose first step is scaled like ours."""
    scale, values = np.abs(function(start)[1]).mean(), []

    def record(x):
        value, gradient = function(x.reshape(start.shape))
        values.append(float(value))
        return value / scale, np.float64(gradient).ravel() / scale
    bounds = scipy.optimize.Bounds(*(np.broadcast_to(bound, start.shape).ravel() for bound in (lower, upper)))
    scipy.optimize.minimize(record, np.float64(start).ravel(), jac=True, method='L-BFGS-B', bounds=bounds,
                            options=dict(maxcor=lbfgs.MEMORY_PAIRS, ftol=0, gtol=0, maxfun=limit))
    return np.minimum.accumulate(values[:limit])


def compare_evaluations(function, start, lower, upper, limit=40):
    """Return how many evaluations SciPy and we need for SciPy's decrease in `limit` evaluations, less 0.01 %."""
    theirs, ours = (values(function, start, lower, upper, n)
                    for values, n in ((scipy_values, limit), (our_values, limit * 3 // 2)))
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5)
    target = theirs[-1] + 1e-4 * (theirs[0] - theirs[-1])
    return [np.argmax(values <= target) + 1 if values[-1] <= target else math.inf for values in (theirs, ours)]


@pytest.mark.parametrize('condition, bound, allowed', [(10., 1, 1.1), (1e5, 1, 1.2), (1e4, 99, 1.05)])
def test_quadratics_need_hardly_more_evaluations_than_by_scipy(condition, bound, allowed):
    """Without active bounds, both need equally many; with a third of the coordinates at a bound, 3 to 10 % more."""
    rng = np.random.default_rng(0)
    theirs, ours = np.sum([compare_evaluations(quadratic(condition, rng), np.float32(rng.uniform(-1, 1, 40)), -bound,
                                               bound) for _ in range(4)], axis=0)
    assert ours <= allowed * theirs


def test_rosenbrock_functions_need_hardly_more_evaluations_than_by_scipy():
    rng = np.random.default_rng(1)
    theirs, ours = np.sum([compare_evaluations(rosenbrock, np.float32(rng.uniform(-1.5, 1.5, 20)), -2, 1.5)
                           for _ in range(4)], axis=0)
    assert ours <= 1.15 * theirs


@pytest.mark.parametrize('recipe', [recipes.LBFGS_TUTORIAL, recipes.GATYS], ids=lambda recipe: recipe.name)
def test_pictures_need_hardly_more_evaluations_than_by_scipy(images, tiny_vgg, workdir, unoptimized_graphs, recipe):
    """With real weights, they need 3 to 5 % more or less; a picture as small as this one varies more."""
    machine = StyleTransfer(*images, 48, 32, recipe=recipe, vgg=tiny_vgg)
    with machine.graph.as_default():
        machine.create_input()
        machine.load_vgg()
        machine.losses()
        fetches = [machine.total_loss, *tf.gradients(machine.total_loss, machine.input_img)]
        with machine.open_session() as sess:
            def function(image):
                sess.run(machine.assign_img, {machine.new_img: image})
                return sess.run(fetches)
            theirs, ours = compare_evaluations(function, machine.centered_start, -machine.vgg.mean_pixels,
                                               255 - machine.vgg.mean_pixels)
    assert ours <= 1.4 * theirs


@pytest.mark.parametrize('n_pairs, n_free', [(1, 8), (4, 8), (lbfgs.MEMORY_PAIRS, 8), (4, 5)])
def test_the_two_loop_recursion_is_the_explicit_product_with_the_inverse_hessian(n_pairs, n_free):
    """The matrix H is updated by equation 6.17 of Nocedal and Wright, with the free coordinates of the pairs only."""
    rng = np.random.default_rng(n_pairs)
    free, gradient = np.arange(8) < n_free, np.float32(rng.normal(size=8))
    hessian = np.diag(rng.uniform(1, 3, 8)) + 0.1  # Restricted to some coordinates, it is positive definite too.
    steps = np.float32(rng.normal(size=(n_pairs, 8)) * free)
    pairs = [np.stack([s, np.float32(hessian @ s)]) for s in steps]
    search = lbfgs.Search(np.zeros(8, np.float32), -1, 1)
    search.pairs, search.gradient = pairs, gradient
    direction = search._quasi_newton_direction(free)
    H, terms = None, 0
    for s, y in np.float64(pairs)[:, :, :n_free]:
        rho = 1 / (s @ y)
        if H is None:
            s_last, y_last = np.float64(pairs)[-1, :, :n_free]
            H = np.eye(n_free) * (s_last @ y_last) / (y_last @ y_last)
        V = np.eye(n_free) - rho * np.outer(y, s)
        H = V.T @ H @ V + rho * np.outer(s, s)
        terms = max(terms, np.linalg.norm(V, 2) ** 2)
    scale = max(terms, np.linalg.norm(H, 2)) * np.linalg.norm(gradient)
    assert_close(direction[:n_free], -H @ np.float64(gradient[:n_free]), scale=scale, rel=1e-5)
    assert (direction[n_free:] == 0).all()


@pytest.mark.parametrize('factor', [2. ** -40, 1e-4, 3., 1e11])
def test_scaling_the_function_changes_no_point(factor):
    """Losses are 10⁶ to 10¹¹ and users choose their weights; a power of two as factor changes no bit."""
    def points(factor):
        def function(x):
            value, gradient = rosenbrock(x)
            return factor * value, factor * gradient
        search = lbfgs.Search(np.float32([[-1.2, 1.], [0.5, 1.5]]), -2, 1.5)
        return [point for point, _ in evaluate_search(function, search, 30)]
    np.testing.assert_allclose(points(factor), points(1.), atol=0 if factor == 2. ** -40 else 1e-2)


def test_the_first_step_changes_a_pixel_by_one_on_average():
    gradient = np.float32([[3., -1.], [0.5, 1.5]])
    search = lbfgs.Search(np.zeros((2, 2), np.float32), -9, 9)
    search.tell(5., gradient)
    np.testing.assert_allclose(search.point, -gradient / 1.5, rtol=1e-6)


def test_a_start_with_zero_gradient_ends_the_search():
    search = lbfgs.Search(np.zeros(3, np.float32), -1, 1)
    assert len(list(evaluate_search(lambda x: (0., np.zeros(3)), search, 9))) == 2
    assert search.has_converged and search.value == 0 and (search.best == 0).all()


def test_points_stay_within_the_bounds():
    search, lower = lbfgs.Search(np.float32([5, -5]), np.float32([-1, -2]), 3), np.float32([-1, -2])
    for point, _ in evaluate_search(lambda x: (((x - [10, -10]) ** 2).sum(), 2 * (x - [10, -10])), search, 20):
        assert (point >= lower).all() and (point <= 3).all()
    assert search.has_converged
    np.testing.assert_array_equal(search.best, [3, -2])


def test_a_stalled_search_is_restarted_once_and_then_ends():
    search = lbfgs.Search(np.ones(3, np.float32), -10, 10)
    # The value contradicts the slope, so no step succeeds.
    points = [point for point, _ in evaluate_search(lambda x: (1., np.ones(3)), search, 1000)]
    assert search.has_converged and len(points) <= 2 * (1 + lbfgs.MAX_TRIALS)
    starts = [i for i, point in enumerate(points) if (point == 1).all()]
    assert starts == [0, len(points) // 2] and (search.best == 1).all()


def test_a_line_search_without_a_flat_point_returns_to_its_best_point():
    """The slope is the same everywhere, so the trials run out; the best of them is evaluated again and accepted."""
    search = lbfgs.Search(np.zeros(1, np.float32), -1e9, 1e9)
    search.tell(0., -np.ones(1))
    points = []
    while search.point not in points:
        points.append(search.point)
        search.tell(-float(search.point[0]) if len(points) <= 3 else 99., -np.ones(1))
    assert len(points) <= lbfgs.MAX_TRIALS and points[:3] == [1, 4, 16]
    assert search.point == search.best == 16
    search.tell(-16., -np.ones(1))
    assert search.n_stalls == 0 and search.start == 16 and search.point > 16


def test_the_best_point_is_kept_if_a_line_search_overshoots():
    search = lbfgs.Search(np.zeros(2, np.float32), -10, 10)
    search.tell(3., np.ones(2))
    better = search.point.copy()
    search.tell(1., np.ones(2))
    assert (search.point != better).any()
    search.tell(2., -np.ones(2))
    assert search.value == 1 and (search.best == better).all()


@pytest.mark.parametrize('beyond', [(math.nan, 0.), (math.inf, 1.), (-math.inf, 1.), (-5., math.nan),
                                    (-5., math.inf)])
def test_steps_to_values_or_gradients_that_are_not_finite_are_shortened(beyond):
    def function(x):
        """Return (x₀ − 0.2)² + x₁²; beyond 0.5 it is not finite."""
        offset = x - [0.2, 0]
        return (offset @ offset, 2 * offset) if (np.abs(x) < 0.5).all() else (beyond[0], np.full(2, beyond[1]))
    search = lbfgs.Search(np.float32([-0.4, 0.3]), -10, 10)
    values = [value for _, value in evaluate_search(function, search, 60)]
    assert not np.isfinite(values).all() or -5 in values
    np.testing.assert_allclose(search.best, [0.2, 0], atol=1e-3)
    assert 0 <= search.value < 1e-6


def test_a_start_whose_value_is_not_finite_ends_the_search():
    search = lbfgs.Search(np.ones(2, np.float32), -10, 10)
    list(evaluate_search(lambda x: (math.nan, np.ones(2)), search, 100))
    assert search.has_converged and (search.best == 1).all()


# ------------------------------------------------------------------------------------------------- state, and resuming

def wavy(x):
    """Return the value and the gradient of a valley with waves, in which line searches need several trials."""
    value, gradient = rosenbrock(x)
    return value + 20 * (1 - np.cos(6 * x)).sum(), gradient + 120 * np.sin(6 * x)


def test_a_restored_search_asks_for_the_same_points_from_every_evaluation_on():
    start = np.float32(np.random.default_rng(2).uniform(-2, 2, (2, 3)))
    straight = [point for point, _ in evaluate_search(wavy, lbfgs.Search(start, -2, 1.5), 100)]
    search, restored, trials, stored, stalls = lbfgs.Search(start, -2, 1.5), [], set(), 0, set()
    for _ in straight:
        restored.append(search.point)
        search.tell(*wavy(search.point))
        trials.add(search.n_trials)
        stalls.add(search.n_stalls)
        stored = max(stored, search.n_stored)
        other = lbfgs.Search(search.best.copy(), -2, 1.5)
        other.restore({name: array.copy() for name, array in search.state().items()})
        assert other.has_converged == search.has_converged and other.value == search.value
        search = other
    np.testing.assert_array_equal(restored, straight)
    assert {1, 2} <= trials and stored > lbfgs.MEMORY_PAIRS and {0, 1} <= stalls


def test_arrays_of_the_state_are_replaced_and_never_changed():
    """The optimizer assigns only the arrays that are new."""
    search, before = lbfgs.Search(np.float32([-1.2, 1, 0.5]), -2, 1.5), {}
    for _ in evaluate_search(wavy, search, 40):
        assert all((array == copy).all() for array, copy in before.values())
        state = search.state()
        new = {name for name in state if name not in before or state[name] is not before[name][0]}
        assert len({name for name in new if name.startswith('pair')}) <= 1
        before |= {name: (array, array.copy()) for name, array in state.items()}


@pytest.fixture(scope='module')
def lbfgs_machine(images, tiny_vgg, tmp_path_factory, unoptimized_graphs):
    """Build a `StyleTransfer` with L-BFGS whose run is in a folder of its own."""
    machine = StyleTransfer(*images, 48, 32, recipe=recipes.GATYS, vgg=tiny_vgg, name='r',
                            folder=tmp_path_factory.mktemp('lbfgs'))
    machine.build()
    return machine


def result_files(machine):
    """Return the contents of final.png and losses.csv."""
    return (machine.run.outputs / 'final.png').read_bytes(), (machine.run.checkpoints / 'losses.csv').read_text()


def test_a_run_that_is_resumed_at_many_iterations_has_the_same_bits(lbfgs_machine, monkeypatch, capsys):
    machine = lbfgs_machine
    machine.train(24)
    expected, trials = result_files(machine), []
    monkeypatch.setattr(machine, 'checkpoint_every', 1)
    accept = lbfgs.Search.restore
    monkeypatch.setattr(lbfgs.Search, 'restore',
                        lambda search, state: (accept(search, state), trials.append(search.n_trials)))
    for n_iters in (1, 2, 3, 5, 8, 11, 12, 17, 24):
        assert machine.train(n_iters, restart=n_iters == 1, write_results=n_iters == 24).step == n_iters
    assert result_files(machine) == expected
    assert len(trials) == 8 and any(trials)  # Some checkpoints were in the middle of a line search.
    assert capsys.readouterr().out.endswith('r: resuming at iteration 17\n')


def test_the_checkpoint_has_the_state_in_variables_that_are_not_trained(lbfgs_machine):
    with lbfgs_machine.graph.as_default():
        assert [variable.op.name for variable in tf.trainable_variables()] == ['input/in_img']
    names = {f'optimizer/lbfgs/{name}' for name in lbfgs_machine.search_state}
    assert len(names) == lbfgs.MEMORY_PAIRS + 4
    lbfgs_machine.train(2)
    reader = lbfgs_machine.run._reader(lbfgs_machine.run.latest_step())
    assert set(reader.get_variable_to_shape_map()) == names | {'input/in_img', 'input/global_step'}
