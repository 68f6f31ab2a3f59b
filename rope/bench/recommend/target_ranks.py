"""Where the target item stands among all items, for each user: by vectors, certified as all ranks are here."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np
import numpy.typing as npt

from rope.arrays import BoolArray, IntArray
from rope.bench.ranking.engine import ComputeSettings, Labelled, rank_one_way
from rope.bench.ranking.similarity import TIE, Vectors, exact_cosine, float64_bound, float64_pairs
from rope.bench.recommend.interactions import LeaveOneOut, Sequences

__all__ = ["TargetRanks", "hidden_items", "rank_by_vectors"]


_TIE: Final = Decimal("1e-12")

_USERS_A_BLOCK: Final = 1 << 16
"""Users whose hidden items are compared in one go."""


@dataclass(frozen=True, slots=True, eq=False)
class TargetRanks:
    """For each user, how many other items of the gallery come before the target.

    Attributes:
        above: int64 [n], items at least as good: ties count against the model.
        above_optimistic: int64 [n], items strictly better.
        n_negatives: int64 [n], items of the user's gallery other than the target.
    """

    above: IntArray
    above_optimistic: IntArray
    n_negatives: IntArray


def hidden_items(split: LeaveOneOut, *, exclude_history: bool) -> Sequences:
    """The items that are not part of a user's gallery: those of the history, each once; never the target.

    >>> split = LeaveOneOut(np.array([0]), Sequences.of([[5, 3, 5, 1]]), np.array([1]), Sequences.of([]), np.array([2]))
    >>> hidden_items(split, exclude_history=True)[0], len(hidden_items(split, exclude_history=False)[0])
    (array([3, 5]), 0)
    """
    n_users, history = len(split.users), split.history
    if not exclude_history:
        return Sequences(np.zeros(n_users + 1, np.int64), np.zeros(0, np.int64))
    owners = history.owners
    order = np.lexsort((history.items, owners))
    owners, items = owners[order], history.items[order]
    is_kept = items != split.targets[owners]
    is_kept[1:] &= (np.diff(owners) != 0) | (np.diff(items) != 0)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owners[is_kept], minlength=n_users))])
    return Sequences(offsets, items[is_kept])


def rank_by_vectors(
    items: Vectors, users: npt.NDArray[np.float32], targets: IntArray, hidden: Sequences, compute: ComputeSettings
) -> TargetRanks:
    """Rank each user's target among all items by the cosine with the user's vector.

    The whole gallery is counted by `rope.bench.ranking.engine`; then the hidden items, a few for each user, are taken
    off the count, by the same comparison.

    Args:
        items: the gallery, m vectors.
        users: float32 [n, dim], finite and not zero.
        targets: int64 [n], rows of `items`.
        hidden: see `hidden_items`.
        compute: how to spend the machine.

    >>> items = Vectors.of(np.float32([[1, 0], [0, 1], [1, 1]]))
    >>> nothing = Sequences.of([[]])
    >>> one_thread = ComputeSettings(threads=1)
    >>> rank_by_vectors(items, np.float32([[1, 0.1]]), np.array([1]), nothing, one_thread).above
    array([2])
    >>> rank_by_vectors(items, np.float32([[1, 0.1]]), np.array([1]), Sequences.of([[0]]), one_thread).above
    array([1])
    """
    order = np.argsort(targets, kind="stable")  # the engine wants queries in the order of what they look for
    queries = Labelled(Vectors.of(users[order]), targets[order])
    ranks = rank_one_way(queries, Labelled(items, np.arange(len(items))), compute, best_only=True)
    above, optimistic = np.empty_like(ranks.above), np.empty_like(ranks.above)
    above[order], optimistic[order] = ranks.above, ranks.above_optimistic

    row_of = np.empty_like(order)
    row_of[order] = np.arange(len(order))
    own = float64_pairs(queries.vectors, row_of, items, targets)
    for start in range(0, len(targets), _USERS_A_BLOCK):
        asked = np.arange(start, min(start + _USERS_A_BLOCK, len(targets)))
        gone = hidden.take(asked)
        owners = asked[gone.owners]
        wins, wins_strictly = _compare(queries.vectors, row_of[owners], items, gone.items, targets[owners], own[owners])
        above[asked] -= np.bincount(gone.owners[wins], minlength=len(asked))
        optimistic[asked] -= np.bincount(gone.owners[wins_strictly], minlength=len(asked))
    return TargetRanks(above, optimistic, len(items) - 1 - hidden.lengths)


def _compare(
    users: Vectors,
    rows: IntArray,
    items: Vectors,
    columns: IntArray,
    targets: IntArray,
    own: npt.NDArray[np.float64],
) -> tuple[BoolArray, BoolArray]:
    """Whether each item is at least as similar to its user as the target is, and whether strictly more.

    `own` has the similarity of each target in float64; what that cannot tell is settled in whole numbers.
    """
    differences = float64_pairs(users, rows, items, columns) - own
    wins, wins_strictly = differences > -TIE, differences >= TIE
    reach = 2 * float64_bound(users.dim) + 2.0**-50
    unsure = np.minimum(np.abs(differences + TIE), np.abs(differences - TIE)) <= reach
    for i in np.flatnonzero(unsure):
        user = users.raw[rows[i]]
        difference = exact_cosine(user, items.raw[columns[i]]) - exact_cosine(user, items.raw[targets[i]])
        wins[i], wins_strictly[i] = difference > -_TIE, difference >= _TIE
    return wins, wins_strictly
