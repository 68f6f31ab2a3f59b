"""Queries with very many positives, or samples with many vectors or none, one query a time: a row of numbers.

The whole gallery is a row of similarities, which is sorted and forgotten.

Comparing each of P positives with each of N negatives takes P · N steps, and keeping what was counted for each takes
memory; finding where each negative falls among the sorted positives takes N · log P, and what comes of a query is
handed on before the next. Similarities are float64, and what these leave open is settled in whole numbers, so the
ranks are those of `rope.bench.ranking.blockwise`.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from rope.arrays import BitArray, FloatArray, IntArray
from rope.bench.ranking.blocks import MAX_COST
from rope.bench.ranking.maxsim import CoarseMaxsim, MaxsimOnHost, equivalent_rows, exact_maxsim, maxsim_bound
from rope.bench.ranking.one_shot_expectation import Costs, win_chances
from rope.bench.ranking.places import Places, places_of
from rope.bench.ranking.records import ComputeSettings, Labelled, PositiveRanks
from rope.bench.ranking.similarity import Vectors, exact_cosine, float64_matrix

__all__ = ["reduce_rows"]

T = TypeVar("T")

_ROW_BYTES: Final = 128
"""Bytes of temporaries for each gallery sample while one query is ranked."""

_MOST_ROWS: Final = 64
"""Queries whose similarities are computed at a time, so that the gallery is not read for each."""

_STEP: Final = 2048
"""Gallery samples that are widened to float64 at a time."""


def reduce_rows(
    reduce: Callable[[PositiveRanks, int], T],
    queries: Labelled,
    asked: IntArray,
    gallery: Labelled,
    compute: ComputeSettings,
    *,
    drawn: BitArray | None = None,
    is_within: bool = False,
) -> list[T]:
    """Rank some queries in a gallery, a few at a time, and keep what `reduce` makes of the ranks.

    Args:
        reduce: called from the workers, with the ranks of a few queries side by side and the number of the first.
        queries: all of them.
        asked: int64, ascending; the queries to rank.
        gallery: what they are ranked in.
        compute: how to spend the machine.
        drawn: see `engine.rank_one_way`.
        is_within: the queries are the gallery, and each is left out of its own.

    Returns:
        In the order of the queries.
    """
    n_workers = max(1, min(compute.n_threads, compute.memory // (_ROW_BYTES * len(gallery) + 1)))
    height = (compute.memory // n_workers - _ROW_BYTES * len(gallery)) // (40 * len(gallery) + 1)
    height = min(max(1, height), _MOST_ROWS)
    ranker = _Ranker.of(queries, gallery, drawn, is_within)
    room = compute.memory // n_workers
    if queries.vectors.offsets is not None or gallery.vectors.offsets is not None:
        ranker = replace(ranker, coarse=_coarse(gallery.vectors, compute, room), memory=room)

    def work(top: int, bottom: int) -> T:
        result = reduce(ranker.rank(top, bottom), top)
        compute.advance((bottom - top) * len(gallery))
        return result

    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(n_workers) as pool:
        return list(pool.map(lambda part: work(*part), _parts(asked, queries.products, height)))


def _parts(asked: IntArray, products: IntArray, height: int) -> Iterator[tuple[int, int]]:
    """Runs of at most `height` neighbours of one product.

    >>> list(_parts(np.array([1, 2, 3, 5]), np.array([0, 0, 0, 4, 4, 4]), 2))
    [(1, 3), (3, 4), (5, 6)]
    """
    start = 0
    while start < len(asked):
        stop = start + 1
        while (
            stop < len(asked)
            and stop - start < height
            and asked[stop] == asked[stop - 1] + 1
            and products[asked[stop]] == products[asked[start]]
        ):
            stop += 1
        yield int(asked[start]), int(asked[stop - 1]) + 1
        start = stop


def _coarse(gallery: Vectors, compute: ComputeSettings, memory: int) -> CoarseMaxsim:
    if compute.device == "cpu":
        return MaxsimOnHost(gallery, memory)
    from rope.bench.ranking.maxsim_torch import MaxsimOnDevice  # brings torch

    return MaxsimOnDevice(gallery, compute.device, memory)


@dataclass(frozen=True, slots=True, eq=False)
class _Prices:
    """What the gallery costs, sample by sample, see `rope.bench.ranking.one_shot_expectation`.

    Attributes:
        segments: int64 [n], the number of each sample's product.
        steps: float64 [n], what the product costs with as many samples above as come up to this one, less what it
            costs with one fewer; whole numbers.
        drawn: uint64 [n, n_words].
        ever_drawn: int64, the samples that are in a support set.
    """

    segments: IntArray
    steps: FloatArray
    drawn: BitArray
    ever_drawn: IntArray

    @classmethod
    def of(cls, products: IntArray, drawn: BitArray) -> "_Prices":
        costs = Costs.of(products, drawn)
        starts = np.flatnonzero(np.diff(costs.product, prepend=-1))
        last = costs.place + np.arange(1, len(products) + 1) - starts[costs.product]
        steps = (costs.table[last] - costs.table[last - 1]).astype(np.float64)
        return cls(costs.product, steps, drawn, np.flatnonzero(drawn.any(axis=1)))


@dataclass(frozen=True, slots=True, eq=False)
class _Ranker:
    """Ranks the positives of a query in the gallery; arguments as of `reduce_rows`.

    Attributes:
        reach: what two similarities can be off by together, and the rounding of their sum with a tie.
        coarse: where samples have any number of vectors, what finds their similarities; None where each has one.
    """

    queries: Labelled
    gallery: Labelled
    prices: _Prices | None
    is_within: bool
    reach: float
    coarse: CoarseMaxsim | None = None
    memory: int = 1 << 26

    @classmethod
    def of(cls, queries: Labelled, gallery: Labelled, drawn: BitArray | None, is_within: bool) -> "_Ranker":
        prices = None if drawn is None else _Prices.of(gallery.products, drawn)
        offsets = queries.vectors.offsets
        most = 1 if offsets is None else int(np.diff(offsets).max(initial=0))
        return cls(queries, gallery, prices, is_within, 2 * maxsim_bound(queries.vectors.dim, most) + 2.0**-50)

    def rank(self, top: int, bottom: int) -> PositiveRanks:
        """The ranks of the queries `top:bottom`, which are of one product."""
        first, last = np.searchsorted(
            self.gallery.products, [self.queries.products[top], self.queries.products[top] + 1]
        )
        cosines = self._similarities(top, bottom, (int(first), int(last)))
        n = int(last - first) - self.is_within
        above, above_optimistic = np.empty((2, len(cosines), n), np.int64)
        chances = None if self.prices is None else np.empty((len(cosines), n))
        won = None if self.prices is None else np.zeros((len(cosines), self.prices.drawn.shape[1]), np.uint64)
        n_rechecked = 0
        for i, row in enumerate(cosines):
            one = _Row.of(self, top + i, row, int(first), int(last))
            n_rechecked += one.places.n_open
            above[i], above_optimistic[i] = one.places.above, one.places.above_optimistic
            if self.prices is not None and chances is not None and won is not None:
                chances[i] = one.chances(self.prices)
                won[i] = one.won(self.prices)
        return PositiveRanks(
            offsets=np.arange(len(cosines) + 1) * n,
            above=above.ravel(),
            above_optimistic=above_optimistic.ravel(),
            n_rechecked=n_rechecked,
            win_chances=None if chances is None else chances.ravel(),
            won=won,
        )

    def _similarities(self, top: int, bottom: int, own: tuple[int, int]) -> FloatArray:
        """float64 [bottom - top, n_gallery]; `own` are the first gallery sample of the product and the one after."""
        if self.coarse is not None:
            queries = self.queries.vectors.part(top, bottom)
            return equivalent_rows(queries, self.gallery.vectors, own, self.coarse, self.memory)
        cosines = np.empty((bottom - top, len(self.gallery)))
        for left in range(0, len(self.gallery), _STEP):
            columns = slice(left, min(left + _STEP, len(self.gallery)))
            cosines[:, columns] = float64_matrix(
                self.queries.vectors, slice(top, bottom), self.gallery.vectors, columns
            )
        return cosines

    def exact(self, query: int, column: int) -> Decimal:
        """The similarity of a query with a gallery sample in whole numbers."""
        queries, gallery = self.queries.vectors, self.gallery.vectors
        if self.coarse is None:
            return exact_cosine(queries.raw[query], gallery.raw[column])
        return exact_maxsim(queries.part(query, query + 1), gallery.part(column, column + 1))


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """One query.

    Attributes:
        columns: int64 [P], its positives in the gallery, best first.
        first: the first gallery sample of its product.
        last: the one after the last.
        places: of the N negatives among the positives, in the order of the gallery.
    """

    columns: IntArray
    first: int
    last: int
    places: Places

    @classmethod
    def of(cls, ranker: _Ranker, query: int, cosines: FloatArray, first: int, last: int) -> "_Row":
        columns = np.arange(first, last)
        if ranker.is_within:
            columns = columns[columns != query]
        columns = columns[np.argsort(-cosines[columns])]
        places = places_of(
            cosines[columns],
            np.concatenate([cosines[:first], cosines[last:]]),
            ranker.reach,
            lambda i: ranker.exact(query, int(columns[i])),
            lambda j: ranker.exact(query, j if j < first else j + last - first),
        )
        return cls(columns, first, last, places)

    def chances(self, prices: _Prices) -> FloatArray:
        """For each positive, best first, its chance to win, see `records.PositiveRanks.win_chances`: float64 [P].

        The negatives of a product come into play one after the other, best first, each at a step more.
        """
        n = len(self.columns)
        segments, steps = (
            np.concatenate([of[: self.first], of[self.last :]]) for of in (prices.segments, prices.steps)
        )
        keys = segments * (n + 1) + self.places.against
        keys.sort()
        # float64 adds whole numbers exactly up to 2^53, and above MAX_COST a chance is 0 anyway.
        costs = np.cumsum(np.bincount(keys - segments * (n + 1), weights=steps, minlength=n + 1)[:-1])
        n_alive = int(np.searchsorted(costs, MAX_COST))
        found = np.zeros(n)
        found[:n_alive] = win_chances(costs[:n_alive].astype(np.int64))
        return found

    def won(self, prices: _Prices) -> BitArray:
        """The support sets in which the product wins, see `engine.PositiveRanks.won`: uint64 [n_words]."""
        drawn = prices.ever_drawn
        drawn = drawn[(drawn < self.first) | (drawn >= self.last)]
        places = self.places.against[np.where(drawn < self.first, drawn, drawn - (self.last - self.first))]
        failed = np.zeros((len(self.columns) + 1, prices.drawn.shape[1]), np.uint64)
        np.bitwise_or.at(failed, places, prices.drawn[drawn])
        np.bitwise_or.accumulate(failed, axis=0, out=failed)
        wins: BitArray = np.bitwise_or.reduce(prices.drawn[self.columns] & ~failed[:-1], axis=0)
        return wins
