"""The table of search queries: what it may hold, and one sentence for each fault."""

import json

import pyarrow.parquet as pq
import pytest

from rope.dataset.directory import SampleLabels
from rope.dataset.queries import (
    add_queries,
    find_queries,
    queries_fingerprint,
    query_problems,
    read_queries,
    read_query_file,
    write_queries,
)
from rope.dataset.validate import validate
from rope.domain import Frame
from rope.errors import DatasetError, FileError, UsageError
from rope.query import Positive, SearchQuery, as_sample
from tests.dataset.conftest import jpeg

PAGE = {"domain": "page", "sample_id": "31"}
LABELS = {
    "page": SampleLabels(["1", "2", "3"], ["a", "a", "b"], ["s1", "s1", None]),
    "video": SampleLabels(["1"], ["a"]),
}


def lines(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return path


def query(**changes):
    given = {"query_id": "q", "text": "a cup", "images": (), "positives": (Positive("page", "1"),)}
    return SearchQuery(**given | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text": None}, "query 'q' has neither a text nor an image, so there is nothing to search for"),
        ({"text": " "}, "has a blank text; leave it out"),
        ({"group": ""}, "has a blank group; leave it out (null)"),
        ({"images": (Frame(data=b"<html>"),)}, "has an image that cannot be read: embedded frame: cannot be decoded"),
        ({"positives": ()}, "has no positives; name at least one sample"),
        ({"positives": (Positive("page", "9"),)}, "names among its positives page '9', which this split does not have"),
        ({"positives": (Positive("live", "1"),)}, "a sample of the domain 'live'; the dataset has page, video"),
        ({"positives": (Positive("page", "1", 0),)}, "grades page '1' with 0, expected a whole number from 1 to 100"),
        ({"positives": (Positive("page", "1", 101),)}, "grades page '1' with 101"),
        ({"positives": (Positive("page", "1"), Positive("page", "1", 2))}, "lists page '1' twice among its positives"),
        ({"negatives": (("page", "1"),)}, "lists page '1' both as a positive and among its negatives"),
        ({"negatives": (("page", "2"), ("page", "2"))}, "lists page '2' twice among its negatives"),
        ({"negatives": (("page", "8"), ("page", "9"))}, "names among its negatives page '8' and 1 more"),
        ({"excluded": (("page", "1"),)}, "lists page '1' both as a positive and among its excluded"),
        ({"candidates": (("page", "2"),)}, "has the positive page '1', which is not among its candidates"),
        ({"gallery": "s9"}, "searches the gallery 's9', which no sample of this split has"),
        ({"gallery": "s1", "positives": (Positive("page", "3"),)}, "which is not in its gallery 's1'"),
        ({"gallery": "s1", "candidates": (("page", "1"),)}, "has both a gallery and candidates; give one of them"),
    ],
)
def test_each_fault_has_its_sentence(changes, said):
    (problem,) = query_problems([query(**changes)], LABELS)
    assert said in problem


def test_ids_are_unique_and_a_sound_table_has_no_problem():
    assert query_problems([query(), query(query_id="r", gallery="s1")], LABELS) == []
    assert query_problems([query(), query()], LABELS) == ["query 'q' appears more than once; ids of queries are unique"]
    assert query_problems([], LABELS) == ["the file has no queries; add one, or delete the file"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"positives": [PAGE]}, "q.jsonl:2: query_id is None, expected a text that is not blank"),
        ({"query_id": "q", "positive": [PAGE]}, "unknown column 'positive'; a query has query_id, text, images"),
        ({"query_id": "q", "positives": "31"}, "positives is '31', expected a list"),
        ({"query_id": "q", "positives": ["31"]}, "a sample is '31', expected its domain and sample_id and, if"),
        ({"query_id": "q", "positives": [PAGE | {"grade": True}]}, "a grade is True, expected a whole number"),
        ({"query_id": "q", "positives": [PAGE | {"grade": 1.5}]}, "a grade is 1.5, expected a whole number"),
        ({"query_id": "q", "negatives": [PAGE | {"grade": 1}]}, "expected its domain and sample_id"),
        ({"query_id": "q", "text": 7}, "text is '7', expected a text or null"),
        ({"query_id": "q", "images": ["no.jpg"]}, "the image no.jpg: no such file in"),
        ({"query_id": "q", "images": [7]}, "an image is '7', expected the path of a file, or its bytes"),
        ({"query_id": "q", "images": ["/etc/hostname"]}, "expected a path that is relative to"),
        ({"query_id": "q", "images": ["../q.jsonl"]}, "expected a path that is relative to"),
        ({"query_id": "q", "candidates": []}, "candidates is an empty list; leave it out (null) to search among all"),
        (["q"], "expected keys with values at the top, got a list"),
    ],
)
def test_a_row_of_another_form_is_named(row, said, tmp_path):
    with pytest.raises(FileError) as failed:
        read_query_file(lines(tmp_path / "q.jsonl", {"query_id": "p"}, row))
    assert said in str(failed.value)


def test_a_key_that_is_given_twice_is_refused(tmp_path):
    (tmp_path / "q.jsonl").write_text('{"query_id": "q", "text": "a", "text": "b"}\n')
    with pytest.raises(FileError, match=r"q\.jsonl:1: not readable as JSON: the key 'text' is given twice"):
        read_query_file(tmp_path / "q.jsonl")


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_query_file(tmp_path / "q.jsonl")
    (tmp_path / "q.jsonl").write_text('{"query_id":\n')
    with pytest.raises(FileError, match=r"q.jsonl:1: not readable as JSON"):
        read_query_file(tmp_path / "q.jsonl")
    (tmp_path / "q.parquet").write_text("no")
    with pytest.raises(DatasetError, match="cannot be read as Parquet"):
        read_query_file(tmp_path / "q.parquet")
    (tmp_path / "q.csv").touch()
    with pytest.raises(UsageError, match="expected Parquet or lines of JSON"):
        read_query_file(tmp_path / "q.csv")


def test_a_table_is_put_into_a_dataset_and_read_again(small, tmp_path):
    (tmp_path / "cup.jpg").write_bytes(jpeg(9))
    table = lines(
        tmp_path / "mine.jsonl",
        {"query_id": "q2", "text": "cup", "images": ["cup.jpg"], "positives": [PAGE | {"grade": 3}]},
        {"query_id": 1, "text": "a", "positives": [PAGE], "negatives": [{"domain": "live", "sample_id": 34}]},
    )
    added = add_queries(small, "validation", table)
    assert [one.query_id for one in added.queries] == ["1", "q2"]
    assert (
        added == read_queries(small, "validation") or added.fingerprint == read_queries(small, "validation").fingerprint
    )
    stored = read_queries(small, "validation").queries
    assert stored[1].images == (Frame(data=jpeg(9)),)
    assert stored[0].negatives == (("live", "34"),)
    assert (as_sample(stored[1]).domain, stored[1].kind, stored[0].kind) == ("query", "composed", "text")
    assert validate(small) == []
    bytes_before = (small / added.name).read_bytes()
    assert add_queries(small, "validation", small / added.name).fingerprint == added.fingerprint
    assert (small / added.name).read_bytes() == bytes_before


def test_validate_lists_what_is_wrong_with_queries(small):
    lines(small / "queries" / "validation.jsonl", {"query_id": "q", "text": "a", "positives": []})
    (problem,) = validate(small)
    assert (problem.where, "has no positives" in problem.what) == ("queries/validation.jsonl", True)
    write_queries(small / "queries" / "validation.parquet", [query(positives=(Positive("page", "31"),))])
    (problem,) = validate(small)
    assert "both hold queries; keep one of them" in problem.what
    with pytest.raises(DatasetError, match="both hold queries"):
        find_queries(small, "validation")


def test_all_faults_are_listed_at_once(small):
    lines(small / "queries" / "validation.jsonl", *({"query_id": f"{i}", "text": "a"} for i in range(25)))
    with pytest.raises(DatasetError) as failed:
        read_queries(small, "validation")
    assert str(failed.value).count("has no positives") == 20
    assert "and 5 more" in str(failed.value)
    with pytest.raises(DatasetError, match="has no queries of the split train; expected queries/train"):
        read_queries(small, "train")


def test_the_fingerprint_is_of_the_content_alone(tmp_path):
    one = query(images=(Frame(data=b"x"),), negatives=(("page", "2"), ("page", "3")))
    (tmp_path / "x").write_bytes(b"x")
    same = query(images=(Frame(path=str(tmp_path / "x")),), negatives=(("page", "3"), ("page", "2")))
    other = query(query_id="r")
    assert queries_fingerprint([one, other]) == queries_fingerprint([other, same])
    changed = [
        query(),
        query(text="b"),
        query(images=(Frame(data=b"y"),)),
        query(positives=(Positive("page", "1", 2),)),
        query(gallery="s1"),
        query(group="g"),
        query(candidates=(("page", "1"),)),
        query(excluded=(("page", "2"),)),
    ]
    assert len({queries_fingerprint([one]) for one in changed}) == len(changed)


def test_columns_may_be_missing_but_not_twice(tmp_path):
    import pyarrow as pa

    rows = pa.table({"query_id": ["q"], "positives": [[PAGE]], "text": ["a"]})
    pq.write_table(rows, tmp_path / "q.parquet")
    assert read_query_file(tmp_path / "q.parquet") == [query(text="a", positives=(Positive("page", "31"),))]
    pq.write_table(rows.append_column("text", rows["text"]), tmp_path / "q.parquet")
    with pytest.raises(FileError, match="the column text is there more than once"):
        read_query_file(tmp_path / "q.parquet")
