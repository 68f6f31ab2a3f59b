"""95 % intervals: how far a number would move with other products of the same kind, and with other training seeds.

The queries of one product are alike, so the product, not the query, is what counts as independent. Where a model was
trained several times, its runs are a second sample, crossed with the products. docs/statistics.md says why the
intervals are made as they are, and how often they cover.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Any, Final

import numpy as np
from scipy.special import stdtrit

from rope.arrays import FloatArray, IntArray
from rope.bench.one_shot import OneShot
from rope.bench.stats.query_ranks import METRICS, PairRanks, QueryRanks, query_values

__all__ = [
    "TAIL",
    "Interval",
    "Intervals",
    "MetricEstimate",
    "PairIntervals",
    "SeedVariance",
    "average",
    "bounds",
    "crossed_degrees",
    "degrees_of_freedom",
    "estimate",
    "expected_interval",
    "intervals_json",
    "intervals_of",
    "macro_estimate",
    "mean_of_pairs",
    "median_interval",
    "micro_estimate",
    "over_runs",
    "pair_intervals",
    "share_interval",
]

TAIL: Final = 0.025
"""What a 95 % interval leaves out on each side."""


@dataclass(frozen=True, slots=True)
class SeedVariance:
    """What the training seeds of one model add to the variance of a mean over its runs.

    Attributes:
        spread: variance of that mean as the spread of the runs shows it.
        by_product: the part of `spread` that comes from each run finding other products difficult. The shifts of the
            products hold it already, so it must not be counted twice.
        degrees: degrees of freedom of `spread`: the number of runs less one.
    """

    spread: float
    by_product: float
    degrees: int


@dataclass(frozen=True, slots=True, eq=False)
class MetricEstimate:
    """A number and what each product does to it; of one training run, or the mean over several.

    Attributes:
        value: the number.
        shifts: float64 [products], by how much it changes when the product is left out; 0 for a product without query.
        parts: float64 [products], what each product adds to the number.
        weights: float64 [products], the product's share of the mean; they add up to 1.
        seeds: what training seeds add, for each model in the number that has several runs; none for a single run.
    """

    value: float
    shifts: FloatArray
    parts: FloatArray
    weights: FloatArray
    seeds: tuple[SeedVariance, ...] = ()

    @property
    def n_products(self) -> int:
        """Products with a query."""
        return int(np.count_nonzero(self.weights))

    @property
    def seed_variance(self) -> float:
        """The variance that seeds add to that of products; 0 where the runs differ by no more than products explain."""
        return max(0.0, sum(one.spread - one.by_product for one in self.seeds))

    @property
    def standard_error(self) -> float:
        """The jackknife's: the root of the sum of the squared shifts, to which training seeds add their variance."""
        return math.sqrt(float(np.sum(self.shifts**2)) + self.seed_variance)


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with its 95 % interval.

    Attributes:
        value: the number.
        low: lower end; None where fewer than two products have a query.
        high: upper end; None in the same case.
        n_products: products with a query.
    """

    value: float
    low: float | None
    high: float | None
    n_products: int


@dataclass(frozen=True, slots=True)
class PairIntervals:
    """The intervals of one pair: metric -> interval, over queries and over products; `median_rank` is among them."""

    micro: dict[str, Interval]
    macro: dict[str, Interval]


@dataclass(frozen=True, slots=True)
class Intervals:
    """The intervals of a result: of the headline, None where there is none, and of each pair that has queries."""

    headline: Interval | None
    pairs: dict[str, PairIntervals]


def intervals_of(ranks: QueryRanks) -> Intervals:
    """The interval of every number that `rope-bench score` reports of retrieval.

    They depend only on the ranks: nothing is resampled, so there is no seed, and the order of rows has no effect.
    """
    n_products = len(ranks.product_ids)
    pairs = {name: pair_intervals(pair, n_products) for name, pair in ranks.pairs.items()}
    return Intervals(share_interval(mean_of_pairs(ranks, "R@1")) if ranks.cross_pairs else None, pairs)


def intervals_json(intervals: Intervals) -> dict[str, Any]:
    """The intervals as a JSON object: `[low, high]`, or null where there is none."""
    return {
        "headline": None if intervals.headline is None else bounds(intervals.headline),
        "pairs": {
            name: {
                **{metric: bounds(interval) for metric, interval in pair.micro.items()},
                "macro": {metric: bounds(interval) for metric, interval in pair.macro.items()},
            }
            for name, pair in intervals.pairs.items()
        },
    }


def estimate(sums: FloatArray, counts: FloatArray) -> MetricEstimate:
    """The mean `sum(sums) / sum(counts)` and what each product does to it.

    Args:
        sums: float64 [products], the sum of a product's values.
        counts: float64 [products], how many values it has, or how much it weighs; not negative.

    >>> jackknife = estimate(np.array([1.0, 0.0, 2.0]), np.array([1.0, 1.0, 2.0]))
    >>> jackknife.value, jackknife.shifts
    (0.75, array([-0.08333333,  0.25      , -0.25      ]))

    Raises:
        ValueError: all counts are zero.
    """
    total = float(counts.sum())
    if total == 0:
        raise ValueError("no product has a query, so there is nothing to estimate")
    value = float(sums.sum()) / total
    rest = total - counts
    shifts = np.divide(value * counts - sums, rest, out=np.zeros_like(rest), where=rest > 0)
    return MetricEstimate(value, shifts, sums / total, counts / total)


def micro_estimate(values: FloatArray, products: IntArray, n_products: int) -> MetricEstimate:
    """The mean over queries; `values` and `products` [queries], products numbered below `n_products`."""
    return estimate(_sums(values, products, n_products), _counts(products, n_products))


def macro_estimate(values: FloatArray, products: IntArray, n_products: int) -> MetricEstimate:
    """The mean over products of the mean over their queries; arguments as for `micro_estimate`."""
    counts = _counts(products, n_products)
    return estimate(_sums(values, products, n_products) / np.maximum(counts, 1), (counts > 0).astype(np.float64))


def average(estimates: Sequence[MetricEstimate]) -> MetricEstimate:
    """The mean of numbers of one run over the same products, each product left out of all of them at once.

    Raises:
        ValueError: a number is a mean over runs already: average each run over the pairs, and then the runs.
    """
    if any(one.seeds for one in estimates):
        raise ValueError("a mean over runs cannot be averaged further; average each run first, then take over_runs")
    return MetricEstimate(
        value=math.fsum(one.value for one in estimates) / len(estimates),
        shifts=np.mean([one.shifts for one in estimates], axis=0),
        parts=np.mean([one.parts for one in estimates], axis=0),
        weights=np.mean([one.weights for one in estimates], axis=0),
    )


def over_runs(runs: Sequence[MetricEstimate]) -> MetricEstimate:
    """The mean over the training runs of one model, products and seeds both random and crossed.

    Each run is over the same products. One run is returned as it is.

    >>> counts = np.full(3, 2.0)
    >>> runs = [estimate(np.array(sums), counts) for sums in ([1.0, 0.0, 2.0], [1.0, 2.0, 2.0])]
    >>> over_runs(runs).value, over_runs(runs).seeds
    (0.666..., (SeedVariance(spread=0.027..., by_product=0.041..., degrees=1),))
    """
    mean, n = average(runs), len(runs)
    if n == 1:
        return runs[0]
    spread = sum((one.value - mean.value) ** 2 for one in runs) / (n * (n - 1))
    by_product = sum(float(np.sum((one.shifts - mean.shifts) ** 2)) for one in runs) / (n * (n - 1))
    return replace(mean, seeds=(SeedVariance(spread, by_product, n - 1),))


def mean_of_pairs(ranks: QueryRanks, metric: str) -> MetricEstimate:
    """The mean of a metric over the cross-domain pairs of the dataset; with `R@1`, the headline."""
    pairs = [ranks.pairs[name] for name in ranks.compared_pairs]
    n_products = len(ranks.product_ids)
    return average([micro_estimate(query_values(pair, metric), pair.products, n_products) for pair in pairs])


def share_interval(share: MetricEstimate) -> Interval:
    """The interval of a number between 0 and 1, such as a mean of hits, made on the scale of log odds.

    Where all products agree the shifts say nothing. At 0 and 1 the exact binomial bound for `1 / sum(weights ** 2)`
    independent products is used then; in between the interval is the number itself.

    >>> share_interval(estimate(np.array([0.0, 1.0, 1.0, 2.0]), np.full(4, 2.0)))
    Interval(value=0.5, low=0.047..., high=0.952..., n_products=4)
    >>> share_interval(estimate(np.zeros(100), np.ones(100)))
    Interval(value=0.0, low=0.0, high=0.036..., n_products=100)
    """
    value, n_products = share.value, share.n_products
    if n_products < 2:
        return Interval(value, None, None, n_products)
    # One is missed by an ulp where products are weighted.
    if min(value, 1 - value) < 1e-12:
        bound = 1 - TAIL ** float(np.sum(share.weights**2))
        low, high = (0.0, bound) if value < 0.5 else (1 - bound, 1.0)
        return Interval(value, low, high, n_products)
    log_odds = math.log(value / (1 - value))
    degrees = crossed_degrees(share, degrees_of_freedom(share))
    reach = float(stdtrit(degrees, 1 - TAIL)) * share.standard_error / (value * (1 - value))
    return Interval(value, _share(log_odds - reach), _share(log_odds + reach), n_products)


def expected_interval(one_shot: OneShot) -> Interval | None:
    """The interval by product of the expected accuracy, a mean of chances; None with several shots."""
    if one_shot.chances is None:
        return None
    products = one_shot.products
    return share_interval(micro_estimate(one_shot.chances, products, int(products[-1]) + 1))


def degrees_of_freedom(one: MetricEstimate) -> float:
    """How many normal observations would give a variance as uncertain as this one: between 1 and products - 1.

    `2 n / (kurtosis - 1)` of the shifts, which is n where they are normal, and small where a few products decide.

    >>> degrees_of_freedom(estimate(np.array([1.0, 0.0, 1.0, 0.0]), np.ones(4)))
    3.0
    >>> degrees_of_freedom(estimate(np.array([1.0] + 9 * [0.0]), np.ones(10)))
    2.8...
    """
    n, squares = one.n_products, one.shifts**2
    total = float(squares.sum())
    kurtosis = n * float(np.sum(squares**2)) / total**2 if total > 0 else 1.0
    return max(1.0, min(n - 1.0, 2 * n / max(kurtosis - 1, 1e-12)))


def crossed_degrees(one: MetricEstimate, of_products: float) -> float:
    """Degrees of freedom of a standard error over products and seeds; `of_products` where seeds add nothing to it.

    The variance is the spread of the runs and, net of what the spread holds of it, that of products. The harmonic mean
    of the degrees of both, weighted by their shares, is close to the weighted mean of the two critical values that
    Cochran and Cox take (Experimental Designs, 2nd ed., 1957). Where two models have several runs each, the degrees of
    their spreads are combined by Satterthwaite's formula.

    >>> crossed_degrees(estimate(np.array([1.0, 0.0, 1.0, 0.0]), np.ones(4)), 3.0)
    3.0
    """
    if one.seed_variance == 0:
        return of_products
    spread = sum(seeds.spread for seeds in one.seeds)
    of_seeds = spread**2 / sum(seeds.spread**2 / seeds.degrees for seeds in one.seeds)
    share = min(1.0, spread / one.standard_error**2)
    return 1 / ((1 - share) / of_products + share / of_seeds)


def median_interval(values: FloatArray, products: IntArray, n_products: int) -> Interval:
    """The interval of a median of clustered values: the quantiles that a share of one half may stand for (Woodruff).

    Args:
        values: float64 [queries].
        products: int64 [queries], the product of each.
        n_products: how many products there are.
    """
    ordered = np.sort(values)
    n, value = len(values), float(np.median(values))
    below = micro_estimate((values <= value).astype(np.float64), products, n_products)
    if below.n_products < 2:
        return Interval(value, None, None, below.n_products)
    reach = float(stdtrit(degrees_of_freedom(below), 1 - TAIL)) * below.standard_error
    low = ordered[max(0, math.ceil((0.5 - reach) * n) - 1)]
    high = ordered[min(n - 1, math.floor((0.5 + reach) * n))]
    return Interval(value, min(float(low), value), max(float(high), value), below.n_products)


def pair_intervals(pair: PairRanks, n_products: int) -> PairIntervals:
    """The intervals of one pair; its products are numbered below `n_products`."""
    micro, macro = {}, {}
    for metric in METRICS:
        values = query_values(pair, metric)
        micro[metric] = share_interval(micro_estimate(values, pair.products, n_products))
        macro[metric] = share_interval(macro_estimate(values, pair.products, n_products))
    micro["median_rank"] = median_interval(pair.rank.astype(np.float64), pair.products, n_products)
    starts = np.flatnonzero(np.diff(pair.products, prepend=-1))
    ranks, edges = pair.rank.tolist(), [*starts.tolist(), len(pair.rank)]
    medians = np.array([float(median(ranks[start:stop])) for start, stop in pairwise(edges)])  # of lists: the faster
    macro["median_rank"] = median_interval(medians, pair.products[starts], n_products)
    return PairIntervals(micro, macro)


def bounds(interval: Interval | None) -> list[float] | None:
    """`[low, high]`, or None without an interval."""
    if interval is None or interval.low is None or interval.high is None:
        return None
    return [interval.low, interval.high]


def _share(log_odds: float) -> float:
    """The share with these log odds; beyond the range of exp, 0 or 1."""
    return 1 / (1 + math.exp(min(-log_odds, 700.0)))


def _sums(values: FloatArray, products: IntArray, n_products: int) -> FloatArray:
    return np.asarray(np.bincount(products, weights=values, minlength=n_products), np.float64)


def _counts(products: IntArray, n_products: int) -> FloatArray:
    return np.bincount(products, minlength=n_products).astype(np.float64)
