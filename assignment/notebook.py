"""The assignment as a notebook: the handout's steps, a cell for each method to fill in, a check below it.

    python -m assignment.make_starter --notebook ~/hw2        makes one
    python -m assignment.notebook ~/hw2/style_transfer.ipynb  puts its methods into the two files beside it, for check
"""

import ast
import functools
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

from assignment import points
from assignment.regions import TODO, VERSION, regions, without_solution
from common import cli, errors, paths
from common.errors import UserError
from common.files import atomic_write

NOTEBOOK_NAME = 'style_transfer.ipynb'
# around solutions, for those who make both editions
SOLUTION_MARKS = {'otter': '# {} SOLUTION', 'nbgrader': '### {} SOLUTION'}
MAX_NOTEBOOK_BYTES = 50_000_000  # bytes of a notebook, pictures and all
ANSWER_ID = 'curves'
CHECK_HELPERS = 'small_vgg', 'bare_machine', 'evaluate'  # of the checks
FIRST_CELLS = """# Assignment: style transfer

You write the core of a program that paints one picture in the style of another, by the method of [Gatys, Ecker and
Bethge (2015)](https://arxiv.org/abs/1508.06576). All of it is there but the methods in the cells below. Run each when
you have filled it in, and then the check under it, which says nothing where all is right. `README.md` is the handout
in one piece.""", """import contextlib
import dataclasses
import io
import types

from load_vgg import *  # with all that the files of these methods import: tf, np, …
from style_transfer import *
import imageio.v3 as iio
import matplotlib.pyplot as plt
from assignment import report

VGG_FILE = None  # of the weights; None for those that ship


def method_of(cls):
    \"\"\"Make the function below a method of the class, in place of the one that is still to do.\"\"\"
    return lambda function: setattr(cls, function.__name__, function)"""
TRAINING_CELLS = """## Train

The photo and the painting that ship; try others, by their paths, and other settings, `recipe=dataclasses.replace(
recipes.CS20, style_weight=…)` with a `name=` of its own. The same cell again goes on where it was.""", """\
WIDTH, HEIGHT, ITERATIONS = 333, 250, 300
machine = StyleTransfer(paths.CONTENT, paths.STYLE, WIDTH, HEIGHT, vgg=VGG_FILE)
machine.build()
with progress.ProgressBar(ITERATIONS) as shown:
    machine.train(ITERATIONS, shown)
assert report.main([str(machine.run.outputs)]) == 0
for picture in (machine.run.outputs / 'sheet.png', 'report/losses.png', 'report/graph.png'):
    plt.figure(figsize=(12, 6))
    plt.imshow(iio.imread(picture))
    plt.axis('off')"""
QUESTION = '## What do the curves show, and why? In at most three sentences'


class Method(NamedTuple):
    """A method with something to fill in: its file, class, name, step, and its text there."""
    file: str
    cls: str
    name: str
    step: int
    text: str


def methods(file, text):
    """The `Method`s of a file's text, which has markers of regions in it, in order."""
    lines, found = text.splitlines(), regions(text)
    for cls in ast.parse(text).body:
        for node in cls.body if isinstance(cls, ast.ClassDef) else ():
            inside = [region for region in found if node.lineno <= region.first < node.end_lineno]
            if inside:
                end = max(node.end_lineno, inside[-1].last + 1)  # A comment at the end is in no syntax tree.
                own = '\n'.join(lines[node.lineno - 1:end])
                yield Method(file, cls.name, node.name, inside[0].step, own)


@functools.cache
def _all_methods():
    """All methods of the two files, in the order of the steps."""
    found = [method for name in TODO
             for method in methods(name, (paths.ROOT / name).read_text(encoding='utf-8'))]
    return sorted(found, key=lambda method: method.step)


def with_solution_marks(text: str, mark: str) -> str:
    """Put an edition's marks around the solutions of a text, instead of the code's own, with the hints above them.

    Args:
        mark: one of SOLUTION_MARKS.
    """
    lines = text.splitlines()
    for region in reversed(regions(text)):
        hint = textwrap.wrap(f'# step {region.step}: {region.hint}', 118 - len(region.indent), subsequent_indent='#   ')
        lines[region.first:region.last + 1] = [
            *(region.indent + line for line in [*hint, mark.format('BEGIN')]), *region.body,
            region.indent + mark.format('END')]
    return '\n'.join(lines)


def self_checks():
    """Of the checks' functions: name -> (what its docstring says, its source, the body's source)."""
    source = (paths.ROOT / 'assignment' / 'self_checks.py').read_text(encoding='utf-8')
    lines = source.splitlines()
    return {node.name: (ast.get_docstring(node), *(textwrap.dedent('\n'.join(lines[first.lineno - 1:node.end_lineno]))
                                                   for first in (node, node.body[1])))
            for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


def sections():
    """The sections of the handout, Markdown, in order."""
    text = (paths.ROOT / 'assignment' / 'README.md').read_text(encoding='utf-8')
    return ['## ' + part.strip() for part in re.split('^## ', text, flags=re.M)[1:]]


# ------------------------------------------------------------------------------------------------------------ the cells

def cells(edition=None):
    """The notebook's cells: to fill in, or for a key of SOLUTION_MARKS with solutions marked and what that system
    needs.
    """
    cell = {None: _plain, 'otter': _plain, 'nbgrader': _nbgrader}[edition]
    parts = sections()
    functions = self_checks()
    checks = {name: f'# {what}\n{body}' for name, (what, _, body) in functions.items() if name not in CHECK_HELPERS}
    first, setup = FIRST_CELLS
    yield cell('markdown', 'introduction', first)
    yield cell('markdown', 'unusual', next(part for part in parts if part.startswith('## What is unusual')))
    yield cell('code', 'setup', '\n\n\n'.join([setup, *(functions[name][1] for name in CHECK_HELPERS)]))
    step = 0
    for name, group in _groups(checks):
        if group[0].step != step:
            step = group[0].step
            yield cell('markdown', f'step-{step}', next(part for part in parts if part.startswith(f'## Step {step}')))
        tasks = [cell('code', method.name, _method(method, edition), solution=True) for method in group]
        test = cell('code', f'check-{name.strip("_")}', checks[name],
                    points=points.check_points(name))
        yield from _question(name, tasks, test) if edition == 'otter' else [*tasks, test]
    about, train = TRAINING_CELLS
    yield cell('markdown', 'training', about)
    yield _plain('code', 'run', train)  # for students to change in any edition
    answer = cell('markdown', ANSWER_ID, f'{QUESTION}\n\n…', solution=True, points=points.WRITTEN_POINTS)
    yield from _question(ANSWER_ID, [answer], None) if edition == 'otter' else [answer]


def _groups(checks):
    """(name of a check, the methods that it needs beyond those before it): it has the name of the first."""
    found = {}
    for method in _all_methods():
        if method.name in checks:
            found[method.name] = []
        found[[*found][-1]].append(method)
    return found.items()


def _method(method, edition):
    text = with_solution_marks(method.text, SOLUTION_MARKS[edition]) if edition else without_solution(method.text)
    return f'@method_of({method.cls})\n{textwrap.dedent(text).rstrip()}'


def _plain(kind, name, source, **about):
    """A cell, as nbformat has it."""
    code = {'execution_count': None, 'outputs': []} if kind == 'code' else {}
    return {'cell_type': kind, 'id': name.strip('_'), 'metadata': {}, 'source': source} | code


def _nbgrader(kind, name, source, solution=False, points=0):
    """A cell that nbgrader knows: what may be changed in it, and what it counts."""
    cell = _plain(kind, name, source)
    cell['metadata'] = {'nbgrader': {
        'grade_id': cell['id'], 'solution': solution, 'grade': bool(points), 'locked': not solution, 'task': False,
        'schema_version': 3} | ({'points': points} if points else {})}
    return cell


def _question(name, tasks, test):
    """A question as otter's `assign` takes it: its cells between raw ones."""
    def raw(what, more=''):
        return _plain('raw', re.sub(r'\W+', '-', f'{what}-{name}'), f'# {what}{more}')
    about = f'\nname: {name.strip("_")}\npoints: ' + (
        f'{points.check_points(name)}' if test else f'{points.WRITTEN_POINTS}\nmanual: true')
    yield raw('BEGIN QUESTION', about)
    yield raw('BEGIN SOLUTION')
    yield from tasks
    yield raw('END SOLUTION')
    if test:
        yield raw('BEGIN TESTS')
        yield test
        yield raw('END TESTS')
    yield raw('END QUESTION')


def write(folder, edition=None):
    """Write the notebook into the student's folder, or for a key of SOLUTION_MARKS the teacher's."""
    made = list(cells(edition))
    if edition == 'otter':
        files = ''.join(f'\n  - {path.name}' for path in sorted(folder.iterdir()))
        made.insert(0, _plain('raw', 'config', f'# ASSIGNMENT CONFIG\ninit_cell: false\nfiles:{files}'))
    metadata = {'kernelspec': {'display_name': 'Python 3', 'language': 'python', 'name': 'python3'},
                'language_info': {'name': 'python'}, 'starter_version': VERSION}
    text = json.dumps({'cells': made, 'metadata': metadata, 'nbformat': 4, 'nbformat_minor': 5},
                      ensure_ascii=False, indent=1)
    (folder / NOTEBOOK_NAME).write_text(text + '\n', encoding='utf-8')


# ------------------------------------------------------------------------------------------------------- and back again

def code_files(content, texts=None, name=NOTEBOOK_NAME):
    """The two files with what is filled in in a student's notebook: name -> text.

    content: bytes of the notebook; texts: of the files that it goes into, None for the starter's; name: for messages
    Of methods defined more than once the last counts. What else their cells define goes above the file's classes.
    Raises `UserError` for what is no notebook, and for a cell with a method in it, or a file, that is no Python.
    """
    codes, version = _code_sources(content, name)
    texts = dict(texts or {})
    for file in TODO:
        original = (paths.ROOT / file).read_text(encoding='utf-8')
        text, above = texts.get(file, f'# starter version {version}\n{without_solution(original)}'), {}
        for method in methods(file, original):
            if found := _find_definition(codes, method, name):
                function, others = found
                first, last = _insert(text, method)
                lines = text.splitlines()
                text = '\n'.join([*lines[:first], textwrap.indent(function, '    '), *lines[last:]]) + '\n'
                above |= dict.fromkeys(others)
        head, classes, rest = text.partition('\n\n\nclass ')
        texts[file] = ''.join((head, *(f'\n\n\n{part}' for part in above), classes, rest))
    return texts


def _code_sources(content, name):
    """The sources of a notebook's code cells, without what is for IPython alone, and the starter's version."""
    try:
        if len(content) > MAX_NOTEBOOK_BYTES:
            raise ValueError(f'more than {MAX_NOTEBOOK_BYTES / 1e6:.0f} MB')
        notebook = json.loads(content.decode('utf-8-sig'))
        sources = [''.join(cell['source']) for cell in notebook['cells'] if cell['cell_type'] == 'code']
        version = int(notebook['metadata'].get('starter_version', 1))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f'{name}: not a notebook ({type(error).__name__}: {error})') from error
    return [re.sub(r'^[%!].*', '', source, flags=re.M) for source in sources], version


def _parse(source, what):
    try:
        return ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f'{what} is no Python ({error})') from error


def _find_definition(codes, method, name):
    """(the function, [what else its cell defines]) of the last cell with a method; None where it is still to do."""
    for source in reversed(codes):
        if not re.search(rf'^def {method.name}\b', source, re.M):
            continue
        parts = {node: '\n'.join(source.splitlines()[node.lineno - 1:node.end_lineno])
                 for node in _parse(source, f'{name}: the cell of {method.name}')}
        functions = [part for node, part in parts.items()
                     if isinstance(node, ast.FunctionDef) and node.name == method.name]
        if functions:
            given = textwrap.dedent(without_solution(method.text))
            kinds = ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign
            taken = {other.name for other in _all_methods()}
            others = [part for node, part in parts.items()
                      if isinstance(node, kinds) and getattr(node, 'name', None) not in taken]
            same = ast.dump(ast.parse(functions[-1])) == ast.dump(ast.parse(given))
            return None if same else (functions[-1], others)


def _insert(text, method):
    """(first, last) of the lines of a method in a file's text, last excluded."""
    for cls in _parse(text, method.file):
        for node in cls.body if isinstance(cls, ast.ClassDef) and cls.name == method.cls else ():
            if isinstance(node, ast.FunctionDef) and node.name == method.name:
                return node.lineno - 1, node.end_lineno
    raise UserError(f'{method.file} has no {method.cls}.{method.name}')


@errors.command_line
def main(argv=None):
    """Put the methods of a notebook into the two files beside it."""
    parser = cli.Parser(prog='python -m assignment.notebook', description=main.__doc__)
    parser.add_argument('notebook', type=Path, help='a student\'s; the starter\'s files are made where there are none')
    path = parser.parse_args(argv).notebook.expanduser()
    beside = {name: (path.parent / name).read_text(encoding='utf-8-sig')
              for name in TODO if (path.parent / name).is_file()}
    for name, text in code_files(path.read_bytes(), beside, path.name).items():
        with atomic_write(path.parent / name) as part:
            part.write_text(text, encoding='utf-8')
    print(f'{path.parent}: {" and ".join(TODO)} have the methods of {path.name}')


if __name__ == '__main__':
    sys.exit(main())
