import numpy as np
import pytest

from rope.curation.dedup import measured_search
from rope.curation.dedup.measured_search import SearchNote, SearchRules, measured_near_pairs
from rope.curation.dedup.neighbours import near_pairs, near_pairs_between
from rope.errors import DatasetError

pytest.importorskip("faiss", reason="the extra faiss is not installed")


def clustered(n, *, dim=16, seed=0):
    """Vectors in pairs, of which every second one is near: a cosine of some 0.95."""
    rng = np.random.default_rng(seed)
    first = rng.standard_normal((n // 2, dim))
    noise = rng.standard_normal((n // 2, dim)) * np.where(np.arange(n // 2) % 2, 0.3, 3.0)[:, None]
    return np.concatenate([first, first + noise]).astype(np.float32)


def search(vectors, method, **options):
    given = {"queries": 300, "min_recall": 0.5} | options
    return measured_near_pairs(vectors, 0.9, SearchRules(method, **given), limit=20)


def pairs_of(found):
    return set(zip(found.left.tolist(), found.right.tolist(), strict=True))


def test_the_measured_recall_is_near_that_of_comparing_everything(monkeypatch):
    monkeypatch.setattr(measured_search, "_PROBES", (1,))
    vectors = clustered(4000)
    found, note = search(vectors, "ivf", queries=2000)
    oracle = pairs_of(near_pairs(vectors, 0.9, limit=20, method="exact"))
    true_recall = len(pairs_of(found) & oracle) / len(oracle)
    assert pairs_of(found) <= oracle
    assert true_recall < 1
    assert abs(note.found / note.pairs - true_recall) < 0.03
    assert note.json()["recall_at_least"] < note.found / note.pairs


def test_an_index_looks_into_more_clusters_until_it_finds_enough(monkeypatch):
    monkeypatch.setattr(measured_search, "_PROBES", (1, 2, 64))
    first, second = search(clustered(4000), "ivf"), search(clustered(4000), "ivf", min_recall=1.0)
    assert (first[1].probes, second[1].probes) == (1, 64)
    assert second[1].found == second[1].pairs > first[1].found


def test_an_index_that_finds_too_little_is_refused(monkeypatch):
    monkeypatch.setattr(measured_search, "_PROBES", (1,))
    with pytest.raises(DatasetError, match=r'less than min_recall = 1; compare everything with search = "exact"'):
        search(clustered(4000), "ivf", min_recall=1.0)


@pytest.mark.parametrize(("largest", "method"), [(99, "ivf"), (100, "exact")])
def test_auto_takes_an_index_for_more_rows_than_are_compared_one_by_one(largest, method):
    assert search(clustered(100), "auto", min_recall=0.01, largest=largest)[1].method == method


def test_the_recall_between_two_sets_is_that_of_comparing_everything(monkeypatch):
    monkeypatch.setattr(measured_search, "_PROBES", (1,))
    first, second = np.split(clustered(4000), 2)
    rules = SearchRules("ivf", min_recall=0.5, queries=2000)
    found, note = measured_near_pairs(first, 0.9, rules, limit=20, second=second)
    oracle = pairs_of(near_pairs_between(first, second, 0.9, limit=20))
    assert pairs_of(found) < oracle
    assert (note.found, note.pairs) == (len(pairs_of(found)), len(oracle))


def test_the_recall_of_the_nearest_counts_rows_whose_lists_are_cut_short(monkeypatch):
    """300 rows with 99 neighbours each: where the nearest 5 are wanted, these are what an index has to find."""
    monkeypatch.setattr(measured_search, "_PROBES", (1,))
    rng = np.random.default_rng(0)
    vectors = (np.repeat(np.eye(3, 8), 100, axis=0) + 0.02 * rng.standard_normal((300, 8))).astype(np.float32)
    rules = SearchRules("ivf", min_recall=0.1, queries=300)
    all_of_them = measured_near_pairs(vectors, 0.9, rules, limit=5)[1]
    nearest = measured_near_pairs(vectors, 0.9, rules, limit=5, of_nearest=True)[1]
    assert all_of_them.pairs == 0
    assert nearest.pairs == 300 * 5
    assert 0.1 * 1500 <= nearest.found < 1500


def test_nothing_was_measured_where_there_is_no_pair():
    note = search(np.eye(50, dtype=np.float32), "ivf")[1]
    assert note == SearchNote("ivf", 50, 8, 50, 0, 0)
    assert (note.json()["recall"], note.json()["recall_at_least"]) == (None, None)
