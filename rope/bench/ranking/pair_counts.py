"""Pair counts of one direction of a pair: for each positive of each query, the negatives before it."""

from collections.abc import Sequence
from decimal import Decimal
from threading import Lock
from typing import Any, Final, NamedTuple

import numpy as np

from rope.arrays import BitArray, BoolArray, FloatArray, IntArray
from rope.bench.ranking import counting
from rope.bench.ranking.backends import Arithmetic, Limits
from rope.bench.ranking.blocks import MAX_COST, PADDING, padded
from rope.bench.ranking.one_shot_expectation import Costs, win_chances
from rope.bench.ranking.similarity import TIE, Vectors, exact_cosine, float64_bound, float64_matrix, float64_pairs

__all__ = ["CountOfProduct", "PairCounts", "best_first", "runs_of"]


_DENSE_SHARE: Final = 0.02
"""Above this share of open comparisons, a block is computed again in the next arithmetic instead of pair by pair."""

_TIE: Final = Decimal("1e-12")

_PIECE: Final = 1 << 18
"""Similarities handled at a time in float64: about 16 MiB of temporaries."""

_ENTRIES: Final = 1 << 16
"""Entries whose bits are held at a time: 8 MiB for a block of 960 columns."""

_MANY: Final = 1024
"""Positives of a query from which the best is found by a matrix product."""


class _Compared(NamedTuple):
    """What a block has for some queries: for each of their entries, the negatives before it.

    Of the wanted entries, `words` has the gallery samples at least as similar.
    """

    above: IntArray
    above_optimistic: IntArray
    n_open: int
    words: counting.Words


class PairCounts:
    """Counts for the queries of one domain against the gallery of another.

    An entry is a positive of a query; the entries of query q are `offsets[q]:offsets[q + 1]`, best first.

    Attributes:
        offsets: int64 [n_queries + 1].
        columns: int64 [n_entries], the gallery sample that each entry is.
        similarities: float64 [n_entries], of each query with its positives, descending.
        above: int64 [n_entries], negatives at least as similar as the positive, so far.
        above_optimistic: int64 [n_entries], negatives strictly more similar, so far.
        costs: int64 [n_entries], see `rope.bench.ranking.one_shot_expectation`; zeros where it was not requested.
        failed: uint64 [n_entries, n_words]; bit t is set if support set t holds a sample, of another product than the
            query's, that is at least as similar. Of the bits, only those count for which the entry itself is drawn.
        n_rechecked: comparisons that were left open and settled one by one, so far.
    """

    def __init__(
        self,
        queries: Vectors,
        query_products: IntArray,
        gallery: Vectors,
        gallery_products: IntArray,
        arithmetics: Sequence[Arithmetic],
        *,
        place: int | None = None,
        asked: BoolArray | None = None,
        best_only: bool = False,
        drawn: BitArray | None = None,
    ) -> None:
        """Measure the positives.

        Args:
            queries: n_queries vectors.
            query_products: int64 [n_queries], ascending.
            gallery: n_gallery vectors.
            gallery_products: int64 [n_gallery], ascending.
            arithmetics: that blocks may be made in.
            place: where the first query stands in the gallery, if queries are part of it and each is left out of its
                own; None if they are not.
            asked: bool [n_queries], the queries that have entries; None for all.
            best_only: take only the best positive of each query.
            drawn: uint64 [n_gallery, n_words], see `win_chances.Costs`; None to leave costs and draws alone.
        """
        self._queries, self._gallery, self._place = queries, gallery, place
        self._first: IntArray = np.searchsorted(gallery_products, query_products, side="left")
        self._last: IntArray = np.searchsorted(gallery_products, query_products, side="right")
        n_positives = self._last - self._first - (place is not None)
        if asked is not None:
            n_positives = np.where(asked, n_positives, 0)
        self.offsets: IntArray = np.concatenate([[0], np.cumsum(n_positives > 0 if best_only else n_positives)])
        self.columns: IntArray = np.empty(self.offsets[-1], np.int64)
        self.similarities: FloatArray = np.empty(self.offsets[-1])
        self._measure(n_positives, best_only)
        n_entries = len(self.columns)
        self.above: IntArray = np.zeros(n_entries, np.int64)
        self.above_optimistic: IntArray = np.zeros(n_entries, np.int64)
        self.n_rechecked = 0

        self._costs = None if drawn is None else Costs.of(gallery_products, drawn)
        words = 0 if drawn is None else drawn.shape[1]
        self.costs: IntArray = np.zeros(n_entries, np.int64)
        self.failed: BitArray = np.zeros((n_entries, words), np.uint64)
        self._own: BitArray = self.failed if drawn is None else drawn[self.columns]
        # Whether an entry has a chance left, or a trial that it has not failed in.
        self._matters: BoolArray = np.full(n_entries, drawn is not None)

        # What two float64 similarities and the rounding of a limit can be off by together.
        self._reach = 2 * float64_bound(queries.dim) + 2.0**-50
        self._limits = {id(arithmetic): self._limits_in(arithmetic) for arithmetic in arithmetics}
        self._exact: dict[tuple[int, int], Decimal] = {}
        self._lock = Lock()

    def _measure(self, n_positives: IntArray, best_only: bool) -> None:
        """The positives of every query and their similarities, best first, for some queries at a time."""
        n_candidates = self._last - self._first
        by_matrix = (n_candidates >= _MANY) & best_only & (self._place is None)
        for start, stop in runs_of(np.where(by_matrix, 0, n_candidates), _PIECE):
            queries = start + np.flatnonzero((n_positives[start:stop] > 0) & ~by_matrix[start:stop])
            self._measure_pairs(queries, n_candidates[queries], best_only)
        queries = np.flatnonzero(by_matrix & (n_positives > 0))
        starts = np.flatnonzero(np.diff(self._first[queries], prepend=-1))
        for of_product in np.split(queries, starts[1:]) if len(queries) else []:
            for start in range(0, len(of_product), 256):
                self._find_best(of_product[start : start + 256])

    def _measure_pairs(self, queries: IntArray, n_candidates: IntArray, best_only: bool) -> None:
        """The positives of these queries, pair by pair; the query itself is among the candidates if it has a place."""
        rows = np.repeat(queries, n_candidates)
        starts = np.cumsum(n_candidates) - n_candidates
        columns = np.arange(len(rows)) + np.repeat(self._first[queries] - starts, n_candidates)
        if self._place is not None:
            others = rows + self._place != columns
            rows, columns = rows[others], columns[others]
        similarities = float64_pairs(self._queries, rows, self._gallery, columns)
        order = best_first(similarities, rows)
        if best_only:
            order = order[np.flatnonzero(np.diff(rows, prepend=-1))]  # rows ascend in either order
        if len(order):
            runs_on = slice(self.offsets[queries[0]], self.offsets[queries[-1] + 1])
            entries = self.offsets[queries] if best_only else runs_on
            self.columns[entries], self.similarities[entries] = columns[order], similarities[order]

    def _find_best(self, queries: IntArray) -> None:
        """The best positive of each of these queries of one product."""
        rows = slice(int(queries[0]), int(queries[-1]) + 1)
        best = np.full(rows.stop - rows.start, -np.inf)
        columns = np.zeros(len(best), np.int64)
        step = _PIECE // 256
        for left in range(int(self._first[rows.start]), int(self._last[rows.start]), step):
            stop = min(left + step, int(self._last[rows.start]))
            cosines = float64_matrix(self._queries, rows, self._gallery, slice(left, stop))
            at = cosines.argmax(axis=1)
            found = cosines[np.arange(len(at)), at]
            columns = np.where(found > best, left + at, columns)
            best = np.maximum(found, best)
        entries = self.offsets[queries]
        self.columns[entries], self.similarities[entries] = columns[queries - rows.start], best[queries - rows.start]

    @property
    def has_costs(self) -> bool:
        """Whether costs were requested."""
        return self._costs is not None

    def has_entries(self, start: int, stop: int) -> bool:
        """Whether one of the queries `start:stop` has an entry."""
        return bool(self.offsets[stop] > self.offsets[start])

    def _limits_in(self, arithmetic: Arithmetic) -> tuple[Limits, Limits]:
        slack = arithmetic.bound(self._queries.dim) + self._reach + TIE
        return arithmetic.limits(self.similarities - slack, self.similarities + slack)

    def add(
        self,
        arithmetic: Arithmetic,
        block: Any,  # noqa: ANN401
        rows: tuple[int, int],
        columns: tuple[int, int],
        *,
        mirrored: bool = False,
    ) -> bool:
        """Count one block, unless it leaves too much open.

        Args:
            arithmetic: that the block was made with.
            block: the similarities of a run of queries with a run of gallery samples; those of one product are masked.
            rows: the first query and the one after the last.
            columns: the first gallery sample and the one after the last; whole products, or a part of one that is
                larger than a block.
            mirrored: the rows of the block are gallery samples, and its columns queries; so are `rows` and `columns`.

        Returns:
            Whether it was counted.
        """
        (top, bottom), (left, right) = (columns, rows) if mirrored else (rows, columns)
        if mirrored:
            block = arithmetic.transposed(block, bottom - top)
        parts = []
        for start, stop in self._few_entries(top, bottom):
            wanted = self._matters[self.offsets[start] : self.offsets[stop]].copy()
            compared = self.compare(arithmetic, block[start - top : stop - top], (start, stop), (left, right), wanted)
            if compared is None:
                return False
            parts.append((start, stop, compared))
        for start, stop, compared in parts:
            self._record(start, stop, left, right, compared)
        return True

    def _few_entries(self, top: int, bottom: int) -> list[tuple[int, int]]:
        """Queries cut into runs whose bits take little memory."""
        runs = runs_of(np.diff(self.offsets[top : bottom + 1]), _ENTRIES)
        return [(top + start, top + stop) for start, stop in runs]

    def compare(
        self,
        arithmetic: Arithmetic,
        block: Any,  # noqa: ANN401
        rows: tuple[int, int],
        columns: tuple[int, int],
        wanted: BoolArray,
    ) -> _Compared | None:
        """Count one block and settle what it leaves open; None if that is too much.

        Args:
            arithmetic: that the block was made with.
            block: its rows are the queries `rows`.
            rows: the first query and the one after the last.
            columns: the first gallery sample and the one after the last.
            wanted: bool [entries of the queries], those of which the bits are wanted.
        """
        (top, bottom), (left, right) = rows, columns
        offsets = self.offsets[top : bottom + 1]
        first = int(offsets[0])
        low, high = (limits[first : offsets[-1]] for limits in self._limits[id(arithmetic)])
        most = int(_DENSE_SHARE * (bottom - top) * (right - left))
        counted = arithmetic.count(block, low, high, offsets - first, most, wanted)
        if counted is None:
            return None
        more, strictly_more = self._recheck(first + counted.limits, top + counted.rows, left + counted.columns)
        if len(counted.words.bits):
            is_above = (more & (counted.places >= 0)).astype(np.uint64)
            np.add.at(counted.words.bits, counted.places, is_above << (counted.columns % PADDING).astype(np.uint64))
        above_optimistic = counted.above.copy()
        np.add.at(counted.above, counted.limits, more.astype(np.int64))  # booleans would be added the slow way
        np.add.at(above_optimistic, counted.limits, strictly_more.astype(np.int64))
        return _Compared(counted.above, above_optimistic, len(more), counted.words)

    def _recheck(self, entries: IntArray, rows: IntArray, columns: IntArray) -> tuple[BoolArray, BoolArray]:
        """Whether each open gallery sample comes before its entry, with ties against the model and for it."""
        return self._settle(float64_pairs(self._queries, rows, self._gallery, columns), entries, rows, columns)

    def _record(self, top: int, bottom: int, left: int, right: int, compared: _Compared) -> None:
        span = slice(self.offsets[top], self.offsets[bottom])
        with self._lock:
            self.above[span] += compared.above
            self.above_optimistic[span] += compared.above_optimistic
            self.n_rechecked += compared.n_open
        if self._costs is None:
            return
        before, failed = self.costs[span].copy(), self.failed[span].copy()
        after = before.copy()
        matters = counting.add_costs(compared.words, self._costs.prices(left, right), self._own[span], after, failed)
        self._record_costs(span, after - before)
        with self._lock:
            self.failed[span] |= failed
            self._matters[span] &= matters

    def _record_costs(self, span: slice, costs: IntArray) -> None:
        """Add costs, but no further than `MAX_COST`, so that no number of products overflows.

        Those of one block stay below 2^63 with fewer than 2^63 / MAX_COST = 209,715 columns; no arithmetic has as many.
        """
        with self._lock:
            np.minimum(self.costs[span] + costs, MAX_COST, out=self.costs[span])

    def add_cost_of_product(self, top: int, bottom: int, start: int, above: IntArray) -> None:
        """Add what one product of the gallery costs that is larger than a block.

        Args:
            top: the first query.
            bottom: the one after the last.
            start: the first sample of the product.
            above: int64 [entries of the queries], the samples of the product before each.
        """
        assert self._costs is not None, "only called where costs were requested"
        price = self._costs.table[self._costs.place[start] + above]
        self._record_costs(slice(self.offsets[top], self.offsets[bottom]), price)

    def add_exactly(self, top: int, left: int, masked: BoolArray) -> None:
        """Count a block from scratch, for blocks full of ties; `masked`, bool [n, m], marks pairs of one product."""
        height, width = masked.shape
        step = max(1, _PIECE // width)
        for start in range(0, height, step):
            part = masked[start : start + step]
            rows = top + start, top + start + len(part)
            wanted = self._matters[self.offsets[rows[0]] : self.offsets[rows[1]]].copy()
            self._record(*rows, left, left + width, self.compare_exactly(rows[0], left, part, wanted))

    def compare_exactly(self, top: int, left: int, masked: BoolArray, wanted: BoolArray) -> _Compared:
        """`compare` from scratch; nothing is left open."""
        size = masked.shape
        rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
        cosines = float64_matrix(self._queries, rows, self._gallery, columns)
        first, offsets = self.offsets[top], self.offsets[top : top + size[0] + 1] - self.offsets[top]
        n_limits = np.diff(offsets)
        above, above_optimistic = (np.zeros(offsets[-1], np.int64) for _ in range(2))
        bits = np.zeros((np.count_nonzero(wanted), padded(size[1]) // PADDING), np.uint64)
        slots = np.cumsum(wanted) - 1
        for rank in range(n_limits.max(initial=0)):
            some = np.flatnonzero(n_limits > rank)
            at = offsets[some] + rank
            wins, wins_strictly = self._settle_rows(cosines[some], first + at, top + some, left, masked[some])
            above[at], above_optimistic[at] = wins.sum(axis=1), wins_strictly.sum(axis=1)
            bits[slots[at[wanted[at]]]] = counting.bits_of(wins[wanted[at]])
        nothing = np.zeros(0, np.int64)
        words = counting.counted_from(above, np.stack([bits, bits]), wanted, nothing, nothing, offsets).words
        return _Compared(above, above_optimistic, masked.size, words)

    def forget(self) -> None:
        """Let go of the entries, once they have been read."""
        nothing = np.zeros(0, np.int64)
        self.columns = self.above = self.above_optimistic = self.costs = nothing
        self.similarities, self.failed, self._own = (
            np.zeros(0),
            np.zeros((0, 0), np.uint64),
            np.zeros((0, 0), np.uint64),
        )
        self._limits = {}

    def win_chances(self) -> FloatArray | None:
        """See `records.PositiveRanks.win_chances`."""
        return None if self._costs is None else win_chances(self.costs)

    def won(self) -> BitArray | None:
        """See `engine.PositiveRanks.won`."""
        if self._costs is None:
            return None
        won = np.zeros((len(self.offsets) - 1, self.failed.shape[1]), np.uint64)
        owner = np.repeat(np.arange(len(won)), np.diff(self.offsets))
        np.bitwise_or.at(won, owner, self._own & ~self.failed)
        return won

    def _settle_rows(
        self, cosines: FloatArray, entries: IntArray, rows: IntArray, left: int, masked: BoolArray
    ) -> tuple[BoolArray, BoolArray]:
        """`_settle` for one entry a row and all columns: bool [len(entries), m], twice."""
        differences = cosines - self.similarities[entries, None]
        wins, wins_strictly = (differences > -TIE) & ~masked, (differences >= TIE) & ~masked
        unsure = np.minimum(np.abs(differences + TIE), np.abs(differences - TIE)) <= self._reach
        for i, column in zip(*np.nonzero(unsure & ~masked), strict=True):
            wins[i, column], wins_strictly[i, column] = self._settle_pair(
                int(entries[i]), int(rows[i]), left + int(column)
            )
        return wins, wins_strictly

    def _settle(
        self, cosines: FloatArray, entries: IntArray, rows: IntArray, columns: IntArray
    ) -> tuple[BoolArray, BoolArray]:
        """Whether each negative comes before its entry, with ties against the model and for it."""
        differences = cosines - self.similarities[entries]
        wins, wins_strictly = differences > -TIE, differences >= TIE
        unsure = np.minimum(np.abs(differences + TIE), np.abs(differences - TIE)) <= self._reach
        for i in np.flatnonzero(unsure):
            wins[i], wins_strictly[i] = self._settle_pair(int(entries[i]), int(rows[i]), int(columns[i]))
        return wins, wins_strictly

    def _settle_pair(self, entry: int, query: int, column: int) -> tuple[bool, bool]:
        """`_settle` for one pair, in whole numbers."""
        positive = self._exact_positive(query, int(entry - self.offsets[query]))
        difference = exact_cosine(self._queries.raw[query], self._gallery.raw[column]) - positive
        return difference > -_TIE, difference >= _TIE

    def _exact_positive(self, query: int, rank: int) -> Decimal:
        """The exact similarity of a query with its positive that is best but `rank` others.

        It is among those whose float64 similarity is within twice its error of the one of this rank in float64.
        """
        if (query, rank) not in self._exact:
            columns = np.arange(self._first[query], self._last[query])
            if self._place is not None:
                columns = columns[columns != self._place + query]
            similarities = float64_pairs(self._queries, np.full(len(columns), query), self._gallery, columns)
            chosen = -np.partition(-similarities, rank)[rank]
            near = columns[np.abs(similarities - chosen) <= self._reach]
            exact = sorted((exact_cosine(self._queries.raw[query], self._gallery.raw[j]) for j in near), reverse=True)
            self._exact[query, rank] = exact[rank - int(np.count_nonzero(similarities > chosen + self._reach))]
        return self._exact[query, rank]


class CountOfProduct:
    """Counts the samples of one product that come before each entry of some queries, part by part, for its cost.

    Attributes:
        above: int64 [entries of the queries].
    """

    def __init__(self, counts: PairCounts, top: int, bottom: int, start: int) -> None:
        """Of the queries `top:bottom`, and the product that begins at gallery sample `start`."""
        self._pair_counts, self._rows, self._start = counts, (top, bottom), start
        self.above: IntArray = np.zeros(counts.offsets[bottom] - counts.offsets[top], np.int64)
        self._nothing: BoolArray = np.zeros(len(self.above), np.bool_)

    def add(
        self,
        arithmetic: Arithmetic,
        block: Any,  # noqa: ANN401
        rows: tuple[int, int],
        columns: tuple[int, int],
        *,
        mirrored: bool = False,
    ) -> bool:
        """As `PairCounts.add`; its rows are queries."""
        assert not mirrored, "these blocks serve one direction"
        compared = self._pair_counts.compare(arithmetic, block, rows, columns, self._nothing)
        if compared is None:
            return False
        self.above += compared.above
        return True

    def add_exactly(self, top: int, left: int, masked: BoolArray) -> None:
        """As `PairCounts.add_exactly`."""
        step = max(1, _PIECE // masked.shape[1])
        first = self._pair_counts.offsets[self._rows[0]]
        for start in range(0, len(masked), step):
            part = masked[start : start + step]
            ends = self._pair_counts.offsets[[top + start, top + start + len(part)]] - first
            span = slice(ends[0], ends[1])
            self.above[span] += self._pair_counts.compare_exactly(top + start, left, part, self._nothing[span]).above

    def add_cost(self) -> None:
        """Add the cost of what was counted."""
        self._pair_counts.add_cost_of_product(*self._rows, self._start, self.above)


def best_first(similarities: FloatArray, rows: IntArray) -> IntArray:
    """The order by row, and within a row by descending similarity; `rows` ascend, and equals stay as they were.

    Rows of one length are sorted as a matrix, in a tenth of the time that sorting all numbers at once would take.

    >>> best_first(np.array([0.1, 0.7, 0.4, 0.4, 0.9]), np.array([0, 0, 2, 2, 2]))
    array([1, 0, 4, 2, 3])
    """
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    lengths = np.diff(starts, append=len(rows))
    order = np.arange(len(rows))
    for length in np.unique(lengths):
        places = starts[lengths == length, None] + np.arange(length)
        best = np.argsort(-similarities[places], axis=1, kind="stable")
        order[places] = np.take_along_axis(places, best, axis=1)
    return order


def runs_of(sizes: IntArray, most: int) -> list[tuple[int, int]]:
    """Runs of items whose sizes add up to `most` or less, or of one item; of no items, one empty run.

    >>> runs_of(np.array([1, 2, 9, 1, 1]), 3)
    [(0, 2), (2, 3), (3, 5)]
    """
    ends = np.cumsum(sizes)
    runs, start = [], 0
    while start < len(sizes):
        before = ends[start] - sizes[start]
        stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        runs.append((start, stop))
        start = stop
    return runs or [(0, 0)]
