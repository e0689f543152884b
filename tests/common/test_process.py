"""Ctrl-C while packages load, during a training, and while its results are written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
