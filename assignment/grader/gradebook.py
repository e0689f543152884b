"""Format the grades of one solution or of a class: text for people, CSV for spreadsheets, JSON for scripts.

The grades of one solution are {step: {item: problem}}, where a problem is a line of text, or None for a correct item.
The grades of a class are {name of the submission: grades of its solution}. If the submitted runs were verified too,
`runs` maps each name to a list of lines that say what is wrong with its run; the list is empty if nothing is.
"""

import csv
import io
import json
import unicodedata

from assignment.points import ITEMS, POINTS, STEPS

FORMULA_PREFIXES = '=', '+', '-', '@', '\t', '\r'  # A spreadsheet takes such cells for formulas.


def passed_steps(grades: dict[int, dict[str, str | None]]) -> list[int]:
    """Return the steps of one solution in which every item is correct."""
    return [step for step, items in grades.items() if not any(items.values())]


def points_earned(grades: dict[int, dict[str, str | None]]) -> float:
    """Return the points of one solution: the sum over its correct items."""
    return sum(ITEMS[item] for items in grades.values() for item, problem in items.items() if problem is None)


def first_problem(grades: dict[int, dict[str, str | None]], run=()) -> str:
    """Return the first problem of one solution as text, or '' if there is none.

    Args:
        grades: grades of one solution.
        run: lines that say what is wrong with its run; the first one counts if all items are correct.
    """
    problems = (f'step {step}, {item}: {problem}'
                for step, items in grades.items() for item, problem in items.items() if problem)
    return shared_problem(grades) or next(problems, f'run: {run[0]}' if run else '')


def shared_problem(grades: dict[int, dict[str, str | None]]) -> str | None:
    """Return the problem that all items of one solution share if it was not graded, else None.

    It is None if only one step was graded, because the items of one step can fail for the same reason.
    """
    problems = {problem for items in grades.values() for problem in items.values()}
    return problems.pop() if len(problems) == 1 and len(grades) > 1 else None


def report(grades: dict[int, dict[str, str | None]], run: list[str] | None = None) -> str:
    """Return the grades of one solution as text: a line for each item, or one for all, and a last line with the total.

    Args:
        grades: grades of one solution.
        run: lines that say what is wrong with its run, or None if the run was not verified.
    """
    shared = shared_problem(grades)
    lines = [shared] if shared else [
        f'step {step} ({STEPS[step]}) {item}: ' + ('passed' if problem is None else problem)
        for step, items in grades.items() for item, problem in items.items()]
    if run is not None:
        lines += [f'run: {line}' for line in run or ['the curves fit the settings']]
    return '\n'.join([*lines, f'{len(passed_steps(grades))} of {len(grades)} steps passed, '
                              f'{points_earned(grades)} of {points_possible(grades)} points'])


def points_possible(grades: dict[int, dict[str, str | None]]) -> float:
    """Return the maximum number of points in the steps that were graded."""
    return sum(points for step in grades for points in POINTS[step].values())


def table(grades: dict[str, dict], runs: dict[str, list[str]] | None = None) -> str:
    """Return the grades of a class as a table for a terminal, one line for each submission.

    Args:
        grades: grades of a class.
        runs: name -> lines that say what is wrong with the run; None if the runs were not verified.
    """
    width = max(map(_terminal_width, grades))
    columns = [*map(str, STEPS), *(['run'] if runs is not None else [])]
    lines = [' ' * width + '  ' + '  '.join(columns) + '  points  first problem']
    for name, steps in grades.items():
        run = [] if runs is None else [not runs[name]]
        marks = [f'{"✓" if right else "·":{len(column)}}'
                 for right, column in zip([*(step in passed_steps(steps) for step in STEPS), *run], columns)]
        problem = first_problem(steps, runs and runs[name])
        padding = ' ' * (width - _terminal_width(name))
        lines.append(f'{name}{padding}  {"  ".join(marks)}  {points_earned(steps):6g}  {problem}'.rstrip())
    return '\n'.join(lines)


def _terminal_width(name):
    """Return the number of terminal columns that a name takes; East Asian wide characters take two."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in 'WF' else 1 for c in name)


def to_csv(grades: dict[str, dict], runs: dict[str, list[str]] | None = None) -> str:
    """Return the grades of a class as CSV, one row for each submission.

    A row has the name, the points earned and possible, the points of each item (empty if it was not graded), the
    problems of the run if the runs were verified, and the first problem.

    Args:
        grades: grades of a class.
        runs: name -> lines that say what is wrong with the run; None if the runs were not verified.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator='\n')
    rows.writerow(['submission', 'points', 'of', *ITEMS, *([] if runs is None else ['run']), 'first problem'])
    for name, steps in grades.items():
        items = {item: problem for items in steps.values() for item, problem in items.items()}
        points = ['' if item not in items else 0 if items[item] else ITEMS[item] for item in ITEMS]
        run = [] if runs is None else ['; '.join(runs[name]) or 'fits']
        rows.writerow(map(_escape_formula, [name, points_earned(steps), points_possible(steps), *points, *run,
                                            first_problem(steps, runs and runs[name])]))
    return text.getvalue()


def _escape_formula(value):
    """Return a cell that no spreadsheet takes for a formula, because names and messages come from students."""
    return f"'{value}" if str(value).startswith(FORMULA_PREFIXES) else value


def to_json(grades: dict[str, dict], seed: int, runs: dict[str, list[str]] | None = None) -> str:
    """Return the grades of a class as JSON.

    Args:
        grades: grades of a class.
        seed: seed of the inputs, with which the grading can be repeated.
        runs: name -> lines that say what is wrong with the run; None if the runs were not verified.

    Returns:
        {"seed", "submissions": {name: {"points", "of", "steps": {step: {item: problem}}}}}. The problem of a correct
        item is null. If the runs were verified, each submission also has "run", a list of what is wrong with its run.
    """
    submissions = {name: {'points': points_earned(steps), 'of': points_possible(steps), 'steps': steps}
                   | ({} if runs is None else {'run': runs[name]}) for name, steps in grades.items()}
    return json.dumps({'seed': seed, 'submissions': submissions}, indent=1, ensure_ascii=False)
