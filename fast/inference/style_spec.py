"""Styles as text: a name or a painting's path, or several with weights: starry_night:0.6,woodcut:0.4."""

import math
import os
from pathlib import Path

import utils
from common.errors import UserError


def parse(text):
    """Pairs (name, weight), weights adding up to 1. Raises `UserError` for weights that are none."""
    weights = []
    for _, weight in (parts := _parts(text)):
        try:
            weights.append(float(weight or 1))
        except ValueError:
            raise UserError(f'--style {text}: {weight} is no number') from None
    if not (all(map(math.isfinite, weights)) and min(weights) >= 0 and sum(weights) > 0):
        raise UserError(f'--style {text}: weights must be 0 or more, and not all 0')
    return [(name, weight / sum(weights)) for (name, _), weight in zip(parts, weights)]


def names_paintings(text):
    """Whether the text names paintings, by their paths. Raises `UserError` for some that are and some that are not."""
    names = [name for name, _ in _parts(text)]
    others = [name for name in names if not _is_painting(name)]
    if 0 < len(others) < len(names):
        raise UserError(f'--style {text}: {others[0]} is no image; paintings and styles of a model do not mix')
    return not others


def slug(text):
    """A style or mixture as it is in the names of pictures."""
    return '+'.join((Path(name).stem if _is_painting(name) else name) + weight for name, weight in _parts(text))


def _parts(text):
    """Pairs (name, weight as text, '' for none)."""
    return [_part(part) for part in ([text] if os.path.isfile(text) else text.split(','))]


def _part(text):
    name, colon, weight = text.rpartition(':')
    return (name, weight) if colon and not os.path.isfile(text) else (text, '')


def _is_painting(name):
    return os.path.isfile(name) or os.path.basename(name) != name or name.lower().endswith(utils.IMAGE_SUFFIXES)
