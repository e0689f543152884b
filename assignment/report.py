"""Make what the handout asks to hand in from a run's event files: report/ with curves, graph, settings, report.md.

    python -m assignment.report outputs/<run>

Nothing but graphs/<run>/ beside outputs/ is read, so a report is of what was trained.
"""

import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import utils
from engine import messages, parsing
from engine.messages import UserError

COLOURS = {'input': '#f2c14e', 'vgg': '#a7c7e7', 'losses': '#f4a6a6', 'optimizer': '#b7e4c7', 'summaries': '#dddddd'}
SCOPES = tuple(COLOURS)  # as data flows
WIDE, HIGH = 0.48, 0.23  # half of a block of the diagram
TEMPLATE = """# {name}

{iterations} iterations, {seconds:.3f} s each (median).

![loss curves](losses.png)

What the curves show and why, in at most three sentences:

> …

![graph](graph.png)

| setting | value |
|---|---|
{settings}
"""


class Events(NamedTuple):
    """What the event files of a run say.

    curves: name of a loss -> (iterations, values), each iteration once, as it was computed last
    times: seconds since 1970 of the iterations; graph: a GraphDef; settings: name -> text
    """
    curves: dict
    times: np.ndarray
    graph: object
    settings: dict


def read(folder):
    """The `Events` in a folder of event files, as TensorBoard shows them: the later ones where a resumed run went back.

    Raises `UserError` where there are none, or no loss or no graph in them.
    """
    if not Path(folder).is_dir():
        raise UserError(f'{folder}: no such folder; train first, and name the run as outputs/<run>')
    events = EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()
    scalars = {tag.rpartition('/')[2]: events.Scalars(tag) for tag in tags['scalars']}
    curves = {name: ([point.step for point in points], [point.value for point in points])
              for name, points in scalars.items()}
    if not curves:
        raise UserError(f'{folder}: no loss in event files there; create_summary makes their scalars')
    if not tags['graph']:
        raise UserError(f'{folder}: no graph in the event files; the writer must be given it')
    text = events.Tensors('settings')[-1].tensor_proto.string_val[0].decode() if 'settings' in tags['tensors'] else ''
    return Events(curves, np.array([point.wall_time for point in next(iter(scalars.values()))]), events.Graph(),
                  dict(re.findall(r'^\| (.+?) \| (.*?) \|$', text, re.M)[2:]))


def plot_losses(path, curves):
    """One panel a loss, on a log axis."""
    figure = Figure(figsize=(4 * len(curves), 3.4), layout='constrained')
    for axes, (name, (iterations, values)) in zip(figure.subplots(1, len(curves), squeeze=False).flat, curves.items()):
        axes.plot(iterations, values, marker='.')
        axes.set(title=name.replace('_', ' '), xlabel='iteration', yscale='log' if min(values) > 0 else 'linear')
        axes.grid(alpha=0.3)
    with utils.whole_file(path) as part:
        figure.savefig(part, dpi=110)


def blocks(graph):
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


def _places(names):
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
            return [(x + WIDE, y), (u - WIDE, v)]
        return [(x, y - HIGH), (x, y - 0.62), (u, y - 0.62), (u, v + HIGH)]  # to the next row
    if there.startswith('vgg/') and here == 'losses':
        return [(x + 0.2, y - HIGH), (x + 0.2, y - 0.4), (u - 1, y - 0.4), (u - 1, v), (u - WIDE, v)]
    if there == 'input' and here.startswith('vgg/'):
        return [(x + WIDE, y), (u - WIDE, v)] if y == v else None
    if there == 'input' and here in ('losses', 'summaries'):  # the total variation, the picture
        low = bottom - (0.62 if here == 'losses' else 0.8)
        return [(x - 0.1 if here == 'summaries' else x + 0.1, y - HIGH),
                (x - 0.1 if here == 'summaries' else x + 0.1, low), (u, low), (u, v - HIGH)]
    if there == 'losses':
        return [(x + WIDE, y), ((x + u) / 2, y), ((x + u) / 2, v), (u - WIDE, v)]
    return None  # gradients, which go back along all the arrows


def draw_graph(path, graph):
    """A block diagram of the graph's scopes on one page: arrows are data that flow from one to the other."""
    names, edges = blocks(graph)
    places = {name: place for name, place in _places(names).items() if name in names}
    bottom = min(y for _, y in places.values())
    figure = Figure(figsize=(13, 7), layout='constrained')
    axes = figure.subplots()
    axes.set_axis_off()
    for there, here in sorted(edge for edge in edges if set(edge) <= set(places)):
        if corners := _path(there, here, places, bottom):
            colour = '#c0504d' if here == 'losses' else '#555555'
            axes.plot(*zip(*corners[:-1]), color=colour, lw=1.2, zorder=1, solid_joinstyle='round')
            axes.annotate('', corners[-1], corners[-2], zorder=1,
                          arrowprops=dict(arrowstyle='-|>', color=colour, lw=1.2, shrinkA=0, shrinkB=0))
    for name, (x, y) in places.items():
        axes.add_patch(FancyBboxPatch((x - WIDE + 0.06, y - HIGH + 0.06), 2 * WIDE - 0.12, 2 * HIGH - 0.12, zorder=2,
                                      boxstyle='round,pad=0.06', facecolor=COLOURS[name.partition('/')[0]],
                                      edgecolor='#444444'))
        axes.text(x, y, name.removeprefix('vgg/'), ha='center', va='center', fontsize=9, zorder=3)
    xs, ys = np.transpose(list(places.values()))
    axes.set(xlim=(xs.min() - 0.8, xs.max() + 0.8), ylim=(bottom - 1, ys.max() + 0.6))
    axes.set_title('data flow forwards; the optimizer\'s gradients go back along the same arrows and change the input',
                   fontsize=10)
    with utils.whole_file(path) as part:
        figure.savefig(part, dpi=110)


def make(run, out):
    """Write the report of a run, given as the path outputs/<run>, into the folder `out`."""
    events = read(run.parent.parent / 'graphs' / run.name)
    iterations = next(iter(events.curves.values()))[0]
    seconds = np.median(np.diff(events.times) / np.diff(iterations)) if len(iterations) > 1 else np.nan
    plot_losses(out / 'losses.png', events.curves)
    draw_graph(out / 'graph.png', events.graph)
    settings = '\n'.join(f'| {setting} | {value} |' for setting, value in events.settings.items())
    with utils.whole_file(out / 'report.md') as part:
        part.write_text(TEMPLATE.format(name=run.name, iterations=iterations[-1], seconds=seconds, settings=settings),
                        encoding='utf-8')


@messages.command_line
def main(argv=None):
    """Report on the run that the command line names."""
    parser = parsing.Parser(prog='python -m assignment.report', description=__doc__.split('\n')[0])
    parser.add_argument('run', type=Path, metavar='outputs/RUN', help='the folder of the run\'s pictures')
    parser.add_argument('--out', type=Path, metavar='DIR', help='folder to write (default: report, beside outputs)')
    args = parser.parse_args(argv)
    run = Path(os.path.abspath(args.run.expanduser()))
    out = args.out or run.parent.parent / 'report'
    make(run, out)
    print(f'{out / "report.md"}: room for your three sentences is in it')


if __name__ == '__main__':
    sys.exit(main())
