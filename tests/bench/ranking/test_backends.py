"""The same ranks bit for bit, whatever blocks are made of, in whatever order the samples come: on 80 sets of vectors.

The oracle is a double loop over cosines in integer arithmetic.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rope.bench.metrics import score_queries
from rope.bench.one_shot import Draws, support_bits
from rope.bench.ranking import counting
from rope.bench.ranking.backends import Float32, Int16
from rope.bench.ranking.engine import ComputeSettings, Labelled, rank_one_way, rank_pair, rank_within
from rope.bench.ranking.similarity import Vectors, float64_matrix
from tests.bench.reference import float32, score_slowly

torch = pytest.importorskip("torch", reason="torch is not installed")

from rope.bench.ranking.torch_backend import OnDevice  # noqa: E402 (needs torch)

N, N_PRODUCTS = 26, 8


class Float32InNumpy(Float32):
    """Without compiled loops."""

    count = staticmethod(counting.count_numpy)

    def transposed(self, block, width):
        return counting.transposed_numpy(block[:, :width], -np.inf)


SETTINGS = {
    "numpy": lambda a, b: ComputeSettings(arithmetics=[Float32InNumpy()]),
    "small blocks, three threads": lambda a, b: ComputeSettings(memory_bytes=1, threads=3),
    "int16": lambda a, b: ComputeSettings(arithmetics=[Int16.of(a.vectors, b.vectors), Float32()]),
    "int16 alone": lambda a, b: ComputeSettings(arithmetics=[Int16.of(a.vectors, b.vectors)], memory_bytes=1),
    "torch": lambda a, b: ComputeSettings(arithmetics=[OnDevice("cpu")]),
    "torch bfloat16": lambda a, b: ComputeSettings(
        arithmetics=[OnDevice("cpu", "bfloat16"), OnDevice("cpu")], memory_bytes=1
    ),
}
if torch.cuda.is_available():
    SETTINGS["cuda"] = lambda a, b: ComputeSettings(arithmetics=[OnDevice("cuda")])
    SETTINGS["cuda bfloat16"] = lambda a, b: ComputeSettings(
        arithmetics=[OnDevice("cuda", "bfloat16"), OnDevice("cuda")]
    )

KINDS = {
    "clusters": lambda rng, centres: centres + 0.7 * rng.normal(size=centres.shape),
    "near-ties of 1e-7": lambda rng, centres: centres[0] + 1e-7 * rng.normal(size=centres.shape),
    "near-ties of 1e-9": lambda rng, centres: np.where(rng.random(centres.shape) < 1e-2, centres * (1 + 1e-6), centres),
    "near-ties of 1e-12": lambda rng, centres: np.c_[np.ones(len(centres)), 1e-6 * rng.normal(size=(len(centres), 3))],
    "codes": lambda rng, centres: np.sign(centres + rng.normal(size=centres.shape)),
    "constant": lambda rng, centres: np.ones_like(centres),
    "float16": lambda rng, centres: (centres + rng.normal(size=centres.shape)).astype(np.float16),
    "denormal": lambda rng, centres: 1e-41 * (centres + 0.7 * rng.normal(size=centres.shape)),
    "one large entry each": lambda rng, centres: np.where(
        np.arange(centres.shape[1]) == rng.integers(0, centres.shape[1], (len(centres), 1)), 1e4 * centres, centres
    ),
    "lengths from 1e-18 to 1e17": lambda rng, centres: centres * 10.0 ** rng.integers(-18, 18, (len(centres), 1)),
    "few entries": lambda rng, centres: np.where(rng.random(centres.shape) < 0.1, centres, 0),
    "one cone": lambda rng, centres: 30 + centres + 0.7 * rng.normal(size=centres.shape),
    "huge dimension": lambda rng, centres: (
        np.tile(centres, 40) + rng.normal(size=(len(centres), 40 * centres.shape[1]))
    ),
}


def make_sides(kind: str, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Vectors and products of two domains."""
    rng = np.random.default_rng([seed, *kind.encode()])
    centres = rng.normal(size=(N_PRODUCTS, 24))
    sides = []
    for _ in range(2):
        products = np.sort(rng.integers(0, N_PRODUCTS, N))
        vectors = float32(KINDS[kind](rng, centres[products]))
        vectors[~vectors.any(axis=1)] = 1  # a denormal row may vanish
        sides.append((vectors, products))
    return sides


def labelled(vectors: np.ndarray, products: np.ndarray) -> Labelled:
    return Labelled(Vectors.of(vectors), products)


def everything(a: Labelled, b: Labelled, compute: ComputeSettings, best_only: bool = False) -> list[list]:
    """All that is ranked, and what survives in which draws, as lists."""
    drawn = None if best_only else tuple(support_bits(side.products, Draws(seed=1, trials=70)) for side in (a, b))
    ranks = [*rank_pair(a, b, compute, best_only=best_only, drawn=drawn)]
    if not best_only:
        ranks.append(rank_within(a, compute))
    parts = [(r.offsets, r.above, r.above_optimistic, r.win_chances, r.won) for r in ranks]
    return [[None if part is None else part.tolist() for part in one] for one in parts]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", KINDS)
def test_ranks_are_the_same_whatever_computes_them(kind, seed):
    sides = make_sides(kind, seed)
    a, b = (labelled(*side) for side in sides)
    expected, expected_best = (everything(a, b, ComputeSettings(threads=1), best_only) for best_only in (False, True))
    for name, compute in SETTINGS.items():
        assert everything(a, b, compute(a, b)) == expected, name
        assert everything(a, b, compute(a, b), best_only=True) == expected_best, name


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", KINDS)
def test_ranks_are_those_of_exact_arithmetic(kind, seed):
    (a, a_products), (b, b_products) = make_sides(kind, seed)
    forward, _ = rank_pair(labelled(a, a_products), labelled(b, b_products), ComputeSettings())
    best, _ = rank_pair(labelled(a, a_products), labelled(b, b_products), ComputeSettings(), best_only=True)
    slow = [one for one in score_slowly(a, a_products, b, b_products) if one is not None]
    assert score_queries(forward).rank.tolist() == [one.rank for one in slow]
    assert score_queries(forward).rank_optimistic.tolist() == [one.rank_optimistic for one in slow]
    assert (1 + best.above).tolist() == [one.rank for one in slow]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_samples_changes_no_rank(kind, seed):
    """Each query's ranks, after the samples of both domains were shuffled within their products."""
    rng = np.random.default_rng(seed)
    sides = make_sides(kind, seed)
    orders = [np.lexsort((rng.random(N), products)) for _, products in sides]
    a, b = (labelled(*side) for side in sides)
    c, d = (labelled(vectors[order], products) for (vectors, products), order in zip(sides, orders, strict=True))
    before, after = rank_pair(a, b, ComputeSettings())[0], rank_pair(c, d, ComputeSettings())[0]
    for i, old in enumerate(orders[0]):
        of_old, of_new = (slice(r.offsets[j], r.offsets[j + 1]) for r, j in ((before, old), (after, i)))
        assert before.above[of_old].tolist() == after.above[of_new].tolist()


def test_a_block_too_coarse_for_16_bits_is_made_again_in_float32():
    rng = np.random.default_rng(0)
    products = np.sort(rng.integers(0, 60, 400))
    cone = labelled(float32(300 + rng.normal(size=(60, 32))[products] + rng.normal(size=(400, 32))), products)
    coarse, fine = (
        rank_pair(cone, cone, ComputeSettings(arithmetics=chain), best_only=True)[0]
        for chain in ([Int16.of(cone.vectors), Float32()], [Float32()])
    )
    assert coarse.n_rechecked == fine.n_rechecked
    assert coarse.above.tolist() == fine.above.tolist()


@pytest.mark.parametrize("name", ["int16", "int16 alone", "small blocks, three threads", "torch bfloat16"])
def test_a_product_of_more_samples_than_16_bits_count_is_ranked(name):
    """33,000 negatives of one product, all nearer than the positive, both ways."""
    n = 33_000
    many = labelled(np.tile(np.float32([[1, 0]]), (n + 1, 1)), np.r_[np.full(n, 3), 4])
    many.vectors.raw[-1] = 0, 1
    few = labelled(np.float32([[1, 0.25]]), np.array([4]))
    compute = SETTINGS[name](few, many)
    assert rank_pair(few, many, compute, best_only=True)[0].above.tolist() == [n]
    assert rank_pair(many, few, compute, best_only=True)[1].above.tolist() == [n]


ODD = {
    "normal": lambda rng, dim: rng.normal(size=(70, dim)),
    "all alike": lambda rng, dim: np.repeat([[1], [-1]], 35, axis=0) * np.ones(dim),
    "one huge coordinate": lambda rng, dim: np.c_[np.full(70, 1e6), rng.normal(size=(70, dim))][:, :dim],
    "one coordinate each": lambda rng, dim: np.eye(dim)[rng.integers(0, dim, 70)] * rng.choice([-1, 1], (70, 1)),
    "all in few coordinates": lambda rng, dim: np.where(np.arange(dim) < 60, rng.choice([-1, 1], (70, dim)), 1e-9),
    "halves of a step": lambda rng, dim: np.c_[np.full(70, 46_337), np.full((70, dim), 0.5)][:, :dim],
    "of every length": lambda rng, dim: rng.normal(size=(70, dim)) * 10.0 ** rng.integers(-30, 30, (70, 1)),
    "denormal": lambda rng, dim: 1e-40 * (2 + rng.random((70, dim))),
}


@pytest.mark.parametrize("dim", [1, 2, 63, 64, 65, 200, 1600])
@pytest.mark.parametrize("kind", ODD)
def test_no_product_of_16_bits_is_further_off_than_its_bound(kind, dim):
    """Beside float64, for whole tiles of rows and columns and parts of them."""
    rng = np.random.default_rng(dim)
    a, b = (Vectors.of(float32(ODD[kind](rng, dim))[:n]) for n in (70, 65))
    for queries in (a, a.part(0, 5)):
        arithmetic = Int16.of(queries, b)
        cosines = float64_matrix(queries, slice(None), b, slice(None))
        units = arithmetic.units(queries, 0, len(queries)), arithmetic.units(b, 0, len(b))
        block = arithmetic.block(*units, [(0, 2, 3, 5)])
        error = arithmetic.bound(dim) + 1e-12
        low, high = arithmetic.limits(cosines.ravel() - error, cosines.ravel() + error)
        assert block.shape == (len(queries), 128)
        assert np.all(block[:2, 3:5] == -32_768)
        assert np.all(block[:, 65:] == -32_768)
        block[:2, 3:5] = high.reshape(cosines.shape)[:2, 3:5]
        assert np.all((block[:, :65].ravel() > low) & (block[:, :65].ravel() <= high))
        assert error < 1e-3


def test_sums_of_16_bit_products_fill_their_32_bits():
    """As long as may be: the largest sum of a chunk, of equal vectors, is within a thousandth of 2^31."""
    for dim in (1, 64, 640):
        vectors = Vectors.of(np.ones((3, dim), np.float32))
        rows, _ = Int16.of(vectors).units(vectors, 0, 3)
        largest = int((rows[0, :64].astype(np.int64) ** 2).sum())
        assert largest < 2**31
        assert rows.max() <= 32_767
        assert rows.max() > 32_700 or largest > 0.998 * 2**31


@given(st.floats(-1.1, 1.1), st.floats(0, 0.2))
def test_limits_of_16_bits_leave_open_what_they_must(similarity, slack):
    """A value is rounded to the nearest of 64,000 steps and kept within 16 bits, whatever its neighbours are."""
    vectors = Vectors.of(np.ones((1, 4), np.float32))
    low, high = Int16.of(vectors).limits(np.array([similarity - slack]), np.array([similarity + slack]))
    for value in (similarity - slack, similarity, similarity + slack):
        key = max(min(round(value * 32_000), 32_767), -32_767)
        assert low[0] < key <= high[0]


@pytest.mark.parametrize("arithmetic", [Float32InNumpy, Float32, lambda: OnDevice("cpu")])
def test_more_products_than_64_bits_hold_costs_of_leave_no_chance(arithmetic):
    """220,000 products, each nearer than the positive: 2^63 / MAX_COST is 209,715."""
    n = 220_000
    gallery = labelled(np.tile(np.float32([[1, 0]]), (n + 1, 1)), np.arange(n + 1))
    gallery.vectors.raw[-1] = 0, 1
    query, drawn = labelled(np.float32([[1, 0.25]]), np.array([n])), np.zeros((n + 1, 0), np.uint64)
    ranks = rank_one_way(query, gallery, ComputeSettings(arithmetics=[arithmetic()]), drawn=drawn)
    assert (ranks.above.tolist(), ranks.win_chances.tolist()) == ([n], [0.0])


def test_products_beyond_16_bits_are_kept_within_them():
    product_numba = pytest.importorskip("rope.bench.ranking.product_numba")
    rows = np.ones((64, product_numba.CHUNK), np.int16)
    for sign in (1, -1):
        block = np.zeros((64, 64), np.int16)
        product_numba.product(rows, product_numba.packed(sign * rows), np.int32(0), np.float32(1000), block)
        assert np.unique(block).tolist() == [sign * 32_767]
