"""Make what the handout asks to hand in from a run's event files: report/ with curves, graph, settings and answers.

    python -m assignment.report outputs/<run>

Writes report/report.md, which has room for the answers, and report/report.pdf, the same as one page; called again it
keeps the answers and puts them on the page. What was trained is read from graphs/<run>/ beside outputs/ alone, so a
report is of that; only the sheet of the three images is from outputs/<run>/.
"""

import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

from common import process

if __name__ == '__main__':
    process.while_loading()  # before the imports that take seconds

# isort: split - TensorBoard imports TensorFlow, and must find it as tf1 has imported it
import numpy as np
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import utils
from assignment.reporting import diagram, pdf
from common import (
    cli,
    errors,
    files,
    tf1,  # noqa: F401
)
from common.errors import UserError

LOSSES = 'content_loss', 'style_loss', 'total_loss'  # whose curves the handout asks for
ANSWERS_MARK = (
    '<!-- Yours: what stands below this line is kept when the report is made again, and goes into report.pdf. -->'
)
TEMPLATE = """# {name}

{told}.

![loss curves](losses.png)

![graph](graph.png)

| setting | value |
|---|---|
{settings}

{yours}
{answers}"""
QUESTIONS = """
## Name

…

## What do the curves show, and why? In at most three sentences

…
"""


class Events(NamedTuple):
    """What the event files of a run say.

    curves: name of a loss -> (iterations, values), each iteration once, as it was computed last; LOSSES come first
    seconds: the median that an iteration took; None where no two iterations were logged
    graph: a GraphDef; settings: name -> text; pictures: [(iteration, bytes of a JPEG)]
    """
    curves: dict
    seconds: float
    graph: object
    settings: dict
    pictures: list


def read(folder):
    """The `Events` in a folder of event files, as TensorBoard shows them: the later ones where a resumed run went back.

    Raises `UserError` where there are none, or no loss or no graph in them, or all are of one iteration.
    """
    if not Path(folder).is_dir():
        raise UserError(f'{folder}: no such folder; train first, and name the run as outputs/<run>')
    events = EventAccumulator(str(folder), size_guidance={'scalars': 0, 'images': 0, 'tensors': 0})
    events.Reload()
    tags = events.Tags()
    scalars = {tag.rpartition('/')[2]: events.Scalars(tag) for tag in tags['scalars']}
    names = [name for name in LOSSES if name in scalars] + [name for name in scalars if name not in LOSSES]
    if not names:
        raise UserError(f'{folder}: no loss in event files there; create_summary makes their scalars')
    if not tags['graph']:
        raise UserError(f'{folder}: no graph in the event files; the writer must be given it')
    curves = {name: ([point.step for point in scalars[name]], [point.value for point in scalars[name]])
              for name in names}
    steps, _ = curves[names[0]]
    if len(steps) > 1 and len(set(steps)) == 1:
        raise UserError(f'{folder}: all {len(steps)} summaries are of iteration {steps[0]}; '
                        'the writer must be given the step of each')
    pictures = [(image.step, image.encoded_image_string)
                for tag in tags['images'] if tag.startswith('picture') for image in events.Images(tag)]
    text = events.Tensors('settings')[-1].tensor_proto.string_val[0].decode() if 'settings' in tags['tensors'] else ''
    return Events(curves, _seconds(scalars[names[0]]), events.Graph(),
                  dict(re.findall(r'^\| (.+?) \| (.*?) \|$', text, re.M)[2:]), pictures)


def _seconds(points):
    """The median time of an iteration; a pause between two sessions is one of many. None where nothing passed."""
    steps, times = np.diff([point.step for point in points]), np.diff([point.wall_time for point in points])
    return float(np.median(times[steps > 0] / steps[steps > 0])) if (steps > 0).any() else None


def plot_losses(path, curves):
    """One panel a loss, so many in a row as on the page."""
    columns = min(len(curves), pdf.PLOTS_PER_ROW)
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(4 * columns, 3.4 * rows), layout='constrained')
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for axes, (name, points) in zip(panels, curves.items()):
        pdf.plot_curve(axes, name, *points)
    for axes in panels:  # those left over
        axes.set_axis_off()
    with files.atomic_write(path) as part:
        figure.savefig(part, dpi=110)


def answers(path):
    """What a student wrote into an earlier report.md, below ANSWERS_MARK; the questions where there is none.

    Raises `UserError` for a file in which that cannot be told from the rest: it would be lost.
    """
    if not path.exists():
        return QUESTIONS
    try:
        _, found, yours = path.read_text(encoding='utf-8-sig').partition(ANSWERS_MARK + '\n')
    except UnicodeDecodeError as error:
        raise UserError(f'{path}: is not in UTF-8; save it as that, or move it away') from error
    if not found:
        raise UserError(f'{path}: has no line {ANSWERS_MARK!r}, so that your answers cannot be told from the rest; '
                        'move the file away and put them into the new one', ('--out', 'DIR writes elsewhere'))
    return yours


def make_report(run, out):
    """Write the report of a run, given as the path outputs/<run>, into the folder `out`.

    Returns the characters of the answers that no font here has. Raises `UserError`, before anything is written.
    """
    events, yours = read(run.parent.parent / 'graphs' / run.name), answers(out / 'report.md')
    iterations, _ = next(iter(events.curves.values()))
    told = f'{iterations[-1]} iterations' + (f', {events.seconds:.3f} s each (median)' if events.seconds else '')
    sheet = run / 'sheet.png'
    plot_losses(out / 'losses.png', events.curves)
    diagram.draw(out / 'graph.png', events.graph)
    settings = '\n'.join(f'| {setting} | {value} |' for setting, value in events.settings.items())
    with files.atomic_write(out / 'report.md') as part:
        part.write_text(TEMPLATE.format(name=run.name, told=told, settings=settings, yours=ANSWERS_MARK, answers=yours),
                        encoding='utf-8')
    figure, missing = pdf.compose(
        run.name, told, events, utils.to_uint8(utils.read_image(sheet)) if sheet.is_file() else None, yours)
    pdf.write(out / 'report.pdf', figure, run.name)
    return missing


@errors.command_line
def main(argv=None):
    """Report on the run that the command line names."""
    parser = cli.Parser(prog='python -m assignment.report', description=__doc__.split('\n')[0])
    parser.add_argument('run', type=Path, metavar='outputs/RUN', help='the folder of the run\'s pictures')
    parser.add_argument('--out', type=Path, metavar='DIR', help='folder to write (default: report, beside outputs)')
    args = parser.parse_args(argv)
    run = Path(os.path.abspath(args.run.expanduser()))
    out = args.out or run.parent.parent / 'report'
    missing = make_report(run, out)
    print(f'{out / "report.md"}: write your answers into it; called again, this puts them into '
          f'{out / "report.pdf"}, to hand in')
    if missing:
        print(f'no font here has {"".join(sorted(missing))}, which the page shows as boxes')


if __name__ == '__main__':
    sys.exit(main())
