"""Train a multi-style network: one network for several styles (Dumoulin, Shlens and Kudlur 2017).

The styles share all convolutions; each style has scales and shifts of its own for the instance norms. `NetworkTraining`
has the steps that this training shares with that of an arbitrary style network.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import recipes
import utils
from common import files, names
from common.color_profiles import CONVERTED
from common.errors import UserError
from common.tf1 import tf
from engine.losses import statistics
from engine.losses.features import extract_features
from engine.run import runs
from fast.networks import export
from fast.networks.multi_style import TransformNet
from fast.training.network_training import NetworkTraining

STYLE_SIDE_PX = 512  # side of a square that has as many pixels as a style image
PER_STYLE_PARAMETERS = 'gamma', 'beta'  # ends of the names of the parameters that have a row for each style


def default_name(style_imgs: Sequence[Path]) -> str:
    """Return the default name of the run that trains the styles of these images."""
    return names.from_files(*(path.stem for path in style_imgs))


class MultiStyleTraining(NetworkTraining):
    """Training of a multi-style network; each crop of a batch gets a random style.

    Attributes:
        trained: name of each style that is trained -> SHA-256 of its image.
        styles: the same for all styles of the network; with `add`, the styles of `start` come first.
        style_values: for each style that is trained, the values of its statistic at the style layers.
    """

    def __init__(self, collection, batch: int, held_out: Sequence[Path], style_imgs: Sequence[Path], base: int, *,
                 content_weights: Sequence[float] | None = None, start=None, add: bool = False,
                 recipe: recipes.Recipe = recipes.FAST, seed: int = 0, **settings):
        """Set up the training.

        Args:
            collection: a `crops.CropDataset` of photos with a margin of SHIFT_PX.
            batch: crops per step.
            held_out: paths of the photos that show the progress.
            style_imgs: paths of the style images; the stems of their names are the names of the styles.
            base: channels of the first convolution, see `TransformNet`.
            content_weights: a factor on the content loss for each of `style_imgs`; None for 1 each.
            start: an `export.TrainedNetwork` to start from, or None.
            add: whether to keep the styles of `start`, and to train only the scales and shifts of the new styles.
            recipe, seed, settings: other arguments of `NetworkTraining`.

        Raises:
            UserError: the content weights, the names of the styles or the style statistic cannot be used, or
                `NetworkTraining` refuses its arguments.
        """
        if content_weights is not None and len(content_weights) != len(style_imgs):
            raise UserError(f'--content-weights: {len(content_weights)} for {len(style_imgs)} styles; give one '
                            'for each style')
        statistics.check_statistic(recipe, (statistics.RelativeStatistic, statistics.Wasserstein),
                                   'cannot be used to train a network')
        self.content_weights, self.add = content_weights, add
        self.trained = {path.stem: files.file_hash(path) for path in map(Path, style_imgs)}
        self.styles = (start.styles if add else {}) | self.trained
        if len(self.trained) < len(style_imgs) or add and self.trained.keys() & start.styles.keys():
            raise UserError('--style: two styles have the same name, that of their files without the extension; '
                            'rename one of the files')
        self.network = TransformNet(len(self.styles), base, seed)
        super().__init__([collection], batch, held_out, style_imgs=style_imgs, start=start, recipe=recipe, seed=seed,
                         **settings)

    def _make_run(self, name):
        fingerprint = self._fingerprint() | dict(styles=self.styles, add=self.add, base=self.network.base,
                                                 content_weights=self.content_weights)
        defaults = recipes.legacy_defaults() | {'content_share': 'batch', 'content_weights': None}
        return runs.Run(name or default_name(self.style_paths), fingerprint, defaults)

    def _create_styles(self, batches, first, count):
        """Return the style weights [B, styles] of a tower's crops, ones and zeros."""
        styles = self._random_styles()[first:first + count]
        return tf.placeholder_with_default(styles, [None, len(self.styles)])

    def _stylize_views(self, views, styles, count):
        """Return the pictures of the views, and None: they keep the content of the photos."""
        return self.network(views, tf.concat([styles] * count, axis=0))[0], None

    def _display_feed(self):
        """Return the feed that displays a held-out photo in each trained style, with averaged parameters."""
        n, tower = len(self.trained), self.towers[0]
        return {tower.crops: self.held_out[np.arange(n) % len(self.held_out)], self.use_averages: True,
                tower.styles: self._one_hot_styles()[-n:]}

    def _one_hot_styles(self):
        """Return the style weights of each style of the network alone, [styles, styles]."""
        return np.eye(len(self.styles), dtype=np.float32)

    def _random_styles(self):
        """Draw a style for each crop of a batch, one-hot [batch, styles]; none repeats before all have occurred."""
        n = len(self.trained)
        order = tf.argsort(tf.random.stateless_uniform([n], [self.seed + 1, self.gstep]))
        chosen = tf.gather(order, np.arange(self.batch) % n)
        return tf.gather(self._one_hot_styles()[-n:], chosen)

    def _first_value(self, key):
        """Return the first value of a parameter; a new style starts from the mean of the styles of `start`."""
        value = super()._first_value(key)
        if self.start and key.endswith(PER_STYLE_PARAMETERS):
            rows = dict(zip(self.start.styles, value))
            value = np.stack([rows.get(style, value.mean(axis=0)) for style in self.styles])
        return value

    def _is_trained(self, key):
        return not self.add or key.endswith(PER_STYLE_PARAMETERS)

    def create_losses(self) -> dict:
        """Compute the statistics of the style images, then create the losses."""
        self.style_values = self._style_values()
        return super().create_losses()

    def _style_values(self):
        """Return, for each style image, a list of the values of its statistic, one for each style layer."""
        recipe, statistic = self.recipe, statistics.statistic_of(self.recipe)
        return [extract_features(self.weights, utils.get_style_image(path, STYLE_SIDE_PX, STYLE_SIDE_PX, False,
                                                                     recipe.style_scale,
                                                                     self.color_profiles == CONVERTED),
                                 recipe.style_layers, recipe.pooling, recipe.padding, self.config, statistic.compute)
                for path in self.style_paths]

    def _style_targets(self, tower):
        statistic = statistics.statistic_of(self.recipe)
        weights = tower.styles[:, -len(self.style_paths):]

        def select(*arrays):
            """Return the value for the style of each crop, [B, ...], from the values of all trained styles."""
            stacked = np.concatenate(arrays)
            return tf.tensordot(weights, stacked, 1)
        return [statistics.StyleTarget(statistic, tf.nest.map_structure(select, *layer))
                for layer in zip(*self.style_values)]

    def _content_factors(self, tower):
        factors = np.float32(self.content_weights or [1] * len(self.trained))[:, None]
        return tf.matmul(tower.styles[:, -len(self.trained):], factors)[:, 0]

    def _export(self, parameters, about):
        export.write_multi_style(self.model_folder, parameters, about)

    def _column_count(self):
        return len(self.trained)
