"""The progress bar on a terminal, tried with a pseudo-terminal, and its counts against hand-worked ones."""

import fcntl
import os
import pty
import select
import struct
import termios
from pathlib import Path

from common import progress


def test_a_terminal_shows_a_progress_bar_and_a_file_does_not(server, images, tiny_vgg, workdir):
    flags = ['--content', images[0], '--style', images[1], '--vgg', tiny_vgg, '--width', '48', '--scales', '2',
             '--coarse-iterations', '10', '--iterations', '5']
    assert server.start(flags, err='err.txt').wait() == 0 and Path('err.txt').read_text() == ''
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 100, 0, 0))
    process = server.start([*flags, '--restart'], err=os.ttyname(slave))
    text, has_ended = b'', False
    while not has_ended:
        has_ended = process.poll() is not None  # Ask first, then read what is left.
        while select.select([master], [], [], 0.1)[0]:
            text += os.read(master, 4096)
    os.close(slave)
    os.close(master)
    assert process.returncode == 0 and 'iteration 15/15, loss ' in text.decode() and '100%|' in text.decode()


def test_the_progress_bar_counts_cost_instead_of_iterations(monkeypatch):
    """At twice the side lengths an iteration costs four times as much; a resumed bar starts with the earlier cost."""
    state = {}

    class RecordingBar:
        def __init__(self, **settings):
            state.update(settings, n=settings['initial'])

        def set_postfix_str(self, text, refresh):
            state['text'] = text

        def update(self, n):
            state['n'] += n

        def close(self):
            state['closed'] = True
    monkeypatch.setattr(progress, 'tqdm', RecordingBar)
    with progress.ProgressBar(5, lambda step: 1 if step <= 3 else 4) as bar:
        for step in (3, 4, 5):
            bar(progress.Iteration(step, {'total_loss': 12.3456}, None))
    assert (state['total'], state['initial'], state['n'], state['closed']) == (11, 2, 11, True)
    assert state['text'] == 'iteration 5/5, loss 12.35'
