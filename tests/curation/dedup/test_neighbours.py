import sys

import numpy as np
import pytest

from rope.curation.dedup import neighbours
from rope.curation.dedup.neighbours import near_pairs, near_pairs_between, search_recall
from rope.errors import EmbeddingError, UsageError


def clustered(n, dim, seed):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n // 4, dim))
    return (centres[rng.integers(0, len(centres), n)] + 0.3 * rng.standard_normal((n, dim))).astype(np.float32)


def as_set(found):
    return set(zip(found.left.tolist(), found.right.tolist(), found.cosine.tolist(), strict=True))


def slow_pairs(vectors, threshold):
    units = vectors.astype(np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    cosine = np.round(units @ units.T, 4)
    return {
        (i, j, cosine[i, j]) for i, j in zip(*np.triu_indices(len(units), 1), strict=True) if cosine[i, j] >= threshold
    }


@pytest.mark.parametrize("block", [(512, 4096), (7, 13), (1, 500), (300, 1)])
def test_pairs_are_those_of_a_loop_whatever_the_block(block):
    vectors = clustered(300, 16, seed=0)
    assert as_set(near_pairs(vectors, 0.9, limit=300, block=block)) == slow_pairs(vectors, 0.9)


@pytest.mark.parametrize("waiting", [1, 50, 1 << 20])
def test_how_many_pairs_are_collected_before_some_are_dropped_changes_nothing(waiting, monkeypatch):
    monkeypatch.setattr("rope.curation.dedup.neighbours._WAITING", waiting)
    vectors = clustered(300, 4, seed=4)
    units = vectors.astype(np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    cosine = np.round(units @ units.T, 4) - 3.0 * np.eye(300)
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :3]
    pairs = {tuple(sorted((i, j))) for i in range(300) for j in nearest[i].tolist() if cosine[i, j] >= 0.9}
    found = near_pairs(vectors, 0.9, limit=3, block=(16, 32))
    assert set(zip(found.left.tolist(), found.right.tolist(), strict=True)) == pairs


def test_the_order_of_rows_changes_their_numbers_alone():
    vectors = clustered(400, 8, seed=1)
    order = np.random.default_rng(2).permutation(400)
    shuffled = near_pairs(vectors[order], 0.9, limit=400)
    ends = np.sort(np.stack([order[shuffled.left], order[shuffled.right]]), axis=0).tolist()
    assert set(zip(*ends, shuffled.cosine.tolist(), strict=True)) == as_set(near_pairs(vectors, 0.9, limit=400))


@pytest.mark.parametrize(("cosine", "found"), [(0.9, 1), (0.89996, 1), (0.8999, 0)])
def test_the_threshold_decides_on_four_rounded_digits(cosine, found):
    pair = [[1, 0], [cosine, np.sqrt(1 - cosine**2)]]
    assert len(near_pairs(pair, 0.9, limit=1).left) == found


@pytest.mark.parametrize("method", ["exact", "ivf"])
def test_a_row_with_more_neighbours_than_the_limit_is_saturated(method):
    if method == "ivf":
        pytest.importorskip("faiss")
    rng = np.random.default_rng(3)
    vectors = np.concatenate([rng.standard_normal((200, 32)), np.ones((12, 32)), -np.ones((11, 32))])
    found = near_pairs(vectors, 0.99, limit=10, method=method)
    assert np.flatnonzero(found.left_saturated).tolist() == list(range(200, 212))


def test_an_index_finds_most_pairs_and_says_how_many():
    pytest.importorskip("faiss")
    vectors = clustered(4000, 16, seed=4)
    exact = near_pairs(vectors, 0.9, limit=50)
    found = near_pairs(vectors, 0.9, limit=50, method="ivf")
    assert as_set(found) <= as_set(exact)
    hits, there = search_recall(vectors, found, 0.9, queries=500, seed=0)
    assert there > 300
    assert hits >= 0.95 * there
    assert search_recall(vectors, exact, 0.9, queries=500, seed=0) == (there, there)


def test_an_index_computes_only_near_pairs_again(monkeypatch):
    pytest.importorskip("faiss")
    vectors, rescored = clustered(4000, 16, seed=4), []
    rescore = neighbours._rescored
    monkeypatch.setattr(neighbours, "_rescored", lambda *given: rescored.append(len(given[2])) or rescore(*given))
    found = near_pairs(vectors, 0.9, limit=200, method="ivf")
    assert len(found.left) > 1000
    assert sum(rescored) < 3 * len(found.left)


@pytest.mark.parametrize("sizes", [(300, 2500), (2500, 300)])
def test_an_index_between_two_sets_clusters_the_smaller_and_finds_the_same_pairs_both_ways(monkeypatch, sizes):
    pytest.importorskip("faiss")
    both, indexed = clustered(sum(sizes), 16, seed=5), []
    cluster = neighbours._clusters
    monkeypatch.setattr(neighbours, "_clusters", lambda one: indexed.append(len(one.raw)) or cluster(one))
    first, second = both[: sizes[0]], both[sizes[0] :]
    there = near_pairs_between(first, second, 0.9, limit=50, method="ivf")
    back = near_pairs_between(second, first, 0.9, limit=50, method="ivf")
    assert indexed == [min(sizes)] * 2
    assert as_set(there) == {(left, right, cosine) for right, left, cosine in as_set(back)}
    exact = as_set(near_pairs_between(first, second, 0.9, limit=50, method="exact"))
    assert as_set(there) <= exact
    assert len(as_set(there)) >= 0.95 * len(exact) > 100


@pytest.mark.parametrize("probes", [1, 3, 10**6])
def test_an_index_finds_pairs_of_equal_rows_up_to_the_limit_and_all_with_all_clusters(probes):
    pytest.importorskip("faiss")
    vectors = np.concatenate([clustered(1500, 8, seed=6), np.ones((40, 8), np.float32)])
    exact = near_pairs(vectors, 0.95, limit=20, method="exact")
    found = near_pairs(vectors, 0.95, limit=20, method="ivf", probes=probes)
    assert np.array_equal(found.left_saturated[1500:], np.ones(40, np.bool_))
    assert as_set(found) <= as_set(near_pairs(vectors, 0.95, limit=1540, method="exact"))
    if probes == 10**6:
        assert as_set(found) == as_set(exact)


def test_pairs_between_two_sets_are_complete_on_both_sides_up_to_the_limit():
    first, second = np.ones((1, 4)), np.ones((5, 4))
    found = near_pairs_between(first, second, 0.9, limit=3)
    assert found.right.tolist() == [0, 1, 2, 3, 4]
    assert found.left_saturated.tolist() == [True]
    assert not found.right_saturated.any()


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_rows_have_no_pairs(n):
    assert not len(near_pairs(np.ones((n, 3)), 0.5, limit=5).left)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_vector_without_direction_is_named(bad):
    with pytest.raises(EmbeddingError, match=r"1 vectors are zero or not finite \(rows 1\)"):
        near_pairs([[1.0, 1.0], [bad, 0.0]], 0.9, limit=1)


@pytest.mark.parametrize(("threshold", "limit"), [(0, 5), (1.01, 5), (0.5, 0)])
def test_options_out_of_range_are_refused(threshold, limit):
    with pytest.raises(UsageError, match="expected"):
        near_pairs([[1.0]], threshold, limit=limit)


def test_a_missing_faiss_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UsageError, match=r"pip install 'rope-bench\[faiss\]'"):
        near_pairs(np.eye(3), 0.5, limit=1, method="ivf")
