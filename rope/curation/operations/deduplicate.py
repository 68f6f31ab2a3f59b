"""Of rows with one id, keep one."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os.path import commonprefix
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rope.arrays import IntArray
from rope.config import check_record
from rope.curation.codes import coded
from rope.curation.pipeline.operation import REPEATED, GlobalOperation, Outcome, one_batch, rejects_of
from rope.curation.sampling.keyed_hash import keyed_hash
from rope.curation.scattered import FILE_ROWS, ByHash, ByRow, Records, division_of, n_files
from rope.errors import UsageError

__all__ = ["DEDUPLICATE", "Deduplicate", "deduplicate"]

_ID: Final = np.dtype([("hash", "<u8"), ("row", "<i8")])
_PLACE: Final = np.dtype([("row", "<i8")])


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
    nothing. Rejects `repeated_id`. Held in memory is one file, or some `FILE_ROWS` ids, however many rows there are.

    Raises:
        UsageError: a column to prefer by is missing.
    """
    there = pq.read_schema(paths[0]).names if paths else []
    if missing := [name for name in options.prefer if name not in there]:
        raise UsageError(f"deduplicate: no column {missing[0]!r} to prefer by; the rows have {', '.join(there)}")
    with tempfile.TemporaryDirectory(prefix="rope-repeated-") as folder:
        surplus = _surplus(paths, options.prefer, Path(folder))
        for start, path in _starts(paths):
            rows = pq.read_table(path).combine_chunks()
            is_kept = np.ones(len(rows), np.bool_)
            is_kept[surplus.between(start, start + len(rows))["row"] - start] = False
            kept, others = rows.filter(pa.array(is_kept)), rows.filter(pa.array(~is_kept))
            yield Outcome(one_batch(kept), rejects_of(one_batch(others.select(["id", "domain"])), REPEATED))


def _starts(paths: Sequence[Path]) -> Iterator[tuple[int, Path]]:
    """Each file, with the number of its first row."""
    start = 0
    for path in paths:
        yield start, path
        start += pq.read_metadata(path).num_rows


def _surplus(paths: Sequence[Path], prefer: Sequence[str], folder: Path) -> ByRow:
    """The rows whose ids other rows have that are kept."""
    n_rows = sum(pq.read_metadata(path).num_rows for path in paths)
    repeated = _repeated(paths, folder, n_rows)
    root = _root(paths, repeated)
    divisions = [folder / f"{i}.arrow" for i in range(n_files(n_rows, FILE_ROWS))]
    for rows in _rows_of(paths, repeated):
        _append(divisions, _ranked(rows, prefer, root))
    surplus = ByRow(folder / "surplus", _PLACE, FILE_ROWS)
    for division in divisions:
        surplus.add(_not_first(_read(division), len(prefer)))
    return surplus


def _repeated(paths: Sequence[Path], folder: Path, n_rows: int) -> ByRow:
    """The rows whose ids have a hash that others have too."""
    ids = ByHash(folder / "ids", _ID, n_files(n_rows, FILE_ROWS))
    for start, path in _starts(paths):
        hashes = keyed_hash(pq.read_table(path, columns=["id"])["id"], seed=0, purpose=REPEATED)
        rows = np.empty(len(hashes), _ID)
        rows["hash"], rows["row"] = hashes, np.arange(start, start + len(rows))
        ids.add(rows)
    repeated = ByRow(folder / "repeated", _PLACE, FILE_ROWS)
    for rows in ids:
        _, code, count = np.unique(rows["hash"], return_inverse=True, return_counts=True)
        repeated.add(_places(rows["row"][count[code] > 1]))
    return repeated


def _rows_of(paths: Sequence[Path], places: ByRow, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Some rows of all files, a table a file, with a column `place` for the number of the row."""
    for start, path in _starts(paths):
        own = np.sort(places.between(start, start + pq.read_metadata(path).num_rows)["row"])
        if len(own):
            rows = pq.read_table(path, columns=columns).take(pa.array(own - start))
            yield rows.append_column("place", pa.array(own))


def _root(paths: Sequence[Path], repeated: ByRow) -> str:
    """The folder that all files of some rows are in."""
    columns = [name for name in ("frames", "video") if paths and name in pq.read_schema(paths[0]).names]
    found: list[str] = []
    for rows in _rows_of(paths, repeated, columns) if columns else ():
        found = [path for row in rows.to_pylist() for path in _paths_in(row)] + found[:1]
        found = [commonprefix(found)] if found else []  # noqa: RUF071 -- cut at a slash
    return found[0].rpartition("/")[0] if found else ""


def _ranked(rows: pa.Table, prefer: Sequence[str], root: str) -> pa.Table:
    """What decides between some rows."""
    columns = {"id": rows["id"]} | {f"prefer {i}": rows[name] for i, name in enumerate(prefer)}
    return pa.table(columns | {"hash": pa.array(_content_hashes(rows, root), pa.string()), "place": rows["place"]})


def _append(divisions: Sequence[Path], rows: pa.Table) -> None:
    """Append rows to the divisions of their ids."""
    place = division_of(keyed_hash(rows["id"], seed=0, purpose=REPEATED), len(divisions))
    for i in np.unique(place).tolist():
        with divisions[i].open("ab") as file, pa.ipc.new_stream(file, rows.schema) as writer:
            writer.write_table(rows.filter(pa.array(place == i)))


def _read(division: Path) -> list[pa.Table]:
    tables = []
    if division.exists():
        with division.open("rb") as file:
            while file.tell() < division.stat().st_size:
                tables.append(pa.ipc.open_stream(file).read_all())
    return tables


def _not_first(tables: Sequence[pa.Table], n_prefer: int) -> Records:
    """The places of all rows but the first of each id."""
    if not tables:
        return _places(np.empty(0, np.int64))
    keys = [("id", "ascending"), *((f"prefer {i}", "descending") for i in range(n_prefer))]
    ordered = pa.concat_tables(tables).sort_by([*keys, ("hash", "ascending"), ("place", "ascending")])
    _, code = coded(ordered["id"])
    return _places(ordered["place"].to_numpy()[np.diff(code, prepend=-1) == 0])


def _places(rows: IntArray) -> Records:
    places = np.empty(len(rows), _PLACE)
    places["row"] = rows
    return places


def _content_hashes(rows: pa.Table, root: str) -> list[str]:
    """SHA-256 of each row; paths are taken from where they part, so that it does not matter where the pool lies."""
    found = rows.drop_columns("place").to_pylist()
    return [hashlib.sha256(repr(sorted(_without(root, row).items())).encode()).hexdigest() for row in found]


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


DEDUPLICATE: Final = GlobalOperation(version=1, options=Deduplicate, apply=deduplicate)
