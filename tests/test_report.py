"""The report: what the event files say, nothing else."""

import csv
import re
import shutil
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from assignment import report
from style_transfer import StyleTransfer


@pytest.fixture(scope='module')
def home(images, tiny_vgg, tmp_path_factory):
    """A folder with a run of 30 iterations that was stopped once."""
    home = tmp_path_factory.mktemp('home')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for n_iters in (20, 30):
            machine = StyleTransfer(*images, 48, 32, vgg=tiny_vgg, name='r')
            machine.build()
            machine.train(n_iters)
    return home


def test_curves_are_the_losses_of_the_run(home):
    events = report.read(home / 'graphs/r')
    rows = list(csv.DictReader((home / 'checkpoints/r/losses.csv').open()))
    assert set(events.curves) == {'content_loss', 'style_loss', 'total_loss'}
    for name, (steps, values) in events.curves.items():
        assert list(steps) == [1, 2, 3, 4, 5, 10, 20, 30]
        np.testing.assert_allclose(values, [float(rows[step][name]) for step in steps], rtol=1e-5)


def test_the_graph_is_that_of_the_method(home):
    names, edges = report.blocks(report.read(home / 'graphs/r').graph)
    assert {'input', 'vgg/conv1_1', 'vgg/avgpool1', 'vgg/conv5_4', 'losses', 'optimizer', 'summaries'} <= set(names)
    assert {('input', 'vgg/conv1_1'), ('vgg/conv1_1', 'vgg/conv1_2'), ('vgg/conv1_2', 'vgg/avgpool1'),
            ('vgg/avgpool1', 'vgg/conv2_1'), ('vgg/conv4_2', 'losses'), ('losses', 'optimizer')} <= edges
    to_losses = {there for there, here in edges if here == 'losses' and there.startswith('vgg/')}
    assert to_losses == {f'vgg/conv{layer}' for layer in ('1_1', '2_1', '3_1', '4_1', '4_2', '5_1')}


def test_the_report_is_whole(home, monkeypatch, tmp_path):
    copy = tmp_path / 'copy'
    shutil.copytree(home / 'graphs', copy / 'graphs')  # nothing but the event files
    assert report.main([str(copy / 'outputs/r')]) == 0
    text = (copy / 'report/report.md').read_text()
    assert '30 iterations in ' in text and '| learning_rate | 2.0 |' in text and '| seed | 0 |' in text
    for name in re.findall(r'\((\w+\.png)\)', text):
        image = iio.imread(copy / 'report' / name)
        assert min(image.shape[:2]) > 300 and image.std() > 10
    assert len(re.findall(r'\((\w+\.png)\)', text)) == 2
    monkeypatch.chdir(home)
    assert report.main(['outputs/r', '--out', str(tmp_path / 'elsewhere')]) == 0
    assert (tmp_path / 'elsewhere/report.md').exists() and not (home / 'report').exists()


def test_events_that_are_cut_short_count_up_to_there(home, tmp_path):
    shutil.copytree(home / 'graphs/r', tmp_path / 'graphs/r')
    last = sorted((tmp_path / 'graphs/r').iterdir())[-1]
    last.write_bytes(last.read_bytes()[:-40])
    events = report.read(tmp_path / 'graphs/r')
    assert max(events.times) >= 20


@pytest.mark.parametrize('content', [None, b'', b'no events'])
def test_no_events_end_in_one_line(workdir, capsys, content):
    if content is not None:
        Path('graphs/r').mkdir(parents=True)
        Path('graphs/r/events.out.tfevents.1.x').write_bytes(content)
    assert report.main(['outputs/r']) == 2
    err = capsys.readouterr().err
    assert 'graphs/r: no ' in err and not Path('report').exists()
