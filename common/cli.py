"""Parse command lines with one-line errors, check numbers against their ranges, and load the module of a command."""

import argparse
import contextlib
import importlib
from collections.abc import Callable, Sequence
from typing import NoReturn

from common import errors, process
from common.errors import UserError


class Parser(argparse.ArgumentParser):
    """ArgumentParser that reports errors in one line and accepts no abbreviated flags."""

    def __init__(self, **settings):
        super().__init__(allow_abbrev=False, **settings)

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse arguments as argparse does, and register the flags of this parser for hints in error messages."""
        errors.add_known_flags(self._option_string_actions)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise `UserError` instead of printing the usage and exiting."""
        raise UserError(f'{message}; --help lists the flags')


def int_in_range(low: int, high: int) -> Callable[[str], int]:
    """Return an argparse type that accepts whole numbers from `low` to `high`, both included."""
    def parse(text):
        if not (text.lstrip('-').isdecimal() and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f'{text!r}: must be a whole number from {low} to {high}')
        return int(text)
    return parse


def float_in_range(low: float, high: float) -> Callable[[str], float]:
    """Return an argparse type that accepts numbers from `low` to `high`, both included."""
    def parse(text):
        with contextlib.suppress(ValueError):
            if low <= float(text) <= high:
                return float(text)
        raise argparse.ArgumentTypeError(f'{text!r}: must be a number from {low:g} to {high:g}')
    return parse


def load_module(name: str, requirements: str):
    """Import a module that takes a second or more to load; Ctrl-C during the import ends the process silently.

    Args:
        name: The dotted name of the module.
        requirements: The requirements file that lists the packages that the module needs.

    Returns:
        The imported module.

    Raises:
        UserError: A package that the module needs is not installed.
    """
    process.while_loading()
    try:
        module = importlib.import_module(name)
        process.after_loading()
        return module
    except ModuleNotFoundError as error:
        raise UserError(f'the package {error.name} is missing: pip install -r {requirements}') from error
