"""The images that the picture is compared with, and the style loss of recipes that go beyond CS20's.

CS20's style loss compares Gram matrices of one style image that has the size of the picture; it is written in
`style_transfer.StyleTransfer`, where students complete it. An `Objective` is needed for another statistic, several
styles, a mask, or a style image that keeps its aspect ratio.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import recipes
import utils
from common.color_profiles import CONVERTED
from common.errors import UserError
from common.images import prepare_colors
from common.tf1 import tf
from engine.losses import guidance, statistics
from engine.losses.features import FeatureExtractor, lazy_constant


class Images(NamedTuple):
    """The images of a picture, fitted to its size.

    Attributes:
        photo: The content image as read, float32 [1, H, W, 3], 0 to 255, or None.
        content: The content image that the network sees; it is gray if `keep_colors` is luminance, else the photo.
        styles: The style images that the network sees, float32 [1, H', W', 3] each.
        style_weights: One weight for each style image; they add up to 1.
        mask: float32 [H, W], 0 to 1, or None. White regions get the first style, black regions the second or the photo.
    """
    photo: np.ndarray | None
    content: np.ndarray | None
    styles: list
    style_weights: list
    mask: np.ndarray | None


def read_images(content_path: Path | None, style_paths: list, mask_path: Path | None, style_weights: list | None,
                width: int, height: int, recipe: recipes.Recipe, color_profiles: str = CONVERTED) -> Images:
    """Read the images of a picture and fit them to its size, as the recipe says.

    Args:
        content_path: The photo, or None.
        style_paths: The style images.
        mask_path: The mask, or None.
        style_weights: One number for each style, or None.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        recipe: The recipe.
        color_profiles: 'converted' if the ICC profiles of photo and styles are used, else 'ignored'.

    Raises:
        UserError: An image cannot be read, or styles, weights and mask do not fit each other.
    """
    shares = guidance.blend_weights(style_paths, style_weights, mask_path)
    is_converted = color_profiles == CONVERTED
    photo = content_path and utils.get_resized_image(content_path, width, height, is_converted)
    mask = mask_path and guidance.read_mask(mask_path, content_path, width, height)
    if mask is not None and len(style_paths) == 1 and not mask.any():
        raise UserError(f'--mask {mask_path}: is black everywhere, so that the style is applied nowhere')
    styles = [utils.get_style_image(path, width, height, recipe.style_fit == 'crop', recipe.style_scale, is_converted,
                                    recipe.style_resampling) for path in style_paths]
    return Images(photo, *prepare_colors(photo, styles, recipe.keep_colors), shares, mask)


def read_initial_img(image: Path | np.ndarray | None, width: int, height: int, color_profiles: str):
    """Return a starting image, float32 [1, height, width, 3], 0 to 255; a path is read, an array or None returned."""
    return (utils.get_resized_image(image, width, height, color_profiles == CONVERTED) if isinstance(image, Path)
            else image)


class Objective:
    """The losses of a recipe that goes beyond CS20's.

    Attributes:
        recipe: The recipe.
        targets: One `StyleTarget` or `GuidedStyleTarget` for each style layer of the recipe.
        content_features: The features of the content image, one array [1, H, W, N] for each content layer.
    """

    def __init__(self, recipe: recipes.Recipe, targets: list, content_features: list):
        self.recipe, self.targets, self.content_features = recipe, targets, content_features

    @staticmethod
    def for_picture(machine) -> 'Objective | None':
        """Return the objective of a `StyleTransfer`, see `objective_of`."""
        return objective_of(machine.recipe, machine.images, machine.weights, machine.config, machine.extractors)

    def values(self) -> dict[str, np.ndarray]:
        """Return the numbers that a `SharedGraph` sets for each level, name -> float32 array.

        They exist for a `RelativeStatistic` without masks.
        """
        content = enumerate(zip(self.content_features, self._content_coefficients()))
        style = enumerate(zip(self.targets, self.recipe.style_layer_weights))
        return {f'content{i}{part}': np.float32(value) for i, (features, weight) in content
                for part, value in (('', features), ('_weight', weight))} | {
                f'style{i}{part}': np.float32(value) for i, (target, weight) in style
                for part, value in (*enumerate(target.value), ('_weight', weight))}

    def losses(self, vgg, shared=None) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the content loss and the style loss.

        Args:
            vgg: The `load_vgg.VGG` of the generated image.
            shared: A `SharedGraph`, whose levels have other targets; None if the targets are constant.
        """
        F, G = (vgg.features(layers) for layers in (self.recipe.content_layers, self.recipe.style_layers))
        if shared:
            held = shared.tensors(self.values())
            P, weights = ([held[f'content{i}{part}'] for i in range(len(F))] for part in ('', '_weight'))
            targets = [target._replace(value=[held[f'style{i}{j}'] for j in range(len(target.value))])
                       for i, target in enumerate(self.targets)]
            style_weights = [held[f'style{i}_weight'] for i in range(len(G))]
        else:
            P, weights = map(lazy_constant, self.content_features, F), self._content_coefficients()
            targets, style_weights = self.targets, self.recipe.style_layer_weights
        content_loss = sum(w * tf.reduce_sum(tf.square(f - p)) for w, p, f in zip(weights, P, F))
        return content_loss, style_loss(style_weights, targets, G)

    def style_loss(self, features: list) -> tf.Tensor:
        """Return the style loss of maps [B, H, W, N], one for each style layer, as the starter of version 1.0 does."""
        return style_loss(self.recipe.style_layer_weights, self.targets, features)

    def _content_coefficients(self):
        """Return the coefficient of Σ (F − P)² for each content layer."""
        return [w * self.recipe.content_factor(p.size)
                for w, p in zip(content_weights(self.recipe, self.content_features), self.content_features)]


def style_loss(weights: Sequence, targets: Sequence, features: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the weighted sum of the layers' distances from their targets.

    Args:
        weights: The weights of the style layers.
        targets: One `StyleTarget` or `GuidedStyleTarget` for each style layer.
        features: The maps [B, H, W, N] of the generated images, one for each style layer.
    """
    return sum(w * target.loss(F) for w, target, F in zip(weights, targets, features))


def objective_of(recipe: recipes.Recipe, images: Images, weights, config=None,
                 extractors: dict | None = None) -> Objective | None:
    """Return the objective of a recipe, or None if CS20's style loss, which `StyleTransfer` computes, is enough.

    Args:
        recipe: The recipe.
        images: The images of the picture.
        weights: The `load_vgg.Weights`.
        config: The configuration of the session that computes the targets, see `session.session_config`.
        extractors: Path of weights -> `FeatureExtractor`, to which one for these weights is added if there is none.
            Several pictures share them, because building an extractor takes longer than using it.
    """
    if (recipe.style_statistic == 'gram' and recipe.style_fit == 'crop' and len(images.styles) == 1
            and images.mask is None):
        return None
    statistic = statistics.statistic_of(recipe)
    extractors = {} if extractors is None else extractors
    if weights.path not in extractors:
        extractors[weights.path] = FeatureExtractor(weights, recipe.pooling, recipe.padding, config)
    extract = extractors[weights.path]
    values = list(zip(*(extract(style, recipe.style_layers, statistic.compute) for style in images.styles)))
    content = extract(images.content, recipe.content_layers)
    if images.mask is None:
        return Objective(recipe, [statistics.StyleTarget(statistic, statistic.blend(styles, images.style_weights))
                                  for styles in values], content)
    masks = zip(*(guidance.guidance_masks(mask, recipe.style_layers, recipe.pooling, config)
                  for mask in (images.mask, 1 - images.mask)))
    return Objective(recipe, [statistics.GuidedStyleTarget(statistic, *pair) for pair in zip(values, masks)], content)


def content_weights(recipe: recipes.Recipe, P: list) -> list:
    """Return the weights of the content layers; a relative content loss divides them by the sum of squares of P.

    Args:
        recipe: The recipe, whose `content_coefficient` says whether the content loss is relative.
        P: The features of the content image, one array [1, H, W, N] for each content layer.
    """
    weights = recipe.content_layer_weights
    if recipe.content_coefficient != recipes.RELATIVE_TO_CONTENT:
        return weights
    return [w / (np.square(p).sum() / len(p) + statistics.MIN_DIVISOR) for w, p in zip(weights, P)]


def total_variation(image: tf.Tensor) -> tf.Tensor:
    """Return the mean squared difference of vertical neighbors plus that of horizontal neighbors of [B, H, W, C]."""
    def roughness(shift):
        # The gradient of `tf.slice` runs on all cores; that of Python's slices runs on one.
        size = tf.shape(image) - shift
        return tf.reduce_mean(tf.square(tf.slice(image, shift, size) - tf.slice(image, [0, 0, 0, 0], size)))
    return roughness([0, 1, 0, 0]) + roughness([0, 0, 1, 0])


def composite(image: tf.Tensor, recipe: recipes.Recipe, images: Images, mean_pixels: np.ndarray) -> tf.Tensor:
    """Apply `keep_colors` and the mask, if set, to a mean-centered image [1, H, W, 3].

    With `keep_colors` luminance, the photo's colors are restored. With a mask and one style, the photo is kept where
    the mask is black.
    """
    luminance = recipe.keep_colors == 'luminance'
    mask = images.mask if len(images.styles) == 1 else None
    if not luminance and mask is None:
        return image
    return guidance.composite_with_photo(image, images.photo - mean_pixels, luminance, mask)
