"""Measure the seconds of whole commands, as ratios to another version of the project.

    python -m benchmarks.commands                       modern and modern-1.0 of this version
    python -m benchmarks.commands --reference CHECKOUT  each recipe in this version and in a clone

The two take turns, so that a machine that slows down slows both. The seconds include the start of the program; the
first iteration is that of `modern` at 512×512. The pictures are deleted.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from common import errors, paths
from common.cli import int_in_range
from common.errors import UserError
from engine.run import session
from recipes import CS20, MODERN, MODERN_1_0, STYLENET

# (recipe, its flags). Less than half of the iterations of cs20 are enough to compare them.
CASES = ((MODERN.name, '--width 512 --height 512'), (MODERN.name, '--width 1024 --height 768'),
         (CS20.name, '--iterations 100'), (STYLENET.name, ''))
# Prints the seconds from the start of the program to the end of the first iteration of a recipe.
FIRST_ITERATION = '''
import os, sys, time
start, root, recipe = time.time(), *sys.argv[1:]
sys.path.insert(0, root)
import style_transfer
class FirstIteration(Exception): pass
def stop(iterate): raise FirstIteration
machine = style_transfer.StyleTransfer(f'{root}/content/astronaut.png', [f'{root}/styles/starry_night.jpg'], 512, 512,
                                       recipe=style_transfer.recipes.RECIPES[recipe])
try: machine.train_pyramid(stop)
except FirstIteration: print(time.time() - start, flush=True)
os._exit(0)
'''


def run(*command) -> tuple[float, str]:
    """Run a Python program in a temporary folder; return its seconds and its output."""
    with tempfile.TemporaryDirectory() as folder:
        start_time = time.perf_counter()
        completed = subprocess.run([sys.executable, *map(str, command)], cwd=folder, text=True, check=True,
                                   stdout=subprocess.PIPE, env=os.environ | {'TF_CPP_MIN_LOG_LEVEL': '3'})
        return time.perf_counter() - start_time, completed.stdout


def whole_command(root: Path, recipe: str, flags: Sequence[str]) -> float:
    """Return the seconds of `style_transfer.py` of the project in a folder."""
    return run(root / 'style_transfer.py', '--recipe', recipe, *flags)[0]


def first_iteration(root: Path, recipe: str) -> float:
    """Return the seconds to the first iteration of a recipe of the project in a folder."""
    return float(run('-c', FIRST_ITERATION, root, recipe)[1])


def print_row(label: str, measure: Callable[[Path, str], float], sides: list[tuple[Path, str]], rounds: int) -> None:
    """Measure two programs in turn and print the medians.

    Args:
        label: The first cells of the row.
        measure: (folder of the project, name of the recipe) -> seconds.
        sides: The arguments of `measure` for this version and for the reference.
        rounds: Measurements of each.
    """
    ours, reference = zip(*[[measure(*side) for side in sides] for _ in range(rounds)])
    ratio = statistics.median(own / other for own, other in zip(ours, reference))
    print(f'| {label} | {statistics.median(ours):.1f} | {statistics.median(reference):.1f} | {ratio:.2f} |', flush=True)


@errors.command_line
def main(argv: Sequence[str] | None = None) -> None:
    """Measure every case and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--reference', type=Path, metavar='CHECKOUT', help='folder of another version of the project')
    parser.add_argument('--rounds', type=int_in_range(1, 9), default=3, metavar='N',
                        help='measurements of each command (default: %(default)s)')
    parser.add_argument('--precisions', nargs='+', choices=session.PRECISIONS, default=['auto'], metavar='NAME',
                        help='precisions to measure (default: the faster one)')
    args = parser.parse_args(argv)
    root = (args.reference or paths.ROOT).resolve()
    if not (root / 'style_transfer.py').is_file():
        raise UserError(f'--reference {args.reference}: has no style_transfer.py; give the folder of a clone')
    print('| recipe | flags | precision | seconds | reference | ratio |\n|---|---|---|---|---|---|')
    for recipe, flags in CASES if args.reference else CASES[:2]:
        sides = [(paths.ROOT, recipe), (root, recipe if args.reference else MODERN_1_0.name)]
        for precision in args.precisions:
            print_row(f'{recipe} | {flags} | {precision}', lambda root, recipe: whole_command(
                root, recipe, [*flags.split(), '--precision', precision]), sides, args.rounds)
    print_row('first iteration | | auto', first_iteration, [
        (paths.ROOT, MODERN.name), (root, MODERN.name if args.reference else MODERN_1_0.name)], args.rounds)


if __name__ == '__main__':
    sys.exit(main())
