"""Training on several processes of a thread each: crops a second beside one with as many threads; bytes moved.

    python -m benchmarks.cluster [--side W] [--steps N]

The processes are the tasks of a cluster on this machine, each with its share of a batch of 4 and one thread; what they
are compared with is one process without a cluster that has their threads together. Then the bytes that a step moves,
counted from the shapes and by the loopback interface; and how many photos a core decodes and cuts in a second.
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

BATCH_CROPS, BASE_CHANNELS = 4, 32
TASK_COUNTS = 1, 2, 4
ROUNDS = 2
PHOTO_PX = 640, 480  # pixels of the photos that are decoded, as in COCO


def machine(side, threads, task=None):
    """A `FastStyleTransfer` as `train` makes it by default, but for its side."""
    photos = CropDataset([paths.ROOT / 'content'], side + 2 * multi_style.SHIFT_PX, 0)
    made = multi_style.MultiStyleTraining(
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
    made.build()
    return made


def loopback():
    """Bytes that the loopback interface has sent."""
    return int(re.search(r'lo:\s*(.*)', Path('/proc/net/dev').read_text())[1].split()[8])


def time_steps(made, steps):
    """[crops a second, bytes a step on loopback] of some steps, after a few that do not count."""
    with made.open_session() as sess:
        made.initialize(sess)
        moves = made.optimizer_steps(sess, 0)
        for _ in range(3):
            next(moves)
        times, bytes_before = [time.perf_counter()], loopback()
        for _ in range(steps):
            next(moves)
            times.append(time.perf_counter())
        moved = (loopback() - bytes_before) / steps
    return [BATCH_CROPS / statistics.median(np.diff(times)), moved]


def case(side, steps, threads, path, name):
    """In this process: one without a cluster where `path` is '-', else the task `name`; the first one prints."""
    task = None if path == '-' else cluster.read(path, name)
    if task:
        task.start(session.session_config('float32', int(threads)))
    made = machine(int(side), int(threads), task)
    if task and not task.is_chief:
        made.worker_loop()
    else:
        print('\n' + json.dumps(time_steps(made, int(steps))), flush=True)
    os._exit(0)  # a server has no end


def processes(side, steps, n, folder):
    """[crops a second, bytes a step] of n tasks with a thread each."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(('127.0.0.1', 0))
        addresses = [f'127.0.0.1:{each.getsockname()[1]}' for each in sockets]
    path = Path(folder, 'cluster.json')
    path.write_text(json.dumps({'worker': addresses}))
    command = [sys.executable, '-m', __spec__.name, 'case', str(side), str(steps), '1', str(path)]
    tasks = [subprocess.Popen([*command, f'worker:{i}'], cwd=folder, stdout=subprocess.PIPE, text=True,
                              env=iteration.ENVIRONMENT) for i in range(n)]
    said = [task.communicate()[0] for task in tasks]
    return json.loads(said[0].splitlines()[-1])


def decoding(folder):
    """Photos a second that one core reads, reduces and cuts to crops of 256 pixels, each once."""
    rng = np.random.default_rng(0)
    for i in range(40):
        utils.save_image(Path(folder, f'{i}.jpg'), utils.get_resized_image(paths.CONTENT, *PHOTO_PX) + rng.normal(0, 9))
    photos = CropDataset([folder], 272, 0)
    start = time.process_time()
    for path in photos.paths[1:]:  # the first is read when the object is made
        photos.load_photo(path)
    read = time.process_time()
    for index in range(100):
        photos[index]
    return 39 / (read - start), 100 / (time.process_time() - read)


def main():
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--side', type=int, default=256, metavar='W', help='of the crops (default: %(default)s)')
    parser.add_argument('--steps', type=int, default=10, metavar='N', help='timed (default: %(default)s)')
    args = parser.parse_args()
    print(f'crops of {args.side}, {BATCH_CROPS} a step, {os.cpu_count()} cores\n')
    print('| processes, a thread each | crops a second | one, as many threads | ratio | MB a step on loopback |\n'
          '|---|---|---|---|---|')
    for n in TASK_COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            pairs = [(processes(args.side, args.steps, n, folder),
                      iteration.run_in_process(__spec__.name, 'case', args.side, args.steps, n, '-', '-'))
                     for _ in range(ROUNDS)]
        together, alone = (statistics.median(pair[i][0] for pair in pairs) for i in range(2))
        ratio = statistics.median(pair[0][0] / pair[1][0] for pair in pairs)
        moved = statistics.median(pair[0][1] for pair in pairs)
        print(f'| {n} | {together:.3f} | {alone:.3f} | {ratio:.2f} | {moved / 1e6:.2f} |', flush=True)
    with tempfile.TemporaryDirectory() as folder:
        read, cut = decoding(folder)
    print(f'\na core reads {read:.0f} photos of {PHOTO_PX[0]}×{PHOTO_PX[1]} a second, and cuts {cut:.0f} crops')
    made = machine(32, 1)
    with made.graph.as_default():
        count = sum(variable.shape.num_elements() for variable in tf.trainable_variables())
    print(f'{count:,} parameters: {4 * count / 1e6:.2f} MB to each other task and as much back, a step')


if __name__ == '__main__':
    case(*sys.argv[2:]) if sys.argv[1:2] == ['case'] else main()
