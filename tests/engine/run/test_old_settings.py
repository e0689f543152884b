"""Settings of version 1.0, which had no stages, as those of this version."""

import dataclasses
import json

import recipes
from engine.optim import pyramid
from engine.run import old_settings

MODERN_SCHEDULE = {'scales': 0, 'coarse_iterations': 80, 'coarse_ratio': 0.6,
                   'deepest': [[400, 'conv4_1', 1.0], [700, 'conv4_1', 0.5], [1400, 'conv3_1', 0.3]]}


def old_settings_of(recipe, schedule, **others):
    """Return the settings that version 1.0 would have written for a recipe, read from JSON."""
    settings = {key: value for key, value in recipe.fingerprint().items() if key != 'stages'}
    return json.loads(json.dumps(settings | schedule | others))


def test_the_schedule_of_modern_is_kept():
    old = old_settings_of(recipes.MODERN_1_0, MODERN_SCHEDULE, name='modern', seed=0, width=512, height=384)
    new = old_settings.upgrade(old)
    assert new['name'] == 'modern-1.0' and new['seed'] == 0 and not set(MODERN_SCHEDULE) & set(new)
    assert new['stages'] == [{'width': 128, 'height': 96, 'steps': 80}, {'width': 256, 'height': 192, 'steps': 48},
                             {'width': 512, 'height': 384, 'style_layers': recipes.MODERN.style_layers[:4],
                              'style_layer_weights': (1, 1, 1, 1)}]
    assert new['stages'] == pyramid.fingerprint(recipes.MODERN_1_0, 512, 384)
    assert old_settings.upgrade(new) == new


def test_a_given_number_of_sizes_is_kept():
    schedule = {'scales': 2, 'coarse_iterations': 9, 'coarse_ratio': 1.0, 'deepest': []}
    old = old_settings_of(recipes.CS20, schedule, width=512, height=384)
    rescheduled = pyramid.reschedule(recipes.CS20, 512, 384, 2, 9)
    assert old_settings.upgrade(old)['stages'] == pyramid.fingerprint(rescheduled, 512, 384) == [
        {'width': 256, 'height': 192, 'steps': 9}, {'width': 512, 'height': 384}]
    assert old_settings.upgrade(old | {'scales': 1})['stages'] == []
    # Thin pictures have fewer sizes; the smallest of them has the steps of the smallest.
    thin = old_settings_of(recipes.MODERN_1_0, MODERN_SCHEDULE, name='modern', width=1024, height=40)
    assert [(stage['width'], stage.get('steps')) for stage in old_settings.upgrade(thin)['stages']] == [
        (512, 80), (1024, None)]


def test_a_catalog_has_the_stages_of_its_recipe():
    old = old_settings_of(recipes.MODERN_1_0, MODERN_SCHEDULE, name='modern', size=384)
    expected = recipes.MODERN_1_0.fingerprint() | {'size': 384}
    assert json.loads(json.dumps(old_settings.upgrade(old))) == json.loads(json.dumps(expected))
    cs20 = old_settings_of(dataclasses.replace(recipes.CS20), {'scales': 1}, size=384)
    assert old_settings.upgrade(cs20)['stages'] == []
