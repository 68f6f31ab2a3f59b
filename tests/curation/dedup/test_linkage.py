import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rope.curation.dedup.linkage import link


def linked(n, pairs, cap=100):
    rows = np.array([pair[:2] for pair in pairs], np.int64).reshape(-1, 2)
    strength = np.array([pair[2] if len(pair) > 2 else 1.0 for pair in pairs])
    return link(n, rows[:, 0], rows[:, 1], strength, cap=cap)


@pytest.mark.parametrize(
    ("pairs", "groups"),
    [
        ([], [0, 1, 2, 3]),
        ([(0, 1), (0, 2), (1, 2)], [0, 0, 0, 3]),
        ([(0, 1, 0.99), (1, 2, 0.91)], [0, 0, 2, 3]),
        ([(0, 1, 0.91), (1, 2, 0.99)], [0, 1, 1, 3]),
        ([(0, 1, 0.9), (1, 2, 0.95), (2, 3, 0.9)], [0, 1, 1, 3]),
        ([(0, 1, 0.99), (2, 3, 0.99), (0, 2, 0.9), (0, 3, 0.9), (1, 2, 0.9)], [0, 0, 2, 2]),
    ],
)
def test_groups_of_small_graphs(pairs, groups):
    assert linked(4, pairs).group.tolist() == groups


def test_a_component_above_the_cap_is_queued_and_left_alone():
    pairs = [(0, 1), (0, 2), (1, 2), (3, 4)]
    result = linked(5, pairs, cap=2)
    assert result.group.tolist() == [0, 1, 2, 3, 3]
    assert result.queued.tolist() == [True, True, True, False, False]


@given(st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8)).filter(lambda pair: pair[0] < pair[1])))
def test_every_group_is_a_clique_and_no_two_groups_could_join(pairs):
    group = linked(9, sorted(pairs)).group
    members = [np.flatnonzero(group == name).tolist() for name in np.unique(group)]
    assert all(pair in pairs for nodes in members for pair in itertools.combinations(nodes, 2))
    for a, b in itertools.combinations(members, 2):
        assert not all((min(i, j), max(i, j)) in pairs for i in a for j in b)
