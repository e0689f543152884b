"""Notebook edition of the assignment: the steps of the handout, a cell for each method to complete, and checks below.

    python -m assignment.make_starter --notebook ~/hw2        # write the notebook into a student's folder
    python -m assignment.notebook ~/hw2/style_transfer.ipynb  # insert its methods into the two files beside it

The first command calls `write`. The second one makes the files of `regions.TODO` that `assignment.check` grades; the
grader itself reads notebooks with `code_files`.
"""

import ast
import functools
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from assignment import cell_code, points
from assignment.regions import TODO, VERSION, VERSION_LINE, regions, without_solution
from common import cli, errors, paths
from common.errors import UserError
from common.files import atomic_write

NOTEBOOK_NAME = 'style_transfer.ipynb'
# Marks around solutions, from which grading systems make the students' notebook; {} stands for BEGIN or END.
SOLUTION_MARKS = {'otter': '# {} SOLUTION', 'nbgrader': '### {} SOLUTION'}
# Tests in files work wherever the notebook runs; otter refuses tests in the metadata with `runs_on: colab`.
OTTER_CONFIG = '# ASSIGNMENT CONFIG\ntests:\n  files: true\nfiles:'
MAX_NOTEBOOK_BYTES = 50_000_000  # size of a notebook with its pictures
ANSWER_ID = 'curves'  # id of the cell for the written answer
CHECK_HELPERS = 'small_vgg', 'bare_machine', 'value_of'  # functions of `self_checks` that its checks call
FIRST_CELLS = """# Assignment: style transfer

You write the core of a program that paints one picture in the style of another, with the method of [Gatys, Ecker and
Bethge (2015)](https://arxiv.org/abs/1508.06576). The program is complete except for the methods in the cells below.
Complete the methods of a group of cells and run the cells, then run the check below them. A check prints nothing if
everything is correct. `README.md` has the whole handout.""", """import contextlib
import dataclasses
import io
import types

from load_vgg import *  # This also imports what the files of the methods import: tf, np, …
from style_transfer import *
import imageio.v3 as iio
import matplotlib.pyplot as plt
from assignment import report

VGG_FILE = None  # path of the weights; None for the weights that come with the assignment


def method_of(cls):
    \"\"\"Make the function below a method of the class, instead of the method that is not written yet.\"\"\"
    return lambda function: setattr(cls, function.__name__, function)"""
TRAINING_CELLS = """## Train

This cell uses the photo and the painting that come with the assignment. Try other images by giving their paths, and
other settings by giving `recipe=dataclasses.replace(recipes.CS20, style_weight=…)` and a new `name=`. If you run the
cell again, the training continues where it stopped.""", """\
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
    """A method that students complete.

    Attributes:
        file: name of the file that contains it.
        cls: name of its class.
        name: its name.
        step: step of the handout, 1 to 5.
        text: its source with the marked solutions, indented as in the file.
    """
    file: str
    cls: str
    name: str
    step: int
    text: str


def methods(file: str, text: str) -> Iterator[Method]:
    """Yield the methods of a file that contain regions to complete, in order.

    Args:
        file: name of the file.
        text: its text with the marked solutions.
    """
    lines, file_regions = text.splitlines(), regions(text)
    for cls in ast.parse(text).body:
        for node in cls.body if isinstance(cls, ast.ClassDef) else ():
            inside = [region for region in file_regions if node.lineno <= region.first < node.end_lineno]
            if inside:
                end = max(node.end_lineno, inside[-1].last + 1)  # The syntax tree omits a comment at the end.
                source = '\n'.join(lines[node.lineno - 1:end])
                yield Method(file, cls.name, node.name, inside[0].step, source)


@functools.cache
def _all_methods():
    """Return the `methods` of all files of TODO, in the order of the steps."""
    unsorted = [method for name in TODO
                for method in methods(name, (paths.ROOT / name).read_text(encoding='utf-8'))]
    return sorted(unsorted, key=lambda method: method.step)


def with_solution_marks(text: str, mark: str) -> str:
    """Replace the marks around the solutions of a text by those of an edition, with the hints as comments above them.

    Args:
        text: source with the marks of `regions`.
        mark: one of the values of SOLUTION_MARKS.
    """
    lines = text.splitlines()
    for region in reversed(regions(text)):
        hint = textwrap.wrap(f'# step {region.step}: {region.hint}', 118 - len(region.indent), subsequent_indent='#   ')
        lines[region.first:region.last + 1] = [
            *(region.indent + line for line in [*hint, mark.format('BEGIN')]), *region.body,
            region.indent + mark.format('END')]
    return '\n'.join(lines)


def self_checks() -> dict[str, tuple[str, str, str]]:
    """Return the functions of `assignment.self_checks`, name -> (docstring, source, source of the body).

    The body is the part after the docstring.
    """
    source = (paths.ROOT / 'assignment' / 'self_checks.py').read_text(encoding='utf-8')
    lines = source.splitlines()
    return {node.name: (ast.get_docstring(node), *(textwrap.dedent('\n'.join(lines[first.lineno - 1:node.end_lineno]))
                                                   for first in (node, node.body[1])))
            for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


def sections() -> list[str]:
    """Return the sections of the handout in order, each as Markdown with its heading."""
    text = (paths.ROOT / 'assignment' / 'README.md').read_text(encoding='utf-8')
    return ['## ' + part.strip() for part in re.split('^## ', text, flags=re.M)[1:]]


# ------------------------------------------------------------------------------------------------------------ the cells

def cells(edition: str | None = None) -> Iterator[dict]:
    """Yield the cells of the notebook, as nbformat defines them.

    Args:
        edition: None for the students' notebook, or a key of SOLUTION_MARKS for the teacher's notebook, which has the
            solutions between marks and the metadata or cells that the grading system needs.
    """
    cell = {None: _plain, 'otter': _plain, 'nbgrader': _nbgrader}[edition]
    parts = sections()
    functions = self_checks()
    checks = {name: f'# {docstring}\n{body}' for name, (docstring, _, body) in functions.items()
              if name not in CHECK_HELPERS}
    first, setup = FIRST_CELLS
    setup = '\n\n\n'.join([f'# starter version {VERSION}\n{setup}', *(functions[name][1] for name in CHECK_HELPERS)])
    yield cell('markdown', 'introduction', first)
    yield cell('markdown', 'unusual', next(part for part in parts if part.startswith('## What is unusual')))
    yield cell('code', 'setup', setup)
    step = 0
    for name, group in _groups(checks):
        if group[0].step != step:
            step = group[0].step
            yield cell('markdown', f'step-{step}', next(part for part in parts if part.startswith(f'## Step {step}')))
        tasks = [cell('code', method.name, _method_source(method, edition), solution=True) for method in group]
        test = cell('code', f'check-{name.strip("_")}', checks[name],
                    points=points.check_points(name))
        yield from _question(name, tasks, test) if edition == 'otter' else [*tasks, test]
    about, train = TRAINING_CELLS
    yield cell('markdown', 'training', about)
    yield _plain('code', 'run', train)  # Students may change this cell in every edition.
    answer = cell('markdown', ANSWER_ID, f'{QUESTION}\n\n…', solution=True, points=points.WRITTEN_POINTS)
    yield from _question(ANSWER_ID, [answer], None) if edition == 'otter' else [answer]


def _groups(checks):
    """Return pairs of a check's name and its methods: the one of the same name and those up to the next check."""
    groups = {}
    for method in _all_methods():
        if method.name in checks:
            groups[method.name] = []
        groups[[*groups][-1]].append(method)
    return groups.items()


def _method_source(method, edition):
    """Return the source of a method's cell: a function that a decorator makes a method of its class."""
    text = with_solution_marks(method.text, SOLUTION_MARKS[edition]) if edition else without_solution(method.text)
    return f'@method_of({method.cls})\n{textwrap.dedent(text).rstrip()}'


def _plain(kind, name, source, **about):
    """Return a cell as nbformat defines it; `about` has what only nbgrader needs and is ignored."""
    code = {'execution_count': None, 'outputs': []} if kind == 'code' else {}
    return {'cell_type': kind, 'id': name.strip('_'), 'metadata': {}, 'source': source} | code


def _nbgrader(kind, name, source, solution=False, points=0):
    """Return a cell with nbgrader's metadata: whether students may change it, and its points."""
    cell = _plain(kind, name, source)
    cell['metadata'] = {'nbgrader': {
        'grade_id': cell['id'], 'solution': solution, 'grade': bool(points), 'locked': not solution, 'task': False,
        'schema_version': 3} | ({'points': points} if points else {})}
    return cell


def _question(name, tasks, test):
    """Yield the cells of a question between the raw cells that `otter assign` needs.

    Args:
        name: name of the question.
        tasks: the cells that students complete.
        test: the cell of the check; None for a question that is graded by hand.
    """
    def raw(mark, more=''):
        return _plain('raw', re.sub(r'\W+', '-', f'{mark}-{name}'), f'# {mark}{more}')
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


def write(folder: Path, edition: str | None = None) -> None:
    """Write the notebook into a folder.

    Args:
        folder: a folder that already has the other files of the assignment.
        edition: as for `cells`.
    """
    all_cells = list(cells(edition))
    if edition == 'otter':
        files = ''.join(f'\n  - {path.name}' for path in sorted(folder.iterdir()))
        all_cells.insert(0, _plain('raw', 'config', OTTER_CONFIG + files))
    metadata = {'kernelspec': {'display_name': 'Python 3', 'language': 'python', 'name': 'python3'},
                'language_info': {'name': 'python'}, 'starter_version': VERSION}
    text = json.dumps({'cells': all_cells, 'metadata': metadata, 'nbformat': 4, 'nbformat_minor': 5},
                      ensure_ascii=False, indent=1)
    (folder / NOTEBOOK_NAME).write_text(text + '\n', encoding='utf-8')


# ---------------------------------------------------------------------------------------------------- back to the files

def code_files(content: bytes, texts: dict[str, str] | None = None, name: str = NOTEBOOK_NAME) -> dict[str, str]:
    """Insert the methods that a student's notebook completes into the two files of TODO.

    If the notebook defines a method more than once, the last definition counts. Other functions, classes, imports and
    constants that these methods use are inserted above the first class of the file.

    Args:
        content: the notebook.
        texts: name -> text of the files to insert them into; a file that is missing here is the starter's.
        name: name of the notebook, for error messages.

    Returns:
        Name -> new text of the two files.

    Raises:
        UserError: this is not a notebook, or a cell with a method or one of `texts` is not valid Python.
    """
    sources, version = read_cells(content, name)
    codes = [cell_code.python_source(source) for source in sources]
    method_names = {method.name for method in _all_methods()}
    texts = dict(texts or {})
    for file in TODO:
        original = (paths.ROOT / file).read_text(encoding='utf-8')
        helpers = [part for part in cell_code.definitions(codes, Path(file).stem) if not part.binds & method_names]
        text, above = texts.get(file, f'# starter version {version}\n{without_solution(original)}'), {}
        for method in methods(file, original):
            if definition := _find_definition(codes, method, name):
                number, function = definition
                first, last = _locate(text, method)
                lines = text.splitlines()
                text = '\n'.join([*lines[:first], textwrap.indent(function, '    '), *lines[last:]]) + '\n'
                above |= dict.fromkeys(_helpers_of(function, number, helpers, original))
        head, classes, rest = text.partition('\n\n\nclass ')
        texts[file] = ''.join((head, *(f'\n\n\n{part}' for part in above), classes, rest))
    return texts


def read_cells(content: bytes, name: str) -> tuple[list[str], int]:
    """Return the sources of a notebook's code cells, and the version of its starter.

    The version is in the metadata and in the first code cell, because Colab may remove metadata that it does not know.

    Args:
        content: the notebook.
        name: name of the notebook, for error messages.

    Raises:
        UserError: this is not a notebook.
    """
    try:
        if len(content) > MAX_NOTEBOOK_BYTES:
            raise ValueError(f'more than {MAX_NOTEBOOK_BYTES / 1e6:.0f} MB')
        notebook = json.loads(content.decode('utf-8-sig'))
        sources = [''.join(cell['source']) for cell in notebook['cells'] if cell['cell_type'] == 'code']
        marks = (match[1] for source in sources if (match := VERSION_LINE.search(source)))
        version = int(notebook.get('metadata', {}).get('starter_version', next(marks, 1)))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f'{name}: not a notebook ({type(error).__name__}: {error})') from error
    return sources, version


def _parse(source, what):
    """Return the statements of a source; raise `UserError`, in which `what` names it, if it is not valid Python."""
    try:
        return ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f'{what} is not valid Python ({error})') from error


def _find_definition(codes, method, name):
    """Find the definition of a method in the last cell that has one.

    Returns:
        The index of its cell and its source, or None if the method is missing or not completed.
    """
    for number, source in reversed([*enumerate(codes)]):
        if not re.search(rf'^def {method.name}\b', source, re.M):
            continue
        functions = ['\n'.join(source.splitlines()[node.lineno - 1:node.end_lineno])
                     for node in _parse(source, f'{name}: the cell of {method.name}')
                     if isinstance(node, ast.FunctionDef) and node.name == method.name]
        if functions:
            starter = textwrap.dedent(without_solution(method.text))
            unchanged = ast.dump(ast.parse(functions[-1])) == ast.dump(ast.parse(starter))
            return None if unchanged else (number, functions[-1])


def _helpers_of(function, number, helpers, original):
    """Return the sources of the definitions that a method needs from the notebook.

    Names of the method's own cell come first, then those of its file, and then those of the other cells.

    Args:
        function: source of the method.
        number: index of its cell.
        helpers: `Definition`s of the notebook.
        original: text of the real file.
    """
    own = cell_code.by_name(helper for helper in helpers if helper.cell == number)
    of_file, all_cells = (cell_code.by_name(part) for part in (cell_code.definitions([original], ''), helpers))
    method, = cell_code.definitions([function], '')
    chosen = cell_code.select(
        method.uses, helpers,
        lambda name: own.get(name) or (None if name in of_file else all_cells.get(name, [])))
    return [helper.text for helper in chosen]


def _locate(text, method):
    """Return the first line, from 0, of a method in a file's text, and the line after its last one."""
    for cls in _parse(text, method.file):
        for node in cls.body if isinstance(cls, ast.ClassDef) and cls.name == method.cls else ():
            if isinstance(node, ast.FunctionDef) and node.name == method.name:
                return node.lineno - 1, node.end_lineno
    raise UserError(f'{method.file} has no {method.cls}.{method.name}')


@errors.command_line
def main(argv: list[str] | None = None) -> None:
    """Insert the methods of a student's notebook into the two files beside it."""
    parser = cli.Parser(prog='python -m assignment.notebook', description=main.__doc__)
    parser.add_argument('notebook', type=Path,
                        help='the student\'s notebook; a file that is missing beside it is made from the starter')
    path = parser.parse_args(argv).notebook.expanduser()
    beside = {name: (path.parent / name).read_text(encoding='utf-8-sig')
              for name in TODO if (path.parent / name).is_file()}
    for name, text in code_files(path.read_bytes(), beside, path.name).items():
        with atomic_write(path.parent / name) as part:
            part.write_text(text, encoding='utf-8')
    print(f'{path.parent}: {" and ".join(TODO)} now have the methods of {path.name}')


if __name__ == '__main__':
    sys.exit(main())
