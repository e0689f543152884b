"""Runs that were made before some settings existed: they are still the same runs. tests/old/ holds one."""

import json
import shutil

import numpy as np
import pytest

import recipes
import style_transfer
from common import paths
from common.errors import UserError
from engine.run import runs

PICTURE = ['--content', 'content.png', '--style', 'style.png', '--width', '48', '--height', '32', '--vgg', 'tiny.mat',
           '--threads', '1']


@pytest.fixture
def old(workdir):
    """The current directory, with the run in it."""
    shutil.copytree(paths.ROOT / 'tests/old', workdir, dirs_exist_ok=True)
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


def test_a_setting_that_came_later_has_its_default(old):
    path = old / 'checkpoints/r/run.json'
    saved = path.read_text()

    def claim(colors):
        path.write_text(saved)
        with runs.Run('r', json.loads(saved) | {'colors': colors}, {'colors': 'the style'}).acquire():
            pass
    claim('the style')
    with pytest.raises(UserError, match=r'other settings: colors \(now the content, was the style\); --restart'):
        claim('the content')


def test_every_field_of_a_recipe_has_a_default_for_old_runs():
    missing = recipes.CS20.fingerprint().keys() - recipes.legacy_defaults().keys()
    assert missing == {'name'}
