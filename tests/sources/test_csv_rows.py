import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rope.sources.csv_rows import csv_rows


@given(st.lists(st.lists(st.text(st.sampled_from('a," \t\n\r长'), max_size=5), min_size=2, max_size=4), max_size=5))
def test_what_the_csv_module_writes_is_read_back(rows):
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    assert [fields for _, fields in csv_rows(file.getvalue())] == rows


@given(st.text(st.sampled_from('a,"\r\n'), max_size=12))
def test_the_same_as_the_csv_module(text):
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        expected = [(reader.line_num, row) for row in reader if row not in ([], [""])]
    except csv.Error:
        with pytest.raises(ValueError, match=r"line \d+: a quotation mark is not closed"):
            list(csv_rows(text))
        return
    assert [(line, row) for line, row in csv_rows(text) if row != [""]] == expected


def test_a_field_may_have_any_length():
    long, limit = "长" * 300_000, csv.field_size_limit()
    assert list(csv_rows(f'a,"{long}"\n{long},b')) == [(1, ["a", long]), (2, [long, "b"])]
    assert csv.field_size_limit() == limit
