"""Arbitrary style transfer with NumPy and LiteRT: stylize a photo in the style of any paintings.

The network encodes the photo and the paintings into feature maps, `moment_matching` gives the photo's maps the
statistics of the paintings, and the decoder turns the result into a picture. TensorFlow is not needed.
"""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

import utils
from common import files
from fast.inference import models, moment_matching, tiled
from fast.inference.tiled import cubic_kernel, hamming_kernel, resample

CACHED_STYLES = 4  # entries in a model's cache of style statistics
# A photo with fewer pixels than a square of MIN_STYLIZED_SIDE_PX is upsampled to that many before it is stylized, but
# its sides grow by MAX_UPSAMPLING at most. When the picture is downsampled again, strokes and artifacts become finer.
MIN_STYLIZED_SIDE_PX, MAX_UPSAMPLING = 640, 1.5


class Style:
    """Weighted paintings whose statistics a photo takes on.

    Attributes:
        images: The paintings, each [H, W, 3], 0 to 255; large ones are downsampled to the most that any photo needs.
        weights: float64 [paintings], adding up to 1.
        scale: Factor on the sides of the paintings.
    """

    def __init__(self, images: Sequence[np.ndarray], weights: Sequence[float] | None = None,
                 scale: float = 1.) -> None:
        """Set the paintings and their weights.

        Args:
            images: Paintings, each [H, W, 3], 0 to 255.
            weights: One per painting, in any unit because they are normalized; None for equal weights.
            scale: Factor on the sides of the paintings. With 1, a painting has as many pixels as the photo, or as the
                downsampled photo that statistics are computed from. Less than 1 gives finer strokes.
        """
        weights = np.ones(len(images)) if weights is None else np.float64(weights)
        self.weights, self.scale = weights / weights.sum(), scale
        self.images = [_limit_painting(image, scale) for image in images]

    def resize_for(self, pixels: int) -> list[np.ndarray]:
        """Return the paintings at the size that suits a photo of `pixels` pixels, each [H, W, 3], 0 to 255."""
        return [tiled.resize_by(image, self.scale * (pixels / image[..., 0].size) ** 0.5) for image in self.images]

    def blend(self, values: Iterable[np.ndarray]) -> np.ndarray:
        """Return the weighted mean of `values`, one array per painting, as float32."""
        return np.float32(sum(weight * value for weight, value in zip(self.weights, values)))


def _limit_painting(image, scale):
    """Downsample a large painting to about the most pixels that any photo needs."""
    factor = int(image[..., 0].size ** 0.5 / (tiled.STATISTICS_SIDE_PX * scale))
    return utils.box_downsample(image, min(factor, *image.shape[:2])) if factor > 1 else image


class ArbitraryStyleModel(tiled.TiledModel):
    """An arbitrary style transfer network; its styles are `Style` objects.

    Raises:
        UserError: The folder does not hold a complete arbitrary-style model.
    """

    stride, receptive_radius, tile = 8, 159, 1280

    def __init__(self, model: Path | models.ModelInfo, threads: int = 0) -> None:
        """Load a model, given its folder or its info, to compute with a number of threads, 0 for one per core."""
        super().__init__(model, threads)
        # The cache belongs to the instance: a cache on the class would keep every model in memory.
        self._style_statistics = functools.lru_cache(CACHED_STYLES)(self._style_statistics)

    def __call__(self, photo: np.ndarray, style: Style, tile: int | None = None) -> np.ndarray:
        """Stylize a photo as `TiledModel` does; upsample a small photo first and downsample its picture.

        Args:
            photo: float32 [H, W, 3], 0 to 255.
            style: The paintings.
            tile: Side of a tile in pixels, None for the model's default.

        Returns:
            The stylized picture, float32 [H, W, 3], 0 to 255.
        """
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
        """Implement `TiledModel._stylize`.

        The statistics are the affine maps from `moment_matching.affine_maps`, the style embedding [1, D], and the means
        and variances of the instance norms [1, S].
        """
        maps = self._maps(photo)
        affine_maps, embedding, norm_stats = statistics or (*self._affine_maps(maps, style, photo[..., 0].size), None)
        matched = {name: moment_matching.apply(F, *affine_maps[name]) for name, F in maps.items()}
        picture, norm_stats = self._run_decoder(photo.shape, norm_stats, **matched, description=embedding)
        return picture, (affine_maps, embedding, norm_stats)

    def _maps(self, photo):
        """Encode a photo into the network's feature maps: name -> [1, H', W', N]."""
        maps = self._run_signature(self._encode, photos=self._padded(photo))
        return {name: maps[name] for name in self._names}

    def _affine_maps(self, maps, style, pixels):
        """Return the affine maps that give a photo's feature maps the style's statistics, and the embedding [1, D]."""
        statistics, embedding = self._style_statistics(style, pixels)
        return moment_matching.affine_maps(maps, statistics, style.weights), embedding

    def _style_statistics(self, style, pixels):
        """Return the `StyleStatistics` of each painting, and the style embedding [1, D], for a photo of that size."""
        statistics = [moment_matching.compute_statistics(self._maps(image)) for image in style.resize_for(pixels)]
        return statistics, style.blend(
            moment_matching.style_embedding(painting.moments.values()) for painting in statistics
        )[None]

    @staticmethod
    def style_settings(style: Style) -> dict:
        """Return a style as a dict for JSON; paintings are named by the SHA-256 of their pixels."""
        return dict(paintings=list(map(files.array_hash, style.images)), weights=style.weights.tolist(),
                    scale=style.scale)


def stylize(photo: np.ndarray, paintings: Sequence[np.ndarray], weights: Sequence[float] | None = None) -> np.ndarray:
    """Stylize a photo in the style of paintings with the arbitrary-style model that ships with the project.

    Args:
        photo: float32 [H, W, 3], 0 to 255.
        paintings: Each [H, W, 3], 0 to 255.
        weights: One per painting, see `Style`; None for equal weights.

    Returns:
        The stylized picture, float32 [H, W, 3], 0 to 255.
    """
    return ArbitraryStyleModel(models.find(models.ARBITRARY_NAME))(photo, Style(paintings, weights))
