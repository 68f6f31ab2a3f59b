"""Where images are kept: one file each, or tar shards."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, Literal, Protocol

import duckdb
import pyarrow as pa

from rope.errors import UsageError
from rope.fetch.folder_store import FolderStore, stored_files
from rope.fetch.names import STATE_NAME
from rope.fetch.outcome import Fetched, LostImage
from rope.fetch.tar_shards import TarStore, has_shards, index_batches

__all__ = ["Layout", "Store", "choose_layout", "load_stored", "open_store"]

Layout = Literal["files", "tar"]

_NAMES: Final = pa.schema([("image", pa.string())])
_NAMES_A_BATCH: Final = 1 << 16


class Store(Protocol):
    """Takes images that are whole and verified."""

    def save(self, images: Sequence[Fetched]) -> list[LostImage]:
        """Store images, so that a kill of the process no longer loses them; returns those that cannot be stored."""

    def close(self) -> None:
        """Finish what is unfinished."""


def choose_layout(folder: Path, wanted: Layout | None) -> Layout:
    """The layout that a folder has, or for a new one the wanted one, or files.

    Raises:
        UsageError: the folder has another layout than wanted.
    """
    found: Layout | None = None
    if folder.is_dir() and has_shards(folder):
        found = "tar"
    elif (folder / STATE_NAME / "incoming").is_dir():
        found = "files"
    if found is not None and wanted not in (None, found):
        raise UsageError(f"{folder}: holds images with the layout {found}; go on with it, or choose another folder")
    return found or wanted or "files"


def open_store(folder: Path, layout: Layout, shard_bytes: int) -> Store:
    """Open a folder to store images in; what a killed process has left unfinished is put in order."""
    return FolderStore(folder) if layout == "files" else TarStore(folder, shard_bytes)


def load_stored(connection: duckdb.DuckDBPyConnection, folder: Path, layout: Layout) -> None:
    """Make the table `stored` (image) of the names of all images that are there; a name may be in it twice."""
    names = _file_batches(stored_files(folder)) if layout == "files" else _shard_batches(folder)
    connection.register("names", pa.RecordBatchReader.from_batches(_NAMES, names))
    connection.execute("CREATE OR REPLACE TABLE stored AS SELECT * FROM names")
    connection.unregister("names")


def _file_batches(names: Iterable[str]) -> Iterator[pa.RecordBatch]:
    iterator = iter(names)
    while some := list(islice(iterator, _NAMES_A_BATCH)):
        yield pa.record_batch([pa.array(filter(_is_utf8, some), pa.string())], schema=_NAMES)


def _is_utf8(name: str) -> bool:
    """Whether a file name is text; others are not images of a release, whose names are UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shard_batches(folder: Path) -> Iterator[pa.RecordBatch]:
    for batch in index_batches(folder):
        yield batch.select(["image"])
