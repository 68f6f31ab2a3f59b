"""Columns too wide to hold for all rows, read a file at a time: only of the rows that are wanted."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.errors import DatasetError, UsageError

__all__ = ["new_column", "read_vectors", "read_wanted"]


def read_wanted(paths: Sequence[Path], columns: Sequence[str], wanted: npt.NDArray[np.bool_]) -> Iterator[pa.Table]:
    """Some columns of the wanted rows, a table a file.

    Args:
        paths: Parquet files.
        columns: their names.
        wanted: bool [rows of all files], in order.
    """
    start = 0
    for path in paths:
        stop = start + pq.read_metadata(path).num_rows
        if wanted[start:stop].any():
            yield pq.read_table(path, columns=list(columns)).filter(pa.array(wanted[start:stop]))
        start = stop


def read_vectors(
    paths: Sequence[Path], wanted: npt.NDArray[np.bool_], stage: str, column: str = "embedding"
) -> npt.NDArray[np.float32]:
    """A column of vectors, of the wanted rows; float32 [wanted rows, dim], and dim is 1 where there are none.

    Args:
        paths: Parquet files with `id`, `domain` and the column.
        wanted: bool [rows of all files], in order.
        stage: who asks, for the message.
        column: its name.

    Raises:
        DatasetError: rows have no vector, or of another length than the first.
        UsageError: the column does not hold lists of numbers.
    """
    kind = pq.read_schema(paths[0]).field(column).type
    if not (pa.types.is_list(kind) and pa.types.is_floating(kind.value_type)):
        raise UsageError(f"{stage}: the column {column!r} holds {kind}; expected lists of float32, one for each row")
    vectors = np.empty((0, 1), np.float32)
    filled = 0
    for table in read_wanted(paths, ("id", "domain", column), wanted):
        lengths = pc.fill_null(pc.list_value_length(table[column]), 0).to_numpy()
        if not filled:
            vectors = np.empty((int(wanted.sum()), max(int(lengths[0]), 1)), np.float32)
        _refuse_short(table, lengths != vectors.shape[1], vectors.shape[1], stage, column)
        flat = np.concatenate([chunk.flatten().to_numpy() for chunk in table[column].chunks])
        vectors[filled : filled + len(table)] = flat.reshape(len(table), -1)
        filled += len(table)
    return vectors


def _refuse_short(table: pa.Table, is_short: npt.NDArray[np.bool_], dim: int, stage: str, column: str) -> None:
    if is_short.any():
        row = table.select(["id", "domain"]).slice(int(np.flatnonzero(is_short)[0]), 1).to_pylist()[0]
        raise DatasetError(
            f"{stage}: {is_short.sum():,} rows have no {column} of {dim} numbers, such as {row['domain']} "
            f"{row['id']!r}; reject them in a stage before"
        )


def new_column(batch: pa.RecordBatch, name: str, values: pa.Array, stage: str) -> pa.RecordBatch:
    """Rows with one column more.

    Raises:
        UsageError: the rows have one of this name.
    """
    if name in batch.schema.names:
        raise UsageError(f"{stage}: the rows have a column {name!r} already; give this one another name with column")
    return batch.append_column(name, values)
