"""Test that hostile code passes no wrong solution, reads and writes no files of others, and leaves no process behind.

Each attack replaces a wrong `_content_loss` and is confined as every submission is.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from assignment import check
from assignment.grader import probe, processes, sandbox, verdicts
from common import paths
from tests.assignment.solutions import CONTENT_START, grade_solution, solution_files

needs_protection = pytest.mark.skipif(
    bool(sandbox.missing_protection()), reason=f'this system lacks {sandbox.missing_protection()}'
)
WRITE_AND_EXIT = 'for fd in range(3, 200):\n    try: os.write(fd, {!r})\n    except OSError: pass\nos._exit(0)'


def hostile_solution(code, wrong="'self.recipe.content_factor(s)'"):
    """Return a solution whose content loss first runs some code and then has a wrong factor."""
    body = ''.join(f'        {line}\n' for line in ('import ctypes, gc, os, sys', *code.splitlines()))
    return solution_files(('style_transfer.py', CONTENT_START, f'{body}{CONTENT_START}'),
                          ('style_transfer.py', 'self.recipe.content_factor(s)', '0.123'))


# Name: (code, text that the grader's message contains).
ATTACKS = {
    'a loop without an end': ('while True: pass', 'not done after 1 s'),
    'a loop that ignores the signal of its end': ('import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\n'
                                                  'while True: pass', ''),  # either of two limits may end it first
    'a sleep without an end': ('import time; time.sleep(1000)', 'not done after 1 s'),
    'the program is left': ('sys.exit(0)', 'remove sys.exit and exit'),
    'the process is left': ('os._exit(0)', 'there is no answer'),
    'the process is left with a status': ('os._exit(3)', 'crashed or exited (status 3)'),
    'the process crashes': ('ctypes.string_at(0)', 'crashed or exited (SIGSEGV)'),
    'the process is killed': ('import signal; os.kill(os.getpid(), signal.SIGKILL)', 'PermissionError'),
    'it forks': ('if os.fork() == 0: os._exit(0)', 'PermissionError'),
    'it forks past Python': ('assert ctypes.CDLL(None).fork() >= 0', 'AssertionError'),
    'it starts threads without end': ('import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, '
                                      'args=(99,), daemon=True).start()', "can't start new thread"),
    'much is printed': ("print('passed\\n' * 3_000_000); os.write(1, b'0\\n' * 99)", 'expected'),
    'all memory is taken': ("x = b'x' * (1 << 33)", 'MemoryError'),
    'too large an answer': ('return tf.zeros([1500, 1500])', 'no answer'),
    'NaN': ('return tf.constant(float("nan"))', 'got nan'),
    'text': ('return "passed"', 'cannot be compared'),
    'an object': ('return object()', 'TypeError'),
    'no error': (WRITE_AND_EXIT.format(b'{"error": ""}'), 'no answer'),
    'an error that is no text': (WRITE_AND_EXIT.format(b'{"error": "", "kind": []}'), 'no answer'),
    'an error without a word': (WRITE_AND_EXIT.format(b'{"error": "", "kind": ""}'), 'without a message'),
    'brackets without end': (WRITE_AND_EXIT.format(b'[' * 500_000), 'no answer'),
    'escapes': ('raise ValueError("\\x1b[2J\\ud800 passed")', 'ValueError: ?[2J'),
    'NumPy is another': ('np.abs = np.max = np.allclose = lambda *args, **kwargs: 0; np.isfinite = lambda x: True\n'
                         'return F[0, 0, 0, 0] * 0', 'expected'),
    'TensorFlow is another': ('import tensorflow\ntensorflow.compat.v1.Session.run = lambda *args, **kwargs: 1.',
                              'expected'),
    'the probe is another': ('main = sys.modules["__main__"]\nmain.dumps = lambda x: "{}"\nmain.ITEM_FUNCTIONS.clear()',
                             'expected'),
    'JSON is another': ('import json; json.dumps = lambda *args: "{}"', 'expected'),
    'a child that outlives': ('import subprocess; subprocess.Popen(["sleep", "1000"])', 'PermissionError'),
    "the grader's group is killed": ('os.killpg(os.getpgid(os.getppid()), 9)', 'PermissionError'),
    "the grader's limits are set": ('import resource\nresource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))',
                                    'PermissionError'),
    'the network': ('import socket; socket.create_connection(("127.0.0.1", 9))', 'PermissionError'),
    'nested folders': ('for _ in range(1200):\n    os.mkdir("d"); os.chdir("d")', 'expected'),
    'files without end': ('import itertools, time\nfor i in itertools.count(): open(f"{i}", "w").close()',
                          'more files or bytes than its folder may hold'),
    'a file without end': ('with open("x", "wb") as file:\n    while True: file.write(bytes(1 << 20))',
                           'File too large'),
    'a module of another name': ('open("json.py", "w").write("1/0"); open("numpy.py", "w").write("1/0")', 'expected'),
}


@pytest.fixture(scope='module')
def attack_messages():
    """Name of an attack -> the grader's message about it."""
    return {
        name: grade_solution(hostile_solution(code), seconds=1 if not message or message.startswith('not done') else 10)
        for name, (code, message) in ATTACKS.items()}


@needs_protection
@pytest.mark.parametrize('name', ATTACKS)
def test_an_attack_does_not_pass(attack_messages, name):
    message = attack_messages[name]
    assert message and ATTACKS[name][1] in message


def test_after_all_attacks_grading_works_and_nothing_is_left(attack_messages):
    """The next submission is graded, and no process and no folder of an attack is left."""
    assert grade_solution(solution_files()) is None
    for process in Path('/proc').glob('[0-9]*'):
        try:
            assert (process / 'cmdline').read_bytes() != b'sleep\x001000\0'
        except OSError:
            continue
    for prober in processes._probers:
        assert {path.name for path in prober.folder.iterdir()} == {'starter', 'errors', 'answer'}


@pytest.fixture
def others_folder(tmp_path):
    """A folder and a file of somebody else that every user may write to."""
    (tmp_path / 'file').write_text('mine')
    os.utime(tmp_path / 'file', (1, 1))
    for path, mode in ((tmp_path / 'file', 0o666), (tmp_path, 0o777)):
        path.chmod(mode)
    return tmp_path


WRITE_ATTEMPTS = {  # name: code that writes into the folder {0}
    'open': "open('{0}/file', 'w')", 'a new file': "open('{0}/new', 'w')", 'remove': "os.remove('{0}/file')",
    'truncate': "os.truncate('{0}/file', 0)", 'rename': "os.rename('{0}/file', '{0}/new')",
    'tf.io.gfile': "tf.io.gfile.GFile('{0}/file', 'w').write('yours')",
    'tf.io.gfile.rmtree': "tf.io.gfile.rmtree('{0}')", 'FileWriter': "tf.summary.FileWriter('{0}/graphs').flush()",
    'sqlite3': "import sqlite3; sqlite3.connect('{0}/new').execute('create table t (x)')",
    'os.utime': "os.utime('{0}/file', (9, 9))", 'os.chmod': "os.chmod('{0}/file', 0)",
    'os.chown': "os.chown('{0}/file', 1, 1)", 'setxattr': "os.setxattr('{0}/file', 'user.x', b'x')",
    'mkfifo': "os.mkfifo('{0}/new')", 'mkdir': "os.mkdir('{0}/new')",
    'a link out': "os.symlink('{0}/file', 'x'); open('x', 'w')",
    'a second name': "os.link('{0}/file', 'x'); open('x', 'w')", 'a name in': "os.link('style_transfer.py', '{0}/new')",
    'dir_fd': "os.unlink('file', dir_fd=os.open('{0}', os.O_PATH))",
    'ctypes': "assert ctypes.CDLL(None).unlink(b'{0}/file') == 0",
    'ctypes, of root': "assert ctypes.CDLL(None).setuid(0) or ctypes.CDLL(None).mount(b'{0}', b'{0}', 0, 4096, 0) == 0",
    'a system call': "assert ctypes.CDLL(None).syscall(263, -100, b'{0}/file', 0) == 0",
    'a program': "import subprocess; subprocess.run(['rm', '{0}/file'], check=True)",
    'os.system': "assert os.system('rm {0}/file') == 0",
    'os.posix_spawn': "os.posix_spawn('/bin/rm', ['rm', '{0}/file'], {{}})",
}


@needs_protection
def test_nothing_is_written_outside_the_folder_of_the_submission(others_folder):
    for name, code in WRITE_ATTEMPTS.items():
        message = grade_solution(hostile_solution(code.format(others_folder)), seconds=10)
        assert 'Error' in message, (name, message)
        stat = (others_folder / 'file').stat()
        assert [path.name for path in others_folder.iterdir()] == ['file'], name
        assert (others_folder / 'file').read_text() == 'mine', name
        assert (stat.st_mtime, stat.st_mode & 0o777, stat.st_nlink, stat.st_uid) == (1, 0o666, 1, os.getuid()), name
    assert len(WRITE_ATTEMPTS) > 20


READING_CODE = f'''
import pathlib
def read(path):
    try: return pathlib.Path(path).read_text(errors='replace')
    except OSError: return ''
texts = {{}}
for start in (sys.argv[0], sys.modules['__main__'].__file__, os.getcwd(), {str(paths.ROOT)!r}, {processes.__file__!r},
              os.environ.get('PWD', ''), sys.executable, *sys.path):
    for folder in (pathlib.Path(start), *pathlib.Path(start).parents):
        for name in ('style_transfer.py', 'load_vgg.py', 'assignment/grader/verdicts.py', 'verdicts.py', 'seed'):
            texts[folder / name] = read(folder / name)
for process in (os.getppid(), os.getpid(), 1):
    for name in ('cmdline', 'environ', 'maps', 'mem', 'cwd/style_transfer.py', 'root{paths.ROOT}/style_transfer.py',
                 'fd/0', 'fd/1', 'fd/3'):
        texts[process, name] = read(f'/proc/{{process}}/{{name}}')
for thing in gc.get_objects():
    if type(thing).__name__ == 'code' or hasattr(thing, '__code__'):
        code = getattr(thing, '__code__', thing)
        if code.co_name in ('adam', 'judge', 'gram', 'expected_content_loss') or 'verdicts' in code.co_filename:
            texts[code] = 'in memory: ' + code.co_name
marks = 'content_factor(s)', 'tf.nn.bias_add(', 'squares / (4 * s)', 'PATH=', 'in memory: '
found = [where for where, text in texts.items() if any(mark in text for mark in marks)
         and where != (os.getpid(), 'cwd/style_transfer.py')
         and os.path.abspath(str(where)) not in map(os.path.abspath, ('style_transfer.py', 'load_vgg.py'))]
raise ValueError(f'read {{found}}, own {{len(read("style_transfer.py")) > 1000}}')
'''


@needs_protection
def test_neither_the_solution_nor_the_expected_values_can_be_read():
    """The code searches the program's folder, its parent folders, /proc and the memory of the process."""
    for name, mark in (('style_transfer.py', 'content_factor(s)'), ('load_vgg.py', 'tf.nn.bias_add('),
                       ('assignment/grader/verdicts.py', 'squares / (4 * s)')):
        assert mark in (paths.ROOT / name).read_text()
    assert 'ValueError: read [], own True' in grade_solution(hostile_solution(READING_CODE))


def test_an_item_does_not_get_the_inputs_of_another_item():
    """Otherwise the Gram matrices that one item gets would give away the answer of the item that must compute one."""
    gram_inputs = verdicts.draw_inputs('_gram_matrix', 0)
    assert set(gram_inputs) == {'F'} and set(verdicts.draw_inputs('_content_loss', 0)) == {'P', 'F'}
    assert not any((gram_inputs['F'] == x).all() for x in verdicts.draw_inputs('_single_style_loss', 0).values()
                   if x.shape == gram_inputs['F'].shape)


def test_files_of_other_students_cannot_be_read(tmp_path):
    (tmp_path / 'ada').mkdir()
    (tmp_path / 'ada' / 'style_transfer.py').write_bytes(solution_files()['style_transfer.py'])
    code = f"raise ValueError(len(open({str(tmp_path / 'ada' / 'style_transfer.py')!r}).read()))"
    assert 'PermissionError' in grade_solution(hostile_solution(code)) or sandbox.missing_protection()


def test_without_kernel_protection_the_audit_hook_prevents_writing_outside(others_folder):
    """The audit hook is tested in a process without TensorFlow."""
    folder = others_folder / 'own'
    folder.mkdir()
    attempts = [code.format(others_folder) for name, code in WRITE_ATTEMPTS.items()
                if 'tf.' not in code and 'ctypes' not in code and name not in ('mkfifo', 'dir_fd', 'a name in')]
    script = ('import os, sys\n'
              f'sys.path.insert(0, {str(paths.ROOT)!r})\n'
              'from assignment.grader import sandbox\n'
              f'os.chdir({str(folder)!r}); sandbox.forbid_writing_outside(os.getcwd()); open("fine", "w").close()\n'
              f'for code in {attempts!r}:\n'
              '    try: exec(code)\n'
              '    except PermissionError: continue\n'
              '    sys.exit(code)\n')
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (others_folder / 'file').read_text() == 'mine' and (folder / 'fine').exists() and len(attempts) > 12


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() != 0, reason='the tests are not run by root')
def test_without_kernel_protection_root_switches_to_another_user(tmp_path):
    (tmp_path / 'mine').write_text('mine')
    (tmp_path / 'own').mkdir()
    for path in (tmp_path, *tmp_path.parents[:-2]):
        path.chmod(0o711)
    script = ('import os, sys\n'
              f'sys.path.insert(0, {str(paths.ROOT)!r})\n'
              'from assignment.grader import sandbox\n'
              f'sandbox.become_nobody({str(tmp_path / "own")!r}, ["/usr/lib"])\n'
              'assert os.getresuid() == 3 * (os.getuid(),) != (0, 0, 0) and not os.getgroups()\n'
              f'open({str(tmp_path / "own" / "x")!r}, "w").close()\n'
              f'open({str(tmp_path / "mine")!r}, "w")\n')
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    assert 'PermissionError' in done.stderr and 'mine' in done.stderr.splitlines()[-1]
    assert (tmp_path / 'own' / 'x').exists() and (tmp_path / 'mine').read_text() == 'mine'


def test_without_fork_every_item_runs_in_a_process_of_its_own(monkeypatch):
    """On Windows and macOS, the process itself ends with its item."""
    prober = processes.Prober()
    path = prober.folder / 'starter' / 'probe.py'
    path.write_text(path.read_text().replace("CAN_FORK = sys.platform == 'linux'", 'CAN_FORK = False'))
    monkeypatch.setattr(probe, 'CAN_FORK', False)
    inputs = verdicts.draw_inputs('_gram_matrix', 0)
    try:
        answer, end_reason = prober.ask('_gram_matrix', inputs, solution_files(), 30)
        assert end_reason is None and check.grade_item('_gram_matrix', check.parse(answer), end_reason, inputs) is None
        assert prober.process is None
    finally:
        prober.close()


def test_a_process_that_cannot_start_gives_the_reason_in_one_line():
    prober = processes.Prober()
    (prober.folder / 'starter' / 'probe.py').write_text('import nothing_of_this_name')
    with pytest.raises(processes.UserError, match="does not start: ModuleNotFoundError: No module named 'nothing_of"):
        prober.ask('_gram_matrix', {}, {}, 5)
    prober.close()
    assert not prober.folder.exists()


def test_a_deeply_nested_folder_is_removed(tmp_path):
    deep = tmp_path / 'deep'
    deep.mkdir()
    start_folder = os.getcwd()
    os.chdir(deep)
    for _ in range(1200):
        os.mkdir('d' * 200)
        os.chdir('d' * 200)
        open('f', 'w').close()
    os.chdir(start_folder)
    processes.remove(deep)
    remaining = list(tmp_path.iterdir())
    subprocess.run(['rm', '-rf', deep], check=True)  # pytest could not remove what is left
    assert remaining == []
