"""Total loss of the shipped networks' pictures against 100 iterations of the optimiser, on photos that no network has seen.

    python benchmarks/held_out.py

For each model, the loss that it was trained on (layers and weights from its model.json), at the size of its crops; the
optimiser starts as the CS20 recipe does, Adam at 2. Pictures go to outputs/held_out/.
"""

import argparse
import dataclasses
import os
import tempfile
from pathlib import Path

import iteration  # it puts the project on the path

import numpy as np

import figures
import load_vgg
import recipes
import saved_models
import style_transfer
import tensorflow.compat.v1 as tf
import training_images
import utils

ITERATIONS = 100
LOSS = ('content_layers', 'content_layer_weights', 'content_weight', 'content_coefficient', 'style_layers',
        'style_layer_weights', 'style_weight', 'style_coefficient', 'tv_weight', 'pooling')


def compare(model, photo):
    """(losses of the fast picture, losses of the optimiser's, the two pictures [H, W, 3] of 0-255)."""
    about = model.about
    loss = {name: tuple(about[name]) if isinstance(about[name], list) else about[name] for name in LOSS}
    recipe = dataclasses.replace(recipes.CS20, iterations=ITERATIONS, cadence=((float('inf'), recipes.LONGEST),), **loss)
    machine = style_transfer.StyleTransfer(photo, load_vgg.ROOT / 'styles' / about['style_file'], about['width'],
                                           about['height'], recipe, load_vgg.ROOT / 'weights' / about['vgg_file'], name='r')
    photo = machine.content_img[0]
    machine.build()
    fast = model(photo, about['width'])
    with tf.Session(graph=machine.graph, config=machine.config) as sess:
        sess.run(machine.assign_img, {machine.new_img: np.float32(utils.to_uint8(fast)[None]) - machine.vgg.mean_pixels})
        fast_losses = sess.run(machine.loss_terms)
        machine._initialise(sess)
        for _ in range(ITERATIONS):
            sess.run(machine.opt)
        losses, picture = sess.run([machine.loss_terms, machine.picture])
    return fast_losses, losses, fast, picture


def main():
    """Print the table; put photo, fast picture and the optimiser's side by side for every pair."""
    argparse.ArgumentParser(description=__doc__.split('\n')[0]).parse_args()
    out = Path('outputs', 'held_out').resolve()
    print('| model | photo | content, style, total variation: fast | of the optimiser | total: fast | of the optimiser | ratio |\n'
          '|---|---|---|---|---|---|---|')
    for folder in sorted(saved_models.SHIPPED.glob('*/')):
        model = saved_models.Model(folder)
        for path in training_images.HELD_OUT:
            with tempfile.TemporaryDirectory() as place:
                os.chdir(place)
                fast_losses, losses, fast, picture = compare(model, path)
                os.chdir(out.anchor)
            terms = [', '.join(f'{x:.4g}' for x in row[:-1]) for row in (fast_losses, losses)]
            print(f'| {folder.name} | {path.stem} | {" | ".join(terms)} | {fast_losses[-1]:.1f} | {losses[-1]:.1f} | '
                  f'{fast_losses[-1] / losses[-1]:.2f} |', flush=True)
            photo = utils.get_resized_image(path, *fast.shape[1::-1])[0]
            figures.sheet(out / f'{path.stem}-{folder.name}.png', [photo, fast, picture])


if __name__ == '__main__':
    main()
