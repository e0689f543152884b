"""Compare Adam at several learning rates with L-BFGS on the CS20 recipe: loss over evaluations and over seconds.

    python -m benchmarks.optimizers --out optimizers.png

All optimizers start from the same image, at half of CS20's size. They compute in float32, because L-BFGS needs it and
the seconds must be comparable.
"""

import argparse
import dataclasses
import os
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import recipes
from benchmarks.iteration import IterationTimes, TimedStyleTransfer
from common import paths
from engine.results import figures

WIDTH, HEIGHT = 167, 125
ITERATIONS = 300  # evaluations of the loss and its gradient
# name -> settings of the recipe
OPTIMIZERS = {**{f'Adam {rate:g}': {'learning_rate': float(rate)} for rate in (1, 2, 5, 10)},
              'L-BFGS': {'optimizer': 'lbfgs'}}
REFERENCE = 'Adam 2'  # CS20's optimizer and learning rate


def losses(settings: dict) -> tuple[np.ndarray, np.ndarray]:
    """Train by the CS20 recipe with some settings changed, and record the loss and the time of each evaluation.

    Args:
        settings: Name of a recipe field -> value.

    Returns:
        The lowest total loss so far, and the seconds since the first iteration; both [evaluations].
    """
    machine = TimedStyleTransfer(
        paths.CONTENT,
        paths.STYLE,
        WIDTH,
        HEIGHT,
        recipe=dataclasses.replace(recipes.CS20, log_schedule=((float('inf'), recipes.MAX_ITERATIONS),), **settings),
        precision='float32',
        name='r',
    )
    machine.build()
    times = IterationTimes()
    machine.train(ITERATIONS, times, restart=True)
    total = np.array([losses['total_loss'] for losses in machine.run.history])
    return np.minimum.accumulate(total), np.array(times.noted) - times.noted[0]


def plot(path: Path, curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Plot the losses in two panels, over evaluations and over seconds, with a logarithmic loss axis.

    Args:
        path: The file to write.
        curves: name -> result of `losses`.
    """
    figure = Figure(figsize=(11, 4.5), layout='constrained')
    left, right = figure.subplots(1, 2, sharey=True)
    for name, (loss, seconds) in curves.items():
        left.plot(loss, label=name)
        right.plot(seconds, loss, label=name)
    left.set(xlabel='evaluations of loss and gradient', ylabel='lowest total loss so far', yscale='log')
    right.set(xlabel='seconds')
    for axes in (left, right):
        axes.grid(alpha=0.3)
    right.legend()
    figures.save_figure(path, figure, dpi=100)


def main() -> None:
    """Measure, print a table and plot the curves."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', type=Path, default=Path('optimizers.png'),
                        help='the plot to write (default: %(default)s)')
    out = parser.parse_args().out.resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        curves = {name: losses(settings) for name, settings in OPTIMIZERS.items()}
        os.chdir(out.parent)
    plot(out, curves)
    target = curves[REFERENCE][0][-1]
    print(f'| optimizer | loss after {ITERATIONS} evaluations | ratio to {REFERENCE} | evaluations to reach '
          f'{target:.3g} | seconds to reach it, ratio to {REFERENCE} |\n|---|---|---|---|---|')
    for name, (loss, seconds) in curves.items():
        index = int(np.argmax(loss <= target)) if loss[-1] <= target else None
        reached = (f'{index + 1} | {seconds[index] / curves[REFERENCE][1][-1]:.2f}' if index is not None
                   else 'not reached | –')
        print(f'| {name} | {loss[-1]:.3g} | {loss[-1] / target:.2f} | {reached} |')


if __name__ == '__main__':
    main()
