"""Write files atomically, and hash files and arrays."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Context manager that yields a temporary path and moves it to `path` only if the block succeeds.

    The temporary file is in the same folder, has the same suffix, and is removed if the block fails. Missing parent
    folders are created. An OSError without a file name, or with that of the temporary file, names `path` instead.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name('.part-' + path.name)  # Keep the suffix: writers choose the format by it.
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        # The error of a full disk has no file name, and the user does not know the temporary one.
        if error.filename in (None, str(part)):
            error.filename = str(path)
        raise
    finally:
        part.unlink(missing_ok=True)


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
