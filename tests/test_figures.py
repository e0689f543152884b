"""The pictures that a run is handed in with."""

import imageio.v3 as iio
import numpy as np
import pytest

import figures


@pytest.mark.parametrize('history', [[(3., 200., 20.), (2., 20., 2.), (1., 2., 1.)], [(1., 2., 3.)], [(0., 1., 1.)] * 3])
def test_loss_curves_are_drawn(tmp_path, history):
    figures.loss_curves(tmp_path / 'losses.png', ('content_loss', 'style_loss', 'total_loss'), history)
    image = iio.imread(tmp_path / 'losses.png')
    assert image.shape[0] > 300 and image.shape[1] > 500
    assert len(np.unique(image.reshape(-1, image.shape[-1]), axis=0)) > 20


def test_sheet_puts_images_side_by_side(tmp_path):
    images = [np.full((10, 20, 3), value) for value in (0, 100, 200)]
    figures.sheet(tmp_path / 'sheet.png', images, gap=4)
    sheet = iio.imread(tmp_path / 'sheet.png')
    assert sheet.shape == (18, 4 * 4 + 3 * 20, 3)
    for i, value in enumerate((0, 100, 200)):
        left = 4 + i * 24
        assert (sheet[4:14, left:left + 20] == value).all() and (sheet[:, left - 1] == 255).all()


@pytest.mark.parametrize('count', [1, 4])
def test_progress_keeps_order_and_lingers_at_the_end(tmp_path, count):
    paths = [tmp_path / f'{i}.png' for i in range(count)]
    for i, path in enumerate(paths):
        iio.imwrite(path, np.full((300, 400, 3), 60 * i, np.uint8))
    figures.progress(tmp_path / 'progress.gif', paths)
    frames = iio.imread(tmp_path / 'progress.gif', index=None)
    assert frames.shape[1:] == (150, 200, 3) and [frame.mean() for frame in frames] == pytest.approx([60 * i for i in range(count)], abs=3)
    durations = [iio.immeta(tmp_path / 'progress.gif', index=i)['duration'] for i in range(count)]
    assert durations == [200] * (count - 1) + [3000]
