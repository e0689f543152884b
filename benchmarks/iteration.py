"""Seconds an iteration, as ratios to a bare loop of the train op and to CS20's loop as its solutions list it.

    python -m benchmarks.iteration

In float32 and bfloat16, each in a process of its own, in which the three loops take turns: a machine that slows down
slows all of them. Then the seconds to the first iteration, the peak of memory, and the default command as a whole.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import imageio
import numpy as np

import style_transfer
from common import paths
from common.tf1 import tf
from engine.run import session

WIDTH, HEIGHT = 333, 250
ROUNDS = 2
ITERATIONS = 300  # of ours a round, a whole run: CS20's log_schedule is dense at first, which less would overstate
SHORT_ITERATIONS = 75  # of the other loops
ENVIRONMENT = os.environ | {'PYTHONPATH': str(paths.ROOT)}  # of processes whose current folder is another


class IterationTimes:
    """A callback of `train` that notes the time at every iteration."""

    def __init__(self):
        self.noted = []

    def __call__(self, iterate):
        self.noted.append(time.perf_counter())


class TimedStyleTransfer(style_transfer.StyleTransfer):
    """Hands nothing in."""

    def write_results(self, sess):
        pass


def ours(machine, n):
    """Seconds an iteration of `train`, with its pictures, summaries and checkpoints."""
    times = IterationTimes()
    machine.train(n, times, restart=True)
    return (times.noted[-1] - times.noted[0]) / (n - 1)


def bare(machine, n):
    """Seconds an iteration of nothing but the train op of the same graph."""
    with tf.Session(graph=machine.graph, config=machine.config) as sess:
        sess.run(machine.init)
        sess.run(machine.assign_img, {machine.new_img: machine.centered_start})
        sess.run(machine.opt)
        start = time.perf_counter()
        for _ in range(n - 1):
            sess.run(machine.opt)
        return (time.perf_counter() - start) / (n - 1)


def listed(machine, n):
    """Seconds an iteration of the loop that CS20's solutions list, on a float32 graph built as they build it.

    A pass for the step, another for image, loss and summary; a checkpoint with its meta graph;
    the graph in the event file.
    """
    with tf.Graph().as_default():
        other = style_transfer.StyleTransfer(machine.content_path, machine.style_paths, WIDTH, HEIGHT,
                                             precision='float32')
        other.create_input()
        other.load_vgg()
        other.graph = tf.get_default_graph()
        other.config = None
        other.losses()
        other.optimize()
        for name, loss in other.loss_terms.items():
            tf.summary.scalar(name, loss)
        summary_op = tf.summary.merge_all()
        with tf.Session() as sess:
            sess.run(tf.global_variables_initializer())
            writer = tf.summary.FileWriter('listed/graphs', sess.graph)
            sess.run(other.input_img.assign(other.centered_start))
            saver = tf.train.Saver()
            sess.run(other.opt)
            start, skip_step = time.perf_counter(), 1
            for index in range(1, n):
                if index >= 5:
                    skip_step = 10 if index < 20 else 20
                sess.run(other.opt)
                if (index + 1) % skip_step == 0:
                    image, loss, summary = sess.run([other.input_img, other.total_loss, summary_op])
                    writer.add_summary(summary, index)
                    imageio.imwrite(f'listed/{index}.png',
                                    np.clip(image[0] + other.vgg.mean_pixels[0], 0, 255).astype('uint8'))
                if (index + 1) % 20 == 0:
                    saver.save(sess, 'listed/style_transfer', index)
            return (time.perf_counter() - start) / (n - 1)


def case(precision):
    """Run one case in this process; print the rounds of the three loops as JSON."""
    Path('listed').mkdir()
    machine = TimedStyleTransfer(paths.CONTENT, paths.STYLE, WIDTH, HEIGHT, precision=precision, name='timed')
    machine.build()
    rounds = [
        [ours(machine, ITERATIONS), bare(machine, SHORT_ITERATIONS), listed(machine, SHORT_ITERATIONS)]
        for _ in range(ROUNDS)
    ]
    print('\n' + json.dumps(rounds))


def start(precision, started):
    """Train a little in this process, as a user would; print the seconds to the first iteration and the peak of memory.

    started: when the process was, by `time.perf_counter`, which Linux counts alike in all of them
    """
    machine = style_transfer.StyleTransfer(paths.CONTENT, paths.STYLE, WIDTH, HEIGHT, precision=precision,
                                           name='start')
    machine.build()
    times = IterationTimes()
    machine.train(21, times)
    print('\n' + json.dumps([times.noted[0] - float(started), peak_memory()]))


def peak_memory():
    """The most memory that this process has held, in bytes (Linux).

    getrusage says no less than what its parent held.
    """
    return 1024 * int(re.search(r'VmHWM:\s+(\d+) kB', Path('/proc/self/status').read_text())[1])


def run_in_process(program, *args):
    """What a module prints last when it is run with `args` in a folder of its own, read as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, '-m', program, *map(str, args)], cwd=folder, text=True,
                              stdout=subprocess.PIPE, check=True, env=ENVIRONMENT)
    return json.loads(done.stdout.splitlines()[-1])


def default_command(precision):
    """(seconds in all, bytes on disk, final total loss) of the program called without a flag but --precision."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run([sys.executable, paths.ROOT / 'style_transfer.py', '--precision', precision], cwd=folder,
                       check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        size = sum(path.stat().st_size for path in Path(folder).rglob('*') if path.is_file())
        history = next(Path(folder).glob('checkpoints/*/losses.csv')).read_text()
    return seconds, size, float(history.split(',')[-1])


def main():
    """Print the tables."""
    print(f'{WIDTH}×{HEIGHT}, {os.cpu_count()} cores, medians of {ROUNDS} rounds of {ITERATIONS} iterations\n')
    print(f'{"precision":10} {"s/iteration":>11} {"/ bare loop":>12} {"/ listed loop":>14} {"s to the first":>15} '
          f'{"peak MB":>8}')
    for precision in session.PRECISIONS:
        first, peak = run_in_process(__spec__.name, 'start', precision, time.perf_counter())
        rounds = np.array(run_in_process(__spec__.name, 'case', precision))
        seconds, to_bare, to_listed = (statistics.median(x) for x in
                                       (rounds[:, 0], rounds[:, 0] / rounds[:, 1], rounds[:, 0] / rounds[:, 2]))
        print(f'{precision:10} {seconds:11.4f} {to_bare:12.3f} {to_listed:14.3f} {first:15.1f} {peak / 1e6:8.0f}',
              flush=True)
    print(f'\n{"default command":15} {"s to the end":>13} {"MB on disk":>11} {"final loss":>11}')
    for precision in session.PRECISIONS:
        seconds, size, loss = default_command(precision)
        print(f'{precision:15} {seconds:13.1f} {size / 1e6:11.2f} {loss:11.4g}', flush=True)


if __name__ == '__main__':
    if sys.argv[1:2] == ['case']:
        case(*sys.argv[2:])
    elif sys.argv[1:2] == ['start']:
        start(*sys.argv[2:])
    else:
        argparse.ArgumentParser(description=__doc__.split('\n')[0]).parse_args()
        main()
