from pathlib import PurePosixPath

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rope.fetch.names import name_fault, stored_name_sql, url_of


@given(st.lists(st.text("a./", max_size=8), min_size=1, max_size=30))
def test_names_are_stored_where_a_build_looks_for_them(names):
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"SELECT name, {stored_name_sql('name')} FROM unnest(?) AS t(name)", [names]
        ).fetchall()
    for name, stored in rows:
        if name_fault(stored) is None:
            assert stored == str(PurePosixPath(name))


@pytest.mark.parametrize(
    "name", ["", ".", "a/", "a/.", "/a", "..", "a/..", "../a", "a/../b", "c:a", "C:/a", "a\\b", "a\0", "a\n", "\x7f"]
)
def test_what_cannot_be_stored_is_refused(name):
    assert name_fault(name) is not None


@pytest.mark.parametrize("name", ["a.jpg", "a/b.jpg", "..a", "a..b", ".hidden", "https:/x/y.jpg", "空 .jpg", "é" * 127])
def test_what_can_be_stored_is_not(name):
    assert name_fault(name) is None


def test_a_prefix_is_put_before_a_name_as_it_is():
    assert url_of("https://a.example/?name=", "b c.jpg") == "https://a.example/?name=b c.jpg"
