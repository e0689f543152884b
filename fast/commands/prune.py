"""The command `fast_style_transfer.py narrow`: prune channels of VGG-19 and write the smaller network.

    python fast_style_transfer.py narrow half.mat --images PHOTOS PAINTINGS

Training against the pruned network (`--vgg half.mat`) takes less time.
"""

from pathlib import Path

import numpy as np

import load_vgg
from common import cli, vgg_layers
from common.errors import UserError
from engine.cli import flags
from engine.run import session
from fast.data.crops import CropDataset
from fast.networks import pruning

KEPT_SHARE = 0.5
LAST_LAYER = 'conv5_1'  # the deepest layer that any recipe's loss uses
CROP_COUNT, CROP_SIDE_PX = 160, 128  # number and side of the crops to which the filters are fitted


def add_flags(parser: cli.Parser) -> None:
    """Add the flags of the command to an argument parser."""
    parser.add_argument('file', type=Path, metavar='FILE', help='file to write, for use with --vgg')
    parser.add_argument('--images', type=Path, nargs='+', required=True, metavar='DIR',
                        help='folders of photos and paintings to which the filters are fitted')
    parser.add_argument('--share', type=cli.float_in_range(0.05, 1), default=KEPT_SHARE, metavar='X',
                        help='share of the channels to keep in each layer, 0.05 to 1 (default: %(default)s)')
    parser.add_argument('--levels', action='store_true', help='round the filters of each layer to '
                        f'{load_vgg.QUANTIZATION_LEVELS} values, which makes the file a quarter as large')
    flags.add_weights_flag(parser)
    flags.add_threads_flag(parser)


def run(args) -> int:
    """Prune VGG-19 as the flags `args` say, write it and return the exit status."""
    if args.file.exists():
        raise UserError(f'{args.file}: exists already; remove it or choose another name')
    weights = load_vgg.read_weights(load_vgg.find_weights(args.vgg))
    photos = CropDataset(args.images, CROP_SIDE_PX, seed=0, gradients=False)
    used = vgg_layers.CONVOLUTIONS[:vgg_layers.CONVOLUTIONS.index(LAST_LAYER) + 1]
    widths = {name: max(1, round(args.share * len(b))) for name, (_, b) in weights.convolutions.items() if name in used}
    pruned = pruning.prune(weights, widths, np.float32([photos[i] for i in range(CROP_COUNT)]),
                           config=session.session_config('float32', args.threads))
    load_vgg.write_weights(args.file, pruned._replace(
        description=f'{args.share:g} of the channels of {weights.path.name}, by least squares'), args.levels)
    print(f'{args.file}: {load_vgg.read_weights(args.file).description}, {args.file.stat().st_size / 1e6:.0f} MB')
    return 0
