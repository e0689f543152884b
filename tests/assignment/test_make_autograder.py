"""Test the archive for Gradescope as Gradescope runs it: results.json is written whatever the submission does."""

import ast
import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from assignment import gradescope, make_autograder, points
from tests.assignment.solutions import CONTENT_START, WRONG, indentation, solution_files

RESULT_FIELDS = {'score': (int, float), 'execution_time': (int, float), 'output': str, 'output_format': str,
                 'visibility': str, 'tests': list}
TEST_FIELDS = {'name': str, 'number': str, 'score': (int, float), 'max_score': (int, float), 'status': str,
               'output': str, 'output_format': str, 'visibility': str, 'tags': list}
VISIBILITIES = {'hidden', 'after_due_date', 'after_published', 'visible'}
FORMATS = {'text', 'html', 'simple_format', 'md', 'ansi'}


def validate(results):
    """Check the types and values of all fields against Gradescope's documentation; return the results."""
    for fields, record in [(RESULT_FIELDS, results), *((TEST_FIELDS, test) for test in results['tests'])]:
        assert set(record) == set(fields)
        assert all(isinstance(record[name], kind) and not isinstance(record[name], bool)
                   for name, kind in fields.items())
        assert record['visibility'] in VISIBILITIES and record['output_format'] in FORMATS
    for test in results['tests']:
        assert test['status'] in ('passed', 'failed') and 0 <= test['score'] <= test['max_score']
        assert (test['status'] == 'passed') == (test['score'] == test['max_score'])
        assert all(isinstance(tag, str) for tag in test['tags'])
    assert results['score'] == sum(test['score'] for test in results['tests'])
    assert len({test['number'] for test in results['tests']}) == len(results['tests'])
    return results


def by_item(results):
    """Return the results of the tests by item: item -> test."""
    return {test['name'].split()[-1]: test for test in results['tests']}


@pytest.mark.parametrize('name', WRONG)
def test_a_wrong_solution_fails_with_the_message_for_its_mistake(autograder_results, name):
    results, mistakes = autograder_results[name]
    tests = by_item(validate(results))
    *_, item, message = WRONG[name]
    assert tests[item]['status'] == 'failed' and message in tests[item]['output']
    # An item in which no mistake was made fails only if another item of the same run has a mistake, and with the
    # message of that item.
    failed = {item: test['output'] for item, test in tests.items() if test['status'] == 'failed'}
    assert set(failed.values()) == {failed[WRONG[mistake][4]] for mistake in mistakes}
    assert set(tests) == set(points.ITEMS) and results['score'] == 100 - sum(points.ITEMS[item] for item in failed)


def test_the_messages_for_mistakes_differ():
    messages = [(step, item, message) for *_, step, item, message in WRONG.values()]
    # Mistakes with the same effect, such as two ways not to restore a checkpoint, share a message.
    assert len(WRONG) >= 47 and len(set(messages)) >= len(messages) - 2


def test_a_half_done_solution_gets_the_points_of_its_right_items(autograder_results):
    results, _ = autograder_results['partly right']
    tests = by_item(validate(results))
    assert {item for item, test in tests.items() if test['score']} == {
        'conv2d_relu', 'avgpool', '_gram_matrix', 'create_summary'}
    assert results['score'] == 12 + 4 + 8 + 10 and 'still to do: ' in tests['optimize']['output']


def run(root, *flags):
    """Run run_autograder in a container; return the finished process and the validated results."""
    done = subprocess.run([root / 'run_autograder', *flags], capture_output=True, text=True)
    return done, validate(json.loads((root / 'results' / 'results.json').read_text()))


def test_a_right_solution_gets_all_points_and_an_empty_one_none(container):
    for root, content, score in zip(container(solution_files(), {}), (solution_files(), {}), (100, 0)):
        done, results = run(root)
        assert done.returncode == 0, done.stderr
        assert results['score'] == score and len(results['tests']) == len(points.ITEMS)
        assert all(test['status'] == ('passed' if score else 'failed') for test in results['tests'])
    assert all('style_transfer.py is missing; there is nothing' in test['output'] for test in results['tests'])


def test_results_are_written_for_code_that_crashes_hangs_or_exits(container):
    bodies = {'import os, ctypes; ctypes.string_at(0)': ('_content_loss', 'SIGSEGV'),
              'while True: print("passed " * 999)': ('_gram_matrix', 'not done after 3 s'),
              'import sys; sys.exit()': ('losses', 'remove sys.exit and exit')}
    lines = (CONTENT_START, '        if isinstance(F, np.ndarray):\n            F = F.reshape',
             '            self.total_loss = sum(')
    root, = container(solution_files(*(('style_transfer.py', line, f'{indentation(line)}{body}\n{line}')
                                       for line, body in zip(lines, bodies))))
    done, results = run(root, '--seconds', '3')
    tests = by_item(results)
    assert done.returncode == 0 and len(done.stdout + done.stderr) < 1000
    for item, message in bodies.values():
        assert message in tests[item]['output'], tests[item]
    assert tests['_style_loss']['status'] == tests['train']['status'] == 'passed'


def test_results_exist_even_if_the_grader_does_not_start(container):
    """Gradescope then has results even if it stops the container early."""
    root, = container({})
    (root / 'venv' / 'bin' / 'python').write_text('#!/bin/sh\nexit 9\n')
    done, results = run(root)
    assert results['score'] == 0 and 'tell your teacher' in results['output']


def test_if_the_grader_fails_the_results_ask_to_tell_the_teacher(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gradescope.check, 'grade', lambda *args: 1 / 0)
    assert gradescope.main([str(tmp_path)]) == 0
    results = validate(json.loads((tmp_path / 'results' / 'results.json').read_text()))
    assert results['score'] == 0 and 'tell your teacher: division by zero' in results['output']
    assert 'ZeroDivisionError' in capsys.readouterr().err


def test_the_archive_is_complete_and_python_3_10_can_parse_it(archive):
    with zipfile.ZipFile(archive) as file:
        names = file.namelist()
        for name in names:
            if name.endswith('.py'):
                ast.parse(file.read(name), name, feature_version=(3, 10))
        modes = {name: file.getinfo(name).external_attr >> 16 for name in ('setup.sh', 'run_autograder')}
        requirements = file.read('requirements.txt').decode().split()
        for name in ('setup.sh', 'run_autograder'):
            subprocess.run(['bash', '-n'], input=file.read(name), check=True)
    assert set(modes.values()) == {0o755} and archive.stat().st_size < 1_000_000
    assert len(requirements) == len(make_autograder.PACKAGES) and all('>=' in line for line in requirements)
    assert not [name for name in names if name.startswith(('weights', 'tests', 'fast', 'content'))]


def test_the_same_code_makes_the_same_archive(archive, tmp_path):
    make_autograder.make(tmp_path / 'again.zip')
    assert (tmp_path / 'again.zip').read_bytes() == archive.read_bytes()


@pytest.mark.parametrize('name', ['.', 'archive.tar', 'folder.zip'])
def test_an_invalid_archive_name_is_refused(workdir, capsys, name):
    Path('folder.zip').mkdir()
    assert make_autograder.main([name]) == 2
    assert 'name a file that ends in .zip' in capsys.readouterr().err and os.listdir() == ['folder.zip']
