"""Records of more rows than memory holds, in files: by a hash, so that equal ones meet, or by row, for the way back.

A stage that must see all rows appends what it has to know of each to the division of its hash, decides division by
division, and appends what it has decided to the block of its row. In memory is one division or block at a time.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rope.arrays import IntArray

__all__ = ["FILE_ROWS", "ByHash", "ByRow", "Records", "division_of", "n_files"]

FILE_ROWS: Final = 500_000
"""Rows of a division or block, about."""

Records = npt.NDArray[Any]
"""A structured array."""


class ByHash:
    """Records with a field `hash`; each division has a range of hashes, and they come in its order."""

    def __init__(self, folder: Path, kind: np.dtype[Any], n_divisions: int) -> None:
        """Make the folder, which is for these records alone; they are of one kind."""
        folder.mkdir()
        self._kind = kind
        self._files = [folder / f"{i}" for i in range(n_divisions)]
        self._waiting: list[Records] = []

    def add(self, records: Records) -> None:
        """Take records; they are written when there are enough for it."""
        self._waiting.append(records)
        if sum(map(len, self._waiting)) >= FILE_ROWS:
            self._write()

    def __iter__(self) -> Iterator[Records]:
        """The records of each division; within one, in the order in which they came."""
        self._write()
        return (_read(file, self._kind) for file in self._files)

    def _write(self) -> None:
        records = np.concatenate([np.empty(0, self._kind), *self._waiting])
        self._waiting = []
        _append(self._files, records, division_of(records["hash"], len(self._files)))


class ByRow:
    """Records with a field `row`, of at most one for each row."""

    def __init__(self, folder: Path, kind: np.dtype[Any], file_rows: int) -> None:
        """Make the folder, which is for these records alone; they are of one kind."""
        folder.mkdir()
        self._folder, self._kind, self._file_rows = folder, kind, file_rows

    def add(self, records: Records) -> None:
        """Write records."""
        place = records["row"] // self._file_rows
        _append(self._files(int(place.max(initial=0)) + 1), records, place)

    def between(self, start: int, stop: int) -> Records:
        """The records of some rows, in any order."""
        files = self._files(-(-stop // self._file_rows))[start // self._file_rows :]
        found = np.concatenate([np.empty(0, self._kind), *(_read(file, self._kind) for file in files)])
        return found[(found["row"] >= start) & (found["row"] < stop)]

    def _files(self, n: int) -> list[Path]:
        return [self._folder / f"{i}" for i in range(n)]


def n_files(n_rows: int, file_rows: int = FILE_ROWS) -> int:
    """Divisions or blocks for so many rows, at least one."""
    return max(1, -(-n_rows // file_rows))


def division_of(hashes: npt.NDArray[np.uint64], n_divisions: int) -> IntArray:
    """Which of equal ranges of all hashes each is in.

    >>> division_of(np.array([0, 2**63, 2**64 - 1], np.uint64), 2).tolist()
    [0, 1, 1]
    """
    starts = np.array([-((-i << 64) // n_divisions) for i in range(n_divisions)], np.uint64)
    return np.searchsorted(starts, hashes, side="right") - 1


def _append(files: Sequence[Path], records: Records, place: IntArray) -> None:
    """Append each record to the file at its place."""
    order = np.argsort(place, kind="stable")
    ends = np.searchsorted(place[order], np.arange(1, len(files)))
    for file, group in zip(files, np.split(records[order], ends), strict=True):
        if len(group):
            with file.open("ab") as opened:
                opened.write(group.tobytes())


def _read(file: Path, kind: np.dtype[Any]) -> Records:
    return np.fromfile(file, kind) if file.exists() else np.empty(0, kind)
