import pyarrow as pa
import pytest

from rope.curation.codes import coded_in_order

WORDS = ["页", "b", "a", "b", "页"]


@pytest.mark.parametrize(
    "layout",
    [
        pa.array(WORDS),
        pa.array(WORDS).dictionary_encode(),
        pa.chunked_array([WORDS[:2], WORDS[2:], []]),
        pa.chunked_array([pa.array(part).dictionary_encode() for part in (WORDS[:2], WORDS[2:])]),
        pa.array(["x", *WORDS])[1:],
    ],
)
def test_the_layout_changes_nothing(layout):
    names, places = coded_in_order(layout)
    assert names == ["a", "b", "页"]
    assert places.tolist() == [2, 1, 0, 1, 2]


@pytest.mark.parametrize("empty", [pa.array([], pa.string()), pa.chunked_array([], pa.string())])
def test_nothing_has_no_names(empty):
    names, places = coded_in_order(empty)
    assert (names, places.tolist()) == ([], [])
