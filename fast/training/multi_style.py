"""Training a network for some styles: the losses, the loop and the run of `style_transfer`, another variable.

Johnson, Alahi and Fei-Fei (2016); many styles in one: Dumoulin, Shlens and Kudlur (2017).
"""

import copy
from pathlib import Path

import numpy as np

import load_vgg
import recipes
import style_transfer
import utils
from common import files, names
from common.errors import UserError
from common.tf1 import tf, tf2
from engine.losses import statistics
from engine.losses.features import extract_features
from engine.run import runs
from fast.networks import export
from fast.networks.multi_style import TransformNet
from fast.training import replicas

EMA_DECAY = 0.998  # of the moving averages of the network's parameters
# steps at the recipe's learning rate; after t it is as its square root, so that a run has no end
FULL_RATE_STEPS = 1000
MAX_GRADIENT_NORM = 20.  # its norm; where a style shows next to nothing the loss, a share of that, has longer ones
STYLE_SIDE_PX = 512  # the pixels of a style image, as a square's side
SHIFT_PX = 8  # pixels around a crop, within which a second one of the same photo lies elsewhere
EDGE_PX = 8  # pixels of a view that know of its edge
NOISE_DEVIATION = 4.  # of 255: deviation of what is added to the second one
CONTENT_SHARE = 'crop'  # whose Σ P² it is that the content loss is a share of: each crop's own
PER_STYLE_PARAMETERS = 'gamma', 'beta'  # last part of the names of the parameters that each style has for itself


def devices(crops):
    """The names of devices that share `crops` evenly: '' for the first or only one, then further GPUs."""
    count = max(1, len(tf2.config.list_physical_devices('GPU')))
    while crops % count:
        count -= 1
    return ['', *(f'/gpu:{i}' for i in range(1, count))]


class NetworkTraining(style_transfer.StyleTransfer):
    """A network that gives photos styles: the losses, the loop and the hand-in of `StyleTransfer`, other variables.

    collections: `photos.Photos`, the first of crops SHIFT_PX larger each way than those trained on, and what else a
    batch
    has as many crops of
    batch: crops a step; held_out: paths of photos to show, and to log the losses of
    consistency_weight: weight of the loss of a picture that moves with its photo; 0 takes half of the network's time
    start: an `exporting.Trained` to begin with, or None
    task: a `cluster.Task`, started, or None for this machine alone; of each batch it has its part
    The others are those of `StyleTransfer`.

    network: with `parameters`, set before this; averages: pairs of variables, the average and what it is of
    towers: this machine and a copy of it a further device, each with its own part of the crops, pictures, VGGs, losses
    means: name -> loss, the mean over the towers; loss_terms are of the first alone, which is what is shown
    """

    checkpoint_every = 200  # iterations

    def __init__(
        self, collections, batch, held_out, *, consistency_weight, start=None, task=None, style_imgs=(), **of_all
    ):
        self.collections, self.batch, self.consistency_weight = collections, batch, consistency_weight
        self.side = collections[0].side - 2 * SHIFT_PX
        self.start, self.task = start, task
        self.parts, self.part = (len(task.replicas), task.replica_index) if task else (1, 0)
        if batch % self.parts:
            raise UserError(f'--batch {batch}: must be a multiple of the {self.parts} tasks that share it')
        self.averages = []
        self.held_out = np.concatenate([utils.get_resized_image(path, collections[0].side, collections[0].side)
                                        for path in held_out])
        super().__init__(None, list(style_imgs), self.side, self.side, **of_all)
        self.model_folder = Path('models', self.run.name)

    def _read_images(self):
        pass  # each photo and style when it is needed

    def _fingerprint(self):
        """What decides the result of any network's training."""
        return dict(vgg=files.file_hash(self.weights.path), side=self.side, seed=self.seed, **self.recipe.fingerprint(),
                    images=self.collections[0].hash, batch=self.batch, steadiness=self.consistency_weight,
                    start=self.start and self.start.hash, content_share=CONTENT_SHARE)

    def build(self):
        """Assemble the graph; in a cluster with its variables on their hosts, all else on this task."""
        with self.graph.as_default(), tf.device(self.task and self.task.placement()):
            super().build()

    def create_input(self):
        """Crops of photos [B, H, W, 3], 0-255, and what the network makes of them, centered; a tower has its part."""
        with tf.variable_scope('input'):
            self.first = tf.placeholder(tf.int64, [], name='first_batch')
            iterators = [tf.data.make_initializable_iterator(
                collection.batches(self.batch, self.first, self.part, self.parts)) for collection in self.collections]
            self.start_input = tf.group(*(iterator.initializer for iterator in iterators))
            batches = [tf.cast(iterator.get_next(), tf.float32) for iterator in iterators]
            self.gstep = tf.train.get_or_create_global_step()
            self.use_averages = tf.placeholder_with_default(False, [], name='averaged')
            self.shift = tf.random.stateless_uniform([2], [self.seed, self.gstep], 0, 2 * SHIFT_PX + 1, tf.int32)
        count = self.batch // self.parts
        names = devices(count)
        self.towers = [self, *(copy.copy(self) for _ in names[1:])]
        for i, (tower, tower.device) in enumerate(zip(self.towers, names)):
            with tf.device(tower.device):
                tower._create_views([tf.split(batch, len(names))[i] for batch in batches],
                                    self.part * count + i * count // len(names))
        self.display_feed = self._display_feed()

    def _create_views(self, batches, first):
        """Of each photo the network has two views, the second shifted by some pixels and with noise, or one alone.

        batches: of each collection the crops of a tower; first: the place of the first one in the whole batch, whose
        shift and noise it has
        """
        around, side = self.collections[0].side, self.side
        with tf.variable_scope('input'):
            self.crops = tf.placeholder_with_default(batches[0], [None, around, around, 3], name='crops')
            self.photos = self.crops[:, SHIFT_PX:-SHIFT_PX, SHIFT_PX:-SHIFT_PX]
            self._create_styles(batches[1:], first, batches[0].shape[0])
            views = [self.photos]
            if self.consistency_weight:
                moved = tf.slice(self.crops, [0, self.shift[0], self.shift[1], 0], [-1, side, side, -1])
                # the noise of those before it comes first, whatever the size of the batch
                views += [moved + tf.random.stateless_normal(tf.shape(moved) + [first, 0, 0, 0],
                                                             [self.seed, self.gstep], stddev=NOISE_DEVIATION)[first:]]
        with tf.variable_scope('network', custom_getter=self._trained_or_averaged):
            self.views = tf.split(self._stylize_views(tf.concat(views, axis=0), len(views)), len(views))
        self.input_img = tf.ensure_shape(self.views[0], [None, side, side, 3]) - self.weights.mean_pixels

    def _trained_or_averaged(self, getter, name, **how):
        """The network's parameter `name`: a trained variable, or what is shown and handed in, its moving average.

        Adam never settles; the average of its last steps has a lower loss than any of them.
        """
        key = name.partition('/')[2]
        if (value := self._first_value(key)) is not None:
            how['initializer'] = tf.constant_initializer(value)
        if not self._is_trained(key):
            return getter(name, **how | dict(trainable=False))
        trained = getter(name, **how)
        average = getter(f'{name}/average', **how | dict(trainable=False))
        self.averages.append((average, trained))
        if self.part:  # shows nothing
            return trained
        return tf.where_v2(self.use_averages, average, trained)

    def _first_value(self, key):
        """Of the parameter `key` as an array, or None for the network's own."""
        return self.start and self.start.parameters[key]

    def _is_trained(self, key):
        return True

    def load_vgg(self):
        """Step 1, inference: one VGG-19 on the network's pictures, and one on the photos themselves."""
        convolutions = dict(self.weights.convolutions)
        for tower in self.towers:
            self.weights.convolutions.update(convolutions)  # each gives them away
            with tf.device(tower.device):
                tower._load_vggs()

    def _load_vggs(self):
        photo = self._build_vgg('photos', self._content_images(), self.recipe.content_layers)
        self.targets = photo.features(self.recipe.content_layers), self._crop_style_targets()
        super().load_vgg()

    def _content_images(self):
        """Whose content the pictures are to have, [B, H, W, 3] of 0-255."""
        return self.photos

    def _build_vgg(self, what, images, layers):
        """A further VGG-19, on images [B, H, W, 3] of 0-255."""
        with tf.variable_scope(f'vgg_of_{what}'):
            vgg = load_vgg.VGG(images - self.weights.mean_pixels, self.weights, self.recipe.pooling,
                               self.recipe.padding)
            vgg.load(layers)
        return vgg

    def losses(self):
        """Step 2, loss: those of `StyleTransfer`, and that of a picture that does not move with its photo."""
        for tower in self.towers:
            with tf.device(tower.device):
                tower._losses()
        self.means = self.loss_terms if len(self.towers) == 1 else {
            name: tf.add_n([tower.loss_terms[name] for tower in self.towers]) / len(self.towers)
            for name in self.loss_terms}

    def _losses(self):
        super().losses()
        if self.consistency_weight:
            with tf.variable_scope('losses'):
                self.consistency_loss = self._consistency_loss(*self.views)
                self.total_loss += self.consistency_weight * self.consistency_loss
            self.loss_terms = {**self.loss_terms, 'shift_loss': self.consistency_loss, 'total_loss': self.total_loss}

    def _content_weights(self, P):
        return self.recipe.content_layer_weights  # `_content_loss` divides

    def _content_loss(self, P, F):
        """Of each crop Σ (F − P)² / Σ P² by `_content_factors`; the mean, as that of the means of a batch's parts."""
        return statistics.mean_relative_error(F, P, self._content_factors())

    def _content_factors(self):
        return 1.

    def _consistency_loss(self, picture, moved):
        """The mean squared difference of two views' pictures where both show the same, EDGE_PX pixels from their edges.

        As a share of half the range, squared. Whatever follows the network's grid in place of the photo adds to it.
        """
        size = self.side - SHIFT_PX - 2 * EDGE_PX
        low = tf.maximum(SHIFT_PX, self.shift) + EDGE_PX
        parts = [tf.slice(view, tf.concat([[0], low - corner, [0]], 0), [-1, size, size, -1])
                 for view, corner in ((picture, SHIFT_PX), (moved, self.shift))]
        return tf.reduce_mean(tf.square((parts[0] - parts[1]) / 127.5))

    def optimize(self):
        """Step 3, optimizer: Adam on the network; the averages follow, closely at first."""
        recipe = self.recipe
        with tf.variable_scope('optimizer'):
            steps = tf.cast(self.gstep.read_value(), tf.float32)
            rate = recipe.learning_rate * tf.minimum(1., tf.sqrt(FULL_RATE_STEPS / (1 + steps)))
            optimizer = tf.train.AdamOptimizer(rate, recipe.beta1, recipe.beta2)
            pairs = optimizer.compute_gradients(self.means['total_loss'],
                                                colocate_gradients_with_ops=len(self.towers) > 1)
            gradients, variables = zip(*(self._aggregate_gradients(pairs) if self.task else pairs))
            gradients, _ = tf.clip_by_global_norm(gradients, MAX_GRADIENT_NORM)
            self.opt = optimizer.apply_gradients(zip(gradients, variables), self.gstep)
        with tf.variable_scope('averages'), tf.control_dependencies([self.opt]):
            steps = tf.cast(self.gstep.read_value(), tf.float32)
            rate = 1 - tf.minimum(EMA_DECAY, steps / (9 + steps))
            self.opt = tf.group(*(self._update_average(average, trained, rate) for average, trained in self.averages))

    def _update_average(self, average, trained, rate):
        with tf.device(average.device):
            return average.assign_add(rate * (trained.read_value() - average))

    def _aggregate_gradients(self, pairs):
        """The gradients of the whole batch, in place of those of this task's part; the losses go with them."""
        gradients, variables = zip(*pairs)
        flat = tf.concat([tf.reshape(gradient, [-1]) for gradient in gradients], axis=0)
        self.exchange = replicas.GradientExchange(self.task, self.run, flat, self.means)
        self.means = self.exchange.losses
        with tf.device(self.task.device(self.task.ps_tasks[0])):
            parts = tf.split(self.exchange.gradient, [variable.shape.num_elements() for variable in variables])
            return [(tf.reshape(part, variable.shape), variable) for part, variable in zip(parts, variables)]

    def initialize(self, sess):
        sess.run(self.init)

    def open_session(self):
        return self.exchange.session(self.graph, self.config) if self.task else super().open_session()

    def optimizer_steps(self, sess, step):
        sess.run(self.start_input, {self.first: step})
        while True:
            if self.task and not self.exchange.aggregate(sess, step):
                self.run.save(self.saver, sess, step, self.evaluate(sess)[0])
                print(f'stopped at iteration {step}; the same command goes on from there')
                raise KeyboardInterrupt
            losses, _ = sess.run([self.means, self.opt])
            yield losses
            step += 1

    def worker_loop(self):
        """Compute this task's part of what the chief wants until it ends.

        Return how it did, see `Exchange.worker_loop`.
        """
        return self.exchange.worker_loop(self.graph, self.config, self.start_input, self.first)

    def write_results(self, sess):
        """Write what `StyleTransfer` does, and the model."""
        super().write_results(sess)
        losses = {name: float(loss) for name, loss in self.evaluate(sess)[0].items()}
        about = self.run.fingerprint | dict(vgg_file=self.weights.path.name, steps=int(sess.run(self.gstep)),
                                         held_out=losses)
        self._export(sess.run(self.network.parameters, self.display_feed), about)

    def _image(self):
        """The photos side by side, what the network makes of them in each style below: [2H, n·W, 3], 0-255."""
        rows = [tf.concat(tf.unstack(images, num=self._column_count()), axis=1)
                for images in (self.photos, self.input_img + self.vgg.mean_pixels)]
        return tf.concat(rows, axis=0)

    def _sheet_images(self):
        height = 2 * self.side
        return [utils.get_resized_image(path, height, height)[0] for path in self.style_paths]


class MultiStyleTraining(NetworkTraining):
    """A network for some styles.

    collection: `photos.Photos`, see `NetworkTraining`; of a batch each crop has a random style
    style_imgs: paths; base: of the network, see `network.TransformNet`
    content_weights: a factor on the content loss for each of style_imgs; None for 1 each
    add: the styles of `start` stay, and what is trained are the scales and shifts of the new ones alone
    """

    def __init__(self, collection, batch, held_out, style_imgs, base, *, content_weights=None, start=None, add=False,
                 recipe=recipes.FAST, seed=0, **of_all):
        if content_weights is not None and len(content_weights) != len(style_imgs):
            raise UserError(f'--content-weights: {len(content_weights)} for {len(style_imgs)} styles; one each')
        self.content_weights, self.add = content_weights, add
        self.trained = {path.stem: files.file_hash(path) for path in map(Path, style_imgs)}
        self.styles = (start.styles if add else {}) | self.trained
        if len(self.trained) < len(style_imgs) or add and self.trained.keys() & start.styles.keys():
            raise UserError('--style: two styles of one name; it is that of the file')
        self.network = TransformNet(len(self.styles), base, seed)
        super().__init__([collection], batch, held_out, style_imgs=style_imgs, start=start, recipe=recipe, seed=seed,
                         **of_all)

    def _run(self, name, seed, folder):
        """The run that the settings make."""
        identity = self._fingerprint() | dict(styles=self.styles, add=self.add, base=self.network.base,
                                           content_weights=self.content_weights)
        defaults = recipes.legacy_defaults() | {'content_share': 'batch', 'content_weights': None}
        return runs.Run(name or names.from_files(*(path.stem for path in self.style_paths)), identity, defaults, folder)

    def _create_styles(self, batches, first, count):
        """Of the crops of a tower the styles, by random."""
        styles = self._random_styles()[first:first + count]
        self.style_weights = tf.placeholder_with_default(styles, [None, len(self.styles)])

    def _stylize_views(self, views, count):
        return self.network(views, tf.concat([self.style_weights] * count, axis=0))[0]

    def _display_feed(self):
        """What is fed for the pictures that are shown: a photo for each style, and the averages."""
        n = len(self.trained)
        return {self.crops: self.held_out[np.arange(n) % len(self.held_out)], self.use_averages: True,
                self.style_weights: self._one_hot_styles()[-n:]}

    def _one_hot_styles(self):
        return np.eye(len(self.styles), dtype=np.float32)

    def _random_styles(self):
        """A style for each crop of a batch, all different while there are as many: [batch, styles], ones and zeros."""
        n = len(self.trained)
        order = tf.argsort(tf.random.stateless_uniform([n], [self.seed + 1, self.gstep]))
        chosen = tf.gather(order, np.arange(self.batch) % n)
        return tf.gather(self._one_hot_styles()[-n:], chosen)

    def _first_value(self, key):
        value = super()._first_value(key)
        if self.start and key.endswith(PER_STYLE_PARAMETERS):
            rows = dict(zip(self.start.styles, value))
            value = np.stack([rows.get(style, value.mean(axis=0)) for style in self.styles])
        return value

    def _is_trained(self, key):
        return not self.add or key.endswith(PER_STYLE_PARAMETERS)

    def load_vgg(self):
        """Step 1, inference, after the styles' own values."""
        values = self._style_values()
        for tower in self.towers:
            tower.style_values = values
        super().load_vgg()

    def _style_values(self):
        """Of each style a list with the statistic's value a layer."""
        recipe = self.recipe
        return [extract_features(self.weights, utils.get_style_image(path, STYLE_SIDE_PX, STYLE_SIDE_PX, False,
                                                                recipe.style_scale),
                            recipe.style_layers, recipe.pooling, recipe.padding, self.config, self.statistic().compute)
                for path in self.style_paths]

    def _crop_style_targets(self):
        """A `Target` a layer: of each crop the style that it is to have."""
        statistic = self.statistic()
        weights = self.style_weights[:, -len(self.style_paths):]

        def of_crops(*arrays):
            stacked = np.concatenate(arrays)
            return tf.tensordot(weights, stacked, 1)
        return [statistics.StyleTarget(statistic, tf.nest.map_structure(of_crops, *layer))
                for layer in zip(*self.style_values)]

    def _content_factors(self):
        factors = np.float32(self.content_weights or [1] * len(self.trained))[:, None]
        return tf.matmul(self.style_weights[:, -len(self.trained):], factors)[:, 0]

    def _export(self, parameters, about):
        export.write_multi_style(self.model_folder, parameters, about)

    def _column_count(self):
        return len(self.trained)
