"""Fast style transfer: train a feed-forward network once, then stylize any photo or clip in a single pass.

    python fast_style_transfer.py train --style painting.jpg --images PHOTOS --name painting
    python fast_style_transfer.py stylize photo.jpg --style starry_night

The method is that of Johnson, Alahi and Fei-Fei (2016). The losses are those of style_transfer.py, but they train a
network on many photos instead of the pixels of one picture.
"""

import sys
from collections.abc import Sequence

from common import cli, errors

# name -> (description, module in fast.commands, file that lists the packages it needs)
COMMANDS = {'train': ('Train a multi-style network and export it to models/<name>/.', 'train', 'requirements.txt'),
            'train-any': ('Train an arbitrary style network and export it to models/<name>/.', 'train_any',
                          'requirements.txt'),
            'narrow': ('Write a VGG-19 with fewer channels, which makes training faster.', 'prune',
                       'requirements.txt'),
            'stylize': ('Stylize photos and clips, each in a single pass.', 'stylize', 'requirements-stylize.txt')}


@errors.command_line
def main(argv: Sequence[str] | None = None) -> int:
    """Run the subcommand that the command line names; return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    parser = cli.Parser(description=__doc__.split('\n')[0])
    commands = parser.add_subparsers(metavar=' | '.join(COMMANDS), required=True)
    for name, (description, module_name, requirements) in COMMANDS.items():
        command = commands.add_parser(name, description=description, help=description)
        if name in argv[:1]:  # Load only the chosen module: stylize must work without TensorFlow.
            module = cli.load_module(f'fast.commands.{module_name}', requirements)
            module.add_flags(command)
    args = parser.parse_args(argv)
    return module.run(args)


if __name__ == '__main__':
    sys.exit(main())
