"""A class's grades as a table to read, as CSV for a spreadsheet, as JSON for scripts.

Where the runs that were handed in were read too, `runs` has what does not fit in them: name -> lines.
"""

import csv
import io
import json
import unicodedata

from assignment.points import ITEMS, POINTS, STEPS

FORMULA_PREFIXES = '=', '+', '-', '@', '\t', '\r'  # what a spreadsheet would compute


def passed_steps(grades):
    """Steps that have no item wrong."""
    return [step for step, items in grades.items() if not any(items.values())]


def points_earned(grades):
    """What a solution gets: the points of its items that are right."""
    return sum(ITEMS[item] for items in grades.values() for item, problem in items.items() if problem is None)


def first_problem(grades, run=()):
    """The first thing to mend, as text; '' where all is right. run: what does not fit in the run, lines."""
    said = {problem for items in grades.values() for problem in items.values()}
    if len(said) == 1 and len(grades) > 1 and None not in said:  # of all alike: it was not graded
        return said.pop()
    return next((f'step {step}, {item}: {problem}' for step, items in grades.items()
                 for item, problem in items.items() if problem), f'run: {run[0]}' if run else '')


def report(grades, run=None):
    """One solution's grades as text; run: what does not fit in its run, lines, or None."""
    lines = []
    for step, items in grades.items():
        for item, problem in items.items():
            lines.append(f'step {step} ({STEPS[step]}) {item}: ' + ('passed' if problem is None else problem))
    if run is not None:
        lines += [f'run: {line}' for line in run or ['the curves fit the settings']]
    return '\n'.join([*lines, f'{len(passed_steps(grades))} of {len(grades)} steps passed, '
                              f'{points_earned(grades)} of {points_possible(grades)} points'])


def points_possible(grades):
    """What a solution could get in the steps that were graded."""
    return sum(points for step in grades for points in POINTS[step].values())


def table(grades, runs=None):
    """The grades of a class, name -> grades, as text: a line a submission."""
    width = max(map(_terminal_width, grades))
    columns = [*map(str, STEPS), *(['run'] if runs is not None else [])]
    lines = [' ' * width + '  ' + '  '.join(columns) + '  points  first thing to mend']
    for name, of_one in grades.items():
        run = [] if runs is None else [not runs[name]]
        marks = [f'{"✓" if right else "·":{len(column)}}'
                 for right, column in zip([*(step in passed_steps(of_one) for step in STEPS), *run], columns)]
        mend = first_problem(of_one, runs and runs[name])
        padding = ' ' * (width - _terminal_width(name))
        lines.append(f'{name}{padding}  {"  ".join(marks)}  {points_earned(of_one):6g}  {mend}'.rstrip())
    return '\n'.join(lines)


def _terminal_width(name):
    """How many columns of a terminal a name takes."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in 'WF' else 1 for c in name)


def to_csv(grades, runs=None):
    """The grades of a class as CSV: a row a submission, its points, those of each item, the first thing to mend."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator='\n')
    rows.writerow(['submission', 'points', 'of', *ITEMS, *([] if runs is None else ['run']), 'first thing to mend'])
    for name, of_one in grades.items():
        items = {item: problem for items in of_one.values() for item, problem in items.items()}
        got = ['' if item not in items else 0 if items[item] else ITEMS[item] for item in ITEMS]
        run = [] if runs is None else ['; '.join(runs[name]) or 'fits']
        rows.writerow(map(_cell, [name, points_earned(of_one), points_possible(of_one), *got, *run,
                                  first_problem(of_one, runs and runs[name])]))
    return text.getvalue()


def _cell(value):
    """Text that a spreadsheet shows and does not compute: names and messages are the students'."""
    return f"'{value}" if str(value).startswith(FORMULA_PREFIXES) else value


def to_json(grades, seed, runs=None):
    """The grades of a class as JSON: {"seed", "submissions": {name: {"points", "of", "steps": {step: {item: …}}}}}.

    An item is null where it is right, else what is wrong; where runs were read, "run" is a list of what does not fit.
    """
    of_all = {name: {'points': points_earned(of_one), 'of': points_possible(of_one), 'steps': of_one}
              | ({} if runs is None else {'run': runs[name]}) for name, of_one in grades.items()}
    return json.dumps({'seed': seed, 'submissions': of_all}, indent=1, ensure_ascii=False)
