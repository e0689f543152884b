"""Curves of what was measured, as a PNG."""

from matplotlib.figure import Figure

from common import files


def curves(path, found, **axes_as):
    """Plot name -> (x, y) in one panel; axes_as: as Matplotlib's `Axes.set` takes it."""
    figure = Figure(figsize=(8, 4.5), layout='constrained')
    axes = figure.subplots()
    for name, (x, y) in found.items():
        axes.plot(x, y, label=name)
    axes.set(**axes_as)
    axes.grid(alpha=0.3)
    axes.legend()
    with files.atomic_write(path) as part:
        figure.savefig(part, dpi=100)
