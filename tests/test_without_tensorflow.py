"""The code that stylizes photos needs only the packages of requirements-stylize.txt.

`.ci/run` runs this file in an environment with only these packages; elsewhere the other packages are hidden.
"""

import importlib.util
import subprocess
import sys

from common import paths

# Packages of requirements.txt that requirements-stylize.txt does not have.
HIDDEN = 'tensorflow', 'keras', 'scipy', 'skimage', 'matplotlib', 'tensorboard', 'av'
PROGRAM = """
import importlib, sys
hidden, names = sys.argv[1].split(','), sys.argv[2:]
sys.modules |= dict.fromkeys(hidden)
for name in names:
    importlib.import_module(name)
"""


def test_common_and_inference_import_without_tensorflow():
    names = ['.'.join(path.relative_to(paths.ROOT).with_suffix('').parts)
             for folder in ('common', 'fast/inference') for path in (paths.ROOT / folder).glob('[!_]*.py')]
    names.remove('common.tf1')
    assert len(names) > 15
    hidden = [name for name in HIDDEN if importlib.util.find_spec(name)]
    subprocess.run([sys.executable, '-c', PROGRAM, ','.join(hidden), *names], cwd=paths.ROOT, check=True)
