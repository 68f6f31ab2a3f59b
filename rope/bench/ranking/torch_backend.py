"""Blocks made and compared by torch on any of its devices, an accelerator above all.

Only limits, counts and the few open comparisons travel between the device and the host.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from rope.bench.ranking.backends import Limits, Rectangle, bfloat16_limits, float32_limits
from rope.bench.ranking.blocks import BitArray, BoolArray, FloatArray, IntArray, Prices
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

    def transposed(self, block: torch.Tensor, columns: slice | IntArray) -> torch.Tensor:
        """[columns, n]."""
        return block[:, columns if isinstance(columns, slice) else self._tensor(columns)].T.contiguous()

    def count(self, block: torch.Tensor, low: Limits, high: Limits, offsets: IntArray) -> tuple[IntArray, IntArray]:
        """See `counting.count_above_both`."""
        above = np.zeros((2, len(low)), np.int64)
        for rows, at in _by_rank(offsets):
            values = block if len(rows) == len(block) else block[self._tensor(rows)]
            for i, limits in enumerate((low, high)):
                above[i, at] = (values > self._limits(limits[at])).sum(dim=1).cpu().numpy()
        return above[0], above[1]

    def count_down(self, block: torch.Tensor, low: Limits, high: Limits) -> tuple[IntArray, IntArray]:
        """See `counting.count_down_both`."""
        n_low, n_high = ((block > self._limits(limits).T).sum(dim=0).cpu().numpy() for limits in (low, high))
        return n_low, n_high

    def find(
        self, block: torch.Tensor, low: Limits, high: Limits, offsets: IntArray, wanted: BoolArray
    ) -> tuple[IntArray, IntArray]:
        """See `counting.find_between`."""
        found = [(np.zeros(0, np.int64),) * 2]
        for rows, at in _by_rank(offsets):
            rows, at = rows[wanted[at]], at[wanted[at]]
            values = block[self._tensor(rows)]
            open_ones = (values > self._limits(low[at])) & (values <= self._limits(high[at]))
            which, columns = (places.cpu().numpy() for places in torch.nonzero(open_ones, as_tuple=True))
            found.append((at[which], columns))
        limits, columns = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return limits, columns

    def add_costs(
        self,
        block: torch.Tensor,
        low: Limits,
        high: Limits,
        offsets: IntArray,
        prices: Prices,
        own: BitArray,
        total: IntArray,
        failed: BitArray,
    ) -> tuple[IntArray, IntArray, IntArray]:
        """See `counting.add_costs`."""
        ends = self._tensor(np.append(prices.starts[1:], len(prices.segment_of)) - 1)
        places, table = self._tensor(prices.places), self._tensor(prices.table)
        words = self._tensor(np.ascontiguousarray(prices.drawn.T).view(np.int64))  # [n_words, m]; torch lacks uint64
        left_out = [(np.zeros(0, np.int64),) * 3]
        for rows, at in _by_rank(offsets):
            values = block[self._tensor(rows)]
            above = values > self._limits(high[at])
            n_above = _by_segment(above, ends)
            is_open = _by_segment(values > self._limits(low[at]), ends) > n_above
            costs = torch.where(is_open, 0, table[places + n_above]).sum(dim=1)
            total[at] += costs.cpu().numpy()
            for word, drawn in enumerate(words):
                failed[at, word] |= _any_bit(above, drawn).cpu().numpy().view(np.uint64)
            which, segments = torch.nonzero(is_open, as_tuple=True)
            counts = n_above[which, segments]
            left_out.append((at[which.cpu().numpy()], segments.cpu().numpy(), counts.cpu().numpy()))
        limits, segments_out, counts_out = (np.concatenate(parts) for parts in zip(*left_out, strict=True))
        return limits, segments_out, counts_out

    def _tensor(self, values: FloatArray | IntArray | Limits) -> torch.Tensor:
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


def _by_segment(mask: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """How many are true in each segment of columns, given the last column of each: int64 [n, n_segments]."""
    until = torch.cumsum(mask, dim=1)[:, ends]
    return torch.diff(until, dim=1, prepend=torch.zeros_like(until[:, :1]))


def _any_bit(mask: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """The bits that any of a row's marked columns has: int64 [n]."""
    bits = torch.where(mask, words, 0)  # [n, m]
    while bits.shape[1] > 1:  # halve the columns until one is left: torch reduces by every operation but this
        half = (bits.shape[1] + 1) // 2
        rest = bits[:, half:]
        bits = bits[:, :half].clone()
        bits[:, : rest.shape[1]] |= rest
    return bits[:, 0]
