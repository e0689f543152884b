"""TensorFlow in little memory: pages of its libraries that were read once, while they were linked, are given back.

A third of a gigabyte of TensorFlow's resident memory are pages of its files, most of them the tables by which they are
linked. Whoever needs one again gets it from the file.
"""

import ctypes
import importlib.util
import sys
from pathlib import Path

LIBRARIES = 'libtensorflow_framework.so.2', 'libtensorflow_cc.so.2'  # in the order in which they are needed
MADV_RANDOM, MADV_DONTNEED = 1, 4  # of madvise


def load_libraries():
    """Link TensorFlow's libraries, before it is imported, and give back what that took; on Linux."""
    found = importlib.util.find_spec('tensorflow')
    if sys.platform != 'linux' or not found:
        return
    for name in LIBRARIES:
        path = Path(found.submodule_search_locations[0], name)
        if path.is_file():
            ctypes.CDLL(str(path))
            release_pages()


def release_pages():
    """Let go of the pages of files that no process has changed, and from now on read single ones; on Linux."""
    if sys.platform != 'linux':
        return
    libc, mapped = ctypes.CDLL(None), None
    for line in Path('/proc/self/smaps').read_text().splitlines():
        first, *others = line.split()
        if not first.endswith(':'):
            mapped = first if others[0] in ('r-xp', 'r--p') and '.so' in others[-1] else None
        elif mapped and first == 'Anonymous:' and others[0] == '0':  # a page that was written to is in no file
            begin, end = (int(address, 16) for address in mapped.split('-'))
            for advice in (MADV_DONTNEED, MADV_RANDOM):
                libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), advice)
