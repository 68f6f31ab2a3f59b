"""Of rows with one id, keep one."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os.path import commonprefix
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
    repeated, start = [], 0
    for path in paths:
        stop = start + pq.read_metadata(path).num_rows
        if len(places := np.flatnonzero(is_repeated[start:stop])):
            repeated.append(pq.read_table(path).take(pa.array(places)).append_column("place", pa.array(places + start)))
        start = stop
    if not repeated:
        return np.empty(0, np.int64)
    rows = pa.concat_tables(repeated)
    columns = {f"prefer {i}": rows[name] for i, name in enumerate(prefer)}
    columns |= {"id": rows["id"], "hash": pa.array(_content_hashes(rows), pa.string()), "place": rows["place"]}
    every = pa.table(columns)
    keys = [("id", "ascending"), *((f"prefer {i}", "descending") for i in range(len(prefer)))]
    ordered = every.sort_by([*keys, ("hash", "ascending"), ("place", "ascending")])
    _, code = coded(ordered["id"])
    is_first = np.ones(len(code), np.bool_)
    is_first[1:] = np.diff(code) != 0
    return np.asarray(ordered["place"].to_numpy()[is_first], np.int64)


def _content_hashes(rows: pa.Table) -> list[str]:
    """SHA-256 of each row; paths are taken from where they part, so that it does not matter where the pool lies."""
    found = rows.drop_columns("place").to_pylist()
    folder = commonprefix([path for row in found for path in _paths_in(row)]).rpartition("/")[0]  # noqa: RUF071 -- cut at a slash
    return [hashlib.sha256(repr(sorted(_without(folder, row).items())).encode()).hexdigest() for row in found]


def _paths_in(row: Mapping[str, Any]) -> Iterator[str]:
    for file in (*(row.get("frames") or ()), row.get("video")):
        if file is not None and file["path"] is not None:
            yield file["path"]


def _without(folder: str, row: Mapping[str, Any]) -> dict[str, Any]:
    def inside(file: Mapping[str, Any] | None) -> object:
        path = None if file is None else file["path"]
        return file if path is None else {**file, "path": path.removeprefix(folder)}  # type: ignore[dict-item]

    media = {"frames": [inside(file) for file in row.get("frames") or ()], "video": inside(row.get("video"))}
    return {**row, **media}


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], table.schema)


DEDUPLICATE: Final = GlobalOperation(version=1, options=Deduplicate, apply=deduplicate)
