import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rope.curation.operations.deduplicate import Deduplicate, deduplicate
from rope.errors import UsageError

SCHEMA = pa.schema([("id", "string"), ("domain", "string"), ("n", "int64"), ("t", "string")])


def kept(tmp_path, rows, *prefer):
    paths = []
    for i in range(0, len(rows), 2):
        table = pa.Table.from_pylist(
            rows[i : i + 2], schema=pa.schema([("id", "string"), ("domain", "string"), ("n", "int64"), ("t", "string")])
        )
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
