"""What one direction of a pair has counted: for each positive of each query, the negatives before it."""

from collections.abc import Sequence
from decimal import Decimal
from threading import Lock
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rope.bench.arithmetic import Arithmetic, Float32, Limits
from rope.bench.similarity import TIE, Vectors, exact_cosine, float64_bound, float64_matrix, float64_pairs
from rope.bench.survival import Costs, survival

__all__ = ["Tally"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
BitArray = npt.NDArray[np.uint64]

_DENSE_SHARE: Final = 0.02
"""Above this share of open comparisons, a block is computed again in the next arithmetic instead of pair by pair."""

_TIE: Final = Decimal("1e-12")


class Tally:
    """Counts for the queries of one domain against the gallery of another.

    An entry is a positive of a query; the entries of query q are `offsets[q]:offsets[q + 1]`, best first.

    Attributes:
        offsets: int64 [n_queries + 1].
        columns: int64 [n_entries], the gallery sample that each entry is.
        similarities: float64 [n_entries], of each query with its positives, descending.
        above: int64 [n_entries], negatives at least as similar as the positive, so far.
        above_optimistic: int64 [n_entries], negatives strictly more similar, so far.
        costs: int64 [n_entries], see `rope.bench.survival`; zeros where it was not asked for.
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
        same: bool = False,
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
            same: leave each query out of its own gallery.
            best_only: take the best positive of each query alone.
            drawn: uint64 [n_gallery, n_words], see `survival.Costs`; None to leave costs and draws alone.
        """
        self._queries, self._gallery, self._same = queries, gallery, same
        self._first = np.searchsorted(gallery_products, query_products, side="left")
        self._last = np.searchsorted(gallery_products, query_products, side="right")
        self.n_positives: IntArray = self._last - self._first - same
        self.columns, self.similarities = self._measure()
        self.offsets: IntArray = np.concatenate([[0], np.cumsum(self.n_positives)])
        if best_only:
            best = self.offsets[:-1][self.n_positives > 0]
            self.columns, self.similarities = self.columns[best], self.similarities[best]
            self.offsets = np.concatenate([[0], np.cumsum(self.n_positives > 0)])
        n_entries = len(self.columns)
        self.above: IntArray = np.zeros(n_entries, np.int64)
        self.above_optimistic: IntArray = np.zeros(n_entries, np.int64)
        self.n_rechecked = 0

        self._costs = None if drawn is None else Costs.of(gallery_products, drawn)
        words = 0 if drawn is None else drawn.shape[1]
        self.costs: IntArray = np.zeros(n_entries, np.int64)
        self.failed: BitArray = np.zeros((n_entries, words), np.uint64)
        self._own: BitArray = self.failed if drawn is None else drawn[self.columns]

        # What two float64 similarities and the rounding of a limit can be off by together.
        self._reach = 2 * float64_bound(queries.dim) + 2.0**-50
        self._limits = {id(arithmetic): self._limits_in(arithmetic) for arithmetic in arithmetics}
        self._exact: dict[int, list[Decimal]] = {}
        self._lock = Lock()

    def _measure(self) -> tuple[IntArray, FloatArray]:
        """The positives of every query and their similarities, best first."""
        n_candidates = self._last - self._first  # the query itself among them, if `same`
        rows = np.repeat(np.arange(len(n_candidates)), n_candidates)
        starts = np.cumsum(n_candidates) - n_candidates
        columns = np.arange(len(rows)) + np.repeat(self._first - starts, n_candidates)
        if self._same:
            rows, columns = rows[rows != columns], columns[rows != columns]
        similarities = float64_pairs(self._queries, rows, self._gallery, columns)
        order = np.lexsort((-similarities, rows))
        return columns[order], similarities[order]

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
            columns: the first gallery sample and the one after the last; these are whole products.
            mirrored: the rows of the block are gallery samples, and its columns queries; so are `rows` and `columns`.

        Returns:
            Whether it was counted.
        """
        (top, bottom), (left, right) = (columns, rows) if mirrored else (rows, columns)
        first, last = self.offsets[top], self.offsets[bottom]
        offsets = self.offsets[top : bottom + 1] - first
        low, high = (limits[first:last] for limits in self._limits[id(arithmetic)])
        counts_down = mirrored and self._costs is None and bool(np.all(np.diff(offsets) == 1))
        if mirrored and not counts_down:
            block = arithmetic.transposed(block, slice(0, bottom - top))
        if counts_down:  # no need to transpose where each column has one limit
            candidates, wins = arithmetic.count_down(block, low, high)
        else:
            candidates, wins = arithmetic.count(block, low, high, offsets)
        n_open = int((candidates - wins).sum())
        if n_open > _DENSE_SHARE * (bottom - top) * (right - left):
            return False
        more = strictly_more = (np.zeros(0, np.int64), np.zeros(0, np.int64))
        if n_open:
            is_open = candidates > wins
            if counts_down:
                found = _find_down(arithmetic, block, low, high, is_open)
            else:
                found = arithmetic.find(block, low, high, offsets, is_open)
            more, strictly_more = self._recheck(*found, top, left)
        above, above_optimistic = (
            wins + np.bincount(pairs[0], minlength=last - first) for pairs in (more, strictly_more)
        )
        self._record(top, bottom, above, above_optimistic, n_open)
        if self._costs is not None:
            self._add_costs(arithmetic, block, low, high, offsets, (top, left, right - left), more)
        return True

    def _recheck(
        self, entries: IntArray, columns: IntArray, top: int, left: int
    ) -> tuple[tuple[IntArray, IntArray], tuple[IntArray, IntArray]]:
        """Those of the open (entry, column) pairs that come before the positive, with ties against it and for it."""
        first = self.offsets[top]
        rows = np.searchsorted(self.offsets, entries + first, side="right") - 1
        cosines = float64_pairs(self._queries, rows, self._gallery, columns + left)
        more, strictly_more = self._settle(cosines, entries + first, rows, columns + left)
        return (entries[more], columns[more]), (entries[strictly_more], columns[strictly_more])

    def _record(self, top: int, bottom: int, above: IntArray, above_optimistic: IntArray, n_rechecked: int) -> None:
        span = slice(self.offsets[top], self.offsets[bottom])
        with self._lock:
            self.above[span] += above
            self.above_optimistic[span] += above_optimistic
            self.n_rechecked += n_rechecked

    def _add_costs(
        self,
        arithmetic: Arithmetic,
        block: Any,  # noqa: ANN401
        low: Limits,
        high: Limits,
        offsets: IntArray,
        place: tuple[int, int, int],
        more: tuple[IntArray, IntArray],
    ) -> None:
        """Add the costs of a block at (top, left, width), in which `more` (entries, columns) were settled as above."""
        assert self._costs is not None, "only called where costs were asked for"
        top, left, width = place
        span = slice(self.offsets[top], self.offsets[top] + offsets[-1])
        prices = self._costs.prices(left, left + width)
        before, failed = self.costs[span].copy(), self.failed[span].copy()
        after = before.copy()
        limits, segments, counts = arithmetic.add_costs(
            block, low, high, offsets, prices, self._own[span], after, failed
        )
        n_segments = len(prices.starts)
        keys, settled = np.unique(more[0] * n_segments + prices.segment_of[more[1]], return_counts=True)
        left_out = limits * n_segments + segments
        at = np.minimum(np.searchsorted(keys, left_out), max(len(keys) - 1, 0))
        if len(keys):
            counts = counts + np.where(keys[at] == left_out, settled[at], 0)
        np.add.at(after, limits, prices.table[prices.places[segments] + counts])
        np.bitwise_or.at(failed, more[0], prices.drawn[more[1]])
        with self._lock:
            self.costs[span] += after - before
            self.failed[span] |= failed

    def add_exactly(self, top: int, left: int, masked: BoolArray) -> None:
        """Count a block from scratch in float64, for blocks full of ties; `masked` [n, m] marks pairs of one product.

        Costs are then counted in whole numbers: a similarity becomes the number of limits of its row that it is above.
        """
        size = masked.shape
        rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
        cosines = float64_matrix(self._queries, rows, self._gallery, columns)
        first, offsets = self.offsets[top], self.offsets[top : top + size[0] + 1] - self.offsets[top]
        n_limits = np.diff(offsets)
        above, above_optimistic = (np.zeros(offsets[-1], np.int64) for _ in range(2))
        n_beaten = np.zeros(size, np.float32)
        for rank in range(n_limits.max(initial=0)):
            some = np.flatnonzero(n_limits > rank)
            at = offsets[some] + rank
            wins, wins_strictly = self._settle_rows(cosines[some], first + at, top + some, left, masked[some])
            n_beaten[some] += wins
            above[at], above_optimistic[at] = wins.sum(axis=1), wins_strictly.sum(axis=1)
        self._record(top, top + size[0], above, above_optimistic, masked.size)
        if self._costs is not None:
            # Entry i of n, best first, is beaten by what is above at least n - i limits.
            ranks = np.arange(offsets[-1]) - np.repeat(offsets[:-1], n_limits)
            limits = (np.repeat(n_limits, n_limits) - ranks - 0.5).astype(np.float32)
            arithmetic = Float32()
            block = arithmetic.filled(n_beaten)
            nothing = (np.zeros(0, np.int64), np.zeros(0, np.int64))
            self._add_costs(arithmetic, block, limits, limits, offsets, (top, left, size[1]), nothing)

    def survival(self) -> FloatArray | None:
        """See `engine.PositiveRanks.survival`."""
        return None if self._costs is None else survival(self.costs)

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
        positive = self._exact_positives(query)[int(entry - self.offsets[query])]
        difference = exact_cosine(self._queries.raw[query], self._gallery.raw[column]) - positive
        return difference > -_TIE, difference >= _TIE

    def _exact_positives(self, query: int) -> list[Decimal]:
        """The exact similarities of a query with its positives, best first."""
        if query not in self._exact:
            positives = range(self._first[query], self._last[query])
            self._exact[query] = sorted(
                (
                    exact_cosine(self._queries.raw[query], self._gallery.raw[j])
                    for j in positives
                    if not (self._same and j == query)
                ),
                reverse=True,
            )
        return self._exact[query]


def _find_down(
    arithmetic: Arithmetic,
    block: Any,  # noqa: ANN401
    low: Limits,
    high: Limits,
    wanted: BoolArray,
) -> tuple[IntArray, IntArray]:
    """The (column, row) pairs of a block whose values lie between the limits of their column, of the wanted columns."""
    columns = np.flatnonzero(wanted)
    one_each = np.arange(len(columns) + 1)
    turned = arithmetic.transposed(block, columns)
    which, rows = arithmetic.find(turned, low[columns], high[columns], one_each, np.ones(len(columns), np.bool_))
    return columns[which], rows
