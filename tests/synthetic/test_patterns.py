import pytest

from rope.synthetic.patterns import PATTERNS, pattern_mask
from rope.synthetic.vocabulary import PATTERN_WORDS


@pytest.mark.parametrize("name", sorted(set(PATTERNS) - {"plain"}))
def test_a_pattern_shows_both_colours(name):
    assert 0.1 < pattern_mask(name, 96, 4.0).mean() < 0.6


def test_plain_shows_one_colour():
    assert not pattern_mask("plain", 96, 4.0).any()


def test_every_pattern_has_words():
    assert set(PATTERN_WORDS) == set(PATTERNS)
