"""The loops of `rope.bench.ranking.counting`, compiled with numba; importing this without it raises ImportError.

What makes them fast: counts are kept as wide as the values, so that a loop handles sixteen or more values at once; and
values that are looked at one by one are first found, sixteen at a time, by loops without a branch. Narrow counts are
emptied into wide ones before they can overflow, see `countable`.
"""

from typing import Any

import numba
import numpy as np

from rope.bench.ranking.blocks import (
    CHUNK,
    MAX_COST,
    PADDING,
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
    "add_costs",
    "count_above",
    "count_above_both",
    "count_down",
    "count_down_both",
    "countable",
    "dot_pairs",
    "find_between",
    "transposed",
]

_LANES = 16

_TILE = 16

# Sums of counts and of products may be reordered; no value of a block is NaN.
_ANY_ORDER = {"reassoc", "nsz", "nnan"}


def countable(dtype: np.dtype[Any]) -> int:
    """How far one can count in ones in a type: 32,767 in int16, 16,777,216 in float32.

    >>> countable(np.dtype(np.int16)), countable(np.dtype(np.float32))
    (32767, 16777216)
    """
    return int(np.iinfo(dtype).max) if dtype.kind == "i" else 2 ** (np.finfo(dtype).nmant + 1)


def count_above_both(block: Block, low: Block, high: Block, offsets: IntArray) -> tuple[IntArray, IntArray]:
    """See `rope.bench.ranking.counting.count_above_both_numpy`."""
    return count_above(block, low, high, offsets, countable(block.dtype))


def count_down_both(block: Block, low: Block, high: Block) -> tuple[IntArray, IntArray]:
    """See `rope.bench.ranking.counting.count_down_both_numpy`."""
    return count_down(block, low, high, countable(block.dtype))


def count_above(block: Block, low: Block, high: Block, offsets: IntArray, most: int) -> tuple[IntArray, IntArray]:
    """`count_above_both`, with counts of the block's type that are emptied after `most` columns."""
    one = block.dtype.type(1)
    totals = np.zeros((2, len(low)), np.int64)
    for left in range(0, block.shape[1], most):
        part = block if block.shape[1] <= most else np.ascontiguousarray(block[:, left : left + most])
        totals += _count(part, low, high, offsets, one, one - one)
    return totals[0], totals[1]


def count_down(block: Block, low: Block, high: Block, most: int) -> tuple[IntArray, IntArray]:
    """`count_down_both`, with counts of the block's type that are emptied after `most` rows."""
    totals = np.zeros((2, len(low)), np.int64)
    for top in range(0, len(block), most):
        counts = np.zeros((2, len(low)), block.dtype)
        _count_down(block[top : top + most], low, high, counts, block.dtype.type(1))
        totals += counts.astype(np.int64)
    return totals[0], totals[1]


def find_between(
    block: Block, low: Block, high: Block, offsets: IntArray, wanted: BoolArray
) -> tuple[IntArray, IntArray]:
    """See `rope.bench.ranking.counting.find_between_numpy`."""
    found: tuple[IntArray, IntArray] = _find(_strips(block, PADDING), low, high, offsets, wanted)
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
    """See `rope.bench.ranking.counting.add_costs_numpy`."""
    segments = (prices.segment_of, prices.places, prices.table, prices.drawn)
    left_out: tuple[IntArray, IntArray, IntArray] = _add_costs(
        _strips(block, _LANES), low, high, offsets, segments, own, total, failed
    )
    return left_out


def transposed(block: Block, fill: float) -> Block:
    """See `rope.bench.ranking.counting.transposed_numpy`."""
    result: Block = np.empty((block.shape[1], padded(len(block))), block.dtype)
    result[:, len(block) :] = fill
    _transpose(block, result)
    return result


def dot_pairs(a: Float32Array, rows: IntArray, b: Float32Array, columns: IntArray) -> FloatArray:
    """See `rope.bench.ranking.counting.dot_pairs_numpy`."""
    dots: FloatArray = _dot(a, rows, b, columns)
    return dots


def _strips(block: Block, size: int) -> Block:
    return block.reshape(len(block), block.shape[1] // size, size)


@numba.njit(nogil=True, cache=True, fastmath=_ANY_ORDER)
def _count(block, low, high, offsets, one, zero):  # type: ignore[no-untyped-def]
    above = np.zeros((2, len(low)), np.int64)
    for row in range(block.shape[0]):
        for limit in range(offsets[row], offsets[row + 1]):
            n_low, n_high = zero, zero  # of the type of the block: `countable` bounds its width
            for column in range(block.shape[1]):
                value = block[row, column]
                n_low += one if value > low[limit] else zero
                n_high += one if value > high[limit] else zero
            above[0, limit], above[1, limit] = int(n_low), int(n_high)
    return above


@numba.njit(nogil=True, cache=True, fastmath=_ANY_ORDER)
def _count_down(block, low, high, counts, one):  # type: ignore[no-untyped-def]
    zero = one - one
    n_low, n_high = counts[0], counts[1]
    for row in range(block.shape[0]):
        values = block[row]
        for column in range(len(low)):
            n_low[column] += one if values[column] > low[column] else zero
            n_high[column] += one if values[column] > high[column] else zero


@numba.njit(nogil=True, cache=True, fastmath=_ANY_ORDER)
def _find(strips, low, high, offsets, wanted):  # type: ignore[no-untyped-def]
    limits, columns = [0 for _ in range(0)], [0 for _ in range(0)]
    for row in range(strips.shape[0]):
        for limit in range(offsets[row], offsets[row + 1]):
            if not wanted[limit]:
                continue
            bottom, top = low[limit], high[limit]
            for strip in range(strips.shape[1]):
                values = strips[row, strip]
                is_here = False  # rarely true
                for i in range(PADDING):
                    is_here |= (values[i] > bottom) & (values[i] <= top)
                if is_here:
                    for i in range(PADDING):
                        if bottom < values[i] <= top:
                            limits.append(limit)
                            columns.append(strip * PADDING + i)
    return np.array(limits, np.int64), np.array(columns, np.int64)


@numba.njit(nogil=True, cache=True, fastmath=_ANY_ORDER)
def _add_costs(strips, low, high, offsets, segments, own, total, failed):  # type: ignore[no-untyped-def]
    segment_of, places, table, drawn = segments
    out_limits, out_segments, out_counts = [0 for _ in range(0)], [0 for _ in range(0)], [0 for _ in range(0)]
    hits = np.empty(strips.shape[1] * _LANES, np.int64)
    n_limits = offsets[1:] - offsets[:-1]
    most = n_limits.max() if len(n_limits) else 0
    segment, count = np.empty(most, np.int64), np.empty(most, np.int64)  # where each limit of a row has got to
    is_open = np.empty(most, np.bool_)
    for row in range(strips.shape[0]):
        first, worst = offsets[row], offsets[row + 1] - 1
        while worst >= first and total[worst] >= MAX_COST and not np.any(own[worst] & ~failed[worst]):
            worst -= 1  # whatever comes, its chance is 0
        if worst < first:
            continue
        n_hits = 0
        for strip in range(strips.shape[1]):
            values = strips[row, strip]
            is_here = False  # rarely true
            for i in range(_LANES):
                is_here |= values[i] > low[worst]
            if is_here:
                for i in range(_LANES):
                    hits[n_hits] = strip * _LANES + i
                    n_hits += values[i] > low[worst]
        segment[:], count[:], is_open[:] = -1, 0, False
        for column in hits[:n_hits]:
            value = strips[row, column // _LANES, column % _LANES]
            limit = worst
            while limit >= first and value > low[limit]:
                here = limit - first
                if segment[here] != segment_of[column]:
                    if is_open[here]:
                        out_limits.append(limit)
                        out_segments.append(segment[here])
                        out_counts.append(count[here])
                    elif count[here] and total[limit] < MAX_COST:
                        total[limit] += table[places[segment[here]] + count[here]]
                    segment[here], count[here], is_open[here] = segment_of[column], 0, False
                if value > high[limit]:
                    count[here] += 1
                    for word in range(drawn.shape[1]):
                        failed[limit, word] |= drawn[column, word]
                else:
                    is_open[here] = True
                limit -= 1
        for limit in range(first, worst + 1):
            here = limit - first
            if is_open[here]:
                out_limits.append(limit)
                out_segments.append(segment[here])
                out_counts.append(count[here])
            elif count[here] and total[limit] < MAX_COST:
                total[limit] += table[places[segment[here]] + count[here]]
    return np.array(out_limits, np.int64), np.array(out_segments, np.int64), np.array(out_counts, np.int64)


@numba.njit(nogil=True, cache=True)
def _transpose(block, result):  # type: ignore[no-untyped-def]
    height, width = block.shape[0], result.shape[0]
    whole_height, whole_width = height - height % _TILE, width - width % _TILE
    tile = np.empty((_TILE, _TILE), block.dtype)  # read and written along rows: three times as fast as one loop
    for top in range(0, whole_height, _TILE):
        for left in range(0, whole_width, _TILE):
            for i in range(_TILE):
                for j in range(_TILE):
                    tile[i, j] = block[top + i, left + j]
            for j in range(_TILE):
                for i in range(_TILE):
                    result[left + j, top + i] = tile[i, j]
    for row in range(height):
        for column in range(whole_width if row < whole_height else 0, width):
            result[column, row] = block[row, column]


@numba.njit(nogil=True, cache=True, fastmath=_ANY_ORDER)
def _dot(a, rows, b, columns):  # type: ignore[no-untyped-def]
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
