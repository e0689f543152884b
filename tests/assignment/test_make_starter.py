"""Test the starter against the real code: it has no solution, and every step passes once it is filled in."""

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from assignment import check, make_starter, regions
from common import paths


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Folder with a starter."""
    folder = tmp_path_factory.mktemp('student') / 'hw2'
    assert make_starter.main([str(folder)]) == 0
    return folder


def solution_regions(name):
    """Yield (region, lines of its solution without comments) of a file of the real code."""
    lines = (paths.ROOT / name).read_text().splitlines()
    for region in make_starter.regions('\n'.join(lines)):
        yield region, [line for line in region.body if not line.strip().startswith('#')]


def test_the_starter_has_every_hint_and_no_solution(folder):
    for name in make_starter.TODO:
        text = (folder / name).read_text()
        messages = [node.exc.args[0].value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Raise)
                    and isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) == 'NotImplementedError']
        assert sorted(messages) == sorted(f'step {region.step}: {region.hint}' for region, _ in solution_regions(name))
        assert text.count('# TODO step') == len(messages)
        for _, lines in solution_regions(name):
            starter_code = '\n'.join(path.read_text() for path in folder.rglob('*.py'))
            solution = '\n'.join(lines)
            assert solution not in starter_code
        assert 'SOLUTION' not in text
    assert not list(folder.rglob('test*')) and not (folder / 'fast_style_transfer.py').exists()
    assert {path.relative_to(folder).as_posix() for path in folder.rglob('assignment/**/*.py')} == {
        f'assignment/{name}.py'
        for name in ('__init__', 'report', 'reporting/__init__', 'reporting/pdf', 'reporting/diagram')}


def test_the_other_files_are_copies_of_the_real_code(folder):
    for name in make_starter.dependencies():
        assert (folder / name).read_bytes() == (paths.ROOT / name).read_bytes()
    steps = {region.step for name in make_starter.TODO for region, _ in solution_regions(name)}
    assert steps == {1, 2, 3, 4, 5}


def test_the_programs_of_the_handout_have_everything_they_import(folder):
    for name in make_starter.HANDOUT_PROGRAMS:
        for node in ast.walk(ast.parse((folder / name).read_text())):
            for module in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else
                           [node.module, *(f'{node.module}.{alias.name}' for alias in node.names)]
                           if isinstance(node, ast.ImportFrom) else ()):
                path = module.replace('.', '/') + '.py'
                assert (folder / path).exists() or not (paths.ROOT / path).exists(), path


def headings(name):
    """Return the marks (##, ###, …) of the headings of a Markdown file in assignment/, without the title."""
    return [line.partition(' ')[0] for line in (paths.ROOT / 'assignment' / name).read_text().splitlines()
            if line.startswith('#') and not line.startswith('# ')]


@pytest.mark.parametrize('name', ['README', 'TEACHING'])
def test_the_english_and_chinese_texts_have_the_same_structure(name):
    assert len(headings(f'{name}.md')) > 5 and headings(f'{name}.md') == headings(f'{name}.zh.md')
    english, chinese = ((paths.ROOT / 'assignment' / f'{name}{language}.md').read_text() for language in ('', '.zh'))
    for mark in ('\n- ', '\n1. ', '\n4. ', '\n| ', '```'):  # of lists, tables and code
        assert english.count(mark) == chinese.count(mark), mark
    flags = re.compile('--[a-z-]+|[a-z_]+[.]py')
    assert set(flags.findall(english)) == set(flags.findall(chinese))


def test_students_get_only_their_part_of_the_handout(folder):
    for name, end in make_starter.HANDOUT_ENDS.items():
        handout, part = (paths.ROOT / 'assignment' / name).read_text(), (folder / name).read_text()
        assert handout.count(f'\n{end}\n') == 1 and handout.startswith(part) and len(part) > 0.7 * len(handout)
        assert 'TEACHING' not in part and 'make_starter' not in part and end not in part


# Starter version -> digest of the interface between starter and grader: the methods that students fill in, without
# comments and docstrings. If the digest changes, correct homework of an older starter may no longer pass: raise
# assignment.regions.VERSION and add the new digest here.
STARTER_DIGESTS = {1: 'b9899e1599cee5608a6803198c7be94a664ad795bf9d929ed92e2f657e2ab46e',
                   # Of version 2, homework of the starter whose digest began with 1b168c4d passes, too.
                   2: '26db38bd5ac65bb6306b8e4731a96fa61c2faac2634b9238a74079058c026d27'}


def starter_digest():
    """Return the SHA-256 of the starter's methods to fill in, without comments, docstrings and hints."""
    code_lines = []
    for name in make_starter.TODO:
        text = make_starter.without_solution((paths.ROOT / name).read_text())
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and 'TODO' in ast.get_source_segment(text, node):
                docstring = range(node.body[0].lineno, node.body[0].end_lineno + 1) if ast.get_docstring(node) else ()
                hints = [range(inner.lineno, inner.end_lineno + 1)
                         for inner in ast.walk(node) if isinstance(inner, ast.Raise)]
                numbers = [n for n in range(node.lineno, node.end_lineno + 1)
                           if not any(n in lines for lines in (docstring, *hints))]
                code_lines += [line for n in numbers
                               if (line := text.splitlines()[n - 1].partition('  #')[0].strip()) and line[0] != '#']
    return hashlib.sha256('\n'.join(code_lines).encode()).hexdigest()


@pytest.mark.parametrize('text', ['### BEGIN SOLUTION 2: add\nx = 1', '### BEGIN SOLUTION 2: add',
                                  '### BEGIN SOLUTION 2: add\n### BEGIN SOLUTION 3: add\n### END SOLUTION'])
def test_a_region_without_an_end_is_an_error(text):
    with pytest.raises(ValueError, match='line 1: this solution has no END SOLUTION'):
        regions.regions(text)


def test_a_changed_interface_has_a_new_starter_version():
    assert STARTER_DIGESTS[make_starter.VERSION] == starter_digest()


def test_homework_of_another_starter_version_is_refused_in_one_line(folder, tmp_path, capsys):
    for name in make_starter.TODO:
        text = (folder / name).read_text()
        assert text.startswith(f'# starter version {make_starter.VERSION}\n')
        (tmp_path / name).write_text(text.replace(f'version {make_starter.VERSION}', 'version 99', 1))
    grades = check.check_step(tmp_path, 1)
    assert set(grades) == {'conv2d_relu', 'avgpool', 'maxpool'}
    problem, = set(grades.values())
    assert 'was made from starter version 99, but this grader expects version 2; grade it with the project' in problem
    assert check.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines()[:2] == [problem, '0 of 5 steps passed, 0 of 100 points']


def test_a_folder_that_is_not_empty_is_left_unchanged(tmp_path, capsys):
    (tmp_path / 'notes.txt').write_text('mine')
    assert make_starter.main([str(tmp_path)]) == 2
    assert 'already exists and is not an empty folder' in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ['notes.txt']


@pytest.mark.parametrize('name', ['link', '.', 'link to nothing', 'new/er'])
def test_the_starter_is_written_to_new_empty_and_linked_folders(workdir, name):
    Path('empty').mkdir()
    Path('link').symlink_to('empty')
    Path('link to nothing').symlink_to('later')
    target = {'link': 'empty', 'link to nothing': 'later'}.get(name, name)
    if name == '.':
        os.chdir('empty')
    assert make_starter.main([name]) == 0
    names = {path.name for path in Path(target).iterdir()}
    assert {*make_starter.TODO, 'README.md', 'weights', 'common', 'engine'} <= names
    assert not list(workdir.rglob('.part-*')) and Path(workdir, 'link').is_symlink()


def test_a_student_fills_in_every_step_then_trains_and_writes_the_report(folder, tiny_vgg):
    """Every step fails at first and passes once its regions are filled in; then training and the report run."""
    hints = tuple(f'still to do: {region.hint} ({name}, line'
                  for name in make_starter.TODO for region, _ in solution_regions(name))
    grades, = check.check([folder])
    assert all(message.startswith(hints) for items in grades.values() for message in items.values())
    stages = [folder.parent / f'step {step}' for step in range(1, 6)]
    for step, stage in enumerate(stages, 1):
        stage.mkdir()
        for name in make_starter.TODO:
            lines = (paths.ROOT / name).read_text().splitlines()
            for region in reversed(make_starter.regions('\n'.join(lines))):
                if region.step > step:
                    lines[region.first:region.last + 1] = [
                        f"{region.indent}raise NotImplementedError('step {region.step}: it')"]
            (stage / name).write_text('\n'.join(lines) + '\n')
    for step, stage in enumerate(stages, 1):
        assert set(check.check_step(stage, step).values()) == {None}
    for name in make_starter.TODO:
        shutil.copy(stages[-1] / name, folder)
    # The starter folder alone has to suffice for this.
    train_and_report = """if True:
        import sys, style_transfer
        assert style_transfer.main(['--width', '48', '--iterations', '12', '--vgg', sys.argv[1], '--name', 'r']) == 0
        from assignment import report
        assert report.main(['outputs/r']) == 0
        assert report.__file__.startswith(sys.argv[2])"""
    done = subprocess.run([sys.executable, '-c', train_and_report, tiny_vgg, folder],
                          cwd=folder, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (folder / 'report').iterdir()} == {
        'losses.png', 'graph.png', 'report.md', 'report.pdf'}
