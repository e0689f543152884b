"""A class's grades as a table to read, as CSV for a spreadsheet, as JSON for scripts."""

import csv
import io
import json
import unicodedata

from assignment.points import ITEMS, POINTS, STEPS

FORMULA = '=', '+', '-', '@', '\t', '\r'  # what a spreadsheet would compute


def passed(grades):
    """Steps that have no item wrong."""
    return [step for step, items in grades.items() if not any(items.values())]


def points(grades):
    """What a solution gets: the points of its items that are right."""
    return sum(ITEMS[item] for items in grades.values() for item, wrong in items.items() if wrong is None)


def first_wrong(grades):
    """The first thing to mend, as text; '' where all is right."""
    said = {wrong for items in grades.values() for wrong in items.values()}
    if len(said) == 1 and len(grades) > 1:  # of all alike: it was not graded
        return said.pop() or ''
    return next((f'step {step}, {item}: {wrong}' for step, items in grades.items()
                 for item, wrong in items.items() if wrong), '')


def report(grades):
    """One solution's grades as text."""
    lines = []
    for step, items in grades.items():
        for item, wrong in items.items():
            lines.append(f'step {step} ({STEPS[step]}) {item}: ' + ('passed' if wrong is None else wrong))
    return '\n'.join([*lines, f'{len(passed(grades))} of {len(grades)} steps passed, '
                              f'{points(grades)} of {most(grades)} points'])


def most(grades):
    """What a solution could get in the steps that were graded."""
    return sum(points for step in grades for points in POINTS[step].values())


def table(grades):
    """The grades of a class, name -> grades, as text: a line a submission."""
    width = max(map(_width, grades))
    lines = [' ' * width + '  ' + '  '.join(f'{step}' for step in STEPS) + '  points  first thing to mend']
    for name, of_one in grades.items():
        marks = '  '.join('✓' if step in passed(of_one) else '·' for step in STEPS)
        lines.append(f'{name}{"":{width - _width(name)}}  {marks}  {points(of_one):6g}  {first_wrong(of_one)}'.rstrip())
    return '\n'.join(lines)


def _width(name):
    """How many columns of a terminal a name takes."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in 'WF' else 1 for c in name)


def as_csv(grades):
    """The grades of a class as CSV: a row a submission, its points, those of each item, the first thing to mend."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator='\n')
    rows.writerow(['submission', 'points', 'of', *ITEMS, 'first thing to mend'])
    for name, of_one in grades.items():
        items = {item: wrong for items in of_one.values() for item, wrong in items.items()}
        got = ['' if item not in items else 0 if items[item] else ITEMS[item] for item in ITEMS]
        rows.writerow(map(_cell, [name, points(of_one), most(of_one), *got, first_wrong(of_one)]))
    return text.getvalue()


def _cell(value):
    """Text that a spreadsheet shows and does not compute: names and messages are the students'."""
    return f"'{value}" if str(value).startswith(FORMULA) else value


def as_json(grades, seed):
    """The grades of a class as JSON: {"seed", "submissions": {name: {"points", "of", "steps": {step: {item: …}}}}}.

    An item is null where it is right, else what is wrong.
    """
    of_all = {name: {'points': points(of_one), 'of': most(of_one), 'steps': of_one} for name, of_one in grades.items()}
    return json.dumps({'seed': seed, 'submissions': of_all}, indent=1, ensure_ascii=False)
