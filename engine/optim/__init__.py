"""Step 3: how the pixels move, and at which sizes."""

from engine.optim.adam import Adam
from engine.optim.lbfgs import LBFGS

# By the names that recipes give them. A new optimizer is a file like lbfgs.py, a line here and its name in recipes.py.
OPTIMIZERS = {'adam': Adam(), 'lbfgs': LBFGS()}
