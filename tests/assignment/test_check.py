"""The grader: right solutions however they are written, the command and what it writes.

That the real solution passes is in test_make_starter.py; wrong ones are in test_make_autograder.py, code that means
harm is in test_sandbox.py.
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
from tests.assignment.solutions import CONTENT, PLAIN, changed, files, in_regions, told


@pytest.fixture
def submission(tmp_path):
    """A function (file -> text to replace, by what) that makes a student's folder of the real solution, changed."""
    def make(*changes):
        (tmp_path / 'hw').mkdir()
        return changed(tmp_path / 'hw', *changes)
    return make


# ----------------------------------------------------------------------------------------- right, and written otherwise

def test_a_solution_in_other_words_passes(tmp_path):
    for name, bodies in PLAIN.items():
        (tmp_path / name).write_text(in_regions(name, *bodies))
    grades, = check.check([tmp_path])
    assert gradebook.passed_steps(grades) == [1, 2, 3, 4, 5], gradebook.report(grades)


def test_a_solution_in_numpy_where_it_may_be_passes(tmp_path):
    """Gram matrices of arrays by NumPy, one that keeps the batch axis; helpers of the student's own."""
    bodies = list(PLAIN['style_transfer.py'])
    bodies[0] = "return sum([tf.reduce_sum((F - P) * (F - P))]) * 0.25 / float(np.prod(P.shape))"
    bodies[1] = """
if isinstance(F, np.ndarray):
    return np.tensordot(F, F, axes=([0, 1, 2], [0, 1, 2]))[None]
return tf.einsum('bhwi,bhwj->bij', F, F)
"""
    bodies[5] = ("self.opt = tf.train.AdamOptimizer(recipe.learning_rate).minimize(self.total_loss, self.gstep, "
                 "[self.input_img])")
    (tmp_path / 'load_vgg.py').write_text(in_regions('load_vgg.py', *PLAIN['load_vgg.py']))
    (tmp_path / 'style_transfer.py').write_text(in_regions('style_transfer.py', *bodies))
    for step in (2, 3):
        assert set(check.check_step(tmp_path, step).values()) == {None}


def test_gram_matrices_of_two_axes_and_attributes_of_the_students_own_pass(submission):
    """As the handout has them: einsum over [N, N]; and a constructor that sets what the methods use."""
    folder = submission(
        ('style_transfer.py', '        return tf.matmul(F, F, transpose_a=True)',
         '        return tf.matmul(F, F, transpose_a=True)[0]'),
        ('style_transfer.py', '            F = F.reshape(-1, M, N)', '            F = F.reshape(M, N)'),
        ('style_transfer.py', 'return F.swapaxes(1, 2) @ F', 'return F.T @ F'),
        ('style_transfer.py', 'tf.reduce_mean(tf.reduce_sum(tf.square(G - A), axis=[1, 2]))',
         "tf.einsum('ij,ij->', G - A, G - A)"),
        ('style_transfer.py', '        self.read_images()\n        self.weights',
         '        self.my_weights = recipe.style_layer_weights\n        self.read_images()\n        self.weights'),
        ('style_transfer.py', 'zip(self.recipe.style_layer_weights, E)', 'zip(self.my_weights, E)'))
    assert set(check.check_step(folder, 2).values()) == {None}


def test_code_that_does_not_load_fails_everywhere_and_says_where(submission):
    grades = check.check_step(submission(('style_transfer.py', 'class StyleTransfer:', 'class StyleTransfer')), 2)
    assert all('SyntaxError' in wrong for wrong in grades.values())
    assert 'style_transfer.py' in grades['losses']


# ---------------------------------------------------------------------------------------------------------- the command

@pytest.fixture
def group(submission, tmp_path):
    """A class of three: one right, one with a loop without an end, one who handed nothing in."""
    group = tmp_path / 'class'
    group.mkdir()
    submission().rename(group / 'ada')
    submission(('style_transfer.py', CONTENT, f'        while True: pass\n{CONTENT}')).rename(group / 'bob')
    (group / 'cyd').mkdir()
    return group


def test_a_class_is_graded_into_a_table_a_csv_and_a_json(group, capsys):
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
    told = json.loads(as_json.read_text())
    assert told['seed'] == 5 and told['submissions']['bob']['points'] == 92
    assert told['submissions']['ada']['steps']['2'] == dict.fromkeys(points.POINTS[2])
    assert 'not done' in told['submissions']['bob']['steps']['2']['_content_loss']


def test_runs_that_are_handed_in_are_read_when_asked(submission, run_folder, tmp_path, capsys):
    """A zip file with code and event files, by the real command; its weights are none that ship."""
    shutil.copytree(run_folder / 'graphs', (folder := submission()) / 'graphs')
    path = shutil.make_archive(tmp_path / 'ada', 'zip', folder)
    as_json = tmp_path / 'grades.json'
    assert check.main([path, '--runs', '--seed', '5', '--json', str(as_json)]) == 1
    told = json.loads(as_json.read_text())['submissions']['ada']
    assert told['points'] == 100 and told['run'][0] == '60 iterations; the handout asks for at least 200'
    assert told['run'][1].startswith('the first losses were not recomputed: ')
    assert ': no file was found whose SHA-256 begins with ' in told['run'][1]
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith('run: ')] == [f'run: {line}' for line in told['run']]


def test_a_submission_without_runs_says_so(tmp_path, monkeypatch):
    def run(*entries):
        return check.verify_runs(check.submissions.Submission('ada', {}, None, entries))
    (tmp_path / 'a.ipynb').write_text('{}')
    assert run(tmp_path / 'a.ipynb') == ['no event files: neither a folder nor a zip file was handed in']

    def found(*arguments, **more):
        return subprocess.CompletedProcess(arguments, 2, b'', b'a page\nerror: ada: no event files there')
    monkeypatch.setattr(check.subprocess, 'run', found)
    assert run(tmp_path) == ['ada: no event files there']


def test_of_several_runs_the_best_counts_and_one_that_is_not_read_in_time_says_so(tmp_path, monkeypatch):
    solution = check.submissions.Submission('ada', {}, None, (tmp_path,))

    def found(*arguments, **more):
        return subprocess.CompletedProcess(arguments, 1, b'{"r": ["x", "y"], "s": ["z"], "t": ["u", "v", "w"]}', b'')
    monkeypatch.setattr(check.subprocess, 'run', found)
    assert check.verify_runs(solution) == ['z']

    def late(*arguments, timeout, **more):
        raise subprocess.TimeoutExpired(arguments, timeout)
    monkeypatch.setattr(check.subprocess, 'run', late)
    assert check.verify_runs(solution) == ['reading its event files took longer than 600 s']


def test_a_seed_repeats_the_inputs_and_the_words_and_without_one_they_vary(submission):
    solution = files(('style_transfer.py', 'tf.square(F - P)', 'tf.square(F - 0.9 * P)'))
    assert told(solution, seed=1) == told(solution, seed=1) != told(solution, seed=2)
    folder = submission(('style_transfer.py', 'AdamOptimizer(recipe.learning', 'AdamOptimizer(1.9 * recipe.learning'))
    assert len({check.check_step(folder, 3)['optimize'] for _ in range(3)}) == 3


def test_the_same_solution_gets_the_same_verdicts_with_twenty_seeds():
    """Of an item that is wrong and one that is right; in test_verdicts.py of all, by numbers."""
    solution = files(('style_transfer.py', 'zip(self.recipe.style_layer_weights, E)',
                      'zip(self.recipe.style_layer_weights[::-1], E)'))
    for seed in range(20):
        assert 'the weights are in reverse' in told(solution, '_style_loss', seed)
        assert told(solution, 'avgpool', seed) is None


def test_jobs_are_as_many_as_cores_that_may_be_used_and_as_memory_holds(monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda process: {0, 3, 5})
    for free, jobs in ((64e9, 3), (0.9e9, 2), (0.3e9, 1)):
        monkeypatch.setattr(check.memory, 'free_memory', lambda: free)
        assert check.max_jobs() == jobs


def test_ctrl_c_and_sigterm_leave_no_process_and_no_file(submission, tmp_path):
    """The process that runs the code, and the one it has forked for it, end; so do those that wait for their turn."""
    folder = submission(('style_transfer.py', CONTENT, f'        while True: pass\n{CONTENT}'))
    commands = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        (place := tmp_path / number.name).mkdir()
        commands[number] = place, subprocess.Popen(
            [sys.executable, '-m', 'assignment.check', folder, '--seconds', '60'], cwd=paths.ROOT,
            env=os.environ | {'TMPDIR': str(place)}, stderr=subprocess.DEVNULL)
    for number, (place, command) in commands.items():
        wait_for(lambda: len(processes_in(place)) == 2 and spins(processes_in(place)))
        command.send_signal(number)
        assert command.wait(20) == 128 + number
        wait_for(lambda: not processes_in(place))
        assert list(place.iterdir()) == []


def wait_for(what):
    for _ in range(600):
        if what():
            return
        time.sleep(0.1)
    pytest.fail('nothing came of it')


def processes_in(place):
    """The processes that work below a folder."""
    found = []
    for process in Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            if os.readlink(process / 'cwd').startswith(str(place)):
                found.append(process)
    return found


def spins(processes):
    """Whether the youngest of them has taken some processor time."""
    *_, youngest = sorted(processes, key=lambda process: int(process.name))
    with contextlib.suppress(OSError):
        ticks = (youngest / 'stat').read_text().rpartition(')')[2].split()
        return int(ticks[11]) > 30


@pytest.mark.parametrize('flags, says', [(['nowhere'], 'no such folder'), (['empty'], 'has neither style_transfer.py'),
                                         (['empty', '--csv', '-', '--json', '-'], 'are both -'),
                                         (['empty', '--jobs', '0'], '--jobs'), (['empty', '--seed', '-1'], '--seed'),
                                         (['notes.txt'], 'neither a folder, a zip file nor a notebook')])
def test_bad_input_ends_in_one_line(workdir, capsys, flags, says):
    Path('empty').mkdir()
    Path('notes.txt').write_text('mine')
    assert check.main(flags) == 2
    err = capsys.readouterr().err
    assert says in err and err.count('\n') == 1


# -------------------------------------------------------------------------------------------------------- the gradebook

def test_a_spreadsheet_computes_nothing_that_students_write():
    grades = {'=cmd()': {3: {'optimize': '=1+1'}}, '\u5f20\u4f1f': {3: {'optimize': None}}}
    head, first, second = csv.reader(gradebook.to_csv(grades).splitlines())
    assert first[:3] == ["'=cmd()", '0', '10'] and first[-1] == 'step 3, optimize: =1+1'
    assert second[:3] == ['\u5f20\u4f1f', '10', '10'] and len(head) == len(first) == len(second)


def test_the_gradebook_has_a_column_of_the_runs_that_were_read():
    grades = {name: {step: dict.fromkeys(items) for step, items in points.POINTS.items()} for name in ('ada', 'bob')}
    grades['bob'][3]['optimize'] = 'twice the rate'
    runs = {'ada': ['60 iterations', 'no pictures'], 'bob': []}
    head, ada, bob = gradebook.table(grades, runs).splitlines()
    assert head.split() == ['1', '2', '3', '4', '5', 'run', 'points', 'first', 'thing', 'to', 'mend']
    assert ada.split()[1:8] == [*'✓✓✓✓✓·', '100'] and ada.endswith('run: 60 iterations')
    assert bob.split()[1:8] == [*'✓✓·✓✓✓', '90'] and bob.endswith('step 3, optimize: twice the rate')
    assert head.index('run') == ada.index('·')
    rows = list(csv.DictReader(gradebook.to_csv(grades, runs).splitlines()))
    assert [row['run'] for row in rows] == ['60 iterations; no pictures', 'fits']
    assert json.loads(gradebook.to_json(grades, 5, runs))['submissions']['ada']['run'] == runs['ada']
    assert 'run' not in json.loads(gradebook.to_json(grades, 5))['submissions']['ada']


def test_the_table_keeps_its_columns_whatever_the_alphabet():
    grades = {name: {3: {'optimize': None}} for name in ('ada', '\u5f20\u4f1f', 'Zoe\u0308')}
    columns = [line.index('✓') for line in gradebook.table(grades).splitlines()[1:]]
    # two letters that take two columns each, and one that takes none
    assert columns == [columns[0], columns[0] - 2, columns[0] + 1]


@pytest.mark.parametrize('came', [
    b'', b'null', b'[]', b'{}', b'[' * 500_000, b'{"values": []}', b'{"error": "", "kind": []}', b'{"error": 0}',
    b'{"kind": "x"}', b'{"error": null, "kind": null}', b'\xff\xfe', b'{"values": {"a": 1' + b'0' * 5000 + b'}'])
def test_what_is_no_answer_is_wrong(came):
    wrong = check.grade_item('_content_loss', check.parse(came), None, {})
    assert wrong and isinstance(wrong, str)


@pytest.mark.parametrize('values', [{}, {'tries': None, 'kinds': 3}, {'tries': [[[[]]]], 'kinds': [[]]},
                                    {'tries': ['x'], 'kinds': ['float32']}, {'tries': [1e999], 'kinds': ['float32']},
                                    {'tries': [], 'kinds': []}])
def test_values_of_no_kind_are_wrong(values):
    given = check.verdicts.draw_inputs('_content_loss', 0)
    assert check.grade_item('_content_loss', {'values': values}, None, given)
    assert check.grade_item('_content_loss', {'error': '', 'kind': ''}, None, given)
