"""Every wrong solution, graded once, by the archive that Gradescope gets; and the archive where it is put."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from assignment import make_autograder, points
from tests.assignment.solutions import PARTLY, WRONG, files


def together():
    """The names in WRONG, those that different runs show together: a quarter as many submissions as cases."""
    groups = []
    for name, (file, old, _, _, item, _) in WRONG.items():
        for group in groups:
            if all(points.run_item(WRONG[other][4]) != points.run_item(item) and WRONG[other][:2] != (file, old)
                   for other in group):
                group.append(name)
                break
        else:
            groups.append([name])
    return groups


@pytest.fixture(scope='session')
def archive(tmp_path_factory):
    """The path of the archive."""
    path = tmp_path_factory.mktemp('archive') / 'autograder.zip'
    assert make_autograder.main([str(path)]) == 0
    return path


@pytest.fixture(scope='session')
def container(archive, tmp_path_factory):
    """A function (name -> bytes, …) that makes /autograder, as Gradescope has it, for each submission, elsewhere."""
    source = tmp_path_factory.mktemp('source')
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():  # with its mode, as unzip has it
            os.chmod(file.extract(info, source), info.external_attr >> 16)

    def make(*submissions):
        for content in submissions:
            root = tmp_path_factory.mktemp('autograder')
            for name in ('submission', 'results', 'venv/bin'):
                (root / name).mkdir(parents=True)
            (root / 'source').symlink_to(source)
            (root / 'venv' / 'bin' / 'python').write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
            (root / 'venv' / 'bin' / 'python').chmod(0o755)
            shutil.copy(source / 'run_autograder', root)
            for name, text in content.items():
                (root / 'submission' / name).write_bytes(text)
            yield root
    return make


@pytest.fixture(scope='session')
def archives_results(container):
    """Name of a wrong solution, or 'partly right' -> (results.json, all mistakes in that submission)."""
    groups = [*together(), ['partly right']]
    changes = [[WRONG[name][:3] for name in group] for group in groups[:-1]] + [PARTLY]
    roots = list(container(*(files(*change) for change in changes)))
    # in one process for many, what run_autograder does for one: TensorFlow starts once
    script = 'import sys; from assignment import gradescope; [gradescope.main([root]) for root in sys.argv[1:]]'
    subprocess.run([sys.executable, '-c', script, *map(str, roots)], cwd=roots[0] / 'source',
                   env=os.environ | {'PYTHONPATH': ''}, check=True)
    return {name: (json.loads(Path(root, 'results', 'results.json').read_text()), group)
            for root, group in zip(roots, groups) for name in group}
