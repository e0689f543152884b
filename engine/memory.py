"""How much memory there is."""

from pathlib import Path


def free_memory():
    """Bytes that a program could use without swapping; 4 GB on a system that does not say."""
    try:
        about = dict(line.split(':') for line in Path('/proc/meminfo').read_text().splitlines())
        return 1024 * int(about['MemAvailable'].split()[0])
    except (OSError, KeyError):
        return 4 << 30
