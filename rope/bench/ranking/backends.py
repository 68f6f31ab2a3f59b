"""How blocks of similarities are computed and compared: in float32, in 16-bit whole numbers, or on another device.

The engine needs no more of an arithmetic than a bound on its error. All lead to the same ranks, since what the bound
leaves open is settled elsewhere; they differ in how fast they are and how much they leave open.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from rope.arrays import BoolArray, FloatArray, IntArray
from rope.bench.ranking import counting
from rope.bench.ranking.blocks import padded
from rope.bench.ranking.similarity import Vectors, float32_bound, float32_units, int16_bound

__all__ = [
    "Arithmetic",
    "Float32",
    "Int16",
    "Limits",
    "Rectangle",
    "float32_limits",
]

Limits = npt.NDArray[Any]

Rectangle = tuple[int, int, int, int]
"""Top, bottom, left, right: the rows and columns of a block that are of one product."""

_LOWEST: Final = -32_768
"""Below every value and limit of an `Int16` block."""

_UNIT: Final = 32_000
"""What a similarity of 1 is in an `Int16` block."""

_SUMMED: Final = 46_340
"""Two vectors of whole numbers that are no longer have a product that fits in 32 bits, and so has any part of them."""


class Arithmetic(Protocol):
    """Makes blocks and compares them with limits; a block is whatever its own methods take."""

    @property
    def shape(self) -> tuple[int, int]:
        """The largest block that is worth while, rows and columns."""

    def bound(self, dim: int) -> float:
        """Largest distance of a similarity, before it is rounded to the type of a block, from the exact cosine."""

    def limits(self, lower: FloatArray, upper: FloatArray) -> tuple[Limits, Limits]:
        """Of the type of a block: what is at or below the first was below `lower`, what is above the second, above."""

    def units(self, vectors: Vectors, start: int, stop: int) -> Any:  # noqa: ANN401 (a matrix of whatever library)
        """Rows `start:stop`, normalised."""

    def block(self, queries: Any, gallery: Any, same: Sequence[Rectangle]) -> Any:  # noqa: ANN401
        """The similarities of two results of `units`, with `same` and the padding below every limit."""

    def transposed(self, block: Any, width: int) -> Any:  # noqa: ANN401
        """The first columns of a block as the rows of another."""

    def count(
        self,
        block: Any,  # noqa: ANN401
        low: Limits,
        high: Limits,
        offsets: IntArray,
        most: int,
        wanted: BoolArray,
    ) -> counting.Counted | None:
        """See `counting.count_numpy`."""


class Float32:
    """float32 products by numpy, compared by `counting`."""

    shape = (960, 960)  # large enough for a fast product, small enough for the cache, but no power of two: see `Int16`

    count = staticmethod(counting.count)

    def bound(self, dim: int) -> float:
        """See `similarity.float32_bound`."""
        return float32_bound(dim)

    def limits(self, lower: FloatArray, upper: FloatArray) -> tuple[Limits, Limits]:
        """float32, rounded away from each other."""
        return float32_limits(lower, upper)

    def units(self, vectors: Vectors, start: int, stop: int) -> npt.NDArray[np.float32]:
        """float32 [stop - start, dim]."""
        return float32_units(vectors, start, stop)

    def block(
        self, queries: npt.NDArray[np.float32], gallery: npt.NDArray[np.float32], same: Sequence[Rectangle]
    ) -> npt.NDArray[np.float32]:
        """float32 [n, padded m]."""
        block = np.empty((len(queries), padded(len(gallery))), np.float32)
        np.matmul(queries, gallery.T, out=block[:, : len(gallery)])
        block[:, len(gallery) :] = -np.inf
        for top, bottom, left, right in same:
            block[top:bottom, left:right] = -np.inf
        return block

    def transposed(self, block: npt.NDArray[np.float32], width: int) -> npt.NDArray[np.float32]:
        """float32 [width, padded n]."""
        return counting.transposed(block[:, :width], -np.inf)


@dataclass(frozen=True, slots=True, eq=False)
class Int16:
    """Products of vectors rounded to 16 bits, by `product_numba`, on processors that are good at them.

    A block holds the similarities times `_UNIT`, in 16 bits.

    Attributes:
        scale: what unit vectors are multiplied by before they are rounded.
        shift: bits by which sums are shifted so that they fit in 32.
        error: see `bound`.
        shape: of a block; rows of 2^10 numbers would all begin in the same lines of the cache.
    """

    scale: float
    shift: int
    error: float
    shape: tuple[int, int] = (960, 960)

    count = staticmethod(counting.count)

    @classmethod
    def of(cls, *sides: Vectors) -> "Int16":
        """For these vectors and parts of them: with the largest scale at which no sum overflows."""
        from rope.bench.ranking import product_numba

        dim = sides[0].dim
        entry, length = np.max([product_numba.largest(side.raw, side.inverse_norms) for side in sides], axis=0)
        # The chunk of a rounded vector is longer by half a unit in each of its dimensions at most.
        scale = (1 - 1e-5) * float(min(32_767 / entry, (_SUMMED - math.sqrt(product_numba.CHUNK) / 2 - 1) / length))
        off = max(product_numba.largest_rounding(side.raw, side.inverse_norms, scale) for side in sides)
        shift = max(0, math.ceil(2 * math.log2(scale + off + 1)) - 30)
        n_chunks = -(-dim // product_numba.CHUNK)
        return cls(scale, shift, int16_bound(off / scale, n_chunks * 2.0**shift / scale**2))

    def bound(self, dim: int) -> float:
        """See `similarity.int16_bound`."""
        return self.error

    def limits(self, lower: FloatArray, upper: FloatArray) -> tuple[Limits, Limits]:
        """int16; a block keeps values within ±32,767, so such a value may stand for one beyond."""
        low = np.ceil(lower * _UNIT - 0.5 - 1e-9) - 1
        high = np.floor(upper * _UNIT + 0.5 + 1e-9)
        return np.clip(low, -32_768, 32_766).astype(np.int16), np.clip(high, -32_767, 32_767).astype(np.int16)

    def units(self, vectors: Vectors, start: int, stop: int) -> tuple[npt.NDArray[np.int16], int]:
        """int16 [padded stop - start, dim], rounded and filled up with zeros, and how many are no padding."""
        from rope.bench.ranking.product_numba import CHUNK, rounded

        width = -(-vectors.dim // CHUNK) * CHUNK
        return rounded(vectors.raw[start:stop], vectors.inverse_norms[start:stop], self.scale, width), stop - start

    def block(
        self,
        queries: tuple[npt.NDArray[np.int16], int],
        gallery: tuple[npt.NDArray[np.int16], int],
        same: Sequence[Rectangle],
    ) -> npt.NDArray[np.int16]:
        """int16 [n, padded m]."""
        from rope.bench.ranking.product_numba import packed, product

        block = np.empty((queries[1], padded(gallery[1])), np.int16)
        factor = np.float32(_UNIT * 2.0**self.shift / self.scale**2)
        product(queries[0], packed(gallery[0]), np.int32(self.shift), factor, block)
        block[:, gallery[1] :] = _LOWEST
        for top, bottom, left, right in same:
            block[top:bottom, left:right] = _LOWEST
        return block

    def transposed(self, block: npt.NDArray[np.int16], width: int) -> npt.NDArray[np.int16]:
        """int16 [width, padded n]."""
        return counting.transposed(block[:, :width], _LOWEST)


def float32_limits(lower: FloatArray, upper: FloatArray) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """`Arithmetic.limits` for float32.

    >>> low, high = float32_limits(np.array([0.1]), np.array([0.1]))
    >>> bool(low[0] < 0.1 < high[0])
    True
    """
    low = np.nextafter(lower.astype(np.float32), np.float32(-4))
    return low, np.nextafter(upper.astype(np.float32), np.float32(4))
