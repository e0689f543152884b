"""What stylizing a folder costs: `fast.beam` with one and two workers beside `stylize`.

    python -m benchmarks.beam --beam-python .beam/bin/python

Whole processes take turns over copies of the photos that ship, reduced to 512 pixels; and over two of them, which tells
what starting costs.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import utils
from common import paths
from fast.inference import tiled

SIDE_PX = 512
COPIES = 5
FEW_PHOTOS = 2  # photos
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
# a program that runs its arguments and prints seconds, those of the cores, and the most memory of a process in bytes
COST_PROGRAM = ('import json, resource, subprocess, sys, time; start = time.perf_counter();'
        'subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL);'
        'used = resource.getrusage(resource.RUSAGE_CHILDREN);'
        'print(json.dumps([time.perf_counter() - start, used.ru_utime + used.ru_stime, 1024 * used.ru_maxrss]))')


def cost(python, command, photos):
    """Seconds, seconds of the cores and bytes that a command takes for the photos of a folder."""
    with tempfile.TemporaryDirectory() as out:
        filled = [{'IN': photos, 'OUT': out}.get(part, part) for part in command]
        done = subprocess.run([sys.executable, '-c', COST_PROGRAM, python, *filled, '--style', 'starry_night'],
                              cwd=paths.ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--beam-python', required=True, type=lambda text: Path(text).absolute(), metavar='PYTHON')
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
    print(f'{n} photos\n\n| | photos a second | ratio | seconds for {FEW_PHOTOS} | core-seconds a photo | memory |\n'
          '|---|---|---|---|---|---|')
    for name in COMMANDS:
        (few, few_cores, _), (_, cores, memory) = medians[name, 'few'], medians[name, 'all']
        print(f'| {name} | {rate[name]:.2f} | {rate[name] / rate["`stylize`"]:.2f} | {few:.1f} | '
              f'{(cores - few_cores) / (n - FEW_PHOTOS):.3f} | {memory / 1e6:.0f} MB |')


if __name__ == '__main__':
    main()
