"""A release staged in memory, as lists, for tests of readers."""

from pathlib import Path
from typing import Any

import duckdb

from rope.sources.source import ReleaseSource


def stage(source: ReleaseSource) -> tuple[dict[str, list[dict[str, Any]]], list[tuple[Any, ...]]]:
    """The staged tables by name, without file and line; and the faults in order."""
    with duckdb.connect() as connection:
        digests = source.stage(connection, lambda _: None)
        assert set(digests) == set(source.files)
        tables = {
            name: connection.table(name).to_arrow_table()
            for (name,) in connection.sql("SELECT table_name FROM duckdb_tables()").fetchall()
            if name != "faults"
        }
        faults = connection.sql("FROM faults ORDER BY ALL").fetchall()
    return {name: [_bare(row) for row in table.to_pylist()] for name, table in tables.items()}, faults


def _bare(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("file", "line")}


def frames(tables: dict[str, list[dict[str, Any]]], at: str) -> list[tuple[str, int, str]]:
    return [tuple(row.values()) for row in tables[f"frames_{at}"]]


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text("utf-8") + text, "utf-8")
