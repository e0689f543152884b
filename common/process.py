"""Ctrl-C: no page while packages load; asked once, a training ends in order. And libraries that greet: what their C++
writes to standard error, past every log level.
"""

import contextlib
import os
import signal
import sys
import threading


def while_loading():
    """Until the command begins Ctrl-C ends the process silently, with status 130; called first in a program."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored, as by nohup
        signal.signal(signal.SIGINT, _leave)


def after_loading():
    """From here on Ctrl-C raises KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number, frame):
    os._exit(130)


def is_stopping():
    """Whether a training has been asked to stop, for what waits inside of it or comes after."""
    return StopSignal.latest is not None and StopSignal.latest.requested


class StopSignal:
    """Within `with StopSignal() as stop`, the first Ctrl-C (or SIGTERM) sets `stop.requested`; a second interrupts.

    newest: the last one that was entered
    """

    requested = False
    latest = None

    def __enter__(self):
        StopSignal.latest = self
        self._previous = {}
        if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._request)
        return self

    def _request(self, number, frame):
        self.requested = True
        signal.signal(number, self._previous[number])

    def __exit__(self, *exception):
        for number, handler in self._previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def suppress_stderr():
    """Nothing is written to standard error within."""
    sys.stderr.flush()
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)
