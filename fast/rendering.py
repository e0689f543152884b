"""A trained network applied to photos of any size, in tiles, without TensorFlow."""

import os
import threading

import numpy as np
from ai_edge_litert.interpreter import Interpreter

import utils
from engine.colors import LUMINANCE
from engine.messages import UserError
from engine.silence import no_stderr
from fast import models
from fast.models import LEAST, STRIDE

REACH = 60  # pixels away that a pixel of the photo is still seen, the statistics of the instance norms apart
BLEND = 32  # pixels over which neighbouring tiles pass into each other
OVERLAP = 2 * REACH + BLEND
TILE = 1024  # side of a tile, in pixels
TILES = 2 * OVERLAP, 4096  # smaller ones would be mostly overlap
SHEET_SIDE = 512  # longer side of a photo on a sheet of all styles
WHOLE = 1024  # longer side of a photo up to which its own statistics are taken, else those of it reduced to that


class Model:
    """A trained network, loaded once. Threads may share it: what it computes for them goes one after the other.

    about: what model.json says; styles: their names, in order. Raises `UserError` for a folder that is no model.
    """

    def __init__(self, folder, threads=0):
        """threads: to compute with, 0 for one a core."""
        threads = threads or os.cpu_count()  # its own default is a single one
        self.about = models.about(folder, models.LITE)
        self.styles = list(self.about['styles'])
        self._lock = threading.Lock()
        try:
            self._run = Interpreter(str(folder / models.LITE), num_threads=threads).get_signature_runner()
            self._no_statistics = np.zeros(self._run.get_input_details()['statistics']['shape'], np.float32)
            if self._run.get_input_details()['style_weights']['shape'][1] != len(self.styles):
                raise ValueError(f'{models.ABOUT} and {models.LITE} have another number of styles')
        except (ValueError, KeyError, RuntimeError) as error:
            raise UserError(f'{folder}: not a whole model ({error}); train it again, or take another') from error

    def __call__(self, photo, style_weights, tile=TILE):
        """The picture [H, W, 3] of a photo [H, W, 3], both float32 of 0-255; style_weights: [styles].

        One of more than `tile` pixels either way goes through in parts. The means and variances of the instance norms
        are those of the whole photo, of one larger than WHOLE those of it reduced: the same whatever the tile.
        """
        statistics = None
        if max(photo.shape[:2]) > min(WHOLE, tile):
            _, statistics = self._pass(reduced(photo, WHOLE), style_weights)
        if max(photo.shape[:2]) <= tile:
            return self._pass(photo, style_weights, statistics)[0]
        picture = np.zeros_like(photo)
        rows, columns = (spans(length, tile) for length in photo.shape[:2])
        for y, vertical in rows:
            for x, horizontal in columns:
                part, _ = self._pass(photo[y, x], style_weights, statistics)
                part *= vertical[:, None, None] * horizontal[:, None]
                picture[y, x] += part
        return picture

    def _pass(self, photo, style_weights, statistics=None):
        """The picture of a photo, with the given statistics [1, S] or its own; and its own."""
        H, W = photo.shape[:2]
        below, right = (max(LEAST, -(-length // STRIDE) * STRIDE) - length for length in (H, W))
        extended = np.pad(photo, [(0, below), (0, right), (0, 0)], 'reflect')
        with self._lock, no_stderr():  # the first call writes a line on a delegate
            result = self._run(photos=extended[None], style_weights=np.float32(style_weights)[None],
                               statistics=self._no_statistics if statistics is None else statistics,
                               given=np.float32(statistics is not None))
        return result['pictures'][0, :H, :W].clip(0, 255), result['own']


def reduced(photo, side):
    """A photo [H, W, 3], its longer side reduced to `side` where it has more: by means, the rest linearly."""
    factor = max(photo.shape[:2]) // side
    photo = utils.block_means(photo, min(factor, *photo.shape[:2])) if factor > 1 else photo
    scale = max(1, max(photo.shape[:2]) / side)
    for axis in (0, 1):
        length = photo.shape[axis]
        new = max(1, round(length / scale))
        place = ((np.arange(new) + 0.5) * length / new - 0.5).clip(0)
        before = place.astype(int)
        share = np.float32(place - before).reshape([-1] + [1] * (2 - axis))
        after = np.minimum(before + 1, length - 1)
        photo = photo.take(before, axis) * (1 - share) + photo.take(after, axis) * share
    return photo


def spans(length, tile):
    """Cover `length` by (slice, weights): slices of about `tile` that share at least OVERLAP, weights adding up to 1.

    They start at multiples of STRIDE, so that tiles are cut up as the whole is. Over the BLEND pixels in the middle of
    two neighbours' overlap the weight passes from one to the other.
    """
    n = 1 if length <= tile else -(-(length - OVERLAP - STRIDE) // (tile - OVERLAP - STRIDE))
    starts = [i * (length - tile) // (n - 1) // STRIDE * STRIDE for i in range(n)] if n > 1 else [0]
    stops = [start + tile for start in starts[:-1]] + [length]
    middles = [(start + stop) / 2 for start, stop in zip(starts[1:], stops)]
    ramps = [np.interp(np.arange(length) + 0.5, [middle - BLEND / 2, middle + BLEND / 2], [0, 1]) for middle in middles]
    weights = [before - after for before, after in zip([np.ones(length), *ramps], [*ramps, np.zeros(length)])]
    return [(slice(start, stop), np.float32(weight[start:stop])) for start, stop, weight in zip(starts, stops, weights)]


def mixed(photo, picture, strength, keep_colors):
    """The picture, less of it for a strength below 1, or only its luminance: [H, W, 3] of 0-255.

    To keep the photo's colours every channel gets the same difference, which leaves its hues and saturation in YUV as
    they are (luminance-only transfer: Gatys et al. 2016, Preserving Color in Neural Artistic Style Transfer).
    """
    change = picture - photo
    if keep_colors:
        change[:] = (change @ LUMINANCE)[..., None]
    change *= strength
    change += photo  # in place: of a large photo every copy counts
    return change


def style_weights(text, styles):
    """[styles] that add up to 1, of 'starry_night' or 'starry_night:0.6,woodcut:0.4'. Raises `UserError`."""
    weights = np.zeros(len(styles), np.float32)
    for part in text.split(','):
        name, _, weight = part.partition(':')
        if name not in styles:
            raise UserError(f'--style {name}: no style of this model; it has {", ".join(styles)}')
        try:
            weights[styles.index(name)] += float(weight or 1)
        except ValueError:
            raise UserError(f'--style {part}: {weight} is no number') from None
    if not (np.isfinite(weights).all() and weights.min() >= 0 and weights.sum() > 0):
        raise UserError(f'--style {text}: weights must be 0 or more, and not all 0')
    return weights / weights.sum()
