"""Run one shard: rows in, kept rows and rejects out, every row accounted for, and the manifest last."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from threadpoolctl import ThreadpoolController

from rope.curation.pipeline.ahead import waiting_since
from rope.curation.pipeline.costs import ShardCost
from rope.curation.pipeline.fault_injection import strike_before
from rope.curation.pipeline.ids import as_strings
from rope.curation.pipeline.operation import (
    Earlier,
    GlobalOperation,
    MapOperation,
    Outcome,
    load_operation,
    rejects_of,
)
from rope.curation.pipeline.pool import PoolSlice
from rope.curation.pipeline.row_batches import no_rows, row_batches
from rope.curation.pipeline.shard_files import commit_shard, refuse_repeated
from rope.curation.pipeline.shard_job import ShardAttempt, ShardJob
from rope.curation.pipeline.sources import earlier_here, files_here
from rope.errors import DatasetError, RopeError, UsageError

__all__ = ["execute", "settle"]

_NOT_THE_ROWS: Final = (UsageError, ImportError, MemoryError)
"""What an operation raises for other reasons than its rows."""


def execute(task: ShardAttempt) -> ShardCost:
    """Make the shard of a task, or try some of its rows; runs in a worker of an engine.

    The arithmetic of rows (BLAS, OpenMP) has one thread, however many workers there are: the threads of several workers
    would wait for each other, and sums may depend on their number. A stage with a model, which has the machine for
    itself, and one that sees all rows have them all.

    Returns:
        What it has cost.

    Raises:
        RopeError: it cannot be done, however often it is tried.
        Exception: anything else, and trying again may help.
    """
    began, processor, before = time.perf_counter(), time.process_time(), waiting_since(None)
    _execute(task)
    cost = ShardCost(
        task.job.stage, task.job.name, task.job.n_rows, time.perf_counter() - began, time.process_time() - processor
    )
    of_model = waiting_since(before)
    return replace(cost, model_seconds=of_model.model_s, waited_seconds=of_model.waited_s) if of_model.model_s else cost


def _execute(task: ShardAttempt) -> None:
    job = task.job
    fault = task.fault_injection.draw(str(task), task.attempt) if task.fault_injection else None
    strike_before(fault)
    operation = load_operation(job.use)
    options = operation.options(**job.options)
    with _sources_here(job) as job:
        if not isinstance(operation, MapOperation):
            with earlier_here(job.earlier) as earlier:
                commit_shard(job, _outcomes(job, operation, options, earlier), [], fault)
            return
        with _thread_pools(len(sys.modules)).limit(limits=None if operation.needs_gpu else 1):
            if task.rows is None:
                outcomes, quarantined = _run_shard(job, operation, options, task)
                commit_shard(job, [_joined(outcomes)], quarantined, fault)
            else:
                _try_rows(job, operation, options, *task.rows)


@lru_cache(maxsize=1)
def _thread_pools(n_modules: int) -> ThreadpoolController:
    """The pools of threads of all libraries; looked for again where modules were imported since."""
    return ThreadpoolController()


@contextmanager
def _sources_here(job: ShardJob) -> Iterator[ShardJob]:
    """The job with sources whose hashes were compared: copies on this machine of what lies elsewhere, while it runs.

    A slice of the pool stays where it is; of its file, only the groups of rows that it needs are read.

    Raises:
        DamagedError: a source does not have the bytes that its manifest vouches for.
    """
    if not job.checked:
        yield job
        return
    with files_here(job.sources) as (copies,):
        yield replace(job, sources=tuple(map(_moved, job.sources, copies)))


def _outcomes(
    job: ShardJob, operation: GlobalOperation[Any], options: object, earlier: Earlier | None
) -> Iterable[Outcome]:
    paths = [Path(str(source.path)) for source in job.sources]
    if earlier is None or operation.apply_after is None:
        return operation.apply(paths, options)
    return operation.apply_after(paths, options, earlier)


def _moved(source: PoolSlice, path: Path) -> PoolSlice:
    return replace(source, path=path)


def _try_rows(job: ShardJob, operation: MapOperation[Any], options: object, start: int, stop: int) -> None:
    """Do with some rows what making the shard would do, and write nothing."""
    source = job.sources[0]
    for _, batch in row_batches(source.path, source.start + start, source.start + stop, job.batch_rows):
        list(settle(batch, lambda rows: operation.apply(rows, options)))


def settle(
    batch: pa.RecordBatch,
    run: Callable[[pa.RecordBatch], Outcome],
    identified: Callable[[pa.RecordBatch], pa.RecordBatch] = lambda rows: rows,
) -> Iterator[Outcome | pa.RecordBatch]:
    """Run an operation on a batch; where it raises, on either half of it, down to the row.

    Args:
        batch: the rows.
        run: the operation.
        identified: gives rows the columns `id` and `domain`, where they are raw.

    Yields:
        In the order of the rows: outcomes, and the rejects of single rows on which it raises.

    Raises:
        UsageError, ImportError, MemoryError: as the operation does; it is not the rows' fault.
    """
    try:
        outcome = run(batch)
    except _NOT_THE_ROWS:
        raise
    except Exception as error:
        if batch.num_rows <= 1:
            yield rejects_of(identified(batch), "raised", detail=[_in_a_line(error)] * batch.num_rows)
        else:
            half = batch.num_rows // 2
            yield from settle(batch.slice(0, half), run, identified)
            yield from settle(batch.slice(half), run, identified)
    else:
        yield outcome


def _run_shard(
    job: ShardJob, operation: MapOperation[Any], options: object, task: ShardAttempt
) -> tuple[list[Outcome], list[pa.RecordBatch]]:
    """The outcomes of all rows, and the rejects of quarantined ones."""
    source = job.sources[0]
    outcomes = [_run_on_nothing(job, operation, options)]
    schema = outcomes[0].kept.schema

    def run(rows: pa.RecordBatch) -> Outcome:
        outcome = operation.apply(rows, options)
        _check_outcome(rows, outcome, schema)
        return outcome

    quarantined = []
    batches = row_batches(source.path, source.start, source.stop, job.batch_rows, goes_on=not job.checked)
    for first, batch in _announced(batches, operation, options, task) if operation.announce else batches:
        reasons = {row - first: why for row, why in task.lethal.items() if first <= row < first + batch.num_rows}
        if reasons:
            quarantined += [rejects_of(_identified(batch.slice(row, 1), job), why) for row, why in reasons.items()]
            batch = batch.filter(pa.array([row not in reasons for row in range(batch.num_rows)]))
        for settled in settle(batch, run, lambda rows: _identified(rows, job)):
            if isinstance(settled, Outcome):
                outcomes.append(settled)
            else:
                quarantined.append(settled)
    return outcomes, quarantined


def _announced(
    batches: Iterator[tuple[int, pa.RecordBatch]], operation: MapOperation[Any], options: object, task: ShardAttempt
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The same batches; before each the operation is told of the one after it, if need be of the next shard.

    Lethal rows are nobody's to prepare, so a shard with some, or one that is tried again, is not looked ahead in.
    """
    assert operation.announce is not None
    if task.lethal or task.attempt:
        yield from batches
        return
    now = next(batches, None)
    if now is not None:
        operation.announce(now[1], options)
    while now is not None:
        coming = next(batches, None)
        if coming is not None:
            operation.announce(coming[1], options)
        elif task.then is not None:
            with suppress(OSError, pa.ArrowException):  # whoever makes that shard will say what is wrong
                later = next(row_batches(task.then.path, task.then.start, task.then.stop, task.job.batch_rows), None)
                if later is not None:
                    operation.announce(later[1], options)
        yield now
        now = coming


def _run_on_nothing(job: ShardJob, operation: MapOperation[Any], options: object) -> Outcome:
    """The outcome of no rows, which has the columns of all others."""
    source = job.sources[0]
    nothing = no_rows(source.path)
    try:
        outcome: Outcome = operation.apply(nothing, options)
    except RopeError:
        raise
    except Exception as error:
        raise DatasetError(
            f"stage {job.stage!r}: {job.use} fails on a batch without rows, so it is not the data: {_in_a_line(error)}"
        ) from error
    refuse_repeated(job.stage, outcome.kept.schema)
    return outcome


def _check_outcome(rows: pa.RecordBatch, outcome: Outcome, schema: pa.Schema) -> None:
    if not outcome.kept.schema.equals(schema):
        raise ValueError(f"columns of kept rows are {outcome.kept.schema}, and {schema} for no rows")
    n_out = outcome.kept.num_rows + outcome.rejects.num_rows
    if n_out != rows.num_rows:
        raise ValueError(f"{rows.num_rows} rows went in, and {n_out} came out")


def _identified(row: pa.RecordBatch, job: ShardJob) -> pa.RecordBatch:
    """A row under our names of `id` and `domain`, even where it is raw."""
    names = job.options.get("columns", {}) if not job.checked else {}
    return pa.RecordBatch.from_arrays(
        [as_strings(row[names.get(name, name)]) for name in ("id", "domain")], ["id", "domain"]
    )


def _in_a_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _joined(outcomes: Sequence[Outcome]) -> Outcome:
    kept = pa.Table.from_batches([outcome.kept for outcome in outcomes])
    return Outcome(kept, pa.Table.from_batches([outcome.rejects for outcome in outcomes]))
