"""The network of any style applied to photos, with paintings for styles; without TensorFlow."""

import functools

import numpy as np

import utils
from common import files
from fast.inference import models, moment_matching, tiled
from fast.inference.tiled import cubic, hamming, resampled

KEPT = 4  # styles whose moments are not computed again
# a photo of fewer pixels than the square of SMALL is painted with as many, or with LARGER times its sides: strokes and
# what is wrong with them become finer
SMALL, LARGER = 640, 1.5


class Style:
    """Paintings whose statistics photos are given.

    images: [H, W, 3] of 0-255 each; weights: any multiple means the same, None for equal ones
    scale: of a painting's sides; with 1 it has as many pixels as the photo, or the photo reduced, that it is for
    """

    def __init__(self, images, weights=None, scale=1.):
        weights = np.ones(len(images)) if weights is None else np.float64(weights)
        self.weights, self.scale = weights / weights.sum(), scale
        self.images = [_small(image, scale) for image in images]

    def sized(self, pixels):
        """The paintings for a photo of so many pixels."""
        return [tiled.scaled(image, self.scale * (pixels / image[..., 0].size) ** 0.5) for image in self.images]

    def mixed(self, values):
        """One of a value of each painting."""
        return np.float32(sum(weight * value for weight, value in zip(self.weights, values)))


def _small(image, scale):
    """Of a large painting no more than is looked at for any photo."""
    factor = int(image[..., 0].size ** 0.5 / (tiled.WHOLE * scale))
    return utils.box_downsample(image, min(factor, *image.shape[:2])) if factor > 1 else image


class AnyModel(tiled.Tiled):
    """A network of any style; a style is a `Style`. Raises `UserError` for a folder that is no model of the kind."""

    stride, reach, tile = 8, 159, 1280

    def __init__(self, folder, threads=0):
        super().__init__(folder, threads)
        self._of_style = functools.lru_cache(KEPT)(self._of_style)

    def __call__(self, photo, style, tile=None):
        """As of `Tiled`; a photo below SMALL is painted larger, and the picture reduced."""
        factor = min(LARGER, SMALL / photo[..., 0].size ** 0.5)
        if factor <= 1:
            return super().__call__(photo, style, tile)
        height, width = photo.shape[:2]
        larger = resampled(photo, *(round(factor * length) for length in (height, width)), cubic)
        return resampled(super().__call__(larger, style, tile), height, width, hamming)

    def _load(self, interpreter):
        self._encode, self._paint = map(interpreter.get_signature_runner, ('encode', 'decode'))
        self._names = self.about['maps']

    def _pass(self, photo, style, statistics=None):
        """statistics: `transforms.mappings`; the style's description; the norms' own [1, S]."""
        maps = self._maps(photo)
        mappings, description, norms = statistics or (*self._mappings(maps, style, photo[..., 0].size), None)
        mapped = {name: moment_matching.mapped(F, *mappings[name]) for name, F in maps.items()}
        picture, own = self._painted(photo.shape, norms, **mapped, description=description)
        return picture, (mappings, description, own)

    def _maps(self, photo):
        """The network's maps of a photo, name -> [1, H', W', N]."""
        maps = self._computed(self._encode, photos=self._extended(photo))
        return {name: maps[name] for name in self._names}

    def _mappings(self, maps, style, pixels):
        """What gives the maps of a photo of so many pixels the style's statistics; its description [1, D]."""
        statistics, description = self._of_style(style, pixels)
        return moment_matching.mappings(maps, statistics, style.weights), description

    def _of_style(self, style, pixels):
        """For a photo of so many pixels: the `Statistics` of the paintings, and their description [1, D]."""
        statistics = [moment_matching.statistics(self._maps(image)) for image in style.sized(pixels)]
        return statistics, style.mixed(moment_matching.description(one.moments.values()) for one in statistics)[None]

    @staticmethod
    def described(style):
        """A style as settings, for JSON: the paintings by SHA-256 of their pixels."""
        return dict(paintings=list(map(files.array_hash, style.images)), weights=style.weights.tolist(),
                    scale=style.scale)


def picture(photo, paintings, weights=None):
    """The picture [H, W, 3] of a photo by the model that ships; all of 0-255.

    weights: of the paintings, see `Style`
    """
    return AnyModel(models.find(models.ANY))(photo, Style(paintings, weights))
