"""Coarse to fine: sizes, enlargement, one run through all of them, the same bits however often it is killed."""

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
    """Stands for a process that is no more."""


# all that a size may have of its own: layers, a style of its own shape, a mean that is shown
FULL = dataclasses.replace(RECIPE, deepest=((60, 'conv3_1', 0.5),), style_fit='own', style_scale=1.5, pixels='0-255',
                           style_statistic='covariance', style_weight=100., averaging=0.8, padding='mirror')


@pytest.fixture(scope='module')
def trained(images, tiny_vgg):
    """A function that trains the run `name` through its sizes and is killed after iteration `until`."""
    def run(name='r', until=None, recipe=RECIPE, restart=False):
        machine, told = StyleTransfer(*images, WIDTH, HEIGHT, recipe=recipe, vgg=tiny_vgg, name=name,
                                      precision='float32'), []

        def callback(iterate):
            told.append(iterate.step)
            if iterate.step == until:
                raise Killed
        try:
            return machine.train_pyramid(callback, restart), told
        except Killed:
            return None, told
    return run


@pytest.fixture
def train(trained, workdir):
    """As `trained`, in an empty current directory."""
    return trained


@pytest.fixture(scope='module')
def whole(trained, tmp_path_factory):
    """Of a run that was never stopped its folder, how it ended and the iterations that it told."""
    folder = tmp_path_factory.mktemp('whole')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, *trained()


def left(name='r', folder=''):
    return (Path(folder, 'outputs', name, 'final.png').read_bytes(),
            Path(folder, 'checkpoints', name, 'losses.csv').read_text())


def test_each_size_is_half_of_the_next():
    assert pyramid.levels(RECIPE, 1024, 683) == [(256, 171, 0, 15, RECIPE), (512, 342, 15, 30, RECIPE),
                                            (1024, 683, 30, 40, RECIPE)]
    assert pyramid.levels(recipes.CS20, 333, 250) == [(333, 250, 0, 300, recipes.CS20)]
    by_itself = dataclasses.replace(RECIPE, scales=0)
    sizes = (1024, 768), (768, 1024), (512, 512), (333, 250), (64, 64), (3840, 2160), (1024, 40), (1024, 16)
    assert [len(pyramid.levels(by_itself, *size)) for size in sizes] == [4, 4, 3, 2, 1, 5, 2, 1]
    # as the smallest size has
    assert [pyramid.levels(by_itself, 64, side)[0].end_step for side in (64, 48)] == [15, 15]
    with pytest.raises(UserError, match='--scales 3 of 100×50 begin at 25×12: each side must have at least 16'):
        pyramid.levels(RECIPE, 100, 50)


def test_fewer_steps_and_layers_at_larger_sizes():
    recipe = dataclasses.replace(RECIPE, scales=4, coarse_iterations=40, coarse_ratio=0.5, iterations=7, deepest=(
        (100, 'conv4_1', 1.), (400, 'conv2_2', 0.5)), content_layers=('conv4_2', 'conv1_2'),
        content_layer_weights=(2., 3.))
    made = pyramid.levels(recipe, 800, 600)
    assert [scale[:4] for scale in made] == [(100, 75, 0, 40), (200, 150, 40, 60), (400, 300, 60, 70),
                                             (800, 600, 70, 77)]
    layers = recipe.style_layers
    assert [scale.recipe.style_layers for scale in made] == [layers, layers[:4], layers[:2], layers[:2]]
    assert [scale.recipe.style_layer_weights[-1] for scale in made] == [4, 3, 1, 1]
    assert [scale.recipe.content_weight for scale in made] == [0.05, 0.05, 0.025, 0.025]
    assert made[1].recipe.content_layers == ('conv1_2',) and made[1].recipe.content_layer_weights == (3,)
    deep = dataclasses.replace(recipe, content_layers=('conv5_2',), content_layer_weights=(1.,))
    assert deep.for_size(800).content_layers == ('conv5_2',)  # a kind keeps its layers where it would have none


def test_enlarging_is_cubic_centered_and_clipped():
    image = np.random.default_rng(0).choice([-30, 90, 290], (1, 12, 9, 3)).astype(np.float32)
    large = pyramid.upsample(image, 18, 24)
    y, x = ((np.arange(n) + 0.5) / 2 - 0.5 for n in (24, 18))
    inside = np.s_[6:-6, 6:-6]  # how splines begin beyond the border is a choice
    at = np.meshgrid(y, x, indexing='ij')
    expected = np.dstack([scipy.ndimage.map_coordinates(np.float64(image[0, ..., i]), at, order=3, mode='nearest')
                          for i in range(3)]).clip(0, 255)
    assert large.dtype == np.float32 and large.shape == (1, 24, 18, 3) and 0 == large.min() < large.max() == 255
    np.testing.assert_allclose(large[0][inside], expected[inside], atol=0.05)


def test_a_start_and_styles_and_a_mask_are_fitted_to_every_size(images, tiny_vgg, workdir):
    """The losses of the smallest size before its first step are those of a picture of that size alone."""
    start = np.random.default_rng(8).uniform(0, 255, (1, HEIGHT, WIDTH, 3)).astype(np.float32)
    iio.imwrite('mask.png', np.pad(np.full((22, 16), 255, np.uint8), ((0, 0), (0, 16))))
    for control in dict(mask='mask.png'), dict(style_weights=[1, 5]):
        runs = []
        for (width, height), recipe, initial in (
                ((WIDTH, HEIGHT), RECIPE, start),
                ((24, 16), recipes.CS20, utils.resize_and_crop(start[0], 24, 16)[None])):
            machine = StyleTransfer(images[0], list(images), width, height, recipe=recipe, vgg=tiny_vgg,
                                    precision='float32', initial_img=initial, name=f'{width}', **control)
            machine.train_pyramid(restart=True, callback=lambda iterate: iterate.step == 1 and os.kill(
                os.getpid(), signal.SIGINT))
            runs.append(machine.run.history[0])
        assert runs[0] == runs[1] and len(runs[0]) == 3


def test_one_run_one_history_one_film(whole):
    folder, outcome, told = whole
    assert outcome == (40, 'finished', 0) and told == list(range(1, 41))
    rows = np.loadtxt(folder / 'checkpoints/r/losses.csv', delimiter=',', skiprows=1)
    assert rows[:, 0].tolist() == list(range(41)) and rows[14, -1] < rows[0, -1] and rows[40, -1] < rows[30, -1]
    sizes = {path.stem: iio.imread(path).shape[:2] for path in (folder / 'outputs/r').glob('0*.jpg')}
    assert {name: size for name, size in sizes.items() if name in ('00015', '00030', '00040')} == {
        '00015': (16, 24), '00030': (33, 48), '00040': (66, 96)}
    assert iio.imread(folder / 'outputs/r/final.png').shape == (66, 96, 3)
    with iio.imopen(folder / 'outputs/r/progress.gif', 'r', plugin='pillow') as file:
        assert file.properties(index=...).shape[0] == len(sizes)


def test_killed_before_at_and_after_each_change_of_size_the_bits_are_the_same(train, capsys):
    train('straight', recipe=FULL)
    for until, begins in ((5, 1), (15, 1), (16, 16), (30, 16), (36, 31)):
        outcome, told = train(until=until, recipe=FULL)
        assert outcome is None and told == list(range(begins, until + 1))  # checkpoints are at 15 and 30
    assert not Path('outputs/r/final.png').exists()
    capsys.readouterr()
    outcome, told = train(recipe=FULL)
    assert outcome[:2] == (40, 'finished') and told == list(range(31, 41))
    assert 'resuming' not in capsys.readouterr().out  # no smaller size is built again
    assert left() == left('straight')


def test_a_size_begins_at_the_smaller_ones_picture_enlarged(train, whole, images, tiny_vgg):
    """Its first losses are those of that picture, of the images fitted to the new size, by NumPy."""
    train(until=16)
    assert not Path('outputs/r/final.png').exists()  # which the last size alone writes
    weights = load_vgg.read_weights(tiny_vgg)
    small = tf.train.load_checkpoint('checkpoints/r/model-15').get_tensor('input/in_img') + weights.mean_pixels
    content, style = (utils.get_resized_image(path, 48, 33)[0] - weights.mean_pixels for path in images)
    expected = reference.cs20(pyramid.upsample(small, 48, 33)[0] - weights.mean_pixels, content, style, weights)
    row = np.loadtxt(whole[0] / 'checkpoints/r/losses.csv', delimiter=',', skiprows=1)[15]
    np.testing.assert_allclose(row, [15, *expected], rtol=1e-3)


def test_a_size_begins_at_the_mean_of_the_smaller_ones_iterates(train, monkeypatch):
    begun, enlarged = [], pyramid.upsample
    monkeypatch.setattr(pyramid, 'upsample', lambda *given: begun.append(given) or enlarged(*given))
    train(until=16, recipe=FULL)
    checkpoint, (given,) = tf.train.load_checkpoint('checkpoints/r/model-15'), begun
    mean, last = (checkpoint.get_tensor(name) for name in ('optimizer/average', 'input/in_img'))
    np.testing.assert_array_equal(given[0], mean + np.float32([123.68, 116.779, 103.939]))
    assert given[1:] == (48, 33) and np.abs(mean - last).max() > 0.1


def test_a_damaged_checkpoint_after_a_change_goes_back_over_it(train, whole, capsys):
    train(until=30)
    for path in Path('checkpoints/r').glob('model-30.data*'):
        path.write_bytes(path.read_bytes()[:-9])
    capsys.readouterr()
    train()
    assert 'model-30: damaged, going back' in capsys.readouterr().out
    assert left() == left(folder=whole[0])


def test_more_iterations_are_of_the_last_size_and_a_restart_begins_small(train, whole, workdir):
    shutil.copytree(whole[0], workdir, dirs_exist_ok=True)
    more = dataclasses.replace(RECIPE, iterations=16)
    assert train(recipe=more)[1] == list(range(41, 47))
    gone_on = left()
    assert train(recipe=more, restart=True)[1] == list(range(1, 47))
    assert left() == gone_on


def test_flags_that_do_not_go_together(images, tiny_vgg, workdir, capsys):
    flags = ['--content', str(images[0]), '--style', str(images[1]), '--vgg', str(tiny_vgg), '--width', '48']
    for more, says in ((['--scales', '2', '--optimizer', 'lbfgs'], '--scales 2: works only with --optimizer adam'),
                       (['--coarse-iterations', '9'], '--coarse-iterations does nothing with --scales 1')):
        assert main([*flags, *more]) == 2
        assert says in capsys.readouterr().err
    with pytest.raises(UserError, match='--scales 2: works only with --optimizer adam'):
        dataclasses.replace(recipes.GATYS, scales=2)


def test_sigkill_at_each_change_of_size(server, images, tiny_vgg, workdir):
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
    assert left() == left('straight')
