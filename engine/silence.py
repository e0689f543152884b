"""Libraries that greet: what their C++ writes to standard error, past every log level."""

import contextlib
import os
import sys


@contextlib.contextmanager
def no_stderr():
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
