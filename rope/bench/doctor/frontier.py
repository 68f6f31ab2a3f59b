"""The same vectors made smaller: fewer dimensions, eight bits, one bit.

The headline of each is R@1 by the certified engine, except for one bit: products of signs are whole numbers, exact in
float32 regardless of the order of the sum, so counting them needs no certificate. A row that a variant leaves without
direction is lost: as a query it finds nothing, and in a gallery it is not found.
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from rope.arrays import Float32Array, FloatArray, IntArray
from rope.bench.doctor.geometry import Moments, units
from rope.bench.metrics import mean, score_queries
from rope.bench.ranking.engine import ComputeSettings, Labelled, PositiveRanks, rank_pair
from rope.bench.ranking.similarity import Vectors
from rope.domain import DomainName, cross_domain_pairs

__all__ = ["Accuracy", "FrontierPoint", "centre", "measure_frontier", "score_variant", "share_at_1", "truncations"]

_MIN_DIM: Final = 8
_INT8_MAX: Final = 127
_NO_DIRECTION: Final = 2.0**-20
"""A unit vector in float32 carries errors of about 2^-24 an entry; what is left of it after subtracting something is
noise where it is shorter than this."""

_HEIGHT: Final = 1024
_WIDTH: Final = 2048

Arrays = Mapping[DomainName, Float32Array]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """R@1 of one variant of the vectors, as fractions.

    Attributes:
        headline: mean over the cross-domain pairs.
        change: the headline less that of the vectors as they are.
        r_at_1: `P2V` and so on -> share of the queries that have a positive among the original rows.
        changes: R@1 of each pair less that of the vectors as they are.
        n_lost: rows left without direction, which find nothing and are not found.
    """

    headline: float
    change: float
    r_at_1: dict[str, float]
    changes: dict[str, float]
    n_lost: int

    @classmethod
    def of(cls, r_at_1: Mapping[str, float], full: Mapping[str, float], n_lost: int) -> "Accuracy":
        """Compare the R@1 of all pairs with those of the vectors as they are."""
        headline = mean([*r_at_1.values()])
        changes = {name: value - full[name] for name, value in r_at_1.items()}
        return cls(headline, headline - mean([*full.values()]), dict(r_at_1), changes, n_lost)


@dataclass(frozen=True, slots=True)
class FrontierPoint:
    """One variant on the cost frontier.

    Attributes:
        name: such as `float32`, `first 64`, `int8`, `binary`.
        bytes_per_sample: size of one vector.
        accuracy: what it scores.
    """

    name: str
    bytes_per_sample: int
    accuracy: Accuracy


def truncations(dim: int) -> tuple[int, ...]:
    """The numbers of leading dimensions to try: a half, a quarter and an eighth, of at least 8.

    >>> truncations(128), truncations(20), truncations(8)
    ((64, 32, 16), (10,), ())
    """
    return tuple(dim // divisor for divisor in (2, 4, 8) if dim // divisor >= _MIN_DIM)


def share_at_1(ranks: PositiveRanks, n_queries: int) -> float:
    """Share of `n_queries` queries, at least one, that have a positive at rank 1."""
    return int(np.count_nonzero(score_queries(ranks).rank == 1)) / n_queries


def measure_frontier(
    sides: Mapping[DomainName, Labelled], of: Mapping[DomainName, Moments], full: Accuracy, compute: ComputeSettings
) -> tuple[FrontierPoint, ...]:
    """Score the truncated, the int8 and the binary variants beside the vectors as they are.

    int8: unit vectors; each dimension is divided by its largest magnitude over all samples of all domains, times 127,
    and rounded to the nearest whole number. What is compared are the codes times that scale.
    binary: the sign of a unit vector less the mean of the domains' centroids; zero counts as positive.

    Args:
        sides: the domains, in order and of one dimension; every pair has a product in common.
        of: their moments.
        full: what the vectors score as they are.
        compute: how to spend the machine.
    """
    dim = next(iter(sides.values())).vectors.dim
    points = [FrontierPoint("float32", 4 * dim, full)]
    for kept in truncations(dim):
        arrays = {domain: np.ascontiguousarray(side.vectors.raw[:, :kept]) for domain, side in sides.items()}
        points.append(FrontierPoint(f"first {kept}", 4 * kept, score_variant(sides, arrays, full, compute)))
    points.append(FrontierPoint("int8", dim, score_variant(sides, _int8(sides), full, compute)))
    points.append(FrontierPoint("binary", -(-dim // 8), _score_signs(sides, _signs(sides, of), full, compute)))
    return tuple(points)


def centre(sides: Mapping[DomainName, Labelled], of: Mapping[DomainName, Moments]) -> dict[DomainName, Float32Array]:
    """Unit vectors less the centroid of their domain; a row that is hardly more than rounding becomes zero."""

    def less_centroid(domain: DomainName) -> Callable[[FloatArray], FloatArray]:
        def change(block: FloatArray) -> FloatArray:
            rest: FloatArray = block - of[domain].mean
            rest[np.linalg.norm(rest, axis=1) < _NO_DIRECTION] = 0
            return rest

        return change

    return {domain: _mapped(side.vectors, less_centroid(domain)) for domain, side in sides.items()}


def score_variant(
    sides: Mapping[DomainName, Labelled], arrays: Arrays, full: Accuracy, compute: ComputeSettings
) -> Accuracy:
    """R@1 of the rows of `arrays`, float32 [n, dim] in the order of `sides`; rows of zeros are lost."""
    kept = {domain: array.any(axis=1) for domain, array in arrays.items()}
    left: dict[DomainName, Labelled] = {
        domain: Labelled(Vectors.of(arrays[domain][kept[domain]]), side.products[kept[domain]])
        for domain, side in sides.items()
    }
    n_lost = sum(int(np.count_nonzero(~rows)) for rows in kept.values())
    n_queries = _count_queries(sides)
    r_at_1 = dict.fromkeys(n_queries, 0.0)
    for pair in cross_domain_pairs(sides)[::2]:
        a, b = left[pair.query], left[pair.gallery]
        if len(a) and len(b):
            for name, ranks in zip((pair.name, pair.reverse.name), rank_pair(a, b, compute), strict=True):
                r_at_1[name] = share_at_1(ranks, n_queries[name])
    return Accuracy.of(r_at_1, full.r_at_1, n_lost)


def _count_queries(sides: Mapping[DomainName, Labelled]) -> dict[str, int]:
    """Queries with a positive, by pair."""
    return {
        pair.name: int(np.isin(sides[pair.query].products, sides[pair.gallery].products).sum())
        for pair in cross_domain_pairs(sides)
    }


def _mapped(vectors: Vectors, change: Callable[[FloatArray], FloatArray]) -> Float32Array:
    """`change` applied to the unit vectors, block by block, as float32 [n, dim]."""
    return np.concatenate([change(block).astype(np.float32) for block in units(vectors)])


def _int8(sides: Mapping[DomainName, Labelled]) -> dict[DomainName, Float32Array]:
    """The vectors as int8 codes times their scale."""
    largest = np.max([np.abs(block).max(axis=0) for side in sides.values() for block in units(side.vectors)], axis=0)
    scale = np.where(largest > 0, largest / _INT8_MAX, 1)  # a dimension without values gets code 0
    return {
        domain: _mapped(side.vectors, lambda block: np.rint(block / scale) * scale) for domain, side in sides.items()
    }


def _signs(sides: Mapping[DomainName, Labelled], of: Mapping[DomainName, Moments]) -> dict[DomainName, Float32Array]:
    """The vectors as +1 and -1."""
    middle = np.mean([of[domain].mean for domain in sides], axis=0)
    return {
        domain: _mapped(side.vectors, lambda block: np.where(block >= middle, 1.0, -1.0))
        for domain, side in sides.items()
    }


def _score_signs(
    sides: Mapping[DomainName, Labelled], signs: Arrays, full: Accuracy, compute: ComputeSettings
) -> Accuracy:
    """R@1 of vectors of +1 and -1: a query is right if its best positive beats every negative, ties against it."""
    n_queries = _count_queries(sides)
    r_at_1: dict[str, float] = {}
    for pair in cross_domain_pairs(sides)[::2]:
        a, b = pair.query, pair.gallery
        hits = _sign_hits(signs[a], sides[a].products, signs[b], sides[b].products, compute)
        for name, n_hits in zip((pair.name, pair.reverse.name), hits, strict=True):
            r_at_1[name] = n_hits / n_queries[name]
    return Accuracy.of(r_at_1, full.r_at_1, n_lost=0)


def _sign_hits(
    a: Float32Array, a_products: IntArray, b: Float32Array, b_products: IntArray, compute: ComputeSettings
) -> tuple[int, int]:
    """Queries of a that are right in b, and of b in a."""
    best_a, best_b = (np.full((2, len(side)), -np.inf, np.float32) for side in (a, b))  # [positive or negative, n]
    lock = Lock()

    def work(top: int) -> None:
        rows = slice(top, top + _HEIGHT)
        for left in range(0, len(b), _WIDTH):
            columns = slice(left, left + _WIDTH)
            negatives = a[rows] @ b[columns].T  # [height, width]
            is_positive = a_products[rows, None] == b_products[columns]
            positives = np.where(is_positive, negatives, -np.inf)
            negatives[is_positive] = -np.inf
            in_rows, in_columns = (np.stack([positives.max(axis=axis), negatives.max(axis=axis)]) for axis in (1, 0))
            with lock:
                best_a[:, rows] = np.maximum(best_a[:, rows], in_rows)
                best_b[:, columns] = np.maximum(best_b[:, columns], in_columns)
            compute.advance(negatives.size)

    n_threads = compute.threads or os.cpu_count() or 1
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(n_threads) as pool:
        for finished in [pool.submit(work, top) for top in range(0, len(a), _HEIGHT)]:
            finished.result()
    in_b, in_a = (int(np.count_nonzero(best[0] > best[1])) for best in (best_a, best_b))
    return in_b, in_a
