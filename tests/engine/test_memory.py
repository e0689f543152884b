"""A picture that does not fit is refused before anything starts, with a size that does."""

import re
from pathlib import Path

import pytest

import reconstruct
import style_transfer
from engine import memory
from engine.messages import UserError


@pytest.fixture
def free(monkeypatch):
    """A function that sets the free memory, in bytes."""
    return lambda size: monkeypatch.setattr(memory, 'free_memory', lambda: size)


def test_what_fits_is_let_be(free):
    free(20 << 30)
    memory.check(1024, 1024, 52e6, 'adam', 'float32')


def test_a_size_that_would_fit_is_named_and_does_fit(free):
    free(650e6 + 18 * 52e6 + 3100 * 300_000)  # so many pixels of 3:2 are 670×447
    with pytest.raises(UserError, match=r'^3000×2000 needs [\d.]+ GB of memory, and [\d.]+ GB are free; --width 670 --height 447 would fit$'):
        memory.check(3000, 2000, 52e6, 'adam', 'float32')
    memory.check(670, 447, 52e6, 'adam', 'float32')


def test_too_little_for_any_picture(free):
    free(1 << 20)
    with pytest.raises(UserError, match='and 0.0 GB are free, too little for any picture$'):
        memory.check(333, 250, 2e6, 'lbfgs', 'float32')


@pytest.mark.parametrize('program', [style_transfer, reconstruct])
def test_the_commands_say_it_before_anything_starts(program, free, images, tiny_vgg, workdir, capsys):
    free(2 << 30)
    assert program.main(['--content', str(images[0]), '--style', str(images[1]), '--vgg', str(tiny_vgg), '--width', '4000']) == 2
    said = capsys.readouterr()
    assert re.fullmatch(r'error: 4000×2667 needs .* --width \d+ --height \d+ would fit\n', said.err)
    assert 'in the style of' not in said.out and not list(workdir.iterdir())


def test_a_container_s_limit_counts(monkeypatch):
    files = {'/proc/meminfo': 'MemTotal: 9000 kB\nMemAvailable:  5000 kB\n', 'memory.max': '4000000\n', 'memory.current': '3500000\n',
             'memory.stat': 'anon 7\ninactive_file 250000\n'}

    class Files:
        def __init__(self, *path):
            self.name = path[-1].rpartition('/')[2] if path[-1].startswith('/sys') else path[-1]

        def read_text(self):
            return files[self.name]
    monkeypatch.setattr(memory, 'Path', Files)
    assert memory.free_memory() == 750_000
    files['memory.max'] = 'max\n'
    assert memory.free_memory() == 5000 * 1024
    files.clear()
    monkeypatch.setattr(memory, 'Path', lambda *path: Path('/nowhere'))
    assert memory.free_memory() == 4 << 30
