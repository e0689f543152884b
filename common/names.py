"""Names of runs: folders of the same name in outputs/, checkpoints/ and graphs/."""

import collections
import hashlib
import os
import re

from common.errors import UserError

MAX_NAME_BYTES = 100  # bytes: the names of files that begin with it must fit into 255
# other folders, patterns, what no terminal shows
FORBIDDEN_CHARACTERS = re.compile(r'[/\\:*?\[\]\x00-\x1f\x7f\ud800-\udfff]')


def validate(name):
    """Return `name`. Raises `UserError` for one that cannot be a folder of its own."""
    if not name or name[0] in '. ' or FORBIDDEN_CHARACTERS.search(name) or len(os.fsencode(name)) > MAX_NAME_BYTES:
        raise UserError(
            f'--name {name!r}: must be 1 to {MAX_NAME_BYTES} bytes, none of / \\ : * ? [ ] or control characters, '
            'and no leading dot or space'
        )
    return name


def from_files(*parts):
    """The parts joined by -, made into a name. Where that changes them a hash of them keeps two from becoming one."""
    wanted = '-'.join(parts)
    name = FORBIDDEN_CHARACTERS.sub('_', wanted).lstrip('. ')
    if name == wanted and len(os.fsencode(name)) <= MAX_NAME_BYTES:
        return validate(name)
    mark = '-' + hashlib.sha256(os.fsencode(wanted)).hexdigest()[:8]
    return validate(os.fsencode(name)[:MAX_NAME_BYTES - len(mark)].decode(errors='ignore') + mark)


def unique_labels(paths):
    """A name to show for each path: its stem, or with its suffix, or all of it where another one has the same."""
    def spelled(path):
        return path.stem, path.name, str(path)
    taken = collections.Counter(name.casefold() for path in paths for name in dict.fromkeys(spelled(path)))
    return [next((name for name in spelled(path) if taken[name.casefold()] == 1), str(path)) for path in paths]
