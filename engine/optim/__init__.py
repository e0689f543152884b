"""Step 3 of the handout: the optimizers of the pixels, and the image pyramid."""

from engine.optim.adam import Adam
from engine.optim.lbfgs import LBFGS

# Name in recipes -> optimizer. To add one, write a file like lbfgs.py, and add a line here and its name to recipes.py.
OPTIMIZERS = {'adam': Adam(), 'lbfgs': LBFGS()}
