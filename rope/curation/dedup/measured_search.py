"""A search for near pairs that says how many it has missed.

Comparing everything with everything misses nothing, and takes four times as long for twice the rows. Above some size an
index proposes pairs; then random rows of the same data are compared with all others, and what the index has found of
their pairs is its measured recall. An index that misses too much looks into more of its clusters.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy.typing as npt
from scipy.special import betaincinv

from rope.curation.dedup.neighbours import Method, NearPairs, near_pairs, search_recall
from rope.errors import DatasetError

__all__ = ["LARGEST_UNINDEXED", "SearchNote", "at_least", "measured_near_pairs"]

LARGEST_UNINDEXED: Final = 200_000
"""Rows up to which `auto` compares everything with everything: half a minute for 64 numbers a row."""

_PROBES: Final = (8, 32, 128, 512)
"""Clusters to look into, until the recall is reached."""


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
    *,
    limit: int,
    method: Method,
    queries: int,
    min_recall: float,
    seed: int,
) -> tuple[NearPairs, SearchNote]:
    """Pairs of rows with a cosine of at least `threshold`, and how well they were searched.

    Args:
        vectors: float [n, dim], in an order that does not depend on the machine.
        threshold: above 0, at most 1.
        limit: a row keeps so many nearest neighbours.
        method: `exact`, `ivf` (package faiss-cpu), or `auto`: the first up to `LARGEST_UNINDEXED` rows.
        queries: random rows to compare with all others.
        min_recall: smallest share of their pairs that an index has to find.
        seed: of their choice.

    Raises:
        DatasetError: the index finds less, however many clusters it looks into.
        EmbeddingError: a vector is zero or not finite.
        MissingExtraError: an index is wanted, and faiss is not installed.
    """
    n = len(vectors)
    if method == "exact" or (method == "auto" and n <= LARGEST_UNINDEXED):
        return near_pairs(vectors, threshold, limit=limit, method="exact"), SearchNote("exact", n)
    for probes in _PROBES:
        pairs = near_pairs(vectors, threshold, limit=limit, method="ivf", probes=probes)
        found, known = search_recall(vectors, pairs, threshold, queries=queries, seed=seed)
        if found >= min_recall * known:
            return pairs, SearchNote("ivf", n, probes, min(queries, n), known, found)
    raise DatasetError(
        f"the index finds {found:,} of {known:,} near pairs of {min(queries, n):,} random rows, less than min_recall = "
        f'{min_recall:g}; compare everything with search = "exact", or accept less'
    )
