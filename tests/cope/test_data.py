from collections import Counter
from dataclasses import replace

import pytest

from cope.data import training_products
from rope.dataset.directory import read_products
from rope.errors import UsageError
from rope.feed import ClipReader, ProcessShare
from tests.cope.runs import RECIPE, dataset

ALONE = ProcessShare()
PROPORTIONAL = replace(RECIPE, sampling="proportional")
READER = ClipReader(n_frames=2, size=32)


def visits(recipe, epoch, share=ALONE):
    products = training_products(dataset(), recipe, share, READER)
    return [draw for draws, _ in products.steps(epoch, 0) for draw in draws]


def test_balanced_sampling_visits_every_product_once():
    assert sorted(draw.product for draw in visits(RECIPE, 0)) == list(range(12))


def test_proportional_sampling_visits_products_as_often_as_they_have_samples():
    products = training_products(dataset(), PROPORTIONAL, ProcessShare(), READER)
    counts = Counter(draw.product for epoch in range(400) for draw in visits(PROPORTIONAL, epoch))
    sizes = [products.n_samples(product) for product in range(12)]
    for product, size in enumerate(sizes):
        assert counts[product] / counts.total() == pytest.approx(size / sum(sizes), abs=0.02)


def test_category_balanced_sampling_visits_categories_equally_often():
    recipe = replace(RECIPE, sampling="category_balanced")
    categories = read_products(dataset(), "train")
    products = training_products(dataset(), recipe, ProcessShare(), READER).product_ids
    counts = Counter(categories[products[draw.product]] for epoch in range(400) for draw in visits(recipe, epoch))
    assert len(set(Counter(categories[product] for product in products).values())) > 1  # they differ in size
    for count in counts.values():
        assert count / counts.total() == pytest.approx(1 / len(counts), abs=0.02)


def test_a_second_visit_draws_anew():
    draws = visits(PROPORTIONAL, 3)
    assert len(set(draws)) == len(draws) == 12
    assert max(Counter(draw.product for draw in draws).values()) > 1


def test_what_is_visited_follows_from_seed_and_epoch_and_is_shared_among_ranks():
    assert visits(PROPORTIONAL, 1) == visits(PROPORTIONAL, 1) != visits(PROPORTIONAL, 2)
    halves = [visits(PROPORTIONAL, 1, ProcessShare(rank, 2)) for rank in range(2)]
    assert sorted(halves[0] + halves[1], key=repr) == sorted(visits(PROPORTIONAL, 1), key=repr)


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(UsageError, match="a batch of 4 products cannot be shared evenly among 3"):
        training_products(dataset(), RECIPE, ProcessShare(0, 3), READER)
