"""A command's module, loaded when it is asked for; a package that it lacks is named."""

import importlib

from engine import interrupts
from engine.messages import UserError


def loaded(name, requirements):
    """The module `name`, which takes a second or more to load and needs the packages that `requirements` lists."""
    interrupts.while_loading()
    try:
        module = importlib.import_module(name)
        interrupts.once_loaded()
        return module
    except ModuleNotFoundError as error:
        raise UserError(f'the package {error.name} is missing: pip install -r {requirements}') from error
