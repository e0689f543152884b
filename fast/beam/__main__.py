"""Photos by the million: what `stylize` does, as an Apache Beam pipeline on any of Beam's runners.

    python -m fast.beam --input 'photos/*.jpg' --output out --style starry_night --runner DirectRunner

Flags that are not its own are Beam's.
"""

import sys

from common import cli, errors

REQUIREMENTS = 'requirements-beam.txt'


@errors.command_line
def main(argv=None):
    """Stylize photos as the flags say; return the exit status."""
    command = cli.load_module('fast.beam.command', REQUIREMENTS)
    parser = cli.Parser(prog='python -m fast.beam', description=__doc__.split('\n')[0],
                            epilog='Other flags are Beam\'s: --runner, --direct_num_workers, ...')
    command.add_flags(parser)
    return command.run(*parser.parse_known_args(argv))


if __name__ == '__main__':
    sys.exit(main())
