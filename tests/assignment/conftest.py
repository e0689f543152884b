"""Fixtures that grade every wrong solution with the archive that `make_autograder` builds for Gradescope."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from assignment import make_autograder, points
from tests.assignment.solutions import HALF_DONE, WRONG, solution_files


def group_mistakes():
    """Group the names in WRONG so that the mistakes of a group show in different runs.

    One submission then has all mistakes of a group, which takes a quarter as many submissions as there are mistakes.
    """
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
    """Path of the zip file that `make_autograder` writes."""
    path = tmp_path_factory.mktemp('archive') / 'autograder.zip'
    assert make_autograder.main([str(path)]) == 0
    return path


@pytest.fixture(scope='session')
def container(archive, tmp_path_factory):
    """Function that takes submissions, each name -> bytes, and yields the root of a container for each.

    The root stands for /autograder and has the same layout as on Gradescope.
    """
    source = tmp_path_factory.mktemp('source')
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():  # unlike unzip, extract() does not set the mode
            os.chmod(file.extract(info, source), info.external_attr >> 16)

    def make_containers(*submissions):
        for files in submissions:
            root = tmp_path_factory.mktemp('autograder')
            for name in ('submission', 'results', 'venv/bin'):
                (root / name).mkdir(parents=True)
            (root / 'source').symlink_to(source)
            (root / 'venv' / 'bin' / 'python').write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
            (root / 'venv' / 'bin' / 'python').chmod(0o755)
            shutil.copy(source / 'run_autograder', root)
            for name, content in files.items():
                (root / 'submission' / name).write_bytes(content)
            yield root
    return make_containers


@pytest.fixture(scope='session')
def autograder_results(container):
    """Name of a wrong solution, or 'partly right' -> (results.json, names of all mistakes in that submission)."""
    groups = [*group_mistakes(), ['partly right']]
    changes = [[WRONG[name][:3] for name in group] for group in groups[:-1]] + [HALF_DONE]
    roots = list(container(*(solution_files(*change) for change in changes)))
    # One process grades all submissions, as run_autograder grades one, so that TensorFlow starts only once.
    script = 'import sys; from assignment import gradescope; [gradescope.main([root]) for root in sys.argv[1:]]'
    subprocess.run([sys.executable, '-c', script, *map(str, roots)], cwd=roots[0] / 'source',
                   env=os.environ | {'PYTHONPATH': ''}, check=True)
    return {name: (json.loads(Path(root, 'results', 'results.json').read_text()), group)
            for root, group in zip(roots, groups) for name in group}
