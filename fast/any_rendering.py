"""The network of any style applied to photos, with paintings for styles; without TensorFlow."""

import functools
import hashlib

import numpy as np

import utils
from engine import masks
from fast import rendering, tiling, transforms

# what is given a style's statistics, and how many pixels of the photo are one of it, either way
LEVELS = {'pixels': 1, 'conv2_1': 2, 'conv3_1': 4, 'conv4_1': 8}
KEPT = 4  # moments of styles that are not computed again


class Style:
    """Paintings that give photos their statistics. Raises `UserError` for a mask and more than two of them.

    images: [H, W, 3] of 0-255 each; weights: any multiple means the same, None for equal ones
    scale: of a painting's sides; with 1 it has as many pixels as the photo, or the photo reduced, that it is for
    mask: [H, W] of 0 to 1, of the photos' shape: the first painting goes where it is 1, the second where it is 0, or
    the photo stays; None for everywhere
    """

    def __init__(self, images, weights=None, scale=1., mask=None):
        if mask is not None:
            masks.check_styles(len(images))
        self.hashes = list(map(_hash, images))
        self.images = [self._small(image, scale) for image in images]
        weights = np.ones(len(images)) if weights is None else np.float64(weights)
        self.weights, self.scale, self.mask = weights / weights.sum(), scale, mask

    @staticmethod
    def _small(image, scale):
        """Of a large painting no more than is ever looked at, whatever the photo."""
        factor = int((image[..., 0].size ** 0.5) / (tiling.WHOLE * scale))
        return utils.block_means(image, min(factor, *image.shape[:2])) if factor > 1 else image

    def sized(self, pixels):
        """The paintings for a photo of so many pixels."""
        return [tiling.scaled(image, self.scale * (pixels / image[..., 0].size) ** 0.5) for image in self.images]

    def regions(self, mask=None):
        """Pairs (weights, guide): of the paintings, in a region; how much each position belongs to it.

        mask: [H, W, 1], None where there are no regions; the guide is None then
        """
        return [(self.weights, None)] if mask is None else [((1, 0), mask), ((0, 1), 1 - mask)]

    def described(self):
        """As settings, for JSON: paintings and mask by SHA-256 of their pixels."""
        return dict(paintings=self.hashes, weights=self.weights.tolist(), scale=self.scale,
                    mask=None if self.mask is None else _hash(self.mask))


def _hash(array):
    return hashlib.sha256(np.float32(array).tobytes()).hexdigest()


class AnyModel(tiling.Tiled):
    """A network of any style; a style is a `Style`. Raises `UserError` for a folder that is no model of the kind."""

    stride, reach, tile = 8, 112, 1536

    def __init__(self, folder, threads=0):
        super().__init__(folder, threads)
        self._moments = functools.lru_cache(KEPT)(self._moments)

    def _load(self, interpreter):
        self._encode, self._decode = map(interpreter.get_signature_runner, ('encode', 'decode'))

    def __call__(self, photo, style, tile=None):
        """As `Tiled`. Raises `UserError` for a photo of another shape than the style's mask."""
        if style.mask is None:
            return super().__call__(photo, style, tile)
        H, W = photo.shape[:2]
        masks.check_shape('--mask', style.mask.shape[::-1], 'the photo', (W, H))
        mask = tiling.resized(np.float32(style.mask)[..., None], H, W)
        if len(style.images) == 1:
            return rendering.mixed(photo, super().__call__(photo, style, tile), mask, False)
        return super().__call__(np.concatenate([photo, mask], axis=2), style, tile)

    def _statistics(self, photo, style):
        """What `_maps` gives."""
        extended = self._extended(photo)
        return self._maps(self._features(extended), extended, style, photo[..., 0].size)

    def _pass(self, photo, style, maps=None):
        H, W = photo.shape[:2]
        extended = self._extended(photo)
        F = self._features(extended)
        maps = maps or self._maps(F, extended, style, H * W)
        given = {name: self._mapped(F.pop(name), maps[name], regions)
                 for name, regions in self._regions(extended, style).items()}
        return self._computed(self._decode, **given)['pictures'][0, :H, :W].clip(0, 255)

    def _features(self, extended):
        """LEVELS of a photo [1, H, W, 3 or 4]: name -> [1, H', W', N]."""
        photos = np.float32(extended[..., :3])
        return {'pixels': photos / 127.5 - 1} | self._computed(self._encode, photos=photos)

    @staticmethod
    def _regions(extended, style):
        """Of each of LEVELS the style's regions, of a photo whose fourth channel, if there, is the mask."""
        mask = extended[0, ..., 3:] if extended.shape[-1] > 3 else None
        return {name: style.regions(None if mask is None else utils.block_means(mask, factor))
                for name, factor in LEVELS.items()}

    def _maps(self, F, extended, style, pixels):
        """For each of LEVELS and of the style's regions (A, b): F @ A + b has the statistics of the paintings.

        Of several they are mixed. pixels: of the photo
        """
        moments = self._moments(style, pixels)
        return {name: [self._map(transforms.moments(F[name], guide), moments[name], weights)
                       for weights, guide in regions] for name, regions in self._regions(extended, style).items()}

    @staticmethod
    def _map(content, styles, weights):
        pairs = [transforms.affine(content, style) for style in styles]
        return tuple(np.float32(sum(weight * part for weight, part in zip(weights, parts))) for parts in zip(*pairs))

    def _moments(self, style, pixels):
        """For each of LEVELS the `Moments` of the paintings as they are for a photo of so many pixels."""
        features = [self._features(self._extended(image)) for image in style.sized(pixels)]
        return {name: [transforms.moments(F[name]) for F in features] for name in LEVELS}

    @staticmethod
    def _mapped(F, maps, regions):
        """Features [1, H, W, N] with the statistics of each region in it."""
        mapped = 0
        for (A, b), (_, guide) in zip(maps, regions):
            y = (F.reshape(-1, len(A)) @ A).reshape(F.shape)
            y += b
            mapped = y if guide is None else mapped + y * guide
        return mapped

    @staticmethod
    def described(style):
        """A style as settings, for JSON."""
        return style.described()
