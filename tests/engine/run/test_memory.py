"""Pictures that do not fit into memory are refused with a size that fits; estimates against measured peaks."""

import re
from pathlib import Path

import pytest

import load_vgg
import recipes
import reconstruct
import style_transfer
from common import vgg_layers
from common.errors import UserError
from engine.optim import OPTIMIZERS
from engine.run import memory


@pytest.fixture(autouse=True)
def avx512(monkeypatch):
    """Simulate a processor with AVX-512; return a function that sets whether it has AVX-512."""
    def simulate(has_avx512):
        monkeypatch.setattr(memory.session, 'has_avx512', lambda: has_avx512)
    simulate(True)
    return simulate


@pytest.fixture
def set_free_memory(monkeypatch):
    """Return a function that sets the simulated free memory, in bytes."""
    return lambda size: monkeypatch.setattr(memory, 'free_memory', lambda: size)


def test_a_picture_that_fits_is_accepted(set_free_memory):
    set_free_memory(20 << 30)
    assert memory.check_size(1024, 1024, 52e6, OPTIMIZERS['adam'], 'float32') is None


def test_the_suggested_size_fits(set_free_memory):
    set_free_memory(650e6 + 18 * 52e6 + 2500 * 300_000)  # At an aspect ratio of 3:2, so many pixels are 670×447.
    with pytest.raises(UserError, match=r'^3000×2000 needs [\d.]+ GB of memory, but only [\d.]+ GB are free; '
                                        r'--width 670 --height 447 would fit$'):
        memory.check_size(3000, 2000, 52e6, OPTIMIZERS['adam'], 'float32')
    memory.check_size(670, 447, 52e6, OPTIMIZERS['adam'], 'float32')


def test_too_little_memory_for_any_picture_is_reported(set_free_memory):
    set_free_memory(1 << 20)
    with pytest.raises(UserError, match='but only 0.0 GB are free, too little for any picture$'):
        memory.check_size(333, 250, 2e6, OPTIMIZERS['lbfgs'], 'float32')


@pytest.mark.parametrize('program', [style_transfer, reconstruct])
def test_commands_check_the_memory_before_they_start(program, set_free_memory, images, tiny_vgg, workdir, capsys):
    set_free_memory(1 << 30)
    assert program.main(['--content', str(images[0]), '--style', str(images[1]), '--vgg', str(tiny_vgg),
                         '--width', '1000']) == 2
    printed = capsys.readouterr()
    assert re.fullmatch(r'error: 1000×667 needs .* --width \d+ --height \d+ would fit\n', printed.err)
    assert 'in the style of' not in printed.out and not list(workdir.iterdir())


def test_bfloat16_is_suggested_if_it_fits_and_can_be_used(set_free_memory):
    set_free_memory(10 << 30)
    with pytest.raises(UserError, match=r'would fit, --precision bfloat16 takes \d\.\d GB'):
        memory.check_size(2560, 1600, 2.2e6, OPTIMIZERS['adam'], 'float32')
    for width, height, *network in (
        (3840, 2160, OPTIMIZERS['adam'], 'bfloat16'),
        (2560, 1600, OPTIMIZERS['lbfgs'], 'float32'),
    ):
        with pytest.raises(UserError, match='would fit$'):  # One recipe already uses bfloat16, the other cannot use it.
            memory.check_size(width, height, 2.2e6, *network)


@pytest.mark.parametrize('limit, used, inactive', [
    ('memory.max', 'memory.current', 'inactive_file'),
    ('memory/memory.limit_in_bytes', 'memory/memory.usage_in_bytes', 'total_inactive_file')])
def test_the_memory_limit_of_a_container_counts(monkeypatch, tmp_path, limit, used, inactive):
    files = {'/proc/meminfo': tmp_path / 'meminfo', '/sys/fs/cgroup': tmp_path / 'group'}
    monkeypatch.setattr(memory, 'Path', files.get)
    total = {'SC_PAGE_SIZE': 4096, 'SC_PHYS_PAGES': 2 << 20}
    monkeypatch.setattr(memory.os, 'sysconf', total.__getitem__)
    assert memory.free_memory() == 8 << 30  # Without /proc/meminfo all memory counts as free.
    monkeypatch.delattr(memory.os, 'sysconf')
    assert memory.free_memory() == 4 << 30  # This is the default for systems that report nothing.
    files['/proc/meminfo'].write_text('MemTotal: 9000 kB\nMemAvailable:  5000 kB\n')
    assert memory.free_memory() == 5000 * 1024
    folder = (tmp_path / 'group' / limit).parent
    folder.mkdir(parents=True)
    for name, text in ((limit, '4000000'), (used, '3500000'),
                       (str(Path(limit).with_name('memory.stat')), f'anon 7\n{inactive} 250000')):
        (tmp_path / 'group' / name).write_text(text + '\n')
    assert memory.free_memory() == 750_000
    (tmp_path / 'group' / limit).write_text('max\n')
    assert memory.free_memory() == 5000 * 1024


def test_estimates_are_close_to_measured_peaks():
    """The peaks are VmHWM in bytes, measured on one machine by benchmarks/memory.py."""
    deep, shallow, middle = 51.8e6, 2.2e6, 14e6
    for size, network, peak in (((333, 250), (deep, OPTIMIZERS['adam'], 'float32'), 1.763e9),
                                ((1333, 1000), (deep, OPTIMIZERS['adam'], 'float32'), 4.858e9),
                                ((1333, 1000), (deep, OPTIMIZERS['adam'], 'bfloat16'), 3.174e9),
                                ((1333, 1000), (middle, OPTIMIZERS['adam'], 'float32'), 3.918e9),
                                ((2048, 1536), (shallow, OPTIMIZERS['adam'], 'float32'), 6.82e9),
                                ((1333, 1000), (shallow, OPTIMIZERS['lbfgs'], 'float32', True), 5.586e9),
                                ((1333, 1000), (deep, OPTIMIZERS['lbfgs'], 'float32'), 5.364e9)):
        assert 0.97 < memory.estimate_bytes(size[0] * size[1], *network) / peak < 1.26


def test_the_estimate_uses_the_largest_network_of_all_levels(images, tiny_vgg, workdir, monkeypatch):
    calls = []
    monkeypatch.setattr(memory, 'check_size', lambda *args: calls.append(args))
    machine = style_transfer.StyleTransfer(*images, 1600, 1200, recipe=recipes.MODERN, vgg=tiny_vgg)
    machine.check_memory()
    weights = load_vgg.read_weights(tiny_vgg).convolutions
    down_to = vgg_layers.CONVOLUTIONS.index(recipes.MODERN.style_layers[-1])
    assert calls[0][:3] == (1600, 1200, sum(weights[name][0].nbytes for name in vgg_layers.CONVOLUTIONS[:down_to + 1]))


def test_estimates_cover_processors_without_avx512_and_smaller_levels(avx512):
    """The peaks are those of the whole command with `modern` at 1024×1024, whose smallest level uses all layers."""
    # Measured on Emerald Rapids; on the same processor limited to AVX2, and on an AMD processor.
    for has_avx512, peaks in ((True, (3.85e9,)), (False, (3.88e9, 5.0e9))):
        avx512(has_avx512)
        for peak in peaks:
            assert 0.97 < memory.estimate_bytes(1024 ** 2, 51.8e6, OPTIMIZERS['adam'], 'float32') / peak < 1.3
