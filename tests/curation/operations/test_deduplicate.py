import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.curation import scattered
from rope.curation.operations import deduplicate as operation
from rope.curation.operations.deduplicate import Deduplicate, deduplicate
from rope.errors import UsageError

SCHEMA = pa.schema([("id", "string"), ("domain", "string"), ("n", "int64"), ("t", "string")])


def kept(tmp_path, rows, *prefer):
    """What is kept of rows in two or more files."""
    paths, step = [], max(2, len(rows) // 7)
    for i in range(0, len(rows), step):
        table = pa.Table.from_pylist(rows[i : i + step], schema=SCHEMA)
        paths.append(tmp_path / f"{i}.parquet")
        pq.write_table(table, paths[-1])
    outcomes = list(deduplicate(paths, Deduplicate(list(prefer))))
    rejected = [row for outcome in outcomes for row in outcome.rejects.to_pylist()]
    assert {row["reason"] for row in rejected} <= {"repeated_id"}
    assert len(rejected) + sum(outcome.kept.num_rows for outcome in outcomes) == len(rows)
    return [(row["id"], row["n"], row["t"]) for outcome in outcomes for row in outcome.kept.to_pylist()]


def row(row_id, n=None, t=None):
    return {"id": row_id, "domain": "page", "n": n, "t": t}


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [(("n",), ("a", 3, "p")), (("t",), ("a", 1, "q")), (("n", "t"), ("a", 3, "p"))],
)
def test_the_greatest_value_decides_in_any_order(prefer, expected, tmp_path):
    rows = [row("a", 1, "q"), row("b", 9), row("a", 3, "p"), row("a"), row("a", 3, "o"), row("c", 2)]
    rows = [one for one in rows if one["t"] != "o" or "t" in prefer]
    for order in (rows, rows[::-1]):
        assert sorted(kept(tmp_path, order, *prefer)) == [expected, ("b", 9, None), ("c", 2, None)]


def test_rows_that_are_equal_leave_one(tmp_path):
    assert kept(tmp_path, [row("a", 1), row("a", 1), row("a", 1)]) == [("a", 1, None)]


def test_a_column_that_is_missing_is_named(tmp_path):
    with pytest.raises(UsageError, match="no column 'price' to prefer by; the rows have id, domain, n, t"):
        kept(tmp_path, [row("a")], "price")


def random_rows(n):
    """Rows of which most ids are repeated, with equal values to prefer by, and some without."""
    rng = np.random.default_rng(0)
    numbers, words = rng.integers(0, 4, n).tolist(), rng.integers(0, 3, n).tolist()
    return [
        row(f"i{i}", number or None, "xyz"[word])
        for i, number, word in zip(rng.integers(0, n // 2, n).tolist(), numbers, words, strict=True)
    ]


def best_of(rows):
    """Of each id the greatest number, then the greatest word: a loop."""
    best = {}
    for one in rows:
        rank = (one["n"] or 0, one["t"])
        best[one["id"]] = max(best.get(one["id"], rank), rank)
    return sorted((row_id, number or None, word) for row_id, (number, word) in best.items())


@pytest.mark.parametrize("file_rows", [10**6, 40, 3])
def test_rows_are_those_of_a_loop_however_they_are_divided(file_rows, tmp_path, monkeypatch):
    monkeypatch.setattr(operation, "FILE_ROWS", file_rows)
    rows = random_rows(300)
    assert sorted(kept(tmp_path, rows, "n", "t")) == best_of(rows)


def test_ids_whose_hashes_are_equal_are_not_taken_for_one(tmp_path, monkeypatch):
    monkeypatch.setattr(operation, "keyed_hash", lambda ids, **_: np.zeros(len(ids), np.uint64))
    rows = random_rows(60)
    assert sorted(kept(tmp_path, rows, "n", "t")) == best_of(rows)


def test_ids_of_the_pool_are_not_held_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(operation, "FILE_ROWS", 100)
    read, sizes = scattered._read, []
    monkeypatch.setattr(scattered, "_read", lambda file, kind: sizes.append(len(read(file, kind))) or read(file, kind))
    kept(tmp_path, [row(f"i{i}") for i in range(1500)])
    assert len(sizes) > 15
    assert max(sizes) < 170


def test_a_pool_without_files_or_rows_has_nothing_repeated(tmp_path):
    assert list(deduplicate([], Deduplicate())) == []
    pq.write_table(SCHEMA.empty_table(), tmp_path / "0.parquet")
    assert [outcome.kept.num_rows for outcome in deduplicate([tmp_path / "0.parquet"], Deduplicate(["n"]))] == [0]
