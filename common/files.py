"""Files that appear whole, and hashes of files and arrays."""

import contextlib
import hashlib
import os
from pathlib import Path

import numpy as np


@contextlib.contextmanager
def atomic_write(path):
    """Yield a path beside `path` to write to; it becomes `path` if the block succeeds and vanishes if it does not."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name('.part-' + path.name)  # the same suffix: writers choose the format by it
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        if error.filename in (None, str(part)):  # what a full disk leaves out, and what nobody asked for
            error.filename = str(path)
        raise
    finally:
        part.unlink(missing_ok=True)


def file_hash(path):
    """SHA-256 of a file, as hexadecimal text."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def array_hash(array):
    """SHA-256 of an array's numbers as float32, as hexadecimal text."""
    return hashlib.sha256(np.float32(array).tobytes()).hexdigest()
