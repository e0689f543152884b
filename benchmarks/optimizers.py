"""Loss against evaluations and seconds: Adam at several learning rates and L-BFGS, the CS20 recipe from the same start.

At half of CS20's size, in float32: L-BFGS takes nothing less, and seconds are to be compared.

    python -m benchmarks.optimizers --out optimizers.png
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
from common import files, paths

WIDTH, HEIGHT = 167, 125
ITERATIONS = 300
OPTIMIZERS = {**{f'Adam {rate:g}': {'learning_rate': float(rate)} for rate in (1, 2, 5, 10)},
              'L-BFGS': {'optimizer': 'lbfgs'}}
REFERENCE = 'Adam 2'  # CS20's


def losses(settings):
    """Train with `settings` changed in CS20; return the lowest total loss so far and seconds, [evaluations] each."""
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


def plot(path, curves):
    """Two panels: the losses over evaluations and over seconds, on a log axis."""
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
    with files.atomic_write(path) as part:
        figure.savefig(part, dpi=100)


def main():
    """Measure, print a table, plot."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', type=Path, default=Path('optimizers.png'))
    out = parser.parse_args().out.resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        curves = {name: losses(settings) for name, settings in OPTIMIZERS.items()}
        os.chdir(out.parent)
    plot(out, curves)
    wanted = curves[REFERENCE][0][-1]
    print(f'| optimizer | loss after {ITERATIONS} evaluations | over {REFERENCE}\'s | evaluations to {wanted:.3g} | '
          'seconds to it, over its |\n|---|---|---|---|---|')
    for name, (loss, seconds) in curves.items():
        there = int(np.argmax(loss <= wanted)) if loss[-1] <= wanted else None
        reached = f'{there + 1} | {seconds[there] / curves[REFERENCE][1][-1]:.2f}' if there is not None else 'not | –'
        print(f'| {name} | {loss[-1]:.3g} | {loss[-1] / wanted:.2f} | {reached} |')


if __name__ == '__main__':
    main()
