"""Make a student's folder from the real code, with a TODO in place of each marked solution.

    python -m assignment.make_starter ~/hw2
    python -m assignment.make_starter --notebook ~/hw2
"""

import functools
import modulefinder
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from assignment import notebook
from assignment.regions import TODO, VERSION, regions, without_solution
from common import cli, errors, paths
from common.errors import UserError

HANDOUT_PROGRAMS = ('reconstruct.py', 'assignment/report.py')  # other programs that the handout tells students to run
DOCUMENTS = ('requirements.txt', 'LICENSE')
FOLDERS = ('content', 'styles', 'weights')
HANDOUT_ENDS = {'README.md': '## For teachers', 'README.zh.md': '## 给教师'}  # headings that end the students' part


@functools.cache
def dependencies(programs: tuple[str, ...] = TODO) -> list[str]:
    """Return the paths, relative to the project's root, of the project files that some programs need.

    These are the modules that the programs import, directly or indirectly, the programs themselves except those in
    `TODO`, and the files in `DOCUMENTS`.

    Args:
        programs: The paths of the programs relative to the root.
    """
    finder = modulefinder.ModuleFinder([str(paths.ROOT)])
    for name in programs:
        finder.load_file(str(paths.ROOT / name))
    modules = {Path(module.__file__).relative_to(paths.ROOT).as_posix()
               for module in finder.modules.values() if module.__file__}
    return sorted(modules - set(TODO)) + list(DOCUMENTS)


def make_folder(folder: Path, more: Iterable[Callable[[Path], object]] = ()) -> None:
    """Write the student's folder.

    The files are prepared in a temporary folder and moved at the end, so that a failure leaves no incomplete folder.

    Args:
        folder: A new or empty folder, or a link to one.
        more: Functions that are called with the path of the unfinished folder, to add files to it.

    Raises:
        UserError: The folder is not empty or is a file.
    """
    folder = Path(os.path.realpath(folder.expanduser()))
    new = not folder.exists()
    if not new and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f'{folder}: already exists and is not an empty folder; name a new folder')
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent if new else folder, prefix='.part-') as place:
        starter = Path(place, 'starter')
        starter.mkdir()
        for fill in (_write_starter, *more):
            fill(starter)
        if new:
            starter.rename(folder)
        else:  # Keep the folder itself: it may be the current folder of a shell.
            for path in starter.iterdir():
                path.rename(folder / path.name)


def _write_starter(starter):
    """Write the files that every student gets into the folder `starter`."""
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


def copy_files(folder: Path, names: Iterable[str] | None = None) -> None:
    """Copy project files into `folder`, with their paths relative to the root.

    Args:
        folder: The target folder.
        names: The paths of the files; None stands for `dependencies()`.
    """
    for name in dependencies() if names is None else names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths.ROOT / name, folder / name)


@errors.command_line
def main(argv: Sequence[str] | None = None) -> None:
    """Make the folder that the command line names."""
    parser = cli.Parser(prog='python -m assignment.make_starter', description=__doc__.split('\n')[0])
    parser.add_argument('folder', type=Path, help='the folder to make; it must be new or empty')
    parser.add_argument('--notebook', action='store_true',
                        help='also write the assignment as a notebook, with a check for each method')
    parser.add_argument('--for', dest='edition', choices=('otter', 'nbgrader'), help='with --notebook: write the '
                        'teacher\'s notebook, with marked solutions, from which otter or nbgrader makes the students\' '
                        'notebook and the tests')
    args = parser.parse_args(argv)
    if args.edition and not args.notebook:
        raise UserError(f'--for {args.edition}: needs --notebook as well')
    make_folder(args.folder, [functools.partial(notebook.write, edition=args.edition)] * args.notebook)
    count = sum(len(regions((paths.ROOT / name).read_text(encoding='utf-8'))) for name in TODO)
    print(f'{args.folder}: {count} places to fill in, in {" and ".join(TODO)}'
          + f', or in {notebook.NOTEBOOK_NAME}' * args.notebook + '; README.md is the handout')


if __name__ == '__main__':
    sys.exit(main())
