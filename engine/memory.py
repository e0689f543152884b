"""How much memory there is, and how much a picture takes."""

import contextlib
import math
from pathlib import Path

from engine.messages import UserError

SMALLEST = 16  # pixels of a side
# What training a picture takes, by benchmarks/memory.py over the four recipes: at most a fifth more than was measured
BESIDES = 0.65e9  # bytes: Python, its libraries, TensorFlow
OF_WEIGHTS = 18  # times the bytes of the filters down to the deepest layer: constants, and what the session makes of them
A_PIXEL = {('adam', 'float32'): 3100, ('adam', 'bfloat16'): 2000, ('lbfgs', 'float32'): 5100, ('lbfgs', 'bfloat16'): 5100}


def free_memory():
    """Bytes that a program could use without swapping, or that its container leaves it; 4 GB on a system that does not say."""
    free = []
    with contextlib.suppress(OSError, KeyError, ValueError):
        about = dict(line.split(':') for line in Path('/proc/meminfo').read_text().splitlines())
        free.append(1024 * int(about['MemAvailable'].split()[0]))
    with contextlib.suppress(OSError, ValueError):  # no number where there is no limit
        limit, used = (int(Path('/sys/fs/cgroup', name).read_text()) for name in ('memory.max', 'memory.current'))
        free.append(limit - used + _reclaimable())
    return min(free, default=4 << 30)


def _reclaimable():
    """Bytes of files that the container holds and would give up."""
    with contextlib.suppress(OSError, KeyError, ValueError):
        about = dict(line.split() for line in Path('/sys/fs/cgroup/memory.stat').read_text().splitlines())
        return int(about['inactive_file'])
    return 0


def needed(pixels, filters, optimizer, precision):
    """Bytes that training a picture of so many pixels takes; filters: bytes of those in its network."""
    return BESIDES + OF_WEIGHTS * filters + A_PIXEL[optimizer, precision] * pixels


def check(width, height, *network):
    """Raise `UserError` where a picture of this size does not fit into the free memory, saying what does.

    network: filters, optimizer, precision, as `needed` has them
    """
    free, needs, least = free_memory(), needed(width * height, *network), needed(0, *network)
    if needs <= free:
        return
    scale = math.sqrt(max(0, free - least) / (needs - least))
    fitting = int(scale * width), int(scale * height)
    ways = [('--width', '{} --height {} would fit'.format(*fitting))] if min(fitting) >= SMALLEST else []
    raise UserError(f'{width}×{height} needs {needs / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free'
                    + ('' if ways else ', too little for any picture'), *ways)
