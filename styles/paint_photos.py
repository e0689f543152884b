"""Makes many painting-like pictures of photos, to train the network of any style on.

    python styles/paint_photos.py PHOTOS_DIR OUT_DIR --count 2000 [--seed 0]

Each picture draws its kind (oil, knife, woodblock, engraving, …), its palette, its marks and their directions at
random. Variety counts, not the likeness. Colours are 0-1; lengths are in pixels.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.color import hsv2rgb, rgb2hsv
from tqdm import tqdm

import make_styles
import utils
from engine import messages, parsing
from engine.messages import UserError
from fast import transforms

SIDE = 400  # shorter one
ASPECTS = 3 / 4, 4 / 3
QUALITY = 90
LUMA = np.float32([.299, .587, .114])


# ---------------------------------------------------------------------------------------------------------- ingredients

def log_uniform(rng, low, high):
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def noise(rng, shape, grain):
    """`make_styles.noise`, drawn small and enlarged where its grain is coarse: [H, W], float32."""
    factor = max(1, int(grain / 2))
    small = make_styles.noise(rng, [side // factor + 4 for side in shape], grain / factor)
    if factor > 1:
        y, x = (np.arange(side) / factor + 1 for side in shape)
        small = ndimage.map_coordinates(small, np.meshgrid(y, x, indexing='ij'), order=1, mode='nearest')
    return np.float32(small[:shape[0], :shape[1]])


def blur(image, sigma):
    return ndimage.gaussian_filter(image, (sigma, sigma, 0)[:image.ndim], truncate=3)


def luminance(image):
    return image @ LUMA


def rank(values):
    """The share of values that are less, of the shape of `values`: their histogram made flat."""
    steps = np.linspace(0, 1, 65)
    return np.float32(np.interp(values, np.quantile(values.ravel()[::7], steps), steps))


def warped(image, rng, amount, grain):
    """`image` with its pixels displaced by smooth noise of `amount` pixels."""
    y, x = np.mgrid[:image.shape[0], :image.shape[1]]
    y = np.clip(np.rint(y + amount * noise(rng, y.shape, grain)), 0, y.shape[0] - 1).astype(int)
    x = np.clip(np.rint(x + amount * noise(rng, x.shape, grain)), 0, x.shape[1] - 1).astype(int)
    return image[y, x]


# ------------------------------------------------------------------------------------------------------------- palettes

def random_palette(rng):
    """[4-8, 3] colours: harmonious, of two or three hues, or wild, from dark to light."""
    count, base = rng.integers(4, 9), rng.random()
    spread = rng.choice([.03, .08, .15])
    offsets = [[0], [0, .5], [0, .33, .67], [0, .12, .5], [0, .42, .58], *rng.random((2, count))][rng.integers(7)]
    hue = (base + rng.choice(offsets, count) + rng.normal(0, spread, count)) % 1
    value = np.linspace(rng.uniform(.03, .25), rng.uniform(.85, 1), count) ** rng.uniform(.6, 1.4)
    saturation = np.clip(rng.normal(rng.uniform(.25, .8), .22, count), 0, 1)
    saturation[-1] *= rng.uniform(.1, 1)
    return np.float32(hsv2rgb(np.stack([hue, saturation, value], axis=-1)))


def main_colours(rng, image, count):
    """[count, 3]: the means of k-means clusters of an image's colours."""
    pixels = rng.permutation(image.reshape(-1, 3))[:3000]
    centres = pixels[:count]
    for _ in range(6):
        owner = cKDTree(centres).query(pixels)[1]
        centres = np.stack([pixels[owner == k].mean(axis=0) if (owner == k).any() else pixels[k]
                            for k in range(count)])
    return centres[np.argsort(luminance(centres))]


def ramp(share, colours):
    steps = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(share, steps, channel) for channel in colours.T], axis=-1).astype(np.float32)


def boosted(rng, image):
    """More contrast, more saturated, tinted; now and then other hues."""
    light = luminance(image)
    share = rng.uniform(.2, .8)
    target = (1 - share) * light + share * rank(light)
    image = image * ((target + .02) / (light + .02))[..., None]
    grey = luminance(image)[..., None]
    image = grey + (image - grey) * rng.uniform(.8, 2.1)
    if rng.random() < .2:
        hsv = rgb2hsv(image.clip(0, 1))
        hsv[..., 0] = (hsv[..., 0] + rng.random()) % 1
        image = hsv2rgb(hsv)
    tint = 1 + rng.normal(0, .12, 3)
    return np.clip(image * tint + rng.normal(0, .04, 3), 0, 1).astype(np.float32)


def transported(image, colours):
    """`image` with its colours' mean and covariance those of `colours`."""
    A, b = transforms.affine(transforms.moments(image), transforms.moments(colours))
    return np.clip(image @ A + b, 0, 1)


def nearest(image, colours, softness):
    """Each pixel the colour of a palette that is nearest to it; mixed where `softness` is large."""
    distance = ((image[..., None, :] - colours) ** 2).sum(axis=-1)
    weight = np.exp(-(distance - distance.min(axis=-1, keepdims=True)) / softness ** 2)
    return np.float32(weight / weight.sum(axis=-1, keepdims=True)) @ colours


def recoloured(rng, image, other):
    """`image` in its own colours, boosted, or in those of a random palette or of the photo `other`."""
    if rng.random() < .5:
        return boosted(rng, image)
    colours = random_palette(rng) if rng.random() < .6 else main_colours(rng, boosted(rng, other), rng.integers(4, 9))
    colours = np.float32(colours)
    way = rng.integers(3)
    if way == 0:
        light = blur(luminance(image), .7)
        share = rng.uniform(.3, .9) * rank(light) + .05
        share = (share - share.min()) / (np.ptp(share) + 1e-3)
        if rng.random() < .25:  # solarised
            colours = rng.permutation(colours)
        return ramp(share, colours)
    moved = transported(boosted(rng, image), colours)
    return moved if way == 1 else nearest(moved, colours, rng.uniform(.04, .25))


# ------------------------------------------------------------------------------------------------------------- directions

def contour_direction(image, sigma):
    """Radians [H, W] along the edges of an image, and how sure (0-1) each is: the structure tensor's."""
    light = luminance(image)
    gy, gx = ndimage.gaussian_filter(light, 1, (1, 0)), ndimage.gaussian_filter(light, 1, (0, 1))
    yy, xx, xy = (blur(product, sigma) for product in (gy * gy, gx * gx, gx * gy))
    sure = np.hypot(xx - yy, 2 * xy) / (xx + yy + 1e-4)
    return np.arctan2(2 * xy, xx - yy) / 2 + np.pi / 2, sure


def swirls(rng, shape):
    """Radians [H, W] of a flow: around vortices, along waves, or one direction."""
    y, x = np.mgrid[:shape[0], :shape[1]].astype(np.float32)
    kind, start = rng.integers(4), rng.uniform(0, np.pi)
    if kind == 0:
        return start + rng.uniform(.1, .6) * noise(rng, shape, rng.uniform(15, 60))
    if kind == 1:
        return rng.uniform(1, 3) * noise(rng, shape, rng.uniform(25, 80)) + start
    flow = np.zeros(shape, np.complex64)
    for _ in range(rng.integers(1, 9)):
        dy, dx = y - rng.uniform(0, shape[0]), x - rng.uniform(0, shape[1])
        strength = np.exp(-np.hypot(dy, dx) / rng.uniform(30, 150)) * rng.choice([-1, 1])
        flow += strength * np.exp(1j * (np.arctan2(dy, dx) + rng.choice([np.pi / 2, 1.2, 0])))
    return np.angle(flow + .1 * np.exp(1j * start) * (kind == 3)) + .2 * noise(rng, shape, 30)


def directions(rng, image):
    """Radians [H, W] of strokes: along the contours where there are any, else along a flow; or only one of them."""
    flow = swirls(rng, image.shape[:2])
    along, sure = contour_direction(image, log_uniform(rng, 2, 8))
    trust = np.clip(sure * rng.uniform(0, 2.2), 0, 1)
    double = (1 - trust) * np.exp(2j * flow) + trust * np.exp(2j * along)  # a line's direction is that of its turn
    angle = np.angle(double) / 2
    if rng.random() < .15:
        angle = angle + np.pi / 2
    return angle.astype(np.float32)


# ------------------------------------------------------------------------------------------------------------- strokes

def paths(angle, centres, half, curved):
    """Points [n, T, 2] (y, x) and directions [n, T] along strokes through `centres` [n, 2], one a pixel."""
    H, W = angle.shape

    def turn(points):
        y, x = np.rint(points).astype(int).T
        return angle[y.clip(0, H - 1), x.clip(0, W - 1)]

    start = turn(centres)
    if not curved:
        steps = np.arange(-half, half + 1, dtype=np.float32)
        forward = np.stack([np.sin(start), np.cos(start)], axis=-1)
        return centres[:, None] + steps[:, None] * forward[:, None], np.broadcast_to(start[:, None],
                                                                                    (len(start), len(steps)))
    sides = []
    for sign in (-1, 1):
        point, theta, points, thetas = centres, start, [], []
        for _ in range(half):
            point = point + sign * np.stack([np.sin(theta), np.cos(theta)], axis=-1)
            new = turn(point)
            theta = new + np.pi * (np.cos(new - theta) < 0)
            points.append(point)
            thetas.append(theta)
        sides.append((points, thetas))
    (back, back_turn), (ahead, ahead_turn) = sides
    return (np.stack(back[::-1] + [centres] + ahead, axis=1).astype(np.float32),
            np.stack(back_turn[::-1] + [start] + ahead_turn, axis=1).astype(np.float32))


def lay(rng, canvas, relief, angle, centres, paint, length, width, *, curved=False, ends=4., dry=.25, bristle=.07,
        paper=None, batches=8):
    """Lay strokes on `canvas` [H, W, 3] and their thickness on `relief` [H, W], in place, later ones over earlier.

    centres: [n, 2] (y, x); paint: [n, 3]; length, width: of a stroke, varied; ends: 1 pointed, 2 an ellipse, more: a
    rectangle; paper: [H, W], what of a dry crayon's colour takes, more where it is more, or None
    """
    H, W = relief.shape
    half = max(1, int(np.ceil(length * .65)))
    across = np.arange(-width * .65 - 1, width * .65 + 1.01, .9, dtype=np.float32)
    for part in np.array_split(np.arange(len(centres)), batches):
        if not len(part):
            continue
        n = len(part)
        points, turn = paths(angle, centres[part], half, curved)
        exact = points[:, :, None] + across[:, None] * np.stack([np.cos(turn), -np.sin(turn)], axis=-1)[:, :, None]
        pixel = np.rint(exact).astype(np.int32)
        rest = pixel - exact
        sine, cosine = np.sin(turn)[..., None], np.cos(turn)[..., None]
        u = np.arange(-half, half + 1, dtype=np.float32)[:, None] + rest[..., 0] * sine + rest[..., 1] * cosine
        v = across + rest[..., 0] * cosine - rest[..., 1] * sine
        half_length = np.float32(length / 2 * rng.uniform(.6, 1.3, n))
        half_width = np.float32(width / 2 * rng.uniform(.7, 1.3, n))
        share = u / half_length[:, None, None]
        edge = half_width[:, None, None] * np.sqrt((1 - np.abs(share) ** float(ends)).clip(0)) - np.abs(v)
        edge = np.minimum(edge, half_length[:, None, None] - np.abs(u))
        inside = ((edge > -.4) & (pixel[..., 0] >= 0) & (pixel[..., 0] < H)
                  & (pixel[..., 1] >= 0) & (pixel[..., 1] < W))
        where = (pixel[..., 0] * W + pixel[..., 1])[inside]
        owner = np.full(H * W, -1, np.int32)
        owner[where] = np.flatnonzero(inside)  # the last one stays
        where, chosen = np.flatnonzero(owner >= 0), owner[owner >= 0]
        of, share, v, edge = chosen // inside[0].size, share.ravel()[chosen], v.ravel()[chosen], edge.ravel()[chosen]
        v = v / half_width[of]
        ridges = np.float32(rng.standard_normal((n, 14)).clip(-2, 2))
        bins = ((v + 1.3) * 5).clip(0, 12.99)
        low = bins.astype(np.int32)
        ridge = ridges[of, low]
        ridge += (ridges[of, low + 1] - ridge) * (bins - low)
        cover = (edge + .1 * width ** .5 * ridge + .5).clip(0, 1)
        cover *= (1.15 - dry * (share / 2 + .5) * (1 + ridge)).clip(.3, 1)
        if paper is not None:
            cover = cover * paper.ravel()[where]
        colour = paint[part][of] * (1 + bristle * ridge + bristle * .8 * share)[:, None]
        flat, thick = canvas.reshape(-1, 3), relief.reshape(-1)
        flat[where] += (colour - flat[where]) * cover[:, None]
        height = width ** .5 * (.5 + .22 * ridge + .5 * np.abs(v).clip(0, 1) ** 4 + .2 * share)
        thick[where] += cover * (height - .7 * thick[where])


def places(rng, shape, count, weight=None):
    """[count, 2] points (y, x): anywhere, or where `weight` [H, W] is large."""
    if weight is None:
        return np.float32(rng.random((count, 2)) * shape)
    rows = np.cumsum(weight.ravel())
    chosen = np.searchsorted(rows, rng.random(count) * rows[-1]).clip(0, weight.size - 1)
    return np.float32(np.stack(np.divmod(chosen, shape[1]), axis=-1))


def picked(image, points):
    y, x = np.rint(points).astype(int).T
    return image[y.clip(0, image.shape[0] - 1), x.clip(0, image.shape[1] - 1)]


def mixed_paint(rng, paint, value, hue):
    """Colours [n, 3] varied: each lighter or darker by `value`, its channels by `hue`, more saturated."""
    grey = luminance(paint)[:, None]
    paint = grey + (paint - grey) * rng.uniform(1, 1.5, (len(paint), 1))
    return np.float32(np.clip(paint * (1 + value * rng.standard_normal((len(paint), 1)))
                              + hue * rng.standard_normal(paint.shape), 0, 1))


def lit(rng, canvas, relief, strength):
    """The canvas with its relief lit from one side."""
    gy, gx = np.gradient(blur(relief, .6))
    turn = rng.uniform(0, 2 * np.pi)
    light = np.clip(-strength * (gy * np.sin(turn) + gx * np.cos(turn)), -.3, .4)[..., None]
    return canvas * (1 + .8 * light) + .25 * light.clip(0)


def detail(image):
    """[H, W]: where an image has edges."""
    return ndimage.gaussian_gradient_magnitude(luminance(image), 1.5) + .002


def ground(rng, scene):
    """The colour [3] that a canvas is primed with: dark, light or one of the scene's."""
    return [np.float32(rng.uniform(.03, .25, 3)), np.float32(rng.uniform(.75, .97) - rng.uniform(0, .15, 3) * [0, .4, 1]),
            scene[rng.integers(scene.shape[0]), rng.integers(scene.shape[1])]][rng.integers(3)]


def painted(rng, scene, angle, widths, ratio, cover, value, hue, **marks):
    """Layers of strokes, one a width: (canvas, relief)."""
    shape = scene.shape[:2]
    canvas = np.empty_like(scene)
    canvas[:] = ground(rng, scene)
    relief = np.zeros(shape, np.float32)
    for level, width in enumerate(widths):
        length = max(width * ratio, 2)
        count = int(cover * relief.size / (length * width))
        seen = blur(scene, width / 4)
        centres = places(rng, shape, count, detail(scene) if level and rng.random() < .7 else None)
        paint = mixed_paint(rng, picked(seen, centres), value, hue)
        lay(rng, canvas, relief, angle, centres, paint, length, width, **marks)
    return canvas, relief


# --------------------------------------------------------------------------------------------------------------- kinds

def oil(rng, scene):
    """Short or long strokes along the contours or a flow, coarse to fine."""
    angle = directions(rng, scene) + .15 * rng.standard_normal() * noise(rng, scene.shape[:2], 4)
    widest = log_uniform(rng, 5, 16)
    widths = widest * rng.uniform(.45, .65) ** np.arange(rng.integers(2, 4))
    canvas, relief = painted(rng, scene, angle, widths.clip(2), log_uniform(rng, 1.8, 6), rng.uniform(1.2, 2.2),
                             rng.uniform(.06, .25), rng.uniform(.01, .08), ends=rng.choice([2, 4, 8]),
                             curved=rng.random() < .5, dry=rng.uniform(0, .4), bristle=rng.uniform(.03, .14))
    return lit(rng, canvas, relief, rng.uniform(0, .35))


def ribbons(rng, scene):
    """Long curved strokes side by side, each of its own colour, as van Gogh's."""
    angle = directions(rng, scene)
    widest = log_uniform(rng, 3.5, 9)
    widths = widest * np.array([1.4, 1, .7])[:rng.integers(2, 4)]
    canvas, relief = painted(rng, scene, angle, widths.clip(2.5), log_uniform(rng, 5, 12), rng.uniform(1, 1.8),
                             rng.uniform(.15, .4), rng.uniform(.02, .1), curved=True, ends=rng.choice([2, 4]),
                             dry=rng.uniform(0, .3), bristle=rng.uniform(.04, .12))
    return lit(rng, canvas, relief, rng.uniform(.1, .4))


def dabs(rng, scene):
    """Dots or short dabs, of colours that mix in the eye, as Seurat's and Signac's."""
    pure = rng.uniform(.06, .2)
    width = log_uniform(rng, 3, 10)
    angle = directions(rng, scene) if rng.random() < .6 else rng.uniform(0, np.pi, scene.shape[:2])
    canvas, relief = painted(rng, scene, np.float32(angle), np.array([1.5, 1, .8][:rng.integers(2, 4)]) * width,
                             rng.uniform(1, 2), rng.uniform(.9, 1.6), rng.uniform(.1, .3), pure,
                             ends=rng.choice([2, 2, 6]), dry=0, bristle=.04, batches=12)
    return lit(rng, canvas, relief, rng.uniform(0, .35))


def knife(rng, scene):
    """Broad flat strokes with ridges at their edges."""
    angle = directions(rng, blur(scene, 4))
    if rng.random() < .4:  # a few directions only
        angle = np.float32(np.round(angle / (np.pi / 4)) * np.pi / 4 + rng.uniform(0, np.pi))
    angle = angle + np.float32(.25 * rng.standard_normal() * noise(rng, angle.shape, 8))
    widths = log_uniform(rng, 14, 30) * rng.uniform(.5, .65) ** np.arange(rng.integers(2, 4))
    canvas, relief = painted(rng, scene, angle, widths, rng.uniform(1.2, 3.5), rng.uniform(1.4, 2.4),
                             rng.uniform(.06, .25), rng.uniform(.01, .06), ends=12., dry=rng.uniform(.1, .45),
                             bristle=rng.uniform(.04, .14))
    return lit(rng, canvas, relief, rng.uniform(.15, .4))


def regions(rng, scene, count, coarse):
    """Whole numbers [H, W]: which of `count` colours, and those [count, 3], of the scene smoothed and simplified."""
    smooth = ndimage.median_filter(blur(scene, coarse)[::2, ::2], (3, 3, 1))
    colours = main_colours(rng, smooth, count)
    index = cKDTree(colours).query(smooth.reshape(-1, 3))[1].reshape(smooth.shape[:2])
    big = np.repeat(np.repeat(index, 2, axis=0), 2, axis=1)[:scene.shape[0], :scene.shape[1]]
    votes = np.stack([blur(np.float32(big == k), coarse) for k in range(count)])
    return votes.argmax(axis=0), np.float32(colours)


def outlines(rng, parts, width):
    """0-1 [H, W]: lines between parts, about `width` wide, swelling and fading."""
    depth = make_styles.lead_depth(parts, 0)
    swell = np.clip(1 + .6 * noise(rng, parts.shape, 20) + .15 * noise(rng, parts.shape, 3), 0, 3)
    return np.clip(width / 2 * swell - depth + .8, 0, 1)


def paper_grain(rng, shape, strength):
    fibres = noise(rng, shape, 1) if rng.random() < .5 else np.float32(
        make_styles.noise(rng, shape, rng.permutation([1, 5])))
    return 1 + strength * (fibres + .5 * noise(rng, shape, 40))


def contrasted(scene, amount):
    """Colours further from their mean."""
    mean = scene.mean(axis=(0, 1))
    return np.clip(mean + (scene - mean) * amount, 0, 1)


def woodblock(rng, scene):
    """Few flat colours, dark outlines, gradients and wood or paper grain, as in ukiyo-e."""
    shape = scene.shape[:2]
    parts, colours = regions(rng, scene, rng.integers(4, 10), rng.uniform(1.2, 3.5))
    colours = contrasted(colours[None], rng.uniform(1.1, 1.7))[0]
    picture = colours[parts]
    paper = np.float32([.95, .9, .78]) * rng.uniform(.9, 1.04)
    for part in rng.permutation(len(colours))[:rng.integers(0, 4)]:  # a colour that fades or is cut in lines
        if rng.random() < .5:
            fade = np.linspace(0, 1, shape[0])[:, None] * np.ones(shape)
            fade = fade if rng.random() < .5 else 1 - fade
        else:
            fade = make_styles.cut_lines(rng, hatching(rng, scene, rng.uniform(5, 12)), rng.uniform(.3, .7))
        other = [paper, colours[rng.integers(len(colours))]][rng.integers(2)]
        share = np.where(parts == part, fade, 0)
        picture = make_styles.blend(picture, other, .9 * share)
    ink = np.float32(rng.uniform(0, .25, 3))
    lines = outlines(rng, parts, log_uniform(rng, 1, 4.5)) if rng.random() < .8 else np.zeros(shape)
    drawn = blur(luminance(scene), 1) - blur(luminance(scene), 2.5)
    lines = np.maximum(lines, np.clip(-drawn * 40 - rng.uniform(.6, 1.4), 0, 1) * (rng.random() < .6))
    picture = make_styles.blend(picture, ink, lines)
    return picture * paper_grain(rng, shape, rng.uniform(.02, .08))[..., None]


def hatching(rng, scene, spacing, angle=None):
    """Phase [H, W] of lines about `spacing` apart: straight, round, or bent by noise and by the scene's light."""
    shape = scene.shape[:2]
    y, x = np.mgrid[:shape[0], :shape[1]].astype(np.float32)
    turn = rng.uniform(0, np.pi) if angle is None else angle
    phase = y * np.cos(turn) + x * np.sin(turn)
    if rng.random() < .25:
        phase = np.hypot(y - rng.uniform(-.2, 1.2) * shape[0], x - rng.uniform(-.2, 1.2) * shape[1])
    phase = phase + rng.uniform(0, 1.5) * spacing * noise(rng, shape, 40)
    return (phase + rng.uniform(-40, 40) * blur(luminance(scene), 6)) / spacing


def engraving(rng, scene):
    """Lines that swell with the tone, in one to three inks on paper."""
    shape = scene.shape[:2]
    light = luminance(scene)
    dark = 1 - (.5 * rank(blur(light, 1)) + .5 * np.clip(light, 0, 1))
    dark = (dark - np.quantile(dark, .03)) / (np.ptp(np.quantile(dark, [.03, .97])) + 1e-3)
    spacing = log_uniform(rng, 3.5, 9)
    colours = random_palette(rng) if rng.random() < .5 else main_colours(rng, scene, 5)
    paper = np.float32(rng.uniform(.85, 1) - rng.uniform(0, .2) * np.array([0, .4, 1])) if rng.random() < .6 \
        else colours[-1] * .4 + .6
    inks = [np.float32(rng.uniform(0, .2, 3)), *contrasted(colours[None, :3], 1.3)[0]]
    night = rng.random() < .2  # white lines on black
    if night:
        paper, dark = inks[0], 1 - dark
        inks = [colours[-1] * .5 + .5, *colours[-3:]]
    picture = np.empty_like(scene)
    picture[:] = paper
    if rng.random() < .35:  # coloured afterwards, flat
        parts, flat = regions(rng, scene, rng.integers(3, 7), 3)
        picture = (flat * .6 + .4 * paper)[parts]
    turn = rng.uniform(0, np.pi)
    for number in range(rng.integers(1, 4)):
        phase = hatching(rng, scene, spacing, turn + number * rng.uniform(.6, 1.6))
        tone = dark * rng.uniform(.85, 1.2) - .28 * number
        ragged = .07 * noise(rng, shape, 2) + .08 * noise(rng, shape, 14)
        edge = (tone + ragged * (tone > .02) - np.abs(phase % 1 - .5) * 2) * spacing / 2
        picture = make_styles.blend(picture, inks[number % len(inks) if rng.random() < .5 else 0],
                                    np.clip(edge + .5, 0, 1))
    return picture * paper_grain(rng, shape, rng.uniform(.01, .05))[..., None]


def pen(rng, scene):
    """Many thin strokes of ink, chalk or coloured pencil along the contours, denser where it is dark."""
    shape = scene.shape[:2]
    angle = directions(rng, scene)
    bright = rng.random() < .3  # chalk on dark paper
    paper = np.float32(rng.uniform(.03, .3, 3) if bright else rng.uniform(.82, 1, 3))
    weight = rank(blur(luminance(scene), 1.5))
    weight = (weight if bright else 1 - weight) ** rng.uniform(1, 2.2)
    canvas, relief = np.empty_like(scene), np.zeros(shape, np.float32)
    canvas[:] = paper
    coloured = rng.random() < .5
    inks = np.float32(rng.uniform(.75, 1, (3, 3)) if bright else rng.uniform(0, .35, (3, 3)))
    for _ in range(rng.integers(1, 4)):
        width, length = log_uniform(rng, 1.5, 3.5), log_uniform(rng, 10, 35)
        count = int(rng.uniform(.35, .9) * weight.size / (width * length))
        centres = places(rng, shape, count, weight)
        paint = picked(contrasted(scene, 1.3), centres) if coloured else inks[rng.integers(3, size=count) if
                                                                              rng.random() < .3 else 0]
        paint = np.broadcast_to(paint, (count, 3)) * np.float32(rng.uniform(.8, 1.2, (count, 1)))
        lay(rng, canvas, relief, angle, centres, paint, length, width, curved=rng.random() < .6, ends=2, dry=.1,
            bristle=.02)
        angle = angle + np.float32(rng.choice([0, .5, np.pi / 2]))
    if rng.random() < .5:
        drawn = blur(luminance(scene), 1) - blur(luminance(scene), 2.5)
        canvas = make_styles.blend(canvas, inks[0], np.clip((drawn if bright else -drawn) * 40 - .7, 0, 1))
    return canvas


def crayon(rng, scene):
    """Waxy or chalky strokes broken by the paper's grain."""
    shape = scene.shape[:2]
    grain = noise(rng, shape, rng.uniform(.7, 1.6))
    paper = np.clip(.75 + rng.uniform(.25, .7) * grain, 0, 1)
    turn = np.full(shape, rng.uniform(0, np.pi)) + .2 * noise(rng, shape, 40)
    angle = np.float32(turn) if rng.random() < .4 else directions(rng, scene)
    flat = scene
    if rng.random() < .5:
        parts, colours = regions(rng, scene, rng.integers(4, 9), 2.5)
        flat = contrasted(colours[None], 1.4)[0][parts]
    canvas, _ = painted(rng, flat, angle, log_uniform(rng, 4, 10) * np.array([1.5, 1, .7]), log_uniform(rng, 3, 8),
                        rng.uniform(1, 2), rng.uniform(.08, .2), rng.uniform(.02, .08), ends=4, dry=.2, bristle=.1,
                        paper=paper, curved=rng.random() < .4)
    return canvas


def cells(rng, scene):
    """Cell numbers [H, W] and centres of a mosaic: squares turned, bricks, or points at random."""
    shape = scene.shape[:2]
    size = log_uniform(rng, 10, 38)
    y, x = np.mgrid[-shape[0]:2 * shape[0]:size, -shape[1]:2 * shape[1]:size * rng.choice([1, 1, 1.7])]
    x = x + size / 2 * (np.arange(len(x))[:, None] % 2) * (rng.random() < .5)
    points = np.stack([y.ravel(), x.ravel()], axis=-1) - np.array(shape) / 2
    turn = rng.uniform(0, np.pi)
    points = points @ [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]] + np.array(shape) / 2
    points += rng.normal(0, size * rng.choice([.04, .15, .4]), points.shape)
    points = points[((points > -size) & (points < np.array(shape) + size)).all(axis=1)]
    pixels = np.stack(np.mgrid[:shape[0], :shape[1]], axis=-1).reshape(-1, 2)
    bend = rng.uniform(0, .2) * size * np.stack([noise(rng, shape, 12).ravel(), noise(rng, shape, 12).ravel()], axis=-1)
    owner = cKDTree(points).query(pixels + bend)[1]
    return owner.reshape(shape), size


def cell_means(scene, owner):
    _, owner = np.unique(owner, return_inverse=True)
    owner = owner.ravel()
    count = np.bincount(owner)
    return np.stack([np.bincount(owner, channel) / count for channel in scene.reshape(-1, 3).T], axis=-1), owner


def mosaic(rng, scene):
    """Tiles in mortar."""
    shape = scene.shape[:2]
    parts, size = cells(rng, scene)
    colours, owner = cell_means(scene, parts)
    colours = mixed_paint(rng, colours, rng.uniform(.05, .25), rng.uniform(.01, .08))
    depth = make_styles.lead_depth(parts, 0) + .4 * noise(rng, shape, 2)
    picture = colours[owner].reshape(scene.shape) * (1 + .05 * noise(rng, shape, 1.5))[..., None]
    mortar = [np.float32(rng.uniform(.05, .25, 3)), np.float32(rng.uniform(.6, .95, 3))][rng.integers(2)]
    width = rng.uniform(.4, .05 * size + .8)
    picture = lit(rng, picture, np.minimum(depth, width + 3), rng.uniform(.05, .3))
    return make_styles.blend(mortar, picture, np.clip(depth - width + .5, 0, 1))


def glass(rng, scene):
    """Panes of clear colour in lead, which follows the scene."""
    shape = scene.shape[:2]
    parts, size = cells(rng, scene)
    if rng.random() < .7:
        found, _ = regions(rng, scene, rng.integers(3, 6), rng.uniform(3, 6))
        big = np.random.default_rng(rng.integers(1 << 30)).permutation(4)[0]
        coarse, _ = cells(rng, scene) if big else (parts, 0)
        parts = found * (coarse.max() + 1) + coarse
    colours, owner = cell_means(scene, parts)
    colours = mixed_paint(rng, contrasted(colours[None], rng.uniform(1.2, 1.8))[0], rng.uniform(.1, .3),
                          rng.uniform(.02, .12))
    depth = make_styles.lead_depth(parts, log_uniform(rng, .6, 2.2)) + .4 * noise(rng, shape, 12)
    glow = .65 + .45 * np.clip(depth / 9, 0, 1) ** .6
    streaks = 1 + .06 * np.float32(make_styles.noise(rng, shape, (2, 15))) + .06 * noise(rng, shape, 12)
    picture = colours[owner].reshape(scene.shape) * (glow * streaks)[..., None]
    return make_styles.blend(np.float32(rng.uniform(.02, .12, 3)), picture, np.clip(depth + .5, 0, 1))


def watercolour(rng, scene):
    """Washes one over the other, darker at their rims, on paper with a grain."""
    shape = scene.shape[:2]
    paper = np.float32([.98, .96, .91]) * rng.uniform(.93, 1.02)
    picture = np.empty_like(scene)
    picture[:] = paper
    scene = warped(scene, rng, rng.uniform(1, 5), rng.uniform(4, 14))
    pale = rng.uniform(.05, .35)
    for coarse, count in ((6, rng.integers(2, 5)), (2.5, rng.integers(3, 7)), (1.2, rng.integers(4, 8))):
        parts, colours = regions(rng, scene, count, coarse)
        depth = make_styles.lead_depth(parts, 0)
        rim = np.exp(-depth / rng.uniform(1.2, 2.5)) * rng.uniform(.2, .9)
        pool = np.clip(.75 + .14 * noise(rng, shape, rng.uniform(8, 25)), .3, 1.2)
        tint = pale + (1 - pale) * colours[parts]
        amount = np.clip((rim + pool) * rng.uniform(.5, .8), 0, 1.3)[..., None]
        picture = picture * np.clip(1 - amount + amount * tint, .01, 1) ** rng.uniform(.35, .65)
    grain = noise(rng, shape, rng.uniform(.8, 2))
    picture = picture ** (1 + .12 * grain + .1 * noise(rng, shape, 5))[..., None]
    gaps = np.clip(rng.uniform(-2.5, -.3) + grain - 2.2 * np.abs(noise(rng, shape, 20)), 0, 1)
    return make_styles.blend(picture, paper, gaps)


# ------------------------------------------------------------------------------------------------------------ abstracts

def shape_edge(rng, y, x, kind, size):
    """Pixels [H, W] inside the outline of a shape about (0, 0), negative outside of it."""
    turn = rng.uniform(0, 2 * np.pi)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    radius = np.hypot(y, x)
    if kind == 'disc':
        return size - np.hypot(along, across * rng.choice([1, 1, rng.uniform(1, 2.5)]))
    if kind == 'ring':
        return size * rng.uniform(.06, .3) - np.abs(radius - size * .8)
    if kind == 'rings':
        return np.minimum(size - radius, np.abs((radius / size * rng.integers(2, 6)) % 1 - .5) * size / 3 - size * .05)
    if kind == 'line':
        return np.minimum(size * 2.5 - np.abs(along), size * rng.uniform(.02, .1) + .6
                          - np.abs(across + size * rng.choice([0, .4]) * np.sin(along / size * 2)))
    if kind == 'bar':
        return np.minimum(size - np.abs(along), size * rng.uniform(.15, .8) - np.abs(across))
    if kind == 'arc':
        return np.minimum(size * rng.uniform(.05, .25) - np.abs(radius - size), along + size * rng.uniform(-.6, .5))
    if kind == 'chequer':
        unit = size / rng.integers(2, 5)
        tiles = np.minimum(np.abs(along % (2 * unit) - unit) - unit / 2, 9) * np.sign(
            np.abs(across % (2 * unit) - unit) - unit / 2)
        return np.minimum(np.minimum(size - np.abs(along), size - np.abs(across)), tiles)
    if kind == 'stripes':
        unit = size / rng.integers(2, 6)
        return np.minimum(size - radius if rng.random() < .4 else size - np.maximum(np.abs(along), np.abs(across)),
                          np.abs(along % unit - unit / 2) - unit / 4)
    if kind == 'blob':
        theta = np.arctan2(across, along)
        waves = sum(rng.normal(0, .25 / k) * np.cos(k * theta + rng.uniform(0, 6)) for k in range(1, 6))
        return size * (.8 + waves) - radius
    if kind == 'star':
        points = rng.integers(3, 9)
        return size * (.6 + .4 * np.cos(points * np.arctan2(across, along))) - radius
    if kind == 'crescent':
        return np.minimum(size - radius, np.hypot(along - size * .5, across) - size * .9)
    corners = np.sort(rng.uniform(0, 2 * np.pi, 3)) if kind == 'triangle' else np.arange(4) * np.pi / 2
    return np.minimum.reduce([size * .55 - along * np.cos(c) - across * np.sin(c) for c in corners])


SHAPES = ('disc', 'ring', 'rings', 'line', 'bar', 'arc', 'chequer', 'stripes', 'blob', 'star', 'crescent', 'triangle',
          'square')


def drawn_shapes(rng, picture, colours, count, largest, kinds, outline):
    """Draw `count` shapes on `picture`, in place, large ones first."""
    H, W = picture.shape[:2]
    sizes = np.sort(np.exp(rng.uniform(np.log(4), np.log(largest), count)))[::-1]
    for size in sizes:
        kind, centre = rng.choice(kinds), rng.random(2) * (H, W)
        reach = size * (2.6 if kind == 'line' else 1.6) + 4
        window = tuple(slice(int(max(middle - reach, 0)), int(min(middle + reach, side)))
                       for middle, side in zip(centre, (H, W)))
        y, x = (grid.astype(np.float32) - middle for grid, middle in zip(np.mgrid[window], centre))
        edge = shape_edge(rng, y, x, kind, size)
        colour = colours[rng.integers(len(colours))]
        second = colours[rng.integers(len(colours))]
        shade = np.clip(.5 + (y * rng.normal() + x * rng.normal()) / (2 * size), 0, 1) * (rng.random() < .4)
        picture[window] = make_styles.blend(picture[window], make_styles.blend(colour, second, shade),
                                            np.clip(edge + .5, 0, 1) * rng.choice([1, 1, .75]))
        if outline and rng.random() < outline:
            dark = colours[0] * .4
            width = rng.uniform(.8, 2.5)
            picture[window] = make_styles.blend(picture[window], dark, np.clip(width - np.abs(edge), 0, 1))


def composition(rng, shape, colours):
    """Circles, lines, chequers, triangles over a ground, as Kandinsky's and Miró's."""
    base = ramp(np.clip(.5 + .3 * noise(rng, shape, rng.uniform(20, 90)), 0, 1), rng.permutation(colours)[:3])
    if rng.random() < .6:
        base = base * .25 + .75 * colours[rng.choice([0, -1, -1])]
    kinds = rng.choice(SHAPES, rng.integers(3, len(SHAPES)), replace=False)
    drawn_shapes(rng, base, colours, rng.integers(25, 110), log_uniform(rng, 40, 110), kinds, rng.choice([0, .5, 1]))
    return base


def abstract(rng, scene):
    """A composition over flat or painted ground, some with a texture of canvas."""
    colours = random_palette(rng) if rng.random() < .75 else main_colours(rng, scene, 7)
    picture = composition(rng, scene.shape[:2], colours)
    return picture * paper_grain(rng, picture.shape[:2], rng.uniform(.02, .08))[..., None]


def cubist(rng, scene):
    """Facets cut by straight lines, each with its own part of the photo, its own tint and a shade across it."""
    shape = scene.shape[:2]
    y, x = np.mgrid[:shape[0], :shape[1]].astype(np.float32)
    parts, edge = np.zeros(shape, np.int64), np.full(shape, np.inf)
    shade = np.zeros(shape, np.float32)
    for _ in range(rng.integers(8, 24)):
        turn, centre = rng.uniform(0, np.pi), rng.random(2) * shape
        side = (y - centre[0]) * np.cos(turn) + (x - centre[1]) * np.sin(turn)
        near = (np.hypot(y - centre[0], x - centre[1]) < rng.uniform(80, 400)) | (rng.random() < .3)
        parts = parts * 2 + ((side > 0) & near)
        parts = np.unique(parts, return_inverse=True)[1].reshape(shape)
        edge = np.where(near, np.minimum(edge, np.abs(side)), edge)
        shade += rng.normal() * np.exp(-np.abs(side) / rng.uniform(8, 30)) * np.sign(side) * near
    count = parts.max() + 1
    shift = rng.normal(0, rng.uniform(0, 40), (count, 2))[parts]
    scene = scene[(y + shift[..., 0]).astype(int).clip(0, shape[0] - 1),
                  (x + shift[..., 1]).astype(int).clip(0, shape[1] - 1)]
    means, owner = cell_means(scene, parts)
    flat = mixed_paint(rng, means, rng.uniform(.1, .3), rng.uniform(.02, .1))[owner].reshape(scene.shape)
    picture = make_styles.blend(scene, flat, np.full(shape, rng.uniform(.3, 1)))
    picture = np.clip(picture * (1 + rng.uniform(.1, .35) * shade)[..., None], 0, 1)
    picture = np.float32(make_styles.blend(np.float32(rng.uniform(0, .2, 3)), picture,
                                           np.clip(edge - rng.uniform(-1, 1.5), 0, 1)))
    if rng.random() < .6:
        canvas, relief = painted(rng, picture, contour_direction(picture, 3)[0], [rng.uniform(4, 8)] * 2,
                                 rng.uniform(2, 4), 1.3, .08, .02)
        picture = lit(rng, picture * .35 + canvas * .65, relief, .2)
    return picture * paper_grain(rng, shape, .04)[..., None]


def poster(rng, scene):
    """Flat shapes cut from a few colours, some with patterns in them, thick outlines or none."""
    shape = scene.shape[:2]
    parts, colours = regions(rng, warped(scene, rng, rng.uniform(1, 8), 20), rng.integers(3, 7), rng.uniform(3, 7))
    colours = contrasted(colours[None], rng.uniform(1.3, 2))[0]
    picture = colours[parts]
    for part in range(len(colours)):
        if rng.random() < .5:
            pattern = np.empty_like(scene)
            pattern[:] = colours[part]
            others = np.float32([colours[rng.integers(len(colours))], colours[part] * .6, colours[part] * .5 + .5])
            drawn_shapes(rng, pattern, others, rng.integers(80, 260), rng.uniform(7, 26),
                         rng.choice(SHAPES, 2), rng.choice([0, .3]))
            picture = np.where((parts == part)[..., None], pattern, picture)
    if rng.random() < .6:
        picture = make_styles.blend(picture, np.float32(rng.uniform(0, .2, 3)),
                                    outlines(rng, parts, log_uniform(rng, 1.5, 6)))
    if rng.random() < .4:  # a print's dots
        size = rng.uniform(4, 8)
        y, x = np.mgrid[:shape[0], :shape[1]] / size
        turn = rng.uniform(0, np.pi)
        dots = np.cos(2 * np.pi * (x * np.cos(turn) + y * np.sin(turn))) + np.cos(
            2 * np.pi * (y * np.cos(turn) - x * np.sin(turn)))
        share = np.clip((dots / 2 - 1 + 2 * (1 - rank(blur(luminance(scene), 2)))) * size + .5, 0, 1)
        picture = make_styles.blend(picture, picture * rng.uniform(.3, .7), share)
    return picture * paper_grain(rng, shape, rng.uniform(.02, .1))[..., None]


KINDS = {oil: 5, ribbons: 4, dabs: 3, knife: 3, woodblock: 4, engraving: 3, pen: 2, crayon: 2, mosaic: 2, glass: 2,
         watercolour: 3, abstract: 3, cubist: 2, poster: 2}


# ------------------------------------------------------------------------------------------------------------- pictures

def part_of(rng, photo, shape):
    """A random part of a photo, [H, W, 3] of `shape`."""
    H, W = photo.shape[:2]
    share = rng.uniform(.6, 1)
    scale = share * min(H / shape[0], W / shape[1])
    height, width = max(int(shape[0] * scale), 1), max(int(shape[1] * scale), 1)
    top, left = rng.integers(H - height + 1), rng.integers(W - width + 1)
    part = utils.fit(photo[top:top + height, left:left + width], shape[1], shape[0]) / 255
    return part[:, ::-1] if rng.random() < .5 else part


def source(rng, photos, shape):
    """What is painted, [H, W, 3]: a photo, in its colours or others; now and then a composition or clouds of colour."""
    photo = part_of(rng, utils.read_image(photos[rng.integers(len(photos))]), shape)
    other = utils.read_image(photos[rng.integers(len(photos))])[::4, ::4] / 255
    form = rng.random()
    if form < .08:
        return np.float32(composition(rng, shape, random_palette(rng)))
    if form < .13:
        clouds = noise(rng, shape, rng.uniform(10, 60)) + .5 * noise(rng, shape, 8)
        return ramp(rank(clouds), rng.permutation(random_palette(rng)))
    scene = recoloured(rng, photo, other)
    return np.float32(contrasted(scene, rng.uniform(1, 1.3)))


def finished(rng, picture):
    """Contrast drawn out to a share of the full range, a weave of canvas now and then, in 0-255."""
    low, high = np.quantile(luminance(picture)[::4, ::4], (.01, .99))
    floor, ceiling = min(low, rng.uniform(0, .12)), max(high, rng.uniform(.85, 1))
    picture = floor + (picture - low) * (ceiling - floor) / max(high - low, .1)
    if rng.random() < .15:
        y, x = np.mgrid[:picture.shape[0], :picture.shape[1]] * (2 * np.pi / rng.uniform(3, 5))
        weave = (np.sin(x) * np.sin(y / 2) + np.sin(y) * np.sin(x / 2)) / 2 + .3 * noise(rng, picture.shape[:2], 1)
        picture = picture * (1 + rng.uniform(.03, .09) * weave)[..., None]
    return np.clip(picture, 0, 1) * 255


def painting(rng, photos, kind=None):
    """One picture, float32 [H, W, 3] of 0-255, of a random kind."""
    aspect = log_uniform(rng, *ASPECTS)
    shape = int(SIDE * max(1, 1 / aspect)), int(SIDE * max(1, aspect))
    weights = np.array(list(KINDS.values())) / sum(KINDS.values())
    chosen = list(KINDS)[rng.choice(len(KINDS), p=weights)]
    return finished(rng, (kind or chosen)(rng, source(rng, photos, shape)))


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument('photos', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--count', type=int, default=2000)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args(argv)
    photos = utils.images_below(args.photos, args.out)
    for number in tqdm(range(args.count)):
        path = args.out / f'{number:05}.jpg'
        if path.exists():
            continue
        picture = painting(np.random.default_rng((args.seed, number)), photos)
        with utils.whole_file(path) as part:
            part.write_bytes(utils.encoded(utils.to_uint8(picture), '.jpg', quality=QUALITY))


if __name__ == '__main__':
    sys.exit(main())
