"""How TensorFlow's sessions compute: precision, threads, what its graph rewriter is allowed."""

import re
from pathlib import Path

from engine import quiet  # before tensorflow

import tensorflow
import tensorflow.compat.v1 as tf

PRECISIONS = ('float32', 'bfloat16')


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


def _features():
    """The names of what the processor can; none where the system does not say."""
    try:
        return re.search('^flags.*:(.*)', Path('/proc/cpuinfo').read_text(), re.MULTILINE)[1].split()
    except (OSError, TypeError):
        return []


def bfloat16_hardware():
    """What the processor computes bfloat16 with, 'amx_bf16' or 'avx512_bf16'; None without."""
    features = _features()
    return next((name for name in ('amx_bf16', 'avx512_bf16') if name in features), None)


def fastest_precision(optimizer):
    """bfloat16 where the processor is faster with it and the optimizer is Adam, else float32.

    L-BFGS's line search stalls on rounded losses; TensorFlow's rewriter is for processors, not for GPUs. Of Intel's
    processors those that have avx512_fp16 were made for amx_bf16: where a virtual machine hides that, bfloat16 took 1.7
    times as long as float32 (Emerald Rapids).
    """
    gpu = tensorflow.config.list_physical_devices('GPU')
    slow = bfloat16_hardware() == 'avx512_bf16' and 'avx512_fp16' in _features()
    return 'bfloat16' if optimizer == 'adam' and bfloat16_hardware() and not slow and not gpu else 'float32'


def described(precision):
    """A precision in words, with what computes it."""
    return f'bfloat16 by {bfloat16_hardware() or "emulation"}' if precision == 'bfloat16' else precision
