"""The command `fast_style_transfer.py train-any`: train an arbitrary style network and export it.

    python fast_style_transfer.py train-any --styles PAINTINGS --images PHOTOS --name mine
"""

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
from fast.training.network_training import SHIFT_PX

RECIPE_CHOICES = {recipes.ARBITRARY.name: recipes.ARBITRARY}


def add_flags(parser) -> None:
    """Add the flags of the command to an argument parser."""
    parser.add_argument('--styles', type=Path, nargs='+', required=True, metavar='DIR',
                        help='folders of paintings; more paintings give a better network')
    parser.add_argument('--held-out-styles', type=Path, nargs='+', metavar='IMAGE', default=paths.HELD_OUT_STYLES,
                        help='paintings that show the progress; they are excluded from the training (default: '
                        'starry_night.jpg, great_wave.jpg)')
    parser.add_argument('--start', metavar='NAME', help='start from a trained arbitrary style model, a name in models/ '
                        'or a path')
    parser.add_argument('--transform', choices=TRANSFORMS, default=OPTIMAL_TRANSPORT,
                        help='method that gives a photo\'s features a style\'s statistics (default: %(default)s)')
    add_network_flags(parser, DEFAULT_NAME, RECIPE_CHOICES)


def run(args) -> int:
    """Train an arbitrary style network as the flags `args` say, and export it; return the exit status."""
    recipe, seed = flags.recipe(args, RECIPE_CHOICES), flags.seed(args)
    color_profiles = flags.color_profiles(args, args.name or DEFAULT_NAME)
    photos = functools.partial(CropDataset, args.images, seed=seed, excluded=args.held_out,
                               color_profiles=color_profiles)
    # With another seed, styles are drawn independently of photos; else a photo could always get the same style.
    styles = functools.partial(CropDataset, args.styles, seed=seed + 1, excluded=args.held_out_styles, gradients=False,
                               min_deviation=MIN_STYLE_DEVIATION, color_profiles=color_profiles)
    precision = flags.precision(args, recipe)
    machine = ArbitraryStyleTraining(
        photos(args.side + 2 * SHIFT_PX), styles(args.side), args.batch, args.held_out, args.held_out_styles,
        transform=args.transform, consistency_weight=args.steadiness, recipe=recipe, vgg=args.vgg, seed=seed,
        start=export.read_arbitrary(models.find(args.start)) if args.start else None, precision=precision,
        threads=args.threads, name=args.name, color_profiles=color_profiles,
        compute_fixed=lambda: fixed_parameters(
            load_vgg.read_weights(load_vgg.find_weights(args.vgg)), photos(FIT_SIDE_PX), styles(FIT_SIDE_PX),
            session.session_config('float32', args.threads)))
    return train_and_export(machine, args, f'arbitrary, from {len(machine.collections[1].paths)} files')
