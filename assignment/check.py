"""Grade a student's folder step by step, or a folder of such folders.

    python -m assignment.check ~/hw2
    python -m assignment.check class/ --json

Of a folder only style_transfer.py and load_vgg.py count; everything else is the project's own. Every step runs apart,
in a process with a time limit, and is judged here, by numbers.
"""

import concurrent.futures
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from engine import messages, parsing
from engine.messages import UserError
from assignment import inputs, make_starter, probe, verdicts
from assignment.make_starter import TODO

SECONDS = 60  # a step may take, a dozen times what the real solution takes
LARGEST = 10_000_000  # bytes of an answer
STEPS = {1: 'inference', 2: 'loss', 3: 'optimizer', 4: 'summaries', 5: 'training'}
HINTS = {  # kind of error: (text in it, what to do)
    'RuntimeError': (('finalized', 'an op is added while training: build every op before the loop, in build'),
                     ('maximum recursion', 'a method calls itself')),
    'FailedPreconditionError': (('', 'a variable has no value yet: run self.init before it is used'),),
    'ValueError': (('EncodeJpeg', 'the picture is [H, W, 3]: leave the batch axis out'),),
    'SystemExit': (('', 'the code ends the program: leave sys.exit and exit out'),),
    'PermissionError': (('', 'the code may write in its own folder alone'),),
}


def run_step(folder, step, seed, seconds):
    """Run the probe of one step on the two files in `folder`; return (answers, item -> dict, what ended it or None)."""
    with tempfile.TemporaryDirectory(prefix='check-') as place:
        work, results = Path(place, 'work'), Path(place, 'results')
        work.mkdir()
        make_starter.give(work)
        for name in TODO:
            shutil.copy(Path(folder, name), work)
        (work / 'weights').mkdir()
        environment = {name: os.environ[name] for name in ('PATH', 'LD_LIBRARY_PATH', 'SYSTEMROOT')
                       if name in os.environ}
        process = subprocess.Popen(
            [sys.executable, '-E', '-s', '-B', probe.__file__, str(step), work, results], cwd=work, text=True,
            env=environment | {'HOME': place, 'TMPDIR': place, 'OMP_NUM_THREADS': '1'}, stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        ended = None
        try:
            process.communicate(f'{seed}\n', timeout=seconds)
        except subprocess.TimeoutExpired:
            ended = f'not done after {seconds} s: a loop without an end?'
        finally:
            process.kill()
            process.wait()
        if ended is None and process.returncode:
            ended = f'the program ended by itself (status {process.returncode})'
        return _answers(results), ended


def _answers(path):
    """item -> answer, of a file that the student's code could have written into."""
    answers = {}
    if path.is_file() and not path.is_symlink() and path.stat().st_size <= LARGEST:
        for line in path.read_text(errors='replace').splitlines():
            try:
                answer = json.loads(line)
                answers[answer['item']] = answer
            except (ValueError, KeyError, TypeError):
                continue
    return answers


def judged(item, answer, given, ended):
    """What is wrong with one item, as text; None if it is right."""
    if answer is None:
        return ended or 'there is no answer: the code has ended the program'
    if 'values' in answer:
        try:
            return verdicts.judge(item, answer['values'], given)
        except Exception as error:  # values of any kind may come
            return f'what came cannot be compared ({type(error).__name__}: {error})'
    error, kind = str(answer.get('error')), answer.get('kind')
    if kind == 'NotImplementedError':
        return f'still to do: {error.split(": ", 2)[-1]}'
    hint = next((hint for text, hint in HINTS.get(kind, ()) if text in error), None)
    return f'{error}: {hint}' if hint else error


def of_another_version(folder):
    """What to do about files of a starter that this grader does not know, as text; None where there are none."""
    for name in TODO:
        mark = make_starter.MARK.match(Path(folder, name).read_text(encoding='utf-8', errors='replace'))
        if mark and int(mark[1]) != make_starter.VERSION:
            return (f'not graded: {name} is of starter version {mark[1]}, '
                    f'this grader of version {make_starter.VERSION}; '
                    'grade it with the project as it was then, or move the code into a new starter')


def check_step(folder, step, seconds=SECONDS):
    """Grade one step: {item: None if right, else what is wrong}."""
    missing = [name for name in TODO if not Path(folder, name).is_file()]
    if missing:
        return dict.fromkeys(probe.ITEMS[step], f'{missing[0]} is missing')
    if other := of_another_version(folder):
        return dict.fromkeys(probe.ITEMS[step], other)
    seed = secrets.randbits(32)
    answers, ended = run_step(folder, step, seed, seconds)
    given = inputs.of_step(step, seed)
    return {item: judged(item, answers.get(item), given, ended) for item in probe.ITEMS[step]}


def check(folders, seconds=SECONDS, jobs=os.cpu_count()):
    """Grade folders, so many steps at a time: a list of {step: {item: None if right, else what is wrong}}."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        graded = [{step: pool.submit(check_step, folder, step, seconds) for step in probe.ITEMS} for folder in folders]
        return [{step: items.result() for step, items in of_one.items()} for of_one in graded]


def submissions(folder):
    """The folders to grade: `folder` itself, or each of those in it."""
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UserError(f'{folder}: no such folder')
    if any((folder / name).exists() for name in TODO):
        return [folder]
    found = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith('.'))
    if not found:
        raise UserError(f'{folder}: has neither {" nor ".join(TODO)} nor folders that have')
    return found


def passed(grades):
    """Steps that have no item wrong."""
    return [step for step, items in grades.items() if not any(items.values())]


def report(grades):
    """One folder's grades as text."""
    lines = []
    for step, items in grades.items():
        for item, wrong in items.items():
            lines.append(f'step {step} ({STEPS[step]}) {item}: ' + ('passed' if wrong is None else wrong))
    return '\n'.join([*lines, f'{len(passed(grades))} of {len(grades)} steps passed'])


def table(grades):
    """The grades of a class, name -> grades, as text: a line a folder."""
    width = max(len(name) for name in grades)
    lines = [f'{"":{width}}  ' + '  '.join(f'{step}' for step in STEPS) + '  first thing to mend']
    for name, of_one in grades.items():
        first = next((f'step {step}, {item}: {wrong}' for step, items in of_one.items()
                      for item, wrong in items.items() if wrong), '')
        lines.append(f'{name:{width}}  ' + '  '.join('✓' if step in passed(of_one) else '·' for step in STEPS)
                     + f'  {first}')
    return '\n'.join(lines)


@messages.command_line
def main(argv=None):
    """Grade what the command line names; return 0 if all steps of all folders passed, else 1."""
    parser = parsing.Parser(prog='python -m assignment.check', description=__doc__.split('\n')[0])
    parser.add_argument('folder', type=Path, help='of one student, or of a class: then each folder in it')
    parser.add_argument('--json', action='store_true', help='print folder -> step -> item -> null or what is wrong')
    parser.add_argument('--seconds', type=parsing.whole_number(1, 3600), default=SECONDS, metavar='S',
                        help='that a step may take (default: %(default)s)')
    parser.add_argument('--jobs', type=parsing.whole_number(1, 256), default=os.cpu_count() or 1, metavar='N',
                        help='steps that run at a time (default: one a core)')
    args = parser.parse_args(argv)
    folders = submissions(args.folder)
    grades = dict(zip((folder.resolve().name for folder in folders), check(folders, args.seconds, args.jobs)))
    if args.json:
        print(json.dumps(grades, indent=1, ensure_ascii=False))
    else:
        print(report(next(iter(grades.values()))) if len(grades) == 1 else table(grades))
    return 0 if all(len(passed(of_one)) == len(of_one) for of_one in grades.values()) else 1


if __name__ == '__main__':
    sys.exit(main())
