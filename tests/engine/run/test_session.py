"""The choice of the precision, by the processor and by the switches of oneDNN."""

import pytest

from common.errors import UserError
from engine.run import session
from style_transfer import StyleTransfer, main

SWITCHES = 'ONEDNN_MAX_CPU_ISA', 'DNNL_MAX_CPU_ISA', 'TF_ENABLE_ONEDNN_OPTS'


@pytest.fixture
def processor(monkeypatch, tmp_path):
    """A function that pretends that Linux lists these flags of the processor, None for no list; no switch is set."""
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)
    cpuinfo = tmp_path / 'cpuinfo'
    monkeypatch.setattr(session, 'Path', lambda path: {'/proc/cpuinfo': cpuinfo}[path])

    def pretend(flags):
        if flags:
            cpuinfo.write_text(f'processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: spectre\n\n'
                               f'processor\t: 1\nflags\t\t: {flags}\n')
    return pretend


@pytest.mark.parametrize('flags, found', [('fpu avx512_bf16 amx_bf16', 'amx_bf16'), ('avx512_bf16 fpu', 'avx512_bf16'),
                                          ('fpu avx512f my_avx512_bf16x', None), (None, None)])
def test_the_processors_features_are_what_linux_says(processor, flags, found):
    processor(flags)
    assert session.bfloat16_hardware() == found


@pytest.mark.parametrize('name, value, found, available', [
    ('ONEDNN_MAX_CPU_ISA', 'SSE41', None, False), ('ONEDNN_MAX_CPU_ISA', 'avx2', None, False),
    ('DNNL_MAX_CPU_ISA', 'AVX2_VNNI_2', None, False), ('ONEDNN_MAX_CPU_ISA', 'AVX512_CORE', None, True),
    ('ONEDNN_MAX_CPU_ISA', 'AVX512_CORE_BF16', 'avx512_bf16', True),
    ('ONEDNN_MAX_CPU_ISA', 'AVX512_CORE_AMX', 'amx_bf16', True), ('ONEDNN_MAX_CPU_ISA', 'DEFAULT', 'amx_bf16', True),
    ('TF_ENABLE_ONEDNN_OPTS', '0', None, False), ('TF_ENABLE_ONEDNN_OPTS', '1', 'amx_bf16', True)])
def test_onednns_switches_hide_what_the_processor_has(processor, monkeypatch, name, value, found, available):
    processor('avx512_bf16 amx_bf16')
    monkeypatch.setenv(name, value)
    assert session.bfloat16_hardware() == found
    assert session.fastest_precision('adam') == ('bfloat16' if found else 'float32')
    if available:
        session.check_bfloat16()
    else:
        with pytest.raises(UserError, match=f'bfloat16 is not available: (ONEDNN_MAX_CPU_ISA={value.lower()}|{name}) '):
            session.check_bfloat16()


def test_avx512_counts_where_onednn_may_use_it(processor, monkeypatch):
    processor('fpu avx2')
    assert not session.has_avx512()
    processor('fpu avx2 avx512f')
    assert session.has_avx512()
    for name, value in (('ONEDNN_MAX_CPU_ISA', 'AVX2'), ('TF_ENABLE_ONEDNN_OPTS', '0')):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert not session.has_avx512()


def test_bfloat16_that_onednn_may_not_compute_is_refused_in_one_line(images, tiny_vgg, workdir, monkeypatch, capsys):
    """TensorFlow would end in a page of errors, or compute in float32 and say nothing."""
    monkeypatch.setattr(session, '_onednn_is_off', lambda: False)
    monkeypatch.setattr(session, '_onednn_limit', lambda: 'avx2')  # oneDNN itself reads the variable only once
    flags = ['--content', str(images[0]), '--style', str(images[1]), '--vgg', str(tiny_vgg), '--width', '48']
    assert main([*flags, '--precision', 'bfloat16']) == 2
    error = capsys.readouterr().err
    assert 'ONEDNN_MAX_CPU_ISA=avx2 excludes the instructions; unset this variable' in error and error.count('\n') == 1
    assert main([*flags, '--iterations', '1']) == 0
    assert ', float32; ' in capsys.readouterr().out


@pytest.mark.skipif(not session.bfloat16_hardware(), reason='this processor has no bfloat16, or oneDNN may not use it')
def test_bfloat16_is_computed_where_it_is_available(images, tiny_vgg, workdir):
    """It rounds: the first losses are those of float32 to some hundredths, and not to the bit."""
    losses = {}
    for precision in session.PRECISIONS:
        machine = StyleTransfer(*images, 48, 32, vgg=tiny_vgg, precision=precision, name=precision)
        machine.build()
        machine.train(1)
        losses[precision] = machine.run.history[0]['total_loss']
    assert losses['bfloat16'] != losses['float32'] == pytest.approx(losses['bfloat16'], rel=0.05)
