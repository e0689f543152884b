"""Large files over a network that breaks: what has come is kept, and nothing is used before its hash is right."""

import errno
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from common import files
from common.errors import UserError

MAX_TRIES = 6  # of a download that does not get on
RETRY_SECONDS = 1
TIMEOUT_SECONDS = 30  # seconds without a byte


def download(url, path, size, sha256):
    """Fetch the file at `url` to `path`, which appears only when it has `size` bytes and that hash (hexadecimal).

    What has come is kept beside it as .part, and a later call goes on from there. An https address is also tried over
    http: the hash protects. Raises `UserError` when it cannot be had or written; a file with another hash is kept as
    .wrong.
    """
    path = Path(path)
    part, wrong = path.with_name(path.name + '.part'), path.with_name(path.name + '.wrong')
    path.parent.mkdir(parents=True, exist_ok=True)
    part.touch()
    urls, failures = [url, re.sub('^https:', 'http:', url)], []
    with tqdm(total=size, initial=part.stat().st_size, unit='B', unit_scale=True, desc=path.name, disable=None) as bar:
        while part.stat().st_size < size and len(failures) < MAX_TRIES:
            before = part.stat().st_size
            try:
                _append(urls[len(failures) % 2], part, size, bar)
            except (OSError, ValueError, http.client.HTTPException) as error:
                if getattr(error, 'errno', None) in (errno.ENOSPC, errno.EDQUOT):
                    raise UserError(f'{part}: {error.strerror}, {size} bytes are needed; with that much room the same '
                                    'command goes on') from error
                reason = error
            else:
                reason = 'the connection was closed'
            if part.stat().st_size <= before:
                failures.append(str(reason))
                time.sleep(RETRY_SECONDS)
    have = part.stat().st_size
    if have < size:
        if not have:
            part.unlink()
        raise UserError(f'{url}: {have} of {size} bytes have come ({"; ".join(dict.fromkeys(failures))}); '
                        'the same command goes on from there')
    if have != size or files.file_hash(part) != sha256:
        os.replace(part, wrong)
        raise UserError(f'{url}: not the expected file, its size or SHA-256 differs; kept as {wrong}, not used')
    os.replace(part, path)


def _append(url, part, size, bar):
    """Add to the file `part` what it lacks of `url`; from the beginning if the server does not know ranges.

    Raises ValueError, `part` untouched, when the server's file is not of `size` bytes: a page that asks to log in, say.
    """
    response, start = _open(url, part.stat().st_size)
    with response:
        told = response.headers.get('Content-Range' if start else 'Content-Length', '*').rpartition('/')[2]
        if told not in ('*', str(size)):
            raise ValueError(f'the file there has {told} bytes')
        with open(part, 'ab' if start else 'wb') as file:
            bar.n = start
            # read1 gives what has come, of which a break would lose up to a block; and a stream may have no end
            while file.tell() < size and (block := response.read1(1 << 16)):
                file.write(block)
                bar.update(len(block))


def _open(url, start):
    """Ask for `url` from byte `start` on; return the response and the byte that it does start from, `start` or 0."""
    request = urllib.request.Request(url, headers={'Range': f'bytes={start}-'} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _open(url, 0)
        raise
    if start and response.status == http.HTTPStatus.PARTIAL_CONTENT:
        if response.headers.get('Content-Range', '').startswith(f'bytes {start}-'):
            return response, start
        response.close()  # some other range
        return _open(url, 0)
    return response, 0
