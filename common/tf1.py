"""TensorFlow without its greeting, a page about GPUs that no log level stops.

It exports `tf`, the interface of version 1, and `tf2`, for what version 2 alone has.
"""

import os
import sys

from common.process import suppress_stderr

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
# TensorFlow loads Keras, and Keras Matplotlib, a quarter of the seconds: kept from it, they come when asked for
_early = 'keras' not in sys.modules
if _early:
    sys.modules['keras'] = None
with suppress_stderr():
    import tensorflow as tf2
    import tensorflow.compat.v1 as tf  # noqa: F401
    tf2.config.list_physical_devices('GPU')
if _early:
    del sys.modules['keras']
tf2.get_logger().setLevel('ERROR')  # deprecations: compat.v1 is what this project is about
