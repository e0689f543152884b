"""The download against a server that misbehaves as servers do, and the program that calls it."""

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
    """Serves CONTENT, in the way that the path says.

    /whole; /wrong: as many other bytes; /endless: these without a length, again and again; /page: a short page;
    /missing: 404
    /drops: a third of what is asked, then the connection ends; /resets, /stalls: likewise, but only from the beginning
    /no-range, /no-range-drops: whatever range is asked; /unsatisfiable: 416 to any range;
    /shifted: 100 bytes further on
    """

    def do_GET(self):
        asked = self.headers.get('Range')
        self.server.asked.append((self.path, asked))
        if self.path == '/missing':
            return self.send_error(404)
        if self.path == '/unsatisfiable' and asked:
            return self.send_error(416)
        first = int(re.fullmatch(r'bytes=(\d+)-', asked)[1]) if asked else 0
        if self.path.startswith('/no-range') or self.path == '/page':
            first = 0
        elif self.path == '/shifted' and first:
            first += 100
        self.send_response(206 if first else 200)
        other = b'x' * len(CONTENT)
        body = {'/wrong': other, '/endless': other, '/page': b'<p>log in'}.get(self.path, CONTENT)[first:]
        if self.path != '/endless':
            self.send_header('Content-Length', str(len(body)))
        if first:
            self.send_header('Content-Range', f'bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}')
        self.end_headers()
        self.send_body(body, breaks=self.path.endswith('drops') or self.path in ('/resets', '/stalls') and not first)

    def send_body(self, body, breaks):
        if breaks:
            body = body[:max(1, len(body) // 3)]
        for _ in range(20 if self.path == '/endless' else 1):
            self.wfile.write(body)
        if breaks and self.path == '/stalls':
            self.server.over.wait(30)
        elif breaks and self.path == '/resets':
            time.sleep(0.05)  # what a client has not read is lost to it
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            self.connection.close()

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # the client hung up


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, 'RETRY_SECONDS', 0)
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    with Server(('127.0.0.1', 0), Handler) as server:
        server.asked, server.over = [], threading.Event()
        server.url = f'http://127.0.0.1:{server.server_port}'
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.over.set()
        server.shutdown()


def get(server, name, path, size=len(CONTENT), sha256=SHA256):
    download.download(f'{server.url}/{name}', path, size, sha256)


def test_whole(server, tmp_path):
    get(server, 'whole', tmp_path / 'new' / 'file')
    assert (tmp_path / 'new' / 'file').read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['file']


def test_a_dropped_connection_goes_on_by_range(server, tmp_path):
    get(server, 'drops', tmp_path / 'file')
    assert (tmp_path / 'file').read_bytes() == CONTENT
    ranges = [asked for _, asked in server.asked]
    assert ranges[:2] == [None, f'bytes={len(CONTENT) // 3}-'] and len(ranges) > 3


@pytest.mark.parametrize('name', ['resets', 'stalls'])
def test_a_connection_that_breaks_otherwise_goes_on_too(server, tmp_path, monkeypatch, name):
    monkeypatch.setattr(download, 'TIMEOUT_SECONDS', 0.5)
    get(server, name, tmp_path / 'file')
    assert (tmp_path / 'file').read_bytes() == CONTENT
    assert server.asked == [(f'/{name}', None), (f'/{name}', f'bytes={len(CONTENT) // 3}-')]


def test_a_part_of_an_earlier_call_is_used(server, tmp_path):
    (tmp_path / 'file.part').write_bytes(CONTENT[:1234])
    get(server, 'whole', tmp_path / 'file')
    assert server.asked == [('/whole', 'bytes=1234-')] and (tmp_path / 'file').read_bytes() == CONTENT


@pytest.mark.parametrize('name', ['no-range', 'unsatisfiable', 'shifted'])
def test_a_server_that_has_not_the_range_starts_over(server, tmp_path, name):
    (tmp_path / 'file.part').write_bytes(b'y' * 1234)
    get(server, name, tmp_path / 'file')
    assert (tmp_path / 'file').read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == ['bytes=1234-', None][:1 if name == 'no-range' else 2]


def test_a_server_that_neither_resumes_nor_holds_out_is_given_up(server, tmp_path):
    with pytest.raises(UserError, match='100000 of 300000 bytes .the connection was closed.; '
                                        'run the same command'):
        get(server, 'no-range-drops', tmp_path / 'file')
    assert len(server.asked) == 1 + download.MAX_TRIES and not (tmp_path / 'file').exists()
    get(server, 'whole', tmp_path / 'file')
    assert server.asked[-1] == ('/whole', 'bytes=100000-') and (tmp_path / 'file').read_bytes() == CONTENT


def test_wrong_bytes_are_kept_aside_and_never_used(server, tmp_path):
    with pytest.raises(UserError, match='size or SHA-256 differs; kept as .*file.wrong, not used'):
        get(server, 'wrong', tmp_path / 'file')
    assert [path.name for path in tmp_path.iterdir()] == ['file.wrong']


def test_a_stream_without_end_is_wrong_bytes(server, tmp_path):
    with pytest.raises(UserError, match='SHA-256 differs'):
        get(server, 'endless', tmp_path / 'file')
    assert [path.name for path in tmp_path.iterdir()] == ['file.wrong']
    assert len(CONTENT) <= (tmp_path / 'file.wrong').stat().st_size < 2 * len(CONTENT)


def test_a_page_in_the_place_of_the_file_leaves_what_has_come(server, tmp_path):
    (tmp_path / 'file.part').write_bytes(CONTENT[:1234])
    with pytest.raises(UserError, match='1234 of 300000 bytes .the file on the server has 9 bytes.'):
        get(server, 'page', tmp_path / 'file')
    assert (tmp_path / 'file.part').read_bytes() == CONTENT[:1234] and not (tmp_path / 'file').exists()


def test_another_size_is_seen_before_the_bytes_come(server, tmp_path):
    with pytest.raises(UserError, match='the file on the server has 300000 bytes'):
        get(server, 'whole', tmp_path / 'file', size=300_001)
    with pytest.raises(UserError, match='the file on the server has 300000 bytes'):
        get(server, 'whole', tmp_path / 'file', size=1000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('url, reason', [('{}/missing', 'HTTP Error 404'), ('http://127.0.0.1:9/file', 'refused'),
                                         ('nothing', 'unknown url type'), ('{}/é', 'ascii'), ('http://[::', 'IPv6')])
def test_what_cannot_be_reached_says_so(server, tmp_path, url, reason):
    with pytest.raises(UserError, match=f'0 of 300000 bytes .*{reason}.*continue from there'):
        download.download(url.format(server.url), tmp_path / 'file', len(CONTENT), SHA256)
    assert list(tmp_path.iterdir()) == []


def test_https_that_fails_is_tried_over_http(server, tmp_path):
    https = server.url.replace('http:', 'https:')
    download.download(f'{https}/whole', tmp_path / 'file', len(CONTENT), SHA256)
    assert (tmp_path / 'file').read_bytes() == CONTENT
    with pytest.raises(UserError, match='SSL.*; HTTP Error 404'):
        download.download(f'{https}/missing', tmp_path / 'other', len(CONTENT), SHA256)


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='a disk that is always full is Linux\'s')
def test_a_full_disk_is_not_tried_again(server, tmp_path):
    (tmp_path / 'file.part').symlink_to('/dev/full')
    with pytest.raises(UserError, match='file.part: No space left on device; the download needs 300000 bytes'):
        get(server, 'whole', tmp_path / 'file')
    assert len(server.asked) == 1 and not (tmp_path / 'file').exists()


# -------------------------------------------------------------------------------------------------- python load_vgg.py

@pytest.fixture
def house(server, tmp_path, monkeypatch, tiny_vgg):
    """A project root of its own, and a 'public file' at /whole of the server: a tiny VGG with a layer too many."""
    content = tiny_vgg.read_bytes()
    monkeypatch.setattr(sys.modules[__name__], 'CONTENT', content)
    monkeypatch.setattr(paths, 'ROOT', tmp_path)
    monkeypatch.setattr(load_vgg, 'WEIGHTS_SEARCH_PATHS', (tmp_path / 'weights' / load_vgg.VGG_FILENAME,))
    monkeypatch.setattr(load_vgg, 'EXPECTED_BYTES', len(content))
    monkeypatch.setattr(load_vgg, 'EXPECTED_SHA256', hashlib.sha256(content).hexdigest())
    return tmp_path


def same(path, other):
    read, expected = load_vgg.read_weights(path), load_vgg.read_weights(other)
    return list(read.convolutions) == list(expected.convolutions) and all(
        (a == b).all() for name in read.convolutions
        for a, b in zip(read.convolutions[name], expected.convolutions[name]))


def test_fetch_keeps_the_convolutions_and_not_the_download(house, server, tiny_vgg, capsys):
    assert load_vgg.main(['--url', f'{server.url}/drops']) == 0
    assert [path.name for path in (house / 'weights').iterdir()] == [load_vgg.VGG_FILENAME]
    assert same(load_vgg.find_weights(), tiny_vgg)
    out = capsys.readouterr().out
    assert re.search(r'VGG-19 .*CC BY 4.0.*, \d+ MB\n$', out) and str(load_vgg.find_weights()) in out
    asked = len(server.asked)
    assert load_vgg.main(['--url', f'{server.url}/drops']) == 0 and len(server.asked) == asked
    assert 'already exists' in capsys.readouterr().out


def test_a_download_whose_conversion_was_stopped_is_not_fetched_again(house, server, tiny_vgg, monkeypatch):
    def stop(path, weights, levels):
        raise KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr(load_vgg, 'write_weights', stop)
        assert load_vgg.main(['--url', f'{server.url}/whole']) == 130
    assert load_vgg.main(['--url', f'{server.url}/missing']) == 0
    assert same(load_vgg.find_weights(), tiny_vgg) and len(list((house / 'weights').iterdir())) == 1


def test_the_public_file_can_be_kept_in_256_levels(house, server, tiny_vgg, capsys):
    assert load_vgg.main(['--url', f'{server.url}/whole', '--levels']) == 0
    assert '256 levels a layer' in capsys.readouterr().out
    read, expected = load_vgg.read_weights(load_vgg.find_weights()), load_vgg.read_weights(tiny_vgg)
    for (V, c), (W, b) in zip(read.convolutions.values(), expected.convolutions.values()):
        assert len(np.unique(V)) <= 256 and np.corrcoef(V.ravel(), W.ravel())[0, 1] > 0.9999 and (c == b).all()


def test_a_public_file_in_the_root_needs_no_download(house, server, tiny_vgg):
    (house / load_vgg.VGG_FILENAME).write_bytes(tiny_vgg.read_bytes())
    assert load_vgg.main(['--url', f'{server.url}/missing']) == 0
    assert server.asked == [] and same(load_vgg.find_weights(), tiny_vgg)
    assert (house / load_vgg.VGG_FILENAME).exists()


def test_another_file_in_the_root_is_said_and_not_used(house, server, tiny_vgg, capsys):
    (house / load_vgg.VGG_FILENAME).write_bytes(tiny_vgg.read_bytes()[:-1] + b'?')
    assert load_vgg.main(['--url', f'{server.url}/whole']) == 0
    assert len(server.asked) == 1 and same(load_vgg.find_weights(), tiny_vgg)
    assert f'{house / load_vgg.VGG_FILENAME}: its size or SHA-256 is not' in capsys.readouterr().out


def test_a_wrong_file_ends_in_one_line(house, server, capsys):
    assert load_vgg.main(['--url', f'{server.url}/wrong']) == 2
    err = capsys.readouterr().err
    assert err.count('\n') == 1 and 'SHA-256 differs' in err and '--source keras' in err
    assert [path.suffix for path in (house / 'weights').iterdir()] == ['.wrong']


def test_keras_that_cannot_download_ends_in_one_line(house, server, monkeypatch, capsys):
    def fail(**settings):
        raise Exception('URL fetch failure on https://...:\nNone -- [Errno -2] Name or service not known')
    monkeypatch.setattr(tf2.keras.applications, 'VGG19', fail)
    assert load_vgg.main(['--source', 'keras']) == 2
    err = capsys.readouterr().err
    assert err.count('\n') == 1
    assert 'Name or service not known; run the same command to try again; --source vlfeat' in err
    assert list(house.iterdir()) == []


@pytest.mark.parametrize('flags, message', [(['--source', 'torch'], 'vlfeat'),
                                            (['--source', 'keras', '--url', 'a'], '--url works')])
def test_wrong_flags(flags, message, capsys):
    assert load_vgg.main(flags) == 2
    err = capsys.readouterr().err
    assert err.count('\n') == 1 and message in err


def test_a_wrong_url_as_a_program(server, tmp_path):
    for name in ('load_vgg.py', 'utils.py'):  # its weights go beside it
        shutil.copy(paths.ROOT / name, tmp_path)
    shutil.copytree(paths.ROOT / 'common', tmp_path / 'common', ignore=shutil.ignore_patterns('__pycache__'))
    done = subprocess.run([sys.executable, '-B', tmp_path / 'load_vgg.py', '--url', f'{server.url}/missing'],
                          capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == '' and done.stderr.count('\n') == 1
    assert '404' in done.stderr and '--source keras' in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ['common', 'load_vgg.py', 'utils.py', 'weights']
