"""Compare coarse-to-fine training with training at one size, by Adam and by L-BFGS: loss over seconds for `modern-1.0`.

    python -m benchmarks.pyramid --width 512 --height 384 --out scales.png

All losses are those of the recipe at the last, largest size. The seconds count from the start of the training and
include building the graphs, so that the smaller sizes count with their full cost.
"""

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import recipes
from benchmarks import figures
from benchmarks.iteration import TimedStyleTransfer
from common import paths
from common.cli import int_in_range
from engine.optim import pyramid
from engine.run import session

LOG_NEVER = ((float('inf'), recipes.MAX_ITERATIONS),)
REFERENCE = 'coarse to fine, Adam'
TIME_LIMIT_FACTOR = 1.5  # time limit of the other methods, as a multiple of the reference's time


class Curve:
    """A training callback that records seconds and total losses, and stops a training that takes too long.

    Args:
        last: Iterations up to this number are not recorded.
        seconds: Time limit in seconds, from the creation of the object.

    Attributes:
        noted: Pairs (seconds, total loss), one for each recorded iteration.
    """

    def __init__(self, last: int, seconds: float = np.inf):
        self.last, self.limit, self.start, self.noted = last, seconds, time.perf_counter(), []

    def __call__(self, iterate):
        """Record an iteration, a `progress.Iteration`; raise TimeoutError after the time limit."""
        seconds = time.perf_counter() - self.start
        if iterate.step > self.last:
            self.noted.append((seconds, iterate.losses['total_loss']))
        if seconds > self.limit:
            raise TimeoutError


def train(size: tuple[int, int], recipe: recipes.Recipe, precision: str, last: int = 0, limit: float = np.inf,
          start: float = 0., **given) -> tuple[np.ndarray, np.ndarray]:
    """Train and record the losses.

    Args:
        size: (width, height) in pixels.
        recipe: The recipe.
        precision: 'float32' or 'bfloat16'.
        last: Iterations up to this number are not recorded.
        limit: Time limit in seconds, including `start`.
        start: Seconds that earlier training took; they are added to the recorded ones.
        **given: Further arguments of `StyleTransfer`.

    Returns:
        The seconds and the total losses of the recorded iterations, both [iterations].
    """
    curve = Curve(last, limit - start)
    machine = TimedStyleTransfer(
        paths.CONTENT, paths.STYLE, *size, recipe=recipe, precision=precision, name='r', **given
    )
    try:
        machine.train_pyramid(curve, restart=True)
    except TimeoutError:
        pass
    seconds, losses = np.transpose(curve.noted)
    return seconds + start, losses


def curves(size: tuple[int, int], precisions: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Train by every method.

    Args:
        size: (width, height) in pixels.
        precisions: Precisions to train in, the fastest first.

    Returns:
        name of the method -> (seconds, losses), REFERENCE first.
    """
    # Without averaging, the losses recorded are those of the iterates themselves.
    recipe = dataclasses.replace(recipes.MODERN_1_0, log_schedule=LOG_NEVER, averaging=0.)
    levels = pyramid.levels(recipe, *size)
    one_size = dataclasses.replace(levels[-1].recipe, iterations=recipes.MAX_ITERATIONS)
    one_size_lbfgs = dataclasses.replace(one_size, optimizer='lbfgs', pixels='free')
    results = {}
    for precision in precisions:
        name = REFERENCE + (f', {precision}' if precision != precisions[0] else '')
        results[name] = train(size, recipe, precision, levels[-1].start_step)
    limit = TIME_LIMIT_FACTOR * results[REFERENCE][0][-1]
    results['one size, Adam'] = train(size, one_size, precisions[0], limit=limit)
    # L-BFGS after coarse to fine: train the smaller sizes as before, and only the last one by L-BFGS.
    coarse = dataclasses.replace(recipe, iterations=levels[-2].end_step - levels[-2].start_step)
    start_time = time.perf_counter()
    smaller = TimedStyleTransfer(
        paths.CONTENT, paths.STYLE, *levels[-2][:2], recipe=coarse, precision=precisions[0], name='r'
    )
    smaller.train_pyramid(restart=True)
    picture = smaller.run.load_variable(levels[-2].end_step, 'input/in_img') + smaller.weights.mean_pixels
    start = time.perf_counter() - start_time
    for precision in precisions:
        suffix = f', {precision}'
        results['coarse to fine, L-BFGS' + suffix] = train(size, one_size_lbfgs, precision, limit=limit, start=start,
                                                           initial_img=pyramid.upsample(picture, *size))
        results['one size, L-BFGS' + suffix] = train(size, one_size_lbfgs, precision, limit=limit)
    return results


def main() -> None:
    """Measure, print a table and plot the curves."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--width', type=int_in_range(256, 4096), default=512,
                        help='width of the picture in pixels (default: %(default)s)')
    parser.add_argument('--height', type=int_in_range(64, 4096), default=384,
                        help='height of the picture in pixels (default: %(default)s)')
    parser.add_argument('--out', type=Path, default=Path('scales.png'), help='the plot to write (default: %(default)s)')
    args = parser.parse_args()
    out, size = args.out.resolve(), (args.width, args.height)
    precisions = ['float32', 'bfloat16'] if session.bfloat16_hardware() else ['float32']
    precisions.sort(key=lambda precision: precision != session.fastest_precision(takes_bfloat16=True))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        results = curves(size, precisions)
        os.chdir(out.parent)
    figures.curves(out, {name: (seconds, np.minimum.accumulate(losses)) for name, (seconds, losses) in results.items()},
                 xlabel='seconds', ylabel=f'lowest total loss so far, {size[0]}×{size[1]}', yscale='log')
    target = results[REFERENCE][1].min()
    print(f'{size[0]}×{size[1]}, {precisions[0]} unless stated otherwise\n\n'
          '| | lowest loss | ratio to the reference | seconds | seconds to the reference\'s loss |\n'
          '|---|---|---|---|---|')
    for name, (seconds, losses) in results.items():
        reached = seconds[np.argmax(losses <= target)] if losses.min() <= target else None
        print(f'| {name} | {losses.min():.4g} | {losses.min() / target:.2f} | {seconds[-1]:.0f} | '
              f'{"not reached" if reached is None else f"{reached:.0f}"} |')


if __name__ == '__main__':
    main()
