"""Training on several machines: real processes on this one, killed and begun again, and what they are refused for."""

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

# slowly, with a checkpoint every five steps
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
    """A folder of six photos of blocks."""
    return block_photos(tmp_path_factory.mktemp('photos'), 6)


@pytest.fixture(scope='module')
def make(photos, images, tiny_vgg, unoptimized_graphs):
    """A function that makes the machine of the command below, in this process and alone."""
    def build(name, **more):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(multi_style_network, 'RESIDUAL_BLOCKS', 1)
            machine = multi_style_training.MultiStyleTraining(
                CropDataset([photos], SIDE + 2 * SHIFT_PX, 0), BATCH, images[:1], images, 4,
                consistency_weight=20., recipe=RECIPE, vgg=tiny_vgg, precision='float32', threads=1, name=name, **more)
            machine.config.device_count['CPU'] = 2
            machine.build()
        return machine
    return build


@pytest.fixture(scope='module')
def alone(make, tmp_path_factory):
    """The losses of its first 8 steps, and at last of what is shown."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp('alone'))
        make('alone').train(8, write_results=False)
        return losses('alone')


def ports(n):
    """Ports that nobody has."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(('127.0.0.1', 0))
        return [each.getsockname()[1] for each in sockets]


def flags(photos, images, tiny_vgg):
    return ['train', '--style', *map(str, images), '--images', str(photos),
            '--held-out', str(images[0]), '--vgg', str(tiny_vgg), '--side', str(SIDE), '--batch', str(BATCH),
            '--base', '4', '--precision', 'float32', '--threads', '1', '--iterations', str(STEPS), '--name', 'r']


class Processes:
    """The tasks of a cluster, each a process; what they print is in <task>.txt."""

    def __init__(self, server, jobs, command):
        self.server, self.command, self.running = server, command, {}
        Path('cluster.json').write_text(json.dumps({job: [f'127.0.0.1:{port}' for port in listed]
                                                    for job, listed in jobs.items()}))

    def start(self, task, *more, cwd='.', environment=None):
        named = [] if environment else ['--cluster', Path('cluster.json').resolve(), '--task', task]
        self.running[task] = self.server.start([*self.command, *named, *more], f'{task}.txt', folder=cwd,
                                               environment=environment, program=PROGRAM)

    def kill(self, task, number=signal.SIGKILL):
        self.running[task].send_signal(number)
        return self.running[task].wait()

    def said(self, task):
        return Path(f'{task}.txt').read_text()

    def wait(self, condition):
        until = time.monotonic() + 90
        while not condition():
            assert time.monotonic() < until, {task: self.said(task)[-1500:] for task in self.running}
            time.sleep(0.05)


@pytest.fixture
def processes(server, photos, images, tiny_vgg, workdir):
    """A function that makes `Processes` of jobs, job -> ports, all of them killed at the end."""
    made = []

    def make(**jobs):
        made.append(Processes(server, jobs, flags(photos, images, tiny_vgg)))
        return made[-1]
    yield make
    for process in [process for each in made for process in each.running.values()]:
        process.kill()


def losses(name):
    return np.loadtxt(f'checkpoints/{name}/losses.csv', delimiter=',', skiprows=1)


def test_killed_workers_and_a_killed_chief_change_nothing(processes, alone):
    """To the bit; and how many they are changes nothing but the rounding."""
    two = processes(worker=ports(2))
    two.start('worker:0')
    two.start('worker:1')
    two.wait(Path('checkpoints/r/model-5.index').exists)
    assert two.kill('worker:1') == -signal.SIGKILL
    two.wait(lambda: 'waiting for worker:1 at 127.0.0.1:' in two.said('worker:0'))
    two.start('worker:1')
    two.wait(Path('checkpoints/r/model-10.index').exists)
    assert two.kill('worker:0') == -signal.SIGKILL
    two.wait(lambda: 'waiting for worker:0 at 127.0.0.1:' in two.said('worker:1'))
    two.start('worker:0')
    assert two.running['worker:0'].wait(90) == 0 and two.running['worker:1'].wait(30) == 0
    assert 'r: resuming at iteration 1' in two.said('worker:0') and 'the chief has finished' in two.said('worker:1')
    two.start('worker:0', '--name', 'undisturbed')
    two.start('worker:1')
    assert two.running['worker:0'].wait(90) == 0
    assert losses('r').shape == (STEPS + 1, 6) and (losses('r') == losses('undisturbed')).all()
    first, second = (runs.Run(name, {}).load_variable(STEPS, 'network/conv1/weights/average')
                     for name in ('r', 'undisturbed'))
    assert (first == second).all()
    # later Adam has made more of the rounding: 1 % after 30 steps
    np.testing.assert_allclose(losses('r')[:8], alone[:8], rtol=1e-5)
    assert not [name for name, _ in tf.train.list_variables('checkpoints/r') if 'exchange' in name]


def test_a_parameter_server_a_refused_worker_and_ctrl_c(processes, workdir):
    """Settings that differ are named; a task comes from TF_CONFIG; all end with the chief; its disk has the files."""
    held, led, followed = ([port] for port in ports(3))
    three = processes(ps=held, chief=led, worker=followed)
    (workdir / 'elsewhere').mkdir()
    three.start('ps:0', cwd='elsewhere')
    three.start('chief:0')
    three.start('worker:0', '--seed', '1', '--steadiness', '3')
    assert three.running['worker:0'].wait(90) == 2
    assert three.said('worker:0').splitlines()[-1] == (
        'error: worker:0 has other settings than the chief: seed (now 1, was 0), steadiness (now 3.0, was 20.0)')
    assert cluster.is_answering(f'127.0.0.1:{led[0]}') and not cluster.is_answering(f'127.0.0.2:{led[0]}')
    waited = three.said('chief:0').count('waiting for worker:0')
    config = {'cluster': json.loads(Path('cluster.json').read_text()), 'task': {'type': 'worker', 'index': 0}}
    three.start('worker:0', cwd='elsewhere', environment={'TF_CONFIG': json.dumps(config)})
    three.wait(Path('checkpoints/r/model-5.index').exists)
    three.kill('worker:0')
    three.wait(lambda: three.said('chief:0').count('waiting for worker:0') > waited)
    assert three.kill('chief:0', signal.SIGINT) == 130
    step = int(three.said('chief:0').partition('stopped at iteration ')[2].partition(';')[0])
    assert step >= 5 and runs.Run('r', {}).latest_step() == step and len(losses('r')) == step + 1
    assert three.running['ps:0'].wait(30) == 130 and 'ps:0: the chief has stopped' in three.said('ps:0')
    assert not list(Path('elsewhere').iterdir())


def test_two_devices_have_the_losses_of_one(make, alone, workdir, monkeypatch):
    monkeypatch.setattr(network_training, 'devices', lambda crops: ['', '/cpu:1'])
    two = make('two')
    assert {op.device for op in two.graph.get_operations() if op.type == 'Conv2DBackpropInput'} == {'', '/device:CPU:1'}
    two.train(8, write_results=False)
    np.testing.assert_allclose(losses('two'), alone, rtol=1e-4)
    with two.open_session() as sess:
        two.initialize(sess)
        two.evaluate(sess)  # of one tower, without a batch: there is no iterator yet


def test_parts_of_a_batch_make_up_the_batch(photos):
    collection = CropDataset([photos], SIDE, 0)

    def second(part, parts):
        iterator = tf.data.make_initializable_iterator(collection.batches(6, tf.constant(1, tf.int64), part, parts))
        batch = iterator.get_next()
        with tf.Session() as sess:
            sess.run(iterator.initializer)
            return sess.run([batch, batch])[0], sess.run(batch)
    with tf.Graph().as_default():
        whole, thirds = second(0, 1), [second(part, 3) for part in range(3)]
    for i in range(2):
        assert (np.concatenate([third[i] for third in thirds]) == whole[i]).all()
    assert (whole[0] == [collection[index] for index in range(6, 12)]).all()


WORKERS = {'worker': ['127.0.0.1:2222', '127.0.0.1:2223']}


@pytest.mark.parametrize('content, task, says', [
    (None, 'worker:0', 'cluster.json: No such file'), ('{', 'worker:0', 'cluster.json: no JSON'),
    ('[]', 'worker:0', 'must be an object'), ({'worker': 'a:1'}, 'worker:0', 'a list of addresses'),
    (WORKERS, 'worker:2', 'no task worker:2 there; it has worker:0, worker:1'), (WORKERS, None, 'one needs the other'),
    ({'boss': ['a:1']}, 'boss:0', 'boss: no such job; there are chief'), ({'ps': ['a:1']}, 'ps:0', 'one chief leads'),
    ({'chief': ['a:1', 'a:2']}, 'chief:0', 'one chief leads'), ({'worker': ['a']}, 'worker:0', "'a': must be a host"),
    ({'worker': ['a:1', 'a:1']}, 'worker:0', 'a:1 is there twice'),
    ({'worker': ['192.0.2.1:2222']}, 'worker:0', 'its address 192.0.2.1:2222 is not to be had on this machine')])
def test_a_cluster_that_is_none_is_one_line(photos, images, tiny_vgg, workdir, capsys, content, task, says):
    if content:
        Path('cluster.json').write_text(content if isinstance(content, str) else json.dumps(content))
    more = ['--cluster', 'cluster.json'] + ['--task', task] * bool(task)
    assert main([*flags(photos, images, tiny_vgg), *more]) == 2
    err = capsys.readouterr().err
    assert says in err and err.startswith('error: ') and err.count('\n') == 1
    assert not Path('checkpoints').exists()


@pytest.mark.parametrize('text, says', [
    ('{', 'TF_CONFIG: no JSON'), (json.dumps({'cluster': WORKERS}), 'its task needs a type'),
    ('{"cluster": 3, "task": {"type": "worker", "index": 0}}', 'TF_CONFIG: must give each job')])
def test_a_malformed_tf_config(monkeypatch, text, says):
    monkeypatch.setenv('TF_CONFIG', text)
    with pytest.raises(UserError, match=says):
        cluster.read(None, None)


def test_no_cluster_is_this_machine_alone(monkeypatch):
    for text in ('', '{}', '{"task": {"type": "worker", "index": 0}}'):
        monkeypatch.setenv('TF_CONFIG', text)
        assert cluster.read(None, None) is None


def task_of(jobs, name='worker:0'):
    return cluster.Task(jobs, name, 'cluster.json')


def test_a_batch_that_the_tasks_cannot_share(make):
    with pytest.raises(UserError, match='--batch 4: must be a multiple of the 3 tasks that share it'):
        make('r', task=task_of({'worker': ['a:1', 'a:2', 'a:3']}))


@pytest.mark.parametrize('banner', [None, b'', b'SSH-2.0-OpenSSH\r\n'])
def test_a_wrong_address_is_named_soon(monkeypatch, banner):
    """Where nobody is, where nobody says anything, and where somebody else is."""
    monkeypatch.setattr(cluster, 'PROBE_SECONDS', 0.2)
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        port = other.getsockname()[1]
        if banner is not None:
            other.listen()
            threading.Thread(target=lambda: other.accept()[0].sendall(banner), daemon=True).start()
        task = task_of({'worker': ['127.0.0.1:1', f'127.0.0.1:{port}']})
        with pytest.raises(UserError, match=f'worker:0: worker:1 at 127.0.0.1:{port} does not answer'):
            task.wait(task.addresses, 0.3)


def test_a_port_that_is_taken():
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f'its address 127.0.0.1:{port} is not to be had .*already in use'):
            task_of({'worker': [f'127.0.0.1:{port}']}).start(None)
