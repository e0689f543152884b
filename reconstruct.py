"""What each layer keeps: the content image rebuilt from single layers, the style from ever more of them.

    python reconstruct.py --content photo.jpg --style painting.jpg

As figure 1 of Gatys, Ecker and Bethge (2015): pictures trained from noise, above by content loss alone, below by style
loss alone. Writes outputs/reconstruction/<content>-<style>.png.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

from common import process

if __name__ == '__main__':
    process.while_loading()  # before the imports that take seconds

import imageio.v3 as iio

import load_vgg
import recipes
import style_transfer
import utils
from common import cli, errors, progress, vgg_layers
from engine.cli import flags
from engine.results import figures

SIZE_PX = 200, 150
MAX_EVALUATIONS = 90
CONTENT_LAYERS = ('conv1_2', 'conv2_2', 'conv3_2', 'conv4_2', 'conv5_2')
LOG_NEVER = ((float('inf'), recipes.MAX_ITERATIONS),)  # no numbered pictures but the last


def reconstructions(content, style, content_layers, style_layers, evaluations):
    """The pictures to train: two rows of (label, name of the run, recipe).

    Above the paper's content loss at each of `content_layers`, below its style loss at the first, the first two, … of
    `style_layers`.
    """
    shared = dict(iterations=evaluations, log_schedule=LOG_NEVER)
    top = [(layer, f'reconstruction-{content.stem}-content-{layer}', dataclasses.replace(
        recipes.GATYS, content_layers=(layer,), content_layer_weights=(1.,), style_weight=0., **shared))
        for layer in content_layers]
    bottom = []
    for n, last in enumerate(style_layers, start=1):
        label = last if n == 1 else f'{style_layers[0]} … {last}'
        bottom.append((label, f'reconstruction-{style.stem}-style-{last}', dataclasses.replace(
            recipes.GATYS, style_layers=style_layers[:n], style_layer_weights=(1 / n,) * n, content_weight=0.,
            **shared)))
    return top, bottom


def _layers(text):
    layers = tuple(text.split(','))
    wrong = [layer for layer in layers if layer not in vgg_layers.FEATURES]
    if wrong or len(set(layers)) < len(layers):
        raise argparse.ArgumentTypeError(f'{text!r}: must be different layers of {vgg_layers.FEATURES[0]} … '
                                         f'{vgg_layers.FEATURES[-1]}')
    return layers


def _flags(argv):
    parser = cli.Parser(description=__doc__.split('\n')[0])
    flags.add_image_flags(parser, SIZE_PX)
    for kind, layers, what in (('content', CONTENT_LAYERS, 'one a picture'),
                               ('style', recipes.GATYS.style_layers, 'one more a picture')):
        parser.add_argument(f'--{kind}-layers', type=_layers, default=layers, metavar='LAYER,...',
                            help=f'layers to rebuild the {kind} from, {what} (default: {",".join(layers)})')
    parser.add_argument(
        '--iterations',
        type=cli.int_in_range(1, recipes.MAX_ITERATIONS),
        default=MAX_EVALUATIONS,
        metavar='N',
        help='evaluations of L-BFGS a picture (default: %(default)s)',
    )
    return parser.parse_args(argv)


@errors.command_line
def main(argv=None):
    """Train the pictures, those that an earlier call has left unfinished too, and put them into one figure."""
    args = _flags(argv)
    (width, height), whence = flags.size(args, SIZE_PX)
    weights = load_vgg.read_weights(load_vgg.find_weights(args.vgg))
    print(f'{args.content} and {args.style}, {width}×{height}{whence}\nweights {weights.path}: {weights.description}')
    rows = []
    planned = reconstructions(args.content, args.style, args.content_layers, args.style_layers, args.iterations)
    for path, row in zip((args.content, args.style), planned):
        rows.append([(path.stem, utils.get_resized_image(path, width, height)[0])])
        for label, name, recipe in row:
            machine = style_transfer.StyleTransfer(path, path, width, height, recipe=recipe, vgg=weights.path,
                                                   seed=flags.seed(args), precision=flags.precision(args, recipe),
                                                   threads=args.threads, name=name)
            machine.check_memory()
            machine.build()
            with progress.ProgressBar(recipe.iterations) as shown:
                outcome = machine.train(recipe.iterations, shown, args.restart)
            if not progress.report_ending(outcome, machine.run.name, args.restart):
                return 130
            print(f'{label}: {machine.run.outputs / "final.png"}')
            rows[-1].append((label, iio.imread(machine.run.outputs / 'final.png')))
    figure = Path('outputs', 'reconstruction', f'{args.content.stem}-{args.style.stem}.png')
    figures.labeled_grid(figure, rows)
    print(figure)


if __name__ == '__main__':
    sys.exit(main())
