"""The rows of a staged release and the sizes of their media, taken in stretches of so many bytes.

Sizes are looked up before a file is read, so that what is cut by bytes is cut in the same place wherever reading began,
and no more than one row group is held.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rope.arrays import BoolArray, IntArray
from rope.dataset.manifest import Media
from rope.files import on_disk

__all__ = ["MAX_BYTES", "ROWS_A_READ", "DomainReader", "Images", "IntArray", "Rows", "Stretch"]


MAX_BYTES: Final = (1 << 31) - (1 << 20)
"""Of the images of one sample, and of one file: Arrow counts the bytes of a column in 31 bits."""

ROWS_A_READ: Final = 2048
_FRAMES_A_READ: Final[dict[Media, int]] = {"embed": 256, "reference": 1 << 16}
"""How much is looked at in one go; changes nothing about where stretches end."""

_NO_FRAMES: Final = pa.schema([("time", pa.int64()), ("image", pa.string())]).empty_table()


@dataclass(frozen=True, slots=True)
class Images:
    """Where the images are, and whether they are copied.

    Attributes:
        media: `embed` reads and checks each file; `reference` writes its path without looking.
        root: the folder that image names are relative to, absolute.
        in_shards: whether the folder holds tar shards of `rope fetch` instead of files.
        shown_as: the name of an image or another file -> what it is called in a dataset that holds its bytes, and in
            the list of faults; None for the same name.
    """

    media: Media
    root: Path
    in_shards: bool = False
    shown_as: Callable[[str], str] | None = None

    def shown(self, names: Sequence[str | None]) -> list[str | None]:
        """What files are called in the dataset."""
        return [name if name is None or self.shown_as is None else self.shown_as(name) for name in names]


class Rows:
    """The rows of a table in the order in which they were written, taken a number at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, query: str, rows_a_read: int = 1 << 16) -> None:
        self._cursor = connection.cursor()  # several are read side by side
        self._batches = iter(self._cursor.sql(query).to_arrow_reader(rows_a_read))
        self._rest: list[pa.RecordBatch] = []

    def take(self, n_rows: int) -> pa.Table:
        """The next `n_rows` rows, or fewer at the end."""
        taken: list[pa.RecordBatch] = []
        while n_rows > 0:
            batch = self._rest.pop() if self._rest else next(self._batches, None)
            if batch is None:
                break
            if len(batch) > n_rows:
                self._rest.append(batch.slice(n_rows))
                batch = batch.slice(0, n_rows)
            taken.append(batch)
            n_rows -= len(batch)
        return pa.Table.from_batches(taken, taken[0].schema).combine_chunks() if taken else pa.table({})

    def take_within(self, n_rows: int, column: str, limit: int) -> pa.Table:
        """As `take`, but only as many as have a sum of at most `limit` in a column; one at least."""
        rows = self.take(n_rows)
        if not len(rows):
            return rows
        n_within = max(1, _n_within(rows[column].to_numpy(), limit))
        self._rest.extend(reversed(rows.slice(n_within).to_batches()))
        return rows.slice(0, n_within)


def _n_within(sizes: IntArray, limit: int) -> int:
    """How many of the first numbers have a sum of at most `limit`."""
    return int(np.searchsorted(np.cumsum(sizes), limit, side="right"))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some rows that follow each other, and what belongs to them.

    Attributes:
        rows: the samples.
        frames: of these, in order, as many each as the column `n_frames` says.
        media_bytes: of the frames of each row together.
        row_bytes: of all that is written of each row, if all of it can be read.
    """

    rows: pa.Table
    frames: pa.Table
    media_bytes: IntArray
    row_bytes: IntArray

    @property
    def owner(self) -> IntArray:
        """The row of each frame."""
        return np.repeat(np.arange(len(self.rows)), self.rows["n_frames"].to_numpy())

    @property
    def is_too_large(self) -> BoolArray:
        """Whether the frames of each row are more than can be held."""
        return self.media_bytes > MAX_BYTES

    def split(self, n_rows: int) -> tuple["Stretch", "Stretch"]:
        """The first rows, and the others."""
        n_frames = pc.sum(self.rows["n_frames"].slice(0, n_rows)).as_py() or 0
        head = (
            self.rows.slice(0, n_rows),
            self.frames.slice(0, n_frames),
            self.media_bytes[:n_rows],
            self.row_bytes[:n_rows],
        )
        rest = self.rows.slice(n_rows), self.frames.slice(n_frames), self.media_bytes[n_rows:], self.row_bytes[n_rows:]
        return Stretch(*head), Stretch(*rest)


class DomainReader:
    """The samples of one split and domain with their frames, read side by side.

    Args:
        samples: the rows of samples.
        frames: those of their frames.
        images: what to do about images.
        file: the source file that samples are reported under, where none is staged.
        schema: the columns to write.
        pool: threads that wait for the disk.
    """

    def __init__(
        self, samples: Rows, frames: Rows, images: Images, file: str, schema: pa.Schema, pool: ThreadPoolExecutor
    ) -> None:
        self.images, self.file, self.schema, self.pool = images, file, schema, pool
        self._samples, self._frames = samples, frames
        self._ahead: Stretch | None = None

    @property
    def file_columns(self) -> list[str]:
        """The columns of files that the schema has."""
        return [column for column in ("video", "audio") if column in self.schema.names]

    def take(self, n_rows: int, n_bytes: int, at_least: int) -> Stretch | None:
        """Some of the next rows, with so many bytes at most, or `at_least` so many rows; None at the end.

        What is left out for its size counts as nothing.
        """
        ahead = self._ahead or self._look_ahead()
        if ahead is None:
            return None
        taken, rest = ahead.split(max(at_least, min(n_rows, _n_within(ahead.row_bytes, n_bytes))))
        self._ahead = rest if len(rest.rows) else None
        return taken

    def _look_ahead(self) -> Stretch | None:
        rows = self._samples.take_within(ROWS_A_READ, "n_frames", _FRAMES_A_READ[self.images.media])
        if not len(rows):
            return None
        frames = self._frames.take(pc.sum(rows["n_frames"]).as_py())
        return self._measured(rows, frames if len(frames) else _NO_FRAMES)

    def is_too_large(self, name: str) -> bool:
        """Whether a file is more than can be held."""
        return _size(self.images.root, name) > MAX_BYTES

    def _measured(self, rows: pa.Table, frames: pa.Table) -> Stretch:
        owner = np.repeat(np.arange(len(rows)), rows["n_frames"].to_numpy())
        media_bytes = np.bincount(owner, self._frame_bytes(frames), len(rows)).astype(np.int64)
        row_bytes = np.where(media_bytes > MAX_BYTES, 0, media_bytes) + _lengths(rows["text"])
        for column in self.file_columns:
            sizes = self._file_bytes(rows[column].to_pylist())
            row_bytes = row_bytes + np.where(sizes > MAX_BYTES, 0, sizes)
        return Stretch(rows, frames, media_bytes, row_bytes)

    def _frame_bytes(self, frames: pa.Table) -> IntArray:
        if self.images.in_shards and len(frames):
            sizes: IntArray = pc.fill_null(frames["size"], 0).to_numpy()
            return sizes
        if self.images.media == "reference":
            return _lengths(frames["image"]) + len(str(self.images.root))
        return self._file_bytes(frames["image"].to_pylist())

    def _file_bytes(self, names: Sequence[str | None]) -> IntArray:
        """Size of each file, 0 where there is none; where it is not copied, of its name."""
        if self.images.media == "reference":
            return np.array([len(name or "") for name in names], np.int64)
        return np.fromiter(self.pool.map(lambda name: (name and _size(self.images.root, name)) or 0, names), np.int64)


def _lengths(column: pa.ChunkedArray) -> IntArray:
    """Bytes of each value of a column of strings."""
    lengths: IntArray = pc.fill_null(pc.binary_length(column), 0).to_numpy().astype(np.int64)
    return lengths


def _size(root: Path, name: str) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return on_disk(root, name).stat().st_size
    except (OSError, ValueError):  # ValueError: of a name that no file can have
        return 0
