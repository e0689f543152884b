"""A run's graph as a block diagram of its name scopes."""

import re

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from common import files

SCOPE_COLORS = {
    'input': '#f2c14e',
    'vgg': '#a7c7e7',
    'losses': '#f4a6a6',
    'optimizer': '#b7e4c7',
    'summaries': '#dddddd',
}
SCOPES = tuple(SCOPE_COLORS)  # as data flows
HALF_WIDTH, HALF_HEIGHT = 0.48, 0.23  # half of a block of the diagram


def group_ops(graph):
    """The graph's name scopes and the data between them: (names in order of their first node, set of (from, to))."""
    def block(node):
        top, *rest = node.lstrip('^').partition(':')[0].split('/')
        if top == 'vgg' and len(rest) > 1:
            return f'vgg/{rest[0]}'
        return top if top in SCOPES else None
    names, edges = {}, set()
    for node in graph.node:
        if here := block(node.name):
            names[here] = None
            edges |= {(there, here) for there in map(block, node.input) if there and there != here}
    return list(names), edges


def _positions(names):
    """Block -> (x, y): the input, VGG's layers with one of its five blocks a row, then losses, optimizer, summaries."""
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


def _path(there, here, places, bottom):
    """The corners of an arrow between two blocks, of data that flow from `there` to `here`; None for one not drawn."""
    (x, y), (u, v) = places[there], places[here]
    if there.startswith('vgg/') and here.startswith('vgg/'):
        if y == v:
            return [(x + HALF_WIDTH, y), (u - HALF_WIDTH, v)]
        return [(x, y - HALF_HEIGHT), (x, y - 0.62), (u, y - 0.62), (u, v + HALF_HEIGHT)]  # to the next row
    if there.startswith('vgg/') and here == 'losses':
        return [(x + 0.2, y - HALF_HEIGHT), (x + 0.2, y - 0.4), (u - 1, y - 0.4), (u - 1, v), (u - HALF_WIDTH, v)]
    if there == 'input' and here.startswith('vgg/'):
        return [(x + HALF_WIDTH, y), (u - HALF_WIDTH, v)] if y == v else None
    if there == 'input' and here in ('losses', 'summaries'):  # the total variation, the picture
        low = bottom - (0.62 if here == 'losses' else 0.8)
        return [(x - 0.1 if here == 'summaries' else x + 0.1, y - HALF_HEIGHT),
                (x - 0.1 if here == 'summaries' else x + 0.1, low), (u, low), (u, v - HALF_HEIGHT)]
    if there == 'losses':
        return [(x + HALF_WIDTH, y), ((x + u) / 2, y), ((x + u) / 2, v), (u - HALF_WIDTH, v)]
    return None  # gradients, which go back along all the arrows


def draw_on(axes, graph, size):
    """Draw the blocks, and arrows for data that flow from one to the other; size: of the letters, in points."""
    names, edges = group_ops(graph)
    places = {name: place for name, place in _positions(names).items() if name in names}
    axes.set_axis_off()
    if not places:
        axes.text(0.5, 0.5, f'the graph has none of the name scopes {", ".join(SCOPES)}', ha='center', fontsize=size)
        return
    bottom = min(y for _, y in places.values())
    for there, here in sorted(edge for edge in edges if set(edge) <= set(places)):
        if corners := _path(there, here, places, bottom):
            color = '#c0504d' if here == 'losses' else '#555555'
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
    axes.set_title('data flow forwards; the optimizer\'s gradients go back along the same arrows and change the input',
                   fontsize=size + 1)


def draw(path, graph):
    """Write the diagram as a picture."""
    figure = Figure(figsize=(13, 7), layout='constrained')
    draw_on(figure.subplots(), graph, 9)
    with files.atomic_write(path) as part:
        figure.savefig(part, dpi=110)
