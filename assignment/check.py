"""Grade a student's solution step by step, or all solutions of a class.

    python -m assignment.check ~/hw2
    python -m assignment.check class/ --csv grades.csv --json grades.json
    python -m assignment.check submissions.zip --seed 7

The grader uses only style_transfer.py and load_vgg.py of a submission; everything else is the project's own code. Each
item runs separately, in a sandboxed process with limits, and this process judges the numbers that it returns. With
--runs, the submitted training runs are checked as well.
"""

import concurrent.futures
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from common import process

if __name__ == '__main__':
    process.while_loading()  # before the imports that take seconds

import tqdm

from assignment import points, regions
from assignment.grader import gradebook, processes, submissions, verdicts
from common import cli, errors, files, paths
from engine.run import memory

ITEM_SECONDS = 10  # seconds of processor time per item, a dozen times what the real solution takes
MAX_MESSAGE_CHARACTERS = 400  # characters of the message about an item
RUN_SECONDS = 600  # seconds for checking the runs of one submission, some twenty times what one run takes
BYTES_PER_JOB, BASE_BYTES = 350e6, 100e6  # bytes of memory per job, and once for all jobs together
ERROR_HINTS = {  # kind of error: (text in its message, what to do)
    'RuntimeError': (('finalized', 'an op is added while training: create every op in build, before the loop'),
                     ('maximum recursion', 'a method calls itself without end')),
    'FailedPreconditionError': (('', 'a variable has no value yet: run self.init before it is used'),),
    'ValueError': (('EncodeJpeg', 'the picture must be [H, W, 3]: leave the batch axis out'),),
    'SystemExit': (('', 'the code ends the program: remove sys.exit and exit'),),
    'PermissionError': (('', 'the code may write only in its own folder and may not start programs'),),
    'MemoryError': (('', 'the item is tested on a few hundred numbers, which need little memory'),),
}


def parse(output: bytes) -> dict:
    """Parse the output of a process that ran a student's code, which may be arbitrary bytes.

    Returns:
        {'values': dict} for results, {'error': message, 'kind': name of its type} for an exception, or {} for anything
        else.
    """
    try:
        answer = json.loads(output)
    except (ValueError, RecursionError, MemoryError):
        return {}
    if isinstance(answer, dict) and isinstance(answer.get('values'), dict):
        return {'values': answer['values']}
    if isinstance(answer, dict) and all(isinstance(answer.get(key), str) for key in ('error', 'kind')):
        return {'error': answer['error'], 'kind': answer['kind']}
    return {}


def grade_item(item: str, answer: dict, ended: str | None, inputs: dict) -> str | None:
    """Return what is wrong with one item, in one line, or None if it is right.

    Only the values that the student's code computed can make an item right.

    Args:
        item: The name of the item, a key of `points.ITEMS`.
        answer: The result of `parse`.
        ended: A message that says what ended the student's process early, or None.
        inputs: The inputs that the item was run on, from `verdicts.draw_inputs`.
    """
    problem = _find_problem(item, answer, ended, inputs)
    # Part of the message comes from the student, so it may hold characters that no encoding can represent.
    return problem and errors.one_line(problem.encode('utf-8', 'replace').decode())[:MAX_MESSAGE_CHARACTERS]


def _find_problem(item, answer, ended, inputs):
    """Return the message of `grade_item` before it is cleaned and shortened."""
    if 'values' in answer:
        try:
            return verdicts.judge(item, answer['values'], inputs)
        except Exception as error:  # The student's code may return values of any shape and type.
            return f'the result cannot be compared ({type(error).__name__}: {error})'
    if 'error' not in answer:
        return ended or 'there is no answer: the code ended the program, or its answer is too large'
    error, kind = answer['error'], answer['kind']
    if kind == 'NotImplementedError':
        return f'still to do: {error.split(": ", 2)[-1]}'
    hint = next((hint for text, hint in ERROR_HINTS.get(kind, ()) if text in error), None)
    return f'{error}: {hint}' if hint else error or f'{kind} without a message'


def version_problem(files: Mapping[str, bytes]) -> str | None:
    """Return a message if the files come from another starter version than this grader's, else None.

    Args:
        files: The contents of the student's files by file name.
    """
    for name, content in files.items():
        text = content[:200].decode('utf-8-sig', 'replace').replace('\r', '\n')
        mark = regions.VERSION_LINE.match(text)
        if mark and int(mark[1]) != regions.VERSION:
            return (f'not graded: {name} was made from starter version {mark[1]}, '
                    f'but this grader expects version {regions.VERSION}; '
                    'grade it with the project version that made the starter, or move the code into a new starter')


def grade(
    submission: submissions.Submission,
    seed: int,
    seconds: int = ITEM_SECONDS,
    steps: Sequence[int] = tuple(points.POINTS),
) -> dict[int, dict[str, str | None]]:
    """Grade a `Submission`.

    Args:
        submission: The student's code.
        seed: The seed of the inputs that the items run on.
        seconds: The processor time that an item may take.
        steps: The steps to grade.

    Returns:
        For each step a dict from item to None if it is right, else to what is wrong, in one line.
    """
    if problem := submission.problem or version_problem(submission.files):
        return {step: dict.fromkeys(points.POINTS[step], problem) for step in steps}
    tried = {}  # One run, that of 'train', serves several items.
    grades = {}
    with processes.prober() as prober:
        for step in steps:
            for item in points.POINTS[step]:
                trial = points.run_item(item)
                if trial not in tried:
                    inputs = verdicts.draw_inputs(trial, seed)
                    output, ended = prober.ask(trial, inputs, submission.files, seconds)
                    tried[trial] = parse(output), ended, inputs
                grades.setdefault(step, {})[item] = grade_item(item, *tried[trial])
    return grades


def check_step(
    folder: Path | str, step: int, seconds: int = ITEM_SECONDS, seed: int | None = None
) -> dict[str, str | None]:
    """Grade one step of the solution in a folder.

    Args:
        folder: The student's folder.
        step: The step, 1 to 5.
        seconds: The processor time that an item may take.
        seed: The seed of the inputs; None draws a random one.

    Returns:
        A dict from item to None if it is right, else to what is wrong.
    """
    submission = submissions.read(Path(folder).name, [Path(folder)])
    return grade(submission, _seed(seed), seconds, [step])[step]


def check(
    folders: Sequence[Path | str], seconds: int = ITEM_SECONDS, jobs: int | None = None, seed: int | None = None
) -> list[dict[int, dict[str, str | None]]]:
    """Grade the solutions in several folders in parallel.

    Args:
        folders: One folder per student.
        seconds: The processor time that an item may take.
        jobs: How many solutions to grade at a time; None uses `max_jobs`.
        seed: The seed of the inputs; None draws a random one.

    Returns:
        The result of `grade` for each folder.
    """
    solutions = [submissions.read(Path(folder).name, [Path(folder)]) for folder in folders]
    return grade_all(solutions, _seed(seed), seconds, jobs)


def grade_all(
    solutions: Sequence[submissions.Submission], seed: int, seconds: int = ITEM_SECONDS, jobs: int | None = None
) -> list[dict[int, dict[str, str | None]]]:
    """Grade several `Submission`s in parallel and show a progress bar; return a list of `grade`'s results.

    Args:
        solutions: The submissions, at least one.
        seed: The seed of the inputs, the same for all.
        seconds: The processor time that an item may take.
        jobs: How many solutions to grade at a time; None uses `max_jobs`.
    """
    pool = concurrent.futures.ThreadPoolExecutor(min(jobs or max_jobs(), len(solutions)))
    try:
        grades = pool.map(lambda solution: grade(solution, seed, seconds), solutions)
        return list(tqdm.tqdm(grades, total=len(solutions), disable=None if len(solutions) > 1 else True))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        processes.close()  # Threads that wait for a process end with it.
        raise
    finally:
        pool.shutdown()


def verify_runs(submission: submissions.Submission) -> list[str]:
    """Check the training runs of a `Submission` and return the problems of the run that has the fewest.

    `assignment.handed_in` reads the runs in a separate process, because that takes 1.8 GB and event files from students
    may be malformed.

    Returns:
        One line per problem; an empty list if everything is consistent.
    """
    places = [str(entry.resolve()) for entry in submission.entries if entry.is_dir() or zipfile.is_zipfile(entry)]
    if not places:
        return ['no event files: neither a folder nor a zip file was handed in']
    try:
        done = subprocess.run([sys.executable, '-m', 'assignment.handed_in', '--json', *places], cwd=paths.ROOT,
                              capture_output=True, timeout=RUN_SECONDS)
        return min(json.loads(done.stdout).values(), key=len)
    except subprocess.TimeoutExpired:
        return [f'reading its event files took longer than {RUN_SECONDS} s']
    except ValueError:
        last = done.stderr.decode(errors='replace').strip().splitlines()[-1:]
        return [errors.one_line(''.join(last).removeprefix('error: '))
                or 'reading its event files failed without a message']


def max_jobs() -> int:
    """Return how many solutions to grade at a time: one per available core, as far as the free memory allows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return max(1, min(cores, int((memory.free_memory() - BASE_BYTES) / BYTES_PER_JOB)))


def _seed(seed):
    """Return the seed, or a random one if it is None."""
    return secrets.randbits(32) if seed is None else seed


@contextlib.contextmanager
def _clean_exit_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does inside the block: its processes end and its temporary files go."""
    def end(number, frame):
        raise SystemExit(128 + number)
    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _output_grades(grades, runs, seed, as_csv, as_json):
    """Print the grades and write them to the CSV and JSON paths that are not None.

    The path - prints that format to standard output, in place of the table.
    """
    if Path('-') not in (as_csv, as_json):
        print(gradebook.table(grades, runs) if len(grades) > 1 else
              gradebook.report(*grades.values(), *(runs or {}).values()))
        print(f'to grade with the same inputs again: --seed {seed}')
    for path, text, encoding in ((as_csv, gradebook.to_csv(grades, runs), 'utf-8-sig'),  # Excel needs the BOM.
                                 (as_json, gradebook.to_json(grades, seed, runs), 'utf-8')):
        if path == Path('-'):
            print(text)
        elif path:
            with files.atomic_write(path) as part:
                part.write_text(text, encoding=encoding)


@errors.command_line
def main(argv: Sequence[str] | None = None) -> int:
    """Grade the submissions that the command line names; return 0 if everything is right, else 1."""
    parser = cli.Parser(prog='python -m assignment.check', description=__doc__.split('\n')[0])
    parser.add_argument('submissions', type=Path,
                        help='the folder, zip file or notebook of one student, or the folder or zip file of a class')
    parser.add_argument('--csv', type=Path, metavar='FILE',
                        help='write the points as CSV, one row per submission; - prints them')
    parser.add_argument('--json', type=Path, metavar='FILE',
                        help='write the grades as JSON, submission -> step -> item -> null or what is wrong; '
                             '- prints them')
    parser.add_argument('--runs', action='store_true', help='also check that the curves of the submitted runs fit '
                        'their settings, one run after the other: about 20 s and 1.8 GB each')
    parser.add_argument('--seed', type=cli.int_in_range(0, 2 ** 32 - 1), metavar='N',
                        help='seed of the inputs, to repeat a verdict (default: random)')
    parser.add_argument('--seconds', type=cli.int_in_range(1, 3600), default=ITEM_SECONDS, metavar='S',
                        help='processor time in seconds that an item may take (default: %(default)s)')
    parser.add_argument('--jobs', type=cli.int_in_range(1, 256), default=max_jobs(), metavar='N',
                        help='number of submissions to grade at a time (default: %(default)s, from the available cores '
                             'and free memory)')
    args = parser.parse_args(argv)
    if args.csv and args.csv == args.json:
        parser.error(f'--csv and --json are both {args.csv}')
    seed = _seed(args.seed)
    with _clean_exit_on_sigterm(), tempfile.TemporaryDirectory(prefix='check-') as unpacked:
        solutions = submissions.find_submissions(args.submissions, Path(unpacked))
        grades = dict(zip((solution.name for solution in solutions),
                          grade_all(solutions, seed, args.seconds, args.jobs)))
        runs = {solution.name: verify_runs(solution) for solution in solutions} if args.runs else None
    _output_grades(grades, runs, seed, args.csv, args.json)
    if len(grades) > 1 and (lacking := processes.missing_protection()):
        print(f'note: without {lacking} a submission can read and write the files that you can: '
              'grade submissions that you do not trust in a container', file=sys.stderr)
    right = all(len(gradebook.passed_steps(student_grades)) == len(student_grades)
                for student_grades in grades.values())
    return 0 if right and not any((runs or {}).values()) else 1


if __name__ == '__main__':
    sys.exit(main())
