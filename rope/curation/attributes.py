"""The columns that a pool keeps, as a table of products beside a dataset."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import duckdb
import pyarrow.parquet as pq

from rope.files import atomic_path
from rope.sql import parquet_files

__all__ = ["ATTRIBUTES_NAME", "write_attributes"]

ATTRIBUTES_NAME: Final = "attributes.parquet"
"""In a dataset directory: `product_id` and a column for each that the pool keeps."""


def write_attributes(paths: Sequence[Path], columns: Sequence[str], target: Path) -> None:
    """Write the value of each product in some columns, by product id.

    A product has a value where all its rows that have one agree; else it is null.

    Args:
        paths: rows with `product_id` and the columns.
        columns: their names.
        target: the file.
    """
    quoted = ['"' + name.replace('"', '""') + '"' for name in columns]
    agreed = ", ".join(f"CASE WHEN count(DISTINCT {q}) = 1 THEN any_value({q}) END AS {q}" for q in quoted)
    with duckdb.connect() as connection:
        sql = f"SELECT product_id, {agreed} FROM {parquet_files(paths)} GROUP BY product_id"  # noqa: S608
        table = connection.sql(f"{sql} ORDER BY length(product_id), product_id").to_arrow_table()
    with atomic_path(target) as temporary:
        pq.write_table(table, temporary)
