"""What the user can mend is said in one line, without a traceback, and ends a command with status 2."""

import codecs
import functools
import sys

from common import process

PLAIN = str.maketrans({'α': 'alpha', 'β': 'beta', 'Σ': 'sum', '×': 'x', '…': '...', '–': '-', '−': '-', '½': '1/2',
                       '²': '^2', '³': '^3', '⁴': '^4', '⁵': '^5', '⁶': '^6', '·': '*', '’': "'", '✓': 'v', 'ᵀ': '^T'})
_offered = set()  # the flags of the command at hand
status = 1  # that the last command ended with; while it runs, that of one that fails in a way of its own


class UserError(Exception):
    """Something the user can mend: shown as one line, exit status 2, no traceback.

    ways: pairs (flag, what it does) of ways out; a command names those whose flag it has
    """

    def __init__(self, what, *ways):
        self.what, self.ways = what, ways
        super().__init__(self.line())

    def line(self, flags=None):
        """The line, with the ways whose flags are among `flags`, None for all."""
        ways = ', '.join(f'{flag} {does}' for flag, does in self.ways if flags is None or flag in flags)
        return one_line(f'{self.what}; {ways}' if ways else self.what)


def one_line(text):
    """The text in one line, without what a terminal would obey: a file's name may have escapes."""
    return ''.join(c if c.isprintable() or c > '\x9f' else '?' for c in ' '.join(text.split()))


def offer(flags):
    """Note that the command at hand has these flags."""
    _offered.update(flags)


def command_line(main):
    """Decorate `main(argv)`: what the user can mend ends in one line on stderr and status 2."""
    @functools.wraps(main)
    def run(argv=None):
        global status
        status = 1
        status = ended(argv)
        return status

    def ended(argv):
        _offered.clear()
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, 'reconfigure'):
                stream.reconfigure(errors='plain')
        try:
            process.once_loaded()
            return main(argv) or 0
        except KeyboardInterrupt:
            return 130
        except Exception as error:
            if not (message := reason(error)):
                raise
        print(f'error: {message}', file=sys.stderr)
        return 2
    return run


def reason(error):
    """What went wrong, in a line for the user who can mend it; None for a mistake of the program's own.

    Of what lies outside the program that is a full disk, an unwritable folder, too little memory.
    """
    if isinstance(error, OSError):
        error = UserError(f'{error.filename or "a file"}: {error.strerror or error}')
    # TensorFlow's, by its name: this module comes before it
    if isinstance(error, MemoryError) or type(error).__name__ == 'ResourceExhaustedError':
        error = UserError('the memory is too small for this', ('--width', 'makes the picture smaller'),
                          ('--size', 'the pictures'), ('--side', 'the crops'), ('--tile', 'the parts'))
    return error.line(_offered) if isinstance(error, UserError) else None


def _plain(error):
    """What a terminal cannot show, in the letters that it has."""
    text = error.object[error.start:error.end].translate(PLAIN)
    return text.encode(error.encoding, 'replace').decode(error.encoding), error.end


codecs.register_error('plain', _plain)
