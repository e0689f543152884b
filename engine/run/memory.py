"""Estimate the memory that training a picture needs, and refuse sizes that do not fit into the free memory."""

import contextlib
import math
import os
from pathlib import Path

import load_vgg
import utils
from common.errors import UserError
from engine.optim.optimizer import Optimizer
from engine.optim.pyramid import Level
from engine.run import session

# Memory of training a picture, fitted to the measurements of benchmarks/memory.py over all recipes. The estimates are
# up to a quarter higher than the measured values.
BASE_BYTES = 0.65e9  # Python, its libraries and TensorFlow
# Factor of the bytes of VGG's filters down to the deepest layer: these constants, and the copies that sessions make.
BYTES_PER_FILTER_BYTE = 18
BYTES_PER_PIXEL = {'float32': 2500, 'bfloat16': 1450}
# Added per pixel in float32 without AVX-512: on an AMD with AVX2, modern at 1024×1024 took 5.0 GB.
EXTRA_BYTES_WITHOUT_AVX512 = 800
BYTES_PER_PIXEL_BEFORE_RELU = 3100  # if a loss uses a layer before its ReLU: the maps before and after it are kept

# Files of Linux control groups, version 2 and version 1: (limit, usage, key of the reclaimable bytes in memory.stat).
CGROUP_FILES = (('memory.max', 'memory.current', 'inactive_file'),
             ('memory/memory.limit_in_bytes', 'memory/memory.usage_in_bytes', 'total_inactive_file'))


def free_memory() -> int:
    """Return the bytes that a program could use without swapping, within the limit of its container.

    This is the total memory if the system does not report what is free (macOS), and 4 GB if it reports nothing
    (Windows).
    """
    free = []
    with contextlib.suppress(AttributeError, OSError, ValueError):
        free.append(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'))
    with contextlib.suppress(OSError, KeyError, ValueError):
        about = dict(line.split(':') for line in Path('/proc/meminfo').read_text().splitlines())
        free.append(1024 * int(about['MemAvailable'].split()[0]))
    for limit, used, reclaimable in CGROUP_FILES:
        with contextlib.suppress(OSError, KeyError, ValueError):  # Without a limit, the file has no number.
            group = Path('/sys/fs/cgroup')
            about = dict(line.split() for line in (group / limit).with_name('memory.stat').read_text().splitlines())
            free.append(int((group / limit).read_text()) - int((group / used).read_text()) + int(about[reclaimable]))
    return min(free, default=4 << 30)


def estimate_bytes(pixels: int, filter_bytes: float, optimizer: Optimizer, precision: str,
                   before_relu: bool = False) -> float:
    """Estimate the bytes that training a picture needs.

    Args:
        pixels: Number of pixels of the picture.
        filter_bytes: Bytes of VGG's filters in the largest network of the run.
        optimizer: The optimizer of the pixels.
        precision: 'float32' or 'bfloat16'.
        before_relu: Whether the losses use feature maps before their ReLU.
    """
    per_pixel = optimizer.bytes_per_pixel + (BYTES_PER_PIXEL_BEFORE_RELU if before_relu else BYTES_PER_PIXEL[precision])
    if precision == 'float32' and not session.has_avx512():
        per_pixel += EXTRA_BYTES_WITHOUT_AVX512
    return BASE_BYTES + BYTES_PER_FILTER_BYTE * filter_bytes + per_pixel * pixels


def check_size(width: int, height: int, filters: float, optimizer: Optimizer, precision: str,
               before_relu: bool = False) -> None:
    """Check that training a picture of this size fits into the free memory.

    Args:
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        filters: As in `estimate_bytes`.
        optimizer: As in `estimate_bytes`.
        precision: As in `estimate_bytes`.
        before_relu: As in `estimate_bytes`.

    Raises:
        UserError: It does not fit; the hints name a size of the same aspect ratio, or a precision, that fits.
    """
    def estimate(pixels, precision):
        return estimate_bytes(pixels, filters, optimizer, precision, before_relu)
    free, needed, minimum = free_memory(), estimate(width * height, precision), estimate(0, precision)
    if needed <= free:
        return
    scale = math.sqrt(max(0, free - minimum) / (needed - minimum))
    fitting = int(scale * width), int(scale * height)
    hints = [('--width', '{} --height {} would fit'.format(*fitting))] if min(fitting) >= utils.MIN_SIDE_PX else []
    halved = estimate(width * height, 'bfloat16')
    if precision == 'float32' and optimizer.takes_bfloat16 and halved <= free:
        hints.append(('--precision', f'bfloat16 takes {halved / 1e9:.1f} GB'))
    raise UserError(f'{width}×{height} needs {needed / 1e9:.1f} GB of memory, but only {free / 1e9:.1f} GB are free'
                    + ('' if hints else ', too little for any picture'), *hints)


def check_pyramid(levels: list[Level], weights: load_vgg.Weights, optimizer: Optimizer, precision: str) -> None:
    """Check that training a picture at these levels fits into the free memory; raise `UserError` if it does not.

    The largest network of all levels counts, because the memory that a smaller level took is not given back.
    """
    layers = [layer for level in levels for layer in level.recipe.content_layers + level.recipe.style_layers]
    filters = [W.nbytes for W, _ in weights.convolutions.values()]
    before_relu = any(layer.endswith(load_vgg.BEFORE_RELU) for layer in layers)
    check_size(levels[-1].width, levels[-1].height, sum(filters[:load_vgg.deepest_index(layers) + 1]), optimizer,
               precision, before_relu)
