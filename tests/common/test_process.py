"""Ctrl-C while packages load, during a training, and while its results are written."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import style_transfer
import utils
from common import paths, process
from engine.results import figures
from style_transfer import StyleTransfer


@pytest.mark.parametrize('program', ['style_transfer.py', 'reconstruct.py', 'fast_style_transfer.py train',
                                     'fast_style_transfer.py stylize', 'load_vgg.py'])
def test_ctrl_c_while_packages_load_prints_no_traceback(program):
    program, *command = program.split()
    libraries = ['_multiarray_umath', 'libtensorflow']  # NumPy and TensorFlow, in the order of their import
    if program != 'style_transfer.py':
        libraries = libraries[:1] if 'stylize' in command else libraries[1:]
    for library in libraries:
        process = subprocess.Popen([sys.executable, paths.ROOT / program, *command, '--help'], stderr=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, text=True)
        while library not in Path(f'/proc/{process.pid}/maps').read_text():
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        assert (process.communicate()[1], process.returncode) == ('', 130)


def test_a_process_that_ignores_ctrl_c_continues_to_ignore_it(workdir):
    program = ('import signal\n'
               'signal.signal(signal.SIGINT, signal.SIG_IGN)\n'
               'from common import process\n'
               'process.while_loading(); process.after_loading()\n'
               'print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)')
    result = subprocess.run([sys.executable, '-c', program], cwd=paths.ROOT, capture_output=True, text=True)
    assert result.stdout == 'True\n'


def test_the_first_ctrl_c_requests_a_stop_and_the_second_interrupts():
    with pytest.raises(KeyboardInterrupt), process.StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_interrupts_the_writing_of_results_which_can_be_repeated(images, tiny_vgg, workdir, monkeypatch):
    def press_ctrl_c(*args):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
        raise AssertionError('Ctrl-C was swallowed')
    machine = StyleTransfer(*images, 48, 32, vgg=tiny_vgg, name='r')
    machine.build()
    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
        patch.setattr(figures, 'loss_curves', press_ctrl_c)
        machine.train(3)
    assert machine.train(3) == (3, 'finished', 3) and (workdir / 'outputs/r/progress.gif').exists()


@pytest.mark.parametrize('closed', ['2>&-', '<&- >&- 2>&-'])
def test_a_command_without_standard_error_works(workdir, closed):
    utils.save_image('photo.png', np.full((20, 30, 3), 99, np.uint8))
    command = f'{sys.executable} {paths.ROOT / "fast_style_transfer.py"} stylize --style starry_night --out a.png'
    assert subprocess.run(f'{command} photo.png {closed}', shell=True, capture_output=True).returncode == 0
    assert utils.image_size('a.png') == (30, 20) and {path.name for path in workdir.iterdir()} == {'a.png', 'photo.png'}
    assert subprocess.run(f'{command} --bad {closed}', shell=True, capture_output=True).returncode == 2


def test_the_descriptor_of_a_closed_standard_error_is_not_used_for_a_file(workdir):
    program = (f'import os, sys; sys.path.insert(0, {str(paths.ROOT)!r})\n'
               'from common import process\n'
               'os.close(0); os.close(1); os.close(2); sys.stderr = None\n'
               'process.open_missing_streams()\n'
               'print("seen", file=sys.stderr)\n'
               'with open("file.txt", "w") as file, process.suppress_stderr():\n'
               '    os.write(2, b"a message of a library")\n'
               '    assert file.fileno() > 2')
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, '') and Path('file.txt').read_text() == ''


@pytest.mark.parametrize('arguments', ['fast_style_transfer.py stylize --help',
                                       'fast_style_transfer.py stylize photo.png --style woodcut --strength 0',
                                       'fast_style_transfer.py stylize photo.png --style woodcut --out -'])
def test_a_reader_that_has_ended_causes_no_message(workdir, arguments):
    utils.save_image('photo.png', np.full((20, 30, 3), 99, np.uint8))
    program, *flags = arguments.split()
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, paths.ROOT / program, *flags], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.stderr == b'' and done.returncode == (0 if '--help' in flags else 141)  # argparse ignores the error.


def test_a_training_whose_lines_nobody_reads_keeps_its_checkpoints(images, tiny_vgg, workdir, monkeypatch):
    read, write = os.pipe()

    def read_until_step_40():
        with os.fdopen(read, 'rb') as lines:
            while b'Step 40\n' not in lines.readline():
                pass
    reader = threading.Thread(target=read_until_step_40)
    reader.start()
    with monkeypatch.context() as patch, os.fdopen(write, 'w', buffering=1) as stdout:
        patch.setattr(sys, 'stdout', stdout)
        flags = ['--content', images[0], '--style', images[1], '--vgg', tiny_vgg, '--width', 48, '--iterations', 5000]
        assert style_transfer.main([*map(str, flags), '--verbose', '--name', 'r']) == 141
    reader.join()
    assert list(Path('checkpoints/r').glob('model-*.index'))
