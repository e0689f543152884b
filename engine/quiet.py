"""TensorFlow without its greeting, a page about GPUs that no log level stops.

Every module imports this one before it.
"""

import contextlib
import os
import sys


@contextlib.contextmanager
def _no_stderr():
    sys.stderr.flush()
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
# TensorFlow loads Keras, and Keras Matplotlib, a quarter of the seconds: kept from it, they come when asked for
_early = 'keras' not in sys.modules
if _early:
    sys.modules['keras'] = None
with _no_stderr():
    import tensorflow
    tensorflow.config.list_physical_devices('GPU')
if _early:
    del sys.modules['keras']
tensorflow.get_logger().setLevel('ERROR')  # deprecations: compat.v1 is what this project is about
