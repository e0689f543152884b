"""The distillation tool on a tiny teacher: it learns, resumes exactly, folds and scales without a change, refuses clearly."""

import imageio.v3 as iio
import numpy as np
import pytest

import distill_vgg
import load_vgg
import reference
import runs
import tensorflow.compat.v1 as tf
from conftest import he_weights

STEPS = 400


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(distill_vgg, 'STAGES', ((0.7, 6, 32), (1.0, 4, 40)))
    monkeypatch.setattr(distill_vgg, 'LEARNING_RATES', (1e-2, 1e-4))
    monkeypatch.setattr(distill_vgg, 'CALIBRATION', 20)
    monkeypatch.setattr(distill_vgg, 'CHECKPOINT_EVERY', 100)


@pytest.fixture
def folder(tmp_path):
    """Twelve images of blocks and stripes, a copy, a text file and a picture that is cut off."""
    rng = np.random.default_rng(0)
    folder = tmp_path / 'images'
    (folder / 'below').mkdir(parents=True)
    for i in range(12):
        size = 2 ** (1 + i % 4)
        blocks = rng.integers(0, 256, (64 // size, 96 // size, 3), dtype=np.uint8)
        iio.imwrite(folder / 'below' / f'{i}.png', blocks.repeat(size, axis=0).repeat(size, axis=1))
    (folder / 'copy.png').write_bytes((folder / 'below/0.png').read_bytes())
    (folder / 'notes.txt').write_text('no picture')
    (folder / 'cut.png').write_bytes((folder / 'below/1.png').read_bytes()[:200])
    return folder


@pytest.fixture
def teacher(tmp_path):
    path = tmp_path / 'teacher.mat'
    load_vgg.write_weights(path, he_weights(last='conv5_1'))
    return path


def command(teacher, folder, *flags):
    return distill_vgg.main(['--teacher', str(teacher), '--images', str(folder), '--held-out', str(folder / 'below/11.png'),
                             '--width', '0.125', '--steps', str(STEPS), '--out', 'student.mat', *flags])


def test_images_are_found_once_and_unreadable_files_counted(folder):
    crops = distill_vgg.Crops([folder, folder / 'below'], [folder / 'below/11.png'], 40)
    assert (len(crops.images), crops.skipped) == (11, 2)
    first, again, other = (crops.batch(seed=0, step=step, n=3, side=32) for step in (5, 5, 6))
    assert first.shape == (3, 32, 32, 3) and first.min() >= 0 and first.max() <= 255
    assert (first == again).all() and not (first == other).all()


def test_it_learns_and_resumes_exactly(teacher, folder, workdir, capsys):
    assert command(teacher, folder) == 0
    history = np.loadtxt('checkpoints/distill/losses.csv', delimiter=',', skiprows=1)[:, 1:]
    assert history[-20:].mean() < history[:5].mean() / 5, history[-1]
    out = capsys.readouterr().out
    assert '11 images, 2 files skipped' in out and 'residual / variance' in out and '11.png' in out

    straight = load_vgg.read_weights('student.mat')
    real = runs.StopSignal
    for stop_at in (130, 350):  # before and after the statistics are frozen, in mid-way between two checkpoints
        steps_left = iter([False] * (stop_at % 100))

        class Stopped(real):
            requested = property(lambda self: next(steps_left, True))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runs, 'StopSignal', Stopped)
            assert command(teacher, folder, '--name', 'stopped') == 130
    assert command(teacher, folder, '--name', 'stopped') == 0
    resumed = load_vgg.read_weights('student.mat')
    for name, (W, b) in straight.convolutions.items():
        assert (W == resumed.convolutions[name][0]).all() and (b == resumed.convolutions[name][1]).all()


def test_untrained_layers_follow_and_every_layer_has_the_scale(workdir):
    photos = np.random.default_rng(0).uniform(0, 255, (1, 24, 24, 3)).astype(np.float32)
    student = distill_vgg.with_untrained_layers(he_weights(last='conv5_1'), seed=0)
    assert list(student.convolutions) == list(he_weights().convolutions)
    scaled = distill_vgg.scaled(student, photos, distill_vgg.MEAN_ACTIVATIONS, 'avg')
    before, after = (reference.vgg(photos[0] - student.mean_pixels, weights) for weights in (student, scaled))
    for name in student.convolutions:
        wanted = 13.5 if name == 'conv1_1' else 4.5
        assert after[name].mean() == pytest.approx(wanted, rel=1e-3)
        factor = wanted / before[name].mean()
        np.testing.assert_allclose(after[name], before[name] * factor, rtol=1e-2, atol=1e-3)


def test_residual_by_hand(workdir):
    features, target = np.random.default_rng(0).normal(size=(2, 1, 3, 4, 2)).astype(np.float32)
    W, b = np.float32([[1, -2], [3, 1]]), np.float32([0.5, 0])
    expected = ((np.maximum(features @ W + b, 0) - target) ** 2).mean() / ((target - target.mean((0, 1, 2))) ** 2).mean()
    with tf.Graph().as_default(), tf.Session() as sess:
        assert sess.run(distill_vgg.residual(features, (W[None, None], b), target)) == pytest.approx(expected, rel=1e-5)


def test_embedded_teacher_counts_through_its_map(tmp_path):
    weights = he_weights(last='conv5_1')
    rng = np.random.default_rng(3)
    embedding = rng.normal(size=(1, 1, 8, 11)).astype(np.float32), rng.normal(size=11).astype(np.float32)
    load_vgg.write_weights(tmp_path / 'thin.mat', weights._replace(embeddings={'conv5_1': embedding}))
    read = load_vgg.read_weights(tmp_path / 'thin.mat')
    image = rng.normal(0, 60, (1, 32, 32, 3)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as sess:
        features = sess.run(distill_vgg.teacher_features(tf.constant(image), [read]))
        vgg = load_vgg.VGG(tf.constant(image), weights, 'max')
        vgg.load()
        plain = sess.run(vgg.conv5_1)
    np.testing.assert_allclose(features['conv5_1'], np.maximum(plain @ embedding[0][0, 0] + embedding[1], 0), rtol=1e-4, atol=1e-3)
    assert list(features) == list(distill_vgg.TAPS)[:-1] and features['conv1_1'].shape[-1] == 4


@pytest.mark.parametrize('change, says', [
    (dict(folder='nowhere'), 'nowhere: no such folder of images'),
    (dict(folder='empty'), 'empty: no image of 40 pixels or more'),
    (dict(teacher='nowhere.mat'), 'nowhere.mat: no such weights file'),
    (dict(teacher='short.mat'), 'none of short.mat has conv5_1')])
def test_mistakes_end_in_one_line(teacher, folder, workdir, capsys, change, says):
    (workdir / 'empty').mkdir()
    load_vgg.write_weights('short.mat', he_weights(last='conv4_4'))
    flags = ['--teacher', str(change.get('teacher', teacher)), '--images', str(change.get('folder', folder)),
             '--held-out', str(folder / 'below/11.png'), '--steps', '10', '--out', 'student.mat']
    assert distill_vgg.main(flags) == 2
    err = capsys.readouterr().err
    assert says in err and 'Traceback' not in err
    assert not (workdir / 'student.mat').exists()


def test_a_whole_teacher_trains_all_sixteen_layers(workdir):
    distillation = distill_vgg.Distillation([he_weights(last='conv2_2'), he_weights()], 0.125, 100)
    assert distillation.taps == list(distill_vgg.TAPS)
    assert list(distillation.convolutions) == list(he_weights().convolutions)


def test_channels_that_are_hardly_active_come_back(workdir):
    distillation = distill_vgg.Distillation([he_weights(last='conv5_1')], 0.125, 100)
    image = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    with tf.Session(graph=distillation.graph) as sess:
        sess.run(distillation.init)
        _, _, beta, *_ = distillation.convolutions['conv3_1']
        values = sess.run(beta)
        values[[1, 4]] = -20
        beta.load(values, sess)
        activity = sess.run(distillation.activity, {distillation.crops: image})
        assert np.flatnonzero(activity[4] < distill_vgg.RARE).tolist() == [1, 4]
        distillation._revive(sess, activity)
        activity = sess.run(distillation.activity, {distillation.crops: image})
        assert 0.3 < activity[4][1] < 0.7 and 0.3 < activity[4][4] < 0.7
        W = sess.run(distillation.convolutions['conv3_2'][0])
        assert (W[:, :, [1, 4]] == 0).all() and (W[:, :, [0, 2, 3]] != 0).any()
