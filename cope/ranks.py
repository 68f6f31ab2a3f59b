"""Several processes, one global batch: what each holds, and gradients that are those of one process.

Data parallelism averages the gradients of the parameters over the ranks. Every loss here is that of the global batch
and has the same value on each rank, so a rank that hands on the true gradient for its own rows would see it divided by
the number of ranks. `undo_average` makes up for that once, where the rows leave the model.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import distributed

__all__ = [
    "ALONE",
    "ProcessRank",
    "current_ranks",
    "gather_for_copies",
    "gather_for_parts",
    "shard_bounds",
    "undo_average",
]


@dataclass(frozen=True, slots=True)
class ProcessRank:
    """One process among those that train together.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.

    Raises:
        ValueError: the rank is not below the size.
    """

    rank: int
    size: int

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise ValueError(f"rank {self.rank} of {self.size}: expected one from 0 to {self.size - 1}")


ALONE: Final = ProcessRank(0, 1)


def current_ranks() -> ProcessRank:
    """This process in the default group of `torch.distributed`; `ALONE` where there is none."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return ALONE
    return ProcessRank(distributed.get_rank(), distributed.get_world_size())


def shard_bounds(n: int, ranks: ProcessRank) -> tuple[int, int]:
    """First item, and the one after the last, of a rank's share of n; the first ranks take one more where n is odd.

    >>> [shard_bounds(7, ProcessRank(rank, 3)) for rank in range(3)]
    [(0, 3), (3, 5), (5, 7)]
    """
    base, more = divmod(n, ranks.size)
    start = ranks.rank * base + min(ranks.rank, more)
    return start, start + base + (ranks.rank < more)


def gather_for_copies(rows: torch.Tensor, ranks: ProcessRank) -> torch.Tensor:
    """Rows of all ranks, in their order, for arithmetic that every rank repeats in full.

    Backward, a rank keeps the gradient of its own rows: it is complete, because the rank computed the whole loss.
    Nothing is sent.

    Args:
        rows: [b, ...], as many on each rank.
        ranks: who takes part.

    Returns:
        [b * size, ...].
    """
    if ranks.size == 1:
        return rows
    everyone = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(ranks.size)]
    distributed.all_gather(everyone, rows.detach().contiguous())
    everyone[ranks.rank] = rows
    return torch.cat(everyone)


def gather_for_parts(rows: torch.Tensor, ranks: ProcessRank) -> torch.Tensor:
    """Rows of all ranks, in their order, for arithmetic of which every rank does a part.

    As `gather_for_copies`, but backward the gradients of all parts are added up first.
    """
    everyone = gather_for_copies(rows, ranks)
    if ranks.size > 1 and everyone.requires_grad:
        everyone.register_hook(_sum_over_ranks)  # type: ignore[no-untyped-call]
    return everyone


def undo_average(rows: torch.Tensor, ranks: ProcessRank) -> torch.Tensor:
    """The same rows, whose gradient is multiplied by the number of ranks, by which data parallelism will divide it."""
    if ranks.size == 1 or not rows.requires_grad:
        return rows
    same = rows.view_as(rows)  # the hook must not touch the caller's tensor
    same.register_hook(lambda gradient: gradient * ranks.size)  # type: ignore[no-untyped-call]
    return same


def _sum_over_ranks(gradient: torch.Tensor) -> torch.Tensor:
    total = gradient.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total
