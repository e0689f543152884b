"""Test the notebook editions of the assignment against the real code, and that all cells run once they are solved."""

import ast
import contextlib
import io
import itertools
import json
import re

import pytest
from matplotlib import pyplot as plt

import load_vgg
import style_transfer
from assignment import make_starter, notebook
from assignment.regions import TODO, regions
from common import paths
from common.errors import UserError

EDITIONS = None, *notebook.SOLUTION_MARKS


def write_notebook(folder, edition=None):
    """Write an edition of the notebook into a folder; return it as parsed JSON."""
    notebook.write(folder, edition)
    return json.loads((folder / notebook.NOTEBOOK_NAME).read_text(encoding='utf-8'))


def code_sources(edition):
    """Return the sources of an edition's code cells: id -> source."""
    return {cell['id']: cell['source'] for cell in notebook.cells(edition) if cell['cell_type'] == 'code'}


@pytest.fixture
def restore_methods():
    """Restore the methods that the notebook replaces in VGG and StyleTransfer."""
    before = [(cls, dict(vars(cls))) for cls in (load_vgg.VGG, style_transfer.StyleTransfer)]
    yield
    for cls, methods in before:
        for name, value in methods.items():
            if vars(cls)[name] is not value:
                setattr(cls, name, value)


@pytest.mark.parametrize('edition', EDITIONS)
def test_each_edition_is_a_valid_notebook_in_the_order_of_the_handout(tmp_path, edition):
    nbformat = pytest.importorskip('nbformat', reason='nbformat of requirements.txt is not installed')
    written = write_notebook(tmp_path, edition)
    nbformat.validate(written)
    ids = [cell['id'] for cell in written['cells']]
    assert len(set(ids)) == len(ids)
    handout = (paths.ROOT / 'assignment/README.md').read_text()
    steps = [cell['source'] for cell in written['cells'] if cell['source'].startswith('## Step')]
    assert len(steps) == 5 and steps == sorted(steps) and all(step in handout for step in steps)
    methods = [name for name in ids if name in {method.strip('_') for method in (
        'conv2d_relu', 'avgpool', 'maxpool', '_content_loss', '_gram_matrix', '_single_style_loss', '_style_loss',
        'losses', 'optimize', 'create_summary', '_image', 'build', 'train', 'evaluate', 'initialize',
        'optimizer_steps')}]
    assert methods == ['conv2d_relu', 'avgpool', 'maxpool', 'content_loss', 'gram_matrix', 'single_style_loss',
                       'style_loss', 'losses', 'optimize', 'create_summary', 'image', 'build', 'train', 'evaluate',
                       'initialize', 'optimizer_steps']
    assert sum(name.startswith('check-') for name in ids) == 11
    for cell in written['cells']:
        if cell['cell_type'] == 'code':
            ast.parse(cell['source'])


def test_methods_and_checks_do_not_replace_names_of_the_first_cell():
    """otter runs all checks after the last cell, so a name of the first cell must keep its meaning until then."""
    def bound(source):
        for node in ast.parse(source).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                yield node.name
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                yield from (alias.asname or alias.name for alias in node.names)
            else:
                yield from (name.id for name in ast.walk(node)
                            if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store))
    first, *others = code_sources(None).values()
    names = {*bound(first), *vars(load_vgg), *vars(style_transfer)}  # The first cell imports all names of both.
    assert names > {*notebook.CHECK_HELPERS, 'np', 'tf'}
    assert {name for source in others for name in bound(source)} & names == set()


def test_the_student_edition_has_every_hint_and_no_solution():
    all_code = '\n'.join(code_sources(None).values())
    count = 0
    for name in TODO:
        lines = (paths.ROOT / name).read_text().splitlines()
        for region in regions('\n'.join(lines)):
            solution = [line.strip() for line in region.body if not line.strip().startswith('#')]
            assert '\n'.join(solution) not in re.sub('^ *', '', all_code, flags=re.M)
            count += 1
    assert all_code.count('# TODO step') == all_code.count('raise NotImplementedError') == count == 18
    assert 'SOLUTION' not in all_code


@pytest.mark.parametrize('edition, begin, end', [
    ('otter', '# BEGIN SOLUTION', '# END SOLUTION'), ('nbgrader', '### BEGIN SOLUTION', '### END SOLUTION')])
def test_only_solutions_are_between_the_marks(edition, begin, end):
    count = 0
    real_methods = {method.name: method for method in notebook._all_methods()}
    for source in code_sources(edition).values():
        lines = source.splitlines()
        begins = [i for i, line in enumerate(lines) if line.strip() == begin]
        assert [line.strip() for line in lines if 'SOLUTION' in line] == [begin, end] * len(begins)
        count += len(begins)
        if begins:  # the cell is a real method
            function, = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
            function.decorator_list = []
            assert ast.dump(function) == ast.dump(ast.parse(
                '\n'.join(line[4:] for line in real_methods[function.name].text.splitlines())).body[0])
            remaining = '\n'.join(itertools.chain(*(part.splitlines()[i > 0:] for i, part in enumerate(
                re.split(f' *{begin}\n(?s:.*?){end}', source)))))  # what the grading system keeps
            assert remaining.count('# step ') == source.count('# step ') == len(begins)
    assert count == 18


def test_nbgrader_metadata_marks_solutions_locked_cells_and_points(tmp_path):
    cells = {cell['id']: cell for cell in write_notebook(tmp_path, 'nbgrader')['cells']}
    for name, cell in cells.items():
        info = cell['metadata'].get('nbgrader')
        if name == 'run':
            assert info is None
            continue
        assert set(info) - {'points'} == {'grade_id', 'solution', 'grade', 'locked', 'task', 'schema_version'}
        assert info['schema_version'] == 3 and re.fullmatch('[a-zA-Z0-9_-]+', info['grade_id'])
        assert info['solution'] == ('BEGIN SOLUTION' in cell['source'] or name == 'curves') == (not info['locked'])
        assert info['grade'] == (name.startswith('check-') or name == 'curves') == ('points' in info)
    cell_points = {name: info['points'] for name, cell in cells.items()
                   if 'points' in (info := cell['metadata'].get('nbgrader', {}))}
    assert (cell_points['check-conv2d_relu'], cell_points['check-optimize'], cell_points['curves']) == (12, 10, 10)
    assert sum(cell_points.values()) == 110  # 100 of `check`, and 10 for the written answer


def test_the_otter_edition_has_raw_cells_around_every_question(tmp_path):
    (tmp_path / 'load_vgg.py').write_text('')
    cells = write_notebook(tmp_path, 'otter')['cells']
    assert cells[0]['source'] == '# ASSIGNMENT CONFIG\ntests:\n  files: true\nfiles:\n  - load_vgg.py'
    order = ''.join({'raw': cell['source'].partition('\n')[0] + '\n', 'code': 'code\n', 'markdown': ''}[
        cell['cell_type']] for cell in cells[1:])
    begin, end = '# BEGIN QUESTION\n# BEGIN SOLUTION\n', '# END SOLUTION\n'
    tests = '# BEGIN TESTS\ncode\n# END TESTS\n'
    assert re.fullmatch(f'code\n({begin}(code\n)+{end}{tests}# END QUESTION\n){{11}}'
                        f'code\n{begin}{end}# END QUESTION\n', order)


def test_the_solved_notebook_runs_and_only_its_training_prints(restore_methods, workdir, tiny_vgg):
    cells, namespace = code_sources('nbgrader'), {}
    cells['setup'] = cells['setup'].replace('VGG_FILE = None', f'VGG_FILE = {str(tiny_vgg)!r}')
    cells['run'] = cells['run'].replace('333, 250, 300', '48, 36, 3')
    for name, source in cells.items():
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            if name.startswith('check-'):  # print the values of expressions, as an interactive shell does
                for statement in ast.parse(source).body:
                    exec(compile(ast.Interactive([statement]), name, 'single'), namespace)
            else:
                exec(compile(source, name, 'exec'), namespace)
        assert (output.getvalue() == '') == (name != 'run'), name
    plt.close('all')
    assert (workdir / 'report/report.pdf').exists()
    assert len(list((workdir / 'graphs').iterdir())) == 3


WRONG = [
    ('conv2d_relu', 'tf.nn.relu(conv2d)', 'tf.nn.sigmoid(conv2d)'),
    ('conv2d_relu', 'layer_name + BEFORE_RELU, conv2d', 'layer_name + BEFORE_RELU, out'),
    ('conv2d_relu', 'tf.constant(W,', 'tf.Variable(W,'),
    ('avgpool', "'SAME'", "'VALID'"), ('avgpool', 'avg_pool2d', 'max_pool2d'), ('maxpool', 'max_pool2d', 'avg_pool2d'),
    ('content_loss', 'content_factor(s)', 'content_factor(1)'), ('content_loss', 'reduce_sum', 'reduce_mean'),
    ('gram_matrix', 'transpose_a', 'transpose_b'), ('gram_matrix', '[-1, M, N]', '[-1, N, M]'),
    ('single_style_loss', 'style_factor(N, M)', 'style_factor(N, 1)'), ('single_style_loss', 'G - A', 'G'),
    ('style_loss', 'w * e for', 'e for'), ('losses', 'if weight)', 'if weight > 5)'),
    ('losses', 'recipe.content_weight, self.content_loss', '1., self.content_loss'),
    ('optimize', 'recipe.learning_rate', '2.'), ('optimize', ', global_step=self.gstep', ''),
    ('create_summary', 'tf.saturate_cast(', 'tf.cast('),
    ('create_summary', 'scalar(name, loss)', 'scalar(name, -loss)'),
    ('image', ' + self.vgg.mean_pixels', ''),
    ('initialize', 'self.new_img: self.centered_start', 'self.new_img: 0 * self.centered_start'),
    ('train', 'run.save(self.saver, sess, step, losses)', 'pass'),
    ('optimizer_steps', '[self.loss_terms, self.opt]', '[self.loss_terms, self.gstep]'),
]


@pytest.mark.parametrize('name, right, wrong', WRONG)
def test_a_check_fails_where_its_method_is_wrong(restore_methods, workdir, tiny_vgg, name, right, wrong):
    cells, namespace = code_sources('nbgrader'), {}
    names = [*cells]
    check = next(other for other in names[names.index(name):] if other.startswith('check-'))
    assert cells[name].count(right) >= 1
    exec(cells['setup'].replace('VGG_FILE = None', f'VGG_FILE = {str(tiny_vgg)!r}'), namespace)
    exec(cells[name].replace(right, wrong), namespace)
    with pytest.raises(AssertionError):
        exec(cells[check], namespace)


def test_a_solved_notebook_is_converted_to_the_two_real_files(tmp_path, capsys):
    student_notebook, solved_sources = write_notebook(tmp_path), code_sources('nbgrader')
    for cell in student_notebook['cells']:
        if cell['cell_type'] == 'code':
            cell['source'] = solved_sources[cell['id']].splitlines(keepends=True)  # as Jupyter keeps them
    student_notebook['cells'].append({'cell_type': 'code', 'metadata': {}, 'source': ['%matplotlib inline\n', '1 +']})
    evaluate_cell = next(cell for cell in student_notebook['cells'] if cell.get('id') == 'evaluate')
    evaluate_cell['source'] = ['LOOKS = 4\n', 'import nowhere\n', *evaluate_cell['source'], '\n    LOOKS']
    (tmp_path / notebook.NOTEBOOK_NAME).write_text(json.dumps(student_notebook), encoding='utf-8-sig')
    assert notebook.main([str(tmp_path / notebook.NOTEBOOK_NAME)]) == 0
    for name in TODO:
        text = (tmp_path / name).read_text()
        assert text.startswith(f'# starter version {make_starter.VERSION}\n') and ('LOOKS = 4\n' in text) == (
            name == 'style_transfer.py')
        assert ast.dump(ast.parse(text.replace('LOOKS = 4\n', '').replace('        LOOKS\n', ''))) == ast.dump(
            ast.parse((paths.ROOT / name).read_text()))


def test_an_untouched_notebook_is_converted_to_the_files_of_the_starter(tmp_path):
    write_notebook(tmp_path)
    content = (tmp_path / notebook.NOTEBOOK_NAME).read_bytes()
    starter = {name: make_starter.without_solution((paths.ROOT / name).read_text()) for name in TODO}
    assert {name: text.partition('\n')[2] for name, text in notebook.code_files(content).items()} == starter
    own_files = {
        TODO[0]: starter[TODO[0]].replace("raise NotImplementedError('step 2: return one number", "return (P, '", 1)
    }
    assert notebook.code_files(content, own_files)[TODO[0]] == own_files[TODO[0]] != starter[TODO[0]]


@pytest.mark.parametrize('text', ['', '[]', '{}', '{"cells": [1]}', '[' * 100000, '{"cells": [{"cell_type": "code"}]}'])
def test_a_file_that_is_not_a_notebook_is_refused(text):
    with pytest.raises(UserError, match='n.ipynb: not a notebook'):
        notebook.code_files(text.encode(), name='n.ipynb')


def test_invalid_python_and_missing_methods_are_refused(tmp_path):
    student_notebook = write_notebook(tmp_path)
    cell = next(cell for cell in student_notebook['cells'] if cell['id'] == 'avgpool')
    cell['source'] = re.sub(r'raise (?s:.*)', 'return 1', cell['source'])
    with pytest.raises(UserError, match='load_vgg.py is not valid Python'):
        notebook.code_files(json.dumps(student_notebook).encode(), {'load_vgg.py': 'class ('})
    with pytest.raises(UserError, match='load_vgg.py has no VGG.avgpool'):
        notebook.code_files(json.dumps(student_notebook).encode(), {'load_vgg.py': 'class VGG:\n    x = 1\n'})
    cell['source'] += '\n)'
    with pytest.raises(UserError, match='the cell of avgpool is not valid Python'):
        notebook.code_files(json.dumps(student_notebook).encode())


def test_the_flag_for_an_edition_requires_the_flag_notebook(tmp_path, capsys):
    assert make_starter.main(['--for', 'otter', str(tmp_path / 'a')]) == 2 and not (tmp_path / 'a').exists()
    assert make_starter.main(['--notebook', '--for', 'otter', str(tmp_path / 'a')]) == 0
    assert '# BEGIN SOLUTION' in (tmp_path / 'a' / notebook.NOTEBOOK_NAME).read_text()
    assert notebook.NOTEBOOK_NAME in capsys.readouterr().out
    assert 'SOLUTION' not in (tmp_path / 'a/style_transfer.py').read_text()
