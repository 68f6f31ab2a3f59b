"""Processes of this machine, each replaced when it dies or runs past a deadline."""

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as DeadlineError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for
from typing import Final

from pebble import ProcessExpired, ProcessPool

from rope.curation.pipeline.costs import ShardCost
from rope.curation.pipeline.shard_job import ShardAttempt
from rope.curation.pipeline.supervisor import Ended
from rope.curation.pipeline.worker import execute
from rope.errors import UsageError

__all__ = ["PRELOAD", "LocalEngine", "local_engine"]

PRELOAD: Final = (
    "rope.curation.pipeline.ingest",
    "rope.curation.operations.decode",
    "rope.curation.filtering.stage",
    "rope.curation.pipeline.worker",
    "pandas",  # which pyarrow imports when it makes its first array
)
"""Modules that a worker imports before its first task, so that they do not count towards the task's deadline."""


class LocalEngine:
    """An engine on a pool of processes; see `rope.curation.pipeline.supervisor.Engine`."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool = _new_pool(workers)
        self._running: dict[Future[ShardCost], ShardAttempt] = {}

    @property
    def slots(self) -> int:
        """One task a process: its deadline begins when it does."""
        return self._workers

    def submit(self, task: ShardAttempt) -> None:
        """Give a task to the next free process."""
        self._running[self._pool.schedule(execute, args=(task,), timeout=task.deadline_s)] = task

    def wait(self) -> list[Ended]:
        """Wait for the first to end."""
        done, _ = wait(self._running, return_when=FIRST_COMPLETED)
        ended = [_ended(self._running.pop(future), future) for future in done]
        if any(isinstance(one.error, BrokenProcessPool) for one in ended):
            # A process that died between two tasks breaks the pool, and with it all that is under way.
            ended += [Ended(task, "failed", BrokenProcessPool()) for task in self._running.values()]
            self._running.clear()
            self.close()
            self._pool = _new_pool(self._workers)
        return ended

    def close(self) -> None:
        """End all processes, whatever they are doing."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()


@contextmanager
def local_engine(workers: int | None) -> Iterator[LocalEngine]:
    """An engine of so many processes, one for each core where None; they end with the block.

    Raises:
        UsageError: `workers` is below 1.
    """
    n_workers = (os.cpu_count() or 1) if workers is None else workers
    if n_workers < 1:
        raise UsageError(f"workers is {workers}; expected at least 1")
    engine = LocalEngine(n_workers)
    try:
        yield engine
    finally:
        engine.close()


def _new_pool(workers: int) -> ProcessPool:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))  # a process that replaces a dead one starts with all imported
    return ProcessPool(workers, initializer=_end_with_parent, context=context)


def _ended(task: ShardAttempt, future: "Future[ShardCost]") -> Ended:
    try:
        cost = future.result()
    except ProcessExpired:
        return Ended(task, "died")
    except DeadlineError:
        return Ended(task, "hung")
    except Exception as error:
        return Ended(task, "failed", error)
    return Ended(task, "done", cost=cost)


def _end_with_parent() -> None:
    """Let this process end as soon as the one that started the pool is gone, even if it was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def watch() -> None:
        wait_for([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
