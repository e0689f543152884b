"""Report errors that the user can fix in one line, without a traceback, and end the command with status 2."""

import codecs
import contextlib
import functools
import sys
from collections.abc import Callable, Iterable

from common import process

ASCII_REPLACEMENTS = str.maketrans(
    {
        'α': 'alpha',
        'β': 'beta',
        'Σ': 'sum',
        '×': 'x',
        '…': '...',
        '–': '-',
        '−': '-',
        '½': '1/2',
        '²': '^2',
        '³': '^3',
        '⁴': '^4',
        '⁵': '^5',
        '⁶': '^6',
        '·': '*',
        '’': "'",
        '✓': 'v',
        'ᵀ': '^T',
    }
)
known_flags = set()  # flags of the running command
exit_status = 1  # status of the last command; 1 while a command runs, because an unexpected exception ends it with 1


class UserError(Exception):
    """Error that the user can fix; `command_line` shows it as one line, without a traceback, and exits with status 2.

    Args:
        message: What is wrong.
        hints: Pairs (flag, what the flag does), which follow the message. A command shows only those whose flag it has.
    """

    def __init__(self, message: str, *hints: tuple[str, str]):
        self.message, self.hints = message, hints
        super().__init__(self.line())

    def line(self, flags: Iterable[str] | None = None) -> str:
        """Return the message in one line, followed by the hints whose flags are in `flags` (None: all hints)."""
        hints = ', '.join(f'{flag} {does}' for flag, does in self.hints if flags is None or flag in flags)
        return one_line(f'{self.message}; {hints}' if hints else self.message)


def one_line(text: str) -> str:
    """Join the lines of a text and replace control characters by ?, since a file name may contain escape sequences."""
    return ''.join(c if c.isprintable() or c > '\x9f' else '?' for c in ' '.join(text.split()))


def add_known_flags(flags: Iterable[str]) -> None:
    """Register flags of the running command, so that error messages may mention them in hints."""
    known_flags.update(flags)


def command_line(main: Callable) -> Callable:
    """Decorate `main(argv)` so that errors that the user can fix end in one line on stderr and status 2.

    The decorated function returns the exit status: that of `main` (0 if it returns None), 2 after such an error, 130
    after Ctrl-C, and 141 if the program that read standard output has ended, as `head` does. Other exceptions
    propagate. Characters that the terminal cannot encode are replaced.
    """
    @functools.wraps(main)
    def run(argv=None):
        global exit_status
        exit_status = 1
        exit_status = run_main(argv)
        return exit_status

    def run_main(argv):
        known_flags.clear()
        process.open_missing_streams()
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, 'reconfigure'):
                stream.reconfigure(errors='plain')
        try:
            process.after_loading()
            try:
                return main(argv) or 0
            finally:
                if sys.stdout:
                    sys.stdout.flush()
        except KeyboardInterrupt:
            return 130
        except BrokenPipeError:
            process.discard_stdout()
            return 141
        except Exception as error:
            if not (message := describe(error)):
                raise
        print_error(f'error: {message}')
        return 2
    return run


def print_error(line: str) -> None:
    """Print a line on standard error, unless nobody reads it."""
    with contextlib.suppress(BrokenPipeError):
        print(line, file=sys.stderr, flush=True)


def describe(error: Exception) -> str | None:
    """Describe in one line an error that the user can fix; return None for a bug in the program.

    Besides `UserError`, the user can fix an OSError (a full disk, a folder that is not writable) and a lack of memory
    (MemoryError, or TensorFlow's ResourceExhaustedError).
    """
    if isinstance(error, OSError):
        error = UserError(f'{error.filename or "a file"}: {error.strerror or error}')
    # TensorFlow's exception is recognized by its name, because this module must not import TensorFlow.
    if isinstance(error, MemoryError) or type(error).__name__ == 'ResourceExhaustedError':
        error = UserError('there is not enough memory', ('--width', 'makes the picture smaller'),
                          ('--size', 'makes the pictures smaller'), ('--side', 'makes the crops smaller'),
                          ('--tile', 'makes the tiles smaller'))
    return error.line(known_flags) if isinstance(error, UserError) else None


def _replace_unencodable(error):
    """Codec error handler 'plain': spell characters that the terminal cannot encode with those that it can."""
    text = error.object[error.start:error.end].translate(ASCII_REPLACEMENTS)
    return text.encode(error.encoding, 'replace').decode(error.encoding), error.end


codecs.register_error('plain', _replace_unencodable)
