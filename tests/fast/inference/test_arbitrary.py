"""Test inference with the arbitrary style transfer network: against NumPy, in tiles, with mixtures and any sizes."""

import subprocess
import sys

import numpy as np
import pytest
import skimage.transform
from PIL import Image

import utils
from common import paths
from common.errors import UserError
from fast.inference import arbitrary, color_transfer, moment_matching, multi_style, style_spec, tiled
from fast.inference.arbitrary import ArbitraryStyleModel, Style
from tests import reference
from tests.assertions import assert_close
from tests.factories import few_blocks, random_arbitrary

PHOTO, PAINTING = (paths.ROOT / folder for folder in ('content/astronaut.png', 'styles/poppies.jpg'))
DETAILS, COLORS = 0, 1  # indices of the high-pass and low-pass maps
with few_blocks():
    PARAMETERS = {name: value.astype(np.float16) for name, value in random_arbitrary().items()}  # LiteRT stores float16


@pytest.fixture(scope='module')
def model(any_folder):
    return ArbitraryStyleModel(any_folder)


@pytest.fixture(scope='module')
def photo():
    return utils.read_image(PHOTO)


@pytest.fixture(scope='module')
def style():
    return Style([utils.read_image(PAINTING)])


def noise(height, width, seed=0):
    """Return a random image [height, width, 3], 0 to 255."""
    return np.random.default_rng(seed).uniform(0, 255, (height, width, 3)).astype(np.float32)


@pytest.fixture
def stylize_at_own_size(monkeypatch):
    """Keep the model from enlarging small photos before it stylizes them."""
    monkeypatch.setattr(arbitrary, 'MIN_STYLIZED_SIDE_PX', 0)


@pytest.mark.parametrize('weights', [(1, 0), (3, 1)])
def test_pictures_match_numpy(stylize_at_own_size, model, photo, weights):
    """For a mixture, affine maps, color curves and style embeddings are mixed."""
    image, *paintings = photo[:24, 200:240], noise(40, 24), noise(32, 30, seed=1)[..., :1] * np.float32([1, 0.5, 0])
    padded = paintings[0], pad_to_stride(paintings[1])
    encoded = [reference.arbitrary_encode(x, PARAMETERS) for x in padded]
    moments = [[(flat.mean(axis=0), np.cov(flat.T, bias=True))
                for F in painting_maps for flat in [F.reshape(-1, F.shape[-1])]] for painting_maps in encoded]
    shares = np.array(weights) / sum(weights)
    maps = []
    for i, F in enumerate(reference.arbitrary_encode(image, PARAMETERS)):
        content = moment_matching.moments(F)
        transport = moment_matching.optimal_transport
        transport = (
            limited_transport if i == DETAILS else
            color_transfer.in_luminance_hue_basis(transport) if i == COLORS else transport
        )
        A, b = (sum(share * part for share, part in zip(shares, parts)) for parts in zip(
            *(moment_matching.affine_map(content, moment_matching.Moments(*painting_maps[i]), transport)
              for painting_maps in moments)))
        maps.append(F @ A + b)
    distributions = [color_transfer.cumulative_distributions(painting_maps[COLORS]) for painting_maps in encoded]
    curves = color_transfer.fit_curves(maps[COLORS], distributions, shares)
    maps[COLORS] = color_transfer.apply_curves(maps[COLORS], curves)
    embedding = sum(share * np.concatenate([part for mean, C in painting_maps for part in (
        mean, np.log(np.sqrt(np.diag(C)) + 0.05))]) for share, painting_maps in zip(shares, moments))
    expected = reference.arbitrary_decode(*maps, embedding, PARAMETERS).clip(0, 255)
    picture = model(image, Style(paintings, weights))
    assert expected.std() > 5 and picture.shape == image.shape
    assert (error := np.abs(picture - expected)).max() < 2 and error.mean() < 0.2


@pytest.mark.parametrize('height, width, factor', [(60, 80, 1.5), (480, 640, 640 / 307200 ** 0.5)])
def test_a_small_photo_is_stylized_at_a_larger_size(model, photo, style, monkeypatch, height, width, factor):
    """Compare with scikit-image, which downsamples by local means, and more strictly with Pillow's Hamming filter."""
    image = photo[:height, :width] if height < 100 else photo[:480].repeat(2, axis=1)[:, :width]
    larger_size = tuple(round(factor * length) for length in (height, width))
    picture = model(image, style)
    monkeypatch.setattr(arbitrary, 'MIN_STYLIZED_SIDE_PX', 0)
    enlarged = skimage.transform.resize(image, larger_size, order=3, mode='edge', anti_aliasing=False)
    expected = skimage.transform.resize_local_mean(model(np.float32(enlarged), style), (height, width))
    assert np.abs(picture - expected).mean() < 2
    larger_picture = model(tiled.resample(image, *larger_size, tiled.cubic_kernel), style)
    downsampled = np.dstack([Image.fromarray(channel).resize((width, height), Image.HAMMING)
                             for channel in larger_picture.transpose(2, 0, 1)])
    assert_close(picture, downsampled, scale=255, rel=1e-4)
    assert np.abs(picture - model(image, style)).mean() > 5


def test_a_photo_that_is_large_enough_is_stylized_at_its_own_size(model, photo, style, monkeypatch):
    image = np.tile(photo, (2, 2, 1))[:600, :700]
    picture = model(image, style)
    monkeypatch.setattr(arbitrary, 'MIN_STYLIZED_SIDE_PX', 0)
    np.testing.assert_array_equal(model(image, style), picture)


def limited_transport(C, S):
    """Return the symmetric matrix of optimal transport with its eigenvalues limited to 1.5."""
    values, vectors = np.linalg.eigh(moment_matching.optimal_transport(C, S))
    return vectors * np.minimum(values, 1.5) @ vectors.T


def pad_to_stride(image):
    """Pad an image [H, W, C] by reflection to multiples of 8."""
    return np.pad(image, [*((0, -length % 8) for length in image.shape[:2]), (0, 0)], 'reflect')


def test_another_process_without_tensorflow_gives_the_same_bytes(any_folder, model, photo, style, tmp_path):
    picture = model(photo[:203, :301], style)
    program = ('import sys, numpy as np, utils\n'
               'from pathlib import Path\n'
               'from fast.commands import stylize\n'
               'from fast.inference import arbitrary, batch\n'
               'photo, painting = map(utils.read_image, sys.argv[2:4])\n'
               'model, style = arbitrary.ArbitraryStyleModel(Path(sys.argv[1])), arbitrary.Style([painting])\n'
               'np.save(sys.argv[4], model(photo[:203, :301], style))\n'
               'heavy = {"tensorflow", "scipy", "skimage", "matplotlib", "av"} & sys.modules.keys()\n'
               'assert not heavy, heavy')
    subprocess.run([sys.executable, '-c', program, any_folder, PHOTO, PAINTING, tmp_path / 'picture.npy'],
                   cwd=paths.ROOT, check=True)
    assert np.load(tmp_path / 'picture.npy').tobytes() == picture.tobytes() and picture.std() > 5


def test_a_picture_has_the_size_of_its_photo(model):
    for height, width in [(1, 1), (1, 300), (2, 3), (15, 17), (16, 16), (33, 64), (300, 2)]:
        for painting in (noise(1, 1), noise(9, 200)):
            picture = model(noise(height, width), Style([painting]))
            assert picture.shape == (height, width, 3) and np.isfinite(picture).all()


def test_the_picture_does_not_depend_on_the_tile_size(model, photo, style):
    """The tiles do not divide the photos evenly; one photo is smaller and one larger than STATISTICS_SIDE_PX."""
    for image in (np.tile(photo, (2, 2, 1))[:601, :701], np.tile(photo, (1, 3, 1))[:65, :1101]):
        pictures = [model(image, style, tile) for tile in (2000, model.min_tile())]
        assert pictures[0].std() > 5
        assert max(np.abs(picture - pictures[0]).max() for picture in pictures) < 0.05


def test_a_large_photo_uses_the_norm_statistics_of_its_downsampled_copy(model, photo, style, monkeypatch):
    monkeypatch.setattr(tiled, 'STATISTICS_SIDE_PX', (128 * 1024) ** 0.5)  # This halves a photo of 256×2048.
    large = photo.repeat(4, axis=0).repeat(4, axis=1)[:256]
    small = utils.box_downsample(large, 2)
    _, norm_stats = model._stylize(small, style)
    expected, _ = model._stylize(large[:, :600], style, norm_stats)
    np.testing.assert_allclose(model(large, style, 1024)[:, :300], expected[:, :300], atol=0.05)
    with_own_stats, _ = model._stylize(large[:, :600], style)
    assert np.abs(with_own_stats - expected)[:, :300].mean() > 0.5


@pytest.mark.parametrize('shape, pixels, scale, size', [
    ((100, 50), 5000, 1, (100, 50)), ((100, 50), 20000, 1, (200, 100)), ((100, 50), 5000, 0.5, (50, 25)),
    ((3000, 1500), 512 * 256, 1, (512, 256)), ((700, 2800), 100 * 400, 0.5, (50, 200)), ((1, 1), 400, 1, (20, 20)),
    ((1, 900), 900, 0.1, (1, 90))])
def test_a_painting_is_resized_to_the_number_of_pixels_of_the_photo(shape, pixels, scale, size):
    ramp = np.broadcast_to(np.linspace(0, 200, shape[1], dtype=np.float32)[None, :, None], (*shape, 3))
    image, = Style([ramp], scale=scale).resize_for(pixels)
    assert image.shape == (*size, 3)
    if size[1] > 1 < shape[1]:
        centers = (np.arange(size[1]) + 0.5) / size[1] * shape[1] - 0.5
        np.testing.assert_allclose(image[0, :, 0], centers.clip(0) * 200 / (shape[1] - 1), atol=400 / size[1])


def test_the_style_scale_changes_the_picture_and_statistics_are_cached(model, photo, style):
    """The network sees a downsampled painting; the statistics of a painting are computed once per size of the photo."""
    finer_style = Style(style.images, scale=0.5)
    assert np.abs(model(photo[:64, :96], finer_style) - model(photo[:64, :96], style)).mean() > 0.5
    before = model._style_statistics.cache_info()
    model(photo[64:128, :96], finer_style)
    after = model._style_statistics.cache_info()
    assert after.misses == before.misses and after.hits == before.hits + 1


def test_style_settings_have_hashes_of_paintings_weights_and_scale(style):
    mixture = Style([noise(8, 8), noise(8, 8, seed=1)], [1, 3], 0.5)
    settings = ArbitraryStyleModel.style_settings(mixture)
    assert settings['weights'] == [0.25, 0.75] and settings['scale'] == 0.5
    assert len({*settings['paintings'], *ArbitraryStyleModel.style_settings(style)['paintings']}) == 3
    assert ArbitraryStyleModel.style_settings(Style([noise(8, 8)]))['paintings'] == settings['paintings'][:1]


def test_a_model_of_the_other_kind_is_refused(any_folder, model_folder):
    for kind, folder in ((ArbitraryStyleModel, model_folder), (multi_style.MultiStyleModel, any_folder)):
        with pytest.raises(UserError, match='not a complete model'):
            kind(folder)


def test_linear_resizing_matches_block_means_and_interpolation():
    image = noise(12, 30)
    assert (tiled.resize_linear(image, 12, 30) == image).all()
    np.testing.assert_allclose(
        tiled.resize_linear(image, 4, 10), image.reshape(4, 3, 10, 3, 3).mean(axis=(1, 3)), rtol=1e-5
    )
    upsampled = tiled.resize_linear(image, 24, 60)
    np.testing.assert_allclose(upsampled[1:-1, 1:-1], reference.upsample_linear(image)[1:-1, 1:-1], atol=1e-3)
    np.testing.assert_allclose(upsampled[0, 0], image[0, 0], atol=1e-3)


# ------------------------------------------------------------------------------------------------------ styles as text

def test_the_flag_style_distinguishes_paintings_from_style_names(workdir):
    for name in ('a.b.jpg', 'x,y.png', 'c:1.png', 'plain'):
        (workdir / name).touch()
    for text, styles, name in (
            ('starry_night', [('starry_night', 1)], 'starry_night'),
            ('b:0.25,c:0.75', [('b', 0.25), ('c', 0.75)], 'b0.25+c0.75'), ('a.b.jpg', [('a.b.jpg', 1)], 'a.b'),
            ('x,y.png', [('x,y.png', 1)], 'x,y'), ('c:1.png', [('c:1.png', 1)], 'c:1'),
            ('c:1.png:3,./a.b.jpg:1', [('c:1.png', 0.75), ('./a.b.jpg', 0.25)], 'c:13+a.b1'),
            ('plain', [('plain', 1)], 'plain'), ('dir/e.PNG:2', [('dir/e.PNG', 1)], 'e2')):
        assert style_spec.parse(text) == styles and style_spec.slug(text) == name
        assert style_spec.names_paintings(text) == (text not in ('starry_night', 'b:0.25,c:0.75'))
    with pytest.raises(UserError, match='--style a.b.jpg,starry_night: starry_night is not an image; .* mixed'):
        style_spec.names_paintings('a.b.jpg,starry_night')
