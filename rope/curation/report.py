"""The report of a curation run: the funnel, the cuts with scores and rows on both sides, merging, and the split."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import duckdb

from rope.curation.annotation.precision import Precision
from rope.curation.dedup.stage import MERGE
from rope.curation.merge_report import MergeReport, make_merge_report
from rope.curation.pipeline.accounting import StageCount, Stages, funnel, kept_files, reject_files
from rope.curation.pipeline.operation import MapOperation, load_operation
from rope.curation.pipeline.recipe import CurationRecipe, Stage
from rope.curation.pipeline.runner import finished_stages
from rope.curation.row_pictures import read_records
from rope.curation.split_report import SplitReport, make_split_report
from rope.curation.splitting.recipe_leaks import is_split
from rope.domain import DOMAINS
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
    """

    row_id: str
    domain: str
    text: str | None
    score: float | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class StageReport:
    """A stage.

    Attributes:
        count: its counts.
        settings: option -> value, as the recipe has it or by default.
        cuts: domain -> lowest and highest score that is kept, None for no such bound; of a stage with a cut. Categories
            may have others.
        scores: None where it has none.
        examples: rows by a heading that says what they are of.
        merge: of a stage merge; None for others.
    """

    count: StageCount
    settings: Mapping[str, object] = field(default_factory=dict)
    cuts: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    scores: Scores | None = None
    examples: Mapping[str, tuple[Example, ...]] = field(default_factory=dict)
    merge: MergeReport | None = None


@dataclass(frozen=True, slots=True)
class CurationReport:
    """A run.

    Attributes:
        name: of the recipe.
        stages: in order.
        precision: in words, where it was measured.
        split: where rows were split.
        records: id -> row, of all rows that are shown, see `rope.curation.row_pictures.read_records`.
    """

    name: str
    stages: tuple[StageReport, ...]
    precision: str | None = None
    split: SplitReport | None = None
    records: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def make_report(recipe: CurationRecipe, precision: Precision | None = None, *, leaks: bool = True) -> CurationReport:
    """Gather the report of a recipe that was run to its end; the same run and precision give the same report.

    Args:
        recipe: what was run.
        precision: of its rows, where it was measured.
        leaks: whether to look for leaks between the sides of a split, as `rope curate audit` does.

    Raises:
        DatasetError: it was not run to its end.
    """
    stages = finished_stages(recipe)
    by_name = {stage.name: stage for stage in recipe.stages}
    names = list(stages)
    reports, records = [], dict[str, dict[str, Any]]()
    for before, count in zip([None, *names], funnel(stages), strict=False):
        made = StageReport(count)
        if before is not None:
            made = _stage_report(stages, by_name[count.stage], before, count)
            records |= read_records(kept_files(stages, before), _shown_ids(made))
        reports.append(made)
    split = make_split_report(recipe, stages, leaks=leaks) if is_split(stages) else None
    if split is not None:
        records |= read_records(kept_files(stages, names[-1]), split.row_ids)
    return CurationReport(recipe.name, tuple(reports), None if precision is None else str(precision), split, records)


def _stage_report(stages: Stages, stage: Stage, before: str, count: StageCount) -> StageReport:
    operation = load_operation(stage.use)
    options = operation.options(**stage.options)
    column: str | None = None
    cuts: dict[str, tuple[float | None, float | None]] = {}
    if isinstance(operation, MapOperation) and operation.score_column is not None:
        column = operation.score_column(options)
        domains = [one for one in DOMAINS if one in count.kept or any(one == key[2] for key in count.others)]
        cuts = {domain: operation.cut(options, domain) for domain in domains} if operation.cut and column else {}
    with duckdb.connect() as connection:
        scores = _scores(connection, stages, count.stage, column) if column else None
        examples = _examples(connection, stages, count, column)
    merge = make_merge_report(kept_files(stages, stage.name)) if operation is MERGE else None
    return StageReport(count, asdict(options), cuts, scores, _with_texts(stages, before, examples), merge)


def _shown_ids(report: StageReport) -> list[str]:
    found = [example.row_id for examples in report.examples.values() for example in examples]
    return found + (report.merge.row_ids if report.merge else [])


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


_Found = tuple[str, float | None, str | None]
"""Id, score and detail."""


def _examples(
    connection: duckdb.DuckDBPyConnection, stages: Stages, count: StageCount, column: str | None
) -> dict[str, list[_Found]]:
    """Rejected rows for each reason, the nearest to the cut first; and, where there is a cut, the lowest kept rows.

    The domains take turns, as their cuts may differ.
    """
    found = {}
    for fate, reason in sorted(_by_reason(count)):
        found[fate if fate == reason else f"{fate}: {reason}"] = connection.execute(
            f"""SELECT id, score, detail FROM {parquet_files(reject_files(stages, count.stage))}
            WHERE fate = ? AND reason = ?
            ORDER BY row_number() OVER (PARTITION BY domain ORDER BY score DESC NULLS LAST, id), domain
            LIMIT ?""",  # noqa: S608
            [fate, reason, _N_EXAMPLES],
        ).fetchall()
    if column and count.others:
        quoted = '"' + column.replace('"', '""') + '"'
        found[f"kept with the lowest {column}"] = connection.execute(
            f"""SELECT id, CAST({quoted} AS DOUBLE), NULL FROM {parquet_files(kept_files(stages, count.stage))}
            ORDER BY row_number() OVER (PARTITION BY domain ORDER BY {quoted}, id), domain LIMIT ?""",  # noqa: S608
            [_N_EXAMPLES],
        ).fetchall()
    return found


def _with_texts(
    stages: Stages, before: str, examples: Mapping[str, Sequence[_Found]]
) -> dict[str, tuple[Example, ...]]:
    """Examples with the text and the domain that their rows had before the stage."""
    records = read_records(kept_files(stages, before), [row_id for found in examples.values() for row_id, *_ in found])
    return {
        heading: tuple(
            Example(
                row_id, records.get(row_id, {}).get("domain", ""), records.get(row_id, {}).get("text"), score, detail
            )
            for row_id, score, detail in found
        )
        for heading, found in examples.items()
    }
