"""Grade a student's solution step by step, or a class's solutions.

    python -m assignment.check ~/hw2
    python -m assignment.check class/ --csv grades.csv --json grades.json
    python -m assignment.check submissions.zip --seed 7

Of a solution only style_transfer.py and load_vgg.py count; everything else is the project's own. Every item runs apart,
in a process with limits, and is judged here, by numbers. With --runs the runs that were handed in are read as well.
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
from pathlib import Path

from common import process

if __name__ == '__main__':
    process.while_loading()  # before the imports that take seconds

import tqdm

from assignment import make_starter, points, regions
from assignment.grader import gradebook, processes, submissions, verdicts
from common import cli, errors, files, paths
from engine.run import memory

ITEM_SECONDS = 10  # of processor time an item may take, a dozen times what the real solution takes
MAX_MESSAGE_CHARACTERS = 400  # characters of what is wrong with an item
RUN_SECONDS = 600  # that reading the runs of a submission may take, some twenty times what one takes
BYTES_PER_JOB, BASE_BYTES = 350e6, 100e6  # bytes of memory that a job takes, and all of them together
ERROR_HINTS = {  # kind of error: (text in it, what to do)
    'RuntimeError': (('finalized', 'an op is added while training: build every op before the loop, in build'),
                     ('maximum recursion', 'a method calls itself')),
    'FailedPreconditionError': (('', 'a variable has no value yet: run self.init before it is used'),),
    'ValueError': (('EncodeJpeg', 'the picture is [H, W, 3]: leave the batch axis out'),),
    'SystemExit': (('', 'the code ends the program: leave sys.exit and exit out'),),
    'PermissionError': (('', 'the code may write in its own folder alone, and starts no programs'),),
    'MemoryError': (('', 'the item is tried on a few hundred numbers, which need no such memory'),),
}


def parse(output):
    """What a process of a student's code wrote, as a dict of 'values', a dict, or of 'error' and 'kind', texts; or {}.

    came: bytes, of whatever kind
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


def grade_item(item, answer, ended, inputs):
    """What is wrong with one item, one line; None if it is right, which only its values can show.

    answer: from `parse`; ended: what ended the code, or None; given: the inputs
    """
    problem = _problem_of(item, answer, ended, inputs)  # of whatever letters, in part the student's
    return problem and errors.one_line(problem.encode('utf-8', 'replace').decode())[:MAX_MESSAGE_CHARACTERS]


def _problem_of(item, answer, ended, inputs):
    if 'values' in answer:
        try:
            return verdicts.judge(item, answer['values'], inputs)
        except Exception as error:  # values of any kind may come
            return f'what came cannot be compared ({type(error).__name__}: {error})'
    if 'error' not in answer:
        return ended or 'there is no answer: the code has ended the program, or its answer is too large'
    error, kind = answer['error'], answer['kind']
    if kind == 'NotImplementedError':
        return f'still to do: {error.split(": ", 2)[-1]}'
    hint = next((hint for text, hint in ERROR_HINTS.get(kind, ()) if text in error), None)
    return f'{error}: {hint}' if hint else error or f'{kind} without a word'


def version_problem(files):
    """What to do about files of a starter that this grader does not know, as text; None where there are none."""
    for name, content in files.items():
        text = content[:200].decode('utf-8-sig', 'replace').replace('\r', '\n')
        mark = make_starter.VERSION_LINE.match(text)
        if mark and int(mark[1]) != regions.VERSION:
            return (f'not graded: {name} is of starter version {mark[1]}, '
                    f'this grader of version {regions.VERSION}; '
                    'grade it with the project as it was then, or move the code into a new starter')


def grade(submission, seed, seconds=ITEM_SECONDS, steps=tuple(points.POINTS)):
    """Grade a `Submission`: {step: {item: None if right, else what is wrong}}."""
    if problem := submission.problem or version_problem(submission.files):
        return {step: dict.fromkeys(points.POINTS[step], problem) for step in steps}
    tried = {}  # those of a step show several items
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


def check_step(folder, step, seconds=ITEM_SECONDS, seed=None):
    """Grade one step of the solution in a folder: {item: None if right, else what is wrong}."""
    submission = submissions.read(Path(folder).name, [Path(folder)])
    return grade(submission, _seed(seed), seconds, [step])[step]


def check(folders, seconds=ITEM_SECONDS, jobs=None, seed=None):
    """Grade the solutions in folders, so many at a time: a list of what `grade` gives."""
    solutions = [submissions.read(Path(folder).name, [Path(folder)]) for folder in folders]
    return grade_all(solutions, _seed(seed), seconds, jobs)


def grade_all(solutions, seed, seconds=ITEM_SECONDS, jobs=None):
    """Grade `Submission`s, so many at a time: a list of what `grade` gives."""
    pool = concurrent.futures.ThreadPoolExecutor(min(jobs or max_jobs(), len(solutions)))
    try:
        grades = pool.map(lambda solution: grade(solution, seed, seconds), solutions)
        return list(tqdm.tqdm(grades, total=len(solutions), disable=None if len(solutions) > 1 else True))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        processes.close()  # those at work end with their processes
        raise
    finally:
        pool.shutdown()


def verify_runs(submission):
    """What does not fit in the run of a `Submission`, lines; none where all does. Of several the one that fits best.

    A process of its own reads it, by `assignment.handed_in`: that takes 1.8 GB, and event files may be of any kind.
    """
    places = [str(entry.resolve()) for entry in submission.entries if entry.is_dir() or zipfile.is_zipfile(entry)]
    if not places:
        return ['no event files: neither a folder nor a zip file was handed in']
    try:
        done = subprocess.run([sys.executable, '-m', 'assignment.handed_in', '--json', *places], cwd=paths.ROOT,
                              capture_output=True, timeout=RUN_SECONDS)
        return min(json.loads(done.stdout).values(), key=len)
    except subprocess.TimeoutExpired:
        return [f'its event files were not read after {RUN_SECONDS} s']
    except ValueError:
        last = done.stderr.decode(errors='replace').strip().splitlines()[-1:]
        return [errors.one_line(''.join(last).removeprefix('error: ')) or 'reading its event files ended in nothing']


def max_jobs():
    """How many solutions to grade at a time: one a core that this process may use, as far as the free memory goes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return max(1, min(cores, int((memory.free_memory() - BASE_BYTES) / BYTES_PER_JOB)))


def _seed(seed):
    return secrets.randbits(32) if seed is None else seed


@contextlib.contextmanager
def _clean_exit_on_sigterm():
    """Within, SIGTERM ends the command as Ctrl-C does: with its processes, and its temporary files removed."""
    def end(number, frame):
        raise SystemExit(128 + number)
    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _show(grades, runs, seed, as_csv, as_json):
    """Print the grades, and write them to the paths that are not None; - is for printing them so."""
    if Path('-') not in (as_csv, as_json):
        print(gradebook.table(grades, runs) if len(grades) > 1 else
              gradebook.report(*grades.values(), *(runs or {}).values()))
        print(f'the same inputs again: --seed {seed}')
    for path, text, encoding in ((as_csv, gradebook.to_csv(grades, runs), 'utf-8-sig'),  # as Excel wants it
                                 (as_json, gradebook.to_json(grades, seed, runs), 'utf-8')):
        if path == Path('-'):
            print(text)
        elif path:
            with files.atomic_write(path) as part:
                part.write_text(text, encoding=encoding)


@errors.command_line
def main(argv=None):
    """Grade what the command line names; return 0 if all is right, else 1."""
    parser = cli.Parser(prog='python -m assignment.check', description=__doc__.split('\n')[0])
    parser.add_argument('submissions', type=Path,
                        help='a student\'s folder, zip file or notebook, or a folder or zip file of a class\'s')
    parser.add_argument('--csv', type=Path, metavar='FILE', help='write a row of points a submission; - prints it')
    parser.add_argument('--json', type=Path, metavar='FILE',
                        help='write submission -> step -> item -> null or what is wrong; - prints it')
    parser.add_argument('--runs', action='store_true', help='read the runs that were handed in too, whether their '
                        'curves fit their settings: one after the other, some 20 s and 1.8 GB')
    parser.add_argument('--seed', type=cli.int_in_range(0, 2 ** 32 - 1), metavar='N',
                        help='of the inputs, to repeat a verdict (default: another one each time)')
    parser.add_argument('--seconds', type=cli.int_in_range(1, 3600), default=ITEM_SECONDS, metavar='S',
                        help='of processor time that an item may take (default: %(default)s)')
    parser.add_argument('--jobs', type=cli.int_in_range(1, 256), default=max_jobs(), metavar='N',
                        help='submissions graded at a time (default: %(default)s, by free cores and memory)')
    args = parser.parse_args(argv)
    if args.csv and args.csv == args.json:
        parser.error(f'--csv and --json are both {args.csv}')
    seed = _seed(args.seed)
    with _clean_exit_on_sigterm(), tempfile.TemporaryDirectory(prefix='check-') as unpacked:
        solutions = submissions.find_submissions(args.submissions, Path(unpacked))
        grades = dict(zip((solution.name for solution in solutions),
                          grade_all(solutions, seed, args.seconds, args.jobs)))
        runs = {solution.name: verify_runs(solution) for solution in solutions} if args.runs else None
    _show(grades, runs, seed, args.csv, args.json)
    if len(grades) > 1 and (lacking := processes.missing_protection()):
        print(f'note: without {lacking} a submission can read and write where you can: '
              'grade those you do not trust in a container', file=sys.stderr)
    right = all(len(gradebook.passed_steps(of_one)) == len(of_one) for of_one in grades.values())
    return 0 if right and not any((runs or {}).values()) else 1


if __name__ == '__main__':
    sys.exit(main())
