"""The inner loops of the engine: compare a block of similarities with limits, and count.

Each is written in numpy here and, where numba is installed (the extra `fast`), compiled in `counting_numba`. Both give
the same integers; the compiled ones visit a block while it is in cache, and are several times as fast. They are taken
where there is enough to do (`Loops`).

The values of a block are float32, or whole numbers of 16 bits that are ordered alike (see `backends`). Its rows are
filled up to a multiple of `PADDING` with a value that is above no limit. The limits of a row descend.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import numpy as np

from rope.bench.ranking.blocks import (
    CHUNK,
    MAX_COST,
    BitArray,
    Block,
    BoolArray,
    Float32Array,
    FloatArray,
    IntArray,
    Prices,
    padded,
)

__all__ = [
    "LOOPS",
    "Loops",
    "add_costs",
    "add_costs_numpy",
    "count_above_both",
    "count_above_both_numpy",
    "count_down_both",
    "count_down_both_numpy",
    "dot_pairs",
    "dot_pairs_numpy",
    "find_between",
    "find_between_numpy",
    "transposed",
    "transposed_numpy",
]

_PAIR_VALUES: Final = 1 << 20
"""Entries gathered at a time by `dot_pairs_numpy`: 16 MiB of temporaries."""

_LOADING_PAYS: Final = 1 << 28
"""Numbers that the loops of numpy visit in about the time that loading the compiled ones takes."""


def count_above_both_numpy(block: Block, low: Block, high: Block, offsets: IntArray) -> tuple[IntArray, IntArray]:
    """How many values of row i exceed each of its limits, for two sets of limits.

    Args:
        block: [n, m], m a multiple of `PADDING`.
        low: [n_limits], of the dtype of the block; those of row i are `low[offsets[i]:offsets[i + 1]]`.
        high: [n_limits].
        offsets: int64 [n + 1], from 0 to n_limits.

    Returns:
        int64 [n_limits], twice.

    >>> block = np.repeat(np.float32([[1, 2, 3, -9]]), [1, 1, 1, 61], axis=1)
    >>> count_above_both_numpy(block, np.float32([2, 0]), np.float32([3, 2]), np.array([0, 2]))
    (array([1, 3]), array([0, 1]))
    """
    return _count_above(block, low, offsets), _count_above(block, high, offsets)


def count_down_both_numpy(block: Block, low: Block, high: Block) -> tuple[IntArray, IntArray]:
    """How many values of each of the first columns exceed its limit, for two sets of limits.

    Args:
        block: [n, m].
        low: [n_columns], of the dtype of the block; n_columns <= m.
        high: [n_columns].

    Returns:
        int64 [n_columns], twice.

    >>> count_down_both_numpy(np.float32([[1, 5], [2, 6]]), np.float32([1, 0]), np.float32([2, 5]))
    (array([1, 2]), array([0, 1]))
    """
    values = block[:, : len(low)]
    return (values > low).sum(axis=0, dtype=np.int64), (values > high).sum(axis=0, dtype=np.int64)


def _count_above(block: Block, limits: Block, offsets: IntArray) -> IntArray:
    counts = np.zeros(len(limits), np.int64)
    n_limits = np.diff(offsets)
    for rank in range(n_limits.max(initial=0)):
        rows = np.flatnonzero(n_limits > rank)
        at = offsets[rows] + rank
        values = block if len(rows) == len(block) else block[rows]
        counts[at] = _count_true(values > limits[at, None])
    return counts


def _count_true(mask: BoolArray) -> IntArray:
    """`mask.sum(axis=1)`, five times as fast: eight booleans are added as one integer.

    The eight lanes of a byte do not overflow while a row is shorter than 8 * 256.
    """
    if mask.shape[1] % 8 or mask.shape[1] >= 8 * 256:
        counts: IntArray = mask.sum(axis=1, dtype=np.int64)
    else:
        lanes = mask.view(np.uint64).sum(axis=1)  # [n]
        counts = lanes.view(np.uint8).reshape(len(mask), 8).sum(axis=1, dtype=np.int64)
    return counts


def find_between_numpy(
    block: Block, low: Block, high: Block, offsets: IntArray, wanted: BoolArray
) -> tuple[IntArray, IntArray]:
    """The values of row i in `(low, high]` of its wanted limits, as (limit, column), ordered."""
    rows = np.repeat(np.arange(len(block)), np.diff(offsets))
    found = []
    limits = np.flatnonzero(wanted)
    for start in range(0, len(limits), len(block)):
        some = limits[start : start + len(block)]
        values = block[rows[some]]  # [limits, m]
        which, columns = np.nonzero((values > low[some, None]) & (values <= high[some, None]))
        found.append((some[which], columns))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


def add_costs_numpy(
    block: Block,
    low: Block,
    high: Block,
    offsets: IntArray,
    prices: Prices,
    own: BitArray,
    total: IntArray,
    failed: BitArray,
) -> tuple[IntArray, IntArray, IntArray]:
    """Add, for each limit, what the values of its row above it cost, and note the trials in which one is drawn.

    Nothing is added for a segment with a value between low and high, which may be above or not; it is returned.

    Args:
        block: [n, m].
        low: [n_limits]; a value not above it is not above the limit, and
        high: [n_limits], one above it is.
        offsets: int64 [n + 1].
        prices: of the columns.
        own: uint64 [n_limits, n_words]; the only bits that matter in `failed`.
        total: int64 [n_limits]; added to, but ignored once it has reached `MAX_COST`.
        failed: uint64 [n_limits, n_words]; gets the bits of the columns whose values are above high.

    Returns:
        The limits and segments left out, and how many values of the segment are above high: int64 [k], three times.
    """
    n_limits, m = np.diff(offsets), len(prices.segment_of)
    left_out = [(np.zeros(0, np.int64),) * 3]
    for rank in range(n_limits.max(initial=0)):
        rows = np.flatnonzero(n_limits > rank)
        at = offsets[rows] + rank
        alive = (total[at] < MAX_COST) | np.any(own[at] & ~failed[at], axis=1)
        rows, at = rows[alive], at[alive]
        above = block[rows, :m] > high[at, None]
        n_above = np.add.reduceat(above, prices.starts, axis=1, dtype=np.int64)  # [rows, segments]
        n_maybe = np.add.reduceat(block[rows, :m] > low[at, None], prices.starts, axis=1, dtype=np.int64)
        is_open = n_maybe > n_above
        total[at] += np.where(is_open, 0, prices.table[prices.places + n_above]).sum(axis=1)
        for word in range(failed.shape[1]):
            failed[at, word] |= np.bitwise_or.reduce(np.where(above, prices.drawn[:, word], np.uint64(0)), axis=1)
        which, segments = np.nonzero(is_open)
        left_out.append((at[which], segments, n_above[which, segments]))
    limits, segments, counts = (np.concatenate(parts) for parts in zip(*left_out, strict=True))
    return limits, segments, counts


def transposed_numpy(block: Block, fill: float) -> Block:
    """The columns as rows, filled up to a multiple of `PADDING` with `fill`."""
    result = np.full((block.shape[1], padded(len(block))), fill, block.dtype)
    result[:, : len(block)] = block.T
    return result


def dot_pairs_numpy(a: Float32Array, rows: IntArray, b: Float32Array, columns: IntArray) -> FloatArray:
    """Float64 dot products of `a[rows[i]]` and `b[columns[i]]`, `CHUNK` dimensions at a time."""
    dots = np.zeros(len(rows))
    block = max(1, _PAIR_VALUES // a.shape[1])
    for start in range(0, len(rows), block):
        left = a[rows[start : start + block]].astype(np.float64)
        right = b[columns[start : start + block]].astype(np.float64)
        for first in range(0, a.shape[1], CHUNK):
            chunk = slice(first, first + CHUNK)
            dots[start : start + block] += np.einsum("ij,ij->i", left[:, chunk], right[:, chunk])
    return dots


class Loops:
    """Which loops are called: numpy's for about the first half second of work, then the compiled ones.

    Importing numba and loading its compiled code takes that long, and a small dataset never earns it back.

    Attributes:
        room: numbers that numpy may still visit before numba is loaded.
    """

    def __init__(self, room: int) -> None:
        """`room` is that of the attribute; 0 loads numba at the first call."""
        self.room = room
        self._compiled: ModuleType | None = None

    def pick(self, name: str, n: int) -> Callable[..., Any]:
        """The loop of this name, for a call that visits n numbers."""
        if self.room > n or not self._has_compiled():
            self.room -= min(n, self.room)
            loop = globals()[f"{name}_numpy"]
        else:
            self.room = 0
            loop = getattr(self._compiled, name)
        return loop  # type: ignore[no-any-return]

    def _has_compiled(self) -> bool:
        if self._compiled is None:
            try:
                self._compiled = import_module("rope.bench.ranking.counting_numba")
            except ImportError:
                self.room = sys.maxsize
        return self._compiled is not None


LOOPS: Final = Loops(_LOADING_PAYS)


def count_above_both(block: Block, low: Block, high: Block, offsets: IntArray) -> tuple[IntArray, IntArray]:
    """See `count_above_both_numpy`."""
    counts: tuple[IntArray, IntArray] = LOOPS.pick("count_above_both", block.shape[1] * len(low))(
        block, low, high, offsets
    )
    return counts


def count_down_both(block: Block, low: Block, high: Block) -> tuple[IntArray, IntArray]:
    """See `count_down_both_numpy`."""
    counts: tuple[IntArray, IntArray] = LOOPS.pick("count_down_both", block.size)(block, low, high)
    return counts


def find_between(
    block: Block, low: Block, high: Block, offsets: IntArray, wanted: BoolArray
) -> tuple[IntArray, IntArray]:
    """See `find_between_numpy`."""
    found: tuple[IntArray, IntArray] = LOOPS.pick("find_between", block.shape[1] * len(low))(
        block, low, high, offsets, wanted
    )
    return found


def add_costs(
    block: Block,
    low: Block,
    high: Block,
    offsets: IntArray,
    prices: Prices,
    own: BitArray,
    total: IntArray,
    failed: BitArray,
) -> tuple[IntArray, IntArray, IntArray]:
    """See `add_costs_numpy`."""
    left_out: tuple[IntArray, IntArray, IntArray] = LOOPS.pick("add_costs", block.shape[1] * len(low))(
        block, low, high, offsets, prices, own, total, failed
    )
    return left_out


def transposed(block: Block, fill: float) -> Block:
    """See `transposed_numpy`."""
    result: Block = LOOPS.pick("transposed", block.size)(block, fill)
    return result


def dot_pairs(a: Float32Array, rows: IntArray, b: Float32Array, columns: IntArray) -> FloatArray:
    """See `dot_pairs_numpy`."""
    dots: FloatArray = LOOPS.pick("dot_pairs", len(rows) * a.shape[1])(a, rows, b, columns)
    return dots
