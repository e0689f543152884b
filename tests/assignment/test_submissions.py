"""Submissions as they come: from folders, zip files and notebooks, under the names of Canvas and Moodle."""

import json
import os
import zipfile

import pytest

from assignment import check, make_starter, notebook
from assignment.grader import submissions
from assignment.regions import TODO, VERSION
from common.errors import UserError

CODE = {name: f'# of {name}\n'.encode() for name in TODO}


def put(folder, content=CODE):
    """Fill a folder: name -> bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text)
    return folder


def zipped(path, content):
    """A zip file: name -> bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w') as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    return path


@pytest.fixture
def found(tmp_path):
    """A function that gives name -> files, or the problem, of what is in a place."""
    def find(path):
        return {one.name: one.problem or one.files for one in submissions.find_submissions(path, tmp_path / 'unpacked')}
    return find


def test_a_students_folder_zip_and_notebook_are_one_submission(tmp_path, found):
    assert found(put(tmp_path / 'hw2')) == {'hw2': CODE}
    assert found(zipped(tmp_path / 'mine.zip', CODE)) == {'mine': CODE}
    assert found(zipped(tmp_path / 'deeper.zip', {f'hw2/{name}': text for name, text in CODE.items()})) == {
        'deeper': CODE}
    assert found(put(tmp_path / 'sent', {'hw.zip': zipped(tmp_path / 'x.zip', CODE).read_bytes()}) / 'hw.zip') == {
        'hw': CODE}


def test_a_class_of_every_kind_is_a_row_each(tmp_path, found):
    group = tmp_path / 'class'
    put(group / 'plain')
    put(group / 'with spaces' / 'hw2' / 'my code')
    put(group / '张伟')
    zipped(group / 'zip.zip', {**{f'hw/{name}': text for name, text in CODE.items()},
                               **{f'__MACOSX/hw/._{name}': b'\0' for name in TODO}})
    put(group / 'inner', {'all.zip': zipped(tmp_path / 'a.zip', CODE).read_bytes()})
    for name in TODO:
        put(group, {f'doejane_123_456_{name}': CODE[name], f'roejo_LATE_124_457_{name[:-3]}-2.py': CODE[name],
                    f'Ana Núñez_99_assignsubmission_file_{name}': CODE[name]})
    put(group / 'Li Wei_98_assignsubmission_file_')
    put(group / 'Li Wei_98_assignsubmission_onlinetext_', {'onlinetext.html': b'done'})
    put(group, {'doekim_125_458_hw.zip': zipped(tmp_path / 'k.zip', CODE).read_bytes()})
    put(group / '.git')
    put(group / '__MACOSX')
    rows = found(group)
    assert set(rows) == {'plain', 'with spaces', '张伟', 'zip.zip', 'inner', 'doejane_123', 'roejo_124', 'Ana Núñez_99',
                         'Li Wei_98', 'doekim_125'}
    assert all(files == CODE for files in rows.values()), rows


def test_what_cannot_be_read_is_a_row_with_the_reason(tmp_path, found):
    group = tmp_path / 'class'
    put(group / 'fine')
    put(group / 'half', {TODO[0]: b''})
    put(group / 'none', {'report.pdf': b'%PDF', 'notes.txt': b''})
    put(group / 'twice' / 'a')
    put(group / 'twice' / 'b')
    put(group, {'damaged.zip': b'PK\3\4 and no more', 'other.rar': b'Rar!', 'grades.csv': b'1', 'empty.zip': b''})
    put(group / 'large', CODE | {TODO[0]: bytes(2_000_000)})
    put(group / 'notebook', {'hw.ipynb': b'{"cells": 3}'})
    put(group / 'text', {'hw.ipynb': b'[' * 100_000})
    (group / 'broken').symlink_to(group / 'nowhere')
    put(group / 'pipe', {TODO[0]: b''})
    os.mkfifo(group / 'pipe' / TODO[1])
    locked = zipped(group / 'locked.zip', CODE)
    locked.write_bytes(locked.read_bytes().replace(b'PK\1\2\x14\3\x14\0\0', b'PK\1\2\x14\3\x14\0\1'))
    deep = zipped(group / 'deep.zip', CODE)
    deep.write_bytes(deep.read_bytes().replace(b'# of', b'#\0of'))  # no longer what its checksum says
    rows = found(group)
    said = {'half': f'{TODO[1]} is missing; there is {TODO[0]}', 'none': 'there is notes.txt, report.pdf',
            'twice': '2 versions, in a and b', 'damaged.zip': 'cannot be read', 'other.rar': 'zip it',
            'grades.csv': 'there is grades.csv', 'empty.zip': 'cannot be read', 'large': 'more than 1,000,000 bytes',
            'notebook': 'not a notebook', 'text': 'not a notebook', 'broken': '', 'pipe': 'is not a regular file',
            'locked.zip': 'has a password', 'deep.zip': 'CRC'}
    assert set(rows) == {'fine', *said} and rows['fine'] == CODE
    for name, reason in said.items():
        assert isinstance(rows[name], str) and reason in rows[name], (name, rows[name])


def test_links_lead_to_what_is_ones_own(tmp_path, found):
    group = tmp_path / 'class'
    put(group / 'ada')
    put(group / 'own', {'old/a.py': CODE[TODO[0]], TODO[1]: CODE[TODO[1]]})
    (group / 'own' / TODO[0]).symlink_to('old/a.py')
    put(group / 'thief', {TODO[1]: b''})
    (group / 'thief' / TODO[0]).symlink_to(group / 'ada' / TODO[0])
    with zipfile.ZipFile(group / 'link.zip', 'w') as archive:
        archive.writestr(TODO[1], b'')
        info = zipfile.ZipInfo(TODO[0])
        info.external_attr = 0o120777 << 16
        archive.writestr(info, '../ada/' + TODO[0])
    rows = found(group)
    assert rows['own'] == rows['ada'] == CODE
    assert 'is a link out of the folder' in rows['thief'] and 'is a link' in rows['link.zip']


def test_two_links_whose_targets_have_one_name_are_two_rows(tmp_path, found):
    for name in ('one', 'other'):
        put(tmp_path / name / 'hw2', {TODO[0]: name.encode(), TODO[1]: b''})
        (tmp_path / 'class').mkdir(exist_ok=True)
        (tmp_path / 'class' / name).symlink_to(tmp_path / name / 'hw2')
    assert {name: files[TODO[0]] for name, files in found(tmp_path / 'class').items()} == {
        'one': b'one', 'other': b'other'}


def test_names_of_any_bytes_are_rows_that_can_be_printed(tmp_path, found):
    for name in (b'\xff\xfe', b'caf\xe9', b'\x1b[2J'):
        os.mkdir(os.fsencode(tmp_path) + b'/class/' + name) if (tmp_path / 'class').exists() else (
            os.makedirs(os.fsencode(tmp_path) + b'/class/' + name))
    rows = found(tmp_path / 'class')
    assert len(rows) == 3 and all(name.isprintable() and name.encode() for name in rows)
    assert 'caf\\xe9' in rows


@pytest.mark.parametrize('above', ['', 'submissions/'])
def test_a_class_in_a_zip_file_is_a_class(tmp_path, found, above):
    content = {f'{above}{who}/{name}': CODE[name] for who in ('ada', 'bob') for name in TODO}
    content |= {f'{above}doecyd_1_2_{name}': CODE[name] for name in TODO} | {'__MACOSX/x': b''}
    assert found(zipped(tmp_path / 'class.zip', content)) == {'ada': CODE, 'bob': CODE, 'doecyd_1': CODE}


def test_a_zip_file_writes_nothing_beside_its_place(tmp_path, found):
    content = {'../evil.txt': b'x', str(tmp_path / 'evil.txt'): b'x', 'a\\..\\..\\evil.txt': b'x'}
    found(zipped(tmp_path / 'class' / 'class.zip', content))
    assert not list(tmp_path.glob('evil.txt')) and len(list(tmp_path.rglob('evil.txt'))) == 3


def test_names_of_old_zip_programs_are_read_as_utf_8(tmp_path, found):
    group = tmp_path / 'class'
    path = zipped(group / 'x.zip', {'AAAAAA/' + name: text for name, text in CODE.items()})
    path.write_bytes(path.read_bytes().replace(b'AAAAAA', '张伟'.encode()))  # without the flag that says so
    assert found(group)['x.zip'] == CODE
    assert [str(submissions._member(info).parent) for info in zipfile.ZipFile(path).infolist()] == ['张伟', '张伟']


@pytest.mark.parametrize('written', [
    lambda text: b'\xef\xbb\xbf' + text, lambda text: text.replace(b'\n', b'\r\n'),
    lambda text: text.decode().encode('utf-16'), lambda text: text])
def test_code_of_any_editor_is_the_same_code(tmp_path, found, written):
    code = {name: written(f'# starter version {VERSION}\n# 张伟\nx = {name!r}\n'.encode()) for name in TODO}
    files = found(put(tmp_path / 'hw', code))['hw']
    for name in TODO:
        names = {}
        exec(compile(files[name], name, 'exec'), names)  # as Python reads it
        assert names['x'] == name
    assert check.version_problem(files) is None
    older = {name: written(text) for name, text in {TODO[0]: b'# starter version 99\n', TODO[1]: b''}.items()}
    assert 'from starter version 99' in check.version_problem(found(put(tmp_path / 'old', older))['old'])


def with_cells(*cells):
    """The bytes of a notebook with code cells, between others."""
    listed = [{'cell_type': 'markdown', 'source': ['class VGG: text']}]
    listed += [{'cell_type': 'code', 'source': cell.splitlines(keepends=True), 'outputs': []} for cell in cells]
    return json.dumps({'cells': listed, 'nbformat': 4}).encode()


def test_a_notebook_that_writes_files_is_those_files(tmp_path, found):
    cells = [f'%%writefile {name}\nx = {name!r}\n' for name in TODO]
    files = found(put(tmp_path / 'hw', {'a.ipynb': with_cells('1 / 0', *cells)}) / 'a.ipynb')['a.ipynb']
    assert files == {name: f'x = {name!r}\n'.encode() for name in TODO}


def test_a_notebook_that_defines_classes_is_their_module(tmp_path, found):
    """Without what runs something, which has no place in a module."""
    text = with_cells('%matplotlib inline\nimport os\nN = len("ab")\n!pip install x', 'class VGG:\n    x = 1\n',
                    'class StyleTransfer:\n    y = N\n', 'machine = StyleTransfer()\nmachine.train()\nprint(1 / 0)',
                    'def helper():\n    return 2\n\nStyleTransfer.helper = helper', 'for i in range(3):\n    1 / 0')
    files = found(put(tmp_path / 'class' / 'ada', {'hw.ipynb': text}).parent)['ada']
    names = {}
    exec(files['style_transfer.py'], names)
    assert names['StyleTransfer'].helper() == 2 and names['VGG'].x == 1 and names['StyleTransfer'].y == 2
    assert files['load_vgg.py'] == files['style_transfer.py'] and 'machine' not in names


def test_the_kits_notebook_fills_in_what_is_still_to_do_in_the_files_beside_it(tmp_path, found):
    folder = tmp_path / 'hw'
    assert make_starter.main(['--notebook', str(folder)]) == 0
    path = folder / notebook.NOTEBOOK_NAME
    path.write_text(path.read_text().replace('raise NotImplementedError(', 'return print('))
    alone = found(put(tmp_path / 'class' / 'ada', {notebook.NOTEBOOK_NAME: path.read_bytes()}).parent)['ada']
    assert found(folder)['hw'] == alone and all(b'return print(' in text for text in alone.values())
    for name in TODO:  # a solution is its own, whatever the notebook says
        (folder / name).write_bytes(CODE[name])
    assert found(folder)['hw'] == CODE


def test_a_file_beside_a_notebook_counts(tmp_path, found):
    content = {'load_vgg.py': b'x = 1', 'hw.ipynb': with_cells('class StyleTransfer:\n    pass')}
    files = found(put(tmp_path / 'ada', content))['ada']
    assert files['load_vgg.py'] == b'x = 1' and b'class StyleTransfer' in files['style_transfer.py']


def test_a_place_without_submissions_is_told(tmp_path, found):
    (tmp_path / 'empty').mkdir()
    for path, says in ((tmp_path / 'empty', 'nor submissions'), (tmp_path / 'no', 'no such folder'),
                       (put(tmp_path, {'x.txt': b''}) / 'x.txt', 'neither a folder')):
        with pytest.raises(UserError, match=says):
            found(path)
