"""Fixtures that need no TensorFlow; tensorflow_fixtures.py has the others, loaded only if TensorFlow is installed."""

import gc
import importlib.util
import os
import signal

# Divide the cores among the test processes, because threads that wait for a core slow down all processes.
THREADS_PER_PROCESS = max(1, (os.cpu_count() or 1) // int(os.environ.get('PYTEST_XDIST_WORKER_COUNT', 1)))
for name in ('TF_NUM_INTRAOP_THREADS', 'OMP_NUM_THREADS'):  # NumPy and TensorFlow read these during import.
    os.environ.setdefault(name, str(THREADS_PER_PROCESS))

import imageio.v3 as iio
import numpy as np
import pytest

pytest_plugins = ['tests.tensorflow_fixtures'] if importlib.util.find_spec('tensorflow') else []

# A shell makes background jobs ignore SIGINT, but some tests send this signal.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """Make Python collect garbage less often: it takes a tenth of the time of building graphs, whose ops stay alive."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(scope='session')
def images(tmp_path_factory):
    """Write a content and a style image, both 48×32 pixels; return their paths."""
    rng = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp('images')
    paths = folder / 'content.png', folder / 'style.png'
    for path in paths:
        blocks = rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)
        iio.imwrite(path, blocks.repeat(4, axis=0).repeat(4, axis=1))
    return paths


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """Make an empty directory the current one, because runs write below it; return its path."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
