"""Photos and pictures in file systems that need not be this machine's: which there are, names, one photo stylized.

A file system, `files`, has the methods of Apache Beam's `FileSystems`; this module does without Beam.
"""

import json
import os
import re
import uuid
from pathlib import PurePosixPath

import utils
from common.errors import UserError
from fast.inference import batch


def glob(text):
    """The glob, absolute, that an input names: itself, or for a folder all that lies below it."""
    if text.endswith('/') or os.path.isdir(text):
        text = text.rstrip('/') + '/**'
    return absolute(text)


def absolute(path):
    """The path for a worker, whose current directory is another; URLs as they are."""
    return path if '://' in path else os.path.abspath(path)


def fixed_prefix(pattern):
    """The folder above the first wildcard of a glob: places of photos are below it."""
    return re.match(r'[^*?[]*', pattern)[0].rpartition('/')[0] + '/'


def photos(files, pattern, out):
    """The paths of a glob's photos, those below `out` left out; of a folder those that utils knows by their suffix."""
    for found in files.match([pattern])[0].metadata_list:
        known = not pattern.endswith('/**') or found.path.lower().endswith(utils.IMAGE_SUFFIXES)
        if known and not found.path.startswith(out + '/'):
            yield found.path


def keyed_photo(pattern, path):
    """Key, (path, place): photos of one key are named together, see `applying.family`."""
    place = path[len(fixed_prefix(pattern)):]
    return str(batch.collision_key(PurePosixPath(place))), (path, place)


def plan_outputs(pairs, out, name):
    """Target -> path of photos, of all pairs (path, place) of one key. Raises `UserError` as `applying.named`."""
    found = [(path, PurePosixPath(place)) for path, place in sorted(set(pairs), key=lambda pair: pair[1])]
    return {f'{out}/{place}': path for place, path in batch.name_outputs(found, PurePosixPath(), name).items()}


def stylize(renderer, files, source, target):
    """Stylize the photo at `source`, write its picture to `target`; return False if one is there already.

    Raises `UserError` for a bad photo, `OSError` where it cannot be read or the picture not be written.
    """
    if files.exists(target):
        return False
    with files.open(source) as file:
        photo = file.read()
    write(files, target, renderer.stylize_bytes(photo, *(PurePosixPath(path).suffix for path in (source, target))))
    return True


def write(files, path, content):
    """Write bytes, whole or not at all: under a name that no other worker has, then renamed."""
    part = f'{path.rpartition("/")[0]}/.part-{uuid.uuid4().hex}'
    try:
        with files.create(part) as file:
            file.write(content)
        files.rename([part], [path])
    except BaseException:
        if files.exists(part):
            files.delete([part])
        raise


def acquire(files, out, name, settings):
    """Note in the folder `out` what its pictures in the style `name` are made with.

    Raises `UserError` where there are some made with other settings.
    """
    path = f'{out}/{name}.json'
    if files.exists(path):
        with files.open(path) as file:
            before = json.loads(file.read())
        if differing := ', '.join(key for key in settings if settings[key] != before.get(key)):
            raise UserError(f'{path}: pictures of this style are there, made with another {differing}; '
                            'name another --output')
    write(files, path, json.dumps(settings, indent=1).encode())  # again, to see that it can be
