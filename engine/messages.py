"""What the user can mend is said in one line, without a traceback, and ends a command with status 2."""

import functools
import sys

from engine import quiet  # before tensorflow
import tensorflow


class UserError(Exception):
    """Something the user can mend: shown as one line, exit status 2, no traceback."""


def command_line(main):
    """Decorate `main(argv)`: what the user can mend ends in one line on stderr and status 2."""
    @functools.wraps(main)
    def run(argv=None):
        try:
            return main(argv) or 0
        except UserError as error:
            message = str(error)
        except OSError as error:  # a full disk, a folder that may not be written
            message = f'{error.filename or "a file"}: {error.strerror or error}'
        except (MemoryError, tensorflow.errors.ResourceExhaustedError):
            message = 'the memory is too small for this: make the picture (--width) or its parts (--tile) smaller'
        except KeyboardInterrupt:
            return 130
        print('error: ' + ' '.join(message.split()), file=sys.stderr)
        return 2
    return run
