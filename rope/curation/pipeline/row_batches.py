"""Rows of Parquet files, a batch at a time.

The last rows of a Parquet row group can only be read by decoding all rows before them. A pool often has row groups much
larger than shards, and a worker makes shards in order. So a worker that stops within a row group keeps the file open
and continues from there.
"""

from collections.abc import Generator, Iterator
from contextlib import ExitStack

import numpy as np
import pyarrow as pa

from rope.curation.pipeline.ids import without_views
from rope.curation.pipeline.places import identity_of, open_parquet
from rope.files import AnyPath

__all__ = ["no_rows", "row_batches"]


def no_rows(path: AnyPath) -> pa.RecordBatch:
    """A batch with the columns of a file, and without rows."""
    with open_parquet(path) as file:
        return without_views(pa.RecordBatch.from_pylist([], schema=file.schema_arrow.remove_metadata()))


def row_batches(
    path: AnyPath, start: int, stop: int, batch_rows: int, *, goes_on: bool = False
) -> Generator[tuple[int, pa.RecordBatch], None, None]:
    """The rows `start:stop` of a file, a batch at a time, each with the number of its first row, counted from `start`.

    Where batches end does not depend on what was read before: every `batch_rows` rows, counted from the row group that
    holds `start`. What an operation computes may depend on the rows of a batch together.

    Args:
        path: the file.
        start: the first row.
        stop: the one after the last.
        batch_rows: rows of a batch; those at either end have fewer.
        goes_on: whether rows of the same row group will probably be wanted next; the file then stays open.
    """
    reader = _take(path, start, stop, batch_rows) if goes_on else None
    if reader is None:
        reader = _Reader(path, start, stop, batch_rows)
    try:
        yield from reader.rows(start, stop)
    except BaseException:
        reader.close()
        raise
    if goes_on and not reader.is_at_end:
        _open.append(reader)
    else:
        reader.close()


class _Reader:
    """The batches of the row groups that hold some rows of a file, and how far they were read."""

    def __init__(self, path: AnyPath, start: int, stop: int, batch_rows: int) -> None:
        self._path, self._identity, self._batch_rows = path, identity_of(path), batch_rows
        self._file = ExitStack()
        file = self._file.enter_context(open_parquet(path))
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        self._ends = np.cumsum(sizes, dtype=np.int64)
        groups = [i for i, end in enumerate(self._ends) if end - sizes[i] < stop and end > start]
        self._place = int(self._ends[groups[0]] - sizes[groups[0]]) if groups else stop
        self._first, self._end = self._group_of(start), int(self._ends[groups[-1]]) if groups else stop
        self._batches = file.iter_batches(batch_rows, row_groups=groups, use_threads=False)
        self._batch: pa.RecordBatch | None = None  # whose first row is at `_place`

    @property
    def is_at_end(self) -> bool:
        """Whether all rows of its groups were read."""
        return self._place >= self._end

    def leads_to(self, path: AnyPath, start: int, stop: int, batch_rows: int) -> bool:
        """Whether these rows come next, in the same batches that a new reader would give."""
        return (
            (path, batch_rows, self._group_of(start)) == (self._path, self._batch_rows, self._first)
            and self._place <= start
            and stop <= self._end
            and identity_of(path) == self._identity
        )

    def rows(self, start: int, stop: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The rows `start:stop`, which are not before its place."""
        while self._place < stop:
            if self._batch is None:
                self._batch = next(self._batches, None)
            if self._batch is None:  # the file has fewer rows, which the accounting will find out
                return
            first, last = self._place, self._place + self._batch.num_rows
            wanted = self._batch.slice(max(start - first, 0), max(min(stop, last) - max(start, first), 0))
            if last <= stop:
                self._place, self._batch = last, None
            if wanted.num_rows:
                yield max(first, start) - start, without_views(wanted)
            if last > stop:
                return

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _group_of(self, row: int) -> int:
        return int(np.searchsorted(self._ends, row, side="right"))


_open: list[_Reader] = []
"""The reader that may go on in this process: one or none."""


def _take(path: AnyPath, start: int, stop: int, batch_rows: int) -> _Reader | None:
    """The open reader where it leads to these rows; else it is closed."""
    if not _open:
        return None
    reader = _open.pop()
    if reader.leads_to(path, start, stop, batch_rows):
        return reader
    reader.close()
    return None
