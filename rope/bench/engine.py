"""Certified ranks by counting.

The rank of a positive is one more than the number of negatives that are at least as similar to the query.
So no list is sorted and no top-k is kept: each block of the similarity matrix is compared with the
similarities of the positives, known in advance, and forgotten. A block serves both directions, since the
queries of P2V are the gallery of V2P.

Blocks are float32 products, or coarser and faster ones where few comparisons are made. What their error
bound leaves open is settled in float64, and if need be exactly (see `rope.bench.similarity`), so the counts
are the true ones whatever the blocks were made with.
"""

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from rope.bench.arithmetic import Arithmetic, Bfloat16, Float32, Rectangle, has_fast_bfloat16
from rope.bench.similarity import Vectors
from rope.bench.tally import Tally

__all__ = ["Effort", "Labelled", "PositiveRanks", "rank_one_way", "rank_pair", "rank_within"]

IntArray = npt.NDArray[np.int64]
BitArray = npt.NDArray[np.uint64]
FloatArray = npt.NDArray[np.float64]

_MIN_WIDTH: Final = 16

_COARSE_PAYS: Final = 2**30
_LOADING_PAYS: Final = 2**37
"""Multiplications from which coarser products are faster, and from which they are worth loading torch for, which takes
about as long as so many in float32."""


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
        n_rechecked: comparisons that were left open by the blocks and settled one by one.
        survival: float64 [n_entries]; the chance that the positive is more similar than everything in a support set
            of one sample, drawn at random, of each other product of the gallery; None where it was not asked for.
        won: uint64 [n_queries, n_words]; bit t is set if the query's own product is the most similar in support set
            t; None where it was not asked for.
    """

    offsets: IntArray
    above: IntArray
    above_optimistic: IntArray
    n_rechecked: int
    survival: FloatArray | None = None
    won: BitArray | None = None


@dataclass(frozen=True, slots=True)
class Effort:
    """How to spend the machine; changes the time that ranking takes, never the ranks.

    Attributes:
        memory_bytes: what blocks and their temporaries may take, beside the vectors; None for 256 MiB, or 8 GiB of an
            accelerator's memory.
        threads: number of workers, None for one a processor.
        advance: called from the workers with the number of similarities just dealt with.
        device: `cpu`, or an accelerator as torch names it.
        arithmetics: what to make blocks with, the coarsest first; the next is taken where one leaves too much open.
            None for what is fastest on the device.
    """

    memory_bytes: int | None = None
    threads: int | None = None
    advance: Callable[[int], None] = lambda _: None
    device: str = "cpu"
    arithmetics: Sequence[Arithmetic] | None = None


def rank_pair(
    a: Labelled,
    b: Labelled,
    effort: Effort,
    *,
    best_only: bool = False,
    drawn: tuple[BitArray, BitArray] | None = None,
) -> tuple[PositiveRanks, PositiveRanks]:
    """Rank the positives of two domains in both directions.

    Args:
        a: queries of the first result, gallery of the second.
        b: the reverse.
        effort: how to spend the machine.
        best_only: rank the best positive of each query alone, in less than half the time: enough for R@k, the
            reciprocal and the median rank.
        drawn: the support sets that the samples of a and of b are in, as bits: uint64 [n, n_words], see
            `one_shot.support_bits`. With it, `PositiveRanks.survival` and `PositiveRanks.won` are computed too.

    Returns:
        The ranks of a's queries in b, and of b's queries in a.

    Raises:
        ValueError: the dimensions differ.
    """
    arithmetics = _choose(effort, a, b, best_only)
    in_b, in_a = (None, None) if drawn is None else (drawn[1], drawn[0])
    forward = _tally(a, b, arithmetics, best_only, in_b)
    backward = _tally(b, a, arithmetics, best_only, in_a)
    _count_blocks(a, b, forward, backward, arithmetics, effort)
    return _ranks_of(forward), _ranks_of(backward)


def rank_one_way(
    queries: Labelled,
    gallery: Labelled,
    effort: Effort,
    *,
    best_only: bool = False,
    drawn: BitArray | None = None,
) -> PositiveRanks:
    """Rank the positives of the queries in the gallery, like the first result of `rank_pair`."""
    arithmetics = _choose(effort, queries, gallery, best_only)
    tally = _tally(queries, gallery, arithmetics, best_only, drawn)
    _count_blocks(queries, gallery, tally, None, arithmetics, effort)
    return _ranks_of(tally)


def rank_within(a: Labelled, effort: Effort) -> PositiveRanks:
    """Rank the positives of a domain within itself; a query is no part of its own gallery.

    Only the blocks on and above the diagonal of the symmetric similarity matrix are computed.
    """
    arithmetics = _choose(effort, a, a, best_only=False)
    tally = Tally(a.vectors, a.products, a.vectors, a.products, arithmetics, same=True)
    _count_blocks(a, a, tally, tally, arithmetics, effort)
    return _ranks_of(tally)


def _choose(effort: Effort, a: Labelled, b: Labelled, best_only: bool) -> Sequence[Arithmetic]:
    """bfloat16 leaves open too much of the crowd of negatives that lie among the lesser positives."""
    if effort.arithmetics is not None:
        return effort.arithmetics
    if effort.device != "cpu":
        from rope.bench.on_device import OnDevice  # brings torch

        return (
            [OnDevice(effort.device, "bfloat16"), OnDevice(effort.device)] if best_only else [OnDevice(effort.device)]
        )
    n_multiplications = len(a) * len(b) * a.vectors.dim
    pays = n_multiplications >= (_COARSE_PAYS if "torch" in sys.modules else _LOADING_PAYS)
    return [Bfloat16(), Float32()] if best_only and pays and has_fast_bfloat16() else [Float32()]


def _tally(
    queries: Labelled,
    gallery: Labelled,
    arithmetics: Sequence[Arithmetic],
    best_only: bool,
    drawn: BitArray | None,
) -> Tally:
    if queries.vectors.dim != gallery.vectors.dim:
        raise ValueError(f"dimensions differ: {queries.vectors.dim} and {gallery.vectors.dim}")
    return Tally(
        queries.vectors,
        queries.products,
        gallery.vectors,
        gallery.products,
        arithmetics,
        best_only=best_only,
        drawn=drawn,
    )


def _ranks_of(tally: Tally) -> PositiveRanks:
    return PositiveRanks(
        tally.offsets, tally.above, tally.above_optimistic, tally.n_rechecked, tally.survival(), tally.won()
    )


def _count_blocks(
    a: Labelled,
    b: Labelled,
    forward: Tally,
    backward: Tally | None,
    arithmetics: Sequence[Arithmetic],
    effort: Effort,
) -> None:
    """Visit every block once, a row of blocks a task. `forward is backward` for a domain with itself."""
    same = forward is backward
    n_threads = effort.threads or os.cpu_count() or 1
    memory_bytes = effort.memory_bytes or (256 << 20 if effort.device == "cpu" else 8 << 30)
    height, width = _block_shape(arithmetics[0].shape, a.vectors.dim, memory_bytes // n_threads)

    rows, columns = _cuts(a.products, height), _cuts(b.products, width)
    if same:  # the columns of the squares on the diagonal end where the rows do
        columns = [cut for top, bottom in rows for cut in _cuts(a.products[top:bottom], width, top)]

    def work(top: int, bottom: int) -> None:
        level, units = 0, arithmetics[0].units(a.vectors, top, bottom)
        for left, right in columns:
            if same and right <= top:
                continue  # below the diagonal: the mirror image is visited
            both_ways = backward and not (same and left < bottom)  # a diagonal square holds both directions
            waiting = [(forward, False), (backward, True)] if backward and both_ways else [(forward, False)]
            shared = _rectangles(a.products[top:bottom], b.products[left:right])
            while waiting and level < len(arithmetics):
                arithmetic = arithmetics[level]
                block = arithmetic.block(units, arithmetic.units(b.vectors, left, right), shared)
                waiting = [
                    (tally, mirrored)
                    for tally, mirrored in waiting
                    if not tally.add(arithmetic, block, (top, bottom), (left, right), mirrored=mirrored)
                ]
                if waiting and level + 1 < len(arithmetics):  # so it will be with the blocks beside this one
                    level += 1
                    units = arithmetics[level].units(a.vectors, top, bottom)
                else:
                    break
            for tally, mirrored in waiting:
                masked = _mask(shared, (bottom - top, right - left))
                place = (left, top) if mirrored else (top, left)
                tally.add_exactly(*place, masked.T if mirrored else masked)
            effort.advance((bottom - top) * (right - left))

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


def _block_shape(largest: tuple[int, int], dim: int, memory_bytes: int) -> tuple[int, int]:
    """Queries and gallery samples of a block so that it fits in `memory_bytes` if possible.

    >>> _block_shape((1024, 512), dim=128, memory_bytes=128 << 20)
    (1024, 512)
    >>> _block_shape((1024, 512), dim=128, memory_bytes=1 << 20)
    (256, 128)
    """
    height, width = largest
    while width > _MIN_WIDTH and 4 * (dim * (height + 2 * width) + 4 * height * width) > memory_bytes:
        height, width = height // 2, width // 2
    return height, width


def _rectangles(rows: IntArray, columns: IntArray) -> list[Rectangle]:
    """Where the samples of one product meet in a block, given the products of its rows and columns.

    >>> _rectangles(np.array([1, 1, 3]), np.array([0, 1, 3, 3]))
    [(0, 2, 1, 2), (2, 3, 2, 4)]
    """
    if rows[-1] < columns[0] or columns[-1] < rows[0]:  # nearly always, since products ascend
        return []
    shared = np.unique(rows[np.isin(rows, columns)])
    sides: tuple[Literal["left", "right"], ...] = ("left", "right")
    corners = [np.searchsorted(products, shared, side) for products in (rows, columns) for side in sides]
    return [(int(top), int(bottom), int(left), int(right)) for top, bottom, left, right in zip(*corners, strict=True)]


def _mask(rectangles: Sequence[Rectangle], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    masked = np.zeros(size, np.bool_)
    for top, bottom, left, right in rectangles:
        masked[top:bottom, left:right] = True
    return masked
