"""The layout rules of CONTRIBUTING.md: imports point downwards, and importing a module has no effects."""

import ast
import functools
import graphlib
import subprocess
import sys

from common import paths

ROOT = paths.ROOT
# Packages and modules, lowest first. A module may import those of earlier rows, and of its own row only its own
# package.
ROWS = (('common',), ('utils',), ('recipes', 'load_vgg'), ('engine.losses', 'engine.optim'), ('engine.run',),
        ('engine.results',), ('engine.cli',), ('style_transfer',), ('fast', 'assignment'),
        ('reconstruct', 'catalogue', 'fast_style_transfer', 'benchmarks', 'studio'))
PARTS = {part: row for row, parts in enumerate(ROWS) for part in parts}
WITHOUT_TENSORFLOW = 'common', 'fast.inference'
TENSORFLOW = 'common.tf1'  # the one module that imports it


def module_name(path):
    """Return the dotted name under which a file is imported."""
    return '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')


MODULES = {module_name(path): path for pattern in ('*.py', '[a-z]*/**/*.py') for path in ROOT.glob(pattern)
           if path.relative_to(ROOT).parts[0] != 'tests'}


@functools.cache
def tree(name):
    """Return the syntax tree of a module."""
    return ast.parse(MODULES[name].read_text(encoding='utf-8'))


def imported(name):
    """Yield the dotted names of the modules and attributes that a module imports, including imports in functions."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


def own_imports(name):
    """Yield the names of the project's modules that a module imports."""
    for target in imported(name):
        known = [module for module in (target, target.rpartition('.')[0]) if module in MODULES]
        yield from known[:1]


def part(name):
    """Return the entry of ROWS that a module belongs to, or None."""
    return next((part for part in PARTS if f'{name}.'.startswith(f'{part}.')), None)


def violations():
    """Yield one line for each violation of the import rules."""
    for name in MODULES:
        if part(name) is None and MODULES[name].name != '__init__.py':
            yield f'{name} is in no package of the layout'
        if name != TENSORFLOW and any(target.partition('.')[0] == 'tensorflow' for target in imported(name)):
            yield f'{name} imports tensorflow'
        for target in own_imports(name):
            above, below = part(name), part(target)
            if above and below and above != below and PARTS[below] >= PARTS[above]:
                yield f'{name} imports {target}'
            if name.startswith(WITHOUT_TENSORFLOW) and target == TENSORFLOW:
                yield f'{name} imports {target}'


def test_every_module_keeps_the_rules():
    assert len(MODULES) > 90
    assert list(violations()) == []


def test_modules_do_not_import_each_other_in_a_circle():
    graphlib.TopologicalSorter({name: set(own_imports(name)) - {name} for name in MODULES}).prepare()


def test_the_root_has_the_files_of_the_design_and_the_commands():
    assert {path.name for path in ROOT.glob('*.py')} == {
        'style_transfer.py', 'load_vgg.py', 'utils.py', 'recipes.py', 'reconstruct.py', 'fast_style_transfer.py',
        'catalogue.py'}
    assert {path.name for path in ROOT.glob('requirements*')} == {
        'requirements.txt', 'requirements.lock', 'requirements-stylize.txt', 'requirements-beam.txt'}


def test_the_method_stays_short():
    assert len((ROOT / 'style_transfer.py').read_text(encoding='utf-8').splitlines()) <= 390


def test_importing_a_module_has_no_effects():
    names = [name for name in MODULES if not name.startswith('fast.beam.')]  # They need Apache Beam.
    done = subprocess.run([sys.executable, '-c', EFFECTS, *names], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == []


EFFECTS = '''
import importlib, os, signal, sys

def state():
    handlers = tuple(signal.getsignal(number) for number in signal.valid_signals())
    files = tuple((os.fstat(number).st_dev, os.fstat(number).st_ino) for number in range(3))
    return {'a signal handler': handlers, 'a file descriptor': files, 'sys.path': tuple(sys.path)}

for name in sys.argv[1:]:
    before = state()
    importlib.import_module(name)
    for what, value in state().items():
        if value != before[what]:
            print(name, 'changes', what)
'''
