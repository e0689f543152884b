"""What a run keeps on disk: its folders, its identity, checkpoints and loss history, so that it resumes exactly."""

import contextlib
import csv
import json
import re
import shutil
import sqlite3
from pathlib import Path

import numpy as np

import utils
from engine import quiet  # before tensorflow
import tensorflow.compat.v1 as tf
from engine import events, sessions
from engine.messages import UserError


class Run:
    """One run: outputs/<name>/ for people, checkpoints/<name>/ to resume from, graphs/<name>/ for TensorBoard.

    identity: what decides the result, as a dict that JSON can hold; it is kept in checkpoints/<name>/run.json
    history: list of tuples of losses, one an iteration, from iteration 0 (the starting image) on
    """

    def __init__(self, name, identity, columns):
        """columns: the names of the losses in a row of the history."""
        if not re.fullmatch(r'[^./\\:\s][^/\\:]{0,99}', name):
            raise UserError(f'--name {name!r}: must be 1 to 100 characters, none of / \\ : and no leading dot or space')
        self.name = name
        self.identity = json.loads(json.dumps(identity))  # as it comes back: tuples are lists
        self.columns = columns
        self.outputs, self.checkpoints, self.graphs = (Path(room, name) for room in ('outputs', 'checkpoints', 'graphs'))
        self.history = []

    def pictures(self):
        """The paths of the numbered pictures written so far, in order."""
        return sorted(self.outputs.glob('[0-9]*.jpg'))

    @contextlib.contextmanager
    def claimed(self, restart=False):
        """Hold the run alone, as the same run as before; with `restart`, as a new one.

        Raises `UserError` when another process holds it or what is on disk has another identity.
        """
        for folder in (self.outputs, self.checkpoints, self.graphs):
            folder.mkdir(parents=True, exist_ok=True)
        # SQLite's file lock works alike on every system, and a killed process leaves none behind
        with contextlib.closing(sqlite3.connect(self.checkpoints / 'lock', timeout=0, isolation_level=None)) as lock:
            try:
                lock.execute('BEGIN EXCLUSIVE')
            except sqlite3.OperationalError as error:
                raise UserError(f'{self.checkpoints}: another process is at work on this run ({error}); '
                                      'wait for it, or choose another --name') from error
            if restart:
                self._clear()
            self._check_identity()
            yield self

    def _clear(self):
        """Remove what a run writes, and nothing that somebody else put there."""
        for folder, patterns in ((self.outputs, ('[0-9]*.jpg', 'final.png', 'losses.png', 'sheet.png', 'progress.gif')),
                                 (self.checkpoints, ('model-*', 'checkpoint', 'losses.csv', 'run.json')),
                                 (self.graphs, ('events.out.tfevents.*',))):
            for path in (path for pattern in patterns for path in folder.glob(pattern)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def precision(self, wanted, optimizer):
        """What is computed in: `wanted`, or for 'auto' what the run was begun in, and the fastest for a new one.

        Raises `UserError` where that is bfloat16 and this processor lacks it.
        """
        if wanted != 'auto':
            return wanted
        begun = (self._saved_identity() or {}).get('precision')
        if begun == 'bfloat16' and not sessions.bfloat16_hardware():
            raise UserError(f'{self.checkpoints}: this run was begun in bfloat16, which this processor does not have in '
                                  'hardware: --precision bfloat16 goes on, slowly and with other last digits, --restart begins '
                                  'again in float32')
        return begun or sessions.fastest_precision(optimizer)

    def _saved_identity(self):
        """The identity of the checkpoints on disk; None if there are none. Raises `UserError` if it is damaged."""
        path = self.checkpoints / 'run.json'
        if not path.exists() or not self._steps_saved():
            return None
        with contextlib.suppress(ValueError):
            saved = json.loads(path.read_text())
            if isinstance(saved, dict):
                return saved
        raise UserError(f'{path}: damaged; --restart begins again, --name starts another run')

    def _check_identity(self):
        path = self.checkpoints / 'run.json'
        saved = self._saved_identity()
        if saved is not None:
            differ = [f'{key} (now {events.short(self.identity.get(key))}, was {events.short(saved.get(key))})'
                      for key in self.identity | saved if self.identity.get(key) != saved.get(key)]
            if differ:
                raise UserError(f'{self.checkpoints} is a run with other settings: {", ".join(differ)}; '
                                      '--restart begins again, --name NEW keeps both')
        with utils.whole_file(path) as part:
            part.write_text(json.dumps(self.identity, indent=1) + '\n')

    def _steps_saved(self):
        """The iterations that have a checkpoint, newest first. The .index of one is written last."""
        found = (re.fullmatch(r'model-(\d+)', path.stem) for path in self.checkpoints.glob('model-*.index'))
        return sorted((int(match[1]) for match in found if match), reverse=True)

    def restore(self, saver, sess):
        """Load the newest checkpoint that can be read, and the history up to it; return its iteration.

        0 if there is none: then the variables still have to be initialised.
        """
        for leftover in self.checkpoints.glob('model-*_temp'):  # a save that was killed
            shutil.rmtree(leftover)
        saved = [str(self.checkpoints / f'model-{step}') for step in self._steps_saved()]
        while saved:
            step = int(saved[0].rpartition('-')[2])
            try:
                self.history = self._read_history(step)
                saver.restore(sess, saved[0])
            except (tf.errors.OpError, ValueError, OSError) as error:
                print(f'{saved.pop(0)}: damaged, going back to the one before ({type(error).__name__})')
                continue
            saver.recover_last_checkpoints(saved[::-1])
            print(f'{self.name}: resuming at iteration {step}')
            return step
        self.history = []
        return 0

    def save(self, saver, sess, step, losses):
        """Write the checkpoint of iteration `step`, whose losses are `losses`.

        The history goes first, so that it never lacks a row. Raises `UserError` when the disk is full.
        """
        with utils.whole_file(self.checkpoints / 'losses.csv') as part, open(part, 'w', newline='') as file:
            csv.writer(file).writerows([('iteration', *self.columns),
                                        *((i, *(f'{x:.9g}' for x in row)) for i, row in enumerate([*self.history, losses]))])
        try:
            saver.save(sess, str(self.checkpoints / 'model'), global_step=step, write_meta_graph=False)
        except tf.errors.OpError as error:  # a page about graph nodes, with the reason in its last line
            reason = error.message.partition('[[')[0].strip().splitlines()[-1].rpartition('; ')[2]
            raise UserError(f'{self.checkpoints}: the checkpoint of iteration {step} could not be written: {reason}; '
                                  'earlier ones are kept, the same command goes on from there') from error

    def _read_history(self, step):
        """The first `step` rows; nine digits give a float32 back bit by bit."""
        rows = np.loadtxt(self.checkpoints / 'losses.csv', delimiter=',', skiprows=1, dtype=np.float32, ndmin=2)
        if len(rows) < step or rows.shape[1] != 1 + len(self.columns):
            raise ValueError('losses.csv is too short')
        return [tuple(row[1:]) for row in rows[:step]]

    def finite(self, losses, step):
        """Return `losses`, those of `step`. Raises `UserError` if one is NaN or infinite, saying which."""
        for name, loss in zip(self.columns, losses):
            if not np.isfinite(loss):
                raise UserError(f'{name} is {loss} at iteration {step}; checkpoints of this run hold what came '
                                      'before: try a lower --learning-rate under another --name')
        return losses

    def log(self, writer, step, summary, jpeg):
        """Write the summary and the encoded picture of iteration `step` to TensorBoard, the picture also as a file."""
        writer.add_summary(summary, step)
        writer.add_summary(events.picture(jpeg), step)
        with utils.whole_file(self.outputs / f'{step:05d}.jpg') as part:
            part.write_bytes(jpeg)

    def event_writer(self, graph, step):
        """A writer of the summaries after `step`, with the graph and the settings."""
        return events.writer(self.graphs, graph, self.identity, step)
