"""Measure every stage of a recipe on a part of its pool: rows, times and bytes; see `rope.curation.forecast`."""

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.arrays import FloatArray
from rope.curation.annotation.stage import ApplyAnswers
from rope.curation.cost_laws import REACH, RowCost, ScaledCost, ScaledPoint, file_size
from rope.curation.dry_run import DryRun, Part, Timed, dry_run, on_a_part, options_of, part_of, timed_engine, timed_jobs
from rope.curation.measured_rows import read_rows, rows_of_stages
from rope.curation.operations.download import Download
from rope.curation.pipeline.accounting import kept_files, reject_files
from rope.curation.pipeline.costs import ShardCost
from rope.curation.pipeline.manifest import ShardManifest
from rope.curation.pipeline.operation import NOT_SAMPLED, GlobalOperation, MapOperation, load_operation, rejects_of
from rope.curation.pipeline.pool import RawPool, open_pool, slices
from rope.curation.pipeline.recipe import CurationRecipe, Stage, stages_of
from rope.curation.pipeline.runner import POOL_STAGE
from rope.curation.pipeline.shard_files import STORED_REJECT_SCHEMA
from rope.curation.pipeline.shard_job import ShardJob
from rope.curation.planned_media import MediaBytes, downloaded, n_there_before, published
from rope.curation.pool_keys import draw_rows, key_rule
from rope.curation.sampling.keyed_hash import keyed_hash
from rope.curation.sampling.stage import SampleRows
from rope.errors import RopeError, UsageError

__all__ = ["MIN_ROWS", "Measure", "Measures", "measure_stages"]

MIN_ROWS: Final = 500
"""Rows that are drawn about at least, or all of the pool."""

_PARTS: Final = (("divided", 1.0, True), ("whole", 1.0, False), ("half", 0.5, False), ("quarter", 0.25, False))
"""Shares of the drawn products on which a stage that must see all rows is measured, the largest first, as it warms up
the worker; and whether these are in many files, so that what a file costs is told from what a row costs."""

_MANY: Final = 8
_MAX_FILES: Final = 200
"""Files that such a stage is given, of many: at least, and at most. Of few, an eighth of these."""

_BATCH: Final = 65_536


@dataclass(frozen=True, slots=True)
class Measure:
    """What a stage will do with the whole pool. Arrays are draws: the first is the best guess.

    Attributes:
        stage: its name.
        rows_in: float64 [1 + draws]; rows that reach it.
        kept: float64 [1 + draws]; rows that it keeps.
        n_shards: shards that it has.
        seconds: of a worker; None where it was not measured.
        processor_seconds: of a worker; None as before.
        n_bytes: float64 [1 + draws]; of its files; None as before.
        idle_s: seconds of the run itself before its first shard.
        needs_gpu: whether it runs on accelerators where there are any.
        missing: why something was not measured; None where all was.
        assumed: what the number of kept rows takes for granted; None for nothing.
    """

    stage: str
    rows_in: FloatArray
    kept: FloatArray
    n_shards: float
    seconds: RowCost | ScaledCost | None
    processor_seconds: RowCost | ScaledCost | None
    n_bytes: FloatArray | None
    idle_s: float = 0.0
    needs_gpu: bool = False
    missing: str | None = None
    assumed: str | None = None


@dataclass(frozen=True, slots=True)
class Measures:
    """Of all stages.

    Attributes:
        n_rows: rows that are planned for.
        n_drawn: rows that the dry run was made with.
        stages: in order.
        media: bytes beside those of the stages' files: of downloads and of the published dataset.
    """

    n_rows: float
    n_drawn: int
    stages: tuple[Measure, ...]
    media: tuple[MediaBytes, ...] = ()


def measure_stages(
    recipe: CurationRecipe, share: float, n_rows: float | None = None, *, progress: bool = True
) -> Measures:
    """Run a part of the pool through a recipe in a temporary folder, and measure.

    Args:
        recipe: need not have been run.
        share: of the keys to draw, above 0 and at most 1; more of them where that is less than `MIN_ROWS`.
        n_rows: rows to plan for, of a pool of the same make-up; None for those of the pool.
        progress: whether to draw bars on stderr.

    Raises:
        UsageError: `share` is out of range, the pool has no rows, or a stage cannot be run.
        DatasetError: a stage was given up.
    """
    if not 0 < share <= 1:
        raise UsageError(f"share is {share}; expected above 0 and at most 1")
    if n_rows is not None and n_rows < 1:
        raise UsageError(f"rows is {n_rows:g}; expected at least 1")
    with tempfile.TemporaryDirectory(prefix="rope-plan-") as folder:
        began = time.perf_counter()
        pool = open_pool(recipe.pool_path, recipe.pool.columns, Path(folder) / "hashes", recipe.pool.keep)
        opened_s = time.perf_counter() - began
        if not any(file.rows for file in pool.files):
            raise UsageError(f"{recipe.pool_path}: has no rows to plan with; expected a pool with rows")
        plan = _draw(recipe, pool, share, n_rows, Path(folder))
        with timed_engine() as timed:
            run = dry_run(plan.part, timed, progress=progress)
            stages = list(_measures(plan, run, timed))
        stages[0] = replace(stages[0], idle_s=stages[0].idle_s + opened_s)
        media = tuple(_media(recipe, run, stages))
        return Measures(plan.n_rows * plan.factor, plan.drawn.num_rows, tuple(stages), media)


def _media(recipe: CurationRecipe, run: DryRun, stages: Sequence[Measure]) -> Iterator[MediaBytes]:
    before = POOL_STAGE
    for stage, one in zip(recipe.stages, stages[1:], strict=True):
        options = options_of(stage)
        if isinstance(options, Download):
            yield from downloaded(stage.name, read_rows(kept_files(run.made, before)), options.folder, one.rows_in)
        before = stage.name if stage.name in run.made else before
    if stages_of(recipe, "merge") and stages_of(recipe, "split"):
        yield published(read_rows(kept_files(run.made, before)), stages[-1].kept)
    else:
        yield MediaBytes("published dataset", "the recipe lacks the stages merge and split")


def _there_before(run: DryRun, stage: Stage, before: str, began: float) -> str | None:
    """What is assumed of a stage that downloads, and has found files of an earlier run."""
    options = options_of(stage)
    if not isinstance(options, Download) or stage.name not in run.made:
        return None
    n, n_all = n_there_before(read_rows(kept_files(run.made, before)), options.folder, began)
    return f"{n:,} of {n_all:,} files were there before, so it takes longer where fewer are" if n else None


def _draw(recipe: CurationRecipe, pool: RawPool, share: float, n_rows: float | None, folder: Path) -> Part:
    options = [options_of(stage) for stage in recipe.stages]
    rule = key_rule(pool, next((one for one in options if isinstance(one, SampleRows)), None))
    drawn = draw_rows(pool, share, rule, MIN_ROWS)
    n = sum(file.rows for file in pool.files)
    if not drawn.num_rows:
        raise UsageError(f"{recipe.pool_path}: no row was drawn; try a larger share")
    return Part(
        recipe,
        pool,
        part_of(recipe, drawn, drawn.num_rows / n, folder),
        drawn,
        rule,
        n,
        1.0 if n_rows is None else n_rows / n,
        folder,
    )


@dataclass(frozen=True, slots=True)
class _Here:
    """A stage in its place: which rows it gets and keeps of the whole pool, see `Measure`."""

    stage: Stage
    before: str
    rows_in: FloatArray
    kept: FloatArray
    n_shards: float
    assumed: str | None

    def unmeasured(self, missing: str, n_bytes: FloatArray | None = None) -> Measure:
        return Measure(
            self.stage.name,
            self.rows_in,
            self.kept,
            self.n_shards,
            None,
            None,
            n_bytes,
            missing=missing,
            assumed=self.assumed,
        )


def _measures(plan: Part, run: DryRun, timed: Timed) -> Iterator[Measure]:
    kept, assumed = rows_of_stages(plan, run)
    n_shards = len(slices(plan.pool, plan.recipe.pool.shard_rows)) * plan.factor
    rows_in, before = np.full(len(kept), plan.n_rows * plan.factor), POOL_STAGE
    for place, stage in enumerate(plan.stages):
        told = assumed.get(stage.name) or _there_before(run, stage, before, timed.began)
        here = _Here(stage, before, rows_in, kept[:, place], n_shards, told)
        if stage.name in run.missing:
            yield here.unmeasured(run.missing[stage.name])
            continue
        if isinstance(load_operation(stage.use), GlobalOperation):
            yield _scaled(plan, run, timed, here)
            n_shards = _n_parts(run, stage.name) if _n_parts(run, stage.name) != _n_parts(run, before) else n_shards
        else:
            yield _measured(run, here)
        rows_in, before = here.kept, stage.name


def _n_parts(run: DryRun, stage: str) -> int:
    return sum(len(manifest.parts) for _, manifest in run.made[stage])


def _measured(run: DryRun, here: _Here) -> Measure:
    """Measure a stage that takes rows one by one on the shards of the dry run."""
    operation = load_operation(here.stage.use)
    return Measure(
        here.stage.name,
        here.rows_in,
        here.kept,
        here.n_shards,
        *run.row_costs(here.stage.name),
        _bytes(run, here),
        run.idle_s.get(here.stage.name, 0.0),
        isinstance(operation, MapOperation) and operation.needs_gpu,
        assumed=here.assumed,
    )


# Bytes


def _bytes(run: DryRun, here: _Here) -> FloatArray:
    """Bytes of the files of a stage, manifests included."""
    rng = np.random.default_rng(1)
    lost = np.maximum(here.rows_in - here.kept, 0.0)
    kept_size = file_size(read_rows(kept_files(run.made, here.stage.name)), here.kept[0] / here.n_shards)
    reject_size = file_size(_rejects(run, here.stage, here.before), lost[0] / here.n_shards)
    shards = run.made[here.stage.name]
    manifests = sum((folder / f"{_name(manifest)}.json").stat().st_size for folder, manifest in shards)
    files = kept_size.draws(here.kept, here.n_shards, rng) + reject_size.draws(lost, here.n_shards, rng)
    return files + here.n_shards * manifests / _n_parts(run, here.stage.name)


def _rejects(run: DryRun, stage: Stage, before: str) -> pa.Table:
    """The rows that a stage has not kept of the part; of one that samples, as if it had kept none."""
    if not isinstance(options_of(stage), SampleRows):
        return read_rows(reject_files(run.made, stage.name))
    rows = read_rows(kept_files(run.made, before), ["id", "domain"]).combine_chunks().to_batches()
    others = pa.Table.from_batches([rejects_of(batch, NOT_SAMPLED) for batch in rows])
    fates = pa.array([NOT_SAMPLED] * len(others), pa.string())
    return others.append_column("fate", fates).cast(STORED_REJECT_SCHEMA)


def _name(manifest: ShardManifest) -> str:
    return manifest.parts[0].kept.name.removesuffix(".kept.parquet")


# Stages that must see all rows


def _scaled(plan: Part, run: DryRun, timed: Timed, here: _Here) -> Measure:
    """Measure a stage on several parts of the drawn rows, in files as large as those that it will get."""
    costs, sizes, failed = list[tuple[int, list[ShardCost]]](), list[tuple[int, pa.Table]](), ""
    rows, n_bytes = read_rows(kept_files(run.made, here.before)), _bytes(run, here)
    first, again = run.costs[here.stage.name][0], _again(plan, run, timed, here)
    for name, share, is_divided in _PARTS:
        some = _some_products(rows, share)
        files = _files(some, here.rows_in[0] / here.n_shards, is_divided=is_divided)
        try:
            own, made = timed_jobs(timed, _job(plan, here.stage, share, name), files)
        except RopeError as error:
            failed = str(error)
        else:
            costs.append((len(files), own))
            sizes += [] if is_divided else [(len(some), read_rows(made))]
    if len(sizes) < 2:
        return here.unmeasured(failed, n_bytes)
    if not isinstance(options_of(here.stage), SampleRows):
        n_bytes = n_bytes * _growth(sizes[::-1], here.rows_in / max(plan.factor, 1.0), here.kept[0] / here.n_shards)
    seconds, processor_seconds = (_law(name, first, again, costs) for name in ("seconds", "processor_seconds"))
    n, n_measured = float(here.rows_in[0]), sizes[0][0]
    if not seconds.reaches(n):
        return here.unmeasured(f"{n:,.0f} rows are more than {REACH:g} times the {n_measured:,} measured", n_bytes)
    return Measure(
        here.stage.name,
        here.rows_in,
        here.kept,
        here.n_shards,
        seconds,
        processor_seconds,
        n_bytes,
        run.idle_s.get(here.stage.name, 0.0),
        assumed=here.assumed,
    )


def _again(plan: Part, run: DryRun, timed: Timed, here: _Here) -> list[ShardCost]:
    """The costs of the task of the dry run once more: what its first time took longer than these is paid once."""
    stage = next(one for one in plan.part.stages if one.name == here.stage.name)
    job = replace(_job(plan, here.stage, 1.0, "again"), options=dict(stage.options))
    return timed_jobs(timed, job, [pq.read_table(path) for path in kept_files(run.made, here.before)])[0]


def _files(rows: pa.Table, rows_per_file: float, *, is_divided: bool) -> list[pa.Table]:
    """The rows in a few tables, or in many, but not in so many that they tell no more."""
    n_files = math.ceil(len(rows) / max(rows_per_file, 1.0))
    n_files = int(np.clip(n_files, _MANY, _MAX_FILES)) if is_divided else math.ceil(min(n_files, _MAX_FILES) / _MANY)
    ends = np.linspace(0, len(rows), max(min(n_files, len(rows)), 1) + 1).astype(int).tolist()
    return [rows.slice(start, end - start) for start, end in pairwise(ends)]


def _job(plan: Part, stage: Stage, share: float, name: str) -> ShardJob:
    """The stage with the recipe's options, of which `n_validation` and `count` are those of a share of the part."""
    options, real = on_a_part(stage, share * plan.drawn.num_rows / plan.n_rows), options_of(stage)
    if isinstance(real, SampleRows):
        options = options | {"rate": real.rate or min((real.count or 1) / plan.n_rows, 1.0)}
    elif isinstance(real, ApplyAnswers):
        options = dict(stage.options)
    limits = plan.recipe.limits
    return ShardJob(
        stage=stage.name,
        name="part",
        key="part",
        use=stage.use,
        options=options,
        sources=(),
        folder=plan.folder / "parts" / stage.name / name,
        batch_rows=limits.batch_rows,
        deadline_s=limits.global_deadline_s,
        row_deadline_s=0.0,
        is_divisible=False,
        checked=False,
    )


def _some_products(rows: pa.Table, share: float) -> pa.Table:
    """The rows of a share of the products."""
    products = pc.coalesce(rows["product_hint"], rows["id"])
    hashes = keyed_hash(products, seed=1, purpose="plan")
    return rows.filter(pa.array(hashes <= np.uint64(min(share * 2.0**64, 2.0**64 - 2048))))


def _law(
    name: str, first: ShardCost, again: Sequence[ShardCost], others: Sequence[tuple[int, Sequence[ShardCost]]]
) -> ScaledCost:
    """The law of `seconds` or `processor_seconds`."""
    once = float(getattr(first, name)) - fmean(float(getattr(cost, name)) for cost in again)
    points = [
        ScaledPoint(costs[0].rows, n_files, tuple(float(getattr(cost, name)) for cost in costs))
        for n_files, costs in others
    ]
    return ScaledCost(max(once, 0.0), tuple(points))


def _growth(sizes: Sequence[tuple[int, pa.Table]], rows: FloatArray, rows_per_file: float) -> FloatArray:
    """How much larger a row becomes with the number of rows, as it is told more about others; float64, as `rows`.

    A line through the parts; how far it goes is taken to be uncertain by half.
    """
    n = min(rows_per_file, max(sizes[0][0] // 2, 1))
    files = [file_size(table, n) for _, table in sizes]
    per_row = [(file.file + file.row * n) / n for file in files]
    numbers = np.array([n for n, _ in sizes], np.float64)
    if numbers.max() == numbers.min() or per_row[-1] <= 0:
        return np.ones(len(rows))
    slope = float(np.polyfit(numbers, np.array(per_row) / per_row[-1], 1)[0])
    noise = np.concatenate([[0.0], np.random.default_rng(2).standard_normal(len(rows) - 1)])
    return np.asarray(np.maximum(1 + slope * (rows - numbers[-1]) * (1 + 0.5 * noise), 0.1))
