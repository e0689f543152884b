"""Preserve the colors of the photo, and check masks.

A mask is white where the first style is applied. Where it is black, the second style is applied or, with only one
style, the photo stays as it is.

Color preservation follows Gatys, Bethge, Hertzmann and Shechtman (2016), Preserving Color in Neural Artistic Style
Transfer.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.errors import UserError

LUMINANCE_WEIGHTS = np.float32([0.2125, 0.7154, 0.0721])  # of R, G and B, those of scikit-image's rgb2gray
MIN_VARIANCE = 1e-6  # in squared units of 0 to 255; floor for the variance of a style image that has only one color
MASK_ASPECT_TOLERANCE = 0.01  # relative difference of the aspect ratios of mask and photo, whose sizes are rounded


def to_gray(image: np.ndarray) -> np.ndarray:
    """Return the luminance of an RGB image [..., 3], repeated in all three channels."""
    return np.repeat((image @ LUMINANCE_WEIGHTS)[..., None], 3, axis=-1)


def prepare_colors(
    photo: np.ndarray, styles: Sequence[np.ndarray], keep_colors: str
) -> tuple[np.ndarray, Sequence[np.ndarray]]:
    """Prepare a photo and style images so that the stylized image keeps the photo's colors.

    Args:
        photo: The photo [1, H, W, 3], 0 to 255; may be None if `keep_colors` is 'none'.
        styles: The style images, each [1, H, W, 3], 0 to 255.
        keep_colors: 'luminance' turns all images gray and gives each style the mean and standard deviation of the
            photo's luminance (section 3.2); 'histogram' gives each style the mean and covariance of the photo's colors
            (section 3.1); 'none' changes nothing.

    Returns:
        (photo, styles). Values of the styles may lie outside of 0 to 255.
    """
    if keep_colors == 'luminance':
        photo, styles = to_gray(photo), [to_gray(style) for style in styles]
        return photo, [(style - style.mean()) * (photo.std() / max(style.std(), MIN_VARIANCE ** 0.5)) + photo.mean()
                       for style in styles]
    return photo, [match_color_moments(style, photo) for style in styles] if keep_colors == 'histogram' else styles


def match_color_moments(image: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Map the colors of an image affinely so that their mean and covariance are those of another image.

    The map is Σ_o^½ Σ^−½ (x − μ) + μ_o, with the mean μ and covariance Σ of `image`, and those of `other` (index o).
    Several affine maps have this property; this is the one that Image Analogies uses (Hertzmann 2001).

    Args:
        image: The image to map, [..., 3].
        other: The image whose moments are matched, [..., 3]; its size may differ.

    Returns:
        The mapped image, float32, with the shape of `image`.
    """
    def root(covariance, power):
        values, vectors = np.linalg.eigh(covariance)
        return vectors * np.maximum(values, MIN_VARIANCE) ** power @ vectors.T
    (mean, covariance), (mean_o, covariance_o) = (
        (pixels.mean(axis=0), np.cov(pixels.T, bias=True))
        for pixels in (np.float64(x).reshape(-1, 3) for x in (image, other)))
    return np.float32((image - mean) @ (root(covariance_o, 0.5) @ root(covariance, -0.5)).T + mean_o)


def check_mask_styles(count: int) -> None:
    """Raise `UserError` if there are more than two styles, because a mask has only two regions."""
    if count > 2:
        raise UserError(f'--mask: works with one or two styles, but there are {count}')


def have_same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Return whether two sizes (width, height) have the same aspect ratio, up to the rounding of their sides.

    The ratios may differ by `MASK_ASPECT_TOLERANCE`, or by one pixel of the shortest side if this is more.
    """
    (w, h), (W, H) = one, other
    return abs(w * H / (h * W) - 1) <= max(MASK_ASPECT_TOLERANCE, 1 / min(w, h, W, H))


def check_mask_shape(name: str, mask_size: tuple[int, int], photo: str | Path, photo_size: tuple[int, int]) -> None:
    """Raise `UserError` if the aspect ratio of a mask differs from that of the photo, see `have_same_shape`.

    Args:
        name: How the error message names the mask.
        mask_size: (width, height) of the mask, in pixels.
        photo: How the error message names the photo.
        photo_size: (width, height) of the photo, in pixels.
    """
    (w, h), (W, H) = mask_size, photo_size
    if not have_same_shape(mask_size, photo_size):
        raise UserError(f'{name}: {w}×{h} has a different aspect ratio than {photo}, {W}×{H}; crop the mask to match')
