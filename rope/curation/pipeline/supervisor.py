"""Get shards done by workers that may die or hang: a shard that kills its worker is halved until the row is found.

The same for every engine: an engine takes tasks, and says how each ended.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, Protocol

from rope.curation.pipeline.costs import ShardCost
from rope.curation.pipeline.fault_injection import CALM_ATTEMPT, FaultInjection
from rope.curation.pipeline.shard_job import ShardAttempt, ShardJob
from rope.errors import DatasetError, RopeError

__all__ = ["TRIES", "Ended", "Engine", "Isolation", "supervise"]

TRIES: Final = CALM_ATTEMPT + 1
"""Attempts before a single row is taken for lethal, or a shard is given up."""

_REASONS: Final = {"died": "killed_its_worker", "hung": "hung"}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a task ended: done, failed with an exception, died with its worker, or hung.

    Attributes:
        task: which.
        how: `failed` raised an exception, `died` lost its worker, `hung` ran past its deadline.
        error: the exception of a task that failed.
        cost: of a task that is done, where the engine tells it.
    """

    task: ShardAttempt
    how: Literal["done", "failed", "died", "hung"]
    error: BaseException | None = None
    cost: ShardCost | None = None


class Engine(Protocol):
    """Workers, and how to reach them."""

    @property
    def slots(self) -> int:
        """How many tasks may be under way at a time."""

    def submit(self, task: ShardAttempt) -> None:
        """Start a task, or let it wait for a worker."""

    def wait(self) -> list[Ended]:
        """Wait until at least one task that is under way has ended."""


@dataclass
class Isolation:
    """What is known of one shard that is being made.

    Attributes:
        first: the first attempt at it, or the first after the search; `TRIES` from there on it is given up.
        attempt: the attempt that is under way, or comes next.
        is_searched: whether its rows were tried for lethal ones, which is done once.
        n_open: ranges of rows that are being tried.
        lethal: rows that kill or hang a worker when they are alone, and which of the two.
    """

    first: int
    attempt: int
    is_searched: bool = False
    n_open: int = 0
    lethal: dict[int, str] = field(default_factory=dict)

    def after(self, ended: Ended) -> list[ShardAttempt]:
        """The tasks that follow from the end of one; none when the shard is done, or other tries are under way.

        Raises:
            RopeError: the shard is given up.
        """
        if isinstance(ended.error, RopeError):
            raise ended.error
        if ended.task.rows is None:
            return [] if ended.how == "done" else self._after_shard(ended)
        tries = [] if ended.how == "done" else self._after_try(ended)
        self.n_open += len(tries) - 1
        if tries or self.n_open:
            return tries
        return [replace(ended.task, rows=None, attempt=self.attempt, lethal=dict(sorted(self.lethal.items())))]

    def _after_shard(self, ended: Ended) -> list[ShardAttempt]:
        task = ended.task
        self.attempt += 1
        if ended.how != "failed" and not self.is_searched and task.job.is_divisible and task.job.n_rows > 0:
            self.is_searched = True
            self.first = self.attempt  # what it is tried for next is another thing
            tries = _halves(task, (0, task.job.n_rows))
            self.n_open = len(tries)
            return tries
        if self.attempt - self.first >= TRIES:
            raise _given_up(ended)
        return [replace(task, attempt=self.attempt)]

    def _after_try(self, ended: Ended) -> list[ShardAttempt]:
        task = ended.task
        assert task.rows is not None
        start, stop = task.rows
        if ended.how == "failed" or stop - start == 1:
            if task.attempt + 1 < TRIES:
                return [replace(task, attempt=task.attempt + 1)]
            if ended.how == "failed":
                raise _given_up(ended)
            self.lethal[start] = _REASONS[ended.how]
            return []
        return _halves(task, task.rows)


def supervise(
    engine: Engine,
    jobs: Sequence[ShardJob],
    *,
    first_attempt: int,
    max_lethal: int,
    fault_injection: FaultInjection | None,
    advance: Callable[[int], None],
    note: Callable[[ShardCost], None] = lambda _: None,
) -> None:
    """Make all shards.

    Args:
        engine: the workers.
        jobs: the shards, with different names.
        first_attempt: number of the first attempt at each.
        max_lethal: lethal rows in all of them together, above which it is not the rows.
        fault_injection: faults on purpose.
        advance: called with the number of rows of each shard that is done.
        note: called with what each has cost, where the engine tells it.

    Raises:
        RopeError: a shard was given up, or more rows are lethal than may be.
    """
    states = {job.name: Isolation(first_attempt, first_attempt) for job in jobs}
    waiting = deque(ShardAttempt(job, first_attempt, fault_injection=fault_injection) for job in jobs)
    n_running = 0
    while waiting or n_running:
        while waiting and n_running < engine.slots:
            engine.submit(_with_next(waiting.popleft(), waiting, engine.slots))
            n_running += 1
        for ended in engine.wait():
            n_running -= 1
            waiting.extendleft(states[ended.task.job.name].after(ended))
            if ended.task.rows is None and ended.how == "done":
                advance(ended.task.job.n_rows)
                if ended.cost is not None:
                    note(ended.cost)
        _refuse_many_lethal(states, max_lethal)


def _with_next(task: ShardAttempt, waiting: Sequence[ShardAttempt], slots: int) -> ShardAttempt:
    """A first attempt with the rows of the shard that its worker will come to if all take turns."""
    following = waiting[slots - 1] if len(waiting) >= slots else None
    if following is None or following.rows is not None or task.rows is not None or not task.job.is_divisible:
        return task
    source = following.job.sources[0]
    return replace(task, then=source) if isinstance(source.path, Path) else task  # else it would be fetched twice


def _halves(task: ShardAttempt, rows: tuple[int, int]) -> list[ShardAttempt]:
    """Tries of both halves of a range of rows; of one row, the row.

    >>> from pathlib import Path
    >>> job = ShardJob("s", "0", "", "", {}, (), Path(), 1, 1.0, 0.0, True, True)
    >>> [[half.rows for half in _halves(ShardAttempt(job), rows)] for rows in ((0, 5), (3, 4))]
    [[(0, 2), (2, 5)], [(3, 4)]]
    """
    start, stop = rows
    middle = (start + stop) // 2
    ranges = [(start, middle), (middle, stop)] if stop - start > 1 else [rows]
    return [replace(task, rows=one, attempt=0, lethal={}) for one in ranges]


def _given_up(ended: Ended) -> DatasetError:
    what = {"failed": f"raised {type(ended.error).__name__}: {ended.error}", "died": "lost its worker", "hung": "hung"}
    return DatasetError(
        f"{ended.task}: {what[ended.how]} in each of {TRIES} attempts, and no single row does so; what was done is "
        "kept: put it right, and run again"
    )


def _refuse_many_lethal(states: dict[str, Isolation], max_lethal: int) -> None:
    found = [(name, row) for name, state in states.items() for row in state.lethal]
    if len(found) > max_lethal:
        shown = ", ".join(f"row {row} of {name}" for name, row in found[:5])
        raise DatasetError(
            f"{len(found)} rows kill or hang their worker, more than the {max_lethal} that the recipe allows: {shown}; "
            "it may not be the data: look at the operation, at memory and at deadline_s"
        )
