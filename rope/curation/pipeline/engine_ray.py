"""Workers of a Ray cluster: actors, each with a core or an accelerator, replaced when they die or hang.

Every node must see the pool and the folder of work under the same paths, and have rope installed. Actors, and not
tasks, because a deadline must not begin before there is a worker, and a model stays loaded from one shard to the next.
"""

import importlib
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from rope.curation.pipeline.costs import ShardCost
from rope.curation.pipeline.engine_local import PRELOAD
from rope.curation.pipeline.shard_job import ShardAttempt
from rope.curation.pipeline.supervisor import Ended
from rope.curation.pipeline.worker import execute
from rope.errors import DatasetError, UsageError
from rope.extras import needed_by

with needed_by("the engine ray", "ray"):
    import ray
    from ray.exceptions import RayActorError, RayError, RayTaskError

__all__ = ["RayEngine", "ray_connection", "ray_engine"]

_START_S: Final = 300.0
"""Time for the first worker to start, which may need a new node."""

_MOST_LOSSES: Final = 10
"""Nodes that may be lost under one task before it is taken for lethal: too large rows can end a node."""


@dataclass(frozen=True, slots=True)
class _Running:
    """A task under way: the actor that has it, the node of that, when it hangs, and how many nodes were lost before."""

    task: ShardAttempt
    actor: Any
    node: str
    deadline: float
    n_lost: int


class _Worker:
    """Carries out one task after the other."""

    def start(self) -> str:
        """The node, which an actor does not say before it runs and has imported what most operations import."""
        for module in PRELOAD:
            importlib.import_module(module)
        node: str = ray.get_runtime_context().get_node_id()
        return node

    def execute(self, task: ShardAttempt) -> ShardCost:
        """Execute one task in this actor."""
        return execute(task)


class RayEngine:
    """An engine on actors; see `rope.curation.pipeline.supervisor.Engine`.

    A task whose node is lost waits for the next worker, and nobody hears of it: that the rows did it is not likely.
    """

    def __init__(self, workers: int, *, gpus: int) -> None:
        self._workers = workers
        # No retries of Ray's own: it would try a lethal row for ever.
        self._remote: Any = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0, max_task_retries=0)(_Worker)
        self._queue: deque[tuple[ShardAttempt, int]] = deque()
        self._idle: list[tuple[Any, str]] = []
        self._starting: dict[Any, Any] = {}
        self._running: dict[Any, _Running] = {}
        for _ in range(workers):
            self._start_one()

    @property
    def slots(self) -> int:
        """One task an actor."""
        return self._workers

    def submit(self, task: ShardAttempt) -> None:
        """Give a task to an idle actor, or let it wait for the next."""
        self._queue.append((task, 0))
        self._dispatch()

    def wait(self) -> list[Ended]:
        """Wait for the first to end.

        Raises:
            DatasetError: no worker has started for minutes, and none is left.
        """
        began = time.monotonic()
        while True:
            ended = self._collect()
            self._dispatch()
            if ended:
                return ended
            if not self._running and time.monotonic() - began > _START_S:
                raise DatasetError(f"no worker has started on the Ray cluster in {_START_S:.0f} s; look at: ray status")

    def close(self) -> None:
        """End all actors, whatever they are doing."""
        idle, running = [actor for actor, _ in self._idle], [one.actor for one in self._running.values()]
        for actor in [*idle, *self._starting.values(), *running]:
            ray.kill(actor)

    def _collect(self) -> list[Ended]:
        """Wait for something to happen, and say which tasks ended."""
        refs = [*self._starting, *self._running]
        pause = min((one.deadline - time.monotonic() for one in self._running.values()), default=_START_S)
        ray.wait(refs, num_returns=1, timeout=max(pause, 0.0))
        # Looked at again after the clock: what has ended in time must not be taken for hung because others came first.
        now = time.monotonic()
        ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        ended = []
        for ref in ready:
            if ref in self._starting:
                self._greet(ref)
            elif (end := self._end(ref)) is not None:
                ended.append(end)
        for ref, one in list(self._running.items()):
            if now > one.deadline:
                del self._running[ref]
                self._replace(one.actor)
                ended.append(Ended(one.task, "hung"))
        return ended

    def _greet(self, ref: Any) -> None:  # noqa: ANN401  a reference of Ray's
        actor = self._starting.pop(ref)
        try:
            node = ray.get(ref)
        except RayError:
            self._replace(actor)
        else:
            self._idle.append((actor, node))

    def _end(self, ref: Any) -> Ended | None:  # noqa: ANN401  a reference of Ray's
        """How a task ended; None where its node was lost, and it waits again."""
        one = self._running.pop(ref)
        try:
            cost = ray.get(ref)
        except RayActorError:
            self._replace(one.actor)
            if _is_alive(one.node) or one.n_lost == _MOST_LOSSES:
                return Ended(one.task, "died")
            self._queue.appendleft((one.task, one.n_lost + 1))
            return None
        except RayTaskError as error:
            self._idle.append((one.actor, one.node))
            return Ended(one.task, "failed", error.cause)
        self._idle.append((one.actor, one.node))
        return Ended(one.task, "done", cost=cost)

    def _dispatch(self) -> None:
        while self._queue and self._idle:
            (task, n_lost), (actor, node) = self._queue.popleft(), self._idle.pop()
            deadline = time.monotonic() + task.deadline_s
            self._running[actor.execute.remote(task)] = _Running(task, actor, node, deadline, n_lost)

    def _replace(self, actor: Any) -> None:  # noqa: ANN401  an actor handle of Ray's
        ray.kill(actor)
        self._start_one()

    def _start_one(self) -> None:
        actor = self._remote.remote()
        self._starting[actor.start.remote()] = actor


def _is_alive(node: str) -> bool:
    return any(one["NodeID"] == node and one["Alive"] for one in ray.nodes())  # type: ignore[no-untyped-call]


@contextmanager
def ray_connection(address: str | None, workers: int | None) -> Iterator[None]:
    """Be connected to a Ray cluster; a connection that is there already is used, and stays.

    Args:
        address: of the cluster, `auto` for the one of this machine; None to start one that ends with the block.
        workers: cores of a cluster that is started; None for all of this machine.

    Raises:
        UsageError: the cluster cannot be reached.
    """
    if ray.is_initialized():
        yield
        return
    own: dict[str, Any] = {} if address else {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(address=address, log_to_driver=False, **own)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(f"no Ray cluster at {address or 'this machine'}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def ray_engine(workers: int | None, *, needs_gpu: bool) -> Iterator[RayEngine]:
    """An engine on the cluster that this process is connected to; its actors end with the block.

    Args:
        workers: actors; None takes one for each core of the cluster.
        needs_gpu: take one actor for each accelerator instead; one actor in all where there is none.

    Raises:
        UsageError: `workers` is below 1.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"workers is {workers}; expected at least 1")
    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    gpus = int(resources.get("GPU", 0)) if needs_gpu else 0
    n_workers = (gpus or 1) if needs_gpu else workers or max(int(resources.get("CPU", 1)), 1)
    engine = RayEngine(n_workers, gpus=1 if gpus else 0)
    try:
        yield engine
    finally:
        engine.close()
