"""Downloads from a local server that fails in the ways of real servers, and the program load_vgg.py that uses them."""

import hashlib
import http.server
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import load_vgg
from common import download, paths
from common.errors import UserError
from common.tf1 import tf2

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serve CONTENT; the path of a request selects how.

    /whole: correctly.
    /wrong: other bytes of the same length.
    /endless: the bytes of /wrong repeatedly, without a length.
    /page: a short HTML page.
    /missing: status 404.
    /drops: a third of the requested bytes, then the connection is closed.
    /resets, /stalls: for requests from the beginning a third of the bytes, then the connection is reset or stalls.
    /no-range: the whole content, ignoring the requested range.
    /no-range-drops: /no-range and /drops together.
    /unsatisfiable: status 416 for any range.
    /shifted: a range that starts 100 bytes too late.
    """

    def do_GET(self):
        range_header = self.headers.get('Range')
        self.server.requests.append((self.path, range_header))
        if self.path == '/missing':
            return self.send_error(404)
        if self.path == '/unsatisfiable' and range_header:
            return self.send_error(416)
        first = int(re.fullmatch(r'bytes=(\d+)-', range_header)[1]) if range_header else 0
        if self.path.startswith('/no-range') or self.path == '/page':
            first = 0
        elif self.path == '/shifted' and first:
            first += 100
        self.send_response(206 if first else 200)
        wrong = b'x' * len(CONTENT)
        body = {'/wrong': wrong, '/endless': wrong, '/page': b'<p>log in'}.get(self.path, CONTENT)[first:]
        if self.path != '/endless':
            self.send_header('Content-Length', str(len(body)))
        if first:
            self.send_header('Content-Range', f'bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}')
        self.end_headers()
        self.send_body(body, is_broken=self.path.endswith('drops') or self.path in ('/resets', '/stalls') and not first)

    def send_body(self, body, is_broken):
        if is_broken:
            body = body[:max(1, len(body) // 3)]
        for _ in range(20 if self.path == '/endless' else 1):
            self.wfile.write(body)
        if is_broken and self.path == '/stalls':
            self.server.closing.wait(30)
        elif is_broken and self.path == '/resets':
            time.sleep(0.05)  # A reset discards bytes that the client has not read yet.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            self.connection.close()

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # The client has closed the connection.


@pytest.fixture
def server(monkeypatch):
    """Start a server; its attribute `requests` lists the requests, (path, range)."""
    monkeypatch.setattr(download, 'RETRY_SECONDS', 0)
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    with Server(('127.0.0.1', 0), Handler) as server:
        server.requests, server.closing = [], threading.Event()
        server.url = f'http://127.0.0.1:{server.server_port}'
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.closing.set()
        server.shutdown()


def download_from(server, name, path, size=len(CONTENT), sha256=SHA256):
    """Download the path `name` of the server to a file."""
    download.download(f'{server.url}/{name}', path, size, sha256)


def test_a_file_is_downloaded(server, tmp_path):
    download_from(server, 'whole', tmp_path / 'new' / 'file')
    assert (tmp_path / 'new' / 'file').read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['file']


def test_a_dropped_connection_is_resumed_by_a_range_request(server, tmp_path):
    download_from(server, 'drops', tmp_path / 'file')
    assert (tmp_path / 'file').read_bytes() == CONTENT
    ranges = [requested for _, requested in server.requests]
    assert ranges[:2] == [None, f'bytes={len(CONTENT) // 3}-'] and len(ranges) > 3


@pytest.mark.parametrize('name', ['resets', 'stalls'])
def test_a_connection_that_is_reset_or_stalls_is_resumed(server, tmp_path, monkeypatch, name):
    monkeypatch.setattr(download, 'TIMEOUT_SECONDS', 0.5)
    download_from(server, name, tmp_path / 'file')
    assert (tmp_path / 'file').read_bytes() == CONTENT
    assert server.requests == [(f'/{name}', None), (f'/{name}', f'bytes={len(CONTENT) // 3}-')]


def test_the_partial_file_of_an_earlier_call_is_continued(server, tmp_path):
    (tmp_path / 'file.part').write_bytes(CONTENT[:1234])
    download_from(server, 'whole', tmp_path / 'file')
    assert server.requests == [('/whole', 'bytes=1234-')] and (tmp_path / 'file').read_bytes() == CONTENT


@pytest.mark.parametrize('name', ['no-range', 'unsatisfiable', 'shifted'])
def test_the_download_starts_over_if_the_server_lacks_the_range(server, tmp_path, name):
    (tmp_path / 'file.part').write_bytes(b'y' * 1234)
    download_from(server, name, tmp_path / 'file')
    assert (tmp_path / 'file').read_bytes() == CONTENT
    assert [requested for _, requested in server.requests] == ['bytes=1234-', None][:1 if name == 'no-range' else 2]


def test_the_download_gives_up_after_the_maximum_number_of_tries(server, tmp_path):
    with pytest.raises(UserError, match='100000 of 300000 bytes .the connection was closed.; '
                                        'run the same command'):
        download_from(server, 'no-range-drops', tmp_path / 'file')
    assert len(server.requests) == 1 + download.MAX_TRIES and not (tmp_path / 'file').exists()
    download_from(server, 'whole', tmp_path / 'file')
    assert server.requests[-1] == ('/whole', 'bytes=100000-') and (tmp_path / 'file').read_bytes() == CONTENT


def test_a_file_with_a_wrong_hash_is_kept_aside_and_not_used(server, tmp_path):
    with pytest.raises(UserError, match='size or SHA-256 differs; kept as .*file.wrong, not used'):
        download_from(server, 'wrong', tmp_path / 'file')
    assert [path.name for path in tmp_path.iterdir()] == ['file.wrong']


def test_an_endless_stream_is_cut_off_and_not_used(server, tmp_path):
    with pytest.raises(UserError, match='SHA-256 differs'):
        download_from(server, 'endless', tmp_path / 'file')
    assert [path.name for path in tmp_path.iterdir()] == ['file.wrong']
    assert len(CONTENT) <= (tmp_path / 'file.wrong').stat().st_size < 2 * len(CONTENT)


def test_a_web_page_instead_of_the_file_leaves_the_partial_file(server, tmp_path):
    (tmp_path / 'file.part').write_bytes(CONTENT[:1234])
    with pytest.raises(UserError, match='1234 of 300000 bytes .the file on the server has 9 bytes.'):
        download_from(server, 'page', tmp_path / 'file')
    assert (tmp_path / 'file.part').read_bytes() == CONTENT[:1234] and not (tmp_path / 'file').exists()


def test_a_wrong_size_is_reported_before_the_download(server, tmp_path):
    with pytest.raises(UserError, match='the file on the server has 300000 bytes'):
        download_from(server, 'whole', tmp_path / 'file', size=300_001)
    with pytest.raises(UserError, match='the file on the server has 300000 bytes'):
        download_from(server, 'whole', tmp_path / 'file', size=1000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('url, reason', [('{}/missing', 'HTTP Error 404'), ('http://127.0.0.1:9/file', 'refused'),
                                         ('nothing', 'unknown url type'), ('{}/é', 'ascii'), ('http://[::', 'IPv6')])
def test_an_unreachable_address_is_reported_with_the_reason(server, tmp_path, url, reason):
    with pytest.raises(UserError, match=f'0 of 300000 bytes .*{reason}.*continue from there'):
        download.download(url.format(server.url), tmp_path / 'file', len(CONTENT), SHA256)
    assert list(tmp_path.iterdir()) == []


def test_http_is_tried_if_https_fails(server, tmp_path):
    https = server.url.replace('http:', 'https:')
    download.download(f'{https}/whole', tmp_path / 'file', len(CONTENT), SHA256)
    assert (tmp_path / 'file').read_bytes() == CONTENT
    with pytest.raises(UserError, match='SSL.*; HTTP Error 404'):
        download.download(f'{https}/missing', tmp_path / 'other', len(CONTENT), SHA256)


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='a disk that is always full is Linux\'s')
def test_a_full_disk_is_reported_without_another_try(server, tmp_path):
    (tmp_path / 'file.part').symlink_to('/dev/full')
    with pytest.raises(UserError, match='file.part: No space left on device; the download needs 300000 bytes'):
        download_from(server, 'whole', tmp_path / 'file')
    assert len(server.requests) == 1 and not (tmp_path / 'file').exists()


# -------------------------------------------------------------------------------------------------- python load_vgg.py

@pytest.fixture
def project_root(server, tmp_path, monkeypatch, tiny_vgg):
    """Use an empty folder as the root of the project and a tiny VGG as the public weights file; return the root."""
    content = tiny_vgg.read_bytes()
    monkeypatch.setattr(sys.modules[__name__], 'CONTENT', content)
    monkeypatch.setattr(paths, 'ROOT', tmp_path)
    monkeypatch.setattr(load_vgg, 'WEIGHTS_SEARCH_PATHS', (tmp_path / 'weights' / load_vgg.VGG_FILENAME,))
    monkeypatch.setattr(load_vgg, 'EXPECTED_BYTES', len(content))
    monkeypatch.setattr(load_vgg, 'EXPECTED_SHA256', hashlib.sha256(content).hexdigest())
    return tmp_path


def has_same_weights(path, other):
    """Return whether two weights files have the same convolutions."""
    read, expected = load_vgg.read_weights(path), load_vgg.read_weights(other)
    return list(read.convolutions) == list(expected.convolutions) and all(
        (a == b).all() for name in read.convolutions
        for a, b in zip(read.convolutions[name], expected.convolutions[name]))


def test_the_program_keeps_the_convolutions_and_removes_the_download(project_root, server, tiny_vgg, capsys):
    assert load_vgg.main(['--url', f'{server.url}/drops']) == 0
    assert [path.name for path in (project_root / 'weights').iterdir()] == [load_vgg.VGG_FILENAME]
    assert has_same_weights(load_vgg.find_weights(), tiny_vgg)
    out = capsys.readouterr().out
    assert re.search(r'VGG-19 .*CC BY 4.0.*, \d+ MB\n$', out) and str(load_vgg.find_weights()) in out
    requests = len(server.requests)
    assert load_vgg.main(['--url', f'{server.url}/drops']) == 0 and len(server.requests) == requests
    assert 'already exists' in capsys.readouterr().out


def test_a_download_is_not_repeated_if_its_conversion_was_interrupted(project_root, server, tiny_vgg, monkeypatch):
    def stop(path, weights, levels):
        raise KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr(load_vgg, 'write_weights', stop)
        assert load_vgg.main(['--url', f'{server.url}/whole']) == 130
    assert load_vgg.main(['--url', f'{server.url}/missing']) == 0
    assert has_same_weights(load_vgg.find_weights(), tiny_vgg) and len(list((project_root / 'weights').iterdir())) == 1


def test_the_weights_can_be_quantized_to_256_levels(project_root, server, tiny_vgg, capsys):
    assert load_vgg.main(['--url', f'{server.url}/whole', '--levels']) == 0
    assert '256 levels a layer' in capsys.readouterr().out
    read, expected = load_vgg.read_weights(load_vgg.find_weights()), load_vgg.read_weights(tiny_vgg)
    for (V, c), (W, b) in zip(read.convolutions.values(), expected.convolutions.values()):
        assert len(np.unique(V)) <= 256 and np.corrcoef(V.ravel(), W.ravel())[0, 1] > 0.9999 and (c == b).all()


def test_a_public_file_in_the_root_needs_no_download(project_root, server, tiny_vgg):
    (project_root / load_vgg.VGG_FILENAME).write_bytes(tiny_vgg.read_bytes())
    assert load_vgg.main(['--url', f'{server.url}/missing']) == 0
    assert server.requests == [] and has_same_weights(load_vgg.find_weights(), tiny_vgg)
    assert (project_root / load_vgg.VGG_FILENAME).exists()


def test_another_file_in_the_root_is_reported_and_not_used(project_root, server, tiny_vgg, capsys):
    (project_root / load_vgg.VGG_FILENAME).write_bytes(tiny_vgg.read_bytes()[:-1] + b'?')
    assert load_vgg.main(['--url', f'{server.url}/whole']) == 0
    assert len(server.requests) == 1 and has_same_weights(load_vgg.find_weights(), tiny_vgg)
    assert f'{project_root / load_vgg.VGG_FILENAME}: its size or SHA-256 is not' in capsys.readouterr().out


def test_a_wrong_file_is_reported_in_one_line(project_root, server, capsys):
    assert load_vgg.main(['--url', f'{server.url}/wrong']) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1 and 'SHA-256 differs' in error and '--source keras' in error
    assert [path.suffix for path in (project_root / 'weights').iterdir()] == ['.wrong']


def test_a_failed_download_by_keras_is_reported_in_one_line(project_root, server, monkeypatch, capsys):
    def fail(**settings):
        raise Exception('URL fetch failure on https://...:\nNone -- [Errno -2] Name or service not known')
    monkeypatch.setattr(tf2.keras.applications, 'VGG19', fail)
    assert load_vgg.main(['--source', 'keras']) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert 'Name or service not known; run the same command to try again; --source vlfeat' in error
    assert list(project_root.iterdir()) == []


@pytest.mark.parametrize('flags, message', [(['--source', 'torch'], 'vlfeat'),
                                            (['--source', 'keras', '--url', 'a'], '--url works')])
def test_wrong_flags_are_reported_in_one_line(flags, message, capsys):
    assert load_vgg.main(flags) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1 and message in error


def test_the_program_reports_a_wrong_url_in_one_line(server, tmp_path):
    for name in ('load_vgg.py', 'utils.py'):  # A copy, because the program writes its weights next to itself.
        shutil.copy(paths.ROOT / name, tmp_path)
    shutil.copytree(paths.ROOT / 'common', tmp_path / 'common', ignore=shutil.ignore_patterns('__pycache__'))
    result = subprocess.run([sys.executable, '-B', tmp_path / 'load_vgg.py', '--url', f'{server.url}/missing'],
                            capture_output=True, text=True)
    assert result.returncode == 2 and result.stdout == '' and result.stderr.count('\n') == 1
    assert '404' in result.stderr and '--source keras' in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ['common', 'load_vgg.py', 'utils.py', 'weights']
