"""Find files, write them atomically, lock folders, and hash files and arrays."""

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.errors import UserError

MAX_NAME_BYTES = 255  # of a file name, on most file systems
SYSTEM_FOLDERS = '@eaDir', '#recycle', '__MACOSX', '$RECYCLE.BIN'  # file servers and archives put copies there


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is not meant for users, such as .part-x.png, ._x.png or @eaDir."""
    return name.startswith('.') or name in SYSTEM_FOLDERS


def visible_files(folder: str | Path) -> list[Path]:
    """Return the sorted paths of all files below a folder, without hidden files and those in hidden folders."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        found += [Path(parent, name) for name in names if not is_hidden(name)]
    return sorted(path for path in found if path.is_file())


def hidden_path(path: Path, prefix: str) -> Path:
    """Return the path of a hidden file or folder beside another one; it has its suffix, by which writers choose."""
    name = f'.{prefix}-{path.name}'
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        name = f'.{prefix}-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}{path.suffix}'
    return path.with_name(name)


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Context manager that yields a temporary path and moves it to `path` only if the block succeeds.

    The temporary file is in the same folder, has the same suffix, and is removed if the block fails. Missing parent
    folders are created. An OSError without a file name, or with that of the temporary file, names `path` instead.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = hidden_path(path, 'part')
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        # The error of a full disk has no file name, and the user does not know the temporary one.
        if error.filename in (None, str(part), f'file:{part}'):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive_lock(folder: Path, busy: str, *hints: tuple[str, str]) -> Iterator[None]:
    """Lock a folder within a `with` block, so that no other process uses it.

    Args:
        folder: An existing folder; its lock is the file `lock`.
        busy: The error message if another process has locked the folder.
        hints: The hints that follow this message, see `UserError`.

    Raises:
        UserError: Another process has locked the folder, or nothing can be written there.
    """
    # SQLite's file lock behaves the same on every system, and a killed process leaves no lock behind.
    path = folder / 'lock'
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)))
            lock.execute('BEGIN EXCLUSIVE')
        except sqlite3.OperationalError as error:
            if 'locked' not in str(error):
                raise UserError(f'{path}: cannot be opened for writing ({error})') from error
            raise UserError(busy, *hints) from error
        except sqlite3.DatabaseError as error:
            raise UserError(f'{path}: is not a lock file ({error}); remove it') from error
        yield


def file_hash(path: str | Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def array_hash(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's values, converted to float32, as hexadecimal text."""
    return hashlib.sha256(np.float32(array).tobytes()).hexdigest()
