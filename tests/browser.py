"""A real browser, headless, driven by the W3C's WebDriver protocol."""

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.request

import imageio.v3 as iio
import pytest

ELEMENT = 'element-6066-11e4-a52e-4f735466cecf'  # the key of an element, fixed by the standard
KEYS = {'Left': '\ue012', 'Up': '\ue013', 'Right': '\ue014', 'Down': '\ue015', 'Escape': '\ue00c', 'Enter': '\ue007',
        'Tab': '\ue004'}
PATIENCE = 20  # seconds


def eventually(look, expected):
    """Look until what is seen is as expected: a browser does much of what it is told a little later."""
    until = time.monotonic() + PATIENCE
    while (seen := look()) != expected and time.monotonic() < until:
        time.sleep(0.02)
    assert seen == expected, f'{seen!r} after {PATIENCE} s, and not {expected!r}'


class Browser:
    """One window. Elements are named by CSS selectors."""

    def __init__(self, address):
        self.address = address
        arguments = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage']
        options = {'args': arguments, 'binary': shutil.which('chromium')}
        session = self._call('POST', '', {'capabilities': {'alwaysMatch': {'goog:chromeOptions': options}}})
        self.address += '/' + session['sessionId']

    def _call(self, method, path, body=None):
        request = urllib.request.Request(self.address + path, method=method, data=json.dumps(body or {}).encode(),
                                         headers={'Content-Type': 'application/json'})
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)['value']

    def _element(self, selector):
        found = self._call('POST', '/element', {'using': 'css selector', 'value': selector})
        return f'/element/{found[ELEMENT]}'

    def open(self, path):
        self._call('POST', '/url', {'url': path.resolve().as_uri()})

    def reload(self):
        """Load the page again, to its end."""
        self._call('POST', '/refresh')

    def run(self, script):
        """What a JavaScript expression is."""
        return self._call('POST', '/execute/sync', {'script': f'return {script}', 'args': []})

    def expect(self, script, expected):
        """Run a JavaScript expression until it is what is expected."""
        eventually(lambda: self.run(script), expected)

    def click(self, selector):
        self._call('POST', self._element(selector) + '/click')

    def press(self, *keys):
        """Press keys of KEYS, one after the other, on whatever has the focus."""
        actions = [{'type': kind, 'value': KEYS[key]} for key in keys for kind in ('keyDown', 'keyUp')]
        self._call('POST', '/actions', {'actions': [{'type': 'key', 'id': 'keys', 'actions': actions}]})

    def drag(self, selector, start, end):
        """Drag from one place to another of an element, shares of its width from the left, half way down."""
        x, y, width, height = self.run(f'(r => [r.x, r.y, r.width, r.height])(document.querySelector("{selector}")'
                                       '.getBoundingClientRect())')
        def move(share):
            return {'type': 'pointerMove', 'x': round(x + share * width), 'y': round(y + height / 2)}
        self._call('POST', '/actions', {'actions': [{'type': 'pointer', 'id': 'mouse', 'actions': [
            move(start), {'type': 'pointerDown', 'button': 0}, move(end), {'type': 'pointerUp', 'button': 0}]}]})

    def picture(self, selector):
        """What an element looks like, uint8 [H, W, 3 or 4]."""
        png = self._call('GET', self._element(selector) + '/screenshot')
        return iio.imread(base64.b64decode(png), extension='.png')

    def emulate(self, method, **parameters):
        """Something of DevTools' Emulation."""
        self._call('POST', '/goog/cdp/execute', {'cmd': f'Emulation.{method}', 'params': parameters})

    def close(self):
        self._call('DELETE', '')


@contextlib.contextmanager
def running():
    """A `Browser`. Skips the test where Chromium or its driver is not installed."""
    for program, package in (('chromium', 'chromium'), ('chromedriver', 'chromium-driver')):
        if not shutil.which(program):
            pytest.skip(f'{program} is not installed; Debian has it in {package}')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen(['chromedriver', f'--port={port}'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def listens():
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(('127.0.0.1', port)):
            return True
    try:
        eventually(listens, True)
        browser = Browser(f'http://127.0.0.1:{port}/session')
        yield browser
        browser.close()
    finally:
        driver.terminate()
        driver.wait()
