"""Images in tar files of some hundred MB, so that a file system need not hold a hundred million files.

A shard is called `images-00000.tar.part` while images are appended to it. What is whole in it stays whole whenever the
process is killed: an image begins with its header, so the last one is cut off if it is not all there, and appending
goes on. A finished shard `images-00000.tar` has an index next to it, `images-00000.parquet`, with the columns image,
offset and size, by which an image is read without reading the tar file. Any program for tar files reads them.
"""

import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from rope.fetch.outcome import Fetched, LostImage
from rope.fetch.tables import keep_one
from rope.files import atomic_path

__all__ = ["TarStore", "has_shards", "index_batches", "load_places", "read_place"]

_BLOCK: Final = tarfile.BLOCKSIZE
_END: Final = bytes(2 * _BLOCK)
_INDEX: Final = pa.schema([("image", pa.string()), ("offset", pa.int64()), ("size", pa.int64())])
_PLACES: Final = pa.schema([pa.field("shard", pa.string()), *_INDEX])


@dataclass(frozen=True, slots=True)
class _Member:
    """An image in a shard: its name, and the first byte and number of bytes of its content."""

    image: str
    offset: int
    size: int


def has_shards(folder: Path) -> bool:
    """Whether images lie in tar shards here, finished or not; another tar file has no index, so it is not a shard."""
    first = folder / "images-00000.tar"
    return first.with_suffix(".tar.part").is_file() or (first.is_file() and first.with_suffix(".parquet").is_file())


class TarStore:
    """Appends images to the shards of a folder, from wherever the last one ended.

    Args:
        folder: where the shards are.
        shard_bytes: a shard is finished with the image that brings it to this size.
    """

    def __init__(self, folder: Path, shard_bytes: int) -> None:
        self._folder = folder
        self._shard_bytes = shard_bytes
        self._number = _next_number(folder)
        self._members = _whole_members(self._part) if self._part.exists() else []
        self._end = _end_of(self._members)
        self._file = os.open(self._part, os.O_WRONLY | os.O_CREAT, 0o644)
        os.ftruncate(self._file, self._end)
        os.lseek(self._file, self._end, os.SEEK_SET)

    @property
    def _part(self) -> Path:
        return self._folder / f"images-{self._number:05d}.tar.part"

    def save(self, images: Sequence[Fetched]) -> list[LostImage]:
        """Append images; all can be stored, so nothing is lost.

        Raises:
            OSError: the disk is full.
        """
        for fetched in images:
            if not isinstance(fetched.content, bytes):
                raise TypeError(f"{fetched.image}: only images go into tar shards")
            header = _header(fetched.image, len(fetched.content))
            self._append(header + fetched.content + bytes(-len(fetched.content) % _BLOCK))
            self._members.append(_Member(fetched.image, self._end + len(header), len(fetched.content)))
            self._end = _end_of(self._members)
            if self._end >= self._shard_bytes:
                self._finish()
                self._number += 1
                self._members, self._end = [], 0
                self._file = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        return []

    def _append(self, member: bytes) -> None:
        try:
            _write(self._file, member)
        except OSError:  # a full disk: what is whole can still be finished
            os.ftruncate(self._file, self._end)
            os.lseek(self._file, self._end, os.SEEK_SET)
            raise

    def close(self) -> None:
        """Finish the last shard; one without an image is removed."""
        if self._members:
            self._finish()
        else:
            os.close(self._file)
            self._part.unlink()

    def _finish(self) -> None:
        """Write the index and give the shard its final name, in this order: who sees the shard sees its index."""
        _write(self._file, _END)
        os.fsync(self._file)
        os.close(self._file)
        final = self._part.with_suffix("")
        with atomic_path(final.with_suffix(".parquet")) as temporary:
            pq.write_table(_index(self._members), temporary, compression="zstd")
        self._part.replace(final)


def _next_number(folder: Path) -> int:
    numbers = [int(found[1]) for path in folder.iterdir() if (found := re.fullmatch(r"images-(\d+)\.tar", path.name))]
    return max(numbers, default=-1) + 1


def _header(name: str, n_bytes: int) -> bytes:
    """One or more blocks; a name that plain tar cannot hold gets an extended header (POSIX.1-2001)."""
    info = tarfile.TarInfo(name)
    info.size = n_bytes
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _write(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def _end_of(members: list[_Member]) -> int:
    """Where the next member begins: at a whole block."""
    return -(-(members[-1].offset + members[-1].size) // _BLOCK) * _BLOCK if members else 0


def _whole_members(path: Path) -> list[_Member]:
    """The members of a shard that was not finished, up to the first that is not all there."""
    members: list[_Member] = []
    n_bytes = path.stat().st_size
    try:
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                member = _Member(info.name, info.offset_data, info.size)
                if _end_of([member]) > n_bytes:
                    break
                members.append(member)
    except tarfile.ReadError:
        pass  # an empty file, or a header that is cut in the middle
    return members


def _index(members: list[_Member]) -> pa.Table:
    columns = [[getattr(member, name) for member in members] for name in _INDEX.names]
    return pa.table(dict(zip(_INDEX.names, columns, strict=True)), schema=_INDEX)


def index_batches(folder: Path) -> Iterator[pa.RecordBatch]:
    """What is in the shards of a folder: batches with the columns shard (a file name), image, offset and size."""
    for path in sorted(folder.glob("images-*.tar")):
        yield from _batches(path.name, pq.read_table(path.with_suffix(".parquet"), schema=_INDEX))
    for path in sorted(folder.glob("images-*.tar.part")):
        yield from _batches(path.name, _index(_whole_members(path)))


def _batches(shard: str, index: pa.Table) -> list[pa.RecordBatch]:
    shards = pa.array([shard] * len(index), pa.string())
    batches: list[pa.RecordBatch] = pa.table([shards, *index.columns], schema=_PLACES).to_batches()
    return batches


def load_places(connection: duckdb.DuckDBPyConnection, folder: Path, table: str) -> None:
    """Make a table (image, shard, offset, size) of what is in the shards of a folder; no image is in it twice."""
    connection.register("indexed", pa.RecordBatchReader.from_batches(_PLACES, index_batches(folder)))
    connection.execute("CREATE OR REPLACE TABLE all_places AS SELECT * FROM indexed")
    connection.unregister("indexed")
    keep_one(connection, "all_places", table, 'image, shard, "offset", size')


def read_place(folder: Path, shard: str, offset: int, size: int) -> bytes:
    """The bytes of one image in a shard.

    Raises:
        OSError: the shard cannot be read.
    """
    with (folder / shard).open("rb", buffering=0) as file:
        file.seek(offset)
        return file.read(size)
