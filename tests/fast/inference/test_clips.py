"""Test that clips keep their frame times, audio, colors, pixel aspect ratio and orientation, in all containers."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from common import files
from fast.inference import batch, clip_pixels, clip_writing
from fast_style_transfer import main
from tests.fast.inference.clip_factories import (
    AUDIO_RATE,
    MILLISECOND,
    audio_packets,
    blocks,
    read_clip,
    video_packets,
    write_clip,
)

IRREGULAR_MS = [*range(0, 1000, 40), *range(1000, 3000, 200)]
GREEN = 13, 222, 3
SYNC_SECONDS = 0.04
BT601, BT709, BT2020 = 6, 1, 9
COEFFICIENTS = {BT601: (0.299, 0.114), BT709: (0.2126, 0.0722), BT2020: (0.2627, 0.0593)}
LIMITED, FULL = 1, 2
UNSPECIFIED = 2


@pytest.fixture
def copy_clip(model_folder, workdir):
    """Return a function that stylizes a clip with strength 0, which keeps the photos, and returns its `Contents`."""
    def run(path, target, *arguments):
        assert main(['stylize', str(path), '--style', 'a', '--model', str(model_folder), '--strength', '0', '--out',
                     str(target), *arguments]) == 0
        return read_clip(target)
    run.model = model_folder
    return run


@pytest.fixture
def refuse_clip(model_folder, workdir, capsys, monkeypatch):
    """Return a function that expects that a clip is refused before the first frame, and returns the message."""
    def run(path, target):
        monkeypatch.setattr(batch.Renderer, 'picture', None)
        assert main(['stylize', str(path), '--style', 'a', '--model', str(model_folder), '--out', str(target)]) == 1
        error = capsys.readouterr().err
        assert 'Traceback' not in error and not Path(target).exists()
        return error
    return run


def gray_images(times):
    """Return images of 64×96 with a gray value of their own for each time."""
    return [np.full((64, 96, 3), 20 + 7 * i % 220, np.uint8) for i in range(len(times))]


def to_yuv(rgb, matrix, value_range, bits=8):
    """Return the YUV values of a color, by the equations of ITU-T H.273."""
    kr, kb = COEFFICIENTS[matrix]
    r, g, b = np.array(rgb) / 255
    y = kr * r + (1 - kr - kb) * g + kb * b
    u, v = (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)
    one = 1 << bits - 8
    if value_range == FULL:
        top = (1 << bits) - 1
        return [round(y * top), round(u * top + 128 * one), round(v * top + 128 * one)]
    return [round((16 + 219 * y) * one), round((128 + 224 * u) * one), round((128 + 224 * v) * one)]


def stored_planes(path):
    """Return the values of the three planes in the middle of a clip's first frame, which has 8 bits."""
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
    assert frame.format.name in ('yuv420p', 'yuvj420p')
    return [bytes(plane)[plane.line_size * (plane.height // 2) + plane.width // 2] for plane in frame.planes]


# ------------------------------------------------------------------------------------------------------ times and sound

@pytest.mark.parametrize(('source', 'audio', 'target'), [
    ('mp4', 'aac', 'mp4'), ('mp4', 'aac', 'mkv'), ('mp4', 'aac', 'ts'), ('mp4', 'aac', 'avi'),
    ('mov', 'pcm_s16le', 'mov'), ('mov', 'pcm_s16le', 'avi'), ('mkv', 'flac', 'mkv'), ('mkv', 'libmp3lame', 'avi'),
    ('ts', 'aac', 'mp4'), ('ts', 'aac', 'avi'), ('ts', 'mp2', 'ts'), ('flv', 'aac', 'mkv'), ('webm', 'libopus', 'webm'),
    ('webm', 'libopus', 'mkv'), ('mkv', 'ac3', 'm4v')])
def test_irregular_frame_times_and_sound_are_kept(copy_clip, source, audio, target):
    codec = 'libvpx' if source == 'webm' else 'libx264'
    write_clip(f'clip.{source}', video_packets(gray_images(IRREGULAR_MS), IRREGULAR_MS, codec), audio_packets(audio, 3))
    before, after = read_clip(f'clip.{source}'), copy_clip(f'clip.{source}', f'copy.{target}')
    np.testing.assert_allclose(after.times - after.times[0], before.times - before.times[0], atol=0.002)
    offsets = [clip.audio_times[-1] - clip.times[0] for clip in (before, after)]
    assert abs(offsets[1] - offsets[0]) < SYNC_SECONDS
    for image, original in zip(after.images, before.images, strict=True):
        assert abs(image.mean() - original.mean()) < 3
    if (source, target) != ('ts', 'mp4') and (source, target) != ('ts', 'avi'):  # These have another AAC header.
        assert b''.join(after.audio) in b''.join(before.audio) or audio == 'aac'


def test_a_recording_of_a_browser_without_rate_and_duration_is_read(copy_clip):
    times = [0, 35, 66, 105, 134, 300, 334, 900]
    write_clip('clip.webm', video_packets(gray_images(times), times, 'libvpx'), audio_packets('libopus', 1), live='1')
    after = copy_clip('clip.webm', 'copy.webm')
    assert after.codecs == ['vp9', 'opus']
    np.testing.assert_allclose(after.times - after.times[0], np.array(times) / 1000, atol=0.002)


def test_a_single_frame_without_rate_is_a_clip(copy_clip):
    write_clip('clip.webm', video_packets(gray_images([0]), [0], 'libvpx'), live='1')
    assert len(copy_clip('clip.webm', 'copy.mp4').times) == len(copy_clip('clip.webm', 'copy.avi').times) == 1


@pytest.mark.parametrize(('target', 'video_start', 'audio_start'), [
    *((target, *starts) for target in ('mkv', 'avi') for starts in ((1500, 1500), (0, 700), (700, 0), (1577, 1554))),
    ('mp4', 1500, 1500), ('mp4', 700, 0), ('ts', 1500, 1500), ('ts', 700, 0)])
def test_streams_that_start_late_stay_in_step(copy_clip, target, video_start, audio_start):
    times = [video_start + 100 * i for i in range(20)]
    write_clip('clip.mkv', video_packets(gray_images(times), times), audio_packets('ac3', 2, audio_start))
    before, after = read_clip('clip.mkv'), copy_clip('clip.mkv', f'copy.{target}')
    offsets = [clip.audio_times[0] - clip.times[0] for clip in (before, after)]
    assert abs(offsets[1] - offsets[0]) < SYNC_SECONDS and len(after.audio) == len(before.audio)


def test_a_recording_whose_times_start_again_is_continued(copy_clip):
    for name, seconds in (('a.ts', 1), ('b.ts', 2)):
        times = range(0, 1000 * seconds, 100)
        write_clip(name, video_packets(gray_images(times), times), audio_packets('aac', seconds))
    Path('clip.ts').write_bytes(Path('a.ts').read_bytes() + Path('b.ts').read_bytes())
    after = copy_clip('clip.ts', 'copy.mp4')
    np.testing.assert_allclose(np.diff(after.times), 0.1, atol=0.05)
    assert abs(after.times[-1] - 2.9) < 0.1 and abs(after.audio_times[-1] - 3) < 0.1


@pytest.mark.parametrize(('audio', 'target'), [
    ('libmp3lame', 'avi'), ('ac3', 'avi'), ('pcm_s16le', 'avi'), ('libmp3lame', 'mp4'), ('ac3', 'mkv'), ('ac3', 'ts'),
    ('pcm_s16le', 'ts')])
def test_an_avi_is_read_and_written(copy_clip, refuse_clip, audio, target):
    rate = Fraction(1, 25)
    write_clip('clip.avi', video_packets(gray_images(range(30)), range(30), 'mpeg4', unit=rate),
               audio_packets(audio, 1.2))
    if (audio, target) == ('pcm_s16le', 'ts'):
        assert 'clip.avi: a file like copy.ts cannot hold its audio (pcm_s16le); use --out clip.mkv' in refuse_clip(
            'clip.avi', 'copy.ts')
        return
    before, after = read_clip('clip.avi'), copy_clip('clip.avi', f'copy.{target}')
    np.testing.assert_allclose(after.times - after.times[0], before.times - before.times[0], atol=0.002)
    assert abs(after.audio_times[-1] - before.audio_times[-1]) < SYNC_SECONDS
    assert abs(after.times[0] - after.audio_times[0]) < SYNC_SECONDS


@pytest.mark.parametrize(('audio', 'target', 'advice'), [
    ('flac', 'mov', 'flac); use --out clip.mkv'), ('libopus', 'mov', 'opus); use --out clip.mkv'),
    ('libopus', 'avi', 'opus); use --out clip.mkv'), ('flac', 'ts', 'flac); use --out clip.mkv'),
    ('aac', 'webm', 'aac); use --out clip.mkv')])
def test_audio_that_a_container_cannot_hold_is_refused_first(refuse_clip, audio, target, advice):
    write_clip('clip.mkv', video_packets(gray_images([0, 40]), [0, 40]), audio_packets(audio, 1))
    message = refuse_clip('clip.mkv', f'copy.{target}')
    assert f'clip.mkv: a file like copy.{target} cannot hold its audio ({advice}' in message


def test_windows_media_audio_goes_into_matroska(copy_clip):
    write_clip('clip.wmv', video_packets(gray_images(range(20)), range(0, 800, 40), 'wmv2'), audio_packets('wmav2', 1))
    after = copy_clip('clip.wmv', 'copy.mkv')
    assert after.codecs == ['h264', 'wmav2'] and after.audio == read_clip('clip.wmv').audio


# --------------------------------------------------------------------------------------------------------------- colors

@pytest.mark.parametrize(('target', 'tags'), [
    *((target, tags) for target in ('mp4', 'webm') for tags in ((BT709, FULL, 1, 1), (BT601, LIMITED, 6, 6))),
    *((target, tags) for target in ('mp4', 'mov', 'mkv', 'webm', 'avi', 'ts')
      for tags in ((BT709, LIMITED, 1, 1), (BT2020, LIMITED, 9, 18))),
    ('mov', (BT2020, LIMITED, 9, 16)), ('mkv', (BT709, FULL, 1, 13))])
def test_colors_and_their_tags_are_kept(copy_clip, tags, target):
    planes = (64, 96), *to_yuv(GREEN, *tags[:2])
    write_clip('clip.mkv', video_packets(None, range(0, 400, 40), planes=planes, tags=tags))
    after = copy_clip('clip.mkv', f'copy.{target}')
    assert after.tags == tags
    np.testing.assert_allclose(stored_planes(f'copy.{target}'), to_yuv(GREEN, *tags[:2]), atol=2)


@pytest.mark.parametrize(('height', 'matrix'), [(720, BT709), (718, BT601), (576, 5)])
def test_untagged_clips_are_read_as_players_do_and_tagged(copy_clip, height, matrix):
    planes = to_yuv(GREEN, BT601 if matrix == 5 else matrix, LIMITED)
    write_clip('clip.mkv', video_packets(None, [0, 40], planes=((height, 64), *planes)))
    assert copy_clip('clip.mkv', 'copy.mp4').tags == (matrix, LIMITED, matrix, 1 if matrix == BT709 else 6)
    np.testing.assert_allclose(stored_planes('copy.mp4'), planes, atol=2)


def test_frames_with_ten_bits_and_rgb_frames_keep_their_colors(copy_clip):
    tags = BT2020, LIMITED, 9, 18
    planes = to_yuv(GREEN, *tags[:2], bits=10)
    write_clip('hlg.mov', video_packets(None, [0, 40], pixel_format='yuv420p10le', planes=((64, 96), *planes),
                                        tags=tags))
    assert copy_clip('hlg.mov', 'copy.mov').tags == tags
    np.testing.assert_allclose(stored_planes('copy.mov'), to_yuv(GREEN, *tags[:2]), atol=2)
    write_clip('rgb.mkv', video_packets([np.full((64, 96, 3), GREEN)] * 2, [0, 40], 'ffv1', 'bgr0'))
    assert copy_clip('rgb.mkv', 'copy.mkv').tags == (BT601, LIMITED, BT709, 13)
    np.testing.assert_allclose(stored_planes('copy.mkv'), to_yuv(GREEN, BT601, LIMITED), atol=2)


@pytest.mark.parametrize(('pixel_format', 'bits'), [('yuv420p', 8), ('yuv444p', 8), ('yuv422p10le', 10), ('gray', 8)])
@pytest.mark.parametrize('value_range', [LIMITED, FULL])
@pytest.mark.parametrize('matrix', COEFFICIENTS)
def test_pixels_are_converted_as_computed_by_hand(pixel_format, bits, value_range, matrix):
    color = (90, 90, 90) if pixel_format == 'gray' else (190, 60, 110)
    frame = av.VideoFrame(32, 16, pixel_format)
    for plane, value in zip(frame.planes, to_yuv(color, matrix, value_range, bits)):
        dtype = np.uint8 if bits == 8 else '<u2'
        plane.update(np.full(plane.buffer_size // np.dtype(dtype).itemsize, value, dtype).tobytes())
    frame.colorspace, frame.color_range = matrix, value_range
    pixels = clip_pixels.to_rgb(frame, BT601)
    np.testing.assert_allclose(pixels, np.broadcast_to(color, pixels.shape), atol=1.5)
    colors = clip_pixels.Colors(matrix, value_range, UNSPECIFIED, UNSPECIFIED)
    planes = clip_pixels.from_rgb(np.uint8(np.broadcast_to(color, (16, 32, 3)).copy()), 'yuv420p', colors).planes
    np.testing.assert_allclose([bytes(plane)[0] for plane in planes], to_yuv(color, matrix, value_range), atol=1)


@pytest.mark.parametrize(('codec', 'pixel_format', 'suffix'), [
    ('libvpx', 'yuva420p', 'webm'), ('libvpx-vp9', 'yuva420p', 'webm'), ('libvpx-vp9', 'yuva420p', 'mkv'),
    ('qtrle', 'argb', 'mov'), ('png', 'rgba', 'mov'), ('prores_ks', 'yuva444p10le', 'mov'), ('ffv1', 'bgra', 'mkv')])
def test_transparent_areas_are_white(copy_clip, codec, pixel_format, suffix):
    image = np.zeros((64, 96, 4), np.uint8)
    image[..., 0], image[:, :48, 3] = 255, 255
    image[:, 72:, 3] = 128
    write_clip(f'clip.{suffix}', video_packets([image] * 3, [0, 40, 80], codec, pixel_format))
    pixels = copy_clip(f'clip.{suffix}', 'copy.mp4').images[0].astype(float)
    np.testing.assert_allclose(pixels[32, [20, 60, 85]], [(255, 0, 0), (255, 255, 255), (255, 127, 127)], atol=8)


# ------------------------------------------------------------------------------------------------------------- geometry

@pytest.mark.parametrize(('target', 'aspect'), [
    *((target, Fraction(64, 45)) for target in ('mp4', 'mov', 'mkv', 'webm', 'avi', 'ts')), ('webm', Fraction(8, 9))])
def test_the_pixel_aspect_ratio_is_kept(copy_clip, aspect, target):
    times = range(0, 400, 40)
    write_clip('clip.mkv', video_packets(gray_images(times), times, aspect=aspect))
    assert read_clip('clip.mkv').aspect == aspect
    assert abs(copy_clip('clip.mkv', f'copy.{target}').aspect / aspect - 1) < 0.005


@pytest.mark.parametrize('directions', [(a, b, c, d) for a, b, c, d in itertools.product((-1, 0, 1), repeat=4)
                                        if abs(a * d - b * c) == 1 and a * b == c * d == a * c == 0])
def test_all_eight_orientations_become_upright(copy_clip, directions):
    """Write the display matrix into the track header of an MP4: (x, y) is shown at (ax + cy, bx + dy)."""
    image = blocks(64, 96)
    write_clip('clip.mp4', video_packets([image] * 3, [0, 40, 80], aspect=2))
    a, b, c, d = directions
    content = Path('clip.mp4').read_bytes()
    place = content.index(b'tkhd') + 44
    matrix = np.array([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30], '>i4').tobytes()
    Path('turned.mp4').write_bytes(content[:place] + matrix + content[place + len(matrix):])
    straight, turned = copy_clip('clip.mp4', 'straight.mp4'), copy_clip('turned.mp4', 'copy.mp4')
    expected = straight.images[0]
    if b:
        expected = expected.transpose(1, 0, 2)
    expected = expected[::-1 if b + d < 0 else 1, ::-1 if a + c < 0 else 1]
    assert turned.images[0].shape == expected.shape and turned.aspect == (Fraction(1, 2) if b else 2)
    assert np.corrcoef(turned.images[0].ravel(), expected.ravel())[0, 1] > 0.9


@pytest.mark.parametrize(('codec', 'suffix'), [('libvpx', 'webm'), ('libx264', 'ts'), ('libvpx-vp9', 'mkv')])
def test_frames_of_another_size_are_centered_on_black(copy_clip, codec, suffix):
    times = range(0, 200, 40)
    parts = [video_packets([np.full((*size, 3), 255, np.uint8)] * 5, [start + time for time in times], codec)
             for start, size in ((0, (64, 96)), (200, (96, 48)), (400, (128, 192)))]
    write_clip(f'clip.{suffix}', parts)
    after = copy_clip(f'clip.{suffix}', 'copy.mp4', '--steady')
    assert len(after.images) == 15 and {image.shape for image in after.images} == {(64, 96, 3)}
    for first, widths in ((0, 96), (5, 32), (10, 96)):
        for image in after.images[first + 1:first + 5]:
            bright = image.mean(axis=2) > 128
            assert abs(bright[32].sum() - widths) <= 2 and abs(bright[:, 48].sum() - 64) <= 2
            assert abs(np.flatnonzero(bright[32]).mean() - 47.5) <= 1


# ------------------------------------------------------------------------------------------------------- damaged clips

@pytest.mark.parametrize(('suffix', 'codec', 'audio', 'options'), [
    ('mp4', 'libx264', 'aac', {}), ('mp4', 'libx264', 'aac', {'movflags': 'faststart'}),
    ('mp4', 'libx264', 'aac', {'movflags': 'frag_keyframe+empty_moov'}),
    ('mov', 'libx264', 'aac', {'movflags': 'faststart'}),
    ('mkv', 'libx264', 'flac', {}), ('webm', 'libvpx', 'libopus', {}), ('webm', 'libvpx', 'libopus', {'live': '1'}),
    ('avi', 'mpeg4', 'libmp3lame', {}), ('flv', 'libx264', 'aac', {}), ('wmv', 'wmv2', 'wmav2', {}),
    ('ts', 'libx264', 'aac', {})])
def test_clips_that_are_cut_short_are_refused_first(refuse_clip, suffix, codec, audio, options):
    unit = Fraction(1, 25) if suffix == 'avi' else MILLISECOND
    times = range(75) if suffix == 'avi' else range(0, 3000, 40)
    images = [blocks(64, 96, i) for i in range(75)]
    write_clip(f'whole.{suffix}', video_packets(images, times, codec, unit=unit), audio_packets(audio, 3), **options)
    content = Path(f'whole.{suffix}').read_bytes()
    for share in (0.3, 0.97):
        length = int(len(content) * share) // 188 * 188 + 100
        Path(f'clip.{suffix}').write_bytes(content[:length])
        assert f'clip.{suffix}: is cut short' in refuse_clip(f'clip.{suffix}', 'copy.mkv')
    assert not Path('.parts-copy.mkv').exists()


def test_the_message_says_how_much_of_a_clip_is_there(refuse_clip):
    write_clip('whole.mkv', video_packets([blocks(64, 96, i) for i in range(75)], range(0, 3000, 40)))
    content = Path('whole.mkv').read_bytes()
    Path('clip.mkv').write_bytes(content[:len(content) // 2])
    assert ' of 3.0 s are there; copy or download it again' in refuse_clip('clip.mkv', 'copy.mkv')


def test_a_clip_that_another_process_writes_is_refused(refuse_clip, copy_clip):
    write_clip('clip.mp4', video_packets(gray_images([0, 40]), [0, 40]))
    Path('.parts-copy.mp4').mkdir()
    with files.exclusive_lock(Path('.parts-copy.mp4'), 'busy'):
        message = refuse_clip('clip.mp4', 'copy.mp4')
    assert 'copy.mp4: another process is writing this clip; wait until it ends' in message


def test_a_cover_picture_is_not_the_video(copy_clip):
    _, encoded = video_packets(gray_images([0, 40, 80]), [0, 40, 80])
    _, cover = video_packets([np.zeros((32, 32, 3))], [0], 'mjpeg', 'yuvj420p')
    with av.open('clip.mp4', 'w') as file:
        picture, video = file.add_stream('mjpeg', 25), file.add_stream('libx264', 25)
        picture.width, picture.height, picture.pix_fmt = 32, 32, 'yuvj420p'
        video.width, video.height, video.pix_fmt = 96, 64, 'yuv420p'
        video.codec_context.time_base = video.time_base = MILLISECOND
        picture.disposition = av.stream.Disposition.attached_pic
        for stream, packets in ((picture, cover), (video, encoded)):
            for packet in packets:
                packet.stream = stream
                file.mux(packet)
    assert copy_clip('clip.mp4', 'copy.mp4').images[0].shape == (64, 96, 3)


@pytest.mark.parametrize('name', ['a:b', 'http:x', 'with space %03d', 'x' * 250])
def test_every_name_is_the_name_of_a_file(copy_clip, name):
    write_clip('clip.mp4', video_packets(gray_images(range(3)), [0, 40, 80]))
    assert len(copy_clip('clip.mp4', f'{name}.mkv').times) == 3
    assert len(copy_clip(f'{name}.mkv', 'again.mp4').times) == 3
    assert {path.name for path in Path().iterdir()} == {'clip.mp4', f'{name}.mkv', 'again.mp4'}


def test_a_folder_with_the_name_of_the_output_is_refused_first(copy_clip, capsys):
    write_clip('clip.mp4', video_packets(gray_images(range(3)), [0, 40, 80]))
    Path('folder.mkv').mkdir()
    with pytest.raises(AssertionError):
        copy_clip('clip.mp4', 'folder.mkv')
    assert 'folder.mkv: is a folder' in capsys.readouterr().err and not Path('.parts-folder.mkv').exists()


def test_a_full_disk_is_not_reported_as_a_fault_of_the_clip(copy_clip, monkeypatch, capsys):
    write_clip('clip.mp4', video_packets(gray_images(range(3)), [0, 40, 80]), audio_packets('aac', 1))

    def fail(parts, timeline, rate, sound, target, suffix):
        raise av.error.OSError(28, 'No space left on device', f'file:{target}')
    join = clip_writing.join
    for is_trial in True, False:  # while the audio is tried, and while the parts are joined
        with monkeypatch.context() as patch:
            patch.setattr(clip_writing, 'join', lambda parts, *rest: (
                fail if (len(rest[0].times) == 1) == is_trial else join)(parts, *rest))
            assert main(['stylize', 'clip.mp4', '--style', 'a', '--model', str(copy_clip.model), '--out',
                         'copy.mp4']) == 2
        error = capsys.readouterr().err
        assert 'No space left on device' in error and 'Traceback' not in error
    assert error == 'error: copy.mp4: No space left on device\n'


def test_sound_whose_packets_are_shorter_than_a_tick_keeps_its_length(copy_clip):
    write_clip('clip.mkv', video_packets(gray_images(range(50)), range(0, 2000, 40)),
               audio_packets('pcm_s16le', 2, samples_per_packet=AUDIO_RATE // 1200))
    before, after = read_clip('clip.mkv'), copy_clip('clip.mkv', 'copy.mkv')
    assert len(after.audio) == len(before.audio) > 1000
    assert abs(after.audio_times[-1] - before.audio_times[-1]) < 0.002
