import itertools
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from rope.synthetic.catalogue import plan_catalogue
from rope.synthetic.vocabulary import CATEGORIES


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 30), st.integers(0, 30))
def test_more_products_leave_the_first_ones_as_they_are(seed, n_products, n_more):
    assert plan_catalogue(n_products + n_more, seed)[:n_products] == plan_catalogue(n_products, seed)


def test_categories_have_a_long_tail_and_all_occur():
    counts = Counter(product.category for product in plan_catalogue(2000, seed=0))
    names = [category.name for category in CATEGORIES]
    assert set(counts) == set(names)
    assert sum(counts[name] for name in names[:5]) > 2 * sum(counts[name] for name in names[-10:])


def test_a_product_has_as_many_samples_as_documented_and_one_in_twenty_has_twice_as_many():
    products = plan_catalogue(2000, seed=0)
    ranges = {"page": range(2, 6), "video": range(2, 5), "live": range(1, 4)}
    heads = [p for p in products if any(p.counts[d] not in ranges[d] for d in ranges)]
    assert 20 < len(heads) < 150
    for product in heads:
        assert all(product.counts[domain] / 2 in allowed for domain, allowed in ranges.items())


def test_look_alikes_share_shape_and_pattern_but_no_colours():
    products = plan_catalogue(200, seed=0)
    pairs = [(a, b) for a, b in itertools.pairwise(products) if a.family == b.family]
    assert pairs
    for a, b in pairs:
        assert (a.look.shape, a.look.pattern, a.look.options) == (b.look.shape, b.look.pattern, b.look.options)
        assert a.look.body != b.look.body


def test_a_product_is_called_by_its_printed_brand():
    for product in plan_catalogue(50, seed=0):
        assert product.wording.brand.latin == product.look.brand
