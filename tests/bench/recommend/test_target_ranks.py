import numpy as np
import pytest

from rope.bench.ranking.engine import ComputeSettings
from rope.bench.ranking.similarity import Vectors
from rope.bench.recommend.target_ranks import hidden_items, rank_by_vectors
from tests.bench.recommend.cases import N_ITEMS, coarse_vectors, random_split
from tests.bench.recommend.reference import places as reference_places


@pytest.mark.parametrize("exclude_history", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_places_are_those_of_a_loop(seed, exclude_history):
    split = random_split(seed)
    items, users = coarse_vectors(seed, N_ITEMS), coarse_vectors(seed + 100, len(split.users))
    hidden = hidden_items(split, exclude_history=exclude_history)
    got = rank_by_vectors(Vectors.of(items), users, split.targets, hidden, ComputeSettings(threads=2))
    unit = [v.astype(np.float64) / np.linalg.norm(v.astype(np.float64), axis=1, keepdims=True) for v in (users, items)]
    wanted = reference_places(unit[0] @ unit[1].T, split, exclude_history)
    assert (got.above.tolist(), got.above_optimistic.tolist(), got.n_negatives.tolist()) == wanted
    assert got.above.sum() > got.above_optimistic.sum()  # there were ties


def test_equal_vectors_put_the_target_last():
    split = random_split(0)
    same = np.ones((N_ITEMS, 2), np.float32)
    hidden = hidden_items(split, exclude_history=True)
    got = rank_by_vectors(
        Vectors.of(same),
        same[: len(split.users)].repeat(2, 0)[: len(split.users)],
        split.targets,
        hidden,
        ComputeSettings(),
    )
    assert got.above.tolist() == got.n_negatives.tolist()
    assert not got.above_optimistic.any()


def test_a_target_that_was_taken_before_stays_in_the_gallery():
    split = random_split(9)
    hidden = hidden_items(split, exclude_history=True)
    repeated = [user for user, target in enumerate(split.targets) if target in split.history[user]]
    assert repeated
    assert all(split.targets[user] not in hidden[user] for user in range(len(split.users)))
