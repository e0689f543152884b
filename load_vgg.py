"""Build VGG-19 as a TensorFlow graph with constant weights; as a program, download these weights.

    python load_vgg.py                   download the public weights and keep their 16 convolutions in weights/
    python load_vgg.py --source keras    take them from tf.keras.applications, if that host is down
    python load_vgg.py --levels          round each layer's filters to 256 values: 18.5 MB instead of 80
"""

import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from common import process

if __name__ == '__main__':
    process.while_loading()  # The imports below take seconds.

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
KERAS_MEAN = (123.68, 116.779, 103.939)  # RGB; Keras's `preprocess_input` subtracts it
DESCRIPTION = 'VGG-19 (Simonyan and Zisserman 2014, CC BY 4.0), 16 convolutions'
WEIGHTS_SEARCH_PATHS = (paths.ROOT / 'weights' / VGG_FILENAME, paths.ROOT / VGG_FILENAME, paths.WEIGHTS)
QUANTIZATION_LEVELS = 256  # values per layer, so that a filter's code is one byte
KMEANS_ITERATIONS = 3  # eight iterations reduce the error by next to nothing


class MissingLayer(UserError, AttributeError):
    """Error raised when a layer is requested that the weights file does not contain."""


class Weights(NamedTuple):
    """Contents of a weights file.

    Attributes:
        path: The file.
        convolutions: Name -> (filters [height, width, in, out], biases [out]), float32, shallowest layer first.
        mean_pixels: RGB mean that the network expects to be subtracted from its input, float32 [3], 0 to 255.
        description: One line that says what the file contains.
    """
    path: Path
    convolutions: dict[str, tuple[np.ndarray, np.ndarray]]
    mean_pixels: np.ndarray
    description: str


class VGG:
    """The convolutions and poolings of VGG-19 applied to an image.

    After `load()` each layer is an attribute: `vgg.conv4_2` is the feature map after its ReLU, `vgg.conv4_2_pre` the
    one before it, and `vgg.avgpool1` (or `vgg.maxpool1`) the pooled map. Requesting a layer that the weights file does
    not contain raises `MissingLayer`, which lists the available layers.
    """

    def __init__(self, input_img: tf.Tensor, weights: Weights, pooling: str = 'avg', padding: str = 'zeros'):
        """Prepare VGG-19 without building its layers.

        Args:
            input_img: [B, H, W, 3], RGB, 0 to 255 minus `mean_pixels`.
            weights: The result of `read_weights`.
            pooling: 'avg' (which Gatys et al. found better) or 'max' (as VGG-19 was trained).
            padding: Values outside of every map: 'zeros' (as VGG-19 was trained) or 'mirror', its reflection.
        """
        self.input_img = input_img
        self.weights = weights
        self.pooling = pooling
        self.padding = padding
        self.mean_pixels = weights.mean_pixels.reshape(1, 1, 1, 3)

    def _weights(self, layer_idx, expected_layer_name):
        """Return (filters, biases) of the layer at index `layer_idx` of VGG-19, whose name must be the expected one."""
        assert LAYERS[layer_idx] == expected_layer_name, f'layer {layer_idx} is {LAYERS[layer_idx]}'
        return self.weights.convolutions[expected_layer_name]

    def conv2d_relu(self, prev_layer, layer_idx, layer_name, padding='SAME'):
        """Convolve, add the bias, and apply ReLU: [1, H, W, in] -> [1, H, W, out].

        The weights are constants, because the image is trained and VGG-19 is not.

        Args:
            prev_layer: The map to convolve.
            layer_idx: The index of the layer, for `_weights`.
            layer_name: The name of the layer, of its variable scope and of the attribute that holds the result.
            padding: 'SAME' pads with zeros; 'VALID' is for a `prev_layer` that already has a border of one pixel.
        """
        ### BEGIN SOLUTION 1: take the layer's filters and biases from self._weights, as constants; convolve with
        ###   `padding`; store the result as the attribute layer_name, and the map before its ReLU as the attribute
        ###   layer_name + BEFORE_RELU
        with tf.variable_scope(layer_name):
            W, b = self._weights(layer_idx, layer_name)
            W = tf.constant(W, name='weights')
            b = tf.constant(b, name='biases')
            conv2d = tf.nn.bias_add(tf.nn.conv2d(prev_layer, W, strides=[1, 1, 1, 1], padding=padding), b)
            out = tf.nn.relu(conv2d)
        setattr(self, layer_name + BEFORE_RELU, conv2d)
        setattr(self, layer_name, out)
        ### END SOLUTION

    def _mirrored(self, prev_layer, layer_idx, layer_name):
        """Apply `conv2d_relu` to a map padded with its own reflection."""
        # Put the padding into the name scope that `conv2d_relu` opens for the layer.
        with tf.name_scope(f'{tf.get_default_graph().get_name_scope()}/{layer_name}/'.lstrip('/')):
            padded = tf.pad(prev_layer, [[0, 0], [1, 1], [1, 1], [0, 0]], 'SYMMETRIC')
        self.conv2d_relu(padded, layer_idx, layer_name, 'VALID')

    def avgpool(self, prev_layer, layer_name):
        """Average pooling over 2×2 with stride 2: [1, H, W, C] -> [1, ⌈H/2⌉, ⌈W/2⌉, C]."""
        ### BEGIN SOLUTION 1: pool over windows of 2×2, also at an odd edge; the result is the attribute layer_name
        with tf.variable_scope(layer_name):
            out = tf.nn.avg_pool2d(prev_layer, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding='SAME')
        setattr(self, layer_name, out)
        ### END SOLUTION

    def maxpool(self, prev_layer, layer_name):
        """Maximum pooling over 2×2 with stride 2: [1, H, W, C] -> [1, ⌈H/2⌉, ⌈W/2⌉, C]."""
        ### BEGIN SOLUTION 1: do the same with the maximum; only recipes other than CS20's need it
        with tf.variable_scope(layer_name):
            out = tf.nn.max_pool2d(prev_layer, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding='SAME')
        setattr(self, layer_name, out)
        ### END SOLUTION

    def load(self, needed: Sequence[str] = CONVOLUTIONS) -> None:
        """Build the layers from conv1_1 to the deepest of `needed`, or to the last one in the weights file.

        Deeper layers would only take memory: half of VGG-19's weights belong to conv4_4 and the layers after it.
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

    def features(self, layers: Sequence[str]) -> list[tf.Tensor]:
        """Return the feature maps of the named layers, each [B, H', W', channels]."""
        return [getattr(self, layer) for layer in layers]

    def __getattr__(self, name):
        """Raise `MissingLayer`, because Python calls this only for attributes that do not exist."""
        if name.startswith('_'):  # copy and pickle look up optional special methods.
            raise AttributeError(name)
        built = ', '.join(layer for layer in CONVOLUTIONS if layer in vars(self))
        raise MissingLayer(f'{self.weights.path} has no layer {name}; it has {built}')


def deepest_index(layers: Sequence[str]) -> int:
    """Return the index in `CONVOLUTIONS` of the deepest of the named layers."""
    return max(CONVOLUTIONS.index(layer.removesuffix(BEFORE_RELU)) for layer in layers)


def find_weights(path: str | Path | None = None) -> Path:
    """Return the path of the weights to use: `path` if given, else the first of `WEIGHTS_SEARCH_PATHS` that exists.

    Raises:
        UserError: `path` does not exist, or none of the search paths does.
    """
    for candidate in [Path(path)] if path else WEIGHTS_SEARCH_PATHS:
        if candidate.is_file():
            return candidate
    if path:
        raise UserError(f'{path}: no such weights file; python load_vgg.py downloads the public one')
    raise UserError(f'{paths.ROOT}: no VGG-19 weights in this folder or its weights/, not even the bundled file; '
                    'python load_vgg.py downloads them (535 MB)', ('--vgg', 'PATH uses a file that you have'))


def read_weights(path: str | Path) -> Weights:
    """Read a MatConvNet file of VGG-19, in the current layout or that of beta16, with any width and depth.

    Fields are found by name. If a layer has the field `levels`, its filters are `levels[codes]`.

    Raises:
        UserError: The file is missing, damaged or not a MatConvNet file; its layers are not the first ones of VGG-19,
            or do not fit each other; or it contains numbers that are not finite.
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
                # MATLAB drops a last dimension of 1.
                convolutions[name] = np.float32(W).reshape(*W.shape[:3], b.size), np.float32(b).reshape(b.size)
        normalization = mat['normalization'] if 'normalization' in mat else _field(mat['meta'], 'normalization')
        mean_pixels = np.float32(_field(normalization, 'averageImage').reshape(-1, 3).mean(axis=0, dtype=np.float64))
        has_description = 'meta' in mat and 'description' in _fields(mat['meta'])
        description = str(_field(mat['meta'], 'description')[0]) if has_description else None
    except Exception as error:  # SciPy raises a dozen types for damaged files.
        raise UserError(f'{path}: not a MatConvNet VGG-19 file ({error})') from error
    _check_chain(path, convolutions)
    for name, numbers in (*convolutions.items(), ('the mean', (mean_pixels,))):
        if not all(np.isfinite(array).all() for array in numbers):
            raise UserError(f'{path}: {name} has numbers that are not finite; the file is damaged')
    return Weights(Path(path), convolutions, mean_pixels, description or _describe(convolutions))


def _struct(cell):
    """Return the 1×1 MATLAB struct in a cell, which `loadmat` may have wrapped in several object arrays."""
    while cell.dtype == object:
        cell = cell.ravel()[0]
    return cell


def _fields(cell):
    """Return the names of the fields of the MATLAB struct in a cell."""
    return _struct(cell).dtype.names or ()


def _field(cell, name):
    """Return the value of a field of the MATLAB struct in a cell."""
    return _struct(cell)[name].ravel()[0]


def _check_chain(path, convolutions):
    """Raise `UserError` unless the convolutions are the first ones of VGG-19 and their numbers of channels match."""
    channels = 3
    for expected, (name, (W, b)) in zip(CONVOLUTIONS, convolutions.items()):
        if name != expected or W.shape[2] != channels:
            raise UserError(f'{path}: {name} {W.shape} cannot follow a layer of {channels} channels; '
                                  f'{expected} was expected')
        channels = b.size
    if not convolutions:
        raise UserError(f'{path}: contains no convolution of VGG-19')


def _describe(convolutions):
    """Describe weights whose file has no description: their width relative to VGG-19, and their layers."""
    width = next(iter(convolutions.values()))[1].size / 64
    size = 'full-width' if width == 1 else f'{width:g}-width'
    return f'{size} VGG-19, {next(iter(convolutions))} to {list(convolutions)[-1]}'


def write_weights(path: str | Path, weights: Weights, levels: bool = False) -> None:
    """Write weights in MatConvNet's layout, with the ReLUs and poolings between the convolutions.

    Args:
        path: The file, written atomically.
        weights: The weights to write.
        levels: Whether to round each layer's filters to `QUANTIZATION_LEVELS` values and to store codes and values, in
            a quarter of the size. Only `read_weights` reads such a file; other programs need one without levels.
    """
    last = LAYERS.index(list(weights.convolutions)[-1])
    layers = [_layer_struct(name, weights.convolutions.get(name), levels) for name in LAYERS[:last + 2]]
    cells = np.empty((1, len(layers)), dtype=object)
    cells[0, :] = layers
    description = weights.description or _describe(weights.convolutions)
    meta = {'normalization': {'averageImage': np.float32(weights.mean_pixels).reshape(1, 1, 3)},
            'description': description + (f', {QUANTIZATION_LEVELS} levels a layer' if levels else '')}
    with files.atomic_write(path) as part:
        scipy.io.savemat(part, {'layers': cells, 'meta': meta}, appendmat=False, do_compression=levels)


def _layer_struct(name, filters_and_biases, levels):
    """Return one struct of the file's `layers`: a convolution, or without filters a ReLU or pooling."""
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


def quantize(W: np.ndarray, max_levels: int = QUANTIZATION_LEVELS) -> tuple[np.ndarray, np.ndarray]:
    """Quantize an array to a few values by k-means, so that levels[codes] approximates it.

    k-means starts from the quantiles of the cube root of the density, which minimize the squared error for many levels
    (Panter and Dite 1951). The result is exact if W has no more than `max_levels` different values.

    Args:
        W: The array, of any shape.
        max_levels: The largest number of levels, at most 256.

    Returns:
        (levels, codes): levels is float32 [at most max_levels], ascending; codes is uint8 and has the shape of W.
    """
    levels = np.unique(np.float32(W))
    if len(levels) > max_levels:
        counts, edges = np.histogram(W, bins=max_levels)
        mass = np.concatenate([[0], np.cumsum(np.cbrt(counts))])
        start = np.interp((np.arange(max_levels) + 0.5) / max_levels * mass[-1], mass, edges)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # A level that is nearest to no value stays where it is.
            levels, _ = scipy.cluster.vq.kmeans2(np.float64(W).ravel(), start, iter=KMEANS_ITERATIONS, minit='matrix')
        levels = np.unique(np.float32(levels))
    codes = np.searchsorted((np.float64(levels[1:]) + levels[:-1]) / 2, W)
    return levels, codes.astype(np.uint8)


def fetch(path: Path, url: str = VGG_DOWNLOAD_LINK, levels: bool = False) -> None:
    """Download the public file and write its 16 convolutions (80 of 535 MB) to `path`.

    A copy of the public file in the project's root is used instead of a download. The download is removed after its
    convolutions are written.

    Args:
        path: The file to write.
        url: The address of the public file.
        levels: As in `write_weights`.

    Raises:
        UserError: The file cannot be downloaded completely.
    """
    root_file, downloaded = paths.ROOT / VGG_FILENAME, path.with_name('public-' + path.name)
    public = next((file for file in (root_file, downloaded) if _is_public(file)), None)
    if root_file.is_file() and public != root_file:
        print(f'{root_file}: its size or SHA-256 is not that of the public file, which is downloaded instead')
    if public is None:
        try:
            download(url, downloaded, EXPECTED_BYTES, EXPECTED_SHA256)
        except UserError as error:
            raise UserError(str(error), ('--url', 'uses a mirror'),
                            ('--source', 'keras uses the copy of Keras')) from error
    write_weights(path, read_weights(public or downloaded)._replace(description=DESCRIPTION), levels)
    downloaded.unlink(missing_ok=True)


def _is_public(path):
    """Return whether a file exists and is the public weights file."""
    return path.is_file() and path.stat().st_size == EXPECTED_BYTES and files.file_hash(path) == EXPECTED_SHA256


def convert_keras(path: Path, weights: str | Path = 'imagenet', levels: bool = False) -> None:
    """Write the 16 convolutions of tf.keras.applications to `path`.

    Keras downloads its weights (80 MB) unless it has them already. The input channels of conv1_1 are reversed, because
    the network of Keras takes BGR and ours takes RGB.

    Args:
        path: The file to write.
        weights: 'imagenet', or a Keras weights file.
        levels: As in `write_weights`.

    Raises:
        UserError: Keras cannot load the weights.
    """
    try:
        model = tf2.keras.applications.VGG19(include_top=False, weights=weights)
    except Exception as error:  # Keras raises a bare Exception if a download fails.
        raise UserError(f'Keras cannot provide VGG-19 weights: {error}; run the same command to try again',
                        ('--source', 'vlfeat uses the public file')) from error
    convolutions = {}
    for layer in model.layers:
        if match := re.fullmatch(r'block(\d)_conv(\d)', layer.name):
            convolutions['conv{}_{}'.format(*match.groups())] = tuple(layer.get_weights())
    W, b = convolutions['conv1_1']
    convolutions['conv1_1'] = W[:, :, ::-1], b
    write_weights(path, Weights(path, convolutions, np.float32(KERAS_MEAN), DESCRIPTION + ', from Keras'), levels)


@errors.command_line
def main(argv: Sequence[str] | None = None) -> int | None:
    """Download the weights as the flags say; return the exit status."""
    parser = cli.Parser(description='Download the public VGG-19 and keep its convolutions in weights/.')
    parser.add_argument('--source', choices=('vlfeat', 'keras'), default='vlfeat',
                        help='where the weights come from: the public file (535 MB) or tf.keras.applications (80 MB) '
                        '(default: %(default)s)')
    parser.add_argument('--url', default=VGG_DOWNLOAD_LINK,
                        help='address of the public file, for example of a mirror (default: %(default)s)')
    parser.add_argument('--levels', action='store_true',
                        help=f'round each layer\'s filters to {QUANTIZATION_LEVELS} values, as in the bundled file: '
                        '18.5 MB instead of 80')
    args = parser.parse_args(argv)
    if args.source == 'keras' and args.url != VGG_DOWNLOAD_LINK:
        parser.error('--url works only with --source vlfeat, because Keras has its own address')
    path = WEIGHTS_SEARCH_PATHS[0]
    if path.exists():
        print(f'{path} already exists; remove it to create it again')
    elif args.source == 'keras':
        convert_keras(path, levels=args.levels)
    else:
        fetch(path, args.url, args.levels)
    print(f'{path}: {read_weights(path).description}, {path.stat().st_size / 1e6:.0f} MB')


if __name__ == '__main__':
    sys.exit(main())
