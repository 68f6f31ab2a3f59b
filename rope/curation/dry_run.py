"""Run a small hashed part of a pool through a recipe, in its own folder, and measure every stage."""

import dataclasses
import io
import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rope.addresses import is_address
from rope.curation.forecast import Measure
from rope.curation.pipeline.accounting import kept_files, reject_files
from rope.curation.pipeline.engine_local import local_engine
from rope.curation.pipeline.ids import raw_ids, without_views
from rope.curation.pipeline.manifest import ShardManifest
from rope.curation.pipeline.operation import GlobalOperation, MapOperation, Operation, load_operation
from rope.curation.pipeline.places import open_parquet
from rope.curation.pipeline.pool import RawPool, open_pool
from rope.curation.pipeline.recipe import CurationRecipe, Stage
from rope.curation.pipeline.runner import POOL_STAGE, finished_stages, run_recipe
from rope.curation.pipeline.supervisor import Ended, Engine
from rope.curation.pipeline.worker import ShardAttempt
from rope.curation.sampling.keyed_hash import keyed_hash
from rope.curation.sampling.stage import SampleRows
from rope.errors import UsageError
from rope.files import AnyPath

__all__ = ["MIN_ROWS", "draw_rows", "measure_stages", "pool_rows"]

MIN_ROWS: Final = 500
"""Rows that are drawn at least, or all of the pool."""

_SHARDS: Final = 10
"""Shards of a dry run: their times tell how much the time of a row varies."""

_PURPOSE: Final = "plan"
_BATCH: Final = 65_536


class _Timed:
    """An engine that notes how long each shard has taken; see `rope.curation.pipeline.supervisor.Engine`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._begun: dict[str, float] = {}
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)

    @property
    def slots(self) -> int:
        """One, so that no shard waits for a worker."""
        return 1

    def submit(self, task: ShardAttempt) -> None:
        """Start a task and the clock."""
        self._begun[str(task)] = time.monotonic()
        self._engine.submit(task)

    def wait(self) -> list[Ended]:
        """Wait for the task; one that makes its shard at once is measured."""
        ended = self._engine.wait()
        for one in ended:
            if one.how == "done" and one.task.rows is None and one.task.attempt == 0 and one.task.job.n_rows:
                taken = time.monotonic() - self._begun[str(one.task)]
                self.seconds[one.task.job.stage].append(taken / one.task.job.n_rows)
        return ended


def measure_stages(recipe: CurationRecipe, share: float, *, progress: bool = True) -> list[Measure]:
    """Run a part of the pool through the stages of a recipe that take rows one by one.

    Its work is in a temporary folder. The first shard of a stage, in which modules and models are loaded, is not
    counted; if there is no other, it is.

    Args:
        recipe: need not have been run.
        share: of the rows to draw, above 0 and at most 1; more of them where that is less than `MIN_ROWS`.
        progress: whether to draw bars on stderr.

    Raises:
        UsageError: `share` is out of range, or a stage needs what only a stage makes that must see all rows.
        DatasetError: a stage was given up.
    """
    if not 0 < share <= 1:
        raise UsageError(f"share is {share}; expected above 0 and at most 1")
    with tempfile.TemporaryDirectory(prefix="rope-plan-") as folder:
        rows = draw_rows(open_pool(recipe.pool_path, recipe.pool.columns, Path(folder) / "hashes"), share)
        pq.write_table(rows, Path(folder) / "pool.parquet")
        part = _part_of(recipe, Path(folder), rows.num_rows)
        engines: list[_Timed] = []

        @contextmanager
        def timed(needs_gpu: bool) -> Iterator[_Timed]:
            with local_engine(1) as engine:
                engines.append(_Timed(engine))
                yield engines[-1]

        run_recipe(part, timed, progress=progress)
        seconds = {stage: taken for one in engines for stage, taken in one.seconds.items()}
        return list(_measures(recipe, finished_stages(part), seconds, rows.num_rows))


def pool_rows(recipe: CurationRecipe) -> int:
    """Rows of the pool of a recipe."""
    with tempfile.TemporaryDirectory(prefix="rope-plan-") as folder:
        pool = open_pool(recipe.pool_path, recipe.pool.columns, Path(folder))
        return sum(file.rows for file in pool.files)


def draw_rows(pool: RawPool, share: float) -> pa.Table:
    """The rows whose hashed ids are the lowest, in the order of the pool, with absolute paths.

    A larger share contains a smaller one. Rows without an id are drawn together or not at all.
    """
    share = min(1.0, max(share, MIN_ROWS / max(sum(file.rows for file in pool.files), 1)))
    limit = math.ceil(share * 2**64)
    drawn = []
    for file in pool.files:
        with open_parquet(file.path) as opened:
            drawn.append(pa.table(without_views(pa.RecordBatch.from_pylist([], opened.schema_arrow))))
            for batch in map(without_views, opened.iter_batches(_BATCH)):
                keys = pc.fill_null(raw_ids(batch[pool.columns["id"]]), "")
                hashes = keyed_hash(keys, seed=0, purpose=_PURPOSE)
                is_drawn = pa.array([int(value) < limit for value in hashes.tolist()], pa.bool_())
                drawn.append(pa.Table.from_batches([batch.filter(is_drawn)]))
    rows = pa.concat_tables(drawn).replace_schema_metadata(None)
    for name in ("frames", "video", "paths"):
        if theirs := pool.columns.get(name):
            place = rows.schema.get_field_index(theirs)
            values = [_rooted(value, pool.root) for value in rows[theirs].to_pylist()]
            rows = rows.set_column(place, theirs, pa.array(values, rows.schema.field(theirs).type))
    return rows


def _rooted(value: Any, root: AnyPath) -> Any:  # noqa: ANN401  what a pool may hold
    """The same media with absolute paths.

    >>> _rooted([{"bytes": None, "path": "a.jpg"}, "/b.jpg", None], Path("/pool"))
    [{'bytes': None, 'path': '/pool/a.jpg'}, '/b.jpg', None]
    """
    if isinstance(value, list):
        return [_rooted(one, root) for one in value]
    if isinstance(value, dict):
        return value | {"path": _rooted(value.get("path"), root)}
    return str(root / value) if isinstance(value, str) and value and not is_address(value) else value


def _part_of(recipe: CurationRecipe, folder: Path, n_rows: int) -> CurationRecipe:
    """The recipe without the stages that must see all rows, on the drawn rows."""
    shard_rows = max(math.ceil(n_rows / _SHARDS), 1)
    source = dataclasses.replace(recipe.pool, path=str(folder / "pool.parquet"), shard_rows=shard_rows)
    stages = tuple(stage for stage in recipe.stages if not isinstance(load_operation(stage.use), GlobalOperation))
    limits = dataclasses.replace(recipe.limits, max_quarantined=1.0)
    return dataclasses.replace(recipe, work=folder / "work", pool=source, stages=stages, limits=limits, previous=None)


def _measures(
    recipe: CurationRecipe,
    made: dict[str, list[tuple[Path, ShardManifest]]],
    seconds: dict[str, list[float]],
    n_rows: int,
) -> Iterator[Measure]:
    n_in, row_bytes = n_rows, 0.0
    for stage in (Stage(POOL_STAGE, "rope.curation.pipeline.ingest:ADMIT", {}), *recipe.stages):
        operation = load_operation(stage.use)
        if isinstance(operation, GlobalOperation):
            rate, count = _sampled(operation, stage)
            yield Measure(stage.name, n_rows, n_in, n_in, rate, count, (), int(row_bytes * n_in), False)
            continue
        n_kept = sum(part.kept.rows for _, manifest in made[stage.name] for part in manifest.parts)
        kept_bytes = _stored_bytes(kept_files(made, stage.name))
        n_bytes = kept_bytes + _stored_bytes(reject_files(made, stage.name))
        row_bytes = kept_bytes / max(n_kept, 1)
        taken = seconds.get(stage.name, [])
        needs_gpu = isinstance(operation, MapOperation) and operation.needs_gpu
        yield Measure(stage.name, n_rows, n_in, n_kept, 1.0, None, tuple(taken[1:] or taken), n_bytes, needs_gpu)
        n_in = n_kept


def _sampled(operation: Operation, stage: Stage) -> tuple[float, int | None]:
    """The rate and the count of a stage that samples; of any other, a rate of 1."""
    options = operation.options(**stage.options)
    if not isinstance(options, SampleRows):
        return 1.0, None
    return (1.0, options.count) if options.rate is None else (options.rate, None)


def _stored_bytes(paths: Sequence[Path]) -> int:
    """Bytes of the rows of some files in one file, as small ones have more headers than rows."""
    stored = io.BytesIO()
    tables = []
    for path in paths:
        with pq.ParquetFile(path) as file:
            tables.append(file.read())
    pq.write_table(pa.concat_tables(tables), stored, compression="zstd")
    return stored.tell()
