import numpy as np
import pytest

from baselines.learn.config import LearnRecipe
from baselines.learn.data import draw_batch, epoch_batches, n_batches
from rope.bench.recommend.interactions import Sequences

SEQUENCES = Sequences.of([[0, 1, 2, 3, 4], [5, 6], [7, 8, 9], [10, 11, 12, 13]])
EVERYBODY = np.arange(4)


@pytest.mark.parametrize("objective", ["in_batch", "full_gallery", "dense"])
def test_a_batch_is_a_history_and_what_came_later(objective):
    recipe = LearnRecipe(seed=0, objective=objective, max_history=3, places=2, actions=2)
    for epoch in range(20):
        batch = draw_batch(SEQUENCES, EVERYBODY, recipe, epoch)
        for user in EVERYBODY:
            history = batch.history[user][batch.mask[user] == 1].tolist()
            items = batch.items[user][batch.item_mask[user]].tolist()
            taken = SEQUENCES[user].tolist()
            cut = taken.index(history[-1]) + 1
            assert history == taken[max(0, cut - 3) : cut]
            assert items == sorted(set(items))
            assert set(items) <= set(taken[cut:])
            assert 1 <= len(items) <= 2
            if objective != "dense":
                assert items == taken[cut : cut + 1]
                assert batch.places[user].tolist() == [len(history) - 1]
            if objective == "in_batch":
                assert cut >= len(taken) // 2


def test_what_is_drawn_for_a_user_does_not_depend_on_the_others():
    recipe = LearnRecipe(seed=1)
    together, alone = draw_batch(SEQUENCES, EVERYBODY, recipe, 3), draw_batch(SEQUENCES, np.array([2]), recipe, 3)
    assert together.items[2].tolist() == alone.items[0].tolist()


@pytest.mark.parametrize(("size", "batch_size"), [(1, 3), (2, 1), (3, 2)])
def test_processes_share_an_epoch(size, batch_size):
    recipe = LearnRecipe(seed=0, batch_size=batch_size)
    batches = [list(epoch_batches(SEQUENCES, recipe, 0, rank=rank, size=size)) for rank in range(size)]
    first = [int(row) for mine in batches for batch in mine for row in batch.history[:, 0]]
    assert {len(mine) for mine in batches} == {n_batches(4, batch_size, size)}
    assert len(set(first)) == len(first) == 4 - 4 % size


def test_an_epoch_can_be_begun_in_its_middle():
    recipe = LearnRecipe(seed=0, batch_size=1)
    whole, rest = list(epoch_batches(SEQUENCES, recipe, 2)), list(epoch_batches(SEQUENCES, recipe, 2, start=3))
    assert [batch.history.tolist() for batch in rest] == [whole[3].history.tolist()]
