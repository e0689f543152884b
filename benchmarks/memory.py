"""Measure the peak memory of training a picture by recipe, precision and size, and fit bytes per pixel to it.

    python -m benchmarks.memory --out memory.png

Each case trains a few iterations, including the result files, in a process of its own. The constants of
`engine/run/memory.py` come from these measurements.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np

import recipes
import style_transfer
from benchmarks import figures, iteration
from common import paths

SIZES = (333, 250), (750, 562), (1333, 1000)  # (width, height) in pixels
ITERATIONS = {'adam': 2, 'lbfgs': 15}  # L-BFGS then has all of its pairs.


def case(name: str, precision: str, width: str, height: str) -> None:
    """Train a few iterations of each stage in this process; print the peak memory in bytes as JSON.

    Args:
        name: Name of the recipe.
        precision: 'float32' or 'bfloat16'.
        width: Width of the picture in pixels, as text.
        height: Height of the picture in pixels, as text.
    """
    recipe = recipes.RECIPES[name]
    recipe = dataclasses.replace(recipe, iterations=ITERATIONS[recipe.optimizer], stages=tuple(
        dataclasses.replace(stage, steps=ITERATIONS[recipe.optimizer]) for stage in recipe.stages))
    machine = style_transfer.StyleTransfer(paths.CONTENT, paths.STYLE, int(width), int(height), recipe=recipe,
                                           precision=precision, name='r')
    machine.train_pyramid()
    print('\n' + json.dumps(iteration.peak_memory()))


def main() -> None:
    """Print the table and plot it."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', type=Path, default=Path('memory.png'), help='the plot to write (default: %(default)s)')
    out, measured = parser.parse_args().out, {}
    print(f'{"recipe":10}{"precision":12}' + ''.join(f'{f"{w}×{h} MB":>14}' for w, h in SIZES)
          + f'{"bytes per pixel":>16}{"+ MB":>8}')
    for name, recipe in recipes.RECIPES.items():
        for precision in ('float32', 'bfloat16') if recipe.optimizer == 'adam' else ('float32',):
            peaks = [iteration.run_in_process(__spec__.name, 'case', name, precision, *size) for size in SIZES]
            measured[f'{name}, {precision}'] = peaks
            slope, base = np.polyfit([w * h for w, h in SIZES], peaks, 1)
            print(f'{name:10}{precision:12}' + ''.join(f'{peak / 1e6:14.0f}' for peak in peaks)
                  + f'{slope:16.0f}{base / 1e6:8.0f}', flush=True)
    megapixels = [w * h / 1e6 for w, h in SIZES]
    figures.curves(out, {name: (megapixels, np.divide(peaks, 1e9)) for name, peaks in measured.items()},
                 xlabel='megapixels', ylabel='peak memory, GB', ylim=0)


if __name__ == '__main__':
    if sys.argv[1:2] == ['case']:
        case(*sys.argv[2:])
    else:
        main()
