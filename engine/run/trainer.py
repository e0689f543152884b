"""The training loop of pictures and networks: when to show, log, save and stop, and how the run ends."""

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from common import process, progress
from common.tf1 import tf
from engine.run import runs


class Trainable(Protocol):
    """The interface that `Trainer` needs; `StyleTransfer` and the trainings of networks have it."""

    run: runs.Run
    recipe: object  # a `recipes.Recipe`, which says when to log
    checkpoint_every: int  # iterations
    has_converged: bool  # whether the optimizer finds nothing better

    def optimizer_steps(self, sess: tf.Session, step: int) -> Iterator[dict]:
        """Run the steps after iteration `step`, without end, and yield the losses before each one, name -> value."""

    def evaluate(self, sess: tf.Session) -> tuple:
        """Return the current (losses, summary as bytes, picture uint8 [H, W, 3], picture as JPEG bytes)."""

    def write_results(self, sess: tf.Session) -> None:
        """Write the results of a finished run to its folder in outputs."""


class TrainingStep(NamedTuple):
    """An iteration that was computed.

    Attributes:
        step: The number of the iteration, counted from the first one of the run.
        losses: Name -> value, after the step if the iteration is logged or saved, else before the step.
        summary: The serialized summary if the iteration is logged, else None.
        jpeg: The picture as JPEG if the iteration is logged or saved, else None.
        is_saved: Whether the iteration gets a checkpoint.
    """
    step: int
    losses: dict
    summary: bytes | None
    jpeg: bytes | None
    is_saved: bool


class Trainer:
    """Trains a machine from its restored iteration up to a given one.

    Attributes:
        ending: How the training has ended: 'finished', 'stopped' by Ctrl-C or SIGTERM, 'converged', or None while it
            runs.
    """

    def __init__(self, machine: Trainable, initial_step: int, n_iters: int, callback: Callable | None = None):
        """Set up a training.

        Args:
            machine: The training.
            initial_step: The iteration that was restored, counted from the first one of the run.
            n_iters: The last iteration, counted in the same way.
            callback: Called with a `progress.Iteration` after each iteration.
        """
        self.machine, self.run, self.callback = machine, machine.run, callback
        self.step, self.initial_step, self.n_iters = initial_step, initial_step, n_iters
        self.was_interrupted = False
        self.ending = 'converged' if self.run.converged else 'finished' if initial_step >= n_iters else None

    @contextlib.contextmanager
    def steps(self, sess: tf.Session, writer) -> Iterator[Iterator[TrainingStep]]:
        """Context manager that yields an iterator of the remaining `TrainingStep`s; the caller logs and saves them.

        Args:
            sess: The session.
            writer: The `events.EventWriter`, which is closed at the end.

        Raises:
            UserError: A loss is not finite.
        """
        with (writer, process.StopSignal() as stop,
              contextlib.closing(self.machine.optimizer_steps(sess, self.initial_step)) as moves,
              contextlib.closing(self._steps(sess, stop, moves)) as steps):
            yield steps

    def _steps(self, sess, stop, moves):
        """Yield the `TrainingStep`s while there is anything left to do."""
        run, machine = self.run, self.machine
        # The pass that changes the image also returns the losses before the change.
        for step, losses in zip(range(self.initial_step + 1, self.n_iters + 1), moves):
            self.step = step
            run.history.append(run.check_finite(losses, step - 1))
            last = 'converged' if machine.has_converged else 'finished' if step == self.n_iters else None
            self.ending = 'stopped' if stop.requested else last
            in_level = step - run.start_step
            is_logged = last or machine.recipe.should_log(in_level)
            is_saved = self.ending or in_level % machine.checkpoint_every == 0
            summary = jpeg = None
            if is_logged or is_saved:  # Evaluate the changed image, so that its losses are checked before writing.
                losses, summary, _, jpeg = machine.evaluate(sess)
                run.check_finite(losses, step)
                run.write_latest(jpeg)
            if machine.has_converged:  # Before the checkpoint, so that a run that is killed in between does not go on.
                run.mark_converged(step)
            yield TrainingStep(step, losses, summary if is_logged else None, jpeg, bool(is_saved))
            if self.callback:
                self.callback(progress.Iteration(step, losses, lambda: machine.evaluate(sess)[2]))
            self.was_interrupted = stop.requested
            if self.ending:
                break

    def finish(self, sess: tf.Session, write_results: bool = True) -> progress.Outcome:
        """Record how the run has ended, write its results unless it was stopped, and return the outcome."""
        if self.was_interrupted and not write_results:  # More stages would follow.
            self.ending = 'stopped'
        if write_results and self.ending != 'stopped':
            self.machine.write_results(sess)
        return progress.Outcome(self.step, self.ending, self.initial_step)
