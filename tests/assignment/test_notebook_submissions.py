"""Test notebooks as students really hand them in: the points are those of the two files that their cells contain."""

import ast
import json
import re

import pytest

from assignment import cell_code, make_starter, notebook
from assignment.grader import submissions
from assignment.regions import TODO
from common import paths
from tests.assignment.solutions import STUDENT_BODIES, fill_regions, grade_solution

ITEMS = '_gram_matrix',  # It needs both files.
GRAM = 'rows = tf.reshape(F, (M, N))\n        return tf.matmul(tf.transpose(rows), rows)'
STYLE, VGG = (f'# starter version {make_starter.VERSION}\n' + fill_regions(name, *STUDENT_BODIES[name])
              for name in TODO)
DRIVE = 'from google.colab import drive\ndrive.mount("/content/drive")\n%cd /content/drive/MyDrive/hw2'
TRY_COLAB = """try:
    import google.colab
    IN_COLAB = True
except ImportError:
    IN_COLAB = False
if IN_COLAB:
    from google.colab import drive as d
    d.mount('/content/drive')"""
TRY_NUMPY = """try:
    from google.colab import drive
    import numpy as np
except ImportError:
    print('not on Colab')"""
TRY_SCIPY = """try:
    import scipy
except ImportError:
    !pip install scipy
    import scipy
"""
KAGGLE = """import numpy as np # linear algebra
import pandas as pd, os
for folder, _, names in os.walk('/kaggle/input'):
    for name in names:
        print(os.path.join(folder, name))"""
PATCH = """def gram(self, F, N, M):
    return tf.matmul(as_rows(F, N), as_rows(F, N), transpose_a=True)

setattr(StyleTransfer, '_gram_matrix', gram)"""
ROWS = 'def as_rows(F, N):\n    return tf.reshape(F, [-1, N])'


def without(text, *lines):
    """Return a text without some of its lines."""
    for line in lines:
        assert text.count(f'{line}\n') == 1, line
        text = text.replace(f'{line}\n', '')
    return text


def parts(text, cls):
    """Return the text above a class, the class, and the text below it."""
    start = text.index(f'class {cls}:')
    end = start + re.search(r'\n\n\n(?=\S)', text[start:]).start()
    return text[:start], text[start:end], text[end:]


def imports_last(*texts):
    """Return cells with these texts, whose imports are moved into one cell below them."""
    pattern = re.compile(r'^(?:import|from) .*\n', re.MULTILINE)
    lines = [line for text in texts for line in pattern.findall(text)]
    return [*(pattern.sub('', text) for text in texts), ''.join(lines)]


BARE_STYLE = without(STYLE, 'import load_vgg').replace('load_vgg.VGG(', 'VGG(')
NOTEBOOKS = {  # the code cells
    'only the files': [VGG, STYLE],
    'the files in the other order': [STYLE, VGG],
    'one cell': [VGG + STYLE],
    'one cell in the other order': [STYLE + VGG],
    'a cell for Google Drive': [DRIVE, VGG, STYLE],
    'a download from Colab': [VGG, STYLE, 'from google.colab import files\nfiles.download("final.png")'],
    'names of Colab that the files use': ['from google.colab import drive, files\nfiles.upload()', VGG, STYLE],
    'an import of a package': ['import google.colab\nimport nowhere.deep as n, torch', VGG, STYLE],
    'imports in try and if': [TRY_COLAB, VGG, STYLE],
    'a missing and a used import in one try': [
        TRY_NUMPY, without(VGG, 'import numpy as np'), without(STYLE, 'import numpy as np')],
    'an import with a fallback': [VGG.replace('import scipy\n', TRY_SCIPY), STYLE],
    'magic lines and cells': [
        '!pip install x \\\n    y\n%matplotlib inline\nprint?', '%%bash\nls -l\nclass VGG',
        '%%writefile notes.txt\nclass VGG',
        f'%matplotlib inline\nlisting = !ls\n{VGG}', f'# first\n%%time\n{STYLE}\n!ls', ''],
    'a percent sign that begins a line': [
        VGG.replace('    def _weights', "    x = ('%s'\n    % 1)\n\n    def _weights"), STYLE],
    'TensorFlow 2 below the files': [VGG, STYLE, 'import tensorflow as tf\nprint(tf.__version__)'],
    'imports of each other': [
        'from load_vgg import VGG', VGG, 'import load_vgg\nfrom load_vgg import VGG', STYLE,
        'from style_transfer import StyleTransfer'],
    'imports of each other in try and if': [
        'try:\n    from load_vgg import VGG\nexcept ImportError:\n    from load_vgg import VGG', VGG,
        'if True:\n    from style_transfer import StyleTransfer', STYLE],
    'imports that the classes replace': ['from nowhere import VGG, StyleTransfer', VGG, STYLE],
    'names without their module': [VGG, BARE_STYLE],
    'names of a file that a cell writes': [f'%%writefile load_vgg.py\n{VGG}', 'from load_vgg import *', BARE_STYLE],
    'a cell that writes a file in parts': [
        f'%%writefile style_transfer.py\n{STYLE[:9000]}', f'%%writefile -a style_transfer.py\n{STYLE[9000:]}',
        f'#@title VGG\n%%file "/content/load_vgg.py"\n{VGG}', DRIVE],
    'a class in a cell and a file that a cell writes': [DRIVE, f'%%writefile /content/load_vgg.py\n{VGG}', STYLE],
    'several cells for each file': [*parts(VGG, 'VGG'), *parts(STYLE, 'StyleTransfer')],
    'only the classes': ['from load_vgg import *\nfrom style_transfer import *', parts(VGG, 'VGG')[1],
                         parts(STYLE, 'StyleTransfer')[1]],
    'imports in the last cell': imports_last(VGG, STYLE),
    'a helper between the files': [VGG, ROWS, STYLE.replace('tf.reshape(F, (M, N))', 'as_rows(F, N)')],
    'a helper below the files': [VGG, STYLE.replace('tf.reshape(F, (M, N))', 'as_rows(F, N)'), ROWS],
    'a method in another cell': [VGG, STYLE.replace(GRAM, 'raise NotImplementedError'), ROWS, PATCH],
    'a class that continues in another cell': [VGG, STYLE, 'class StyleTransfer(StyleTransfer):\n    extra = 1'],
    'variables with the names of modules': ['files, output = [], 3', VGG, STYLE, 'paths = ["a"]\nfiles = tf = None'],
    'the first cell of Kaggle': [KAGGLE, VGG, STYLE],
    'annotations from the future': ['from __future__ import annotations', VGG, STYLE],
}


def notebook_bytes(sources, metadata=None, as_lines=True):
    """Return the bytes of a notebook with these code cells, each with a picture, and a Markdown cell."""
    output = {'output_type': 'display_data', 'metadata': {}, 'data': {'image/png': 'iVBORw0KGgo='}}
    cells = [{'cell_type': 'markdown', 'metadata': {}, 'source': ['About class VGG']}]
    cells += [{'cell_type': 'code', 'metadata': {}, 'execution_count': None, 'outputs': [output],
               'source': source.splitlines(keepends=True) if as_lines else source} for source in sources]
    return json.dumps({'cells': cells, 'metadata': metadata or {}, 'nbformat': 4, 'nbformat_minor': 0}).encode()


def read(tmp_path, content):
    """Return the files of a submission that consists of a notebook with this content."""
    path = tmp_path / 'hw.ipynb'
    path.write_bytes(content)
    submission = submissions.read('ada', [path])
    assert submission.problem is None
    return submission.files


def grades(files):
    """Return what is wrong with ITEMS: item -> message or None."""
    return {item: grade_solution(files, item) for item in ITEMS}


@pytest.mark.parametrize('name', NOTEBOOKS)
def test_a_notebook_with_the_code_of_both_files_passes(tmp_path, name):
    assert grades(read(tmp_path, notebook_bytes(NOTEBOOKS[name]))) == dict.fromkeys(ITEMS)


def test_a_notebook_that_stores_each_cell_as_one_string_passes(tmp_path):
    """Kaggle stores them so, and JSON has no line that begins with the class."""
    content = notebook_bytes([KAGGLE, VGG, STYLE], {'kaggle': {'isGpuEnabled': True}}, as_lines=False)
    assert grades(read(tmp_path, content)) == dict.fromkeys(ITEMS)


@pytest.mark.parametrize('line', ['import nowhere', 'if True:\n    from nowhere import deep as nowhere'])
def test_a_missing_import_that_a_class_uses_is_the_error(tmp_path, line):
    vgg = VGG.replace('        self.input_img = input_img\n', '        self.input_img = nowhere.image(input_img)\n')
    message = "ModuleNotFoundError: No module named 'nowhere'"
    files = read(tmp_path, notebook_bytes([line, vgg, STYLE]))
    assert all(problem.startswith(message) for problem in grades(files).values())
    assert b'nowhere' not in read(tmp_path, notebook_bytes([line, VGG, STYLE]))['load_vgg.py']


def test_code_of_another_starter_version_keeps_its_version(tmp_path):
    files = read(tmp_path, notebook_bytes([DRIVE, '# starter version 1\nclass VGG:\n    x = 1\n', STYLE]))
    assert files['load_vgg.py'].startswith(b'# starter version 1\n')


# ----------------------------------------------------------------------------------------------------- the definitions

def names_and_kinds(*cells):
    """Return the text, names and kind of each definition in cells."""
    return [(part.text, set(part.binds), part.kind) for part in cell_code.definitions(cells, 'load_vgg')]


def test_each_imported_name_and_each_part_of_a_block_is_one_definition():
    assert names_and_kinds('import a.b, c as d\nfrom e import f, g as h\nfrom i import *') == [
        ('import a.b', {'a'}, 'import'), ('import c as d', {'d'}, 'from'), ('from e import f', {'f'}, 'from'),
        ('from e import g as h', {'h'}, 'from'), ('from i import *', set(), 'star')]
    assert names_and_kinds('if a():\n    x = 1\n    print(x)\nelse:\n    import y') == [
        ('if a():\n    x = 1', {'x'}, ''), ('if not a():\n    import y', {'y'}, '')]
    assert names_and_kinds('try:\n    import a\nexcept ImportError:\n    a = None') == [
        ('try:\n    import a\nexcept ImportError:\n    a = None', {'a'}, '')]
    assert names_and_kinds('try:\n    import a\n    a.run()\nexcept ImportError:\n    pass', 'run()') == [
        ('import a', {'a'}, 'import')]
    assert names_and_kinds('A.b.c[0] = d\nsetattr(E, "f", g)\nfor i in h:\n    i()') == [
        ('A.b.c[0] = d', {'A'}, ''), ("setattr(E, 'f', g)", {'E'}, '')]


def test_the_names_that_a_definition_uses_are_global():
    cell = 'class A(b):\n    c = d\n    def e(self, f=g):\n        h = i\n        return h.j(f)\n'
    part, = cell_code.definitions([cell], '')
    assert part.uses == {'b', 'd', 'g', 'i'}


def test_a_later_import_replaces_other_values_and_parts_of_a_package_add_up():
    def texts(*cells):
        found = cell_code.definitions(cells, '')
        return [part.text for part in cell_code.select(['a'], found, lambda name: cell_code.by_name(found).get(name))]
    assert texts('from x import a', 'from y import a') == ['from y import a']
    assert texts('a = 1', 'from y import a') == ['from y import a']
    assert texts('from x import a', 'a = 1') == ['a = 1']
    assert texts('import a.b', 'import a.c', 'import a') == ['import a.b', 'import a.c', 'import a']
    assert texts('a = 1', 'a = a + b', 'b = 2\nimport c') == ['a = 1', 'a = a + b', 'b = 2']
    assert texts('from x import a', 'if b:\n    a = 1') == ['from x import a', 'if b:\n    a = 1']


def test_names_that_other_modules_use_are_taken_from_the_notebook():
    used = {name: set() for name in TODO}
    for path in map(paths.ROOT.joinpath, [*make_starter.dependencies(), *TODO, 'assignment/grader/probe.py']):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))) if path.suffix == '.py' else ():
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and f'{node.value.id}.py' in used:
                used[f'{node.value.id}.py'].add(node.attr)
    assert all(used[name] and used[name] <= set(cell_code.NEEDED_NAMES[name]) for name in TODO), used


# ------------------------------------------------------------------------------------------------ the notebook edition

def solved_edition(edition=None):
    """Return the cells of an edition with the real methods, id -> source."""
    solved = {cell['id']: cell['source'] for cell in notebook.cells('nbgrader') if cell['cell_type'] == 'code'}
    return {cell['id']: solved[cell['id']] for cell in notebook.cells(edition) if cell['cell_type'] == 'code'}


def test_the_edition_passes_after_work_on_colab(tmp_path):
    """Colab may remove metadata, such as the starter's version; the student adds cells and imports."""
    cells = solved_edition()
    cells['avgpool'] = f'import torch\nfrom google.colab import files\n{cells["avgpool"]}'
    cells['gram_matrix'] = '\n'.join([
        '@method_of(StyleTransfer)', 'def _gram_matrix(self, F, N, M):', '    return product(as_rows(F, N))'])
    product = 'def product(F):\n    return cos(0) * tf.matmul(F, F, transpose_a=True)'
    helpers = f'from math import *\n{ROWS}', f'import torch\n{product}'
    sources = ['%pip install -q otter-grader', DRIVE, '# Initialize Otter\nimport otter\ngrader = otter.Notebook()',
               '%%writefile notes.txt\nclass VGG', *helpers, *cells.values()]
    files = read(tmp_path, notebook_bytes(sources, {'colab': {'provenance': []}}))
    assert grades(files) == dict.fromkeys(ITEMS) and grade_solution(files, '_gram_matrix') is None
    for text in files.values():
        assert text.startswith(f'# starter version {make_starter.VERSION}\n'.encode())
        assert not re.search(rb'torch|google|otter', text)


def test_an_edition_without_any_version_counts_as_version_1(tmp_path):
    sources = [re.sub('^# starter version .*\n', '', source) for source in solved_edition().values()]
    assert all(text.startswith(b'# starter version 1\n') for text in read(tmp_path, notebook_bytes(sources)).values())


@pytest.mark.parametrize('options, in_files', [
    ('', True), ('\nruns_on: colab', True), ('\nruns_on: colab\ntests:\n  files: true', True),
    ('\ntests:\n  files: false', False)])
def test_otter_makes_notebooks_that_pass(tmp_path, options, in_files):
    assign = pytest.importorskip('otter.assign', reason='otter-grader is not installed')
    assert make_starter.main(['--notebook', '--for', 'otter', str(tmp_path / 'hw2')]) == 0
    path = tmp_path / 'hw2' / notebook.NOTEBOOK_NAME
    content = json.loads(path.read_text())
    content['cells'][0]['source'] += options
    path.write_text(json.dumps(content))
    assign.main(str(path), str(tmp_path / 'hw2' / 'dist'), no_run_tests=True)
    student = json.loads((tmp_path / 'hw2' / 'dist' / 'student' / notebook.NOTEBOOK_NAME).read_text())
    assert ('otter' in student['metadata']) != in_files
    assert (tmp_path / 'hw2/dist/student/tests/avgpool.py').exists() == in_files
    code = [''.join(cell['source']) for cell in student['cells'] if cell['cell_type'] == 'code']
    assert any('grader = otter.Notebook(' in source for source in code)
    solved = {source.partition('"""')[0]: source for source in solved_edition().values()}
    sources = [solved.get(source.partition('"""')[0], source) for source in code]
    assert grades(read(tmp_path, notebook_bytes(sources))) == dict.fromkeys(ITEMS)
