"""A search for near pairs that says how many it has missed.

Comparing everything with everything misses nothing, and takes four times as long for twice the rows. Above some size an
index proposes pairs; then random rows of the same data are compared with all others, and what the index has found of
their pairs is its measured recall. An index that misses too much looks into more of its clusters.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy.typing as npt
from scipy.special import betaincinv

from rope.config import Count, PositiveFraction, check_record
from rope.curation.dedup.neighbours import Method, NearPairs, near_pairs, near_pairs_between, search_recall
from rope.errors import DatasetError

__all__ = ["LARGEST_UNINDEXED", "SearchMethod", "SearchNote", "SearchRules", "at_least", "measured_near_pairs"]

LARGEST_UNINDEXED: Final = 200_000
"""Rows up to which `auto` compares everything with everything: half a minute for 64 numbers a row."""

SearchMethod = Literal["auto", "exact", "ivf"]

_PROBES: Final = (8, 32, 128, 512)
"""Clusters to look into, until the recall is reached."""


@dataclass(frozen=True, slots=True)
class SearchRules:
    """How near pairs are searched.

    Attributes:
        method: `exact`, `ivf` (package faiss-cpu), or `auto`: exact up to `largest` rows.
        min_recall: smallest share of the pairs of random rows that an index has to find.
        queries: random rows to compare with all others.
        seed: of their choice.
        largest: rows up to which `auto` compares everything with everything.

    Raises:
        UsageError: a number is out of range.
    """

    method: SearchMethod = "auto"
    min_recall: PositiveFraction = 0.99
    queries: Count = 1000
    seed: int = 0
    largest: Count = LARGEST_UNINDEXED

    def __post_init__(self) -> None:
        check_record(self)


@dataclass(frozen=True, slots=True)
class SearchNote:
    """How near pairs were searched, and how many of those of some random rows were found.

    Attributes:
        method: `exact`, which misses none, or `ivf`.
        rows: that were searched.
        probes: clusters that the index looked into; None of an exact search.
        queries: random rows that were compared with all others; 0 of an exact search.
        pairs: that these rows have.
        found: those of them that the index has found.
    """

    method: Method
    rows: int
    probes: int | None = None
    queries: int = 0
    pairs: int = 0
    found: int = 0

    def json(self) -> dict[str, Any]:
        """Plain values, with the recall and its lower limit; both are None where no pair was checked."""
        known = self.pairs > 0
        recall = self.found / self.pairs if known else None
        limit = at_least(self.found, self.pairs) if known else None
        rounded = {"recall": recall, "recall_at_least": limit}
        return asdict(self) | {name: None if value is None else round(value, 4) for name, value in rounded.items()}


def at_least(found: int, of: int) -> float:
    """The share that is exceeded with 95 % confidence (Clopper and Pearson); 0 where nothing was found.

    >>> round(at_least(200, 200), 4), at_least(0, 0)
    (0.9851, 0.0)
    """
    return float(betaincinv(found, of - found + 1, 0.05)) if found else 0.0


def measured_near_pairs(
    vectors: npt.NDArray[Any],
    threshold: float,
    rules: SearchRules,
    *,
    limit: int,
    second: npt.NDArray[Any] | None = None,
    of_nearest: bool = False,
) -> tuple[NearPairs, SearchNote]:
    """Pairs of rows with a cosine of at least `threshold`, and how well they were searched.

    Args:
        vectors: float [n, dim], in an order that does not depend on the machine.
        threshold: above 0, at most 1.
        rules: of the search.
        limit: a row keeps so many nearest neighbours.
        second: float [m, dim]; pair the rows with these, instead of with each other.
        of_nearest: measure the recall of the nearest `limit` pairs of a row, where these are what is wanted; otherwise
            pairs of rows with more of them do not count.

    Raises:
        DatasetError: the index finds less, however many clusters it looks into.
        EmbeddingError: a vector is zero or not finite.
        MissingExtraError: an index is wanted, and faiss is not installed.
    """

    def searched(method: Method, probes: int) -> NearPairs:
        if second is None:
            return near_pairs(vectors, threshold, limit=limit, method=method, probes=probes)
        return near_pairs_between(vectors, second, threshold, limit=limit, method=method, probes=probes)

    n = len(vectors)
    largest = n if second is None else max(n, len(second))
    if rules.method == "exact" or (rules.method == "auto" and largest <= rules.largest) or not largest:
        return searched("exact", _PROBES[0]), SearchNote("exact", n)
    nearest, queries = limit if of_nearest else None, min(rules.queries, n)
    for probes in _PROBES:
        pairs = searched("ivf", probes)
        found, known = search_recall(
            vectors, pairs, threshold, queries=queries, seed=rules.seed, second=second, nearest=nearest
        )
        if found >= rules.min_recall * known:
            return pairs, SearchNote("ivf", n, probes, queries, known, found)
    raise DatasetError(
        f"the index finds {found:,} of {known:,} near pairs of {queries:,} random rows, less than min_recall = "
        f'{rules.min_recall:g}; compare everything with search = "exact", or accept less'
    )
