"""VGG-19 against NumPy and Keras; the layouts of weights files, quantization to levels, and damaged files."""

import numpy as np
import pytest
import scipy.io
import scipy.signal

import load_vgg
from common import vgg_layers
from common.errors import UserError
from common.tf1 import tf, tf2
from tests import reference
from tests.factories import he_weights

MEAN = [123.68, 116.779, 103.939]


def cell(*items):
    """Return a row of MATLAB cells."""
    array = np.empty((1, len(items)), dtype=object)
    array[0, :] = items
    return array


def struct(**fields):
    """Return a 1×1 MATLAB struct whose fields have the order of the arguments."""
    array = np.empty((1, 1), dtype=[(name, object) for name in fields])
    array[0, 0] = tuple(fields.values())
    return array


def layers(weights, order):
    """Return the `layers` of a .mat file, whose structs have the fields of `order`.

    They are the convolutions, ReLUs, poolings, and two fully connected layers.
    """
    items = []
    for name in vgg_layers.LAYERS:
        if name in weights.convolutions:
            W, b = weights.convolutions[name]
            fields = dict(name=name, type='conv', weights=cell(W, b.reshape(-1, 1)), pad=np.float64([[1, 1, 1, 1]]),
                          stride=np.float64([[1, 1]]), size=np.float64([W.shape]))
        elif name.startswith('conv'):
            continue
        else:
            fields = dict(name=name, type=name[:4], pad=0., stride=np.float64([[1, 1]]), weights=cell(), size=0.)
        items.append(struct(**{field: fields[field] for field in order}))
    for name in ('fc6', 'prob'):
        items.append(struct(**{field: dict(name=name, type='conv', weights=cell(np.ones((7, 7, 8, 9)), np.ones((9, 1))),
                                           pad=0., stride=1., size=0.)[field] for field in order}))
    return cell(*items)


def write_current(path, weights):
    """Write weights in the layout of the file that MatConvNet offers today."""
    normalization = struct(imageSize=np.float64([[224, 224, 3]]), averageImage=np.float64(MEAN).reshape(1, 1, 3))
    scipy.io.savemat(path, {'layers': layers(weights, ('name', 'type', 'weights', 'size', 'pad', 'stride')),
                            'meta': struct(inputs=struct(name='data'), normalization=normalization)})


def write_beta16(path, weights):
    """Write weights in the layout of MatConvNet 1.0 beta 16, with a mean image instead of a mean pixel."""
    image = np.float32(MEAN + np.linspace(-20, 20, 224)[:, None, None] * np.linspace(1, 3, 224)[:, None])
    normalization = struct(averageImage=image, keepAspect=1.)
    scipy.io.savemat(path, {'layers': layers(weights, ('weights', 'pad', 'type', 'name', 'stride')),
                            'classes': struct(name='n0'), 'normalization': normalization})


def write_shuffled(path, weights):
    """Write weights with the fields of all structs in another order."""
    normalization = struct(averageImage=np.float64(MEAN).reshape(1, 1, 3), imageSize=0.)
    scipy.io.savemat(path, {'layers': layers(weights, ('stride', 'size', 'name', 'pad', 'weights', 'type')),
                            'meta': struct(normalization=normalization, inputs=0.)})


@pytest.mark.parametrize('write', [write_current, write_beta16, write_shuffled])
def test_every_file_layout_is_read(tmp_path, write):
    weights = he_weights()
    write(tmp_path / 'vgg.mat', weights)
    read = load_vgg.read_weights(tmp_path / 'vgg.mat')
    assert list(read.convolutions) == list(weights.convolutions)
    for name, (W, b) in weights.convolutions.items():
        assert (read.convolutions[name][0] == W).all() and (read.convolutions[name][1] == b).all()
    np.testing.assert_allclose(read.mean_pixels, MEAN, rtol=1e-6)
    assert read.description == '0.0625-width VGG-19, conv1_1 to conv5_4'


@pytest.mark.parametrize('levels', [False, True])
def test_a_single_channel_keeps_its_dimension(tmp_path, levels):
    weights = he_weights({1: 1, 2: 1, 3: 2, 4: 1, 5: 1})
    load_vgg.write_weights(tmp_path / 'vgg.mat', weights, levels)
    read = load_vgg.read_weights(tmp_path / 'vgg.mat')
    assert [W.shape for W, _ in read.convolutions.values()] == [W.shape for W, _ in weights.convolutions.values()]


# --------------------------------------------------------------------------------------------------------------- levels

def test_levels_are_close_to_the_optimal_quantizer():
    """At best, 256 levels leave a share √3π/2 / 256² of a normal distribution's variance (Panter and Dite 1951)."""
    W = np.random.default_rng(0).normal(0, 0.03, (3, 3, 64, 128)).astype(np.float32)
    levels, codes = load_vgg.quantize(W)
    assert codes.dtype == np.uint8 and codes.shape == W.shape and len(levels) <= 256 and (np.diff(levels) > 0).all()
    assert np.square(np.float64(levels[codes]) - W).mean() < 1.3 * np.sqrt(3) * np.pi / 2 / 256 ** 2 * 0.03 ** 2
    nearest = np.abs(levels[:, None] - W.ravel()[:1000]).argmin(axis=0)
    assert (codes.ravel()[:1000] == nearest).all()


def test_few_distinct_values_are_kept_exactly():
    W = np.random.default_rng(0).choice(np.float32([-1, 0, 0.1, 7]), (3, 3, 5, 6))
    levels, codes = load_vgg.quantize(W)
    assert levels.tolist() == np.float32([-1, 0, 0.1, 7]).tolist() and (levels[codes] == W).all()


def test_a_file_of_levels_is_described_and_read_without_further_loss(tmp_path):
    weights = he_weights({1: 8, 2: 8, 3: 16, 4: 32, 5: 64})
    load_vgg.write_weights(tmp_path / 'vgg.mat', weights)
    load_vgg.write_weights(tmp_path / 'levels.mat', weights, levels=True)
    read = load_vgg.read_weights(tmp_path / 'levels.mat')
    assert read.description == 'He noise, 256 levels a layer'
    for name, (W, b) in weights.convolutions.items():
        V, c = read.convolutions[name]
        assert V.dtype == np.float32 and len(np.unique(V)) <= 256 and (c == b).all()
        assert np.corrcoef(V.ravel(), W.ravel())[0, 1] > 0.9999
    assert (tmp_path / 'levels.mat').stat().st_size < 0.4 * (tmp_path / 'vgg.mat').stat().st_size
    load_vgg.write_weights(tmp_path / 'again.mat', read._replace(description='He noise'), levels=True)
    again = load_vgg.read_weights(tmp_path / 'again.mat')
    assert all((again.convolutions[name][0] == W).all() for name, (W, _) in read.convolutions.items())


def test_codes_without_a_level_are_refused(tmp_path):
    load_vgg.write_weights(tmp_path / 'bad.mat', he_weights(), levels=True)
    mat = scipy.io.loadmat(tmp_path / 'bad.mat')
    mat['layers'].ravel()[0]['levels'][0, 0] = np.float32([[1, 2]])
    scipy.io.savemat(tmp_path / 'bad.mat', {key: mat[key] for key in ('layers', 'meta')})
    check_not_a_weights_file(tmp_path / 'bad.mat')


# ------------------------------------------------------------------------------------------------------------ the graph

def test_the_convolution_of_the_reference_agrees_with_scipy():
    rng = np.random.default_rng(0)
    x, W = rng.normal(size=(6, 5, 3)), rng.normal(size=(3, 3, 3, 2))
    expected = np.stack([sum(scipy.signal.correlate2d(x[..., i], W[..., i, o], mode='same') for i in range(3))
                         for o in range(2)], axis=-1)
    np.testing.assert_allclose(reference.convolve(x, W), expected)


def load(image, weights, pooling='avg'):
    """Return the features of an image [H, W, 3] in every layer: name -> array [H, W, N]."""
    with tf.Graph().as_default(), tf.Session() as sess:
        vgg = load_vgg.VGG(tf.constant(np.float32(image[None])), weights, pooling)
        vgg.load()
        layers = [*weights.convolutions, *(f'{name}_pre' for name in weights.convolutions), f'{pooling}pool1']
        assert tf.global_variables() == []
        return sess.run({name: getattr(vgg, name)[0] for name in layers})


@pytest.mark.parametrize('pooling, kind', [('avg', np.mean), ('max', np.max)])
@pytest.mark.parametrize('size', [(17, 33), (16, 32), (3, 1)])
def test_layers_agree_with_numpy(size, pooling, kind):
    image = np.random.default_rng(0).normal(0, 60, (*size, 3))
    weights = he_weights()
    expected = reference.vgg(image, weights, pooling)
    features = load(image, weights, pooling)
    for name in expected:
        np.testing.assert_allclose(features[name], expected[name], rtol=1e-4, atol=1e-3, err_msg=name)
    np.testing.assert_allclose(features[f'{pooling}pool1'], reference.pool(expected['conv1_2'], kind),
                               rtol=1e-4, atol=1e-3)


def test_batches_of_unknown_size_give_the_same_features():
    images = np.random.default_rng(0).normal(0, 60, (2, 9, 7, 3)).astype(np.float32)
    weights = he_weights()
    with tf.Graph().as_default(), tf.Session() as sess:
        placeholder = tf.placeholder(tf.float32, [None, None, None, 3])
        vgg = load_vgg.VGG(placeholder, weights)
        vgg.load()
        batch_features = sess.run(vgg.conv3_1, {placeholder: images})
    for features, image in zip(batch_features, images):
        np.testing.assert_allclose(features, load(image, weights)['conv3_1'], rtol=1e-4, atol=1e-3)


def test_a_missing_layer_is_reported_with_the_layers_that_exist(tmp_path):
    load_vgg.write_weights(tmp_path / 'vgg.mat', he_weights(last='conv2_1'))
    with tf.Graph().as_default():
        vgg = load_vgg.VGG(tf.zeros([1, 8, 8, 3]), load_vgg.read_weights(tmp_path / 'vgg.mat'))
        vgg.load()
        with pytest.raises(load_vgg.MissingLayer, match='has no layer conv5_1; it has conv1_1, conv1_2, conv2_1$'):
            vgg.conv5_1
        assert not hasattr(vgg, 'conv2_2') and vgg.conv2_1.shape == [1, 4, 4, 5]


def test_the_graph_ends_at_the_deepest_requested_layer():
    with tf.Graph().as_default() as graph:
        vgg = load_vgg.VGG(tf.zeros([1, 8, 8, 3]), he_weights())
        vgg.load(('conv1_1', 'conv3_1_pre', 'conv2_2'))
        assert vgg.conv3_1_pre.shape == [1, 2, 2, 6] and not hasattr(vgg, 'conv3_2')
        assert [op.name for op in graph.get_operations() if op.type == 'Conv2D'] == [
            f'conv{name}/Conv2D' for name in ('1_1', '1_2', '2_1', '2_2', '3_1')]


def test_weights_checks_the_name_of_the_layer_at_an_index():
    vgg = load_vgg.VGG(None, he_weights())
    W, b = vgg._weights(5, 'conv2_1')
    assert W.shape == (3, 3, 4, 5) and b.shape == (5,)
    with pytest.raises(AssertionError):
        vgg._weights(7, 'conv2_1')


def check_not_a_weights_file(path):
    """Check that reading a file raises the error for files that have no VGG-19."""
    with pytest.raises(UserError, match='bad.mat: not a MatConvNet VGG-19 file'):
        load_vgg.read_weights(path)


@pytest.mark.parametrize('content', [b'', b'no weights', b'\x89HDF\r\n\x1a\n' * 99])
def test_a_file_without_weights_is_refused(tmp_path, content):
    (tmp_path / 'bad.mat').write_bytes(content)
    check_not_a_weights_file(tmp_path / 'bad.mat')


@pytest.mark.parametrize('share', [0.001, 0.5, 0.9])
def test_a_truncated_weights_file_is_refused(tmp_path, tiny_vgg, share):
    content = tiny_vgg.read_bytes()
    (tmp_path / 'bad.mat').write_bytes(content[:int(share * len(content))])
    check_not_a_weights_file(tmp_path / 'bad.mat')


def test_other_mat_files_folders_and_missing_files_are_refused(tmp_path):
    scipy.io.savemat(tmp_path / 'bad.mat', {'layers': 3})
    check_not_a_weights_file(tmp_path / 'bad.mat')
    (tmp_path / 'bad.mat').unlink()
    (tmp_path / 'bad.mat').mkdir()
    check_not_a_weights_file(tmp_path / 'bad.mat')
    with pytest.raises(UserError, match='bad.mat: no such weights file'):
        load_vgg.find_weights(tmp_path / 'bad.mat')


def test_a_file_that_lacks_a_layer_in_between_is_refused(tmp_path):
    weights = he_weights()
    del weights.convolutions['conv2_2']
    write_current(tmp_path / 'gap.mat', weights)
    with pytest.raises(UserError, match='gap.mat: conv3_1 .* conv2_2 was expected'):
        load_vgg.read_weights(tmp_path / 'gap.mat')


def test_weights_are_searched_in_order(tmp_path, monkeypatch, tiny_vgg):
    search_paths = [tmp_path / name for name in ('first.mat', 'second.mat')]
    monkeypatch.setattr(load_vgg, 'WEIGHTS_SEARCH_PATHS', search_paths)
    with pytest.raises(UserError, match='python load_vgg.py .*--vgg PATH'):
        load_vgg.find_weights()
    for path in search_paths[::-1]:
        path.write_bytes(b'')
        assert load_vgg.find_weights() == path
    assert load_vgg.find_weights(tiny_vgg) == tiny_vgg
    with pytest.raises(UserError, match='nowhere.mat: no such weights file'):
        load_vgg.find_weights('nowhere.mat')


def test_keras_weights_give_the_same_features(tmp_path):
    """Keras subtracts its mean from BGR pixels, we subtract ours from RGB pixels; the features must be the same."""
    tf2.keras.utils.set_random_seed(0)
    model = tf2.keras.applications.VGG19(include_top=False, weights=None)
    model.save_weights(tmp_path / 'keras.weights.h5')
    load_vgg.convert_keras(tmp_path / 'vgg.mat', tmp_path / 'keras.weights.h5')
    weights = load_vgg.read_weights(tmp_path / 'vgg.mat')
    assert weights.description == 'VGG-19 (Simonyan and Zisserman 2014, CC BY 4.0), 16 convolutions, from Keras'
    image = np.random.default_rng(0).uniform(0, 255, (32, 48, 3)).astype(np.float32)
    features = load(image - weights.mean_pixels, weights)
    bgr = tf2.keras.applications.vgg19.preprocess_input(image[None].copy())
    # Compare layers before the first pooling, because Keras pools by maximum and `load` by average.
    for keras_name, name in (('block1_conv1', 'conv1_1'), ('block1_conv2', 'conv1_2')):
        keras_features = tf2.keras.Model(model.input, model.get_layer(keras_name).output)(bgr).numpy()[0]
        np.testing.assert_allclose(features[name], keras_features, rtol=1e-4, atol=1e-3)
    with tf.Graph().as_default(), tf.Session() as sess:
        vgg = load_vgg.VGG(tf.constant(image[None] - weights.mean_pixels), weights, 'max')
        vgg.load()
        conv5_4 = sess.run(vgg.conv5_4)
    keras_features = tf2.keras.Model(model.input, model.get_layer('block5_conv4').output)(bgr).numpy()
    np.testing.assert_allclose(conv5_4, keras_features, rtol=1e-3, atol=1e-3 * np.abs(keras_features).max())


def test_missing_keras_weights_are_reported(tmp_path):
    with pytest.raises(UserError, match='Keras cannot provide VGG-19 weights'):
        load_vgg.convert_keras(tmp_path / 'vgg.mat', tmp_path / 'nowhere.weights.h5')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('value', [np.nan, np.inf])
@pytest.mark.parametrize('where', ['filter', 'bias', 'the mean'])
def test_weights_that_are_not_finite_are_refused(tmp_path, where, value):
    weights = he_weights()
    W, b = weights.convolutions['conv2_1']
    if where == 'the mean':
        weights.mean_pixels[1] = value
    else:
        (W if where == 'filter' else b).flat[1] = value
    load_vgg.write_weights(tmp_path / 'w.mat', weights)
    name = where if where == 'the mean' else 'conv2_1'
    with pytest.raises(UserError, match=f'w.mat: {name} has numbers that are not finite'):
        load_vgg.read_weights(tmp_path / 'w.mat')
