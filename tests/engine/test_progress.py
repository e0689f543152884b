"""What a terminal shows while a picture is trained."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

from engine import progress, shipped


def test_a_terminal_has_a_bar_and_a_pipe_has_none(images, tiny_vgg, workdir):
    command = [sys.executable, shipped.ROOT / 'style_transfer.py', '--content', images[0], '--style', images[1],
               '--vgg', tiny_vgg, '--width', '96', '--scales', '2', '--coarse-iterations', '20', '--iterations', '10']
    assert subprocess.run(command, check=True, capture_output=True).stderr == b''
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 100, 0, 0))
    with subprocess.Popen([*command, '--restart'], stderr=slave, stdout=subprocess.PIPE) as process:
        os.close(slave)
        text = b''
        while process.poll() is None or not text.endswith(b'\n'):
            try:
                text += os.read(master, 4096)
            except OSError:  # nobody writes any more
                break
    os.close(master)
    assert process.returncode == 0 and 'iteration 30/30, loss ' in text.decode() and '100%|' in text.decode()


def test_the_bar_counts_work_and_not_iterations(monkeypatch):
    """An iteration at twice the sides is four times the work; a resumed one begins with what is done."""
    made = {}

    class Recorded:
        def __init__(self, **how):
            made.update(how, n=how['initial'])

        def set_postfix_str(self, text, refresh):
            made['text'] = text

        def update(self, n):
            made['n'] += n

        def close(self):
            made['closed'] = True
    monkeypatch.setattr(progress, 'tqdm', Recorded)
    with progress.Bar(5, lambda step: 1 if step <= 3 else 4) as bar:
        for step in (3, 4, 5):
            bar(progress.Iterate(step, {'total_loss': 12.3456}, None))
    assert (made['total'], made['initial'], made['n'], made['closed']) == (11, 2, 11, True)
    assert made['text'] == 'iteration 5/5, loss 12.35'
