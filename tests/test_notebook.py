"""The notebook: it runs from top to bottom on small images, and its stored outputs are complete and small."""

import ast
import html
import os
import re
import textwrap
from pathlib import Path

import pytest

from common import paths

nbformat = pytest.importorskip('nbformat')
nbclient = pytest.importorskip('nbclient')
pytest.importorskip('ipykernel')

NOTEBOOK = paths.ROOT / 'style_transfer.ipynb'
SMALL_SETTINGS = 'CONTENT, STYLE, VGG = {!r}, {!r}, {!r}\nSIZE, ITERATIONS = 48, 6\n'


def code_cells(notebook):
    """Return the code cells of a notebook."""
    return [cell for cell in notebook.cells if cell.cell_type == 'code']


def outputs(notebook, kind):
    """Return all outputs of a MIME type, or with kind 'text' those to standard output, in order."""
    cell_outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    if kind == 'text':
        return [output.text for output in cell_outputs if output.output_type == 'stream' and output.name == 'stdout']
    return [output.data[kind] for output in cell_outputs if kind in output.get('data', {})]


@pytest.fixture(scope='module')
def executed(images, tiny_vgg, tmp_path_factory):
    """Execute the notebook on two images of 48×32 pixels and a tiny VGG; return its folder and the notebook."""
    folder = tmp_path_factory.mktemp('notebook')
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in code_cells(notebook):
        cell.outputs = []
        if 'parameters' in cell.metadata.get('tags', ()):
            cell.source += '\n' + SMALL_SETTINGS.format(*map(str, (*images, tiny_vgg)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', os.pathsep.join([str(paths.ROOT), os.environ.get('PYTHONPATH', '')]))
        nbclient.NotebookClient(notebook, timeout=300, kernel_name='python3',
                                resources={'metadata': {'path': str(folder)}}).execute()
    return folder, notebook


def test_the_notebook_runs_from_top_to_bottom(executed):
    folder, notebook = executed
    printed = ''.join(outputs(notebook, 'text'))
    assert 'the same when all positions are shuffled: True' in printed
    assert 'losses: content_loss, style_loss, total_loss' in printed
    assert 'finished at iteration 6' in printed
    assert len(outputs(notebook, 'image/jpeg')) == 11
    assert (folder / 'outputs' / 'notebook' / 'final.png').exists()
    assert sorted(path.name for path in folder.glob('outputs/*')) == ['notebook']  # `stylize` leaves no files.


def test_the_notebook_shows_the_methods_of_the_program_verbatim(executed):
    displayed = ''.join(html.unescape(re.sub(r'<style.*?</style>|<[^>]*>', '', page, flags=re.DOTALL))
                        for page in outputs(executed[1], 'text/html'))
    program = (paths.ROOT / 'style_transfer.py').read_text(encoding='utf-8')
    methods = {node.name: textwrap.dedent(ast.get_source_segment(program, node, padded=True))
               for node in ast.walk(ast.parse(program)) if isinstance(node, ast.FunctionDef)}
    for name in ('_content_loss', '_gram_matrix', '_single_style_loss', 'optimize'):
        assert methods[name] in displayed


def test_the_stored_outputs_are_of_one_run_in_order_and_small():
    text = NOTEBOOK.read_text(encoding='utf-8')
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert [cell.execution_count for cell in code_cells(notebook)] == list(range(1, len(code_cells(notebook)) + 1))
    assert len(outputs(notebook, 'image/jpeg')) == 11
    assert not [output for cell in code_cells(notebook) for output in cell.outputs
                if output.output_type == 'error' or output.get('name') == 'stderr']
    assert len(text) < 1_500_000
    assert str(Path.home()) not in text and '/tmp' not in text


def test_the_notebook_copies_no_lines_of_the_program():
    lines = {line.strip() for name in ('style_transfer.py', 'load_vgg.py', 'utils.py')
             for line in (paths.ROOT / name).read_text(encoding='utf-8').splitlines() if len(line.strip()) > 50}
    notebook_lines = {line.strip() for cell in code_cells(nbformat.read(NOTEBOOK, as_version=4))
                      for line in cell.source.splitlines()}
    assert len(lines) > 300 and not lines & notebook_lines


def test_the_first_cell_asks_for_the_repository_and_installs_it():
    first = code_cells(nbformat.read(NOTEBOOK, as_version=4))[0].source
    assert first.startswith("REPOSITORY = ''") and 'git clone' in first and 'pip install' in first
