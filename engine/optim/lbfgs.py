"""Limited-memory BFGS within bounds: an ask-and-tell search, and the optimizer that keeps its state in checkpoints.

Numbers of equations and algorithms are those of Nocedal and Wright, Numerical Optimization, second edition (2006).
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from common.tf1 import tf
from engine.optim.optimizer import Optimizer

MEMORY_PAIRS = 10  # pairs of steps and gradient changes that L-BFGS remembers
FIRST_STEP_CHANGE = 1.  # mean change of a pixel in the first step, in pixel values
SUFFICIENT_DECREASE, CURVATURE = 1e-4, 0.9  # c₁ and c₂ of the strong Wolfe conditions (3.7)
EXPANSION = 4  # factor of the step length while the minimum is farther away
MIN_FRACTION = 0.1  # smallest share of a bracket by which the next step shortens it
MAX_TRIALS = 20  # evaluations per line search
# Names in the state of a search: the start of the line, the gradient there, and the direction.
LINE = 'start', 'gradient', 'direction'
N_SCALARS = 14  # the other numbers of the state


class LBFGS(Optimizer):
    """L-BFGS; pixels stay within 0 to 255, because these are the bounds of the problem."""

    bytes_per_pixel = 700  # The pairs take 240, the line 36, both in NumPy and in variables; the rest is temporary.
    takes_bfloat16 = False  # its line search needs exact values
    added_scopes = 'optimizer/lbfgs/',

    def build(self, machine) -> None:
        """Add the gradient of the loss, and the variables with the state of the search, zeros before it begins."""
        machine.gradient, = tf.gradients(machine.total_loss, machine.input_img)
        image = machine.input_img.shape.as_list()
        shapes = {'scalars': [N_SCALARS], **dict.fromkeys(LINE, image),
                  **{f'pair{slot}': [2, *image] for slot in range(MEMORY_PAIRS)}}
        machine.search_state = {}  # name -> (variable, its new value, the op that assigns it)
        with tf.variable_scope('lbfgs'):
            for name, shape in shapes.items():
                dtype = tf.float64 if name == 'scalars' else tf.float32
                variable = tf.get_variable(name, shape, dtype, tf.zeros_initializer(), trainable=False)
                value = tf.placeholder(dtype, shape)
                machine.search_state[name] = variable, value, variable.assign(value)

    def steps(self, machine, sess: tf.Session) -> Iterator[dict]:
        """Evaluate the loss at each point that the search asks for; `input_img` is then set to the best point so far.

        Before each yield, the variables have the whole state. A restored run therefore continues exactly, also in the
        middle of a line search.
        """
        search = Search(sess.run(machine.input_img), -machine.vgg.mean_pixels, 255 - machine.vgg.mean_pixels)
        saved = {}
        if sess.run(machine.search_state['scalars'][0]).any():
            # Copy, because a later assignment may change the memory of what the session returns.
            search.restore({name: np.array(sess.run(variable))
                            for name, (variable, _, _) in machine.search_state.items()})
            saved = search.state()
        while True:
            sess.run(machine.assign_img, {machine.new_img: search.point})
            losses, gradient = sess.run([machine.loss_terms, machine.gradient])
            search.tell(losses['total_loss'], gradient)
            sess.run(machine.assign_img, {machine.new_img: search.best})  # A line search may overshoot.
            for name, array in search.state().items():
                if array is not saved.get(name):  # The search replaces arrays and never changes them.
                    _, value, assign = machine.search_state[name]
                    sess.run(assign, {value: array})
                    saved[name] = array
            machine.has_converged = search.has_converged and getattr(machine, 'can_converge', True)
            yield losses


class Trial(NamedTuple):
    """A point of a line search: the step length t, and the value and the slope of the function at x(t)."""
    step: float
    value: float
    slope: float


START = Trial(0., 0., 0.)
UNKNOWN = Trial(math.inf, math.inf, 0.)  # the far end of a bracket that is not found yet


class Search:
    """Search for the minimum of a function within bounds by L-BFGS.

    The caller evaluates the function at `point` and reports the result with `tell`:

        search = Search(start, lower, upper)
        while not search.has_converged:
            search.tell(*value_and_gradient(search.point))

    Each line search follows the path x(t) = clip(x + t·d). A coordinate at a bound is not free, and the direction d is
    zero there, if the gradient drives it outwards (two-metric projection, Bertsekas 1982). Multiplying the function by
    a constant changes no point, because the first step is rescaled to the mean absolute change FIRST_STEP_CHANGE.

    Attributes:
        point: The point at which the function is to be evaluated next, float32, with the shape of the start.
        best: The point with the smallest value so far; before the first value, the start.
        value: The smallest value so far.
        has_converged: True once the search has stalled twice: at first, and then again with its memory cleared.
    """

    def __init__(self, start: np.ndarray, lower: np.ndarray, upper: np.ndarray):
        """Set up a search from a start of any shape, clipped to the bounds, which are broadcast to this shape."""
        self.lower, self.upper = (np.full(start.shape, bound, np.float32) for bound in (lower, upper))
        self.best, self.value, self.n_stalls = np.clip(np.float32(start), self.lower, self.upper), math.inf, 0
        self.gradient = np.zeros_like(self.best)
        self._begin_at_best()

    has_converged = property(lambda self: self.n_stalls > 1)

    def tell(self, value: float, gradient: np.ndarray) -> None:
        """Report the function's value and gradient at `point`; `point` is then the next one."""
        gradient = np.asarray(gradient, np.float32)
        trial = Trial(self.step, float(value), self._slope(gradient))
        if not math.isfinite(trial.value) or not math.isfinite(trial.slope):
            trial = Trial(self.step, math.inf, 0.)  # The line search then goes back to shorter steps.
        if trial.value < self.value:
            self.best, self.value = self.point, trial.value
        if self.step == self.low.step:  # The search begins, or the line search has returned to its best point.
            self._accept(trial, gradient)
        else:
            self._continue_line(trial, gradient)

    def _begin_at_best(self):
        """Clear the memory, and ask for the best point as if a line search ended there."""
        self.pairs, self.n_stored = [], 0
        self.start, self.direction = self.best, np.zeros_like(self.best)
        self.origin, self.low, self.high, self.n_trials = START, START, UNKNOWN, 0
        self._go_to(0.)

    def _accept(self, trial, gradient):
        """End the line search at `point`: remember the pair of step and gradient change, and begin the next line."""
        pair = np.stack([self.point - self.start, gradient - self.gradient])
        if _dot(*pair) > 0:
            self.pairs, self.n_stored = [*self.pairs, pair][-MEMORY_PAIRS:], self.n_stored + 1
        self.start, self.gradient = self.point, gradient
        free = self._can_move(-gradient)
        self.direction = self._quasi_newton_direction(free)
        if not self._slope(gradient) < 0:  # Rounding has spoiled the memory.
            self.pairs, self.n_stored = [], 0
            self.direction = self._quasi_newton_direction(free)
        self.origin = self.low = Trial(0., trial.value, self._slope(gradient))
        self.high, self.n_trials = UNKNOWN, 0
        if self.origin.slope < 0 and trial.value < math.inf:
            self._go_to(1.)
        else:
            self._stall()

    def _stall(self):
        self.n_stalls += 1
        self._begin_at_best()

    def _quasi_newton_direction(self, free):
        """Return −H·gradient in the subspace of the free coordinates, by the two-loop recursion (Algorithm 7.4)."""
        q, used = self.gradient * free, []
        for s, y in reversed(self.pairs):
            y_free = y * free
            sy = _dot(s, y_free)
            if sy > 0:
                alpha = _dot(s, q) / sy
                used.append((s, y, sy, alpha))
                if len(used) == 1:
                    gamma = sy / _dot(y_free, y_free)  # the scale of H before the pairs (equation 7.20)
                q -= np.float32(alpha) * y_free
        if not used:
            gamma = FIRST_STEP_CHANGE / (np.abs(q).mean(dtype=np.float64) or 1.)
        q *= np.float32(gamma)
        for s, y, sy, alpha in reversed(used):
            q += np.float32(alpha - _dot(y, q) / sy) * s * free
        return -q

    def _continue_line(self, trial, gradient):
        """Continue the line search (Algorithms 3.5 and 3.6), whose bracket is from `low`, the better end, to `high`."""
        value, slope = self.origin.value, self.origin.slope
        if trial.value > value + SUFFICIENT_DECREASE * trial.step * slope or trial.value >= self.low.value:
            self.high = trial
        elif abs(trial.slope) <= -CURVATURE * slope:
            self._accept(trial, gradient)
            return
        else:
            if trial.slope * (self.high.step - self.low.step) >= 0:
                self.high = self.low
            self.low = trial
        self.n_trials += 1
        step = self._next_step()
        if self.n_trials < MAX_TRIALS and (self._point_at(step) != self._point_at(self.low.step)).any():
            self._go_to(step)
        elif self.low is trial:  # This is no minimum of the line, but better than its start.
            self._accept(trial, gradient)
        elif self.low.step:  # The same is true of an earlier point, whose gradient was not kept.
            self._go_to(self.low.step)
        else:
            self._stall()

    def _next_step(self):
        """Return a longer step or, within a bracket, the minimum of the cubic through its ends (equation 3.59)."""
        (a, value_a, slope_a), (b, value_b, slope_b) = self.low, self.high
        if b == math.inf:
            return EXPANSION * a
        fraction = 0.5  # of the way from a to b, if the cubic has no minimum or the value at b is infinite
        d1 = slope_a + slope_b - 3 * (value_a - value_b) / (a - b)
        radicand = d1 * d1 - slope_a * slope_b
        if 0 <= radicand < math.inf:
            d2 = math.copysign(math.sqrt(radicand), b - a)
            denominator = slope_b - slope_a + 2 * d2
            fraction = 1 - (slope_b + d2 - d1) / denominator if denominator else fraction
        return a + (b - a) * min(max(fraction, MIN_FRACTION), 1 - MIN_FRACTION)

    def _point_at(self, step):
        return np.clip(self.start + np.float32(step) * self.direction, self.lower, self.upper)

    def _go_to(self, step):
        self.step, self.point = step, self._point_at(step)

    def _can_move(self, change):
        """Return where a change does not lead `point` out of the bounds, as bool."""
        return ((self.point > self.lower) | (change > 0)) & ((self.point < self.upper) | (change < 0))

    def _slope(self, gradient):
        """Return the derivative of the function along the path at `point`, NaN if the gradient is not finite."""
        with np.errstate(invalid='ignore'):
            return _dot(gradient * self._can_move(self.direction), self.direction)

    def state(self) -> dict[str, np.ndarray]:
        """Return what `restore` needs, name -> array. A pair keeps its array and its name, 'pair0' to 'pair9'."""
        oldest = self.n_stored - len(self.pairs)
        pairs = {f'pair{i % MEMORY_PAIRS}': pair for i, pair in enumerate(self.pairs, start=oldest)}
        scalars = (*self.origin, *self.low, *self.high, self.step, self.value,
                   self.n_trials, self.n_stalls, self.n_stored)
        return pairs | {name: getattr(self, name) for name in LINE} | {'scalars': np.float64(scalars)}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue another search from its `state`; the start of this one must be the other's best point."""
        *trials, self.step, self.value, n_trials, n_stalls, n_stored = state['scalars'].tolist()
        self.origin, self.low, self.high = (Trial(*trials[i:i + 3]) for i in (0, 3, 6))
        self.n_trials, self.n_stalls, self.n_stored = int(n_trials), int(n_stalls), int(n_stored)
        oldest = max(0, self.n_stored - MEMORY_PAIRS)
        self.pairs = [state[f'pair{i % MEMORY_PAIRS}'] for i in range(oldest, self.n_stored)]
        self.start, self.gradient, self.direction = (state[name] for name in LINE)
        self.point = self._point_at(self.step)


def _dot(a, b):
    """Return the scalar product of two float32 arrays of any shape, summed in float64 in a fixed order."""
    return float(np.einsum('i,i', a.ravel(), b.ravel(), dtype=np.float64))
