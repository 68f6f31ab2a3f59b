import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rope.sources.fields import part_fields


def fields_of(texts, names):
    lines = pa.record_batch(
        [pa.array(range(1, len(texts) + 1), pa.int64()), pa.array(texts, pa.string())], names=["line", "text"]
    )
    return [tuple(row.values()) for row in part_fields(lines, names).to_pylist()]


@pytest.mark.parametrize(
    ("text", "two", "three"),
    [
        ("7, a", ("7", "a"), ("", "")),
        ("7,a,b", ("7", "a,b"), ("7", "a", "b")),
        (" 7 ,  a , b,c \r", ("7", "a , b,c"), ("7", "a", "b,c")),
        ("7,\u3000蓝色\u3000", ("7", "蓝色"), ("", "")),
        ("7,", ("7", ""), ("", "")),
        (",,", ("", ","), ("", "", "")),
        ("no comma", ("", ""), ("", "")),
        (None, ("", ""), ("", "")),
    ],
)
def test_lines_are_split_at_their_first_commas(text, two, three):
    assert fields_of([text], ("a", "b")) == [(1, text, *two)]
    assert fields_of([text], ("a", "b", "c"))[0][2:] == (three if len(three) == 3 else ("", "", ""))


def test_lines_of_blanks_alone_are_left_out_but_counted():
    assert fields_of(["", " \t\r", "\u3000", "7, a"], ("a", "b")) == [(4, "7, a", "7", "a")]
    assert fields_of([], ("a", "b")) == []


@given(st.lists(st.none() | st.text(st.sampled_from("a7é, \t\u3000😀"), max_size=9)), st.integers(2, 4))
def test_the_same_as_one_line_after_the_other(texts, n):
    expected = []
    for number, text in enumerate(texts, start=1):
        if text is None or text.strip():
            parts = [] if text is None else [part.strip() for part in text.strip().split(",", n - 1)]
            expected.append((number, text, *(parts if len(parts) == n else [""] * n)))
    assert fields_of(texts, tuple("abcd"[:n])) == expected
