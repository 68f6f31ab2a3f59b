import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rope.bench.recommend.interactions import LeaveOneOut, Sequences
from rope.bench.recommend.score import METRICS, figures_of, slices_of, user_values
from rope.bench.recommend.target_ranks import TargetRanks


def everybody(n):
    return {"all": np.ones(n, np.bool_)}


@pytest.mark.slow  # ranx compiles
def test_metrics_are_those_of_ranx():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ranx import Qrels, Run, evaluate

        rng = np.random.default_rng(0)
        scores, targets = rng.standard_normal((40, 80)), rng.integers(0, 80, 40)
        qrels = Qrels({f"u{user}": {f"i{item}": 1} for user, item in enumerate(targets)})
        run = Run({f"u{user}": {f"i{item}": float(s) for item, s in enumerate(row)} for user, row in enumerate(scores)})
        names = {
            "recall@10": "Recall@10",
            "recall@50": "Recall@50",
            "ndcg@10": "NDCG@10",
            "ndcg@50": "NDCG@50",
            "mrr": "MRR",
        }
        wanted = evaluate(qrels, run, list(names))
    above = (scores > scores[np.arange(40), targets][:, None]).sum(axis=1)
    got = figures_of(TargetRanks(above, above, np.full(40, 79)), everybody(40))["all"].metrics
    assert {metric: got[metric].value for metric in names.values()} == pytest.approx(
        {names[name]: float(value) for name, value in wanted.items()}
    )


@given(st.lists(st.integers(0, 99), min_size=1, max_size=30))
def test_metrics_are_their_definitions_by_list(above):
    """As RecBole defines them, from the list of hits of each user, best first, one of them being right."""
    values = user_values(TargetRanks(np.array(above), np.array(above), np.full(len(above), 99)))
    for user, n in enumerate(above):
        hits = [int(place == n) for place in range(100)]
        for k in (10, 50):
            dcg = sum(hit / np.log2(place + 2) for place, hit in enumerate(hits[:k]))
            assert values[f"Recall@{k}"][user] == sum(hits[:k])
            assert values[f"NDCG@{k}"][user] == pytest.approx(dcg)
        assert values["MRR"][user] == pytest.approx(sum(hit / (place + 1) for place, hit in enumerate(hits)))
        assert values["AUC"][user] == pytest.approx(sum(1 for place in range(100) if place > n) / 99)


def test_ties_count_against_the_model_and_are_reported_the_other_way_too():
    figures = figures_of(TargetRanks(np.array([99]), np.array([0]), np.array([99])), everybody(1))["all"]
    assert [figures.metrics[metric].value for metric in METRICS] == [0, 0, 0, 0, 0.01, 0]
    assert list(figures.optimistic.values()) == [1] * 6


def test_each_user_is_a_cluster():
    above = np.array([0] * 30 + [99] * 70)
    figures = figures_of(TargetRanks(above, above, np.full(100, 99)), everybody(100))["all"]
    recall = figures.metrics["Recall@10"]
    assert recall.n_products == 100
    assert recall.low == pytest.approx(0.218, abs=0.005)
    assert recall.high == pytest.approx(0.398, abs=0.005)


def test_slices_part_users_by_item_and_by_activity():
    training = Sequences.of([[0] * 3 + [1, 1, 2], [0, 1], [0]])
    split = LeaveOneOut(np.arange(3), Sequences.of([[0], [0], [0]]), np.array([0, 3, 2]), training, training.lengths)
    slices = {name: np.flatnonzero(chosen).tolist() for name, chosen in slices_of(split, 4).items()}
    assert slices == {
        "all": [0, 1, 2],
        "cold items": [1],
        "head items": [0],
        "torso items": [],
        "tail items": [2],
        "head users": [0],
        "torso users": [],
        "tail users": [1, 2],
    }


def test_a_slice_without_users_has_no_figures():
    nobody = {"all": np.ones(1, np.bool_), "none": np.zeros(1, np.bool_)}
    assert list(figures_of(TargetRanks(np.zeros(1, int), np.zeros(1, int), np.ones(1, int)), nobody)) == ["all"]
