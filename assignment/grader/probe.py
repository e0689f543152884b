"""Runs items of students' code on given inputs, each in a process of its own; writes what came, judges nothing.

    python -E -s probe.py

lies in a folder with the project's other modules and a starter, with which it gets ready: it loads TensorFlow once.
Then standard input has pickled requests, {"item", "inputs", "folder", "answer", "seconds"}: the item to try on the
inputs `given`, for so many seconds of processor time; the folder with the student's files, the only one where they may
write; the file for what came, {"values": {name: list, …}} or {"error", "kind"}. By standard output comes a line for
each: how the process ended. On Linux that is a fork, confined by `sandbox`; elsewhere this process itself, which ends.
"""

import dataclasses
import gc
import os
import pickle
import select
import signal
import sys
import time
import traceback
from json import dumps  # as it is before the student's code has a say
from pathlib import Path

from common import vgg_layers

if __package__:
    from assignment.grader import sandbox
else:  # in its own process
    import memory_trim
    import sandbox


LOSSES = 'content_loss', 'style_loss', 'total_loss'
CAN_FORK = sys.platform == 'linux'
POLL_SECONDS = 0.02  # seconds between looks at a process
WALL_CLOCK_FACTOR = 3  # seconds that may go by for each of processor time: others work here too
MAX_FILES, MAX_BYTES = 2000, 100_000_000  # in the student's folder
FOLDER = Path(__file__).resolve().parent
SIDE_PX = 16  # pixels, of the images that a `StyleTransfer` is made of


# ------------------------------------------------------------------------------------------------------------ the items

def bare_machine(recipe=None, **attributes):
    """A `StyleTransfer` on two small images; what the other steps would give it are `attributes`."""
    import recipes
    import style_transfer
    recipe = recipe or recipes.CS20
    try:  # whatever else the student's own constructor sets
        machine = style_transfer.StyleTransfer(
            FOLDER / 'content.png', FOLDER / 'style.png', SIDE_PX, SIDE_PX, recipe=recipe
        )
    except Exception:
        machine = style_transfer.StyleTransfer.__new__(style_transfer.StyleTransfer)
    for name, value in ({'recipe': recipe} | attributes).items():
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


def evaluate(x):
    """A tensor, a variable or a number as an array."""
    from common.tf1 import tf
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        return sess.run(tf.convert_to_tensor(x))


def evaluate_all(*tried):
    """Their values, and of what type they are: the results of a method, tried in one way or in several."""
    from common.tf1 import tf
    kinds = [type(x).__name__ if isinstance(x, (list, tuple)) else tf.convert_to_tensor(x).dtype.name for x in tried]
    return {'tries': [evaluate(x) for x in tried], 'kinds': kinds}


def student_vgg(inputs):
    """The student's VGG on the given image, not loaded."""
    import load_vgg
    from common.tf1 import tf
    filters = {name: inputs[name] for name in ('conv1_1', 'conv1_2') if name in inputs}
    return load_vgg.VGG(
        tf.constant(inputs['image']), load_vgg.Weights(Path('w'), filters, inputs['mean_pixels'], 'few')
    )


def variables():
    """The names of what an optimizer would change."""
    from common.tf1 import tf
    return [v.op.name for v in tf.trainable_variables()]


def conv2d_relu(inputs):
    """The maps of two layers after the ReLU, that of the first before it, and what is trainable."""
    vgg = student_vgg(inputs)
    vgg.conv2d_relu(vgg.input_img, 0, 'conv1_1')
    vgg.conv2d_relu(vgg.input_img, 2, 'conv1_2')
    maps = {'output': evaluate(vgg.conv1_1), 'second': evaluate(vgg.conv1_2)}
    if 'conv1_1_pre' in vars(vgg):
        maps['before_relu'] = evaluate(vgg.conv1_1_pre)
    return maps | {'variables': variables()}


def pool(inputs, name):
    """The map of avgpool or maxpool."""
    vgg = student_vgg(inputs)
    getattr(vgg, name)(vgg.input_img, name + '2')
    return {'output': evaluate(getattr(vgg, name + '2'))}


def content_loss(inputs):
    """The loss of two maps."""
    from common.tf1 import tf
    return evaluate_all(bare_machine()._content_loss(inputs['P'], tf.constant(inputs['F'])))


def gram_matrix(inputs):
    """Of a tensor."""
    from common.tf1 import tf
    H, W, N = inputs['F'].shape[1:]
    return evaluate_all(bare_machine()._gram_matrix(tf.constant(inputs['F']), N, H * W))


def grams(inputs, shape):
    """Stands in for `_gram_matrix`: gives the Gram matrices of P and F, arrays of arrays and tensors of tensors."""
    import numpy as np

    from common.tf1 import tf
    of_P, of_F = (inputs[name].reshape(shape) for name in 'AG')
    channels, positions = inputs['P'].shape[-1], inputs['P'][0, ..., 0].size

    def gram(F, N, M):
        if not (tf.is_tensor(N) or tf.is_tensor(M)) and (N, M) != (channels, positions):
            raise ValueError(f'_gram_matrix(F, N, M) is called with N = {N} and M = {M}: F has {channels} channels '
                             f'at {positions} positions')
        if not tf.is_tensor(F):
            return of_P if np.array_equal(np.ravel(F), inputs['P'].ravel()) else of_F
        return tf.where(tf.reduce_all(tf.equal(tf.reshape(F, [-1]), inputs['P'].ravel())), of_P, of_F)
    return gram


def single_style_loss(inputs):
    """The loss of two maps, over Gram matrices that are right, of shape [N, N] and [1, N, N]: both will do."""
    from common.tf1 import tf
    tried, errors = [], []
    N = inputs['P'].shape[-1]
    for shape in ((N, N), (1, N, N)):
        try:
            machine = bare_machine(_gram_matrix=grams(inputs, shape))
            tried.append(machine._single_style_loss(inputs['P'], tf.constant(inputs['F'])))
        except Exception as error:
            errors.append(error)
    if not tried:
        raise errors[0]
    return evaluate_all(*tried)


def style_loss(inputs):
    """The sum over layers whose losses are right."""
    from common.tf1 import tf
    machine = bare_machine()
    layers = machine.recipe.style_layers
    machine.vgg = Features({layer: tf.constant(float(x)) for layer, x in zip(layers, inputs['g'])})
    machine._single_style_loss = lambda a, g: tf.square(g - a)
    return evaluate_all(machine._style_loss([float(a) for a in inputs['a']]))


def total_loss(inputs):
    """The sum of losses that are given."""
    import recipes
    from common.tf1 import tf
    alpha, beta, content, style = (float(x) for x in inputs['weights'])
    recipe = dataclasses.replace(recipes.CS20, content_weight=alpha, style_weight=beta)
    layers = dict.fromkeys(recipe.content_layers + recipe.style_layers, tf.constant(0.))
    machine = bare_machine(recipe, vgg=Features(layers), input_img=tf.zeros([1, 2, 2, 3]), targets=([0.], [0.] * 5),
                   _content_loss=lambda P, F: tf.constant(content), _style_loss=lambda A: tf.constant(style))
    machine.losses()
    return evaluate_all(machine.total_loss)


def _trainable(machine, inputs):
    """Give the machine a variable, and losses that are lowest where it is the given target."""
    from common.tf1 import tf
    start, target = inputs['start'], inputs['target']
    with tf.variable_scope('input'):
        machine.input_img = tf.get_variable('in_img', initializer=tf.zeros(start.shape))
        machine.new_img = tf.placeholder(tf.float32, start.shape)
        machine.assign_img = machine.input_img.assign(machine.new_img)
        machine.gstep = tf.train.get_or_create_global_step()
    machine.displayed_img, machine.centered_start = machine.input_img, start
    machine.style_loss = tf.reduce_sum(tf.square(machine.input_img - target))
    machine.content_loss = tf.reduce_sum(tf.square(machine.input_img + target + 100))
    machine.total_loss = machine.style_loss + 0 * machine.content_loss
    machine.loss_terms = {name: getattr(machine, name) for name in LOSSES}


def optimize(inputs):
    """The images before and after two steps, and the global step."""
    import recipes
    from common.tf1 import tf
    machine = bare_machine(dataclasses.replace(recipes.CS20, learning_rate=float(inputs['rate'])))
    _trainable(machine, inputs)
    machine.optimize()
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        sess.run(machine.assign_img, {machine.new_img: inputs['start']})
        images = [sess.run(machine.input_img)]
        for _ in range(2):
            sess.run(machine.opt)
            images.append(sess.run(machine.input_img))
        return {'images': images, 'gstep': sess.run(machine.gstep)}


def create_summary(inputs):
    """The scalars and the picture, of losses and an image that are given."""
    from common.tf1 import tf
    losses = {name: tf.constant(float(loss)) for name, loss in zip(LOSSES, inputs['losses'])}
    image = tf.constant(inputs['centered'])
    machine = bare_machine(
        vgg=Features({}, inputs['mean_pixels'].reshape(1, 1, 1, 3)),
        input_img=image,
        displayed_img=image,
        loss_terms=losses,
        **losses,
    )
    machine.create_summary()
    with tf.Session() as sess:
        summary = tf.Summary.FromString(sess.run(machine.summary_op))
        picture = sess.run(machine.picture)
    scalars = [[entry.tag, entry.simple_value] for entry in summary.value
               if entry.WhichOneof('value') == 'simple_value']
    return {'scalars': scalars, 'picture': picture, 'dtype': str(picture.dtype)}


def train(inputs):
    """Train a stand-in straight to the last of `iterations`, another to the first and, resumed, to the last."""
    first, second = inputs['iterations']
    straight = _training(inputs, 'straight', second)
    begun = _training(inputs, 'resumed', first)
    output = {'straight_image': straight['image'], 'straight_losses': straight['losses'],
            'checkpoints': begun['checkpoints'], 'events': begun['events']}
    try:  # from another starting image, which a run that is restored does not look at
        again = _training(inputs | {'start': inputs['other_start']}, 'resumed', second)
    except Exception as error:
        return output | {'resuming': describe_error(error)['error']}
    return output | {'resumed_image': again['image']}


def _training(inputs, name, n_iters):
    """Build and train a stand-in with the student's `build` and `train`; say what it left."""
    import recipes
    from common.tf1 import tf
    from engine.run import runs, session
    recipe = dataclasses.replace(recipes.CS20, log_schedule=((float('inf'), inputs['log_schedule']),))
    run = runs.Run(name, {'seed': 0})
    machine = bare_machine(
        recipe,
        graph=tf.Graph(),
        config=session.session_config('float32'),
        run=run,
        checkpoint_every=5,
        style_paths=(),
        img_width=inputs['start'].shape[2],
        img_height=inputs['start'].shape[1],
    )
    images, saved, savers = [], [], []
    machine.create_input = lambda: None
    machine.load_vgg = lambda: _trainable(machine, inputs)
    machine.losses = lambda: None

    def optimize():
        machine.opt = tf.train.AdamOptimizer(2.).minimize(machine.total_loss, global_step=machine.gstep)

    def create_summary():
        for loss in LOSSES:
            tf.summary.scalar(loss, getattr(machine, loss))
        machine.summary_op = tf.summary.merge_all()
        machine.picture = tf.saturate_cast(machine.input_img[0], tf.uint8)
        machine.jpeg = tf.io.encode_jpeg(machine.picture)
        savers.append(tf.train.Saver())
    machine.optimize, machine.create_summary = optimize, create_summary

    def write_results(sess):
        images.append(sess.run(machine.input_img))
        saved.extend(sorted(int(path.stem.rpartition('-')[2]) for path in run.checkpoints.glob('*-*.index')))
        if not saved:  # what is restored does not depend on what is saved
            run.save(savers[0], sess, n_iters, run.history[-1])
    machine.write_results = write_results
    machine.build()
    machine.train(n_iters)
    losses = [float(row['total_loss']) for row in run.history]
    events = sorted({event.step for path in run.graphs.glob('events.*')
                     for event in tf.train.summary_iterator(str(path))
                     if any(value.WhichOneof('value') == 'simple_value' for value in event.summary.value)})
    return {'losses': losses, 'image': images[-1] if images else [], 'checkpoints': saved, 'events': events}


ITEM_FUNCTIONS = {
    'conv2d_relu': conv2d_relu, 'avgpool': lambda inputs: pool(inputs, 'avgpool'),
    'maxpool': lambda inputs: pool(inputs, 'maxpool'), '_content_loss': content_loss, '_gram_matrix': gram_matrix,
    '_single_style_loss': single_style_loss, '_style_loss': style_loss, 'losses': total_loss, 'optimize': optimize,
    'create_summary': create_summary, 'train': train,
}


# ---------------------------------------------------------------------------------------------------------- the process

def to_lists(x):
    """What JSON can hold."""
    if hasattr(x, 'tolist'):
        return x.tolist()
    return [to_lists(item) for item in x] if isinstance(x, (list, tuple)) else repr(x) if isinstance(x, bytes) else x


def describe_error(error):
    """The last line of an error, and where in the student's files it came from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if os.path.basename(frame.filename) in ('style_transfer.py', 'load_vgg.py')]
    text = ' '.join(str(error).split())[:300]
    place = f' ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})' if frames else ''
    return {'error': f'{type(error).__name__}: {text}{place}', 'kind': type(error).__name__}


def preload():
    """Load what students' code loads, all but that code: TensorFlow, its other libraries, the project's own."""
    memory_trim.load_libraries()
    import numpy as np

    import load_vgg
    import style_transfer
    import utils
    from common.tf1 import tf
    for name in ('content', 'style'):
        utils.save_image(FOLDER / f'{name}.png', np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8))
    filters = {name: (np.zeros((3, 3, 1 if i else 3, 1), np.float32), np.zeros(1, np.float32))
               for i, name in enumerate(vgg_layers.CONVOLUTIONS)}
    load_vgg.write_weights(
        load_vgg.WEIGHTS_SEARCH_PATHS[-1], load_vgg.Weights(Path('w'), filters, np.zeros(3), 'one channel')
    )
    # what libraries put off until it is used
    style_transfer.StyleTransfer(FOLDER / 'content.png', FOLDER / 'style.png', SIDE_PX, SIDE_PX)
    with tf.Graph().as_default():
        image = tf.get_variable('image', [1, 4, 4, 3])
        tf.summary.scalar('loss', loss := tf.reduce_mean(tf.nn.conv2d(image, tf.ones([3, 3, 3, 1]), 1, 'SAME') ** 2))
        tf.train.AdamOptimizer().minimize(loss, tf.train.get_or_create_global_step())
        tf.train.Saver()
    for name, module in list(sys.modules.items()):  # the starter's, and all that could hold on to it
        if name not in ('__main__', 'memory_trim', 'sandbox') and (getattr(module, '__file__', None)
                                                                 or '').startswith(str(FOLDER)):
            del sys.modules[name]
    gc.collect()
    gc.freeze()  # forks share what nobody touches
    memory_trim.release_pages()


def attempt(item, inputs, folder, answer, seconds):
    """Try an item and write what came, in a process that ends afterwards."""
    with open(answer, 'w') as line:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nowhere, stream)
        os.closerange(3, line.fileno())
        os.closerange(line.fileno() + 1, 1 << 16)
        os.chdir(folder)
        os.environ |= {'HOME': folder, 'TMPDIR': folder}
        sys.path.insert(0, folder)
        sys.dont_write_bytecode = True
        try:
            sandbox.confine(folder, [FOLDER], seconds)
            from common.tf1 import tf
            with tf.Graph().as_default():
                output = dumps({'values': {name: to_lists(x) for name, x in ITEM_FUNCTIONS[item](inputs).items()}})
        except BaseException as error:  # SystemExit too
            output = dumps(describe_error(error))
        line.write(output)


def run_forked(request):
    """Try an item in a fork; return in a word how it ended: its status, 'late' or 'full'."""
    process = os.fork()
    if not process:
        try:
            os.setsid()
            attempt(**request)
        finally:
            os._exit(0)
    deadline, looks, ended = time.monotonic() + WALL_CLOCK_FACTOR * request['seconds'], 0, None
    while not (done := os.waitpid(process, os.WNOHANG))[0]:
        looks += 1
        if select.select([0], [], [], POLL_SECONDS)[0]:  # the grader is gone
            ended = 'alone'
        elif time.monotonic() > deadline:
            ended = 'late'
        elif not looks % 10 and is_over_quota(request['folder']):
            ended = 'full'
        if ended:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return ended
    status = os.waitstatus_to_exitcode(done[1])
    return 'late' if status == -signal.SIGXCPU else str(status)


def is_over_quota(folder):
    """Whether a folder has more than MAX_FILES or MAX_BYTES."""
    files, size, folders = 0, 0, [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    files += 1
                    size += entry.stat(follow_symlinks=False).st_size
                    if files > MAX_FILES or size > MAX_BYTES:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except FileNotFoundError:  # files come and go
            continue
        except OSError:  # a path that is too long
            return True
    return False


def main():
    """Get ready, say so with what the sandbox lacks here, and serve requests."""
    preload()
    print('ready', sandbox.missing_protection(), flush=True)
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        if not CAN_FORK:
            attempt(**request)
            os._exit(0)
        if (ended := run_forked(request)) == 'alone':
            return
        print(ended, flush=True)


if __name__ == '__main__':
    main()
