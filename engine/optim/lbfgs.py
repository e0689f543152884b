"""SciPy's L-BFGS-B (Byrd, Lu, Nocedal and Zhu 1995) with an ask-and-tell interface: the caller runs the loop."""

import queue
import threading
from collections.abc import Iterator

import numpy as np
import scipy

from common.tf1 import tf
from engine.optim.optimizer import Optimizer

MEMORY_PAIRS = 10  # pairs of steps and gradient changes that L-BFGS remembers
MAX_CALLS = 2**31 - 1
FIRST_STEP_CHANGE = 1.  # mean change of a pixel in the first step, in pixel values


class LBFGS(Optimizer):
    """SciPy's L-BFGS-B; pixels stay within 0 to 255, because these are the bounds of the problem."""

    bytes_per_pixel = 760  # for SciPy's pairs, in float64
    resumes_exactly = False  # SciPy gives no access to its memory
    takes_bfloat16 = False  # its line search needs exact values

    def build(self, machine) -> None:
        """Add the gradient of the loss, which SciPy needs."""
        machine.gradient, = tf.gradients(machine.total_loss, machine.input_img)

    def steps(self, machine, sess: tf.Session) -> Iterator[dict]:
        """Evaluate the loss at each point that SciPy asks for; `input_img` is then set to the best point so far."""
        machine.has_converged = False
        lower, upper = -machine.vgg.mean_pixels, 255 - machine.vgg.mean_pixels
        with Search(sess.run(machine.input_img), lower, upper) as search:
            while not machine.has_converged:
                sess.run(machine.assign_img, {machine.new_img: search.point})
                losses, gradient = sess.run([machine.loss_terms, machine.gradient])
                search.tell(losses['total_loss'], gradient)
                sess.run(machine.assign_img, {machine.new_img: search.best})  # A line search may overshoot.
                machine.has_converged = search.has_converged
                yield losses


class Search:
    """Search for the minimum of a function within bounds.

    The caller evaluates the function at `point` and reports the result with `tell`:

        with Search(start, lower, upper) as search:
            while not search.has_converged:
                search.tell(*value_and_gradient(search.point))

    The first step of L-BFGS is the raw gradient, so its length depends on the scale of the loss. We rescale the loss so
    that the mean absolute change in this step is FIRST_STEP_CHANGE; the iterates are then independent of the scale.

    Attributes:
        point: The point at which the function is to be evaluated next, float32, with the shape of the start.
        best: The point with the smallest value so far; before the first value, the start.
        value: The smallest value so far.
        has_converged: True once L-BFGS has stalled twice: at first, and then again with its memory cleared.
    """

    def __init__(self, start: np.ndarray, lower: np.ndarray, upper: np.ndarray):
        """Set up a search.

        Args:
            start: The first point, of any shape; it is clipped to the bounds.
            lower: The lower bounds, broadcast to the shape of the start.
            upper: The upper bounds, broadcast to the shape of the start.
        """
        self.shape = start.shape
        bounds = [np.broadcast_to(bound, start.shape).ravel() for bound in (lower, upper)]
        self.best = self.point = np.clip(start, lower, upper).astype(np.float32)
        self.value = np.inf
        self.has_converged = False
        # SciPy returns only at the end, so it runs in a separate thread, in which the function waits for the caller.
        self._points, self._answers = queue.SimpleQueue(), queue.SimpleQueue()
        self._thread = threading.Thread(target=self._minimize, args=(scipy.optimize.Bounds(*bounds),), daemon=True)

    def __enter__(self):
        self._thread.start()
        self._next()
        return self

    def __exit__(self, *exception):
        self._answers.put(None)
        self._thread.join()

    def tell(self, value: float, gradient: np.ndarray) -> None:
        """Report the function's value and gradient at `point`, and wait for the next `point`."""
        if value < self.value:
            self.best, self.value = self.point, value
        self._answers.put((float(value), np.float64(gradient).ravel()))
        self._next()

    def _next(self):
        """Wait for the next point that SciPy asks for, or until SciPy ends."""
        point = self._points.get()
        if isinstance(point, Exception):
            raise point
        self.has_converged = point is None
        if not self.has_converged:
            self.point = point.reshape(self.shape).astype(np.float32)

    def _minimize(self, bounds):
        """Run SciPy, in the search's thread."""
        options = dict(maxcor=MEMORY_PAIRS, ftol=0, gtol=0, maxfun=MAX_CALLS, maxiter=MAX_CALLS)
        try:
            for _ in range(2):  # Clearing the memory often helps a line search that has stalled.
                self._loss_scale = None
                scipy.optimize.minimize(self._function, np.float64(self.best.ravel()), jac=True, method='L-BFGS-B',
                                        bounds=bounds, options=options)
            self._points.put(None)
        except _SearchAbandoned:
            pass
        except Exception as error:  # Too little memory, for example; the caller must not wait forever.
            self._points.put(error)

    def _function(self, x):
        """Return the rescaled value and gradient at x, once the caller has reported them."""
        self._points.put(x.copy())
        answer = self._answers.get()
        if answer is None:
            raise _SearchAbandoned
        value, gradient = answer
        if self._loss_scale is None:
            self._loss_scale = np.abs(gradient).mean() / FIRST_STEP_CHANGE or 1.
        return value / self._loss_scale, gradient / self._loss_scale


class _SearchAbandoned(Exception):
    """The caller has left the search."""
