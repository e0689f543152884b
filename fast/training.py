"""Training a network for a style: the losses, the loop and the run of `style_transfer`, another variable.

Johnson, Alahi and Fei-Fei (2016).
"""

from pathlib import Path

from engine import quiet  # before tensorflow

import numpy as np
import tensorflow.compat.v1 as tf

import load_vgg
import recipes
import style_transfer
import utils
from engine import names, runs, style_statistics
from engine.features import features_of
from fast import models
from fast.network import MARGIN, TransformNet

DECAY = 0.995  # of the moving averages of the network's parameters
MARGIN_STEP, MARGIN_STEPS = 8, 4  # pixels; margins in training are 8, 16, 24 or 32


class FastStyleTransfer(style_transfer.StyleTransfer):
    """A network that gives photos one style: the losses, the loop and the hand-in of `StyleTransfer`, other variables.

    collection: `photos.Photos`; batch: crops a step; held_out: paths of photos to show and to log the losses of
    style_img: path, fitted into the crops' size; architecture, base: of the network, see `network.TransformNet`
    The others are those of `StyleTransfer`.
    """

    checkpoint_every = 200  # iterations

    def __init__(self, collection, batch, held_out, style_img, architecture, base, *, recipe=recipes.FAST, vgg=None,
                 seed=0, precision='auto', threads=0, name=None):
        side = collection.side
        self.collection, self.batch, self.architecture = collection, batch, architecture
        self.network = TransformNet(architecture, base, seed)
        self.averages = []  # pairs of variables: the average, what it is of
        self.held_out = np.concatenate([utils.get_resized_image(path, side, side) for path in held_out])
        super().__init__(None, style_img, side, side, recipe=recipe, vgg=vgg, seed=seed, precision=precision,
                         threads=threads, name=name)
        self.model_folder = Path('models', self.run.name)

    def _run(self, name, seed):
        """The run that the settings make."""
        side = self.collection.side
        identity = dict(style=utils.file_hash(self.style_path), vgg=utils.file_hash(self.weights.path), width=side,
                        height=side, seed=seed, **self.recipe.identity(), images=self.collection.hash, batch=self.batch,
                        network=self.architecture, base=self.network.base)
        return runs.Run(name or names.of_files(self.style_path.stem), identity, recipes.defaults())

    def create_input(self):
        """Crops of photos [B, H, W, 3], 0-255, and what the network makes of them, centred."""
        side = self.img_width
        with tf.variable_scope('input'):
            self.first = tf.placeholder(tf.int64, [], name='first_batch')
            self.batches = tf.data.make_initializable_iterator(self.collection.batches(self.batch, self.first))
            batch = tf.cast(self.batches.get_next(), tf.float32)
            self.photos = tf.placeholder_with_default(batch, [None, side, side, 3], name='photos')
            self.gstep = tf.train.get_or_create_global_step()
            # a margin that varies hides from the network where the picture will end: at a border that it knows it
            # paints an edge, which VGG's zero padding rewards
            margin = MARGIN_STEP * tf.random.stateless_uniform([], [self.seed, self.gstep], 1, MARGIN_STEPS + 1,
                                                               tf.int32)
            self.margin = tf.placeholder_with_default(margin, [], name='margin')
            self.averaged = tf.placeholder_with_default(False, [], name='averaged')
        with tf.variable_scope('network', custom_getter=self._trained_or_averaged):
            pictures, _ = self.network(self.photos, margin=self.margin)
        self.input_img = tf.ensure_shape(pictures, [None, side, side, 3]) - self.weights.mean_pixels
        self.shown = {self.photos: self.held_out, self.margin: MARGIN, self.averaged: True}

    def _trained_or_averaged(self, getter, name, **how):
        """The network's parameter `name`: a trained variable, or what is shown and handed in, its moving average.

        Adam at a constant rate never settles; the average of its last steps has a lower loss than any of them.
        """
        trained = getter(name, **how)
        average = getter(f'{name}/average', **how | dict(trainable=False))
        self.averages.append((average, trained))
        return tf.where_v2(self.averaged, average, trained)

    def load_vgg(self):
        """Step 1, inference: one VGG-19 on the network's pictures, and one on the photos themselves."""
        with tf.variable_scope('vgg_of_photos'):
            self.photo_vgg = load_vgg.VGG(self.photos - self.weights.mean_pixels, self.weights, self.recipe.pooling,
                                          self.recipe.padding)
            self.photo_vgg.load(self.recipe.content_layers + self.recipe.style_layers)
        self.targets = self._of_photos_and_style()
        super().load_vgg()

    def _of_photos_and_style(self):
        """The features P of the batch's photos, tensors; for A targets of the style."""
        A = features_of(self.weights, self.style_img, self.recipe.style_layers, self.recipe.pooling,
                        self.recipe.padding, self.config)
        return self.photo_vgg.features(self.recipe.content_layers), style_statistics.targets(self.statistic(), A)

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

    def hand_in(self, sess):
        """Write what `StyleTransfer` does, and the model."""
        super().hand_in(sess)
        losses = {name: float(loss) for name, loss in self._look(sess)[0].items()}
        about = self.run.identity | dict(style_file=self.style_path.name, vgg_file=self.weights.path.name,
                                         steps=int(sess.run(self.gstep)), held_out=losses)
        models.write(self.model_folder, sess.run(self.network.parameters, self.shown), about)

    def _originals(self):
        height = 2 * self.img_height
        return [utils.get_resized_image(self.style_path, height, height)[0]]
