"""Reduce TensorFlow's resident memory by giving back pages of its shared libraries.

A third of a gigabyte of TensorFlow's resident memory consists of pages of library files. Most of them contain tables
that only the dynamic linker reads, and only once. The kernel reads a page from its file again if a process needs it.
"""

import ctypes
import importlib.util
import sys
from pathlib import Path

LIBRARIES = 'libtensorflow_framework.so.2', 'libtensorflow_cc.so.2'  # dependencies first
MADV_RANDOM, MADV_DONTNEED = 1, 4  # advice values of madvise(2)


def load_libraries() -> None:
    """Link TensorFlow's libraries and give back the pages that linking touched; do nothing outside Linux.

    Call this before TensorFlow is imported.
    """
    spec = importlib.util.find_spec('tensorflow')
    if sys.platform != 'linux' or not spec:
        return
    for name in LIBRARIES:
        path = Path(spec.submodule_search_locations[0], name)
        if path.is_file():
            ctypes.CDLL(str(path))
            release_pages()


def release_pages() -> None:
    """Give back the unmodified pages of shared libraries and turn off their read-ahead; do nothing outside Linux."""
    if sys.platform != 'linux':
        return
    libc, addresses = ctypes.CDLL(None), None
    for line in Path('/proc/self/smaps').read_text().splitlines():
        first, *others = line.split()
        if not first.endswith(':'):
            addresses = first if others[0] in ('r-xp', 'r--p') and '.so' in others[-1] else None
        elif addresses and first == 'Anonymous:' and others[0] == '0':  # A modified page could not be read again.
            begin, end = (int(address, 16) for address in addresses.split('-'))
            for advice in (MADV_DONTNEED, MADV_RANDOM):
                libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), advice)
