"""Measure the training speed of a cluster of single-threaded processes, and the bytes that they exchange.

    python -m benchmarks.cluster [--side W] [--steps N]

The processes are the tasks of a cluster on this machine; each has one thread and an equal share of a batch of 4 crops.
They are compared with one process outside a cluster that has as many threads as they have together. The bytes
exchanged in a step are counted in two ways: from the shapes of the parameters, and at the loopback interface (Linux).
The last measurement is how many photos one core decodes, and how many crops it cuts, in a second.
"""

import argparse
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import utils
from benchmarks import iteration
from common import paths
from common.tf1 import tf
from engine.run import session
from fast.data.crops import CropDataset
from fast.training import cluster, multi_style
from fast.training.network_training import SHIFT_PX

BATCH_CROPS, BASE_CHANNELS = 4, 32
TASK_COUNTS = 1, 2, 4
ROUNDS = 2
PHOTO_PX = 640, 480  # width and height of the photos that are decoded, as in COCO


def machine(side: int, threads: int, task: cluster.Task | None = None) -> multi_style.MultiStyleTraining:
    """Build a training of a multi-style network with one style.

    Args:
        side: Side of a crop in pixels.
        threads: Number of threads.
        task: This process's task, started, or None for a training without a cluster.

    Returns:
        The training, with its graph built.
    """
    photos = CropDataset([paths.ROOT / 'content'], side + 2 * SHIFT_PX, 0)
    training = multi_style.MultiStyleTraining(
        photos,
        BATCH_CROPS,
        paths.HELD_OUT_PHOTOS,
        [paths.STYLE],
        BASE_CHANNELS,
        consistency_weight=20.0,
        vgg=paths.WEIGHTS,
        precision='float32',
        threads=threads,
        name='r',
        task=task,
    )
    training.build()
    return training


def loopback() -> int:
    """Return the number of bytes that the loopback interface has sent (Linux)."""
    return int(re.search(r'lo:\s*(.*)', Path('/proc/net/dev').read_text())[1].split()[8])


def time_steps(made: multi_style.MultiStyleTraining, steps: int) -> list[float]:
    """Time some steps of a training, after three warm-up steps.

    Args:
        made: The training, from `machine`.
        steps: Number of steps to time.

    Returns:
        [crops per second (from the median step), bytes per step over the loopback interface].
    """
    with made.open_session() as sess:
        made.initialize(sess)
        step_losses = made.optimizer_steps(sess, 0)
        for _ in range(3):
            next(step_losses)
        times, bytes_before = [time.perf_counter()], loopback()
        for _ in range(steps):
            next(step_losses)
            times.append(time.perf_counter())
        bytes_per_step = (loopback() - bytes_before) / steps
    return [BATCH_CROPS / statistics.median(np.diff(times)), bytes_per_step]


def case(side: str, steps: str, threads: str, path: str, name: str) -> None:
    """Run one training in this process; the chief prints the result of `time_steps` as JSON. End the process.

    The arguments are text, from the command line.

    Args:
        side: Side of a crop in pixels.
        steps: Number of steps to time.
        threads: Number of threads.
        path: File that describes the cluster, or '-' for a training without a cluster.
        name: Task of this process, like 'worker:0'.
    """
    task = None if path == '-' else cluster.read(path, name)
    if task:
        task.start(session.session_config('float32', int(threads)))
    training = machine(int(side), int(threads), task)
    if task and not task.is_chief:
        training.worker_loop()
    else:
        print('\n' + json.dumps(time_steps(training, int(steps))), flush=True)
    os._exit(0)  # TensorFlow's server cannot be stopped and would keep the process alive


def processes(side: int, steps: int, n: int, folder: Path | str) -> list[float]:
    """Train in a cluster of n tasks with one thread each.

    Args:
        side: Side of a crop in pixels.
        steps: Number of steps to time.
        n: Number of tasks.
        folder: Working directory of the tasks.

    Returns:
        [crops per second, bytes per step over the loopback interface].
    """
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for bound_socket in sockets:
            bound_socket.bind(('127.0.0.1', 0))
        addresses = [f'127.0.0.1:{bound_socket.getsockname()[1]}' for bound_socket in sockets]
    path = Path(folder, 'cluster.json')
    path.write_text(json.dumps({'worker': addresses}))
    command = [sys.executable, '-m', __spec__.name, 'case', str(side), str(steps), '1', str(path)]
    tasks = [subprocess.Popen([*command, f'worker:{i}'], cwd=folder, stdout=subprocess.PIPE, text=True,
                              env=iteration.ENVIRONMENT) for i in range(n)]
    outputs = [task.communicate()[0] for task in tasks]
    return json.loads(outputs[0].splitlines()[-1])


def decoding(folder: Path | str) -> tuple[float, float]:
    """Measure the input pipeline on 40 noisy photos of PHOTO_PX, which it writes into a folder.

    Returns:
        Photos that one core reads and reduces per second, and crops of 272 pixels that it cuts per second, both by CPU
        time.
    """
    rng = np.random.default_rng(0)
    for i in range(40):
        utils.save_image(Path(folder, f'{i}.jpg'), utils.get_resized_image(paths.CONTENT, *PHOTO_PX) + rng.normal(0, 9))
    photos = CropDataset([folder], 272, 0)
    start = time.process_time()
    for path in photos.paths[1:]:  # the constructor has read the first photo
        photos.load_photo(path)
    reading_end = time.process_time()
    for index in range(100):
        photos[index]
    return 39 / (reading_end - start), 100 / (time.process_time() - reading_end)


def main() -> None:
    """Print all measurements."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--side', type=int, default=256, metavar='W',
                        help='side of a crop in pixels (default: %(default)s)')
    parser.add_argument('--steps', type=int, default=10, metavar='N',
                        help='number of steps to time (default: %(default)s)')
    args = parser.parse_args()
    print(f'crops of {args.side}×{args.side} pixels, {BATCH_CROPS} per step, {os.cpu_count()} cores\n')
    print('| processes of one thread | crops per second | one process with as many threads | ratio | '
          'MB per step over loopback |\n|---|---|---|---|---|')
    for n in TASK_COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            pairs = [(processes(args.side, args.steps, n, folder),
                      iteration.run_in_process(__spec__.name, 'case', args.side, args.steps, n, '-', '-'))
                     for _ in range(ROUNDS)]
        cluster_rate, single_rate = (statistics.median(pair[i][0] for pair in pairs) for i in range(2))
        ratio = statistics.median(pair[0][0] / pair[1][0] for pair in pairs)
        bytes_per_step = statistics.median(pair[0][1] for pair in pairs)
        print(f'| {n} | {cluster_rate:.3f} | {single_rate:.3f} | {ratio:.2f} | {bytes_per_step / 1e6:.2f} |',
              flush=True)
    with tempfile.TemporaryDirectory() as folder:
        read_rate, crop_rate = decoding(folder)
    print(f'\none core reads {read_rate:.0f} photos of {PHOTO_PX[0]}×{PHOTO_PX[1]} per second, and cuts '
          f'{crop_rate:.0f} crops per second')
    training = machine(32, 1)
    with training.graph.as_default():
        count = sum(variable.shape.num_elements() for variable in tf.trainable_variables())
    print(f'{count:,} parameters: in each step {4 * count / 1e6:.2f} MB go to each task other than the chief, and as '
          'much comes back')


if __name__ == '__main__':
    case(*sys.argv[2:]) if sys.argv[1:2] == ['case'] else main()
