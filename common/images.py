"""Masks, white where the first style goes, black where the second does, or the photo stays; and the photo's colors
kept: Gatys, Bethge, Hertzmann and Shechtman (2016), Preserving Color in Neural Artistic Style Transfer.
"""

import numpy as np

from common.errors import UserError

LUMINANCE_WEIGHTS = np.float32([0.2125, 0.7154, 0.0721])  # of RGB (ITU-R BT.709), as scikit-image's rgb2gray has it
MIN_VARIANCE = 1e-6  # variance, of 255², of colors that a style image does not have
MASK_ASPECT_TOLERANCE = 0.01  # share by which a mask's width : height may differ from the photo's: they are rounded


def to_gray(image):
    """The luminance of an image [..., 3] as all three channels."""
    return np.repeat((image @ LUMINANCE_WEIGHTS)[..., None], 3, axis=-1)


def prepare_colors(photo, styles, keep_colors):
    """A photo and style images [1, H, W, 3] of 0-255 as the network is to see them: (photo, list of styles).

    keep_colors: 'luminance' makes all gray, and gives each style mean and deviation of the photo's luminance (section
    3.2); 'histogram' gives each style mean and covariance of the photo's colors (section 3.1); 'none' changes nothing
    Values of a style may lie outside of 0-255 then.
    """
    if keep_colors == 'luminance':
        photo, styles = to_gray(photo), [to_gray(style) for style in styles]
        return photo, [(style - style.mean()) * (photo.std() / max(style.std(), MIN_VARIANCE ** 0.5)) + photo.mean()
                       for style in styles]
    return photo, [match_color_moments(style, photo) for style in styles] if keep_colors == 'histogram' else styles


def match_color_moments(image, other):
    """An image [..., 3] by a linear map of its colors, so that these have the mean and covariance of another image's.

    Σ_o^½ Σ^−½ (x − μ) + μ_o, of the maps that do this the one of Image Analogies (Hertzmann 2001).
    """
    def root(covariance, power):
        values, vectors = np.linalg.eigh(covariance)
        return vectors * np.maximum(values, MIN_VARIANCE) ** power @ vectors.T
    (mean, covariance), (mean_o, covariance_o) = (
        (pixels.mean(axis=0), np.cov(pixels.T, bias=True))
        for pixels in (np.float64(x).reshape(-1, 3) for x in (image, other)))
    return np.float32((image - mean) @ (root(covariance_o, 0.5) @ root(covariance, -0.5)).T + mean_o)


def check_mask_styles(count):
    """Raise `UserError` for a number of styles that a mask is not for."""
    if count > 2:
        raise UserError(f'--mask is for one style or two, and there are {count}')


def check_mask_shape(name, mask_size, photo, photo_size):
    """Raise `UserError` for a mask of another shape than the photo's; (width, height) each; name: of the mask."""
    (w, h), (W, H) = mask_size, photo_size
    if abs(w * H / (h * W) - 1) > max(MASK_ASPECT_TOLERANCE, 1 / min(w, h, W, H)):
        raise UserError(f'{name}: {w}×{h} has another shape than {photo}, {W}×{H}; cut it to that')
