"""Make the archive with which Gradescope grades the assignment.

    python -m assignment.make_autograder autograder.zip

Upload the archive as the autograder of a programming assignment. Choose Ubuntu 22.04; the smallest container suffices.
"""

import re
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from assignment import make_starter, points, regions
from common import cli, errors, files, paths
from common.errors import UserError

PACKAGES = 'tensorflow', 'scipy', 'numpy', 'imageio', 'scikit-image', 'tqdm'  # of requirements.txt
ARCHIVE_DATE = 1980, 1, 1, 0, 0, 0  # fixed, so that the same code makes the same archive
SETUP_SCRIPT = '''#!/usr/bin/env bash
# Gradescope runs this once, when it builds the container: it installs the Python packages and, for the sandbox,
# libseccomp.
set -eu
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 python3-venv libseccomp2
python3 -m venv "$root/venv"
"$root/venv/bin/pip" install --no-cache-dir -r "$root/source/requirements.txt"
'''
RUN_SCRIPT = '''#!/usr/bin/env bash
# Gradescope runs this for each submission, in the folder that contains source/, submission/ and results/.
root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
mkdir -p "$root/results"
# These results remain if the container is stopped before the grader has finished.
cat > "$root/results/results.json" <<'END'
%s
END
chmod -R go-rwx "$root/source"  # It contains the solution, which submissions must not read.
python="$root/venv/bin/python"
cd "$root/source" && exec "$python" -m assignment.gradescope "$root" "$@"
'''
UNFINISHED_RESULTS = ('{"score": 0, "execution_time": 0, "output": "The grader did not finish; tell your teacher.", '
                      '"output_format": "text", "visibility": "visible", "tests": []}')


def archive_texts() -> dict[str, str]:
    """Return the text of every file in the archive by its path there."""
    lines = (paths.ROOT / 'requirements.txt').read_text(encoding='utf-8').splitlines()
    needed = [line for line in lines if re.split('[<>=~!]', line)[0] in PACKAGES]
    names = {*make_starter.dependencies(), *regions.TODO}
    names |= {path.relative_to(paths.ROOT).as_posix() for package in ('assignment', 'common', 'engine')
              for path in (paths.ROOT / package).rglob('*.py')}
    texts = {name: (paths.ROOT / name).read_text(encoding='utf-8') for name in sorted(names)}
    return texts | {
        'requirements.txt': '\n'.join(needed) + '\n',
        'setup.sh': SETUP_SCRIPT,
        'run_autograder': RUN_SCRIPT % UNFINISHED_RESULTS,
    }


def make(path: Path) -> None:
    """Write the archive atomically.

    Raises:
        UserError: The path is a folder or does not end in .zip.
    """
    if path.is_dir() or path.suffix != '.zip':
        raise UserError(f'{path}: name a file that ends in .zip')
    with files.atomic_write(path) as part, zipfile.ZipFile(part, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, text in archive_texts().items():
            info = zipfile.ZipInfo(name, ARCHIVE_DATE)
            info.external_attr = (0o755 if name in ('setup.sh', 'run_autograder') else 0o644) << 16
            archive.writestr(info, text, zipfile.ZIP_DEFLATED)


@errors.command_line
def main(argv: Sequence[str] | None = None) -> None:
    """Make the archive that the command line names."""
    parser = cli.Parser(prog='python -m assignment.make_autograder', description=__doc__.split('\n')[0])
    parser.add_argument('archive', type=Path, help='the file to write; its name must end in .zip')
    path = parser.parse_args(argv).archive
    make(path)
    print(f'{path}: {len(points.ITEMS)} items worth {sum(points.ITEMS.values())} points, '
          'as listed in assignment/points.py')


if __name__ == '__main__':
    sys.exit(main())
