"""Columns too wide to hold for all rows, read a file at a time: only of the rows that are wanted."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.errors import DatasetError

__all__ = ["read_vectors", "read_wanted"]


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


def read_vectors(paths: Sequence[Path], wanted: npt.NDArray[np.bool_], stage: str) -> npt.NDArray[np.float32]:
    """The column `embedding` of the wanted rows; float32 [wanted rows, dim], and dim is 1 where there are none.

    Args:
        paths: Parquet files with `id`, `domain` and `embedding`.
        wanted: bool [rows of all files], in order.
        stage: who asks, for the message.

    Raises:
        DatasetError: rows have no embedding, or of another length than the first.
    """
    vectors = np.empty((0, 1), np.float32)
    filled = 0
    for table in read_wanted(paths, ("id", "domain", "embedding"), wanted):
        lengths = pc.fill_null(pc.list_value_length(table["embedding"]), 0).to_numpy()
        if not filled:
            vectors = np.empty((int(wanted.sum()), max(int(lengths[0]), 1)), np.float32)
        _refuse_short(table, lengths != vectors.shape[1], vectors.shape[1], stage)
        flat = np.concatenate([chunk.flatten().to_numpy() for chunk in table["embedding"].chunks])
        vectors[filled : filled + len(table)] = flat.reshape(len(table), -1)
        filled += len(table)
    return vectors


def _refuse_short(table: pa.Table, is_short: npt.NDArray[np.bool_], dim: int, stage: str) -> None:
    if is_short.any():
        row = table.select(["id", "domain"]).slice(int(np.flatnonzero(is_short)[0]), 1).to_pylist()[0]
        raise DatasetError(
            f"{stage}: {is_short.sum():,} rows have no embedding of {dim} numbers, such as {row['domain']} "
            f"{row['id']!r}; reject them in a stage before"
        )
