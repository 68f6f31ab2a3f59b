"""Ranks where a query is searched among a part of the gallery only: the samples of its own group.

A group is the value of the column `gallery`; samples without one form a group of their own. Groups have nothing to do
with each other, so each is ranked alone by `rope.bench.engine`, exactly, and the results are put together.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from rope.bench.engine import Effort, Labelled, PositiveRanks, rank_pair, rank_within

__all__ = ["rank_pair_by_group", "rank_within_by_group"]

IntArray = npt.NDArray[np.int64]
Groups = Sequence[str | None]
"""The group of each sample."""


def rank_pair_by_group(
    a: Labelled, b: Labelled, groups_a: Groups, groups_b: Groups, effort: Effort
) -> tuple[PositiveRanks, PositiveRanks]:
    """Rank the positives of two domains in both directions, as `rank_pair`, each query within its group.

    A positive is a sample of the same product in the same group, a negative one of another product in the same group.
    A query whose group has no sample on the other side has no positive.

    Args:
        a: queries of the first result, gallery of the second.
        b: the reverse.
        groups_a: the group of each sample of a.
        groups_b: the group of each sample of b.
        effort: how to spend the machine.

    Raises:
        ValueError: the dimensions differ, or there are not as many groups as samples.
    """
    rows_a, rows_b = _rows_of(a, groups_a), _rows_of(b, groups_b)
    shared = [group for group in rows_a if group in rows_b]
    ranks = [rank_pair(_take(a, rows_a[group]), _take(b, rows_b[group]), effort) for group in shared]
    forward = _put_together(len(a), [(rows_a[group], one) for group, (one, _) in zip(shared, ranks, strict=True)])
    backward = _put_together(len(b), [(rows_b[group], one) for group, (_, one) in zip(shared, ranks, strict=True)])
    return forward, backward


def rank_within_by_group(a: Labelled, groups: Groups, effort: Effort) -> PositiveRanks:
    """Rank the positives of a domain within itself, as `rank_within`, each query within its group."""
    rows = _rows_of(a, groups)
    return _put_together(len(a), [(of_group, rank_within(_take(a, of_group), effort)) for of_group in rows.values()])


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


def _put_together(n_queries: int, parts: list[tuple[IntArray, PositiveRanks]]) -> PositiveRanks:
    """The ranks of all queries from those of groups of them; a query that is in no group has no positive.

    Args:
        n_queries: how many there are.
        parts: for each group, the rows of its queries and their ranks.
    """
    n_positives = np.zeros(n_queries, np.int64)
    for rows, ranks in parts:
        n_positives[rows] = np.diff(ranks.offsets)
    offsets = np.concatenate([[0], np.cumsum(n_positives)])
    # Where the entries of each group belong: those of one query stay side by side.
    places = [np.concatenate([_NONE, *_runs(offsets, rows)]) for rows, _ in parts]

    def placed(values_of: Callable[[PositiveRanks], IntArray]) -> IntArray:
        values = np.zeros(offsets[-1], np.int64)
        for place, (_, ranks) in zip(places, parts, strict=True):
            values[place] = values_of(ranks)
        return values

    return PositiveRanks(
        offsets=offsets,
        above=placed(lambda ranks: ranks.above),
        above_optimistic=placed(lambda ranks: ranks.above_optimistic),
        n_rechecked=sum(ranks.n_rechecked for _, ranks in parts),
    )


_NONE = np.zeros(0, np.int64)


def _runs(offsets: IntArray, rows: IntArray) -> Iterator[IntArray]:
    """The entries of each of these queries."""
    for row in rows:
        yield np.arange(offsets[row], offsets[row + 1])
