"""Runs one step of a student's code on given inputs, in a process of its own; writes what came, judges nothing.

    python -E -s -B probe.py STEP FOLDER RESULTS

FOLDER has the student's modules and the project's others; the seed of the inputs comes by standard input, so that it is
in no file. Each item is one line of RESULTS: {"item": …, "values": {name: list, …}} or {"item": …, "error": …}.
"""

import dataclasses
import os
import sys
import traceback
from json import dumps  # as it is before the student's code has a say
from pathlib import Path

if __package__:
    from assignment import inputs
else:  # in its own process
    import inputs


LOSSES = 'content_loss', 'style_loss', 'total_loss'


def forbid_writing_outside(folder):
    """From here on Python opens nothing for writing, removes, renames and starts nothing outside the folder.

    An audit hook stays for the life of the process: no code can take it off again.
    """
    folder = os.path.realpath(folder)

    def hook(event, args):
        if event == 'open':
            path, mode, flags = args
            writes = ((isinstance(mode, str) and set(mode) & set('wax+'))
                      or (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            paths = [path] if writes else []
        elif event in ('os.remove', 'os.rmdir', 'os.mkdir', 'os.chmod', 'os.truncate', 'shutil.rmtree'):
            paths = args[:1]
        elif event in ('os.rename', 'os.link', 'os.symlink', 'shutil.move', 'shutil.copyfile'):
            paths = args[:2]
        elif event in ('subprocess.Popen', 'os.system', 'os.exec', 'os.posix_spawn', 'os.fork', 'os.forkpty',
                       'os.kill'):
            raise PermissionError(f'{event} is not needed for the assignment')
        else:
            return
        for path in paths:
            if isinstance(path, (str, bytes, os.PathLike)):
                real = os.path.realpath(os.fsdecode(path))
                if not (real + os.sep).startswith(folder + os.sep) and real != os.devnull:
                    raise PermissionError(f'{os.fsdecode(path)}: writes outside its folder')
    sys.addaudithook(hook)


# ------------------------------------------------------------------------------------------------------------ the items

def bare(recipe=None, **attributes):
    """A `StyleTransfer` without its `__init__`: the other steps are `attributes`."""
    import style_transfer
    machine = style_transfer.StyleTransfer.__new__(style_transfer.StyleTransfer)
    if recipe:
        attributes['recipe'] = recipe
    for name, value in attributes.items():
        setattr(machine, name, value)
    return machine


class Features:
    """Stands in for the VGG: layers are attributes, and what `features` gives."""

    def __init__(self, maps, mean_pixels=0.):
        self.mean_pixels = mean_pixels
        self.maps = maps
        for name, value in maps.items():
            setattr(self, name, value)

    def features(self, layers):
        return [self.maps[layer] for layer in layers]


def value(x):
    """A tensor, a variable or a number as an array."""
    import tensorflow.compat.v1 as tf
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        return sess.run(tf.convert_to_tensor(x))


def network(given):
    """The student's VGG on the given image, not loaded."""
    import load_vgg
    import tensorflow.compat.v1 as tf
    weights = load_vgg.Weights(Path('w'), {'conv1_1': given['conv1_1']}, given['mean_pixels'], 'weights')
    return load_vgg.VGG(tf.constant(given['image']), weights)


def variables():
    """The names of what an optimizer would change."""
    import tensorflow.compat.v1 as tf
    return [v.op.name for v in tf.trainable_variables()]


def conv2d_relu(given):
    """The map after the ReLU, that before it, and what is trainable."""
    vgg = network(given)
    vgg.conv2d_relu(vgg.input_img, 0, 'conv1_1')
    maps = {'output': value(vgg.conv1_1)}
    if 'conv1_1_pre' in vars(vgg):
        maps['before_relu'] = value(vgg.conv1_1_pre)
    return maps | {'variables': variables()}


def pool(given, name):
    """The map of avgpool or maxpool."""
    vgg = network(given)
    getattr(vgg, name)(vgg.input_img, name + '1')
    return {'output': value(getattr(vgg, name + '1'))}


def content_loss(given):
    """The loss of two maps."""
    import tensorflow.compat.v1 as tf
    machine = bare()
    return {'loss': value(machine._content_loss(given['P'], tf.constant(given['F'])))}


def gram_matrix(given):
    """Of a tensor."""
    import tensorflow.compat.v1 as tf
    H, W, N = given['F'].shape[1:]
    return {'gram': value(bare()._gram_matrix(tf.constant(given['F']), N, H * W))}


def _reference_gram(F, N, M):
    import numpy as np
    import tensorflow.compat.v1 as tf
    if isinstance(F, np.ndarray):
        F = F.reshape(-1, M, N)
        return F.swapaxes(1, 2) @ F
    F = tf.reshape(F, [-1, M, N])
    return tf.einsum('bki,bkj->bij', F, F)


def single_style_loss(given):
    """The loss of two maps, over Gram matrices that are right."""
    import tensorflow.compat.v1 as tf
    machine = bare(_gram_matrix=_reference_gram)
    return {'loss': value(machine._single_style_loss(given['P'], tf.constant(given['F'])))}


def style_loss(given):
    """The sum over layers whose losses are right."""
    import tensorflow.compat.v1 as tf
    machine = bare()
    layers = machine.recipe.style_layers
    machine.vgg = Features({layer: tf.constant(float(x)) for layer, x in zip(layers, given['g'])})
    machine._single_style_loss = lambda a, g: tf.square(g - a)
    return {'loss': value(machine._style_loss([float(a) for a in given['a']]))}


def total_loss(given):
    """The sum of losses that are given."""
    import recipes
    import tensorflow.compat.v1 as tf
    alpha, beta, content, style = (float(x) for x in given['weights'])
    recipe = dataclasses.replace(recipes.CS20, content_weight=alpha, style_weight=beta)
    layers = dict.fromkeys(recipe.content_layers + recipe.style_layers, tf.constant(0.))
    machine = bare(recipe, vgg=Features(layers), input_img=tf.zeros([1, 2, 2, 3]), targets=([0.], [0.] * 5),
                   _content_loss=lambda P, F: tf.constant(content), _style_loss=lambda A: tf.constant(style))
    machine.losses()
    return {'loss': value(machine.total_loss)}


def _trainable(machine, given):
    """Give the machine a variable, and losses that are lowest where it is the given target."""
    import tensorflow.compat.v1 as tf
    start, target = given['start'], given['target']
    with tf.variable_scope('input'):
        machine.input_img = tf.get_variable('in_img', initializer=tf.zeros(start.shape))
        machine.new_img = tf.placeholder(tf.float32, start.shape)
        machine.assign_img = machine.input_img.assign(machine.new_img)
        machine.gstep = tf.train.get_or_create_global_step()
    machine.centred_start = start
    machine.style_loss = tf.reduce_sum(tf.square(machine.input_img - target))
    machine.content_loss = tf.reduce_sum(tf.square(machine.input_img + target + 100))
    machine.total_loss = machine.style_loss + 0 * machine.content_loss
    machine.loss_terms = {name: getattr(machine, name) for name in LOSSES}


def optimize(given):
    """The images before and after two steps, and the global step."""
    import recipes
    import tensorflow.compat.v1 as tf
    machine = bare(dataclasses.replace(recipes.CS20, learning_rate=float(given['rate'])))
    _trainable(machine, given)
    machine.optimize()
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        sess.run(machine.assign_img, {machine.new_img: given['start']})
        images = [sess.run(machine.input_img)]
        for _ in range(2):
            sess.run(machine.opt)
            images.append(sess.run(machine.input_img))
        return {'images': images, 'gstep': sess.run(machine.gstep)}


def create_summary(given):
    """The scalars and the picture, of losses and an image that are given."""
    import tensorflow.compat.v1 as tf
    losses = {name: tf.constant(float(loss)) for name, loss in zip(LOSSES, given['losses'])}
    image = tf.constant(given['centred'])
    machine = bare(vgg=Features({}, given['mean_pixels'].reshape(1, 1, 1, 3)), input_img=image, shown_img=image,
                   loss_terms=losses, **losses)
    machine.create_summary()
    with tf.Session() as sess:
        summary = tf.Summary.FromString(sess.run(machine.summary_op))
        picture = sess.run(machine.picture)
    scalars = [[entry.tag, entry.simple_value] for entry in summary.value
               if entry.WhichOneof('value') == 'simple_value']
    return {'scalars': scalars, 'picture': picture, 'dtype': str(picture.dtype)}


def train(given):
    """Train a stand-in to each of ITERATIONS, then one straight to the last of them."""
    first, second = inputs.ITERATIONS
    begun = _training(given, 'resumed', first)
    # another starting image, which a run that is restored does not look at
    again = _training(given | {'start': given['other_start']}, 'resumed', second)
    straight = _training(given, 'straight', second)
    return {'checkpoints': begun['checkpoints'], 'events': begun['events'], 'resumed_image': again['image'],
            'straight_image': straight['image'], 'straight_losses': straight['losses']}


def _training(given, name, n_iters):
    """Build and train a stand-in with the student's `build` and `train`; say what it left."""
    import recipes
    from engine import runs, sessions
    import tensorflow.compat.v1 as tf
    recipe = dataclasses.replace(recipes.CS20, cadence=((float('inf'), 3),))
    run = runs.Run(name, {'seed': 0})
    machine = bare(recipe, graph=tf.Graph(), config=sessions.session_config('float32'), run=run, checkpoint_every=5,
                   img_width=given['start'].shape[2], img_height=given['start'].shape[1])
    images = []
    machine.create_input = lambda: None
    machine.load_vgg = lambda: _trainable(machine, given)
    machine.losses = lambda: None

    def optimize():
        machine.opt = tf.train.AdamOptimizer(2.).minimize(machine.total_loss, global_step=machine.gstep)

    def create_summary():
        for loss in LOSSES:
            tf.summary.scalar(loss, getattr(machine, loss))
        machine.summary_op = tf.summary.merge_all()
        machine.picture = tf.saturate_cast(machine.input_img[0], tf.uint8)
        machine.jpeg = tf.io.encode_jpeg(machine.picture)
    machine.optimize, machine.create_summary = optimize, create_summary
    machine.hand_in = lambda sess: images.append(sess.run(machine.input_img))
    machine.build()
    machine.train(n_iters)
    losses = [float(row['total_loss']) for row in run.history]
    saved = sorted(int(path.stem.rpartition('-')[2]) for path in run.checkpoints.glob('*-*.index'))
    events = sorted({event.step for path in run.graphs.glob('events.*')
                     for event in tf.train.summary_iterator(str(path))
                     if any(value.WhichOneof('value') == 'simple_value' for value in event.summary.value)})
    return {'losses': losses, 'image': images[-1] if images else [], 'checkpoints': saved, 'events': events}


ITEMS = {
    1: {'conv2d_relu': conv2d_relu, 'avgpool': lambda given: pool(given, 'avgpool'),
        'maxpool': lambda given: pool(given, 'maxpool')},
    2: {'_content_loss': content_loss, '_gram_matrix': gram_matrix, '_single_style_loss': single_style_loss,
        '_style_loss': style_loss, 'losses': total_loss},
    3: {'optimize': optimize},
    4: {'create_summary': create_summary},
    5: {'train': train},
}


# ---------------------------------------------------------------------------------------------------------- the process

def as_lists(x):
    """What JSON can hold."""
    if hasattr(x, 'tolist'):
        return x.tolist()
    return [as_lists(item) for item in x] if isinstance(x, (list, tuple)) else repr(x) if isinstance(x, bytes) else x


def told(error):
    """The last line of an error, and where in the student's files it came from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if os.path.basename(frame.filename) in ('style_transfer.py', 'load_vgg.py')]
    text = ' '.join(str(error).split())[:300]
    place = f' ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})' if frames else ''
    return {'error': f'{type(error).__name__}: {text}{place}', 'kind': type(error).__name__}


def main(step, folder, results):
    """Try every item of the step; an item's line is written as soon as it is done."""
    seed = int(sys.stdin.readline())
    lines = open(results, 'w', buffering=1)
    os.chdir(folder)
    sys.path.insert(0, folder)
    forbid_writing_outside(os.path.dirname(os.path.realpath(results)))
    given = inputs.of_step(step, seed)
    from engine import quiet  # before tensorflow
    import tensorflow.compat.v1 as tf
    for item, run in ITEMS[step].items():
        try:
            with tf.Graph().as_default():
                line = dumps({'item': item, 'values': {name: as_lists(x) for name, x in run(given).items()}})
        except BaseException as error:  # SystemExit too
            line = dumps({'item': item} | told(error))
        lines.write(line + '\n')


if __name__ == '__main__':
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
