"""A trained network becomes models/<name>/: a SavedModel, a LiteRT file and model.json; and is read again."""

import contextlib
import json
import re
import shutil
import tempfile
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

# names of the parameters
MULTI_STYLE_PARAMETER = r'(conv|residual)\w+/\w+'
ARBITRARY_PARAMETER = r'(code|conv|decoder|fine|residual|up)\w*/(mean|components|weights|biases|bias|gamma|beta|share)'


class TrainedNetwork(NamedTuple):
    """A trained network to begin another with.

    parameters: name -> array; styles: name -> hash of the image; hash: of the SavedModel
    """
    parameters: dict
    styles: dict
    hash: str

    @property
    def base(self):
        """Of the `TransformNet`."""
        return self.parameters['conv1/weights'].shape[-1]


def write_multi_style(folder, parameters, about):
    """Export a trained `TransformNet`; the folder may hold an older one.

    parameters: name -> array
    about: what model.json says beside the files' hashes; its 'styles' and 'base' are those of `TransformNet`
    """
    def network(*inputs):
        return TransformNet(len(about['styles']), about['base'], parameters=parameters)(*inputs)

    def whole():
        """`photos` [B, H, W, 3] of any size, `style_weights` [B or 1, styles] -> `pictures`."""
        photos = tf.placeholder(tf.float32, [None, None, None, 3], name='photos')
        style_weights = tf.placeholder(tf.float32, [None, len(about['styles'])], name='style_weights')
        _, H, W, _ = tf.unstack(tf.shape(photos))
        pictures, _ = network(pad_to_stride(photos), style_weights)
        return {'serving_default': ({'photos': photos, 'style_weights': style_weights},
                                    {'pictures': tf.clip_by_value(pictures[:, :H, :W], 0, 255)})}

    def lite():
        """One photo, extended; statistics if it is part of a larger one."""
        statistics = [2 * array.shape[1] for name, array in parameters.items() if name.endswith('gamma')]
        inputs = {'photos': tf.placeholder(tf.float32, [1, None, None, 3]),
                  'style_weights': tf.placeholder(tf.float32, [1, len(about['styles'])]),
                  'statistics': tf.placeholder(tf.float32, [1, sum(statistics)]),
                  'given': tf.placeholder(tf.float32, [])}
        pictures, own = network(*inputs.values())
        return {'serving_default': (inputs, {'pictures': pictures, 'own': own})}
    write_model(folder, about, whole, lite)


def write_arbitrary(folder, parameters, about):
    """Export an `AnyNet`; the folder may hold an older one.

    parameters: name -> array; about: what model.json says beside the files' hashes and that it takes any style
    Two signatures, for one photo: `encode`, of `photos` [1, H, W, 3] of 0-255, height and width multiples of 8, gives
    its MAPS; `decode` takes these with a style's statistics and what else `AnyNet.decode` does, and gives `pictures`
    and their `own` statistics.
    """
    def build():
        network = ArbitraryStyleNet(parameters=parameters)
        photos = tf.placeholder(tf.float32, [1, None, None, 3])
        maps = dict(zip(MAP_NAMES, network.encode(photos)))
        mapped = {name: tf.placeholder(tf.float32, [1, None, None, x.shape[-1]]) for name, x in maps.items()}
        size = 2 * sum(value.shape[1] for name, value in parameters.items() if name.endswith('gamma'))
        more = {'description': tf.placeholder(tf.float32, [1, len(parameters['code/mean'])]),
                'statistics': tf.placeholder(tf.float32, [1, size]), 'given': tf.placeholder(tf.float32, [])}
        outputs = dict(zip(('pictures', 'own'), network.decode(mapped.values(), **more)))
        return {'encode': ({'photos': photos}, maps), 'decode': (mapped | more, outputs)}
    write_model(folder, about | {'styles': models.ARBITRARY, 'maps': MAP_NAMES}, build, build)


def write_model(folder, about, whole, lite):
    """Write a model's folder: its SavedModel, its LiteRT file and model.json, `about` and their hashes.

    whole, lite: build the graph of the one and of the other; return its signatures, name -> (inputs, outputs), each
    name -> tensor
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix='.part-', dir=folder.parent))
    try:
        _write_saved_model(temporary / 'whole', whole)
        contents = {models.SAVED_MODEL_FILE: (temporary / 'whole' / models.SAVED_MODEL_FILE).read_bytes()}
        keys = _write_saved_model(temporary / 'lite', lite)
        with futures.ThreadPoolExecutor(1) as thread:  # which is in no graph: there the converter leaves signatures out
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
    """Write a SavedModel; return the names of its signatures."""
    with tf.Graph().as_default(), tf.Session() as sess:
        signatures = build()
        builder = tf.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(sess, [tf.saved_model.SERVING], {
            name: tf.saved_model.predict_signature_def(*tensors) for name, tensors in signatures.items()})
        builder.save()
    return list(signatures)


def _convert_to_litert(folder, keys):
    """The bytes of a LiteRT file, weights in float16, of a SavedModel with the signatures `keys`."""
    converter = tf2.lite.TFLiteConverter.from_saved_model(str(folder), keys)
    converter.optimizations = [tf2.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf2.float16]
    return converter.convert()


def read_multi_style(folder):
    """The `TrainedNetwork` network in a model's folder.

    Raises `UserError` for a folder that is no model, or is damaged.
    """
    about, parameters = read_model(folder, MULTI_STYLE_PARAMETER)
    if about['styles'] == models.ARBITRARY:
        raise UserError(f'{folder}: takes any painting and has no styles of its own; name a model that has')
    if len(parameters.get('conv1/gamma', ())) != len(about['styles']):
        raise UserError(f'{folder}: not a whole model (another number of styles); train it again, or take another')
    return TrainedNetwork(parameters, about['styles'], about['files'][models.SAVED_MODEL_FILE])


def read_arbitrary(folder):
    """The `TrainedNetwork` network in a model's folder.

    Raises `UserError` for a folder that is no such model, or is damaged.
    """
    about, parameters = read_model(folder, ARBITRARY_PARAMETER)
    if about['styles'] != models.ARBITRARY:
        raise UserError(f'{folder}: has styles of its own and takes no others; name a model that takes any')
    if list(about['maps']) != list(MAP_NAMES) or 'residual2_1_1/weights' not in parameters:
        raise UserError(f'{folder}: of an older network; it stylizes as before, but no training begins with it')
    return TrainedNetwork(parameters, about['styles'], about['files'][models.SAVED_MODEL_FILE])


def read_model(folder, parameter):
    """What a model's model.json says, and its constants whose names match `parameter`: name -> array.

    Raises `UserError` for a folder that is no model, or is damaged.
    """
    about = models.read_model_json(folder, models.SAVED_MODEL_FILE)
    try:
        with tf.Graph().as_default() as graph, tf.Session() as sess:
            tf.saved_model.load(sess, [tf.saved_model.SERVING], str(folder))
            return about, sess.run({op.name: op.outputs[0] for op in graph.get_operations()
                                    if op.type == 'Const' and re.fullmatch(parameter, op.name)})
    except (OSError, ValueError, KeyError, RuntimeError, tf.errors.OpError) as error:
        raise UserError(f'{folder}: not a whole model ({error}); train it again, or take another') from error


def check_overwrite(folder, run, steps):
    """Raise `UserError` if the folder holds a model of another `runs.Run` than `run`, or of more than `steps` steps."""
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
                        ('--iterations', 'with more goes on'), ('--restart', 'replaces it'), runs.KEEP_BOTH_HINT)
