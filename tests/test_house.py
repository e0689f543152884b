"""Arrows between the rooms go down, and nothing goes round: who imports whom, as DESIGN's rules have it."""

import ast
import graphlib

import pytest

from common import paths

ROOMS = {path.relative_to(paths.ROOT).with_suffix('').as_posix().replace('/', '.'): path
         for folder in ('.', 'common', 'engine', 'fast', 'assignment')
         for path in (paths.ROOT / folder).glob('*.py' if folder == '.' else '**/*.py')}


def imports(path):
    """The rooms that a file imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in ROOMS)
        if isinstance(node, ast.ImportFrom):
            inner = [f'{node.module}.{name.name}' for name in node.names]
            yield from ([name for name in inner if name in ROOMS] or [node.module] * (node.module in ROOMS))


ARROWS = {room: set(imports(path)) for room, path in ROOMS.items()}


@pytest.mark.parametrize('below, above', [
    ('engine', ('style_transfer', 'reconstruct', 'fast', 'fast_style_transfer', 'assignment')),
    ('fast', ('fast_style_transfer', 'reconstruct', 'assignment')),
    ('recipes', ('style_transfer', 'fast', 'assignment')),
    ('utils', ('style_transfer', 'load_vgg', 'recipes', 'fast', 'assignment')),
    ('load_vgg', ('style_transfer', 'recipes', 'fast', 'assignment')),
    ('style_transfer', ('fast', 'fast_style_transfer', 'reconstruct', 'assignment'))])
def test_arrows_go_down(below, above):
    found = {(room, there) for room, imported in ARROWS.items() for there in imported
             if room.split('.')[0] == below and there.split('.')[0] in above}
    assert len(ROOMS) > 20 and found == set()


def test_nothing_goes_round():
    rooms = list(graphlib.TopologicalSorter(ARROWS).static_order())
    assert rooms.index('utils') < rooms.index('load_vgg') < rooms.index('style_transfer') < rooms.index('fast.training')


def test_the_root_is_the_card_and_the_commands():
    assert {path.name for path in paths.ROOT.glob('*.py')} == {
        'style_transfer.py', 'load_vgg.py', 'utils.py', 'recipes.py', 'reconstruct.py', 'fast_style_transfer.py',
        'catalogue.py'}
    assert {path.name for path in paths.ROOT.glob('requirements*')} == {
        'requirements.txt', 'requirements.lock', 'requirements-stylize.txt', 'requirements-beam.txt'}


def test_lines_are_of_120_characters_at_most():
    files = [path for pattern in ('*.py', '*/*.py', '*/*/*.py') for path in paths.ROOT.glob(pattern)]
    long = [f'{path.relative_to(paths.ROOT)}:{number}' for path in [*files, paths.ROOT / 'README.md']
            for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), start=1) if len(line) > 120]
    assert len(files) > 70 and long == []
