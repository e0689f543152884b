"""The event files, asked for what a student looks at through TensorBoard's own server."""

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
def ask(run_folder):
    """A function that asks a TensorBoard server for a path; JSON is parsed."""
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


def test_scalars_have_every_step_once_and_agree_with_the_history(ask, run_folder):
    tags = ask('plugin/scalars/tags')['r']
    assert {'content_loss', 'style_loss', 'total_loss'} <= {tag.rpartition('/')[2] for tag in tags}
    with open(run_folder / 'checkpoints/r/losses.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    for tag in tags:
        points = ask('plugin/scalars/scalars', run='r', tag=tag)
        assert [step for _, step, _ in points] == STEPS
        for _, step, value in points:
            assert value == pytest.approx(float(rows[step][tag.rpartition('/')[2]]), rel=1e-4)


def test_the_picture_is_there_as_an_image(ask, run_folder):
    shown = ask('plugin/images/images', run='r', tag='picture', sample=0)
    assert shown[-1]['step'] == 60
    image = iio.imread(ask('plugin/images/individualImage', **dict(urllib.parse.parse_qsl(shown[-1]['query']))))
    assert image.shape == (32, 48, 3)


def test_the_graph_is_there_without_the_weights(ask):
    graph = ask('plugin/graphs/graph', run='r')
    text = graph.decode() if isinstance(graph, bytes) else json.dumps(graph)
    for name in ('input/in_img', 'vgg/conv1_1', 'vgg/conv5_1', 'vgg/avgpool4', 'losses', 'optimizer'):
        assert name in text
    assert len(text) < 1_000_000


def test_the_settings_are_there_as_text(ask):
    shown = ask('plugin/text/text', run='r', tag='settings')
    assert 'learning_rate' in shown[-1]['text'] and '2.0' in shown[-1]['text']
