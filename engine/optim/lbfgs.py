"""SciPy's L-BFGS-B turned around: it is asked for points and told their values, so that the caller keeps the loop."""

import queue
import threading

import numpy as np
import scipy

MEMORY_PAIRS = 10  # of steps and gradient changes that it remembers
UNLIMITED = 2**31 - 1
FIRST_STEP = 1.  # the mean of what its first step adds to a number of the point, in the units of these


class Search:
    """The minimum of a function between bounds, by L-BFGS-B (Byrd, Lu, Nocedal and Zhu 1995).

    Where nothing is known of the curvature its first step is the gradient, whose size is that of the function. SciPy is
    given the function over a number that makes that step FIRST_STEP: times any factor, the function has the same
    points.

    best: the point of the smallest value told so far, an array of the shape of the start, float32; first the start
    value: that smallest value
    ended: True once neither a line search nor a second one with its memory cleared found anything better

        with Search(start, lower, upper) as search:
            while not search.ended:
                search.tell(*value_and_gradient(search.point))
    """

    def __init__(self, start, lower, upper):
        """start: any shape; lower, upper: what broadcasts to it."""
        self.shape = start.shape
        bounds = [np.broadcast_to(bound, start.shape).ravel() for bound in (lower, upper)]
        self.best = self.point = np.clip(start, lower, upper).astype(np.float32)
        self.value = np.inf
        self.has_converged = False
        # SciPy calls a function and returns at the end only: in a thread of its own it waits for each answer
        self._points, self._answers = queue.SimpleQueue(), queue.SimpleQueue()
        self._thread = threading.Thread(target=self._minimize, args=(scipy.optimize.Bounds(*bounds),), daemon=True)

    def __enter__(self):
        self._thread.start()
        self._next()
        return self

    def __exit__(self, *exception):
        self._answers.put(None)
        self._thread.join()

    def tell(self, value, gradient):
        """The function's value and gradient at `point`; then `point` is the next one."""
        if value < self.value:
            self.best, self.value = self.point, value
        self._answers.put((float(value), np.float64(gradient).ravel()))
        self._next()

    def _next(self):
        point = self._points.get()
        if isinstance(point, Exception):
            raise point
        self.has_converged = point is None
        if not self.has_converged:
            self.point = point.reshape(self.shape).astype(np.float32)

    def _minimize(self, bounds):
        options = dict(maxcor=MEMORY_PAIRS, ftol=0, gtol=0, maxfun=UNLIMITED, maxiter=UNLIMITED)
        try:
            for _ in range(2):  # a line search that stalls is often helped by an empty memory
                self._loss_scale = None
                scipy.optimize.minimize(self._function, np.float64(self.best.ravel()), jac=True, method='L-BFGS-B',
                                        bounds=bounds, options=options)
            self._points.put(None)
        except _SearchAbandoned:
            pass
        except Exception as error:  # too little memory, say; the caller must not wait for ever
            self._points.put(error)

    def _function(self, x):
        self._points.put(x.copy())
        answer = self._answers.get()
        if answer is None:
            raise _SearchAbandoned
        value, gradient = answer
        if self._loss_scale is None:
            self._loss_scale = np.abs(gradient).mean() / FIRST_STEP or 1.
        return value / self._loss_scale, gradient / self._loss_scale


class _SearchAbandoned(Exception):
    """The caller has left the search."""
