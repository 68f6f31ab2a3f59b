"""Several training runs of one model: products and seeds both random, crossed."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import ndtr

from rope.bench.stats.compare import MEAN, compare, comparison_json, p_value, subtract
from rope.bench.stats.compare_tables import as_latex, as_markdown
from rope.bench.stats.intervals import average, crossed_degrees, degrees_of_freedom, estimate, over_runs, share_interval
from rope.bench.stats.seed_groups import Group, SeedRun
from rope.errors import UsageError
from tests.bench.simulated import clustered_products, clustered_ranks, ranks_from

N_PRODUCTS = 40


def runs_of(model: str, n: int, location: float = 0.5, spread: float = 0.3, world: int = 0) -> tuple[SeedRun, ...]:
    """Runs that agree on which products are difficult; `spread` is how much a seed moves all of them."""
    common = np.random.default_rng(world)
    products = clustered_products(common, N_PRODUCTS)
    difficulty = common.normal(size=N_PRODUCTS)
    found = []
    for seed in range(n):
        rng = np.random.default_rng([world, seed, *model.encode()])
        at = location + spread * rng.normal()
        hardness = difficulty + 0.2 * rng.normal(size=N_PRODUCTS)
        ranks = ranks_from(model, products, lambda _, r=rng, h=hardness, a=at: clustered_ranks(r, products, h, a))
        origin = replace(ranks.origin, training_seed=seed, embeddings={"page": f"{model}{seed}"})
        found.append(SeedRun(replace(ranks, origin=origin), f"{model}-{seed}.json"))
    return tuple(found)


def one(comparison, column=MEAN):
    return next(difference for difference in comparison.differences if difference.column == column)


def brute_force_variance(sums: np.ndarray, counts: np.ndarray) -> tuple[float, float, float]:
    """Products, spread and by-product variance of a mean over seeds, by leaving out a product at a time in loops."""
    n_seeds, n_products = sums.shape

    def mean(seed: int, without: int | None = None) -> float:
        kept = [g for g in range(n_products) if g != without]
        return sum(sums[seed, g] for g in kept) / sum(counts[g] for g in kept)

    def over_seeds(without: int | None = None) -> float:
        return sum(mean(seed, without) for seed in range(n_seeds)) / n_seeds

    products = sum((over_seeds(g) - over_seeds()) ** 2 for g in range(n_products))
    spread = sum((mean(s) - over_seeds()) ** 2 for s in range(n_seeds)) / (n_seeds - 1) / n_seeds
    by_product = 0.0
    for s in range(n_seeds):
        # How far this seed is from the mean of the seeds, and what each product does to that.
        by_product += sum((mean(s, g) - over_seeds(g) - mean(s) + over_seeds()) ** 2 for g in range(n_products))
    return products, spread, by_product / (n_seeds - 1) / n_seeds


@pytest.mark.parametrize("seed", range(5))
def test_variances_are_those_of_leaving_out_products_in_loops(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 9, 7).astype(float)
    sums = rng.binomial(counts.astype(int), 0.5, (4, 7)) + rng.random((4, 1)) * counts
    found = over_runs([estimate(of_seed, counts) for of_seed in sums])
    products, spread, by_product = brute_force_variance(sums, counts)
    assert np.sum(found.shifts**2) == pytest.approx(products)
    assert (found.seeds[0].spread, found.seeds[0].by_product) == (pytest.approx(spread), pytest.approx(by_product))
    assert found.standard_error**2 == pytest.approx(products + max(0, spread - by_product))


def test_with_products_of_one_size_it_is_the_textbooks_two_way_analysis_of_variance():
    """MS of products, seeds and their interaction; the jackknife's G / (G - 1) is on what comes from products."""
    rng = np.random.default_rng(0)
    g, s = 12, 5
    table = 0.5 + 0.1 * rng.normal(size=(s, g)) + 0.1 * rng.normal(size=g) + 0.2 * rng.normal(size=(s, 1))
    over_products, over_seeds = table.mean(1), table.mean(0)
    residual = table - over_products[:, None] - over_seeds + table.mean()
    ms_products = s * np.var(over_seeds, ddof=1)
    ms_seeds = g * np.var(over_products, ddof=1)
    ms_interaction = np.sum(residual**2) / (g - 1) / (s - 1)
    variance = (ms_seeds + g / (g - 1) * (ms_products - ms_interaction)) / (g * s)
    found = over_runs([estimate(row, np.ones(g)) for row in table])
    assert found.seed_variance > 0
    assert found.standard_error**2 == pytest.approx(variance)


def test_groups_of_one_run_give_the_numbers_of_the_runs_exactly():
    a, b = runs_of("a", 1)[0], runs_of("b", 1, location=0.7)[0]
    grouped = compare([Group("a", (a,)), Group("b", (b,))], "R@1")
    single = compare([a.ranks, b.ranks], "R@1")
    assert grouped.differences == single.differences
    assert [s.intervals for s in grouped.standings] == [s.intervals for s in single.standings]


def test_seeds_that_agree_leave_the_interval_and_test_of_one_run():
    rng = np.random.default_rng(1)
    run = estimate(rng.binomial(5, 0.4, 30).astype(float), np.full(30, 5.0))
    other = estimate(rng.binomial(5, 0.6, 30).astype(float), np.full(30, 5.0))
    mean = over_runs([run, run, run])
    once, thrice = share_interval(run), share_interval(mean)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), abs=1e-12)
    assert p_value(subtract(mean, other)) == pytest.approx(p_value(subtract(run, other)), rel=1e-9)


def test_seeds_that_differ_widen_the_interval_and_weaken_the_test():
    """Two recipes whose runs scatter: over products alone any two runs differ, over seeds they do not."""
    a, b = runs_of("a", 4, spread=1.0), runs_of("b", 4, spread=1.0)
    single = [one(compare([x.ranks, y.ranks], "R@1")) for x, y in zip(a, b, strict=True)]
    both = one(compare([Group("a", a), Group("b", b)], "R@1"))
    assert min(d.p for d in single) < 0.001 < 0.05 < both.p
    assert both.high - both.low > 2 * max(d.high - d.low for d in single)
    assert both.detectable > 2 * max(d.detectable for d in single)
    assert both.degrees < 10


@pytest.mark.parametrize("metric", ["R@1", "recall@5", "MRR"])
def test_value_interval_and_p_agree_in_every_column(metric):
    groups = [Group("a", runs_of("a", 3)), Group("b", runs_of("b", 5, location=0.9)), Group("c", runs_of("c", 1))]
    found = compare(groups, metric)
    for group in groups:
        standing = next(s for s in found.standings if s.model == group.name)
        for column, interval in standing.intervals.items():
            values = [run.values[column] for run in standing.runs]
            assert interval.value == pytest.approx(np.mean(values))
            assert interval.low < interval.value < interval.high
            assert standing.spread(column) == (min(values), max(values))
    for difference in found.differences:
        assert (difference.p < 0.05) == (difference.low > 0 or difference.high < 0)
        assert difference.wins + difference.ties + difference.losses == N_PRODUCTS


def test_degrees_lie_between_those_of_seeds_and_products():
    rng = np.random.default_rng(3)
    for scale, n in ((0.0, 3), (0.05, 3), (1.0, 3), (1.0, 10)):
        sums = [(1 + scale * rng.normal()) * rng.random(50) for _ in range(n)]
        mean = over_runs([estimate(of_run, np.ones(50)) for of_run in sums])
        assert n - 1 <= crossed_degrees(mean, degrees_of_freedom(mean)) <= degrees_of_freedom(mean)
    assert crossed_degrees(mean, degrees_of_freedom(mean)) < 12


def test_a_mean_over_runs_is_never_averaged_over_pairs():
    runs = [estimate(np.array(sums), np.ones(2)) for sums in ([0.0, 1.0], [1.0, 1.0])]
    with pytest.raises(ValueError, match="average each run first"):
        average([over_runs(runs), runs[0]])


def test_the_order_of_runs_changes_nothing():
    a, b = runs_of("a", 3), runs_of("b", 3)
    found = compare([Group("a", a), Group("b", b)], "R@1")
    turned = compare([Group("b", b[::-1]), Group("a", a[::-1])], "R@1")
    for x, y in zip(found.differences, turned.differences, strict=True):
        assert (x.a, x.value, x.p, x.low) == (y.a, pytest.approx(y.value), pytest.approx(y.p), pytest.approx(y.low))


def test_pairing_by_seed_takes_away_what_seeds_do_to_both():
    """Both recipes have the same luck with each seed."""
    a = runs_of("a", 4, spread=0.4)
    b = tuple(
        replace(run, ranks=replace(shifted(run.ranks), origin=replace(run.ranks.origin, model="b", embeddings={})))
        for run in a
    )
    groups = [Group("a", a), Group("b", b)]
    apart, paired = one(compare(groups, "R@1")), one(compare(groups, "R@1", pair_seeds=True))
    assert paired.is_paired_by_seed
    assert not apart.is_paired_by_seed
    assert paired.value == pytest.approx(apart.value)
    assert paired.p < 0.05 < 0.3 < apart.p


def shifted(ranks):
    """Every tenth query loses its hit."""
    pairs = {
        name: replace(pair, rank=pair.rank + (np.arange(len(pair.rank)) % 10 == 0))
        for name, pair in ranks.pairs.items()
    }
    return replace(ranks, pairs=pairs)


def without_seed(runs):
    return tuple(replace(r, ranks=replace(r.ranks, origin=replace(r.ranks.origin, training_seed=None))) for r in runs)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: runs_of("b", 4), "a has the training seeds 0, 1, 2, and b 0, 1, 2, 3"),
        (lambda: without_seed(runs_of("b", 3)), r"b-0.json does not say its training seed.*--training-seed"),
    ],
)
def test_pairing_needs_the_same_seeds(other, message):
    with pytest.raises(UsageError, match=message):
        compare([Group("a", runs_of("a", 3)), Group("b", other())], "R@1", pair_seeds=True)


def test_pairing_without_two_groups_is_refused():
    with pytest.raises(UsageError, match="--pair-seeds: needs two models of several runs"):
        compare([Group("a", runs_of("a", 3)), Group("b", runs_of("b", 1))], "R@1", pair_seeds=True)


def changed(run, **fields):
    return replace(run, ranks=replace(run.ranks, origin=replace(run.ranks.origin, **fields)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b: ([a[0], a[1], replace(a[0], file="copy.json")], b), "a: a-0.json and copy.json are the same run"),
        (lambda a, b: ([a[0], changed(a[1], training_seed=0)], b), "both of training seed 0; a seed counts once"),
        (lambda a, b: (a, [b[0], replace(a[1], file="other.json")]), r"a and b share a run \(a-1.json and other.json"),
        (lambda a, b: (a, [a[1]]), "a and b share a run"),
        (lambda a, b: ([a[0], changed(a[1], fingerprint="0" * 64)], b), "a-0.json and a-1.json .* different datasets"),
        (lambda a, b: ([a[0], changed(a[1], split="train")], b), "different splits"),
        (lambda a, b: ([a[0], changed(a[1], protocol="9")], b), "different versions of the protocol"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(change, message):
    a, b = change(list(runs_of("a", 2)), list(runs_of("b", 2)))
    with pytest.raises(UsageError, match=message):
        compare([Group("a", tuple(a)), Group("b", tuple(b))], "R@1")


def test_tables_say_how_many_seeds_each_number_has():
    found = compare([Group("a", runs_of("a", 3)), Group("b", runs_of("b", 1)), Group("c", runs_of("c", 2))], "R@1")
    text = as_markdown(found)
    low, high = next(s for s in found.standings if s.model == "a").spread(MEAN)
    assert f"3 seeds ({100 * low:.2f} - {100 * high:.2f})" in text
    assert "one seed: over products alone" in text
    assert "One seed: the interval is over products alone" in text
    assert "Two seeds: one degree of freedom" in text
    assert "3 against 1" in text or "1 against 3" in text
    assert "a (3 seeds)" in as_latex(found)
    alone = as_markdown(compare([runs_of("a", 1)[0].ranks, runs_of("b", 1)[0].ranks], "R@1"))
    assert "One run of each model: intervals and tests are over products alone" in alone


def test_json_names_files_seeds_and_hashes():
    found = compare([Group("a", runs_of("a", 2)), Group("b", runs_of("b", 1))], "R@1")
    written = json.loads(json.dumps(comparison_json(found), allow_nan=False))
    standing = next(row for row in written["standings"] if row["model"] == "a")
    assert [(run["file"], run["training_seed"]) for run in standing["runs"]] == [("a-0.json", 0), ("a-1.json", 1)]
    assert standing["runs"][0]["embeddings"] == {"page": "a0"}
    assert np.mean([run["values"]["mean"] for run in standing["runs"]]) == standing["intervals"]["mean"]["value"]
    assert (written["fingerprint"], written["differences"][0]["runs"]) == ("f" * 64, [2, 1]) or (
        written["differences"][0]["runs"] == [1, 2]
    )
    assert any("Several seeds" in note for note in written["notes"])


def covered(rng, n_products: int, n_seeds: int, seed_sd: float) -> tuple[bool, bool]:
    """Whether the interval of one simulated recipe holds its rate, and that of two equal ones holds no difference."""
    counts = np.maximum(1, np.round(rng.lognormal(2, 0.7, n_products)))
    difficulty = 0.5 * rng.normal(size=n_products)

    def recipe():
        own = difficulty + 0.3 * rng.normal(size=n_products)
        scores = own + seed_sd * rng.normal(size=(n_seeds, 1)) + 0.2 * rng.normal(size=(n_seeds, n_products))
        # The rate over all products and seeds is one half by symmetry.
        hits = rng.binomial(counts.astype(int), ndtr(scores)).astype(float)
        return over_runs([estimate(of_seed, counts) for of_seed in hits])

    a, b = recipe(), recipe()
    interval = share_interval(a)
    return interval.low <= 0.5 <= interval.high, p_value(subtract(a, b)) >= 0.05


@pytest.mark.parametrize("seed_sd", [0.0, 0.3])
def test_intervals_cover_and_tests_keep_their_level_over_seeds(seed_sd):
    rng = np.random.default_rng(7)
    found = np.mean([covered(rng, 100, 3, seed_sd) for _ in range(1000)], axis=0)
    assert found == pytest.approx([0.95, 0.95], abs=0.025)


def test_more_seeds_narrow_the_interval_down_to_that_of_products():
    runs = [
        compare([Group("a", runs_of("a", n, spread=0.6)), Group("b", runs_of("b", n, spread=0.6))], "R@1")
        for n in (2, 5, 20)
    ]
    widths = [one(found).high - one(found).low for found in runs]
    assert all(wide > narrow for wide, narrow in pairwise(widths))
