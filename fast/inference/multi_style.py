"""Apply a trained multi-style network to photos and blend the result with the photo; without TensorFlow."""

from collections.abc import Sequence

import numpy as np

from common.errors import UserError
from common.images import LUMINANCE_WEIGHTS
from fast.inference import models, style_spec, tiled

SHEET_SIDE_PX = 512  # longer side of the photo on a sheet of all styles


class MultiStyleModel(tiled.TiledModel):
    """A multi-style network; a style is an array [styles] of weights that add up to 1.

    Attributes:
        styles: Names of the styles, in the order of the weights.

    Raises:
        UserError: The folder does not hold a complete multi-style model.
    """

    stride, receptive_radius, tile = models.STRIDE, 60, 1024

    def _load(self, interpreter):
        self.styles = list(self.about['styles'])
        self._decoder = interpreter.get_signature_runner()
        if self._decoder.get_input_details()['style_weights']['shape'][1] != len(self.styles):
            raise ValueError(f'{models.MODEL_JSON} and {models.LITERT_FILE} differ in the number of styles')

    def _stylize(self, photo, style_weights, statistics=None):
        """Implement `TiledModel._stylize`; statistics are the means and variances of the instance norms, [1, S]."""
        return self._run_decoder(photo.shape, statistics, photos=self._padded(photo),
                                 style_weights=np.float32(style_weights)[None])

    @staticmethod
    def style_settings(style_weights: Sequence[float]) -> dict:
        """Return a style as a dict for JSON."""
        return dict(style_weights=[float(weight) for weight in style_weights])


def blend(photo: np.ndarray, picture: np.ndarray, strength: float | np.ndarray, keep_colors: bool) -> np.ndarray:
    """Blend a stylized picture with its photo.

    To keep the photo's colors, every channel changes by the same amount, the change of luminance. This preserves the
    photo's hue and saturation in YUV (luminance-only transfer: Gatys et al. 2016, Preserving Color in Neural Artistic
    Style Transfer).

    Args:
        photo: float32 [H, W, 3], 0 to 255.
        picture: The stylized picture, in the same form.
        strength: Share of the picture in the result, 0 to 1: a number or an array [H, W, 1].
        keep_colors: Whether to take only the luminance of the picture.

    Returns:
        float32 [H, W, 3], 0 to 255; with `keep_colors`, values may exceed this range.
    """
    change = picture - photo
    if keep_colors:
        change[:] = (change @ LUMINANCE_WEIGHTS)[..., None]
    change *= strength
    change += photo  # in place, because every copy of a large photo takes memory
    return change


def parse_style_weights(text: str, styles: Sequence[str]) -> np.ndarray:
    """Parse one or several style names with weights, for example 'starry_night' or 'starry_night:0.6,woodcut:0.4'.

    Args:
        text: Value of --style.
        styles: Names of the model's styles.

    Returns:
        float32 [styles], weights that add up to 1.

    Raises:
        UserError: The model does not have a style, or the weights are invalid.
    """
    weights = np.zeros(len(styles), np.float32)
    for name, weight in style_spec.parse(text):
        if name not in styles:
            raise UserError(f'--style {name}: is not a style of this model, which has {", ".join(styles)}')
        weights[styles.index(name)] += weight
    return weights
