"""Photos to train on: the images below some folders, and crops of them by tf.data, batch number n always the same."""

import functools
import hashlib
from pathlib import Path

import numpy as np

import utils
from common.errors import UserError
from common.files import file_hash
from common.tf1 import tf

KEPT_SIDE = 640  # shorter side that a larger photo is reduced to
KEPT_BYTES = 2 << 30  # of photos held in memory, as uint8; a smaller collection is decoded once
LONGEST = 2  # longer side, in shorter ones; what is beyond is left out
ENLARGED = 1.5  # at most, so that there are crops of large photos among those of small ones
FLAT = 5  # deviation, of 255, up to which a crop of a photo shows nothing
SMOOTH = 1 / 16  # share of crops that are no photo but a gradient, as skies and walls are
GAIN, GRAIN = 0.15, 2.  # largest change of a channel's brightness; deviation, of 255, of the noise on a gradient


def files(folders, excluded=()):
    """SHA-256 -> path of every file below `folders`, each content once, without those of the paths `excluded`.

    Raises `UserError` for a folder that is none.
    """
    for folder in folders:
        if not Path(folder).is_dir():
            raise UserError(f'{folder}: no such folder of images')
    left_out = {file_hash(path) for path in excluded}
    paths = sorted(path for folder in folders for path in Path(folder).rglob('*') if path.is_file())
    found = {file_hash(path): path for path in reversed(paths)}
    return {digest: found[digest] for digest in sorted(found) if digest not in left_out}


def digest(found):
    """One SHA-256 of all the contents that `files` has found."""
    return hashlib.sha256(''.join(found).encode()).hexdigest()


class Photos:
    """Square crops of every readable image below some folders, each image once an epoch, in random order.

    skipped: the paths met so far that are no readable images, or too small
    Raises `UserError` for a folder that is none or has no image for a crop.
    """

    def __init__(self, folders, side, seed, excluded=(), gradients=True, least=FLAT):
        """side: of a crop, in pixels; excluded: paths of images to leave out, wherever else a copy of them lies.

        gradients: whether one crop in a few is no photo but a gradient, as skies and walls are
        least: deviation, of 255, of what is not left out as showing nothing
        """
        self.side, self.seed, self.gradients, self.least, self.skipped = side, seed, gradients, least, set()
        self.kept_side = max(KEPT_SIDE, side)
        found = files(folders, excluded)
        self.hash, self.paths = digest(found), list(found.values())
        self._photo = functools.lru_cache(KEPT_BYTES // (3 * LONGEST * self.kept_side ** 2))(self._read)
        self._order = functools.lru_cache(2)(self._permutation)
        if all(self._photo(path) is None for path in self.paths):
            raise UserError(f'{", ".join(map(str, folders))}: no image there can be read and has '
                            f'{self._least_pixels()} pixels or more either way')

    def batches(self, size, first, part=0, parts=1):
        """A tf.data.Dataset of uint8 [n, side, side, 3], from batch number `first` (a tensor) on, without end.

        size: of a batch; n: of one of its `parts` equal parts, number `part`
        """
        def tensor(index):
            return tf.ensure_shape(tf.numpy_function(self.crop, [index], tf.uint8), [self.side, self.side, 3])
        count = size // parts
        numbers = tf.data.Dataset.range(first, np.iinfo(np.int64).max).flat_map(
            lambda batch: tf.data.Dataset.range(batch * size + part * count, batch * size + (part + 1) * count))
        crops = numbers.map(tensor, num_parallel_calls=2, deterministic=True)
        return crops.batch(count, drop_remainder=True).prefetch(2)

    def crop(self, index):
        """Crop number `index`, uint8 [side, side, 3]: a random part of one photo, at a random scale and brightness.

        One in a few is a gradient of two colors, if such are wanted.
        """
        epoch, place = divmod(int(index), len(self.paths))
        rng = np.random.default_rng((self.seed, 1, int(index)))
        if rng.random() < SMOOTH and self.gradients:
            return self._gradient(rng)
        # the photos after it stand in for one that cannot be read or shows nothing
        for path in map(self.paths.__getitem__, np.roll(self._order(epoch), -place)):
            photo = self._photo(path)
            if photo is not None:
                part = self._part(photo, rng)
                if part.std(axis=(0, 1)).max() > self.least:
                    break
        part = part[:, ::-1] if rng.random() < 0.5 else part
        return utils.to_uint8(part * rng.uniform(1 - GAIN, 1 + GAIN, 3).astype(np.float32))

    def _part(self, photo, rng):
        """Float32 [side, side, 3]: a square of any size that the photo has, from its enlarged pixels to the whole."""
        H, W = photo.shape[:2]
        shorter = min(H, W)
        width = int(np.exp(rng.uniform(np.log(min(shorter, self._least_pixels())), np.log(shorter))))
        y, x = (rng.integers(length - width + 1) for length in (H, W))
        return utils.resize_and_crop(np.float32(photo[y:y + width, x:x + width]), self.side, self.side)

    def _gradient(self, rng):
        """From one color to another in a random direction, with a little noise, uint8."""
        ends, angle = rng.uniform(0, 255, (2, 3)), rng.uniform(0, 2 * np.pi)
        ramp = np.linspace(-0.5, 0.5, self.side)
        place = 0.5 + (ramp[:, None] * np.sin(angle) + ramp * np.cos(angle)) / 2 ** 0.5
        return utils.to_uint8(ends[0] + place[..., None] * (ends[1] - ends[0])
                              + rng.normal(0, GRAIN, (self.side, self.side, 3)))

    def _least_pixels(self):
        """Pixels that become a side of a crop, at least."""
        return int(self.side / ENLARGED)

    def _permutation(self, epoch):
        return np.random.default_rng((self.seed, 0, epoch)).permutation(len(self.paths))

    def _read(self, path):
        """The photo, uint8, reduced to `kept_side`, cut to LONGEST; None if it cannot be read or is too small."""
        try:
            photo = utils.read_image(path)
        except UserError:
            photo = None
        if photo is None or min(photo.shape[:2]) < self._least_pixels():
            self.skipped.add(path)
            return None
        H, W = (min(length, LONGEST * min(photo.shape[:2])) for length in photo.shape[:2])
        scale = min(1, self.kept_side / min(H, W))
        return utils.to_uint8(utils.resize_and_crop(photo, round(W * scale), round(H * scale)))
