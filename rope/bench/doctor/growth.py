"""R@k in smaller galleries, in closed form from the ranks in the full one.

Take a query with N negatives in the gallery, b of which come before a positive. In a random subset of m of the
negatives, the number X of those that come before it is hypergeometric, and the positive is among the first k if
fewer than k do:

    P(X < k) = sum over x < k of C(b, x) · C(N - b, m - x) / C(N, m)

No similarity is computed again and nothing is drawn.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from rope.arrays import FloatArray, IntArray
from rope.bench.metrics import mean
from rope.bench.ranking.engine import PositiveRanks

__all__ = ["Growth", "average_growth", "expected_hits", "gallery_sizes", "measure_growth"]

_DEEP: Final = 10


@dataclass(frozen=True, slots=True)
class Growth:
    """What the queries of one pair are expected to score in random galleries; one number a gallery size.

    Attributes:
        r_at_1: all positives of the query and m random negatives.
        r_at_10: likewise.
        r_at_1_one_positive: one positive of the query, drawn at random, and m random negatives.
    """

    r_at_1: tuple[float, ...]
    r_at_10: tuple[float, ...]
    r_at_1_one_positive: tuple[float, ...]


def average_growth(growths: Sequence[Growth]) -> Growth:
    """The mean over pairs, size by size."""
    return Growth(
        tuple(map(mean, zip(*(growth.r_at_1 for growth in growths), strict=True))),
        tuple(map(mean, zip(*(growth.r_at_10 for growth in growths), strict=True))),
        tuple(map(mean, zip(*(growth.r_at_1_one_positive for growth in growths), strict=True))),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Positives:
    """Positives with `above` of `negatives` before them, and how much each counts."""

    above: IntArray
    negatives: IntArray
    weights: FloatArray


def gallery_sizes(smallest: int) -> tuple[int, ...]:
    """Numbers of negatives to look at: 10, 20, 50, 100 and so on, and at last `smallest`.

    Args:
        smallest: the fewest negatives that any query has in any gallery, at least 1.

    >>> gallery_sizes(300)
    (10, 20, 50, 100, 200, 300)
    >>> gallery_sizes(7)
    (7,)
    """
    steps = [digit * 10**power for power in range(1, len(str(smallest)) + 1) for digit in (1, 2, 5)]
    return (*(step for step in steps if step < smallest), smallest)


def measure_growth(
    ranks: Mapping[str, PositiveRanks], n_gallery: Mapping[str, int]
) -> tuple[tuple[int, ...], dict[str, Growth]]:
    """The sizes, common to all pairs, and the growth of each pair.

    Args:
        ranks: of each pair, at least one query of which has a positive.
        n_gallery: gallery samples of each pair.

    Returns:
        No size and no growth where some query has no negative at all.
    """
    negatives = {name: n_gallery[name] - np.diff(of_pair.offsets) for name, of_pair in ranks.items()}
    with_positive = {name: np.flatnonzero(np.diff(of_pair.offsets)) for name, of_pair in ranks.items()}
    smallest = min(int(negatives[name][queries].min()) for name, queries in with_positive.items())
    if smallest < 1:
        return (), {}
    sizes = gallery_sizes(smallest)
    return sizes, {name: _grow(of_pair, negatives[name], with_positive[name], sizes) for name, of_pair in ranks.items()}


def _grow(ranks: PositiveRanks, negatives: IntArray, queries: IntArray, sizes: tuple[int, ...]) -> Growth:
    n_positives = np.diff(ranks.offsets)
    owner = np.repeat(np.arange(len(n_positives)), n_positives)
    best = _weigh(ranks.above[ranks.offsets[queries]], negatives[queries], np.ones(len(queries)))
    every = _weigh(ranks.above, negatives[owner], 1 / n_positives[owner])

    def average(positives: _Positives, size: int, k: int) -> float:
        chances = expected_hits(positives.above, positives.negatives, size, k)
        return math.fsum((positives.weights * chances).tolist()) / len(queries)

    return Growth(
        tuple(average(best, size, 1) for size in sizes),
        tuple(average(best, size, _DEEP) for size in sizes),
        tuple(average(every, size, 1) for size in sizes),
    )


def _weigh(above: IntArray, negatives: IntArray, weights: FloatArray) -> _Positives:
    """Add up the weights of positives that stand alike: they are few, since most stand at the top."""
    width = int(negatives.max()) + 1
    keys, where = np.unique(above * width + negatives, return_inverse=True)
    return _Positives(keys // width, keys % width, np.bincount(where, weights).astype(np.float64))


def expected_hits(above: IntArray, negatives: IntArray, size: int, k: int) -> FloatArray:
    """The chance that a positive is among the first k when `size` of the negatives are kept at random.

    Args:
        above: int64 [n], negatives before the positive, b.
        negatives: int64 [n], negatives in the full gallery, N, with b <= N.
        size: m, from 0 to the smallest N.
        k: cut-off, at least 1.

    Returns:
        float64 [n] in [0, 1].

    >>> expected_hits(np.array([0, 1, 2]), np.array([2, 2, 2]), 1, 1)
    array([1. , 0.5, 0. ])
    """
    log_factorials = _log_factorials(int(negatives.max(initial=0)))

    def log_choose(total: IntArray, part: IntArray | int) -> FloatArray:
        possible = (part >= 0) & (part <= total)
        part = np.where(possible, part, 0)
        logs = log_factorials[total] - log_factorials[part] - log_factorials[total - part]
        return np.where(possible, logs, -np.inf)

    whole = log_choose(negatives, size)
    chance = np.zeros(len(above))
    for x in range(min(k, size + 1)):
        chance += np.exp(log_choose(above, x) + log_choose(negatives - above, size - x) - whole)
    return chance.clip(0, 1)


@lru_cache(maxsize=8)
def _log_factorials(largest: int) -> FloatArray:
    """Natural logarithms of 0!, 1!, … largest!"""
    return np.array([math.lgamma(i + 1) for i in range(largest + 1)])
