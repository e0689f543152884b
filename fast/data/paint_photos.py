"""Paint photos in random styles, as additional style images to train the arbitrary style network on.

    python -m fast.data.paint_photos PHOTOS OUT --count 2000 [--seed 0]

Each picture has a random subject, random colors, and a random technique out of KINDS with random parameters. The aim
is a large variety of styles; a picture need not resemble its photo.

Conventions: pictures are [H, W, 3] with values from 0 to 1, colors [3] or [n, 3] in the same range, lengths are in
pixels, points are (y, x), and directions are in radians from the x axis toward the y axis, which points down.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.color import hsv2rgb, rgb2hsv
from tqdm import tqdm

import utils
from common import cli, errors, files
from common.errors import UserError
from fast.data import make_styles
from fast.data.make_styles import blend, ramp
from fast.inference import moment_matching

SIDE_PX = 400  # pixels of the shorter side
ASPECT_RANGE = 3 / 4, 4 / 3  # width / height
JPEG_QUALITY = 90  # 1 to 100
MAX_PICTURES = 99_999  # file names have five digits
MIN_DEVIATION = .02  # standard deviation up to which a part of a photo counts as blank
LUMA_WEIGHTS = np.float32([.299, .587, .114])  # of red, green and blue
STROKE_SIZE_RANGE = .6, 1.3  # random factors of a stroke's length and width


# ---------------------------------------------------------------------------------------------------------- ingredients

def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a random number between `low` and `high` whose logarithm is uniformly distributed."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def grid(shape: Sequence[int]) -> np.ndarray:
    """Return the pixel coordinates y and x, float32 [2, H, W], of a picture whose shape begins with H and W."""
    return np.mgrid[:shape[0], :shape[1]].astype(np.float32)


def rotate(y: np.ndarray, x: np.ndarray, turn: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates (along, across) of points (y, x) in a frame that is rotated by `turn` radians."""
    return x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)


def noise(rng: np.random.Generator, shape: Sequence[int], grain: float | Sequence[float]) -> np.ndarray:
    """Return smooth random noise, float32 [H, W], of mean 0 and standard deviation of about 1.

    Coarse noise is drawn at low resolution and then enlarged, which is much faster.

    Args:
        rng: random generator.
        shape: (H, W).
        grain: size of the grain in pixels, one number or one for each axis; see `make_styles.noise`.
    """
    factor = max(1, int(np.min(grain) / 2))
    small = make_styles.noise(rng, [side // factor + 3 for side in shape], np.divide(grain, factor))
    if factor > 1:
        small = ndimage.map_coordinates(small, grid(shape) / factor, order=1)
    return np.float32(small[:shape[0], :shape[1]])


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth an image [H, W] or [H, W, 3] by a Gaussian of standard deviation `sigma` pixels."""
    return ndimage.gaussian_filter(image, (sigma, sigma, 0)[:image.ndim], truncate=3)


def luminance(colors: np.ndarray) -> np.ndarray:
    """Return the luminance [...] of colors [..., 3], as the weighted sum of red, green and blue."""
    return colors @ LUMA_WEIGHTS


def rank(values: np.ndarray) -> np.ndarray:
    """Replace each value by the share (0 to 1) of values below it: histogram equalization, float32, same shape.

    The shares are approximate: they are interpolated between 65 quantiles of every seventh value.
    """
    steps = np.linspace(0, 1, 65)
    return np.float32(np.interp(values, np.quantile(values.ravel()[::7], steps), steps))


def adjust_contrast(colors: np.ndarray, amount: float) -> np.ndarray:
    """Scale the distances of colors [..., 3] from their mean by `amount`, and clip to 0 to 1."""
    mean = colors.reshape(-1, 3).mean(axis=0)
    return np.clip(mean + (colors - mean) * amount, 0, 1)


def adjust_saturation(colors: np.ndarray, amount: float | np.ndarray) -> np.ndarray:
    """Scale the distance of each color [..., 3] from the gray of its luminance by `amount`, and clip to 0 to 1."""
    gray = luminance(colors)[..., None]
    return np.clip(gray + (colors - gray) * amount, 0, 1)


def sample_colors(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the values of the pixels nearest to some points; for points outside, those at the image's border.

    Args:
        image: [H, W, ...], colors or any other values.
        points: (y, x) of each point, [n, 2].

    Returns:
        The values, [n, ...].
    """
    y, x = np.rint(points).astype(int).T
    return image[y.clip(0, image.shape[0] - 1), x.clip(0, image.shape[1] - 1)]


def displace(rng: np.random.Generator, image: np.ndarray, amount: float, grain: float) -> np.ndarray:
    """Distort an image [H, W, ...] by moving its pixels randomly but smoothly.

    Args:
        rng: random generator.
        image: [H, W, ...].
        amount: standard deviation of the displacement, in pixels.
        grain: distance in pixels over which it varies, as in `noise`.
    """
    shape = image.shape[:2]
    points = np.stack([axis + amount * noise(rng, shape, grain) for axis in grid(shape)], axis=-1)
    return sample_colors(image, points.reshape(-1, 2)).reshape(image.shape)


# ------------------------------------------------------------------------------------------------------------- colors

def random_palette(rng: np.random.Generator) -> np.ndarray:
    """Draw a palette of 4 to 8 colors from dark to light, float32 [n, 3].

    Its hues are similar, or two or three that harmonize, or random.
    """
    count = rng.integers(4, 9)
    hues = [[0], [0, .5], [0, .33, .67], [0, .12, .5], [0, .42, .58], *rng.random((2, count))][rng.integers(7)]
    hue = rng.random() + rng.choice(hues, count) + rng.normal(0, rng.choice([.03, .08, .15]), count)
    value = np.linspace(rng.uniform(.03, .25), rng.uniform(.8, 1), count) ** rng.uniform(.6, 1.4)
    saturation = np.clip(rng.normal(rng.uniform(.2, .8), .22, count), 0, 1)
    saturation[-1] *= rng.uniform(.1, 1)
    return np.float32(hsv2rgb(np.stack([hue % 1, saturation, value], axis=-1)))


def main_colors(rng: np.random.Generator, image: np.ndarray, count: int) -> np.ndarray:
    """Return the `count` main colors of an image, by k-means clustering, from dark to light, float32 [count, 3]."""
    pixels = rng.permutation(image.reshape(-1, 3))[:3000]
    centers = pixels[:count]
    for _ in range(6):
        owner = cKDTree(centers).query(pixels)[1]
        centers = np.stack([pixels[owner == k].mean(axis=0) if (owner == k).any() else pixels[k] for k in range(count)])
    return np.float32(centers[np.argsort(luminance(centers))])


def dark(rng: np.random.Generator) -> np.ndarray:
    """Draw a random dark color, as of ink, float32 [3]."""
    return np.float32(rng.uniform(0, .22, 3))


def pale(rng: np.random.Generator) -> np.ndarray:
    """Draw a random light color, white to yellowish, as of paper, float32 [3]."""
    return np.float32(rng.uniform(.82, 1) - rng.uniform(0, .2) * np.array([0, .35, 1]))


def boost_colors(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Change the contrast, saturation and tint of an image [H, W, 3] at random, mostly to stronger ones.

    One image in five also has all its hues rotated by a random angle. The result is float32 [H, W, 3].
    """
    light, share = luminance(image), rng.uniform(.1, .8)
    image = image * ((1 - share) + share * (rank(light) + .02) / (light + .02))[..., None]
    image = adjust_saturation(image, rng.uniform(.7, 2.1))
    if rng.random() < .2:
        hsv = rgb2hsv(image)
        hsv[..., 0] = (hsv[..., 0] + rng.random()) % 1
        image = hsv2rgb(hsv)
    return np.float32(np.clip(image * (1 + rng.normal(0, .12, 3)) + rng.normal(0, .04, 3), 0, 1))


def transport_colors(image: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Map the colors of an image [H, W, 3] linearly, so that they get the mean and covariance of `colors` [n, 3]."""
    A, b = moment_matching.affine_map(moment_matching.moments(image), moment_matching.moments(colors))
    return np.clip(image @ A + b, 0, 1)


def nearest(image: np.ndarray, colors: np.ndarray, softness: float) -> np.ndarray:
    """Replace each pixel of an image [H, W, 3] by the nearest of some colors [n, 3], or by a mixture of the nearest.

    Args:
        image: [H, W, 3], 0 to 1.
        colors: [n, 3], 0 to 1.
        softness: the distance, in units of color, over which colors mix; a small one gives flat colors.
    """
    distance = ((image[..., None, :] - colors) ** 2).sum(axis=-1)
    weight = np.exp((distance.min(axis=-1, keepdims=True) - distance) / softness ** 2)
    return weight / weight.sum(axis=-1, keepdims=True) @ colors


def recolor(rng: np.random.Generator, image: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Give an image random colors: its own, but stronger, or those of a palette.

    Half of the images keep their own colors. The others get a palette: a random one, or the main colors of `other`.
    Either luminance is mapped to the palette, or the colors get the palette's mean and covariance. In half of the
    latter cases, each pixel then gets the nearest color of the palette, or a mixture of the nearest ones.

    Args:
        rng: random generator.
        image: [H, W, 3], 0 to 1.
        other: an image of any size, [H', W', 3], 0 to 1.

    Returns:
        The recolored image, [H, W, 3].
    """
    if rng.random() < .5:
        return boost_colors(rng, image)
    colors = (
        random_palette(rng) if rng.random() < 0.6 else main_colors(rng, boost_colors(rng, other), rng.integers(4, 9))
    )
    if rng.random() < .35:
        share = rank(blur(luminance(image), .7))
        return ramp(share, rng.permutation(colors) if rng.random() < .25 else colors)
    transported = transport_colors(boost_colors(rng, image), colors)
    return transported if rng.random() < .5 else nearest(transported, colors, rng.uniform(.04, .25))


# ---------------------------------------------------------------------------------------------------------- directions

def contours(image: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the directions along an image's edges, and how clear they are, from its structure tensor.

    Args:
        image: [H, W, 3].
        sigma: standard deviation in pixels of the Gaussian that averages the tensor.

    Returns:
        The directions [H, W] in radians, which are defined up to multiples of π, and their coherence [H, W]: 0 where
        no direction prevails, 1 where all gradients are parallel.
    """
    light = luminance(image)
    gy, gx = ndimage.gaussian_filter(light, 1, (1, 0)), ndimage.gaussian_filter(light, 1, (0, 1))
    yy, xx, xy = (blur(product, sigma) for product in (gy * gy, gx * gx, gx * gy))
    return np.arctan2(2 * xy, xx - yy) / 2 + np.pi / 2, np.hypot(xx - yy, 2 * xy) / (xx + yy + 1e-4)


def flow(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw a random field of directions [H, W] in radians: nearly uniform, meandering, or swirling around vortices."""
    kind, start = rng.integers(4), rng.uniform(0, np.pi)
    if kind < 2:
        return start + ((rng.uniform(.1, .6), rng.uniform(1, 3))[kind]) * noise(rng, shape, rng.uniform(15, 80))
    y, x = grid(shape)
    field = np.full(shape, .1 * np.exp(1j * start) * (kind - 2))
    for _ in range(rng.integers(1, 9)):
        dy, dx = y - rng.uniform(0, shape[0]), x - rng.uniform(0, shape[1])
        near = np.exp(-np.hypot(dy, dx) / rng.uniform(30, 150)) * rng.choice([-1, 1])
        field += near * np.exp(1j * (np.arctan2(dy, dx) + rng.choice([np.pi / 2, 1.2, 0])))
    return np.angle(field) + .2 * noise(rng, shape, 30)


def directions(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Choose directions for the strokes of a painting: along the image's edges where it has clear ones, else random.

    The weight of the edges is random. In 15 % of the paintings, all directions are then rotated by a quarter turn.

    Args:
        rng: random generator.
        image: [H, W, 3].

    Returns:
        Directions in radians, float32 [H, W].
    """
    along, coherence = contours(image, log_uniform(rng, 2, 8))
    trust = np.clip(coherence * rng.uniform(0, 2.2), 0, 1)
    # Angles that differ by π are the same axis; doubling them makes them equal, so that they can be averaged.
    doubled = (1 - trust) * np.exp(2j * flow(rng, image.shape[:2])) + trust * np.exp(2j * along)
    return np.float32(np.angle(doubled) / 2 + np.pi / 2 * (rng.random() < .15))


# ------------------------------------------------------------------------------------------------------------- strokes

def paths(angle: np.ndarray, centers: np.ndarray, reach: int, curved: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the center lines of strokes as points that are one pixel apart.

    Args:
        angle: field of directions [H, W].
        centers: (y, x) of the middle of each stroke, [n, 2].
        reach: number of points on either side of the middle, so that T = 2 · reach + 1.
        curved: whether a line follows `angle` all along; otherwise it is straight, in the direction at its middle.

    Returns:
        The points [n, T, 2] as (y, x), and the directions [n, T] of the line there.
    """
    def ahead(point, turn):
        return point + np.stack([np.sin(turn), np.cos(turn)], axis=-1)

    start = np.float32(sample_colors(angle, centers))
    if not curved:
        turns = np.repeat(start[:, None], 2 * reach + 1, axis=1)
        steps = np.arange(-reach, reach + 1, dtype=np.float32)[:, None]
        return centers[:, None] + steps * (ahead(0, turns)), turns
    halves = []
    for turn in (start + np.float32(np.pi), start):
        half = [(centers, turn)]
        for _ in range(reach):
            point = ahead(*half[-1])
            new = sample_colors(angle, point)
            half.append((point, np.float32(new + np.pi * (np.cos(new - half[-1][1]) < 0))))
        halves.append(half)
    back = [(point, turn + np.float32(np.pi)) for point, turn in halves[0][:0:-1]]
    return tuple(np.stack(part, axis=1) for part in zip(*back, *halves[1]))


def topmost(rng: np.random.Generator, angle: np.ndarray, centers: np.ndarray, length: float, width: float, curved: bool,
            ends: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find the pixels that some strokes cover and, for each pixel, the last stroke that covers it.

    Args: as in `lay`.

    Returns:
        Five arrays [m], one entry for each covered pixel: its index in the flattened picture; the index of the stroke;
        its position along and across the stroke, both -1 to 1; and how many pixels it lies inside the outline.
    """
    H, W = angle.shape
    reach = int(np.ceil(length * STROKE_SIZE_RANGE[1] / 2))
    points, turn = paths(angle, centers, reach, curved)
    sine, cosine = np.sin(turn)[..., None], np.cos(turn)[..., None]
    offsets = np.arange(
        -width * STROKE_SIZE_RANGE[1] / 2 - 1, width * STROKE_SIZE_RANGE[1] / 2 + 1.01, 0.9, dtype=np.float32
    )
    exact = points[:, :, None] + offsets[:, None] * np.stack([cosine, -sine], axis=-1)
    pixel = np.rint(exact).astype(np.int32)
    y, x = np.moveaxis(pixel, -1, 0)
    along, across = rotate(*np.moveaxis(np.float32(pixel - exact), -1, 0), np.arctan2(sine, cosine))
    along, across = along + np.arange(-reach, reach + 1, dtype=np.float32)[:, None], across + offsets
    half_length, half_width = (np.float32(size / 2 * rng.uniform(*STROKE_SIZE_RANGE, (len(centers), 1, 1)))
                               for size in (length, width))
    share = along / half_length
    edge = np.minimum(half_width * np.sqrt((1 - np.abs(share) ** ends).clip(0)) - np.abs(across),
                      half_length - np.abs(along))
    inside = (edge > -.4) & (y >= 0) & (y < H) & (x >= 0) & (x < W)
    owner = np.full(H * W, -1)
    owner[(y * W + x)[inside]] = np.flatnonzero(inside)  # Where strokes overlap, the last one wins.
    pixels = np.flatnonzero(owner >= 0)
    share, across, edge = (values.ravel()[owner[pixels]] for values in (share, across, edge))
    stroke = owner[pixels] // inside[0].size
    return pixels, stroke, share, across / half_width.ravel()[stroke], edge


def lay(rng: np.random.Generator, canvas: np.ndarray, relief: np.ndarray, angle: np.ndarray, centers: np.ndarray,
        paint: np.ndarray, length: float, width: float, *, curved: bool = False, ends: float = 4., dry: float = .25,
        bristle: float = .07, paper: np.ndarray | None = None, batches: int = 8) -> None:
    """Paint brush strokes on a canvas, in place; later strokes cover earlier ones.

    Args:
        rng: random generator.
        canvas: picture [H, W, 3], which is painted on.
        relief: thickness of the paint [H, W], which is updated.
        angle: directions [H, W] of the strokes.
        centers: (y, x) of the middle of each stroke, [n, 2].
        paint: color of each stroke, [n, 3].
        length, width: size of a stroke in pixels; each stroke varies it by random factors from STROKE_SIZE_RANGE.
        curved: whether strokes follow `angle` all along; otherwise they are straight.
        ends: shape of the strokes: 1 pointed, 2 an ellipse, larger values closer to a rectangle.
        dry: how much of the paint is used up at the end of a stroke, as a share.
        bristle: relative change of brightness by the ridges that bristles leave.
        paper: share [H, W] of the paint, 0 to 1, that the paper takes; None for all of it.
        batches: number of groups that are painted one after the other; strokes of a group do not mix at their edges.
    """
    flat, thick = canvas.reshape(-1, 3), relief.reshape(-1)
    for part in np.array_split(np.arange(len(centers)), min(batches, len(centers))):
        pixels, stroke, along, across, edge = topmost(rng, angle, centers[part], length, width, curved, float(ends))
        ridges = np.float32(rng.standard_normal((len(part), 14)).clip(-2, 2))
        position = ((across + 1.3) * 5).clip(0, 12.99)
        low = position.astype(int)
        ridge = ridges[stroke, low] + (ridges[stroke, low + 1] - ridges[stroke, low]) * (position - low)
        cover = (edge + .1 * width ** .5 * ridge + .5).clip(0, 1)
        cover *= (1.15 - dry * (along / 2 + .5) * (1 + ridge)).clip(.3, 1)
        if paper is not None:
            cover *= paper.ravel()[pixels]
        color = paint[part][stroke] * (1 + bristle * (ridge + .8 * along))[:, None]
        flat[pixels] += (color - flat[pixels]) * cover[:, None]
        height = width ** .5 * (.5 + .22 * ridge + .5 * np.abs(across).clip(0, 1) ** 4 + .2 * along)
        thick[pixels] += cover * (height - .7 * thick[pixels])


def places(rng: np.random.Generator, weight: np.ndarray, count: int) -> np.ndarray:
    """Draw random pixels with probabilities proportional to a weight.

    Args:
        rng: random generator.
        weight: [H, W], not negative.
        count: number of pixels; one may be drawn more than once.

    Returns:
        (y, x) of each pixel, float32 [count, 2].
    """
    total = np.cumsum(weight.ravel(), dtype=float)
    chosen = np.searchsorted(total, rng.random(count) * total[-1]).clip(0, weight.size - 1)
    return np.float32(np.stack(np.divmod(chosen, weight.shape[1]), axis=-1))


def vary_paint(rng: np.random.Generator, paint: np.ndarray, value: float, hue: float) -> np.ndarray:
    """Vary colors at random and raise their saturation.

    Args:
        rng: random generator.
        paint: colors [n, 3], 0 to 1.
        value: standard deviation of the relative change of each color's brightness.
        hue: standard deviation of the change of each of its channels.

    Returns:
        The changed colors, float32 [n, 3], 0 to 1.
    """
    paint = adjust_saturation(paint, rng.uniform(1, 1.5, (len(paint), 1)))
    paint = paint * (1 + value * rng.standard_normal((len(paint), 1))) + hue * rng.standard_normal(paint.shape)
    return np.float32(np.clip(paint, 0, 1))


def light_relief(rng: np.random.Generator, canvas: np.ndarray, relief: np.ndarray, strength: float) -> np.ndarray:
    """Shade a picture [H, W, 3] as if light from a random side fell on the relief [H, W] of its surface."""
    slope, _ = rotate(*np.gradient(blur(relief, .6)), rng.uniform(0, 2 * np.pi))
    light = np.clip(-strength * slope, -.3, .4)[..., None]
    return canvas * (1 + .8 * light) + .25 * light.clip(0)


def paint_layers(rng: np.random.Generator, scene: np.ndarray, angle: np.ndarray, widths: Sequence[float],
                 ratio: float, cover: float, value: float, hue: float, light: float = 0., **marks) -> np.ndarray:
    """Paint a scene with layers of brush strokes on a ground that is dark, pale, or one of the scene's colors.

    Args:
        rng: random generator.
        scene: [H, W, 3], 0 to 1.
        angle: directions [H, W] of the strokes.
        widths: width of the strokes of each layer, in pixels, the first layer first.
        ratio: length of a stroke divided by its width.
        cover: mean number of strokes over a pixel, in each layer.
        value, hue: random change of the colors, see `vary_paint`.
        light: strength of the light on the relief of the paint.
        **marks: further arguments of `lay`.

    Returns:
        The picture [H, W, 3].
    """
    canvas = np.full_like(scene, [dark(rng), pale(rng), rng.choice(scene.reshape(-1, 3))][rng.integers(3)])
    relief = np.zeros(scene.shape[:2], np.float32)
    edges = ndimage.gaussian_gradient_magnitude(luminance(scene), 1.5) + .002
    for level, width in enumerate(np.maximum(widths, 2)):
        length = width * ratio
        weight = edges if level and rng.random() < .7 else np.ones_like(relief)
        centers = places(rng, weight, int(cover * relief.size / (length * width)) + 1)
        paint = vary_paint(rng, sample_colors(blur(scene, width / 4), centers), value, hue)
        lay(rng, canvas, relief, angle, centers, paint, length, width, **marks)
    return light_relief(rng, canvas, relief, light)


# ----------------------------------------------------------------------------------------------------- shapes and lines

def regions(rng: np.random.Generator, scene: np.ndarray, count: int, coarse: float) -> tuple[np.ndarray, np.ndarray]:
    """Divide a scene into smooth regions of its main colors.

    Args:
        rng: random generator.
        scene: [H, W, 3], 0 to 1.
        count: number of colors.
        coarse: size in pixels of the details that are smoothed away.

    Returns:
        The index of each pixel's color, [H, W], and the colors [count, 3], from dark to light.
    """
    small = ndimage.median_filter(blur(scene, coarse)[::2, ::2], (3, 3, 1))
    colors = main_colors(rng, small, count)
    index = cKDTree(colors).query(small.reshape(-1, 3))[1].reshape(small.shape[:2])
    index = index.repeat(2, axis=0).repeat(2, axis=1)[:scene.shape[0], :scene.shape[1]]
    votes = [blur(np.float32(index == k), coarse) for k in range(count)]
    return np.argmax(votes, axis=0), colors


def outlines(rng: np.random.Generator, parts: np.ndarray, width: float) -> np.ndarray:
    """Draw lines of varying width along the borders between parts.

    Args:
        rng: random generator.
        parts: number [H, W] of the part that each pixel belongs to.
        width: mean width of the lines, in pixels.

    Returns:
        Opacity [H, W] of the lines, 0 to 1.
    """
    swell = np.clip(1 + .6 * noise(rng, parts.shape, 20) + .15 * noise(rng, parts.shape, 3), 0, 3)
    return np.clip(width / 2 * swell + .8 - make_styles.lead_depth(parts, 0), 0, 1)


def draw_lines(scene: np.ndarray, least: float) -> np.ndarray:
    """Draw lines where a scene is darker than its surroundings, by a difference of Gaussians.

    Args:
        scene: [H, W, 3], 0 to 1.
        least: threshold, in fortieths of the range of luminance; a larger one gives fewer lines.

    Returns:
        Opacity [H, W] of the lines, 0 to 1.
    """
    light = luminance(scene)
    return np.clip(40 * (blur(light, 2.5) - blur(light, 1)) - least, 0, 1)


def add_grain(rng: np.random.Generator, picture: np.ndarray, strength: float) -> np.ndarray:
    """Let the grain of paper, wood or cloth show through a picture [H, W, 3]; `strength` is its relative contrast."""
    shape = picture.shape[:2]
    fibers = noise(rng, shape, [(1, 1), (1, 5), (5, 1)][rng.integers(3)])
    return picture * (1 + strength * (fibers + .5 * noise(rng, shape, 40)))[..., None]


def hatching(rng: np.random.Generator, scene: np.ndarray, spacing: float, turn: float) -> np.ndarray:
    """Return a phase [H, W] that grows by 1 from one hatching line to the next.

    The lines are distorted by noise and by the scene's luminance.

    Args:
        rng: random generator.
        scene: [H, W, 3], 0 to 1.
        spacing: mean distance of the lines, in pixels.
        turn: direction of the lines, in radians; one time in four they are circles instead.
    """
    shape = scene.shape[:2]
    y, x = grid(shape)
    phase = rotate(y, x, turn)[1]
    if rng.random() < .25:
        phase = np.hypot(y - rng.uniform(-.2, 1.2) * shape[0], x - rng.uniform(-.2, 1.2) * shape[1])
    phase = phase + rng.uniform(0, 1.5) * spacing * noise(rng, shape, 40)
    return (phase + rng.uniform(-40, 40) * blur(luminance(scene), 6)) / spacing


def cells(rng: np.random.Generator, shape: tuple[int, int], size: float) -> np.ndarray:
    """Divide a picture into tiles: squares or bricks in rows, or irregular cells, rotated and slightly distorted.

    Args:
        rng: random generator.
        shape: (H, W).
        size: approximate width of a tile, in pixels.

    Returns:
        The number of the tile that each pixel belongs to, [H, W].
    """
    y, x = np.mgrid[-shape[0]:2 * shape[0]:size, -shape[1]:2 * shape[1]:size * rng.choice([1, 1, 1.7])]
    x = x + size / 2 * (np.arange(len(x))[:, None] % 2) * (rng.random() < .5)
    along, across = rotate(y - shape[0] / 2, x - shape[1] / 2, rng.uniform(0, np.pi))
    points = np.stack([across.ravel(), along.ravel()], axis=-1) + np.array(shape) / 2
    points += rng.normal(0, size * rng.choice([.04, .15, .4]), points.shape)
    points = points[((points > -size) & (points < np.array(shape) + size)).all(axis=1)]
    bend = rng.uniform(0, .2) * size
    pixels = np.stack([axis + bend * noise(rng, shape, 12) for axis in grid(shape)], axis=-1)
    return cKDTree(points).query(pixels.reshape(-1, 2))[1].reshape(shape)


def means(scene: np.ndarray, parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean color of each part of a scene.

    Args:
        scene: [H, W, 3].
        parts: number [H, W] of the part that each pixel belongs to; the numbers need not be consecutive.

    Returns:
        The mean colors, float32 [n, 3], and for each pixel the index [H, W] of its part's color.
    """
    _, parts = np.unique(parts, return_inverse=True)
    count = np.bincount(parts.ravel())
    sums = [np.bincount(parts.ravel(), channel) for channel in scene.reshape(-1, 3).T]
    return np.float32(sums / count).T, parts.reshape(scene.shape[:2])


# Each shape function takes a random generator, the coordinates `along` and `across` [H, W] of pixels relative to the
# shape's center, and the shape's radius `size`, all in pixels. It returns [H, W]: about how many pixels each pixel lies
# inside the outline; the number is negative outside.

def disc(rng: np.random.Generator, along: np.ndarray, across: np.ndarray, size: float) -> np.ndarray:
    """Approximate signed distance, positive inside, to the outline of a disc, half of the time an ellipse."""
    return size - np.hypot(along, across * rng.uniform(1, 2) ** rng.integers(2))


def ring(rng: np.random.Generator, along: np.ndarray, across: np.ndarray, size: float) -> np.ndarray:
    """Approximate signed distance, positive inside, to the outline of a ring."""
    return size * rng.uniform(.06, .3) - np.abs(np.hypot(along, across) - size * .8)


def rings(rng: np.random.Generator, along: np.ndarray, across: np.ndarray, size: float) -> np.ndarray:
    """Approximate signed distance, positive inside, to the outline of concentric rings."""
    radius = np.hypot(along, across)
    return np.minimum(size - radius, size / 3 * np.abs(radius / size * rng.integers(2, 6) % 1 - .5) - size * .05)


def line(rng: np.random.Generator, along: np.ndarray, across: np.ndarray, size: float) -> np.ndarray:
    """Approximate signed distance, positive inside, to the outline of a thin straight or wavy line."""
    wave = size * rng.choice([0, .3]) * np.sin(along / size * 4)
    return np.minimum(size * 1.5 - np.abs(along), size * rng.uniform(.02, .08) + .6 - np.abs(across + wave))


def bar(rng: np.random.Generator, along: np.ndarray, across: np.ndarray, size: float) -> np.ndarray:
    """Approximate signed distance, positive inside, to the outline of a rectangle."""
    return np.minimum(size - np.abs(along), size * rng.uniform(.15, 1) - np.abs(across))


def arc(rng: np.random.Generator, along: np.ndarray, across: np.ndarray, size: float) -> np.ndarray:
    """Approximate signed distance, positive inside, to the outline of an arc."""
    return np.minimum(size * rng.uniform(.05, .25) - np.abs(np.hypot(along, across) - size),
                      along + size * rng.uniform(-.6, .5))


def checker(rng: np.random.Generator, along: np.ndarray, across: np.ndarray, size: float) -> np.ndarray:
    """Approximate signed distance, positive inside, to the outline of the fields of a checkerboard."""
    unit = size / rng.integers(2, 5)
    one, other = (np.abs(axis % (2 * unit) - unit) - unit / 2 for axis in (along, across))
    tiles = np.minimum(np.abs(one), np.abs(other)) * np.sign(one * other)
    return np.minimum(tiles, size - np.maximum(np.abs(along), np.abs(across)))


def stripes(rng: np.random.Generator, along: np.ndarray, across: np.ndarray, size: float) -> np.ndarray:
    """Approximate signed distance, positive inside, to the outline of parallel stripes within a disc or square."""
    unit = size / rng.integers(2, 6)
    outer = np.hypot(along, across) if rng.random() < .4 else np.maximum(np.abs(along), np.abs(across))
    return np.minimum(size - outer, np.abs(along % unit - unit / 2) - unit / 4)


def blob(rng: np.random.Generator, along: np.ndarray, across: np.ndarray, size: float) -> np.ndarray:
    """Approximate signed distance, positive inside, to the outline of an irregular rounded blob."""
    theta = np.arctan2(across, along)
    waves = sum(rng.normal(0, .25 / k) * np.cos(k * theta + rng.uniform(0, 6)) for k in range(1, 6))
    return size * (.8 + waves) - np.hypot(along, across)


def star(rng: np.random.Generator, along: np.ndarray, across: np.ndarray, size: float) -> np.ndarray:
    """Approximate signed distance, positive inside, to the outline of a star with 3 to 8 rounded points."""
    petals = np.cos(rng.integers(3, 9) * np.arctan2(across, along))
    return size * (.6 + .4 * petals) - np.hypot(along, across)


def crescent(rng: np.random.Generator, along: np.ndarray, across: np.ndarray, size: float) -> np.ndarray:
    """Approximate signed distance, positive inside, to the outline of a crescent."""
    return np.minimum(size - np.hypot(along, across), np.hypot(along - size * .5, across) - size * .9)


def triangle(rng: np.random.Generator, along: np.ndarray, across: np.ndarray, size: float) -> np.ndarray:
    """Approximate signed distance, positive inside, to the outline of an irregular triangle."""
    corners = np.arange(3) * 2.1 + rng.uniform(-.5, .5, 3)
    return np.minimum.reduce([size * .6 - rotate(across, along, corner)[0] for corner in corners])


SHAPES = disc, ring, rings, line, bar, arc, checker, stripes, blob, star, crescent, triangle


def add_shapes(rng: np.random.Generator, picture: np.ndarray, colors: np.ndarray, sizes: np.ndarray,
               kinds: Sequence[Callable], outlined: float) -> None:
    """Draw random geometric shapes at random places of a picture, in place, large ones first.

    Args:
        rng: random generator.
        picture: [H, W, 3], which is drawn on.
        colors: colors [n, 3] for the shapes; the first one, darkened, is that of outlines.
        sizes: radius of each shape, in pixels.
        kinds: functions out of SHAPES.
        outlined: share of the shapes, 0 to 1, that have a dark outline.
    """
    H, W = picture.shape[:2]
    for size in np.sort(sizes)[::-1]:
        center, reach = rng.random(2) * (H, W), 1.6 * size + 4
        window = tuple(slice(int(max(middle - reach, 0)), int(min(middle + reach, side)))
                       for middle, side in zip(center, (H, W)))
        y, x = (axis.astype(np.float32) - middle for axis, middle in zip(np.mgrid[window], center))
        along, across = rotate(y, x, rng.uniform(0, 2 * np.pi))
        edge = kinds[rng.integers(len(kinds))](rng, along, across, size)
        shade = np.clip(.5 + rotate(y, x, rng.uniform(0, 6))[0] / size, 0, 1) * (rng.random() < .4)
        color = blend(*colors[rng.integers(len(colors), size=2)], shade)
        picture[window] = blend(picture[window], color, (edge + .5).clip(0, 1) * rng.choice([1, 1, .75]))
        if rng.random() < outlined:
            picture[window] = blend(picture[window], colors[0] * .4, rng.uniform(.8, 2.5) - np.abs(edge))


def composition(rng: np.random.Generator, shape: tuple[int, int], colors: np.ndarray) -> np.ndarray:
    """Draw an abstract composition of circles, lines, checkerboards and triangles, inspired by Kandinsky and Miró.

    Args:
        rng: random generator.
        shape: (H, W).
        colors: colors [n, 3] to use, from dark to light.

    Returns:
        The picture [H, W, 3], 0 to 1.
    """
    picture = ramp(rank(noise(rng, shape, rng.uniform(20, 90))), rng.permutation(colors)[:3])
    if rng.random() < .6:
        picture = picture * .25 + .75 * colors[rng.choice([0, -1, -1])]
    kinds = [SHAPES[k] for k in rng.permutation(len(SHAPES))[:rng.integers(3, len(SHAPES))]]
    sizes = np.exp(rng.uniform(np.log(4), np.log(rng.uniform(40, 110)), rng.integers(25, 110)))
    add_shapes(rng, picture, colors, sizes, kinds, rng.choice([0, .5, 1]))
    return picture


# --------------------------------------------------------------------------------------------------------------- kinds
# Each function takes a random generator and a scene, float32 [H, W, 3] with values from 0 to 1, and returns a picture
# of the scene in its technique, [H, W, 3]. Values may lie a little outside 0 to 1; `finish` clips them.

def oil(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Paint a scene in oil: brush strokes from coarse to fine, short or long, straight or curved."""
    angle = directions(rng, scene) + rng.uniform(0, .3) * noise(rng, scene.shape[:2], 4)
    widths = log_uniform(rng, 5, 16) * rng.uniform(.45, .65) ** np.arange(rng.integers(2, 4))
    return paint_layers(
        rng,
        scene,
        angle,
        widths,
        log_uniform(rng, 1.8, 6),
        rng.uniform(1.5, 2.7),
        rng.uniform(0.04, 0.2),
        rng.uniform(0.01, 0.06),
        rng.uniform(0, 0.35),
        ends=rng.choice([2, 4, 8]),
        curved=rng.random() < 0.5,
        dry=rng.uniform(0, 0.4),
        bristle=rng.uniform(0.02, 0.12),
    )


def ribbons(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Paint a scene with long curved strokes side by side, each of its own color, in the manner of van Gogh."""
    widths = log_uniform(rng, 3.5, 9) * np.array([1.4, 1, .7])[:rng.integers(2, 4)]
    return paint_layers(rng, scene, directions(rng, scene), widths, log_uniform(rng, 5, 12), rng.uniform(1, 1.8),
                   rng.uniform(.12, .35), rng.uniform(.02, .1), rng.uniform(.1, .4), ends=rng.choice([2, 4]),
                   curved=True, dry=rng.uniform(0, .3), bristle=rng.uniform(.03, .12))


def dabs(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Paint a scene with dots and short dabs whose colors mix in the eye, in the manner of Seurat and Signac."""
    angle = directions(rng, scene) if rng.random() < .6 else rng.uniform(0, np.pi, scene.shape[:2])
    widths = log_uniform(rng, 3, 10) * np.array([1.5, 1, .8])[:rng.integers(2, 4)]
    return paint_layers(rng, scene, angle, widths, rng.uniform(1, 2), rng.uniform(.9, 1.8), rng.uniform(.08, .25),
                   rng.uniform(.04, .18), rng.uniform(0, .35), ends=rng.choice([2, 2, 6]), dry=0, bristle=.04,
                   batches=12)


def knife(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Paint a scene with a palette knife: broad flat strokes with ridges."""
    angle = directions(rng, blur(scene, 4))
    if rng.random() < .4:  # Use only a few directions.
        angle = np.round(angle / (np.pi / 4)) * np.pi / 4 + rng.uniform(0, np.pi)
    angle = angle + rng.uniform(0, .4) * noise(rng, angle.shape, 8)
    widths = log_uniform(rng, 14, 30) * rng.uniform(.5, .65) ** np.arange(rng.integers(2, 4))
    return paint_layers(rng, scene, angle, widths, rng.uniform(1.2, 3.5), rng.uniform(1.4, 2.4), rng.uniform(.05, .22),
                   rng.uniform(.01, .06), rng.uniform(.15, .4), ends=12, dry=rng.uniform(.1, .45),
                   bristle=rng.uniform(.04, .14))


def crayon(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Draw a scene in crayon or chalk: strokes that the grain of the paper breaks up."""
    shape = scene.shape[:2]
    paper = np.clip(.75 + rng.uniform(.25, .7) * noise(rng, shape, rng.uniform(.7, 1.6)), 0, 1)
    angle = rng.uniform(0, np.pi) + .2 * noise(rng, shape, 40) if rng.random() < .4 else directions(rng, scene)
    if rng.random() < .5:
        parts, colors = regions(rng, scene, rng.integers(4, 9), 2.5)
        scene = adjust_contrast(colors, 1.4)[parts]
    return paint_layers(rng, scene, angle, log_uniform(rng, 4, 10) * np.array([1.5, 1, .7]), log_uniform(rng, 3, 8),
                   rng.uniform(1.2, 2.2), rng.uniform(.06, .18), rng.uniform(.02, .08), dry=.2, bristle=.1, paper=paper,
                   curved=rng.random() < .4)


def pen(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Draw a scene with thin strokes: ink or pencil on paper, denser where it is darker, or chalk on black."""
    chalk = rng.random() < .3
    ground, inks = (dark(rng), [pale(rng) for _ in range(3)]) if chalk else (pale(rng), [dark(rng) for _ in range(3)])
    canvas, relief = np.full_like(scene, ground), np.zeros(scene.shape[:2], np.float32)
    light = rank(blur(luminance(scene), 1.5))
    weight = (light if chalk else 1 - light) ** rng.uniform(1, 2.2)
    angle, colored = directions(rng, scene), rng.random() < .5
    for ink in inks[:rng.integers(1, 4)]:
        width, length = log_uniform(rng, 1.5, 3.5), log_uniform(rng, 10, 35)
        centers = places(rng, weight, int(rng.uniform(.35, .9) * weight.size / (width * length)) + 1)
        paint = sample_colors(adjust_contrast(scene, 1.3), centers) if colored else np.tile(ink, (len(centers), 1))
        lay(
            rng,
            canvas,
            relief,
            angle,
            centers,
            vary_paint(rng, paint, 0.15, 0),
            length,
            width,
            curved=rng.random() < 0.6,
            ends=2,
            dry=0.1,
            bristle=0.02,
        )
        angle = angle + rng.choice([0, .5, np.pi / 2])
    return blend(canvas, inks[0], draw_lines(-scene if chalk else scene, .7) * (rng.random() < .5))


def engraving(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Engrave a scene: lines whose width is the tone, in 1 to 3 inks on paper or flat colors, or white on black."""
    shape, light = scene.shape[:2], luminance(scene)
    tone = 1 - (.5 * rank(blur(light, 1)) + .5 * light)
    low, high = np.quantile(tone, (.03, .97))
    tone = (tone - low) / (high - low + 1e-3)
    colors = random_palette(rng) if rng.random() < .5 else main_colors(rng, scene, 5)
    paper, inks = pale(rng), [dark(rng), *adjust_contrast(colors[:3], 1.3)]
    if rng.random() < .2:
        paper, tone, inks = inks[0], 1 - tone, [colors[-1] * .5 + .5, *colors[-3:]]
    picture = np.full_like(scene, paper)
    if rng.random() < .35:
        parts, flat = regions(rng, scene, rng.integers(3, 7), 3)
        picture = flat[parts] * .6 + .4 * paper
    turn, spacing, multicolor = rng.uniform(0, np.pi), log_uniform(rng, 3.5, 9), rng.random() < .5
    for number in range(rng.integers(1, 4)):
        phase = hatching(rng, scene, spacing, turn + number * rng.uniform(.6, 1.6))
        ragged = .07 * noise(rng, shape, 2) + .08 * noise(rng, shape, 14)
        depth = tone * rng.uniform(.85, 1.2) - .28 * number + ragged - np.abs(phase % 1 - .5) * 2
        picture = blend(picture, inks[number * multicolor], depth * spacing / 2 + .5)
    return add_grain(rng, picture, rng.uniform(.01, .05))


def woodblock(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Print a scene from woodblocks, as in ukiyo-e: few flat or graded colors, dark outlines, visible grain."""
    shape = scene.shape[:2]
    parts, colors = regions(rng, scene, rng.integers(4, 10), rng.uniform(1.2, 3.5))
    colors = adjust_contrast(colors, rng.uniform(1.1, 1.7))
    picture, paper = colors[parts], pale(rng)
    for part in rng.permutation(len(colors))[:rng.integers(0, 4)]:
        share = grid(shape)[0] / shape[0]
        if rng.random() < .5:
            phase = hatching(rng, scene, rng.uniform(5, 12), rng.uniform(0, np.pi))
            share = make_styles.cut_lines(rng, phase, rng.uniform(.3, .7))
        elif rng.random() < .5:
            share = 1 - share
        picture = blend(picture, [paper, rng.choice(colors)][rng.integers(2)], .9 * share * (parts == part))
    lines = np.zeros(shape)
    if rng.random() < .8:
        lines = outlines(rng, parts, log_uniform(rng, 1, 4.5))
    if rng.random() < .6:
        lines = np.maximum(lines, draw_lines(scene, rng.uniform(.6, 1.4)))
    return add_grain(rng, blend(picture, dark(rng), lines), rng.uniform(.02, .07))


def poster(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Turn a scene into a poster: flat areas of few colors, some with patterns, outlines or halftone dots."""
    shape = scene.shape[:2]
    displaced = displace(rng, scene, rng.uniform(1, 8), 20)
    parts, colors = regions(rng, displaced, rng.integers(3, 7), rng.uniform(3, 7))
    colors = adjust_contrast(colors, rng.uniform(1.3, 2))
    picture = colors[parts]
    for part in np.flatnonzero(rng.random(len(colors)) < .5):
        pattern = np.full_like(scene, colors[part])
        others = np.stack([rng.choice(colors), colors[part] * .6, colors[part] * .5 + .5])
        sizes = rng.uniform(3, rng.uniform(7, 26), rng.integers(80, 260))
        add_shapes(rng, pattern, others, sizes, [SHAPES[k] for k in rng.integers(len(SHAPES), size=2)], .2)
        picture[parts == part] = pattern[parts == part]
    if rng.random() < .6:
        picture = blend(picture, dark(rng), outlines(rng, parts, log_uniform(rng, 1.5, 6)))
    if rng.random() < .4:
        size = rng.uniform(4, 8)
        dots = sum(np.cos(axis * 2 * np.pi / size) for axis in rotate(*grid(shape), rng.uniform(0, np.pi))) / 2
        share = (dots + 1 - 2 * rank(blur(luminance(scene), 2))) * size + .5
        picture = blend(picture, picture * rng.uniform(.3, .7), share)
    return add_grain(rng, picture, rng.uniform(.02, .08))


def mosaic(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Turn a scene into a mosaic of tiles in mortar."""
    shape, size = scene.shape[:2], log_uniform(rng, 9, 34)
    colors, parts = means(scene, cells(rng, shape, size))
    picture = vary_paint(rng, colors, rng.uniform(.05, .25), rng.uniform(.01, .08))[parts]
    depth, width = make_styles.lead_depth(parts, 0) + .4 * noise(rng, shape, 2), rng.uniform(.4, .05 * size + .8)
    picture = light_relief(rng, add_grain(rng, picture, .05), np.minimum(depth, width + 3), rng.uniform(.05, .3))
    return blend([dark, pale][rng.integers(2)](rng), picture, depth - width + .5)


def glass(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Turn a scene into stained glass: panes of clear color in lead, which may follow the scene's outlines."""
    shape = scene.shape[:2]
    parts = cells(rng, shape, log_uniform(rng, 18, 50))
    if rng.random() < .7:
        parts = parts + shape[0] * shape[1] * regions(rng, scene, rng.integers(3, 6), rng.uniform(3, 6))[0]
    colors, parts = means(scene, parts)
    colors = vary_paint(rng, adjust_contrast(colors, rng.uniform(1.2, 1.8)), rng.uniform(.1, .3), rng.uniform(.02, .12))
    depth = make_styles.lead_depth(parts, log_uniform(rng, .6, 2.2)) + .4 * noise(rng, shape, 12)
    glow = .65 + .45 * np.clip(depth / 9, 0, 1) ** .6
    return blend(dark(rng), add_grain(rng, colors[parts] * glow[..., None], .07), depth + .5)


def watercolor(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Paint a scene in watercolor: overlapping washes with darker edges, on grainy paper."""
    shape, paper = scene.shape[:2], pale(rng)
    picture = np.full_like(scene, paper)
    scene = displace(rng, scene, rng.uniform(1, 5), rng.uniform(4, 14))
    scene = scene + rng.uniform(.1, .5) * (1 - scene)
    for coarse, count in ((6, rng.integers(2, 5)), (2.5, rng.integers(3, 7)), (1.2, rng.integers(4, 8))):
        parts, colors = regions(rng, scene, count, coarse)
        rim = np.exp(-make_styles.lead_depth(parts, 0) / rng.uniform(1.2, 2.5)) * rng.uniform(.2, .9)
        pool = np.clip(.75 + .2 * noise(rng, shape, rng.uniform(20, 60)), .2, 1.2)
        amount = (rim + pool) * rng.uniform(.5, .8)
        wash = 1 + amount[..., None] * (colors[parts] - 1)
        picture = picture * wash.clip(.01) ** rng.uniform(.3, .6)
    grain = noise(rng, shape, rng.uniform(.8, 2))
    picture = picture ** (1 + rng.uniform(.03, .12) * grain + .05 * noise(rng, shape, 6))[..., None]
    return blend(picture, paper, rng.uniform(-3, -.8) + grain - 2.2 * np.abs(noise(rng, shape, 20)))


def abstract(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Draw an abstract composition that ignores the scene, in a random palette or the scene's colors."""
    colors = random_palette(rng) if rng.random() < .75 else main_colors(rng, scene, 7)
    return add_grain(rng, composition(rng, scene.shape[:2], colors), rng.uniform(.02, .07))


def cubist(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Paint a scene in a cubist way: facets with straight edges, each showing a shifted, tinted, shaded part."""
    shape = scene.shape[:2]
    y, x = grid(shape)
    parts, shade, edge = np.zeros(shape, int), np.zeros(shape), np.full(shape, 99.)
    for _ in range(rng.integers(8, 24)):
        middle = rng.random(2) * shape
        along, side = rotate(y - middle[0], x - middle[1], rng.uniform(0, np.pi))
        near = (np.hypot(along, side) < rng.uniform(80, 400)) | (rng.random() < .3)
        parts = np.unique(2 * parts + ((side > 0) & near), return_inverse=True)[1].reshape(shape)
        edge[near] = np.minimum(edge, np.abs(side))[near]
        shade += rng.normal() * np.exp(-np.abs(side) / rng.uniform(8, 30)) * np.sign(side) * near
    shift = rng.normal(0, rng.uniform(0, 40), (parts.max() + 1, 2))[parts]
    scene = sample_colors(scene, (np.stack([y, x], axis=-1) + shift).reshape(-1, 2)).reshape(scene.shape)
    tints = vary_paint(rng, means(scene, parts)[0], rng.uniform(.1, .3), rng.uniform(.02, .1))
    picture = blend(scene, tints[parts], np.full(shape, rng.uniform(.3, 1)))
    picture = picture * (1 + rng.uniform(.1, .35) * shade).clip(0)[..., None]
    picture = np.float32(blend(dark(rng), picture, edge - rng.uniform(-1, 1.5)).clip(0, 1))
    if rng.random() < .6:
        strokes = paint_layers(
            rng, picture, contours(picture, 3)[0], [rng.uniform(4, 8)] * 2, rng.uniform(2, 4), 2.2, 0.08, 0.02, 0.2
        )
        picture = picture * .35 + strokes * .65
    return add_grain(rng, picture, .04)


# technique -> its relative frequency
KINDS = {oil: 5, ribbons: 4, dabs: 3, knife: 3, crayon: 2, pen: 2, engraving: 3, woodblock: 4, poster: 2, mosaic: 2,
         glass: 2, watercolor: 3, abstract: 3, cubist: 2}


# ------------------------------------------------------------------------------------------------------------ pictures

def part_of(rng: np.random.Generator, photo: np.ndarray, shape: Sequence[int]) -> np.ndarray | None:
    """Cut a random part out of a photo, resize it, and mirror it half of the time.

    Args:
        rng: random generator.
        photo: [H, W, 3], 0 to 1.
        shape: (height, width) of the result. The part has 0.6 to 1 times the sides of the largest one that fits.

    Returns:
        The part, [*shape, 3], or None if it is nearly blank (MIN_DEVIATION).
    """
    scale = rng.uniform(.6, 1) * min(np.divide(photo.shape[:2], shape))
    height, width = (max(1, int(side * scale)) for side in shape)
    top, left = (rng.integers(whole - side + 1) for whole, side in zip(photo.shape, (height, width)))
    part = photo[top:top + height, left:left + width]
    if part.std(axis=(0, 1)).max() <= MIN_DEVIATION:
        return None
    part = utils.resize_and_crop(part, shape[1], shape[0])
    return part[:, ::-1] if rng.random() < .5 else part


def random_part(rng: np.random.Generator, photos: Sequence[Path], shape: Sequence[int]) -> np.ndarray:
    """Cut a random part, [*shape, 3] with values from 0 to 1, out of a random photo.

    If the photo is unreadable or the part nearly blank, the photos that follow it are tried.

    Args:
        rng: random generator.
        photos: paths of images.
        shape: (height, width) of the result.

    Raises:
        UserError: no photo gives a part.
    """
    for path in np.roll(photos, -rng.integers(len(photos))):
        try:
            part = part_of(rng, utils.read_image(path) / 255, shape)
        except UserError:
            continue
        if part is not None:
            return part
    raise UserError(f'{Path(photos[0]).parent}: every image in this folder is unreadable or nearly blank; '
                    'name a folder with other photos')


def random_scene(rng: np.random.Generator, photos: Sequence[Path], shape: tuple[int, int]) -> np.ndarray:
    """Draw a random scene to paint: mostly recolored parts of photos, else abstract compositions or colored clouds.

    Args:
        rng: random generator.
        photos: paths of images.
        shape: (height, width) of the scene.

    Returns:
        The scene, float32 [*shape, 3], 0 to 1.
    """
    form = rng.random()
    if form < .08:
        return np.float32(composition(rng, shape, random_palette(rng)))
    if form < .12:
        clouds = noise(rng, shape, rng.uniform(10, 60)) + .5 * noise(rng, shape, 8)
        return np.float32(ramp(rank(clouds), rng.permutation(random_palette(rng))))
    photo, other = random_part(rng, photos, shape), random_part(rng, photos, [side // 4 for side in shape])
    scene = adjust_contrast(recolor(rng, photo, other), rng.uniform(1, 1.3))
    if rng.random() < .1:  # Add dark outlines, in the manner of Gauguin.
        parts, _ = regions(rng, scene, rng.integers(3, 7), 3)
        scene = blend(scene, dark(rng), outlines(rng, parts, rng.uniform(2, 6)))
    return np.float32(scene)


def finish(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Vary the range, brightness and saturation of a picture, sometimes add the weave of a canvas; clip to 0 to 1."""
    low, high = np.quantile(luminance(picture)[::4, ::4], (.01, .99))
    floor, ceiling = rng.uniform(0, .18), rng.uniform(.72, 1)
    picture = floor + (picture - low) * (ceiling - floor) / max(high - low, .1)
    picture = adjust_saturation(picture, rng.uniform(.9, 1.7)) ** log_uniform(rng, .65, 1.3)
    if rng.random() < .15:
        y, x = grid(picture.shape) * 2 * np.pi / rng.uniform(3, 5)
        weave = (np.sin(x) * np.sin(y / 2) + np.sin(y) * np.sin(x / 2)) / 2 + .3 * noise(rng, picture.shape[:2], 1)
        picture = picture * (1 + rng.uniform(.03, .09) * weave)[..., None]
    return np.clip(picture, 0, 1)


def painting(rng: np.random.Generator, photos: Sequence[Path], side: int) -> np.ndarray:
    """Paint a random scene in a random technique.

    Args:
        rng: random generator.
        photos: paths of images.
        side: pixels of the picture's shorter side; its aspect ratio is random within ASPECT_RANGE.

    Returns:
        The picture [H, W, 3], 0 to 1.
    """
    aspect = log_uniform(rng, *ASPECT_RANGE)
    shape = round(side * max(1, 1 / aspect)), round(side * max(1, aspect))
    kind = rng.choice(list(KINDS), p=np.divide(list(KINDS.values()), sum(KINDS.values())))
    return finish(rng, kind(rng, random_scene(rng, photos, shape)))


def _flags(argv):
    """Parse the command line."""
    parser = cli.Parser(prog='python -m fast.data.paint_photos', description=__doc__.split('\n')[0])
    parser.add_argument('photos', type=Path, metavar='PHOTOS', help='folder of photos; all images below it are used')
    parser.add_argument('out', type=Path, metavar='OUT', help='folder for the pictures, <seed>-<number>.jpg; existing '
                        'ones are kept')
    parser.add_argument('--count', type=cli.int_in_range(1, MAX_PICTURES), default=2000, metavar='N',
                        help=f'number of pictures, 1 to {MAX_PICTURES} (default: %(default)s)')
    parser.add_argument('--seed', type=cli.int_in_range(0, 2**31 - 1), default=0, metavar='N',
                        help='seed of everything random, 0 to 2147483647 (default: %(default)s)')
    return parser.parse_args(argv)


@errors.command_line
def main(argv: Sequence[str] | None = None) -> None:
    """Write `--count` pictures to the folder OUT, except for those that exist.

    A picture depends only on its number, the seed, the photos and the versions of the libraries.
    """
    args = _flags(argv)
    photos = utils.find_images(args.photos, args.out)
    # If no photo is usable, this fails before the output folder is created.
    random_part(np.random.default_rng(args.seed), photos, (SIDE_PX, SIDE_PX))
    args.out.mkdir(parents=True, exist_ok=True)
    for number in tqdm(range(args.count), unit='picture'):
        path = args.out / f'{args.seed}-{number:05}.jpg'
        if not path.exists():
            picture = 255 * painting(np.random.default_rng((args.seed, number)), photos, SIDE_PX)
            with files.atomic_write(path) as part:
                part.write_bytes(utils.encode_image(utils.to_uint8(picture), '.jpg', quality=JPEG_QUALITY))


if __name__ == '__main__':
    sys.exit(main())
