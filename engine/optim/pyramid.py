"""Coarse-to-fine training: train a picture at a small size, upsample it, and train it further.

Gatys et al. (2017, Controlling Perceptual Factors) found that VGG's receptive fields are too small for the large
structures of a style in a large picture; a picture that is trained small first has them. All levels belong to one run.
"""

import copy
import dataclasses
import gc
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import skimage.transform

import recipes
import utils
from common.errors import UserError
from common.progress import Outcome
from common.tf1 import tf
from engine.optim import averaging

MIN_COARSE_SIDE_PX = 128  # minimum of the longer side of the smallest level; at 96 and below, faces are lost


class Level(NamedTuple):
    """One size of the picture in coarse-to-fine training.

    Attributes:
        width: Width in pixels.
        height: Height in pixels.
        start_step: The iteration after which this level begins.
        end_step: The last iteration of this level.
        recipe: The recipe of this level.
    """
    width: int
    height: int
    start_step: int
    end_step: int
    recipe: recipes.Recipe


def levels(recipe: recipes.Recipe, width: int, height: int) -> list[Level]:
    """Return the levels of a picture, smallest first: each has half the sides of the next one.

    Args:
        recipe: The recipe, whose `scales` is the number of levels, or 0 for as many as possible.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.

    Raises:
        UserError: A side of the smallest level has less than `utils.MIN_SIDE_PX` pixels.
    """
    halvings = min(math.log2(max(width, height) / MIN_COARSE_SIDE_PX),
                   math.log2(min(width, height) / utils.MIN_SIDE_PX))
    count = recipe.scales or 1 + max(0, int(halvings))
    if count == 1 and not recipe.scales:  # A picture with a single level gets as many steps as the smallest of several.
        recipe = dataclasses.replace(recipe, iterations=max(recipe.iterations, recipe.coarse_iterations))
    found, start_step = [], 0
    for halving in reversed(range(count)):
        coarse = max(1, round(recipe.coarse_iterations * recipe.coarse_ratio ** len(found)))
        end_step = start_step + (coarse if halving else recipe.iterations)
        size = [round(side / 2 ** halving) for side in (width, height)]
        found.append(Level(*size, start_step, end_step, recipe.for_size(max(size)) if found else recipe))
        start_step = end_step
    if count > 1 and min(found[0][:2]) < utils.MIN_SIDE_PX:
        raise UserError(f'--scales {count} of {width}×{height} begin at {found[0].width}×{found[0].height}: '
                        f'each side must have at least {utils.MIN_SIDE_PX} pixels')
    return found


def iteration_cost(levels: list[Level]) -> Callable[[int], int]:
    """Return a function that maps the number of an iteration to its cost, the number of pixels of its level."""
    return lambda step: next(level.width * level.height for level in levels if step <= level.end_step)


def upsample(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Enlarge an image [1, H, W, 3] to [1, height, width, 3] by cubic interpolation, clipped to 0 to 255."""
    large = skimage.transform.resize(image[0], (height, width), order=3, mode='edge', preserve_range=True, clip=False)
    return np.float32(large.clip(0, 255))[None]


def at_level(machine, level: Level):
    """Return a copy of a `StyleTransfer` for a level; it shares the run, and its new graph is not built yet."""
    other = copy.copy(machine)
    other.recipe, other.img_width, other.img_height = level.recipe, level.width, level.height
    other.graph, other.rng = tf.Graph(), np.random.default_rng(machine.seed)
    if (level.width, level.height) != (machine.img_width, machine.img_height):
        other.read_images()
        # Building a machine clears its convolutions; only the last level may clear those that were read.
        other.weights = machine.weights._replace(convolutions=dict(machine.weights.convolutions))
        if machine.initial_img is not None:
            other.initial_img = utils.resize_and_crop(machine.initial_img[0], level.width, level.height)[None]
    return other


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
    run = machine.run
    step = first_step = 0 if restart else run.latest_step()
    for level in levels:
        is_last = level is levels[-1]
        if step >= level.end_step and not is_last:
            continue
        current, run.start_step = at_level(machine, level), level.start_step
        if level.start_step and step == level.start_step:  # Otherwise a checkpoint of this level is resumed.
            picture = run.load_variable(step, averaging.displayed_variable(level.recipe)) + machine.weights.mean_pixels
            current.initial_img = upsample(picture, level.width, level.height)
        current.build()
        outcome = current.train(level.end_step, callback, restart and not level.start_step, write_results=is_last)
        step = outcome.step
        if is_last or outcome.ending == 'stopped':
            return outcome._replace(start_step=first_step)
        del current
        gc.collect()  # Graphs have reference cycles; this one must not stay in memory next to the larger one.
