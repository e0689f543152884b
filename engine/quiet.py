"""TensorFlow without its greeting, a page about GPUs that no log level stops.

Every module imports this one before it.
"""

import os
import sys

from engine.silence import no_stderr


os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
# TensorFlow loads Keras, and Keras Matplotlib, a quarter of the seconds: kept from it, they come when asked for
_early = 'keras' not in sys.modules
if _early:
    sys.modules['keras'] = None
with no_stderr():
    import tensorflow
    tensorflow.config.list_physical_devices('GPU')
if _early:
    del sys.modules['keras']
tensorflow.get_logger().setLevel('ERROR')  # deprecations: compat.v1 is what this project is about
