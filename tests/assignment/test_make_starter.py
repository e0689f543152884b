"""The starter: made from the real code, nothing of the solution in it, every step green once it is filled in."""

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from assignment import check, make_starter
from common import paths


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('student') / 'hw2'
    assert make_starter.main([str(folder)]) == 0
    return folder


def solutions(name):
    """(region, the lines between its markers) of a file of the real code."""
    lines = (paths.ROOT / name).read_text().splitlines()
    for region in make_starter.regions('\n'.join(lines)):
        yield region, [line for line in region.body if not line.strip().startswith('#')]


def test_it_says_what_to_do_and_holds_nothing_of_the_solution(folder):
    for name in make_starter.TODO:
        text = (folder / name).read_text()
        raised = [node.exc.args[0].value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Raise)
                  and isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) == 'NotImplementedError']
        assert sorted(raised) == sorted(f'step {region.step}: {region.hint}' for region, _ in solutions(name))
        assert text.count('# TODO step') == len(raised)
        for _, lines in solutions(name):
            everything = '\n'.join(path.read_text() for path in folder.rglob('*.py'))
            block = '\n'.join(lines)
            assert block not in everything
        assert 'SOLUTION' not in text
    assert not list(folder.rglob('test*')) and not (folder / 'fast_style_transfer.py').exists()
    assert {path.relative_to(folder).as_posix() for path in folder.rglob('assignment/**/*.py')} == {
        f'assignment/{name}.py'
        for name in ('__init__', 'report', 'reporting/__init__', 'reporting/pdf', 'reporting/diagram')}


def test_what_is_given_is_the_real_code(folder):
    for name in make_starter.dependencies():
        assert (folder / name).read_bytes() == (paths.ROOT / name).read_bytes()
    steps = {region.step for name in make_starter.TODO for region, _ in solutions(name)}
    assert steps == {1, 2, 3, 4, 5}


def test_what_the_handout_runs_has_all_that_it_imports(folder):
    for name in make_starter.HANDOUT_PROGRAMS:
        for node in ast.walk(ast.parse((folder / name).read_text())):
            for module in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else
                           [node.module, *(f'{node.module}.{alias.name}' for alias in node.names)]
                           if isinstance(node, ast.ImportFrom) else ()):
                path = module.replace('.', '/') + '.py'
                assert (folder / path).exists() or not (paths.ROOT / path).exists(), path


def headings(name):
    return [line.partition(' ')[0] for line in (paths.ROOT / 'assignment' / name).read_text().splitlines()
            if line.startswith('#') and not line.startswith('# ')]


@pytest.mark.parametrize('name', ['README', 'TEACHING'])
def test_both_languages_are_in_step(name):
    assert len(headings(f'{name}.md')) > 5 and headings(f'{name}.md') == headings(f'{name}.zh.md')
    english, chinese = ((paths.ROOT / 'assignment' / f'{name}{language}.md').read_text() for language in ('', '.zh'))
    for mark in ('\n- ', '\n1. ', '\n4. ', '\n| ', '```'):  # lists, tables, commands
        assert english.count(mark) == chinese.count(mark), mark
    flags = re.compile('--[a-z-]+|[a-z_]+[.]py')
    assert set(flags.findall(english)) == set(flags.findall(chinese))


def test_the_students_part_of_the_handout_is_theirs(folder):
    for name, end in make_starter.HANDOUT_ENDS.items():
        whole, theirs = (paths.ROOT / 'assignment' / name).read_text(), (folder / name).read_text()
        assert whole.count(f'\n{end}\n') == 1 and whole.startswith(theirs) and len(theirs) > 0.7 * len(whole)
        assert 'TEACHING' not in theirs and 'make_starter' not in theirs and end not in theirs


# What starter and grader agree on: the methods that are filled in, without comments and docstrings, and the names they
# have. Where this digest changes, right homework of an older starter may no longer pass: raise make_starter.VERSION,
# and put the new digest here.
AGREED = {1: 'b9899e1599cee5608a6803198c7be94a664ad795bf9d929ed92e2f657e2ab46e',
          2: '1b168c4d61b8c29ddc5fac5b97813a30fd8da1c5b7c4a0b3348c32f29b8494fb'}


def agreed():
    """A hash of the starter's methods that have something to fill in, whatever comments and docstrings say."""
    kept = []
    for name in make_starter.TODO:
        text = make_starter.without_solution((paths.ROOT / name).read_text())
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and 'TODO' in ast.get_source_segment(text, node):
                told = range(node.body[0].lineno, node.body[0].end_lineno + 1) if ast.get_docstring(node) else ()
                hints = [range(inner.lineno, inner.end_lineno + 1)
                         for inner in ast.walk(node) if isinstance(inner, ast.Raise)]
                numbers = [n for n in range(node.lineno, node.end_lineno + 1)
                           if not any(n in lines for lines in (told, *hints))]
                kept += [line for n in numbers
                         if (line := text.splitlines()[n - 1].partition('  #')[0].strip()) and line[0] != '#']
    return hashlib.sha256('\n'.join(kept).encode()).hexdigest()


def test_the_version_is_raised_where_old_homework_may_no_longer_pass():
    assert AGREED[make_starter.VERSION] == agreed()


def test_homework_of_another_version_is_named_and_not_failed_in_silence(folder, tmp_path):
    for name in make_starter.TODO:
        text = (folder / name).read_text()
        assert text.startswith(f'# starter version {make_starter.VERSION}\n')
        (tmp_path / name).write_text(text.replace(f'version {make_starter.VERSION}', 'version 99', 1))
    grades = check.check_step(tmp_path, 1)
    assert set(grades) == {'conv2d_relu', 'avgpool', 'maxpool'}
    assert all('was made from starter version 99, but this grader expects version 2;' in wrong
               for wrong in grades.values())


def test_a_folder_that_holds_something_is_left_alone(tmp_path, capsys):
    (tmp_path / 'notes.txt').write_text('mine')
    assert make_starter.main([str(tmp_path)]) == 2
    assert 'already exists and is not an empty folder' in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ['notes.txt']


@pytest.mark.parametrize('name', ['link', '.', 'link to nothing', 'new/er'])
def test_where_it_is_made(workdir, name):
    Path('empty').mkdir()
    Path('link').symlink_to('empty')
    Path('link to nothing').symlink_to('later')
    place = {'link': 'empty', 'link to nothing': 'later'}.get(name, name)
    if name == '.':
        os.chdir('empty')
    assert make_starter.main([name]) == 0
    made = {path.name for path in Path(place).iterdir()}
    assert {*make_starter.TODO, 'README.md', 'weights', 'common', 'engine'} <= made
    assert not list(workdir.rglob('.part-*')) and Path(workdir, 'link').is_symlink()


def test_a_student_fills_it_in_step_by_step_and_hands_in(folder, tiny_vgg):
    """Every step fails at first; each turns green as its regions are filled in; then training and the report."""
    hints = tuple(f'still to do: {region.hint} ({name}, line'
                  for name in make_starter.TODO for region, _ in solutions(name))
    at_first, = check.check([folder])
    assert all(wrong.startswith(hints) for items in at_first.values() for wrong in items.values())
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
    # by nothing but what is in the folder
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
