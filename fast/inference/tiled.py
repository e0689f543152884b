"""A network in LiteRT applied to photos of any size, in tiles; and images of another size, in NumPy."""

import math
import os
import threading

import numpy as np
from ai_edge_litert.interpreter import Interpreter

import utils
from common.errors import UserError
from common.process import suppress_stderr
from fast.inference import models
from fast.inference.models import MIN_SIDE_PX

BLEND_PX = 32  # pixels over which neighboring tiles pass into each other
MAX_TILE_PX = 4096  # side of a tile
# A kernel is as wide as a pixel of the smaller grid; weights of a pixel add up to 1, at the edges too.
KERNEL_SUPPORT_PX = 2  # pixels from which on all kernels are 0
# longer side of a photo up to which its own statistics are taken, else those of it reduced to that
STATISTICS_SIDE_PX = 1024


class TiledModel:
    """A network, loaded once. Threads may share it: what it computes for them goes one after the other.

    about: what model.json says; stride: photos are extended to multiples of it
    reach: pixels away that a pixel of the photo is still seen, the statistics apart; tile: side of a tile, in pixels
    Raises `UserError` for a folder that is no model.
    """

    stride = receptive_radius = tile = None

    def __init__(self, folder, threads=0):
        """threads: to compute with, 0 for one a core."""
        threads = threads or os.cpu_count()  # its own default is a single one
        self.about = models.read_model_json(folder, models.LITERT_FILE)
        self._lock = threading.Lock()
        try:
            self._load(Interpreter(str(folder / models.LITERT_FILE), num_threads=threads))
        except (ValueError, KeyError, RuntimeError) as error:
            raise UserError(f'{folder}: not a whole model ({error}); train it again, or take another') from error

    @classmethod
    def overlap(cls):
        """Pixels that neighboring tiles share at least."""
        return 2 * cls.receptive_radius + BLEND_PX

    @classmethod
    def min_tile(cls):
        """Side of a tile; smaller ones would be mostly overlap."""
        return 2 * cls.overlap()

    def __call__(self, photo, style, tile=None):
        """The picture [H, W, 3] of a photo [H, W, 3], both float32 of 0-255.

        One of more than `tile` pixels either way goes through in parts. Statistics are those of the whole photo, of one
        larger than STATISTICS_SIDE_PX those of it reduced: the same whatever the tile.
        """
        tile = tile or self.tile
        statistics = None
        if max(photo.shape[:2]) > min(STATISTICS_SIDE_PX, tile):
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
        """A photo of which statistics are taken: its longer side reduced to STATISTICS_SIDE_PX, a short one no further
        than LEAST.

        A row that is the mean of a white one and a black one shows nothing: variances of 0, pictures without bounds.
        """
        factor = min(1, STATISTICS_SIDE_PX / max(photo.shape[:2]))
        return resize_linear(
            photo, *(max(round(factor * length), min(length, MIN_SIDE_PX)) for length in photo.shape[:2])
        )

    def _load(self, interpreter):
        """Set `_decoder`, the signature that gives pictures, and what else is needed of an interpreter.

        Raises ValueError or KeyError for a file of another network.
        """
        raise NotImplementedError

    def _stylize(self, photo, style, statistics=None):
        """The picture of a photo, with the given statistics or its own; and these."""
        raise NotImplementedError

    def _padded(self, photo):
        """A photo reflected down and right to multiples of the stride, at least LEAST, as a batch of one."""
        below, right = (
            max(MIN_SIDE_PX, -(-length // self.stride) * self.stride) - length for length in photo.shape[:2]
        )
        return np.pad(photo, [(0, below), (0, right), (0, 0)], 'reflect')[None]

    def _run_decoder(self, shape, statistics, **inputs):
        """The picture, of this shape, that `_decoder` gives, with given statistics of its instance norms or its own.

        And these, [1, S].
        """
        if statistics is None:
            given, statistics = 0, np.zeros(self._decoder.get_input_details()['statistics']['shape'])
        else:
            given = 1
        result = self._run_signature(
            self._decoder, statistics=np.float32(statistics), given=np.float32(given), **inputs
        )
        return result['pictures'][0, :shape[0], :shape[1]].clip(0, 255), result['own']

    def _run_signature(self, run, **inputs):
        """What a signature of the file gives: name -> array."""
        with self._lock, suppress_stderr():  # the first call writes a line on a delegate
            return run(**inputs)


def limit_side(photo, side):
    """A photo [H, W, C], its longer side reduced to `side` where it has more."""
    return resize_by(photo, min(1, side / max(photo.shape[:2])))


def resize_by(photo, factor):
    """A photo [H, W, C] with its sides times `factor`, 1 or more pixels: as `resize_linear`."""
    return resize_linear(photo, *(max(1, round(factor * length)) for length in photo.shape[:2]))


def resize_linear(photo, height, width):
    """A photo [H, W, C] as [height, width, C]: reduced by means of whole pixels, the rest linearly."""
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


def tile_spans(length, tile, overlap, stride):
    """Cover `length` by (slice, weights): slices of about `tile` that share at least `overlap`, weights adding up to 1.

    They start at multiples of `stride`, so that tiles are cut up as the whole is. Over the BLEND_PX pixels in the
    middle
    of two neighbors' overlap the weight passes from one to the other.
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


def cubic_kernel(x):
    """Catmull and Rom's cubic of distances x in pixels, with Keys' a of -1/2: enlarges without steps."""
    x = np.abs(x)
    return np.select([x < 1, x < 2], [(1.5 * x - 2.5) * x ** 2 + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2])


def hamming_kernel(x):
    """A sinc in Hamming's window: reduces without aliasing."""
    return np.where(np.abs(x) < 1, np.sinc(x) * (0.54 + 0.46 * np.cos(np.pi * x)), 0)


def resample(image, height, width, kernel):
    """An image [H, W, C] as [height, width, C], float32."""
    image = np.float32(image)
    for axis, new in enumerate((height, width)):
        places, weights = _weights(image.shape[axis], new, kernel)
        shape = [-1 if i == axis else 1 for i in range(3)]
        image = sum(image.take(place, axis) * weight.reshape(shape) for place, weight in zip(places, weights))
    return image


def _weights(length, new, kernel):
    """Places of the pixels that make each of the new ones, and their weights, [taps, new] both."""
    scale = max(1, length / new)
    centers, reach = (np.arange(new) + 0.5) * length / new - 0.5, math.ceil(KERNEL_SUPPORT_PX * scale)
    places = np.floor(centers).astype(int) + np.arange(1 - reach, 1 + reach)[:, None]
    weights = kernel((places - centers) / scale) * ((places >= 0) & (places < length))
    return places.clip(0, length - 1), np.float32(weights / weights.sum(axis=0))
