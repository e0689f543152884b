"""The choice of the precision by simulated processor features and by the environment variables of oneDNN."""

import pytest

from common.errors import UserError
from engine.run import session
from style_transfer import StyleTransfer, main

VARIABLES = 'ONEDNN_MAX_CPU_ISA', 'DNNL_MAX_CPU_ISA', 'TF_ENABLE_ONEDNN_OPTS'


@pytest.fixture
def processor(monkeypatch, tmp_path):
    """Unset the variables; return a function that simulates processor flags, or with None a system without a list."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    cpuinfo = tmp_path / 'cpuinfo'
    monkeypatch.setattr(session, 'Path', lambda path: {'/proc/cpuinfo': cpuinfo}[path])

    def pretend(flags):
        if flags:
            cpuinfo.write_text(f'processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: spectre\n\n'
                               f'processor\t: 1\nflags\t\t: {flags}\n')
    return pretend


@pytest.mark.parametrize('flags, isa', [('fpu avx512_bf16 amx_bf16', 'amx_bf16'), ('avx512_bf16 fpu', 'avx512_bf16'),
                                        ('fpu avx512f my_avx512_bf16x', None), (None, None)])
def test_bfloat16_hardware_is_found_in_the_flags_of_linux(processor, flags, isa):
    processor(flags)
    assert session.bfloat16_hardware() == isa


@pytest.mark.parametrize('name, value, expected, available', [
    ('ONEDNN_MAX_CPU_ISA', 'SSE41', None, False), ('ONEDNN_MAX_CPU_ISA', 'avx2', None, False),
    ('DNNL_MAX_CPU_ISA', 'AVX2_VNNI_2', None, False), ('ONEDNN_MAX_CPU_ISA', 'AVX512_CORE', None, True),
    ('ONEDNN_MAX_CPU_ISA', 'AVX512_CORE_BF16', 'avx512_bf16', True),
    ('ONEDNN_MAX_CPU_ISA', 'AVX512_CORE_AMX', 'amx_bf16', True), ('ONEDNN_MAX_CPU_ISA', 'DEFAULT', 'amx_bf16', True),
    ('TF_ENABLE_ONEDNN_OPTS', '0', None, False), ('TF_ENABLE_ONEDNN_OPTS', '1', 'amx_bf16', True)])
def test_variables_of_onednn_hide_processor_features(processor, monkeypatch, name, value, expected, available):
    processor('avx512_bf16 amx_bf16')
    monkeypatch.setenv(name, value)
    assert session.bfloat16_hardware() == expected
    assert session.fastest_precision(takes_bfloat16=True) == ('bfloat16' if expected else 'float32')
    if available:
        session.check_bfloat16()
    else:
        with pytest.raises(UserError, match=f'bfloat16 is not available: (ONEDNN_MAX_CPU_ISA={value.lower()}|{name}) '):
            session.check_bfloat16()


def test_avx512_counts_only_if_onednn_may_use_it(processor, monkeypatch):
    processor('fpu avx2')
    assert not session.has_avx512()
    processor('fpu avx2 avx512f')
    assert session.has_avx512()
    for name, value in (('ONEDNN_MAX_CPU_ISA', 'AVX2'), ('TF_ENABLE_ONEDNN_OPTS', '0')):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert not session.has_avx512()


def test_bfloat16_is_refused_in_one_line_if_onednn_may_not_use_it(images, tiny_vgg, workdir, monkeypatch, capsys):
    """TensorFlow itself would print a page of errors, or silently compute in float32."""
    monkeypatch.setattr(session, '_onednn_is_off', lambda: False)
    monkeypatch.setattr(session, '_onednn_limit', lambda: 'avx2')  # oneDNN reads the variable only once.
    flags = ['--content', str(images[0]), '--style', str(images[1]), '--vgg', str(tiny_vgg), '--width', '48']
    assert main([*flags, '--precision', 'bfloat16']) == 2
    error = capsys.readouterr().err
    assert 'ONEDNN_MAX_CPU_ISA=avx2 excludes the instructions; unset this variable' in error and error.count('\n') == 1
    assert main([*flags, '--iterations', '1']) == 0
    assert ', float32; ' in capsys.readouterr().out


@pytest.mark.skipif(not session.bfloat16_hardware(), reason='this processor has no bfloat16, or oneDNN may not use it')
def test_bfloat16_is_used_if_it_is_available(images, tiny_vgg, workdir):
    """Its rounding changes the first loss by a few percent at most, but does change it."""
    losses = {}
    for precision in session.PRECISIONS:
        machine = StyleTransfer(*images, 48, 32, vgg=tiny_vgg, precision=precision, name=precision)
        machine.build()
        machine.train(1)
        losses[precision] = machine.run.history[0]['total_loss']
    assert losses['bfloat16'] != losses['float32'] == pytest.approx(losses['bfloat16'], rel=0.05)
