"""Download large files over unreliable connections: resume after a break, and verify the hash before use."""

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

MAX_TRIES = 6  # attempts without a received byte, after which the download fails
RETRY_SECONDS = 1
TIMEOUT_SECONDS = 30  # longest time without a received byte


def download(url: str, path: str | Path, size: int, sha256: str) -> None:
    """Download `url` to `path`, which appears only when the file has the expected size and hash.

    The bytes received so far are kept next to `path` with the suffix .part, and a later call resumes from there. An
    https address is also tried over http, which is safe because the hash is checked.

    Args:
        url: The address of the file.
        path: Where the file is written; missing parent folders are created.
        size: The expected size in bytes.
        sha256: The expected SHA-256 as hexadecimal text.

    Raises:
        UserError: The download fails, the disk is full, or the size or the hash is wrong. A file with a wrong size or
            hash is kept next to `path` with the suffix .wrong.
        OSError: The folder or the file cannot be written for another reason.
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
                    raise UserError(f'{part}: {error.strerror}; the download needs {size} bytes, so free some space '
                                    'and run the same command again to continue') from error
                reason = error
            else:
                reason = 'the connection was closed'
            if part.stat().st_size <= before:
                failures.append(str(reason))
                time.sleep(RETRY_SECONDS)
    received = part.stat().st_size
    if received < size:
        if not received:
            part.unlink()
        raise UserError(f'{url}: received only {received} of {size} bytes ({"; ".join(dict.fromkeys(failures))}); '
                        'run the same command again to continue from there')
    if received != size or files.file_hash(part) != sha256:
        os.replace(part, wrong)
        raise UserError(f'{url}: this is not the expected file, its size or SHA-256 differs; kept as {wrong}, not used')
    os.replace(part, path)


def _append(url, part, size, bar):
    """Append the missing bytes of `url` to the file `part`; start over if the server does not support ranges.

    Raises ValueError, and leaves `part` as it is, if the server's file does not have `size` bytes, for example because
    it is a login page.
    """
    response, start = _open(url, part.stat().st_size)
    with response:
        total = response.headers.get('Content-Range' if start else 'Content-Length', '*').rpartition('/')[2]
        if total not in ('*', str(size)):
            raise ValueError(f'the file on the server has {total} bytes')
        with open(part, 'ab' if start else 'wb') as file:
            bar.n = start
            # `read1` returns what has arrived; `read` would lose up to a block if the connection broke. The size is
            # checked because a stream without a declared length may never end.
            while file.tell() < size and (block := response.read1(1 << 16)):
                file.write(block)
                bar.update(len(block))


def _open(url, start):
    """Request `url` from byte `start`; return the response and its actual first byte, which is `start` or 0."""
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
        response.close()  # The server sent a different range.
        return _open(url, 0)
    return response, 0
