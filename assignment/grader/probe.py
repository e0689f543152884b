"""Run items of students' code on given inputs, each in a separate process, and write the results without judging them.

    python -E -s probe.py

The grader copies this file into a folder with a starter and the project's other modules. The program first imports
TensorFlow, once. Then it reads pickled requests from standard input, dictionaries with the arguments of `attempt`:

- item, inputs: the item to run, a key of ITEM_FUNCTIONS, and its inputs
- folder: the folder with the student's files, the only one in which they may write
- answer: path of the file for the result as JSON, {"values": {name: list, ...}} or {"error": ..., "kind": ...}
- seconds: processor time that the item may take

For each request it prints one line that says how the item's process ended. On Linux that process is a fork, which
`sandbox` confines; on other systems it is this process itself, which then exits.
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
from json import dumps  # Import it before students' code can replace it.
from pathlib import Path

from common import vgg_layers

if __package__:
    from assignment.grader import sandbox
else:  # The file runs as a program, with these files beside it.
    import memory_trim
    import sandbox


LOSSES = 'content_loss', 'style_loss', 'total_loss'
CAN_FORK = sys.platform == 'linux'
POLL_SECONDS = 0.02
WALL_CLOCK_FACTOR = 3  # seconds of wall-clock time for each second of processor time: the machine may be busy
MAX_FILES, MAX_BYTES = 2000, 100_000_000  # limits of a student's folder; folders count as files
FOLDER = Path(__file__).resolve().parent
SIDE_PX = 16  # side of the images from which a `StyleTransfer` is made


# ------------------------------------------------------------------------------------------------------------ the items

def bare_machine(recipe=None, **attributes):
    """Return a student's `StyleTransfer` on two small images, with some attributes set.

    Args:
        recipe: a `recipes.Recipe`, by default CS20's.
        **attributes: what the steps that are not under test would set.
    """
    import recipes
    import style_transfer
    recipe = recipe or recipes.CS20
    try:  # The student's constructor may set attributes that the methods use.
        machine = style_transfer.StyleTransfer(
            FOLDER / 'content.png', FOLDER / 'style.png', SIDE_PX, SIDE_PX, recipe=recipe
        )
    except Exception:
        machine = style_transfer.StyleTransfer.__new__(style_transfer.StyleTransfer)
    for name, value in ({'recipe': recipe} | attributes).items():
        setattr(machine, name, value)
    return machine


class Features:
    """Stand-in for the VGG network: returns given feature maps.

    Attributes:
        mean_pixels: mean pixel of VGG's training images.
        maps: name of a layer -> its feature map; each map is also an attribute with the layer's name.
    """

    def __init__(self, maps: dict, mean_pixels=0.):
        self.mean_pixels = mean_pixels
        self.maps = maps
        for name, value in maps.items():
            setattr(self, name, value)

    def features(self, layers) -> list:
        """Return the maps of the named layers, in their order."""
        return [self.maps[layer] for layer in layers]


def evaluate(x):
    """Return the value of a tensor, a variable or a number as a NumPy array."""
    from common.tf1 import tf
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        return sess.run(tf.convert_to_tensor(x))


def evaluate_all(*tried) -> dict:
    """Return the values and types of a method's results.

    Args:
        *tried: the results, tensors or numbers, one for each set-up that was tried.

    Returns:
        {'tries': arrays, 'kinds': for each the name of its dtype, or 'list' or 'tuple' if it is one}.
    """
    from common.tf1 import tf
    kinds = [type(x).__name__ if isinstance(x, (list, tuple)) else tf.convert_to_tensor(x).dtype.name for x in tried]
    return {'tries': [evaluate(x) for x in tried], 'kinds': kinds}


def student_vgg(inputs: dict):
    """Return the student's VGG on the input image, before any layer is built.

    Its weights are the inputs named after layers, pairs of filters [3, 3, in, out] and biases [out].
    """
    import load_vgg
    from common.tf1 import tf
    filters = {name: inputs[name] for name in ('conv1_1', 'conv1_2') if name in inputs}
    return load_vgg.VGG(
        tf.constant(inputs['image']), load_vgg.Weights(Path('w'), filters, inputs['mean_pixels'], 'few')
    )


def variables() -> list[str]:
    """Return the names of the trainable variables of the default graph."""
    from common.tf1 import tf
    return [v.op.name for v in tf.trainable_variables()]


def conv2d_relu(inputs: dict) -> dict:
    """Step 1: return the maps of two layers after the ReLU, the map of the first before it, and the variables."""
    vgg = student_vgg(inputs)
    vgg.conv2d_relu(vgg.input_img, 0, 'conv1_1')
    vgg.conv2d_relu(vgg.input_img, 2, 'conv1_2')
    maps = {'output': evaluate(vgg.conv1_1), 'second': evaluate(vgg.conv1_2)}
    if 'conv1_1_pre' in vars(vgg):
        maps['before_relu'] = evaluate(vgg.conv1_1_pre)
    return maps | {'variables': variables()}


def pool(inputs: dict, name: str) -> dict:
    """Step 1: return the map of the pooling method `name`, avgpool or maxpool."""
    vgg = student_vgg(inputs)
    getattr(vgg, name)(vgg.input_img, name + '2')
    return {'output': evaluate(getattr(vgg, name + '2'))}


def content_loss(inputs: dict) -> dict:
    """Step 2: return the content loss of the feature maps P and F."""
    from common.tf1 import tf
    return evaluate_all(bare_machine()._content_loss(inputs['P'], tf.constant(inputs['F'])))


def gram_matrix(inputs: dict) -> dict:
    """Step 2: return the Gram matrix of the features F, [1, H, W, N], given as a tensor."""
    from common.tf1 import tf
    H, W, N = inputs['F'].shape[1:]
    return evaluate_all(bare_machine()._gram_matrix(tf.constant(inputs['F']), N, H * W))


def grams(inputs: dict, shape: tuple):
    """Return a stand-in for `_gram_matrix` that knows the Gram matrices of P and F.

    The stand-in returns an array for an array and a tensor for a tensor, and raises `ValueError` for wrong N or M.

    Args:
        inputs: features P and F, [1, H, W, N], and their Gram matrices A and G.
        shape: shape of the results, [N, N] or [1, N, N].
    """
    import numpy as np

    from common.tf1 import tf
    gram_P, gram_F = (inputs[name].reshape(shape) for name in 'AG')
    channels, positions = inputs['P'].shape[-1], inputs['P'][0, ..., 0].size

    def gram(F, N, M):
        if not (tf.is_tensor(N) or tf.is_tensor(M)) and (N, M) != (channels, positions):
            raise ValueError(f'_gram_matrix(F, N, M) is called with N = {N} and M = {M}: F has {channels} channels '
                             f'at {positions} positions')
        if not tf.is_tensor(F):
            return gram_P if np.array_equal(np.ravel(F), inputs['P'].ravel()) else gram_F
        return tf.where(tf.reduce_all(tf.equal(tf.reshape(F, [-1]), inputs['P'].ravel())), gram_P, gram_F)
    return gram


def single_style_loss(inputs: dict) -> dict:
    """Step 2: return the style loss of one layer, computed with correct Gram matrices.

    The code may expect Gram matrices of shape [N, N] or [1, N, N], so both are tried. An error counts only if both
    fail.
    """
    from common.tf1 import tf
    losses, errors = [], []
    N = inputs['P'].shape[-1]
    for shape in ((N, N), (1, N, N)):
        try:
            machine = bare_machine(_gram_matrix=grams(inputs, shape))
            losses.append(machine._single_style_loss(inputs['P'], tf.constant(inputs['F'])))
        except Exception as error:
            errors.append(error)
    if not losses:
        raise errors[0]
    return evaluate_all(*losses)


def style_loss(inputs: dict) -> dict:
    """Step 2: return the style loss, with (g - a)² in place of each layer's own loss."""
    from common.tf1 import tf
    machine = bare_machine()
    layers = machine.recipe.style_layers
    machine.vgg = Features({layer: tf.constant(float(x)) for layer, x in zip(layers, inputs['g'])})
    machine._single_style_loss = lambda a, g: tf.square(g - a)
    return evaluate_all(machine._style_loss([float(a) for a in inputs['a']]))


def total_loss(inputs: dict) -> dict:
    """Step 2: return the total loss for a given content loss and style loss."""
    import recipes
    from common.tf1 import tf
    alpha, beta, content, style = (float(x) for x in inputs['weights'])
    recipe = dataclasses.replace(recipes.CS20, content_weight=alpha, style_weight=beta)
    layers = dict.fromkeys(recipe.content_layers + recipe.style_layers, tf.constant(0.))
    machine = bare_machine(
        recipe,
        vgg=Features(layers),
        input_img=tf.zeros([1, 2, 2, 3]),
        target_features=lambda: ([0.0], [0.0] * 5),
        _content_loss=lambda P, F: tf.constant(content),
        _style_loss=lambda A: tf.constant(style),
    )
    machine.losses()
    return evaluate_all(machine.total_loss)


def _add_trainable_image(machine, inputs):
    """Give the machine an image variable, and a total loss whose minimum is the target image."""
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


def optimize(inputs: dict) -> dict:
    """Step 3: return the images before, after one and after two steps of the optimizer, and the final global step."""
    import recipes
    from common.tf1 import tf
    machine = bare_machine(dataclasses.replace(recipes.CS20, learning_rate=float(inputs['rate'])))
    _add_trainable_image(machine, inputs)
    machine.optimize()
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        sess.run(machine.assign_img, {machine.new_img: inputs['start']})
        images = [sess.run(machine.input_img)]
        for _ in range(2):
            sess.run(machine.opt)
            images.append(sess.run(machine.input_img))
        return {'images': images, 'gstep': sess.run(machine.gstep)}


def create_summary(inputs: dict) -> dict:
    """Step 4: return the scalar summaries and the picture, for given losses and a given image."""
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


def train(inputs: dict) -> dict:
    """Step 5: train a stand-in for the model without and with an interruption, with the student's `build` and `train`.

    One run goes straight to the second of `iterations`. Another one stops at the first, and is then resumed to the
    second.

    Returns:
        The last images and the losses of the straight run, the last image of the resumed run, and the iterations of
        the checkpoints and of the scalar summaries of the interrupted run. If resuming raises an error, its text is
        in 'resuming'.
    """
    first, second = inputs['iterations']
    straight = _train_stand_in(inputs, 'straight', second)
    interrupted = _train_stand_in(inputs, 'resumed', first)
    output = {'straight_image': straight['image'], 'straight_losses': straight['losses'],
              'checkpoints': interrupted['checkpoints'], 'events': interrupted['events']}
    try:  # A restored run must not use this other starting image.
        resumed = _train_stand_in(inputs | {'start': inputs['other_start']}, 'resumed', second)
    except Exception as error:
        return output | {'resuming': describe_error(error)['error']}
    return output | {'resumed_image': resumed['image']}


def _train_stand_in(inputs, name, n_iters):
    """Build and train a stand-in with the student's `build` and `train`; return its last image and what it logged.

    All other steps of the machine are replaced by correct ones, with Adam on a quadratic loss of the image.
    """
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
    machine.load_vgg = lambda: _add_trainable_image(machine, inputs)
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
        if not saved:  # Restoring can then be tested even if the code saves nothing.
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
    """Convert arrays, also in nested lists and tuples, to lists, and bytes to text, so that JSON can hold them."""
    if hasattr(x, 'tolist'):
        return x.tolist()
    return [to_lists(item) for item in x] if isinstance(x, (list, tuple)) else repr(x) if isinstance(x, bytes) else x


def describe_error(error: BaseException) -> dict[str, str]:
    """Describe an exception and where in the student's files it came from.

    Returns:
        {'error': type, text of at most 300 characters, file and line; 'kind': name of the type}.
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if os.path.basename(frame.filename) in ('style_transfer.py', 'load_vgg.py')]
    text = ' '.join(str(error).split())[:300]
    place = f' ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})' if frames else ''
    return {'error': f'{type(error).__name__}: {text}{place}', 'kind': type(error).__name__}


def preload() -> None:
    """Import what students' code imports: TensorFlow, other libraries and the project's modules."""
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
    # Use the libraries once, because they import parts of themselves only when these are needed.
    style_transfer.StyleTransfer(FOLDER / 'content.png', FOLDER / 'style.png', SIDE_PX, SIDE_PX)
    with tf.Graph().as_default():
        image = tf.get_variable('image', [1, 4, 4, 3])
        tf.summary.scalar('loss', loss := tf.reduce_mean(tf.nn.conv2d(image, tf.ones([3, 3, 3, 1]), 1, 'SAME') ** 2))
        tf.train.AdamOptimizer().minimize(loss, tf.train.get_or_create_global_step())
        tf.train.Saver()
    for name, module in list(sys.modules.items()):  # Forget the starter's modules and those that refer to them.
        if name not in ('__main__', 'memory_trim', 'sandbox') and (getattr(module, '__file__', None)
                                                                 or '').startswith(str(FOLDER)):
            del sys.modules[name]
    gc.collect()
    gc.freeze()  # Otherwise the collector would write to pages that forks share.
    memory_trim.release_pages()


def attempt(item: str, inputs: dict, folder: str, answer: str, seconds: int) -> None:
    """Confine this process, run an item in it and write its values or its error; the process must end afterwards.

    Args:
        item: a key of ITEM_FUNCTIONS.
        inputs: inputs of the item, name -> array, number or pair.
        folder: folder with the student's files, the only one in which they may write.
        answer: path of the file to which the result is written as JSON.
        seconds: processor time that the item may take.
    """
    with open(answer, 'w') as answer_file:
        devnull = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(devnull, stream)
        os.closerange(3, answer_file.fileno())
        os.closerange(answer_file.fileno() + 1, 1 << 16)
        os.chdir(folder)
        os.environ |= {'HOME': folder, 'TMPDIR': folder}
        sys.path.insert(0, folder)
        sys.dont_write_bytecode = True
        try:
            sandbox.confine(folder, [FOLDER], seconds)
            from common.tf1 import tf
            with tf.Graph().as_default():
                output = dumps({'values': {name: to_lists(x) for name, x in ITEM_FUNCTIONS[item](inputs).items()}})
        except BaseException as error:  # This includes SystemExit.
            output = dumps(describe_error(error))
        answer_file.write(output)


def run_forked(request: dict) -> str:
    """Run an item in a fork and return how the fork ended.

    Args:
        request: the arguments of `attempt`.

    Returns:
        The exit status as text (a negative number for a signal), 'late' after the time limit, 'full' if the folder is
        over its quota, or 'alone' if the grader has ended.
    """
    process = os.fork()
    if not process:
        try:
            os.setsid()
            attempt(**request)
        finally:
            os._exit(0)
    deadline, polls, reason = time.monotonic() + WALL_CLOCK_FACTOR * request['seconds'], 0, None
    while not (wait_result := os.waitpid(process, os.WNOHANG))[0]:
        polls += 1
        if select.select([0], [], [], POLL_SECONDS)[0]:  # The grader has ended, which closed our standard input.
            reason = 'alone'
        elif time.monotonic() > deadline:
            reason = 'late'
        elif not polls % 10 and is_over_quota(request['folder']):
            reason = 'full'
        if reason:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return reason
    status = os.waitstatus_to_exitcode(wait_result[1])
    return 'late' if status == -signal.SIGXCPU else str(status)


def is_over_quota(folder: str) -> bool:
    """Return whether a folder holds more than MAX_FILES files and folders or more than MAX_BYTES."""
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
        except FileNotFoundError:  # The code may remove files meanwhile.
            continue
        except OSError:  # The path is too long.
            return True
    return False


def main() -> None:
    """Preload, print 'ready' and what the sandbox lacks on this system, then serve requests until the input ends."""
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
        if (outcome := run_forked(request)) == 'alone':
            return
        print(outcome, flush=True)


if __name__ == '__main__':
    main()
