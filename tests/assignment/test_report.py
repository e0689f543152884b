"""The report: what the event files say, nothing else."""

import csv
import re
import shutil
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from assignment import diagram, report


def test_curves_are_the_losses_of_the_run(run_folder):
    events = report.read(run_folder / 'graphs/r')
    rows = list(csv.DictReader((run_folder / 'checkpoints/r/losses.csv').open()))
    assert set(events.curves) == {'content_loss', 'style_loss', 'total_loss'}
    for name, (steps, values) in events.curves.items():
        assert list(steps) == [1, 2, 3, 4, 5, 10, 20, 40, 60]
        np.testing.assert_allclose(values, [float(rows[step][name]) for step in steps], rtol=1e-5)


def test_the_graph_is_that_of_the_method(run_folder):
    names, edges = diagram.blocks(report.read(run_folder / 'graphs/r').graph)
    assert {'input', 'vgg/conv1_1', 'vgg/avgpool1', 'vgg/conv5_1', 'losses', 'optimizer', 'summaries'} <= set(names)
    assert {('input', 'vgg/conv1_1'), ('vgg/conv1_1', 'vgg/conv1_2'), ('vgg/conv1_2', 'vgg/avgpool1'),
            ('vgg/avgpool1', 'vgg/conv2_1'), ('vgg/conv4_2', 'losses'), ('losses', 'optimizer')} <= edges
    assert ('input', 'losses') not in edges  # no total variation in this recipe
    to_losses = {there for there, here in edges if here == 'losses' and there.startswith('vgg/')}
    assert to_losses == {f'vgg/conv{layer}' for layer in ('1_1', '2_1', '3_1', '4_1', '4_2', '5_1')}


def test_the_report_is_whole(run_folder, monkeypatch, tmp_path):
    copy = tmp_path / 'copy'
    shutil.copytree(run_folder / 'graphs', copy / 'graphs')  # nothing but the event files
    assert report.main([str(copy / 'outputs/r')]) == 0
    text = (copy / 'report/report.md').read_text()
    assert '60 iterations, ' in text and '| learning_rate | 2.0 |' in text and '| seed | 0 |' in text
    for name in re.findall(r'\((\w+\.png)\)', text):
        image = iio.imread(copy / 'report' / name)
        assert min(image.shape[:2]) > 300 and image.std() > 10
    assert len(re.findall(r'\((\w+\.png)\)', text)) == 2
    monkeypatch.chdir(run_folder)
    assert report.main(['outputs/r', '--out', str(tmp_path / 'elsewhere')]) == 0
    assert (tmp_path / 'elsewhere/report.md').exists() and not (run_folder / 'report').exists()


def test_events_that_are_cut_short_count_up_to_there(run_folder, tmp_path):
    shutil.copytree(run_folder / 'graphs/r', tmp_path / 'graphs/r')
    last = sorted((tmp_path / 'graphs/r').iterdir())[-1]
    last.write_bytes(last.read_bytes()[:-40])
    events = report.read(tmp_path / 'graphs/r')
    assert events.curves['total_loss'][0][:8] == [1, 2, 3, 4, 5, 10, 20, 40]


def test_a_pause_between_two_sessions_does_not_count(workdir):
    with tf.Graph().as_default() as graph:
        tf.zeros([1], name='input/in_img')
        writer = tf.summary.FileWriter('graphs/r', graph)
    for step, seconds in ((1, 0.5), (2, 1), (10, 5), (20, 5000), (40, 5010)):
        summary = tf.Summary(value=[tf.Summary.Value(tag='total_loss', simple_value=40 / step)])
        writer.add_event(tf.Event(wall_time=1e9 + seconds, step=step, summary=summary))
    writer.close()
    assert report.main(['outputs/r']) == 0
    assert '40 iterations, 0.500 s each (median)' in Path('report/report.md').read_text()


@pytest.mark.parametrize('content', [None, b'', b'no events'])
def test_no_events_end_in_one_line(workdir, capsys, content):
    if content is not None:
        Path('graphs/r').mkdir(parents=True)
        Path('graphs/r/events.out.tfevents.1.x').write_bytes(content)
    assert report.main(['outputs/r']) == 2
    err = capsys.readouterr().err
    assert 'graphs/r: no ' in err and not Path('report').exists()
