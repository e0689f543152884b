"""Read submissions as students hand them in: folders, zip files and notebooks, also as Canvas and Moodle name them.

Only the files of `regions.TODO` in a submission count. A submission that cannot be read still becomes a `Submission`,
with the reason as its `problem`.
"""

import contextlib
import itertools
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from assignment import cell_code, notebook
from assignment.regions import TODO
from common import errors
from common.errors import UserError

MAX_CODE_BYTES = 1_000_000  # size of a file of code
MAX_FILES = 20_000  # files in a submission
MAX_CLASS_BYTES = 4_000_000_000  # contents of a class's zip file, unpacked
MAX_FOLDER_DEPTH = 20  # levels of nested folders
CANVAS_NAME = re.compile(r'(?P<who>[^_]+)(_LATE)?_(?P<id>\d+)_\d+_(?P<file>.+)')
MOODLE_NAME = re.compile(r'(?P<who>.+)_(?P<id>\d+)_assignsubmission_[a-z]+_(?P<file>.*)')
CODE_NAMES = {name: re.compile(re.escape(name[:-3]) + r'( ?\(\d+\)|-\d+)?\.py', re.IGNORECASE) for name in TODO}
NOTEBOOK_SUFFIX = '.ipynb'
IGNORED_NAMES = re.compile(r'\..*|__MACOSX|__pycache__|node_modules|site-packages|venv|env')
TODO_MARK = b'# TODO step'  # begins the comment above each unsolved region of the starter
UNSUPPORTED_ARCHIVES = '.rar', '.7z', '.gz', '.tar', '.tgz', '.bz2', '.xz'
WRITEFILE_ARGUMENTS = re.compile(r'(?P<append>\s+(-a|--append))?\s+[\'"]?([^\'"]*/)?(?P<file>'
                                 + '|'.join(map(re.escape, TODO)) + r')[\'"]?\s*')
# Exceptions that reading a damaged file raises, whether the damage is an accident or an attack.
READ_ERRORS = OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error


class Submission(NamedTuple):
    """One student's code.

    Attributes:
        name: name of the submission, for messages and grades.
        files: name -> content of the files of `regions.TODO`; empty if they could not be read.
        problem: why the files could not be read, or None.
        entries: paths of all files and folders that the student handed in.
    """
    name: str
    files: dict[str, bytes]
    problem: str | None = None
    entries: tuple[Path, ...] = ()


class Unreadable(Exception):
    """Raised if a submission cannot be read; its text says why."""


def find_submissions(path: str | Path, unpacked: Path) -> list[Submission]:
    """Read the submission of one student, or all submissions of a class.

    Args:
        path: a student's folder, zip file or notebook, or a class's folder or zip file.
        unpacked: folder into which a class's zip file is unpacked.

    Returns:
        The submissions, each with a different name.

    Raises:
        UserError: there is no submission, or the zip file cannot be read or is too large.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise UserError(f'{path}: no such file or folder')
    if path.is_file() and path.suffix.lower() != NOTEBOOK_SUFFIX:
        if not zipfile.is_zipfile(path):
            raise UserError(f'{path}: neither a folder, a zip file nor a notebook')
        if _is_single_submission(_names_in_zip(path)):
            return [read(_display_name(path.stem), [path])]
        unpack(path, unpacked)
        path = unpacked
        while (
            len(inner := _entries(path)) == 1 and inner[0].is_dir() and not _is_single_submission(_names_in(inner[0]))
        ):
            path = inner[0]
    if path.is_file() or _is_single_submission(_names_in(path)):
        return [read(_display_name(path.resolve().name), [path])]
    groups = {}  # Canvas and Moodle export several files per student: group them by owner.
    for entry in _entries(path):
        match = _owner_name(entry)
        groups.setdefault((match['who'], match['id']) if match else entry.name, []).append(entry)
    if not groups:
        raise UserError(f'{path}: has neither {" nor ".join(TODO)} nor submissions that contain them')
    solutions = {}
    for key, entries in groups.items():
        name = display_name = _display_name('_'.join(key) if isinstance(key, tuple) else key)
        for number in itertools.count(2):
            if name not in solutions:
                break
            name = f'{display_name} ({number})'
        solutions[name] = read(name, entries)
    return list(solutions.values())


def _owner_name(entry):
    """Match a file's name against the patterns of Moodle and Canvas; return None for any other name."""
    return MOODLE_NAME.fullmatch(entry.name) or CANVAS_NAME.fullmatch(entry.name)


def read(name: str, entries: Sequence[Path]) -> Submission:
    """Read the submission of one student from all their files and folders; a failure becomes its `problem`."""
    try:
        files = {}
        for entry in entries:
            files |= _candidates(entry)
        return Submission(name, _select_files(files), None, tuple(entries))
    except Unreadable as problem:
        return Submission(name, {}, str(problem), tuple(entries))
    except READ_ERRORS as error:
        return Submission(name, {}, f'cannot be read ({errors.one_line(str(error))[:200]})', tuple(entries))


def _display_name(name):
    """Return a file's name as one line of valid text; bytes that are not UTF-8 are escaped."""
    return errors.one_line(os.fsencode(name).decode('utf-8', 'backslashreplace'))


def _entries(folder):
    """List the files and folders in a folder, sorted, without hidden ones and other names of IGNORED_NAMES."""
    return sorted(path for path in folder.iterdir() if not IGNORED_NAMES.fullmatch(path.name))


def _is_single_submission(names):
    """Return whether the names include a file of code, so that they belong to one student and not to a class."""
    return any(pattern.fullmatch(name) for name in names for pattern in CODE_NAMES.values())


def _names_in(folder):
    """List all names in a folder."""
    return [entry.name for entry in os.scandir(folder)]


def _names_in_zip(path):
    """List the names of files at the top level of a zip file, and of those in its top folder if it has only one."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for info in archive.infolist() if (member := _member(info)).parts
                       and not any(map(IGNORED_NAMES.fullmatch, member.parts))]
        depth = 2 if len({member.parts[0] for member in members}) == 1 else 1
        return [member.name for member in members if len(member.parts) <= depth]
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise UserError(f'{path}: cannot be read as a zip file ({error})') from error


def _member(info):
    """Return the path of a member of a zip file.

    Old programs store UTF-8 names without the flag that says so; `zipfile` decodes these as code page 437.
    """
    name = info.filename
    if not info.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            name = name.encode('cp437').decode('utf-8')
    return PurePosixPath(name.replace('\\', '/'))


def unpack(path: Path, folder: Path, max_bytes: int = MAX_CLASS_BYTES) -> None:
    """Unpack the files of a zip file, each below `folder`, even if its name is absolute or has "..".

    Args:
        path: the zip file.
        folder: where to write the files.
        max_bytes: largest total size of the unpacked files, in bytes.

    Raises:
        UserError: the unpacked files would be larger than `max_bytes`.
        READ_ERRORS: the zip file is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        if sum(info.file_size for info in infos) > max_bytes:
            raise UserError(f'{path}: its contents are larger than {max_bytes / 1e9:g} GB; unpack it yourself')
        for info in infos:
            parts = [part for part in _member(info).parts if part not in ('/', '..')]
            if parts and not any(map(IGNORED_NAMES.fullmatch, parts)):
                target = folder.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(info))


def _candidates(entry):
    """Return relative path -> function that reads the file, for all files in a folder or zip file, or for one file."""
    if entry.is_dir():
        return _in_folder(entry)
    name = match['file'] if (match := _owner_name(entry)) else entry.name
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == '.zip' or zipfile.is_zipfile(entry):
        return _in_zip(entry)
    if suffix in UNSUPPORTED_ARCHIVES:
        raise Unreadable(f'{name} cannot be read: hand in a zip file or a folder instead')
    return {PurePosixPath(name): lambda: _read_file(entry)}


def _in_folder(folder):
    """Return relative path -> function that reads the file, for all files below a folder.

    If none of them is a file of code, the files in the folder's zip files are added.
    """
    readers, folders = {}, [(folder, PurePosixPath())]
    root = folder.resolve()
    while folders:
        current, relative = folders.pop()
        with os.scandir(current) as entries:
            for entry in entries:
                if IGNORED_NAMES.fullmatch(entry.name):
                    continue
                inner = relative / entry.name
                if entry.is_dir(follow_symlinks=False):
                    if len(inner.parts) <= MAX_FOLDER_DEPTH:
                        folders.append((entry.path, inner))
                    continue
                readers[inner] = lambda path=Path(entry.path), inner=inner: _read_linked(path, inner, root)
                if len(readers) > MAX_FILES:
                    raise Unreadable(f'has more than {MAX_FILES} files')
    return readers | {inner / name: content for inner in list(readers) if inner.suffix.lower() == '.zip'
                      and not any(map(_code_file, readers)) for name, content in _in_zip(folder / inner).items()}


def _in_zip(path):
    """Return relative path -> function that reads the file, for all files in a zip file."""
    archive = zipfile.ZipFile(path)
    infos = archive.infolist()
    if len(infos) > MAX_FILES:
        raise Unreadable(f'{path.name} has more than {MAX_FILES} files')
    return {
        name: lambda info=info, name=name: _read_member(archive, info, name)
        for info in infos
        if not info.is_dir() and not any(map(IGNORED_NAMES.fullmatch, (name := _member(info)).parts))
    }


def _read_linked(path, name, root):
    """Read a file of a submission's folder `root`; a link must lead to a file in the same folder."""
    if path.is_symlink() and root not in path.resolve().parents:
        raise Unreadable(f'{name} is a link out of the folder')
    return _read_file(path)


def _read_file(path):
    """Read a regular file."""
    with open(os.open(path, os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0)), 'rb') as file:  # Opening a pipe would block.
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise Unreadable(f'{path.name} is not a regular file')
        return _read_limited(file, path.name)


def _read_member(archive, info, name):
    """Read a member of a zip file."""
    if info.flag_bits & 1:
        raise Unreadable('the zip file has a password')
    if stat.S_ISLNK(info.external_attr >> 16):
        raise Unreadable(f'{name} is a link')
    with archive.open(info) as file:
        return _read_limited(file, name)


def _read_limited(file, name):
    """Read an open file; raise `Unreadable` if it is larger than the limit for its kind."""
    limit = notebook.MAX_NOTEBOOK_BYTES if str(name).endswith(NOTEBOOK_SUFFIX) else MAX_CODE_BYTES
    content = file.read(limit + 1)
    if len(content) > limit:
        raise Unreadable(f'{name} has more than {limit:,} bytes')
    return content


def _code_file(path):
    """Return (name, version) of the file of TODO that a path stands for, or None; the highest version counts."""
    return next(
        ((name, _version(path.name)) for name, pattern in CODE_NAMES.items() if pattern.fullmatch(path.name)), None
    )


def _version(name):
    """Return the version of a file, for example 2 of style_transfer-2.py; a plain name counts as the newest."""
    number = re.search(r'[-(](\d+)\)?\.py', name)
    return int(number[1]) if number else 1 << 30


def _select_files(candidates):
    """Return name -> content of the files of TODO.

    They come from the least nested folder that has both. If one is missing or has TODO marks, notebooks complete it.
    """
    files = {name: _to_utf8(content()) for name, content in _from_one_folder(candidates).items()}
    notebooks = sorted(path for path in candidates if path.suffix.lower() == NOTEBOOK_SUFFIX)
    if len(files) < len(TODO) or any(TODO_MARK in content for content in files.values()):
        for path in notebooks:
            files |= _code_of_notebook(candidates[path](), path.name, files)
    if missing := [name for name in TODO if name not in files]:
        others = ', '.join(sorted({errors.one_line(path.name) for path in candidates})[:5]) or 'nothing'
        raise Unreadable(f'{missing[0]} is missing; there is {others}')
    return files


def _from_one_folder(candidates):
    """Return name -> function that reads the file, for the files of TODO in the least nested folder that has both.

    If no folder has both, the first folder with one of them counts.
    """
    folders = {}
    for path in candidates:
        if code_file := _code_file(path):
            name, version = code_file
            best = folders.setdefault(path.parent, {})
            if name not in best or version > best[name][0]:
                best[name] = version, candidates[path]
    complete = [folder for folder, best in folders.items() if len(best) == len(TODO)]
    depth = min((len(folder.parts) for folder in complete), default=0)
    shallowest = [folder for folder in complete if len(folder.parts) == depth] or sorted(folders)[:1]
    if len(shallowest) > 1:
        raise Unreadable(f'has {len(shallowest)} versions, in {" and ".join(sorted(map(str, shallowest)))}: keep one')
    return {name: content for folder in shallowest for name, (_, content) in folders[folder].items()}


def _to_utf8(content):
    """Convert UTF-16, which Windows calls Unicode, to UTF-8; leave other encodings to Python."""
    if content[:2] in (b'\xff\xfe', b'\xfe\xff'):
        return content.decode('utf-16', 'replace').encode()
    return content


# ------------------------------------------------------------------------------------------------------------ notebooks

def _code_of_notebook(content, name, files):
    """Return name -> content of the files of TODO that a notebook provides.

    A notebook may write the files with %%writefile, define their classes in its cells, or be the notebook edition of
    the assignment, whose methods are inserted into the files.

    Args:
        content: bytes of the notebook.
        name: name of the notebook, for messages.
        files: name -> content of the files that the submission has already.
    """
    try:
        sources, _ = notebook.read_cells(content, name)
        texts = _written_files(sources)
        texts |= {file: cell_code.file_text(file, sources) for file in TODO
                  if file not in texts and cell_code.defines_class(sources, file)}
        if not texts:  # It is the notebook edition.
            existing = {file: text.decode('utf-8-sig', 'replace') for file, text in files.items()}
            texts = notebook.code_files(content, existing, name)
    except UserError as error:
        raise Unreadable(str(error)) from error
    return {file: text.encode() for file, text in texts.items()}


def _written_files(sources):
    """Return name -> text of the files of TODO that cells write with %%writefile."""
    written = {}
    for source in sources:
        magic = cell_code.CELL_MAGIC.match(source)
        if magic and magic[1] in ('writefile', 'file') and (arguments := WRITEFILE_ARGUMENTS.fullmatch(magic[2])):
            before = written.get(arguments['file'], '') if arguments['append'] else ''
            written[arguments['file']] = before + source[magic.end():]
    return written
