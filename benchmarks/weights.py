"""Pictures made with two weights files, side by side, and how far their Gram matrices are from the style's under a third.

    python benchmarks/weights.py weights/vgg19-thin.mat other.mat --judge full-width.mat --out comparison.jpg

The distance at a layer is ‖G − A‖ / ‖A‖, G and A the Gram matrices of the picture and of the style.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np

import load_vgg
import style_transfer
import utils
import tensorflow.compat.v1 as tf

PAIRS = (('astronaut.png', 'starry_night.jpg'), ('chelsea.png', 'stained_glass.jpg'), ('coffee.png', 'palette_knife.jpg'),
         ('chelsea.png', 'woodcut.jpg'))
LAYERS = ('conv1_1', 'conv2_1', 'conv3_1')
WIDTH, HEIGHT = 333, 250


def stylise(content, style, vgg):
    """The final picture [H, W, 3] of the default recipe."""
    machine = style_transfer.StyleTransfer(content, style, WIDTH, HEIGHT, vgg=vgg, name='r')
    machine.build()
    machine.train(machine.recipe.iterations, restart=True)
    return utils.read_image('outputs/r/final.png')


def grams(images, judge):
    """The Gram matrices over their size of images [H, W, 3] at LAYERS, max pooling: a list an image."""
    with tf.Graph().as_default(), tf.Session() as sess:
        image = tf.placeholder(tf.float32, [1, HEIGHT, WIDTH, 3])
        vgg = load_vgg.VGG(image - judge.mean_pixels, judge, 'max')
        vgg.load()
        features = [getattr(vgg, layer) for layer in LAYERS]
        found = [sess.run(features, {image: x[None]}) for x in images]
    return [[np.einsum('bhwi,bhwj->ij', F, F) / F.size for F in layers] for layers in found]


def main():
    """Print the table and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('weights', type=Path, nargs=2)
    parser.add_argument('--judge', type=Path, required=True)
    parser.add_argument('--out', type=Path, required=True)
    args = parser.parse_args()
    files, out = [path.resolve() for path in args.weights], args.out.resolve()
    judge = load_vgg.read_weights(args.judge)
    rows = []
    print('pair'.ljust(32) + ''.join(f'{layer:>24}' for layer in LAYERS))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for content, style in ((ROOT / 'content' / c, ROOT / 'styles' / s) for c, s in PAIRS):
            pictures = [stylise(content, style, vgg) for vgg in files]
            A, *G = grams([utils.get_resized_image(style, WIDTH, HEIGHT)[0], *pictures], judge)
            first, second = (np.array([np.linalg.norm(g - a) / np.linalg.norm(a) for g, a in zip(x, A)]) for x in G)
            print(f'{content.stem} {style.stem}'.ljust(32) + ''.join(
                f'{x:10.3f} /{y:6.3f} ={x / y:5.2f}' for x, y in zip(first, second)), flush=True)
            rows.append(np.concatenate(pictures, axis=1))
        os.chdir(ROOT)
    utils.save_image(out, np.concatenate([np.concatenate(rows[:2], axis=1), np.concatenate(rows[2:], axis=1)]))


if __name__ == '__main__':
    main()
