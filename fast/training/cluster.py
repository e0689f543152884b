"""Cluster of machines for a training: its tasks, as a file or TF_CONFIG lists them, and this process's own server.

A cluster is a dict from jobs to lists of addresses, {"worker": ["10.0.0.1:2222", ...]}, as for `tf.train.ClusterSpec`.
The jobs `chief` and `worker` compute, the job `ps` holds the variables. Without a chief, worker:0 is the chief; without
a ps, the chief holds the variables. `fast.training.replicas` has what the tasks exchange.
"""

import atexit
import contextlib
import ctypes
import json
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from common import errors
from common.errors import UserError
from common.tf1 import tf

JOBS = 'chief', 'worker', 'ps'
ANSWER_SECONDS = 45  # time within which the other tasks must answer a process that has not taken part yet
QUIET_SECONDS = 10  # waiting time after which a message says what the process waits for
PROBE_SECONDS = 2  # time within which another server must answer
HTTP2_SETTINGS_FRAME = 4  # type of the first frame that an HTTP/2 server sends
SO_ATTACH_FILTER, SKF_NET_OFF = 26, 2**32 - 0x100000  # from Linux's asm-generic/socket.h and linux/filter.h


class Task:
    """This process's task in a cluster; a task is named by its job and its index, for example 'worker:1'.

    Attributes:
        spec: the `tf.train.ClusterSpec`.
        name: name of this task.
        addresses: name of each task -> 'host:port'.
        replicas: names of the tasks that compute, the chief first.
        replica_index: index of this task in `replicas`; None for a ps.
        ps_tasks: names of the tasks that hold the variables: the job ps, or the chief if there is none.
        server: the TensorFlow server, once `start` was called.
    """

    def __init__(self, jobs: dict[str, list[str]], name: str, source: str | Path):
        """Describe the task.

        Args:
            jobs: name of each job -> its addresses.
            name: name of this task.
            source: where `jobs` was read, for error messages.

        Raises:
            UserError: the cluster has no such task.
        """
        self.spec, self.name = tf.train.ClusterSpec(jobs), name
        self.addresses = {f'{job}:{i}': address for job, listed in jobs.items() for i, address in enumerate(listed)}
        if name not in self.addresses:
            raise UserError(f'{source}: the cluster has no task {name}; its tasks are {", ".join(self.addresses)}')
        tasks = {job: [task for task in self.addresses if task.startswith(f'{job}:')] for job in JOBS}
        self.replicas = tasks['chief'] + tasks['worker']
        self.ps_tasks = tasks['ps'] or self.replicas[:1]
        self.replica_index = self.replicas.index(name) if name in self.replicas else None

    @property
    def is_chief(self) -> bool:
        """Whether this task is the chief, which keeps the run."""
        return self.replica_index == 0

    def describe_task(self, task: str) -> str:
        """Return a task with its address, for messages: 'worker:1 at 10.0.0.2:2222'."""
        return f'{task} at {self.addresses[task]}'

    def device(self, task: str) -> str:
        """Return TensorFlow's name of the CPU of a task."""
        return '/job:{}/task:{}/device:CPU:0'.format(*task.split(':'))

    def placement(self) -> Callable[[tf.Operation], str]:
        """Return a function for `tf.device` that puts variables on `ps_tasks` and everything else on this task."""
        job, index = self.name.split(':')
        return tf.train.replica_device_setter(len(self.ps_tasks), f'/job:{self.ps_tasks[0].split(":")[0]}/device:CPU:0',
                                              f'/job:{job}/task:{index}')

    def session(self, graph: tf.Graph, config: tf.ConfigProto) -> tf.Session:
        """Open a session on this process's server that sees only this task and those that hold the variables.

        It therefore survives the death of any other task.
        """
        own = tf.ConfigProto()
        own.CopyFrom(config)
        # 2 is OFF. Remapping fuses convolutions, and in bfloat16 these have no kernel in a session of a cluster.
        own.graph_options.rewrite_options.remapping = 2
        own.device_filters.extend(map(_device_filter, {self.name, *self.ps_tasks}))
        return tf.Session(self.server.target, graph, own)

    def start(self, config: tf.ConfigProto) -> None:
        """Start this task's TensorFlow server.

        Raises:
            UserError: this machine does not have the address, its port is taken, or it is an address that the other
                machines cannot reach.
        """
        host, port = _split(self.addresses[self.name])
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            raise UserError(f'{self.name}: its address {host}:{port} cannot be used on this machine '
                            f'({error.strerror}); give an address of this machine and a free port') from error
        if address[0].startswith('127.') and not all(_split(other)[0] in (host, 'localhost') or
                                                     other.startswith('127.') for other in self.addresses.values()):
            raise UserError(f'{self.name}: {host} is {address[0]} on this machine, which other machines cannot reach; '
                            'give an address that they can reach')
        job, index = self.name.split(':')
        self.server = tf.train.Server(self.spec, job, int(index), config=config)
        _listen_only_on(port, address[0])
        atexit.register(_exit_process)

    def wait(self, tasks: Iterable[str], seconds: float | None = None) -> None:
        """Wait until all of `tasks` except this one answer.

        Args:
            tasks: names of tasks.
            seconds: longest time to wait; None for no limit.

        Raises:
            UserError: a task does not answer in time.
        """
        waiting, started = PollPause(0.2), time.monotonic()
        for task in tasks:
            while task != self.name and not is_answering(self.addresses[task]):
                if seconds and time.monotonic() - started > seconds:
                    raise UserError(f'{self.name}: {self.describe_task(task)} does not answer; '
                                    'check that it is running and that this is its address')
                waiting(self.describe_task(task))


class PollPause:
    """Pause between two checks of something awaited; after QUIET_SECONDS, it prints once what the process waits for.

    Attributes:
        pause: seconds that each call sleeps.
        since: time of the construction, on the monotonic clock.
        has_reported: whether the message was printed.
    """

    def __init__(self, pause: float):
        self.pause, self.since, self.has_reported = pause, time.monotonic(), False

    def __call__(self, what: str) -> None:
        """Sleep; if the message is due, print first that the process waits for `what`."""
        if not self.has_reported and time.monotonic() - self.since > QUIET_SECONDS:
            print(f'waiting for {what}', flush=True)
            self.has_reported = True
        time.sleep(self.pause)


def read(path: Path | None, task: str | None) -> Task | None:
    """Read the cluster and this process's task from the flags, or from TF_CONFIG if neither flag is given.

    Args:
        path: value of --cluster, a JSON file with the jobs.
        task: value of --task, the name of this task.

    Returns:
        The task, or None if there is no cluster.

    Raises:
        UserError: the flags, the file or TF_CONFIG do not describe a cluster with this task.
        OSError: the file cannot be read.
    """
    if not (path or task):
        config = _parse_json(os.environ.get('TF_CONFIG') or '{}', 'TF_CONFIG')
        if 'cluster' not in config:
            return None
        own = config.get('task')
        if not isinstance(own, dict) or not {'type', 'index'} <= own.keys():
            raise UserError('TF_CONFIG: its task needs a type and an index')
        return Task(_check_jobs(config['cluster'], 'TF_CONFIG'), f'{own["type"]}:{own["index"]}', 'TF_CONFIG')
    if not (path and task):
        raise UserError('--cluster and --task: give both flags or neither')
    return Task(
        _check_jobs(_parse_json(Path(path).read_text(encoding='utf-8', errors='replace'), path), path), task, path
    )


def _parse_json(text, source):
    """Return the JSON object in a text; raise `UserError`, with its source, if there is none."""
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise UserError(f'{source}: not valid JSON ({error})') from error
    if not isinstance(parsed, dict):
        raise UserError(f'{source}: must be a JSON object')
    return parsed


def _check_jobs(jobs, source):
    """Return `jobs`, name -> addresses; raise `UserError`, with their source, if they do not make a cluster."""
    if not isinstance(jobs, dict) or not all(isinstance(listed, list) and listed for listed in jobs.values()):
        raise UserError(f'{source}: must give each job a list of addresses, as in {{"worker": ["10.0.0.1:2222"]}}')
    if unknown := jobs.keys() - set(JOBS):
        raise UserError(f'{source}: unknown job {", ".join(sorted(unknown))}; the jobs are {", ".join(JOBS)}')
    if len(jobs.get('chief', ())) > 1 or not ('chief' in jobs or 'worker' in jobs):
        raise UserError(f'{source}: needs exactly one chief, or workers without a chief (then worker:0 is the chief)')
    addresses = [address for listed in jobs.values() for address in listed]
    for address in addresses:
        host, _, port = address.rpartition(':') if isinstance(address, str) else ('', '', '')
        if not (host and port.isdecimal() and 0 < int(port) < 2**16):
            raise UserError(f'{source}: {address!r}: must be a host and a port, as in "10.0.0.1:2222"')
        if addresses.count(address) > 1:
            raise UserError(f'{source}: {address} is listed twice; each task needs an address of its own')
    return jobs


def call_with_timeout(call: Callable[[], object]) -> None:
    """Call a function in a daemon thread, and wait for its end for at most PROBE_SECONDS.

    Use it for calls that block while a task that holds variables is dead, such as `tf.Session.close`.
    """
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)


def _exit_process():
    """End the process at once: a server cannot be stopped, and its threads would call into a Python that has ended."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(errors.exit_status)


def _device_filter(task):
    """Return the device filter of a session that lets it see a task."""
    return '/job:{}/task:{}'.format(*task.split(':'))


def _split(address):
    """Split 'host:port' into the host, without the brackets of an IPv6 address, and the port as an int."""
    host, _, port = address.rpartition(':')
    return host.strip('[]'), int(port)


def is_answering(address: str) -> bool:
    """Return whether a living gRPC server listens at 'host:port'.

    Such a server begins with an HTTP/2 settings frame. A session would wait for a missing server forever.
    """
    with contextlib.suppress(OSError), socket.create_connection(_split(address), PROBE_SECONDS) as connection:
        connection.settimeout(PROBE_SECONDS)
        return connection.recv(9)[3:4] == bytes([HTTP2_SETTINGS_FRAME])
    return False


def _listen_only_on(port, address):
    """Drop what is sent to the server's port at any other address of this machine, on Linux only.

    TensorFlow binds the port on all addresses of a machine. A packet filter (classic BPF) on the listening socket
    compares the destination address of each packet; other systems have no such filter.
    """
    if not Path('/proc/self/fd').exists():
        return
    version, offset, packed = ((6, 24, socket.inet_pton(socket.AF_INET6, address)) if ':' in address
                               else (4, 16, socket.inet_aton(address)))
    # Each instruction is an opcode, its operand, and whether it jumps to the final rejection if the two differ. The
    # first three load the first byte of the packet and compare its upper half, the version of IP.
    program = [(0x30, SKF_NET_OFF, False), (0x74, 4, False), (0x15, version, True)]
    for i, (word,) in enumerate(struct.iter_unpack('!I', packed)):
        program += [(0x20, SKF_NET_OFF + offset + 4 * i, False), (0x15, word, True)]
    program += [(0x06, 2**32 - 1, False), (0x06, 0, False)]  # accept the packet; reject it
    bytecode = b''.join(struct.pack('HBBI', opcode, 0, can_reject * (len(program) - 2 - i), operand)
                        for i, (opcode, operand, can_reject) in enumerate(program))
    buffer = ctypes.create_string_buffer(bytecode)
    for descriptor in os.listdir('/proc/self/fd'):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(descriptor))) as listener:
            if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and listener.getsockname()[1] == port:
                listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                                    struct.pack('HP', len(program), ctypes.addressof(buffer)))
