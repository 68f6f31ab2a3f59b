"""The loops of `rope.bench.ranking.counting`, compiled with numba; importing this without it raises ImportError.

What makes them fast: the `PADDING` values of a strip are compared with a limit at once, and those above it are the bits
of a word. Limits are visited from the lowest up, and no further than one that nothing in the strip is above.
"""

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
from rope.bench.ranking.counting import Counted, Words
from rope.bench.ranking.vectors_numba import SIDE, above, compiled, first_bit, n_bits, transpose_tile

__all__ = ["add_costs", "count", "dot_pairs", "transposed"]


def count(block: Block, low: Block, high: Block, offsets: IntArray, most: int, wanted: BoolArray) -> Counted | None:
    """See `rope.bench.ranking.counting.count_numpy`."""
    n_above, n_open, is_open, n_words, words, bits = _count(block, low, high, offsets, most, wanted)
    if n_open > most:
        return None
    return Counted(n_above, Words(words[0, :n_words], words[1, :n_words], bits[:n_words]), *is_open[:, :n_open])


def add_costs(words: Words, prices: Prices, own: BitArray, total: IntArray, failed: BitArray) -> BoolArray:
    """See `rope.bench.ranking.counting.add_costs_numpy`."""
    matters: BoolArray = _add_costs(
        *words, prices.product, prices.place, prices.table, prices.drawn, own, total, failed
    )
    return matters


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


@compiled()
def _count(block, low, high, offsets, most, wanted):
    n_strips, n_above = block.shape[1] // PADDING, np.zeros(len(low), np.int64)
    is_open, n_open = np.empty((4, most), np.int64), 0
    most_words = n_strips * np.sum(wanted)
    words, bits, n_words = np.empty((2, most_words), np.int64), np.empty(most_words, np.uint64), 0
    for row in range(len(block)):
        for strip in range(n_strips if offsets[row] < offsets[row + 1] else 0):
            for limit in range(offsets[row + 1] - 1, offsets[row] - 1, -1):
                maybe = above(block, row, strip, low[limit])
                if maybe == 0:
                    break
                sure = above(block, row, strip, high[limit])
                n_above[limit] += n_bits(sure)
                if wanted[limit]:
                    words[0, n_words], words[1, n_words], bits[n_words] = limit, strip, sure
                    n_words += 1
                unsure = maybe & ~sure
                while unsure:
                    if n_open == most:
                        return n_above, most + 1, is_open, n_words, words, bits
                    column = strip * PADDING + first_bit(unsure)
                    is_open[0, n_open], is_open[1, n_open], is_open[2, n_open] = limit, row, column
                    is_open[3, n_open] = n_words - 1 if wanted[limit] else -1
                    n_open += 1
                    unsure &= unsure - np.uint64(1)
    return n_above, n_open, is_open, n_words, words, bits


@compiled()
def _add_costs(limits, strips, bits, product, place, table, drawn, own, total, failed):
    # Of each limit, the product of the sample seen last, its place in the table, and what it costs so far.
    current, last, cost = np.full(len(total), -1), np.zeros(len(total), np.int64), np.zeros(len(total), np.int64)
    matters = np.zeros(len(total), np.bool_)
    for i in range(len(bits)):
        limit, word = limits[i], bits[i]
        while word:
            sample = strips[i] * PADDING + first_bit(word)
            word &= word - np.uint64(1)
            if product[sample] != current[limit]:
                total[limit] += cost[limit]
                current[limit], last[limit] = product[sample], place[sample]
            last[limit] += 1
            cost[limit] = table[last[limit]]
            for trials in range(drawn.shape[1]):
                failed[limit, trials] |= drawn[sample, trials]
    for limit in range(len(total)):
        total[limit] += cost[limit]
        matters[limit] = total[limit] < MAX_COST
        for trials in range(own.shape[1]):
            matters[limit] |= own[limit, trials] & ~failed[limit, trials] != 0
    return matters


@compiled()
def _transpose(block, result):
    height, width = block.shape[0], result.shape[0]
    whole_height, whole_width = height - height % SIDE, width - width % SIDE
    for top in range(0, whole_height, SIDE):
        for left in range(0, whole_width, SIDE):
            transpose_tile(block, top, left, result)
    for row in range(height):
        for column in range(whole_width if row < whole_height else 0, width):
            result[column, row] = block[row, column]


@compiled(fastmath={"reassoc", "nsz", "nnan"})
def _dot(a, rows, b, columns):
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
