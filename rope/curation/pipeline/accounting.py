"""The row accounting of a run: every raw row in exactly one of kept, rejected, quarantined and not sampled."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from rope.curation.pipeline.ids import raw_ids
from rope.curation.pipeline.manifest import ShardManifest
from rope.curation.pipeline.operation import REPEATED, Fate
from rope.curation.pipeline.places import open_parquet
from rope.curation.pipeline.pool import RawPool, open_pool
from rope.curation.pipeline.recipe import CurationRecipe
from rope.curation.pipeline.runner import finished_stages
from rope.errors import DatasetError
from rope.files import sha256_of
from rope.sql import parquet_files

__all__ = ["Audit", "RowFate", "StageCount", "audit", "funnel", "kept_files", "reject_files", "trace"]

Stages = Mapping[str, Sequence[tuple[Path, ShardManifest]]]
"""Stage -> folder and manifest of each shard; see `rope.curation.pipeline.runner.finished_stages`."""

_N_EXAMPLES: Final = 5


@dataclass(frozen=True, slots=True)
class StageCount:
    """How many rows a stage kept, rejected, quarantined or did not sample.

    Attributes:
        stage: its name.
        rows_in: rows that it was given.
        kept: domain -> rows that went on.
        others: (fate, reason, domain) -> rows that did not.
        notes: what it measured of its own work; see `rope.curation.pipeline.operation.Outcome`.
    """

    stage: str
    rows_in: int
    kept: Mapping[str, int]
    others: Mapping[tuple[Fate, str, str], int]
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Audit:
    """Whether every row is accounted for.

    Attributes:
        n_raw: rows of the pool.
        fates: fate -> rows, over all stages; kept are those of the last.
        problems: a sentence for each thing that is wrong.
    """

    n_raw: int
    fates: Mapping[Fate, int]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RowFate:
    """What became of one row in one stage; see `rope.curation.pipeline.operation.Reject`.

    Attributes:
        values: what the stage has added to a kept row or changed in it, as far as it is a number, a word or a truth
            value.
    """

    stage: str
    domain: str
    fate: Fate
    reason: str | None
    score: float | None
    detail: str | None
    values: Mapping[str, object]


def funnel(stages: Stages) -> list[StageCount]:
    """The counts of each stage, from the manifests alone."""
    counts = []
    for stage, shards in stages.items():
        kept, others = Counter[str](), Counter[tuple[Fate, str, str]]()
        for _, manifest in shards:
            for count in manifest.counts:
                if count.fate == "kept":
                    kept[count.domain] += count.rows
                else:
                    others[count.fate, count.reason or "", count.domain] += count.rows
        rows_in = sum(manifest.rows_in for _, manifest in shards)
        notes = {name: note for _, manifest in shards for name, note in manifest.notes.items()}
        counts.append(StageCount(stage, rows_in, dict(sorted(kept.items())), dict(sorted(others.items())), notes))
    return counts


def audit(recipe: CurationRecipe) -> Audit:
    """Prove that no row of the pool was lost or doubled.

    Compares the counts of the manifests stage by stage; the bytes of every file with its hash; and the ids of the pool
    with those of all that was kept, rejected, quarantined and not sampled. Ids must differ from one another, except
    where a stage has rejected all but one row of an id as `REPEATED`.

    Raises:
        DatasetError: the recipe was not run to its end.
    """
    stages = finished_stages(recipe)
    counts = funnel(stages)
    pool = open_pool(recipe.pool_path, recipe.pool.columns, recipe.work, recipe.pool.keep)
    problems = _miscounts(counts) + _damages(stages)
    if problems:  # then there may be nothing to read ids from
        return Audit(counts[0].rows_in, {}, tuple(problems))
    with duckdb.connect() as connection:
        connection.register("raw_ids", _raw_ids(pool))
        connection.execute("CREATE TEMP TABLE raw AS SELECT id FROM raw_ids")
        _view(connection, "kept", "id, 'kept' AS fate, NULL AS reason", kept_files(stages, list(stages)[-1]))
        rejects = [path for stage in stages for path in reject_files(stages, stage)]
        _view(connection, "others", "id, fate, reason", rejects)
        connection.execute("CREATE VIEW fates AS SELECT * FROM kept UNION ALL SELECT * FROM others")
        n_raw = connection.execute("SELECT count(*) FROM raw").fetchall()[0][0]
        if n_raw != counts[0].rows_in:
            problems.append(f"the pool has {n_raw:,} rows, and {counts[0].rows_in:,} went into its stage")
        problems += _misplaced(connection)
        fates = connection.execute("SELECT fate, count(*) FROM fates GROUP BY fate ORDER BY fate").fetchall()
    return Audit(n_raw, dict(fates), tuple(problems))


def trace(recipe: CurationRecipe, row_id: str) -> list[RowFate]:
    """What became of a row, stage by stage, up to the one that did not keep it.

    Raises:
        DatasetError: the recipe was not run to its end, or the pool has no row with this id.
    """
    stages = finished_stages(recipe)
    steps, known = list[RowFate](), dict[str, object]()
    for stage in stages:
        for row in _rows_with(kept_files(stages, stage), row_id):
            told = {name: value for name, value in row.items() if name not in ("id", "domain")}
            values = {name: value for name, value in told.items() if name not in known or known[name] != value}
            known |= told
            steps.append(RowFate(stage, row["domain"], "kept", None, None, None, values))
        for row in _rows_with(reject_files(stages, stage), row_id):
            steps.append(RowFate(stage, row["domain"], row["fate"], row["reason"], row["score"], row["detail"], {}))
    if not steps:
        raise DatasetError(f"{recipe.pool_path}: no row has the id {row_id!r}")
    return steps


def kept_files(stages: Stages, stage: str) -> list[Path]:
    """The files of the rows that a stage has kept."""
    return [folder / part.kept.name for folder, manifest in stages[stage] for part in manifest.parts]


def reject_files(stages: Stages, stage: str) -> list[Path]:
    """The files of the rows that a stage has not kept."""
    return [folder / part.rejects.name for folder, manifest in stages[stage] for part in manifest.parts]


def _raw_ids(pool: RawPool) -> pa.RecordBatchReader:
    """The ids of a pool as its rows have them in every stage."""

    def batches() -> Iterator[pa.RecordBatch]:
        for file in pool.files:
            with open_parquet(file.path) as opened:
                for batch in opened.iter_batches(65_536, columns=[pool.columns["id"]]):
                    yield pa.RecordBatch.from_arrays([raw_ids(batch[0])], ["id"])

    return pa.RecordBatchReader.from_batches(pa.schema([("id", pa.string())]), batches())


def _view(connection: duckdb.DuckDBPyConnection, name: str, columns: str, paths: Sequence[Path]) -> None:
    connection.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM {parquet_files(paths)}")  # noqa: S608  names of ours


def _miscounts(counts: Sequence[StageCount]) -> list[str]:
    problems = []
    for before, after in zip([None, *counts], counts, strict=False):
        n_out = sum(after.kept.values()) + sum(after.others.values())
        if after.rows_in != n_out:
            problems.append(f"stage {after.stage!r}: {after.rows_in:,} rows went in, and {n_out:,} came out")
        if before is not None and sum(before.kept.values()) != after.rows_in:
            n_before = sum(before.kept.values())
            problems.append(
                f"stage {after.stage!r}: got {after.rows_in:,} of the {n_before:,} rows of {before.stage!r}"
            )
    return problems


def _damages(stages: Stages) -> list[str]:
    return [
        f"{folder / file.name}: its bytes are not those that were written; run again, which makes it again"
        for shards in stages.values()
        for folder, manifest in shards
        for file in manifest.files
        if sha256_of(folder / file.name) != file.sha256
    ]


def _misplaced(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """A sentence for each of the first ids that are not as often in the pool as among the fates, or not once.

    Rows without an id are counted, not compared.
    """
    rows = connection.execute(
        """
        WITH pool AS (SELECT id, count(*) AS n FROM raw WHERE id IS NOT NULL GROUP BY id),
            ends AS (
                SELECT id, count(*) AS n, string_agg(DISTINCT fate, ' and ' ORDER BY fate) AS fate,
                    count(*) FILTER (WHERE reason IS DISTINCT FROM ?) AS n_own
                FROM fates WHERE reason IS DISTINCT FROM 'no_id' GROUP BY id
            )
        SELECT coalesce(pool.id, ends.id) AS id, coalesce(pool.n, 0), coalesce(ends.n, 0), ends.fate, count(*) OVER ()
        FROM pool FULL JOIN ends ON pool.id = ends.id
        WHERE pool.n IS DISTINCT FROM ends.n OR ends.n_own IS DISTINCT FROM 1
        ORDER BY id LIMIT ?
        """,
        [REPEATED, _N_EXAMPLES],
    ).fetchall()
    sentences = [
        f"id {row_id!r} is {n_raw} times in the pool, and {n_ends} times among the outcomes ({fate or 'nothing'})"
        for row_id, n_raw, n_ends, fate, _ in rows
    ]
    n_without = connection.execute("SELECT count(*) FROM raw WHERE id IS NULL").fetchall()[0][0]
    n_rejected = connection.execute("SELECT count(*) FROM others WHERE reason = 'no_id'").fetchall()[0][0]
    if n_without != n_rejected:
        sentences.append(f"{n_without:,} rows of the pool have no id, and {n_rejected:,} were rejected for it")
    n_more = rows[0][4] - len(rows) if rows else 0
    return [*sentences, f"and {n_more:,} more ids"] if n_more else sentences


def _rows_with(paths: Sequence[Path], row_id: str) -> list[dict[str, Any]]:
    """The rows with an id, with those of their columns that hold a number, a word or a truth value."""
    names = [field.name for field in pq.read_schema(paths[0]) if _is_plain(field.type)]
    quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
    with duckdb.connect() as connection:
        sql = f"SELECT {quoted} FROM {parquet_files(paths)} WHERE id = ?"  # noqa: S608  names of ours
        return [dict(zip(names, row, strict=True)) for row in connection.execute(sql, [row_id]).fetchall()]


def _is_plain(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_primitive(kind))
