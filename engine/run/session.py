"""How TensorFlow's sessions compute: precision, threads, what its graph rewriter is allowed."""

import os
import re
from pathlib import Path

from common.errors import UserError
from common.tf1 import tf, tf2

PRECISIONS = ('float32', 'bfloat16')
# values of ONEDNN_MAX_CPU_ISA under which oneDNN has no bfloat16, computes it slowly, or has it without AMX
ISA_WITHOUT_BFLOAT16 = ('sse41', 'avx', 'avx2', 'avx2_vnni', 'avx2_vnni_2')
ISA_WITH_EMULATION_ONLY = ('avx512_core', 'avx512_core_vnni')
ISA_WITHOUT_AMX = ('avx512_core_bf16', 'avx512_core_fp16', 'avx10_1_512', 'avx10_2_512')


def session_config(precision, threads=0):
    """A session's configuration: 'float32' or 'bfloat16' (by TensorFlow's graph rewriter), threads, 0: one a core."""
    config = tf.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads)
    rewriter = config.graph_options.rewrite_options
    # by default it goes over the graph twice and looks for memory to save: no faster after it, later to begin, larger
    rewriter.meta_optimizer_iterations = 1  # ONE
    rewriter.memory_optimization = 1  # NO_MEM_OPT
    if precision == 'bfloat16':
        rewriter.auto_mixed_precision_onednn_bfloat16 = 1  # ON
    return config


def _cpu_features():
    """The names of what the processor can; none where the system does not say."""
    try:
        return re.search('^flags.*:(.*)', Path('/proc/cpuinfo').read_text(), re.MULTILINE)[1].split()
    except (OSError, TypeError):
        return []


def _onednn_limit():
    """Return oneDNN's instruction set limit (see its "CPU Dispatcher Control"), lower case; '' if there is none."""
    return (os.environ.get('ONEDNN_MAX_CPU_ISA') or os.environ.get('DNNL_MAX_CPU_ISA') or '').lower()


def _onednn_is_off():
    """Return whether the environment makes TensorFlow compute without oneDNN."""
    return os.environ.get('TF_ENABLE_ONEDNN_OPTS', '').strip().lower() in ('0', 'false')


def has_avx512():
    """Return whether float32 is computed with AVX-512; its kernels need less memory than those for AVX2."""
    return 'avx512f' in _cpu_features() and not _onednn_is_off() and _onednn_limit() not in ISA_WITHOUT_BFLOAT16


def check_bfloat16():
    """Raise `UserError` if the environment forbids the bfloat16 kernels, which are oneDNN's.

    Without this check TensorFlow ignores the precision, or fails in the first convolution.
    """
    if _onednn_is_off():
        reason = 'TF_ENABLE_ONEDNN_OPTS turns off oneDNN'
    elif _onednn_limit() in ISA_WITHOUT_BFLOAT16:
        reason = f'ONEDNN_MAX_CPU_ISA={_onednn_limit()} excludes the instructions'
    else:
        return
    raise UserError(f'bfloat16 is not available: {reason}; unset this variable')


def bfloat16_hardware():
    """Return the instructions that compute bfloat16 here, 'amx_bf16' or 'avx512_bf16', or None.

    The processor must have them, and the environment must allow oneDNN to use them.
    """
    if _onednn_is_off() or _onednn_limit() in ISA_WITHOUT_BFLOAT16 + ISA_WITH_EMULATION_ONLY:
        return None
    usable = ('avx512_bf16',) if _onednn_limit() in ISA_WITHOUT_AMX else ('amx_bf16', 'avx512_bf16')
    features = _cpu_features()
    return next((name for name in usable if name in features), None)


def fastest_precision(optimizer):
    """bfloat16 where the processor is faster with it and the optimizer is Adam, else float32.

    L-BFGS's line search stalls on rounded losses; TensorFlow's rewriter is for processors, not for GPUs. Of Intel's
    processors those that have avx512_fp16 were made for amx_bf16: where a virtual machine hides that, bfloat16 took 1.7
    times as long as float32 (Emerald Rapids).
    """
    gpu = tf2.config.list_physical_devices('GPU')
    slow = bfloat16_hardware() == 'avx512_bf16' and 'avx512_fp16' in _cpu_features()
    return 'bfloat16' if optimizer == 'adam' and bfloat16_hardware() and not slow and not gpu else 'float32'


def describe(precision):
    """A precision in words, with what computes it."""
    return f'bfloat16 by {bfloat16_hardware() or "emulation"}' if precision == 'bfloat16' else precision
