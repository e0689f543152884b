"""Processes that run students' code: each has loaded TensorFlow, but nothing of the solution, and runs many items.

They run the program `probe`, in which `sandbox` restricts what the students' code can do.
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
from collections.abc import Iterator
from pathlib import Path

from assignment import make_starter
from assignment.grader import probe
from assignment.regions import TODO, without_solution
from common import paths
from common.errors import UserError

MAX_ANSWER_BYTES = 10_000_000  # size of a probe's answer
GRACE_SECONDS = 10  # The watchdog waits this much longer, so that the probe can stop an item itself.
PROBE_MODULES = 'probe.py', 'sandbox.py', 'memory_trim.py'
ENDING_MESSAGES = {
    'late': 'not done after {seconds} s: is there an infinite loop?',
    '-9': 'the system has ended the code: it takes too much memory or time',
    'full': 'the code writes more files or bytes than its folder may hold',
    '0': 'there is no answer: the code has ended the program',
}


class Prober:
    """A process that runs items of students' code, one after the other; it starts when it is first needed.

    Attributes:
        process: the `subprocess.Popen` object, or None if it is not running.
        folder: temporary folder with the starter, the answers and the students' files.
        missing_protection: names of what the system lacks to confine the code safely, or '' if it lacks nothing; None
            before the process has started.
        closed: whether `close` was called.
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
        os.chmod(self.folder, 0o711)  # The code may run as another user, who must reach the folders inside.

    def _start(self):
        """Start the process and wait until it is ready; raise `UserError` if it cannot start."""
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
        ready_line = self.process.stdout.readline(1000).decode().split(maxsplit=1)
        if ready_line[:1] != ['ready']:
            self.kill()
            last_line = (self.folder / 'errors').read_text(errors='replace').strip().splitlines()[-1:]
            raise UserError(
                f'the process that runs students\' code does not start: {" ".join(last_line) or "it ended"}'
            )
        self.missing_protection = ''.join(ready_line[1:]).strip()

    def ask(self, item: str, inputs: dict, files: dict[str, bytes], seconds: int) -> tuple[bytes, str | None]:
        """Run one item of a student's code.

        Args:
            item: a key of `probe.ITEM_FUNCTIONS`.
            inputs: inputs of the item, from `verdicts.draw_inputs`.
            files: name -> content of the student's files, those of `regions.TODO`.
            seconds: processor time that the item may take.

        Returns:
            The answer, and a message about what ended the code early, or None. The answer is what the process wrote,
            at most MAX_ANSWER_BYTES; students' code can put any bytes there. A longer answer becomes b''.

        Raises:
            UserError: the process cannot be started, or `close` was called.
        """
        if self.closed:
            raise UserError('grading was stopped')
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
        """Send a request and wait for it; return a message if the student's code ended early, else None."""
        seconds, process = request['seconds'], self.process
        watchdog = threading.Timer(
            probe.WALL_CLOCK_FACTOR * seconds + (GRACE_SECONDS if probe.CAN_FORK else 0), self.kill
        )
        watchdog.start()
        try:
            pickle.dump(request, process.stdin)
            process.stdin.flush()
            reply = process.stdout.readline(64).decode(errors='replace').strip()
        except BrokenPipeError:
            reply = ''
        if not reply:  # The process has ended. Without forks it does so after every item.
            reply = 'late' if process.wait() and not watchdog.is_alive() else str(process.returncode)
            self.process = None
        watchdog.cancel()
        if reply == '0':
            return None
        return ENDING_MESSAGES.get(reply, f'the program crashed or exited ({_describe_status(reply)})').format(
            seconds=seconds
        )

    def kill(self) -> None:
        """Kill the process and all that it has started."""
        if self.process:
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL) if hasattr(os, 'killpg') else self.process.kill()

    def close(self) -> None:
        """Kill the process, remove its files and refuse further items."""
        self.closed = True
        self.kill()
        if process := self.process:
            process.wait()
        remove(self.folder)


def _describe_status(status):
    """Return the name of the signal that ended a process, or its exit status, given Python's number as text."""
    with contextlib.suppress(ValueError):
        return signal.Signals(-int(status)).name
    return f'status {status}'


def remove(folder: Path) -> None:
    """Remove a folder, even if its nesting exceeds the longest path that the system allows.

    Inner folders are moved up into `folder` first, level by level.
    """
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
def prober() -> Iterator[Prober]:
    """Lend a `Prober` for the duration of a `with` block: an idle one, or a new one if all are in use."""
    try:
        available = _idle.get_nowait()
    except queue.Empty:
        available = Prober()
        _probers.append(available)
    try:
        yield available
    finally:
        _idle.put(available)


def missing_protection() -> str:
    """Return what this system lacks to confine students' code safely; '' if it lacks nothing or no code has run."""
    return next((existing.missing_protection for existing in _probers if existing.missing_protection), '')


@atexit.register
def close() -> None:
    """Kill all processes; items that still wait for one then fail."""
    while _probers:
        _probers.pop().close()
    while not _idle.empty():
        _idle.get()
