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
import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import utils
from engine import messages, parsing
from engine.messages import UserError
from assignment import diagram

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


def make(run, out):
    """Write the report of a run, given as the path outputs/<run>, into the folder `out`."""
    events = read(run.parent.parent / 'graphs' / run.name)
    iterations = next(iter(events.curves.values()))[0]
    seconds = np.median(np.diff(events.times) / np.diff(iterations)) if len(iterations) > 1 else np.nan
    plot_losses(out / 'losses.png', events.curves)
    diagram.draw(out / 'graph.png', events.graph)
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
