"""How often 95 % intervals cover and tests reject, on simulated models whose true numbers are known.

    python benchmarks/statistics_check.py [--simulations 2000] [--seed 0] [--only products|seeds]

Prints the tables of docs/statistics.md. For those of one run, a product has a hit rate of its own from a beta
distribution (mean = the rate of the model, `icc` = the correlation of two queries of one product), and a number of
queries from a log-normal distribution of mean 12 and spread `skew`. The methods that were not taken are here alone.

For those of several seeds, a query is a hit where a standard normal number is below the score of its product in its
run: a sum of normal numbers of the product, of the product in this run, and of the run, whose mean rate is known in
closed form. `alike` is the product's part of what differs between products; the rest is drawn again in each run.
"""

import argparse
from functools import cache
from statistics import NormalDist

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.special import ndtr, ndtri, stdtrit

from rope.bench.stats.compare import p_value, subtract
from rope.bench.stats.intervals import TAIL, estimate, over_runs, share_interval

SETTINGS = ((0.0, 0.1), (0.7, 0.1), (0.7, 0.2), (0.7, 0.3), (1.0, 0.3), (1.0, 0.5))
N_PRODUCTS = (50, 300, 2527)
RATES = (0.05, 0.5, 0.95)
REPLICATES = 1000
BOOTSTRAPPED = 500
FLIPS = 999

SEEDS = (1, 2, 3, 5, 10)
SEED_SPREADS = {"none": 0.0, "equal": 1.0, "large": 3.0}
ALIKE = (0.9, 0.3)
SEEDED_PRODUCTS = (20, 50, 200, 900)
SEEDED_RATES = (0.1, 0.5)
BETWEEN_PRODUCTS = 0.45
"""Variance of the difficulty of products, on the scale where that of a query is 1: two queries correlate by 0.3."""


def sizes(rng, n_products, skew):
    return np.maximum(1, np.round(rng.lognormal(np.log(12) - skew**2 / 2, skew, n_products)))


def beta(rng, mean, icc):
    strength = 1 / icc - 1
    return rng.beta(np.maximum(mean * strength, 1e-9), np.maximum((1 - mean) * strength, 1e-9))


def linear(hits, counts):
    one = estimate(hits, counts)
    residuals = hits - one.value * counts
    n = len(counts)
    error = np.sqrt(n / (n - 1) * np.sum(residuals**2)) / counts.sum()
    reach = stdtrit(n - 1, 1 - TAIL) * error
    return one.value - reach, one.value + reach


def chosen(hits, counts):
    interval = share_interval(estimate(hits, counts))
    return interval.low, interval.high


def bootstraps(rng, hits, counts):
    """Percentile, bias-corrected and accelerated, and studentised intervals from the same replicates."""
    n, total = len(counts), counts.sum()
    value = hits.sum() / total
    residuals = hits - value * counts
    weights = rng.multinomial(n, np.full(n, 1 / n), REPLICATES).astype(float)
    totals = weights @ counts
    values = weights @ hits / totals
    squares = weights @ hits**2 - 2 * values * (weights @ (hits * counts)) + values**2 * (weights @ counts**2)
    error, errors = np.sqrt(np.sum(residuals**2)) / total, np.sqrt(np.maximum(squares, 0)) / totals
    found = {"percentile": tuple(np.quantile(values, (TAIL, 1 - TAIL)))}
    normal = NormalDist()
    below = np.mean(values < value) + 0.5 * np.mean(values == value)
    shift = normal.inv_cdf(min(max(below, 1e-3), 1 - 1e-3))
    skew = np.sum(residuals**3) / (6 * max(np.sum(residuals**2), 1e-100) ** 1.5)
    ends = [normal.inv_cdf(TAIL), normal.inv_cdf(1 - TAIL)]
    levels = [normal.cdf(shift + (shift + z) / (1 - skew * (shift + z))) for z in ends]
    found["BCa"] = tuple(np.quantile(values, levels))
    usable = errors > 0
    low, high = np.quantile((values - value)[usable] / errors[usable], (TAIL, 1 - TAIL)) if usable.any() else (0, 0)
    found["bootstrap-t"] = (value - high * error, value - low * error)
    return found


def coverage(rng, n_products, rate, skew, icc, simulations):
    """Method -> share of simulations, in percent, whose interval holds the rate."""
    covered: dict[str, list[bool]] = {}
    for i in range(simulations):
        counts = sizes(rng, n_products, skew)
        hits = rng.binomial(counts.astype(int), beta(rng, np.full(n_products, rate), icc)).astype(float)
        intervals = {"log odds, jackknife (taken)": chosen(hits, counts), "linear, Student's t": linear(hits, counts)}
        if i < BOOTSTRAPPED and n_products < 1000:
            intervals |= bootstraps(rng, hits, counts)
        for method, (low, high) in intervals.items():
            covered.setdefault(method, []).append(low <= rate <= high)
    return {method: 100 * np.mean(flags) for method, flags in covered.items()}


def chance_coverage(rng, n_products, rate, skew, icc, simulations):
    """The same for a mean of chances between 0 and 1, such as the expected one-shot accuracy.

    A query's chance is the share of twelve supports that win, which its own difficulty decides: a beta distribution
    around that of its product, in which two supports of one query correlate by 0.5.
    """
    covered: dict[str, list[bool]] = {"log odds, jackknife (taken)": [], "linear, Student's t": []}
    for _ in range(simulations):
        counts = sizes(rng, n_products, skew).astype(int)
        product = np.repeat(np.arange(n_products), counts)
        of_query = beta(rng, beta(rng, np.full(n_products, rate), icc)[product], 0.5)
        chances = rng.binomial(12, of_query) / 12
        sums = np.bincount(product, chances, n_products)
        for method, make in zip(covered, (chosen, linear), strict=True):
            low, high = make(sums, counts.astype(float))
            covered[method].append(low <= rate <= high)
    return {method: 100 * np.mean(flags) for method, flags in covered.items()}


def size(rng, n_products, rate, skew, icc, simulations):
    """Method -> share of tests, in percent, that tell two models of equal strength apart."""
    rejected: dict[str, list[bool]] = {"Student's t, jackknife (taken)": [], "sign flips": []}
    signs = rng.integers(0, 2, (n_products, FLIPS)) * 2.0 - 1
    for _ in range(simulations):
        counts = sizes(rng, n_products, skew)
        shared = beta(rng, np.full(n_products, rate), icc)
        a, b = (rng.binomial(counts.astype(int), beta(rng, shared, 0.1)).astype(float) for _ in range(2))
        p = p_value(subtract(estimate(a, counts), estimate(b, counts)))
        rejected["Student's t, jackknife (taken)"].append(p < 0.05)
        flipped = np.abs((a - b) @ signs)
        p = (1 + np.count_nonzero(flipped >= abs((a - b).sum()) - 1e-9)) / (FLIPS + 1)
        rejected["sign flips"].append(p < 0.05)
    return {method: 100 * np.mean(flags) for method, flags in rejected.items()}


class Recipe:
    """Draws models that are trained again and again, with a known rate over all products and seeds."""

    def __init__(self, rng, n_products, rate, seeds, spread, alike):
        self.rng, self.seeds, self.alike = rng, seeds, alike
        self.counts = sizes(rng, n_products, 0.7)
        total = 1 + BETWEEN_PRODUCTS
        # The spread of seeds is given in standard errors of one run, which depend on the number of products.
        slope = np.exp(-(ndtri(rate) ** 2) / 2) / np.sqrt(2 * np.pi * total)
        self.between_seeds = spread * noise_of_a_run(rate, n_products) / slope
        self.location = ndtri(rate) * np.sqrt(total + self.between_seeds**2)
        self.common = rng.normal(size=n_products)

    def trained(self):
        """The runs of one recipe; two recipes agree on seven tenths of what is difficult in all runs."""
        rng, n = self.rng, len(self.counts)
        of_product = np.sqrt(0.7) * self.common + np.sqrt(0.3) * rng.normal(size=n)
        of_run = rng.normal(size=(self.seeds, n))
        scores = np.sqrt(self.alike) * of_product + np.sqrt(1 - self.alike) * of_run
        scores = np.sqrt(BETWEEN_PRODUCTS) * scores + self.between_seeds * rng.normal(size=(self.seeds, 1))
        hits = rng.binomial(self.counts.astype(int), ndtr(self.location + scores)).astype(float)
        return over_runs([estimate(of_seed, self.counts) for of_seed in hits])


@cache
def noise_of_a_run(rate, n_products):
    """The standard error over products of one run."""
    rng = np.random.default_rng(0)
    counts = sizes(rng, 100_000, 0.7)
    total = 1 + BETWEEN_PRODUCTS
    chances = ndtr(ndtri(rate) * np.sqrt(total) + np.sqrt(BETWEEN_PRODUCTS) * rng.normal(size=len(counts)))
    one = estimate(rng.binomial(counts.astype(int), chances).astype(float), counts)
    return one.standard_error * np.sqrt(len(counts) / n_products)


def seeded(rng, n_products, rate, seeds, spread, alike, simulations):
    """Shares, in percent, of intervals that hold the rate, and of tests that tell two equal recipes apart."""
    covered, rejected = [], []
    for _ in range(simulations):
        recipe = Recipe(rng, n_products, rate, seeds, spread, alike)
        a, b = recipe.trained(), recipe.trained()
        interval = share_interval(a)
        covered.append(interval.low <= rate <= interval.high)
        rejected.append(p_value(subtract(a, b)) < 0.05)
    return 100 * np.mean(covered), 100 * np.mean(rejected)


def seed_tables(seed, simulations):
    """Coverage and size over seeds, one table each."""
    cases = [(n, rate) for n in SEEDED_PRODUCTS for rate in SEEDED_RATES]
    shown = []
    for title in ("Coverage of 95 % intervals over seeds, in %", "Same-recipe tests below 0.05, in %"):
        shown.append(Table(title=title, title_justify="left"))
        for heading in ("spread", "alike", "seeds", *(f"{n}: {100 * rate:g} %" for n, rate in cases)):
            shown[-1].add_column(heading, justify="right")
    settings = [(name, alike, seeds) for name in SEED_SPREADS for alike in ALIKE for seeds in SEEDS]
    for row, (name, alike, seeds) in enumerate(track(settings, "seeds", console=Console(stderr=True))):
        found = [
            seeded(
                np.random.default_rng([seed, 2, row, column]), n, rate, seeds, SEED_SPREADS[name], alike, simulations
            )
            for column, (n, rate) in enumerate(cases)
        ]
        for table_of, values in zip(shown, zip(*found, strict=True), strict=True):
            table_of.add_row(name, f"{alike:g}", str(seeds), *(f"{value:.1f}" for value in values))
    return shown


def table(title, measure, settings, seed, simulations):
    cases = [(n, rate) for n in N_PRODUCTS for rate in RATES]
    shown = Table(title=title, title_justify="left")
    for heading in ("skew", "icc", "method", *(f"{n}: {100 * rate:g} %" for n, rate in cases)):
        shown.add_column(heading, justify="right")
    for row, (skew, icc) in enumerate(track(settings, title, console=Console(stderr=True))):
        found = [
            measure(np.random.default_rng([seed, row, column]), n, rate, skew, icc, simulations)
            for column, (n, rate) in enumerate(cases)
        ]
        for method in found[0]:
            values = [f"{one[method]:.1f}" if method in one else "" for one in found]
            shown.add_row(f"{skew:g}", f"{icc:g}", method, *values)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("products", "seeds"))
    options = parser.parse_args()
    console, seed, simulations = Console(width=160), options.seed, options.simulations
    if options.only != "seeds":
        console.print(table("Coverage of 95 % intervals, in %", coverage, SETTINGS, seed, simulations))
        chances = (SETTINGS[0], *SETTINGS[2:5])
        console.print(table("Coverage, means of chances, in %", chance_coverage, chances, seed, simulations))
        console.print(table("Same-model tests below 0.05, in %", size, SETTINGS[1:5], seed, simulations))
    if options.only != "products":
        console.print(*seed_tables(seed, simulations))


if __name__ == "__main__":
    main()
