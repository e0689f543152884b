"""Configure TensorFlow's sessions: precision, threads and graph rewriting."""

import os
import re
from pathlib import Path

from common.errors import UserError
from common.tf1 import tf, tf2

PRECISIONS = ('float32', 'bfloat16')
# Passes of TensorFlow's graph rewriter that change neither results nor the time of an iteration, but take a third of
# the time before the first one.
UNNEEDED_PASSES = ('layout_optimizer', 'arithmetic_optimization', 'loop_optimization', 'function_optimization',
                   'shape_optimization', 'debug_stripper', 'scoped_allocator_optimization', 'implementation_selector',
                   'common_subgraph_elimination')
# Values of ONEDNN_MAX_CPU_ISA with which oneDNN has no bfloat16, only emulates it, or computes it without AMX.
ISA_WITHOUT_BFLOAT16 = ('sse41', 'avx', 'avx2', 'avx2_vnni', 'avx2_vnni_2')
ISA_WITH_EMULATION_ONLY = ('avx512_core', 'avx512_core_vnni')
ISA_WITHOUT_AMX = ('avx512_core_bf16', 'avx512_core_fp16', 'avx10_1_512', 'avx10_2_512')


def session_config(precision: str, threads: int = 0) -> tf.ConfigProto:
    """Return the configuration of a session.

    Args:
        precision: 'float32', or 'bfloat16', which TensorFlow's graph rewriter introduces.
        threads: Number of threads; 0 for one per core.
    """
    config = tf.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads)
    rewriter = config.graph_options.rewrite_options
    # By default the rewriter makes two passes over the graph and also optimizes memory. In float32, this makes the
    # graph larger and the start slower, and the iterations no faster.
    rewriter.meta_optimizer_iterations = 1
    rewriter.memory_optimization = 1  # NO_MEM_OPT
    for name in UNNEEDED_PASSES:
        setattr(rewriter, name, 2)  # OFF
    if precision == 'bfloat16':
        rewriter.auto_mixed_precision_onednn_bfloat16 = 1  # ON
        # The second pass computes VGG's weights in bfloat16 once; else each iteration would convert them again.
        rewriter.meta_optimizer_iterations = 2
    return config


def _cpu_features():
    """Return the feature names of the processor, like 'avx2'; an empty list if the system does not list them."""
    try:
        return re.search('^flags.*:(.*)', Path('/proc/cpuinfo').read_text(), re.MULTILINE)[1].split()
    except (OSError, TypeError):
        return []


def _onednn_limit():
    """Return oneDNN's instruction set limit (see its "CPU Dispatcher Control") in lower case; '' if there is none."""
    return (os.environ.get('ONEDNN_MAX_CPU_ISA') or os.environ.get('DNNL_MAX_CPU_ISA') or '').lower()


def _onednn_is_off():
    """Return whether the environment makes TensorFlow compute without oneDNN."""
    return os.environ.get('TF_ENABLE_ONEDNN_OPTS', '').strip().lower() in ('0', 'false')


def has_avx512() -> bool:
    """Return whether float32 is computed with AVX-512; its kernels need less memory than those for AVX2."""
    return 'avx512f' in _cpu_features() and not _onednn_is_off() and _onednn_limit() not in ISA_WITHOUT_BFLOAT16


def check_bfloat16() -> None:
    """Check that the environment allows the bfloat16 kernels, which are part of oneDNN.

    Without this check TensorFlow would ignore the precision, or fail in the first convolution.

    Raises:
        UserError: An environment variable turns off oneDNN or the instructions that bfloat16 needs.
    """
    if _onednn_is_off():
        reason = 'TF_ENABLE_ONEDNN_OPTS turns off oneDNN'
    elif _onednn_limit() in ISA_WITHOUT_BFLOAT16:
        reason = f'ONEDNN_MAX_CPU_ISA={_onednn_limit()} excludes the instructions'
    else:
        return
    raise UserError(f'bfloat16 is not available: {reason}; unset this variable')


def bfloat16_hardware() -> str | None:
    """Return the processor's instructions that compute bfloat16, 'amx_bf16' or 'avx512_bf16', or None.

    The processor must have them, and the environment must allow oneDNN to use them.
    """
    if _onednn_is_off() or _onednn_limit() in ISA_WITHOUT_BFLOAT16 + ISA_WITH_EMULATION_ONLY:
        return None
    usable = ('avx512_bf16',) if _onednn_limit() in ISA_WITHOUT_AMX else ('amx_bf16', 'avx512_bf16')
    features = _cpu_features()
    return next((name for name in usable if name in features), None)


def fastest_precision(takes_bfloat16: bool) -> str:
    """Return 'bfloat16' if this machine is faster with it and the optimizer takes it, else 'float32'.

    TensorFlow's bfloat16 rewriter is for CPUs, not for GPUs. Intel's processors with avx512_fp16 are designed for
    amx_bf16; on a virtual machine that hides it (Emerald Rapids), bfloat16 took 1.7 times as long as float32.
    """
    gpu = tf2.config.list_physical_devices('GPU')
    slow = bfloat16_hardware() == 'avx512_bf16' and 'avx512_fp16' in _cpu_features()
    return 'bfloat16' if takes_bfloat16 and bfloat16_hardware() and not slow and not gpu else 'float32'


def describe(precision: str) -> str:
    """Describe a precision for the user: 'float32', or 'bfloat16 by' the instructions that compute it or emulation."""
    return f'bfloat16 by {bfloat16_hardware() or "emulation"}' if precision == 'bfloat16' else precision
