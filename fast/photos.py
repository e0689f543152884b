"""Photos to train on: the images below some folders, and crops of them by tf.data, batch number n always the same."""

import functools
import hashlib
from pathlib import Path

from engine import quiet  # before tensorflow

import numpy as np
import tensorflow.compat.v1 as tf

import utils
from engine.messages import UserError

SCALES = (2, 1.25)  # shorter side of a photo, in sides of a crop: half of the scene in a crop, or nearly all
FLAT = 5  # deviation, of 255, up to which a crop shows nothing: instance norms would blow its gradients up
KEPT = 500  # photos held in memory, as uint8; a smaller collection is decoded once


def files(folders, excluded=()):
    """SHA-256 -> path of every file below `folders`, each content once, without those of the paths `excluded`.

    Raises `UserError` for a folder that is none.
    """
    for folder in folders:
        if not Path(folder).is_dir():
            raise UserError(f'{folder}: no such folder of images')
    left_out = {utils.file_hash(path) for path in excluded}
    paths = sorted(path for folder in folders for path in Path(folder).rglob('*') if path.is_file())
    found = {utils.file_hash(path): path for path in reversed(paths)}
    return {digest: found[digest] for digest in sorted(found) if digest not in left_out}


def digest(found):
    """One SHA-256 of all the contents that `files` has found."""
    return hashlib.sha256(''.join(found).encode()).hexdigest()


class Photos:
    """Square crops of every readable image below some folders, each image once an epoch, in random order.

    skipped: the paths met so far that are no readable images
    Raises `UserError` for a folder that is none or has no readable image.
    """

    def __init__(self, folders, side, seed, excluded=()):
        """side: of a crop, in pixels; excluded: paths of images to leave out, wherever else a copy of them lies."""
        self.side, self.seed, self.skipped = side, seed, set()
        found = files(folders, excluded)
        self.hash, self.paths = digest(found), list(found.values())
        self._scaled = functools.lru_cache(KEPT)(self._read)
        self._order = functools.lru_cache(2)(self._permutation)
        if not any(self._scaled(path) for path in self.paths):
            raise UserError(f'{", ".join(map(str, folders))}: no image there can be read')

    def batches(self, size, first):
        """A tf.data.Dataset of uint8 [size, side, side, 3], from batch number `first` (a tensor) on, without end."""
        def tensor(index):
            return tf.ensure_shape(tf.numpy_function(self.crop, [index], tf.uint8), [self.side, self.side, 3])
        numbers = tf.data.Dataset.range(first * size, np.iinfo(np.int64).max)
        crops = numbers.map(tensor, num_parallel_calls=2, deterministic=True)
        return crops.batch(size, drop_remainder=True).prefetch(2)

    def crop(self, index):
        """Crop number `index`, uint8 [side, side, 3]: a random part of one photo at a random scale, mirrored or not."""
        epoch, place = divmod(int(index), len(self.paths))
        rng = np.random.default_rng((self.seed, 1, int(index)))
        order = np.roll(self._order(epoch), -place)
        # the photos after it stand in for one that cannot be read or shows nothing
        readable = (scales for scales in map(self._scaled, map(self.paths.__getitem__, order)) if scales)
        for scales in readable:
            photo = scales[rng.integers(len(scales))]
            y, x = (rng.integers(length - self.side + 1) for length in photo.shape[:2])
            part = photo[y:y + self.side, x:x + self.side]
            if part.std(axis=(0, 1)).max() > FLAT:
                break
        return np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part)

    def _permutation(self, epoch):
        return np.random.default_rng((self.seed, 0, epoch)).permutation(len(self.paths))

    def _read(self, path):
        """The photo at each of SCALES, uint8; None if it cannot be read."""
        try:
            photo = utils.read_image(path)
        except UserError:
            self.skipped.add(path)
            return None
        factor = int(min(photo.shape[:2]) / (SCALES[0] * self.side))
        if factor > 1:  # down to less than twice of what is wanted: quick, and sharp enough to cut crops from
            photo = utils.block_means(photo, factor)
        scaled = []
        for scale in SCALES:
            shorter = scale * self.side / min(photo.shape[:2])
            photo = utils.fit(photo, *(max(self.side, round(length * shorter)) for length in photo.shape[1::-1]))
            scaled.append(utils.to_uint8(photo))
        return scaled
