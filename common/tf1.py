"""Import TensorFlow without its start-up messages, some of which ignore the log level.

Exports `tf`, the interface of version 1, and `tf2`, for features that only version 2 has.
"""

import gc
import os
import sys

from common.process import suppress_stderr

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
# TensorFlow imports Keras, which imports Matplotlib; the two take a quarter of the import time. Blocking Keras here
# defers both until something uses them.
_defer_keras = 'keras' not in sys.modules
if _defer_keras:
    sys.modules['keras'] = None
# The garbage collector takes a fifth of the time of this import, and a tenth of that of building a graph, to look at
# objects that all stay alive.
gc.disable()
with suppress_stderr():
    import tensorflow as tf2
    import tensorflow.compat.v1 as tf  # noqa: F401
    tf2.config.list_physical_devices('GPU')
gc.freeze()
gc.set_threshold(50_000, 20, 20)
gc.enable()
if _defer_keras:
    del sys.modules['keras']
tf2.get_logger().setLevel('ERROR')  # Hide deprecation warnings: this project uses compat.v1 on purpose.
