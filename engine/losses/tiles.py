"""The losses of a picture and their exact gradient, computed in tiles, so that the memory does not grow with its size.

Everything that the losses compare is a function of sums over the positions of a map: the content loss is a sum of
squares, and a mean or a product of features is a sum divided by a number of positions. A first pass over the tiles adds
up these sums. From them follow the style loss and its derivative with respect to each sum. A second pass computes, for
each tile, the gradient of the sums times these derivatives, and adds it to the gradient of the picture.

A tile is computed with a margin that is as wide as the receptive field of the deepest layer, but only its own positions
count, so that the result is that of the whole picture. Galerne et al. (2024, Scaling Painting Style Transfer) do the
same on GPUs.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

import load_vgg
import recipes
from common.tf1 import tf
from common.vgg_layers import LAYERS
from engine.losses.statistics import MIN_DIVISOR, Statistic


class Tile(NamedTuple):
    """A tile of a picture, as slices of its rows and columns.

    Attributes:
        rows, columns: The own pixels of the tile.
        margin_rows, margin_columns: The same with the margin, as far as the picture reaches.
    """
    rows: slice
    columns: slice
    margin_rows: slice
    margin_columns: slice

    @property
    def own(self) -> tuple[int, int, int, int]:
        """The own pixels within the tile with its margin: (first row, first column, height, width)."""
        return (self.rows.start - self.margin_rows.start, self.columns.start - self.margin_columns.start,
                self.rows.stop - self.rows.start, self.columns.stop - self.columns.start)


def tiles_of(height: int, width: int, side: int, layers: Sequence[str]) -> Iterator[Tile]:
    """Yield the tiles of a picture, row by row.

    Args:
        height: Height of the picture in pixels.
        width: Width of the picture in pixels.
        side: The side of a tile without its margin; it is rounded up to a multiple of the deepest layer's stride.
        layers: The layers whose features are needed.
    """
    margin, stride = margin_and_stride(layers)
    side = -(-side // stride) * stride
    for top in range(0, height, side):
        for left in range(0, width, side):
            own = slice(top, min(top + side, height)), slice(left, min(left + side, width))
            yield Tile(*own, *(slice(max(0, part.start - margin), min(part.stop + margin, length))
                               for part, length in zip(own, (height, width))))


def margin_and_stride(layers: Sequence[str]) -> tuple[int, int]:
    """Return how many pixels beyond a tile its features depend on, a multiple of the stride, and the stride.

    Args:
        layers: Names of layers of VGG-19.
    """
    deepest = load_vgg.CONVOLUTIONS[load_vgg.deepest_index(layers)]
    margin, stride = 0, 1
    for name in LAYERS[:LAYERS.index(deepest) + 1]:
        if name.startswith('conv'):
            margin += stride
        elif name.startswith('pool'):
            stride *= 2
    return -(-margin // stride) * stride, stride


class Sums(NamedTuple):
    """Sums over positions of the features of a layer, in float64.

    Attributes:
        positions: The number of positions, or the sum of their weights.
        features: Σ F, [1, N].
        products: Σ F Fᵀ, [1, N, N].
    """
    positions: float
    features: np.ndarray
    products: np.ndarray


class TiledFeatures:
    """VGG-19 in a graph of its own, applied to one tile after the other.

    Attributes:
        session: The session of the graph.
        content, style: The content and style layers' own features of the current tile, tensors [1, H', W', N].
    """

    def __init__(self, weights: load_vgg.Weights, recipe, side: int, n_regions: int = 1,
                 config: tf.ConfigProto | None = None):
        """Build the graph.

        Args:
            weights: The weights of VGG-19.
            recipe: The recipe, for its layers, pooling and padding.
            side: The side of a tile in pixels.
            n_regions: The number of regions of the picture, each with weights of its positions.
            config: The configuration of the session.
        """
        self.side, self.n_regions = side, n_regions
        self.content_layers, self.style_layers = recipe.content_layers, recipe.style_layers
        self.config = tf.ConfigProto()
        self.config.CopyFrom(config or self.config)
        # This session runs inside an op of another one, whose threads it must not wait for.
        self.config.use_per_session_threads = True
        with tf.Graph().as_default() as graph:
            self.pixels, self.own = tf.placeholder(tf.float32, [1, None, None, 3]), tf.placeholder(tf.int32, [4])
            vgg = load_vgg.VGG(self.pixels, weights, recipe.pooling, recipe.padding)
            vgg.load(self.layers)
            self.content, self.style = ([self._own_part(layer, F) for layer, F in zip(layers, vgg.features(layers))]
                                        for layers in (self.content_layers, self.style_layers))
            self._build_sums()
            self._build_gradient()
        self.session = tf.Session(graph=graph, config=self.config)

    layers = property(lambda self: self.content_layers + self.style_layers)

    def _own_part(self, layer, F):
        """Return the part of a map that belongs to the tile's own pixels; an odd edge of the picture is rounded up."""
        stride = stride_of(layer)
        start, size = self.own[:2] // stride, (self.own[2:] + stride - 1) // stride
        part = tf.slice(F, [0, start[0], start[1], 0], [1, size[0], size[1], -1])
        part.set_shape([1, None, None, F.shape[3]])
        return part

    def _build_sums(self):
        """Add Σ (F − P)² of each content layer and, for each region, the sums of each style layer."""
        self.targets = [tf.placeholder_with_default(tf.zeros_like(F), [1, None, None, F.shape[3]])
                        for F in self.content]
        self.squares = [tf.reduce_sum(tf.square(F - P)) for F, P in zip(self.content, self.targets)]
        self.weights = [[tf.placeholder_with_default(tf.ones_like(F[..., :1]), [1, None, None, 1]) for F in self.style]
                        for _ in range(self.n_regions)]
        self.sums = [list(map(self._weighted_sums, self.style, weights)) for weights in self.weights]

    @staticmethod
    def _weighted_sums(F, weights):
        F, weights = (tf.reshape(x, [1, -1, x.shape[3]]) for x in (F, weights))
        return (tf.reduce_sum(weights), tf.reduce_sum(weights * F, axis=1),
                tf.matmul(weights * F, F, transpose_a=True))

    def _build_gradient(self):
        """Add the gradient with respect to `pixels` of the sums, each multiplied by its derivative, a placeholder."""
        self.square_derivatives = [tf.placeholder(tf.float32, []) for _ in self.content]
        self.derivatives = [[[tf.placeholder(tf.float32, part.shape) for part in sums[1:]] for sums in region]
                            for region in self.sums]
        upstream = [2 * d * (F - P) for d, F, P in zip(self.square_derivatives, self.content, self.targets)]
        for layer, F in enumerate(self.style):
            flat, total = tf.reshape(F, [1, -1, F.shape[3]]), 0.
            for weights, derivatives in zip(self.weights, self.derivatives):
                d_features, d_products = derivatives[layer]
                both = tf.matmul(flat, d_products + tf.linalg.matrix_transpose(d_products)) + d_features[:, None]
                total += weights[layer] * tf.reshape(both, tf.shape(F))
            upstream.append(total)
        self.gradient, = tf.gradients(self.content + self.style, self.pixels, upstream)

    def tiles(self, image: np.ndarray) -> Iterator[Tile]:
        """Yield the tiles of an image [1, H, W, 3]."""
        return tiles_of(*image.shape[1:3], self.side, self.layers)

    def run(self, fetches, image: np.ndarray, tile: Tile, masks: Sequence = (), fed: dict | None = None):
        """Return the values of some tensors for one tile.

        Args:
            fetches: The tensors, nested.
            image: [1, H, W, 3], mean-centered.
            tile: The tile.
            masks: For each region the weights of the positions, [1, H', W', 1] for each style layer; empty for 1.
            fed: Tensor -> further values.
        """
        fed = {self.pixels: image[:, tile.margin_rows, tile.margin_columns], self.own: tile.own} | (fed or {})
        for weights, region in zip(self.weights, masks):
            for tensor, mask, layer in zip(weights, region, self.style_layers):
                fed[tensor] = mask[:, _at_stride(tile.rows, layer), _at_stride(tile.columns, layer)]
        return self.session.run(fetches, fed)

    def sums_of(self, image: np.ndarray, masks: Sequence = ()) -> list[list[Sums]]:
        """Return the `Sums` of a whole image for each region and style layer; arguments as in `run`."""
        return self._added(self.sums, image, masks)

    def squares_of(self, image: np.ndarray) -> list[float]:
        """Return Σ F² over a whole image, mean-centered [1, H, W, 3], for each content layer."""
        return self._added(self.squares, image, ())

    def _added(self, fetches, image, masks):
        """Return the values of some tensors, added up over all tiles in float64."""
        total = None
        for tile in self.tiles(image):
            found = tf.nest.map_structure(np.float64, self.run(fetches, image, tile, masks))
            total = tf.nest.map_structure(np.add, total, found) if total else found
        return total


def stride_of(layer: str) -> int:
    """Return how many pixels of the picture apart the positions of a layer are."""
    return margin_and_stride([layer])[1]


def _at_stride(part, layer):
    """Return the slice of the map of a layer that belongs to a slice of pixels."""
    stride = stride_of(layer)
    return slice(part.start // stride, -(-part.stop // stride))


class TiledObjective:
    """The losses of a picture in tiles; `losses` has the interface of `objective.Objective`.

    Attributes:
        recipe: The recipe.
        features: The `TiledFeatures`.
    """

    def __init__(self, recipe, features: TiledFeatures, statistic: Statistic, content: np.ndarray,
                 styles: Sequence[np.ndarray], style_weights: Sequence[float], masks: Sequence = ()):
        """Compute the targets.

        Args:
            recipe: The recipe.
            features: The `TiledFeatures`, for as many regions as there are masks.
            statistic: The style statistic.
            content: The content image, mean-centered [1, H, W, 3].
            styles: The style images, mean-centered [1, H', W', 3].
            style_weights: Their weights, which add up to 1; not used with masks, whose regions have a style each.
            masks: As in `TiledFeatures.run`; empty for a picture without a mask.
        """
        self.recipe, self.features, self.statistic = recipe, features, statistic
        self.content, self.masks = content, masks
        found = [[self._value(sums) for sums in features.sums_of(style)[0]] for style in styles]
        self.values = found if masks else [[statistic.blend(values, style_weights) for values in zip(*found)]]
        self._build_style_loss()
        self._build_content_coefficients()

    def _value(self, sums):
        """Return the value of the statistic for some `Sums`."""
        positions, features, products = sums
        return self.statistic.from_moments(features / positions, products / positions, float(positions))

    def _build_style_loss(self):
        """Build a small graph with the style loss and its derivatives, from the mean features and products, float64."""
        self.means, losses = [], []
        with tf.Graph().as_default() as graph:
            for region, values in enumerate(self.values):
                for layer, (weight, value) in enumerate(zip(self.recipe.style_layer_weights, values)):
                    mask = self.masks[region][layer] if self.masks else np.ones(1)
                    moments = [tf.placeholder(tf.float64, part.shape) for part in self.features.sums[region][layer][1:]]
                    self.means.append(moments)
                    if mask.any():
                        found = self.statistic.from_moments(*moments, self._positions(layer, mask))
                        target = tf.nest.map_structure(np.float64, value)
                        distance = tf.cast(self.statistic.distance(found, target), tf.float64)
                        losses.append(weight * mask.mean() * distance)
            self.style_loss = sum(losses)
            self.style_derivatives = [tf.gradients(self.style_loss, moments, unconnected_gradients='zero')
                                      for moments in self.means]
        self.session = tf.Session(graph=graph, config=self.features.config)

    def _positions(self, layer, mask):
        """Return the number of positions of a map of the picture, or the sum of their weights."""
        if self.masks:
            return float(mask.sum())
        stride = stride_of(self.recipe.style_layers[layer])
        return float(np.prod([-(-side // stride) for side in self.content.shape[1:3]]))

    def _build_content_coefficients(self):
        """Compute the coefficient of Σ (F − P)² of each content layer."""
        self.content_coefficients = []
        squares = self.features.squares_of(self.content)
        for layer, F, square in zip(self.recipe.content_layers, self.features.content, squares):
            sides = [-(-side // stride_of(layer)) for side in self.content.shape[1:3]]
            self.content_coefficients.append(self.recipe.content_factor(int(np.prod(sides)) * int(F.shape[3])) / (
                square + MIN_DIVISOR if self.recipe.content_coefficient == recipes.RELATIVE_TO_CONTENT else 1.))
        self.content_coefficients = np.multiply(self.content_coefficients, self.recipe.content_layer_weights)

    def losses(self, vgg: load_vgg.VGG, shared=None) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the content loss and the style loss; their gradient is that of both times their weights in the recipe.

        Args:
            vgg: The `load_vgg.VGG` of the generated image, whose layers need not be built.
            shared: None, because tiles need no `SharedGraph`.
        """
        @tf.custom_gradient
        def tiled(image):
            content, style, gradient = tf.numpy_function(self.evaluate, [image], [tf.float32] * 3)
            content.set_shape([])
            style.set_shape([])
            gradient.set_shape(image.shape)
            return (content, style), lambda *upstream: gradient
        return tiled(tf.convert_to_tensor(vgg.input_img))

    def evaluate(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return content loss, style loss and the gradient of their weighted sum, float32.

        Args:
            image: [1, H, W, 3], mean-centered.
        """
        features, recipe = self.features, self.recipe
        sums = [layer for region in features.sums_of(image, self.masks) for layer in region]
        positions = [layer[0] or 1. for layer in sums]  # A region may be empty.
        fed = {tensor: part / count for tensors, layer, count in zip(self.means, sums, positions)
               for tensor, part in zip(tensors, layer[1:])}
        style, derivatives = self.session.run([self.style_loss, self.style_derivatives], fed)
        placeholders = [tensors for region in features.derivatives for tensors in region]
        fed = {tensor: recipe.style_weight * part / count
               for tensors, parts, count in zip(placeholders, derivatives, positions)
               for tensor, part in zip(tensors, parts)}
        fed |= dict(zip(features.square_derivatives, recipe.content_weight * self.content_coefficients))
        gradient, content = np.zeros(image.shape, np.float32), 0.
        for tile in features.tiles(image):
            P = features.run(features.content, self.content, tile)
            squares, part = features.run([features.squares, features.gradient], image, tile, self.masks,
                                         fed | dict(zip(features.targets, P)))
            content += np.dot(self.content_coefficients, np.float64(squares))
            gradient[:, tile.margin_rows, tile.margin_columns] += part
        return np.float32(content), np.float32(style), gradient
