"""Runs that were made before some settings existed: they are still the same runs. tests/old/ holds two."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import fast_style_transfer
import recipes
import style_transfer
from engine import runs, shipped
from engine.messages import UserError
from fast import models

PICTURE = ['--content', 'content.png', '--style', 'style.png', '--width', '48', '--height', '32', '--vgg', 'tiny.mat',
           '--threads', '1']
NETWORK = ['train', '--style', 'style.png', '--images', 'photos', '--held-out', 'content.png', '--side', '32',
           '--batch', '1', '--network', 'johnson', '--base', '4', '--vgg', 'tiny.mat', '--threads', '1',
           '--name', 'fast']
ABOUT_A_MODEL = 'style_file', 'vgg_file', 'steps', 'held_out', 'saved_model'  # in model.json beside the settings


@pytest.fixture
def old(workdir):
    """The current directory, with both runs in it."""
    shutil.copytree(shipped.ROOT / 'tests/old', workdir, dirs_exist_ok=True)
    return workdir


def losses(folder):
    return np.loadtxt(folder / 'checkpoints/r/losses.csv', delimiter=',', skiprows=1)


def test_an_old_picture_goes_on(old, capsys):
    before = losses(old)
    assert style_transfer.main([*PICTURE, '--name', 'r', '--iterations', '30']) == 0
    assert 'r: resuming at iteration 20' in capsys.readouterr().out
    assert (losses(old)[:20] == before[:20]).all()
    assert style_transfer.main([*PICTURE, '--name', 'straight', '--iterations', '30', '--precision', 'float32']) == 0
    straight = np.loadtxt('checkpoints/straight/losses.csv', delimiter=',', skiprows=1)
    np.testing.assert_allclose(losses(old), straight, rtol=0.01)  # other processors have other last digits


def test_an_old_network_goes_on_and_its_model_is_its_own(old, capsys):
    assert fast_style_transfer.main([*NETWORK, '--iterations', '3']) == 0
    assert 'fast: resuming at iteration 2' in capsys.readouterr().out
    assert json.loads(Path('models/fast/model.json').read_text())['steps'] == 3


def claim(run):
    with run.claimed():
        pass


@pytest.mark.parametrize('name, path, check', [
    ('r', 'checkpoints/r/run.json', claim),
    ('fast', 'models/fast/model.json', lambda run: models.check_free(Path('models/fast'), run))])
def test_a_setting_that_came_later_has_its_default(old, name, path, check):
    saved = json.loads(Path(path).read_text())
    now = {key: value for key, value in saved.items() if key not in ABOUT_A_MODEL}
    check(runs.Run(name, now | {'colours': 'the style'}, {'colours': 'the style'}))
    (old / path).write_text(json.dumps(saved))
    with pytest.raises(UserError, match=r'other settings: colours \(now the content, was the style\); --restart'):
        check(runs.Run(name, now | {'colours': 'the content'}, {'colours': 'the style'}))


def test_every_field_of_a_recipe_has_a_default_for_old_runs():
    missing = recipes.CS20.identity().keys() - recipes.defaults().keys()
    assert missing == {'name'}
