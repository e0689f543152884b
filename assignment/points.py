"""The points of every graded item; change them to suit your course."""

STEPS = {1: 'inference', 2: 'loss', 3: 'optimizer', 4: 'summaries', 5: 'training'}
POINTS = {  # step: item: points
    1: {'conv2d_relu': 12, 'avgpool': 4, 'maxpool': 4},
    2: {'_content_loss': 8, '_gram_matrix': 8, '_single_style_loss': 8, '_style_loss': 8, 'losses': 8},
    3: {'optimize': 10},
    4: {'create_summary': 10},
    5: {'train': 8, 'summaries': 4, 'checkpoints': 4, 'restore': 4},
}
ITEMS = {item: points for items in POINTS.values() for item, points in items.items()}
WRITTEN_POINTS = 10  # points for the written answer
SHOWN_BY_TRAINING = 'summaries', 'checkpoints', 'restore'  # items that the probe run of 'train' tests too


def run_item(item: str) -> str:
    """Return the key of `probe.ITEM_FUNCTIONS` whose run produces the values that `item` is graded by."""
    return 'train' if item in SHOWN_BY_TRAINING else item


def check_points(name: str) -> int:
    """Return the points of a check in the notebook edition.

    These are the points of the item of the same name. The check `build` is worth all points of step 5.
    """
    return sum(POINTS[5].values()) if name == 'build' else ITEMS[name]
