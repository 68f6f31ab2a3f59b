"""Tables too large for memory, in DuckDB."""

# ruff: noqa: S608 -- SQL is put together from names of our own tables and columns

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import duckdb

from rope.errors import UsageError
from rope.sql import literal

__all__ = ["connect", "keep_one"]


@contextmanager
def connect(database: Path | None, memory_bytes: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Connect to a database, or one in memory; what does not fit into the limit goes to a folder removed at the end.

    Raises:
        UsageError: something in the block needs more memory.
    """
    with tempfile.TemporaryDirectory(prefix="rope-") as spill:
        connection = duckdb.connect(":memory:" if database is None else str(database))
        try:
            connection.execute(f"SET memory_limit = '{memory_bytes >> 20}MiB'")
            connection.execute(f"SET temp_directory = {literal(spill)}")
            connection.execute("SET enable_progress_bar = false")
            yield connection
        except duckdb.OutOfMemoryException as error:
            raise UsageError(
                f"{memory_bytes >> 20} MiB of memory are not enough for the list of images "
                f"({str(error).splitlines()[0]}); allow more with --memory"
            ) from error
        finally:
            connection.close()


def keep_one(
    connection: duckdb.DuckDBPyConnection, table: str, into: str, columns: str, which: Literal["min", "max"] = "min"
) -> None:
    """Make a table of the first row, or the last, that another one has for each `image`, in the same order.

    Only numbers are aggregated: an aggregate of strings stays in memory, however many there are. The other table is
    dropped.

    >>> connection = duckdb.connect()
    >>> _ = connection.execute("CREATE TABLE rows (image VARCHAR, n BIGINT)")
    >>> _ = connection.execute("INSERT INTO rows VALUES ('b', 1), ('a', 2), ('b', 3)")
    >>> keep_one(connection, "rows", "kept", "image, n", "max")
    >>> connection.execute("SELECT * FROM kept").fetchall()
    [('a', 2), ('b', 3)]
    """
    connection.execute(f"""
        CREATE OR REPLACE TABLE {into} AS
        SELECT {columns} FROM (SELECT *, rowid AS number FROM {table})
            SEMI JOIN (SELECT {which}(rowid) AS number FROM {table} GROUP BY image) USING (number)
        ORDER BY number""")
    connection.execute(f"DROP TABLE {table}")
