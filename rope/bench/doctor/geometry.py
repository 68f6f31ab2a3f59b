"""The shape of a cloud of vectors: lengths, dimensions in use, how narrow it is, how far one lies from another.

All but the lengths is said of the unit vectors, since cosine similarity sees nothing else. Sums run over all
samples and pairs in float64; nothing is sampled.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rope.arrays import FloatArray
from rope.bench.ranking.similarity import Vectors

__all__ = [
    "DomainGeometry",
    "Gap",
    "Moments",
    "Norms",
    "measure_gap",
    "measure_norms",
    "measure_shape",
    "moments",
    "units",
]

_ROWS_A_BLOCK: Final = 4096
_N_BINS: Final = 40
_NO_VARIANCE: Final = 1e-12
"""Unit vectors stored in float32 that are meant to be equal vary by less."""


@dataclass(frozen=True, slots=True)
class Norms:
    """Quantiles of the Euclidean lengths of one domain's vectors."""

    minimum: float
    p5: float
    median: float
    p95: float
    maximum: float


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Of the n unit vectors of a domain: their number, mean [dim] and mean outer product [dim, dim]."""

    n: int
    mean: FloatArray
    second: FloatArray

    @property
    def variance(self) -> float:
        """Mean squared distance from the centroid, in [0, 1]."""
        return max(0.0, 1 - float(self.mean @ self.mean))


@dataclass(frozen=True, slots=True)
class DomainGeometry:
    """How a domain's unit vectors fill their space.

    Attributes:
        effective_rank: exp of the entropy of the eigenvalues of the covariance, in [1, dim]; 0 where all
            vectors are equal.
        participation_ratio: squared sum of the eigenvalues over the sum of their squares, likewise.
        mean_cosine: of two different samples, over all pairs; None for a single sample.
        std_cosine: standard deviation over all pairs; None in the same case.
        cumulative: number of directions (powers of two, then dim) -> share of the variance in that many
            principal directions; empty where all vectors are equal.
    """

    effective_rank: float
    participation_ratio: float
    mean_cosine: float | None
    std_cosine: float | None
    cumulative: dict[int, float]


@dataclass(frozen=True, slots=True)
class Gap:
    """How far two domains lie from each other.

    Attributes:
        distance: between the centroids of the unit vectors, in [0, 2].
        spread: root mean square distance of a sample from the centroid of its domain.
        ratio: distance / spread; None where nothing varies.
        told_apart: share of samples on their own domain's side of the plane halfway between the centroids,
            averaged over the two domains: 0.5 is chance, 1 means that the vector gives the domain away.
            None where the centroids coincide.
        edges: bounds of the histogram bins along the line through the centroids, 0 halfway.
        first: share of the first domain's samples in each bin.
        second: share of the second domain's.
    """

    distance: float
    spread: float
    ratio: float | None
    told_apart: float | None
    edges: tuple[float, ...]
    first: tuple[float, ...]
    second: tuple[float, ...]


def measure_norms(vectors: npt.NDArray[np.float32]) -> Norms:
    """Quantiles of the lengths of finite vectors, float32 [n, dim] with n >= 1.

    >>> measure_norms(np.array([[3, 4], [0, 1]], np.float32))
    Norms(minimum=1.0, p5=1.2, median=3.0, p95=4.8, maximum=5.0)
    """
    norms = np.concatenate(
        [
            np.linalg.norm(vectors[start : start + _ROWS_A_BLOCK].astype(np.float64), axis=1)
            for start in range(0, len(vectors), _ROWS_A_BLOCK)
        ]
    )
    return Norms(*np.quantile(norms, [0, 0.05, 0.5, 0.95, 1]).tolist())


def units(vectors: Vectors) -> Iterator[FloatArray]:
    """The unit vectors in float64, some thousand rows [rows, dim] at a time."""
    for start in range(0, len(vectors), _ROWS_A_BLOCK):
        rows = slice(start, start + _ROWS_A_BLOCK)
        yield vectors.raw[rows].astype(np.float64) * vectors.inverse_norms[rows, None]


def moments(vectors: Vectors) -> Moments:
    """First and second moments of the unit vectors of a domain with at least one sample."""
    total, outer = np.zeros(vectors.dim), np.zeros((vectors.dim, vectors.dim))
    for block in units(vectors):
        total += block.sum(axis=0)
        outer += block.T @ block
    return Moments(len(vectors), total / len(vectors), outer / len(vectors))


def measure_shape(of: Moments) -> DomainGeometry:
    """Effective rank, participation ratio and the spread of cosines.

    The means over all pairs of different samples follow from the moments: the sum of u·v is the squared length of
    the sum of vectors, that of (u·v)² the squared Frobenius norm of the sum of outer products; a sample with itself
    contributes 1 to both.

    >>> square = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float32)
    >>> shape = measure_shape(moments(Vectors.of(square)))
    >>> round(shape.effective_rank, 6), round(shape.participation_ratio, 6), round(shape.mean_cosine, 6)
    (2.0, 2.0, -0.333333)
    """
    eigenvalues = np.linalg.eigvalsh(of.second - np.outer(of.mean, of.mean))[::-1].clip(0)
    mean_cosine = std_cosine = None
    if of.n > 1:
        mean_cosine = _over_pairs(float(of.mean @ of.mean), of.n)
        mean_square = _over_pairs(float(np.square(of.second).sum()), of.n)
        std_cosine = math.sqrt(max(0.0, mean_square - mean_cosine**2))
    if eigenvalues.sum() <= _NO_VARIANCE:
        return DomainGeometry(0.0, 0.0, mean_cosine, std_cosine, {})
    shares = eigenvalues / eigenvalues.sum()
    positive = shares[shares > 0]
    sums = np.cumsum(shares)
    counts = [2**i for i in range(len(shares)) if 2**i < len(shares)] + [len(shares)]
    return DomainGeometry(
        effective_rank=float(np.exp(-(positive * np.log(positive)).sum())),
        participation_ratio=float(1 / np.square(shares).sum()),
        mean_cosine=mean_cosine,
        std_cosine=std_cosine,
        cumulative={count: float(min(sums[count - 1], 1)) for count in counts},
    )


def _over_pairs(mean_with_self: float, n: int) -> float:
    """Mean over the ordered pairs of different samples, from the mean over all n² pairs; a self-pair counts 1."""
    return (n * mean_with_self - 1) / (n - 1)


def measure_gap(a: Vectors, of_a: Moments, b: Vectors, of_b: Moments) -> Gap:
    """The gap between two domains, each with its moments; the dimensions are equal.

    >>> left, right = (Vectors.of(np.array(v, np.float32)) for v in ([[1, 0], [1, 1]], [[-1, 0], [-1, 1]]))
    >>> gap = measure_gap(left, moments(left), right, moments(right))
    >>> round(gap.distance, 3), gap.told_apart
    (1.707, 1.0)
    """
    difference = of_b.mean - of_a.mean
    distance = float(np.linalg.norm(difference))
    spread = math.sqrt((of_a.variance + of_b.variance) / 2)
    ratio = distance / spread if spread**2 > _NO_VARIANCE else None
    if distance**2 <= _NO_VARIANCE:
        return Gap(distance, spread, ratio, None, (), (), ())
    direction, middle = difference / distance, (of_a.mean + of_b.mean) / 2
    along_a, along_b = (np.concatenate([(block - middle) @ direction for block in units(side)]) for side in (a, b))
    reach = max(float(np.abs(along_a).max()), float(np.abs(along_b).max()))
    edges = np.linspace(-reach, reach, _N_BINS + 1)
    first, second = (np.histogram(along, edges)[0] / len(along) for along in (along_a, along_b))
    told_apart = (np.mean(along_a < 0) + np.mean(along_b > 0)) / 2
    return Gap(
        distance, spread, ratio, float(told_apart), tuple(edges.tolist()), tuple(first.tolist()), tuple(second.tolist())
    )
