"""Read the settings of runs and catalogs of version 1.0, whose recipes have no stages."""

import math

import recipes
import utils
from engine.optim import pyramid

# Settings that version 1.0 has instead of stages, with their values in runs with a single size.
OLD_SCHEDULE = {'scales': 1, 'coarse_iterations': 200, 'coarse_ratio': 1., 'deepest': ()}


def upgrade(settings: dict) -> dict:
    """Return the settings of a run, a catalog or a picture as this version has them, name -> value.

    The recipe `modern` of version 1.0 is now `recipes.MODERN_1_0`, so that its runs go on under their old schedule.
    """
    if 'scales' not in settings:
        return settings
    new = {key: value for key, value in settings.items() if key not in OLD_SCHEDULE}
    if new.get('name') == recipes.MODERN.name:
        new['name'] = recipes.MODERN_1_0.name
    schedule = [settings.get(key, default) for key, default in OLD_SCHEDULE.items()]
    make_stages = _run_stages if 'width' in new else _catalog_stages
    return new | {'stages': make_stages(new, *schedule)}


def _run_stages(settings, scales, steps, ratio, limits):
    """Return what `pyramid.fingerprint` says about the levels that version 1.0 gave to a picture."""
    if scales == 1:
        return []
    width, height = settings['width'], settings['height']
    halvings = scales - 1 if scales else max(0, int(min(
        math.log2(max(width, height) / pyramid.MIN_COARSE_SIDE_PX), math.log2(min(width, height) / utils.MIN_SIDE_PX))))
    values = {name: tuple(value) if isinstance(value, list) else value
              for name, value in settings.items() if name in recipes.FIELD_NAMES}
    stages = recipes.halving_stages(max(width, height) / 2 ** halvings, steps, ratio, limits)
    return pyramid.fingerprint(recipes.Recipe(**values, stages=stages), width, height)


def _catalog_stages(settings, scales, steps, ratio, limits):
    """Return the stages that the recipe of a catalog has today; they are the same for all of its pictures."""
    if scales == 1:
        return []
    side = settings['size'] / 2 ** (scales - 1) if scales else pyramid.MIN_COARSE_SIDE_PX
    return [stage.fingerprint() for stage in recipes.halving_stages(side, steps, ratio, limits)]
