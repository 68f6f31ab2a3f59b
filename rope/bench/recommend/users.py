"""Vectors of users: without any training, or read from a file that a trained model wrote."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from rope.arrays import IntArray
from rope.bench.ranking.similarity import Vectors
from rope.bench.recommend.interactions import Sequences
from rope.errors import EmbeddingError
from rope.files import atomic_path, check_file, reading_file

__all__ = ["mean_of_history", "read_user_vectors", "write_user_vectors"]


_USERS_A_BLOCK = 4096


def mean_of_history(items: Vectors, history: Sequences, max_history: int | None = None) -> npt.NDArray[np.float32]:
    """The normalised mean of the normalised vectors of what each user took: float32 [n_users, dim].

    An item taken twice counts twice. Sums are made in float64, oldest item first, in blocks of users, so that only
    the result grows with their number. A user whose vectors cancel out gets the vector of the latest item.

    Args:
        items: a vector for each item.
        history: at least one item for each user.
        max_history: take this many of the latest items; None for all.

    >>> items = Vectors.of(np.float32([[3, 0], [0, 1], [-1, 0]]))
    >>> mean_of_history(items, Sequences.of([[0], [0, 0, 1, 1], [0, 2]])).round(3).tolist()
    [[1.0, 0.0], [0.7070000171661377, 0.7070000171661377], [-1.0, 0.0]]
    """
    vectors = np.empty((len(history), items.dim), np.float32)
    for start in range(0, len(history), _USERS_A_BLOCK):
        stop = min(start + _USERS_A_BLOCK, len(history))
        vectors[start:stop] = _means(items, history, np.arange(start, stop), max_history)
    return vectors


def _means(items: Vectors, history: Sequences, users: IntArray, max_history: int | None) -> npt.NDArray[np.float64]:
    last = history.offsets[users + 1]
    first = history.offsets[users]
    if max_history is not None:
        first = np.maximum(first, last - max_history)
    sums = np.zeros((len(users), items.dim))
    for position in range(int((last - first).max())):
        who = np.flatnonzero(first + position < last)
        sums[who] += _units(items, history.items[first[who] + position])
    norms = np.sqrt(np.einsum("ij,ij->i", sums, sums))
    cancelled = norms < 1e-9
    sums[cancelled] = _units(items, history.items[last[cancelled] - 1])
    norms[cancelled] = 1.0
    return np.asarray(sums / norms[:, None], np.float64)


def _units(items: Vectors, rows: IntArray) -> npt.NDArray[np.float64]:
    units: npt.NDArray[np.float64] = items.raw[rows].astype(np.float64) * items.inverse_norms[rows, None]
    return units


def write_user_vectors(path: Path, user_ids: list[str], vectors: npt.NDArray[np.float32]) -> None:
    """Write the arrays `user_ids` and `users` to an `.npz` file, for `read_user_vectors`."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, user_ids=np.array(user_ids, np.str_), users=vectors)


def read_user_vectors(path: Path, user_ids: list[str], dim: int) -> npt.NDArray[np.float32]:
    """The vectors of these users, float32 [n, dim], from an `.npz` file with the arrays `user_ids` and `users`.

    Raises:
        UsageError: the file does not exist.
        FileError: it has other arrays, or is not an `.npz` file.
        EmbeddingError: its vectors have another dimension than `dim`, or a user has no vector, two, or one without a
            direction.
    """
    check_file(path, ".npz with the arrays user_ids and users")
    with (
        reading_file(path, ".npz with the arrays user_ids and users"),
        path.open("rb") as file,
        np.load(file, allow_pickle=False) as archive,
    ):
        ids, vectors = archive["user_ids"].astype(np.str_).tolist(), archive["users"]
    if vectors.shape != (len(ids), dim) or vectors.dtype.kind != "f":
        raise EmbeddingError(
            f"{path}: users is {vectors.dtype} {vectors.shape}, expected floats [{len(ids)}, {dim}] as the items have"
        )
    row_of = {one: row for row, one in enumerate(ids)}
    missing = [one for one in user_ids if one not in row_of]
    if missing or len(row_of) != len(ids):
        what = f"no vector for {len(missing)} users, such as {missing[0]!r}" if missing else "a user occurs twice"
        raise EmbeddingError(f"{path}: {what}")
    wanted = np.ascontiguousarray(vectors[[row_of[one] for one in user_ids]], np.float32)
    bad = np.flatnonzero(~(np.isfinite(wanted).all(axis=1) & wanted.any(axis=1)))
    if len(bad):
        raise EmbeddingError(f"{path}: user {user_ids[bad[0]]!r} has a vector of zeros, or with NaN or infinity")
    return wanted
