"""Export a trained network to models/<name>/ as a SavedModel, a LiteRT file and model.json, and read it again."""

import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import NamedTuple

from common import files
from common.errors import UserError
from common.tf1 import tf, tf2
from engine.run import runs
from fast.inference import models
from fast.networks.arbitrary import MAP_NAMES, ArbitraryStyleNet
from fast.networks.multi_style import TransformNet, pad_to_stride

# Patterns of the parameters' names in the graph of a SavedModel.
MULTI_STYLE_PARAMETER = r'(conv|residual)\w+/\w+'
ARBITRARY_PARAMETER = r'(code|conv|decoder|fine|residual|up)\w*/(mean|components|weights|biases|bias|gamma|beta|share)'


class TrainedNetwork(NamedTuple):
    """A trained network that another training can start from.

    Attributes:
        parameters: Name -> array.
        styles: Name of a style -> hash of its image; `models.ANY_STYLE` for an arbitrary style model.
        hash: SHA-256 of the SavedModel.
    """
    parameters: dict
    styles: dict[str, str] | str
    hash: str

    @property
    def base(self) -> int:
        """Number of channels of the first convolution, `base` of the `TransformNet`."""
        return self.parameters['conv1/weights'].shape[-1]


def write_multi_style(folder: Path, parameters: dict, about: dict) -> None:
    """Export a trained `TransformNet`; an older model in the folder is overwritten.

    Args:
        folder: The model's folder.
        parameters: Name -> array.
        about: Content of model.json except for the hashes of the files; 'styles' and 'base' describe the network.
    """
    def network(*inputs):
        return TransformNet(len(about['styles']), about['base'], parameters=parameters)(*inputs)

    def saved_model():
        """Build the graph: `photos` [B, H, W, 3] of any size, `style_weights` [B or 1, styles] -> `pictures`."""
        photos = tf.placeholder(tf.float32, [None, None, None, 3], name='photos')
        style_weights = tf.placeholder(tf.float32, [None, len(about['styles'])], name='style_weights')
        _, H, W, _ = tf.unstack(tf.shape(photos))
        pictures, _ = network(pad_to_stride(photos), style_weights)
        return {'serving_default': ({'photos': photos, 'style_weights': style_weights},
                                    {'pictures': tf.clip_by_value(pictures[:, :H, :W], 0, 255)})}

    def litert():
        """Build the graph for a single padded photo, with `statistics` in case it is a tile of a larger one."""
        statistics = [2 * array.shape[1] for name, array in parameters.items() if name.endswith('gamma')]
        inputs = {'photos': tf.placeholder(tf.float32, [1, None, None, 3]),
                  'style_weights': tf.placeholder(tf.float32, [1, len(about['styles'])]),
                  'statistics': tf.placeholder(tf.float32, [1, sum(statistics)]),
                  'given': tf.placeholder(tf.float32, [])}
        pictures, own = network(*inputs.values())
        return {'serving_default': (inputs, {'pictures': pictures, 'own': own})}
    write_model(folder, about | {'kind': models.MULTI_STYLE}, saved_model, litert)


def write_arbitrary(folder: Path, parameters: dict, about: dict) -> None:
    """Export a trained `ArbitraryStyleNet`; an older model in the folder is overwritten.

    The files have two signatures, for a single photo. `encode` maps `photos` [1, H, W, 3], 0 to 255, H and W multiples
    of 8, to the maps of MAP_NAMES. `decode` takes these maps with a style's statistics, and the other arguments of
    `ArbitraryStyleNet.decode`, and returns `pictures` and `own`, the means and variances computed from the maps.

    Args:
        folder: The model's folder.
        parameters: Name -> array.
        about: Content of model.json except for 'files', 'styles' and 'maps'.
    """
    def build():
        network = ArbitraryStyleNet(parameters=parameters)
        photos = tf.placeholder(tf.float32, [1, None, None, 3])
        maps = dict(zip(MAP_NAMES, network.encode(photos)))
        matched = {name: tf.placeholder(tf.float32, [1, None, None, x.shape[-1]]) for name, x in maps.items()}
        size = 2 * sum(value.shape[1] for name, value in parameters.items() if name.endswith('gamma'))
        more = {'description': tf.placeholder(tf.float32, [1, len(parameters['code/mean'])]),
                'statistics': tf.placeholder(tf.float32, [1, size]), 'given': tf.placeholder(tf.float32, [])}
        outputs = dict(zip(('pictures', 'own'), network.decode(matched.values(), **more)))
        return {'encode': ({'photos': photos}, maps), 'decode': (matched | more, outputs)}
    write_model(folder, about | {'kind': models.ARBITRARY, 'styles': models.ANY_STYLE, 'maps': MAP_NAMES}, build, build)


def write_model(folder: Path, about: dict, whole: Callable, lite: Callable) -> None:
    """Write a model's SavedModel, LiteRT file and model.json.

    Args:
        folder: The model's folder.
        about: Content of model.json except for the hashes of the files.
        whole: Function that builds the graph of the SavedModel and returns its signatures, name -> (inputs, outputs),
            each of these name -> tensor.
        lite: Function that does the same for the LiteRT file.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix='.part-', dir=folder.parent))
    try:
        _write_saved_model(temporary / 'whole', whole)
        contents = {models.SAVED_MODEL_FILE: (temporary / 'whole' / models.SAVED_MODEL_FILE).read_bytes()}
        keys = _write_saved_model(temporary / 'lite', lite)
        # A new thread has no default graph. Within a default graph, the converter would omit the signatures.
        with futures.ThreadPoolExecutor(1) as thread:
            contents[models.LITERT_FILE] = thread.submit(_convert_to_litert, temporary / 'lite', keys).result()
    finally:
        shutil.rmtree(temporary)
    for name, content in contents.items():
        with files.atomic_write(folder / name) as part:
            part.write_bytes(content)
    with files.atomic_write(folder / models.MODEL_JSON) as part:
        hashes = {name: files.file_hash(folder / name) for name in contents}
        part.write_text(json.dumps(about | {'files': hashes}, indent=1) + '\n')


def _write_saved_model(folder, build):
    """Write a SavedModel of the graph that `build` builds; return the names of its signatures."""
    with tf.Graph().as_default(), tf.Session() as sess:
        signatures = build()
        builder = tf.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(sess, [tf.saved_model.SERVING], {
            name: tf.saved_model.predict_signature_def(*tensors) for name, tensors in signatures.items()})
        builder.save()
    return list(signatures)


def _convert_to_litert(folder, keys):
    """Convert the signatures `keys` of a SavedModel to the bytes of a LiteRT file with float16 weights."""
    converter = tf2.lite.TFLiteConverter.from_saved_model(str(folder), keys)
    converter.optimizations = [tf2.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf2.float16]
    return converter.convert()


def read_multi_style(folder: Path) -> TrainedNetwork:
    """Read the network of a multi-style model.

    Args:
        folder: The model's folder.

    Raises:
        UserError: The folder does not hold a complete multi-style model.
    """
    info, parameters = read_model(folder, MULTI_STYLE_PARAMETER)
    if info.kind != models.MULTI_STYLE:
        raise UserError(f'{folder}: is a model for arbitrary styles; choose a multi-style model')
    if len(parameters.get('conv1/gamma', ())) != len(info.styles):
        raise UserError(f'{folder}: not a complete model ({models.MODEL_JSON} and {models.SAVED_MODEL_FILE} differ in '
                        'the number of styles); train it again or choose another')
    return TrainedNetwork(parameters, info.about['styles'], info.about['files'][models.SAVED_MODEL_FILE])


def read_arbitrary(folder: Path) -> TrainedNetwork:
    """Read the network of an arbitrary-style model.

    Args:
        folder: The model's folder.

    Raises:
        UserError: The folder does not hold a complete arbitrary-style model of the current architecture.
    """
    info, parameters = read_model(folder, ARBITRARY_PARAMETER)
    if info.kind != models.ARBITRARY:
        raise UserError(f'{folder}: is a multi-style model; choose a model for arbitrary styles')
    if list(info.about['maps']) != list(MAP_NAMES) or 'residual2_1_1/weights' not in parameters:
        raise UserError(f'{folder}: has an older architecture; it can still stylize, but no training can start from it')
    return TrainedNetwork(parameters, info.about['styles'], info.about['files'][models.SAVED_MODEL_FILE])


def read_model(folder: Path, parameter: str) -> tuple[models.ModelInfo, dict]:
    """Read a model's info and the parameters in its SavedModel.

    Args:
        folder: The model's folder.
        parameter: Regular expression that matches the names of the parameters, which are constants in the graph.

    Returns:
        The info, and the parameters, name -> array.

    Raises:
        UserError: The folder does not hold a complete model.
    """
    info = models.load(folder, models.SAVED_MODEL_FILE)
    try:
        with tf.Graph().as_default() as graph, tf.Session() as sess:
            tf.saved_model.load(sess, [tf.saved_model.SERVING], str(folder))
            return info, sess.run({op.name: op.outputs[0] for op in graph.get_operations()
                                    if op.type == 'Const' and re.fullmatch(parameter, op.name)})
    except (OSError, ValueError, KeyError, RuntimeError, tf.errors.OpError) as error:
        raise UserError(f'{folder}: not a complete model ({error}); train it again or choose another') from error


def check_overwrite(folder: Path, run: runs.Run, steps: int) -> None:
    """Check that a training run may overwrite the model in a folder.

    Args:
        folder: The model's folder, which need not exist.
        run: The training run.
        steps: Number of training steps of the new model.

    Raises:
        UserError: The folder holds a model with other settings than those of `run` or with more training steps, or its
            model.json is damaged.
    """
    path, about = Path(folder, models.MODEL_JSON), None
    with contextlib.suppress(ValueError):
        if not path.exists():
            return
        about = json.loads(path.read_text())
    if not isinstance(about, dict):
        raise UserError(f'{path}: damaged', ('--restart', 'replaces the model'), ('--name', 'NEW keeps it'))
    saved = {key: about[key] for key in run.fingerprint if key in about}
    if differ := runs.settings_diff(run.fingerprint, saved, run.defaults):
        raise UserError(f'{folder} is a model with other settings: {", ".join(differ)}',
                        ('--restart', 'replaces it'), runs.KEEP_BOTH_HINT)
    if about.get('steps', 0) > steps:
        raise UserError(f'{folder} is a model of {about["steps"]} steps, more than {steps}',
                        ('--iterations', 'with a larger number continues it'), ('--restart', 'replaces it'),
                        runs.KEEP_BOTH_HINT)
