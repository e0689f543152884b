"""A narrow VGG-19: what it keeps of the whole one, on images it was not fitted to."""

import numpy as np

import load_vgg
from fast.commands import prune as prune_command
from fast.networks.pruning import normalize, prune
from fast_style_transfer import main
from tests import reference
from tests.factories import block_photos, he_weights

WEIGHTS = he_weights(last='conv3_1')
ALL = {name: W.shape[-1] for name, (W, _) in WEIGHTS.convolutions.items()}


def images(n, seed):
    """Blocks of 4×4 pixels."""
    return np.random.default_rng(seed).uniform(0, 255, (n, 16, 16, 3)).astype(np.float32).repeat(4, 1).repeat(4, 2)


def features(image, weights):
    """name -> map of an image of 0-255, by direct convolution."""
    return reference.vgg(image - weights.mean_pixels, weights, padding='symmetric')


def unexplained(inside, wanted):
    """Share of the variance of features [H, W, N] that is no linear function of those inside, a border left out."""
    guess, wanted = (x[2:-2, 2:-2].reshape(-1, x.shape[-1]) for x in (inside, wanted))
    guess = np.c_[guess, np.ones(len(guess))]
    rest = wanted - guess @ np.linalg.lstsq(guess, wanted)[0]
    return np.square(rest).sum() / np.square(wanted - wanted.mean(axis=0)).sum()


def test_with_all_channels_the_features_are_the_same():
    image = images(1, 1)[0]
    maps, true = (features(image, weights) for weights in (prune(WEIGHTS, ALL, images(6, 0)), WEIGHTS))
    for name in ALL:
        np.testing.assert_allclose(np.square(maps[name] - true[name]).mean() / np.square(true[name]).mean(), 0,
                                   atol=0.03)


def test_normalized_it_takes_half_the_range_and_each_channel_has_a_mean_square_of_1():
    some = images(2, 0)
    narrow = prune(WEIGHTS, ALL, some)
    parameters = normalize(narrow, some)
    expected = [features(image, narrow) for image in some]
    found = []
    for image in some:
        x, maps = np.float64(image) / 127.5 - 1, {}
        for name in ALL:
            if name in ('conv2_1', 'conv3_1'):
                x = reference.pool(x, np.mean)
            W, b = (np.float64(parameters[f'{name}/{kind}']) for kind in ('weights', 'biases'))
            maps[name] = x = np.maximum(reference.convolve(x, W, 'symmetric') + b, 0)
        found.append(maps)
    for name in ALL:
        inside, wanted = (np.stack([maps[name] for maps in both]) for both in (found, expected))
        size = np.sqrt(np.square(wanted).mean(axis=(0, 1, 2)))
        np.testing.assert_allclose(inside, wanted / (size + 1e-6), atol=1e-4)


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
    narrow = prune(WEIGHTS._replace(convolutions=convolutions), ALL, images(6, 0))
    image = images(1, 1)[0]
    maps, true = features(image, narrow), features(image, WEIGHTS)
    assert max(unexplained(maps[name], true[name]) for name in ALL) < 0.04


def test_half_of_the_channels_tell_most_and_more_than_any_half():
    half = {name: (channels + 1) // 2 for name, channels in ALL.items()}
    image = images(1, 1)[0]
    maps, true = features(image, prune(WEIGHTS, half, images(6, 0))), features(image, WEIGHTS)
    for name, channels in half.items():
        assert maps[name].shape[-1] == channels
    first = true['conv1_1']
    worst = max(unexplained(first[..., [i, j]], first) for i in range(4) for j in range(i))
    assert unexplained(maps['conv1_1'], first) < 0.9 * worst
    assert unexplained(maps['conv3_1'], true['conv3_1']) < 0.8


def test_the_command_writes_weights_to_train_against(tmp_path, tiny_vgg, monkeypatch, capsys):
    for name, value in (('CROP_COUNT', 4), ('CROP_SIDE_PX', 32)):
        monkeypatch.setattr(prune_command, name, value)
    photos, path = block_photos(tmp_path, 3), tmp_path / 'narrow.mat'
    command = ['narrow', str(path), '--images', str(photos), '--vgg', str(tiny_vgg)]
    assert main(command) == 0
    whole, narrow = map(load_vgg.read_weights, (tiny_vgg, path))
    assert list(narrow.convolutions) == list(whole.convolutions)[:13]
    assert [len(b) for _, b in narrow.convolutions.values()] == [
        round(len(b) / 2) for _, b in list(whole.convolutions.values())[:13]]
    np.testing.assert_array_equal(narrow.mean_pixels, whole.mean_pixels)
    assert main(command) == 2 and f'{path}: exists already' in capsys.readouterr().err
