"""The network of any style applied to photos, with paintings for styles; without TensorFlow."""

import functools

import numpy as np

import utils
from common import files
from fast.inference import models, moment_matching, tiled
from fast.inference.tiled import cubic_kernel, hamming_kernel, resample

CACHED_STYLES = 4  # styles whose moments are not computed again
# a photo of fewer pixels than the square of MIN_STYLIZED_SIDE_PX is painted with as many, or with MAX_UPSAMPLING times
# its sides: strokes and
# what is wrong with them become finer
MIN_STYLIZED_SIDE_PX, MAX_UPSAMPLING = 640, 1.5


class Style:
    """Paintings whose statistics photos are given.

    images: [H, W, 3] of 0-255 each; weights: any multiple means the same, None for equal ones
    scale: of a painting's sides; with 1 it has as many pixels as the photo, or the photo reduced, that it is for
    """

    def __init__(self, images, weights=None, scale=1.):
        weights = np.ones(len(images)) if weights is None else np.float64(weights)
        self.weights, self.scale = weights / weights.sum(), scale
        self.images = [_limit_painting(image, scale) for image in images]

    def resize_for(self, pixels):
        """The paintings for a photo of so many pixels."""
        return [tiled.resize_by(image, self.scale * (pixels / image[..., 0].size) ** 0.5) for image in self.images]

    def blend(self, values):
        """One of a value of each painting."""
        return np.float32(sum(weight * value for weight, value in zip(self.weights, values)))


def _limit_painting(image, scale):
    """Of a large painting no more than is looked at for any photo."""
    factor = int(image[..., 0].size ** 0.5 / (tiled.STATISTICS_SIDE_PX * scale))
    return utils.box_downsample(image, min(factor, *image.shape[:2])) if factor > 1 else image


class ArbitraryStyleModel(tiled.TiledModel):
    """A network of any style; a style is a `Style`. Raises `UserError` for a folder that is no model of the kind."""

    stride, receptive_radius, tile = 8, 159, 1280

    def __init__(self, folder, threads=0):
        super().__init__(folder, threads)
        self._style_statistics = functools.lru_cache(CACHED_STYLES)(self._style_statistics)

    def __call__(self, photo, style, tile=None):
        """As of `Tiled`; a photo below MIN_STYLIZED_SIDE_PX is painted larger, and the picture reduced."""
        factor = min(MAX_UPSAMPLING, MIN_STYLIZED_SIDE_PX / photo[..., 0].size ** 0.5)
        if factor <= 1:
            return super().__call__(photo, style, tile)
        height, width = photo.shape[:2]
        larger = resample(photo, *(round(factor * length) for length in (height, width)), cubic_kernel)
        return resample(super().__call__(larger, style, tile), height, width, hamming_kernel)

    def _load(self, interpreter):
        self._encode, self._decoder = map(interpreter.get_signature_runner, ('encode', 'decode'))
        self._names = self.about['maps']

    def _stylize(self, photo, style, statistics=None):
        """statistics: `transforms.mappings`; the style's description; the norms' own [1, S]."""
        maps = self._maps(photo)
        mappings, description, norms = statistics or (*self._affine_maps(maps, style, photo[..., 0].size), None)
        mapped = {name: moment_matching.apply(F, *mappings[name]) for name, F in maps.items()}
        picture, own = self._run_decoder(photo.shape, norms, **mapped, description=description)
        return picture, (mappings, description, own)

    def _maps(self, photo):
        """The network's maps of a photo, name -> [1, H', W', N]."""
        maps = self._run_signature(self._encode, photos=self._padded(photo))
        return {name: maps[name] for name in self._names}

    def _affine_maps(self, maps, style, pixels):
        """What gives the maps of a photo of so many pixels the style's statistics; its description [1, D]."""
        statistics, description = self._style_statistics(style, pixels)
        return moment_matching.affine_maps(maps, statistics, style.weights), description

    def _style_statistics(self, style, pixels):
        """For a photo of so many pixels: the `Statistics` of the paintings, and their description [1, D]."""
        statistics = [moment_matching.compute_statistics(self._maps(image)) for image in style.resize_for(pixels)]
        return statistics, style.blend(moment_matching.style_embedding(one.moments.values()) for one in statistics)[
            None
        ]

    @staticmethod
    def style_settings(style):
        """A style as settings, for JSON: the paintings by SHA-256 of their pixels."""
        return dict(paintings=list(map(files.array_hash, style.images)), weights=style.weights.tolist(),
                    scale=style.scale)


def stylize(photo, paintings, weights=None):
    """The picture [H, W, 3] of a photo by the model that ships; all of 0-255.

    weights: of the paintings, see `Style`
    """
    return ArbitraryStyleModel(models.find(models.ARBITRARY))(photo, Style(paintings, weights))
