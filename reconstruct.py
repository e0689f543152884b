"""Show what each VGG-19 layer keeps: content reconstructed from single layers, style from more and more layers.

    python reconstruct.py --content photo.jpg --style painting.jpg

This reproduces figure 1 of Gatys, Ecker and Bethge (2015): pictures are trained from noise, in the upper row with only
the content loss, in the lower row with only the style loss. The figure is outputs/reconstruction/<content>-<style>.png.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from common import process

if __name__ == '__main__':
    process.while_loading()  # The imports below take seconds.

import imageio.v3 as iio

import load_vgg
import recipes
import style_transfer
import utils
from common import cli, errors, progress, vgg_layers
from engine.cli import flags
from engine.results import figures

SIZE_PX = 200, 150  # default width and height
DEFAULT_EVALUATIONS = 90  # default number of evaluations of L-BFGS per picture
CONTENT_LAYERS = ('conv1_2', 'conv2_2', 'conv3_2', 'conv4_2', 'conv5_2')
LOG_NEVER = ((float('inf'), recipes.MAX_ITERATIONS),)  # no numbered pictures except for the last one


def reconstructions(
    content: Path, style: Path, content_layers: Sequence[str], style_layers: Sequence[str], evaluations: int
) -> tuple[list[tuple[str, str, recipes.Recipe]], list[tuple[str, str, recipes.Recipe]]]:
    """List the pictures to train.

    Args:
        content: Path of the content image.
        style: Path of the style image.
        content_layers: One picture is trained for each of these layers, with the paper's content loss.
        style_layers: One picture each is trained for the first layer, the first two layers and so on, with the paper's
            style loss.
        evaluations: Evaluations of L-BFGS per picture.

    Returns:
        The upper row (content) and the lower row (style), lists of (label, name of the run, recipe).
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


def _parse_layers(text):
    """Argparse type: read a comma-separated list of different layers of VGG-19."""
    layers = tuple(text.split(','))
    unknown = [layer for layer in layers if layer not in vgg_layers.FEATURES]
    if unknown or len(set(layers)) < len(layers):
        raise argparse.ArgumentTypeError(f'{text!r}: must be different layers among {vgg_layers.FEATURES[0]} … '
                                         f'{vgg_layers.FEATURES[-1]}')
    return layers


def _parse_flags(argv):
    """Parse the command line."""
    parser = cli.Parser(description=__doc__.split('\n')[0])
    flags.add_image_flags(parser, SIZE_PX)
    for kind, layers, usage in (('content', CONTENT_LAYERS, 'one per picture'),
                                ('style', recipes.GATYS.style_layers, 'one more with each picture')):
        parser.add_argument(f'--{kind}-layers', type=_parse_layers, default=layers, metavar='LAYER,...',
                            help=f'layers to reconstruct the {kind} from, {usage} (default: {",".join(layers)})')
    parser.add_argument(
        '--iterations',
        type=cli.int_in_range(1, recipes.MAX_ITERATIONS),
        default=DEFAULT_EVALUATIONS,
        metavar='N',
        help='evaluations of L-BFGS per picture (default: %(default)s)',
    )
    return parser.parse_args(argv)


@errors.command_line
def main(argv: Sequence[str] | None = None) -> int | None:
    """Train the pictures, resuming those that an earlier call left unfinished, and combine them into one figure."""
    args = _parse_flags(argv)
    (width, height), size_note = flags.size(args, SIZE_PX)
    weights = load_vgg.read_weights(load_vgg.find_weights(args.vgg))
    print(f'{args.content} and {args.style}, {width}×{height}{size_note}\n'
          f'weights {weights.path}: {weights.description}')
    rows = []
    planned = reconstructions(args.content, args.style, args.content_layers, args.style_layers, args.iterations)
    for path, row in zip((args.content, args.style), planned):
        rows.append([(path.stem, utils.get_resized_image(path, width, height)[0])])
        for label, name, recipe in row:
            machine = style_transfer.StyleTransfer(path, path, width, height, recipe=recipe, vgg=weights.path,
                                                   seed=flags.seed(args), precision=flags.precision(args, recipe),
                                                   threads=args.threads, name=name,
                                                   color_profiles=flags.color_profiles(args, name))
            machine.check_memory()
            machine.build()
            with progress.ProgressBar(recipe.iterations) as bar:
                outcome = machine.train(recipe.iterations, bar, args.restart)
            if not progress.report_ending(outcome, machine.run.name, args.restart):
                return 130
            print(f'{label}: {machine.run.outputs / "final.png"}')
            rows[-1].append((label, iio.imread(machine.run.outputs / 'final.png')))
    figure = Path('outputs', 'reconstruction', f'{args.content.stem}-{args.style.stem}.png')
    figures.labeled_grid(figure, rows)
    print(figure)


if __name__ == '__main__':
    sys.exit(main())
