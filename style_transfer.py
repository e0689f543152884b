"""Neural style transfer (Gatys, Ecker and Bethge 2015) the way Stanford's CS20 taught it, assignment 2.

    python style_transfer.py --content photo.jpg --style painting.jpg

The five steps: a trainable image goes through VGG-19, losses, optimizer, summaries, training.
"""

import contextlib
import dataclasses
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path

from common import process

if __name__ == '__main__':
    process.while_loading()  # before the imports that take seconds

import numpy as np

import load_vgg
import recipes
import utils
from common import cli, errors, files, images, names, process, progress
from common.tf1 import tf
from engine.cli import flags
from engine.losses import guidance, statistics
from engine.losses.features import extract_features, lazy_constant
from engine.optim import averaging, lbfgs, pyramid
from engine.results import output
from engine.run import memory, runs, session


class StyleTransfer:
    """A picture with the content of one image and the style of another, found by training its pixels.

    content_img, style_img: paths of images; both are fitted into img_width × img_height, the size of the result, the
    style where the recipe has it so; style_img may be a list of paths
    style_weights: of several styles, a number each, of which any multiple means the same; None for equal ones
    mask: path of an image, white where the first style goes, black where the second does, or the photo stays
    recipe: the hyperparameters; vgg: path of the weights, None for the best ones at hand
    seed: of the noise in the starting image; threads: 0 for one a core
    precision: 'float32', 'bfloat16' or 'auto', see `runs.Run.precision`
    name: of the run's folders, None for content-style-recipe
    targets: (P, A), lists with one entry a layer, features or for A `style_statistics.Target`; None for the images' own
    initial_img: [1, H, W, 3] of 0-255 to start from, in place of what the recipe says
    run: a `runs.Run` in place of the one that the settings make, whose folders lie in `folder`

    As attributes shares are the style weights, adding up to 1; photo is [1, H, W, 3] of 0-255, content_img the same and
    style_img the first of style_imgs as the network sees them (`colors.prepared`), mask [H, W] of 0 to 1. They may be
    None where nothing needs them. displayed_img is what people are shown.
    It owns its graph; a session lives only inside `losses` and `train`. Raises `UserError` for what the user can mend.
    """

    checkpoint_every = 20  # iterations
    recipe = recipes.CS20
    targets = style_targets = mask = displayed_img = None
    output = None  # `output.OutputFile`, a file that the picture is written to beside the run's own
    command = ()  # the flags that make this picture again, but for its iterations
    display_feed = {}  # what a pass that shows and logs is fed
    has_converged = False  # by an optimizer that finds nothing better

    def __init__(self, content_img, style_img, img_width, img_height, *, style_weights=None, mask=None,
                 recipe=recipes.CS20, vgg=None, seed=0, precision='auto', threads=0, name=None, targets=None,
                 initial_img=None, run=None, folder='.'):
        self.img_width, self.img_height = img_width, img_height
        self.recipe, self.targets, self.initial_img = recipe, targets, initial_img
        self.content_path, self.mask_path = (path and Path(path) for path in (content_img, mask))
        styles = style_img if isinstance(style_img, (list, tuple)) else [style_img] if style_img else []
        self.style_paths, self.style_weights = [Path(path) for path in styles], style_weights
        self._read_images()
        self.weights = load_vgg.read_weights(load_vgg.find_weights(vgg))
        self.seed, self.threads = seed, threads
        self.rng = np.random.default_rng(seed)
        self.graph = tf.Graph()
        self.run = run or self._run(name, seed, folder)
        self.precision = self.run.fingerprint['precision'] = self.run.precision(precision, recipe.optimizer)
        self.config = session.session_config(self.precision, threads)

    def _read_images(self):
        """Read and fit the images. Raises `UserError` for styles, weights and a mask that do not go together."""
        self.normalized_style_weights = guidance.blend_weights(self.style_paths, self.style_weights, self.mask_path)
        size, recipe = (self.img_width, self.img_height), self.recipe
        self.photo = self.content_path and utils.get_resized_image(self.content_path, *size)
        self.mask = self.mask_path and guidance.read_mask(self.mask_path, self.content_path, *size)
        styles = [utils.get_style_image(path, *size, recipe.style_fit == 'crop', recipe.style_scale)
                  for path in self.style_paths]
        self.content_img, self.style_imgs = images.prepare_colors(self.photo, styles, recipe.keep_colors)
        self.style_img = self.style_imgs[0] if styles else None

    def _run(self, name, seed, folder):
        """The run that the settings make."""
        hashes = [files.file_hash(path) for path in self.style_paths]
        identity = dict(content=files.file_hash(self.content_path), style=hashes[0] if len(hashes) == 1 else hashes,
                        vgg=files.file_hash(self.weights.path), width=self.img_width, height=self.img_height, seed=seed,
                        **self.recipe.fingerprint())
        if self.initial_img is not None:
            identity['initial_img'] = hashlib.sha256(np.float32(self.initial_img).tobytes()).hexdigest()
        if self.mask_path:
            identity['mask'] = files.file_hash(self.mask_path)
        if len(hashes) > 1:
            identity['style_weights'] = self.normalized_style_weights
        styles = '+'.join(path.stem for path in self.style_paths)
        name = name or names.from_files(self.content_path.stem, styles, self.recipe.name)
        return runs.Run(name, identity, recipes.legacy_defaults(), folder)

    def check_memory(self):
        """Raise `UserError`, before anything is built, where the picture does not fit into the free memory."""
        sizes = [scale.recipe for scale in pyramid.levels(self.recipe, self.img_width, self.img_height)]
        # of all sizes: what the network of a smaller one took is not given back to the system
        layers = [layer for recipe in sizes for layer in recipe.content_layers + recipe.style_layers]
        filters = [W.nbytes for W, _ in self.weights.convolutions.values()]
        before_relu = any(layer.endswith(load_vgg.BEFORE_RELU) for layer in layers)
        memory.check_size(self.img_width, self.img_height, sum(filters[:load_vgg.deepest_index(layers) + 1]),
                     self.recipe.optimizer, self.precision, before_relu)

    def create_input(self):
        """One variable [1, H, W, 3] that is the content image, the style image and the generated one in turn.

        All three are of one size and go through the same network, so the graph is built once, and assigned to. What is
        assigned is centered: less the mean that VGG-19 expects.
        """
        with tf.variable_scope('input'):
            self.input_img = tf.get_variable('in_img', shape=[1, self.img_height, self.img_width, 3], dtype=tf.float32,
                                             initializer=tf.zeros_initializer())
            self.new_img = tf.placeholder(tf.float32, self.input_img.shape, name='new_img')
            self.assign_img = self.input_img.assign(self.new_img)
            self.gstep = tf.train.get_or_create_global_step()
        self.displayed_img = self.input_img
        self.centered_content, self.centered_style = (image - self.weights.mean_pixels
                                                    for image in (self.content_img, self.style_img))
        self.centered_start = self._starting_image()

    def load_vgg(self):
        """Step 1, inference: stack VGG-19 on the input."""
        with tf.variable_scope('vgg'):
            self.vgg = load_vgg.VGG(self.input_img, self.weights, self.recipe.pooling, self.recipe.padding)
            self.vgg.load(self.recipe.content_layers + self.recipe.style_layers)
        if not self.targets:
            self.style_targets = self._style_targets()
        self.weights.convolutions.clear()  # they are constants of the graph now; here they are 80 MB

    def _starting_image(self):
        """Where training starts, [1, H, W, 3], centered."""
        init, amplitude = self.recipe.init, self.recipe.noise_amplitude
        if self.initial_img is not None:
            return self.initial_img - self.weights.mean_pixels
        if init == 'content':
            return self.centered_content
        if init == 'normal':
            return self.rng.normal(0, amplitude, self.centered_content.shape).astype(np.float32)
        return utils.generate_noise_image(self.centered_content, self.recipe.noise_ratio, amplitude, self.rng)

    def _content_loss(self, P, F):
        """The loss of one content layer: Σ (F − P)² / (4s), s the number of elements of P (handout, step 2).

        P, F: features of the content image and of the generated one, [1, H, W, N]; of a batch it is the mean.
        The paper has 1/2 in place of 1/(4s) (equation 1).
        """
        # step 2: one number, a tensor; P and F are tensors
        s = np.prod(P.shape[1:])
        return self.recipe.content_factor(s) * tf.reduce_mean(tf.reduce_sum(tf.square(F - P), axis=[1, 2, 3]))

    def _content_weights(self, P):
        """The weights of the content layers, in which a share of P's own sum of squares has its divisor."""
        weights = self.recipe.content_layer_weights
        if self.recipe.content_coefficient != recipes.RELATIVE_TO_CONTENT:
            return weights
        return [w / (np.square(p).sum() / len(p) + statistics.MIN_DIVISOR) for w, p in zip(weights, P)]

    def _gram_matrix(self, F, N, M):
        """G = FᵀF, [1, N, N], of features F [1, H, W, N] with M = H·W: G_ij = Σ_k F_ki F_kj (equation 3).

        Of a tensor it is a tensor, of an array an array: the style image's features would fill the graph as constants.
        """
        # step 2: every position's N features are a row, M rows
        if isinstance(F, np.ndarray):
            F = F.reshape(-1, M, N)
            with np.errstate(over='ignore'):  # a loss that is not finite is reported where it is met
                return F.swapaxes(1, 2) @ F
        F = tf.reshape(F, [-1, M, N])
        return tf.matmul(F, F, transpose_a=True)

    def _single_style_loss(self, a, g):
        """The loss of one style layer, E = Σ (G − A)² / (4 N² M²) (equation 4).

        a: features of the style image [1, H, W, N], an array; g: those of the generated image, a tensor; of a batch of
        them it is the mean. One of `style_statistics.TARGETS` in place of a has a loss of its own.
        """
        if isinstance(a, statistics.TARGET_TYPES):
            return a.loss(g)
        # step 2: one number, a tensor, from the Gram matrices of both
        _, H, W, N = a.shape
        M = H * W
        A = self._gram_matrix(a, N, M)
        G = self._gram_matrix(g, N, M)
        return self.recipe.style_factor(N, M) * tf.reduce_mean(tf.reduce_sum(tf.square(G - A), axis=[1, 2]))

    def _style_loss(self, A):
        """The weighted sum of E over the style layers (equation 5).

        A: one entry a layer, the style image's features or a target.
        """
        # step 2: the layers are self.recipe.style_layers, features of the generated image those of self.vgg
        E = [self._single_style_loss(a, g) for a, g in zip(A, self.vgg.features(self.recipe.style_layers))]
        return sum(w * e for w, e in zip(self.recipe.style_layer_weights, E))

    def statistic(self):
        """What the recipe takes as the style of a layer: an object of `style_statistics`."""
        return (statistics.STATISTICS.get(self.recipe.style_statistic)
                or statistics.Gram(self._gram_matrix, self.recipe.style_factor))

    def _total_variation_loss(self):
        """The mean squared difference of vertical neighbors, plus that of horizontal ones."""
        image = self.input_img
        return (tf.reduce_mean(tf.square(image[:, 1:] - image[:, :-1])) +
                tf.reduce_mean(tf.square(image[:, :, 1:] - image[:, :, :-1])))

    def _targets(self):
        """The features P of the content image and A of the style image, one array a layer; for A also a target."""
        if self.style_targets:
            with self.open_session() as sess:
                sess.run(self.assign_img, {self.new_img: self.centered_content})
                return sess.run(self.vgg.features(self.recipe.content_layers)), self.style_targets
        # both lists of both images, of which half is needed: a session plans anew, a second or two, for other fetches
        features = [self.vgg.features(layers) for layers in (self.recipe.content_layers, self.recipe.style_layers)]
        with self.open_session() as sess:
            sess.run(self.assign_img, {self.new_img: self.centered_content})
            P, _ = sess.run(features)
            sess.run(self.assign_img, {self.new_img: self.centered_style})
            _, A = sess.run(features)
        return P, A

    def _style_targets(self):
        """A target a style layer; None where the style is CS20's, Gram matrices of an image of the picture's size."""
        recipe, statistic = self.recipe, self.statistic()
        if (recipe.style_statistic == 'gram' and recipe.style_fit == 'crop' and len(self.style_imgs) == 1
                and self.mask is None):
            return None
        values = zip(*(extract_features(self.weights, style, recipe.style_layers, recipe.pooling, recipe.padding,
                                   self.config, statistic.compute) for style in self.style_imgs))
        if self.mask is None:
            return [statistics.StyleTarget(statistic, statistic.blend(styles, self.normalized_style_weights))
                    for styles in values]
        guides = zip(*(guidance.guidance_masks(mask, recipe.style_layers, recipe.pooling, self.config)
                       for mask in (self.mask, 1 - self.mask)))
        return [statistics.GuidedStyleTarget(statistic, *pair) for pair in zip(values, guides)]

    def losses(self):
        """Step 2, loss: α · content + β · style, against the features of the two fixed images."""
        recipe = self.recipe
        with tf.variable_scope('losses'):
            P, A = self.targets or self._targets()
            if recipe.style_statistic != 'gram':  # what is taught takes the features as they are
                A = statistics.make_targets(self.statistic(), A)
            weights, F = self._content_weights(P), self.vgg.features(recipe.content_layers)
            P = [lazy_constant(p, f) if isinstance(p, np.ndarray) else p for p, f in zip(P, F)]
            self.content_loss = sum(w * self._content_loss(p, f) for w, p, f in zip(weights, P, F))
            self.style_loss = self._style_loss(A)
            self.tv_loss = self._total_variation_loss() if recipe.tv_weight else 0.
            # step 2: self.total_loss, each term by its weight in the recipe
            # without the terms of weight 0, whose gradients would be computed too
            self.total_loss = sum(weight * loss for weight, loss in (
                (recipe.content_weight, self.content_loss), (recipe.style_weight, self.style_loss),
                (recipe.tv_weight, self.tv_loss)) if weight)
            # step 2 done
        self.loss_terms = {'content_loss': self.content_loss, 'style_loss': self.style_loss,
                           **({'tv_loss': self.tv_loss} if recipe.tv_weight else {}), 'total_loss': self.total_loss}

    def optimize(self):
        """Step 3, optimizer: Adam on the pixels, the only trainable variable; or the gradient, for SciPy's L-BFGS-B."""
        recipe = self.recipe
        with tf.variable_scope('optimizer'):
            if recipe.optimizer == 'adam':
                # step 3: self.opt moves the image and counts in self.gstep
                optimizer = tf.train.AdamOptimizer(recipe.learning_rate, recipe.beta1, recipe.beta2)
                self.opt = optimizer.minimize(self.total_loss, global_step=self.gstep)
                # step 3 done
                if recipe.pixels == '0-255':
                    self.opt = averaging.clip_to_gamut(self.opt, self.input_img, self.vgg.mean_pixels)
                if recipe.averaging:
                    self.opt, self.displayed_img = averaging.exponential_moving_average(
                        self.opt, self.input_img, self.gstep, recipe.averaging
                    )
            else:
                self.gradient, = tf.gradients(self.total_loss, self.input_img)

    def create_summary(self):
        """Step 4, summaries: the losses, and the picture with its mean added back, uint8 [H, W, 3]."""
        with tf.name_scope('summaries'):
            # step 4: self.summary_op, a scalar of each of self.loss_terms, name -> loss; self.picture, of self._image()
            for name, loss in self.loss_terms.items():
                tf.summary.scalar(name, loss)
            self.summary_op = tf.summary.merge_all()
            self.picture = tf.saturate_cast(tf.round(self._image()), tf.uint8)
            # step 4 done
            self.image = self._image()  # as it is, for files of 16 bits
            # encoded once, for the numbered file and for TensorBoard: as PNGs these would be most of a run's bytes
            self.jpeg = tf.io.encode_jpeg(self.picture, quality=92)

    def _image(self):
        """What people are shown, [H, W, 3], 0-255."""
        # step 4: self.displayed_img as it was before its mean was subtracted
        return (self.displayed_img + self.vgg.mean_pixels)[0]

    def build(self):
        """Assemble the graph: steps 1 to 4."""
        with self.graph.as_default():
            self.create_input()
            self.load_vgg()
            self.losses()
            self.optimize()
            self.displayed_img = self._composite(self.displayed_img)
            self.create_summary()
            # step 5: self.init, which gives every variable its first value, and self.saver, which keeps two checkpoints
            self.init = tf.global_variables_initializer()
            self.saver = tf.train.Saver(max_to_keep=2)
        self.graph.finalize()

    def _composite(self, image):
        """An image, centered, with the colors of the photo, or the photo where the mask is black, as it is wanted."""
        luminance = self.recipe.keep_colors == 'luminance'
        mask = self.mask if len(self.style_paths) == 1 else None
        if not luminance and mask is None:
            return image
        return guidance.composite_with_photo(image, self.photo - self.weights.mean_pixels, luminance, mask)

    def open_session(self):
        return tf.Session(graph=self.graph, config=self.config)

    def train(self, n_iters, callback=None, restart=False, write_results=True):
        """Step 5, training: up to iteration `n_iters` in all, from the newest checkpoint of this run if it has one.

        callback: called with an `Iterate` after each iteration; restart: begin again
        write_results: whether the final pictures are written
        Returns an `Outcome`: 'stopped' after Ctrl-C, with a checkpoint; 'converged' where the optimizer finds nothing
        better.
        Raises `UserError` for a loss that is not finite, and for a run that has other settings or is in use.
        """
        with self.run.acquire(restart) as run, self.open_session() as sess:
            # step 5: where the newest checkpoint is, or 0; without one the variables need their first values
            initial_step = step = run.restore(self.saver, sess)
            if not initial_step:
                self.initialize(sess)
            # step 5 done
            ending = 'converged' if run.converged else 'finished' if initial_step >= n_iters else None
            if not ending:
                # step 5: the writer of the event files
                writer = run.event_writer(self.graph, initial_step)
                # step 5 done
                with (writer, process.StopSignal() as stop,
                      contextlib.closing(self.optimizer_steps(sess, initial_step)) as moves):
                    # a pass that moves the image also gives the losses it had before the move
                    for step, losses in zip(range(initial_step + 1, n_iters + 1), moves):
                        run.history.append(run.check_finite(losses, step - 1))
                        last = 'converged' if self.has_converged else 'finished' if step == n_iters else None
                        ending = 'stopped' if stop.requested else last
                        logs = last or self.recipe.should_log(step)
                        saves = ending or step % self.checkpoint_every == 0
                        if logs or saves:  # a pass of its own, so that what is kept has been checked
                            losses, summary, _, jpeg = self.evaluate(sess)
                            run.check_finite(losses, step)
                            run.write_latest(jpeg)
                        if logs:
                            run.write_step(writer, step, summary, jpeg)
                        if saves:
                            writer.flush()
                            # step 5: write a checkpoint
                            run.save(self.saver, sess, step, losses)
                        if callback:
                            callback(progress.Iteration(run.offset + step, losses, lambda: self.evaluate(sess)[2]))
                        if ending:
                            break
                if self.has_converged:
                    run.mark_converged(step)
            if write_results and ending != 'stopped':
                self.write_results(sess)
        return progress.Outcome(run.offset + step, ending, run.offset + initial_step)

    def train_pyramid(self, callback=None, restart=False):
        """Train coarse to fine, as the recipe says, up to this size; as `train`, but it builds the graphs itself."""
        sizes = pyramid.levels(self.recipe, self.img_width, self.img_height)

        def make(scale):
            if scale is sizes[-1]:
                self.recipe = scale.recipe
                return self
            start = self.initial_img if self.initial_img is None else utils.resize_and_crop(
                self.initial_img[0], scale.width, scale.height)[None]
            return StyleTransfer(
                self.content_path, self.style_paths, scale.width, scale.height, style_weights=self.style_weights,
                mask=self.mask_path, recipe=scale.recipe, vgg=self.weights.path, seed=self.seed,
                precision=self.precision, threads=self.threads, initial_img=start, run=self.run)
        return pyramid.train_levels(make, sizes, self.run, callback, restart)

    def evaluate(self, sess):
        """The losses, their summary, the picture and the same as JPEG, as the image is now.

        One list of fetches for the loop and for what is handed in: for another the session would plan anew, and hold
        VGG again.
        """
        # step 5: fetch self.loss_terms, self.summary_op, self.picture and self.jpeg, fed with self.display_feed
        return sess.run([self.loss_terms, self.summary_op, self.picture, self.jpeg], self.display_feed)

    def initialize(self, sess):
        """Give the variables their first values."""
        # step 5: then the image is the starting image, self.centered_start
        sess.run(self.init)
        sess.run(self.assign_img, {self.new_img: self.centered_start})

    def optimizer_steps(self, sess, step):
        """Let the optimizer move the image from `step` on, for ever or until it finds nothing better.

        Yields the losses before each move.
        """
        if self.recipe.optimizer == 'adam':
            while True:
                # step 5: one step of the optimizer; losses are those before it
                losses, _ = sess.run([self.loss_terms, self.opt])
                # step 5 done
                yield losses
        self.has_converged = False
        lower, upper = -self.vgg.mean_pixels, 255 - self.vgg.mean_pixels
        with lbfgs.Search(sess.run(self.input_img), lower, upper) as search:
            while not self.has_converged:
                sess.run(self.assign_img, {self.new_img: search.point})
                losses, gradient = sess.run([self.loss_terms, self.gradient])
                search.tell(losses['total_loss'], gradient)
                sess.run(self.assign_img, {self.new_img: search.best})  # a line search may overshoot
                self.has_converged = search.has_converged
                yield losses

    def write_results(self, sess):
        """Write what the handout asks for: the final picture, the loss curves; and a sheet and an animation."""
        from engine.results import figures  # Matplotlib takes a while to load, which is not to be spent before training
        losses, _, picture, _ = self.evaluate(sess)
        folder, rows = self.run.outputs, [list(row.values()) for row in [*self.run.history, losses]]
        output.OutputFile(folder / 'final.png').write(picture, self.reproduction_info())
        if self.output:
            self.output.write(sess.run(self.image), self.reproduction_info())
        figures.loss_curves(folder / 'losses.png', losses, rows)
        figures.sheet(folder / 'sheet.png', [*self._sheet_images(), picture])
        numbered = [path for path in self.run.numbered_pictures() if int(path.stem) < len(self.run.history)]
        figures.progress_gif(folder / 'progress.gif', numbered, picture)

    def reproduction_info(self):
        """How the picture is made again: the flags of a command, and the settings that it had."""
        iterations = ['--iterations', str(len(self.run.history) - self.run.offset)] if self.command else []
        return {'command': [*self.command, *iterations], 'settings': self.run.fingerprint}

    def _sheet_images(self):
        """What the sheet shows beside the picture: [H, W, 3] of 0-255 each, of its height."""
        return [
            self.photo[0],
            *(
                utils.resize_and_crop(
                    style[0], round(style.shape[2] * self.img_height / style.shape[1]), self.img_height
                )
                for style in self.style_imgs
            ),
        ]


def stylize(content, style, *, recipe='modern', size=None, callback=None, strength=0.5, start=None, mask=None,
            name=None, **settings):
    """The picture, uint8 [H, W, 3], of a photo in a style. Images are paths, or arrays [H, W, 3] of 0-255.

    style: an image, or a list of them; start: one to begin with; mask: one, see `StyleTransfer`
    recipe: a name of `recipes.RECIPES`; strength: 0 to 1, how much of the style
    size: the longer side in pixels, or (width, height); None for the recipe's longer side
    callback: called with a `progress.Iteration` after each iteration
    name: of a run whose folders stay; without it nothing is left on disk
    settings: of `StyleTransfer`, or fields of the recipe
    Raises `UserError` for what the caller can mend, KeyboardInterrupt after Ctrl-C.
    """
    fields = {key: settings.pop(key) for key in list(settings) if key in recipes.FIELD_NAMES}
    recipe = dataclasses.replace(recipes.RECIPES[recipe], **fields).with_strength(strength)
    with tempfile.TemporaryDirectory() as folder:
        def path(image):
            if not isinstance(image, np.ndarray):
                return image and Path(image)
            handle, name = tempfile.mkstemp('.png', dir=folder)
            os.close(handle)
            utils.save_image(name, image)
            return name
        content, mask, start = map(path, (content, mask, start))
        styles = list(map(path, style if isinstance(style, (list, tuple)) else [style]))
        width, height = size if isinstance(size, tuple) else utils.output_size(content, size or max(recipe.size))
        if start:
            recipe = dataclasses.replace(recipe, init='content')  # nothing of the recipe's own start is left
            settings['initial_img'] = utils.get_resized_image(start, width, height)
        machine = StyleTransfer(content, styles, width, height, mask=mask, recipe=recipe, name=name,
                                folder='.' if name else folder, **settings)
        machine.check_memory()
        if machine.train_pyramid(callback).ending == 'stopped':
            raise KeyboardInterrupt
        return utils.to_uint8(utils.read_image(machine.run.outputs / 'final.png'))


def _flags(argv):
    parser = cli.Parser(description=__doc__.split('\n')[0])
    flags.add_image_flags(parser, recipes.CS20.size, recipes.RECIPES.values(), '+')
    flags.add_strength_flag(parser)
    flags.add_control_flags(parser)
    flags.add_recipe_flags(parser, without=['init'])
    flags.add_output_flags(parser)
    parser.add_argument('--name', help='of the run\'s folders in outputs, checkpoints and graphs '
                        '(default: content-style-recipe)')
    parser.add_argument('--verbose', action='store_true', help='print step, loss and time in place of a bar')
    args = parser.parse_args(argv)
    if args.like:
        args = parser.parse_args([*output.read_settings(args.like)['command'], *argv])
    return parser, args


def _fast_pass(*images):
    """What the network of any style makes, see `fast.inference.arbitrary`, which is loaded when it is asked for."""
    return cli.load_module('fast.inference.arbitrary', 'requirements.txt').picture(*images)


@errors.command_line
def main(argv=None):
    """Run style transfer as the flags say; return the exit status."""
    parser, args = _flags(sys.argv[1:] if argv is None else argv)
    recipe = flags.recipe(args)
    (width, height), whence = flags.size(args, recipe.size)
    sizes = pyramid.levels(recipe, width, height)
    n_iters = sizes[-1].end
    machine = StyleTransfer(args.content, args.style, width, height, style_weights=args.style_weights, mask=args.mask,
                            recipe=recipe, vgg=args.vgg, seed=flags.seed(args, recipe),
                            precision=flags.precision(args, recipe), threads=args.threads, name=args.name,
                            initial_img=flags.initial_img(args, width, height, _fast_pass))
    machine.output = flags.output_file(args, width, height)
    machine.command = flags.reproduction_command(parser, args, machine.precision)
    machine.check_memory()
    styles = ' and '.join(map(str, args.style))
    print(f'{args.content} in the style of {styles}, {width}×{height}{whence}, '
          f'{session.describe(machine.precision)}; the newest picture is {machine.run.outputs / runs.LATEST_PICTURE}\n'
          f'weights {machine.weights.path}: {machine.weights.description}')
    if unlike := flags.settings_diff(args, machine.run):
        print(f'not as {args.like}: {", ".join(unlike)}')
    start_time = time.time()
    shown = (
        progress.ProgressLines(recipe, n_iters)
        if args.verbose
        else progress.ProgressBar(n_iters, pyramid.iteration_cost(sizes))
    )
    with shown:
        outcome = machine.train_pyramid(shown, args.restart)
    if not progress.report_ending(outcome, machine.run.name, args.restart):
        return 130
    print(f'{args.output or machine.run.outputs / "final.png"}: {outcome.step} iterations, '
          f'{time.time() - start_time:.1f} s')


if __name__ == '__main__':
    sys.exit(main())
