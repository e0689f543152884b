"""Photos to train on: the images below some folders, and crops of them by tf.data, batch number n always the same."""

import functools
import hashlib
from pathlib import Path

import numpy as np

import utils
from common.errors import UserError
from common.files import file_hash
from common.tf1 import tf

CACHED_SIDE_PX = 640  # shorter side that a larger photo is reduced to
MAX_CACHED_BYTES = 2 << 30  # of photos held in memory, as uint8; a smaller collection is decoded once
MAX_ASPECT = 2  # longer side, in shorter ones; what is beyond is left out
MAX_UPSAMPLING = 1.5  # at most, so that there are crops of large photos among those of small ones
MIN_DEVIATION = 5  # deviation, of 255, up to which a crop of a photo shows nothing
GRADIENT_SHARE = 1 / 16  # share of crops that are no photo but a gradient, as skies and walls are
# largest change of a channel's brightness; deviation, of 255, of the noise on a gradient
MAX_GAIN_CHANGE, GRADIENT_NOISE = 0.15, 2.


def find_files(folders, excluded=()):
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


def hash_of_contents(found):
    """One SHA-256 of all the contents that `find_files` has found."""
    return hashlib.sha256(''.join(found).encode()).hexdigest()


class CropDataset:
    """Square crops of every readable image below some folders, each image once an epoch, in random order.

    skipped: the paths met so far that are no readable images, or too small
    Raises `UserError` for a folder that is none or has no image for a crop.
    """

    def __init__(self, folders, side, seed, excluded=(), gradients=True, min_deviation=MIN_DEVIATION):
        """side: of a crop, in pixels; excluded: paths of images to leave out, wherever else a copy of them lies.

        gradients: whether one crop in a few is no photo but a gradient, as skies and walls are
        least: deviation, of 255, of what is not left out as showing nothing
        """
        self.side, self.seed, self.gradients, self.min_deviation, self.skipped = (
            side,
            seed,
            gradients,
            min_deviation,
            set(),
        )
        self.cached_side = max(CACHED_SIDE_PX, side)
        found = find_files(folders, excluded)
        self.hash, self.paths = hash_of_contents(found), list(found.values())
        self.load_photo = functools.lru_cache(MAX_CACHED_BYTES // (3 * MAX_ASPECT * self.cached_side ** 2))(self._read)
        self._order = functools.lru_cache(2)(self._permutation)
        if all(self.load_photo(path) is None for path in self.paths):
            raise UserError(f'{", ".join(map(str, folders))}: no image there can be read and has '
                            f'{self._min_side()} pixels or more either way')

    def batches(self, size, first, part=0, parts=1):
        """A tf.data.Dataset of uint8 [n, side, side, 3], from batch number `first` (a tensor) on, without end.

        size: of a batch; n: of one of its `parts` equal parts, number `part`
        """
        def tensor(index):
            return tf.ensure_shape(tf.numpy_function(self.__getitem__, [index], tf.uint8), [self.side, self.side, 3])
        count = size // parts
        numbers = tf.data.Dataset.range(first, np.iinfo(np.int64).max).flat_map(
            lambda batch: tf.data.Dataset.range(batch * size + part * count, batch * size + (part + 1) * count))
        crops = numbers.map(tensor, num_parallel_calls=2, deterministic=True)
        return crops.batch(count, drop_remainder=True).prefetch(2)

    def __getitem__(self, index):
        """Crop number `index`, uint8 [side, side, 3]: a random part of one photo, at a random scale and brightness.

        One in a few is a gradient of two colors, if such are wanted.
        """
        epoch, place = divmod(int(index), len(self.paths))
        rng = np.random.default_rng((self.seed, 1, int(index)))
        if rng.random() < GRADIENT_SHARE and self.gradients:
            return self._gradient(rng)
        # the photos after it stand in for one that cannot be read or shows nothing
        for path in map(self.paths.__getitem__, np.roll(self._order(epoch), -place)):
            photo = self.load_photo(path)
            if photo is not None:
                part = self._part(photo, rng)
                if part.std(axis=(0, 1)).max() > self.min_deviation:
                    break
        part = part[:, ::-1] if rng.random() < 0.5 else part
        return utils.to_uint8(part * rng.uniform(1 - MAX_GAIN_CHANGE, 1 + MAX_GAIN_CHANGE, 3).astype(np.float32))

    def _part(self, photo, rng):
        """Float32 [side, side, 3]: a square of any size that the photo has, from its enlarged pixels to the whole."""
        H, W = photo.shape[:2]
        shorter = min(H, W)
        width = int(np.exp(rng.uniform(np.log(min(shorter, self._min_side())), np.log(shorter))))
        y, x = (rng.integers(length - width + 1) for length in (H, W))
        return utils.resize_and_crop(np.float32(photo[y:y + width, x:x + width]), self.side, self.side)

    def _gradient(self, rng):
        """From one color to another in a random direction, with a little noise, uint8."""
        ends, angle = rng.uniform(0, 255, (2, 3)), rng.uniform(0, 2 * np.pi)
        ramp = np.linspace(-0.5, 0.5, self.side)
        place = 0.5 + (ramp[:, None] * np.sin(angle) + ramp * np.cos(angle)) / 2 ** 0.5
        return utils.to_uint8(ends[0] + place[..., None] * (ends[1] - ends[0])
                              + rng.normal(0, GRADIENT_NOISE, (self.side, self.side, 3)))

    def _min_side(self):
        """Pixels that become a side of a crop, at least."""
        return int(self.side / MAX_UPSAMPLING)

    def _permutation(self, epoch):
        return np.random.default_rng((self.seed, 0, epoch)).permutation(len(self.paths))

    def _read(self, path):
        """The photo, uint8, reduced to `cached_side`, cut to MAX_ASPECT; None if it cannot be read or is too small."""
        try:
            photo = utils.read_image(path)
        except UserError:
            photo = None
        if photo is None or min(photo.shape[:2]) < self._min_side():
            self.skipped.add(path)
            return None
        H, W = (min(length, MAX_ASPECT * min(photo.shape[:2])) for length in photo.shape[:2])
        scale = min(1, self.cached_side / min(H, W))
        return utils.to_uint8(utils.resize_and_crop(photo, round(W * scale), round(H * scale)))
