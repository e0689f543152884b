"""The Python code in the cells of a notebook: what it defines, and which of it a class or a function needs.

All cells of a notebook share one namespace, so cells also contain what only the notebook needs, such as imports that
exist only on Colab. `file_text` takes from the cells what belongs into a file, by the names that the code uses.
"""

import ast
import builtins
import re
import symtable
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import NamedTuple

from assignment.regions import VERSION_LINE, without_solution
from common import paths

# The grader and the project's other modules use these names of each file; the class that students complete comes first.
NEEDED_NAMES = {
    'style_transfer.py': ('StyleTransfer',),
    'load_vgg.py': ('VGG', 'BEFORE_RELU', 'MissingLayer', 'VGG_FILENAME', 'WEIGHTS_SEARCH_PATHS', 'Weights',
                    'deepest_index', 'find_weights', 'read_weights', 'write_weights'),
}
CELL_MAGIC = re.compile(r'(?:[ \t]*(?:#.*)?\n)*%%(\w+)(.*)\n?')
PYTHON_MAGICS = 'time', 'capture', 'prun'  # cell magics whose cells define their names in the notebook
LINE_MAGIC = re.compile(r'^([ \t]*)(?:(?:\w[\w, ]*=[ \t]*)?(?:%{1,2}[A-Za-z]|!(?!=)|\?).*(?:(?<=\\)\n.*)*'
                        r'|[\w.]+\?{1,2}[ \t]*)$', re.MULTILINE)
PARSE_ERRORS = SyntaxError, ValueError, RecursionError, MemoryError
FUNCTIONS_AND_CLASSES = ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef
DEFINING = *FUNCTIONS_AND_CLASSES, ast.Assign, ast.AnnAssign, ast.AugAssign
REPLACING = *FUNCTIONS_AND_CLASSES, ast.Assign, ast.Import, ast.ImportFrom


class Definition(NamedTuple):
    """A statement that defines or changes something.

    Attributes:
        cell: index of its cell.
        text: its source.
        binds: names that it defines or changes.
        uses: global names that it uses, also inside of functions.
        kind: 'import' for `import a.b`, 'from' for another import of one name, 'star' for an import of all names,
            'future' for one from `__future__`; '' for anything else.
        replaces: whether earlier values of these names no longer count, unless it uses them.
    """
    cell: int
    text: str
    binds: frozenset[str]
    uses: frozenset[str]
    kind: str
    replaces: bool


def python_source(cell: str) -> str:
    """Return the Python code of a cell: its magic lines become `pass`, and a cell in another language is empty."""
    if match := CELL_MAGIC.match(cell):
        return python_source(cell[match.end():]) if match[1] in PYTHON_MAGICS else ''
    try:
        ast.parse(cell)
        return cell
    except PARSE_ERRORS:
        return LINE_MAGIC.sub(r'\1pass', cell)


def definitions(cells: Iterable[str], module: str) -> list[Definition]:
    """Return the definitions in cells that belong in a module, in order.

    Statements that run something are left out, and so are imports from the module itself and from style_transfer, which
    imports load_vgg. A cell that defines a class but is not valid Python is one definition, so that importing it shows
    the student their error.

    Args:
        cells: sources of code cells.
        module: name of the module.
    """
    found = []
    for number, cell in enumerate(cells):
        source = python_source(cell)
        try:
            statements = ast.parse(source).body
        except PARSE_ERRORS:
            if names := re.findall(r'^class (\w+)', source, re.MULTILINE):
                found.append(Definition(number, source, frozenset(names), frozenset(), '', False))
            continue
        found += [_definition(number, node) for node in _defining_statements(statements)
                  if not _imports_from(node, (module, 'style_transfer'))]
    return found


def _imports_from(node, modules):
    """Return whether importing a file with this statement imports names from one of the modules."""
    return not isinstance(node, FUNCTIONS_AND_CLASSES) and any(
        isinstance(inner, ast.ImportFrom) and inner.module in modules for inner in ast.walk(node))


def _defining_statements(statements: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that define something, one for each imported name, with the conditions above them.

    A `try` that defines something if it fails is one statement. The body of any other `try` is not.
    """
    for node in statements:
        if isinstance(node, ast.Import):
            yield from (ast.Import([alias]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (ast.ImportFrom(node.module, [alias], node.level) for alias in node.names)
        elif isinstance(node, DEFINING) or _sets_attribute(node):
            yield node
        elif isinstance(node, ast.If):
            for test, body in ((node.test, node.body), (ast.UnaryOp(ast.Not(), node.test), node.orelse)):
                yield from (ast.If(test, [inner], []) for inner in _defining_statements(body))
        elif isinstance(node, ast.With):
            yield from (ast.With(node.items, [inner]) for inner in _defining_statements(node.body))
        elif isinstance(node, ast.Try):
            if any(True for handler in node.handlers for _ in _defining_statements(handler.body)):
                yield node
            else:
                yield from _defining_statements(node.body + node.orelse + node.finalbody)


def _sets_attribute(node):
    """Return whether a statement is a call of `setattr` on a name."""
    return (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Name) and node.value.func.id == 'setattr'
            and bool(node.value.args) and isinstance(node.value.args[0], ast.Name))


def _definition(cell, node):
    """Return the `Definition` of a statement."""
    text = ast.unparse(ast.fix_missing_locations(node))
    try:
        table = symtable.symtable(text, '<cell>', 'exec')
    except PARSE_ERRORS:  # Only compiling finds some errors; importing the file will show them.
        return Definition(cell, text, frozenset({getattr(node, 'name', '')}), frozenset(), '', False)
    binds = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    uses = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()} | _globals(table)
    return Definition(cell, text, frozenset(binds | _changed_names(node)), frozenset(uses), _kind(node),
                      isinstance(node, REPLACING))


def _globals(table):
    """Return the global names that the functions and classes in a symbol table use."""
    return {name for child in table.get_children() for name in _globals(child) | {
        symbol.get_name() for symbol in child.get_symbols()
        if symbol.is_global() or child.get_type() == 'class' and symbol.is_referenced()}}


def _changed_names(node):
    """Return the names of objects whose attributes or items a statement sets."""
    if _sets_attribute(node):
        return {node.value.args[0].id}
    changed = set()
    for target in getattr(node, 'targets', [getattr(node, 'target', None)]):
        while isinstance(target, (ast.Attribute, ast.Subscript)):
            target = target.value
        if isinstance(target, ast.Name):
            changed.add(target.id)
    return changed


def _kind(node):
    """Return the `kind` of a statement's `Definition`."""
    if isinstance(node, ast.Import):
        return 'from' if node.names[0].asname else 'import'
    if isinstance(node, ast.ImportFrom):
        return 'future' if node.module == '__future__' else 'star' if node.names[0].name == '*' else 'from'
    return ''


def select(names: Iterable[str], found: Sequence[Definition],
           find: Callable[[str], Sequence[Definition] | None]) -> list[Definition]:
    """Return the definitions that some names need, directly or indirectly.

    Imports of all names of a module are among them if a name is not defined otherwise.

    Args:
        names: the names.
        found: all definitions, in order.
        find: function that returns the definitions of a name among `found`, or None if the name has a meaning without
            them.

    Returns:
        Some of `found`, imports first, otherwise in the same order.
    """
    waiting, seen, chosen, kinds = [*names], set(), set(), {'future'}
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        candidates = find(name)
        if not candidates and candidates is not None and not hasattr(builtins, name):
            kinds.add('star')
        for definition in _effective(name, candidates or []):
            chosen.add(id(definition))
            waiting += definition.uses
    kept = [definition for definition in found if id(definition) in chosen or definition.kind in kinds]
    return sorted(kept, key=lambda definition: 2 - bool(definition.kind) - (definition.kind == 'future'))


def _effective(name, candidates):
    """Leave out definitions of a name that a later one replaces, so that imports can come first.

    Functions, classes and values stay, because other values may have been computed from them. Imports of parts of a
    package add to each other.
    """
    first = max((index for index, part in enumerate(candidates) if part.replaces and name not in part.uses), default=0)
    return [part for index, part in enumerate(candidates)
            if index >= first or part.kind == candidates[first].kind in ('', 'import')]


def by_name(found: Iterable[Definition]) -> dict[str, list[Definition]]:
    """Return the definitions of each name."""
    table = {}
    for definition in found:
        for name in definition.binds:
            table.setdefault(name, []).append(definition)
    return table


def file_text(file: str, cells: Sequence[str]) -> str:
    """Return the text of a file of TODO with the code of a notebook that defines its class.

    The file gets what its NEEDED_NAMES need, from the cells up to the last one that defines or changes the class. A
    name that has no definition there has one in a later cell, or else its definition in the starter.

    Args:
        file: name of the file.
        cells: sources of the notebook's code cells.
    """
    module = PurePath(file).stem
    starter = definitions([without_solution((paths.ROOT / file).read_text(encoding='utf-8'))], module)
    found = definitions(cells, module)
    last = max((part.cell for part in found if NEEDED_NAMES[file][0] in part.binds), default=-1)
    tables = [by_name(parts) for parts in ([part for part in found if part.cell <= last], found, starter)]
    chosen = select(NEEDED_NAMES[file], starter + found,
                    lambda name: next((table[name] for table in tables if name in table), []))
    mark = next((match[0] for cell in cells if (match := VERSION_LINE.search(cell))), '')
    return mark + '\n\n'.join(part.text for part in chosen) + '\n'


def defines_class(cells: Sequence[str], file: str) -> bool:
    """Return whether a notebook defines the class of a file of TODO."""
    return any(re.search(rf'^[ \t]*class {NEEDED_NAMES[file][0]}\b', python_source(cell), re.MULTILINE)
               for cell in cells)
