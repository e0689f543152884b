"""Draw three synthetic style images: styles/stained_glass.jpg, styles/woodcut.jpg and styles/palette_knife.jpg.

    python -m fast.data.make_styles

Style transfer uses the statistics of a style image and ignores what it shows. Each picture therefore repeats one kind
of mark (leaded panes, cut lines, strokes of thick paint) at several sizes, in a few strong colors. Coordinates and
lengths in the scenes are in picture heights, so y runs from 0 to 1 and x from 0 to 4/3.
"""

from collections.abc import Iterator, Sequence

import imageio.v3 as iio
import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.transform import downscale_local_mean

from common import paths

HEIGHT, WIDTH = 600, 800
SUPERSAMPLING = 2  # lead and cut lines are drawn at this scale and then averaged, which smooths their edges


def grid(scale: int) -> np.ndarray:
    """Return the pixel coordinates y and x, [2, H, W] in picture heights, of a picture enlarged by `scale`."""
    return np.mgrid[:HEIGHT * scale, :WIDTH * scale] / (HEIGHT * scale)


def noise(rng: np.random.Generator, shape: int | Sequence[int], grain: float | Sequence[float]) -> np.ndarray:
    """Return smooth random noise of mean 0 and standard deviation 1, periodic at the borders.

    Args:
        rng: random generator.
        shape: shape of the result.
        grain: standard deviation in pixels of the Gaussian that smooths it: one number, or one for each axis.
    """
    field = ndimage.gaussian_filter(rng.standard_normal(shape), grain, mode='wrap')
    return field / field.std()


def color(code: str) -> np.ndarray:
    """Convert a hexadecimal color, such as 'f0c020', to an array [3] with values from 0 to 1."""
    return np.frombuffer(bytes.fromhex(code), np.uint8) / 255


def palette(codes: str) -> np.ndarray:
    """Convert hexadecimal colors that are separated by spaces to an array [n, 3] with values from 0 to 1."""
    return np.array([color(code) for code in codes.split()])


def ramp(share: np.ndarray | float, colors: np.ndarray) -> np.ndarray:
    """Interpolate linearly between the colors of a palette.

    Args:
        share: position in the palette from 0, its first color, to 1, its last one; of shape [...].
        colors: the palette, [n, 3], at equal distances.

    Returns:
        Colors [..., 3].
    """
    steps = np.linspace(0, 1, len(colors))
    return np.stack([np.interp(share, steps, channel) for channel in colors.T], axis=-1)


def blend(below: np.ndarray, above: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Lay one image over another with an opacity for each pixel.

    Args:
        below: the lower image [H, W, 3], or one color [3].
        above: the upper image [H, W, 3], or one color [3].
        share: opacity [H, W] of `above`; values are clipped to 0 to 1.

    Returns:
        The image [H, W, 3].
    """
    return below + (above - below) * np.clip(share, 0, 1)[..., None]


# Stained glass: the sun above hills and a river. Each region is divided into panes, which are joined by lead.

GLASS = {1: '1a7f80 13667a 2f8f8a 5b3f86', 2: '12702a 3d961f 8cb81f 0d5a3a d3cf2a', 3: '2f86d0 6fc3ee 1d4fb4 bfe6f7',
         4: 'ffe27a', 5: 'a80f1d 173b9b dba81a 17733a'}  # 1 hills, 2 meadow, 3 river, 4 sun, 5 frame; 0 is the sky


def voronoi(rng: np.random.Generator, mask: np.ndarray, points: int, stretch: Sequence[float]) -> np.ndarray:
    """Divide the pixels of a mask into Voronoi cells of similar size, by Lloyd's iteration.

    Args:
        rng: random generator.
        mask: bool [H, W].
        points: number of cells.
        stretch: factors for (y, x) before distances are measured; a larger one makes cells narrower along its axis.

    Returns:
        The number of the cell of each pixel of the mask, [n], in the order of `np.argwhere(mask)`.
    """
    pixels = np.argwhere(mask) * stretch
    centers = rng.choice(pixels, points, replace=False)
    for _ in range(6):
        owner = cKDTree(centers).query(pixels[::9])[1]
        centers = np.stack([ndimage.mean(axis, owner, np.unique(owner)) for axis in pixels[::9].T], axis=-1)
    return cKDTree(centers).query(pixels)[1]


def leaded_panes(
    rng: np.random.Generator, y: np.ndarray, x: np.ndarray, radius: np.ndarray, ray: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Divide the stained-glass picture into regions and panes.

    Args:
        rng: random generator.
        y, x: coordinates [H, W] of the pixels.
        radius: distance [H, W] from the center of the sun.
        ray: number [H, W] of the sunbeam that a pixel lies in.

    Returns:
        The number of each pixel's region (0 the sky, the others as in GLASS) and that of its pane, both [H, W].
    """
    ring = np.floor(np.log(np.maximum(radius, .1) / .1) * 3.6 + rng.uniform(-.45, .45, ray.max() + 1)[ray])
    horizon = .56 + .06 * np.sin(3.1 * x + .5) + .03 * np.sin(7 * x + 1)
    meadow = .70 + .07 * np.sin(2.3 * x + 2.6) + .02 * np.sin(9 * x)
    river = np.abs(x - .80 - .16 * np.sin((y - .5) * 8) * (y - .3)) < .02 + .28 * np.maximum(y - .6, 0)
    sides = np.stack([x, y, WIDTH / HEIGHT - x, 1 - y])
    along = np.where(sides.argmin(0) % 2, x, y)
    region = np.select([sides.min(0) < .055, river & (y > horizon + .02), y > meadow, y > horizon, radius < .13],
                       [5, 3, 2, 1, 4])
    pane = np.select([region == 0, region == 5], [ray * 64 + ring, sides.argmin(0) * 64 + np.floor(along * 20)])
    for number, points, stretch in ((1, 50, (1.8, 1)), (2, 90, (1, 1.2)), (3, 44, (1, 2))):
        pane[region == number] = voronoi(rng, region == number, points, stretch)
    return region, np.unique(region * 10000 + pane, return_inverse=True)[1].reshape(y.shape)


def lead_depth(parts: np.ndarray, half_width: float) -> np.ndarray:
    """Return each pixel's distance from the lead along the borders between parts: positive outside, negative inside it.

    Args:
        parts: number [H, W] of the part that each pixel belongs to.
        half_width: half the width of the lead, in pixels.

    Returns:
        Distances in pixels, [H, W].
    """
    inner = ndimage.maximum_filter(parts, 3) == ndimage.minimum_filter(parts, 3)
    return ndimage.distance_transform_edt(inner) - half_width


def stained_glass(rng: np.random.Generator) -> np.ndarray:
    """Draw a stained-glass window, [HEIGHT, WIDTH, 3] with values of about 0 to 1."""
    y, x = grid(SUPERSAMPLING)
    radius, ray = np.hypot(x - .86, y - .40), ((np.arctan2(y - .40, x - .86) / (2 * np.pi) + .5) * 32).astype(int)
    region, pane = leaded_panes(rng, y, x, radius, ray)
    _, first = np.unique(pane, return_index=True)  # The first pixel of each pane decides its color.
    out = (radius.ravel()[first] - .13) / .8
    tint = np.where(ray.ravel()[first, None] % 2, ramp(out, palette('fbe9a0 fdc43c f98d1e e5391c b01530 701440')),
                    ramp(out, palette('fff3c0 fbd65a 7fcfc0 4aa8e8 2360c4 1f2f8a')))
    for number, codes in GLASS.items():
        inside = region.ravel()[first] == number
        tint[inside] = rng.choice(palette(codes), inside.sum())
    tint *= rng.uniform(.85, 1.15, (len(tint), 1))
    depth = np.minimum(lead_depth(pane, 4.8), lead_depth(region, 8)) + .8 * noise(rng, y.shape, 30)
    glow = .62 + .42 * np.clip(depth / 26, 0, 1) ** .6  # Dirt darkens the glass along the lead.
    grain = noise(rng, y.shape, (3, 40)) + noise(rng, y.shape, 25) + .4 * noise(rng, y.shape, 2)
    window = blend(color('151518'), tint[pane] * (glow * (1 + .07 * grain))[..., None], depth / 2 + .5).clip(0, 1)
    halo = ndimage.gaussian_filter(window, (18, 18, 0))  # Light from bright panes spills over the lead.
    return downscale_local_mean(1 - (1 - window) * (1 - .22 * halo), (SUPERSAMPLING, SUPERSAMPLING, 1))


# Woodcut: black ink, one red and the paper. Lines of varying width give the tones; they follow the form of the object.

def cut_lines(rng: np.random.Generator, phase: np.ndarray, tone: np.ndarray | float) -> np.ndarray:
    """Return where a woodcut prints ink, as bool [H, W]: parallel lines with ragged edges, whose width is the tone.

    Args:
        rng: random generator.
        phase: field [H, W] that increases across the lines; there is one line for each unit.
        tone: width of a line as a share of the unit, 0 (no ink) to 1 (solid), [H, W] or one number.
    """
    ragged = .07 * noise(rng, phase.shape, 3) + .10 * noise(rng, phase.shape, 14)
    return np.abs(phase % 1 - .5) * 2 < tone + ragged * (tone > .02)


def ranges(
    rng: np.random.Generator, y: np.ndarray, x: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the layers of the woodcut's landscape from far to near: the mountain, three ranges of hills and the lake.

    Args:
        rng: random generator.
        y, x: coordinates [H, W] of the pixels.

    Yields:
        The height [W] of the layer's outline; phase and tone [H, W], for `cut_lines`, of the lines below it.
    """
    across, warp = x[0], noise(rng, y.shape, 60)
    rough = lambda: sum(noise(rng, len(across), 40 / 2**k) / 2**k for k in range(4))
    peak = .60 - .40 * np.exp(-np.abs(across - .44) / .26) + .004 * rough()
    lit = x > .44 + .05 * np.sin(14 * y) + .02 * noise(rng, y.shape, 30)
    snow = y < .31 + .05 * np.sin(across * 38)**2 + .012 * rough()
    tone = np.where(lit, np.where(snow, 0, .2), np.where(snow, .24, .8)) + .1 * noise(rng, y.shape, (60, 9))
    yield peak, 36 * (y * .5 + np.where(lit, -x, x)) + .4 * warp, tone
    for level, swell, start in ((.60, .05, 1), (.68, .06, 4.2), (.76, .04, 2.4)):
        crest = level + swell * np.sin(4 * across + start) + .008 * rough()
        phase = 32 * (y - crest) * (1 + .5 * np.sin(3 * x + start)) + .2 * warp
        yield crest, phase, 1.02 - 6 * (y - crest) + .12 * noise(rng, y.shape, (12, 60))
    shore = .84 + .004 * np.sin(30 * across)
    near = np.maximum(y - shore, .001)
    glitter = np.exp(-((x - .95 + .05 * noise(rng, y.shape, (10, 30))) / (.05 + .6 * near))**2)
    phase = 27 * np.sqrt(near + .02) + .4 * np.sin(24 * x + 6 * np.sin(5 * x)) * near**.3 + .07 * warp
    yield shore, phase, .6 + .2 * noise(rng, y.shape, (8, 40)) - glitter


def woodcut(rng: np.random.Generator) -> np.ndarray:
    """Draw a woodcut of a mountain lake under a red sun, [HEIGHT, WIDTH, 3] with values of about 0 to 1."""
    y, x = grid(SUPERSAMPLING)
    radius = np.hypot(x - .95, y - .28)
    sky = np.where(radius < .17, 0, .65 * radius + .2 * noise(rng, y.shape, (26, 150)))
    ink = cut_lines(rng, 36 * radius + .4 * noise(rng, y.shape, 60), sky)
    for outline, phase, tone in ranges(rng, y, x):
        ink = np.where(y > outline, cut_lines(rng, phase, tone), ink) | (np.abs(y - outline) < .004)
    fibers = 1 + .012 * noise(rng, y.shape, (1, 5)) + .012 * noise(rng, y.shape, 60)
    paper = blend(color('f4e7ca'), color('db3d21'), .92 * np.clip((.15 - radius) * HEIGHT, 0, 1)) * fibers[..., None]
    printed = np.clip(ndimage.gaussian_filter(ink * 2.2, 1.6) - .6, 0, 1) * (.95 + .03 * noise(rng, y.shape, 3))
    return downscale_local_mean(blend(paper, color('16131a'), printed), (SUPERSAMPLING, SUPERSAMPLING, 1))


# Palette knife: an avenue in autumn, painted with broad strokes first and narrow ones last. The knife leaves ridges in
# each stroke, and light from the top left shows this relief.

LEAVES = palette('191e55 145a64 467d32 961946 d72828 f56919 ffa519 ffdc46')


def trees(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return where trunks and boughs are, bool [H, W]: two rows of trees that meet at the far end of the avenue."""
    wood = np.zeros(y.shape, bool)
    for side in (-1, 1):
        for near in (.17, .27, .42, .64, .95):
            rise = (.59 + .4 * near - y) / (1.1 * near + .1)
            foot = .6 + side * near * rng.uniform(.85, 1) + .02 * near * np.sin(8 * rise + 9 * near)
            for lean, width, fork in ((-.10, 1, 0), (-.34, .5, .28), (.22, .5, .38)):
                middle = foot + side * near * (1.3 * lean * np.maximum(rise - fork, 0) - .1 * np.minimum(rise, fork))
                wood |= (np.abs(x - middle) < .05 * near * width * (1.25 - rise)) & (rise > fork) & (rise < 1.1)
    return wood


def avenue(
    rng: np.random.Generator, y: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the scene of the palette-knife picture, an avenue in autumn: colors, directions, trees.

    Args:
        rng: random generator.
        y, x: coordinates [H, W] of the pixels.

    Returns:
        The colors [H, W, 3] of about 0 to 1; the directions [H, W] of its strokes, in radians from x toward y; and
        where its trees are, bool [H, W].
    """
    radius, near = np.hypot(x - .6, y - .56), np.clip((y - .56) / .44, .01, 1)
    scene = ramp(radius / .5, palette('fff2be ffbe5a 82aae1'))
    # Each pixel of foliage has one pure color, so that colors mix in the eye of the viewer and not on the canvas.
    mass = noise(rng, y.shape, 26) + .5 * noise(rng, y.shape, 9) + .6 * rng.standard_normal(y.shape)
    mass = np.clip(5.7 + 1.5 * mass - 3.2 * (radius - .25).clip(0) - (y > .57), 0, 7)
    canopy = .9 * np.abs(x - .6) + .5 * (.56 - y).clip(0) + .03 * noise(rng, y.shape, 14) > .15
    scene[canopy] = LEAVES[mass.astype(int)][canopy]
    wood = trees(rng, y, x)
    scene[wood] = ramp(.4 + .3 * noise(rng, y.shape, (12, 2)) - radius * .3, palette('1c123c 5a2c3a be5028'))[wood]
    path = (y > .57) & (np.abs(x - .6 + .05 * near) < near * (.72 + .05 * noise(rng, y.shape, 8)))
    # The wet path reflects the scene: mirror it at y = .56, which is row 336.
    wet = ndimage.gaussian_filter(scene, (9, 3, 0))[np.clip(672 - np.arange(HEIGHT), 0, HEIGHT - 1)]
    wet = blend(wet, color('507dcd'), .45 + .25 * noise(rng, y.shape, (4, 24)))
    sun = .9 - np.abs(x - .6) / (.05 + .1 * near) + .3 * noise(rng, y.shape, (4, 14))
    scene[path] = blend(wet, color('ffebaa'), sun)[path]
    wood &= ~path
    direction = np.select([path, wood], [0, np.pi / 2], np.arctan2(y - .56, x - .6) + 1.5)
    return scene, direction + np.where(wood, .05, .35) * noise(rng, y.shape, 30), wood


def stroke(rng: np.random.Generator, canvas: np.ndarray, relief: np.ndarray, center: Sequence[int], angle: float,
           length: float, width: float, paint: np.ndarray) -> None:
    """Paint one stroke of a palette knife, in place.

    Args:
        rng: random generator.
        canvas: image [HEIGHT, WIDTH, 3], 0 to 1, that the stroke covers.
        relief: thickness [HEIGHT, WIDTH] of the paint, which is updated.
        center: (y, x) of the middle of the stroke, in pixels.
        angle: direction in radians, from x toward y.
        length, width: size in pixels.
        paint: color [3], 0 to 1.
    """
    reach = int(np.hypot(length, width) / 2) + 2
    window = tuple(slice(max(middle - reach, 0), middle + reach + 1) for middle in center)
    y, x = np.mgrid[:HEIGHT, :WIDTH][(slice(None), *window)] - np.reshape(center, (2, 1, 1))
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    ridges = np.interp(across, np.linspace(-.6, .6, 12) * width, rng.standard_normal(12)).clip(-2, 2)
    edge = np.minimum(length / 2 * (1 - .12 * np.abs(ridges)) - np.abs(along),
                      width / 2 - np.abs(across) + .25 * ridges)
    # The second factor makes the paint run out toward the end of the stroke.
    cover = np.clip(edge + .5, 0, 1) * np.clip(1.15 - .25 * (along / length + .5) * (1 + ridges), .35, 1)
    canvas[window] = blend(canvas[window], paint * (1 + .07 * ridges + .06 * along / length)[..., None], cover)
    thickness = width**.5 * (.5 + .22 * ridges + .5 * np.clip(2 * np.abs(across) / width, 0, 1)**4
                             + .4 * along / length)
    relief[window] += cover * (thickness - .7 * relief[window])


def palette_knife(rng: np.random.Generator) -> np.ndarray:
    """Paint the avenue with a palette knife, [HEIGHT, WIDTH, 3] with values of about 0 to 1."""
    y, x = grid(1)
    scene, direction, wood = avenue(rng, y, x)
    canvas, relief = np.full(scene.shape, .15), np.zeros(y.shape)
    anywhere, contours = np.ones(y.shape), ndimage.gaussian_gradient_magnitude(wood * 1., 3)
    for length, width, count, where in ((84, 30, 600, anywhere), (58, 20, 1600, anywhere), (40, 12, 2000, anywhere),
                                        (24, 7, 1200, contours), (26, 7, 900, wood * (y + .2)), (12, 3, 500, wood)):
        for spot in rng.choice(y.size, count, p=where.ravel() / where.sum()):
            center = divmod(spot, WIDTH)
            paint = scene[center] * rng.uniform(.82, 1.2)
            paint = np.clip(paint.mean() + (paint - paint.mean()) * rng.uniform(1, 1.3) + rng.normal(0, .02, 3), 0, 1)
            stroke(rng, canvas, relief, center, direction[center] + rng.normal(0, .12), length * rng.uniform(.7, 1.3),
                   width * rng.uniform(.75, 1.2), paint)
    light = np.clip(-.22 * sum(np.gradient(ndimage.gaussian_filter(relief, .6))), -.28, .35)[..., None]
    return canvas * (1 + .8 * light) + .2 * light.clip(0)


if __name__ == '__main__':
    for seed, picture in enumerate((stained_glass, woodcut, palette_knife)):
        pixels = np.round(255 * picture(np.random.default_rng(seed)).clip(0, 1)).astype(np.uint8)
        iio.imwrite(paths.ROOT / 'styles' / f'{picture.__name__}.jpg', pixels, quality=92)
