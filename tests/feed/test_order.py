import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rope.feed.order import hash64, shuffled

ids = st.lists(st.text(max_size=5), unique=True, max_size=30)
numbers = st.integers(0, 2**40)


@given(numbers, numbers, ids)
def test_an_order_holds_every_item_once(seed, epoch, items):
    assert sorted(shuffled("order", seed, epoch, items).tolist()) == list(range(len(items)))


@given(numbers, numbers, ids, st.randoms())
def test_an_order_is_of_the_items_and_not_of_where_they_stand(seed, epoch, items, random):
    moved = random.sample(items, len(items))
    visited = [items[i] for i in shuffled("order", seed, epoch, items)]
    assert [moved[i] for i in shuffled("order", seed, epoch, moved)] == visited
    assert [items[i] for i in shuffled("order", seed, epoch, items[1:]) + 1] == [x for x in visited if x != items[0]]


def test_seeds_epochs_and_purposes_give_other_orders():
    items = [str(i) for i in range(50)]
    orders = [shuffled(*key, items).tolist() for key in [("a", 0, 0), ("a", 0, 1), ("a", 1, 0), ("b", 0, 0)]]
    assert len({tuple(order) for order in orders}) == 4


def test_draws_are_even():
    counts = np.bincount([hash64("draw", 0, epoch, item) % 6 for epoch in range(200) for item in "abcde"], minlength=6)
    assert abs(counts - 1000 / 6).max() < 4 * np.sqrt(1000 * 5 / 36)
