"""The archive for Gradescope, run as Gradescope does: results.json is there whatever the submission does."""

import ast
import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from assignment import gradescope, make_autograder, points
from tests.assignment.solutions import CONTENT, WRONG, files, indent

OF_ALL = {'score': (int, float), 'execution_time': (int, float), 'output': str, 'output_format': str,
          'visibility': str, 'tests': list}
OF_A_TEST = {'name': str, 'number': str, 'score': (int, float), 'max_score': (int, float), 'status': str,
             'output': str, 'output_format': str, 'visibility': str, 'tags': list}
VISIBILITIES = {'hidden', 'after_due_date', 'after_published', 'visible'}
FORMATS = {'text', 'html', 'simple_format', 'md', 'ansi'}


def validated(results):
    """The results, in Gradescope's documented fields: their types, and what they may say."""
    for fields, thing in [(OF_ALL, results), *((OF_A_TEST, test) for test in results['tests'])]:
        assert set(thing) == set(fields)
        assert all(isinstance(thing[name], kind) and not isinstance(thing[name], bool) for name, kind in fields.items())
        assert thing['visibility'] in VISIBILITIES and thing['output_format'] in FORMATS
    for test in results['tests']:
        assert test['status'] in ('passed', 'failed') and 0 <= test['score'] <= test['max_score']
        assert (test['status'] == 'passed') == (test['score'] == test['max_score'])
        assert all(isinstance(tag, str) for tag in test['tags'])
    assert results['score'] == sum(test['score'] for test in results['tests'])
    assert len({test['number'] for test in results['tests']}) == len(results['tests'])
    return results


def by_item(results):
    return {test['name'].split()[-1]: test for test in results['tests']}


@pytest.mark.parametrize('name', WRONG)
def test_a_wrong_solution_is_told_what_is_wrong(archives_results, name):
    results, mistakes = archives_results[name]
    tests = by_item(validated(results))
    *_, item, says = WRONG[name]
    assert tests[item]['status'] == 'failed' and says in tests[item]['output']
    # no other item suffers, but for those that the same run was to show
    failed = {item: test['output'] for item, test in tests.items() if test['status'] == 'failed'}
    assert set(failed.values()) == {failed[WRONG[mistake][4]] for mistake in mistakes}
    assert set(tests) == set(points.ITEMS) and results['score'] == 100 - sum(points.ITEMS[item] for item in failed)


def test_every_mistake_has_words_of_its_own():
    said = [(step, item, says) for *_, step, item, says in WRONG.values()]
    assert len(WRONG) >= 47 and len(set(said)) >= len(said) - 2  # two roads to a restart, two to an op that is late


def test_what_is_right_of_a_partly_done_one_has_its_points(archives_results):
    results, _ = archives_results['partly right']
    tests = by_item(validated(results))
    assert {item for item, test in tests.items() if test['score']} == {
        'conv2d_relu', 'avgpool', '_gram_matrix', 'create_summary'}
    assert results['score'] == 12 + 4 + 8 + 10 and 'still to do: ' in tests['optimize']['output']


def run(root, *flags):
    done = subprocess.run([root / 'run_autograder', *flags], capture_output=True, text=True)
    return done, validated(json.loads((root / 'results' / 'results.json').read_text()))


def test_a_right_solution_has_all_points_and_an_empty_one_none(container):
    for root, content, score in zip(container(files(), {}), (files(), {}), (100, 0)):
        done, results = run(root)
        assert done.returncode == 0, done.stderr
        assert results['score'] == score and len(results['tests']) == len(points.ITEMS)
        assert all(test['status'] == ('passed' if score else 'failed') for test in results['tests'])
    assert all('style_transfer.py is missing; there is nothing' in test['output'] for test in results['tests'])


def test_results_come_of_code_that_crashes_hangs_and_prints_for_ever(container):
    bodies = {'import os, ctypes; ctypes.string_at(0)': ('_content_loss', 'SIGSEGV'),
              'while True: print("passed " * 999)': ('_gram_matrix', 'not done after 3 s'),
              'import sys; sys.exit()': ('losses', 'remove sys.exit and exit')}
    places = (CONTENT, '        if isinstance(F, np.ndarray):\n            F = F.reshape',
              '            self.total_loss = sum(')
    root, = container(files(*(('style_transfer.py', place, f'{indent(place)}{body}\n{place}')
                              for place, body in zip(places, bodies))))
    done, results = run(root, '--seconds', '3')
    tests = by_item(results)
    assert done.returncode == 0 and len(done.stdout + done.stderr) < 1000
    for item, says in bodies.values():
        assert says in tests[item]['output'], tests[item]
    assert tests['_style_loss']['status'] == tests['train']['status'] == 'passed'


def test_results_are_there_before_the_grader_is(container):
    """So that a container which is ended has some."""
    root, = container({})
    (root / 'venv' / 'bin' / 'python').write_text('#!/bin/sh\nexit 9\n')
    done, results = run(root)
    assert results['score'] == 0 and 'tell your teacher' in results['output']


def test_where_the_grader_fails_the_teacher_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gradescope.check, 'grade', lambda *args: 1 / 0)
    assert gradescope.main([str(tmp_path)]) == 0
    results = validated(json.loads((tmp_path / 'results' / 'results.json').read_text()))
    assert results['score'] == 0 and 'tell your teacher: division by zero' in results['output']
    assert 'ZeroDivisionError' in capsys.readouterr().err


def test_the_archive_holds_what_it_needs_and_python_3_10_reads_it(archive):
    with zipfile.ZipFile(archive) as file:
        names = file.namelist()
        for name in names:
            if name.endswith('.py'):
                ast.parse(file.read(name), name, feature_version=(3, 10))
        modes = {name: file.getinfo(name).external_attr >> 16 for name in ('setup.sh', 'run_autograder')}
        needed = file.read('requirements.txt').decode().split()
        for name in ('setup.sh', 'run_autograder'):
            subprocess.run(['bash', '-n'], input=file.read(name), check=True)
    assert set(modes.values()) == {0o755} and archive.stat().st_size < 1_000_000
    assert len(needed) == len(make_autograder.PACKAGES) and all('>=' in line for line in needed)
    assert not [name for name in names if name.startswith(('weights', 'tests', 'fast', 'content'))]


def test_the_same_code_makes_the_same_archive(archive, tmp_path):
    make_autograder.make(tmp_path / 'again.zip')
    assert (tmp_path / 'again.zip').read_bytes() == archive.read_bytes()


@pytest.mark.parametrize('name', ['.', 'archive.tar', 'folder.zip'])
def test_what_cannot_be_an_archive_is_told_in_one_line(workdir, capsys, name):
    Path('folder.zip').mkdir()
    assert make_autograder.main([name]) == 2
    assert 'name a file that ends in .zip' in capsys.readouterr().err and os.listdir() == ['folder.zip']
