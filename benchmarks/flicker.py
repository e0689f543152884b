"""How much pictures of a clip change where nothing does, with and without --steady.

    python -m benchmarks.flicker [--any]

By the trained network, each style: a still camera with noise, mean change from one picture to the next where the scene
does not change; a camera that pans, RMS difference of a picture and the one before moved along. Both of 255. With --any
by the network of any painting, ten paintings.
"""

import argparse

import numpy as np

import utils
from benchmarks import baselines
from common import paths
from fast.inference import video

NOISE_DEVIATION = 3.  # of 255, deviation
PAN_PX = 3  # pixels a frame
FRAMES = 10
MEASURED_PART = slice(32, -32)  # what is measured: not the borders


def still(photo, rng):
    """Frames of a still camera with noise."""
    return [photo + rng.normal(0, NOISE_DEVIATION, photo.shape).astype(np.float32) for _ in range(FRAMES)]


def panned(photo):
    """Frames of a camera that pans to the right."""
    width = photo.shape[1] - PAN_PX * FRAMES
    return [photo[:, PAN_PX * i:PAN_PX * i + width] for i in range(FRAMES)]


def change(pictures):
    """The mean change from each to the next."""
    return np.mean(
        [
            np.abs(after - before)[MEASURED_PART, MEASURED_PART].mean()
            for before, after in zip(pictures[2:], pictures[3:])
        ]
    )


def warp_error(pictures):
    """The RMS difference of each and the one before, moved along with the pan."""
    return np.mean([np.sqrt(np.square(after[:, :-PAN_PX] - before[:, PAN_PX:])[MEASURED_PART, MEASURED_PART].mean())
                    for before, after in zip(pictures[2:], pictures[3:])])


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--any', action='store_true', help='the network of any painting')
    rows = baselines.arbitrary_rows() if parser.parse_args().any else baselines.multi_style_rows()
    photo = utils.read_image(paths.ROOT / 'content' / 'lemurs.jpg')[100:420, 200:680]
    clips = still(photo, np.random.default_rng(0)), panned(photo)
    print(f'the noise alone: {change(clips[0]):.2f}\n\n| | still: change | the same, steady | pan: warp error '
          '| the same, steady |\n|---|---|---|---|---|')
    for name, stylize in rows:
        cells = []
        for frames, measure in zip(clips, (change, warp_error)):
            pictures = [stylize(frame) for frame in frames]
            for share in (0, video.MAX_BLEND_SHARE):
                steady = video.TemporalSmoothing(share)
                cells.append(measure([steady(frame, picture) for frame, picture in zip(frames, pictures)]))
        print(f'| {name} | {" | ".join(f"{cell:.2f}" for cell in cells)} |', flush=True)


if __name__ == '__main__':
    main()
