"""Start programs that tests watch and kill, without waiting for the import of TensorFlow.

A server process imports TensorFlow once and forks a child for each program.
"""

import json
import os
import signal
import subprocess
import sys
import time

from common import paths

SERVER_PROGRAM = '''
import json, os, sys
import style_transfer, fast.commands.train
for line in sys.stdin:
    given = json.loads(line)
    if 'awaited' in given:
        process, status = os.waitpid(given['awaited'], os.WNOHANG)
        print(json.dumps(os.waitstatus_to_exitcode(status) if process else None), flush=True)
    elif process := os.fork():
        print(process, flush=True)
    else:
        break
else:
    sys.exit()
os.chdir(given['folder'])
os.environ.update(given['environment'])
for file, name, how in (0, os.devnull, os.O_RDONLY), (1, given['out'], os.O_WRONLY), (2, given['err'], os.O_WRONLY):
    os.dup2(os.open(name, how | os.O_CREAT | os.O_APPEND), file)
sys.stdout, sys.stderr = open(1, 'w'), open(2, 'w', 1)
sys.argv[1:] = given['arguments']
exec(given['program'])
'''
STYLE_TRANSFER = 'import style_transfer; sys.exit(style_transfer.main(sys.argv[1:]))'


class Server:
    """The process that forks; it reads requests as lines of JSON."""

    def __init__(self):
        self._process = subprocess.Popen([sys.executable, '-c', SERVER_PROGRAM], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True,
                                         env=os.environ | {'PYTHONPATH': str(paths.ROOT)})

    def ask(self, **request):
        """Send a request; return the answer."""
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def start(self, arguments, out='out.txt', err=None, folder='.', environment=None, program=STYLE_TRANSFER):
        """Start a program in a child process; return its `Fork`.

        Args:
            arguments: Command-line arguments of the program.
            out, err: Paths of the files to which standard output and standard error are appended; without `err`,
                both go to `out`.
            folder: The current directory of the child.
            environment: Additional environment variables.
            program: Python source code, in which `sys` is imported.
        """
        return Fork(self, self.ask(program=program, arguments=list(map(str, arguments)), folder=os.path.abspath(folder),
                                   out=os.path.abspath(out), err=os.path.abspath(err or out),
                                   environment=environment or {}))

    def close(self):
        """End the server and wait for it."""
        self._process.communicate()


class Fork:
    """A child process of a server, with some of the interface of `subprocess.Popen`."""

    def __init__(self, server, pid):
        self.server, self.pid, self.returncode = server, pid, None

    def poll(self):
        """Return the exit status, or None while the process runs."""
        if self.returncode is None:
            self.returncode = self.server.ask(awaited=self.pid)
        return self.returncode

    def wait(self, seconds=60):
        """Wait for the process; return its exit status, or raise `TimeoutError`."""
        deadline = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f'process {self.pid} does not end')
            time.sleep(0.005)
        return self.returncode

    def send_signal(self, number):
        """Send a signal to the process if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        """Send SIGKILL to the process; return its exit status."""
        self.send_signal(signal.SIGKILL)
        return self.wait()
