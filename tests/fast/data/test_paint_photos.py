"""Test the painted photos: strokes have the right place, techniques leave marks, seeds make pictures reproducible."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from scipy import ndimage, stats

import utils
from fast.data import paint_photos

SIDE = 48


@pytest.fixture
def photos(tmp_path):
    """A folder with a smooth photo, a flat one and a file that is no image."""
    y, x = np.mgrid[:60, :80] / 80
    smooth = np.stack([.2 + .6 * x, .3 + .5 * y, .5 + .3 * np.sin(4 * (x + y))], axis=-1)
    utils.save_image(tmp_path / 'photos/smooth.png', 255 * smooth)
    utils.save_image(tmp_path / 'photos/flat.png', np.full((60, 80, 3), 90.))
    (tmp_path / 'photos/broken.jpg').write_bytes(b'no image')
    return tmp_path / 'photos'


def strokes(angle, centers, paint, length=20, width=6, **marks):
    """Paint even strokes on a black canvas; return the canvas [H, W, 3] and its relief [H, W]."""
    canvas, relief = np.zeros((*angle.shape, 3), np.float32), np.zeros(angle.shape, np.float32)
    paint_photos.lay(np.random.default_rng(0), canvas, relief, angle, np.float32(centers), np.float32(paint), length,
                     width, dry=0, bristle=0, **marks)
    return canvas, relief


def test_strokes_have_the_requested_mean_length_and_width():
    centers = np.argwhere(np.ones((8, 8))) * (16, 40) + (8, 20)
    canvas, _ = strokes(np.zeros((128, 320)), centers, np.ones((64, 3)), ends=50.)
    mean = sum(paint_photos.STROKE_SIZE_RANGE) / 2
    np.testing.assert_allclose(canvas[..., 0].sum() / 64, 20 * mean * 6 * mean, rtol=.1)


@pytest.mark.parametrize('direction', [0, np.pi / 2, .6])
def test_a_straight_stroke_lies_along_its_direction(direction):
    canvas, relief = strokes(np.full((64, 64), direction), [(30, 34)], [(1, .5, 0)])
    weight = canvas[..., 0]
    y, x = np.mgrid[:64, :64]
    middle = [np.average(axis, weights=weight) for axis in (y, x)]
    np.testing.assert_allclose(middle, (30, 34), atol=1)
    along = (x - 34) * np.cos(direction) + (y - 30) * np.sin(direction)
    across = (y - 30) * np.cos(direction) - (x - 34) * np.sin(direction)
    # The standard deviation of a rectangle is its side divided by √12. Sides are 0.6 to 1.3 times the requested ones.
    for coordinate, side in ((along, 20), (across, 6)):
        assert .6 * side - 1 < 12 ** .5 * np.average(coordinate ** 2, weights=weight) ** .5 < 1.3 * side + 1
    np.testing.assert_allclose(canvas, weight[..., None] * np.float32([1, .5, 0]), atol=1e-5)
    assert (relief[weight > .99] > 0).all() and not relief[weight == 0].any()


def test_a_curved_stroke_follows_the_directions():
    y, x = np.mgrid[:80, :80] - 40.
    canvas, _ = strokes(np.arctan2(y, x) + np.pi / 2, [(40, 65)], [(1, 1, 1)], length=60, width=3, curved=True)
    painted = canvas[..., 0] > .5
    assert np.abs(np.hypot(y, x)[painted] - 25).max() < 3.5
    assert np.ptp(np.arctan2(y, x)[painted]) * 25 > .6 * 60 - 3


def test_a_curved_stroke_is_straight_if_all_directions_are_equal():
    straight, curved_stroke = (strokes(np.full((40, 40), .6), [(20, 20)], [(1, 1, 1)], curved=curved)[0]
                               for curved in (False, True))
    np.testing.assert_allclose(curved_stroke, straight, atol=1e-3)


def test_later_strokes_lie_over_earlier_ones():
    paint = np.eye(3)[[0, 1, 2, 0, 1]]
    for batches in (1, 5):
        canvas, _ = strokes(np.zeros((40, 40)), [(20, 20)] * 5, paint, batches=batches)
        np.testing.assert_allclose(canvas[20, 20], (0, 1, 0), atol=1e-5)


def test_strokes_are_clipped_at_the_edge():
    canvas, _ = strokes(np.zeros((20, 30)), [(0, 0), (19, 29), (-50, 10)], np.ones((3, 3)))
    assert canvas[0, 0, 0] == canvas[19, 29, 0] == 1
    assert not canvas[0, 20:].any() and not canvas[8:12].any()


@pytest.mark.parametrize('direction', [.3, 1.2, 2.5])
def test_contours_run_along_stripes(direction):
    y, x = np.mgrid[:48, :48]
    stripes = .5 + .5 * np.sin((y * np.cos(direction) - x * np.sin(direction)) / 2)
    angle, clarity = paint_photos.contours(np.float32(stripes[..., None].repeat(3, axis=2)), 3)
    inner = (slice(8, -8),) * 2
    assert np.abs(np.sin(angle - direction))[inner].max() < .05 and clarity[inner].min() > .9


def test_points_are_drawn_in_proportion_to_their_weight():
    weight = np.arange(12.).reshape(3, 4)
    points = paint_photos.places(np.random.default_rng(0), weight, 20000).astype(int)
    counts = np.bincount(points[:, 0] * 4 + points[:, 1], minlength=12)
    np.testing.assert_allclose(counts / 20000, weight.ravel() / 66, atol=.01)


def test_ranks_match_scipy_and_main_colors_are_found():
    rng = np.random.default_rng(0)
    values = rng.gamma(2, size=(40, 50))
    np.testing.assert_allclose(paint_photos.rank(values), stats.rankdata(values).reshape(40, 50) / 2000, atol=.06)
    colors = np.float32([[.1, .1, .2], [.8, .2, .1], [.9, .9, .6]])
    image = colors[rng.integers(3, size=(30, 40))] + rng.normal(0, .01, (30, 40, 3))
    np.testing.assert_allclose(paint_photos.main_colors(rng, image, 3), colors, atol=.01)


@pytest.mark.parametrize('kind', paint_photos.KINDS, ids=lambda kind: kind.__name__)
def test_each_technique_leaves_marks(kind):
    y, x = np.mgrid[:SIDE, :64] / 64
    scene = np.float32(np.stack([.2 + .6 * x, .3 + .5 * y, .5 + .3 * np.sin(4 * (x + y))], axis=-1))
    for seed in range(3):
        input_scene = scene.copy()
        picture = paint_photos.finish(np.random.default_rng(seed), kind(np.random.default_rng(seed), input_scene))
        assert np.array_equal(input_scene, scene)
        assert picture.shape == scene.shape and np.isfinite(picture).all() and 0 <= picture.min() <= picture.max() <= 1
        gray = picture.mean(axis=-1)
        marks = gray - ndimage.gaussian_filter(gray, 4)  # details finer than about ten pixels
        assert gray.std() > .04 and marks.std() > .015


def test_a_painting_depends_only_on_its_seed_and_has_the_right_size(photos):
    def picture(seed):
        return paint_photos.painting(np.random.default_rng(seed), sorted(photos.iterdir()), SIDE)
    shapes = set()
    for seed in range(6):
        first = picture(seed)
        assert np.array_equal(first, picture(seed))
        assert min(first.shape[:2]) == SIDE and max(first.shape[:2]) <= SIDE * 4 / 3 + .5
        shapes.add(first.shape)
    assert len(shapes) > 3


def test_parts_that_are_nearly_blank_are_skipped(photos):
    rng = np.random.default_rng(0)
    for _ in range(6):
        assert paint_photos.random_part(rng, sorted(photos.iterdir()), (12, 16)).std() > paint_photos.MIN_DEVIATION


def test_the_command_writes_only_missing_pictures(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(paint_photos, 'SIDE_PX', SIDE)
    out = tmp_path / 'out'
    assert paint_photos.main([str(photos), str(out), '--count', '2', '--seed', '7']) == 0
    assert sorted(path.name for path in out.iterdir()) == ['7-00000.jpg', '7-00001.jpg']
    assert min(iio.imread(out / '7-00000.jpg').shape[:2]) == SIDE
    first = (out / '7-00001.jpg').read_bytes()
    (out / '7-00000.jpg').write_bytes(b'kept')
    (out / '7-00001.jpg').unlink()
    assert paint_photos.main([str(photos), str(out), '--count', '2', '--seed', '7']) == 0
    assert (out / '7-00000.jpg').read_bytes() == b'kept' and (out / '7-00001.jpg').read_bytes() == first


@pytest.mark.parametrize('flags, message', [
    (['nowhere', 'out'], 'nowhere: no images in this folder'),
    (['empty', 'out'], 'empty: every image in this folder is unreadable or nearly blank'),
    (['photos', 'empty/photo.png'], 'empty/photo.png: File exists'),
    (['empty', 'out', '--count', '0'], "'0': must be a whole number from 1 to 99999"),
    (['empty', 'out', '--seed', 'a'], "'a': must be a whole number from 0"),
    (['empty'], 'the following arguments are required: OUT')])
def test_mistakes_are_reported_in_one_line(tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    utils.save_image(Path('empty/photo.png'), np.zeros((8, 8, 3)))
    utils.save_image(Path('photos/photo.png'), np.random.default_rng(0).uniform(0, 255, (8, 8, 3)))
    assert paint_photos.main(flags) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    assert len(errors) == 1 and message in errors[0]
    assert not list(tmp_path.rglob('*.jpg'))
