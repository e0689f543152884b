"""Paints photos in many ways, to train the network of any style on more styles than there are paintings at hand.

    python -m fast.data.paint_photos PHOTOS OUT --count 2000 [--seed 0]

Each picture draws what it shows, its colors, one of the KINDS and that one's marks at random: variety counts, not the
likeness. Pictures are [H, W, 3] of 0-1, colors [3] or [n, 3], lengths pixels, directions radians from x to y.
"""

import sys
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

SIDE_PX = 400  # shorter one
ASPECT_RANGE = 3 / 4, 4 / 3  # width : height
JPEG_QUALITY = 90  # of a JPEG
MAX_PICTURES = 99_999  # pictures
MIN_DEVIATION = .02  # deviation up to which a part of a photo shows nothing
LUMA_WEIGHTS = np.float32([.299, .587, .114])
STROKE_SIZE_RANGE = .6, 1.3  # of a stroke's length and width, in those of its layer


# ---------------------------------------------------------------------------------------------------------- ingredients

def log_uniform(rng, low, high):
    """A number between two whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def grid(shape):
    """y and x, float32 [H, W] each."""
    return np.mgrid[:shape[0], :shape[1]].astype(np.float32)


def rotate(y, x, turn):
    """(along, across): what y and x are in a frame turned by `turn`."""
    return x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)


def noise(rng, shape, grain):
    """`make_styles.noise`, float32 [H, W], drawn small and enlarged where its grain is coarse, which is quick."""
    factor = max(1, int(np.min(grain) / 2))
    small = make_styles.noise(rng, [side // factor + 3 for side in shape], np.divide(grain, factor))
    if factor > 1:
        small = ndimage.map_coordinates(small, grid(shape) / factor, order=1)
    return np.float32(small[:shape[0], :shape[1]])


def blur(image, sigma):
    """[H, W] or [H, W, 3] smoothed by a Gaussian."""
    return ndimage.gaussian_filter(image, (sigma, sigma, 0)[:image.ndim], truncate=3)


def luminance(colors):
    """[...] of [..., 3]."""
    return colors @ LUMA_WEIGHTS


def rank(values):
    """The share (0-1) of values that are less, of their shape: the histogram made flat."""
    steps = np.linspace(0, 1, 65)
    return np.float32(np.interp(values, np.quantile(values.ravel()[::7], steps), steps))


def adjust_contrast(colors, amount):
    """Colors `amount` times as far from their mean."""
    mean = colors.reshape(-1, 3).mean(axis=0)
    return np.clip(mean + (colors - mean) * amount, 0, 1)


def adjust_saturation(colors, amount):
    """Colors `amount` times as far from the gray of their luminance."""
    gray = luminance(colors)[..., None]
    return np.clip(gray + (colors - gray) * amount, 0, 1)


def sample_colors(image, points):
    """The pixels [n, …] of [H, W, …] nearest to points [n, 2] (y, x), those at the rim for what lies outside."""
    y, x = np.rint(points).astype(int).T
    return image[y.clip(0, image.shape[0] - 1), x.clip(0, image.shape[1] - 1)]


def displace(rng, image, amount, grain):
    """The image with its pixels moved by smooth noise of `amount` pixels."""
    shape = image.shape[:2]
    points = np.stack([axis + amount * noise(rng, shape, grain) for axis in grid(shape)], axis=-1)
    return sample_colors(image, points.reshape(-1, 2)).reshape(image.shape)


# ------------------------------------------------------------------------------------------------------------- colors

def random_palette(rng):
    """4 to 8 colors from dark to light: of one hue, of two or three in harmony, or of any."""
    count = rng.integers(4, 9)
    hues = [[0], [0, .5], [0, .33, .67], [0, .12, .5], [0, .42, .58], *rng.random((2, count))][rng.integers(7)]
    hue = rng.random() + rng.choice(hues, count) + rng.normal(0, rng.choice([.03, .08, .15]), count)
    value = np.linspace(rng.uniform(.03, .25), rng.uniform(.8, 1), count) ** rng.uniform(.6, 1.4)
    saturation = np.clip(rng.normal(rng.uniform(.2, .8), .22, count), 0, 1)
    saturation[-1] *= rng.uniform(.1, 1)
    return np.float32(hsv2rgb(np.stack([hue % 1, saturation, value], axis=-1)))


def main_colors(rng, image, count):
    """The `count` means of k-means over an image's colors, from dark to light."""
    pixels = rng.permutation(image.reshape(-1, 3))[:3000]
    centers = pixels[:count]
    for _ in range(6):
        owner = cKDTree(centers).query(pixels)[1]
        centers = np.stack([pixels[owner == k].mean(axis=0) if (owner == k).any() else pixels[k] for k in range(count)])
    return np.float32(centers[np.argsort(luminance(centers))])


def dark(rng):
    """The color of ink."""
    return np.float32(rng.uniform(0, .22, 3))


def pale(rng):
    """The color of paper: white to yellowish."""
    return np.float32(rng.uniform(.82, 1) - rng.uniform(0, .2) * np.array([0, .35, 1]))


def boost_colors(rng, image):
    """An image of more contrast and color, tinted; now and then of other hues."""
    light, share = luminance(image), rng.uniform(.1, .8)
    image = image * ((1 - share) + share * (rank(light) + .02) / (light + .02))[..., None]
    image = adjust_saturation(image, rng.uniform(.7, 2.1))
    if rng.random() < .2:
        hsv = rgb2hsv(image)
        hsv[..., 0] = (hsv[..., 0] + rng.random()) % 1
        image = hsv2rgb(hsv)
    return np.float32(np.clip(image * (1 + rng.normal(0, .12, 3)) + rng.normal(0, .04, 3), 0, 1))


def transport_colors(image, colors):
    """An image with its colors moved to the mean and covariance of `colors`."""
    A, b = moment_matching.affine_map(moment_matching.moments(image), moment_matching.moments(colors))
    return np.clip(image @ A + b, 0, 1)


def nearest(image, colors, softness):
    """Each pixel the color that is nearest to it; the larger `softness`, the more of others in it."""
    distance = ((image[..., None, :] - colors) ** 2).sum(axis=-1)
    weight = np.exp((distance.min(axis=-1, keepdims=True) - distance) / softness ** 2)
    return weight / weight.sum(axis=-1, keepdims=True) @ colors


def recolor(rng, image, other):
    """An image half of the time in its own colors, else in those of a palette: a random one or the image `other`'s.

    These are laid along its luminance, or its colors are moved to them, and to the nearest of them.
    """
    if rng.random() < .5:
        return boost_colors(rng, image)
    colors = (
        random_palette(rng) if rng.random() < 0.6 else main_colors(rng, boost_colors(rng, other), rng.integers(4, 9))
    )
    if rng.random() < .35:
        share = rank(blur(luminance(image), .7))
        return ramp(share, rng.permutation(colors) if rng.random() < .25 else colors)
    moved = transport_colors(boost_colors(rng, image), colors)
    return moved if rng.random() < .5 else nearest(moved, colors, rng.uniform(.04, .25))


# ---------------------------------------------------------------------------------------------------------- directions

def contours(image, sigma):
    """Directions [H, W] along an image's edges, and how sure (0-1) each is: of its structure tensor."""
    light = luminance(image)
    gy, gx = ndimage.gaussian_filter(light, 1, (1, 0)), ndimage.gaussian_filter(light, 1, (0, 1))
    yy, xx, xy = (blur(product, sigma) for product in (gy * gy, gx * gx, gx * gy))
    return np.arctan2(2 * xy, xx - yy) / 2 + np.pi / 2, np.hypot(xx - yy, 2 * xy) / (xx + yy + 1e-4)


def flow(rng, shape):
    """Directions [H, W] that have nothing to do with an image: nearly one, wandering, or about some vortices."""
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


def directions(rng, image):
    """Directions [H, W] of strokes: more or less along the contours, where there are any, else along a flow."""
    along, sure = contours(image, log_uniform(rng, 2, 8))
    trust = np.clip(sure * rng.uniform(0, 2.2), 0, 1)
    # a line has no sense: of twice its angle there is a mean
    twice = (1 - trust) * np.exp(2j * flow(rng, image.shape[:2])) + trust * np.exp(2j * along)
    return np.float32(np.angle(twice) / 2 + np.pi / 2 * (rng.random() < .15))


# ------------------------------------------------------------------------------------------------------------- strokes

def paths(angle, centers, reach, curved):
    """Points [n, T, 2] (y, x), one pixel apart, `receptive_radius` either way from `centers` [n, 2]; directions [n, T]
    there.

    Straight, or following `angle` [H, W].
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


def topmost(rng, angle, centers, length, width, curved, ends):
    """The pixels under strokes, and of each pixel the last stroke over it.

    Five arrays [m]: the pixel's number, the stroke's, how far the pixel lies along it and across it (-1 to 1), and how
    many pixels inside its outline. As in `lay`.
    """
    H, W = angle.shape
    reach = int(np.ceil(length * STROKE_SIZE_RANGE[1] / 2))
    points, turn = paths(angle, centers, reach, curved)
    sine, cosine = np.sin(turn)[..., None], np.cos(turn)[..., None]
    aside = np.arange(
        -width * STROKE_SIZE_RANGE[1] / 2 - 1, width * STROKE_SIZE_RANGE[1] / 2 + 1.01, 0.9, dtype=np.float32
    )
    exact = points[:, :, None] + aside[:, None] * np.stack([cosine, -sine], axis=-1)
    pixel = np.rint(exact).astype(np.int32)
    y, x = np.moveaxis(pixel, -1, 0)
    along, across = rotate(*np.moveaxis(np.float32(pixel - exact), -1, 0), np.arctan2(sine, cosine))
    along, across = along + np.arange(-reach, reach + 1, dtype=np.float32)[:, None], across + aside
    half_length, half_width = (np.float32(size / 2 * rng.uniform(*STROKE_SIZE_RANGE, (len(centers), 1, 1)))
                               for size in (length, width))
    share = along / half_length
    edge = np.minimum(half_width * np.sqrt((1 - np.abs(share) ** ends).clip(0)) - np.abs(across),
                      half_length - np.abs(along))
    inside = (edge > -.4) & (y >= 0) & (y < H) & (x >= 0) & (x < W)
    owner = np.full(H * W, -1)
    owner[(y * W + x)[inside]] = np.flatnonzero(inside)  # of those that write to one place the last stays
    pixels = np.flatnonzero(owner >= 0)
    share, across, edge = (values.ravel()[owner[pixels]] for values in (share, across, edge))
    stroke = owner[pixels] // inside[0].size
    return pixels, stroke, share, across / half_width.ravel()[stroke], edge


def lay(rng, canvas, relief, angle, centers, paint, length, width, *, curved=False, ends=4., dry=.25, bristle=.07,
        paper=None, batches=8):
    """Lay strokes on `canvas` [H, W, 3] and their thickness on `relief` [H, W], in place, later ones over earlier.

    angle: [H, W], their directions; centers: [n, 2] (y, x); paint: [n, 3]; length, width: of a stroke, varied by
    STROKE_SIZE_RANGE
    curved: whether they follow `angle` all along; ends: 1 pointed, 2 an ellipse, the more the nearer to a rectangle
    dry: how much of the paint is gone at the end; bristle: how much lighter or darker its ridges are
    paper: [H, W], the share (0-1) of the paint that stays; batches: within one no stroke shines through another
    """
    flat, thick = canvas.reshape(-1, 3), relief.reshape(-1)
    for part in np.array_split(np.arange(len(centers)), min(batches, len(centers))):
        pixels, stroke, along, across, edge = topmost(rng, angle, centers[part], length, width, curved, float(ends))
        ridges = np.float32(rng.standard_normal((len(part), 14)).clip(-2, 2))
        place = ((across + 1.3) * 5).clip(0, 12.99)
        low = place.astype(int)
        ridge = ridges[stroke, low] + (ridges[stroke, low + 1] - ridges[stroke, low]) * (place - low)
        cover = (edge + .1 * width ** .5 * ridge + .5).clip(0, 1)
        cover *= (1.15 - dry * (along / 2 + .5) * (1 + ridge)).clip(.3, 1)
        if paper is not None:
            cover *= paper.ravel()[pixels]
        color = paint[part][stroke] * (1 + bristle * (ridge + .8 * along))[:, None]
        flat[pixels] += (color - flat[pixels]) * cover[:, None]
        height = width ** .5 * (.5 + .22 * ridge + .5 * np.abs(across).clip(0, 1) ** 4 + .2 * along)
        thick[pixels] += cover * (height - .7 * thick[pixels])


def places(rng, weight, count):
    """`count` points [n, 2] (y, x), the more the larger `weight` [H, W] is."""
    total = np.cumsum(weight.ravel(), dtype=float)
    chosen = np.searchsorted(total, rng.random(count) * total[-1]).clip(0, weight.size - 1)
    return np.float32(np.stack(np.divmod(chosen, weight.shape[1]), axis=-1))


def vary_paint(rng, paint, value, hue):
    """Colors varied: each lighter or darker by `value`, each channel by `hue`; and purer."""
    paint = adjust_saturation(paint, rng.uniform(1, 1.5, (len(paint), 1)))
    paint = paint * (1 + value * rng.standard_normal((len(paint), 1))) + hue * rng.standard_normal(paint.shape)
    return np.float32(np.clip(paint, 0, 1))


def light_relief(rng, canvas, relief, strength):
    """The canvas in a light that comes from one side over its relief [H, W]."""
    slope, _ = rotate(*np.gradient(blur(relief, .6)), rng.uniform(0, 2 * np.pi))
    light = np.clip(-strength * slope, -.3, .4)[..., None]
    return canvas * (1 + .8 * light) + .25 * light.clip(0)


def paint_layers(rng, scene, angle, widths, ratio, cover, value, hue, light=0., **marks):
    """The scene in layers of strokes, one of each of `widths`, on a dark or pale ground or one of its own colors.

    ratio: of length to width; cover: strokes over a pixel, in a layer; value, hue: as `vary_paint` has them; light: how
    strongly the relief is lit; marks: as `lay` has them
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

def regions(rng, scene, count, coarse):
    """The scene in flat colors: their numbers [H, W], the colors [count, 3]; coarse: the pixels of what is lost."""
    small = ndimage.median_filter(blur(scene, coarse)[::2, ::2], (3, 3, 1))
    colors = main_colors(rng, small, count)
    index = cKDTree(colors).query(small.reshape(-1, 3))[1].reshape(small.shape[:2])
    index = index.repeat(2, axis=0).repeat(2, axis=1)[:scene.shape[0], :scene.shape[1]]
    votes = [blur(np.float32(index == k), coarse) for k in range(count)]
    return np.argmax(votes, axis=0), colors


def outlines(rng, parts, width):
    """0-1 [H, W]: lines about `width` wide between parts [H, W], swelling and fading."""
    swell = np.clip(1 + .6 * noise(rng, parts.shape, 20) + .15 * noise(rng, parts.shape, 3), 0, 3)
    return np.clip(width / 2 * swell + .8 - make_styles.lead_depth(parts, 0), 0, 1)


def draw_lines(scene, least):
    """0-1 [H, W]: lines where a scene is darker than what is around (difference of Gaussians)."""
    light = luminance(scene)
    return np.clip(40 * (blur(light, 2.5) - blur(light, 1)) - least, 0, 1)


def add_grain(rng, picture, strength):
    """A picture on paper, wood or cloth, whose grain shows."""
    shape = picture.shape[:2]
    fibres = noise(rng, shape, [(1, 1), (1, 5), (5, 1)][rng.integers(3)])
    return picture * (1 + strength * (fibres + .5 * noise(rng, shape, 40)))[..., None]


def hatching(rng, scene, spacing, turn):
    """Phase [H, W] of lines about `spacing` apart: straight or round, bent by noise and by the scene's light."""
    shape = scene.shape[:2]
    y, x = grid(shape)
    phase = rotate(y, x, turn)[1]
    if rng.random() < .25:
        phase = np.hypot(y - rng.uniform(-.2, 1.2) * shape[0], x - rng.uniform(-.2, 1.2) * shape[1])
    phase = phase + rng.uniform(0, 1.5) * spacing * noise(rng, shape, 40)
    return (phase + rng.uniform(-40, 40) * blur(luminance(scene), 6)) / spacing


def cells(rng, shape, size):
    """Numbers [H, W] of cells about `size` wide: squares or bricks in rows, or at random; turned, bent a little."""
    y, x = np.mgrid[-shape[0]:2 * shape[0]:size, -shape[1]:2 * shape[1]:size * rng.choice([1, 1, 1.7])]
    x = x + size / 2 * (np.arange(len(x))[:, None] % 2) * (rng.random() < .5)
    along, across = rotate(y - shape[0] / 2, x - shape[1] / 2, rng.uniform(0, np.pi))
    points = np.stack([across.ravel(), along.ravel()], axis=-1) + np.array(shape) / 2
    points += rng.normal(0, size * rng.choice([.04, .15, .4]), points.shape)
    points = points[((points > -size) & (points < np.array(shape) + size)).all(axis=1)]
    bend = rng.uniform(0, .2) * size
    pixels = np.stack([axis + bend * noise(rng, shape, 12) for axis in grid(shape)], axis=-1)
    return cKDTree(points).query(pixels.reshape(-1, 2))[1].reshape(shape)


def means(scene, parts):
    """The mean colors [n, 3] of parts [H, W], and the numbers [H, W] of these."""
    _, parts = np.unique(parts, return_inverse=True)
    count = np.bincount(parts.ravel())
    sums = [np.bincount(parts.ravel(), channel) for channel in scene.reshape(-1, 3).T]
    return np.float32(sums / count).T, parts.reshape(scene.shape[:2])


# A shape: (rng, along, across, size) -> how many pixels [H, W] lie inside it, negative outside; about (0, 0)

def disc(rng, along, across, size):
    return size - np.hypot(along, across * rng.uniform(1, 2) ** rng.integers(2))


def ring(rng, along, across, size):
    return size * rng.uniform(.06, .3) - np.abs(np.hypot(along, across) - size * .8)


def rings(rng, along, across, size):
    radius = np.hypot(along, across)
    return np.minimum(size - radius, size / 3 * np.abs(radius / size * rng.integers(2, 6) % 1 - .5) - size * .05)


def line(rng, along, across, size):
    wave = size * rng.choice([0, .3]) * np.sin(along / size * 4)
    return np.minimum(size * 1.5 - np.abs(along), size * rng.uniform(.02, .08) + .6 - np.abs(across + wave))


def bar(rng, along, across, size):
    return np.minimum(size - np.abs(along), size * rng.uniform(.15, 1) - np.abs(across))


def arc(rng, along, across, size):
    return np.minimum(size * rng.uniform(.05, .25) - np.abs(np.hypot(along, across) - size),
                      along + size * rng.uniform(-.6, .5))


def checker(rng, along, across, size):
    unit = size / rng.integers(2, 5)
    one, other = (np.abs(axis % (2 * unit) - unit) - unit / 2 for axis in (along, across))
    tiles = np.minimum(np.abs(one), np.abs(other)) * np.sign(one * other)
    return np.minimum(tiles, size - np.maximum(np.abs(along), np.abs(across)))


def stripes(rng, along, across, size):
    unit = size / rng.integers(2, 6)
    outer = np.hypot(along, across) if rng.random() < .4 else np.maximum(np.abs(along), np.abs(across))
    return np.minimum(size - outer, np.abs(along % unit - unit / 2) - unit / 4)


def blob(rng, along, across, size):
    theta = np.arctan2(across, along)
    waves = sum(rng.normal(0, .25 / k) * np.cos(k * theta + rng.uniform(0, 6)) for k in range(1, 6))
    return size * (.8 + waves) - np.hypot(along, across)


def star(rng, along, across, size):
    petals = np.cos(rng.integers(3, 9) * np.arctan2(across, along))
    return size * (.6 + .4 * petals) - np.hypot(along, across)


def crescent(rng, along, across, size):
    return np.minimum(size - np.hypot(along, across), np.hypot(along - size * .5, across) - size * .9)


def triangle(rng, along, across, size):
    corners = np.arange(3) * 2.1 + rng.uniform(-.5, .5, 3)
    return np.minimum.reduce([size * .6 - rotate(across, along, corner)[0] for corner in corners])


SHAPES = disc, ring, rings, line, bar, arc, checker, stripes, blob, star, crescent, triangle


def add_shapes(rng, picture, colors, sizes, kinds, outlined):
    """Draw shapes on `picture` in place, large ones first; outlined: the share that has a dark outline."""
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


def composition(rng, shape, colors):
    """[*shape, 3]: circles, lines, checkers, triangles over a ground, as in Kandinsky and Miró."""
    picture = ramp(rank(noise(rng, shape, rng.uniform(20, 90))), rng.permutation(colors)[:3])
    if rng.random() < .6:
        picture = picture * .25 + .75 * colors[rng.choice([0, -1, -1])]
    kinds = [SHAPES[k] for k in rng.permutation(len(SHAPES))[:rng.integers(3, len(SHAPES))]]
    sizes = np.exp(rng.uniform(np.log(4), np.log(rng.uniform(40, 110)), rng.integers(25, 110)))
    add_shapes(rng, picture, colors, sizes, kinds, rng.choice([0, .5, 1]))
    return picture


# --------------------------------------------------------------------------------------------------------------- kinds
# Each takes a random generator and the scene [H, W, 3], float32, and gives its picture.

def oil(rng, scene):
    """Brush strokes, coarse to fine, short or long, straight or bent."""
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


def ribbons(rng, scene):
    """Long bent strokes side by side, each of its own color, as in van Gogh."""
    widths = log_uniform(rng, 3.5, 9) * np.array([1.4, 1, .7])[:rng.integers(2, 4)]
    return paint_layers(rng, scene, directions(rng, scene), widths, log_uniform(rng, 5, 12), rng.uniform(1, 1.8),
                   rng.uniform(.12, .35), rng.uniform(.02, .1), rng.uniform(.1, .4), ends=rng.choice([2, 4]),
                   curved=True, dry=rng.uniform(0, .3), bristle=rng.uniform(.03, .12))


def dabs(rng, scene):
    """Dots and short dabs whose colors mix in the eye, as in Seurat and Signac."""
    angle = directions(rng, scene) if rng.random() < .6 else rng.uniform(0, np.pi, scene.shape[:2])
    widths = log_uniform(rng, 3, 10) * np.array([1.5, 1, .8])[:rng.integers(2, 4)]
    return paint_layers(rng, scene, angle, widths, rng.uniform(1, 2), rng.uniform(.9, 1.8), rng.uniform(.08, .25),
                   rng.uniform(.04, .18), rng.uniform(0, .35), ends=rng.choice([2, 2, 6]), dry=0, bristle=.04,
                   batches=12)


def knife(rng, scene):
    """Broad flat strokes with ridges."""
    angle = directions(rng, blur(scene, 4))
    if rng.random() < .4:  # in few directions
        angle = np.round(angle / (np.pi / 4)) * np.pi / 4 + rng.uniform(0, np.pi)
    angle = angle + rng.uniform(0, .4) * noise(rng, angle.shape, 8)
    widths = log_uniform(rng, 14, 30) * rng.uniform(.5, .65) ** np.arange(rng.integers(2, 4))
    return paint_layers(rng, scene, angle, widths, rng.uniform(1.2, 3.5), rng.uniform(1.4, 2.4), rng.uniform(.05, .22),
                   rng.uniform(.01, .06), rng.uniform(.15, .4), ends=12, dry=rng.uniform(.1, .45),
                   bristle=rng.uniform(.04, .14))


def crayon(rng, scene):
    """Waxy or chalky strokes, broken by the paper's grain."""
    shape = scene.shape[:2]
    paper = np.clip(.75 + rng.uniform(.25, .7) * noise(rng, shape, rng.uniform(.7, 1.6)), 0, 1)
    angle = rng.uniform(0, np.pi) + .2 * noise(rng, shape, 40) if rng.random() < .4 else directions(rng, scene)
    if rng.random() < .5:
        parts, colors = regions(rng, scene, rng.integers(4, 9), 2.5)
        scene = adjust_contrast(colors, 1.4)[parts]
    return paint_layers(rng, scene, angle, log_uniform(rng, 4, 10) * np.array([1.5, 1, .7]), log_uniform(rng, 3, 8),
                   rng.uniform(1.2, 2.2), rng.uniform(.06, .18), rng.uniform(.02, .08), dry=.2, bristle=.1, paper=paper,
                   curved=rng.random() < .4)


def pen(rng, scene):
    """Thin strokes of ink or pencil on paper along the contours, the more the darker; or of chalk on black."""
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


def engraving(rng, scene):
    """Cut lines that swell with the tone, in one to three inks on paper; or on flat colors, or white on black."""
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
    turn, spacing, many = rng.uniform(0, np.pi), log_uniform(rng, 3.5, 9), rng.random() < .5
    for number in range(rng.integers(1, 4)):
        phase = hatching(rng, scene, spacing, turn + number * rng.uniform(.6, 1.6))
        ragged = .07 * noise(rng, shape, 2) + .08 * noise(rng, shape, 14)
        depth = tone * rng.uniform(.85, 1.2) - .28 * number + ragged - np.abs(phase % 1 - .5) * 2
        picture = blend(picture, inks[number * many], depth * spacing / 2 + .5)
    return add_grain(rng, picture, rng.uniform(.01, .05))


def woodblock(rng, scene):
    """Few flat colors, some fading or cut in lines, dark outlines, the grain of paper or wood, as in ukiyo-e."""
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


def poster(rng, scene):
    """Flat shapes of few colors, some patterned, with thick outlines or a print's dots or neither."""
    shape = scene.shape[:2]
    bent = displace(rng, scene, rng.uniform(1, 8), 20)
    parts, colors = regions(rng, bent, rng.integers(3, 7), rng.uniform(3, 7))
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


def mosaic(rng, scene):
    """Tiles in mortar."""
    shape, size = scene.shape[:2], log_uniform(rng, 9, 34)
    colors, parts = means(scene, cells(rng, shape, size))
    picture = vary_paint(rng, colors, rng.uniform(.05, .25), rng.uniform(.01, .08))[parts]
    depth, width = make_styles.lead_depth(parts, 0) + .4 * noise(rng, shape, 2), rng.uniform(.4, .05 * size + .8)
    picture = light_relief(rng, add_grain(rng, picture, .05), np.minimum(depth, width + 3), rng.uniform(.05, .3))
    return blend([dark, pale][rng.integers(2)](rng), picture, depth - width + .5)


def glass(rng, scene):
    """Panes of clear color in lead, some of which follows the scene."""
    shape = scene.shape[:2]
    parts = cells(rng, shape, log_uniform(rng, 18, 50))
    if rng.random() < .7:
        parts = parts + shape[0] * shape[1] * regions(rng, scene, rng.integers(3, 6), rng.uniform(3, 6))[0]
    colors, parts = means(scene, parts)
    colors = vary_paint(rng, adjust_contrast(colors, rng.uniform(1.2, 1.8)), rng.uniform(.1, .3), rng.uniform(.02, .12))
    depth = make_styles.lead_depth(parts, log_uniform(rng, .6, 2.2)) + .4 * noise(rng, shape, 12)
    glow = .65 + .45 * np.clip(depth / 9, 0, 1) ** .6
    return blend(dark(rng), add_grain(rng, colors[parts] * glow[..., None], .07), depth + .5)


def watercolor(rng, scene):
    """Washes one over the other, darker at their rims, on paper with a grain."""
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


def abstract(rng, scene):
    """A composition in a random palette or the scene's colors."""
    colors = random_palette(rng) if rng.random() < .75 else main_colors(rng, scene, 7)
    return add_grain(rng, composition(rng, scene.shape[:2], colors), rng.uniform(.02, .07))


def cubist(rng, scene):
    """Facets between straight cuts, each with its own part of the scene, tint and shade; some of them painted over."""
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


KINDS = {oil: 5, ribbons: 4, dabs: 3, knife: 3, crayon: 2, pen: 2, engraving: 3, woodblock: 4, poster: 2, mosaic: 2,
         glass: 2, watercolor: 3, abstract: 3, cubist: 2}  # and how often each comes


# ------------------------------------------------------------------------------------------------------------ pictures

def part_of(rng, photo, shape):
    """A random part of a photo, 0.6 to 1 of what fits of it, made [*shape, 3]; None for one that shows nothing."""
    scale = rng.uniform(.6, 1) * min(np.divide(photo.shape[:2], shape))
    height, width = (max(1, int(side * scale)) for side in shape)
    top, left = (rng.integers(whole - side + 1) for whole, side in zip(photo.shape, (height, width)))
    part = photo[top:top + height, left:left + width]
    if part.std(axis=(0, 1)).max() <= MIN_DEVIATION:
        return None
    part = utils.resize_and_crop(part, shape[1], shape[0])
    return part[:, ::-1] if rng.random() < .5 else part


def random_part(rng, photos, shape):
    """`part_of` one of the photos, which are paths; of those that follow it for one that is no image, or shows nothing.

    Raises `UserError` where all are such.
    """
    for path in np.roll(photos, -rng.integers(len(photos))):
        try:
            part = part_of(rng, utils.read_image(path) / 255, shape)
        except UserError:
            continue
        if part is not None:
            return part
    raise UserError(f'{Path(photos[0]).parent}: no image there can be read and shows anything')


def random_scene(rng, photos, shape):
    """What is to be painted, float32 [*shape, 3]: part of a photo, recolored; or a composition; or colored clouds."""
    form = rng.random()
    if form < .08:
        return np.float32(composition(rng, shape, random_palette(rng)))
    if form < .12:
        clouds = noise(rng, shape, rng.uniform(10, 60)) + .5 * noise(rng, shape, 8)
        return np.float32(ramp(rank(clouds), rng.permutation(random_palette(rng))))
    photo, other = random_part(rng, photos, shape), random_part(rng, photos, [side // 4 for side in shape])
    scene = adjust_contrast(recolor(rng, photo, other), rng.uniform(1, 1.3))
    if rng.random() < .1:  # outlined, as in Gauguin
        parts, _ = regions(rng, scene, rng.integers(3, 7), 3)
        scene = blend(scene, dark(rng), outlines(rng, parts, rng.uniform(2, 6)))
    return np.float32(scene)


def finish(rng, picture):
    """A picture given a random range within 0-1 and brightness; now and then on canvas whose weave shows."""
    low, high = np.quantile(luminance(picture)[::4, ::4], (.01, .99))
    floor, ceiling = rng.uniform(0, .18), rng.uniform(.72, 1)
    picture = floor + (picture - low) * (ceiling - floor) / max(high - low, .1)
    picture = adjust_saturation(picture, rng.uniform(.9, 1.7)) ** log_uniform(rng, .65, 1.3)
    if rng.random() < .15:
        y, x = grid(picture.shape) * 2 * np.pi / rng.uniform(3, 5)
        weave = (np.sin(x) * np.sin(y / 2) + np.sin(y) * np.sin(x / 2)) / 2 + .3 * noise(rng, picture.shape[:2], 1)
        picture = picture * (1 + rng.uniform(.03, .09) * weave)[..., None]
    return np.clip(picture, 0, 1)


def painting(rng, photos, side):
    """A picture [H, W, 3] of 0-1, of a random kind and shape, its shorter side `side` pixels."""
    aspect = log_uniform(rng, *ASPECT_RANGE)
    shape = round(side * max(1, 1 / aspect)), round(side * max(1, aspect))
    kind = rng.choice(list(KINDS), p=np.divide(list(KINDS.values()), sum(KINDS.values())))
    return finish(rng, kind(rng, random_scene(rng, photos, shape)))


def _flags(argv):
    parser = cli.Parser(prog='python -m fast.data.paint_photos', description=__doc__.split('\n')[0])
    parser.add_argument('photos', type=Path, metavar='PHOTOS', help='a folder; all images below it are used')
    parser.add_argument('out', type=Path, metavar='OUT', help='a folder for the pictures, <seed>-<number>.jpg; those '
                        'that are there already are left')
    parser.add_argument('--count', type=cli.int_in_range(1, MAX_PICTURES), default=2000, metavar='N',
                        help=f'pictures, 1 to {MAX_PICTURES} (default: %(default)s)')
    parser.add_argument('--seed', type=cli.int_in_range(0, 2**31 - 1), default=0, metavar='N',
                        help='of everything random, 0 to 2147483647 (default: %(default)s)')
    return parser.parse_args(argv)


@errors.command_line
def main(argv=None):
    """Write `--count` pictures; the same number, seed, photos and libraries give the same one."""
    args = _flags(argv)
    photos = utils.find_images(args.photos, args.out)
    random_part(np.random.default_rng(args.seed), photos, (SIDE_PX, SIDE_PX))  # if none is of use, before any picture
    args.out.mkdir(parents=True, exist_ok=True)
    for number in tqdm(range(args.count), unit='picture'):
        path = args.out / f'{args.seed}-{number:05}.jpg'
        if not path.exists():
            picture = 255 * painting(np.random.default_rng((args.seed, number)), photos, SIDE_PX)
            with files.atomic_write(path) as part:
                part.write_bytes(utils.encode_image(utils.to_uint8(picture), '.jpg', quality=JPEG_QUALITY))


if __name__ == '__main__':
    sys.exit(main())
