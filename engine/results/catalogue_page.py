"""A catalog: pictures of every photo in every style, and an HTML page that shows them without any other resources."""

import contextlib
import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import recipes
import utils
from common import files, names
from common.color_profiles import CONVERTED, IGNORED
from common.errors import UserError
from engine.results import output
from engine.run import old_settings, runs

TEMPLATE_PATH = Path(__file__).with_name('catalogue_page.html')
DATA_PLACEHOLDER = 'null'  # text in the template that the data replaces
MAX_CURVE_POINTS = 150  # iterations per loss curve on the page
RESTART_HINT = '--restart', 'begins again'


def choose_color_profiles(name: str, wanted: str) -> str:
    """Return whether the images of the catalog `name` are converted to sRGB, as `runs.Run.choose_color_profiles`."""
    path = _state_path(names.validate(name))
    if wanted != 'auto' or not path.exists():
        return CONVERTED if wanted == 'auto' else wanted
    return _read_state(path)['settings'].get('color_profiles', IGNORED)


def choose_recipe(name: str, wanted: recipes.Recipe) -> recipes.Recipe:
    """Return the recipe of the catalog `name`, as `runs.Run.choose_recipe`."""
    path = _state_path(names.validate(name))
    is_old = path.exists() and _read_state(path)['settings'].get('name') == recipes.MODERN_1_0.name
    return recipes.MODERN_1_0 if is_old and wanted is recipes.MODERN else wanted


def _state_path(name):
    """Return the path of a catalog's state."""
    return Path('checkpoints', name, 'catalogue.json')


def _read_state(path):
    """Return the state of a catalog, {'settings': dict, 'known': dict}; raise `UserError` if it is damaged."""
    try:
        state = json.loads(path.read_text())
        return {'settings': old_settings.upgrade(dict(state['settings'])), 'known': dict(state['known'])}
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f'{path}: damaged', RESTART_HINT, runs.ANOTHER_NAME_HINT) from error


class Catalog:
    """A catalog on disk: the page outputs/<name>/index.html, its pictures, and its state.

    The state is in checkpoints/<name>/catalogue.json.

    Args:
        name: Name of the catalog.
        contents: Paths of the photos.
        styles: Paths of the style images.
        size: Longer side of a picture in pixels.
        settings: Settings that all pictures share, as a dict that JSON can hold.
        defaults: Defaults of settings that did not exist when older catalogs were made.

    Attributes:
        known: Name of a run -> what the page shows about its picture, as `add_picture`, `note_progress` or
            `add_failure` has recorded it.
    """

    def __init__(self, name: str, contents: Sequence[Path], styles: Sequence[Path], size: int, settings: dict,
                 defaults: dict | None = None):
        self.name, self.size = names.validate(name), size
        self.contents, self.styles = (dict(zip(paths, names.unique_labels(paths))) for paths in (contents, styles))
        self.settings, self.defaults = json.loads(json.dumps({'size': size, **settings})), defaults or {}
        self.page_path, self.state_path = Path('outputs', name, 'index.html'), _state_path(name)
        self.known = {}

    @property
    def pairs(self) -> list[tuple[Path, Path]]:
        """All pairs (content, style), ordered by photo."""
        return [(content, style) for content in self.contents for style in self.styles]

    def run_name(self, content: Path, style: Path) -> str:
        """Return the name of the run that makes the picture of a pair."""
        return names.from_files(self.name, self.contents[content], 'in', self.styles[style])

    @contextlib.contextmanager
    def acquire(self, restart: bool = False) -> Iterator['Catalog']:
        """Lock the catalog for this process within a `with` block, and read its state.

        Args:
            restart: Ignore the state on disk, so that all pictures are made again.

        Raises:
            UserError: Another process uses the catalog, its state is damaged, or its pictures have other settings.
        """
        self.state_path.parent.mkdir(parents=True, exist_ok=True)
        with runs.lock_run(self.state_path.parent):
            if self.state_path.exists() and not restart:
                self._read()
            self._write_state()  # An interrupted first picture then goes on, too.
            self._thumbnails = {path: self._thumbnail(path, restart) for path in (*self.contents, *self.styles)}
            yield self

    def _read(self):
        """Read `known`; raises `UserError` if the file is damaged or its settings differ."""
        state = _read_state(self.state_path)
        if differ := runs.settings_diff(self.settings, state['settings'], self.defaults):
            raise UserError(
                f'{self.page_path.parent} is a catalog with other settings: {", ".join(differ)}',
                RESTART_HINT,
                runs.KEEP_BOTH_HINT,
            )
        self.known = state['known']

    def _thumbnail(self, path, restart):
        """Write a reduced copy of an image next to the page; return its file name, or None if it cannot be read."""
        with contextlib.suppress(UserError):
            width, height = utils.output_size(path, self.size)
            name = names.from_files(path.stem, f'{width}x{height}', files.file_hash(path)[:8]) + '.jpg'
            if restart or not (self.page_path.parent / name).exists():
                is_converted = self.settings.get('color_profiles') == CONVERTED
                utils.save_image(self.page_path.parent / name,
                                 utils.get_resized_image(path, width, height, is_converted))
            return name

    def is_finished(self, content: Path, style: Path, n_iters: int) -> bool:
        """Return whether the picture of a pair exists, for these image contents, and is trained far enough.

        This means at least `n_iters` iterations, or fewer if the optimizer has converged.
        """
        about = self.known.get(self.run_name(content, style), {})
        return ('picture' in about and (about['converged'] or about['iterations'] >= n_iters)
                and all(about['settings'][kind] == files.file_hash(path)
                        for kind, path in (('content', content), ('style', style)))
                and (self.page_path.parent / about['picture']).exists())

    def add_picture(self, machine, outcome, seconds: float, sizes: Sequence) -> None:
        """Add the finished picture of a pair to the page.

        Args:
            machine: The `StyleTransfer` that has written its results.
            outcome: Its `progress.Outcome`.
            seconds: Time that the training took.
            sizes: The `pyramid.Level`s that it was trained at.
        """
        run = machine.run
        picture = run.name + '.jpg'
        utils.save_image(self.page_path.parent / picture, utils.read_image(run.outputs / 'final.png'))
        self._record(
            run.name,
            {
                'picture': picture,
                'width': machine.img_width,
                'height': machine.img_height,
                'iterations': outcome.step,
                'converged': run.converged,
                'seconds': self._seconds(run.name, outcome, seconds),
                'sizes': [(size.end_step, max(size.width, size.height)) for size in sizes],
                **_thinned_curves(run.load_losses(), outcome.step, sizes),
                'settings': run.fingerprint,
                'command': [
                    shlex.quote(word)
                    for word in (
                        'python',
                        'style_transfer.py',
                        *output.reproduction_info(run, machine.command)['command'],
                    )
                ],
            },
        )

    def note_progress(self, name: str, outcome, seconds: float) -> None:
        """Record how far the run `name` was trained before it was stopped; outcome and seconds as in `add_picture`."""
        self._record(name, {'iterations': outcome.step, 'seconds': self._seconds(name, outcome, seconds)})

    def add_failure(self, content: Path, style: Path, reason: str) -> None:
        """Record why a pair has no picture."""
        self._record(self.run_name(content, style), {'reason': reason})

    def _seconds(self, name, outcome, seconds):
        """Return the total seconds of a run, or None if an earlier part was killed and its time is not known."""
        before = self.known.get(name, {})
        if not outcome.start_step:
            return seconds
        if before.get('iterations') == outcome.start_step and before['seconds'] is not None:
            return before['seconds'] + seconds

    def _record(self, name, about):
        """Set what is known about a run; write the state and the page."""
        self.known[name] = about
        self._write_state()
        self.write()

    def _write_state(self):
        with files.atomic_write(self.state_path) as part:
            part.write_text(json.dumps({'settings': self.settings, 'known': self.known}, indent=1) + '\n')

    def failures(self) -> list[tuple[Path, Path, str]]:
        """Return (content, style, reason) for each pair that has failed."""
        about = [(*pair, self.known.get(self.run_name(*pair), {}).get('reason')) for pair in self.pairs]
        return [failure for failure in about if failure[-1]]

    def write(self) -> None:
        """Write the page from what is known so far."""
        def images(named):
            return [{'name': name, 'picture': self._thumbnails[path]} for path, name in named.items()]
        data = {'name': self.name, 'recipe': self.settings['name'], 'size': self.size,
                'contents': images(self.contents), 'styles': images(self.styles),
                'pairs': [self.known.get(self.run_name(*pair)) for pair in self.pairs]}
        # The data is inside a script element, which only a < could end. File names must never become markup.
        text = json.dumps(data).replace('<', r'\u003c')
        before, after = TEMPLATE_PATH.read_text(encoding='utf-8').split(f'>{DATA_PLACEHOLDER}<')
        with files.atomic_write(self.page_path) as part:
            part.write_text(f'{before}>{text}<{after}', encoding='utf-8')


def _thinned_curves(losses, last, sizes):
    """Select at most MAX_CURVE_POINTS of the iterations 0 to `last`, and weight their losses, which then add up to the
    total loss.

    Args:
        losses: name -> values of all iterations.
        last: The last iteration.
        sizes: The `pyramid.Level`s, whose recipes have the weights.

    Returns:
        {'shown': iterations, 'losses': name -> weighted values}.
    """
    steps = np.unique(np.linspace(0, last, MAX_CURVE_POINTS).round().astype(int)).tolist()
    recipes = [next((size.recipe for size in sizes if i < size.end_step), sizes[-1].recipe) for i in steps]
    def weight(name, recipe):
        return 1 if name == 'total_loss' else getattr(recipe, name.replace('loss', 'weight'))
    return {'shown': steps, 'losses': {name: [float(f'{values[i] * weight(name, recipe):.4g}')
                                              for i, recipe in zip(steps, recipes)] for name, values in losses.items()}}
