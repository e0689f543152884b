"""Test the shipped models: distinct styles, content kept, no checkerboard artifacts, consistency under shifts."""

import numpy as np
import pytest

import load_vgg
import utils
from benchmarks import checkerboard
from common import files, paths
from engine.losses.features import extract_features
from engine.losses.statistics import moments
from fast.inference import arbitrary, models, multi_style, tiled

STYLES = [path.stem for path in sorted((paths.ROOT / 'styles').glob('*.jpg'))]
LAYERS = 'conv2_1', 'conv3_1'


# Name of a model -> limits of
# - the distance of a picture from its style, as a share of the photo's distance,
# - the checkerboard energy,
# - the mean change of a picture, of 255, if the photo moves by 8 pixels,
# - the change if the photo moves by 4 pixels, as a multiple of that for 8 (1.37 in stained_glass, itself a grid),
# - the standard deviation along the rows of the picture of a smooth sky, of 255.
LIMITS = {'many': (0.5, 1.3, 3.8, 1.3, 1.5), models.ARBITRARY_NAME: (0.7, 1.3, 9., 1.4, 3.)}


@pytest.fixture(scope='module', params=LIMITS)
def limits(request):
    """Name of a model and its LIMITS."""
    return request.param, *LIMITS[request.param]


@pytest.fixture(scope='module')
def hardest(limits):
    """Names of the styles that come nearest to the limits; all styles for the model that is fast enough to try them."""
    return (
        ['composition_8', 'palette_knife', 'stained_glass', 'woodcut'] if limits[0] == models.ARBITRARY_NAME else STYLES
    )


@pytest.fixture(scope='module')
def paint(limits):
    """Function that takes a photo and the name of a style and returns the picture."""
    if limits[0] == models.ARBITRARY_NAME:
        model = arbitrary.ArbitraryStyleModel(paths.MODELS / models.ARBITRARY_NAME)
        paintings = {name: arbitrary.Style([utils.read_image(paths.ROOT / f'styles/{name}.jpg')])
                     for name in STYLES}
    else:
        model = multi_style.MultiStyleModel(paths.MODELS / 'many')
        paintings = dict(zip(model.styles, np.eye(len(model.styles))))
    return lambda photo, name: model(photo, paintings[name])


@pytest.fixture(scope='module')
def pictures(paint):
    """The photo chelsea, 225×150, and its picture in every style, name -> picture."""
    photo = tiled.limit_side(utils.read_image(paths.HELD_OUT_PHOTOS[0]), 225)
    return photo, {name: np.float32(utils.to_uint8(paint(photo, name))) for name in STYLES}


def test_a_multi_style_model_and_an_arbitrary_style_model_ship():
    assert sorted(path.parent.name for path in paths.MODELS.glob('*/model.json')) == [models.ARBITRARY_NAME, 'many']
    # The arbitrary style model was trained against a pruned VGG-19; see models/README.md.
    assert models.load(paths.MODELS / 'many').about['vgg'] == files.file_hash(paths.WEIGHTS)
    images = {path.stem: files.file_hash(path) for path in (paths.ROOT / 'styles').glob('*.jpg')}
    for name, styles in (('many', images), (models.ARBITRARY_NAME, models.ARBITRARY_NAME)):
        for file in (models.LITERT_FILE, models.SAVED_MODEL_FILE):
            about = models.load(paths.MODELS / name, file).about
        assert about['styles'] == styles
        assert (paths.MODELS / name / models.LITERT_FILE).stat().st_size < 6e6


def relative_distance(a, b):
    """Return the squared distance of moments a from moments b, relative to the squares of b."""
    return sum(np.square(x - y).sum() / np.square(y).sum() for x, y in zip(a, b))


def test_each_picture_is_nearest_to_the_moments_of_its_own_style(pictures, limits):
    """Its VGG-19 features have moments nearer to this style's than to any other's, and nearer than the photo's."""
    photo, by_style = pictures
    weights = load_vgg.read_weights(paths.WEIGHTS)

    def moments_of(images):
        """Return the moments of each image at each of LAYERS."""
        maps = extract_features(weights, np.stack(images), LAYERS, padding='mirror')
        return [[moments(layer[i:i + 1]) for layer in maps] for i in range(len(images))]
    photo_moments, *picture_moments = moments_of([photo, *by_style.values()])
    styles = moments_of([utils.get_resized_image(paths.ROOT / f'styles/{name}.jpg', 256, 256)[0] for name in STYLES])
    for i, picture in enumerate(picture_moments):
        distances = [sum(map(relative_distance, picture, style)) for style in styles]
        assert np.argmin(distances) == i, STYLES[i]
        assert distances[i] < limits[1] * sum(map(relative_distance, photo_moments, styles[i])), STYLES[i]


def test_each_picture_keeps_the_content_of_the_photo(pictures):
    photo, by_style = pictures
    weights = load_vgg.read_weights(paths.WEIGHTS)
    images = np.stack([photo, *by_style.values()])
    P, *F = extract_features(weights, images, ['conv3_1'], padding='mirror')[0]
    flipped = extract_features(weights, photo[None, ::-1], ['conv3_1'], padding='mirror')[0][0]

    def correlation(a, b):
        a, b = (x - x.mean(axis=(0, 1)) for x in (a, b))
        return (a * b).sum() / np.sqrt((a ** 2).sum() * (b ** 2).sum())
    for name, f in zip(by_style, F, strict=True):
        assert correlation(f, P) > 0.25 > 2 * abs(correlation(f, flipped)), name


def test_pictures_have_no_checkerboard_artifacts(paint, limits, hardest):
    photo = tiled.limit_side(utils.read_image(paths.HELD_OUT_PHOTOS[0]), 320)
    energies = {name: checkerboard.checkerboard_energy(paint(photo, name)) for name in hardest}
    assert max(energies.values()) <= limits[2], energies


def test_pictures_move_with_their_photos_and_skies_stay_smooth(paint, limits, hardest, monkeypatch):
    photo = tiled.limit_side(utils.read_image(paths.HELD_OUT_PHOTOS[0]), 320)
    for name in hardest:
        with monkeypatch.context() as patch:
            # In an enlarged photo, a shift by 4 pixels would be a shift by 6 for the network.
            patch.setattr(arbitrary, 'MIN_STYLIZED_SIDE_PX', 0)
            by_4, by_8 = checkerboard.shift_differences(lambda image: paint(image, name), photo, (4, 8))
        assert by_4 <= limits[4] * by_8 and by_8 < limits[3], name
        assert (sky_picture := paint(checkerboard.sky(), name)).std(axis=1).max() < limits[5] and sky_picture.std() > 0
    grid = np.tile(np.kron([[0, 255], [255, 0]], np.ones((4, 4)))[..., None], (32, 32, 3))
    assert checkerboard.checkerboard_energy(grid + np.random.default_rng(0).normal(0, 50, grid.shape)) > 2


def test_a_strip_that_is_blank_when_downsampled_can_be_stylized(paint):
    strip = np.float32([0, 255])[:, None, None].repeat(2000, axis=1).repeat(3, axis=2)
    assert 0 <= paint(strip, 'auvers').min() < paint(strip, 'auvers').max() <= 255


def test_a_smooth_strip_gets_the_colors_of_the_style(paint):
    """Statistics of a copy that was reduced to 1024 pixels made such pictures black, red or green, or not finite."""
    share = np.linspace(0, 1, 100)[:, None, None]
    strip = np.float32([60, 120, 200] * (1 - share) + [200, 220, 240] * share).repeat(1000, axis=1).round()
    mean = paint(strip, 'morisot_reading').mean(axis=(0, 1))
    assert (mean > 20).all() and (mean < 235).all()
