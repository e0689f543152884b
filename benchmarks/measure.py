"""Measure how well a picture has the style of a painting and the content of a photo.

    python -m benchmarks.measure PHOTO PAINTING PICTURE...

Photo and painting are resized to the size of the picture, by Lanczos's filter. All features are those of the true
VGG-19 with average pooling and zeros around the maps. Lower is better for all three distances, each of which alone is
easy to lower, so texture and content belong together.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

import load_vgg
import utils
from common import errors, paths
from common.errors import UserError
from common.tf1 import tf
from engine.losses import statistics
from engine.run import session

STYLE_LAYERS = ('conv1_1', 'conv2_1', 'conv3_1', 'conv4_1', 'conv5_1')
CONTENT_LAYER = 'conv4_2'
# (painting, photo). The hard ones have flat inks, few colors and large shapes, and photos with many grays.
EASY_PAIRS = ('starry_night', 'astronaut.png'), ('auvers', 'neuschwanstein_castle.jpg')
HARD_PAIRS = (('woodcut', 'raccoon.jpg'), ('composition_8', 'mariachi.jpg'), ('great_wave', 'vash_gon.jpg'),
              ('poppies', 'suspension_bridge.jpg'))


class Distances(NamedTuple):
    """Distances of a picture from a painting and a photo.

    Attributes:
        style: The mean over STYLE_LAYERS of log10(‖G − A‖² / ‖A‖²), where G and A are the Gram matrices of the picture
            and the painting, divided by the number of positions.
        texture: The same of the covariance matrices.
        content: ‖F − P‖² / ‖P‖² of the features F and P of the picture and the photo at CONTENT_LAYER.
    """
    style: float
    texture: float
    content: float


class Measure:
    """Measures pictures of any size, with one graph for all of them."""

    def __init__(self, weights: Path = paths.WEIGHTS):
        weights = load_vgg.read_weights(weights)
        with tf.Graph().as_default():
            self.image = tf.placeholder(tf.float32, [1, None, None, 3])
            vgg = load_vgg.VGG(self.image - weights.mean_pixels, weights, pooling='avg', padding='zeros')
            vgg.load(STYLE_LAYERS)
            moments = [statistics.second_moments(F) for F in vgg.features(STYLE_LAYERS)]
            self.fetches = moments, vgg.features([CONTENT_LAYER])
            self.session = tf.Session(config=session.session_config('float32'))

    def __call__(self, picture: np.ndarray, photo: Path, painting: Path) -> Distances:
        """Measure a picture.

        Args:
            picture: [H, W, 3], 0 to 255.
            photo: The photo.
            painting: The painting.
        """
        height, width = picture.shape[:2]
        moments, F = self.session.run(self.fetches, {self.image: np.float32(picture)[None]})
        _, P = self.session.run(self.fetches, {self.image: read(photo, width, height)[None]})
        targets, _ = self.session.run(self.fetches, {self.image: read(painting, width, height)[None]})
        return distances(moments, targets, F[0], P[0])


def read(path: Path, width: int, height: int) -> np.ndarray:
    """Read an image and resize all of it to [height, width, 3], 0 to 255, whatever its aspect ratio."""
    image = Image.fromarray(utils.to_uint8(utils.read_image(path)))
    return np.float32(image.resize((width, height), Image.Resampling.LANCZOS))


def distances(moments: Sequence, targets: Sequence, F: np.ndarray, P: np.ndarray) -> Distances:
    """Return the `Distances` of a picture from its features.

    Args:
        moments: For each of STYLE_LAYERS the pair (mean [1, N], mean products [1, N, N]) of the picture's features.
        targets: The same of the painting.
        F: The picture's features at CONTENT_LAYER, of any shape.
        P: Those of the photo.
    """
    pairs = [[(np.float64(product), product - np.float64(mean)[:, :, None] * mean[:, None]) for mean, product in given]
             for given in (moments, targets)]
    style, texture = (np.mean([np.log10(_relative_error(g[kind], a[kind])) for g, a in zip(*pairs)])
                      for kind in (0, 1))
    return Distances(style, texture, _relative_error(F, P))


def _relative_error(g, a):
    """Return Σ (g − a)² / Σ a² in float64."""
    return np.square(np.float64(g) - a).sum() / np.square(np.float64(a)).sum()


@errors.command_line
def main(argv: Sequence[str] | None = None) -> None:
    """Print a table with the distances of the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('photo', type=Path, help='the photo')
    parser.add_argument('painting', type=Path, help='the painting')
    parser.add_argument('pictures', type=Path, nargs='+', metavar='PICTURE', help='the pictures to measure')
    args = parser.parse_args(argv)
    pictures = {path: utils.read_image(path) for path in args.pictures}
    for path in (args.photo, args.painting):
        utils.read_image(path)  # An image that cannot be read is reported before anything is printed.
    for path, picture in pictures.items():
        if min(picture.shape[:2]) < utils.MIN_SIDE_PX:
            raise UserError(f'{path}: each side must have at least {utils.MIN_SIDE_PX} pixels')
    measure = Measure()
    print('| picture | style | texture | content |\n|---|---|---|---|')
    for path, picture in pictures.items():
        found = measure(picture, args.photo, args.painting)
        print(f'| {path} | {found.style:.2f} | {found.texture:.2f} | {found.content:.2f} |', flush=True)


if __name__ == '__main__':
    sys.exit(main())
