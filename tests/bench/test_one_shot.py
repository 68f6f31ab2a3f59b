import itertools
from decimal import Decimal

import numpy as np
import pytest

from baselines.handcrafted import Handcrafted
from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.io.provenance import load_provenance
from rope.bench.metrics import score_queries
from rope.bench.one_shot import (
    Draws,
    classify,
    draw_supports,
    mean_interval,
    std_bound,
    support_bits,
)
from rope.bench.ranking.engine import ComputeSettings, Labelled, rank_one_way
from rope.bench.ranking.similarity import Vectors, exact_cosine
from rope.bench.running.run import run_embedder
from rope.bench.score import score
from rope.bench.stats.intervals import expected_interval, micro_estimate, share_interval
from rope.dataset.build import build_dataset
from rope.dataset.directory import SampleLabels, read_labels
from rope.dataset.manifest import read_manifest
from rope.errors import EmbeddingError, UsageError
from tests.bench.reference import float32
from tests.stored import RELEASE


def labelled(vectors, products) -> Labelled:
    return Labelled(Vectors.of(float32(vectors)), np.asarray(products, np.int64))


def ranked(support, queries, draws):
    return score_queries(rank_one_way(queries, support, ComputeSettings(), drawn=support_bits(support.products, draws)))


def classified(support, queries, draws):
    return classify(support, queries, ranked(support, queries, draws), draws, ComputeSettings())


def two_domains(seed: int):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(9, 4))
    sides = []
    for _ in range(2):
        products = np.sort(rng.choice(9, size=25))
        sides.append(labelled(centres[products] + 0.7 * rng.normal(size=(25, 4)), products))
    return sides


@pytest.mark.parametrize(("seed", "trials"), [(0, 1), (1, 3), (2, 64), (3, 65), (4, 130)])
def test_accuracy_equals_a_double_loop(seed, trials):
    support, queries = two_domains(seed)
    draws = Draws(seed=seed, trials=trials)
    result = classified(support, queries, draws)
    for trial, accuracy in enumerate(result.accuracies):
        drawn = draw_supports(support.products, draws, trial)
        correct = []
        for query, product in zip(queries.vectors.raw, queries.products, strict=True):
            cosines = {int(support.products[i]): exact_cosine(query, support.vectors.raw[i]) for i in drawn}
            if product in cosines:
                own = cosines.pop(int(product))
                correct.append(all(own > other for other in cosines.values()))
        assert accuracy == np.mean(correct)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rounding", [None, 0])
def test_the_expectation_is_the_mean_over_all_draws(seed, rounding):
    """Every support set that can be drawn is classified by hand."""
    rng = np.random.default_rng(seed)
    products = np.sort(rng.choice(4, size=9))
    query_products = np.sort(rng.choice(5, size=7))
    centres = rng.normal(size=(5, 3))
    vectors = [centres[p] + 0.8 * rng.normal(size=(len(p), 3)) for p in (products, query_products)]
    if rounding is not None:  # many ties
        vectors = [np.round(v, rounding) + np.array([0.5, 0, 0]) for v in vectors]
    support, queries = labelled(vectors[0], products), labelled(vectors[1], query_products)
    cosines = [[exact_cosine(q, s) for s in support.vectors.raw] for q in queries.vectors.raw]
    accuracies = []
    for drawn in itertools.product(*(np.flatnonzero(products == p) for p in np.unique(products))):
        correct = []
        for row, product in zip(cosines, query_products, strict=True):
            own = [row[i] for i in drawn if products[i] == product]
            others = [row[i] for i in drawn if products[i] != product]
            if own:
                correct.append(all(own[0] - other >= Decimal("1e-12") for other in others))
        accuracies.append(np.mean(correct))
    ranks = ranked(support, queries, Draws(seed=0))
    assert np.mean(ranks.chances) == pytest.approx(np.mean(accuracies), abs=1e-11)


def test_the_expectation_lies_where_the_draws_do():
    support, queries = two_domains(7)
    result = classified(support, queries, Draws(seed=0, trials=2000))
    assert abs(result.mean - result.expected) < 4 * result.std / np.sqrt(2000)


def test_the_expectation_lies_where_the_draws_do_on_real_photos(tmp_path):
    build_dataset(RELEASE, tmp_path / "grocery", progress=False)
    files = [run_embedder(Handcrafted(), tmp_path / "grocery", tmp_path / "e.parquet", progress=False)]
    labels = read_labels(tmp_path / "grocery", "validation")
    embeddings, labels, _ = load_provenance(files, read_manifest(tmp_path / "grocery"), "validation", labels, "floor")
    result = score(embeddings, labels, Draws(seed=0, trials=2000), ComputeSettings())
    for one_shot in result.one_shot.values():
        assert abs(one_shot.mean - one_shot.expected) < 3 * one_shot.std / np.sqrt(2000)


def test_constant_embeddings_are_never_right():
    ones = labelled(np.ones((6, 2)), np.arange(6) // 2)
    assert classified(ones, ones, Draws(seed=0)).mean == 0


def test_queries_of_products_without_support_are_left_out():
    support, queries = labelled(np.eye(3), [0, 1, 2]), labelled(np.eye(3), [0, 2, 7])
    result = classified(support, queries, Draws(seed=0, trials=1))
    assert (result.n_queries, result.n_no_support, result.n_products) == (2, 1, 3)
    assert result.accuracies == (0.5,)
    assert result.std is None
    assert result.std_bound is None
    assert result.draws_interval is None


@pytest.mark.parametrize("shots", [1, 2, 5])
def test_draws_take_each_product_and_no_more_than_it_has(shots):
    products = np.array([0, 0, 0, 4, 9, 9])
    drawn = draw_supports(products, Draws(seed=1, shots=shots), trial=0)
    assert products[drawn].tolist() == [0] * min(shots, 3) + [4] + [9] * min(shots, 2)


def test_draws_differ_between_trials_and_are_uniform():
    products = np.zeros(4, np.int64)
    counts = np.bincount([draw_supports(products, Draws(seed=3), trial)[0] for trial in range(4000)])
    assert np.all(np.abs(counts - 1000) < 120)  # four standard deviations


def test_draws_nest_as_shots_grow():
    products = np.repeat(np.arange(20), 6)
    few, many = (set(draw_supports(products, Draws(seed=5, shots=k), 2).tolist()) for k in (1, 3))
    assert few < many


def test_several_shots_are_averaged_as_unit_vectors():
    support = labelled([[10, 0], [0, 0.1], [0, -1]], [0, 0, 1])
    queries = labelled([[1, 1], [0, -1]], [0, 1])
    assert classified(support, queries, Draws(seed=0, trials=1, shots=2)).mean == 1


@pytest.mark.parametrize("opposite", [[-1, -2, -3], [-3, -6, -9], [-0.1, -0.2, -0.3]])
def test_shots_that_cancel_out_are_an_error(opposite):
    support = labelled([[1, 2, 3], opposite, [0, 1, 0]], [0, 0, 1])
    with pytest.raises(EmbeddingError, match="cancel out"):
        classified(support, support, Draws(seed=0, trials=1, shots=2))


def test_no_product_in_common_is_an_error():
    with pytest.raises(ValueError, match="support domain"):
        classified(labelled([[1]], [0]), labelled([[1]], [1]), Draws(seed=0))


@pytest.mark.parametrize(
    "options", [{"seed": -1}, {"seed": 0.5}, {"seed": True}, {"seed": 0, "trials": 0}, {"seed": 0, "shots": 1.5}]
)
def test_draws_check_their_values(options):
    name, value = list(options.items())[-1]
    with pytest.raises(UsageError, match=f"^{name} is {value}; expected a whole number, at least [01]$"):
        Draws(**options)


@pytest.mark.parametrize(("n", "quantile"), [(2, 12.7062), (3, 4.30265), (5, 2.77645), (20, 2.09302), (100, 1.98422)])
def test_interval_uses_students_t(n, quantile):
    """Quantiles from any printed table of Student's t."""
    values = (0.5 + np.arange(n) / 10_000).tolist()
    low, high = mean_interval(values)
    half = quantile * np.std(values, ddof=1) / np.sqrt(n)
    assert (high - low) / 2 == pytest.approx(half, rel=1e-5)


@pytest.mark.parametrize(("n", "quantile"), [(2, 0.000982069), (3, 0.0506356), (20, 8.90652)])
def test_the_deviation_is_bounded_by_chi_squared(n, quantile):
    """Lower quantiles from any printed table of the chi-squared distribution."""
    values = (0.5 + np.arange(n) / 10_000).tolist()
    assert std_bound(values) == pytest.approx(np.std(values, ddof=1) * np.sqrt((n - 1) / quantile), rel=1e-5)


@pytest.mark.parametrize("trials", [2, 3, 20])
@pytest.mark.parametrize("seed", range(5))
def test_intervals_and_deviations_of_shares_are_possible_ones(trials, seed):
    """Few draws say little, but never that an accuracy lies outside of [0, 1] or deviates by more than 1/2."""
    support, queries = two_domains(seed)
    result = classified(support, queries, Draws(seed=seed, trials=trials))
    low, high = result.draws_interval
    assert 0 <= low <= result.mean <= high <= 1
    assert result.std <= result.std_bound <= 0.5 or result.std == 0


def test_several_shots_have_no_expectation():
    support, queries = two_domains(0)
    result = classified(support, queries, Draws(seed=0, trials=2, shots=2))
    assert result.expected is None
    assert expected_interval(result) is None


def test_the_expectation_has_the_interval_of_a_mean_by_product():
    """The interval of the mean of the queries' chances: that of any metric whose values these are."""
    support, queries = two_domains(1)
    result = classified(support, queries, Draws(seed=0))
    known = np.isin(queries.products, support.products)
    assert result.expected == pytest.approx(np.mean(ranked(support, queries, Draws(seed=0)).chances))
    interval = expected_interval(result)
    assert interval == share_interval(micro_estimate(result.chances, queries.products[known], 9))
    assert 0 <= interval.low < result.expected < interval.high <= 1


@pytest.mark.parametrize("n", [10, 20, 100])
def test_the_deviation_over_draws_is_below_its_bound_as_often_as_promised(n):
    rng = np.random.default_rng(n)
    below = np.mean([std_bound((0.01 * rng.normal(size=n)).tolist()) >= 0.01 for _ in range(4000)])
    assert abs(below - 0.975) < 0.01  # four standard errors


def drawn_as_the_protocol_says(products, seed, trial):
    """The row of the smallest 64-bit key of each product, the keys in the order of the rows."""
    keys = np.random.PCG64(np.random.SeedSequence([seed, trial])).random_raw(len(products))
    rows = {int(product): min(np.flatnonzero(products == product), key=lambda row: keys[row]) for product in products}
    return sorted(rows.values())


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**40])
def test_the_draws_are_those_of_the_protocol_for_every_seed(seed):
    products = np.sort(np.random.default_rng(0).choice(9, size=40))
    for trial in range(5):
        drawn = draw_supports(products, Draws(seed=seed), trial)
        assert drawn.tolist() == drawn_as_the_protocol_says(products, seed, trial)


@pytest.mark.parametrize("shots", [1, 2])
def test_the_seed_of_a_score_decides_its_draws(shots):
    """Through the whole of a score, as accuracies are all that is seen of it; each seed has others."""
    rng = np.random.default_rng(0)
    products = [f"p{i:02d}" for i in np.repeat(np.arange(30), 4)]
    centres = np.repeat(rng.normal(size=(30, 8)), 4, axis=0)
    labels = {domain: SampleLabels([f"{i}" for i in range(120)], products) for domain in ("page", "video")}
    embeddings = {
        domain: DomainEmbeddings(rows.sample_ids, float32(centres + rng.normal(size=(120, 8))), "float32")
        for domain, rows in labels.items()
    }
    found = [
        score(embeddings, labels, Draws(seed=seed, trials=6, shots=shots), ComputeSettings()).one_shot["P2V"].accuracies
        for seed in (0, 0, 1, 2)
    ]
    assert found[0] == found[1]
    assert len(set(found)) == 3
