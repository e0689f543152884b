"""The files of a run on disk: its folders, fingerprint, checkpoints and loss history, from which it resumes."""

import contextlib
import csv
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import recipes
from common import color_profiles, files, names, paths
from common.errors import UserError
from common.tf1 import tf
from engine.optim import OPTIMIZERS, pyramid
from engine.optim.optimizer import Optimizer
from engine.run import events, old_settings, session

RESTART_HINT = '--restart', 'begins again'
ANOTHER_NAME_HINT = '--name', 'NEW starts another run'
KEEP_BOTH_HINT = '--name', 'NEW keeps both'
NUMBERED_PICTURE = r'\d{5,}\.jpg'  # the picture of an iteration
CHECKPOINT_INDEX = r'model-(\d+)\.index'  # the file of a checkpoint that is written last
LATEST_PICTURE = 'latest.jpg'
MAX_VALUE_LENGTH = 100  # of a setting in an error message, in characters
UNFINISHED_CHECKPOINT = r'model-\d+_temp'  # left by a save that was killed
# What TensorFlow and Python raise for a checkpoint that cannot be read.
READ_ERRORS = tf.errors.OpError, ValueError, LookupError, TypeError, OSError, RuntimeError
# Every file that a run writes, by folder, as regular expressions. Other files in its folders are never removed.
OWN_FILES = {
    'outputs': '|'.join((NUMBERED_PICTURE, r'final\.png', r'losses\.png', r'sheet\.png', r'progress\.gif',
                         r'latest\.jpg')),
    'checkpoints': '|'.join((r'model-\d+\.(index|meta|data-\d{5}-of-\d{5})(\.tempstate\d+)?', UNFINISHED_CHECKPOINT,
                             'checkpoint', r'losses\.csv', r'run\.json', 'converged')),
    'graphs': events.EVENT_FILE_PATTERN,
}


def settings_diff(now: dict, before: dict, defaults: dict) -> list[str]:
    """Return the settings in which two fingerprints differ, one text each.

    Args:
        now: The fingerprint of this run, name -> value.
        before: The fingerprint of the other run, name -> value.
        defaults: Values of settings that did not exist when older runs were made; a missing setting has its default.
    """
    def value(fingerprint, key):
        return fingerprint.get(key, defaults.get(key))

    def shown(fingerprint, key):
        text = events.abbreviate(value(fingerprint, key))
        return text if len(text) <= MAX_VALUE_LENGTH else text[:MAX_VALUE_LENGTH] + '…'
    return [f'{key} (now {shown(now, key)}, was {shown(before, key)})'
            for key in now | before if value(now, key) != value(before, key)]


def lock_run(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Return a context manager that locks the folder of a run, see `files.exclusive_lock`."""
    return files.exclusive_lock(folder, f'{folder}: another process is using this run; wait until it ends',
                                ('--name', 'NEW starts another'))


class Run:
    """One run: outputs/<name>/ for people, checkpoints/<name>/ to resume from, graphs/<name>/ for TensorBoard.

    Iterations are counted from the first iteration of the run, over all levels of a pyramid.

    Attributes:
        fingerprint: The settings that decide the result, name -> value; checkpoints/<name>/run.json has them.
        defaults: Values of settings that did not exist when older runs were made.
        history: The losses of every iteration, as dicts name -> value; the first entry is the starting image.
        converged: Whether the optimizer could not improve the restored checkpoint.
        start_step: The iteration after which the current level of the pyramid begins; 0 without a pyramid.
    """

    start_step = 0

    def __init__(self, name: str, fingerprint: dict, defaults: dict | None = None, folder: Path | str = '.'):
        """Create the object without writing anything.

        Args:
            name: The name of the run.
            fingerprint: As in the attributes; values must be serializable as JSON.
            defaults: As in the attributes; values must be serializable as JSON.
            folder: The folder that contains outputs, checkpoints and graphs.

        Raises:
            UserError: The name cannot be the name of a folder.
        """
        self.name = names.validate(name)
        # JSON turns tuples into lists; convert now, so that both compare equal to what is read from disk.
        self.fingerprint, self.defaults = (json.loads(json.dumps(settings))
                                           for settings in (fingerprint, defaults or {}))
        self.outputs, self.checkpoints, self.graphs = (Path(folder, kind, name) for kind in OWN_FILES)
        self.history, self.converged = [], False

    @property
    def optimizer(self) -> type[Optimizer] | Optimizer:
        """The optimizer that the fingerprint names, or the class with its defaults if there is none."""
        return OPTIMIZERS.get(self.fingerprint.get('optimizer'), Optimizer)

    def numbered_pictures(self) -> list[Path]:
        """Return the paths of the numbered pictures written so far, in order."""
        return sorted(_own_files(self.outputs, NUMBERED_PICTURE), key=lambda path: int(path.stem))

    def exists(self) -> bool:
        """Return whether there is a checkpoint with this fingerprint."""
        saved = self._saved_fingerprint()
        return saved is not None and not settings_diff(self.fingerprint, saved, self.defaults)

    @contextlib.contextmanager
    def acquire(self, restart: bool = False) -> 'Iterator[Run]':
        """Lock the run within a `with` block, so that no other process uses it.

        Args:
            restart: Whether to remove the files of the run first.

        Raises:
            UserError: Another process has locked the run, or the checkpoints on disk have another fingerprint.
        """
        for folder in (self.outputs, self.checkpoints, self.graphs):
            folder.mkdir(parents=True, exist_ok=True)
        with lock_run(self.checkpoints):
            if restart:
                self._clear()
            self.check_fingerprint()
            self._write_fingerprint()
            yield self

    def _clear(self):
        """Remove the files that a run writes, and no others."""
        for folder, pattern in zip((self.outputs, self.checkpoints, self.graphs), OWN_FILES.values()):
            for path in _own_files(folder, pattern):
                path.unlink()
        self._remove_unfinished()

    def _remove_unfinished(self):
        """Remove the folders that a killed save has left."""
        for leftover in self.checkpoints.iterdir():
            if re.fullmatch(UNFINISHED_CHECKPOINT, leftover.name) and leftover.is_dir():
                shutil.rmtree(leftover)

    def choose_precision(self, wanted: str, takes_bfloat16: bool) -> str:
        """Return the precision to compute in, 'float32' or 'bfloat16'.

        Args:
            wanted: 'float32', 'bfloat16' or 'auto'. With 'auto', a run on disk continues in the precision in which it
                was started, and a new run uses the fastest precision.
            takes_bfloat16: Whether the optimizer works with bfloat16.

        Raises:
            UserError: The precision is bfloat16, but the environment turns it off or, with 'auto', the processor has no
                instructions for it.
        """
        begun = (self._saved_fingerprint() or {}).get('precision') if wanted == 'auto' else wanted
        if begun == 'bfloat16':
            session.check_bfloat16()
        if wanted == 'auto' and begun == 'bfloat16' and not session.bfloat16_hardware():
            raise UserError(f'{self.checkpoints}: this run was started in bfloat16, which this processor does not have '
                            'in hardware',
                            ('--precision', 'bfloat16 continues it, slowly and with other last digits'),
                            ('--restart', 'begins again in float32'))
        return begun or session.fastest_precision(takes_bfloat16)

    def choose_recipe(self, wanted: recipes.Recipe) -> recipes.Recipe:
        """Return the recipe to use: a run on disk that version 1.0 began with its `modern` goes on with it."""
        saved = self._saved_fingerprint() if wanted is recipes.MODERN else None
        return recipes.MODERN_1_0 if saved and saved.get('name') == recipes.MODERN_1_0.name else wanted

    def choose_color_profiles(self, wanted: str) -> str:
        """Return whether images are converted from their ICC profiles to sRGB, 'converted' or 'ignored'.

        Args:
            wanted: 'converted', 'ignored' or 'auto'. With 'auto', a run on disk continues as it was started, and a new
                run converts them. Runs from before this setting existed ignored the profiles.
        """
        if wanted != 'auto':
            return wanted
        saved = self._saved_fingerprint()
        default = color_profiles.CONVERTED if saved is None else color_profiles.IGNORED
        return (saved or {}).get('color_profiles', default)

    def _saved_fingerprint(self):
        """Return the fingerprint of the checkpoints on disk, or None without checkpoints.

        Raises `UserError` if the file of the fingerprint is damaged or missing.
        """
        path = self.checkpoints / 'run.json'
        if not self._steps_saved():
            return None
        if not path.exists():
            raise UserError(f'{path}: missing, so the settings of the checkpoints in this folder are unknown',
                            RESTART_HINT, ANOTHER_NAME_HINT)
        with contextlib.suppress(ValueError):
            saved = json.loads(path.read_text())
            if isinstance(saved, dict):
                return old_settings.upgrade(saved)
        raise UserError(f'{path}: damaged', RESTART_HINT, ANOTHER_NAME_HINT)

    def check_fingerprint(self) -> None:
        """Raise `UserError` if the checkpoints on disk belong to a run with other settings."""
        saved = self._saved_fingerprint()
        if saved is not None and (diff := settings_diff(self.fingerprint, saved, self.defaults)):
            raise UserError(f'{self.checkpoints} is a run with other settings: {", ".join(diff)}', RESTART_HINT,
                            KEEP_BOTH_HINT)

    def _write_fingerprint(self):
        with files.atomic_write(self.checkpoints / 'run.json') as part:
            part.write_text(json.dumps(self.fingerprint, indent=1) + '\n')

    def _steps_saved(self):
        """Return the iterations that have a checkpoint, newest first."""
        if not self.checkpoints.is_dir():
            return []
        return sorted((int(re.fullmatch(CHECKPOINT_INDEX, path.name)[1])
                       for path in _own_files(self.checkpoints, CHECKPOINT_INDEX)), reverse=True)

    def restore(self, saver: tf.train.Saver, sess: tf.Session) -> int:
        """Load the newest readable checkpoint and the history up to it; return its iteration.

        If the iteration is `start_step`, no variable was loaded and all have to be initialized. Pictures of later
        iterations, left by an interrupted or older run, are removed.
        """
        self._remove_unfinished()
        step = self._restore_newest(saver, sess)
        self.converged = step > self.start_step and self._converged_at() == step
        for picture in self.numbered_pictures():
            if int(picture.stem) > step:
                picture.unlink()
        return step

    def _restore_newest(self, saver, sess):
        """Load the newest readable checkpoint; return its iteration, or `start_step` if there is none."""
        saved = [str(self.checkpoints / f'model-{step}') for step in self._steps_saved()]
        while saved:
            step = int(saved[0].rpartition('-')[2])
            try:
                self.history, is_complete = self._read_history(step), True
                if step > self.start_step:  # At start_step the picture has the size of the level before.
                    is_complete = self._load(saver, sess, step)
            except READ_ERRORS as error:
                print(f'{saved.pop(0)}: damaged, going back to the one before ({type(error).__name__})')
                continue
            saver.recover_last_checkpoints(saved[::-1])
            if step > self.start_step or not self.start_step:
                print(f'{self.name}: resuming at iteration {step}' + (
                    '' if is_complete else ', with an empty memory, because an older version did not save it'))
            return step
        self.history = []
        return self.start_step

    def _load(self, saver, sess, step):
        """Load the checkpoint of iteration `step`; return False if it lacks the optimizer's `added_scopes`."""
        reader, variables = self._reader(step), sess.graph.get_collection(tf.GraphKeys.GLOBAL_VARIABLES)
        lacking = [name for variable in variables if (name := variable.op.name).startswith(self.optimizer.added_scopes)
                   and not reader.has_tensor(name)]
        if not lacking:
            saver.restore(sess, str(self.checkpoints / f'model-{step}'))
            return True
        for variable in variables:  # A finalized graph takes no saver for some of the variables, so feed their values.
            name, initial_value = variable.op.name, variable.initializer.inputs[1]
            sess.run(variable.initializer, {} if name in lacking else {initial_value: reader.get_tensor(name)})
        return False

    def latest_step(self) -> int:
        """Return the iteration of the newest checkpoint that can be read completely; 0 if there is none."""
        for step in self._steps_saved():
            with contextlib.suppress(*READ_ERRORS):
                self._read_history(step)
                for name in self._reader(step).get_variable_to_shape_map():
                    self.load_variable(step, name)
                return step
        return 0

    def _reader(self, step):
        return tf.train.load_checkpoint(str(self.checkpoints / f'model-{step}'))

    def load_variable(self, step: int, name: str) -> np.ndarray:
        """Return the value of a variable in the checkpoint of iteration `step`."""
        return self._reader(step).get_tensor(name)

    def save(self, saver: tf.train.Saver, sess: tf.Session, step: int, losses: dict) -> None:
        """Write the checkpoint of iteration `step`.

        The history is written first, so that every checkpoint has all of its rows.

        Args:
            saver: The saver of the graph's variables.
            sess: The session.
            step: The iteration.
            losses: The losses of this iteration, name -> value.

        Raises:
            UserError: The checkpoint cannot be written, for example because the disk is full.
        """
        with files.atomic_write(self.checkpoints / 'losses.csv') as part, open(part, 'w', newline='') as file:
            csv.writer(file).writerows([('iteration', *losses), *((i, *(f'{loss:.9g}' for loss in row.values()))
                                                                  for i, row in enumerate([*self.history, losses]))])
        try:
            saver.save(sess, str(self.checkpoints / 'model'), global_step=step, write_meta_graph=False)
        except tf.errors.OpError as error:  # The reason is in the last line before the graph nodes.
            reason = error.message.partition('[[')[0].strip().splitlines()[-1].rpartition('; ')[2]
            raise UserError(f'{self.checkpoints}: the checkpoint of iteration {step} could not be written: {reason}; '
                            'earlier ones are kept, and the run resumes from them') from error

    def mark_converged(self, step: int) -> None:
        """Note that the optimizer found nothing better than the checkpoint of iteration `step`."""
        self.converged = True
        with files.atomic_write(self.checkpoints / 'converged') as part:
            part.write_text(f'{step}\n')

    def _converged_at(self):
        with contextlib.suppress(OSError, ValueError):
            return int((self.checkpoints / 'converged').read_text())

    def load_losses(self) -> dict:
        """Return the losses of the iterations so far, from 0 on, as saved with the newest checkpoint: name -> list."""
        rows = self._read_history(len(self.history) + 1)
        return {name: [float(row[name]) for row in rows] for name in rows[0]}

    def _read_history(self, step):
        """Return the losses of the first `step` iterations; the nine digits in the file restore a float32 exactly."""
        with open(self.checkpoints / 'losses.csv', newline='') as file:
            rows = list(csv.DictReader(file))[:step]
        if [int(row.pop('iteration')) for row in rows] != list(range(step)):
            raise ValueError('losses.csv lacks a row')
        return [{name: np.float32(loss) for name, loss in row.items()} for row in rows]

    def check_finite(self, losses: dict, step: int) -> dict:
        """Return `losses`, the losses of iteration `step`, unchanged.

        Raises:
            UserError: A loss is NaN or infinite; the message says which.
        """
        for name, loss in losses.items():
            if not np.isfinite(loss):
                hints = [self.optimizer.hint, ANOTHER_NAME_HINT] if self.optimizer.hint else []
                raise UserError(f'{name} is {loss} at iteration {step}; the checkpoints of this run are older and '
                                'still good', *hints)
        return losses

    def write_latest(self, jpeg: bytes) -> None:
        """Replace latest.jpg atomically, so that a viewer never sees an incomplete picture."""
        with files.atomic_write(self.outputs / LATEST_PICTURE) as part:
            part.write_bytes(color_profiles.tag_jpeg(jpeg))

    def write_step(self, writer: events.EventWriter, step: int, summary: bytes, jpeg: bytes) -> None:
        """Write the summary and the encoded picture of iteration `step` to TensorBoard, and the picture to a file."""
        writer.add_summary(summary, step)
        writer.add_summary(events.image_summary(jpeg), step)
        with files.atomic_write(self.outputs / f'{step:05d}.jpg') as part:
            part.write_bytes(color_profiles.tag_jpeg(jpeg))

    def event_writer(self, graph: tf.Graph, step: int) -> events.EventWriter:
        """Return a writer for the summaries after iteration `step`; it also writes the graph and the settings."""
        return events.EventWriter(self.graphs, graph, self.fingerprint, step)


def begun_recipe(name: str | None, wanted: recipes.Recipe) -> recipes.Recipe:
    """Return what `Run.choose_recipe` returns for the run `name`; without a name, the recipe that is wanted."""
    return Run(name, {}).choose_recipe(wanted) if name else wanted


def picture_name(content: Path, styles: Sequence[Path], recipe: recipes.Recipe) -> str:
    """Return the default name of the run that makes the picture of a photo in one or several styles."""
    return names.from_files(content.stem, '+'.join(path.stem for path in styles), recipe.name)


def picture_color_profiles(machine, name: str | None, folder: Path | str, wanted: str) -> str:
    """Return what `Run.choose_color_profiles` chooses for a `StyleTransfer`, before its images are read."""
    name = name or picture_name(machine.content_path, machine.style_paths, machine.recipe)
    return Run(name, {}, folder=folder).choose_color_profiles(wanted)


def picture_run(machine, name: str | None, folder: Path | str) -> Run:
    """Return the run of a `StyleTransfer`, whose fingerprint has all settings that decide the picture.

    Args:
        machine: The `StyleTransfer`.
        name: The name of the run; None for content-style-recipe.
        folder: The folder that contains outputs, checkpoints and graphs.
    """
    hashes = [files.file_hash(path) for path in machine.style_paths]
    fingerprint = dict(content=files.file_hash(machine.content_path), style=hashes[0] if len(hashes) == 1 else hashes,
                       vgg=files.file_hash(machine.weights.path), width=machine.img_width, height=machine.img_height,
                       seed=machine.seed, **machine.recipe.fingerprint())
    fingerprint['stages'] = pyramid.fingerprint(machine.recipe, machine.img_width, machine.img_height,
                                                machine.weights.path)
    if machine.initial_img is not None:
        fingerprint['initial_img'] = files.array_hash(machine.initial_img)
    if machine.mask_path:
        fingerprint['mask'] = files.file_hash(machine.mask_path)
    if any('network' in stage for stage in fingerprint['stages']):
        fingerprint['vgg_pruned'] = files.file_hash(paths.PRUNED_WEIGHTS)
    if len(hashes) > 1:
        fingerprint['style_weights'] = machine.images.style_weights
    # Homework from a starter of version 1.0 has no such attribute, and converts its images.
    fingerprint['color_profiles'] = getattr(machine, 'color_profiles', color_profiles.CONVERTED)
    name = name or picture_name(machine.content_path, machine.style_paths, machine.recipe)
    return Run(name, fingerprint, recipes.legacy_defaults(), folder)


def _own_files(folder, pattern):
    """Return the files in a folder whose whole name matches a regular expression."""
    return [path for path in folder.iterdir() if re.fullmatch(pattern, path.name) and path.is_file()]
