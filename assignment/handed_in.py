"""Check that the curves of a submitted run fit its settings, and recompute its first losses.

    python -m assignment.handed_in ~/hw2

This reads the event files in graphs/<run>/, and the student's images if the run did not use the project's own. It runs
none of the student's code. `assignment.check --runs` does the same for a class.
"""

import dataclasses
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
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
RECOMPUTED_STEPS = 2  # number of logged iterations whose losses are recomputed
MAX_RECOMPUTED_STEP = 25  # the last iteration that may be recomputed, because each one takes as long as in the run
MAX_EVENT_BYTES = 200_000_000  # bytes of a run's event files
MAX_ZIP_BYTES = 1_000_000_000  # bytes of a student's zip file, unpacked
LOSS_TOLERANCE = {'float32': 0.01, 'bfloat16': 0.03}  # relative difference of a loss computed on two machines
SUM_TOLERANCE = {'float32': 1e-4, 'bfloat16': 0.02}  # relative difference of a total loss and the sum of its terms
NOT_RECOMPUTED = {'initial_img', 'mask', 'style_weights'}  # settings of runs whose losses are not recomputed
EVENT_FILE_GLOB = '*tfevents*'
COEFFICIENTS = {'content_coefficient': recipes.CONTENT_COEFFICIENTS, 'style_coefficient': recipes.STYLE_COEFFICIENTS}


def verify_run(run: Path) -> list[str]:
    """Return what is inconsistent in a run, one line per problem; an empty list if everything fits.

    Args:
        run: The folder of the run's event files, graphs/<run>. The student's own images are searched for in the folder
            that contains graphs/, and in content/ and styles/ there.
    """
    try:
        _check_files(run)
        events = report.read(run)
    except UserError as error:
        return [str(error)]
    except Exception as error:  # A malformed event file can raise any exception.
        return [f'{run}: cannot read the event files ({type(error).__name__}: {error})']
    issues = [*_curve_issues(events), *_graph_issues(events)]
    try:
        recipe = recipe_from_settings(events.settings)
    except UserError as error:
        return [*issues, str(error)]
    return [
        *issues,
        *_step_issues(events, recipe),
        *_sum_issues(events, recipe),
        *_first_loss_issues(run, events, recipe),
    ]


def _check_files(run):
    """Raise `UserError` for event files that are too large or that might never end, such as links to devices."""
    files = list(Path(run).glob(EVENT_FILE_GLOB))
    if irregular := [path for path in files if path.is_symlink() or not path.is_file()]:
        raise UserError(f'{irregular[0]}: is a link or not a regular file')
    if sum(path.stat().st_size for path in files) > MAX_EVENT_BYTES:
        raise UserError(f'{run}: the event files have more than {MAX_EVENT_BYTES / 1e6:.0f} MB')


def _curve_issues(events):
    """Check that the three losses exist, cover enough iterations, are finite, and that the total loss falls."""
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
        yield (f'the total loss does not fall: it is {totals[0]:.5g} at the first logged iteration '
               f'and {totals[-1]:.5g} at the last')


def _graph_issues(events):
    """Check that there are pictures, and that the graph has all name scopes of `diagram.SCOPES`."""
    if not events.pictures:
        yield 'no pictures in the event files'
    names, _ = diagram.group_ops(events.graph)
    tops = {name.partition('/')[0] for name in names}
    if missing := [scope for scope in diagram.SCOPES if scope not in tops]:
        yield f'the graph has no name scope {", ".join(missing)}'


def recipe_from_settings(settings: Mapping[str, str]) -> recipes.Recipe:
    """Rebuild the `Recipe` of a run from the settings that its event files store as text.

    Raises:
        UserError: A setting is missing or has an invalid value.
    """
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
        raise UserError(f'the event files lack the setting {error.args[0]}') from error
    except (ValueError, TypeError, UserError) as error:
        raise UserError(f'the settings in the event files are invalid: {error}') from error
    if settings.get('scales', '1') != '1' or settings.get('stages', '[]') != '[]':
        recipe = dataclasses.replace(recipe, stages=(recipes.Stage(),))  # It matters only that there are some.
    log_schedule = recipes.RECIPES[recipe.name].log_schedule if recipe.name in recipes.RECIPES else recipe.log_schedule
    return dataclasses.replace(recipe, log_schedule=log_schedule)


def _parse_value(default, text):
    """Convert a setting from text to the type of its default value."""
    if isinstance(default, str) or default is dataclasses.MISSING:
        return text
    return tuple(json.loads(text)) if isinstance(default, tuple) else type(default)(json.loads(text))


def _step_issues(events, recipe):
    """Check that all iterations that the recipe logs are there; a run may log more, such as the end of a session."""
    steps, _ = next(iter(events.curves.values()))
    missing = [
        step
        for step in range(1, min(steps[-1], recipes.MAX_ITERATIONS))
        if recipe.should_log(step) and step not in steps
    ]
    if missing and not recipe.stages:
        yield (f'iterations that the recipe {recipe.name} logs are missing: {len(missing)}, the first is {missing[0]}; '
               'event files were lost, or the steps were counted differently')


def _sum_issues(events, recipe):
    """Check that every total loss is the sum of its terms, weighted as in the settings."""
    weights = {'content_loss': recipe.content_weight, 'style_loss': recipe.style_weight, 'tv_loss': recipe.tv_weight}
    curves = {name: dict(zip(*points)) for name, points in events.curves.items()}
    needed = {name: weight for name, weight in weights.items() if weight}
    if not {'total_loss', *needed} <= set(curves) or recipe.stages:
        return
    tolerance = SUM_TOLERANCE.get(events.settings.get('precision'), SUM_TOLERANCE['float32'])
    for step, total in curves['total_loss'].items():
        expected = sum(weight * curves[name].get(step, np.nan) for name, weight in needed.items())
        if abs(total - expected) > tolerance * abs(expected):
            yield (f'total_loss of iteration {step} is {total:.5g}, but its terms, weighted as in the settings, '
                   f'add up to {expected:.5g}')
            return


def _first_loss_issues(run, events, recipe):
    """Check that the first logged losses are those that the project's code computes with these settings."""
    curves = {name: dict(zip(*points)) for name, points in events.curves.items() if name in report.LOSSES}
    steps = sorted(set.intersection(*map(set, curves.values())))[:RECOMPUTED_STEPS] if curves else []
    try:
        if not steps or steps[0] < 1 or steps[-1] > MAX_RECOMPUTED_STEP:
            raise UserError(f'the event files lack losses of the first {MAX_RECOMPUTED_STEP} iterations')
        recomputed = first_losses(events.settings, recipe, Path(run).absolute().parent.parent, steps)
    except UserError as error:
        yield f'the first losses were not recomputed: {error}'
        return
    tolerance = LOSS_TOLERANCE.get(events.settings.get('precision'), LOSS_TOLERANCE['float32'])
    for step in steps:
        for name, losses in curves.items():
            expected = float(recomputed[step][name])
            if not abs(losses[step] - expected) <= tolerance * abs(expected):
                yield (f'{name} of iteration {step} is {losses[step]:.5g}; these settings give {expected:.5g}'
                       + (f' (the ratio is {losses[step] / expected:.4g})' if expected else ''))


def first_losses(
    settings: Mapping[str, str], recipe: recipes.Recipe, folder: Path, steps: Sequence[int]
) -> dict[int, dict[str, float]]:
    """Compute the losses of some early iterations with the project's own code, in float32.

    Args:
        settings: The settings of the run, as text.
        recipe: The run's recipe, from `recipe_from_settings`.
        folder: The student's folder, which is searched for images that the project does not ship.
        steps: The iterations, counted from 1, in increasing order.

    Returns:
        For each iteration a dict from the name of a loss to its value.

    Raises:
        UserError: Images or weights were not found, or the run uses settings that cannot be recomputed.
    """
    if recipe.stages or (special := NOT_RECOMPUTED & set(settings)):
        raise UserError('the run uses more than one scale' if recipe.stages else
                        f'the run uses {", ".join(sorted(special))}')
    width, height, seed = (_number(settings, name, *limits) for name, limits in (
        ('width', utils.SIDE_RANGE_PX), ('height', utils.SIDE_RANGE_PX), ('seed', (0, 2**31 - 1))))
    places = [place for root in (paths.ROOT, folder) for place in (root, root / 'content', root / 'styles')]
    images = [path for place in places if place.is_dir() for path in sorted(place.iterdir())]
    content, style, vgg = (_find_file(settings.get(name, ''), name, candidates) for name, candidates in (
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
    """Return the setting `name` as an int; raise `UserError` unless it is a whole number from `low` to `high`."""
    text = settings.get(name, '')
    if not (text.isdecimal() and len(text) < 12 and low <= int(text) <= high):
        raise UserError(f'the setting {name} is {text!r}; it must be a whole number from {low} to {high}')
    return int(text)


def _find_file(digits, name, candidates):
    """Return the candidate whose SHA-256 begins with 8 hexadecimal digits; raise `UserError` if there is none."""
    for path in candidates:
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= MAX_EVENT_BYTES:
            if len(digits) == 8 and files.file_hash(path).startswith(digits):
                return path
    raise UserError(f'{name}: no file was found whose SHA-256 begins with {digits}')


def find_runs(folder: Path) -> list[Path]:
    """Return the folders with event files that a student handed in, sorted.

    Runs are searched for in `folder`, its subfolders, graphs/<run>/, and graphs/<run>/ of its subfolders. Links that
    lead out of `folder` do not count, because their targets were not handed in.
    """
    files = [
        path
        for pattern in ('', '*/', 'graphs/*/', '*/graphs/*/')
        for path in Path(folder).glob(pattern + EVENT_FILE_GLOB)
    ]
    root = Path(folder).resolve()
    return sorted({path.parent for path in files if path.parent.resolve().is_relative_to(root)})


def verify_place(place: Path) -> dict[str, list[str]]:
    """Verify each run in a student's folder or zip file.

    If a folder has no runs, those in its zip files are verified.

    Returns:
        For the path of each run, as text, the result of `verify_run`.

    Raises:
        UserError: A zip file cannot be read or is too large.
    """
    if place.is_dir():
        runs = {str(run): verify_run(run) for run in find_runs(place)}
        return runs or {run: issues for path in sorted(place.glob('*.zip'))
                        for run, issues in verify_place(path).items()}
    with tempfile.TemporaryDirectory(prefix='handed-in-') as folder:
        try:
            submissions.unpack(place, Path(folder), MAX_ZIP_BYTES)
        except submissions.READ_ERRORS as error:
            raise UserError(f'{place}: cannot be read as a zip file ({error})') from error
        return {run.replace(folder, str(place)): [line.replace(folder, str(place)) for line in issues]
                for run, issues in verify_place(Path(folder)).items()}


@errors.command_line
def main(argv: Sequence[str] | None = None) -> int:
    """Verify the runs in the places that the command line names; return 0 if everything fits, else 1."""
    parser = cli.Parser(prog='python -m assignment.handed_in', description=__doc__.split('\n')[0])
    parser.add_argument('place', type=Path, nargs='+', metavar='folder',
                        help='the folder or zip file of a student that contains graphs/<run>/, or graphs/<run> itself')
    parser.add_argument('--json', action='store_true', help='print JSON: run -> list of what does not fit')
    args = parser.parse_args(argv)
    runs = {}
    for place in (place.expanduser() for place in args.place):
        if not place.exists():
            raise UserError(f'{place}: no such file or folder')
        runs |= verify_place(place)
    if not runs:
        raise UserError(f'{args.place[0]}: no event files there or in graphs/<run>/ below it')
    if args.json:
        print(json.dumps(runs, ensure_ascii=False))
    else:
        for run, issues in runs.items():
            print('\n'.join([f'{run}: ' + ('the curves fit the settings' if not issues
                                           else f'issues found: {len(issues)}'),
                             *(f'  {errors.one_line(line)}' for line in issues)]))
    return 1 if any(runs.values()) else 0


if __name__ == '__main__':
    sys.exit(main())
