"""Similarity of samples that have any number of vectors: late interaction, and samples without a vector.

The similarity of a query with a sample is the mean, over the query's vectors, of the largest cosine with one of the
sample's (MaxSim; Khattab and Zaharia 2020 take the sum, which ranks the same). With one vector each it is the cosine. A
sample without a vector is less similar to everything than any sample that has one: its similarity is `NOTHING`.
"""

from collections.abc import Iterator
from decimal import Decimal, localcontext
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from rope.arrays import FloatArray, IntArray
from rope.bench.ranking.similarity import (
    TIE,
    Vectors,
    exact_cosine,
    float32_bound,
    float32_units,
    float64_bound,
    float64_matrix,
)

__all__ = [
    "NOTHING",
    "CoarseMaxsim",
    "MaxsimOnHost",
    "equivalent_rows",
    "exact_maxsim",
    "maxsim",
    "maxsim_bound",
    "means_of",
    "offsets_of_samples",
    "query_runs",
]

NOTHING: Final = -2.0
"""The similarity of a sample that has no vector with any other: below every cosine by more than a tie."""

_DIGITS: Final = 60
_QUERY_VECTORS: Final = 2048
"""Vectors of queries that are multiplied at a time, unless one query has more."""


class CoarseMaxsim(Protocol):
    """Finds the similarities of a few queries with a whole gallery in float32."""

    def rows(self, queries: Vectors) -> FloatArray:
        """[n_queries, n_gallery], within `float32_bound` and the rounding of a mean of the exact ones."""
        ...


def maxsim_bound(dim: int, n_vectors: int) -> float:
    """Largest distance of `maxsim` from the exact similarity, for queries of at most `n_vectors` vectors.

    Each cosine is within `float64_bound` of the exact one, and so is the largest of several. Their sum carries a
    rounding a vector, of partial sums of at most as many as there are vectors, and the division another.

    >>> maxsim_bound(128, 1024) < TIE / 4
    True
    """
    return float64_bound(dim) + (n_vectors + 2) * 2.0**-53


def maxsim(queries: Vectors, query: int, gallery: Vectors, columns: IntArray, memory: int = 1 << 26) -> FloatArray:
    """Similarities of one query with some samples of the gallery in float64 [len(columns)], within `maxsim_bound`."""
    found = np.full(len(columns), NOTHING)
    one = queries.part(query, query + 1)
    if not len(one.raw):
        return found
    lengths = np.diff(offsets_of_samples(gallery))[columns]
    filled = np.flatnonzero(lengths)
    for some in _runs(lengths[filled], memory // (8 * (gallery.dim + len(one.raw)))):
        at = filled[some]
        part = gallery.take(columns[at])
        cosines = float64_matrix(one, slice(None), part, slice(None))
        starts = np.cumsum(lengths[at]) - lengths[at]
        found[at] = np.maximum.reduceat(cosines, starts, axis=1).sum(axis=0) / len(one.raw)
    return found


def exact_maxsim(query: Vectors, sample: Vectors) -> Decimal:
    """The similarity of one query with one sample to 60 digits.

    >>> one, two = np.array([[3, 4]], np.float32), np.array([[4, 3], [3, 4]], np.float32)
    >>> exact_maxsim(Vectors.of(two), Vectors.of(one))
    Decimal('0.98')
    """
    if not len(query.raw) or not len(sample.raw):
        return Decimal(int(NOTHING))
    cosines = float64_matrix(query, slice(None), sample, slice(None))
    reach = 2 * float64_bound(query.dim)
    with localcontext() as context:
        context.prec = _DIGITS
        best = [
            max(exact_cosine(query.raw[i], sample.raw[j]) for j in np.flatnonzero(row >= row.max() - reach))
            for i, row in enumerate(cosines)
        ]
        return sum(best, Decimal(0)) / len(best)


def equivalent_rows(
    queries: Vectors, gallery: Vectors, positives: tuple[int, int], coarse: CoarseMaxsim, memory: int
) -> FloatArray:
    """Similarities of a few queries with a gallery that compare with their positives as those of `maxsim` do.

    They come from `coarse`, and those that could be on another side of a positive's are computed again in float64.

    Args:
        queries: n of one product.
        gallery: what they are ranked in.
        positives: the first gallery sample of their product and the one after the last.
        coarse: made for this gallery.
        memory: bytes for temporaries.

    Returns:
        float64 [n, n_gallery].
    """
    found = coarse.rows(queries)
    first, last = positives
    own = np.arange(first, last)
    sizes = np.diff(offsets_of_samples(queries))
    for query, row in enumerate(found):
        bound = float32_bound(gallery.dim) + maxsim_bound(gallery.dim, int(sizes[query]))
        row[first:last] = maxsim(queries, query, gallery, own, memory)
        limits = np.sort(row[first:last])
        near = np.flatnonzero(_distance(row, limits) <= bound + 2 * TIE)
        near = near[(near < first) | (near >= last)]
        row[near] = maxsim(queries, query, gallery, near, memory)
    return found


class MaxsimOnHost:
    """`CoarseMaxsim` by numpy, some of the gallery at a time, so that memory is bounded."""

    def __init__(self, gallery: Vectors, memory: int) -> None:
        self._gallery, self._memory = gallery, memory
        self._offsets = offsets_of_samples(gallery)
        self._lengths = np.diff(self._offsets)
        self._filled = np.flatnonzero(self._lengths)

    def rows(self, queries: Vectors) -> FloatArray:
        """See `CoarseMaxsim`."""
        found = np.full((len(queries), len(self._gallery)), NOTHING)
        for start, stop in query_runs(queries):
            some = queries.part(start, stop)
            units = float32_units(some, 0, len(some.raw))
            room = self._memory // (16 * max(1, len(units)) + 8 * self._gallery.dim)
            for run in _runs(self._lengths[self._filled], room):
                columns = self._filled[run]
                found[start:stop, columns] = means_of(self._best(units, columns), some)
        return found

    def _best(self, units: npt.NDArray[np.float32], columns: IntArray) -> npt.NDArray[np.float32]:
        """float32 [vectors of the queries, columns]: the largest cosine of each vector with one of each sample."""
        offsets = self._offsets
        begin, end = int(offsets[columns[0]]), int(offsets[columns[-1] + 1])
        block = units @ float32_units(self._gallery, begin, end).T
        best: npt.NDArray[np.float32] = np.maximum.reduceat(block, offsets[columns] - begin, axis=1)
        return best


def query_runs(queries: Vectors) -> Iterator[tuple[int, int]]:
    """Runs of queries that have some vectors together, but not too many."""
    for run in _runs(np.diff(offsets_of_samples(queries)), _QUERY_VECTORS):
        yield run.start, run.stop


def means_of(best: npt.NDArray[np.float32], queries: Vectors) -> FloatArray:
    """The mean over the vectors of each query: [n vectors, m] to float64 [n queries, m]."""
    lengths = np.diff(offsets_of_samples(queries))
    filled = np.flatnonzero(lengths)
    found = np.full((len(lengths), best.shape[1]), NOTHING)
    if len(filled):
        sums = np.add.reduceat(best, offsets_of_samples(queries)[filled], axis=0, dtype=np.float64)
        found[filled] = sums / lengths[filled, None]
    return found


def offsets_of_samples(vectors: Vectors) -> IntArray:
    """Where the vectors of each sample begin and end: int64 [n + 1]."""
    return np.arange(len(vectors) + 1) if vectors.offsets is None else vectors.offsets


def _distance(values: FloatArray, limits: FloatArray) -> FloatArray:
    """Of each value from the nearest of the limits, which ascend; infinite where there is none."""
    padded = np.concatenate([[-np.inf], limits, [np.inf]])
    at = np.searchsorted(limits, values)
    distance: FloatArray = np.minimum(values - padded[at], padded[at + 1] - values)
    return distance


def _runs(lengths: IntArray, most: int) -> Iterator[slice]:
    """Runs of items that have at most so many rows together, or of one item.

    >>> list(_runs(np.array([2, 1, 9, 1]), 3))
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    ends, start = np.cumsum(lengths), 0
    while start < len(lengths):
        stop = int(np.searchsorted(ends, ends[start] - lengths[start] + most, side="right"))
        yield slice(start, max(start + 1, stop))
        start = max(start + 1, stop)
