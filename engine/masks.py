"""Masks: white where the first style goes, black where the second does, or the photo stays."""

from engine.messages import UserError

ASPECT = 0.01  # share by which a mask's width : height may differ from the photo's: they are rounded


def check_styles(count):
    """Raise `UserError` for a number of styles that a mask is not for."""
    if count > 2:
        raise UserError(f'--mask is for one style or two, and there are {count}')


def check_shape(name, mask_size, photo, photo_size):
    """Raise `UserError` for a mask of another shape than the photo's; (width, height) each; name: of the mask."""
    (w, h), (W, H) = mask_size, photo_size
    if abs(w * H / (h * W) - 1) > max(ASPECT, 1 / min(w, h, W, H)):
        raise UserError(f'{name}: {w}×{h} has another shape than {photo}, {W}×{H}; cut it to that')
