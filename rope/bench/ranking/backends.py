"""How blocks of similarities are computed and compared: in float32, in bfloat16, or on another device.

The engine needs no more of an arithmetic than a bound on its error. All lead to the same ranks, since what the bound
leaves open is settled elsewhere; they differ in how fast they are and how much they leave open.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from rope.arrays import BitArray, BoolArray, FloatArray, IntArray
from rope.bench.ranking import counting
from rope.bench.ranking.blocks import Prices, padded
from rope.bench.ranking.similarity import Vectors, bfloat16_bound, float32_bound, float32_units

__all__ = [
    "Arithmetic",
    "Bfloat16",
    "Float32",
    "Limits",
    "Rectangle",
    "bfloat16_limits",
    "float32_limits",
    "has_fast_bfloat16",
]

Limits = npt.NDArray[Any]

Rectangle = tuple[int, int, int, int]
"""Top, bottom, left, right: the rows and columns of a block that are of one product."""

_LOWEST: Final = np.int16(-128)
"""The bits of minus infinity in bfloat16, read as a whole number."""

_LOWEST_KEY: Final = -32641
"""The key of minus infinity, see `_keys`."""


class Arithmetic(Protocol):
    """Makes blocks and compares them with limits; a block is whatever its own methods take.

    Attributes:
        shape: the largest block that is worth while, rows and columns.
    """

    shape: tuple[int, int]

    def bound(self, dim: int) -> float:
        """Largest distance of a similarity, before it is rounded to the type of a block, from the exact cosine."""

    def limits(self, lower: FloatArray, upper: FloatArray) -> tuple[Limits, Limits]:
        """Of the type of a block: what is at or below the first was below `lower`, what is above the second, above."""

    def units(self, vectors: Vectors, start: int, stop: int) -> Any:  # noqa: ANN401 (a matrix of whatever library)
        """Rows `start:stop`, normalised."""

    def block(self, queries: Any, gallery: Any, same: Sequence[Rectangle]) -> Any:  # noqa: ANN401
        """The similarities of two results of `units`, with `same` and the padding below every limit."""

    def transposed(self, block: Any, columns: slice | IntArray) -> Any:  # noqa: ANN401
        """Some columns of a block as the rows of another."""

    def count(self, block: Any, low: Limits, high: Limits, offsets: IntArray) -> tuple[IntArray, IntArray]:  # noqa: ANN401
        """See `counting.count_above_both`."""

    def count_down(self, block: Any, low: Limits, high: Limits) -> tuple[IntArray, IntArray]:  # noqa: ANN401
        """See `counting.count_down_both`."""

    def find(
        self,
        block: Any,  # noqa: ANN401
        low: Limits,
        high: Limits,
        offsets: IntArray,
        wanted: BoolArray,
    ) -> tuple[IntArray, IntArray]:
        """See `counting.find_between`."""

    def add_costs(
        self,
        block: Any,  # noqa: ANN401
        low: Limits,
        high: Limits,
        offsets: IntArray,
        prices: Prices,
        own: BitArray,
        total: IntArray,
        failed: BitArray,
    ) -> tuple[IntArray, IntArray, IntArray]:
        """See `counting.add_costs`."""


class Float32:
    """float32 products by numpy, compared by `counting`."""

    shape = (1024, 1024)  # 4 MiB: large enough for a fast product, small enough for the cache

    count = staticmethod(counting.count_above_both)
    count_down = staticmethod(counting.count_down_both)
    find = staticmethod(counting.find_between)
    add_costs = staticmethod(counting.add_costs)

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

    def filled(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """A block of given values, float32 [n, m], with its padding."""
        block = np.full((len(values), padded(values.shape[1])), -np.inf, np.float32)
        block[:, : values.shape[1]] = values
        return block

    def transposed(self, block: npt.NDArray[np.float32], columns: slice | IntArray) -> npt.NDArray[np.float32]:
        """float32 [columns, padded n]."""
        return counting.transposed(block[:, columns], -np.inf)


class Bfloat16:
    """bfloat16 products by torch, on processors that multiply such numbers natively.

    A block holds whole numbers that are ordered as the bfloat16 numbers whose bits they are made from.
    """

    shape = (1024, 1024)

    count = staticmethod(counting.count_above_both)
    count_down = staticmethod(counting.count_down_both)
    find = staticmethod(counting.find_between)
    add_costs = staticmethod(counting.add_costs)

    def bound(self, dim: int) -> float:
        """See `similarity.bfloat16_bound`."""
        return bfloat16_bound(dim)

    def limits(self, lower: FloatArray, upper: FloatArray) -> tuple[Limits, Limits]:
        """Keys, see `bfloat16_limits`."""
        low, high = bfloat16_limits(lower, upper)
        return _keys(_bits(low)), _keys(_bits(high))

    def units(self, vectors: Vectors, start: int, stop: int) -> Any:  # noqa: ANN401
        """torch.bfloat16 [stop - start, dim]."""
        import torch

        return torch.from_numpy(float32_units(vectors, start, stop)).bfloat16()

    def block(self, queries: Any, gallery: Any, same: Sequence[Rectangle]) -> npt.NDArray[np.int16]:  # noqa: ANN401
        """int16 [n, padded m]."""
        import torch

        block = torch.empty((len(queries), padded(len(gallery))), dtype=torch.bfloat16)
        torch.mm(queries, gallery.T, out=block[:, : len(gallery)])
        bits: npt.NDArray[np.int16] = block.view(torch.int16).numpy()
        bits[:, len(gallery) :] = _LOWEST
        for top, bottom, left, right in same:
            bits[top:bottom, left:right] = _LOWEST
        return _keys(bits)

    def transposed(self, block: npt.NDArray[np.int16], columns: slice | IntArray) -> npt.NDArray[np.int16]:
        """int16 [columns, padded n]."""
        return counting.transposed(block[:, columns], _LOWEST_KEY)


def float32_limits(lower: FloatArray, upper: FloatArray) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """`Arithmetic.limits` for float32.

    >>> low, high = float32_limits(np.array([0.1]), np.array([0.1]))
    >>> bool(low[0] < 0.1 < high[0])
    True
    """
    low = np.nextafter(lower.astype(np.float32), np.float32(-4))
    return low, np.nextafter(upper.astype(np.float32), np.float32(4))


def bfloat16_limits(lower: FloatArray, upper: FloatArray) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """`Arithmetic.limits` for bfloat16, as float32 numbers that are bfloat16 numbers.

    Rounding never changes an order, so a similarity that was at least `lower` before it was rounded is at least the
    next bfloat16 number below `lower` afterwards; the first limit is the number below that one.

    >>> low, high = bfloat16_limits(np.array([0.1, -0.1]), np.array([0.1, -0.1]))
    >>> low
    array([ 0.09912109, -0.10058594], dtype=float32)
    >>> high
    array([ 0.10009766, -0.09960938], dtype=float32)
    """
    low, high = float32_limits(lower, upper)
    floor = _keys(_bits(low)) - (_truncated(low) > low)
    ceiling = _keys(_bits(high)) + (_truncated(high) < high)
    return _values(floor - 1), _values(ceiling)


def _bits(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """The upper half of each number: that of its own if it is a bfloat16 number, else of the next one towards 0."""
    return (values.view(np.int32) >> 16).astype(np.int16)


def _truncated(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return (values.view(np.int32) & ~0xFFFF).view(np.float32)


def _keys(bits: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Whole numbers in the order of the bfloat16 numbers; its own inverse. -0 comes just before 0."""
    keys = bits >> 15
    keys &= np.int16(0x7FFF)
    keys ^= bits
    return keys


def _values(keys: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    return (_keys(keys.astype(np.int16)).astype(np.int32) << 16).view(np.float32)


def has_fast_bfloat16() -> bool:
    """Whether torch is installed and this processor multiplies bfloat16 numbers natively.

    Looked up without importing torch, which takes a second, where the processor lacks it.
    """
    from importlib.util import find_spec
    from pathlib import Path

    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists() or find_spec("torch") is None:
        return False
    flags = next((line.split() for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), [])
    return "avx512_bf16" in flags or "amx_bf16" in flags
