"""Measure the time that `--init any` saves: starting the optimizer from the arbitrary style network's picture.

    python -m benchmarks.init_any [--pictures FOLDER]

For three pairs at 512 pixels the benchmark runs the recipe `modern` as it is, the network alone ("the pass"), and then
`modern` from the network's picture with fewer pyramid levels and iterations. The loss is that of `modern` at this size
without total variation. It is measured on the picture as it is written, with 8 bits per channel. The seconds include
computing the paintings' features each time, as in a command.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import recipes
import style_transfer
import utils
from benchmarks import baselines
from benchmarks.arbitrary import OPTIMIZED_PAIRS, Losses
from fast.inference import arbitrary

SIDE_PX = 512
# (number of sizes, iterations at the smallest size, iterations at the last size)
SCHEDULES = (2, 20, 10), (2, 40, 10), (2, 40, 20)


def measure_pair(losses: Losses, name: str, of: str) -> Iterator[tuple[str, np.ndarray, float, float]]:
    """Stylize one pair by the recipe `modern`, by the network, and by `modern` from the network's picture.

    Args:
        losses: Computes the losses.
        name: Name of the painting.
        of: Name of the photo.

    Yields:
        (name of the method, picture float32 [H, W, 3], weighted loss, seconds): for `modern`, for the network, and for
        each of SCHEDULES.
    """
    photo, path = baselines.photo(of, SIDE_PX), baselines.painting(name)
    targets = losses.of_photo(photo), losses.of_painting(path, *photo.shape[:2])

    def measured(method, make_picture):
        """Time `make_picture` and measure the loss of the picture that it returns."""
        start_time = time.perf_counter()
        picture = np.float32(utils.to_uint8(make_picture()))
        seconds = time.perf_counter() - start_time
        content, style = losses(picture, *targets)
        return (method, picture, recipes.MODERN.content_weight * content + recipes.MODERN.style_weight * style,
                seconds)
    size = photo.shape[1::-1]
    yield measured('modern', lambda: style_transfer.stylize(photo, path, size=size))
    start = arbitrary.stylize(photo, [utils.read_image(path)])
    yield measured('the pass', lambda: arbitrary.stylize(photo, [utils.read_image(path)]))
    for sizes, coarse, iterations in SCHEDULES:
        yield measured(f'{sizes} sizes, {coarse} and {iterations}', lambda: style_transfer.stylize(
            photo, path, size=size, start=start, scales=sizes, coarse_iterations=coarse, iterations=iterations))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--pictures', type=Path, metavar='FOLDER', help='write the pictures into this folder')
    args = parser.parse_args()
    losses = Losses(SIDE_PX)
    print('| painting | photo | method | loss | seconds | ratio to modern |\n|---|---|---|---|---|---|')
    for name, photo_name in OPTIMIZED_PAIRS:
        modern_seconds = None  # set by the first row
        for method, picture, loss, seconds in measure_pair(losses, name, photo_name):
            modern_seconds = modern_seconds or seconds
            print(f'| {name} | {Path(photo_name).stem} | {method} | {loss:.3f} | {seconds:.1f} | '
                  f'{seconds / modern_seconds:.2f} |', flush=True)
            if args.pictures:
                args.pictures.mkdir(parents=True, exist_ok=True)
                utils.save_image(args.pictures / f'{name}-{method.replace(" ", "_")}.png', picture)


if __name__ == '__main__':
    main()
