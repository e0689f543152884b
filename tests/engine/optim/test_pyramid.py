"""The pyramid of picture sizes against NumPy and SciPy, and identical results after kills at any level."""

import dataclasses
import os
import shutil
import signal
import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import scipy.ndimage

import load_vgg
import recipes
import utils
from common.errors import UserError
from common.tf1 import tf
from engine.optim import pyramid
from style_transfer import StyleTransfer, main
from tests import reference

RECIPE = dataclasses.replace(recipes.CS20, scales=3, coarse_iterations=15, iterations=10)
WIDTH, HEIGHT = 96, 66


class Killed(Exception):
    """Ends a training like a kill of its process."""


# A recipe in which levels have different layers, the style keeps its own shape, and the average is displayed.
FULL_RECIPE = dataclasses.replace(RECIPE, deepest=((60, 'conv3_1', 0.5),), style_fit='own', style_scale=1.5,
                                  pixels='0-255', style_statistic='covariance', style_weight=100., averaging=0.8,
                                  padding='mirror')


@pytest.fixture(scope='module')
def train_in_current_folder(images, tiny_vgg):
    """Return a function that trains a run through its levels and stops it after iteration `until` like a kill.

    It returns the outcome, or None, and the iterations for which the callback was called.
    """
    def run(name='r', until=None, recipe=RECIPE, restart=False):
        machine, steps = StyleTransfer(*images, WIDTH, HEIGHT, recipe=recipe, vgg=tiny_vgg, name=name,
                                       precision='float32'), []

        def callback(iterate):
            steps.append(iterate.step)
            if iterate.step == until:
                raise Killed
        try:
            return machine.train_pyramid(callback, restart), steps
        except Killed:
            return None, steps
    return run


@pytest.fixture
def train(train_in_current_folder, workdir):
    """Return the same function after changing to an empty directory."""
    return train_in_current_folder


@pytest.fixture(scope='module')
def uninterrupted(train_in_current_folder, tmp_path_factory):
    """Train a run without interruption; return its folder, its outcome and the iterations of its callback."""
    folder = tmp_path_factory.mktemp('whole')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, *train_in_current_folder()


def result_files(name='r', folder=''):
    """Return the content of final.png and of losses.csv of a run."""
    return (Path(folder, 'outputs', name, 'final.png').read_bytes(),
            Path(folder, 'checkpoints', name, 'losses.csv').read_text())


def test_each_level_has_half_the_sides_of_the_next():
    assert pyramid.levels(RECIPE, 1024, 683) == [(256, 171, 0, 15, RECIPE), (512, 342, 15, 30, RECIPE),
                                            (1024, 683, 30, 40, RECIPE)]
    assert pyramid.levels(recipes.CS20, 333, 250) == [(333, 250, 0, 300, recipes.CS20)]
    automatic = dataclasses.replace(RECIPE, scales=0)
    sizes = (1024, 768), (768, 1024), (512, 512), (333, 250), (64, 64), (3840, 2160), (1024, 40), (1024, 16)
    assert [len(pyramid.levels(automatic, *size)) for size in sizes] == [4, 4, 3, 2, 1, 5, 2, 1]
    # A single level gets as many iterations as the smallest of several.
    assert [pyramid.levels(automatic, 64, side)[0].end_step for side in (64, 48)] == [15, 15]
    with pytest.raises(UserError, match='--scales 3 of 100×50 begin at 25×12: each side must have at least 16'):
        pyramid.levels(RECIPE, 100, 50)


def test_larger_levels_can_have_fewer_steps_and_layers():
    recipe = dataclasses.replace(RECIPE, scales=4, coarse_iterations=40, coarse_ratio=0.5, iterations=7, deepest=(
        (100, 'conv4_1', 1.), (400, 'conv2_2', 0.5)), content_layers=('conv4_2', 'conv1_2'),
        content_layer_weights=(2., 3.))
    levels = pyramid.levels(recipe, 800, 600)
    assert [level[:4] for level in levels] == [(100, 75, 0, 40), (200, 150, 40, 60), (400, 300, 60, 70),
                                               (800, 600, 70, 77)]
    layers = recipe.style_layers
    assert [level.recipe.style_layers for level in levels] == [layers, layers[:4], layers[:2], layers[:2]]
    assert [level.recipe.style_layer_weights[-1] for level in levels] == [4, 3, 1, 1]
    assert [level.recipe.content_weight for level in levels] == [0.05, 0.05, 0.025, 0.025]
    assert levels[1].recipe.content_layers == ('conv1_2',) and levels[1].recipe.content_layer_weights == (3,)
    deep = dataclasses.replace(recipe, content_layers=('conv5_2',), content_layer_weights=(1.,))
    assert deep.for_size(800).content_layers == ('conv5_2',)  # Layers are kept if none would remain.


def test_upsampling_is_cubic_centered_and_clipped():
    image = np.random.default_rng(0).choice([-30, 90, 290], (1, 12, 9, 3)).astype(np.float32)
    large = pyramid.upsample(image, 18, 24)
    y, x = ((np.arange(n) + 0.5) / 2 - 0.5 for n in (24, 18))
    inside = np.s_[6:-6, 6:-6]  # At the border, splines depend on the boundary condition.
    grid = np.meshgrid(y, x, indexing='ij')
    expected = np.dstack([scipy.ndimage.map_coordinates(np.float64(image[0, ..., i]), grid, order=3, mode='nearest')
                          for i in range(3)]).clip(0, 255)
    assert large.dtype == np.float32 and large.shape == (1, 24, 18, 3) and 0 == large.min() < large.max() == 255
    np.testing.assert_allclose(large[0][inside], expected[inside], atol=0.05)


def test_initial_image_styles_and_mask_are_resized_for_every_level(images, tiny_vgg, workdir):
    """Before the first step, the smallest level has the losses of a run with a single level of its size."""
    start = np.random.default_rng(8).uniform(0, 255, (1, HEIGHT, WIDTH, 3)).astype(np.float32)
    iio.imwrite('mask.png', np.pad(np.full((22, 16), 255, np.uint8), ((0, 0), (0, 16))))
    for settings in dict(mask='mask.png'), dict(style_weights=[1, 5]):
        runs = []
        for (width, height), recipe, initial in (
                ((WIDTH, HEIGHT), RECIPE, start),
                ((24, 16), recipes.CS20, utils.resize_and_crop(start[0], 24, 16)[None])):
            machine = StyleTransfer(images[0], list(images), width, height, recipe=recipe, vgg=tiny_vgg,
                                    precision='float32', initial_img=initial, name=f'{width}', **settings)
            machine.train_pyramid(restart=True, callback=lambda iterate: iterate.step == 1 and os.kill(
                os.getpid(), signal.SIGINT))
            runs.append(machine.run.history[0])
        assert runs[0] == runs[1] and len(runs[0]) == 3


def test_all_levels_share_one_run_with_one_history_and_animation(uninterrupted):
    folder, outcome, steps = uninterrupted
    assert outcome == (40, 'finished', 0) and steps == list(range(1, 41))
    rows = np.loadtxt(folder / 'checkpoints/r/losses.csv', delimiter=',', skiprows=1)
    assert rows[:, 0].tolist() == list(range(41)) and rows[14, -1] < rows[0, -1] and rows[40, -1] < rows[30, -1]
    sizes = {path.stem: iio.imread(path).shape[:2] for path in (folder / 'outputs/r').glob('0*.jpg')}
    assert {name: size for name, size in sizes.items() if name in ('00015', '00030', '00040')} == {
        '00015': (16, 24), '00030': (33, 48), '00040': (66, 96)}
    assert iio.imread(folder / 'outputs/r/final.png').shape == (66, 96, 3)
    with iio.imopen(folder / 'outputs/r/progress.gif', 'r', plugin='pillow') as file:
        assert file.properties(index=...).shape[0] == len(sizes)


def test_kills_before_at_and_after_each_level_change_do_not_change_the_result(train, capsys):
    train('straight', recipe=FULL_RECIPE)
    for until, first in ((5, 1), (15, 1), (16, 16), (30, 16), (36, 31)):
        outcome, steps = train(until=until, recipe=FULL_RECIPE)
        assert outcome is None and steps == list(range(first, until + 1))  # Checkpoints are at 15 and 30.
    assert not Path('outputs/r/final.png').exists()
    capsys.readouterr()
    outcome, steps = train(recipe=FULL_RECIPE)
    assert outcome[:2] == (40, 'finished') and steps == list(range(31, 41))
    assert 'resuming' not in capsys.readouterr().out  # Finished levels are not built again.
    assert result_files() == result_files('straight')


def test_a_level_starts_from_the_upsampled_picture_of_the_previous_level(train, uninterrupted, images, tiny_vgg):
    """Its first losses agree with NumPy for the upsampled picture and the images at the new size."""
    train(until=16)
    assert not Path('outputs/r/final.png').exists()  # Only the last level writes it.
    weights = load_vgg.read_weights(tiny_vgg)
    small = tf.train.load_checkpoint('checkpoints/r/model-15').get_tensor('input/in_img') + weights.mean_pixels
    content, style = (utils.get_resized_image(path, 48, 33)[0] - weights.mean_pixels for path in images)
    expected = reference.cs20(pyramid.upsample(small, 48, 33)[0] - weights.mean_pixels, content, style, weights)
    row = np.loadtxt(uninterrupted[0] / 'checkpoints/r/losses.csv', delimiter=',', skiprows=1)[15]
    np.testing.assert_allclose(row, [15, *expected], rtol=1e-3)


def test_a_level_starts_from_the_averaged_iterates_of_the_previous_level(train, monkeypatch):
    calls, upsample = [], pyramid.upsample
    monkeypatch.setattr(pyramid, 'upsample', lambda *args: calls.append(args) or upsample(*args))
    train(until=16, recipe=FULL_RECIPE)
    checkpoint, (args,) = tf.train.load_checkpoint('checkpoints/r/model-15'), calls
    average, last = (checkpoint.get_tensor(name) for name in ('optimizer/average', 'input/in_img'))
    np.testing.assert_array_equal(args[0], average + np.float32([123.68, 116.779, 103.939]))
    assert args[1:] == (48, 33) and np.abs(average - last).max() > 0.1


def test_a_damaged_checkpoint_goes_back_to_the_previous_level(train, uninterrupted, capsys):
    train(until=30)
    for path in Path('checkpoints/r').glob('model-30.data*'):
        path.write_bytes(path.read_bytes()[:-9])
    capsys.readouterr()
    train()
    assert 'model-30: damaged, going back' in capsys.readouterr().out
    assert result_files() == result_files(folder=uninterrupted[0])


def test_more_iterations_extend_the_last_level_and_a_restart_begins_at_the_first(train, uninterrupted, workdir):
    shutil.copytree(uninterrupted[0], workdir, dirs_exist_ok=True)
    more = dataclasses.replace(RECIPE, iterations=16)
    assert train(recipe=more)[1] == list(range(41, 47))
    continued = result_files()
    assert train(recipe=more, restart=True)[1] == list(range(1, 47))
    assert result_files() == continued


def test_contradictory_flags_are_refused(images, tiny_vgg, workdir, capsys):
    flags = ['--content', str(images[0]), '--style', str(images[1]), '--vgg', str(tiny_vgg), '--width', '48']
    for extra, message in ((['--scales', '2', '--optimizer', 'lbfgs'], '--scales 2: works only with --optimizer adam'),
                           (['--coarse-iterations', '9'], '--coarse-iterations does nothing with --scales 1')):
        assert main([*flags, *extra]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(UserError, match='--scales 2: works only with --optimizer adam'):
        dataclasses.replace(recipes.GATYS, scales=2)


def test_sigkill_at_each_level_change_does_not_change_the_result(server, images, tiny_vgg, workdir):
    flags = ['--content', images[0], '--style', images[1], '--vgg', tiny_vgg, '--width', '96', '--height', '66',
             '--scales', '3', '--coarse-iterations', '10', '--iterations', '10']
    assert server.start([*flags, '--name', 'straight']).wait() == 0
    for step in (10, 20):
        process = server.start([*flags, '--name', 'r'])
        while not Path(f'checkpoints/r/model-{step}.index').exists():
            assert process.poll() is None
            time.sleep(0.002)
        assert process.kill() == -signal.SIGKILL
    assert server.start([*flags, '--name', 'r']).wait() == 0
    assert result_files() == result_files('straight')
