"""Test exported networks: plain TensorFlow loads them, they are read back unchanged, and not overwritten by mistake."""

import json
import subprocess
import sys

import numpy as np
import pytest

from common import files
from common.errors import UserError
from engine.run import runs
from fast.inference import multi_style
from fast.networks import export
from tests.factories import random_parameters


def test_a_model_has_three_files_and_a_description(model_folder):
    assert sorted(path.name for path in model_folder.iterdir()) == ['model.json', 'model.tflite', 'saved_model.pb']
    assert sorted(path.name for path in model_folder.parent.iterdir()) == ['random']
    about = json.loads((model_folder / 'model.json').read_text())
    assert list(about['styles']) == ['a', 'b', 'c'] and about['base'] == 4
    assert about['files'] == {name: files.file_hash(model_folder / name) for name in ('saved_model.pb', 'model.tflite')}


def test_plain_tensorflow_loads_a_model_and_litert_gives_the_same(model_folder, tmp_path):
    """Odd sizes, a batch and a mixture agree within 1/255, although LiteRT stores the filters as float16."""
    program = ('import sys, numpy as np, tensorflow as tf\n'
               'serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]\n'
               'photos, weights = np.load(sys.argv[2]).values()\n'
               'pictures = serve(photos=tf.constant(photos), style_weights=tf.constant(weights))["pictures"]\n'
               'np.save(sys.argv[3], pictures)')
    photos = np.random.default_rng(0).uniform(0, 255, (2, 50, 33, 3)).astype(np.float32)
    weights = np.float32([[0, 0, 1], [0.3, 0.7, 0]])
    np.savez(tmp_path / 'inputs.npz', photos, weights)
    subprocess.run([sys.executable, '-c', program, model_folder, tmp_path / 'inputs.npz', tmp_path / 'pictures.npy'],
                   check=True)
    pictures = np.load(tmp_path / 'pictures.npy')
    model = multi_style.MultiStyleModel(model_folder)
    for photo, w, picture in zip(photos, weights, pictures, strict=True):
        assert picture.std() > 5 and np.abs(model(photo, w) - picture).max() < 1


def test_written_parameters_are_read_back(model_folder):
    read = export.read_multi_style(model_folder)
    expected = random_parameters()
    assert read.base == 4 and list(read.styles) == ['a', 'b', 'c']
    assert read.parameters.keys() == expected.keys()
    assert all((read.parameters[name] == expected[name]).all() for name in expected)


def test_a_damaged_savedmodel_is_refused(model_folder, tmp_path):
    about = json.loads((model_folder / 'model.json').read_text())
    complete = (model_folder / 'saved_model.pb').read_bytes()
    for content, styles in ((complete[:5000], about['styles']), (b'', about['styles']), (complete, {'a': ''})):
        (tmp_path / 'saved_model.pb').write_bytes(content)
        hashes = {'saved_model.pb': files.file_hash(tmp_path / 'saved_model.pb')}
        (tmp_path / 'model.json').write_text(json.dumps(about | {'files': hashes, 'styles': styles}))
        with pytest.raises(UserError, match='not a complete model'):
            export.read_multi_style(tmp_path)


def test_a_model_is_not_overwritten_by_another_run_or_by_fewer_steps(model_folder, tmp_path):
    settings = {'base': 4}
    export.check_overwrite(model_folder, runs.Run('r', settings), 7)
    export.check_overwrite(tmp_path / 'nothing', runs.Run('r', settings), 7)
    with pytest.raises(UserError, match=r'other settings: base \(now 8, was 4\); --restart'):
        export.check_overwrite(model_folder, runs.Run('r', {'base': 8}), 7)
    with pytest.raises(UserError, match='a model of 7 steps, more than 6; --iterations'):
        export.check_overwrite(model_folder, runs.Run('r', settings), 6)
    for damage in ('{', '[]', '7'):
        (tmp_path / 'model.json').write_text(damage)
        with pytest.raises(UserError, match='damaged; --restart'):
            export.check_overwrite(tmp_path, runs.Run('r', settings), 7)
