import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rope.bench.attributes.columns import Column
from rope.bench.attributes.examples import deal_folds, frequent_labels, gather, strata_of
from rope.errors import UsageError
from tests.bench.attributes.planted import column_of, embedded, shuffled, tags_of


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(2, 6), st.integers(0, 99))
def test_folds_are_even_overall_and_in_each_stratum(strata, n_folds, seed):
    strata = np.array(strata)
    folds = deal_folds(strata, n_folds, seed)
    sizes = np.bincount(folds, minlength=n_folds)
    assert sizes.max() - sizes.min() <= 1
    for stratum in np.unique(strata):
        of_stratum = np.bincount(folds[strata == stratum], minlength=n_folds)
        assert of_stratum.max() - of_stratum.min() <= 1


def test_another_seed_deals_otherwise():
    strata = np.zeros(40, np.int64)
    assert (deal_folds(strata, 2, 0) != deal_folds(strata, 2, 1)).any()


def test_products_are_dealt_by_their_rarest_label():
    targets = np.array([[1, 0, 1], [1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 1]], bool)
    assert strata_of(targets).tolist() == [2, 1, 0, 3, 1]  # tags 1 and 2 are equally rare: the first


@pytest.mark.parametrize("column", [column_of(6), tags_of(6)])
def test_the_order_of_rows_changes_nothing(column):
    known = sorted({label for labels in column.values.values() for label in labels})
    pools = [gather(one.embeddings, one.labels, column, known) for one in _orders(embedded(6, 1, 1, 0))]
    assert np.array_equal(pools[0].examples.units, pools[1].examples.units)
    assert np.array_equal(pools[0].examples.targets, pools[1].examples.targets)
    assert np.array_equal(pools[0].domain_of, pools[1].domain_of)


def _orders(given):
    return given, shuffled(given, 1)


def test_units_have_length_one_and_targets_are_those_of_the_product():
    column = Column("x", False, {"p0001": ("b",), "p0002": ("a",), "p0003": ("rare",)})
    given = embedded(4, 1, 1, 0)
    pool = gather(given.embeddings, given.labels, column, ["a", "b"])
    assert np.allclose(np.linalg.norm(pool.examples.units, axis=1), 1)
    assert pool.examples.classes.tolist() == 3 * [1, 1, 0, 0]
    assert pool.targets.tolist() == [[False, True], [True, False]]


def test_products_with_no_tag_stay_and_those_without_labels_go():
    column = Column("x", True, {"p0001": (), "p0002": ("a",)})
    given = embedded(4, 1, 1, 0)
    assert gather(given.embeddings, given.labels, column, ["a"]).targets.tolist() == [[False], [True]]


@pytest.mark.parametrize(
    ("column", "at_least", "message"),
    [
        (Column("x", False, {"1": ("a",), "2": ("a",)}), 2, "classes that at least 2 .* 1 of 1, expected at least 2"),
        (Column("x", False, {"1": ("a",), "2": ("b",)}), 2, "classes that at least 2 .* 0 of 2, expected at least 2"),
        (Column("x", True, {"1": ("a",), "2": ("b",)}), 2, "tags that at least 2 .* 0 of 2, expected at least 1"),
    ],
)
def test_too_few_labels_are_refused(column, at_least, message):
    with pytest.raises(UsageError, match=message):
        frequent_labels(column, ["1", "2"], at_least)
