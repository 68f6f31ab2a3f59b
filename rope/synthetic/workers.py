"""The same function over many items, on several processes, with the results in the order of the items."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from rope.console import progress_bar
from rope.errors import UsageError

__all__ = ["map_in_order"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int | None,
    progress: bool,
    description: str,
) -> list[Result]:
    """Apply `function` to each item; the result does not depend on `workers`.

    With more than one worker, `function` must be a module's own (not a closure), and a script that calls this needs
    the usual `if __name__ == "__main__":` guard, because the processes are started afresh ("spawn").

    Args:
        function: what to apply.
        items: what to apply it to.
        workers: processes; 1 runs in this process; None takes one for each core.
        progress: show a bar on stderr.
        description: the words before the bar.

    >>> map_in_order(len, ["a", "bcd"], workers=1, progress=False, description="count")
    [1, 3]

    Raises:
        UsageError: `workers` is below 1.
    """
    workers = (os.cpu_count() or 1) if workers is None else workers
    if workers < 1:
        raise UsageError(f"workers is {workers}; expected at least 1")
    if workers == 1 or len(items) < 2:
        return _collect(map(function, items), len(items), progress, description)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(items)), mp_context=spawn) as pool:
        return _collect(pool.map(function, items, chunksize=4), len(items), progress, description)


def _collect(results: Iterable[Result], total: int, progress: bool, description: str) -> list[Result]:
    if not progress:
        return list(results)
    collected = []
    with progress_bar(description, total) as advance:
        for result in results:
            collected.append(result)
            advance(1)
    return collected
