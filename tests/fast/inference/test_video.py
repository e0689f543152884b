"""Test stylized clips: frames, frame rate and sound are kept, finished parts survive a kill, smoothing works."""

import json
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import imageio.v3 as iio
import numpy as np
import pytest

import utils
from common import paths
from fast.inference import batch, clip_writing, multi_style, temporal_smoothing, video
from fast_style_transfer import main

RATE = Fraction(30000, 1001)


def blocks(height, width, seed=0):
    """Return a random image of blocks of 6×6 pixels, [height, width, 3]."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (-(-height // 6), -(-width // 6), 3)).repeat(6, 0).repeat(6, 1)[:height, :width]


@pytest.fixture
def clip(workdir):
    """Write a clip of 100 frames, 64×48, that moves to the right, with sound; return its path."""
    with av.open('clip.mp4', 'w') as file:
        picture, sound = file.add_stream('libx264', RATE), file.add_stream('aac', 44100)
        picture.width, picture.height, picture.pix_fmt, sound.layout = 64, 48, 'yuv420p', 'mono'
        for i in range(100):
            frame = np.roll(blocks(48, 64), i, axis=1).astype(np.uint8)
            file.mux(picture.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        file.mux(picture.encode())
        wave = 8000 * np.sin(np.arange(44100 * 100 / float(RATE)) * 2 * np.pi * 440 / 44100)
        samples = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format='s16', layout='mono')
        samples.sample_rate = 44100
        fifo = av.AudioFifo()
        fifo.write(samples)
        while (part := fifo.read(1024, partial=True)) is not None:
            file.mux(sound.encode(part))
        file.mux(sound.encode())
    return Path('clip.mp4')


def packets(path, kind):
    """Return (time in seconds, bytes) of all packets of a clip's 'video' or 'audio' stream."""
    with av.open(str(path)) as file:
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in file.demux(**{kind: 0})
                if packet.pts is not None]


def stylize(*arguments, clip='clip.mp4'):
    """Run the command on a clip with style a and more arguments; return its exit status."""
    return main(['stylize', clip, '--style', 'a', *map(str, arguments)])


def test_a_clip_keeps_its_frames_its_rate_and_its_sound(clip, model_folder, capsys):
    assert stylize('--model', model_folder) == 0
    assert 'outputs/clip-a.mp4: 100 frames' in capsys.readouterr().out
    assert [path.name for path in Path('outputs').iterdir()] == ['clip-a.mp4']
    with av.open('outputs/clip-a.mp4') as file:
        assert file.streams.video[0].average_rate == RATE
    assert packets('outputs/clip-a.mp4', 'audio') == packets(clip, 'audio')
    times = [[when for when, _ in sorted(packets(path, 'video'))] for path in (clip, 'outputs/clip-a.mp4')]
    np.testing.assert_allclose(np.float64(times[1]) - float(times[1][0]), np.float64(times[0]) - float(times[0][0]),
                               atol=1e-3)
    model = multi_style.MultiStyleModel(model_folder)
    for photo, picture in zip(iio.imiter(clip, plugin='pyav'), iio.imiter('outputs/clip-a.mp4', plugin='pyav'),
                              strict=True):
        expected = utils.to_uint8(model(np.float32(photo), [1, 0, 0]))
        # The codec halves the resolution of colors, so compare only the gray values.
        assert np.corrcoef(picture.mean(axis=2).ravel(), expected.mean(axis=2).ravel())[0, 1] > 0.9


def test_odd_sides_are_cropped_and_a_clip_may_have_no_sound(workdir, model_folder):
    with iio.imopen('odd.mkv', 'w', plugin='pyav') as file:
        file.init_video_stream('libx264', fps=10, pixel_format='yuv444p')
        for i in range(5):
            file.write_frame(blocks(33, 41, seed=i).astype(np.uint8))
    assert stylize('--model', model_folder, clip='odd.mkv') == 0
    assert [frame.shape for frame in iio.imiter('outputs/odd-a.mkv', plugin='pyav')] == [(32, 40, 3)] * 5


def write_clip_with_sound(path, codec, rate):
    """Write a clip of two seconds whose silent sound uses a codec."""
    with av.open(path, 'w') as file:
        picture = file.add_stream('libvpx' if path.endswith('webm') else 'libx264', 10)
        sound = file.add_stream(codec, rate)
        picture.width, picture.height, picture.pix_fmt, sound.layout = 32, 32, 'yuv420p', 'mono'
        for i in range(20):
            frame = av.VideoFrame.from_ndarray(blocks(32, 32, seed=i).astype(np.uint8), format='rgb24')
            file.mux(picture.encode(frame))
        file.mux(picture.encode())
        kind = sound.codec_context.format.name
        dtype = {'u8': np.uint8, 's16': np.int16, 'flt': np.float32}[kind.rstrip('p')]
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 960), dtype), format=kind, layout='mono')
        for i in range(20):
            samples.sample_rate, samples.pts = rate, 960 * i
            file.mux(sound.encode(samples))
        file.mux(sound.encode())


def test_other_formats_become_mkv_and_unsupported_outputs_are_refused_first(workdir, model_folder, capsys,
                                                                            monkeypatch):
    write_clip_with_sound('a.webm', 'libopus', 48000)
    write_clip_with_sound('b.mkv', 'pcm_u8', 44100)
    assert stylize('--model', model_folder, clip='a.webm') == 0
    assert packets('outputs/a-a.webm', 'audio') and len(list(iio.imiter('outputs/a-a.webm', plugin='pyav'))) == 20
    shutil.copy('b.mkv', 'b.mpg')  # FFmpeg reads it in spite of its name.
    assert stylize('--model', model_folder, clip='b.mpg') == 0
    assert packets('outputs/b-a.mkv', 'audio') == packets('b.mkv', 'audio')
    monkeypatch.setattr(batch.Renderer, 'picture', None)
    assert stylize('--model', model_folder, '--out', 'b.mp4', clip='b.mkv') == 1
    assert 'a file like b.mp4 cannot hold its audio (pcm_u8); use --out clip.mkv' in capsys.readouterr().err
    assert stylize('--model', model_folder, '--out', 'c.mpg', clip='a.webm') == 1
    assert 'the name of its output, c.mpg, does not end in one of .avi, ' in capsys.readouterr().err


def test_a_full_disk_is_not_reported_as_a_damaged_clip(clip, model_folder, capsys, monkeypatch):
    def fail(*args):
        raise OSError(28, 'No space left on device')
    with monkeypatch.context() as patch:
        patch.setattr(utils, 'save_image', fail)
        assert stylize('--model', model_folder) == 2
    err = capsys.readouterr().err
    assert 'No space left on device' in err and 'cannot be read' not in err
    assert stylize('--model', model_folder) == 0


def test_a_clip_without_video_is_refused(workdir, model_folder, capsys):
    with av.open('clip.mp4', 'w') as file:
        sound = file.add_stream('aac', 44100)
        sound.layout = 'mono'
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format='fltp', layout='mono')
        samples.sample_rate = 44100
        file.mux(sound.encode(samples))
        file.mux(sound.encode())
    assert stylize('--model', model_folder) == 1
    assert 'clip.mp4: contains no video' in capsys.readouterr().err


@pytest.mark.parametrize('steady', [False, True])
def test_after_a_kill_finished_parts_are_not_computed_again(clip, model_folder, monkeypatch, steady):
    options = ['--steady'] * steady
    assert stylize('--model', model_folder, '--out', 'straight', *options) == 0
    command = [sys.executable, paths.ROOT / 'fast_style_transfer.py', 'stylize', clip, '--style', 'a', '--model',
               model_folder, '--out', 'killed', *options]
    process = subprocess.Popen(command)
    parts = Path('killed/.parts-clip-a.mp4')
    while not (parts / '000000.png').exists():
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert parts.exists() and not Path('killed/clip-a.mp4').exists()
    rendered = []
    picture = batch.Renderer.picture
    monkeypatch.setattr(batch.Renderer, 'picture', lambda *args: rendered.append(0) or picture(*args))
    assert stylize('--model', model_folder, '--out', 'killed', *options) == 0
    assert len(rendered) in (52, 4) and not parts.exists()
    frames = [list(iio.imiter(f'{out}/clip-a.mp4', plugin='pyav')) for out in ('killed', 'straight')]
    assert np.abs(np.float64(frames[0]) - frames[1]).mean() < 8  # x264 does not give the same bytes twice


def test_finished_parts_are_reused_only_with_the_same_settings(clip, model_folder, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr(clip_writing, 'source_sound', interrupt)
        assert stylize('--model', model_folder) == 130
    parts = Path('outputs/.parts-clip-a.mp4')
    assert sorted(path.name for path in parts.glob('*.mp4')) == ['000000.mp4', '000001.mp4', '000002.mp4']
    shutil.copytree(parts, 'kept')
    rendered = []
    picture = batch.Renderer.picture
    monkeypatch.setattr(batch.Renderer, 'picture', lambda *args: rendered.append(0) or picture(*args))
    assert stylize('--model', model_folder) == 0 and len(rendered) == 0
    shutil.copytree('kept', parts)
    assert stylize('--model', model_folder, '--strength', '0.5') == 0 and len(rendered) == 100
    shutil.copytree('kept', parts)  # as if an older version had written them
    about = json.loads((parts / 'about.json').read_text())
    (parts / 'about.json').write_text(json.dumps({key: about[key] for key in about if key != 'format'}))
    assert stylize('--model', model_folder) == 0 and len(rendered) == 200 and not parts.exists()


def test_damaged_and_missing_clips_and_image_outputs_are_refused(workdir, model_folder, capsys):
    Path('clip.mp4').write_text('no clip')
    iio.imwrite('a.png', blocks(32, 32).astype(np.uint8))
    for arguments, message in (((), 'clip.mp4: cannot be read as a clip'),
                               (('--out', 'a.jpg'), 'is a clip, but the name of its output, a.jpg, does not end in')):
        assert stylize(*arguments, '--model', model_folder) == 1
        assert message in capsys.readouterr().err
    assert main(['stylize', 'none.mp4', '--style', 'a', '--model', str(model_folder)]) == 1
    assert 'none.mp4: no such clip' in capsys.readouterr().err


def test_temporal_smoothing_reduces_the_flicker_of_a_still_scene():
    """Compare the mean change between pictures of a still camera with noise."""
    rng = np.random.default_rng(0)
    scene = np.float32(blocks(48, 64))
    photos = [scene + rng.normal(0, 3, scene.shape).astype(np.float32) for _ in range(12)]
    pictures = [128 + 3 * (photo - scene) for photo in photos]  # as from a network that amplifies the noise

    def change(strength):
        smoothing = video.TemporalSmoothing(strength)
        displayed = [smoothing(photo, picture) for photo, picture in zip(photos, pictures)]
        return np.mean([np.abs(after - before).mean() for before, after in zip(displayed[4:], displayed[5:])])
    assert change(1) < change(0) / 3


def test_temporal_smoothing_shows_new_areas_in_the_new_picture():
    scene = utils.read_image(paths.ROOT / 'content/coffee.png')[100:200, 100:300]
    before, photo = scene[:, :-10], scene[:, 10:]
    smoothing = video.TemporalSmoothing(1)
    smoothing(before, np.zeros_like(before))
    displayed = smoothing(photo, np.full_like(photo, 200))
    assert displayed[20:-20, -3:].mean() > 150 > 100 > displayed[20:-20, 20:-20].mean() and np.isfinite(displayed).all()


def test_temporal_smoothing_follows_motion():
    """Move the scene by two pixels per frame.

    The displayed picture is the previous one, moved along the optical flow. Where the flow does not fit, it is the
    new picture.
    """
    scene = utils.read_image(paths.ROOT / 'content/coffee.png')[100:300, 100:400]
    before, photo = scene[:, :-2], scene[:, 2:]
    warped_photo, warped_picture = temporal_smoothing.warp(photo, before, 255 - before)
    inside = slice(16, -16), slice(16, -16)
    assert np.abs(warped_photo - photo)[inside].mean() < np.abs(before - photo)[inside].mean() / 3
    np.testing.assert_allclose(warped_picture, 255 - warped_photo, atol=0.1)
    smoothing = video.TemporalSmoothing(1)
    smoothing(before, 255 - before)
    displayed = smoothing(photo, np.zeros_like(photo))[inside]
    share = displayed.mean() / (255 - photo[inside]).mean()
    assert 0.6 < share <= 0.8
    smoothing(before, 255 - before)
    assert smoothing(255 - photo, np.zeros_like(photo))[inside].mean() < 0.1 * displayed.mean()


def test_temporal_smoothing_of_frames_reaches_a_picture_that_has_changed():
    """With full strength, at most 0.8 of the previous picture stays, so 20 equal frames leave 0.8 ** 19 of it."""
    photos = 20 * [np.float32(blocks(32, 40))]
    levels = iter([200.] + 19 * [0.])
    renderer = batch.Renderer(lambda photo, style, tile: np.full_like(photo, next(levels)), None, 64,
                              temporal_smoothing=1)
    last = list(renderer.pictures(photos))[-1]
    assert last.max() == round(200 * 0.8 ** 19)
