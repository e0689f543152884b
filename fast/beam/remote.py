"""List, name, stylize and write photos in any file system that Apache Beam supports, local or remote.

The parameter `files` is a file system: any object with the methods of `apache_beam.io.filesystems.FileSystems`. This
module does not import Beam.
"""

import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

import utils
from common.errors import UserError
from common.files import is_hidden
from fast.inference import batch


def glob(text: str) -> str:
    """Convert a value of --input to an absolute glob pattern; a folder becomes the pattern of all files below it."""
    if text.endswith('/') or os.path.isdir(text):
        text = text.rstrip('/') + '/**'
    return absolute(text)


def absolute(path: str) -> str:
    """Make a path absolute, because workers have other current directories; leave URLs unchanged."""
    return path if '://' in path else os.path.abspath(path)


def fixed_prefix(pattern: str) -> str:
    """Return the folder, with a trailing slash, that precedes the first wildcard of a glob pattern.

    The relative paths of the photos start at this folder.
    """
    return re.match(r'[^*?[]*', pattern)[0].rpartition('/')[0] + '/'


def photos(files, pattern: str, out: str) -> Iterator[str]:
    """Yield the paths of the photos that match a glob pattern, except for files below the output folder `out`.

    In a folder (a pattern that ends in /**), only files with one of `utils.IMAGE_SUFFIXES` are photos. Hidden files and
    those in hidden folders are none, see `is_hidden`.
    """
    start = len(fixed_prefix(pattern))
    for file in files.match([pattern])[0].metadata_list:
        if pattern.endswith('/**') and (not file.path.lower().endswith(utils.IMAGE_SUFFIXES)
                                        or any(map(is_hidden, file.path[start:].split('/')))):
            continue
        if not file.path.startswith(out + '/'):
            yield file.path


def keyed_photo(pattern: str, path: str) -> tuple[str, tuple[str, str]]:
    """Return (key, (path, relative path)) of a photo that matches a glob pattern.

    Photos with the same key might get the same output name, so `plan_outputs` names them together; see
    `batch.collision_key`.
    """
    relative = path[len(fixed_prefix(pattern)):]
    return str(batch.collision_key(PurePosixPath(relative))), (path, relative)


def plan_outputs(pairs: Iterable[tuple[str, str]], out: str, name: str) -> dict[str, str]:
    """Choose the output paths of all photos that have the same key.

    Args:
        pairs: (path, relative path) of each photo, from `keyed_photo`.
        out: folder for the pictures.
        name: name of the style, which becomes part of the file names.

    Returns:
        Output path -> path of the photo.

    Raises:
        UserError: two photos would get the same output path.
    """
    sources = [(path, PurePosixPath(relative)) for path, relative in sorted(set(pairs), key=lambda pair: pair[1])]
    return {f'{out}/{target}': path for target, path in batch.name_outputs(sources, PurePosixPath(), name).items()}


def stylize(renderer: batch.Renderer, files, source: str, target: str) -> bool:
    """Stylize a photo and write the picture, unless its file exists.

    Args:
        renderer: model, style and options.
        files: file system.
        source: path of the photo.
        target: path of the picture.

    Returns:
        Whether the picture was written; False if `target` exists already.

    Raises:
        UserError: the photo is not a readable image.
        OSError: the photo cannot be read or the picture cannot be written.
    """
    if files.exists(target):
        return False
    with files.open(source) as file:
        photo = file.read()
    write(files, target, renderer.stylize_bytes(photo, *(PurePosixPath(path).suffix for path in (source, target))))
    return True


def write(files, path: str, content: bytes) -> None:
    """Write a file atomically: write it under a name that is unique among all workers, then rename it."""
    part = f'{path.rpartition("/")[0]}/.part-{uuid.uuid4().hex}'
    try:
        with files.create(part) as file:
            file.write(content)
        files.rename([part], [path])
    except BaseException:
        if files.exists(part):
            files.delete([part])
        raise


def acquire(files, out: str, name: str, settings: dict) -> None:
    """Record the settings of the pictures of a style in the output folder, as <name>.json.

    This keeps a later run with other settings from mixing its pictures with the existing ones.

    Args:
        files: file system.
        out: folder for the pictures.
        name: name of the style.
        settings: the settings, for JSON, from `batch.Renderer.settings`.

    Raises:
        UserError: the folder has pictures of this style that were made with other settings.
    """
    path = f'{out}/{name}.json'
    if files.exists(path):
        with files.open(path) as file:
            before = json.loads(file.read())
        if differing := ', '.join(key for key in settings if settings[key] != before.get(key)):
            raise UserError(f'{path}: the folder has pictures of this style that were made with other settings '
                            f'({differing}); choose another --output')
    # Write the file even if it exists, to check early that the folder is writable.
    write(files, path, json.dumps(settings, indent=1).encode())
