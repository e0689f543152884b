"""Fast style transfer: a network is trained once for some styles, then stylizes any photo or clip in one pass.

    python fast_style_transfer.py train --style painting.jpg --images PHOTOS --name painting
    python fast_style_transfer.py stylize photo.jpg --style starry_night

Johnson, Alahi and Fei-Fei (2016): the losses are those of `style_transfer.py`, but what is trained is a network, over
many photos, instead of the pixels of one picture.
"""

import sys

from common import cli, errors

# name -> (what it does, its module in fast.commands, where the packages are listed that it needs)
COMMANDS = {'train': ('Train a network for some styles; export it to models/<name>/.', 'train', 'requirements.txt'),
            'train-any': ('Train a network for any style; export it to models/<name>/.', 'train_any',
                          'requirements.txt'),
            'narrow': ('Write a narrow VGG-19, to train against in less time.', 'prune', 'requirements.txt'),
            'stylize': ('Stylize photos and clips in one pass each.', 'stylize', 'requirements-stylize.txt')}


@errors.command_line
def main(argv=None):
    """Train or stylize as the flags say; return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    parser = cli.Parser(description=__doc__.split('\n')[0])
    commands = parser.add_subparsers(metavar=' | '.join(COMMANDS), required=True)
    for name, (description, module_name, requirements) in COMMANDS.items():
        command = commands.add_parser(name, description=description, help=description)
        if name in argv[:1]:  # the other one is not loaded: stylize does without TensorFlow
            module = cli.load_module(f'fast.commands.{module_name}', requirements)
            module.add_flags(command)
    args = parser.parse_args(argv)
    return module.run(args)


if __name__ == '__main__':
    sys.exit(main())
