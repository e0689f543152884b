"""Stylize any number of photos with an Apache Beam pipeline, on any of Beam's runners.

    python -m fast.beam --input 'photos/*.jpg' --output out --style starry_night --runner DirectRunner

The pictures are those of `python fast_style_transfer.py stylize`. Unknown flags are passed on to Beam.
"""

import sys
from collections.abc import Sequence

from common import cli, errors

REQUIREMENTS = 'requirements-beam.txt'


@errors.command_line
def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, run the pipeline and return the exit status."""
    command = cli.load_module('fast.beam.command', REQUIREMENTS)
    parser = cli.Parser(prog='python -m fast.beam', description=__doc__.split('\n')[0],
                        epilog='All other flags are passed on to Beam, for example --runner or --direct_num_workers.')
    command.add_flags(parser)
    return command.run(*parser.parse_known_args(argv))


if __name__ == '__main__':
    sys.exit(main())
