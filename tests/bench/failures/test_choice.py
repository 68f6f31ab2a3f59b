"""Which queries are chosen, on ranks that can be read."""

import numpy as np
import pytest

from rope.bench.failures.choice import choose
from rope.bench.stats.query_ranks import PairRanks


def ranks_of(**queries: tuple[int, int]) -> PairRanks:
    """Query id -> product and rank; products ascending."""
    products, rank = (np.array(column) for column in zip(*queries.values(), strict=True))
    one = np.ones_like(rank)
    return PairRanks(list(queries), products, one, rank, rank, 1 / rank, np.zeros((len(rank), 5), np.int64))


RANKS = ranks_of(a=(0, 1), b=(0, 9), c=(1, 2), d=(1, 2), e=(2, 30), f=(2, 40), g=(3, 1))


def ids(choice, n=9, wanted=None, ranks=RANKS, **options):
    wanted = np.ones(len(ranks.rank), bool) if wanted is None else wanted
    return [ranks.query_ids[one.row] for one in choose(choice, ranks, wanted, n, **options)]


def test_the_worst_products_come_first_each_with_its_last_query():
    assert ids("worst") == ["f", "c", "b", "g"]
    assert ids("worst", 2) == ["f", "c"]


def test_near_misses_are_no_hits_and_the_nearest_come_first():
    assert ids("near") == ["c", "b", "e"]


def test_what_is_lost_is_first_in_the_other_model():
    other = ranks_of(a=(0, 1), b=(0, 1), c=(1, 2), d=(1, 1), e=(2, 1), f=(2, 3), g=(3, 5))
    assert ids("lost", other=other) == ["e", "b", "d"]


def test_a_sample_follows_its_seed_and_not_the_order_of_queries():
    drawn = ids("random", 4, seed=1)
    assert len(set(drawn)) == 4
    assert ids("random", 4, seed=1) == drawn
    assert ids("random", 7, seed=2) != ids("random", 7, seed=1)
    order = [3, 2, 5, 4, 0, 1, 6]
    named = list(zip(RANKS.query_ids, RANKS.products, RANKS.rank, strict=True))
    moved = ranks_of(**{name: (product, rank) for name, product, rank in (named[i] for i in order)})
    assert ids("random", 4, seed=1, ranks=moved) == drawn


@pytest.mark.parametrize("choice", ["worst", "near", "random"])
def test_only_queries_of_the_slice_are_chosen(choice):
    assert set(ids(choice, wanted=np.array([0, 1, 1, 0, 0, 0, 0], bool))) == {"b", "c"}
