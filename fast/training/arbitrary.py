"""Training the network of any style: as that of some styles, but every crop has the style of another crop."""

import operator

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
from fast.training.multi_style import NetworkTraining

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
    """A network for any style.

    photos, styles: `photos.Photos`, the one's crops larger, see `NetworkTraining`; a batch has as many crops of both
    held_out_styles: paths of paintings to show
    transform: a name of `transforms.TRANSFORMS`, how a photo's maps are given a style's statistics
    fixed: what gives `fixed_parameters`; it takes a minute, and is asked where no checkpoint and no `start` has them
    Raises `UserError` for a statistic whose distance is no share of the style's own.
    """

    def __init__(self, photos, styles, batch, held_out, held_out_styles, *, transform, fixed, recipe=recipes.ARBITRARY,
                 seed=0, **of_all):
        if not isinstance(statistics.STATISTICS.get(recipe.style_statistic), statistics.RelativeStatistic):
            raise UserError(f'--style-statistic {recipe.style_statistic}: here losses count as shares of each style\'s '
                            'own; gram_share or covariance')
        self.transform, self.fixed = transform, fixed
        self.network = ArbitraryStyleNet(seed=seed)
        self.displayed_styles = np.concatenate([utils.get_resized_image(path, styles.side, styles.side)
                                            for path in held_out_styles])
        super().__init__([photos, styles], batch, held_out, style_imgs=held_out_styles, recipe=recipe, seed=seed,
                         **of_all)

    def _run(self, name, seed, folder):
        """The run that the settings make."""
        identity = self._fingerprint() | dict(paintings=self.collections[1].hash, transform=self.transform)
        return runs.Run(name or DEFAULT_NAME, identity, recipes.legacy_defaults(), folder)

    def _create_styles(self, batches, first, count):
        """Of the crops of a tower the styles: crops of paintings, some with other colors."""
        styles, = batches
        draws = tf.random.stateless_uniform([first + count, 6, 1, 1, 1], [self.seed + 1, self.gstep])[first:]
        chosen, *draws = tf.unstack(draws, axis=1)
        styles = tf.where_v2(chosen < JITTERED_SHARE, color_jitter(styles, *draws), styles)
        self.styles = tf.placeholder_with_default(styles, [None, self.side, self.side, 3])

    def _stylize_views(self, views, count):
        photos, styles = self.network.encode(views), self.network.encode(self.styles)
        *maps, description = tf.numpy_function(self._match_moments, [*photos, *styles],
                                               [tf.float32] * (len(MAP_NAMES) + 1), stateful=False)
        for after, before in zip(maps, photos):
            after.set_shape(before.shape)
        description.set_shape([None, 2 * sum(int(x.shape[-1]) for x in photos)])
        details, colors, *_ = maps
        self.contents = tf.clip_by_value(base_layer(details, colors), 0, 255)
        return self.network.decode(maps, tf.concat([description] * count, axis=0))[0]

    def _content_images(self):
        """The photos with the styles' colors already: what has these is no loss of content."""
        return self.contents[:tf.shape(self.photos)[0]]

    def _match_moments(self, *maps):
        """The maps of views, the first of which are of the photos, with the statistics of the styles'.

        maps: those of the views, then those of the styles, arrays. Returns arrays, the styles' descriptions at last;
        a second view is mapped as the first one.
        """
        views, styles = (dict(zip(MAP_NAMES, part)) for part in (maps[:len(MAP_NAMES)], maps[len(MAP_NAMES):]))
        n, transform = len(styles['colors']), moment_matching.TRANSFORMS[self.transform]
        mapped, descriptions = {name: np.empty_like(x) for name, x in views.items()}, []
        for i in range(n):
            style = moment_matching.compute_statistics({name: x[i] for name, x in styles.items()})
            descriptions.append(moment_matching.style_embedding(style.moments.values()))
            mappings = moment_matching.affine_maps({name: x[i] for name, x in views.items()}, [style], [1.], transform)
            for name, x in views.items():
                mapped[name][i::n] = moment_matching.apply(x[i::n], *mappings[name])
        return [*mapped.values(), np.stack(descriptions)]

    def initialize(self, sess):
        super().initialize(sess)
        if not self.start:
            for name, value in self.fixed().items():
                self.network.parameters[name].load(value, sess)

    def _is_trained(self, key):
        return not key.startswith(FIXED_PREFIXES)

    def _crop_style_targets(self):
        """A `Target` a layer: of each crop the style that it is to have."""
        vgg, statistic = self._build_vgg('styles', self.styles, self.recipe.style_layers), self.statistic()
        return [statistics.StyleTarget(statistic, statistic.compute(F)) for F in vgg.features(self.recipe.style_layers)]

    def _style_loss(self, A):
        """The mean over the batch of what `hinged_huber` makes of each crop's weighted sum over the style layers."""
        distances = [target.statistic.distances(target.statistic.compute(F), target.value)
                     for target, F in zip(A, self.vgg.features(self.recipe.style_layers))]
        return tf.reduce_mean(hinged_huber(sum(map(operator.mul, self.recipe.style_layer_weights, distances))))

    def _losses(self):
        super()._losses()
        with tf.variable_scope('losses'):
            losses = pixel_losses.losses(self.views[0], self.styles, self._content_images())
            self.total_loss += sum(pixel_losses.LOSS_WEIGHTS[name] * loss for name, loss in losses.items())
        self.loss_terms = {**self.loss_terms, **losses, 'total_loss': self.total_loss}

    def _display_feed(self):
        """What is fed for the pictures that are shown: every photo in every style, and the averages."""
        photos, styles = len(self.held_out), len(self.displayed_styles)
        return {self.crops: np.tile(self.held_out, [styles, 1, 1, 1]), self.use_averages: True,
                self.styles: self.displayed_styles.repeat(photos, axis=0)}

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
