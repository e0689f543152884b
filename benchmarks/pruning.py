"""Compare the gradients of the style losses under the bundled pruned network with those under the true VGG-19.

    python -m benchmarks.pruning

The table has the cosine of the two gradients of the pixels, layer by layer: 1 means that both networks move the picture
in the same direction. The photos are the starting images, at the size of the longer side of a stage, and the losses
are those of the recipe `modern`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import load_vgg
import recipes
import utils
from benchmarks.measure import EASY_PAIRS, HARD_PAIRS
from common import paths
from common.tf1 import tf
from engine.losses import statistics
from engine.losses.features import FeatureExtractor
from engine.run import session

SIDE_PX = 256


def gradients(weights: load_vgg.Weights, photo: np.ndarray, painting: np.ndarray) -> list[np.ndarray]:
    """Return the gradient, [1, H, W, 3], of each layer's style loss with respect to the pixels of a photo.

    Args:
        weights: The weights of the network.
        photo: [1, H, W, 3], 0 to 255.
        painting: [1, H', W', 3], 0 to 255.
    """
    recipe = recipes.MODERN
    statistic = statistics.statistic_of(recipe)
    extract = FeatureExtractor(weights, recipe.pooling, recipe.padding)
    targets = extract(painting, recipe.style_layers, statistic.compute)
    with tf.Graph().as_default(), tf.Session(config=session.session_config('float32')) as sess:
        pixels = tf.placeholder(tf.float32, photo.shape)
        vgg = load_vgg.VGG(pixels - weights.mean_pixels, weights, recipe.pooling, recipe.padding)
        vgg.load(recipe.style_layers)
        losses = [statistic.distance(statistic.compute(F), A)
                  for F, A in zip(vgg.features(recipe.style_layers), targets)]
        return sess.run([tf.gradients(loss, pixels)[0] for loss in losses], {pixels: photo})


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__.split('\n')[0]).parse_args()
    networks = [load_vgg.read_weights(path) for path in (paths.WEIGHTS, paths.PRUNED_WEIGHTS)]
    layers, rows = recipes.MODERN.style_layers, []
    print(f'| painting | photo | {" | ".join(layers)} |\n|---|---|{"---|" * len(layers)}')
    for painting, photo in EASY_PAIRS + HARD_PAIRS:
        content = paths.ROOT / 'content' / photo
        size = utils.output_size(content, SIDE_PX)
        images = (utils.get_resized_image(content, *size), utils.get_style_image(
            paths.ROOT / 'styles' / f'{painting}.jpg', *size, crop=False, resampling=recipes.MODERN.style_resampling))
        pairs = zip(*(gradients(weights, *images) for weights in networks))
        rows.append([float((full * half).sum() / np.linalg.norm(full) / np.linalg.norm(half)) for full, half in pairs])
        print(f'| {painting} | {Path(photo).stem} | {" | ".join(f"{cosine:.2f}" for cosine in rows[-1])} |', flush=True)
    print(f'| mean | | {" | ".join(f"{cosine:.2f}" for cosine in np.mean(rows, axis=0))} |')


if __name__ == '__main__':
    sys.exit(main())
