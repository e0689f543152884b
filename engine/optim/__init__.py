"""Step 3 of the handout: the optimizers of the pixels, and the image pyramid."""

from engine.optim.adam import Adam
from engine.optim.lbfgs import LBFGS
from engine.optim.multiscale_adam import MultiscaleAdam

# Name in recipes -> optimizer. To add one, write a file like lbfgs.py, and add a line here and its name to recipes.py.
OPTIMIZERS = {'adam': Adam(), 'multiscale-adam': MultiscaleAdam(), 'lbfgs': LBFGS()}


def takes_bfloat16(recipe) -> bool:
    """Return whether all stages of a `recipes.Recipe` work with losses and gradients that are computed in bfloat16."""
    names = {recipe.optimizer, *(stage.optimizer for stage in recipe.stages if stage.optimizer)}
    return all(OPTIMIZERS[name].takes_bfloat16 for name in names)
