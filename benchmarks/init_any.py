"""How much time the optimizer saves that begins with the pass of the network of any style: `--init any`.

    python -m benchmarks.init_any [--pictures FOLDER]

Three pairs at 512 pixels: `modern` as it is, then from the pass at fewer sizes and iterations. The loss is that of
`modern` at that size, of the picture that is written, without total variation; seconds are those of the optimizer,
which takes the paintings' features anew each time, as a command does.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import recipes
import style_transfer
import utils
from benchmarks import baselines
from benchmarks.arbitrary import OPTIMIZED_PAIRS, Losses
from fast.inference import arbitrary

SIDE_PX = 512
# sizes, iterations at the smaller ones, at the last one
SCHEDULES = (2, 20, 10), (2, 40, 10), (2, 40, 20)


def measure_pair(losses, name, of):
    """(name of the way, picture, loss, seconds) of `modern`, of the pass, and from there by each schedule."""
    photo, path = baselines.photo(of, SIDE_PX), baselines.painting(name)
    targets = losses.of_photo(photo), losses.of_painting(path, *photo.shape[:2])

    def measured(way, make):
        """The row of a way, whose picture `make` gives."""
        begun = time.perf_counter()
        picture = np.float32(utils.to_uint8(make()))
        seconds = time.perf_counter() - begun
        content, style = losses(picture, *targets)
        return way, picture, recipes.MODERN.content_weight * content + recipes.MODERN.style_weight * style, seconds
    size = photo.shape[1::-1]
    yield measured('modern', lambda: style_transfer.stylize(photo, path, size=size))
    start = arbitrary.stylize(photo, [utils.read_image(path)])
    yield measured('the pass', lambda: arbitrary.stylize(photo, [utils.read_image(path)]))
    for sizes, coarse, iterations in SCHEDULES:
        yield measured(f'{sizes} sizes, {coarse} and {iterations}', lambda: style_transfer.stylize(
            photo, path, size=size, start=start, scales=sizes, coarse_iterations=coarse, iterations=iterations))


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--pictures', type=Path, metavar='FOLDER', help='write what is made')
    args = parser.parse_args()
    losses = Losses(SIDE_PX)
    print('| painting | photo | way | loss | seconds | of modern\'s |\n|---|---|---|---|---|---|')
    for name, of in OPTIMIZED_PAIRS:
        modern = None  # its seconds, the first row's
        for way, picture, loss, seconds in measure_pair(losses, name, of):
            modern = modern or seconds
            print(f'| {name} | {Path(of).stem} | {way} | {loss:.3f} | {seconds:.1f} | {seconds / modern:.2f} |',
                  flush=True)
            if args.pictures:
                args.pictures.mkdir(parents=True, exist_ok=True)
                utils.save_image(args.pictures / f'{name}-{way.replace(" ", "_")}.png', picture)


if __name__ == '__main__':
    main()
