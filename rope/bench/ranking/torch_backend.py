"""Blocks made and compared by torch on any of its devices, an accelerator above all.

Only limits, counts and the few open comparisons travel between the device and the host.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from rope.bench.ranking.backends import Limits, Rectangle, float32_limits
from rope.bench.ranking.blocks import PADDING, BitArray, BoolArray, FloatArray, IntArray, padded
from rope.bench.ranking.counting import Counted, counted_from
from rope.bench.ranking.similarity import Vectors, bfloat16_bound, float32_bound

__all__ = ["OnDevice"]


class OnDevice:
    """An `Arithmetic` on a torch device.

    Attributes:
        device: where blocks live.
        precision: the type of the products and blocks; sums are float32.

    Raises:
        RuntimeError: torch has no such device.
    """

    shape = (16384, 16384)  # 1 GiB of float32: large enough to keep an accelerator busy

    def __init__(self, device: str, precision: Literal["float32", "bfloat16"] = "float32") -> None:
        self.device = torch.zeros(1, device=device).device
        self.precision = precision
        self._dtype = torch.float32 if precision == "float32" else torch.bfloat16
        # Products must not be rounded more than the bound allows for.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False

    def bound(self, dim: int) -> float:
        """See `similarity.float32_bound` and `similarity.bfloat16_bound`."""
        return float32_bound(dim) if self.precision == "float32" else bfloat16_bound(dim)

    def limits(self, lower: FloatArray, upper: FloatArray) -> tuple[Limits, Limits]:
        """float32 numbers that the type of a block holds exactly."""
        return float32_limits(lower, upper) if self.precision == "float32" else bfloat16_limits(lower, upper)

    def units(self, vectors: Vectors, start: int, stop: int) -> torch.Tensor:
        """[stop - start, dim]; normalised in float32 as by `similarity.float32_units`."""
        raw = self._tensor(vectors.raw[start:stop])
        return raw.mul_(self._tensor(vectors.inverse_norms[start:stop, None].astype(np.float32))).to(self._dtype)

    def block(self, queries: torch.Tensor, gallery: torch.Tensor, same: Sequence[Rectangle]) -> torch.Tensor:
        """[n, m]."""
        block = queries @ gallery.T
        for top, bottom, left, right in same:
            block[top:bottom, left:right] = -torch.inf
        return block

    def transposed(self, block: torch.Tensor, width: int) -> torch.Tensor:
        """[width, n]."""
        return block[:, :width].T.contiguous()

    def count(
        self, block: torch.Tensor, low: Limits, high: Limits, offsets: IntArray, most: int, wanted: BoolArray
    ) -> Counted | None:
        """See `counting.count_numpy`."""
        above, slots = np.zeros((2, len(low)), np.int64), np.cumsum(wanted) - 1
        bits = np.zeros((2, np.count_nonzero(wanted), padded(block.shape[1]) // PADDING), np.uint64)
        for rows, at in _by_rank(offsets):
            values = block if len(rows) == len(block) else block[self._tensor(rows)]
            for i, limits in enumerate((low, high)):
                is_above = values > self._limits(limits[at])
                above[i, at] = is_above.sum(dim=1).cpu().numpy()
                bits[i, slots[at[wanted[at]]]] = _bits_of(is_above[self._tensor(wanted[at])])
        maybe, sure = above
        if (maybe - sure).sum() > most:
            return None
        return counted_from(sure, bits, wanted, *self._find(block, low, high, offsets, maybe > sure), offsets)

    def _find(
        self, block: torch.Tensor, low: Limits, high: Limits, offsets: IntArray, wanted: BoolArray
    ) -> tuple[IntArray, IntArray]:
        """The values of row i in `(low, high]` of its wanted limits, as (limit, column)."""
        found = [(np.zeros(0, np.int64),) * 2]
        for rows, at in _by_rank(offsets):
            rows, at = rows[wanted[at]], at[wanted[at]]
            values = block[self._tensor(rows)]
            open_ones = (values > self._limits(low[at])) & (values <= self._limits(high[at]))
            which, columns = (places.cpu().numpy() for places in torch.nonzero(open_ones, as_tuple=True))
            found.append((at[which], columns))
        limits, columns = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return limits, columns

    def _tensor(self, values: FloatArray | IntArray | BoolArray | Limits) -> torch.Tensor:
        return torch.tensor(values, device=self.device)

    def _limits(self, values: Limits) -> torch.Tensor:
        """[n, 1], of the type of a block."""
        return self._tensor(values)[:, None].to(self._dtype)


def _by_rank(offsets: IntArray) -> list[tuple[IntArray, IntArray]]:
    """For each place in the list of a row's limits: the rows that have one there, and which limits these are.

    >>> _by_rank(np.array([0, 2, 2, 3]))
    [(array([0, 2]), array([0, 2])), (array([0]), array([1]))]
    """
    n_limits = np.diff(offsets)
    ranked = [np.flatnonzero(n_limits > rank) for rank in range(n_limits.max(initial=0))]
    return [(rows, offsets[rows] + rank) for rank, rows in enumerate(ranked)]


def _bits_of(mask: torch.Tensor) -> BitArray:
    """See `counting.bits_of`; eight times less has to travel."""
    whole = torch.nn.functional.pad(mask, (0, padded(mask.shape[1]) - mask.shape[1])).view(torch.uint8)
    weights = 2 ** torch.arange(8, dtype=torch.uint8, device=mask.device)
    lanes = (whole.view(len(mask), whole.shape[1] // 8, 8) * weights).sum(dim=2, dtype=torch.uint8)
    return lanes.cpu().numpy().view("<u8")


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
