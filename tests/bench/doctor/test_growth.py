from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rope.bench.doctor.growth import expected_hits, gallery_sizes, measure_growth
from rope.bench.metrics import mean
from rope.bench.ranking.engine import ComputeSettings, PositiveRanks, rank_one_way
from tests.bench.doctor.cases import as_sides, clusters


@given(st.integers(1, 40), st.data())
def test_the_chance_is_exact(negatives, data):
    above = data.draw(st.integers(0, negatives))
    size = data.draw(st.integers(0, negatives))
    k = data.draw(st.integers(1, 12))
    ways = sum(comb(above, x) * comb(negatives - above, size - x) for x in range(min(k, size + 1)))
    found = expected_hits(np.array([above]), np.array([negatives]), size, k)
    assert found[0] == pytest.approx(float(Fraction(ways, comb(negatives, size))), abs=1e-12)


def test_large_galleries_keep_their_digits():
    found = expected_hits(np.array([1]), np.array([1_000_000]), 250_000, 1)
    assert found[0] == pytest.approx(0.75, abs=1e-8)


@pytest.mark.parametrize("one_positive", [False, True])
def test_growth_equals_a_simulation(one_positive):
    """Random galleries are drawn, and looked through."""
    sides = as_sides(clusters(noise=1.5))
    queries, gallery = sides["page"], sides["video"]
    sizes, growth = measure_growth({"P2V": rank_one_way(queries, gallery, ComputeSettings())}, {"P2V": len(gallery)})
    expected = growth["P2V"].r_at_1_one_positive if one_positive else growth["P2V"].r_at_1
    units = [side.vectors.raw * side.vectors.inverse_norms[:, None] for side in (queries, gallery)]
    cosines = units[0] @ units[1].T
    positive = queries.products[:, None] == gallery.products
    rng = np.random.default_rng(0)

    def is_hit(row):
        own, others = cosines[row, positive[row]], cosines[row, ~positive[row]]
        own = rng.choice(own, 1) if one_positive else own
        return own.max() > rng.choice(others, 20, replace=False).max()

    drawn = [np.mean([is_hit(row) for row in range(len(queries))]) for _ in range(200)]
    error = np.std(drawn) / np.sqrt(len(drawn))
    assert abs(np.mean(drawn) - expected[sizes.index(20)]) < 4 * error


def test_the_whole_gallery_gives_the_score_itself():
    above = np.array([0, 3, 0, 12, 1])
    ranks = {"P2V": PositiveRanks(np.arange(6), above, above, 0)}
    sizes, growth = measure_growth(ranks, {"P2V": 31})
    assert sizes == (10, 20, 30)
    assert growth["P2V"].r_at_1[-1] == pytest.approx(mean(above == 0))
    assert growth["P2V"].r_at_10[-1] == pytest.approx(mean(above < 10))


def test_a_query_without_negatives_leaves_nothing_to_grow():
    nothing = np.zeros(1, np.int64)
    ranks = {"P2V": PositiveRanks(np.array([0, 1]), nothing, nothing, 0)}
    assert measure_growth(ranks, {"P2V": 1}) == ((), {})


def test_sizes_end_with_the_smallest_gallery():
    assert gallery_sizes(10) == (10,)
    assert gallery_sizes(29_782)[-3:] == (10_000, 20_000, 29_782)
