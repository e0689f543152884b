"""Make the report that students hand in, with curves, graph, settings and answers, from a run's event files.

    python -m assignment.report outputs/<run>

This writes report/report.md, where students write their answers, and report/report.pdf, the same content on one page.
If it is run again, it keeps the answers and puts them on the page. The report describes the training only from the
event files in graphs/<run>/, beside outputs/. It takes nothing from outputs/<run>/ but sheet.png, the row of three
images.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from common import process

if __name__ == '__main__':
    process.while_loading()  # before the imports that take seconds

import numpy as np
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import utils
from assignment.reporting import diagram, pdf

# TensorBoard imports TensorFlow when it first reads events; tf1 imports it earlier, without start-up messages.
from common import (
    cli,
    errors,
    files,
    tf1,  # noqa: F401
)
from common.errors import UserError
from engine.results import figures

LOSSES = 'content_loss', 'style_loss', 'total_loss'  # the curves that the handout asks for
ANSWERS_MARK = (  # Existing reports contain this line: if it changes, the answers in them are no longer found.
    '<!-- Yours: what stands below this line is kept when the report is made again, and goes into report.pdf. -->'
)
TEMPLATE = """# {name}

{summary}.

![loss curves](losses.png)

![graph](graph.png)

| setting | value |
|---|---|
{settings}

{answers_mark}
{answers}"""
QUESTIONS = """
## Name

…

## What do the curves show, and why? In at most three sentences

…
"""


class Events(NamedTuple):
    """The contents of a run's event files.

    Attributes:
        curves: For the name of each loss its iterations and values. Each iteration occurs once, with the value that
            was computed last. Those of `LOSSES` come first.
        seconds: The median time of an iteration; None if no two iterations were logged.
        graph: The run's graph, a GraphDef.
        settings: The run's settings, as text.
        pictures: Pairs of an iteration and the bytes of a JPEG.
    """
    curves: dict[str, tuple[list[int], list[float]]]
    seconds: float | None
    graph: object
    settings: dict[str, str]
    pictures: list[tuple[int, bytes]]


def read(folder: Path | str) -> Events:
    """Read the event files in a folder as TensorBoard does.

    If a resumed run repeated iterations, the later values count.

    Raises:
        UserError: There are no event files, no losses or no graph, or all summaries have the same iteration.
    """
    if not Path(folder).is_dir():
        raise UserError(f'{folder}: no such folder; train first, and name the run as outputs/<run>')
    events = EventAccumulator(str(folder), size_guidance={'scalars': 0, 'images': 0, 'tensors': 0})
    events.Reload()
    tags = events.Tags()
    scalars = {tag.rpartition('/')[2]: events.Scalars(tag) for tag in tags['scalars']}
    names = [name for name in LOSSES if name in scalars] + [name for name in scalars if name not in LOSSES]
    if not names:
        raise UserError(f'{folder}: no losses in event files there; create_summary must add a scalar for each loss')
    if not tags['graph']:
        raise UserError(f'{folder}: no graph in the event files; pass the graph to the FileWriter')
    curves = {name: ([point.step for point in scalars[name]], [point.value for point in scalars[name]])
              for name in names}
    steps, _ = curves[names[0]]
    if len(steps) > 1 and len(set(steps)) == 1:
        raise UserError(f'{folder}: all {len(steps)} summaries are of iteration {steps[0]}; '
                        'pass the step to the writer with each summary')
    pictures = [(image.step, image.encoded_image_string)
                for tag in tags['images'] if tag.startswith('picture') for image in events.Images(tag)]
    text = events.Tensors('settings')[-1].tensor_proto.string_val[0].decode() if 'settings' in tags['tensors'] else ''
    return Events(curves, _median_seconds(scalars[names[0]]), events.Graph(),
                  dict(re.findall(r'^\| (.+?) \| (.*?) \|$', text, re.M)[2:]), pictures)


def _median_seconds(points):
    """Return the median seconds per iteration, or None if the points do not advance.

    The median ignores the pauses between the sessions of a resumed run.
    """
    steps, times = np.diff([point.step for point in points]), np.diff([point.wall_time for point in points])
    return float(np.median(times[steps > 0] / steps[steps > 0])) if (steps > 0).any() else None


def plot_losses(path: Path, curves: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> None:
    """Write a picture with one panel per loss, with as many panels in a row as on the PDF page.

    Args:
        path: The image file to write.
        curves: `Events.curves`.
    """
    columns = min(len(curves), pdf.PLOTS_PER_ROW)
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(4 * columns, 3.4 * rows), layout='constrained')
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for axes, (name, points) in zip(panels, curves.items()):
        pdf.plot_curve(axes, name, *points)
    for axes in panels:  # Hide the unused panels of the last row.
        axes.set_axis_off()
    figures.save_figure(path, figure, dpi=110)


def answers(path: Path) -> str:
    """Return what the student wrote below `ANSWERS_MARK` in an earlier report.md, or the questions if there is none.

    Raises:
        UserError: The file is not UTF-8 or lacks the mark, so overwriting it could destroy answers.
    """
    if not path.exists():
        return QUESTIONS
    try:
        _, mark, text = path.read_text(encoding='utf-8-sig').partition(ANSWERS_MARK + '\n')
    except UnicodeDecodeError as error:
        raise UserError(f'{path}: not in UTF-8; save it as UTF-8, or move it away') from error
    if not mark:
        raise UserError(f'{path}: has no line {ANSWERS_MARK!r}, so your answers cannot be separated from the rest; '
                        'move the file away and copy them into the new one', ('--out', 'DIR writes elsewhere'))
    return text


def make_report(run: Path, out: Path) -> set[str]:
    """Write the report of a run.

    Args:
        run: The path outputs/<run>.
        out: The folder to write to.

    Returns:
        The characters on the PDF page that no installed font has.

    Raises:
        UserError: The events or the earlier answers cannot be read; nothing has been written then.
    """
    events, answers_text = read(run.parent.parent / 'graphs' / run.name), answers(out / 'report.md')
    iterations, _ = next(iter(events.curves.values()))
    summary = f'{iterations[-1]} iterations' + (f', {events.seconds:.3f} s each (median)' if events.seconds else '')
    sheet = run / 'sheet.png'
    plot_losses(out / 'losses.png', events.curves)
    diagram.draw(out / 'graph.png', events.graph)
    settings = '\n'.join(f'| {setting} | {value} |' for setting, value in events.settings.items())
    with files.atomic_write(out / 'report.md') as part:
        part.write_text(TEMPLATE.format(name=run.name, summary=summary, settings=settings, answers_mark=ANSWERS_MARK,
                                        answers=answers_text),
                        encoding='utf-8')
    figure, missing = pdf.compose(
        run.name, summary, events, utils.to_uint8(utils.read_image(sheet)) if sheet.is_file() else None, answers_text)
    pdf.write(out / 'report.pdf', figure, run.name)
    return missing


@errors.command_line
def main(argv: Sequence[str] | None = None) -> None:
    """Write the report of the run that the command line names."""
    parser = cli.Parser(prog='python -m assignment.report', description=__doc__.split('\n')[0])
    parser.add_argument('run', type=Path, metavar='outputs/RUN', help='the folder of the run\'s pictures')
    parser.add_argument('--out', type=Path, metavar='DIR', help='the folder to write to (default: report, beside '
                        'outputs)')
    args = parser.parse_args(argv)
    run = Path(os.path.abspath(args.run.expanduser()))
    out = args.out or run.parent.parent / 'report'
    missing = make_report(run, out)
    print(f'{out / "report.md"}: write your answers there and run this command again; it puts them into '
          f'{out / "report.pdf"}, which you hand in')
    if missing:
        print(f'no installed font has the characters {"".join(sorted(missing))}; the page shows them as boxes')


if __name__ == '__main__':
    sys.exit(main())
