"""What a merge did, for the report: the products it left, and what it joined, stopped and left open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from rope.curation.dedup.merge import MERGED, QUEUED, UNLINKED, VETO
from rope.curation.dedup.told import Tie, verdict_in_words
from rope.sql import parquet_files

__all__ = ["MergeReport", "MergedGroup", "TieGallery", "make_merge_report"]

_N_GROUPS: Final = 6
_N_ROWS: Final = 8
_N_TIES: Final = 8

_PRODUCT: Final = "coalesce(product_hint, id)"

_GALLERIES: Final = {
    "merged on the weakest evidence": f"verdict = '{MERGED}' ORDER BY score",
    "stopped by a veto": f"starts_with(verdict, '{VETO}') ORDER BY score DESC",
    "waiting for review in a component above the cap": f"verdict = '{QUEUED}' ORDER BY score DESC",
    "kept apart, as another product of the group has no tie": f"verdict = '{UNLINKED}' ORDER BY score DESC",
}


@dataclass(frozen=True, slots=True)
class MergedGroup:
    """Products that became one.

    Attributes:
        product_id: of the group.
        n_products: that were merged into it.
        n_rows: of the group.
        rows: the first of them by id, at most one of each product until all are shown.
    """

    product_id: str
    n_products: int
    n_rows: int
    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TieGallery:
    """Some of the evidence with one verdict: a heading, how much there is of it, and the first of it."""

    heading: str
    n_ties: int
    ties: tuple[Tie, ...]


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a stage merge did.

    Attributes:
        n_before: products that went in.
        n_after: products that came out.
        n_queued: products of components above the cap.
        sizes: products of a group -> groups of so many, of two or more.
        counts: (kind, verdict in words) -> pieces of evidence.
        groups: the largest.
        galleries: evidence by its outcome.
    """

    n_before: int
    n_after: int
    n_queued: int
    sizes: Mapping[int, int]
    counts: Mapping[tuple[str, str], int]
    groups: tuple[MergedGroup, ...]
    galleries: tuple[TieGallery, ...]

    @property
    def row_ids(self) -> list[str]:
        """The rows that are shown."""
        shown = [row for group in self.groups for row in group.rows]
        return shown + [row for one in self.galleries for tie in one.ties for row in (tie.left_row, tie.right_row)]


def make_merge_report(paths: Sequence[Path]) -> MergeReport:
    """Gather what the rows of a stage merge say of it."""
    with duckdb.connect() as connection:
        connection.execute(
            f"CREATE VIEW rows AS SELECT id, {_PRODUCT} AS product, product_id, merge_queued, ties "  # noqa: S608
            f"FROM {parquet_files(paths)}"
        )
        connection.execute(
            """CREATE VIEW ties AS SELECT * FROM (
                SELECT product AS "left", id AS left_row, unnest(ties).product AS "right",
                    unnest(ties)."row" AS right_row, unnest(ties).kind AS kind, unnest(ties).score AS score,
                    unnest(ties).rule AS rule, unnest(ties).verdict AS verdict, unnest(ties).detail AS detail
                FROM rows WHERE ties IS NOT NULL
            ) WHERE ("left", left_row) < ("right", right_row)"""
        )
        counts = connection.execute(
            """SELECT count(DISTINCT product), count(DISTINCT product_id),
                count(DISTINCT product) FILTER (WHERE merge_queued) FROM rows"""
        ).fetchall()[0]
        sizes = connection.execute(
            """SELECT n, count(*) FROM (SELECT count(DISTINCT product) AS n FROM rows GROUP BY product_id)
            WHERE n > 1 GROUP BY n ORDER BY n"""
        ).fetchall()
        verdicts = connection.execute(
            "SELECT kind, verdict, count(*) FROM ties GROUP BY ALL ORDER BY kind, verdict"
        ).fetchall()
        n_before, n_after, n_queued = counts
        return MergeReport(
            n_before,
            n_after,
            n_queued,
            sizes=dict(sizes),
            counts={(kind, _plainly(verdict)): n for kind, verdict, n in verdicts},
            groups=_groups(connection),
            galleries=tuple(_gallery(connection, *item) for item in _GALLERIES.items()),
        )


def _plainly(verdict: str) -> str:
    empty: dict[str, Any] = dict.fromkeys(("left", "left_row", "right", "right_row", "kind", "rule"), "")
    return verdict if verdict == MERGED else verdict_in_words(Tie(**empty, score=0.0, verdict=verdict, detail=None))


def _groups(connection: duckdb.DuckDBPyConnection) -> tuple[MergedGroup, ...]:
    found = connection.execute(
        """SELECT product_id, count(DISTINCT product) AS n, count(*) FROM rows
        GROUP BY product_id HAVING n > 1 ORDER BY n DESC, product_id LIMIT ?""",
        [_N_GROUPS],
    ).fetchall()
    groups = []
    for product_id, n_products, n_rows in found:
        rows = connection.execute(
            """SELECT id FROM rows WHERE product_id = ?
            ORDER BY row_number() OVER (PARTITION BY product ORDER BY id), product LIMIT ?""",
            [product_id, _N_ROWS],
        ).fetchall()
        groups.append(MergedGroup(product_id, n_products, n_rows, tuple(row for (row,) in rows)))
    return tuple(groups)


def _gallery(connection: duckdb.DuckDBPyConnection, heading: str, wanted: str) -> TieGallery:
    where = wanted.partition(" ORDER BY ")[0]
    n_ties = connection.execute(f"SELECT count(*) FROM ties WHERE {where}").fetchall()[0][0]  # noqa: S608  words of ours
    columns = ", ".join(f'"{name}"' for name in Tie.__slots__)
    sql = f'SELECT {columns} FROM ties WHERE {wanted}, "left", "right", left_row, right_row LIMIT ?'  # noqa: S608
    found = connection.execute(sql, [_N_TIES]).fetchall()
    return TieGallery(heading, n_ties, tuple(Tie(**dict(zip(Tie.__slots__, row, strict=True))) for row in found))
