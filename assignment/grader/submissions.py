"""What students hand in, as it comes: folders, zip files and notebooks, under the names that Canvas and Moodle give.

Of a submission only the files of `regions.TODO` count. What cannot be read is a submission too, with the reason.
"""

import ast
import contextlib
import itertools
import json
import os
import re
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from assignment import notebook
from assignment.regions import TODO
from common import errors
from common.errors import UserError

MAX_CODE_BYTES = 1_000_000  # bytes of a file of code
MAX_NOTEBOOK_BYTES = 50_000_000  # which has its pictures in it
MAX_FILES = 20_000  # files in a submission
MAX_CLASS_BYTES = 4_000_000_000  # in a class's zip file, unpacked
MAX_FOLDER_DEPTH = 20  # folders
CANVAS_NAME = re.compile(r'(?P<who>[^_]+)(_LATE)?_(?P<id>\d+)_\d+_(?P<file>.+)')
MOODLE_NAME = re.compile(r'(?P<who>.+)_(?P<id>\d+)_assignsubmission_[a-z]+_(?P<file>.*)')
CODE_NAMES = {name: re.compile(re.escape(name[:-3]) + r'( ?\(\d+\)|-\d+)?\.py', re.IGNORECASE) for name in TODO}
NOTEBOOK_SUFFIX = '.ipynb'
IGNORED_NAMES = re.compile(r'\..*|__MACOSX|__pycache__|node_modules|site-packages|venv|env')
TODO_MARK = b'# TODO step'  # as the starter has it
UNSUPPORTED_ARCHIVES = '.rar', '.7z', '.gz', '.tar', '.tgz', '.bz2', '.xz'
WRITEFILE_MAGIC = re.compile(r'%%writefile\s+(?:\S*/)?(' + '|'.join(map(re.escape, TODO)) + r')\s*\n')
NOTEBOOK_CODE = re.compile(rb'%%writefile|"class (StyleTransfer|VGG)\b')  # whole ones, in a cell's lines
LINE_MAGIC = re.compile(r'^(\s*)[%!?].*$', re.MULTILINE)
# what files that are damaged, or made to be, raise
READ_ERRORS = OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error


class Submission(NamedTuple):
    """A student's code. name: as it was given; files: name -> bytes, of TODO; problem: why there are none, or None.

    entries: the paths of all that was handed in
    """
    name: str
    files: dict
    problem: str = None
    entries: tuple = ()


class Unreadable(Exception):
    """A submission cannot be read; the text says why."""


def find_submissions(path, unpacked):
    """The submissions in `path`: a student's folder, zip or notebook; or a class's folder or zip.

    unpacked: a folder for what is in a class's zip
    Raises `UserError` where there is none.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise UserError(f'{path}: no such folder')
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
    groups = {}  # what Canvas and Moodle call one student's belongs together
    for entry in _entries(path):
        match = _owner_name(entry)
        groups.setdefault((match['who'], match['id']) if match else entry.name, []).append(entry)
    if not groups:
        raise UserError(f'{path}: has neither {" nor ".join(TODO)} nor submissions that have')
    solutions = {}
    for key, entries in groups.items():
        name = shown = _display_name('_'.join(key) if isinstance(key, tuple) else key)
        for number in itertools.count(2):
            if name not in solutions:
                break
            name = f'{shown} ({number})'
        solutions[name] = read(name, entries)
    return list(solutions.values())


def _owner_name(entry):
    """The match of a file's name that Canvas or Moodle gave; None."""
    return MOODLE_NAME.fullmatch(entry.name) or CANVAS_NAME.fullmatch(entry.name)


def read(name, entries):
    """The `Submission` of one student, from the files and folders that are theirs."""
    try:
        files = {}
        for entry in entries:
            files |= _candidates(entry)
        return Submission(name, _choose(files), None, tuple(entries))
    except Unreadable as problem:
        return Submission(name, {}, str(problem), tuple(entries))
    except READ_ERRORS as error:
        return Submission(name, {}, f'cannot be read ({errors.one_line(str(error))[:200]})', tuple(entries))


def _display_name(name):
    """A file's name as text that can be printed and written, whatever bytes it has."""
    return errors.one_line(os.fsencode(name).decode('utf-8', 'backslashreplace'))


def _entries(folder):
    return sorted(path for path in folder.iterdir() if not IGNORED_NAMES.fullmatch(path.name))


def _is_single_submission(names):
    """Whether these are the names in one student's submission, not in a class's."""
    return any(pattern.fullmatch(name) for name in names for pattern in CODE_NAMES.values())


def _names_in(folder):
    return [entry.name for entry in os.scandir(folder)]


def _names_in_zip(path):
    """The names at the top of a zip file, or in its only folder."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for info in archive.infolist() if (member := _member(info)).parts
                       and not any(map(IGNORED_NAMES.fullmatch, member.parts))]
        depth = 2 if len({member.parts[0] for member in members}) == 1 else 1
        return [member.name for member in members if len(member.parts) <= depth]
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise UserError(f'{path}: cannot be read as a zip file ({error})') from error


def _member(info):
    """The path of something in a zip file; names of old programs are UTF-8 that was taken for code page 437."""
    name = info.filename
    if not info.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            name = name.encode('cp437').decode('utf-8')
    return PurePosixPath(name.replace('\\', '/'))


def unpack(path, folder, most=MAX_CLASS_BYTES):
    """Unpack a zip file, files only, each below `folder` whatever its name.

    Raises `UserError` where that is more than `most` bytes, and what is in READ_ERRORS.
    """
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        if sum(info.file_size for info in infos) > most:
            raise UserError(f'{path}: unpacked it is larger than {most / 1e9:g} GB; unpack it yourself')
        for info in infos:
            parts = [part for part in _member(info).parts if part not in ('/', '..')]
            if parts and not any(map(IGNORED_NAMES.fullmatch, parts)):
                target = folder.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(info))


def _candidates(entry):
    """Relative path -> a function that reads it, of the files in a folder or zip, or the one file, that could count."""
    if entry.is_dir():
        return _in_folder(entry)
    name = match['file'] if (match := _owner_name(entry)) else entry.name
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == '.zip' or zipfile.is_zipfile(entry):
        return _in_zip(entry)
    if suffix in UNSUPPORTED_ARCHIVES:
        raise Unreadable(f'{name} cannot be read: zip it, or unpack it into a folder')
    return {PurePosixPath(name): lambda: _read_file(entry)}


def _in_folder(folder):
    found, folders = {}, [(folder, PurePosixPath())]
    root = folder.resolve()
    while folders:
        place, relative = folders.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                if IGNORED_NAMES.fullmatch(entry.name):
                    continue
                inner = relative / entry.name
                if entry.is_dir(follow_symlinks=False):
                    if len(inner.parts) <= MAX_FOLDER_DEPTH:
                        folders.append((entry.path, inner))
                    continue
                found[inner] = lambda path=Path(entry.path), inner=inner: _read_linked(path, inner, root)
                if len(found) > MAX_FILES:
                    raise Unreadable(f'has more than {MAX_FILES} files')
    return found | {inner / name: content for inner in list(found) if inner.suffix.lower() == '.zip'
                    and not any(map(_is_counted, found)) for name, content in _in_zip(folder / inner).items()}


def _in_zip(path):
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
    """A file of a folder; a link only to what lies in the folder as well."""
    if path.is_symlink() and root not in path.resolve().parents:
        raise Unreadable(f'{name} is a link out of the folder')
    return _read_file(path)


def _read_file(path):
    with open(os.open(path, os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0)), 'rb') as file:  # a pipe would never end
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise Unreadable(f'{path.name} is no file')
        return _read_limited(file, path.name)


def _read_member(archive, info, name):
    if info.flag_bits & 1:
        raise Unreadable('the zip file has a password')
    if stat.S_ISLNK(info.external_attr >> 16):
        raise Unreadable(f'{name} is a link')
    with archive.open(info) as file:
        return _read_limited(file, name)


def _read_limited(file, name):
    most = MAX_NOTEBOOK_BYTES if str(name).endswith(NOTEBOOK_SUFFIX) else MAX_CODE_BYTES
    content = file.read(most + 1)
    if len(content) > most:
        raise Unreadable(f'{name} has more than {most:,} bytes')
    return content


def _is_counted(path):
    """Which file of TODO a path stands for, as (name, how good a version it is); None."""
    return next(
        ((name, _version(path.name)) for name, pattern in CODE_NAMES.items() if pattern.fullmatch(path.name)), None
    )


def _version(name):
    """Of style_transfer-2.py 2: what came later is meant. Plain names come first where both lie in a folder."""
    number = re.search(r'[-(](\d+)\)?\.py', name)
    return int(number[1]) if number else 1 << 30


def _choose(candidates):
    """name -> bytes of TODO: from the shallowest folder that has both, and what is still to do there from notebooks."""
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
    """name -> a function that reads it, of TODO, whatever there is of it."""
    places = {}
    for path in candidates:
        if counted := _is_counted(path):
            name, version = counted
            best = places.setdefault(path.parent, {})
            if name not in best or version > best[name][0]:
                best[name] = version, candidates[path]
    whole = [place for place, best in places.items() if len(best) == len(TODO)]
    depth = min((len(place.parts) for place in whole), default=0)
    shallowest = [place for place in whole if len(place.parts) == depth] or sorted(places)[:1]
    if len(shallowest) > 1:
        raise Unreadable(f'has {len(shallowest)} versions, in {" and ".join(sorted(map(str, shallowest)))}: leave one')
    return {name: content for place in shallowest for name, (_, content) in places[place].items()}


def _to_utf8(content):
    """Python's own encodings as they are, and what Windows calls Unicode as UTF-8."""
    if content[:2] in (b'\xff\xfe', b'\xfe\xff'):
        return content.decode('utf-16', 'replace').encode()
    return content


# ------------------------------------------------------------------------------------------------------------ notebooks

def _code_of_notebook(content, name, files):
    """name -> bytes of TODO: what code cells write (%%writefile) or define whole, or the files with methods filled in.

    files: those there are, name -> bytes
    """
    if not NOTEBOOK_CODE.search(content):  # of the kit's own edition
        texts = {file: text.decode('utf-8-sig', 'replace') for file, text in files.items()}
        try:
            return {file: text.encode() for file, text in notebook.code_files(content, texts, name).items()}
        except UserError as error:
            raise Unreadable(str(error)) from error
    written, defined = {}, []
    for cell in _code_cells(content):
        if match := WRITEFILE_MAGIC.match(cell):
            written[match[1]] = cell[match.end():]
        else:
            defined += _definitions(cell)
    code = '\n\n'.join(defined)
    for file, wanted in zip(TODO, ('StyleTransfer', 'VGG')):
        if file not in written and re.search(rf'^class {wanted}\b', code, re.MULTILINE):
            written[file] = code
    return {file: text.encode() for file, text in written.items()}


def _code_cells(content):
    try:
        cells = json.loads(content.decode('utf-8-sig'))['cells']
        return [''.join(cell['source']) for cell in cells if cell['cell_type'] == 'code']
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise Unreadable('the notebook cannot be read: it is no JSON with cells') from error


def _definitions(cell):
    """The cell's statements that define something, as text; what runs something has no place in a module."""
    text = LINE_MAGIC.sub(r'\1pass', cell)
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        if re.search(r'^class ', text, re.MULTILINE):
            return [text]  # whose error the student is to be told
        return []
    return [ast.get_source_segment(text, node, padded=True) if not getattr(node, 'decorator_list', None)
            else ast.unparse(node) for node in statements if _defines(node)]


def _defines(node):
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)):
        return True
    return isinstance(node, ast.Assign) and (
        all(isinstance(target, ast.Attribute) for target in node.targets)
        or not any(isinstance(inner, ast.Call) for inner in ast.walk(node.value))
        or all(isinstance(target, ast.Name) and target.id.isupper() for target in node.targets))
