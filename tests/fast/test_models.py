"""Exported networks: the same bytes in another process, tiles that agree with the whole, models that are damaged."""

import json
import subprocess
import sys

import numpy as np
import pytest

import utils
from engine import memory, runs, shipped
from engine.messages import UserError
from conftest import random_parameters
from fast import models

ABOUT = {'network': 'half', 'base': 4, 'style_file': 'x.jpg'}
PHOTO = shipped.ROOT / 'content' / 'astronaut.png'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The folder of a model with random parameters."""
    folder = tmp_path_factory.mktemp('models') / 'random'
    models.write(folder, random_parameters('half'), ABOUT)
    return folder


@pytest.fixture(scope='module')
def model(folder):
    return models.Model(folder)


@pytest.fixture(scope='module')
def photo():
    return utils.read_image(PHOTO)


def test_a_model_is_two_files_and_says_what_it_is(folder, model):
    assert sorted(path.name for path in folder.iterdir()) == ['model.json', 'saved_model.pb']
    assert sorted(path.name for path in folder.parent.iterdir()) == ['random']
    assert model.about == ABOUT | {'saved_model': utils.file_hash(folder / 'saved_model.pb')}


def test_a_fresh_process_gives_the_same_bytes(folder, model, photo, tmp_path):
    picture = model(photo[:203, :301], 1000)
    program = ('import sys, numpy as np, utils\n'
               'from fast import models\n'
               'photo = utils.read_image(sys.argv[2])[:203, :301]\n'
               'np.save(sys.argv[3], models.Model(sys.argv[1])(photo, 1000))')
    subprocess.run([sys.executable, '-c', program, folder, PHOTO, tmp_path / 'picture.npy'], cwd=shipped.ROOT,
                   check=True)
    again = np.load(tmp_path / 'picture.npy')
    assert again.tobytes() == picture.tobytes() and picture.std() > 5


def test_any_tensorflow_program_can_load_it(folder, model, photo, tmp_path):
    program = ('import sys, numpy as np, tensorflow as tf\n'
               'serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]\n'
               'photos = np.load(sys.argv[2])\n'
               'np.save(sys.argv[2], serve(photos=tf.constant(photos))["pictures"])')
    small = photo[None, 100:150, 200:233]
    np.save(tmp_path / 'photos.npy', small)
    subprocess.run([sys.executable, '-c', program, folder, tmp_path / 'photos.npy'], check=True)
    np.testing.assert_allclose(np.load(tmp_path / 'photos.npy')[0], model(small[0], 1000), atol=0.01)


def test_tiles_are_the_whole(model, photo):
    """On the same statistics, in rows and columns, for a photo that no tile divides."""
    tile = model.smallest_tile()
    photo = np.tile(photo, (2, 2, 1))[:777, :1001]
    whole = model(photo, 2000)
    statistics = model._run('statistics', 'statistics', photos=photo[None])
    parts = model.in_tiles(photo, statistics, tile)
    assert whole.std() > 5
    assert np.abs(parts - whole).max() < 0.25  # what a sum in another order makes of instance norms


def test_a_photo_beyond_the_tile_takes_statistics_of_the_reduced_whole(model, photo):
    tile = model.smallest_tile()
    large = photo.repeat(2, axis=0).repeat(2, axis=1)[:, :700]
    statistics = model._run('statistics', 'statistics', photos=photo[None, :, :350])
    np.testing.assert_allclose(model(large, tile), model.in_tiles(large, statistics, tile), atol=1e-3)
    assert model(np.full((tile + 1, 1, 3), 7, np.float32), tile).shape == (tile + 1, 1, 3)


@pytest.mark.parametrize('length, tile', [(7, 100), (100, 100), (101, 100), (333, 100), (1000, 120), (1234, 567)])
def test_spans_cover_everything_once(length, tile):
    overlap, multiple = 48, 8
    spans = models.spans(length, tile, overlap, multiple)
    total = np.zeros(length)
    for part, weights in spans:
        assert part.start % multiple == 0 and len(weights) == part.stop - part.start < tile + multiple
        assert (0 <= weights).all() and (weights <= 1).all()
        total[part] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)
    for (before, w), (after, v) in zip(spans, spans[1:]):
        assert before.stop - after.start >= overlap - multiple
        assert w[-4:].max() == 0 and v[:4].max() == 0  # what a tile's own border spoils has no weight
    assert spans[0][0].start == 0 and spans[-1][0].stop == length and (len(spans) == 1) == (length <= tile)


def test_strength_and_colours():
    rng = np.random.default_rng(0)
    photo, picture = (rng.uniform(60, 190, (5, 6, 3)).astype(np.float32) for _ in range(2))
    np.testing.assert_allclose(models.mixed(photo, picture, 1, False), picture, atol=1e-4)
    np.testing.assert_allclose(models.mixed(photo, picture, 0.25, False), 0.75 * photo + 0.25 * picture, atol=1e-4)
    assert (models.mixed(photo, picture, 0, True) == photo).all()
    kept = models.mixed(photo, picture, 1, True)
    luminance = [0.2125, 0.7154, 0.0721]
    np.testing.assert_allclose(kept @ luminance, picture @ luminance, atol=1e-3)
    np.testing.assert_allclose((kept - (kept @ luminance)[..., None]), photo - (photo @ luminance)[..., None],
                               atol=1e-3)


def test_a_default_tile_leaves_memory(model, monkeypatch):
    per_pixel = 4 * models.BYTES_PER_PIXEL['half']
    for free in (1 << 27, 1 << 30, 1 << 36):
        monkeypatch.setattr(memory, 'free_memory', lambda: free)
        tile = model.default_tile()
        assert model.smallest_tile() <= tile <= models.TILES[1]
        assert tile == model.smallest_tile() or tile ** 2 * per_pixel <= min(free / 4, models.PASS_BYTES)
    assert memory.free_memory() > 0


def test_damaged_models_are_refused(folder, tmp_path):
    pb, about = (folder / 'saved_model.pb').read_bytes(), (folder / 'model.json').read_text()
    for pb_now, about_now in ((pb[:5000], about), (pb, '{'), (pb, '[]'), (pb, json.dumps(ABOUT)), (pb, None),
                              (None, about),
                              (b'', json.dumps(ABOUT | {'saved_model': utils.file_hash(_file(tmp_path, b''))}))):
        damaged = tmp_path / 'damaged'
        damaged.mkdir(exist_ok=True)
        for name, content in (('saved_model.pb', pb_now), ('model.json', about_now and about_now.encode())):
            (damaged / name).unlink(missing_ok=True)
            if content is not None:
                (damaged / name).write_bytes(content)
        with pytest.raises(UserError, match='damaged: not a whole model'):
            models.Model(damaged)


def _file(folder, content):
    (folder / 'file').write_bytes(content)
    return folder / 'file'


def test_models_are_found_by_path_and_by_name(folder, workdir):
    assert models.find(str(folder)) == folder
    with pytest.raises(UserError, match='no such model'):
        models.find('random')
    (workdir / 'models').mkdir()
    (workdir / 'models/random').symlink_to(folder)
    assert models.find('random').resolve() == folder
    with pytest.raises(UserError, match='--model other: no such model; there are .*random'):
        models.find('other')


def test_a_model_is_not_overwritten_by_another_run(folder, workdir):
    models.check_free(folder, runs.Run('r', ABOUT))
    models.check_free(workdir / 'nothing', runs.Run('r', ABOUT))
    with pytest.raises(UserError, match=r'other settings: base \(now 8, was 4\); --restart'):
        models.check_free(folder, runs.Run('r', ABOUT | {'base': 8}))


# ------------------------------------------------------------------------------------------------------ what is shipped

SHIPPED = sorted(path.parent for path in shipped.MODELS.glob('*/model.json'))


def test_three_small_models_ship_for_three_bundled_styles():
    assert len(SHIPPED) == 3
    styles = {utils.file_hash(path) for path in (shipped.ROOT / 'styles').glob('*.jpg')}
    abouts = [json.loads((folder / 'model.json').read_text()) for folder in SHIPPED]
    assert len({about['style'] for about in abouts} & styles) == 3
    for folder, about in zip(SHIPPED, abouts):
        assert sum(path.stat().st_size for path in folder.iterdir()) < 2.5e6


@pytest.mark.parametrize('folder', SHIPPED, ids=lambda folder: folder.name)
def test_a_shipped_model_gives_held_out_photos_its_styles_colours(folder):
    """Mean and covariance of RGB. Not Gram matrices: the network that these models were trained by was no VGG-19."""
    def colours(image):
        pixels = np.float64(image).reshape(-1, 3)
        return pixels.mean(axis=0), np.cov(pixels.T)
    model = models.Model(folder)
    style = colours(utils.get_resized_image(shipped.ROOT / 'styles' / model.about['style_file'], 256, 256))
    for path in shipped.HELD_OUT:
        photo = utils.get_resized_image(path, 256, 256)[0]
        picture = np.float32(utils.to_uint8(model(photo, 256)))
        for before, after, wanted in zip(colours(photo), colours(picture), style):
            assert np.linalg.norm(after - wanted) < np.linalg.norm(before - wanted) / 4
        luminance = [np.ravel(image.mean(axis=2)) for image in (photo, picture)]
        assert abs(np.corrcoef(luminance)[0, 1]) > 0.4  # and the photo is still in it
