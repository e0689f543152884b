"""Reconstructions: the losses of each picture, the figure, resuming, and what shallow and deep layers preserve."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

import reconstruct
import utils
from common import paths


@pytest.fixture
def call(images, tiny_vgg, workdir):
    """Return a function that runs the program with more flags, on small images and a tiny VGG."""
    def run(*flags):
        return reconstruct.main(['--content', str(images[0]), '--style', str(images[1]), '--width', '48',
                                 '--vgg', str(tiny_vgg), '--iterations', '3', *flags])
    return run


def test_each_picture_is_trained_with_only_one_loss():
    top, bottom = reconstruct.reconstructions(Path('a.png'), Path('b.png'), ('conv1_2', 'conv4_2_pre'),
                                              ('conv1_1', 'conv3_1'), 7)
    assert [recipe.content_layers for _, _, recipe in top] == [('conv1_2',), ('conv4_2_pre',)]
    assert [recipe.style_layers for _, _, recipe in bottom] == [('conv1_1',), ('conv1_1', 'conv3_1')]
    assert [recipe.style_layer_weights for _, _, recipe in bottom] == [(1,), (0.5, 0.5)]
    for row, which_losses in ((top, (1, 0)), (bottom, (0, 1))):
        for _, _, recipe in row:
            assert (recipe.content_weight > 0, recipe.style_weight > 0) == which_losses
            assert recipe.init == 'normal' and recipe.iterations == 7 and recipe.tv_weight == 0
    assert len({name for row in (top, bottom) for _, name, _ in row}) == 4


def test_the_figure_and_its_pictures_are_written(call, capsys):
    assert call('--content-layers', 'conv1_2,conv5_2') == 0
    figure = Path('outputs/reconstruction/content-style.png')
    assert capsys.readouterr().out.splitlines()[-1] == str(figure)
    assert iio.imread(figure).std() > 20
    assert len(list(Path('outputs').glob('reconstruction-content-content-*/final.png'))) == 2
    assert len(list(Path('outputs').glob('reconstruction-style-style-*/final.png'))) == 5


def test_a_second_call_resumes_every_picture(call, capsys):
    flags = '--content-layers', 'conv1_2', '--style-layers', 'conv1_1'
    assert call(*flags) == 0
    assert call(*flags, '--iterations', '6') == 0
    assert capsys.readouterr().out.count('resuming at iteration 3') == 2
    rows = Path('checkpoints/reconstruction-content-content-conv1_2/losses.csv').read_text().splitlines()
    assert len(rows) == 1 + 7


def test_another_style_is_no_conflict_with_the_finished_content_picture(call, images):
    assert call('--content-layers', 'conv1_2', '--style-layers', 'conv1_1') == 0
    assert call('--content-layers', 'conv1_2', '--style-layers', 'conv1_1', '--style', str(images[0])) == 0


@pytest.mark.parametrize('flags, message', [
    (['--content-layers', 'conv6_1'], "'conv6_1': must be different layers among conv1_1 … conv5_4_pre"),
    (['--style-layers', 'conv1_1,conv1_1'], 'must be different layers'),
    (['--iterations', '0'], 'must be a whole number from 1 to 100000'),
    (['--content', 'no.png'], 'no.png: no such image')])
def test_user_errors_are_reported_in_one_line(call, capsys, flags, message):
    assert call(*flags) == 2
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1


def test_shallow_layers_preserve_pixels_that_deep_layers_lose(workdir):
    content = paths.ROOT / 'content' / 'chelsea.png'
    assert reconstruct.main(['--content', str(content), '--width', '48', '--iterations', '20',
                             '--content-layers', 'conv1_2,conv5_2', '--style-layers', 'conv1_1']) == 0
    shallow, deep = (np.float32(iio.imread(f'outputs/reconstruction-chelsea-content-{layer}/final.png'))
                     for layer in ('conv1_2', 'conv5_2'))
    original = utils.get_resized_image(content, 48, shallow.shape[0])[0]
    shallow_error, deep_error = (np.abs(picture - original).mean() for picture in (shallow, deep))
    assert shallow_error < 5 and deep_error > 15
