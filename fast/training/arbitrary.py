"""Training the network of any style: as that of some styles, but every crop has the style of another crop."""

import operator
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import recipes
import utils
from common.errors import UserError
from common.tf1 import tf
from engine.losses import statistics
from engine.run import runs
from fast.inference import moment_matching
from fast.networks import export, pruning
from fast.networks.arbitrary import CHANNELS, FIXED_PREFIXES, MAP_NAMES, ArbitraryStyleNet, base_layer, fit_pca
from fast.training import pixel_losses
from fast.training.network_training import NetworkTraining

DEFAULT_NAME = 'any'
FIT_CROPS = 40  # crops of photos, and as many of styles, that the narrow VGG-19 is fitted to
FIT_SIDE_PX = 128  # their pixels
PCA_CROPS = 2400  # crops of styles that the code is made of
# deviation, of 255, of a crop of a style: the loss, a share of the style's own, is huge below it
MIN_STYLE_DEVIATION = 20
HINGE_LOSS, HUBER_DELTA = 1.75, 2.  # style losses, see `hinged_huber`
JITTERED_SHARE = 0.5  # share of the styles' crops that have other colors, for such as no painting had
# of their colors: a factor; what is added to a channel at most, of 255
SATURATION_RANGE, MAX_CHANNEL_SHIFT = (0.7, 1.5), 25.


def fixed_parameters(weights, photos, styles, config=None):
    """The parameters of `AnyNet` that are not trained: a narrow VGG-19, fitted to crops, and the code of styles.

    photos, styles: `photos.Photos` of crops of FIT_SIDE_PX
    """
    crops = np.float32([collection[i] for collection in (photos, styles) for i in range(FIT_CROPS)])
    narrow = pruning.normalize(pruning.prune(weights, CHANNELS, crops, config=config), crops, config)
    with tf.Graph().as_default(), tf.Session(config=config) as sess:
        crops = tf.placeholder(tf.float32, [FIT_CROPS, FIT_SIDE_PX, FIT_SIDE_PX, 3])
        maps = ArbitraryStyleNet(parameters=narrow).encode(crops)
        descriptions = []
        for i in range(0, PCA_CROPS, FIT_CROPS):
            found = sess.run(maps, {crops: [styles[j] for j in range(i, i + FIT_CROPS)]})
            descriptions += [moment_matching.style_embedding(list(map(moment_matching.moments, one)))
                             for one in zip(*found)]
    return narrow | fit_pca(np.float64(descriptions))


class ArbitraryStyleTraining(NetworkTraining):
    """The training of a network for arbitrary styles; each crop of a photo gets the style of a crop of a painting."""

    def __init__(self, photos, styles, batch: int, held_out: Sequence[Path], held_out_styles: Sequence[Path], *,
                 transform: str, fixed: Callable[[], dict], recipe: recipes.Recipe = recipes.ARBITRARY, seed: int = 0,
                 **settings):
        """Set up the training.

        Args:
            photos, styles: `crops.CropDataset`s; the crops of photos have a margin of SHIFT_PX.
            held_out_styles: paths of paintings that show the progress.
            transform: a name of `moment_matching.TRANSFORMS`.
            fixed: returns `fixed_parameters`, which takes a minute; called only if neither a checkpoint nor `start`
                has them.
            settings: of `NetworkTraining`.

        Raises:
            UserError: the distances of the style statistic are not relative to each style.
        """
        if not isinstance(statistics.statistic_of(recipe), statistics.RelativeStatistic):
            raise UserError(f'--style-statistic {recipe.style_statistic}: this network needs losses relative to each '
                            'style; use gram_share or covariance')
        self.transform, self.fixed = transform, fixed
        self.network = ArbitraryStyleNet(seed=seed)
        self.displayed_styles = np.concatenate([utils.get_resized_image(path, styles.side, styles.side)
                                                for path in held_out_styles])
        super().__init__([photos, styles], batch, held_out, style_imgs=held_out_styles, recipe=recipe, seed=seed,
                         **settings)

    def _make_run(self, name):
        fingerprint = self._fingerprint() | dict(paintings=self.collections[1].hash, transform=self.transform)
        return runs.Run(name or DEFAULT_NAME, fingerprint, recipes.legacy_defaults())

    def _create_styles(self, batches, first, count):
        """Return the styles of a tower's crops: crops of paintings, some with other colors, [B, side, side, 3]."""
        styles, = batches
        draws = tf.random.stateless_uniform([first + count, 6, 1, 1, 1], [self.seed + 1, self.gstep])[first:]
        chosen, *draws = tf.unstack(draws, axis=1)
        styles = tf.where_v2(chosen < JITTERED_SHARE, color_jitter(styles, *draws), styles)
        return tf.placeholder_with_default(styles, [None, self.side, self.side, 3])

    def _stylize_views(self, views, styles, count):
        """Return the pictures, and the photos in the styles' colors: colors that match these are no content loss."""
        photos, of_styles = self.network.encode(views), self.network.encode(styles)
        *maps, embedding = tf.numpy_function(self._match_moments, [*photos, *of_styles],
                                             [tf.float32] * (len(MAP_NAMES) + 1), stateful=False)
        for after, before in zip(maps, photos):
            after.set_shape(before.shape)
        embedding.set_shape([None, 2 * sum(int(x.shape[-1]) for x in photos)])
        high_pass, low_pass, *_ = maps
        contents = tf.clip_by_value(base_layer(high_pass, low_pass), 0, 255)
        pictures = self.network.decode(maps, tf.concat([embedding] * count, axis=0))[0]
        return pictures, contents[:tf.shape(views)[0] // count]

    def _match_moments(self, *maps):
        """Give the maps of views the moments of the styles' maps, in NumPy.

        Args:
            maps: MAP_NAMES of the views, then MAP_NAMES of the styles, arrays. The first views are the photos; a second
                view is mapped as the first one.

        Returns:
            The maps of the views, and at last the styles' embeddings.
        """
        views, styles = (dict(zip(MAP_NAMES, part)) for part in (maps[:len(MAP_NAMES)], maps[len(MAP_NAMES):]))
        n, transform = len(styles['colors']), moment_matching.TRANSFORMS[self.transform]
        mapped, embeddings = {name: np.empty_like(x) for name, x in views.items()}, []
        for i in range(n):
            style = moment_matching.compute_statistics({name: x[i] for name, x in styles.items()})
            embeddings.append(moment_matching.style_embedding(style.moments.values()))
            mappings = moment_matching.affine_maps({name: x[i] for name, x in views.items()}, [style], [1.], transform)
            for name, x in views.items():
                mapped[name][i::n] = moment_matching.apply(x[i::n], *mappings[name])
        return [*mapped.values(), np.stack(embeddings)]

    def initialize(self, sess):
        """Give the variables their first values; the fixed parameters are fitted unless `start` has them."""
        super().initialize(sess)
        if not self.start:
            for name, value in self.fixed().items():
                self.network.parameters[name].load(value, sess)

    def _is_trained(self, key):
        return not key.startswith(FIXED_PREFIXES)

    def _style_targets(self, tower):
        statistic, layers = statistics.statistic_of(self.recipe), self.recipe.style_layers
        vgg = self.build_vgg('vgg_of_styles', tower.styles - self.weights.mean_pixels, layers)
        return [statistics.StyleTarget(statistic, statistic.compute(F)) for F in vgg.features(layers)]

    def _style_loss(self, targets, features):
        """Return the mean over the batch of the hinged Huber loss of each crop's weighted sum over the style layers."""
        distances = [target.statistic.distances(target.statistic.compute(F), target.value)
                     for target, F in zip(targets, features)]
        return tf.reduce_mean(hinged_huber(sum(map(operator.mul, self.recipe.style_layer_weights, distances))))

    def _more_losses(self, tower):
        losses = pixel_losses.losses(tower.views[0], tower.styles, tower.contents)
        return losses, sum(pixel_losses.LOSS_WEIGHTS[name] * loss for name, loss in losses.items())

    def _display_feed(self):
        """Return what is fed for the pictures that are displayed: every photo in every style, and the averages."""
        photos, styles, tower = len(self.held_out), len(self.displayed_styles), self.towers[0]
        return {tower.crops: np.tile(self.held_out, [styles, 1, 1, 1]), self.use_averages: True,
                tower.styles: self.displayed_styles.repeat(photos, axis=0)}

    def _column_count(self):
        return len(self.held_out) * len(self.displayed_styles)

    def _export(self, parameters, about):
        export.write_arbitrary(self.model_folder, parameters, about)


def hinged_huber(losses):
    """Style losses [B] as they count: those below HINGE_LOSS not, the others by half the square of what is beyond it.

    So a style that is easily reached leaves more of the photo, and one that is not is pursued. More than HUBER_DELTA
    beyond
    they count linearly, as Huber's loss does.
    """
    beyond = tf.nn.relu(losses - HINGE_LOSS)
    return tf.where_v2(beyond < HUBER_DELTA, tf.square(beyond) / 2, HUBER_DELTA * (beyond - HUBER_DELTA / 2))


def color_jitter(images, angle, saturation, *shift):
    """Images [B, H, W, 3], 0-255, with hues turned, saturations times a factor, channels brighter or darker.

    angle, saturation and three of shift: [B, 1, 1, 1], 0-1
    """
    angle, low = 2 * np.pi * angle, SATURATION_RANGE[0]
    gray = tf.reduce_mean(images, axis=3, keepdims=True)
    colors = (images - gray) * (low + (SATURATION_RANGE[1] - low) * saturation)
    # around the axis of grays; what a color turns to by a quarter are the differences of its other two channels
    quarter = (tf.roll(colors, 1, axis=3) - tf.roll(colors, -1, axis=3)) / 3 ** 0.5
    turned = tf.cos(angle) * colors + tf.sin(angle) * quarter
    return tf.clip_by_value(gray + turned + MAX_CHANNEL_SHIFT * (2 * tf.concat(shift, axis=3) - 1), 0, 255)
