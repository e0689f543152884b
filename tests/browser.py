"""A headless Chromium that tests drive by the WebDriver protocol of the W3C."""

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

ELEMENT = 'element-6066-11e4-a52e-4f735466cecf'  # key of an element reference, fixed by the standard
KEYS = {'Left': '\ue012', 'Up': '\ue013', 'Right': '\ue014', 'Down': '\ue015', 'Escape': '\ue00c', 'Enter': '\ue007',
        'Tab': '\ue004'}
TIMEOUT_SECONDS = 20


def eventually(read, expected):
    """Call `read` until it returns the expected value, because a browser reacts to commands with a delay."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (value := read()) != expected and time.monotonic() < deadline:
        time.sleep(0.02)
    assert value == expected, f'{value!r} after {TIMEOUT_SECONDS} s, and not {expected!r}'


class Browser:
    """A browser window. CSS selectors name its elements.

    Args:
        address: URL of the driver's sessions.
    """

    def __init__(self, address):
        self.address = address
        arguments = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage']
        options = {'args': arguments, 'binary': shutil.which('chromium')}
        session = self._call('POST', '', {'capabilities': {'alwaysMatch': {'goog:chromeOptions': options}}})
        self.address += '/' + session['sessionId']

    def _call(self, method, path, body=None):
        """Send a command to the driver; return the value of its reply."""
        request = urllib.request.Request(self.address + path, method=method, data=json.dumps(body or {}).encode(),
                                         headers={'Content-Type': 'application/json'})
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)['value']

    def _element(self, selector):
        """Return the path of the first element that matches a selector."""
        element = self._call('POST', '/element', {'using': 'css selector', 'value': selector})
        return f'/element/{element[ELEMENT]}'

    def open(self, path):
        """Open a local file."""
        self._call('POST', '/url', {'url': path.resolve().as_uri()})

    def reload(self):
        """Load the page again and wait until it is loaded."""
        self._call('POST', '/refresh')

    def run(self, script):
        """Return the value of a JavaScript expression."""
        return self._call('POST', '/execute/sync', {'script': f'return {script}', 'args': []})

    def expect(self, script, expected):
        """Evaluate a JavaScript expression until it has the expected value."""
        eventually(lambda: self.run(script), expected)

    def click(self, selector):
        """Click the first element that matches a selector."""
        self._call('POST', self._element(selector) + '/click')

    def press(self, *keys):
        """Press keys of KEYS, one after the other, on the element that has the focus."""
        actions = [{'type': kind, 'value': KEYS[key]} for key in keys for kind in ('keyDown', 'keyUp')]
        self._call('POST', '/actions', {'actions': [{'type': 'key', 'id': 'keys', 'actions': actions}]})

    def drag(self, selector, start, end):
        """Drag the mouse within an element, at half its height; `start` and `end` are fractions of its width."""
        x, y, width, height = self.run(f'(r => [r.x, r.y, r.width, r.height])(document.querySelector("{selector}")'
                                       '.getBoundingClientRect())')
        def move(share):
            return {'type': 'pointerMove', 'x': round(x + share * width), 'y': round(y + height / 2)}
        self._call('POST', '/actions', {'actions': [{'type': 'pointer', 'id': 'mouse', 'actions': [
            move(start), {'type': 'pointerDown', 'button': 0}, move(end), {'type': 'pointerUp', 'button': 0}]}]})

    def picture(self, selector):
        """Return a screenshot of an element, uint8 [H, W, 3 or 4]."""
        png = self._call('GET', self._element(selector) + '/screenshot')
        return iio.imread(base64.b64decode(png), extension='.png')

    def emulate(self, method, **parameters):
        """Call a method of the Emulation domain of the Chrome DevTools protocol."""
        self._call('POST', '/goog/cdp/execute', {'cmd': f'Emulation.{method}', 'params': parameters})

    def close(self):
        """End the session, which closes the window."""
        self._call('DELETE', '')


@contextlib.contextmanager
def open_browser():
    """Start Chromium and yield a `Browser`; skip the test if Chromium or its driver is not installed."""
    for program, package in (('chromium', 'chromium'), ('chromedriver', 'chromium-driver')):
        if not shutil.which(program):
            pytest.skip(f'{program} is not installed; Debian has it in {package}')
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    driver = subprocess.Popen(['chromedriver', f'--port={port}'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def is_listening():
        """Return True once the driver accepts connections."""
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(('127.0.0.1', port)):
            return True
    try:
        eventually(is_listening, True)
        browser = Browser(f'http://127.0.0.1:{port}/session')
        yield browser
        browser.close()
    finally:
        driver.terminate()
        driver.wait()
