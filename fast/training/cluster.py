"""The machines of a training: the tasks that a file or TF_CONFIG lists, this process's own, TensorFlow's server."""

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
from pathlib import Path

from common import errors
from common.errors import UserError
from common.tf1 import tf

JOBS = 'chief', 'worker', 'ps'
ANSWER_SECONDS = 45  # seconds in which the others have to answer a process that has not taken part yet
QUIET_SECONDS = 10  # seconds of waiting after which it is said what for
PROBE_SECONDS = 2  # seconds in which a server says what it is
HTTP2_SETTINGS_FRAME = 4  # HTTP/2's first frame
SO_ATTACH_FILTER, SKF_NET_OFF = 26, 2**32 - 0x100000  # Linux's SO_ATTACH_FILTER and SKF_NET_OFF


class Task:
    """This process's place in a cluster; a task is named as in 'worker:1'.

    addresses: task -> 'host:port'; name: this one
    replicas: the tasks that compute, the chief first; number: this one's place among them, None for a ps
    hosts: the tasks that hold the variables: the job ps, or without one the chief
    """

    def __init__(self, jobs, name, source):
        """jobs: name -> addresses; source: where that was read. Raises `UserError` for what is no cluster."""
        self.spec, self.name = tf.train.ClusterSpec(jobs), name
        self.addresses = {f'{job}:{i}': address for job, listed in jobs.items() for i, address in enumerate(listed)}
        if name not in self.addresses:
            raise UserError(f'{source}: no task {name} there; it has {", ".join(self.addresses)}')
        tasks = {job: [task for task in self.addresses if task.startswith(f'{job}:')] for job in JOBS}
        self.replicas = tasks['chief'] + tasks['worker']
        self.ps_tasks = tasks['ps'] or self.replicas[:1]
        self.replica_index = self.replicas.index(name) if name in self.replicas else None

    @property
    def is_chief(self):
        """Whether it is the chief."""
        return self.replica_index == 0

    def address_text(self, task):
        """A task and its address, in words."""
        return f'{task} at {self.addresses[task]}'

    def device(self, task):
        """The name of a task's processor."""
        return '/job:{}/task:{}/device:CPU:0'.format(*task.split(':'))

    def placement(self):
        """What `tf.device` takes: variables are put on their hosts, all else on this task."""
        job, index = self.name.split(':')
        return tf.train.replica_device_setter(len(self.ps_tasks), f'/job:{self.ps_tasks[0].split(":")[0]}/device:CPU:0',
                                              f'/job:{job}/task:{index}')

    def session(self, graph, config):
        """A session on this process's server, which sees no tasks but this one and the hosts: others may die."""
        own = tf.ConfigProto()
        own.CopyFrom(config)
        # OFF: in bfloat16 its fused convolutions have no kernel in a session of a cluster
        own.graph_options.rewrite_options.remapping = 2
        own.device_filters.extend(map(_filter, {self.name, *self.ps_tasks}))
        return tf.Session(self.server.target, graph, own)

    def start(self, config):
        """Start the server. Raises `UserError` where this machine does not have the address or the port is taken."""
        host, port = _split(self.addresses[self.name])
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            raise UserError(f'{self.name}: its address {host}:{port} is not to be had on this machine '
                            f'({error.strerror})') from error
        if address[0].startswith('127.') and not all(_split(other)[0] in (host, 'localhost') or
                                                     other.startswith('127.') for other in self.addresses.values()):
            raise UserError(f'{self.name}: {host} is {address[0]} on this machine, where no other one reaches it; '
                            'give the address in place of the name')
        job, index = self.name.split(':')
        self.server = tf.train.Server(self.spec, job, int(index), config=config)
        _listen_only_on(port, address[0])
        atexit.register(_exit_process)

    def wait(self, tasks, seconds=None):
        """Return when all `tasks` but this one answer. Raises `UserError` if that takes longer than `seconds`."""
        waiting, started = Waiting(0.2), time.monotonic()
        for task in tasks:
            while task != self.name and not is_answering(self.addresses[task]):
                if seconds and time.monotonic() - started > seconds:
                    raise UserError(f'{self.name}: {self.address_text(task)} does not answer; '
                                    'is it started, and is that its address?')
                waiting(self.address_text(task))


class Waiting:
    """Called between two looks at what is awaited: sleeps, and says once what for."""

    def __init__(self, pause):
        self.pause, self.since, self.has_told = pause, time.monotonic(), False

    def __call__(self, what):
        if not self.has_told and time.monotonic() - self.since > QUIET_SECONDS:
            print(f'waiting for {what}', flush=True)
            self.has_told = True
        time.sleep(self.pause)


def read(path, task):
    """The `Task` that --cluster and --task name, or TF_CONFIG where neither is given; None without any of them.

    Raises `UserError` for what is no cluster.
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
        raise UserError('--cluster and --task: one needs the other')
    return Task(
        _check_jobs(_parse_json(Path(path).read_text(encoding='utf-8', errors='replace'), path), path), task, path
    )


def _parse_json(text, source):
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise UserError(f'{source}: no JSON ({error})') from error
    if not isinstance(parsed, dict):
        raise UserError(f'{source}: must be an object')
    return parsed


def _check_jobs(jobs, source):
    """The jobs of a cluster, if they are one. Raises `UserError`."""
    if not isinstance(jobs, dict) or not all(isinstance(listed, list) and listed for listed in jobs.values()):
        raise UserError(f'{source}: must give each job a list of addresses, as in {{"worker": ["10.0.0.1:2222"]}}')
    if unknown := jobs.keys() - set(JOBS):
        raise UserError(f'{source}: {", ".join(sorted(unknown))}: no such job; there are {", ".join(JOBS)}')
    if len(jobs.get('chief', ())) > 1 or not ('chief' in jobs or 'worker' in jobs):
        raise UserError(f'{source}: one chief leads, or where there is none worker:0')
    addresses = [address for listed in jobs.values() for address in listed]
    for address in addresses:
        host, _, port = address.rpartition(':') if isinstance(address, str) else ('', '', '')
        if not (host and port.isdecimal() and 0 < int(port) < 2**16):
            raise UserError(f'{source}: {address!r}: must be a host and a port, as in "10.0.0.1:2222"')
        if addresses.count(address) > 1:
            raise UserError(f'{source}: {address} is there twice')
    return jobs


def in_background(call):
    """Call what lasts until a host that is dead lives again, and wait for it a little while."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)


def _exit_process():
    """End the process at once: a server cannot be stopped, and its threads would call into a Python that has ended."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(errors.exit_status)


def _filter(task):
    return '/job:{}/task:{}'.format(*task.split(':'))


def _split(address):
    host, _, port = address.rpartition(':')
    return host.strip('[]'), int(port)


def is_answering(address):
    """Whether a gRPC server is there and alive, which says so in HTTP/2; a session would wait for it for ever."""
    with contextlib.suppress(OSError), socket.create_connection(_split(address), PROBE_SECONDS) as connection:
        connection.settimeout(PROBE_SECONDS)
        return connection.recv(9)[3:4] == bytes([HTTP2_SETTINGS_FRAME])
    return False


def _listen_only_on(port, address):
    """Let the server's socket get nothing but what is sent to `address`: TensorFlow binds to all that a machine has.

    By a filter on the socket, which Linux alone has.
    """
    if not Path('/proc/self/fd').exists():
        return
    version, offset, packed = ((6, 24, socket.inet_pton(socket.AF_INET6, address)) if ':' in address
                               else (4, 16, socket.inet_aton(address)))
    # each a code, what it compares with, and whether it goes on to the refusal where that differs
    program = [(0x30, SKF_NET_OFF, False), (0x74, 4, False), (0x15, version, True)]  # the first byte's upper half
    for i, (word,) in enumerate(struct.iter_unpack('!I', packed)):
        program += [(0x20, SKF_NET_OFF + offset + 4 * i, False), (0x15, word, True)]
    program += [(0x06, 2**32 - 1, False), (0x06, 0, False)]  # let it through; refuse it
    code = b''.join(struct.pack('HBBI', code, 0, differs * (len(program) - 2 - i), k)
                    for i, (code, k, differs) in enumerate(program))
    held = ctypes.create_string_buffer(code)
    for number in os.listdir('/proc/self/fd'):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(number))) as found:
            if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and found.getsockname()[1] == port:
                found.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                                 struct.pack('HP', len(program), ctypes.addressof(held)))
