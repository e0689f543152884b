"""The download against a server that misbehaves as servers do, and the program that calls it."""

import hashlib
import http.server
import re
import subprocess
import sys
import threading

import numpy as np
import pytest

import load_vgg
import utils

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT. By the path: /whole, /no-range, /wrong, /missing; /drops sends a third of what is asked, then hangs up."""

    def do_GET(self):
        asked = self.headers.get('Range')
        self.server.asked.append((self.path, asked))
        if self.path == '/missing':
            return self.send_error(404)
        first = int(re.fullmatch(r'bytes=(\d+)-', asked)[1]) if asked and self.path != '/no-range' else 0
        body = CONTENT[first:] if self.path != '/wrong' else b'x' * len(CONTENT)
        self.send_response(206 if first else 200)
        self.send_header('Content-Length', str(len(body)))
        if first:
            self.send_header('Content-Range', f'bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}')
        self.end_headers()
        self.wfile.write(body[:max(1, len(body) // 3)] if self.path in ('/drops', '/no-range-drops') else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(utils, 'RETRY_SECONDS', 0)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        server.asked = []
        server.url = f'http://127.0.0.1:{server.server_port}'
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def get(server, name, path, size=len(CONTENT), sha256=SHA256):
    utils.download(f'{server.url}/{name}', path, size, sha256)


def test_whole(server, tmp_path):
    get(server, 'whole', tmp_path / 'new' / 'file')
    assert (tmp_path / 'new' / 'file').read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['file']


def test_a_dropped_connection_goes_on_by_range(server, tmp_path):
    get(server, 'drops', tmp_path / 'file')
    assert (tmp_path / 'file').read_bytes() == CONTENT
    ranges = [asked for _, asked in server.asked]
    assert ranges[:2] == [None, f'bytes={len(CONTENT) // 3}-'] and len(ranges) > 3


def test_a_part_of_an_earlier_call_is_used(server, tmp_path):
    (tmp_path / 'file.part').write_bytes(CONTENT[:1234])
    get(server, 'whole', tmp_path / 'file')
    assert server.asked == [('/whole', 'bytes=1234-')] and (tmp_path / 'file').read_bytes() == CONTENT


def test_a_server_without_ranges_starts_over(server, tmp_path):
    (tmp_path / 'file.part').write_bytes(b'y' * 1234)
    get(server, 'no-range', tmp_path / 'file')
    assert (tmp_path / 'file').read_bytes() == CONTENT


def test_wrong_bytes_are_kept_aside_and_never_used(server, tmp_path):
    with pytest.raises(utils.UserError, match='size or SHA-256 differs; kept as .*file.wrong, not used'):
        get(server, 'wrong', tmp_path / 'file')
    assert [path.name for path in tmp_path.iterdir()] == ['file.wrong']


def test_too_many_bytes_are_wrong_bytes(server, tmp_path):
    with pytest.raises(utils.UserError, match='SHA-256 differs'):
        get(server, 'whole', tmp_path / 'file', size=1000)
    assert not (tmp_path / 'file').exists()


def test_missing_and_unreachable_say_so(server, tmp_path):
    with pytest.raises(utils.UserError, match='/missing: 0 of 300000 bytes have come .*404.*goes on from there'):
        get(server, 'missing', tmp_path / 'file')
    with pytest.raises(utils.UserError, match='refused'):
        utils.download('http://127.0.0.1:9/file', tmp_path / 'file', 1, SHA256)
    assert not (tmp_path / 'file').exists()


def test_https_that_fails_is_tried_over_http(server, tmp_path):
    utils.download(server.url.replace('http:', 'https:') + '/whole', tmp_path / 'file', len(CONTENT), SHA256)
    assert (tmp_path / 'file').read_bytes() == CONTENT


def test_a_full_disk_is_not_tried_again(server, tmp_path, monkeypatch):
    def full(url, part, bar):
        server.asked.append(url)
        raise OSError(28, 'No space left on device', str(part))
    monkeypatch.setattr(utils, '_append', full)
    with pytest.raises(OSError, match='No space'):
        get(server, 'whole', tmp_path / 'file')
    assert len(server.asked) == 1


# -------------------------------------------------------------------------------------------------- python load_vgg.py

@pytest.fixture
def house(server, tmp_path, monkeypatch, tiny_vgg):
    """A project root of its own, and a 'public file' at /whole of the server: a tiny VGG with a layer too many."""
    content = tiny_vgg.read_bytes()
    monkeypatch.setattr(sys.modules[__name__], 'CONTENT', content)
    monkeypatch.setattr(load_vgg, 'ROOT', tmp_path)
    monkeypatch.setattr(load_vgg, 'SEARCHED', (tmp_path / 'weights' / load_vgg.VGG_FILENAME,))
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
    assert 'full-width VGG-19' in capsys.readouterr().out
    asked = len(server.asked)
    assert load_vgg.main(['--url', f'{server.url}/drops']) == 0 and len(server.asked) == asked


def test_a_public_file_in_the_root_needs_no_download(house, server, tiny_vgg):
    (house / load_vgg.VGG_FILENAME).write_bytes(tiny_vgg.read_bytes())
    assert load_vgg.main(['--url', f'{server.url}/missing']) == 0
    assert server.asked == [] and same(load_vgg.find_weights(), tiny_vgg)
    assert (house / load_vgg.VGG_FILENAME).exists()


def test_a_wrong_file_ends_in_one_line(house, server, capsys):
    assert load_vgg.main(['--url', f'{server.url}/wrong']) == 2
    err = capsys.readouterr().err
    assert err.count('\n') == 1 and 'SHA-256 differs' in err
    assert not (house / 'weights' / load_vgg.VGG_FILENAME).exists()


def test_as_a_program(tmp_path):
    done = subprocess.run([sys.executable, load_vgg.ROOT / 'load_vgg.py', '--source', 'torch'], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count('\n') == 1 and 'vlfeat' in done.stderr
