"""Programs to watch and to kill: processes forked from one that has TensorFlow, and nothing more, loaded already."""

import json
import os
import signal
import subprocess
import sys
import time

from common import paths

LOADED = '''
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
    """The process that forks."""

    def __init__(self):
        self._process = subprocess.Popen([sys.executable, '-c', LOADED], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         text=True, env=os.environ | {'PYTHONPATH': str(paths.ROOT)})

    def ask(self, **given):
        print(json.dumps(given), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def start(self, arguments, out='out.txt', err=None, folder='.', environment=None, program=STYLE_TRANSFER):
        """Start a program, text that has `sys`, in a folder; return the `Fork`.

        out, err: what it prints is appended to these files; None for both in one
        """
        return Fork(self, self.ask(program=program, arguments=list(map(str, arguments)), folder=os.path.abspath(folder),
                                   out=os.path.abspath(out), err=os.path.abspath(err or out),
                                   environment=environment or {}))

    def close(self):
        self._process.communicate()


class Fork:
    """What there is of `subprocess.Popen` for a process of a server."""

    def __init__(self, server, pid):
        self.server, self.pid, self.returncode = server, pid, None

    def poll(self):
        if self.returncode is None:
            self.returncode = self.server.ask(awaited=self.pid)
        return self.returncode

    def wait(self, seconds=60):
        until = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > until:
                raise TimeoutError(f'process {self.pid} does not end')
            time.sleep(0.005)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)
        return self.wait()
