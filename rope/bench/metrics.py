"""From ranks to numbers: what each query scored, and the means that are reported.

Every mean is an exactly rounded sum divided by a count, so it does not depend on the order of the queries.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rope.arrays import BitArray, BoolArray, FloatArray, IntArray
from rope.bench.ranking.engine import (
    ComputeSettings,
    Labelled,
    PositiveRanks,
    reduce_one_way,
    reduce_pair,
    reduce_within,
)

__all__ = [
    "KS",
    "QueryScores",
    "Summary",
    "expected_at_random",
    "joined",
    "mean",
    "mean_by_product",
    "score_one_way",
    "score_pair",
    "score_queries",
    "score_within",
    "summarise",
]

KS: Final = (1, 5, 10, 20, 50)
"""The cut-offs of R@k and recall@k."""

Numbers = npt.NDArray[np.float64] | npt.NDArray[np.int64] | npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class QueryScores:
    """What each query with at least one positive scored; arrays of one length.

    Attributes:
        queries: int64, the index of the query among all of its domain.
        n_positives: int64, how many gallery samples are of its product.
        rank: int64, 1 + negatives at least as similar as the best positive.
        rank_optimistic: int64, 1 + negatives strictly more similar than the best positive.
        average_precision: float64 in (0, 1].
        hits: int64 [n, len(KS)], how many positives are among the first k.
        n_rechecked: comparisons of all queries that were settled one by one.
        chances: float64 [n], the mean of `PositiveRanks.win_chances` over the query's positives; None where that is.
        won: uint64 [n, n_words], see `PositiveRanks.won`; None where that is.
    """

    queries: IntArray
    n_positives: IntArray
    rank: IntArray
    rank_optimistic: IntArray
    average_precision: FloatArray
    hits: IntArray
    n_rechecked: int = 0
    chances: FloatArray | None = None
    won: BitArray | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """The means over the queries of one pair, as fractions.

    Attributes:
        hit_rate: k -> share of queries with a positive among the first k: "R@k".
        recall: k -> mean share of a query's positives among the first k: true recall.
        mrr: mean of 1 / rank.
        mean_average_precision: mean of the average precision.
        median_rank: median of the rank; halves occur where the number of queries is even.
        hit_rate_optimistic: the hit rate if ties counted for the model.
    """

    hit_rate: dict[int, float]
    recall: dict[int, float]
    mrr: float
    mean_average_precision: float
    median_rank: float
    hit_rate_optimistic: dict[int, float]


def expected_at_random(n_positives: IntArray, n_candidates: IntArray, k: int) -> float:
    """R@k of an order drawn at random, the mean over queries: what a model that has learned nothing comes to.

    The first k of N candidates hold none of P positives with the chance C(N - P, k) / C(N, k).

    Args:
        n_positives: int64 [n], P of each query, at least 1.
        n_candidates: int64 [n], N of each query, at least P.
        k: cut-off, at least 1.

    >>> expected_at_random(np.array([1, 2]), np.array([4, 4]), 1), expected_at_random(np.array([1]), np.array([4]), 9)
    (0.375, 1.0)
    """
    # Pairs are sorted as one number each, an order of magnitude faster than as two.
    most = int(n_positives.max(initial=0)) + 1
    kinds, n_queries = np.unique(n_candidates * most + n_positives, return_counts=True)
    candidates, positives = np.divmod(kinds, most)
    missed = np.ones(len(n_queries))
    for taken in range(k):
        missed *= np.maximum(candidates - positives - taken, 0) / np.maximum(candidates - taken, 1)
    return math.fsum((n_queries * (1 - missed)).tolist()) / int(n_queries.sum())


def score_pair(
    a: Labelled, b: Labelled, compute: ComputeSettings, drawn: tuple[BitArray, BitArray] | None = None
) -> tuple[QueryScores, QueryScores]:
    """Score the queries of two domains in both directions, see `engine.reduce_pair`."""
    forward, backward = reduce_pair(score_queries, a, b, compute, drawn=drawn)
    return joined(forward), joined(backward)


def score_one_way(
    queries: Labelled,
    gallery: Labelled,
    compute: ComputeSettings,
    drawn: BitArray | None = None,
    asked: BoolArray | None = None,
) -> QueryScores:
    """Score the queries of one domain in another, or those that are asked, see `engine.reduce_one_way`."""
    return joined(reduce_one_way(score_queries, queries, gallery, compute, drawn=drawn, asked=asked))


def score_within(
    a: Labelled, compute: ComputeSettings, queries: Labelled | None = None, asked: BoolArray | None = None
) -> QueryScores:
    """Score the queries of a domain within itself, or those that are asked, see `engine.reduce_within`."""
    return joined(reduce_within(score_queries, a, compute, queries, asked))


def score_queries(ranks: PositiveRanks, first_query: int = 0) -> QueryScores:
    """Score each query that has a positive, with ties against the model.

    The i-th best positive of a query (i from 1) with n negatives before it stands at position i + n. Average
    precision is the mean of i / (i + n) over all positives of the query. The ranks may be of some queries alone, which
    stand side by side from `first_query` on.

    >>> ranks = PositiveRanks(np.array([0, 2, 2]), np.array([0, 3]), np.array([0, 3]), 0)
    >>> scores = score_queries(ranks)
    >>> scores.queries, scores.rank, scores.average_precision
    (array([0]), array([1]), array([0.7]))
    >>> scores.hits
    array([[1, 2, 2, 2, 2]])
    """
    n_positives = np.diff(ranks.offsets)
    queries = np.flatnonzero(n_positives)
    n_positives = n_positives[queries]
    first = ranks.offsets[queries]
    won = None if ranks.won is None else ranks.won[queries]
    owner = np.repeat(np.arange(len(queries)), n_positives)
    order = np.arange(len(ranks.above)) - np.repeat(first, n_positives) + 1  # 1, 2, ... in each query
    position = order + ranks.above
    # bincount adds in order, so that the sum is the same on every machine.
    precision = np.bincount(owner, weights=order / position, minlength=len(queries))
    hits = np.stack([np.bincount(owner[position <= k], minlength=len(queries)) for k in KS], axis=1)
    chances = None
    if ranks.win_chances is not None:
        chances = np.bincount(owner, weights=ranks.win_chances, minlength=len(queries)) / n_positives
    return QueryScores(
        queries=first_query + queries,
        n_positives=n_positives,
        rank=1 + ranks.above[first],
        rank_optimistic=1 + ranks.above_optimistic[first],
        average_precision=precision / n_positives,
        hits=hits.astype(np.int64),
        n_rechecked=ranks.n_rechecked,
        chances=chances,
        won=won,
    )


def joined(parts: Sequence[QueryScores]) -> QueryScores:
    """The scores of all queries from those of different ones, by query.

    Raises:
        ValueError: there are no parts.
    """
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(np.concatenate([part.queries for part in parts]), kind="stable")

    def all_of(values_of: Callable[[QueryScores], npt.NDArray[Any] | None]) -> Any:  # noqa: ANN401 (as it was)
        values = [values_of(part) for part in parts]
        known = [value for value in values if value is not None]
        return np.concatenate(known)[order] if len(known) == len(parts) else None

    return QueryScores(
        queries=all_of(lambda part: part.queries),
        n_positives=all_of(lambda part: part.n_positives),
        rank=all_of(lambda part: part.rank),
        rank_optimistic=all_of(lambda part: part.rank_optimistic),
        average_precision=all_of(lambda part: part.average_precision),
        hits=all_of(lambda part: part.hits),
        n_rechecked=sum(part.n_rechecked for part in parts),
        chances=all_of(lambda part: part.chances),
        won=all_of(lambda part: part.won),
    )


def summarise(scores: QueryScores, products: IntArray | None = None) -> Summary:
    """Mean over queries, or, given the product of each scored query, the mean over products of their means.

    Raises:
        ValueError: there are no queries.
    """
    if len(scores.queries) == 0:
        raise ValueError("no query has a positive, so there is nothing to average")

    def average(values: Numbers) -> float:
        return mean(values) if products is None else mean_by_product(values, products)

    return Summary(
        hit_rate={k: average(scores.rank <= k) for k in KS},
        recall={k: average(scores.hits[:, i] / scores.n_positives) for i, k in enumerate(KS)},
        mrr=average(1 / scores.rank),
        mean_average_precision=average(scores.average_precision),
        median_rank=float(np.median(scores.rank)) if products is None else _median_by_product(scores, products),
        hit_rate_optimistic={k: average(scores.rank_optimistic <= k) for k in KS},
    )


def mean(values: Numbers | Iterable[float]) -> float:
    """The mean, from an exactly rounded sum.

    >>> mean([1e16, 1.0, -1e16])
    0.3333333333333333

    Raises:
        ValueError: there are no values.
    """
    numbers = values if isinstance(values, np.ndarray) else np.array(list(values), np.float64)
    if not len(numbers):
        raise ValueError("the mean of nothing is not defined")
    return float(_sums(numbers, np.zeros(1, np.int64))[0]) / len(numbers)


def mean_by_product(values: Numbers, products: IntArray) -> float:
    """The mean over products of the mean over each product's values.

    >>> mean_by_product(np.array([1.0, 0.0, 0.0]), np.array([7, 8, 8]))
    0.5
    """
    order = np.argsort(products, kind="stable")
    starts = np.flatnonzero(np.diff(products[order], prepend=-1))
    return mean(_sums(values[order], starts) / np.diff(starts, append=len(values)))


def _sums(values: Numbers, starts: IntArray) -> FloatArray:
    """The exactly rounded sums of the runs of `values` that begin at `starts`, as `math.fsum` gives them.

    Values between 0 and 1 are cut into whole numbers of 2^-34 and of 2^-68. Fewer than 2^19 of either add up exactly in
    any order, so the one addition that rounds is that of the two sums.

    >>> _sums(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 3])).tolist()
    [0.6, 0.4]
    """
    if values.dtype.kind != "f":
        return np.add.reduceat(values, starts, dtype=np.int64).astype(np.float64)
    values = values.astype(np.float64, copy=False)
    if len(values) < 1 << 19 and values.min() >= 0 and values.max() <= 1:
        units = values * 2.0**34
        whole = np.floor(units)
        rest = (units - whole) * 2.0**34
        if np.array_equal(rest, np.floor(rest)):
            return np.add.reduceat(whole, starts) * 2.0**-34 + np.add.reduceat(rest, starts) * 2.0**-68
    numbers, edges = values.tolist(), [*starts.tolist(), len(values)]
    return np.array([math.fsum(numbers[start:stop]) for start, stop in pairwise(edges)])


def _median_by_product(scores: QueryScores, products: IntArray) -> float:
    """The median over products of the median rank of each product's queries."""
    order = np.lexsort((scores.rank, products))
    starts = np.flatnonzero(np.diff(products[order], prepend=-1))
    n, ranks = np.diff(starts, append=len(order)), scores.rank[order]
    return float(np.median((ranks[starts + (n - 1) // 2] + ranks[starts + n // 2]) / 2))
