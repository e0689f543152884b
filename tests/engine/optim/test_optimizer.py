"""The optimizers against the names that recipes accept."""

import recipes
from engine.optim import OPTIMIZERS
from engine.optim.optimizer import Optimizer


def test_recipes_can_name_every_optimizer():
    assert tuple(OPTIMIZERS) == recipes.Recipe.__dataclass_fields__['optimizer'].metadata['choices']
    assert all(isinstance(optimizer, Optimizer) for optimizer in OPTIMIZERS.values())
