"""Hubs: gallery samples that are found by far too many queries, and those that are found by none.

The lists of nearest neighbours come from float32 products, with no certificate: which of two nearly equal
neighbours takes the last place of a list may depend on the machine. No R@k is computed from them.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from rope.arrays import Float32Array, IntArray
from rope.bench.ranking.engine import ComputeSettings
from rope.bench.ranking.similarity import Vectors, float32_units

__all__ = ["LIST_LENGTH", "HubSample", "Hubness", "measure_hubness", "nearest"]

LIST_LENGTH: Final = 10
"""Neighbours of a query that are looked at: the k of the k-occurrence N_k."""

_HEIGHT: Final = 1024
_WIDTH: Final = 2048
"""A block of 1024 x 2048 float32 is 8 MiB; its size is fixed, so that the lists do not follow the number of threads."""

_WORST: Final = 5


@dataclass(frozen=True, slots=True)
class HubSample:
    """A gallery sample and in how many lists of neighbours it is."""

    sample_id: str
    n_lists: int


@dataclass(frozen=True, slots=True)
class Hubness:
    """How evenly the places in the queries' lists of neighbours are spread over a gallery.

    Attributes:
        list_length: places in a list: 10, or the size of a smaller gallery.
        expected: lists that a gallery sample would be in if all were in equally many.
        skewness: of the number of lists a gallery sample is in; None where all are in equally many.
        never: share of gallery samples that are in no list.
        top_percent: share of all places that the most frequent 1 % of the gallery (at least one sample) takes.
        worst: the most frequent samples, at most five.
    """

    list_length: int
    expected: float
    skewness: float | None
    never: float
    top_percent: float
    worst: tuple[HubSample, ...]


def measure_hubness(lists: IntArray, gallery_ids: Sequence[str]) -> Hubness:
    """Count how often each gallery sample occurs.

    Args:
        lists: int64 [n_queries, k], rows of the gallery, with n_queries and k at least 1.
        gallery_ids: the id of each row of the gallery.

    >>> hubness = measure_hubness(np.array([[0], [0], [0], [2]]), ["a", "b", "c"])
    >>> round(hubness.skewness, 3), round(hubness.never, 3), hubness.worst[0]
    (0.382, 0.333, HubSample(sample_id='a', n_lists=3))
    """
    counts = np.bincount(lists.ravel(), minlength=len(gallery_ids))
    centred = counts - counts.mean()
    variance = float(np.square(centred).mean())
    order = sorted(range(len(counts)), key=lambda i: (-counts[i], gallery_ids[i]))
    n_top = max(1, len(counts) // 100)
    return Hubness(
        list_length=lists.shape[1],
        expected=lists.size / len(counts),
        skewness=float((centred**3).mean()) / variance**1.5 if variance > 0 else None,
        never=float(np.mean(counts == 0)),
        top_percent=float(counts[order[:n_top]].sum() / lists.size),
        worst=tuple(HubSample(gallery_ids[i], int(counts[i])) for i in order[:_WORST]),
    )


def nearest(queries: Vectors, gallery: Vectors, k: int, compute: ComputeSettings) -> IntArray:
    """The k most similar gallery rows of each query, the most similar first, by float32 cosine.

    Memory does not grow with the gallery: each block of similarities only adds what beats the k-th best so far.

    Args:
        queries: n vectors.
        gallery: at least k vectors of the same dimension.
        k: length of a list.
        compute: threads and progress; blocks have a fixed size.

    Returns:
        int64 [n, k].

    >>> line = Vectors.of(np.array([[1, 0], [2, 1], [0, 1]], np.float32))
    >>> nearest(line, line, 2, ComputeSettings()).tolist()
    [[0, 1], [1, 0], [2, 1]]
    """

    def work(top: int) -> IntArray:
        bottom = min(top + _HEIGHT, len(queries))
        rows = float32_units(queries, top, bottom)  # [height, dim]
        values = np.empty((bottom - top, 0), np.float32)
        columns = np.empty((bottom - top, 0), np.int64)
        for left in range(0, len(gallery), _WIDTH):
            right = min(left + _WIDTH, len(gallery))
            block = rows @ float32_units(gallery, left, right).T  # [height, width]
            values, columns = _merge(values, columns, block, left, k)
            compute.advance(block.size)
        return columns

    n_threads = compute.threads or os.cpu_count() or 1
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(n_threads) as pool:
        return np.concatenate(list(pool.map(work, range(0, len(queries), _HEIGHT))))


def _merge(
    values: Float32Array, columns: IntArray, block: Float32Array, left: int, k: int
) -> tuple[Float32Array, IntArray]:
    """The k best of the lists so far (best first; empty before the first block) and of a block."""
    height, width = block.shape
    if not columns.shape[1]:
        best = np.argpartition(block, width - k, axis=1)[:, width - k :]
        rows, found = np.repeat(np.arange(height), k), best.ravel()
    else:
        rows, found = np.nonzero(block > values[:, -1:])
    changed = np.unique(rows)
    old = np.repeat(changed, columns.shape[1])
    all_rows = np.concatenate([old, rows])
    all_values = np.concatenate([values[changed].ravel(), block[rows, found]])
    all_columns = np.concatenate([columns[changed].ravel(), found + left])
    order = np.lexsort((all_columns, -all_values, all_rows))
    starts = np.searchsorted(all_rows[order], changed)
    picked = order[starts[:, None] + np.arange(k)]  # [changed, k]
    if not columns.shape[1]:
        return all_values[picked], all_columns[picked]
    values[changed], columns[changed] = all_values[picked], all_columns[picked]
    return values, columns
