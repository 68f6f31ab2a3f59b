import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rope.bench.recommend.interactions import Interactions, Sequences, from_events, leave_one_out

EVENTS = [("u2", "a", 5), ("u10", "b", 1), ("u2", "c", 2), ("u10", "b", 1), ("u2", "b", 5), ("u10", "c", 0)]


@given(st.permutations(EVENTS))
def test_the_order_of_rows_changes_nothing(events):
    interactions = from_events(*zip(*events, strict=True))
    assert interactions.user_ids == ["u2", "u10"]
    assert [interactions.taken[row].tolist() for row in range(2)] == [[2, 0, 1], [2, 1]]
    assert interactions.n_repeated == 1


@pytest.mark.parametrize(("stage", "history", "target"), [("test", [0, 1, 2], 3), ("validation", [0, 1], 2)])
def test_the_stage_says_which_item_is_asked(stage, history, target):
    interactions = Interactions(["short", "long"], list("abcd"), Sequences.of([[3, 3], [0, 1, 2, 3]]))
    split = leave_one_out(interactions, stage)
    assert split.users.tolist() == [1]
    assert (split.history[0].tolist(), split.targets.tolist()) == (history, [target])
    assert [split.training[row].tolist() for row in range(2)] == [[3, 3], [0, 1]]
    assert split.training_counts.tolist() == [2]


def test_taking_sequences_is_indexing_them():
    sequences = Sequences.of([[1], [], [2, 3]])
    taken = sequences.take(np.array([2, 0, 2, 1]))
    assert [taken[row].tolist() for row in range(4)] == [[2, 3], [1], [2, 3], []]
    assert taken.owners.tolist() == [0, 0, 1, 2, 2]
