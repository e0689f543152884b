"""Training a multi-style network: one network for several styles (Dumoulin, Shlens and Kudlur 2017)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import recipes
import utils
from common import files, names
from common.errors import UserError
from common.tf1 import tf
from engine.losses import statistics
from engine.losses.features import extract_features
from engine.run import runs
from fast.networks import export
from fast.networks.multi_style import TransformNet
from fast.training.network_training import NetworkTraining

STYLE_SIDE_PX = 512  # A style image has as many pixels as a square of this side.
PER_STYLE_PARAMETERS = 'gamma', 'beta'  # last part of the names of the parameters that each style has for itself


class MultiStyleTraining(NetworkTraining):
    """The training of a network for some styles; each crop of a batch has a random one.

    Attributes:
        trained: name -> hash of the style images that are trained; styles: of all styles of the network.
    """

    def __init__(self, collection, batch: int, held_out: Sequence[Path], style_imgs: Sequence[Path], base: int, *,
                 content_weights: Sequence[float] | None = None, start=None, add: bool = False,
                 recipe: recipes.Recipe = recipes.FAST, seed: int = 0, **settings):
        """Set up the training.

        Args:
            collection: a `crops.CropDataset` of photos with a margin of SHIFT_PX.
            style_imgs: paths of the style images, whose stems are the names of the styles.
            base: channels of the first convolution, see `TransformNet`.
            content_weights: a factor on the content loss for each of style_imgs; None for 1 each.
            add: whether the styles of `start` stay, and only scales and shifts of the new ones are trained.
            settings: of `NetworkTraining`.

        Raises:
            UserError: weights, names or the style statistic cannot be used.
        """
        if content_weights is not None and len(content_weights) != len(style_imgs):
            raise UserError(f'--content-weights: {len(content_weights)} for {len(style_imgs)} styles; give one each')
        if isinstance(statistics.statistic_of(recipe), statistics.Gram):
            raise UserError(f'--style-statistic {recipe.style_statistic}: networks are trained with the other ones')
        self.content_weights, self.add = content_weights, add
        self.trained = {path.stem: files.file_hash(path) for path in map(Path, style_imgs)}
        self.styles = (start.styles if add else {}) | self.trained
        if len(self.trained) < len(style_imgs) or add and self.trained.keys() & start.styles.keys():
            raise UserError('--style: two styles have the same name, which is that of the file')
        self.network = TransformNet(len(self.styles), base, seed)
        super().__init__([collection], batch, held_out, style_imgs=style_imgs, start=start, recipe=recipe, seed=seed,
                         **settings)

    def _make_run(self, name):
        fingerprint = self._fingerprint() | dict(styles=self.styles, add=self.add, base=self.network.base,
                                                 content_weights=self.content_weights)
        defaults = recipes.legacy_defaults() | {'content_share': 'batch', 'content_weights': None}
        return runs.Run(name or names.from_files(*(path.stem for path in self.style_paths)), fingerprint, defaults)

    def _create_styles(self, batches, first, count):
        """Return the style weights [B, styles] of a tower's crops, ones and zeros."""
        styles = self._random_styles()[first:first + count]
        return tf.placeholder_with_default(styles, [None, len(self.styles)])

    def _stylize_views(self, views, styles, count):
        return self.network(views, tf.concat([styles] * count, axis=0))[0], None

    def _display_feed(self):
        """Return what is fed for the pictures that are displayed: a photo for each style, and the averages."""
        n, tower = len(self.trained), self.towers[0]
        return {tower.crops: self.held_out[np.arange(n) % len(self.held_out)], self.use_averages: True,
                tower.styles: self._one_hot_styles()[-n:]}

    def _one_hot_styles(self):
        return np.eye(len(self.styles), dtype=np.float32)

    def _random_styles(self):
        """Return a style for each crop of a batch, [batch, styles], all different while there are as many."""
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

    def create_losses(self):
        """Create the losses, after the styles' own statistics."""
        self.style_values = self._style_values()
        return super().create_losses()

    def _style_values(self):
        """Return for each style image a list of the statistic's values, one for each style layer."""
        recipe, statistic = self.recipe, statistics.statistic_of(self.recipe)
        return [extract_features(self.weights, utils.get_style_image(path, STYLE_SIDE_PX, STYLE_SIDE_PX, False,
                                                                     recipe.style_scale),
                                 recipe.style_layers, recipe.pooling, recipe.padding, self.config, statistic.compute)
                for path in self.style_paths]

    def _style_targets(self, tower):
        statistic = statistics.statistic_of(self.recipe)
        weights = tower.styles[:, -len(self.style_paths):]

        def of_crops(*arrays):
            stacked = np.concatenate(arrays)
            return tf.tensordot(weights, stacked, 1)
        return [statistics.StyleTarget(statistic, tf.nest.map_structure(of_crops, *layer))
                for layer in zip(*self.style_values)]

    def _content_factors(self, tower):
        factors = np.float32(self.content_weights or [1] * len(self.trained))[:, None]
        return tf.matmul(tower.styles[:, -len(self.trained):], factors)[:, 0]

    def _export(self, parameters, about):
        export.write_multi_style(self.model_folder, parameters, about)

    def _column_count(self):
        return len(self.trained)
