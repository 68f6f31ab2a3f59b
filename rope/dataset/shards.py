"""Rows cut into Parquet shards, one after the other, so that a stopped build can be resumed.

A shard is finished when its record lies next to it. A record says where the next shard begins. The cuts depend only on
the rows themselves, so a resumed build writes what an uninterrupted one would have written.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rope.files import atomic_path, sha256_of
from rope.sources.faults import ReleaseFault

__all__ = ["RowBatch", "ShardRecord", "read_records", "write_shards", "writer_options"]


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Some rows to write, as one row group.

    Attributes:
        table: the rows.
        n_source_rows: rows of the source that they stand for; some may have been left out.
        payload_bytes: what counts towards the size of a shard.
        faults: what was found wrong on the way.
    """

    table: pa.Table
    n_source_rows: int
    payload_bytes: int
    faults: tuple[ReleaseFault, ...] = ()


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """What is known of a finished shard.

    Attributes:
        next_row: the row of the source at which the next shard begins.
        rows: rows in the shard.
        bytes: size of the file.
        sha256: of the file.
        faults: what was found wrong in its rows.
    """

    next_row: int
    rows: int
    bytes: int
    sha256: str
    faults: tuple[ReleaseFault, ...]


def write_shards(
    folder: Path,
    stem: str,
    schema: pa.Schema,
    n_source_rows: int,
    read: Callable[[int], Iterator[RowBatch]],
    shard_bytes: int,
    advance: Callable[[int], None],
) -> list[ShardRecord]:
    """Write the shards of one table that are not there yet, as `STEM-00000.parquet` with `STEM-00000.json`.

    Args:
        folder: where to write.
        stem: begins the name of each file.
        schema: of the tables.
        n_source_rows: rows of the source; without any, one empty shard is written.
        read: gives the batches from some row of the source on.
        shard_bytes: a shard ends with the batch that brings its payload to this size.
        advance: called with the number of rows of the source just dealt with.

    Returns:
        The records of all shards, in order.
    """
    records = read_records(folder, stem)
    row = records[-1].next_row if records else 0
    advance(row)
    batches = read(row)
    while row < n_source_rows or not records:
        path = folder / f"{stem}-{len(records):05d}.parquet"
        payload, n_rows, faults = 0, 0, list[ReleaseFault]()
        with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, **writer_options(schema)) as writer:
            for batch in batches:
                writer.write_table(batch.table)
                payload += batch.payload_bytes
                n_rows += batch.table.num_rows
                row += batch.n_source_rows
                faults += batch.faults
                advance(batch.n_source_rows)
                if payload >= shard_bytes:
                    break
        records.append(ShardRecord(row, n_rows, path.stat().st_size, sha256_of(path), tuple(faults)))
        with atomic_path(path.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(asdict(records[-1]), ensure_ascii=False), "utf-8")
    return records


def read_records(folder: Path, stem: str) -> list[ShardRecord]:
    """The records of the finished shards of one table, from the first up to the first that is missing."""
    records: list[ShardRecord] = []
    while (path := folder / f"{stem}-{len(records):05d}.json").exists():
        raw = json.loads(path.read_text("utf-8"))
        faults = tuple(ReleaseFault(**fault) for fault in raw.pop("faults"))
        records.append(ShardRecord(**raw, faults=faults))
    return records


def writer_options(schema: pa.Schema) -> dict[str, Any]:
    """Options of a Parquet file whose bytes depend only on its tables and the version of Arrow.

    JPEG does not shrink any further, so the bytes of images are stored as they are. Pages are not cut by content:
    measured, that makes more of a file new after a change, since the images themselves are what is found again.
    """
    columns = [_leaf(field) for field in schema]
    compression = {name: "zstd" for names in columns for name in names}
    compression |= dict.fromkeys((name for name in compression if name.endswith(".bytes")), "none")
    return {
        "compression": compression,
        "use_dictionary": ["category"],
        "write_statistics": ["sample_id", "product_id"],
        "write_page_index": True,
    }


def _leaf(field: pa.Field) -> list[str]:
    """Parquet's names of the columns that hold the values of a field.

    >>> _leaf(pa.field("frames", pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))))
    ['frames.list.element.bytes', 'frames.list.element.path']
    """
    if pa.types.is_list(field.type):
        return [f"{field.name}.list.{name}" for name in _leaf(field.type.value_field.with_name("element"))]
    if pa.types.is_struct(field.type):
        return [f"{field.name}.{name}" for inner in field.type for name in _leaf(inner)]
    return [field.name]
