"""A run's graph as a block diagram of its name scopes."""

import re
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from engine.results import figures

SCOPE_COLORS = {
    'input': '#f2c14e',
    'vgg': '#a7c7e7',
    'losses': '#f4a6a6',
    'optimizer': '#b7e4c7',
    'summaries': '#dddddd',
}
SCOPES = tuple(SCOPE_COLORS)  # in the order in which data flow
HALF_WIDTH, HALF_HEIGHT = 0.48, 0.23  # half the size of a block, in units of the diagram's axes


def group_ops(graph) -> tuple[list[str], set[tuple[str, str]]]:
    """Group the nodes of a graph into blocks, which are its name scopes and, within VGG, its layers.

    Args:
        graph: A GraphDef.

    Returns:
        The names of the blocks, in the order of their first nodes, and the set of pairs (from, to) of blocks between
        which data flow. Nodes outside of `SCOPES` are left out.
    """
    def block(node):
        top, *rest = node.lstrip('^').partition(':')[0].split('/')
        if top == 'vgg' and len(rest) > 1:
            return f'vgg/{rest[0]}'
        return top if top in SCOPES else None
    names, edges = {}, set()
    for node in graph.node:
        if target := block(node.name):
            names[target] = None
            edges |= {(source, target) for source in map(block, node.input) if source and source != target}
    return list(names), edges


def _block_positions(names):
    """Return the center (x, y) of each block.

    From left to right: the input, the layers of VGG with one of its five convolution blocks per row, the losses, then
    the optimizer above the summaries.
    """
    places, rows = {'input': (0., 0.)}, {}
    for name in names:
        if name.startswith('vgg/'):
            digits = re.search(r'(\d)', name)
            rows.setdefault(int(digits[1]) if digits else 0, []).append(name)
    for y, row in enumerate(rows[key] for key in sorted(rows)):
        places |= {name: (1.4 + 1.25 * x, -float(y)) for x, name in enumerate(row)}
    right = max((x for x, _ in places.values()), default=0) + 2
    middle = -(len(rows) - 1) / 2
    return places | {'losses': (right, middle), 'optimizer': (right + 1.6, middle + 1),
                     'summaries': (right + 1.6, middle - 1)}


def _arrow_corners(source, target, places, bottom):
    """Return the corners of the arrow from one block to another, or None if it is not drawn."""
    (x, y), (u, v) = places[source], places[target]
    if source.startswith('vgg/') and target.startswith('vgg/'):
        if y == v:
            return [(x + HALF_WIDTH, y), (u - HALF_WIDTH, v)]
        return [(x, y - HALF_HEIGHT), (x, y - 0.62), (u, y - 0.62), (u, v + HALF_HEIGHT)]  # to the next row
    if source.startswith('vgg/') and target == 'losses':
        return [(x + 0.2, y - HALF_HEIGHT), (x + 0.2, y - 0.4), (u - 1, y - 0.4), (u - 1, v), (u - HALF_WIDTH, v)]
    if source == 'input' and target.startswith('vgg/'):
        return [(x + HALF_WIDTH, y), (u - HALF_WIDTH, v)] if y == v else None
    if source == 'input' and target in ('losses', 'summaries'):  # for the total variation and for the picture
        low = bottom - (0.62 if target == 'losses' else 0.8)
        return [(x - 0.1 if target == 'summaries' else x + 0.1, y - HALF_HEIGHT),
                (x - 0.1 if target == 'summaries' else x + 0.1, low), (u, low), (u, v - HALF_HEIGHT)]
    if source == 'losses':
        return [(x + HALF_WIDTH, y), ((x + u) / 2, y), ((x + u) / 2, v), (u - HALF_WIDTH, v)]
    return None  # These are gradients, which flow back along all the other arrows.


def draw_on(axes, graph, size: float) -> None:
    """Draw the blocks of a graph, and arrows where data flow from one to another.

    Args:
        axes: The Matplotlib axes to draw on.
        graph: A GraphDef.
        size: The font size, in points.
    """
    names, edges = group_ops(graph)
    places = {name: place for name, place in _block_positions(names).items() if name in names}
    axes.set_axis_off()
    if not places:
        axes.text(0.5, 0.5, f'the graph has none of the name scopes {", ".join(SCOPES)}', ha='center', fontsize=size)
        return
    bottom = min(y for _, y in places.values())
    for source, target in sorted(edge for edge in edges if set(edge) <= set(places)):
        if corners := _arrow_corners(source, target, places, bottom):
            color = '#c0504d' if target == 'losses' else '#555555'
            axes.plot(*zip(*corners[:-1]), color=color, lw=size / 8, zorder=1, solid_joinstyle='round')
            axes.annotate('', corners[-1], corners[-2], zorder=1, arrowprops=dict(
                arrowstyle='-|>', color=color, lw=size / 8, mutation_scale=size, shrinkA=0, shrinkB=0))
    for name, (x, y) in places.items():
        axes.add_patch(
            FancyBboxPatch(
                (x - HALF_WIDTH + 0.06, y - HALF_HEIGHT + 0.06),
                2 * HALF_WIDTH - 0.12,
                2 * HALF_HEIGHT - 0.12,
                zorder=2,
                boxstyle='round,pad=0.06',
                facecolor=SCOPE_COLORS[name.partition('/')[0]],
                edgecolor='#444444',
                lw=size / 9,
            )
        )
        axes.text(x, y, name.removeprefix('vgg/'), ha='center', va='center', fontsize=size, zorder=3)
    xs, ys = np.transpose(list(places.values()))
    axes.set(xlim=(xs.min() - 0.8, xs.max() + 0.8), ylim=(bottom - 1, ys.max() + 0.6))
    axes.set_title('data flow forward; the optimizer\'s gradients flow back along the same arrows and change the input',
                   fontsize=size + 1)


def draw(path: Path, graph) -> None:
    """Write the diagram of a GraphDef as an image file."""
    figure = Figure(figsize=(13, 7), layout='constrained')
    draw_on(figure.subplots(), graph, 9)
    figures.save_figure(path, figure, dpi=110)
