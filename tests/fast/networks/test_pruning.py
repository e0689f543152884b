"""Test the channel pruning of VGG-19: how well its features are kept on images that no filter was fitted to."""

import numpy as np

import load_vgg
from fast.commands import prune as prune_command
from fast.networks.pruning import normalize, prune
from fast_style_transfer import main
from tests import reference
from tests.factories import block_photos, he_weights

WEIGHTS = he_weights(last='conv3_1')
ALL_CHANNELS = {name: W.shape[-1] for name, (W, _) in WEIGHTS.convolutions.items()}


def block_images(n, seed):
    """Return `n` random images of blocks of 4×4 pixels, float32 [n, 64, 64, 3], 0 to 255."""
    return np.random.default_rng(seed).uniform(0, 255, (n, 16, 16, 3)).astype(np.float32).repeat(4, 1).repeat(4, 2)


def features(image, weights):
    """Return the features of an image [H, W, 3], 0 to 255, by direct convolution: name -> [H, W, N]."""
    return reference.vgg(image - weights.mean_pixels, weights, padding='symmetric')


def unexplained(pruned, targets):
    """Return the share of the variance of features that no linear function of the pruned ones explains."""
    inputs, targets = (x[2:-2, 2:-2].reshape(-1, x.shape[-1]) for x in (pruned, targets))
    inputs = np.c_[inputs, np.ones(len(inputs))]
    residuals = targets - inputs @ np.linalg.lstsq(inputs, targets)[0]
    return np.square(residuals).sum() / np.square(targets - targets.mean(axis=0)).sum()


def test_with_all_channels_the_features_stay_the_same():
    image = block_images(1, 1)[0]
    maps, expected = (features(image, weights)
                      for weights in (prune(WEIGHTS, ALL_CHANNELS, block_images(6, 0)), WEIGHTS))
    for name in ALL_CHANNELS:
        np.testing.assert_allclose(np.square(maps[name] - expected[name]).mean() / np.square(expected[name]).mean(), 0,
                                   atol=0.03)


def test_normalized_channels_have_mean_square_1_for_inputs_from_minus_1_to_1():
    fit_images = block_images(2, 0)
    pruned = prune(WEIGHTS, ALL_CHANNELS, fit_images)
    parameters = normalize(pruned, fit_images)
    expected = [features(image, pruned) for image in fit_images]
    outputs = []
    for image in fit_images:
        x, maps = np.float64(image) / 127.5 - 1, {}
        for name in ALL_CHANNELS:
            if name in ('conv2_1', 'conv3_1'):
                x = reference.pool(x, np.mean)
            W, b = (np.float64(parameters[f'{name}/{kind}']) for kind in ('weights', 'biases'))
            maps[name] = x = np.maximum(reference.convolve(x, W, 'symmetric') + b, 0)
        outputs.append(maps)
    for name in ALL_CHANNELS:
        actual, target = (np.stack([maps[name] for maps in both]) for both in (outputs, expected))
        size = np.sqrt(np.square(target).mean(axis=(0, 1, 2)))
        np.testing.assert_allclose(actual, target / (size + 1e-6), atol=1e-4)


def test_redundant_channels_are_pruned():
    """Every channel has a copy of another scale, so half of the channels explain all of them."""
    convolutions, rng = {}, np.random.default_rng(0)
    previous_order, previous_scale = None, None  # of the channels of the previous layer
    for name, (W, b) in WEIGHTS.convolutions.items():
        order = rng.permutation(2 * len(b))
        scale = np.repeat(rng.uniform(1, 3, (2, 1)), len(b), axis=0)[:, 0][order]
        filters = W if name == 'conv1_1' else W[:, :, previous_order % W.shape[2]] / 2 / previous_scale[:, None]
        convolutions[name] = np.float32(filters[..., order % len(b)] * scale), np.float32(b[order % len(b)] * scale)
        previous_order, previous_scale = order, scale
    pruned = prune(WEIGHTS._replace(convolutions=convolutions), ALL_CHANNELS, block_images(6, 0))
    image = block_images(1, 1)[0]
    maps, expected = features(image, pruned), features(image, WEIGHTS)
    assert max(unexplained(maps[name], expected[name]) for name in ALL_CHANNELS) < 0.04


def test_half_of_the_channels_explain_most_of_the_features():
    half = {name: (channels + 1) // 2 for name, channels in ALL_CHANNELS.items()}
    image = block_images(1, 1)[0]
    maps, expected = features(image, prune(WEIGHTS, half, block_images(6, 0))), features(image, WEIGHTS)
    for name, channels in half.items():
        assert maps[name].shape[-1] == channels
    first = expected['conv1_1']
    worst = max(unexplained(first[..., [i, j]], first) for i in range(4) for j in range(i))
    assert unexplained(maps['conv1_1'], first) < 0.9 * worst
    assert unexplained(maps['conv3_1'], expected['conv3_1']) < 0.8


def test_the_command_writes_pruned_weights_and_overwrites_none(tmp_path, tiny_vgg, monkeypatch, capsys):
    for name, value in (('CROP_COUNT', 4), ('CROP_SIDE_PX', 32)):
        monkeypatch.setattr(prune_command, name, value)
    photos, path = block_photos(tmp_path, 3), tmp_path / 'narrow.mat'
    command = ['narrow', str(path), '--images', str(photos), '--vgg', str(tiny_vgg)]
    assert main(command) == 0
    original, pruned = map(load_vgg.read_weights, (tiny_vgg, path))
    assert list(pruned.convolutions) == list(original.convolutions)[:13]
    assert [len(b) for _, b in pruned.convolutions.values()] == [
        round(len(b) / 2) for _, b in list(original.convolutions.values())[:13]]
    np.testing.assert_array_equal(pruned.mean_pixels, original.mean_pixels)
    assert main(command) == 2 and f'{path}: exists already' in capsys.readouterr().err
