"""Coarse-to-fine training: train a picture at a small size, upsample it, and train it further.

Gatys et al. (2017, Controlling Perceptual Factors) found that VGG's receptive fields are too small for the large
structures of a style in a large picture; a picture that is trained small first has them. All levels belong to one run.
"""

import copy
import dataclasses
import gc
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import skimage.transform

import load_vgg
import recipes
import utils
from common import paths
from common.errors import UserError
from common.progress import Outcome
from common.tf1 import tf
from common.vgg_layers import CONVOLUTIONS
from engine.optim import averaging, shared_graph

MIN_COARSE_SIDE_PX = 128  # minimum of the longer side of the smallest level; at 96 and below, faces are lost
SCHEDULE_SETTINGS = 'scales', 'coarse_iterations', 'coarse_ratio'  # of `reschedule`
COARSE_STEPS = 200  # steps at each size but the last of recipes that have no stages, for example CS20's with --scales 3
PRUNED_DEPTH = 'conv5_1'  # the deepest layer of the pruned network
PRUNED_COST = 0.3  # time of a step with the pruned network, relative to one with the full network
# Time of a step whose deepest layer is the first one of a block, relative to one that goes down to conv5_1.
COST_UP_TO_BLOCK = {'conv1': 0.03, 'conv2': 0.16, 'conv3': 0.31, 'conv4': 0.66, 'conv5': 1.}


class Level(NamedTuple):
    """A stage of the training of one picture.

    Attributes:
        width: Width in pixels.
        height: Height in pixels.
        start_step: The iteration after which this level begins.
        end_step: The last iteration of this level.
        recipe: The recipe of this level, which has no stages.
        network: The network, `recipes.FULL` or `recipes.PRUNED`.
    """
    width: int
    height: int
    start_step: int
    end_step: int
    recipe: recipes.Recipe
    network: str = recipes.FULL


def levels(recipe: recipes.Recipe, width: int, height: int, weights: Path | None = None) -> list[Level]:
    """Return the levels of a picture, in the order of training; see `recipes.Stage`.

    Args:
        recipe: The recipe with its stages.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        weights: The path of the VGG-19 weights. The pruned network is used only if they are the bundled ones.
    """
    can_prune = (weights is not None and weights.resolve() == paths.WEIGHTS.resolve()
                 and paths.PRUNED_WEIGHTS.exists())
    coarse, last = ([stage for stage in recipe.stages if stage.is_last_size == is_last] for is_last in (False, True))
    halvings = 0
    if coarse:
        largest = min(max(width, height) / coarse[0].side, min(width, height) / utils.MIN_SIDE_PX)
        halvings = max(0, int(math.log2(largest) + 1e-9))
    if halvings:  # The stages for a picture with a single size are not needed.
        last = [stage for stage in last if stage.side > coarse[0].side] or last
    found, start_step = [], 0
    for halving in range(halvings, -1, -1):
        # A thin picture may begin at a large size, but its first stage is the first one of the recipe.
        side = 0 if coarse and halving == halvings else max(width, height) / 2 ** halving
        for stage in _stages_at(coarse if halving else last, side):
            end_step = start_step + (stage.steps or recipe.iterations)
            size = [round(side / 2 ** halving) for side in (width, height)]
            found.append(Level(*size, start_step, end_step, *_recipe_and_network(recipe, stage, can_prune)))
            start_step = end_step
    final = found[-1]
    steps = recipe.iterations if halvings else max(recipe.iterations, final.end_step - final.start_step)
    return [*found[:-1], final._replace(end_step=final.start_step + steps, network=recipes.FULL)]


def fingerprint(recipe: recipes.Recipe, width: int, height: int, weights: Path | None = None) -> list[dict]:
    """Return the levels of a picture for the fingerprint of its run; arguments as in `levels`.

    Each level is a dict name -> value of its size, its number of steps, and the settings in which it differs from the
    recipe. The number of steps of the last level is left out, so that a run can be continued. The list is empty if the
    recipe itself is the only level.
    """
    found = []
    for level in levels(recipe, width, height, weights):
        own, shared = level.recipe.fingerprint(), recipe.fingerprint()
        found.append({'width': level.width, 'height': level.height, 'steps': level.end_step - level.start_step,
                      **({'network': level.network} if level.network != recipes.FULL else {}),
                      **{name: value for name, value in own.items() if value != shared[name] and name != 'stages'}})
    del found[-1]['steps']
    return found if found != [{'width': width, 'height': height}] else []


def _stages_at(stages, side):
    """Return the stages with the largest `side` up to the given one, or with the smallest; without any, a plain one."""
    if not stages:
        return [recipes.Stage()]
    sides = [stage.side for stage in stages]
    reached = max((start for start in sides if start <= side + 0.5), default=min(sides))  # Sizes are rounded.
    return [stage for stage in stages if stage.side == reached]


def _recipe_and_network(recipe, stage, can_prune):
    """Return the recipe of a stage, and its network: the pruned one lacks the layers below `PRUNED_DEPTH`."""
    recipe = stage.apply(recipe)
    depth = load_vgg.deepest_index(recipe.content_layers + recipe.style_layers)
    is_deep = depth > CONVOLUTIONS.index(PRUNED_DEPTH)
    return recipe, stage.network if can_prune and not is_deep else recipes.FULL


def reschedule(recipe: recipes.Recipe, width: int, height: int, scales: int | None = None,
               coarse_iterations: int | None = None, coarse_ratio: float | None = None) -> recipes.Recipe:
    """Return a recipe whose stages are changed as the flags of the same names say.

    Args:
        recipe: The recipe.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        scales: Number of sizes; 0 for as many as possible; 1 for only the recipe's own settings, without stages; None
            for the number of the recipe.
        coarse_iterations: Steps of the first stage; those of the others at smaller sizes change in proportion.
        coarse_ratio: Steps at each further size but the last, relative to those at the size before.

    Raises:
        UserError: The picture has a single size, for which the other settings have no effect, or a side of the smallest
            size has less than `utils.MIN_SIDE_PX` pixels.
    """
    if scales is coarse_iterations is coarse_ratio is None:
        return recipe
    coarse = [stage for stage in recipe.stages if not stage.is_last_size]
    if scales == 1 or (scales is None and not coarse):
        for name, value in (('iterations', coarse_iterations), ('ratio', coarse_ratio)):
            if value is not None:
                raise UserError(f'--coarse-{name} does nothing with --scales 1')
        return dataclasses.replace(recipe, stages=())
    if not 0 <= (scales or 0) <= recipes.MAX_SIZES:
        raise UserError(f'--scales {scales}: must be from 0 to {recipes.MAX_SIZES}')
    smallest = [int(side / 2 ** (scales - 1)) for side in (width, height)] if scales else [MIN_COARSE_SIDE_PX]
    if min(smallest) < utils.MIN_SIDE_PX:
        raise UserError(f'--scales {scales} of {width}×{height} begin at {smallest[0]}×{smallest[1]}: '
                        f'each side must have at least {utils.MIN_SIDE_PX} pixels')
    first = max(width, height) / 2 ** (scales - 1) if scales else coarse[0].side if coarse else MIN_COARSE_SIDE_PX
    if not coarse:
        stages = recipes.halving_stages(first, coarse_iterations or COARSE_STEPS, coarse_ratio or 1.)
        return dataclasses.replace(recipe, stages=stages)
    if recipe.name == recipes.MODERN_1_0.name:  # Its schedule was given by these numbers.
        steps, ratio, limits = recipes.SCHEDULE_1_0
        stages = recipes.halving_stages(first, coarse_iterations or steps, coarse_ratio or ratio, limits)
        return dataclasses.replace(recipe, stages=stages)
    smallest_side = coarse[0].side
    kept = [dataclasses.replace(stage, side=first) if stage.side == smallest_side else stage
            for stage in coarse if stage.side == smallest_side or stage.side > first]
    first_steps, sides = kept[0].steps, sorted({stage.side for stage in kept})
    factor = (coarse_iterations or first_steps) / first_steps
    for i, stage in enumerate(kept):
        steps = first_steps * coarse_ratio ** sides.index(stage.side) if coarse_ratio else stage.steps
        kept[i] = dataclasses.replace(stage, steps=max(1, round(factor * steps)))
    return dataclasses.replace(recipe, stages=(*kept, *(stage for stage in recipe.stages if stage.is_last_size)))


def iteration_cost(levels: list[Level]) -> Callable[[int], float]:
    """Return a function that maps the number of an iteration to its cost, in pixels of the whole network."""
    def cost(step):
        level = next(level for level in levels if step <= level.end_step)
        deepest = CONVOLUTIONS[load_vgg.deepest_index(level.recipe.content_layers + level.recipe.style_layers)]
        share = COST_UP_TO_BLOCK[deepest[:len('conv1')]] * (PRUNED_COST if level.network == recipes.PRUNED else 1)
        return level.width * level.height * share
    return cost


def upsample(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Enlarge an image [1, H, W, 3] to [1, height, width, 3] by cubic interpolation, clipped to 0 to 255.

    An image that has this size already is returned as it is.
    """
    if image.shape[1:3] == (height, width):
        return image
    large = skimage.transform.resize(image[0], (height, width), order=3, mode='edge', preserve_range=True, clip=False)
    return np.float32(large.clip(0, 255))[None]


def at_level(machine, level: Level, is_last: bool = True, before=None):
    """Return a copy of a `StyleTransfer` for a level; it shares the run.

    Args:
        machine: The `StyleTransfer`.
        level: The level.
        is_last: Whether the level is the last one, which needs the weights last.
        before: The copy for the level before, if its graph is used again; else the graph is new, and not built yet.
    """
    other = copy.copy(before or machine)
    other.recipe, other.img_width, other.img_height = level.recipe, level.width, level.height
    other.can_converge = is_last  # Iterations are counted over all levels, so an earlier one has its number of steps.
    other.rng = np.random.default_rng(machine.seed)
    other.initial_img, other.images = machine.initial_img, machine.images
    if level.network == recipes.PRUNED:
        other.weights = load_vgg.read_weights(paths.PRUNED_WEIGHTS) if before is None else before.weights
    elif not is_last:  # Building a machine clears its convolutions; only the last level may clear those that were read.
        other.weights = machine.weights._replace(convolutions=dict(machine.weights.convolutions))
    if (level.width, level.height) != (machine.img_width, machine.img_height):
        other.read_images()
        if machine.initial_img is not None:
            other.initial_img = utils.resize_and_crop(machine.initial_img[0], level.width, level.height)[None]
    if before is None:
        other.graph = tf.Graph()
    return other


def _build(machine, shared):
    """Build the graph of a level, or set its size and targets in a `SharedGraph` that is built already."""
    is_built, machine.shared = shared is not None and machine.shared is shared, shared
    if shared:
        shared.image_shape, machine.graph = [1, machine.img_height, machine.img_width, 3], shared.graph
    if is_built:
        machine.center_images()
        machine.objective = machine.objective.for_picture(machine)
        shared.set_values(machine.objective.values())
    else:
        machine.build()


def train_levels(machine, levels: list[Level], callback: Callable | None = None, restart: bool = False) -> Outcome:
    """Train a `StyleTransfer` through its levels, starting from the newest checkpoint of its run.

    Args:
        machine: The `StyleTransfer`, which is not built.
        levels: Its levels, as `levels` returns them.
        callback: Called with a `progress.Iteration` after each iteration.
        restart: Whether to ignore and remove the checkpoints.

    Returns:
        The outcome of the last level that was trained.
    """
    run, machine.extractors, current = machine.run, {}, None  # `at_level` shares the dict.
    step = first_step = 0 if restart else run.latest_step()
    for level, shared in zip(levels, shared_graph.of_levels(levels, machine.mask_path is not None)):
        is_last = level is levels[-1]
        if step >= level.end_step and not is_last:
            continue
        before = current if current and shared and current.shared is shared else None
        if not before:
            current = None
            gc.collect()  # Graphs have reference cycles; one must not stay in memory next to a larger one.
        current, run.start_step = at_level(machine, level, is_last, before), level.start_step
        if level.start_step and step == level.start_step:  # Otherwise a checkpoint of this level is resumed.
            before = levels[levels.index(level) - 1].recipe
            picture = run.load_variable(step, averaging.displayed_variable(before)) + machine.weights.mean_pixels
            current.initial_img = upsample(picture, level.width, level.height)
        _build(current, shared)
        if is_last:
            machine.extractors.clear()
        outcome = current.train(level.end_step, callback, restart and not level.start_step, write_results=is_last)
        step = outcome.step
        if is_last or outcome.ending == 'stopped':
            return outcome._replace(start_step=first_step)
