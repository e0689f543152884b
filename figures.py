"""The pictures that a finished run is handed in with: loss curves, a sheet of the three images, the progress."""

import imageio.v3 as iio
import numpy as np
from matplotlib.figure import Figure

import utils

GIF_SIDE = 200  # pixels; a GIF of noisy pictures at full size is larger than all of them together

def loss_curves(path, columns, history):
    """Plot the losses of every iteration, one curve a column, on a log axis."""
    figure = Figure(figsize=(7, 4.5), layout='constrained')
    axes = figure.subplots()
    for name, values in zip(columns, np.transpose(history)):
        axes.plot(values, label=name.replace('_', ' '))
    axes.set(xlabel='iteration', ylabel='loss', yscale='log')
    axes.grid(alpha=0.3)
    axes.legend()
    with utils.whole_file(path) as part:
        figure.savefig(part, dpi=100)


def sheet(path, images, gap=8):
    """Put images [H, W, 3] of one height side by side on white."""
    white = np.full((images[0].shape[0], gap, 3), 255)
    row = [part for image in images for part in (image, white)][:-1]
    utils.save_image(path, np.pad(np.concatenate(row, axis=1), ((gap, gap), (gap, gap), (0, 0)), constant_values=255))


def progress(path, pictures):
    """Make an animation of the picture files, in that order and in small; the last one stays for a while."""
    frames = [iio.imread(picture) for picture in pictures]
    scale = min(1, GIF_SIDE / max(frames[-1].shape))
    height, width = (round(scale * side) for side in frames[-1].shape[:2])
    duration = [200] * (len(frames) - 1) + [3000] if len(frames) > 1 else 3000  # ms; one frame takes no list
    with utils.whole_file(path) as part:
        iio.imwrite(part, [utils.to_uint8(utils.fit(frame, width, height)) for frame in frames], duration=duration, loop=0)
