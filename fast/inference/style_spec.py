"""Parse the value of --style: a style's name or a painting's path, or several with weights.

Examples: 'starry_night', 'starry_night:0.6,woodcut:0.4', 'a.jpg:3,b.jpg'.
"""

import math
import os
from pathlib import Path

import utils
from common.errors import UserError


def parse(text: str) -> list[tuple[str, float]]:
    """Parse the value of --style.

    Args:
        text: Names or paths, separated by commas, each with an optional ':weight'; the default weight is 1.

    Returns:
        Pairs (name or path, weight), the weights adding up to 1.

    Raises:
        UserError: A weight is not a number, is negative or infinite, or all are 0.
    """
    weights = []
    for _, weight in (parts := _parts(text)):
        try:
            weights.append(float(weight or 1))
        except ValueError:
            raise UserError(f'--style {text}: {weight} is not a number') from None
    if not (all(map(math.isfinite, weights)) and min(weights) >= 0 and sum(weights) > 0):
        raise UserError(f'--style {text}: weights must be 0 or more, and not all 0')
    return [(name, weight / sum(weights)) for (name, _), weight in zip(parts, weights)]


def names_paintings(text: str) -> bool:
    """Return whether the value of --style names paintings by their paths, as opposed to styles of a model.

    Raises:
        UserError: It names both.
    """
    names = [name for name, _ in _parts(text)]
    others = [name for name in names if not _is_painting(name)]
    if 0 < len(others) < len(names):
        raise UserError(f'--style {text}: {others[0]} is not an image; paintings and the styles of a model cannot be '
                        'mixed')
    return not others


def slug(text: str) -> str:
    """Return the value of --style in the form that becomes part of file names, for example 'b0.25+c0.75'."""
    return '+'.join((Path(name).stem if _is_painting(name) else name) + weight for name, weight in _parts(text))


def _parts(text):
    """Split the text into pairs (name, weight as text, '' if there is none); a comma in an existing path stays."""
    return [_part(part) for part in ([text] if os.path.isfile(text) else text.split(','))]


def _part(text):
    """Split 'name:weight' into name and weight; a colon in the path of an existing file belongs to the name."""
    name, colon, weight = text.rpartition(':')
    return (name, weight) if colon and not os.path.isfile(text) else (text, '')


def _is_painting(name):
    """Return whether a name is that of a file: it exists, contains a folder, or ends like an image."""
    return os.path.isfile(name) or os.path.basename(name) != name or name.lower().endswith(utils.IMAGE_SUFFIXES)
