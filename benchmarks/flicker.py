"""Measure how much stylized video flickers where the scene does not change, with and without temporal smoothing.

    python -m benchmarks.flicker [--any]

Each style of our multi-style network stylizes two clips. A still camera with noise gives the mean change from one
picture to the next. A panning camera gives the warp error: the RMS difference between a picture and the previous one
moved along with the pan. Both are on the scale of 0 to 255. Temporal smoothing is what --steady does. With --any the
benchmark measures our arbitrary style network instead, with ten paintings.
"""

import argparse
from collections.abc import Sequence

import numpy as np

import utils
from benchmarks import baselines
from common import paths
from fast.inference import video

NOISE_DEVIATION = 3.  # standard deviation of the camera noise, on the scale of 0 to 255
PAN_PX = 3  # pixels per frame
FRAMES = 10
MEASURED_PART = slice(32, -32)  # of either axis: the borders are left out


def still(photo: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Return the frames of a still camera with noise, float32 [H, W, 3] each."""
    return [photo + rng.normal(0, NOISE_DEVIATION, photo.shape).astype(np.float32) for _ in range(FRAMES)]


def panned(photo: np.ndarray) -> list[np.ndarray]:
    """Return the frames of a camera that pans to the right, [H, W - PAN_PX * FRAMES, 3] each."""
    width = photo.shape[1] - PAN_PX * FRAMES
    return [photo[:, PAN_PX * i:PAN_PX * i + width] for i in range(FRAMES)]


def change(pictures: Sequence[np.ndarray]) -> float:
    """Return the mean absolute change (of 255) from each picture to the next, from the third picture on."""
    return np.mean(
        [
            np.abs(after - before)[MEASURED_PART, MEASURED_PART].mean()
            for before, after in zip(pictures[2:], pictures[3:])
        ]
    )


def warp_error(pictures: Sequence[np.ndarray]) -> float:
    """Return the mean RMS difference (of 255) between each picture and the previous one moved along with the pan.

    As in `change`, the first two pictures are left out.
    """
    return np.mean([np.sqrt(np.square(after[:, :-PAN_PX] - before[:, PAN_PX:])[MEASURED_PART, MEASURED_PART].mean())
                    for before, after in zip(pictures[2:], pictures[3:])])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--any', action='store_true', help='measure our arbitrary style network')
    rows = baselines.arbitrary_rows() if parser.parse_args().any else baselines.multi_style_rows()
    photo = utils.read_image(paths.ROOT / 'content' / 'lemurs.jpg')[100:420, 200:680]
    clips = still(photo, np.random.default_rng(0)), panned(photo)
    print(f'change by the noise alone: {change(clips[0]):.2f}\n\n| | still camera: change | with temporal smoothing | '
          'pan: warp error | with temporal smoothing |\n|---|---|---|---|---|')
    for name, stylize in rows:
        cells = []
        for frames, measure in zip(clips, (change, warp_error)):
            pictures = [stylize(frame) for frame in frames]
            for strength in (0, 1):
                smooth = video.TemporalSmoothing(strength)
                cells.append(measure([smooth(frame, picture) for frame, picture in zip(frames, pictures)]))
        print(f'| {name} | {" | ".join(f"{cell:.2f}" for cell in cells)} |', flush=True)


if __name__ == '__main__':
    main()
