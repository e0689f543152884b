"""A narrow VGG-19: what it keeps of the whole one, on images it was not fitted to."""

import numpy as np

import reference
from fast.narrowing import narrowed
from made import he_weights

WEIGHTS = he_weights(last='conv3_1')
ALL = {name: W.shape[-1] for name, (W, _) in WEIGHTS.convolutions.items()}


def images(n, seed):
    """Blocks of 4×4 pixels: their mirror images with and without the edge's own pixels are alike."""
    return np.random.default_rng(seed).uniform(0, 255, (n, 16, 16, 3)).astype(np.float32).repeat(4, 1).repeat(4, 2)


def maps_of(narrow, image):
    """name -> map, by direct convolution."""
    x, maps = np.float64(image) / 127.5 - 1, {}
    for name in (key.partition('/')[0] for key in narrow if key.endswith('weights')):
        if name in ('conv2_1', 'conv3_1'):
            x = reference.pool(x, np.mean)
        x = np.maximum(reference.convolve(x, np.float64(narrow[f'{name}/weights']), 'reflect')
                       + narrow[f'{name}/biases'], 0)
        maps[name] = x
    return maps


def unexplained(inside, wanted):
    """Share of the variance of features [H, W, N] that is no linear function of those inside, a border left out."""
    guess, wanted = (x[2:-2, 2:-2].reshape(-1, x.shape[-1]) for x in (inside, wanted))
    guess = np.c_[guess, np.ones(len(guess))]
    rest = wanted - guess @ np.linalg.lstsq(guess, wanted)[0]
    return np.square(rest).sum() / np.square(wanted - wanted.mean(axis=0)).sum()


def test_with_all_channels_the_features_are_the_same_but_for_their_size():
    narrow = narrowed(WEIGHTS, ALL, images(6, 0))
    image = images(1, 1)[0]
    maps, true = maps_of(narrow, image), reference.vgg(image - WEIGHTS.mean_pixels, WEIGHTS, padding='symmetric')
    for name in ALL:
        inside, wanted = (x[name][4:-4, 4:-4] for x in (maps, true))
        scale = (inside * wanted).sum(axis=(0, 1)) / np.maximum(np.square(wanted).sum(axis=(0, 1)), 1e-9)
        assert np.square(inside - scale * wanted).mean() < 0.06
        np.testing.assert_allclose(np.median(np.sqrt(np.square(maps[name]).mean(axis=(0, 1)))), 1, atol=0.2)


def test_channels_that_others_say_are_left_out():
    """Of every channel there is a copy, some of them louder: half of them tell all."""
    convolutions, rng = {}, np.random.default_rng(0)
    past, loud = None, None  # of the layer before: whose copy a channel is, how loud
    for name, (W, b) in WEIGHTS.convolutions.items():
        order = rng.permutation(2 * len(b))
        louder = np.repeat(rng.uniform(1, 3, (2, 1)), len(b), axis=0)[:, 0][order]
        before = W if name == 'conv1_1' else W[:, :, past % W.shape[2]] / 2 / loud[:, None]
        convolutions[name] = np.float32(before[..., order % len(b)] * louder), np.float32(b[order % len(b)] * louder)
        past, loud = order, louder
    narrow = narrowed(WEIGHTS._replace(convolutions=convolutions), ALL, images(6, 0))
    image = images(1, 1)[0]
    maps, true = maps_of(narrow, image), reference.vgg(image - WEIGHTS.mean_pixels, WEIGHTS, padding='symmetric')
    assert max(unexplained(maps[name], true[name]) for name in ALL) < 0.04


def test_half_of_the_channels_tell_most_and_more_than_any_half():
    half = {name: (channels + 1) // 2 for name, channels in ALL.items()}
    image = images(1, 1)[0]
    maps = maps_of(narrowed(WEIGHTS, half, images(6, 0)), image)
    true = reference.vgg(image - WEIGHTS.mean_pixels, WEIGHTS, padding='symmetric')
    for name, channels in half.items():
        assert maps[name].shape[-1] == channels
    first = true['conv1_1']
    worst = max(unexplained(first[..., [i, j]], first) for i in range(4) for j in range(i))
    assert unexplained(maps['conv1_1'], first) < 0.9 * worst
    assert unexplained(maps['conv3_1'], true['conv3_1']) < 0.8
