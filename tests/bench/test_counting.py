import numpy as np
import pytest

from rope.bench import counting
from rope.bench.counting import (
    add_costs_numpy,
    count_above_both_numpy,
    dot_pairs_numpy,
    find_between_numpy,
    transposed_numpy,
)
from rope.bench.survival import Costs

pytest.importorskip("numba", reason="the extra 'fast' is not installed, so there is one implementation alone")


@pytest.fixture(params=[(1, 1), (7, 40), (64, 512), (130, 333)])
def case(request):
    """A block, ascending limits a row (some rows without), low and high."""
    height, _ = request.param
    rng = np.random.default_rng(height)
    block = np.round(rng.normal(size=request.param), 2).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 5, height))])
    low = np.round(rng.normal(size=offsets[-1]), 2).astype(np.float32)
    return block, low, low + np.float32(0.05), offsets


def test_counts_agree(case):
    for compiled, plain in zip(counting.count_above_both(*case), count_above_both_numpy(*case), strict=True):
        assert np.array_equal(compiled, plain)


def test_what_lies_between_agrees(case):
    wanted = np.arange(len(case[1])) % 3 > 0
    for compiled, plain in zip(counting.find_between(*case, wanted), find_between_numpy(*case, wanted), strict=True):
        assert np.array_equal(compiled, plain)


def test_transposes_agree(case):
    assert np.array_equal(counting.transposed(case[0]), transposed_numpy(case[0]))


def test_costs_agree(case):
    block, low, high, offsets = case
    products = np.sort(np.random.default_rng(1).integers(0, 9, block.shape[1]))
    costs = Costs.of(products)
    limits, columns = find_between_numpy(block, low, high, offsets, np.ones(len(low), bool))
    n_above, totals = count_above_both_numpy(*case)[0], []
    for add in (counting.add_costs, add_costs_numpy):
        total = np.arange(len(low), dtype=np.int64) % 2 * counting.MAX_COST  # every other is passed over
        add(block, high, offsets, n_above, (limits, columns), costs.segments(0, block.shape[1]), costs.table, total)
        totals.append(np.minimum(total, counting.MAX_COST))
    assert np.array_equal(*totals)


@pytest.mark.parametrize("dim", [1, 511, 513, 2000])
def test_dot_products_agree_within_the_rounding_of_sums(dim):
    rng = np.random.default_rng(dim)
    a, b = (rng.normal(size=(9, dim)).astype(np.float32) for _ in range(2))
    rows, columns = rng.integers(0, 9, size=(2, 50))
    compiled, plain = counting.dot_pairs(a, rows, b, columns), dot_pairs_numpy(a, rows, b, columns)
    assert np.allclose(compiled, plain, rtol=0, atol=1e-13 * dim)
