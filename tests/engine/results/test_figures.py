"""The figures of a finished run: their curves, pixels and frame durations, read back from the files."""

import imageio.v3 as iio
import numpy as np
import pytest

from engine.results import figures

COLUMNS = ('content_loss', 'style_loss', 'total_loss')
HISTORY = np.exp(-np.arange(300) / 60)[:, None] * [3, 400, 8003.] + 0.1


@pytest.fixture
def axes(monkeypatch):
    """Return a list to which the axes of every figure are appended."""
    figure_axes = []

    class Figure(figures.Figure):
        def subplots(self):
            figure_axes.append(super().subplots())
            return figure_axes[-1]
    monkeypatch.setattr(figures, 'Figure', Figure)
    return figure_axes


def count_pixels(path, curve):
    """Return how many pixels of a figure have the color of a curve, given by its index."""
    color = [(0x1f, 0x77, 0xb4), (0xff, 0x7f, 0x0e), (0x2c, 0xa0, 0x2c)][curve]
    image = iio.imread(path)
    assert image.shape[:2] == (450, 700)
    return (image[:, :, :3] == color).all(axis=2).sum()


def test_loss_curves_show_every_loss_on_a_logarithmic_axis(tmp_path, axes):
    figures.loss_curves(tmp_path / 'losses.png', COLUMNS, list(HISTORY))
    assert [axes[0].get_xscale(), axes[0].get_yscale()] == ['linear', 'log']
    for line, values in zip(axes[0].lines, HISTORY.T, strict=True):
        assert (line.get_xdata() == np.arange(300)).all() and (line.get_ydata() == values).all()
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == [
        'content loss', 'style loss', 'total loss']
    low, high = axes[0].get_ylim()
    assert low < HISTORY.min() and HISTORY.max() < high
    assert all(count_pixels(tmp_path / 'losses.png', curve) > 300 for curve in range(3))


@pytest.mark.filterwarnings('error::UserWarning', 'error::RuntimeWarning')
@pytest.mark.parametrize('zeros, scale, visible', [
    ((slice(None), 0), 'log', [1, 2]), ((0, 0), 'log', [0, 1, 2]), ((slice(None), slice(None)), 'linear', [2])])
def test_loss_curves_can_have_zeros(tmp_path, axes, zeros, scale, visible):
    """A loss may be zero at the start or always; of three lines at zero only the last is visible."""
    history = HISTORY.copy()
    history[zeros] = 0
    figures.loss_curves(tmp_path / 'losses.png', COLUMNS, history)
    assert axes[0].get_yscale() == scale and np.isfinite(axes[0].get_ylim()).all()
    assert all(count_pixels(tmp_path / 'losses.png', curve) > 300 for curve in visible)


@pytest.mark.filterwarnings('error::UserWarning', 'error::RuntimeWarning')
@pytest.mark.parametrize('length', [1, 2])
def test_loss_curves_of_one_or_two_iterations_are_visible(tmp_path, length):
    figures.loss_curves(tmp_path / 'losses.png', COLUMNS, HISTORY[:length])
    assert all(count_pixels(tmp_path / 'losses.png', curve) > 60 for curve in range(3))  # The legend alone has fewer.


def test_the_sheet_shows_its_pictures_side_by_side(tmp_path):
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
    assert (sheet == 255).all()  # The rest is white.


def write_pictures(folder, count, height, width):
    """Write `count` pictures that get brighter, with the names that a run uses; return their paths."""
    paths = [folder / f'{number:05}.jpg' for number in range(count)]
    for number, path in enumerate(paths):
        iio.imwrite(path, np.full((height, width, 3), 40 + 20 * number, np.uint8))
    return paths


def durations(path):
    """Return the durations of the frames of an animation, in milliseconds."""
    with iio.imopen(path, 'r') as file:
        return [file.metadata(index=index)['duration'] for index in range(file.properties(index=...).shape[0])]


def earlier_and_last(paths):
    """Return the arguments of `figures.progress_gif`: all paths except the last, and the pixels of the last."""
    return paths[:-1], iio.imread(paths[-1])


@pytest.mark.parametrize('height, width, size', [(250, 400, (125, 200)), (400, 100, (200, 50)), (32, 48, (32, 48)),
                                                 (16, 4096, (1, 200))])
def test_the_animation_has_every_picture_in_order_and_reduced(tmp_path, height, width, size):
    figures.progress_gif(tmp_path / 'progress.gif', *earlier_and_last(write_pictures(tmp_path, 6, height, width)))
    frames = iio.imread(tmp_path / 'progress.gif')
    assert frames.shape == (6, *size, 3)
    for number, frame in enumerate(frames):
        assert np.abs(frame.astype(int) - (40 + 20 * number)).max() <= 2
    assert durations(tmp_path / 'progress.gif') == [200] * 5 + [3000]
    with iio.imopen(tmp_path / 'progress.gif', 'r') as file:
        assert file.metadata(index=0)['loop'] == 0  # This repeats the animation forever.


@pytest.mark.parametrize('count', [59, 60, 61, 500])
def test_the_animation_of_a_long_run_skips_pictures_evenly(tmp_path, count):
    paths = []
    for number in range(count):
        paths.append(tmp_path / f'{number:05d}.png')
        iio.imwrite(paths[-1], np.full((6, 8, 3), number // 2, np.uint8))
    figures.progress_gif(tmp_path / 'progress.gif', paths, np.full((6, 8, 3), 255, np.uint8))
    grays = iio.imread(tmp_path / 'progress.gif')[:, 0, 0, 0].astype(int)  # Equal frames are merged.
    assert sum(durations(tmp_path / 'progress.gif')) == 200 * 59 + 3000
    assert (grays[0], grays[-2], grays[-1]) == (0, (count - 1) // 2, 255)
    assert (np.diff(grays[:-1]) <= max(1, -(-count // 116))).all()


def test_the_animation_of_one_picture_has_one_frame(tmp_path):
    figures.progress_gif(tmp_path / 'progress.gif', *earlier_and_last(write_pictures(tmp_path, 1, 50, 60)))
    assert iio.imread(tmp_path / 'progress.gif').shape == (1, 50, 60, 3)


def test_equal_pictures_keep_their_total_duration(tmp_path):
    """The writer merges equal frames and adds up their durations."""
    first, second = write_pictures(tmp_path, 2, 50, 60)
    figures.progress_gif(tmp_path / 'progress.gif', *earlier_and_last([first, first, first, second]))
    assert durations(tmp_path / 'progress.gif') == [600, 3000]


def test_the_animation_of_noise_is_a_small_file(tmp_path):
    """Noise compresses worst: 21 pictures of 333×250, those of 300 iterations, need less than 1.5 MB."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f'{number}.png' for number in range(21)]
    for path in paths:
        iio.imwrite(path, rng.integers(0, 256, (250, 333, 3), dtype=np.uint8))
    figures.progress_gif(tmp_path / 'progress.gif', *earlier_and_last(paths))
    assert (tmp_path / 'progress.gif').stat().st_size < 1.5e6


@pytest.mark.parametrize('draw', [
    lambda path, picture: figures.loss_curves(path, COLUMNS, HISTORY),
    lambda path, picture: figures.sheet(path, [np.zeros((4, 4, 3))]),
    lambda path, picture: figures.progress_gif(path, [picture], iio.imread(picture))],
    ids=['loss_curves', 'sheet', 'progress'])
def test_figures_are_written_atomically(tmp_path, monkeypatch, draw):
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
    monkeypatch.setattr('pathlib.Path.write_bytes', lambda part, content: full_disk(part))  # for `utils.save_image`
    monkeypatch.setattr(figures.Figure, 'savefig', lambda figure, part, **kwargs: full_disk(part))
    with pytest.raises(OSError):
        draw(path, picture)
    assert path.read_bytes() == b'the one before' and sorted(tmp_path.iterdir()) == [path, picture]


def test_the_labeled_grid_shows_every_image_in_its_cell(tmp_path):
    colors = np.random.default_rng(0).integers(0, 256, (2, 3, 3))
    rows = [[('label', np.broadcast_to(color, (30, 40, 3))) for color in row] for row in colors]
    figures.labeled_grid(tmp_path / 'grid.png', [rows[0], rows[1][:2]])
    picture = iio.imread(tmp_path / 'grid.png')[..., :3]
    height, width = picture.shape[:2]
    for i, j in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1)):
        center = picture[int(height * (i + 0.6) / 2), int(width * (j + 0.5) / 3)]
        assert (center == colors[i, j]).all()
    assert (picture[int(height * 0.8), int(width * 5 / 6)] == 255).all()  # The second row is shorter.
    assert (picture == 0).all(axis=2).sum() > 50  # black pixels of the labels
