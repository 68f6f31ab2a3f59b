"""Certified ranks by counting.

The rank of a positive is one more than the number of negatives that are at least as similar to the query.
So no list is sorted and no top-k is kept: each block of the similarity matrix is compared with the
similarities of the positives, known in advance, and forgotten. A block serves both directions, since the
queries of P2V are the gallery of V2P.

Blocks are float32 products. Where their error bound leaves a comparison open, it is made again in float64,
and if need be exactly (see `rope.bench.similarity`), so the counts are the true ones.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from rope.bench.counting import transposed
from rope.bench.similarity import Vectors, float32_units
from rope.bench.survival import survival
from rope.bench.tally import Tally

__all__ = ["Effort", "Labelled", "PositiveRanks", "rank_one_way", "rank_pair", "rank_within"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

_MAX_HEIGHT: Final = 2048
_MAX_WIDTH: Final = 512
_MIN_WIDTH: Final = 16
"""A block of 2048 x 512 float32 is 4 MiB: large enough for a fast product, small enough for the cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """The samples of one domain: their vectors, and the product of each as an index.

    Attributes:
        vectors: n vectors.
        products: int64 [n], ascending, so that the samples of one product stand side by side.

    Raises:
        ValueError: the lengths differ, or the products are not ascending.
    """

    vectors: Vectors
    products: IntArray

    def __post_init__(self) -> None:
        if len(self.vectors) != len(self.products):
            raise ValueError(f"{len(self.vectors)} vectors but {len(self.products)} products")
        if np.any(np.diff(self.products) < 0):
            raise ValueError("products must be ascending")

    def __len__(self) -> int:
        return len(self.products)


@dataclass(frozen=True, slots=True, eq=False)
class PositiveRanks:
    """For each query and each of its positives, best first: how many negatives come before it.

    The positives of query q are the entries `offsets[q]:offsets[q + 1]` of the other arrays.

    Attributes:
        offsets: int64 [n_queries + 1].
        above: int64 [n_entries]; negatives at least as similar as the positive: ties count against the model.
        above_optimistic: int64 [n_entries]; negatives strictly more similar.
        n_rechecked: comparisons that float32 could not settle.
        survival: float64 [n_entries]; the chance that the positive is more similar than everything in a support set
            of one sample, drawn at random, of each other product of the gallery; None where it was not asked for.
    """

    offsets: IntArray
    above: IntArray
    above_optimistic: IntArray
    n_rechecked: int
    survival: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Effort:
    """How to spend the machine; changes the time that ranking takes, never the ranks.

    Attributes:
        memory_bytes: what blocks and their temporaries may take, beside the vectors.
        threads: number of workers, None for one a processor.
        advance: called from the workers with the number of similarities just dealt with.
    """

    memory_bytes: int = 256 << 20
    threads: int | None = None
    advance: Callable[[int], None] = lambda _: None


def rank_pair(
    a: Labelled, b: Labelled, effort: Effort, *, with_survival: bool = False
) -> tuple[PositiveRanks, PositiveRanks]:
    """Rank the positives of two domains in both directions.

    Args:
        a: queries of the first result, gallery of the second.
        b: the reverse.
        effort: how to spend the machine.
        with_survival: compute `PositiveRanks.survival` too, which costs about as much again.

    Returns:
        The ranks of a's queries in b, and of b's queries in a.

    Raises:
        ValueError: the dimensions differ.
    """
    forward, backward = _tally(a, b, with_survival), _tally(b, a, with_survival)
    _count_blocks(a, b, forward, backward, effort)
    return _ranks_of(forward), _ranks_of(backward)


def rank_one_way(queries: Labelled, gallery: Labelled, effort: Effort, *, with_survival: bool = False) -> PositiveRanks:
    """Rank the positives of the queries in the gallery, like the first result of `rank_pair`."""
    tally = _tally(queries, gallery, with_survival)
    _count_blocks(queries, gallery, tally, None, effort)
    return _ranks_of(tally)


def rank_within(a: Labelled, effort: Effort) -> PositiveRanks:
    """Rank the positives of a domain within itself; a query is no part of its own gallery.

    Only the blocks on and above the diagonal of the symmetric similarity matrix are computed.
    """
    tally = Tally(a.vectors, a.products, a.vectors, a.products, same=True, with_costs=False)
    _count_blocks(a, a, tally, tally, effort)
    return _ranks_of(tally)


def _tally(queries: Labelled, gallery: Labelled, with_costs: bool) -> Tally:
    if queries.vectors.dim != gallery.vectors.dim:
        raise ValueError(f"dimensions differ: {queries.vectors.dim} and {gallery.vectors.dim}")
    return Tally(
        queries.vectors, queries.products, gallery.vectors, gallery.products, same=False, with_costs=with_costs
    )


def _ranks_of(tally: Tally) -> PositiveRanks:
    chances = None if tally.costs is None else survival(tally.costs)
    return PositiveRanks(tally.offsets, tally.above, tally.above_optimistic, tally.n_rechecked, chances)


def _count_blocks(a: Labelled, b: Labelled, forward: Tally, backward: Tally | None, effort: Effort) -> None:
    """Visit every block once, a row of blocks a task. `forward is backward` for a domain with itself."""
    same = forward is backward
    n_threads = effort.threads or os.cpu_count() or 1
    height, width = _block_shape(a.vectors.dim, effort.memory_bytes // n_threads)

    rows, columns = _cuts(a.products, height), _cuts(b.products, width)
    if same:  # the columns of the squares on the diagonal end where the rows do
        columns = [cut for top, bottom in rows for cut in _cuts(a.products[top:bottom], width, top)]

    def work(top: int, bottom: int) -> None:
        queries = float32_units(a.vectors, top, bottom)  # [height, dim]
        for left, right in columns:
            if same and right <= top:
                continue  # below the diagonal: the mirror image is visited
            block = queries @ float32_units(b.vectors, left, right).T  # [height, width]
            _mask_positives(block, a.products[top:bottom], b.products[left:right])
            forward.add(block, top, left)
            if backward and not (same and left < bottom):  # a diagonal square holds both directions
                backward.add(transposed(block), left, top)
            effort.advance(block.size)

    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(n_threads) as pool:
        for finished in [pool.submit(work, *cut) for cut in rows]:
            finished.result()


def _cuts(products: IntArray, size: int, offset: int = 0) -> list[tuple[int, int]]:
    """Cut samples into runs of about `size` that hold whole products.

    >>> _cuts(np.array([3, 3, 5, 5, 5, 8]), size=3)
    [(0, 2), (2, 5), (5, 6)]
    >>> _cuts(np.array([3, 3, 3, 3]), size=3, offset=10)
    [(10, 14)]
    >>> _cuts(np.array([1, 2, 2, 2, 2, 7]), size=2)
    [(0, 1), (1, 5), (5, 6)]
    """
    ends = np.append(np.flatnonzero(np.diff(products)) + 1, len(products))  # of each product
    cuts, start = [], 0
    while start < len(products):
        next_end = np.searchsorted(ends, start, side="right")  # a product larger than `size` is not cut either
        end = int(ends[max(next_end, np.searchsorted(ends, start + size, side="right") - 1)])
        cuts.append((offset + start, offset + end))
        start = end
    return cuts


def _block_shape(dim: int, memory_bytes: int) -> tuple[int, int]:
    """Queries and gallery samples of a block, powers of two, so that it fits in `memory_bytes` if possible.

    >>> _block_shape(dim=128, memory_bytes=128 << 20)
    (2048, 512)
    """
    height, width = _MAX_HEIGHT, _MAX_WIDTH
    while width > _MIN_WIDTH and 4 * (dim * (height + 2 * width) + 4 * height * width) > memory_bytes:
        height, width = height // 2, width // 2
    return height, width


def _mask_positives(block: npt.NDArray[np.float32], rows: IntArray, columns: IntArray) -> None:
    """Set the similarities of samples of one product, and of a query with itself, to minus infinity."""
    shared = np.unique(rows[np.isin(rows, columns)])
    tops, bottoms = np.searchsorted(rows, shared, "left"), np.searchsorted(rows, shared, "right")
    lefts, rights = np.searchsorted(columns, shared, "left"), np.searchsorted(columns, shared, "right")
    for top, bottom, left, right in zip(tops, bottoms, lefts, rights, strict=True):
        block[top:bottom, left:right] = -np.inf
