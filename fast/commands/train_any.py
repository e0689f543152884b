"""python fast_style_transfer.py train-any: its flags, and what it does."""

import functools
from pathlib import Path

import load_vgg
import recipes
from common import paths
from engine.cli import flags
from engine.run import session
from fast.commands.train import add_network_flags, train_and_export
from fast.data.crops import CropDataset
from fast.inference import models
from fast.inference.moment_matching import OPTIMAL_TRANSPORT, TRANSFORMS
from fast.networks import export
from fast.training.arbitrary import (
    DEFAULT_NAME,
    FIT_SIDE_PX,
    MIN_STYLE_DEVIATION,
    ArbitraryStyleTraining,
    fixed_parameters,
)
from fast.training.multi_style import SHIFT_PX

RECIPE_CHOICES = {recipes.ARBITRARY.name: recipes.ARBITRARY}


def add_flags(parser):
    """Give `parser` the flags of train-any."""
    parser.add_argument('--styles', type=Path, nargs='+', required=True, metavar='DIR',
                        help='folders of paintings, the more the better')
    parser.add_argument('--held-out-styles', type=Path, nargs='+', metavar='IMAGE', default=paths.HELD_OUT_STYLES,
                        help='paintings to show on the way, left out of the training (default: starry_night.jpg, '
                        'great_wave.jpg)')
    parser.add_argument('--start', metavar='NAME', help='begin with a trained model of any style')
    parser.add_argument('--transform', choices=TRANSFORMS, default=OPTIMAL_TRANSPORT,
                        help='how a photo\'s features are given a style\'s statistics (default: %(default)s)')
    add_network_flags(parser, DEFAULT_NAME, RECIPE_CHOICES)


def run(args):
    """Train a network for any style as the flags say, and export it; return the exit status."""
    recipe, seed = flags.recipe(args, RECIPE_CHOICES), flags.seed(args)
    photos = functools.partial(CropDataset, args.images, seed=seed, excluded=args.held_out)
    # other numbers than the photos', so that a crop does not always meet the same style
    styles = functools.partial(CropDataset, args.styles, seed=seed + 1, excluded=args.held_out_styles, gradients=False,
                               min_deviation=MIN_STYLE_DEVIATION)
    precision = flags.precision(args, recipe)
    machine = ArbitraryStyleTraining(
        photos(args.side + 2 * SHIFT_PX), styles(args.side), args.batch, args.held_out, args.held_out_styles,
        transform=args.transform, consistency_weight=args.steadiness, recipe=recipe, vgg=args.vgg, seed=seed,
        start=export.read_arbitrary(models.find(args.start)) if args.start else None, precision=precision,
        threads=args.threads, name=args.name,
        fixed=lambda: fixed_parameters(load_vgg.read_weights(load_vgg.find_weights(args.vgg)), photos(FIT_SIDE_PX),
                                       styles(FIT_SIDE_PX), session.session_config('float32', args.threads)))
    return train_and_export(machine, args, f'any style, of {len(machine.collections[1].paths)} files')
