"""The inner loops of the engine: compare a block with limits and count.

Each is written in numpy and, where numba is installed (the extra `fast`), compiled. Both give the same
integers; the compiled ones visit a block once while it is in cache, and are several times as fast.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "CHUNK",
    "MAX_COST",
    "add_costs",
    "add_costs_numpy",
    "count_above",
    "count_above_both",
    "count_above_both_numpy",
    "dot_pairs",
    "dot_pairs_numpy",
    "find_between",
    "find_between_numpy",
    "transposed",
    "transposed_numpy",
]

CHUNK: Final = 512
"""Dimensions summed in one go in float64; keeps the error bound small for any dimension."""

MAX_COST: Final = 40 << 40
"""A total that has come this far is not added to; the largest single cost."""

_PAIR_VALUES: Final = 1 << 20
"""Entries gathered at a time by `dot_pairs_numpy`: 16 MiB of temporaries."""

IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
FloatArray: TypeAlias = npt.NDArray[np.float64]
Float32Array: TypeAlias = npt.NDArray[np.float32]
AnyFloats: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64]


def count_above(block: AnyFloats, limits: AnyFloats, offsets: IntArray) -> IntArray:
    """How many values of row i exceed each of its limits, `limits[offsets[i]:offsets[i + 1]]`.

    Args:
        block: [n, m].
        limits: [n_limits], of the dtype of the block.
        offsets: int64 [n + 1], from 0 to n_limits.

    Returns:
        int64 [n_limits].

    >>> count_above(np.array([[1.0, 2.0, 3.0]]), np.array([2.0, 0.0]), np.array([0, 2]))
    array([1, 3])
    """
    counts = np.zeros(len(limits), np.int64)
    n_limits = np.diff(offsets)
    for rank in range(n_limits.max(initial=0)):
        rows = np.flatnonzero(n_limits > rank)
        at = offsets[rows] + rank
        values = block if len(rows) == len(block) else block[rows]
        counts[at] = _count_true(values > limits[at, None])
    return counts


def _count_true(mask: npt.NDArray[np.bool_]) -> IntArray:
    """`mask.sum(axis=1)`, five times as fast: eight booleans are added as one integer.

    The eight lanes of a byte do not overflow while a row is shorter than 8 * 256.
    """
    if mask.shape[1] % 8 or mask.shape[1] >= 8 * 256:
        counts: IntArray = mask.sum(axis=1, dtype=np.int64)
    else:
        lanes = mask.view(np.uint64).sum(axis=1)  # [n]
        counts = lanes.view(np.uint8).reshape(len(mask), 8).sum(axis=1, dtype=np.int64)
    return counts


def count_above_both_numpy(
    block: Float32Array, low: Float32Array, high: Float32Array, offsets: IntArray
) -> tuple[IntArray, IntArray]:
    """`count_above` for two sets of limits."""
    return count_above(block, low, offsets), count_above(block, high, offsets)


def find_between_numpy(
    block: Float32Array, low: Float32Array, high: Float32Array, offsets: IntArray, wanted: BoolArray
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
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


def add_costs_numpy(
    block: AnyFloats,
    limits: AnyFloats,
    offsets: IntArray,
    n_above: IntArray,
    extra: tuple[IntArray, IntArray],
    segments: tuple[IntArray, IntArray, IntArray],
    costs: IntArray,
    total: IntArray,
) -> None:
    """Add, for each limit, what the values of its row above it cost, segment by segment of the row.

    Args:
        block: [n, m].
        limits: [n_limits].
        offsets: int64 [n + 1].
        n_above: int64 [n_limits], values above each limit, the extra ones among them; those without are passed over.
        extra: limits and columns of values that count as above though they are not; ordered by limit.
        segments: first column of each segment; the place in `costs` of its cost of no values; for each column of the
            block, the segment that it is in.
        costs: int64; the cost of c values above in a segment stands c places after that of none.
        total: int64 [n_limits]; added to, and passed over where it has reached `MAX_COST`.
    """
    starts, places, segment_of = segments
    n_limits = np.diff(offsets)
    for rank in range(n_limits.max(initial=0)):
        rows = np.flatnonzero(n_limits > rank)
        at = offsets[rows] + rank
        rows, at = rows[n_above[at] > 0], at[n_above[at] > 0]
        rows, at = rows[total[at] < MAX_COST], at[total[at] < MAX_COST]
        counts = np.add.reduceat(block[rows] > limits[at, None], starts, axis=1, dtype=np.int64)
        of_limit = np.full(len(limits), -1)
        of_limit[at] = np.arange(len(at))
        mine = of_limit[extra[0]] >= 0
        np.add.at(counts, (of_limit[extra[0][mine]], segment_of[extra[1][mine]]), 1)
        total[at] += costs[places + counts].sum(axis=1)


def transposed_numpy(block: Float32Array) -> Float32Array:
    """The block with rows and columns exchanged, C-contiguous."""
    return np.ascontiguousarray(block.T)


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


def _compile() -> tuple[Callable[..., Any], ...]:
    """The same functions compiled; ImportError where numba is missing."""
    import numba

    # Counts are kept as float32, as wide as the values, so that the loop is vectorised; exact below 2^24.
    one, zero = np.float32(1), np.float32(0)
    any_order = {"reassoc", "nsz"}

    @numba.njit(nogil=True, cache=True, fastmath=any_order)
    def count(block, low, high, offsets):  # type: ignore[no-untyped-def]
        above_low = np.zeros(len(low), np.int64)
        above_high = np.zeros(len(high), np.int64)
        for row in range(block.shape[0]):
            for limit in range(offsets[row], offsets[row + 1]):
                n_low, n_high = zero, zero
                for column in range(block.shape[1]):
                    value = block[row, column]
                    n_low += one if value > low[limit] else zero
                    n_high += one if value > high[limit] else zero
                above_low[limit], above_high[limit] = int(n_low), int(n_high)
        return above_low, above_high

    @numba.njit(nogil=True, cache=True, fastmath=any_order)
    def find(block, low, high, offsets, wanted):  # type: ignore[no-untyped-def]
        limits, columns = [0 for _ in range(0)], [0 for _ in range(0)]
        for row in range(block.shape[0]):
            for limit in range(offsets[row], offsets[row + 1]):
                if not wanted[limit]:
                    continue
                for start in range(0, block.shape[1], 128):
                    values = block[row, start : start + 128]
                    n_between = zero  # nearly always zero, and found out without a branch
                    for value in values:
                        n_between += one if (value > low[limit]) & (value <= high[limit]) else zero
                    if n_between > zero:
                        for column in range(len(values)):
                            if low[limit] < values[column] <= high[limit]:
                                limits.append(limit)
                                columns.append(start + column)
        return np.array(limits, np.int64), np.array(columns, np.int64)

    @numba.njit(nogil=True, cache=True, fastmath=any_order)
    def add_costs(block, limits, offsets, n_above, extra, segments, costs, total):  # type: ignore[no-untyped-def]
        _, places, segment_of = segments
        extra_limits, extra_columns = extra
        next_extra = 0
        for row in range(block.shape[0]):
            for limit in range(offsets[row], offsets[row + 1]):
                first_extra = next_extra
                while next_extra < len(extra_limits) and extra_limits[next_extra] == limit:
                    next_extra += 1
                if n_above[limit] == 0 or total[limit] >= MAX_COST:
                    continue
                segment, n_costly, next_column = -1, 0, first_extra
                for start in range(0, block.shape[1], 64):
                    values = block[row, start : start + 64]
                    n_here = zero  # mostly zero, and found out without a branch
                    for value in values:
                        n_here += one if value > limits[limit] else zero
                    for i in range(next_column, next_extra):
                        n_here += one if extra_columns[i] < start + 64 else zero
                    if n_here == zero:
                        continue
                    for column in range(start, start + len(values)):
                        is_extra = next_column < next_extra and extra_columns[next_column] == column
                        next_column += is_extra
                        if is_extra or values[column - start] > limits[limit]:
                            if segment_of[column] != segment:
                                total[limit] += costs[places[segment] + n_costly] if n_costly else 0
                                segment, n_costly = segment_of[column], 0
                            n_costly += 1
                total[limit] += costs[places[segment] + n_costly]

    @numba.njit(nogil=True, cache=True)
    def transpose(block):  # type: ignore[no-untyped-def]
        height, width = block.shape
        result = np.empty((width, height), block.dtype)
        for top in range(0, height, 16):
            for left in range(0, width, 16):
                for column in range(left, min(left + 16, width)):
                    for row in range(top, min(top + 16, height)):
                        result[column, row] = block[row, column]
        return result

    @numba.njit(nogil=True, cache=True, fastmath=any_order)
    def dot(a, rows, b, columns):  # type: ignore[no-untyped-def]
        dots = np.zeros(len(rows))
        for pair in range(len(rows)):
            for start in range(0, a.shape[1], CHUNK):
                left = a[rows[pair], start : start + CHUNK]
                right = b[columns[pair], start : start + CHUNK]
                total = 0.0
                for i in range(len(left)):
                    total += np.float64(left[i]) * np.float64(right[i])
                dots[pair] += total
        return dots

    return count, find, add_costs, transpose, dot


try:
    count_above_both, find_between, add_costs, transposed, dot_pairs = _compile()
except ImportError:
    count_above_both, find_between = count_above_both_numpy, find_between_numpy
    add_costs, transposed, dot_pairs = add_costs_numpy, transposed_numpy, dot_pairs_numpy
