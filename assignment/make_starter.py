"""Make a student's folder from the real code: what lies between markers becomes a TODO.

    python -m assignment.make_starter ~/hw2
    python -m assignment.make_starter --notebook ~/hw2
"""

import functools
import modulefinder
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from assignment import notebook
from assignment.regions import TODO, VERSION, regions, without_solution
from common import cli, errors, paths
from common.errors import UserError

VERSION_LINE = re.compile(r'# starter version (\d+)\n')  # first line of each of its files
HANDOUT_PROGRAMS = ('reconstruct.py', 'assignment/report.py')  # what else the handout runs
DOCUMENTS = ('requirements.txt', 'LICENSE')
FOLDERS = ('content', 'styles', 'weights')
HANDOUT_ENDS = {'README.md': '## For teachers', 'README.zh.md': '## 给教师'}  # where the students' part ends


@functools.cache
def dependencies(programs=TODO):
    """The paths below the root of what some programs import, from whatever in the project, and of the papers."""
    finder = modulefinder.ModuleFinder([str(paths.ROOT)])
    for name in programs:
        finder.load_file(str(paths.ROOT / name))
    found = {Path(module.__file__).relative_to(paths.ROOT).as_posix()
             for module in finder.modules.values() if module.__file__}
    return sorted(found - set(TODO)) + list(DOCUMENTS)


def make_folder(folder, more=()):
    """Write the student's folder, which must be new or empty; of a link, what it leads to. Raises `UserError`.

    more: functions that add to what is in the folder, given its path
    """
    folder = Path(os.path.realpath(folder.expanduser()))
    new = not folder.exists()
    if not new and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f'{folder}: there is something already; name a new folder')
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent if new else folder, prefix='.part-') as place:
        starter = Path(place, 'starter')
        starter.mkdir()
        for fill in (_fill, *more):
            fill(starter)
        if new:
            starter.rename(folder)
        else:  # somebody may stand in it
            for path in starter.iterdir():
                path.rename(folder / path.name)


def _fill(starter):
    """Write what the student gets into a folder."""
    for name in TODO:
        text = without_solution((paths.ROOT / name).read_text(encoding='utf-8'))
        (starter / name).write_text(f'# starter version {VERSION}\n{text}', encoding='utf-8')
    copy_files(starter, dependencies(TODO + HANDOUT_PROGRAMS))
    for name, end in HANDOUT_ENDS.items():
        students, _, _ = (paths.ROOT / 'assignment' / name).read_text(encoding='utf-8').partition(end)
        (starter / name).write_text(students.rstrip() + '\n', encoding='utf-8')
    for name in FOLDERS:
        shutil.copytree(paths.ROOT / name, starter / name,
                        ignore=shutil.ignore_patterns('__pycache__', '*.py', '*imagenet*'))


def copy_files(folder, names=None):
    """Copy files of the project, what is given if nobody names any, into the folder."""
    for name in dependencies() if names is None else names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths.ROOT / name, folder / name)


@errors.command_line
def main(argv=None):
    """Make the folder that the command line names."""
    parser = cli.Parser(prog='python -m assignment.make_starter', description=__doc__.split('\n')[0])
    parser.add_argument('folder', type=Path, help='to make; new or empty')
    parser.add_argument('--notebook', action='store_true', help='add the assignment as a notebook, with checks')
    parser.add_argument('--for', dest='edition', choices=('otter', 'nbgrader'), help='with --notebook: the teacher\'s, '
                        'solutions marked, from which that system makes the students\' and the tests')
    args = parser.parse_args(argv)
    if args.edition and not args.notebook:
        raise UserError('--for is for --notebook')
    make_folder(args.folder, [functools.partial(notebook.write, edition=args.edition)] * args.notebook)
    count = sum(len(regions((paths.ROOT / name).read_text(encoding='utf-8'))) for name in TODO)
    print(f'{args.folder}: {count} places to fill in, in {" and ".join(TODO)}'
          + f', or in {notebook.NOTEBOOK_NAME}' * args.notebook + '; README.md is the handout')


if __name__ == '__main__':
    sys.exit(main())
