"""Make a student's folder from the real code: what lies between markers becomes a TODO.

    python -m assignment.make_starter ~/hw2

A region of `style_transfer.py` or `load_vgg.py` begins with a comment `# step 2: hint` (its next lines,
`#   more of it`) and ends with `# step 2 done`, or with its block.
"""

import functools
import itertools
import modulefinder
import os
import re
import shutil
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import NamedTuple

from engine import messages, parsing, shipped
from engine.messages import UserError

TODO = ('style_transfer.py', 'load_vgg.py')  # what the student fills in
VERSION = 1  # of what starter and grader agree on; see tests/assignment/test_make_starter.py for when to raise it
MARK = re.compile(r'# starter version (\d+)\n')  # first line of each of its files
TOOLS = ('assignment/__init__.py', 'assignment/report.py', 'assignment/page.py', 'assignment/diagram.py')
PAPERS = ('requirements.txt', 'LICENSE')
FOLDERS = ('content', 'styles', 'weights')
HANDOUTS = ('README.md', 'README.zh.md')
BEGIN = re.compile(r'( *)# step (\d): (.*)')
MORE = re.compile(r' *#   (.*)')


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
        if match := BEGIN.fullmatch(line):
            indent, step, hint = match[1], int(match[2]), match[3]
            for more in itertools.takewhile(bool, map(MORE.fullmatch, lines[first + 1:])):
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


@functools.cache
def given():
    """The paths below the root of what the files of TODO import, from whatever in the project, and of the papers."""
    finder = modulefinder.ModuleFinder([str(shipped.ROOT)])
    for name in TODO:
        finder.load_file(str(shipped.ROOT / name))
    found = {Path(module.__file__).relative_to(shipped.ROOT).as_posix()
             for module in finder.modules.values() if module.__file__}
    return sorted(found - set(TODO)) + list(PAPERS)


def make(folder):
    """Write the student's folder, which must be new or empty; of a link, what it leads to. Raises `UserError`."""
    folder = Path(os.path.realpath(folder.expanduser()))
    new = not folder.exists()
    if not new and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f'{folder}: there is something already; name a new folder')
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent if new else folder, prefix='.part-') as place:
        starter = Path(place, 'starter')
        starter.mkdir()
        _fill(starter)
        if new:
            starter.rename(folder)
        else:  # somebody may stand in it
            for path in starter.iterdir():
                path.rename(folder / path.name)


def _fill(starter):
    """Write what the student gets into a folder."""
    for name in TODO:
        text = without_solution((shipped.ROOT / name).read_text(encoding='utf-8'))
        (starter / name).write_text(f'# starter version {VERSION}\n{text}', encoding='utf-8')
    give(starter, given() + list(TOOLS))
    for name in HANDOUTS:
        shutil.copy(shipped.ROOT / 'assignment' / name, starter)
    for name in FOLDERS:
        shutil.copytree(shipped.ROOT / name, starter / name,
                        ignore=shutil.ignore_patterns('__pycache__', '*.py', '*imagenet*'))


def give(folder, names=None):
    """Copy files of the project, what is given if nobody names any, into the folder."""
    for name in given() if names is None else names:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(shipped.ROOT / name, folder / name)


@messages.command_line
def main(argv=None):
    """Make the folder that the command line names."""
    parser = parsing.Parser(prog='python -m assignment.make_starter', description=__doc__.split('\n')[0])
    parser.add_argument('folder', type=Path, help='to make; new or empty')
    folder = parser.parse_args(argv).folder
    make(folder)
    count = sum(len(regions((shipped.ROOT / name).read_text(encoding='utf-8'))) for name in TODO)
    print(f'{folder}: {count} places to fill in, in {" and ".join(TODO)}; README.md is the handout')


if __name__ == '__main__':
    sys.exit(main())
