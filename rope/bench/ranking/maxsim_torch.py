"""The similarities of `rope.bench.ranking.maxsim` in float32 by torch, on an accelerator."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from rope.arrays import IntArray
from rope.bench.ranking.maxsim import NOTHING, means_of, offsets_of_samples, query_runs
from rope.bench.ranking.similarity import Vectors, float32_units

__all__ = ["MaxsimOnDevice"]


class MaxsimOnDevice:
    """`CoarseMaxsim` on a torch device, which keeps the gallery.

    Samples are taken in the order of their sizes, and in a tile all are filled up to the largest with their own first
    vector again, which changes no maximum.
    """

    def __init__(self, gallery: Vectors, device: str, memory: int) -> None:
        # Products must not be rounded more than the bound allows for.
        torch.backends.cuda.matmul.allow_tf32 = False
        self._device, self._memory, self._n = device, memory, len(gallery)
        offsets = offsets_of_samples(gallery)
        lengths = np.diff(offsets)
        order = np.argsort(lengths, kind="stable")
        self._order: IntArray = order[np.searchsorted(lengths[order], 1) :]
        self._starts, self._lengths = offsets[self._order], lengths[self._order]
        self._units = torch.from_numpy(float32_units(gallery, 0, len(gallery.raw))).to(device)

    def rows(self, queries: Vectors) -> npt.NDArray[np.float64]:
        """See `CoarseMaxsim`."""
        found = np.full((len(queries), self._n), NOTHING)
        for start, stop in query_runs(queries):
            some = queries.part(start, stop)
            units = torch.from_numpy(float32_units(some, 0, len(some.raw))).to(self._device)
            parts = [self._best(units, left, right) for left, right in self._tiles(max(1, len(units)))]
            if parts:
                found[start:stop, self._order] = means_of(torch.cat(parts, dim=1).cpu().numpy(), some)
        return found

    def _tiles(self, n_queries: int) -> Iterator[tuple[int, int]]:
        """Runs of samples whose vectors, filled up, fit in memory with the similarities of so many."""
        room = max(1, self._memory // (4 * n_queries + 4 * self._units.shape[1]))
        start = 0
        while start < len(self._order):
            ahead = np.arange(1, len(self._order) - start + 1) * self._lengths[start:]
            stop = start + max(1, int(np.searchsorted(ahead, room, side="right")))
            yield start, stop
            start = stop

    def _best(self, units: torch.Tensor, left: int, right: int) -> torch.Tensor:
        """float32 [vectors of the queries, samples]."""
        lengths = self._lengths[left:right]
        places = np.arange(lengths.max())
        rows = self._starts[left:right, None] + np.where(places < lengths[:, None], places, 0)
        tile = self._units[torch.from_numpy(rows.ravel()).to(self._device)]
        return (units @ tile.T).view(len(units), right - left, -1).amax(dim=2)
