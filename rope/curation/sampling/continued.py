"""Go on with the sample of an earlier pool: what was drawn stays, and new keys fill each stratum up.

In each stratum of the pool as it is now, as many keys are wanted as a sample from nothing would have. Keys that were
drawn before stay. What is wanted beyond them is drawn from the new keys, those with the smallest hashes first, and only
then from keys that were passed over before. A stratum may have more than it wants, as nothing that was drawn is given
back while it is in the pool.

The weights are those of two samples side by side: of the keys of before, of which each drawn one keeps its weight, and
of the new ones, of which it is n / k. Where keys have left the pool or changed their stratum, the weights of a side are
scaled to add up to its keys; where only one side of a stratum has a drawn key, that side stands for both.

Like `rope.curation.sampling.divided`, it holds neither the keys of the pool nor those of a sample in memory.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rope.arrays import FloatArray
from rope.curation.sampling.divided import DRAWN
from rope.curation.sampling.sample import (
    SampleSize,
    Stratum,
    Units,
    allocate,
    count_strata,
    strata_of,
    subset,
    take_first,
)
from rope.curation.scattered import ByHash

__all__ = ["EARLIER_KEY", "ContinuedDraw", "EarlierSample"]

EARLIER_KEY: Final = np.dtype([("hash", "<u8"), *DRAWN.descr])
"""A key of an earlier pool: its hash, under the seed of today, and what is told of it; weight 0 if it was not drawn."""

_KINDS: Final = ("kept", "new", "passed over")
_SAME: Final = 1e-9
"""How far a sum of weights may be from its number of keys by rounding alone."""


@dataclass(frozen=True, slots=True)
class EarlierSample:
    """A sample of an earlier pool.

    Attributes:
        keys: arrays of `EARLIER_KEY`, in any order; a key may be in them several times, drawn and not.
        size: how much there is to be now, with what was drawn before.
    """

    keys: Iterable[npt.NDArray[Any]]
    size: SampleSize


class ContinuedDraw:
    """Draws after an earlier sample, see `rope.curation.sampling.divided.Draw`.

    Attributes:
        n_kept: drawn keys that were drawn before.
        n_gone: keys that were drawn before, and are not in the pool now.
        n_drawn: keys that are drawn now, with those that stay.
    """

    def __init__(self, earlier: EarlierSample) -> None:
        self._earlier = earlier
        self.n_kept = self.n_gone = self.n_drawn = 0

    def __call__(
        self, divisions: Callable[[], Iterator[Units]], n_divisions: int
    ) -> Iterator[tuple[Units, npt.NDArray[Any]]]:
        """Each division with `DRAWN` of its keys.

        Raises:
            UsageError: the size does not fit the pool and what stays, see `rope.curation.sampling.sample.allocate`.
        """
        with tempfile.TemporaryDirectory(prefix="rope-sample-") as folder:
            earlier = ByHash(Path(folder) / "hash", EARLIER_KEY, n_divisions)
            for keys in self._earlier.keys:
                earlier.add(keys)

            def known() -> Iterator[tuple[Units, npt.NDArray[Any], npt.NDArray[np.int64]]]:
                for units, keys in zip(divisions(), earlier, strict=True):
                    yield units, *_known(units, keys)

            counts = [Counter[Stratum]() for _ in _KINDS]
            weights = Counter[Stratum]()
            for units, told, kind in known():
                for at, count in enumerate(counts):
                    count += count_strata(subset(units, kind == at))
                weights += _sums(units, told["weight"])
            wanted = _allocations(counts, self._earlier.size)
            scales = {one: _scales(one, counts, wanted, weights[one]) for one in set().union(*counts)}
            left = [dict(one) for one in wanted]
            self.n_kept, self.n_drawn = counts[0].total(), sum(sum(one.values()) for one in wanted)
            self.n_gone = sum(map(_n_drawn, earlier)) - self.n_kept
            for units, told, kind in known():
                yield units, _drawn(units, told, kind, left, scales)


def _known(units: Units, earlier: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """What was told of the keys of a division before, and the kind of each."""
    earlier = earlier[np.lexsort((earlier["weight"], earlier["hash"]))]
    is_last = np.append(earlier["hash"][1:] != earlier["hash"][:-1], [True] * (len(earlier) > 0))
    earlier = earlier[is_last]  # of a key that was seen and drawn, what is told of it as drawn
    told = np.full(len(units.hashes), -1, DRAWN)
    told["weight"] = 0.0
    place = np.minimum(np.searchsorted(earlier["hash"], units.hashes), max(len(earlier) - 1, 0))
    is_seen = earlier["hash"][place] == units.hashes if len(earlier) else np.zeros(len(place), np.bool_)
    for name in DRAWN.names or ():
        told[name][is_seen] = earlier[name][place[is_seen]]
    return told, np.where(told["weight"] > 0, 0, np.where(is_seen, 2, 1))


def _n_drawn(earlier: npt.NDArray[Any]) -> int:
    return len(np.unique(earlier["hash"][earlier["weight"] > 0]))


def _sums(units: Units, weight: FloatArray) -> Counter[Stratum]:
    """The sum of the weights of each stratum."""
    strata, stratum = strata_of(units)
    return Counter(dict(zip(strata, np.bincount(stratum, weight, len(strata)).tolist(), strict=True)))


def _allocations(counts: list[Counter[Stratum]], size: SampleSize) -> tuple[dict[Stratum, int], ...]:
    """How many to draw of each stratum: of those that stay, all; then of the new ones; then of the others.

    >>> a, b = Stratum("a", ("page",)), Stratum("b", ("page",))
    >>> counts = [Counter({a: 2}), Counter({a: 1, b: 4}), Counter({a: 17})]
    >>> kept, new, spare = _allocations(counts, SampleSize(rate=0.25, floor=1))
    >>> (kept[a], new[a], spare[a]), new[b]
    ((2, 1, 2), 1)
    """
    kept, new, spare = counts
    wanted = allocate(kept + new + spare, size, kept)
    missing = {stratum: n - kept[stratum] for stratum, n in wanted.items()}
    of_new = {stratum: min(missing[stratum], n) for stratum, n in new.items()}
    of_spare = {stratum: min(missing[stratum] - of_new.get(stratum, 0), n) for stratum, n in spare.items()}
    return dict(kept), of_new, of_spare


def _scales(
    stratum: Stratum, counts: list[Counter[Stratum]], wanted: tuple[dict[Stratum, int], ...], weights: float
) -> tuple[float, float, float]:
    """What the weight of a kept key is multiplied with, and the weights of a new key and of one passed over before.

    Args:
        stratum: its name.
        counts: keys of each kind in each stratum.
        wanted: how many of them are drawn.
        weights: the sum of those of the kept keys of the stratum.

    >>> a = Stratum("a", ("page",))
    >>> _scales(a, [Counter({a: 2}), Counter({a: 6}), Counter({a: 8})], ({a: 2}, {a: 1}, {}), 10.0)
    (1.0, 6.0, 5.0)
    >>> _scales(a, [Counter({a: 2}), Counter({a: 6}), Counter({a: 8})], ({a: 2}, {a: 0}, {}), 10.0)
    (1.6, 0.0, 8.0)
    """
    n_kept, n_new, n_spare = (count[stratum] for count in counts)
    _, new, spare = (one.get(stratum, 0) for one in wanted)
    mean = weights / n_kept if n_kept else 1.0
    of_before = weights + spare * mean
    before = n_kept + n_spare + (0 if new else n_new)
    scale = before / of_before if of_before else 0.0
    scale = 1.0 if abs(scale - 1) < _SAME else scale
    return scale, (n_new + (0 if of_before else n_spare)) / new if new else 0.0, mean * scale


def _drawn(
    units: Units,
    told: npt.NDArray[Any],
    kind: npt.NDArray[np.int64],
    left: list[dict[Stratum, int]],
    scales: Mapping[Stratum, tuple[float, float, float]],
) -> npt.NDArray[Any]:
    """What is told of the keys of a division now."""
    strata, stratum = strata_of(units)
    of_strata = np.array([scales[one] for one in strata]).reshape(-1, len(_KINDS))
    scale, new, spare = (of_strata[stratum, at] for at in range(len(_KINDS)))
    is_drawn = np.zeros(len(kind), np.bool_)
    for at, of_kind in enumerate(left):
        is_drawn[kind == at] = take_first(subset(units, kind == at), of_kind)
    found = told.copy()
    found["weight"] = np.where(is_drawn, np.choose(kind, [told["weight"] * scale, new, spare]), 0.0)
    return found
