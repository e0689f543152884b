"""The notebook: it runs from top to bottom on small images, and what is stored of it is whole, small and of nowhere."""

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
SMALL = 'CONTENT, STYLE, VGG = {!r}, {!r}, {!r}\nSIZE, ITERATIONS = 48, 6\n'


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == 'code']


def outputs(notebook, kind):
    """Everything of a MIME type, or of the stream 'text', that the cells have put out, in order."""
    found = [output for cell in code(notebook) for output in cell.outputs]
    if kind == 'text':
        return [output.text for output in found if output.output_type == 'stream' and output.name == 'stdout']
    return [output.data[kind] for output in found if kind in output.get('data', {})]


@pytest.fixture(scope='module')
def executed(images, tiny_vgg, tmp_path_factory):
    """The notebook after it ran on two images of 48×32 and a tiny VGG, in a folder of its own."""
    folder = tmp_path_factory.mktemp('notebook')
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in code(notebook):
        cell.outputs = []
        if 'parameters' in cell.metadata.get('tags', ()):
            cell.source += '\n' + SMALL.format(*map(str, (*images, tiny_vgg)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', os.pathsep.join([str(paths.ROOT), os.environ.get('PYTHONPATH', '')]))
        nbclient.NotebookClient(notebook, timeout=300, kernel_name='python3',
                                resources={'metadata': {'path': str(folder)}}).execute()
    return folder, notebook


def test_it_runs_from_top_to_bottom(executed):
    folder, notebook = executed
    printed = ''.join(outputs(notebook, 'text'))
    assert 'the same when all positions are shuffled: True' in printed
    assert 'losses: content_loss, style_loss, total_loss' in printed
    assert 'finished at iteration 6' in printed
    assert len(outputs(notebook, 'image/jpeg')) == 11
    assert (folder / 'outputs' / 'notebook' / 'final.png').exists()
    assert sorted(path.name for path in folder.glob('outputs/*')) == ['notebook']  # stylize leaves nothing


def test_it_shows_the_code_of_the_project_as_it_is(executed):
    shown = ''.join(html.unescape(re.sub(r'<style.*?</style>|<[^>]*>', '', page, flags=re.DOTALL))
                    for page in outputs(executed[1], 'text/html'))
    program = (paths.ROOT / 'style_transfer.py').read_text(encoding='utf-8')
    methods = {node.name: textwrap.dedent(ast.get_source_segment(program, node, padded=True))
               for node in ast.walk(ast.parse(program)) if isinstance(node, ast.FunctionDef)}
    for name in ('_content_loss', '_gram_matrix', '_single_style_loss', 'optimize'):
        assert methods[name] in shown


def test_what_is_stored_was_run_in_order_and_is_small():
    text = NOTEBOOK.read_text(encoding='utf-8')
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    assert len(outputs(notebook, 'image/jpeg')) == 11
    assert not [output for cell in code(notebook) for output in cell.outputs
                if output.output_type == 'error' or output.get('name') == 'stderr']
    assert len(text) < 1_500_000
    assert str(Path.home()) not in text and '/tmp' not in text


def test_it_copies_no_code_of_the_project():
    lines = {line.strip() for name in ('style_transfer.py', 'load_vgg.py', 'utils.py')
             for line in (paths.ROOT / name).read_text(encoding='utf-8').splitlines() if len(line.strip()) > 50}
    own = {line.strip() for cell in code(nbformat.read(NOTEBOOK, as_version=4)) for line in cell.source.splitlines()}
    assert len(lines) > 300 and not lines & own


def test_without_the_project_it_asks_for_its_address_in_its_first_cell():
    first = code(nbformat.read(NOTEBOOK, as_version=4))[0].source
    assert first.startswith("REPOSITORY = ''") and 'git clone' in first and 'pip install' in first
