"""Plot texture over content for recipes and their variants, on the six pairs of `benchmarks.measure`.

    python -m benchmarks.sweep --out sweep.png                 modern, that of version 1.0, and crowsonkb's schedule
    python -m benchmarks.sweep --variants "Lanczos resampling" "Adam 10"  modern and some of its variants
    python -m benchmarks.sweep --list                          the names of all variants

Every recipe is a curve through its strengths. The tables give, for the easy and for the hard pairs, texture and content
at each strength, and how much lower the texture is than that of `modern-1.0` at the same content: each picture is
compared with the curve of `modern-1.0` on the same pair, interpolated, and the differences are averaged.
"""

import argparse
import dataclasses
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import recipes
import style_transfer
import utils
from benchmarks import figures, measure
from benchmarks.measure import EASY_PAIRS, HARD_PAIRS
from common import errors, paths
from common.cli import int_in_range
from recipes import MODERN, MODERN_1_0, Stage

STRENGTHS = 0.25, 0.5, 0.75
# Of crowsonkb's style-transfer-pytorch: the ratio of the layer weights, 256 to 64 to 16 to 4 to 1, and the steps.
CROWSON_LAYER_WEIGHTS = 3.75, 0.94, 0.23, 0.06, 0.02
CROWSON_STEPS = {128: 1000, 256: 500, 512: 500}  # longer side in pixels -> steps


def with_stages(**changed) -> recipes.Recipe:
    """Return `modern` with some attributes of all its stages changed."""
    return dataclasses.replace(MODERN, stages=tuple(dataclasses.replace(stage, **changed) for stage in MODERN.stages))


def crowson(share: float = 1.) -> recipes.Recipe:
    """Return the schedule of crowsonkb's style-transfer-pytorch in our engine, with sizes that double.

    Statistic, layers, layer weights, pooling and steps are those of that project; α and β are for our losses.

    Args:
        share: The share of its steps.
    """
    steps = {side: max(1, round(share * count)) for side, count in CROWSON_STEPS.items()}
    return dataclasses.replace(
        MODERN_1_0, name='crowsonkb', style_statistic='wasserstein', content_layers=('conv4_2',), pooling='max',
        style_layer_weights=CROWSON_LAYER_WEIGHTS, content_weight=0.7, style_weight=2., style_resampling='lanczos',
        stages=tuple(Stage(side=side, steps=count) for side, count in steps.items()), iterations=steps[max(steps)])


# Name -> recipe: each differs from `modern` in one decision.
VARIANTS = {
    'true network only': with_stages(network=recipes.FULL),
    'equal layer weights': with_stages(style_layer_weights=None, style_factor=2.),
    'shallow weights at all sizes': with_stages(style_layer_weights=(2.5, 1.25, 0.7, 0.35, 0.2)),
    'no layer deeper than conv3_1 in the last stage': dataclasses.replace(MODERN, stages=tuple(
        dataclasses.replace(stage, deepest=stage.deepest and 'conv3_1') for stage in MODERN.stages)),
    'plain Adam at all sizes': with_stages(optimizer=None, learning_rate=None),
    'content conv3_1 at all sizes': with_stages(content_layers=None, content_layer_weights=None),
    'Lanczos resampling': dataclasses.replace(MODERN, style_resampling='lanczos'),
    'Adam 10': dataclasses.replace(MODERN, learning_rate=10.),
    'twice the steps': dataclasses.replace(MODERN, iterations=2 * MODERN.iterations, stages=tuple(
        dataclasses.replace(stage, steps=stage.steps and 2 * stage.steps) for stage in MODERN.stages)),
    'half the last steps': dataclasses.replace(MODERN, iterations=MODERN.iterations // 2),
}


def run(recipe: recipes.Recipe, painting: str, photo: str, strength: float, side: int) -> tuple[np.ndarray, float]:
    """Make a picture; return it, [H, W, 3] from 0 to 255, and the seconds that it took."""
    content, style = paths.ROOT / 'content' / photo, paths.ROOT / 'styles' / f'{painting}.jpg'
    recipe = dataclasses.replace(recipe, log_schedule=((float('inf'), recipes.MAX_ITERATIONS),))
    start_time = time.time()
    with tempfile.TemporaryDirectory() as folder:
        machine = style_transfer.StyleTransfer(content, style, *utils.output_size(content, side), name='r',
                                               recipe=recipe.with_strength(strength), folder=folder)
        machine.train_pyramid()
        return utils.read_image(machine.run.outputs / 'final.png'), time.time() - start_time


def texture_at(curve: np.ndarray, content: float) -> float:
    """Return the texture of a curve, [strengths, (texture, content)], at a content distance, linearly interpolated.

    Beyond its ends, the curve goes on along its first or last segment.
    """
    texture, contents = curve[np.argsort(curve[:, 1])].T
    i = int(np.clip(np.searchsorted(contents, content), 1, len(contents) - 1))
    slope = (texture[i] - texture[i - 1]) / (contents[i] - contents[i - 1])
    return texture[i - 1] + slope * (content - contents[i - 1])


def print_table(curves: dict[str, np.ndarray], seconds: dict[str, float]) -> None:
    """Print the means over the easy and the hard pairs.

    Args:
        curves: Name of a recipe -> [pairs, strengths, (texture, content)], easy pairs first.
        seconds: Name of a recipe -> mean seconds of a picture.
    """
    reference = curves.get(MODERN_1_0.name)
    print('\n| recipe | seconds | easy pairs: texture / content | hard pairs |'
          + (' lower texture than modern-1.0, easy | hard |' if reference is not None else ''))
    print('|---|---|---|---|' + ('---|---|' if reference is not None else ''))
    for name, curve in curves.items():
        cells = [f'{seconds[name]:.1f}']
        parts = slice(len(EASY_PAIRS)), slice(len(EASY_PAIRS), None)
        for part in parts:
            cells.append('; '.join(f'{texture:.2f} / {content:.2f}' for texture, content in curve[part].mean(axis=0)))
        if reference is not None:
            lower = np.array([[texture_at(other, content) - texture for texture, content in own]
                              for own, other in zip(curve, reference)])
            cells += [f'{lower[part].mean():.2f}' for part in parts]
        print(f'| {name} | ' + ' | '.join(cells) + ' |', flush=True)


@errors.command_line
def main(argv: Sequence[str] | None = None) -> None:
    """Measure the recipes, print the tables and plot the curves."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--variants', nargs='*', choices=VARIANTS, metavar='NAME',
                        help='variants of modern to measure instead of the other recipes')
    parser.add_argument('--strengths', nargs='+', type=float, default=STRENGTHS, metavar='X',
                        help='strengths of each curve (default: 0.25 0.5 0.75)')
    parser.add_argument('--side', type=int_in_range(128, 1024), default=512, metavar='N',
                        help='longer side of the pictures in pixels (default: %(default)s)')
    parser.add_argument('--crowsonkb', type=float, default=0.1, metavar='X',
                        help='share of the steps of crowsonkb\'s schedule; 0 leaves it out (default: %(default)s)')
    parser.add_argument('--pictures', type=Path, metavar='FOLDER', help='write the pictures into this folder')
    parser.add_argument('--out', type=Path, help='write the plot to this file')
    parser.add_argument('--list', action='store_true', help='print the names of the variants')
    args = parser.parse_args(argv)
    if args.list:
        print('\n'.join(VARIANTS))
        return
    chosen = {recipe.name: recipe for recipe in (MODERN, MODERN_1_0)}
    if args.variants is not None:
        chosen = {MODERN.name: MODERN, **{name: VARIANTS[name] for name in args.variants}}
    elif args.crowsonkb:
        chosen['crowsonkb'] = crowson(args.crowsonkb)
    measured, curves, seconds = measure.Measure(), {}, {}
    for name, recipe in chosen.items():
        rows, times = [], []
        for painting, photo in EASY_PAIRS + HARD_PAIRS:
            for strength in args.strengths:
                picture, took = run(recipe, painting, photo, strength, args.side)
                found = measured(picture, paths.ROOT / 'content' / photo, paths.ROOT / 'styles' / f'{painting}.jpg')
                rows.append(found[1:])
                times.append(took)
                print(f'{name}, {painting}, {photo}, strength {strength:g}: texture {found.texture:.2f}, '
                      f'content {found.content:.2f}, {took:.1f} s', flush=True)
                if args.pictures:
                    args.pictures.mkdir(parents=True, exist_ok=True)
                    utils.save_image(args.pictures / f'{name}-{painting}-{Path(photo).stem}-{strength:g}.png', picture)
        curves[name] = np.reshape(rows, (len(EASY_PAIRS + HARD_PAIRS), -1, 2))
        seconds[name] = float(np.mean(times))
    print_table(curves, seconds)
    if args.out:
        parts = {'easy': slice(len(EASY_PAIRS)), 'hard': slice(len(EASY_PAIRS), None)}
        figures.curves(args.out, {f'{name}, {part}': curve[rows].mean(axis=0).T[::-1] for name, curve in curves.items()
                                  for part, rows in parts.items()}, xlabel='content', ylabel='texture')


if __name__ == '__main__':
    sys.exit(main())
