"""Samples by their ids, with texts and images."""

# ruff: noqa: S608 -- SQL is put together from configurations, splits and domains, which are closed sets

from collections.abc import Sequence

import duckdb

from rope.dataset.manifest import read_manifest
from rope.dataset.sample_rows import sample_of
from rope.dataset.views import open_views
from rope.domain import DomainName, Sample, Split, config_of
from rope.files import AnyPath

__all__ = ["samples_in_views", "samples_with_ids"]


def samples_with_ids(directory: AnyPath, split: Split, domain: DomainName, ids: Sequence[str]) -> list[Sample]:
    """The samples with these ids, in their order; those that the split does not have are left out.

    Raises:
        DatasetError: the directory is not a dataset.
    """
    with open_views(directory, read_manifest(directory)) as connection:
        return samples_in_views(connection, split, domain, ids)


def samples_in_views(
    connection: duckdb.DuckDBPyConnection, split: Split, domain: DomainName, ids: Sequence[str]
) -> list[Sample]:
    """The same from views that are open already, see `rope.dataset.views.open_views`."""
    view = f"{config_of(domain)}_{split}"
    file = ", video" if "video" in connection.table(view).columns else ""
    found = connection.sql(
        f"SELECT sample_id, text, frames{file} FROM {view} WHERE list_contains(?, sample_id)", params=[list(ids)]
    )
    samples = {row["sample_id"]: sample_of(row, domain) for row in found.to_arrow_table().to_pylist()}
    return [samples[sample_id] for sample_id in ids if sample_id in samples]
