"""Test the verification of a submitted run: a consistent run has no issues, and every inconsistency is reported."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from assignment import handed_in, report
from common import paths
from common.tf1 import tf


@pytest.fixture
def run_dir(run_folder, images, tiny_vgg, tmp_path, monkeypatch):
    """Path of graphs/r in a student's folder, which also has the student's own images."""
    monkeypatch.setattr(handed_in.load_vgg, 'WEIGHTS_SEARCH_PATHS', (paths.ROOT / 'no such.mat', tiny_vgg))
    shutil.copytree(run_folder / 'graphs', tmp_path / 'graphs')
    for path, folder in zip(images, ('content', 'styles')):
        (tmp_path / folder).mkdir()
        shutil.copy(path, tmp_path / folder / 'mine.png')
    return tmp_path / 'graphs/r'


@pytest.fixture
def skip_first_losses(monkeypatch):
    """Accept the first losses without recomputing them."""
    monkeypatch.setattr(handed_in, '_first_loss_issues', lambda run, events, recipe: [])


def rewrite_events(run_dir, change):
    """Pass every event of a run through `change`, which modifies it and returns whether to keep it."""
    for path in sorted(run_dir.iterdir()):
        events = list(tf.train.summary_iterator(str(path)))
        with tf.io.TFRecordWriter(str(path)) as writer:
            for event in events:
                if change(event):
                    writer.write(event.SerializeToString())


def scalars(event):
    """Return the scalar values of an event."""
    return [value for value in event.summary.value if value.WhichOneof('value') == 'simple_value']


def change_setting(old, new):
    """Return a change of an entry in the table of settings."""
    def change(event):
        for value in event.summary.value:
            if value.tag == 'settings':
                assert old in value.tensor.string_val[0]
                value.tensor.string_val[0] = value.tensor.string_val[0].replace(old, new)
        return True
    return change


def scale_loss(name, factor, from_step=0):
    """Return a change that multiplies the values of a loss by a factor."""
    def change(event):
        for value in scalars(event):
            if value.tag.endswith(name) and event.step >= from_step:
                value.simple_value *= factor
        return True
    return change


def remove_curve(name, step=None):
    """Return a change that removes a curve, or its point at one step."""
    def change(event):
        if event.HasField('summary') and step in (None, event.step):
            kept = [value for value in event.summary.value if not value.tag.endswith(name)]
            del event.summary.value[:]
            event.summary.value.extend(kept)
        return True
    return change


def test_a_short_but_consistent_run_has_only_its_length_as_an_issue(run_dir, capsys, monkeypatch):
    assert handed_in.main([str(run_dir.parent.parent)]) == 1
    assert capsys.readouterr().out == (
        f'{run_dir}: issues found: 1\n  60 iterations; the handout asks for at least 200\n')
    monkeypatch.setattr(handed_in, 'MIN_ITERATIONS', 60)
    monkeypatch.setattr(handed_in, 'first_losses', lambda settings, recipe, folder, steps: {
        step: {name: dict(zip(*points))[step] for name, points in report.read(run_dir).curves.items()}
        for step in steps})
    assert handed_in.main([str(run_dir)]) == 0
    assert capsys.readouterr().out == f'{run_dir}: the curves fit the settings\n'


def test_first_losses_of_other_settings_are_reported(run_dir):
    rewrite_events(run_dir, change_setting(b'| pooling | avg |', b'| pooling | max |'))
    issues = handed_in.verify_run(run_dir)
    assert issues[1].startswith('content_loss of iteration 1 is ') and '; these settings give ' in issues[1]
    assert len(issues) == 7  # the length of the run, and three losses of two iterations


@pytest.mark.parametrize('change, message', [
    (scale_loss('style_loss', 1.5), 'total_loss of iteration 1 is '),
    (scale_loss('_loss', 1e-9, 60), ''),
    (scale_loss('_loss', 1e9, 60), 'the total loss does not fall: '),
    (scale_loss('_loss', np.nan, 60), 'some losses are not finite'),
    (lambda event: event.step != 20 or not event.summary.value, 'iterations that the recipe cs20 logs are missing: 1, '
                                                                'the first is 20; '),
    (remove_curve('style_loss', 20), 'the losses were not logged'),
    (lambda event: 'picture' not in str(event), 'no pictures'),
    (change_setting(b'style_coefficient', b'other'), 'the event files lack the setting style_coefficient'),
    (remove_curve('settings'), 'the event files lack the setting content_coefficient'),
    (remove_curve('content_loss'), 'no curve of content_loss'),
    (change_setting(b'| style_weight | 1.0 |', b'| style_weight | -1 |'),
     'the settings in the event files are invalid: --style-weight -1'),
    (change_setting(b'| style_weight | 1.0 |', b'| style_weight | {} |'),
     'the settings in the event files are invalid: '),
    (change_setting(b'1/(4s)', b'1/s of mine'), 'content_coefficient 1/s of mine: unknown'),
])
def test_curves_that_do_not_fit_the_settings_are_reported(run_dir, skip_first_losses, change, message):
    rewrite_events(run_dir, change)
    issues = handed_in.verify_run(run_dir)
    assert any(message in line for line in issues) and len(issues) == 1 + bool(message)


def test_a_graph_without_an_optimizer_is_reported(run_dir, skip_first_losses):
    def change(event):
        if event.HasField('graph_def'):
            graph = tf.GraphDef.FromString(event.graph_def)
            event.graph_def = tf.GraphDef(
                node=[node for node in graph.node if not node.name.startswith('opt')]).SerializeToString()
        return True
    rewrite_events(run_dir, change)
    assert handed_in.verify_run(run_dir)[1:] == ['the graph has no name scope optimizer']


@pytest.mark.parametrize('change, message', [
    (change_setting(b'| width | 48 |', b'| width | 4800000000000 |'),
     "the setting width is '4800000000000'; it must be a whole number from 16 to 4096"),
    (change_setting(b'| stages | [] |', b'| scales | 2 |'), 'the run uses more than one scale'),
    (change_setting(b'| stages | [] |', b'| stages | [{}] |'), 'the run uses more than one scale'),
    (change_setting(b'| seed | 0 |', b'| seed | 0 |\n| mask | 01234567 |'), 'the run uses mask'),
    (lambda event: event.step > 25 or not event.summary.value or 'settings' in str(event),
     'the event files lack losses of the first 25 iterations'),
])
def test_the_reason_why_first_losses_were_not_recomputed_is_reported(run_dir, change, message):
    rewrite_events(run_dir, change)
    assert handed_in.verify_run(run_dir)[-1] == f'the first losses were not recomputed: {message}'


def test_missing_images_are_reported_and_links_out_of_the_folder_ignored(run_dir, images, tiny_vgg, monkeypatch):
    (run_dir.parent.parent / 'styles/mine.png').unlink()
    digits = hashlib.sha256(images[1].read_bytes()).hexdigest()[:8]
    assert handed_in.verify_run(run_dir)[-1].endswith(f'style: no file was found whose SHA-256 begins with {digits}')
    (run_dir.parent.parent / 'styles/link.png').symlink_to(images[1])  # a link out of the student's folder
    assert handed_in.verify_run(run_dir)[-1].endswith(f'style: no file was found whose SHA-256 begins with {digits}')


def test_large_event_files_and_links_are_not_read(run_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(handed_in, 'MAX_EVENT_BYTES', 1000)
    assert handed_in.verify_run(run_dir) == [f'{run_dir}: the event files have more than 0 MB']
    link = run_dir / 'events.out.tfevents.9.x'
    for target in ('/dev/zero', sorted(run_dir.iterdir())[0]):
        link.symlink_to(target)
        assert handed_in.verify_run(run_dir) == [f'{link}: is a link or not a regular file']
        link.unlink()


def test_malformed_settings_are_reported(run_dir):
    def change(event):
        for value in event.summary.value:
            if value.tag == 'settings':
                del value.tensor.string_val[:]
        return True
    rewrite_events(run_dir, change)
    line, = handed_in.verify_run(run_dir)
    assert 'cannot read the event files (IndexError' in line


def test_a_file_without_events_is_reported(tmp_path):
    (tmp_path / 'events.out.tfevents.1.x').write_bytes(b'nothing that TensorBoard knows')
    assert len(handed_in.verify_run(tmp_path)) == 1


def test_a_folder_without_event_files_is_refused(tmp_path, capsys):
    assert handed_in.main([str(tmp_path)]) == 2
    assert 'no event files there' in capsys.readouterr().err


def zip_submission(run_dir, folder):
    """Write the student's folder of a run into a zip file in a folder; return its path."""
    return shutil.make_archive(folder / 'hw2', 'zip', run_dir.parent.parent.parent, run_dir.parent.parent.name)


def test_a_zip_file_and_a_folder_that_contains_one_are_verified(run_dir, skip_first_losses, tmp_path_factory, capsys):
    folder = tmp_path_factory.mktemp('downloads')
    zip_path = zip_submission(run_dir, folder)
    for argument in (zip_path, folder):  # Moodle puts each student's zip file into a folder
        assert handed_in.main([str(argument)]) == 1
        run_name = f'{zip_path}/{run_dir.parent.parent.name}/graphs/r'
        assert capsys.readouterr().out == (
            f'{run_name}: issues found: 1\n  60 iterations; the handout asks for at least 200\n')
    assert handed_in.main(['--json', str(zip_path)]) == 1
    assert json.loads(capsys.readouterr().out) == {run_name: ['60 iterations; the handout asks for at least 200']}


@pytest.mark.parametrize('content, message', [(b'PK', 'cannot be read as a zip file'),
                                              (None, 'no such file or folder')])
def test_a_path_that_cannot_be_read_is_reported_in_one_line(tmp_path, capsys, content, message):
    if content:
        (tmp_path / 'hw2.zip').write_bytes(content)
    assert handed_in.main([str(tmp_path / 'hw2.zip')]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count('\n') == 1


def test_a_linked_run_of_another_student_is_ignored(run_dir, tmp_path_factory, capsys):
    folder = tmp_path_factory.mktemp('bob')
    (folder / 'graphs').symlink_to(run_dir.parent)
    assert handed_in.main([str(folder)]) == 2
    assert 'no event files there' in capsys.readouterr().err
    assert handed_in.find_runs(run_dir.parent.parent) == [run_dir]


def test_a_zip_file_that_would_fill_the_disk_is_not_unpacked(run_dir, tmp_path_factory, monkeypatch, capsys):
    zip_path = zip_submission(run_dir, tmp_path_factory.mktemp('downloads'))
    monkeypatch.setattr(handed_in, 'MAX_ZIP_BYTES', 1000)
    assert handed_in.main([zip_path]) == 2
    assert 'its contents are larger than' in capsys.readouterr().err
