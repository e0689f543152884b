"""The pictures that a finished run is handed in with: loss curves, a sheet of the three images, the progress."""

import numpy as np
from matplotlib.figure import Figure

import utils
from common import files

MAX_GIF_FRAMES = 60
GIF_SIDE_PX = 200  # pixels; a GIF of noisy pictures at full size is larger than all of them together


def loss_curves(path, columns, history):
    """Plot the losses of every iteration, [iterations, columns], one curve a column, on a log axis."""
    figure = Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    # fixed margins, because Matplotlib's layout engine would draw everything twice
    figure.subplots_adjust(left=0.15, right=0.98, bottom=0.11, top=0.97)
    for name, values in zip(columns, np.transpose(history)):
        axes.plot(values, label=name.replace('_', ' '), marker='.' if len(values) == 1 else None)
    # zeros have no logarithm
    axes.set(xlabel='iteration', ylabel='loss', yscale='log' if np.any(history) else 'linear')
    axes.grid(alpha=0.3)
    axes.legend()
    with files.atomic_write(path) as part:
        figure.savefig(part, dpi=100)


def sheet(path, images, gap=8):
    """Put images [H, W, 3] of 0-255 and one height side by side on white, `gap` pixels around and between them."""
    white = np.full((images[0].shape[0], gap, 3), 255)
    row = [part for image in images for part in (image, white)][:-1]
    utils.save_image(path, np.pad(np.concatenate(row, axis=1), ((gap, gap), (gap, gap), (0, 0)), constant_values=255))


def labeled_grid(path, rows):
    """Put rows of (label, image [H, W, 3] of 0-255) below each other, each label above its image."""
    columns = max(map(len, rows))
    height, width = rows[0][0][1].shape[:2]
    side = 2.2  # inches of a column
    figure = Figure(figsize=(side * columns, (side * height / width + 0.3) * len(rows)), layout='constrained')
    for axes in figure.subplots(len(rows), columns, squeeze=False).flat:
        axes.set_axis_off()
    for i, row in enumerate(rows):
        for j, (label, image) in enumerate(row):
            axes = figure.axes[i * columns + j]
            axes.imshow(utils.to_uint8(image))
            axes.set_title(label, fontsize=9)
    with files.atomic_write(path) as part:
        figure.savefig(part, dpi=110)


def progress_gif(path, pictures, final):
    """Animate picture files, in that order and in small, and `final`, uint8 [H, W, 3], which stays for a while.

    Of more than MAX_GIF_FRAMES some are left out, evenly, the first never.
    """
    height, width = final.shape[:2]
    scale = min(1, GIF_SIDE_PX / max(height, width))
    small = max(1, round(scale * width)), max(1, round(scale * height))
    count = min(len(pictures), MAX_GIF_FRAMES - 1)
    shown = [pictures[i] for i in np.linspace(0, len(pictures) - 1, count).round().astype(int)]
    frames = [
        utils.to_uint8(utils.resize_and_crop(image, *small))
        for image in (*map(utils.read_image, shown), np.float32(final))
    ]
    duration = [200] * (len(frames) - 1) + [3000] if len(frames) > 1 else 3000  # ms; one frame takes no list
    with files.atomic_write(path) as part:
        part.write_bytes(utils.encode_image(frames, '.gif', duration=duration, loop=0))
