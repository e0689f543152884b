"""What the user can mend is said in one line, without a traceback, and ends a command with status 2."""

import codecs
import functools
import sys

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
known_flags = set()  # the flags of the command at hand
exit_status = 1  # that the last command ended with; while it runs, that of one that fails in a way of its own


class UserError(Exception):
    """Something the user can mend: shown as one line, exit status 2, no traceback.

    ways: pairs (flag, what it does) of ways out; a command names those whose flag it has
    """

    def __init__(self, message, *ways):
        self.message, self.hints = message, ways
        super().__init__(self.line())

    def line(self, flags=None):
        """The line, with the ways whose flags are among `flags`, None for all."""
        ways = ', '.join(f'{flag} {does}' for flag, does in self.hints if flags is None or flag in flags)
        return one_line(f'{self.message}; {ways}' if ways else self.message)


def one_line(text):
    """The text in one line, without what a terminal would obey: a file's name may have escapes."""
    return ''.join(c if c.isprintable() or c > '\x9f' else '?' for c in ' '.join(text.split()))


def add_known_flags(flags):
    """Note that the command at hand has these flags."""
    known_flags.update(flags)


def command_line(main):
    """Decorate `main(argv)`: what the user can mend ends in one line on stderr and status 2."""
    @functools.wraps(main)
    def run(argv=None):
        global exit_status
        exit_status = 1
        exit_status = ended(argv)
        return exit_status

    def ended(argv):
        known_flags.clear()
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, 'reconfigure'):
                stream.reconfigure(errors='plain')
        try:
            process.after_loading()
            return main(argv) or 0
        except KeyboardInterrupt:
            return 130
        except Exception as error:
            if not (message := describe(error)):
                raise
        print(f'error: {message}', file=sys.stderr)
        return 2
    return run


def describe(error):
    """What went wrong, in a line for the user who can mend it; None for a mistake of the program's own.

    Of what lies outside the program that is a full disk, an unwritable folder, too little memory.
    """
    if isinstance(error, OSError):
        error = UserError(f'{error.filename or "a file"}: {error.strerror or error}')
    # TensorFlow's, by its name: this module comes before it
    if isinstance(error, MemoryError) or type(error).__name__ == 'ResourceExhaustedError':
        error = UserError('the memory is too small for this', ('--width', 'makes the picture smaller'),
                          ('--size', 'the pictures'), ('--side', 'the crops'), ('--tile', 'the parts'))
    return error.line(known_flags) if isinstance(error, UserError) else None


def _replace_unencodable(error):
    """What a terminal cannot show, in the letters that it has."""
    text = error.object[error.start:error.end].translate(ASCII_REPLACEMENTS)
    return text.encode(error.encoding, 'replace').decode(error.encoding), error.end


codecs.register_error('plain', _replace_unencodable)
