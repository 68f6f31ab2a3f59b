import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from rope.bench.recommend.interactions import (
    Interactions,
    Sequences,
    count_tied_targets,
    from_events,
    leave_one_out,
)

EVENTS = [("u2", "a", 5), ("u10", "b", 1), ("u2", "c", 2), ("u10", "b", 1), ("u2", "b", 5), ("u10", "c", 0)]


@given(st.permutations(EVENTS))
def test_the_order_of_rows_changes_nothing(events):
    interactions = from_events(*zip(*events, strict=True))
    assert interactions.user_ids == ["u2", "u10"]
    assert interactions.taken[0].tolist() in ([2, 0, 1], [2, 1, 0])
    assert interactions.taken.items.tolist() == from_events(*zip(*EVENTS, strict=True)).taken.items.tolist()
    assert interactions.taken[1].tolist() == [2, 1]
    assert interactions.is_tied.tolist() == [False, True, True, False, False]
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


def test_what_was_taken_at_one_time_is_in_no_order_of_ids():
    """Of 600 users who took the same ten items at once, each item is last about as often as any other."""
    users = [f"u{user}" for user in range(600) for _ in range(10)]
    interactions = from_events(users, [f"i{item}" for item in range(10)] * 600, [0] * 6000)
    last = np.bincount([interactions.taken[row][-1] for row in range(600)], minlength=10)
    assert scipy.stats.chisquare(last).pvalue > 1e-4
    assert count_tied_targets(interactions, "test") == 600


@pytest.mark.parametrize(
    ("times", "in_test", "in_validation"),
    [([1, 2, 3], 0, 0), ([1, 2, 2], 1, 1), ([1, 1, 2], 0, 1), ([1, 1, 2, 3], 0, 0), ([5, 5], 0, 0)],
)
def test_targets_that_a_tie_decides_are_counted(times, in_test, in_validation):
    interactions = from_events("u" * len(times), "abcd"[: len(times)], times)
    assert count_tied_targets(interactions, "test") == in_test
    assert count_tied_targets(interactions, "validation") == in_validation
