"""Every metric against a slow oracle: ties, grades, several positives, and queries that have none in a gallery."""

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import ndcg_score

from rope.bench.io.embeddings import DomainEmbeddings
from rope.bench.queries.numbers import SPREAD_METRICS, task_json
from rope.bench.queries.score import ndcg, score_tasks
from rope.bench.queries.tasks import clusters_of
from rope.bench.ranking.engine import ComputeSettings
from rope.dataset.directory import SampleLabels
from rope.domain import Frame
from rope.query import Positive, SearchQuery
from tests.bench.queries.oracle import KS, one_query, small_vectors, spread

DOMAINS = ("page", "video")


def made(seed, n_samples=12, n_queries=30):
    """Labels with galleries, queries of all kinds, and vectors full of ties."""
    rng = np.random.default_rng(seed)
    labels = {
        domain: SampleLabels(
            [f"{domain[0]}{i}" for i in range(n_samples)],
            [f"product{i // 3}" for i in range(n_samples)],
            [f"shop{i % 2}" for i in range(n_samples)],
        )
        for domain in DOMAINS
    }
    keys = [(domain, one) for domain in DOMAINS for one in labels[domain].sample_ids]
    queries = [drawn_query(rng, f"q{i:02d}", keys, labels) for i in range(n_queries)]
    vectors = {domain: small_vectors(rng, n_samples) for domain in DOMAINS} | {"query": small_vectors(rng, n_queries)}
    return labels, queries, vectors


def drawn_query(rng, query_id, keys, labels):
    kind, own = rng.integers(4), rng.integers(4)
    image = (Frame(data=b"image"),)
    text, images = [("a", ()), (None, image), (None, image * 2), ("a", image)][kind]
    gallery = "shop1" if own == 0 else None
    if gallery:
        keys = [(domain, one) for domain, one in keys if labels[domain].galleries[int(one[1:])] == gallery]
    drawn = [keys[i] for i in rng.permutation(len(keys))[: rng.integers(3, 9)]]
    n = int(rng.integers(1, len(drawn) - 1))
    positives = tuple(Positive(*key, int(rng.integers(1, 4))) for key in drawn[:n])
    rest = drawn[n:]
    excluded = tuple(rest[:1]) if rng.random() < 0.3 else ()
    candidates = (*drawn[:n], *rest) if own == 1 else ()
    group = f"group{rng.integers(6)}" if rng.random() < 0.6 else None
    return SearchQuery(
        query_id, text, images, positives, tuple(rest[1:]), excluded, gallery, candidates, group
    )  # fmt: skip


def scored(labels, queries, vectors, **settings):
    embeddings = {
        domain: DomainEmbeddings(
            [one.query_id for one in queries] if domain == "query" else labels[domain].sample_ids, rows, "float32"
        )
        for domain, rows in vectors.items()
    }
    return {one.task.name: one for one in score_tasks(embeddings, labels, queries, ComputeSettings(**settings))}


def expected(labels, queries, vectors, kind, domain, is_within):
    """Query id -> what the oracle says."""
    found = {}
    for query, vector in zip(queries, vectors["query"], strict=True):
        if query.kind != kind or query.has_own_gallery != is_within:
            continue
        candidates = {
            (d, one): vectors[d][i]
            for d in DOMAINS
            for i, one in enumerate(labels[d].sample_ids)
            if (domain in (None, d))
            and (query.gallery is None or labels[d].galleries[i] == query.gallery)
            and (not query.candidates or (d, one) in query.candidates)
            and (d, one) not in query.excluded
        }
        positives = {one.key: one.grade for one in query.positives}
        found[query.query_id] = one_query(vector, candidates, positives, query.negatives)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_each_query_of_each_task_scores_as_the_oracle_says(seed):
    labels, queries, vectors = made(seed)
    tasks = scored(labels, queries, vectors, threads=1)
    assert {one.task.domain for one in tasks.values()} == {*DOMAINS, None}
    for one in tasks.values():
        wanted = expected(labels, queries, vectors, one.task.kind, one.task.domain, one.task.is_within)
        answered = {query_id: of for query_id, of in wanted.items() if of is not None}
        assert one.query_ids == list(answered)
        assert one.n_no_positive == len(wanted) - len(answered)
        for name, values in {
            "rank": one.scores.rank,
            "rank_optimistic": one.scores.rank_optimistic,
            "hits": one.scores.hits,
            "n_candidates": one.n_candidates,
            "n_negatives": one.n_negatives,
            "outranked": one.outranked,
        }.items():
            assert values.tolist() == [of[name] for of in answered.values()], name
        assert_allclose(one.scores.average_precision, [of["average_precision"] for of in answered.values()], 1e-12)
        assert_allclose(one.ndcg, [of["ndcg"] for of in answered.values()], 1e-12)
        if one.answers is not None:
            shares = [[[at.get(domain, 0.0) for domain in DOMAINS] for at in of["answers"]] for of in answered.values()]
            assert_allclose(one.answers, shares, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_numbers_of_a_task_are_means_over_the_oracle(seed):
    labels, queries, vectors = made(seed)
    for one in scored(labels, queries, vectors).values():
        wanted = expected(labels, queries, vectors, one.task.kind, one.task.domain, one.task.is_within)
        of = [wanted[query_id] for query_id in one.query_ids]
        told = task_json(one)
        for i, k in enumerate(KS):
            assert told[f"R@{k}"] == pytest.approx(np.mean([w["rank"] <= k for w in of]))
            assert told[f"NDCG@{k}"] == pytest.approx(np.mean([w["ndcg"][i] for w in of]))
            assert told["by_chance"][f"R@{k}"] == pytest.approx(np.mean([w["chance"][k] for w in of]))
        assert told["MRR"] == pytest.approx(np.mean([1 / w["rank"] for w in of]))
        with_negatives = [w for w in of if w["n_negatives"]]
        if with_negatives:
            assert told["hard_negatives"]["outranked"] == pytest.approx(
                np.mean([w["outranked"] for w in of if w in with_negatives])
            )
        else:
            assert told["hard_negatives"] is None
        values = dict(
            zip(
                SPREAD_METRICS,
                zip(*[(w["rank"] <= 1, w["rank"] <= 10, 1 / w["rank"], w["ndcg"][2]) for w in of], strict=True),
                strict=True,
            )
        )
        groups = one.groups
        if told["paraphrases"] is None:
            assert len({g for g in groups if g}) == sum(g is not None for g in groups)
        else:
            for metric, numbers in values.items():
                by_hand = spread([float(v) for v in numbers], groups)
                got = told["paraphrases"][metric]
                assert {name: got[name] for name in by_hand} == pytest.approx(by_hand)


def test_an_order_drawn_at_random_comes_to_what_by_chance_says():
    labels, (first, *_), vectors = made(0, n_queries=1)
    rng, n = np.random.default_rng(0), 800
    queries = [replace(first, query_id=f"{i:04d}") for i in range(n)]
    vectors = {name: rng.standard_normal((len(rows), 24)).astype(np.float32) for name, rows in vectors.items()}
    vectors["query"] = rng.standard_normal((n, 24)).astype(np.float32)
    vectors["page"], vectors["video"] = np.eye(24, dtype=np.float32)[:12], np.eye(24, dtype=np.float32)[12:]
    for name, one in scored(labels, queries, vectors, threads=1).items():
        told = task_json(one)
        for metric in ("R@1", "R@5", "NDCG@5"):
            assert told[metric] == pytest.approx(told["by_chance"][metric], abs=0.05), (name, metric)


def test_the_order_of_samples_and_the_number_of_threads_change_no_digit():
    labels, queries, vectors = made(1)
    order = np.random.default_rng(0).permutation(12)
    shuffled = {
        domain: SampleLabels(*([column[i] for i in order] for column in (of.sample_ids, of.product_ids, of.galleries)))
        for domain, of in labels.items()
    }
    moved = {name: rows if name == "query" else rows[order] for name, rows in vectors.items()}
    one = scored(labels, queries, vectors, threads=1)
    other = scored(shuffled, queries, moved, threads=3, memory_bytes=1)
    for name, score in one.items():
        assert json.dumps(task_json(score)) == json.dumps(task_json(other[name]))


def test_ndcg_is_that_of_scikit_learn_where_nothing_ties():
    rng = np.random.default_rng(0)
    grades = np.array([3, 1, 2, 1])
    for _ in range(20):
        order = rng.permutation(30)
        positions = np.array([int(np.flatnonzero(order == i)[0]) + 1 for i in range(4)])
        truth = np.zeros(30)
        truth[:4] = grades
        scores = np.zeros(30)
        scores[order] = np.arange(30, 0, -1)
        for i, k in enumerate(KS[:4]):
            assert ndcg(grades, positions)[i] == pytest.approx(ndcg_score([truth], [scores], k=k))


def test_constant_vectors_find_nothing_and_take_no_domain_over_another():
    labels = {
        domain: SampleLabels([f"{domain}{i}" for i in range(60)], [f"p{i}" for i in range(60)]) for domain in DOMAINS
    }
    queries = [SearchQuery("q", "a", (), (Positive("page", "page0"),), negatives=(("video", "video3"),))]
    vectors = {domain: np.ones((60, 2), np.float32) for domain in DOMAINS} | {"query": np.ones((1, 2), np.float32)}
    tasks = scored(labels, queries, vectors)
    assert set(tasks) == {"text-to-page", "text-to-mixed"}
    mixed = task_json(tasks["text-to-mixed"])
    assert (mixed["R@50"], mixed["NDCG@50"], mixed["hard_negatives"]["outranked"]) == (0.0, 0.0, 1.0)
    assert mixed["answers_from"]["first_1"] == {"page": 0.5, "video": 0.5}
    assert task_json(tasks["text-to-page"])["hard_negatives"] is None
    assert mixed["ci95"]["R@1"] is None, "one product tells nothing of others"


def test_copies_of_another_length_tie_and_count_against_the_model():
    """Their cosines are equal, though float64 gives them other last digits."""
    rng = np.random.default_rng(0)
    page = rng.integers(-99, 99, (1, 7)).astype(np.float32) * np.float32([[1], [3], [7], [11], [13]])
    labels = {"page": SampleLabels(list("abcde"), list("abcde"))}
    queries = [
        SearchQuery("q1", "a", (), (Positive("page", "c"),), (("page", "e"),)),
        SearchQuery("q2", "a", (), (Positive("page", "a", 3), Positive("page", "b", 1))),
    ]
    asked = rng.integers(-99, 99, (2, 7)).astype(np.float32)
    found = scored(labels, queries, {"page": page, "query": asked})["text-to-page"]
    assert (found.scores.rank.tolist(), found.scores.rank_optimistic.tolist()) == ([5, 4], [1, 1])
    assert found.outranked.tolist() == [True, False]
    assert found.ndcg[1] == pytest.approx(ndcg(np.array([3, 1]), np.array([5, 4])))


def test_paraphrases_and_products_are_one_cluster():
    labels = {"live": SampleLabels(["0"], ["d"]), "page": SampleLabels(["1", "2", "3"], ["a", "b", "c"])}
    queries = [
        SearchQuery("q1", "x", (), (Positive("page", "1"),), group="g"),
        SearchQuery("q2", "y", (), (Positive("page", "2"),), group="g"),
        SearchQuery("q3", "z", (), (Positive("page", "1"), Positive("page", "3", 2))),
        SearchQuery("q4", "z", (), (Positive("live", "0"), Positive("page", "3"), Positive("page", "2"))),
    ]
    assert clusters_of(queries, labels) == ["a", "a", "c", "b"]


def test_many_vectors_a_sample_are_compared_by_maxsim():
    labels = {"page": SampleLabels(["1", "2"], ["a", "b"])}
    queries = [
        SearchQuery("q1", "x", (), (Positive("page", "2"),)),
        SearchQuery("q2", "x", (), (Positive("page", "1"),)),
    ]
    page = DomainEmbeddings(["1", "2"], np.float32([[1, 0], [0, 1], [1, 1]]), "float32", offsets=np.array([0, 1, 3]))
    asked = DomainEmbeddings(["q1", "q2"], np.float32([[1, 0], [0, 1]]), "float32", offsets=np.array([0, 2, 2]))
    (score,) = score_tasks({"page": page, "query": asked}, labels, queries, ComputeSettings(threads=1))
    assert score.scores.rank.tolist() == [1, 2], "the second query has no vector and so comes last"
