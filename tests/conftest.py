"""Fixtures that need no TensorFlow; those that need it are in tensorflow_fixtures.py, where it is installed."""

import gc
import importlib.util
import os
import signal

# The processes that share the tests share the cores, because threads that wait for a core slow down all of them.
THREADS_PER_PROCESS = max(1, (os.cpu_count() or 1) // int(os.environ.get('PYTEST_XDIST_WORKER_COUNT', 1)))
for name in ('TF_NUM_INTRAOP_THREADS', 'OMP_NUM_THREADS'):  # NumPy and TensorFlow read them when they are imported
    os.environ.setdefault(name, str(THREADS_PER_PROCESS))

import imageio.v3 as iio
import numpy as np
import pytest

pytest_plugins = ['tests.tensorflow_fixtures'] if importlib.util.find_spec('tensorflow') else []

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # by a shell, in the background: tests press Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """Let Python look for garbage less often: it takes a tenth of the time of building graphs, whose ops stay."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(scope='session')
def images(tmp_path_factory):
    """The paths of a content and a style image, 48×32."""
    rng = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp('images')
    paths = folder / 'content.png', folder / 'style.png'
    for path in paths:
        blocks = rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)
        iio.imwrite(path, blocks.repeat(4, axis=0).repeat(4, axis=1))
    return paths


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """An empty current directory: runs write below it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
