"""User errors: one line, with hints that fit the command, on terminals of any encoding."""

import os
import subprocess
import sys

import pytest

from common import cli, errors, paths
from common.errors import UserError


def test_only_hints_whose_flag_the_command_has_are_shown(capsys):
    @errors.command_line
    def main(argv):
        parser = cli.Parser()
        commands = parser.add_subparsers()
        commands.add_parser('one').add_argument('--restart', action='store_true')
        commands.add_parser('two').add_argument('--name')
        parser.parse_args(argv)
        raise UserError('it is broken', ('--restart', 'begins again'), ('--name', 'NEW starts another'),
                        ('--tile', 'W helps'))
    printed = []
    for argv in (['one'], ['two'], []):
        assert main(argv) == 2
        printed.append(capsys.readouterr().err)
    assert printed == ['error: it is broken; --restart begins again\n',
                       'error: it is broken; --name NEW starts another\n', 'error: it is broken\n']


def test_outside_of_a_command_all_hints_are_shown():
    assert str(UserError('it is\nbroken', ('--a', 'helps'), ('--b', 'too'))) == 'it is broken; --a helps, --b too'


@pytest.mark.parametrize('encoding, expected', [
    ('cp1252', '333×250 alpha … sum -'), ('latin-1', '333×250 alpha ... sum -'),
    ('ascii', '333x250 alpha ... sum -'), ('utf-8', '333×250 α … Σ −')])
def test_characters_that_a_terminal_lacks_are_replaced(encoding, expected):
    program = ('from common import errors\n'
               '@errors.command_line\n'
               'def main(argv):\n'
               '    print("333×250 α … Σ −")\n'
               '    raise errors.UserError("漢 … \\udcff")\n'
               'main()')
    result = subprocess.run([sys.executable, '-c', program], cwd=paths.ROOT, capture_output=True,
                            env=os.environ | {'PYTHONIOENCODING': encoding})
    assert result.stdout.decode(encoding) == expected + '\n'
    error = result.stderr.decode(encoding)
    assert error == ('error: 漢 … ?\n' if encoding == 'utf-8' else
                     'error: ? … ?\n' if encoding == 'cp1252' else 'error: ? ... ?\n')


def test_help_can_be_printed_in_ascii():
    result = subprocess.run([sys.executable, paths.ROOT / 'fast_style_transfer.py', 'stylize', '--help'],
                            capture_output=True, text=True, env=os.environ | {'PYTHONIOENCODING': 'ascii'})
    assert (result.returncode, result.stderr) == (0, '') and '--help' in result.stdout


def test_an_error_that_nobody_reads_does_not_change_the_status():
    program = ('from common import errors\n'
               '@errors.command_line\n'
               'def main(argv):\n'
               '    errors.print_error("first")\n'
               '    raise errors.UserError("second")\n'
               'print(main())')
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, '-c', program], cwd=paths.ROOT, stdout=subprocess.PIPE, stderr=write)
    os.close(write)
    assert done.stdout == b'2\n'
