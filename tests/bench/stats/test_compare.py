import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import t

from rope.bench.stats.compare import MEAN, compare, comparison_json, holm, leads, p_value, shared_ranks, subtract
from rope.bench.stats.compare_tables import as_latex, as_markdown, difference_table, standing_table
from rope.bench.stats.intervals import micro_estimate
from rope.errors import UsageError
from tests.bench.simulated import clustered_products, clustered_ranks, origin, ranks_from

N_PRODUCTS = 60


def models(seed: int, **locations: float):
    """Models that agree on which products are difficult; the lower the location, the better."""
    rng = np.random.default_rng(seed)
    products = clustered_products(rng, N_PRODUCTS)
    difficulty = rng.normal(size=N_PRODUCTS)
    return [
        ranks_from(name, products, lambda _, at=at: clustered_ranks(rng, products, difficulty, at))
        for name, at in locations.items()
    ]


def one(comparison, column=MEAN):
    return next(difference for difference in comparison.differences if difference.column == column)


def test_by_hand():
    """Products of 1, 1 and 2 queries; a hits all, b only those of the last."""
    a = ranks_from("a", [0, 1, 2, 2], lambda _: [1, 1, 1, 1])
    b = ranks_from("b", [0, 1, 2, 2], lambda _: [2, 2, 1, 1])
    difference = one(compare([b, a], "R@1"), "P2V")
    shifts = [1 / 3 - 1 / 2, 1 / 3 - 1 / 2, 2 / 2 - 1 / 2]
    error = math.sqrt(sum(shift**2 for shift in shifts))
    assert (difference.a, difference.b, difference.value) == ("a", "b", 0.5)
    assert (difference.wins, difference.ties, difference.losses) == (2, 1, 0)
    # With 2 degrees of freedom the distribution has a closed form.
    ratio = 0.5 / error
    assert difference.p == pytest.approx(1 - ratio / math.sqrt(2 + ratio * ratio))
    assert (difference.low, difference.high) == (max(-1, 0.5 - 4.302653 * error), 1.0)
    assert difference.detectable == pytest.approx(min(1, (4.302653 + 1.060660) * error))


def test_p_and_interval_agree():
    for seed in range(20):
        for difference in compare(models(seed, a=0.5, b=0.6), "R@1").differences:
            assert (difference.p < 0.05) == (difference.low > 0 or difference.high < 0)


@pytest.mark.parametrize("metric", ["R@1", "R@10", "recall@5", "MRR", "mAP"])
def test_a_better_model_is_found_in_every_metric(metric):
    comparison = compare(models(0, bad=2.0, good=0.0), metric)
    assert [standing.model for standing in comparison.standings] == ["good", "bad"]
    assert [standing.rank for standing in comparison.standings] == [1, 2]
    assert one(comparison).p_holm < 0.001
    assert leads(comparison, MEAN) == "good"


def test_a_model_and_its_copy_are_the_same():
    (a,) = models(0, a=0.5)
    comparison = compare([a, replace(a, origin=origin("b"))], "R@1")
    assert {(d.value, d.p, d.ties) for d in comparison.differences} == {(0.0, 1.0, N_PRODUCTS)}
    assert [standing.rank for standing in comparison.standings] == [1, 1]


@pytest.mark.parametrize(("n_products", "p"), [(2, 0.5), (10, 2**-9)])
def test_products_that_all_agree_are_judged_by_their_signs(n_products, p):
    a, b = (
        ranks_from(name, range(n_products), lambda _, at=at: [at] * n_products) for name, at in (("a", 1), ("b", 9))
    )
    assert one(compare([a, b], "R@1")).p == p


def test_the_order_of_models_changes_nothing():
    given = models(1, a=0.5, b=0.5, c=1.0)
    assert compare(given, "R@1") == compare(given[::-1], "R@1")


@pytest.mark.parametrize(
    ("separate", "ranks"),
    [
        (set(), [1, 1, 1, 1]),
        ({("a", "d")}, [1, 1, 1, 4]),
        ({("a", "b"), ("a", "c"), ("a", "d")}, [1, 2, 2, 2]),
        ({("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")}, [1, 2, 3, 4]),
        ({("a", "c"), ("b", "d")}, [1, 1, 3, 3]),
        ({("a", "c"), ("c", "d")}, [1, 1, 3, 4]),
    ],
)
def test_ranks_are_shared_with_the_best_of_a_group(separate, ranks):
    assert shared_ranks("abcd", separate) == ranks


@pytest.mark.parametrize(
    ("p", "corrected"),
    [
        ([], []),
        ([0.04], [0.04]),
        ([0.01, 0.01], [0.02, 0.02]),
        ([0.5, 0.001, 0.9], [1, 0.003, 1]),
        ([0.02, 0.021], [0.04, 0.04]),
    ],
)
def test_holm(p, corrected):
    assert holm(p) == pytest.approx(corrected)


def changed_pair(ranks, **changes):
    return replace(ranks, pairs=ranks.pairs | {"V2L": replace(ranks.pairs["V2L"], **changes)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda b: replace(b, origin=origin("b", fingerprint="0" * 64)),
            "a and b cannot be compared.*datasets .* ffff.* and 0000",
        ),
        (lambda b: replace(b, origin=origin("b", split="train")), "different splits, validation and train"),
        (
            lambda b: replace(b, origin=origin("b", protocol="2.0")),
            r"different versions of the protocol, [\d.]+ and 2.0",
        ),
        (lambda b: replace(b, origin=origin("a")), "two models are called 'a'"),
        (
            lambda b: changed_pair(b, query_ids=b.pairs["V2L"].query_ids[::-1]),
            "V2L has .* queries that are not the same",
        ),
        (
            lambda b: changed_pair(b, n_positives=b.pairs["V2L"].n_positives + 1),
            "V2L has .* queries that are not the same",
        ),
        (lambda b: replace(b, product_ids=b.product_ids[::-1]), "P2V has .* queries that are not the same"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, message):
    a, b = models(0, a=0.5, b=0.6)
    with pytest.raises(UsageError, match=message):
        compare([a, change(b)], "R@1")


def test_too_little_to_compare_is_refused():
    (a,) = models(0, a=0.5)
    with pytest.raises(UsageError, match="at least two models, got 1"):
        compare([a], "R@1")
    few = [ranks_from(name, [0, 0], lambda _: [1, 2]) for name in "ab"]
    with pytest.raises(UsageError, match="P2V has queries of one product only"):
        compare(few, "R@1")


def rejected(rng, n_products: int, location: float) -> bool:
    """Whether two models of equal strength differ; each finds other products difficult besides those both do."""
    products = clustered_products(rng, n_products)
    difficulty = rng.normal(size=n_products)
    a, b = (
        clustered_ranks(rng, products, difficulty + 0.5 * rng.normal(size=n_products), location) <= 1 for _ in range(2)
    )
    return p_value(subtract(*(micro_estimate(hits.astype(float), products, n_products) for hits in (a, b)))) < 0.05


@pytest.mark.parametrize(("n_products", "location"), [(50, 0.0), (300, 0.0), (300, 1.5), (300, -1.5)])
def test_models_of_equal_strength_differ_in_one_test_of_twenty(n_products, location):
    rng = np.random.default_rng([n_products, int(100 + 10 * location)])
    assert 0.04 <= np.mean([rejected(rng, n_products, location) for _ in range(3000)]) <= 0.06


@pytest.fixture(scope="module")
def three():
    return compare(models(3, **{"good_one": -0.5, "twin": 1.0, "other": 1.0}), "R@1")


def test_json_holds_every_difference(three):
    as_json = json.loads(json.dumps(comparison_json(three), allow_nan=False))
    assert [row["rank"] for row in as_json["standings"]] == [1, 2, 2]
    assert len(as_json["differences"]) == 3 * 7
    assert as_json["differences"][0]["value"] == three.differences[0].value


def test_only_a_significant_lead_is_bold(three):
    good, tied = (
        f"{100 * three.standings[0].intervals[MEAN].value:.2f}",
        f"{100 * three.standings[1].intervals[MEAN].value:.2f}",
    )
    assert f"**{good}**" in as_markdown(three)
    assert rf"\textbf{{{good}}}" in as_latex(three)
    assert r"good\_one" in as_latex(three)
    twins = compare(models(3, twin=1.0, other=1.0), "R@1")
    assert "**" not in as_markdown(twins)
    assert "textbf" not in as_latex(twins)
    assert tied in as_markdown(three)


def test_latex_rows_have_as_many_cells_as_columns(three):
    rows = [line for line in as_latex(three).splitlines() if line.endswith(r"\\")]
    assert {row.count("&") for row in rows} == {1 + 7}


def test_terminal_tables_hold_the_numbers(three):
    console = Console(record=True, width=160, file=io.StringIO())
    console.print(standing_table(three))
    console.print(difference_table(three))
    text = console.export_text()
    assert f"{100 * one(three).value:+.2f}" in text
    assert "good_one - other" in text or "good_one - twin" in text
    assert "Holm" in text


def test_the_detectable_difference_is_what_the_test_finds_in_four_cases_of_five():
    """Of 40 products, a query each, the models differ on 11; and normal differences of that size are found so often."""
    a = ranks_from("a", range(40), lambda _: [1] * 20 + [2] * 20)
    b = ranks_from("b", range(40), lambda _: [2] * 8 + [1] * 15 + [2] * 17)
    difference = one(compare([a, b], "R@1"), "P2V")
    error = (difference.high - difference.low) / 2 / t.ppf(0.975, 39)
    assert difference.detectable == pytest.approx((t.ppf(0.975, 39) + t.ppf(0.8, 39)) * error)
    values = difference.detectable + error * math.sqrt(40) * np.random.default_rng(0).normal(size=(4000, 40))
    found = [p_value(micro_estimate(of_products, np.arange(40), 40)) < 0.05 for of_products in values]
    assert abs(np.mean(found) - 0.8) < 0.025
