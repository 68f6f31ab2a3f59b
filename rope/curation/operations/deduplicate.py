"""Of rows with one id, keep one."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rope.arrays import BoolArray, IntArray
from rope.config import check_record
from rope.curation.codes import coded
from rope.curation.pipeline.operation import REPEATED, GlobalOperation, Outcome, rejects_of
from rope.errors import UsageError

__all__ = ["DEDUPLICATE", "Deduplicate", "deduplicate"]


@dataclass(frozen=True, slots=True)
class Deduplicate:
    """Options of the operation `deduplicate`.

    Attributes:
        prefer: columns of numbers or words; of rows with one id, that with the greatest value of the first is kept,
            then of the second, and so on; a row without a value comes after those that have one.
    """

    prefer: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_record(self)


def deduplicate(paths: Sequence[Path], options: Deduplicate) -> Iterator[Outcome]:
    """Keep one row of each id: the first by `prefer`, and of equals that with the smallest hash of its content.

    Of rows that are equal in all columns the first is kept, which makes no difference. So the order of the pool decides
    nothing. Rejects `repeated_id`. Held in memory are all ids, and the rows whose ids are repeated.

    Raises:
        UsageError: a column to prefer by is missing.
    """
    there = pq.read_schema(paths[0]).names if paths else []
    if missing := [name for name in options.prefer if name not in there]:
        raise UsageError(f"deduplicate: no column {missing[0]!r} to prefer by; the rows have {', '.join(there)}")
    _, code = coded(pa.concat_tables([pq.read_table(path, columns=["id"]) for path in paths])["id"])
    is_repeated = (np.bincount(code) > 1)[code]
    is_kept = ~is_repeated
    is_kept[_best(paths, is_repeated, options.prefer)] = True
    start = 0
    for path in paths:
        rows = pq.read_table(path).combine_chunks()
        own = is_kept[start : start + len(rows)]
        start += len(rows)
        kept, others = rows.filter(pa.array(own)), rows.filter(pa.array(~own))
        yield Outcome(_one_batch(kept), rejects_of(_one_batch(others.select(["id", "domain"])), REPEATED))


def _best(paths: Sequence[Path], is_repeated: BoolArray, prefer: Sequence[str]) -> IntArray:
    """The places among all rows of those to keep of repeated ids."""
    found, start = [], 0
    for path in paths:
        stop = start + pq.read_metadata(path).num_rows
        places = np.flatnonzero(is_repeated[start:stop])
        if len(places):
            rows = pq.read_table(path).take(pa.array(places))
            columns = {f"prefer {i}": rows[name] for i, name in enumerate(prefer)}
            columns |= {"id": rows["id"], "hash": pa.array(map(_content_hash, rows.to_pylist()), pa.string())}
            found.append(pa.table(columns | {"place": pa.array(places + start)}))
        start = stop
    if not found:
        return np.empty(0, np.int64)
    every = pa.concat_tables(found)
    keys = [("id", "ascending"), *((f"prefer {i}", "descending") for i in range(len(prefer)))]
    ordered = every.sort_by([*keys, ("hash", "ascending"), ("place", "ascending")])
    _, code = coded(ordered["id"])
    is_first = np.ones(len(code), np.bool_)
    is_first[1:] = np.diff(code) != 0
    return np.asarray(ordered["place"].to_numpy()[is_first], np.int64)


def _content_hash(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(repr(sorted(row.items())).encode()).hexdigest()


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], table.schema)


DEDUPLICATE: Final = GlobalOperation(version=1, options=Deduplicate, apply=deduplicate)
