"""Test the grader: correct solutions pass however they are written; test the command, its output files and bad input.

test_make_starter.py grades the real solution, test_make_autograder.py the wrong ones, and test_sandbox.py hostile code.
"""

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assignment import check, points
from assignment.grader import gradebook
from common import paths
from tests.assignment.solutions import (
    CONTENT_START,
    STUDENT_BODIES,
    fill_regions,
    grade_solution,
    solution_files,
    write_solution,
)


@pytest.fixture
def submission(tmp_path):
    """Function that writes the real solution, with changes as in `write_solution`, into a student's folder."""
    def make_submission(*changes):
        (tmp_path / 'hw').mkdir()
        return write_solution(tmp_path / 'hw', *changes)
    return make_submission


# ------------------------------------------------------------------------------ right solutions, written differently

def test_a_solution_that_is_written_differently_passes(tmp_path):
    for name, bodies in STUDENT_BODIES.items():
        (tmp_path / name).write_text(fill_regions(name, *bodies))
    grades, = check.check([tmp_path])
    assert gradebook.passed_steps(grades) == [1, 2, 3, 4, 5], gradebook.report(grades)


def test_a_solution_that_uses_numpy_where_it_can_passes(tmp_path):
    """Gram matrices of arrays by NumPy, one of which keeps the batch axis, and helpers of the student's own."""
    bodies = list(STUDENT_BODIES['style_transfer.py'])
    bodies[0] = "return sum([tf.reduce_sum((F - P) * (F - P))]) * 0.25 / float(np.prod(P.shape))"
    bodies[1] = """
if isinstance(F, np.ndarray):
    return np.tensordot(F, F, axes=([0, 1, 2], [0, 1, 2]))[None]
return tf.einsum('bhwi,bhwj->bij', F, F)
"""
    bodies[5] = ("self.opt = tf.train.AdamOptimizer(recipe.learning_rate).minimize(self.total_loss, self.gstep, "
                 "[self.input_img])")
    (tmp_path / 'load_vgg.py').write_text(fill_regions('load_vgg.py', *STUDENT_BODIES['load_vgg.py']))
    (tmp_path / 'style_transfer.py').write_text(fill_regions('style_transfer.py', *bodies))
    for step in (2, 3):
        assert set(check.check_step(tmp_path, step).values()) == {None}


def test_gram_matrices_without_a_batch_axis_and_extra_attributes_pass(submission):
    """Gram matrices [N, N], as in the handout, compared by einsum; and an attribute that the constructor sets."""
    folder = submission(
        ('style_transfer.py', '        return tf.matmul(F, F, transpose_a=True)',
         '        return tf.matmul(F, F, transpose_a=True)[0]'),
        ('style_transfer.py', '            F = F.reshape(-1, M, N)', '            F = F.reshape(M, N)'),
        ('style_transfer.py', 'return F.swapaxes(1, 2) @ F', 'return F.T @ F'),
        ('style_transfer.py', 'tf.reduce_mean(tf.reduce_sum(tf.square(G - A), axis=[1, 2]))',
         "tf.einsum('ij,ij->', G - A, G - A)"),
        ('style_transfer.py', '        self.read_images()\n',
         '        self.my_weights = recipe.style_layer_weights\n        self.read_images()\n'),
        ('style_transfer.py', 'zip(self.recipe.style_layer_weights, E)', 'zip(self.my_weights, E)'))
    assert set(check.check_step(folder, 2).values()) == {None}


def test_a_syntax_error_fails_every_item_and_names_the_file(submission):
    grades = check.check_step(submission(('style_transfer.py', 'class StyleTransfer:', 'class StyleTransfer')), 2)
    assert all('SyntaxError' in message for message in grades.values())
    assert 'style_transfer.py' in grades['losses']


# ---------------------------------------------------------------------------------------------------------- the command

@pytest.fixture
def group(submission, tmp_path):
    """A class of three students: a correct solution, one with an endless loop, and an empty folder."""
    group = tmp_path / 'class'
    group.mkdir()
    submission().rename(group / 'ada')
    submission(('style_transfer.py', CONTENT_START, f'        while True: pass\n{CONTENT_START}')).rename(group / 'bob')
    (group / 'cyd').mkdir()
    return group


def test_a_class_is_graded_into_a_table_a_csv_file_and_a_json_file(group, capsys):
    as_csv, as_json = group.parent / 'grades.csv', group.parent / 'grades.json'
    assert check.main([str(group), '--seconds', '3', '--seed', '5', '--csv', str(as_csv), '--json', str(as_json)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ['ada', 'bob', 'cyd'] and '--seed 5' in lines[4]
    assert lines[1].count('✓') == 5 and lines[1].split()[-1] == '100'
    assert 'step 2, _content_loss: not done after 3 s' in lines[2] and lines[2].count('✓') == 4
    assert lines[3].split()[-7:-3] == ['0', 'style_transfer.py', 'is', 'missing;']
    rows = list(csv.DictReader(as_csv.read_text(encoding='utf-8-sig').splitlines()))
    assert [(row['submission'], row['points'], row['of'], row['_content_loss']) for row in rows] == [
        ('ada', '100', '100', '8'), ('bob', '92', '100', '0'), ('cyd', '0', '100', '0')]
    grades = json.loads(as_json.read_text())
    assert grades['seed'] == 5 and grades['submissions']['bob']['points'] == 92
    assert grades['submissions']['ada']['steps']['2'] == dict.fromkeys(points.POINTS[2])
    assert 'not done' in grades['submissions']['bob']['steps']['2']['_content_loss']


def test_the_flag_runs_verifies_the_submitted_event_files(submission, run_folder, tmp_path, capsys):
    """The real command grades a zip file with code and event files; the run used weights that do not ship."""
    shutil.copytree(run_folder / 'graphs', (folder := submission()) / 'graphs')
    zip_path = shutil.make_archive(tmp_path / 'ada', 'zip', folder)
    as_json = tmp_path / 'grades.json'
    assert check.main([zip_path, '--runs', '--seed', '5', '--json', str(as_json)]) == 1
    grades = json.loads(as_json.read_text())['submissions']['ada']
    assert grades['points'] == 100 and grades['run'][0] == '60 iterations; the handout asks for at least 200'
    assert grades['run'][1].startswith('the first losses were not recomputed: ')
    assert ': no file was found whose SHA-256 begins with ' in grades['run'][1]
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith('run: ')] == [f'run: {line}' for line in grades['run']]


def test_a_submission_without_event_files_is_reported(tmp_path, monkeypatch):
    def run_issues(*entries):
        return check.verify_runs(check.submissions.Submission('ada', {}, None, entries))
    (tmp_path / 'a.ipynb').write_text('{}')
    assert run_issues(tmp_path / 'a.ipynb') == ['no event files: neither a folder nor a zip file was handed in']

    def fake_run(*arguments, **options):
        return subprocess.CompletedProcess(arguments, 2, b'', b'a page\nerror: ada: no event files there')
    monkeypatch.setattr(check.subprocess, 'run', fake_run)
    assert run_issues(tmp_path) == ['ada: no event files there']


def test_the_run_with_the_fewest_issues_counts_and_a_timeout_is_reported(tmp_path, monkeypatch):
    solution = check.submissions.Submission('ada', {}, None, (tmp_path,))

    def fake_run(*arguments, **options):
        return subprocess.CompletedProcess(arguments, 1, b'{"r": ["x", "y"], "s": ["z"], "t": ["u", "v", "w"]}', b'')
    monkeypatch.setattr(check.subprocess, 'run', fake_run)
    assert check.verify_runs(solution) == ['z']

    def time_out(*arguments, timeout, **options):
        raise subprocess.TimeoutExpired(arguments, timeout)
    monkeypatch.setattr(check.subprocess, 'run', time_out)
    assert check.verify_runs(solution) == ['reading its event files took longer than 600 s']


def test_a_seed_repeats_the_messages_and_without_one_they_vary(submission):
    solution = solution_files(('style_transfer.py', 'tf.square(F - P)', 'tf.square(F - 0.9 * P)'))
    assert grade_solution(solution, seed=1) == grade_solution(solution, seed=1) != grade_solution(solution, seed=2)
    folder = submission(('style_transfer.py', 'AdamOptimizer(recipe.learning', 'AdamOptimizer(1.9 * recipe.learning'))
    assert len({check.check_step(folder, 3)['optimize'] for _ in range(3)}) == 3


def test_the_same_solution_gets_the_same_verdicts_with_twenty_seeds():
    """One item is wrong and one is correct; test_verdicts.py tests the verdicts of all items."""
    solution = solution_files(('style_transfer.py', 'zip(self.recipe.style_layer_weights, E)',
                               'zip(self.recipe.style_layer_weights[::-1], E)'))
    for seed in range(20):
        assert 'the weights are in reverse' in grade_solution(solution, '_style_loss', seed)
        assert grade_solution(solution, 'avgpool', seed) is None


def test_usable_cores_and_free_memory_limit_the_number_of_jobs(monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda process: {0, 3, 5})
    for free_bytes, jobs in ((64e9, 3), (0.9e9, 2), (0.3e9, 1)):
        monkeypatch.setattr(check.memory, 'free_memory', lambda: free_bytes)
        assert check.max_jobs() == jobs


def test_ctrl_c_and_sigterm_leave_no_process_and_no_file(submission, tmp_path):
    """The process that runs the code ends, and so do its forked child and the items that wait for their turn."""
    folder = submission(('style_transfer.py', CONTENT_START, f'        while True: pass\n{CONTENT_START}'))
    commands = {}
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        (temp_folder := tmp_path / signal_number.name).mkdir()
        commands[signal_number] = temp_folder, subprocess.Popen(
            [sys.executable, '-m', 'assignment.check', folder, '--seconds', '60'], cwd=paths.ROOT,
            env=os.environ | {'TMPDIR': str(temp_folder)}, stderr=subprocess.DEVNULL)
    for signal_number, (temp_folder, command) in commands.items():
        wait_for(lambda: len(processes_in(temp_folder)) == 2 and has_used_cpu(processes_in(temp_folder)))
        command.send_signal(signal_number)
        assert command.wait(20) == 128 + signal_number
        wait_for(lambda: not processes_in(temp_folder))
        assert list(temp_folder.iterdir()) == []


def wait_for(condition):
    """Wait until a condition is true, for at most a minute."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail('the condition did not become true within a minute')


def processes_in(folder):
    """Return the /proc folders of the processes whose current directory is in a folder."""
    processes = []
    for process in Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            if os.readlink(process / 'cwd').startswith(str(folder)):
                processes.append(process)
    return processes


def has_used_cpu(processes):
    """Return whether the youngest of some processes has used more than 30 clock ticks of processor time."""
    *_, youngest = sorted(processes, key=lambda process: int(process.name))
    with contextlib.suppress(OSError):
        ticks = (youngest / 'stat').read_text().rpartition(')')[2].split()
        return int(ticks[11]) > 30


@pytest.mark.parametrize('flags, message', [
    (['nowhere'], 'no such file or folder'), (['empty'], 'has neither style_transfer.py'),
    (['empty', '--csv', '-', '--json', '-'], 'are both -'), (['empty', '--jobs', '0'], '--jobs'),
    (['empty', '--seed', '-1'], '--seed'), (['notes.txt'], 'neither a folder, a zip file nor a notebook')])
def test_bad_input_is_reported_in_one_line(workdir, capsys, flags, message):
    Path('empty').mkdir()
    Path('notes.txt').write_text('mine')
    assert check.main(flags) == 2
    err = capsys.readouterr().err
    assert message in err and err.count('\n') == 1


# -------------------------------------------------------------------------------------------------------- the gradebook

def test_no_text_of_a_student_is_a_formula_in_the_csv_file():
    grades = {'=cmd()': {3: {'optimize': '=1+1'}}, '\u5f20\u4f1f': {3: {'optimize': None}}}
    head, first, second = csv.reader(gradebook.to_csv(grades).splitlines())
    assert first[:3] == ["'=cmd()", '0', '10'] and first[-1] == 'step 3, optimize: =1+1'
    assert second[:3] == ['\u5f20\u4f1f', '10', '10'] and len(head) == len(first) == len(second)


def test_the_gradebook_has_a_column_for_verified_runs():
    grades = {name: {step: dict.fromkeys(items) for step, items in points.POINTS.items()} for name in ('ada', 'bob')}
    grades['bob'][3]['optimize'] = 'twice the rate'
    runs = {'ada': ['60 iterations', 'no pictures'], 'bob': []}
    head, ada, bob = gradebook.table(grades, runs).splitlines()
    assert head.split() == ['1', '2', '3', '4', '5', 'run', 'points', 'first', 'problem']
    assert ada.split()[1:8] == [*'✓✓✓✓✓·', '100'] and ada.endswith('run: 60 iterations')
    assert bob.split()[1:8] == [*'✓✓·✓✓✓', '90'] and bob.endswith('step 3, optimize: twice the rate')
    assert head.index('run') == ada.index('·')
    rows = list(csv.DictReader(gradebook.to_csv(grades, runs).splitlines()))
    assert [row['run'] for row in rows] == ['60 iterations; no pictures', 'fits']
    assert json.loads(gradebook.to_json(grades, 5, runs))['submissions']['ada']['run'] == runs['ada']
    assert 'run' not in json.loads(gradebook.to_json(grades, 5))['submissions']['ada']


def test_the_columns_of_the_table_align_in_every_alphabet():
    grades = {name: {3: {'optimize': None}} for name in ('ada', '\u5f20\u4f1f', 'Zoe\u0308')}
    columns = [line.index('✓') for line in gradebook.table(grades).splitlines()[1:]]
    # The second name has two letters that take two columns each; the third has a letter that takes none.
    assert columns == [columns[0], columns[0] - 2, columns[0] + 1]


@pytest.mark.parametrize('answer', [
    b'', b'null', b'[]', b'{}', b'[' * 500_000, b'{"values": []}', b'{"error": "", "kind": []}', b'{"error": 0}',
    b'{"kind": "x"}', b'{"error": null, "kind": null}', b'\xff\xfe', b'{"values": {"a": 1' + b'0' * 5000 + b'}'])
def test_a_malformed_answer_is_wrong(answer):
    message = check.grade_item('_content_loss', check.parse(answer), None, {})
    assert message and isinstance(message, str)


@pytest.mark.parametrize('values', [{}, {'tries': None, 'kinds': 3}, {'tries': [[[[]]]], 'kinds': [[]]},
                                    {'tries': ['x'], 'kinds': ['float32']}, {'tries': [1e999], 'kinds': ['float32']},
                                    {'tries': [], 'kinds': []}])
def test_malformed_values_are_wrong(values):
    inputs = check.verdicts.draw_inputs('_content_loss', 0)
    assert check.grade_item('_content_loss', {'values': values}, None, inputs)
    assert check.grade_item('_content_loss', {'error': '', 'kind': ''}, None, inputs)
