"""The first places of each query in the first stage, the same on every machine.

Where a positive stands is what the engine counts, with ties against the model. Negatives fill the places between, the
most similar first, and exactly equal ones by their ids.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from rope.arrays import FloatArray, IntArray
from rope.bench.ranking.engine import ComputeSettings, Labelled, rank_one_way
from rope.bench.ranking.maxsim import exact_maxsim, maxsim, maxsim_bound, offsets_of_samples
from rope.bench.ranking.similarity import exact_cosine, float64_matrix

__all__ = ["FirstPlaces", "first_places"]

_STEP: Final = 2048
"""Gallery samples that are widened to float64 at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class FirstPlaces:
    """What the first stage says of one query.

    Attributes:
        rows: int64 [n], rows of the gallery: those at the places 1 to `depth`, then the positives behind them.
        places: int64 [n], ascending, from 1.
    """

    rows: IntArray
    places: IntArray


def first_places(
    queries: Labelled, gallery: Labelled, ids: Sequence[str], depth: int, compute: ComputeSettings
) -> Iterator[FirstPlaces]:
    """The candidates of each query, and where its other positives stand.

    Args:
        queries: each has a positive in the gallery.
        gallery: what they are ranked in.
        ids: of the gallery's samples.
        depth: candidates of a query, at least 1; it has fewer where the gallery has fewer.
        compute: how to spend the machine.
    """
    ranks = rank_one_way(queries, gallery, compute)
    most = int(np.diff(offsets_of_samples(queries.vectors)).max(initial=1))
    reach = 2 * maxsim_bound(queries.vectors.dim, most)
    firsts, lasts = (np.searchsorted(gallery.products, queries.products, side) for side in ("left", "right"))
    for query, similarities in enumerate(_similarities(queries, gallery, compute.memory)):
        in_order = _Order(similarities, _exactly(queries, query, gallery), reach, ids)
        own = np.arange(firsts[query], lasts[query])
        positives = in_order.of(own)
        above = ranks.above[ranks.offsets[query] : ranks.offsets[query + 1]]
        places = above + np.arange(1, len(positives) + 1)
        is_first = places <= depth
        n_candidates = min(depth, len(gallery))
        rows = np.empty(n_candidates, np.int64)
        rows[places[is_first] - 1] = positives[is_first]
        free = np.setdiff1d(np.arange(1, n_candidates + 1), places[is_first])
        others = np.concatenate([np.arange(firsts[query]), np.arange(lasts[query], len(gallery))])
        rows[free - 1] = in_order.of(others, len(free))
        yield FirstPlaces(
            np.concatenate([rows, positives[~is_first]]),
            np.concatenate([np.arange(1, n_candidates + 1), places[~is_first]]),
        )


def _similarities(queries: Labelled, gallery: Labelled, memory: int) -> Iterator[FloatArray]:
    """Of each query, float64 [n_gallery], within `maxsim_bound`."""
    if queries.vectors.offsets is not None or gallery.vectors.offsets is not None:
        columns = np.arange(len(gallery))
        yield from (maxsim(queries.vectors, query, gallery.vectors, columns, memory) for query in range(len(queries)))
        return
    height = max(1, memory // (8 * len(gallery)))  # so that the gallery is not widened for each query
    for top in range(0, len(queries), height):
        some = slice(top, min(top + height, len(queries)))
        found = np.empty((some.stop - top, len(gallery)))
        for left in range(0, len(gallery), _STEP):
            part = slice(left, min(left + _STEP, len(gallery)))
            found[:, part] = float64_matrix(queries.vectors, some, gallery.vectors, part)
        yield from found


def _exactly(queries: Labelled, query: int, gallery: Labelled) -> Callable[[int], Decimal]:
    """The similarity of the query with a gallery sample in whole numbers; copies of a sample are computed once."""
    known: dict[bytes, Decimal] = {}
    asked, is_plain = queries.vectors.part(query, query + 1), gallery.vectors.offsets is None

    def exact(row: int) -> Decimal:
        sample = gallery.vectors.part(row, row + 1)
        key = sample.raw.tobytes()
        if key not in known:
            one_each = is_plain and asked.offsets is None
            known[key] = exact_cosine(asked.raw[0], sample.raw[0]) if one_each else exact_maxsim(asked, sample)
        return known[key]

    return exact


@dataclass(frozen=True, slots=True, eq=False)
class _Order:
    """Puts gallery samples in order for one query: by their exact similarity, then by id."""

    similarities: FloatArray
    exact: Callable[[int], Decimal]
    reach: float
    ids: Sequence[str]

    def of(self, rows: IntArray, n: int | None = None) -> IntArray:
        """The first n of some rows in order; all if n is None."""
        wanted = len(rows) if n is None else min(n, len(rows))
        values = self.similarities[rows]
        if 0 < wanted < len(rows):
            least = np.partition(values, len(rows) - wanted)[len(rows) - wanted]
            rows = rows[values >= least - self.reach]
        rows = rows[np.argsort(-self.similarities[rows], kind="stable")]
        is_near = -np.diff(self.similarities[rows]) <= self.reach
        ends = np.flatnonzero(~is_near) + 1
        for run in np.split(np.arange(len(rows)), ends) if is_near.any() else ():
            if len(run) > 1:
                rows[run] = sorted(rows[run].tolist(), key=lambda row: (-self.exact(row), self.ids[row]))
        return rows[:wanted]
