"""Coarse to fine: a picture is trained small first, enlarged, and trained on.

Gatys et al. (2017, Controlling Perceptual Factors) found that VGG's receptive fields are too small for the large
structures of a style in a large picture; trained small first it has them. All sizes are one run.
"""

import dataclasses
import gc
import math
from typing import NamedTuple

import numpy as np
import skimage.transform

import recipes
import utils
from common.errors import UserError
from engine.optim import averaging

MIN_COARSE_SIDE_PX = 128  # pixels of the longer side at the smallest size, at least: from 96 on faces are lost


class Level(NamedTuple):
    """A size of the picture, the iterations after `offset` up to `end` that it is trained for, and by which recipe."""
    width: int
    height: int
    offset: int
    end: int
    recipe: recipes.Recipe


def levels(recipe, width, height):
    """The `Level` of each size, smallest first: each of half the next one's sides, the last is width × height.

    Raises `UserError` where that makes a side of less than `utils.MIN_SIDE_PX` pixels.
    """
    by_itself = min(
        math.log2(max(width, height) / MIN_COARSE_SIDE_PX), math.log2(min(width, height) / utils.MIN_SIDE_PX)
    )
    count = recipe.scales or 1 + max(0, int(by_itself))
    if count == 1 and not recipe.scales:  # the smallest of those that come by themselves
        recipe = dataclasses.replace(recipe, iterations=max(recipe.iterations, recipe.coarse_iterations))
    scales, begin = [], 0
    for halvings in reversed(range(count)):
        coarse = max(1, round(recipe.coarse_iterations * recipe.coarse_ratio ** len(scales)))
        end = begin + (coarse if halvings else recipe.iterations)
        size = [round(side / 2 ** halvings) for side in (width, height)]
        scales.append(Level(*size, begin, end, recipe.for_size(max(size)) if scales else recipe))
        begin = end
    if count > 1 and min(scales[0][:2]) < utils.MIN_SIDE_PX:
        raise UserError(f'--scales {count} of {width}×{height} begin at {scales[0].width}×{scales[0].height}: '
                        f'each side must be of at least {utils.MIN_SIDE_PX} pixels')
    return scales


def iteration_cost(pyramid):
    """What an iteration takes, as `progress.ProgressBar` has it: a function of its number, the pixels of its size."""
    return lambda step: next(scale.width * scale.height for scale in pyramid if step <= scale.end)


def upsample(image, width, height):
    """[1, H, W, 3] of 0-255 enlarged to [1, height, width, 3] by cubic interpolation, clipped to what pixels are."""
    large = skimage.transform.resize(image[0], (height, width), order=3, mode='edge', preserve_range=True, clip=False)
    return np.float32(large.clip(0, 255))[None]


def train_levels(make_machine, pyramid, run, callback=None, restart=False):
    """Train through the sizes from where the newest checkpoint of `run` is; return the last `progress.Outcome`.

    make: a Scale -> its `StyleTransfer`, not built, with `run` as its own
    """
    step = begun = 0 if restart else run.latest_step()
    for scale in pyramid:
        if step >= scale.end and scale is not pyramid[-1]:
            continue
        machine = make_machine(scale)
        run.offset = scale.offset
        if scale.offset and step == scale.offset:  # else a checkpoint of this size is what it goes on from
            picture = run.load_variable(step, averaging.displayed_variable(scale.recipe)) + machine.weights.mean_pixels
            machine.initial_img = upsample(picture, scale.width, scale.height)
        machine.build()
        last = scale is pyramid[-1]
        outcome = machine.train(scale.end - scale.offset, callback, restart and not scale.offset, write_results=last)
        step = outcome.step
        if last or outcome.ending == 'stopped':
            return outcome._replace(start_step=begun)
        del machine
        gc.collect()  # its graph refers to itself, and would stay beside the next, larger one
