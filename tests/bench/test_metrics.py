import math
from dataclasses import fields, replace
from statistics import median

import numpy as np
import pytest
import torch
from ranx import Qrels, Run, evaluate
from torchmetrics.functional.retrieval import (
    retrieval_average_precision,
    retrieval_hit_rate,
    retrieval_recall,
    retrieval_reciprocal_rank,
)

from rope.bench.metrics import KS, QueryScores, joined, mean, mean_by_product, score_queries, summarise
from rope.bench.ranking.engine import ComputeSettings, Labelled, PositiveRanks, rank_one_way
from rope.bench.ranking.similarity import Vectors


def ranks_of(above: list[list[int]], optimistic: list[list[int]] | None = None) -> PositiveRanks:
    offsets = np.cumsum([0, *map(len, above)])
    flat = np.array([n for query in above for n in query], np.int64)
    best = flat if optimistic is None else np.array([n for query in optimistic for n in query], np.int64)
    return PositiveRanks(offsets, flat, best, 0)


@pytest.mark.parametrize(
    ("above", "rank", "average_precision", "recall_at_5"),
    [
        ([0], 1, 1.0, 1.0),
        ([4], 5, 1 / 5, 1.0),
        ([5], 6, 1 / 6, 0.0),
        ([0, 0, 0], 1, 1.0, 1.0),
        ([1, 3, 9], 2, (1 / 2 + 2 / 5 + 3 / 12) / 3, 2 / 3),
    ],
)
def test_one_query_by_hand(above, rank, average_precision, recall_at_5):
    scores = score_queries(ranks_of([above]))
    summary = summarise(scores)
    assert scores.rank.tolist() == [rank]
    assert summary.mrr == 1 / rank
    assert summary.mean_average_precision == pytest.approx(average_precision)
    assert summary.recall[5] == pytest.approx(recall_at_5)
    assert summary.hit_rate == {k: float(rank <= k) for k in KS}


def test_queries_without_positives_are_left_out():
    scores = score_queries(ranks_of([[], [0], [], [3], []]))
    assert scores.queries.tolist() == [1, 3]
    assert summarise(scores).hit_rate[1] == 0.5


def test_optimistic_hits_are_kept_apart():
    summary = summarise(score_queries(ranks_of([[7]], [[0]])))
    assert summary.hit_rate[1] == 0.0
    assert summary.hit_rate_optimistic[1] == 1.0


def test_macro_weighs_products_alike():
    scores = score_queries(ranks_of([[0], [9], [9], [9]]))
    products = np.array([5, 8, 8, 8])
    assert summarise(scores).hit_rate[1] == 0.25
    assert summarise(scores, products).hit_rate[1] == 0.5
    assert summarise(scores).median_rank == 10
    assert summarise(scores, products).median_rank == 5.5


def test_the_scores_of_parts_are_those_of_the_whole():
    """Of four queries, of which the second has no positive; parts come in any order."""
    offsets, above = np.array([0, 2, 2, 5, 6]), np.array([0, 4, 1, 2, 7, 60])
    chances, won = np.linspace(0, 1, 6), np.arange(4, dtype=np.uint64)[:, None]

    def part(start, stop, n_rechecked):
        some = slice(offsets[start], offsets[stop])
        ranks = PositiveRanks(
            offsets[start : stop + 1] - offsets[start],
            above[some],
            above[some] // 2,
            n_rechecked,
            chances[some],
            won[start:stop],
        )
        return score_queries(ranks, start)

    whole, parts = part(0, 4, 5), joined([part(3, 4, 2), part(0, 2, 0), part(2, 3, 3)])
    for field in fields(QueryScores):
        assert np.array_equal(getattr(parts, field.name), getattr(whole, field.name)), field.name
    assert (whole.queries.tolist(), whole.n_rechecked, len(whole.won)) == ([0, 2, 3], 5, 3)
    without = joined([part(3, 4, 2), replace(part(0, 2, 0), chances=None, won=None)])
    assert (without.chances, without.won) == (None, None)


def test_no_query_at_all_is_an_error():
    with pytest.raises(ValueError, match="nothing to average"):
        summarise(score_queries(ranks_of([[], []])))


def test_means_do_not_depend_on_order():
    rng = np.random.default_rng(0)
    values, products = rng.random(1000), rng.integers(0, 50, 1000)
    order = rng.permutation(1000)
    assert mean(values) == mean(values[order])
    assert mean_by_product(values, products) == mean_by_product(values[order], products[order])


MEANT = {
    "thirds": lambda rng: rng.integers(0, 4, 900) / 3,
    "reciprocal ranks": lambda rng: 1 / rng.integers(1, 1 << 15, 900),
    "reciprocal ranks of a large gallery": lambda rng: 1 / rng.integers(1, 1 << 24, 900),
    "single": lambda rng: rng.random(900, np.float32),
    "far apart": lambda rng: 10.0 ** -rng.integers(0, 30, 900),
    "above 1": lambda rng: rng.random(900) + 0.5,
    "below 0": lambda rng: rng.normal(size=900),
    "whole": lambda rng: rng.integers(0, 1 << 40, 900),
    "whether": lambda rng: rng.random(900) < 0.3,
}


@pytest.mark.parametrize("kind", MEANT)
def test_means_are_those_of_exact_sums(kind):
    rng = np.random.default_rng(0)
    values, products = MEANT[kind](rng), rng.integers(0, 200, 900)
    assert mean(values) == math.fsum(values.tolist()) / 900
    means = [math.fsum(own := values[products == p].tolist()) / len(own) for p in np.unique(products)]
    assert mean_by_product(values, products) == math.fsum(means) / len(means)


def test_a_macro_median_is_the_median_of_medians():
    ranks = ranks_of([[0, 9], [4], [6], [1], [9, 9]])
    scores, products = score_queries(ranks), np.array([5, 2, 2, 5, 2])
    of_product = [median(scores.rank[products == p].tolist()) for p in (2, 5)]
    assert of_product == [7, 1.5]
    assert summarise(scores, products).median_rank == median(of_product) == 4.25


@pytest.fixture(scope="module")
def case():
    """Random vectors without ties: the definitions of all libraries agree there."""
    rng = np.random.default_rng(0)
    products = np.sort(rng.integers(0, 12, size=80))
    centres = rng.normal(size=(12, 8))
    vectors = (centres[products] + rng.normal(size=(80, 8))).astype(np.float32)
    queries, gallery = (Labelled(Vectors.of(vectors[i::2]), products[i::2].astype(np.int64)) for i in range(2))
    units = [side.vectors.raw * side.vectors.inverse_norms[:, None] for side in (queries, gallery)]
    similarities = units[0] @ units[1].T
    relevant = queries.products[:, None] == gallery.products
    keep = relevant.any(axis=1)
    summary = summarise(score_queries(rank_one_way(queries, gallery, ComputeSettings())))
    return summary, similarities[keep], relevant[keep]


def test_agrees_with_torchmetrics(case):
    summary, similarities, relevant = case
    similarities = similarities + 2  # its average precision drops positives whose score is not above zero

    def average(function, **options):
        pairs = zip(torch.tensor(similarities), torch.tensor(relevant), strict=True)
        return np.mean([float(function(s, r, **options)) for s, r in pairs])

    assert summary.mean_average_precision == pytest.approx(average(retrieval_average_precision), abs=1e-6)
    assert summary.mrr == pytest.approx(average(retrieval_reciprocal_rank), abs=1e-6)
    for k in (1, 5, 10, 20):
        assert summary.hit_rate[k] == pytest.approx(average(retrieval_hit_rate, top_k=k), abs=1e-6)
        assert summary.recall[k] == pytest.approx(average(retrieval_recall, top_k=k), abs=1e-6)


# ranx's compiled code casts its 64-bit hashes on first use.
@pytest.mark.filterwarnings("ignore:unsafe cast from uint64")
def test_agrees_with_ranx(case):
    summary, similarities, relevant = case
    names = [f"g{j}" for j in range(similarities.shape[1])]
    qrels = Qrels({f"q{i}": {names[j]: 1 for j in np.flatnonzero(row)} for i, row in enumerate(relevant)})
    run = Run({f"q{i}": dict(zip(names, map(float, row), strict=True)) for i, row in enumerate(similarities)})
    theirs = evaluate(qrels, run, ["hit_rate@1", "hit_rate@5", "recall@10", "mrr", "map"])
    ours = {
        "hit_rate@1": summary.hit_rate[1],
        "hit_rate@5": summary.hit_rate[5],
        "recall@10": summary.recall[10],
        "mrr": summary.mrr,
        "map": summary.mean_average_precision,
    }
    assert ours == pytest.approx({name: float(value) for name, value in theirs.items()})
