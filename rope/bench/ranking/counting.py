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
from typing import Any, Final, NamedTuple

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
    "LOOPS",
    "Counted",
    "Loops",
    "Words",
    "add_costs",
    "add_costs_numpy",
    "bits_of",
    "count",
    "count_numpy",
    "counted_from",
    "dot_pairs",
    "dot_pairs_numpy",
    "transposed",
    "transposed_numpy",
]

_PAIR_VALUES: Final = 1 << 20
"""Entries gathered at a time by `dot_pairs_numpy`: 16 MiB of temporaries."""

_LIMITS_AT_A_TIME: Final = 1 << 10
"""Limits of which `add_costs_numpy` holds a number for each product: 8 MiB for 1,024 products."""

_LOADING_PAYS: Final = 1 << 28
"""Numbers that the loops of numpy visit in about the time that loading the compiled ones takes."""


class Words(NamedTuple):
    """Which values exceed some limits, as bits; where nothing in a strip of `PADDING` columns does, no word is needed.

    Attributes:
        limits: int64 [k], the limit of each word.
        strips: int64 [k], the strip; those of one limit ascend.
        bits: uint64 [k].
    """

    limits: IntArray
    strips: IntArray
    bits: BitArray


class Counted(NamedTuple):
    """What a block says of some limits; of a value that may exceed one or not, what is needed to settle that.

    Attributes:
        above: int64 [n_limits], how many values of its row exceed each limit.
        words: of the wanted limits.
        limits: int64 [k], the limit of each open value, in any order.
        rows: int64 [k], its row.
        columns: int64 [k], its column.
        places: int64 [k], the place in `words` of its strip; where its limit is not wanted, -1.
    """

    above: IntArray
    words: Words
    limits: IntArray
    rows: IntArray
    columns: IntArray
    places: IntArray


def count_numpy(
    block: Block, low: Block, high: Block, offsets: IntArray, most: int, wanted: BoolArray
) -> Counted | None:
    """How many values of row i exceed each of its limits, and which may.

    Args:
        block: [n, m], m a multiple of `PADDING`.
        low: [n_limits], of the dtype of the block; a value not above it does not exceed the limit, and
        high: [n_limits], one above it does. Those of row i are `high[offsets[i]:offsets[i + 1]]`.
        offsets: int64 [n + 1], from 0 to n_limits.
        most: how many values in `(low, high]` are few enough to be told one by one.
        wanted: bool [n_limits], the limits of which also the values are told.

    Returns:
        None where more than `most` are in `(low, high]`.

    >>> block = np.repeat(np.float32([[1, 2, 3, -9]]), [1, 1, 1, 61], axis=1)
    >>> low, high, offsets, wanted = np.float32([2, 0]), np.float32([3, 2]), np.array([0, 2]), np.array([False, True])
    >>> counted = count_numpy(block, low, high, offsets, 3, wanted)
    >>> counted.above, counted.words.bits, counted.limits, counted.columns, counted.places
    (array([0, 1]), array([4], dtype=uint64), array([0, 1, 1]), array([2, 0, 1]), array([-1,  0,  0]))
    >>> count_numpy(block, low, high, offsets, 2, wanted)
    """
    above = np.zeros((2, len(low)), np.int64)
    bits = np.zeros((2, np.count_nonzero(wanted), block.shape[1] // PADDING), np.uint64)
    slots, n_limits = np.cumsum(wanted) - 1, np.diff(offsets)
    for rank in range(n_limits.max(initial=0)):
        rows = np.flatnonzero(n_limits > rank)
        at = offsets[rows] + rank
        values = block if len(rows) == len(block) else block[rows]
        for i, limits in enumerate((low, high)):
            is_above = values > limits[at, None]
            above[i, at] = _count_true(is_above)
            bits[i, slots[at[wanted[at]]]] = bits_of(is_above[wanted[at]])
    maybe, sure = above
    if (maybe - sure).sum() > most:
        return None
    return counted_from(sure, bits, wanted, *_find_between(block, low, high, offsets, maybe > sure), offsets)


def counted_from(
    above: IntArray, bits: BitArray, wanted: BoolArray, limits: IntArray, columns: IntArray, offsets: IntArray
) -> Counted:
    """`Counted` from the bits of all strips: uint64 [2, n_wanted, m / 64], of what may exceed a limit and what does."""
    slots, strips = np.nonzero(bits[0])
    places = np.zeros(bits[0].shape, np.int64)
    places[slots, strips] = np.arange(len(slots))
    kept, own = wanted[limits], np.full(len(limits), -1)
    own[kept] = places[(np.cumsum(wanted) - 1)[limits[kept]], columns[kept] // PADDING]
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[limits]
    words = Words(np.flatnonzero(wanted)[slots], strips, bits[1, slots, strips])
    return Counted(above, words, limits, rows, columns, own)


def bits_of(mask: BoolArray) -> BitArray:
    """Rows of booleans as bits, those of column c in word c // 64: uint64 [n, padded m / 64].

    >>> bits_of(np.array([[True, False, True]]))
    array([[5]], dtype=uint64)
    """
    whole = np.zeros((len(mask), padded(mask.shape[1])), np.bool_)
    whole[:, : mask.shape[1]] = mask
    return np.packbits(whole, axis=1, bitorder="little").view("<u8")


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


def _find_between(
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


def add_costs_numpy(words: Words, prices: Prices, own: BitArray, total: IntArray, failed: BitArray) -> BoolArray:
    """Add, for each limit, what the samples above it cost, and note the trials in which one of them is drawn.

    Args:
        words: the samples above each of n limits.
        prices: of the samples.
        own: uint64 [n, n_words]; the only bits that matter in `failed`.
        total: int64 [n]; added to, but ignored once it has reached `MAX_COST`.
        failed: uint64 [n, n_words]; gets the bits of the trials.

    Returns:
        bool [n], the limits to which another sample above may still make a difference.
    """
    starts = np.flatnonzero(np.diff(prices.product, prepend=-1))
    which, slots = np.unique(words.limits, return_inverse=True)
    for first in range(0, len(which), _LIMITS_AT_A_TIME):
        some, here = which[first : first + _LIMITS_AT_A_TIME], slots // _LIMITS_AT_A_TIME == first // _LIMITS_AT_A_TIME
        bits = np.zeros((len(some), padded(len(prices.product)) // PADDING), "<u8")
        bits[slots[here] - first, words.strips[here]] = words.bits[here]
        above = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little", count=len(prices.product)).view(np.bool_)
        n_above = np.add.reduceat(above, starts, axis=1, dtype=np.int64)  # [limits, products]
        total[some] += prices.table[prices.place[starts] + n_above].sum(axis=1)
        for word in range(failed.shape[1]):
            drawn = np.where(above, prices.drawn[:, word], np.uint64(0))
            failed[some, word] |= np.bitwise_or.reduce(drawn, axis=1)
    can_win: BoolArray = np.any(own & ~failed, axis=1)
    return can_win | (total < MAX_COST)


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
        if self.room <= n and self.are_compiled():
            loop = getattr(self._compiled, name)
        else:
            self.room -= min(n, self.room)
            loop = globals()[f"{name}_numpy"]
        return loop  # type: ignore[no-any-return]

    def are_compiled(self) -> bool:
        """Load the compiled loops, which are called from now on; False where numba is not installed."""
        if self._compiled is None:
            try:
                self._compiled = import_module("rope.bench.ranking.counting_numba")
                self.room = 0
            except ImportError:
                self.room = sys.maxsize
        return self._compiled is not None


LOOPS: Final = Loops(_LOADING_PAYS)


def count(block: Block, low: Block, high: Block, offsets: IntArray, most: int, wanted: BoolArray) -> Counted | None:
    """See `count_numpy`."""
    loop = LOOPS.pick("count", block.shape[1] * len(low))
    counted: Counted | None = loop(block, low, high, offsets, most, wanted)
    return counted


def add_costs(words: Words, prices: Prices, own: BitArray, total: IntArray, failed: BitArray) -> BoolArray:
    """See `add_costs_numpy`."""
    loop = LOOPS.pick("add_costs", PADDING * len(words.bits))
    matters: BoolArray = loop(words, prices, own, total, failed)
    return matters


def transposed(block: Block, fill: float) -> Block:
    """See `transposed_numpy`."""
    result: Block = LOOPS.pick("transposed", block.size)(block, fill)
    return result


def dot_pairs(a: Float32Array, rows: IntArray, b: Float32Array, columns: IntArray) -> FloatArray:
    """See `dot_pairs_numpy`."""
    dots: FloatArray = LOOPS.pick("dot_pairs", len(rows) * a.shape[1])(a, rows, b, columns)
    return dots
