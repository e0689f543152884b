"""Fast style transfer: a network is trained once for a style, then stylises any photo in one pass.

    python fast_style_transfer.py train --style painting.jpg --images PHOTOS --name painting
    python fast_style_transfer.py stylize photo.jpg --model starry_night

Johnson, Alahi and Fei-Fei (2016): the losses are those of `style_transfer.py`, but what is trained is a network, over many
photos, instead of the pixels of one picture.
"""

import argparse
import contextlib
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import utils
import tensorflow.compat.v1 as tf

import load_vgg
import recipes
import runs
import saved_models
import style_transfer
import training_images
import transform_net

SIDE, BATCH, NETWORK, BASE = 256, 4, 'half', 16
OF_PIXELS = ('init', 'noise_ratio', 'noise_amplitude', 'optimizer')  # settings that mean nothing for a network
DECAY = 0.995  # of the moving averages of the network's parameters
MARGIN_STEP, MARGIN_STEPS = 8, 4  # pixels; margins in training are 8, 16, 24 or 32
LISTED = 5  # files named in a message
SUFFIXES = ('.bmp', '.gif', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')  # taken from a folder
WRITTEN = ('.gif', '.jpeg', '.jpg', '.png')  # a picture of another kind is written as PNG
PIPE = '-'  # standard input or output
OFFERED = {recipes.FAST.name: recipes.FAST}


class FastStyleTransfer(style_transfer.StyleTransfer):
    """A network that gives photos one style: the losses, the loop and the run of `StyleTransfer`, other variables.

    photos: `training_images.Photos`; batch: how many a step; held_out: paths of photos to show and to log the losses of
    shape, base: of the network, see `transform_net.TransformNet`
    The others are those of `StyleTransfer`; the style image is fitted into the crops' size.
    """

    checkpoint_every = 200  # iterations

    def __init__(self, photos, batch, held_out, style_img, shape, base, recipe=recipes.FAST, vgg=None, seed=0,
                 precision='auto', threads=0, name=None):
        side = photos.side
        # a held-out photo stands in for the content image, which only gives its size
        super().__init__(held_out[0], style_img, side, side, recipe, vgg, seed, precision, threads, name)
        del self.run.identity['content']
        self.run.identity |= dict(images=photos.hash, batch=batch, network=shape, base=base)
        self.training_photos, self.batch, self.seed = photos, batch, seed
        self.model_folder = Path('models', self.run.name)
        self.network = transform_net.TransformNet(shape, base, seed)
        self.averages = []  # pairs of variables: the average, what it is of
        self.held_out = np.concatenate([utils.get_resized_image(path, side, side) for path in held_out])

    def create_input(self):
        """Crops of photos [B, H, W, 3], 0-255, and what the network makes of them, centred."""
        side = self.img_width
        with tf.variable_scope('input'):
            self.first = tf.placeholder(tf.int64, [], name='first_batch')
            self.batches = tf.data.make_initializable_iterator(self.training_photos.batches(self.batch, self.first))
            batch = tf.cast(self.batches.get_next(), tf.float32)
            self.photos = tf.placeholder_with_default(batch, [None, side, side, 3], name='photos')
            self.gstep = tf.train.get_or_create_global_step()
            # a margin that varies hides from the network where the picture will end: at a border that it knows it paints an
            # edge, which VGG's zero padding rewards
            margin = MARGIN_STEP * tf.random.stateless_uniform([], [self.seed, self.gstep], 1, MARGIN_STEPS + 1, tf.int32)
            self.margin = tf.placeholder_with_default(margin, [], name='margin')
            self.averaged = tf.placeholder_with_default(False, [], name='averaged')
        with tf.variable_scope('network', custom_getter=self._trained_or_averaged):
            pictures, _ = self.network(self.photos, margin=self.margin)
        self.input_img = tf.ensure_shape(pictures, [None, side, side, 3]) - self.weights.mean_pixels
        self.shown = {self.photos: self.held_out, self.margin: transform_net.MARGIN, self.averaged: True}

    def _trained_or_averaged(self, getter, name, **how):
        """The parameter `name` of the network: a variable that is trained, or what is shown and handed in, its moving average.

        Adam at a constant rate never settles; the average of its last steps has a lower loss than any of them.
        """
        trained = getter(name, **how)
        average = getter(f'{name}/average', **how | dict(trainable=False))
        self.averages.append((average, trained))
        return tf.where_v2(self.averaged, average, trained)

    def load_vgg(self):
        """Step 1, inference: one VGG-19 on the network's pictures, and one on the photos themselves."""
        with tf.variable_scope('vgg_of_photos'):
            self.photo_vgg = load_vgg.VGG(self.photos - self.weights.mean_pixels, self.weights, self.recipe.pooling)
            self.photo_vgg.load(self.recipe.content_layers + self.recipe.style_layers)
        super().load_vgg()

    def _targets(self):
        """The features P of the batch's photos, tensors; A of the style image, arrays."""
        with self._session() as sess:
            A = sess.run(self.photo_vgg.features(self.recipe.style_layers),
                         {self.photos: self.style_img + self.vgg.mean_pixels})
        return self.photo_vgg.features(self.recipe.content_layers), A

    def optimize(self):
        """Step 3, optimizer: Adam on the network; the averages follow, closely at first."""
        super().optimize()
        with tf.variable_scope('averages'), tf.control_dependencies([self.opt]):
            steps = tf.cast(self.gstep.read_value(), tf.float32)
            rate = 1 - tf.minimum(DECAY, steps / (9 + steps))
            self.opt = tf.group(*(average.assign_add(rate * (trained.read_value() - average))
                                  for average, trained in self.averages))

    def _image(self):
        """The photos side by side, what the network makes of them below: [2H, B·W, 3], 0-255."""
        rows = [tf.concat(tf.unstack(images, num=len(self.held_out)), axis=1)
                for images in (self.photos, self.input_img + self.vgg.mean_pixels)]
        return tf.concat(rows, axis=0)

    def _initialise(self, sess):
        sess.run(self.init)

    def _moves(self, sess, step):
        sess.run(self.batches.initializer, {self.first: step})
        yield from super()._moves(sess, step)

    def _hand_in(self, sess):
        super()._hand_in(sess)
        losses = dict(zip(self.run.columns, map(float, self._look(sess)[0])))
        about = self.run.identity | dict(style_file=self.style_path.name, vgg_file=self.weights.path.name,
                                         steps=int(sess.run(self.gstep)), held_out=losses)
        saved_models.write(self.model_folder, sess.run(self.network.parameters, self.shown), about)

    def _originals(self):
        height = 2 * self.img_height
        return [utils.get_resized_image(self.style_path, height, height)[0]]


def train(args):
    """Train a network as the flags say, and export it; return the exit status."""
    recipe = recipes.from_flags(args, OFFERED)
    photos = training_images.Photos(args.images, args.side, args.seed, args.held_out)
    machine = FastStyleTransfer(photos, args.batch, args.held_out, args.style, args.network, args.base, recipe, args.vgg,
                                args.seed, style_transfer.precision(args, recipe), args.threads, args.name or args.style.stem)
    if not args.restart:
        saved_models.check_free(machine.model_folder, machine.run.identity)
    print(f'{args.style}, {len(photos.paths)} files to train on, {runs.described(machine.precision)}\n'
          f'weights {machine.weights.path}: {machine.weights.description}')
    machine.build()
    start_time = time.time()
    reached = machine.train(recipe.iterations, args.restart, args.verbose)
    if photos.skipped:
        names = [str(path) for path in sorted(photos.skipped)]
        more = ' …' if len(names) > LISTED else ''
        print(f'{len(names)} files are no images that can be read, and were skipped: {", ".join(names[:LISTED])}{more}')
    if reached < recipe.iterations:
        print(f'stopped at iteration {reached}; the same command goes on from there')
        return 130
    print(f'{machine.model_folder}: {reached} iterations, {time.time() - start_time:.1f} s')


def stylize(args):
    """Stylise photos as the flags say; return the exit status, 1 if some could not be."""
    folder = saved_models.find(args.model)
    model = saved_models.Model(folder, args.precision, args.threads)
    if args.tile and args.tile < model.smallest_tile():
        raise utils.UserError(f'--tile {args.tile}: at least {model.smallest_tile()} with this model, else tiles are mostly overlap')
    out = args.out or Path(PIPE if args.photos == [Path(PIPE)] else 'outputs')
    shard, shards = args.shard
    tasks = list(outputs(args.photos, out, folder.resolve().name))[shard - 1::shards]
    log, failed = sys.stderr if out == Path(PIPE) else sys.stdout, 0
    for source, target in tasks:
        start_time = time.time()
        try:
            with piped(source, target) as (file, picture):
                written = render(model, file, picture, args.tile or model.default_tile(), args.strength, args.keep_colors)
        except utils.UserError as error:
            failed += 1
            print(f'error: {error}; skipped', file=sys.stderr)
        else:
            print(f'{target}: {written}, {time.time() - start_time:.1f} s', file=log)
    if failed:
        print(f'{failed} of {len(tasks)} could not be stylised', file=sys.stderr)
    return 1 if failed else 0


def outputs(sources, out, name):
    """Pairs (source, target) for images, folders and PIPE: in the folder `out`, or `out` itself, an image or PIPE.

    What lies in a folder keeps its place below it. Raises `utils.UserError` for two photos with one target.
    """
    found = [pair for source in sources for pair in _below(source, out)]
    if out == Path(PIPE) or out.suffix.lower() in SUFFIXES:
        if len(found) != 1:
            raise utils.UserError(f'--out {out}: takes one picture, and there are {len(found)} photos; name a folder')
        return [(found[0][0], out)]
    targets = {}
    for source, place in found:
        suffix = place.suffix if place.suffix.lower() in WRITTEN else '.png'
        target = out / place.with_name(f'{place.stem}-{name}{suffix}')
        if target in targets:
            raise utils.UserError(f'{targets[target]} and {source} would both become {target}; stylise them into two folders')
        targets[target] = source
    return [(source, target) for target, source in targets.items()]


def _below(source, out):
    """(path, its place below the output folder) of a photo, or of every one in a folder, those in `out` left out."""
    if not source.is_dir():
        return [(source, Path('stdin' if source == Path(PIPE) else source.name))]
    return [(path, path.relative_to(source)) for path in sorted(source.rglob('*'))
            if path.suffix.lower() in SUFFIXES and path.is_file() and out.resolve() not in path.resolve().parents]


@contextlib.contextmanager
def piped(source, target):
    """Yield two paths for `source` and `target`: a temporary file where one is PIPE."""
    with tempfile.TemporaryDirectory() as folder:
        file, picture = source, target
        if source == Path(PIPE):
            file = Path(folder, 'standard input')
            file.write_bytes(sys.stdin.buffer.read())
        if target == Path(PIPE):
            picture = Path(folder, 'picture')
        try:
            yield file, picture
        except utils.UserError as error:
            raise utils.UserError(str(error).replace(folder + os.sep, '')) from error
        if target == Path(PIPE):
            sys.stdout.buffer.write(picture.read_bytes())
            sys.stdout.buffer.flush()


def render(model, source, target, tile, strength=1., keep_colors=False):
    """Stylise the image or animation at `source`, write it to `target`; return its size as text.

    A target without a suffix becomes a PNG, or a GIF if it moves.
    """
    def picture(photo):
        return utils.to_uint8(saved_models.mixed(photo, model(photo, tile), strength, keep_colors))
    animation = utils.read_animation(source)
    if not animation:
        photo = utils.read_image(source)
        utils.save_image(target, picture(photo))
        return f'{photo.shape[1]}×{photo.shape[0]}'
    frames, plays = animation
    if target.suffix.lower() not in ('', '.gif'):
        raise utils.UserError(f'{source}: is an animation, and {target} no GIF')
    frames = [picture(np.float32(frame)) for frame in tqdm(frames, unit='frame', disable=None)]
    utils.save_animation(target, frames, plays)
    return f'{len(frames)} frames of {frames[0].shape[1]}×{frames[0].shape[0]}'


def _shard(text):
    match = re.fullmatch(r'(\d{1,6})/(\d{1,6})', text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f'{text!r}: must be i/n with i from 1 to n')
    return int(match[1]), int(match[2])


def _flags(argv):
    parser = utils.Parser(description=__doc__.split('\n')[0])
    commands = parser.add_subparsers(metavar='train | stylize', required=True)
    _train_flags(commands.add_parser('train', description='Train a network for a style; export it to models/<name>/.'))
    _stylize_flags(commands.add_parser('stylize', description='Stylise photos in one pass each.'))
    return parser.parse_args(argv)


def _train_flags(parser):
    parser.set_defaults(command=train)
    parser.add_argument('--style', type=Path, required=True, metavar='IMAGE', help='the image whose style is learned')
    parser.add_argument('--images', type=Path, nargs='+', required=True, metavar='DIR', help='folders of photos to train on')
    parser.add_argument('--name', help='of the model, and of the run\'s folders (default: that of the style image)')
    parser.add_argument('--held-out', type=Path, nargs='+', default=training_images.HELD_OUT, metavar='IMAGE',
                        help='photos to show on the way, left out of the training (default: chelsea.png, coffee.png)')
    parser.add_argument('--side', type=utils.whole_number(32, 1024), default=SIDE, metavar='W',
                        help='of the crops, in pixels, 32 to 1024 (default: %(default)s)')
    parser.add_argument('--batch', type=utils.whole_number(1, 64), default=BATCH, metavar='N',
                        help='crops a step, 1 to 64 (default: %(default)s)')
    parser.add_argument('--network', choices=transform_net.SHAPES, default=NETWORK,
                        help='half the published resolution inside, or as published (default: %(default)s)')
    parser.add_argument('--base', type=utils.whole_number(4, 64), default=BASE, metavar='N',
                        help='channels of the first convolution, 4 to 64; 32 as published (default: %(default)s)')
    style_transfer.add_training_flags(parser)
    parser.add_argument('--verbose', action='store_true', help='print step, loss and time in place of a bar')
    recipes.add_flags(parser, OFFERED, OF_PIXELS)


def _stylize_flags(parser):
    parser.set_defaults(command=stylize)
    parser.add_argument('photos', type=Path, nargs='+', metavar='PHOTO',
                        help='images, animated GIFs, folders of them, or - for standard input')
    parser.add_argument('--model', required=True, metavar='NAME', help='of models/, or the path of a model\'s folder')
    parser.add_argument('--out', type=Path, metavar='PATH', help='a folder; for one photo also a file, or - for standard '
                        'output (default: outputs, or - where the photo comes from -)')
    parser.add_argument('--strength', type=utils.number(0, 1), default=1., metavar='X',
                        help='from 0, the photo, to 1, the picture (default: %(default)g)')
    parser.add_argument('--keep-colors', action='store_true', help='take the picture\'s light and shade, the photo\'s colours')
    parser.add_argument('--tile', type=utils.whole_number(*saved_models.TILES), metavar='W', help='photos of more pixels '
                        'than this either way go through in parts (default: from the free memory)')
    parser.add_argument('--shard', type=_shard, default=(1, 1), metavar='i/n',
                        help='take every n-th photo, from the i-th on: n processes share the work')
    parser.add_argument('--precision', choices=runs.PRECISIONS, default='float32', help='bfloat16 is faster on processors that '
                        'have it, and a little less exact (default: %(default)s)')
    runs.add_threads_flag(parser)


@utils.command_line
def main(argv=None):
    """Train or stylise as the flags say; return the exit status."""
    args = _flags(argv)
    return args.command(args)


if __name__ == '__main__':
    sys.exit(main())
