"""The shards of a dataset directory as views of a DuckDB connection, for questions about all rows at once."""

# ruff: noqa: S608 -- SQL is put together from configurations, splits and domains, which are closed sets

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from rope.dataset.directory import shard_names
from rope.dataset.manifest import DatasetManifest
from rope.domain import SPLITS
from rope.files import AnyPath
from rope.schema import SAMPLE_SCHEMA, product_schema
from rope.sql import literal, parquet_files

__all__ = ["open_views"]

_MEMORY_LIMIT: Final = "1GB"


@contextmanager
def open_views(directory: AnyPath, manifest: DatasetManifest) -> Iterator[duckdb.DuckDBPyConnection]:
    """Connect to views named `pages_train` and so on, one for each configuration and split; empty where there is none.

    Each has the columns of its schema, and `shard` and `file_row_number`, in whose order the rows stand. What does
    not fit in 1 GB goes to a temporary folder, which is removed at the end.
    """
    with tempfile.TemporaryDirectory(prefix="rope-") as scratch, duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")
        connection.execute(f"SET temp_directory = {literal(scratch)}")
        connection.execute("SET enable_progress_bar = false")
        if not isinstance(directory, Path):
            connection.register_filesystem(directory.fs)
        for config in manifest.configs:
            for split in SPLITS:
                paths = [str(directory / name) for name in shard_names(manifest, config, split)]
                if paths:
                    rows = parquet_files(paths, "filename = 'shard', file_row_number = true")
                    connection.execute(f"CREATE VIEW {config}_{split} AS SELECT * FROM {rows}")
                else:
                    connection.register(f"{config}_{split}", _no_rows(config, manifest))
        yield connection


def _no_rows(config: str, manifest: DatasetManifest) -> pa.Table:
    schema = product_schema(manifest.domains) if config == "products" else SAMPLE_SCHEMA
    return schema.append(pa.field("shard", pa.string())).append(pa.field("file_row_number", pa.int64())).empty_table()
