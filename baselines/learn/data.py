"""Training batches of histories and later items, drawn by the seed, the epoch and the user only."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from baselines.learn.config import LearnRecipe
from rope.arrays import IntArray
from rope.bench.recommend.interactions import Sequences

__all__ = ["UserBatch", "cut_of", "draw_batch", "epoch_batches", "n_batches", "padded_histories", "trainable"]


@dataclass(frozen=True, slots=True, eq=False)
class UserBatch:
    """Of b users; items are rows of the table of content embeddings.

    Attributes:
        history: int64 [b, t], oldest first, padded at the end with 0.
        mask: int64 [b, t], 1 for an item of the history.
        items: int64 [b, a], items taken later, padded at the end with 0; a is 1 except for the objective `dense`.
        item_mask: bool [b, a], True for an item.
        places: int64 [b, p], places of the history that are drawn; the last one except for `dense`.
        place_mask: bool [b, p], True for a place.
    """

    history: IntArray
    mask: IntArray
    items: IntArray
    item_mask: npt.NDArray[np.bool_]
    places: IntArray
    place_mask: npt.NDArray[np.bool_]


def trainable(sequences: Sequences) -> Sequences:
    """The sequences of two items and more, which can be cut."""
    return sequences.take(np.flatnonzero(sequences.lengths >= 2))


def n_batches(n_users: int, batch_size: int, size: int) -> int:
    """Batches of an epoch on each of `size` processes; users that do not fill a row of processes are left out.

    >>> n_batches(10, 4, 1), n_batches(10, 2, 3)
    (3, 2)
    """
    return -(-(n_users // size) // batch_size)


def epoch_batches(
    sequences: Sequences, recipe: LearnRecipe, epoch: int, *, rank: int = 0, size: int = 1, start: int = 0
) -> Iterator[UserBatch]:
    """The batches of one epoch on one of `size` processes, from number `start` on.

    Args:
        sequences: of the users, two items and more each.
        recipe: objective, seed, batch size and lengths.
        epoch: number of the epoch.
        rank: which process.
        size: how many processes.
        start: batches to pass over.
    """
    order = np.random.default_rng(np.random.SeedSequence(recipe.seed, spawn_key=(epoch,))).permutation(len(sequences))
    mine = order[: len(order) - len(order) % size][rank::size]
    for first in range(start * recipe.batch_size, len(mine), recipe.batch_size):
        yield draw_batch(sequences, mine[first : first + recipe.batch_size], recipe, epoch)


def draw_batch(sequences: Sequences, users: IntArray, recipe: LearnRecipe, epoch: int) -> UserBatch:
    """Cut the sequence of each user in a history and what comes after, and draw from both."""
    histories, places, items = [], [], []
    for user in users:
        rng = np.random.default_rng(np.random.SeedSequence(recipe.seed, spawn_key=(epoch, int(user))))
        taken = sequences[int(user)]
        cut = cut_of(len(taken), recipe, rng)
        history = taken[max(0, cut - recipe.max_history) : cut]
        histories.append(history)
        if recipe.objective == "dense":
            places.append(_some(len(history), recipe.places, rng))
            items.append(taken[cut:][_some(len(taken) - cut, recipe.actions, rng)])
        else:
            places.append(np.array([len(history) - 1]))
            items.append(taken[cut : cut + 1])
    (padded, mask), (drawn, item_mask), (where, place_mask) = map(_pad, (histories, items, places))
    return UserBatch(padded, mask.astype(np.int64), drawn, item_mask, where, place_mask)


def cut_of(length: int, recipe: LearnRecipe, rng: np.random.Generator) -> int:
    """Where a sequence is cut: uniform from 1, or from its middle for `in_batch`, to its last item.

    >>> rng = np.random.default_rng(0)
    >>> sorted({cut_of(6, LearnRecipe(seed=0, objective="in_batch"), rng) for _ in range(99)})
    [3, 4, 5]
    >>> sorted({cut_of(3, LearnRecipe(seed=0), rng) for _ in range(99)})
    [1, 2]
    """
    first = length // 2 if recipe.objective == "in_batch" else 1
    return int(rng.integers(first, length))


def padded_histories(sequences: Sequences, users: IntArray, max_history: int) -> tuple[IntArray, IntArray]:
    """The latest items of some users and their mask, int64 [b, t] both, padded at the end."""
    padded, mask = _pad([sequences[int(user)][-max_history:] for user in users])
    return padded, mask.astype(np.int64)


def _some(n: int, most: int, rng: np.random.Generator) -> IntArray:
    """At most so many of the numbers below n, ascending."""
    return np.sort(rng.permutation(n)[:most]).astype(np.int64)


def _pad(rows: list[IntArray]) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    lengths = np.array([len(row) for row in rows])
    mask = np.arange(lengths.max()) < lengths[:, None]
    padded = np.zeros(mask.shape, np.int64)
    padded[mask] = np.concatenate(rows)
    return padded, mask
