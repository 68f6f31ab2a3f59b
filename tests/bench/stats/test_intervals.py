import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student_t

from rope.bench.metrics import KS
from rope.bench.stats.intervals import (
    average,
    estimate,
    intervals_json,
    intervals_of,
    macro_estimate,
    mean_of_pairs,
    median_interval,
    micro_estimate,
    share_interval,
)
from rope.bench.stats.query_ranks import METRICS
from tests.bench.simulated import clustered_products, clustered_ranks, ranks_from

clusters = st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=5), min_size=2, max_size=8)


def flat(groups):
    return np.array([v for group in groups for v in group]), np.repeat(np.arange(len(groups)), list(map(len, groups)))


@given(clusters)
def test_shifts_are_those_of_leaving_out_each_product(groups):
    values, products = flat(groups)
    for one, mean in (
        (micro_estimate(values, products, len(groups)), lambda kept: np.mean([v for group in kept for v in group])),
        (macro_estimate(values, products, len(groups)), lambda kept: np.mean([np.mean(group) for group in kept])),
    ):
        assert one.value == pytest.approx(mean(groups))
        assert one.parts.sum() == pytest.approx(one.value)
        without = [mean(groups[:i] + groups[i + 1 :]) - mean(groups) for i in range(len(groups))]
        assert one.shifts == pytest.approx(without, abs=1e-12)


@given(clusters)
def test_an_interval_holds_its_number_and_stays_between_0_and_1(groups):
    interval = share_interval(micro_estimate(*flat(groups), len(groups)))
    assert 0 <= interval.low <= interval.value + 1e-12
    assert interval.value - 1e-12 <= interval.high <= 1


def test_copies_of_a_query_add_no_certainty():
    rng = np.random.default_rng(0)
    hits, products = rng.integers(0, 2, 60).astype(float), np.arange(60)
    once = share_interval(micro_estimate(hits, products, 60))
    often = share_interval(micro_estimate(np.repeat(hits, 20), np.repeat(products, 20), 60))
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


@pytest.mark.parametrize(("hits", "low", "high"), [(0.0, 0.0, 1 - 0.025 ** (1 / 40)), (1.0, 0.025 ** (1 / 40), 1.0)])
def test_no_hit_and_nothing_but_hits_have_the_binomial_bound(hits, low, high):
    interval = share_interval(micro_estimate(np.full(120, hits), np.repeat(np.arange(40), 3), 40))
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_one_product_has_no_interval():
    interval = share_interval(micro_estimate(np.array([1.0, 0.0]), np.array([2, 2]), 5))
    assert (interval.value, interval.low, interval.high, interval.n_products) == (0.5, None, None, 1)


def test_the_mean_of_pairs_leaves_a_product_out_of_all_at_once():
    one = estimate(np.array([1.0, 0.0, 2.0]), np.array([1.0, 1.0, 2.0]))
    mirrored = estimate(np.array([0.0, 1.0, 0.0]), np.array([1.0, 1.0, 2.0]))
    assert average([one, one]).standard_error == pytest.approx(one.standard_error)
    assert average([one, mirrored]).standard_error == pytest.approx(0)


def test_products_without_queries_change_nothing():
    values, products = np.array([1.0, 0.0, 0.0, 1.0]), np.array([0, 1, 1, 2])
    few, many = (share_interval(micro_estimate(values, products, n)) for n in (3, 50))
    assert few == many


def simulated(seed: int, n_products: int = 80):
    rng = np.random.default_rng(seed)
    products = clustered_products(rng, n_products)
    difficulty = rng.normal(size=n_products)
    return ranks_from("a", products, lambda _: clustered_ranks(rng, products, difficulty, 0.0))


def test_every_reported_number_has_an_interval():
    ranks = simulated(0)
    intervals = intervals_of(ranks)
    as_json = json.loads(json.dumps(intervals_json(intervals), allow_nan=False))
    assert intervals.headline.value == pytest.approx(np.mean([np.mean(p.rank <= 1) for p in ranks.pairs.values()]))
    assert as_json["headline"] == [intervals.headline.low, intervals.headline.high]
    for name, pair in intervals.pairs.items():
        assert set(pair.micro) == set(pair.macro) == {*METRICS, "median_rank"}
        assert as_json["pairs"][name]["macro"][f"R@{KS[0]}"][0] < pair.macro["R@1"].value


def covered(rng, n_products: int, rate: float) -> bool:
    """Whether the interval of one simulated model holds its hit rate; two queries of a product correlate by 0.2."""
    products = clustered_products(rng, n_products)
    hits = rng.random(len(products)) < rng.beta(rate * 4, (1 - rate) * 4, n_products)[products]
    interval = share_interval(micro_estimate(hits.astype(float), products, n_products))
    return interval.low <= rate <= interval.high


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("n_products", [50, 300, 2527])
def test_intervals_cover(n_products, rate):
    rng = np.random.default_rng([n_products, int(100 * rate)])
    assert 0.93 <= np.mean([covered(rng, n_products, rate) for _ in range(2000)]) <= 0.97


def test_medians_and_headlines_cover():
    """The median of exp(x), rounded up, has its jump at the next integer; ranks of 150 make that small."""
    rng = np.random.default_rng(5)
    median, headline = [], []
    hit_rate = 0.5 * math.erfc(0.6 / math.sqrt(2) / math.sqrt(2))  # rank 1: a normal of variance 2 below -0.6
    for _ in range(400):
        products = clustered_products(rng, 60)
        difficulty = rng.normal(size=60)
        high = clustered_ranks(rng, products, difficulty, math.log(150)).astype(float)
        interval = median_interval(high, products, 60)
        median.append(interval.low <= 151 and interval.high >= 150)
        ranks = ranks_from("a", products, lambda _: clustered_ranks(rng, products, difficulty, 0.6))  # noqa: B023
        interval = share_interval(mean_of_pairs(ranks, "R@1"))
        headline.append(interval.low <= hit_rate <= interval.high)
    assert 0.92 <= np.mean(median) <= 0.98
    assert 0.92 <= np.mean(headline) <= 0.98


@pytest.mark.parametrize("seed", range(12))
def test_the_interval_of_a_median_ends_at_the_values_of_its_bounds(seed):
    """By the empirical distribution F: from the first x with F(x) >= 1/2 - reach to the first with F(x) > 1/2 + reach.

    A query a product, so that the reach is that of a plain share, written out here.
    """
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 60))
    values = rng.permutation(10.0 * np.arange(n)) if seed % 2 else np.round(np.exp(rng.normal(1, 1, n)))
    share = np.mean(values <= np.median(values))
    shifts = np.where(values <= np.median(values), 1 - share, -share)
    kurtosis = n * np.sum(shifts**4) / np.sum(shifts**2) ** 2
    degrees = max(1, min(n - 1, 2 * n / (kurtosis - 1))) if kurtosis > 1 + 1e-9 else n - 1
    reach = student_t.ppf(0.975, degrees) * np.sqrt(share * (1 - share) / (n - 1))
    shares = {x: np.mean(values <= x) for x in sorted(values)}
    low = min((x for x, below in shares.items() if below >= 0.5 - reach), default=max(values))
    high = min((x for x, below in shares.items() if below > 0.5 + reach), default=max(values))
    interval = median_interval(values, np.arange(n), n)
    assert (interval.low, interval.high) == (low, high)
