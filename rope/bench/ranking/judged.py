"""Certified ranks of queries whose positives are any samples, in parts of one gallery.

The engine ranks by labels: the positives of a query are the samples of its product. A search query names its positives,
grades them, and leaves samples out of its gallery. One row of float64 similarities with the whole gallery serves
all parts of it: each domain, and all together. Memory holds a few rows for each worker.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from rope.arrays import BoolArray, FloatArray, IntArray
from rope.bench.ranking.maxsim import exact_maxsim, maxsim, maxsim_bound
from rope.bench.ranking.places import EXACT_TIE, Exact, places_of
from rope.bench.ranking.records import ComputeSettings
from rope.bench.ranking.similarity import TIE, Vectors, exact_cosine, float64_matrix

__all__ = ["ANSWERS_AT", "JudgedGallery", "JudgedQuery", "JudgedRanks", "rank_judged"]

ANSWERS_AT: Final = (1, 10)
"""Of how many first answers the shares of the domains are counted."""

_STEP: Final = 2048
_MOST_ROWS: Final = 64
_SPARE_ROWS: Final = 8
"""Rows of numbers that the temporaries of one query take, beside its similarities."""


@dataclass(frozen=True, slots=True, eq=False)
class JudgedGallery:
    """A gallery of several parts, numbered through: column c is in the part whose run of `starts` it is in.

    Attributes:
        parts: the vectors of each part; a part may be empty.
    """

    parts: Sequence[Vectors]

    @property
    def starts(self) -> IntArray:
        """int64 [n_parts + 1], the first column of each part, and the number of all."""
        return np.concatenate([[0], np.cumsum([len(part) for part in self.parts])]).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class JudgedQuery:
    """What is known of one query: columns of the gallery.

    Attributes:
        positives: int64 [P], each once.
        grades: int64 [P], how good an answer each is.
        negatives: int64, those that are counted besides; none is a positive.
        excluded: int64, what is not in its gallery; none is a positive.
        candidates: int64, what alone is in its gallery, the positives among it; None for everything.
    """

    positives: IntArray
    grades: IntArray
    negatives: IntArray
    excluded: IntArray
    candidates: IntArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class JudgedRanks:
    """What one query finds in one gallery.

    Attributes:
        above: int64 [P], negatives at least as similar as each positive, best first.
        above_optimistic: int64 [P], those strictly more similar.
        grades: int64 [P], of the positives in the order of `positions`.
        positions: int64 [P], the place of each positive among all samples, from 1. Of samples that tie, those of lower
            grade come first, negatives before all.
        n_candidates: samples of the gallery.
        n_negatives: of these, hard negatives.
        is_outranked: whether a hard negative is at least as similar as the best positive.
        answers: float64 [len(ANSWERS_AT), n_parts], the share of the first answers that is from each part; samples that
            tie for the last places share these evenly.
        n_rechecked: comparisons that float64 left open.
    """

    above: IntArray
    above_optimistic: IntArray
    grades: IntArray
    positions: IntArray
    n_candidates: int
    n_negatives: int
    is_outranked: bool
    answers: FloatArray
    n_rechecked: int


def rank_judged(
    queries: Vectors,
    gallery: JudgedGallery,
    judged: Sequence[JudgedQuery],
    compute: ComputeSettings,
) -> list[list[JudgedRanks | None]]:
    """Rank the positives of each query in each part of the gallery, and in all parts together.

    Args:
        queries: n vectors.
        gallery: of the same dimension.
        judged: of each query.
        compute: how to spend the machine; similarities are made on the host.

    Returns:
        For each query its ranks in each part, then those in the whole; None where it has no positive there.
    """
    starts = gallery.starts
    n_columns = int(starts[-1])
    room = compute.memory // compute.n_threads // (8 * n_columns + 1) - _SPARE_ROWS
    height = min(max(1, room), _MOST_ROWS)
    scopes = [*pairwise(starts.tolist()), (0, n_columns)]

    def work(top: int) -> list[list[JudgedRanks | None]]:
        bottom = min(top + height, len(queries))
        rows = _rows(queries, top, bottom, gallery)
        compute.advance((bottom - top) * n_columns)
        return [
            [_JudgedRow(queries, top + i, row, gallery).ranks(judged[top + i], scope) for scope in scopes]
            for i, row in enumerate(rows)
        ]

    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(compute.n_threads) as pool:
        return [found for part in pool.map(work, range(0, len(queries), height)) for found in part]


def _rows(queries: Vectors, top: int, bottom: int, gallery: JudgedGallery) -> FloatArray:
    """float64 [bottom - top, n_columns]."""
    rows = np.empty((bottom - top, int(gallery.starts[-1])))
    for start, part in zip(gallery.starts, gallery.parts, strict=False):
        if queries.offsets is not None or part.offsets is not None:
            for query in range(top, bottom):
                own = maxsim(queries, query, part, np.arange(len(part)))
                rows[query - top, start : start + len(part)] = own
            continue
        for left in range(0, len(part), _STEP):
            right = min(left + _STEP, len(part))
            rows[:, start + left : start + right] = float64_matrix(
                queries, slice(top, bottom), part, slice(left, right)
            )
    return rows


@dataclass(frozen=True, slots=True, eq=False)
class _JudgedRow:
    """One query with its similarities to the whole gallery."""

    queries: Vectors
    query: int
    row: FloatArray
    gallery: JudgedGallery

    @property
    def reach(self) -> float:
        """What two similarities can be off by together, and the rounding of their sum with a tie."""
        offsets = self.queries.offsets
        n_vectors = 1 if offsets is None else int(offsets[self.query + 1] - offsets[self.query])
        return 2 * maxsim_bound(self.queries.dim, n_vectors) + 2.0**-50

    def exact(self, column: int) -> Decimal:
        """The similarity to a column in whole numbers."""
        starts = self.gallery.starts
        number = int(np.searchsorted(starts, column, side="right")) - 1
        part, at = self.gallery.parts[number], column - int(starts[number])
        if self.queries.offsets is None and part.offsets is None:
            return exact_cosine(self.queries.raw[self.query], part.raw[at])
        return exact_maxsim(self.queries.part(self.query, self.query + 1), part.part(at, at + 1))

    def ranks(self, judged: JudgedQuery, scope: tuple[int, int]) -> JudgedRanks | None:
        """What the query finds among the columns of `scope`; None where none of its positives is there."""
        start, stop = scope
        is_in = np.zeros(stop - start, np.bool_)
        if judged.candidates is None:
            is_in[:] = True
        else:
            is_in[_within(judged.candidates, scope) - start] = True
        is_in[_within(judged.excluded, scope) - start] = False
        inside = (judged.positives >= start) & (judged.positives < stop)
        positives, grades = judged.positives[inside], judged.grades[inside]
        if not len(positives):
            return None
        candidates = start + np.flatnonzero(is_in)
        is_in[positives - start] = False
        negatives = start + np.flatnonzero(is_in)
        order = np.argsort(-self.row[positives], kind="stable")
        positives, grades = positives[order], grades[order]
        places = self._places(positives, negatives)
        hard = _within(judged.negatives, scope)
        hard = hard[is_in[hard - start]]
        first, n_open = self._outranked(positives, hard)
        positions, of_grade, more_open = self._positions(positives, grades, negatives)
        answers, further_open = self._answers(candidates)
        return JudgedRanks(
            above=places[0],
            above_optimistic=places[1],
            grades=of_grade,
            positions=positions,
            n_candidates=len(candidates),
            n_negatives=len(hard),
            is_outranked=first,
            answers=answers,
            n_rechecked=places[2] + n_open + more_open + further_open,
        )

    def _places(self, positives: IntArray, others: IntArray) -> tuple[IntArray, IntArray, int]:
        """For each of some positives, best first, the others that are at least as similar, and strictly more."""
        found = places_of(
            self.row[positives],
            self.row[others],
            self.reach,
            lambda i: self.exact(int(positives[i])),
            lambda j: self.exact(int(others[j])),
        )
        return found.above, found.above_optimistic, found.n_open

    def _outranked(self, positives: IntArray, hard: IntArray) -> tuple[bool, int]:
        """Whether one of `hard` is at least as similar as every positive; the best two may be one another's noise."""
        above, _, n_open = self._places(positives, hard)
        return bool(above[0]), n_open

    def _positions(self, positives: IntArray, grades: IntArray, negatives: IntArray) -> tuple[IntArray, IntArray, int]:
        """The place of each positive, those of one grade side by side, with the grades."""
        positions, of_grade, n_open = list[IntArray](), list[IntArray](), 0
        for grade in np.unique(grades):
            own = positives[grades == grade]
            lower = np.concatenate([negatives, positives[grades < grade]])
            above, _, open_lower = self._places(own, lower)
            _, above_higher, open_higher = self._places(own, positives[grades > grade])
            positions.append(np.arange(1, len(own) + 1) + above + above_higher)
            of_grade.append(np.full(len(own), grade))
            n_open += open_lower + open_higher
        return np.concatenate(positions), np.concatenate(of_grade), n_open

    def _answers(self, candidates: IntArray) -> tuple[FloatArray, int]:
        """float64 [len(ANSWERS_AT), n_parts]: see `JudgedRanks.answers`."""
        starts, similarities, n_open = self.gallery.starts, self.row[candidates], 0
        n_parts = len(starts) - 1
        part_of = np.searchsorted(starts, candidates, side="right") - 1
        shares = np.empty((len(ANSWERS_AT), n_parts))
        for at, most in enumerate(ANSWERS_AT):
            k = min(most, len(candidates))
            before, tied, more = self._first(similarities, k, lambda i: self.exact(int(candidates[i])))
            left = (k - int(before.sum())) / max(int(tied.sum()), 1)
            counts = np.bincount(part_of[before], minlength=n_parts) + left * np.bincount(
                part_of[tied], minlength=n_parts
            )
            shares[at] = counts / k
            n_open += more
        return shares, n_open

    def _first(self, similarities: FloatArray, k: int, exact: Exact) -> tuple[BoolArray, BoolArray, int]:
        """The samples that are certainly among the first k, and those that tie with the k-th."""
        kth = float(-np.partition(-similarities, k - 1)[k - 1])
        differences = similarities - kth
        before, tied = differences >= TIE, np.abs(differences) < TIE
        unsure = np.flatnonzero(np.abs(np.abs(differences) - TIE) <= self.reach)
        if len(unsure):
            near = np.flatnonzero(np.abs(differences) <= self.reach)  # one of them is the k-th in truth
            n_certain = int(np.count_nonzero(differences > self.reach))
            true_kth = sorted((exact(int(i)) for i in near), reverse=True)[k - n_certain - 1]
            for i in unsure:
                difference = exact(int(i)) - true_kth
                before[i], tied[i] = difference >= EXACT_TIE, abs(difference) < EXACT_TIE
        return before, tied, len(unsure)


def _within(columns: IntArray, scope: tuple[int, int]) -> IntArray:
    return columns[(columns >= scope[0]) & (columns < scope[1])]
