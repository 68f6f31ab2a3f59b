"""Ranks where a query is searched among a part of the gallery only: the samples of its own group.

A group is the value of the column `gallery`; samples without one form their own group. Groups have nothing to do
with each other, so each is scored alone by `rope.bench.ranking.engine`, exactly, and the results are put together.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rope.arrays import BoolArray, IntArray
from rope.bench.metrics import QueryScores, joined, score_one_way, score_pair, score_queries, score_within
from rope.bench.ranking.engine import ComputeSettings, Labelled, PositiveRanks

__all__ = ["score_one_way_by_group", "score_pair_by_group", "score_within_by_group"]

Groups = Sequence[str | None]
"""The group of each sample."""


def score_pair_by_group(
    a: Labelled, b: Labelled, groups_a: Groups, groups_b: Groups, compute: ComputeSettings
) -> tuple[QueryScores, QueryScores]:
    """Score the queries of two domains in both directions, as `metrics.score_pair`, each query within its group.

    A positive is a sample of the same product in the same group, a negative one of another product in the same group.
    A query whose group has no sample on the other side has no positive.

    Args:
        a: queries of the first result, gallery of the second.
        b: the reverse.
        groups_a: the group of each sample of a.
        groups_b: the group of each sample of b.
        compute: how to spend the machine.

    Raises:
        ValueError: the dimensions differ, or there are not as many groups as samples.
    """
    rows_a, rows_b = _rows_of(a, groups_a), _rows_of(b, groups_b)
    shared = [group for group in rows_a if group in rows_b]
    scores = [score_pair(_take(a, rows_a[group]), _take(b, rows_b[group]), compute) for group in shared]
    forward = _put_together([(rows_a[group], one) for group, (one, _) in zip(shared, scores, strict=True)])
    backward = _put_together([(rows_b[group], one) for group, (_, one) in zip(shared, scores, strict=True)])
    return forward, backward


def score_one_way_by_group(
    queries: Labelled,
    gallery: Labelled,
    groups_q: Groups,
    groups_g: Groups,
    compute: ComputeSettings,
    asked: BoolArray | None = None,
) -> QueryScores:
    """The first result of `score_pair_by_group` alone, of the queries that are asked."""
    rows_q, rows_g = _rows_of(queries, groups_q), _rows_of(gallery, groups_g)
    shared = [group for group in rows_q if group in rows_g]
    return _put_together(
        [
            (
                rows_q[group],
                score_one_way(
                    _take(queries, rows_q[group]),
                    _take(gallery, rows_g[group]),
                    compute,
                    asked=_part(asked, rows_q[group]),
                ),
            )
            for group in shared
        ]
    )


def score_within_by_group(
    a: Labelled,
    groups: Groups,
    compute: ComputeSettings,
    queries: Labelled | None = None,
    asked: BoolArray | None = None,
) -> QueryScores:
    """Score the queries of a domain within itself, as `metrics.score_within`, each query within its group."""
    return _put_together(
        [
            (
                rows,
                score_within(
                    _take(a, rows), compute, None if queries is None else _take(queries, rows), _part(asked, rows)
                ),
            )
            for rows in _rows_of(a, groups).values()
        ]
    )


def _rows_of(samples: Labelled, groups: Groups) -> dict[str | None, IntArray]:
    """Group -> its rows, ascending; groups in the order of their first row."""
    if len(groups) != len(samples):
        raise ValueError(f"{len(samples)} samples but {len(groups)} groups")
    rows: dict[str | None, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    return {group: np.array(of_group, np.int64) for group, of_group in rows.items()}


def _take(samples: Labelled, rows: IntArray) -> Labelled:
    return Labelled(samples.vectors.take(rows), samples.products[rows])


def _part(asked: BoolArray | None, rows: IntArray) -> BoolArray | None:
    return None if asked is None else asked[rows]


def _put_together(parts: list[tuple[IntArray, QueryScores]]) -> QueryScores:
    """The scores of all queries from those of groups of them, each group with the rows of its queries."""
    nothing = np.zeros(0, np.int64)
    nobody = score_queries(PositiveRanks(np.zeros(1, np.int64), nothing, nothing, n_rechecked=0))
    return joined([nobody, *(replace(scores, queries=rows[scores.queries]) for rows, scores in parts)])
