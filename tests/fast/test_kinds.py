"""Test the registry of network kinds: all classes are complete, and models with or without a kind are read."""

import json
import shutil

import pytest

from common import paths
from common.errors import UserError
from fast.commands import stylize
from fast.inference import models, tiled
from fast.kinds import KINDS, load_class
from fast.training.network_training import NetworkTraining


@pytest.mark.parametrize('kind', KINDS)
def test_the_classes_of_every_kind_exist_and_are_complete(kind):
    network, training, inference = map(load_class, KINDS[kind])
    assert isinstance(network, type)
    assert issubclass(training, NetworkTraining) and not training.__abstractmethods__
    assert issubclass(inference, tiled.TiledModel) and not inference.__abstractmethods__


@pytest.mark.parametrize('name, kind', [('many', models.MULTI_STYLE), ('any', models.ARBITRARY)])
def test_models_without_a_kind_are_read(name, kind, tmp_path):
    folder = shutil.copytree(paths.ROOT / 'models' / name, tmp_path / name)
    about = json.loads((folder / models.MODEL_JSON).read_text())
    about.pop('kind', None)
    (folder / models.MODEL_JSON).write_text(json.dumps(about))
    assert models.load(folder).kind == kind


def test_a_kind_that_is_not_known_is_refused_in_one_line(tmp_path):
    folder = shutil.copytree(paths.ROOT / 'models' / 'many', tmp_path / 'many')
    about = json.loads((folder / models.MODEL_JSON).read_text())
    (folder / models.MODEL_JSON).write_text(json.dumps(about | {'kind': 'diffusion'}))
    with pytest.raises(UserError, match='many: .*diffusion'):
        stylize.make_renderer(models.load(folder), 1, {})
