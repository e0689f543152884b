"""What a terminal shows while a picture is trained."""

import fcntl
import os
import pty
import select
import struct
import termios
from pathlib import Path

from common import progress


def test_a_terminal_has_a_bar_and_a_file_has_none(server, images, tiny_vgg, workdir):
    flags = ['--content', images[0], '--style', images[1], '--vgg', tiny_vgg, '--width', '48', '--scales', '2',
             '--coarse-iterations', '10', '--iterations', '5']
    assert server.start(flags, err='err.txt').wait() == 0 and Path('err.txt').read_text() == ''
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 100, 0, 0))
    process = server.start([*flags, '--restart'], err=os.ttyname(slave))
    text, ended = b'', False
    while not ended:
        ended = process.poll() is not None  # before the last look
        while select.select([master], [], [], 0.1)[0]:
            text += os.read(master, 4096)
    os.close(slave)
    os.close(master)
    assert process.returncode == 0 and 'iteration 15/15, loss ' in text.decode() and '100%|' in text.decode()


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
    with progress.ProgressBar(5, lambda step: 1 if step <= 3 else 4) as bar:
        for step in (3, 4, 5):
            bar(progress.Iteration(step, {'total_loss': 12.3456}, None))
    assert (made['total'], made['initial'], made['n'], made['closed']) == (11, 2, 11, True)
    assert made['text'] == 'iteration 5/5, loss 12.35'
