"""The command `fast_style_transfer.py train`: train a multi-style network and export it.

    python fast_style_transfer.py train --style painting.jpg --images PHOTOS --name painting

`add_network_flags` and `train_and_export` also serve the command `train-any`.
"""

import time
from collections.abc import Mapping
from pathlib import Path

import recipes
from common import cli, paths, progress
from common.errors import UserError
from engine.cli import flags
from engine.run import session
from fast.data.crops import CropDataset
from fast.inference import models
from fast.networks import export
from fast.training import cluster, replicas
from fast.training.multi_style import MultiStyleTraining, default_name
from fast.training.network_training import SHIFT_PX

SIDE_PX, BATCH_CROPS, BASE_CHANNELS, CONSISTENCY_WEIGHT = 256, 4, 32, 20.  # defaults of the flags
# Recipe settings without a flag here: they apply to the optimization of pixels, not to the training of a network.
PIXEL_ONLY_SETTINGS = ('init', 'noise_ratio', 'noise_amplitude', 'optimizer', 'pixels', 'averaging', 'style_fit',
             'style_resampling', 'keep_colors')
MAX_LISTED_FILES = 5  # largest number of skipped files that are listed by name
RECIPE_CHOICES = {recipes.FAST.name: recipes.FAST}


def add_flags(parser: cli.Parser) -> None:
    """Add the flags of the command to an argument parser."""
    parser.add_argument('--style', type=Path, nargs='+', required=True, metavar='IMAGE',
                        help='style images, one for each style to learn')
    parser.add_argument('--start', metavar='NAME', help='start from a trained model, a name in models/ or a path; '
                        'styles that it has keep their parameters, new styles start from the mean of these')
    parser.add_argument('--add', metavar='NAME', help='add the styles to a trained model: its styles do not change, '
                        'and only scales and shifts of channels are trained, one pair per channel and new style')
    parser.add_argument('--base', type=cli.int_in_range(4, 64), metavar='N',
                        help=f'number of channels of the first convolution, 4 to 64 (default: {BASE_CHANNELS})')
    parser.add_argument('--content-weights', type=cli.float_in_range(0, 1e6), nargs='+', metavar='X',
                        help='for each of --style a factor on --content-weight; choose more than 1 if a style leaves '
                        'too little of the photo (default: 1 each)')
    parser.add_argument('--cluster', type=Path, metavar='FILE', help='JSON file with the machines to train on: '
                        '{"worker": ["10.0.0.1:2222", …]}, optionally with "chief" and "ps" (default: TF_CONFIG; '
                        'without it, only this machine)')
    parser.add_argument('--task', metavar='JOB:N', help='task of this process in the cluster, for example worker:1; '
                        'the chief, or worker:0 without a chief, saves the run')
    add_network_flags(parser, 'the names of the style images', RECIPE_CHOICES)


def add_network_flags(parser: cli.Parser, name: str, choices: Mapping[str, recipes.Recipe]) -> None:
    """Add the flags that the commands train and train-any share.

    Args:
        parser: parser of the command.
        name: default name of the model, for the help text.
        choices: name -> recipe, the default one first.
    """
    parser.add_argument('--images', type=Path, nargs='+', required=True, metavar='DIR',
                        help='folders of photos to train on')
    parser.add_argument('--name', help=f'name of the model and of the run\'s folders (default: {name})')
    parser.add_argument('--held-out', type=Path, nargs='+', default=paths.HELD_OUT_PHOTOS, metavar='IMAGE',
                        help='photos that show the progress; they are excluded from the training (default: '
                        'chelsea.png, coffee.png)')
    parser.add_argument('--side', type=cli.int_in_range(32, 1024), default=SIDE_PX, metavar='W',
                        help='side of the crops in pixels, 32 to 1024 (default: %(default)s)')
    parser.add_argument('--batch', type=cli.int_in_range(1, 64), default=BATCH_CROPS, metavar='N',
                        help='crops in a batch, 1 to 64 (default: %(default)s)')
    parser.add_argument('--steadiness', type=cli.float_in_range(0, 1e6), default=CONSISTENCY_WEIGHT, metavar='X',
                        help='weight of the shift-consistency loss, which makes pictures follow shifts of the photos; '
                        '0 omits it and halves the time of the network (default: %(default)g)')
    flags.add_training_flags(parser)
    parser.add_argument('--verbose', action='store_true', help='print step, loss and time instead of a progress bar')
    flags.add_recipe_flags(parser, choices, PIXEL_ONLY_SETTINGS)


def run(args) -> int:
    """Train a multi-style network as the flags `args` say, and export it; return the exit status.

    In a cluster, a task that is not the chief takes part in the training and exports nothing.
    """
    if task := cluster.read(args.cluster, args.task):
        task.start(session.session_config('float32', args.threads))
        if task.replica_index is None:
            return _report_participation(task, replicas.serve_ps(task))
    recipe, seed, start = flags.recipe(args, RECIPE_CHOICES), flags.seed(args), _start_network(args)
    color_profiles = flags.color_profiles(args, args.name or default_name(args.style))
    collection = CropDataset(args.images, args.side + 2 * SHIFT_PX, seed, args.held_out, color_profiles=color_profiles)
    machine = MultiStyleTraining(collection, args.batch, args.held_out, args.style,
                                start.base if start else args.base or BASE_CHANNELS, consistency_weight=args.steadiness,
                                content_weights=args.content_weights, start=start, add=bool(args.add), recipe=recipe,
                                vgg=args.vgg, seed=seed, precision=flags.precision(args, recipe), threads=args.threads,
                                name=args.name, task=task, color_profiles=color_profiles)
    if task and not task.is_chief:
        machine.build()
        return _report_participation(task, machine.worker_loop())
    return train_and_export(machine, args, ', '.join(machine.trained))


def train_and_export(machine, args, styles: str) -> int:
    """Train a network and export it.

    Args:
        machine: a `fast.training.network_training.NetworkTraining`, not built yet.
        args: parsed flags of `add_network_flags`.
        styles: description of the styles, to print.

    Returns:
        The exit status: 0, or 130 if the training was stopped.

    Raises:
        UserError: the run or the model exists with other settings, or has more iterations.
    """
    if not args.restart:
        machine.run.check_fingerprint()  # Check before building the graph, which takes seconds.
    if not (args.restart or machine.run.exists()):
        export.check_overwrite(machine.model_folder, machine.run, machine.recipe.iterations)
    print(f'styles: {styles}; training photos: {len(machine.collections[0].paths)} files; '
          f'precision: {session.describe(machine.precision)}\n'
          f'weights {machine.weights.path}: {machine.weights.description}')
    machine.build()
    iterations, start_time = machine.recipe.iterations, time.time()
    with progress.display(machine.recipe, iterations, args.verbose) as shown:
        outcome = machine.train(iterations, shown, args.restart)
    if skipped := sorted(path for collection in machine.collections for path in collection.skipped):
        more = ' …' if len(skipped) > MAX_LISTED_FILES else ''
        print(f'skipped files that are too small or not readable as images, {len(skipped)} in total: '
              f'{", ".join(map(str, skipped[:MAX_LISTED_FILES]))}{more}')
    if not progress.report_ending(outcome, machine.run.name, args.restart):
        return 130
    print(f'{machine.model_folder}: {outcome.step} iterations, {time.time() - start_time:.1f} s')
    return 0


def _report_participation(task, ending):
    """Print how the chief ended, and return the exit status for that."""
    print(f'{task.name}: the chief has {ending}')
    return replicas.EXIT_STATUS[ending]


def _start_network(args):
    """Read the model that --start or --add names; return None if neither is given."""
    if args.start and args.add:
        raise UserError('--start and --add: use only one of them; both name the trained model to start from')
    if not (name := args.start or args.add):
        return None
    folder = models.find(name)
    start = export.read_multi_style(folder)
    if args.base not in (None, start.base):
        raise UserError(f'--base {args.base}: {folder} has {start.base} channels; omit --base')
    return start
