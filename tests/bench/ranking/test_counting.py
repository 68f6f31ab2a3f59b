import subprocess
import sys

import numpy as np
import pytest

from rope.bench.ranking import counting
from rope.bench.ranking.blocks import MAX_COST, padded
from rope.bench.ranking.counting import Words, add_costs_numpy, count_numpy, dot_pairs_numpy, transposed_numpy
from rope.bench.ranking.one_shot_expectation import Costs

pytest.importorskip("numba", reason="the extra 'fast' is not installed, so there is one implementation alone")

from rope.bench.ranking import counting_numba


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


def told(counted):
    """What was counted, in an order that both implementations have."""
    above, words, *is_open = counted
    is_word = words.bits > 0
    return (
        above.tolist(),
        sorted(zip(*(part[is_word].tolist() for part in words), strict=True)),
        sorted(zip(*(part.tolist() for part in is_open[:3]), strict=True)),
    )


@pytest.mark.parametrize("share", [0, 0.3, 1])
def test_counts_agree(case, share):
    wanted = np.random.default_rng(0).random(len(case[1])) < share
    compiled, plain = (count(*case, 10**6, wanted) for count in (counting.count, count_numpy))
    assert told(compiled) == told(plain)
    for counted in (compiled, plain):
        assert np.array_equal(counted.places >= 0, wanted[counted.limits])
        own = counted.places[counted.places >= 0]
        assert np.array_equal(counted.words.limits[own], counted.limits[counted.places >= 0])
        assert np.array_equal(counted.words.strips[own], counted.columns[counted.places >= 0] // 64)
        for limit in np.flatnonzero(wanted):
            assert np.all(np.diff(counted.words.strips[counted.words.limits == limit]) > 0)


def test_values_above_are_told_as_bits(case, size):
    """Beside a double loop."""
    block, low, high, offsets = case
    counted = counting.count(*case, 10**6, np.ones(len(low), np.bool_))
    rows = np.repeat(np.arange(len(block)), np.diff(offsets))
    expected = [block[row, : size[1]] > limit for row, limit in zip(rows, high, strict=True)]
    found = [np.zeros(block.shape[1], np.bool_) for _ in expected]
    for limit, strip, bits in zip(*counted.words, strict=True):
        for bit in range(64):
            found[limit][64 * strip + bit] = int(bits) >> bit & 1
    assert [row.sum() for row in expected] == counted.above.tolist()
    assert all(np.array_equal(of_limit[: size[1]], row) for of_limit, row in zip(found, expected, strict=True))


@pytest.mark.parametrize("count", [counting.count, count_numpy])
def test_too_many_open_values_are_not_told(count):
    block, limits, offsets = np.full((2, 64), 3, np.int16), np.int16([2, 2]), np.array([0, 1, 2])
    block[1, 9:] = 0
    nothing = np.zeros(2, np.bool_)
    assert len(count(block, limits, limits + np.int16(1), offsets, 73, nothing).limits) == 73
    assert count(block, limits, limits + np.int16(1), offsets, 72, nothing) is None


def test_more_values_than_16_bits_count_are_counted():
    many, offsets = 3 * 32_768 + 64, np.array([0, 2])
    ones, limits = np.ones((1, many), np.int16), np.array([0, 0], np.int16)
    assert counting.count(ones, limits, limits, offsets, 0, np.zeros(2, np.bool_)).above.tolist() == [many, many]


def test_transposes_agree(case, size):
    block, fill = case[0][:, : size[1]], -30_000
    assert np.array_equal(counting.transposed(block, fill), transposed_numpy(block, fill))


@pytest.mark.parametrize("n_words", [0, 1, 2])
def test_costs_agree(case, size, n_words, monkeypatch):
    monkeypatch.setattr(counting, "_LIMITS_AT_A_TIME", 50)
    rng = np.random.default_rng(1)
    products = np.sort(rng.integers(0, 9, size[1]))
    drawn, own = (rng.integers(0, 2**40, (n, n_words)).astype(np.uint64) for n in (size[1], len(case[1])))
    prices = Costs.of(products, drawn).prices(0, size[1])
    words = counting.count(*case, 10**6, rng.random(len(case[1])) < 0.8).words
    outcomes = []
    for add in (counting.add_costs, add_costs_numpy):
        total = np.arange(len(case[1]), dtype=np.int64) % 2 * MAX_COST  # every other one has come to its end
        failed = np.zeros_like(own)
        matters = add(words, prices, own, total, failed)
        outcomes.append((total.tolist(), failed.tolist(), matters.tolist()))
    assert outcomes[0] == outcomes[1]


def test_costs_are_those_of_the_samples_above():
    """Products of 1, 2 and 3 samples, of which none, one and two are above: 1 - 1/2 and 1 - 2/3 are left."""
    prices = Costs.of(np.array([4, 5, 5, 7, 7, 7]), np.uint64([[1], [2], [4], [8], [16], [32]])).prices(0, 6)
    own, total, failed = np.uint64([[12]]), np.zeros(1, np.int64), np.zeros((1, 1), np.uint64)
    words = Words(np.array([0]), np.array([0]), np.uint64([0b101100]))
    assert counting.add_costs(words, prices, own, total, failed).tolist() == [True]
    assert 2 ** -(total[0] / 2**40) == pytest.approx(1 / 2 * 1 / 3)
    assert failed.tolist() == [[4 + 8 + 32]]


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


def test_a_small_score_loads_neither_numba_nor_pandas(dataset, embeddings, tmp_path):
    """They take half of the time of the whole command."""
    code = """import sys
from rope.bench import evaluate
evaluate(*sys.argv[1:3]).save(sys.argv[3])
sys.exit(bool({"numba", "pandas"} & sys.modules.keys()))"""
    subprocess.run([sys.executable, "-c", code, embeddings, dataset, tmp_path / "result.json"], check=True)
