"""Grade a submission inside Gradescope's container; `make_autograder` puts this program into its archive.

    python -m assignment.gradescope /autograder

This reads /autograder/submission/ and writes /autograder/results/results.json with the fields that Gradescope
documents.
"""

import json
import secrets
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from common import process

if __name__ == '__main__':
    process.while_loading()  # before the imports that take seconds

from assignment import check, points
from assignment.grader import gradebook, submissions
from assignment.points import POINTS, STEPS
from common import cli, errors, files


def results(grades: Mapping[int, Mapping[str, str | None]], seed: int, seconds: float) -> dict:
    """Return the content of results.json for one graded solution.

    Args:
        grades: The result of `check.grade`.
        seed: The seed of the inputs, which the output shows to the student.
        seconds: The time that grading took.
    """
    tests = [{
        'name': f'step {step} ({STEPS[step]}) {item}', 'number': f'{step}.{number}',
        'score': 0 if wrong else points.ITEMS[item], 'max_score': points.ITEMS[item],
        'status': 'failed' if wrong else 'passed', 'output': wrong or 'passed', 'output_format': 'text',
        'visibility': 'visible', 'tags': [f'step {step}', STEPS[step]],
    } for step, items in grades.items() for number, (item, wrong) in enumerate(items.items(), start=1)]
    return results_json(
        f'{gradebook.report(grades).splitlines()[-1]}\nto grade with the same inputs again: --seed {seed}', tests,
        seconds
    )


def results_json(output: str, tests: list[dict], seconds: float) -> dict:
    """Return the content of results.json.

    Args:
        output: The text about the submission as a whole.
        tests: One dict per item, with Gradescope's fields.
        seconds: The time that grading took.
    """
    return {'score': sum(test['score'] for test in tests), 'execution_time': round(seconds, 1), 'output': output,
            'output_format': 'text', 'visibility': 'visible', 'tests': tests}


@errors.command_line
def main(argv: Sequence[str] | None = None) -> None:
    """Grade the submission in the folder that the command line names.

    The exit status is 0 even if the solution is wrong or the grader fails, because Gradescope reads only results.json.
    """
    parser = cli.Parser(prog='python -m assignment.gradescope', description=__doc__.split('\n')[0])
    parser.add_argument('folder', type=Path,
                        help='the folder that contains submission/; results/results.json is written there')
    parser.add_argument('--seconds', type=cli.int_in_range(1, 3600), default=check.ITEM_SECONDS, metavar='S',
                        help='processor time in seconds that an item may take (default: %(default)s)')
    args = parser.parse_args(argv)
    began, seed = time.monotonic(), secrets.randbits(32)
    try:
        solution = submissions.read('submission', [args.folder / 'submission'])
        content = results(check.grade(solution, seed, args.seconds), seed, time.monotonic() - began)
    except Exception as error:  # Only the teacher can fix this, so the message asks the student to report it.
        traceback.print_exc()
        grades = {step: dict.fromkeys(items, 'not graded: the grader failed') for step, items in POINTS.items()}
        content = results(grades, seed, time.monotonic() - began)
        content['output'] = f'The grader failed; tell your teacher: {errors.one_line(str(error))}'
    with files.atomic_write(args.folder / 'results' / 'results.json') as part:
        part.write_text(json.dumps(content, indent=1), encoding='utf-8')


if __name__ == '__main__':
    sys.exit(main())
