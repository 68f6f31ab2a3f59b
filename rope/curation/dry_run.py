"""Run a small part of a pool through a recipe, in a folder of its own, and measure every stage.

The part is drawn by a hash of keys, so it is a fair sample whatever the order of the pool. It runs in the recipe's
shard size where it has enough rows for several shards; otherwise in shards of several sizes, up to a quarter of the
part, as what a row costs is told best by shards as large as those of the run. A few shards of one row tell what a shard
costs whatever its rows. Some options are others than the recipe's: a stage that samples lets all rows of the
part through, as the stages after it could not be measured on the few that it draws; `answers` rejects nothing, as the
answers are about rows that were sampled; and a split has as many validation products as the part has of the pool.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from rope.curation.annotation.stage import ApplyAnswers
from rope.curation.cost_laws import RowCost, row_cost
from rope.curation.pipeline.costs import ShardCost
from rope.curation.pipeline.engine_local import local_engine
from rope.curation.pipeline.manifest import ShardManifest
from rope.curation.pipeline.operation import GlobalOperation, load_operation
from rope.curation.pipeline.pool import PoolSlice, RawPool
from rope.curation.pipeline.recipe import CurationRecipe, Stage
from rope.curation.pipeline.runner import POOL_STAGE, finished_stages, run_recipe, stage_states
from rope.curation.pipeline.shard_files import write_rows
from rope.curation.pipeline.shard_job import ShardAttempt, ShardJob
from rope.curation.pipeline.supervisor import Ended, Engine
from rope.curation.pool_keys import KeyRule
from rope.curation.sampling.stage import SampleRows
from rope.curation.splitting.stage import SplitRows
from rope.errors import DatasetError, RopeError

__all__ = ["DryRun", "Part", "Timed", "dry_run", "on_a_part", "options_of", "part_of", "timed_engine", "timed_jobs"]

_SHARDS: Final = 8
"""Shards of a dry run at least: their times tell how much the time of a row varies."""

_WARM_UP: Final = 2
"""Shards in which a worker pays what is paid once: the second still costs more than those after it."""

_GRADES: Final = (1 / 4, 1 / 4, 1 / 4, 1 / 8, 1 / 16, 1 / 16)
"""Shares of the rows in each shard, where there are not enough for `_SHARDS` of the recipe's size. The largest come
first: a worker that gets a shard larger than all before asks the system for memory, once."""

_TINY: Final = 3
"""Shards of one row."""

_TIMES: Final = 5
_QUICK_S: Final = 1.0
"""Times that a stage that must see all rows is run on a part, and seconds after which it is not run again."""


@dataclass
class Timed:
    """An engine of one worker that notes what each shard has cost; see `rope.curation.pipeline.supervisor.Engine`.

    Attributes:
        engine: that does the work.
        costs: stage -> the costs of its shards, in the order in which they were made; `seconds` as the run sees them.
        idle_s: stage -> seconds of the run itself before its first shard.
        began: seconds of the clock on the wall.
    """

    engine: Engine
    costs: defaultdict[str, list[ShardCost]] = field(default_factory=lambda: defaultdict(list))
    idle_s: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.time)
    _begun: float = 0.0
    _ended: float = field(default_factory=time.perf_counter)

    @property
    def slots(self) -> int:
        """One, so that no shard waits for a worker."""
        return 1

    def submit(self, task: ShardAttempt) -> None:
        """Start a task and the clock."""
        self._begun = time.perf_counter()
        self.idle_s.setdefault(task.job.stage, self._begun - self._ended)
        self.engine.submit(task)

    def wait(self) -> list[Ended]:
        """Wait for the task; one that makes its shard at once is measured."""
        ended = self.engine.wait()
        self._ended = time.perf_counter()
        for one in ended:
            if one.cost is not None and one.task.rows is None and one.task.attempt == 0:
                self.costs[one.cost.stage].append(replace(one.cost, seconds=self._ended - self._begun))
        return ended


@contextmanager
def timed_engine() -> Iterator[Timed]:
    """An engine of one process, for all stages."""
    with local_engine(1) as engine:
        yield Timed(engine)


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a run of a part has made.

    Attributes:
        made: stage -> folder and manifest of each shard.
        costs: stage -> of its shards; the first is that of a worker that has just begun.
        idle_s: stage -> seconds of the run itself before its first shard.
        missing: stage that could not be run on a part -> why.
    """

    made: Mapping[str, Sequence[tuple[Path, ShardManifest]]]
    costs: Mapping[str, Sequence[ShardCost]]
    idle_s: Mapping[str, float]
    missing: Mapping[str, str]

    def row_costs(self, stage: str) -> tuple[RowCost, RowCost]:
        """Of a stage that takes rows one by one, in seconds and in processor seconds."""
        costs = self.costs.get(stage, ())
        n_begun = _WARM_UP if len(costs) > _WARM_UP + _TINY else int(len(costs) > 1)

        def cost(name: str) -> RowCost:
            found = [(one.rows, float(getattr(one, name))) for one in costs]
            return row_cost(found[:n_begun], found[n_begun:])

        return cost("seconds"), cost("processor_seconds")


def dry_run(part: CurationRecipe, timed: Timed, *, progress: bool = True) -> DryRun:
    """Run a recipe on a part; stages that must see all rows, and cannot be made of a part, are left out.

    Raises:
        DatasetError: a stage that takes rows one by one was given up.
        UsageError: such a stage cannot be run.
    """
    missing: dict[str, str] = {}
    while True:
        try:
            run_recipe(part, lambda _: nullcontext(timed), progress=progress)
        except RopeError as error:
            failed = next(state.name for state in stage_states(part) if state.state != "done")
            stage = next((one for one in part.stages if one.name == failed), None)
            if stage is None or not isinstance(load_operation(stage.use), GlobalOperation):
                raise
            missing[failed] = str(error)
            part = replace(part, stages=tuple(one for one in part.stages if one is not stage))
        else:
            return DryRun(finished_stages(part), dict(timed.costs), dict(timed.idle_s), missing)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a pool, and what is known before it is run.

    Attributes:
        recipe: the whole one.
        pool: the whole one.
        part: the recipe on the drawn rows.
        drawn: these.
        rule: what a key is.
        n_rows: rows of the pool.
        factor: how many times as large the pool is that is planned for.
        folder: for files.
    """

    recipe: CurationRecipe
    pool: RawPool
    part: CurationRecipe
    drawn: pa.Table
    rule: KeyRule
    n_rows: int
    factor: float
    folder: Path

    @property
    def stages(self) -> list[Stage]:
        """All stages, from that of the pool on."""
        return [Stage(POOL_STAGE, "rope.curation.pipeline.ingest:ADMIT", {}), *self.recipe.stages]


def options_of(stage: Stage) -> object:
    """The options of a stage; None of that of the pool."""
    return None if stage.name == POOL_STAGE else load_operation(stage.use).options(**stage.options)


def part_of(recipe: CurationRecipe, rows: pa.Table, share: float, folder: Path) -> CurationRecipe:
    """The recipe on the drawn rows, which are written to the folder."""
    n = rows.num_rows
    n_tiny = _TINY if n > _SHARDS * _TINY else 0
    pool = folder / "pool"
    pool.mkdir()
    sizes = [*_file_sizes(n - n_tiny, recipe.pool.shard_rows), *[1] * n_tiny]
    for i, size in enumerate(sizes):
        pq.write_table(rows.slice(sum(sizes[:i]), size), pool / f"{i:02d}.parquet")
    source = replace(recipe.pool, path=str(pool))
    stages = tuple(replace(stage, options=on_a_part(stage, share)) for stage in recipe.stages)
    limits = replace(recipe.limits, max_quarantined=1.0)
    return replace(recipe, work=folder / "work", pool=source, stages=stages, limits=limits, previous=None)


def _file_sizes(n_rows: int, shard_rows: int) -> list[int]:
    """Rows of each file of a part: all in one that is cut into shards, or each file a shard where these would be few.

    >>> _file_sizes(480, 60), _file_sizes(480, 2000)
    ([480], [120, 120, 120, 60, 30, 30])
    """
    if n_rows <= len(_GRADES) or n_rows >= _SHARDS * shard_rows:
        return [n_rows]
    ends = [round(n_rows * sum(_GRADES[: i + 1])) for i in range(len(_GRADES))]
    return [end - start for start, end in pairwise([0, *ends])]


def on_a_part(stage: Stage, share: float) -> dict[str, Any]:
    """The options of a stage for a part of the pool, see above."""
    options = options_of(stage)
    given = dict(stage.options)
    if isinstance(options, SampleRows):
        return {name: value for name, value in given.items() if name != "count"} | {"rate": 1.0}
    if isinstance(options, ApplyAnswers):
        return given | {"different": "detach", "unclear": "keep"}
    if isinstance(options, SplitRows):
        given.pop("freeze_val", None)
        return given | {"n_validation": max(round(options.n_validation * share), 1)}
    return given


def timed_jobs(timed: Timed, like: ShardJob, rows: Sequence[pa.Table]) -> tuple[list[ShardCost], list[Path]]:
    """Run a stage that must see all rows on some, each table a file; several times where it is quick.

    Args:
        timed: the engine.
        like: the stage's name, operation, options and limits, and a folder of its own.
        rows: at least one table.

    Returns:
        What it has cost each time, and the files of the kept rows.

    Raises:
        DatasetError: it could not be run.
    """
    like.folder.mkdir(parents=True)
    sources = []
    for i, table in enumerate(rows):
        path = Path(str(like.folder)) / f"{i}.in.parquet"
        write_rows(table, path)
        sources.append(PoolSlice(path, 0, table.num_rows, ""))
    costs: list[ShardCost] = []
    made: list[Path] = []
    while len(costs) < _TIMES and sum(cost.seconds for cost in costs) < _QUICK_S:
        job = replace(like, sources=tuple(sources), folder=like.folder / str(len(costs)))
        timed.submit(ShardAttempt(job))
        (ended,) = timed.wait()
        manifest = job.manifest()
        if ended.cost is None or manifest is None:
            raise DatasetError(f"stage {like.stage!r} cannot be run on a part: {ended.error or ended.how}")
        costs.append(timed.costs[like.stage][-1])
        made = [Path(str(job.folder)) / part.kept.name for part in manifest.parts]
    return costs, made
