"""Compatibility with older versions: their runs and their model, from tests/old/, are resumed and applied."""

import json
import shutil

import imageio.v3 as iio
import numpy as np
import pytest

import fast_style_transfer
import recipes
import style_transfer
from common import paths
from common.errors import UserError
from engine.run import runs

FLAGS = ['--content', 'content.png', '--style', 'style.png', '--width', '48', '--height', '32', '--vgg', 'tiny.mat',
         '--threads', '1']


@pytest.fixture
def old_run(workdir):
    """Copy the old runs and the old model to an empty current directory; return that directory."""
    shutil.copytree(paths.ROOT / 'tests/old', workdir, dirs_exist_ok=True)
    return workdir


def read_losses(folder, name='r'):
    """Return the loss history of a run, one row per iteration."""
    return np.loadtxt(folder / f'checkpoints/{name}/losses.csv', delimiter=',', skiprows=1)


def test_an_old_run_is_resumed(old_run, capsys):
    before = read_losses(old_run)
    assert style_transfer.main([*FLAGS, '--name', 'r', '--iterations', '30']) == 0
    assert 'r: resuming at iteration 20' in capsys.readouterr().out
    assert (read_losses(old_run)[:20] == before[:20]).all()
    assert style_transfer.main([*FLAGS, '--name', 'straight', '--iterations', '30', '--precision', 'float32']) == 0
    straight = np.loadtxt('checkpoints/straight/losses.csv', delimiter=',', skiprows=1)
    np.testing.assert_allclose(read_losses(old_run), straight, rtol=0.01)  # Processors round differently.


def test_an_old_run_of_two_sizes_is_resumed(old_run, capsys):
    before = read_losses(old_run, 'pyramid')
    flags = [*FLAGS, '--width', '64', '--height', '48', '--recipe', 'modern', '--scales', '2',
             '--coarse-iterations', '8', '--coarse-ratio', '0.5', '--iterations', '6', '--precision', 'float32']
    assert style_transfer.main([*flags, '--name', 'pyramid']) == 0
    out = capsys.readouterr().out
    assert 'pyramid: goes on with the recipe modern-1.0' in out and 'pyramid: resuming at iteration 11' in out
    assert (read_losses(old_run, 'pyramid')[:11] == before[:11]).all()
    assert style_transfer.main([*flags, '--recipe', 'modern-1.0', '--name', 'straight']) == 0
    np.testing.assert_allclose(read_losses(old_run, 'pyramid'), read_losses(old_run, 'straight'), rtol=0.01)


def test_an_old_run_of_two_sizes_is_resumed_from_python(old_run, capsys):
    before = read_losses(old_run, 'pyramid')
    style_transfer.stylize('content.png', 'style.png', name='pyramid', size=(64, 48), scales=2, coarse_iterations=8,
                           coarse_ratio=0.5, iterations=6, vgg='tiny.mat', threads=1)
    assert 'pyramid: resuming at iteration 11' in capsys.readouterr().out
    assert (read_losses(old_run, 'pyramid')[:11] == before[:11]).all()


def test_an_old_run_of_lbfgs_is_resumed(old_run, capsys):
    before = read_losses(old_run, 'lbfgs')
    assert style_transfer.main([*FLAGS, '--recipe', 'lbfgs', '--iterations', '20', '--name', 'lbfgs']) == 0
    message = 'lbfgs: resuming at iteration 10, with an empty memory, because an older version did not save it\n'
    printed = capsys.readouterr().out
    assert message in printed and 'damaged' not in printed
    after = read_losses(old_run, 'lbfgs')
    assert len(after) == 21 and (after[:10] == before[:10]).all() and after[-1, -1] < before[-1, -1]
    assert after[10, -1] == pytest.approx(before[10, -1], rel=1e-3)  # It starts from the picture of the old run.
    assert style_transfer.main([*FLAGS, '--recipe', 'lbfgs', '--iterations', '22', '--name', 'lbfgs']) == 0
    assert 'lbfgs: resuming at iteration 20\n' in capsys.readouterr().out


def test_an_old_training_of_a_network_is_resumed_and_its_model_is_applied(old_run, capsys):
    before = read_losses(old_run, 'network')
    stylize = ['stylize', 'content.png', '--style', 'style', '--model', 'models/network', '--out']
    assert fast_style_transfer.main([*stylize, 'before.png']) == 0
    (old_run / 'photos').mkdir()
    shutil.copy('content.png', 'photos')
    assert fast_style_transfer.main([
        'train', '--style', 'style.png', '--images', 'photos', '--base', '4', '--side', '32', '--batch', '1',
        '--iterations', '5', '--vgg', 'tiny.mat', '--threads', '1', '--precision', 'float32', '--name', 'network']) == 0
    assert 'network: resuming at iteration 3' in capsys.readouterr().out
    assert json.loads((old_run / 'checkpoints/network/run.json').read_text())['color_profiles'] == 'ignored'
    assert (read_losses(old_run, 'network')[:3] == before[:3]).all()
    assert fast_style_transfer.main([*stylize, 'after.png']) == 0
    first, second = (np.float32(iio.imread(name)) for name in ('before.png', 'after.png'))
    assert first.shape == (32, 48, 3) and 0 < np.abs(first - second).mean() < 20


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
