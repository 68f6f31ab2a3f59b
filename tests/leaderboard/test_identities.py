"""Numbers that no vectors can give: one at a time in a sound score, or in ranks of six queries."""

import copy
import json

import numpy as np
import pytest

from leaderboard.identities import rank_problems, reported_problems, score_problems
from rope.bench.stats.query_ranks import PairRanks, QueryRanks, RanksProvenance

ORIGIN = RanksProvenance("model", "small", "0" * 64, "validation", "1.1")


@pytest.fixture(scope="module")
def sound(results):
    return json.loads(next((results / "alpha").glob("*.score.json")).read_text("utf-8"))


def put(*path, to):
    """A change of one value."""

    def change(score):
        *parents, last = path
        for key in parents:
            score = score[key]
        score[last] = to(score[last]) if callable(to) else to

    return change


def test_a_sound_score_has_no_problems(sound):
    assert score_problems(sound) == []


PAIR = ("pairs", "P2V")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (put("headline", "value", to=lambda value: value + 2e-9), "the headline is "),
        (put("headline", "value", to=None), "the headline is None, but the mean R@1 of the six pairs is"),
        (
            put("pairs", to=lambda pairs: pairs | {"X2Y": pairs["P2V"]}),
            "X2Y is not a pair of the domains page, vid",
        ),
        (
            put("pairs", to=lambda pairs: pairs | {"P2V": pairs["P2V"] | {"R@1": None}}),
            "P2V: some numbers are there and",
        ),
        (put("one_shot", to=lambda pairs: {"V2L": pairs["V2L"]}), "one-shot accuracy is of V2L, expected P2V, V2P"),
        (put("one_shot", to={}), "one-shot accuracy is of no pair, expected P2V"),
        (put(*PAIR, "R@5", to=0.0), "P2V: R@k falls from"),
        (put(*PAIR, "recall@20", to=0.0), "P2V: recall@k falls from"),
        (put(*PAIR, "macro", "recall@20", to=0.0), "P2V, macro: recall@k falls from"),
        (put(*PAIR, "macro", "MRR", to=0.0), "P2V, macro: MRR 0.0 is below R@1"),
        (put(*PAIR, "recall@50", to=1.5), "P2V: recall@50 1.5 is above R@50"),
        (put(*PAIR, "optimistic", "R@10", to=0.0), "P2V: R@10 is above what it would be with ties counted for the mod"),
        (put(*PAIR, "n_no_positive", to=1), "P2V: 120 queries and 1 without a positive, of 120 samples"),
        (put(*PAIR, "n_gallery", to=121), "P2V: a gallery of 121, but there are 120 samples"),
        (put(*PAIR, "R@1", to=lambda value: value - 1e-3), " is not a share of 120 queries"),
    ],
)
def test_what_contradicts_itself_is_told(sound, change, expected):
    score = copy.deepcopy(sound)
    change(score)
    assert any(expected in text for text in score_problems(score))


def test_a_pair_without_r_at_1_is_missing(sound):
    score = copy.deepcopy(sound)
    del score["pairs"]["V2P"]
    assert score_problems(score) == ["V2P is missing, and every pair is part of the protocol"]


def ranks_of(name, *, rank=1, hits=1, n_positives=2):
    """Six queries, of which the last has these numbers."""
    ranks, positives = np.ones((2, 6), np.int64)
    ranks[-1], positives[-1] = rank, n_positives
    of_k = np.ones((6, 5), np.int64)
    of_k[-1] = hits
    pair = PairRanks([f"q{i}" for i in range(6)], np.arange(6), positives, ranks, ranks, np.ones(6), of_k)
    return QueryRanks(ORIGIN, [f"p{i}" for i in range(6)], {name: pair})


@pytest.mark.parametrize(
    ("name", "numbers", "is_bad"),
    [
        ("P2V", {"rank": 9}, False),  # of 10 videos, 8 are negatives
        ("P2V", {"rank": 10}, True),
        ("V2V", {"rank": 8}, False),  # the query is not part of its gallery
        ("V2V", {"rank": 9}, True),
        ("P2V", {"n_positives": 10}, False),
        ("P2V", {"n_positives": 11, "rank": 0}, True),
        ("P2V", {"hits": [1, 5, 10, 20, 50]}, False),
        ("P2V", {"hits": [1, 5, 11, 11, 11]}, True),
    ],
)
def test_no_rank_is_beyond_its_gallery(name, numbers, is_bad):
    found = rank_problems(ranks_of(name, **numbers), {"page": 4, "video": 10})
    assert found == ([f"{name}: query 'q5' has a rank or hits beyond the gallery"] if is_bad else [])


def test_a_reported_row_has_pairs_of_its_dataset():
    assert reported_problems({"P2V": {"R@1": 0.5, "R@5": 0.5}}, ["page", "video"]) == []
    assert reported_problems({"P2L": {"R@1": 0.5}}, ["page", "video"]) == [
        "P2L is not a pair of the domains page, video"
    ]
