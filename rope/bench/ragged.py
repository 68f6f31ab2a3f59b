"""Arrays in which each item has a run of rows: item i has the rows `offsets[i]:offsets[i + 1]`, perhaps none."""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from rope.arrays import IntArray

__all__ = ["offsets_of", "rows_of_items", "taken"]

Values = TypeVar("Values", bound=npt.NDArray[Any])


def offsets_of(lengths: IntArray) -> IntArray:
    """int64 [n + 1], where the runs of n items begin and end.

    >>> offsets_of(np.array([2, 0, 1]))
    array([0, 2, 2, 3])
    """
    offsets: IntArray = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    return offsets


def rows_of_items(offsets: IntArray, items: IntArray) -> IntArray:
    """The rows of some items, item after item.

    >>> rows_of_items(np.array([0, 2, 2, 5]), np.array([2, 0]))
    array([2, 3, 4, 0, 1])
    """
    lengths = np.diff(offsets)[items]
    ends = np.cumsum(lengths)
    rows: IntArray = np.arange(ends[-1] if len(ends) else 0) + np.repeat(offsets[items] - ends + lengths, lengths)
    return rows


def taken(values: Values, offsets: IntArray, items: IntArray) -> tuple[Values, IntArray]:
    """The values and offsets of some items, in that order.

    >>> taken(np.array([7, 8, 9]), np.array([0, 2, 2, 3]), np.array([2, 1, 0]))
    (array([9, 7, 8]), array([0, 1, 1, 3]))
    """
    return values[rows_of_items(offsets, items)], offsets_of(np.diff(offsets)[items])  # type: ignore[return-value]
