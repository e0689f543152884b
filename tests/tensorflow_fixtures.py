"""Fixtures that need TensorFlow: a tiny VGG-19, models and runs made with it, processes that have loaded it."""

from pathlib import Path

import pytest

import load_vgg
from common.tf1 import tf
from engine.run import session
from fast.networks import export
from style_transfer import StyleTransfer
from tests import process_helpers
from tests.factories import few_blocks, he_weights, random_any, random_parameters

tf.Session().close()  # the first one of a process sets the threads of all, and with them the last bits of sums


@pytest.fixture(scope='module')
def unoptimized_graphs():
    """Run graphs as they are built: optimizing that of a network's training takes longer than its few tiny steps."""
    session_config = session.session_config

    def plain(precision, threads=0):
        config = session_config(precision, threads)
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        return config
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, 'session_config', plain)
        yield


@pytest.fixture(scope='session')
def model_folder(tmp_path_factory):
    """The path of a model of three styles, 'a', 'b' and 'c', with random parameters."""
    folder = tmp_path_factory.mktemp('models') / 'random'
    export.write_multi_style(folder, random_parameters(),
                             {'styles': dict.fromkeys('abc', 'a hash'), 'base': 4, 'steps': 7})
    return folder


@pytest.fixture(scope='session')
def any_folder(tmp_path_factory):
    """The path of a model that takes any painting, with random parameters."""
    folder = tmp_path_factory.mktemp('any') / 'any'
    with few_blocks():
        export.write_arbitrary(folder, random_any(), {'steps': 7})
    return folder


@pytest.fixture(scope='session')
def tiny_vgg(tmp_path_factory):
    """The path of a .mat with a tiny VGG-19."""
    path = tmp_path_factory.mktemp('weights') / 'tiny.mat'
    load_vgg.write_weights(path, he_weights())
    return path


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
    """A `process_helpers.Server`."""
    server = process_helpers.Server()
    yield server
    server.close()
