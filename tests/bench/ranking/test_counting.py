import subprocess
import sys

import numpy as np
import pytest

from rope.bench.ranking import counting
from rope.bench.ranking.blocks import MAX_COST, padded
from rope.bench.ranking.counting import (
    add_costs_numpy,
    count_above_both_numpy,
    count_down_both_numpy,
    dot_pairs_numpy,
    find_between_numpy,
    transposed_numpy,
)
from rope.bench.ranking.one_shot_expectation import Costs

pytest.importorskip("numba", reason="the extra 'fast' is not installed, so there is one implementation alone")

from rope.bench.ranking import counting_numba
from rope.bench.ranking.counting_numba import count_above, count_down, countable


@pytest.fixture(params=[(1, 1), (7, 40), (64, 512), (130, 333)], ids=str)
def size(request):
    return request.param


@pytest.fixture(params=[np.float32, np.int16])
def case(size, request):
    """A block with its padding, limits that descend in each row (some rows have none), low and high."""
    height, width = size
    rng = np.random.default_rng(height)
    block = np.full((height, padded(width)), -30_000)
    block[:, :width] = rng.normal(0, 100, size)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 5, height))])
    rows = np.repeat(np.arange(height), np.diff(offsets))
    low = rng.normal(0, 100, offsets[-1]).astype(int)
    low = low[np.lexsort((-low, rows))]
    return block.astype(request.param), low.astype(request.param), (low + 5).astype(request.param), offsets


def test_counts_agree(case):
    for compiled, plain in zip(counting.count_above_both(*case), count_above_both_numpy(*case), strict=True):
        assert np.array_equal(compiled, plain)


@pytest.mark.parametrize("most", [1, 7, 64, 1000])
def test_counts_are_emptied_before_they_overflow(case, size, most):
    for compiled, plain in zip(count_above(*case, most), count_above_both_numpy(*case), strict=True):
        assert np.array_equal(compiled, plain)
    limits = case[0][0, : size[1]], case[0][-1, : size[1]]
    down = count_down(case[0], *limits, most), count_down_both_numpy(case[0], *limits)
    assert all(np.array_equal(compiled, plain) for compiled, plain in zip(*down, strict=True))


@pytest.mark.parametrize(("dtype", "most"), [(np.int16, 32_767), (np.float32, 16_777_216)])
def test_no_more_is_counted_than_the_type_holds(dtype, most):
    """One more than the last whole number that adding ones can reach."""
    assert int(dtype(most - 1) + dtype(1)) == most
    with np.errstate(over="ignore"):
        assert int(dtype(most) + dtype(1)) != most + 1
    assert countable(np.dtype(dtype)) == most


def test_more_values_than_16_bits_count_are_counted():
    many, offsets = 3 * 32_768 + 64, np.array([0, 2])
    ones, limits = np.ones((1, many), np.int16), np.array([0, 0], np.int16)
    assert counting.count_above_both(ones, limits, limits + np.int16(1), offsets)[0].tolist() == [many, many]
    assert counting.count_down_both(ones.T, limits[:1], limits[:1])[0].tolist() == [many]


def test_what_lies_between_agrees(case):
    wanted = np.arange(len(case[1])) % 3 > 0
    for compiled, plain in zip(counting.find_between(*case, wanted), find_between_numpy(*case, wanted), strict=True):
        assert np.array_equal(compiled, plain)


def test_transposes_agree(case, size):
    block, fill = case[0][:, : size[1]], -30_000
    assert np.array_equal(counting.transposed(block, fill), transposed_numpy(block, fill))


def test_counts_of_columns_agree(case, size):
    limits = np.random.default_rng(0).normal(0, 100, (2, size[1])).astype(case[0].dtype)
    for compiled, plain in zip(
        counting.count_down_both(case[0], *limits), count_down_both_numpy(case[0], *limits), strict=True
    ):
        assert np.array_equal(compiled, plain)


@pytest.mark.parametrize("n_words", [0, 1, 2])
def test_costs_agree(case, size, n_words):
    rng = np.random.default_rng(1)
    products = np.sort(rng.integers(0, 9, size[1]))
    drawn, own = (rng.integers(0, 2**40, (n, n_words)).astype(np.uint64) for n in (size[1], len(case[1])))
    prices = Costs.of(products, drawn).prices(0, size[1])
    outcomes = []
    for add in (counting.add_costs, add_costs_numpy):
        total = np.arange(len(case[1]), dtype=np.int64) % 2 * MAX_COST  # every other one has come to its end
        failed = np.zeros_like(own)
        left_out = [
            row for row in zip(*add(*case, prices, own, total, failed), strict=True) if total[row[0]] < MAX_COST
        ]
        outcomes.append(
            (np.minimum(total, MAX_COST).tolist(), (failed & own)[total < MAX_COST].tolist(), sorted(left_out))
        )
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("dim", [1, 511, 513, 2000])
def test_dot_products_agree_within_the_rounding_of_sums(dim):
    rng = np.random.default_rng(dim)
    a, b = (rng.normal(size=(9, dim)).astype(np.float32) for _ in range(2))
    rows, columns = rng.integers(0, 9, size=(2, 50))
    compiled, plain = counting.dot_pairs(a, rows, b, columns), dot_pairs_numpy(a, rows, b, columns)
    assert np.allclose(compiled, plain, rtol=0, atol=1e-13 * dim)


def test_numba_is_loaded_when_numpy_has_had_enough_to_do(monkeypatch):
    loops = counting.Loops(room=100)
    picked = [loops.pick("transposed", n) for n in (60, 30, 30, 1)]
    assert [loop.__module__ for loop in picked] == [counting.__name__] * 2 + [counting_numba.__name__] * 2
    assert counting.Loops(room=0).pick("dot_pairs", 0) is counting_numba.dot_pairs


def test_without_numba_numpy_does_everything(monkeypatch):
    monkeypatch.setitem(sys.modules, counting_numba.__name__, None)
    loops = counting.Loops(room=10)
    assert [loops.pick("transposed", n) for n in (5, 50, 10**15)] == [transposed_numpy] * 3


def test_a_small_score_loads_no_numba(dataset, embeddings):
    """It takes half of the time of the whole command."""
    code = "import sys; from rope.bench import evaluate; evaluate(*sys.argv[1:]); sys.exit('numba' in sys.modules)"
    subprocess.run([sys.executable, "-c", code, embeddings, dataset], check=True)
