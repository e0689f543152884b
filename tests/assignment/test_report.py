"""Test the report against a run's loss table and graph, and against event files written for the test."""

import csv
import re
import shutil
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from matplotlib.figure import Figure

from assignment import report
from assignment.reporting import diagram, pdf
from common.tf1 import tf


def test_curves_are_the_losses_of_the_run(run_folder):
    events = report.read(run_folder / 'graphs/r')
    rows = list(csv.DictReader((run_folder / 'checkpoints/r/losses.csv').open()))
    assert set(events.curves) == {'content_loss', 'style_loss', 'total_loss'}
    for name, (steps, values) in events.curves.items():
        assert list(steps) == [1, 2, 3, 4, 5, 10, 20, 40, 60]
        np.testing.assert_allclose(values, [float(rows[step][name]) for step in steps], rtol=1e-5)


def test_the_diagram_shows_the_scopes_of_the_graph_and_their_edges(run_folder):
    names, edges = diagram.group_ops(report.read(run_folder / 'graphs/r').graph)
    assert {'input', 'vgg/conv1_1', 'vgg/avgpool1', 'vgg/conv5_1', 'losses', 'optimizer', 'summaries'} <= set(names)
    assert {('input', 'vgg/conv1_1'), ('vgg/conv1_1', 'vgg/conv1_2'), ('vgg/conv1_2', 'vgg/avgpool1'),
            ('vgg/avgpool1', 'vgg/conv2_1'), ('vgg/conv4_2', 'losses'), ('losses', 'optimizer')} <= edges
    assert ('input', 'losses') not in edges  # no total variation in this recipe
    to_losses = {source for source, target in edges if target == 'losses' and source.startswith('vgg/')}
    assert to_losses == {f'vgg/conv{layer}' for layer in ('1_1', '2_1', '3_1', '4_1', '4_2', '5_1')}


def test_the_report_is_complete_and_a_new_one_keeps_the_answers(run_folder, monkeypatch, tmp_path):
    copy = tmp_path / 'copy'
    shutil.copytree(run_folder / 'graphs', copy / 'graphs')  # the report needs only the event files
    monkeypatch.chdir(copy)
    assert report.main(['outputs/r']) == 0
    text = (copy / 'report/report.md').read_text()
    assert '60 iterations, ' in text and '| learning_rate | 2.0 |' in text and '| seed | 0 |' in text
    for name in re.findall(r'\((\w+\.png)\)', text):
        image = iio.imread(copy / 'report' / name)
        assert min(image.shape[:2]) > 300 and image.std() > 10
    assert len(re.findall(r'\((\w+\.png)\)', text)) == 2
    answered = text.replace('…', r'They fall by $\frac$.', 2)
    (copy / 'report/report.md').write_text(answered.replace('60 iterations', '61 iterations'))
    (copy / 'report').rename(tmp_path / 'elsewhere')
    assert report.main([str(copy / 'outputs/r'), '--out', str(tmp_path / 'elsewhere')]) == 0
    assert (tmp_path / 'elsewhere/report.md').read_text() == answered and not (copy / 'report').exists()
    content = (tmp_path / 'elsewhere/report.pdf').read_bytes()
    assert content.startswith(b'%PDF') and len(re.findall(rb'/Type /Page\b', content)) == 1 and b'/Title (r)' in content


@pytest.mark.parametrize('content, message', [
    (b'# r\n\nMy three sentences.\n', 'has no line'), (b'\xb5\xc4', 'not in UTF-8')])
def test_a_report_whose_answers_cannot_be_found_is_not_overwritten(run_folder, tmp_path, capsys, content, message):
    (tmp_path / 'report.md').write_bytes(content)
    assert report.main([str(run_folder / 'outputs/r'), '--out', str(tmp_path)]) == 2
    assert message in capsys.readouterr().err and (tmp_path / 'report.md').read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ['report.md']


@pytest.fixture(scope='module')
def events(run_folder):
    """Content of the event files of `run_folder`."""
    return report.read(run_folder / 'graphs/r')


@pytest.mark.parametrize('sheet, answer, fits', [
    (None, 'They fall.', True), (np.zeros((30, 120, 3), np.uint8), '、'.join(map(str, range(250))), True),
    (np.zeros((300, 50, 3), np.uint8), ' '.join(f'{i} and more' for i in range(900)), False)])
def test_everything_on_the_page_is_within_the_margins_without_overlap(events, sheet, answer, fits):
    figure, _ = pdf.compose('r', 'subtitle', events, sheet, f'\n## Name\n\nAda\n\n## Why?\n\n> {answer}\n')
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent().transformed(figure.dpi_scale_trans.inverted()))
             for text in figure.texts if text.get_text().strip()]
    assert {'r', 'subtitle', 'Name', 'Ada', 'Why?', 'learning_rate', '2.0', 'conv1_1 … conv5_1'} <= {*dict(boxes)}
    for _, box in boxes:
        assert (
            box.x0 > 0.5 and box.x1 < pdf.PAPER_INCHES[0] - 0.5 and box.y0 > 0.5 and box.y1 < pdf.PAPER_INCHES[1] - 0.5
        )
    answers = boxes[2:[text for text, _ in boxes].index('content')]  # what is between the title and the settings
    assert all(below.y1 <= above.y0 + 0.02 for (_, above), (_, below) in zip(answers, answers[1:]))
    panels = [axes.get_tightbbox().transformed(figure.dpi_scale_trans.inverted()) for axes in figure.axes]
    assert len(panels) == (sheet is not None) + pdf.MAX_PICTURES + 3 + 1
    assert not any(panel.y0 < box.y1 - 0.02 and box.y0 < panel.y1 - 0.02 for panel in panels for _, box in boxes)
    written = ''.join(text for text, _ in answers[3:]).replace(' ', '')
    assert written == answer.replace(' ', '') if fits else answers[-1][0] == pdf.CUT_MARK


def test_letters_that_no_font_has_are_reported_as_missing(events, monkeypatch):
    fonts = [font for font in pdf.font_manager.fontManager.ttflist
             if font.name == 'DejaVu Sans' or font.name.startswith('Last Resort')]
    monkeypatch.setattr(pdf.font_manager.fontManager, 'ttflist', fonts)
    fonts = pdf.FontSet('a Gram-mátrix 损失 α/β …\n')
    assert fonts.families == ['DejaVu Sans'] and fonts.missing == set('损失')
    figure = Figure()
    drawn = figure.text(0, 0, '损失', fontsize=10, family=fonts.families)
    figure.draw_without_rendering()
    assert fonts.width('损失') * 10 / 72 * figure.dpi == pytest.approx(drawn.get_window_extent().width, rel=0.05)


def test_truncated_event_files_are_read_up_to_the_damage(run_folder, tmp_path):
    shutil.copytree(run_folder / 'graphs/r', tmp_path / 'graphs/r')
    last = sorted((tmp_path / 'graphs/r').iterdir())[-1]
    last.write_bytes(last.read_bytes()[:-40])
    events = report.read(tmp_path / 'graphs/r')
    assert events.curves['total_loss'][0][:8] == [1, 2, 3, 4, 5, 10, 20, 40]


def write_events(folder, points, scope='input/'):
    """Write an event file with points (tag, step, seconds) and a graph of one op."""
    with tf.Graph().as_default() as graph:
        tf.zeros([1], name=scope + 'in_img')
        writer = tf.summary.FileWriter(str(folder), graph)
    for tag, step, seconds in points:
        summary = tf.Summary(value=[tf.Summary.Value(tag=tag, simple_value=40 / (1 + step))])
        writer.add_event(tf.Event(wall_time=1e9 + seconds, step=step, summary=summary))
    writer.close()


@pytest.mark.parametrize('points, line', [
    ([('total_loss', step, seconds) for step, seconds in ((1, 0.5), (2, 1), (10, 5), (20, 5000), (40, 5010))],
     '40 iterations, 0.500 s each (median).'),  # the median ignores a pause between two sessions
    ([('total_loss', 7, 0)], '7 iterations.'),
    ([('a_mine', 3, 9), *(('summaries/total_loss', step, step / 4) for step in (1, 2, 5)), ('a_mine', 90, 10)],
     '5 iterations, 0.250 s each (median).'),
])
def test_few_or_unusual_summaries_give_the_right_iterations_and_times(workdir, points, line):
    write_events('graphs/r', points, scope='')  # the op is in none of the known scopes
    assert report.main(['outputs/r']) == 0
    assert line in Path('report/report.md').read_text()
    assert next(iter(report.read('graphs/r').curves)) == 'total_loss'


def test_summaries_without_a_step_are_refused(workdir, capsys):
    write_events('graphs/r', [('total_loss', 0, seconds) for seconds in range(5)])
    assert report.main(['outputs/r']) == 2
    assert 'all 5 summaries are of iteration 0' in capsys.readouterr().err and not Path('report').exists()


@pytest.mark.parametrize('content', [None, b'', b'no events'])
def test_missing_or_unreadable_events_are_refused(workdir, capsys, content):
    if content is not None:
        Path('graphs/r').mkdir(parents=True)
        Path('graphs/r/events.out.tfevents.1.x').write_bytes(content)
    assert report.main(['outputs/r']) == 2
    err = capsys.readouterr().err
    assert 'graphs/r: no ' in err and not Path('report').exists()
