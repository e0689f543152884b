"""The catalog command: the picture of every pair, resuming, failures, and the page in a real browser."""

import json
import os
import re
import shutil
import signal
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

import catalogue
import recipes
import style_transfer
import tests.browser as browsers
from common import names, progress
from engine.run import runs

ODD_NAME = '<b>"x\'#1%'  # an allowed file name with characters that HTML, CSS and URLs treat specially


@pytest.fixture(scope='module')
def flags(tiny_vgg):
    """Return the flags of a catalog of the folders that `write_images` fills, 48 pixels and 3 iterations."""
    return ['--content', 'photos', '--style', 'styles', '--vgg', str(tiny_vgg), '--recipe', 'cs20', '--size', '48',
            '--iterations', '3']


def write_images(folder, images):
    """Write three photos, one of which is not an image, and two styles."""
    (folder / 'photos').mkdir()
    (folder / 'styles').mkdir()
    shutil.copy(images[0], folder / 'photos' / f'{ODD_NAME}.png')
    iio.imwrite(folder / 'photos' / 'tall.png', iio.imread(images[0]).swapaxes(0, 1))
    (folder / 'photos' / 'broken.jpg').write_text('no picture')
    for i, name in enumerate(('plain', 'turned')):
        iio.imwrite(folder / 'styles' / f'{name}.png', np.rot90(iio.imread(images[1]), 2 * i))


@pytest.fixture(scope='module')
def finished_catalog(flags, images, tmp_path_factory):
    """Make a catalog; return its folder and the exit status of the command."""
    folder = tmp_path_factory.mktemp('catalogue')
    write_images(folder, images)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        status = catalogue.main(flags)
    return folder, status


@pytest.fixture
def catalog_copy(finished_catalog, workdir):
    """Copy the finished catalog to the current directory, so that a test can change it."""
    shutil.copytree(finished_catalog[0], workdir, dirs_exist_ok=True)
    return workdir


@pytest.fixture
def no_training(monkeypatch):
    """Make the test fail if anything is trained."""
    def fail(*args, **settings):
        raise AssertionError('there was nothing to train')
    monkeypatch.setattr(catalogue, 'StyleTransfer', fail)


def read_page_data(folder=Path()):
    """Return the data of the page of the catalog in a folder."""
    page = (folder / 'outputs' / 'catalogue' / 'index.html').read_text(encoding='utf-8')
    return json.loads(re.search('id="data">(.*?)</script>', page)[1])


def page_entry(content, style, folder=Path()):
    """Return the entry of a pair on the page, by the labels of its photo and style."""
    page = read_page_data(folder)
    (row,), (column,) = ([i for i, image in enumerate(page[kind]) if image['name'] == name]
                         for kind, name in (('contents', content), ('styles', style)))
    return page['pairs'][row * len(page['styles']) + column]


def test_every_pair_has_a_picture_or_the_reason_why_it_failed(finished_catalog):
    folder, status = finished_catalog
    page = read_page_data(folder)
    assert status == 1
    assert [image['name'] for image in page['contents']] == [ODD_NAME, 'broken', 'tall']
    assert [image['name'] for image in page['styles']] == ['plain', 'turned']
    assert page['contents'][1]['picture'] is None
    for i, entry in enumerate(page['pairs']):
        if i // 2 == 1:
            assert entry == {'reason': 'photos/broken.jpg: cannot be read as an image (unknown image format)'}
        else:
            result = iio.imread(folder / 'outputs' / 'catalogue' / entry['picture'])
            photo = iio.imread(folder / 'outputs' / 'catalogue' / page['contents'][i // 2]['picture'])
            assert result.shape == photo.shape == ((32, 48, 3) if i < 2 else (48, 32, 3))
            assert entry['iterations'] == 3 and entry['seconds'] > 0 and entry['settings']['seed'] == 0
    files = {path.name for path in (folder / 'outputs' / 'catalogue').iterdir()}
    assert len(files) == 1 + 4 + 2 + 2 and not any('broken' in name for name in files)


def test_the_command_on_the_page_makes_the_same_picture_again(finished_catalog, workdir, monkeypatch):
    folder = finished_catalog[0]
    entry = page_entry('tall', 'turned', folder)
    shutil.copytree(folder / 'photos', 'photos')
    shutil.copytree(folder / 'styles', 'styles')
    assert entry['command'][:2] == ['python', 'style_transfer.py']
    assert style_transfer.main([*entry['command'][2:], '--name', 'again']) == 0
    original = iio.imread(folder / 'outputs' / 'catalogue-tall-in-turned' / 'final.png')
    assert (original == iio.imread('outputs/again/final.png')).all()
    displayed = np.float32(iio.imread(folder / 'outputs' / 'catalogue' / entry['picture']))
    assert np.abs(displayed - original).mean() < 10  # The page has a JPEG of it; the photo differs by 50.


def test_the_weighted_losses_on_the_page_add_up(finished_catalog):
    entry = page_entry('tall', 'plain', finished_catalog[0])
    losses = entry['losses']
    assert entry['shown'] == [0, 1, 2, 3]
    np.testing.assert_allclose(np.add(losses['content_loss'], losses['style_loss']), losses['total_loss'], rtol=1e-3)


def test_the_weighted_losses_add_up_at_all_pyramid_levels(images, tiny_vgg, workdir):
    assert catalogue.main(['--content', str(images[0]), '--style', str(images[1]), '--vgg', str(tiny_vgg),
                           '--size', '48', '--scales', '2', '--coarse-iterations', '3', '--iterations', '2']) == 0
    entry = page_entry('content', 'style')
    losses = entry['losses']
    pruned = next(stage.steps for stage in recipes.MODERN.stages if stage.is_last_size and stage.side == 256)
    assert entry['sizes'] == [[3, 24], [3 + pruned, 48], [5 + pruned, 48]]
    assert entry['shown'] == list(range(6 + pruned))
    assert entry['seconds'] > 0 and entry['command'][-4:] == ['--precision', entry['settings']['precision'],
                                                              '--iterations', '2']
    np.testing.assert_allclose(np.sum([losses[f'{kind}_loss'] for kind in ('content', 'style', 'tv')], axis=0),
                               losses['total_loss'], rtol=1e-3)


def test_file_names_are_escaped_in_the_page(finished_catalog):
    page = (finished_catalog[0] / 'outputs' / 'catalogue' / 'index.html').read_text(encoding='utf-8')
    assert f'"{ODD_NAME}' not in page and ODD_NAME.replace('"', r'\"') not in page and r'\u003cb>\"x' in page


def test_the_same_command_trains_nothing_the_second_time(catalog_copy, flags, no_training, capsys):
    assert catalogue.main(flags) == 1
    assert capsys.readouterr().out.splitlines()[-1] == 'outputs/catalogue/index.html: 4 pictures, 2 failed'


def test_an_added_photo_is_stylized_and_finished_pictures_stay(catalog_copy, flags, images):
    shutil.copy(images[0], 'photos/broken.jpg')
    before = {path: path.stat().st_mtime_ns for path in Path('outputs').glob('*/final.png')}
    assert catalogue.main(flags) == 0
    after = {path: path.stat().st_mtime_ns for path in Path('outputs').glob('*/final.png')}
    assert len(before) == 4 and len(after) == 6 and before.items() < after.items()
    assert page_entry('broken', 'plain')['iterations'] == 3


def test_more_iterations_continue_the_run(catalog_copy, flags, capsys):
    assert catalogue.main([*flags, '--content', 'photos/tall.png', '--style', 'styles/plain.png',
                           '--iterations', '5']) == 0
    assert 'resuming at iteration 3' in capsys.readouterr().out
    assert page_entry('tall', 'plain')['shown'] == [0, 1, 2, 3, 4, 5]


def test_the_picture_of_a_changed_photo_is_made_again(catalog_copy, flags):
    pixels = iio.imread('photos/tall.png')
    iio.imwrite('photos/tall.png', 255 - pixels)
    assert catalogue.main([*flags, '--content', 'photos/tall.png', '--style', 'styles/plain.png']) == 0
    page = read_page_data()
    thumbnail = iio.imread(Path('outputs/catalogue', page['contents'][0]['picture']))
    assert np.abs(255. - pixels - thumbnail).mean() < 20
    assert len(page['pairs']) == 1 and page['pairs'][0]['iterations'] == 3


def test_an_interrupted_pair_is_resumed(flags, images, workdir, monkeypatch, capsys):
    write_images(workdir, images)
    show_progress = progress.ProgressBar.__call__

    def interrupt(self, iterate):
        show_progress(self, iterate)
        if iterate.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
    monkeypatch.setattr(progress.ProgressBar, '__call__', interrupt)
    one_pair = [*flags, '--content', 'photos/tall.png', '--style', 'styles/plain.png', '--iterations', '4']
    assert catalogue.main(one_pair) == 130
    assert page_entry('tall', 'plain')['iterations'] == 3
    monkeypatch.setattr(progress.ProgressBar, '__call__', show_progress)
    state = Path('checkpoints/catalogue/catalogue.json')
    state.write_text(state.read_text().replace('"seconds": ', '"seconds": 1000'))
    assert catalogue.main(one_pair) == 0
    assert 'resuming at iteration 3' in capsys.readouterr().out
    entry = page_entry('tall', 'plain')
    assert entry['iterations'] == 4 and entry['seconds'] > 1000
    # The time before a kill is not known.
    state.write_text(re.sub('"iterations": 4', '"iterations": 3', state.read_text()))
    assert catalogue.main([*one_pair, '--iterations', '5']) == 0
    assert page_entry('tall', 'plain')['seconds'] is None


def test_other_settings_are_refused(catalog_copy, flags, no_training, capsys):
    before = Path('outputs/catalogue/index.html').read_bytes()
    assert catalogue.main([*flags, '--size', '32', '--seed', '1']) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1 and 'size (now 32, was 48)' in error and 'seed (now 1, was 0)' in error
    assert '--restart begins again, --name NEW keeps both' in error
    assert Path('outputs/catalogue/index.html').read_bytes() == before


def test_an_interrupted_restart_continues_without_the_restart_flag(catalog_copy, flags, monkeypatch):
    other_size = [*flags, '--content', 'photos/tall.png', '--size', '32']
    train_pyramid = style_transfer.StyleTransfer.train_pyramid
    calls = []

    def interrupt_second_call(self, callback, restart):
        calls.append(restart)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train_pyramid(self, callback, restart)
    monkeypatch.setattr(style_transfer.StyleTransfer, 'train_pyramid', interrupt_second_call)
    assert catalogue.main([*other_size, '--restart']) == 130
    assert catalogue.main(other_size) == 0
    assert calls == [True, True, True]  # The second pair's files still have the old size.
    assert [entry['width'] for entry in read_page_data()['pairs']] == [21, 21]


@pytest.mark.parametrize('bad_flags, message', [
    (['--content', 'empty'], 'empty: no images in this folder; image files end in .apng, '),
    (['--style', 'nowhere'], 'nowhere: no such image or folder'),
    (['--size', '15'], 'from 16 to 4096'),
    (['--name', 'a/b'], '--name'),
    (['--vgg', 'nowhere.mat'], 'nowhere.mat: no such weights file'),
    (['--learning-rate', '2', '--optimizer', 'lbfgs'], '--learning-rate does nothing with --optimizer lbfgs'),
    (['--width', '48'], '--help lists the flags')])
def test_user_errors_are_one_line_and_write_nothing(catalog_copy, flags, no_training, capsys, bad_flags, message):
    Path('empty').mkdir()
    before = sorted(catalog_copy.rglob('*'))
    assert catalogue.main([*flags, *bad_flags]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
    assert sorted(catalog_copy.rglob('*')) == before


def test_both_folders_are_required(workdir, capsys):
    assert catalogue.main(['--content', '.']) == 2
    assert '--style' in capsys.readouterr().err


@pytest.mark.parametrize('text', ['', '5', '{}', '{"settings": 5, "known": 5}'])
def test_a_damaged_state_file_is_reported(catalog_copy, flags, no_training, capsys, text):
    Path('checkpoints/catalogue/catalogue.json').write_text(text)
    assert catalogue.main(flags) == 2
    assert 'catalogue.json: damaged; --restart begins again' in capsys.readouterr().err


def test_a_second_process_is_refused(catalog_copy, flags, no_training, capsys):
    with runs.lock_run(Path('checkpoints/catalogue')):
        assert catalogue.main(flags) == 2
    assert 'another process is using this run' in capsys.readouterr().err


def test_a_full_disk_is_reported_in_one_line(catalog_copy, flags, monkeypatch, capsys):
    def fail(*args, **settings):
        raise OSError(28, os.strerror(28))
    shutil.rmtree('outputs/catalogue-tall-in-plain')
    monkeypatch.setattr('engine.results.catalogue_page.Catalog.is_finished', lambda *args: False)
    monkeypatch.setattr('utils.iio.imwrite', fail)
    assert catalogue.main(flags) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1 and 'No space left on device' in error
    assert page_entry('tall', 'plain')['iterations'] == 3  # The old page is still there.


def test_every_image_is_found_once_and_outputs_are_skipped(catalog_copy):
    Path('photos/deep').mkdir()
    shutil.copy('photos/tall.png', 'photos/deep/TALL.PNG')
    found = catalogue.find_images([Path('.'), Path('photos/tall.png')])
    assert [str(path) for path in found] == [
        f'photos/{ODD_NAME}.png', 'photos/broken.jpg', 'photos/deep/TALL.PNG', 'photos/tall.png', 'styles/plain.png',
        'styles/turned.png']


def test_labels_are_unique_and_as_short_as_possible():
    paths = [Path('a/x.png'), Path('b/X.png'), Path('a/y.png'), Path('a/Y.jpg'), Path('c/z.png')]
    assert names.unique_labels(paths) == ['a/x.png', 'b/X.png', 'y.png', 'Y.jpg', 'z']


# ------------------------------------------------------------------------------------------------------------- browser

ALL_LOADED = '[...document.images].filter(image => image.src).every(image => image.complete && image.naturalWidth > 0)'
FOCUS = 'document.activeElement.dataset.pair'
BACKGROUND = 'getComputedStyle(document.body).backgroundColor'
SLIDER = '+document.querySelector("#slider").value'
TITLE = 'document.querySelector("dialog[open] h2")?.textContent ?? null'


@pytest.fixture(scope='module')
def window():
    """Start a browser, or skip the tests that need one."""
    with browsers.open_browser() as browser:
        yield browser


@pytest.fixture
def page(window, finished_catalog):
    """Open the page of the finished catalog in a window of 1200×800 pixels; wait until it is loaded."""
    window.emulate('setDeviceMetricsOverride', width=1200, height=800, deviceScaleFactor=1, mobile=False)
    window.emulate('setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': 'light'}])
    window.run('history.replaceState(null, "")')  # Forget the theme that the previous test chose.
    window.open(finished_catalog[0] / 'outputs' / 'catalogue' / 'index.html')
    window.expect('innerWidth', 1200)
    window.expect(ALL_LOADED, True)
    return window


def test_the_grid_shows_all_pictures_and_loads_no_external_files(page, finished_catalog):
    assert page.run('document.querySelectorAll("[data-pair] img").length') == 4
    assert page.run('document.querySelector("#about").textContent').startswith(
        '3 photos, 2 styles · recipe cs20, 48 pixels · 4 pictures in ')
    assert page.run('[...document.querySelectorAll(".photo .name")].map(name => name.textContent)') == [
        ODD_NAME, 'broken', 'tall']
    rows = page.run('[...document.querySelectorAll("#failures td")].map(cell => cell.textContent)')
    assert rows[0] == 'broken in the style of plain' and 'cannot be read as an image' in rows[1] and len(rows) == 4
    urls = page.run('performance.getEntriesByType("resource").map(entry => entry.name)')
    assert all(name.startswith(finished_catalog[0].as_uri()) for name in urls)
    text = (finished_catalog[0] / 'outputs' / 'catalogue' / 'index.html').read_text(encoding='utf-8')
    assert set(re.findall(r'https?://[^\'"\s]*', text)) == {'http://www.w3.org/2000/svg'}  # a namespace, not loaded


def test_a_click_opens_the_large_picture_with_its_details(page):
    page.click('[title="tall in the style of turned"]')
    page.expect(TITLE, 'tall in the style of turned')
    page.expect(ALL_LOADED, True)
    assert page.run('document.querySelector("#took").textContent').startswith('32 × 48 · 3 iterations · ')
    assert page.run('document.querySelector("#after").getBoundingClientRect().height') > 500
    curves = page.run('[...document.querySelectorAll("#losses path")].map(path => path.getAttribute("d"))')
    assert len(curves) == 3 and all(path.count('L') == 3 for path in curves)
    settings = page.run('document.querySelector("#settings").textContent')
    assert 'seed0' in settings and 'learning rate2' in settings
    command = page.run('document.querySelector("code").textContent')
    assert '--content photos/tall.png --style styles/turned.png --vgg ' in command and ' --height 48 ' in command
    page.click('#close')
    page.expect(TITLE, None)
    page.expect(FOCUS, '5')


def test_the_slider_moves_from_the_result_to_the_photo(page, finished_catalog):
    page.click('[title="tall in the style of plain"]')
    page.expect(TITLE, 'tall in the style of plain')
    page.expect(ALL_LOADED, True)
    images = [iio.imread(finished_catalog[0] / 'outputs' / 'catalogue' / name)
              for name in (page_entry('tall', 'plain', finished_catalog[0])['picture'],
                           read_page_data(finished_catalog[0])['contents'][2]['picture'])]

    def is_photo():
        """Return whether the left and the right half of the display are closer to the photo than to the result."""
        displayed = np.float32(page.picture('#compare')[..., :3])
        rows, columns = (np.arange(side) * size // side for side, size in zip(displayed.shape[:2], images[0].shape[:2]))
        result, photo = (np.abs(displayed - image[rows][:, columns]).mean(axis=(0, 2)) for image in images)
        half = len(columns) // 2
        return [photo[part].mean() < result[part].mean() for part in (slice(half), slice(half, None))]
    browsers.eventually(is_photo, [False, False])
    page.drag('#slider', 0.02, 0.5)
    page.expect(SLIDER, pytest.approx(50, abs=2))
    browsers.eventually(is_photo, [True, False])
    position = page.run(SLIDER)
    page.press(*['Right'] * 3)
    page.expect(SLIDER, position + 3)
    assert page.run(TITLE) == 'tall in the style of plain'
    page.drag('#slider', 0.5, 0.99)
    browsers.eventually(is_photo, [True, True])


def test_the_keyboard_opens_changes_and_closes_pictures(page):
    page.run('document.querySelector("[data-pair]").focus()')
    page.expect(FOCUS, '0')
    page.press('Right')
    page.expect(FOCUS, '1')
    page.expect('getComputedStyle(document.activeElement).outlineStyle', 'solid')
    page.press('Down')  # This skips the photo that has no pictures.
    page.expect(FOCUS, '5')
    page.press('Down', 'Right', 'Enter')
    page.expect(TITLE, 'tall in the style of turned')
    page.press('Left')
    page.expect(TITLE, 'tall in the style of plain')
    page.press('Up')
    page.expect(TITLE, f'{ODD_NAME} in the style of plain')
    page.expect(ALL_LOADED, True)
    page.press('Escape')
    page.expect(TITLE, None)
    page.expect(FOCUS, '0')


def test_the_theme_follows_the_system_until_the_switch_is_used(page):
    light, dark = 'rgb(247, 245, 241)', 'rgb(21, 20, 19)'
    page.expect(BACKGROUND, light)
    page.emulate('setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': 'dark'}])
    page.expect(BACKGROUND, dark)
    page.click('#theme')
    page.expect(BACKGROUND, light)
    page.reload()
    page.expect(BACKGROUND, light)
    page.click('#theme')
    page.expect(BACKGROUND, dark)


def test_on_a_phone_nothing_is_wider_than_the_screen(page):
    page.emulate('setDeviceMetricsOverride', width=360, height=740, deviceScaleFactor=2, mobile=True)
    page.expect('document.documentElement.scrollWidth', 360)
    page.click('[data-pair]')
    page.expect('document.querySelector("dialog").scrollWidth', 360)
    page.expect('document.querySelector("#after").getBoundingClientRect().width', 360)
    page.click('[data-walk=ArrowDown]')
    page.expect(TITLE, 'tall in the style of plain')
