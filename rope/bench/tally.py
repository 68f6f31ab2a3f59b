"""What one direction of a pair has counted: for each positive of each query, the negatives before it."""

from dataclasses import dataclass
from decimal import Decimal
from threading import Lock
from typing import Final

import numpy as np
import numpy.typing as npt

from rope.bench.counting import add_costs, add_costs_numpy, count_above, count_above_both, find_between
from rope.bench.similarity import (
    TIE,
    Vectors,
    exact_cosine,
    float32_bound,
    float64_bound,
    float64_matrix,
    float64_pairs,
)
from rope.bench.survival import Costs

__all__ = ["Tally"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_DENSE_SHARE: Final = 0.02
"""Above this share of open comparisons, a block is computed again in float64 instead of pair by pair."""

_TIE: Final = Decimal("1e-12")
_NOTHING: Final = (np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class _Outcome:
    """What one block adds to a direction.

    Attributes:
        above: int64 [entries], negatives at least as similar.
        above_optimistic: int64 [entries], negatives strictly more similar.
        values: float32 or float64 [n, m], similarities.
        limits: [entries]; what exceeds its limit is at least as similar,
        extra: and so are these (entry, column), ordered by entry.
    """

    above: IntArray
    above_optimistic: IntArray
    values: npt.NDArray[np.float32] | FloatArray
    limits: npt.NDArray[np.float32] | FloatArray
    extra: tuple[IntArray, IntArray]


class Tally:
    """Counts for the queries of one domain against the gallery of another.

    An entry is a positive of a query; the entries of query q are `offsets[q]:offsets[q + 1]`, best first.

    Attributes:
        offsets: int64 [n_queries + 1].
        similarities: float64 [n_entries], of each query with its positives, descending.
        above: int64 [n_entries], negatives at least as similar as the positive, so far.
        above_optimistic: int64 [n_entries], negatives strictly more similar, so far.
        costs: int64 [n_entries], see `rope.bench.survival`; None where it was not asked for.
        n_rechecked: comparisons that float32 could not settle, so far.
    """

    def __init__(
        self,
        queries: Vectors,
        query_products: IntArray,
        gallery: Vectors,
        gallery_products: IntArray,
        *,
        same: bool,
        with_costs: bool,
    ) -> None:
        """Measure the positives; products are ascending, `same` leaves a query out of its own gallery."""
        self._queries, self._gallery, self._same = queries, gallery, same
        self._first = np.searchsorted(gallery_products, query_products, side="left")
        self._last = np.searchsorted(gallery_products, query_products, side="right")
        self.offsets: IntArray = np.concatenate([[0], np.cumsum(self._last - self._first - same)])
        self.similarities = self._measure()
        self.above: IntArray = np.zeros(self.offsets[-1], np.int64)
        self.above_optimistic: IntArray = np.zeros(self.offsets[-1], np.int64)
        self.costs = np.zeros(self.offsets[-1], np.int64) if with_costs else None
        self.n_rechecked = 0

        # What two float64 similarities and the rounding of a limit can be off by together.
        self._reach = 2 * float64_bound(queries.dim) + 2.0**-50
        slack = float32_bound(queries.dim) + self._reach + TIE
        # A float32 similarity at or below `low` is a loss for the negative, one above `high` a win.
        self._low = np.nextafter((self.similarities - slack).astype(np.float32), np.float32(-2))
        self._high = np.nextafter((self.similarities + slack).astype(np.float32), np.float32(2))
        self._cost_table = Costs.of(gallery_products if with_costs else gallery_products[:0])
        self._exact: dict[int, list[Decimal]] = {}
        self._lock = Lock()

    def _measure(self) -> FloatArray:
        """Similarity of every query with each of its positives, best first."""
        n_candidates = self._last - self._first  # the query itself among them, if `same`
        rows = np.repeat(np.arange(len(n_candidates)), n_candidates)
        starts = np.cumsum(n_candidates) - n_candidates
        columns = np.arange(len(rows)) + np.repeat(self._first - starts, n_candidates)
        if self._same:
            rows, columns = rows[rows != columns], columns[rows != columns]
        similarities = float64_pairs(self._queries, rows, self._gallery, columns)
        return similarities[np.lexsort((-similarities, rows))]

    def add(self, block: npt.NDArray[np.float32], top: int, left: int) -> None:
        """Count one block.

        Args:
            block: float32 [n, m], C-contiguous; row i is query `top + i`, column j gallery sample `left + j`;
                minus infinity where the two are of one product. The columns hold whole products.
            top: the first query.
            left: the first gallery sample.
        """
        offsets = self.offsets[top : top + len(block) + 1]
        span = slice(offsets[0], offsets[-1])
        offsets = offsets - offsets[0]
        low, high = self._low[span], self._high[span]
        candidates, wins = count_above_both(block, low, high, offsets)
        n_open = int((candidates - wins).sum())
        if n_open > _DENSE_SHARE * block.size:
            outcome = self._count_in_float64(block, top, left)
        elif n_open:
            outcome = self._recheck(block, top, left, wins, candidates > wins)
        else:
            outcome = _Outcome(wins, wins, block, high, _NOTHING)
        if self.costs is not None:
            before = self.costs[span].copy()
            after = before.copy()
            add = add_costs if outcome.values.dtype == np.float32 else add_costs_numpy
            segments = self._cost_table.segments(left, left + block.shape[1])
            table = self._cost_table.table
            add(outcome.values, outcome.limits, offsets, outcome.above, outcome.extra, segments, table, after)
        with self._lock:
            self.above[span] += outcome.above
            self.above_optimistic[span] += outcome.above_optimistic
            self.n_rechecked += n_open
            if self.costs is not None:
                self.costs[span] += after - before

    def _recheck(
        self, block: npt.NDArray[np.float32], top: int, left: int, wins: IntArray, is_open: BoolArray
    ) -> "_Outcome":
        """Settle, pair by pair, what lies between the float32 limits."""
        first, last = self.offsets[top], self.offsets[top + len(block)]
        low, high = self._low[first:last], self._high[first:last]
        entries, columns = find_between(block, low, high, self.offsets[top : top + len(block) + 1] - first, is_open)
        rows = np.searchsorted(self.offsets, entries + first, side="right") - 1
        cosines = float64_pairs(self._queries, rows, self._gallery, columns + left)
        more, strictly_more = self._settle(cosines, entries + first, rows, columns + left)
        above = wins + np.bincount(entries[more], minlength=last - first)
        above_optimistic = wins + np.bincount(entries[strictly_more], minlength=last - first)
        return _Outcome(above, above_optimistic, block, high, (entries[more], columns[more]))

    def _count_in_float64(self, block: npt.NDArray[np.float32], top: int, left: int) -> "_Outcome":
        """Count a block from scratch in float64; for blocks full of ties."""
        height, width = block.shape
        entry_offsets = self.offsets[top : top + height + 1]
        first, offsets = entry_offsets[0], entry_offsets - entry_offsets[0]
        limits = self.similarities[first : entry_offsets[-1]]
        cosines = float64_matrix(self._queries, slice(top, top + height), self._gallery, slice(left, left + width))
        cosines[np.isneginf(block)] = -np.inf
        sure = limits - TIE + self._reach
        above, above_at_most = (count_above(cosines, limit, offsets) for limit in (sure, limits - TIE - self._reach))
        strictly, strictly_at_most = (
            count_above(cosines, limits + TIE + side * self._reach, offsets) for side in (1, -1)
        )
        entry_rows = np.repeat(np.arange(height), np.diff(offsets))
        columns = np.arange(left, left + width)
        extra = [_NOTHING]
        for entry in np.flatnonzero((above < above_at_most) | (strictly < strictly_at_most)):
            row = entry_rows[entry]
            wins, wins_strictly = self._settle(
                cosines[row], np.full(width, first + entry), np.full(width, top + row), columns
            )
            found = np.flatnonzero(wins & (cosines[row] <= sure[entry]))
            extra.append((np.full(len(found), entry), found))
            above[entry], strictly[entry] = np.count_nonzero(wins), np.count_nonzero(wins_strictly)
        entries, places = (np.concatenate([pair[i] for pair in extra]) for i in range(2))
        return _Outcome(above, strictly, cosines, sure, (entries, places))

    def _settle(
        self, cosines: FloatArray, entries: IntArray, rows: IntArray, columns: IntArray
    ) -> tuple[BoolArray, BoolArray]:
        """Whether each negative comes before its entry, with ties against the model and for it."""
        differences = cosines - self.similarities[entries]
        wins, wins_strictly = differences > -TIE, differences >= TIE
        unsure = np.minimum(np.abs(differences + TIE), np.abs(differences - TIE)) <= self._reach
        for i in np.flatnonzero(unsure):
            query = int(rows[i])
            positive = self._exact_positives(query)[int(entries[i] - self.offsets[query])]
            difference = exact_cosine(self._queries.raw[query], self._gallery.raw[columns[i]]) - positive
            wins[i], wins_strictly[i] = difference > -_TIE, difference >= _TIE
        return wins, wins_strictly

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
