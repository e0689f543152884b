"""How much memory there is, and how much a picture takes."""

import contextlib
import math
import os
from pathlib import Path

import utils
from common.errors import UserError
from engine.run import session

# What training a picture takes, by benchmarks/memory.py over the recipes: up to a quarter more than was measured
BASE_BYTES = 0.65e9  # bytes: Python, its libraries, TensorFlow
# times the bytes of the filters down to the deepest layer: constants, and what a session makes of them
BYTES_PER_FILTER_BYTE = 18
BYTES_PER_PIXEL = {'float32': 2500, 'bfloat16': 1450}  # bytes
EXTRA_BYTES_WITHOUT_AVX512 = 800  # bytes a pixel more in float32: an AMD with AVX2 took 5.0 GB for modern at 1024×1024
BYTES_PER_PIXEL_BEFORE_RELU = 3100  # bytes a pixel where layers before their ReLU are used: both maps are kept
LBFGS_BYTES_PER_PIXEL = 760  # bytes a pixel more for SciPy's pairs, in float64

CGROUP_FILES = (('memory.max', 'memory.current', 'inactive_file'),  # of control groups, version 2 and version 1
             ('memory/memory.limit_in_bytes', 'memory/memory.usage_in_bytes', 'total_inactive_file'))


def free_memory():
    """Return the bytes that a program could use without swapping, or that its container leaves it.

    Where the system does not say what is free (macOS), this is all the memory there is; where it says nothing
    (Windows), 4 GB.
    """
    free = []
    with contextlib.suppress(AttributeError, OSError, ValueError):
        free.append(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'))
    with contextlib.suppress(OSError, KeyError, ValueError):
        about = dict(line.split(':') for line in Path('/proc/meminfo').read_text().splitlines())
        free.append(1024 * int(about['MemAvailable'].split()[0]))
    for limit, used, reclaimable in CGROUP_FILES:
        with contextlib.suppress(OSError, KeyError, ValueError):  # no number where there is no limit
            group = Path('/sys/fs/cgroup')
            about = dict(line.split() for line in (group / limit).with_name('memory.stat').read_text().splitlines())
            free.append(int((group / limit).read_text()) - int((group / used).read_text()) + int(about[reclaimable]))
    return min(free, default=4 << 30)


def estimate_bytes(pixels, filters, optimizer, precision, before_relu=False):
    """Bytes that training a picture of so many pixels takes.

    filters: bytes of those in the largest network of the run; before_relu: whether maps before their ReLU are compared
    """
    a_pixel = (BYTES_PER_PIXEL_BEFORE_RELU if before_relu else BYTES_PER_PIXEL[precision]) + LBFGS_BYTES_PER_PIXEL * (
        optimizer == 'lbfgs'
    )
    if precision == 'float32' and not session.has_avx512():
        a_pixel += EXTRA_BYTES_WITHOUT_AVX512
    return BASE_BYTES + BYTES_PER_FILTER_BYTE * filters + a_pixel * pixels


def check_size(width, height, filters, optimizer, precision, before_relu=False):
    """Raise `UserError` where a picture of this size does not fit into the free memory, saying what does.

    filters, optimizer, precision, before_relu: as `estimate_bytes` has them
    """
    def of(pixels, precision):
        return estimate_bytes(pixels, filters, optimizer, precision, before_relu)
    free, needs, least = free_memory(), of(width * height, precision), of(0, precision)
    if needs <= free:
        return
    scale = math.sqrt(max(0, free - least) / (needs - least))
    fitting = int(scale * width), int(scale * height)
    ways = [('--width', '{} --height {} would fit'.format(*fitting))] if min(fitting) >= utils.MIN_SIDE_PX else []
    if precision == 'float32' and optimizer == 'adam' and (halved := of(width * height, 'bfloat16')) <= free:
        ways.append(('--precision', f'bfloat16 takes {halved / 1e9:.1f} GB'))
    raise UserError(f'{width}×{height} needs {needs / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free'
                    + ('' if ways else ', too little for any picture'), *ways)
