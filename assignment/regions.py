"""The regions of the real code that students fill in, between paired comments.

A region of `style_transfer.py` or `load_vgg.py` begins with `### BEGIN SOLUTION 2: hint`, where 2 is the step of the
handout (a long hint continues on lines that begin with `###   `), and ends with `### END SOLUTION`.
"""

import re
import textwrap
from typing import NamedTuple

TODO = ('style_transfer.py', 'load_vgg.py')  # the files that have regions
# Version of the interface between starter and grader; tests/assignment/test_make_starter.py says when to raise it.
VERSION = 2
# The first line of each file that students complete; notebooks have it in their first code cell.
VERSION_LINE = re.compile(r'^# starter version (\d+)\n', re.MULTILINE)
BEGIN_MARK = re.compile(r'( *)### BEGIN SOLUTION (\d): (.*)')
HINT_LINE = re.compile(r' *###   (.*)')
END_MARK = re.compile(r' *### END SOLUTION')


class Region(NamedTuple):
    """A part of a file that students fill in.

    Attributes:
        step: step of the handout, 1 to 5.
        hint: text that says what to write, in one line.
        indent: the spaces before its marks.
        first, last: indices, from 0, of the lines with its BEGIN and END marks.
        body: the lines of the solution, between the marks.
    """
    step: int
    hint: str
    indent: str
    first: int
    last: int
    body: list[str]


def regions(text: str) -> list[Region]:
    """Return the regions of a file's text, in order.

    Raises:
        ValueError: a region has no END mark.
    """
    lines, found = text.splitlines(), []
    for first, line in enumerate(lines):
        if match := BEGIN_MARK.fullmatch(line):
            start, hint = first + 1, [match[3]]
            while start < len(lines) and (more := HINT_LINE.fullmatch(lines[start])):
                start, hint = start + 1, [*hint, more[1]]
            last = next((i for i in range(start, len(lines)) if END_MARK.fullmatch(lines[i])), None)
            if last is None or any(map(BEGIN_MARK.fullmatch, lines[start:last])):
                raise ValueError(f'line {first + 1}: this solution has no END SOLUTION')
            found.append(Region(int(match[2]), ' '.join(hint), match[1], first, last, lines[start:last]))
    return found


def without_solution(text: str) -> str:
    """Replace every region of a file's text by a NotImplementedError whose text is the hint."""
    lines = text.splitlines()
    for region in reversed(regions(text)):
        hint = map(repr, textwrap.wrap(f'step {region.step}: {region.hint}', 90, drop_whitespace=False))
        statement = region.indent + 'raise NotImplementedError('
        lines[region.first:region.last + 1] = [f'{region.indent}# TODO step {region.step}',
                                               statement + f'\n{"":{len(statement)}}'.join(hint) + ')']
    return '\n'.join(lines) + '\n'
