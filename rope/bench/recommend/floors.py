"""Floors that need no vectors: the most popular items, and items taken together. No model should be worse."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from rope.arrays import FloatArray, IntArray
from rope.bench.ranking.similarity import TIE
from rope.bench.recommend.interactions import LeaveOneOut, Sequences
from rope.bench.recommend.target_ranks import TargetRanks

__all__ = ["Neighbours", "item_neighbours", "rank_by_neighbours", "rank_by_popularity"]


_PAIRS_A_BLOCK: Final = 4 << 20
"""Pairs of items looked at in one go: about 200 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The items most often taken by the users of each item.

    Attributes:
        items: a sequence of item rows for each item, the most similar first.
        weights: float64 [len(items.items)], in (0, 1].
    """

    items: Sequences
    weights: FloatArray


def rank_by_popularity(n_items: int, split: LeaveOneOut, hidden: Sequences) -> TargetRanks:
    """Rank each user's target by how often it was taken in training; items taken equally often are ties.

    Args:
        n_items: size of the gallery.
        split: what was taken, and what is asked.
        hidden: see `target_ranks.hidden_items`.
    """
    counts = np.bincount(split.training.items, minlength=n_items)
    ordered, own, owners = np.sort(counts), counts[split.targets], hidden.owners
    n_users = len(split.users)
    at_least = n_items - np.searchsorted(ordered, own, "left") - 1
    more = n_items - np.searchsorted(ordered, own, "right")
    theirs = counts[hidden.items]
    return TargetRanks(
        at_least - np.bincount(owners[theirs >= own[owners]], minlength=n_users),
        more - np.bincount(owners[theirs > own[owners]], minlength=n_users),
        n_items - 1 - hidden.lengths,
    )


def item_neighbours(n_items: int, training: Sequences, k: int) -> Neighbours:
    """The k nearest items of each item by the cosine of the sets of users that took them.

    Items i and j with n(i) and n(j) users, n(i, j) of them the same, have weight n(i, j) / sqrt(n(i) n(j)) (Deshpande
    and Karypis, Item-based top-N recommendation algorithms, 2004). Of equal weights the lower row comes first.

    Args:
        n_items: how many there are.
        training: what each user took; an item counts once a user.
        k: most neighbours of an item.

    >>> near = item_neighbours(4, Sequences.of([[0, 1], [0, 1], [0, 2]]), k=2)
    >>> near.items[0], near.weights[:2].round(3).tolist()
    (array([1, 2]), [0.816, 0.577])
    >>> near.items[3]
    array([], dtype=int64)
    """
    users, items = _distinct(training)
    by_user = Sequences(np.searchsorted(users, np.arange(len(training) + 1)), items)
    order = np.argsort(items, kind="stable")
    by_item = Sequences(np.searchsorted(items[order], np.arange(n_items + 1)), users[order])
    counts = by_item.lengths
    work = np.bincount(items, weights=by_user.lengths[users], minlength=n_items).astype(np.int64)
    parts = [_neighbours_of(rows, by_item, by_user, counts, k) for rows in _blocks(work)]
    owners, found, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Neighbours(Sequences(np.searchsorted(owners, np.arange(n_items + 1)), found), weights)


def _neighbours_of(
    rows: IntArray, by_item: Sequences, by_user: Sequences, counts: IntArray, k: int
) -> tuple[IntArray, IntArray, FloatArray]:
    """Item, neighbour and weight, best first for each of the items `rows`, ascending."""
    n_items = len(by_item)
    mine = by_item.take(rows)
    theirs = by_user.take(mine.items)
    owners = np.repeat(rows[mine.owners], theirs.lengths)
    pairs, together = np.unique(owners * n_items + theirs.items, return_counts=True)
    left, right = np.divmod(pairs, n_items)
    is_other = left != right
    left, right = left[is_other], right[is_other]
    weights = together[is_other] / np.sqrt((counts[left] * counts[right]).astype(np.float64))
    order = np.lexsort((right, -weights, left))
    left, right, weights = left[order], right[order], weights[order]
    is_near = np.arange(len(left)) - np.searchsorted(left, left) < k
    return left[is_near], right[is_near], weights[is_near]


def rank_by_neighbours(near: Neighbours, split: LeaveOneOut, hidden: Sequences) -> TargetRanks:
    """Rank each user's target by the sum of its weights as a neighbour of what the user took.

    An item that is not a neighbour of anything taken has the sum 0, and ties with all others of that kind. Sums closer
    than 1e-12 are ties.
    """
    n_items = len(near.items)
    per_item = near.items.lengths
    work = np.bincount(split.history.owners, weights=per_item[split.history.items], minlength=len(split.users))
    above, optimistic = np.zeros(len(split.users), np.int64), np.zeros(len(split.users), np.int64)
    for rows in _blocks(work.astype(np.int64)):
        history = split.history.take(rows)
        places = near.items.take(history.items)
        owners = np.repeat(history.owners, places.lengths)
        weights = near.weights[_entries(near.items, history.items)]
        keys, which = np.unique(owners * n_items + places.items, return_inverse=True)
        sums: FloatArray = np.bincount(which, weights=weights, minlength=len(keys)).astype(np.float64)  # adds in order
        targets, gone = split.targets[rows], hidden.take(rows)
        mine = _look_up(keys, sums, np.arange(len(rows)) * n_items + targets)
        users, candidates = np.divmod(keys, n_items)
        is_rival = (candidates != targets[users]) & ~np.isin(keys, gone.owners * n_items + gone.items)
        users, sums = users[is_rival], sums[is_rival]
        counted = np.bincount(users[sums > mine[users] - TIE], minlength=len(rows))
        n_zero = n_items - 1 - gone.lengths - np.bincount(users, minlength=len(rows))
        above[rows] = counted + np.where(mine < TIE, n_zero, 0)
        optimistic[rows] = np.bincount(users[sums >= mine[users] + TIE], minlength=len(rows))
    return TargetRanks(above, optimistic, n_items - 1 - hidden.lengths)


def _distinct(sequences: Sequences) -> tuple[IntArray, IntArray]:
    """Owner and item of every item of every sequence, each once, ascending."""
    owners = sequences.owners
    order = np.lexsort((sequences.items, owners))
    owners, items = owners[order], sequences.items[order]
    is_new = np.ones(len(items), np.bool_)
    is_new[1:] = (np.diff(owners) != 0) | (np.diff(items) != 0)
    return owners[is_new], items[is_new]


def _blocks(work: IntArray) -> list[IntArray]:
    """Rows in runs that are about `_PAIRS_A_BLOCK` of work each.

    >>> [block.tolist() for block in _blocks(np.array([3 << 20, 2 << 20, 2 << 20]))]
    [[0], [1, 2]]
    """
    block_of = np.cumsum(work) // (_PAIRS_A_BLOCK + 1)
    return np.split(np.arange(len(work)), np.flatnonzero(np.diff(block_of)) + 1)


def _entries(sequences: Sequences, rows: IntArray) -> IntArray:
    """The places in `sequences.items` of the sequences at `rows`, one after the other."""
    lengths = sequences.lengths[rows]
    starts = np.cumsum(lengths) - lengths
    return np.asarray(np.arange(lengths.sum()) + np.repeat(sequences.offsets[:-1][rows] - starts, lengths))


def _look_up(keys: IntArray, values: FloatArray, wanted: IntArray) -> FloatArray:
    """The value of each wanted key, 0 where `keys`, ascending, do not have it."""
    places = np.searchsorted(keys, wanted)
    found = np.zeros(len(wanted))
    is_there = places < len(keys)
    is_there[is_there] = keys[places[is_there]] == wanted[is_there]
    found[is_there] = values[places[is_there]]
    return found
