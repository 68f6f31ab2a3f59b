"""Typed reading of a dataset directory: labels, products and samples in canonical order, bounded in memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rope.dataset.manifest import DatasetManifest, read_manifest
from rope.dataset.sample_rows import sample_of
from rope.domain import DomainName, Sample, Split, config_of
from rope.errors import DatasetError, RopeError
from rope.files import AnyPath

__all__ = [
    "SampleLabels",
    "iter_rows",
    "iter_samples",
    "open_parquet",
    "open_shard",
    "read_labels",
    "read_products",
    "reading",
    "shard_names",
    "shard_paths",
]


@dataclass(frozen=True, slots=True)
class SampleLabels:
    """The samples of one domain and split, in canonical order.

    Attributes:
        sample_ids: the id of each.
        product_ids: the product of each.
        galleries: the group that each is searched among, None for those without one; None where nobody has one.
    """

    sample_ids: list[str]
    product_ids: list[str]
    galleries: list[str | None] | None = None


def shard_names(manifest: DatasetManifest, config: str, split: str) -> list[str]:
    """The shards of a configuration and split, in order, as paths relative to the directory.

    >>> from rope.dataset.manifest import Shard
    >>> shards = {f"pages/{name}.parquet": Shard(1, 1, "") for name in ("train-00001-of-00002", "train-00000-of-00002")}
    >>> shard_names(DatasetManifest(1, "mini", {}, "embed", {}, {}, shards, ""), "pages", "train")
    ['pages/train-00000-of-00002.parquet', 'pages/train-00001-of-00002.parquet']
    """
    return sorted(name for name in manifest.shards if name.startswith(f"{config}/{split}-"))


def read_labels(
    directory: AnyPath, split: Split, manifest: DatasetManifest | None = None
) -> dict[DomainName, SampleLabels]:
    """The labels of a split, for each domain that the dataset has; reads no text and no image.

    Args:
        directory: a dataset directory.
        split: the split to read.
        manifest: of a dataset whose shards are in place and whose manifest is not yet; None to read it.

    Raises:
        DatasetError: the directory is not a dataset, has no such split, or a shard cannot be read.
    """
    labels: dict[DomainName, SampleLabels] = {}
    manifest = manifest or read_manifest(directory)
    for domain in manifest.domains:
        paths = _paths_of(directory, manifest, config_of(domain), split)
        columns = _read_columns(paths, ["sample_id", "product_id"], ["gallery"])
        labels[domain] = SampleLabels(columns["sample_id"], columns["product_id"], columns.get("gallery"))
    return labels


def read_products(directory: AnyPath, split: Split) -> dict[str, str | None]:
    """The products of a split in canonical order, each with its category, or None where it has none.

    Raises:
        DatasetError: as `read_labels`.
    """
    columns = _read_columns(shard_paths(directory, "products", split), ["product_id", "category"])
    return dict(zip(columns["product_id"], columns["category"], strict=True))


def iter_samples(
    directory: AnyPath, domain: DomainName, split: Split, *, start: int = 0, batch_size: int
) -> Iterator[list[Sample]]:
    """The samples of a domain and split, in canonical order, batch by batch.

    Batches end at multiples of `batch_size` counted from row 0, so that a run that resumes at a `start` sees
    the batches it would have seen. The last batch may be shorter, and so is the first where `start` is not a multiple.
    Row groups before `start` are not read.

    Args:
        directory: a dataset directory.
        domain: the domain to read.
        split: the split to read.
        start: the row of the first sample, from 0; at or past the end, there are no batches.
        batch_size: samples in a batch; the memory needed is a few batches, or one row group.

    Raises:
        ValueError: `start` is negative or `batch_size` below 1.
        DatasetError: as `read_labels`.
    """
    if start < 0 or batch_size < 1:
        raise ValueError(f"need start >= 0 and batch_size >= 1, got {start} and {batch_size}")
    batch: list[Sample] = []
    row = start
    paths, columns = shard_paths(directory, config_of(domain), split), ("sample_id", "text", "frames")
    for stored in iter_rows(paths, columns, ("video", "audio"), start=start, batch_size=batch_size):
        batch.append(sample_of(stored, domain))
        row += 1
        if row % batch_size == 0:
            yield batch
            batch = []
    if batch:
        yield batch


def iter_rows(
    paths: Sequence[AnyPath],
    columns: Sequence[str] | None = None,
    optional: Sequence[str] = (),
    *,
    start: int = 0,
    batch_size: int = 64,
) -> Iterator[dict[str, Any]]:
    """The rows of some shards, from a row of all together on; row groups before it are not read.

    Args:
        paths: the shards, in order.
        columns: those to read; None for all.
        optional: columns that are read where a shard has them.
        start: the number of the first row, from 0.
        batch_size: rows that are held at a time.

    Raises:
        DatasetError: a shard is missing or damaged.
    """
    to_skip = start
    for path in paths:
        with open_shard(path) as shard:
            sizes = [shard.metadata.row_group(i).num_rows for i in range(shard.num_row_groups)]
            first = 0
            while first < len(sizes) and to_skip >= sizes[first]:
                to_skip -= sizes[first]
                first += 1
            there = [name for name in optional if name in shard.schema_arrow.names]
            wanted = None if columns is None else [*columns, *there]
            for batch in shard.iter_batches(batch_size, row_groups=range(first, len(sizes)), columns=wanted):
                rows = batch.slice(to_skip)
                to_skip -= batch.num_rows - rows.num_rows
                yield from rows.to_pylist()


@contextmanager
def open_shard(path: AnyPath) -> Iterator[pq.ParquetFile]:
    """A Parquet file by its own path, which is never taken for a pattern; on this machine or at an address of fsspec.

    Raises:
        DatasetError: the file is missing or damaged; also for what goes wrong while it is read in the block.
    """
    with reading(path), open_parquet(path) as shard:
        yield shard


@contextmanager
def open_parquet(path: AnyPath) -> Iterator[pq.ParquetFile]:
    """As `open_shard`, with the exceptions of Arrow and of the file system."""
    if isinstance(path, Path):
        with pq.ParquetFile(path) as shard:
            yield shard
    else:
        with path.open("rb") as file, pq.ParquetFile(file, pre_buffer=True) as shard:
            yield shard


@contextmanager
def reading(path: AnyPath) -> Iterator[None]:
    """Turn what Arrow raises on a missing or damaged file into a `DatasetError` that names it."""
    try:
        yield
    except Exception as error:
        is_local = isinstance(path, Path)  # elsewhere, each file system behind fsspec has exceptions of its own
        if isinstance(error, RopeError) or (is_local and not isinstance(error, OSError | pa.ArrowException)):
            raise
        raise DatasetError(
            f"{path}: cannot be read as Parquet ({error}); rope validate lists all that is wrong"
        ) from error


def shard_paths(directory: AnyPath, config: str, split: Split) -> list[AnyPath]:
    """The shards of a configuration and split, in order.

    Raises:
        DatasetError: the directory is not a dataset, or has no such split.
    """
    return _paths_of(directory, read_manifest(directory), config, split)


def _paths_of(directory: AnyPath, manifest: DatasetManifest, config: str, split: Split) -> list[AnyPath]:
    if split not in manifest.counts:
        raise DatasetError(f"{directory}: has no split {split}; it has {', '.join(sorted(manifest.counts)) or 'none'}")
    return [directory / name for name in shard_names(manifest, config, split)]


def _read_columns(paths: Sequence[AnyPath], names: Sequence[str], optional: Sequence[str] = ()) -> dict[str, list[Any]]:
    """The values of columns in all shards; without those of `optional` that the shards lack."""
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for path in paths:
        with open_shard(path) as shard:
            there = [name for name in optional if name in shard.schema_arrow.names]
            table = shard.read(columns=[*names, *there])
        for name in (*names, *there):
            columns.setdefault(name, []).extend(table[name].to_pylist())
    return columns
