"""Run a LiteRT network on photos of any size, in tiles, and resize images with NumPy."""

import abc
import math
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

import utils
from common.errors import UserError
from common.process import suppress_stderr
from fast.inference import models
from fast.inference.models import MIN_SIDE_PX

BLEND_PX = 32  # width of the transition between neighboring tiles
MAX_TILE_PX = 4096  # largest side of a tile
# A resampling kernel is scaled to the coarser of the two grids. Its weights are normalized for each output pixel, at
# the edges too.
KERNEL_SUPPORT_PX = 2  # distance from which all kernels are 0
# A photo with more pixels than a square of this side is downsampled to as many before statistics are computed from it.
STATISTICS_SIDE_PX = 1024


class TiledModel(abc.ABC):
    """Base class of the networks that run in LiteRT, tile by tile.

    Threads may share a model; their computations run one after the other.

    Attributes:
        about: Content of model.json.
        stride: Photos are padded to multiples of this, in pixels.
        receptive_radius: Distance in pixels up to which a pixel of the photo affects the picture, other than through
            the statistics.
        tile: Default side of a tile in pixels.

    Raises:
        UserError: The folder does not hold a complete model of this kind.
    """

    stride = receptive_radius = tile = None

    def __init__(self, model: Path | models.ModelInfo, threads: int = 0) -> None:
        """Load a model, given its folder or its info, to compute with a number of threads, 0 for one per core."""
        threads = threads or os.cpu_count()  # LiteRT's default is a single thread
        folder, _, self.about = model if isinstance(model, models.ModelInfo) else models.load(model)
        self._lock = threading.Lock()
        try:
            self._load(Interpreter(str(folder / models.LITERT_FILE), num_threads=threads))
        except (ValueError, KeyError, RuntimeError) as error:
            raise UserError(f'{folder}: not a complete model ({error}); train it again or choose another') from error

    @classmethod
    def overlap(cls) -> int:
        """Return the smallest overlap of neighboring tiles in pixels."""
        return 2 * cls.receptive_radius + BLEND_PX

    @classmethod
    def min_tile(cls) -> int:
        """Return the smallest side of a tile in pixels; smaller tiles would consist mostly of overlap."""
        return 2 * cls.overlap()

    def __call__(self, photo: np.ndarray, style: object, tile: int | None = None) -> np.ndarray:
        """Stylize a photo.

        A photo with more than `tile` pixels in either direction is processed in tiles. All tiles share the statistics
        of the whole photo, which is downsampled for this if it is large, so that the picture does not depend on the
        tile size.

        Args:
            photo: float32 [H, W, 3], 0 to 255.
            style: A style in the form that the subclass expects.
            tile: Side of a tile in pixels, None for the model's default.

        Returns:
            The stylized picture, float32 [H, W, 3], 0 to 255.

        Raises:
            UserError: A value of the picture is not finite.
        """
        picture = self._stylize_in_tiles(photo, style, tile or self.tile)
        utils.check_finite(picture)
        return picture

    def _stylize_in_tiles(self, photo, style, tile):
        """Implement `__call__`."""
        statistics = None
        if photo[..., 0].size > STATISTICS_SIDE_PX ** 2 or max(photo.shape[:2]) > tile:
            _, statistics = self._stylize(self._photo_for_statistics(photo), style)
        if max(photo.shape[:2]) <= tile:
            return self._stylize(photo, style, statistics)[0]
        picture = np.zeros_like(photo)
        rows, columns = (tile_spans(length, tile, self.overlap(), self.stride) for length in photo.shape[:2])
        for y, vertical in rows:
            for x, horizontal in columns:
                part, _ = self._stylize(photo[y, x], style, statistics)
                part *= vertical[:, None, None] * horizontal[:, None]
                picture[y, x] += part
        return picture

    @staticmethod
    def _photo_for_statistics(photo):
        """Downsample a photo to at most STATISTICS_SIDE_PX² pixels, but no side further than to MIN_SIDE_PX.

        The number of pixels counts, not the longer side: a smooth strip that is reduced much more than its tiles has
        other statistics than they, and the picture would be one color. A very narrow photo could lose all contrast,
        for example when a white row and a black row are averaged into one.
        """
        factor = min(1, STATISTICS_SIDE_PX / photo[..., 0].size ** 0.5)
        return resize_linear(
            photo, *(max(round(factor * length), min(length, MIN_SIDE_PX)) for length in photo.shape[:2])
        )

    @abc.abstractmethod
    def _load(self, interpreter):
        """Set `_decoder`, the signature that returns pictures, and whatever else the subclass needs.

        Raises:
            ValueError, KeyError: The file holds another kind of network.
        """

    @abc.abstractmethod
    def _stylize(self, photo, style, statistics=None):
        """Return the picture of a photo, and statistics.

        Args:
            photo: float32 [H, W, 3], 0 to 255.
            style: A style in the form that the subclass expects.
            statistics: Statistics to use, as an earlier call returned them; None for those of this photo.

        Returns:
            The picture, float32 [H, W, 3], 0 to 255; and the photo's statistics, which are valid only if `statistics`
            is None.
        """

    def _padded(self, photo):
        """Pad a photo by reflection at the bottom and right, and add a batch axis.

        Height and width become multiples of the stride and at least MIN_SIDE_PX.
        """
        below, right = (
            max(MIN_SIDE_PX, -(-length // self.stride) * self.stride) - length for length in photo.shape[:2]
        )
        return np.pad(photo, [(0, below), (0, right), (0, 0)], 'reflect')[None]

    def _run_decoder(self, shape, statistics, **inputs):
        """Run `_decoder` and crop the picture to `shape`, [H, W, ...].

        Args:
            shape: Shape of the photo.
            statistics: Means and variances for the instance norms, [1, S]; None to compute them from the inputs.
            **inputs: The other inputs of the signature.

        Returns:
            The picture [H, W, 3], 0 to 255, and the means and variances computed from the inputs, [1, S].
        """
        if statistics is None:
            use_given, statistics = 0, np.zeros(self._decoder.get_input_details()['statistics']['shape'])
        else:
            use_given = 1
        result = self._run_signature(
            self._decoder, statistics=np.float32(statistics), given=np.float32(use_given), **inputs
        )
        return result['pictures'][0, :shape[0], :shape[1]].clip(0, 255), result['own']

    def _run_signature(self, run, **inputs):
        """Run a signature of the LiteRT file and return its outputs, name -> array."""
        with self._lock, suppress_stderr():  # the first call prints a line about its delegate
            return run(**inputs)


def limit_side(photo: np.ndarray, side: int) -> np.ndarray:
    """Downsample a photo [H, W, C] so that its longer side has at most `side` pixels."""
    return resize_by(photo, min(1, side / max(photo.shape[:2])))


def resize_by(photo: np.ndarray, factor: float) -> np.ndarray:
    """Resize both sides of a photo [H, W, C] by a factor, to at least 1 pixel, as `resize_linear` does."""
    return resize_linear(photo, *(max(1, round(factor * length)) for length in photo.shape[:2]))


def resize_linear(photo: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a photo [H, W, C] to [height, width, C]: first by averages of blocks of pixels, then linearly."""
    factor = min(photo.shape[0] // height, photo.shape[1] // width)
    photo = utils.box_downsample(photo, factor) if factor > 1 else photo
    for axis, new in enumerate((height, width)):
        length = photo.shape[axis]
        if new == length:
            continue
        place = ((np.arange(new) + 0.5) * length / new - 0.5).clip(0)
        before = place.astype(int)
        share = np.float32(place - before).reshape([-1] + [1] * (2 - axis))
        after = np.minimum(before + 1, length - 1)
        photo = photo.take(before, axis) * (1 - share) + photo.take(after, axis) * share
    return photo


def tile_spans(length: int, tile: int, overlap: int, stride: int) -> list[tuple[slice, np.ndarray]]:
    """Cover one side of a photo with overlapping spans and weights for blending.

    Spans start at multiples of `stride`, so that the network's strides divide a tile as they divide the whole photo.
    The weight passes from one span to the next over the BLEND_PX pixels in the middle of their overlap.

    Args:
        length: Length of the side in pixels.
        tile: Length of a span; the last one may be up to `stride` - 1 pixels longer.
        overlap: Smallest overlap of neighboring spans.
        stride: Stride of the network.

    Returns:
        Pairs (slice, float32 weights [length of the slice]); the weights of each pixel add up to 1.
    """
    n = 1 if length <= tile else -(-(length - overlap - stride) // (tile - overlap - stride))
    starts = [i * (length - tile) // (n - 1) // stride * stride for i in range(n)] if n > 1 else [0]
    stops = [start + tile for start in starts[:-1]] + [length]
    middles = [(start + stop) / 2 for start, stop in zip(starts[1:], stops)]
    ramps = [
        np.interp(np.arange(length) + 0.5, [middle - BLEND_PX / 2, middle + BLEND_PX / 2], [0, 1]) for middle in middles
    ]
    weights = [before - after for before, after in zip([np.ones(length), *ramps], [*ramps, np.zeros(length)])]
    return [(slice(start, stop), np.float32(weight[start:stop])) for start, stop, weight in zip(starts, stops, weights)]


def cubic_kernel(x: np.ndarray) -> np.ndarray:
    """Catmull-Rom cubic kernel (Keys' cubic with a = -1/2) at distances x in pixels; it upsamples smoothly."""
    x = np.abs(x)
    return np.select([x < 1, x < 2], [(1.5 * x - 2.5) * x ** 2 + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2])


def hamming_kernel(x: np.ndarray) -> np.ndarray:
    """Sinc kernel in a Hamming window at distances x in pixels; it downsamples without aliasing."""
    return np.where(np.abs(x) < 1, np.sinc(x) * (0.54 + 0.46 * np.cos(np.pi * x)), 0)


def resample(image: np.ndarray, height: int, width: int, kernel: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Resize an image [H, W, C] to float32 [height, width, C] with a resampling kernel.

    Args:
        image: [H, W, C].
        height: New height in pixels.
        width: New width in pixels.
        kernel: `cubic_kernel` to upsample, `hamming_kernel` to downsample.
    """
    image = np.float32(image)
    for axis, new in enumerate((height, width)):
        places, weights = _weights(image.shape[axis], new, kernel)
        shape = [-1 if i == axis else 1 for i in range(3)]
        image = sum(image.take(place, axis) * weight.reshape(shape) for place, weight in zip(places, weights))
    return image


def _weights(length, new, kernel):
    """Return the indices of the input pixels that contribute to each output pixel, and their weights, [taps, new]."""
    scale = max(1, length / new)
    centers, radius = (np.arange(new) + 0.5) * length / new - 0.5, math.ceil(KERNEL_SUPPORT_PX * scale)
    places = np.floor(centers).astype(int) + np.arange(1 - radius, 1 + radius)[:, None]
    weights = kernel((places - centers) / scale) * ((places >= 0) & (places < length))
    return places.clip(0, length - 1), np.float32(weights / weights.sum(axis=0))
