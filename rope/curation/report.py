"""The report of a curation run: the funnel, the scores on both sides of each cut, and examples of either side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.curation.annotation.precision import Precision
from rope.curation.pipeline.accounting import StageCount, Stages, funnel, kept_files, reject_files
from rope.curation.pipeline.operation import MapOperation, load_operation
from rope.curation.pipeline.recipe import CurationRecipe, Stage
from rope.curation.pipeline.runner import finished_stages
from rope.domain import Frame
from rope.sql import parquet_files

if TYPE_CHECKING:
    from rope.table import Table

__all__ = ["CurationReport", "Example", "Scores", "StageReport", "funnel_table", "make_report"]

_N_BINS: Final = 40
_N_EXAMPLES: Final = 6


@dataclass(frozen=True, slots=True)
class Scores:
    """How the scores of a stage are distributed.

    Attributes:
        column: what was scored.
        low: the lowest score.
        high: the highest.
        kept: domain -> rows in each of the bins from `low` to `high`, which are equally wide.
        rejected: the same for rows that were not kept.
    """

    column: str
    low: float
    high: float
    kept: Mapping[str, tuple[int, ...]]
    rejected: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Example:
    """A row close to a cut.

    Attributes:
        row_id: its id.
        domain: its domain.
        text: its text.
        score: its score, or None.
        detail: see `rope.curation.pipeline.operation.Reject`.
        frame: its first image; None where it has none, or its rows are not of a pool.
    """

    row_id: str
    domain: str
    text: str | None
    score: float | None
    detail: str | None
    frame: Frame | None


@dataclass(frozen=True, slots=True)
class StageReport:
    """A stage: its counts; its scores, if it has any; and examples by a heading that says what they are of."""

    count: StageCount
    scores: Scores | None
    examples: Mapping[str, tuple[Example, ...]]


@dataclass(frozen=True, slots=True)
class CurationReport:
    """A run: the name of the recipe, its stages in order, and its precision in words where it was measured."""

    name: str
    stages: tuple[StageReport, ...]
    precision: str | None = None


def make_report(recipe: CurationRecipe, precision: Precision | None = None) -> CurationReport:
    """Gather the report of a recipe that was run to its end; the same run and precision give the same report.

    Raises:
        DatasetError: it was not.
    """
    stages = finished_stages(recipe)
    by_name = {stage.name: stage for stage in recipe.stages}
    names = list(stages)
    reports = []
    with duckdb.connect() as connection:
        for before, count in zip([None, *names], funnel(stages), strict=False):
            column = _score_column(by_name.get(count.stage))
            scores = _scores(connection, stages, count.stage, column) if column else None
            examples = _examples(connection, stages, before, count, column) if before else {}
            reports.append(StageReport(count, scores, examples))
    return CurationReport(recipe.name, tuple(reports), None if precision is None else str(precision))


def funnel_table(name: str, counts: Sequence[StageCount]) -> "Table":
    """The funnel for a terminal: a row for each stage, and below it one for each reason."""
    from rich.text import Text

    from rope.table import Table

    table = Table(f"{name}: what became of {counts[0].rows_in:,} rows", n_keys=2)
    table.add_column("stage")
    table.add_column("reason")
    table.add_columns("rows", "of the stage", "of the pool")
    for count in counts:
        n_kept = sum(count.kept.values())
        shares = (_percent(n_kept, count.rows_in), _percent(n_kept, counts[0].rows_in))
        table.add_row(Text(count.stage, style="bold"), "kept", f"{n_kept:,}", *shares)
        for (fate, reason), n in sorted(_by_reason(count).items()):
            words = fate if fate == reason else f"{fate}: {reason}"
            table.add_row("", words, f"{n:,}", _percent(n, count.rows_in), _percent(n, counts[0].rows_in))
    return table


def _by_reason(count: StageCount) -> dict[tuple[str, str], int]:
    sums: dict[tuple[str, str], int] = {}
    for (fate, reason, _), n in count.others.items():
        sums[fate, reason] = sums.get((fate, reason), 0) + n
    return sums


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _score_column(stage: Stage | None) -> str | None:
    operation = load_operation(stage.use) if stage else None
    if stage is None or not isinstance(operation, MapOperation) or operation.score_column is None:
        return None
    return operation.score_column(operation.options(**stage.options))


def _scores(connection: duckdb.DuckDBPyConnection, stages: Stages, stage: str, column: str) -> Scores | None:
    quoted = '"' + column.replace('"', '""') + '"'
    connection.execute(
        f"""CREATE OR REPLACE TEMP VIEW scored AS
        SELECT domain, TRUE AS is_kept, CAST({quoted} AS DOUBLE) AS score
        FROM {parquet_files(kept_files(stages, stage))}
        UNION ALL
        SELECT domain, FALSE, score FROM {parquet_files(reject_files(stages, stage))} WHERE fate = 'rejected'"""  # noqa: S608
    )
    known = "FROM scored WHERE isfinite(score)"
    low, high = connection.execute(f"SELECT min(score), max(score) {known}").fetchall()[0]
    if low is None:
        return None
    width = (high - low) / _N_BINS or 1.0
    rows = connection.execute(
        f"""SELECT is_kept, domain, least(CAST(floor((score - ?) / ?) AS INTEGER), ?) AS bin, count(*) {known}
        GROUP BY ALL ORDER BY ALL""",
        [low, width, _N_BINS - 1],
    ).fetchall()
    bins: dict[bool, dict[str, list[int]]] = {True: {}, False: {}}
    for is_kept, domain, place, n in rows:
        bins[is_kept].setdefault(domain, [0] * _N_BINS)[place] = n
    kept, rejected = ({domain: tuple(ns) for domain, ns in bins[side].items()} for side in (True, False))
    return Scores(column, low, high, kept, rejected)


def _examples(
    connection: duckdb.DuckDBPyConnection, stages: Stages, before: str, count: StageCount, column: str | None
) -> dict[str, tuple[Example, ...]]:
    """Rejected rows for each reason, the nearest to the cut first; and, where there is a cut, the lowest kept rows.

    The domains take turns, as their cuts may differ.
    """
    found = {}
    for fate, reason in sorted(_by_reason(count)):
        rows = connection.execute(
            f"""SELECT id, score, detail FROM {parquet_files(reject_files(stages, count.stage))}
            WHERE fate = ? AND reason = ?
            ORDER BY row_number() OVER (PARTITION BY domain ORDER BY score DESC NULLS LAST, id), domain
            LIMIT ?""",  # noqa: S608
            [fate, reason, _N_EXAMPLES],
        ).fetchall()
        found[fate if fate == reason else f"{fate}: {reason}"] = _shown(connection, kept_files(stages, before), rows)
    if column and count.others:
        quoted = '"' + column.replace('"', '""') + '"'
        rows = connection.execute(
            f"""SELECT id, CAST({quoted} AS DOUBLE), NULL FROM {parquet_files(kept_files(stages, count.stage))}
            ORDER BY row_number() OVER (PARTITION BY domain ORDER BY {quoted}, id), domain LIMIT ?""",  # noqa: S608
            [_N_EXAMPLES],
        ).fetchall()
        found[f"kept with the lowest {column}"] = _shown(connection, kept_files(stages, before), rows)
    return found


def _shown(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], rows: Sequence[tuple[str, float | None, str | None]]
) -> tuple[Example, ...]:
    """Examples of some rows, with the text and the first image that they had before the stage."""
    ids = [row_id for row_id, _, _ in rows]
    sql = f"SELECT id, filename FROM {parquet_files(paths)[:-1]}, filename = true) WHERE list_contains(?, id)"  # noqa: S608
    places = dict(connection.execute(sql, [ids]).fetchall())
    records = {}
    for path in sorted(set(places.values())):
        for record in pq.read_table(path, filters=pc.field("id").isin(ids)).to_pylist():
            records[record["id"]] = record
    examples = []
    for row_id, score, detail in rows:
        record = records.get(row_id, {})
        text = record.get("text")
        domain = record.get("domain") or ""
        examples.append(Example(row_id, domain, text, score, detail, _first_frame(record.get("frames"))))
    return tuple(examples)


def _first_frame(frames: Sequence[Mapping[str, object]] | None) -> Frame | None:
    if not frames:
        return None
    data, path = frames[0].get("bytes"), frames[0].get("path")
    return Frame(data if isinstance(data, bytes) else None, path if isinstance(path, str) else None)
