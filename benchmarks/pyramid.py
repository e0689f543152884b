"""Loss against seconds at one size: coarse to fine against that size alone, Adam against L-BFGS, by the modern recipe.

All have the loss of the recipe's last size. Seconds count from the start of the first iteration, building included, so
that a smaller size costs what it costs.

    python -m benchmarks.pyramid --width 512 --height 384 --out scales.png
"""

import argparse
import dataclasses
import os
import tempfile
import time
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
TIME_LIMIT_FACTOR = 1.5  # of the reference's seconds, for those that have one size


class Curve:
    """A callback that notes seconds and total losses, and stops what takes too long."""

    def __init__(self, last, seconds=np.inf):
        self.last, self.limit, self.start, self.noted = last, seconds, time.perf_counter(), []

    def __call__(self, iterate):
        seconds = time.perf_counter() - self.start
        if iterate.step > self.last:
            self.noted.append((seconds, iterate.losses['total_loss']))
        if seconds > self.limit:
            raise TimeoutError


def train(size, recipe, precision, last=0, limit=np.inf, start=0., **given):
    """(seconds, losses) of the iterations after `last`; at most `limit` seconds, the first one begins at `start`."""
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


def curves(size, precisions):
    """name -> (seconds, losses), the reference first."""
    recipe = dataclasses.replace(recipes.MODERN, log_schedule=LOG_NEVER, averaging=0.)  # the iterates' own losses
    made = pyramid.levels(recipe, *size)
    alone = dataclasses.replace(made[-1].recipe, scales=1, deepest=(), iterations=recipes.MAX_ITERATIONS)
    by_lbfgs = dataclasses.replace(alone, optimizer='lbfgs', pixels='free')
    found = {}
    for precision in precisions:
        name = REFERENCE + (f', {precision}' if precision != precisions[0] else '')
        found[name] = train(size, recipe, precision, made[-1].offset)
    limit = TIME_LIMIT_FACTOR * found[REFERENCE][0][-1]
    found['one size, Adam'] = train(size, alone, precisions[0], limit=limit)
    # the same smaller sizes, then the other optimizer
    coarse = dataclasses.replace(recipe, iterations=made[-2].end - made[-2].offset, deepest=())
    began = time.perf_counter()
    smaller = TimedStyleTransfer(
        paths.CONTENT, paths.STYLE, *made[-2][:2], recipe=coarse, precision=precisions[0], name='r'
    )
    smaller.train_pyramid(restart=True)
    picture = smaller.run.load_variable(made[-2].end, 'input/in_img') + smaller.weights.mean_pixels
    start = time.perf_counter() - began
    for precision in precisions:
        more = f', {precision}'
        found['coarse to fine, L-BFGS' + more] = train(size, by_lbfgs, precision, limit=limit, start=start,
                                                       initial_img=pyramid.upsample(picture, *size))
        found['one size, L-BFGS' + more] = train(size, by_lbfgs, precision, limit=limit)
    return found


def main():
    """Measure, print a table, plot."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--width', type=int_in_range(256, 4096), default=512)
    parser.add_argument('--height', type=int_in_range(64, 4096), default=384)
    parser.add_argument('--out', type=Path, default=Path('scales.png'))
    args = parser.parse_args()
    out, size = args.out.resolve(), (args.width, args.height)
    precisions = ['float32', 'bfloat16'] if session.bfloat16_hardware() else ['float32']
    precisions.sort(key=lambda precision: precision != session.fastest_precision('adam'))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        found = curves(size, precisions)
        os.chdir(out.parent)
    figures.curves(out, {name: (seconds, np.minimum.accumulate(losses)) for name, (seconds, losses) in found.items()},
                 xlabel='seconds', ylabel=f'lowest total loss so far, {size[0]}×{size[1]}', yscale='log')
    wanted = found[REFERENCE][1].min()
    print(f'{size[0]}×{size[1]}, {precisions[0]} where nothing else is said\n\n'
          '| | lowest loss | over the reference\'s | seconds | to the reference\'s loss |\n|---|---|---|---|---|')
    for name, (seconds, losses) in found.items():
        there = seconds[np.argmax(losses <= wanted)] if losses.min() <= wanted else None
        print(f'| {name} | {losses.min():.4g} | {losses.min() / wanted:.2f} | {seconds[-1]:.0f} | '
              f'{"not" if there is None else f"{there:.0f}"} |')


if __name__ == '__main__':
    main()
