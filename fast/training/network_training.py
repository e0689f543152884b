"""Training a feed-forward network that stylizes photos: what the trainings of both kinds of networks share.

Johnson, Alahi and Fei-Fei (2016): the losses are those of a picture, but the variables that Adam moves are the
parameters of a network, over many photos.
"""

import abc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import load_vgg
import recipes
import utils
from common import files, progress
from common.color_profiles import CONVERTED
from common.errors import UserError
from common.tf1 import tf, tf2
from engine.losses import objective, statistics
from engine.results import output
from engine.run import runs, session
from engine.run.trainer import Trainer
from fast.training import replicas

EMA_DECAY = 0.998  # of the moving averages of the network's parameters
# For this many steps the learning rate is the recipe's. Then it falls with the inverse square root of the number of
# steps, so that a run can always be continued.
FULL_RATE_STEPS = 1000
MAX_GRADIENT_NORM = 20.  # A relative loss has huge gradients where a style's crop shows next to nothing.
SHIFT_PX = 8  # margin around a crop, within which a second view of the same photo lies
EDGE_PX = 8  # margin of a picture that the consistency loss leaves out, because it depends on the padding of the view
NOISE_DEVIATION = 4.  # standard deviation (of 255) of the noise that is added to the second view
CONTENT_SHARE = 'crop'  # The content loss is relative to the sum of squares of each crop, not of the batch.


class Tower(NamedTuple):
    """The part of a batch that one device computes.

    Attributes:
        device: name of the device, '' for the default one.
        crops: photos with a margin of SHIFT_PX, [B, side + 2 SHIFT_PX, …, 3], 0 to 255.
        photos: the crops without the margin, [B, side, side, 3].
        styles: the style of each crop, in the form that `NetworkTraining._create_styles` returns.
        contents: images [B, side, side, 3] whose content the pictures are to have, 0 to 255.
        views: pictures [B, side, side, 3] of the photos and, for the consistency loss, of the shifted photos.
        input_img: the pictures of the photos, mean-centered for VGG-19.
    """
    device: str
    crops: tf.Tensor
    photos: tf.Tensor
    styles: tf.Tensor
    contents: tf.Tensor
    views: list
    input_img: tf.Tensor


def devices(crops: int) -> list[str]:
    """Choose the devices that share `crops` crops evenly.

    Returns:
        Their names: '' for the default device, then '/gpu:1', '/gpu:2', … if there are more GPUs.
    """
    count = max(1, len(tf2.config.list_physical_devices('GPU')))
    while crops % count:
        count -= 1
    return ['', *(f'/gpu:{i}' for i in range(1, count))]


class NetworkTraining(abc.ABC):
    """The training of a network, in the same five steps as `style_transfer.StyleTransfer`.

    A subclass sets `network` before it calls this constructor, and implements the abstract methods.

    Attributes:
        network: the network; its `parameters` are name -> variable.
        collections: `crops.CropDataset`s, the first of photos, whose crops have a margin of SHIFT_PX.
        held_out: photos [n, side + 2 SHIFT_PX, …, 3] that show the progress.
        averages: pairs of variables, the moving average of a parameter and the parameter.
        towers: the `Tower`s; the first one is displayed and logged.
        loss_terms: the losses of the first tower, name -> tensor.
        means: the means of the losses over all towers and, in a cluster, over all replicas, name -> tensor.
        display_feed: the feed of `evaluate`: the held-out photos, and the averages instead of the parameters.
    """

    checkpoint_every = 200  # iterations
    has_converged = False

    def __init__(self, collections, batch: int, held_out: Sequence[Path], *, recipe: recipes.Recipe,
                 consistency_weight: float, start=None, task=None, style_imgs: Sequence[Path] = (), vgg=None,
                 seed: int = 0, precision: str = 'auto', threads: int = 0, name: str | None = None,
                 color_profiles: str = CONVERTED):
        """Read the weights and the held-out photos.

        Args:
            collections: `crops.CropDataset`s, the first of photos, whose crops have a margin of SHIFT_PX.
            batch: crops per step.
            held_out: paths of the photos that show the progress.
            recipe: the hyperparameters.
            consistency_weight: weight of the shift-consistency loss; with 0, the network takes half of the time.
            start: an `export.TrainedNetwork` to begin with, or None.
            task: a `cluster.Task`, started, which computes its part of each batch; None for this machine alone.
            style_imgs: paths of style images, for the sheet.
            vgg, seed, precision, threads, name: as in `style_transfer.StyleTransfer`.
            color_profiles: 'converted' if the ICC profiles of all images are used, as `collections` do; else 'ignored'.

        Raises:
            UserError: the batch cannot be shared evenly, or a file cannot be used.
        """
        self.collections, self.batch, self.consistency_weight = collections, batch, consistency_weight
        self.recipe, self.start, self.task, self.seed = recipe, start, task, seed
        self.side = collections[0].side - 2 * SHIFT_PX
        self.parts, self.part = (len(task.replicas), task.replica_index) if task else (1, 0)
        if batch % self.parts:
            raise UserError(f'--batch {batch}: must be a multiple of the {self.parts} tasks that share it')
        self.averages, self.style_paths = [], [Path(path) for path in style_imgs]
        self.color_profiles = color_profiles
        self.held_out = self._read_squares(held_out, collections[0].side)
        self.weights = load_vgg.read_weights(load_vgg.find_weights(vgg))
        self.graph = tf.Graph()
        self.run = self._make_run(name)
        self.precision = self.run.choose_precision(precision, takes_bfloat16=True)
        self.run.fingerprint['precision'] = self.precision
        self.config = session.session_config(self.precision, threads)
        self.model_folder = Path('models', self.run.name)

    def _fingerprint(self):
        """Return the settings that decide the result of any network's training."""
        return dict(vgg=files.file_hash(self.weights.path), side=self.side, seed=self.seed, **self.recipe.fingerprint(),
                    images=self.collections[0].hash, batch=self.batch, steadiness=self.consistency_weight,
                    start=self.start and self.start.hash, content_share=CONTENT_SHARE,
                    color_profiles=self.color_profiles)

    def _read_squares(self, paths, side):
        """Read images and fit them to squares, [images, side, side, 3]."""
        is_converted = self.color_profiles == CONVERTED
        return np.concatenate([utils.get_resized_image(path, side, side, is_converted) for path in paths])

    # Abstract methods, which the trainings of both kinds of networks implement

    @abc.abstractmethod
    def _make_run(self, name: str | None) -> runs.Run:
        """Return the run that the settings make."""

    @abc.abstractmethod
    def _create_styles(self, batches: list, first: int, count: int) -> tf.Tensor:
        """Return the styles of a tower's crops, in the form that `_stylize_views` takes.

        Args:
            batches: the tower's crops of each collection after the first.
            first: index of the tower's first crop in the whole batch.
            count: number of the tower's crops.
        """

    @abc.abstractmethod
    def _stylize_views(self, views: tf.Tensor, styles: tf.Tensor, count: int) -> tuple:
        """Stylize the views of the photos.

        Args:
            views: the first view of all photos, then the second, …, [count · B, side, side, 3], 0 to 255.
            styles: the styles of the photos, from `_create_styles`.
            count: number of views of each photo.

        Returns:
            The pictures of the views, and the images whose content the pictures are to have, [B, side, side, 3], 0 to
            255; None for the photos themselves.
        """

    @abc.abstractmethod
    def _style_targets(self, tower: Tower) -> list:
        """Return, for each style layer, a `statistics.StyleTarget` with the values of each crop's style."""

    @abc.abstractmethod
    def _display_feed(self) -> dict:
        """Return the feed that displays the held-out photos, placeholder -> value."""

    @abc.abstractmethod
    def _column_count(self) -> int:
        """Return the number of pictures that are displayed."""

    @abc.abstractmethod
    def _export(self, parameters: dict, about: dict) -> None:
        """Write the model's folder, see `fast.networks.export`."""

    # Methods that they may override

    def _first_value(self, key: str) -> np.ndarray | None:
        """Return the first value of a parameter, or None for the network's own."""
        return self.start and self.start.parameters[key]

    def _is_trained(self, key: str) -> bool:
        """Return whether a parameter is trained."""
        return True

    def _content_factors(self, tower: Tower):
        """Return the factors on the content losses of the crops, [B], or one number for all crops."""
        return 1.

    def _style_loss(self, targets: list, features: list) -> tf.Tensor:
        """Return the mean over the batch of the weighted style loss."""
        return objective.style_loss(self.recipe.style_layer_weights, targets, features)

    def _more_losses(self, tower: Tower) -> tuple:
        """Return further losses, name -> tensor, and their weighted sum to add to the total loss."""
        return {}, 0

    # Step 1: inference

    def build(self) -> None:
        """Build the graph; in a cluster, the variables are on its `ps_tasks`, and everything else is on this task."""
        with self.graph.as_default(), tf.device(self.task and self.task.placement()):
            self.create_input()
            losses = self.create_losses()
            self.optimize(losses)
            self.create_summary()
            self.init = tf.global_variables_initializer()
            self.saver = tf.train.Saver(max_to_keep=2)
        self.graph.finalize()

    def create_input(self) -> None:
        """Create the input pipeline, and a tower for each device: its crops and their pictures."""
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
        self.towers = []
        for i, device in enumerate(names):
            with tf.device(device):
                self.towers.append(self._create_tower(device, [tf.split(batch, len(names))[i] for batch in batches],
                                                      self.part * count + i * count // len(names)))
        self.display_feed = self._display_feed()

    def _create_tower(self, device, batches, first):
        """Create a `Tower`, with a second view of each photo, shifted and with noise, for the consistency loss.

        Args:
            device: name of the device.
            batches: the tower's crops of each collection.
            first: index of the tower's first crop in the whole batch, on which its styles and its noise depend.
        """
        around, side = self.collections[0].side, self.side
        with tf.variable_scope('input'):
            crops = tf.placeholder_with_default(batches[0], [None, around, around, 3], name='crops')
            photos = crops[:, SHIFT_PX:-SHIFT_PX, SHIFT_PX:-SHIFT_PX]
            styles = self._create_styles(batches[1:], first, batches[0].shape[0])
            views = [photos]
            if self.consistency_weight:
                moved = tf.slice(crops, [0, self.shift[0], self.shift[1], 0], [-1, side, side, -1])
                # Draw the noise of all earlier crops too, so that it does not depend on how the batch is shared.
                views += [moved + tf.random.stateless_normal(tf.shape(moved) + [first, 0, 0, 0],
                                                             [self.seed, self.gstep], stddev=NOISE_DEVIATION)[first:]]
        with tf.variable_scope('network', custom_getter=self._trained_or_averaged):
            pictures, contents = self._stylize_views(tf.concat(views, axis=0), styles, len(views))
            views = tf.split(pictures, len(views))
        input_img = tf.ensure_shape(views[0], [None, side, side, 3]) - self.weights.mean_pixels
        return Tower(device, crops, photos, styles, photos if contents is None else contents, views, input_img)

    def _trained_or_averaged(self, getter, name, **settings):
        """Return the network's parameter `name`: a trained variable, or its moving average if `use_averages` is true.

        Adam's steps never settle; the average of the last ones has a lower loss than any of them.
        """
        key = name.partition('/')[2]
        if (value := self._first_value(key)) is not None:
            settings['initializer'] = tf.constant_initializer(value)
        if not self._is_trained(key):
            return getter(name, **settings | dict(trainable=False))
        trained = getter(name, **settings)
        average = getter(f'{name}/average', **settings | dict(trainable=False))
        self.averages.append((average, trained))
        if self.part:  # Only the chief displays anything.
            return trained
        return tf.where_v2(self.use_averages, average, trained)

    def build_vgg(self, scope: str, image: tf.Tensor, layers: Sequence[str]) -> load_vgg.VGG:
        """Build VGG-19 on mean-centered images [B, H, W, 3], up to the deepest of `layers`, in a variable scope."""
        with tf.variable_scope(scope):
            vgg = load_vgg.VGG(image, self.weights, self.recipe.pooling, self.recipe.padding)
            vgg.load(layers)
        return vgg

    # Step 2: losses

    def create_losses(self) -> dict:
        """Create the losses of all towers; return their means, name -> tensor."""
        of_towers = []
        for tower in self.towers:
            with tf.device(tower.device):
                of_towers.append(self._tower_losses(tower))
        self.weights.convolutions.clear()  # They are constants of the graph now.
        self.loss_terms = of_towers[0]
        if len(of_towers) == 1:
            return self.loss_terms
        return {name: tf.add_n([losses[name] for losses in of_towers]) / len(of_towers) for name in self.loss_terms}

    def _tower_losses(self, tower):
        """Return the losses of a tower, name -> tensor."""
        recipe, mean = self.recipe, self.weights.mean_pixels
        photo = self.build_vgg('vgg_of_photos', tower.contents - mean, recipe.content_layers)
        P, targets = photo.features(recipe.content_layers), self._style_targets(tower)
        vgg = self.build_vgg('vgg', tower.input_img, recipe.content_layers + recipe.style_layers)
        with tf.variable_scope('losses'):
            factors = self._content_factors(tower)
            content_loss = sum(w * statistics.mean_relative_error(f, p, factors) for w, p, f in zip(
                recipe.content_layer_weights, P, vgg.features(recipe.content_layers)))
            style_loss = self._style_loss(targets, vgg.features(recipe.style_layers))
            tv_loss = objective.total_variation(tower.input_img) if recipe.tv_weight else 0.
            total_loss = sum(weight * loss for weight, loss in (
                (recipe.content_weight, content_loss), (recipe.style_weight, style_loss),
                (recipe.tv_weight, tv_loss)) if weight)
            losses = {'content_loss': content_loss, 'style_loss': style_loss,
                      **({'tv_loss': tv_loss} if recipe.tv_weight else {}), 'total_loss': total_loss}
            if self.consistency_weight:
                losses['shift_loss'] = self._consistency_loss(*tower.views)
                losses['total_loss'] += self.consistency_weight * losses['shift_loss']
            more, weighted_sum = self._more_losses(tower)
            if more:
                losses['total_loss'] += weighted_sum
        return losses | more

    def _consistency_loss(self, picture, moved):
        """Return the mean squared difference of two views' pictures where both show the same, EDGE_PX from their edges.

        It is relative to the square of half the range of values. Anything that follows the network's grid instead of
        the photo, such as checkerboard artifacts, adds to it.
        """
        size = self.side - SHIFT_PX - 2 * EDGE_PX
        low = tf.maximum(SHIFT_PX, self.shift) + EDGE_PX
        parts = [tf.slice(view, tf.concat([[0], low - corner, [0]], 0), [-1, size, size, -1])
                 for view, corner in ((picture, SHIFT_PX), (moved, self.shift))]
        return tf.reduce_mean(tf.square((parts[0] - parts[1]) / 127.5))

    # Step 3: optimizer

    def optimize(self, losses: dict) -> None:
        """Create the training op: a step of Adam, and then an update of the moving averages of the parameters.

        The decay of the averages grows with the number of steps, up to EMA_DECAY.

        Args:
            losses: the means over the towers, name -> tensor.
        """
        recipe, self.means = self.recipe, losses
        with tf.variable_scope('optimizer'):
            steps = tf.cast(self.gstep.read_value(), tf.float32)
            rate = recipe.learning_rate * tf.minimum(1., tf.sqrt(FULL_RATE_STEPS / (1 + steps)))
            optimizer = tf.train.AdamOptimizer(rate, recipe.beta1, recipe.beta2)
            pairs = optimizer.compute_gradients(losses['total_loss'], colocate_gradients_with_ops=len(self.towers) > 1)
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
        """Exchange gradients and losses with the other replicas; return the gradients of the whole batch."""
        gradients, variables = zip(*pairs)
        flat = tf.concat([tf.reshape(gradient, [-1]) for gradient in gradients], axis=0)
        self.exchange = replicas.GradientExchange(self.task, self.run, flat, self.means)
        self.means = self.exchange.losses
        with tf.device(self.task.device(self.task.ps_tasks[0])):
            parts = tf.split(self.exchange.gradient, [variable.shape.num_elements() for variable in variables])
            return [(tf.reshape(part, variable.shape), variable) for part, variable in zip(parts, variables)]

    # Step 4: summaries

    def create_summary(self) -> None:
        """Create the summary of the losses, and the displayed image, as uint8 and as JPEG."""
        with tf.name_scope('summaries'):
            for name, loss in self.loss_terms.items():
                tf.summary.scalar(name, loss)
            self.summary_op = tf.summary.merge_all()
            self.picture = tf.saturate_cast(tf.round(self._displayed_image()), tf.uint8)
            self.jpeg = tf.io.encode_jpeg(self.picture, quality=92)

    def _displayed_image(self):
        """Return the photos side by side, and their pictures below them, [2H, n·W, 3], 0 to 255."""
        tower = self.towers[0]
        rows = [tf.concat(tf.unstack(images, num=self._column_count()), axis=1)
                for images in (tower.photos, tower.input_img + self.weights.mean_pixels.reshape(1, 1, 1, 3))]
        return tf.concat(rows, axis=0)

    # Step 5: training

    def train(self, n_iters: int, callback: Callable | None = None, restart: bool = False,
              write_results: bool = True) -> progress.Outcome:
        """Train up to iteration `n_iters`, from the newest checkpoint of the run if it has one.

        Args, result and errors are those of `style_transfer.StyleTransfer.train`.
        """
        with self.run.acquire(restart) as run, self.open_session() as sess:
            initial_step = run.restore(self.saver, sess)
            if not initial_step:
                self.initialize(sess)
            trainer = Trainer(self, initial_step, n_iters, callback)
            if not trainer.ending:
                writer = run.event_writer(self.graph, initial_step)
                with trainer.steps(sess, writer) as steps:
                    for step, losses, summary, jpeg, is_saved in steps:
                        if summary:
                            run.write_step(writer, step, summary, jpeg)
                        if is_saved:
                            writer.flush()
                            run.save(self.saver, sess, step, losses)
            return trainer.finish(sess, write_results)

    def open_session(self):
        """Return a context manager that opens a session; in a cluster, it is `GradientExchange.session`."""
        return (self.exchange.session(self.graph, self.config) if self.task else
                tf.Session(graph=self.graph, config=self.config))

    def initialize(self, sess: tf.Session) -> None:
        """Give the variables their first values."""
        sess.run(self.init)

    def evaluate(self, sess: tf.Session) -> list:
        """Return the losses, the summary, the displayed image and its JPEG; see `StyleTransfer.evaluate`."""
        return sess.run([self.loss_terms, self.summary_op, self.picture, self.jpeg], self.display_feed)

    def optimizer_steps(self, sess: tf.Session, step: int) -> Iterator[dict]:
        """Train step by step, from iteration `step` on; yield the losses before each step.

        Raises:
            KeyboardInterrupt: the training was asked to stop while it waited for a replica.
        """
        sess.run(self.start_input, {self.first: step})
        while True:
            if self.task and not self.exchange.aggregate(sess, step):
                self.run.save(self.saver, sess, step, self.evaluate(sess)[0])
                print(f'stopped at iteration {step}; the same command continues from there')
                raise KeyboardInterrupt
            losses, _ = sess.run([self.means, self.opt])
            yield losses
            step += 1

    def worker_loop(self) -> str:
        """Compute this task's part of each batch until the chief ends.

        Returns:
            How the chief ended, a key of `replicas.ENDINGS`.
        """
        return self.exchange.worker_loop(self.graph, self.config, self.start_input, self.first)

    def write_results(self, sess: tf.Session) -> None:
        """Write the result files of the run, as `StyleTransfer` does, and export the model."""
        losses, _, picture, _ = self.evaluate(sess)
        height = 2 * self.side
        originals = list(self._read_squares(self.style_paths, height)) if self.style_paths else []
        output.write_results(self.run, picture, losses, originals, output.reproduction_info(self.run, ()))
        about = self.run.fingerprint | dict(vgg_file=self.weights.path.name, steps=int(sess.run(self.gstep)),
                                            held_out={name: float(loss) for name, loss in losses.items()})
        self._export(sess.run(self.network.parameters, self.display_feed), about)
