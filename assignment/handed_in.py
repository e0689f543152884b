"""Whether the curves of a run that is handed in fit the settings it was made with; its first losses are made anew.

    python -m assignment.handed_in ~/hw2

Reads the event files in graphs/<run>/, and the student's images where the run was not of the project's own; nothing
of the student's is run. `assignment.check --runs` does it for a class.
"""

import dataclasses
import json
import sys
import tempfile
from pathlib import Path

from common import process

if __name__ == '__main__':
    process.while_loading()  # before the imports that take seconds

import numpy as np

import load_vgg
import recipes
import style_transfer
import utils
from assignment import report
from assignment.grader import submissions
from assignment.reporting import diagram
from common import cli, errors, files, paths
from common.errors import UserError

MIN_ITERATIONS = 200  # iterations that the handout asks for
RECOMPUTED_STEPS = 2  # of the iterations logged, whose losses are made anew
MAX_RECOMPUTED_STEP = 25  # none later than that one: it takes as long as the run did
MAX_EVENT_BYTES = 200_000_000  # bytes of a run's event files
MAX_ZIP_BYTES = 1_000_000_000  # bytes of a student's zip file, unpacked
LOSS_TOLERANCE = {'float32': 0.01, 'bfloat16': 0.03}  # of losses made on two machines
SUM_TOLERANCE = {'float32': 1e-4, 'bfloat16': 0.02}  # of a total loss against its terms
NOT_RECOMPUTED = {'initial_img', 'mask', 'style_weights'}  # settings of runs that are not made anew
EVENT_FILE_GLOB = '*tfevents*'
COEFFICIENTS = {'content_coefficient': recipes.CONTENT_COEFFICIENTS, 'style_coefficient': recipes.STYLE_COEFFICIENTS}


def verify_run(run):
    """What does not fit in a run, as lines of text; none where all does.

    run: the folder of its event files, graphs/<run>, beside whose `graphs` the student's own images are looked for, in
    content/ and styles/ too
    """
    try:
        _check_files(run)
        events = report.read(run)
    except UserError as error:
        return [str(error)]
    except Exception as error:  # event files of any kind may come
        return [f'{run}: event files that cannot be read ({type(error).__name__}: {error})']
    found = [*_curve_issues(events), *_graph_issues(events)]
    try:
        recipe = recipe_from_settings(events.settings)
    except UserError as error:
        return [*found, str(error)]
    return [
        *found,
        *_step_issues(events, recipe),
        *_sum_issues(events, recipe),
        *_first_loss_issues(run, events, recipe),
    ]


def _check_files(run):
    """Raise `UserError` for event files that would not be read to an end."""
    files = list(Path(run).glob(EVENT_FILE_GLOB))
    if odd := [path for path in files if path.is_symlink() or not path.is_file()]:
        raise UserError(f'{odd[0]}: a link, or no file')
    if sum(path.stat().st_size for path in files) > MAX_EVENT_BYTES:
        raise UserError(f'{run}: event files of more than {MAX_EVENT_BYTES / 1e6:.0f} MB')


def _curve_issues(events):
    """Whether the three losses are there, of enough iterations, finite and falling."""
    if missing := [name for name in report.LOSSES if name not in events.curves]:
        yield f'no curve of {", ".join(missing)}'
    curves = {name: events.curves[name] for name in report.LOSSES if name in events.curves}
    if len({tuple(steps) for steps, _ in curves.values()}) > 1:
        yield 'the losses were not logged at the same iterations'
    if not all(np.isfinite(values).all() for _, values in curves.values()):
        yield 'some losses are not finite'
    last = max((steps[-1] for steps, _ in curves.values()), default=0)
    if last < MIN_ITERATIONS:
        yield f'{last} iterations; the handout asks for at least {MIN_ITERATIONS}'
    _, totals = curves.get('total_loss', ((), (0,)))
    if len(totals) > 1 and totals[-1] >= totals[0]:
        yield f'the total loss does not fall: {totals[0]:.5g} at first, {totals[-1]:.5g} at last'


def _graph_issues(events):
    """Whether there are pictures, and the graph has its parts."""
    if not events.pictures:
        yield 'no pictures in the event files'
    names, _ = diagram.group_ops(events.graph)
    tops = {name.partition('/')[0] for name in names}
    if missing := [scope for scope in diagram.SCOPES if scope not in tops]:
        yield f'the graph has no name scope {", ".join(missing)}'


def recipe_from_settings(settings):
    """The `Recipe` of a run, from its settings as text. Raises `UserError` where they are none."""
    values = {}
    try:
        for field in dataclasses.fields(recipes.Recipe):
            if field.name in settings and (field.metadata or field.name in ('name', *COEFFICIENTS)):
                values[field.name] = _parse_value(field.default, settings[field.name])
        for name, known in COEFFICIENTS.items():
            if values[name] not in known:
                raise UserError(f'{name} {values[name]}: unknown')
        recipe = recipes.Recipe(**values)
    except KeyError as error:
        raise UserError(f'the event files do not tell the setting {error.args[0]}') from error
    except (ValueError, TypeError, UserError) as error:
        raise UserError(f'settings that are none: {error}') from error
    log_schedule = recipes.RECIPES[recipe.name].log_schedule if recipe.name in recipes.RECIPES else recipe.log_schedule
    return dataclasses.replace(recipe, log_schedule=log_schedule)


def _parse_value(default, text):
    """A setting as it was before it became text in a table."""
    if isinstance(default, str) or default is dataclasses.MISSING:
        return text
    return tuple(json.loads(text)) if isinstance(default, tuple) else type(default)(json.loads(text))


def _step_issues(events, recipe):
    """Whether the iterations are there that the recipe logs; those at which a session ended come on top."""
    steps, _ = next(iter(events.curves.values()))
    missing = [
        step
        for step in range(1, min(steps[-1], recipes.MAX_ITERATIONS))
        if recipe.should_log(step) and step not in steps
    ]
    if missing and recipe.scales == 1:
        yield (f'{len(missing)} iterations are missing that the recipe {recipe.name} logs, the first is {missing[0]}: '
               'files lost, or steps counted otherwise')


def _sum_issues(events, recipe):
    """Whether every total loss is the sum of its terms by the weights in the settings."""
    weights = {'content_loss': recipe.content_weight, 'style_loss': recipe.style_weight, 'tv_loss': recipe.tv_weight}
    curves = {name: dict(zip(*points)) for name, points in events.curves.items()}
    needed = {name: weight for name, weight in weights.items() if weight}
    if not {'total_loss', *needed} <= set(curves) or recipe.scales != 1:
        return
    tolerance = SUM_TOLERANCE.get(events.settings.get('precision'), SUM_TOLERANCE['float32'])
    for step, total in curves['total_loss'].items():
        expected = sum(weight * curves[name].get(step, np.nan) for name, weight in needed.items())
        if abs(total - expected) > tolerance * abs(expected):
            yield (f'total_loss of iteration {step} is {total:.5g}; its terms by the weights in the settings '
                   f'make {expected:.5g}')
            return


def _first_loss_issues(run, events, recipe):
    """Whether the first losses are those that these settings give."""
    curves = {name: dict(zip(*points)) for name, points in events.curves.items() if name in report.LOSSES}
    steps = sorted(set.intersection(*map(set, curves.values())))[:RECOMPUTED_STEPS] if curves else []
    try:
        if not steps or steps[0] < 1 or steps[-1] > MAX_RECOMPUTED_STEP:
            raise UserError(f'there are none of the first {MAX_RECOMPUTED_STEP} iterations')
        made = first_losses(events.settings, recipe, Path(run).absolute().parent.parent, steps)
    except UserError as error:
        yield f'the first losses were not made anew: {error}'
        return
    tolerance = LOSS_TOLERANCE.get(events.settings.get('precision'), LOSS_TOLERANCE['float32'])
    for step in steps:
        for name, losses in curves.items():
            expected = float(made[step][name])
            if not abs(losses[step] - expected) <= tolerance * abs(expected):
                yield (f'{name} of iteration {step} is {losses[step]:.5g}; these settings give {expected:.5g}'
                       + (f', {losses[step] / expected:.4g}× that' if expected else ''))


def first_losses(settings, recipe, folder, steps):
    """The losses of some early iterations by the project's own code: iteration -> name -> loss.

    settings: of the run, as text; folder: the student's, where images are looked for that are not the project's
    Raises `UserError` where images or weights are not here, or the run is none that can be made anew.
    """
    if recipe.scales != 1 or (special := NOT_RECOMPUTED & set(settings)):
        raise UserError('the run is one of several sizes' if recipe.scales != 1 else
                        f'the run is one with {", ".join(sorted(special))}')
    width, height, seed = (_number(settings, name, *limits) for name, limits in (
        ('width', utils.SIDE_RANGE_PX), ('height', utils.SIDE_RANGE_PX), ('seed', (0, 2**31 - 1))))
    places = [place for root in (paths.ROOT, folder) for place in (root, root / 'content', root / 'styles')]
    images = [path for place in places if place.is_dir() for path in sorted(place.iterdir())]
    content, style, vgg = (_file(settings.get(name, ''), name, among) for name, among in (
        ('content', images), ('style', images), ('vgg', load_vgg.WEIGHTS_SEARCH_PATHS)))
    machine = style_transfer.StyleTransfer(content, style, width, height, recipe=recipe, vgg=vgg, seed=seed,
                                           precision='float32', name='handed-in')
    machine.check_memory()
    machine.build()
    losses = {}
    with machine.open_session() as sess:
        machine.initialize(sess)
        for step, _ in zip(range(1, steps[-1] + 1), machine.optimizer_steps(sess, 0)):
            if step in steps:
                losses[step] = machine.evaluate(sess)[0]
    return losses


def _number(settings, name, low, high):
    text = settings.get(name, '')
    if not (text.isdecimal() and len(text) < 12 and low <= int(text) <= high):
        raise UserError(f'its setting {name} is {text!r}')
    return int(text)


def _file(digits, name, among):
    """The file whose SHA-256 begins with these digits."""
    for path in among:
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= MAX_EVENT_BYTES:
            if len(digits) == 8 and files.file_hash(path).startswith(digits):
                return path
    raise UserError(f'no file here is its {name}, of SHA-256 {digits}…')


def find_runs(folder):
    """The folders of event files in what a student handed in: `folder` itself, in it, or in its graphs/.

    What a link leads to outside of `folder` was not handed in.
    """
    files = [
        path
        for pattern in ('', '*/', 'graphs/*/', '*/graphs/*/')
        for path in Path(folder).glob(pattern + EVENT_FILE_GLOB)
    ]
    root = Path(folder).resolve()
    return sorted({path.parent for path in files if path.parent.resolve().is_relative_to(root)})


def verify_place(place):
    """What does not fit in each run in a student's folder or zip file, or in the zip files of the folder.

    Returns the run's path, as text -> lines. Raises `UserError` for a zip file that cannot be read.
    """
    if place.is_dir():
        runs = {str(run): verify_run(run) for run in find_runs(place)}
        return runs or {run: found for path in sorted(place.glob('*.zip')) for run, found in verify_place(path).items()}
    with tempfile.TemporaryDirectory(prefix='handed-in-') as folder:
        try:
            submissions.unpack(place, Path(folder), MAX_ZIP_BYTES)
        except submissions.READ_ERRORS as error:
            raise UserError(f'{place}: cannot be read as a zip file ({error})') from error
        return {run.replace(folder, str(place)): [line.replace(folder, str(place)) for line in found]
                for run, found in verify_place(Path(folder)).items()}


@errors.command_line
def main(argv=None):
    """Look at the runs in what the command line names; return 0 if all fits, else 1."""
    parser = cli.Parser(prog='python -m assignment.handed_in', description=__doc__.split('\n')[0])
    parser.add_argument('place', type=Path, nargs='+', metavar='folder',
                        help='of a student, or a zip file, with graphs/<run>/ in it; or graphs/<run> itself')
    parser.add_argument('--json', action='store_true', help='print run -> what does not fit, a list')
    args = parser.parse_args(argv)
    runs = {}
    for place in (place.expanduser() for place in args.place):
        if not place.exists():
            raise UserError(f'{place}: no such folder')
        runs |= verify_place(place)
    if not runs:
        raise UserError(f'{args.place[0]}: no event files there, nor in graphs/<run>/ in it')
    if args.json:
        print(json.dumps(runs, ensure_ascii=False))
    else:
        for run, found in runs.items():
            print('\n'.join([f'{run}: ' + ('the curves fit the settings' if not found else f'{len(found)} to look at'),
                             *(f'  {errors.one_line(line)}' for line in found)]))
    return 1 if any(runs.values()) else 0


if __name__ == '__main__':
    sys.exit(main())
