"""What most tests need: a tiny VGG-19, two small images, a folder of their own to run in."""

import signal
from pathlib import Path

from engine import quiet  # before tensorflow

import imageio.v3 as iio
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import forks
import load_vgg
from fast import any_exporting, exporting
from made import he_weights, random_any, random_parameters
from style_transfer import StyleTransfer

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # by a shell, in the background: tests press Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
tf.Session().close()  # the first one of a process sets the threads of all, and with them the last bits of sums

@pytest.fixture(scope='session')
def model_folder(tmp_path_factory):
    """The path of a model of three styles, 'a', 'b' and 'c', with random parameters."""
    folder = tmp_path_factory.mktemp('models') / 'random'
    exporting.write(folder, random_parameters(), {'styles': dict.fromkeys('abc', 'a hash'), 'base': 4, 'steps': 7})
    return folder


@pytest.fixture(scope='session')
def any_folder(tmp_path_factory):
    """The path of a model that takes any painting, with random parameters."""
    folder = tmp_path_factory.mktemp('any') / 'any'
    any_exporting.write(folder, random_any(), {'steps': 7})
    return folder


@pytest.fixture(scope='session')
def tiny_vgg(tmp_path_factory):
    """The path of a .mat with a tiny VGG-19."""
    path = tmp_path_factory.mktemp('weights') / 'tiny.mat'
    load_vgg.write_weights(path, he_weights())
    return path


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


@pytest.fixture(scope='session')
def run_folder(images, tiny_vgg, tmp_path_factory):
    """A run of 60 iterations whose checkpoint of 40 was lost: 21 to 60 were computed twice."""
    folder = tmp_path_factory.mktemp('run')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for n_iters in (50, 60):
            machine = StyleTransfer(*images, 48, 32, vgg=tiny_vgg, name='r')
            machine.build()
            machine.train(n_iters)
            for path in Path('checkpoints/r').glob('model-[45]0.*') if n_iters == 50 else []:
                path.unlink()
    return folder


@pytest.fixture(scope='session')
def server():
    """A `forks.Server`."""
    server = forks.Server()
    yield server
    server.close()


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """An empty current directory: runs write below it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
