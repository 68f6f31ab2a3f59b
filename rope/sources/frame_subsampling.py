"""Frame subsampling of a staged release: a sample keeps the frames that a model is given."""

# ruff: noqa: S608 -- SQL is put together from names of our own tables

from collections.abc import Iterable

import duckdb
import pyarrow as pa

from rope.media import choose_frames

__all__ = ["subsample_frames"]


def subsample_frames(connection: duckdb.DuckDBPyConnection, tables: Iterable[str], n_frames: int) -> None:
    """Keep of each sample the frames that `rope.media.choose_frames` chooses among those listed.

    Args:
        connection: a staged release, see `rope.sources.source`.
        tables: `SPLIT_DOMAIN` of each.
        n_frames: how many a model is given; samples with fewer keep all.
    """
    names = list(tables)
    counts = " UNION ".join(f"SELECT n_frames FROM samples_{name}" for name in names)
    picks = [
        (n_stored, index)
        for (n_stored,) in connection.execute(f"SELECT n_frames FROM ({counts}) WHERE n_frames > 0").fetchall()
        for index in sorted(set(choose_frames(n_stored, n_frames)))
    ]
    columns = {"n_frames": [n for n, _ in picks], "index": [index for _, index in picks]}
    connection.register("picks", pa.table(columns, pa.schema([("n_frames", pa.int64()), ("index", pa.int64())])))
    for name in names:
        chosen = f"""
            WITH numbered AS (
                SELECT *, rowid AS place, count(*) OVER (PARTITION BY sample_id) AS n_frames,
                    row_number() OVER (PARTITION BY sample_id ORDER BY time) - 1 AS "index"
                FROM frames_{name})
            SELECT sample_id, time, image FROM numbered SEMI JOIN picks USING (n_frames, "index") ORDER BY place"""
        _replace(connection, f"frames_{name}", chosen)
        counted = f"SELECT * REPLACE (least(n_frames, {n_frames}) AS n_frames) FROM samples_{name} ORDER BY rowid"
        _replace(connection, f"samples_{name}", counted)
    connection.unregister("picks")


def _replace(connection: duckdb.DuckDBPyConnection, table: str, query: str) -> None:
    """Put what a query of a table gives in its place."""
    connection.execute(f"CREATE TABLE thinned AS {query}")
    connection.execute(f"DROP TABLE {table}")
    connection.execute(f"ALTER TABLE thinned RENAME TO {table}")
