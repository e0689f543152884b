"""What a training tells while it runs and how it has ended; the bar and the lines that people see."""

import time
from collections.abc import Callable
from typing import NamedTuple

from tqdm import tqdm


class Iteration(NamedTuple):
    """Where a training stands after an iteration, as its callback gets it.

    step: the iteration; losses: name -> value, the newest there are: of this iteration where it was logged or saved,
    else of the one before; picture: a function that computes it, uint8 [H, W, 3]
    """
    step: int
    losses: dict
    picture: Callable


class Outcome(NamedTuple):
    """How a training has ended.

    step: the iteration reached; ending: 'finished', 'stopped' by Ctrl-C, or 'converged', its optimizer finding nothing
    better; begun: the iteration it went on from
    """
    step: int
    ending: str
    start_step: int


class ProgressBar:
    """A callback that draws a bar, where there is a terminal. Within `with`."""

    def __init__(self, n_iters, cost=lambda step: 1):
        """work: what an iteration takes, in any unit, so that the time left is told right where sizes differ."""
        self.n_iters, self.cost = n_iters, cost

    def __enter__(self):
        self._bar = None
        return self

    def __exit__(self, *exception):
        if self._bar is not None:
            self._bar.close()

    def __call__(self, iterate):
        if self._bar is None:  # disable=None: only a terminal has one
            done, left = (sum(map(self.cost, steps)) for steps in (range(1, iterate.step),
                                                                   range(iterate.step, self.n_iters + 1)))
            self._bar = tqdm(total=done + left, initial=done, disable=None,
                             bar_format='{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}')
        self._bar.set_postfix_str(f'iteration {iterate.step}/{self.n_iters}, loss {iterate.losses["total_loss"]:.4g}',
                                  refresh=False)
        self._bar.update(self.cost(iterate.step))


class ProgressLines:
    """A callback that prints CS20's lines at the iterations that `recipe` logs, and at the last. Within `with`."""

    def __init__(self, recipe, n_iters):
        self.recipe, self.n_iters = recipe, n_iters

    def __enter__(self):
        self._start = time.time()
        return self

    def __exit__(self, *exception):
        pass

    def __call__(self, iterate):
        if self.recipe.should_log(iterate.step) or iterate.step == self.n_iters:
            print(f'Step {iterate.step}\n   Loss: {iterate.losses["total_loss"]:.5g}\n'
                  f'   Took: {time.time() - self._start:.1f} seconds')


def report_ending(outcome, name, restarted=False):
    """Whether training the run `name` was not stopped; say how it ended where that is not by its last iteration."""
    if outcome.ending == 'finished' and outcome.step == outcome.start_step:
        print(f'{name} is finished at iteration {outcome.step}: a larger --iterations goes on, --restart begins again')
    if outcome.ending == 'stopped':
        command = 'the same command without --restart' if restarted else 'the same command'
        print(f'stopped at iteration {outcome.step}; {command} goes on from there')
    if outcome.ending == 'converged':
        print(f'iteration {outcome.step} is the last: L-BFGS finds nothing better, also with its memory cleared')
    return outcome.ending != 'stopped'
