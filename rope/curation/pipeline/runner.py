"""Run the stages of a recipe, one after the other: plan what is stale, make it, remove what nobody needs any more.

The folder of work has `stages/NAME/`, with the shards of each stage; a shard is `KEY.json` and the files that it
names. The key is a hash of the operation, its version, options and fingerprint, and of the rows that go in, so a change
makes stale what depends on it and nothing else. Where a shard stands among the others is not in it: rows that are added
before others leave these alone.
"""

import dataclasses
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from filelock import FileLock, Timeout

from rope.console import progress_bar
from rope.curation.pipeline.costs import costs_log, write_cost
from rope.curation.pipeline.fault_injection import FaultInjection
from rope.curation.pipeline.manifest import ShardManifest, read_manifest
from rope.curation.pipeline.noted import earlier_of, fingerprint_of, key_of
from rope.curation.pipeline.operation import GlobalOperation, MapOperation, load_operation
from rope.curation.pipeline.places import cache_of, here_of, map_places, mirrored
from rope.curation.pipeline.pool import PoolSlice, RawPool, open_pool, slices
from rope.curation.pipeline.previous import note_run, read_previous
from rope.curation.pipeline.recipe import CurationRecipe, Stage, cut_recipe
from rope.curation.pipeline.shard_job import ShardJob
from rope.curation.pipeline.sources import DamagedError
from rope.curation.pipeline.supervisor import Engine, supervise
from rope.errors import DatasetError, UsageError
from rope.files import AnyPath, is_half_written, sha256_of

__all__ = ["POOL_STAGE", "OpenEngine", "StageState", "finished_stages", "run_recipe", "stage_states"]

POOL_STAGE: Final = "pool"
"""The first stage, which brings raw rows into one form."""

OpenEngine = Callable[[bool], AbstractContextManager[Engine]]
"""Opens an engine; told whether the stage needs a GPU."""

_ALWAYS_ALLOWED: Final = 10
"""Rows of a stage that may be quarantined, however few rows it has."""

_HEALS: Final = 3
"""How often the same file may turn out damaged before a run gives up."""


@dataclass(frozen=True, slots=True)
class StageState:
    """How many shards of a stage are finished.

    Attributes:
        name: of the stage.
        state: `waiting` where it is not known yet which rows it gets.
        n_done: shards that are complete.
        n_shards: all its shards; 0 while it waits.
    """

    name: str
    state: Literal["done", "stale", "waiting"]
    n_done: int
    n_shards: int


def run_recipe(
    recipe: CurationRecipe,
    open_engine: OpenEngine,
    *,
    until: str | None = None,
    fault_injection: FaultInjection | None = None,
    progress: bool = True,
) -> dict[str, list[ShardManifest]]:
    """Make what is stale of all stages, and leave the rest alone; a killed run is continued by the next.

    The files follow from the recipe and the pool: not from the engine, the number of workers, or what was killed.

    Args:
        recipe: what to make.
        open_engine: gives the workers.
        until: the last stage to make; None for all. What later stages have made before stays where it is.
        fault_injection: faults on purpose, for tests.
        progress: whether to draw bars on stderr.

    Returns:
        Stage -> the manifests of its shards, in order.

    Raises:
        UsageError: the pool or the stage is not there, or another run is in progress in the same folder.
        DatasetError: a shard was given up, or too many rows were quarantined.
    """
    made = recipe if until is None else cut_recipe(recipe, until)
    with _alone(recipe.work):
        began = time.time()
        damages = Counter[str]()
        while True:
            try:
                done = _run_stages(made, open_engine, damages.total(), fault_injection, progress)
            except DamagedError as error:
                damages[str(error)] += 1
                if damages[str(error)] > _HEALS:
                    raise
                _forget_damaged(error.path.parent)
            else:
                _sweep_stages(recipe.work / "stages", {POOL_STAGE, *(stage.name for stage in recipe.stages)})
                _sweep_halves(recipe.work, began)
                if made.stages == recipe.stages:
                    note_run(recipe, [(stage, jobs) for stage, jobs, _ in done])
                return {stage.name: manifests for stage, _, manifests in done}


def stage_states(recipe: CurationRecipe) -> list[StageState]:
    """The progress of each stage; reads names, keys and sizes, and only writes hashes of the pool."""
    states: list[StageState] = []
    sources: list[PoolSlice] | None = None
    for stage, planned in _planned(recipe):
        if states and sources is None:
            states.append(StageState(stage.name, "waiting", 0, 0))
            continue
        jobs = planned(sources)
        manifests = _manifests(jobs)
        n_done = len(jobs) - manifests.count(None)
        states.append(StageState(stage.name, "done" if n_done == len(jobs) else "stale", n_done, len(jobs)))
        sources = _outputs(jobs, _whole(jobs, manifests)) if n_done == len(jobs) else None
    return states


def finished_stages(recipe: CurationRecipe, *, to_end: bool = True) -> dict[str, list[tuple[Path, ShardManifest]]]:
    """Stage -> folder and manifest of each shard, for a recipe that was run.

    Models are not loaded for it: their fingerprints are those that the run has noted. Files of a folder of work
    elsewhere are copied to this machine, and the folders are those of the copies.

    Args:
        recipe: that was run.
        to_end: whether all stages have to be up to date; else the first of them are enough.

    Raises:
        DatasetError: a stage is stale or was never run.
    """
    found: dict[str, list[tuple[Path, ShardManifest]]] = {}
    sources: list[PoolSlice] | None = None
    for stage, planned in _planned(recipe, noted=True):
        jobs = planned(sources)
        manifests = _manifests(jobs)
        if None in manifests and found and not to_end:
            break
        if None in manifests:
            raise DatasetError(f"stage {stage.name!r} of {recipe.name} is not up to date; run: rope curate run RECIPE")
        whole = _whole(jobs, manifests)
        folder = recipe.work / "stages" / stage.name
        mirrored(folder, [file.name for manifest in whole for file in manifest.files])
        found[stage.name] = [(here_of(folder), manifest) for manifest in whole]
        sources = _outputs(jobs, whole)
    return found


class _Engines(AbstractContextManager["_Engines"]):
    """One engine at a time, opened when it is needed, and kept as long as the next stage needs one of its kind.

    It ends with the block, also when a stage was given up: then tasks may still be under way.
    """

    def __init__(self, open_engine: OpenEngine) -> None:
        self._open_engine = open_engine
        self._stack = ExitStack()
        self._opened: tuple[bool, Engine] | None = None

    def get(self, *, needs_gpu: bool) -> Engine:
        """The engine for a stage."""
        if self._opened is None or self._opened[0] != needs_gpu:
            self._stack.close()
            self._opened = (needs_gpu, self._stack.enter_context(self._open_engine(needs_gpu)))
        return self._opened[1]

    def __exit__(self, *exception: object) -> None:
        """End the engine that is open, if any."""
        self._stack.close()


def _run_stages(
    recipe: CurationRecipe,
    open_engine: OpenEngine,
    attempt: int,
    fault_injection: FaultInjection | None,
    progress: bool,
) -> list[tuple[Stage, list[ShardJob], list[ShardManifest]]]:
    sources: list[PoolSlice] | None = None
    done = []
    with _Engines(open_engine) as engines:
        for stage, planned in _planned(recipe):
            jobs = planned(sources)
            _run_stage(recipe, stage, jobs, engines, attempt, fault_injection, progress)
            manifests = _whole(jobs, _manifests(jobs))
            done.append((stage, jobs, manifests))
            _refuse_many_quarantined(recipe, stage, manifests)
            _sweep(recipe.work / "stages" / stage.name, jobs, manifests)
            sources = _outputs(jobs, manifests)
    for source in sources or []:  # nobody reads these after us
        if sha256_of(source.path) != source.sha256:
            raise DamagedError(source.path)
    return done


def _run_stage(
    recipe: CurationRecipe,
    stage: Stage,
    jobs: Sequence[ShardJob],
    engines: "_Engines",
    attempt: int,
    fault_injection: FaultInjection | None,
    progress: bool,
) -> None:
    stale = [job for job, manifest in zip(jobs, _manifests(jobs), strict=True) if manifest is None]
    previous = read_previous(recipe) if stale and attempt == 0 else None  # later, a file of it may be the damaged one
    if previous is not None:
        taken = map_places(previous.take_over, stale, recipe.work)
        stale = [job for job, is_taken in zip(stale, taken, strict=True) if not is_taken]
    if not stale:
        return
    operation = load_operation(stage.use)
    needs_gpu = isinstance(operation, MapOperation) and operation.needs_gpu
    n_rows = sum(job.n_rows for job in stale)
    with progress_bar(stage.name, n_rows, shown=progress) as advance, costs_log(recipe.work) as log:
        supervise(
            engines.get(needs_gpu=needs_gpu),
            stale,
            first_attempt=attempt,
            max_lethal=_allowed(recipe, sum(job.n_rows for job in jobs)),
            fault_injection=fault_injection,
            advance=advance,
            note=lambda cost: write_cost(log, cost),
        )


def _planned(
    recipe: CurationRecipe, *, noted: bool = False
) -> Iterator[tuple[Stage, Callable[[Sequence[PoolSlice] | None], list[ShardJob]]]]:
    """Each stage, and the function that gives its shards from the rows that go in; `noted` is that of `noted.py`."""
    pool = open_pool(recipe.pool_path, recipe.pool.columns, recipe.work, recipe.pool.keep, previous=recipe.previous)
    first = _pool_stage(pool)
    yield first, lambda _: _plan(recipe, first, slices(pool, recipe.pool.shard_rows), checked=False)
    for stage in recipe.stages:
        yield stage, lambda sources, stage=stage: _plan(recipe, stage, sources or [], checked=True, noted=noted)  # type: ignore[misc]


def _pool_stage(pool: RawPool) -> Stage:
    options = {"root": str(pool.root), "columns": dict(pool.columns), "keep": list(pool.kept)}
    return Stage(POOL_STAGE, "rope.curation.pipeline.ingest:ADMIT", options)


def _plan(
    recipe: CurationRecipe, stage: Stage, sources: Sequence[PoolSlice], *, checked: bool, noted: bool = False
) -> list[ShardJob]:
    operation = load_operation(stage.use)
    is_global = isinstance(operation, GlobalOperation)
    options = operation.options(**stage.options)
    made_with = [stage.use, operation.version, dataclasses.asdict(options)]
    made_with.append(fingerprint_of(recipe.work, operation, options, key_of(made_with), noted=noted))
    earlier = None
    if recipe.previous is not None and isinstance(operation, GlobalOperation) and operation.apply_after is not None:
        found, earlier = earlier_of(recipe, stage, noted=noted)
        made_with += [] if found is None else [found]
    jobs, seen = [], Counter[str]()
    for group in [tuple(sources)] if is_global else [(source,) for source in sources]:
        key = key_of([*made_with, [(source.sha256, source.start, source.stop) for source in group]])
        seen[key] += 1
        jobs.append(
            ShardJob(
                stage=stage.name,
                name=key[:24] if seen[key] == 1 else f"{key[:24]}-{seen[key]}",  # of equal rows
                key=key,
                use=stage.use,
                options=dict(stage.options),
                sources=group,
                folder=recipe.work / "stages" / stage.name,
                batch_rows=recipe.limits.batch_rows,
                deadline_s=recipe.limits.global_deadline_s if is_global else recipe.limits.deadline_s,
                row_deadline_s=0.0 if is_global else recipe.limits.row_deadline_s,
                is_divisible=not is_global,
                checked=checked,
                earlier=earlier,
            )
        )
    return jobs


def _manifests(jobs: Sequence[ShardJob]) -> list[ShardManifest | None]:
    """The manifest of each shard; None for one that is not complete, as far as names, keys and sizes tell."""
    return map_places(ShardJob.manifest, jobs, jobs[0].folder) if jobs else []


def _whole(jobs: Sequence[ShardJob], manifests: Sequence[ShardManifest | None]) -> list[ShardManifest]:
    """The manifests of shards that were made."""
    for job, manifest in zip(jobs, manifests, strict=True):
        if manifest is None:
            raise DamagedError(job.manifest_path)
    return [manifest for manifest in manifests if manifest is not None]


def _outputs(jobs: Sequence[ShardJob], manifests: Sequence[ShardManifest]) -> list[PoolSlice]:
    """The kept rows of shards, in their order."""
    return [
        PoolSlice(job.folder / part.kept.name, 0, part.kept.rows, part.kept.sha256)
        for job, manifest in zip(jobs, manifests, strict=True)
        for part in manifest.parts
    ]


def _allowed(recipe: CurationRecipe, n_rows: int) -> int:
    return max(_ALWAYS_ALLOWED, int(recipe.limits.max_quarantined * n_rows))


def _refuse_many_quarantined(recipe: CurationRecipe, stage: Stage, manifests: Sequence[ShardManifest]) -> None:
    counts = [count for manifest in manifests for count in manifest.counts]
    n_quarantined = sum(count.rows for count in counts if count.fate == "quarantined")
    n_rows = sum(count.rows for count in counts)
    if n_quarantined > _allowed(recipe, n_rows):
        raise DatasetError(
            f"stage {stage.name!r}: {n_quarantined:,} of {n_rows:,} rows are quarantined, more than max_quarantined = "
            f"{recipe.limits.max_quarantined:g} of the recipe allows; the details are in the rejects of "
            f"{recipe.work / 'stages' / stage.name}; fix the operation and raise its version, or allow more"
        )


def _forget_damaged(folder: AnyPath) -> None:
    """Remove the manifests of a stage that vouch for files which are not as they say."""
    for path in [path for path in folder.iterdir() if path.suffix == ".json"]:
        manifest = read_manifest(path)
        if manifest is None or any(sha256_of(folder / file.name) != file.sha256 for file in manifest.files):
            path.unlink()


def _sweep(folder: AnyPath, jobs: Sequence[ShardJob], manifests: Sequence[ShardManifest]) -> None:
    """Remove files that belong to no shard of a stage: of other keys, or left by what was killed."""
    wanted = {job.manifest_path.name for job in jobs}
    wanted |= {file.name for manifest in manifests for file in manifest.files}
    for path in folder.iterdir():
        if path.name not in wanted:
            path.unlink(missing_ok=True)  # a worker of a killed run may just be removing it


def _sweep_stages(folder: AnyPath, names: set[str]) -> None:
    for path in folder.iterdir():
        if path.name not in names:
            shutil.rmtree(path) if isinstance(path, Path) else path.fs.rm(path.path, recursive=True)


def _sweep_halves(work: AnyPath, began: float) -> None:
    """Remove half-written files that nobody has touched since the run began: their writers were killed.

    Stores have none, as an object is only there when it is complete.
    """
    if not isinstance(work, Path):
        return
    for path in work.rglob(".*.part"):
        with suppress(FileNotFoundError):  # of another command, which has just finished it
            if is_half_written(path) and path.stat().st_mtime < began:
                path.unlink()


@contextmanager
def _alone(work: AnyPath) -> Iterator[None]:
    """Hold the lock of a folder of work, which the system lets go of when this process ends in any way.

    Of a folder elsewhere it is a lock among the runs that this machine starts: stores have none.
    """
    place = work if isinstance(work, Path) else cache_of(work)
    place.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(place / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise UsageError(f"{work}: another run is in progress here; wait for it, or stop it") from error
