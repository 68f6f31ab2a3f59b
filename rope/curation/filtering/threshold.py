"""Where to cut similarities: how many rows a cut keeps, and the lowest cut whose precision labels can vouch for.

A sketch counts similarities in bins of 0.001 for each stratum, such as `page/shoes`. It is a few kB, sketches of shards
add up, and it answers what any cut would keep without another run.

The cut is chosen by fixed-sequence testing: cuts are tested from high to low, and the first that fails ends it. So the
chosen cut itself is covered: its precision is below what was asked for with a probability of at most 1 - confidence,
however many cuts were tested. Each test is exact, not asymptotic. Labels with equal weights get the binomial one (that
of Clopper and Pearson's interval). Labels with different weights get a bet against every precision that is too low
(Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, 2023), which costs more labels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import betainc

from rope.errors import UsageError

__all__ = ["BINS", "Cut", "Sketch", "choose_cut", "choose_cuts", "join_sketches", "make_sketch", "n_kept"]

BINS: Final = 2001
"""Bins of a sketch; bin i begins at i / 1000 - 1."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_HEAD_START: Final = 3
"""The first test waits for so many times the labels that could pass if all were matches: a single early miss would
otherwise end the sequence."""

_BETS: Final = 32
"""Stakes that the bet averages over, which loses at most a factor of 32 against the best one."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """How many rows of each stratum have which similarity.

    Attributes:
        strata: names, ascending.
        counts: int64 [strata, BINS].
    """

    strata: tuple[str, ...]
    counts: Ints


@dataclass(frozen=True, slots=True)
class Cut:
    """The lowest cut that labels can vouch for.

    Attributes:
        cut: rows at or above it are kept; None where there is none.
        n_labels: labels at or above the cut; of a cut of None, all of them.
        observed: share of matches among these, by weight; NaN without labels.
        statement: why there is no lower cut, or none at all, as a sentence.
    """

    cut: float | None
    n_labels: int
    observed: float
    statement: str


def make_sketch(similarity: npt.ArrayLike, stratum: Sequence[str]) -> Sketch:
    """Count similarities by stratum and bin.

    Similarities are rounded to 6 digits before they fall into a bin, so that 0.3 is at 0.3 whatever float it became.

    Args:
        similarity: float [n], from -1 to 1.
        stratum: n names.

    >>> sketch = make_sketch([0.25, 0.2504, 0.1], ["page", "page", "live"])
    >>> sketch.strata, n_kept(sketch, 0.25).tolist(), n_kept(sketch, 0.251).tolist()
    (('live', 'page'), [0, 2], [0, 0])

    Raises:
        UsageError: a similarity is out of range or not a number, or there is not one stratum for each.
    """
    bins = _bins(similarity)
    if len(bins) != len(stratum):
        raise UsageError(f"{len(bins)} similarities and {len(stratum)} strata; expected as many")
    names, at = np.unique(np.asarray(stratum, np.str_), return_inverse=True)
    counts = np.bincount(at * BINS + bins, minlength=len(names) * BINS)
    return Sketch(tuple(names.tolist()), counts.reshape(len(names), BINS))


def join_sketches(parts: Sequence[Sketch]) -> Sketch:
    """The sketch of the rows of all parts, in any order.

    >>> join_sketches([make_sketch([0.5], ["b"]), make_sketch([0.5, 0.5], ["a", "b"])]).counts.sum(axis=1).tolist()
    [1, 2]
    """
    names = sorted({name for part in parts for name in part.strata})
    counts = np.zeros((len(names), BINS), np.int64)
    for part in parts:
        counts[[names.index(name) for name in part.strata]] += part.counts
    return Sketch(tuple(names), counts)


def n_kept(sketch: Sketch, cut: float) -> Ints:
    """Rows at or above a cut; int64 [strata].

    Raises:
        UsageError: the cut is not a multiple of 0.001 from -1 to 1: a sketch cannot tell.
    """
    if not math.isclose(cut * 1000, round(cut * 1000), abs_tol=1e-6):
        raise UsageError(f"cut {cut}: a sketch knows multiples of 0.001 alone")
    return np.asarray(sketch.counts[:, _bins([cut])[0] :].sum(axis=1))


def choose_cuts(
    similarity: npt.ArrayLike,
    is_match: npt.ArrayLike,
    stratum: Sequence[str],
    *,
    precision: float,
    weight: npt.ArrayLike | None = None,
    confidence: float = 0.95,
    step: float = 0.01,
) -> dict[str, Cut]:
    """`choose_cut` of each stratum by itself; the confidence holds for each, not for all of them at once."""
    similar, match = np.asarray(similarity, np.float64), np.asarray(is_match, np.bool_)
    weights = np.ones(len(similar)) if weight is None else np.asarray(weight, np.float64)
    names, at = np.unique(np.asarray(stratum, np.str_), return_inverse=True)
    return {
        str(name): choose_cut(
            similar[at == i],
            match[at == i],
            precision=precision,
            weight=weights[at == i],
            confidence=confidence,
            step=step,
        )
        for i, name in enumerate(names)
    }


def choose_cut(
    similarity: npt.ArrayLike,
    is_match: npt.ArrayLike,
    *,
    precision: float,
    weight: npt.ArrayLike | None = None,
    confidence: float = 0.95,
    step: float = 0.01,
) -> Cut:
    """The lowest cut whose precision is at least `precision` with this confidence.

    Precision is the share of matches among all rows of the pool at or above the cut. Labels must be drawn
    independently of whether a row is a match, and be independent of each other: one row of a key, not all of them.

    Args:
        similarity: float [n], from -1 to 1, of the labelled rows.
        is_match: bool [n]; the labels.
        precision: above 0 and below 1.
        weight: float [n], above 0; how many rows of the pool each labelled row stands for; None for equal weights. The
            largest one must be the largest of the design.
        confidence: above 0 and below 1.
        step: between two cuts that are tested, a multiple of 0.001.

    >>> similarity = np.linspace(0.1, 0.5, 800)
    >>> choose_cut(similarity, similarity > 0.22, precision=0.95).cut
    0.21

    Raises:
        UsageError: numbers are out of range, or the columns differ in length.
    """
    bins, match = _bins(similarity), np.asarray(is_match, np.bool_)
    weights = np.ones(len(bins)) if weight is None else np.asarray(weight, np.float64)
    _check(bins, match, weights, precision, confidence, step)
    least = math.ceil(math.log(1 - confidence) / math.log(precision))
    if len(bins) < least:
        statement = f"{len(bins)} labels are too few: {least} are needed even if all are matches"
        return Cut(None, len(bins), _observed(match, weights), statement)
    start = max(least, min(_HEAD_START * least, len(bins) // 2))
    cuts = _grid(bins, round(step * 1000), start)
    passed = None
    for cut in cuts:
        above = bins >= cut
        if not _vouched(match[above], weights[above], weights.max(), precision, 1 - confidence):
            return _cut(passed, cut, bins, match, weights)
        passed = cut
    return _cut(passed, None, bins, match, weights)


def _check(bins: Ints, match: Bools, weight: Floats, precision: float, confidence: float, step: float) -> None:
    if not len(bins) == len(match) == len(weight):
        raise UsageError(f"{len(bins)} similarities, {len(match)} labels and {len(weight)} weights; expected as many")
    if not (np.isfinite(weight) & (weight > 0)).all():
        raise UsageError("a weight is not finite or not above 0; leave rows out that stand for nothing")
    for name, number in (("precision", precision), ("confidence", confidence)):
        if not 0 < number < 1:
            raise UsageError(f"{name} is {number}; expected above 0 and below 1")
    if step < 0.001 or not math.isclose(step * 1000, round(step * 1000), abs_tol=1e-6):
        raise UsageError(f"step is {step}; expected a multiple of 0.001")


def _bins(similarity: npt.ArrayLike) -> Ints:
    """The bin of each similarity.

    >>> _bins([-1, 0.2999999, 0.3, 0.3009, 1]).tolist()
    [0, 1300, 1300, 1300, 2000]
    """
    values = np.asarray(similarity, np.float64)
    millionths = np.rint(values * 1e6)
    bad = np.flatnonzero(~(np.abs(millionths) <= 1e6))
    if len(bad):
        raise UsageError(
            f"{len(bad)} similarities are not numbers from -1 to 1, first {values[bad[0]]} in row {bad[0]}; "
            "leave these rows out"
        )
    return np.asarray(millionths.astype(np.int64) // 1000 + 1000)


def _grid(bins: Ints, step: int, start: int) -> list[int]:
    """Cuts to test, descending: from the first with `start` labels to the first that keeps all.

    It depends on how many labels are where, never on what they say, and so is fixed before the first test.
    """
    kept = np.cumsum(np.bincount(bins, minlength=BINS)[::-1])[::-1]
    cuts = [cut for cut in range(BINS - 1 - (BINS - 1) % step, -1, -step) if kept[cut] >= start]
    n_needed = sum(kept[cut] < len(bins) for cut in cuts) + 1
    return cuts[:n_needed]


def _vouched(match: Bools, weight: Floats, largest: float, precision: float, alpha: float) -> bool:
    """Whether these labels would be a surprise, of probability alpha at most, if the precision were lower."""
    if weight.min() == weight.max():
        n_matches = int(match.sum())
        # betainc(k, n - k + 1, p) is the probability of k matches or more
        return n_matches > 0 and bool(betainc(n_matches, len(match) - n_matches + 1, precision) <= alpha)
    gains = weight * (match - precision) / largest
    stakes = np.arange(1, _BETS + 1) / (_BETS + 1) / precision
    logs = np.array([np.log1p(stake * gains).sum() for stake in stakes])
    peak = logs.max()
    return bool(peak + math.log(np.exp(logs - peak).mean()) >= -math.log(alpha))


def _observed(match: Bools, weight: Floats) -> float:
    return float(weight @ match / weight.sum()) if len(match) else math.nan


def _cut(passed: int | None, failed: int | None, bins: Ints, match: Bools, weight: Floats) -> Cut:
    if passed is None:
        assert failed is not None
        above = bins >= failed
        found = _observed(match[above], weight[above])
        statement = (
            f"no cut: already the {above.sum()} labels at {_similarity(failed):g} or more, of which {found:.1%} are "
            "matches, cannot vouch for the precision"
        )
        return Cut(None, len(bins), _observed(match, weight), statement)
    above = bins >= passed
    if failed is None:
        statement = "every labelled row is kept; a lower cut would need labels below them"
    else:
        below = bins >= failed
        statement = (
            f"the {below.sum()} labels at {_similarity(failed):g} or more, of which "
            f"{_observed(match[below], weight[below]):.1%} are matches, cannot vouch for the precision"
        )
    return Cut(_similarity(passed), int(above.sum()), _observed(match[above], weight[above]), statement)


def _similarity(cut: int) -> float:
    """Where a bin begins."""
    return (cut - 1000) / 1000
