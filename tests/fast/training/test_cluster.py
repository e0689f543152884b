"""Test training on several machines with processes on this one.

Processes are killed and started again; invalid clusters are refused; losses are compared with those of one process.
"""

import contextlib
import dataclasses
import json
import math
import signal
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import recipes
from common.errors import UserError
from common.tf1 import tf
from engine.run import runs
from fast.data.crops import CropDataset
from fast.networks import multi_style as multi_style_network
from fast.training import cluster, network_training
from fast.training import multi_style as multi_style_training
from fast.training.network_training import SHIFT_PX
from fast_style_transfer import main
from tests.factories import block_photos

# The command for a small network. It trains slowly, so that the tests can interrupt it, and saves every five steps.
PROGRAM = '''
import dataclasses, math, time
import recipes
from engine.run import session
from fast.commands import train
from fast.networks import multi_style as network
from fast.training import cluster, multi_style, replicas
session_config = session.session_config
def plain(*given):
    config = session_config(*given)
    config.graph_options.rewrite_options.disable_meta_optimizer = True  # as the fixture unoptimized_graphs
    return config
session.session_config = plain
network.RESIDUAL_BLOCKS = 1
cluster.QUIET_SECONDS, replicas.FAREWELL_SECONDS, replicas.MIN_POLL_SECONDS = 1, 2, 0.02
multi_style.MultiStyleTraining.checkpoint_every = 5
train.RECIPE_CHOICES = {'fast': dataclasses.replace(
    recipes.FAST, style_weight=0.1, log_schedule=((math.inf, 100),), content_layers=('conv1_2',),
    style_layers=('conv1_1',),
    style_layer_weights=(1.,))}
aggregate = replicas.GradientExchange.aggregate
replicas.GradientExchange.aggregate = lambda *given: (time.sleep(0.05), aggregate(*given))[1]
import fast_style_transfer
sys.exit(fast_style_transfer.main(sys.argv[1:]))
'''
RECIPE = dataclasses.replace(
    recipes.FAST,
    style_weight=0.1,
    log_schedule=((math.inf, 100),),
    content_layers=('conv1_2',),
    style_layers=('conv1_1',),
    style_layer_weights=(1.0,),
)
SIDE, BATCH, STEPS = 32, 4, 20


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """A folder with six photos of colored blocks."""
    return block_photos(tmp_path_factory.mktemp('photos'), 6)


@pytest.fixture(scope='module')
def build_training(photos, images, tiny_vgg, unoptimized_graphs):
    """Function that builds the training of PROGRAM in this process, without a cluster unless `task` is set."""
    def build(name, **options):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(multi_style_network, 'RESIDUAL_BLOCKS', 1)
            machine = multi_style_training.MultiStyleTraining(
                CropDataset([photos], SIDE + 2 * SHIFT_PX, 0), BATCH, images[:1], images, 4,
                consistency_weight=20., recipe=RECIPE, vgg=tiny_vgg, precision='float32', threads=1, name=name,
                **options)
            machine.config.device_count['CPU'] = 2
            machine.build()
        return machine
    return build


@pytest.fixture(scope='module')
def single_process_losses(build_training, tmp_path_factory):
    """The losses of the first 8 steps of one process, and those of the displayed pictures at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp('alone'))
        build_training('alone').train(8, write_results=False)
        return losses('alone')


def ports(n):
    """Return `n` free ports."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for free_socket in sockets:
            free_socket.bind(('127.0.0.1', 0))
        return [free_socket.getsockname()[1] for free_socket in sockets]


def flags(photos, images, tiny_vgg):
    """Return the arguments of the command."""
    return ['train', '--style', *map(str, images), '--images', str(photos),
            '--held-out', str(images[0]), '--vgg', str(tiny_vgg), '--side', str(SIDE), '--batch', str(BATCH),
            '--base', '4', '--precision', 'float32', '--threads', '1', '--iterations', str(STEPS), '--name', 'r']


class Processes:
    """The tasks of a cluster, each a process that prints to the file <task>.txt."""

    def __init__(self, server, jobs, command):
        self.server, self.command, self.running = server, command, {}
        Path('cluster.json').write_text(json.dumps({job: [f'127.0.0.1:{port}' for port in job_ports]
                                                    for job, job_ports in jobs.items()}))

    def start(self, task, *options, cwd='.', environment=None):
        """Start a task; options: more arguments; environment: variables that name the task instead of flags."""
        task_flags = [] if environment else ['--cluster', Path('cluster.json').resolve(), '--task', task]
        self.running[task] = self.server.start([*self.command, *task_flags, *options], f'{task}.txt', folder=cwd,
                                               environment=environment, program=PROGRAM)

    def kill(self, task, signal_number=signal.SIGKILL):
        """Send a signal to a task and return its exit status."""
        self.running[task].send_signal(signal_number)
        return self.running[task].wait()

    def output(self, task):
        """Return what a task has printed."""
        return Path(f'{task}.txt').read_text()

    def wait(self, condition):
        """Wait until a condition is true; fail after 90 seconds."""
        deadline = time.monotonic() + 90
        while not condition():
            assert time.monotonic() < deadline, {task: self.output(task)[-1500:] for task in self.running}
            time.sleep(0.05)


@pytest.fixture
def make_processes(server, photos, images, tiny_vgg, workdir):
    """Function that makes the `Processes` of a cluster from its jobs, job -> ports; all are killed at the end."""
    groups = []

    def make(**jobs):
        groups.append(Processes(server, jobs, flags(photos, images, tiny_vgg)))
        return groups[-1]
    yield make
    for process in [process for group in groups for process in group.running.values()]:
        process.kill()


def losses(name):
    """Return the loss table of a run, [steps + 1, 6]."""
    return np.loadtxt(f'checkpoints/{name}/losses.csv', delimiter=',', skiprows=1)


def test_killing_a_worker_or_the_chief_does_not_change_the_losses(make_processes, single_process_losses):
    """The losses are the same to the bit; the number of workers changes only the rounding."""
    processes = make_processes(worker=ports(2))
    processes.start('worker:0')
    processes.start('worker:1')
    processes.wait(Path('checkpoints/r/model-5.index').exists)
    assert processes.kill('worker:1') == -signal.SIGKILL
    processes.wait(lambda: 'waiting for worker:1 at 127.0.0.1:' in processes.output('worker:0'))
    processes.start('worker:1')
    processes.wait(Path('checkpoints/r/model-10.index').exists)
    assert processes.kill('worker:0') == -signal.SIGKILL
    processes.wait(lambda: 'waiting for worker:0 at 127.0.0.1:' in processes.output('worker:1'))
    processes.start('worker:0')
    assert processes.running['worker:0'].wait(90) == 0 and processes.running['worker:1'].wait(30) == 0
    assert 'r: resuming at iteration 1' in processes.output('worker:0')
    assert 'the chief has finished' in processes.output('worker:1')
    processes.start('worker:0', '--name', 'undisturbed')
    processes.start('worker:1')
    assert processes.running['worker:0'].wait(90) == 0
    assert losses('r').shape == (STEPS + 1, 6) and (losses('r') == losses('undisturbed')).all()
    first, second = (runs.Run(name, {}).load_variable(STEPS, 'network/conv1/weights/average')
                     for name in ('r', 'undisturbed'))
    assert (first == second).all()
    # Adam amplifies the differences in rounding, to 1 % after 30 steps; so compare only the first steps.
    np.testing.assert_allclose(losses('r')[:8], single_process_losses[:8], rtol=1e-5)
    assert not [name for name, _ in tf.train.list_variables('checkpoints/r') if 'exchange' in name]


def test_a_cluster_refuses_other_settings_and_ends_with_its_chief(make_processes, workdir):
    """Different settings are named, TF_CONFIG can name a task, and the chief alone writes files and ends all tasks."""
    ps_ports, chief_ports, worker_ports = ([port] for port in ports(3))
    processes = make_processes(ps=ps_ports, chief=chief_ports, worker=worker_ports)
    (workdir / 'elsewhere').mkdir()
    processes.start('ps:0', cwd='elsewhere')
    processes.start('chief:0')
    processes.start('worker:0', '--seed', '1', '--steadiness', '3')
    assert processes.running['worker:0'].wait(90) == 2
    assert processes.output('worker:0').splitlines()[-1] == (
        'error: worker:0 has other settings than the chief: seed (now 1, was 0), steadiness (now 3.0, was 20.0)')
    assert cluster.is_answering(f'127.0.0.1:{chief_ports[0]}')
    assert not cluster.is_answering(f'127.0.0.2:{chief_ports[0]}')
    wait_messages = processes.output('chief:0').count('waiting for worker:0')
    config = {'cluster': json.loads(Path('cluster.json').read_text()), 'task': {'type': 'worker', 'index': 0}}
    processes.start('worker:0', cwd='elsewhere', environment={'TF_CONFIG': json.dumps(config)})
    processes.wait(Path('checkpoints/r/model-5.index').exists)
    processes.kill('worker:0')
    processes.wait(lambda: processes.output('chief:0').count('waiting for worker:0') > wait_messages)
    assert processes.kill('chief:0', signal.SIGINT) == 130
    step = int(processes.output('chief:0').partition('stopped at iteration ')[2].partition(';')[0])
    assert step >= 5 and runs.Run('r', {}).latest_step() == step and len(losses('r')) == step + 1
    assert processes.running['ps:0'].wait(30) == 130 and 'ps:0: the chief has stopped' in processes.output('ps:0')
    assert not list(Path('elsewhere').iterdir())


def test_two_devices_give_the_losses_of_one(build_training, single_process_losses, workdir, monkeypatch):
    monkeypatch.setattr(network_training, 'devices', lambda crops: ['', '/cpu:1'])
    training = build_training('two')
    assert {op.device for op in training.graph.get_operations() if op.type == 'Conv2DBackpropInput'} == {
        '', '/device:CPU:1'}
    training.train(8, write_results=False)
    np.testing.assert_allclose(losses('two'), single_process_losses, rtol=1e-4)
    with training.open_session() as sess:
        training.initialize(sess)
        training.evaluate(sess)  # works in one tower without a batch, before there is an iterator


def test_the_parts_of_a_batch_add_up_to_the_batch(photos):
    collection = CropDataset([photos], SIDE, 0)

    def two_batches(part, parts):
        iterator = tf.data.make_initializable_iterator(collection.batches(6, tf.constant(1, tf.int64), part, parts))
        batch = iterator.get_next()
        with tf.Session() as sess:
            sess.run(iterator.initializer)
            return sess.run([batch, batch])[0], sess.run(batch)
    with tf.Graph().as_default():
        full_batches, thirds = two_batches(0, 1), [two_batches(part, 3) for part in range(3)]
    for i in range(2):
        assert (np.concatenate([third[i] for third in thirds]) == full_batches[i]).all()
    assert (full_batches[0] == [collection[index] for index in range(6, 12)]).all()


WORKERS = {'worker': ['127.0.0.1:2222', '127.0.0.1:2223']}


@pytest.mark.parametrize('content, task, message', [
    (None, 'worker:0', 'cluster.json: No such file'), ('{', 'worker:0', 'cluster.json: not valid JSON'),
    ('[]', 'worker:0', 'must be a JSON object'), ({'worker': 'a:1'}, 'worker:0', 'a list of addresses'),
    (WORKERS, 'worker:2', 'has no task worker:2; its tasks are worker:0, worker:1'),
    (WORKERS, None, 'give both flags or neither'),
    ({'boss': ['a:1']}, 'boss:0', 'unknown job boss; the jobs are chief'),
    ({'ps': ['a:1']}, 'ps:0', 'exactly one chief'),
    ({'chief': ['a:1', 'a:2']}, 'chief:0', 'exactly one chief'), ({'worker': ['a']}, 'worker:0', "'a': must be a host"),
    ({'worker': ['a:1', 'a:1']}, 'worker:0', 'a:1 is listed twice'),
    ({'worker': ['192.0.2.1:2222']}, 'worker:0', 'its address 192.0.2.1:2222 cannot be used on this machine')])
def test_an_invalid_cluster_is_refused_in_one_line(photos, images, tiny_vgg, workdir, capsys, content, task, message):
    if content:
        Path('cluster.json').write_text(content if isinstance(content, str) else json.dumps(content))
    cluster_flags = ['--cluster', 'cluster.json'] + ['--task', task] * bool(task)
    assert main([*flags(photos, images, tiny_vgg), *cluster_flags]) == 2
    err = capsys.readouterr().err
    assert message in err and err.startswith('error: ') and err.count('\n') == 1
    assert not Path('checkpoints').exists()


@pytest.mark.parametrize('text, message', [
    ('{', 'TF_CONFIG: not valid JSON'), (json.dumps({'cluster': WORKERS}), 'its task needs a type'),
    ('{"cluster": 3, "task": {"type": "worker", "index": 0}}', 'TF_CONFIG: must give each job')])
def test_a_malformed_tf_config_is_refused(monkeypatch, text, message):
    monkeypatch.setenv('TF_CONFIG', text)
    with pytest.raises(UserError, match=message):
        cluster.read(None, None)


def test_without_a_cluster_there_is_no_task(monkeypatch):
    for text in ('', '{}', '{"task": {"type": "worker", "index": 0}}'):
        monkeypatch.setenv('TF_CONFIG', text)
        assert cluster.read(None, None) is None


def task_of(jobs, name='worker:0'):
    """Return a task of a cluster with some jobs."""
    return cluster.Task(jobs, name, 'cluster.json')


def test_a_batch_that_the_tasks_cannot_share_is_refused(build_training):
    with pytest.raises(UserError, match='--batch 4: must be a multiple of the 3 tasks that share it'):
        build_training('r', task=task_of({'worker': ['a:1', 'a:2', 'a:3']}))


@pytest.mark.parametrize('banner', [None, b'', b'SSH-2.0-OpenSSH\r\n'])
def test_a_task_that_does_not_answer_is_named_within_seconds(monkeypatch, banner):
    """The cases are no server, a silent server, and a server of another protocol."""
    monkeypatch.setattr(cluster, 'PROBE_SECONDS', 0.2)
    with socket.socket() as other_server:
        other_server.bind(('127.0.0.1', 0))
        port = other_server.getsockname()[1]
        if banner is not None:
            other_server.listen()
            threading.Thread(target=lambda: other_server.accept()[0].sendall(banner), daemon=True).start()
        task = task_of({'worker': ['127.0.0.1:1', f'127.0.0.1:{port}']})
        with pytest.raises(UserError, match=f'worker:0: worker:1 at 127.0.0.1:{port} does not answer'):
            task.wait(task.addresses, 0.3)


def test_a_port_that_is_in_use_is_refused():
    with socket.socket() as other_server:
        other_server.bind(('127.0.0.1', 0))
        other_server.listen()
        port = other_server.getsockname()[1]
        with pytest.raises(UserError, match=f'its address 127.0.0.1:{port} cannot be used .*already in use'):
            task_of({'worker': [f'127.0.0.1:{port}']}).start(None)
