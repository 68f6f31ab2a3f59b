"""Pairs of vectors whose cosine reaches a threshold: the same pairs regardless of the block size or number of threads.

A fast float32 product only proposes pairs. Their cosines are recomputed in float64 from the vectors as given and
rounded to `DECIMALS` before the threshold decides, so that neither the block in which a pair was found nor the order of
a sum inside BLAS can tip it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from rope.arrays import BoolArray, FloatArray, IntArray
from rope.errors import EmbeddingError, UsageError
from rope.extras import needed_by

__all__ = [
    "DECIMALS",
    "PROBES",
    "Method",
    "NearPairs",
    "near_pairs",
    "near_pairs_between",
    "search_recall",
]

DECIMALS: Final = 4
"""Digits of a cosine that decide; beyond them two exact recomputations could differ by machine."""

Method = Literal["exact", "ivf"]

_ROWS: Final = 512
_COLUMNS: Final = 4096
"""A float32 block of 8 MB: in cache, and large enough for BLAS."""

_WAITING: Final = 1 << 20
"""Pairs that are collected before the nearest of each row are chosen among them."""

_RESCORED: Final = 1 << 16
"""Pairs recomputed at once."""

_TRAINED: Final = 48
"""Vectors for each centre of a cluster; with fewer than 39 faiss calls the training poor, and more find no more."""

_ASSIGNED: Final = 1 << 21
"""Nearest clusters that are known at a time."""

PROBES: Final = 8
"""Clusters that an index looks into where nothing else is said."""

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NearPairs:
    """Pairs at or above a threshold, ordered by `left`, then `right`.

    A row with more than `limit` neighbours is *saturated*: its list holds the `limit` nearest ones and is not complete.
    Between rows that are not saturated, no pair is missing (of an exact search).

    Attributes:
        left: int64 [m]; rows of the first set.
        right: int64 [m]; rows of the second set; above `left` where both sets are one.
        cosine: float64 [m], rounded to `DECIMALS`.
        left_saturated: bool [rows of the first set].
        right_saturated: bool [rows of the second set].
    """

    left: IntArray
    right: IntArray
    cosine: FloatArray
    left_saturated: BoolArray
    right_saturated: BoolArray


def near_pairs(
    vectors: npt.ArrayLike,
    threshold: float,
    *,
    limit: int,
    method: Method = "exact",
    block: tuple[int, int] | None = None,
    probes: int = PROBES,
) -> NearPairs:
    """Pairs of rows of one set with a cosine of at least `threshold`.

    The result of the exact method does not depend on `block`; on the order of the rows only through their numbers.
    That of `ivf` depends on the order: sort the rows by their ids first.

    Args:
        vectors: float [n, dim]; need not be normalised.
        threshold: above 0, at most 1.
        limit: a row keeps so many nearest neighbours, at least 1; ties go to the lower row.
        method: `exact` compares everything; `ivf` (package faiss-cpu) the nearest of some clusters.
        block: rows and columns of a block; None takes what fits a cache.
        probes: clusters nearest to a row that `ivf` looks into.

    Raises:
        EmbeddingError: a vector is zero or not finite.
        UsageError: a threshold or limit is out of range.
        MissingExtraError: an index is wanted, and faiss is not installed.

    >>> found = near_pairs([[1, 0], [0.9, 0.1], [0, 1]], 0.9, limit=5)
    >>> found.left.tolist(), found.right.tolist(), found.cosine.tolist()
    ([0], [1], [0.9939])
    """
    unit = _prepared(vectors)
    hits, _ = _search(unit, unit, threshold, limit, method, block, same=True, probes=probes)
    return _folded(*_lists(hits, len(unit.raw), limit))


def near_pairs_between(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    threshold: float,
    *,
    limit: int,
    method: Method = "exact",
    block: tuple[int, int] | None = None,
    probes: int = PROBES,
) -> NearPairs:
    """Pairs of a row of `first` and a row of `second` with a cosine of at least `threshold`; else as `near_pairs`.

    >>> near_pairs_between([[1, 0]], [[0, 1], [2, 0]], 0.5, limit=5).right.tolist()
    [1]
    """
    left, right = _prepared(first), _prepared(second)
    if len(left.raw) and len(right.raw) and left.raw.shape[1] != right.raw.shape[1]:
        raise EmbeddingError(f"vectors of {left.raw.shape[1]} and of {right.raw.shape[1]} numbers cannot be compared")
    there, here = _search(left, right, threshold, limit, method, block, same=False, probes=probes)
    forth, back = _lists(there, len(left.raw), limit), _lists(here, len(right.raw), limit)
    rows = np.concatenate([forth[0], back[1]])
    columns = np.concatenate([forth[1], back[0]])
    rows, columns, cosine = _distinct(rows, columns, np.concatenate([forth[2], back[2]]))
    return NearPairs(rows, columns, cosine, forth[3], back[3])


def search_recall(
    vectors: npt.ArrayLike,
    found: NearPairs,
    threshold: float,
    *,
    queries: int,
    seed: int,
    second: npt.ArrayLike | None = None,
    nearest: int | None = None,
) -> tuple[int, int]:
    """How many pairs of some random rows an index found, and how many there are, by comparing these rows with all.

    Args:
        vectors: float [n, dim], as given to the search.
        found: its result.
        threshold: its threshold.
        queries: rows to check, at most n.
        seed: of their choice.
        second: the other set, of a search between two.
        nearest: of each row the nearest so many pairs count, as many as the search was to find. None leaves out pairs
            of saturated rows, as their lists are cut short on purpose.

    Returns:
        Pairs found, and pairs there are; (0, 0) where the rows have none.
    """
    data = _prepared(vectors)
    gallery = data if second is None else _prepared(second)
    n, width = len(data.raw), len(gallery.raw)
    rows = np.sort(np.random.default_rng(seed).choice(n, min(queries, n), replace=False)).astype(np.int64)
    chosen = _Vectors(data.raw[rows], data.norms[rows], data.units[rows])
    limit = width if nearest is None else nearest + 1  # a row of one set finds itself
    (at, columns, cosine), _ = _hits(chosen, gallery, threshold, (_ROWS, _COLUMNS), max(limit, 1), same=False)
    if second is None:
        others = np.flatnonzero(rows[at] != columns)
        at, columns, cosine = at[others], columns[others], cosine[others]
    if nearest is None:
        kept = np.flatnonzero(~found.left_saturated[rows[at]] & ~found.right_saturated[columns])
    else:
        kept = _nearest(at, columns, cosine, nearest)
    true = rows[at[kept]] * width + columns[kept]
    known = found.left * width + found.right
    if second is None:
        known = np.concatenate([known, found.right * width + found.left])
    return int(np.isin(true, known).sum()), len(true)


@dataclass(frozen=True, slots=True)
class _Vectors:
    raw: Vectors
    norms: FloatArray
    units: Vectors


def _prepared(vectors: npt.ArrayLike) -> _Vectors:
    raw = np.ascontiguousarray(vectors, dtype=np.float32)
    if raw.ndim != 2:
        raise EmbeddingError(f"expected vectors as an array [n, dim], got the shape {raw.shape}")
    norms = np.sqrt(np.einsum("ij,ij->i", raw, raw, dtype=np.float64))
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if len(bad):
        rows = ", ".join(map(str, bad[:10]))
        raise EmbeddingError(f"{len(bad)} vectors are zero or not finite (rows {rows}); leave these rows out")
    return _Vectors(raw, norms, (raw / norms[:, None]).astype(np.float32))


_Hits = tuple[IntArray, IntArray, FloatArray]
_Lists = tuple[IntArray, IntArray, FloatArray, BoolArray]


class _Nearest:
    """The nearest of each row among all pairs that come along; holds few more than these."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = _no_hits()
        self._waiting: list[_Hits] = []
        self._n_waiting = 0

    def add(self, rows: IntArray, columns: IntArray, cosine: FloatArray) -> None:
        if not len(rows):
            return
        self._waiting.append((rows, columns, cosine))
        self._n_waiting += len(rows)
        if self._n_waiting > max(_WAITING, len(self._kept[0])):
            self.hits()

    def hits(self) -> _Hits:
        rows, columns, cosine = _joined([self._kept, *self._waiting])
        kept = _nearest(rows, columns, cosine, self._limit)
        self._kept, self._waiting, self._n_waiting = (rows[kept], columns[kept], cosine[kept]), [], 0
        return self._kept


def _lists(hits: _Hits, n: int, limit: int) -> _Lists:
    """The nearest `limit` of each of n rows, and which rows have more."""
    rows, columns, cosine = hits
    saturated = np.bincount(rows, minlength=n) > limit
    kept = _nearest(rows, columns, cosine, limit)
    return rows[kept], columns[kept], cosine[kept], saturated


def _search(
    queries: _Vectors,
    gallery: _Vectors,
    threshold: float,
    limit: int,
    method: Method,
    block: tuple[int, int] | None,
    *,
    same: bool,
    probes: int = PROBES,
) -> tuple[_Hits, _Hits]:
    """The nearest gallery rows of each query, and queries of each gallery row: one more than `limit`, if there are."""
    if not 0 < threshold <= 1:
        raise UsageError(f"threshold {threshold}: expected a cosine above 0 and at most 1")
    if limit < 1:
        raise UsageError(f"limit {limit}: expected at least 1 neighbour")
    if not (len(queries.raw) and len(gallery.raw)):
        return _no_hits(), _no_hits()
    if method == "exact":
        return _hits(queries, gallery, threshold, block or (_ROWS, _COLUMNS), limit + 1, same=same)
    if len(gallery.raw) <= len(queries.raw):
        return _ivf_hits(queries, gallery, threshold, limit + 1, probes)
    back, forth = _ivf_hits(gallery, queries, threshold, limit + 1, probes)  # the fewer vectors are cheaper to cluster
    return forth, back


def _hits(
    queries: _Vectors, gallery: _Vectors, threshold: float, block: tuple[int, int], limit: int, *, same: bool
) -> tuple[_Hits, _Hits]:
    """Pairs at or above the threshold: the nearest of each query, and of each gallery row.

    Of one set, only the half above the diagonal is computed, and both results are the same.
    """
    floor = _floor(threshold, queries.raw.shape[1])
    forth = _Nearest(limit)
    back = forth if same else _Nearest(limit)
    for start in range(0, len(queries.raw), block[0]):
        rows = queries.units[start : start + block[0]]
        for first in range(start if same else 0, len(gallery.raw), block[1]):
            row, column = _proposed(rows @ gallery.units[first : first + block[1]].T, floor)
            row, column = row + start, column + first
            if same:
                row, column = row[row < column], column[row < column]
            row, column, cosine = _rescored(queries, gallery, row, column, threshold)
            forth.add(row, column, cosine)
            back.add(column, row, cosine)
    return forth.hits(), back.hits()


def _proposed(similar: Vectors, floor: np.float32) -> tuple[IntArray, IntArray]:
    """Rows and columns of the cosines [rows, columns] that are not below the floor."""
    found = np.divmod(np.flatnonzero(similar >= floor), max(similar.shape[1], 1))
    return found[0], found[1]


def _floor(threshold: float, dim: int) -> np.float32:
    """The smallest float32 product of two unit vectors whose rounded cosine may reach the threshold."""
    return np.float32(threshold - 0.5 * 10**-DECIMALS - _float32_error(dim))


def _float32_error(dim: int) -> float:
    """Bound of the error of a float32 product of two float32 unit vectors, in any order of summation."""
    return (dim + 4) * 2.0**-23


def _ivf_hits(queries: _Vectors, gallery: _Vectors, threshold: float, limit: int, probes: int) -> tuple[_Hits, _Hits]:
    """As `_hits`, but each query is compared with the gallery rows of the clusters nearest to it alone.

    Of one set, the two rows of a pair find each other or not, each by itself. Products of matrices compare the queries
    and the rows of a cluster: several times faster than faiss, which takes each query alone.
    """
    same = queries is gallery
    clusters = _clusters(gallery)
    members = _grouped(clusters.search(gallery.units, 1)[1].ravel(), clusters.ntotal)
    floor, n_probes = _floor(threshold, gallery.raw.shape[1]), min(probes, clusters.ntotal)
    forth, back = _Nearest(limit), _Nearest(limit)
    step = max(_COLUMNS, _ASSIGNED // n_probes)
    for start in range(0, len(queries.raw), step):
        _, near = clusters.search(queries.units[start : start + step], n_probes)
        for asking, there in zip(_grouped(near.ravel(), clusters.ntotal), members, strict=True):
            for rows, columns in _blocks(start + asking // n_probes, there):
                row, column = _proposed(queries.units[rows] @ gallery.units[columns].T, floor)
                row, column = rows[row], columns[column]
                if same:
                    is_other = row != column
                    row, column = row[is_other], column[is_other]
                row, column, cosine = _rescored(queries, gallery, row, column, threshold)
                forth.add(row, column, cosine)
                if not same:
                    back.add(column, row, cosine)
    return forth.hits(), forth.hits() if same else back.hits()


def _clusters(gallery: _Vectors) -> Any:  # noqa: ANN401  the package ships no types
    """The centres of 2 sqrt(n) clusters: with so many, finding clusters costs as much as looking into a few."""
    n, dim = gallery.units.shape
    n_clusters = max(1, min(2 * int(np.sqrt(n)), n // _TRAINED))
    kmeans = _faiss().Kmeans(
        dim,
        n_clusters,
        niter=10,
        seed=0,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=_TRAINED,
    )
    kmeans.train(gallery.units)
    return kmeans.index


def _grouped(of: IntArray, n: int) -> list[IntArray]:
    """The places of each number from 0 to n - 1.

    >>> [places.tolist() for places in _grouped(np.array([1, 0, 1]), 3)]
    [[1], [0, 2], []]
    """
    order = np.argsort(of, kind="stable")
    return np.split(order, np.searchsorted(of[order], np.arange(1, n)))


def _blocks(rows: IntArray, columns: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    for start in range(0, len(rows), _ROWS):
        for first in range(0, len(columns), _COLUMNS):
            yield rows[start : start + _ROWS], columns[first : first + _COLUMNS]


def _faiss() -> Any:  # noqa: ANN401  the package ships no types
    with needed_by("searching with an index"):
        import faiss
    return faiss


def _rescored(queries: _Vectors, gallery: _Vectors, rows: IntArray, columns: IntArray, threshold: float) -> _Hits:
    """The pairs whose exact, rounded cosine reaches the threshold."""
    parts = [_no_hits()]
    for start in range(0, len(rows), _RESCORED):
        row, column = rows[start : start + _RESCORED], columns[start : start + _RESCORED]
        products = np.einsum("ij,ij->i", queries.raw[row].astype(np.float64), gallery.raw[column].astype(np.float64))
        cosine = np.round(products / (queries.norms[row] * gallery.norms[column]), DECIMALS)
        near = cosine >= threshold
        parts.append((row[near], column[near], cosine[near]))
    return _joined(parts)


def _no_hits() -> _Hits:
    return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)


def _joined(parts: list[_Hits]) -> _Hits:
    rows, columns, cosine = zip(*parts, strict=True)
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(cosine)


def _nearest(rows: IntArray, columns: IntArray, cosine: FloatArray, limit: int) -> IntArray:
    """Places of the `limit` nearest pairs of each row, ordered by row, then nearest first, then column."""
    order = np.lexsort((columns, -cosine, rows))
    ordered = rows[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    place = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    return np.asarray(order[place < limit], np.int64)


def _folded(rows: IntArray, columns: IntArray, cosine: FloatArray, saturated: BoolArray) -> NearPairs:
    """Directed lists of one set as pairs."""
    left, right, cosine = _distinct(np.minimum(rows, columns), np.maximum(rows, columns), cosine)
    return NearPairs(left, right, cosine, saturated, saturated)


def _distinct(left: IntArray, right: IntArray, cosine: FloatArray) -> _Hits:
    """Each pair once, ordered by `left`, then `right`; both directions have the same cosine."""
    width = int(right.max(initial=0)) + 1
    _, first = np.unique(left * width + right, return_index=True)
    return left[first], right[first], cosine[first]
