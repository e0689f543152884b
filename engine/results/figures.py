"""Figures that a finished run writes: loss curves, a sheet of images, a labeled grid and a progress animation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import utils
from common import color_profiles, files

MAX_GIF_FRAMES = 60
GIF_SIDE_PX = 200  # a full-size GIF of noisy pictures would be larger than all these pictures together


def loss_curves(path: Path, columns: Sequence[str], history: Sequence[Sequence[float]]) -> None:
    """Plot the losses of every iteration, one curve per loss, on a logarithmic axis.

    Args:
        path: The image file to write.
        columns: Names of the losses.
        history: The losses, [iterations, columns].
    """
    figure = Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    # The margins are fixed, because Matplotlib's layout engine would draw everything twice.
    figure.subplots_adjust(left=0.15, right=0.98, bottom=0.11, top=0.97)
    for name, values in zip(columns, np.transpose(history)):
        axes.plot(values, label=name.replace('_', ' '), marker='.' if len(values) == 1 else None)
    # The axis is linear if all losses are 0, because 0 has no logarithm.
    axes.set(xlabel='iteration', ylabel='loss', yscale='log' if np.any(history) else 'linear')
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(path, figure, dpi=100)


def save_figure(path: Path, figure: Figure, dpi: int) -> None:
    """Write a figure of Matplotlib atomically as a PNG in sRGB, with `dpi` pixels per inch."""
    with files.atomic_write(path) as part:
        figure.savefig(part, dpi=dpi, pil_kwargs={'icc_profile': color_profiles.SRGB})


def sheet(path: Path, images: Sequence[np.ndarray], gap: int = 8) -> None:
    """Write images side by side on white.

    Args:
        path: The image file to write.
        images: Images [H, W, 3] from 0 to 255, all of the same height.
        gap: White space around and between the images, in pixels.
    """
    white = np.full((images[0].shape[0], gap, 3), 255)
    row = [part for image in images for part in (image, white)][:-1]
    utils.save_image(path, np.pad(np.concatenate(row, axis=1), ((gap, gap), (gap, gap), (0, 0)), constant_values=255))


def labeled_grid(path: Path, rows: Sequence[Sequence[tuple[str, np.ndarray]]]) -> None:
    """Write a grid of images, each with its label above it.

    Args:
        path: The image file to write.
        rows: Rows of (label, image [H, W, 3] from 0 to 255). The first image decides the shape of the cells.
    """
    columns = max(map(len, rows))
    height, width = rows[0][0][1].shape[:2]
    side = 2.2  # width of a column in inches
    figure = Figure(figsize=(side * columns, (side * height / width + 0.3) * len(rows)), layout='constrained')
    for axes in figure.subplots(len(rows), columns, squeeze=False).flat:
        axes.set_axis_off()
    for i, row in enumerate(rows):
        for j, (label, image) in enumerate(row):
            axes = figure.axes[i * columns + j]
            axes.imshow(utils.to_uint8(image))
            axes.set_title(label, fontsize=9)
    save_figure(path, figure, dpi=110)


def progress_gif(path: Path, pictures: Sequence[Path], final: np.ndarray) -> None:
    """Write an animation of the pictures, reduced to GIF_SIDE_PX, that ends with the final picture for three seconds.

    If there are more than MAX_GIF_FRAMES pictures, some are left out at even distances, but never the first one.

    Args:
        path: The GIF file to write.
        pictures: Paths of the pictures, in order.
        final: The final picture, uint8 [H, W, 3].
    """
    height, width = final.shape[:2]
    scale = min(1, GIF_SIDE_PX / max(height, width))
    small = max(1, round(scale * width)), max(1, round(scale * height))
    count = min(len(pictures), MAX_GIF_FRAMES - 1)
    selected = [pictures[i] for i in np.linspace(0, len(pictures) - 1, count).round().astype(int)]
    frames = [
        utils.to_uint8(utils.resize_and_crop(image, *small))
        for image in (*map(utils.read_image, selected), np.float32(final))
    ]
    duration = [200] * (len(frames) - 1) + [3000] if len(frames) > 1 else 3000  # ms; a single frame takes no list
    with files.atomic_write(path) as part:
        part.write_bytes(utils.encode_image(frames, '.gif', duration=duration, loop=0))
