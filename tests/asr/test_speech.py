"""Where a sound is cut, what counts as silence, and how texts are put together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rope.asr.speech import CHUNK_S, RATE, is_quiet, is_stuck, joined, split_sound


def noise(seconds: float, level: float = 0.1) -> np.ndarray:
    return (level * np.random.default_rng(0).standard_normal(round(seconds * RATE))).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(0, 40 * RATE), max_size=4))
def test_the_parts_are_the_sound_and_none_is_too_long(lengths):
    whole = noise(sum(lengths) / RATE)
    pieces = np.split(whole, np.cumsum(lengths)[:-1]) if lengths else []
    parts = list(split_sound(pieces))
    assert np.array_equal(np.concatenate([np.zeros(0, np.float32), *parts]), whole)
    assert all(0 < len(part) <= CHUNK_S * RATE for part in parts)
    assert all(len(part) >= (CHUNK_S - 5) * RATE for part in parts[:-1])


@pytest.mark.parametrize("pause_s", [25.5, 27.0, 29.5])
def test_a_sound_is_cut_in_a_pause(pause_s):
    sound = noise(40)
    sound[round(pause_s * RATE) : round((pause_s + 0.3) * RATE)] = 0
    first, _ = split_sound([sound])
    assert pause_s <= len(first) / RATE <= pause_s + 0.3


def test_pieces_of_another_size_are_cut_at_the_same_places():
    sound = noise(100)
    assert [*map(len, split_sound([sound]))] == [*map(len, split_sound(np.split(sound, 1000)))]


@pytest.mark.parametrize(
    ("sound", "quiet"),
    [
        (np.zeros(0, np.float32), True),
        (noise(1, 0.0005), True),
        (noise(1, 0.002), False),
        (np.concatenate([np.zeros(RATE, np.float32), noise(0.02)]), False),
    ],
)
def test_quiet_is_less_than_60_db_everywhere(sound, quiet):
    assert is_quiet(sound) == quiet


@pytest.mark.parametrize(
    ("text", "stuck"),
    [
        ("", False),
        ("这款保温杯采用三百一十六不锈钢内胆，保温十二个小时", False),
        ("谢谢观看" * 20, True),
        ("la " * 40, True),
    ],
)
def test_a_text_that_goes_round_is_told_from_one_that_does_not(text, stuck):
    assert is_stuck(text) == stuck


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (["这款", "杯子"], "这款杯子"),
        (["这款", "cup"], "这款 cup"),
        ([" one two", "three"], "one two three"),
        (["", "  "], ""),
    ],
)
def test_parts_get_a_blank_in_between_where_their_script_has_blanks(parts, whole):
    assert joined(parts) == whole
