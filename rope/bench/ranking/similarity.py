"""What "more similar" means, decided exactly: the cosine of float32 vectors, in three precisions.

The similarity of two vectors is their cosine in exact arithmetic, and two similarities closer than
`TIE` are equal. No machine computes that directly, so each comparison is made in the cheapest precision
that can settle it:

1. float32 matrix products of normalised vectors, within `float32_bound` of the exact cosine;
2. float64 dot products of the vectors as given, within `float64_bound`;
3. integer arithmetic (`exact_cosine`), for the few differences within the float64 bound of `TIE` itself.

Since each step only decides what its error bound allows, the outcome does not depend on the BLAS, the
order of summation, the block size, the number of threads or the device. docs/protocol.md derives the
bounds.
"""

import math
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rope.arrays import FloatArray, IntArray
from rope.bench.ragged import offsets_of, rows_of_items
from rope.bench.ranking.blocks import CHUNK
from rope.bench.ranking.counting import dot_pairs

__all__ = [
    "TIE",
    "Vectors",
    "bfloat16_bound",
    "exact_cosine",
    "float32_bound",
    "float32_units",
    "float64_bound",
    "float64_matrix",
    "float64_pairs",
    "int16_bound",
]

TIE: Final = 1e-12
"""Similarities closer than this are equal."""

_DIGITS: Final = 60
"""Decimal digits of `exact_cosine`: far below any difference that float32 vectors can have near `TIE`."""


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Vectors as given, with what normalises them.

    Attributes:
        raw: float32 [n, dim], C-contiguous, finite, no zero row. Rows of extreme length are scaled by a
            power of two, which changes no cosine. With `offsets` it is [m, dim], m vectors in all.
        inverse_norms: float64 [n] or [m].
        offsets: int64 [n + 1] where a sample has any number of vectors, those of sample i in the rows
            `offsets[i]:offsets[i + 1]`; None where each has one. Only `rope.bench.ranking.rowwise` ranks such samples.
    """

    raw: npt.NDArray[np.float32]
    inverse_norms: FloatArray
    offsets: IntArray | None = None

    @classmethod
    def of(cls, vectors: npt.NDArray[np.float32], offsets: IntArray | None = None) -> "Vectors":
        """Take float32 [n, dim]; the array is copied only where rows have to be scaled.

        Raises:
            ValueError: an entry is not finite, or a row is zero.
        """
        norms = _norms(vectors)
        if not np.all(np.isfinite(norms)) or not np.all(norms > 0):
            raise ValueError("vectors must be finite and not zero")
        extreme = (norms < 2.0**-60) | (norms > 2.0**60)
        if extreme.any():
            vectors = vectors.copy()
            exponents = np.frexp(norms[extreme])[1]
            vectors[extreme] = np.ldexp(vectors[extreme], -exponents[:, None])
            norms[extreme] = _norms(vectors[extreme])
        return cls(np.ascontiguousarray(vectors), 1.0 / norms, offsets)

    def __len__(self) -> int:
        return len(self.raw) if self.offsets is None else len(self.offsets) - 1

    @property
    def dim(self) -> int:
        """Number of dimensions."""
        return int(self.raw.shape[1])

    def take(self, rows: IntArray) -> "Vectors":
        """The vectors of the samples at `rows`, in that order."""
        if self.offsets is None:
            return Vectors(self.raw[rows], self.inverse_norms[rows])
        kept = rows_of_items(self.offsets, rows)
        return Vectors(self.raw[kept], self.inverse_norms[kept], offsets_of(np.diff(self.offsets)[rows]))

    def part(self, start: int, stop: int) -> "Vectors":
        """The vectors of the samples `start:stop`, not copied."""
        if self.offsets is None:
            return Vectors(self.raw[start:stop], self.inverse_norms[start:stop])
        first, last = self.offsets[start], self.offsets[stop]
        return Vectors(self.raw[first:last], self.inverse_norms[first:last], self.offsets[start : stop + 1] - first)


def _norms(vectors: npt.NDArray[np.float32]) -> FloatArray:
    """Euclidean norms in float64 [n]."""
    rows = np.arange(len(vectors))
    norms: FloatArray = np.sqrt(dot_pairs(vectors, rows, vectors, rows))
    return norms


def float32_units(vectors: Vectors, start: int, stop: int) -> npt.NDArray[np.float32]:
    """Rows `start:stop`, normalised, as float32 [stop - start, dim]."""
    return vectors.raw[start:stop] * vectors.inverse_norms[start:stop, None].astype(np.float32)


def float32_bound(dim: int) -> float:
    """Largest distance of a float32 dot product of two `float32_units` from the exact cosine.

    With u = 2^-24, each entry of a unit vector carries two roundings and the sum, in whatever order, at
    most dim·u / (1 - dim·u) of the sum of the products' magnitudes, which Cauchy-Schwarz bounds by 1
    (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1). The last term covers
    underflow.

    >>> 7.6e-6 < float32_bound(128) < 8.2e-6
    True
    """
    u = 2.0**-24
    gamma = dim * u / (1 - dim * u)
    return ((1 + gamma) * (1 + 2 * u + u * u) ** 2 - 1) * (1 + 1e-6) + 2.0**-100


def bfloat16_bound(dim: int) -> float:
    """Largest distance of a bfloat16 product of two `float32_units`, before it is rounded, from the exact cosine.

    Both sides are rounded once more, by 2^-9 of each entry at most. Products of two bfloat16 numbers are exact in
    float32, in which they are added; the instructions of some processors round twice where others round once, so
    twice as many roundings are allowed for, and as many that flush to zero.

    >>> 3.9e-3 < bfloat16_bound(768) < 4.1e-3
    True
    """
    u, v = 2.0**-24, 2.0**-9
    gamma = 2 * dim * u / (1 - 2 * dim * u)
    return ((1 + gamma) * ((1 + 2 * u + u * u) * (1 + v)) ** 2 - 1) * (1 + 1e-6) + dim * 2.0**-100


def int16_bound(rounding: float, shifted: float) -> float:
    """Largest distance of a product of unit vectors rounded to 16 bits, before it is rounded itself, from the cosine.

    With x and y of length 1 and their roundings x' and y', x'y' - xy = (x' - x) y + x' (y' - y), which Cauchy-Schwarz
    bounds. The last term covers three roundings to float32.

    Args:
        rounding: the largest distance of a rounded vector from a unit vector.
        shifted: what shifting takes away from a product.

    >>> 1.2e-4 < int16_bound(6e-5, 2e-8) < 1.21e-4
    True
    """
    return (2 * rounding + rounding**2 + shifted) * (1 + 1e-6) + 2.0**-22


def float64_bound(dim: int) -> float:
    """Largest distance of `float64_matrix` and `float64_pairs` from the exact cosine.

    Products of two float32 numbers are exact in float64. With u = 2^-53, the sum carries m = min(dim, 512) +
    dim / 512 roundings at most, the two inverse norms m / 2 + 2 each, the scaling two.

    >>> float64_bound(768) < TIE / 8
    True
    """
    m = min(dim, CHUNK) + math.ceil(dim / CHUNK)
    return (2 * m + 8) * 2.0**-53


def float64_matrix(a: Vectors, rows: slice, b: Vectors, columns: slice) -> FloatArray:
    """Cosines of `a[rows]` with `b[columns]` in float64."""
    total: FloatArray | None = None
    for start in range(0, a.dim, CHUNK):
        left = a.raw[rows, start : start + CHUNK].astype(np.float64)
        right = b.raw[columns, start : start + CHUNK].astype(np.float64)
        product = left @ right.T
        total = product if total is None else np.add(total, product, out=total)
    assert total is not None, "vectors have at least one dimension"
    total *= a.inverse_norms[rows, None]
    total *= b.inverse_norms[None, columns]
    return total


def float64_pairs(a: Vectors, rows: IntArray, b: Vectors, columns: IntArray) -> FloatArray:
    """Cosines of `a[rows[i]]` with `b[columns[i]]` in float64 [len(rows)]."""
    cosines: FloatArray = dot_pairs(a.raw, rows, b.raw, columns)
    cosines *= a.inverse_norms[rows]
    cosines *= b.inverse_norms[columns]
    return cosines


def exact_cosine(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> Decimal:
    """The cosine of two float32 vectors to 60 digits, from integer dot products.

    >>> exact_cosine(np.float32([3, 4]), np.float32([3, 4]))
    Decimal('1')
    """
    x, y = _integers(a), _integers(b)
    with localcontext() as context:
        context.prec = _DIGITS
        dot = sum(map(int.__mul__, x, y))
        squares = sum(v * v for v in x) * sum(v * v for v in y)
        return Decimal(dot) / Decimal(squares).sqrt()


def _integers(vector: npt.NDArray[np.float32]) -> list[int]:
    """The vector times the power of two that makes every entry an integer."""
    mantissas, exponents = np.frexp(vector.astype(np.float64))
    lowest = int(exponents.min())
    significands: Any = (mantissas * 2.0**24).astype(np.int64)
    return [int(m) << int(e - lowest) for m, e in zip(significands, exponents, strict=True)]
