"""The replicas of a training on several machines: each computes its part of every batch, the chief takes the steps."""

import contextlib
import json
import secrets
import time

import numpy as np

from common import process
from common.errors import UserError
from common.tf1 import tf
from engine.run import runs
from fast.training import cluster

SLOT_COLLECTION = 'slots'  # the collection of what is exchanged: no checkpoint has it
ENDINGS = {'finished': -1, 'stopped': -2, 'failed': -3}
EXIT_STATUS = {'finished': 0, 'stopped': 130, 'failed': 2}  # of who takes part
FAREWELL_SECONDS = 10  # seconds in which the workers have to hear that the chief ends
POLL_SHARE = 1 / 50  # share of a step's time between two looks
MIN_POLL_SECONDS, MAX_POLL_SECONDS = 2e-3, 0.1  # seconds between them
TIMEOUT_MS = 30_000  # milliseconds after which a host that says nothing is given up
# what the death of another process raises
CONNECTION_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.NotFoundError,
    tf.errors.FailedPreconditionError,
    tf.errors.DeadlineExceededError,
)


class GradientExchange:
    """What the replicas tell each other, in variables on the first host.

    The chief says which batch is wanted, as (session, step); each replica puts its gradient, its losses and then the
    same two numbers into its own slots; when all have, the chief takes the step with the means. A session is one life
    of the chief. `tf.train.SyncReplicasOptimizer` takes any n gradients of a step for its mean, two of a fast worker
    and none of a slow one too, and a worker that is killed may leave one or a token behind or take it along; here what
    is computed twice is written twice, into one place, and nothing blocks where Python hears no Ctrl-C.
    """

    def __init__(self, task, run, gradient, losses):
        """gradient, losses: of this replica's part, a tensor [P], and name -> tensor."""
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
            self.gradient, means = (tf.add_n(of_all) / len(of_all) for of_all in slots[:2])
            self.losses = dict(zip(losses, tf.unstack(means)))
        own_gradient, own_losses, self.arrived = (of_all[task.replica_index] for of_all in slots)
        with tf.control_dependencies([own_gradient.assign(gradient, read_value=False),
                                      own_losses.assign(tf.stack(list(losses.values())), read_value=False)]):
            self.contribute = self.arrived.assign(self.now, read_value=False)
        self.acknowledge = self.arrived.assign(self.now, read_value=False)
        self.endings = [_ending(task, host).assign(self.now[1], read_value=False)
                        for host in task.ps_tasks if host not in task.replicas]

    @contextlib.contextmanager
    def session(self, graph, config):
        """The chief's session, once all answer; at its end everybody is told how it was.

        Raises `UserError` for a task that does not answer, or a host that dies.
        """
        self.task.wait(self.task.addresses, cluster.ANSWER_SECONDS)
        sess, ending = self.task.session(graph, config), 'failed'
        process.StopSignal.latest = None
        try:
            sess.run(self.init_slots)
            sess.run(self.tell, {self.text: json.dumps(self.known)})
            self.session_id = 1 + secrets.randbelow(2**62)
            with graph.as_default():  # as in a session's own `with`: a `Saver` looks at it
                yield sess
            ending = 'stopped' if process.is_stopping() else 'finished'
        except KeyboardInterrupt:
            ending = 'stopped'
            raise
        except CONNECTION_ERRORS as error:
            if self.task.name in self.task.ps_tasks:
                raise
            raise UserError(
                f'{", ".join(self.task.ps_tasks)}: gone, and the variables with it; start it and this again, '
                'which goes on from the last checkpoint'
            ) from error
        finally:
            with contextlib.suppress(tf.errors.OpError):
                self._end(sess, [self.session_id, ENDINGS[ending]])
            cluster.in_background(sess.close)

    def _end(self, sess, wanted):
        sess.run(self.want, {self.now: wanted})
        sess.run(self.acknowledge, {self.now: wanted})
        until = time.monotonic() + FAREWELL_SECONDS
        while self._missing(sess, wanted) and time.monotonic() < until:
            time.sleep(MIN_POLL_SECONDS)
        sess.run(self.endings, {self.now: wanted})

    def _missing(self, sess, wanted):
        """The replicas that have not done what is wanted."""
        arrived = (sess.run(self.all_arrived) == wanted).all(axis=1)
        return [task for task, there in zip(self.task.replicas, arrived) if not there]

    def aggregate(self, sess, step):
        """Have batch `step` computed; return whether it was, and not Ctrl-C pressed while a replica is missing."""
        wanted = [self.session_id, step]
        sess.run(self.want, {self.now: wanted})
        waiting = self._compute(sess, wanted)
        while missing := self._missing(sess, wanted):
            if waiting.has_told and process.is_stopping():
                return False
            waiting(', '.join(map(self.task.address_text, missing)))
        return True

    def _compute(self, sess, wanted):
        """Do this replica's part; return a `Waiting` in keeping with the time that it took."""
        begun = time.monotonic()
        sess.run(self.contribute, {self.now: wanted})
        return cluster.Waiting(np.clip(POLL_SHARE * (time.monotonic() - begun), MIN_POLL_SECONDS, MAX_POLL_SECONDS))

    def worker_loop(self, graph, config, initializer, first):
        """Compute what the chief wants, in this life and in later ones; return how it ended.

        initializer: op that begins with the batch of the number that is fed to `first`
        Raises `UserError` for a host that does not answer at first, and for other settings than the chief's.
        """
        self.task.wait(self.task.ps_tasks, cluster.ANSWER_SECONDS)
        while True:
            sess = self.task.session(graph, config)
            try:
                return self._serve_session(sess, lambda step: sess.run(initializer, {first: step}))
            except CONNECTION_ERRORS:
                pass
            finally:
                cluster.in_background(sess.close)
            time.sleep(MAX_POLL_SECONDS)
            self.task.wait(self.task.ps_tasks)

    def _serve_session(self, sess, begin_with):
        session, following, waiting = 0, None, cluster.Waiting(MAX_POLL_SECONDS)
        options = tf.RunOptions(timeout_in_ms=TIMEOUT_MS)
        while True:
            wanted = np.zeros(2)
            with contextlib.suppress(tf.errors.FailedPreconditionError):  # a chief that is just beginning
                wanted, arrived = sess.run([self.wanted, self.arrived], options=options)
            number, step = wanted
            if not number or (arrived == wanted).all():
                waiting(f'the chief, {self.task.address_text(self.task.replicas[0])}')
                continue
            if number != session:
                self._check(json.loads(sess.run(self.fingerprint)))
                session, following = number, None
            if step < 0:
                sess.run(self.acknowledge, {self.now: wanted})
                return next(name for name, code in ENDINGS.items() if code == step)
            if step != following:
                begin_with(step)
            waiting, following = self._compute(sess, wanted), step + 1

    def _check(self, of_chief):
        if differ := runs.settings_diff(self.known, of_chief, self.defaults):
            raise UserError(f'{self.task.name} has other settings than the chief: {", ".join(differ)}')


def _variable(name, shape, dtype):
    return tf.get_variable(name, shape, dtype, initializer=tf.zeros_initializer(), trainable=False,
                           collections=[SLOT_COLLECTION])


def _ending(task, host):
    """The variable, on a ps, that tells it of the end."""
    with tf.variable_scope(tf.VariableScope(None, 'ending')), tf.device(task.device(host)):  # wherever it is asked for
        return tf.get_variable(host.replace(':', '_'), [], tf.int64, initializer=tf.zeros_initializer(),
                               trainable=False, collections=['endings'])


def serve_ps(task):
    """As a ps: hold variables until the chief ends; return how it did. In place of the server's join, which is deaf."""
    with tf.Graph().as_default() as graph:
        ending = _ending(task, task.name)
        initializer = ending.initializer
    with task.session(graph, tf.ConfigProto()) as sess:
        sess.run(initializer)
        while not (code := sess.run(ending)):
            time.sleep(MAX_POLL_SECONDS)
    return next(name for name, of_name in ENDINGS.items() if of_name == code)
