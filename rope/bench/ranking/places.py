"""Where others stand among the positives of one query, from one row of float64 similarities.

What float64 leaves open is settled in whole numbers, so the places are those of exact similarities.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from rope.arrays import FloatArray, IntArray
from rope.bench.ranking.similarity import TIE

__all__ = ["EXACT_TIE", "Exact", "Places", "places_of"]

EXACT_TIE: Final = Decimal("1e-12")
"""`TIE` in whole numbers."""

Exact = Callable[[int], Decimal]
"""The exact similarity of one of some samples, by its number among them."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where each of N others comes among P positives.

    Attributes:
        n_positives: P.
        against: int64 [N], the positives that come before each other if ties count against the positives: it comes
            before the rest.
        for_them: int64 [N], the same with ties for the positives.
        n_open: others settled in whole numbers.
    """

    n_positives: int
    against: IntArray
    for_them: IntArray
    n_open: int

    @property
    def above(self) -> IntArray:
        """For each positive, best first, the others that are at least as similar: int64 [P]."""
        return self._counts(self.against)

    @property
    def above_optimistic(self) -> IntArray:
        """For each positive, best first, the others that are strictly more similar: int64 [P]."""
        return self._counts(self.for_them)

    def _counts(self, places: IntArray) -> IntArray:
        found: IntArray = np.cumsum(np.bincount(places, minlength=self.n_positives + 1)[:-1])
        return found


def places_of(
    positives: FloatArray, others: FloatArray, reach: float, exact_positive: Exact, exact_other: Exact
) -> Places:
    """Find the place of each other; a sort of the positives is all it takes.

    Args:
        positives: float64 [P], similarities, descending.
        others: float64 [N], similarities.
        reach: what two similarities can be off by together, and the rounding of their sum with a tie.
        exact_positive: of the positives, in their order.
        exact_other: of the others, in theirs.

    >>> nothing = lambda i: Decimal(0)  # where float64 tells all
    >>> places = places_of(np.array([0.9, 0.5]), np.array([0.5, 0.7]), 1e-15, nothing, nothing)
    >>> places.above, places.above_optimistic
    (array([0, 2]), array([0, 1]))
    """
    ascending, n = positives[::-1], len(positives)
    # An other v comes after the positives above v + TIE, and after those above v - TIE if ties are for the positives.
    against = n - np.searchsorted(ascending, others + (TIE + reach), side="right")
    next_best = np.append(positives, -np.inf)[against]
    near = np.flatnonzero(next_best > others - (TIE + reach))  # the rest is the same either way
    for_them = against.copy()
    low = others[near] - TIE
    for_them[near] = n - np.searchsorted(ascending, low + reach, side="right")
    ends = np.stack([n - np.searchsorted(ascending, at - reach) for at in (low + 2 * TIE, low)])
    is_open = (ends > np.stack([against[near], for_them[near]])).any(axis=0)
    for at, end in zip(near[is_open], ends.T[is_open], strict=True):
        own = exact_other(int(at))
        differences = {i: exact_positive(i) - own for i in range(int(min(against[at], for_them[at])), int(end.max()))}
        against[at] += sum(differences[i] >= EXACT_TIE for i in range(int(against[at]), int(end[0])))
        for_them[at] += sum(differences[i] > -EXACT_TIE for i in range(int(for_them[at]), int(end[1])))
    return Places(n, against, for_them, int(is_open.sum()))
