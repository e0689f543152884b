"""Line plots of measurements, written as PNG files."""

from pathlib import Path

from matplotlib.figure import Figure

from engine.results import figures


def curves(path: Path, found: dict, **axes_options) -> None:
    """Plot curves in one panel and write it to `path`.

    Args:
        path: The file to write.
        found: name -> (x values, y values).
        **axes_options: Labels, limits and scales, as Matplotlib's `Axes.set` takes them.
    """
    figure = Figure(figsize=(8, 4.5), layout='constrained')
    axes = figure.subplots()
    for name, (x, y) in found.items():
        axes.plot(x, y, label=name)
    axes.set(**axes_options)
    axes.grid(alpha=0.3)
    axes.legend()
    figures.save_figure(path, figure, dpi=100)
