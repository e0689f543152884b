"""Distil a VGG-19 of fewer channels from wider ones; this made weights/vgg19-thin.mat.

    python distill_vgg.py --teacher vgg.mat --images photos paintings --out weights/vgg19-thin.mat

The student learns the teacher's features at the layers that style transfer looks at, each through a linear map to the
teacher's width that is thrown away after (Wang et al., Collaborative Distillation, CVPR 2020).
"""

import concurrent.futures
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

import utils
import tensorflow.compat.v1 as tf

import figures
import load_vgg
import runs
import training_images

# The style layers, the content layer, and the last layer, for those before it, where a teacher has it: weights in the loss
TAPS = {'conv1_1': 1., 'conv2_1': 1., 'conv3_1': 1., 'conv4_1': 1., 'conv4_2': 0.5, 'conv5_1': 1.2, 'conv5_4': 0.5}
OPTIONAL = 'conv5_4'
WIDTHS = {1: 64, 2: 128, 3: 256, 4: 512, 5: 512}

# Larger crops later: conv5_1 sees 100 pixels, and the zero padding weighs less. (up to this share, crops, side)
STAGES = ((0.3, 16, 64), (0.7, 8, 96), (1.0, 4, 144))
LEARNING_RATES = (3e-3, 2e-5)  # from, to, by a cosine
FLOAT32_FROM = 0.9  # share of the steps after which bfloat16 is no longer exact enough to gain by
FROZEN_FROM = 0.7  # share of the steps after which the BatchNorms no longer follow each batch
CALIBRATION = 200  # batches whose statistics they then keep
RARE = 0.02  # a channel that is active at a smaller share of positions is brought back then
CHECKPOINT_EVERY = 500
# Mean activation on photos of every layer of the written file: with them the recipe's weights balance. At 4.5 in conv1_1
# too, colours came out pale: the true VGG's Gram matrices of conv1_1 were up to 2.7 times as far from the style's.
MEAN_ACTIVATIONS = dict.fromkeys(load_vgg.CONVOLUTIONS, 4.5) | {'conv1_1': 13.5}
EPSILON = 1e-3  # of the BatchNorms
FRACTIONS = {0.125: 'eighth', 0.25: 'quarter', 0.5: 'half'}
SCALES = (1, 2, 3)  # every image is kept at 1, 1/2 and 1/3 of its size
LONGEST_SIDE = 1400


class Crops:
    """Random crops of every readable image below some folders, at three scales, held in memory as uint8.

    excluded: paths of images to leave out, wherever else a copy of them lies
    Raises `utils.UserError` for a folder that is none, and where no image is large enough to crop.
    """

    def __init__(self, folders, excluded, side):
        """side: of the largest crop; smaller images are left out."""
        files = training_images.files(folders, excluded)
        self.hash = training_images.digest(files)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            read = list(tqdm(pool.map(_scaled, files.values()), total=len(files), desc='reading', disable=None))
        self.skipped = read.count(None)
        read = ([image for image in images or () if min(image.shape[:2]) >= side] for images in read)
        self.images = [images for images in read if images]
        if not self.images:
            raise utils.UserError(f'{", ".join(map(str, folders))}: no image of {side} pixels or more on both sides')
        sizes = np.sqrt([np.prod(images[0].shape[:2]) for images in self.images])  # a wallpaper has more to show than an icon
        self.shares = sizes / sizes.sum()

    def batch(self, seed, step, n, side):
        """Crops of step `step`: float32 [n, side, side, 3], RGB 0-255; the same ones whenever they are asked for."""
        rng = np.random.default_rng((seed, step))
        return np.stack([self._jitter(self._crop(rng, side), rng) for _ in range(n)])

    def _crop(self, rng, side):
        images = self.images[rng.choice(len(self.images), p=self.shares)]
        image = images[rng.integers(len(images))]
        y, x = (rng.integers(length - side + 1) for length in image.shape[:2])
        return np.float32(image[y:y + side, x:x + side])

    def _jitter(self, crop, rng):
        """Mirror, permute the channels, invert, change contrast and brightness, each now and then."""
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        if rng.random() < 0.25:
            crop = crop[:, :, rng.permutation(3)]
        if rng.random() < 0.08:
            crop = 255 - crop
        if rng.random() < 0.5:
            crop = (crop - 128) * rng.uniform(0.7, 1.3) + 128 + rng.uniform(-25, 25)
        return np.clip(crop, 0, 255)


def _scaled(path):
    """The image at `path` at SCALES, uint8; None if it is no readable image."""
    try:
        image = utils.read_image(path)
    except utils.UserError:
        return None
    shrink = max(1, max(image.shape[:2]) / LONGEST_SIDE)
    sizes = [tuple(int(length / shrink / scale) for length in image.shape[:2]) for scale in SCALES]
    return [utils.to_uint8(utils.fit(image, width, height)) for height, width in sizes if min(height, width) > 0]


class Distillation:
    """A student of VGG-19's shape, learning in a graph of its own.

    teachers: `load_vgg.Weights`, for each layer of TAPS the first that has it counts
    width: of the student, where VGG-19 is 1; steps: the length of the training, which sets its learning rate
    """

    def __init__(self, teachers, width, steps):
        self.steps = steps
        self.mean_pixels = teachers[0].mean_pixels
        self.channels = {block: max(1, round(width * full)) for block, full in WIDTHS.items()}
        self.convolutions, self.embeddings = {}, {}  # layer -> variables
        self.statistics, self.activity = [], []  # (variable, its value in the batch); share of active positions a channel
        self.graph = tf.Graph()
        with self.graph.as_default(), tf.variable_scope('', reuse=tf.AUTO_REUSE):
            self.crops = tf.placeholder(tf.float32, [None, None, None, 3], name='crops')
            centred = self.crops - self.mean_pixels
            targets = {tap: tf.stop_gradient(target) for tap, target in teacher_features(centred, teachers).items()}
            self.taps = list(targets)
            self.residuals = [self._residuals(self._student(centred, frozen), targets) for frozen in (False, True)]
            self._optimize()
            self.init = tf.global_variables_initializer()
            self.saver = tf.train.Saver(max_to_keep=2)
        self.graph.finalize()

    def _student(self, prev_layer, frozen):
        """The features of every convolution; average pooling and zero padding, as the CS20 recipe has them."""
        features = {}
        for i, name in enumerate(load_vgg.LAYERS[:load_vgg.LAYERS.index(self.taps[-1]) + 1]):
            if name.startswith('conv'):
                with tf.variable_scope(f'student/{name}'):
                    prev_layer = features[name] = self._convolution(prev_layer, name, frozen, seed=i)
            elif name.startswith('pool'):
                prev_layer = tf.nn.avg_pool2d(prev_layer, 2, 2, 'SAME')
        return features

    def _convolution(self, prev_layer, name, frozen, seed):
        """Convolution, BatchNorm, ReLU: plain convolutions do not learn the deep layers.

        Once frozen, the statistics are constants that the written filters will have in them, instead of each batch's.
        """
        n_in, n_out = prev_layer.shape[-1], self.channels[int(name[4])]
        W = tf.get_variable('W', [3, 3, n_in, n_out], initializer=he_normal(seed))
        gamma = tf.get_variable('gamma', [n_out], initializer=tf.ones_initializer())
        beta = tf.get_variable('beta', [n_out], initializer=tf.constant_initializer(0.2))
        mean = tf.get_variable('mean', [n_out], initializer=tf.zeros_initializer(), trainable=False)
        variance = tf.get_variable('variance', [n_out], initializer=tf.ones_initializer(), trainable=False)
        self.convolutions[name] = W, gamma, beta, mean, variance
        conv2d = tf.nn.conv2d(prev_layer, W, 1, 'SAME')
        if frozen:
            return tf.nn.relu(tf.nn.batch_normalization(conv2d, mean, variance, beta, gamma, EPSILON))
        normalised, *of_batch = tf.nn.fused_batch_norm(conv2d, gamma, beta, epsilon=EPSILON, is_training=True)
        self.statistics += zip((mean, variance), of_batch)
        self.activity.append(tf.reduce_mean(tf.cast(normalised > 0, tf.float32), axis=[0, 1, 2]))
        return tf.nn.relu(normalised)

    def _residuals(self, features, targets):
        """The residual of every tap, [taps], each through a linear map from the student's channels to the teacher's."""
        for tap, target in targets.items():
            shape = [1, 1, features[tap].shape[-1], target.shape[-1]]
            with tf.variable_scope(f'embeddings/{tap}'):
                self.embeddings[tap] = (tf.get_variable('W', shape, initializer=he_normal(seed=7)),
                                        tf.get_variable('b', shape[-1:], initializer=tf.zeros_initializer()))
        return tf.stack([residual(features[tap], self.embeddings[tap], target) for tap, target in targets.items()])

    def _optimize(self):
        """Adam on the weighted residuals, its rate falling by a cosine after a short rise."""
        gstep = tf.train.get_or_create_global_step()
        step, (first, last) = tf.cast(gstep, tf.float32), LEARNING_RATES
        cosine = (1 + tf.cos(np.pi * tf.minimum(1., step / self.steps))) / 2
        rate = (last + (first - last) * cosine) * tf.minimum(1., 0.05 + step / 200)
        optimizer = tf.train.AdamOptimizer(rate, beta2=0.99)
        weights = tf.constant([TAPS[tap] for tap in self.taps])
        self.opt = [optimizer.minimize(tf.tensordot(weights, residuals, 1), global_step=gstep)
                    for residuals in self.residuals]

    def train(self, run, crops, seed, precision):
        """Train to the end, from the newest checkpoint of `run`; return whether the end was reached (not on Ctrl-C)."""
        parts = [('float32', self.steps)]
        if precision == 'bfloat16':
            parts.insert(0, ('bfloat16', int(FLOAT32_FROM * self.steps)))
        with runs.StopSignal() as stop:
            return all(self._train_part(run, crops, seed, precision, end, stop) for precision, end in parts)

    def _train_part(self, run, crops, seed, precision, end, stop):
        """Train up to step `end` in one precision; return whether it was reached."""
        config = runs.session_config(precision)
        with tf.Session(graph=self.graph, config=config) as sess, concurrent.futures.ThreadPoolExecutor(1) as reader:
            step = run.restore(self.saver, sess)
            if not step:
                sess.run(self.init)
            freezes = int(FROZEN_FROM * self.steps)
            batch = reader.submit(self._batch, crops, seed, step)
            for step in tqdm(range(step + 1, end + 1), initial=step, total=end, unit='step', disable=None):
                if step == freezes + 1:
                    self._freeze(sess, crops, seed, freezes)
                now, batch = batch.result(), reader.submit(self._batch, crops, seed, step)
                residuals, _ = sess.run([part[step > freezes] for part in (self.residuals, self.opt)], {self.crops: now})
                run.history.append(run.finite(residuals, step - 1))
                last = step == end or stop.requested
                if last or step % CHECKPOINT_EVERY == 0:
                    run.save(self.saver, sess, step, residuals)
                if last:
                    break
        return step >= end

    def _freeze(self, sess, crops, seed, step):
        """Keep the mean statistics of the batches up to `step`, after bringing back channels that these hardly activate."""
        batches = [{self.crops: self._batch(crops, seed, past)} for past in range(step)[-CALIBRATION:]]

        def mean(tensors):
            return [np.mean(values, axis=0) for values in zip(*(sess.run(tensors, batch) for batch in batches))]
        self._revive(sess, mean(self.activity))
        variables, now = zip(*self.statistics)
        for variable, value in zip(variables, mean(now)):
            variable.load(value, sess)

    def _revive(self, sess, activity):
        """Let channels that are hardly ever active be so half of the time, with no say in the next layer to begin with."""
        layers = list(self.convolutions.values())
        for (_, gamma, beta, *_), after, active in zip(layers, [*layers[1:], None], activity):
            rare = active < RARE
            gamma.load(np.where(rare, 1, sess.run(gamma)), sess)
            beta.load(np.where(rare, 0, sess.run(beta)), sess)
            if after:
                W = sess.run(after[0])
                W[:, :, rare] = 0
                after[0].load(W, sess)

    def _batch(self, crops, seed, step):
        n, side = next(((n, side) for share, n, side in STAGES if step < share * self.steps), STAGES[-1][1:])
        return crops.batch(seed, step, n, side)

    def export(self, run):
        """The trained student as `load_vgg.Weights` with its embeddings; BatchNorm is folded into filters and biases."""
        with tf.Session(graph=self.graph) as sess:
            run.restore(self.saver, sess)
            convolutions, embeddings = sess.run([self.convolutions, self.embeddings])
        folded = {}
        for name, (W, gamma, beta, mean, variance) in convolutions.items():
            factor = gamma / np.sqrt(variance + EPSILON)
            folded[name] = W * factor, beta - mean * factor
        return load_vgg.Weights(Path('student'), folded, self.mean_pixels, '', embeddings)


def he_normal(seed):
    """He's initialisation: deviation √(2 / inputs)."""
    return tf.variance_scaling_initializer(2., mode='fan_in', distribution='truncated_normal', seed=seed)


def teacher_features(centred, teachers):
    """The features to reproduce, layer of TAPS -> [B, H, W, C]; max pooling, as VGG-19 was trained.

    Raises `utils.UserError` for a layer that no teacher has, unless it is OPTIONAL.
    """
    networks, features = [], {}
    for i, weights in enumerate(teachers):
        with tf.variable_scope(f'teacher{i}'):
            networks.append(load_vgg.VGG(centred, weights, pooling='max'))
            networks[-1].load()
    for tap in TAPS:
        vgg = next((vgg for vgg in networks if tap in vgg.weights.convolutions), None)
        if vgg:
            features[tap] = embedded(getattr(vgg, tap), vgg.weights.embeddings.get(tap))
        elif tap != OPTIONAL:
            raise utils.UserError(f'--teacher: none of {", ".join(str(w.path) for w in teachers)} has {tap}')
    return features


def embedded(features, embedding):
    """relu(1×1 convolution) of features [B, H, W, in] -> [B, H, W, out]; the features themselves without an embedding."""
    if embedding is None:
        return features
    W, b = embedding
    return tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(features, W, 1, 'SAME'), b))


def residual(features, embedding, target):
    """The mean square of what the embedded features lack of `target`, over the target's variance around channel means."""
    variance = tf.reduce_mean(tf.square(target - tf.reduce_mean(target, axis=[0, 1, 2])))
    return tf.reduce_mean(tf.square(embedded(features, embedding) - target)) / variance


def held_out_residuals(student, teachers, photos):
    """The residual of every tap on whole photos [1, H, W, 3], RGB 0-255: array [photos, taps]."""
    with tf.Graph().as_default(), tf.Session() as sess:
        photo = tf.placeholder(tf.float32, [1, None, None, 3])
        targets = teacher_features(photo - student.mean_pixels, teachers)
        vgg = load_vgg.VGG(photo - student.mean_pixels, student)
        vgg.load()
        residuals = [residual(getattr(vgg, tap), student.embeddings[tap], target) for tap, target in targets.items()]
        return np.array([sess.run(residuals, {photo: image}) for image in photos])


def with_untrained_layers(student, seed):
    """`student` with He-random filters, seeded, for the layers of VGG-19 after the last one that was trained.

    Each filter's mean is taken out: on features that are never negative it would leave many channels dead.
    """
    rng = np.random.default_rng(seed)
    convolutions = dict(student.convolutions)
    n = list(convolutions.values())[-1][1].size
    for name in load_vgg.CONVOLUTIONS[len(convolutions):]:
        W = rng.normal(0, np.sqrt(2 / (9 * n)), (3, 3, n, n))
        convolutions[name] = np.float32(W - W.mean(axis=(0, 1, 2))), np.zeros(n, np.float32)
    return student._replace(convolutions=convolutions)


def scaled(weights, photos, mean_activations, pooling):
    """`weights` with the given mean activation, layer -> number, on `photos`, [B, H, W, 3]; else the same network."""
    with tf.Graph().as_default(), tf.Session() as sess:
        vgg = load_vgg.VGG(tf.constant(photos - weights.mean_pixels), weights, pooling)
        vgg.load()
        means = sess.run([tf.reduce_mean(getattr(vgg, name)) for name in weights.convolutions])
    convolutions, embeddings, before = {}, {}, 1.
    for (name, (W, b)), mean in zip(weights.convolutions.items(), means):
        factor = mean_activations[name] / mean
        convolutions[name] = np.float32(W * factor / before), np.float32(b * factor)
        if name in weights.embeddings:
            W, b = weights.embeddings[name]
            embeddings[name] = np.float32(W / factor), b
        before = factor
    return weights._replace(convolutions=convolutions, embeddings=embeddings)


def table(residuals, taps, photos):
    """The residuals [photos, taps] as lines of text, a column a layer, with their mean."""
    rows = [('residual / variance', *taps)]
    rows += [(Path(photo).name, *(f'{x:.3f}' for x in row)) for photo, row in zip(photos, residuals)]
    rows += [('mean', *(f'{x:.3f}' for x in residuals.mean(axis=0)))]
    return '\n'.join(f'{row[0]:20}' + ''.join(f'{cell:>9}' for cell in row[1:]) for row in rows)


def _flags(argv):
    parser = utils.Parser(description=__doc__.split('\n')[0])
    parser.add_argument('--teacher', type=Path, action='append', required=True, metavar='FILE',
                        help='weights to learn from, in MatConvNet\'s layout; for each layer the first that has it counts')
    parser.add_argument('--images', type=Path, nargs='+', required=True, metavar='DIR', help='folders of images to learn on')
    parser.add_argument('--held-out', type=Path, nargs='+', metavar='IMAGE', default=training_images.HELD_OUT,
                        help='photos to measure on, left out of the training (default: chelsea.png, coffee.png)')
    parser.add_argument('--width', type=float, default=0.25, choices=FRACTIONS,
                        help='share of VGG-19\'s channels (default: %(default)s)')
    parser.add_argument('--steps', type=utils.whole_number(10, 10**7), default=36000, metavar='N',
                        help='length of the training, 10 to 10000000 (default: %(default)s)')
    parser.add_argument('--seed', type=utils.whole_number(0, 2**31 - 1), default=0, metavar='N',
                        help='of the crops, 0 to 2147483647 (default: %(default)s)')
    parser.add_argument('--precision', choices=('float32', 'bfloat16'), default='float32',
                        help='bfloat16 is faster on processors that have it; the last tenth is float32 (default: %(default)s)')
    parser.add_argument('--name', default='distill', help='of the run\'s folders (default: %(default)s)')
    parser.add_argument('--restart', action='store_true', help='begin the run again instead of resuming it')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE', help='the weights to write')
    return parser.parse_args(argv)


@utils.command_line
def main(argv=None):
    """Distil as the flags say; return the exit status."""
    args = _flags(argv)
    teachers = [load_vgg.read_weights(load_vgg.find_weights(path)) for path in args.teacher]
    photos = [utils.get_resized_image(path, 256, 192) for path in args.held_out]
    side = max(side for _, _, side in STAGES)
    crops = Crops(args.images, args.held_out, side)
    print(f'{len(crops.images)} images, {crops.skipped} files skipped')
    sample = crops.batch(args.seed, 2 * args.steps, 16, side)
    ones = dict.fromkeys(load_vgg.CONVOLUTIONS, 1)  # else the linear maps grow for ever
    teachers = [scaled(weights, sample, ones, 'max') for weights in teachers]
    distillation = Distillation(teachers, args.width, args.steps)
    identity = dict(teachers=[utils.file_hash(path) for path in args.teacher], images=crops.hash, width=args.width,
                    steps=args.steps, seed=args.seed, precision=args.precision)
    with runs.Run(args.name, identity, distillation.taps).claimed(args.restart) as run:
        if not distillation.train(run, crops, args.seed, args.precision):
            print('stopped; the same command goes on from there')
            return 130
        student = distillation.export(run)
        figures.loss_curves(run.outputs / 'residuals.png', distillation.taps, run.history)
    print(table(held_out_residuals(student, teachers, photos), distillation.taps, args.held_out))
    student = scaled(with_untrained_layers(student, args.seed), sample, MEAN_ACTIVATIONS, 'avg')
    description = f'distilled {FRACTIONS[args.width]}-width VGG-19'
    if distillation.taps[-1] != OPTIONAL:
        description += f', trained to {distillation.taps[-1]}, random after'
    load_vgg.write_weights(args.out, student._replace(description=description, embeddings={}))
    print(f'{args.out}: {description}')


if __name__ == '__main__':
    sys.exit(main())
