"""Which of the optional columns of samples a staged release needs, and a dataset directory has."""

# ruff: noqa: S608 -- SQL is put together from splits, domains and names of columns, which are closed sets

from typing import Final

import duckdb
import pyarrow as pa

from rope.dataset.directory import open_parquet
from rope.domain import DomainName
from rope.files import AnyPath
from rope.schema import sample_schema
from rope.sources.source import ReleaseSource

__all__ = ["OPTIONAL_COLUMNS", "optional_columns", "schema_like", "schemas_of"]

OPTIONAL_COLUMNS: Final = ("video", "audio", "gallery")
"""The columns of samples that a dataset may lack, in their order."""


def schemas_of(connection: duckdb.DuckDBPyConnection, source: ReleaseSource) -> dict[DomainName, pa.Schema]:
    """The columns of each domain of a release, the same for both splits.

    A domain has the column `video` where one of its samples is a video file, and `audio` where one has a sound file
    beside its frames. All domains have the column `gallery`
    where a sample of any domain has a gallery, as queries of one domain are compared with the galleries of another.
    """
    gallery = any(_has(connection, source, domain, "gallery") for domain in source.domains)
    return {
        domain: sample_schema(
            video=_has(connection, source, domain, "video"),
            audio=_has(connection, source, domain, "audio"),
            gallery=gallery,
        )
        for domain in source.domains
    }


def schema_like(names: list[str]) -> pa.Schema:
    """The schema that a shard of samples should have, given the names of its columns."""
    return sample_schema(video="video" in names, audio="audio" in names, gallery="gallery" in names)


def optional_columns(directory: AnyPath, shards: list[str]) -> list[str]:
    """The optional columns that some shard of a dataset directory has.

    Raises:
        OSError: a shard cannot be read.
    """
    found: set[str] = set()
    for name in shards:
        with open_parquet(directory / name) as shard:
            found.update(shard.schema_arrow.names)
    return [column for column in OPTIONAL_COLUMNS if column in found]


def _has(connection: duckdb.DuckDBPyConnection, source: ReleaseSource, domain: DomainName, column: str) -> bool:
    """Whether any sample of a domain has a value in a column, which a source that never has one does not stage."""
    tables = [f"samples_{split}_{domain}" for split in source.splits]
    staged = [table for table in tables if column in connection.table(table).columns]
    return any(connection.sql(f"SELECT count({column}) > 0 FROM {table}").fetchall()[0][0] for table in staged)
