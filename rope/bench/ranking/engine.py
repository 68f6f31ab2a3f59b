"""Certified ranks by counting.

The rank of a positive is one more than the number of negatives that are at least as similar to the query. So no list is
sorted and no top-k is kept: each block of the similarity matrix is compared with the similarities of the positives,
known in advance, and forgotten (`rope.bench.ranking.blockwise`).

Blocks are products of float32 numbers, or of 16-bit whole numbers where the processor is faster at these. What their
error bound leaves open is settled in float64, and if need be exactly (see `rope.bench.ranking.similarity`), so the
counts are the true ones whatever the blocks were made with.

A domain in which one product has very many samples has more positives than memory holds: `_plan` says how these are
counted a part at a time. `reduce_pair` and its like hand each part on; `rank_pair` and its like put all together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np

from rope.arrays import BitArray, BoolArray, IntArray
from rope.bench.ranking.backends import Arithmetic, Float32, Int16
from rope.bench.ranking.blockwise import count_blocks
from rope.bench.ranking.counting import LOOPS
from rope.bench.ranking.pair_counts import PairCounts, runs_of
from rope.bench.ranking.records import ComputeSettings, Labelled, PositiveRanks
from rope.bench.ranking.rowwise import reduce_rows

__all__ = [
    "MANY_POSITIVES",
    "ComputeSettings",
    "Labelled",
    "PositiveRanks",
    "rank_one_way",
    "rank_pair",
    "rank_within",
    "reduce_one_way",
    "reduce_pair",
    "reduce_within",
]

T = TypeVar("T")
Reduce = Callable[[PositiveRanks, int], T]
"""What to do with the ranks of some consecutive queries, given the number of the first."""

MANY_POSITIVES: Final = 1024
"""Where positives do not fit in memory, `rope.bench.ranking.rowwise` ranks queries with more of them one by one."""

INT16_PAYS: Final = 1 << 26
"""Comparisons of positives with a gallery from which products of 16-bit numbers are worth loading what they need. It is
the size alone that decides, so that how much is rechecked does not depend on what a process has done before."""

_ENTRY_BYTES: Final = 128
_WORD_BYTES: Final = 24
"""What a positive takes while it is counted, and more for each word of support sets."""

_QUERY_BYTES: Final = 4096
"""What positives may take for each query, beside `ComputeSettings.memory`."""


def reduce_pair(
    reduce: Reduce[T],
    a: Labelled,
    b: Labelled,
    compute: ComputeSettings,
    *,
    best_only: bool = False,
    drawn: tuple[BitArray, BitArray] | None = None,
) -> tuple[list[T], list[T]]:
    """Rank the positives of two domains in both directions, a part at a time.

    Args:
        reduce: called with the ranks of each part; it may drop them. Parts of one direction may share queries, of which
            all but one part then have no positives.
        a: queries of the first result, gallery of the second.
        b: the reverse.
        compute: how to spend the machine.
        best_only: rank only the best positive of each query, in less than half the time: enough for R@k, the
            reciprocal and the median rank.
        drawn: the support sets that the samples of a and of b are in, as bits: uint64 [n, n_words], see
            `one_shot.support_bits`. With it, `PositiveRanks.win_chances` and `PositiveRanks.won` are computed too.

    Returns:
        What was made of the ranks of a's queries in b, and of b's queries in a.

    Raises:
        ValueError: the dimensions differ.
    """
    ways = [_Way.of(a, b, best_only, drawn and drawn[1]), _Way.of(b, a, best_only, drawn and drawn[0])]
    if ways[0].is_ragged:
        return _all_one_by_one(reduce, ways[0], compute), _all_one_by_one(reduce, ways[1], compute)
    plan = _plan(ways, compute)
    if plan.in_bands:
        return _in_parts(reduce, ways[0], plan, compute), _in_parts(reduce, ways[1], plan, compute)
    arithmetics = _choose(compute, ways)
    forward, backward = (way.pair_counts(arithmetics, plan.asked(way)) for way in ways)
    count_blocks(a, b, forward, backward, arithmetics, _share(compute, plan.block_share))
    found = []
    for counts in (forward, backward):
        found.append([reduce(_ranks_of(counts), 0)])
        counts.forget()
    for way, parts in zip(ways, found, strict=True):
        parts.extend(_one_by_one(reduce, way, plan, compute))
    return found[0], found[1]


def reduce_one_way(
    reduce: Reduce[T],
    queries: Labelled,
    gallery: Labelled,
    compute: ComputeSettings,
    *,
    best_only: bool = False,
    drawn: BitArray | None = None,
    asked: BoolArray | None = None,
) -> list[T]:
    """Rank the positives of the queries in the gallery, a part at a time, like the first result of `reduce_pair`.

    Where `asked` is given, bool [n_queries], the other queries have no positives.
    """
    way = _Way.of(queries, gallery, best_only, drawn, asked=asked)
    if way.is_ragged:
        return _all_one_by_one(reduce, way, compute)
    return _in_parts(reduce, way, _plan([way], compute), compute)


def reduce_within(
    reduce: Reduce[T],
    a: Labelled,
    compute: ComputeSettings,
    queries: Labelled | None = None,
    asked: BoolArray | None = None,
) -> list[T]:
    """Rank the positives of a domain within itself, a part at a time; a query is not part of its own gallery.

    Where it is one part, only the blocks on and above the diagonal of the symmetric similarity matrix are computed.

    Args:
        reduce: as for `reduce_pair`.
        a: the gallery.
        compute: how to spend the machine.
        queries: the same samples with the vectors that they have as queries; None where these are those of `a`.
        asked: as for `reduce_one_way`.
    """
    way = _Way.of(queries or a, a, best_only=False, drawn=None, is_within=True, asked=asked)
    if way.is_ragged:
        return _all_one_by_one(reduce, way, compute)
    plan = _plan([way], compute)
    if plan.in_bands or queries is not None or asked is not None:
        return _in_parts(reduce, way, plan, compute)
    arithmetics = _choose(compute, [way])
    counts = way.pair_counts(arithmetics, plan.asked(way))
    count_blocks(a, a, counts, counts, arithmetics, _share(compute, plan.block_share))
    parts = [reduce(_ranks_of(counts), 0)]
    counts.forget()
    return [*parts, *_one_by_one(reduce, way, plan, compute)]


def rank_pair(
    a: Labelled,
    b: Labelled,
    compute: ComputeSettings,
    *,
    best_only: bool = False,
    drawn: tuple[BitArray, BitArray] | None = None,
) -> tuple[PositiveRanks, PositiveRanks]:
    """All ranks of `reduce_pair` at once, which takes memory for each positive unless `best_only`."""
    forward, backward = reduce_pair(_keep, a, b, compute, best_only=best_only, drawn=drawn)
    return _joined(len(a), forward), _joined(len(b), backward)


def rank_one_way(
    queries: Labelled,
    gallery: Labelled,
    compute: ComputeSettings,
    *,
    best_only: bool = False,
    drawn: BitArray | None = None,
) -> PositiveRanks:
    """All ranks of `reduce_one_way` at once."""
    return _joined(len(queries), reduce_one_way(_keep, queries, gallery, compute, best_only=best_only, drawn=drawn))


def rank_within(a: Labelled, compute: ComputeSettings) -> PositiveRanks:
    """All ranks of `reduce_within` at once."""
    return _joined(len(a), reduce_within(_keep, a, compute))


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """One direction: queries, their gallery, and how many positives each has, itself left out if `is_within`.

    Queries that are not `asked` count as without positives.
    """

    queries: Labelled
    gallery: Labelled
    n_positives: IntArray
    best_only: bool
    drawn: BitArray | None
    is_within: bool
    asked: BoolArray

    @classmethod
    def of(
        cls,
        queries: Labelled,
        gallery: Labelled,
        best_only: bool,
        drawn: BitArray | None,
        is_within: bool = False,
        asked: BoolArray | None = None,
    ) -> "_Way":
        if queries.vectors.dim != gallery.vectors.dim:
            raise ValueError(f"dimensions differ: {queries.vectors.dim} and {gallery.vectors.dim}")
        first, last = (np.searchsorted(gallery.products, queries.products, side) for side in ("left", "right"))
        asked = np.ones(len(queries), np.bool_) if asked is None else asked
        n_positives = np.where(asked, last - first - is_within, 0)
        return cls(queries, gallery, n_positives, best_only, drawn, is_within, asked)

    @property
    def is_ragged(self) -> bool:
        """Whether a sample may have many vectors or none."""
        return self.queries.vectors.offsets is not None or self.gallery.vectors.offsets is not None

    @property
    def n_entries(self) -> IntArray:
        """Positives of each query that are counted."""
        return np.minimum(self.n_positives, 1) if self.best_only else self.n_positives

    def pair_counts(
        self, arithmetics: Sequence[Arithmetic], asked: BoolArray, start: int = 0, stop: int | None = None
    ) -> PairCounts:
        """For the queries `start:stop`, those of them that are requested."""
        queries = self.queries.part(start, len(self.queries) if stop is None else stop)
        return PairCounts(
            queries.vectors,
            queries.products,
            self.gallery.vectors,
            self.gallery.products,
            arithmetics,
            place=start if self.is_within else None,
            asked=asked[start:stop],
            best_only=self.best_only,
            drawn=self.drawn,
        )


@dataclass(frozen=True, slots=True)
class _Plan:
    """How positives are counted so that memory holds them.

    Attributes:
        room: positives counted at a time.
        one_by_one: whether queries with more than `MANY_POSITIVES` are ranked one by one.
        in_bands: whether the others are too many for one pass over all similarities, in both directions at once.
        block_share: the share of the positives that is counted in blocks; used only for progress.
    """

    room: int
    one_by_one: bool
    in_bands: bool
    block_share: float

    def asked(self, way: _Way) -> BoolArray:
        """The queries whose positives are counted in blocks."""
        return way.asked & (way.n_entries <= MANY_POSITIVES) if self.one_by_one else way.asked

    def one_by_one_of(self, way: _Way) -> IntArray:
        """The queries that are ranked one by one."""
        return np.flatnonzero(way.asked & ~self.asked(way))


def _plan(ways: Sequence[_Way], compute: ComputeSettings) -> _Plan:
    """One pass where memory holds all positives; else without the queries that have most; else in bands of queries."""
    n_words = max(0 if way.drawn is None else way.drawn.shape[1] for way in ways)
    n_queries = sum(len(way.queries) for way in ways)
    room = (compute.memory + _QUERY_BYTES * n_queries) // (_ENTRY_BYTES + _WORD_BYTES * n_words)
    n_entries = [way.n_entries for way in ways]
    total = sum(int(n.sum()) for n in n_entries)
    few = sum(int(n[n <= MANY_POSITIVES].sum()) for n in n_entries)
    one_by_one = total > room
    return _Plan(room, one_by_one, one_by_one and few > room, few / total if one_by_one else 1.0)


def _in_parts(reduce: Reduce[T], way: _Way, plan: _Plan, compute: ComputeSettings) -> list[T]:
    """Rank one direction, band by band, and then the queries that have most positives."""
    arithmetics = _choose(compute, [way])
    asked = plan.asked(way)
    found = []
    first, last = (int(rows[0]), int(rows[-1]) + 1) if len(rows := np.flatnonzero(asked)) else (0, 0)
    for start, stop in runs_of(np.where(asked, way.n_entries, 0)[first:last], plan.room):
        start, stop = first + start, first + stop
        counts = way.pair_counts(arithmetics, asked, start, stop)
        band = way.queries.part(start, stop)
        count_blocks(band, way.gallery, counts, None, arithmetics, _share(compute, plan.block_share / 2))
        found.append(reduce(_ranks_of(counts), start))
    return [*found, *_one_by_one(reduce, way, plan, compute)]


def _one_by_one(reduce: Reduce[T], way: _Way, plan: _Plan, compute: ComputeSettings) -> list[T]:
    if not len(rows := plan.one_by_one_of(way)):
        return []
    share = (1 - plan.block_share) / 2 * len(way.queries) / max(len(rows), 1)
    return reduce_rows(
        reduce, way.queries, rows, way.gallery, _share(compute, share), drawn=way.drawn, is_within=way.is_within
    )


def _all_one_by_one(reduce: Reduce[T], way: _Way, compute: ComputeSettings) -> list[T]:
    """Rank one direction query by query, where samples have any number of vectors."""

    def shortened(ranks: PositiveRanks, first: int) -> T:
        return reduce(_best_of(ranks) if way.best_only else ranks, first)

    rows = np.flatnonzero(way.n_positives)
    if not len(rows):
        return [reduce(_no_ranks(way), 0)]
    # Another pass over the same similarities serves the other direction, and half the progress is due to each.
    compute = _share(compute, len(way.queries) / len(rows) / 2)
    return reduce_rows(shortened, way.queries, rows, way.gallery, compute, drawn=way.drawn, is_within=way.is_within)


def _no_ranks(way: _Way) -> PositiveRanks:
    nothing, n = np.zeros(0, np.int64), len(way.queries)
    if way.drawn is None:
        return PositiveRanks(np.zeros(n + 1, np.int64), nothing, nothing, 0)
    won = np.zeros((n, way.drawn.shape[1]), np.uint64)
    return PositiveRanks(np.zeros(n + 1, np.int64), nothing, nothing, 0, np.zeros(0), won)


def _best_of(ranks: PositiveRanks) -> PositiveRanks:
    """The best positive of each query alone; each has one."""
    first = ranks.offsets[:-1]
    win_chances = None if ranks.win_chances is None else ranks.win_chances[first]
    return PositiveRanks(
        np.arange(len(first) + 1),
        ranks.above[first],
        ranks.above_optimistic[first],
        ranks.n_rechecked,
        win_chances,
        ranks.won,
    )


def _share(compute: ComputeSettings, share: float) -> ComputeSettings:
    """The same, with as much progress told as is due to a part of the work."""
    return compute if share == 1 else replace(compute, advance=lambda n: compute.advance(int(n * share)))


def _choose(compute: ComputeSettings, ways: Sequence[_Way]) -> Sequence[Arithmetic]:
    """On an accelerator, bfloat16 leaves open too much of the crowd of negatives among the lesser positives."""
    if compute.arithmetics is not None:
        return compute.arithmetics
    if compute.device != "cpu":
        from rope.bench.ranking.torch_backend import OnDevice  # brings torch

        coarse = [OnDevice(compute.device, "bfloat16")] if ways[0].best_only else []
        return [*coarse, OnDevice(compute.device)]
    n_compared = sum(int(way.n_entries.sum()) * len(way.gallery) for way in ways)
    if n_compared >= INT16_PAYS and LOOPS.are_compiled():
        from rope.bench.ranking.product_numba import IS_FAST  # brings numba

        if IS_FAST:
            return [Int16.of(ways[0].queries.vectors, ways[0].gallery.vectors), Float32()]
    return [Float32()]


def _ranks_of(counts: PairCounts) -> PositiveRanks:
    return PositiveRanks(
        counts.offsets, counts.above, counts.above_optimistic, counts.n_rechecked, counts.win_chances(), counts.won()
    )


def _keep(ranks: PositiveRanks, first: int) -> tuple[PositiveRanks, int]:
    return ranks, first


def _joined(n_queries: int, parts: Sequence[tuple[PositiveRanks, int]]) -> PositiveRanks:
    """The ranks of all queries from those of some, each part with the number of its first query."""
    if len(parts) == 1:
        return parts[0][0]
    n_positives = np.zeros(n_queries, np.int64)
    for ranks, first in parts:
        n_positives[first : first + len(ranks.offsets) - 1] += np.diff(ranks.offsets)
    offsets = np.concatenate([[0], np.cumsum(n_positives)])
    above, above_optimistic = np.zeros((2, offsets[-1]), np.int64)
    win_chances = None if parts[0][0].win_chances is None else np.zeros(offsets[-1])
    won = None if parts[0][0].won is None else np.zeros((n_queries, parts[0][0].won.shape[1]), np.uint64)
    for ranks, first in parts:
        n = len(ranks.offsets) - 1
        shift = np.repeat(offsets[first : first + n] - ranks.offsets[:-1], np.diff(ranks.offsets))
        places = np.arange(len(ranks.above)) + shift
        above[places], above_optimistic[places] = ranks.above, ranks.above_optimistic
        if win_chances is not None and ranks.win_chances is not None:
            win_chances[places] = ranks.win_chances
        if won is not None and ranks.won is not None:
            won[first : first + n] |= ranks.won
    return PositiveRanks(
        offsets, above, above_optimistic, sum(ranks.n_rechecked for ranks, _ in parts), win_chances, won
    )
