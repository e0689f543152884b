"""A trained network as models/<name>/: a TensorFlow SavedModel and model.json; written, found, applied to any photo."""

import json
import shutil
import tempfile
from pathlib import Path

from engine import quiet  # before tensorflow

import numpy as np
import skimage.color
import skimage.transform
import tensorflow.compat.v1 as tf

import utils
from engine import memory, runs, sessions, shipped
from engine.messages import UserError
from fast.network import TransformNet

SHIPPED = shipped.ROOT / 'models'
BLEND = 32  # pixels over which neighbouring tiles pass into each other
TILES = (256, 8192)  # side of a tile, in pixels
PASS_BYTES = 3 << 28  # of the free memory, what a pass may take at most
BYTES_PER_PIXEL = {'half': 15, 'johnson': 35}  # of a pass, for each of the `base` channels; measured


def write(folder, parameters, about):
    """Export a trained `TransformNet`; the folder may hold an older one.

    parameters: name -> array
    about: what model.json says beside the file's hash; its 'network' and 'base' are those of `TransformNet`
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix='.part-', dir=folder.parent))
    try:
        network = TransformNet(about['network'], about['base'], parameters=parameters)
        _export(temporary / 'model', network)
        pb = (temporary / 'model' / 'saved_model.pb').read_bytes()
    finally:
        shutil.rmtree(temporary)
    with utils.whole_file(folder / 'saved_model.pb') as part:
        part.write_bytes(pb)
    with utils.whole_file(folder / 'model.json') as part:
        contents = about | {'saved_model': utils.file_hash(folder / 'saved_model.pb')}
        part.write_text(json.dumps(contents, indent=1) + '\n')


def _export(folder, network):
    """Three signatures over the same constants: a photo as it is, its statistics alone, a part with given ones."""
    with tf.Graph().as_default(), tf.Session() as sess:
        photos = tf.placeholder(tf.float32, [None, None, None, 3], name='photos')
        pictures, statistics = network(photos)
        given = tf.placeholder(tf.float32, [None, statistics.shape[-1]], name='statistics')
        with_given, _ = network(photos, given)
        inputs, outputs = {'photos': photos}, {'pictures': pictures}
        signatures = {'serving_default': (inputs, outputs), 'statistics': (inputs, {'statistics': statistics}),
                      'tile': (inputs | {'statistics': given}, {'pictures': with_given})}
        builder = tf.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(sess, [tf.saved_model.SERVING], {
            name: tf.saved_model.predict_signature_def(*tensors) for name, tensors in signatures.items()})
        builder.save()


def check_free(folder, run):
    """Raise `UserError` if the folder holds a model of another `runs.Run` than `run`."""
    path = Path(folder, 'model.json')
    try:
        about = json.loads(path.read_text())
    except FileNotFoundError:
        return
    except ValueError as error:
        raise UserError(f'{path}: damaged', ('--restart', 'replaces the model'), ('--name', 'NEW keeps it')) from error
    saved = {key: about[key] for key in run.identity if key in about}
    if differ := runs.differences(run.identity, saved, run.defaults):
        raise UserError(f'{folder} is a model with other settings: {", ".join(differ)}',
                        ('--restart', 'replaces it'), runs.BOTH)


def find(name):
    """The folder of a model: a path, or a name in ./models or in those that ship. Raises `UserError`."""
    rooms = [Path(), Path('models'), SHIPPED]
    for room in rooms:
        if (room / name / 'model.json').is_file():
            return room / name
    known = sorted({path.parent.name for room in rooms[1:] for path in room.glob('*/model.json')})
    raise UserError(f'--model {name}: no such model; there are {", ".join(known) or "none"}, '
                          'train makes others')


class Model:
    """A trained network, loaded once, for photos of any size.

    about: what model.json says. Raises `UserError` for a folder that is no model, or is damaged.
    """

    def __init__(self, folder, precision='float32', threads=0):
        folder = Path(folder)
        try:
            self.about = json.loads((folder / 'model.json').read_text())
            if utils.file_hash(folder / 'saved_model.pb') != self.about['saved_model']:
                raise ValueError('saved_model.pb is not the file that model.json describes')
            self.network = TransformNet(self.about['network'], self.about['base'])
            self.sess = tf.Session(graph=tf.Graph(), config=sessions.session_config(precision, threads))
            with self.sess.graph.as_default():
                self.signatures = tf.saved_model.load(self.sess, [tf.saved_model.SERVING], str(folder)).signature_def
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise UserError(f'{folder}: not a whole model ({error}); train it again, or take another') from error
        self.sess.graph.finalize()
        self.statistics = None

    def _run(self, signature, output, **inputs):
        signature = self.signatures[signature]
        return self.sess.run(signature.outputs[output].name,
                             {signature.inputs[name].name: value for name, value in inputs.items()})

    def default_tile(self):
        """The largest tile that leaves three quarters of the free memory free, in pixels."""
        room = min(PASS_BYTES, memory.free_memory() / 4)
        side = int((room / (self.about['base'] * BYTES_PER_PIXEL[self.about['network']])) ** 0.5)
        return min(TILES[1], max(side, self.smallest_tile()))

    def smallest_tile(self):
        """The side under which tiles would be mostly overlap."""
        return 2 * self._overlap()

    def _overlap(self):
        multiple = self.network.multiple
        return -(-(2 * self.network.reach + BLEND + multiple) // multiple) * multiple

    def __call__(self, photo, tile):
        """Stylise a photo [H, W, 3] of 0-255, float32; one of more than `tile` pixels either way in parts.

        Then the means and variances of the instance norms are those of the whole photo, reduced to fit into a tile, so
        that all parts are rendered alike. Returns the picture, as the photo.
        """
        H, W = photo.shape[:2]
        if max(H, W) <= tile:
            return self._run('serving_default', 'pictures', photos=photo[None])[0]
        factor = -(-max(H, W) // tile)
        whole_blocks = photo[:H // factor * factor or H, :W // factor * factor or W]
        small = np.float32(skimage.transform.downscale_local_mean(whole_blocks, (min(factor, H), min(factor, W), 1)))
        statistics = self._run('statistics', 'statistics', photos=small[None])
        return self.in_tiles(photo, statistics, tile)

    def in_tiles(self, photo, statistics, tile):
        """The picture of a photo by overlapping tiles, with the given statistics [1, S]."""
        picture = np.zeros_like(photo)
        rows, columns = (spans(length, tile, self._overlap(), self.network.multiple) for length in photo.shape[:2])
        for y, vertical in rows:
            for x, horizontal in columns:
                part = self._run('tile', 'pictures', photos=photo[None, y, x], statistics=statistics)[0]
                part *= vertical[:, None, None] * horizontal[:, None]
                picture[y, x] += part
        return picture


def spans(length, tile, overlap, multiple):
    """Cover `length` by (slice, weights): slices of about `tile` that share at least `overlap`, weights adding up to 1.

    They start at multiples of `multiple`. Over the BLEND pixels in the middle of two neighbours' overlap the weight
    passes from one to the other.
    """
    n = 1 if length <= tile else -(-(length - overlap) // (tile - overlap))
    starts = [i * (length - tile) // (n - 1) // multiple * multiple for i in range(n)] if n > 1 else [0]
    stops = [start + tile for start in starts[:-1]] + [length]
    middles = [(start + stop) / 2 for start, stop in zip(starts[1:], stops)]
    ramps = [np.interp(np.arange(length) + 0.5, [middle - BLEND / 2, middle + BLEND / 2], [0, 1]) for middle in middles]
    weights = [before - after for before, after in zip([np.ones(length), *ramps], [*ramps, np.zeros(length)])]
    return [(slice(start, stop), np.float32(weight[start:stop])) for start, stop, weight in zip(starts, stops, weights)]


def mixed(photo, picture, strength, keep_colors):
    """The picture, less of it for a strength below 1, or only its luminance: [H, W, 3] of 0-255.

    To keep the photo's colours every channel gets the same difference, which leaves its hues and saturation in YUV as
    they are (luminance-only transfer: Gatys et al. 2016, Preserving Color in Neural Artistic Style Transfer).
    """
    change = picture - photo
    if keep_colors:
        change[:] = skimage.color.rgb2gray(change)[..., None]
    change *= strength
    change += photo  # in place: of a large photo every copy counts
    return change
