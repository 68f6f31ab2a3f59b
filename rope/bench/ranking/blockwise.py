"""Every similarity of two domains once, block by block: what most positives are ranked with.

A block serves both directions, since the queries of P2V are the gallery of V2P. It holds whole products, or a part of
one that is larger than a block, so its size is bounded regardless of the sizes of products.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from rope.arrays import IntArray
from rope.bench.ranking.backends import Arithmetic, Rectangle
from rope.bench.ranking.pair_counts import CountOfProduct, PairCounts
from rope.bench.ranking.records import ComputeSettings, Labelled

__all__ = ["count_blocks"]


_MIN_WIDTH: Final = 16


def count_blocks(
    a: Labelled,
    b: Labelled,
    forward: PairCounts,
    backward: PairCounts | None,
    arithmetics: Sequence[Arithmetic],
    compute: ComputeSettings,
) -> None:
    """Visit every block once, a row of blocks a task. `forward is backward` for a domain with itself.

    A block that no entry of either direction is to be compared with is not made.
    """
    same = forward is backward
    height, width = _block_shape(arithmetics[0].shape, a.vectors.dim, compute.memory // compute.n_threads)
    rows, columns = _cuts(a.products, height), _cuts(b.products, width)
    if same:  # the columns of the squares on the diagonal end where the rows do
        columns = [cut for top, bottom in rows for cut in _cuts(a.products[top:bottom], width, top)]

    def work(top: int, bottom: int) -> None:
        maker = _Maker(a, b, arithmetics, top, bottom)
        for left, right in columns:
            if same and right <= top:
                continue  # below the diagonal: the mirror image is visited
            waiting = [(forward, False)] if forward.has_entries(top, bottom) else []
            if backward and not (same and left < bottom) and backward.has_entries(left, right):
                waiting.append((backward, True))  # a diagonal square holds both directions
            maker.settle(waiting, left, right)
            compute.advance((bottom - top) * (right - left))

    _in_threads(work, rows, compute)
    for counts, queries, gallery, sizes in ((forward, a, b, (height, width)), (backward, b, a, (width, height))):
        if counts is not None and counts.has_costs:
            _add_costs_of_cut_products(counts, queries, gallery, arithmetics, compute, sizes)


class _Maker:
    """Makes the blocks of one row of blocks, in the coarsest arithmetic that does not leave too much open."""

    def __init__(self, a: Labelled, b: Labelled, arithmetics: Sequence[Arithmetic], top: int, bottom: int) -> None:
        self._a, self._b, self._arithmetics, self._rows = a, b, arithmetics, (top, bottom)
        self._level = 0
        self._units = arithmetics[0].units(a.vectors, top, bottom)
        self._block: Any = None

    def settle(self, waiting: Sequence[tuple[PairCounts | CountOfProduct, bool]], left: int, right: int) -> None:
        """Count the block of these columns for all pair counts, each with whether it is mirrored."""
        top, bottom = self._rows
        if not waiting:
            return
        shared = _rectangles(self._a.products[top:bottom], self._b.products[left:right])
        while waiting and self._level < len(self._arithmetics):
            arithmetic = self._arithmetics[self._level]
            block = arithmetic.block(self._units, arithmetic.units(self._b.vectors, left, right), shared)
            # The block before goes only now: freed earlier, its pages went back to the system, to be cleared and mapped
            # again for this one, which took a third as long as the counting itself.
            self._block = block
            waiting = [
                (counts, mirrored)
                for counts, mirrored in waiting
                if not counts.add(arithmetic, block, (top, bottom), (left, right), mirrored=mirrored)
            ]
            if not waiting or self._level + 1 == len(self._arithmetics):
                break
            self._level += 1  # so it will be with the blocks beside this one
            self._units = self._arithmetics[self._level].units(self._a.vectors, top, bottom)
        for counts, mirrored in waiting:
            masked = _mask(shared, (bottom - top, right - left))
            place = (left, top) if mirrored else (top, left)
            counts.add_exactly(*place, masked.T if mirrored else masked)


def _add_costs_of_cut_products(
    counts: PairCounts,
    queries: Labelled,
    gallery: Labelled,
    arithmetics: Sequence[Arithmetic],
    compute: ComputeSettings,
    sizes: tuple[int, int],
) -> None:
    """What products larger than a block cost: a cost belongs to all samples of a product, so these are counted first.

    Args:
        counts: of the queries in the gallery.
        queries: the rows of its blocks.
        gallery: the columns.
        arithmetics: as for `count_blocks`.
        compute: likewise.
        sizes: rows and columns of a block.
    """
    height, width = sizes
    for left, right in _large_products(gallery.products, width):

        def work(top: int, bottom: int, left: int = left, right: int = right) -> None:
            if not counts.has_entries(top, bottom):
                return
            maker = _Maker(queries, gallery, arithmetics, top, bottom)
            count = CountOfProduct(counts, top, bottom, left)
            for start in range(left, right, width):
                maker.settle([(count, False)], start, min(start + width, right))
            count.add_cost()

        _in_threads(work, _cuts(queries.products, height), compute)


def _in_threads(work: Callable[[int, int], None], parts: Iterable[tuple[int, int]], compute: ComputeSettings) -> None:
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(compute.n_threads) as pool:
        for finished in [pool.submit(work, *part) for part in parts]:
            finished.result()


def _cuts(products: IntArray, size: int, offset: int = 0) -> list[tuple[int, int]]:
    """Cut samples into runs of at most `size` that hold whole products, or a part of one larger product.

    >>> _cuts(np.array([3, 3, 5, 5, 5, 8]), size=3)
    [(0, 2), (2, 5), (5, 6)]
    >>> _cuts(np.array([3, 3, 3, 3]), size=3, offset=10)
    [(10, 13), (13, 14)]
    >>> _cuts(np.array([1, 2, 2, 2, 2, 2, 7]), size=2)
    [(0, 1), (1, 3), (3, 5), (5, 6), (6, 7)]
    """
    starts = np.append(np.flatnonzero(np.diff(products, prepend=-1)), len(products))  # of each product, and the end
    cuts, start = [], 0
    while start < len(products):
        own = int(np.searchsorted(starts, start, side="right"))
        fits = int(starts[np.searchsorted(starts, start + size, side="right") - 1])
        is_large = starts[own] - starts[own - 1] > size
        end = min(start + size, int(starts[own])) if is_large else fits
        cuts.append((offset + start, offset + end))
        start = end
    return cuts


def _large_products(products: IntArray, size: int) -> list[tuple[int, int]]:
    """The runs of samples of products that have more than `size`.

    >>> _large_products(np.array([1, 2, 2, 2, 7, 7]), size=2)
    [(1, 4)]
    """
    ends = np.append(np.flatnonzero(np.diff(products, prepend=-1)), len(products)).tolist()
    return [(start, stop) for start, stop in pairwise(ends) if stop - start > size]


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
