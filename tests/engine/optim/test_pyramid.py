"""The pyramid of picture sizes against NumPy and SciPy, and identical results after kills at any level."""

import dataclasses
import json
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
from common import files, paths
from common.errors import UserError
from common.tf1 import tf
from engine.optim import pyramid, shared_graph
from style_transfer import StyleTransfer, main
from tests import reference
from tests.factories import he_weights

WIDTH, HEIGHT = 96, 66
RECIPE = pyramid.reschedule(dataclasses.replace(recipes.CS20, iterations=10), WIDTH, HEIGHT, 3, 15)


class Killed(Exception):
    """Ends a training like a kill of its process."""


# A recipe in which levels have different layers, the style keeps its own shape, and the average is displayed.
FULL_RECIPE = dataclasses.replace(RECIPE, stages=recipes.halving_stages(24, 15, limits=((60, 'conv3_1', 0.5),)),
                                  style_fit='own', style_scale=1.5, pixels='0-255', style_statistic='covariance',
                                  style_weight=100., averaging=0.8, padding='mirror')


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


def machine_losses(name):
    """Return the losses of all iterations of a run, [iterations, terms]."""
    return np.loadtxt(f'checkpoints/{name}/losses.csv', delimiter=',', skiprows=1)[:, 1:]


def result_files(name='r', folder=''):
    """Return the content of final.png and of losses.csv of a run."""
    return (Path(folder, 'outputs', name, 'final.png').read_bytes(),
            Path(folder, 'checkpoints', name, 'losses.csv').read_text())


def test_each_level_has_half_the_sides_of_the_next():
    cs20 = dataclasses.replace(RECIPE, stages=())
    assert pyramid.levels(pyramid.reschedule(cs20, 1024, 683, 3, 15), 1024, 683) == [
        (256, 171, 0, 15, cs20, 'full'), (512, 342, 15, 30, cs20, 'full'), (1024, 683, 30, 40, cs20, 'full')]
    assert pyramid.levels(recipes.CS20, 333, 250) == [(333, 250, 0, 300, recipes.CS20, 'full')]
    automatic = pyramid.reschedule(cs20, 1024, 768, 0, 15)
    sizes = (1024, 768), (768, 1024), (512, 512), (333, 250), (64, 64), (3840, 2160), (1024, 40), (1024, 16)
    assert [len(pyramid.levels(automatic, *size)) for size in sizes] == [4, 4, 3, 2, 1, 5, 2, 1]
    # A single level gets as many iterations as the smallest of several.
    assert [pyramid.levels(automatic, 64, side)[0].end_step for side in (64, 48)] == [15, 15]
    with pytest.raises(UserError, match='--scales 3 of 100×50 begin at 25×12: each side must have at least 16'):
        pyramid.reschedule(cs20, 100, 50, 3)


def test_larger_levels_can_have_fewer_steps_and_layers():
    stages = recipes.halving_stages(100, 40, 0.5, ((100, 'conv3_1', 9.), (200, 'conv4_1', 1.), (400, 'conv2_2', 0.5)))
    recipe = dataclasses.replace(recipes.CS20, stages=stages, iterations=7, content_layers=('conv4_2', 'conv1_2'),
                                 content_layer_weights=(2., 3.))
    levels = pyramid.levels(recipe, 800, 600)
    assert [level[:4] for level in levels] == [(100, 75, 0, 40), (200, 150, 40, 60), (400, 300, 60, 70),
                                               (800, 600, 70, 77)]
    layers = recipe.style_layers
    assert [level.recipe.style_layers for level in levels] == [layers, layers[:4], layers[:2], layers[:2]]
    assert [level.recipe.style_layer_weights[-1] for level in levels] == [4, 3, 1, 1]
    assert [level.recipe.content_layer_weights for level in levels] == [(2, 3), (3,), (1.5,), (1.5,)]
    assert levels[1].recipe.content_layers == ('conv1_2',)
    deep = dataclasses.replace(recipe, content_layers=('conv5_2',), content_layer_weights=(1.,))
    assert pyramid.levels(deep, 800, 800)[-1].recipe.content_layers == ('conv5_2',)  # None would remain.


def test_the_schedule_of_version_1_0_is_kept():
    """The numbers are those that version 1.0 computed: (width, height, steps, deepest layer, α)."""
    expected = {(200, 150): [(200, 150, 80, 'conv5_1', 1)],
                (333, 250): [(166, 125, 80, 'conv5_1', 1), (333, 250, 20, 'conv5_1', 1)],
                (420, 300): [(210, 150, 80, 'conv5_1', 1), (420, 300, 20, 'conv4_1', 1)],
                (800, 600): [(200, 150, 80, 'conv5_1', 1), (400, 300, 48, 'conv4_1', 1), (800, 600, 20, 'conv4_1', .5)],
                (2048, 1536): [(128, 96, 80, 'conv5_1', 1), (256, 192, 48, 'conv5_1', 1), (512, 384, 29, 'conv4_1', 1),
                               (1024, 768, 17, 'conv4_1', 0.5), (2048, 1536, 20, 'conv3_1', 0.3)]}
    for size, levels in expected.items():
        found = pyramid.levels(recipes.MODERN_1_0, *size)
        assert [(level.width, level.height, level.end_step - level.start_step, level.recipe.style_layers[-1],
                 level.recipe.content_layer_weights[0]) for level in found] == levels


STAGES = (recipes.Stage(side=100, steps=40, content_layers=('conv4_2',), content_layer_weights=(1.,),
                        content_factor=2.),
          recipes.Stage(side=200, steps=10, network='pruned', style_layer_weights=(5., 4., 3., 2., 1.)),
          recipes.Stage(side=200, is_last_size=True, steps=6, network='pruned'),
          recipes.Stage(side=200, is_last_size=True, style_factor=3., deepest='conv3_1'))


def test_a_size_can_have_several_stages_and_the_last_one_uses_the_true_network(workdir, monkeypatch):
    monkeypatch.setattr(paths, 'PRUNED_WEIGHTS', workdir)
    recipe = dataclasses.replace(recipes.CS20, stages=STAGES, iterations=7)
    levels = pyramid.levels(recipe, 400, 300, paths.WEIGHTS)
    assert [(level.width, level.end_step, level.network) for level in levels] == [
        (100, 40, 'full'), (200, 50, 'pruned'), (400, 56, 'pruned'), (400, 63, 'full')]
    assert [level.recipe.style_layer_weights[0] for level in levels] == [0.5, 5, 0.5, 1.5]
    assert [level.recipe.content_layer_weights for level in levels] == [(2,), (1,), (1,), (1,)]
    assert levels[3].recipe.style_layer_weights == (1.5, 3, 4.5) and levels[3].recipe.style_layers[-1] == 'conv3_1'
    assert pyramid.fingerprint(recipe, 400, 300, paths.WEIGHTS) == [
        {'width': 100, 'height': 75, 'steps': 40, 'content_layer_weights': (2,)},
        {'width': 200, 'height': 150, 'steps': 10, 'network': 'pruned', 'style_layer_weights': (5, 4, 3, 2, 1)},
        {'width': 400, 'height': 300, 'steps': 6, 'network': 'pruned'},
        {'width': 400, 'height': 300, 'style_layers': recipe.style_layers[:3], 'style_layer_weights': (1.5, 3, 4.5)}]
    cost = pyramid.iteration_cost(levels)  # CS20's layers go down to conv5_1.
    assert cost(40) == 100 * 75 and cost(41) / (200 * 150) == cost(56) / (400 * 300) == pytest.approx(0.3)
    assert cost(57) == pytest.approx(0.66 * 400 * 300)  # The content layer remains.
    # Other weights than the bundled ones have no pruned network, and neither has a picture whose last stage it is.
    assert {level.network for level in pyramid.levels(recipe, 400, 300, Path('other.mat'))} == {'full'}
    assert [level.network for level in pyramid.levels(dataclasses.replace(recipe, stages=STAGES[:3]), 200, 200,
                                                      paths.WEIGHTS)] == ['full', 'full']


def test_layers_that_the_pruned_network_lacks_use_the_true_one(workdir, monkeypatch):
    monkeypatch.setattr(paths, 'PRUNED_WEIGHTS', workdir)
    for layer, networks in (('conv5_1', {'full', 'pruned'}), ('conv5_2', {'full'})):
        recipe = recipes.MODERN.with_settings(style_layers=(layer,), style_layer_weights=(1.,))
        assert {level.network for level in pyramid.levels(recipe, 512, 384, paths.WEIGHTS)} == networks


def test_pictures_of_every_shape_begin_with_the_first_stage():
    first = recipes.MODERN.stages[0]
    for size in (64, 48), (300, 20), (512, 512), (1024, 31), (2048, 100):
        level = pyramid.levels(recipes.MODERN, *size)[0]
        assert level.recipe == first.apply(recipes.MODERN) and level.end_step == first.steps


@pytest.mark.parametrize('flags, expected', [
    (dict(scales=2), [(256, 80), (512, 20)]), (dict(coarse_ratio=0.5), [(128, 80), (256, 40), (512, 20)]),
    (dict(coarse_iterations=10), [(128, 10), (256, 6), (512, 20)]), (dict(scales=1), [(512, 20)]),
    (dict(scales=4, coarse_ratio=1.), [(64, 80), (128, 80), (256, 80), (512, 20)])])
def test_flags_give_modern_1_0_the_schedules_of_version_1_0(flags, expected):
    levels = pyramid.levels(pyramid.reschedule(recipes.MODERN_1_0, 512, 384, **flags), 512, 384)
    assert [(level.width, level.end_step - level.start_step) for level in levels] == expected


def test_layers_that_are_given_are_used_in_all_stages_of_modern():
    given = dict(style_layers=('conv1_1', 'conv5_1'), style_layer_weights=(0., 1.))
    for level in pyramid.levels(recipes.MODERN.with_settings(**given), 2048, 1536):
        assert level.recipe.style_layers == given['style_layers']
    # In version 1.0, large sizes have limits for any layers.
    old = pyramid.levels(recipes.MODERN_1_0.with_settings(style_layers=('conv1_1', 'conv5_1'),
                                                          style_layer_weights=(1., 1.)), 2048, 1536)
    assert old[0].recipe.style_layers == ('conv1_1', 'conv5_1') and old[-1].recipe.style_layers == ('conv1_1',)


def test_ctrl_c_in_the_last_step_of_a_stage_stops_the_run(train, images, tiny_vgg):
    machine = StyleTransfer(*images, WIDTH, HEIGHT, recipe=RECIPE, vgg=tiny_vgg, name='r', precision='float32')
    outcome = machine.train_pyramid(lambda iterate: iterate.step == 15 and os.kill(os.getpid(), signal.SIGINT))
    assert outcome == (15, 'stopped', 0) and not Path('outputs/r/final.png').exists()
    assert train()[0][:2] == (40, 'finished')


def test_flags_change_the_stages_of_a_recipe():
    recipe = dataclasses.replace(recipes.CS20, stages=STAGES, iterations=7)

    def steps(**flags):
        changed = pyramid.reschedule(recipe, 400, 300, **flags)
        return [(level.width, level.end_step - level.start_step) for level in pyramid.levels(changed, 400, 300)]
    assert steps(coarse_iterations=20) == [(100, 20), (200, 5), (400, 6), (400, 7)]
    assert steps(coarse_ratio=0.5) == [(100, 40), (200, 20), (400, 6), (400, 7)]
    assert steps(scales=2) == [(200, 40), (400, 6), (400, 7)]
    assert steps(coarse_iterations=20, coarse_ratio=2.) == [(100, 20), (200, 40), (400, 6), (400, 7)]
    assert steps(scales=4) == [(50, 40), (100, 40), (200, 10), (400, 6), (400, 7)]
    assert steps(scales=1) == [(400, 7)]
    # A setting that is given holds in all stages.
    changed = recipe.with_settings(content_layers=('conv2_1',), style_layer_weights=(1.,) * 5)
    for level in pyramid.levels(changed, 400, 300):
        assert level.recipe.content_layers == ('conv2_1',) and len(set(level.recipe.style_layer_weights)) == 1
    with pytest.raises(UserError, match='must be among'):
        dataclasses.replace(recipes.CS20, stages=(recipes.Stage(content_layers=('conv9_1',)),))


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


def test_levels_that_share_a_graph_have_the_losses_of_levels_with_graphs_of_their_own(train, monkeypatch):
    """The third level has fewer layers, so it has a graph of its own."""
    build, built = StyleTransfer.build, []
    monkeypatch.setattr(StyleTransfer, 'build', lambda machine: built.append(machine.img_width) or build(machine))
    train('shared', recipe=FULL_RECIPE)
    assert built == [24, 96]
    with monkeypatch.context() as patch:
        patch.setattr(shared_graph, 'of_levels', lambda levels, has_mask: [None] * len(levels))
        train('separate', recipe=FULL_RECIPE)
    assert built == [24, 96, 24, 48, 96]
    np.testing.assert_allclose(machine_losses('shared'), machine_losses('separate'), rtol=1e-3)
    shared, separate = (iio.imread(f'outputs/{name}/final.png').astype(float) for name in ('shared', 'separate'))
    assert np.abs(shared - separate).mean() < 0.5


def test_kills_in_stages_of_every_kind_do_not_change_the_result(train, images, tiny_vgg, workdir, monkeypatch):
    """Stages of the true and the pruned network, with Adam and L-BFGS, of which two have the size of the picture."""
    load_vgg.write_weights('half.mat', he_weights({1: 2, 2: 3, 3: 3, 4: 4, 5: 4}, last='conv5_1'))
    monkeypatch.setattr(paths, 'WEIGHTS', tiny_vgg)
    monkeypatch.setattr(paths, 'PRUNED_WEIGHTS', workdir / 'half.mat')
    monkeypatch.setattr(StyleTransfer, 'checkpoint_every', 4)
    stages = (recipes.Stage(side=48, steps=6, optimizer='lbfgs'),
              recipes.Stage(side=48, steps=5, network='pruned', style_layer_weights=(5., 4., 3., 2., 1.)),
              recipes.Stage(is_last_size=True, steps=6, network='pruned', deepest='conv3_1', content_factor=2.),
              recipes.Stage(is_last_size=True, style_factor=3., optimizer='lbfgs'))
    recipe = dataclasses.replace(FULL_RECIPE, stages=stages, iterations=7)
    assert train('straight', recipe=recipe)[0] == (24, 'finished', 0)
    sizes = [iio.imread(path).shape[:2] for path in sorted(Path('outputs/straight').glob('0*.jpg'))]
    assert set(sizes) == {(33, 48), (66, 96)}
    for until in (3, 5, 6, 9, 11, 12, 17, 18, 21, 23):
        train(until=until, recipe=recipe)
    assert train(recipe=recipe)[0][:2] == (24, 'finished')
    assert result_files() == result_files('straight')
    fingerprint = json.loads(Path('checkpoints/r/run.json').read_text())
    assert [stage.get('network', 'full') for stage in fingerprint['stages']] == ['full', 'pruned', 'pruned', 'full']
    assert fingerprint['vgg_pruned'] == files.file_hash('half.mat')
    # The losses at the end are those of the true network.
    end = StyleTransfer(*images, WIDTH, HEIGHT, name='end', vgg=tiny_vgg,
                        recipe=pyramid.levels(recipe, WIDTH, HEIGHT)[-1].recipe, precision='float32',
                        initial_img=Path('outputs/r/final.png'))
    end.build()
    end.train(1)
    np.testing.assert_allclose(list(end.run.history[0].values()), list(machine_losses('r')[-1]), rtol=0.02)


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
    assert main([*flags, '--coarse-iterations', '9']) == 2
    assert '--coarse-iterations does nothing with --scales 1' in capsys.readouterr().err


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
