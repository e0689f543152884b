"""Handle Ctrl-C while packages load and while a training runs, and the standard streams.

Libraries write messages to standard error, which are silenced; and a program may be started without it.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator


def while_loading() -> None:
    """Make Ctrl-C end the process silently, with status 130, until `after_loading` is called.

    A program calls this first, because importing its packages takes seconds and Ctrl-C would print a long traceback.
    """
    open_missing_streams()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # Keep an ignored signal ignored (nohup).
        signal.signal(signal.SIGINT, _exit_silently)


def after_loading() -> None:
    """Make Ctrl-C raise KeyboardInterrupt again, after `while_loading`."""
    if signal.getsignal(signal.SIGINT) is _exit_silently:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _exit_silently(number, frame):
    """Signal handler that ends the process at once, with status 130."""
    os._exit(130)


def open_missing_streams() -> None:
    """Open the null device in place of standard streams that are closed (`2>&-`, pythonw).

    Otherwise the next file that is opened gets the descriptor 2, and libraries write their messages into it.
    `sys.stdin` and `sys.stdout` stay None, so that a command which needs them can say so.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # This takes the lowest free descriptor, which is the closed one.
    if sys.stderr is None:
        sys.stderr = open(os.devnull, 'w')


def discard_stdout() -> None:
    """Discard all further standard output, because the program that read it has ended."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def is_stopping() -> bool:
    """Return whether the latest training has been asked to stop; for code that runs inside or after it."""
    return StopSignal.latest is not None and StopSignal.latest.requested


class StopSignal:
    """Context manager in which the first Ctrl-C or SIGTERM only sets `requested`, so that a training can end in order.

    The second signal of the same kind has its usual effect. Outside of the main thread signals are not handled.

    Attributes:
        requested: Whether a signal has arrived.
        latest: The instance that was entered last, or None (class attribute).
    """

    requested = False
    latest = None

    def __enter__(self) -> 'StopSignal':
        StopSignal.latest = self
        self._previous = {}
        if threading.current_thread() is threading.main_thread():  # Python allows signal handlers only there.
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._request)
        return self

    def _request(self, number, frame):
        """Signal handler that notes the request and restores the previous handler."""
        self.requested = True
        signal.signal(number, self._previous[number])

    def __exit__(self, *exception):
        for number, handler in self._previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def suppress_stderr() -> Iterator[None]:
    """Context manager that discards everything written to file descriptor 2, including output of C++ libraries."""
    open_missing_streams()
    sys.stderr.flush()
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)
