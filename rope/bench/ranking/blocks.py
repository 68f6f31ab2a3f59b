"""The layout of similarity blocks for the loops that compare them, and of the costs that those loops add up."""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy.typing as npt

from rope.arrays import BitArray, BoolArray, Float32Array, FloatArray, IntArray

__all__ = [
    "CHUNK",
    "MAX_COST",
    "PADDING",
    "BitArray",
    "Block",
    "BoolArray",
    "Float32Array",
    "FloatArray",
    "IntArray",
    "Prices",
    "padded",
]

CHUNK: Final = 512
"""Dimensions summed in one go in float64; keeps the error bound small for any dimension."""

MAX_COST: Final = 40 << 40
"""A total that has come this far is not added to; the largest single cost."""

PADDING: Final = 64
"""Rows of a block have a multiple of this many values, so that loops over them have no rest."""

Block: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """What it costs when samples of a run of a gallery are above a limit, product by product.

    Attributes:
        product: int64 [m], ascending; what the samples of one product have in common.
        place: int64 [m], the place in `table` of the cost of no sample of the product above.
        table: int64; the cost of c samples above stands c places after that of none.
        drawn: uint64 [m, n_words]; the trials, as bits, in which each sample is drawn.
    """

    product: IntArray
    place: IntArray
    table: IntArray
    drawn: BitArray


def padded(n: int) -> int:
    """The next multiple of `PADDING`.

    >>> padded(0), padded(1), padded(64), padded(65)
    (0, 64, 64, 128)
    """
    return -(-n // PADDING) * PADDING
