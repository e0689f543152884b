"""Recipes: their hyperparameters against the published ones, their ranges, the flags that change them, and logging."""

import argparse
import dataclasses

import pytest

import recipes
from common.errors import UserError
from engine.cli import flags


def test_cs20_has_the_hyperparameters_of_the_handout():
    cs20 = recipes.CS20
    assert cs20.content_layers == ('conv4_2',) and cs20.content_coefficient == '1/(4s)'
    assert cs20.style_layers == ('conv1_1', 'conv2_1', 'conv3_1', 'conv4_1', 'conv5_1')
    assert cs20.style_layer_weights == (0.5, 1, 1.5, 3, 4) and cs20.style_coefficient == '1/(4N²M²)'
    assert cs20.content_weight / cs20.style_weight == pytest.approx(1 / 20)
    assert (cs20.noise_ratio, cs20.noise_amplitude, cs20.learning_rate, cs20.iterations) == (0.6, 20, 2, 300)


def test_the_other_recipes_have_the_hyperparameters_of_their_sources():
    stylenet, tutorial, gatys = recipes.STYLENET, recipes.LBFGS_TUTORIAL, recipes.GATYS
    assert (stylenet.content_weight, stylenet.style_weight, stylenet.tv_weight) == (5, 500, 100)
    assert (stylenet.learning_rate, stylenet.beta1, stylenet.beta2, stylenet.iterations) == (10, 0.9, 0.999, 100)
    assert [step for step in range(1, 101) if stylenet.should_log(step)] == [25, 50, 75, 100]
    assert (tutorial.init, tutorial.optimizer, tutorial.pooling, tutorial.iterations) == (
        'content', 'lbfgs', 'max', 300)
    assert (tutorial.content_weight, tutorial.style_coefficient) == (1, '1/(N⁴M²)')
    assert gatys.style_layer_weights == (0.2,) * 5 and gatys.content_coefficient == '1/2' and gatys.pooling == 'avg'


@pytest.mark.parametrize('argv, message', [
    (['--init', 'content', '--noise-ratio', '0.5'], '--noise-ratio does nothing with --init content'),
    (['--optimizer', 'lbfgs', '--beta1', '0.5'], '--beta1 does nothing with --optimizer lbfgs'),
    (['--recipe', 'lbfgs', '--learning-rate', '1'], '--learning-rate does nothing with --optimizer lbfgs'),
    (['--style-scale', '2'], '--style-scale does nothing with --style-fit crop'),
    (['--optimizer', 'lbfgs', '--averaging', '0.9'], '--averaging does nothing with --optimizer lbfgs'),
    (['--recipe', 'stylenet', '--noise-ratio', '1'], '--noise-ratio does nothing with --init normal'),
    (['--content-weight', '0', '--style-weight', '0'], 'both 0')])
def test_flags_without_effect_are_refused(argv, message):
    parser = argparse.ArgumentParser()
    flags.add_recipe_flags(parser)
    with pytest.raises(UserError, match=message):
        flags.recipe(parser.parse_args(argv))


def test_the_log_schedule_of_cs20_gets_sparser():
    logged = [step for step in range(1, 101) if recipes.CS20.should_log(step)]
    assert logged == [1, 2, 3, 4, 5, 10, 20, 40, 60, 80, 100]


def test_a_recipe_is_immutable_and_checks_its_values():
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipes.CS20.style_weight = 2
    for bad_settings in (dict(style_weight=-1), dict(style_weight=float('nan')), dict(content_layers=()),
                         dict(content_layers=('conv9_9',)), dict(style_layer_weights=(1.,)), dict(iterations=0)):
        with pytest.raises(UserError):
            dataclasses.replace(recipes.CS20, **bad_settings)


def test_a_flag_changes_only_its_own_setting():
    parser = argparse.ArgumentParser()
    flags.add_recipe_flags(parser)
    changed = flags.recipe(parser.parse_args(['--style-weight', '7', '--style-layer-weights', '1,2,3,4,5']))
    assert changed == dataclasses.replace(recipes.CS20, style_weight=7., style_layer_weights=(1., 2., 3., 4., 5.))


def test_strength_scales_the_style_weight():
    parser = argparse.ArgumentParser()
    flags.add_strength_flag(parser)
    flags.add_recipe_flags(parser)
    for strength, factor in (('0', 0.2), ('0.5', 1), ('0.75', 5 ** 0.5), ('1', 5)):
        recipe = flags.recipe(parser.parse_args(['--recipe', 'modern', '--strength', strength]))
        assert recipe.style_weight == pytest.approx(recipes.MODERN.style_weight * factor)
        assert dataclasses.replace(recipe, style_weight=1.) == dataclasses.replace(recipes.MODERN, style_weight=1.)
    with pytest.raises(UserError, match='--strength and --style-weight: give only one of the two'):
        flags.recipe(parser.parse_args(['--strength', '0.5', '--style-weight', '2']))
    with pytest.raises(SystemExit):
        parser.parse_args(['--strength', '1.1'])


def test_the_fingerprint_has_only_settings_that_affect_the_picture():
    fingerprint = recipes.CS20.fingerprint()
    assert set(fingerprint) == {field.name for field in dataclasses.fields(recipes.Recipe)} - {
        'iterations', 'log_schedule', 'size'}
