import numpy as np
import pytest

from rope.bench.recommend import floors
from rope.bench.recommend.floors import item_neighbours, rank_by_neighbours, rank_by_popularity
from rope.bench.recommend.target_ranks import hidden_items
from tests.bench.recommend.cases import N_ITEMS, random_split
from tests.bench.recommend.reference import neighbour_scores
from tests.bench.recommend.reference import places as reference_places


def as_lists(places):
    return places.above.tolist(), places.above_optimistic.tolist(), places.n_negatives.tolist()


@pytest.mark.parametrize("exclude_history", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_popularity_is_that_of_a_loop(seed, exclude_history):
    split = random_split(seed)
    counts = np.bincount(split.training.items, minlength=N_ITEMS).astype(np.float64)
    got = rank_by_popularity(N_ITEMS, split, hidden_items(split, exclude_history=exclude_history))
    assert as_lists(got) == reference_places(np.tile(counts, (len(split.users), 1)), split, exclude_history)


@pytest.mark.parametrize("exclude_history", [False, True])
@pytest.mark.parametrize("k", [1, 4, N_ITEMS])
@pytest.mark.parametrize("pairs_a_block", [5, 1 << 20])
def test_neighbours_are_those_of_dense_matrices(k, exclude_history, pairs_a_block, monkeypatch):
    monkeypatch.setattr(floors, "_PAIRS_A_BLOCK", pairs_a_block)
    split = random_split(k)
    near = item_neighbours(N_ITEMS, split.training, k)
    got = rank_by_neighbours(near, split, hidden_items(split, exclude_history=exclude_history))
    assert as_lists(got) == reference_places(neighbour_scores(split, N_ITEMS, k), split, exclude_history)
