"""A run that is handed in: one that is what it says has nothing to look at, every other way to differ is named."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from assignment import handed_in, report
from common import paths
from common.tf1 import tf


@pytest.fixture
def handed(run_folder, images, tiny_vgg, tmp_path, monkeypatch):
    """graphs/r in a student's folder, with the student's own images beside it."""
    monkeypatch.setattr(handed_in.load_vgg, 'WEIGHTS_SEARCH_PATHS', (paths.ROOT / 'no such.mat', tiny_vgg))
    shutil.copytree(run_folder / 'graphs', tmp_path / 'graphs')
    for path, room in zip(images, ('content', 'styles')):
        (tmp_path / room).mkdir()
        shutil.copy(path, tmp_path / room / 'mine.png')
    return tmp_path / 'graphs/r'


@pytest.fixture
def quick(monkeypatch):
    """The first losses are taken for right."""
    monkeypatch.setattr(handed_in, '_first_loss_issues', lambda run, events, recipe: [])


def changed(run, change):
    """Put every event of a run through `change`, which says whether it stays."""
    for path in sorted(run.iterdir()):
        events = list(tf.train.summary_iterator(str(path)))
        with tf.io.TFRecordWriter(str(path)) as writer:
            for event in events:
                if change(event):
                    writer.write(event.SerializeToString())


def scalars(event):
    return [value for value in event.summary.value if value.WhichOneof('value') == 'simple_value']


def setting(old, new):
    """A change of the table of settings."""
    def change(event):
        for value in event.summary.value:
            if value.tag == 'settings':
                assert old in value.tensor.string_val[0]
                value.tensor.string_val[0] = value.tensor.string_val[0].replace(old, new)
        return True
    return change


def times(name, factor, from_step=0):
    """A change of the values of a loss."""
    def change(event):
        for value in scalars(event):
            if value.tag.endswith(name) and event.step >= from_step:
                value.simple_value *= factor
        return True
    return change


def without(name, step=None):
    """A change that takes a curve away, or one point of it."""
    def change(event):
        if event.HasField('summary') and step in (None, event.step):
            kept = [value for value in event.summary.value if not value.tag.endswith(name)]
            del event.summary.value[:]
            event.summary.value.extend(kept)
        return True
    return change


def test_a_run_that_fits_has_its_length_to_look_at_alone(handed, capsys, monkeypatch):
    assert handed_in.main([str(handed.parent.parent)]) == 1
    assert capsys.readouterr().out == f'{handed}: issues found: 1\n  60 iterations; the handout asks for at least 200\n'
    monkeypatch.setattr(handed_in, 'MIN_ITERATIONS', 60)
    monkeypatch.setattr(handed_in, 'first_losses', lambda settings, recipe, folder, steps: {
        step: {name: dict(zip(*points))[step] for name, points in report.read(handed).curves.items()}
        for step in steps})
    assert handed_in.main([str(handed)]) == 0
    assert capsys.readouterr().out == f'{handed}: the curves fit the settings\n'


def test_first_losses_of_other_settings_are_told(handed):
    changed(handed, setting(b'| pooling | avg |', b'| pooling | max |'))
    found = handed_in.verify_run(handed)
    assert found[1].startswith('content_loss of iteration 1 is ') and '; these settings give ' in found[1]
    assert len(found) == 7  # every loss of two iterations


@pytest.mark.parametrize('change, told', [
    (times('style_loss', 1.5), 'total_loss of iteration 1 is '),
    (times('_loss', 1e-9, 60), ''),
    (times('_loss', 1e9, 60), 'the total loss does not fall: '),
    (times('_loss', np.nan, 60), 'some losses are not finite'),
    (lambda event: event.step != 20 or not event.summary.value, 'iterations that the recipe cs20 logs are missing: 1, '
                                                                'the first is 20; '),
    (without('style_loss', 20), 'the losses were not logged'),
    (lambda event: 'picture' not in str(event), 'no pictures'),
    (setting(b'style_coefficient', b'other'), 'the event files lack the setting style_coefficient'),
    (without('settings'), 'the event files lack the setting content_coefficient'),
    (without('content_loss'), 'no curve of content_loss'),
    (setting(b'| style_weight | 1.0 |', b'| style_weight | -1 |'),
     'the settings in the event files are invalid: --style-weight -1'),
    (setting(b'| style_weight | 1.0 |', b'| style_weight | {} |'), 'the settings in the event files are invalid: '),
    (setting(b'1/(4s)', b'1/s of mine'), 'content_coefficient 1/s of mine: unknown'),
])
def test_curves_that_do_not_fit_are_told(handed, quick, change, told):
    changed(handed, change)
    found = handed_in.verify_run(handed)
    assert any(told in line for line in found) and len(found) == 1 + bool(told)


def test_a_graph_without_its_parts_is_told(handed, quick):
    def change(event):
        if event.HasField('graph_def'):
            graph = tf.GraphDef.FromString(event.graph_def)
            event.graph_def = tf.GraphDef(
                node=[node for node in graph.node if not node.name.startswith('opt')]).SerializeToString()
        return True
    changed(handed, change)
    assert handed_in.verify_run(handed)[1:] == ['the graph has no name scope optimizer']


@pytest.mark.parametrize('change, told', [
    (setting(b'| width | 48 |', b'| width | 4800000000000 |'),
     "the setting width is '4800000000000'; it must be a whole number from 16 to 4096"),
    (setting(b'| scales | 1 |', b'| scales | 2 |'), 'the run uses more than one scale'),
    (setting(b'| seed | 0 |', b'| seed | 0 |\n| mask | 01234567 |'), 'the run uses mask'),
    (lambda event: event.step > 25 or not event.summary.value or 'settings' in str(event),
     'the event files lack losses of the first 25 iterations'),
])
def test_why_the_first_losses_were_not_made_anew(handed, change, told):
    changed(handed, change)
    assert handed_in.verify_run(handed)[-1] == f'the first losses were not recomputed: {told}'


def test_images_and_weights_that_are_not_here_are_told(handed, images, tiny_vgg, monkeypatch):
    (handed.parent.parent / 'styles/mine.png').unlink()
    digits = hashlib.sha256(images[1].read_bytes()).hexdigest()[:8]
    assert handed_in.verify_run(handed)[-1].endswith(f'style: no file was found whose SHA-256 begins with {digits}')
    (handed.parent.parent / 'styles/link.png').symlink_to(images[1])  # out of the folder
    assert handed_in.verify_run(handed)[-1].endswith(f'style: no file was found whose SHA-256 begins with {digits}')


def test_files_that_would_not_end_are_not_read(handed, tmp_path, monkeypatch):
    monkeypatch.setattr(handed_in, 'MAX_EVENT_BYTES', 1000)
    assert handed_in.verify_run(handed) == [f'{handed}: the event files have more than 0 MB']
    link = handed / 'events.out.tfevents.9.x'
    for target in ('/dev/zero', sorted(handed.iterdir())[0]):
        link.symlink_to(target)
        assert handed_in.verify_run(handed) == [f'{link}: is a link or not a regular file']
        link.unlink()


def test_events_of_any_kind_are_told(handed):
    def change(event):
        for value in event.summary.value:
            if value.tag == 'settings':
                del value.tensor.string_val[:]
        return True
    changed(handed, change)
    line, = handed_in.verify_run(handed)
    assert 'cannot read the event files (IndexError' in line


def test_events_that_are_none_are_told(tmp_path):
    (tmp_path / 'events.out.tfevents.1.x').write_bytes(b'nothing that TensorBoard knows')
    assert len(handed_in.verify_run(tmp_path)) == 1


def test_nothing_handed_in_ends_in_one_line(tmp_path, capsys):
    assert handed_in.main([str(tmp_path)]) == 2
    assert 'no event files there' in capsys.readouterr().err


def zipped(handed, place):
    """The student's folder of a run as a zip file."""
    return shutil.make_archive(place / 'hw2', 'zip', handed.parent.parent.parent, handed.parent.parent.name)


def test_a_zip_file_and_a_folder_with_one_are_read_as_the_folder_is(handed, quick, tmp_path_factory, capsys):
    place = tmp_path_factory.mktemp('downloads')
    path = zipped(handed, place)
    for given in (path, place):  # Moodle makes a folder of each student
        assert handed_in.main([str(given)]) == 1
        shown = f'{path}/{handed.parent.parent.name}/graphs/r'
        assert capsys.readouterr().out == (
            f'{shown}: issues found: 1\n  60 iterations; the handout asks for at least 200\n')
    assert handed_in.main(['--json', str(path)]) == 1
    assert json.loads(capsys.readouterr().out) == {shown: ['60 iterations; the handout asks for at least 200']}


@pytest.mark.parametrize('content, says', [(b'PK', 'cannot be read as a zip file'), (None, 'no such file or folder')])
def test_a_place_that_cannot_be_read_ends_in_one_line(tmp_path, capsys, content, says):
    if content:
        (tmp_path / 'hw2.zip').write_bytes(content)
    assert handed_in.main([str(tmp_path / 'hw2.zip')]) == 2
    err = capsys.readouterr().err
    assert says in err and err.count('\n') == 1


def test_a_run_of_somebody_else_behind_a_link_was_not_handed_in(handed, tmp_path_factory, capsys):
    folder = tmp_path_factory.mktemp('bob')
    (folder / 'graphs').symlink_to(handed.parent)
    assert handed_in.main([str(folder)]) == 2
    assert 'no event files there' in capsys.readouterr().err
    assert handed_in.find_runs(handed.parent.parent) == [handed]


def test_a_zip_file_that_would_fill_the_disk_is_not_unpacked(handed, tmp_path_factory, monkeypatch, capsys):
    path = zipped(handed, tmp_path_factory.mktemp('downloads'))
    monkeypatch.setattr(handed_in, 'MAX_ZIP_BYTES', 1000)
    assert handed_in.main([path]) == 2
    assert 'its contents are larger than' in capsys.readouterr().err
