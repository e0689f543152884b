"""Grade what Gradescope has received; `make_autograder` puts this into its archive.

    python -m assignment.gradescope /autograder

reads submission/ there and writes results/results.json, in the fields that Gradescope documents.
"""

import json
import secrets
import sys
import time
import traceback
from pathlib import Path

from common import process

if __name__ == '__main__':
    process.while_loading()  # before the imports that take seconds

from assignment import check, points
from assignment.grader import gradebook, submissions
from assignment.points import POINTS, STEPS
from common import cli, errors, files


def results(grades, seed, seconds):
    """The content of results.json for one solution's grades, of the inputs of a seed, that took so many seconds."""
    tests = [{
        'name': f'step {step} ({STEPS[step]}) {item}', 'number': f'{step}.{number}',
        'score': 0 if wrong else points.ITEMS[item], 'max_score': points.ITEMS[item],
        'status': 'failed' if wrong else 'passed', 'output': wrong or 'passed', 'output_format': 'text',
        'visibility': 'visible', 'tags': [f'step {step}', STEPS[step]],
    } for step, items in grades.items() for number, (item, wrong) in enumerate(items.items(), start=1)]
    return results_json(
        f'{gradebook.report(grades).splitlines()[-1]}\nthe same inputs again: --seed {seed}', tests, seconds
    )


def results_json(output, tests, seconds):
    """The content of results.json: what is said of all, and the tests."""
    return {'score': sum(test['score'] for test in tests), 'execution_time': round(seconds, 1), 'output': output,
            'output_format': 'text', 'visibility': 'visible', 'tests': tests}


@errors.command_line
def main(argv=None):
    """Grade the submission below the folder that the command line names; return 0, also where it is wrong."""
    parser = cli.Parser(prog='python -m assignment.gradescope', description=__doc__.split('\n')[0])
    parser.add_argument('folder', type=Path, help='that has submission/; results/results.json is written')
    parser.add_argument('--seconds', type=cli.int_in_range(1, 3600), default=check.ITEM_SECONDS, metavar='S',
                        help='of processor time that an item may take (default: %(default)s)')
    args = parser.parse_args(argv)
    began, seed = time.monotonic(), secrets.randbits(32)
    try:
        solution = submissions.read('submission', [args.folder / 'submission'])
        content = results(check.grade(solution, seed, args.seconds), seed, time.monotonic() - began)
    except Exception as error:  # what the course has to mend: the student is told so
        traceback.print_exc()
        grades = {step: dict.fromkeys(items, 'not graded: the grader failed') for step, items in POINTS.items()}
        content = results(grades, seed, time.monotonic() - began)
        content['output'] = f'The grader failed, tell your teacher: {errors.one_line(str(error))}'
    with files.atomic_write(args.folder / 'results' / 'results.json') as part:
        part.write_text(json.dumps(content, indent=1), encoding='utf-8')


if __name__ == '__main__':
    sys.exit(main())
