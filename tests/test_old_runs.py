"""Runs from before some settings existed can be resumed: tests/old/ has one, to compare with a new run."""

import json
import shutil

import numpy as np
import pytest

import recipes
import style_transfer
from common import paths
from common.errors import UserError
from engine.run import runs

FLAGS = ['--content', 'content.png', '--style', 'style.png', '--width', '48', '--height', '32', '--vgg', 'tiny.mat',
         '--threads', '1']


@pytest.fixture
def old_run(workdir):
    """Copy the old run to the current directory; return that directory."""
    shutil.copytree(paths.ROOT / 'tests/old', workdir, dirs_exist_ok=True)
    return workdir


def read_losses(folder):
    """Return the loss history of the run 'r', one row per iteration."""
    return np.loadtxt(folder / 'checkpoints/r/losses.csv', delimiter=',', skiprows=1)


def test_an_old_run_is_resumed(old_run, capsys):
    before = read_losses(old_run)
    assert style_transfer.main([*FLAGS, '--name', 'r', '--iterations', '30']) == 0
    assert 'r: resuming at iteration 20' in capsys.readouterr().out
    assert (read_losses(old_run)[:20] == before[:20]).all()
    assert style_transfer.main([*FLAGS, '--name', 'straight', '--iterations', '30', '--precision', 'float32']) == 0
    straight = np.loadtxt('checkpoints/straight/losses.csv', delimiter=',', skiprows=1)
    np.testing.assert_allclose(read_losses(old_run), straight, rtol=0.01)  # Processors round differently.


def test_a_newer_setting_counts_as_its_default_in_an_old_run(old_run):
    path = old_run / 'checkpoints/r/run.json'
    saved_text = path.read_text()

    def acquire_with(colors):
        path.write_text(saved_text)
        with runs.Run('r', json.loads(saved_text) | {'colors': colors}, {'colors': 'the style'}).acquire():
            pass
    acquire_with('the style')
    with pytest.raises(UserError, match=r'other settings: colors \(now the content, was the style\); --restart'):
        acquire_with('the content')


def test_every_field_of_a_recipe_has_a_default_for_old_runs():
    missing = recipes.CS20.fingerprint().keys() - recipes.legacy_defaults().keys()
    assert missing == {'name'}
