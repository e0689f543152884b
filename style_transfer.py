"""Neural style transfer (Gatys, Ecker and Bethge 2015) the way Stanford's CS20 taught it, assignment 2.

    python style_transfer.py --content photo.jpg --style painting.jpg

`StyleTransfer` has the five steps of the handout, assignment/README.md: a trainable image goes through VGG-19 (1), is
compared with the content and the style image (2), is changed by an optimizer (3), and is summarized (4) during training
(5). Students write the code between `### BEGIN` and `### END`, which `assignment.make_starter` replaces by a TODO.
"""

import sys
import tempfile
import time
from pathlib import Path

from common import process

if __name__ == '__main__':
    process.while_loading()  # Importing TensorFlow takes seconds; Ctrl-C must not print a traceback meanwhile.

import numpy as np

import load_vgg
import recipes
import utils
from common import errors, progress
from common.tf1 import tf
from engine.cli import command, flags
from engine.losses import objective
from engine.losses.features import lazy_constant
from engine.optim import OPTIMIZERS, pyramid, takes_bfloat16
from engine.results import output
from engine.run import memory, runs, session
from engine.run.trainer import Trainer


class StyleTransfer:
    """A picture with the content of one image and the style of another, found by training its pixels.

    Attributes:
        recipe: The hyperparameters, a `recipes.Recipe`.
        images: The `objective.Images`; content_img and style_img are its content image and its first style image.
        input_img: The trained image, a variable, float32 [1, H, W, 3], mean-centered.
        displayed_img: The displayed image, mean-centered: input_img or its moving average, with mask and colors.
        objective: The style loss of recipes that go beyond CS20's, an `objective.Objective`; None for CS20's.
        run: The `runs.Run`, with the folders, checkpoints and losses.
        output, command: An `OutputFile` to write as well, or None; the flags that make the picture, but --iterations.
    """

    checkpoint_every = 20  # iterations
    recipe, command, color_profiles = recipes.CS20, (), 'converted'
    objective = output = displayed_img = extractors = shared = None
    has_converged = False  # Set by an optimizer that finds nothing better.

    def __init__(self, content_img, style_img, img_width, img_height, *, style_weights=None, mask=None,
                 recipe=recipes.CS20, vgg=None, seed=0, precision='auto', threads=0, name=None, initial_img=None,
                 folder='.', color_profiles='auto'):
        """Read the images and the weights; raise `UserError` if one of them or a checkpoint cannot be used.

        Args:
            content_img: Path of the content image.
            style_img: Path of the style image, or a list of paths, whose styles are blended.
            img_width, img_height: Size of the picture in pixels.
            style_weights: One number for each style, of which only the ratios matter; None for equal weights.
            mask: Path of an image: white for the first style, black for the second one or, with one style, the photo.
            recipe: The hyperparameters, a `recipes.Recipe`.
            vgg: Path of the VGG-19 weights; None to search for them.
            seed, threads: Seed of the noise in the starting image; number of threads, 0 for one per core.
            precision: 'float32', 'bfloat16' or 'auto', see `runs.Run.choose_precision`.
            name, folder: Name of the run, None for content-style-recipe; folder of outputs, checkpoints and graphs.
            initial_img: The starting image, a path or float32 [1, H, W, 3], 0 to 255; None for that of the recipe.
            color_profiles: 'converted', 'ignored' or 'auto', see `runs.Run.choose_color_profiles`.
        """
        self.img_width, self.img_height, self.recipe = img_width, img_height, recipe
        self.content_path, self.mask_path = (path and Path(path) for path in (content_img, mask))
        styles = style_img if isinstance(style_img, (list, tuple)) else [style_img] if style_img else []
        self.style_paths, self.style_weights = [Path(path) for path in styles], style_weights
        self.color_profiles = runs.picture_color_profiles(self, name, folder, color_profiles)
        self.read_images()
        self.initial_img = objective.read_initial_img(initial_img, img_width, img_height, self.color_profiles)
        self.weights = load_vgg.read_weights(load_vgg.find_weights(vgg))
        self.seed, self.rng, self.graph = seed, np.random.default_rng(seed), tf.Graph()
        self.run = runs.picture_run(self, name, folder)
        self.precision = self.run.choose_precision(precision, takes_bfloat16(recipe))
        self.run.fingerprint['precision'], self.config = self.precision, session.session_config(self.precision, threads)

    optimizer = property(lambda self: OPTIMIZERS[self.recipe.optimizer])

    def create_input(self):
        """Step 1, inference: create a variable [1, H, W, 3] for the content, style and generated image in turn.

        All three have the same size and go through the same network, so the graph is built once. Images that are
        assigned to the variable are mean-centered: the mean pixel of VGG-19's training images is subtracted.
        """
        with tf.variable_scope('input'):
            self.input_img = self.displayed_img = (self.shared.image_variable('in_img') if self.shared else
                tf.get_variable('in_img', [1, self.img_height, self.img_width, 3], tf.float32, tf.zeros_initializer()))
            self.new_img = tf.placeholder(tf.float32, self.input_img.shape, name='new_img')
            self.assign_img = self.input_img.assign(self.new_img)
            self.gstep = tf.train.get_or_create_global_step()
        self.center_images()

    def center_images(self):
        """Subtract the mean pixel from the content, the style and the starting image."""
        self.centered_content, self.centered_style = (image - self.weights.mean_pixels
                                                      for image in (self.content_img, self.style_img))
        self.centered_start = (self.initial_img - self.weights.mean_pixels if self.initial_img is not None else
                               utils.starting_image(self.centered_content, self.recipe, self.rng))

    def load_vgg(self):
        """Step 1, inference: stack VGG-19 on the input."""
        with tf.variable_scope('vgg'):
            self.vgg = load_vgg.VGG(self.input_img, self.weights, self.recipe.pooling, self.recipe.padding)
            self.vgg.load(self.recipe.content_layers + self.recipe.style_layers)
        self.objective = objective.Objective.for_picture(self)
        self.weights.convolutions.clear()  # They are constants of the graph now; these copies would hold 80 MB.

    def _content_loss(self, P, F):
        """Return the loss of one content layer, Σ (F − P)² / (4s), where s is the number of elements of P.

        P and F are the features of the content and of the generated image, [1, H, W, N]. The paper has 1/2 instead of
        1/(4s) (equation 1).
        """
        ### BEGIN SOLUTION 2: return one number, a tensor; P and F are tensors
        s = np.prod(P.shape[1:])
        return self.recipe.content_factor(s) * tf.reduce_mean(tf.reduce_sum(tf.square(F - P), axis=[1, 2, 3]))
        ### END SOLUTION

    def _gram_matrix(self, F, N, M):
        """Return the Gram matrix G = FᵀF, [1, N, N], where G_ij = Σ_k F_ki F_kj (equation 3).

        F has features [1, H, W, N] of N channels at M = H·W positions. If F is an array, G is an array too, so that the
        style image's features need not be stored in the graph.
        """
        ### BEGIN SOLUTION 2: the N features of each position are a row, so there are M rows
        if isinstance(F, np.ndarray):
            F = F.reshape(-1, M, N)
            with np.errstate(over='ignore'):  # A loss that is not finite is reported later, with its iteration.
                return F.swapaxes(1, 2) @ F
        F = tf.reshape(F, [-1, M, N])
        return tf.matmul(F, F, transpose_a=True)
        ### END SOLUTION

    def _single_style_loss(self, a, g):
        """Return the loss of one style layer, E = Σ (G − A)² / (4 N² M²) (equation 4).

        a has the features of the style image, an array [1, H, W, N], and g those of the generated image, a tensor.
        """
        ### BEGIN SOLUTION 2: return one number, a tensor, from the Gram matrices of both
        _, H, W, N = a.shape
        M = H * W
        A = self._gram_matrix(a, N, M)
        G = self._gram_matrix(g, N, M)
        return self.recipe.style_factor(N, M) * tf.reduce_mean(tf.reduce_sum(tf.square(G - A), axis=[1, 2]))
        ### END SOLUTION

    def _style_loss(self, A):
        """Return the weighted sum of E over the style layers (equation 5); A has the style image's features, arrays."""
        ### BEGIN SOLUTION 2: self.recipe.style_layers names the layers, self.vgg has the generated image's features
        E = [self._single_style_loss(a, g) for a, g in zip(A, self.vgg.features(self.recipe.style_layers))]
        return sum(w * e for w, e in zip(self.recipe.style_layer_weights, E))
        ### END SOLUTION

    def target_features(self):
        """Return the features P of the content image and A of the style image, arrays."""
        content_layers, style_layers = map(self.vgg.features, (self.recipe.content_layers, self.recipe.style_layers))
        with self.open_session() as sess:
            sess.run(self.assign_img, {self.new_img: self.centered_content})
            # Always fetch both lists: for another set of fetches, TensorFlow takes seconds to build a second plan.
            P, _ = sess.run([content_layers, style_layers])
            sess.run(self.assign_img, {self.new_img: self.centered_style})
            _, A = sess.run([content_layers, style_layers])
        return P, A

    def losses(self):
        """Step 2, losses: compute α · content loss + β · style loss from the features of all three images."""
        recipe = self.recipe
        with tf.variable_scope('losses'):
            if self.objective:
                self.content_loss, self.style_loss = self.objective.losses(self.vgg, self.shared)
            else:
                P, A = self.target_features()
                weights, F = objective.content_weights(recipe, P), self.vgg.features(recipe.content_layers)
                P = map(lazy_constant, P, F)  # From here on, P has tensors.
                self.content_loss = sum(w * self._content_loss(p, f) for w, p, f in zip(weights, P, F))
                self.style_loss = self._style_loss(A)
            self.tv_loss = objective.total_variation(self.input_img) if recipe.tv_weight else 0.
            ### BEGIN SOLUTION 2: self.total_loss has each term, multiplied by its weight in the recipe
            # Terms of weight 0 are left out, because their gradients would be computed too.
            self.total_loss = sum(weight * loss for weight, loss in (
                (recipe.content_weight, self.content_loss), (recipe.style_weight, self.style_loss),
                (recipe.tv_weight, self.tv_loss)) if weight)
            ### END SOLUTION
        self.loss_terms = {'content_loss': self.content_loss, 'style_loss': self.style_loss,
                           **({'tv_loss': self.tv_loss} if recipe.tv_weight else {}), 'total_loss': self.total_loss}

    def optimize(self):
        """Step 3, optimizer: change the pixels, the only trainable variable, by the recipe's optimizer."""
        recipe = self.recipe
        with tf.variable_scope('optimizer'):
            if not self.optimizer.in_handout:
                self.optimizer.build(self)
                return
            ### BEGIN SOLUTION 3: self.opt moves the image and counts in self.gstep
            optimizer = tf.train.AdamOptimizer(recipe.learning_rate, recipe.beta1, recipe.beta2)
            self.opt = optimizer.minimize(self.total_loss, global_step=self.gstep)
            ### END SOLUTION
            self.opt, self.displayed_img = self.optimizer.constrain(self)

    def create_summary(self):
        """Step 4, summaries: summarize the losses, and create the picture with its mean added back, uint8 [H, W, 3]."""
        with tf.name_scope('summaries'):
            ### BEGIN SOLUTION 4: self.summary_op has a scalar for each of self.loss_terms, picture is self._image()
            for name, loss in self.loss_terms.items():
                tf.summary.scalar(name, loss)
            self.summary_op = tf.summary.merge_all()
            self.picture = tf.saturate_cast(tf.round(self._image()), tf.uint8)
            ### END SOLUTION
            self.image = self._image()  # A file with 16 bits needs the values before rounding.
            # Encode once, for the numbered file and for TensorBoard. PNGs would take most of a run's disk space.
            self.jpeg = tf.io.encode_jpeg(self.picture, quality=92)

    def _image(self):
        """Return the displayed image, [H, W, 3], 0 to 255."""
        ### BEGIN SOLUTION 4: return self.displayed_img with the mean added back
        return (self.displayed_img + self.vgg.mean_pixels)[0]
        ### END SOLUTION

    def build(self):
        """Assemble the graph: steps 1 to 4."""
        with self.graph.as_default():
            self.create_input()
            self.load_vgg()
            self.losses()
            self.optimize()
            self.displayed_img = objective.composite(self.displayed_img, self.recipe, self.images,
                                                     self.weights.mean_pixels)
            self.create_summary()
            ### BEGIN SOLUTION 5: self.init gives every variable its first value; self.saver keeps two checkpoints
            self.init = tf.global_variables_initializer()
            self.saver = tf.train.Saver(max_to_keep=2)
            ### END SOLUTION
        self.graph.finalize()

    def train(self, n_iters, callback=None, restart=False, write_results=True):
        """Step 5, training: train up to iteration `n_iters` of the run, from its newest checkpoint if it has one.

        Args:
            n_iters: The last iteration, counted from the first one of the run.
            callback: Called with a `progress.Iteration` after each iteration.
            restart, write_results: Whether to start over instead of resuming; whether to write the final pictures.

        Returns the `progress.Outcome`, whose ending is 'finished', 'stopped' (by Ctrl-C) or 'converged'. Raises
        `UserError` if a loss is not finite, or if the run on disk has other settings or is in use.
        """
        with self.run.acquire(restart) as run, self.open_session() as sess:
            ### BEGIN SOLUTION 5: run.restore restores the newest checkpoint and returns its iteration; without one, it
            ###   returns run.start_step; then call self.initialize
            initial_step = run.restore(self.saver, sess)
            if initial_step == run.start_step:
                self.initialize(sess)
            ### END SOLUTION
            trainer = Trainer(self, initial_step, n_iters, callback)
            if not trainer.ending:
                ### BEGIN SOLUTION 5: open the writer of the event files, with run.event_writer
                writer = run.event_writer(self.graph, initial_step)
                ### END SOLUTION
                with trainer.steps(sess, writer) as steps:
                    for step, losses, summary, jpeg, is_saved in steps:
                        if summary:
                            run.write_step(writer, step, summary, jpeg)
                        if is_saved:
                            writer.flush()
                            ### BEGIN SOLUTION 5: write a checkpoint, with run.save
                            run.save(self.saver, sess, step, losses)
                            ### END SOLUTION
            return trainer.finish(sess, write_results)

    def evaluate(self, sess):
        """Return the current losses, their summary, the picture uint8 [H, W, 3] and the picture as JPEG.

        Always fetch this list: for another one, TensorFlow builds a second execution plan with a second copy of VGG.
        """
        ### BEGIN SOLUTION 5: fetch self.loss_terms, self.summary_op, self.picture and self.jpeg
        return sess.run([self.loss_terms, self.summary_op, self.picture, self.jpeg])
        ### END SOLUTION

    def initialize(self, sess):
        """Give the variables their first values, and the image the starting image."""
        ### BEGIN SOLUTION 5: afterwards the image is the starting image, self.centered_start
        sess.run(self.init)
        sess.run(self.assign_img, {self.new_img: self.centered_start})
        ### END SOLUTION

    def optimizer_steps(self, sess, step):
        """Change the image step by step, and yield the losses before each step; pictures do not need `step`."""
        if not self.optimizer.in_handout:
            yield from self.optimizer.steps(self, sess)
            return
        while True:
            ### BEGIN SOLUTION 5: run one step of the optimizer; the losses are those before it
            losses, _ = sess.run([self.loss_terms, self.opt])
            ### END SOLUTION
            yield losses

    def open_session(self):
        """Return a new session on the graph, or the session of a graph that several levels share."""
        return self.shared.open_session(self.config) if self.shared else tf.Session('', self.graph, self.config)

    def write_results(self, sess):
        """Write the final picture and the loss curves, which the handout asks for, a contact sheet and an animation."""
        losses, _, picture, _ = self.evaluate(sess)
        info, styles = output.reproduction_info(self.run, self.command), self.images.styles
        originals = [self.images.photo[0], *(utils.scale_to_height(style[0], self.img_height) for style in styles)]
        output.write_results(self.run, picture, losses, originals, info)
        if self.output:
            self.output.write(sess.run(self.image), info)

    def read_images(self):
        """Read the images and resize them to the size of the picture."""
        self.images = objective.read_images(self.content_path, self.style_paths, self.mask_path, self.style_weights,
                                            self.img_width, self.img_height, self.recipe, self.color_profiles)
        self.content_img, self.style_img = self.images.content, self.images.styles[0] if self.style_paths else None

    def levels(self):
        """Return the `pyramid.Level`s of the picture, in the order in which they are trained."""
        return pyramid.levels(self.recipe, self.img_width, self.img_height, self.weights.path)

    def check_memory(self):
        """Raise `UserError`, before anything is built, if the picture does not fit into the free memory."""
        memory.check_pyramid(self.levels(), self.weights, self.optimizer, self.precision)

    def train_pyramid(self, callback=None, restart=False):
        """Train at each of `levels`, coarse to fine; this calls `build` and `train` for each of them."""
        return pyramid.train_levels(self, self.levels(), callback, restart)


def stylize(content, style, *, recipe='modern', size=None, callback=None, strength=0.5, start=None, mask=None,
            name=None, **settings):
    """Return the picture of a photo in a style, uint8 [H, W, 3].

    Args:
        content, style: The photo; one style image or a list. Images are paths, arrays or Pillow's, see `utils.as_file`.
        recipe: Name of a recipe in `recipes.RECIPES`.
        size: The longer side in pixels, or a tuple (width, height); None for the recipe's longer side.
        callback, strength: Called with a `progress.Iteration` after each one; 0 to 1, 0.5 leaves the recipe unchanged.
        start, mask: The starting image, None for that of the recipe; the mask, as in `StyleTransfer`.
        name: Name of a run whose files are kept; None to leave no files on disk.
        settings: Arguments of `StyleTransfer` or `pyramid.reschedule`, or fields of the recipe.

    Raises `UserError` for what the caller can fix, and KeyboardInterrupt after Ctrl-C.
    """
    fields, schedule = ({key: settings.pop(key) for key in list(settings) if key in names}
                        for names in (recipes.FIELD_NAMES, pyramid.SCHEDULE_SETTINGS))
    fields |= {} if start is None else {'init': 'content'}  # The recipe's starting image is not used.
    recipe = runs.begun_recipe(name, recipes.named(recipe)).with_settings(**fields).with_strength(strength)
    with tempfile.TemporaryDirectory() as folder:
        content, mask, start = (utils.as_file(image, folder) for image in (content, mask, start))
        styles = [utils.as_file(image, folder) for image in (style if isinstance(style, (list, tuple)) else [style])]
        size = size if isinstance(size, tuple) else utils.output_size(content, size or max(recipe.size))
        recipe = pyramid.reschedule(recipe, *size, **schedule)
        machine = StyleTransfer(content, styles, *size, mask=mask, recipe=recipe, name=name,
                                folder='.' if name else folder, **{'initial_img': start} | settings)
        machine.check_memory()
        if machine.train_pyramid(callback).ending == 'stopped':
            raise KeyboardInterrupt
        return utils.to_uint8(utils.read_image(machine.run.outputs / 'final.png'))


@errors.command_line
def main(argv=None):
    """Run style transfer as the flags say; return the exit status."""
    parser, args = command.parse(__doc__.split('\n')[0], sys.argv[1:] if argv is None else argv)
    recipe = flags.recipe(args)
    size, source = flags.size(args, recipe.size)
    machine = StyleTransfer(args.content, args.style, *size, **command.machine_settings(args, recipe, *size))
    machine.output = flags.output_file(args, *size)
    machine.command = flags.reproduction_command(parser, args, machine.precision)
    machine.check_memory()
    command.print_settings(args, machine, source)
    start_time, levels = time.time(), machine.levels()
    with progress.display(recipe, levels[-1].end_step, args.verbose, pyramid.iteration_cost(levels)) as shown:
        outcome = machine.train_pyramid(shown, args.restart)
    if not progress.report_ending(outcome, machine.run.name, args.restart):
        return 130
    picture, seconds = args.output or machine.run.outputs / 'final.png', time.time() - start_time
    print(f'{picture}: {outcome.step} iterations, {seconds:.1f} s')


if __name__ == '__main__':
    sys.exit(main())
