"""Train the arbitrary style network: each crop of a photo gets the style of a crop of a painting.

The network is `fast.networks.arbitrary.ArbitraryStyleNet`. Its encoder and its PCA of style embeddings are fitted once
(`fixed_parameters`), and only the decoder is trained. `NetworkTraining` has the steps that it shares with the training
of a multi-style network; `pixel_losses` are added to its losses.
"""

import operator
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import recipes
from common.tf1 import tf
from engine.losses import statistics
from engine.run import runs
from fast.inference import moment_matching
from fast.networks import export, pruning
from fast.networks.arbitrary import CHANNELS, FIXED_PREFIXES, MAP_NAMES, ArbitraryStyleNet, base_layer, fit_pca
from fast.training import pixel_losses
from fast.training.network_training import NetworkTraining

DEFAULT_NAME = 'any'
FIT_CROPS = 40  # crops of photos, and as many crops of paintings, that the pruned VGG-19 is fitted to
FIT_SIDE_PX = 128  # side of the crops that the fixed parameters are fitted to
PCA_CROPS = 2400  # crops of paintings that the PCA of the style embeddings is fitted to
# Standard deviation (of 255) up to which a crop of a painting counts as blank: the style loss, which is relative to the
# style's own statistics, is huge for such a crop.
MIN_STYLE_DEVIATION = 20
HINGE_LOSS, HUBER_DELTA = 1.75, 2.  # style losses, see `hinged_huber`
# Share of the crops of paintings that get other colors, so that the network also learns colors that no painting has.
JITTERED_SHARE = 0.5
# Range of the factor on the saturation of these crops; largest change of a channel's brightness, of 255.
SATURATION_RANGE, MAX_CHANNEL_SHIFT = (0.7, 1.5), 25.


def fixed_parameters(weights, photos, styles, config: tf.ConfigProto | None = None) -> dict[str, np.ndarray]:
    """Compute the parameters of `ArbitraryStyleNet` that are not trained: a pruned VGG-19, and a PCA of embeddings.

    The filters of the pruned VGG-19 are fitted to FIT_CROPS crops of photos and FIT_CROPS crops of paintings; the PCA
    is fitted to the style embeddings of PCA_CROPS crops of paintings.

    Args:
        weights: `load_vgg.Weights` of VGG-19, from `load_vgg.read_weights`.
        photos, styles: `crops.CropDataset`s whose crops have the side FIT_SIDE_PX.
        config: configuration of the TensorFlow sessions.

    Returns:
        Name of a parameter -> value, float32; the names begin with FIXED_PREFIXES.
    """
    crops = np.float32([collection[i] for collection in (photos, styles) for i in range(FIT_CROPS)])
    pruned = pruning.normalize(pruning.prune(weights, CHANNELS, crops, config=config), crops, config)
    with tf.Graph().as_default(), tf.Session(config=config) as sess:
        crops = tf.placeholder(tf.float32, [FIT_CROPS, FIT_SIDE_PX, FIT_SIDE_PX, 3])
        maps = ArbitraryStyleNet(parameters=pruned).encode(crops)
        embeddings = []
        for i in range(0, PCA_CROPS, FIT_CROPS):
            batch_maps = sess.run(maps, {crops: [styles[j] for j in range(i, i + FIT_CROPS)]})
            embeddings += [moment_matching.style_embedding(list(map(moment_matching.moments, crop_maps)))
                           for crop_maps in zip(*batch_maps)]
    return pruned | fit_pca(np.float64(embeddings))


class ArbitraryStyleTraining(NetworkTraining):
    """Training of an arbitrary style network; each crop of a photo gets the style of a crop of a painting."""

    def __init__(self, photos, styles, batch: int, held_out: Sequence[Path], held_out_styles: Sequence[Path], *,
                 transform: str, compute_fixed: Callable[[], dict[str, np.ndarray]],
                 recipe: recipes.Recipe = recipes.ARBITRARY, seed: int = 0, **settings):
        """Set up the training.

        Args:
            photos, styles: `crops.CropDataset`s; the crops of photos have a margin of SHIFT_PX, those of paintings
                have none.
            batch: crops per step.
            held_out, held_out_styles: paths of the photos and the paintings that show the progress.
            transform: a key of `moment_matching.TRANSFORMS`.
            compute_fixed: function that returns the `fixed_parameters`. It takes a minute, so it is called only if
                neither a checkpoint nor `start` has them.
            recipe, seed, settings: other arguments of `NetworkTraining`.

        Raises:
            UserError: the distances of the style statistic are not relative to each style, or `NetworkTraining`
                refuses its arguments.
        """
        statistics.check_statistic(recipe, statistics.RelativeStatistic,
                                   'this network needs losses relative to each style')
        self.transform, self.compute_fixed = transform, compute_fixed
        self.network = ArbitraryStyleNet(seed=seed)
        super().__init__([photos, styles], batch, held_out, style_imgs=held_out_styles, recipe=recipe, seed=seed,
                         **settings)
        self.displayed_styles = self._read_squares(held_out_styles, styles.side)

    def _make_run(self, name):
        fingerprint = self._fingerprint() | dict(paintings=self.collections[1].hash, transform=self.transform)
        return runs.Run(name or DEFAULT_NAME, fingerprint, recipes.legacy_defaults())

    def _create_styles(self, batches, first, count):
        """Return the styles of a tower's crops: crops of paintings, some with jittered colors, [B, side, side, 3]."""
        styles, = batches
        draws = tf.random.stateless_uniform([first + count, 6, 1, 1, 1], [self.seed + 1, self.gstep])[first:]
        chosen, *draws = tf.unstack(draws, axis=1)
        styles = tf.where_v2(chosen < JITTERED_SHARE, color_jitter(styles, *draws), styles)
        return tf.placeholder_with_default(styles, [None, self.side, self.side, 3])

    def _stylize_views(self, views, styles, count):
        """Return the pictures of the views and, as content images, the photos in the styles' colors.

        The content loss therefore does not count it as an error if a picture has the style's colors.
        """
        view_maps, style_maps = self.network.encode(views), self.network.encode(styles)
        *maps, embedding = tf.numpy_function(self._match_moments, [*view_maps, *style_maps],
                                             [tf.float32] * (len(MAP_NAMES) + 1), stateful=False)
        for after, before in zip(maps, view_maps):
            after.set_shape(before.shape)
        embedding.set_shape([None, 2 * sum(int(x.shape[-1]) for x in view_maps)])
        high_pass, low_pass, *_ = maps
        contents = tf.clip_by_value(base_layer(high_pass, low_pass), 0, 255)
        pictures = self.network.decode(maps, tf.concat([embedding] * count, axis=0))[0]
        return pictures, contents[:tf.shape(views)[0] // count]

    def _match_moments(self, *maps):
        """Give the feature maps of views the moments of the styles' feature maps, in NumPy.

        Args:
            maps: arrays, the maps of MAP_NAMES of the views and then of the styles. The first B views are the photos;
                their second views, if there are any, get the same affine maps.

        Returns:
            The maps of the views with the styles' statistics, in the order of MAP_NAMES, and the style embeddings,
            float32 [B, D].
        """
        views, styles = (dict(zip(MAP_NAMES, part)) for part in (maps[:len(MAP_NAMES)], maps[len(MAP_NAMES):]))
        n, transform = len(styles['colors']), moment_matching.TRANSFORMS[self.transform]
        matched, embeddings = {name: np.empty_like(x) for name, x in views.items()}, []
        for i in range(n):
            style = moment_matching.compute_statistics({name: x[i] for name, x in styles.items()})
            embeddings.append(moment_matching.style_embedding(style.moments.values()))
            affine = moment_matching.affine_maps({name: x[i] for name, x in views.items()}, [style], [1.], transform)
            for name, x in views.items():
                matched[name][i::n] = moment_matching.apply(x[i::n], *affine[name])
        return [*matched.values(), np.stack(embeddings)]

    def initialize(self, sess: tf.Session) -> None:
        """Give the variables their first values; compute the fixed parameters unless `start` has them."""
        super().initialize(sess)
        if not self.start:
            for name, value in self.compute_fixed().items():
                self.network.parameters[name].load(value, sess)

    def _is_trained(self, key):
        return not key.startswith(FIXED_PREFIXES)

    def _style_targets(self, tower):
        statistic, layers = statistics.statistic_of(self.recipe), self.recipe.style_layers
        vgg = self.build_vgg('vgg_of_styles', tower.styles - self.weights.mean_pixels, layers)
        return [statistics.StyleTarget(statistic, statistic.compute(F)) for F in vgg.features(layers)]

    def _style_loss(self, targets, features):
        """Return the mean over the batch of the `hinged_huber` of each crop's weighted sum over the style layers."""
        distances = [target.statistic.distances(target.statistic.compute(F), target.value)
                     for target, F in zip(targets, features)]
        return tf.reduce_mean(hinged_huber(sum(map(operator.mul, self.recipe.style_layer_weights, distances))))

    def _more_losses(self, tower):
        losses = pixel_losses.compute_losses(tower.views[0], tower.styles, tower.contents)
        return losses, sum(pixel_losses.LOSS_WEIGHTS[name] * loss for name, loss in losses.items())

    def _display_feed(self):
        """Return the feed that displays every held-out photo in every held-out style, with averaged parameters."""
        photos, styles, tower = len(self.held_out), len(self.displayed_styles), self.towers[0]
        return {tower.crops: np.tile(self.held_out, [styles, 1, 1, 1]), self.use_averages: True,
                tower.styles: self.displayed_styles.repeat(photos, axis=0)}

    def _column_count(self):
        return len(self.held_out) * len(self.displayed_styles)

    def _export(self, parameters, about):
        export.write_arbitrary(self.model_folder, parameters, about)


def hinged_huber(losses: tf.Tensor) -> tf.Tensor:
    """Return the Huber loss of the excess of style losses over HINGE_LOSS; losses below HINGE_LOSS count zero.

    A style that is easy to match therefore leaves more of the photo, while the loss of one that is hard to match keeps
    its gradient. The loss is half the square of the excess up to HUBER_DELTA and linear beyond it.

    Args:
        losses: style losses, float32 [B].

    Returns:
        float32 [B], zero or positive.
    """
    excess = tf.nn.relu(losses - HINGE_LOSS)
    return tf.where_v2(excess < HUBER_DELTA, tf.square(excess) / 2, HUBER_DELTA * (excess - HUBER_DELTA / 2))


def color_jitter(images: tf.Tensor, angle: tf.Tensor, saturation: tf.Tensor, *shift: tf.Tensor) -> tf.Tensor:
    """Change the hue, the saturation and the brightness of the channels of images by random draws.

    Args:
        images: [B, H, W, 3], 0 to 255.
        angle: rotation of the hues as a share of a full turn, [B, 1, 1, 1], 0 to 1.
        saturation: position of the factor on the saturation within SATURATION_RANGE, [B, 1, 1, 1], 0 to 1.
        shift: three tensors [B, 1, 1, 1], 0 to 1: the position of what is added to a channel between
            -MAX_CHANNEL_SHIFT and MAX_CHANNEL_SHIFT.

    Returns:
        [B, H, W, 3], clipped to 0 to 255.
    """
    angle, low = 2 * np.pi * angle, SATURATION_RANGE[0]
    gray = tf.reduce_mean(images, axis=3, keepdims=True)
    colors = (images - gray) * (low + (SATURATION_RANGE[1] - low) * saturation)
    # The rotation is around the axis of grays. A quarter turn gives each channel the difference of the other two,
    # divided by the square root of 3.
    quarter = (tf.roll(colors, 1, axis=3) - tf.roll(colors, -1, axis=3)) / 3 ** 0.5
    turned = tf.cos(angle) * colors + tf.sin(angle) * quarter
    return tf.clip_by_value(gray + turned + MAX_CHANNEL_SHIFT * (2 * tf.concat(shift, axis=3) - 1), 0, 255)
