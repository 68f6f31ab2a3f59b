"""The fingerprint of a dataset directory: a hash of the task that it poses, not of the bytes that hold it."""

import hashlib
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rope.dataset.directory import open_parquet
from rope.domain import SPLITS, config_of, domain_of_config, with_published
from rope.files import AnyPath
from rope.schema import product_schema

__all__ = ["fingerprint"]

_ROWS: Final = 1 << 16
_SAMPLE_COLUMNS: Final = ("sample_id", "product_id", "text", "category", "frame_times")


def fingerprint(directory: AnyPath, shards: list[str]) -> str:
    """SHA-256 of the ids, labels, texts, categories and frame times of a dataset.

    Two builds have the same fingerprint if they pose the same task: the media mode, image bytes, shard size and the
    Parquet writer do not enter. The hashed bytes, for `train` then `validation`, and in each for `pages`, `videos`,
    `lives`, the other domains by name, `products`: the name `train/pages` and so on in ASCII with a zero byte, then
    for each run of 65,536 rows and each column: the length of each value (uint32, little-endian; bytes of a string,
    items of a list; 2^32 - 1 for null), then the values back to back (UTF-8; int64 little-endian; the strings of a list
    with their own lengths). Where the samples have a column `gallery`, it comes last, and the name is
    `train/pages/gallery`.

    Args:
        directory: a dataset directory.
        shards: paths of its shards relative to it, in any order.

    Raises:
        OSError: a shard cannot be read.
    """
    digest = hashlib.sha256()
    folders = {name.partition("/")[0] for name in shards}
    domains = with_published(domain for folder in folders if (domain := domain_of_config(folder)) is not None)
    of_products = tuple(product_schema(domains).names)
    for split in SPLITS:
        for config in (*(config_of(domain) for domain in domains), "products"):
            columns: tuple[str, ...] = of_products if config == "products" else _SAMPLE_COLUMNS
            names = sorted(name for name in shards if name.startswith(f"{config}/{split}-"))
            paths = [directory / name for name in names]
            has_gallery = any("gallery" in _columns_of(path) for path in paths)
            digest.update(f"{split}/{config}{'/gallery' if has_gallery else ''}\0".encode("ascii"))
            if has_gallery:
                columns = (*columns, "gallery")
            for table in _runs(paths, columns):
                for column in columns:
                    _update(digest, table[column].combine_chunks())
    return digest.hexdigest()


def _runs(paths: list[AnyPath], columns: tuple[str, ...]) -> Iterator[pa.Table]:
    """The rows of all files together, `_ROWS` at a time, wherever the files and row groups end."""
    pending: list[pa.RecordBatch] = []
    n_pending = 0
    for path in paths:
        with open_parquet(path) as file:
            for batch in file.iter_batches(_ROWS, columns=list(columns)):
                while n_pending + len(batch) >= _ROWS:
                    head = batch.slice(0, _ROWS - n_pending)
                    yield pa.Table.from_batches([*pending, head])
                    pending, n_pending, batch = [], 0, batch.slice(len(head))
                if len(batch):
                    pending.append(batch)
                    n_pending += len(batch)
    if pending:
        yield pa.Table.from_batches(pending)


def _columns_of(path: AnyPath) -> list[str]:
    with open_parquet(path) as file:
        return list(file.schema_arrow.names)


def _update(digest: "hashlib._Hash", column: Any) -> None:  # noqa: ANN401 -- an Arrow array of any type
    if pa.types.is_integer(column.type):
        digest.update(column.to_numpy().astype("<i8", copy=False).tobytes())
        return
    is_list = pa.types.is_list(column.type)
    lengths = pc.list_value_length(column) if is_list else pc.binary_length(column)
    digest.update(np.asarray(lengths.fill_null(-1)).astype("<i4").tobytes())
    if is_list:
        _update(digest, column.flatten())  # leaves out what a null holds
    else:
        digest.update("".join(column.drop_null().to_pylist()).encode())
