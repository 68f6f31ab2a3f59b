"""Independent random streams, named by what they are for, out of one seed."""

from collections.abc import Sequence
from enum import IntEnum
from typing import TypeVar

import numpy as np

__all__ = ["Stream", "generator", "pick", "uniform"]

T = TypeVar("T")


class Stream(IntEnum):
    """What a stream of random numbers is for: the first part of its key."""

    CATALOGUE = 0
    SPLIT = 1
    IDS = 2
    MP4 = 3
    PAGE = 4
    VIDEO = 5
    LIVE = 6
    ROWS = 7
    PLANT = 8
    REVIEW = 9
    N_REVIEWS = 10
    ORACLE = 11
    QUERY = 12


def generator(seed: int, stream: Stream, *index: int) -> np.random.Generator:
    """Make the generator of one item of a stream; the same key always gives the same numbers.

    An item's numbers do not depend on how many other items there are, or on which process draws them.

    >>> float(generator(0, Stream.PAGE, 7, 1).random()) == float(generator(0, Stream.PAGE, 7, 1).random())
    True
    >>> float(generator(0, Stream.PAGE, 7, 1).random()) == float(generator(0, Stream.PAGE, 7, 2).random())
    False
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(stream), *index)))


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """Draw one of `items`, each as likely as the others.

    >>> pick(generator(0, Stream.PAGE), ["only"])
    'only'
    """
    return items[int(rng.integers(len(items)))]


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a float from [low, high)."""
    return float(rng.uniform(low, high))
