"""Where to cut similarities: how many rows a cut keeps, and the lowest cut whose precision labels can vouch for.

A sketch counts similarities in bins of 0.001 for each stratum, such as `page/shoes`. It is a few kB, sketches of shards
add up, and it answers what any cut would keep without another run.

The cut is chosen by fixed-sequence testing: cuts are tested from high to low, and the first that fails ends it. So the
chosen cut itself is covered: its precision is below the requested one with a probability of at most 1 - confidence,
however many cuts were tested. Independent labels get an exact test. Where their weights are equal it is the binomial
one (that of Clopper and Pearson's interval), and otherwise a bet against every precision that is too low (Waudby-Smith
and Ramdas, Estimating means of bounded random variables by betting, 2023), which costs more labels.

Labels of one cluster, such as the clips of one product hint, tend to be right and wrong together. They get two tests,
and both must pass: the binomial one of as many labels as would leave the precision as uncertain (Korn and Graubard,
Confidence intervals for proportions with small expected number of positive counts estimated from survey data, Survey
Methodology 24, 1998), and the interval of `rope.bench.stats.intervals`, one-sided.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, stdtrit

from rope.arrays import BoolArray, FloatArray, IntArray
from rope.bench.stats.intervals import MetricEstimate, degrees_of_freedom, estimate
from rope.errors import UsageError

__all__ = ["BINS", "Cut", "Sketch", "choose_cut", "choose_cuts", "join_sketches", "make_sketch", "n_kept"]

BINS: Final = 2001
"""Bins of a sketch; bin i begins at i / 1000 - 1."""


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
    counts: IntArray


@dataclass(frozen=True, slots=True)
class Cut:
    """The lowest cut that labels can vouch for.

    Attributes:
        cut: rows at or above it are kept; None where there is none.
        n_labels: labels at or above the cut; of a cut of None, all of them.
        n_clusters: clusters that these are of.
        observed: share of matches among these, by weight; NaN without labels.
        statement: why there is no lower cut, or none at all, as a sentence.
    """

    cut: float | None
    n_labels: int
    n_clusters: int
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


def n_kept(sketch: Sketch, cut: float) -> IntArray:
    """Rows at or above a cut; int64 [strata].

    Raises:
        UsageError: the cut is not a multiple of 0.001 from -1 to 1: a sketch cannot tell.
    """
    if not math.isclose(cut * 1000, round(cut * 1000), abs_tol=1e-6):
        raise UsageError(f"cut {cut}: a sketch knows only multiples of 0.001")
    return np.asarray(sketch.counts[:, _bins([cut])[0] :].sum(axis=1))


def choose_cuts(
    similarity: npt.ArrayLike,
    is_match: npt.ArrayLike,
    stratum: Sequence[str],
    *,
    precision: float,
    weight: npt.ArrayLike | None = None,
    trust: npt.ArrayLike | None = None,
    cluster: Sequence[str] | None = None,
    confidence: float = 0.95,
    step: float = 0.01,
) -> dict[str, Cut]:
    """`choose_cut` of each stratum by itself; the confidence holds for each, not for all of them at once."""
    labels = _as_labels(similarity, is_match, weight, trust, cluster)
    names, at = np.unique(np.asarray(stratum, np.str_), return_inverse=True)
    return {str(name): _choose(labels.where(at == i), precision, confidence, step) for i, name in enumerate(names)}


def choose_cut(
    similarity: npt.ArrayLike,
    is_match: npt.ArrayLike,
    *,
    precision: float,
    weight: npt.ArrayLike | None = None,
    trust: npt.ArrayLike | None = None,
    cluster: Sequence[str] | None = None,
    confidence: float = 0.95,
    step: float = 0.01,
) -> Cut:
    """The lowest cut whose precision is at least `precision` with this confidence.

    Precision is the share of matches among all rows of the pool at or above the cut. Labels must be drawn
    independently of whether a row is a match, and labels of different clusters be independent of each other.

    Args:
        similarity: float [n], from -1 to 1, of the labelled rows.
        is_match: bool [n]; the labels.
        precision: above 0 and below 1.
        weight: float [n], above 0; how many rows of the pool each labelled row stands for; None for equal weights. The
            largest one must be the largest of the design.
        trust: float [n], from 0 to 1; how probable it is that a label that says match is right. None for certainty.
        cluster: n names; labels of one name are not independent. None where all are.
        confidence: above 0 and below 1.
        step: between two cuts that are tested, a multiple of 0.001.

    >>> similarity = np.linspace(0.1, 0.5, 800)
    >>> choose_cut(similarity, similarity > 0.22, precision=0.95).cut
    0.21

    Raises:
        UsageError: numbers are out of range, or the columns differ in length.
    """
    return _choose(_as_labels(similarity, is_match, weight, trust, cluster), precision, confidence, step)


@dataclass(frozen=True, slots=True)
class _Labels:
    """Labelled rows.

    Attributes:
        bins: int64 [n].
        match: bool [n].
        weight: float64 [n].
        trust: float64 [n].
        cluster: int64 [n]; a number for each cluster.
    """

    bins: IntArray
    match: BoolArray
    weight: FloatArray
    trust: FloatArray
    cluster: IntArray

    def where(self, mask: BoolArray) -> "_Labels":
        return _Labels(self.bins[mask], self.match[mask], self.weight[mask], self.trust[mask], self.cluster[mask])

    @property
    def n_clusters(self) -> int:
        return len(np.unique(self.cluster))

    @property
    def observed(self) -> float:
        """Share of matches, by weight; NaN without labels."""
        return float(self.weight @ self.match / self.weight.sum()) if len(self.match) else math.nan


def _as_labels(
    similarity: npt.ArrayLike,
    is_match: npt.ArrayLike,
    weight: npt.ArrayLike | None,
    trust: npt.ArrayLike | None,
    cluster: Sequence[str] | None,
) -> _Labels:
    bins, match = _bins(similarity), np.asarray(is_match, np.bool_)
    n = len(bins)
    weights, trusted = (np.ones(n) if v is None else np.asarray(v, np.float64) for v in (weight, trust))
    clusters = np.arange(n) if cluster is None else np.unique(np.asarray(cluster, np.str_), return_inverse=True)[1]
    if not n == len(match) == len(weights) == len(trusted) == len(clusters):
        raise UsageError(
            f"{n} similarities, {len(match)} labels, {len(weights)} weights, {len(trusted)} of trust and "
            f"{len(clusters)} clusters; expected as many"
        )
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise UsageError("a weight is not finite or not above 0; leave rows out that stand for nothing")
    if not ((trusted >= 0) & (trusted <= 1)).all():
        raise UsageError("a trust is not a probability; expected numbers from 0 to 1")
    return _Labels(bins, match, weights, trusted, clusters)


def _choose(labels: _Labels, precision: float, confidence: float, step: float) -> Cut:
    _check(precision, confidence, step)
    least, n = math.ceil(math.log(1 - confidence) / math.log(precision)), labels.n_clusters
    if n < least:
        what = "labels" if n == len(labels.bins) else "clusters of labels"
        statement = f"{n} {what} are too few: {least} are needed even if all are matches"
        return Cut(None, len(labels.bins), n, labels.observed, statement)
    start = max(least, min(_HEAD_START * least, n // 2))
    passed = None
    for cut in _grid(labels, round(step * 1000), start):
        if not _vouched(labels.where(labels.bins >= cut), float(labels.weight.max()), precision, 1 - confidence):
            return _cut(passed, cut, labels)
        passed = cut
    return _cut(passed, None, labels)


def _check(precision: float, confidence: float, step: float) -> None:
    for name, number in (("precision", precision), ("confidence", confidence)):
        if not 0 < number < 1:
            raise UsageError(f"{name} is {number}; expected above 0 and below 1")
    if step < 0.001 or not math.isclose(step * 1000, round(step * 1000), abs_tol=1e-6):
        raise UsageError(f"step is {step}; expected a multiple of 0.001")


def _bins(similarity: npt.ArrayLike) -> IntArray:
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


def _grid(labels: _Labels, step: int, start: int) -> list[int]:
    """Cuts to test, descending: from the first with labels of `start` clusters to the first that keeps all labels.

    It depends on how many labels are where, never on what they say, and so is fixed before the first test.
    """
    highest = np.full(labels.cluster.max() + 1, -1)
    np.maximum.at(highest, labels.cluster, labels.bins)
    reached = np.cumsum(np.bincount(highest[highest >= 0], minlength=BINS)[::-1])[::-1]
    lowest = labels.bins.min()
    cuts = [cut for cut in range(BINS - 1 - (BINS - 1) % step, -1, -step) if reached[cut] >= start]
    return cuts[: sum(cut > lowest for cut in cuts) + 1]


def _vouched(labels: _Labels, largest: float, precision: float, alpha: float) -> bool:
    """Whether these labels would be a surprise, of probability alpha at most, if the precision were lower.

    A match that is trusted by a half is half a match: so many more of the labels have to say match.
    """
    match, weight = labels.match, labels.weight
    if not match.any():
        return False
    needed = precision * float(weight @ match) / float(weight @ (match * labels.trust) or math.inf)
    if not 0 < needed < 1:
        return False
    if labels.n_clusters < len(match):
        return _vouched_by_clusters(labels, needed, alpha)
    if weight.min() == weight.max():
        return _binomial(int(match.sum()), len(match), needed, alpha)
    gains = weight * (match - needed) / largest
    stakes = np.arange(1, _BETS + 1) / (_BETS + 1) / needed
    logs = np.array([np.log1p(stake * gains).sum() for stake in stakes])
    peak = logs.max()
    return bool(peak + math.log(np.exp(logs - peak).mean()) >= -math.log(alpha))


def _binomial(k: float, n: float, p: float, alpha: float) -> bool:
    """Whether k matches or more of n have a probability of at most alpha, if each is one with probability p."""
    return bool(betainc(k, n - k + 1, p) <= alpha)


def _vouched_by_clusters(labels: _Labels, needed: float, alpha: float) -> bool:
    share = _share_by_cluster(labels)
    n_clusters, n = share.n_products, len(labels.match)
    if labels.match.all():  # then clusters of one label each are the worst case, as many as the weights amount to
        return bool(needed ** (1 / float(np.sum(share.weights**2))) <= alpha)
    if n_clusters < 2 or share.standard_error == 0:
        return False
    spread, error = share.value * (1 - share.value), share.standard_error
    reach = float(stdtrit(degrees_of_freedom(share), 1 - alpha))
    effective = min(n, spread / error**2 * (float(stdtrit(n - 1, 1 - alpha)) / reach) ** 2)
    log_odds = math.log(share.value / (1 - share.value)) - reach * error / spread
    is_above = log_odds >= math.log(needed / (1 - needed))
    return is_above and _binomial(share.value * effective, effective, needed, alpha)


def _share_by_cluster(labels: _Labels) -> MetricEstimate:
    """The share of matches, by weight, and what each cluster does to it."""
    _, at = np.unique(labels.cluster, return_inverse=True)
    weights = labels.weight * labels.match, labels.weight
    sums, counts = (np.asarray(np.bincount(at, weight), np.float64) for weight in weights)
    return estimate(sums, counts)


def _cut(passed: int | None, failed: int | None, labels: _Labels) -> Cut:
    above, below = (labels.where(labels.bins >= (cut or 0)) for cut in (passed, failed))
    if passed is None:
        assert failed is not None
        statement = (
            f"no cut: already the {len(below.bins)} labels at {_similarity(failed):g} or more, of which "
            f"{below.observed:.1%} are matches, cannot vouch for the precision"
        )
        return Cut(None, len(labels.bins), labels.n_clusters, labels.observed, statement)
    if failed is None:
        statement = "every labelled row is kept; a lower cut would need labels below them"
    else:
        statement = (
            f"the {len(below.bins)} labels at {_similarity(failed):g} or more, of which {below.observed:.1%} are "
            "matches, cannot vouch for the precision"
        )
    return Cut(_similarity(passed), len(above.bins), above.n_clusters, above.observed, statement)


def _similarity(cut: int) -> float:
    """Where a bin begins."""
    return (cut - 1000) / 1000
