"""Measure the seconds per iteration, as ratios to a bare loop of the train op and to the loop of CS20's solutions.

    python -m benchmarks.iteration

The three loops take turns in one process, so that a machine that slows down slows all of them; float32 and bfloat16
have a process each. The benchmark also measures the seconds to the first iteration, the peak memory, and the default
command as a whole.
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
# Our loop is timed over a whole run: CS20 logs more often at first, so that a shorter run would overstate the cost.
ITERATIONS = 300
SHORT_ITERATIONS = 75  # of the other two loops
ENVIRONMENT = os.environ | {'PYTHONPATH': str(paths.ROOT)}  # for processes with another working directory


class IterationTimes:
    """A callback of `train` that records the time of every iteration.

    Attributes:
        noted: Values of `time.perf_counter`, one for each iteration.
    """

    def __init__(self):
        self.noted = []

    def __call__(self, iterate):
        """Record the time of an iteration, a `progress.Iteration`."""
        self.noted.append(time.perf_counter())


class TimedStyleTransfer(style_transfer.StyleTransfer):
    """A `StyleTransfer` that writes no result files, so that they do not count in the times."""

    def write_results(self, sess):
        """Write nothing."""


def ours(machine: TimedStyleTransfer, n: int) -> float:
    """Return the seconds per iteration of `train` over n iterations, with its pictures, summaries and checkpoints."""
    times = IterationTimes()
    machine.train(n, times, restart=True)
    return (times.noted[-1] - times.noted[0]) / (n - 1)


def bare(machine: TimedStyleTransfer, n: int) -> float:
    """Return the seconds per iteration of a loop over n iterations that only runs the train op of the same graph."""
    with tf.Session(graph=machine.graph, config=machine.config) as sess:
        sess.run(machine.init)
        sess.run(machine.assign_img, {machine.new_img: machine.centered_start})
        sess.run(machine.opt)
        start = time.perf_counter()
        for _ in range(n - 1):
            sess.run(machine.opt)
        return (time.perf_counter() - start) / (n - 1)


def listed(machine: TimedStyleTransfer, n: int) -> float:
    """Return the seconds per iteration of the loop that CS20's solutions list, over n iterations.

    The graph is in float32 and is built as in these solutions. One session call runs the step, and another one fetches
    image, loss and summary. The checkpoints include the meta graph, and the event file the whole graph.
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


def case(precision: str) -> None:
    """Time the three loops in this process; print their seconds per iteration as JSON, [ROUNDS, 3]."""
    Path('listed').mkdir()
    machine = TimedStyleTransfer(paths.CONTENT, paths.STYLE, WIDTH, HEIGHT, precision=precision, name='timed')
    machine.build()
    rounds = [
        [ours(machine, ITERATIONS), bare(machine, SHORT_ITERATIONS), listed(machine, SHORT_ITERATIONS)]
        for _ in range(ROUNDS)
    ]
    print('\n' + json.dumps(rounds))


def start(precision: str, started: str) -> None:
    """Train 21 iterations in this process; print [seconds to the first iteration, peak memory in bytes] as JSON.

    Args:
        precision: 'float32' or 'bfloat16'.
        started: When the process was started, as text, by `time.perf_counter` of the parent. On Linux this clock is the
            same in all processes.
    """
    machine = style_transfer.StyleTransfer(paths.CONTENT, paths.STYLE, WIDTH, HEIGHT, precision=precision,
                                           name='start')
    machine.build()
    times = IterationTimes()
    machine.train(21, times)
    print('\n' + json.dumps([times.noted[0] - float(started), peak_memory()]))


def peak_memory() -> int:
    """Return the peak memory of this process in bytes (Linux).

    It comes from VmHWM, because getrusage never returns less than the memory of the parent process.
    """
    return 1024 * int(re.search(r'VmHWM:\s+(\d+) kB', Path('/proc/self/status').read_text())[1])


def run_in_process(program: str, *args):
    """Run a module in a process and a temporary folder of its own; parse the last line that it prints as JSON.

    Args:
        program: Dotted name of the module.
        *args: Its command-line arguments; each is converted to text.
    """
    with tempfile.TemporaryDirectory() as folder:
        completed = subprocess.run([sys.executable, '-m', program, *map(str, args)], cwd=folder, text=True,
                                   stdout=subprocess.PIPE, check=True, env=ENVIRONMENT)
    return json.loads(completed.stdout.splitlines()[-1])


def default_command(precision: str) -> tuple[float, int, float]:
    """Run style_transfer.py with no flag but --precision; return (seconds, bytes on disk, final total loss)."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run([sys.executable, paths.ROOT / 'style_transfer.py', '--precision', precision], cwd=folder,
                       check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        size = sum(path.stat().st_size for path in Path(folder).rglob('*') if path.is_file())
        history = next(Path(folder).glob('checkpoints/*/losses.csv')).read_text()
    return seconds, size, float(history.split(',')[-1])


def main() -> None:
    """Print both tables."""
    print(f'{WIDTH}×{HEIGHT}, {os.cpu_count()} cores, medians of {ROUNDS} rounds of {ITERATIONS} iterations\n')
    print(f'{"precision":10} {"s/iteration":>11} {"/ bare loop":>12} {"/ CS20 loop":>14} {"s to 1st iter.":>15} '
          f'{"peak MB":>8}')
    for precision in session.PRECISIONS:
        first, peak = run_in_process(__spec__.name, 'start', precision, time.perf_counter())
        rounds = np.array(run_in_process(__spec__.name, 'case', precision))
        seconds, to_bare, to_listed = (statistics.median(x) for x in
                                       (rounds[:, 0], rounds[:, 0] / rounds[:, 1], rounds[:, 0] / rounds[:, 2]))
        print(f'{precision:10} {seconds:11.4f} {to_bare:12.3f} {to_listed:14.3f} {first:15.1f} {peak / 1e6:8.0f}',
              flush=True)
    print(f'\n{"default command":15} {"total seconds":>13} {"MB on disk":>11} {"final loss":>11}')
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
