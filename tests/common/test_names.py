"""Names of runs are safe folder names, short, and different for different files."""

import os

import pytest

from common import names
from common.errors import UserError


@pytest.mark.parametrize('name', ['', '.', '..', '.hidden', ' a', 'a/b', 'a\\b', 'a:b', 'holi*', 'a?', 'photo[1]', 'a]',
                                  'a\nb', 'a\x7f', 'x' * 101, '漢' * 34, 'a\udcff'])
def test_a_name_that_could_mean_another_folder_is_refused(name):
    with pytest.raises(UserError, match='^--name .*: must be 1 to 100 bytes') as error:
        names.validate(name)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('name', ['a', 'x' * 100, '漢' * 33, 'two words', 'a.b', '2024-01-01', 'ünï', '-'])
def test_any_other_name_is_accepted(name):
    assert names.validate(name) == name


def test_valid_names_of_files_are_joined_unchanged():
    assert names.from_files('photo', 'starry_night', 'cs20') == 'photo-starry_night-cs20'


@pytest.mark.parametrize('stem', ['photo[1]', 'a*b', '.hidden', 'a\nb', 'x' * 250, '漢字' * 40, 'é' * 120, 'bad\udcff',
                                  '...'])
def test_names_of_other_files_are_made_safe_and_short(stem):
    name = names.from_files(stem, 'style', 'cs20')
    assert names.validate(name) == name == names.from_files(stem, 'style', 'cs20')
    assert len(os.fsencode(name)) <= 100


def test_different_files_get_different_names():
    stems = ['photo[1]', 'photo[1', 'photo_1_', 'photo*1*', 'photo?1?', 'x' * 100, 'x' * 101, 'x' * 150,
             'x' * 150 + 'y', '漢' * 50, '漢' * 51]
    assert len({names.from_files(stem, 's') for stem in stems}) == len(stems)
