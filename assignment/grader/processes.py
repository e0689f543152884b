"""Where students' code runs: a process that has loaded TensorFlow and nothing of the solution tries item after item.

What it may do there says `sandbox`; what is tried, `probe`.
"""

import atexit
import contextlib
import os
import pickle
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from assignment import make_starter
from assignment.grader import probe
from assignment.regions import TODO, without_solution
from common import paths
from common.errors import UserError

MAX_ANSWER_BYTES = 10_000_000  # bytes of an answer
GRACE_SECONDS = 10  # seconds beyond its time, in which the process itself stops an item
PROBE_MODULES = 'probe.py', 'sandbox.py', 'memory_trim.py'
ENDING_MESSAGES = {
    'late': 'not done after {seconds} s: a loop without an end?',
    '-9': 'the system has ended the code: it takes too much memory, or time',
    'full': 'the code writes more files than its folder may hold',
    '0': 'there is no answer: the code has ended the program',
}


class Prober:
    """A process that tries items of students' code, one after the other. It is started when it is first needed.

    lacking: what the system lacks to hold that code whatever it does, as text; None before the start
    """

    closed = False

    def __init__(self):
        self.process = self.missing_protection = None
        self.folder = Path(tempfile.mkdtemp(prefix='check-'))
        starter = self.folder / 'starter'
        (starter / 'weights').mkdir(parents=True)
        make_starter.copy_files(starter)
        for name in TODO:
            text = (paths.ROOT / name).read_text(encoding='utf-8')
            (starter / name).write_text(without_solution(text), encoding='utf-8')
        for name in PROBE_MODULES:
            shutil.copy(Path(__file__).with_name(name), starter)
        os.chmod(self.folder, 0o711)  # where it has a user of its own, that one gets through

    def _start(self):
        starter = self.folder / 'starter'
        environment = {name: os.environ[name] for name in ('PATH', 'LD_LIBRARY_PATH', 'SYSTEMROOT')
                       if name in os.environ}
        environment |= {'HOME': str(starter), 'TMPDIR': str(starter), 'MALLOC_ARENA_MAX': '2'}
        environment |= dict.fromkeys(('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'TF_NUM_INTRAOP_THREADS',
                                      'TF_NUM_INTEROP_THREADS'), '1')
        with open(self.folder / 'errors', 'wb') as errors:
            self.process = subprocess.Popen(
                [sys.executable, '-E', '-s', starter / 'probe.py'], cwd=starter, env=environment, stderr=errors,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        greeting = self.process.stdout.readline(1000).decode().split(maxsplit=1)
        if greeting[:1] != ['ready']:
            self.kill()
            last = (self.folder / 'errors').read_text(errors='replace').strip().splitlines()[-1:]
            raise UserError(f'the process that runs students\' code does not start: {" ".join(last) or "it ended"}')
        self.missing_protection = ''.join(greeting[1:]).strip()

    def ask(self, item, inputs, files, seconds):
        """Try an item of `probe.ITEM_FUNCTIONS`; return (what came, bytes of any kind; what ended it, or None).

        given: its inputs; files: name -> bytes, of TODO. Raises `UserError` where no process can be started.
        """
        if self.closed:
            raise UserError('grading has been ended')
        if not self.process:
            self._start()
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            for name, content in files.items():
                (folder / name).write_bytes(content)
            with open(self.folder / 'answer', 'w+b') as answer:
                ended = self._serve({'item': item, 'inputs': inputs, 'folder': str(folder), 'answer': answer.name,
                                      'seconds': seconds})
                output = answer.read(MAX_ANSWER_BYTES + 1)
            return (output if len(output) <= MAX_ANSWER_BYTES else b''), ended
        finally:
            remove(folder)

    def _serve(self, request):
        """Have a request served; return what ended the student's code before its time, as text, or None."""
        seconds, process = request['seconds'], self.process
        watchdog = threading.Timer(
            probe.WALL_CLOCK_FACTOR * seconds + (GRACE_SECONDS if probe.CAN_FORK else 0), self.kill
        )
        watchdog.start()
        try:
            pickle.dump(request, process.stdin)
            process.stdin.flush()
            word = process.stdout.readline(64).decode(errors='replace').strip()
        except BrokenPipeError:
            word = ''
        if not word:  # the process has ended: so it does where there are no forks
            word = 'late' if process.wait() and not watchdog.is_alive() else str(process.returncode)
            self.process = None
        watchdog.cancel()
        if word == '0':
            return None
        return ENDING_MESSAGES.get(word, f'the program ended by itself ({_describe_status(word)})').format(
            seconds=seconds
        )

    def kill(self):
        """End the process and what it has started."""
        if self.process:
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL) if hasattr(os, 'killpg') else self.process.kill()

    def close(self):
        """End the process for good, and remove its files."""
        self.closed = True
        self.kill()
        if process := self.process:
            process.wait()
        remove(self.folder)


def _describe_status(word):
    """How a process ended, from the number that Python has for it."""
    with contextlib.suppress(ValueError):
        return signal.Signals(-int(word)).name
    return f'status {word}'


def remove(folder):
    """Remove a folder, however deep it goes: what is in its folders comes up into it first."""
    folder, count = Path(folder), 0
    with contextlib.suppress(OSError):
        while inner := [Path(entry) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]:
            for path in inner:
                os.chmod(path, 0o700)
                for entry in os.scandir(path):
                    if entry.is_dir(follow_symlinks=False):
                        count += 1
                        os.rename(entry.path, folder / f'.up-{count}')
                    else:
                        os.unlink(entry.path)
                os.rmdir(path)
    shutil.rmtree(folder, ignore_errors=True)


_probers, _idle = [], queue.LifoQueue()


@contextlib.contextmanager
def prober():
    """Yield a `Prober` that nobody else uses, one that is there already if there is one."""
    try:
        free = _idle.get_nowait()
    except queue.Empty:
        free = Prober()
        _probers.append(free)
    try:
        yield free
    finally:
        _idle.put(free)


def missing_protection():
    """What this system lacks to hold students' code whatever it does, as text; '' where none has run."""
    return next((one.missing_protection for one in _probers if one.missing_protection), '')


@atexit.register
def close():
    """End all processes, and with them whatever waits for one."""
    while _probers:
        _probers.pop().close()
    while not _idle.empty():
        _idle.get()
