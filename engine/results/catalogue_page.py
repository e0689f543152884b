"""A catalogue: pictures of every photo in every style, and one page of them that needs nothing but its folder."""

import contextlib
import json
import shlex
from pathlib import Path

import numpy as np

import utils
from common import files, names
from common.errors import UserError
from engine.run import runs

TEMPLATE_PATH = Path(__file__).with_name('catalogue_page.html')
DATA_PLACEHOLDER = 'null'  # what stands in the template for the data
MAX_CURVE_POINTS = 150  # of a curve, at most
RESTART_HINT = '--restart', 'begins again'


class Catalog:
    """The page outputs/<name>/index.html with its pictures; checkpoints/<name>/catalogue.json, what is known of each.

    contents, styles: paths of images; size: longer side of a picture, in pixels
    settings: what all its pictures have in common, as a dict that JSON can hold
    known: name of a run -> what the page says of its picture: `add_picture`, `start_step` or `add_failure`
    """

    def __init__(self, name, contents, styles, size, settings, defaults=None):
        self.name, self.size = names.validate(name), size
        self.contents, self.styles = (dict(zip(paths, names.unique_labels(paths))) for paths in (contents, styles))
        self.settings, self.defaults = json.loads(json.dumps({'size': size, **settings})), defaults or {}
        self.page_path, self.state_path = (
            Path('outputs', name, 'index.html'),
            Path('checkpoints', name, 'catalogue.json'),
        )
        self.known = {}

    @property
    def pairs(self):
        """Every (content, style), one photo after the other."""
        return [(content, style) for content in self.contents for style in self.styles]

    def run_name(self, content, style):
        """The name of the run of a pair."""
        return names.from_files(self.name, self.contents[content], 'in', self.styles[style])

    @contextlib.contextmanager
    def acquire(self, restart=False):
        """Hold the catalogue alone; with `restart`, knowing nothing.

        Raises `UserError` when another process holds it, or its pictures have other settings.
        """
        self.state_path.parent.mkdir(parents=True, exist_ok=True)
        with runs.exclusive_lock(self.state_path.parent):
            if self.state_path.exists() and not restart:
                self._read()
            self._thumbnails = {path: self._thumbnail(path) for path in (*self.contents, *self.styles)}
            yield self

    def _read(self):
        try:
            kept = json.loads(self.state_path.read_text())
            settings, known = dict(kept['settings']), dict(kept['known'])
        except (ValueError, LookupError, TypeError) as error:
            raise UserError(f'{self.state_path}: damaged', RESTART_HINT, runs.ANOTHER_NAME_HINT) from error
        if differ := runs.settings_diff(self.settings, settings, self.defaults):
            raise UserError(
                f'{self.page_path.parent} is a catalogue with other settings: {", ".join(differ)}',
                RESTART_HINT,
                runs.KEEP_BOTH_HINT,
            )
        self.known = known

    def _thumbnail(self, path):
        """The name of an image in small beside the page; None for one that cannot be read."""
        with contextlib.suppress(UserError):
            width, height = utils.output_size(path, self.size)
            name = names.from_files(path.stem, f'{width}x{height}', files.file_hash(path)[:8]) + '.jpg'
            if not (self.page_path.parent / name).exists():
                utils.save_image(self.page_path.parent / name, utils.get_resized_image(path, width, height))
            return name

    def is_finished(self, content, style, n_iters):
        """Whether the picture of these very images is there, of as many iterations or of all that there can be."""
        about = self.known.get(self.run_name(content, style), {})
        return ('picture' in about and (about['converged'] or about['iterations'] >= n_iters)
                and all(about['settings'][kind] == files.file_hash(path)
                        for kind, path in (('content', content), ('style', style)))
                and (self.page_path.parent / about['picture']).exists())

    def add_picture(self, machine, outcome, seconds, sizes):
        """Take in the picture that a `StyleTransfer` has handed in.

        outcome: a `progress.Outcome`; seconds: that it took; sizes: the `scales.Scale`s that it was trained at
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
                'sizes': [(size.end, max(size.width, size.height)) for size in sizes],
                **_thinned_curves(run.load_losses(), outcome.step, sizes),
                'settings': run.fingerprint,
                'command': [
                    shlex.quote(word)
                    for word in ('python', 'style_transfer.py', *machine.reproduction_info()['command'])
                ],
            },
        )

    def note_progress(self, name, outcome, seconds):
        """Note how far the run `name` has come."""
        self._record(name, {'iterations': outcome.step, 'seconds': self._seconds(name, outcome, seconds)})

    def add_failure(self, content, style, reason):
        """Note why a pair has no picture."""
        self._record(self.run_name(content, style), {'reason': reason})

    def _seconds(self, name, outcome, seconds):
        """What a run took in all; None where some of it was killed, with its clock."""
        before = self.known.get(name, {})
        if not outcome.start_step:
            return seconds
        if before.get('iterations') == outcome.start_step and before['seconds'] is not None:
            return before['seconds'] + seconds

    def _record(self, name, about):
        self.known[name] = about
        with files.atomic_write(self.state_path) as part:
            part.write_text(json.dumps({'settings': self.settings, 'known': self.known}, indent=1) + '\n')
        self.write()

    def failures(self):
        """(content, style, reason) of each pair that has failed."""
        about = [(*pair, self.known.get(self.run_name(*pair), {}).get('reason')) for pair in self.pairs]
        return [failure for failure in about if failure[-1]]

    def write(self):
        """Write the page, of what is known so far."""
        def images(named):
            return [{'name': name, 'picture': self._thumbnails[path]} for path, name in named.items()]
        data = {'name': self.name, 'recipe': self.settings['name'], 'size': self.size,
                'contents': images(self.contents), 'styles': images(self.styles),
                'pairs': [self.known.get(self.run_name(*pair)) for pair in self.pairs]}
        # in a script element nothing but < could end it; names of files are text for the page, never markup
        text = json.dumps(data).replace('<', r'\u003c')
        before, after = TEMPLATE_PATH.read_text(encoding='utf-8').split(f'>{DATA_PLACEHOLDER}<')
        with files.atomic_write(self.page_path) as part:
            part.write_text(f'{before}>{text}<{after}', encoding='utf-8')


def _thinned_curves(losses, last, sizes):
    """Of losses, name -> values of iterations 0 to `last`, at most MAX_CURVE_POINTS, times their weights: they add
    up.
    """
    shown = np.unique(np.linspace(0, last, MAX_CURVE_POINTS).round().astype(int)).tolist()
    recipes = [next((size.recipe for size in sizes if i < size.end), sizes[-1].recipe) for i in shown]
    def weighted(name, recipe):
        return 1 if name == 'total_loss' else getattr(recipe, name.replace('loss', 'weight'))
    return {'shown': shown, 'losses': {name: [float(f'{values[i] * weighted(name, recipe):.4g}')
                                              for i, recipe in zip(shown, recipes)] for name, values in losses.items()}}
