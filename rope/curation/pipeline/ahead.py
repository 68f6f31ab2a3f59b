"""Prepare the next rows of a stage with a model while the model computes, and tell how long it waited for rows.

Preparing is reading, decoding and scaling pictures: a pure function of a row that gives the same in a thread, ahead of
its turn, as in its place. So bytes do not depend on what was prepared ahead, and a row that raises does so when its
turn comes. The rows ahead may be of the next batch or of the next shard; if that shard goes to another worker, they are
forgotten.
"""

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

__all__ = ["Ahead", "Waiting", "media_key", "model_at_work", "waiting_since"]

_LIMIT: Final = 32
"""Rows that are prepared and not taken yet, at most: their pixels are in memory."""

Row = TypeVar("Row")
Prepared = TypeVar("Prepared")


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long the models of this process have computed, and waited for prepared rows, in seconds."""

    model_s: float = 0.0
    waited_s: float = 0.0


_total = Waiting()


def waiting_since(earlier: Waiting | None) -> Waiting:
    """What was added since; since the process began where None."""
    before = earlier or Waiting()
    return Waiting(_total.model_s - before.model_s, _total.waited_s - before.waited_s)


def _add(model_s: float = 0.0, waited_s: float = 0.0) -> None:
    global _total
    _total = Waiting(_total.model_s + model_s, _total.waited_s + waited_s)


class Ahead(Generic[Row, Prepared]):
    """Prepares rows ahead in threads, in the order in which they were announced.

    Args:
        prepare: pure; called in threads.
        key: what a row is known by; rows of one key are prepared alike.
        threads: how many.
    """

    def __init__(self, prepare: Callable[[Row], Prepared], key: Callable[[Row], Hashable], threads: int) -> None:
        self._prepare = prepare
        self._key = key
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[tuple[Hashable, Row]] = deque()
        self._begun: dict[Hashable, Future[Prepared]] = {}
        self._ages: dict[Hashable, int] = {}
        self._age = 0

    def announce(self, rows: Iterable[Row]) -> None:
        """Say which rows come after those that are under way; what was announced two times ago is forgotten."""
        self._age += 1
        for key in [key for key, age in self._ages.items() if age < self._age - 1]:
            del self._ages[key]
            if (future := self._begun.pop(key, None)) is not None:
                future.cancel()
        for row in rows:
            key = self._key(row)
            if key not in self._ages:
                self._waiting.append((key, row))
            self._ages[key] = self._age
        self._begin()

    def take(self, row: Row) -> Prepared:
        """The prepared row; prepared now if it was not before. The time counts as waiting of the model."""
        began, key = time.perf_counter(), self._key(row)
        try:
            self._ages.pop(key, None)
            future = self._begun.pop(key, None)
            self._begin()
            return self._prepare(row) if future is None or future.cancelled() else future.result()
        finally:
            _add(waited_s=time.perf_counter() - began)

    def _begin(self) -> None:
        while self._waiting and len(self._begun) < _LIMIT:
            key, row = self._waiting.popleft()
            if key in self._ages and key not in self._begun:
                self._pool = self._pool or ThreadPoolExecutor(self._threads, "rope-ahead")
                self._begun[key] = self._pool.submit(self._prepare, row)


def media_key(row: Mapping[str, Any]) -> Hashable:
    """What decides the frames of a row, and what is said of them where they cannot be read."""
    frames = tuple((frame["bytes"], frame["path"]) for frame in row["frames"] or ())
    video = row["video"]
    return row["id"], row["domain"], frames, None if video is None else (video["bytes"], video["path"])


@contextmanager
def model_at_work() -> Iterator[None]:
    """Count the time of the block as the model's."""
    began = time.perf_counter()
    try:
        yield
    finally:
        _add(model_s=time.perf_counter() - began)
