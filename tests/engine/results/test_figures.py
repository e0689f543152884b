"""The pictures of a finished run: what is on them, where, and for how long."""

import imageio.v3 as iio
import numpy as np
import pytest

from engine.results import figures

COLUMNS = ('content_loss', 'style_loss', 'total_loss')
HISTORY = np.exp(-np.arange(300) / 60)[:, None] * [3, 400, 8003.] + 0.1


@pytest.fixture
def axes(monkeypatch):
    """A list that gets the axes of every figure drawn."""
    drawn = []

    class Figure(figures.Figure):
        def subplots(self):
            drawn.append(super().subplots())
            return drawn[-1]
    monkeypatch.setattr(figures, 'Figure', Figure)
    return drawn


def ink(path, curve):
    """How many pixels have the color of the curve of that number."""
    color = [(0x1f, 0x77, 0xb4), (0xff, 0x7f, 0x0e), (0x2c, 0xa0, 0x2c)][curve]
    image = iio.imread(path)
    assert image.shape[:2] == (450, 700)
    return (image[:, :, :3] == color).all(axis=2).sum()


def test_loss_curves_show_every_loss_on_a_log_axis(tmp_path, axes):
    figures.loss_curves(tmp_path / 'losses.png', COLUMNS, list(HISTORY))
    assert [axes[0].get_xscale(), axes[0].get_yscale()] == ['linear', 'log']
    for line, values in zip(axes[0].lines, HISTORY.T, strict=True):
        assert (line.get_xdata() == np.arange(300)).all() and (line.get_ydata() == values).all()
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == [
        'content loss', 'style loss', 'total loss']
    low, high = axes[0].get_ylim()
    assert low < HISTORY.min() and HISTORY.max() < high
    assert all(ink(tmp_path / 'losses.png', curve) > 300 for curve in range(3))


@pytest.mark.filterwarnings('error', 'ignore::DeprecationWarning')
@pytest.mark.parametrize('zeros, scale, shown', [
    ((slice(None), 0), 'log', [1, 2]), ((0, 0), 'log', [0, 1, 2]), ((slice(None), slice(None)), 'linear', [2])])
def test_loss_curves_with_zeros(tmp_path, axes, zeros, scale, shown):
    """A loss may be nothing at the start or throughout; three lines at zero hide each other."""
    history = HISTORY.copy()
    history[zeros] = 0
    figures.loss_curves(tmp_path / 'losses.png', COLUMNS, history)
    assert axes[0].get_yscale() == scale and np.isfinite(axes[0].get_ylim()).all()
    assert all(ink(tmp_path / 'losses.png', curve) > 300 for curve in shown)


@pytest.mark.filterwarnings('error', 'ignore::DeprecationWarning')
@pytest.mark.parametrize('length', [1, 2])
def test_loss_curves_of_very_few_iterations(tmp_path, length):
    figures.loss_curves(tmp_path / 'losses.png', COLUMNS, HISTORY[:length])
    assert all(ink(tmp_path / 'losses.png', curve) > 60 for curve in range(3))  # the legend alone has fewer


def test_the_sheet_has_every_picture_in_its_place(tmp_path):
    rng = np.random.default_rng(0)
    content, style = rng.uniform(-0.4, 255.4, (2, 20, 30, 3))
    result = rng.integers(0, 256, (20, 25, 3), dtype=np.uint8)
    figures.sheet(tmp_path / 'sheet.png', [content, style, result], gap=4)
    sheet = iio.imread(tmp_path / 'sheet.png')
    assert sheet.shape == (4 + 20 + 4, 4 + 30 + 4 + 30 + 4 + 25 + 4, 3)
    for left, image in (4, content), (38, style), (72, result):
        place = sheet[4:24, left:left + image.shape[1]]
        assert (place == np.rint(image)).all()
        place[:] = 255
    assert (sheet == 255).all()  # nothing else is on it


def pictures(folder, count, height, width):
    """The paths of `count` pictures that grow brighter, as a run writes them."""
    paths = [folder / f'{number:05}.jpg' for number in range(count)]
    for number, path in enumerate(paths):
        iio.imwrite(path, np.full((height, width, 3), 40 + 20 * number, np.uint8))
    return paths


def durations(path):
    """Milliseconds of each frame, as the file says."""
    with iio.imopen(path, 'r') as file:
        return [file.metadata(index=index)['duration'] for index in range(file.properties(index=...).shape[0])]


def before_and_last(paths):
    """What `figures.progress_gif` takes: the paths but the last, and that picture."""
    return paths[:-1], iio.imread(paths[-1])


@pytest.mark.parametrize('height, width, size', [(250, 400, (125, 200)), (400, 100, (200, 50)), (32, 48, (32, 48)),
                                                 (16, 4096, (1, 200))])
def test_the_animation_has_every_picture_in_order_and_in_small(tmp_path, height, width, size):
    figures.progress_gif(tmp_path / 'progress.gif', *before_and_last(pictures(tmp_path, 6, height, width)))
    frames = iio.imread(tmp_path / 'progress.gif')
    assert frames.shape == (6, *size, 3)
    for number, frame in enumerate(frames):
        assert np.abs(frame.astype(int) - (40 + 20 * number)).max() <= 2
    assert durations(tmp_path / 'progress.gif') == [200] * 5 + [3000]
    with iio.imopen(tmp_path / 'progress.gif', 'r') as file:
        assert file.metadata(index=0)['loop'] == 0  # for ever


@pytest.mark.parametrize('count', [59, 60, 61, 500])
def test_the_animation_of_a_long_run_leaves_pictures_out_evenly(tmp_path, count):
    paths = []
    for number in range(count):
        paths.append(tmp_path / f'{number:05d}.png')
        iio.imwrite(paths[-1], np.full((6, 8, 3), number // 2, np.uint8))
    figures.progress_gif(tmp_path / 'progress.gif', paths, np.full((6, 8, 3), 255, np.uint8))
    grays = iio.imread(tmp_path / 'progress.gif')[:, 0, 0, 0].astype(int)  # those that are alike are joined
    assert sum(durations(tmp_path / 'progress.gif')) == 200 * 59 + 3000
    assert (grays[0], grays[-2], grays[-1]) == (0, (count - 1) // 2, 255)
    assert (np.diff(grays[:-1]) <= max(1, -(-count // 116))).all()


def test_the_animation_of_one_picture(tmp_path):
    figures.progress_gif(tmp_path / 'progress.gif', *before_and_last(pictures(tmp_path, 1, 50, 60)))
    assert iio.imread(tmp_path / 'progress.gif').shape == (1, 50, 60, 3)


def test_pictures_that_are_alike_keep_their_time(tmp_path):
    """The writer joins frames that are the same."""
    first, second = pictures(tmp_path, 2, 50, 60)
    figures.progress_gif(tmp_path / 'progress.gif', *before_and_last([first, first, first, second]))
    assert durations(tmp_path / 'progress.gif') == [600, 3000]


def test_the_animation_of_noise_stays_small(tmp_path):
    """Noise is the worst for GIF: 21 pictures of 333×250, as of 300 iterations, stay below a megabyte and a half."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f'{number}.png' for number in range(21)]
    for path in paths:
        iio.imwrite(path, rng.integers(0, 256, (250, 333, 3), dtype=np.uint8))
    figures.progress_gif(tmp_path / 'progress.gif', *before_and_last(paths))
    assert (tmp_path / 'progress.gif').stat().st_size < 1.5e6


@pytest.mark.parametrize('draw', [
    lambda path, picture: figures.loss_curves(path, COLUMNS, HISTORY),
    lambda path, picture: figures.sheet(path, [np.zeros((4, 4, 3))]),
    lambda path, picture: figures.progress_gif(path, [picture], iio.imread(picture))],
    ids=['loss_curves', 'sheet', 'progress'])
def test_figures_are_written_whole_or_not_at_all(tmp_path, monkeypatch, draw):
    picture, path = tmp_path / 'picture.png', tmp_path / 'figure.gif'
    iio.imwrite(picture, np.zeros((4, 4, 3), np.uint8))
    path.write_bytes(b'the one before')

    def full_disk(part, *args, **kwargs):
        if part == '<bytes>':
            return b'encoded'
        with open(part, 'wb') as file:
            file.write(b'half')
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr('imageio.v3.imwrite', full_disk)
    monkeypatch.setattr('pathlib.Path.write_bytes', lambda part, content: full_disk(part))  # of `utils.save_image`
    monkeypatch.setattr(figures.Figure, 'savefig', lambda figure, part, **kwargs: full_disk(part))
    with pytest.raises(OSError):
        draw(path, picture)
    assert path.read_bytes() == b'the one before' and sorted(tmp_path.iterdir()) == [path, picture]


def test_grid_has_every_image_in_its_place(tmp_path):
    colors = np.random.default_rng(0).integers(0, 256, (2, 3, 3))
    rows = [[('label', np.broadcast_to(color, (30, 40, 3))) for color in row] for row in colors]
    figures.labeled_grid(tmp_path / 'grid.png', [rows[0], rows[1][:2]])
    picture = iio.imread(tmp_path / 'grid.png')[..., :3]
    height, width = picture.shape[:2]
    for i, j in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1)):
        center = picture[int(height * (i + 0.6) / 2), int(width * (j + 0.5) / 3)]
        assert (center == colors[i, j]).all()
    assert (picture[int(height * 0.8), int(width * 5 / 6)] == 255).all()  # the row that is shorter
    assert (picture == 0).all(axis=2).sum() > 50  # the labels
