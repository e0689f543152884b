"""The language rules of CONTRIBUTING.md: standard terms, American spelling, constants that are nouns."""

import ast
import os
import re
import shutil
import subprocess
import sys

import pytest

from common import paths

ROOT = paths.ROOT
# (module, old name, kind, new name) of identifiers whose old name was not the standard term. Kinds: module, class,
# function (or method), parameter, attribute (of any object, or a field of a class), constant.
RENAMES = [
    ('common.errors', 'offer', 'function', 'add_known_flags'),
    ('common.errors', '_offered', 'constant', 'known_flags'),
    ('common.errors', 'ways', 'attribute', 'hints'),
    ('common.files', 'whole_file', 'function', 'atomic_write'),
    ('common.names', 'checked', 'function', 'validate'),
    ('common.names', 'of_files', 'function', 'from_files'),
    ('common.names', 'distinct', 'function', 'unique_labels'),
    ('common.process', 'no_stderr', 'function', 'suppress_stderr'),
    ('common.progress', 'begun', 'attribute', 'start_step'),
    ('common.tf1', 'quiet', 'module', 'tf1'),
    ('common.paths', 'shipped', 'module', 'paths'),
    ('utils', 'fit', 'function', 'resize_and_crop'),
    ('utils', 'block_means', 'function', 'box_downsample'),
    ('utils', 'encoded', 'function', 'encode_image'),
    ('utils', 'plays', 'parameter', 'playback'),
    ('recipes', 'ignores', 'function', 'inactive_because'),
    ('recipes', 'only', 'parameter', 'active_when'),
    ('recipes', 'cadence', 'attribute', 'log_schedule'),
    ('recipes', 'logs', 'function', 'should_log'),
    ('recipes', 'identity', 'function', 'fingerprint'),
    ('recipes', 'NO_IDENTITY', 'constant', 'NOT_IN_FINGERPRINT'),
    ('engine.losses.features', 'features_of', 'function', 'extract_features'),
    ('engine.losses.features', 'held', 'function', 'lazy_constant'),
    ('engine.losses.guidance', 'guides', 'function', 'guidance_masks'),
    ('engine.losses.statistics', 'Regions', 'class', 'GuidedStyleTarget'),
    ('engine.optim.averaging', 'iterates', 'module', 'averaging'),
    ('engine.optim.averaging', 'kept_in_range', 'function', 'clip_to_gamut'),
    ('engine.optim.averaging', 'averaged', 'function', 'exponential_moving_average'),
    ('engine.optim.pyramid', 'scales', 'module', 'pyramid'),
    ('engine.optim.pyramid', 'Scale', 'class', 'Level'),
    ('engine.optim.pyramid', 'of', 'function', 'levels'),
    ('engine.run.runs', 'begin', 'attribute', 'start_step'),
    ('engine.run.runs', 'begun', 'function', 'exists'),
    ('engine.run.runs', 'newest', 'function', 'latest_step'),
    ('engine.run.runs', 'tensor', 'function', 'load_variable'),
    ('engine.run.runs', 'claimed', 'function', 'acquire'),
    ('engine.run.runs', 'finite', 'function', 'check_finite'),
    ('engine.run.runs', 'show', 'function', 'write_latest'),
    ('engine.run.runs', 'log', 'function', 'write_step'),
    ('engine.run.runs', 'identity', 'parameter', 'fingerprint'),
    ('engine.cli.flags', 'unlike', 'function', 'settings_diff'),
    ('style_transfer', '_look', 'function', 'evaluate'),
    ('style_transfer', '_moves', 'function', 'optimizer_steps'),
    ('style_transfer', 'hand_in', 'function', 'write_results'),
    ('style_transfer', 'hands_in', 'parameter', 'write_results'),
    ('style_transfer', 'shown_img', 'attribute', 'displayed_img'),
    ('fast.networks.arbitrary', 'AnyNet', 'class', 'ArbitraryStyleNet'),
    ('fast.networks.arbitrary', 'parted', 'function', 'split_bands'),
    ('fast.networks.arbitrary', 'ground', 'function', 'base_layer'),
    ('fast.networks.arbitrary', 'coding', 'function', 'fit_pca'),
    ('fast.networks.arbitrary', 'enlarged', 'function', 'upsample'),
    ('fast.networks.multi_style', 'doubled', 'function', 'upsample_conv'),
    ('fast.networks.multi_style', 'phases', 'function', 'polyphase_filters'),
    ('fast.networks.pruning', 'narrowing', 'module', 'pruning'),
    ('fast.networks.pruning', 'narrowed', 'function', 'prune'),
    ('fast.inference.moment_matching', 'transforms', 'module', 'moment_matching'),
    ('fast.inference.moment_matching', 'mappings', 'function', 'affine_maps'),
    ('fast.inference.moment_matching', 'mapped', 'function', 'apply'),
    ('fast.inference.moment_matching', 'description', 'function', 'style_embedding'),
    ('fast.inference.color_transfer', 'color_curves', 'module', 'color_transfer'),
    ('fast.inference.color_transfer', 'bent', 'function', 'apply_curves'),
    ('fast.inference.tiled', 'Tiled', 'class', 'TiledModel'),
    ('fast.inference.tiled', 'reach', 'attribute', 'receptive_radius'),
    ('fast.inference.tiled', 'WHOLE', 'constant', 'STATISTICS_SIDE_PX'),
    ('fast.inference.multi_style', 'Model', 'class', 'MultiStyleModel'),
    ('fast.inference.batch', 'applying', 'module', 'batch'),
    ('fast.inference.batch', 'destinations', 'function', 'plan_outputs'),
    ('fast.inference.batch', 'family', 'function', 'collision_key'),
    ('fast.inference.style_spec', 'mixtures', 'module', 'style_spec'),
    ('fast.inference.style_spec', 'in_names', 'function', 'slug'),
    ('fast.inference.temporal_smoothing', 'Steady', 'class', 'TemporalSmoothing'),
    ('fast.inference.batch', 'steady', 'attribute', 'temporal_smoothing'),
    ('fast.data.crops', 'Photos', 'class', 'CropDataset'),
    ('fast.data.crops', 'crop', 'function', '__getitem__'),
    ('fast.training.network_training', 'steadiness', 'parameter', 'consistency_weight'),
    ('fast.training.network_training', '_shift_loss', 'function', '_consistency_loss'),
    ('fast.training.arbitrary', 'counted', 'function', 'hinged_huber'),
    ('fast.training.arbitrary', 'recolored', 'function', 'color_jitter'),
    ('fast.training.pixel_losses', 'ordered_loss', 'function', 'rank_matched_loss'),
    ('fast.training.replicas', 'Exchange', 'class', 'GradientExchange'),
    ('fast.training.replicas', 'gather', 'function', 'aggregate'),
    ('fast.training.replicas', 'follow', 'function', 'worker_loop'),
    ('fast.training.replicas', 'hold', 'function', 'serve_ps'),
    ('fast.training.cluster', 'leads', 'function', 'is_chief'),
    ('fast.training.cluster', 'number', 'attribute', 'replica_index'),
    ('fast.training.cluster', 'hosts', 'attribute', 'ps_tasks'),
    ('benchmarks.baselines', 'contestants', 'module', 'baselines'),
    ('benchmarks.checkerboard', 'lattice', 'module', 'checkerboard'),
    ('assignment.check', 'answered', 'function', 'parse'),
    ('assignment.check', 'judged', 'function', 'grade_item'),
    ('assignment.check', 'given', 'parameter', 'inputs'),
    ('assignment.grader.probe', 'told', 'function', 'describe_error'),
    ('assignment.grader.probe', 'given', 'parameter', 'inputs'),
    ('assignment.grader.verdicts', 'Case', 'class', 'Expected'),
    ('assignment.grader.verdicts', 'right', 'attribute', 'value'),
    ('assignment.grader.verdicts', 'mistakes', 'attribute', 'misconceptions'),
    ('assignment.grader.memory_trim', 'footprint', 'module', 'memory_trim'),
    ('assignment.reporting.pdf', 'page', 'module', 'pdf'),
    ('assignment.handed_in', 'findings', 'function', 'verify_run'),
]
# Stems of British spellings. KEPT matches where they stay: names of our files and commands, and names from elsewhere.
BRITISH = re.compile(r'colour|grey|centr(?:e[sd]?\b|ing)|neighbour|behaviour|favour|cancelled|licence|catalogue'
                     r'|(?:initial|normal|styl|minim|maxim|final|optim|summar)is(?:e|ing)', re.IGNORECASE)
KEPT = re.compile(r"catalogue(?:\.\w|_page|['`/-])|(?:a-|test_|import |setattr\()catalogue"
                  r"|CancelledError|`_initialise`", re.IGNORECASE)
ADJECTIVES = set('''
    LONGEST SHORTEST LARGEST SMALLEST LEAST MOST DEEPEST FURTHEST FARTHEST WIDEST STRONGEST OLDEST NEWEST
    WHOLE FAINT FLAT SMOOTH EMPTY DEEP SHALLOW FINE PAINTED DETAILED ENLARGED HIGH WIDE BOLD LOSSY OPAQUE
    DAMAGED WRITTEN NUMBERED UNFINISHED FORBIDDEN HELD_OUT TURNED LOST DEAF TOLD KEPT SMALL LARGE
'''.split())


def sources(*patterns):
    """Return the tracked files that match some patterns, except the old runs, hidden folders and this file."""
    files = subprocess.run(['git', 'ls-files', *patterns], cwd=ROOT, capture_output=True, text=True)
    names = files.stdout.split('\n') if not files.returncode else [
        path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.rglob(pattern)]
    return [ROOT / name for name in names
            if name and not name.startswith(('tests/old/', '.')) and name != 'tests/test_language.py'
            and (ROOT / name).is_file()]


def definitions(module):
    """Yield the definitions of a module as pairs (kind, name)."""
    path = ROOT / f'{module.replace(".", "/")}.py'
    yield 'module', path.stem
    tree = ast.parse(path.read_text(encoding='utf-8'))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield 'class', node.name
            yield from (('attribute', target.id) for line in node.body for target in names_of(line))
        if isinstance(node, ast.FunctionDef):
            yield 'function', node.name
            yield from (('parameter', arg.arg) for arg in (*node.args.args, *node.args.kwonlyargs))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield 'attribute', node.attr
    yield from (('constant', target.id) for line in tree.body for target in names_of(line))


def names_of(statement):
    """Return the names, as `ast.Name` nodes, that a statement assigns to."""
    targets = (statement.targets if isinstance(statement, ast.Assign) else
               [statement.target] if isinstance(statement, ast.AnnAssign) else [])
    return [node for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]


@pytest.mark.parametrize('module, old, kind, new', RENAMES)
def test_identifiers_have_the_standard_names(module, old, kind, new):
    found = set(definitions(module))
    assert (kind, new) in found
    assert (kind, old) not in found


def test_spelling_is_american():
    wrong = [f'{path.relative_to(ROOT)}:{number}: {match[0]}'
             for path in sources('*.py', '*.md', '*.html', '*.toml') if not path.name.endswith('.zh.md')
             for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), start=1)
             for match in BRITISH.finditer(KEPT.sub('', line))]
    assert wrong == []


def test_constants_are_not_bare_adjectives():
    wrong = [f'{path.relative_to(ROOT)}: {target.id}' for path in sources('*.py')
             for line in ast.parse(path.read_text(encoding='utf-8')).body for target in names_of(line)
             if target.id.lstrip('_') in ADJECTIVES]
    assert wrong == []


RUFF = shutil.which('ruff', path=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get('PATH', '')]))


@pytest.mark.skipif(not RUFF, reason='ruff is not installed')
def test_ruff_is_clean():
    done = subprocess.run([RUFF, 'check', '--no-cache', '--quiet', '.'], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
