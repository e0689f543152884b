"""Fixtures that need TensorFlow: a tiny VGG-19, models and a run made with it, and a process that has loaded it."""

from pathlib import Path

import pytest

import load_vgg
from common.tf1 import tf
from engine.run import session
from fast.networks import export
from style_transfer import StyleTransfer
from tests import process_helpers
from tests.factories import few_blocks, he_weights, random_arbitrary, random_parameters

# The first session of a process sets the number of threads for all sessions, and so the last bits of sums.
tf.Session().close()


@pytest.fixture(scope='module')
def unoptimized_graphs():
    """Switch off TensorFlow's graph optimizer, which takes longer than the few tiny training steps of a test."""
    session_config = session.session_config

    def unoptimized_config(precision, threads=0):
        config = session_config(precision, threads)
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        return config
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, 'session_config', unoptimized_config)
        yield


@pytest.fixture(scope='session')
def model_folder(tmp_path_factory):
    """Write a multi-style model of the styles 'a', 'b' and 'c' with random parameters; return its folder."""
    folder = tmp_path_factory.mktemp('models') / 'random'
    export.write_multi_style(folder, random_parameters(),
                             {'styles': dict.fromkeys('abc', 'a hash'), 'base': 4, 'steps': 7})
    return folder


@pytest.fixture(scope='session')
def any_folder(tmp_path_factory):
    """Write an arbitrary style transfer model with random parameters; return its folder."""
    folder = tmp_path_factory.mktemp('any') / 'any'
    with few_blocks():
        export.write_arbitrary(folder, random_arbitrary(), {'steps': 7})
    return folder


@pytest.fixture(scope='session')
def tiny_vgg(tmp_path_factory):
    """Write a .mat file with a tiny VGG-19; return its path."""
    path = tmp_path_factory.mktemp('weights') / 'tiny.mat'
    load_vgg.write_weights(path, he_weights())
    return path


@pytest.fixture(scope='session')
def run_folder(images, tiny_vgg, tmp_path_factory):
    """Train a run of 60 iterations that lost its checkpoints after 50; return its folder.

    It kept only the last two checkpoints, so the second training begins again and computes 1 to 50 twice.
    """
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
    """Start a `process_helpers.Server`, which forks processes that have loaded TensorFlow."""
    server = process_helpers.Server()
    yield server
    server.close()
