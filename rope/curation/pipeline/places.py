"""Pools and folders of work wherever they lie: on this machine, or at an address of fsspec such as `s3://bucket/run`.

Operations and DuckDB get files of this machine; what lies elsewhere is copied first, and its SHA-256 compared. Object
stores have no rename and no lock. So a run relies on one thing alone: a manifest is written after the files that it
vouches for, with their sizes and hashes, and a shard without a whole manifest is made again.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeVar

import pyarrow.parquet as pq

from rope.addresses import as_directory, cache_folder, is_address
from rope.errors import DatasetError, RopeError, UsageError
from rope.files import AnyPath, atomic_path

__all__ = [
    "asking_store",
    "cache_of",
    "copy_file",
    "here_of",
    "identity_of",
    "map_places",
    "mirrored",
    "open_parquet",
    "place_of",
    "refuse_memory",
]

_READ_ONLY: Final = ("http", "https")
_REQUESTS: Final = 16
"""Requests to a store at a time; each waits for an answer most of its time."""

T = TypeVar("T")
R = TypeVar("R")


def place_of(written: str, here: Path, *, is_written: bool = False) -> AnyPath:
    """The place that a recipe names: an address of fsspec, or a path relative to the recipe.

    Args:
        written: as it stands in the recipe.
        here: folder of the recipe.
        is_written: whether a run writes there.

    Raises:
        UsageError: no installed package knows such addresses, or nothing can be written there.
    """
    if not is_address(written):
        return here / written
    place = as_directory(written)
    if is_written and not isinstance(place, Path) and place.protocol in _READ_ONLY:
        raise UsageError(f"{written}: cannot be written to; expected a folder, or an address such as s3://bucket/run")
    return place


def refuse_memory(*places: AnyPath) -> None:
    """Refuse `memory://` for a run in several processes.

    Raises:
        UsageError: a place is in memory.
    """
    for place in places:
        if not isinstance(place, Path) and place.protocol == "memory":
            raise UsageError(f"{place}: is the memory of one process, which workers cannot see; name a place they can")


@contextmanager
def asking_store(place: AnyPath) -> Iterator[None]:
    """Turn whatever a store raises into one sentence; each file system behind fsspec has exceptions of its own.

    Raises:
        DatasetError: the block raised something else than a `RopeError`, and the place is not on this machine.
    """
    try:
        yield
    except RopeError:
        raise
    except Exception as error:
        if isinstance(place, Path):
            raise
        told = next(iter(str(error).strip().splitlines()), "")
        raise DatasetError(
            f"{place}: the store does not do what it is asked ({type(error).__name__}: {told}); check the address and "
            "the access to it, and repeat the command"
        ) from error


@contextmanager
def open_parquet(path: AnyPath) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file anywhere; of one elsewhere, only the parts that are asked for are read."""
    with ExitStack() as stack:
        source = path if isinstance(path, Path) else stack.enter_context(path.open("rb"))
        yield stack.enter_context(pq.ParquetFile(source))


def identity_of(path: AnyPath) -> list[str]:
    """What changes when a file does, without reading it: its size, and its time of change or what a store calls it."""
    if isinstance(path, Path):
        return [str(path.stat().st_size), str(path.stat().st_mtime_ns)]
    told = path.fs.info(path.path)
    names = ("size", "ETag", "etag", "md5Hash", "generation", "mtime", "LastModified", "created")
    return [str(told[name]) for name in names if told.get(name) is not None]


def map_places(function: Callable[[T], R], items: Iterable[T], folder: AnyPath) -> list[R]:
    """A function of each item, many at a time where each asks a store."""
    if isinstance(folder, Path):
        return [function(item) for item in items]
    with ThreadPoolExecutor(_REQUESTS) as pool:
        return list(pool.map(function, items))


def cache_of(folder: AnyPath) -> Path:
    """Where this machine keeps copies of the files of a folder elsewhere, and the lock of runs that it starts there."""
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return cache_folder() / "curation" / name


def here_of(folder: AnyPath) -> Path:
    """A folder of this machine: the folder itself, or its `cache_of`."""
    return folder if isinstance(folder, Path) else cache_of(folder)


def mirrored(folder: AnyPath, names: Sequence[str], target: Path | None = None) -> list[Path]:
    """Files of a folder as files of this machine: themselves, or copies that were made now or before.

    Args:
        folder: of a stage; the names of its files tell what is in them.
        names: of the files.
        target: where copies go; None for `cache_of`, where copies of files that the folder has no more are removed.
    """
    if isinstance(folder, Path):
        return [folder / name for name in names]
    copies = cache_of(folder) if target is None else target
    if target is None and copies.is_dir():
        there = {path.name for path in folder.iterdir()}
        for path in copies.iterdir():
            if path.name not in there:
                path.unlink(missing_ok=True)
    map_places(lambda name: _copy(folder / name, copies / name), names, folder)
    return [copies / name for name in names]


def _copy(source: AnyPath, target: Path) -> None:
    if target.is_file() and target.stat().st_size == source.stat().st_size:
        return
    _copy_bytes(source, target)


def copy_file(source: AnyPath, target: AnyPath) -> None:
    """Copy a file that nobody changes in place; on one disk it gets a second name, and a store copies its own."""
    if isinstance(source, Path) and isinstance(target, Path):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another disk, or one without links
            _copy_bytes(source, target)
    elif not isinstance(source, Path) and not isinstance(target, Path) and source.fs is target.fs:
        source.fs.cp_file(source.path, target.path)
    else:
        _copy_bytes(source, target)


def _copy_bytes(source: AnyPath, target: AnyPath) -> None:
    with atomic_path(target) as temporary, source.open("rb") as file, temporary.open("wb") as copy:
        shutil.copyfileobj(file, copy, 1 << 20)
