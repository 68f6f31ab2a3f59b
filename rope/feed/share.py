"""Which part of a sequence each of several training processes gets."""

from collections.abc import Iterator
from dataclasses import dataclass

from rope.errors import UsageError

__all__ = ["ProcessShare", "ProcessStep", "count_steps", "plan_steps"]


@dataclass(frozen=True, slots=True)
class ProcessShare:
    """One of several processes that train together.

    Attributes:
        rank: from 0.
        world_size: how many there are.

    Raises:
        UsageError: the rank is unknown.
    """

    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise UsageError(f"rank {self.rank} of {self.world_size}: expected 0 <= rank < world_size")


@dataclass(frozen=True, slots=True)
class ProcessStep:
    """What one rank gets in one step.

    Attributes:
        places: places in the epoch's order.
        end: the place in the epoch's order that the next step of all ranks begins at.
    """

    places: tuple[int, ...]
    end: int


def plan_steps(
    n_items: int, start: int, batch_size: int, share: ProcessShare, *, drop_last: bool
) -> Iterator[ProcessStep]:
    """The steps of one rank from place `start` of an epoch's order to its end.

    A step of all ranks takes the next `batch_size * world_size` places, and rank r the r-th part of them. What is left
    at the end is dropped, or divided into equal, smaller batches; where it cannot be divided evenly, places from the
    beginning of the order are repeated, fewer than there are ranks. So all ranks take as many steps, of the same sizes.

    Args:
        n_items: length of the order.
        start: the first position; past the end, there are no steps.
        batch_size: places a rank gets in a step.
        share: the rank.
        drop_last: what becomes of the rest.

    >>> [step.places for step in plan_steps(7, 0, 2, ProcessShare(0, 2), drop_last=False)]
    [(0, 1), (4, 5)]
    >>> [step.places for step in plan_steps(7, 0, 2, ProcessShare(1, 2), drop_last=False)]
    [(2, 3), (6, 0)]
    >>> [step.places for step in plan_steps(7, 0, 2, ProcessShare(1, 2), drop_last=True)]
    [(2, 3)]
    """
    together = batch_size * share.world_size
    while start < n_items:
        taken = min(together, n_items - start)
        if taken < together and drop_last:
            return
        n_places = -(-taken // share.world_size)
        first = start + share.rank * n_places
        yield ProcessStep(tuple(place % n_items for place in range(first, first + n_places)), start + taken)
        start += taken


def count_steps(n_items: int, batch_size: int, share: ProcessShare, *, drop_last: bool) -> int:
    """How many steps `plan_steps` makes of a whole epoch.

    >>> count_steps(7, 2, ProcessShare(0, 2), drop_last=False), count_steps(7, 2, ProcessShare(0, 2), drop_last=True)
    (2, 1)
    """
    together = batch_size * share.world_size
    return n_items // together if drop_last else -(-n_items // together)
