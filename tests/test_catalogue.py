"""A catalogue: every pair a run, going on, a pair that fails; its page, in a browser that clicks."""

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
import style_transfer
import tests.browser as browsers
from common import names, progress
from engine.run import runs

ODD = '<b>"x\'#1%'  # a file may be called that


@pytest.fixture(scope='module')
def flags(tiny_vgg):
    return ['--content', 'photos', '--style', 'styles', '--vgg', str(tiny_vgg), '--recipe', 'cs20', '--size', '48',
            '--iterations', '3']


def collect(folder, images):
    """Three photos, of which one is no image, and two styles."""
    (folder / 'photos').mkdir()
    (folder / 'styles').mkdir()
    shutil.copy(images[0], folder / 'photos' / f'{ODD}.png')
    iio.imwrite(folder / 'photos' / 'tall.png', iio.imread(images[0]).swapaxes(0, 1))
    (folder / 'photos' / 'broken.jpg').write_text('no picture')
    for i, name in enumerate(('plain', 'turned')):
        iio.imwrite(folder / 'styles' / f'{name}.png', np.rot90(iio.imread(images[1]), 2 * i))


@pytest.fixture(scope='module')
def made(flags, images, tmp_path_factory):
    """The folder of a catalogue that is as far as it can be, and the exit status of the command."""
    folder = tmp_path_factory.mktemp('catalogue')
    collect(folder, images)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        status = catalogue.main(flags)
    return folder, status


@pytest.fixture
def again(made, workdir):
    """A copy of that catalogue to go on with, the current directory."""
    shutil.copytree(made[0], workdir, dirs_exist_ok=True)
    return workdir


@pytest.fixture
def no_training(monkeypatch):
    def trained(*args, **settings):
        raise AssertionError('there was nothing to train')
    monkeypatch.setattr(catalogue, 'StyleTransfer', trained)


def data(folder=Path()):
    page = (folder / 'outputs' / 'catalogue' / 'index.html').read_text(encoding='utf-8')
    return json.loads(re.search('id="data">(.*?)</script>', page)[1])


def pair(content, style, folder=Path()):
    """What the page says of a pair."""
    page = data(folder)
    (row,), (column,) = ([i for i, image in enumerate(page[kind]) if image['name'] == name]
                         for kind, name in (('contents', content), ('styles', style)))
    return page['pairs'][row * len(page['styles']) + column]


def test_every_pair_is_a_run_and_one_that_fails_a_reason(made):
    folder, status = made
    page = data(folder)
    assert status == 1
    assert [image['name'] for image in page['contents']] == [ODD, 'broken', 'tall']
    assert [image['name'] for image in page['styles']] == ['plain', 'turned']
    assert page['contents'][1]['picture'] is None
    for i, about in enumerate(page['pairs']):
        if i // 2 == 1:
            assert about == {'reason': 'photos/broken.jpg: cannot be read as an image (unknown image format)'}
        else:
            result = iio.imread(folder / 'outputs' / 'catalogue' / about['picture'])
            photo = iio.imread(folder / 'outputs' / 'catalogue' / page['contents'][i // 2]['picture'])
            assert result.shape == photo.shape == ((32, 48, 3) if i < 2 else (48, 32, 3))
            assert about['iterations'] == 3 and about['seconds'] > 0 and about['settings']['seed'] == 0
    kept = {path.name for path in (folder / 'outputs' / 'catalogue').iterdir()}
    assert len(kept) == 1 + 4 + 2 + 2 and not any('broken' in name for name in kept)


def test_the_picture_is_the_runs_and_its_command_makes_it_again(made, workdir, monkeypatch):
    folder = made[0]
    about = pair('tall', 'turned', folder)
    shutil.copytree(folder / 'photos', 'photos')
    shutil.copytree(folder / 'styles', 'styles')
    assert about['command'][:2] == ['python', 'style_transfer.py']
    assert style_transfer.main([*about['command'][2:], '--name', 'again']) == 0
    first = iio.imread(folder / 'outputs' / 'catalogue-tall-in-turned' / 'final.png')
    assert (first == iio.imread('outputs/again/final.png')).all()
    shown = np.float32(iio.imread(folder / 'outputs' / 'catalogue' / about['picture']))
    assert np.abs(shown - first).mean() < 10  # a JPEG of it; the photo is 50 away


def test_the_losses_shown_add_up(made):
    about = pair('tall', 'plain', made[0])
    losses = about['losses']
    assert about['shown'] == [0, 1, 2, 3]
    np.testing.assert_allclose(np.add(losses['content_loss'], losses['style_loss']), losses['total_loss'], rtol=1e-3)


def test_over_changes_of_size_too(images, tiny_vgg, workdir):
    assert catalogue.main(['--content', str(images[0]), '--style', str(images[1]), '--vgg', str(tiny_vgg),
                           '--size', '48', '--scales', '2', '--coarse-iterations', '3', '--iterations', '2']) == 0
    about = pair('content', 'style')
    losses = about['losses']
    assert about['sizes'] == [[3, 24], [5, 48]] and about['shown'] == [0, 1, 2, 3, 4, 5]
    assert about['seconds'] > 0 and about['command'][-4:] == ['--precision', about['settings']['precision'],
                                                              '--iterations', '2']
    np.testing.assert_allclose(np.sum([losses[f'{kind}_loss'] for kind in ('content', 'style', 'tv')], axis=0),
                               losses['total_loss'], rtol=1e-3)


def test_no_name_of_a_file_is_markup(made):
    page = (made[0] / 'outputs' / 'catalogue' / 'index.html').read_text(encoding='utf-8')
    assert f'"{ODD}' not in page and ODD.replace('"', r'\"') not in page and r'\u003cb>\"x' in page


def test_the_same_command_does_nothing_again(again, flags, no_training, capsys):
    assert catalogue.main(flags) == 1
    assert capsys.readouterr().out.splitlines()[-1] == 'outputs/catalogue/index.html: 4 pictures, 2 failed'


def test_what_is_added_is_made_and_the_rest_stays(again, flags, images):
    shutil.copy(images[0], 'photos/broken.jpg')
    before = {path: path.stat().st_mtime_ns for path in Path('outputs').glob('*/final.png')}
    assert catalogue.main(flags) == 0
    after = {path: path.stat().st_mtime_ns for path in Path('outputs').glob('*/final.png')}
    assert len(before) == 4 and len(after) == 6 and before.items() < after.items()
    assert pair('broken', 'plain')['iterations'] == 3


def test_more_iterations_go_on(again, flags, capsys):
    assert catalogue.main([*flags, '--content', 'photos/tall.png', '--style', 'styles/plain.png',
                           '--iterations', '5']) == 0
    assert 'resuming at iteration 3' in capsys.readouterr().out
    assert pair('tall', 'plain')['shown'] == [0, 1, 2, 3, 4, 5]


def test_a_photo_that_was_changed_is_made_anew(again, flags):
    pixels = iio.imread('photos/tall.png')
    iio.imwrite('photos/tall.png', 255 - pixels)
    assert catalogue.main([*flags, '--content', 'photos/tall.png', '--style', 'styles/plain.png']) == 0
    page = data()
    small = iio.imread(Path('outputs/catalogue', page['contents'][0]['picture']))
    assert np.abs(255. - pixels - small).mean() < 20
    assert len(page['pairs']) == 1 and page['pairs'][0]['iterations'] == 3


def test_interrupted_in_mid_pair_it_goes_on(flags, images, workdir, monkeypatch, capsys):
    collect(workdir, images)
    bar = progress.ProgressBar.__call__

    def interrupt(self, iterate):
        bar(self, iterate)
        if iterate.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
    monkeypatch.setattr(progress.ProgressBar, '__call__', interrupt)
    alone = [*flags, '--content', 'photos/tall.png', '--style', 'styles/plain.png', '--iterations', '4']
    assert catalogue.main(alone) == 130
    assert pair('tall', 'plain')['iterations'] == 3
    monkeypatch.setattr(progress.ProgressBar, '__call__', bar)
    known = Path('checkpoints/catalogue/catalogue.json')
    known.write_text(known.read_text().replace('"seconds": ', '"seconds": 1000'))
    assert catalogue.main(alone) == 0
    assert 'resuming at iteration 3' in capsys.readouterr().out
    about = pair('tall', 'plain')
    assert about['iterations'] == 4 and about['seconds'] > 1000
    # killed, nobody knows how long it took before
    known.write_text(re.sub('"iterations": 4', '"iterations": 3', known.read_text()))
    assert catalogue.main([*alone, '--iterations', '5']) == 0
    assert pair('tall', 'plain')['seconds'] is None


def test_other_settings_are_another_catalogue(again, flags, no_training, capsys):
    before = Path('outputs/catalogue/index.html').read_bytes()
    assert catalogue.main([*flags, '--size', '32', '--seed', '1']) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1 and 'size (now 32, was 48)' in error and 'seed (now 1, was 0)' in error
    assert '--restart begins again, --name NEW keeps both' in error
    assert Path('outputs/catalogue/index.html').read_bytes() == before


def test_restart_makes_all_anew_and_goes_on_without_it(again, flags, monkeypatch):
    smaller = [*flags, '--content', 'photos/tall.png', '--size', '32']
    train_pyramid = style_transfer.StyleTransfer.train_pyramid
    calls = []

    def once(self, callback, restart):
        calls.append(restart)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train_pyramid(self, callback, restart)
    monkeypatch.setattr(style_transfer.StyleTransfer, 'train_pyramid', once)
    assert catalogue.main([*smaller, '--restart']) == 130
    assert catalogue.main(smaller) == 0
    assert calls == [True, True, True]  # what the second pair has on disk is of the old size
    assert [about['width'] for about in data()['pairs']] == [21, 21]


@pytest.mark.parametrize('wrong, says', [
    (['--content', 'empty'], 'empty: no images in this folder; image files end in .bmp, '),
    (['--style', 'nowhere'], 'nowhere: no such image or folder'),
    (['--size', '15'], 'from 16 to 4096'),
    (['--name', 'a/b'], '--name'),
    (['--vgg', 'nowhere.mat'], 'nowhere.mat: no such weights file'),
    (['--learning-rate', '2', '--optimizer', 'lbfgs'], '--learning-rate does nothing with --optimizer lbfgs'),
    (['--width', '48'], '--help lists the flags')])
def test_mistakes_end_in_one_line(again, flags, no_training, capsys, wrong, says):
    Path('empty').mkdir()
    before = sorted(again.rglob('*'))
    assert catalogue.main([*flags, *wrong]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count('\n') == 1
    assert sorted(again.rglob('*')) == before


def test_both_folders_must_be_named(workdir, capsys):
    assert catalogue.main(['--content', '.']) == 2
    assert '--style' in capsys.readouterr().err


@pytest.mark.parametrize('text', ['', '5', '{}', '{"settings": 5, "known": 5}'])
def test_a_damaged_record_is_said(again, flags, no_training, capsys, text):
    Path('checkpoints/catalogue/catalogue.json').write_text(text)
    assert catalogue.main(flags) == 2
    assert 'catalogue.json: damaged; --restart begins again' in capsys.readouterr().err


def test_two_at_a_time_are_refused(again, flags, no_training, capsys):
    with runs.exclusive_lock(Path('checkpoints/catalogue')):
        assert catalogue.main(flags) == 2
    assert 'another process is at work' in capsys.readouterr().err


def test_a_full_disk_ends_it_in_one_line(again, flags, monkeypatch, capsys):
    def full(*args, **settings):
        raise OSError(28, os.strerror(28))
    shutil.rmtree('outputs/catalogue-tall-in-plain')
    monkeypatch.setattr('engine.results.catalogue_page.Catalog.is_finished', lambda *pair: False)
    monkeypatch.setattr('utils.iio.imwrite', full)
    assert catalogue.main(flags) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1 and 'No space left on device' in error
    assert pair('tall', 'plain')['iterations'] == 3  # the page of before


def test_images_each_once_and_none_of_its_own(again):
    Path('photos/deep').mkdir()
    shutil.copy('photos/tall.png', 'photos/deep/TALL.PNG')
    found = catalogue.find_images([Path('.'), Path('photos/tall.png')])
    assert [str(path) for path in found] == [
        f'photos/{ODD}.png', 'photos/broken.jpg', 'photos/deep/TALL.PNG', 'photos/tall.png', 'styles/plain.png',
        'styles/turned.png']


def test_names_are_as_short_as_they_are_distinct():
    paths = [Path('a/x.png'), Path('b/X.png'), Path('a/y.png'), Path('a/Y.jpg'), Path('c/z.png')]
    assert names.unique_labels(paths) == ['a/x.png', 'b/X.png', 'y.png', 'Y.jpg', 'z']


# ------------------------------------------------------------------------------------------------------------- browser

LOADED = '[...document.images].filter(image => image.src).every(image => image.complete && image.naturalWidth > 0)'
FOCUS = 'document.activeElement.dataset.pair'
PAPER = 'getComputedStyle(document.body).backgroundColor'
SLIDER = '+document.querySelector("#slider").value'
TITLE = 'document.querySelector("dialog[open] h2")?.textContent ?? null'


@pytest.fixture(scope='module')
def window():
    with browsers.running() as browser:
        yield browser


@pytest.fixture
def page(window, made):
    """The page of the catalogue in a window of 1200×800, all of it loaded."""
    window.emulate('setDeviceMetricsOverride', width=1200, height=800, deviceScaleFactor=1, mobile=False)
    window.emulate('setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': 'light'}])
    window.run('history.replaceState(null, "")')  # no theme of the test before
    window.open(made[0] / 'outputs' / 'catalogue' / 'index.html')
    window.expect('innerWidth', 1200)
    window.expect(LOADED, True)
    return window


def test_the_grid_with_all_its_pictures_and_nothing_from_elsewhere(page, made):
    assert page.run('document.querySelectorAll("[data-pair] img").length') == 4
    assert page.run('document.querySelector("#about").textContent').startswith(
        '3 photos, 2 styles · recipe cs20, 48 pixels · 4 pictures in ')
    assert page.run('[...document.querySelectorAll(".photo .name")].map(name => name.textContent)') == [
        ODD, 'broken', 'tall']
    rows = page.run('[...document.querySelectorAll("#failures td")].map(cell => cell.textContent)')
    assert rows[0] == 'broken in the style of plain' and 'cannot be read as an image' in rows[1] and len(rows) == 4
    loaded = page.run('performance.getEntriesByType("resource").map(entry => entry.name)')
    assert all(name.startswith(made[0].as_uri()) for name in loaded)
    text = (made[0] / 'outputs' / 'catalogue' / 'index.html').read_text(encoding='utf-8')
    assert set(re.findall(r'https?://[^\'"\s]*', text)) == {'http://www.w3.org/2000/svg'}  # a name, never fetched


def test_a_click_opens_the_large_picture_with_all_about_it(page):
    page.click('[title="tall in the style of turned"]')
    page.expect(TITLE, 'tall in the style of turned')
    page.expect(LOADED, True)
    assert page.run('document.querySelector("#took").textContent').startswith('32 × 48 · 3 iterations · ')
    assert page.run('document.querySelector("#after").getBoundingClientRect().height') > 500
    drawn = page.run('[...document.querySelectorAll("#losses path")].map(path => path.getAttribute("d"))')
    assert len(drawn) == 3 and all(path.count('L') == 3 for path in drawn)
    settings = page.run('document.querySelector("#settings").textContent')
    assert 'seed0' in settings and 'learning rate2' in settings
    command = page.run('document.querySelector("code").textContent')
    assert '--content photos/tall.png --style styles/turned.png --vgg ' in command and ' --height 48 ' in command
    page.click('#close')
    page.expect(TITLE, None)
    page.expect(FOCUS, '5')


def test_the_slider_goes_from_the_result_to_the_photo(page, made):
    page.click('[title="tall in the style of plain"]')
    page.expect(TITLE, 'tall in the style of plain')
    page.expect(LOADED, True)
    images = [iio.imread(made[0] / 'outputs' / 'catalogue' / name)
              for name in (pair('tall', 'plain', made[0])['picture'], data(made[0])['contents'][2]['picture'])]

    def is_photo():
        """Whether the left and the right half of what is shown are nearer to the photo than to the result."""
        shown = np.float32(page.picture('#compare')[..., :3])
        rows, columns = (np.arange(side) * small // side for side, small in zip(shown.shape[:2], images[0].shape[:2]))
        result, photo = (np.abs(shown - image[rows][:, columns]).mean(axis=(0, 2)) for image in images)
        half = len(columns) // 2
        return [photo[part].mean() < result[part].mean() for part in (slice(half), slice(half, None))]
    browsers.eventually(is_photo, [False, False])
    page.drag('#slider', 0.02, 0.5)
    page.expect(SLIDER, pytest.approx(50, abs=2))
    browsers.eventually(is_photo, [True, False])
    at = page.run(SLIDER)
    page.press(*['Right'] * 3)
    page.expect(SLIDER, at + 3)
    assert page.run(TITLE) == 'tall in the style of plain'
    page.drag('#slider', 0.5, 0.99)
    browsers.eventually(is_photo, [True, True])


def test_the_keyboard_does_all_of_it(page):
    page.run('document.querySelector("[data-pair]").focus()')
    page.expect(FOCUS, '0')
    page.press('Right')
    page.expect(FOCUS, '1')
    page.expect('getComputedStyle(document.activeElement).outlineStyle', 'solid')
    page.press('Down')  # over the photo that has no pictures
    page.expect(FOCUS, '5')
    page.press('Down', 'Right', 'Enter')
    page.expect(TITLE, 'tall in the style of turned')
    page.press('Left')
    page.expect(TITLE, 'tall in the style of plain')
    page.press('Up')
    page.expect(TITLE, f'{ODD} in the style of plain')
    page.expect(LOADED, True)
    page.press('Escape')
    page.expect(TITLE, None)
    page.expect(FOCUS, '0')


def test_light_and_dark_as_the_system_has_it_and_by_the_switch(page):
    light, dark = 'rgb(247, 245, 241)', 'rgb(21, 20, 19)'
    page.expect(PAPER, light)
    page.emulate('setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': 'dark'}])
    page.expect(PAPER, dark)
    page.click('#theme')
    page.expect(PAPER, light)
    page.reload()
    page.expect(PAPER, light)
    page.click('#theme')
    page.expect(PAPER, dark)


def test_on_a_phone_nothing_is_wider_than_it(page):
    page.emulate('setDeviceMetricsOverride', width=360, height=740, deviceScaleFactor=2, mobile=True)
    page.expect('document.documentElement.scrollWidth', 360)
    page.click('[data-pair]')
    page.expect('document.querySelector("dialog").scrollWidth', 360)
    page.expect('document.querySelector("#after").getBoundingClientRect().width', 360)
    page.click('[data-walk=ArrowDown]')
    page.expect(TITLE, 'tall in the style of plain')
