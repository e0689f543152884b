"""Reading a command line: mistakes in one line, numbers within their ranges; and loading the module of a command."""

import argparse
import contextlib
import importlib

from common import errors, process
from common.errors import UserError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line and that takes no abbreviated flags."""

    def __init__(self, **settings):
        super().__init__(allow_abbrev=False, **settings)

    def parse_known_args(self, args=None, namespace=None):
        """As argparse has it; messages may name these flags from now on."""
        errors.add_known_flags(self._option_string_actions)
        return super().parse_known_args(args, namespace)

    def error(self, message):
        """Raise `UserError` in place of printing the usage."""
        raise UserError(f'{message}; --help lists the flags')


def int_in_range(low, high):
    """A type for argparse: a whole number from low to high."""
    def parse(text):
        if not (text.lstrip('-').isdecimal() and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f'{text!r}: must be a whole number from {low} to {high}')
        return int(text)
    return parse


def float_in_range(low, high):
    """A type for argparse: a number from low to high."""
    def parse(text):
        with contextlib.suppress(ValueError):
            if low <= float(text) <= high:
                return float(text)
        raise argparse.ArgumentTypeError(f'{text!r}: must be a number from {low:g} to {high:g}')
    return parse


def load_module(name, requirements):
    """The module `name`, which takes a second or more to load and needs the packages that `requirements` lists."""
    process.while_loading()
    try:
        module = importlib.import_module(name)
        process.after_loading()
        return module
    except ModuleNotFoundError as error:
        raise UserError(f'the package {error.name} is missing: pip install -r {requirements}') from error
