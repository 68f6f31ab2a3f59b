"""The row accounting of a run: every raw row in exactly one of kept, rejected, quarantined and not sampled."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.curation.pipeline.ids import raw_ids
from rope.curation.pipeline.manifest import ShardManifest
from rope.curation.pipeline.operation import REPEATED, Fate
from rope.curation.pipeline.places import open_parquet
from rope.curation.pipeline.pool import RawPool, open_pool
from rope.curation.pipeline.recipe import CurationRecipe
from rope.curation.pipeline.runner import finished_stages
from rope.curation.sampling.keyed_hash import keyed_hash
from rope.curation.scattered import ByHash, n_files
from rope.errors import DatasetError
from rope.files import sha256_of
from rope.sql import parquet_files

__all__ = ["Audit", "RowFate", "StageCount", "audit", "funnel", "kept_files", "reject_files", "trace"]

Stages = Mapping[str, Sequence[tuple[Path, ShardManifest]]]
"""Stage -> folder and manifest of each shard; see `rope.curation.pipeline.runner.finished_stages`."""

_N_EXAMPLES: Final = 5
_AT_ONCE: Final = 65_536
_LOOKED_AT: Final = 100_000
"""Ids of which something is wrong, among which the first are looked for."""

_END: Final = np.dtype([("hash", "<u8"), ("is_raw", "?"), ("is_own", "?")])
"""Of an id in the pool or at an end: its hash, which of the two, and whether it was not rejected as `REPEATED`."""


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
    fates, misplaced = _ends_compared(lambda: _ends(pool, stages), counts[0].rows_in)
    n_raw = fates.pop(None, 0)
    if n_raw != counts[0].rows_in:
        problems.append(f"the pool has {n_raw:,} rows, and {counts[0].rows_in:,} went into its stage")
    return Audit(n_raw, {fate: fates[fate] for fate in sorted(fates, key=str) if fate}, (*problems, *misplaced))


def trace(recipe: CurationRecipe, row_id: str) -> list[RowFate]:
    """What became of a row, stage by stage, up to the one that did not keep it or the last that was run.

    Raises:
        DatasetError: the recipe was never run, or the pool has no row with this id.
    """
    stages = finished_stages(recipe, to_end=False)
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


def _ends(pool: RawPool, stages: Stages) -> Iterator[pa.RecordBatch]:
    """The id of each row of the pool, with a null fate; and of each row that ended, with its fate and reason."""
    names = ["id", "fate", "reason"]
    for file in pool.files:
        with open_parquet(file.path) as opened:
            for batch in opened.iter_batches(_AT_ONCE, columns=[pool.columns["id"]]):
                nothing = pa.nulls(batch.num_rows, pa.string())
                yield pa.RecordBatch.from_arrays([raw_ids(batch[0]), nothing, nothing], names)
    for path in kept_files(stages, list(stages)[-1]):
        for batch in pq.ParquetFile(path).iter_batches(_AT_ONCE, columns=["id"]):
            kept, nothing = pa.repeat("kept", batch.num_rows), pa.nulls(batch.num_rows, pa.string())
            yield pa.RecordBatch.from_arrays([batch["id"], kept, nothing], names)
    for path in (path for stage in stages for path in reject_files(stages, stage)):
        for batch in pq.ParquetFile(path).iter_batches(_AT_ONCE, columns=names):
            yield batch.select(names)


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


def _ends_compared(ends: Callable[[], Iterator[pa.RecordBatch]], n_rows: int) -> tuple[Counter[Fate | None], list[str]]:
    """How many rows have each fate, and what is wrong with their ids: see `_ends`.

    Rows without an id are counted, not compared. Ids meet by their hashes, one division at a time.
    """
    fates, without = Counter[Fate | None](), [0, 0]
    with tempfile.TemporaryDirectory(prefix="rope-audit-") as folder:
        ids = ByHash(Path(folder) / "ids", _END, n_files(2 * n_rows))
        for batch in ends():
            fates.update({row["values"]: row["counts"] for row in batch["fate"].value_counts().to_pylist()})
            told = _told(batch)
            without[batch["fate"].null_count == 0] += batch.num_rows - told.num_rows
            ids.add(_hashed(told))
        n_wrong, wrong = 0, np.empty(0, np.uint64)
        for rows in ids:
            found = _misplaced(rows)
            n_wrong += len(found)
            wrong = np.concatenate([wrong, found])[:_LOOKED_AT]
    sentences = _sentences(ends(), wrong) if n_wrong else []
    n_more = n_wrong - len(sentences)
    if without[0] != without[1]:
        sentences.append(f"{without[0]:,} rows of the pool have no id, and {without[1]:,} were rejected for it")
    return fates, [*sentences, f"and {n_more:,} more ids"] if n_more else sentences


def _told(ends: pa.RecordBatch) -> pa.RecordBatch:
    """The rows that have an id."""
    is_rejected = pc.equal(pc.fill_null(ends["reason"], ""), "no_id")
    return ends.filter(pc.invert(pc.if_else(pc.is_null(ends["fate"]), pc.is_null(ends["id"]), is_rejected)))


def _hashed(ends: pa.RecordBatch) -> npt.NDArray[Any]:
    found = np.empty(ends.num_rows, _END)
    found["hash"] = keyed_hash(ends["id"], seed=0, purpose="audit")
    found["is_raw"] = pc.is_null(ends["fate"]).to_numpy(zero_copy_only=False)
    found["is_own"] = pc.not_equal(pc.fill_null(ends["reason"], ""), REPEATED).to_numpy(zero_copy_only=False)
    return found


def _misplaced(ends: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """The hashes of ids that are not as often in the pool as among the ends, or do not end once but for repeats."""
    hashes, code = np.unique(ends["hash"], return_inverse=True)
    is_raw, is_own = ends["is_raw"], ends["is_own"] & ~ends["is_raw"]
    n_raw, n_ends, n_own = (np.bincount(code, mask, len(hashes)) for mask in (is_raw, ~is_raw, is_own))
    return np.asarray(hashes[(n_raw != n_ends) | (n_own != 1)])


def _sentences(ends: Iterable[pa.RecordBatch], wrong: npt.NDArray[np.uint64]) -> list[str]:
    """What is wrong with the first of the ids with these hashes."""
    parts = [part.filter(pa.array(np.isin(_hashed(part)["hash"], wrong))) for part in map(_told, ends)]
    with duckdb.connect() as connection:
        connection.register("ends", pa.Table.from_batches(parts))
        rows = connection.execute(
            """
            SELECT id, count(*) - count(fate), count(fate), string_agg(DISTINCT fate, ' and ' ORDER BY fate)
            FROM ends GROUP BY id ORDER BY id LIMIT ?
            """,
            [_N_EXAMPLES],
        ).fetchall()
    return [
        f"id {row_id!r} is {n_raw} times in the pool, and {n_ends} times among the outcomes ({fate or 'nothing'})"
        for row_id, n_raw, n_ends, fate in rows
    ]


def _rows_with(paths: Sequence[Path], row_id: str) -> list[dict[str, Any]]:
    """The rows with an id, with those of their columns that hold a number, a word or a truth value."""
    names = [field.name for field in pq.read_schema(paths[0]) if _is_plain(field.type)]
    quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
    with duckdb.connect() as connection:
        sql = f"SELECT {quoted} FROM {parquet_files(paths)} WHERE id = ?"  # noqa: S608  names of ours
        return [dict(zip(names, row, strict=True)) for row in connection.execute(sql, [row_id]).fetchall()]


def _is_plain(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_primitive(kind))
