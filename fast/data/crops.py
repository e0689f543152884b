"""Find the training photos below some folders and serve random crops of them through tf.data, reproducibly.

Crop number n depends on nothing but n, the seed and the files, so a resumed training sees the same batches.
"""

import functools
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

import utils
from common.color_profiles import CONVERTED
from common.errors import UserError
from common.files import file_hash, visible_files
from common.tf1 import tf

CACHED_SIDE_PX = 640  # pixels of the shorter side to which a larger photo is reduced
MAX_CACHED_BYTES = 2 << 30  # bytes of uint8 photos kept in memory; a smaller collection is decoded only once
MAX_ASPECT = 2  # ratio of the longer side to the shorter one; the rest of a longer photo is cut off
MAX_UPSAMPLING = 1.5  # largest enlargement; enlarged crops of small photos look like crops of large ones
MIN_DEVIATION = 5  # standard deviation (of 255) up to which a crop counts as blank
GRADIENT_SHARE = 1 / 16  # share of the crops that are a color gradient, like a sky or a wall, instead of a photo
# Largest relative change of a channel's brightness; standard deviation (of 255) of the noise on a gradient.
MAX_GAIN_CHANGE, GRADIENT_NOISE = 0.15, 2.


def find_files(
    folders: Sequence[str | Path], excluded: Iterable[str | Path] = (), include_hidden: bool = False
) -> dict[str, Path]:
    """Find all files below `folders`, each content once, and return a dict from SHA-256 to path, sorted by SHA-256.

    Args:
        folders: folders to search, with their subfolders.
        include_hidden: whether to find hidden files too, as older versions did.
        excluded: paths of files whose contents are left out, even where `folders` contain a copy of them.

    Raises:
        UserError: one of `folders` is not a folder.
    """
    for folder in folders:
        if not Path(folder).is_dir():
            raise UserError(f'{folder}: no such folder; name a folder that contains images')
    excluded_hashes = {file_hash(path) for path in excluded}
    find = _all_files if include_hidden else visible_files
    paths = sorted(path for folder in folders for path in find(folder))
    path_by_hash = {file_hash(path): path for path in reversed(paths)}
    return {digest: path_by_hash[digest] for digest in sorted(path_by_hash) if digest not in excluded_hashes}


def _all_files(folder):
    """Return the paths of all files below a folder."""
    return [path for path in Path(folder).rglob('*') if path.is_file()]


def hash_of_contents(hashes: Iterable[str]) -> str:
    """Return one SHA-256, as hexadecimal text, for all contents whose SHA-256 `hashes` has (a dict of `find_files`)."""
    return hashlib.sha256(''.join(hashes).encode()).hexdigest()


class CropDataset:
    """Random square crops of all readable images below some folders; an epoch shuffles the images and uses each once.

    Attributes:
        side: pixels of a crop's side.
        paths: paths of all files found, each content once.
        hash: SHA-256 of all their contents.
        load_photo: cached function from a path to a photo, uint8 [H, W, 3], or None if it cannot be used.
        skipped: set of the paths, among those read so far, that are not readable images or are too small.
    """

    def __init__(
        self,
        folders: Sequence[str | Path],
        side: int,
        seed: int,
        excluded: Iterable[str | Path] = (),
        gradients: bool = True,
        min_deviation: float = MIN_DEVIATION,
        color_profiles: str = CONVERTED,
    ):
        """Find the files and check that at least one of them is a large enough image.

        Args:
            folders: folders to search, with their subfolders.
            side: pixels of a crop's side.
            seed: seed of everything random.
            excluded: paths of images to leave out; copies of them elsewhere are left out too.
            gradients: whether the share GRADIENT_SHARE of the crops is a color gradient instead of a photo.
            min_deviation: standard deviation (of 255) up to which a crop counts as blank and is replaced.
            color_profiles: 'converted' if the ICC profiles of the photos are used. 'ignored' reads the folders as
                trainings of version 1.0 did: without profiles, and with hidden files.

        Raises:
            UserError: a folder does not exist, or no file is a readable image of sufficient size.
        """
        self.side, self.seed, self.gradients, self.min_deviation, self.skipped = (
            side,
            seed,
            gradients,
            min_deviation,
            set(),
        )
        self.cached_side = max(CACHED_SIDE_PX, side)
        self.is_converted = color_profiles == CONVERTED
        path_by_hash = find_files(folders, excluded, include_hidden=not self.is_converted)
        self.hash, self.paths = hash_of_contents(path_by_hash), list(path_by_hash.values())
        self.load_photo = functools.lru_cache(MAX_CACHED_BYTES // (3 * MAX_ASPECT * self.cached_side ** 2))(self._read)
        self._order = functools.lru_cache(2)(self._permutation)
        if all(self.load_photo(path) is None for path in self.paths):
            raise UserError(f'{", ".join(map(str, folders))}: no readable image whose width and height are at least '
                            f'{self._min_side()} pixels; name folders with larger images')

    def batches(self, size: int, first: tf.Tensor, part: int = 0, parts: int = 1) -> tf.data.Dataset:
        """Return an endless tf.data.Dataset of batches of crops, uint8 [size / parts, side, side, 3].

        Args:
            size: crops in a whole batch, a multiple of `parts`.
            first: int64 tensor, the number of the batch to start with.
            part: which of the equal parts of every batch to return, from 0.
            parts: number of parts into which every batch is divided, for example one for each machine.
        """
        def tensor(index):
            return tf.ensure_shape(tf.numpy_function(self.__getitem__, [index], tf.uint8), [self.side, self.side, 3])
        count = size // parts
        numbers = tf.data.Dataset.range(first, np.iinfo(np.int64).max).flat_map(
            lambda batch: tf.data.Dataset.range(batch * size + part * count, batch * size + (part + 1) * count))
        crops = numbers.map(tensor, num_parallel_calls=2, deterministic=True)
        return crops.batch(count, drop_remainder=True).prefetch(2)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return crop number `index`, uint8 [side, side, 3]: a random part of a photo, at random scale and brightness.

        With `gradients`, the share GRADIENT_SHARE of the crops is a gradient between two colors instead.
        """
        epoch, position = divmod(int(index), len(self.paths))
        rng = np.random.default_rng((self.seed, 1, int(index)))
        if rng.random() < GRADIENT_SHARE and self.gradients:
            return self._gradient(rng)
        # If a photo cannot be read or its crop is blank, the next photo in the epoch's order replaces it.
        for path in map(self.paths.__getitem__, np.roll(self._order(epoch), -position)):
            photo = self.load_photo(path)
            if photo is not None:
                part = self._part(photo, rng)
                if part.std(axis=(0, 1)).max() > self.min_deviation:
                    break
        part = part[:, ::-1] if rng.random() < 0.5 else part
        return utils.to_uint8(part * rng.uniform(1 - MAX_GAIN_CHANGE, 1 + MAX_GAIN_CHANGE, 3).astype(np.float32))

    def _part(self, photo, rng):
        """Cut a random square and resize it to float32 [side, side, 3].

        The logarithm of the square's side is uniform, from side / MAX_UPSAMPLING to the photo's shorter side.
        """
        H, W = photo.shape[:2]
        shorter = min(H, W)
        width = int(np.exp(rng.uniform(np.log(min(shorter, self._min_side())), np.log(shorter))))
        y, x = (rng.integers(length - width + 1) for length in (H, W))
        return utils.resize_and_crop(np.float32(photo[y:y + width, x:x + width]), self.side, self.side)

    def _gradient(self, rng):
        """Draw a noisy gradient between two random colors, in a random direction, uint8 [side, side, 3]."""
        ends, angle = rng.uniform(0, 255, (2, 3)), rng.uniform(0, 2 * np.pi)
        ramp = np.linspace(-0.5, 0.5, self.side)
        share = 0.5 + (ramp[:, None] * np.sin(angle) + ramp * np.cos(angle)) / 2 ** 0.5
        return utils.to_uint8(ends[0] + share[..., None] * (ends[1] - ends[0])
                              + rng.normal(0, GRADIENT_NOISE, (self.side, self.side, 3)))

    def _min_side(self):
        """Return the side, in pixels, of the smallest square of a photo that becomes a crop."""
        return int(self.side / MAX_UPSAMPLING)

    def _permutation(self, epoch):
        """Return the random order of the files, as indices into `paths`, in an epoch."""
        return np.random.default_rng((self.seed, 0, epoch)).permutation(len(self.paths))

    def _read(self, path):
        """Read a photo as uint8 [H, W, 3], cropped to MAX_ASPECT and its shorter side reduced to `cached_side`.

        Return None, and note the path in `skipped`, if it cannot be read or is too small for a crop.
        """
        try:
            photo = utils.read_image(path, self.is_converted)
        except UserError:
            photo = None
        if photo is None or min(photo.shape[:2]) < self._min_side():
            self.skipped.add(path)
            return None
        H, W = (min(length, MAX_ASPECT * min(photo.shape[:2])) for length in photo.shape[:2])
        scale = min(1, self.cached_side / min(H, W))
        return utils.to_uint8(utils.resize_and_crop(photo, round(W * scale), round(H * scale)))
