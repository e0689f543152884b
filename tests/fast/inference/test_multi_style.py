"""Test inference with multi-style networks: tiles, norm statistics, mixtures, color options and damaged models."""

import json
import os
import shutil
import subprocess
import sys
from concurrent import futures

import numpy as np
import pytest
import skimage.color

import utils
from common import files, paths
from common.errors import UserError
from fast.inference import models, multi_style, tiled

PHOTO = paths.ROOT / 'content' / 'astronaut.png'
FIRST = np.float32([1, 0, 0])


@pytest.fixture(scope='module')
def model(model_folder):
    return multi_style.MultiStyleModel(model_folder)


@pytest.fixture(scope='module')
def photo():
    return utils.read_image(PHOTO)


def test_another_process_without_tensorflow_gives_the_same_bytes(model_folder, model, photo, tmp_path):
    picture = model(photo[:203, :301], FIRST)
    program = ('import sys, numpy as np, utils\n'
               'from pathlib import Path\n'
               'from fast.commands import stylize\n'
               'from fast.inference import batch, multi_style\n'
               'photo = utils.read_image(sys.argv[2])[:203, :301]\n'
               'np.save(sys.argv[3], multi_style.MultiStyleModel(Path(sys.argv[1]))(photo, [1, 0, 0]))\n'
               'heavy = {"tensorflow", "scipy", "skimage", "matplotlib", "av"} & sys.modules.keys()\n'
               'assert not heavy, heavy')
    subprocess.run([sys.executable, '-c', program, model_folder, PHOTO, tmp_path / 'picture.npy'], cwd=paths.ROOT,
                   check=True)
    other_picture = np.load(tmp_path / 'picture.npy')
    assert other_picture.tobytes() == picture.tobytes() and picture.std() > 5


def test_threads_can_share_a_model(model, photo):
    """Every thread gets its own picture, and standard error is not redirected afterwards."""
    photos = [photo[20 * i:20 * i + 90, :100 + 4 * i] for i in range(8)]
    sequential, stderr = [model(image, FIRST) for image in photos], os.fstat(2)
    with futures.ThreadPoolExecutor(8) as threads:
        parallel = list(threads.map(lambda image: model(image, FIRST), photos))
    assert all((picture == expected).all() for picture, expected in zip(parallel, sequential))
    assert os.path.samestat(os.fstat(2), stderr)


def test_a_picture_has_the_size_of_its_photo(model):
    rng = np.random.default_rng(0)
    for height, width in [(1, 1), (1, 300), (2, 3), (15, 17), (16, 16), (33, 64), (300, 2)]:
        picture = model(rng.uniform(0, 255, (height, width, 3)).astype(np.float32), FIRST)
        assert picture.shape == (height, width, 3) and np.isfinite(picture).all()


def test_the_picture_does_not_depend_on_the_tile_size(model, photo):
    """The tiles do not divide the photos evenly; one photo is smaller and one larger than STATISTICS_SIDE_PX."""
    for image in (photo[:477, :501], np.tile(photo, (2, 3, 1))[:777, :1101]):
        pictures = [model(image, FIRST, tile) for tile in (2000, model.min_tile(), 411)]
        assert pictures[0].std() > 5
        # The tolerance allows for instance norms that sum in another order.
        assert max(np.abs(picture - pictures[0]).max() for picture in pictures) < 0.05


def test_a_large_photo_uses_the_norm_statistics_of_its_downsampled_copy(model, photo, monkeypatch):
    large = photo.repeat(4, axis=0).repeat(4, axis=1)[:2048, :2048]
    calls, stylize = [], model._stylize
    monkeypatch.setattr(model, '_stylize', lambda image, *rest: calls.append((image, *rest)) or stylize(image, *rest))
    model(large, FIRST, 1024)
    (small, style), *tiles = calls
    np.testing.assert_allclose(small, large.reshape(1024, 2, 1024, 2, 3).mean(axis=(1, 3)), atol=1e-3)
    norm_stats = stylize(small, FIRST)[1]
    assert (style == FIRST).all() and len(tiles) > 5
    assert all((tile_stats == norm_stats).all() for _, _, tile_stats in tiles)


@pytest.mark.parametrize('size', [(1024, 30), (1025, 700), (1500, 3), (4000, 2100), (1, 5000)])
def test_photos_are_downsampled_to_a_longer_side(size):
    ramps = np.stack(np.broadcast_arrays(np.linspace(0, 255, size[0])[:, None], np.linspace(0, 255, size[1]), 7.), -1)
    small = tiled.limit_side(np.float32(ramps), 1024)
    assert max(small.shape[:2]) == 1024
    shorter = 1024 * min(size) / max(size)
    assert min(small.shape[:2]) == pytest.approx(max(1, shorter), abs=1)
    for axis in (0, 1):
        if size[axis] > 1:
            profile = small[..., axis].mean(axis=1 - axis)
            centers = (np.arange(len(profile)) + 0.5) / len(profile) * size[axis] - 0.5
            np.testing.assert_allclose(profile, centers * 255 / (size[axis] - 1), atol=255 * 3 / size[axis])


@pytest.mark.parametrize('length, tile, radius, stride', [
    (7, 400, 60, 4), (400, 400, 60, 4), (401, 400, 60, 4), (333, 304, 60, 4), (1000, 420, 60, 4), (1234, 567, 60, 4),
    (1234, 567, 112, 8), (999, 512, 112, 8)])
def test_the_blending_weights_of_tiles_sum_to_1(length, tile, radius, stride):
    overlap = 2 * radius + tiled.BLEND_PX
    spans = tiled.tile_spans(length, tile, overlap, stride)
    total = np.zeros(length)
    for part, weights in spans:
        assert part.start % stride == 0 and len(weights) == part.stop - part.start < tile + stride
        assert (0 <= weights).all() and (weights <= 1).all()
        total[part] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)
    for (before, w), (after, v) in zip(spans, spans[1:]):
        assert before.stop - after.start >= overlap
        # Pixels that the border of a tile affects have no weight.
        assert w[-radius:].max() == 0 and v[:radius].max() == 0
    assert spans[0][0].start == 0 and spans[-1][0].stop == length and (len(spans) == 1) == (length <= tile)


def test_blending_applies_the_strength_and_keeps_colors():
    rng = np.random.default_rng(0)
    photo, picture = (rng.uniform(60, 190, (5, 6, 3)).astype(np.float32) for _ in range(2))
    np.testing.assert_allclose(multi_style.blend(photo, picture, 1, False), picture, atol=1e-4)
    np.testing.assert_allclose(multi_style.blend(photo, picture, 0.25, False), 0.75 * photo + 0.25 * picture, atol=1e-4)
    assert (multi_style.blend(photo, picture, 0, True) == photo).all()
    kept = multi_style.blend(photo, picture, 1, True)
    np.testing.assert_allclose(skimage.color.rgb2gray(kept), skimage.color.rgb2gray(picture), atol=1e-3)
    difference = kept - photo
    assert np.abs(difference - difference[..., :1]).max() < 1e-3


def test_style_weights_are_parsed_for_one_style_and_mixtures():
    styles = ['a', 'b', 'c']
    for text, weights in (('b', [0, 1, 0]), ('a:0.6,c:0.4', [0.6, 0, 0.4]), ('a,b', [0.5, 0.5, 0]),
                          ('a:3,b:1', [0.75, 0.25, 0]), ('a,a,b:2', [0.5, 0.5, 0])):
        np.testing.assert_allclose(multi_style.parse_style_weights(text, styles), weights, rtol=1e-6)
    for text, message in (('d', 'not a style of this model, which has a, b, c'), ('a:x', 'x is not a number'),
                          ('a:-1', '0 or more'), ('a:0', 'not all 0'), ('a:nan', '0 or more'), ('a:inf', '0 or more'),
                          ('', 'not a style')):
        with pytest.raises(UserError, match=message):
            multi_style.parse_style_weights(text, styles)


def test_a_mixture_lies_between_its_styles(model, photo):
    a, b, half = (model(photo[:64, 200:280], np.float32(weights)) for weights in ([1, 0, 0], [0, 1, 0], [0.5, 0.5, 0]))
    assert 1 < np.abs(a - half).mean() < np.abs(a - b).mean() > np.abs(b - half).mean() > 1


def test_damaged_models_are_refused(model_folder, tmp_path):
    litert, about = (model_folder / 'model.tflite').read_bytes(), json.loads((model_folder / 'model.json').read_text())

    def with_hash(content, **changes):
        (tmp_path / 'file').write_bytes(content)
        return json.dumps(about | {'files': {'model.tflite': files.file_hash(tmp_path / 'file')}} | changes)
    for i, (model_bytes, json_text) in enumerate([
            (litert[:5000], json.dumps(about)), (litert, '{'), (litert, '[]'), (litert, '{"styles": 3}'),
            (litert, None), (None, json.dumps(about)), (litert[:5000], with_hash(litert[:5000])), (b'', with_hash(b'')),
            (litert, with_hash(litert, styles={'a': ''})), (litert, with_hash(litert, styles=[])),
            (litert, with_hash(litert, styles=[1, 2, 3]))]):
        folder = tmp_path / f'damaged{i}'
        folder.mkdir()
        if model_bytes is not None:
            (folder / 'model.tflite').write_bytes(model_bytes)
        if json_text is not None:
            (folder / 'model.json').write_text(json_text)
        with pytest.raises(UserError, match='damaged.*: not a complete model'):
            multi_style.MultiStyleModel(folder)


def test_models_are_found_by_path_and_by_name(model_folder, workdir):
    assert models.find(str(model_folder)) == model_folder
    with pytest.raises(UserError, match='no such model'):
        models.find('random')
    shutil.copytree(model_folder, workdir / 'models/random')
    assert models.find('random').resolve() == workdir / 'models/random'
    with pytest.raises(UserError, match='^other: no such model; available models: .*random'):
        models.find('other')
