"""The notebook: made of the same regions, nothing of the solution in the student's; solved, all of its cells run."""

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


def written(folder, edition=None):
    notebook.write(folder, edition)
    return json.loads((folder / notebook.NOTEBOOK_NAME).read_text(encoding='utf-8'))


def sources(edition):
    """id of a code cell -> its source."""
    return {cell['id']: cell['source'] for cell in notebook.cells(edition) if cell['cell_type'] == 'code'}


@pytest.fixture
def classes():
    """The methods that a notebook changes are as they were again."""
    before = [(cls, dict(vars(cls))) for cls in (load_vgg.VGG, style_transfer.StyleTransfer)]
    yield
    for cls, methods in before:
        for name, value in methods.items():
            if vars(cls)[name] is not value:
                setattr(cls, name, value)


@pytest.mark.parametrize('edition', EDITIONS)
def test_it_is_a_notebook_in_the_handouts_order(tmp_path, edition):
    nbformat = pytest.importorskip('nbformat', reason='nbformat of requirements.txt is not installed')
    made = written(tmp_path, edition)
    nbformat.validate(made)
    ids = [cell['id'] for cell in made['cells']]
    assert len(set(ids)) == len(ids)
    handout = (paths.ROOT / 'assignment/README.md').read_text()
    steps = [cell['source'] for cell in made['cells'] if cell['source'].startswith('## Step')]
    assert len(steps) == 5 and steps == sorted(steps) and all(step in handout for step in steps)
    named = [name for name in ids if name in {method.strip('_') for method in (
        'conv2d_relu', 'avgpool', 'maxpool', '_content_loss', '_gram_matrix', '_single_style_loss', '_style_loss',
        'losses', 'optimize', 'create_summary', '_image', 'build', 'train', 'evaluate', 'initialize',
        'optimizer_steps')}]
    assert named == ['conv2d_relu', 'avgpool', 'maxpool', 'content_loss', 'gram_matrix', 'single_style_loss',
                     'style_loss', 'losses', 'optimize', 'create_summary', 'image', 'build', 'train', 'evaluate',
                     'initialize', 'optimizer_steps']
    assert sum(name.startswith('check-') for name in ids) == 11
    for cell in made['cells']:
        if cell['cell_type'] == 'code':
            ast.parse(cell['source'])


def test_the_students_has_every_hint_and_nothing_of_the_solution():
    everything = '\n'.join(sources(None).values())
    count = 0
    for name in TODO:
        lines = (paths.ROOT / name).read_text().splitlines()
        for region in regions('\n'.join(lines)):
            inside = [line.strip() for line in region.body if not line.strip().startswith('#')]
            assert '\n'.join(inside) not in re.sub('^ *', '', everything, flags=re.M)
            count += 1
    assert everything.count('# TODO step') == everything.count('raise NotImplementedError') == count == 18
    assert 'SOLUTION' not in everything


@pytest.mark.parametrize('edition, begin, end', [
    ('otter', '# BEGIN SOLUTION', '# END SOLUTION'), ('nbgrader', '### BEGIN SOLUTION', '### END SOLUTION')])
def test_solutions_are_between_marks_and_nothing_else_is(edition, begin, end):
    marked = 0
    real = {method.name: method for method in notebook._all_methods()}
    for source in sources(edition).values():
        lines = source.splitlines()
        inside = [i for i, line in enumerate(lines) if line.strip() == begin]
        assert [line.strip() for line in lines if 'SOLUTION' in line] == [begin, end] * len(inside)
        marked += len(inside)
        if inside:  # with the marks it is the real method
            function, = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
            function.decorator_list = []
            assert ast.dump(function) == ast.dump(ast.parse(
                '\n'.join(line[4:] for line in real[function.name].text.splitlines())).body[0])
            kept = '\n'.join(itertools.chain(*(part.splitlines()[i > 0:] for i, part in enumerate(
                re.split(f' *{begin}\n(?s:.*?){end}', source)))))  # what the system leaves of it
            assert kept.count('# step ') == source.count('# step ') == len(inside)
    assert marked == 18


def test_nbgrader_knows_what_may_be_changed_and_what_counts(tmp_path):
    cells = {cell['id']: cell for cell in written(tmp_path, 'nbgrader')['cells']}
    for name, cell in cells.items():
        about = cell['metadata'].get('nbgrader')
        if name == 'run':
            assert about is None
            continue
        assert set(about) - {'points'} == {'grade_id', 'solution', 'grade', 'locked', 'task', 'schema_version'}
        assert about['schema_version'] == 3 and re.fullmatch('[a-zA-Z0-9_-]+', about['grade_id'])
        assert about['solution'] == ('BEGIN SOLUTION' in cell['source'] or name == 'curves') == (not about['locked'])
        assert about['grade'] == (name.startswith('check-') or name == 'curves') == ('points' in about)
    counts = {name: about['points'] for name, cell in cells.items()
              if 'points' in (about := cell['metadata'].get('nbgrader', {}))}
    assert (counts['check-conv2d_relu'], counts['check-optimize'], counts['curves']) == (12, 10, 10)
    assert sum(counts.values()) == 110  # what `check` gives, and the written answer


def test_otter_has_its_raw_cells_around_every_question(tmp_path):
    (tmp_path / 'load_vgg.py').write_text('')
    cells = written(tmp_path, 'otter')['cells']
    assert cells[0]['source'].startswith('# ASSIGNMENT CONFIG') and '- load_vgg.py' in cells[0]['source']
    order = ''.join({'raw': cell['source'].partition('\n')[0] + '\n', 'code': 'code\n', 'markdown': ''}[
        cell['cell_type']] for cell in cells[1:])
    begin, end = '# BEGIN QUESTION\n# BEGIN SOLUTION\n', '# END SOLUTION\n'
    tests = '# BEGIN TESTS\ncode\n# END TESTS\n'
    assert re.fullmatch(f'code\n({begin}(code\n)+{end}{tests}# END QUESTION\n){{11}}'
                        f'code\n{begin}{end}# END QUESTION\n', order)


def test_solved_it_runs_and_says_nothing(classes, workdir, tiny_vgg):
    cells, namespace = sources('nbgrader'), {}
    cells['setup'] = cells['setup'].replace('VGG_FILE = None', f'VGG_FILE = {str(tiny_vgg)!r}')
    cells['run'] = cells['run'].replace('333, 250, 300', '48, 36, 3')
    for name, source in cells.items():
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            if name.startswith('check-'):  # as in a shell, where the value of an expression is printed
                for statement in ast.parse(source).body:
                    exec(compile(ast.Interactive([statement]), name, 'single'), namespace)
            else:
                exec(compile(source, name, 'exec'), namespace)
        assert (said.getvalue() == '') == (name != 'run'), name
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
def test_a_check_fails_where_its_method_is_wrong(classes, workdir, tiny_vgg, name, right, wrong):
    cells, namespace = sources('nbgrader'), {}
    names = [*cells]
    check = next(other for other in names[names.index(name):] if other.startswith('check-'))
    assert cells[name].count(right) >= 1
    exec(cells['setup'].replace('VGG_FILE = None', f'VGG_FILE = {str(tiny_vgg)!r}'), namespace)
    exec(cells[name].replace(right, wrong), namespace)
    with pytest.raises(AssertionError):
        exec(cells[check], namespace)


def test_what_is_filled_in_comes_into_the_two_files(tmp_path, capsys):
    made, solved = written(tmp_path), sources('nbgrader')
    for cell in made['cells']:
        if cell['cell_type'] == 'code':
            cell['source'] = solved[cell['id']].splitlines(keepends=True)  # as Jupyter keeps them
    made['cells'].append({'cell_type': 'code', 'metadata': {}, 'source': ['%matplotlib inline\n', '1 +']})
    look = next(cell for cell in made['cells'] if cell.get('id') == 'evaluate')
    look['source'] = ['LOOKS = 4\n', '\n', *look['source']]
    (tmp_path / notebook.NOTEBOOK_NAME).write_text(json.dumps(made), encoding='utf-8-sig')
    assert notebook.main([str(tmp_path / notebook.NOTEBOOK_NAME)]) == 0
    for name in TODO:
        text = (tmp_path / name).read_text()
        assert text.startswith(f'# starter version {make_starter.VERSION}\n') and ('LOOKS = 4\n' in text) == (
            name == 'style_transfer.py')
        assert ast.dump(ast.parse(text.replace('LOOKS = 4\n', ''))) == ast.dump(
            ast.parse((paths.ROOT / name).read_text()))


def test_what_is_still_to_do_there_is_as_it_is_in_the_files(tmp_path):
    written(tmp_path)
    content = (tmp_path / notebook.NOTEBOOK_NAME).read_bytes()
    starter = {name: make_starter.without_solution((paths.ROOT / name).read_text()) for name in TODO}
    assert {name: text.partition('\n')[2] for name, text in notebook.code_files(content).items()} == starter
    mine = {
        TODO[0]: starter[TODO[0]].replace("raise NotImplementedError('step 2: return one number", "return (P, '", 1)
    }
    assert notebook.code_files(content, mine)[TODO[0]] == mine[TODO[0]] != starter[TODO[0]]


@pytest.mark.parametrize('text', ['', '[]', '{}', '{"cells": [1]}', '[' * 100000, '{"cells": [{"cell_type": "code"}]}'])
def test_what_is_no_notebook_is_told(text):
    with pytest.raises(UserError, match='n.ipynb: not a notebook'):
        notebook.code_files(text.encode(), name='n.ipynb')


def test_what_is_no_python_is_told(tmp_path):
    made = written(tmp_path)
    cell = next(cell for cell in made['cells'] if cell['id'] == 'avgpool')
    cell['source'] = re.sub(r'raise (?s:.*)', 'return 1', cell['source'])
    with pytest.raises(UserError, match='load_vgg.py is no Python'):
        notebook.code_files(json.dumps(made).encode(), {'load_vgg.py': 'class ('})
    with pytest.raises(UserError, match='load_vgg.py has no VGG.avgpool'):
        notebook.code_files(json.dumps(made).encode(), {'load_vgg.py': 'class VGG:\n    x = 1\n'})
    cell['source'] += '\n)'
    with pytest.raises(UserError, match='the cell of avgpool is no Python'):
        notebook.code_files(json.dumps(made).encode())


def test_the_flags(tmp_path, capsys):
    assert make_starter.main(['--for', 'otter', str(tmp_path / 'a')]) == 2 and not (tmp_path / 'a').exists()
    assert make_starter.main(['--notebook', '--for', 'otter', str(tmp_path / 'a')]) == 0
    assert '# BEGIN SOLUTION' in (tmp_path / 'a' / notebook.NOTEBOOK_NAME).read_text()
    assert notebook.NOTEBOOK_NAME in capsys.readouterr().out
    assert 'SOLUTION' not in (tmp_path / 'a/style_transfer.py').read_text()
