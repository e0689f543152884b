"""Names of runs, which are also the names of their folders in outputs/, checkpoints/ and graphs/."""

import collections
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError

MAX_NAME_BYTES = 100  # file names that begin with a run's name must fit into 255 bytes
# Path separators, wildcards, control characters, and surrogates, which stand for bytes that are not valid UTF-8
FORBIDDEN_CHARACTERS = re.compile(r'[/\\:*?\[\]\x00-\x1f\x7f\ud800-\udfff]')


def validate(name: str) -> str:
    """Return `name` unchanged; raise `UserError` if it cannot be the name of a run's folder."""
    if not name or name[0] in '. ' or FORBIDDEN_CHARACTERS.search(name) or len(os.fsencode(name)) > MAX_NAME_BYTES:
        raise UserError(
            f'--name {name!r}: must be 1 to {MAX_NAME_BYTES} bytes long, without / \\ : * ? [ ] and control '
            'characters, and must not start with a dot or a space'
        )
    return name


def from_files(*parts: str) -> str:
    """Join file name stems with hyphens into a valid name.

    If the joined text is not a valid name, forbidden characters are replaced, the name is shortened, and part of a hash
    of the original text is appended so that different files get different names.
    """
    wanted = '-'.join(parts)
    name = FORBIDDEN_CHARACTERS.sub('_', wanted).lstrip('. ')
    if name == wanted and len(os.fsencode(name)) <= MAX_NAME_BYTES:
        return validate(name)
    suffix = '-' + hashlib.sha256(os.fsencode(wanted)).hexdigest()[:8]
    return validate(os.fsencode(name)[:MAX_NAME_BYTES - len(suffix)].decode(errors='ignore') + suffix)


def unique_labels(paths: Sequence[Path]) -> list[str]:
    """Return the shortest unambiguous label of each path: its stem, else its file name, else the whole path.

    Labels that differ only in upper and lower case count as the same.
    """
    def candidates(path):
        return path.stem, path.name, str(path)
    counts = collections.Counter(name.casefold() for path in paths for name in dict.fromkeys(candidates(path)))
    return [next((name for name in candidates(path) if counts[name.casefold()] == 1), str(path)) for path in paths]
