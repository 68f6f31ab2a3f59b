import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rope.curation.dedup.merge import MergeRules
from rope.curation.splitting.leakage_groups import MAX_SHARED, LeakageHub, Near, Shared, leakage_groups
from rope.errors import DatasetError, UsageError


def shared(kind, *rows):
    return Shared(kind, np.array([product for product, _ in rows]), pa.array([value for _, value in rows]))


def near(*pairs):
    return Near(np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))


@pytest.mark.parametrize(
    ("ties", "pairs", "groups"),
    [
        ([], (), [0, 1, 2, 3]),
        ([shared("media", (1, "x"), (3, "x"), (1, "x"))], (), [0, 1, 2, 1]),
        ([shared("media", (0, "x"), (1, "y")), shared("session", (2, "x"))], (), [0, 1, 2, 3]),
        ([shared("media", (0, "x"), (1, "x")), shared("session", (1, "s"), (2, "s"))], (), [0, 0, 0, 3]),
        ([], [(3, 1), (1, 3)], [0, 1, 2, 1]),
        ([shared("title", (0, "x"), (1, "x"))], [(1, 2), (3, 3)], [0, 0, 0, 3]),
    ],
)
def test_whatever_is_shared_ties(ties, pairs, groups):
    found = leakage_groups(4, shared=ties, near=near(*pairs) if pairs else None)
    assert found.group.tolist() == groups
    assert found.hubs == ()


def test_a_value_of_more_products_than_allowed_is_a_hub_and_ties_nothing():
    rows = [(i, "banner") for i in range(4)] + [(i % 3, "photo") for i in range(9)]
    found = leakage_groups(5, shared=[shared("media", *rows)], max_shared=3)
    assert found.group.tolist() == [0, 0, 0, 3, 4]
    assert found.hubs == (LeakageHub("media", "banner", 4),)


def test_a_product_with_more_neighbours_than_allowed_is_a_hub():
    found = leakage_groups(6, near=near((0, 2), (1, 2), (2, 3), (0, 2), (4, 5)), max_shared=2)
    assert found.group.tolist() == [0, 1, 2, 3, 4, 4]
    assert found.hubs == (LeakageHub("near", "2", 3),)


def test_hubs_are_by_kind_and_value():
    session = shared("session", *((i, name) for name in "ba" for i in range(3)))
    found = leakage_groups(4, shared=[session, shared("media", *((i, "z") for i in range(4)))], max_shared=2)
    assert [(hub.kind, hub.value, hub.n_products) for hub in found.hubs] == [
        ("media", "z", 4),
        ("session", "a", 3),
        ("session", "b", 3),
    ]


def test_fifty_products_may_share_a_value_as_in_merging():
    rules = MergeRules({})
    assert rules.max_products == rules.max_neighbours == MAX_SHARED == 50
    tie = [shared("media", *((i, "x") for i in range(n))) for n in (50, 51)]
    assert [len(leakage_groups(51, shared=[one]).hubs) for one in tie] == [0, 1]


@given(st.permutations([(0, "a"), (1, "a"), (1, "b"), (4, "b"), (2, "c"), (3, "c"), (3, "c")]))
def test_the_order_of_rows_changes_nothing(rows):
    assert leakage_groups(5, shared=[shared("media", *rows)]).group.tolist() == [0, 0, 2, 2, 0]


def test_what_fits_nothing_is_refused():
    with pytest.raises(DatasetError, match="media: product number 4; expected 0 to 3"):
        leakage_groups(4, shared=[shared("media", (4, "x"))])
    with pytest.raises(DatasetError, match="near: product number -1"):
        leakage_groups(4, near=near((0, -1)))
    with pytest.raises(DatasetError, match="session: 2 products and 1 values"):
        leakage_groups(4, shared=[Shared("session", np.array([0, 1]), pa.array(["x"]))])
    with pytest.raises(UsageError, match="max_shared is 1; expected at least 2"):
        leakage_groups(4, max_shared=1)
