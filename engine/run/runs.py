"""What a run keeps on disk: its folders, its identity, checkpoints and loss history, so that it resumes exactly."""

import contextlib
import csv
import json
import re
import shutil
import sqlite3
from pathlib import Path

import numpy as np

from common import files, names
from common.errors import UserError
from common.tf1 import tf
from engine.run import events, session

RESTART_HINT = '--restart', 'begins again'
ANOTHER_NAME_HINT = '--name', 'NEW starts another run'
KEEP_BOTH_HINT = '--name', 'NEW keeps both'
NUMBERED_PICTURE = r'\d{5,}\.jpg'  # pictures of iterations
CHECKPOINT_INDEX = r'model-(\d+)\.index'  # the part of one that is written last
LATEST_PICTURE = 'latest.jpg'
UNFINISHED_CHECKPOINT = r'model-\d+_temp'  # of a save that was killed
# what a checkpoint that cannot be read raises
READ_ERRORS = tf.errors.OpError, ValueError, LookupError, TypeError, OSError, RuntimeError
# Whatever a run writes, by its room. Nothing else in its folders is its own.
OWN_FILES = {
    'outputs': '|'.join(
        (NUMBERED_PICTURE, r'final\.png', r'losses\.png', r'sheet\.png', r'progress\.gif', r'latest\.jpg')
    ),
    'checkpoints': '|'.join(
        (
            r'model-\d+\.(index|meta|data-\d{5}-of-\d{5})(\.tempstate\d+)?',
            UNFINISHED_CHECKPOINT,
            'checkpoint',
            r'losses\.csv',
            r'run\.json',
            'converged',
        )
    ),
    'graphs': events.EVENT_FILE_PATTERN,
}


def settings_diff(now, before, defaults):
    """The settings in which two identities differ, as text; one that is absent has its default.

    now, before: name -> value; defaults: of settings that did not exist when older runs were made
    """
    def of(identity, key):
        return identity.get(key, defaults.get(key))
    return [f'{key} (now {events.abbreviate(of(now, key))}, was {events.abbreviate(of(before, key))})'
            for key in now | before if of(now, key) != of(before, key)]


@contextlib.contextmanager
def exclusive_lock(folder):
    """Hold a folder alone. Raises `UserError` where another process holds it, or nothing can be written there."""
    # SQLite's file lock works alike on every system, and a killed process leaves none behind
    path = folder / 'lock'
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)))
            lock.execute('BEGIN EXCLUSIVE')
        except sqlite3.OperationalError as error:
            if 'locked' not in str(error):
                raise UserError(f'{path}: cannot be opened for writing ({error})') from error
            raise UserError(f'{folder}: another process is at work on this run; wait for it',
                            ('--name', 'NEW starts another')) from error
        except sqlite3.DatabaseError as error:
            raise UserError(f'{path}: is not the lock that a run writes ({error}); remove it') from error
        yield


class Run:
    """One run: outputs/<name>/ for people, checkpoints/<name>/ to resume from, graphs/<name>/ for TensorBoard.

    identity: what decides the result, as a dict that JSON can hold; it is kept in checkpoints/<name>/run.json
    defaults: settings under which a run that was made before they existed is the same run
    folder: where outputs, checkpoints and graphs lie
    history: list of name -> loss, one an iteration, from iteration 0 (the starting image) on
    converged: whether the checkpoint restored is one that its optimizer could not better
    begin: the iteration that the current size of the picture begins after, see `scales`; where iterations are counted
    below, they are counted from it
    """

    offset = 0

    def __init__(self, name, fingerprint, defaults=None, folder='.'):
        self.name = names.validate(name)
        # as it comes back: tuples are lists
        self.fingerprint, self.defaults = (
            json.loads(json.dumps(settings)) for settings in (fingerprint, defaults or {})
        )
        self.outputs, self.checkpoints, self.graphs = (Path(folder, room, name) for room in OWN_FILES)
        self.history, self.converged = [], False

    def numbered_pictures(self):
        """The paths of the numbered pictures written so far, in order."""
        return sorted(_own_files(self.outputs, NUMBERED_PICTURE), key=lambda path: int(path.stem))

    def exists(self):
        """Whether there is a checkpoint of this very run."""
        saved = self._saved_fingerprint()
        return saved is not None and not settings_diff(self.fingerprint, saved, self.defaults)

    @contextlib.contextmanager
    def acquire(self, restart=False):
        """Hold the run alone, as the same run as before; with `restart`, as a new one.

        Raises `UserError` when another process holds it or what is on disk has another identity.
        """
        for folder in (self.outputs, self.checkpoints, self.graphs):
            folder.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(self.checkpoints):
            if restart:
                self._clear()
            self.check_fingerprint()
            self._write_fingerprint()
            yield self

    def _clear(self):
        """Remove what a run writes, and nothing that somebody else put there."""
        for folder, pattern in zip((self.outputs, self.checkpoints, self.graphs), OWN_FILES.values()):
            for path in _own_files(folder, pattern):
                path.unlink()
        self._remove_unfinished()

    def _remove_unfinished(self):
        for leftover in self.checkpoints.iterdir():
            if re.fullmatch(UNFINISHED_CHECKPOINT, leftover.name) and leftover.is_dir():
                shutil.rmtree(leftover)

    def precision(self, wanted, optimizer):
        """What is computed in: `wanted`, or for 'auto' what the run was begun in, and the fastest for a new one.

        Raises `UserError` where that is bfloat16 and this processor, or the environment, lacks it.
        """
        begun = (self._saved_fingerprint() or {}).get('precision') if wanted == 'auto' else wanted
        if begun == 'bfloat16':
            session.check_bfloat16()
        if wanted == 'auto' and begun == 'bfloat16' and not session.bfloat16_hardware():
            raise UserError(f'{self.checkpoints}: this run was begun in bfloat16, which this processor does not have '
                            'in hardware',
                            ('--precision', 'bfloat16 goes on, slowly and with other last digits'),
                            ('--restart', 'begins again in float32'))
        return begun or session.fastest_precision(optimizer)

    def _saved_fingerprint(self):
        """The identity of the checkpoints on disk, or None. Raises `UserError` if it is damaged or missing."""
        path = self.checkpoints / 'run.json'
        if not self._steps_saved():
            return None
        if not path.exists():
            raise UserError(f'{path}: missing, so that nobody knows which settings the checkpoints beside it have',
                            RESTART_HINT, ANOTHER_NAME_HINT)
        with contextlib.suppress(ValueError):
            saved = json.loads(path.read_text())
            if isinstance(saved, dict):
                return saved
        raise UserError(f'{path}: damaged', RESTART_HINT, ANOTHER_NAME_HINT)

    def check_fingerprint(self):
        """Raise `UserError` if the checkpoints on disk are of a run with other settings."""
        saved = self._saved_fingerprint()
        if saved is not None and (differ := settings_diff(self.fingerprint, saved, self.defaults)):
            raise UserError(
                f'{self.checkpoints} is a run with other settings: {", ".join(differ)}', RESTART_HINT, KEEP_BOTH_HINT
            )

    def _write_fingerprint(self):
        with files.atomic_write(self.checkpoints / 'run.json') as part:
            part.write_text(json.dumps(self.fingerprint, indent=1) + '\n')

    def _steps_saved(self):
        """The iterations that have a checkpoint, newest first."""
        if not self.checkpoints.is_dir():
            return []
        steps = (
            int(re.fullmatch(CHECKPOINT_INDEX, path.name)[1]) for path in _own_files(self.checkpoints, CHECKPOINT_INDEX)
        )
        return sorted(steps, reverse=True)

    def restore(self, saver, sess):
        """Load the newest checkpoint that can be read, and the history up to it; return its iteration.

        0 if there is none: then the variables still have to be initialized. Pictures of later iterations, or of an
        older run under this name, are removed.
        """
        self._remove_unfinished()
        step = self._restored(saver, sess)
        self.converged = bool(step) and self._converged_at() == self.offset + step
        for picture in self.numbered_pictures():
            if int(picture.stem) > self.offset + step:
                picture.unlink()
        return step

    def _restored(self, saver, sess):
        saved = [str(self.checkpoints / f'model-{step}') for step in self._steps_saved()]
        while saved:
            step = int(saved[0].rpartition('-')[2])
            try:
                self.history = self._read_history(step)
                if step > self.offset:  # at it the picture is of another size, from which this one starts
                    saver.restore(sess, saved[0])
            except READ_ERRORS as error:
                print(f'{saved.pop(0)}: damaged, going back to the one before ({type(error).__name__})')
                continue
            saver.recover_last_checkpoints(saved[::-1])
            if step > self.offset or not self.offset:
                print(f'{self.name}: resuming at iteration {step}')
            return step - self.offset
        self.history = []
        return 0

    def latest_step(self):
        """The iteration of the newest checkpoint of which all can be read, counted from the first; 0 without one."""
        for step in self._steps_saved():
            with contextlib.suppress(*READ_ERRORS):
                self._read_history(step)
                for name in self._reader(step).get_variable_to_shape_map():
                    self.load_variable(step, name)
                return step
        return 0

    def _reader(self, step):
        return tf.train.load_checkpoint(str(self.checkpoints / f'model-{step}'))

    def load_variable(self, step, name):
        """What the checkpoint of iteration `step`, counted from the first, has under a variable's name, an array."""
        return self._reader(step).get_tensor(name)

    def save(self, saver, sess, step, losses):
        """Write the checkpoint of iteration `step`, whose losses are `load_losses`, name -> value.

        The history goes first, so that it never lacks a row. Raises `UserError` when the disk is full.
        """
        with files.atomic_write(self.checkpoints / 'losses.csv') as part, open(part, 'w', newline='') as file:
            csv.writer(file).writerows([('iteration', *losses), *((i, *(f'{loss:.9g}' for loss in row.values()))
                                                                  for i, row in enumerate([*self.history, losses]))])
        try:
            saver.save(sess, str(self.checkpoints / 'model'), global_step=self.offset + step, write_meta_graph=False)
        except tf.errors.OpError as error:  # a page about graph nodes, with the reason in its last line
            reason = error.message.partition('[[')[0].strip().splitlines()[-1].rpartition('; ')[2]
            raise UserError(f'{self.checkpoints}: the checkpoint of iteration {self.offset + step} could not be '
                            f'written: {reason}; '
                            'earlier ones are kept, and are where the run goes on') from error

    def mark_converged(self, step):
        """Note that the optimizer found nothing better than the checkpoint of iteration `step`."""
        self.converged = True
        with files.atomic_write(self.checkpoints / 'converged') as part:
            part.write_text(f'{self.offset + step}\n')

    def _converged_at(self):
        with contextlib.suppress(OSError, ValueError):
            return int((self.checkpoints / 'converged').read_text())

    def load_losses(self):
        """The losses of the iterations so far, from 0 on, as the newest checkpoint has them: name -> list."""
        rows = self._read_history(len(self.history) + 1)
        return {name: [float(row[name]) for row in rows] for name in rows[0]}

    def _read_history(self, step):
        """The first `step` rows; nine digits give a float32 back bit by bit."""
        with open(self.checkpoints / 'losses.csv', newline='') as file:
            rows = list(csv.DictReader(file))[:step]
        if [int(row.pop('iteration')) for row in rows] != list(range(step)):
            raise ValueError('losses.csv lacks a row')
        return [{name: np.float32(loss) for name, loss in row.items()} for row in rows]

    def check_finite(self, losses, step):
        """Return `load_losses`, those of `step`. Raises `UserError` if one is NaN or infinite, saying which."""
        for name, loss in losses.items():
            if not np.isfinite(loss):
                adam = self.fingerprint.get('optimizer') == 'adam'
                raise UserError(
                    f'{name} is {loss} at iteration {self.offset + step}; checkpoints of this run hold what '
                    'came before',
                    *[('--learning-rate', 'X, a lower one, may help'), ANOTHER_NAME_HINT] * adam,
                )
        return losses

    def write_latest(self, jpeg):
        """Make the encoded picture the newest one; who looks meanwhile sees it whole, or the one before."""
        with files.atomic_write(self.outputs / LATEST_PICTURE) as part:
            part.write_bytes(jpeg)

    def write_step(self, writer, step, summary, jpeg):
        """Write the summary and the encoded picture of iteration `step` to TensorBoard, the picture also as a file."""
        step += self.offset
        writer.add_summary(summary, step)
        writer.add_summary(events.image_summary(jpeg), step)
        with files.atomic_write(self.outputs / f'{step:05d}.jpg') as part:
            part.write_bytes(jpeg)

    def event_writer(self, graph, step):
        """A writer of the summaries after `step`, with the graph and the settings."""
        return events.EventWriter(self.graphs, graph, self.fingerprint, self.offset + step)


def _own_files(folder, pattern):
    """The files in a folder whose whole name the pattern, a regular expression, matches."""
    return [path for path in folder.iterdir() if re.fullmatch(pattern, path.name) and path.is_file()]
