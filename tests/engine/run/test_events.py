"""The event files of a run, read through the server of TensorBoard."""

import csv
import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import imageio.v3 as iio
import pytest

STEPS = [1, 2, 3, 4, 5, 10, 20, 40, 60]


@pytest.fixture(scope='module')
def fetch(run_folder):
    """Start a TensorBoard server; yield a function that requests a path and returns bytes, or parsed JSON."""
    server = subprocess.Popen([sys.executable, '-m', 'tensorboard.main', '--logdir', 'graphs', '--port', '0', '--host',
                               '127.0.0.1'], cwd=run_folder, stderr=subprocess.PIPE, text=True)
    try:
        address = next(match[0] for match in (re.search(r'http://127.0.0.1:\d+/', line) for line in server.stderr)
                       if match)

        def get(path, **query):
            with urllib.request.urlopen(f'{address}data/{path}?{urllib.parse.urlencode(query)}', timeout=30) as answer:
                body = answer.read()
            return json.loads(body) if 'json' in answer.headers['Content-Type'] else body
        deadline = time.monotonic() + 60
        while 'r' not in get('runs') or not get('plugin/scalars/tags').get('r'):
            assert time.monotonic() < deadline, 'TensorBoard has not read the run'
            time.sleep(0.2)
        yield get
    finally:
        server.terminate()
        server.wait()


def test_scalars_have_every_logged_step_once_and_equal_the_history(fetch, run_folder):
    tags = fetch('plugin/scalars/tags')['r']
    assert {'content_loss', 'style_loss', 'total_loss'} <= {tag.rpartition('/')[2] for tag in tags}
    with open(run_folder / 'checkpoints/r/losses.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    for tag in tags:
        points = fetch('plugin/scalars/scalars', run='r', tag=tag)
        assert [step for _, step, _ in points] == STEPS
        for _, step, value in points:
            assert value == pytest.approx(float(rows[step][tag.rpartition('/')[2]]), rel=1e-4)


def test_tensorboard_shows_the_picture(fetch, run_folder):
    images = fetch('plugin/images/images', run='r', tag='picture', sample=0)
    assert images[-1]['step'] == 60
    image = iio.imread(fetch('plugin/images/individualImage', **dict(urllib.parse.parse_qsl(images[-1]['query']))))
    assert image.shape == (32, 48, 3)


def test_tensorboard_shows_the_graph_without_the_weights(fetch):
    graph = fetch('plugin/graphs/graph', run='r')
    text = graph.decode() if isinstance(graph, bytes) else json.dumps(graph)
    for name in ('input/in_img', 'vgg/conv1_1', 'vgg/conv5_1', 'vgg/avgpool4', 'losses', 'optimizer'):
        assert name in text
    assert len(text) < 1_000_000


def test_tensorboard_shows_the_settings_as_text(fetch):
    texts = fetch('plugin/text/text', run='r', tag='settings')
    assert 'learning_rate' in texts[-1]['text'] and '2.0' in texts[-1]['text']
