"""python fast_style_transfer.py train: its flags, and what it does."""

import time
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
from fast.training.multi_style import SHIFT_PX, MultiStyleTraining

SIDE_PX, BATCH_CROPS, BASE_CHANNELS, CONSISTENCY_WEIGHT = 256, 4, 32, 20.
# settings that mean nothing for a network
PIXEL_ONLY_SETTINGS = ('init', 'noise_ratio', 'noise_amplitude', 'optimizer', 'pixels', 'averaging', 'scales',
             'coarse_iterations', 'coarse_ratio', 'style_fit', 'keep_colors')
MAX_LISTED_FILES = 5  # files named in a message
RECIPE_CHOICES = {recipes.FAST.name: recipes.FAST}


def add_flags(parser):
    """Give `parser` the flags of train."""
    parser.add_argument('--style', type=Path, nargs='+', required=True, metavar='IMAGE',
                        help='the images whose styles are learned')
    parser.add_argument('--start', metavar='NAME', help='begin with a trained model, of models/ or a folder\'s path; '
                        'its styles stay if they are given, new ones come after them')
    parser.add_argument('--add', metavar='NAME', help='add the styles to a trained model: its own stay as they are, '
                        'and all that is trained is a scale and a shift a channel')
    parser.add_argument('--base', type=cli.int_in_range(4, 64), metavar='N',
                        help=f'channels of the first convolution, 4 to 64 (default: {BASE_CHANNELS})')
    parser.add_argument('--content-weights', type=cli.float_in_range(0, 1e6), nargs='+', metavar='X',
                        help='for each of --style a factor on --content-weight, above 1 for one that would leave too '
                        'little of the photo (default: 1 each)')
    parser.add_argument('--cluster', type=Path, metavar='FILE', help='the machines to train on, as JSON: '
                        '{"worker": ["10.0.0.1:2222", …]}, and if wanted a "chief" and "ps" (default: TF_CONFIG, or '
                        'this machine alone)')
    parser.add_argument('--task', metavar='JOB:N', help='which of them this is, as worker:1; the chief, or where there '
                        'is none worker:0, keeps the run')
    add_network_flags(parser, 'those of the style images', RECIPE_CHOICES)


def add_network_flags(parser, name, choices):
    """Give `parser` the flags of the training of any network; name: what the model is called by default."""
    parser.add_argument('--images', type=Path, nargs='+', required=True, metavar='DIR',
                        help='folders of photos to train on')
    parser.add_argument('--name', help=f'of the model, and of the run\'s folders (default: {name})')
    parser.add_argument('--held-out', type=Path, nargs='+', default=paths.HELD_OUT_PHOTOS, metavar='IMAGE',
                        help='photos to show on the way, left out of the training (default: chelsea.png, coffee.png)')
    parser.add_argument('--side', type=cli.int_in_range(32, 1024), default=SIDE_PX, metavar='W',
                        help='of the crops, in pixels, 32 to 1024 (default: %(default)s)')
    parser.add_argument('--batch', type=cli.int_in_range(1, 64), default=BATCH_CROPS, metavar='N',
                        help='crops a step, 1 to 64 (default: %(default)s)')
    parser.add_argument('--steadiness', type=cli.float_in_range(0, 1e6), default=CONSISTENCY_WEIGHT, metavar='X',
                        help='weight of the loss of a picture that moves with its photo (default: %(default)g)')
    flags.add_training_flags(parser)
    parser.add_argument('--verbose', action='store_true', help='print step, loss and time in place of a bar')
    flags.add_recipe_flags(parser, choices, PIXEL_ONLY_SETTINGS)


def run(args):
    """Train a network as the flags say, and export it, or take part in that; return the exit status."""
    if task := cluster.read(args.cluster, args.task):
        task.start(session.session_config('float32', args.threads))
        if task.replica_index is None:
            return _report_participation(task, replicas.serve_ps(task))
    recipe, seed, start = flags.recipe(args, RECIPE_CHOICES), flags.seed(args), _start_network(args)
    collection = CropDataset(args.images, args.side + 2 * SHIFT_PX, seed, args.held_out)
    machine = MultiStyleTraining(collection, args.batch, args.held_out, args.style,
                                start.base if start else args.base or BASE_CHANNELS, consistency_weight=args.steadiness,
                                content_weights=args.content_weights, start=start, add=bool(args.add), recipe=recipe,
                                vgg=args.vgg, seed=seed, precision=flags.precision(args, recipe), threads=args.threads,
                                name=args.name, task=task)
    if task and not task.is_chief:
        machine.build()
        return _report_participation(task, machine.worker_loop())
    return train_and_export(machine, args, ', '.join(machine.trained))


def train_and_export(machine, args, styles):
    """Train a `NetworkTraining` and export its network; return the exit status. styles: what it is to do, in words."""
    if not args.restart:
        machine.run.check_fingerprint()  # before the graph is built, which takes seconds
    if not (args.restart or machine.run.exists()):
        export.check_overwrite(machine.model_folder, machine.run, machine.recipe.iterations)
    print(f'{styles}; {len(machine.collections[0].paths)} files to train on, '
          f'{session.describe(machine.precision)}\nweights {machine.weights.path}: {machine.weights.description}')
    machine.build()
    iterations, start_time = machine.recipe.iterations, time.time()
    with (
        progress.ProgressLines(machine.recipe, iterations)
        if args.verbose
        else progress.ProgressBar(iterations) as shown
    ):
        outcome = machine.train(iterations, shown, args.restart)
    if skipped := sorted(path for collection in machine.collections for path in collection.skipped):
        more = ' …' if len(skipped) > MAX_LISTED_FILES else ''
        print(f'{len(skipped)} files are too small, or no images that can be read, and were skipped: '
              f'{", ".join(map(str, skipped[:MAX_LISTED_FILES]))}{more}')
    if not progress.report_ending(outcome, machine.run.name, args.restart):
        return 130
    print(f'{machine.model_folder}: {outcome.step} iterations, {time.time() - start_time:.1f} s')
    return 0


def _report_participation(task, ending):
    print(f'{task.name}: the chief has {ending}')
    return replicas.EXIT_STATUS[ending]


def _start_network(args):
    """The model that --start or --add names, or None."""
    if args.start and args.add:
        raise UserError('--start and --add: one of the two, both begin with a trained model')
    if not (name := args.start or args.add):
        return None
    folder = models.find(name)
    start = export.read_multi_style(folder)
    if args.base not in (None, start.base):
        raise UserError(f'--base {args.base}: {folder} has {start.base}')
    return start
