"""Test the crops of training photos: files are found once, crops are reproducible, unusable files are skipped."""

import imageio.v3 as iio
import numpy as np
import pytest

from common.errors import UserError
from common.files import file_hash
from common.tf1 import tf
from fast.data import crops as module
from fast.data.crops import CropDataset, find_files

SIDE = 16


@pytest.fixture(autouse=True)
def disable_gradients_and_gains(monkeypatch, request):
    """Leave crops unchanged, except in tests of gradients, whose names contain that word."""
    if 'gradient' not in request.node.name:
        monkeypatch.setattr(module, 'GRADIENT_SHARE', 0)
        monkeypatch.setattr(module, 'MAX_GAIN_CHANGE', 0)


@pytest.fixture
def folder(tmp_path):
    """A folder with six noisy photos of different reds, a copy of one, and three files that are not images."""
    rng = np.random.default_rng(0)
    folder = tmp_path / 'photos'
    (folder / 'below').mkdir(parents=True)
    for i in range(6):
        photo = rng.integers(0, 256, (30 + 20 * i, 70, 3), dtype=np.uint8)
        photo[:, :, 0] = 40 * i
        iio.imwrite(folder / 'below' / f'{i}.png', photo)
    (folder / 'copy.png').write_bytes((folder / 'below/0.png').read_bytes())
    (folder / 'notes.txt').write_text('no picture')
    (folder / 'cut.jpg').write_bytes((folder / 'below/1.png').read_bytes()[:200])
    (folder / 'empty.png').write_bytes(b'')
    return folder


def reds(photos, indices):
    """Return the number of the photo that each crop is from."""
    return [round(float(photos[i][..., 0].mean()) / 40) for i in indices]


def test_copies_are_found_once_and_excluded_photos_not_at_all(folder):
    files = find_files([folder, folder / 'below'], [folder / 'below/3.png', folder / 'below/0.png'])
    assert sorted(path.name for path in files.values()) == [
        '1.png', '2.png', '4.png', '5.png', 'cut.jpg', 'empty.png', 'notes.txt']
    assert all(file_hash(path) == digest for digest, path in files.items())


def test_an_epoch_has_every_photo_and_unusable_files_are_listed(folder):
    iio.imwrite(folder / 'small.png', np.random.default_rng(0).integers(0, 256, (9, 300, 3), dtype=np.uint8))
    photos = CropDataset([folder], SIDE, 0)
    n = len(photos.paths)
    assert n == 10
    for epoch in range(3):
        assert set(reds(photos, range(n * epoch, n * epoch + n))) == set(range(6))
    assert sorted(path.name for path in photos.skipped) == ['cut.jpg', 'empty.png', 'notes.txt', 'small.png']


def test_a_crop_depends_only_on_its_index_and_the_seed(folder):
    first, second = (CropDataset([folder], SIDE, 3) for _ in range(2))
    forwards = [first[i] for i in range(20)]
    backwards = [second[i] for i in reversed(range(20))][::-1]
    assert (np.array(forwards) == backwards).all() and forwards[0].shape == (SIDE, SIDE, 3)
    assert len({crop.tobytes() for crop in forwards}) == 20
    assert not (CropDataset([folder], SIDE, 4)[0] == forwards[0]).all()


def test_batches_can_start_at_any_index(folder):
    photos = CropDataset([folder], SIDE, 0)
    with tf.Graph().as_default(), tf.Session() as sess:
        first = tf.placeholder(tf.int64, [])
        iterator = tf.data.make_initializable_iterator(photos.batches(3, first))
        batch = iterator.get_next()
        for start in (0, 5):
            sess.run(iterator.initializer, {first: start})
            for number in range(start, start + 4):
                assert (sess.run(batch) == [photos[3 * number + i] for i in range(3)]).all()


def test_the_sizes_of_crops_are_log_uniform_up_to_the_whole_photo(folder):
    ramp = np.tile(np.linspace(0, 255, 160)[:, None, None], (1, 300, 3)).astype(np.uint8)
    (folder / 'ramp').mkdir()
    iio.imwrite(folder / 'ramp' / 'ramp.png', ramp)
    photos = CropDataset([folder / 'ramp'], SIDE, 0)
    sizes = np.array([np.ptp(photos[i][:, 0, 0].astype(float)) / 255 for i in range(300)]) * SIDE / (SIDE - 1)
    assert sizes.min() == pytest.approx(10 / 160, abs=0.03) and sizes.max() == pytest.approx(1, abs=0.05)
    # The logarithms of the sizes are uniformly distributed.
    np.testing.assert_allclose(np.quantile(np.log(sizes), [0.25, 0.5, 0.75]),
                               np.log(160 / 10) * np.array([-0.75, -0.5, -0.25]), atol=0.25)


def test_gradients_are_smooth_and_the_gains_of_channels_differ(folder, monkeypatch):
    monkeypatch.setattr(module, 'GRADIENT_SHARE', 1)
    crops = [np.float64(CropDataset([folder], 64, 0)[i]) for i in range(8)]
    plane = np.stack(np.broadcast_arrays(np.arange(64.), np.arange(64.)[:, None], 1.), -1).reshape(-1, 3)
    for crop in crops:
        pixels = crop.reshape(-1, 3)
        _, residues, *_ = np.linalg.lstsq(plane, pixels, rcond=None)
        assert np.sqrt(residues / len(pixels)).max() < 2.5  # only the grain remains
        assert crop.std() > 5
    monkeypatch.setattr(module, 'GRADIENT_SHARE', 0)
    (folder / 'gray').mkdir()
    gray = np.random.default_rng(0).integers(0, 200, (64, 64, 1), dtype=np.uint8).repeat(3, axis=2)
    iio.imwrite(folder / 'gray/gray.png', gray)
    photos = CropDataset([folder / 'gray'], 64, 0)
    ratios = np.array([photos[i][..., 0].mean() / photos[i][..., 1].mean() for i in range(40)])
    assert 0.85 / 1.15 - 0.02 < ratios.min() < 0.9 and 1.1 < ratios.max() < 1.15 / 0.85 + 0.02


def test_the_next_photo_replaces_a_flat_crop_unless_all_photos_are_flat(folder):
    flat = folder / 'flat'
    flat.mkdir()
    iio.imwrite(flat / 'orange.png', np.full((64, 64, 3), [255, 128, 0], np.uint8))
    assert CropDataset([flat], SIDE, 0)[0].std(axis=(0, 1)).max() == 0
    iio.imwrite(flat / 'noise.png', np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    photos = CropDataset([flat], SIDE, 0)
    assert min(photos[i].std(axis=(0, 1)).min() for i in range(20)) > 5


def test_large_photos_are_downsampled_or_cut_to_fit_the_cache(folder):
    iio.imwrite(folder / 'long.png', np.random.default_rng(0).integers(0, 256, (40, 9000, 3), dtype=np.uint8))
    iio.imwrite(folder / 'large.png', np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), dtype=np.uint8))
    photos = CropDataset([folder], SIDE, 0)
    sizes = {
        path.name: photos.load_photo(path).shape[:2] for path in photos.paths if photos.load_photo(path) is not None
    }
    assert sizes['long.png'] == (40, 80) and sizes['large.png'] == (640, 853)
    assert photos.load_photo.cache_info().maxsize * 640 * 1280 * 3 <= module.MAX_CACHED_BYTES


def test_folders_without_photos_are_refused(folder, tmp_path):
    with pytest.raises(UserError, match='no such folder'):
        CropDataset([tmp_path / 'nowhere'], SIDE, 0)
    (tmp_path / 'none').mkdir()
    (tmp_path / 'none/notes.txt').write_text('no picture')
    with pytest.raises(UserError, match='no readable image whose width'):
        CropDataset([tmp_path / 'none'], SIDE, 0)
