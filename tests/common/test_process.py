"""Ctrl-C at any time: while packages load, in training, while the last pictures are written."""

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
def test_while_packages_load_there_is_no_page(program):
    program, *command = program.split()
    libraries = ['_multiarray_umath', 'libtensorflow']  # NumPy and TensorFlow, as they come
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


def test_a_process_that_ignores_it_goes_on_ignoring(workdir):
    program = ('import signal\n'
               'signal.signal(signal.SIGINT, signal.SIG_IGN)\n'
               'from common import process\n'
               'process.while_loading(); process.after_loading()\n'
               'print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)')
    done = subprocess.run([sys.executable, '-c', program], cwd=paths.ROOT, capture_output=True, text=True)
    assert done.stdout == 'True\n'


def test_the_first_is_asked_the_second_interrupts():
    with pytest.raises(KeyboardInterrupt), process.StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_while_the_last_pictures_are_written(images, tiny_vgg, workdir, monkeypatch):
    def pressed(*args):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
        raise AssertionError('Ctrl-C was swallowed')
    machine = StyleTransfer(*images, 48, 32, vgg=tiny_vgg, name='r')
    machine.build()
    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
        patch.setattr(figures, 'loss_curves', pressed)
        machine.train(3)
    assert machine.train(3) == (3, 'finished', 3) and (workdir / 'outputs/r/progress.gif').exists()
