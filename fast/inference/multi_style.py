"""A trained network of some styles applied to photos, and what is made of pictures; without TensorFlow."""

import numpy as np

from common.errors import UserError
from common.images import LUMINANCE_WEIGHTS
from fast.inference import models, style_spec, tiled

SHEET_SIDE_PX = 512  # longer side of a photo on a sheet of all styles


class MultiStyleModel(tiled.TiledModel):
    """A network of some styles; a style is [styles], weights that add up to 1.

    styles: their names, in order. Raises `UserError` for a folder that is no model.
    """

    stride, receptive_radius, tile = models.STRIDE, 60, 1024

    def _load(self, interpreter):
        self.styles = list(self.about['styles'])
        self._decoder = interpreter.get_signature_runner()
        if self._decoder.get_input_details()['style_weights']['shape'][1] != len(self.styles):
            raise ValueError(f'{models.MODEL_JSON} and {models.LITERT_FILE} have another number of styles')

    def _stylize(self, photo, style_weights, statistics=None):
        """statistics: means and variances of the instance norms, [1, S]."""
        return self._run_decoder(photo.shape, statistics, photos=self._padded(photo),
                             style_weights=np.float32(style_weights)[None])

    @staticmethod
    def style_settings(style_weights):
        """A style as settings, for JSON."""
        return dict(style_weights=[float(weight) for weight in style_weights])


def blend(photo, picture, strength, keep_colors):
    """The picture, less of it for a strength below 1, a number or [H, W, 1], or only its luminance: [H, W, 3] of 0-255.

    To keep the photo's colors every channel gets the same difference, which leaves its hues and saturation in YUV as
    they are (luminance-only transfer: Gatys et al. 2016, Preserving Color in Neural Artistic Style Transfer).
    """
    change = picture - photo
    if keep_colors:
        change[:] = (change @ LUMINANCE_WEIGHTS)[..., None]
    change *= strength
    change += photo  # in place: of a large photo every copy counts
    return change


def parse_style_weights(text, styles):
    """[styles] that add up to 1, of 'starry_night' or 'starry_night:0.6,woodcut:0.4'. Raises `UserError`."""
    weights = np.zeros(len(styles), np.float32)
    for name, weight in style_spec.parse(text):
        if name not in styles:
            raise UserError(f'--style {name}: no style of this model; it has {", ".join(styles)}')
        weights[styles.index(name)] += weight
    return weights
