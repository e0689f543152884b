"""What a student fills in: regions of the real code between markers.

A region of `style_transfer.py` or `load_vgg.py` begins with a comment `# step 2: hint` (its next lines,
`#   more of it`) and ends with `# step 2 done`, or with its block.
"""

import itertools
import re
import textwrap
from typing import NamedTuple

TODO = ('style_transfer.py', 'load_vgg.py')  # the files that have some
VERSION = 2  # of what starter and grader agree on; see tests/assignment/test_make_starter.py for when to raise it
BEGIN_MARK = re.compile(r'( *)# step (\d): (.*)')
HINT_LINE = re.compile(r' *#   (.*)')


class Region(NamedTuple):
    """What a student fills in: lines first to last of a file, counted from 0, the markers among them."""
    step: int
    hint: str
    indent: str
    first: int
    last: int


def regions(text):
    """The regions of a file's text, in order."""
    lines, found = text.splitlines(), []
    for first, line in enumerate(lines):
        if match := BEGIN_MARK.fullmatch(line):
            indent, step, hint = match[1], int(match[2]), match[3]
            for more in itertools.takewhile(bool, map(HINT_LINE.fullmatch, lines[first + 1:])):
                hint += ' ' + more[1]
            found.append(Region(step, hint, indent, first, _last(lines, first, indent, step)))
    return found


def _last(lines, first, indent, step):
    """The last line of the region that begins at line `first`."""
    last = first
    for i in range(first + 1, len(lines)):
        if lines[i].strip():
            if not lines[i].startswith(indent):
                break
            last = i
        if lines[i] == f'{indent}# step {step} done':
            break
    return last


def without_solution(text):
    """The file's text with a NotImplementedError, whose text is the hint, for every region."""
    lines = text.splitlines()
    for region in reversed(regions(text)):
        hint = map(repr, textwrap.wrap(f'step {region.step}: {region.hint}', 90, drop_whitespace=False))
        statement = region.indent + 'raise NotImplementedError('
        lines[region.first:region.last + 1] = [f'{region.indent}# TODO step {region.step}',
                                               statement + f'\n{"":{len(statement)}}'.join(hint) + ')']
    return '\n'.join(lines) + '\n'
