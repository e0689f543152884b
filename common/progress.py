"""Progress of a training: what its callback receives, how it ended, and the bar and lines that users see."""

import time
from collections.abc import Callable
from typing import NamedTuple

from tqdm import tqdm


class Iteration(NamedTuple):
    """State of a training after an iteration, passed to its callback.

    Attributes:
        step: The iteration, counted from 1.
        losses: Name -> the latest known value: of this iteration if it was logged or saved, else of the one before.
        picture: Function that computes the current picture, uint8 [H, W, 3].
    """
    step: int
    losses: dict[str, float]
    picture: Callable


class Outcome(NamedTuple):
    """How a training ended.

    Attributes:
        step: The last iteration.
        ending: 'finished', 'stopped' (by Ctrl-C or SIGTERM), or 'converged' (the optimizer finds no better
            picture).
        start_step: The iteration from which this training resumed, or 0.
    """
    step: int
    ending: str
    start_step: int


class ProgressBar:
    """Callback and context manager that draws a progress bar if standard error is a terminal."""

    def __init__(self, n_iters: int, cost: Callable[[int], float] = lambda step: 1):
        """Create a bar for `n_iters` iterations.

        Args:
            n_iters: The last iteration.
            cost: Iteration number -> its cost in any unit, so that the remaining time is right if image sizes differ.
        """
        self.n_iters, self.cost = n_iters, cost

    def __enter__(self) -> 'ProgressBar':
        self._bar = None
        return self

    def __exit__(self, *exception):
        if self._bar is not None:
            self._bar.close()

    def __call__(self, iterate: Iteration) -> None:
        if self._bar is None:
            done, left = (sum(map(self.cost, steps)) for steps in (range(1, iterate.step),
                                                                   range(iterate.step, self.n_iters + 1)))
            # disable=None: tqdm draws the bar only on a terminal.
            self._bar = tqdm(total=done + left, initial=done, disable=None,
                             bar_format='{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}')
        self._bar.set_postfix_str(f'iteration {iterate.step}/{self.n_iters}, loss {iterate.losses["total_loss"]:.4g}',
                                  refresh=False)
        self._bar.update(self.cost(iterate.step))


class ProgressLines:
    """Callback and context manager that prints step, loss and time, as CS20 does.

    It prints at the iterations that the recipe logs, and at the last one.
    """

    def __init__(self, recipe, n_iters: int):
        """Create the callback.

        Args:
            recipe: The `recipes.Recipe`, whose `should_log` selects the iterations.
            n_iters: The last iteration.
        """
        self.recipe, self.n_iters = recipe, n_iters

    def __enter__(self) -> 'ProgressLines':
        self._start = time.time()
        return self

    def __exit__(self, *exception):
        pass

    def __call__(self, iterate: Iteration) -> None:
        if self.recipe.should_log(iterate.step) or iterate.step == self.n_iters:
            print(f'Step {iterate.step}\n   Loss: {iterate.losses["total_loss"]:.5g}\n'
                  f'   Took: {time.time() - self._start:.1f} seconds')


def display(recipe, n_iters: int, verbose: bool, cost: Callable[[int], float] = lambda step: 1):
    """Return the callback that shows a training's progress: `ProgressLines` if `verbose`, else a `ProgressBar`.

    The arguments are those of these classes.
    """
    return ProgressLines(recipe, n_iters) if verbose else ProgressBar(n_iters, cost)


def report_ending(outcome: Outcome, name: str, restarted: bool = False) -> bool:
    """Print how a training ended, unless it simply reached its last iteration.

    Args:
        outcome: How the training ended.
        name: The name of the run.
        restarted: Whether --restart was given, which must be left out to continue a stopped run.

    Returns:
        Whether the training ended without being stopped.
    """
    if outcome.ending == 'finished' and outcome.step == outcome.start_step:
        print(f'{name} already finished at iteration {outcome.step}; a larger --iterations continues it, --restart '
              'starts over')
    if outcome.ending == 'stopped':
        command = 'the same command without --restart' if restarted else 'the same command'
        print(f'stopped at iteration {outcome.step}; run {command} to continue from there')
    if outcome.ending == 'converged':
        print(f'converged at iteration {outcome.step}: L-BFGS finds no better picture, even after clearing its memory')
    return outcome.ending != 'stopped'
