"""VGG-19 as a graph of constants, and where its weights come from.

    python load_vgg.py                   fetch the public weights, keep their 16 convolutions in weights/
    python load_vgg.py --source keras    the same from tf.keras.applications, when that host is down
    python load_vgg.py --levels          either with each layer's filters rounded to 256 values, 18.5 MB in place of 80
"""

import re
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

from common import process

if __name__ == '__main__':
    process.while_loading()  # before the imports that take seconds

import numpy as np
import scipy

from common import cli, errors, files, paths
from common.download import download
from common.errors import UserError
from common.tf1 import tf, tf2
from common.vgg_layers import BEFORE_RELU, CONVOLUTIONS, FEATURES, LAYERS  # noqa: F401

VGG_DOWNLOAD_LINK = 'https://www.vlfeat.org/matconvnet/models/imagenet-vgg-verydeep-19.mat'
VGG_FILENAME = 'imagenet-vgg-verydeep-19.mat'
EXPECTED_BYTES = 534904783
EXPECTED_SHA256 = 'abdb57167f82a2a1fbab1e1c16ad9373411883f262a1a37ee5db2e6fb0044695'
KERAS_MEAN = (123.68, 116.779, 103.939)  # what its preprocess_input subtracts, as RGB
DESCRIPTION = 'VGG-19 (Simonyan and Zisserman 2014, CC BY 4.0), 16 convolutions'
WEIGHTS_SEARCH_PATHS = (paths.ROOT / 'weights' / VGG_FILENAME, paths.ROOT / VGG_FILENAME, paths.WEIGHTS)
QUANTIZATION_LEVELS = 256  # values a layer, so that a filter's number is one byte
KMEANS_ITERATIONS = 3  # of k-means; eight gain next to nothing


class MissingLayer(UserError, AttributeError):
    """A layer was asked for that the weights file does not have."""


class Weights(NamedTuple):
    """What a weights file holds.

    convolutions: name -> (filters [height, width, in, out], biases [out]), float32, shallowest first
    mean_pixels: [3], the RGB mean, 0-255, that the network expects to be subtracted
    description: one line that says what the file is
    """
    path: Path
    convolutions: dict
    mean_pixels: np.ndarray
    description: str


class VGG:
    """The convolutions and poolings of VGG-19 over `input_img`, an NHWC tensor of RGB 0-255 less `mean_pixels`.

    After `load()` each layer is an attribute: `vgg.conv4_2` is the map after its ReLU, `vgg.conv4_2_pre` the one
    before, `vgg.avgpool1` (or `vgg.maxpool1`) the pooled one.
    A layer that the weights file lacks raises `MissingLayer`, which lists those it has.
    """

    def __init__(self, input_img, weights, pooling='avg', padding='zeros'):
        """weights: from `read_weights`; pooling: 'avg' (Gatys et al. found it better) or 'max' (as VGG was trained).

        padding: what lies outside of every map, 'zeros' (as VGG was trained) or its 'mirror' image
        """
        self.input_img = input_img
        self.weights = weights
        self.pooling = pooling
        self.padding = padding
        self.mean_pixels = weights.mean_pixels.reshape(1, 1, 1, 3)

    def _weights(self, layer_idx, expected_layer_name):
        """Return (filters, biases) of the layer at `layer_idx` of VGG-19, which must be the expected one."""
        assert LAYERS[layer_idx] == expected_layer_name, f'layer {layer_idx} is {LAYERS[layer_idx]}'
        return self.weights.convolutions[expected_layer_name]

    def conv2d_relu(self, prev_layer, layer_idx, layer_name, padding='SAME'):
        """Convolve, add the bias, rectify: [1, H, W, in] -> [1, H, W, out].

        The weights are constants: it is the image that is trained, not VGG. padding: 'SAME' for zeros around, 'VALID'
        where prev_layer has its own border of one pixel.
        """
        # step 1: take the layer's filters and biases from self._weights, as constants; convolve with `padding`; the
        #   result is the attribute layer_name, and what it was before its ReLU the attribute layer_name + BEFORE_RELU
        with tf.variable_scope(layer_name):
            W, b = self._weights(layer_idx, layer_name)
            W = tf.constant(W, name='weights')
            b = tf.constant(b, name='biases')
            conv2d = tf.nn.bias_add(tf.nn.conv2d(prev_layer, W, strides=[1, 1, 1, 1], padding=padding), b)
            out = tf.nn.relu(conv2d)
        setattr(self, layer_name + BEFORE_RELU, conv2d)
        setattr(self, layer_name, out)

    def _mirrored(self, prev_layer, layer_idx, layer_name):
        """`conv2d_relu` with the map's mirror image beyond its edges."""
        with tf.name_scope(f'{tf.get_default_graph().get_name_scope()}/{layer_name}/'.lstrip('/')):  # the layer's own
            padded = tf.pad(prev_layer, [[0, 0], [1, 1], [1, 1], [0, 0]], 'SYMMETRIC')
        self.conv2d_relu(padded, layer_idx, layer_name, 'VALID')

    def avgpool(self, prev_layer, layer_name):
        """Average over 2×2 with stride 2: [1, H, W, C] -> [1, ⌈H/2⌉, ⌈W/2⌉, C]."""
        # step 1: pool over a window of 2×2, an odd edge too; the result is the attribute layer_name
        with tf.variable_scope(layer_name):
            out = tf.nn.avg_pool2d(prev_layer, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding='SAME')
        setattr(self, layer_name, out)

    def maxpool(self, prev_layer, layer_name):
        """The maximum of 2×2 with stride 2: [1, H, W, C] -> [1, ⌈H/2⌉, ⌈W/2⌉, C]."""
        # step 1: the same with the maximum; only recipes other than CS20's need it
        with tf.variable_scope(layer_name):
            out = tf.nn.max_pool2d(prev_layer, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding='SAME')
        setattr(self, layer_name, out)

    def load(self, needed=CONVOLUTIONS):
        """Stack the layers, conv1_1 first, down to the deepest of those `needed`, or as deep as the weights file goes.

        What lies deeper would only take memory: half of VGG-19's weights belong to conv4_4 and what follows.
        """
        pool = {'avg': self.avgpool, 'max': self.maxpool}[self.pooling]
        prev_layer = self.input_img
        for layer_idx, name in enumerate(LAYERS[:LAYERS.index(CONVOLUTIONS[deepest_index(needed)]) + 1]):
            if name in CONVOLUTIONS:
                if name not in self.weights.convolutions:
                    break
                {'zeros': self.conv2d_relu, 'mirror': self._mirrored}[self.padding](prev_layer, layer_idx, name)
                prev_layer = getattr(self, name)
            elif name.startswith('pool'):
                pool(prev_layer, self.pooling + name)
                prev_layer = getattr(self, self.pooling + name)

    def features(self, layers):
        """The maps of `layers`, a list."""
        return [getattr(self, layer) for layer in layers]

    def __getattr__(self, name):
        if name.startswith('_'):  # copy and pickle probe for their own
            raise AttributeError(name)
        built = ', '.join(layer for layer in CONVOLUTIONS if layer in vars(self))
        raise MissingLayer(f'{self.weights.path} has no layer {name}; it has {built}')


def deepest_index(layers):
    """The place in CONVOLUTIONS of the deepest of some layers."""
    return max(CONVOLUTIONS.index(layer.removesuffix(BEFORE_RELU)) for layer in layers)


def find_weights(path=None):
    """Return the path of the weights to use: `path` if given, else the first of `WEIGHTS_SEARCH_PATHS` that exists.

    Raises `UserError` when there are none.
    """
    for candidate in [Path(path)] if path else WEIGHTS_SEARCH_PATHS:
        if candidate.is_file():
            return candidate
    if path:
        raise UserError(f'{path}: no such weights file; python load_vgg.py fetches the public one')
    raise UserError(f'no VGG-19 weights in {paths.ROOT} or its weights/, not even those that ship: '
                    'python load_vgg.py fetches them (535 MB)', ('--vgg', 'PATH names a file you have'))


def read_weights(path):
    """Read a MatConvNet file (today's or the beta16 layout, any width, any depth) as `Weights`.

    Fields are taken by name; where a layer has `levels`, its filters are `levels[codes]`.
    Raises `UserError` for a file that is no such thing.
    """
    try:
        mat = scipy.io.loadmat(path, variable_names=('layers', 'meta', 'normalization'))
        convolutions = {}
        for layer in mat['layers'].ravel():
            name = str(_field(layer, 'name')[0])
            if name.startswith('conv'):
                W, b = _field(layer, 'weights').ravel()
                if 'levels' in _fields(layer):
                    W = _field(layer, 'levels').ravel()[W]
                # MATLAB drops a last dimension of 1
                convolutions[name] = np.float32(W).reshape(*W.shape[:3], b.size), np.float32(b).reshape(b.size)
        normalization = mat['normalization'] if 'normalization' in mat else _field(mat['meta'], 'normalization')
        mean_pixels = np.float32(_field(normalization, 'averageImage').reshape(-1, 3).mean(axis=0, dtype=np.float64))
        described = 'meta' in mat and 'description' in _fields(mat['meta'])
        description = str(_field(mat['meta'], 'description')[0]) if described else None
    except Exception as error:  # SciPy raises a dozen kinds for a damaged file
        raise UserError(f'{path}: not a MatConvNet VGG-19 file ({error})') from error
    _check_chain(path, convolutions)
    for name, numbers in (*convolutions.items(), ('the mean', (mean_pixels,))):
        if not all(np.isfinite(array).all() for array in numbers):
            raise UserError(f'{path}: {name} has numbers that are not finite: a damaged file')
    return Weights(Path(path), convolutions, mean_pixels, description or _describe(convolutions))


def _struct(cell):
    """The 1×1 MATLAB struct in a cell, however deep loadmat has wrapped it in object arrays."""
    while cell.dtype == object:
        cell = cell.ravel()[0]
    return cell


def _fields(cell):
    return _struct(cell).dtype.names or ()


def _field(cell, name):
    return _struct(cell)[name].ravel()[0]


def _check_chain(path, convolutions):
    """Each convolution must take what the one before it gives, and none may be missing between two others."""
    channels = 3
    for expected, (name, (W, b)) in zip(CONVOLUTIONS, convolutions.items()):
        if name != expected or W.shape[2] != channels:
            raise UserError(f'{path}: {name} {W.shape} cannot follow a layer of {channels} channels; '
                                  f'{expected} was expected')
        channels = b.size
    if not convolutions:
        raise UserError(f'{path}: holds no convolution of VGG-19')


def _describe(convolutions):
    width = next(iter(convolutions.values()))[1].size / 64
    size = 'full-width' if width == 1 else f'{width:g}-width'
    return f'{size} VGG-19, {next(iter(convolutions))} to {list(convolutions)[-1]}'


def write_weights(path, weights, levels=False):
    """Write `weights` in MatConvNet's layout, ReLUs and poolings between.

    Any reader of the public file takes it as it is. With `levels` each layer's filters are rounded to
    QUANTIZATION_LEVELS values,
    and the file, a quarter of the size, holds their codes beside these; only `read_weights` takes that.
    """
    last = LAYERS.index(list(weights.convolutions)[-1])
    layers = [_layer(name, weights.convolutions.get(name), levels) for name in LAYERS[:last + 2]]
    cells = np.empty((1, len(layers)), dtype=object)
    cells[0, :] = layers
    description = weights.description or _describe(weights.convolutions)
    meta = {'normalization': {'averageImage': np.float32(weights.mean_pixels).reshape(1, 1, 3)},
            'description': description + (f', {QUANTIZATION_LEVELS} levels a layer' if levels else '')}
    with files.atomic_write(path) as part:
        scipy.io.savemat(part, {'layers': cells, 'meta': meta}, appendmat=False, do_compression=levels)


def _layer(name, filters_and_biases, levels):
    """One struct of the file's `layers`: a convolution if there are filters, else what the name says."""
    if filters_and_biases is None:
        return {'name': name, 'type': name.rstrip('_0123456789')}
    W, b = filters_and_biases
    values, codes = quantize(W) if levels else (None, np.float32(W))
    pair = np.empty((1, 2), dtype=object)
    pair[0, :] = codes, np.float32(b).reshape(1, -1)
    pad = (W.shape[0] - 1) // 2
    return {'name': name, 'type': 'conv', 'weights': pair,
            'size': np.float64([W.shape]), 'pad': np.float64([[pad] * 4]),
            'stride': np.float64([[1, 1]])} | ({} if values is None else {'levels': values})


def quantize(W, max_levels=QUANTIZATION_LEVELS):
    """(levels [at most n], float32, ascending; codes of W's shape, uint8): levels[codes] is near W, by k-means.

    Levels start where the cube root of the density has its quantiles: there the squared error is least (Panter and Dite
    1951). Exact where W has no more than n values.
    """
    levels = np.unique(np.float32(W))
    if len(levels) > max_levels:
        counts, edges = np.histogram(W, bins=max_levels)
        mass = np.concatenate([[0], np.cumsum(np.cbrt(counts))])
        start = np.interp((np.arange(max_levels) + 0.5) / max_levels * mass[-1], mass, edges)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # a level that no value is nearest to stays where it is
            levels, _ = scipy.cluster.vq.kmeans2(np.float64(W).ravel(), start, iter=KMEANS_ITERATIONS, minit='matrix')
        levels = np.unique(np.float32(levels))
    codes = np.searchsorted((np.float64(levels[1:]) + levels[:-1]) / 2, W)
    return levels, codes.astype(np.uint8)


def fetch(path, url=VGG_DOWNLOAD_LINK, levels=False):
    """Write the 16 convolutions of the public file to `path` (80 MB of 535), downloading it unless it lies in the root.

    levels: as `write_weights` has it. The download is removed once they are written. Raises `UserError` if it cannot
    be had whole.
    """
    own, fetched = paths.ROOT / VGG_FILENAME, path.with_name('public-' + path.name)
    public = next((file for file in (own, fetched) if _is_public(file)), None)
    if own.is_file() and public != own:
        print(f'{own}: its size or SHA-256 is not that of the public file, which is fetched instead')
    if public is None:
        try:
            download(url, fetched, EXPECTED_BYTES, EXPECTED_SHA256)
        except UserError as error:
            raise UserError(str(error), ('--url', 'takes a mirror'),
                            ('--source', 'keras the copy that Keras has')) from error
    write_weights(path, read_weights(public or fetched)._replace(description=DESCRIPTION), levels)
    fetched.unlink(missing_ok=True)


def _is_public(path):
    return path.is_file() and path.stat().st_size == EXPECTED_BYTES and files.file_hash(path) == EXPECTED_SHA256


def convert_keras(path, weights='imagenet', levels=False):
    """Write the 16 convolutions that tf.keras.applications has to `path`; it fetches them (80 MB) unless it has them.

    weights: 'imagenet', or a Keras weights file; levels: as `write_weights` has it. Keras's network takes BGR, ours
    RGB. Raises `UserError`.
    """
    try:
        model = tf2.keras.applications.VGG19(include_top=False, weights=weights)
    except Exception as error:  # a download that fails is a bare Exception there
        raise UserError(f'Keras has no VGG-19 weights to give: {error}; the same command tries again',
                        ('--source', 'vlfeat takes the public file')) from error
    convolutions = {}
    for layer in model.layers:
        if match := re.fullmatch(r'block(\d)_conv(\d)', layer.name):
            convolutions['conv{}_{}'.format(*match.groups())] = tuple(layer.get_weights())
    W, b = convolutions['conv1_1']
    convolutions['conv1_1'] = W[:, :, ::-1], b
    write_weights(path, Weights(path, convolutions, np.float32(KERAS_MEAN), DESCRIPTION + ', from Keras'), levels)


@errors.command_line
def main(argv=None):
    """Fetch the weights as the flags say; return the exit status."""
    parser = cli.Parser(description='Fetch the public VGG-19 and keep its convolutions in weights/.')
    parser.add_argument('--source', choices=('vlfeat', 'keras'), default='vlfeat',
                        help='the public file (535 MB), or what tf.keras.applications has (80 MB) '
                        '(default: %(default)s)')
    parser.add_argument('--url', default=VGG_DOWNLOAD_LINK, help='a mirror of the public file (default: %(default)s)')
    parser.add_argument('--levels', action='store_true',
                        help=f'round each layer\'s filters to {QUANTIZATION_LEVELS} values, as in the file that ships: '
                        '18.5 MB in place of 80')
    args = parser.parse_args(argv)
    if args.source == 'keras' and args.url != VGG_DOWNLOAD_LINK:
        parser.error('--url is for --source vlfeat: Keras has its own address')
    path = WEIGHTS_SEARCH_PATHS[0]
    if path.exists():
        print(f'{path} is there already; remove it to have it made again')
    elif args.source == 'keras':
        convert_keras(path, levels=args.levels)
    else:
        fetch(path, args.url, args.levels)
    print(f'{path}: {read_weights(path).description}, {path.stat().st_size / 1e6:.0f} MB')


if __name__ == '__main__':
    sys.exit(main())
