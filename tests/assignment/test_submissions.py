"""Test how submissions are found in folders, zip files and notebooks with the file names of Canvas and Moodle."""

import json
import os
import zipfile

import pytest

from assignment import check, make_starter, notebook
from assignment.grader import submissions
from assignment.regions import TODO, VERSION
from common.errors import UserError

CODE = {name: f'# of {name}\n'.encode() for name in TODO}


def write_files(folder, content=CODE):
    """Write files, name -> bytes, into a folder and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text)
    return folder


def write_zip(path, content):
    """Write a zip file with some content, name -> bytes, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w') as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    return path


@pytest.fixture
def find(tmp_path):
    """Function that returns the submissions of a path: name -> files, or the problem."""
    def find_files(path):
        return {submission.name: submission.problem or submission.files
                for submission in submissions.find_submissions(path, tmp_path / 'unpacked')}
    return find_files


def test_the_folder_or_zip_file_of_a_student_is_one_submission(tmp_path, find):
    assert find(write_files(tmp_path / 'hw2')) == {'hw2': CODE}
    assert find(write_zip(tmp_path / 'mine.zip', CODE)) == {'mine': CODE}
    assert find(write_zip(tmp_path / 'deeper.zip', {f'hw2/{name}': text for name, text in CODE.items()})) == {
        'deeper': CODE}
    content = write_zip(tmp_path / 'x.zip', CODE).read_bytes()
    assert find(write_files(tmp_path / 'sent', {'hw.zip': content}) / 'hw.zip') == {'hw': CODE}


def test_every_kind_of_submission_in_a_class_is_one_row(tmp_path, find):
    group = tmp_path / 'class'
    write_files(group / 'plain')
    write_files(group / 'with spaces' / 'hw2' / 'my code')
    write_files(group / '张伟')
    write_zip(group / 'zip.zip', {**{f'hw/{name}': text for name, text in CODE.items()},
                                  **{f'__MACOSX/hw/._{name}': b'\0' for name in TODO}})
    write_files(group / 'inner', {'all.zip': write_zip(tmp_path / 'a.zip', CODE).read_bytes()})
    for name in TODO:
        write_files(group, {f'doejane_123_456_{name}': CODE[name], f'roejo_LATE_124_457_{name[:-3]}-2.py': CODE[name],
                            f'Ana Núñez_99_assignsubmission_file_{name}': CODE[name]})
    write_files(group / 'Li Wei_98_assignsubmission_file_')
    write_files(group / 'Li Wei_98_assignsubmission_onlinetext_', {'onlinetext.html': b'done'})
    write_files(group, {'doekim_125_458_hw.zip': write_zip(tmp_path / 'k.zip', CODE).read_bytes()})
    write_files(group / '.git')
    write_files(group / '__MACOSX')
    rows = find(group)
    assert set(rows) == {'plain', 'with spaces', '张伟', 'zip.zip', 'inner', 'doejane_123', 'roejo_124', 'Ana Núñez_99',
                         'Li Wei_98', 'doekim_125'}
    assert all(files == CODE for files in rows.values()), rows


def test_an_unreadable_submission_is_a_row_with_the_reason(tmp_path, find):
    group = tmp_path / 'class'
    write_files(group / 'fine')
    write_files(group / 'half', {TODO[0]: b''})
    write_files(group / 'none', {'report.pdf': b'%PDF', 'notes.txt': b''})
    write_files(group / 'twice' / 'a')
    write_files(group / 'twice' / 'b')
    write_files(group, {'damaged.zip': b'PK\3\4 and no more', 'other.rar': b'Rar!', 'grades.csv': b'1',
                        'empty.zip': b''})
    write_files(group / 'large', CODE | {TODO[0]: bytes(2_000_000)})
    write_files(group / 'notebook', {'hw.ipynb': b'{"cells": 3}'})
    write_files(group / 'text', {'hw.ipynb': b'[' * 100_000})
    (group / 'broken').symlink_to(group / 'nowhere')
    write_files(group / 'pipe', {TODO[0]: b''})
    os.mkfifo(group / 'pipe' / TODO[1])
    locked = write_zip(group / 'locked.zip', CODE)
    locked.write_bytes(locked.read_bytes().replace(b'PK\1\2\x14\3\x14\0\0', b'PK\1\2\x14\3\x14\0\1'))
    deep = write_zip(group / 'deep.zip', CODE)
    deep.write_bytes(deep.read_bytes().replace(b'# of', b'#\0of'))  # the content no longer fits its checksum
    rows = find(group)
    reasons = {'half': f'{TODO[1]} is missing; there is {TODO[0]}', 'none': 'there is notes.txt, report.pdf',
               'twice': '2 versions, in a and b', 'damaged.zip': 'cannot be read', 'other.rar': 'hand in a zip file',
               'grades.csv': 'there is grades.csv', 'empty.zip': 'cannot be read', 'large': 'more than 1,000,000 bytes',
               'notebook': 'not a notebook', 'text': 'not a notebook', 'broken': '', 'pipe': 'is not a regular file',
               'locked.zip': 'has a password', 'deep.zip': 'CRC'}
    assert set(rows) == {'fine', *reasons} and rows['fine'] == CODE
    for name, reason in reasons.items():
        assert isinstance(rows[name], str) and reason in rows[name], (name, rows[name])


def test_links_are_followed_only_within_the_submission(tmp_path, find):
    group = tmp_path / 'class'
    write_files(group / 'ada')
    write_files(group / 'own', {'old/a.py': CODE[TODO[0]], TODO[1]: CODE[TODO[1]]})
    (group / 'own' / TODO[0]).symlink_to('old/a.py')
    write_files(group / 'thief', {TODO[1]: b''})
    (group / 'thief' / TODO[0]).symlink_to(group / 'ada' / TODO[0])
    with zipfile.ZipFile(group / 'link.zip', 'w') as archive:
        archive.writestr(TODO[1], b'')
        info = zipfile.ZipInfo(TODO[0])
        info.external_attr = 0o120777 << 16
        archive.writestr(info, '../ada/' + TODO[0])
    rows = find(group)
    assert rows['own'] == rows['ada'] == CODE
    assert 'is a link out of the folder' in rows['thief'] and 'is a link' in rows['link.zip']


def test_links_to_two_folders_of_the_same_name_are_two_rows(tmp_path, find):
    for name in ('one', 'other'):
        write_files(tmp_path / name / 'hw2', {TODO[0]: name.encode(), TODO[1]: b''})
        (tmp_path / 'class').mkdir(exist_ok=True)
        (tmp_path / 'class' / name).symlink_to(tmp_path / name / 'hw2')
    assert {name: files[TODO[0]] for name, files in find(tmp_path / 'class').items()} == {
        'one': b'one', 'other': b'other'}


def test_folder_names_of_arbitrary_bytes_are_printable_rows(tmp_path, find):
    for name in (b'\xff\xfe', b'caf\xe9', b'\x1b[2J'):
        os.mkdir(os.fsencode(tmp_path) + b'/class/' + name) if (tmp_path / 'class').exists() else (
            os.makedirs(os.fsencode(tmp_path) + b'/class/' + name))
    rows = find(tmp_path / 'class')
    assert len(rows) == 3 and all(name.isprintable() and name.encode() for name in rows)
    assert 'caf\\xe9' in rows


@pytest.mark.parametrize('above', ['', 'submissions/'])
def test_a_zip_file_of_a_class_has_a_row_per_student(tmp_path, find, above):
    content = {f'{above}{who}/{name}': CODE[name] for who in ('ada', 'bob') for name in TODO}
    content |= {f'{above}doecyd_1_2_{name}': CODE[name] for name in TODO} | {'__MACOSX/x': b''}
    assert find(write_zip(tmp_path / 'class.zip', content)) == {'ada': CODE, 'bob': CODE, 'doecyd_1': CODE}


def test_a_zip_file_cannot_write_outside_its_folder(tmp_path, find):
    content = {'../evil.txt': b'x', str(tmp_path / 'evil.txt'): b'x', 'a\\..\\..\\evil.txt': b'x'}
    find(write_zip(tmp_path / 'class' / 'class.zip', content))
    assert not list(tmp_path.glob('evil.txt')) and len(list(tmp_path.rglob('evil.txt'))) == 3


def test_file_names_of_old_zip_programs_are_read_as_utf_8(tmp_path, find):
    group = tmp_path / 'class'
    zip_path = write_zip(group / 'x.zip', {'AAAAAA/' + name: text for name, text in CODE.items()})
    zip_path.write_bytes(zip_path.read_bytes().replace(b'AAAAAA', '张伟'.encode()))  # the UTF-8 flag is not set
    assert find(group)['x.zip'] == CODE
    assert [str(submissions._member(info).parent) for info in zipfile.ZipFile(zip_path).infolist()] == ['张伟', '张伟']


@pytest.mark.parametrize('encode', [
    lambda text: b'\xef\xbb\xbf' + text, lambda text: text.replace(b'\n', b'\r\n'),
    lambda text: text.decode().encode('utf-16'), lambda text: text])
def test_encodings_and_line_endings_do_not_change_the_code(tmp_path, find, encode):
    code = {name: encode(f'# starter version {VERSION}\n# 张伟\nx = {name!r}\n'.encode()) for name in TODO}
    files = find(write_files(tmp_path / 'hw', code))['hw']
    for name in TODO:
        namespace = {}
        exec(compile(files[name], name, 'exec'), namespace)  # compile() decodes the bytes as Python does
        assert namespace['x'] == name
    assert check.version_problem(files) is None
    older = {name: encode(text) for name, text in {TODO[0]: b'# starter version 99\n', TODO[1]: b''}.items()}
    assert 'from starter version 99' in check.version_problem(find(write_files(tmp_path / 'old', older))['old'])


def notebook_bytes(*cells):
    """Return the bytes of a notebook with a Markdown cell and these code cells."""
    all_cells = [{'cell_type': 'markdown', 'source': ['class VGG: text']}]
    all_cells += [{'cell_type': 'code', 'source': cell.splitlines(keepends=True), 'outputs': []} for cell in cells]
    return json.dumps({'cells': all_cells, 'nbformat': 4}).encode()


def test_a_notebook_with_writefile_cells_gives_those_files(tmp_path, find):
    cells = [f'%%writefile {name}\nx = {name!r}\n' for name in TODO]
    files = find(write_files(tmp_path / 'hw', {'a.ipynb': notebook_bytes('1 / 0', *cells)}) / 'a.ipynb')['a.ipynb']
    assert files == {name: f'x = {name!r}\n'.encode() for name in TODO}


def test_a_notebook_that_defines_the_classes_becomes_a_module(tmp_path, find):
    """Statements that run something do not belong in a module and are left out."""
    content = notebook_bytes('%matplotlib inline\nimport os\nN = len("ab")\n!pip install x', 'class VGG:\n    x = 1\n',
                    'class StyleTransfer:\n    y = N\n', 'machine = StyleTransfer()\nmachine.train()\nprint(1 / 0)',
                    'def helper():\n    return 2\n\nStyleTransfer.helper = helper', 'for i in range(3):\n    1 / 0')
    files = find(write_files(tmp_path / 'class' / 'ada', {'hw.ipynb': content}).parent)['ada']
    assert files['style_transfer.py'].decode() == (
        "N = len('ab')\n\nclass StyleTransfer:\n    y = N\n\ndef helper():\n    return 2\n\n"
        'StyleTransfer.helper = helper\n')
    assert b'class VGG:\n    x = 1' in files['load_vgg.py'] and b'StyleTransfer' not in files['load_vgg.py']


def test_the_notebook_of_the_kit_completes_the_unfinished_files_beside_it(tmp_path, find):
    folder = tmp_path / 'hw'
    assert make_starter.main(['--notebook', str(folder)]) == 0
    path = folder / notebook.NOTEBOOK_NAME
    path.write_text(path.read_text().replace('raise NotImplementedError(', 'return print('))
    content = {notebook.NOTEBOOK_NAME: path.read_bytes()}
    notebook_only = find(write_files(tmp_path / 'class' / 'ada', content).parent)['ada']
    assert find(folder)['hw'] == notebook_only and all(b'return print(' in text for text in notebook_only.values())
    for name in TODO:  # a file that is filled in counts, whatever the notebook says
        (folder / name).write_bytes(CODE[name])
    assert find(folder)['hw'] == CODE


def test_a_file_beside_a_notebook_is_used(tmp_path, find):
    content = {'load_vgg.py': b'x = 1', 'hw.ipynb': notebook_bytes('class StyleTransfer:\n    pass')}
    files = find(write_files(tmp_path / 'ada', content))['ada']
    assert files['load_vgg.py'] == b'x = 1' and b'class StyleTransfer' in files['style_transfer.py']


def test_a_path_without_submissions_is_refused(tmp_path, find):
    (tmp_path / 'empty').mkdir()
    for path, message in ((tmp_path / 'empty', 'nor submissions'), (tmp_path / 'no', 'no such file or folder'),
                          (write_files(tmp_path, {'x.txt': b''}) / 'x.txt', 'neither a folder')):
        with pytest.raises(UserError, match=message):
            find(path)
