"""How a video says that its frames are to be shown: turned, mirrored, or both."""

import struct
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from rope.errors import DatasetError

__all__ = ["Orientation", "is_plain_turn", "orientation_of"]

_TOLERANCE: Final = 0.0175
"""Tangent of a degree, within which FFmpeg takes a turn for a quarter."""


_ONE: Final = 1 << 16
_PLAIN_TURNS: Final = frozenset(
    {(_ONE, 0, 0, _ONE), (0, _ONE, -_ONE, 0), (-_ONE, 0, 0, -_ONE), (0, -_ONE, _ONE, 0)}
)  # a, b, c and d, as `orientation_of` names them


class Orientation(NamedTuple):
    """What is done to a stored picture, in this order.

    Attributes:
        is_transposed: rows become columns.
        flips_rows: the last row becomes the first.
        flips_columns: the last column becomes the first.
    """

    is_transposed: bool = False
    flips_rows: bool = False
    flips_columns: bool = False

    def upright(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """A stored picture [height, width, 3] as it is shown."""
        if self == (False, False, False):
            return pixels
        shown = pixels.swapaxes(0, 1) if self.is_transposed else pixels
        return np.ascontiguousarray(shown[:: -1 if self.flips_rows else 1, :: -1 if self.flips_columns else 1])


def orientation_of(matrix: bytes) -> Orientation:
    """What a display matrix says: nine numbers of 32 bits, as FFmpeg gives those of ISO/IEC 14496-12, 8.3.2.

    A pixel in column p and row q is shown in column a p + c q and row b p + d q, shifted into view. How much the matrix
    stretches makes no difference.

    >>> orientation_of(struct.pack("=9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30))  # a quarter clockwise
    Orientation(is_transposed=True, flips_rows=False, flips_columns=True)

    Raises:
        DatasetError: it turns the picture by another angle than quarters.
    """
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix)
    straight, across = max(abs(a), abs(d)), max(abs(b), abs(c))
    if across <= straight * _TOLERANCE:
        return Orientation(False, d < 0, a < 0)
    if straight <= across * _TOLERANCE:
        return Orientation(True, b < 0, c < 0)
    raise DatasetError("is to be shown at an angle that is not a multiple of 90 degrees")


def is_plain_turn(matrix: bytes) -> bool:
    """Whether a display matrix turns by quarters and does nothing else: neither mirrors nor stretches."""
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix)
    return (a, b, c, d) in _PLAIN_TURNS
