"""Temporal smoothing: blend the picture of each frame with the previous one, warped along the optical flow."""

import numpy as np

from common.errors import UserError

MAX_BLEND_SHARE = 0.8  # share of the previous picture in a clip with full temporal smoothing
# Mean difference (of 255) of a photo from the warped previous one at which the share falls to 1/e of its maximum.
AGREEMENT_SCALE = 12.
FLOW_SIDE_PX = 256  # longer side of the images that optical flow is computed from


class TemporalSmoothing:
    """Blend each picture of a sequence with the previous one, warped along the optical flow of the photos.

    The share of the previous picture decreases where the photo differs from the warped previous photo.

    Attributes:
        share: Largest share of the previous picture, 0 to 1.
        before: Photo and smoothed picture of the previous frame, None before the first one.
    """

    def __init__(self, strength: float) -> None:
        """Set the strength, 0 to 1; with 1, the share is at most MAX_BLEND_SHARE; 0 turns smoothing off."""
        self.share, self.before = MAX_BLEND_SHARE * strength, None

    def __call__(self, photo: np.ndarray, picture: np.ndarray) -> np.ndarray:
        """Return the smoothed picture of the next frame.

        Args:
            photo: The frame, float32 [H, W, 3], 0 to 255.
            picture: Its stylized picture, in the same form.
        """
        if self.share:
            if self.before:
                warped_photo, warped_picture = warp(photo, *self.before)
                difference = np.abs(photo - warped_photo).mean(axis=2, keepdims=True)
                share = self.share * np.exp(-(difference / AGREEMENT_SCALE) ** 2)
                mixed = picture + share * (warped_picture - picture)
                picture = np.where(np.isnan(mixed), picture, mixed)
            self.before = photo, picture
        return picture


def warp(photo: np.ndarray, before: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Warp the previous photo, and other images of its size, onto the current photo.

    The optical flow is that of the iterative Lucas-Kanade method (Le Besnerais and Champagnat 2005), computed on photos
    downsampled to FLOW_SIDE_PX.

    Args:
        photo: Current photo, [H, W, 3], 0 to 255.
        before: Previous photo, [H, W, 3], 0 to 255.
        *others: More images to warp in the same way, [H, W, 3].

    Returns:
        The warped images, `before` first, each float32 [H, W, 3], NaN where they do not cover the photo.

    Raises:
        UserError: scikit-image is not installed.
    """
    try:
        import skimage.color  # imported here because only temporal smoothing needs it
        import skimage.registration
        import skimage.transform
    except ImportError:
        raise UserError('--steady needs the package scikit-image: pip install scikit-image') from None
    H, W = photo.shape[:2]
    scale = min(1, FLOW_SIDE_PX / max(H, W))
    small = [skimage.transform.resize(skimage.color.rgb2gray(image / 255), (round(H * scale), round(W * scale)),
                                      anti_aliasing=True) for image in (photo, before)]
    flow = skimage.registration.optical_flow_ilk(*small, radius=7)
    flow = [skimage.transform.resize(part, (H, W)) * length / size
            for part, length, size in zip(flow, (H, W), small[0].shape)]
    places = np.meshgrid(np.arange(H), np.arange(W), indexing='ij') + np.array(flow)
    return [np.stack([skimage.transform.warp(image[..., i], places, order=1, mode='constant', cval=np.nan,
                                             preserve_range=True) for i in range(3)], axis=2).astype(np.float32)
            for image in (before, *others)]
