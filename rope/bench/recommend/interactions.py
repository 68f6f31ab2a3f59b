"""Who took which item, in the order of time: one record, and the division into what is known and what is asked."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from rope.arrays import BoolArray, IntArray

__all__ = [
    "Interactions",
    "LeaveOneOut",
    "Sequences",
    "Stage",
    "count_tied_targets",
    "from_events",
    "leave_one_out",
]


_TIE_KEY: Final = b"rope-bench: order of equal times"

Stage = Literal["validation", "test"]
STAGES: tuple[Stage, ...] = get_args(Stage)

_BACK: Final[dict[Stage, int]] = {"test": 1, "validation": 2}
"""Which item is asked for, from the end of a user's sequence."""

_MIN_LENGTH: Final = 3
"""Interactions that a user needs for one to be tested, one to be validated, and one to be known."""


@dataclass(frozen=True, slots=True, eq=False)
class Sequences:
    """Sequences of item rows, one after the other.

    Attributes:
        offsets: int64 [n + 1]; sequence i is `items[offsets[i]:offsets[i + 1]]`.
        items: int64 [offsets[-1]], oldest first.

    >>> history = Sequences.of([[4, 2], [], [7]])
    >>> len(history), history[0], history.lengths
    (3, array([4, 2]), array([2, 0, 1]))
    """

    offsets: IntArray
    items: IntArray

    @classmethod
    def of(cls, sequences: Iterable[Sequence[int]]) -> "Sequences":
        """From one sequence of item rows each."""
        arrays = [np.asarray(sequence, np.int64) for sequence in sequences]
        offsets = np.concatenate([[0], np.cumsum([len(one) for one in arrays])]).astype(np.int64)
        return cls(offsets, np.concatenate([np.zeros(0, np.int64), *arrays]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> IntArray:
        return self.items[self.offsets[i] : self.offsets[i + 1]]

    @property
    def lengths(self) -> IntArray:
        """Items of each sequence, int64 [n]."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> IntArray:
        """The sequence that each of `items` is of, int64."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def take(self, rows: IntArray) -> "Sequences":
        """The sequences at `rows`, in that order."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][rows] - offsets[:-1], lengths)
        return Sequences(offsets, self.items[places])

    def without_last(self, n: IntArray) -> "Sequences":
        """Each sequence without its last `n[i]` items.

        >>> Sequences.of([[4, 2, 9], [7]]).without_last(np.array([1, 0])).items
        array([4, 2, 7])
        """
        lengths = self.lengths - n
        is_kept = np.arange(len(self.items)) - np.repeat(self.offsets[:-1], self.lengths) < np.repeat(
            lengths, self.lengths
        )
        return Sequences(np.concatenate([[0], np.cumsum(lengths)]), self.items[is_kept])


@dataclass(frozen=True, slots=True, eq=False)
class Interactions:
    """Everything that the users of a file did.

    Attributes:
        user_ids: n users.
        item_ids: the items that the file knows, those that nobody took among them.
        taken: a sequence of rows of `item_ids` for each user, oldest first.
        n_repeated: rows of the file that said what another had said, and were left out.
        is_tied: bool, one for each of `taken.items`: whether the user took another item at the same time, so that
            their order is not known; None where the file gives the order itself.
        columns: what held user, item and time: names, or numbers in a file without a heading; None where the layout
            has no columns.
    """

    user_ids: list[str]
    item_ids: list[str]
    taken: Sequences
    n_repeated: int = 0
    is_tied: BoolArray | None = None
    columns: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LeaveOneOut:
    """One item asked of each user.

    Attributes:
        users: int64 [n], rows of `Interactions.user_ids`, ascending.
        history: what is known of each, at least one item.
        targets: int64 [n], the target item.
        training: what models and floors may learn from: all but the last two of every one of `users`, and all of the
            users with too few interactions to be asked.
        training_counts: int64 [n], items of `training` of each of `users`.
    """

    users: IntArray
    history: Sequences
    targets: IntArray
    training: Sequences
    training_counts: IntArray


def from_events(
    users: Sequence[str],
    items: Sequence[str],
    times: Sequence[int] | npt.NDArray[Any],
    columns: tuple[str, str, str] | None = None,
) -> Interactions:
    """Put events in order: users and items by length of id, then code points; events by time.

    What one user took at one time is put in the order of a keyed hash of user and item. The ids' own order would be a
    pattern that a model without any content can learn, and so would be that of the file, which is often sorted by id.
    So the order in which events are given changes nothing. An event given twice is kept once.

    Args:
        users: of n events.
        items: of the same.
        times: of the same; they are compared and nothing else.
        columns: see `Interactions`.

    >>> interactions = from_events(["u", "u", "u"], ["b", "a", "b"], [9, 3, 9])
    >>> interactions.item_ids, interactions.taken[0], interactions.n_repeated
    (['a', 'b'], array([0, 1]), 1)
    >>> from_events(["u", "u", "u"], ["a", "b", "c"], [1, 2, 2]).is_tied
    array([False,  True,  True])
    """
    user_ids, item_ids = _canonical(users), _canonical(items)
    user_row = {one: row for row, one in enumerate(user_ids)}
    item_row = {one: row for row, one in enumerate(item_ids)}
    u = np.array([user_row[one] for one in users], np.int64)
    i = np.array([item_row[one] for one in items], np.int64)
    t = np.asarray(times)
    order = np.lexsort((i, t, u))
    u, i, t = u[order], i[order], t[order]
    is_new = _differs(u) | _differs(i) | _differs(t)
    u, i, t = u[is_new], i[is_new], t[is_new]
    is_first = _differs(u) | _differs(t)
    is_tied = ~(is_first & np.append(is_first[1:], True))
    hashes = np.zeros(len(u), np.uint64)
    hashes[is_tied] = [_tie_hash(user_ids[u[row]], item_ids[i[row]]) for row in np.flatnonzero(is_tied)]
    i = i[np.lexsort((hashes, np.cumsum(is_first)))]
    offsets = np.searchsorted(u, np.arange(len(user_ids) + 1)).astype(np.int64)
    n_repeated = int(len(is_new) - is_new.sum())
    return Interactions(user_ids, item_ids, Sequences(offsets, i), n_repeated, is_tied, columns)


def _differs(column: npt.NDArray[Any]) -> BoolArray:
    """Whether each value is another than the one before; True for the first."""
    return np.concatenate([np.ones(min(len(column), 1), np.bool_), column[1:] != column[:-1]])


def _tie_hash(user: str, item: str) -> int:
    """64 bits that decide the order of what a user took at one time."""
    text = f"{user}\0{item}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8, key=_TIE_KEY).digest(), "big")


def count_tied_targets(interactions: Interactions, stage: Stage) -> int:
    """Users who are asked for an item that they took at the same time as another, so that the hash has chosen it.

    >>> interactions = from_events("uuuvvv", "abcabc", [1, 2, 2, 1, 1, 2])
    >>> count_tied_targets(interactions, "test"), count_tied_targets(interactions, "validation")
    (1, 2)
    """
    if interactions.is_tied is None:
        return 0
    taken = interactions.taken
    ends = taken.offsets[1:][taken.lengths >= _MIN_LENGTH]
    return int(interactions.is_tied[ends - _BACK[stage]].sum())


def leave_one_out(interactions: Interactions, stage: Stage) -> LeaveOneOut:
    """Ask for each user's last item (`test`), or for the one before (`validation`), given all that came before it.

    Users with fewer than three interactions are not asked.

    >>> interactions = Interactions(["u", "v"], list("abcd"), Sequences.of([[0, 1, 2, 3], [1, 2]]))
    >>> split = leave_one_out(interactions, "test")
    >>> split.users, split.history[0], split.targets, split.training.items
    (array([0]), array([0, 1, 2]), array([3]), array([0, 1, 1, 2]))
    >>> leave_one_out(interactions, "validation").history[0]
    array([0, 1])
    """
    taken = interactions.taken
    is_asked = taken.lengths >= _MIN_LENGTH
    users = np.flatnonzero(is_asked)
    back = _BACK[stage]
    training = taken.without_last(2 * is_asked.astype(np.int64))
    return LeaveOneOut(
        users=users,
        history=taken.take(users).without_last(np.full(len(users), back)),
        targets=taken.items[taken.offsets[1:][users] - back],
        training=training,
        training_counts=training.lengths[users],
    )


def _canonical(ids: Sequence[str]) -> list[str]:
    return sorted(set(ids), key=lambda one: (len(one), one))
