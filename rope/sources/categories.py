"""`products.tsv`: the categories of a ROPE release, which the official one lacks.

The file is read as the others are: blanks around a field, CR before LF, a byte order mark and empty lines mean nothing,
and no character means anything but tab and LF. The first line that names both columns, in capitals or not, is the
header; there may be other columns. An empty category is none.
"""

# ruff: noqa: S608 -- SQL is put together from our own names

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from rope.errors import ReleaseError
from rope.schema import EMPTY_TEXT
from rope.sources.faults import MAX_ID_LENGTH, quoted_sql, shortened
from rope.sources.lines import LINE_SCHEMA
from rope.sources.reading import Reading, registered

__all__ = ["read_categories"]

_PRODUCT: Final = "product_id"
_CATEGORY: Final = ("category", "coarse_class")
"""The first of these that the header has."""

_SCHEMA: Final = pa.schema([*LINE_SCHEMA, ("product_id", pa.string()), ("category", pa.string())])

_ROWS: Final = f"""
    CREATE TEMP TABLE rows_of_products AS
    SELECT line, left(text, 100) AS shown, product_id, nullif(nullif(category, ''), '{EMPTY_TEXT}') AS category,
        CASE WHEN text IS NULL THEN 'bad_encoding'
             WHEN product_id = '' THEN 'bad_row'
             WHEN length(product_id) > {MAX_ID_LENGTH} THEN 'long_id'
             WHEN {quoted_sql("product_id")} THEN 'quoted_id' END AS fault
    FROM split_lines"""

_SEVERAL: Final = """
    CREATE TEMP TABLE several AS
    SELECT product_id, min(line) AS first_line, min(category) AS category, max(category) AS other
    FROM rows_of_products WHERE fault IS NULL AND category IS NOT NULL GROUP BY product_id"""

_REPORT: Final = (
    "INSERT INTO faults SELECT $file, line, fault, coalesce(shown, '') FROM rows_of_products WHERE fault IS NOT NULL",
    """INSERT INTO faults SELECT $file, first_line, 'category_conflict', product_id FROM several
    WHERE category <> other""",
    """INSERT INTO faults SELECT $file, line, 'repeated_row', product_id
    FROM rows_of_products AS row JOIN several USING (product_id, category)
    WHERE fault IS NULL AND category = other AND line > first_line""",
)


def read_categories(connection: duckdb.DuckDBPyConnection, path: Path | None, reading: Reading, known: str) -> None:
    """Make the table `categories` (product_id, category), and add what is wrong with the file to `faults` and `files`.

    Args:
        connection: has the tables `faults` and `files`.
        path: the file; None where there is none, and the table is empty.
        reading: reads it.
        known: a query for the product ids of the release.

    Raises:
        ReleaseError: a column is missing.
    """
    connection.execute("CREATE TABLE categories (product_id VARCHAR, category VARCHAR)")
    if path is None:
        return
    with registered(connection, "split_lines", _SCHEMA, _rows(path, reading)):
        connection.execute(_ROWS)
    connection.execute(_SEVERAL)
    for statement in _REPORT:
        connection.execute(statement, {"file": path.name})
    connection.execute("INSERT INTO categories SELECT product_id, category FROM several WHERE category = other")
    connection.execute(
        f"""INSERT INTO files SELECT ?, count(*), count(fault), count(*) = 0 OR EXISTS (
            SELECT 1 FROM rows_of_products WHERE fault IS NULL AND product_id IN ({known})) FROM rows_of_products""",
        [path.name],
    )
    for table in ("rows_of_products", "several"):
        connection.execute(f"DROP TABLE {table}")


def _rows(path: Path, reading: Reading) -> Iterator[pa.RecordBatch]:
    """The lines except for the header and blank ones, with their fields."""
    batches = reading.batches(path)
    first = next(batches, None)
    header, columns = _find_header(path, first)
    for batch in chain([first], batches):
        bare = pc.fill_null(pc.utf8_trim_whitespace(batch["text"]), "not UTF-8")
        rows = batch.filter(pc.and_(pc.not_equal(bare, ""), pc.not_equal(batch["line"], header)))
        yield _with_fields(rows, header, columns)


def _find_header(path: Path, batch: pa.RecordBatch | None) -> tuple[int, list[str]]:
    """The line of the header, and its columns.

    Raises:
        ReleaseError: no line names both.
    """
    first: tuple[int, list[str]] | None = None
    for line, text in zip(*(batch[name].to_pylist() for name in ("line", "text")), strict=True) if batch else ():
        if text is not None and text.strip():
            found = line, [field.strip().lower() for field in text.split("\t")]
            if _PRODUCT in found[1] and any(name in found[1] for name in _CATEGORY):
                return found
            first = first or found
    line, columns = first or (1, [])
    raise ReleaseError(
        f"{path}:{line}: columns are {shortened(', '.join(columns)) or 'none'}; expected {_PRODUCT} and "
        f"{_CATEGORY[0]}, separated by tabs"
    )


def _with_fields(rows: pa.RecordBatch, header: int, columns: list[str]) -> pa.RecordBatch:
    """Lines with their product and category; both are empty before the header, and in a row with another number."""
    n = len(columns)
    text = pc.fill_null(rows["text"], "")
    is_whole = pc.and_(pc.equal(pc.count_substring(text, "\t"), n - 1), pc.greater(rows["line"], header))
    parts = pc.split_pattern(pc.if_else(is_whole, text, "\t" * (n - 1)), "\t")
    category = next(name for name in _CATEGORY if name in columns)
    fields = [pc.utf8_trim_whitespace(pc.list_element(parts, columns.index(name))) for name in (_PRODUCT, category)]
    return pa.record_batch([rows["line"], rows["text"], *fields], schema=_SCHEMA)
