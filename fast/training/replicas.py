"""Synchronous training on several machines: each replica computes a part of every batch, the chief takes the steps.

The tasks are those of `fast.training.cluster`. The chief runs `NetworkTraining.train` within `GradientExchange.session`
and calls `GradientExchange.aggregate` before each step; the other replicas run `GradientExchange.worker_loop`; tasks
that only hold variables run `serve_ps`.
"""

import contextlib
import json
import secrets
import time
from collections.abc import Iterator

import numpy as np

from common import process
from common.errors import UserError
from common.tf1 import tf
from engine.run import runs
from fast.training import cluster

SLOT_COLLECTION = 'slots'  # graph collection of the exchanged variables; checkpoints do not contain it
ENDINGS = {'finished': -1, 'stopped': -2, 'failed': -3}  # how the chief ended -> what it announces instead of a step
EXIT_STATUS = {'finished': 0, 'stopped': 130, 'failed': 2}  # how the chief ended -> exit status of the other tasks
FAREWELL_SECONDS = 10  # time within which the workers must acknowledge that the chief ends
POLL_SHARE = 1 / 50  # pause between two polls, as a share of the time of a step
MIN_POLL_SECONDS, MAX_POLL_SECONDS = 2e-3, 0.1  # limits of this pause
TIMEOUT_MS = 30_000  # time after which a worker gives up on a task with variables that does not respond
# What TensorFlow raises when another process dies.
CONNECTION_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.NotFoundError,
    tf.errors.FailedPreconditionError,
    tf.errors.DeadlineExceededError,
)


class GradientExchange:
    """Exchange of gradients and losses between the replicas, through variables on the first task that holds variables.

    The chief announces the batch that it wants as (session, step), where a session is one life of the chief's process.
    Each replica writes its gradient, its losses and then the same two numbers into slots of its own. When all replicas
    have done so, the chief takes the step with the means.

    `tf.train.SyncReplicasOptimizer` is not used: it averages any n gradients of a step, even two of a fast worker and
    none of a slow one, and a worker that is killed may leave a gradient or a token behind, or take one along. Here, a
    part that is computed twice is written twice, into the same slot. No call blocks where Python does not react to
    Ctrl-C.

    Attributes:
        gradient: the mean of the replicas' gradients, [P].
        losses: name -> mean over the replicas.
    """

    def __init__(self, task: cluster.Task, run: runs.Run, gradient: tf.Tensor, losses: dict[str, tf.Tensor]):
        """Create the variables and ops of the exchange in the current graph.

        Args:
            task: this process's task, a replica.
            run: the run, whose fingerprint all replicas must share.
            gradient: gradient of this replica's part of a batch, flat, [P].
            losses: losses of this part, name -> scalar tensor.
        """
        self.task, self.known = task, run.fingerprint | {'replicas': len(task.replicas)}
        self.defaults = run.defaults
        with tf.variable_scope('exchange'), tf.device(task.device(task.ps_tasks[0])):
            self.wanted, self.fingerprint = _variable('wanted', [2], tf.int64), _variable('identity', [], tf.string)
            slots = [[_variable(f'{name}_{i}', shape, dtype) for i in range(len(task.replicas))] for name, shape, dtype
                     in (('gradient', gradient.shape, tf.float32), ('losses', [len(losses)], tf.float32),
                         ('arrived', [2], tf.int64))]
            self.init_slots = tf.variables_initializer(tf.get_collection(SLOT_COLLECTION))
            self.text = tf.placeholder(tf.string, [])
            self.tell = self.fingerprint.assign(self.text, read_value=False)
            self.now = tf.placeholder(tf.int64, [2])
            self.want = self.wanted.assign(self.now, read_value=False)
            self.all_arrived = tf.stack(slots[2])
            self.gradient, means = (tf.add_n(variables) / len(variables) for variables in slots[:2])
            self.losses = dict(zip(losses, tf.unstack(means)))
        own_gradient, own_losses, self.arrived = (variables[task.replica_index] for variables in slots)
        with tf.control_dependencies([own_gradient.assign(gradient, read_value=False),
                                      own_losses.assign(tf.stack(list(losses.values())), read_value=False)]):
            self.contribute = self.arrived.assign(self.now, read_value=False)
        self.acknowledge = self.arrived.assign(self.now, read_value=False)
        self.endings = [_ending_variable(task, host).assign(self.now[1], read_value=False)
                        for host in task.ps_tasks if host not in task.replicas]

    @contextlib.contextmanager
    def session(self, graph: tf.Graph, config: tf.ConfigProto) -> Iterator[tf.Session]:
        """Wait until all tasks answer, open the chief's session, and announce at the end of the block how it ended.

        Yields:
            The session.

        Raises:
            UserError: a task does not answer, or a task that holds variables dies.
        """
        self.task.wait(self.task.addresses, cluster.ANSWER_SECONDS)
        sess, ending = self.task.session(graph, config), 'failed'
        process.StopSignal.latest = None
        self.session_id = 1 + secrets.randbelow(2**62)
        try:
            sess.run(self.init_slots)
            sess.run(self.tell, {self.text: json.dumps(self.known)})
            with graph.as_default():  # A `Saver` needs the default graph, which `with sess` would also set.
                yield sess
            ending = 'stopped' if process.is_stopping() else 'finished'
        except KeyboardInterrupt:
            ending = 'stopped'
            raise
        except CONNECTION_ERRORS as error:
            if self.task.name in self.task.ps_tasks:
                raise
            raise UserError(
                f'{", ".join(self.task.ps_tasks)}: the connection is lost, and with it the variables; start that task '
                'again, then run this command again to continue from the last checkpoint'
            ) from error
        finally:
            with contextlib.suppress(tf.errors.OpError):
                self._end(sess, [self.session_id, ENDINGS[ending]])
            cluster.call_with_timeout(sess.close)

    def _end(self, sess, wanted):
        """Announce the end to the workers, wait until they have acknowledged it, and then announce it to the job ps."""
        sess.run(self.want, {self.now: wanted})
        sess.run(self.acknowledge, {self.now: wanted})
        deadline = time.monotonic() + FAREWELL_SECONDS
        while self._missing(sess, wanted) and time.monotonic() < deadline:
            time.sleep(MIN_POLL_SECONDS)
        sess.run(self.endings, {self.now: wanted})

    def _missing(self, sess, wanted):
        """Return the names of the replicas that have not yet written `wanted`, the (session, step) of the chief."""
        arrived = (sess.run(self.all_arrived) == wanted).all(axis=1)
        return [task for task, has_arrived in zip(self.task.replicas, arrived) if not has_arrived]

    def aggregate(self, sess: tf.Session, step: int) -> bool:
        """Have all replicas compute batch `step`, and wait for them; called by the chief.

        Returns:
            True if all have; False if the training was asked to stop while the process waited for a missing replica.
        """
        wanted = [self.session_id, step]
        sess.run(self.want, {self.now: wanted})
        waiting = self._compute(sess, wanted)
        while missing := self._missing(sess, wanted):
            if waiting.has_reported and process.is_stopping():
                return False
            waiting(', '.join(map(self.task.describe_task, missing)))
        return True

    def _compute(self, sess, wanted):
        """Compute and write this replica's part; return a `PollPause` that is a share of the time this took."""
        start_time = time.monotonic()
        sess.run(self.contribute, {self.now: wanted})
        return cluster.PollPause(np.clip(POLL_SHARE * (time.monotonic() - start_time),
                                       MIN_POLL_SECONDS, MAX_POLL_SECONDS))

    def worker_loop(self, graph: tf.Graph, config: tf.ConfigProto, initializer: tf.Operation, first: tf.Tensor) -> str:
        """Compute the batches that the chief requests until it ends, also across its restarts; called by a worker.

        Args:
            graph: graph of the training.
            config: configuration of the sessions.
            initializer: op that starts the input at the batch whose number is fed to `first`.
            first: placeholder, int64.

        Returns:
            How the chief ended, a key of ENDINGS.

        Raises:
            UserError: a task that holds variables does not answer at the start, or the chief has other settings.
        """
        self.task.wait(self.task.ps_tasks, cluster.ANSWER_SECONDS)
        while True:
            sess = self.task.session(graph, config)
            try:
                return self._serve_session(sess, lambda step: sess.run(initializer, {first: step}))
            except CONNECTION_ERRORS:
                pass
            finally:
                cluster.call_with_timeout(sess.close)
            time.sleep(MAX_POLL_SECONDS)
            self.task.wait(self.task.ps_tasks)

    def _serve_session(self, sess, start_input):
        """Compute the batches that the chief requests until the chief ends; return how it ended, a key of ENDINGS.

        Args:
            sess: a session of this worker, which a connection error ends.
            start_input: function that starts the input at a batch, by its number.
        """
        session, next_step, waiting = 0, None, cluster.PollPause(MAX_POLL_SECONDS)
        options = tf.RunOptions(timeout_in_ms=TIMEOUT_MS)
        while True:
            wanted = np.zeros(2)
            # The variables are not initialized yet if the chief is just starting.
            with contextlib.suppress(tf.errors.FailedPreconditionError):
                wanted, arrived = sess.run([self.wanted, self.arrived], options=options)
            wanted_session, step = wanted
            if not wanted_session or (arrived == wanted).all():
                waiting(f'the chief, {self.task.describe_task(self.task.replicas[0])}')
                continue
            if wanted_session != session:
                self._check_settings(json.loads(sess.run(self.fingerprint)))
                session, next_step = wanted_session, None
            if step < 0:
                sess.run(self.acknowledge, {self.now: wanted})
                return next(name for name, code in ENDINGS.items() if code == step)
            if step != next_step:
                start_input(step)
            waiting, next_step = self._compute(sess, wanted), step + 1

    def _check_settings(self, chief_settings):
        """Raise `UserError` if the chief has other settings than this task."""
        if diff := runs.settings_diff(self.known, chief_settings, self.defaults):
            raise UserError(f'{self.task.name} has other settings than the chief: {", ".join(diff)}')


def _variable(name, shape, dtype):
    """Create an exchanged variable, which begins with zeros, is not trained and is in no checkpoint."""
    return tf.get_variable(name, shape, dtype, initializer=tf.zeros_initializer(), trainable=False,
                           collections=[SLOT_COLLECTION])


def _ending_variable(task, host):
    """Create the variable on `host`, a ps, that tells it how the chief ended, a value of ENDINGS; 0 before that."""
    # The scope object makes the name independent of the current scope, so that chief and ps use the same name.
    with tf.variable_scope(tf.VariableScope(None, 'ending')), tf.device(task.device(host)):
        return tf.get_variable(host.replace(':', '_'), [], tf.int64, initializer=tf.zeros_initializer(),
                               trainable=False, collections=['endings'])


def serve_ps(task: cluster.Task) -> str:
    """Hold variables, as a ps task, until the chief ends; return how it ended, a key of ENDINGS.

    This replaces the server's own `join`, which does not react to Ctrl-C.
    """
    with tf.Graph().as_default() as graph:
        ending = _ending_variable(task, task.name)
        initializer = ending.initializer
    with task.session(graph, tf.ConfigProto()) as sess:
        sess.run(initializer)
        while not (code := sess.run(ending)):
            time.sleep(MAX_POLL_SECONDS)
    return next(name for name, ending_code in ENDINGS.items() if ending_code == code)
