"""What was on one side of a split never ends on the other, nor beside what is tied to it."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from rope.curation.splitting.leakage_groups import Shared, leakage_groups
from rope.curation.splitting.sides import (
    NEW,
    TIED,
    TRAIN,
    VALIDATION,
    WAS_TRAIN,
    WAS_VALIDATION,
    settle_products,
)


def settle(sides, shared, complete=None, max_shared=50):
    """Products that have values; returns why each is left out, and the groups of the others."""
    product = np.array([at for at, _ in shared], np.int64)
    value = pa.array([name for _, name in shared], pa.string())

    def tie(mask):
        there = mask[product]
        one = Shared("media", product[there], value.filter(pa.array(there)))
        return leakage_groups(len(sides), shared=[one], max_shared=max_shared)

    whole = np.ones(len(sides), np.bool_) if complete is None else np.array(complete)
    return settle_products(np.array(sides, np.int64), whole, tie)


def test_a_new_product_goes_before_an_old_one():
    out, groups = settle([VALIDATION, NEW, TRAIN], [(0, "x"), (1, "x"), (1, "y"), (2, "y")])
    assert out.tolist() == [0, TIED, 0]
    assert groups.group.tolist() == [0, 1, 2]


def test_old_products_that_are_tied_directly_lose_the_one_that_was_trained_on():
    out, _ = settle([VALIDATION, TRAIN, TRAIN], [(0, "x"), (1, "x")])
    assert out.tolist() == [0, WAS_TRAIN, 0]


def test_a_validation_product_that_is_not_complete_ties_nothing():
    out, _ = settle([VALIDATION, TRAIN], [(0, "x"), (1, "x")], complete=[False, True])
    assert out.tolist() == [WAS_VALIDATION, 0]


def test_a_value_that_ties_again_once_others_are_left_out_is_seen():
    """Four products share it and it ties nothing; without the new one, which goes, there are three."""
    shared = [(0, "x"), (1, "x"), (2, "x"), (3, "x"), (3, "y"), (0, "y")]
    out, groups = settle([VALIDATION, TRAIN, TRAIN, NEW], shared, max_shared=3)
    assert out.tolist() == [0, WAS_TRAIN, WAS_TRAIN, TIED]
    assert groups.group.tolist() == [0, 1, 2, 3]


@given(
    st.lists(st.tuples(st.sampled_from([NEW, TRAIN, VALIDATION]), st.booleans()), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.sampled_from("uvwxyz")), max_size=20),
    st.integers(2, 5),
)
def test_no_group_has_a_validation_product_and_another(products, shared, max_shared):
    sides, complete = [side for side, _ in products], [whole for _, whole in products]
    shared = [(at, name) for at, name in shared if at < len(sides)]
    out, groups = settle(sides, shared, complete, max_shared)
    assert set(out[np.array(sides) == VALIDATION].tolist()) <= {0, WAS_VALIDATION}
    for group in set(groups.group.tolist()):
        members = [sides[at] for at in np.flatnonzero((groups.group == group) & (out == 0))]
        assert VALIDATION not in members or set(members) == {VALIDATION}
