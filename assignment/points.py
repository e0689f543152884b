"""What a solution is worth, item by item; change it as your course has it."""

STEPS = {1: 'inference', 2: 'loss', 3: 'optimizer', 4: 'summaries', 5: 'training'}
POINTS = {  # step: item: points
    1: {'conv2d_relu': 12, 'avgpool': 4, 'maxpool': 4},
    2: {'_content_loss': 8, '_gram_matrix': 8, '_single_style_loss': 8, '_style_loss': 8, 'losses': 8},
    3: {'optimize': 10},
    4: {'create_summary': 10},
    5: {'train': 8, 'summaries': 4, 'checkpoints': 4, 'restore': 4},
}
ITEMS = {item: points for items in POINTS.values() for item, points in items.items()}
WRITTEN_POINTS = 10  # for the written answer
SHOWN_BY_TRAINING = 'summaries', 'checkpoints', 'restore'  # items that the runs of 'train' show


def run_item(item):
    """The key of `probe.ITEM_FUNCTIONS` that shows an item."""
    return 'train' if item in SHOWN_BY_TRAINING else item


def check_points(name):
    """What a check of the notebook edition is worth: its item's points; that of `build`, all of step 5's."""
    return sum(POINTS[5].values()) if name == 'build' else ITEMS[name]
