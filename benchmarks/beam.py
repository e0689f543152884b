"""Compare the cost of stylizing a folder with Apache Beam (one or two workers) with the cost of `stylize`.

    python -m benchmarks.beam --beam-python .beam/bin/python

--beam-python names the interpreter of an environment that has Apache Beam. The commands take turns, each in a process
of its own, on copies of the bundled photos reduced to 512 pixels. They also run on two photos only, which measures the
start-up time.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import utils
from common import paths
from fast.inference import tiled

SIDE_PX = 512  # longer side of a photo
COPIES = 5  # of each bundled photo
FEW_PHOTOS = 2  # photos of the runs that measure the start-up time
ROUNDS = 3
STYLIZE = [paths.ROOT / 'fast_style_transfer.py', 'stylize', 'IN', '--out', 'OUT']
BEAM = ['-m', 'fast.beam', '--runner', 'FnApiRunner', '--input', 'IN', '--output', 'OUT']
TWO_WORKERS = '--direct_num_workers=2', '--direct_running_mode=multi_processing'
COMMANDS = {
    '`stylize`': STYLIZE,
    '`stylize --threads 1`': [*STYLIZE, '--threads', '1'],
    'one worker': BEAM,
    'one worker, `--threads 2`': [*BEAM, '--threads', '2'],
    'two workers': [*BEAM, *TWO_WORKERS],
}
# A program that runs its arguments as a command, and prints its wall-clock seconds, its CPU seconds and the peak memory
# of its largest process in bytes.
COST_PROGRAM = ('import json, resource, subprocess, sys, time; start = time.perf_counter();'
        'subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL);'
        'used = resource.getrusage(resource.RUSAGE_CHILDREN);'
        'print(json.dumps([time.perf_counter() - start, used.ru_utime + used.ru_stime, 1024 * used.ru_maxrss]))')


def cost(python: Path, command: Sequence, photos: Path) -> list[float]:
    """Run a command on a folder of photos, and measure its time and memory.

    Args:
        python: The interpreter that runs the command.
        command: Its arguments; 'IN' and 'OUT' stand for the folders of the photos and of the pictures.
        photos: Folder of the photos.

    Returns:
        [wall-clock seconds, CPU seconds, peak memory of the largest process in bytes].
    """
    with tempfile.TemporaryDirectory() as out:
        arguments = [{'IN': photos, 'OUT': out}.get(part, part) for part in command]
        completed = subprocess.run([sys.executable, '-c', COST_PROGRAM, python, *arguments, '--style', 'starry_night'],
                                   cwd=paths.ROOT, capture_output=True, text=True, check=True)
    return json.loads(completed.stdout)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--beam-python', required=True, type=lambda text: Path(text).absolute(), metavar='PYTHON',
                        help='Python interpreter of an environment that has Apache Beam')
    python = parser.parse_args().beam_python
    with tempfile.TemporaryDirectory() as folder:
        names = sorted(path for path in (paths.ROOT / 'content').iterdir() if path.suffix in utils.IMAGE_SUFFIXES)
        for i, path in enumerate(names * COPIES):
            photo = tiled.limit_side(utils.read_image(path), SIDE_PX)
            for part in ['all', 'few'] if i < FEW_PHOTOS else ['all']:
                utils.save_image(Path(folder, part, f'{i}.jpg'), photo)
        measured = {(name, part): [] for name in COMMANDS for part in ('few', 'all')}
        for _ in range(ROUNDS):
            for (name, part), runs in measured.items():
                runs.append(cost(python, COMMANDS[name], Path(folder, part)))
    n = len(names) * COPIES
    medians = {case: [statistics.median(values) for values in zip(*runs)] for case, runs in measured.items()}
    rate = {name: (n - FEW_PHOTOS) / (medians[name, 'all'][0] - medians[name, 'few'][0]) for name in COMMANDS}
    print(f'{n} photos\n\n| | photos per second | ratio to `stylize` | seconds for {FEW_PHOTOS} photos | '
          'core-seconds per photo | peak memory |\n|---|---|---|---|---|---|')
    for name in COMMANDS:
        (few, few_cores, _), (_, cores, memory) = medians[name, 'few'], medians[name, 'all']
        print(f'| {name} | {rate[name]:.2f} | {rate[name] / rate["`stylize`"]:.2f} | {few:.1f} | '
              f'{(cores - few_cores) / (n - FEW_PHOTOS):.3f} | {memory / 1e6:.0f} MB |')


if __name__ == '__main__':
    main()
